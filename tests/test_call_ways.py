"""Where requests inside a call go: route sets, targets, connections (S3, S18, S19, S49, S52)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog
from b2bua.sip.message import Request, Response
from tests.world import TLS_TOO, TWO_SIDES, World

URI = "sip:bob@biloxi.example"
TCP = TWO_SIDES.replace("sip:10.0.0.20;transport=udp", "sip:10.0.0.30;transport=tcp")


def last(dialog: Dialog, method: str) -> Request:
    """The last request of this method."""
    message = dialog.last(method)
    assert isinstance(message, Request)
    return message


class Routes(SynchronousTestCase):
    """Record-Route on either side."""

    def setUp(self) -> None:
        self.world = World()
        self.proxy = self.world.bob.also("10.0.0.9", user="proxy")
        self.edge = self.world.alice.also("192.0.2.9", user="edge")

    def call(self, far: list[str], near: list[str]) -> tuple[Dialog, Dialog]:
        """A call with these Record-Routes: of the callee's 2xx, and of the caller's INVITE."""
        world = self.world
        talk = world.alice.invite(URI, headers={"Record-Route": near} if near else {})
        world.settle()
        callee = world.bob.talk
        world.bob.says(200, headers={"Record-Route": far} if far else {})
        world.settle()
        return talk, callee

    def test_loose_routers(self) -> None:
        """RFC 3261 12.1: reversed from a response, in order from a request; parameters as they came (S19)."""
        far = ["<sip:10.0.0.8;lr;x=1>, <sip:10.0.0.9;lr>", '"<in>" <sip:10.0.0.7;lr>;y=2']
        near = ["<sip:192.0.2.9;lr;a=b>", "<sip:192.0.2.8;lr>"]
        self.world.bob.also("10.0.0.7", user="proxy7")
        talk, callee = self.call(far, near)
        ack = last(callee, "ACK")
        self.assertIn("proxy7< ACK", self.world.story)
        expected = ['"<in>" <sip:10.0.0.7;lr>;y=2', "<sip:10.0.0.9;lr>", "<sip:10.0.0.8;lr;x=1>"]
        self.assertEqual((ack.uri_text, ack.headers["Route"]), ("sip:bob@10.0.0.20:5060;transport=udp", expected))
        self.assertEqual(talk.last("200 INVITE").headers["Record-Route"], near)
        talk.routes = []
        talk.info("1")
        self.world.settle()
        self.assertEqual(last(callee, "INFO").headers["Route"], expected)
        callee.info("2")
        self.world.settle()
        info = last(talk, "INFO")
        self.assertEqual(self.world.story[-1], "edge< INFO")
        self.assertEqual(info.headers["Route"], ["<sip:192.0.2.9;lr;a=b>", "<sip:192.0.2.8;lr>"])
        self.assertEqual(info.uri_text, "sip:alice@192.0.2.20:5060;transport=udp")

    def test_strict_routers(self) -> None:
        """S19: the first router without lr takes its URI as the Request-URI, and ours is the last Route."""
        talk, callee = self.call(["<sip:10.0.0.8;lr>", "<sip:p@10.0.0.9;method=INVITE;x=1>"], ["<sip:192.0.2.9>"])
        ack = last(callee, "ACK")
        self.assertEqual(ack.uri_text, "sip:p@10.0.0.9;x=1")
        self.assertEqual(ack.headers["Route"], ["<sip:10.0.0.8;lr>", "<sip:bob@10.0.0.20:5060;transport=udp>"])
        callee.info("2")
        self.world.settle()
        info = last(talk, "INFO")
        self.assertEqual((info.uri_text, self.world.story[-1]), ("sip:192.0.2.9", "edge< INFO"))
        self.assertEqual(info.headers["Route"], ["<sip:alice@192.0.2.20:5060;transport=udp>"])

    def test_a_neighbours_double_record_route(self) -> None:
        """S19: a proxy between two networks names itself twice; both stay, in order."""
        both = ["<sip:10.0.0.99:5070;transport=tcp;r2=on;lr>", "<sip:10.0.0.9;r2=on;lr>"]
        _, callee = self.call(both, [])
        self.assertEqual(last(callee, "ACK").headers["Route"], both[::-1])
        self.assertIn("proxy< ACK", self.world.story)

    def test_the_route_set_is_frozen(self) -> None:
        """S18: a re-INVITE's Record-Route, and its 2xx's, change nothing."""
        talk, callee = self.call(["<sip:10.0.0.9;lr>"], [])
        talk.ask("INVITE", talk.sdp(), {"Content-Type": ["application/sdp"], "Record-Route": ["<sip:192.0.2.9;lr>"]})
        self.world.settle()
        self.world.bob.says(200, headers={"Record-Route": ["<sip:10.0.0.77;lr>"]})
        self.world.settle()
        talk.info("1")
        self.world.settle()
        self.assertEqual(last(callee, "INFO").headers["Route"], ["<sip:10.0.0.9;lr>"])

    def test_the_2xx_settles_it(self) -> None:
        """RFC 3261 13.2.2.4: the route set of the 1xx gives way to the one of the 2xx."""
        world = self.world
        talk = world.alice.invite(URI)
        world.bob.says(180, headers={"Record-Route": ["<sip:10.0.0.77;lr>"]})
        world.settle()
        world.bob.says(200)
        world.settle()
        self.assertNotIn("Route", last(world.bob.talk, "ACK").headers)
        self.assertEqual(world.story[-3], "bob< ACK")
        self.assertEqual(talk.times("200 INVITE"), 1)

    def test_a_preloaded_route_never_decides(self) -> None:
        """Only policy chooses the next hop (no open relay), and no Route crosses."""
        self.world.alice.invite(URI, headers={"Route": ["<sip:192.0.2.1;lr>", "<sip:10.0.0.9;lr>"]})
        self.world.settle()
        self.assertEqual(self.proxy.bytes_in, [])
        self.assertNotIn("Route", self.world.bob.talk.heard[0].headers)


class Targets(SynchronousTestCase):
    """Contacts (S18)."""

    def test_a_contact_with_what_a_request_uri_must_not_have(self) -> None:
        """RFC 3261 19.1.1: headers and method stay out of a Request-URI."""
        world = World()
        world.bob.contact = "<sip:bob:pw@10.0.0.20:5060;method=INVITE;x=1?Subject=hi>"
        world.alice.invite(URI)
        world.bob.says(200)
        world.settle()
        self.assertEqual(last(world.bob.talk, "ACK").uri_text, "sip:bob:pw@10.0.0.20:5060;x=1")

    def test_maddr(self) -> None:
        """RFC 3263 4: maddr is where it goes, the host is what is written."""
        world = World()
        world.bob.also("10.0.0.22", user="other")
        world.bob.contact = "<sip:bob@10.0.0.20;maddr=10.0.0.22>"
        world.alice.invite(URI)
        world.bob.says(200)
        world.settle()
        self.assertIn("other< ACK", world.story)

    def test_a_2xx_moves_both(self) -> None:
        """S18: a re-INVITE and its 2xx bring new Contacts; ACK goes to the new one already."""
        world = World()
        near, far = world.call()
        moved_bob, moved_alice = world.bob.also("10.0.0.66"), world.alice.also("192.0.2.66")
        near.ask("INVITE", near.sdp(), {"Content-Type": ["application/sdp"], "Contact": [moved_alice.contact]})
        world.bob.says(200, headers={"Contact": [moved_bob.contact]})
        world.settle()
        self.assertIn("bob'< ACK", world.story)
        far.info("1")
        near.info("2")
        world.settle()
        self.assertIn("alice'< INFO", world.story)
        self.assertIn("bob'< INFO", world.story)

    def test_another_transport_in_contact(self) -> None:
        """A Contact that asks for TCP gets TCP, by the listener's twin at the same address; else the leg's listener."""
        world = World()
        tcp = world.bob.also("10.0.0.20", "tcp", user="bob-tcp")
        world.bob.contact = tcp.contact
        talk = world.alice.invite(URI)
        world.bob.says(200)
        world.settle()
        self.assertIn("bob-tcp< ACK", world.story)
        self.assertEqual(world.connecting, ["tcp 10.0.0.20:5060"])
        self.assertTrue(last(world.bob.talk, "ACK").headers["Via"][0].startswith("SIP/2.0/TCP 10.0.0.1:5060;"))
        talk.info("1")
        world.settle()
        self.assertEqual(len(world.connecting), 1)
        world = World(
            TWO_SIDES.replace('name = "private-tcp"\nzone = "private"', 'name = "private-tcp"\nzone = "public"')
        )
        world.bob.contact = tcp.contact
        talk = world.alice.invite(URI)
        world.bob.says(200)
        world.settle()
        talk.info("1")
        world.settle()
        self.assertEqual((world.bob.talk.times("ACK"), world.bob.talk.times("INFO")), (1, 1))


class Connections(SynchronousTestCase):
    """Streams (S49)."""

    def setUp(self) -> None:
        self.world = world = World(TCP)
        self.ann, self.ben = world.phone("ann", "192.0.2.30", "tcp"), world.phone("ben", "10.0.0.30", "tcp")
        self.near, self.far = world.call(self.ann, self.ben)

    def test_the_callers_own_connection_is_used(self) -> None:
        """Requests to a caller that lives at the end of a connection go by it, whatever port its Contact names."""
        self.far.info("1")
        self.ann.says(200)
        self.world.settle()
        self.assertEqual(self.far.times("200 INFO"), 1)
        self.assertEqual(self.world.connecting, ["tcp 10.0.0.30:5060"])

    def test_it_died(self) -> None:
        """Both connections are gone: ours is made again to the same place, the caller's to where its Contact says."""
        self.ann.drop()
        self.ben.drop()
        self.near.info("1")
        self.ben.says(200)
        self.world.settle()
        self.assertEqual(self.near.times("200 INFO"), 1)
        self.ann.drop()
        self.far.info("2")
        self.ann.says(200)
        self.world.settle()
        self.assertEqual(self.far.times("200 INFO"), 1)
        self.assertEqual(self.world.connecting, [*["tcp 10.0.0.30:5060"] * 2, "tcp 192.0.2.30:5060"])
        self.far.bye()
        self.ann.says(200)
        self.world.quiet()

    def test_it_died_and_the_callee_came_back(self) -> None:
        """The callee has a connection to us by now: that one is taken, none is made."""
        self.ben.drop()
        self.far.flow = self.ben.by_proxy()
        self.far.info("1")
        self.ann.says(200)
        self.world.settle()
        self.near.info("2")
        self.ben.says(200)
        self.world.settle()
        self.assertEqual(self.near.times("200 INFO"), 1)
        self.assertEqual(self.world.connecting, ["tcp 10.0.0.30:5060"])

    def test_it_died_and_nobody_is_there(self) -> None:
        """A request to a peer whose host refuses is answered; hanging up works."""
        self.ben.drop()
        self.ben.refusing = True
        self.near.info("1")
        self.near.reinvite()
        self.world.settle()
        self.assertEqual((self.near.times("503 INFO"), self.near.times("503 INVITE")), (1, 1))
        self.near.bye()
        self.world.settle()
        self.assertEqual(self.near.times("200 BYE"), 1)
        self.world.quiet()

    def test_it_died_with_a_request_on_it(self) -> None:
        """A connection that closes under a request fails it at once."""
        self.near.info("1")
        self.world.settle()
        self.ben.drop()
        self.world.settle()
        self.assertEqual(self.near.times("503 INFO"), 1)

    def test_it_died_while_it_rang(self) -> None:
        """The callee's connection closes after 180; its 200 comes by one of its own, and the call stands."""
        self.near.bye()
        self.ben.says(200)
        talk = self.ann.invite(URI)
        self.ben.says(180)
        self.world.settle()
        self.ben.drop()
        self.world.settle()
        self.ben.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        talk.bye()
        self.ben.says(200)
        self.world.quiet()

    def test_the_certificates_name_is_kept(self) -> None:
        """S50, S52: connected anew, the peer must prove the name that it was called by, not its Contact's address."""
        text = TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"', '"sip:tls.example:5061;transport=tls"', 1)
        world = World(text + TLS_TOO, dns="tls.example A 10.0.0.40")
        ben = world.phone("ben", "10.0.0.40", "tls")
        near, far = world.call(world.alice, ben)
        ben.drop()
        near.info("1")
        ben.says(200)
        world.settle()
        self.assertEqual(near.times("200 INFO"), 1)
        flows = {leg.flow.tls_name for call in world.hall.book for leg in (call.far,) if leg is not None and leg.flow}
        self.assertEqual(flows, {"tls.example"})

    def test_a_secure_contact_over_a_connection_that_is_not(self) -> None:
        """S14: a sips Contact is not served by a TCP connection, though it leads to that host."""
        world = World(TCP + TLS_TOO)
        ann, ben = world.phone("ann", "192.0.2.30", "tcp"), world.phone("ben", "10.0.0.30", "tcp")
        ann.contact = "<sips:ann@192.0.2.30>"
        ann.also("192.0.2.30", "tls", user="ann-tls")
        near, far = world.call(ann, ben)
        far.info("1")
        world.settle()
        self.assertIn("ann-tls< INFO", world.story)


class Shaken(SynchronousTestCase):
    """Wires that lose, double and reorder: retransmission carries every call through, and leaves nothing."""

    def test_everything_twice(self) -> None:
        """Every datagram of a call comes twice: each request crosses once, and nothing is left."""
        world = World()
        world.wires.shake(double=1.0)
        near, far = world.call()
        near.info("1")
        world.bob.says(200)
        far.reinvite()
        world.alice.says(200)
        cancelled = near.reinvite()
        world.settle()
        near.cancel()
        world.settle()
        world.bob.open.clear()
        far.bye()
        world.alice.says(200)
        world.settle()
        self.assertEqual(cancelled.status, 487)
        for dialog, method, times in ((far, "INVITE", 2), (far, "INFO", 1), (near, "INVITE", 1), (near, "BYE", 1)):
            self.assertEqual(dialog.times(method), times, method)
        self.assertEqual({each.status for each in near.heard if isinstance(each, Response)}, {100, 180, 200, 487})
        talk = world.alice.invite(URI)
        world.bob.says(180)
        world.bob.says(486)
        world.settle()
        self.assertEqual((world.bob.talk.times("INVITE"), world.bob.talk.times("CANCEL")), (1, 0))
        talk.ask("BYE")
        world.settle()
        self.assertEqual(len(world.bob.dialogs), 2)
        world.quiet()

    def test_a_call_on_bad_wires(self) -> None:
        """Each seed is another run: INVITE, 200, ACK, INFO, re-INVITE, BYE; all of it lost, doubled, late."""
        for seed in range(40):
            world = World(seed=seed)
            world.wires.shake(loss=0.15, double=0.2, delay=0.12)
            world.alice.asked = world.bob.asked = lambda dialog, request: (
                dialog.answer() if request.method == "INVITE" else dialog.respond(request, 200)
            )
            talk = world.alice.invite(URI)
            world.wait(12)
            self.assertTrue(talk.up, seed)
            info = talk.info("1")
            world.wait(12)
            again = world.bob.talk.reinvite("sendonly")
            world.wait(20)
            bye = talk.bye()
            world.wait(20)
            self.assertEqual((info.status, again.status, bye.status), (200, 200, 200), seed)
            self.assertEqual(len(world.bob.dialogs), 1)
            for name in ("INFO", "BYE"):
                requests = {
                    each.cseq[0] for each in world.bob.talk.heard if isinstance(each, Request) and each.method == name
                }
                self.assertEqual(len(requests), 1, seed)
            self.assertEqual([each.status for each in talk.heard if isinstance(each, Response)].count(487), 0)
            world.quiet()
