"""rtpengine as an engine: real daemons, offers and answers of each kind, forks, and what happens when one dies."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from b2bua.call.media import End, Report, Said
from b2bua.media.description import LARGEST
from b2bua.media.engine_words import MOST_MEDIA
from b2bua.media.engines import RtpEngine
from b2bua.ops.phonelines import free_port
from b2bua.policy.media import Daemon
from b2bua.sip.grammar import Malformed
from b2bua.sip.session import MAX_MEDIA, parse_session
from b2bua.sip.tokens import Tokens
from tests.rtpengines import start
from tests.test_media_relay import RTP, Peer, place

clock: Any = reactor
INTERFACES = {"outside": "out", "inside": "in"}
A = End("a", "outside", "127.0.0.1", "127.0.0.1", "127.0.0.11")
B = End("b", "inside", "127.0.0.2", "127.0.0.2", "127.0.0.21")
B6 = B._replace(address="::1", bound="::1", signalling="::1")
FINGERPRINT = "sha-256 " + ":".join(["4A"] * 32)
BROWSER = f"""v=0
o=- 1 1 IN IP4 10.9.9.9
s=-
t=0 0
a=group:BUNDLE 0
a=fingerprint:{FINGERPRINT}
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
a=candidate:0 1 UDP 2122187007 10.9.9.9 50000 typ host
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=mid:0
a=rtcp-mux
a=setup:actpass
a=rtpmap:111 opus/48000/2
a=rtpmap:0 PCMU/8000
""".replace("\n", "\r\n").encode()


def sdp(address: str, port: int = 4000, more: str = "", protocol: str = "RTP/AVP") -> bytes:
    """What somebody at that address says."""
    kind = 6 if ":" in address else 4
    where = f"IN IP{kind} {address}"
    text = f"v=0\no=- 1 1 {where}\ns=-\nc={where}\nt=0 0\nm=audio {port} {protocol} 0\n{more}"
    return text.replace("\n", "\r\n").encode()


def report(own: int, other: int, lost: int) -> bytes:
    """A sender's report of SSRC `own`, which says what is lost of `other`'s, and that it has heard its last report."""
    now = 7  # of no clock: both say the same, so that each hears of its own
    sent = struct.pack("!BBHIIIIII", 0x81, 200, 12, own, now, 0, 160, 1, 160)
    return sent + struct.pack("!IIIIII", other, lost, 20, 3, now << 16, 1)


class EngineCase(TestCase):
    """An engine with as many daemons as a test wants."""

    timeout = 120

    async def begin(self, count: int = 1, patience: float = 2.0, weights: Sequence[int] = (1, 1)) -> RtpEngine:
        """An engine of so many daemons, all of which answer."""
        self.ports = [free_port("udp", "127.0.0.1") for _ in range(count)]
        self.children = []
        for port in self.ports:
            self.children.append(await start(self, port))
        return self.engine(self.ports, patience, weights)

    def engine(self, ports: Sequence[int], patience: float = 2.0, weights: Sequence[int] = (1, 1)) -> RtpEngine:
        """An engine of the daemons at these ports."""
        self.told: list[tuple[int, bool, str]] = []
        engine = RtpEngine(
            "media",
            [Daemon("127.0.0.1", port, weight) for port, weight in zip(ports, weights, strict=False)],
            clock,
            Tokens(os.urandom),
            INTERFACES,
            patience,
            0.2,
            lambda daemon, up, why: self.told.append((daemon.port, up, why)),
        )
        self.addCleanup(engine.stop)
        return engine

    async def crosses(self, engine: RtpEngine, kind: str, source: End, target: End, text: bytes, **more: Any) -> bytes:
        """What the target reads."""
        told: Deferred[bytes | Malformed] = Deferred()
        said = Said(more.pop("session", "word"), more.pop("branch", "one"), source, target, text, **more)
        (engine.offer if kind == "offer" else engine.answer)(said, told.callback)
        result = await told
        if isinstance(result, Malformed):
            raise result
        self.assertNotIn(b"10.9.9.9", result)
        return result

    async def refused(self, engine: RtpEngine, kind: str, source: End, target: End, text: bytes, **more: Any) -> int:
        """The status with which it is refused."""
        try:
            await self.crosses(engine, kind, source, target, text, **more)
        except Malformed as fault:
            return fault.status
        raise AssertionError("it crossed")

    async def call(self, engine: RtpEngine, a: End = A, b: End = B) -> None:
        """An offer and its answer."""
        await self.crosses(engine, "offer", a, b, sdp("10.9.9.9"))
        await self.crosses(engine, "answer", b, a, sdp("10.9.9.9", 5000))

    async def end(self, engine: RtpEngine, session: str = "word") -> Report | None:
        """How it was."""
        told: Deferred[Report | None] = Deferred()
        engine.end(session, told.callback)
        return await told

    async def listed(self, engine: RtpEngine) -> list[Sequence[str] | None]:
        """What each daemon has."""
        told: Deferred[Any] = Deferred()
        engine.listed(told.callback)
        found = await told
        return [found[peer.daemon] for peer in engine.peers]

    async def until(self, condition: Any) -> None:
        """Returns once it is so."""
        for _ in range(1000):
            if condition():
                return
            await deferLater(clock, 0.02, lambda: None)
        raise AssertionError("it never came to be")


class TestCalls(EngineCase):
    """One daemon."""

    async def test_the_largest(self) -> None:
        """As much of a description as there may be: rtpengine's answer fits into a datagram, whatever it adds."""
        engine = await self.begin()
        for number, filling in enumerate((b"x", b"\xff", b'"', b"\\", b"\xc3\xa9")):
            for profile in ("", "plain", "srtp", "webrtc"):
                for text in (sdp("10.9.9.9"), BROWSER):
                    text += text[text.index(b"m=audio") :] * (MOST_MEDIA - 1)
                    text += b"m=audio 0 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n" * (MAX_MEDIA - MOST_MEDIA)
                    text += b"a=x:" + filling * ((LARGEST - len(text) - 6) // len(filling)) + b"\r\n"
                    session = f"{number} {profile} {len(text)} {text is BROWSER}"
                    await self.crosses(engine, "offer", A, B._replace(profile=profile), text, session=session)
                    await self.end(engine, session)

    async def test_a_call(self) -> None:
        """IPv4 to IPv6 and back; who is where is not seen; RTP passes; it is counted; and nothing is left."""
        engine = await self.begin()
        one, two = Peer(self, "127.0.0.11"), Peer(self, "::1")
        to_b = await self.crosses(engine, "offer", A, B6, one.sdp())
        self.assertEqual(place(to_b)[0], "::1")
        self.assertNotIn(b"127.0.0.11", to_b)
        to_a = await self.crosses(engine, "answer", B6, A, two.sdp())
        self.assertEqual(place(to_a)[0], "127.0.0.1")
        for number in range(5):
            one.send(place(to_a), RTP + bytes([number]))
            two.send(place(to_b), RTP + bytes([number]))
        await self.until(lambda: len(two.heard()) == 5 or two.socket is None)
        self.assertEqual({port for _, _, port in one.heard()}, {place(to_a)[1]})
        told: Deferred[Report | None] = Deferred()
        engine.query("word", told.callback)
        self.assertEqual(len(await told or ()), 2)
        report = await self.end(engine)
        assert report is not None
        by_word = {stream.word: stream for stream in report}
        self.assertEqual(by_word["a"]._replace(idle=None), (
            "a", "audio", f"127.0.0.1:{place(to_a)[1]}", f"127.0.0.11:{one.port}", 5, 65, None, None))  # fmt: skip
        self.assertEqual(by_word["b"].theirs, f"[::1]:{two.port}")
        self.assertIsNotNone(by_word["b"].idle)
        self.assertEqual(await self.listed(engine), [[]])
        self.assertEqual((engine.sessions, engine.status()[0].owed), (0, 0))

    async def test_lost(self) -> None:
        """Who hears a stream says in its reports (RFC 3550 6.4.1) how much of it is lost."""
        engine = await self.begin()
        one, two = Peer(self, "127.0.0.11"), Peer(self, "127.0.0.21")
        to_b = place(await self.crosses(engine, "offer", A, B, one.sdp("a=rtcp-mux\n")))
        to_a = place(await self.crosses(engine, "answer", B, A, two.sdp("a=rtcp-mux\n")))
        for number in range(30):
            for peer, there, own, other, lost in ((one, to_a, 1, 2, 7), (two, to_b, 2, 1, 3)):
                peer.send(there, struct.pack("!BBHII", 0x80, 0, number, 160 * number, own) + bytes(160))
                peer.send(there, report(own, other, lost))
            await deferLater(clock, 0.05, lambda: None)
            told: Deferred[Report | None] = Deferred()
            engine.query("word", told.callback)
            found = {stream.word: stream.lost for stream in await told or ()}
            if None not in found.values():
                break
        self.assertEqual(found, {"a": 3, "b": 7})

    async def test_a_stranger(self) -> None:
        """Where no peer is behind a NAT and a route says so, nobody else is heard, nor hears."""
        engine, options = await self.begin(), ("asymmetric",)
        one, two, stranger = (Peer(self, f"127.0.0.{last}") for last in (11, 21, 66))
        to_b = place(await self.crosses(engine, "offer", A, B, one.sdp(), options=options))
        to_a = place(await self.crosses(engine, "answer", B, A, two.sdp(), options=options))
        for sender, text in ((stranger, b"stranger"), (two, b"friend")):
            sender.send(to_b, RTP + text)
        found: list[tuple[bytes, str, int]] = []
        await self.until(lambda: found.extend(one.heard()) or found)
        self.assertEqual([data for data, _, _ in found], [RTP + b"friend"])
        one.send(to_a, RTP)
        await self.until(two.heard)
        self.assertEqual(stranger.heard(), [])

    async def test_offers_of_both(self) -> None:
        """The callee changes its port, then the caller; a late offer; every one has its answer."""
        engine = await self.begin()
        await self.call(engine)
        await self.crosses(engine, "offer", B, A, sdp("10.9.9.9", 5010))
        await self.crosses(engine, "answer", A, B, sdp("10.9.9.9", 4000))
        await self.crosses(engine, "offer", A, B, sdp("10.9.9.9", 4010))
        await self.crosses(engine, "answer", B, A, sdp("10.9.9.9", 5010))
        await self.crosses(engine, "offer", B, A, sdp("10.9.9.9", 5000), session="late")
        await self.crosses(engine, "answer", A, B, sdp("10.9.9.9", 4000), session="late")
        report = await self.end(engine)
        assert report is not None
        self.assertEqual({stream.theirs for stream in report}, {"10.9.9.9:4010", "10.9.9.9:5010"})
        self.assertEqual(await self.listed(engine), [["late"]])
        await self.end(engine, "late")
        self.assertEqual(await self.listed(engine), [[]])

    async def test_hold(self) -> None:
        """By direction, and by the address of old (RFC 3264 8.4): either way the other side hears of it."""
        engine = await self.begin()
        await self.call(engine)
        for text, direction in (
            (sdp("10.9.9.9", 4000, "a=sendonly\n"), b"sendonly"),
            (sdp("10.9.9.9").replace(b"c=IN IP4 10.9.9.9", b"c=IN IP4 0.0.0.0"), b"sendonly"),
            (sdp("10.9.9.9", 4000, "a=inactive\n"), b"inactive"),
            (sdp("10.9.9.9"), b"sendrecv"),
        ):
            to_b = parse_session(await self.crosses(engine, "offer", A, B, text))
            self.assertEqual(to_b.direction_of(to_b.media[0]), direction)
            self.assertEqual(to_b.held(to_b.media[0]), direction != b"sendrecv")
            await self.crosses(engine, "answer", B, A, sdp("10.9.9.9", 5000))

    async def test_forks(self) -> None:
        """Two answer to one offer: who answered last is heard and hears. A second branch has ports of its own."""
        engine = await self.begin()
        caller, first, second, third = (Peer(self, f"127.0.0.{last}") for last in (11, 21, 22, 23))
        to_b = await self.crosses(engine, "offer", A, B, caller.sdp())
        fork = B._replace(word="b2", signalling="127.0.0.22")
        other = B._replace(word="c", signalling="127.0.0.23")
        to_c = await self.crosses(engine, "offer", A, other, caller.sdp(), branch="two")
        self.assertNotEqual(place(to_b), place(to_c))
        for end, peer, branch, theirs in (
            (B, first, "one", to_b), (fork, second, "one", to_b), (other, third, "two", to_c), (B, first, "one", to_b)
        ):  # fmt: skip
            to_a = await self.crosses(engine, "answer", end, A, peer.sdp(), branch=branch)
            peer.send(place(theirs))
            await self.until(caller.heard)
            caller.send(place(to_a))
            await self.until(peer.heard)
        await self.crosses(engine, "offer", B, A, first.sdp())
        await self.crosses(engine, "answer", A, B, caller.sdp())
        report = await self.end(engine)
        assert report is not None
        self.assertEqual({stream.word for stream in report}, {"a", "b", "c"})
        self.assertEqual(await self.listed(engine), [[]])

    async def test_what_is_refused(self) -> None:
        """By us, by rtpengine, and what comes without an offer."""
        engine = await self.begin()
        self.assertEqual(await self.refused(engine, "offer", A, B, b"hello"), 400)
        self.assertEqual(await self.refused(engine, "offer", A, B, sdp("10.9.9.9") + b"a=x\r\n" * 3000), 488)
        self.assertEqual(await self.refused(engine, "answer", A, B, sdp("10.9.9.9")), 503)
        broken = sdp("10.9.9.9").replace(b"t=0 0\r\n", b"").replace(b"o=- 1", b"o=1")
        self.assertEqual(await self.refused(engine, "offer", A, B, broken), 488)
        await self.end(engine)
        self.assertEqual((engine.sessions, await self.listed(engine)), (0, [[]]))
        self.assertIsNone(await self.end(engine, "never was"))
        told: Deferred[Report | None] = Deferred()
        engine.query("never was", told.callback)
        self.assertIsNone(await told)

    async def test_no_media(self) -> None:
        """A description without media needs no engine (RFC 3264 5), nor does its answer."""
        engine = self.engine([9])
        for kind, source, target, ours in (("offer", A, B, b"127.0.0.2"), ("answer", B, A, b"127.0.0.1")):
            text = await self.crosses(engine, kind, source, target, sdp("127.0.0.11").partition(b"m=")[0])
            self.assertIn(b"c=IN IP4 " + ours, text)
        self.assertEqual(engine.sessions, 0)


class TestProfiles(EngineCase):
    """What each party speaks."""

    async def test_browser_to_phone(self) -> None:
        """The phone reads plain RTP that is not on hold; the browser reads its own kind of answer."""
        engine = await self.begin()
        browser, phone = A._replace(profile="webrtc"), B._replace(profile="plain")
        to_b = await self.crosses(engine, "offer", browser, phone, BROWSER)
        (media,) = parse_session(to_b).media
        self.assertEqual((media.protocol, media.direction), (b"RTP/AVP", b"sendrecv"))
        for name in (b"candidate", b"ice-ufrag", b"fingerprint", b"setup", b"rtcp-mux", b"crypto"):
            self.assertFalse(media.has(name), name)
        to_a = await self.crosses(engine, "answer", phone, browser, sdp("10.9.9.9", 5000))
        (media,) = parse_session(to_a).media
        self.assertEqual(media.protocol, b"UDP/TLS/RTP/SAVPF")
        for name in (b"candidate", b"ice-ufrag", b"fingerprint", b"setup", b"rtcp-mux", b"mid"):
            self.assertTrue(media.has(name), name)
        self.assertFalse(media.has(b"crypto"))

    async def test_phone_to_browser(self) -> None:
        """And the other way, with a new offer of the browser later."""
        engine = await self.begin()
        phone, browser = A._replace(profile="plain"), B._replace(profile="webrtc")
        to_b = await self.crosses(engine, "offer", phone, browser, sdp("10.9.9.9"))
        (media,) = parse_session(to_b).media
        self.assertEqual(media.protocol, b"UDP/TLS/RTP/SAVPF")
        for name in (b"candidate", b"ice-ufrag", b"fingerprint", b"setup", b"rtcp-mux", b"mid"):
            self.assertTrue(media.has(name), name)
        self.assertFalse(media.has(b"crypto"))
        answer = BROWSER.replace(b"actpass", b"active")
        for kind in ("answer", "offer"):
            to_a = await self.crosses(engine, kind, browser, phone, answer if kind == "answer" else BROWSER)
            (media,) = parse_session(to_a).media
            self.assertEqual((media.protocol, media.direction), (b"RTP/AVP", b"sendrecv"))
            self.assertFalse(media.has(b"candidate") or media.has(b"fingerprint"))

    async def test_srtp(self) -> None:
        """Keys in the description, none that encrypt nothing, and plain RTP on the other side."""
        engine = await self.begin()
        to_b = await self.crosses(engine, "offer", A, B._replace(profile="srtp"), sdp("10.9.9.9"))
        (media,) = parse_session(to_b).media
        self.assertEqual(media.protocol, b"RTP/SAVP")
        self.assertTrue(media.has(b"crypto"))
        self.assertFalse(media.has(b"fingerprint"))
        self.assertNotIn(b"NULL", to_b)
        key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n"
        answer = sdp("10.9.9.9", 5000, key, "RTP/SAVP")
        to_a = await self.crosses(engine, "answer", B._replace(profile="srtp"), A, answer)
        (media,) = parse_session(to_a).media
        self.assertEqual((media.protocol, media.has(b"crypto")), (b"RTP/AVP", False))

    async def test_no_profile(self) -> None:
        """As it is said; but ICE is rtpengine's own, and only towards who may speak it."""
        engine = await self.begin()
        to_b = await self.crosses(engine, "offer", A, B, BROWSER)
        (media,) = parse_session(to_b).media
        self.assertEqual(media.protocol, b"UDP/TLS/RTP/SAVPF")
        self.assertTrue(media.has(b"candidate"))
        to_a = await self.crosses(engine, "answer", B, A, BROWSER.replace(b"actpass", b"active"))
        self.assertTrue(parse_session(to_a).media[0].has(b"candidate"))
        ice = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\na=candidate:0 1 UDP 21221 10.9.9.9 5000 typ host\n"
        await self.crosses(engine, "offer", A, B, sdp("10.9.9.9"), session="other")
        to_a = await self.crosses(engine, "answer", B, A, sdp("10.9.9.9", 5000, ice), session="other")
        self.assertFalse(parse_session(to_a).media[0].has(b"candidate"))

    async def test_nothing_of_the_far_side(self) -> None:
        """Whatever there is: several media, refused ones, some that no engine carries, octets that are no UTF-8."""
        engine = await self.begin()
        more = (
            "c=IN IP4 10.9.9.9\na=rtcp:4009 IN IP4 10.9.9.9\na=zoned:x 10.9.9.9\na=rtcp-xr:10.9.9.9\n"
            "a=ssrc:1 cname:x@10.9.9.9\na=label:\xff\nm=video 0 RTP/AVP 99\nc=IN IP4 10.9.9.9\n"
            "a=rtcp:4009 IN IP4 10.9.9.9\na=candidate:0 1 UDP 2122187007 10.9.9.9 50000 typ host\n"
            "m=image 4010 udptl t38\nc=IN IP4 10.9.9.9\na=T38FaxVersion:0\n"
            "m=message 4020 TCP/MSRP *\nc=IN IP4 10.9.9.9\na=path:msrp://10.9.9.9:4020/x;tcp\n"
        )
        text = sdp("10.9.9.9", 4000, more).decode().replace("\xff", "?").encode().replace(b"label:?", b"label:\xff")
        for profile in ("", "plain", "srtp", "webrtc"):
            to_b = await self.crosses(engine, "offer", A, B6._replace(profile=profile), text, session=profile)
            found = parse_session(to_b)
            self.assertEqual([media.kind for media in found.media], [b"audio", b"video", b"image", b"message"])
            self.assertEqual([bool(media.port) for media in found.media], [True, False, True, False])
            self.assertIn(b"a=label:\xff\r\n", to_b)
            await self.end(engine, profile)

    async def test_a_name_and_a_nat(self) -> None:
        """Where a party gives a name or an address behind a NAT, media goes to where its messages come from."""
        engine = await self.begin()
        public = A._replace(signalling="198.51.100.7")
        for number, (source, host, options, where) in enumerate((
            (A, "media.invalid", (), "127.0.0.11"),
            (public, "10.9.9.9", (), "198.51.100.7"),
            (public, "10.9.9.9", ("trust-address",), "10.9.9.9"),
            (public, "203.0.113.5", (), "203.0.113.5"),
            (public, "203.0.113.5", ("SIP-source-address",), "198.51.100.7"),
            (A, "10.9.9.9", (), "10.9.9.9"),
            (A._replace(signalling="10.9.9.8"), "10.9.9.9", (), "10.9.9.9"),
            (A._replace(signalling="10.9.9.8"), "127.0.0.1", (), "10.9.9.8"),
        )):  # fmt: skip
            text = sdp(host).replace(b"o=- 1 1 IN IP4 media.invalid", b"o=- 1 1 IN IP4 10.9.9.9")
            await self.crosses(engine, "offer", source, B, text, session=str(number), options=options)
            await self.crosses(engine, "answer", B, source, sdp("10.9.9.9"), session=str(number))
            report = await self.end(engine, str(number))
            assert report is not None
            self.assertEqual({stream.theirs for stream in report if stream.word == "a"}, {f"{where}:4000"}, number)

    async def test_options(self) -> None:
        """A route's own words are obeyed, and rtpengine knows them."""
        engine = await self.begin()
        options = ("codec-mask-all", "codec-transcode-PCMA", "inject-DTMF", "ptime=20", "asymmetric", "TOS=184")
        to_b = await self.crosses(engine, "offer", A, B, sdp("10.9.9.9"), options=options)
        self.assertEqual(parse_session(to_b).media[0].formats, [b"8"])
        self.assertIn(b"a=ptime:20", to_b)
        to_a = await self.crosses(engine, "answer", B, A, sdp("10.9.9.9").replace(b"AVP 0", b"AVP 8"), options=options)
        self.assertEqual(parse_session(to_a).media[0].formats, [b"0"])
        self.assertNotIn("nknown", self.children[0].output)
        self.assertIsNone(re.search("not found", self.children[0].output))
