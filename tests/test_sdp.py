"""S44: session descriptions as one leg says them."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.grammar import Malformed
from b2bua.sip.sdp import MAX_DEPTH, MAX_PARTS, OwnedSdp, describes, own

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
# As in RFC 4475 3.1.1.11: text, and octets of every kind with line ends and NULs among them.
BINARY = bytes(range(256)) + b"\r\n\n\r--" + bytes(range(255, -1, -1))


def ours(body: bytes) -> bytes:
    """The body as the leg of these tests says it."""
    return own(body, "77", 3, "192.0.2.1")


def reference(body: bytes) -> bytes:
    """What `ours` does to a description in which every line ends with CRLF, said in the plainest way."""
    lines = [line for line in body.split(b"\r\n") if line[:2] not in (b"o=", b"s=", b"i=", b"u=", b"e=", b"p=")]
    return b"\r\n".join([lines[0], b"o=- 77 3 IN IP4 192.0.2.1", b"s=-", *lines[1:]])


def multipart(*parts: bytes, boundary: bytes = b"abc", before: bytes = b"", after: bytes = b"\r\n") -> bytes:
    """A multipart body."""
    return before + b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--" % boundary + after


def part(content_type: bytes, body: bytes) -> bytes:
    """A body part."""
    return b"Content-Type: %s\r\n\r\n%s" % (content_type, body)


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

    def version(self, body: bytes, content_type: str = "application/sdp") -> int:
        """The version that a body goes out with."""
        out = self.sdp.own(body, content_type)
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

    def test_other_bodies_pass(self) -> None:
        """What is no session description crosses as it is."""
        for content_type in ("text/plain", "application/isup", "message/sipfrag", ""):
            self.assertEqual(self.sdp.own(OFFER, content_type), OFFER)
        self.assertEqual(self.sdp.version, 0)

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
        self.assertEqual(self.sdp.own(OFFER, "APPLICATION/SDP; charset=utf-8"), OWNED.replace(b"77 3", b"77 1"))


class TestMultipart(SynchronousTestCase):
    """S38 in small: descriptions within multipart bodies are owned, all else is untouched."""

    MIXED = "multipart/mixed;boundary=abc"

    def setUp(self) -> None:
        """A leg."""
        self.sdp = OwnedSdp("77", "192.0.2.1", version=2)

    def check_malformed(self, body: bytes, content_type: str = MIXED, status: int = 400) -> None:
        """The body is refused, and the version stays."""
        error = self.assertRaises(Malformed, self.sdp.own, body, content_type)
        self.assertEqual(error.status, status)
        self.assertEqual(self.sdp.version, 2)

    def test_without_sdp(self) -> None:
        """RFC 4475 3.1.1.11: a body with NULs and all other octets, but no SDP, is not touched."""
        body = multipart(part(b"text/plain", b"Hello"), part(b"application/octet-stream", BINARY))
        self.assertIs(self.sdp.own(body, self.MIXED), body)
        self.assertEqual(self.sdp.version, 2)

    def test_sdp_among_others(self) -> None:
        """The description is owned; the parts around it, preamble and epilogue are the same octets."""
        isup = part(b"application/isup;version=itu-t92+", BINARY)
        headers = b"Content-ID: <a@b>\r\nContent-Type: application/sdp\r\nContent-Disposition: session\r\n\r\n"
        for before, after in ((b"", b""), (b"preamble\r\n", b"  \r\nepilogue --abc\r\n--abc")):
            body = multipart(headers + OFFER[:-2], isup, before=before, after=after)
            expected = multipart(headers + OWNED[:-2], isup, before=before, after=after)
            self.sdp.version, self.sdp._last = 2, None
            self.assertEqual(self.sdp.own(body, self.MIXED), expected)
        self.assertEqual(self.sdp.own(body, 'MULTIPART/Mixed; x=y; boundary="abc"'), expected)
        self.assertEqual(self.sdp.version, 3)

    def test_nested(self) -> None:
        """Descriptions within each other's bodies have the same origin."""
        inner = multipart(part(b"application/sdp", SMALL), part(b"text/plain", b"a"), boundary=b"in")
        kind = b"multipart/alternative; boundary=in"
        body = multipart(part(kind, inner), part(b"application/sdp", SMALL))
        out = self.sdp.own(body, self.MIXED)
        self.assertEqual(out.count(b"o=- 77 3 IN IP4 192.0.2.1\r\ns=-\r\n"), 2)
        self.assertNotIn(b"10.0.0.1", out)
        self.assertEqual(out.replace(b"- 77 3 IN IP4 192.0.2.1\r\ns=-", b"- 1 1 IN IP4 10.0.0.1\r\ns=x"), body)

    def test_length_of_a_part(self) -> None:
        """A length that would be wrong afterwards is taken out; one that stays right is not."""
        text = part(b"text/plain\r\nContent-Length: 1", b"a")
        body = multipart(part(b"application/sdp\r\ncontent-length : 44", SMALL), text)
        out = self.sdp.own(body, self.MIXED)
        self.assertIn(b"--abc\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n", out)
        self.assertIn(text, out)

    def test_parts_without_headers(self) -> None:
        """RFC 2046 5.1: a part may have no headers, no body, or nothing at all; it is text then."""
        for parts in ((b"\r\nv=0",), (b"",), (b"Content-Type: text/plain",), (b"", b"\r\n\r\na", b"X: y\r\n\r\n")):
            body = multipart(*parts)
            self.assertIs(self.sdp.own(body, self.MIXED), body)

    def test_folded_header(self) -> None:
        """RFC 2046 5.1: headers of parts may be folded."""
        out = self.sdp.own(multipart(part(b"\r\n application/sdp", SMALL)), self.MIXED)
        self.assertIn(b"\r\n\r\nv=0\r\no=- 77 3 ", out)

    def test_boundary(self) -> None:
        """RFC 2046 5.1.1: a multipart body has a boundary of characters that stand in one."""
        body = multipart(part(b"text/plain", b"a"))
        for params in ("", ";boundary", ";boundary=", ';boundary=""', ';boundary="abc "', f";boundary={'a' * 71}",
                       ";boundary=abc;boundary=def", ';boundary="abc', ";boundary=a\u00e9"):  # fmt: skip
            self.check_malformed(body, f"multipart/mixed{params}")
        odd = multipart(part(b"text/plain", b"a"), boundary=b"a b'()+_,-./:=?")
        self.assertIs(self.sdp.own(odd, 'multipart/mixed;boundary="a b\'()+_,-./:=?"'), odd)

    def test_broken(self) -> None:
        """Bodies without parts or end, and lines that only some take for a boundary."""
        good = part(b"text/plain", b"a")
        for body in (
            b"", b"hello", b"--abc\r\n", b"--abc--\r\n", b"--abc\r\n" + good, multipart(good, boundary=b"ab"),
            multipart(good).replace(b"\r\n", b"\n"), multipart(part(b"text/plain", b"a\n--abc\r\nb")),
            multipart(part(b"text/plain", b"a\r\n--abcd\r\nb")), multipart(part(b"text/plain", b"a\r\n--abc\nb")),
            multipart(good, before=b"\n"), multipart(good, after=b"x"), multipart(part(b"application/sdp", b"hello")),
            multipart(b"Content-Type: application/sdp"), multipart(b"no header\r\n\r\na"),
            multipart(b"X: \x00\n\r\n\r\na"),
            multipart(part(b"text/plain\r\nCONTENT-TYPE: application/sdp", SMALL)), multipart(BINARY),
            multipart(b"Content-Type: application/sdp\n\n" + SMALL),
        ):  # fmt: skip
            self.check_malformed(body)

    def test_encoded(self) -> None:
        """RFC 3261 7.4.1: a description in base64 cannot be owned, and what cannot be owned does not cross."""
        self.check_malformed(
            multipart(part(b"application/sdp\r\nContent-Transfer-Encoding: base64", b"dj0w")), status=415
        )
        plain = multipart(part(b"application/sdp\r\nContent-Transfer-Encoding: 8BIT", SMALL))
        self.assertIn(b"o=- 77 3 ", self.sdp.own(plain, self.MIXED))

    def test_limits(self) -> None:
        """No more than so many parts, and no deeper than so many bodies."""
        good = part(b"text/plain", b"a")
        body = multipart(*[good] * MAX_PARTS)
        self.assertIs(self.sdp.own(body, self.MIXED), body)
        self.check_malformed(multipart(*[good] * (MAX_PARTS + 1)))
        self.check_malformed(multipart(*[good] * 6000))
        for depth, fits in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False), (120, False)):
            body = good
            for level in range(depth):
                mark = b"%03d" % level
                body = part(b"multipart/mixed;boundary=" + mark, multipart(body, boundary=mark))
            body, kind = body.partition(b"\r\n\r\n")[2], f"multipart/mixed;boundary={depth - 1:03d}"
            if fits:
                self.assertIs(self.sdp.own(body, kind), body)
            else:
                self.check_malformed(body, kind)

    @settings(deadline=None, max_examples=300)
    @given(
        st.lists(
            st.sampled_from(
                [
                    b"--abc",
                    b"--",
                    b"\r\n",
                    b"\n",
                    b"\r",
                    b"--abc\r\n",
                    b"\r\n--abc--",
                    b"Content-Type",
                    b":",
                    b" ",
                    b"a",
                ]
                + [
                    b"application/sdp",
                    b"\r\n\r\n",
                    b"multipart/mixed;boundary=abc",
                    b"v=0\r\n",
                    b"o=x\r\n",
                    b"\x00\xff",
                ]
            )
        ),
        st.sampled_from([MIXED, "application/sdp", "text/plain", "multipart/mixed", "multipart/;boundary=a"])
        | st.text(),
    )
    def test_any_pieces(self, pieces: list[bytes], content_type: str) -> None:
        """Any pieces in any order give a body or Malformed."""
        try:
            self.assertIsInstance(OwnedSdp("77", "::1").own(b"".join(pieces), content_type), bytes)
        except Malformed:
            pass

    def test_linear(self) -> None:
        """A megabyte of what looks like boundaries or headers costs no more than a megabyte."""
        head = b"--abc\r\nContent-Type: application/sdp\r\n"
        for piece in (b"--abc", b"\n--abc", b"x--abc\r\n", b"X: a\r\n", b" ", b"\r\n ", b"X:", b"X"):
            for start in (b"", head, b"--abc\r\nX: "):
                began = time.process_time()
                try:
                    self.sdp.own(start + piece * (2**20 // len(piece)), self.MIXED)
                except Malformed:
                    pass
                self.assertLess(time.process_time() - began, 5.0, (start, piece))
