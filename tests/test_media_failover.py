"""Several rtpengine daemons: they share the sessions, and one that is gone stops no call."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol

from b2bua.call.media import Said
from b2bua.sip.grammar import Malformed
from tests.media import claim_ports
from tests.rtpengines import start
from tests.test_media_engines import A, B, EngineCase, sdp

clock: Any = reactor


class TestFailover(EngineCase):
    """Two daemons."""

    async def test_they_share(self) -> None:
        """Sessions go to both; each session stays where it is."""
        engine = await self.begin(2)
        for number in range(24):
            for _ in range(2):
                await self.crosses(engine, "offer", A, B, sdp("10.9.9.9"), session=str(number))
        one, two = [len(found or ()) for found in await self.listed(engine)]
        self.assertEqual(one + two, 24)
        self.assertTrue(one and two)
        self.assertEqual([status.sessions for status in engine.status()], [one, two])
        for number in range(24):
            await self.end(engine, str(number))
        self.assertEqual(await self.listed(engine), [[], []])

    async def test_one_is_killed(self) -> None:
        """New sessions go to the other at once, old ones with their next offer; when it is back nothing is left."""
        engine = await self.begin(2, weights=(1, 0))
        engine.start()
        await self.until(lambda: len(self.told) == 2)
        await self.call(engine)
        self.assertEqual([bool(found) for found in await self.listed(engine)], [True, False])
        await self.children[0].end()
        await self.crosses(engine, "offer", A, B, sdp("10.9.9.9"), session="new")
        self.assertEqual([status.alive for status in engine.status()], [False, True])
        self.assertIn((self.ports[0], False, "it does not answer"), self.told)
        self.assertEqual(await self.refused(engine, "answer", B, A, sdp("10.9.9.9")), 503)
        await self.crosses(engine, "offer", B, A, sdp("10.9.9.9", 5000))
        await self.crosses(engine, "answer", A, B, sdp("10.9.9.9"))
        (_, found) = await self.listed(engine)
        self.assertEqual({call.partition("-")[0] for call in found or ()}, {"new", "word"})
        self.assertEqual(engine.status()[0].owed, 1)
        report = await self.end(engine)
        assert report is not None
        self.assertEqual({stream.word for stream in report}, {"a", "b"})
        await self.end(engine, "new")
        await start(self, self.ports[0])
        await self.until(lambda: engine.status()[0].alive and not engine.status()[0].owed)
        self.assertEqual(self.told[-1], (self.ports[0], True, ""))
        await self.call(engine)
        await self.end(engine)
        self.assertEqual(await self.listed(engine), [[], []])

    async def test_one_stands_still(self) -> None:
        """What it carries, and what it was asked meanwhile and reads late, is deleted once it goes on."""
        engine = await self.begin(2, 1.0, (1, 0))
        engine.start()
        await self.until(lambda: len(self.told) == 2)
        await self.call(engine)
        process = self.children[0].transport
        process.signalProcess(signal.SIGSTOP)
        tasks = Path(f"/proc/{process.pid}/task")
        await self.until(lambda: all(") T " in (task / "stat").read_text() for task in tasks.iterdir()))
        await self.crosses(engine, "offer", A, B, sdp("10.9.9.9"), session="moved")
        await self.crosses(engine, "answer", B, A, sdp("10.9.9.9"), session="moved")
        self.assertIsNone(await self.end(engine))
        self.assertIsNotNone(await self.end(engine, "moved"))
        self.assertTrue(engine.status()[0].owed)
        process.signalProcess(signal.SIGCONT)
        await self.until(lambda: engine.status()[0].alive and not engine.status()[0].owed)
        self.assertEqual(await self.listed(engine), [[], []])

    async def test_restarted(self) -> None:
        """A daemon that knows nothing of a session any more: the next offer makes it anew, and it can be ended."""
        engine = await self.begin()
        await self.call(engine)
        await self.children[0].end()
        await start(self, self.ports[0])
        self.assertEqual(await self.refused(engine, "answer", B, A, sdp("10.9.9.9")), 503)
        self.assertIsNone(await self.end(engine))
        await self.call(engine)
        await self.children[-1].end()
        await start(self, self.ports[0])
        await self.crosses(engine, "offer", A, B, sdp("10.9.9.9"))
        await self.crosses(engine, "answer", B, A, sdp("10.9.9.9"))
        self.assertIsNotNone(await self.end(engine))
        self.assertEqual(await self.listed(engine), [[]])

    async def test_we_are_started_again(self) -> None:
        """A session of before: its next offer is one like any other, and it can be ended."""
        engine = await self.begin()
        await self.call(engine)
        later = self.engine(self.ports)
        await self.crosses(later, "offer", B, A, sdp("10.9.9.9", 5000))
        await self.crosses(later, "answer", A, B, sdp("10.9.9.9"))
        self.assertEqual(len(await self.end(later) or ()), 2)
        self.assertEqual(await self.listed(later), [[]])
        await self.call(engine)
        self.assertIsNone(await self.end(self.engine(self.ports)))
        await self.listed(later)
        self.assertEqual(await self.listed(later), [[]])

    async def test_silent(self) -> None:
        """One that is there and says nothing costs a part of the patience; an ended session waits for what is asked."""
        silent = clock.listenUDP(0, DatagramProtocol(), "127.0.0.1")
        self.addCleanup(silent.stopListening)
        real = await self.begin()
        engine = self.engine([silent.getHost().port, self.ports[0]], 1.0, (1, 0))
        told: Deferred[bytes | Malformed] = Deferred()
        engine.offer(Said("word", "one", A, B, sdp("10.9.9.9")), told.callback)
        ended = self.end(engine)
        self.assertIsInstance(await told, bytes)
        self.assertIsNotNone(await ended)
        self.assertEqual(await self.listed(real), [[]])
        self.assertEqual([status.owed for status in engine.status()], [1, 0])

    async def test_none(self) -> None:
        """Nobody at all: a refusal, and nothing is remembered but what may be on a daemon."""
        engine = self.engine([9, 10])
        for _ in range(2):
            self.assertEqual(await self.refused(engine, "offer", A, B, sdp("10.9.9.9")), 503)
        self.assertIsNone(await self.end(engine))
        self.assertEqual(engine.sessions, 0)
        self.assertEqual([status.alive for status in engine.status()], [False, False])
        self.assertEqual(await self.refused(engine, "offer", A, B, sdp("10.9.9.9"), session="other"), 503)
        self.assertEqual(engine.sessions, 0)

    async def test_no_room(self) -> None:
        """One whose ports are all in use sends new calls to the other; of a call that it has it refuses the offer."""
        await self.begin()
        small = self.ports[0]
        await self.children[0].end()
        first, _ = claim_ports(self)
        await start(self, small, (first, first + 7))
        await self.begin()
        engine = self.engine([small, self.ports[0]], 2.0, (1, 0))
        for number in range(8):
            await self.crosses(engine, "offer", A, B, sdp("10.9.9.9"), session=str(number))
        one, two = [len(found or ()) for found in await self.listed(engine)]
        self.assertTrue(one and two, (one, two))
        for number in range(8):
            await self.end(engine, str(number))
        self.assertEqual(await self.listed(engine), [[], []])

    async def test_stopped(self) -> None:
        """What is under way when we stop is refused, and nothing is asked any more."""
        silent = clock.listenUDP(0, DatagramProtocol(), "127.0.0.1")
        self.addCleanup(silent.stopListening)
        engine = self.engine([silent.getHost().port] * 2, 30.0)
        engine.start()
        told: Deferred[bytes | Malformed] = Deferred()
        engine.offer(Said("word", "one", A, B, sdp("10.9.9.9")), told.callback)
        engine.stop()
        self.assertIsInstance(await told, Malformed)
        self.assertIsNone(await self.end(engine))
        self.assertEqual(self.told, [])
