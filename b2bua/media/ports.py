"""Pairs of ports: an even one for RTP and the next for its reports (RFC 3550 11)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

REST = 60.0  # seconds before a pair is used again: what is still on its way is of another call


class NoPorts(Exception):
    """None can be had: all are in use or rest, or the system gives no more."""


class Ports:
    """The pairs of one address. They are given out in a random order: whose turn it is cannot be guessed.

    `below(n)` is a random number from 0 to n - 1, `now` the clock's seconds.
    """

    __slots__ = ("_free", "_resting", "_now", "used")

    def __init__(self, first: int, last: int, below: Callable[[int], int], now: Callable[[], float]) -> None:
        pairs = list(range(first + first % 2, last, 2))
        for at in range(len(pairs) - 1, 0, -1):
            other = below(at + 1)
            pairs[at], pairs[other] = pairs[other], pairs[at]
        self._free = deque(pairs)
        self._resting: deque[tuple[float, int]] = deque()
        self._now = now
        self.used = 0

    def take(self) -> int:
        """The even port of a pair. NoPorts where there is none."""
        now = self._now()
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])
        if not self._free:
            raise NoPorts("no media ports are left")
        self.used += 1
        return self._free.popleft()

    def give_back(self, port: int) -> None:
        """A pair is not used any more, or somebody else has bound it: it rests."""
        self.used -= 1
        self._resting.append((self._now() + REST, port))

    def untouched(self, port: int) -> None:
        """A pair that was not bound after all: it is the next one."""
        self.used -= 1
        self._free.appendleft(port)
