"""A subscription across the bridge (RFC 6665): SUBSCRIBE or REFER outside any dialog, and the dialogs that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.call.book import Side
from b2bua.call.events import Named, names_dialog, translated
from b2bua.call.hunt import Attempt, Hunt
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

    def usage_over(self) -> None:
        """See whether anything is left."""
        self.subscription.look()

    def end(self) -> None:
        """Whatever comes for it now gets 481."""
        self.over = True
        self.near.standing = self.far.standing = Standing.ENDED
        self.hall.book.part([(self.near, self.far)])


class Subscription:
    """One SUBSCRIBE or REFER of a peer's, and every dialog that notifiers make of it, each with a near tag of its own.

    A new tag in a NOTIFY makes a dialog (RFC 6665 4.4.1) until timer N, 64·T1 after the SUBSCRIBE was sent, has run
    out (4.1.2.4). A dialog lives as long as a subscription in it does, and 64·T1 more for the last NOTIFY.
    """

    __slots__ = (
        "id", "hall", "server", "near", "far", "event", "dialogs", "rule", "why", "created",
        "_hunt", "_attempt", "_until", "_number", "_named", "_due",
    )  # fmt: skip

    def __init__(self, hall: Hall, near: Leg, server: ServerTransaction) -> None:
        self.id = hall.wire.tokens.word()
        self.hall = hall
        self.server = server
        self.near = near
        self.far: Leg | None = None  # the last attempt's
        self.event = Event(REFER) if server.method == "REFER" else event_of(server.request)
        self.dialogs: dict[str, Dialog] = {}  # by the notifier's tag
        self.rule = ""
        self.why = ""
        self.created = hall.wire.now()
        self._hunt: Hunt | None = None
        self._attempt: Attempt | None = None
        self._until = self.created + hall.wire.timers.patience
        self._number = 0  # CSeq of the far SUBSCRIBE or REFER
        self._named: Named | None = None  # Event, where it names a dialog
        self._due = 0.0
        server.user = self

    @property
    def subscriber(self) -> str:
        """Who asked."""
        return self.near.remote

    @property
    def notifier(self) -> str:
        """Who was asked."""
        return self.far.remote if self.far is not None else self.near.local

    # Out

    @property
    def started(self) -> bool:
        """Whether it is decided where it goes."""
        return self._hunt is not None or self.server.answered

    def start(self, answer: Go) -> None:
        """Policy said where to: try the first target."""
        hall, request = self.hall, self.server.request
        if request.method == "REFER" and answer.options.refer != "pass":
            # Nor is there a call of ours to transfer, where the route says that we transfer ourselves.
            hall.journal.refused(request, self.server.flow, 603, f"rule {answer.rule} passes no REFER")
            self.refuse(603, "")
            return
        self.rule = answer.rule
        self._hunt = Hunt(hall.wire, hall.journal, request, answer, self._try, self._exhausted)
        self._hunt.next()

    def refuse(self, status: int, why: str, reason: str = "") -> None:
        """It goes nowhere; `reason` is for the sender to read."""
        self._hunt = None
        self._respond(self.near.response(self.server.request, status, reason=reason))
        self._give_up()

    def _try(self, attempt: Attempt) -> None:
        request, hall = self.server.request, self.hall
        self._give_up()
        far = hall.far_leg(request, attempt)
        self.far, self.why, self._attempt = far, attempt.why, attempt
        self._until = hall.wire.now() + hall.wire.timers.patience
        granted, body = hall.across(self.near, far, request)
        if "Event" not in granted and names_dialog(request):
            self._named = translated(hall, self.near, far, request)
            granted["Event"] = [self._named.sent]
        no_longer(granted)
        sent = far.request(request.method, hall.hops_left(request), granted, body)
        self._number = sent.cseq[0]
        hall.book.expect(self, far)
        hall.wire.send(sent, attempt.flow, self, hall.loop_key(request))
        self.look()

    # The answer

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The far side's answer; 503 goes on to the next target (S52)."""
        status, request = response.status, self.server.request
        if status < 200:
            return
        if status == 503:
            self.hall.wire.failed(transaction.flow)
            self._next(500, "the next hop answered 503")
            return
        self._hunt = None  # which knows us: no circle is left for the garbage collector
        if status < 300:
            self._accepted(response)
        else:
            assert self.far is not None, "an answer comes to an attempt"
            self._respond(self.hall.crossed(self.far, self.near, request, response))
            self._give_up()
        self.look()

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
        self._respond(crossed)

    def _lasts(self, dialog: Dialog, response: Response) -> None:
        now = self.hall.wire.now()
        for usage in dialog.usages:
            if self.server.method == "SUBSCRIBE":
                usage.until = now + duration(self.server.request, response)
            elif response.first("Refer-Sub").lower() == "false":
                dialog.usages.over(usage)  # RFC 4488: nothing will be notified
            elif not dialog.notified:
                usage.until = self._until  # the first NOTIFY says how long (RFC 3515 2.4.4)

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No answer: the next target; but a NOTIFY proves that there is a subscription, whatever became of the 2xx."""
        self.hall.wire.failed(transaction.flow)
        self.hall.journal.no_way(self.server.request, f"{transaction.flow}: {reason}")
        if any(not dialog.over for dialog in self.dialogs.values()):
            self._hunt = None
            self._respond(self.near.response(self.server.request, status))
        else:
            self._next(status, reason)

    def _next(self, status: int, reason: str) -> None:
        """The next target; but nothing is asked for that the subscriber believes lost (RFC 4320 4.2)."""
        assert self._hunt is not None, "an attempt was made"
        if self.hall.wire.now() < self.created + self.hall.wire.timers.patience:
            self._hunt.next(status, reason)
        else:
            self._exhausted(status, reason)

    def _exhausted(self, status: int, reason: str) -> None:
        self.hall.journal.refused(self.server.request, self.server.flow, status, reason)
        self.refuse(status, reason)

    def _respond(self, response: Response) -> None:
        self.hall.wire.respond(self.server, response)

    # Dialogs

    def notify(self, transaction: ServerTransaction) -> bool:
        """A NOTIFY with a tag not seen before makes a dialog; False where it may not (RFC 6665 4.1.3, 4.4.1)."""
        request, far = transaction.request, self.far
        tag = request.from_tag
        if far is None or self.hall.wire.now() >= self._until or tag in self.dialogs or len(self.dialogs) >= FORKS:
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
            near = Leg.of_request(self.server.request, self.server.flow, wire.tokens)
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
        self._until = 0.0
        self.look()

    def look(self) -> None:
        """Let go of what is over, and come back when something else may be."""
        wire = self.hall.wire
        now, grace = wire.now(), wire.timers.patience
        ends = [self._until] if now < self._until else []
        for dialog in self.dialogs.values():
            if not dialog.over:
                dialog.usages.expire(now - grace)
                ends += [usage.until + grace for usage in dialog.usages]
                if not dialog.usages:
                    dialog.end()
        if self.far is not None and now >= self._until:
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

    # A request other than INVITE has no ACK, and a CANCEL for it has no effect (RFC 3261 9.2).

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Never."""

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """Never."""

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """No effect."""
