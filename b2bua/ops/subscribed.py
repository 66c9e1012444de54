"""Subscriptions in words, for the manhole: those of their own dialogs, and those in the dialogs of calls."""

from __future__ import annotations

from collections.abc import Iterator

from b2bua.call.book import Book
from b2bua.call.usages import Event, Usage
from b2bua.dialog.leg import Leg
from b2bua.ops.tables import span

HEADS = ("id", "event", "subscriber", "notifier", "state", "expires", "age")

Row = tuple[str, str, str, str, str, str, str]


def subscription_rows(book: Book, now: float) -> Iterator[Row]:
    """A row for each subscription; one that nobody has answered yet has neither state nor end."""
    for each in list(book.subscriptions.values()):
        age = span(now - each.created)
        standing = [(dialog.near, dialog.far, usage) for dialog in each.dialogs.values() for usage in dialog.usages]
        for near, far, usage in standing:
            yield _row(each.id, usage, near, far, now, age)
        if not each.dialogs:
            yield each.id, _named(each.event), each.subscriber, each.notifier, "", "", age
    for call in book:
        if call.far is not None:
            for usage in call.usages or ():
                yield _row(call.id, usage, call.near, call.far, now, span(now - call.created))


def _row(id: str, usage: Usage, near: Leg, far: Leg, now: float, age: str) -> Row:
    by_near = usage.subscriber == near.call_id
    subscriber, notifier = (near, far) if by_near else (far, near)
    left = span(max(0.0, usage.until - now))
    return id, _named(usage.event), subscriber.remote, notifier.remote, usage.state, left, age


def _named(event: Event) -> str:
    return f"{event.package};id={event.id}" if event.id else event.package
