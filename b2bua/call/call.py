"""A call: two legs, what passes between them once they are up, and its end on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from b2bua.call import prack, refresh
from b2bua.call.book import Side
from b2bua.call.exchange import Exchange
from b2bua.call.invitation import Invitation
from b2bua.call.media import Medium
from b2bua.call.offers import OURS, RETRY_AFTER, THEIRS, describes, overlap
from b2bua.call.own import Farewell, Probe
from b2bua.call.reinvitation import Reinvitation
from b2bua.call.relayed import Relayed
from b2bua.call.transfer import refer
from b2bua.call.usages import REFER, Usages, event_of
from b2bua.dialog.leg import OVER, Leg, Standing
from b2bua.dialog.session_timer import too_short
from b2bua.policy.crossing import METHODS
from b2bua.policy.hiding import unsupported
from b2bua.policy.options import DEFAULT, Options
from b2bua.sip.message import Headers, Request, Response
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall
    from b2bua.call.local_transfer import LocalTransfer
    from b2bua.call.setup import Setup

WATCH = 30.0  # seconds between two looks at a call
HISTORY = 200  # steps kept for the ladder
_ROOM = 4 * HISTORY
LABEL = 64  # characters of a step: a method may be as long as a message


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
        "ending", "reinvitation", "owed", "usages", "options", "transfer", "reliable", "refreshing", "timed",
        "farewell", "media", "_steps", "_deadline", "_heard", "_look",
    )  # fmt: skip

    def __init__(self, hall: Hall, near: Leg) -> None:
        self.id = hall.wire.tokens.word()
        self.hall = hall
        self.near = near
        self.far: Leg | None = None
        self.pairs: list[tuple[Leg, Leg]] = []
        self.phase = Phase.CALLING
        self.rule = ""
        self.options: Options = DEFAULT  # the route's
        self.why = ""
        self.setup: Setup | None = None  # until the answer, or the end
        self.created = hall.wire.now()
        self.answered_at = 0.0
        self.ended_at = 0.0
        self.ending = ""
        self._steps: list[float | bool | str] = []  # four for each step: written for every message, read by few
        self.reinvitation: Reinvitation | None = None  # the one that is under way
        self.owed: Invitation | None = None  # whose far ACK waits for the near one (S24)
        self.usages: Usages | None = None  # its dialog's besides the call (RFC 5057); until the first there is none
        self.reliable: dict[Leg, prack.Sending] = {}  # by the leg whose peer is to acknowledge
        self.refreshing: refresh.Refresh | None = None  # an INVITE of our own that is under way
        self.timed = False  # whether a leg has a session timer
        self.farewell: Headers | None = None  # what a BYE of our own says besides
        self.transfer: LocalTransfer | None = None  # the one that we carry out
        self.media: Sequence[Medium] = ()  # what is known of it at the end, where it was anchored
        self._heard = self.created
        self._look = 0.0
        self._deadline = self.created + hall.limits.ring_timeout if hall.limits.ring_timeout else 0.0
        self._watch_on()

    # What its parts tell it

    def note(self, leg: Leg, outward: bool, label: str) -> None:
        """Remember a message for the ladder."""
        if len(self._steps) < _ROOM:
            self._steps += self.hall.wire.now(), leg.call_id == self.near.call_id, outward, label[:LABEL]

    def note_again(self, leg: Leg, response: Response) -> None:
        """Remember an answer to a request of ours, on which the same was sent once more: 401, 407, 421, 422."""
        method = response.cseq[1]
        self.note(leg, False, f"{response.status} {method}")
        self.note(leg, True, method)

    @property
    def history(self) -> list[Step]:
        """What was noted, in order."""
        return list(map(Step._make, zip(*[iter(self._steps)] * 4, strict=True)))

    def ringing(self) -> None:
        """The far side is alerted."""
        self.phase = Phase.RINGING

    def answered(self, near: Leg, far: Leg) -> None:
        """The first 2xx came: these two legs are the call."""
        self.near, self.far = near, far
        self.phase = Phase.ANSWERED
        self.answered_at = self._heard = self.hall.wire.now()
        self._deadline = self.answered_at + self.hall.limits.max_duration if self.hall.limits.max_duration else 0.0
        self.setup = None
        self.hall.journal.answered(self)
        if len(self.pairs) > 1:
            self.hall.book.part([pair for pair in self.pairs if pair[1] is not far])
            self.hall.book.pair(self, near, far)  # the near leg may have been another fork's until now
        self.pairs = [(near, far)]
        if self.hall.media is not None:
            self.hall.media.only(self, near, far)
        if 0.0 < self._deadline < self._look:
            self._watch_on()

    def end(self, why: str, told: bool = False) -> None:
        """The call is over. Its legs stay for 64·T1: late messages must still find them (S33).

        `told`: the journal has the reason already, of a call that never left us.
        """
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.ENDED
        self.ending = why
        self.ended_at = self.hall.wire.now()
        self.setup = None
        if self.reinvitation is not None:
            self.reinvitation.abandon()
            self.reinvitation = None
        if self.transfer is not None:
            self.transfer.abandon()
        if self.owed is not None:
            self.owed.settle()
        for pair in self.pairs:
            for leg in pair:
                if leg.standing is not Standing.ENDING:
                    leg.standing = Standing.ENDED
        if self.hall.admission is not None:
            self.hall.admission.leave(self.id)
        if self.hall.media is not None:
            self.hall.media.end(self, partial(self._note_end, told))
        elif not told:
            self.hall.journal.ended(self)
        self.hall.wire.after(self.hall.wire.timers.patience, self._close)

    def _note_end(self, told: bool) -> None:
        """What there was of its media is known."""
        if not told:
            self.hall.journal.ended(self)

    def _close(self) -> None:
        """Nothing is left of it, unless a subscription outlives it in its dialog (RFC 5057 5)."""
        if self.usages is not None:
            self.usages.expire(self.hall.wire.now() - self.hall.wire.timers.patience)
            if self.usages:
                self.hall.wire.after(WATCH, self._close)
                return
        self.hall.book.close(self)
        if self.hall.media is not None:
            self.hall.media.forget(self)
        self.reliable.clear()  # no circle is left for the garbage collector

    def use(self) -> Usages:
        """What the dialog is used for besides the call, to add to it."""
        if self.usages is None:
            self.usages = Usages()
        return self.usages

    def usage_over(self) -> None:
        """A subscription in the dialog may have ended; the call goes on."""

    # What the peers ask

    def request(self, side: Side, transaction: ServerTransaction) -> None:
        """A request inside the dialog, in its CSeq order."""
        request = transaction.request
        method, leg = request.method, side.leg
        self._heard = self.hall.wire.now()
        self.note(leg, False, method)
        if method == "BYE":
            self._bye(side, transaction)
        elif leg.standing in OVER and not self._outlived(side, request):
            self.refuse(side, transaction, 481)
        elif self.hall.hops_left(request) < 0:
            self.refuse(side, transaction, 483)
        elif lacking := unsupported(request):
            self.refuse(side, transaction, 420, {"Unsupported": [", ".join(lacking)]})
        elif too_short(request, self.hall.limits.min_se):
            self.refuse(side, transaction, 422, {"Min-SE": [str(self.hall.limits.min_se)]})
        elif self.transfer is not None and side.peer.standing in OVER:
            self._between(side, transaction)
        elif method == "INVITE":
            self._reinvite(side, transaction)
        elif method == "PRACK":
            prack.take(self, side, transaction)
        elif method == "UPDATE":
            self._update(side, transaction)
        elif method == "REFER":
            refer(self, side, transaction)
        elif method in self.hall.IN_DIALOG_REFUSED:
            allow = ", ".join(sorted(METHODS - {"REFER"})) if leg.barred else self.hall.ALLOW
            self.refuse(side, transaction, 405, {"Allow": [allow]})
        elif method == "SUBSCRIBE" or (self.usages is not None and method == "NOTIFY"):
            self._in_usage(side, transaction)
        else:
            Exchange(self, leg, side.peer, transaction).start()

    def _between(self, side: Side, transaction: ServerTransaction) -> None:
        """The other side has left, and who comes in its place is not there yet: only a refresh needs nobody else."""
        if transaction.method == "UPDATE" and not describes(transaction.request):
            refresh.alone(self, side, transaction)
        else:
            self.refuse(side, transaction, OURS)

    def _in_usage(self, side: Side, transaction: ServerTransaction) -> None:
        """SUBSCRIBE or NOTIFY. How a transfer goes is told to nobody who did not ask for it (RFC 6665 4.1.3)."""
        event = event_of(transaction.request)
        told = transaction.method == "NOTIFY" and event.package == REFER
        if told and self.use().notified(side.peer, event) is None:
            self.refuse(side, transaction, 481)
        else:
            Relayed(self, self.use(), side.leg, side.peer, transaction).start()

    def _outlived(self, side: Side, request: Request) -> bool:
        """Whether a request is for a subscription that the BYE did not end (RFC 5057 4.1)."""
        if self.usages is None:
            return False
        if request.method == "SUBSCRIBE":
            return self.usages.asked(side.leg, event_of(request)) is not None
        return request.method == "NOTIFY" and self.usages.notified(side.peer, event_of(request)) is not None

    def ack(self, side: Side, ack: Request) -> None:
        """An ACK for a 2xx belongs to the INVITE with its CSeq; any other is for nobody."""
        server = side.leg.accepting
        if server is not None and server.request.cseq[0] == ack.cseq[0]:
            self.note(side.leg, False, "ACK")
            self._acknowledged(side.leg, server, ack)

    def _acknowledged(self, leg: Leg, server: ServerTransaction, ack: Request) -> None:
        leg.accepting = None
        self.hall.wire.acknowledge(server, ack)
        self.release(leg)
        waits = self.reinvitation
        if waits is not None and waits.far is leg and waits.client is None:
            waits.start()

    def _update(self, side: Side, transaction: ServerTransaction) -> None:
        """UPDATE: one at a time from each side, and one offer at a time from both (RFC 3311 5.2)."""
        leg = side.leg
        offers = describes(transaction.request)
        if offers and self.joining:
            self.refuse(side, transaction, OURS)
        elif status := THEIRS if leg.updating else overlap(self, side) if offers else 0:
            self._not_now(side, transaction, status)
        else:
            Exchange(self, leg, side.peer, transaction, offers=offers).start()

    def _not_now(self, side: Side, transaction: ServerTransaction, status: int) -> None:
        """500 says when to try again, 491 leaves that to the rule of RFC 3261 14.1."""
        again = {"Retry-After": [str(self.hall.wire.tokens.below(RETRY_AFTER))]} if status == THEIRS else None
        self.refuse(side, transaction, status, again)

    def busy(self, leg: Leg) -> bool:
        """Whether an INVITE of ours on a leg would meet another one, or an open offer."""
        (pair,) = (pair for pair in self.pairs if leg in pair)
        peer = pair[1] if pair[0] is leg else pair[0]
        return self._inviting() or leg.accepting is not None or overlap(self, Side(self, leg, peer)) != 0

    @property
    def joining(self) -> bool:
        """Whether a transfer has a new session agreed on: no other offer may come between."""
        return self.transfer is not None and self.transfer.joining

    def _inviting(self) -> bool:
        """Whether an INVITE is under way, or its last ACK is."""
        return self.reinvitation is not None or self.refreshing is not None or self.owed is not None

    def _reinvite(self, side: Side, transaction: ServerTransaction) -> None:
        under_way, leg = self.reinvitation, side.leg
        if self.phase is Phase.ANSWERED and self.owed is None and leg.accepting is not None:
            # RFC 5407 3.1.4: who sends the next INVITE has had the 2xx to the last one, and the offer its answer.
            self._acknowledged(leg, leg.accepting, Request("ACK", transaction.request.uri_text, {}))
        if self.phase is not Phase.ANSWERED or (
            under_way is not None and under_way.near is leg and not under_way.server.answered
        ):
            # A second INVITE while the first is not answered (RFC 3261 14.2).
            self._not_now(side, transaction, THEIRS)
        elif self._inviting() or self.joining:
            self.refuse(side, transaction, OURS)  # glare (S32), or one before the ACK that answers an offer
        elif status := overlap(self, side):
            self._not_now(side, transaction, status)
        else:
            self.reinvitation = Reinvitation(self, leg, side.peer, transaction)
            self.reinvitation.start()

    def refuse(self, side: Side, transaction: ServerTransaction, status: int, more: Headers | None = None) -> None:
        """Answer a request ourselves, in the identity of the leg that it came on (S43)."""
        self.note(side.leg, True, f"{status} {transaction.method}")
        self.hall.wire.respond(transaction, side.leg.response(transaction.request, status, more))

    def _bye(self, side: Side, transaction: ServerTransaction) -> None:
        """A peer hangs up (RFC 3261 15)."""
        leg, peer = side.leg, side.peer
        over = leg.standing in OVER and peer.standing is not Standing.CONFIRMED
        if over:
            leg.standing = Standing.ENDED  # a BYE of ours that waits is not needed any more
        if leg.accepting is not None:  # who hangs up has had our 2xx, whatever became of the ACK
            self._acknowledged(leg, leg.accepting, Request("ACK", transaction.request.uri_text, {}))
        if self.transfer is not None and self.transfer.hung_up(side, transaction):
            return
        by_caller = leg.call_id == self.near.call_id
        why = "the caller hung up" if by_caller else "the callee hung up"
        if over:
            self.refuse(side, transaction, 200)  # BYE crossing BYE: both are right (S33)
        elif self.setup is not None and not by_caller:
            self.refuse(side, transaction, 481)  # RFC 3261 15: not for a callee to send in an early dialog
        elif self.setup is not None and all(near is leg or near.standing in OVER for near, _ in self.pairs):
            self.refuse(side, transaction, 200)
            self.setup.abandon(487, why)  # no other early dialog: the caller takes its INVITE back
        else:
            leg.standing = Standing.ENDED
            if peer.accepting is not None or self.hall.hops_left(transaction.request) < 0:
                self.refuse(side, transaction, 200)
                self.send_bye(peer)  # one of our own: it may have to wait, and has hops enough
            else:
                peer.standing = Standing.ENDED
                Exchange(self, leg, peer, transaction).start()
            if self.setup is None:
                self.end(why)

    # What we do of our own accord

    def regroup(self, near: Leg, far: Leg) -> None:
        """From now on these two are the call: who transferred it is not in it any more."""
        self.hall.book.part(self.pairs)
        self.near, self.far, self.pairs = near, far, [(near, far)]
        self.hall.book.pair(self, near, far)
        self.transfer = self.usages = None  # what was subscribed to in the old dialog ends with it
        if self.hall.media is not None:
            self.hall.media.only(self, near, far)
        self.timed = near.timer is not None or far.timer is not None
        if self.timed:
            self.look_again()

    def dissolve(self, why: str) -> None:
        """The call is over without a word: its legs have gone over to another one."""
        self.hall.book.part(self.pairs)
        self.pairs, self.transfer, self.usages = [], None, None
        self.end(why)

    def hang_up(self, why: str, reason: str = "") -> None:
        """End the call on both sides: BYE where a dialog is up, a final response and CANCEL where it is not.

        `reason` is the BYE's Reason header (RFC 3326).
        """
        if reason:
            self.farewell = {"Reason": [reason]}
        if self.setup is not None:
            self.setup.abandon(480, why)
        elif self.phase is Phase.ANSWERED:
            if self.owed is not None:
                self.owed.settle()
            for pair in self.pairs:
                for leg in pair:
                    self.send_bye(leg)
            self.end(why)

    def gone(self, leg: Leg, why: str, reason: str = "") -> None:
        """A peer knows the call no more or is not there (S32): the other side is told.

        Unless it is a peer that has left the call, which goes on without it (`regroup`).
        """
        stays = leg.standing not in OVER and any(leg in pair for pair in self.pairs)
        if stays and self.phase is Phase.ANSWERED:
            self.hang_up(why, reason)

    def send_bye(self, leg: Leg) -> None:
        """BYE of our own on one leg; where our 2xx has had no ACK yet, only after that (RFC 3261 15)."""
        if leg.standing in OVER:
            return
        leg.standing = Standing.ENDING
        if leg.accepting is None:
            self.release(leg)

    def release(self, leg: Leg) -> None:
        """Nothing holds the BYE back any more, if there is one."""
        if leg.standing is Standing.ENDING:
            leg.standing = Standing.ENDED
            Farewell(self, leg).start()

    # What time brings

    def _watch_on(self) -> None:
        """Look again when the next limit may be reached."""
        now = self.hall.wire.now()
        wait = min(WATCH, self._deadline - now) if self._deadline else WATCH
        if self.timed:
            wait = max(0.0, min(wait, refresh.next_look(self) - now))
        self._look = now + wait
        self.hall.wire.after(wait, self._watch)

    def look_again(self) -> None:
        """A session timer has changed: it may be due before the next look."""
        if self.phase is Phase.ANSWERED and refresh.next_look(self) < self._look:
            self._watch_on()

    def _watch(self) -> None:
        """Look at the limits; one entry in the wheel at a time counts, the last one made."""
        now = self.hall.wire.now()
        if self.phase is Phase.ENDED or now < self._look:
            return
        if self._deadline and now >= self._deadline:
            if self.setup is not None:
                self.setup.unanswered_too_long()
            else:
                self.hang_up("the longest duration is reached")
            return
        if self.reinvitation is not None and now >= self.reinvitation.deadline:
            self.reinvitation.overdue()
        if self.timed and self.phase is Phase.ANSWERED:
            refresh.look(self)
            if self.phase is not Phase.ANSWERED:
                return
        if self.hall.media is not None and self.hall.media.silence and self.phase is Phase.ANSWERED:
            self.hall.media.look(self)
        if self.transfer is not None and now >= self.transfer.deadline:
            self.transfer.overdue()
        if self.phase is Phase.ANSWERED and 0 < self.hall.limits.probe <= now - self._heard:
            self._heard = now
            self._probe()
        self._watch_on()

    def _probe(self) -> None:
        """Ask both peers whether they are still there: OPTIONS in the dialog. Silence or 481 ends the call."""
        for pair in self.pairs:
            for leg in pair:
                if leg.standing not in OVER:
                    Probe(self, leg).start()


__all__ = ["Call", "Phase", "Step"]
