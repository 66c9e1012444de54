"""RFC 4475 and RFC 5118 over real sockets: every torture message by UDP and by TCP, and then a call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import DatagramProtocol, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from b2bua.config import load
from b2bua.ops.phone import answer_all
from b2bua.ops.phonelines import Lines, free_port
from b2bua.service import Border
from b2bua.sip.check import check_request
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request, Response, parse
from b2bua.sip.stream import Framer
from tests.torture import ENDS_THE_STREAM, TOO_LONG, TWO_ON_A_STREAM, Torture, messages, sound
from tests.wires import Notes, request

reactor: Any = the_reactor
MESSAGES = messages()

SOCKETS = """
[[zone]]
name = "public"
[[zone]]
name = "private"
[[listener]]
name = "public-udp"
zone = "public"
transport = "udp"
address = "127.0.0.1"
port = {udp}
force_rport = true
[[listener]]
name = "public-tcp"
zone = "public"
transport = "tcp"
address = "127.0.0.1"
port = {tcp}
[[listener]]
name = "private-udp"
zone = "private"
transport = "udp"
address = "127.0.0.1"
port = {private}
[[listener]]
name = "private-tcp"
zone = "private"
transport = "tcp"
address = "127.0.0.1"
port = {private}
[[route]]
name = "inwards"
to = "sip:127.0.0.1:{far};transport=udp"
send_from = "private-udp"
"""
FENCE = "fence-{}"  # the Call-ID of a request that the bridge answers itself: what came before it has been served


class Mallory(DatagramProtocol, Protocol):
    """Who sends the messages, and keeps the answers by their Call-ID."""

    transport: Any

    def __init__(self) -> None:
        self.answers: defaultdict[str, list[Response]] = defaultdict(list)
        self.gone = False
        self._framer = Framer()
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """By UDP."""
        self._take([datagram])

    def dataReceived(self, data: bytes) -> None:
        """By TCP."""
        self._take(self._framer.feed(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """By TCP: no more will come."""
        self.gone = True
        self._take([])

    def _take(self, messages: Iterable[bytes]) -> None:
        for data in messages:
            sound(data, ours=False)
            answer = parse(data)
            assert isinstance(answer, Response)
            if answer.status != 100:
                self.answers[answer.first("Call-ID")].append(answer)
        for waiting in [each for each in self._waiting if each[0]()]:
            self._waiting.remove(waiting)
            waiting[1].callback(None)

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fires once `condition` holds."""
        wanted: Deferred[None] = Deferred()
        self._waiting.append((condition, wanted))
        self._take([])
        return wanted

    def fence(self, number: int, port: int) -> tuple[bytes, Callable[[], bool]]:
        """A request to the bridge itself, and whether it was answered."""
        word = FENCE.format(number)
        data = bytes(request("OPTIONS", f"z9hG4bK{word}", f"sip:127.0.0.1:{port}", call_id=word))
        return data, lambda: word in self.answers


class TestSockets(TestCase):
    """All messages, and then a call.

    The long ones leave by TCP first, which the far side refuses, and then by UDP (S46).
    """

    timeout = 60

    async def open(self) -> dict[str, int]:
        """The bridge, with a phone on each side; the ports."""
        self.lines = Lines(reactor)
        self.alice = self.lines.phone("alice", "udp", "127.0.0.1")
        self.bob = self.lines.phone("bob", "udp", "127.0.0.1")
        self.addCleanup(lambda: ensureDeferred(self.lines.close()))
        self.bob.asked = lambda dialog, request: dialog.respond(request, 486)
        ports = {name: free_port("udp" if name == "udp" else "tcp", "127.0.0.1") for name in ("udp", "tcp", "private")}
        path = Path(self.mktemp())
        path.write_text(SOCKETS.format(**ports, far=self.bob.at.port))
        border = Border(load(str(path)), reactor, Notes())
        border.startService()
        self.addCleanup(border.stopService)
        return ports

    def judge(self, case: Torture, mallory: Mallory, more: frozenset[str]) -> None:
        """What became of a message: an answer to what was bridged says nothing."""
        accept = case.accept | more
        answers = mallory.answers.get(parse_call_id(case), [])
        if not answers:
            self.assertTrue({"drop", "fwd"} & accept, f"{case.name} got nothing")
        elif "fwd" not in accept:
            self.assertTrue(case.allows(answers[0].status), f"{case.name} got {answers[0].status}")

    async def finish(self, ports: dict[str, int], bridged: int) -> None:
        """What was bridged has come out, sound; and a call is carried."""
        seen: set[str] = set()

        def enough() -> bool:
            seen.update(parse(data).call_id for data in self.bob.bytes_in)
            return len(seen) >= bridged

        await self.lines.until(enough, f"{bridged} requests on the far side")
        self.assertEqual(len(seen), bridged)
        for data in self.bob.bytes_in:
            sound(data)
            if isinstance(message := parse(data), Request):
                check_request(message)
        self.bob.asked = answer_all
        talk = self.alice.invite(f"sip:bob@127.0.0.1:{ports['udp']}")
        await self.lines.until(lambda: talk.up, "an answer")
        talk.bye()
        await self.lines.until(lambda: self.bob.dialogs[-1].over, "the end of the call")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_udp(self) -> None:
        """RFC 4475, RFC 5118: by UDP."""
        ports = await self.open()
        mallory = Mallory()
        port = reactor.listenUDP(0, mallory, "127.0.0.1", 65535)
        self.addCleanup(port.stopListening)
        for number, case in enumerate(MESSAGES):
            data, passed = mallory.fence(number, ports["udp"])
            mallory.transport.write(case.made_unique(number), ("127.0.0.1", ports["udp"]))
            mallory.transport.write(data, ("127.0.0.1", ports["udp"]))
            await mallory.until(passed)
        for case in MESSAGES:
            self.judge(case, mallory, frozenset())
        await self.finish(ports, 20)

    async def test_tcp(self) -> None:
        """RFC 4475, RFC 5118: by TCP, each on a connection of its own."""
        ports = await self.open()
        for number, case in enumerate(MESSAGES):
            mallory = Mallory()
            await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports["tcp"]), mallory)
            mallory.transport.write(case.made_unique(number))
            if case.name not in ENDS_THE_STREAM | TOO_LONG | TWO_ON_A_STREAM:
                data, passed = mallory.fence(number, ports["tcp"])
                mallory.transport.write(data)
                await mallory.until(passed)
                self.judge(case, mallory, frozenset())
            mallory.transport.loseConnection()
            await mallory.until(lambda mallory=mallory: mallory.gone)
        await self.finish(ports, 20)


def parse_call_id(case: Torture) -> str:
    """The Call-ID of a message as it was made unique."""
    number = MESSAGES.index(case)
    try:
        return parse(case.made_unique(number)).first("Call-ID")
    except Malformed:
        return "none"
