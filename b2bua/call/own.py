"""Requests inside a call that we send of our own accord, by the way and with the headers of relayed ones (S7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from b2bua.call.way import take
from b2bua.dialog.leg import HOPS, Leg
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response
from b2bua.transaction.transaction import ClientTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call


class Farewell:
    """BYE. Whatever is answered to it, the call is over; also a challenge, where we have no credentials (S33)."""

    __slots__ = ("call", "leg")

    METHOD = "BYE"

    def __init__(self, call: Call, leg: Leg) -> None:
        self.call = call
        self.leg = leg

    def start(self) -> None:
        """Send it."""
        self.call.note(self.leg, True, self.METHOD)
        take(self.call.hall.wire, self.leg, self._go, self.lost)

    def _go(self, flow: Flow) -> None:
        self.call.hall.wire.send(self.make(), flow, self)

    def make(self) -> Request:
        """The request."""
        return self.leg.request(self.METHOD, HOPS, self.call.farewell)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """What the peer says to it."""
        self.call.note(self.leg, False, f"{response.status} {self.METHOD}")

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The peer asks who we are."""
        self.call.note_again(self.leg, response)
        again()
        return True

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """Nobody is there."""
        self.lost(status, reason)

    def lost(self, status: int, reason: str) -> None:
        """There is no way to the peer."""


class Probe(Farewell):
    """OPTIONS: whether a peer is still there, and knows of the call."""

    __slots__ = ()

    METHOD = "OPTIONS"

    def make(self) -> Request:
        """Nothing but the question."""
        return self.leg.request(self.METHOD, HOPS)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """Any answer but these two proves that the peer is there (RFC 5057 5)."""
        super().answered(transaction, response)
        if response.status in (408, 481):
            self.lost(response.status, f"it answers {response.status}")

    def lost(self, status: int, reason: str) -> None:
        """The peer is not there."""
        self.call.gone(self.leg, f"a probe found nobody: {reason}")
