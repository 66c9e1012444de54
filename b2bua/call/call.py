"""A call: two legs, what passes between them once they are up, and its end on both sides."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from b2bua.call.book import Side
from b2bua.call.exchange import Exchange
from b2bua.call.invitation import Reinvitation
from b2bua.dialog.leg import Leg, Standing
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Response
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall
    from b2bua.call.setup import Setup

WATCH = 30.0  # seconds between two looks at a call; also how late a limit may be noticed
HISTORY = 200  # steps kept for the ladder


class Phase(Enum):
    """How far a call has come."""

    CALLING = "calling"
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"


class Step(NamedTuple):
    """One message of a call, for its ladder. `outward` is from us to that leg's peer."""

    at: float
    near: bool
    outward: bool
    label: str


class Call:
    """Two legs and what passes between them. The near leg is the caller's, the far leg the callee's.

    While a fork rings there are several pairs, one for each of its tags (S28); after the answer there is one.
    """

    __slots__ = (
        "id", "hall", "near", "far", "pairs", "phase", "rule", "why", "setup", "created", "answered_at", "ended_at",
        "ending", "history", "reinvitation", "_deadline", "_heard",
    )  # fmt: skip

    def __init__(self, hall: Hall, near: Leg) -> None:
        self.id = hall.wire.tokens.word()
        self.hall = hall
        self.near = near
        self.far: Leg | None = None
        self.pairs: list[tuple[Leg, Leg]] = []
        self.phase = Phase.CALLING
        self.rule = ""
        self.why = ""
        self.setup: Setup | None = None
        self.created = hall.wire.now()
        self.answered_at = 0.0
        self.ended_at = 0.0
        self.ending = ""
        self.history: list[Step] = []
        self.reinvitation: Reinvitation | None = None  # the one that is under way
        self._heard = self.created
        self._deadline = self.created + hall.limits.ring_timeout if hall.limits.ring_timeout else 0.0
        self._watch()

    # What its parts tell it

    def note(self, leg: Leg, outward: bool, label: str) -> None:
        """Remember a message for the ladder."""
        if len(self.history) < HISTORY:
            self.history.append(Step(self.hall.wire.now(), leg.call_id == self.near.call_id, outward, label))

    def ringing(self) -> None:
        """The far side is alerted."""
        if self.phase is Phase.CALLING:
            self.phase = Phase.RINGING

    def answered(self, near: Leg, far: Leg) -> None:
        """The first 2xx came: these two legs are the call."""
        self.near, self.far = near, far
        self.phase = Phase.ANSWERED
        self.answered_at = self._heard = self.hall.wire.now()
        self._deadline = self.answered_at + self.hall.limits.max_duration if self.hall.limits.max_duration else 0.0
        self.setup = None
        self.hall.journal.answered(self)
        for pair in self.pairs:
            if pair[1] is not far:
                self.hall.book.part(pair[0])
                self.hall.book.part(pair[1])
        self.pairs = [(near, far)]
        self._watch()

    def end(self, why: str) -> None:
        """The call is over. Its legs stay for 64·T1: late messages must still find them (S33)."""
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.ENDED
        self.ending = why
        self.ended_at = self.hall.wire.now()
        self.setup = None
        if self.reinvitation is not None:
            self.reinvitation.abandon(487, why)
        for near, far in self.pairs:
            near.standing = far.standing = Standing.ENDED
        self.hall.journal.ended(self)
        self.hall.wire.after(self.hall.wire.timers.patience, self._close)

    def _close(self) -> None:
        self.hall.book.close(self)

    # What the peers ask

    def request(self, side: Side, transaction: ServerTransaction) -> None:
        """A request inside the dialog, in its CSeq order."""
        request = transaction.request
        method, leg = request.method, side.leg
        self._heard = self.hall.wire.now()
        self.note(leg, False, method)
        if leg.standing is Standing.ENDED:
            # BYE crossing BYE: both are right (S33). Whatever else comes is for a dialog that is no more.
            self.refuse(side, transaction, 200 if method == "BYE" else 481)
        elif self.hall.hops_left(request) < 0:
            self.refuse(side, transaction, 483)
        elif method == "INVITE":
            self._reinvite(side, transaction)
        elif method == "BYE":
            self._bye(side, transaction)
        elif method in self.hall.IN_DIALOG_REFUSED:
            self.refuse(side, transaction, 405, {"Allow": [self.hall.ALLOW]})
        else:
            Exchange(self, side.leg, side.peer, transaction).start()

    def _reinvite(self, side: Side, transaction: ServerTransaction) -> None:
        under_way = self.reinvitation
        if self.phase is not Phase.ANSWERED or (under_way is not None and under_way.near is side.leg):
            # A second INVITE while the first is not answered (RFC 3261 14.2).
            self.refuse(side, transaction, 500, {"Retry-After": [str(self.hall.wire.tokens.below(10))]})
        elif under_way is not None:
            self.refuse(side, transaction, 491)  # glare: ours to that peer is under way (S32)
        else:
            self.reinvitation = Reinvitation(self, side.leg, side.peer, transaction)
            self.reinvitation.start()

    def refuse(self, side: Side, transaction: ServerTransaction, status: int, more: Headers | None = None) -> None:
        """Answer a request ourselves, in the identity of the leg that it came on (S43)."""
        self.note(side.leg, True, f"{status} {transaction.method}")
        self.hall.wire.respond(transaction, side.leg.response(transaction.request, status, more))

    def _bye(self, side: Side, transaction: ServerTransaction) -> None:
        """A peer hangs up. Before the answer the caller may, too (RFC 3261 15): it takes the INVITE back."""
        why = "the caller hung up" if side.leg.call_id == self.near.call_id else "the callee hung up"
        if self.phase is Phase.ANSWERED or self.setup is None:
            Exchange(self, side.leg, side.peer, transaction).start()
            self.end(why)
        else:
            self.refuse(side, transaction, 200)
            self.setup.abandon(487, why)

    # What we do of our own accord

    def hang_up(self, why: str) -> None:
        """End the call on both sides: BYE where a dialog is up, a final response or CANCEL where it is not."""
        if self.phase is Phase.ENDED:
            return
        if self.phase is Phase.ANSWERED:
            for leg in (self.near, self.far):
                if leg is not None:
                    self.send_bye(leg)
        elif self.setup is not None:
            self.setup.abandon(480, why)
        self.end(why)

    def send_bye(self, leg: Leg) -> None:
        """BYE of our own on one leg."""
        if leg.standing is not Standing.ENDED:
            leg.standing = Standing.ENDED
            _Own(self, leg, "BYE").start()

    def gone(self, leg: Leg, peer: Leg, why: str) -> None:
        """The peer of `leg` knows the call no more or is not there (S32): the other side is told."""
        if self.phase is Phase.ANSWERED:
            self.send_bye(leg)
            self.send_bye(peer)
            self.end(why)

    def _watch(self) -> None:
        """Look at the limits now and then; one entry in the wheel at a time, gone soon after the call is."""
        if self.phase is Phase.ENDED:
            return
        now = self.hall.wire.now()
        if self._deadline and now >= self._deadline:
            if self.phase is Phase.ANSWERED:
                self.hang_up("the longest duration is reached")
            elif self.setup is not None:
                self.setup.unanswered_too_long()
            return
        if self.phase is Phase.ANSWERED and 0 < self.hall.limits.probe <= now - self._heard:
            self._heard = now
            self._probe()
        wait = min(WATCH, self._deadline - now) if self._deadline else WATCH
        self.hall.wire.after(wait, self._watch)

    def _probe(self) -> None:
        """Ask both peers whether they are still there: OPTIONS in the dialog. Silence or 481 ends the call."""
        assert self.far is not None, "an answered call has both legs"
        for leg, peer in ((self.near, self.far), (self.far, self.near)):
            _Probe(self, leg, peer).start()


class _Own:
    """A request that we send of our own accord. Whatever is answered to it changes nothing: a BYE."""

    __slots__ = ("_call", "_leg", "_method")

    def __init__(self, call: Call, leg: Leg, method: str) -> None:
        self._call = call
        self._leg = leg
        self._method = method

    def start(self) -> None:
        """Send it, by the way that the leg's requests take (S7)."""
        self._call.note(self._leg, True, self._method)
        self._call.hall.way(self._leg, self._go, self.lost)

    def _go(self, flow: Flow) -> None:
        self._call.hall.wire.send(self._leg.request(self._method, 70), flow, self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """Nothing left to do."""

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """Nobody is there."""
        self.lost(status, reason)

    def lost(self, status: int, reason: str) -> None:
        """There is no way to the peer."""


class _Probe(_Own):
    """Whether a peer is still there."""

    __slots__ = ("_peer",)

    def __init__(self, call: Call, leg: Leg, peer: Leg) -> None:
        super().__init__(call, leg, "OPTIONS")
        self._peer = peer

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """Any final answer but these two proves that the peer is there (RFC 5057)."""
        if response.status in (408, 481):
            self.lost(response.status, f"it answers {response.status}")

    def lost(self, status: int, reason: str) -> None:
        """The peer is not there."""
        self._call.gone(self._leg, self._peer, f"a probe found nobody: {reason}")


__all__ = ["Call", "Phase", "Step"]
