"""S44: session descriptions as one leg says them."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.grammar import Malformed
from b2bua.sip.sdp import OwnedSdp, describes, description, own

OFFER = b"""\
v=0
o=alice 2890844526 2890844527 IN IP4 pbx.inside.example
s=Call of Alice
i=about inside matters
u=http://inside.example/
e=alice@inside.example (Alice)
p=+1 617 555-6011
c=IN IP4 203.0.113.10
b=AS:64
t=0 0
m=audio 49170 RTP/AVP 0 8
i=Alice's microphone
a=rtpmap:0 PCMU/8000
a=o=not an origin
m=video 0 RTP/AVP 31
""".replace(b"\n", b"\r\n")
OWNED = b"""\
v=0
o=- 77 3 IN IP4 192.0.2.1
s=-
c=IN IP4 203.0.113.10
b=AS:64
t=0 0
m=audio 49170 RTP/AVP 0 8
a=rtpmap:0 PCMU/8000
a=o=not an origin
m=video 0 RTP/AVP 31
""".replace(b"\n", b"\r\n")
SMALL = b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=x\r\nt=0 0\r\n"


def ours(body: bytes) -> bytes:
    """The body as the leg of these tests says it."""
    return own(body, "77", 3, "192.0.2.1")


def reference(body: bytes) -> bytes:
    """What `ours` does to a description in which every line ends with CRLF, said in the plainest way."""
    lines = [line for line in body.split(b"\r\n") if line[:2] not in (b"o=", b"s=", b"i=", b"u=", b"e=", b"p=")]
    return b"\r\n".join([lines[0], b"o=- 77 3 IN IP4 192.0.2.1", b"s=-", *lines[1:]])


class TestOwn(SynchronousTestCase):
    """One description."""

    def test_whole(self) -> None:
        """S44: o= and s= are the leg's; i=, u=, e=, p= are gone; all else is there byte for byte."""
        self.assertEqual(ours(OFFER), OWNED)
        self.assertEqual(reference(OFFER), OWNED)

    def test_ipv6(self) -> None:
        """RFC 8866 5.2: the address type is the address's; no brackets (S12)."""
        self.assertIn(b"o=- 77 4 IN IP6 2001:db8::1\r\n", own(OFFER, "77", 4, "2001:db8::1"))

    def test_line_ends(self) -> None:
        """RFC 8866 5: LF alone is read too, and kept; so are empty lines at the end, and an end left out."""
        self.assertEqual(ours(OFFER.replace(b"\r\n", b"\n")), OWNED.replace(b"\r\n", b"\n"))
        self.assertEqual(ours(OFFER + b"\r\n\r\n"), OWNED + b"\r\n\r\n")
        self.assertEqual(ours(OFFER[:-2]), OWNED[:-2])
        self.assertEqual(ours(b"v=0\r\ns=a\nt=0 0\ni=b"), b"v=0\r\no=- 77 3 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0")
        self.assertEqual(ours(b"v=0\r\nt=0 0\r\ni=b"), b"v=0\r\no=- 77 3 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n")
        self.assertEqual(ours(b"v=0\ni=b"), b"v=0\no=- 77 3 IN IP4 192.0.2.1\ns=-")

    def test_origin_missing_or_twice(self) -> None:
        """There is one origin and one name, where they belong, whatever came."""
        body = b"v=0\r\nt=0 0\r\no=a 1 1 IN IP4 h\r\ns=x\r\ns=y\r\nm=audio 1 RTP/AVP 0\r\no=b 1 1 IN IP4 h\r\n"
        self.assertEqual(ours(body), b"v=0\r\no=- 77 3 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\n")

    def test_malformed(self) -> None:
        """What two readers could take for different things, or is no SDP, is refused (RFC 8866 5)."""
        for body in (
            b"", b"v=0", b"v=0\r\n", b"v=1\r\no=-\r\n", b"o=- 1 1 IN IP4 a\r\nv=0\r\n", b" v=0\r\ns=-\r\n", b"hello",
            b"v=0\r\na=x\ro=evil\r\n", b"v=0\ro=a\rs=-\r", b"v=0\r\na=\x00\r\n", b"v=0\r\nO=a\r\n", b"v=0\r\n o=a\r\n",
            b"v=0\r\ns=-\r\n\r\no=a\r\n", b"v=0\r\n=a\r\n", b"v=0\r\nab=a\r\n", b"v=0\r\n\r\n", b"v=0\r\no=a\r\n\x00",
        ):  # fmt: skip
            error = self.assertRaises(Malformed, ours, body)
            self.assertEqual(error.status, 400, body)

    @settings(deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes(self, body: bytes) -> None:
        """Any bytes give a description or Malformed."""
        for whole in (body, b"v=0\r\n" + body):
            try:
                self.assertTrue(ours(whole).startswith(b"v=0"))
            except Malformed:
                pass

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(b"osiuepcbtmazkr"), st.text("o=:s i0", max_size=6)), min_size=1))
    def test_any_lines(self, lines: list[tuple[int, str]]) -> None:
        """In any order and number of lines, the right ones go, and what came out comes out again the same."""
        body = b"v=0\r\n" + b"".join(b"%c=%s\r\n" % (kind, text.encode()) for kind, text in lines)
        self.assertEqual(ours(body), reference(body))
        self.assertEqual(ours(ours(body)), ours(body))

    def test_linear(self) -> None:
        """A body of a megabyte is read or refused at once, whatever is in it."""
        for piece in (b"a", b"i=\r\n", b"\r\n", b"a=\n", b"\r", b"a=\r\n\r\n", b"o=\r"):
            began = time.process_time()
            try:
                ours(b"v=0\r\n" + piece * (2**20 // len(piece)))
            except Malformed:
                pass
            self.assertLess(time.process_time() - began, 5.0)


class TestOwnedSdp(SynchronousTestCase):
    """The origin of a leg over its life."""

    def setUp(self) -> None:
        """A leg."""
        self.sdp = OwnedSdp("77", "192.0.2.1")

    def version(self, body: bytes) -> int:
        """The version that a body goes out with."""
        out = self.sdp.own(body)
        return int(out[out.index(b"o=- 77 ") :].split()[2])

    def test_version_rises_on_change(self) -> None:
        """RFC 3264 5, 8: one higher when the description changed, the same when it did not."""
        hold = OFFER + b"a=sendonly\r\n"
        self.assertEqual([self.version(body) for body in (OFFER, OFFER, hold, hold, OFFER)], [1, 1, 2, 2, 3])
        self.assertEqual(self.sdp.version, 3)

    def test_only_what_crosses_counts(self) -> None:
        """Another o=, s= or i= alone is no change: nothing of it is seen on the far side."""
        self.assertEqual(self.version(OFFER), 1)
        self.assertEqual(self.version(OFFER.replace(b"2890844527", b"2890844528").replace(b"Alice", b"Bob")), 1)

    def test_session_id_stays(self) -> None:
        """RFC 8866 5.2: sess-id and address are the leg's own throughout."""
        self.assertEqual(self.sdp.own(OFFER), OWNED.replace(b"77 3", b"77 1"))
        again = OwnedSdp("77", "192.0.2.1", version=41)
        self.assertIn(b"o=- 77 42 IN IP4 192.0.2.1\r\n", again.own(OFFER))

    def test_malformed_changes_nothing(self) -> None:
        """A description that was refused leaves the version alone."""
        self.assertEqual(self.version(OFFER), 1)
        self.assertRaises(Malformed, self.sdp.own, b"v=0")
        self.assertEqual(self.version(OFFER), 1)

    def test_several_at_once(self) -> None:
        """RFC 3264 5: the descriptions of one message have one origin, and one version whatever changed in them."""
        said = self.sdp.own_all([OFFER, SMALL])
        self.assertEqual(said[0], OWNED.replace(b"77 3", b"77 1"))
        self.assertIn(b"o=- 77 1 IN IP4 192.0.2.1\r\n", said[1])
        self.assertEqual(self.sdp.own_all([OFFER, SMALL]), said)
        self.assertEqual([b"77 2" in each for each in self.sdp.own_all([OFFER, OFFER])], [True, True])
        self.assertRaises(Malformed, self.sdp.own_all, [SMALL, b"v=0"])
        self.assertEqual((self.sdp.own_all([]), self.sdp.version), ([], 2))

    def test_one_in_parts_is_the_same_one(self) -> None:
        """The same description alone or among other parts is no change."""
        self.assertEqual([self.sdp.own(OFFER)], self.sdp.own_all([OFFER]))

    def test_description(self) -> None:
        """The body itself, the first of its parts that is one, or none."""
        parts = b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\nContent-Type: Application/SDP\r\n\r\n"
        parts += SMALL + b"\r\n--x--"
        for content_type, body, wanted in (
            ("application/sdp", SMALL, SMALL),
            ("Application / SDP;charset=utf-8", SMALL, SMALL),
            ("multipart/mixed;boundary=x", parts, SMALL),
            ("multipart/mixed;boundary=x", b"--x\r\n\r\nhi\r\n--x--", b""),
            ("text/plain", SMALL, b""),
            ("application/sdp", b"", b""),
        ):
            self.assertEqual(description(body, content_type), wanted, content_type)
        self.assertRaises(Malformed, description, b"nothing", "multipart/mixed;boundary=x")

    def test_describes(self) -> None:
        """RFC 3261 7.4.1: media types do not heed case, and may have blanks and parameters."""
        for content_type in (
            "application/sdp",
            "Application/SDP",
            "application / sdp ;charset=utf-8",
            "multipart/mixed;boundary=a",
        ):
            self.assertTrue(describes(content_type), content_type)
        for content_type in (
            "",
            "text/plain",
            "application/sdpx",
            "application/isup;version=itu-t",
            "x-multipart/mixed",
        ):
            self.assertFalse(describes(content_type), content_type)
