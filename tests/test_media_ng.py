"""ng with the real rtpengine, and with one that is not there."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from b2bua.media.ng import Answer, Ng
from b2bua.ops.phonelines import free_port
from b2bua.sip.tokens import Tokens
from tests.children import Child
from tests.programs import need

clock: Any = reactor
OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.11\r\ns=-\r\nc=IN IP4 127.0.0.11\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
ANSWER = OFFER.replace("IP4 127.0.0.11", "IP6 ::1").replace("4000", "5000")


class TestNg(TestCase):
    """One engine."""

    timeout = 60

    def begin(self, port: int, patience: float = 1.0) -> Ng:
        """A client of the engine at that port."""
        ng = Ng(clock, Tokens(os.urandom).word, patience)
        udp = clock.listenUDP(0, ng, "127.0.0.1")
        ng.transport.connect("127.0.0.1", port)
        self.addCleanup(udp.stopListening)
        return ng

    def ask(self, ng: Ng, command: str, **more: object) -> Deferred[Answer | None]:
        """The answer, later."""
        told: Deferred[Answer | None] = Deferred()
        ng.ask(command, {name.replace("_", "-"): value for name, value in more.items()}, told.callback)
        return told

    async def engine(self, port: int) -> Child:
        """rtpengine, in user space."""
        child = Child(
            self, need("rtpengine"), "--config-file=none", "--foreground", "--log-stderr", "--interface=out/127.0.0.1",
            "--interface=in/::1", f"--listen-ng=127.0.0.1:{port}", "--table=-1", "--port-min=42000",
            "--port-max=42100", "--num-threads=1",
        )  # fmt: skip
        for _ in range(100):
            answer = await self.ask(self.begin(port), "ping")
            if answer is not None:
                return child
            await deferLater(clock, 0.05, lambda: None)
        raise AssertionError(f"rtpengine did not start: {child.output}")

    async def test_a_call(self) -> None:
        """Offer, answer, query, delete: IPv4 to IPv6; then nothing is left in it."""
        port = free_port("udp", "127.0.0.1")
        await self.engine(port)
        ng = self.begin(port)
        common = {"call-id": "word", "from-tag": "a", "replace": ["origin", "session-connection"]}
        offered = await self.ask(ng, "offer", sdp=OFFER, **common, direction=["out", "in"], address_family="IP6")
        assert offered is not None
        self.assertEqual(offered["result"], "ok")
        self.assertIn("c=IN IP6 ::1", offered["sdp"])
        self.assertNotIn("127.0.0.11", offered["sdp"])
        answered = await self.ask(ng, "answer", sdp=ANSWER, **common, to_tag="b")
        assert answered is not None
        self.assertIn("c=IN IP4 127.0.0.1", answered["sdp"])
        listed = await self.ask(ng, "list", limit=10)
        self.assertEqual(listed, {"calls": ["word"], "result": "ok"})
        deleted = await self.ask(ng, "delete", **{"call-id": "word", "delete-delay": 0})
        assert deleted is not None
        self.assertEqual(deleted["result"], "ok")
        self.assertEqual(await self.ask(ng, "list", limit=10), {"calls": [], "result": "ok"})
        self.assertEqual(ng.waiting, 0)

    async def test_nobody_there(self) -> None:
        """Refused: at once, not after its time."""
        ng = self.begin(free_port("udp", "127.0.0.1"), 30.0)
        self.assertIsNone(await self.ask(ng, "ping"))
        self.assertEqual(ng.waiting, 0)

    async def test_lost(self) -> None:
        """The first datagram is lost: the same is asked again, and answered once; a broken answer is none."""
        heard: list[bytes] = []

        class Deaf(DatagramProtocol):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                heard.append(datagram)
                if len(heard) > 1:
                    cookie = datagram.partition(b" ")[0]
                    self.transport.write(b"other " + datagram, addr)
                    for _ in range(2):
                        self.transport.write(cookie + b' {"result":"pong"}', addr)

        port = clock.listenUDP(0, Deaf(), "127.0.0.1")
        self.addCleanup(port.stopListening)
        ng = self.begin(port.getHost().port, 5.0)
        self.assertEqual(await self.ask(ng, "ping"), {"result": "pong"})
        self.assertEqual(len(set(heard)), 1)
        await deferLater(clock, 0.05, lambda: None)

    async def test_silence(self) -> None:
        """No answer in time is none."""
        port = clock.listenUDP(0, DatagramProtocol(), "127.0.0.1")
        self.addCleanup(port.stopListening)
        ng = self.begin(port.getHost().port, 0.2)
        self.assertIsNone(await self.ask(ng, "ping"))
        self.assertEqual(ng.waiting, 0)
