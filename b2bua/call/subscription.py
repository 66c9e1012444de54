"""A subscription across the bridge (RFC 6665): SUBSCRIBE or REFER outside any dialog, and the dialogs that it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from b2bua.call.addresses import Attempt, Hop
from b2bua.call.book import Side
from b2bua.call.events import Named, names_dialog, translated
from b2bua.call.hunt import Outcome
from b2bua.call.passing import Passing, Try
from b2bua.call.relayed import Relayed, duration, no_longer
from b2bua.call.usages import DURATION, LONGEST, REFER, Event, Usages, event_of, expires_of
from b2bua.dialog.leg import Leg, Standing
from b2bua.policy.hiding import unsupported
from b2bua.policy.routing import Go
from b2bua.sip.message import Headers, Request, Response
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

SUBSCRIBING = frozenset({"SUBSCRIBE", "REFER"})
FORKS = 32  # dialogs of one SUBSCRIBE, at most
WATCH = 30.0  # seconds between two looks at a subscription

# Of a call that is not there (RFC 5057 4.1): a subscription's dialog has no use for them.
_OF_A_CALL = frozenset({"INVITE", "BYE", "UPDATE", "PRACK", "INFO"})


class Dialog:
    """One dialog of a subscription: the subscriber's leg is the near one, the notifier's the far one."""

    __slots__ = ("subscription", "near", "far", "usages", "notified", "over")

    def __init__(self, subscription: Subscription, near: Leg, far: Leg) -> None:
        self.subscription = subscription
        self.near = near
        self.far = far
        self.usages = Usages()
        self.notified = False  # whether a NOTIFY made it, and not the 2xx alone
        self.over = False

    @property
    def hall(self) -> Hall:
        """The hall."""
        return self.subscription.hall

    def request(self, side: Side, transaction: ServerTransaction) -> None:
        """A request inside the dialog, in its CSeq order."""
        request = transaction.request
        method = request.method
        notify = method == "NOTIFY"
        if method in _OF_A_CALL or (notify and self.usages.notified(side.peer, event_of(request)) is None):
            self.refuse(side, transaction, 481)
        elif self.hall.hops_left(request) < 0:
            self.refuse(side, transaction, 483)
        elif lacking := unsupported(request):
            self.refuse(side, transaction, 420, {"Unsupported": [", ".join(lacking)]})
        elif method == "REGISTER":
            self.refuse(side, transaction, 405, {"Allow": [self.hall.ALLOW]})
        else:
            if notify and side.leg is self.far and not self.notified:
                self.far.formed_by(request)
                self.notified = True
            Relayed(self, self.usages, side.leg, side.peer, transaction).start()

    def ack(self, side: Side, ack: Request) -> None:
        """For nobody."""

    def refuse(self, side: Side, transaction: ServerTransaction, status: int, more: Headers | None = None) -> None:
        """Answer a request ourselves, in the identity of the leg that it came on (S43)."""
        self.hall.wire.respond(transaction, side.leg.response(transaction.request, status, more))

    def note(self, leg: Leg, outward: bool, label: str) -> None:
        """A subscription has no ladder."""

    def note_again(self, leg: Leg, response: Response) -> None:
        """Nor this."""

    def usage_over(self) -> None:
        """See whether anything is left."""
        self.subscription.look()

    def end(self) -> None:
        """Whatever comes for it now gets 481."""
        self.over = True
        self.near.standing = self.far.standing = Standing.ENDED
        self.hall.book.part([(self.near, self.far)])


class Asking(Try):
    """The SUBSCRIBE or REFER on its way to one target."""

    __slots__ = ("_subscription",)

    def __init__(self, subscription: Subscription, hop: Hop, breadth: int, send_from: str) -> None:
        super().__init__(subscription, hop, breadth, send_from)
        self._subscription = subscription

    def attempt(self, attempt: Attempt) -> None:
        """A new leg and the request for this address."""
        if self._addresses is not None:
            self._flow = attempt.flow
            self._far = self._subscription.ask(attempt, self)

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The target asks who we are; a REFER's number is what its NOTIFYs name it by."""
        if self._addresses is None:
            return False
        self._subscription.asked_again(again())
        return True

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No answer: the next address, unless there is a subscription all the same."""
        if self._addresses is not None and self._subscription.proved:
            self._addresses = None
            self._subscription.unproved(status)
        else:
            super().unanswered(transaction, status, reason)


class Subscription(Passing):
    """One SUBSCRIBE or REFER of a peer's, and every dialog that notifiers make of it, each with a near tag of its own.

    A new tag in a NOTIFY makes a dialog (RFC 6665 4.4.1) until timer N, 64·T1 after the SUBSCRIBE was sent, has run
    out (4.1.2.4). A dialog lives as long as a subscription in it does, and 64·T1 more for the last NOTIFY.
    """

    __slots__ = (
        "id", "far", "event", "dialogs", "rule", "why", "created",
        "_attempt", "_open_until", "_number", "_named", "_due",
    )  # fmt: skip

    def __init__(self, hall: Hall, near: Leg, server: ServerTransaction) -> None:
        super().__init__(hall, near, server)
        self.id = hall.wire.tokens.word()
        self.far: Leg | None = None  # the last attempt's
        self.event = Event(REFER) if server.method == "REFER" else event_of(server.request)
        self.dialogs: dict[str, Dialog] = {}  # by the notifier's tag
        self.rule = ""
        self.why = ""
        self.created = hall.wire.now()
        self._attempt: Attempt | None = None
        self._open_until = self.created + hall.wire.timers.patience
        self._number = 0  # CSeq of the far SUBSCRIBE or REFER
        self._named: Named | None = None  # Event, where it names a dialog
        self._due = 0.0

    @property
    def subscriber(self) -> str:
        """Who asked."""
        return self.near.remote

    @property
    def notifier(self) -> str:
        """Who was asked."""
        return self.far.remote if self.far is not None else self.near.local

    # Out

    def start(self, answer: Go) -> None:
        """Policy said where to: try the first target."""
        request = self.server.request
        if request.method == "REFER" and answer.options.refer != "pass":
            # Nor is there a call of ours to transfer, where the route says that we transfer ourselves.
            self.hall.journal.refused(request, self.server.flow, 603, f"rule {answer.rule} passes no REFER")
            self.refuse(603, "")
            return
        self.rule = answer.rule
        super().start(answer)

    def trial(self, hop: Hop, breadth: int) -> Asking:
        """The request on its way to a target."""
        assert self.answer is not None, "policy was asked"
        return Asking(self, hop, breadth, self.answer.send_from)

    def refuse(self, status: int, why: str, reason: str = "", more: Headers | None = None) -> None:
        """It goes nowhere; `reason` and `more` headers are for the sender to read."""
        if not self.server.answered:
            super().refuse(status, why, reason, more)
        self._give_up()

    def ask(self, attempt: Attempt, asking: Asking) -> Leg:
        """Ask whoever is at an address; returns the new leg to there."""
        request, hall = self.server.request, self.hall
        self._give_up()
        far = hall.far_leg(request, attempt, self.server)
        self.far, self.why, self._attempt = far, attempt.why, attempt
        self._open_until = hall.wire.now() + hall.wire.timers.patience
        granted, body = hall.across(self.near, far, request)
        if "Event" not in granted and names_dialog(request):
            self._named = translated(hall, self.near, far, request)
            granted["Event"] = [self._named.sent]
        no_longer(granted)
        sent = far.request(request.method, hall.hops_left(request), granted, body)
        self._number = sent.cseq[0]
        hall.book.expect(self, far)
        hall.wire.send(sent, attempt.flow, asking, hall.loop_key(request))
        self.look()
        return far

    def asked_again(self, transaction: ClientTransaction) -> None:
        """The same under another number."""
        self._number = transaction.request.cseq[0]

    # The answer

    def conclude(self, outcome: Outcome) -> None:
        """This is the subscriber's answer."""
        if outcome.response is not None and outcome.status < 300:
            self._accepted(outcome.response)
            self.look()
            return
        super().conclude(outcome)
        self._give_up()

    def _accepted(self, response: Response) -> None:
        """The 2xx: its tag is a dialog's, there already if the NOTIFY came first; how long it lasts is said here."""
        request, far = self.server.request, self.far
        assert far is not None, "an answer comes to an attempt"
        dialog = self.dialogs.get(response.to_tag)
        if dialog is None and response.to_tag and len(self.dialogs) < FORKS:
            dialog = self._dialog(response.to_tag)
            dialog.far.formed(response)
            self.hall.book.pair(dialog, dialog.near, dialog.far)
        elif dialog is not None and dialog.far.router is None:
            dialog.far.formed(response)  # by a proxy that records its route in SUBSCRIBE alone, as RFC 3265 had it
        near = self.near if dialog is None else dialog.near
        crossed = self.hall.crossed(far, near, request, response)
        no_longer(crossed.headers)
        if dialog is not None and not dialog.over:
            self._lasts(dialog, response)
        self.hall.wire.respond(self.server, crossed)

    def _lasts(self, dialog: Dialog, response: Response) -> None:
        now = self.hall.wire.now()
        for usage in dialog.usages:
            if self.server.method == "SUBSCRIBE":
                usage.until = now + duration(self.server.request, response)
            elif response.first("Refer-Sub").lower() == "false":
                dialog.usages.over(usage)  # RFC 4488: nothing will be notified
            elif not dialog.notified:
                usage.until = self._open_until  # the first NOTIFY says how long (RFC 3515 2.4.4)

    @property
    def proved(self) -> bool:
        """Whether a NOTIFY proves that there is a subscription, whatever became of the 2xx."""
        return any(not dialog.over for dialog in self.dialogs.values())

    def unproved(self, status: int) -> None:
        """The 2xx did not come, but NOTIFY did: nobody else is asked."""
        self.leave()
        self.hall.wire.respond(self.server, self.near.response(self.server.request, status))

    # Dialogs

    def notify(self, transaction: ServerTransaction) -> bool:
        """A NOTIFY with a tag not seen before makes a dialog; False where it may not (RFC 6665 4.1.3, 4.4.1)."""
        request, far = transaction.request, self.far
        tag = request.from_tag
        if far is None or self.hall.wire.now() >= self._open_until or tag in self.dialogs or len(self.dialogs) >= FORKS:
            return False
        if transaction.flow.listener.zone != far.listener.zone or not self._mine(event_of(request)):
            return False
        dialog = self._dialog(tag)
        dialog.far.formed_by(request)
        dialog.far.remote_cseq = request.cseq[0]
        dialog.far.source = transaction.flow
        dialog.notified = True
        side = Side(dialog, dialog.far, dialog.near)
        self.hall.book.pair(dialog, dialog.near, dialog.far)
        dialog.request(side, transaction)
        self.look()
        return True

    def _mine(self, event: Event) -> bool:
        if self.event.package == REFER and event.id in ("", str(self._number)):
            return event.package == REFER
        return event == self.event

    def _dialog(self, tag: str) -> Dialog:
        """The two legs for a tag that was not seen before; the first ones are those of the SUBSCRIBE itself."""
        near, far, attempt, wire = self.near, self.far, self._attempt, self.hall.wire
        assert far is not None and attempt is not None, "a dialog is made by an attempt"
        if self.dialogs:
            near = self.hall.near_leg(self.server)
            far = far.fork(attempt.uri, attempt.flow, wire.tokens)
        far.flow = attempt.flow
        near.standing = far.standing = Standing.CONFIRMED
        dialog = self.dialogs[tag] = Dialog(self, near, far)
        now, request = wire.now(), self.server.request
        if request.method == "REFER":
            dialog.usages.refer(near, request.cseq[0], self._number, now + DURATION)
        else:
            seconds = expires_of(request)
            until = now + (DURATION if seconds is None else min(seconds, LONGEST))
            dialog.usages.subscribe(near, self.event, until).named = self._named
        return dialog

    # What time brings

    def _give_up(self) -> None:
        """Nothing comes of the attempt, nor of what it made."""
        for dialog in self.dialogs.values():
            if not dialog.over:
                dialog.end()
        self.dialogs.clear()
        if self.far is not None:
            self.hall.book.enough(self.far)
        self._open_until = 0.0
        self.look()

    def look(self) -> None:
        """Let go of what is over, and come back when something else may be."""
        wire = self.hall.wire
        now, grace = wire.now(), wire.timers.patience
        ends = [self._open_until] if now < self._open_until else []
        for dialog in self.dialogs.values():
            if not dialog.over:
                dialog.usages.expire(now - grace)
                ends += [usage.until + grace for usage in dialog.usages]
                if not dialog.usages:
                    dialog.end()
        if self.far is not None and now >= self._open_until:
            self.hall.book.enough(self.far)
        if not ends and self.server.answered:
            self.hall.book.subscriptions.pop(self.id, None)
            return
        due = min([now + WATCH, *ends])
        if self._due <= now or due < self._due:
            self._due = due
            wire.after(due - now, self._turn)

    def _turn(self) -> None:
        if self.id in self.hall.book.subscriptions and self.hall.wire.now() >= self._due:
            self.look()
