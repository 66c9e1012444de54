"""When Python looks for circles of objects that nobody holds any more.

The bridge frees what it needs no longer by counting references; circles are left by connections and by errors, not by
calls. Left to itself the collector would walk through all that is alive time and again, find nothing, and hold every
message up meanwhile. So it runs when nobody waits, or when memory has grown so much that circles may be why.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

EVERY = 10.0  # seconds between two looks
GROWTH = 256 << 20  # octets: memory may double since the last time, and grow by this, before calls wait for a walk
WORTH_IT = 10_000  # new objects, below which an idle bridge does not look


class Garbage(Service):
    """Runs the collector in place of Python, from start to stop. `idle` says whether nobody waits for anything."""

    log = Logger(namespace="b2bua")

    def __init__(self, reactor: Any, idle: Callable[[], bool], memory: Callable[[], int] | None = None) -> None:
        self._reactor = reactor
        self._idle = idle
        self._memory = memory or resident
        self._before = 0
        self._next: Any = None

    def startService(self) -> None:
        """What is there by now stays."""
        super().startService()
        gc.disable()
        self._collect()
        self._next = self._reactor.callLater(EVERY, self._look)

    def stopService(self) -> None:
        """Python does it again as it always does."""
        super().stopService()
        self._next.cancel()
        gc.unfreeze()
        gc.enable()

    def _look(self) -> None:
        self._next = self._reactor.callLater(EVERY, self._look)
        if self._memory() > 2 * self._before + GROWTH:
            begun = perf_counter()
            gc.unfreeze()
            freed = self._collect()
            seconds = perf_counter() - begun
            self.log.info("memory had grown: {freed} objects freed in {seconds:.2f} s", freed=freed, seconds=seconds)
        elif self._idle() and gc.get_count()[0] > WORTH_IT:
            self._collect()

    def _collect(self) -> int:
        """Free what is in circles; the rest is not looked at again while the bridge is idle."""
        freed = gc.collect()
        gc.freeze()
        self._before = self._memory()
        return freed


def resident() -> int:
    """Octets of memory in use now; 0 where the kernel does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
