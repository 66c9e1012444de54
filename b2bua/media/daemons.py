"""The rtpengine daemons of one engine: who is alive, whose turn it is, and what each still has to forget.

A daemon that does not answer a ping is dead until it answers again; it is pinged all the time, a dead one more often,
and at once where a question has no answer: that may be the question's fault, as an answer that is too large for a
datagram never comes. What it is to delete it is told now or once it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol

from b2bua.media.ng import Answer, Answered
from b2bua.policy.media import Daemon

DEAD_PING = 1.0  # seconds between pings of a dead one, at most
OWED = 3600.0  # seconds for which a deletion is kept: by then rtpengine has ended the session for its silence
MAX_OWED = 20_000
AT_ONCE = 16  # deletions asked for at a time: the rest would overflow its socket


class Asks(Protocol):
    """A way to ask one daemon: `Ng`."""

    def ask(self, command: str, more: dict[str, Any], patience: float, then: Answered) -> None:
        """`then` gets the answer or None, once."""

    def close(self) -> None:
        """Nothing is asked any more."""


Tell = Callable[[Daemon, bool, str], None]  # who, whether it answers, and why not


class Peer:
    """One daemon and how it stands."""

    def __init__(self, daemon: Daemon, ng: Asks, clock: Any, patience: float, ping: float, tell: Tell) -> None:
        self.daemon = daemon
        self.weight = daemon.weight  # at least 0
        self.alive = True  # until it is known otherwise
        self.why = "not asked yet"
        self.owed: dict[str, float] = {}  # call-ids to delete, and until when that is of use; the oldest first
        self._ng = ng
        self._clock = clock
        self._patience = patience
        self._ping = ping
        self._tell = tell
        self._told: bool | None = None
        self._pinging: Any = None  # the next ping, where none is under way
        self._asking = self._stopped = False
        self._deleting: dict[str, list[Callable[[], None]]] = {}

    # Health

    def start(self) -> None:
        """Ping, from now on; once more where that has begun."""
        if self._asking or self._stopped:
            return
        if self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None
        self._asking = True
        self._ng.ask("ping", {}, min(self._patience, self._ping), self._pinged)

    def _pinged(self, answer: Answer | None) -> None:
        self._asking = False
        if self._stopped:
            return
        self._stands(answer is not None)
        wait = self._ping if self.alive else min(self._ping, DEAD_PING)
        self._pinging = self._clock.callLater(wait, self._again)

    def _again(self) -> None:
        self._pinging = None
        self.start()

    def stop(self) -> None:
        """Neither pings nor questions any more; what was asked has no answer."""
        self._stopped = True
        self._ng.close()
        if self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None

    def _heard(self, answer: Answer | None) -> None:
        """What is no ping has an answer, or none: then it is asked whether it is there at all."""
        if answer is not None:
            self._stands(True)
        elif self.alive:
            self.start()

    def _stands(self, alive: bool) -> None:
        if self._stopped:
            return
        self.alive = alive
        self.why = "" if alive else "it does not answer"
        if alive is not self._told:
            self._told = alive
            self._tell(self.daemon, alive, self.why)
        if alive:
            self._settle()

    # Questions

    def ask(self, command: str, more: dict[str, Any], patience: float, then: Answered) -> None:
        """Ask; that it answers also says that it lives."""

        def told(answer: Answer | None) -> None:
            self._heard(answer)
            then(answer)

        self._ng.ask(command, more, patience, told)

    def forget(self, call: str, then: Callable[[], None] = lambda: None) -> None:
        """Delete a call, now or once it is back. `then` is called when it has answered, or does not."""
        self.owed[call] = self._clock.seconds() + OWED
        while len(self.owed) > MAX_OWED:
            del self.owed[next(iter(self.owed))]
        if self.alive:
            self._delete(call, then)
        else:
            then()

    def _settle(self) -> None:
        if not self.owed or len(self._deleting) >= AT_ONCE:
            return
        now = self._clock.seconds()
        for call in list(islice(self.owed, 2 * AT_ONCE)):  # the first may be asked for already
            if len(self._deleting) >= AT_ONCE or not self.alive:
                break
            until = self.owed.get(call, now)
            if until < now:
                del self.owed[call]
            elif call in self.owed and call not in self._deleting:
                self._delete(call)

    def _delete(self, call: str, then: Callable[[], None] = lambda: None) -> None:
        waiting = self._deleting.setdefault(call, [])
        waiting.append(then)
        if len(waiting) == 1:
            # A call it does not know is none: it was started again.
            self._ng.ask("delete", {"call-id": call, "delete-delay": 0}, self._patience, partial(self._deleted, call))

    def _deleted(self, call: str, answer: Answer | None) -> None:
        waiting = self._deleting.pop(call)
        if answer is not None:
            self.owed.pop(call, None)
        self._heard(answer)
        for then in waiting:
            then()


def choose(peers: Sequence[Peer], tried: Collection[Peer], below: Callable[[int], int]) -> Peer | None:
    """Whose turn it is: one of those that live, by weight; None where none is left. `below(n)`: from 0 to n - 1.

    Not RFC 2782's way (`policy.weights`): of two that weigh 1 it takes the first one twice as often.
    """
    living = [peer for peer in peers if peer.alive and peer not in tried]
    if not any(peer.weight for peer in living):
        return living[below(len(living))] if living else None
    at = below(sum(peer.weight for peer in living))
    for peer in living:
        at -= peer.weight
        if at < 0:
            return peer
    raise AssertionError("below() gave more than it was asked for")
