"""The book of calls: every leg under its Call-ID and both tags, which alone decide (S15, S17)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from b2bua.dialog.leg import Leg
from b2bua.sip.message import Headers, Message, Request
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call
    from b2bua.call.subscription import Subscription


class Dialogue(Protocol):
    """What two legs belong to, and what their peers' requests are given to: a call, or a subscription."""

    def request(self, side: Side, transaction: ServerTransaction) -> None:
        """A request inside the dialog, in its CSeq order."""

    def ack(self, side: Side, ack: Request) -> None:
        """An ACK for a 2xx."""

    def refuse(self, side: Side, transaction: ServerTransaction, status: int, more: Headers | None = None) -> None:
        """Answer a request ourselves, in the identity of the leg that it came on (S43)."""


class Side(NamedTuple):
    """A leg, the leg on the other side of it, and the call or subscription that both are of."""

    call: Dialogue
    leg: Leg
    peer: Leg


class Book:
    """All calls and subscriptions by their own ids, all legs by their dialog's."""

    __slots__ = ("_calls", "_sides", "_called", "subscriptions", "_expected")

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._sides: dict[tuple[str, str, str], Side] = {}
        self._called: dict[str, Side] = {}  # by Call-ID alone: of several forks, the last
        self.subscriptions: dict[str, Subscription] = {}
        self._expected: dict[tuple[str, str], Subscription] = {}  # by Call-ID and our tag: any NOTIFY may come

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    @property
    def legs(self) -> int:
        """How many legs a request can be for."""
        return len(self._sides)

    def call(self, call_id: str) -> Call | None:
        """A call by its own id, or by as much of its beginning as is unique."""
        found = self._calls.get(call_id)
        if found is None and call_id:
            matches = [call for key, call in self._calls.items() if key.startswith(call_id)]
            found = matches[0] if len(matches) == 1 else None
        return found

    def find(self, request: Message) -> Side | None:
        """The side that a request from a peer is for (RFC 3261 12.2.2)."""
        return self._sides.get((request.call_id, request.to_tag, request.from_tag))

    def side(self, call_id: str, local_tag: str, remote_tag: str) -> Side | None:
        """The side whose leg has these ids."""
        return self._sides.get((call_id, local_tag, remote_tag))

    def call_of(self, side: Side) -> Call | None:
        """The call that a side belongs to; None where it is another kind of dialogue."""
        return next((call for call in self._calls.values() if call is side.call), None)

    def called(self, call_id: str) -> Side | None:
        """A side whose leg has this Call-ID."""
        return self._called.get(call_id)

    def elsewhere(self, zone: str, word: str) -> bool:
        """Whether a word is the Call-ID of a leg in another zone."""
        side = self._called.get(word)
        return side is not None and side.leg.listener.zone != zone

    def open(self, call: Call) -> None:
        """Enter a call."""
        self._calls[call.id] = call

    # Subscriptions

    def expect(self, subscription: Subscription, far: Leg) -> None:
        """From now on a NOTIFY to this leg may come from anybody: each new tag makes a dialog (RFC 6665 4.4.1)."""
        self._expected[far.call_id, far.local_tag] = subscription

    def expects(self, request: Message) -> Subscription | None:
        """The subscription to which a request from a tag not seen before may belong."""
        return self._expected.get((request.call_id, request.to_tag))

    def enough(self, far: Leg) -> None:
        """No new dialog for this leg."""
        self._expected.pop((far.call_id, far.local_tag), None)

    # Dialogs

    def pair(self, call: Dialogue, near: Leg, far: Leg) -> None:
        """Enter two legs that belong together, once both know their peers' tags."""
        side = self._called[near.call_id] = Side(call, near, far)
        self._sides[near.call_id, near.local_tag, near.remote_tag] = side
        side = self._called[far.call_id] = Side(call, far, near)
        self._sides[far.call_id, far.local_tag, far.remote_tag] = side

    def join(self, call: Call, near: Leg, far: Leg) -> None:
        """The same for a far leg whose near leg may have another far leg already: it stays with that one."""
        side = Side(call, near, far)
        if self._sides.setdefault((near.call_id, near.local_tag, near.remote_tag), side) is side:
            self._called[near.call_id] = side
        side = self._called[far.call_id] = Side(call, far, near)
        self._sides[far.call_id, far.local_tag, far.remote_tag] = side

    def part(self, pairs: Iterable[tuple[Leg, Leg]]) -> None:
        """Strike legs out."""
        for pair in pairs:
            for leg in pair:
                side = self._sides.pop((leg.call_id, leg.local_tag, leg.remote_tag), None)
                if side is not None and self._called.get(leg.call_id) is side:
                    del self._called[leg.call_id]

    def close(self, call: Call) -> None:
        """Strike a call out with all its legs."""
        self._calls.pop(call.id, None)
        self.part(call.pairs)
