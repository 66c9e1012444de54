"""INVITEs that name a dialog (RFC 3891, RFC 3911), and what else names one: only in its own zone (S37)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.test_call_transfer import hidden
from tests.transfers import Four, asked, embedded, refer, replaced_at, replaces, routes
from tests.world import TLS_TOO, World


class Replaced(SynchronousTestCase):
    """A call of alice's with bob, and who wants to be in it."""

    def setUp(self) -> None:
        self.world = Four()
        self.near, self.far = self.world.talk(self.world.alice, self.world.bob)
        self.told = False  # whether the phones know by other ways what they should not

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])
        if not self.told:
            hidden(self, self.world)

    def test_by_either_name(self) -> None:
        """Who is named by its own tag gets the INVITE, on either side, with the ids that its dialog has there."""
        a, b, c, d = (self.world.alice, self.world.bob, self.world.carol, self.world.dave)
        for caller, named, callee, dialog in (
            (d, replaces(self.near), b, self.far), (d, replaced_at(self.near), a, self.near),
            (c, replaces(self.far), a, self.near), (c, replaced_at(self.far), b, self.far),
        ):  # fmt: skip
            for header in ("Replaces", "Join"):
                talk = caller.invite(f"sip:{callee.user}@{caller.proxy.address}", headers={header: [named]})
                self.world.settle()
                self.assertIs(callee.open[-1][0], callee.talk)
                self.assertEqual(asked(callee.talk, "INVITE").headers[header], [replaced_at(dialog)])
                callee.says(486)
                self.world.settle()
                self.assertTrue(talk.over)

    def test_whatever_the_request_uri_says(self) -> None:
        """Policy lets dave call carol; the dialog says that it is for bob."""
        self.world.dave.invite("sip:carol@192.0.2.1", headers={"Replaces": [replaces(self.near)]})
        self.world.ladder("dave> INVITE, dave< 100 INVITE, bob< INVITE")
        self.assertEqual(asked(self.world.bob.talk, "INVITE").uri.user, "bob")

    def test_whom_policy_does_not_admit(self) -> None:
        """The right ids let nobody in who may not call: 404, as for any call."""
        self.world.dave.invite("sip:zoe@192.0.2.1", headers={"Replaces": [replaces(self.near)]})
        self.world.ladder("dave> INVITE, dave< 100 INVITE, dave< 404 INVITE, dave> ACK")

    def test_what_is_not_valid_there(self) -> None:
        """S37: a dialog of nobody's, another zone's ids, the ids of a call with one tag changed: 481."""
        self.told = True
        for value in (
            "1@a;to-tag=2;from-tag=3", replaces(self.far), replaced_at(self.far), replaces(self.near) + "0",
        ):  # fmt: skip
            for header in ("Replaces", "Join"):
                self.world.dave.invite("sip:bob@192.0.2.1", headers={header: [value]})
                self.world.ladder("dave> INVITE, dave< 100 INVITE, dave< 481 INVITE, dave> ACK")

    def test_what_may_not_be(self) -> None:
        """RFC 3891 3: two of them, Replaces with Join, what cannot be read, another method: 400."""
        good = replaces(self.near)
        for headers in (
            {"Replaces": [good, good]}, {"Replaces": [good], "Join": [good]}, {"Replaces": ["x"]},
        ):  # fmt: skip
            self.world.dave.invite("sip:bob@192.0.2.1", headers=headers)
            self.world.ladder("dave> INVITE, dave< 100 INVITE, dave< 400 INVITE, dave> ACK")
        self.world.dave.ask("MESSAGE", "sip:bob@192.0.2.1", headers={"Replaces": [good]})
        self.world.ladder("dave> MESSAGE, dave< 400 MESSAGE")

    def test_a_call_that_is_over(self) -> None:
        """RFC 3891 3: "If the dialog has already terminated" 603; once nothing is known of it, 481."""
        self.near.bye()
        self.world.bob.says(200)
        self.world.forget()
        for status in (603, 481):
            self.world.dave.invite("sip:bob@192.0.2.1", headers={"Replaces": [replaces(self.near)]})
            self.world.ladder(f"dave> INVITE, dave< 100 INVITE, dave< {status} INVITE, dave> ACK")
            self.world.wait(40)

    def test_inside_a_call(self) -> None:
        """In a re-INVITE it means nothing, and does not cross."""
        self.near.ask("INVITE", headers={"Replaces": [replaces(self.near)]})
        self.world.settle()
        self.assertNotIn("Replaces", asked(self.far, "INVITE").headers)
        self.world.bob.says(200)
        self.world.settle()

    def test_a_handle_for_one_zone_only(self) -> None:
        """A handle takes nobody to another side than the one that it was told on: 481."""
        for host, target in (("10.0.0.30", "carol"), ("192.0.2.30", "dave")):
            refer(self.near, f"sip:{target}@{host}?Replaces=1%40a%3Bto-tag%3D2%3Bfrom-tag%3D3")
            self.world.bob.says(202)
            self.world.settle()
            value = asked(self.far, "REFER").headers["Refer-To"][0].partition("Replaces=")[2][:-1]
            value = value.replace("%3B", ";").replace("%3D", "=")
            self.world.forget()
            talk = self.world.bob.invite(f"sip:{target}@10.0.0.1", headers={"Replaces": [value]})
            self.world.settle()
            self.assertEqual(talk.times("481 INVITE"), 1 if target == "carol" else 0)
            self.world.alice.invite("sip:carol@192.0.2.1", headers={"Replaces": [value]})
            self.world.settle()
            self.assertEqual(self.world.alice.talk.times("481 INVITE"), 1)

    def test_by_a_proxy(self) -> None:
        """The party was reached by a proxy that stays in the path: so does the new INVITE (its Route)."""
        self.world.carol.also("10.0.0.35")
        talk = self.world.alice.invite("sip:carol@192.0.2.1")
        self.world.carol.says(200, headers={"Record-Route": ["<sip:10.0.0.35;lr>"]})
        self.world.forget()
        self.world.dave.invite("sip:carol@192.0.2.1", headers={"Replaces": [replaces(talk)]})
        self.world.ladder("dave> INVITE, dave< 100 INVITE, carol'< INVITE")
        self.assertEqual(asked(self.world.carol.talk, "INVITE").headers["Route"], ["<sip:10.0.0.35;lr>"])

    def test_an_early_dialog(self) -> None:
        """RFC 3891 7.1: call pickup: who rings names the caller's early dialog; the caller decides."""
        early = self.world.dave.invite("sip:carol@192.0.2.1")
        self.world.carol.says(180)
        self.world.settle()
        self.world.bob.invite(
            "sip:dave@10.0.0.1", headers={"Replaces": [f"{replaces(self.world.carol.talk)};early-only"]}
        )
        self.world.settle()
        self.assertEqual(
            asked(self.world.dave.talk, "INVITE").headers["Replaces"], [f"{replaced_at(early)};early-only"]
        )


class OtherNames(SynchronousTestCase):
    """Target-Dialog and In-Reply-To."""

    def setUp(self) -> None:
        self.world = Four()
        self.near, self.far = self.world.talk(self.world.alice, self.world.bob)

    def passed(self, headers: dict[str, list[str]]) -> dict[str, list[str]]:
        """What of it comes to bob in a request outside the call."""
        self.world.dave.ask("MESSAGE", "sip:bob@192.0.2.1", headers=headers)
        self.world.settle()
        request = self.world.bob.says(200)
        self.world.settle()
        return {name: request.headers[name] for name in headers if name in request.headers}

    def test_target_dialog(self) -> None:
        """RFC 4538: the ids of the other leg; a dialog that nobody there knows is left out."""
        value = f"{self.near.call_id};local-tag={self.near.remote_tag};remote-tag={self.near.local_tag}"
        theirs = f"{self.far.call_id};local-tag={self.far.local_tag};remote-tag={self.far.remote_tag}"
        self.assertEqual(self.passed({"Target-Dialog": [value]}), {"Target-Dialog": [theirs]})
        for other in ("1;local-tag=2;remote-tag=3", "1", theirs):
            self.assertEqual(self.passed({"Target-Dialog": [other]}), {})
        self.assertEqual(
            self.passed({"Supported": ["tdialog, join, replaces"]}), {"Supported": ["tdialog, join, replaces"]}
        )

    def test_in_reply_to(self) -> None:
        """RFC 3261 20.21: of calls that are; others are left out."""
        self.assertEqual(
            self.passed({"In-Reply-To": [f"1@a.example, {self.near.call_id}"]}), {"In-Reply-To": [self.far.call_id]}
        )
        self.assertEqual(self.passed({"In-Reply-To": ["1@a.example"]}), {})
        self.assertEqual(self.passed({"In-Reply-To": [self.near.call_id], "Privacy": ["user"]}), {"Privacy": ["user"]})


class Ways(SynchronousTestCase):
    """By which way an INVITE goes that replaces a call."""

    def test_by_tls_and_by_tcp(self) -> None:
        """The listener and transport of the party's own leg, whatever the route would have taken."""
        for transport, port in (("tls", 5061), ("tcp", 5060)):
            text = routes() + "".join(TLS_TOO if transport == "tls" else _TCP)
            text = text.replace("sip:10.0.0.20;transport=udp", f"sip:10.0.0.50:{port};transport={transport}")
            world = World(text)
            bob = world.phone("bob", "10.0.0.50", transport)
            near, far = world.call(world.alice, bob, "sip:bob@192.0.2.1")
            dave = world.phone("dave", "192.0.2.30")
            dave.invite("sip:bob@192.0.2.1", headers={"Replaces": [replaces(near)]})
            world.settle()
            self.assertEqual(asked(bob.talk, "INVITE").headers["Replaces"], [replaced_at(far)])
            self.assertIn(f"/{transport.upper()} ", asked(bob.talk, "INVITE").headers["Via"][0])

    def test_refer_to_says_the_transport(self) -> None:
        """Who is to call us by TCP is told so."""
        text = routes() + _TCP
        text = text.replace("sip:10.0.0.20;transport=udp", "sip:10.0.0.50;transport=tcp")
        world = World(text)
        bob = world.phone("bob", "10.0.0.50", "tcp")
        near, far = world.call(world.alice, bob, "sip:bob@192.0.2.1")
        _, to_c = world.call(world.alice, world.phone("carol", "10.0.0.30"), "sip:carol@192.0.2.1")
        near.ask("REFER", headers={"Refer-To": [f"<sip:carol@a?{embedded(world.alice.talk)}>"]})
        world.settle()
        said = replaced_at(to_c).replace(";", "%3B").replace("=", "%3D")
        self.assertEqual(
            asked(far, "REFER").headers["Refer-To"], [f"<sip:carol@10.0.0.1;transport=tcp?Replaces={said}>"]
        )


_TCP = """
[[listener]]
name = "private-tcp"
zone = "private"
transport = "tcp"
address = "10.0.0.1"
port = 5060
"""
