"""An INVITE inside a call: hold, a new codec, a new address (RFC 3261 14)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from b2bua.call.anchoring import through
from b2bua.call.invitation import Invitation
from b2bua.call.way import take
from b2bua.dialog.leg import Leg
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call


class Reinvitation(Invitation):
    """The one INVITE that is under way in an answered call, from its coming to the far side's final answer."""

    __slots__ = ("_peer", "deadline")

    def __init__(self, call: Call, near: Leg, peer: Leg, server: ServerTransaction) -> None:
        super().__init__(call, near, server)
        server.user = self
        self.far = self._peer = peer
        self.deadline = call.hall.wire.now() + call.hall.limits.longest_ring

    def start(self) -> None:
        """Carry it across, but not while our 2xx to the far side's own INVITE has no ACK (RFC 3261 14.1)."""
        if self._peer.accepting is not None:
            return  # the call starts it again
        take(self.call.hall.wire, self._peer, self._go, self._no_answer)

    def _go(self, flow: Flow) -> None:
        hall, request, peer = self.call.hall, self.server.request, self._peer
        if self.server.answered:
            self._settled()
            return  # cancelled, overdue, or the call ended, while the way was looked up
        through(hall, self.near, peer, request, partial(self._send, flow), self._no_answer)

    def _send(self, flow: Flow) -> None:
        hall, request, peer = self.call.hall, self.server.request, self._peer
        if self.server.answered:  # or while an engine was asked
            if hall.media is not None:
                hall.media.refused(self.near, peer)
            self._settled()
            return
        granted, body = hall.across(self.near, peer, request)
        self.call.note(peer, True, "INVITE")
        sent = peer.request("INVITE", hall.hops_left(request), granted, body)
        self.client = hall.wire.send(sent, flow, self.ear(peer))

    def pair(self, response: Response) -> tuple[Leg, Leg]:
        """The dialog is the call's own; a 2xx refreshes both targets (RFC 3261 12.2.2, S18)."""
        self._peer.retarget(response.contact)
        self.near.retarget(self.server.request.contact)
        return self.near, self._peer

    def late(self, response: Response) -> Leg:
        """The dialog is the call's own, and has had its BYE."""
        return self._peer

    def unwanted(self, far: Leg) -> None:
        """Accepted after it was overdue: the two sides do not have the same session any more."""
        self.call.gone(self._peer, "an INVITE was accepted too late")

    def provisional(self, response: Response) -> None:
        """Passed on as it is."""
        self.call.note(self._peer, False, f"{response.status} INVITE")
        self.relay(self.near, self._peer, response)

    def up(self, near: Leg, far: Leg) -> None:
        """Both sides have agreed anew."""
        self._settled()

    def down(self, why: str) -> None:
        """The two sides do not have the same session any more."""
        self._settled()
        self.call.hang_up(why)

    def _settled(self) -> None:
        if self.call.reinvitation is self:
            self.call.reinvitation = None

    def failure(self, status: int, response: Response) -> None:
        """The session stays as it was (RFC 3261 14.1), unless the far side says that there is none (S32)."""
        self._settled()
        self.call.note(self._peer, False, f"{status} INVITE")
        if not self.server.answered:
            self.relay(self.near, self._peer, response)
        if status in (408, 481):
            self.call.gone(self._peer, f"the peer answers {status} to an INVITE")

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No answer came."""
        self._no_answer(status, reason)

    def _no_answer(self, status: int, reason: str) -> None:
        """A far side that does not answer an INVITE is not there any more (RFC 3261 14.1)."""
        self._settled()
        if not self.server.answered:
            self.respond(self.near, self.near.response(self.server.request, status))
            if status == 408:
                self.call.gone(self._peer, "the peer does not answer an INVITE")

    def overdue(self) -> None:
        """Tried for as long as a call may ring: given up; the session stays as it was (RFC 3261 14.1).

        Until the far side has answered, no other INVITE may follow (RFC 3261 14.1): the CANCEL makes it answer.
        """
        self.give_up(408)

    def give_up(self, status: int) -> None:
        """Refused by us, and cancelled."""
        if not self.server.answered:
            self.respond(self.near, self.near.response(self.server.request, status))
            self.cancel_far()

    def take_back(self, cancel: Request) -> None:
        """The far side decides whether CANCEL came in time there too: both sides must agree on what the session is."""
        if self.client is None:
            self._no_answer(487, "cancelled")
        else:
            self.cancel_far(cancel)

    def abandon(self) -> None:
        """The call ends under it (RFC 3261 15.1.2)."""
        if not self.server.answered:
            self.respond(self.near, self.near.response(self.server.request, 487))
            self.cancel_far()
