"""Session timers between two sides, each leg's own (RFC 4028)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.legs import leg_rows
from b2bua.ops.phone import Dialog
from b2bua.sip.message import Headers, Message, Request, Response
from tests.party import Party
from tests.world import TWO_SIDES, World

URI = "sip:bob@biloxi.example"
SDP: Headers = {"Content-Type": ["application/sdp"]}
QUIET = TWO_SIDES + "[call]\nprobe = 0\n"
EVERYBODY = QUIET + "session_expires = 1800\n"


def said(message: Message, name: str = "Session-Expires") -> str:
    """A header's one value, or nothing."""
    return message.first(name)


class Timed(SynchronousTestCase):
    """A call with session timers."""

    def call(
        self,
        near: Headers | None = None,
        far: Headers | None = None,
        configuration: str = QUIET,
        body: bytes | None = None,
        ring: bool = False,
    ) -> None:
        """Alice calls with some headers, bob answers with others."""
        self.world = world = World(configuration)
        self.alice, self.bob = world.alice, world.bob
        self.near = world.alice.invite(URI, headers=near, body=body)
        world.settle()
        self.far = world.bob.talk
        if ring:
            world.bob.says(180)
        world.bob.says(200, headers=far)
        world.settle()

    def invite(self) -> Request:
        """What bob got last."""
        request = self.far.last("INVITE")
        assert isinstance(request, Request)
        return request

    def answer(self, dialog: Dialog | None = None, what: str = "200 INVITE") -> Response:
        """What alice was answered last."""
        response = (dialog or self.near).last(what)
        assert isinstance(response, Response)
        return response

    def over(self, party: Party | None = None) -> None:
        """Hang up and see that nothing is left."""
        for phone in (self.alice, self.bob):
            phone.open.clear()
        self.near.bye()
        self.bob.says(200, to="BYE")
        self.world.quiet()
        self.assertEqual(self.flushLoggedErrors(), [])

    def died(self, why: str) -> None:
        """Both sides had a BYE with the reason, and the call is over."""
        for dialog, phone in ((self.near, self.alice), (self.far, self.bob)):
            self.assertEqual(dialog.times("BYE"), 1)
            self.assertEqual(said(dialog.last("BYE"), "Reason"), 'SIP;cause=408;text="Session timer expired"')
            phone.says(200, to="BYE")
        self.assertIn(f"ended: {why}", self.world.journal.lines)
        self.world.quiet()


class Agreeing(Timed):
    """Who asks for what, and what is agreed."""

    def test_nobody_asks(self) -> None:
        """Off unless a side asks; a phone that knows timers is no phone that asks."""
        self.call()
        self.assertEqual((said(self.invite()), said(self.answer())), ("", ""))
        self.assertFalse(self.world.hall.book.call("") or self.world.journal.calls[0].timed)
        self.over()

    def test_the_caller_asks(self) -> None:
        """RFC 4028 7.1, 9: the callee is asked for as much, by us; the caller refreshes its own side."""
        self.call({"Session-Expires": ["600"], "Min-SE": ["120"]}, {"Session-Expires": ["400;refresher=uas"]})
        self.assertEqual((said(self.invite()), said(self.invite(), "Min-SE")), ("600", ""))
        self.assertEqual(said(self.invite(), "Supported"), "replaces, timer")
        self.assertEqual((said(self.answer()), said(self.answer(), "Require")), ("600;refresher=uac", "timer"))
        (call,) = self.world.hall.book
        shown = [dict(leg_rows(leg))["session timer"] for leg in (call.near, call.far)]
        self.assertEqual(shown, ["600 s, refreshed by the peer", "400 s, refreshed by the peer"])
        self.over()

    def test_the_callee_alone(self) -> None:
        """RFC 4028 7.2: a callee may begin it; the caller is not concerned."""
        self.call({}, {"Session-Expires": ["90;refresher=uas"], "Require": ["timer"]})
        self.assertEqual((said(self.answer()), said(self.answer(), "Require")), ("", ""))
        self.world.wait(61)
        self.died("the session timer expired")

    def test_the_configuration_asks(self) -> None:
        """Both sides, where they know of it; a caller's own wish is not made longer."""
        self.call({}, {}, EVERYBODY)
        self.assertEqual((said(self.invite()), said(self.answer())), ("1800", "1800;refresher=uac"))
        self.over()
        self.call({"Session-Expires": ["600;refresher=uas"]}, {}, EVERYBODY)
        self.assertEqual((said(self.invite()), said(self.answer())), ("1800", "600;refresher=uas"))
        self.over()
        self.call({"Supported": ["replaces"]}, {}, EVERYBODY)
        self.assertEqual((said(self.invite()), said(self.answer())), ("1800", ""))
        self.assertEqual(self.invite().headers["Supported"], ["replaces", "timer"])
        self.over()

    def test_required_by_the_caller(self) -> None:
        """`Require: timer` is fulfilled by us and does not cross."""
        self.call({"Require": ["timer"], "Session-Expires": ["600"]}, ring=True)
        self.assertEqual(self.near.times("180 INVITE"), 1)
        self.assertNotIn("RSeq", self.near.last("180 INVITE").headers)
        self.assertNotIn("Require", self.invite().headers)
        self.assertEqual(said(self.answer(), "Require"), "timer")
        self.over()

    def test_too_short(self) -> None:
        """RFC 4028 9: 422 with Min-SE, outside the call and in it; nothing crosses."""
        world = World(QUIET + "min_se = 200\n")
        talk = world.alice.invite(URI, headers={"Session-Expires": ["199"]})
        world.settle()
        self.assertEqual(said(talk.last("422 INVITE"), "Min-SE"), "200")
        self.assertEqual(world.bob.bytes_in, [])
        self.call({"Session-Expires": ["600"]})
        for method in ("INVITE", "UPDATE"):
            self.near.ask(method, headers={"Session-Expires": ["60"]})
            self.world.settle()
            self.assertEqual(said(self.near.last(f"422 {method}"), "Min-SE"), "90")
        self.assertEqual((self.far.times("INVITE"), self.far.times("UPDATE")), (1, 0))
        self.over()

    def test_what_cannot_be_read(self) -> None:
        """400 to a request; a callee's 2xx counts all the same, without a timer."""
        world = World(QUIET)
        for wrong in ({"Session-Expires": ["soon"]}, {"Min-SE": ["soon"]}):
            talk = world.alice.invite(URI, headers=wrong)
            world.settle()
            self.assertEqual(talk.times("400 INVITE"), 1)
        self.call({}, {"Session-Expires": ["soon"]})
        self.assertIn("fault of 10.0.0.20 in a 2xx response: Session-Expires is not a number", self.world.journal.lines)
        self.over()

    def test_422(self) -> None:
        """RFC 4028 7.3: the INVITE again with the callee's Min-SE, under the next number; the caller hears nothing."""
        self.world = world = World(QUIET)
        self.alice, self.bob = world.alice, world.bob
        self.near = world.alice.invite(URI, headers={"Session-Expires": ["600"]})
        for least in ("1000", "2000"):
            world.bob.says(422, headers={"Min-SE": [least]})
            world.settle()
            self.far = world.bob.talk
            self.assertEqual((said(self.invite()), said(self.invite(), "Min-SE")), (least, least))
        self.assertEqual(self.invite().cseq[0], 3)
        self.assertEqual(len({dialog.call_id for dialog in world.bob.dialogs}), 1)
        world.bob.says(200, headers={"Session-Expires": ["2000;refresher=uas"]})
        world.settle()
        self.assertEqual(said(self.answer()), "600;refresher=uac")
        self.assertEqual(self.near.times("422 INVITE"), 0)
        (call,) = world.hall.book
        self.assertIn("422 INVITE", [step.label for step in call.history])
        self.over()

    def test_422_without_end(self) -> None:
        """Three tries; then, and where it tells nothing, the caller has 500: the interval was not its own."""
        for answers in (["1000", "2000", "3000"], ["600"], [""], ["soon"]):
            world = World(QUIET)
            talk = world.alice.invite(URI, headers={"Session-Expires": ["600"]})
            for least in answers:
                world.bob.says(422, headers={"Min-SE": [least]} if least else {})
                world.settle()
            self.assertEqual((talk.times("500 INVITE"), talk.times("422 INVITE")), (1, 0), answers)
            world.quiet()

    def test_422_where_we_asked_for_nothing(self) -> None:
        """500."""
        world = World(QUIET)
        talk = world.alice.invite(URI)
        world.bob.says(422, headers={"Min-SE": ["1000"]})
        world.settle()
        self.assertEqual(talk.times("500 INVITE"), 1)

    def test_422_after_cancel(self) -> None:
        """Nothing is sent again that was taken back."""
        world = World(QUIET)
        talk = world.alice.invite(URI, headers={"Session-Expires": ["600"]})
        world.settle()
        talk.cancel()
        world.bob.says(422, headers={"Min-SE": ["1000"]})
        world.settle()
        self.assertEqual((talk.times("487 INVITE"), world.bob.talk.times("INVITE")), (1, 1))
        world.bob.open.clear()
        world.quiet()

    def test_422_to_a_reinvite(self) -> None:
        """The same inside the call."""
        self.call({"Session-Expires": ["600"]}, {"Session-Expires": ["600;refresher=uac"]})
        self.near.ask("INVITE", self.near.sdp(), {**SDP, "Session-Expires": ["600"]})
        self.bob.says(422, headers={"Min-SE": ["900"]})
        self.world.settle()
        self.assertEqual((said(self.invite()), said(self.invite(), "Min-SE")), ("900;refresher=uac", "900"))
        self.bob.says(200, headers={"Session-Expires": ["900;refresher=uac"]})
        self.world.settle()
        self.assertEqual(self.near.times("200 INVITE"), 2)
        self.over()

    def test_422_to_an_update(self) -> None:
        """Learned for the next time; the near side is asked to try again."""
        self.call({"Session-Expires": ["600"]}, {"Session-Expires": ["600;refresher=uac"]})
        self.near.update()
        self.bob.says(422, headers={"Min-SE": ["900"]})
        self.world.settle()
        self.assertIn("Retry-After", self.near.last("500 UPDATE").headers)
        self.near.update()
        self.world.settle()
        self.assertEqual(said(self.far.last("UPDATE")), "900;refresher=uac")
        self.bob.says(200)
        self.over()
        self.call()
        self.near.update()
        self.bob.says(422, headers={"Min-SE": ["900"]})
        self.world.settle()
        self.assertEqual(self.near.times("500 UPDATE"), 1)
        self.over()

    def test_forks_have_timers_of_their_own(self) -> None:
        """S28: the fork that answers agrees for itself."""
        self.world = world = World(QUIET)
        self.alice, self.bob = world.alice, world.bob
        self.near = world.alice.invite(URI, headers={"Session-Expires": ["600"]})
        world.settle()
        first = world.bob.talk
        self.far = world.bob.fork(first)
        first.ring()
        self.far.ring()
        assert self.far.invitation is not None
        self.far.respond(self.far.invitation, 200, self.far.sdp(), {**SDP, "Session-Expires": ["300;refresher=uac"]})
        world.settle()
        (call,) = world.hall.book
        self.assertEqual([leg.timer and leg.timer.seconds for pair in call.pairs for leg in pair], [600, 300])


class Refreshing(Timed):
    """Refreshes of the peers', and of our own."""

    UPDATES: Headers = {"Session-Expires": ["200;refresher=uac"], "Allow": ["INVITE, ACK, BYE, UPDATE"]}
    REINVITES: Headers = {"Session-Expires": ["200;refresher=uac"], "Allow": ["INVITE, ACK, BYE"]}

    def test_ours_by_update(self) -> None:
        """RFC 4028 10: at half the interval, without a body, only on that leg; its 2xx begins the interval anew."""
        self.call({}, self.UPDATES)
        for turn in range(1, 4):
            self.world.wait(98)
            self.assertEqual(self.far.times("UPDATE"), turn - 1)
            self.world.wait(2.5)
            update = self.far.last("UPDATE")
            self.assertEqual((said(update), update.body, "Contact" in update.headers), ("200;refresher=uac", b"", True))
            self.bob.says(200, headers={"Session-Expires": ["200;refresher=uac"]}, to="UPDATE")
            self.world.settle()
        self.assertEqual((self.far.times("UPDATE"), self.near.times("UPDATE"), self.near.times("INVITE")), (3, 0, 0))
        self.over()

    def test_ours_by_invite(self) -> None:
        """Where UPDATE is not allowed: with the session description said last, unchanged, and its ACK."""
        self.call({}, self.REINVITES)
        first = self.invite()
        self.world.wait(101)
        again = self.invite()
        self.assertEqual((again.body, again.cseq[0]), (first.body, 2))
        self.bob.says(200, headers={"Session-Expires": ["200;refresher=uac"]})
        self.world.settle()
        self.assertEqual((self.far.times("ACK"), self.near.times("INVITE")), (2, 0))
        self.over()

    def test_the_last_description(self) -> None:
        """It is the one agreed on: after a hold the hold, and not what was refused."""
        self.call({}, self.REINVITES)
        self.near.reinvite("sendonly")
        self.bob.says(200, headers={"Session-Expires": ["200;refresher=uac"]})
        self.world.settle()
        self.near.reinvite("inactive")
        self.bob.says(488)
        self.world.wait(101)
        self.assertIn(b"a=sendonly", self.invite().body)
        self.assertIn(b" 4 IN IP4 10.0.0.1", self.invite().body)  # RFC 3264 8: another than the refused one before it
        self.over()

    def test_a_late_offer(self) -> None:
        """The far leg's description is then the ACK's; the near leg's is that of the 2xx."""
        self.call({"Session-Expires": ["200;refresher=uas"], "Allow": ["INVITE"]}, self.REINVITES, body=b"")
        ack = self.far.last("ACK")
        ok = self.answer()
        self.world.wait(101)
        self.assertEqual((self.near.last("INVITE").body, self.far.times("INVITE")), (ok.body, 1))
        self.alice.says(200, headers={"Session-Expires": ["200;refresher=uac"]}, to="INVITE")
        self.world.wait(3)  # one after the other
        self.assertEqual(self.invite().body, ack.body)
        self.bob.says(200, headers=self.REINVITES, to="INVITE")
        self.world.settle()
        self.assertEqual((self.near.times("ACK"), self.far.times("ACK")), (1, 2))
        self.over()

    def test_nothing_to_say_again(self) -> None:
        """Without a session description on this leg there is only UPDATE."""
        self.world = world = World(QUIET)
        self.alice, self.bob = world.alice, world.bob
        self.near = world.alice.invite(URI, body=b"")
        world.settle()
        self.far = world.bob.talk
        world.bob.says(200, b"", self.REINVITES)
        world.wait(101)
        self.assertEqual((self.far.times("UPDATE"), self.far.times("INVITE")), (1, 1))
        world.bob.says(405, to="UPDATE")
        world.wait(51)
        self.assertEqual((self.far.times("UPDATE"), self.far.times("INVITE")), (2, 1))
        self.over()

    def test_the_near_side_where_a_proxy_asks(self) -> None:
        """RFC 4028 9: the caller itself knows no timer: neither will, so we do, and call it."""
        self.call({"Session-Expires": ["200"], "Supported": ["replaces"], "Allow": ["INVITE, UPDATE"]})
        self.assertEqual((said(self.answer()), "Require" in self.answer().headers), ("200;refresher=uas", False))
        self.world.wait(101)
        self.assertEqual((self.near.times("UPDATE"), self.far.times("UPDATE")), (1, 0))
        self.alice.says(200, to="UPDATE")  # RFC 4028 7.2: without Session-Expires there is no timer any more
        self.world.wait(400)
        self.assertEqual((self.near.times("UPDATE"), self.near.times("BYE")), (1, 0))
        self.over()

    def test_a_peers_refresh(self) -> None:
        """RFC 4028 9, 10: it crosses, and begins the interval anew; without it the call dies, on both sides."""
        self.call({"Session-Expires": ["300;refresher=uac"]}, {"Session-Expires": ["3000;refresher=uas"]})
        for method in ("UPDATE", "INVITE"):
            self.world.wait(200)
            body = self.near.sdp() if method == "INVITE" else b""
            self.near.ask(method, body, {"Session-Expires": ["300;refresher=uac"], **(SDP if body else {})})
            self.bob.says(200, headers={"Session-Expires": ["3000;refresher=uas"]}, to=method)
            self.world.settle()
            self.assertEqual(said(self.answer(what=f"200 {method}")), "300;refresher=uac")
            self.assertEqual(said(self.far.last(method)), "3000;refresher=uas")
        self.world.wait(267)
        self.assertEqual(self.near.times("BYE"), 0)
        self.world.wait(2)
        self.died("the session timer expired")

    def test_a_refused_refresh_of_a_peers(self) -> None:
        """It crosses as it is, and refreshes nothing."""
        self.call({"Session-Expires": ["90;refresher=uac"]})
        self.world.wait(30)
        self.near.update()
        self.bob.says(500)
        self.world.wait(31)
        self.died("the session timer expired")

    def test_gone(self) -> None:
        """RFC 4028 10: 408 or 481 to a refresh, or silence: BYE on both sides."""
        for method, headers in (("UPDATE", self.UPDATES), ("INVITE", self.REINVITES)):
            for status in (408, 481):
                self.call({}, headers)
                self.world.wait(101)
                self.bob.says(status, to=method)
                self.world.settle()
                self.died(f"a refresh of the session was answered {status}")
        self.call({}, self.UPDATES)
        self.world.wait(99)
        self.bob.mute = True
        self.world.wait(35)
        self.assertEqual(self.near.times("BYE"), 1)
        self.assertIn("ended: a refresh of the session was answered 408", self.world.journal.lines)

    def test_refused(self) -> None:
        """RFC 4028 10: any other answer: again later; when the interval has passed without, the call ends."""
        self.call({}, self.UPDATES)
        self.world.wait(101)
        self.bob.says(500, to="UPDATE")
        self.world.wait(51)
        self.assertEqual(self.far.times("UPDATE"), 2)
        for _ in range(8):
            if self.bob.open:
                self.bob.says(500, to="UPDATE")
            self.world.wait(7)
        self.bob.open[:] = [each for each in self.bob.open if each[1].method == "BYE"]
        self.died("the session timer expired")

    def test_it_cannot_be_sent(self) -> None:
        """A transport that cannot deliver now may later."""
        self.call({}, self.UPDATES)
        self.bob.refusing = True
        self.world.wait(110)
        self.bob.refusing = False
        self.world.wait(50)
        self.bob.says(200, headers=self.UPDATES, to="UPDATE")
        self.world.settle()
        self.assertEqual(self.near.times("BYE"), 0)
        self.over()

    def test_update_is_not_known_after_all(self) -> None:
        """405 or 501: by INVITE then."""
        for status in (405, 501):
            self.call({}, self.UPDATES)
            self.world.wait(101)
            self.bob.says(status, to="UPDATE")
            self.world.wait(3)
            self.assertEqual(self.far.times("INVITE"), 2)
            self.bob.says(200, headers={"Session-Expires": ["200;refresher=uac"]})
            self.over()

    def test_422(self) -> None:
        """RFC 4028 7.4: with the peer's Min-SE; one that tells nothing is a refusal like others."""
        self.call({}, self.UPDATES)
        self.world.wait(101)
        self.bob.says(422, headers={"Min-SE": ["400"]}, to="UPDATE")
        self.world.wait(3)
        self.assertEqual(said(self.far.last("UPDATE")), "400;refresher=uac")
        self.bob.says(422, headers={"Min-SE": ["soon"]}, to="UPDATE")
        self.world.wait(3)
        self.assertEqual(self.far.times("UPDATE"), 2)
        self.over()

    def test_glare(self) -> None:
        """S32, RFC 3261 14.1: 491 to ours: again after 2.1 to 4 seconds where we own the Call-ID, else within 2."""
        self.call({}, self.REINVITES)
        self.world.wait(101)
        self.bob.says(491, to="INVITE")
        self.world.wait(2.0)
        self.assertEqual(self.far.times("INVITE"), 2)
        self.world.wait(2.1)
        self.assertEqual(self.far.times("INVITE"), 3)
        self.over()
        self.call({"Session-Expires": ["200;refresher=uas"], "Allow": ["INVITE"]})
        self.world.wait(101)
        self.alice.says(491, to="INVITE")
        self.world.wait(2.1)
        self.assertEqual(self.near.times("INVITE"), 2)
        self.over()

    def test_a_reinvite_crosses_ours(self) -> None:
        """S32: while our INVITE is under way on one leg, another from either side is refused: 491."""
        self.call({}, self.REINVITES)
        self.world.wait(101)
        for dialog in (self.near, self.far):
            sent = dialog.reinvite()
            self.world.settle()
            self.assertEqual(sent.status, 491)
            sent = dialog.ask("UPDATE", dialog.sdp(), SDP)
            self.world.settle()
            self.assertEqual(sent.status, 491)
        self.assertEqual((self.near.times("INVITE"), self.far.times("UPDATE")), (0, 0))
        self.over()

    def test_ours_waits_for_a_reinvite(self) -> None:
        """RFC 3261 14.1: no INVITE of ours while another is under way."""
        self.call({}, self.REINVITES)
        self.world.wait(99)
        self.near.reinvite()
        self.bob.says(180)
        self.world.wait(5)
        self.assertEqual(self.far.times("INVITE"), 2)
        self.bob.says(488, to="INVITE")
        self.world.wait(3)
        self.assertEqual(self.far.times("INVITE"), 3)
        self.bob.says(200, headers={"Session-Expires": ["200;refresher=uac"]}, to="INVITE")
        self.world.settle()
        self.over()

    def test_the_2xx_again(self) -> None:
        """S23: the same ACK again."""
        self.call({}, self.REINVITES)
        self.world.wait(99)
        self.world.wires.on("ACK", (), self.bob)
        self.world.wait(2)
        self.bob.says(100, to="INVITE")
        self.bob.says(200, headers={"Session-Expires": ["200;refresher=uac"]}, to="INVITE")
        self.world.wait(2)
        acks = [each for each in self.far.heard if isinstance(each, Request) and each.method == "ACK"]
        self.assertGreater(len(acks), 1)
        self.assertEqual(len({bytes(each) for each in acks[1:]}), 1)
        self.over()

    def test_a_contact_that_cannot_be_used(self) -> None:
        """In the answer to ours: said in the journal; the ACK goes all the same."""
        self.call({}, self.REINVITES)
        self.world.wait(101)
        self.bob.says(200, headers={"Contact": ["<tel:5>"], "Session-Expires": ["200;refresher=uac"]}, to="INVITE")
        self.world.settle()
        self.assertEqual(self.far.times("ACK"), 2)
        self.assertTrue(any("in a 200 response" in line for line in self.world.journal.lines))
        self.over()

    def test_hung_up_meanwhile(self) -> None:
        """S33: BYE while ours is under way; whatever is answered to it then, it is ACKed and nothing more."""
        for status in (200, 481, 491):
            self.call({}, self.REINVITES)
            self.world.wait(101)
            self.near.bye()
            self.world.settle()
            self.bob.says(200, to="BYE")
            self.bob.says(status, to="INVITE")
            self.world.settle()
            self.assertEqual((self.far.times("ACK"), self.near.times("BYE")), (2, 0))
            self.world.quiet()

    def test_many_calls_later(self) -> None:
        """A timer that is agreed anew to a shorter time is looked at in time."""
        self.call({"Session-Expires": ["3000;refresher=uac"]})
        self.world.wait(20)
        self.near.ask("UPDATE", headers={"Session-Expires": ["90;refresher=uac"]})
        self.bob.says(200)
        self.world.wait(61)
        self.died("the session timer expired")
