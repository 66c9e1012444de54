"""An INVITE carried across: its answers, its ACK, its CANCEL (RFC 3261 13, 14; S23 to S27).

`Invitation` is what the first INVITE of a call (`setup.Setup`) and a later one (`Reinvitation`) share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.dialog.leg import Leg, Standing
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request, Response
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call


class Invitation:
    """One INVITE from the near leg to the far leg."""

    __slots__ = ("call", "near", "server", "client", "_accepted", "_waiting", "_acks")

    def __init__(self, call: Call, near: Leg, server: ServerTransaction) -> None:
        self.call = call
        self.near = near
        self.server = server
        self.client: ClientTransaction | None = None
        self._accepted: Leg | None = None  # the far leg whose 2xx was taken
        self._waiting = False  # late offer: the far ACK waits for the near one, which carries the answer (S24)
        self._acks: dict[str, tuple[Leg, Request]] = {}  # by the tag of the 2xx
        server.user = self

    # The far side's answers

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """A response to our INVITE."""
        status = response.status
        if status < 200:
            if status > 100 and transaction is self.client and not self.server.answered:
                self.provisional(response)
        elif status < 300:
            self._success(transaction, response)
        elif transaction is self.client:
            self.failure(status, response)

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No final response will come."""
        if transaction is self.client:
            self.no_answer(status, reason)

    def provisional(self, response: Response) -> None:
        """A 1xx other than 100."""
        raise NotImplementedError

    def failure(self, status: int, response: Response) -> None:
        """A final response of 300 or more."""
        raise NotImplementedError

    def no_answer(self, status: int, reason: str) -> None:
        """Nobody answered (408), or nobody could be reached (503)."""
        raise NotImplementedError

    def pair(self, response: Response) -> tuple[Leg, Leg]:
        """The near and the far leg of the dialog that a response belongs to."""
        raise NotImplementedError

    def leg_of(self, transaction: ClientTransaction, response: Response) -> Leg:
        """The far leg of a 2xx that comes too late to be the call's."""
        raise NotImplementedError

    def up(self, near: Leg, far: Leg) -> None:
        """The 2xx crossed."""
        raise NotImplementedError

    def _success(self, transaction: ClientTransaction, response: Response) -> None:
        tag = response.to.tag
        if tag in self._acks:  # the 2xx again: the same ACK again (S23)
            self._transmit(*self._acks[tag])
            return
        if self._accepted is not None and self._accepted.remote_tag == tag:
            return  # the 2xx again, while the near ACK with the answer to its offer is awaited
        if self._accepted is not None or self.server.answered or transaction is not self.client:
            self._too_late(transaction, response)
            return
        near, far = self.pair(response)
        self._accepted = far
        self.call.note(far, False, f"{response.status} INVITE")
        near.standing = far.standing = Standing.CONFIRMED
        near.retarget(self.server.request.contact)
        far.retarget(response.contact)
        self._waiting = not self.server.request.body and bool(response.body)
        if not self._waiting:
            self._send_ack(far, transaction)
        self.up(near, far)
        near.accepting = self.server
        self.relay(near, far, response)

    def _too_late(self, transaction: ClientTransaction, response: Response) -> None:
        """A 2xx that nobody waits for any more: ACK, then BYE, through its own route set (S27, S28)."""
        far = self.leg_of(transaction, response)
        far.standing = Standing.CONFIRMED
        self._send_ack(far, transaction)
        self.call.send_bye(far)

    def relay(self, near: Leg, far: Leg, response: Response) -> None:
        """Give the near side the far side's response, in the near leg's identity."""
        hall = self.call.hall
        granted = hall.hiding(far, near).grant(response, near.listener.host)
        status = hall.status_across(response.status)
        self.respond(near, near.response(self.server.request, status, granted, near.body_of(response)))

    def respond(self, near: Leg, response: Response) -> None:
        """Answer the near side."""
        self.call.note(near, True, f"{response.status} INVITE")
        self.call.hall.wire.respond(self.server, response)

    # ACK

    def _send_ack(
        self, far: Leg, transaction: ClientTransaction, granted: Headers | None = None, body: bytes = b""
    ) -> None:
        ack = far.ack(transaction.request.cseq[0], granted, body)
        self._acks[far.remote_tag] = far, ack
        self.call.note(far, True, "ACK")
        self._transmit(far, ack)

    def _transmit(self, far: Leg, ack: Request) -> None:
        hall = self.call.hall
        hall.way(far, lambda flow: hall.wire.transmit(ack, flow), lambda status, reason: None)

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """The near side's ACK came."""
        self.call.note(self.near, False, "ACK")
        far = self._accepted
        if self._waiting and far is not None and self.client is not None:
            self._waiting = False
            granted = self.call.hall.hiding(self.near, far).grant(ack, far.listener.host)
            self._send_ack(far, self.client, granted, far.body_of(ack))

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """No ACK in 64·T1: the call ends on both sides (RFC 3261 13.3.1.4)."""
        if self._waiting and self._accepted is not None and self.client is not None:
            self._waiting = False
            self._send_ack(self._accepted, self.client)
        self.call.hang_up("no ACK came for the 2xx")

    # CANCEL

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The near side takes its INVITE back: 487 at once, and CANCEL to the far side as soon as it may go (S26)."""
        if self.server.answered:
            return  # RFC 3261 9.2: no effect
        self.call.note(self.near, False, "CANCEL")
        self.abandon(487, "cancelled", cancel)

    def abandon(self, status: int, why: str, cancel: Request | None = None) -> None:
        """Give up: a final response to the near side, CANCEL to the far side."""
        if not self.server.answered:
            self.respond(self.near, self.near.response(self.server.request, status))
        if self.client is not None and not self.client.over and self._accepted is None:
            granted = self.call.hall.hiding_of(self.near.listener, self.client.flow.listener)
            reason = granted.grant(cancel, self.client.flow.listener.host) if cancel is not None else {}
            self.call.hall.wire.cancel(self.client, {"Reason": reason["Reason"]} if "Reason" in reason else {})


class Reinvitation(Invitation):
    """A later INVITE inside the call: hold, a new codec, a new address."""

    __slots__ = ("_far",)

    def __init__(self, call: Call, near: Leg, far: Leg, server: ServerTransaction) -> None:
        super().__init__(call, near, server)
        self._far = far

    def start(self) -> None:
        """Carry it across."""
        self.call.hall.way(self._far, self._go, self._lost)

    def _go(self, flow: Flow) -> None:
        hall, request, far = self.call.hall, self.server.request, self._far
        if self.server.answered:
            return  # cancelled while the way was looked up
        granted = hall.hiding(self.near, far).grant(request, far.listener.host)
        self.call.note(far, True, "INVITE")
        sent = far.request("INVITE", hall.hops_left(request), granted, far.body_of(request))
        self.client = hall.wire.send(sent, flow, self)

    def _lost(self, status: int, reason: str) -> None:
        self.no_answer(status, reason)

    def abandon(self, status: int, why: str, cancel: Request | None = None) -> None:
        """Taken back, or the call ends under it."""
        super().abandon(status, why, cancel)
        self._over()

    def pair(self, response: Response) -> tuple[Leg, Leg]:
        """The dialog is the call's own."""
        return self.near, self._far

    def leg_of(self, transaction: ClientTransaction, response: Response) -> Leg:
        """The dialog is the call's own."""
        return self._far

    def provisional(self, response: Response) -> None:
        """Passed on as it is."""
        self.relay(self.near, self._far, response)

    def up(self, near: Leg, far: Leg) -> None:
        """Both sides have agreed anew."""
        self._over()

    def failure(self, status: int, response: Response) -> None:
        """The session stays as it was (RFC 3261 14.1), unless the far side says that there is none (S32)."""
        self._over()
        self.call.note(self._far, False, f"{status} INVITE")
        if not self.server.answered:
            self.relay(self.near, self._far, response)
        if status in (408, 481):
            self.call.gone(self._far, self.near, f"the peer answers {status} to an INVITE")

    def no_answer(self, status: int, reason: str) -> None:
        """A far side that does not answer a re-INVITE is not there any more (RFC 3261 14.1)."""
        self._over()
        if not self.server.answered:
            self.respond(self.near, self.near.response(self.server.request, status))
        if status == 408:
            self.call.gone(self._far, self.near, "the peer does not answer an INVITE")

    def _over(self) -> None:
        self.call.reinvitation = None
