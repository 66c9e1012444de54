"""RFC 3261 18.3, RFC 5626: messages out of a stream (S47, S48)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.grammar import Malformed
from b2bua.sip.message import parse
from b2bua.sip.stream import MAX_BODY, MAX_HEAD, PING, PONG, Framer
from tests.hostile import steps
from tests.torture import messages

ONE = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 5\r\n\r\nhello"
TWO = b"SIP/2.0 200 OK\r\nl:0\r\n\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The pieces between these places."""
    bounds = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in zip(bounds, bounds[1:], strict=False)]


def fed(pieces: list[bytes], framer: Framer | None = None) -> tuple[list[bytes], str]:
    """What comes out, and why it ended if it did."""
    framer = framer or Framer()
    whole = [message for piece in pieces for message in framer.feed(piece)]
    return whole, framer.fault.reason if framer.fault else ""


class TestFraming(SynchronousTestCase):
    """One message after another."""

    def test_whole(self) -> None:
        """One and several at a time."""
        self.assertEqual(fed([ONE]), ([ONE], ""))
        self.assertEqual(fed([ONE + TWO + ONE]), ([ONE, TWO, ONE], ""))

    def test_partial(self) -> None:
        """Nothing comes before all of it is here; `partial` says that something is awaited."""
        framer = Framer()
        self.assertFalse(framer.partial)
        for at in range(len(ONE) - 1):
            self.assertEqual(framer.feed(ONE[at : at + 1]), [])
            self.assertTrue(framer.partial)
        self.assertEqual(framer.feed(ONE[-1:]), [ONE])
        self.assertFalse(framer.partial)

    def test_length_in_every_spelling(self) -> None:
        """Long and compact, any case, blanks before and after the colon, folded (RFC 4475 3.1.1.1)."""
        for header in (
            b"Content-Length: 2",
            b"l:2",
            b"L  :\t2 ",
            b"CONTENT-LENGTH   : 0002",
            b"l:\r\n 2",
            b"l \r\n\t: 2",
        ):
            data = b"A b SIP/2.0\r\nTo: x\r\n" + header + b"\r\nFrom: y\r\n\r\nok"
            self.assertEqual(fed([data + ONE]), ([data, ONE], ""), header)
            self.assertEqual(parse(data, stream=True).body, b"ok")

    def test_what_looks_like_a_length(self) -> None:
        """In another header's value, in a continuation line, in the body."""
        data = b"A b SIP/2.0\r\nSubject: x Content-Length: 9\r\n l: 7\r\nXl: 5\r\nl: 19\r\n\r\nContent-Length: 500"
        self.assertEqual(fed([data + ONE]), ([data, ONE], ""))

    def test_body_of_any_octets(self) -> None:
        """The length counts octets; empty lines in a body end nothing (RFC 4475 3.1.1.11)."""
        body = bytes(range(256)) + b"\r\n\r\n" + "ä".encode()
        data = b"A b SIP/2.0\r\nl: %d\r\n\r\n" % len(body) + body
        self.assertEqual(fed([data, ONE]), ([data, ONE], ""))


class TestKeepAlive(SynchronousTestCase):
    """S48, RFC 5626 4.4.1, RFC 3261 7.5."""

    def test_ping(self) -> None:
        """Each CRLF between messages is a pong unless it is the second of two: that is a ping."""
        self.assertEqual(fed([b"\r\n"]), ([PONG], ""))
        self.assertEqual(fed([b"\r\n\r\n"]), ([PONG, PING], ""))
        self.assertEqual(fed([b"\r\n\r\n\r\n"]), ([PONG, PING, PONG], ""))
        self.assertEqual(fed([b"\r\n\r\n\r\n\r\n"]), ([PONG, PING, PONG, PING], ""))

    def test_before_a_message(self) -> None:
        """CRLF before a start line is ignored, and a ping is not made of two on different sides of a message."""
        self.assertEqual(fed([b"\r\n" + ONE + b"\r\n" + TWO]), ([PONG, ONE, PONG, TWO], ""))
        self.assertEqual(fed([b"\r\n\r\n" + ONE]), ([PONG, PING, ONE], ""))

    def test_in_pieces(self) -> None:
        """A ping that arrives in pieces is one."""
        for pieces in ([b"\r\n", b"\r\n"], [b"\r", b"\n", b"\r", b"\n"], [b"\r", b"\n\r\n"], [b"\r\n\r", b"\n"]):
            self.assertEqual(fed(pieces), ([PONG, PING], ""))

    def test_bare_cr(self) -> None:
        """A CR alone is none, now or in the next piece."""
        self.assertEqual(fed([b"\rX"]), ([], "a bare CR between messages"))
        self.assertEqual(fed([b"\r", b"\r\n"]), ([], "a bare CR between messages"))
        framer = Framer()
        self.assertEqual(framer.feed(b"\r"), [])
        self.assertTrue(framer.partial)


class TestFaults(SynchronousTestCase):
    """S47: a stream that cannot be followed."""

    def test_lengths(self) -> None:
        """None, two, no number, too large (RFC 4475 3.1.2.3, 3.3.9): nobody knows where the next message begins."""
        for header, reason in (
            (b"To: x", "no Content-Length on a stream"),
            (b"l: 5\r\nContent-Length: 5", "more than one Content-Length on a stream"),
            (b"l: -999", "Content-Length is not a number"),
            (b"l: +5", "Content-Length is not a number"),
            (b"l: 1_0", "Content-Length is not a number"),
            (b"l: \xd9\xa3", "Content-Length is not a number"),
            (b"l:", "Content-Length is not a number"),
            (b"l: 5 5", "Content-Length is not a number"),
            (b"l: 2147483649", "Content-Length is out of range (at most 2147483648)"),
            (b"l: " + b"0" * 10000 + b"5", "Content-Length is out of range (at most 2147483648)"),
            (b"l: %d" % (MAX_BODY + 1), f"a body over {MAX_BODY} octets"),
        ):
            self.assertEqual(fed([b"A b SIP/2.0\r\n" + header + b"\r\n\r\nhello"]), ([], reason))

    def test_what_was_whole_is_not_lost(self) -> None:
        """What came before the fault comes out, whether or not it arrived together with it; nothing comes after."""
        framer = Framer()
        self.assertEqual(framer.feed(ONE + TWO + b"A b SIP/2.0\r\n\r\n" + ONE), [ONE, TWO])
        self.assertIsInstance(framer.fault, Malformed)
        self.assertEqual(framer.feed(ONE), [])

    def test_sizes(self) -> None:
        """Headers and body are bounded, whether they end or not; what is just within the bounds passes."""
        head = b"A b SIP/2.0\r\nl: 2\r\nX: "
        fits = head + b"x" * (MAX_HEAD - len(head)) + b"\r\n\r\nok"
        self.assertEqual(fed([fits]), ([fits], ""))
        self.assertEqual(fed([fits[at : at + 1000] for at in range(0, len(fits), 1000)]), ([fits], ""))
        reason = f"headers over {MAX_HEAD} octets"
        self.assertEqual(fed([head + b"x" * (MAX_HEAD + 1 - len(head)) + b"\r\n\r\nok"]), ([], reason))
        self.assertEqual(fed([head + b"x" * MAX_HEAD]), ([], reason))
        self.assertEqual(fed([head, b"x" * MAX_HEAD, b"x"]), ([], reason))
        body = b"A b SIP/2.0\r\nl: %d\r\n\r\n" % MAX_BODY + b"x" * MAX_BODY
        self.assertEqual(fed([body]), ([body], ""))
        small = Framer(max_head=20, max_body=3)
        self.assertEqual(fed([b"A b SIP/2.0\r\nl: 3\r\n\r\nabc"], small)[1], "")
        self.assertEqual(fed([b"A b SIP/2.0\r\nl: 4\r\n\r\n"], small)[1], "a body over 3 octets")
        self.assertEqual(Framer(1).feed(b""), [])


class TestCutting(SynchronousTestCase):
    """However a stream arrives, the same messages come out."""

    @given(
        st.lists(st.sampled_from([ONE, TWO, b"\r\n", b"\r\n\r\n"]), max_size=6),
        st.just(b"")
        | st.sampled_from([b"\r", b"\rX", b"A b SIP/2.0\r\n\r\n", b"garbage", ONE[:30], b"X\r\nl: 99999999\r\n\r\n"]),
        st.lists(st.integers(0, 10**6), max_size=12),
    )
    def test_any_cut(self, parts: list[bytes], end: bytes, places: list[int]) -> None:
        """The pieces do not matter, and neither does what comes after them."""
        data = b"".join(parts) + end
        whole = fed([data])
        self.assertEqual(fed(cut(data, places)), whole)
        self.assertEqual(fed([data[at : at + 1] for at in range(len(data))]), whole)
        self.assertEqual(
            [each for each in whole[0] if each not in (PING, PONG)], [each for each in parts if each in (ONE, TWO)]
        )

    @given(st.binary(max_size=200), st.lists(st.integers(0, 10**6), max_size=8))
    def test_any_octets(self, data: bytes, places: list[int]) -> None:
        """Any octets: nothing but messages, pings and pongs comes out."""
        whole = fed([data])
        self.assertEqual(fed(cut(data, places)), whole)

    @given(st.lists(st.sampled_from(messages()), max_size=4), st.lists(st.integers(0, 10**6), max_size=8))
    def test_torture(self, cases: list[object], places: list[int]) -> None:
        """RFC 4475, RFC 5118: the same for each of them."""
        data = b"".join(case.data for case in cases)  # type: ignore[attr-defined]
        self.assertEqual(fed(cut(data, places)), fed([data]))

    def test_linear(self) -> None:
        """Time grows as the stream does: octet by octet, many small messages, many pings, a length made of blanks."""
        for text in (b"x", TWO, b"\r\n", b" ", b"\r\n ", b"\r\nX: y", b"\r\nl: 0"):
            steps(self, lambda size, text=text: fed([text * (size // len(text)) + b"\r\n\r\n"]))
            steps(self, lambda size, text=text: fed([text] * (size // len(text))))
        steps(self, lambda size: fed([b"X\r\nl: a" + b" " * size + b"b\r\n\r\n"]))
        steps(self, lambda size: fed([b"X\r\nl: %d\r\n\r\n" % (10 * size)] + [b"x"] * (10 * size)))
        steps(self, lambda size: fed([b"X\r\nSubject: "] + [b"x"] * (size - 100)))
