"""What rtpengine is told of descriptions: any octets give something to ask or a clear refusal; and what it counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.media import End, Said
from b2bua.media.counted import streams
from b2bua.media.description import LARGEST
from b2bua.media.engine_words import MOST_MEDIA, crossed, described, offered
from b2bua.media.engines import read_answer
from b2bua.media.ng import Answer
from b2bua.sip.grammar import Malformed
from b2bua.sip.session import MAX_MEDIA

A = End("a", "outside", "192.0.2.1", "192.0.2.1", "198.51.100.7")
B = End("b", "inside", "2001:db8::1", "2001:db8::1", "2001:db8::7", "webrtc")
LINES = st.sampled_from([
    b"v=0", b"o=- 1 1 IN IP4 10.9.9.9", b"s=-", b"c=IN IP4 10.9.9.9", b"c=IN IP6 fd00::9", b"c=IN IP4 a.invalid",
    b"c=IN IP4 0.0.0.0", b"c=x", b"t=0 0", b"m=audio 4000 RTP/AVP 0", b"m=message 4 TCP/MSRP *", b"m=video 0 RTP/AVP 9",
    b"a=ice-ufrag:x", b"a=path:msrp://10.9.9.9", b"a=sendonly", b"a=\xff", b"", b"m=audio 99999 RTP/AVP 0", b"\0",
    b"a=candidate:1 1 UDP 1 10.9.9.8 4000 typ host", b"a=x-at:10.9.9.8", b"o=x", b"c=IN IP4 \xe9", b"c=IN IP6 \xff:",
    b"c=IN IP6 1:2:3:4:5:6:7:8:9", b"c=IN IP6 2001:db8::9%1", b"a=rtcp:1 IN IP6 \xe9::", b"a=rtcp:1 IN IP4 10.9.9.8",
])  # fmt: skip
TEXTS = st.lists(LINES, max_size=12).map(b"\r\n".join)


class TestWords(SynchronousTestCase):
    """Descriptions on their way in and out."""

    @given(st.one_of(st.binary(max_size=200), TEXTS, TEXTS.map(b"v=0\r\n".__add__)))
    def test_any_octets(self, text: bytes) -> None:
        """A value or a Malformed; and octets come back as they went."""
        try:
            ready = described(Said("word", "one", A, B, text), b"secret")
        except Malformed:
            return
        keys = offered(Said("word", "one", A, B, text), ready, {})
        try:
            self.assertNotIn(b"msrp://", crossed(keys["sdp"], Said("word", "one", A, B, text)))
        except Malformed:
            return
        self.assertEqual(keys["sdp"].encode("latin-1"), bytes(ready.session))

    def test_interfaces(self) -> None:
        """Both sides' where both have one, else rtpengine's first for both."""
        said = Said("word", "one", A, B, b"v=0\r\nc=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 0\r\n")
        ready = described(said, b"secret")
        self.assertEqual(offered(said, ready, {"outside": "x", "inside": "y"})["direction"], ["x", "y"])
        self.assertNotIn("direction", offered(said, ready, {"outside": "x"}))

    def refused(self, text: bytes, source: End = A, options: tuple[str, ...] = ()) -> bool:
        """Whether a description is refused; with 488 then."""
        try:
            described(Said("word", "one", source, B, b"v=0\r\n" + text, options), b"secret")
        except Malformed as fault:
            self.assertEqual(fault.status, 488)
            return True
        return False

    def test_too_large(self) -> None:
        """What might not fit into one datagram, there or back, is refused."""
        self.assertTrue(self.refused(b"a=x\r\n" * (LARGEST // 5)))
        self.assertFalse(self.refused(b"m=audio 4000 RTP/AVP 0\r\n" * MOST_MEDIA))
        self.assertTrue(self.refused(b"m=audio 4000 RTP/AVP 0\r\n" * (MOST_MEDIA + 1)))
        refused = b"m=audio 0 RTP/AVP 0\r\n" * (MAX_MEDIA - MOST_MEDIA)
        self.assertFalse(self.refused(refused + b"m=audio 4000 RTP/AVP 0\r\n" * MOST_MEDIA))
        for octet in (b"\0", b"\1", b"\x0b", b"\x1f", b"\x7f"):
            self.assertTrue(self.refused(b"s=a" + octet + b"\r\n"))
        self.assertFalse(self.refused(b"s=a\tb\xc3\xa9\r\n"))

    def told(self, host: str, signalling: str, more: bytes = b"", options: tuple[str, ...] = ()) -> str:
        """What rtpengine is to trust of a party at `signalling` that announces `host`; empty where it is refused."""
        where = f"c=IN IP{6 if ':' in host else 4} {host}\r\n".encode()
        text = where + b"m=audio 4000 RTP/AVP 0\r\n" + more
        source = A._replace(signalling=signalling)
        if self.refused(text, source, options):
            return ""
        said = Said("word", "one", source, B, b"v=0\r\n" + text, options)
        keys = offered(said, described(said, b"secret"), {})
        (found,) = [flag for flag in keys["flags"] if flag in ("trust-address", "SIP-source-address")]
        self.assertEqual("received from" in keys, found == "SIP-source-address")
        return found

    def test_nobody_points_inside(self) -> None:
        """From outside nobody is met at an address that means something else here, of whichever family."""
        own, theirs, refused = "trust-address", "SIP-source-address", ""
        four, six, inside = "198.51.100.7", "2001:db8::7", "10.0.0.9"
        for host, signalling, expected in (
            ("203.0.113.1", four, own), ("2001:db8::9", four, own), ("203.0.113.1", six, own), ("0.0.0.0", four, own),
            ("10.0.0.8", four, theirs), ("127.0.0.1", four, theirs), ("224.0.0.1", four, theirs),
            ("::ffff:127.0.0.1", four, theirs), ("::ffff:10.0.0.8", four, theirs), ("::ffff:203.0.113.1", four, own),
            ("::1", four, refused), ("fd00::5", four, refused), ("fe80::1", four, refused), ("ff02::1", four, refused),
            ("10.0.0.8", six, refused), ("::ffff:10.0.0.8", six, refused), ("fd00::5", six, theirs),
            ("10.0.0.8", inside, own), ("fd00::5", inside, own), ("::1", inside, refused),
            ("127.0.0.1", inside, theirs), ("1:2:3:4:5:6:7:8:9", six, refused), ("fe80::1%eth0", six, refused),
            ("fd00::5", "fe80::1%eth0", own),
        ):  # fmt: skip
            self.assertEqual(self.told(host, signalling), expected, (host, signalling))
        self.assertEqual(self.told("203.0.113.1", four, b"a=rtcp:4001 IN IP4 127.0.0.1\r\n"), theirs)
        self.assertEqual(self.told("203.0.113.1", four, b"a=rtcp:4001 IN IP6 ::1\r\n"), refused)
        self.assertEqual(self.told("fd00::5", four, b"a=ice-ufrag:x\r\n"), theirs)  # ICE finds the party
        self.assertEqual(self.told("fd00::5", four, options=("trust-address",)), own)
        self.assertEqual(self.told("203.0.113.1", four, options=("SIP-source-address",)), theirs)

    @given(st.one_of(st.text(max_size=200), TEXTS.map(lambda text: f"v=0\r\n{text.decode('latin-1')}")))
    def test_any_answer(self, text: str) -> None:
        """Whatever a daemon says: octets or a Malformed."""
        try:
            self.assertIsInstance(crossed(text, Said("word", "one", A, B, b"v=0")), bytes)
        except Malformed:
            pass

    def test_said_once(self) -> None:
        """A flag that a route says too."""
        options = ("strict-source", "SIP-source-address", "generate-mid")
        said = Said("word", "one", A, B, b"v=0\r\nc=IN IP4 10.0.0.8\r\nm=audio 4000 RTP/AVP 0\r\n", options)
        self.assertEqual(sorted(offered(said, described(said, b"secret"), {})["flags"]), sorted(options))

    def test_answers(self) -> None:
        """None, an error of the description's, another, and what is no description."""
        said = Said("word", "one", A, B, b"")
        answers: list[tuple[Answer | None, int]] = [
            (None, 503),
            ({"result": "error", "error-reason": "Failed to parse SDP"}, 488),
            ({"result": "error", "error-reason": "Ran out of ports"}, 503),
            ({"result": "load limit", "message": "Parallel session limit reached"}, 503),
            ({"result": "ok"}, 503),
            ({"result": "ok", "sdp": "hello"}, 503),
            ({"result": "ok", "sdp": "v=0\r\ns=\u20ac\r\n"}, 503),
            ({"result": "ok", "sdp": 7}, 503),
        ]
        for answer, status in answers:
            result = read_answer(answer, said)
            assert isinstance(result, Malformed)
            self.assertEqual(result.status, status, answer)


class TestCounted(SynchronousTestCase):
    """What rtpengine counted."""

    def test_lost_and_idle(self) -> None:
        """What is lost is known of those that report; how long nothing came, by rtpengine's own clock."""
        rtp = {
            "local address": "2001:db8::1",
            "local port": 30000,
            "endpoint": {"address": "192.0.2.7", "port": 4000},
            "last packet": 1012,
            "SSRC": 4711,
            "stats": {"packets": 10, "bytes": 1720},
        }
        theirs = {**rtp, "SSRC": 4712, "stats": {}}
        answer: Answer = {
            "created": 1000,
            "created_us": 500000,
            "SSRC": {"4711": {"cumulative loss": 9}, "4712": {"cumulative loss": 3}, "x": 1},
            "tags": {
                "t": {
                    "subscribers": [{"tag": "nobody"}, {"tag": "odd"}, {"tag": "u"}],
                    "medias": [{"index": 1, "type": "audio", "streams": [rtp, {}]}, {"type": "video", "streams": []}],
                },
                "u": {"medias": [{"index": 2, "streams": [rtp]}, {"index": 1, "type": "audio", "streams": [theirs]}]},
                "odd": {"medias": [1, {"streams": 2}, {"index": 1, "streams": [{}]}]},
                "odder": 3,
            },
        }
        words = {"t": "a", "odd": "b", "odder": "c"}
        one, two = streams(answer, lambda tag: words.get(tag, ""), 20.0)
        self.assertEqual(one, ("a", "audio", "[2001:db8::1]:30000", "192.0.2.7:4000", 10, 1720, 3, 8.5))
        self.assertEqual(two, ("b", "", "", "", 0, 0, None, None))
        self.assertEqual(streams({}, str, 1.0), [])
