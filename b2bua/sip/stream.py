"""Messages out of a stream (RFC 3261 18.3, RFC 5626 3.5.1): sans-IO, bounded in size."""

from __future__ import annotations

import re

from b2bua.sip.grammar import Malformed, digits

MAX_HEAD = 65535
MAX_BODY = 1 << 20

_LENGTH = re.compile(rb"\r\n(?:Content-Length|l)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.I)

PING = b"\r\n\r\n"
PONG = b"\r\n"


class Framer:
    """Cuts a stream into messages.

    `feed` returns whole messages as bytes, and `PING` or `PONG` for keep-alives between them. It raises Malformed when
    the stream can no longer be followed: the connection is then of no use.
    """

    __slots__ = ("_buffer", "_wanted", "max_head", "max_body")

    def __init__(self, max_head: int = MAX_HEAD, max_body: int = MAX_BODY) -> None:
        self._buffer = b""
        self._wanted = 0
        self.max_head = max_head
        self.max_body = max_body

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; return what is whole."""
        self._buffer += data
        if len(self._buffer) < self._wanted:
            return []
        whole: list[bytes] = []
        while (piece := self._next()) is not None:
            whole.append(piece)
        return whole

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if buffer[:1] == b"\r":
            return self._keep_alive()
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > self.max_head:
                raise Malformed(f"headers over {self.max_head} octets", "a limit of this server", 513)
            return None
        if end > self.max_head:
            raise Malformed(f"headers over {self.max_head} octets", "a limit of this server", 513)
        size = end + 4 + self._length(buffer[: end + 2])
        if len(buffer) < size:
            self._wanted = size
            return None
        self._wanted = 0
        self._buffer = buffer[size:]
        return buffer[:size]

    def _keep_alive(self) -> bytes | None:
        """CRLF before a start line is ignored (RFC 3261 7.5), but two are a ping and one is a pong (RFC 5626 4.4.1)."""
        if len(self._buffer) < 2 or self._buffer == b"\r\n\r":
            return None
        mark = PING if self._buffer[:4] == PING else PONG
        if not self._buffer.startswith(PONG):
            raise Malformed("a bare CR between messages", "RFC 3261 7.5")
        self._buffer = self._buffer[len(mark) :]
        return mark

    def _length(self, head: bytes) -> int:
        lengths = _LENGTH.findall(head)
        if len(lengths) != 1:
            what = "no Content-Length" if not lengths else "more than one Content-Length"
            raise Malformed(f"{what} on a stream", "RFC 3261 18.3")
        length = digits(lengths[0].decode("latin-1"), 2**31, "Content-Length", "RFC 3261 20.14")
        if length > self.max_body:
            raise Malformed(f"a body over {self.max_body} octets", "a limit of this server", 513)
        return length
