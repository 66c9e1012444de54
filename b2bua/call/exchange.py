"""One request other than INVITE and its answer, carried from one leg to the other (in a dialog or outside any)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.dialog.leg import Leg
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call

_REFRESHES_TARGET = frozenset({"UPDATE", "SUBSCRIBE", "NOTIFY"})


class Exchange:
    """A request inside a call. The near leg is the one that it came on."""

    __slots__ = ("_call", "_near", "_far", "_server")

    def __init__(self, call: Call, near: Leg, far: Leg, server: ServerTransaction) -> None:
        self._call = call
        self._near = near
        self._far = far
        self._server = server
        server.user = self

    def start(self) -> None:
        """Carry the request across."""
        self._call.hall.way(self._far, self._go, self._lost)

    def _go(self, flow: Flow) -> None:
        hall, request, far = self._call.hall, self._server.request, self._far
        granted = hall.hiding(self._near, far).grant(request, far.listener.host)
        self._call.note(far, True, request.method)
        sent = far.request(request.method, hall.hops_left(request), granted, far.body_of(request))
        hall.wire.send(sent, flow, self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The far side's answer."""
        if response.status < 200:
            return  # RFC 4320: nothing but a final response helps a request other than INVITE
        status, request = response.status, self._server.request
        self._call.note(self._far, False, f"{status} {request.method}")
        if request.method == "BYE":
            # Who hangs up has hung up: a far side that is gone already is no news for it.
            status = 200 if status in (408, 481) else status
        elif status == 481:
            self._answer(status, response)
            self._call.gone(self._far, self._near, "the peer knows the call no more")
            return
        if status < 300 and request.method in _REFRESHES_TARGET:
            self._near.retarget(request.contact)
            self._far.retarget(response.contact)
        self._answer(status, response)

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """The far side did not answer in time, or cannot be reached."""
        self._answer(200 if self._server.method == "BYE" else status)

    def _lost(self, status: int, reason: str) -> None:
        self._answer(200 if self._server.method == "BYE" else status)

    def _answer(self, status: int, response: Response | None = None) -> None:
        if self._server.answered:
            return
        hall, near = self._call.hall, self._near
        if response is None:
            answer = near.response(self._server.request, status)
        else:
            granted = hall.hiding(self._far, near).grant(response, near.listener.host)
            body = near.body_of(response)
            answer = near.response(self._server.request, hall.status_across(status), granted, body)
        self._call.note(near, True, f"{answer.status} {self._server.method}")
        hall.wire.respond(self._server, answer)

    # A request other than INVITE has no ACK, and a CANCEL for it has no effect (RFC 3261 9.2).

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Never."""

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """Never."""

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """No effect."""
