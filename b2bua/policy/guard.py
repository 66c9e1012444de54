"""The leak guard (S42): whether the octets of a message name what belongs to another zone.

Hiding builds messages so that nothing foreign is in them; this is the look at the result. Every message that a leg
sends passes `Wall.suspects`, which is cheap and may be wrong in one direction only; what it suspects is read section by
section by `Wall.findings`. Addresses are compared as values, in whatever spelling they stand there.

What is not foreign: what the zone itself is called, what the peer has said itself, headers that cross by the operator's
word or within a trust domain, credentials, and the addresses of media, which go past us (S45).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple

import re2

from b2bua.sip.foreign import SHORTEST, Foreign, branch
from b2bua.sip.grammar import REMEMBERED, is_address
from b2bua.sip.listener import Listener
from b2bua.sip.via import MAGIC_COOKIE

Mode = Literal["count", "log", "redact", "refuse"]
Network = IPv4Network | IPv6Network
Literally = tuple[int, int, bytes]  # an address in a text: from where, to where, and its one spelling

EMBEDDED = 12  # characters of an id that is found within a longer word too

# A challenge and the answer to it are for the two ends, and stand for nothing if one octet of them is changed.
CREDENTIALS = frozenset(
    {"authorization", "authentication-info", "proxy-authenticate", "proxy-authorization", "www-authenticate"}
)
# Where who calls is named: there a Contact's user is a name, not a secret.
_PEOPLE = frozenset(
    """from to request-uri p-asserted-identity p-preferred-identity p-called-party-id p-associated-uri p-served-user
    additional-identity reply-to refer-to referred-by history-info diversion""".split()
)
# Lines of a session description that say where media goes.
_MEDIA = (b"c=", b"a=candidate:", b"a=remote-candidates:", b"a=rtcp:", b"a=alt:", b"a=path:")

_FOUR = rb"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])"
_SIX = rb"(?<![0-9a-f])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])|[0-9a-f]{0,4})(?![0-9a-f:])"
_LITERAL = re.compile(_SIX + b"|" + _FOUR)
_COLONS = rb":[0-9a-f]{0,4}:"  # in every address of IPv6
_TWO_COLONS = re.compile(_COLONS)
_BEFORE = 15  # octets: as many may an address of IPv4 have, and four digits stand before the first colon
_WORD = re.compile(rb"[^\s;,<>\"'=?&]{%d,}" % SHORTEST)
_PART = re.compile(rb"[^:@/\[\]()]{%d,}" % SHORTEST)
_ESCAPE = re.compile(rb"%([0-9a-f]{2})")
_LINE = re.compile(rb"[^\r\n]+")

# The machine's patterns: one asks for an address that may be foreign, or is spelt oddly; one for any of IPv6; two for a
# branch that is not the only Via's, which is ours or the peer's own.
_ADDRESSES, _SIXES, _BRANCHES, _BRANCH = 1, 2, 3, 4
_COOKIE = MAGIC_COOKIE.lower().encode()
_TWO_BRANCHES = rb"%b(?s:.*)%b" % (_COOKIE, _COOKIE)
_ODD_BRANCH = rb"(?:\A|\n(?:[^v\n]|v[^i\n]|vi[^a\n]|via[^:\n]))[^\n]*%b" % _COOKIE
_ODD_ADDRESS = rb"\b0[0-9]{1,2}\.[0-9]|\.0[0-9]{1,2}\b"
_ELSEWHERE = rb"\n(?:refer-to|referred-by|replaces|target-dialog|join|in-reply-to|history-info) ?:|%[0-9a-f][0-9a-f]"


class Finding(NamedTuple):
    """One leak. `header` is its name, "Request-URI", "reason phrase" or "body"; `at` and `end` are where it stands."""

    header: str
    kind: str
    at: int
    end: int
    text: str


class Section(NamedTuple):
    """A header's value, the start line's part that is ours to choose, or a line of the body."""

    name: str
    at: int
    end: int


def normal(text: bytes) -> bytes:
    """One spelling for an address: no leading zeros, shortest, IPv4 out of an IPv6 disguise; empty for what is none."""
    try:
        if b":" not in text:
            return str(IPv4Address(".".join([str(int(part)) for part in text.split(b".")]))).encode()
        six = IPv6Address(text.decode("ascii"))
    except ValueError:
        return b""
    return str(six.ipv4_mapped or six).encode()


_normal = lru_cache(REMEMBERED)(normal)


def is_name(host: str) -> bool:
    """Whether a host name tells anything: one label alone is a word like others, and .invalid is nobody's."""
    return "." in host.strip(".") and not host.lower().endswith(".invalid")


class Wall:
    """What the messages of one zone must not say, as far as the configuration tells.

    `own` are the hosts of the zone itself, `others` those of the other zones, each without brackets; `networks` are
    destination networks and the zone of each. `anchored` are zones from which media comes here by us alone: lines of
    media, too, must not say where it is there.
    """

    __slots__ = ("zone", "_anchored", "_names", "_own", "_others", "_networks", "_machine", "_judged")

    def __init__(
        self,
        zone: str,
        own: Iterable[str],
        others: Iterable[str],
        networks: Iterable[tuple[str, str]] = (),
        anchored: Iterable[str] = (),
    ) -> None:
        self.zone = zone
        self._anchored = frozenset(anchored)
        ours, theirs = _hosts(own), _hosts(others)
        self._own = frozenset(host for host in ours if _normal(host))
        self._others = frozenset(host for host in theirs - ours if _normal(host))
        self._names = tuple(sorted(host for host in theirs - ours if not _normal(host) and is_name(host.decode())))
        self._networks = sorted(
            ((ip_network(network), name) for network, name in networks), key=lambda each: -each[0].prefixlen
        )
        self._machine = self._build().Match
        self._judged: dict[bytes, bool] = {}

    def _build(self) -> re2.Set:
        """One automaton, which reads a message once."""
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        machine = re2.Set.SearchSet(options)
        addresses = [rb"\b%b\b" % re.escape(each) for each in sorted(self._others) if b":" not in each]
        addresses += [_digits(each) for each, name in self._networks if name != self.zone and each.version == 4]
        machine.Add(_ELSEWHERE)
        machine.Add(b"|".join([*addresses, _ODD_ADDRESS]))
        machine.Add(_COLONS)
        machine.Add(_TWO_BRANCHES)
        machine.Add(_ODD_BRANCH)
        if self._names:
            machine.Add(b"|".join(map(re.escape, self._names)))
        machine.Compile()
        return machine

    def foreign(self, address: bytes) -> bool:
        """Whether an address, in its one spelling, is another zone's."""
        known = self._judged.get(address)
        if known is None:
            if len(self._judged) >= REMEMBERED:
                self._judged.clear()
            known = self._judged[address] = self._judge(address)
        return known

    def _judge(self, address: bytes) -> bool:
        if address in self._own or address in self._others:
            return address in self._others
        value = ip_address(address.decode("ascii"))
        for network, name in self._networks:
            if value.version == network.version and value in network:
                return name != self.zone
        return False

    # The quick look

    def suspects(self, lows: Sequence[bytes], foreign: Foreign, vias: Sequence[Sequence[str]]) -> bool:
        """Whether messages of one leg, in lower case, deserve to be read. False is certain.

        They are read as one. `vias` are those of what crossed with each.
        """
        low = b"\r\n".join(lows)
        seen = self._machine(low)
        if seen and self._serious(seen, low, lows, foreign, vias):
            return True
        if any(map(low.decode("latin-1").__contains__, foreign.names.pieces)) and self._named(low, foreign):
            return True
        return bool(foreign.path) and any(_stands(low, word) for word in foreign.path)

    def _serious(
        self, seen: list[int], low: bytes, lows: Sequence[bytes], foreign: Foreign, vias: Sequence[Sequence[str]]
    ) -> bool:
        """Whether one of the machine's patterns, which are seen, says enough."""
        for pattern in seen:
            if pattern == _ADDRESSES:
                serious = self._odd(low, foreign, literals(low))
            elif pattern == _SIXES:
                serious = self._odd(low, foreign, sixes(low))
            elif pattern == _BRANCHES and all(each.count(_COOKIE) < 2 for each in lows):
                serious = False
            elif pattern in (_BRANCHES, _BRANCH):
                serious = any(_stands(low, word) for each in vias for word in branch(each))
            else:
                serious = True
            if serious:
                return True
        return False

    def _named(self, low: bytes, foreign: Foreign) -> bool:
        """Whether a word stands there, of which the end was seen."""
        covered = foreign.source not in self._anchored
        return any(_stands(low, word, covered) for word in foreign.names.needles)

    def _odd(self, low: bytes, foreign: Foreign, there: Iterator[Literally]) -> bool:
        """Whether an address is there that is foreign; outside the lines of media, unless that is anchored."""
        covered = foreign.source not in self._anchored
        return any(not (covered and _of_media(low, at)) for at, _ in self._addresses(there, foreign))

    def _addresses(self, there: Iterator[Literally], foreign: Foreign) -> Iterator[tuple[int, int]]:
        """Where a foreign address stands."""
        known, path = foreign.names.addresses, foreign.path
        for at, end, address in there:
            if address in known or address in path or self.foreign(address):
                yield at, end

    # The long look

    def findings(
        self,
        data: bytes,
        foreign: Foreign,
        elsewhere: Callable[[str], bool] = lambda word: False,
        exempt: Mapping[str, object] | frozenset[str] = frozenset(),
        said: bytes = b"",
    ) -> list[Finding]:
        """Every leak in a message, in its order.

        `elsewhere` says whether a word is an id of some other zone's call: asked for where messages name dialogs.
        `exempt` are headers, in lower case, that may say what they like. `said` is what the peer said itself, in lower
        case.
        """
        low = data.lower()
        head = low.find(b"\r\n\r\n")
        described = foreign.source not in self._anchored and (
            b"\ncontent-type: application/sdp" in low[:head] or b"\ncontent-type: multipart/" in low[:head]
        )
        found: list[Finding] = []
        for section in sections(data):
            name = section.name.lower()
            if name in exempt or name in CREDENTIALS:
                continue
            text = low[section.at : section.end]
            media = described and section.at > head and text.startswith(_MEDIA)
            plain, place = _unescaped(text) if b"%" in text else (text, range(len(text) + 1))
            for at, end, kind in self._places(plain, foreign, elsewhere):
                word = plain[at:end]
                if media and kind in ("address", "host") or kind == "user" and name in _PEOPLE or _stands(said, word):
                    continue
                first, last = section.at + place[at], section.at + place[end]
                found.append(
                    Finding(section.name, kind, first, last, data[first:last].decode("utf-8", "backslashreplace"))
                )
        return _apart(found)

    def _places(
        self, text: bytes, foreign: Foreign, elsewhere: Callable[[str], bool]
    ) -> Iterator[tuple[int, int, str]]:
        """Where in a text something foreign stands, and what it is."""
        for at, end in self._addresses(literals(text), foreign):
            yield at, end, "address"
        for name in self._names:
            for at in _standing(text, name):
                yield at, at + len(name), "host"
        via = [(each, "host" if is_name(each.decode("utf-8", "replace")) else "branch") for each in foreign.via]
        for needle, kind in [*foreign.names.needles.items(), *via]:
            if kind != "address" and not _normal(needle):
                for at in _standing(text, needle):
                    yield at, at + len(needle), kind
        for at, end in words(text):
            if elsewhere(text[at:end].decode("utf-8", "surrogateescape")):
                yield at, end, "id of another call"


def literals(text: bytes) -> Iterator[Literally]:
    """Every address in a text in lower case."""
    for found in _LITERAL.finditer(text):
        yield from _read(found)


def sixes(text: bytes) -> Iterator[Literally]:
    """Those of IPv6, found by their colons: ten times as fast as by what they begin with."""
    at = 0
    while colons := _TWO_COLONS.search(text, at):
        found = _LITERAL.search(text, max(at, colons.start() - _BEFORE))
        if found is None:
            break
        if b":" in found[0]:
            yield from _read(found)
        at = found.end()


def _read(found: re.Match[bytes]) -> Iterator[Literally]:
    """What looks like an address, if it is one."""
    at, end = found.span()
    address = _normal(found[0])
    if not address and found[0].startswith(b":"):  # as in a=x:2001:db8::1
        at += 1
        address = _normal(found[0][1:])
    if address:
        yield at, end, address


def sections(data: bytes) -> Iterator[Section]:
    """The parts of a message in which something may leak."""
    head = data.find(b"\r\n\r\n")
    head = len(data) if head < 0 else head
    first = True
    for line in _LINE.finditer(data):
        at, end = line.span()
        if at >= head:
            yield Section("body", at, end)
        elif first:
            first = False
            answer = data.startswith(b"SIP/2.0 ")
            begin = data.find(b" ", at) + 1
            yield Section("reason phrase", begin + 4, end) if answer else Section("Request-URI", begin, end - 8)
        else:
            colon = data.find(b":", at, end)
            name = data[at : max(colon, at)].decode("ascii", "replace").strip()
            yield Section(name, max(colon + 1, at), end)


def words(text: bytes) -> Iterator[tuple[int, int]]:
    """Where in a text stands what may be an id: whole, and the parts of what looks like a URI or has a host in it."""
    for found in _WORD.finditer(text):
        yield found.span()
        parts = [each.span() for each in _PART.finditer(text, *found.span())]
        if parts != [found.span()]:
            yield from parts


def redacted(data: bytes, found: Iterable[Finding], listener: Listener) -> bytes:
    """The message with something that means nothing in place of each leak; still of SIP's grammar, its length right.

    An address becomes the listener's own, or the unspecified one where that is of the other family; a host name the
    listener's host; an id a word as long.
    """
    pieces, at = [], 0
    for finding in sorted(found, key=lambda each: each.at):
        pieces += [data[at : finding.at], _instead(finding, listener)]
        at = finding.end
    changed = b"".join([*pieces, data[at:]])
    head, blank, body = changed.partition(b"\r\n\r\n")
    return re.sub(rb"(?m)^(Content-Length: )[0-9]+", rb"\g<1>%d" % len(body), head, count=1) + blank + body


def _instead(finding: Finding, listener: Listener) -> bytes:
    if finding.kind == "address":
        six = ":" in finding.text
        ours = listener.media_address.partition("%")[0]
        return (ours if six == (":" in ours) else "::" if six else "0.0.0.0").encode()
    if finding.kind == "host":
        return b"hidden.invalid"
    return b"x" * (finding.end - finding.at)


def _hosts(given: Iterable[str]) -> set[bytes]:
    """Hosts in lower case, addresses in their one spelling."""
    texts = [
        host.strip("[]").partition("%")[0].lower().rstrip(".").encode("utf-8", "surrogateescape") for host in given
    ]
    return {(_normal(text) if is_address(text.decode("utf-8", "surrogateescape")) else b"") or text for text in texts}


def _digits(network: Network) -> bytes:
    """An expression for how an IPv4 address of a network begins."""
    octets = network.network_address.packed
    whole, bits = divmod(network.prefixlen, 8)
    known = [rb"%d\." % each for each in octets[:whole]]
    if whole == 4:
        return rb"\b" + b"".join(known)[:-2] + rb"\b"
    some = range(octets[whole], octets[whole] + (1 << (8 - bits)))
    last = rb"(?:%b)" % b"|".join(b"%d" % each for each in some) if bits else rb"[0-9]{1,3}"
    return rb"\b" + b"".join(known) + last + (rb"\b" if whole == 3 else rb"\.[0-9]")


def _standing(text: bytes, needle: bytes) -> Iterator[int]:
    """Where a word stands by itself in a text; a long one also within another."""
    at = text.find(needle)
    while at >= 0:
        if len(needle) >= EMBEDDED and b"." not in needle or _alone(text, at, at + len(needle)):
            yield at
        at = text.find(needle, at + 1)


def _stands(text: bytes, needle: bytes, covered: bool = True) -> bool:
    """Whether it does, not counting the lines of media where these are `covered`."""
    return needle in text and any(not (covered and _of_media(text, at)) for at in _standing(text, needle))


def _alone(text: bytes, at: int, end: int) -> bool:
    """Whether no letter or digit is on either side: 10.0.0.2 is not in 10.0.0.20, but a.example is in x.a.example."""
    if text[end : end + 1].isalnum() or text[at - 1 : at].isalnum() and at:
        return False
    return not (text[end : end + 1] == b"." and text[end - 1 : end].isdigit() and text[end + 1 : end + 2].isdigit())


def _of_media(low: bytes, at: int) -> bool:
    """Whether an octet of a message stands in a line that says where media goes."""
    return low.startswith(_MEDIA, low.rfind(b"\n", 0, at) + 1)


def _unescaped(text: bytes) -> tuple[bytes, list[int]]:
    """A text without its %-escapes, and for each octet of it, and its end, where that stands in what it was."""
    plain, place, at = bytearray(), [], 0
    while at < len(text):
        found = _ESCAPE.match(text, at)
        place.append(at)
        plain += bytes.fromhex(found[1].decode()).lower() if found else text[at : at + 1]
        at = found.end() if found else at + 1
    return bytes(plain), [*place, at]


def _apart(found: list[Finding]) -> list[Finding]:
    """Of findings that overlap, the first and longest."""
    kept: list[Finding] = []
    for finding in sorted(found, key=lambda each: (each.at, -each.end)):
        if not kept or finding.at >= kept[-1].end:
            kept.append(finding)
    return kept
