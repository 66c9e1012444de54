"""One request other than INVITE and its answer, carried from one leg of a call to the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from b2bua.call import refresh
from b2bua.call.offers import RETRY_AFTER, describes
from b2bua.call.way import take
from b2bua.dialog.leg import OVER, Leg, Standing
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request, Response
from b2bua.transaction.transaction import ClientTransaction, ClientUser, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.anchoring import Anchors
    from b2bua.call.call import Call

_REFRESHES_TARGET = frozenset({"UPDATE", "NOTIFY"})
_MAY_OFFER = frozenset({"UPDATE", "PRACK"})
# Their 481 is about a response that was acknowledged already (RFC 3262 3), or a subscription (RFC 6665 4.1.3).
_OF_SOMETHING_ELSE = frozenset({"PRACK", "NOTIFY"})


class Exchange:
    """A request inside a call. The near leg is the one that it came on.

    `more` are headers of the far leg's own. `offers`: a session description in it asks for an answer.
    """

    __slots__ = ("_call", "_near", "_far", "_server", "_more")

    def __init__(
        self,
        call: Call,
        near: Leg,
        far: Leg,
        server: ServerTransaction,
        more: Headers | None = None,
        offers: bool = False,
    ) -> None:
        self._call = call
        self._near = near
        self._far = far
        self._server = server
        self._more = more
        server.user = self
        if offers and describes(server.request):
            near.offering = True
        if server.method == "UPDATE":
            near.updating = True

    def start(self) -> None:
        """Carry the request across."""
        take(self._call.hall.wire, self._far, self._go, self._lost)

    def _go(self, flow: Flow) -> None:
        hall, request, far = self._call.hall, self._server.request, self._far
        if hall.media is None or request.method not in _MAY_OFFER:
            self._send(flow, self)
        else:
            hall.media.through(self._near, far, request, partial(self._shown, hall.media, flow), self._lost)

    def _shown(self, media: Anchors, flow: Flow) -> None:
        """An engine has seen it; if the call has ended meanwhile, nobody else will (RFC 3261 15)."""
        if self._far.standing in OVER:
            media.refused(self._near, self._far)
            self._answer(481)
        else:
            self._send(flow, media.ear(self, self._far, self._near))

    def _send(self, flow: Flow, user: ClientUser) -> None:
        hall, request, far = self._call.hall, self._server.request, self._far
        granted, body = hall.across(self._near, far, request)
        if self._more is not None:
            granted.update(self._more)
        self._call.note(far, True, request.method)
        hall.wire.send(far.request(request.method, hall.hops_left(request), granted, body), flow, user)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The far side's answer."""
        status, request = response.status, self._server.request
        if status < 200:
            return  # RFC 4320: nothing but a final response helps a request other than INVITE
        self._call.note(self._far, False, f"{status} {request.method}")
        if request.method == "BYE" and status in (408, 481):
            self._answer(200)  # who hangs up has hung up: a far side that is gone already is no news for it
            return
        if status < 300 and request.method in _REFRESHES_TARGET:
            self._near.retarget(request.contact)
            self._far.retarget(response.contact)
        elif request.method == "BYE" and status in (401, 407):
            self._far.standing = Standing.CONFIRMED  # until the BYE that brings the credentials (S33)
        if request.method == "UPDATE":
            self._updated(transaction, response)
            return
        self._cross(response)

    def _cross(self, response: Response) -> Response:
        crossed = self._call.hall.crossed(self._far, self._near, self._server.request, response)
        self._respond(crossed)
        if response.status == 481 and self._server.method not in _OF_SOMETHING_ELSE:
            self._call.gone(self._far, "the peer knows the call no more")
        return crossed

    def _updated(self, transaction: ClientTransaction, response: Response) -> None:
        """An UPDATE refreshes the session too, on each leg by itself (RFC 4028)."""
        call, near, far, request = self._call, self._near, self._far, self._server.request
        if response.status == 422:
            # For our interval, not for the near side's: it is learned, and the near side tries again.
            if far.timer is not None:
                far.timer.insists(response)
            again = {"Retry-After": [str(call.hall.wire.tokens.below(RETRY_AFTER))]}
            self._respond(near.response(request, 500, again))
        elif response.status >= 300:
            self._cross(response)
        else:
            refresh.heard(call, near, far, request, response)
            refresh.agreed(call, near, far, request, self._cross(response), transaction.request, response)

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The far side asks who we are (S33)."""
        self._call.note_again(self._far, response)
        again()
        return True

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """The far side did not answer in time, or cannot be reached."""
        self._lost(status, reason)

    def _lost(self, status: int, reason: str) -> None:
        self._answer(200 if self._server.method == "BYE" else status)

    def _answer(self, status: int) -> None:
        self._respond(self._near.response(self._server.request, status))

    def _respond(self, response: Response) -> None:
        if self._server.method in _MAY_OFFER:
            self._near.offering = self._near.updating = False
        self._call.note(self._near, True, f"{response.status} {self._server.method}")
        self._call.hall.wire.respond(self._server, response)

    # A request other than INVITE has no ACK, and a CANCEL for it has no effect (RFC 3261 9.2).

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Never."""

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """Never."""

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """No effect."""
