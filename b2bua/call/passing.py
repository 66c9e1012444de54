"""One request outside any dialog (MESSAGE, OPTIONS, PUBLISH, INFO …), carried across, target after target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.call.hunt import Attempt, Hunt
from b2bua.dialog.leg import Leg
from b2bua.policy.routing import Go
from b2bua.sip.message import Request, Response
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall


class Passing:
    """A request that makes no dialog. Each attempt has a leg of its own, which lives as long as the answer takes."""

    __slots__ = ("server", "_hall", "_near", "_far", "_hunt", "_flow", "_until")

    def __init__(self, hall: Hall, near: Leg, server: ServerTransaction) -> None:
        self.server = server
        self._hall = hall
        self._near = near
        self._far: Leg | None = None
        self._hunt: Hunt | None = None
        self._flow = server.flow
        self._until = hall.wire.now() + hall.wire.timers.patience  # then the sender has given up (RFC 4320 4.2)
        server.user = self

    @property
    def started(self) -> bool:
        """Whether it is decided where it goes."""
        return self._hunt is not None or self.server.answered

    def start(self, answer: Go) -> None:
        """Policy said where to: try the first target."""
        hall = self._hall
        self._hunt = Hunt(hall.wire, hall.journal, self.server.request, answer, self._attempt, self._exhausted)
        self._hunt.next()

    def refuse(self, status: int, why: str, reason: str = "") -> None:
        """It goes nowhere; `reason` is for the sender to read."""
        self._hunt = None
        self._hall.wire.respond(self.server, self._near.response(self.server.request, status, reason=reason))

    def _attempt(self, attempt: Attempt) -> None:
        request, hall = self.server.request, self._hall
        far = hall.far_leg(request, attempt)
        self._far, self._flow = far, attempt.flow
        granted, body = hall.across(self._near, far, request)
        sent = far.request(request.method, hall.hops_left(request), granted, body)
        hall.wire.send(sent, attempt.flow, self, hall.loop_key(request))

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The far side's answer; 503 goes on to the next target (S52)."""
        assert self._far is not None and self._hunt is not None, "an answer comes to an attempt"
        if response.status < 200:
            return
        if response.status == 503:
            self._hall.wire.failed(self._flow)
            self._next(500, "the next hop answered 503")
            return
        self._hunt = None  # which knows us: no circle is left for the garbage collector
        crossed = self._hall.crossed(self._far, self._near, self.server.request, response)
        self._hall.wire.respond(self.server, crossed)

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No answer: the next target."""
        self._hall.wire.failed(self._flow)
        self._hall.journal.no_way(self.server.request, f"{self._flow}: {reason}")
        self._next(status, reason)

    def _next(self, status: int, reason: str) -> None:
        """The next target; but nothing is delivered that the sender believes lost."""
        assert self._hunt is not None, "an attempt was made"
        if self._hall.wire.now() < self._until:
            self._hunt.next(status, reason)
        else:
            self._exhausted(status, reason)

    def _exhausted(self, status: int, reason: str) -> None:
        self._hall.journal.refused(self.server.request, self.server.flow, status, reason)
        self.refuse(status, reason)

    # A request other than INVITE has no ACK, and a CANCEL for it has no effect (RFC 3261 9.2).

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Never."""

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """Never."""

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """No effect."""
