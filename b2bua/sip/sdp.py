"""SDP as one leg says it (RFC 8866, S44): the origin is the leg's own, and lines that name people do not cross.

Whose address stands in o=? `own`. Connection addresses and media stay as they came, byte for byte.
"""

from __future__ import annotations

import re

from b2bua.sip.grammar import Malformed, parse_params

MAX_PARTS = 16  # of one multipart body
MAX_DEPTH = 3  # of multipart bodies within each other

_RULE = "RFC 8866 5"
_MIME = "RFC 2046 5.1.1"

# Lines of one letter, an equals sign and text, each with an end that every reader takes for one.
_SDP = re.compile(rb"v=0\r\n(?:[a-z]=[^\r\n\0]*+\r\n)++")
# The same from those who end lines with LF, leave out the last end or add empty lines after it.
_LOOSE_SDP = re.compile(rb"v=0\r?\n(?:[a-z]=[^\r\n\0]*+(?:\r?\n|\Z))++(?:\r?\n)*+")
_NOT_OURS = re.compile(rb"\n[osiuep]=[^\n]*+")

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_DELIMITER_END = re.compile(rb"(--)?[ \t]*(\r\n|\Z)")
_PART_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:[ \t]*([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)(?:\r\n|\Z)")
_PART_LENGTH = re.compile(rb"^Content-Length[ \t]*:[^\r\n]*\r\n", re.I | re.M)
_PLAIN = frozenset({"", "7bit", "8bit", "binary"})


def media_type(content_type: str) -> str:
    """`type/subtype` of a Content-Type, in lower case and without the blanks that RFC 3261 25.1 allows in it."""
    return "".join(content_type.partition(";")[0].split()).lower()


def describes(content_type: str) -> bool:
    """Whether a body of this Content-Type is a session description, or may hold one."""
    if content_type == "application/sdp":  # nearly always
        return True
    kind = media_type(content_type)
    return kind == "application/sdp" or kind.startswith("multipart/")


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

    def own(self, body: bytes, content_type: str = "application/sdp") -> bytes:
        """The body as this leg says it; one that `content_type` does not call a session description, as it is.

        In a multipart body the parts that are session descriptions are owned. Malformed for what cannot be read.
        """
        if content_type == "application/sdp" or (kind := media_type(content_type)) == "application/sdp":
            chunks: list[bytes] = [*_around(body)]
        elif kind.startswith("multipart/"):
            chunks = [b""]
            _read_multipart(body, content_type, chunks, 1)
            if len(chunks) == 1:
                return body
        else:
            return body
        # The hash is enough to see a change and far smaller than what it stands for.
        seen = hash(tuple(chunks))
        if seen != self._last:
            self._last = seen
            self.version += 1
        return _origin(self.session_id, self.version, self.address).join(chunks)


def _read_multipart(body: bytes, content_type: str, chunks: list[bytes], depth: int) -> None:
    """Append a multipart body to `chunks`, a new chunk after each place where an origin belongs."""
    if depth > MAX_DEPTH:
        raise Malformed(f"bodies more than {MAX_DEPTH} deep within each other", "a limit of this server")
    for is_part, piece in _split(body, b"--" + _boundary(content_type)):
        if is_part:
            _read_part(piece, chunks, depth)
        else:
            chunks[-1] += piece


def _boundary(content_type: str) -> bytes:
    value = parse_params(content_type[len(content_type.partition(";")[0]) :], _MIME).get("boundary") or ""
    if value[:1] == '"':
        value = value[1:-1]
    if not _BOUNDARY.fullmatch(value):
        raise Malformed("a multipart body without a boundary", _MIME)
    return value.encode("ascii")


def _split(body: bytes, delimiter: bytes) -> list[tuple[bool, bytes]]:
    """The body in pieces, all of it: (True, a part) and (False, what is between, before and after the parts)."""
    pieces: list[tuple[bool, bytes]] = []
    start = begin = 0  # of the part being read, and of what follows it
    closed = False
    at = body.find(delimiter)
    while at >= 0 and not closed:
        if at and body[at - 1 : at] != b"\n":
            at = body.find(delimiter, at + 1)  # not at the beginning of a line
            continue
        end = _DELIMITER_END.match(body, at + len(delimiter))
        if end is None or (at and body[at - 2 : at] != b"\r\n"):
            raise Malformed("a line that only some would take for a boundary", _MIME)
        if pieces:
            begin = max(at - 2, start)  # the line end before a boundary belongs to it
            pieces.append((True, body[start:begin]))
        pieces.append((False, body[begin : end.end()]))
        begin = start = end.end()
        closed = end.group(1) is not None
        if len(pieces) > 2 * MAX_PARTS + 1:
            raise Malformed(f"more than {MAX_PARTS} parts in a body", "a limit of this server")
        at = body.find(delimiter, start)
    if not closed or len(pieces) < 3:
        raise Malformed("a multipart body without parts or without its end", _MIME)
    pieces.append((False, body[start:]))
    return pieces


def _read_part(part: bytes, chunks: list[bytes], depth: int) -> None:
    """One body part: headers, an empty line, a body."""
    head, blank, body = (b"", b"", part[2:]) if part[:2] == b"\r\n" else part.partition(b"\r\n\r\n")
    headers = _part_headers(head)
    content_type = headers.get("content-type", "")
    if not describes(content_type):
        chunks[-1] += part
        return
    if headers.get("content-transfer-encoding", "").lower() not in _PLAIN:
        raise Malformed("an encoded session description", "RFC 3261 7.4.1", 415)
    # A part needs no length, and the one it had may be wrong once the part is owned.
    chunks[-1] += _PART_LENGTH.sub(b"", head + b"\r\n") + b"\r\n"
    if media_type(content_type) == "application/sdp":
        before, after = _around(body)
        chunks[-1] += before
        chunks.append(after)
    else:
        _read_multipart(body, content_type, chunks, depth + 1)


def _part_headers(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    while at < len(head):
        found = _PART_HEADER.match(head, at)
        if found is None:
            raise Malformed("a header of a body part that cannot be read", "RFC 2046 5.1")
        name = found.group(1).decode("ascii").lower()
        if name in headers:
            raise Malformed(f"{name} twice in a body part", "RFC 2046 5.1")
        headers[name] = found.group(2).replace(b"\r\n", b" ").decode("utf-8", "surrogateescape").strip()
        at = found.end()
    return headers
