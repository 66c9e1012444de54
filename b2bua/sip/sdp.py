"""SDP as one leg says it (RFC 8866, S44): the origin is the leg's own, and lines that name people do not cross.

Whose address stands in o=? `own`. Connection addresses and media stay as they came, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from b2bua.sip.grammar import Malformed
from b2bua.sip.multipart import media_type, read

SDP = "application/sdp"

_RULE = "RFC 8866 5"

# Lines of one letter, an equals sign and text, each with an end that every reader takes for one.
_SDP = re.compile(rb"v=0\r\n(?:[a-z]=[^\r\n\0]*+\r\n)++")
# The same from those who end lines with LF, leave out the last end or add empty lines after it.
_LOOSE_SDP = re.compile(rb"v=0\r?\n(?:[a-z]=[^\r\n\0]*+(?:\r?\n|\Z))++(?:\r?\n)*+")
_NOT_OURS = re.compile(rb"\n[osiuep]=[^\n]*+")


def describes(content_type: str) -> bool:
    """Whether a body of this Content-Type is a session description, or may hold one."""
    if content_type == SDP:  # nearly always
        return True
    kind = media_type(content_type)
    return kind == SDP or kind.startswith("multipart/")


def description(body: bytes, content_type: str) -> bytes:
    """The session description that a body is, or the first that it has among its parts; empty where there is none.

    Malformed for parts that cannot be read.
    """
    if not body or not describes(content_type):
        return b""
    if content_type == SDP or media_type(content_type) == SDP:
        return body
    return next((part.body for part in read(body, content_type).leaves() if media_type(part.content_type) == SDP), b"")


def own(body: bytes, session_id: str, version: int, address: str) -> bytes:
    """A session description with the leg's own origin and name.

    `session_id` is decimal digits, `address` an IP address without brackets. i=, u=, e= and p= lines are gone, also in
    media sections; every other line is as it was, line ends included. Malformed for what is no SDP.
    """
    return _origin(session_id, version, address).join(_around(body))


def _origin(session_id: str, version: int, address: str) -> bytes:
    return f"o=- {session_id} {version} IN {'IP6' if ':' in address else 'IP4'} {address}".encode("ascii")


def _around(body: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the text of the o= line."""
    if not (_SDP.fullmatch(body) or _LOOSE_SDP.fullmatch(body)):
        raise Malformed("a session description that cannot be read", _RULE)
    end = b"\r\n" if body[3:4] == b"\r" else b"\n"
    rest = _NOT_OURS.sub(b"", body[3:])
    if rest[-1:] == b"\r":  # the last line went, and was one without an end
        rest += b"\n"
    return b"v=0" + end, end + b"s=-" + rest


class OwnedSdp:
    """The origin of one leg: the same session in every description, its version one higher whenever that changes."""

    __slots__ = ("session_id", "address", "version", "_last")

    def __init__(self, session_id: str, address: str, version: int = 0) -> None:
        self.session_id = session_id
        self.address = address
        self.version = version
        self._last: int | None = None

    def own(self, body: bytes) -> bytes:
        """A session description as this leg says it. Malformed for what cannot be read."""
        chunks = _around(body)
        return self._origin_of(chunks).join(chunks)

    def own_all(self, bodies: Sequence[bytes]) -> list[bytes]:
        """The session descriptions of one message: they change together, and have one version.

        Malformed where one cannot be read; then nothing has changed.
        """
        around = [_around(body) for body in bodies]
        if not around:
            return []
        origin = self._origin_of(tuple(chunk for chunks in around for chunk in chunks))
        return [origin.join(chunks) for chunks in around]

    def _origin_of(self, chunks: tuple[bytes, ...]) -> bytes:
        """The origin with which this is said: the last one's, if the same was said then."""
        seen = hash(chunks)  # enough to see a change, and far smaller than what it stands for
        if seen != self._last:
            self._last = seen
            self.version += 1
        return _origin(self.session_id, self.version, self.address)
