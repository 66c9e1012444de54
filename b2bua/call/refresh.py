"""Session timers (RFC 4028) of a call: what each leg asks for and agrees to, and the refreshes of our own.

What a peer sends to refresh its leg (re-INVITE or UPDATE) crosses like any other, as it may say more than that; only
the interval is agreed with each side by itself. A refresh of ours concerns one leg and never crosses: UPDATE where the
peer takes it, else an INVITE with the session description that this leg said last, whose answer changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from b2bua.call.credentials import brought
from b2bua.call.offers import describes
from b2bua.call.way import take, transmit
from b2bua.dialog.leg import HOPS, Leg, Standing
from b2bua.dialog.reliable import OPTION as RELIABLE
from b2bua.dialog.session_timer import OPTION, Do, SessionTimer, expires_of
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Message, Request, Response
from b2bua.sip.sdp import SDP
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.book import Side
    from b2bua.call.call import Call
    from b2bua.call.limits import Limits

EXPIRED = 'SIP;cause=408;text="Session timer expired"'
_BUSY = 2.0  # seconds until a refresh is tried again that another INVITE was in the way of
_NO_UPDATE = frozenset({405, 501})
WITH_MORE = frozenset({421, 422})  # they say what an INVITE lacks


def begin(far: Leg, request: Request, limits: Limits) -> None:
    """What our INVITE on a leg asks for of its own: what the caller requires or asks for, and the configuration."""
    if RELIABLE in request.tokens("Require"):
        far.options = (RELIABLE,)
    asked = expires_of(request)
    if asked is not None or limits.session_expires:
        far.timer = SessionTimer(limits.session_expires or (asked.seconds if asked else 0), limits.min_se)


def more(far: Leg, request: Request, response: Response) -> bool:
    """Whether 422 or 421 to an INVITE of ours tells what to say instead (RFC 4028 7.3, RFC 3261 21.4.15).

    Malformed for a 422 that cannot be read.
    """
    if response.status == 422:
        return far.timer is not None and far.timer.insists(response)
    # What reliable responses then hold must be an answer: for an offer in them a near side without them has none.
    said = RELIABLE in request.tokens("Supported")
    if said or RELIABLE not in response.tokens("Require") or not describes(request):
        return False
    far.options = (RELIABLE,)
    return True


def heard(call: Call, near: Leg, far: Leg, request: Request, response: Response) -> None:
    """A 2xx of the far side's to INVITE or UPDATE, before it is said to the near side."""
    limits = call.hall.limits
    if near.timer is None and (
        "Session-Expires" in request.headers or (limits.session_expires and OPTION in request.tokens("Supported"))
    ):
        near.timer = SessionTimer(limits.session_expires, limits.min_se)
    _hear(call, far, response)


def _hear(call: Call, leg: Leg, response: Response) -> None:
    limits = call.hall.limits
    if leg.timer is None and "Session-Expires" in response.headers:
        leg.timer = SessionTimer(limits.session_expires, limits.min_se)
    if leg.timer is not None:
        try:
            leg.timer.hear(response)
        except Malformed as fault:
            leg.timer.seconds = 0
            call.hall.journal.fault(leg.flow or Flow(leg.listener, leg.next_hop.host, 0), fault, "a 2xx response")


def agreed(
    call: Call, near: Leg, far: Leg, request: Request, crossed: Response, sent: Request, response: Response
) -> None:
    """It was said: both intervals begin. `crossed` and `sent` are what we said, on the near and on the far leg."""
    for leg, theirs, ours in ((near, request, crossed), (far, response, sent)):
        if leg.timer is not None:
            _begins(call, leg.timer, theirs)
            leg.timer.keep(ours)
    if call.timed:
        call.look_again()


def accepted(call: Call, leg: Leg, response: Response) -> None:
    """A 2xx to an INVITE of our own: the leg's interval begins; what was agreed on is kept with the ACK."""
    _hear(call, leg, response)
    if leg.timer is not None:
        _begins(call, leg.timer, response)
        call.look_again()


def alone(call: Call, side: Side, transaction: ServerTransaction) -> None:
    """A peer's refresh, answered here. Malformed for a Contact that cannot be used."""
    side.leg.retarget(transaction.request.contact)
    call.refuse(side, transaction, 200)
    if side.leg.timer is not None:
        _begins(call, side.leg.timer, transaction.request)
        call.look_again()


def _begins(call: Call, timer: SessionTimer, theirs: Message) -> None:
    timer.agree(call.hall.wire.now())
    _learn(timer, theirs)
    call.timed = True


def _learn(timer: SessionTimer, message: Message) -> None:
    if "Allow" in message.headers:
        timer.updates = "update" in message.tokens("Allow")


def _running(call: Call) -> list[tuple[Leg, SessionTimer]]:
    """The legs with something agreed; but who has left, in a transfer, has no session any more."""
    legs = [leg for pair in call.pairs for leg in pair if leg.standing is Standing.CONFIRMED]
    return [(leg, leg.timer) for leg in legs if leg.timer is not None and leg.timer.runs]


def next_look(call: Call) -> float:
    """When the next timer of a call is due."""
    return min((timer.due for _, timer in _running(call)), default=float("inf"))


def look(call: Call) -> None:
    """What time brings to the legs of an answered call."""
    for leg, timer in _running(call):
        do = timer.look(call.hall.wire.now())
        if do is Do.REFRESH:
            Refresh(call, leg).start()
        elif do is Do.HANG_UP:
            call.hang_up("the session timer expired", EXPIRED)
            return


class Refresh:
    """A refresh of our own on one leg."""

    __slots__ = ("call", "leg", "_timer", "_method", "_ack")

    def __init__(self, call: Call, leg: Leg) -> None:
        assert leg.timer is not None, "there is something to refresh"
        self.call = call
        self.leg = leg
        self._timer = leg.timer
        self._method = "UPDATE" if self._timer.updates or not self._timer.session else "INVITE"
        self._ack: Request | None = None

    def start(self) -> None:
        """Send it, or wait until nothing is in its way (RFC 3261 14.1)."""
        if self._method == "INVITE":
            if self.call.busy(self.leg) or self.call.joining:
                self._later(_BUSY)
                return
            self.call.refreshing = self
        take(self.call.hall.wire, self.leg, self._go, self._lost)

    def _go(self, flow: Flow) -> None:
        hall, body = self.call.hall, b""
        headers: Headers = {"Allow": [hall.ALLOW]}
        if self._method == "INVITE":
            headers["Content-Type"] = [SDP]
            body = self.leg.sdp.own(self._timer.session)
        self.call.note(self.leg, True, self._method)
        hall.wire.send(self.leg.request(self._method, HOPS, headers, body), flow, self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The peer's answer."""
        if response.status < 200:
            return
        if self._ack is not None:
            transmit(self.call.hall.wire, self.leg, self._ack)  # the 2xx again: the same ACK again (S23)
            return
        self.call.note(self.leg, False, f"{response.status} {self._method}")
        if response.status < 300:
            self._success(transaction, response)
        else:
            self._failure(response)

    def _success(self, transaction: ClientTransaction, response: Response) -> None:
        leg, timer, wire = self.leg, self._timer, self.call.hall.wire
        try:
            leg.retarget(response.contact)
            timer.hear(response)
        except Malformed as fault:
            self.call.hall.journal.fault(transaction.flow, fault, f"a {response.status} response")
        if self._method == "INVITE":
            self._ack = leg.ack(transaction.request.cseq[0], brought(transaction.request))
            self.call.note(leg, True, "ACK")
            transmit(wire, leg, self._ack)
        _learn(timer, response)
        timer.agree(wire.now())
        self._done()

    def _failure(self, response: Response) -> None:
        status, timer = response.status, self._timer
        if status in (408, 481):
            self._gone(status)
        elif status == 491:
            self._later(self._glare())
        elif status in _NO_UPDATE and self._method == "UPDATE" and timer.session:
            timer.updates = False
            self._later(_BUSY)
        elif status == 422 and self._learned(response):
            self._later(_BUSY)
        else:
            self._later(0.0)

    def _learned(self, response: Response) -> bool:
        try:
            return self._timer.insists(response)
        except Malformed:
            return False

    def _glare(self) -> float:
        """RFC 3261 14.1: 2.1 to 4 seconds for the owner of the Call-ID, 0 to 2 for the other."""
        below = self.call.hall.wire.tokens.below
        ours = self.leg.call_id != self.call.near.call_id
        return (210 + below(191)) / 100 if ours else (1 + below(200)) / 100

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The peer asks who we are."""
        self.call.note_again(self.leg, response)
        again()
        return True

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No answer."""
        self._lost(status, reason)

    def _lost(self, status: int, reason: str) -> None:
        if status == 408:
            self._gone(status)  # nobody is there (RFC 4028 10)
        else:
            self._later(0.0)

    def _later(self, wait: float) -> None:
        self._timer.refused(self.call.hall.wire.now(), wait)
        self._done()

    def _gone(self, status: int) -> None:
        """RFC 4028 10, RFC 5057 5: whatever was agreed meanwhile."""
        self._done()
        self.call.gone(self.leg, f"a refresh of the session was answered {status}", EXPIRED)

    def _done(self) -> None:
        if self.call.refreshing is self:
            self.call.refreshing = None
        self.call.look_again()
