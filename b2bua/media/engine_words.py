"""What rtpengine is told of a description and asked to do with it, and what of its answer crosses.

Nothing of the far side may be in what it gives back. rtpengine leaves candidates of others in place unless told to
remove them or to put its own there ("force"), and it passes media that it cannot carry as they are; so both are seen
to here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from b2bua.call.media import THE_ENGINE, End, Said
from b2bua.media import engine_options
from b2bua.media.description import LARGEST, veil
from b2bua.sip.grammar import Malformed, ipv6, is_address
from b2bua.sip.session import Connection, Section, Session, parse_session

# A description crosses in one datagram, in JSON, and rtpengine's answer, in which each medium may have got keys,
# candidates and fingerprints, has to fit into one too.
MOST_MEDIA = 8  # those that are wanted
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")  # six octets each in JSON; nobody says them

# What says where somebody is and rtpengine passes as it is.
_ELSEWHERE = (b"rtcp-xr", b"zoned", b"alt", b"path", b"source-filter", b"remote-candidates")
# What it makes anew or takes away, where it carries the medium.
_OWNED = (b"candidate:", b"rtcp:", b"ice-ufrag:", b"ice-pwd:", b"fingerprint:", b"crypto:")
_NOWHERE = ("0.0.0.0", "::")
# How far an address means the same: not beyond the machine or the link (RFC 1122, 3927, 4291), or it is no single
# host's; not beyond a NAT (RFC 1918, 6598, 4193); any other everywhere.
_NEAR = [
    [ipaddress.ip_network(each) for each in nets.split()]
    for nets in (
        "0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 224.0.0.0/3 ::/96 fe80::/10 ff00::/8",
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 fec0::/10",
    )
]
_UNSAFE = ["no-NULL_HMAC_SHA1_80", "no-NULL_HMAC_SHA1_32", "no-F8_128_HMAC_SHA1_80", "no-F8_128_HMAC_SHA1_32"]

_OFFERED = ("codec-mask-", "codec-transcode-", "T.38-")  # flags that mean nothing in an answer

# What an offer to a party of each profile is made of. An answer is in the profile of the offer it answers: rtpengine
# remembers what was offered.
_OFFERS: Mapping[str, Mapping[str, Any]] = {
    "": {"rtcp-mux": ["accept"]},
    "plain": {"transport-protocol": "RTP/AVP", "rtcp-mux": ["demux"]},
    "srtp": {"transport-protocol": "RTP/SAVP", "rtcp-mux": ["demux"], "DTLS": "off", "SDES": _UNSAFE},
    # RFC 8834 and 8827: one port for both, DTLS-SRTP and no keys in the description; RFC 8829 wants a=mid.
    "webrtc": {"transport-protocol": "UDP/TLS/RTP/SAVPF", "rtcp-mux": ["require"], "SDES": ["off"]},
}


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Described(NamedTuple):
    """A description, made ready for rtpengine: whether it has media at all, and whether its party speaks ICE."""

    session: Session
    ice: bool
    hidden: bool  # it announces an address behind a NAT


def described(said: Said, secret: bytes) -> Described:
    """What rtpengine is to read. Malformed where it cannot be read, is too large, or is where nobody may send.

    `secret` makes other names of those that would show a host.
    """
    if len(said.sdp) > LARGEST:
        raise Malformed(f"a session description of more than {LARGEST} octets", THE_ENGINE, 488)
    if _CONTROL.search(said.sdp):
        raise Malformed("a session description with control characters", THE_ENGINE, 488)
    session = parse_session(said.sdp)
    if sum(not media.refused for media in session.media) > MOST_MEDIA:
        raise Malformed(f"a session description of more than {MOST_MEDIA} media", THE_ENGINE, 488)
    ice = session.has(b"ice-ufrag") or any(media.has(b"ice-ufrag") for media in session.media)
    hosts = set()
    for media in session.media:
        media.silence(_ELSEWHERE)
        if not media.datagrams:
            media.at(0)  # not wanted (RFC 3264 6): rtpengine would pass it with its addresses
        if not media.port:
            media.silence(each.rstrip(b":") for each in _OWNED)  # it would leave them as they are
        if not media.refused:
            hosts |= {where.host for where in (session.connection_of(media), media.rtcp[1]) if where is not None}
    session.silence(_ELSEWHERE)
    veil(session, secret)
    for section in (session, *session.media):
        _place(section, said.source, ice)
    trusted = "trust-address" in said.options
    return Described(session, ice, not trusted and any(_is_hidden(each, said.source, ice) for each in sorted(hosts)))


def _place(section: Section, source: End, ice: bool) -> None:
    """Where a party is, if it gives a name, or, as it will be found by ICE, nothing yet (RFC 8840 4.1.1).

    rtpengine reads no names, and takes 0.0.0.0 for a party on hold.
    """
    where = section.connection
    if where is not None and (not is_address(where.host) or ice and where.host in _NOWHERE):
        if is_address(source.signalling):
            section.put(b"c", _connection(source.signalling))
        elif where.host not in _NOWHERE:
            raise Malformed("a c= line with a name", THE_ENGINE, 488)


def _connection(address: str) -> bytes:
    return bytes(Connection(6 if ":" in address else 4, address))


def _is_hidden(host: str, source: End, ice: bool) -> bool:
    """Whether a party's address means something else here: it is behind a NAT, seen from where its signalling is.

    Only then rtpengine is to send to where the signalling comes from: a carrier's media are elsewhere for good reason.
    So nobody can make it send to an inside address of ours, or to itself, by announcing that from outside, of whichever
    family. Malformed where the signalling is of the other one, and nobody can be met there, unless ICE finds him.
    """
    if host in _NOWHERE or not (is_address(host) and is_address(source.signalling)):
        return False
    here, there = _read(host), _read(source.signalling.partition("%")[0])
    if _reach(here) >= _reach(there):
        return False
    if here.version != there.version and not ice:
        raise Malformed(f"media at {host}, which is not reached from here", THE_ENGINE, 488)
    return True


def _read(host: str) -> _Address:
    """An address; an IPv4 address that is written as one of IPv6 (RFC 4291 2.5.5.2) is what it is."""
    try:
        address = ipaddress.ip_address(ipv6(host) if ":" in host else host)
    except ValueError as error:
        raise Malformed("a c= line with no address", THE_ENGINE, 488) from error
    return getattr(address, "ipv4_mapped", None) or address


def _reach(address: _Address) -> int:
    return next((at for at, nets in enumerate(_NEAR) if any(address in net for net in nets)), len(_NEAR))


def words(said: Said, ready: Described, interfaces: Mapping[str, str]) -> dict[str, Any]:
    """What is the same in an offer and in an answer.

    strict-source: once the peer is known, packets of others go nowhere; rtpengine's own habit is to pass them. It
    still takes whoever sends first for the peer (in its first three seconds, or as --endpoint-learning says), since
    a NAT may have changed the port. Where no peer is behind one, the option "asymmetric" ends that.
    """
    flags, keys = engine_options.said(said.options)
    told: dict[str, Any] = {
        "sdp": bytes(ready.session).decode("latin-1"),  # each octet one character, and back
        "replace": ["origin", "session-connection"],
        "address family": f"IP{said.target.family}",
    }
    if "SIP-source-address" in flags or ready.hidden:
        told["received from"] = [f"IP{6 if ':' in said.source.signalling else 4}", said.source.signalling]
        trusted = "SIP-source-address"
    else:
        trusted = "trust-address"  # also where the daemon was started to do otherwise
    told["flags"] = list(dict.fromkeys(("strict-source", trusted, *flags)))
    if said.source.zone in interfaces and said.target.zone in interfaces:
        told["direction"] = [interfaces[said.source.zone], interfaces[said.target.zone]]
    told.update(keys)
    return told


def offered(said: Said, ready: Described, interfaces: Mapping[str, str]) -> dict[str, Any]:
    """The keys of an offer, but for those that say whose it is."""
    profile = said.target.profile
    told = {**_OFFERS[profile], **words(said, ready, interfaces)}
    if profile == "webrtc" and "generate-mid" not in told["flags"]:
        told["flags"].append("generate-mid")
    told.setdefault("ICE", "force" if profile == "webrtc" or not profile and ready.ice else "remove")
    return told


def answered(said: Said, ready: Described, interfaces: Mapping[str, str], ice: bool) -> dict[str, Any]:
    """The keys of an answer, but for those that say whose it is; `ice` is whether the offer had ICE."""
    told = words(said, ready, interfaces)
    for offers_only in ("transport-protocol", "rtcp-mux", "direction"):
        told.pop(offers_only, None)
    told["flags"] = [flag for flag in told["flags"] if not flag.startswith(_OFFERED)]
    told["ICE"] = "force" if ice and said.target.profile in ("", "webrtc") and told.get("ICE") != "remove" else "remove"
    return told


def crossed(text: str, said: Said) -> bytes:
    """What rtpengine gave back of what was said, as the target may read it.

    Malformed where that is no description.
    """
    try:
        session = parse_session(text.encode("latin-1"))
    except UnicodeEncodeError as error:
        raise Malformed("rtpengine's answer is no session description", THE_ENGINE, 503) from error
    # It passes a candidate that it cannot read, such as those of drafts of ICE.
    theirs = {line.strip() for line in said.sdp.splitlines() if line.startswith(b"a=candidate:")}
    for section in (session, *session.media):
        section.drop(lambda letter, text: b"%b=%b" % (letter, text.strip()) in theirs)
    return settled(session, said.target)


def settled(session: Session, target: End) -> bytes:
    """A description in which media that nobody carries are at no address but ours."""
    carried = [where for media in session.media if media.port and (where := session.connection_of(media))]
    ours = bytes(carried[0]) if carried else _connection(target.address)
    if not carried and session.first(b"c"):
        session.put(b"c", ours)
    for media in session.media:
        if not media.port and media.first(b"c"):
            media.put(b"c", ours)
    return bytes(session)
