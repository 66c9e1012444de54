"""Event headers that name a dialog (RFC 4235 3.2): a subscription to one dialog, on each side by that side's ids.

The notifier's dialog is the other leg of the subscriber's. What was said and sent when the subscription was asked for
is remembered: it goes on when the dialog that it is about has left the book.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from b2bua.dialog.leg import Leg
from b2bua.sip.dialogid import DialogId
from b2bua.sip.grammar import Malformed, format_params, parse_params, quote, split_quoted
from b2bua.sip.message import Message

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

RULE = "RFC 4235 3.2"
_IDS = ("call-id", "to-tag", "from-tag")


class Named(NamedTuple):
    """Event as the subscriber says it, and as the notifier is told it."""

    said: str
    sent: str


def names_dialog(message: Message) -> bool:
    """Whether Event names a dialog. Malformed where it cannot be read."""
    value = message.first("Event")
    return "-" in value and not parse_params(_params(value), RULE).keys().isdisjoint(_IDS)


def translated(hall: Hall, source: Leg, target: Leg, message: Message) -> Named:
    """Event with the ids that the dialog has on the target's side.

    Malformed, to be answered 481, for a dialog that is not known on both sides.
    """
    said = message.first("Event")
    params = parse_params(_params(said), RULE)
    call_id, to_tag, from_tag = (_unquoted(params.pop(name, None) or "") for name in _IDS)
    there = hall.ids.known(source.listener.zone, target.listener.zone, DialogId(call_id, to_tag, from_tag))
    if there is None:
        raise Malformed("Event names a dialog that the other side does not know", RULE, 481)
    ids = zip(_IDS, (quote(there[0]), *there[1:]), strict=True)
    package = said.partition(";")[0].strip()
    return Named(said, package + format_params({**dict(ids), **params}))


def _params(value: str) -> str:
    _, semicolon, rest = value.partition(";")
    return semicolon + rest


def _unquoted(value: str) -> str:
    return split_quoted(value, RULE)[0] if value.startswith('"') else value
