"""An INVITE carried across: its answers, its ACK, its CANCEL (RFC 3261 13, 14; S23 to S27).

`Invitation` is what each INVITE that sets a call up (`branch.Branch`) and a later one (`reinvitation.Reinvitation`)
share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from b2bua.call import prack, refresh
from b2bua.call.anchoring import through
from b2bua.call.credentials import brought
from b2bua.call.offers import describes
from b2bua.call.way import transmit
from b2bua.dialog.leg import Leg, Standing
from b2bua.policy.hiding import OF_THE_BODY
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Headers, Request, Response
from b2bua.transaction.transaction import ClientTransaction, ClientUser, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call

TRIES = 3  # of one INVITE, where the far side says what was wrong with the first


class Invitation(ABC):
    """One INVITE from the near leg to the far leg."""

    __slots__ = ("call", "near", "far", "server", "client", "_accepted", "_acks", "_tries", "_answers", "_withdrawn")

    def __init__(self, call: Call, near: Leg, server: ServerTransaction) -> None:
        self.call = call
        self.near = near
        self.far: Leg | None = None  # the last attempt's, as its transaction
        self.server = server
        self.client: ClientTransaction | None = None
        self._accepted: Leg | None = None  # the far leg whose 2xx was taken
        self._tries = 1
        self._withdrawn = False  # CANCEL was asked for, which concerns what was sent before it
        self._acks: dict[str, tuple[Leg, Request]] = {}  # by the tag of the 2xx
        self._answers: dict[str, Response] = {}  # by the tag: reliable ones whose answer waits for the 2xx to cross

    # The far side's answers

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """A response to our INVITE."""
        status = response.status
        if status < 200:
            if status > 100 and not self.server.answered:
                self._progress(transaction, response)
        elif status < 300:
            if not self.call.reliable or not self._held(response):
                self.succeeded(response)
        elif status not in refresh.WITH_MORE or not self._again(transaction, response):
            self.failure(status, response)

    @abstractmethod
    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No final response will come: nobody answered (408), or nobody could be reached (503)."""

    @abstractmethod
    def provisional(self, response: Response) -> None:
        """A 1xx other than 100."""

    @abstractmethod
    def failure(self, status: int, response: Response) -> None:
        """A final response of 300 or more."""

    @abstractmethod
    def pair(self, response: Response) -> tuple[Leg, Leg]:
        """The near and the far leg of the dialog that a 2xx makes."""

    @abstractmethod
    def late(self, response: Response) -> Leg:
        """The far leg of a 2xx that comes too late to be the call's."""

    @abstractmethod
    def up(self, near: Leg, far: Leg) -> None:
        """The 2xx crosses."""

    @abstractmethod
    def down(self, why: str) -> None:
        """The far side accepted, but with an answer that cannot cross."""

    def _progress(self, transaction: ClientTransaction, response: Response) -> None:
        try:
            self.provisional(response)
        except Malformed as fault:  # it may be missed
            self.call.hall.journal.fault(transaction.flow, fault, f"a {response.status} response")

    def _held(self, response: Response) -> bool:
        """Whether a 2xx waits for the near side's PRACK (RFC 3262 3)."""
        for one, other in self.call.pairs:
            for near, far in ((one, other), (other, one)):  # whichever of them invites
                if far.remote_tag == response.to_tag and far.call_id == response.call_id:
                    sending = self.call.reliable.get(near)
                    return sending is not None and sending.holds(self, response)
        return False

    def keep_answer(self, response: Response) -> None:
        """A reliable response whose answer the near side is not told as one: the 2xx has none of its own then."""
        if "RSeq" in response.headers and describes(response) and describes(self.server.request):
            self._answers[response.to_tag] = response

    def _whole(self, response: Response) -> Response:
        """A 2xx with the answer that its far side gave before (RFC 3262 5)."""
        answer = self._answers.get(response.to_tag)
        if answer is None or response.body:
            return response
        of_the_body = {name: values for name, values in answer.headers.items() if name in OF_THE_BODY}
        return Response(response.status, response.reason, {**response.headers, **of_the_body}, answer.body)

    def _again(self, transaction: ClientTransaction, response: Response) -> bool:
        """Whether the far side has it once more: with the interval, or the extension, that it insists on."""
        far, hall, request = self.far, self.call.hall, transaction.request
        if far is None or self._tries == TRIES or self._withdrawn or not self.wanted():
            return False
        try:
            if not refresh.more(far, request, response):
                return False
        except Malformed as fault:
            hall.journal.fault(transaction.flow, fault, f"a {response.status} response")
            return False
        self._tries += 1
        self.call.note_again(far, response)
        key = None if request.to_tag else hall.loop_key(self.server.request)
        self.client = hall.wire.send(far.again(request), transaction.flow, self.ear(far), key)
        return True

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The far side asks who we are."""
        if self.far is None or self._withdrawn or not self.wanted():
            return False
        self.call.note_again(self.far, response)
        self.client = again()
        return True

    def ear(self, far: Leg) -> ClientUser:
        """Who is to hear the far side's answers first."""
        media = self.call.hall.media
        return self if media is None else media.ear(self, far, self.near)

    def wanted(self) -> bool:
        """Whether an answer of the far side still counts."""
        return not self.server.answered

    def succeeded(self, response: Response) -> None:
        """A 2xx that has nothing to wait for."""
        tag = response.to_tag
        if tag in self._acks:  # the 2xx again: the same ACK again (S23)
            transmit(self.call.hall.wire, *self._acks[tag])
        elif not self.server.answered:
            self._accept(response)
        elif self._accepted is None or self._accepted.remote_tag != tag:
            self._too_late(response)
        # Else the 2xx comes again, while the near ACK with the answer to its offer is awaited.

    def _too_late(self, response: Response) -> None:
        """Nobody waits for it any more: ACK, then BYE, through its own route set (S27, S28)."""
        try:
            far = self.late(response)
        except Malformed:
            far = self.late(_without_target(response))
        self.call.note(far, False, f"{response.status} INVITE")
        self._send_ack(far)
        self.unwanted(far)

    def unwanted(self, far: Leg) -> None:
        """The 2xx that came too late has its ACK."""
        self.call.send_bye(far)

    def _accept(self, response: Response) -> None:
        hall, response = self.call.hall, self._whole(response)
        try:
            near, far = self.pair(response)
            if timed := self._timed(near, far, response):
                refresh.heard(self.call, near, far, self.server.request, response)
            crossed = hall.crossed(far, near, self.server.request, response)
        except Malformed as fault:  # ACK and BYE go where the INVITE went
            near, far = self.pair(_without_target(response))
            hall.journal.fault(far.flow or self.server.flow, fault, f"a {response.status} response")
            crossed, timed = near.response(self.server.request, 502), False
        self.call.note(far, False, f"{response.status} INVITE")
        near.standing = far.standing = Standing.CONFIRMED
        if crossed.status >= 300:
            self._send_ack(far)
            self.respond(near, crossed)
            self.call.send_bye(far)
            self.down("the answer of the far side cannot be read")
            return
        self._accepted, self.near = far, near
        if describes(response) and not describes(self.server.request):
            self.call.owed = self  # late offer: the far ACK waits for the near one, which carries the answer (S24)
        else:
            self._send_ack(far)
        near.accepting = self.server
        self.up(near, far)
        self.respond(near, crossed)
        if timed and self.client is not None:
            refresh.agreed(self.call, near, far, self.server.request, crossed, self.client.request, response)

    def _timed(self, near: Leg, far: Leg, response: Response) -> bool:
        """Whether one of the sides, or we, want a session timer."""
        return (
            far.timer is not None
            or near.timer is not None
            or "Session-Expires" in response.headers
            or "Session-Expires" in self.server.request.headers
            or self.call.hall.limits.session_expires > 0
        )

    def relay(self, near: Leg, far: Leg, response: Response) -> None:
        """Give the near side the far side's response, in the near leg's identity."""
        if response.status < 200 and ("RSeq" in response.headers or "Require" in self.server.request.headers):
            if prack.relay(self, near, far, response):
                return
        self.respond(near, self.call.hall.crossed(far, near, self.server.request, response))

    def respond(self, near: Leg, response: Response) -> None:
        """Answer the near side."""
        self.call.note(near, True, f"{response.status} INVITE")
        self.call.hall.wire.respond(self.server, response)

    # ACK

    def _send_ack(self, far: Leg, granted: Headers | None = None, body: bytes = b"") -> None:
        assert self.client is not None, "a 2xx answers our INVITE"
        invite = self.client.request
        if "Authorization" in invite.headers or "Proxy-Authorization" in invite.headers:
            granted = brought(invite) | (granted or {})  # RFC 3261 13.2.2.4: the same as in the INVITE
        ack = far.ack(invite.cseq[0], granted, body)
        if far.timer is not None:
            far.timer.keep(ack)
        self._acks[far.remote_tag] = far, ack
        self.call.note(far, True, "ACK")
        transmit(self.call.hall.wire, far, ack)

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """The near side's ACK came."""
        call, far = self.call, self._accepted
        if call.owed is self:
            assert far is not None, "an ACK is owed for a 2xx"
            through(call.hall, self.near, far, ack, partial(self._answer, far, ack), partial(self._unanswerable, far))

    def _answer(self, far: Leg, ack: Request) -> None:
        """The near side's answer to the offer in the 2xx."""
        if self.call.owed is self:  # else the call ended meanwhile
            granted, body = self.call.hall.across(self.near, far, ack)
            self.call.owed = None
            self._send_ack(far, granted, body)

    def _unanswerable(self, far: Leg, status: int, reason: str) -> None:
        if self.call.owed is self:
            self.call.owed = None
            self._send_ack(far)
            self.call.hang_up("the answer of the near side cannot be read" if status < 500 else reason)

    def settle(self) -> None:
        """The call ends while the far ACK waits for the near one: it goes without an answer, as a BYE will follow."""
        self.call.owed = None
        assert self._accepted is not None, "an ACK is owed for a 2xx"
        self._send_ack(self._accepted)

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """No ACK in 64·T1: the call ends on both sides (RFC 3261 13.3.1.4)."""
        self.near.accepting = None
        self.call.gone(self.near, "no ACK came for the 2xx")
        self.call.release(self.near)

    # CANCEL

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The near side takes its INVITE back."""
        if not self.server.answered:  # else it has no effect (RFC 3261 9.2)
            self.call.note(self.near, False, "CANCEL")
            self.take_back(cancel)

    @abstractmethod
    def take_back(self, cancel: Request) -> None:
        """CANCEL came in time."""

    def cancel_far(self, cancel: Request | None = None) -> None:
        """CANCEL to the far side, as soon as it may go (S26), with the reason that the near side gave (RFC 3326)."""
        self._withdrawn = True
        if self.client is not None and self.far is not None:
            granted = self.call.hall.across(self.near, self.far, cancel)[0] if cancel is not None else {}
            self.call.note(self.far, True, "CANCEL")
            self.call.hall.wire.cancel(self.client, {"Reason": granted["Reason"]} if "Reason" in granted else {})


def _without_target(response: Response) -> Response:
    """A 2xx less what of its Contact and Record-Route cannot be used."""
    headers = {name: values for name, values in response.headers.items() if name != "Contact"}
    try:
        response.addresses("Record-Route")
    except Malformed:
        headers.pop("Record-Route")
    return Response(response.status, response.reason, headers)
