"""How long each of RFC 3261's timers runs (table 4), from T1, T2 and T4."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto


class Timer(IntEnum):
    """The timers of RFC 3261 17 and RFC 6026, and two that these leave to the core."""

    A = auto()  # INVITE again
    B = auto()  # no answer to an INVITE
    D = auto()  # retransmitted failures are ACKed
    E = auto()  # another request again
    F = auto()  # no final answer to another request
    G = auto()  # failure of an INVITE again
    H = auto()  # no ACK for a failure
    I = auto()  # noqa: E741 - RFC 3261's name; retransmitted ACKs are absorbed
    J = auto()  # retransmitted requests are answered
    K = auto()  # retransmitted answers are absorbed
    L = auto()  # RFC 6026: how long a 2xx waits for its ACK
    M = auto()  # RFC 6026: how long further 2xx are taken
    R = auto()  # RFC 3261 13.3.1.4: 2xx again, until its ACK
    X = auto()  # RFC 3261 9.1: no final answer after CANCEL


REPEATING = frozenset({Timer.A, Timer.E, Timer.G, Timer.R})  # each interval follows from the one before
_ONLY_UNRELIABLE = frozenset({Timer.A, Timer.E, Timer.G})
_UNCAPPED = frozenset({Timer.A})
_OF_T4 = frozenset({Timer.I, Timer.K})
_AT_LEAST_32 = frozenset({Timer.D})
_NOTHING_TO_ABSORB = frozenset({Timer.D, Timer.I, Timer.J, Timer.K})


@dataclass(frozen=True, slots=True)
class Timers:
    """T1 (round trip), T2 (longest interval between retransmissions) and T4 (life of a message on the net), seconds."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    @property
    def patience(self) -> float:
        """64·T1: when an answer will not come any more."""
        return 64 * self.t1

    def seconds(self, timer: Timer, previous: float, reliable: bool) -> float | None:
        """How long `timer` runs; None when it is not started at all.

        `previous` is the interval before, for timers that double; `reliable` says that the transport does not lose.
        """
        if timer in REPEATING:
            if reliable and timer in _ONLY_UNRELIABLE:
                return None
            doubled = 2 * previous if previous else self.t1
            if timer in _UNCAPPED:
                return doubled if doubled < self.patience else None  # B comes first
            return min(doubled, self.t2)
        if reliable and timer in _NOTHING_TO_ABSORB:
            return 0.0
        if timer in _OF_T4:
            return self.t4
        return max(32.0, self.patience) if timer in _AT_LEAST_32 else self.patience
