"""A description as the other side reads it: our address and ports, and no host of the side that it comes from.

What stays is byte for byte as it came. ICE is not spoken, so its lines do not cross (RFC 8839 4). Each medium has
ports of its own: an offered bundle is refused by leaving out its group (RFC 9143 7.3), and with it whatever was wanted
only in one. Keys (a=crypto, a=fingerprint) cross untouched: they are between the two ends.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Sequence

from b2bua.call.media import End, unanchored
from b2bua.media.places import NOWHERE, is_group, silent
from b2bua.sip.session import PLACES, Connection, Media, Section, Session

LARGEST = 10_000  # octets of a description that an engine is asked about: ng, in JSON, has one datagram for it

_GONE = PLACES - {b"rtcp"} | {b"bundle-only"}
# An IPv4 address of one host, as `places.read_address` has it; what may be an IPv6 one.
_FIRST, _BYTE = rb"(?:22[0-3]|2[01][0-9]|1[0-9]{2}|[1-9][0-9]?)", rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4 = re.compile(rb"(?<![0-9])(?<![0-9A-Za-z]\.)%b(?:\.%b){3}(?![0-9])" % (_FIRST, _BYTE))
_V6 = re.compile(rb"(?<![0-9A-Za-z:.])(?=[0-9A-Fa-f.]*+:)[0-9A-Fa-f:.]{3,47}+(?![0-9A-Za-z:.])")
_WORD = re.compile(rb"[\w.-]++")
_CNAME = re.compile(rb"(ssrc:[0-9]+ +cname:)(.*)")


def carried(session: Session, media: Media) -> bool:
    """Whether a medium can pass: wanted, over UDP, between two hosts."""
    if not media.port:
        return False
    protocol = media.protocol.upper()
    where = session.connection_of(media)
    over_udp = protocol.startswith((b"RTP/", b"UDP", b"DTLS/")) and media.datagrams
    return over_udp and not (where is not None and is_group(where.host))


def check_profile(session: Session, *ends: End) -> None:
    """Malformed (488) where an end speaks what this description does not say: the relay turns nothing into another."""
    spoken = [media.protocol.upper() for media in session.media if media.rtp and media.port]
    crypto = any(media.has(b"crypto") for media in session.media)
    for end in ends:
        if end.profile == "webrtc":
            raise unanchored("the relay speaks neither ICE nor DTLS, as webrtc needs", 488)
        if end.profile == "srtp" and spoken and not crypto:
            raise unanchored("the relay adds no SRTP keys, as srtp needs", 488)
        if end.profile == "plain" and spoken and all(b"SAVP" in protocol for protocol in spoken):
            raise unanchored("the relay takes no SRTP off, as plain needs", 488)


def crossed(session: Session, target: End, ports: Sequence[int | None], secret: bytes) -> bytes:
    """The description for `target`, with these ports of ours; None for a medium that is refused.

    `secret` makes other names of those that would show a host. Changes `session`.
    """
    hosts = _hosts(session)
    _say(session, target, None, hosts, secret)
    for media, port in zip(session.media, ports, strict=True):
        media.at(port or 0)
        _say(media, target, port, hosts, secret)
    if not session.first(b"c"):
        for media, port in zip(session.media, ports, strict=True):
            if port and not media.first(b"c"):
                media.put(b"c", bytes(Connection(_family(target), target.address)))
    return bytes(session)


def veil(session: Session, secret: bytes) -> None:
    """Take out of a description what tells of hosts, but for the lines that say where media goes. Changes `session`."""
    hosts = _hosts(session)

    def line(letter: bytes, text: bytes) -> bytes | None:
        if letter in b"mosvc" or letter == b"a" and text.partition(b":")[0] in PLACES:
            return text
        return _veiled(letter, text, hosts, secret)

    for section in (session, *session.media):
        section.change(line)


def _veiled(letter: bytes, text: bytes, hosts: frozenset[bytes], secret: bytes) -> bytes | None:
    """A line without hosts; None where nothing is left of it. A name of a source stands for itself, under another."""
    told = _CNAME.fullmatch(text)
    if told is not None and (_shows(told[2], hosts) or b"@" in told[2]):
        return told[1] + hashlib.blake2b(told[2], key=secret, digest_size=9).hexdigest().encode("ascii")
    return None if _shows(text.partition(b":")[2] if letter == b"a" else text, hosts) else text


def _say(section: Section, target: End, port: int | None, hosts: frozenset[bytes], secret: bytes) -> None:
    """The lines of one section."""
    family = _family(target)
    where = section.connection
    ours = bytes(Connection(family, NOWHERE[family] if silent(where) else target.address))
    mux, connections = section.has(b"rtcp-mux"), 0

    def line(letter: bytes, text: bytes) -> bytes | None:
        nonlocal connections
        if letter in b"mosv":  # the port is ours already; the leg writes its own origin
            return text
        if letter == b"c":
            connections += 1
            return ours if connections == 1 else None
        name = text.partition(b":")[0]
        if letter == b"a" and name == b"rtcp":
            return b"rtcp:%d" % (port + 1) if port and not mux else None
        if letter == b"a" and (name in _GONE or text.startswith(b"group:BUNDLE")):
            return None
        return _veiled(letter, text, hosts, secret)

    section.change(line)


def _family(target: End) -> int:
    return 6 if ":" in target.address else 4


def _hosts(session: Session) -> frozenset[bytes]:
    """The names of hosts that a description says where it says addresses."""
    words = [session.first(b"o").rpartition(b" ")[2]]
    for section in (session, *session.media):
        words += [section.first(b"c").rpartition(b" ")[2].partition(b"/")[0]]
        words += [value.rpartition(b" ")[2] for value in section.attributes(b"rtcp")]
        words += [each[4] for value in section.attributes(b"candidate") if len(each := value.split()) > 4]
    return frozenset(word.lower().rstrip(b".") for word in words if len(word) > 3 and re.search(rb"[A-Za-z]", word))


def _shows(text: bytes, hosts: frozenset[bytes]) -> bool:
    """Whether a line says an address, or one of these names."""
    if hosts and any(found[0].lower().rstrip(b".") in hosts for found in _WORD.finditer(text)):
        return True
    return _V4.search(text) is not None or any(_is_v6(found[0]) for found in _V6.finditer(text))


def _is_v6(word: bytes) -> bool:
    """Whether it is an IPv6 address, of one host."""
    try:
        packed = socket.inet_pton(socket.AF_INET6, word.strip(b".").decode("ascii"))
    except OSError:
        return False
    return any(packed) and packed[0] != 0xFF
