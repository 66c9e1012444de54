"""Reliable provisional responses between two sides (RFC 3262, S31), and UPDATE in early dialogs (RFC 3311)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog, Sent, direction_of
from b2bua.sip.message import Headers, Request, Response
from tests.world import World

URI = "sip:bob@biloxi.example"
SDP: Headers = {"Content-Type": ["application/sdp"]}
SUPPORTED: Headers = {"Supported": ["100rel, timer"]}
REQUIRED: Headers = {"Require": ["100rel"]}


class Provisionals(SynchronousTestCase):
    """A call that begins with a reliable provisional response."""

    def begin(self, headers: Headers | None = None, body: bytes | None = None) -> None:
        """Alice calls; bob has the INVITE."""
        self.world = world = World()
        self.talk = world.alice.invite(URI, headers=headers, body=body)
        self.world.settle()
        self.far = world.bob.talk
        world.story.clear()

    def reliably(self, status: int, rseq: int, body: bytes = b"", dialog: Dialog | None = None) -> None:
        """Bob answers the INVITE reliably."""
        dialog = dialog or self.far
        assert dialog.invitation is not None
        headers = {"Require": ["100rel"], "RSeq": [str(rseq)], **(SDP if body else {})}
        dialog.respond(dialog.invitation, status, body, headers)
        self.world.settle()

    def ringing(self, status: int = 183, talk: Dialog | None = None) -> Response:
        """The last such response that alice got."""
        response = (talk or self.talk).last(f"{status} INVITE")
        assert isinstance(response, Response)
        return response

    def prack(
        self, response: Response, body: bytes = b"", dialog: Dialog | None = None, rseq: int = 0, **more: list[str]
    ) -> Sent:
        """Alice acknowledges a response."""
        number = rseq or int(response.headers["RSeq"][0])
        headers = {"RAck": [f"{number} {response.cseq[0]} INVITE"], **(SDP if body else {}), **more}
        sent = (dialog or self.talk).ask("PRACK", body, headers)
        self.world.settle()
        return sent

    def got(self, what: str, dialog: Dialog | None = None) -> Request:
        """The last request of a method that bob got."""
        request = (dialog or self.far).last(what)
        assert isinstance(request, Request)
        return request

    def hang_up(self) -> None:
        """The end of an answered call."""
        self.talk.bye()
        self.world.bob.says(200, to="BYE")
        self.world.quiet()
        self.assertEqual(self.flushLoggedErrors(), [])


class EndToEnd(Provisionals):
    """Both sides know reliable provisionals."""

    def test_a_call(self) -> None:
        """S31: 183 with an answer, PRACK and its 200 cross; RSeq is each leg's own, RAck names it and our CSeq."""
        self.begin(SUPPORTED)
        self.assertIn("100rel", self.got("INVITE").headers["Supported"][0])
        self.assertNotIn("Require", self.got("INVITE").headers)
        self.reliably(183, 4711, self.far.sdp())
        answer = self.ringing()
        self.assertEqual(answer.headers["Require"], ["100rel"])
        self.assertNotEqual(answer.headers["RSeq"], ["4711"])
        self.assertIn(b"m=audio", answer.body)
        self.prack(answer)
        self.assertEqual(self.got("PRACK").headers["RAck"], [f"4711 {self.got('INVITE').cseq[0]} INVITE"])
        self.assertNotIn("Contact", self.got("PRACK").headers)
        self.world.bob.says(200, to="PRACK")
        self.world.settle()
        self.reliably(180, 4712)
        ringing = self.ringing(180)
        self.assertEqual(int(ringing.headers["RSeq"][0]), int(answer.headers["RSeq"][0]) + 1)
        self.prack(ringing)
        self.world.bob.says(200, to="PRACK")
        self.world.bob.says(200, b"", to="INVITE")
        self.world.ladder(
            "bob> 183 INVITE, alice< 183 INVITE, alice> PRACK, bob< PRACK, bob> 200 PRACK, alice< 200 PRACK",
            "bob> 180 INVITE, alice< 180 INVITE, alice> PRACK, bob< PRACK, bob> 200 PRACK, alice< 200 PRACK",
            "bob> 200 INVITE, bob< ACK, alice< 200 INVITE, alice> ACK",
        )
        self.hang_up()

    def test_required(self) -> None:
        """S31: `Require: 100rel` does not cross, Supported does in its place; the caller's own side is reliable."""
        self.begin({**REQUIRED, "Supported": ["replaces"]})
        invite = self.got("INVITE")
        self.assertEqual(("Require" in invite.headers, invite.headers["Supported"]), (False, ["replaces", "100rel"]))
        self.reliably(183, 1, self.far.sdp())
        self.prack(self.ringing())
        self.world.bob.says(200, to="PRACK")
        self.world.settle()
        self.assertEqual(self.talk.times("200 PRACK"), 1)
        self.world.bob.says(200, b"", to="INVITE")
        self.world.settle()
        self.talk.ask("INVITE", headers={"Supported": ["timer"]})
        self.world.settle()
        self.assertEqual(self.got("INVITE").headers["Supported"], ["timer"])  # who requires it no more has it no more

    def test_late_offer(self) -> None:
        """RFC 3262 5: the offer in the 183, the answer in the PRACK; nothing in 2xx and ACK."""
        self.begin(SUPPORTED, b"")
        self.reliably(183, 9, self.far.sdp("sendonly"))
        self.assertEqual(direction_of(self.ringing().body), "sendonly")
        self.prack(self.ringing(), self.talk.sdp("recvonly"))
        self.assertEqual(direction_of(self.got("PRACK").body), "recvonly")
        self.assertIn(b"IN IP4 10.0.0.1\r\n", self.got("PRACK").body)
        self.world.bob.says(200, to="PRACK")
        self.world.bob.says(200, b"", to="INVITE")
        self.world.settle()
        self.assertEqual((self.got("ACK").body, self.talk.times("200 INVITE")), (b"", 1))
        self.hang_up()

    def test_an_offer_in_the_prack(self) -> None:
        """RFC 3262 5: it crosses, and the answer in its 200; while it is open another offer is refused (RFC 3311)."""
        self.begin(SUPPORTED)
        self.reliably(183, 9, self.far.sdp())
        self.prack(self.ringing(), self.talk.sdp("sendonly"))
        mine = self.talk.ask("UPDATE", self.talk.sdp(), SDP)
        theirs = self.far.ask("UPDATE", self.far.sdp(), SDP)
        self.world.settle()
        self.assertEqual((mine.status, theirs.status), (500, 491))
        self.world.bob.says(200, self.far.sdp("recvonly"), SDP, to="PRACK")
        self.world.settle()
        self.assertEqual(direction_of(self.talk.last("200 PRACK").body), "recvonly")
        self.talk.ask("UPDATE", self.talk.sdp(), SDP)
        self.world.bob.says(200, self.far.sdp(), SDP, to="UPDATE")
        self.world.settle()
        self.assertEqual(self.talk.times("200 UPDATE"), 1)

    def test_again_until_the_prack(self) -> None:
        """RFC 3262 3: T1, doubled; the far side's own retransmissions do not cross; its PRACK is one."""
        self.begin(SUPPORTED)
        self.reliably(183, 5, self.far.sdp())
        self.world.wait(0.4)
        self.reliably(183, 5, self.far.sdp())
        self.assertEqual(self.talk.times("183 INVITE"), 1)
        self.world.wait(8)
        self.assertEqual(self.talk.times("183 INVITE"), 5)  # at 0, 0.5, 1.5, 3.5, 7.5
        self.prack(self.ringing())
        self.world.bob.says(200, to="PRACK")
        self.reliably(183, 5, self.far.sdp())
        self.world.wait(20)
        self.assertEqual((self.talk.times("183 INVITE"), self.far.times("PRACK")), (5, 1))

    def test_no_prack(self) -> None:
        """RFC 3262 3: none in 64·T1: the INVITE is refused with a 5xx, and the far side's cancelled."""
        self.begin(SUPPORTED)
        self.reliably(183, 5)
        self.world.wait(33)
        self.assertEqual((self.talk.times("504 INVITE"), self.far.times("CANCEL")), (1, 1))
        self.assertEqual(self.talk.times("183 INVITE"), 7)
        self.assertIn("ended: no PRACK came for a reliable response", self.world.journal.lines)
        self.assertEqual(self.prack(self.ringing()).status, 481)
        self.world.quiet()

    def test_order(self) -> None:
        """RFC 3262 4: the one after next is neither taken nor acknowledged until it is its turn."""
        self.begin(SUPPORTED)
        self.reliably(183, 5)
        self.reliably(180, 7)
        self.assertEqual(self.talk.times("180 INVITE"), 0)
        self.prack(self.ringing())
        self.world.bob.says(200, to="PRACK")
        self.reliably(182, 6)
        self.prack(self.ringing(182))
        self.world.bob.says(200, to="PRACK")
        self.reliably(180, 7)
        self.assertEqual((self.talk.times("182 INVITE"), self.talk.times("180 INVITE")), (1, 1))

    def test_unknown_numbers(self) -> None:
        """RFC 3262 3: a PRACK for nothing that waits is answered 481 (400 without a RAck), and does not cross."""
        self.begin(SUPPORTED)
        self.far.respond(self.got("INVITE"), 180)
        self.world.settle()
        early = Response(180, "", {"CSeq": self.ringing(180).headers["CSeq"], "RSeq": ["1"]})
        self.assertEqual(self.prack(early).status, 481)
        self.reliably(183, 5)
        number = int(self.ringing().headers["RSeq"][0])
        self.assertEqual(self.prack(self.ringing(), rseq=number + 1).status, 481)
        self.assertEqual(self.prack(self.ringing(), RAck=["5"]).status, 400)
        self.assertEqual(self.far.times("PRACK"), 0)
        self.prack(self.ringing())
        self.world.bob.says(200, to="PRACK")
        self.assertEqual(self.prack(self.ringing()).status, 481)  # once acknowledged it waits no more
        self.assertEqual(self.far.times("PRACK"), 1)

    def test_from_the_callee(self) -> None:
        """A callee has nothing to acknowledge in the caller's dialog."""
        self.begin(SUPPORTED)
        self.reliably(183, 5)
        sent = self.far.ask("PRACK", headers={"RAck": ["5 1 INVITE"]})
        self.world.settle()
        self.assertEqual(sent.status, 481)

    def test_a_refused_prack(self) -> None:
        """What the far side says to it crosses; the call goes on."""
        self.begin(SUPPORTED)
        self.reliably(183, 5, self.far.sdp())
        sent = self.prack(self.ringing(), self.talk.sdp())
        self.world.bob.says(488, to="PRACK")
        self.world.bob.says(200, b"", to="INVITE")
        self.world.settle()
        self.assertEqual((sent.status, self.talk.times("200 INVITE")), (488, 1))
        self.hang_up()

    def test_a_late_prack(self) -> None:
        """S31, RFC 3262 3: after a 2xx that had not to wait for it, in the confirmed dialog; and no retransmission."""
        self.begin(SUPPORTED)
        self.reliably(180, 5)
        self.world.bob.says(200, to="INVITE")
        self.world.wait(5)
        self.assertEqual((self.talk.times("180 INVITE"), self.talk.times("200 INVITE")), (1, 1))
        self.prack(self.ringing(180))
        self.world.bob.says(200, to="PRACK")
        self.world.settle()
        self.assertEqual((self.far.times("PRACK"), self.talk.times("200 PRACK")), (1, 1))
        self.hang_up()

    def test_a_late_prack_is_unknown(self) -> None:
        """RFC 3262 3: a 481 to PRACK is about a response, not about the call, which goes on."""
        self.begin(SUPPORTED)
        self.reliably(183, 1)
        self.world.bob.says(200, to="INVITE")
        prack = self.prack(self.ringing())
        self.world.bob.says(481, to="PRACK")
        self.world.settle()
        self.assertEqual((prack.status, self.talk.times("BYE")), (481, 0))
        self.hang_up()

    def test_a_late_prack_at_once(self) -> None:
        """The same before any retransmission would have been due."""
        self.begin(SUPPORTED)
        self.reliably(180, 5)
        self.world.bob.says(200, to="INVITE")
        self.world.settle()
        self.prack(self.ringing(180))
        self.assertEqual(self.far.times("PRACK"), 1)

    def test_the_2xx_waits(self) -> None:
        """RFC 3262 3: with an offer or answer not acknowledged no 2xx goes to the near side, however often it comes."""
        self.begin(SUPPORTED)
        self.reliably(183, 5, self.far.sdp())
        self.world.bob.says(200, b"", to="INVITE")
        self.world.wait(1.0)
        self.assertEqual((self.talk.times("200 INVITE"), self.far.times("ACK")), (0, 0))
        self.prack(self.ringing())
        self.world.bob.says(200, to="PRACK")
        self.world.settle()
        self.assertEqual((self.talk.times("200 INVITE"), self.far.times("ACK")), (1, 1))
        self.hang_up()

    def test_cancel_while_the_2xx_waits(self) -> None:
        """S27: it is too late for it then: ACK and BYE."""
        self.begin(SUPPORTED)
        invite = self.talk.sent
        self.reliably(183, 5, self.far.sdp())
        self.world.bob.says(200, b"", to="INVITE")
        self.world.settle()
        self.talk.sent = invite
        self.talk.cancel()
        self.world.wait(1.2)
        self.assertEqual((self.talk.times("487 INVITE"), self.far.times("ACK"), self.far.times("BYE")), (1, 1, 1))
        self.world.bob.says(200, to="BYE")
        self.world.quiet()

    def test_no_prack_while_the_2xx_waits(self) -> None:
        """504 to the near side, ACK and BYE to the far side."""
        self.begin(SUPPORTED)
        self.reliably(183, 5, self.far.sdp())
        self.world.bob.says(200, b"", to="INVITE")
        self.world.wait(33)
        self.assertEqual((self.talk.times("504 INVITE"), self.far.times("BYE")), (1, 1))
        self.assertGreater(self.far.times("ACK"), 0)
        self.world.bob.says(200, to="BYE")
        self.world.quiet()

    def test_another_fork_answers(self) -> None:
        """What one fork's dialog waits for does not hold another's 2xx."""
        self.begin(SUPPORTED)
        other = self.world.bob.fork(self.far)
        self.reliably(183, 5, self.far.sdp())
        other.answer()
        self.world.wait(2)
        self.assertEqual((self.talk.times("200 INVITE"), self.talk.times("183 INVITE")), (1, 1))

    def test_forks(self) -> None:
        """S28: PRACK and UPDATE reach the early dialog that they name; each has numbers of its own."""
        self.begin(SUPPORTED)
        other = self.world.bob.fork(self.far)
        self.reliably(183, 5, self.far.sdp())
        first = self.ringing()
        self.reliably(183, 800, other.sdp(), other)
        second = self.ringing()
        self.assertNotEqual((first.to_tag, first.headers["RSeq"]), (second.to_tag, second.headers["RSeq"]))
        one, two = (self.world.alice.branch(self.talk, number) for number in (1, 2))
        self.prack(second, dialog=two)
        self.assertEqual((self.far.times("PRACK"), other.times("PRACK")), (0, 1))
        self.assertEqual(self.got("PRACK", other).headers["RAck"][0].split()[0], "800")
        self.assertEqual(self.prack(second, dialog=one).status, 481)
        self.prack(first, dialog=one)
        self.assertEqual(self.got("PRACK").headers["RAck"][0].split()[0], "5")
        two.cseq = one.cseq = 5000
        two.ask("UPDATE", two.sdp(), SDP)
        self.world.settle()
        self.assertEqual((self.far.times("UPDATE"), other.times("UPDATE")), (0, 1))

    def test_a_number_that_is_none(self) -> None:
        """A peer's fault: one line in the journal, and the response does not cross."""
        self.begin(SUPPORTED)
        assert self.far.invitation is not None
        self.far.respond(self.far.invitation, 183, b"", {"Require": ["100rel"], "RSeq": ["many"]})
        self.world.settle()
        self.assertEqual(self.talk.times("183 INVITE"), 0)
        self.assertIn("fault of 10.0.0.20 in a 183 response: RSeq is not a number", self.world.journal.lines)

    def test_a_description_that_cannot_be_read(self) -> None:
        """Its answer would be lost, and the caller left without: 502, and CANCEL."""
        self.begin(SUPPORTED)
        self.reliably(183, 5, b"v=0\r\nnonsense")
        self.assertEqual((self.talk.times("502 INVITE"), self.far.times("CANCEL")), (1, 1))
        self.world.quiet()

    def test_inside_the_call(self) -> None:
        """A re-INVITE's responses are as reliable; once its offer is answered, another is free (RFC 6141 3)."""
        self.begin(SUPPORTED)
        self.world.bob.says(200)
        self.world.settle()
        self.talk.ask("INVITE", self.talk.sdp(), {**SDP, **SUPPORTED})
        self.world.settle()
        self.reliably(183, 77, self.far.sdp())
        answer = self.ringing()
        mine = self.talk.ask("UPDATE", self.talk.sdp(), SDP)
        self.world.settle()
        self.assertEqual(self.world.bob.open[-1][1].method, "UPDATE")  # RFC 6141: the answer has been given
        self.world.bob.says(200, self.far.sdp(), SDP, to="UPDATE")
        self.prack(answer)
        self.assertEqual(self.got("PRACK").headers["RAck"], [f"77 {self.got('INVITE').cseq[0]} INVITE"])
        self.world.bob.says(200, to="PRACK")
        self.world.bob.says(200, b"", to="INVITE")
        self.world.settle()
        self.assertEqual((mine.status, self.talk.times("200 INVITE")), (200, 2))
        self.hang_up()

    def test_no_prack_for_a_reinvite(self) -> None:
        """Its INVITE is refused and cancelled; the call goes on."""
        self.begin(SUPPORTED)
        self.world.bob.says(200)
        self.world.settle()
        sent = self.talk.ask("INVITE", self.talk.sdp(), {**SDP, **SUPPORTED})
        self.world.settle()
        self.reliably(183, 77)
        self.world.wait(33)
        self.assertEqual((sent.status, self.far.times("CANCEL"), self.talk.times("BYE")), (504, 1, 0))
        self.hang_up()


class OneSideOnly(Provisionals):
    """Only one side knows reliable provisionals."""

    def test_the_near_side_knows_none(self) -> None:
        """S31: we acknowledge it ourselves, and the caller has an ordinary 183."""
        self.begin()
        self.reliably(183, 5, self.far.sdp())
        self.assertEqual(self.got("PRACK").headers["RAck"], [f"5 {self.got('INVITE').cseq[0]} INVITE"])
        self.assertFalse({"RSeq", "Require"} & self.ringing().headers.keys())
        self.world.bob.says(200, to="PRACK")
        self.reliably(183, 5, self.far.sdp())
        self.reliably(180, 6)
        self.world.bob.says(200, to="PRACK")
        self.world.settle()
        self.assertEqual((self.far.times("PRACK"), self.talk.times("183 INVITE")), (2, 1))
        self.world.bob.says(200, b"", to="INVITE")
        self.world.settle()
        self.hang_up()

    def test_nobody_answers_our_prack(self) -> None:
        """The far side's affair: the call goes on."""
        self.begin()
        self.reliably(180, 5)
        self.world.wait(33)
        self.world.bob.says(200, to="INVITE")
        self.world.settle()
        self.assertEqual(self.talk.times("200 INVITE"), 1)
        self.hang_up()

    def test_an_offer_that_nobody_can_answer(self) -> None:
        """RFC 3262 5: its answer belongs into a PRACK that the caller cannot send: 502, and CANCEL."""
        self.begin(body=b"")
        self.reliably(183, 5, self.far.sdp())
        self.assertEqual((self.talk.times("502 INVITE"), self.far.times("CANCEL"), self.far.times("PRACK")), (1, 1, 0))
        self.assertIn("an offer in a reliable response that nobody asked for", self.world.journal.lines[-2])
        self.world.quiet()

    def test_the_far_side_insists(self) -> None:
        """RFC 3261 21.4.15: 421 for want of 100rel: the INVITE again with it, under the next number."""
        self.begin()
        self.world.bob.says(421, headers=REQUIRED, to="INVITE")
        self.world.settle()
        far = self.world.bob.talk
        again = self.got("INVITE", far)
        self.assertEqual((again.headers["Supported"], again.cseq[0]), (["replaces, timer", "100rel"], 2))
        self.assertEqual((again.call_id, again.from_tag), (self.far.call_id, self.far.remote_tag))
        self.reliably(183, 5, far.sdp(), far)
        self.assertEqual((far.times("PRACK"), self.talk.times("183 INVITE")), (1, 1))
        self.world.bob.says(200, to="PRACK")
        self.world.bob.says(200, b"", to="INVITE")
        self.world.settle()
        self.hang_up()

    def test_the_far_side_insists_inside_the_call(self) -> None:
        """The same for a re-INVITE."""
        self.begin()
        self.world.bob.says(200)
        self.world.settle()
        self.talk.reinvite()
        self.world.bob.says(421, headers=REQUIRED, to="INVITE")
        self.world.settle()
        self.assertEqual(self.got("INVITE").headers["Supported"], ["replaces, timer", "100rel"])
        self.world.bob.says(200, to="INVITE")
        self.world.settle()
        self.assertEqual(self.talk.times("200 INVITE"), 2)
        self.hang_up()

    def test_the_far_side_insists_in_vain(self) -> None:
        """Once is enough; and without an offer of the caller's it would be of no use."""
        for headers, body, times in ((SUPPORTED, None, 1), ({}, b"", 1), ({}, None, 2)):
            self.begin(headers, body)
            self.world.bob.says(421, headers=REQUIRED, to="INVITE")
            self.world.settle()
            if times == 2:
                self.world.bob.says(421, headers=REQUIRED, to="INVITE")
            self.world.settle()
            self.assertEqual((self.talk.times("421 INVITE"), self.far.times("INVITE")), (1, 1))
            self.world.bob.open.clear()

    def test_the_near_side_requires(self) -> None:
        """S31: ours are reliable then, one at a time, and the PRACK is answered by us."""
        self.begin(REQUIRED)
        self.world.bob.says(183, self.far.sdp(), SDP)
        self.world.bob.says(180)
        self.world.settle()
        first = self.ringing()
        self.assertEqual((first.headers["Require"], self.talk.times("180 INVITE")), (["100rel"], 0))
        self.assertEqual(self.prack(first).status, 200)
        second = self.ringing(180)
        self.assertEqual(int(second.headers["RSeq"][0]), int(first.headers["RSeq"][0]) + 1)
        self.assertEqual(self.prack(second).status, 200)
        self.assertEqual(
            (self.far.times("PRACK"), self.talk.last("200 PRACK").headers["To"]), (0, second.headers["To"])
        )
        self.world.bob.says(200, to="INVITE")
        self.world.settle()
        self.assertEqual(self.talk.times("200 INVITE"), 1)
        self.hang_up()

    def test_100_is_never_reliable(self) -> None:
        """RFC 3262 3."""
        self.begin(REQUIRED)
        self.world.bob.says(100)
        self.world.settle()
        self.assertNotIn("RSeq", self.ringing(100).headers)

    def test_the_2xx_waits_for_the_near_prack(self) -> None:
        """RFC 3262 3: also behind a response that is still queued."""
        self.begin(REQUIRED)
        self.world.bob.says(180)
        self.world.bob.says(183, self.far.sdp(), SDP)
        self.world.bob.says(200, to="INVITE")
        self.world.settle()
        self.prack(self.ringing(180))
        self.assertEqual(self.talk.times("200 INVITE"), 0)
        self.prack(self.ringing())
        self.assertEqual((self.talk.times("200 INVITE"), self.far.times("ACK")), (1, 1))
        self.hang_up()

    def test_queued_when_it_is_answered(self) -> None:
        """RFC 3262 3: no new ones after the final response, but the PRACK for the last is taken."""
        self.begin(REQUIRED)
        self.world.bob.says(180)
        self.world.bob.says(182)
        self.world.bob.says(200, to="INVITE")
        self.world.settle()
        self.assertEqual(self.talk.times("200 INVITE"), 1)
        self.assertEqual(self.prack(self.ringing(180)).status, 200)
        self.world.wait(3)
        self.assertEqual(self.talk.times("182 INVITE"), 0)
        self.hang_up()

    def test_an_offer_in_a_prack_for_us(self) -> None:
        """Nobody can answer it: 488; the response is acknowledged all the same."""
        self.begin(REQUIRED)
        self.world.bob.says(183, self.far.sdp(), SDP)
        self.world.settle()
        self.assertEqual(self.prack(self.ringing(), self.talk.sdp()).status, 488)
        self.world.wait(3)
        self.assertEqual(self.talk.times("183 INVITE"), 1)

    def test_required_and_a_late_offer(self) -> None:
        """RFC 3261 13.2.1: the first reliable response would hold an offer that nobody has made: the 100 must do."""
        self.begin(REQUIRED, b"")
        self.world.bob.says(180)
        self.world.settle()
        self.assertEqual(self.talk.times("180 INVITE"), 0)
        self.world.bob.says(200, to="INVITE")
        self.world.settle()
        self.assertIn(b"m=audio", self.got("ACK").body)
        self.hang_up()


class EarlyUpdate(Provisionals):
    """UPDATE before the answer (RFC 3311)."""

    def update(self, dialog: Dialog) -> Sent:
        """An offer in UPDATE."""
        sent = dialog.ask("UPDATE", dialog.sdp("sendonly"), SDP)
        self.world.settle()
        return sent

    def agreed(self) -> None:
        """Offer and answer have been exchanged in an early dialog."""
        self.begin(SUPPORTED)
        self.reliably(183, 5, self.far.sdp())
        self.prack(self.ringing())
        self.world.bob.says(200, to="PRACK")
        self.world.settle()

    def test_across(self) -> None:
        """From either side, with its answer; and it moves the target (S18)."""
        for caller in (True, False):
            self.agreed()
            asking, other = (self.talk, self.world.bob) if caller else (self.far, self.world.alice)
            sent = self.update(asking)
            other.says(200, other.talk.sdp("recvonly"), SDP, to="UPDATE")
            self.world.settle()
            self.assertEqual((sent.status, direction_of(sent.responses[-1].body)), (200, "recvonly"))

    def test_before_the_answer(self) -> None:
        """RFC 3311 5.2: while the INVITE's own offer is open: 500 to its sender, 491 to the other side."""
        for body in (None, b""):
            self.begin(SUPPORTED, body)
            self.world.bob.says(180)
            self.world.settle()
            mine, theirs = self.update(self.talk), self.update(self.far)
            self.assertEqual((mine.status, theirs.status), (500, 491))
            self.assertLessEqual(int(mine.responses[-1].headers["Retry-After"][0]), 10)
            self.assertNotIn("Retry-After", theirs.responses[-1].headers)

    def test_both_at_once(self) -> None:
        """RFC 3311 5.2: the second one is refused here: 491, and the first is answered."""
        self.agreed()
        first = self.update(self.talk)
        self.assertEqual(self.update(self.far).status, 491)
        self.world.bob.says(200, self.far.sdp("recvonly"), SDP, to="UPDATE")
        self.world.settle()
        self.assertEqual(first.status, 200)
        self.update(self.far)
        self.assertEqual(self.world.alice.open[-1][1].method, "UPDATE")

    def test_two_from_one_side(self) -> None:
        """RFC 3311 5.2: a second UPDATE before the first has its answer: 500 and Retry-After, with an offer or not."""
        self.agreed()
        self.update(self.talk)
        second = self.talk.update()
        self.world.settle()
        self.assertEqual(second.status, 500)
        self.assertIn("Retry-After", second.responses[-1].headers)
        self.world.bob.says(491, to="UPDATE")
        self.talk.update()
        self.world.bob.says(200, to="UPDATE")
        self.world.settle()
        self.assertEqual(self.talk.times("200 UPDATE"), 1)

    def test_nobody_answers(self) -> None:
        """408; the next one is free."""
        self.agreed()
        self.world.bob.mute = True
        sent = self.update(self.talk)
        self.world.wait(33)
        self.world.bob.mute = False
        self.assertEqual(sent.status, 408)
        self.world.bob.open.clear()
        self.update(self.talk)
        self.assertEqual(self.world.bob.open[-1][1].method, "UPDATE")
