"""Responses outside any dialog of ours, to sound requests and to broken ones (RFC 3261 8.2.6)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.dialog.reply import reply, reply_to_broken
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request, parse

LINES = {
    "Via": "SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK1",
    "From": "<sip:alice@atlanta.example>;tag=a",
    "To": "<sip:bob@biloxi.example>",
    "Call-ID": "1",
    "CSeq": "1 INVITE",
}
FAULT = Malformed("a thing that is wrong", "RFC 3261 0", 400)


def request(**changed: str | None) -> Request:
    """An INVITE with headers changed, or left out."""
    given = {**LINES, **{name.replace("_", "-"): value for name, value in changed.items()}}
    text = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    message = parse(b"INVITE sip:bob@biloxi.example SIP/2.0\r\n" + text.encode() + b"\r\n")
    assert isinstance(message, Request)
    return message


class Reply(SynchronousTestCase):
    """`reply`, to a request that was checked."""

    def test_echo(self) -> None:
        """RFC 3261 8.2.6.2: Via, From, To, Call-ID, CSeq as they came; To with our tag unless it has one."""
        answer = reply(request(), 404, "ours", more={"Allow": ["INVITE"]})
        self.assertEqual(answer.headers["To"], ["<sip:bob@biloxi.example>;tag=ours"])
        for name in ("Via", "From", "Call-ID", "CSeq"):
            self.assertEqual(answer.headers[name], [LINES[name]])
        self.assertEqual((answer.status, answer.reason, answer.headers["Allow"]), (404, "Not Found", ["INVITE"]))
        tagged = "<sip:bob@biloxi.example>;tag=theirs"
        self.assertEqual(reply(request(To=tagged), 481, "ours").headers["To"], [tagged])

    def test_100_has_no_tag(self) -> None:
        """RFC 3261 8.2.6.1 asks for none, and nobody needs it."""
        self.assertEqual(reply(request(), 100).headers["To"], [LINES["To"]])

    def test_words(self) -> None:
        """The registered words, or those given."""
        self.assertEqual(reply(request(), 403, "x", "Not you").start_line, "SIP/2.0 403 Not you")
        self.assertEqual(reply(request(), 503, "x").start_line, "SIP/2.0 503 Service Unavailable")


class ReplyToBroken(SynchronousTestCase):
    """`reply_to_broken`: only headers that parse (OpenSIPS CVE-2023-28095)."""

    def test_a_fault_elsewhere(self) -> None:
        """All five are sound: all are echoed; the words say what was wrong, not the request's own."""
        answer = reply_to_broken(request(), FAULT, "ours")
        assert answer is not None
        self.assertEqual(list(answer.headers), list(LINES))
        self.assertEqual(answer.headers["To"], ["<sip:bob@biloxi.example>;tag=ours"])
        self.assertEqual(answer.start_line, "SIP/2.0 400 Bad Request - a thing that is wrong")

    def test_each_that_is_broken_is_left_out(self) -> None:
        """What cannot be read is not repeated."""
        for name, value in (
            ("From", "<sip:alice@atlanta.example"),
            ("To", "<sip:>"),
            ("Call-ID", "a\x85b"),
            ("Call-ID", "a\x01b"),
            ("CSeq", "one INVITE"),
            ("From", None),
            ("To", None),
            ("CSeq", None),
        ):
            answer = reply_to_broken(request(**{name.replace("-", "_"): value}), FAULT, "ours")
            assert answer is not None
            self.assertEqual(set(answer.headers), set(LINES) - {name}, (name, value))

    def test_a_tag_of_theirs_stays(self) -> None:
        """To that has a tag gets no other."""
        answer = reply_to_broken(request(To="<sip:b@b.example>;tag=t"), FAULT, "ours")
        assert answer is not None
        self.assertEqual(answer.headers["To"], ["<sip:b@b.example>;tag=t"])

    def test_doubled(self) -> None:
        """A header given twice: the first is echoed only where it can be told which one counts, which it cannot."""
        message = parse(
            b"INVITE sip:b@b.example SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP 192.0.2.21;branch=z9hG4bK2\r\n"
            b"CSeq: 1 INVITE\r\nCSeq: 2 INVITE\r\nCall-ID: 1\r\nFrom: <sip:a@a.example>;tag=1\r\n\r\n"
        )
        assert isinstance(message, Request)
        answer = reply_to_broken(message, FAULT, "ours")
        assert answer is not None
        self.assertEqual(len(answer.headers["Via"]), 2)
        self.assertNotIn("CSeq", answer.headers)

    def test_nowhere_to_send_it(self) -> None:
        """No Via, or none that can be read: silence."""
        for via in (None, "nonsense", "SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1, nonsense", "SIP/2.0/UDP a\x02b"):
            self.assertIsNone(reply_to_broken(request(Via=via), FAULT, "ours"))
