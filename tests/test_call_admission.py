"""Admission by zone, route and source: counted from live sets, refused cheaply, and never in a dialog."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.call import Phase
from b2bua.ops.phone import Dialog, answer_all
from b2bua.sip.message import Response
from tests.world import TWO_SIDES, World

URI = "sip:bob@biloxi.example"
PUBLIC = TWO_SIDES.replace('name = "public"\n', 'name = "public"\n{}\n', 1)
INWARDS = TWO_SIDES.replace('name = "inwards"\n', 'name = "inwards"\n{}\n', 1)


class Limited(SynchronousTestCase):
    """A world with limits."""

    def begin(self, text: str) -> None:
        """A world with this configuration, in which bob answers."""
        self.world = World(text)
        self.world.bob.asked = answer_all

    def call(self) -> tuple[Dialog, int]:
        """Alice calls; her dialog and what she is answered."""
        talk = self.world.alice.invite(URI)
        self.world.settle()
        return talk, self.answer(talk).status

    def answer(self, talk: Dialog) -> Response:
        """The last response to a call."""
        return [each for each in talk.heard if isinstance(each, Response)][-1]

    def live(self) -> list[int]:
        """How many calls each limit holds."""
        assert self.world.hall.admission is not None
        return [len(limit.live) for limit in self.world.hall.admission]

    def is_drained(self) -> None:
        """Nothing is held once every call is over."""
        self.world.hall.hang_up_all("the end")
        self.world.settle()
        self.assertEqual(set(self.live()), {0})
        assert self.world.hall.admission is not None
        self.assertEqual(self.world.hall.admission._held, {})
        self.world.quiet()


class TestCalls(Limited):
    """Calls at once."""

    def test_a_full_zone_and_a_full_route(self) -> None:
        """503 with Retry-After and a tag of ours, one line in the log, and no call; who hangs up makes room."""
        for text, what in ((PUBLIC, "zone public"), (INWARDS, "route inwards")):
            self.begin(text.format("calls = 2"))
            one, _ = self.call()
            self.assertEqual(self.call()[1], 200)
            refused, status = self.call()
            answer = self.answer(refused)
            self.assertEqual((status, answer.headers["Retry-After"]), (503, ["5"]))
            self.assertTrue(answer.to_tag)
            line = f"refused INVITE with 503: {what} has 2 calls at once already"
            self.assertEqual(self.world.journal.lines.count(line), 1)
            self.assertEqual((len(self.world.bob.dialogs), self.live()), (2, [2]))
            one.bye()
            self.world.settle()
            self.assertEqual(self.live(), [1])
            self.assertEqual(self.call()[1], 200)
            self.is_drained()

    def test_every_end_of_a_call(self) -> None:
        """Refused, cancelled, not answered, given up, without a route, gone: each leaves the set by the same door."""
        self.begin(PUBLIC.format("calls = 50").replace('name = "inwards"\n', 'name = "inwards"\ncalls = 50\n'))
        world = self.world
        world.bob.asked = lambda dialog, request: world.bob.open.append((dialog, request))
        for status in (486, 503, 302, 600):
            world.alice.invite(URI)
            world.bob.says(status)
        cancelled = world.alice.invite(URI)
        world.settle()
        cancelled.cancel()
        world.bob.mute = True
        world.alice.invite(URI)
        world.wait(1)
        self.assertEqual(self.live(), [1, 1])
        world.wait(33)
        self.assertEqual(self.live(), [0, 0])
        world.bob.mute = False
        world.alice.invite(URI)
        world.settle()
        world.bob.says(180)
        self.assertEqual(self.live(), [1, 1])
        world.wait(200)
        self.assertEqual(self.live(), [0, 0])
        near, far = world.call()
        world.bob.mute = True
        near.bye()
        world.settle()
        self.assertEqual(self.live(), [0, 0])
        world.bob.mute = False
        world.wait(33)
        self.is_drained()

    def test_the_set_is_the_calls(self) -> None:
        """Whatever happens, what is held is exactly the calls that are not over (never a counter that drifts)."""
        self.begin(PUBLIC.format("calls = 5"))
        world = self.world
        world.wires.shake(loss=0.3, double=0.2, delay=0.4)
        talks: list[Dialog] = []
        for step in range(60):
            if world.chance.random() < 0.6:
                talks.append(world.alice.invite(URI))
            elif talks:
                talk = talks.pop(world.chance.randrange(len(talks)))
                if talk.times("200 INVITE"):
                    talk.bye()
            world.wait(world.chance.random() * 4)
            assert world.hall.admission is not None
            (limit,) = world.hall.admission
            there = {call.id for call in world.hall.book if call.phase is not Phase.ENDED}
            self.assertEqual(limit.live, there, step)
            self.assertLessEqual(len(there), 5)
        world.wires.rules.clear()
        self.is_drained()

    def test_no_limit_of_another(self) -> None:
        """Calls from the other side do not count; a call in progress is never refused anything."""
        self.begin(PUBLIC.format("calls = 1\nrate = 0.001"))
        talk, status = self.call()
        self.assertEqual((status, self.call()[1]), (200, 503))
        back = self.world.bob.invite("sip:alice@atlanta.example")
        self.world.settle()
        self.world.alice.says(200)
        self.world.settle()
        self.assertEqual(back.times("200 INVITE"), 1)
        for method in ("INFO", "INVITE", "UPDATE"):
            sent = talk.ask(method)
            self.world.settle()
            self.assertEqual(sent.status, 200, method)
        self.is_drained()


class TestRate(Limited):
    """New requests a second."""

    def test_every_method(self) -> None:
        """security.md: a MESSAGE counts as an INVITE does; Retry-After says when there is room again."""
        for text, what in ((PUBLIC, "zone public"), (INWARDS, "route inwards")):
            self.begin(text.format("rate = 0.5"))
            sent = self.world.alice.ask("MESSAGE", URI)
            self.world.settle()
            self.assertEqual(sent.status, 200)
            talk, status = self.call()
            self.assertEqual((status, self.answer(talk).headers["Retry-After"]), (503, ["2"]))
            sent = self.world.alice.ask("MESSAGE", URI)
            self.world.settle()
            self.assertEqual((sent.status, sent.responses[-1].headers["Retry-After"]), (503, ["2"]))
            self.assertIn(
                f"refused MESSAGE with 503: {what} had 0.5 new requests a second already", self.world.journal.lines
            )
            self.world.wait(2)
            self.assertEqual(self.call()[1], 200)
            self.is_drained()

    def test_options_for_ourselves(self) -> None:
        """Who only asks whether we are there is answered, however full we are."""
        self.begin(PUBLIC.format("calls = 1\nrate = 0.001"))
        self.call()
        for _ in range(3):
            sent = self.world.alice.ask("OPTIONS", "sip:192.0.2.1:5060")
            self.world.settle()
            self.assertEqual(sent.status, 200)
        self.is_drained()

    def test_none(self) -> None:
        """Without a limit nothing is counted at all."""
        self.begin(TWO_SIDES)
        self.assertIsNone(self.world.hall.admission)
        self.assertIsNone(self.world.switchboard.sources)
        self.assertEqual(self.call()[1], 200)


class TestSources(Limited):
    """Floods (security.md): so many new requests a second from one address."""

    def test_a_flood(self) -> None:
        """The rest is refused with one message each and nothing is kept of it; calls in progress go on."""
        self.begin("[limits]\nsource_rate = 3\n" + TWO_SIDES)
        carol = self.world.phone("carol", "192.0.2.30")
        talk, _ = self.call()
        self.world.wait(1)
        talks = [self.world.alice.invite(URI) for _ in range(20)]
        before = len(self.world.switchboard.transactions)
        self.world.settle()
        statuses = sorted(self.answer(each).status for each in talks)
        self.assertEqual(statuses, [200] * 3 + [503] * 17)
        self.assertLessEqual(len(self.world.switchboard.transactions) - before, 6)
        refused = next(each for each in talks if self.answer(each).status == 503)
        self.assertEqual(refused.times("100 INVITE"), 0)
        self.assertIn(int(self.answer(refused).headers["Retry-After"][0]), range(1, 6))
        sent = talk.ask("INFO")
        other = carol.invite(URI)
        self.world.settle()
        self.assertEqual((sent.status, other.times("200 INVITE")), (200, 1))
        line = "refused INVITE with 503: too many new requests a second from one source"
        self.assertEqual(self.world.journal.lines.count(line), 17)
        self.world.wait(1)
        self.assertEqual(self.call()[1], 200)
        self.world.hall.hang_up_all("the end")
        self.world.quiet()

    def test_again_and_taken_back(self) -> None:
        """S26: a retransmission of what was let in, and its CANCEL, are never too much."""
        self.begin("[limits]\nsource_rate = 1\n" + TWO_SIDES)
        self.world.bob.asked = lambda dialog, request: None
        talk = self.world.alice.invite(URI)
        self.world.settle()
        assert talk.sent is not None
        for _ in range(3):
            self.world.alice.say(bytes(talk.sent.request))
        talk.cancel()
        self.world.settle()
        self.assertEqual((talk.times("503 INVITE"), talk.times("487 INVITE")), (0, 1))
        self.world.quiet()
