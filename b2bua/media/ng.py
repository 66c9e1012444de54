"""rtpengine's ng protocol: one datagram asks, one answers, and both begin with a cookie of ours.

Asked again with the same cookie rtpengine answers as before, so that a lost datagram costs only time. It reads JSON as
well as bencode (since 10.4).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

AGAIN = 0.1  # seconds before the same is asked once more; then twice as long, and so on
AT_ONCE = 32  # answers taken before others have their turn
Answer = dict[str, Any]
Answered = Callable[["Answer | None"], None]


@implementer(IReadDescriptor)
class Ng:
    """One rtpengine, at an address and a port. `word` gives cookies that nobody can guess."""

    def __init__(self, host: str, port: int, reactor: Any, word: Callable[[], str]) -> None:
        self._where = host, port
        self._reactor = reactor
        self._word = word
        self._waiting: dict[str, Asked] = {}
        self._socket: socket.socket | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many answers are awaited."""
        return len(self._waiting)

    def ask(self, command: str, more: Mapping[str, object], patience: float, then: Answered) -> None:
        """Ask; `then` gets the answer once, or None where none comes within `patience` seconds or nobody is there."""
        cookie = self._word()
        data = f"{cookie} {json.dumps({'command': command, **more})}".encode()
        asked = self._waiting[cookie] = Asked(data, then)
        asked.given_up = self._reactor.callLater(patience, self._end, cookie, None)
        self._send(cookie, AGAIN)

    def _send(self, cookie: str, wait: float) -> None:
        asked = self._waiting[cookie]
        if self._write(asked.data):
            asked.again = self._reactor.callLater(wait, self._send, cookie, 2 * wait)
        else:
            self._end(cookie, None)

    def _write(self, data: bytes) -> bool:
        for _ in range(0 if self._closed else 2):  # an error may be an earlier datagram's, told now
            try:
                self._connected().send(data)
                return True
            except BlockingIOError:
                return True  # lost, as datagrams are
            except OSError:
                continue
        return False

    def _connected(self) -> socket.socket:
        if self._socket is None:
            family = socket.AF_INET6 if ":" in self._where[0] else socket.AF_INET
            made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                made.connect(self._where)
            except OSError:
                made.close()
                raise
            self._socket = made
            self._reactor.addReader(self)
        return self._socket

    def fileno(self) -> int:
        """For the reactor."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """For the reactor."""
        return "ng"

    def doRead(self) -> None:
        """Answers, as they come."""
        for _ in range(AT_ONCE):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(65535)
            except BlockingIOError:
                return
            except OSError:
                self._nobody()
                return
            self._heard(data)

    def _heard(self, data: bytes) -> None:
        """An answer; anything else is not for us."""
        cookie, _, text = data.decode("utf-8", "replace").partition(" ")
        if cookie in self._waiting:
            try:
                answer = json.loads(text)
            except (ValueError, RecursionError):
                answer = None
            self._end(cookie, answer if isinstance(answer, dict) else None)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The reactor gives a socket up for an ICMP error: it is as good as before, but nobody is there now."""
        if self._socket is not None:
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._reactor.addReader(self)
            self._nobody()

    def _nobody(self) -> None:
        """Whatever waits need not wait for its time."""
        for cookie in list(self._waiting):
            if cookie in self._waiting:
                self._end(cookie, None)

    def _end(self, cookie: str, answer: Answer | None) -> None:
        asked = self._waiting.pop(cookie)
        for call in (asked.again, asked.given_up):
            if call is not None and call.active():
                call.cancel()
        asked.then(answer)

    def close(self) -> None:
        """Nobody is asked any more: what waits has no answer."""
        self._closed = True
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None
        self._nobody()


class Asked:
    """A question without its answer yet."""

    __slots__ = ("data", "then", "again", "given_up")

    def __init__(self, data: bytes, then: Answered) -> None:
        self.data = data
        self.then = then
        self.again: Any = None
        self.given_up: Any = None
