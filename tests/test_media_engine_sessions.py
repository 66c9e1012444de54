"""Session descriptions as devices make them, by the real rtpengine: nothing of one side in what the other reads."""

from __future__ import annotations

from b2bua.call.media import End
from b2bua.media.engines import RtpEngine
from b2bua.sip.grammar import Malformed
from b2bua.sip.sdp import own
from b2bua.sip.session import parse_session
from tests.test_media_engines import B6, A, EngineCase
from tests.test_media_sessions import NAMES, SESSIONS, addresses

OURS = {"127.0.0.1", "127.0.0.2", "::1"}


class TestCorpus(EngineCase):
    """Each file of tests/data/sessions, both ways, to every profile."""

    async def said(self, engine: RtpEngine, kind: str, source: End, target: End, text: bytes) -> bytes:
        """What the target reads, once its own leg has put its name on it; nothing for what is refused."""
        try:
            return own(await self.crosses(engine, kind, source, target, text, session="corpus"), "1", 1, "::1")
        except Malformed as fault:
            self.assertEqual(fault.status, 488, fault)
            return b""

    async def test_what_crosses(self) -> None:
        """S44: no host of the other side's, as offer and as answer; media in their order."""
        engine = await self.begin()
        crossed = 0
        for path in SESSIONS:
            text = path.read_bytes()
            for profile in ("", "plain", "srtp", "webrtc"):
                for source, target in ((A, B6._replace(profile=profile)), (B6, A._replace(profile=profile))):
                    offered = await self.said(engine, "offer", source, target, text)
                    answered = await self.said(engine, "answer", target, source, text) if offered else b""
                    await self.end(engine, "corpus")
                    for said in filter(None, (offered, answered)):
                        with self.subTest(path.name, source=source.word, profile=profile):
                            crossed += 1
                            self.assertLessEqual(addresses(said), OURS)
                            self.assertIsNone(NAMES.search(said))
                            self.assertEqual(
                                [media.kind for media in parse_session(said).media],
                                [media.kind for media in parse_session(text).media],
                            )
        self.assertGreater(crossed, 12 * len(SESSIONS))
        self.assertEqual(await self.listed(engine), [[]])
