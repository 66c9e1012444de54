"""Anchored media where something is amiss: engines that fail, silence, privacy; and what the leak guard makes of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.anchoring import Anchors
from b2bua.call.media import Medium, Stream, unanchored
from b2bua.config.walls import walls
from b2bua.ops.heard import heard_by, totals
from b2bua.ops.legs import media_table
from b2bua.policy.media import Anchoring
from b2bua.sip.foreign import Foreign, Known
from tests.engine import SDP, TIMES, anchored, media
from tests.world import TWO_SIDES, World, read

FAULT = unanchored("no media engine answers")
BOTH = {"offer": FAULT, "answer": FAULT}


class Faults(SynchronousTestCase):
    """An engine that does not answer, or says no."""

    def test_the_offer(self) -> None:
        """No call is made: the caller hears why, and nobody is called."""
        for late in TIMES:
            world = World()
            studio = anchored(world, late)
            studio.faults = BOTH
            talk = world.alice.invite("sip:bob@biloxi.example")
            world.settle()
            self.assertEqual((talk.times("503 INVITE"), world.bob.dialogs), (1, []))
            self.assertIn("ended: no media engine answers", world.journal.lines)

    def test_the_answer(self) -> None:
        """Who accepted has ACK and BYE, the caller a refusal."""
        for late in TIMES:
            world = World()
            studio = anchored(world, late)
            talk = world.alice.invite("sip:bob@biloxi.example")
            world.settle()
            studio.faults = BOTH
            world.bob.says(200)
            world.settle()
            self.assertEqual(talk.times("502 INVITE"), 1)
            far = world.bob.talk
            self.assertEqual((far.times("ACK"), far.times("BYE")), (1, 1))
            self.assertEqual(studio.open, {})

    def test_a_later_offer(self) -> None:
        """A re-INVITE is refused, and the call goes on."""
        for late in TIMES:
            world = World()
            studio = anchored(world, late)
            near, far = world.call()
            studio.faults = BOTH
            near.reinvite("sendonly")
            world.settle()
            self.assertEqual((near.times("503 INVITE"), far.times("INVITE")), (1, 1))
            studio.faults = {}
            near.reinvite("sendonly")
            world.bob.says(200)
            world.settle()
            self.assertEqual(near.times("200 INVITE"), 2)

    def test_the_answer_to_a_late_offer(self) -> None:
        """The ACK goes without one, and the call ends: who offered waits for an answer in vain."""
        for late in TIMES:
            world = World()
            studio = anchored(world, late)
            studio.faults = {"answer": FAULT}
            talk = world.alice.invite("sip:bob@biloxi.example", body=b"")
            world.settle()
            world.bob.says(200, world.bob.talk.sdp(), SDP)
            world.settle()
            far = world.bob.talk
            self.assertEqual((talk.times("200 INVITE"), far.times("ACK"), far.last("ACK").body), (1, 1, b""))
            self.assertEqual((far.times("BYE"), talk.times("BYE")), (1, 1))

    def test_not_anchored(self) -> None:
        """Where policy says none, descriptions cross as they are, and no engine hears of them."""
        world = World()
        studio = anchored(world, policy=Anchoring())
        near, far = world.call()
        self.assertEqual(media(far.last("INVITE")), ["192.0.2.20:40000"])
        self.assertEqual((studio.told, len(world.hall.media or ())), ([], 0))


class Silence(SynchronousTestCase):
    """A call in which nobody is heard (by option)."""

    def heard(self, *idle: float | None) -> list[Stream]:
        """What an engine reports."""
        return [Stream("w", "audio", "192.0.2.1:30000", "192.0.2.20:49170", 1, 160, None, each) for each in idle]

    def test_it_ends(self) -> None:
        """When the last packet of the last who was heard is too long ago; not while somebody holds."""
        world = World()
        studio = anchored(world, silence=60.0)
        near, far = world.call()
        studio.report = self.heard(70.0, 5.0)
        world.wait(31)
        self.assertEqual(far.times("BYE"), 0)
        studio.report = self.heard(70.0, 65.0)
        near.reinvite("sendonly")
        world.bob.says(200)
        world.wait(31)
        self.assertEqual(far.times("BYE"), 0)
        near.reinvite()
        world.bob.says(200)
        world.wait(31)
        self.assertEqual((far.times("BYE"), near.times("BYE")), (1, 1))
        self.assertIn("ended: no media for 65 s", world.journal.lines)

    def test_nobody_knows(self) -> None:
        """An engine that cannot tell ends no call."""
        world = World()
        studio = anchored(world, silence=60.0)
        near, far = world.call()
        for report in (None, [], self.heard(None)):
            studio.report = report
            world.wait(31)
        self.assertEqual(far.times("BYE"), 0)

    def test_the_record(self) -> None:
        """The end is told once the engine has said how it was."""
        world = World()
        studio = anchored(world, 0.02)
        near, far = world.call()
        call = world.journal.calls[0]
        words = [said.source.word for _, said in studio.told]
        studio.report = [
            Stream(words[1], "audio", "10.0.0.1:30000", "10.0.0.20:40000", 100, 17200, 3, 0.1),
            Stream(words[0], "audio", "192.0.2.1:30002", "", 0, 0),
        ]
        shown: list[object] = []
        assert world.hall.media is not None
        world.hall.media.report(call, shown.append)
        world.settle()
        near.bye()
        world.bob.says(200)
        world.settle()
        self.assertEqual(call.media, [Medium("studio", each is studio.report[1], each) for each in studio.report])
        world.hall.media.report(call, shown.append)
        self.assertEqual(shown, [call.media, call.media])
        fields = totals(call.media)
        self.assertEqual(heard_by(fields), "media by studio: 0 packets of the caller, 100 of the callee (3 lost)")
        self.assertEqual((fields["media"], fields["octets_of_callee"]), ("studio", 17200))
        rows = [line.split() for line in media_table(call.media).splitlines()]
        self.assertIn("callee", rows[2])
        self.assertEqual(rows[3][:2] + rows[3][-1:], ["audio", "caller", "-"])
        self.assertEqual(world.journal.lines[-1], "ended: the caller hung up")


class Privacy(SynchronousTestCase):
    """RFC 3323 5: a caller who insists on session privacy."""

    def test_session_privacy(self) -> None:
        """The call is made where media is anchored, and not made where it is not."""
        for policy, calls in ((None, 1), (Anchoring(), 0)):
            world = World()
            anchored(world, policy=policy)
            talk = world.alice.invite("sip:bob@biloxi.example", headers={"Privacy": ["session;critical"]})
            world.settle()
            self.assertEqual((len(world.bob.dialogs), talk.times("500 INVITE")), (calls, 1 - calls))


class Walls(SynchronousTestCase):
    """Between which zones the leak guard looks at lines of media too."""

    def suspects(self, more: str, files: dict[str, str] | None = None) -> bool:
        """Whether an address of alice's in an answer to bob is found."""
        configuration = read(f"{more}\n{TWO_SIDES}", files or {})
        foreign = Foreign(Known({b"192.0.2.20": "address"}), "public")
        low = b"invite sip:bob@10.0.0.20 sip/2.0\r\n\r\nv=0\r\nc=in ip4 192.0.2.20\r\n"
        return walls(configuration)["private"].suspects([low], foreign, [()])

    def test_where_it_is_always_anchored(self) -> None:
        """Not where a pair of zones, a route or a script may have it otherwise."""
        self.assertTrue(self.suspects("[media]"))
        self.assertFalse(self.suspects(""))
        self.assertFalse(self.suspects('[media]\nbetween = [{zones = ["public", "private"], media = "none"}]'))
        self.assertFalse(self.suspects('[media]\n[[route]]\nuser = "exact:x"\nto = "sip:10.0.0.20"\nmedia = "none"'))
        script = {"policy.py": "def route(*args):\n    return None\n"}
        self.assertFalse(self.suspects('policy = "policy.py"\n[media]', script))


class Room(SynchronousTestCase):
    """Anchors themselves."""

    def test_none(self) -> None:
        """Where nothing is anchored nothing is remembered."""
        world = World()
        anchors = Anchors(world.hall, Anchoring(), {})
        world.hall.media = anchors
        world.call()
        self.assertEqual(len(anchors), 0)
