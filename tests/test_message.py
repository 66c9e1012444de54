"""RFC 3261 7: requests and responses, out of bytes and back."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.check import check_request, check_response
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import MAX_CSEQ, MAX_HEADERS, Message, Request, Response, parse
from tests.hostile import LONG, TOKENS, steps
from tests.torture import messages
from tests.wires import request

INVITE = b"""\
INVITE sip:bob@biloxi.com SIP/2.0
Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds, SIP/2.0/TCP a.example;branch=z9hG4bK1
Max-Forwards: 70
v: SIP/2.0/UDP b.example;branch=z9hG4bK2
T: Bob <sip:bob@biloxi.com>
f: Alice <sip:alice@atlanta.com>;tag=1928301774
i: a84b4c76e66710@pc33.atlanta.com
cSEQ:   314159   INVITE
Supported: timer, 100rel;x
k: Replaces,
Contact: <sip:alice@pc33.atlanta.com>
X-Account : 12
c: application/sdp
l: 4

v=0
""".replace(b"\n", b"\r\n")


def read(data: bytes, stream: bool = False) -> Request:
    """A request, whether sound or not."""
    message = parse(data, stream)
    assert isinstance(message, Request)
    return message


def fault_of(data: bytes, stream: bool = False) -> str:
    """Why a message would be refused, or an empty string."""
    fault = parse(data, stream).fault
    return fault.reason if fault is not None else ""


class TestRequests(SynchronousTestCase):
    """A sound request."""

    def test_parts(self) -> None:
        """Start line, headers in every spelling, body as long as Content-Length says (RFC 3261 18.3)."""
        message = read(INVITE)
        self.assertIsNone(message.fault)
        self.assertEqual(
            (message.method, message.uri_text, message.version), ("INVITE", "sip:bob@biloxi.com", "SIP/2.0")
        )
        self.assertEqual(message.uri.host, "biloxi.com")
        self.assertIs(message.uri, message.uri)
        self.assertEqual(message.headers["x-account"], ["12"])
        self.assertNotIn("Content-Length", message.headers)
        self.assertEqual(message.body, b"v=0\r")
        self.assertEqual(repr(message), "<INVITE sip:bob@biloxi.com>")

    def test_readings(self) -> None:
        """What one asks a message; read once and kept."""
        message = read(INVITE)
        self.assertEqual(message.via.branch, "z9hG4bK776asdhds")
        self.assertIs(message.via, message.via)
        self.assertEqual([via.host for via in message.vias()], ["pc33.atlanta.com", "a.example", "b.example"])
        self.assertEqual(
            (message.from_.display, message.from_tag, message.from_.tag), ("Alice", "1928301774", "1928301774")
        )
        self.assertEqual((message.to.display, message.to_tag, message.to.tag), ("Bob", "", ""))
        self.assertIs(message.from_, message.from_)
        self.assertIs(message.to, message.to)
        self.assertEqual((message.from_tag, message.to_tag), ("1928301774", ""))
        self.assertEqual(message.call_id, "a84b4c76e66710@pc33.atlanta.com")
        self.assertEqual(message.call_id, "a84b4c76e66710@pc33.atlanta.com")
        self.assertEqual(message.cseq, (314159, "INVITE"))
        self.assertEqual(message.cseq, (314159, "INVITE"))
        contact = message.contact
        assert contact is not None
        self.assertEqual(contact.uri.user, "alice")
        self.assertIs(message.contact, contact)
        self.assertEqual(message.values("Supported"), ["timer", "100rel;x", "Replaces", ""])
        self.assertEqual(message.tokens("Supported"), ["timer", "100rel", "replaces"])
        self.assertEqual((message.values("Allow"), message.tokens("Allow"), message.addresses("Route")), ([], [], []))
        self.assertEqual((message.first("Content-Type"), message.first("Route")), ("application/sdp", ""))

    def test_lists(self) -> None:
        """Headers of addresses, in one value and in several."""
        message = read(INVITE.replace(b"X-Account : 12", b"Route: <sip:a;lr>, <sip:b,c@d;lr>\r\nRoute: <sip:e>"))
        self.assertEqual(
            [str(route.uri) for route in message.addresses("Route")], ["sip:a;lr", "sip:b,c@d;lr", "sip:e"]
        )
        one = read(bytes(request()))
        self.assertEqual([via.host for via in one.vias()], ["198.51.100.7"])
        two = read(bytes(request(more={"Via": ["SIP/2.0/UDP a;branch=z9hG4bK1", "SIP/2.0/UDP b"]})))
        self.assertEqual([via.host for via in two.vias()], ["a", "b"])

    def test_contacts(self) -> None:
        """None, one, or Malformed for more than one (RFC 3261 8.1.1.8) and for `*`."""
        self.assertIsNone(read(INVITE.replace(b"Contact", b"X")).contact)
        for contact in (b"*", b"<sip:a@b>, <sip:c@d>", b"<sip:a@b>\r\nm: <sip:c@d>", b"", b"<sip:a@b"):
            message = read(INVITE.replace(b"<sip:alice@pc33.atlanta.com>\r\nX", contact + b"\r\nX"))
            with self.assertRaises(Malformed):
                _ = message.contact

    def test_folds(self) -> None:
        """RFC 3261 7.3.1: a line that begins with white space goes on with the one before."""
        message = read(b"OPTIONS sip:a SIP/2.0\r\nSubject: one \r\n \t two\r\n\tthree\r\nTo:\r\n <sip:a@b>\r\n\r\n")
        self.assertEqual(message.headers, {"Subject": ["one two three"], "To": ["<sip:a@b>"]})
        self.assertIsNone(message.fault)
        self.assertEqual(
            fault_of(b"OPTIONS sip:a SIP/2.0\r\n Via: x\r\nTo: y\r\n\r\n"), "the start line is not METHOD URI SIP/2.0"
        )

    def test_blanks(self) -> None:
        """Only blanks and tabs are white space: what else Unicode calls so belongs to the value, as others read it."""
        message = read("OPTIONS sip:a SIP/2.0\r\nCall-ID: \t\u00a0x\u2003 \r\nVia\u00a0: y\r\n\r\n".encode())
        self.assertEqual(message.headers, {"Call-ID": ["\u00a0x\u2003"], "via\u00a0": ["y"]})

    def test_missing(self) -> None:
        """Each of the headers that must be there, and be there once (RFC 3261 8.1.1)."""
        for name in ("From", "To", "Call-ID", "CSeq", "Via"):
            whole = request().headers
            readers = {
                "From": ("from_", "from_tag"), "To": ("to", "to_tag"), "Call-ID": ("call_id",), "CSeq": ("cseq",),
                "Via": ("via",),
            }  # fmt: skip
            for reader in readers[name]:
                for values in (None, [""], whole[name] * 2):
                    headers = dict(whole)
                    headers.pop(name)
                    if values is not None:
                        headers[name] = values
                    if name == "Via" and values is not None and len(values) == 2:
                        continue
                    with self.assertRaises(Malformed) as caught:
                        getattr(Request("INVITE", "sip:a@b", headers), reader)  # noqa: B009 - each in turn
                    self.assertIn(name, caught.exception.reason)

    def test_cseq(self) -> None:
        """RFC 3261 8.1.1.5: a number below 2^31 and a method (S: numbers)."""
        for value, cseq in (("0009 INVITE", (9, "INVITE")), ("1\t \tA", (1, "A")), (f"{MAX_CSEQ} A", (MAX_CSEQ, "A"))):
            self.assertEqual(request(cseq=value).cseq, cseq)
        for value in (
            "INVITE", "1", "1INVITE", "INVITE 1", "1 INVITE 2", "+1 INVITE", "1_0 INVITE", "-1 A", f"{MAX_CSEQ + 1} A",
            "36893488147419103232 REGISTER", "0" * 5000 + "1 A", "٣ A", "1\u00a0INVITE", "1 INV/ITE", "1  ", " 1 A",
        ):  # fmt: skip
            with self.assertRaises(Malformed, msg=value):
                _ = request(cseq=value).cseq

    def test_start_line_is_abstract(self) -> None:
        """A message is a request or a response."""
        with self.assertRaises(NotImplementedError):
            _ = Message({}).start_line


class TestResponses(SynchronousTestCase):
    """A response."""

    def test_parts(self) -> None:
        """Status and reason; a reason may be anything in UTF-8, or nothing (RFC 4475 3.1.1.12, 3.1.1.13)."""
        for line, status, reason in (
            ("SIP/2.0 200 OK", 200, "OK"),
            ("sip/2.0 180 Ringing", 180, "Ringing"),
            ("SIP/2.0 100 ", 100, ""),
            ("SIP/2.0 100", 100, ""),
            ("SIP/2.0 200 = 2**3 * 5**2 но", 200, "= 2**3 * 5**2 но"),
        ):
            message = parse(f"{line}\r\nl: 0\r\n\r\n".encode())
            assert isinstance(message, Response)
            self.assertEqual((message.status, message.reason, message.fault), (status, reason, None))
        self.assertEqual(repr(Response(486, "Busy", {})), "<486 Busy>")
        self.assertEqual(bytes(Response(486, "Busy", {})), b"SIP/2.0 486 Busy\r\nContent-Length: 0\r\n\r\n")

    def test_none(self) -> None:
        """A status line that is none cannot be answered, and is no request (RFC 4475 3.1.2.19)."""
        for line in (
            "SIP/2.0 4294967301 better not break the receiver", "SIP/2.0 099 x", "SIP/2.0 700 x", "SIP/2.0 20 x",
            "SIP/2.0  200 OK",
            "SIP/3.0 200 OK", "SIP/2.0 200OK", "SIP/2.0 ٢٠٠ OK", "\u017fIP/2.0 200 OK", "SIP/2.0", "SIP/2.0 -200 OK",
        ):  # fmt: skip
            self.assertRaises(Malformed, parse, f"{line}\r\nVia: x\r\nl: 0\r\n\r\n".encode())


class TestStartLine(SynchronousTestCase):
    """RFC 3261 7.1, RFC 4475 3.1.2.7 to 3.1.2.10, 3.1.2.16."""

    def test_faults(self) -> None:
        """What can be answered is kept with its fault: blanks too many, no version, another version."""
        wrong = "the start line is not METHOD URI SIP/2.0"
        for line, fault, status in (
            ("INVITE  sip:a  SIP/2.0", wrong, 400),
            ("INVITE sip:a; lr SIP/2.0", wrong, 400),
            ("INVITE sip:a SIP/2.0  ", wrong, 400),
            ("INVITE sip:a", wrong, 400),
            ("INVITE", wrong, 400),
            ("INVITE sip:a HTTP/1.1", wrong, 400),
            ("INVITE sip:a SIP/2.\u0663", wrong, 400),
            ("INVITE sip:a \u017fIP/2.0", wrong, 400),
            ("INVITE sip:a SIP/7.0", "a version of SIP other than 2.0", 505),
            ("INVITE sip:a SIP/02.0", "a version of SIP other than 2.0", 505),
        ):
            found = read(f"{line}\r\nVia: x\r\n\r\n".encode()).fault
            assert found is not None
            self.assertEqual((found.reason, found.status), (fault, status), line)

    def test_version_in_any_case(self) -> None:
        """RFC 3261 7.1: SIP-Version does not heed case; ours is written in capitals."""
        message = read(b"INVITE sip:a sip/2.0\r\nVia: x\r\n\r\n")
        self.assertIsNone(message.fault)
        self.assertTrue(bytes(message).startswith(b"INVITE sip:a SIP/2.0\r\n"))

    def test_no_message(self) -> None:
        """What is no request and no response is for nobody."""
        for data in (
            b"",
            b"\r\n\r\n",
            b"x",
            b" \r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x00\x01\x02\r\nVia: x\r\n\r\n",
            b"a:b\r\nc:d\r\n\r\n",
        ):
            if data.startswith(b"GET"):
                self.assertRaises(Malformed, parse, data)  # not even a header
            else:
                self.assertRaises(Malformed, parse, data)


class TestFaults(SynchronousTestCase):
    """What two readers could take for different things is refused, with the rule that it breaks."""

    def test_bare_line_ends(self) -> None:
        """A CR or an LF alone ends a line for some and not for others."""
        for wrong in (b"X: a\nVia: b", b"X: a\rVia: b", b"X: a\n\rb", b"X: a\r\r\nY: b", b"X: a\n"):
            data = INVITE.replace(b"X-Account : 12", wrong)
            self.assertEqual(fault_of(data), "a bare CR or LF in the headers", wrong)

    def test_controls(self) -> None:
        """NUL and its like outside a quoted-pair; tabs are white space."""
        for wrong in (b"X: \x00", b"X\x07: a", b"X: \x7f", b"X: a\x1b[2J"):
            self.assertEqual(
                fault_of(INVITE.replace(b"X-Account : 12", wrong)), "a control character outside a quoted-pair"
            )
        for right in (b'X: "\\\x00"', b"X:\ta"):
            self.assertEqual(fault_of(INVITE.replace(b"X-Account : 12", right)), "")

    def test_no_colon(self) -> None:
        """RFC 4475, `test`: a line without a colon is no header."""
        self.assertEqual(fault_of(INVITE.replace(b"X-Account : 12", b"Foobar roobar")), "a header line without a colon")
        self.assertEqual(fault_of(INVITE.replace(b"X-Account : 12", b"one\r\ntwo")), "a header line without a colon")

    def test_no_end(self) -> None:
        """The headers of a datagram end with an empty line."""
        for data in (b"OPTIONS sip:a SIP/2.0\r\nTo: x\r\n", b"OPTIONS sip:a SIP/2.0\r\nTo: x"):
            self.assertEqual(fault_of(data), "no empty line ends the headers")
            self.assertEqual(read(data).headers, {"To": ["x"]})

    def test_too_many(self) -> None:
        """Thousands of headers are not read."""
        message = read(b"OPTIONS sip:a SIP/2.0\r\n" + b"Q: y\r\n" * 5000 + b"To: z\r\n\r\n")
        assert message.fault is not None
        self.assertEqual(message.fault.reason, f"more than {MAX_HEADERS} headers")
        self.assertEqual(len(message.headers["q"]), MAX_HEADERS - 1)
        self.assertEqual(
            fault_of(b"A b SIP/2.0\r\nX\r\n" + b"X: y\r\n" * 300 + b"\r\n"), f"more than {MAX_HEADERS} headers"
        )

    def test_first_fault_counts(self) -> None:
        """The rule that is named is the first that was broken."""
        self.assertEqual(
            fault_of(b"A b SIP/2.0\r\nX: \x01\r\n" + b"Y\r\n" * 300 + b"l: x"), "no empty line ends the headers"
        )
        self.assertEqual(
            fault_of(b"A b SIP/2.0\r\nX: \x01\r\n" + b"Y\r\n" * 300 + b"\r\n"),
            "a control character outside a quoted-pair",
        )


class TestContentLength(SynchronousTestCase):
    """RFC 3261 18.3, 20.14: octets, not characters; on a stream there must be one."""

    def body(self, header: bytes, body: bytes, stream: bool = False) -> tuple[bytes, str]:
        """The body that is read and the fault."""
        message = read(b"MESSAGE sip:a SIP/2.0\r\n" + header + b"\r\n" + body, stream)
        return message.body, message.fault.reason if message.fault else ""

    def test_measured(self) -> None:
        """What follows the body in a datagram is not looked at (RFC 4475 3.1.1.8); without a length all is the body."""
        self.assertEqual(self.body(b"l: 3\r\n", b"abcdef"), (b"abc", ""))
        self.assertEqual(self.body(b"Content-Length:0000000003\r\n", b"abc"), (b"abc", ""))
        self.assertEqual(self.body(b"To: x\r\n", b"abc"), (b"abc", ""))
        self.assertEqual(self.body(b"l: 4\r\n", "ää".encode()), ("ää".encode(), ""))

    def test_faults(self) -> None:
        """RFC 4475 3.1.2.2, 3.1.2.3, 3.3.9: too long, negative, doubled, no number; with no body at all."""
        for header, reason in (
            (b"l: 9999\r\n", "the body is shorter than Content-Length"),
            (b"l: -999\r\n", "Content-Length is not a number"),
            (b"l: +3\r\n", "Content-Length is not a number"),
            (b"l: 0x3\r\n", "Content-Length is not a number"),
            (b"l: \r\n", "Content-Length is not a number"),
            (b"l: 3, 3\r\n", "Content-Length is not a number"),
            (b"l: 99999999999\r\n", "Content-Length is out of range (at most 2147483648)"),
            (b"l: " + b"0" * 5000 + b"3\r\n", "Content-Length is out of range (at most 2147483648)"),
            (b"l: 3\r\nContent-Length: 3\r\n", "Content-Length is given twice"),
        ):
            self.assertEqual(self.body(header, b"abc"), (b"", reason))

    def test_stream(self) -> None:
        """S47: on a stream it is mandatory."""
        self.assertEqual(self.body(b"To: x\r\n", b"abc", True), (b"abc", "Content-Length is missing on a stream"))
        self.assertEqual(self.body(b"l: 3\r\n", b"abc", True), (b"abc", ""))


class TestMending(SynchronousTestCase):
    """The way back for an answer to a broken request (RFC 4475 3.1.2.1)."""

    def test_mend(self) -> None:
        """Of Via stays what can be read; below the top one what cannot is left out."""
        message = read(b"A b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.15;;,;,,\r\nv: SIP/2.0/UDP b;branch=x\r\n\r\n")
        self.assertTrue(message.mend_vias())
        self.assertEqual(message.headers["Via"], ["SIP/2.0/UDP 192.0.2.15", "SIP/2.0/UDP b;branch=x"])
        self.assertEqual([via.host for via in message.vias()], ["192.0.2.15", "b"])

    def test_no_way_back(self) -> None:
        """Without a top Via that names a sender there is none."""
        for data in (
            b"A b SIP/2.0\r\nX: y\r\n\r\n",
            b"A b SIP/2.0\r\nVia: \r\n\r\n",
            b"A b SIP/2.0\r\nVia: x, SIP/2.0/UDP b\r\n\r\n",
        ):
            self.assertFalse(read(data).mend_vias())


class TestBytes(SynchronousTestCase):
    """Writing."""

    def test_written(self) -> None:
        """Headers in their order, Content-Length last and measured in octets."""
        message = Request("MESSAGE", "sip:a@b", {"Via": ["x", "y"], "X-Account": ["1"]}, "ä".encode())
        self.assertEqual(
            bytes(message),
            b"MESSAGE sip:a@b SIP/2.0\r\nVia: x\r\nVia: y\r\nX-Account: 1\r\nContent-Length: 2\r\n\r\n\xc3\xa4",
        )

    def test_octets_survive(self) -> None:
        """Octets that are not UTF-8 are written as they came."""
        data = b"A b SIP/2.0\r\nSubject: \xff\xc3\xa4\xed\xa0\x80\r\nContent-Length: 1\r\n\r\n\xff"
        self.assertEqual(bytes(parse(data)), data)

    def test_torture(self) -> None:
        """Each torture message: what was read and written is read as the same again."""
        for case in messages():
            try:
                message = parse(case.data)
            except Malformed:
                continue
            if message.fault is None:
                self.same(message, parse(bytes(message)))

    def same(self, one: Request | Response, other: Request | Response) -> None:
        """Every value is there."""
        self.assertEqual(one.start_line, other.start_line)
        self.assertEqual(one.headers, other.headers)
        self.assertEqual(one.body, other.body)
        self.assertIsNone(other.fault)

    @given(
        st.dictionaries(
            st.sampled_from(["Via", "From", "To", "Subject", "x-account", "Content-Type"]),
            st.lists(
                st.text(st.characters(exclude_categories=["Cc", "Cs"])).map(lambda text: text.strip(" \t")),
                min_size=1,
                max_size=3,
            ),
        ),
        st.binary(),
        TOKENS,
    )
    def test_round_trip(self, headers: dict[str, list[str]], body: bytes, method: str) -> None:
        """parse(bytes(message)) keeps every value."""
        message = Request(method, "sip:a@b", {"Call-ID": ["x"], **headers}, body)
        self.same(message, parse(bytes(message), stream=True))
        response = Response(200, "OK", headers, body)
        self.same(response, parse(bytes(response), stream=True))


class TestAnything(SynchronousTestCase):
    """Whatever comes."""

    def look(self, data: bytes) -> None:
        """Whatever can be asked gives a value or Malformed; no value of what is read has a line end in it."""
        for stream in (False, True):
            try:
                message = parse(data, stream)
            except Malformed:
                continue
            try:
                if isinstance(message, Request):
                    check_request(message)
                else:
                    check_response(message)
            except Malformed as fault:
                self.assertTrue(fault.reason.isprintable() and 400 <= fault.status < 600)
            for name in ("via", "from_", "to", "from_tag", "to_tag", "call_id", "cseq", "contact"):
                try:
                    getattr(message, name)  # noqa: B009 - each in turn
                except Malformed:
                    pass
            if message.fault is None:
                for value in (value for values in message.headers.values() for value in values):
                    self.assertFalse(re.search("[\r\n]", value))
                self.assertEqual(parse(bytes(message)).headers, message.headers)
            message.mend_vias()

    @given(st.binary(max_size=300))
    def test_any_octets(self, data: bytes) -> None:
        """Any octets."""
        self.look(data)

    @given(LONG, LONG, LONG, st.binary(max_size=30))
    def test_anything_like_a_request(self, line: str, name: str, value: str, body: bytes) -> None:
        """Octets in the shape of a message."""
        text = f"INVITE {line} SIP/2.0\r\nVia: {value}\r\nTo: {name}\r\nFrom: {line}\r\n{name}: {value}\r\n"
        text += f"CSeq: {value}\r\n\r\n"
        self.look(text.encode("utf-8", "surrogateescape") + body)

    @given(st.sampled_from(messages()), st.integers(0, 5000), st.binary(max_size=8), st.integers(0, 8))
    def test_anything_like_torture(self, case: object, at: int, inserted: bytes, cut: int) -> None:
        """Torture messages with a few octets other than they were."""
        data: bytes = case.data  # type: ignore[attr-defined]
        at %= len(data) + 1
        self.look(data[:at] + inserted + data[at + cut :])

    def test_linear(self) -> None:
        """Time grows as the message does: many headers, long ones, many folds, many Vias, one word."""
        start = b"INVITE sip:a@b SIP/2.0\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n"
        start += b"CSeq: 1 INVITE\r\nVia: SIP/2.0/UDP x"
        for text in (
            b"\r\nX: y", b"\r\n y", b"x", b";x", b",SIP/2.0/UDP x", b"\r\nVia: SIP/2.0/UDP x", b"\\\x00", b" ", b"\r\n",
            b'"', b'\\"', b"\r\nRoute: <sip:a;lr>", b"\r\nRoute: <sip:a;lr>" + b",<sip:a;lr>" * 100, b"\r\nm: <sip:a>",
            b"\xff", b"\r\n:", b"\r\n\t", b"\r\nX:  \r\n  ",
        ):  # fmt: skip
            steps(self, lambda size, text=text: self.look(start + text * (size // len(text)) + b"\r\n\r\n"))
        steps(self, lambda size: self.look(start + b"\r\n " + b" " * size + b"x\r\n\r\n"))
        steps(self, lambda size: self.look(start + b"\r\nX: y\r\n z\r\nY:" + b" " * size + b"x\r\n\r\n"))
        steps(self, lambda size: self.look(b"INVITE " + b" " * size))
