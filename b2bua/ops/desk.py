"""What all sessions of the manhole share: the running border, the traces, and the drain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.logger import Logger

from b2bua.call.call import Phase
from b2bua.call.hall import Hall
from b2bua.ops.trace import Tracer

if TYPE_CHECKING:
    from b2bua.service import Border

DRAIN_LOOK = 1.0  # seconds between two looks whether the last call is gone

Say = Callable[[str], None]


class Drain:
    """Refuses new calls and waits for the last one to end; then, if wanted, `stop` is called."""

    log = Logger()

    def __init__(self, hall: Hall, stop: Callable[[], None]) -> None:
        self._hall = hall
        self._stop = stop
        self._then_stop = False
        self._looking = False
        self._tell: Say | None = None

    @property
    def left(self) -> int:
        """How many calls there are to wait for."""
        return sum(call.phase is not Phase.ENDED for call in self._hall.book)

    def begin(self, then_stop: bool, tell: Say) -> None:
        """No new calls from now on, nor from carriers; `tell` is told when the last one has ended."""
        if self._hall.enrolments is not None and not self._hall.draining:
            self._hall.enrolments.stop()
        self._hall.draining = True
        self._then_stop = then_stop
        self._tell = tell
        if not self._looking:
            self._looking = True
            self._hall.wire.after(DRAIN_LOOK, self._look)

    def end(self) -> None:
        """New calls are taken again."""
        if self._hall.enrolments is not None and self._hall.draining:
            self._hall.enrolments.start()
        self._hall.draining = False

    def _look(self) -> None:
        self._looking = False
        if not self._hall.draining:
            return
        if self.left:
            self._looking = True
            self._hall.wire.after(DRAIN_LOOK, self._look)
            return
        self.log.info("drained: no call is left")
        if self._tell is not None:
            self._tell("drained: no call is left")
        if self._then_stop:
            self._stop()


@dataclass(slots=True)
class Desk:
    """What all sessions share. `started` is when the bridge started, on its own clock."""

    border: Border
    tracer: Tracer
    drain: Drain
    started: float
