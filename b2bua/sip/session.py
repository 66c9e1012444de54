"""A session description that can be read and changed (RFC 8866): every line as it came until it is changed.

Where does a peer want its media? `Media.connection`, `port`, `rtcp`. `sip.sdp` is for descriptions that only change
owner, which is nearly all of them where no media is anchored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from b2bua.sip.grammar import Malformed

MAX_MEDIA = 32  # sections of one description
MAX_LINES = 2048
RULE = "RFC 8866 5"
_LIMIT = "a limit of this server"

DIRECTIONS = (b"sendrecv", b"sendonly", b"recvonly", b"inactive")
_ORDER = b"vosiuepcbtrzkam"  # of the lines of a section; m= begins one, and its i= c= b= k= a= are as in the session

# Attributes that say where somebody is, or how to reach him by ICE.
PLACES = frozenset(
    b"""candidate remote-candidates end-of-candidates ice-ufrag ice-pwd ice-options ice-lite ice-mismatch ice-pacing
    rtcp zoned alt path source-filter""".split()
)

# Attributes that tell what somebody can do.
_ABILITIES = frozenset(
    b"""rtpmap fmtp ptime maxptime rtcp-fb rtcp-mux rtcp-rsize extmap framerate imageattr max-message-size sctp-port
    sctpmap mid group setup T38FaxVersion T38MaxBitRate T38FaxRateManagement T38FaxMaxBuffer T38FaxMaxDatagram
    T38FaxUdpEC sendrecv sendonly recvonly inactive""".split()
)

_LINE = re.compile(rb"([a-z])=([^\r\n\0]*)(\r?\n|\Z)")
_MEDIA = re.compile(rb"([!-~]+) +([0-9]{1,5})(/[0-9]{1,5})? +([!-~]+)((?: +[!-~]+)*) *")
_CONNECTION = re.compile(rb"IN +IP([46]) +([!-.0-~]+)(/[0-9/]+)? *", re.I)
_RTCP = re.compile(rb"([0-9]{1,5})(?: +IN +IP([46]) +([!-.0-~]+))? *", re.I)


class Connection(NamedTuple):
    """Where media goes, of a c= line: 4 or 6, an address or a name, and what follows a slash (of multicast)."""

    family: int
    host: str
    more: bytes = b""

    def __bytes__(self) -> bytes:
        return b"IN IP%d %b%b" % (self.family, self.host.encode("ascii"), self.more)


class Section:
    """Lines that belong together: those of the session, or those of one medium."""

    __slots__ = ("_lines", "_end")

    def __init__(self, end: bytes = b"\r\n") -> None:
        self._lines: list[tuple[bytes, bytes, bytes]] = []  # letter, text, end
        self._end = end

    def add(self, letter: bytes, text: bytes, end: bytes) -> None:
        """A line as it came, after all others."""
        self._lines.append((letter, text, end))

    def __bytes__(self) -> bytes:
        return b"".join([b"%b=%b%b" % line for line in self._lines])

    def first(self, letter: bytes) -> bytes:
        """The text of the first line with this letter; empty where there is none."""
        return next((text for each, text, _ in self._lines if each == letter), b"")

    def put(self, letter: bytes, text: bytes) -> None:
        """Say this in place of the first line with this letter, or where such a line belongs (RFC 8866 5)."""
        for at, (each, old, end) in enumerate(self._lines):
            if each == letter:
                if old != text:
                    self._lines[at] = letter, text, end or self._end
                return
        earlier = b"m" + _ORDER[: _ORDER.index(letter) + 1]
        at = max([at + 1 for at, (each, _, _) in enumerate(self._lines) if each in earlier], default=0)
        self._close(at)
        self._lines.insert(at, (letter, text, self._end))

    def drop(self, unwanted: Callable[[bytes, bytes], bool]) -> None:
        """Leave out every line of which `unwanted(letter, text)` holds."""
        self._lines = [line for line in self._lines if not unwanted(line[0], line[1])]

    def change(self, said: Callable[[bytes, bytes], bytes | None]) -> None:
        """Every line says what `said(letter, text)` returns; it is left out where that is None."""
        lines = [(letter, said(letter, text), end) for letter, text, end in self._lines]
        self._lines = [(letter, text, end) for letter, text, end in lines if text is not None]

    # Attributes

    def attributes(self, name: bytes) -> list[bytes]:
        """The values of a=`name` lines; an empty one of a property."""
        prefix = name + b":"
        return [
            text[len(prefix) :] if text.startswith(prefix) else b""
            for letter, text, _ in self._lines
            if letter == b"a" and (text == name or text.startswith(prefix))
        ]

    def has(self, name: bytes) -> bool:
        """Whether there is an attribute of that name."""
        return bool(self.attributes(name))

    def say(self, name: bytes, value: bytes = b"") -> None:
        """One attribute more, at the end."""
        self._close(len(self._lines))
        self._lines.append((b"a", name + b":" + value if value else name, self._end))

    def silence(self, names: Iterable[bytes]) -> None:
        """No attribute of these names any more."""
        gone = frozenset(names)
        self.drop(lambda letter, text: letter == b"a" and text.partition(b":")[0] in gone)

    @property
    def direction(self) -> bytes:
        """`sendrecv`, `sendonly`, `recvonly` or `inactive`, as said here; empty where nothing is."""
        return next((text for letter, text, _ in self._lines if letter == b"a" and text in DIRECTIONS), b"")

    @property
    def connection(self) -> Connection | None:
        """The address of the c= line here. Malformed for one that cannot be read."""
        text = self.first(b"c")
        if not text:
            return None
        found = _CONNECTION.fullmatch(text)
        if found is None:
            raise Malformed("a c= line that cannot be read", "RFC 8866 5.7")
        return Connection(int(found[1]), found[2].decode("ascii"), found[3] or b"")

    def _close(self, at: int) -> None:
        """A line that is not the last one any more needs an end."""
        if at and not self._lines[at - 1][2]:
            letter, text, _ = self._lines[at - 1]
            self._lines[at - 1] = letter, text, self._end


class Media(Section):
    """One medium: its m= line and what follows. `port` 0 is one that is not wanted."""

    __slots__ = ("kind", "port", "ports", "protocol", "formats")

    def __init__(self, text: bytes, end: bytes, usual: bytes) -> None:
        super().__init__(usual)
        found = _MEDIA.fullmatch(text)
        if found is None or int(found[2]) > 65535:
            raise Malformed("an m= line that cannot be read", "RFC 8866 5.14")
        self.kind, self.port, self.ports = found[1], int(found[2]), found[3] or b""
        self.protocol, self.formats = found[4], found[5].split()
        self.add(b"m", text, end)

    @property
    def refused(self) -> bool:
        """Whether nothing is to be sent (RFC 3264 6). A port of 0 in a bundle is still wanted (RFC 9143 6)."""
        return self.port == 0 and not self.has(b"bundle-only")

    @property
    def rtp(self) -> bool:
        """Whether it is RTP of any profile (RFC 4566 8.2.2)."""
        return b"RTP/" in self.protocol

    @property
    def datagrams(self) -> bool:
        """Whether it goes over UDP."""
        return not self.protocol.startswith((b"TCP", b"TLS")) and b"/TCP" not in self.protocol

    @property
    def rtcp(self) -> tuple[int, Connection | None]:
        """Where its reports go: the port, and the address where that is another one (RFC 3605).

        Malformed for what cannot be read.
        """
        values = self.attributes(b"rtcp")
        if not values:
            return (self.port + 1 if self.port else 0), None
        found = _RTCP.fullmatch(values[0])
        if found is None or int(found[1]) > 65535:
            raise Malformed("an a=rtcp line that cannot be read", "RFC 3605 2.1")
        where = Connection(int(found[2]), found[3].decode("ascii")) if found[2] else None
        return int(found[1]), where

    def at(self, port: int, ports: bytes = b"") -> None:
        """Another port in the m= line; the rest of it as it was."""
        _, text, end = self._lines[0]
        found = _MEDIA.fullmatch(text)
        assert found is not None, "it was read before"
        self.port, self.ports = port, ports
        rest = text[found.end(3 if found[3] else 2) :]
        self._lines[0] = b"m", text[: found.start(2)] + b"%d" % port + ports + rest, end


class Session(Section):
    """A whole description."""

    __slots__ = ("media",)

    def __init__(self, end: bytes = b"\r\n") -> None:
        super().__init__(end)
        self.media: list[Media] = []

    def __bytes__(self) -> bytes:
        return b"".join([super().__bytes__(), *map(bytes, self.media)])

    def connection_of(self, media: Media) -> Connection | None:
        """Where a medium goes: its own c= line, else the session's. Malformed for what cannot be read."""
        return media.connection or self.connection

    def direction_of(self, media: Media) -> bytes:
        """Which way a medium flows, seen from who says it (RFC 8866 6.7)."""
        return media.direction or self.direction or b"sendrecv"

    def held(self, media: Media) -> bool:
        """Whether who says it wants to hear nothing (RFC 3264 8.4): by direction, or by the address of old."""
        where = self.connection_of(media)
        silent = where is not None and where.host in ("0.0.0.0", "::")
        return silent or self.direction_of(media) in (b"sendonly", b"inactive")


def hushed(body: bytes, address: str) -> bytes:
    """A description that tells what somebody can do, and not where he is: `address` for his, no port (RFC 3264 9).

    Lines that nobody needs for that are left out. Malformed for what cannot be read.
    """
    session = parse_session(body)
    here = bytes(Connection(6 if ":" in address else 4, address))

    def line(letter: bytes, text: bytes) -> bytes | None:
        if letter == b"a":
            return text if text.partition(b":")[0] in _ABILITIES else None
        return here if letter == b"c" else text if letter in b"vostmb" else None

    for section in (session, *session.media):
        section.change(line)
    for media in session.media:
        media.at(0)
    return bytes(session)


def parse_session(body: bytes) -> Session:
    """The description in a body. Lines may end with LF, the last one without; empty lines at the end are left out.

    Malformed for anything else than lines of a letter, an equals sign and text that begin with v=0, and for too many.
    """
    at, lines = 0, 0
    session = Session(b"\n" if body[3:4] == b"\n" else b"\r\n")
    section: Section = session
    text = body.rstrip(b"\r\n")
    whole = body[: len(text) + 2] if body[len(text) :].startswith(b"\r\n") else body[: len(text) + 1]
    while at < len(whole):
        found = _LINE.match(whole, at)
        if found is None or not lines and found[0].rstrip() != b"v=0":
            raise Malformed("a session description that cannot be read", RULE)
        lines += 1
        if lines > MAX_LINES:
            raise Malformed(f"more than {MAX_LINES} lines of a session description", _LIMIT)
        letter, line, end = found.groups()
        if letter == b"m":
            if len(session.media) == MAX_MEDIA:
                raise Malformed(f"more than {MAX_MEDIA} media", _LIMIT)
            section = Media(line, end, session._end)
            session.media.append(section)
        else:
            section.add(letter, line, end)
        at = found.end()
    if not lines:
        raise Malformed("a session description that cannot be read", RULE)
    return session
