"""A call as it goes when nothing goes wrong: set-up, everything inside it in both directions, and its end."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.call import Phase
from b2bua.ops.phone import Dialog, direction_of
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response
from tests.world import TWO_SIDES, Party, World

TCP = TWO_SIDES.replace("sip:10.0.0.20;transport=udp", "sip:10.0.0.30;transport=tcp")


def request(dialog: Dialog, method: str) -> Request:
    """The last request of this method that a phone got."""
    message = dialog.last(method)
    assert isinstance(message, Request)
    return message


def response(dialog: Dialog, what: str) -> Response:
    """The last response that a phone got: "200 INVITE"."""
    message = dialog.last(what)
    assert isinstance(message, Response)
    return message


class PlainCalls(SynchronousTestCase):
    """INVITE, 180, 200, ACK, BYE."""

    def test_the_caller_hangs_up(self) -> None:
        """RFC 3665 3.1, with the bridge between (S15, S22, S24)."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.ladder("alice> INVITE, alice< 100 INVITE, bob< INVITE")
        world.bob.says(180)
        world.ladder("bob> 180 INVITE, alice< 180 INVITE")
        world.bob.says(200)
        world.ladder("bob> 200 INVITE, bob< ACK, alice< 200 INVITE, alice> ACK")
        talk.bye()
        world.bob.says(200)
        world.ladder("alice> BYE, bob< BYE, bob> 200 BYE, alice< 200 BYE")
        self.assertEqual(world.journal.lines, ["started by rule inwards", "answered", "ended: the caller hung up"])
        world.quiet()
        world.ladder()

    def test_the_callee_hangs_up(self) -> None:
        """The other way round, called from the private side."""
        world = World()
        near, far = world.call(world.bob, world.alice, "sip:alice@atlanta.example")
        self.assertEqual([call.phase for call in world.hall.book], [Phase.ANSWERED])
        far.bye()
        world.bob.says(200)
        world.ladder("alice> BYE, bob< BYE, bob> 200 BYE, alice< 200 BYE")
        self.assertEqual(world.journal.lines[-1], "ended: the callee hung up")
        world.quiet()

    def test_by_tcp(self) -> None:
        """Over streams the same, and nothing is sent twice but a 2xx without its ACK (S23)."""
        world = World(TCP)
        alice, bob = world.phone("ann", "192.0.2.30", "tcp"), world.phone("ben", "10.0.0.30", "tcp")
        near, far = world.call(alice, bob)
        far.bye()
        alice.says(200)
        world.ladder("ben> BYE, ann< BYE, ann> 200 BYE, ben< 200 BYE")
        self.assertEqual(len(alice.pipes), 1)
        world.quiet()

    def test_each_leg_has_ids_of_its_own(self) -> None:
        """S15, S16: Call-ID, tags, branch, Contact user: words of 80 bits or more, nothing in common, no host part."""
        world = World()
        near, far = world.call()
        one, other = near.said[0], far.heard[0]
        for name in ("Call-ID", "CSeq", "Via", "Contact", "From", "To"):
            self.assertNotEqual(one.headers[name], other.headers[name] if name != "CSeq" else None, name)
        ids = {one.call_id, other.call_id, one.from_tag, other.from_tag, near.remote_tag, far.local_tag}
        ids |= {near.target.user, far.target.user, one.via.branch, other.via.branch}
        self.assertEqual(len(ids), 10)
        for word in (other.call_id, other.from_tag, near.remote_tag, near.target.user, far.target.user):
            self.assertRegex(word, r"\A[a-z0-9]{16,}\Z")
        self.assertEqual(str(other.contact), f"<sip:{far.target.user}@10.0.0.1:5060;transport=udp>")
        self.assertTrue(other.headers["Via"][0].startswith("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK"))
        self.assertEqual(len(other.headers["Via"]), 1)

    def test_sdp_is_the_legs_own(self) -> None:
        """S44: the origin is ours on both sides, its version one higher with each change and only then."""
        world = World()
        near, far = world.call()
        origin = [line for line in far.heard[0].body.split(b"\r\n") if line.startswith(b"o=")]
        self.assertRegex(origin[0].decode(), r"o=- [0-9]+ 1 IN IP4 10\.0\.0\.1")
        self.assertIn(b"s=-\r\nc=IN IP4 192.0.2.20", far.heard[0].body)
        near.reinvite("sendonly")
        world.bob.says(200)
        world.settle()
        changed = [line for line in request(far, "INVITE").body.split(b"\r\n") if line.startswith(b"o=")]
        self.assertEqual(changed[0], origin[0].replace(b" 1 IN", b" 2 IN"))


class InsideTheCall(SynchronousTestCase):
    """Requests inside the dialog, from either side (S3, S20)."""

    def each_way(self) -> list[tuple[World, Dialog, Party, Dialog, Party]]:
        """A fresh call with the caller asking, and one with the callee asking."""
        ways = []
        for caller_asks in (True, False):
            world = World()
            near, far = world.call()
            sides = (near, world.alice), (far, world.bob)
            (asking, asker), (asked, answerer) = sides if caller_asks else sides[::-1]
            ways.append((world, asking, asker, asked, answerer))
        return ways

    def test_every_method_crosses(self) -> None:
        """UPDATE, INFO, MESSAGE, OPTIONS, NOTIFY and one that nobody knows: relayed within the dialog (S20)."""
        for method in ("UPDATE", "INFO", "MESSAGE", "OPTIONS", "NOTIFY", "FROB"):
            for world, asking, asker, asked, answerer in self.each_way():
                asking.ask(method, b"hello", {"Content-Type": ["text/plain"]})
                answerer.says(202, b"dear", {"Content-Type": ["text/plain"]})
                a, b = asker.user, answerer.user
                world.ladder(f"{a}> {method}, {b}< {method}, {b}> 202 {method}, {a}< 202 {method}")
                got = request(asked, method)
                self.assertEqual(got.body, b"hello")
                self.assertEqual(got.call_id, asked.call_id)
                self.assertEqual((got.from_tag, got.to_tag), (asked.remote_tag, asked.local_tag))
                self.assertEqual(got.headers["Max-Forwards"], ["69"])
                self.assertEqual("Contact" in got.headers, method in ("UPDATE", "NOTIFY"))
                answer = response(asking, f"202 {method}")
                self.assertEqual(answer.body, b"dear")
                self.assertEqual("Contact" in answer.headers, method in ("UPDATE", "NOTIFY"))

    def test_only_finals_cross(self) -> None:
        """RFC 4320: of the answers to a request that is no INVITE; a 503 of the far side's is no 503 of ours (S29)."""
        world = World()
        near, far = world.call()
        near.info("1")
        world.bob.says(100)
        world.bob.says(503)
        world.ladder("alice> INFO, bob< INFO, bob> 100 INFO, bob> 503 INFO, alice< 500 INFO")

    def test_an_update_without_contacts(self) -> None:
        """Nothing to be learnt from it: the targets stay (S18)."""
        world = World()
        near, far = world.call()
        world.switchboard.received(
            bytes(near.request("UPDATE", near.cseq + 1)).replace(b"Contact:", b"X-Contact:"),
            Flow(world.configuration.listeners[0], "192.0.2.20", 5060),
        )
        world.bob.says(200)
        world.forget()
        far.info("1")
        world.ladder("bob> INFO, alice< INFO")

    def test_cseq_is_each_legs_own(self) -> None:
        """S15: the numbers of one side do not show on the other."""
        world = World()
        near, far = world.call()
        near.cseq += 700
        near.info("1")
        world.bob.says(200)
        near.cseq += 9000
        near.info("2")
        world.bob.says(200)
        world.settle()
        self.assertEqual([each.cseq[0] for each in far.heard if isinstance(each, Request)], [1, 1, 2, 3])
        far.info("3")
        world.alice.says(200)
        world.settle()
        self.assertEqual(request(near, "INFO").cseq, (1, "INFO"))

    def test_hold_and_resume(self) -> None:
        """RFC 3264 8.4, from either side: the direction crosses, and so does the answer."""
        for world, asking, asker, asked, answerer in self.each_way():
            asking.reinvite("sendonly")
            answerer.says(200)
            a, b = asker.user, answerer.user
            world.ladder(
                f"{a}> INVITE, {a}< 100 INVITE, {b}< INVITE, {b}> 200 INVITE, {b}< ACK, {a}< 200 INVITE, {a}> ACK"
            )
            self.assertEqual(direction_of(request(asked, "INVITE").body), "sendonly")
            self.assertEqual(direction_of(response(asking, "200 INVITE").body), "recvonly")
            asking.reinvite("sendrecv")
            answerer.says(180)
            answerer.says(200)
            world.forget()
            self.assertEqual(asking.times("180 INVITE") - (asker is world.alice), 1)
            asking.bye()
            answerer.says(200)
            world.quiet()

    def test_a_failed_reinvite_changes_nothing(self) -> None:
        """S18, S32: 488 crosses; targets, and the call, are as they were."""
        for world, asking, asker, asked, answerer in self.each_way():
            moved = asker.contact.replace("5060", "6060")
            asking.ask("INVITE", asking.sdp(), {"Content-Type": ["application/sdp"], "Contact": [moved]})
            answerer.says(488, headers={"Warning": ['304 10.0.0.9 "no such media"']})
            world.forget()
            self.assertEqual(response(asking, "488 INVITE").headers["Warning"][0][:3], "304")
            asked.info("1")
            asker.says(200)  # the old Contact still
            asking.reinvite()
            answerer.says(200)
            world.settle()
            self.assertEqual(asking.times("200 INVITE") + asking.times("488 INVITE"), 2 + (asker is world.alice))

    def test_late_offer(self) -> None:
        """S24: INVITE without an offer: our ACK waits for the caller's, and carries the answer."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example", body=b"")
        world.bob.says(200)
        world.ladder(
            "alice> INVITE, alice< 100 INVITE, bob< INVITE",
            "bob> 200 INVITE, alice< 200 INVITE, alice> ACK, bob< ACK",
        )
        ack = request(world.bob.talk, "ACK")
        self.assertIn(b"m=audio 40000", ack.body)
        self.assertIn(b"IN IP4 10.0.0.1\r\n", ack.body)
        self.assertEqual(ack.headers["Content-Type"], ["application/sdp"])
        talk.bye()
        world.bob.says(200)
        world.quiet()

    def test_late_offer_inside_the_call(self) -> None:
        """S24 for a re-INVITE, from either side."""
        for world, asking, asker, asked, answerer in self.each_way():
            asking.ask("INVITE")
            answerer.says(200)
            a, b = asker.user, answerer.user
            world.ladder(
                f"{a}> INVITE, {a}< 100 INVITE, {b}< INVITE, {b}> 200 INVITE, {a}< 200 INVITE, {a}> ACK, {b}< ACK"
            )
            self.assertTrue(request(asked, "ACK").body)

    def test_no_description_anywhere(self) -> None:
        """An INVITE and a 2xx without SDP: nothing to wait for."""
        world = World()
        world.alice.invite("sip:bob@biloxi.example", body=b"")
        world.bob.says(200, b"")
        world.ladder(
            "alice> INVITE, alice< 100 INVITE, bob< INVITE",
            "bob> 200 INVITE, bob< ACK, alice< 200 INVITE, alice> ACK",
        )

    def test_another_body_is_no_offer(self) -> None:
        """A late offer may have a body that is none: text. The 2xx holds the offer."""
        world = World()
        world.alice.ask("INVITE", "sip:bob@biloxi.example", None, b"hi", {"Content-Type": ["text/plain"]})
        world.forget()
        world.bob.says(200)
        world.ladder("bob> 200 INVITE, alice< 200 INVITE, alice> ACK, bob< ACK")

    def test_update_moves_the_target(self) -> None:
        """S18: a 2xx to UPDATE commits both Contacts; requests go to the new places from then on."""
        for world, asking, asker, asked, answerer in self.each_way():
            moved = asker.also(asker.at.address, port=6060)
            asking.ask("UPDATE", headers={"Contact": [moved.contact]})
            answerer.says(200)
            world.forget()
            asked.info("5")
            world.ladder(f"{answerer.user}> INFO, {asker.user}'< INFO")

    def test_a_refused_update_moves_nothing(self) -> None:
        """S18: and one that is refused does not."""
        world = World()
        near, far = world.call()
        near.ask("UPDATE", headers={"Contact": ["<sip:alice@192.0.2.99>"]})
        world.bob.says(491)
        world.forget()
        far.info("5")
        world.ladder("bob> INFO, alice< INFO")

    def test_register_is_not_bridged_yet(self) -> None:
        """405 with Allow; the far side hears nothing of it."""
        world = World()
        near, far = world.call()
        for method in ("REGISTER",):
            near.ask(method)
            world.ladder(f"alice> {method}, alice< 405 {method}")
            self.assertIn("INVITE", response(near, f"405 {method}").headers["Allow"][0])
            self.assertNotIn(method, response(near, f"405 {method}").headers["Allow"][0])

    def test_credentials_go_on_the_ack_too(self) -> None:
        """RFC 3261 13.2.2.4: "the ACK MUST contain the same credentials as the INVITE"."""
        world = World()
        proof = {"Proxy-Authorization": ['Digest username="alice", response="1"']}
        world.alice.invite("sip:bob@biloxi.example", headers=proof)
        world.bob.says(200)
        world.settle()
        self.assertEqual(request(world.bob.talk, "ACK").headers["Proxy-Authorization"], proof["Proxy-Authorization"])

    def test_option_tags_that_cannot_be_bridged(self) -> None:
        """RFC 3261 8.2.2.3 inside the call as well: 420, never a Require taken away (S40)."""
        world = World()
        near, far = world.call()
        near.ask("INFO", headers={"Require": ["gruu, timer"]})
        world.ladder("alice> INFO, alice< 420 INFO")
        self.assertEqual(response(near, "420 INFO").headers["Unsupported"], ["gruu"])
