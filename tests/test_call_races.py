"""The races of RFC 5407, and offers that overlap (S32, S33): what each side is told, and that the call survives it."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog, Sent, direction_of
from b2bua.sip.message import Headers, Request, Response
from tests.party import Party
from tests.world import World

URI = "sip:bob@biloxi.example"
SDP: Headers = {"Content-Type": ["application/sdp"]}


class Races(SynchronousTestCase):
    """An answered call, or one on its way there."""

    def setUp(self) -> None:
        """Fresh, and answered."""
        self.world = World()
        self.near, self.far = self.world.call()

    def sides(self) -> Iterator[tuple[Dialog, Dialog, Party]]:
        """Seen from each side, in a fresh call: the one that asks, the other, and its phone."""
        yield self.near, self.far, self.world.bob
        self.setUp()
        yield self.far, self.near, self.world.alice

    def update(self, dialog: Dialog) -> Sent:
        """An offer in UPDATE."""
        sent = dialog.ask("UPDATE", dialog.sdp("sendonly"), SDP)
        self.world.settle()
        return sent

    def reinvite(self, dialog: Dialog) -> Sent:
        """An offer in INVITE."""
        sent = dialog.reinvite()
        self.world.settle()
        return sent

    def finish(self) -> None:
        """BYE, and nothing is left."""
        for phone in (self.world.alice, self.world.bob):
            for _, request in list(phone.open):
                if request.method == "UPDATE":
                    phone.says(500, to="UPDATE")
            phone.open.clear()
        self.near.bye()
        self.world.bob.says(200, to="BYE")
        self.world.quiet()
        self.assertEqual(self.flushLoggedErrors(), [])

    def lose_the_ack(self) -> None:
        """A call whose ACK from alice is lost."""
        self.world = World()
        self.near = self.world.alice.invite(URI)
        self.world.settle()
        self.world.wires.on("ACK", (), self.world.alice)
        self.world.bob.says(200)
        self.world.settle()
        self.far = self.world.bob.talk


class BeforeTheAck(Races):
    """RFC 5407 3.1: the 2xx is sent, its ACK is not here."""

    def test_reinvite(self) -> None:
        """RFC 5407 3.1.4: the INVITE says that the 2xx came: it crosses, and the 2xx comes no more."""
        self.lose_the_ack()
        sent = self.reinvite(self.near)
        self.world.bob.says(200)
        self.world.wait(3)
        self.assertEqual(sent.status, 200)
        self.assertEqual(self.near.times("200 INVITE"), 2)
        self.finish()

    def test_reinvite_and_the_ack_after_it(self) -> None:
        """The late ACK is for nobody, and answers no other INVITE."""
        self.world = World()
        self.near = self.world.alice.invite(URI)
        self.world.settle()
        self.world.wires.on("ACK", (0.3,), self.world.alice)
        self.world.bob.says(200)
        self.world.settle()
        self.far = self.world.bob.talk
        self.reinvite(self.near)
        self.world.wait(0.5)
        self.world.bob.says(200)
        self.world.settle()
        self.assertEqual((self.near.times("200 INVITE"), self.far.times("ACK")), (2, 2))
        self.finish()

    def test_reinvite_while_an_answer_is_owed(self) -> None:
        """RFC 5407 3.1.5: the 2xx held an offer, whose answer is in the ACK: 491."""
        self.world = World()
        self.near = self.world.alice.invite(URI, body=b"")
        self.world.settle()
        self.world.wires.on("ACK", (), self.world.alice)
        self.world.bob.says(200)
        self.world.settle()
        self.far = self.world.bob.talk
        self.assertEqual(self.reinvite(self.near).status, 491)
        self.assertEqual(self.update(self.near).status, 491)  # RFC 3311 5.2: it was offered something by us
        self.assertEqual(self.update(self.far).status, 500)  # and this one has offered
        self.world.wait(0.6)  # the 2xx again, and its ACK
        self.assertEqual(self.far.times("ACK"), 1)
        self.finish()

    def test_update(self) -> None:
        """RFC 3311 5.2: offer and answer are complete with the 2xx: it crosses."""
        self.lose_the_ack()
        sent = self.update(self.near)
        self.world.bob.says(200, self.far.sdp("recvonly"), SDP, to="UPDATE")
        self.world.settle()
        self.assertEqual(sent.status, 200)
        self.finish()

    def test_the_callee_is_faster(self) -> None:
        """RFC 3261 14.1: the callee's INVITE waits here for the caller's ACK, and then crosses."""
        self.lose_the_ack()
        sent = self.reinvite(self.far)
        self.assertEqual((self.near.times("INVITE"), sent.status), (0, 0))
        self.world.wait(0.6)
        self.assertEqual(self.near.times("INVITE"), 1)
        self.world.alice.says(200)
        self.world.settle()
        self.assertEqual(sent.status, 200)
        self.finish()

    def test_the_callee_is_faster_and_changes_its_mind(self) -> None:
        """S26: CANCEL while it waits: 487, and the caller hears nothing."""
        self.lose_the_ack()
        sent = self.reinvite(self.far)
        self.far.cancel()
        self.world.wait(0.6)
        self.assertEqual((self.near.times("INVITE"), sent.status), (0, 487))
        self.finish()

    def test_the_callee_is_faster_and_the_caller_too(self) -> None:
        """Glare while it waits: the caller's is refused with 491, and is its ACK all the same."""
        self.lose_the_ack()
        sent = self.reinvite(self.far)
        self.assertEqual(self.reinvite(self.near).status, 491)
        self.world.alice.says(200, to="INVITE")
        self.world.settle()
        self.assertEqual(sent.status, 200)
        self.finish()

    def test_the_callee_is_faster_and_no_ack_comes(self) -> None:
        """RFC 3261 13.3.1.4: the call ends, and with it what waits."""
        self.world = World()
        self.world.alice.acks = False
        self.near = self.world.alice.invite(URI)
        self.world.bob.says(200)
        self.world.settle()
        self.far = self.world.bob.talk
        sent = self.reinvite(self.far)
        self.world.wait(33)
        self.assertEqual((sent.status, self.near.times("BYE"), self.far.times("BYE")), (487, 1, 1))
        for phone in (self.world.alice, self.world.bob):
            phone.says(200, to="BYE")
        self.world.quiet()

    def test_the_invite_again(self) -> None:
        """RFC 5407 3.1.1: absorbed (RFC 6026 7.1); the callee hears of one INVITE."""
        self.lose_the_ack()
        invite = next(each for each in self.near.said if isinstance(each, Request))
        self.world.alice.say(bytes(invite))
        self.world.settle()
        self.assertEqual((self.far.times("INVITE"), len(self.world.bob.dialogs)), (1, 1))
        self.world.wait(1)
        self.finish()


class AfterTheBye(Races):
    """RFC 5407 3.3: the BYE is on its way."""

    def test_whatever_comes(self) -> None:
        """RFC 5407 3.3.2: 481 to the side that has not heard of it; an ACK is for nobody."""
        for asking, other, answerer in self.sides():
            asking.bye()
            self.world.settle()
            for method in ("INVITE", "UPDATE", "INFO"):
                self.assertEqual(self.sent(other, method).status, 481, method)
            asking.phone._out(asking, asking.request("ACK", 1), asking.way())
            answerer.says(200, to="BYE")
            self.world.quiet()

    def sent(self, dialog: Dialog, method: str) -> Sent:
        """Any request."""
        sent = dialog.ask(method)
        self.world.settle()
        return sent

    def test_the_answer_to_a_reinvite(self) -> None:
        """RFC 5407 3.3.3: the 2xx to an INVITE that the BYE overtook has its ACK."""
        for asking, other, answerer in self.sides():
            acks = other.times("ACK")
            self.reinvite(asking)
            asking.bye()
            self.world.settle()
            answerer.says(200, to="BYE")
            answerer.says(200, to="INVITE")
            self.world.settle()
            self.assertEqual((asking.times("487 INVITE"), other.times("ACK") - acks), (1, 1))
            self.world.quiet()

    def test_an_update_under_way(self) -> None:
        """Its answer crosses still, whichever comes first."""
        sent = self.update(self.near)
        self.near.bye()
        self.world.bob.says(200, to="BYE")
        self.world.bob.says(200, self.far.sdp(), SDP, to="UPDATE")
        self.world.settle()
        self.assertEqual(sent.status, 200)
        self.world.quiet()

    def test_our_own_bye_is_challenged(self) -> None:
        """S33: we have no credentials: the call is over, and nothing is tried again."""
        (call,) = self.world.hall.book
        call.hang_up("enough")
        for phone in (self.world.alice, self.world.bob):
            phone.says(407, headers={"Proxy-Authenticate": ['Digest realm="r", nonce="1"']}, to="BYE")
        self.world.wait(10)
        self.assertEqual((self.near.times("BYE"), self.far.times("BYE")), (1, 1))
        self.world.quiet()


class Overlap(Races):
    """S32: one offer at a time (RFC 3261 14, RFC 3311 5.2, RFC 6141)."""

    def test_both_reinvite_at_once(self) -> None:
        """RFC 5407 3.4.1: two INVITEs cross on the wires: one of them is carried out, the other has 491."""
        one, other = self.near.reinvite(), self.far.reinvite()
        self.world.settle()
        self.assertEqual((one.status, other.status), (0, 491))
        self.world.bob.says(200)
        self.world.settle()
        self.assertEqual(one.status, 200)
        self.assertEqual(self.reinvite(self.far).status, 0)
        self.world.alice.says(200)
        self.finish()

    def test_update_while_a_reinvite_is_under_way(self) -> None:
        """RFC 5407 3.4.2: 491 to the other side's offer, 500 and Retry-After to one of the same side."""
        for asking, other, answerer in self.sides():
            self.reinvite(asking)
            again = self.update(asking)
            self.assertEqual((self.update(other).status, again.status), (491, 500))
            self.assertLessEqual(int(again.responses[-1].headers["Retry-After"][0]), 10)
            answerer.says(200, to="INVITE")
            self.world.settle()
            self.assertEqual(self.update(other).status, 0)
            self.finish()

    def test_an_update_without_an_offer(self) -> None:
        """It offers nothing, and crosses at any time."""
        self.reinvite(self.near)
        sent = self.far.update()
        self.world.alice.says(200, to="UPDATE")
        self.world.settle()
        self.assertEqual(sent.status, 200)
        self.finish()

    def test_reinvite_while_an_update_is_under_way(self) -> None:
        """RFC 6141 3.4, RFC 3311 5.2: 491 and 500; once it is answered the next INVITE crosses."""
        for asking, other, answerer in self.sides():
            self.update(asking)
            self.assertEqual((self.reinvite(other).status, self.reinvite(asking).status), (491, 500))
            answerer.says(200, answerer.talk.sdp("recvonly"), SDP, to="UPDATE")
            self.world.settle()
            self.assertEqual(direction_of(asking.last("200 UPDATE").body), "recvonly")
            self.assertEqual(self.reinvite(other).status, 0)
            self.finish()

    def test_two_updates_with_offers(self) -> None:
        """RFC 3311 5.2: the second of two that cross has 491; the first goes on."""
        for asking, other, answerer in self.sides():
            first = self.update(asking)
            self.assertEqual(self.update(other).status, 491)
            answerer.says(488, to="UPDATE")
            self.world.settle()
            self.assertEqual(first.status, 488)
            self.assertEqual(self.update(other).status, 0)
            self.finish()

    def test_a_late_offer_under_way(self) -> None:
        """Also where the INVITE itself holds none: its answerer will offer."""
        self.near.ask("INVITE")
        self.world.settle()
        self.assertEqual((self.update(self.far).status, self.update(self.near).status), (491, 500))
        self.finish()

    def test_an_overdue_reinvite(self) -> None:
        """Refused to its sender, but not yet answered by the far side: who offers meanwhile has 491."""
        self.patch(self.world.bob, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        self.near.reinvite()
        self.world.bob.says(180, to="INVITE")
        (call,) = self.world.hall.book
        assert call.reinvitation is not None
        call.reinvitation.overdue()
        self.world.settle()
        self.assertEqual((self.near.times("408 INVITE"), self.far.times("CANCEL")), (1, 1))
        self.assertEqual((self.update(self.near).status, self.update(self.far).status), (491, 491))
        self.finish()

    def test_an_update_that_is_lost(self) -> None:
        """408, and the way is free again."""
        self.world.bob.mute = True
        sent = self.update(self.near)
        self.world.wait(33)
        self.world.bob.mute = False
        self.assertEqual(sent.status, 408)
        self.assertEqual(self.reinvite(self.near).status, 0)
        self.finish()

    def test_an_update_that_cannot_be_read(self) -> None:
        """400, and the way is free again."""
        sent = self.near.ask("UPDATE", b"v=0\r\nnonsense", SDP)
        self.world.settle()
        self.assertEqual(sent.status, 400)
        self.assertEqual(self.update(self.near).status, 0)
        self.finish()

    def test_481_to_an_update(self) -> None:
        """RFC 5057: the dialog is no more: BYE on both sides."""
        self.update(self.near)
        self.world.bob.says(481, to="UPDATE")
        self.world.settle()
        self.assertEqual((self.near.times("BYE"), self.far.times("BYE")), (1, 1))

    def test_what_was_refused_is_each_legs_own(self) -> None:
        """S43: 491 and 500 of ours have the identity of the leg that asked."""
        self.reinvite(self.near)
        answer = self.update(self.far).responses[-1]
        assert isinstance(answer, Response)
        self.assertEqual((answer.call_id, answer.to_tag), (self.far.call_id, self.far.remote_tag))
        self.finish()
