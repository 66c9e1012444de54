"""A switchboard whose sockets are lists and whose time is a `task.Clock`: what a test needs to see every octet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, NamedTuple

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.connections import Connections
from b2bua.net.switchboard import Switchboard
from b2bua.net.transports.stream import Stream
from b2bua.net.wheel import TICK, Wheel
from b2bua.policy.interface import Interfaces
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Connection, Flow, Listener
from b2bua.sip.message import Headers, Request, Response, parse
from b2bua.sip.tokens import Tokens
from b2bua.transaction.timers import Timers
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

SDP = (
    b"v=0\r\no=phone 1 1 IN IP4 203.0.113.10\r\ns=-\r\nc=IN IP4 203.0.113.10\r\nt=0 0\r\n"
    b"m=audio 17000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
)


class Sent(NamedTuple):
    """One datagram that left, and when."""

    at: float
    data: bytes
    host: str
    port: int

    @property
    def message(self) -> Request | Response:
        """It, parsed."""
        return parse(self.data)


class Wire:
    """A UDP socket that keeps what is sent; `failure` is what it says of each send."""

    def __init__(self, clock: Clock) -> None:
        self.sent: list[Sent] = []
        self.failure = ""
        self._clock = clock

    def send(self, data: bytes, host: str, port: int) -> str:
        """Keep it."""
        self.sent.append(Sent(round(self._clock.seconds(), 3), data, host, port))
        return self.failure

    def take(self) -> list[Sent]:
        """What was sent since the last time."""
        sent, self.sent = self.sent, []
        return sent


class Conductor(StringTransportWithDisconnection):  # type: ignore[misc]
    """A stream's transport in memory."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As TCP's."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """As TCP's."""

    def take(self) -> bytes:
        """What was written since the last time."""
        data: bytes = self.value()
        self.clear()
        return data


class Notes:
    """A journal that only remembers."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, Malformed]] = []
        self.refusals: list[int] = []

    def fault(self, flow: Flow, fault: Malformed, what: str, answered: bool = False) -> None:
        """A peer broke a rule."""
        self.faults.append((what, fault))

    def refused(self, request: Request, flow: Flow, status: int, why: str) -> None:
        """A request was refused by us."""
        self.refusals.append(status)

    def started(self, call: Any) -> None:
        """Of no interest."""

    def answered(self, call: Any) -> None:
        """Of no interest."""

    def ended(self, call: Any) -> None:
        """Of no interest."""

    def no_way(self, request: Request, why: str) -> None:
        """Of no interest."""

    def unproved(self, flow: Flow, realm: str, user: str, why: str) -> None:
        """Of no interest."""

    def registered(self, aor: str, registrar: str, up: bool, why: str) -> None:
        """Of no interest."""

    def leak(self, flow: Flow, message: str, finding: Any, done: str) -> None:
        """Of no interest."""

    def script_failed(self, request: Request) -> None:
        """Of no interest."""

    def crashed(self, request: Request) -> None:
        """Of no interest."""


class NoNames:
    """A resolver that is never needed: every URI in these tests has an address in it."""

    def __init__(self) -> None:
        self.rested: list[Any] = []

    def failed(self, target: Any) -> None:
        """Remember it."""
        self.rested.append(target)


class Reception:
    """A core that keeps the requests it is given, and does with each what the test wants (`then`)."""

    def __init__(self) -> None:
        self.requests: list[ServerTransaction] = []
        self.acks: list[Request] = []
        self.then: Callable[[ServerTransaction], None] = lambda transaction: None

    def request(self, transaction: ServerTransaction) -> None:
        """A new request."""
        self.requests.append(transaction)
        self.then(transaction)

    def ack(self, ack: Request) -> None:
        """An ACK for a 2xx."""
        self.acks.append(ack)

    def closed(self, connection: Connection) -> None:
        """Nobody is registered."""

    def keeps(self, connection: Connection) -> bool:
        """Nobody is registered."""
        return False


class User:
    """Who sends or answers a request and writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """A response."""
        self.told.append(("answered", response.status))

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No response."""
        self.told.append(("unanswered", status))

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """The ACK."""
        self.told.append(("acknowledged", ack.method))

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """No ACK."""
        self.told.append(("unacknowledged", None))

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """A CANCEL."""
        self.told.append(("cancelled", cancel.method))


UDP = Listener("udp", "public", "udp", "192.0.2.1", 5060)
TCP = Listener("tcp", "public", "tcp", "192.0.2.1", 5060)
TLS = Listener("tls", "public", "tls", "192.0.2.1", 5061)
FORCING = Listener("forcing", "public", "udp", "192.0.2.2", 5060, force_rport=True)
SIX = Listener("six", "public", "udp", "2001:db8::1", 5060)
PEER = "203.0.113.5"
LISTENERS = (UDP, TCP, TLS, FORCING, SIX)


class Board:
    """The real switchboard with a core of the test's, on lists and a clock."""

    def __init__(self, listeners: Iterable[Listener] = LISTENERS, timers: Timers | None = None) -> None:
        self.clock = MemoryReactorClock()
        self.journal = Notes()
        self.names = NoNames()
        self.core = Reception()
        self.switchboard = Switchboard(
            Wheel(self.clock),
            timers or Timers(),
            Tokens(Random(1).randbytes),
            Interfaces(listeners),
            None,
            self.names,  # type: ignore[arg-type]
            self.journal,
        )
        self.switchboard.hall = self.core
        self.switchboard.connections = Connections(self.clock, self.switchboard, {})
        self.wires = {each.name: Wire(self.clock) for each in listeners if each.transport == "udp"}
        self.switchboard.sockets.update(self.wires)
        self.wire = self.wires["udp"] if "udp" in self.wires else Wire(self.clock)

    def receive(
        self, data: bytes | Request | Response, host: str = "198.51.100.7", port: int = 5060, listener: Listener = UDP
    ) -> None:
        """A datagram arrives."""
        self.switchboard.received(bytes(data), Flow(listener, host, port))

    def accept(
        self, listener: Listener = TCP, host: str = "198.51.100.7", port: int = 40000
    ) -> tuple[Stream, Conductor]:
        """A peer connects."""
        assert self.switchboard.connections is not None
        stream = self.switchboard.connections.accept(listener, host, port)
        assert stream is not None
        return stream, joined(stream, host, port)

    def connected(self, number: int = -1) -> tuple[Stream, Conductor]:
        """A connection that the switchboard asked for comes to stand."""
        _, _, factory, _, _ = self.clock.tcpClients[number]
        stream = factory.buildProtocol(None)
        return stream, joined(stream, stream.flow.host, stream.flow.port)

    def wait(self, seconds: float) -> None:
        """Let time pass; everything happens when it is due."""
        until = self.clock.seconds() + seconds
        while due := [call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() <= until]:
            self.clock.advance(max(0.0, min(due) - self.clock.seconds()))
        self.clock.advance(max(0.0, until - self.clock.seconds()))


def joined(stream: Stream, host: str, port: int) -> Conductor:
    """The stream on a transport in memory."""
    conductor = Conductor()
    conductor.protocol = stream
    stream.makeConnection(conductor)
    return conductor


def request(
    method: str = "INVITE",
    branch: str = "z9hG4bKtest1",
    uri: str = "sip:bob@192.0.2.1",
    more: Headers | None = None,
    body: bytes = b"",
    **changed: str,
) -> Request:
    """A sound request; `changed` replaces headers by their lower-case names (`call_id`), an empty text removes one."""
    headers: Headers = {
        "Via": [f"SIP/2.0/UDP 198.51.100.7:5060;branch={branch}"],
        "Max-Forwards": ["70"],
        "From": ["<sip:alice@example.com>;tag=a1"],
        "To": ["<sip:bob@example.com>"],
        "Call-ID": ["one@example.com"],
        "CSeq": [f"1 {method}"],
    }
    if method == "INVITE":
        headers["Contact"] = ["<sip:alice@198.51.100.7:5060>"]
    if more:
        headers.update(more)
    for name, value in changed.items():
        known = {"call_id": "Call-ID", "cseq": "CSeq", "max_forwards": "Max-Forwards"}.get(name, name.title())
        headers[known] = [value]
        if not value:
            del headers[known]
    return Request(method, uri, headers, body)


def response(
    to: Request | bytes, status: int, tag: str = "b1", more: Headers | None = None, body: bytes = b""
) -> Response:
    """A response to a request."""
    message = parse(to) if isinstance(to, bytes) else to
    of = message.headers
    headers: Headers = {name: list(of[name]) for name in ("Via", "From", "To", "Call-ID", "CSeq")}
    if tag and ";tag=" not in of["To"][0]:
        headers["To"] = [f"{of['To'][0]};tag={tag}"]
    if message.cseq[1] == "INVITE" and 100 < status < 300:
        headers["Contact"] = ["<sip:bob@203.0.113.5:5060>"]
    if more:
        headers.update(more)
    return Response(status, "Whatever", headers, body)


def statuses(sent: Iterable[Sent]) -> list[int]:
    """The statuses of the responses."""
    return [each.message.status for each in sent if isinstance(each.message, Response)]


class Switching(SynchronousTestCase):
    """What is common."""

    def setUp(self) -> None:
        """A switchboard."""
        self.board = Board()
        self.switchboard = self.board.switchboard
        self.core = self.board.core
        self.user = User()

    def send(self, method: str = "INVITE", flow: Flow | None = None, body: bytes = b"") -> ClientTransaction:
        """A request of ours to the peer."""
        message = request(method, body=body)
        return self.switchboard.send(message, flow or Flow(UDP, PEER, 5060), self.user)

    def left_at(self, sent: Sequence[Sent], seconds: Sequence[float]) -> None:
        """When each left: never early, and for each interval at most a tick of the wheel late."""
        self.assertEqual(len(sent), len(seconds), [each.at for each in sent])
        for number, (each, expected) in enumerate(zip(sent, seconds, strict=True)):
            self.assertTrue(expected <= each.at <= expected + TICK * (number + 2), (expected, each.at))

    def sent(self) -> list[Sent]:
        """What left by UDP since the last time."""
        return self.board.wire.take()

    def come(self, message: Request | None = None, listener: Listener = UDP) -> ServerTransaction:
        """A request comes, and the core has it."""
        self.board.receive(message or request(), listener=listener)
        transaction = self.core.requests[-1]
        transaction.user = User()
        return transaction

    def told(self, transaction: ServerTransaction) -> list[str]:
        """What the core's user of a request was told."""
        assert isinstance(transaction.user, User)
        return [what for what, _ in transaction.user.told]

    def answer(
        self, to: Sent | bytes, status: int, tag: str = "b1", listener: Listener = UDP, host: str = PEER
    ) -> None:
        """The peer answers what we sent."""
        data = to.data if isinstance(to, Sent) else to
        self.board.receive(response(data, status, tag), host, listener=listener)

    def quiet(self) -> None:
        """Nothing is left: no transaction and no timer."""
        self.board.wait(70.0)
        self.assertEqual(list(self.switchboard.transactions), [])
        self.assertEqual(len(self.switchboard.wheel), 0)
        self.assertEqual(self.flushLoggedErrors(), [])
