"""Reliable provisional responses carried across (RFC 3262, S31), each leg with numbers of its own.

- Both sides know them: the near side's PRACK crosses, and so does its answer, with what they hold.
- The far side sends one and the near side knows none: we acknowledge it, and it crosses as any other.
- The near side requires them and the far side knows none: ours are reliable, and we answer the PRACK.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from b2bua.call.exchange import Exchange
from b2bua.call.offers import describes
from b2bua.call.own import Farewell
from b2bua.dialog.leg import HOPS, Leg
from b2bua.dialog.reliable import OPTION, Do, Input, Order, Reliable, Verdict, rack_of, rseq_of
from b2bua.dialog.session_timer import add_option
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request, Response
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.book import Side
    from b2bua.call.call import Call
    from b2bua.call.invitation import Invitation


class Sent(NamedTuple):
    """A response that the near side is to acknowledge.

    `rseq` and `cseq` are the far leg's; `rseq` 0: the far side's own was not reliable, and the PRACK is ours to answer.
    `describes`: it holds an offer or an answer.
    """

    response: Response
    far: Leg
    rseq: int
    cseq: int
    describes: bool


class Sending:
    """The reliable responses to one INVITE on one near leg. `agreed`: offer and answer have been exchanged in them."""

    __slots__ = ("agreed", "cseq", "_call", "_near", "_server", "_reliable", "_held")

    def __init__(self, call: Call, near: Leg, server: ServerTransaction) -> None:
        self.agreed = False
        self.cseq = server.request.cseq[0]
        self._call = call
        self._near = near
        self._server = server
        self._reliable: Reliable[Sent] = Reliable(self.cseq, call.hall.wire.tokens)
        self._held: dict[Invitation, Response] = {}

    def send(self, sent: Sent) -> None:
        """Send it, or let it wait for its turn."""
        if self._reliable.send(sent) is Do.SEND:
            sent.response.headers["RSeq"] = [str(self._reliable.rseq)]
            if sent.describes and describes(self._server.request):
                self.agreed = True  # an answer in a reliable response is the answer (RFC 3262 5)
            self._call.note(self._near, True, f"{sent.response.status} INVITE")
            self._call.hall.wire.respond(self._server, sent.response)
            self._wait(sent)

    def _wait(self, sent: Sent) -> None:
        wire = self._call.hall.wire
        wire.after(self._reliable.next_interval(wire.timers.t1), partial(self._look, sent))

    def _look(self, sent: Sent) -> None:
        """No PRACK yet?"""
        reliable, wire = self._reliable, self._call.hall.wire
        if reliable.waiting is not sent:
            return
        if self._server.answered:
            reliable.step(Input.FINAL)
        elif reliable.due(wire.timers.t1) is Do.RESEND:
            wire.respond(self._server, sent.response)
            self._wait(sent)
        else:
            refuse(self._call, 504, "no PRACK came for a reliable response")
            self._let_go()

    def acknowledge(self, rack: tuple[int, int, str]) -> Sent | None:
        """The response that a RAck is for."""
        if self._server.answered:
            self._reliable.step(Input.FINAL)
        return self._reliable.acknowledge(rack)

    def go_on(self) -> None:
        """What waited for the PRACK: the next response, and the 2xx."""
        reliable = self._reliable
        if reliable.queue and not self._server.answered:
            self.send(reliable.queue.popleft())
        if reliable.waiting is None:
            self._let_go()

    def holds(self, invitation: Invitation, response: Response) -> bool:
        """Whether a 2xx waits: while a response with an offer or an answer is not acknowledged (RFC 3262 3)."""
        reliable = self._reliable
        unacknowledged = (reliable.waiting, *reliable.queue)
        if self._server.answered or not any(sent is not None and sent.describes for sent in unacknowledged):
            return False
        self._held[invitation] = response
        return True

    def strike(self, far: Leg) -> None:
        """A far leg is over: nobody waits for the PRACK of what was said on it, nor is more of it said."""
        reliable = self._reliable
        reliable.queue = deque(sent for sent in reliable.queue if sent.far is not far)
        if reliable.waiting is not None and reliable.waiting.far is far:
            self.acknowledge((reliable.rseq, self.cseq, "INVITE"))
            self.go_on()

    def _let_go(self) -> None:
        held, self._held = self._held, {}
        for invitation, response in held.items():
            invitation.succeeded(response)


class OwnPrack(Farewell):
    """A PRACK of our own, for a near side that knows none."""

    __slots__ = ("_rack",)

    METHOD = "PRACK"

    def __init__(self, call: Call, leg: Leg, rseq: int, cseq: int) -> None:
        super().__init__(call, leg)
        self._rack = _rack(rseq, cseq)

    def make(self) -> Request:
        """With the numbers of what it acknowledges."""
        return self.leg.request(self.METHOD, HOPS, {"RAck": [self._rack]})


def relay(invitation: Invitation, near: Leg, far: Leg, response: Response) -> bool:
    """Give the near side a 1xx that one of the two sides wants reliable; False: it crosses as any other.

    Malformed where its RSeq cannot be read.
    """
    call, server = invitation.call, invitation.server
    request, number, rseq = server.request, response.cseq[0], rseq_of(response)
    if rseq:
        if far.order is None:
            far.order = Order()
        if far.order.judge(number, rseq) is not Verdict.NEXT:
            return True  # RFC 3262 4: once is enough; and none without the one before it
    required = OPTION in request.tokens("Require")
    # Where many forks are one dialog for the caller (S28), none of them may have the only answer of that dialog.
    shared = call.setup is not None and call.options.forks == "first" and describes(request)
    if rseq and not required and (shared or OPTION not in request.tokens("Supported")):
        return _alone(invitation, far, response, rseq)
    if not rseq and not required:
        return False
    sending = call.reliable.get(near)
    if sending is None or sending.cseq != request.cseq[0]:
        if not rseq and not describes(request):
            # The first reliable response to an INVITE without an offer holds one (RFC 3261 13.2.1), and a far side that
            # sends none reliably has not made its own: the caller keeps to its 100 until the 2xx.
            return True
        sending = call.reliable[near] = Sending(call, near, server)
    crossed = call.hall.crossed(far, near, request, response)
    if rseq and response.body and not crossed.body:
        _cannot_cross(invitation, response, "a session description in a reliable response that cannot be read")
        return True
    add_option(crossed.headers, "Require", OPTION)
    sending.send(Sent(crossed, far, rseq, number, describes(response)))
    return True


def _alone(invitation: Invitation, far: Leg, response: Response, rseq: int) -> bool:
    """We acknowledge it ourselves; but an offer in it would need the near side's answer, for which there is no way."""
    if describes(response) and not describes(invitation.server.request):
        _cannot_cross(invitation, response, "an offer in a reliable response that nobody asked for")
        return True
    invitation.keep_answer(response)
    OwnPrack(invitation.call, far, rseq, response.cseq[0]).start()
    return False


def _cannot_cross(invitation: Invitation, response: Response, what: str) -> None:
    call = invitation.call
    assert invitation.client is not None, "a response answers our INVITE"
    call.hall.journal.fault(invitation.client.flow, Malformed(what, "RFC 3262 5"), f"a {response.status} response")
    refuse(call, 502, what)


def refuse(call: Call, status: int, why: str) -> None:
    """The INVITE under way is refused, and the far side's cancelled."""
    if call.setup is not None:
        call.setup.abandon(status, why)
    else:
        assert call.reinvitation is not None, "an INVITE is under way"
        call.reinvitation.give_up(status)


def strike(call: Call, pairs: list[tuple[Leg, Leg]]) -> None:
    """Early dialogs are over, while the call goes on."""
    for near, far in pairs:
        sending = call.reliable.get(near)
        if sending is not None:
            sending.strike(far)


def take(call: Call, side: Side, transaction: ServerTransaction) -> None:
    """A PRACK: it crosses to the side whose response it acknowledges, or is answered here.

    Malformed without a RAck that can be read.
    """
    request = transaction.request
    rack = rack_of(request)
    sending = call.reliable.get(side.leg)
    sent = sending.acknowledge(rack) if sending is not None else None
    if sending is None or sent is None:
        call.refuse(side, transaction, 481)  # RFC 3262 3
        return
    if sent.rseq:
        answers = sent.describes and not sending.agreed
        sending.agreed = sending.agreed or answers
        more = {"RAck": [_rack(sent.rseq, sent.cseq)]}
        Exchange(call, side.leg, sent.far, transaction, more, offers=not answers).start()
    else:
        # An offer in it has nobody to answer it; the response is acknowledged all the same.
        call.refuse(side, transaction, 488 if describes(request) else 200)
    sending.go_on()


def _rack(rseq: int, cseq: int) -> str:
    return f"{rseq} {cseq} INVITE"
