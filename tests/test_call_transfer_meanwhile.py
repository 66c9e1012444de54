"""Transfers that the bridge carries out, and what else is under way: session timers, subscriptions, late words."""

from __future__ import annotations

from b2bua.sip.message import Headers
from tests.party import Party
from tests.test_call_local_transfer import Local
from tests.transfers import Four, asked, embedded, refer, routes

TIMED: Headers = {"Session-Expires": ["90;refresher=uac"], "Require": ["timer"]}


class Meanwhile(Local):
    """Transfers of calls with session timers (RFC 4028), or with something else under way."""

    more = "[call]\nprobe = 0\n"

    def setUp(self) -> None:
        self.world = Four(configuration=routes('refer = "local"') + self.more)
        self.alice, self.bob, self.carol = self.world.alice, self.world.bob, self.world.carol

    def talk(self, near: Headers | None = None, far: Headers | None = None) -> None:
        """Alice calls bob."""
        self.to_b = self.alice.invite("sip:bob@a", headers=near)
        self.world.settle()
        self.to_a = self.bob.talk
        self.bob.says(200, headers=far)
        self.world.forget()

    def transfer(self, carol: Headers | None = None, bob: Headers | None = None) -> None:
        """From alice to carol, to its end."""
        refer(self.to_b, "sip:carol@a")
        self.world.settle()
        self.carol.says(200, headers=carol)
        self.bob.says(200, headers=bob, to="INVITE")
        self.told("100 Trying active", "200 OK terminated")
        self.alice.says(200, to="BYE")
        self.world.forget()

    def referrer_left(self) -> None:
        """Alice refers bob to carol and hangs up; carol rings."""
        refer(self.to_b, "sip:carol@a")
        self.told("100 Trying active")
        self.to_b.bye()
        self.carol.says(180)
        self.told("180 Ringing active")
        self.world.forget()

    def target_takes_it(self) -> None:
        """Carol answers, then bob: that is the one call, and it ends as others do."""
        self.carol.says(200)
        self.bob.says(200)
        self.told("200 OK terminated")
        self.assertEqual(self.calls(), 1)
        self.over()

    def refreshed(self, party: Party) -> None:
        """Half an interval later somebody has an INVITE of ours."""
        self.world.wait(46)
        party.says(200, headers=TIMED, to="INVITE")
        self.world.forget()

    def over(self) -> None:
        """Bob hangs up, and nothing is left."""
        self.to_a.bye()
        self.carol.says(200, to="BYE")
        self.world.quiet()

    def test_the_target_has_a_timer(self) -> None:
        """RFC 4028 7.2: what the target agrees to holds: we refresh its leg, with what was said last."""
        self.talk()
        self.transfer(TIMED)
        answer = asked(self.carol.talk, "ACK").body
        self.refreshed(self.carol)
        self.assertEqual(asked(self.carol.talk, "INVITE").body, answer)
        self.over()

    def test_the_one_that_remains_has_a_timer(self) -> None:
        """RFC 4028 7.4, S44: a refresh of ours after the transfer says the session with the target, not the old one."""
        self.talk(far=TIMED)
        self.transfer(bob=TIMED)
        offer = asked(self.to_a, "INVITE").body
        self.assertIn(f"c=IN IP4 {self.carol.at.address}".encode(), offer)
        self.refreshed(self.bob)
        self.assertEqual(asked(self.to_a, "INVITE").body, offer)
        self.over()

    def test_the_interval_begins_anew(self) -> None:
        """RFC 4028 7.4: our INVITE to the one that remains is a refresh, after which it has the whole interval."""
        self.talk(far={"Session-Expires": ["90;refresher=uas"], "Require": ["timer"]})
        self.world.wait(40)
        self.transfer(bob={"Session-Expires": ["90;refresher=uas"], "Require": ["timer"]})
        self.world.wait(40)
        self.world.ladder()
        self.over()

    def test_two_calls_become_one(self) -> None:
        """RFC 4028: the timer of a leg goes over with it, to a call that had none."""
        self.talk()
        to_c = self.alice.invite("sip:carol@a")
        self.carol.says(200, headers=TIMED)
        self.world.settle()
        refer(self.to_b, f"sip:carol@a?{embedded(to_c)}")
        self.world.settle()
        self.carol.says(200, headers=TIMED, to="INVITE")
        self.bob.says(200, to="INVITE")
        self.told("100 Trying active", "200 OK terminated")
        for _ in range(2):
            self.alice.says(200, to="BYE")
        self.world.forget()
        self.refreshed(self.carol)
        self.over()

    def test_the_referrer_left_and_its_timer_with_it(self) -> None:
        """RFC 4028 10: nobody refreshes, nor waits for, the session of who has left while the target rings."""
        for refresher in ("uac", "uas"):
            self.talk({"Supported": ["timer"], "Session-Expires": [f"90;refresher={refresher}"]})
            self.referrer_left()
            self.world.wait(91)
            self.target_takes_it()

    def test_the_one_that_remains_refreshes(self) -> None:
        """RFC 4028 7.4: while nobody else is there its UPDATE is answered here; an offer has to wait."""
        self.talk(far={"Session-Expires": ["90;refresher=uas"], "Require": ["timer"]})
        self.referrer_left()
        for _ in range(2):
            self.world.wait(40)
            asks = {"Supported": ["timer"], "Session-Expires": ["90;refresher=uac"]}
            sent = self.to_a.ask("UPDATE", headers=asks)
            self.world.settle()
            self.assertEqual(sent.status, 200)
            self.assertEqual(sent.responses[-1].headers["Session-Expires"], ["90;refresher=uac"])
        for method in ("INVITE", "UPDATE", "INFO"):
            sent = self.to_a.ask(method, self.to_a.sdp(), {"Content-Type": ["application/sdp"]})
            self.world.settle()
            self.assertEqual(sent.status, 491)
        self.target_takes_it()

    def test_two_subscriptions(self) -> None:
        """RFC 5057: what was subscribed to in the two dialogs with the referrer ends with them; nothing is left."""
        self.talk()
        to_c, _ = self.world.talk(self.alice, self.carol)
        for dialog, party in ((to_c, self.carol), (self.to_b, self.bob)):
            dialog.subscribe("presence")
            party.says(200, to="SUBSCRIBE")
        self.world.settle()
        refer(self.to_b, f"sip:carol@a?{embedded(to_c)}")
        self.world.settle()
        self.carol.says(200, to="INVITE")
        self.bob.says(200, to="INVITE")
        self.told("100 Trying active", "200 OK terminated")
        for _ in range(2):
            self.alice.says(200, to="BYE")
        self.over()

    def test_an_update_meanwhile(self) -> None:
        """RFC 3311 5.2: an offer of who has ours to answer meets 491."""
        self.talk()
        refer(self.to_b, "sip:carol@a")
        self.carol.says(200)
        self.world.settle()
        sent = self.to_a.ask("UPDATE", self.to_a.sdp(), {"Content-Type": ["application/sdp"]})
        self.world.settle()
        self.assertEqual((sent.status, self.to_b.times("UPDATE")), (491, 0))
        self.bob.says(200)
        self.told("100 Trying active", "200 OK terminated")
        self.alice.says(200, to="BYE")
        self.over()

    def test_the_referrer_never_acknowledges(self) -> None:
        """RFC 3261 13.3.1.4: the ACK that is missing is of who has left; the two who talk go on."""
        self.talk()
        self.alice.acks = False
        self.to_b.reinvite()
        self.bob.says(200)
        refer(self.to_b, "sip:carol@a")
        self.told("100 Trying active")
        self.world.story.clear()
        self.to_b.bye()
        self.world.wait(5)
        self.world.ladder("alice> BYE, alice< 200 BYE, carol< INVITE, carol< INVITE, carol< INVITE")
        self.carol.says(200)
        self.bob.says(200)
        self.told("200 OK terminated")
        self.world.wait(40)
        self.assertEqual(self.calls(), 1)
        self.over()

    def test_the_two_who_talk_and_a_late_word(self) -> None:
        """S32: a 481, or nothing, from who has left says nothing of the call that goes on."""
        self.talk()
        refer(self.to_b, "sip:carol@a")
        self.told("100 Trying active")
        self.carol.says(200)
        self.world.settle()
        info = self.to_a.info("1")
        self.bob.says(200)
        self.told("200 OK terminated")
        self.alice.says(481, to="INFO")
        self.alice.says(200, to="BYE")
        self.world.settle()
        self.assertEqual((info.status, self.calls()), (481, 1))
        self.over()
