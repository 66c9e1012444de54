"""Transfers that the bridge carries out itself (`refer = "local"`): nobody but who asks ever sees a REFER."""

from __future__ import annotations

from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.call import Phase
from b2bua.call.hall import Hall
from b2bua.call.local_transfer import AGAIN
from b2bua.ops.phone import direction_of
from b2bua.sip.message import Request
from tests.test_call_transfer import hidden
from tests.transfers import Four, asked, embedded, refer, routes


class Local(SynchronousTestCase):
    """What all of them share."""

    def setUp(self) -> None:
        self.world = Four('refer = "local"')
        self.alice, self.bob, self.carol = self.world.alice, self.world.bob, self.world.carol
        self.to_b, self.to_a = self.world.talk(self.alice, self.bob)

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])
        for phone in self.world.phones:
            for data in phone.bytes_in:
                self.assertFalse(data.startswith(b"REFER"))
        hidden(self, self.world)

    def told(self, *steps: str) -> None:
        """What the referrer is told since the last time, each answered."""
        world = self.world
        passed = []
        world.settle()
        while any(request.method == "NOTIFY" for _, request in self.alice.open):
            notify = self.alice.says(200, to="NOTIFY")
            state = notify.first("Subscription-State").partition(";")[0]
            passed.append(f"{notify.body.decode().strip().removeprefix('SIP/2.0 ')} {state}")
            world.settle()
        self.assertEqual(passed, list(steps))

    def calls(self) -> int:
        """How many calls are up."""
        return sum(each.phase is Phase.ANSWERED for each in self.world.hall.book)


class Blind(Local):
    """A REFER to somebody who is called for it."""

    def test_blind(self) -> None:
        """RFC 5589 6.1, with us in the transferee's place: in every direction."""
        for names in (
            ("alice", "bob", "carol"),
            ("alice", "bob", "dave"),
            ("bob", "alice", "dave"),
            ("bob", "alice", "carol"),
        ):
            world = Four('refer = "local"')
            parties = {phone.user: phone for phone in world.phones}
            a, b, c = (parties[name] for name in names)
            to_b, to_a = world.talk(a, b)
            refer(to_b, f"sip:{c.user}@{a.proxy.address}")
            x, y, z = a.user, b.user, c.user
            world.ladder(f"{x}> REFER, {x}< 202 REFER, {x}< NOTIFY, {z}< INVITE")
            a.says(200)
            c.says(180)
            world.ladder(f"{x}> 200 NOTIFY, {z}> 180 INVITE, {x}< NOTIFY")
            a.says(200)
            c.says(200)
            world.ladder(f"{x}> 200 NOTIFY, {z}> 200 INVITE, {y}< INVITE")
            b.says(200)
            world.ladder(f"{y}> 200 INVITE, {z}< ACK, {y}< ACK, {x}< NOTIFY")
            a.says(200)
            world.ladder(f"{x}> 200 NOTIFY, {x}< BYE")
            a.says(200)
            world.ladder(f"{x}> 200 BYE")
            invite, ack = asked(c.talk, "INVITE"), asked(c.talk, "ACK")
            self.assertEqual(invite.body, b"")
            self.assertEqual(invite.from_.uri.user, b.user)
            self.assertEqual(invite.headers["Referred-By"], [f"<sip:{a.user}@{c.proxy.address}>"])
            for at, of in ((asked(to_a, "INVITE").body, c), (ack.body, b)):
                self.assertIn(f"c=IN IP4 {of.at.address}".encode(), at)
            to_a.info("5")
            c.says(200)
            world.ladder(f"{y}> INFO, {z}< INFO, {z}> 200 INFO, {y}< 200 INFO")
            c.talk.reinvite("sendonly")
            b.says(200)
            world.forget()
            self.assertEqual(direction_of(asked(to_a, "INVITE").body), "sendonly")
            c.talk.bye()
            b.says(200)
            world.ladder(f"{z}> BYE, {y}< BYE, {y}> 200 BYE, {z}< 200 BYE")
            self.assertTrue(to_b.over and to_a.over)
            hidden(self, world)
            world.quiet()

    def test_what_the_referrer_is_told(self) -> None:
        """RFC 3515 2.4.5: 100 first, each status once, in order, the last one said to be the last."""
        refer(self.to_b, "sip:carol@a")
        self.told("100 Trying active")
        for status in (180, 180, 183):
            self.carol.says(status)
            self.world.settle()
        self.told("180 Ringing active", "183 Session Progress active")
        self.carol.says(200)
        self.bob.says(200)
        self.told("200 OK terminated")
        notify = asked(self.to_b, "NOTIFY")
        self.assertEqual(notify.headers["Event"], [f"refer;id={self.to_b.cseq}"])
        self.assertEqual(notify.headers["Content-Type"], ["message/sipfrag;version=2.0"])

    def test_a_slow_referrer(self) -> None:
        """One NOTIFY at a time; what is not news any more is left out."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(180)
        self.carol.says(183)
        self.carol.says(486)
        self.told("100 Trying active", "486 Busy Here terminated")

    def test_the_target_refuses(self) -> None:
        """The call is as it was, and the referrer reads why."""
        for status, said in ((486, "486 Busy Here"), (302, "480 Temporarily Unavailable"), (603, "603 Decline")):
            refer(self.to_b, "sip:carol@a")
            self.carol.says(status)
            self.told("100 Trying active", f"{said} terminated")
            self.world.forget()
            self.to_b.info("5")
            self.bob.says(200)
            self.world.ladder("alice> INFO, bob< INFO, bob> 200 INFO, alice< 200 INFO")
        numbers = [each.cseq[0] for each in self.to_b.said if isinstance(each, Request) and each.method == "REFER"]
        self.assertEqual(asked(self.to_b, "NOTIFY").headers["Event"], [f"refer;id={numbers[-1]}"])

    def test_nobody_to_go_to(self) -> None:
        """Policy says no, the target answers 503 or not at all: as a caller would read it."""
        for user, status in (("zoe", "404 Not Found"), ("carol", "500 Server Internal Error")):
            refer(self.to_b, f"sip:{user}@a")
            if user == "carol":
                self.carol.says(503)
            self.told("100 Trying active", f"{status} terminated")
        self.carol.mute = True
        refer(self.to_b, "sip:carol@a")
        self.told("100 Trying active")
        self.world.wait(33)
        self.told("408 Request Timeout terminated")
        self.assertEqual(self.calls(), 1)

    def test_a_fault_of_ours(self) -> None:
        """Policy took its time, and then we fail: whoever refers is told 500, and the call is as it was."""
        waiting: Deferred[None] = Deferred()

        async def later() -> None:
            await waiting

        self.patch(self.world.hall, "_script", lambda *asked: later())
        refer(self.to_b, "sip:carol@a")
        self.told("100 Trying active")
        with patch.object(Hall, "_go", side_effect=LookupError("ours")):
            waiting.callback(None)
            self.told("500 Server Internal Error terminated")
        self.assertEqual(self.world.journal.lines[-1], "crashed: ours")
        self.assertEqual(self.calls(), 1)

    def test_it_rings_too_long(self) -> None:
        """As long as a call may ring, then CANCEL and 408."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(180)
        self.told("100 Trying active", "180 Ringing active")
        self.world.wait(211)  # a call looks at its limits every 30 seconds
        self.assertEqual(self.carol.talk.times("CANCEL"), 1)
        self.told("408 Request Timeout terminated")
        self.assertEqual(self.calls(), 1)

    def test_no_news(self) -> None:
        """RFC 4488: Refer-Sub: false, which the 202 confirms: no NOTIFY at all."""
        refer(self.to_b, "sip:carol@a", {"Refer-Sub": ["false"]})
        self.carol.says(200)
        self.bob.says(200)
        self.world.settle()
        self.assertEqual(self.to_b.last("202 REFER").headers["Refer-Sub"], ["false"])
        self.assertEqual(self.to_b.times("NOTIFY"), 0)
        self.alice.says(200, to="BYE")
        self.world.settle()
        self.assertEqual(self.calls(), 1)

    def test_who_wants_no_more_news(self) -> None:
        """481 to a NOTIFY: no other one, and the transfer goes on (RFC 6665 4.2.2)."""
        refer(self.to_b, "sip:carol@a")
        self.alice.says(481, to="NOTIFY")
        self.carol.says(180)
        self.carol.says(200)
        self.bob.says(200)
        self.world.settle()
        self.assertEqual((self.to_b.times("NOTIFY"), self.to_b.times("BYE")), (1, 1))

    def test_the_referrer_leaves_at_once(self) -> None:
        """RFC 5589 6.1: BYE after the 202: the party that remains keeps its call; the news goes on."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(180)
        self.world.forget()
        self.to_b.bye()
        self.world.ladder("alice> BYE, alice< 200 BYE")
        self.to_a.info("5")
        self.world.ladder("bob> INFO, bob< 491 INFO")
        self.world.wait(40)
        self.carol.says(200)
        self.bob.says(200)
        self.world.settle()
        self.assertTrue(self.carol.talk.up and self.to_a.up)
        self.assertEqual((self.to_b.times("BYE"), self.to_a.times("BYE")), (0, 0))
        self.carol.talk.bye()
        self.bob.says(200)
        self.world.wait(32)
        self.world.quiet()

    def test_the_referrer_leaves_and_nobody_comes(self) -> None:
        """Then nobody is left for the other one to talk to: BYE."""
        refer(self.to_b, "sip:carol@a")
        self.to_b.bye()
        self.carol.says(486)
        self.bob.says(200, to="BYE")
        self.world.settle()
        self.assertTrue(self.to_a.over)
        self.told("100 Trying active", "486 Busy Here terminated")
        self.world.quiet()

    def test_everybody_leaves(self) -> None:
        """The party that remains hangs up: CANCEL to the target; and nobody else is told who has left."""
        for leaves in (False, True):
            refer(self.to_b, "sip:carol@a")
            self.carol.says(180)
            self.world.settle()
            if leaves:
                self.to_b.bye()
                self.world.settle()
            self.to_a.bye()
            if not leaves:
                self.alice.says(200, to="BYE")
            self.world.settle()
            self.assertEqual(self.to_a.times("200 BYE"), 1)
            self.assertEqual(self.carol.talk.times("CANCEL"), 1)
            self.assertEqual(self.to_b.times("BYE"), 0 if leaves else 1)
            self.alice.says(200, to="NOTIFY")
            self.world.settle()
            self.assertIn(b"487", asked(self.to_b, "NOTIFY").body)
            self.alice.says(200, to="NOTIFY")
            self.world.quiet()
            self.to_b, self.to_a = self.world.talk(self.alice, self.bob)

    def test_the_offer_is_refused(self) -> None:
        """The party that remains does not take the target's offer: ACK and BYE to it, and the call is as it was."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(200)
        self.bob.says(488)
        self.world.settle()
        self.assertEqual((self.carol.talk.times("ACK"), self.carol.talk.times("BYE")), (1, 1))
        self.told("100 Trying active", "488 Not Acceptable Here terminated")
        self.assertEqual(self.calls(), 1)

    def test_the_one_that_remains_is_gone(self) -> None:
        """It knows the call no more (RFC 5057 5.1): nobody is left with it."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(200)
        self.bob.says(481)
        self.world.settle()
        self.assertEqual((self.carol.talk.times("BYE"), self.to_b.times("BYE")), (1, 1))
        self.assertEqual(self.calls(), 0)

    def test_no_offer(self) -> None:
        """A 2xx without an offer, or with one that cannot be read: 502, and the target is let go."""
        for body in (b"", b"v=1\r\n"):
            refer(self.to_b, "sip:carol@a")
            self.carol.says(200, body, {"Content-Type": ["application/sdp"]})
            self.told("100 Trying active", "502 Bad Gateway terminated")
            self.carol.says(200, to="BYE")
        self.assertEqual(self.to_a.times("INVITE"), 1)

    def test_an_interval_that_is_too_short(self) -> None:
        """422: once more with the interval that is asked for (RFC 4028 7.3), to the target and to who remains."""
        world = Four('refer = "local"', routes('refer = "local"') + "[call]\nsession_expires = 600\nmin_se = 90\n")
        to_b, to_a = world.talk(world.alice, world.bob)
        refer(to_b, "sip:carol@a")
        world.carol.says(422, headers={"Min-SE": ["1200"]})
        world.settle()
        invite = asked(world.carol.talk, "INVITE")
        self.assertEqual(invite.headers["Session-Expires"][0].partition(";")[0], "1200")
        world.carol.says(200)
        world.bob.says(422, headers={"Min-SE": ["1300"]})
        world.settle()
        self.assertEqual(asked(to_a, "INVITE").headers["Session-Expires"][0].partition(";")[0], "1300")
        world.bob.says(200)
        world.settle()
        self.assertEqual((world.carol.talk.times("ACK"), to_a.times("ACK")), (1, 3))

    def test_an_interval_without_end(self) -> None:
        """A 422 that cannot be read, that asks for nothing new, or that comes again and again: the transfer fails."""
        for answers in (["x"], ["90"], ["1200", "1300", "1400"]):
            world = Four('refer = "local"', routes('refer = "local"') + "[call]\nsession_expires = 600\nmin_se = 90\n")
            to_b, _ = world.talk(world.alice, world.bob)
            refer(to_b, "sip:carol@a")
            for least in answers:
                world.carol.says(422, headers={"Min-SE": [least]})
                world.settle()
            world.alice.says(200, to="NOTIFY")
            world.settle()
            self.assertIn(b"422", asked(to_b, "NOTIFY").body)

    def test_one_call_at_a_time(self) -> None:
        """A route that takes one call takes its transfer too: it is the same call."""
        world = Four('refer = "local"\ncalls = 1')
        to_b, _ = world.talk(world.alice, world.bob)
        refer(to_b, "sip:bob@a")
        world.settle()
        self.assertEqual(world.bob.talk.times("INVITE"), 1)
        self.assertIsNot(world.bob.talk, to_b)

    def test_a_contact_that_leads_nowhere(self) -> None:
        """The target's 2xx cannot be used: ACK and BYE go where the INVITE went; 502."""
        refer(self.to_b, "sip:carol@a")
        self.world.settle()
        self.carol.says(200, headers={"Contact": ["<tel:5>"]})
        self.told("100 Trying active", "502 Bad Gateway terminated")
        self.assertEqual((self.carol.talk.times("ACK"), self.carol.talk.times("BYE")), (1, 1))

    def test_the_target_forks(self) -> None:
        """S28: another device that answers later: ACK and BYE."""
        refer(self.to_b, "sip:carol@a")
        self.world.settle()
        first = self.carol.talk
        second = self.carol.fork(first)
        self.carol.says(200)
        self.world.settle()
        second.answer()
        self.world.settle()
        self.assertEqual((second.times("ACK"), second.times("BYE")), (1, 1))
        self.bob.says(200)
        self.world.settle()
        self.assertEqual((first.times("ACK"), first.times("BYE")), (1, 0))

    def test_an_answer_after_the_cancel(self) -> None:
        """S27: a 200 that crosses the CANCEL: ACK and BYE."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(180)
        self.world.settle()
        dialog = self.carol.talk
        self.carol._cancelled = lambda dialog, cancel: dialog.respond(cancel, 200)  # type: ignore[method-assign]
        self.to_a.bye()
        self.world.settle()
        self.carol.says(200, to="INVITE")
        self.world.settle()
        self.assertEqual([dialog.times(what) for what in ("CANCEL", "ACK", "BYE")], [1, 1, 1])
        self.assertEqual(self.to_a.times("INVITE"), 1)  # the one that it was called by

    def test_the_2xx_comes_again(self) -> None:
        """S23: the same ACK for each; none before the answer is there."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(200)
        self.world.wait(2)
        self.assertEqual(self.carol.talk.times("ACK"), 0)
        self.bob.says(200)
        self.world.settle()
        assert self.carol.talk.invitation is not None
        self.carol.talk.acked.clear()
        before = self.carol.talk.times("ACK")
        self.world.wait(8)
        self.assertGreater(self.carol.talk.times("ACK"), before)
        acks = {bytes(each) for each in self.carol.talk.heard if isinstance(each, Request) and each.method == "ACK"}
        self.assertEqual(len(acks), 1)

    def test_glare(self) -> None:
        """RFC 3261 14.1: 491 from the party that remains: again some seconds later; not for ever."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(200)
        self.bob.says(491)
        self.world.wait(5)
        self.bob.says(200)
        self.told("100 Trying active", "200 OK terminated")

    def test_glare_for_ever(self) -> None:
        """It gives up, and the call is as it was."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(200)
        for _ in range(AGAIN + 1):
            self.bob.says(491, to="INVITE")
            self.world.wait(5)
        self.told("100 Trying active", "491 Request Pending terminated")
        self.assertEqual(self.calls(), 1)

    def test_another_invite_meanwhile(self) -> None:
        """Who re-INVITEs while the new session is agreed gets 491; one that was before is waited for."""
        refer(self.to_b, "sip:carol@a")
        self.world.settle()
        self.to_b.reinvite("sendonly")
        self.world.settle()
        self.carol.says(200)
        self.world.settle()
        self.assertEqual(self.to_a.times("INVITE"), 2)  # alice's, and not yet ours
        self.bob.says(200)
        self.world.settle()
        self.to_b.reinvite()
        self.world.wait(5)
        self.assertEqual(self.to_b.times("491 INVITE"), 1)
        self.assertEqual(self.to_a.times("INVITE"), 3)
        self.bob.says(200)
        self.told("100 Trying active", "200 OK terminated")

    def test_what_cannot_be_carried_out(self) -> None:
        """RFC 3515 2.4.2: only an INVITE to a SIP address or a number; one at a time, and in a call that is up."""
        for to, status in (
            ("sip:carol@a;method=BYE", 603), ("http://a/", 416), ("sip:carol@a?Replaces=1", 400),
        ):  # fmt: skip
            self.world.forget()
            refer(self.to_b, to)
            self.world.ladder(f"alice> REFER, alice< {status} REFER")
        refer(self.to_b, "sip:carol@a;method=INVITE")
        self.world.forget()
        refer(self.to_b, "sip:carol@a")
        self.world.ladder("alice> REFER, alice< 491 REFER")
        self.assertEqual(self.carol.talk.heard[0].headers["To"], ["<sip:carol@10.0.0.30>"])
        early = self.world.dave.invite("sip:bob@192.0.2.1")
        self.bob.says(180)
        self.world.forget()
        early.ask("REFER", headers={"Refer-To": ["<sip:carol@a>"]})
        self.world.ladder("dave> REFER, dave< 491 REFER")

    def test_a_late_word(self) -> None:
        """S33: who has left and says more is told so; its BYE crossing ours is right."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(200)
        self.bob.says(200)
        self.told("100 Trying active", "200 OK terminated")
        self.world.forget()
        self.to_b.info("5")
        self.world.ladder("alice> INFO, alice< 481 INFO")
        self.to_b.bye()
        self.world.ladder("alice> BYE, alice< 200 BYE")

    def test_again(self) -> None:
        """Who was transferred to transfers on."""
        refer(self.to_b, "sip:carol@a")
        self.carol.says(200)
        self.bob.says(200)
        self.told("100 Trying active", "200 OK terminated")
        self.alice.says(200, to="BYE")
        self.world.settle()
        to_b = self.carol.talk
        to_b.ask("REFER", headers={"Refer-To": ["<sip:dave@10.0.0.1>"]})
        self.carol.says(200, to="NOTIFY")
        self.world.dave.says(200)
        self.bob.says(200)
        self.carol.says(200, to="NOTIFY")
        self.carol.says(200, to="BYE")
        self.world.settle()
        self.world.dave.talk.bye()
        self.bob.says(200)
        self.world.settle()
        self.assertTrue(self.to_a.over)
        self.assertEqual(self.calls(), 0)
        self.world.quiet()


class Attended(Local):
    """A REFER with a Replaces that names a call of the referrer's."""

    def test_attended(self) -> None:
        """RFC 5589 7: the two who remain talk; nobody is called anew, and both of the referrer's calls end."""
        to_c, c_to_a = self.world.talk(self.alice, self.carol)
        refer(self.to_b, f"sip:carol@a?{embedded(to_c)}")
        self.world.ladder("alice> REFER, alice< 202 REFER, alice< NOTIFY, carol< INVITE")
        self.carol.says(200)
        self.world.ladder("carol> 200 INVITE, bob< INVITE")
        self.bob.says(200)
        self.world.ladder("bob> 200 INVITE, carol< ACK, bob< ACK, alice< BYE")
        self.alice.says(200, to="BYE")
        self.told("100 Trying active", "200 OK terminated")
        self.alice.says(200, to="BYE")
        self.world.forget()
        self.assertTrue(to_c.over and self.to_b.over and not c_to_a.over and not self.to_a.over)
        self.assertEqual(self.calls(), 1)
        self.to_a.info("5")
        self.carol.says(200)
        self.world.ladder("bob> INFO, carol< INFO, carol> 200 INFO, bob< 200 INFO")
        c_to_a.bye()
        self.bob.says(200)
        self.world.settle()
        self.assertTrue(self.to_a.over)
        self.world.quiet()

    def test_the_target_does_not_take_it(self) -> None:
        """Both calls are as they were."""
        to_c, c_to_a = self.world.talk(self.alice, self.carol)
        refer(self.to_b, f"sip:carol@a?{embedded(to_c)}")
        self.carol.says(488)
        self.told("100 Trying active", "488 Not Acceptable Here terminated")
        self.assertEqual(self.calls(), 2)
        to_c.info("5")
        self.carol.says(200)
        self.world.settle()
        self.assertEqual(c_to_a.times("INFO"), 1)

    def test_the_other_one_does_not_take_it(self) -> None:
        """The target has made an offer: who it talks to answers it instead, and both calls are as they were."""
        to_c, c_to_a = self.world.talk(self.alice, self.carol)
        refer(self.to_b, f"sip:carol@a?{embedded(to_c)}")
        self.carol.says(200)
        self.bob.says(488)
        self.world.settle()
        self.assertEqual(to_c.times("INVITE"), 1)
        self.alice.says(200, to="INVITE")
        self.told("100 Trying active", "488 Not Acceptable Here terminated")
        answer = asked(c_to_a, "ACK").body
        self.assertIn(b"\r\nm=audio 40000 RTP/AVP 0 101\r\n", answer)
        self.assertIn(b" IN IP4 10.0.0.1\r\n", answer)
        self.assertEqual((to_c.times("ACK"), c_to_a.times("ACK"), self.calls()), (1, 2, 2))
        to_c.info("5")
        self.carol.says(200)
        self.world.settle()
        self.assertEqual(c_to_a.times("INFO"), 1)

    def test_nobody_takes_it(self) -> None:
        """The offer is answered all the same, with nothing taken of it (RFC 3264 6); both calls go on."""
        for second in (b"", b"v=1\r\n"):
            to_c, c_to_a = self.world.talk(self.alice, self.carol)
            refer(self.to_b, f"sip:carol@a?{embedded(to_c)}")
            self.carol.says(200)
            self.bob.says(488)
            self.world.settle()
            if second:
                self.alice.says(200, second, {"Content-Type": ["application/sdp"]}, to="INVITE")
            else:
                self.alice.says(488, to="INVITE")
            self.told("100 Trying active", f"{'502 Bad Gateway' if second else '488 Not Acceptable Here'} terminated")
            answer = asked(c_to_a, "ACK").body
            self.assertIn(b"\r\nm=audio 0 RTP/AVP 0 101\r\n", answer)
            self.assertIn(b" IN IP4 10.0.0.1\r\n", answer)
            self.assertEqual(self.calls(), 2)
            to_c.bye()
            self.carol.says(200)
            self.world.settle()

    def test_one_leaves_meanwhile(self) -> None:
        """The target hangs up: the transfer is over, the first call as it was; where the referrer left it, BYE."""
        for leaves in (False, True):
            to_c, c_to_a = self.world.talk(self.alice, self.carol)
            refer(self.to_b, f"sip:carol@a?{embedded(to_c)}")
            self.world.settle()
            if leaves:
                to_c.bye()
                self.to_b.bye()
                self.world.settle()
            c_to_a.bye()
            self.world.settle()
            self.assertEqual(self.to_a.times("BYE"), 1 if leaves else 0)
            self.assertEqual(to_c.times("BYE"), 0 if leaves else 1)
            self.alice.open.clear()
            self.carol.open.clear()
        self.assertEqual(self.calls(), 0)

    def test_what_is_no_call_of_ours(self) -> None:
        """Outside our calls: the INVITE to the target has the Replaces where it is valid, and nowhere else (S37)."""
        value = "Replaces=1%40pbx.atlanta.example%3Bto-tag%3Dx%3Bfrom-tag%3Dy"
        refer(self.to_b, f"sip:carol@a?{value}")
        self.told("100 Trying active", "481 Call/Transaction Does Not Exist terminated")
        refer(self.to_b, f"sip:dave@a?{value}")
        self.world.settle()
        invite = self.world.dave.talk.invitation
        assert invite is not None
        self.assertEqual(invite.headers["Replaces"], ["1@pbx.atlanta.example;to-tag=x;from-tag=y"])

    def test_what_cannot_be_joined(self) -> None:
        """The call itself; one that is not answered; one that is being transferred already."""
        refer(self.to_b, f"sip:bob@a?{embedded(self.to_b)}")
        self.told("100 Trying active", "481 Call/Transaction Does Not Exist terminated")
        early = self.alice.invite("sip:carol@192.0.2.1")
        self.carol.says(180)
        self.world.settle()
        refer(self.to_b, f"sip:carol@a?{embedded(early)}")
        self.told("100 Trying active", "481 Call/Transaction Does Not Exist terminated")
        self.carol.says(200)
        self.world.settle()
        refer(early, "sip:dave@a")
        self.told("100 Trying active")
        refer(self.to_b, f"sip:carol@a?{embedded(early)}")
        self.told("100 Trying active", "481 Call/Transaction Does Not Exist terminated")
