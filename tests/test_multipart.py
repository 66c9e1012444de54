"""S38: bodies of several parts, read and written, and carried part by part."""

from __future__ import annotations

import time
from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.body import Exceptions
from b2bua.sip.grammar import Malformed
from b2bua.sip.multipart import MAX_DEPTH, MAX_PARTS, Multipart, read
from tests import hostile
from tests.crossing import Told
from tests.test_bodies import FOLDER
from tests.test_sdp import OFFER, OWNED, SMALL

# As in RFC 4475 3.1.1.11: text, and octets of every kind with line ends and NULs among them.
BINARY = bytes(range(256)) + b"\r\n\n\r--" + bytes(range(255, -1, -1))
MIXED = "multipart/mixed;boundary=abc"
OURS = OWNED.replace(b"77 3 IN IP4 192.0.2.1", b"77 1 IN IP4 10.0.0.1")


def multipart(*parts: bytes, boundary: bytes = b"abc", before: bytes = b"", after: bytes = b"\r\n") -> bytes:
    """A multipart body."""
    return before + b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--" % boundary + after


def part(content_type: bytes, body: bytes) -> bytes:
    """A body part."""
    return b"Content-Type: %s\r\n\r\n%s" % (content_type, body)


def nested(depth: int) -> tuple[bytes, str]:
    """Multipart bodies within each other."""
    body = part(b"text/plain", b"a")
    for level in range(depth):
        mark = b"%03d" % level
        body = part(b"multipart/mixed;boundary=" + mark, multipart(body, boundary=mark))
    return body.partition(b"\r\n\r\n")[2], f"multipart/mixed;boundary={depth - 1:03d}"


def written(whole: Multipart) -> tuple[bytes, str]:
    """A body with the boundaries 1, 2 …"""
    return whole.write(str(number) for number in count(1))


class TestReading(SynchronousTestCase):
    """RFC 2046 5.1."""

    def check_malformed(self, body: bytes, content_type: str = MIXED, status: int = 400) -> None:
        """The body is refused."""
        self.assertEqual(self.assertRaises(Malformed, read, body, content_type).status, status, body)

    def test_octet_for_octet(self) -> None:
        """RFC 4475 3.1.1.11: parts with NULs and all other octets leave as they came."""
        parts = (
            part(b"text/plain", b"Hello"),
            b"Content-type:application/x\r\nX: y\r\n z\r\n\r\n" + BINARY,
            b"\r\nno headers",
        )
        whole = read(multipart(*parts), MIXED)
        self.assertEqual([each.body for each in whole.leaves()], [b"Hello", BINARY, b"no headers"])
        self.assertEqual(written(whole), (multipart(*parts, boundary=b"1"), "1"))

    def test_preamble_and_epilogue(self) -> None:
        """RFC 2046 5.1.1: what stands around the parts is not kept, nor are blanks after a boundary."""
        good = part(b"text/plain", b"a")
        body = multipart(good, before=b"preamble\r\n", after=b"  \r\nepilogue --abc\r\n--abc").replace(
            b"--abc\r\nC", b"--abc \t\r\nC"
        )
        self.assertEqual(written(read(body, MIXED))[0], multipart(good, boundary=b"1"))

    def test_boundary(self) -> None:
        """RFC 2046 5.1.1: a multipart body has a boundary of characters that stand in one."""
        body = multipart(part(b"text/plain", b"a"))
        for params in ("", ";boundary", ";boundary=", ';boundary=""', ';boundary="abc "', f";boundary={'a' * 71}",
                       ";boundary=abc;boundary=def", ';boundary="abc', ";boundary=a\u00e9"):  # fmt: skip
            self.check_malformed(body, f"multipart/mixed{params}")
        odd = multipart(part(b"text/plain", b"a"), boundary=b"a b'()+_,-./:=?")
        self.assertEqual(len(read(odd, 'multipart/mixed;boundary="a b\'()+_,-./:=?"').parts), 1)
        self.assertEqual(len(read(body, 'MULTIPART/Mixed; x=y; Boundary="abc"').parts), 1)

    def test_broken(self) -> None:
        """Bodies without parts or end, and lines that only some take for a boundary."""
        good = part(b"text/plain", b"a")
        for body in (
            b"", b"hello", b"--abc\r\n", b"--abc--\r\n", b"--abc\r\n" + good, multipart(good, boundary=b"ab"),
            multipart(good).replace(b"\r\n", b"\n"), multipart(part(b"text/plain", b"a\n--abc\r\nb")),
            multipart(part(b"text/plain", b"a\r\n--abcd\r\nb")), multipart(part(b"text/plain", b"a\r\n--abc\nb")),
            multipart(good, before=b"\n"), multipart(good, after=b"x"), multipart(b"no header\r\n\r\na"),
            multipart(b"X: \x00\n\r\n\r\na"), multipart(BINARY),
            multipart(part(b"text/plain\r\nCONTENT-TYPE: application/sdp", SMALL)),
            multipart(b"Content-Type: application/sdp\n\n" + SMALL), multipart(part(b"multipart/mixed", b"a")),
        ):  # fmt: skip
            self.check_malformed(body)

    def test_parts_without_headers(self) -> None:
        """RFC 2046 5.1: a part may have no headers, no body, or nothing at all; it is text then."""
        for parts in ((b"\r\nv=0",), (b"",), (b"Content-Type: text/plain",), (b"", b"\r\n\r\na", b"X: y\r\n\r\n")):
            whole = read(multipart(*parts), MIXED)
            self.assertEqual({each.content_type for each in whole.parts}, {"text/plain"})
            self.assertEqual(len(read(written(whole)[0], "multipart/mixed;boundary=1").parts), len(parts))

    def test_limits(self) -> None:
        """No more than so many parts, and no deeper than so many bodies."""
        good = part(b"text/plain", b"a")
        self.assertEqual(len(read(multipart(*[good] * MAX_PARTS), MIXED).parts), MAX_PARTS)
        self.check_malformed(multipart(*[good] * (MAX_PARTS + 1)))
        self.check_malformed(multipart(*[good] * 6000))
        self.assertEqual(len(list(read(*nested(MAX_DEPTH)).every())), MAX_DEPTH)
        self.check_malformed(*nested(MAX_DEPTH + 1))
        self.check_malformed(*nested(120))

    def test_encoded(self) -> None:
        """RFC 2045 6.4: parts cannot be encoded together."""
        inner = multipart(part(b"text/plain", b"a"), boundary=b"in")
        kind = b"multipart/mixed;boundary=in\r\nContent-Transfer-Encoding: "
        self.check_malformed(multipart(part(kind + b"base64", inner)), status=415)
        self.assertEqual(len(list(read(multipart(part(kind + b"8BIT", inner)), MIXED).leaves())), 1)

    @given(
        st.lists(
            st.sampled_from([b"--abc", b"--", b"\r\n", b"\n", b"\r", b"--abc\r\n", b"\r\n--abc--", b"Content-Type",
                             b":", b" ", b"a", b"application/sdp", b"\r\n\r\n", b"multipart/mixed;boundary=abc",
                             b"v=0\r\n",
                             b"o=x\r\n", b"\x00\xff", b"Content-ID: <a>", b"message/cpim", b"message/sipfrag"])
        ),
        st.sampled_from([MIXED, "application/sdp", "text/plain", "multipart/mixed", "multipart/;boundary=a"])
        | hostile.TEXTS,
    )  # fmt: skip
    def test_any_pieces(self, pieces: list[bytes], content_type: str) -> None:
        """Any pieces in any order, with any Content-Type, give a body or Malformed."""
        body = b"".join(pieces)
        for whole in (body, b"--abc\r\n" + body + b"\r\n--abc--\r\n"):
            try:
                said, kind = Told().carry(whole, content_type)
                self.assertFalse(said and not kind)
                if kind.startswith("multipart/"):
                    self.assertIsInstance(read(said, kind), Multipart)
            except Malformed:
                pass

    def test_linear(self) -> None:
        """A megabyte of what looks like boundaries or headers costs no more than a megabyte."""
        head = b"--abc\r\nContent-Type: application/sdp\r\n"
        for piece in (b"--abc", b"\n--abc", b"x--abc\r\n", b"X: a\r\n", b" ", b"\r\n ", b"X:", b"X", b"\r\n--abc\r\n"):
            for start in (b"", head, b"--abc\r\nX: "):
                began = time.process_time()
                try:
                    read(start + piece * (2**20 // len(piece)), MIXED)
                except Malformed:
                    pass
                self.assertLess(time.process_time() - began, 5.0, (start, piece))


class TestCarrying(SynchronousTestCase):
    """Part by part."""

    def setUp(self) -> None:
        self.told = Told()

    def left(self, body: bytes, content_type: str = MIXED) -> bytes:
        """What is left of a body, with the boundary that it came with."""
        said, kind = self.told.carry(body, content_type)
        if not kind:
            self.assertEqual(said, b"")
            return said
        mark = kind.partition("boundary=")[2].encode()
        self.assertNotIn(mark, body)
        return said.replace(mark, b"abc")

    def test_sdp_among_others(self) -> None:
        """S44: the description is the leg's own; ISUP beside it is the same octets, and handling stays (RFC 3204)."""
        isup = (
            b"Content-Type: application/isup;version=nxv3;base=etsi121\r\n"
            b"Content-Disposition: signal;handling=optional\r\n\r\n" + BINARY
        )
        sdp = b"Content-Type: application/sdp\r\nContent-Disposition: session\r\n\r\n"
        self.assertEqual(self.left(multipart(sdp + OFFER, isup)), multipart(sdp + OURS, isup))
        again = self.left(multipart(isup, sdp + OFFER + b"a=sendonly\r\n"))
        self.assertIn(b"o=- 77 2 IN", again)

    def test_other_spellings(self) -> None:
        """RFC 3261 7.4.1: a media type does not heed case; headers of parts may be folded."""
        for kind in (b"APPLICATION/SDP; charset=utf-8;x=10.11.12.13", b"\r\n application / sdp"):
            out = self.left(multipart(part(kind, SMALL)))
            self.assertIn(b"o=- 77 1 IN IP4 10.0.0.1\r\ns=-\r\n", out)
            self.assertNotIn(b"10.11.12.13", out)

    def test_one_version(self) -> None:
        """Descriptions within each other's bodies have the same origin."""
        inner = multipart(part(b"application/sdp", SMALL), part(b"text/plain", b"a"), boundary=b"in")
        out = self.left(multipart(part(b"multipart/alternative; boundary=in", inner), part(b"application/sdp", OFFER)))
        self.assertEqual(out.count(b"o=- 77 1 IN IP4 10.0.0.1\r\ns=-\r\n"), 2)
        self.assertNotIn(b"in--", out)
        self.assertEqual([len(each.parts) for each in read(out, MIXED).every()], [2, 2])

    def test_malformed_description(self) -> None:
        """A description that cannot be read makes the message mean something else; no version is used for it."""
        for bad in (part(b"application/sdp", b"hello"), b"Content-Type: application/sdp"):
            self.assertRaises(Malformed, self.left, multipart(part(b"application/sdp", SMALL), bad))
        packed = b"application/sdp\r\nContent-Transfer-Encoding: base64"
        self.assertEqual(self.assertRaises(Malformed, self.left, multipart(part(packed, b"dj0w"))).status, 415)
        self.assertEqual(self.told._target.sdp.version, 0)

    def test_length_of_a_part(self) -> None:
        """A length that would be wrong afterwards is taken out; one that stays right is not."""
        text = part(b"text/plain\r\nContent-Length: 1", b"a")
        out = self.left(multipart(part(b"application/sdp\r\ncontent-length : 44", SMALL), text))
        self.assertIn(b"--abc\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n", out)
        self.assertIn(text, out)

    def test_parts_that_stay_behind(self) -> None:
        """S38: a part that cannot be read is left out, and said; the others leave, even one alone."""
        text, bad = part(b"text/plain", b"a"), part(b"application/pidf+xml", b"<presence>")
        self.assertEqual(self.left(multipart(bad, text)), multipart(text))
        self.assertEqual([fault.reason for fault in self.told.faults], ["a document that is not XML"])
        self.assertEqual(self.left(multipart(bad, part(b"message/sip", b"INVITE"))), b"")
        inner = part(b"multipart/mixed;boundary=in", multipart(bad, boundary=b"in"))
        self.assertEqual(self.left(multipart(inner, text)), multipart(text))
        packed = part(b"message/sipfrag\r\nContent-Transfer-Encoding: base64", b"U0lQ")
        self.assertEqual(self.left(multipart(packed, text)), multipart(text))
        self.assertIn("encoded", self.told.faults[-1].reason)
        self.assertEqual(self.left(multipart(b"\r\n", text)), multipart(b"\r\n", text))

    def test_headers_of_parts(self) -> None:
        """S35: of a part's headers only those that say what it is cross, and not what might name a host in them."""
        head = b"X-Host: 10.11.12.13\r\nContent-Location: http://pbx.inside.example/\r\nContent-Description: pbx\r\n"
        kept = b"Content-Type: text/plain\r\nContent-Language: en\r\nContent-Disposition: render"
        named = kept + b';filename="pbx.inside.example"'
        out = self.left(multipart(head + named + b"\r\n\r\na"))
        self.assertEqual(out, multipart(kept + b"\r\n\r\na"))

    def test_names_of_parts(self) -> None:
        """S38, RFC 2392: Content-IDs say no host of the far side, and what refers to them still finds them."""
        self.told = Told()
        rlmi = (FOLDER / "rlmi.server.xml").read_bytes()
        body = multipart(
            b"Content-ID: <list@inside.example>\r\nContent-Type: application/rlmi+xml\r\n\r\n" + rlmi,
            b"Content-ID: <bob.10.11.12.13@inside.example>\r\nContent-Type: application/isup\r\n\r\n\x01",
        )
        said, kind = self.told.carry(
            body, 'multipart/related;type="application/rlmi+xml";start="<list@inside.example>";boundary=abc'
        )
        self.assertNotIn(b"inside", said)
        first, second = read(said, kind).parts
        self.assertIn(f'start="{first.get("content-id")}"', kind)
        self.assertIn(f'cid="{second.get("content-id")[1:-1]}"'.encode(), first.body)
        self.assertTrue(second.get("content-id").endswith("@10.0.0.1>"))
        self.assertIn('type="application/rlmi+xml"', kind)

    def test_names_that_others_speak_of(self) -> None:
        """S38: a name stays where a part that nobody reads, or a header that the configuration keeps, speaks of it."""
        page = part(b"text/html", b'<img src="cid:a@x.example">')
        body = multipart(page, b"Content-ID: <a@x.example>\r\nContent-Type: image/png\r\n\r\n\x01")
        self.assertIn(b"Content-ID: <a@x.example>", self.left(body))
        body = multipart(b"Content-ID: <a@x.example>\r\nContent-Type: image/png\r\n\r\n\x01")
        self.told = Told(granted={"Geolocation": ["<cid:a@x.example>;inserted-by=x"]})
        self.assertEqual(self.left(body), body)
        self.told = Told()
        self.assertNotIn(b"x.example", self.left(body))

    def test_kept_and_dropped(self) -> None:
        """The configuration's word holds for parts too."""
        pidf = part(b"application/pidf+xml", (FOLDER / "pidf.location.xml").read_bytes())
        body = multipart(pidf, part(b"application/isup", b"\x01"))
        self.told = Told(Exceptions(frozenset({"application/pidf+xml"}), frozenset({"application/isup"})))
        self.assertEqual(self.left(body), multipart(pidf))
        self.told = Told(Exceptions(location=True))
        self.assertIn(b"42.5463 -73.2512", self.left(body))
        self.told = Told()
        self.assertNotIn(b"42.5463", self.left(body))
