"""One timer for everything that waits: entries in buckets of a tick, one `callLater` for the earliest."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

from twisted.logger import Logger

TICK = 0.02  # seconds; SIP's shortest timer is 25 times that

Entry = tuple[Any, ...]  # what is called, and with what


class Clock(Protocol):
    """What the wheel needs of a reactor, or of `task.Clock`."""

    def seconds(self) -> float: ...

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Any: ...


class Wheel:
    """Runs what is due, at most a tick late and never early. Nothing is taken out again."""

    log = Logger()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now = clock.seconds  # the clock's seconds
        self._buckets: dict[int, list[Entry]] = {}
        self._ticks: list[int] = []
        self._next: Any = None
        self._scheduled = 0

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action` when `seconds` have passed."""
        tick = int((self.now() + seconds) / TICK) + 1
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.append((action, *arguments))
            return
        self._buckets[tick] = [(action, *arguments)]
        heappush(self._ticks, tick)
        if self._next is None or tick < self._scheduled:
            self._schedule(tick)

    def stop(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        self._ticks.clear()
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _schedule(self, tick: int) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._scheduled = tick
        self._next = self._clock.callLater(max(0.0, tick * TICK - self._clock.seconds()), self._turn)

    def _turn(self) -> None:
        self._scheduled = -1  # what is entered meanwhile waits for the end of the turn, which sees what is next
        reached = int(self._clock.seconds() / TICK + 1e-6)
        while self._ticks and self._ticks[0] <= reached:
            for action, *arguments in self._buckets.pop(heappop(self._ticks)):
                try:
                    action(*arguments)
                except Exception:  # noqa: BLE001 - one entry's fault must not stop the others
                    self.log.failure("a timer failed")
        self._next = None
        if self._ticks:
            self._schedule(self._ticks[0])
