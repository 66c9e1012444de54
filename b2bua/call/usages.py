"""What a dialog is used for beside the call that made it: subscriptions, each with its own end (RFC 5057, RFC 6665).

A subscription belongs to one side of the dialog, the subscriber's, and is told apart by its Event: the package and the
id. The id of a REFER's subscription is the REFER's CSeq number (RFC 3515 2.4.6), which is another one on each leg.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from b2bua.call.events import Named, names_dialog
from b2bua.dialog.leg import Leg
from b2bua.sip.grammar import Malformed, digits, parse_params
from b2bua.sip.message import Headers, Message

DURATION = 3600.0  # seconds, of a subscription whose two sides name none
LONGEST = 86400.0  # seconds: who wants more asks again; what both sides have forgotten does not stay for years
AT_ONCE = 32  # subscriptions of one dialog
REFER = "refer"

# A subscription ends with these (RFC 6665 4.1.2.2, 4.2.2), and stays as it was after any other failure.
ENDS = frozenset({404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604})


class Event(NamedTuple):
    """A subscription's name (RFC 6665 8.2.1)."""

    package: str
    id: str = ""


class Usage:
    """One subscription. `subscriber` is the Call-ID of the leg on which it was asked for.

    `event` is what the notifier calls it; `told` is the id that the subscriber knows, the same but for a REFER's.
    `until` is when it is over unless it is refreshed, on the clock that the timers run by. `named`: the whole Event on
    either side, where it names a dialog.
    """

    __slots__ = ("subscriber", "event", "told", "state", "until", "named")

    def __init__(self, subscriber: str, event: Event, told: str, until: float) -> None:
        self.subscriber = subscriber
        self.event = event
        self.told = told
        self.state = "asked"  # for; then as the notifier says: pending, active
        self.until = until
        self.named: Named | None = None


class Usages:
    """The subscriptions of one dialog, of either side's."""

    __slots__ = ("_usages",)

    def __init__(self) -> None:
        self._usages: list[Usage] = []

    def __iter__(self) -> Iterator[Usage]:
        return iter(list(self._usages))

    def __len__(self) -> int:
        return len(self._usages)

    def subscribe(self, subscriber: Leg, event: Event, until: float) -> Usage:
        """The peer of `subscriber` has subscribed, or refreshed what it had."""
        usage = self.asked(subscriber, event)
        if usage is None:
            usage = self._add(Usage(subscriber.call_id, event, event.id, until))
        usage.until = until
        return usage

    def refer(self, subscriber: Leg, number: int, sent: int, until: float) -> Usage:
        """A REFER that came on `subscriber` with the CSeq number `number` went to the other leg as number `sent`.

        To be said as it is sent: the first NOTIFY may come before the 2xx. It is `over` where there is no 2xx, or one
        with Refer-Sub: false. `until`: the time for the first NOTIFY, which says how long it lasts (RFC 3515 2.4.4).
        """
        return self._add(Usage(subscriber.call_id, Event(REFER, str(sent)), str(number), until))

    def _add(self, usage: Usage) -> Usage:
        if len(self._usages) >= AT_ONCE:
            del self._usages[0]
        self._usages.append(usage)
        return usage

    def over(self, usage: Usage | None) -> None:
        """A subscription has ended."""
        if usage in self._usages:
            self._usages.remove(usage)

    def expire(self, now: float) -> None:
        """Forget those whose time is over."""
        self._usages = [usage for usage in self._usages if usage.until > now]

    # Which one a message is about

    def asked(self, subscriber: Leg, event: Event) -> Usage | None:
        """The subscription that a SUBSCRIBE on the subscriber's leg refreshes."""
        return self._find(subscriber, event, [usage.told for usage in self._usages])

    def notified(self, subscriber: Leg, event: Event) -> Usage | None:
        """The subscription that a NOTIFY from the other leg is about."""
        return self._find(subscriber, event, [usage.event.id for usage in self._usages])

    def _find(self, subscriber: Leg, event: Event, ids: list[str]) -> Usage | None:
        for usage, id in zip(self._usages, ids, strict=True):
            if (usage.subscriber, usage.event.package) == (subscriber.call_id, event.package):
                if id == event.id or (event.package == REFER and not event.id):
                    return usage  # RFC 3515 2.4.6: of the first REFER of a dialog the id may be left out
        return None

    # How it stands

    def follow(self, subscriber: Leg, notify: Message, now: float) -> Usage | None:
        """Take from a NOTIFY that the subscriber accepted how its subscription stands, and return it.

        It is over when the notifier says so (RFC 6665 4.1.3).
        """
        usage = self.notified(subscriber, event_of(notify))
        if usage is not None:
            usage.state, seconds = state_of(notify)
            if usage.state == "terminated":
                self.over(usage)
            elif seconds is not None:
                usage.until = now + min(seconds, LONGEST)
            elif usage.event.package == REFER:
                usage.until = max(usage.until, now + DURATION)
        return usage

    # What crosses

    def rename(self, subscriber: Leg, from_subscriber: bool, message: Message, granted: Headers) -> None:
        """Let the Event that crosses say a REFER's id, and a dialog's, as the other side knows it."""
        event = event_of(message)
        usage = self.asked(subscriber, event) if from_subscriber else self.notified(subscriber, event)
        if usage is None:
            return
        if event.package == REFER and event.id and "Event" in granted:
            granted["Event"] = [f"{REFER};id={usage.event.id if from_subscriber else usage.told}"]
        elif usage.named is not None and names_dialog(message):
            granted["Event"] = [usage.named.sent if from_subscriber else usage.named.said]


def event_of(message: Message) -> Event:
    """The subscription that Event names; packages are compared octet by octet. Malformed for what names none."""
    package, semicolon, rest = message.first("Event").partition(";")
    params = parse_params(semicolon + rest, "RFC 6665 8.2.1")
    return Event(package.strip(), params.get("id") or "")


def state_of(notify: Message) -> tuple[str, float | None]:
    """Subscription-State: the state, and the seconds that are left where they are said (RFC 6665 8.2.3)."""
    state, semicolon, rest = notify.first("Subscription-State").partition(";")
    seconds = parse_params(semicolon + rest, "RFC 6665 8.2.3").get("expires")
    return state.strip().lower() or "active", seconds_of(seconds)


def expires_of(message: Message) -> float | None:
    """Expires in seconds, where it is said and can be read."""
    return seconds_of(message.first("Expires"))


def seconds_of(text: str | None) -> float | None:
    """A number of seconds; None where there is none, or it cannot be read."""
    try:
        return float(digits(text, 2**32 - 1, "expires", "RFC 3261 20.19")) if text else None
    except Malformed:
        return None
