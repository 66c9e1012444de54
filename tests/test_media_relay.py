"""The built-in relay with real sockets: what one side sends the other hears, and a stranger nobody."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from b2bua.media.ports import NoPorts
from b2bua.media.relay import At, Relay
from b2bua.sip.grammar import Malformed
from b2bua.sip.session import parse_session

clock: Any = reactor
A_SIDE, B_SIDE = At("a", "127.0.0.1", "127.0.0.11"), At("b", "::1", "::1")
RTP = b"\x80\x00" + bytes(10)


class Peer:
    """A socket that sends and hears."""

    def __init__(self, test: TestCase, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        test.addCleanup(self.socket.close)
        self.socket.bind((address, 0))
        self.socket.setblocking(False)
        self.address, self.port = self.socket.getsockname()[:2]

    def sdp(self, more: str = "", media: str = "audio {} RTP/AVP 0", address: str = "") -> bytes:
        """Where it wants to hear."""
        address = address or self.address
        line = f"c=IN IP{6 if ':' in address else 4} {address}"
        text = f"v=0\no=x 1 1 IN IP4 10.9.9.9\ns=x\n{line}\nt=0 0\nm={media.format(self.port)}\n{more}"
        return text.replace("\n", "\r\n").encode()

    def send(self, to: tuple[str, int], data: bytes = RTP) -> None:
        """A packet."""
        self.socket.sendto(data, to)

    def heard(self) -> list[tuple[bytes, str, int]]:
        """What has come: octets, and from where."""
        found = []
        while True:
            try:
                data, source = self.socket.recvfrom(9000)
            except BlockingIOError:
                return found
            found.append((data, source[0], source[1]))


def place(sdp: bytes) -> tuple[str, int]:
    """Where the first medium of a description goes."""
    session = parse_session(sdp)
    where = session.connection_of(session.media[0])
    assert where is not None
    return where.host, session.media[0].port


class TestRelay(TestCase):
    """One call."""

    def setUp(self) -> None:
        self.relay = Relay(reactor, 41000, 41040, lambda limit: limit - 1)
        self.alice, self.bob, self.mallory = Peer(self, "127.0.0.11"), Peer(self, "::1"), Peer(self, "127.0.0.66")
        self.addCleanup(self.relay.end, "call")
        self.files = len(os.listdir("/proc/self/fd"))

    def up(self, offer: bytes = b"", answer: bytes = b"") -> tuple[tuple[str, int], tuple[str, int]]:
        """Offer and answer; where alice sends, and where bob does."""
        there = self.relay.crossed("call", A_SIDE, B_SIDE, offer or self.alice.sdp())
        here = self.relay.crossed("call", B_SIDE, A_SIDE, answer or self.bob.sdp())
        return place(here), place(there)

    async def pause(self) -> None:
        """Let packets go their way."""
        await deferLater(clock, 0.05, lambda: None)

    async def test_both_ways(self) -> None:
        """IPv4 to IPv6 and back; each hears the other from where it was told that the other is."""
        alice_to, bob_to = self.up()
        self.assertEqual((alice_to[0], bob_to[0]), ("127.0.0.1", "::1"))
        self.alice.send(alice_to, RTP + b"from alice")
        self.bob.send(bob_to, RTP + b"from bob")
        await self.pause()
        self.assertEqual(self.bob.heard(), [(RTP + b"from alice", *bob_to)])
        self.assertEqual(self.alice.heard(), [(RTP + b"from bob", *alice_to)])

    async def test_reports(self) -> None:
        """RTCP goes to the next port, or where a=rtcp says (RFC 3605)."""
        reports = Peer(self, "127.0.0.11")
        alice_to, bob_to = self.up(self.alice.sdp(f"a=rtcp:{reports.port}\n"))
        self.bob.send((bob_to[0], bob_to[1] + 1), b"\x81\xc8" + bytes(10))
        await self.pause()
        self.assertEqual([(source, port) for _, source, port in reports.heard()], [(alice_to[0], alice_to[1] + 1)])

    async def test_strangers(self) -> None:
        """RTP bleed: nothing of a stranger's passes, and nothing is sent to him, before and after."""
        alice_to, bob_to = self.up()
        self.mallory.send(alice_to)
        await self.pause()
        self.bob.send(bob_to)
        self.alice.send(alice_to)
        await self.pause()
        self.mallory.send(alice_to)
        self.bob.send(bob_to)
        await self.pause()
        self.assertEqual(len(self.bob.heard()), 1)
        self.assertEqual(len(self.alice.heard()), 2)
        self.assertEqual(self.mallory.heard(), [])

    async def test_no_rtp(self) -> None:
        """RFC 3550 5.1: what has another version is not passed on; for other media anything is."""
        alice_to, _ = self.up()
        self.alice.send(alice_to, b"\x00\x01\x00\x00")
        self.alice.send(alice_to, b"")
        await self.pause()
        self.assertEqual(self.bob.heard(), [])
        self.relay.end("call")
        fax = "image {} udptl t38"
        alice_to, _ = self.up(self.alice.sdp(media=fax), self.bob.sdp(media=fax))
        self.alice.send(alice_to, b"\x00\x01\x00\x00")
        await self.pause()
        self.assertEqual(len(self.bob.heard()), 1)

    async def test_another_port(self) -> None:
        """A re-INVITE with another port of the peer's: our ports stay, and what goes there goes to the new one."""
        alice_to, bob_to = self.up()
        self.alice.send(alice_to)
        await self.pause()
        self.alice.send(alice_to)  # on its way still
        moved = Peer(self, "127.0.0.11")
        self.assertEqual(place(self.relay.crossed("call", A_SIDE, B_SIDE, moved.sdp())), bob_to)
        self.bob.send(bob_to)
        moved.send(alice_to)
        await self.pause()
        self.assertEqual((len(moved.heard()), len(self.alice.heard()), len(self.bob.heard())), (1, 0, 2))

    async def test_hold(self) -> None:
        """c=0.0.0.0: nothing is sent there, and the other side is told so, in its own family."""
        alice_to, bob_to = self.up()
        self.assertEqual(place(self.relay.crossed("call", A_SIDE, B_SIDE, self.alice.sdp(address="0.0.0.0")))[0], "::")
        self.bob.send(bob_to)
        await self.pause()
        self.assertEqual(self.alice.heard(), [])

    async def test_forks(self) -> None:
        """Two who answer the same offer share its port; each speaks by a stream of its own."""
        carol = Peer(self, "::1")
        bob_to = place(self.relay.crossed("call", A_SIDE, B_SIDE, self.alice.sdp()))
        second = At("a2", "127.0.0.1", "127.0.0.11")
        by_bob = place(self.relay.crossed("call", B_SIDE, A_SIDE, self.bob.sdp()))
        self.assertEqual(place(self.relay.crossed("call", second, B_SIDE, self.alice.sdp())), bob_to)
        by_carol = place(self.relay.crossed("call", B_SIDE, second, carol.sdp()))
        self.assertNotEqual(by_bob, by_carol)
        self.bob.send(bob_to)
        await self.pause()
        self.assertEqual([port for _, _, port in self.alice.heard()], [by_bob[1]])

    def test_ends(self) -> None:
        """Every way it can end leaves no socket and no port."""
        self.up()
        self.assertEqual((self.relay.used, len(os.listdir("/proc/self/fd"))), (2, self.files + 4))
        self.relay.end("call")
        self.relay.end("call")
        self.assertEqual((self.relay.used, len(os.listdir("/proc/self/fd"))), (0, self.files))

    def test_taken_by_another(self) -> None:
        """A port that another program has: the next one."""
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(other.close)
        other.bind(("127.0.0.1", 41001))
        alice_to, _ = self.up()
        self.assertNotEqual(alice_to[1], 41000)
        self.relay.end("call")
        self.assertEqual(self.relay.used, 0)

    def test_no_ports(self) -> None:
        """More media than ports."""
        offer = self.alice.sdp("m=audio 5000 RTP/AVP 0\n" * 31)
        self.assertRaises(NoPorts, self.relay.crossed, "call", A_SIDE, B_SIDE, offer)
        self.relay.end("call")
        self.assertEqual(self.relay.used, 0)

    def test_what_crosses(self) -> None:
        """No address of the other side's, in no line; what is not UDP is refused."""
        more = (
            "a=candidate:1 1 udp 2113937151 192.168.1.4 54400 typ host\na=rtcp:9 IN IP4 10.9.9.9\na=ice-ufrag:F\n"
            "m=message 2855 TCP/MSRP *\nc=IN IP4 10.9.9.9\na=path:msrp://10.9.9.9:2855/x;tcp\nm=video 0 RTP/AVP 31\n"
        )
        said = self.relay.crossed("call", A_SIDE, B_SIDE, self.alice.sdp(more))
        for secret in (b"127.0.0.11", b"192.168.1.4", b"IP4 10.9.9.9\r\na", b"msrp:", b"ice-"):
            self.assertNotIn(secret, said.partition(b"s=x")[2])
        self.assertEqual([media.port > 0 for media in parse_session(said).media], [True, False, False])

    def test_malformed(self) -> None:
        """Nothing is taken for what cannot be read."""
        self.assertRaises(Malformed, self.relay.crossed, "call", A_SIDE, B_SIDE, b"v=0\r\nm=audio\r\n")
        self.assertEqual(self.relay.used, 0)
