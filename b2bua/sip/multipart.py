"""Bodies of several parts (RFC 2046 5.1, RFC 5621): read with all that is in them, and written with a boundary of ours.

What stands before the first and after the last boundary is for nobody to read (RFC 2046 5.1.1), so it is not kept. A
part that nobody changes leaves octet for octet as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from b2bua.sip.grammar import Malformed, parse_params

MAX_PARTS = 16  # of one multipart body
MAX_DEPTH = 3  # of multipart bodies within each other
RULE = "RFC 2046 5.1.1"
_LIMIT = "a limit of this server"

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_DELIMITER_END = re.compile(rb"(--)?[ \t]*(\r\n|\Z)")
_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:[ \t]*([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)(?:\r\n|\Z)")
_PLAIN = frozenset({"", "7bit", "8bit", "binary"})


def media_type(content_type: str) -> str:
    """`type/subtype` of a Content-Type, in lower case and without the blanks that RFC 3261 25.1 allows in it."""
    return "".join(content_type.partition(";")[0].split()).lower()


class Part:
    """One part: its headers by their names in lower case, and its body; `inner` where that is a multipart body too.

    Lengths of parts are not kept where the body changes: a part needs none (RFC 2046 5.1).
    """

    __slots__ = ("body", "inner", "_lines", "_values")

    def __init__(self, body: bytes, lines: dict[str, bytes], values: dict[str, str]) -> None:
        self.body = body
        self.inner: Multipart | None = None
        self._lines = lines
        self._values = values

    def get(self, name: str) -> str:
        """A header's value, unfolded; empty where there is none."""
        return self._values.get(name, "")

    @property
    def content_type(self) -> str:
        """What the body is (RFC 2046 5.1: text where nothing is said)."""
        return self.get("content-type") or "text/plain"

    @property
    def encoded(self) -> bool:
        """Whether the body is in an encoding that has to be taken off before it can be read."""
        return self.get("content-transfer-encoding").lower() not in _PLAIN or bool(self.get("content-encoding"))

    @property
    def names(self) -> list[str]:
        """Its headers."""
        return list(self._lines)

    def set(self, name: str, value: str) -> None:
        """Give a header another value; an empty one takes it out."""
        if value == self._values.get(name, ""):
            return
        if value:
            self._values[name] = value
            spelling = "-".join("ID" if word == "id" else word.capitalize() for word in name.split("-"))
            self._lines[name] = f"{spelling}: {value}\r\n".encode("utf-8", "surrogateescape")
        else:
            del self._values[name], self._lines[name]

    def change(self, body: bytes) -> None:
        """Give it another body."""
        if body != self.body:
            self.body = body
            self.set("content-length", "")

    def written(self, body: bytes) -> bytes:
        """The part as it stands between two boundaries, with this body."""
        return b"".join(self._lines.values()) + b"\r\n" + body


class Multipart:
    """A body of several parts. `content_type` is its own, boundary and all."""

    __slots__ = ("content_type", "parts")

    def __init__(self, content_type: str, parts: list[Part]) -> None:
        self.content_type = content_type
        self.parts = parts

    def leaves(self) -> Iterator[Part]:
        """Every part that has no parts itself, in order."""
        for part in self.parts:
            if part.inner is None:
                yield part
            else:
                yield from part.inner.leaves()

    def every(self) -> Iterator[Multipart]:
        """This one, and those within it."""
        yield self
        for part in self.parts:
            if part.inner is not None:
                yield from part.inner.every()

    def write(self, boundaries: Iterator[str]) -> tuple[bytes, str]:
        """The body and its boundary, the next of `boundaries`; each within it takes one of its own.

        A part whose own parts are all gone goes too; (b"", "") when nothing is left.
        """
        boundary = next(boundaries)
        mark = b"--" + boundary.encode("ascii")
        written: list[bytes] = []
        for part in self.parts:
            body = part.body
            if part.inner is not None:
                body, inside = part.inner.write(boundaries)
                if not body:
                    continue
                part.change(body)
                part.set("content-type", f"{part.inner.content_type};boundary={inside}")
            written.append(mark + b"\r\n" + part.written(body) + b"\r\n")
        return (b"".join(written) + mark + b"--\r\n", boundary) if written else (b"", "")


def read(body: bytes, content_type: str, depth: int = 1) -> Multipart:
    """A multipart body with all that is in it; `depth` says within how many others it stands, itself counted.

    Malformed for what has no boundary, part or end, what two readers could part differently, and for too much of it;
    415 for bodies of several parts that are encoded.
    """
    if depth > MAX_DEPTH:
        raise Malformed(f"bodies more than {MAX_DEPTH} deep within each other", _LIMIT)
    parts = [_part(text) for text in _split(body, b"--" + _boundary(content_type))]
    for part in parts:
        if media_type(part.content_type).startswith("multipart/"):
            if part.encoded:
                raise Malformed("parts that are encoded together", "RFC 2045 6.4", 415)
            part.inner = read(part.body, part.content_type, depth + 1)
    return Multipart(content_type, parts)


def _boundary(content_type: str) -> bytes:
    value = parse_params(content_type[len(content_type.partition(";")[0]) :], RULE).get("boundary") or ""
    if value[:1] == '"':
        value = value[1:-1]
    if not _BOUNDARY.fullmatch(value):
        raise Malformed("a multipart body without a boundary", RULE)
    return value.encode("ascii")


def _split(body: bytes, delimiter: bytes) -> list[bytes]:
    """The text of each part."""
    parts: list[bytes] = []
    start = -1  # of the part being read
    closed = False
    at = body.find(delimiter)
    while at >= 0 and not closed:
        if at and body[at - 1 : at] != b"\n":
            at = body.find(delimiter, at + 1)  # not at the beginning of a line
            continue
        end = _DELIMITER_END.match(body, at + len(delimiter))
        if end is None or (at and body[at - 2 : at] != b"\r\n"):
            raise Malformed("a line that only some would take for a boundary", RULE)
        if start >= 0:
            parts.append(body[start : max(at - 2, start)])  # the line end before a boundary belongs to it
        start = end.end()
        closed = end.group(1) is not None
        if len(parts) > MAX_PARTS:
            raise Malformed(f"more than {MAX_PARTS} parts in a body", _LIMIT)
        at = body.find(delimiter, start)
    if not closed or not parts:
        raise Malformed("a multipart body without parts or without its end", RULE)
    return parts


def _part(text: bytes) -> Part:
    """One body part: headers, an empty line, a body."""
    head, _, body = (b"", b"", text[2:]) if text[:2] == b"\r\n" else text.partition(b"\r\n\r\n")
    return Part(body, *headers_of(head))


def headers_of(head: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """Headers as MIME has them, by their names in lower case: the lines as they came, and the values unfolded.

    Malformed for a line that is none, and for a header given twice.
    """
    lines: dict[str, bytes] = {}
    values: dict[str, str] = {}
    at = 0
    while at < len(head):
        found = _HEADER.match(head, at)
        if found is None:
            raise Malformed("a header of a body part that cannot be read", "RFC 2046 5.1")
        name = found.group(1).decode("ascii").lower()
        if name in lines:
            raise Malformed(f"{name} twice in a body part", "RFC 2046 5.1")
        values[name] = found.group(2).replace(b"\r\n", b" ").decode("utf-8", "surrogateescape").strip()
        lines[name] = found.group().removesuffix(b"\r\n") + b"\r\n"
        at = found.end()
    return lines, values
