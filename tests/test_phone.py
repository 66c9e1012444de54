"""The small phone: two of them on one wire, without a bridge between; and their real sockets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from b2bua.net.certificates import KeyPair, ServerFiles
from b2bua.ops.phone import Dialog, Phone, direction_of, label
from b2bua.ops.phonelines import Lines, Waited
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request
from b2bua.sip.tokens import Tokens
from tests.pki import issue, make_ca


def entropy() -> Callable[[int], bytes]:
    """Octets that look random and are the same each time."""
    state = [b"phone"]

    def octets(number: int) -> bytes:
        state[0] = hashlib.shake_128(state[0]).digest(32)
        return hashlib.shake_128(state[0]).digest(number)

    return octets


class Wire:
    """A wire between two phones, with a clock; `losses` are the datagrams that it loses, by their numbers."""

    def __init__(self, *losses: int, transport: str = "udp") -> None:
        self.clock = Clock()
        self.losses = set(losses)
        self.sent: list[bytes] = []
        source = entropy()
        self.alice = self.phone("alice", Listener("alice", "", transport, "192.0.2.1", 5060), source)
        self.bob = self.phone("bob", Listener("bob", "", transport, "192.0.2.2", 5060), source)

    def phone(self, user: str, at: Listener, source: Callable[[int], bytes]) -> Phone:
        def send(data: bytes, flow: Flow) -> None:
            self.sent.append(data)
            if len(self.sent) not in self.losses:
                self.clock.callLater(0.01, self.deliver, data, flow, at)

        def after(seconds: float, action: Callable[[], None]) -> None:
            self.clock.callLater(seconds, action)

        return Phone(user, at, send, Tokens(source), after)

    def deliver(self, data: bytes, flow: Flow, sender: Listener) -> None:
        other = self.alice if flow.host == self.alice.at.address else self.bob
        other.receive(data, Flow(other.at, sender.address, sender.port))

    def run(self, seconds: float = 0.2) -> None:
        """Lets time pass."""
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)

    def call(self, seconds: float = 0.2) -> tuple[Dialog, Dialog]:
        """alice calls bob."""
        talk = self.alice.invite("sip:bob@192.0.2.2")
        self.run(seconds)
        return talk, self.bob.dialogs[-1]


def said(dialog: Dialog) -> Iterator[str]:
    """The labels of what one side said."""
    return map(label, dialog.said)


class TestPhone(SynchronousTestCase):
    """RFC 3261 as a phone needs it."""

    def test_call(self) -> None:
        """INVITE, 180, 200, ACK; hold and resume; a digit; BYE."""
        wire = Wire()
        alice, bob = wire.call()
        self.assertEqual(list(map(label, alice.heard)), ["180 INVITE", "200 INVITE"])
        self.assertEqual(list(map(label, bob.heard)), ["INVITE", "ACK"])
        self.assertTrue(alice.up and bob.up)
        for direction, answer in (("sendonly", "recvonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")):
            sent = alice.reinvite(direction)
            wire.run()
            self.assertEqual((sent.status, direction_of(sent.responses[-1].body)), (200, answer))
        for sent in (bob.info("5"), alice.update(), bob.bye()):
            wire.run()
            self.assertEqual(sent.status, 200)
        self.assertTrue(alice.over and bob.over)
        number = len(wire.sent)
        wire.run(40)
        self.assertEqual(len(wire.sent), number, "nothing is sent again that was answered")

    def test_late_offer(self) -> None:
        """RFC 3261 13.2.1: an INVITE without an offer; the offer is in the 200 and the answer in the ACK."""
        wire = Wire()
        talk = wire.alice.invite("sip:bob@192.0.2.2", body=b"")
        wire.run()
        self.assertTrue(talk.last("200 INVITE").body)
        self.assertTrue(wire.bob.dialogs[0].last("ACK").body)

    def test_losses(self) -> None:
        """RFC 3261 17.1.1.2, 13.3.1.4: whatever datagram is lost, the call comes to be and ends."""
        for lost in range(1, 7):
            wire = Wire(lost)
            alice, bob = wire.call(5)
            bye = alice.bye()
            wire.run(5)
            self.assertEqual((alice.times("200 INVITE") > 0, bye.status, bob.over), (True, 200, True), f"loss {lost}")
            self.assertEqual(len(wire.bob.dialogs), 1)

    def test_no_answer(self) -> None:
        """Nobody there: sent again at growing intervals, and in the end no more."""
        wire = Wire(*range(100))
        talk, numbers = wire.alice.invite("sip:bob@192.0.2.2"), []
        for _ in range(80):
            wire.run(0.5)
            numbers.append(len(wire.sent))
        self.assertEqual(numbers[-1], 7)  # at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s
        assert talk.sent is not None, "an INVITE was sent"
        self.assertEqual(talk.sent.status, 0)

    def test_refusal_and_cancel(self) -> None:
        """RFC 3261 17.1.1.3, 9: the ACK for a refusal and CANCEL have the INVITE's branch; 487 ends it."""
        wire = Wire()
        wire.bob.asked = lambda dialog, request: dialog.refuse(486)
        alice, bob = wire.call()
        self.assertEqual(list(said(bob)), ["486 INVITE"])
        self.assertEqual(bob.last("ACK").via.branch, bob.last("INVITE").via.branch)
        self.assertTrue(alice.over and bob.over)

        wire.bob.asked = lambda dialog, request: dialog.ring()
        alice, bob = wire.call()
        cancel = alice.cancel()
        wire.run()
        self.assertEqual((cancel.status, alice.last("487 INVITE").cseq[1]), (200, "INVITE"))
        self.assertEqual(bob.last("CANCEL").via.branch, bob.last("INVITE").via.branch)
        self.assertTrue(alice.over and bob.over)

    def test_outside_a_call(self) -> None:
        """OPTIONS is answered; what belongs to a call that is not there gets 481, an old CSeq 500."""
        wire = Wire()
        options = wire.alice.ask("OPTIONS", "sip:bob@192.0.2.2")
        wire.run()
        self.assertEqual(options.status, 200)
        alice, bob = wire.call()
        alice.cseq -= 2
        old = alice.info("1")
        wire.run()
        self.assertEqual(old.status, 500)
        alice.remote_tag = "another"
        unknown = alice.bye()
        wire.run()
        self.assertEqual(unknown.status, 481)
        self.assertFalse(bob.over)

    def test_routes(self) -> None:
        """RFC 3261 12.1, 12.2.1.1: the route set, its order on both sides, and a strict router (S19)."""
        wire = Wire()
        record = ["<sip:192.0.2.2;lr;n=1>", "<sip:192.0.2.2;lr;n=2>"]
        talk = wire.alice.invite("sip:bob@192.0.2.2", headers={"Record-Route": record})
        wire.run()
        bob = wire.bob.dialogs[0]
        self.assertEqual((bob.routes, talk.routes), (record, record[::-1]))
        talk.info("1")
        wire.run()
        info = bob.last("INFO")
        self.assertEqual(info.headers["Route"], record[::-1])
        talk.routes[0] = "<sip:192.0.2.2;strict>"
        talk.info("2")
        wire.run()
        info = bob.last("INFO")
        assert isinstance(info, Request), "INFO is a request"
        self.assertEqual(info.uri_text, "sip:192.0.2.2;strict")
        self.assertEqual(info.headers["Route"], [record[0], "<sip:bob@192.0.2.2:5060;transport=udp>"])

    def test_nothing_of_that_kind(self) -> None:
        """What did not come is missed in words."""
        wire = Wire()
        alice, _ = wire.call()
        error = self.assertRaises(LookupError, alice.last, "BYE")
        self.assertIn("180 INVITE, 200 INVITE", str(error))


class TestLines(TestCase):
    """Real sockets."""

    timeout = 30

    def setUp(self) -> None:
        ca = make_ca()
        folder = self.mktemp()
        certificate, key = issue(ca, ips=["127.0.0.1", "::1"]).write(folder)
        issuer, _ = ca.write(folder, "ca")
        self.lines = Lines(reactor, ServerFiles(KeyPair(certificate, key)), issuer)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.lines.close()))

    async def test_every_transport(self) -> None:
        """A call by UDP, TCP and TLS, over IPv4 and IPv6; each end calls and hangs up by its own connection."""
        for transport in ("udp", "tcp", "tls"):
            for address in ("127.0.0.1", "::1"):
                alice = self.lines.phone("alice", transport, address)
                bob = self.lines.phone("bob", transport, address)
                host = f"[{address}]" if ":" in address else address
                talk = alice.invite(f"sip:bob@{host}:{bob.at.port}")
                await self.lines.until(lambda: talk.up and bool(bob.dialogs[0].acked), "the call")  # noqa: B023
                bye = bob.dialogs[0].bye()
                await self.lines.until(lambda: bye.status == 200 and talk.over, "BYE")  # noqa: B023

    async def test_waiting_in_vain(self) -> None:
        """What does not come is told with what came."""
        alice = self.lines.phone("alice", "udp", "127.0.0.1")
        bob = self.lines.phone("bob", "udp", "127.0.0.1")
        bob.asked = lambda dialog, request: dialog.ring()
        talk = alice.invite(f"sip:bob@127.0.0.1:{bob.at.port}")
        await self.lines.until(lambda: talk.times("180 INVITE") == 1, "ringing")
        try:
            await self.lines.until(lambda: talk.up, "the answer", 0.01)
        except Waited as error:
            self.assertIn("the answer; alice heard 180 INVITE; bob heard INVITE", str(error))
        else:
            self.fail("it waited for nothing")

    async def test_closing(self) -> None:
        """TLS connections are closed, not only forgotten: the other end hears of it."""
        alice = self.lines.phone("alice", "tls", "127.0.0.1")
        others = Lines(reactor, self.lines.files, self.lines.ca)
        bob = others.phone("bob", "tls", "127.0.0.1")
        options = alice.ask("OPTIONS", f"sip:bob@127.0.0.1:{bob.at.port}")
        await self.lines.until(lambda: options.status == 200, "the answer")
        assert options.flow.connection is not None, "TLS has connections"
        await others.close()
        for _ in range(100):
            if not options.flow.connection.alive:
                return
            await deferLater(reactor, 0.02)
        self.fail("the connection still stands")
