"""What one side is shown of the other's addresses: From, To, Request-URI, identities (S35, S39, S40)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog
from b2bua.sip.message import Headers, Request
from tests.world import TWO_SIDES, World


def with_zone(keys: str) -> str:
    """The two sides, with these keys for the private zone."""
    return TWO_SIDES.replace('name = "private"\n', f'name = "private"\n{keys}\n', 1)


class Shown(SynchronousTestCase):
    """An INVITE as it arrives."""

    def arrived(self, uri: str, text: str = TWO_SIDES, to: str = "", **headers: list[str]) -> Request:
        """What bob gets of alice's INVITE."""
        world = World(text)
        alice = world.alice
        given: Headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if "From" in given:
            given["From"] = [f"{given['From'][0]};tag=1"]
        if to:
            given["To"] = [to]
        alice.invite(uri, headers=given)
        world.settle()
        self.talk: Dialog = world.bob.talk
        request = self.talk.heard[0]
        assert isinstance(request, Request)
        return request

    def shown(self, name: str, value: str, text: str = TWO_SIDES) -> str:
        """What becomes of one From or To; From without its tag."""
        given = {"From": [value]} if name == "From" else {}
        request = self.arrived("sip:bob@biloxi.example", text, value if name == "To" else "", **given)
        return request.headers[name][0].partition(";tag=")[0]

    def test_hosts_are_masked(self) -> None:
        """From has our own host, To and Request-URI the next hop's; users and display names cross."""
        request = self.arrived(
            "sip:bob@biloxi.example;transport=udp", From=['"Alice" <sip:alice@atlanta.example:5062;user=phone>']
        )
        self.assertEqual(request.uri_text, "sip:bob@10.0.0.20;transport=udp")
        self.assertRegex(request.headers["From"][0], r'\A"Alice" <sip:alice@10\.0\.0\.1;user=phone>;tag=[a-z0-9]+\Z')
        self.assertEqual(request.headers["To"], ["<sip:bob@10.0.0.20>"])

    def test_what_else_may_stand_there(self) -> None:
        """Nothing of another network in parameters, passwords, schemes that are not SIP's, or contexts of numbers."""
        for value, expected in (
            ("<sip:alice:secret@atlanta.example;maddr=192.0.2.9;x=atlanta.example>", "<sip:alice@10.0.0.1>"),
            ("<sip:alice@atlanta.example;user=192.0.2.9>", "<sip:alice@10.0.0.1>"),
            ("sip:atlanta.example", "<sip:10.0.0.1>"),
            ("<sips:alice@atlanta.example>", "<sips:alice@10.0.0.1>"),
            ("<sip:+1234;phone-context=atlanta.example;isub=5@atlanta.example;user=phone>",
             "<sip:+1234;isub=5@10.0.0.1;user=phone>"),
            ("<sip:1;tgrp=t;Trunk-Context=atlanta.example@a.example>", "<sip:1;tgrp=t@10.0.0.1>"),
            ("<tel:7042;phone-context=atlanta.example>", "<tel:7042>"),
            ("<tel:+1-201-555-0123>", "<tel:+1-201-555-0123>"),
            ("<http://atlanta.example/alice>", "<sip:10.0.0.1>"),
            ("Anonymous <sip:anonymous@Anonymous.invalid;x=atlanta.example>",
             "Anonymous <sip:anonymous@anonymous.invalid>"),
            ("<sip:alice@atlanta.example.anonymous.invalid>", "<sip:alice@10.0.0.1>"),
        ):  # fmt: skip
            self.assertEqual(self.shown("From", value), expected)
        self.assertEqual(self.shown("To", "<tel:7042;phone-context=biloxi.example>"), "<tel:7042>")

    def test_a_display_name_that_is_no_text(self) -> None:
        """Octets that are not UTF-8, and signs that act on a terminal, do not cross."""
        shown = self.shown("From", '"A\u2028l\\\x9bi\udcffce" <sip:a@a.example>')
        self.assertTrue(shown.isprintable())
        self.assertEqual(shown.replace(" ", ""), '"Al\\ice"<sip:a@10.0.0.1>')

    def test_a_number(self) -> None:
        """RFC 3261 19.1.6: a tel Request-URI is the next hop's user; its context stays here."""
        request = self.arrived("tel:+1-201-555-0123;ext=7;phone-context=a.example", to="<tel:+1-201-555-0123>")
        self.assertEqual(request.uri_text, "sip:+1-201-555-0123@10.0.0.20;transport=udp;user=phone")

    def test_the_next_hops_own_user(self) -> None:
        """A next hop with a user of its own: that one is called."""
        request = self.arrived("sip:bob@biloxi.example", TWO_SIDES.replace("sip:10.0.0.20;", "sip:desk@10.0.0.20;lr;"))
        self.assertEqual(request.uri_text, "sip:desk@10.0.0.20;transport=udp")
        self.assertEqual(request.headers["To"], ["<sip:bob@10.0.0.20>"])

    def test_to_where_the_request_uri_says(self) -> None:
        """`to = "request-uri"`: the Request-URI as it came, less what it must not have there."""
        text = TWO_SIDES.replace("sip:10.0.0.20;transport=udp", "request-uri")
        request = self.arrived("sip:bob:secret@10.0.0.20;x=1", text)
        self.assertEqual(request.uri_text, "sip:bob@10.0.0.20;x=1")
        self.assertEqual(request.headers["To"], ["<sip:bob@10.0.0.20>"])

    def test_hosts_that_a_zone_keeps(self) -> None:
        """keep_hosts: each of From, To and Request-URI for itself."""
        address = "<sip:alice:secret@atlanta.example:5062;x=1>"
        for kept in ("From", "To", "Request-URI"):
            text = with_zone(f'keep_hosts = ["{kept}"]')
            request = self.arrived("sip:bob@biloxi.example:5062", text, "<sip:bob@biloxi.example>", From=[address])
            self.assertEqual(request.uri.host, "biloxi.example" if kept == "Request-URI" else "10.0.0.20")
            self.assertEqual(request.from_.uri.host, "atlanta.example" if kept == "From" else "10.0.0.1")
            self.assertNotIn("secret", request.headers["From"][0])
            if kept == "To":
                self.assertEqual(request.headers["To"], ["<sip:bob@biloxi.example>"])

    def test_privacy(self) -> None:
        """RFC 3323: who wants privacy is anonymous, and what names the caller besides does not cross either."""
        request = self.arrived(
            "sip:bob@biloxi.example",
            From=['"Alice" <sip:alice@a.example>'],
            Privacy=["user;id"],
            Subject=["alice here"],
        )
        self.assertRegex(request.headers["From"][0], r"\AAnonymous <sip:anonymous@anonymous\.invalid>;tag=[a-z0-9]+\Z")
        self.assertNotIn(b"lice", bytes(request).replace(b"s=alice", b""))
        self.assertEqual(request.headers["Privacy"], ["user;id"])
        world_of_trust = with_zone("trusted = true")
        request = self.arrived("sip:bob@biloxi.example", world_of_trust, Privacy=["user"], Subject=["alice here"])
        self.assertEqual((request.from_.uri.user, request.headers["Subject"]), ("alice", ["alice here"]))

    def test_asserted_identity(self) -> None:
        """RFC 3325: from a trusted zone to a trusted zone, else not at all."""
        asserted = ["<sip:alice@atlanta.example>"]
        both = with_zone("trusted = true").replace('name = "public"\n', 'name = "public"\ntrusted = true\n', 1)
        for text, crosses in ((TWO_SIDES, False), (with_zone("trusted = true"), False), (both, True)):
            request = self.arrived("sip:bob@biloxi.example", text, P_Asserted_Identity=asserted)
            self.assertEqual(request.headers.get("P-Asserted-Identity"), asserted if crosses else None)

    def test_overrides(self) -> None:
        """[[hiding]]: what the operator says for this pair of zones, in this direction."""
        override = '[[hiding]]\nfrom = "public"\nto = "private"\nkeep = ["X-Account"]\ndrop = ["Subject"]\n'
        request = self.arrived("sip:bob@biloxi.example", TWO_SIDES + override, X_Account=["7"], Subject=["hello"])
        self.assertEqual((request.headers.get("x-account"), request.headers.get("Subject")), (["7"], None))
        request = self.arrived("sip:bob@biloxi.example", X_Account=["7"], Subject=["hello"])
        self.assertEqual((request.headers.get("x-account"), request.headers.get("Subject")), (None, ["hello"]))

    def test_what_we_cannot_bridge(self) -> None:
        """S40: Allow and Supported are less by what we do not bridge, in both directions."""
        request = self.arrived(
            "sip:bob@biloxi.example", Allow=["INVITE, ACK, PRACK, FROB"], Supported=["100rel, timer, replaces"]
        )
        self.assertEqual(request.headers["Allow"], ["INVITE, ACK, PRACK"])
        self.assertEqual(request.headers["Supported"], ["100rel, timer, replaces"])


class OwnAnswers(SynchronousTestCase):
    """S43: what we answer ourselves has the identity of the leg that asked."""

    def test_every_response_echoes_its_own_leg(self) -> None:
        """Via, From, To, Call-ID, CSeq are the asker's own; the tag is ours, the same in all of a dialog."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(180)
        world.bob.says(486)
        world.settle()
        assert talk.sent is not None
        for answer in talk.sent.responses:
            for name in ("Via", "From", "Call-ID", "CSeq"):
                got = answer.headers[name][0].partition(";rport=")[0]
                self.assertTrue(talk.sent.request.headers[name][0].startswith(got.partition(";rport")[0]), name)
        self.assertEqual(len({answer.to_tag for answer in talk.sent.responses if answer.status > 100}), 1)
        self.assertEqual(talk.sent.responses[0].to_tag, "")
