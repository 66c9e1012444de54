"""What a received message must hold before anything is done with it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.check import MAX_ROUTES, MAX_VIAS, check_request, check_response
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Headers, Request, Response, parse
from tests.wires import request, response

VIA = "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx"


class Checks(SynchronousTestCase):
    """What is common."""

    def refused(self, message: Request | Response, reason: str, status: int = 400) -> None:
        """It is refused, for this reason and with this status."""
        with self.assertRaises(Malformed) as caught:
            if isinstance(message, Request):
                check_request(message)
            else:
                check_response(message)
        self.assertEqual((caught.exception.reason, caught.exception.status), (reason, status))
        self.assertTrue(caught.exception.rule)


class TestRequests(Checks):
    """Requests."""

    def test_sound(self) -> None:
        """Every method, with and without a dialog; a tel URI may be asked for."""
        for method in ("INVITE", "ACK", "BYE", "OPTIONS", "MESSAGE", "!x"):
            check_request(request(method))
        check_request(request(uri="tel:+1-201-555-0123"))
        check_request(request(uri="sips:a@b;transport=tcp"))
        check_request(request(to="<sip:bob@example.com>;tag=b"))
        check_request(request(max_forwards=""))

    def test_fault_of_the_parser(self) -> None:
        """What the parser found wrong comes first, with its own status."""
        broken = parse(b"OPTIONS sip:a SIP/7.0\r\nVia: x\r\n\r\n")
        self.refused(broken, "a version of SIP other than 2.0", 505)

    def test_missing_and_doubled(self) -> None:
        """RFC 3261 8.1.1, RFC 4475 3.3.1, 3.3.8: the six headers that must be there, once."""
        for name in ("from", "to", "call_id", "cseq", "via"):
            shown = {"call_id": "Call-ID", "cseq": "CSeq"}.get(name, name.title())
            self.refused(request(**{name: ""}), f"{shown} is missing")
            if name != "via":
                self.refused(request(more={shown: request().headers[shown] * 2}), f"{shown} is given 2 times")

    def test_cseq_method(self) -> None:
        """RFC 4475 3.1.2.17, 3.1.2.18: CSeq names the same method."""
        self.refused(request("OPTIONS", cseq="8 INVITE"), "the CSeq method is not the request's")
        self.refused(request("OPTIONS", cseq="8 options"), "the CSeq method is not the request's")

    def test_scheme(self) -> None:
        """RFC 4475 3.3.2, 3.3.3: 416 for a Request-URI of a scheme that we do not know."""
        self.refused(request(uri="soap.beep://192.0.2.103:3002"), "a Request-URI of scheme soap.beep", 416)

    def test_request_uri(self) -> None:
        """RFC 4475 3.1.2.7, 3.1.2.11; RFC 5118 4.2: brackets, embedded headers, IPv6 without brackets."""
        self.refused(request(uri="<sip:a@b>"), "a URI without a scheme")
        self.refused(request(uri="sip:a@b?Route=%3Csip:example.com%3E"), "headers in the Request-URI")
        reason = "a SIP URI with a character that must be escaped, or without a host"
        self.refused(request(uri="sip:2001:db8::10"), reason)

    def test_numbers(self) -> None:
        """Max-Forwards to 255, Expires below 2^32, CSeq below 2^31: in ASCII digits."""
        for value in ("0", "0068", "255"):
            check_request(request(max_forwards=value))
        self.refused(request(max_forwards="256"), "Max-Forwards is out of range (at most 255)")
        for value in ("-1", "+5", "1_0", "٣", "70, 70", " "):
            self.refused(request(more={"Max-Forwards": [value]}), "Max-Forwards is not a number")
        self.refused(request(more={"Max-Forwards": ["70", "70"]}), "Max-Forwards is given twice")
        check_request(request(more={"Expires": ["4294967295"]}))
        self.refused(request(more={"Expires": ["4294967296"]}), "Expires is out of range (at most 4294967295)")
        self.refused(request(more={"Expires": ["1" + "0" * 100]}), "Expires is out of range (at most 4294967295)")
        self.refused(request(cseq="2147483648 INVITE"), "CSeq is out of range (at most 2147483647)")

    def test_call_id(self) -> None:
        """One word, of any characters that can be seen."""
        check_request(request(call_id="intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"))
        for value in ("a b", "a\tb", "a\u2003b", "a\x7fb", "a\udcffb", "\u200b"):
            self.refused(request(call_id=value), "Call-ID is not a word")

    def test_from_and_to(self) -> None:
        """Outside a dialog both are read whole; within one the tags are all that is needed (RFC 3261 12.2.2)."""
        self.refused(request(to="<sip:a@b"), "an angle bracket that does not close")
        self.refused(request(**{"from": "x"}), "a URI without a scheme")
        self.refused(request(**{"from": '"a <sip:b@c>;tag=x'}), "a quoted string that does not end")
        check_request(request(to="<unheard of>;tag=b"))
        self.refused(request(to="unheard of;tag=b"), "a URI without a scheme")
        self.refused(request(to="<sip:a@b> ;tag=\udcff"), "a tag that is not a word")
        self.refused(request(to="<sip:a@b>;tag=a;tag=b"), "a parameter is given twice")

    def test_via(self) -> None:
        """The top one is read; far too many are refused, however they are written."""
        self.refused(request(via="UDP a"), "not a Via")
        check_request(request(more={"Via": [VIA] * MAX_VIAS}))
        self.refused(request(more={"Via": [VIA] * (MAX_VIAS + 1)}), f"more than {MAX_VIAS} Vias")
        self.refused(request(more={"Via": [",".join([VIA] * (MAX_VIAS + 1))]}), f"more than {MAX_VIAS} Vias")

    def test_routes(self) -> None:
        """Route and Record-Route are read, and bounded together."""
        route = "<sip:192.0.2.9;lr>"
        check_request(request(more={"Route": [route], "Record-Route": [f"{route}, {route}"]}))
        self.refused(request(more={"Route": [route + ", x"]}), "a URI without a scheme")
        self.refused(request(more={"Record-Route": ["<sip:a@b"]}), "an angle bracket that does not close")
        many: Headers = {"Route": [route] * MAX_ROUTES, "Record-Route": [route]}
        self.refused(request(more=many), f"more than {MAX_ROUTES} routes")

    def test_contact(self) -> None:
        """A Contact that a later request goes to can be sent to: port 99999 is refused when it is learned."""
        self.refused(request(contact=""), "Contact is missing")
        self.refused(request(contact="<sip:a@b:99999>"), "port is out of range (at most 65535)")
        self.refused(request(contact="<sip:a@b:0>"), "port 0 cannot be sent to")
        self.refused(request(contact="*"), "a URI without a scheme")
        self.refused(request(contact="<tel:+1>"), "a Contact that is not a SIP URI")
        self.refused(request(contact="<sip:a@b>, <sip:c@d>"), "more than one Contact")
        self.refused(request(contact="<sip:a@b;maddr=256.1.1.1>"), "not an IPv4 address")
        check_request(request(contact="<sip:a@b;maddr=192.0.2.1>"))
        check_request(request(contact="<sip:a@b;maddr=[::1]>"))
        check_request(request("UPDATE"))  # need not have one (RFC 3311 5.1 has it mandatory; many leave it out)
        self.refused(request("NOTIFY", contact="<sip:a@b:0>"), "port 0 cannot be sent to")

    def test_contact_of_others(self) -> None:
        """Methods that make no dialog and change no target may have any Contact, or several."""
        for method in ("OPTIONS", "MESSAGE", "REGISTER", "BYE", "RE%47IST%45R"):
            check_request(request(method, more={"Contact": ["*", "<sip:a@b>, <sip:c@d>"]}))


class TestResponses(Checks):
    """Responses."""

    def test_sound(self) -> None:
        """Provisional, final, failed, with and without Contact."""
        for status in (100, 180, 200, 302, 486, 606):
            check_response(response(request(), status))
        check_response(response(request("OPTIONS"), 200, more={"Contact": ["<sip:a@b>, <sip:c@d>"]}))
        check_response(response(request(), 302, more={"Contact": ["<sip:a@b>, <sip:c@d>"]}))
        check_response(response(request(), 200, more={"Record-Route": ["<sip:a;lr>, <sip:b;lr>"]}))

    def test_broken(self) -> None:
        """RFC 4475 3.1.2.5: what a request would get 400 for."""
        self.refused(parse(b"SIP/2.0 200 OK\r\nl: 5\r\n\r\n"), "the body is shorter than Content-Length")
        self.refused(response(request(), 200, more={"CSeq": ["9292394834772304023312 OPTIONS"]}),
                     "CSeq is out of range (at most 2147483647)")  # fmt: skip
        self.refused(
            response(request(), 200, more={"Record-Route": ["<sip:a"]}), "an angle bracket that does not close"
        )
        reason = "port is out of range (at most 65535)"
        self.refused(response(request(), 180, more={"Contact": ["<sip:a@b:99999>"]}), reason)
        self.refused(response(request("UPDATE"), 200, more={"Contact": ["<sip:a@b:99999>"]}), reason)

    def test_success_of_an_invite(self) -> None:
        """RFC 3261 13.2.2.4: it needs its ACK even where its Contact is broken; who reads that is told."""
        broken = response(request(), 200, more={"Contact": ["<sip:a@b:99999>"]})
        check_response(broken)
        self.assertRaises(Malformed, lambda: broken.contact)

    def test_body_of_no_kind(self) -> None:
        """RFC 3261 20.15: a body says what it is. A request is refused; a response has none then."""
        self.refused(request("MESSAGE", body=b"o=x 1 1 IN IP4 192.0.2.20\r\n"), "a body without Content-Type")
        answer = response(request(), 200)
        answer.body = b"o=x 1 1 IN IP4 192.0.2.20\r\n"
        check_response(answer)
        self.assertEqual(answer.body, b"")

    def test_others_via(self) -> None:
        """RFC 3261 8.1.3.3, RFC 4475 3.3.10: a response that would go on to somebody else is not ours."""
        reason = "a response with another's Via below ours"
        self.refused(response(request(), 200, more={"Via": [VIA, VIA]}), reason)
        self.refused(response(request(), 200, more={"Via": []}), "Via is missing")
        self.refused(response(request(), 200, more={"Via": [f"{VIA}, {VIA}"]}), reason)
        check_response(response(request(), 200, more={"Via": [f'{VIA};x="a,b"']}))
