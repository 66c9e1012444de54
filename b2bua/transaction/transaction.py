"""A transaction: where it stands in its table, and what it needs to send again.

`step` takes an input and returns what to do; performing it is `net`'s. ACK and CANCEL are derived here from the
request that they belong to (RFC 3261 17.1.1.3, 9.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request, Response
from b2bua.transaction.machine import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    Action,
    Event,
    Input,
    State,
    Table,
)
from b2bua.transaction.timers import Timer


class ClientUser(Protocol):
    """Who sent a request (RFC 3261's transaction user)."""

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """A response came: provisional, final, or a further 2xx."""

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No response will come: 408 after the time for it, 503 where the transport could not deliver."""

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """We are asked who we are, and have what proves it: send the request `again`, unless it is not wanted any more.

        Called only where there are credentials of our own; returns whether it was sent.
        """


class ServerUser(Protocol):
    """Who answers a request."""

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """The ACK for our 2xx came."""

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """No ACK came for our 2xx in 64·T1 (RFC 3261 13.3.1.4)."""

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """A CANCEL came for our request, and has had its 200."""


_User = TypeVar("_User", ClientUser, ServerUser)


class Transaction(Generic[_User]):
    """What both sides share. `data` is what was sent last, `interval` the last interval of a doubling timer."""

    __slots__ = ("table", "state", "key", "request", "flow", "data", "interval", "user")

    def __init__(
        self, table: Table, state: State, key: tuple[str, ...], request: Request, flow: Flow, user: _User | None
    ) -> None:
        self.table = table
        self.state = state
        self.key = key
        self.request = request
        self.flow = flow
        self.data = b""
        self.interval = 0.0
        self.user: _User | None = user

    @property
    def method(self) -> str:
        """The request's method."""
        return self.request.method

    @property
    def reliable(self) -> bool:
        """Whether the transport does not lose messages."""
        return self.flow.listener.transport != "udp"

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state is State.TERMINATED

    def step(self, event: Event) -> tuple[Action, ...]:
        """Take an input: go to the next state and say what to do. A timer that comes too late finds nothing to do."""
        row = self.table[self.state].get(event)
        if row is None:
            return ()
        self.state = row.state
        return row.actions


class ClientTransaction(Transaction[ClientUser]):
    """A request of ours on its way (RFC 3261 17.1)."""

    __slots__ = ("fallback", "cancel_with")

    def __init__(self, request: Request, key: tuple[str, ...], flow: Flow, user: ClientUser | None) -> None:
        invite = request.method == "INVITE"
        super().__init__(
            INVITE_CLIENT if invite else CLIENT, State.CALLING if invite else State.TRYING, key, request, flow, user
        )
        self.cancel_with: Headers = {}  # what the CANCEL says besides: Reason (RFC 3326)
        self.fallback: Flow | None = None  # UDP, where a long request tries TCP first (RFC 3261 18.1.1)

    @property
    def first_timers(self) -> tuple[Timer, Timer]:
        """The timers that start as the request is sent."""
        return (Timer.A, Timer.B) if self.table is INVITE_CLIENT else (Timer.E, Timer.F)


class ServerTransaction(Transaction[ServerUser]):
    """A request to us and our answers to it (RFC 3261 17.2). `proved` is the user whose password its sender knows."""

    __slots__ = ("proved",)

    def __init__(self, request: Request, key: tuple[str, ...], flow: Flow) -> None:
        invite = request.method == "INVITE"
        super().__init__(
            INVITE_SERVER if invite else SERVER, State.PROCEEDING if invite else State.TRYING, key, request, flow, None
        )
        self.proved = ""  # nobody has proved anything, and nothing was asked for

    @property
    def answered(self) -> bool:
        """Whether a final response was given."""
        return self.state not in (State.PROCEEDING, State.TRYING)


def ack_for_failure(request: Request, response: Response) -> Request:
    """ACK for a 3xx to 6xx: Via, Request-URI and Route of the INVITE, To of the response (RFC 3261 17.1.1.3).

    To is the INVITE's with the response's tag, which is the same unless the response has another To than it should.
    """
    to, tag = request.headers["To"], response.to_tag
    return _of_the_invite(request, "ACK", [f"{to[0]};tag={tag}"] if tag and not request.to_tag else to)


def cancel_for(request: Request, more: Headers) -> Request:
    """CANCEL of a request: the same Via, Request-URI, Route and ids (RFC 3261 9.1)."""
    cancel = _of_the_invite(request, "CANCEL", request.headers["To"])
    cancel.headers.update(more)
    return cancel


def _of_the_invite(request: Request, method: str, to: list[str]) -> Request:
    of = request.headers
    headers = {"Via": of["Via"], "Max-Forwards": ["70"], "From": of["From"], "To": to, "Call-ID": of["Call-ID"]}
    headers["CSeq"] = [f"{request.cseq[0]} {method}"]
    if "Route" in of:
        headers["Route"] = of["Route"]
    return Request(method, request.uri_text, headers)


__all__ = [
    "ClientTransaction",
    "ClientUser",
    "Input",
    "ServerTransaction",
    "ServerUser",
    "Transaction",
    "ack_for_failure",
    "cancel_for",
]
