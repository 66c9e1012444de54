"""rtpengine's ng protocol: one datagram asks, one answers, and both begin with a cookie of ours.

Asked again with the same cookie rtpengine answers as before, so that a lost datagram costs only time. It reads JSON as
well as bencode (since 10.4).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.protocol import DatagramProtocol

AGAIN = 0.25  # seconds before the same is asked once more; then twice as long, and so on
Answer = dict[str, Any]


class Ng(DatagramProtocol):
    """One rtpengine. `patience` is how many seconds an answer may take, with everything asked again meanwhile."""

    transport: Any

    def __init__(self, reactor: Any, word: Callable[[], str], patience: float = 1.0) -> None:
        self._reactor = reactor
        self._word = word
        self._patience = patience
        self._waiting: dict[str, Asked] = {}

    @property
    def waiting(self) -> int:
        """How many answers are awaited."""
        return len(self._waiting)

    def ask(self, command: str, more: Mapping[str, object], then: Callable[[Answer | None], None]) -> None:
        """Ask; `then` gets the answer once, or None where none came in time."""
        cookie = self._word()
        data = f"{cookie} {json.dumps({'command': command, **more})}".encode()
        asked = self._waiting[cookie] = Asked(data, then)
        asked.given_up = self._reactor.callLater(self._patience, self._end, cookie, None)
        self._send(cookie, AGAIN)

    def _send(self, cookie: str, wait: float) -> None:
        asked = self._waiting.get(cookie)
        if asked is not None:
            self.transport.write(asked.data)
            asked.again = self._reactor.callLater(wait, self._send, cookie, 2 * wait)

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """An answer; anything else is not for us."""
        cookie, _, text = datagram.decode("utf-8", "replace").partition(" ")
        if cookie in self._waiting:
            try:
                answer = json.loads(text)
            except ValueError:
                answer = None
            self._end(cookie, answer if isinstance(answer, dict) else None)

    def connectionRefused(self) -> None:
        """ICMP says that nobody is there: whatever waits need not wait for its time."""
        for cookie in list(self._waiting):
            self._end(cookie, None)

    def _end(self, cookie: str, answer: Answer | None) -> None:
        asked = self._waiting.pop(cookie)
        for call in (asked.again, asked.given_up):
            if call is not None and call.active():
                call.cancel()
        asked.then(answer)

    def stop(self) -> None:
        """Nobody is asked any more."""
        self.connectionRefused()
        self.transport.stopListening()


class Asked:
    """A question without its answer yet."""

    __slots__ = ("data", "then", "again", "given_up")

    def __init__(self, data: bytes, then: Callable[[Answer | None], None]) -> None:
        self.data = data
        self.then = then
        self.again: Any = None
        self.given_up: Any = None
