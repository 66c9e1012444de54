"""Giving up and hanging up at every moment (S23, S26, S27, S33)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog
from b2bua.sip.message import Request
from tests.world import World

CALLED = "alice> INVITE, alice< 100 INVITE, bob< INVITE"
CANCELLED = "alice> CANCEL, alice< 200 CANCEL, alice< 487 INVITE, alice> ACK"


class Cancel(SynchronousTestCase):
    """CANCEL of the first INVITE."""

    def rings(self, *statuses: int) -> tuple[World, Dialog]:
        """Alice calls, bob has said so much."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        for status in statuses:
            world.bob.says(status)
        world.forget()
        return world, talk

    def refused_by_bob(self, world: World) -> None:
        """Bob's phone ends its INVITE by itself."""
        world.bob.open.clear()
        self.assertEqual(world.journal.lines[-1], "ended: cancelled")
        world.quiet()

    def test_before_any_answer(self) -> None:
        """S26: CANCEL is held until a 1xx comes (RFC 3261 9.1); the caller has its 487 at once."""
        world, talk = self.rings()
        talk.cancel()
        world.ladder(CANCELLED)
        world.bob.says(100)
        world.ladder("bob> 100 INVITE, bob< CANCEL, bob> 200 CANCEL, bob> 487 INVITE, bob< ACK")
        self.refused_by_bob(world)

    def test_before_any_answer_and_the_final_comes_first(self) -> None:
        """S26: a final response instead of a 1xx: nothing to cancel any more."""
        world, talk = self.rings()
        talk.cancel()
        world.forget()
        world.bob.says(486)
        world.ladder("bob> 486 INVITE, bob< ACK")
        world.quiet()

    def test_after_100(self) -> None:
        """RFC 3261 9.1: "after 100" is after a provisional response."""
        world, talk = self.rings(100)
        talk.cancel()
        world.ladder(f"{CANCELLED}, bob< CANCEL, bob> 200 CANCEL, bob> 487 INVITE, bob< ACK")
        self.refused_by_bob(world)

    def test_after_180(self) -> None:
        """The usual case (RFC 3665 3.8). The CANCEL is that attempt's: branch, Request-URI, no To tag (S26)."""
        world, talk = self.rings(180)
        talk.cancel()
        world.ladder(f"{CANCELLED}, bob< CANCEL, bob> 200 CANCEL, bob> 487 INVITE, bob< ACK")
        invite, cancel = world.bob.talk.heard[0], world.bob.talk.last("CANCEL")
        assert isinstance(invite, Request) and isinstance(cancel, Request)
        self.assertEqual(cancel.headers["Via"], invite.headers["Via"])
        self.assertEqual(cancel.uri_text, invite.uri_text)
        self.assertEqual((cancel.headers["To"], cancel.call_id), (invite.headers["To"], invite.call_id))
        self.refused_by_bob(world)

    def test_reason_crosses(self) -> None:
        """RFC 3326: protocol and cause cross with CANCEL, the text does not (S39)."""
        world, talk = self.rings(180)
        assert talk.sent is not None
        invite = talk.sent.request
        headers = {name: invite.headers[name] for name in ("Via", "Max-Forwards", "From", "To", "Call-ID")}
        headers |= {"CSeq": [f"{talk.cseq} CANCEL"], "Reason": ['SIP;cause=200;text="Call completed at 192.0.2.77"']}
        world.alice.say(bytes(Request("CANCEL", invite.uri_text, headers)))
        world.settle()
        self.assertEqual(world.bob.talk.last("CANCEL").headers["Reason"], ["SIP;cause=200"])

    def test_crossing_200(self) -> None:
        """S27: 200 crosses CANCEL: ACK, then BYE, by the route of that 200; the caller had its 487."""
        world, talk = self.rings(180)
        world.wires.lose("CANCEL", world.bob)
        talk.cancel()
        world.forget()
        world.bob.says(200)
        world.ladder("bob> 200 INVITE, bob< ACK, bob< BYE")
        world.bob.says(200)
        world.forget()
        self.assertEqual(world.bob.talk.times("BYE"), 1)
        world.quiet()
        self.assertEqual(world.bob.talk.times("CANCEL"), 1)  # it came again

    def test_crossing_200_of_a_new_tag(self) -> None:
        """S27: the same where nobody had said 180."""
        world, talk = self.rings(100)
        world.wires.lose("CANCEL", world.bob)
        talk.cancel()
        world.forget()
        bob = world.bob.talk
        world.bob.says(200)
        world.ladder("bob> 200 INVITE, bob< ACK, bob< BYE")
        bob.bye()  # crossing ours
        world.bob.says(200, to="BYE")
        world.settle()
        world.wait(1)
        self.assertEqual(bob.times("ACK"), 1)
        world.quiet()

    def test_late_200_again_and_again(self) -> None:
        """S23, S27: each late 2xx has the same ACK, and only one BYE."""
        world, talk = self.rings(180)
        world.wires.lose("CANCEL", world.bob, times=9)
        world.wires.lose("ACK", world.bob, times=2)
        talk.cancel()
        world.forget()
        world.bob.says(200)
        world.settle()
        world.bob.says(200, to="BYE")
        world.wait(4)
        acks = [message for message in world.bob.talk.heard if isinstance(message, Request) and message.method == "ACK"]
        self.assertEqual(world.bob.talk.times("BYE"), 1)
        self.assertEqual(len(acks), 1)
        self.assertEqual(world.story.count("bob| ACK"), 2)
        world.quiet()

    def test_late_487_is_acknowledged(self) -> None:
        """S27: the transaction lives until a final answer; a 487 twenty seconds later has its ACK."""
        world, talk = self.rings(180)
        world.wires.lose("CANCEL", world.bob, times=99)
        talk.cancel()
        world.wait(20)
        world.forget()
        world.bob.says(487)
        world.ladder("bob> 487 INVITE, bob< ACK")
        world.quiet()

    def test_nobody_answers_the_cancel(self) -> None:
        """RFC 3261 9.1: no final answer in 64·T1 after CANCEL: the INVITE counts as cancelled."""
        world, talk = self.rings(180)
        world.bob.mute = True
        talk.cancel()
        world.ladder(CANCELLED)
        world.quiet()

    def test_nobody_answers_at_all(self) -> None:
        """S26: CANCEL held for an INVITE that nobody answers goes away with it."""
        world, talk = self.rings()
        world.bob.mute = True
        talk.cancel()
        world.ladder(CANCELLED)
        world.quiet()
        self.assertNotIn("no way", "".join(world.journal.lines))

    def test_after_the_answer(self) -> None:
        """RFC 3261 9.2: no effect; the call is up."""
        world, talk = self.rings(180)
        world.wires.on("200 INVITE", (0.3,), world.alice)
        world.bob.says(200)
        world.settle()
        talk.cancel()
        world.forget()
        world.wait(0.5)
        world.ladder("alice< 200 INVITE, alice> ACK")
        self.assertEqual(world.journal.lines[-1], "answered")

    def test_of_a_changed_sent_by(self) -> None:
        """S26: a NAT changed the sent-by: branch, Call-ID, CSeq and source still say what it cancels."""
        world, talk = self.rings(180)
        assert talk.sent is not None
        invite = talk.sent.request
        headers = {name: invite.headers[name] for name in ("Max-Forwards", "From", "To", "Call-ID")}
        headers["Via"] = [invite.headers["Via"][0].replace("192.0.2.20:5060", "192.0.2.20:62000")]
        cancel = bytes(Request("CANCEL", invite.uri_text, {**headers, "CSeq": [f"{talk.cseq} CANCEL"]}))
        stranger = world.phone("eve", "192.0.2.66")
        stranger.say(cancel)
        world.settle()
        self.assertEqual(world.bob.talk.times("CANCEL"), 0)
        world.alice.say(cancel.replace(b"62000", b"62001"))
        world.settle()
        self.assertEqual(world.bob.talk.times("CANCEL"), 1)
        self.assertEqual(talk.times("487 INVITE"), 1)

    def test_twice(self) -> None:
        """A CANCEL that comes again is answered again and does nothing more."""
        world, talk = self.rings(180)
        world.wires.on("CANCEL", (0.0, 0.01), world.alice)
        talk.cancel()
        world.ladder(
            "alice> CANCEL, alice< 200 CANCEL, alice< 487 INVITE, alice> ACK, bob< CANCEL, bob> 200 CANCEL",
            "bob> 487 INVITE, bob< ACK, alice< 200 CANCEL",
        )

    def test_of_a_request_that_is_no_invite(self) -> None:
        """RFC 3261 9.1, 9.2: 481, as nothing can be cancelled; the request goes on."""
        world, _ = World(), None
        near, far = world.call()
        near.info("1")
        world.settle()
        near.cancel()
        world.forget()
        self.assertEqual(near.times("481 CANCEL"), 1)
        world.bob.says(200)
        world.ladder("bob> 200 INFO, alice< 200 INFO")


class CancelReinvite(SynchronousTestCase):
    """CANCEL of an INVITE inside the call."""

    def setUp(self) -> None:
        self.world = World()
        self.near, self.far = self.world.call()
        self.near.reinvite("sendonly")
        self.world.settle()

    def still_up(self) -> None:
        """The call goes on, and can be changed again."""
        world = self.world
        world.forget()
        self.far.reinvite()
        world.alice.says(200)
        world.settle()
        self.assertEqual(self.far.times("200 INVITE"), 1)
        self.far.bye()
        world.alice.says(200)
        world.quiet()

    def test_in_time(self) -> None:
        """The far side says 487, and so do we."""
        self.world.bob.says(180)
        self.world.forget()
        self.near.cancel()
        self.world.ladder(
            "alice> CANCEL, alice< 200 CANCEL, bob< CANCEL, bob> 200 CANCEL, bob> 487 INVITE, bob< ACK",
            "alice< 487 INVITE, alice> ACK",
        )
        self.still_up()

    def test_too_late(self) -> None:
        """The far side said 200 before CANCEL reached it: both sides have the new session, nobody is hung up on."""
        world = self.world
        world.bob.says(100)
        world.forget()
        world.wires.on("CANCEL", (0.4,), world.bob)
        self.near.cancel()
        world.settle()
        world.bob.says(200)
        world.ladder("alice> CANCEL, alice< 200 CANCEL, bob> 200 INVITE, bob< ACK, alice< 200 INVITE, alice> ACK")
        world.wait(1)
        self.still_up()

    def test_another_at_once(self) -> None:
        """While the far side has not answered the cancelled one, the next is asked to wait: 491."""
        world = self.world
        world.bob.mute = True
        self.near.cancel()
        world.forget()
        cancelled = self.near.sent
        self.near.reinvite()
        world.settle()
        self.assertEqual(self.near.times("500 INVITE"), 1)
        world.bob.mute = False
        world.wait(1)
        world.bob.says(100)
        world.settle()
        assert cancelled is not None
        self.assertEqual(cancelled.status, 487)

    def test_nobody_answers(self) -> None:
        """S32: a far side that answers neither INVITE nor CANCEL is gone, and the call with it."""
        world = self.world
        world.bob.says(100)
        world.forget()
        world.bob.mute = True
        self.near.cancel()
        world.wait(33)
        self.assertEqual(self.near.times("408 INVITE"), 1)
        self.assertEqual(self.near.times("BYE"), 1)
        world.alice.says(200)
        world.quiet()


class Bye(SynchronousTestCase):
    """BYE where it meets something else."""

    def test_crossing_bye(self) -> None:
        """S33: both sides hang up at once: 200 to both, and neither BYE is refused."""
        world = World()
        near, far = world.call()
        near.bye()
        far.bye()
        world.settle()
        world.alice.open.clear()
        world.bob.open.clear()
        self.assertEqual((near.times("200 BYE"), far.times("200 BYE")), (0, 1))
        world = World()
        near, far = world.call()
        near.bye()
        far.bye()
        world.bob.says(200)
        world.forget()
        self.assertEqual((near.times("200 BYE"), far.times("200 BYE")), (1, 1))
        world.quiet()

    def test_the_same_bye_again(self) -> None:
        """S33: it lingers for 64·T1: a BYE that is sent again has its answer again."""
        world = World()
        near, far = world.call()
        world.wires.lose("200 BYE", world.alice, times=3)
        near.bye()
        world.bob.says(200)
        world.wait(5)
        self.assertEqual(near.times("200 BYE"), 1)
        self.assertEqual(far.times("BYE"), 1)
        world.quiet()

    def test_another_request_after_it(self) -> None:
        """The dialog is over: 481 for anything but another BYE."""
        world = World()
        near, far = world.call()
        near.bye()
        world.bob.says(200)
        world.settle()
        near.ask("INFO")
        near.ask("BYE")
        far.ask("BYE")
        world.settle()
        self.assertEqual([near.times(each) for each in ("481 INFO", "200 BYE")], [1, 2])
        self.assertEqual(far.times("200 BYE"), 1)

    def test_in_an_early_dialog(self) -> None:
        """S33: legal from the caller (RFC 3261 15): the INVITE is answered 487 and cancelled below."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(180)
        world.forget()
        talk.bye()
        world.ladder(
            "alice> BYE, alice< 200 BYE, alice< 487 INVITE, alice> ACK, bob< CANCEL, bob> 200 CANCEL",
            "bob> 487 INVITE, bob< ACK",
        )
        world.bob.open.clear()
        self.assertEqual(world.journal.lines[-1], "ended: the caller hung up")
        world.quiet()

    def test_from_the_callee_in_an_early_dialog(self) -> None:
        """RFC 3261 15: "the callee's UA MUST NOT send a BYE on early dialogs": 481, and the call goes on ringing."""
        world = World()
        world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(180)
        world.forget()
        world.bob.talk.ask("BYE")
        world.ladder("bob> BYE, bob< 481 BYE")
        world.bob.says(200)
        world.ladder("bob> 200 INVITE, bob< ACK, alice< 200 INVITE, alice> ACK")

    def test_in_one_of_two_early_dialogs(self) -> None:
        """RFC 3261 15 ends the one dialog; the other devices go on ringing, and the last BYE takes the INVITE back."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(180)
        first = world.bob.talk
        second = world.bob.fork(first)
        second.ring()
        world.forget()
        world.alice.branch(talk, 1).ask("BYE")
        world.settle()
        self.assertEqual((first.times("BYE"), second.times("BYE")), (1, 0))
        world.bob.says(200, to="BYE")
        world.ladder("alice> BYE, bob< BYE, bob> 200 BYE, alice< 200 BYE")
        other = world.alice.branch(talk, 2)
        other.ask("BYE")
        world.settle()
        self.assertEqual(other.times("200 BYE"), 1)
        self.assertEqual(talk.times("487 INVITE"), 1)
        world.bob.open.clear()
        world.quiet()

    def test_a_callee_that_is_gone(self) -> None:
        """Who hangs up has hung up: 481, 408 and silence are 200 to it."""
        for status in (481, 408):
            world = World()
            near, far = world.call()
            near.bye()
            world.bob.says(status)
            world.settle()
            self.assertEqual(near.times("200 BYE"), 1)
        world = World()
        near, far = world.call()
        world.bob.mute = True
        near.bye()
        world.wait(33)
        self.assertEqual(near.times("200 BYE"), 1)
        world.quiet()

    def test_challenged(self) -> None:
        """S33: the callee's server wants credentials for BYE: the challenge crosses, and so does the second BYE."""
        world = World()
        near, far = world.call()
        near.ask("BYE")
        world.bob.says(407, headers={"Proxy-Authenticate": ['Digest realm="biloxi.example", nonce="1"']})
        world.ladder("alice> BYE, bob< BYE, bob> 407 BYE, alice< 407 BYE")
        near.ask("BYE", headers={"Proxy-Authorization": ['Digest username="alice", response="2"']})
        world.settle()
        self.assertIn("Proxy-Authorization", far.last("BYE").headers)
        world.bob.says(200)
        world.ladder("alice> BYE, bob< BYE, bob> 200 BYE, alice< 200 BYE")
        near.ask("BYE")
        world.ladder("alice> BYE, alice< 200 BYE")
        world.quiet()

    def test_without_hops(self) -> None:
        """A BYE whose Max-Forwards is used up has reached us, who are the other end: the far side has one of ours."""
        world = World()
        near, far = world.call()
        near.ask("BYE", headers={"Max-Forwards": ["0"]})
        world.bob.says(200)
        world.ladder("alice> BYE, alice< 200 BYE, bob< BYE, bob> 200 BYE")
        self.assertEqual(far.last("BYE").headers["Max-Forwards"], ["70"])
        world.quiet()

    def test_reason_crosses(self) -> None:
        """RFC 3326 with BYE: cause, not text."""
        world = World()
        near, far = world.call()
        near.ask("BYE", headers={"Reason": ['Q.850;cause=16;text="from 192.0.2.77"']})
        world.settle()
        self.assertEqual(far.last("BYE").headers["Reason"], ["Q.850;cause=16"])

    def test_the_callee_hangs_up_before_the_ack(self) -> None:
        """RFC 3261 15: our BYE to the caller waits for the ACK to our 2xx; the callee has its answer at once."""
        world = World()
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        world.wires.on("ACK", (0.3,), world.alice)
        world.bob.says(200)
        world.forget()
        world.bob.talk.bye()
        world.ladder("bob> BYE, bob< 200 BYE")
        world.wait(0.4)
        world.alice.says(200)
        world.ladder("alice< BYE, alice> 200 BYE")
        world.quiet()

    def test_the_callee_hangs_up_before_the_answer_to_its_offer(self) -> None:
        """Late offer: its 2xx has an ACK without an answer then, so that it need not come again."""
        world = World()
        world.alice.invite("sip:bob@biloxi.example", body=b"")
        world.settle()
        world.wires.on("ACK", (0.3,), world.alice)
        world.bob.says(200)
        world.forget()
        world.bob.talk.bye()
        world.ladder("bob> BYE, bob< 200 BYE, bob< ACK")
        world.wait(0.4)
        world.alice.says(200)
        world.quiet()

    def test_the_caller_hangs_up_before_its_ack(self) -> None:
        """A BYE proves that the 2xx came: it is not sent again, and the callee has the ACK that it waits for."""
        world = World()
        world.alice.acks = False
        talk = world.alice.invite("sip:bob@biloxi.example", body=b"")
        world.settle()
        world.bob.says(200)
        world.forget()
        talk.bye()
        world.bob.says(200)
        world.ladder("alice> BYE, bob< ACK, bob< BYE, bob> 200 BYE, alice< 200 BYE")
        world.quiet()
        world.ladder()

    def test_both_hang_up_before_the_ack(self) -> None:
        """The callee's BYE waits for the caller's ACK, and the caller's own BYE makes it needless."""
        world = World()
        world.alice.acks = False
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        world.bob.says(200)
        world.settle()
        world.bob.talk.bye()
        world.forget()
        talk.bye()
        world.ladder("alice> BYE, alice< 200 BYE")
        world.quiet()
        self.assertEqual(talk.times("BYE"), 0)

    def test_bye_ends_what_is_under_way(self) -> None:
        """RFC 3261 15.1.2: pending requests are answered: re-INVITE 487, INFO by the far side."""
        world = World()
        near, far = world.call()
        near.reinvite()
        near.info("1")
        world.settle()
        near.bye()
        world.settle()
        self.assertEqual(near.times("487 INVITE"), 1)
        world.bob.says(100, to="INVITE")
        world.settle()
        self.assertEqual(far.times("CANCEL"), 1)
        world.bob.says(200, to="INFO")
        world.bob.says(200, to="BYE")
        world.settle()
        self.assertEqual((near.times("200 BYE"), near.times("200 INFO")), (1, 1))
        world.bob.open.clear()
        world.quiet()

    def test_bye_and_the_reinvite_is_answered_all_the_same(self) -> None:
        """A 2xx to the re-INVITE after the end: its ACK, and no second BYE."""
        world = World()
        near, far = world.call()
        near.reinvite()
        world.settle()
        near.bye()
        world.settle()
        world.bob.says(200, to="INVITE")
        world.settle()
        world.bob.says(200, to="BYE")
        world.settle()
        self.assertEqual((far.times("BYE"), far.times("ACK"), near.times("200 BYE")), (1, 2, 1))
        world.quiet()

    def test_bye_and_nobody_answers_the_reinvite(self) -> None:
        """Nothing is left of a re-INVITE that was never answered before the call ended."""
        world = World()
        near, far = world.call()
        near.reinvite()
        world.settle()
        world.bob.mute = True
        near.bye()
        world.wait(33)
        self.assertEqual((near.times("487 INVITE"), near.times("200 BYE")), (1, 1))
        world.quiet()


class LostAck(SynchronousTestCase):
    """ACK, and what happens without it (S23)."""

    def test_no_ack_for_the_2xx(self) -> None:
        """S23: 2xx again and again until 64·T1, then BYE on both legs (RFC 3261 13.3.1.4)."""
        for late_offer in (False, True):
            world = World()
            world.alice.acks = False
            talk = world.alice.invite("sip:bob@biloxi.example", body=b"" if late_offer else None)
            world.settle()
            world.bob.says(200)
            world.wait(31)
            self.assertEqual(talk.times("200 INVITE"), 10)  # RFC 3261 17: T1 doubled up to T2
            self.assertEqual((talk.times("BYE"), world.bob.talk.times("BYE")), (0, 0))
            world.wait(2)
            world.alice.says(200)
            world.bob.says(200)
            world.settle()
            self.assertEqual((talk.times("BYE"), world.bob.talk.times("BYE"), world.bob.talk.times("ACK")), (1, 1, 1))
            self.assertEqual(world.journal.lines[-1], "ended: no ACK came for the 2xx")
            world.quiet()

    def test_over_tcp_too(self) -> None:
        """S23: the 2xx is repeated over reliable transports as well."""
        world = World()
        ann = world.phone("ann", "192.0.2.30", "tcp")
        ann.acks = False
        talk = ann.invite("sip:bob@biloxi.example")
        world.bob.says(200)
        world.wait(4)
        self.assertEqual(talk.times("200 INVITE"), 4)

    def test_no_ack_for_a_reinvite(self) -> None:
        """The same for a 2xx to a re-INVITE."""
        world = World()
        near, far = world.call()
        world.alice.acks = False
        near.reinvite()
        world.bob.says(200)
        world.wait(33)
        self.assertEqual((near.times("BYE"), far.times("BYE")), (1, 1))

    def test_a_late_ack_of_another_number(self) -> None:
        """Only the ACK with the INVITE's CSeq is its ACK; others are for nobody."""
        world = World()
        world.alice.acks = False
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        world.bob.says(200)
        world.settle()
        for number in (talk.cseq + 1, talk.cseq, talk.cseq):
            world.alice.put(bytes(talk.request("ACK", number)), talk.way())
        world.settle()
        world.story.clear()
        world.wait(40)
        world.ladder()

    def test_2xx_again(self) -> None:
        """S23: the callee's 2xx again: the same ACK again, octet by octet; nothing of it reaches the caller."""
        world = World()
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        world.wires.lose("ACK", world.bob, times=3)
        world.bob.says(200)
        world.wait(10)
        acks = {data for data in world.bob.bytes_in if data.startswith(b"ACK")}
        self.assertEqual(world.story.count("bob| ACK"), 3)
        self.assertEqual(len(acks), 1)
        self.assertEqual(world.story.count("alice< 200 INVITE"), 1)

    def test_2xx_again_while_the_ack_is_awaited(self) -> None:
        """S24: late offer: the callee's 2xx comes again before there is an answer to acknowledge it with."""
        world = World()
        world.alice.acks = False
        talk = world.alice.invite("sip:bob@biloxi.example", body=b"")
        world.settle()
        world.bob.says(200)
        world.wait(2)
        self.assertEqual(world.bob.talk.times("ACK"), 0)
        world.alice.acks = True
        world.wait(4)
        self.assertEqual(world.bob.talk.times("ACK"), 1)
        self.assertTrue(world.bob.talk.last("ACK").body)
        self.assertFalse(talk.over)

    def test_a_bye_that_waits_for_an_ack_that_never_comes(self) -> None:
        """RFC 3261 15: "or until the server transaction times out"."""
        world = World()
        world.alice.acks = False
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        world.bob.says(200)
        world.settle()
        world.bob.talk.bye()
        world.wait(31)
        self.assertEqual(talk.times("BYE"), 0)
        world.wait(2)
        self.assertEqual(talk.times("BYE"), 1)
        world.alice.says(200)
        world.quiet()

    def test_hung_up_by_us_before_the_ack(self) -> None:
        """Late offer, and we hang up: the callee has an ACK and a BYE at once, the caller a BYE after its ACK."""
        world = World()
        world.alice.invite("sip:bob@biloxi.example", body=b"")
        world.settle()
        world.wires.on("ACK", (0.3,), world.alice)
        world.bob.says(200)
        world.forget()
        next(iter(world.hall.book)).hang_up("by hand")
        world.ladder("bob< ACK, bob< BYE")
        world.wait(0.4)
        world.ladder("alice< BYE")
        world.alice.says(200)
        world.bob.says(200)
        world.quiet()

    def test_an_answer_that_cannot_be_read(self) -> None:
        """A broken answer in the caller's ACK never crosses; the call ends on both sides."""
        world = World()
        world.alice.acks = False
        talk = world.alice.invite("sip:bob@biloxi.example", body=b"")
        world.settle()
        world.bob.says(200)
        world.settle()
        broken = talk.request("ACK", talk.cseq, b"v=0\r\no=what\0", {"Content-Type": ["application/sdp"]})
        world.alice.put(bytes(broken), talk.way())
        world.alice.says(200)
        world.bob.says(200)
        world.settle()
        self.assertEqual(world.bob.talk.last("ACK").body, b"")
        self.assertEqual(world.journal.lines[-1], "ended: the answer of the near side cannot be read")
        world.quiet()
