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

    __slots__ = ("_hall", "_near", "_far", "_server", "_hunt", "_flow")

    def __init__(self, hall: Hall, near: Leg, server: ServerTransaction, answer: Go) -> None:
        self._hall = hall
        self._near = near
        self._far: Leg | None = None
        self._flow = server.flow
        self._server = server
        self._hunt = Hunt(hall.wire, hall.journal, server.request, answer, self._attempt, self._exhausted)

    def start(self) -> None:
        """Try the first target."""
        self._server.user = self
        self._hunt.next()

    def _attempt(self, attempt: Attempt) -> None:
        request, hall = self._server.request, self._hall
        far = hall.far_leg(request, attempt)
        self._far, self._flow = far, attempt.flow
        granted = hall.hiding(self._near, far).grant(request, far.listener.host)
        body = far.body_of(request)
        sent = far.request(request.method, hall.hops_left(request), granted, body)
        hall.wire.send(sent, attempt.flow, self, hall.loop_key(request))

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The far side's answer; 503 goes on to the next target (S52)."""
        if response.status < 200:
            return
        if response.status == 503:
            self._hall.wire.failed(self._flow)
            self._hunt.next(500, "the next hop answered 503")
            return
        assert self._far is not None, "an answer comes to an attempt"
        granted = self._hall.hiding(self._far, self._near).grant(response, self._near.listener.host)
        status = self._hall.status_across(response.status)
        self._respond(status, self._near.response(self._server.request, status, granted, self._near.body_of(response)))

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No answer: the next target."""
        self._hall.wire.failed(self._flow)
        self._hunt.next(status, reason)

    def _exhausted(self, status: int, reason: str) -> None:
        self._hall.journal.refused(self._server.request, self._server.flow, status, reason)
        self._respond(status, self._near.response(self._server.request, status))

    def _respond(self, status: int, response: Response) -> None:
        self._hall.wire.respond(self._server, response)

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Never: only an INVITE has an ACK."""

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """Never."""

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """No effect (RFC 3261 9.2)."""
