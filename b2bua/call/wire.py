"""What the hall needs of the world: to send, to wait, to find the way, and to tell. `net` and `ops` offer it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from b2bua.call.bindings import Binding
from b2bua.policy.guard import Finding
from b2bua.policy.interface import Choice
from b2bua.policy.media import Daemon
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener, Target
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.tokens import LoopKey, Tokens
from b2bua.sip.uri import Uri
from b2bua.transaction.timers import Timers
from b2bua.transaction.transaction import ClientTransaction, ClientUser, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call

T = TypeVar("T")


class Wire(Protocol):
    """Sockets, time and the kernel, as verbs. None of them raises because of a peer."""

    timers: Timers
    tokens: Tokens
    listeners: Sequence[Listener]

    def now(self) -> float:
        """Seconds on the clock that the timers run by."""

    def send(
        self, request: Request, flow: Flow, user: ClientUser, loop_key: LoopKey | None = None
    ) -> ClientTransaction:
        """Send a request in a transaction of its own; its Via is written here."""

    def transmit(self, request: Request, flow: Flow) -> None:
        """Send a request that has no transaction: the ACK for a 2xx, the same one each time."""

    def cancel(self, transaction: ClientTransaction, granted: Headers) -> None:
        """Cancel an INVITE of ours, as soon as that is allowed (RFC 3261 9.1)."""

    def respond(self, transaction: ServerTransaction, response: Response) -> None:
        """Answer a request by the way that it came."""

    def serve(self, transaction: ServerTransaction, enter: Callable[[ServerTransaction], None]) -> None:
        """Let `enter` deal with a request that had to wait: what it raises is answered, as if it had just come in."""

    def acknowledge(self, transaction: ServerTransaction, ack: Request) -> None:
        """The ACK for a 2xx came; it is the transaction's."""

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` later. It cannot be taken back: it looks whether it is still wanted."""

    def locate(
        self, uri: Uri, send_from: str, found: Callable[[Sequence[Target]], None], lost: Callable[[int, str], None]
    ) -> None:
        """RFC 3263: the addresses of a URI that `send_from` (a listener, a zone, "auto") can reach.

        `found` is called at once where the URI has an address; `lost` says with a status why it leads nowhere.
        """

    def choose(self, target: Target, send_from: str) -> Choice:
        """The listener that a request to `target` leaves by; NoInterface says why there is none."""

    def failed(self, flow: Flow, response: Response | None = None) -> None:
        """An address did not answer, refused, or said 503 (its `response`): let it rest (S52)."""

    def run(
        self,
        asked: Coroutine[Any, Any, T],
        done: Callable[[T], None],
        failed: Callable[[], None],
    ) -> None:
        """Let an operator's coroutine come to its end; a failure is in the log when `failed` is called."""


class Journal(Protocol):
    """Who is told what happens. One line each."""

    def started(self, call: Call) -> None:
        """The first INVITE left on the far leg."""

    def answered(self, call: Call) -> None:
        """The call is up."""

    def ended(self, call: Call) -> None:
        """The call is over, or never came to be."""

    def fault(self, flow: Flow, fault: Malformed, what: str, answered: bool = False) -> None:
        """A peer broke a rule; `answered` says that it is told so."""

    def refused(self, request: Request, flow: Flow, status: int, why: str) -> None:
        """A request outside any call was refused by us."""

    def member(self, group: str, uri: str, up: bool, why: str) -> None:
        """A member of a group begins to rest, or is back, and what it said."""

    def engine(self, name: str, daemon: Daemon, up: bool, why: str) -> None:
        """A daemon of a media engine answers again, or no more."""

    def binding(self, binding: Binding, what: str) -> None:
        """Somebody is registered, or no more: `what` says why."""

    def no_way(self, request: Request, why: str) -> None:
        """A next hop could not be reached, and why."""

    def unproved(self, flow: Flow, realm: str, user: str, why: str) -> None:
        """A peer does not take the credentials that we have for its realm."""

    def registered(self, aor: str, registrar: str, up: bool, why: str) -> None:
        """We are registered with a carrier, or are not any more; `why` is what it said last."""

    def leak(self, flow: Flow, message: str, finding: Finding, done: str) -> None:
        """A message to a peer named what is another zone's; `done` says what became of it."""

    def script_failed(self, request: Request) -> None:
        """The operator's policy raised; called while the exception is being handled."""

    def crashed(self, request: Request) -> None:
        """A fault of ours stopped a request; called while the exception is being handled."""
