"""A hall that serves one request, on a wire that sends nothing: how `explain` knows what a call would do.

The hall itself decides, with its rules, its script and its legs. Each request that it would send is taken down and
answered as if nobody were there, so that the hall goes on to the next target.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred

from b2bua.call.bindings import Binding, Bindings
from b2bua.call.call import Call
from b2bua.call.hall import Hall
from b2bua.call.lookup import Lookup
from b2bua.call.mid_registrar import MidRegistrar
from b2bua.call.wire import Wire
from b2bua.config import Configuration
from b2bua.ops.ways import BRANCH, NextHop, Way, look
from b2bua.policy import routing
from b2bua.policy.groups import Group, Groups
from b2bua.policy.guard import Finding
from b2bua.policy.interface import Choice, NoInterface
from b2bua.policy.media import Daemon
from b2bua.policy.routing import GROUP, Answer, Go
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener, Target
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.tokens import LoopKey
from b2bua.sip.uri import Uri
from b2bua.store.memory import MemoryStore
from b2bua.transaction.index import client_key, server_key
from b2bua.transaction.machine import response_input
from b2bua.transaction.transaction import ClientTransaction, ClientUser, ServerTransaction

if TYPE_CHECKING:
    from b2bua.ops.explain import Explanation

T = TypeVar("T")


class Rehearsal:
    """The wire and the journal of a hall that serves one request and sends nothing."""

    def __init__(
        self,
        configuration: Configuration,
        wire: Wire,
        explanation: Explanation,
        done: Deferred[Explanation],
        groups: Groups | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self.timers = wire.timers
        self.tokens = wire.tokens
        self.listeners = wire.listeners
        self._wire = wire
        self._configuration = configuration
        self._explanation = explanation
        self._done = done
        self._unanswered: deque[tuple[ClientTransaction, ClientUser]] = deque()
        self._busy = False
        self._last: Way | None = None
        self._hop_of: dict[Target, NextHop] = {}  # several may be tried at once
        self._groups: list[Group] = []  # that the answer names
        self._hall = Hall(
            self,
            self,
            configuration.zones,
            configuration.hiding_tables(),
            configuration.rules,
            self._script,
            configuration.call,
            groups.copy() if groups is not None else Groups(configuration.groups.values(), wire.tokens.below),
        )
        if configuration.registrar is not None:
            bindings = lookup.bindings if lookup is not None else Bindings(MemoryStore())
            self._hall.lookup = Lookup(self._hall, bindings, configuration.registrar.domains)
            if self._explanation.request.method == "REGISTER":
                self._hall.inside = MidRegistrar(self._hall, Bindings(MemoryStore()), configuration.registrar)

    def start(self) -> None:
        """Give the request to the hall."""
        request, flow = self._explanation.request, self._explanation.flow
        transaction = ServerTransaction(request, server_key(request, request.method), flow)
        self._do(lambda: self._hall.request(transaction))

    def _do(self, step: Callable[[], None]) -> None:
        """Take a step; what it sends is then not answered, one request after the other."""
        outermost, self._busy = not self._busy, True
        try:
            step()
            while outermost and self._unanswered:
                transaction, user = self._unanswered.popleft()
                user.unanswered(transaction, 408, "nobody answers")
        except Malformed as fault:
            if not outermost:
                raise
            self._explanation.why = f"{fault.reason} ({fault.rule})"  # as the switchboard does with it
            self._end(fault.status)
        except Exception:  # noqa: BLE001 - a fault of ours; whoever asked must not wait for ever
            if self._done.called:
                raise
            self._done.errback()
        finally:
            if outermost:
                self._busy = False

    def _end(self, status: int) -> None:
        if not self._done.called:
            self._explanation.status = status
            self._done.callback(self._explanation)

    # Policy

    def _script(
        self, request: Request, flow: Flow, listeners: Sequence[Listener], proved: str
    ) -> Answer | None | Coroutine[Any, Any, Answer | None]:
        script = self._configuration.script
        if script is None:
            self._ask_rules()
            return None
        said = script(request, flow, listeners, proved)
        if inspect.iscoroutine(said):
            return self._later(said)
        assert not isinstance(said, Coroutine), "that was asked"
        return self._said(said)

    async def _later(self, said: Awaitable[Answer | None]) -> Answer | None:
        try:
            return self._said(await said)
        except Exception:  # noqa: BLE001 - the operator's code may raise anything; it is told and raised again
            self.script_failed(self._explanation.request)
            raise

    def _said(self, answer: Answer | None) -> Answer | None:
        name = self._configuration.script.name if self._configuration.script is not None else ""
        if answer is None:
            self._explanation.script = f"{name} says nothing: the rules decide"
            self._ask_rules()
        else:
            self._explanation.script = f"{answer.rule or name} says: {answer.describe()}"
            self._decided(answer)
        return answer

    def _ask_rules(self) -> None:
        explanation = self._explanation
        explanation.rules = routing.explain(self._configuration.rules, explanation.request, explanation.flow)
        if explanation.rules and explanation.rules[-1].matched:
            self._decided(explanation.rules[-1].rule.answer)

    def _decided(self, answer: Answer) -> None:
        if isinstance(answer, Go):
            self._explanation.send_from = answer.send_from
            self._explanation.route_media = answer.options.media
            self._groups = [
                self._configuration.groups[uri.opaque]
                for uri in answer.to
                if uri.scheme == GROUP and uri.opaque in self._configuration.groups
            ]

    # The wire's verbs (call.wire.Wire) that find the way

    def locate(
        self, uri: Uri, send_from: str, found: Callable[[Sequence[Target]], None], lost: Callable[[int, str], None]
    ) -> None:
        """As for a real call, and taken down."""
        group = next((each.name for each in self._groups if any(member.uri is uri for member in each.members)), "")
        hop = NextHop(uri, send_from, "", group)
        self._explanation.hops.append(hop)

        def nowhere(status: int, reason: str) -> None:
            hop.lost = reason
            self._do(lambda: lost(status, reason))

        def somewhere(targets: Sequence[Target]) -> None:
            self._hop_of |= dict.fromkeys(targets, hop)
            self._do(lambda: found(targets))

        self._wire.locate(uri, send_from, somewhere, nowhere)

    def choose(self, target: Target, send_from: str) -> Choice:
        """As for a real call, and taken down."""
        way = self._last = look(self._wire, target, send_from)
        self._hop_of[target].ways.append(way)
        if way.choice is None:
            raise NoInterface("", way.refusal)
        return way.choice

    def send(
        self, request: Request, flow: Flow, user: ClientUser, loop_key: LoopKey | None = None
    ) -> ClientTransaction:
        """Not sent: taken down, with the Via that it would have."""
        request.headers["Via"] = [flow.listener.via_with(BRANCH)]
        if flow.fixed:
            self._to_phone(request, flow)
        elif self._last is not None:
            self._last.request = request
        transaction = ClientTransaction(request, client_key(BRANCH, request.method), flow, user)
        self._unanswered.append((transaction, user))
        return transaction

    def _to_phone(self, request: Request, flow: Flow) -> None:
        """Who is registered needs no way to be found."""
        why = "the phone registered by it, and from there"
        way = Way(Target(flow.listener.transport, flow.host, flow.port), Choice(flow.listener, why), "", request)
        hop = NextHop(request.uri, flow.listener.name, ways=[way], registered=True)
        self._explanation.hops.append(hop)

    def respond(self, transaction: ServerTransaction, response: Response) -> None:
        """A final answer of ours is the end of it."""
        transaction.step(response_input(response.status))
        if response.status >= 200:
            self._end(response.status)

    def serve(self, transaction: ServerTransaction, enter: Callable[[ServerTransaction], None]) -> None:
        """Nobody who only asks is asked for a password, so nothing waits for that."""
        enter(transaction)

    def run(
        self,
        asked: Coroutine[Any, Any, T],
        done: Callable[[T], None],
        failed: Callable[[], None],
    ) -> None:
        """The operator's coroutine, as for a real call."""
        self._wire.run(asked, lambda answer: self._do(lambda: done(answer)), lambda: self._do(failed))

    # Those that would act

    def now(self) -> float:
        """The real clock."""
        return self._wire.now()

    def transmit(self, request: Request, flow: Flow) -> None:
        """Not sent."""

    def cancel(self, transaction: ClientTransaction, granted: Headers) -> None:
        """Nothing was sent that could be cancelled."""

    def acknowledge(self, transaction: ServerTransaction, ack: Request) -> None:
        """No ACK comes."""

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Nothing lasts that long."""

    def failed(self, flow: Flow, response: Response | None = None) -> None:
        """Nobody was asked, so nobody has failed."""

    # The journal (call.wire.Journal)

    def started(self, call: Call) -> None:
        """No news."""

    def answered(self, call: Call) -> None:
        """Never."""

    def ended(self, call: Call) -> None:
        """Why the call came to nothing."""
        self._explanation.why = self._explanation.why or call.ending

    def fault(self, flow: Flow, fault: Malformed, what: str, answered: bool = False) -> None:
        """Never: the request was checked before."""

    def refused(self, request: Request, flow: Flow, status: int, why: str) -> None:
        """Why we would refuse it."""
        self._explanation.why = self._explanation.why or why

    def member(self, group: str, uri: str, up: bool, why: str) -> None:
        """Never: nobody is asked."""

    def engine(self, name: str, daemon: Daemon, up: bool, why: str) -> None:
        """Never: nobody is asked."""

    def binding(self, binding: Binding, what: str) -> None:
        """Never: nobody registers here."""

    def no_way(self, request: Request, why: str) -> None:
        """Stands with the next hop already; the last one is the reason for our answer."""

    def unproved(self, flow: Flow, realm: str, user: str, why: str) -> None:
        """Never: nobody is asked."""

    def registered(self, aor: str, registrar: str, up: bool, why: str) -> None:
        """Never: nobody is asked."""

    def crashed(self, request: Request) -> None:
        """A fault of ours: whoever asked must not wait for ever."""
        if not self._done.called:
            self._done.errback()

    def leak(self, flow: Flow, message: str, finding: Finding, done: str) -> None:
        """Nothing leaves here."""

    def script_failed(self, request: Request) -> None:
        """What the operator's policy raised."""
        error = sys.exception()
        if error is not None:
            self._explanation.script = "fails: " + "".join(traceback.format_exception_only(error)).strip()
