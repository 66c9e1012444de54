"""The book of calls: every leg under its Call-ID and both tags, which alone decide (S15, S17)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from b2bua.dialog.leg import Leg
from b2bua.sip.message import Message

if TYPE_CHECKING:
    from b2bua.call.call import Call


class Side(NamedTuple):
    """A leg, the leg on the other side of it, and their call."""

    call: Call
    leg: Leg
    peer: Leg


class Book:
    """All calls by their own id, all legs by their dialog's."""

    __slots__ = ("_calls", "_sides")

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._sides: dict[tuple[str, str, str], Side] = {}

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

    def open(self, call: Call) -> None:
        """Enter a call."""
        self._calls[call.id] = call

    def pair(self, call: Call, near: Leg, far: Leg) -> None:
        """Enter two legs that belong together, once both know their peers' tags."""
        self._sides[near.call_id, near.local_tag, near.remote_tag] = Side(call, near, far)
        self._sides[far.call_id, far.local_tag, far.remote_tag] = Side(call, far, near)

    def part(self, pairs: Iterable[tuple[Leg, Leg]]) -> None:
        """Strike legs out."""
        for pair in pairs:
            for leg in pair:
                self._sides.pop((leg.call_id, leg.local_tag, leg.remote_tag), None)

    def close(self, call: Call) -> None:
        """Strike a call out with all its legs."""
        self._calls.pop(call.id, None)
        self.part(call.pairs)
