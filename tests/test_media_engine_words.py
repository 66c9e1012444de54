"""What rtpengine is told of descriptions: any octets give something to ask or a clear refusal; and what it counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.media import End, Said
from b2bua.media.counted import streams
from b2bua.media.engine_words import LARGEST, crossed, described, offered
from b2bua.media.engines import read_answer
from b2bua.media.ng import Answer
from b2bua.sip.grammar import Malformed

A = End("a", "outside", "192.0.2.1", "192.0.2.1", "198.51.100.7")
B = End("b", "inside", "2001:db8::1", "2001:db8::1", "2001:db8::7", "webrtc")
LINES = st.sampled_from([
    b"v=0", b"o=- 1 1 IN IP4 10.9.9.9", b"s=-", b"c=IN IP4 10.9.9.9", b"c=IN IP6 fd00::9", b"c=IN IP4 a.invalid",
    b"c=IN IP4 0.0.0.0", b"c=x", b"t=0 0", b"m=audio 4000 RTP/AVP 0", b"m=message 4 TCP/MSRP *", b"m=video 0 RTP/AVP 9",
    b"a=ice-ufrag:x", b"a=path:msrp://10.9.9.9", b"a=sendonly", b"a=\xff", b"", b"m=audio 99999 RTP/AVP 0", b"\0",
    b"a=candidate:1 1 UDP 1 10.9.9.8 4000 typ host", b"a=x-at:10.9.9.8", b"o=x",
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
            self.assertNotIn(b"msrp://", crossed(keys["sdp"], B))
        except Malformed:
            return
        self.assertEqual(keys["sdp"].encode("latin-1"), bytes(ready.session))

    def test_interfaces(self) -> None:
        """Both sides' where both have one, else rtpengine's first for both."""
        said = Said("word", "one", A, B, b"v=0\r\nc=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 0\r\n")
        ready = described(said, b"secret")
        self.assertEqual(offered(said, ready, {"outside": "x", "inside": "y"})["direction"], ["x", "y"])
        self.assertNotIn("direction", offered(said, ready, {"outside": "x"}))

    def test_too_large(self) -> None:
        """What might not fit into one datagram is refused."""
        with self.assertRaises(Malformed) as caught:
            described(Said("word", "one", A, B, b"v=0\r\n" + b"a=x\r\n" * (LARGEST // 5)), b"secret")
        self.assertEqual(caught.exception.status, 488)

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
