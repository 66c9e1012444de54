"""Messages out of a stream (RFC 3261 18.3, RFC 5626 3.5.1): sans-IO, bounded in size, linear in time."""

from __future__ import annotations

import re

from b2bua.sip.grammar import Malformed, digits

MAX_HEAD = 65535
MAX_BODY = 1 << 20

_FOLD = re.compile(rb"(?<![ \t])(?:[ \t]*+\r\n[ \t]++)++")
_LENGTH = re.compile(rb"\r\n(?:Content-Length|l)[ \t]*:([^\r\n]*)", re.I)
_CR, _LF = b"\r\n"

PING = b"\r\n\r\n"
PONG = b"\r\n"


class Framer:
    """Cuts a stream into messages; however the stream arrives in pieces, the same come out.

    `feed` returns whole messages as bytes, and between them a `PONG` for each CRLF, or a `PING` for the second of two
    in a row (RFC 5626 4.4.1). When the stream can no longer be followed `fault` says why: the connection is of no use.
    """

    __slots__ = ("_held", "_wanted", "_half_ping", "fault", "max_head", "max_body")

    def __init__(self, max_head: int = MAX_HEAD, max_body: int = MAX_BODY) -> None:
        self._held = bytearray()  # the beginning of a message
        self._wanted = 0  # its size, once its headers are here
        self._half_ping = False
        self.fault: Malformed | None = None
        self.max_head = max_head
        self.max_body = max_body

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._held)

    def pong_taken(self) -> None:
        """The last CRLF was the pong to a ping of ours, and not the first half of a ping."""
        self._half_ping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; return what is whole."""
        if self.fault is not None:
            return []
        if self._held:
            before = len(self._held)
            self._held += data
            if self._still_partial(before):
                return []
            data = bytes(self._held)
            self._held.clear()
            self._wanted = 0
        whole: list[bytes] = []
        at = 0
        try:
            while at < len(data) and (end := self._end(data, at)):
                if end - at > 2:
                    whole.append(data[at:end])
                    self._half_ping = False
                else:
                    whole.append(PING if self._half_ping else PONG)
                    self._half_ping = not self._half_ping
                at = end
        except Malformed as fault:
            self.fault = fault
        else:
            self._held += data[at:]
        return whole

    def _still_partial(self, before: int) -> bool:
        """Whether what is held and was `before` octets long is worth no look yet: this alone is done for each octet."""
        if self._wanted:
            return len(self._held) < self._wanted
        if self._held[0] == _CR or len(self._held) > self.max_head:
            return False
        return self._held.find(b"\r\n\r\n", max(0, before - 3)) < 0

    def _end(self, data: bytes, at: int) -> int:
        """Where the CRLF or the message that begins at `at` ends; 0 when its end is not here yet."""
        if data[at] == _CR:
            if len(data) == at + 1:
                return 0
            if data[at + 1] != _LF:
                raise Malformed("a bare CR between messages", "RFC 3261 7.5")
            return at + 2
        blank = data.find(b"\r\n\r\n", at)
        if (blank if blank >= 0 else len(data)) - at > self.max_head:
            raise Malformed(f"headers over {self.max_head} octets", "a limit of this server", 513)
        if blank < 0:
            return 0
        end = blank + 4 + self._length(data[at : blank + 2])
        if end > len(data):
            self._wanted = end - at
            return 0
        return end

    def _length(self, head: bytes) -> int:
        if b"\r\n " in head or b"\r\n\t" in head:
            head = _FOLD.sub(b" ", head)
        lengths = _LENGTH.findall(head)
        if len(lengths) != 1:
            what = "no Content-Length" if not lengths else "more than one Content-Length"
            raise Malformed(f"{what} on a stream", "RFC 3261 18.3")
        length = digits(lengths[0].strip(b" \t").decode("latin-1"), 2**31, "Content-Length", "RFC 3261 20.14")
        if length > self.max_body:
            raise Malformed(f"a body over {self.max_body} octets", "a limit of this server", 513)
        return length
