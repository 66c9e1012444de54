"""Anchored media: who is asked about which description, what waits for it, and that nothing of it is left."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog, direction_of
from b2bua.sip.message import Headers
from tests.engine import SDP, TIMES, Studio, anchored, media
from tests.transfers import Four, refer
from tests.world import TWO_SIDES, World

MULTIPART = (
    b"--b\r\nContent-Type: application/sdp\r\n\r\n%b\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"
)


class Calls(SynchronousTestCase):
    """Each with an engine that answers at once, and with one that takes its time."""

    def worlds(self) -> list[tuple[World, Studio]]:
        """A world of each kind."""
        made = []
        for late in TIMES:
            world = World()
            made.append((world, anchored(world, late)))
        return made

    def over(self, world: World, studio: Studio) -> None:
        """Nothing is left, not in the engine either."""
        world.settle()
        self.assertEqual((studio.open, len(world.hall.media or ())), ({}, 0))
        world.quiet()
        assert world.hall.media is not None
        self.assertEqual(vars(world.hall.media)["_by_pair"], {})
        self.assertEqual(vars(world.hall.media)["_by_call"], {})
        self.assertFalse([line for line in world.journal.lines if "crashed" in line or "leak" in line])

    def test_an_answered_call(self) -> None:
        """S44: each side reads our own addresses, and the same again where the same is said again."""
        for world, studio in self.worlds():
            talk = world.alice.invite("sip:bob@biloxi.example")
            world.settle()
            far = world.bob.talk
            self.assertEqual(media(far.last("INVITE")), ["10.0.0.1:30000"])
            answer = far.sdp()
            world.bob.says(183, answer, SDP)
            world.settle()
            self.assertEqual(media(talk.last("183 INVITE")), ["192.0.2.1:30002"])
            world.bob.says(200, answer, SDP)
            world.settle()
            self.assertEqual(media(talk.last("200 INVITE")), ["192.0.2.1:30002"])
            self.assertEqual(studio.words, ["offer public>private", "answer private>public"])
            talk.bye()
            world.bob.says(200)
            self.over(world, studio)

    def test_what_an_engine_is_told(self) -> None:
        """Words of ours for the parties, the same ones all the time; no Call-ID or tag of a peer's."""
        world = World()
        studio = anchored(world)
        near, far = world.call()
        far.reinvite()
        world.alice.says(200)
        world.settle()
        (_, offer), (_, answer), (_, again), (_, last) = studio.told
        self.assertEqual({said.session for _, said in studio.told}, {offer.session})
        self.assertEqual({said.branch for _, said in studio.told}, {offer.branch})
        self.assertEqual((again.source.word, again.target.word), (answer.source.word, offer.source.word))
        self.assertEqual((last.source, last.target.word), (offer.source, answer.source.word))
        self.assertEqual((offer.source.signalling, answer.source.signalling), ("192.0.2.20", "10.0.0.20"))
        self.assertEqual((offer.target.address, answer.target.address), ("10.0.0.1", "192.0.2.1"))
        words = {offer.session, offer.branch, offer.source.word, answer.source.word}
        self.assertEqual(len(words), 4)
        for dialog in (near, far):
            self.assertTrue(words.isdisjoint({dialog.call_id, dialog.local_tag, dialog.remote_tag}))

    def test_hold_and_refusal(self) -> None:
        """A re-INVITE that is refused leaves the ports as they were: what was agreed before is said once more."""
        for world, studio in self.worlds():
            near, far = world.call()
            _ = studio.words
            near.reinvite("sendonly")
            world.bob.says(200)
            world.settle()
            self.assertEqual(direction_of(far.last("INVITE").body if far.last("INVITE") else b""), "sendonly")
            held = [said.sdp for _, said in studio.told]
            self.assertEqual(studio.words, ["offer public>private", "answer private>public"])
            far.reinvite()
            world.alice.says(488)
            world.settle()
            self.assertEqual([said.sdp for _, said in studio.told][1:], held)
            self.assertEqual(studio.words, ["offer private>public", "offer public>private", "answer private>public"])
            far.bye()
            world.alice.says(200)
            self.over(world, studio)

    def test_late_offer(self) -> None:
        """The offer is in the 2xx, the answer in the ACK (S24)."""
        for world, studio in self.worlds():
            talk = world.alice.invite("sip:bob@biloxi.example", body=b"")
            world.bob.says(200, world.bob.talk.sdp() if world.bob.dialogs else None, SDP)
            world.settle()
            far = world.bob.talk
            self.assertEqual(media(talk.last("200 INVITE")), ["192.0.2.1:30000"])
            self.assertEqual(media(far.last("ACK")), ["10.0.0.1:30002"])
            self.assertEqual(studio.words, ["offer private>public", "answer public>private"])
            talk.bye()
            world.bob.says(200)
            self.over(world, studio)

    def test_prack_and_update(self) -> None:
        """RFC 3262 5: an offer in a reliable response, its answer in PRACK; then UPDATE (RFC 3311)."""
        for world, studio in self.worlds():
            supported = {"Supported": ["100rel"]}
            talk = world.alice.invite("sip:bob@biloxi.example", body=b"", headers=supported)
            world.settle()
            far = world.bob.talk
            assert far.invitation is not None
            far.respond(far.invitation, 183, far.sdp(), {"Require": ["100rel"], "RSeq": ["7"], **SDP})
            world.settle()
            ringing = talk.last("183 INVITE")
            self.assertEqual(media(ringing), ["192.0.2.1:30000"])
            assert ringing is not None
            talk.ask("PRACK", talk.sdp(), {"RAck": [f"{ringing.first('RSeq')} {ringing.cseq[0]} INVITE"], **SDP})
            world.settle()
            self.assertEqual(media(far.last("PRACK")), ["10.0.0.1:30002"])
            world.bob.says(200, to="PRACK")
            talk.ask("UPDATE", talk.sdp("inactive"), SDP)
            world.bob.says(200, far.sdp("inactive"), SDP, to="UPDATE")
            world.settle()
            self.assertEqual(media(far.last("UPDATE")), ["10.0.0.1:30002"])
            self.assertEqual(media(talk.last("200 UPDATE")), ["192.0.2.1:30000"])
            world.bob.says(200, b"", to="INVITE")
            wanted = ["offer private>public", "answer public>private", "offer public>private", "answer private>public"]
            self.assertEqual(studio.words, wanted)
            world.settle()
            talk.bye()
            world.bob.says(200)
            self.over(world, studio)

    def test_forks(self) -> None:
        """S28: each fork's media is its own party's, of the same session; the others end with the answer."""
        for world, studio in self.worlds():
            talk = world.alice.invite("sip:bob@biloxi.example")
            world.settle()
            first = world.bob.talk
            second = world.bob.fork(first)
            assert first.invitation is not None
            for dialog in (first, second):
                dialog.respond(first.invitation, 183, dialog.sdp(), SDP)
            world.settle()
            offer, one, other = (said for _, said in studio.told)
            self.assertEqual(media(talk.last("183 INVITE")), ["192.0.2.1:30002"])
            self.assertEqual(len({one.source.word, other.source.word, offer.target.word, offer.source.word}), 4)
            self.assertEqual((one.branch, one.session), (other.branch, other.session))
            first.respond(first.invitation, 200)
            world.settle()
            self.assertEqual(studio.told[-1], ("answer", one))  # though the other has spoken later
            world.alice.branch(talk, 1).bye()
            world.settle()
            self.assertEqual(studio.open, {})

    def test_two_targets(self) -> None:
        """S30: each target has a session of its own, and only the one that answers keeps it."""
        both = TWO_SIDES.replace(
            '"sip:10.0.0.20;transport=udp"',
            '["sip:10.0.0.20;transport=udp", "sip:10.0.0.30;transport=udp"]\nhunt = "parallel"',
        )
        for late in TIMES:
            world = World(both)
            studio, carol = anchored(world, late), world.phone("carol", "10.0.0.30")
            talk = world.alice.invite("sip:bob@biloxi.example")
            world.settle()
            self.assertEqual(len(studio.open), 2)
            carol.says(200)
            world.settle()
            self.assertEqual(len(studio.open), 1)
            world.bob.says(487)
            talk.bye()
            carol.says(200)
            self.over(world, studio)

    def test_a_target_after_another(self) -> None:
        """The first one's session ends when the next is tried, or when all have failed."""
        both = TWO_SIDES.replace(
            '"sip:10.0.0.20;transport=udp"',
            '["sip:10.0.0.20;transport=udp", "sip:10.0.0.30;transport=udp"]\ngo_on = [486]',
        )
        for late in TIMES:
            world = World(both)
            studio, carol = anchored(world, late), world.phone("carol", "10.0.0.30")
            world.alice.invite("sip:bob@biloxi.example")
            world.bob.says(486)
            carol.says(486)
            self.over(world, studio)
            self.assertEqual(len(studio.ended), 2)

    def test_cancelled_meanwhile(self) -> None:
        """CANCEL while the engine is asked about the offer: nothing is sent on, nothing is left."""
        world = World()
        studio = anchored(world, 1.0)
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        talk.cancel()
        world.wait(2)
        self.assertEqual(world.bob.dialogs, [])
        self.assertEqual(talk.times("487 INVITE"), 1)
        self.over(world, studio)

    def test_hung_up_meanwhile(self) -> None:
        """BYE while the engine is asked about a re-INVITE, from either side: both end, in order."""
        for by_caller in (True, False):
            world = World()
            studio = anchored(world)
            near, far = world.call()
            studio.late = 1.0
            near.reinvite("sendonly")
            world.settle()
            (near if by_caller else far).bye()
            (world.bob if by_caller else world.alice).says(200, to="BYE")
            world.wait(3)
            self.assertEqual(far.times("INVITE"), 1)
            self.over(world, studio)

    def test_answers_wait_in_order(self) -> None:
        """What comes after a description waits for it: the 200 is never before the 183."""
        world = World()
        studio = anchored(world, 0.2)
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.wait(0.3)
        far = world.bob.talk
        world.bob.says(183, far.sdp(), SDP)
        world.bob.says(200, b"")
        world.wait(1)
        heard = [getattr(message, "status", 0) for message in talk.heard]
        self.assertEqual(heard, [100, 183, 200])
        talk.bye()
        world.wait(0.1)
        world.bob.says(200)
        self.over(world, studio)

    def test_another_way_to_say_it(self) -> None:
        """A description in a multipart body is shown too."""
        for world, studio in self.worlds():
            parts: Headers = {"Content-Type": ['multipart/mixed;boundary="b"']}
            talk = world.alice.invite("sip:bob@biloxi.example", body=b"")
            talk.cancel()
            world.settle()
            _ = studio.words
            offer = MULTIPART % Dialog.sdp(talk)
            talk = world.alice.invite("sip:bob@biloxi.example", body=offer, headers=parts)
            world.settle()
            self.assertEqual(studio.words, ["offer public>private"])
            self.assertEqual(media(world.bob.talk.last("INVITE")), ["10.0.0.1:30000"])
            talk.cancel()
            world.bob.says(487)
            self.over(world, studio)

    def test_capabilities_tell_no_place(self) -> None:
        """A description that is no offer and no answer: of OPTIONS (RFC 3264 9), and of a 488."""
        world = World()
        studio = anchored(world)
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        sdp = world.bob.talk.sdp()
        world.bob.says(488, sdp, SDP)
        world.settle()
        self.assertEqual(media(talk.last("488 INVITE")), ["192.0.2.1:0"])
        sent = world.alice.ask("OPTIONS", "sip:bob@biloxi.example")
        world.bob.says(200, sdp, SDP)
        world.settle()
        self.assertEqual(media(sent.responses[-1]), ["192.0.2.1:0"])
        self.over(world, studio)


class Transfers(SynchronousTestCase):
    """A transfer that we carry out: the two who are to talk have a session of their own."""

    def begin(self, late: float, target: str, status: int = 200) -> tuple[Four, Studio, Dialog]:
        """Bob sends alice on to somebody, who accepts; alice's answer to that is `status`."""
        world = Four('refer = "local"')
        studio = anchored(world, late)
        near, far = world.talk(world.alice, world.bob)
        refer(far, target)
        world.settle()
        (world.carol if "carol" in target else world.dave).says(200)
        world.settle()
        world.alice.says(status)
        world.settle()
        return world, studio, near

    def test_to_somebody_new(self) -> None:
        """The old session ends when the new one is agreed."""
        for late in TIMES:
            world, studio, _ = self.begin(late, "sip:dave@192.0.2.30")
            told = {said.session for _, said in studio.told}
            self.assertEqual((len(told), len(studio.open)), (1, 0))  # alice and dave are in one zone: nothing between
            self.assertEqual([line for line in world.journal.lines if "fault" in line], [])

    def test_across(self) -> None:
        """Alice is sent on to Carol, who is inside too: anchored anew, and the description of each is ours."""
        for late in TIMES:
            world, studio, near = self.begin(late, "sip:carol@10.0.0.30")
            self.assertEqual(studio.words[2:], ["offer private>public", "answer public>private"])
            self.assertEqual(len(studio.open), 1)
            self.assertEqual(media(near.last("INVITE"))[0].split(":")[0], "192.0.2.1")
            self.assertEqual(media(world.carol.talk.last("ACK"))[0].split(":")[0], "10.0.0.1")
            near.bye()
            world.settle()
            self.assertEqual(studio.open, {})

    def test_refused(self) -> None:
        """The party that remains does not want to: the old session stays, and only that."""
        for late in TIMES:
            _, studio, _ = self.begin(late, "sip:carol@10.0.0.30", 488)
            self.assertEqual((len(studio.open), len(studio.ended)), (1, 1))
