"""One leg by itself: what it learns from messages, and what it builds (RFC 3261 12)."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from b2bua.dialog.leg import Leg, Standing, leads
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.tokens import Tokens
from b2bua.sip.uri import parse_uri

UDP = Listener("private-udp", "private", "udp", "10.0.0.1", 5060)
TCP = Listener("private-tcp", "private", "tcp", "10.0.0.1", 5060)
TLS = Listener("private-tls", "private", "tls", "10.0.0.1", 5061)
FLOW = Flow(UDP, "10.0.0.20", 5060)


def request(method: str = "INVITE", **headers: list[str]) -> Request:
    """A request from bob."""
    given: Headers = {
        "Via": ["SIP/2.0/UDP 10.0.0.20;branch=z9hG4bK1"],
        "From": ['"Bob" <sip:bob@biloxi.example>;tag=theirs'],
        "To": ["<sip:alice@atlanta.example>"],
        "Call-ID": ["1"],
        "CSeq": [f"7 {method}"],
        "Contact": ["<sip:bob@10.0.0.20:5062>"],
    }
    return Request(
        method, "sip:alice@atlanta.example", {**given, **{k.replace("_", "-"): v for k, v in headers.items()}}
    )


def response(**headers: list[str]) -> Response:
    """A 200 of bob's."""
    given: Headers = {"To": ["<sip:bob@b.example>;tag=theirs"], "CSeq": ["1 INVITE"]}
    return Response(200, "OK", {**given, **{k.replace("_", "-"): v for k, v in headers.items()}})


class LegCase(SynchronousTestCase):
    """Legs made with words that can be foreseen."""

    def setUp(self) -> None:
        self.tokens = Tokens(Random(1).randbytes)

    def far(self, uri: str = "sip:bob@10.0.0.20", flow: Flow | None = FLOW) -> Leg:
        """A leg towards bob."""
        leg = Leg.to_peer(UDP, "<sip:alice@10.0.0.1>", "<sip:bob@10.0.0.20>", parse_uri(uri), self.tokens)
        leg.flow = flow
        return leg


class FromARequest(LegCase):
    """`Leg.of_request` (RFC 3261 12.1.1)."""

    def test_what_it_learns(self) -> None:
        """Ids, CSeq, target and route set are the peer's; local is To, remote is From, both less their tags."""
        routes = ["<sip:10.0.0.8;lr>, <sip:10.0.0.9;lr>"]
        leg = Leg.of_request(request(Record_Route=routes), FLOW, self.tokens)
        self.assertEqual((leg.call_id, leg.remote_tag, leg.remote_cseq), ("1", "theirs", 7))
        self.assertEqual((leg.local, leg.remote), ("<sip:alice@atlanta.example>", '"Bob" <sip:bob@biloxi.example>'))
        self.assertEqual(
            (str(leg.remote_target), leg.route_set),
            ("sip:bob@10.0.0.20:5062", ["<sip:10.0.0.8;lr>", "<sip:10.0.0.9;lr>"]),
        )
        self.assertEqual((str(leg.next_hop), leg.standing, leg.flow), ("sip:10.0.0.8;lr", Standing.TRYING, None))
        self.assertTrue(leg.repeats(request(CSeq=["7 INFO"])))
        self.assertFalse(leg.repeats(request(CSeq=["8 INFO"])))

    def test_without_contact(self) -> None:
        """Outside a dialog there need be none."""
        leg = Leg.of_request(request("MESSAGE", Contact=[]), FLOW, self.tokens)
        self.assertEqual(leg.standing, Standing.TRYING)

    def test_secure(self) -> None:
        """S14: Contact is sips where the Request-URI or the top Record-Route is, however that is spelt."""
        plain = request()
        sips = request()
        sips.uri_text = "SIPS:alice@atlanta.example"
        routed = request(Record_Route=['"p" <SIPS:10.0.0.8;lr>', "<sip:10.0.0.9;lr>"])
        below = request(Record_Route=["<sip:10.0.0.8;lr>", "<sips:10.0.0.9;lr>"])
        found = [Leg.of_request(each, FLOW, self.tokens).secure for each in (plain, sips, routed, below)]
        self.assertEqual(found, [False, True, True, False])


class Building(LegCase):
    """What it sends."""

    def test_requests(self) -> None:
        """CSeq counts on; what the other side granted stands among our own, and never in their place."""
        leg = self.far()
        first = leg.request("INVITE", 69, {"Subject": ["hi"]}, b"x")
        self.assertEqual(first.cseq, (1, "INVITE"))
        self.assertEqual(first.headers["To"], ["<sip:bob@10.0.0.20>"])
        self.assertEqual((first.headers["Contact"], first.headers["Subject"]), ([leg.contact], ["hi"]))
        leg.formed(response(Contact=["<sip:bob@10.0.0.20:5060>"]))
        second = leg.request("INFO", 70)
        self.assertEqual((second.cseq, second.to_tag), ((2, "INFO"), "theirs"))
        self.assertNotIn("Contact", second.headers)
        self.assertEqual(leg.ack(1).cseq, (1, "ACK"))
        self.assertEqual(leg.request("BYE", 70).cseq, (3, "BYE"))

    def test_responses(self) -> None:
        """RFC 3261 12.1.1: Contact and Record-Route where a dialog is made, and only there."""
        asked = request(Record_Route=["<sip:10.0.0.8;lr>"])
        leg = Leg.of_request(asked, FLOW, self.tokens)
        for status, with_contact in ((180, True), (200, True), (486, False)):
            answer = leg.response(asked, status)
            self.assertEqual("Contact" in answer.headers, with_contact)
            self.assertEqual("Record-Route" in answer.headers, with_contact)
            self.assertEqual(answer.to_tag, leg.local_tag)
        info = request("INFO", To=["<sip:alice@atlanta.example>;tag=ours"], Record_Route=["<sip:10.0.0.8;lr>"])
        answer = leg.response(info, 200, {"Allow": ["INFO"]}, b"x", "Fine")
        self.assertNotIn("Record-Route", answer.headers)
        self.assertEqual((answer.to_tag, answer.reason, answer.headers["Allow"]), ("ours", "Fine", ["INFO"]))

    def test_sessions(self) -> None:
        """S44: a session description becomes the leg's own."""
        leg = self.far()
        said = leg.sdp.own(b"v=0\r\no=x 1 1 IN IP4 192.0.2.9\r\ns=x\r\nt=0 0\r\n")
        self.assertIn(b"IN IP4 10.0.0.1\r\ns=-\r\n", said)
        self.assertRaises(Malformed, leg.sdp.own, b"v=0")


class Learning(LegCase):
    """Target, route set, and the way."""

    def test_the_way_stays_while_it_leads_there(self) -> None:
        """S52: the same address, or the same name, keeps the way; another forgets it."""
        for uri, contact, kept in (
            ("sip:bob@10.0.0.20", "<sip:bob@10.0.0.20:5060;transport=udp>", True),
            ("sip:bob@10.0.0.20", "<sip:bob@10.0.0.20:5062>", False),
            ("sip:bob@10.0.0.20", "<sip:bob@10.0.0.20;transport=tcp>", False),
            ("sip:bob@10.0.0.20", "<sips:bob@10.0.0.20>", False),
            ("sip:bob@pbx.example", "<sip:desk@PBX.example>", True),
            ("sip:bob@pbx.example", "<sip:desk@PBX.example:5070>", False),
            ("sip:bob@pbx.example", "<sip:desk@other.example>", False),
            ("sip:bob@pbx.example", "<sip:desk@pbx.example;maddr=10.0.0.20>", True),
            ("sip:bob@pbx.example", "<sip:desk@10.0.0.20>", True),
        ):
            leg = self.far(uri)
            leg.formed(response(Contact=[contact]))
            self.assertEqual(leg.flow is FLOW, kept, (uri, contact))
            leg = self.far(uri)
            leg.retarget(response(Contact=[contact]).contact)
            self.assertEqual(leg.flow is FLOW, kept, (uri, contact))

    def test_by_a_route(self) -> None:
        """With a route set the target moves and the way stays."""
        leg = self.far()
        leg.formed(response(Contact=["<sip:bob@10.0.0.99>"], Record_Route=["<sip:10.0.0.20;lr>"]))
        self.assertIs(leg.flow, FLOW)
        leg.retarget(response(Contact=["<sip:bob@10.0.0.98>"]).contact)
        self.assertIs(leg.flow, FLOW)
        self.assertEqual(str(leg.remote_target), "sip:bob@10.0.0.98")
        leg.formed(response(Contact=["<sip:bob@10.0.0.98>"]))  # the 2xx has no route any more
        self.assertEqual((leg.route_set, leg.router, leg.flow), ([], None, None))

    def test_nothing_to_learn(self) -> None:
        """No Contact: everything stays."""
        leg = self.far()
        leg.formed(response())
        leg.retarget(None)
        self.assertEqual((str(leg.remote_target), leg.flow), ("sip:bob@10.0.0.20", FLOW))

    def test_no_way_yet(self) -> None:
        """A way that is not known is not kept either."""
        leg = self.far(flow=None)
        leg.retarget(response(Contact=["<sip:bob@10.0.0.98>"]).contact)
        self.assertIsNone(leg.flow)

    def test_forks(self) -> None:
        """S28: the same as the first but for what is the peer's; its counters and versions are its own from then on."""
        leg = self.far()
        leg.request("INVITE", 70)
        leg.sdp.own(b"v=0\r\ns=x\r\n")
        leg.formed(response(Contact=["<sip:bob@10.0.0.20:5060>"], Record_Route=["<sip:10.0.0.9;lr>"]))
        fork = leg.fork(parse_uri("sip:bob@10.0.0.20"), FLOW, self.tokens)
        for name in ("call_id", "local_tag", "contact", "local", "remote", "local_cseq"):
            self.assertEqual(getattr(fork, name), getattr(leg, name), name)
        self.assertEqual((fork.remote_tag, fork.route_set, fork.remote_cseq), ("", [], -1))
        self.assertEqual((fork.sdp.session_id, fork.sdp.version), (leg.sdp.session_id, 1))
        self.assertIsNot(fork.sdp, leg.sdp)

    def test_leads(self) -> None:
        """Whether a way ends where a URI says: address, port and transport."""
        for listener, port, uri, expected in (
            (UDP, 5060, "sip:b@10.0.0.20", True),
            (UDP, 5062, "sip:b@10.0.0.20", False),
            (UDP, 5060, "sip:b@10.0.0.21", False),
            (TCP, 5060, "sip:b@10.0.0.20;transport=TCP", True),
            (TCP, 5060, "sip:b@10.0.0.20", True),
            (TCP, 5060, "sip:b@10.0.0.20;transport=udp", False),
            (TLS, 5061, "sips:b@10.0.0.20", True),
            (TLS, 5061, "sips:b@10.0.0.20;transport=tcp", True),
            (TCP, 5060, "sips:b@10.0.0.20:5060", False),
            (TLS, 5061, "sip:b@10.0.0.20;transport=tls", True),
        ):
            self.assertEqual(leads(Flow(listener, "10.0.0.20", port), parse_uri(uri)), expected, uri)
