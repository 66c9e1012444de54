"""ng with the real rtpengine, and with one that is not there."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from b2bua.ops.phonelines import free_port
from tests.rtpengines import ask, client, start

clock: Any = reactor
OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.11\r\ns=-\r\nc=IN IP4 127.0.0.11\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
ANSWER = OFFER.replace("IP4 127.0.0.11", "IP6 ::1").replace("4000", "5000")


class TestNg(TestCase):
    """One daemon."""

    timeout = 60

    async def test_a_call(self) -> None:
        """Offer, answer, delete: IPv4 to IPv6; then nothing is left in it."""
        port = free_port("udp", "127.0.0.1")
        await start(self, port)
        ng = client(self, port)
        common = {"call-id": "word", "from-tag": "a", "replace": ["origin", "session-connection"]}
        offered = await ask(ng, "offer", sdp=OFFER, **common, direction=["out", "in"], address_family="IP6")
        assert offered is not None
        self.assertEqual(offered["result"], "ok")
        self.assertIn("c=IN IP6 ::1", offered["sdp"])
        self.assertNotIn("127.0.0.11", offered["sdp"])
        answered = await ask(ng, "answer", sdp=ANSWER, **common, to_tag="b")
        assert answered is not None
        self.assertIn("c=IN IP4 127.0.0.1", answered["sdp"])
        self.assertEqual(await ask(ng, "list", limit=10), {"calls": ["word"], "result": "ok"})
        deleted = await ask(ng, "delete", call_id="word", delete_delay=0)
        assert deleted is not None
        self.assertEqual(deleted["result"], "ok")
        self.assertEqual(await ask(ng, "list", limit=10), {"calls": [], "result": "ok"})
        self.assertEqual(ng.waiting, 0)

    async def test_nobody_there(self) -> None:
        """Refused: at once, not after its time; and once there is somebody, the same client hears."""
        port = free_port("udp", "127.0.0.1")
        ng = client(self, port)
        for _ in range(3):
            self.assertIsNone(await ask(ng, "ping", 1000.0))
        self.assertEqual(ng.waiting, 0)
        await start(self, port)
        self.assertEqual(await ask(ng, "ping"), {"result": "pong"})

    async def test_no_way_there(self) -> None:
        """An address that cannot be reached is an answer too: none."""
        ng = client(self, 9)
        ng._where = "255.255.255.255", 9
        self.assertIsNone(await ask(ng, "ping", 1000.0))
        self.assertEqual((ng.fileno(), ng.logPrefix()), (-1, "ng"))

    async def test_lost(self) -> None:
        """The first datagram is lost: the same is asked again, and answered once; a broken answer is none."""
        heard: list[bytes] = []

        class Deaf(DatagramProtocol):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                heard.append(datagram)
                if len(heard) > 1:
                    cookie = datagram.partition(b" ")[0]
                    self.transport.write(b"other " + datagram, addr)
                    for answer in ((b' {"result":"pong"}', b' {"result":"no"}') if len(heard) < 3 else (b" [", b"")):
                        self.transport.write(cookie + answer, addr)

        port = clock.listenUDP(0, Deaf(), "127.0.0.1")
        self.addCleanup(port.stopListening)
        ng = client(self, port.getHost().port)
        self.assertEqual(await ask(ng, "ping"), {"result": "pong"})
        self.assertEqual((len(heard), len(set(heard))), (2, 1))
        self.assertIsNone(await ask(ng, "ping", 1000.0))
        await deferLater(clock, 0.05, lambda: None)

    async def test_silence(self) -> None:
        """No answer in time is none, and who closes waits for none."""
        port = clock.listenUDP(0, DatagramProtocol(), "127.0.0.1")
        self.addCleanup(port.stopListening)
        ng = client(self, port.getHost().port)
        self.assertIsNone(await ask(ng, "ping", 0.2))
        waiting = ask(ng, "ping", 1000.0)
        ng.close()
        self.assertIsNone(await waiting)
        self.assertEqual(ng.waiting, 0)
