"""The switchboard: messages in and out, and the one place where what the machines say is done.

`received` takes bytes from the transports, finds the transaction, and gives what is new to the hall. `_perform` does
what a machine's cell says. The hall's verbs (`call.wire.Wire`) are here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from b2bua.call.wire import Journal
from b2bua.dialog.reply import reply, reply_to_broken
from b2bua.net.around import Datagrams, Guests, Trace
from b2bua.net.connections import Connections
from b2bua.net.leak_guard import LeakGuard
from b2bua.net.locating import Locating
from b2bua.net.resolver import Resolver
from b2bua.net.stun import BEYOND, served
from b2bua.net.transports.stream import Stream
from b2bua.net.way_back import named_by_via, way_back
from b2bua.net.wheel import Wheel
from b2bua.policy.admission import LATER, Sources
from b2bua.policy.interface import Choice, Interfaces, Kernel
from b2bua.sip.check import check_request, check_response
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener, Target
from b2bua.sip.message import Headers, Request, Response, parse
from b2bua.sip.tokens import LoopKey, Tokens
from b2bua.sip.uri import DEFAULT_PORTS, Uri
from b2bua.sip.via import keep_of
from b2bua.transaction.index import Transactions, client_key, server_key
from b2bua.transaction.machine import (
    FAILED,
    FORGET,
    PASS,
    RESEND,
    SEND,
    SEND_ACK,
    SEND_CANCEL,
    TIMED_OUT,
    UNACKNOWLEDGED,
    Action,
    Event,
    Input,
    State,
    response_input,
)
from b2bua.transaction.timers import REPEATING, Timer, Timers
from b2bua.transaction.transaction import (
    ClientTransaction,
    ClientUser,
    ServerTransaction,
    ack_for_failure,
    cancel_for,
)

T = TypeVar("T")

LONG_REQUEST = 1300  # octets; a longer request goes by TCP (RFC 3261 18.1.1)
NO_TCP = 300.0  # seconds that long requests go by UDP to where TCP was refused
REMEMBERED = 1024  # places without TCP
KEEP_ALIVE = 4  # octets; what is no longer is a keep-alive, not a message


class Switchboard:
    """Performs for the hall what it needs of the world (`call.wire.Wire`), and brings it what comes in."""

    log = Logger()

    def __init__(
        self,
        wheel: Wheel,
        timers: Timers,
        tokens: Tokens,
        interfaces: Interfaces,
        kernel: Kernel | None,
        resolver: Resolver,
        journal: Journal,
    ) -> None:
        self.wheel = wheel
        self.timers = timers
        self.tokens = tokens
        self.transactions = Transactions()
        self.listeners: Sequence[Listener] = interfaces.listeners
        self.sockets: dict[str, Datagrams] = {}
        self.connections: Connections | None = None
        self.hall: Guests | None = None
        self.trace: Trace | None = None
        self.sources: Sources | None = None
        self.guard: LeakGuard | None = None  # where there are several zones
        self.dropped = 0  # responses that answered nothing of ours
        self.strange = 0  # datagrams that begin like STUN, and are no question that we answer
        self.product = ""  # what we say we are, in User-Agent and Server; empty: nothing
        self._interfaces = interfaces
        self._kernel = kernel
        self._journal = journal
        self._twins = {
            (each.zone, each.address): each for each in self.listeners if each.transport == "tcp"
        }  # where a long request goes instead
        self._without_tcp: dict[tuple[str, int], float] = {}  # until when
        self.now = wheel.now
        self._on_time = self._fire  # bound once, not for each timer
        once = [timer for timer in Timer if timer not in REPEATING]  # what they take, over UDP and over a stream:
        self._once = [{timer: timers.seconds(timer, 0.0, reliable) for timer in once} for reliable in (False, True)]
        self.locating = Locating(self.listeners, resolver, self.now, self._settle)

    # In

    def received(self, data: bytes, flow: Flow) -> None:
        """One datagram, or one message of a stream."""
        if len(data) <= KEEP_ALIVE:
            return
        if data[0] < BEYOND and flow.connection is None:
            self.strange += not served(data, flow, self.sockets)
            return
        if self.trace is not None:
            self.trace.message(flow, False, data)
        try:
            message = parse(data, flow.connection is not None)
        except Malformed as fault:
            self._journal.fault(flow, fault, "a message")
            return
        try:
            if isinstance(message, Request):
                self._request(message, flow)
            else:
                self._response(message, flow)
        except Exception:  # noqa: BLE001 - our own fault must cost one message, never the process
            self.log.failure("a message from {flow} could not be taken", flow=flow)

    def _request(self, request: Request, flow: Flow) -> None:
        try:
            check_request(request)
        except Malformed as fault:
            answered = self._reply_to_broken(request, flow, fault)
            self._journal.fault(flow, fault, request.method, answered)
            return
        back = way_back(request, flow)
        if isinstance(flow.connection, Stream) and self.connections is not None and "alias" in request.via.params:
            self.connections.alias(flow.connection, request.via.port or DEFAULT_PORTS["tls"])
        if request.method == "ACK":
            self._ack(request)
            return
        known = self.transactions.server(request)
        if known is not None:
            self._perform(known, known.step(Input.REQUEST))
        elif request.method == "CANCEL":
            self._cancel(request, flow, back)
        elif self.transactions.merged(request):
            self._transmit(reply(request, 482, self.tokens.word()), back)  # RFC 3261 8.2.2.2
        elif self.sources is not None and not request.to_tag and not self.sources.admits(flow.host, self.now()):
            self._overrun(request, back)
        else:
            self._new(request, back)

    def _new(self, request: Request, back: Flow) -> None:
        transaction = ServerTransaction(request, server_key(request, request.method), back)
        self.transactions.add_server(transaction)
        if request.method == "INVITE":
            # At once, before anything that may take time (S22); with Timestamp as it came (RFC 3261 8.2.6.1).
            stamp = request.headers.get("Timestamp")
            self.respond(transaction, reply(request, 100, more={"Timestamp": stamp} if stamp else None))
        assert self.hall is not None, "the hall is there before the sockets"
        self.serve(transaction, self.hall.request)

    def serve(self, transaction: ServerTransaction, enter: Callable[[ServerTransaction], None]) -> None:
        """Let `enter` deal with a request: whatever is wrong with it, or with us, it has its answer."""
        try:
            enter(transaction)
        except Malformed as fault:
            self._journal.fault(transaction.flow, fault, transaction.method, True)
            status = fault.status
        except Exception:  # noqa: BLE001 - our own fault must cost one request, never the process
            self.log.failure("{method} could not be served", method=transaction.method)
            status = 500
        else:
            return
        if not transaction.answered:
            self.respond(transaction, reply(transaction.request, status, self.tokens.word()))

    def _overrun(self, request: Request, back: Flow) -> None:
        """One source asks too much: refused with as little work as can be, and nothing is remembered of it."""
        self._journal.refused(request, back, 503, "too many new requests a second from one source")
        later = {"Retry-After": [str(1 + self.tokens.below(LATER))]}  # not all at once again
        self._transmit(reply(request, 503, self.tokens.word(), more=later), back)

    def _ack(self, ack: Request) -> None:
        known = self.transactions.server(ack)
        if known is not None and known.state in (State.COMPLETED, State.CONFIRMED):
            self._perform(known, known.step(Input.ACK))
        elif self.hall is not None:
            self.hall.ack(ack)

    def _cancel(self, cancel: Request, flow: Flow, back: Flow) -> None:
        """CANCEL is a transaction of its own, answered at once (RFC 3261 9.2)."""
        transaction = ServerTransaction(cancel, server_key(cancel, "CANCEL"), back)
        self.transactions.add_server(transaction)
        invite = self.transactions.to_cancel(cancel, flow.host)
        self.respond(transaction, reply(cancel, 200 if invite is not None else 481, self.tokens.word()))
        if invite is not None and invite.user is not None:
            invite.user.cancelled(invite, cancel)

    def _response(self, response: Response, flow: Flow) -> None:
        try:
            check_response(response)
        except Malformed as fault:
            self._journal.fault(flow, fault, f"a {response.status} response")
            return
        transaction = self.transactions.client(response)
        if transaction is None or transaction.flow.listener is not flow.listener:
            self.dropped += 1
            return
        if isinstance(flow.connection, Stream) and (seconds := keep_of(response.first("Via"))):
            flow.connection.keep_alive(seconds)
        self._perform(transaction, transaction.step(response_input(response.status)), response)
        if response.status >= 200:
            transaction.data = b""  # it is not sent again

    def _reply_to_broken(self, request: Request, flow: Flow, fault: Malformed) -> bool:
        """Whether it could be answered."""
        if request.method == "ACK" or not request.mend_vias():
            return False
        back = way_back(request, flow)
        answer = reply_to_broken(request, fault, self.tokens.word())
        if answer is not None:
            self._transmit(answer, back)
        return answer is not None

    # What the machines say

    def _perform(
        self, transaction: ClientTransaction | ServerTransaction, actions: tuple[Action, ...], message: Any = None
    ) -> None:
        """Do what a cell says. The only place that does."""
        user: Any = transaction.user  # of whom a forgotten transaction lets go
        for action in actions:
            if type(action) is Timer:
                self._start(transaction, action)
            elif action is SEND:
                transaction.data = bytes(message)
                self._write(transaction)
            elif action is PASS:
                if user is None:
                    continue
                if isinstance(transaction, ClientTransaction):
                    user.answered(transaction, message)
                else:
                    user.acknowledged(transaction, message)
            elif action is RESEND:
                if transaction.data:
                    self._write(transaction)
            elif action is FORGET:
                self._forget(transaction)
            elif action is SEND_ACK:
                self._put(bytes(ack_for_failure(transaction.request, message)), transaction.flow)
            elif action is SEND_CANCEL:
                if isinstance(transaction, ClientTransaction):
                    self._send_cancel(transaction)
            elif user is not None:
                self._tell(transaction, action, user)

    def _tell(self, transaction: ClientTransaction | ServerTransaction, action: Action, user: Any) -> None:
        """The core learns that nothing will come."""
        if action is TIMED_OUT:
            user.unanswered(transaction, 408, "no answer")
        elif action is FAILED:
            user.unanswered(transaction, 503, "the transport cannot deliver")
        elif action is UNACKNOWLEDGED:
            user.unacknowledged(transaction)

    def _start(self, transaction: ClientTransaction | ServerTransaction, timer: Timer) -> None:
        seconds = self._once[transaction.reliable].get(timer)
        if seconds is None:
            before = transaction.interval
            if timer is Timer.E and transaction.state is State.PROCEEDING:
                before = self.timers.t2  # RFC 3261 17.1.2.2: from then on at T2
            seconds = self.timers.seconds(timer, before, transaction.reliable)
            if seconds is None:
                return
            transaction.interval = seconds
        if seconds:
            self.wheel.after(seconds, self._on_time, transaction, timer)
        else:
            self._fire(transaction, timer)

    def _fire(self, transaction: ClientTransaction | ServerTransaction, event: Event) -> None:
        self._perform(transaction, transaction.step(event))

    def _forget(self, transaction: ClientTransaction | ServerTransaction) -> None:
        self.transactions.forget(transaction)
        transaction.data = b""
        transaction.user = None  # no circle is left for the garbage collector
        if isinstance(transaction, ClientTransaction) and isinstance(transaction.flow.connection, Stream):
            transaction.flow.connection.clients.discard(transaction)

    # Out

    def send(
        self, request: Request, flow: Flow, user: ClientUser | None, loop_key: LoopKey | None = None
    ) -> ClientTransaction:
        """Send a request in a transaction of its own; its Via is written here."""
        branch = self.tokens.branch(loop_key) if loop_key is not None else self.tokens.plain_branch()
        request.headers["Via"] = [flow.listener.via_with(branch)]
        if self.product:
            request.headers["User-Agent"] = [self.product]
        data = bytes(request)
        fallback = None
        if len(data) > LONG_REQUEST and flow.listener.transport == "udp" and not flow.fixed:
            twin = self._twins.get((flow.listener.zone, flow.listener.address))
            if twin is not None and self._without_tcp.get((flow.host, flow.port), 0.0) <= self.now():
                fallback, flow = flow, Flow(twin, flow.host, flow.port)
                request.headers["Via"] = [twin.via_with(branch)]
                data = bytes(request)
        if self.guard is not None and not (data := self.guard.request(request, data, flow)):
            return self._withhold(request, branch, flow, user)
        return self._launch(request, branch, data, flow, user, fallback)

    def _withhold(self, request: Request, branch: str, flow: Flow, user: ClientUser | None) -> ClientTransaction:
        """The leak guard lets a request not go: whoever sent it hears 500, as if from the far side."""
        transaction = ClientTransaction(request, client_key(branch, request.method), flow, user)
        transaction.state = State.TERMINATED
        if user is not None:
            response = reply(request, 500, self.tokens.word())
            self.wheel.after(0.0, partial(user.answered, transaction, response))
        return transaction

    def _launch(
        self, request: Request, branch: str, data: bytes, flow: Flow, user: ClientUser | None, fallback: Flow | None
    ) -> ClientTransaction:
        transaction = ClientTransaction(request, client_key(branch, request.method), flow, user)
        transaction.fallback = fallback
        transaction.data = data
        self.transactions.add_client(transaction)
        self._write(transaction)
        for timer in transaction.first_timers:
            self._start(transaction, timer)
        return transaction

    def _send_cancel(self, invite: ClientTransaction) -> None:
        request = cancel_for(invite.request, invite.cancel_with)
        request.speaker = invite.request.speaker
        self._launch(request, invite.key[0], self._octets(request, invite.flow), invite.flow, None, None)

    def _octets(self, request: Request, flow: Flow) -> bytes:
        data = bytes(request)
        return data if self.guard is None else self.guard.request(request, data, flow)

    def cancel(self, transaction: ClientTransaction, granted: Headers) -> None:
        """Cancel an INVITE of ours; the machine knows when CANCEL may go."""
        transaction.cancel_with = granted
        self._perform(transaction, transaction.step(Input.CANCEL))

    def transmit(self, request: Request, flow: Flow) -> None:
        """Send a request that has no transaction: the ACK for a 2xx."""
        if not request.headers["Via"]:
            request.headers["Via"] = [flow.listener.via_with(self.tokens.plain_branch())]
            if self.product:
                request.headers["User-Agent"] = [self.product]
        self._put(self._octets(request, flow), flow)

    def respond(self, transaction: ServerTransaction, response: Response) -> None:
        """Answer a request by the way that it came."""
        if self.product:
            response.headers["Server"] = [self.product]
        if self.guard is None or response.speaker is None:
            self._perform(transaction, transaction.step(response_input(response.status)), response)
            return
        status, data = self.guard.response(transaction.request, response, transaction.flow)
        if data:
            self._perform(transaction, transaction.step(response_input(status)), data)
        if status != response.status < 300 and transaction.user is not None:
            # The hall takes the call for answered, and no ACK for its 2xx will come: both sides hang up.
            self.wheel.after(0.0, partial(transaction.user.unacknowledged, transaction))

    def acknowledge(self, transaction: ServerTransaction, ack: Request) -> None:
        """The ACK for a 2xx belongs to this transaction."""
        self._perform(transaction, transaction.step(Input.ACK), ack)

    def _transmit(self, response: Response, flow: Flow) -> None:
        """A response without a transaction."""
        if self.product:
            response.headers["Server"] = [self.product]
        self._put(bytes(response), flow)

    def _write(self, transaction: ClientTransaction | ServerTransaction) -> None:
        failure = self._put(transaction.data, transaction.flow, transaction)
        if failure:
            # Not now: whoever sends is not ready to hear that it failed.
            self.wheel.after(0.0, self._fire, transaction, Input.ERROR)

    def _put(self, data: bytes, flow: Flow, transaction: ClientTransaction | ServerTransaction | None = None) -> str:
        """Bytes out. Returns what went wrong, if that is known at once."""
        if self.trace is not None:
            self.trace.message(flow, True, data)
        if flow.listener.transport == "udp":
            socket = self.sockets.get(flow.listener.name)
            return socket.send(data, flow.host, flow.port) if socket is not None else "the listener is closed"
        stream = flow.connection
        if stream is None or not stream.alive:
            if self.connections is None or flow.fixed:
                return "the listener is closed"
            if isinstance(transaction, ServerTransaction):
                flow = named_by_via(transaction.request, flow)
            flow.connection = stream = self.connections.to(flow)
            if transaction is not None:
                transaction.flow = flow
        if isinstance(transaction, ClientTransaction) and isinstance(stream, Stream):
            stream.clients.add(transaction)
        stream.write(data)
        return ""

    # What the transports tell

    def broken(self, stream: Stream, fault: Malformed) -> None:
        """A stream that cannot be followed any more; it is closing."""
        self._journal.fault(stream.flow, fault, "a stream")

    def closed(self, stream: Stream, reason: str) -> None:
        """A stream is gone, or could not be made: what waited on it has failed, or goes back to UDP."""
        if self.connections is not None:
            self.connections.forget(stream)
        if self.hall is not None:
            self.hall.closed(stream)
        waiting, stream.clients = stream.clients, set()
        for transaction in waiting:
            if transaction.fallback is not None and transaction.state in (State.CALLING, State.HELD, State.TRYING):
                self._fall_back(transaction, transaction.fallback)
            elif transaction.flow.fixed and transaction.state is State.PROCEEDING:
                self.wheel.after(0.0, self._give_up, transaction)
            else:
                self.wheel.after(0.0, self._fire, transaction, Input.ERROR)

    def _give_up(self, transaction: ClientTransaction) -> None:
        """The only way to a phone is gone: an INVITE that rings there fails. Elsewhere an answer might still come."""
        user = transaction.user
        if transaction.state is State.PROCEEDING:
            transaction.state = State.TERMINATED
            self._forget(transaction)
            if user is not None:
                user.unanswered(transaction, 503, "the connection is gone")

    def keeps(self, stream: Stream) -> bool:
        """Whether a stream on which nothing is said is of use all the same."""
        return bool(stream.clients) or (self.hall is not None and self.hall.keeps(stream))

    def _fall_back(self, transaction: ClientTransaction, flow: Flow) -> None:
        """TCP was refused: by UDP after all, long as it is (RFC 3261 18.1.1)."""
        if len(self._without_tcp) >= REMEMBERED:
            self._without_tcp.clear()
        self._without_tcp[flow.host, flow.port] = self.now() + NO_TCP
        transaction.fallback = None
        transaction.flow = flow
        transaction.request.headers["Via"] = [flow.listener.via_with(transaction.key[0])]
        transaction.data = self._octets(transaction.request, flow)
        self._write(transaction)
        self._start(transaction, transaction.first_timers[0])

    def unreachable(self, listener: Listener, host: str, port: int) -> None:
        """ICMP says that nobody is there: what waits for an answer from there fails now (RFC 3261 8.1.3.1)."""
        for transaction in self.transactions.waiting_for(host, port):
            if transaction.flow.listener is listener:
                self.wheel.after(0.0, self._fire, transaction, Input.ERROR)

    # The hall's other verbs

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` later."""
        self.wheel.after(seconds, action)

    def locate(
        self, uri: Uri, send_from: str, found: Callable[[Sequence[Target]], None], lost: Callable[[int, str], None]
    ) -> None:
        """RFC 3263, at once where the URI has an address in it."""
        self.locating.locate(uri, send_from, found, lost)

    def choose(self, target: Target, send_from: str) -> Choice:
        """The listener that a request to `target` leaves by, or NoInterface."""
        return self._interfaces.choose(target, send_from, self._kernel)

    def failed(self, flow: Flow, response: Response | None = None) -> None:
        """Let an address rest (S52), and the members of groups that it is of."""
        self.locating.failed(flow, response)

    def run(self, asked: Coroutine[Any, Any, T], done: Callable[[T], None], failed: Callable[[], None]) -> None:
        """Let an operator's coroutine come to its end."""

        def broken(failure: Any) -> None:
            self.log.failure("the policy script failed", failure)
            failed()

        self._settle(Deferred.fromCoroutine(asked).addCallbacks(done, broken))

    def _settle(self, waited: Deferred[Any]) -> None:
        waited.addErrback(partial(self.log.failure, "a decision could not be carried out"))
