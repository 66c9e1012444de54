"""What becomes of a transfer that we carry out, told to who asked for it (RFC 3515 2.4.4): NOTIFY after NOTIFY."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from b2bua.call.way import take
from b2bua.dialog.leg import HOPS, Leg
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Response
from b2bua.sip.status import reason_of
from b2bua.transaction.transaction import ClientTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call

LINGER = 180.0  # seconds that a NOTIFY is awaited: as long as a call may ring


class News:
    """One after the other: the next NOTIFY waits until the last one is answered, and a newer one takes its place.

    `silent`: nobody wants to know (RFC 4488).
    """

    __slots__ = ("_call", "_leg", "_event", "_told", "_next", "_waiting", "_last", "_then", "_silent")

    def __init__(self, call: Call, leg: Leg, event: str, silent: bool) -> None:
        self._call = call
        self._leg = leg
        self._event = event
        self._told = 0
        self._next = 0
        self._waiting = False
        self._last = False
        self._then: Callable[[], None] | None = None
        self._silent = silent

    def tell(self, status: int) -> None:
        """How far it is."""
        if not self._last and status not in (self._told, self._next):
            self._next = status
            self._go_on()

    def end(self, status: int, then: Callable[[], None]) -> None:
        """How it ended; `then` is called when that has been heard, or will not be."""
        if not self._last:
            self._next, self._last, self._then = status, True, then
            self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            return
        if self._silent:
            self._done()
        elif self._next:
            self._told, self._next, self._waiting = self._next, 0, True
            self._call.note(self._leg, True, "NOTIFY")
            take(self._call.hall.wire, self._leg, self._send, self._lost)
        else:
            self._done()

    def _done(self) -> None:
        if self._last and self._then is not None:
            then, self._then = self._then, None
            then()

    def _send(self, flow: Flow) -> None:
        state = "terminated;reason=noresource" if self._last else f"active;expires={LINGER:.0f}"
        headers: Headers = {
            "Event": [self._event],
            "Subscription-State": [state],
            "Content-Type": ["message/sipfrag;version=2.0"],
        }
        self._call.hall.wire.send(self._leg.request("NOTIFY", HOPS, headers, _fragment(self._told)), flow, self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """Heard; who refuses one wants no more of them (RFC 6665 4.2.2)."""
        if response.status >= 200:
            self._call.note(self._leg, False, f"{response.status} NOTIFY")
            self._heard(response.status >= 300)

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The peer asks who we are."""
        self._call.note_again(self._leg, response)
        again()
        return True

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """Nobody is there."""
        self._lost(status, reason)

    def _lost(self, status: int, reason: str) -> None:
        self._heard(True)

    def _heard(self, unwanted: bool) -> None:
        self._waiting = False
        self._silent = self._silent or unwanted
        self._go_on()


def _fragment(status: int) -> bytes:
    """How far a transfer is (RFC 3515 2.4.5, RFC 3420)."""
    return f"SIP/2.0 {status} {reason_of(status)}\r\n".encode()
