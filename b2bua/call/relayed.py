"""One request and its answer inside a dialog that is, or may be, used for subscriptions: SUBSCRIBE, NOTIFY, REFER.

What is learnt from them of how long a subscription lasts is in the dialog's `Usages` when the answer has crossed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from b2bua.call.events import Named, names_dialog, translated
from b2bua.call.usages import (
    DURATION,
    ENDS,
    LONGEST,
    REFER,
    Event,
    Usage,
    Usages,
    event_of,
    expires_of,
    seconds_of,
    state_of,
)
from b2bua.call.way import take
from b2bua.dialog.leg import Leg
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request, Response
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

_REFRESHES_TARGET = frozenset({"SUBSCRIBE", "NOTIFY", "REFER"})


class Owner(Protocol):
    """The call, or the dialog of a subscription, in which the request came."""

    @property
    def hall(self) -> Hall:
        """The hall."""

    def note(self, leg: Leg, outward: bool, label: str) -> None:
        """Remember a message for the ladder."""

    def note_again(self, leg: Leg, response: Response) -> None:
        """Remember an answer on which the same request was sent once more."""

    def usage_over(self) -> None:
        """A subscription may have ended."""


class Relayed:
    """A request inside a dialog. The near leg is the one that it came on.

    Malformed for an Event, or a Subscription-State, that cannot be read.
    """

    __slots__ = ("_owner", "_usages", "_near", "_far", "_server", "_event", "_over", "_named", "_usage")

    def __init__(self, owner: Owner, usages: Usages, near: Leg, far: Leg, server: ServerTransaction) -> None:
        self._owner = owner
        self._usages = usages
        self._near = near
        self._far = far
        self._server = server
        self._event = event_of(server.request)
        self._over = server.method == "NOTIFY" and state_of(server.request)[0] == "terminated"
        self._named: Named | None = None  # Event, where it names a dialog
        self._usage: Usage | None = None  # a REFER's own
        server.user = self

    def start(self) -> None:
        """Carry the request across."""
        take(self._owner.hall.wire, self._far, self._go, self._lost)

    def _go(self, flow: Flow) -> None:
        hall, request, far = self._owner.hall, self._server.request, self._far
        granted, body = hall.across(self._near, far, request)
        if request.method == "NOTIFY":
            self._usages.rename(far, False, request, granted)
        elif request.method == "SUBSCRIBE":
            self._usages.rename(self._near, True, request, granted)
            if "Event" not in granted and names_dialog(request):
                self._named = translated(hall, self._near, far, request)
                granted["Event"] = [self._named.sent]
            no_longer(granted)
        elif request.method == "REFER" and "Refer-To" not in granted:
            raise Malformed("a Refer-To that cannot be said to the other side", "RFC 3515 2.1", 603)
        self._owner.note(far, True, request.method)
        sent = far.request(request.method, hall.hops_left(request), granted, body)
        if request.method == "REFER":
            until = hall.wire.now() + hall.wire.timers.patience
            self._usage = self._usages.refer(self._near, request.cseq[0], sent.cseq[0], until)
        hall.wire.send(sent, flow, self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The far side's answer."""
        status, request = response.status, self._server.request
        if status < 200:
            return
        self._owner.note(self._far, False, f"{status} {request.method}")
        if status < 300 and request.method in _REFRESHES_TARGET:
            self._near.retarget(request.contact)
            self._far.retarget(response.contact)
        crossed = self._owner.hall.crossed(self._far, self._near, request, response)
        no_longer(crossed.headers)
        self._settle(status, response)
        self._respond(crossed)
        self._owner.usage_over()

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The far side asks who we are; a REFER's number is what its NOTIFYs name it by."""
        self._owner.note_again(self._far, response)
        sent = again().request
        if self._usage is not None:
            self._usage.event = Event(REFER, str(sent.cseq[0]))
        return True

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """The far side did not answer in time, or cannot be reached."""
        self._lost(status, reason)

    def _lost(self, status: int, reason: str) -> None:
        response = self._near.response(self._server.request, status)
        self._settle(status, response)
        self._respond(response)
        self._owner.usage_over()

    def _settle(self, status: int, response: Response) -> None:
        """What the answer means for the subscription that the request is about."""
        method = self._server.method
        if method == "NOTIFY":
            self._notified(status)
        elif method == "SUBSCRIBE":
            self._subscribed(status, response)
        elif status >= 300 or response.first("Refer-Sub").lower() == "false":
            self._usages.over(self._usage)  # none, where it is no REFER

    def _notified(self, status: int) -> None:
        """RFC 6665 4.2.2: a subscriber that knows it no more, or is not there, ends a subscription."""
        request, usages = self._server.request, self._usages
        if status < 300:
            usages.follow(self._far, request, self._owner.hall.wire.now())
        elif status in ENDS or status == 408 or (self._over and status not in (401, 407)):
            usages.over(usages.notified(self._far, self._event))

    def _subscribed(self, status: int, response: Response) -> None:
        """RFC 6665 4.1.2.2: the 2xx says how long it lasts from now on; after a failure it lasts as long as it did."""
        request, usages = self._server.request, self._usages
        event = self._event
        if status < 300:
            seconds = duration(request, response)
            if seconds or usages.asked(self._near, event) is not None:
                usage = usages.subscribe(self._near, event, self._owner.hall.wire.now() + seconds)
                usage.named = self._named or usage.named
        elif status in ENDS:
            usages.over(usages.asked(self._near, event))

    def _respond(self, response: Response) -> None:
        self._owner.note(self._near, True, f"{response.status} {self._server.method}")
        self._owner.hall.wire.respond(self._server, response)

    # A request other than INVITE has no ACK, and a CANCEL for it has no effect (RFC 3261 9.2).

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Never."""

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """Never."""

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """No effect."""


def no_longer(headers: Headers) -> None:
    """Nobody is promised a longer subscription than we keep: a notifier, and we, may shorten it (RFC 6665 4.2.1.1)."""
    values = headers.get("Expires")
    if values is not None and (seconds_of(values[0]) or 0.0) > LONGEST:
        headers["Expires"] = [f"{LONGEST:.0f}"]


def duration(request: Request, response: Response) -> float:
    """Seconds that a subscription lasts: the 2xx says it, or else what was asked for holds (RFC 6665 4.1.2.1)."""
    for message in (response, request):
        seconds = expires_of(message)
        if seconds is not None:
            return min(seconds, LONGEST)
    return DURATION
