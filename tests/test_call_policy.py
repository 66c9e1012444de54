"""Decisions about new calls: the operator's script, draining, limits, and hanging up (S22)."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.call import Phase
from b2bua.call.hall import Hall
from b2bua.policy.routing import Reject
from tests.world import TWO_SIDES, World

URI = "sip:bob@biloxi.example"
HEAD = "from twisted.internet.defer import Deferred\nfrom b2bua.policy.routing import Go, Reject\n"


def asking(body: str) -> World:
    """A world whose policy does this; `box` is a list that it may use, the world's own."""
    world = World('policy = "policy.py"\n' + TWO_SIDES, {"policy.py": f"{HEAD}box = []\n{body}\n"})
    return world


def box(world: World) -> list[object]:
    """What the policy put into its list."""
    script = world.configuration.script
    assert script is not None
    made: list[object] = script._route.__globals__["box"]
    return made


class Scripts(SynchronousTestCase):
    """`policy = "policy.py"`."""

    def test_it_decides(self) -> None:
        """Go, Reject, or None to go on to the rules."""
        world = asking(
            "def route(request, listeners):\n"
            "    if request.user == 'carol': return Go('sip:10.0.0.21', 'private')\n"
            "    if request.user == 'eve': return Reject(403, 'Not you')\n"
        )
        carol = world.phone("carol", "10.0.0.21")
        world.alice.invite("sip:carol@biloxi.example")
        world.alice.invite("sip:eve@biloxi.example")
        world.alice.invite(URI)
        world.settle()
        self.assertEqual((len(carol.dialogs), len(world.bob.dialogs)), (1, 1))
        self.assertEqual(world.alice.dialogs[1].times("403 INVITE"), 1)
        self.assertEqual(world.journal.lines[0], "started by rule policy.py")

    def test_it_raises(self) -> None:
        """500 for that request, told to the journal; nothing else is harmed."""
        world = asking("def route(request, listeners):\n    if request.user == 'eve': 1 / 0\n")
        near, far = world.call()
        talk = world.alice.invite("sip:eve@biloxi.example")
        sent = world.alice.ask("MESSAGE", "sip:eve@biloxi.example")
        world.settle()
        self.assertEqual((talk.times("500 INVITE"), sent.status), (1, 500))
        self.assertEqual(world.journal.lines.count("the script failed"), 2)
        near.bye()
        world.bob.says(200)
        world.quiet()

    def test_a_coroutine(self) -> None:
        """S22: 100 before it is asked; the call goes on when it answers."""
        world = asking("async def route(request, listeners):\n    box.append(Deferred())\n    return await box[-1]\n")
        talk = world.alice.invite(URI)
        sent = world.alice.ask("MESSAGE", URI)
        world.ladder("alice> INVITE, alice> MESSAGE, alice< 100 INVITE")
        for waiting in box(world):
            waiting.callback(None)  # type: ignore[attr-defined]
        world.settle()
        self.assertEqual(len(world.bob.open), 2)
        world.bob.says(200, to="MESSAGE")
        world.bob.says(200)
        world.settle()
        self.assertEqual((talk.times("200 INVITE"), sent.status), (1, 200))

    def test_a_coroutine_raises(self) -> None:
        """500, and a traceback in the log."""
        world = asking("async def route(request, listeners):\n    box.append(Deferred())\n    await box[-1]\n")
        talk = world.alice.invite(URI)
        world.settle()
        box(world)[0].errback(ZeroDivisionError())  # type: ignore[attr-defined]
        world.settle()
        self.assertEqual(talk.times("500 INVITE"), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        world.quiet()

    def test_a_fault_of_ours_once_a_coroutine_has_answered(self) -> None:
        """500 for whoever waits, whatever he asked, and one line; what is refused meanwhile is not answered again."""
        world = asking("async def route(request, listeners):\n    box.append(Deferred())\n    return await box[-1]\n")
        talk, taken_back = world.alice.invite(URI), world.alice.invite(URI)
        sent = world.alice.ask("MESSAGE", URI)
        subscribed = world.alice.subscribe(URI, "message-summary", 60)
        world.settle()
        taken_back.cancel()
        world.settle()
        with patch.object(Hall, "_go", side_effect=LookupError("ours")):
            for waiting in box(world):
                waiting.callback(None)  # type: ignore[attr-defined]
            world.settle()
        self.assertEqual((talk.times("500 INVITE"), sent.status, subscribed.times("500 SUBSCRIBE")), (1, 500, 1))
        self.assertEqual((taken_back.times("487 INVITE"), taken_back.times("500 INVITE")), (1, 0))
        self.assertEqual(world.journal.lines, ["ended: cancelled", *["crashed: ours"] * 3])
        self.assertEqual((world.bob.bytes_in, world.hall.book.subscriptions), ([], {}))
        world.quiet()

    def test_a_fault_of_ours_with_the_answer_on_its_way(self) -> None:
        """Who has an answer gets no other."""
        world = asking("async def route(request, listeners):\n    box.append(Deferred())\n    return await box[-1]\n")
        sent = world.alice.ask("MESSAGE", URI)
        world.settle()
        refuse = Hall._refuse_new

        def refuse_and_fall(hall: Hall, *arguments: Any) -> None:
            refuse(hall, *arguments)
            raise LookupError("ours")

        with patch.object(Hall, "_refuse_new", refuse_and_fall):
            box(world)[0].callback(Reject(403))  # type: ignore[attr-defined]
            world.settle()
        self.assertEqual((sent.status, world.journal.lines[-1]), (403, "crashed: ours"))
        world.quiet()

    def test_cancelled_while_a_coroutine_thinks(self) -> None:
        """487, and what the coroutine says then is for nobody."""
        for late in (None, ZeroDivisionError()):
            world = asking("async def route(request, listeners):\n    box.append(Deferred())\n    await box[-1]\n")
            talk = world.alice.invite(URI)
            world.settle()
            talk.cancel()
            world.settle()
            waiting = box(world)[0]
            waiting.errback(late) if late else waiting.callback(None)  # type: ignore[attr-defined]
            world.settle()
            self.assertEqual((talk.times("487 INVITE"), world.bob.dialogs), (1, []))
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1 if late else 0)
            world.quiet()

    def test_a_coroutine_that_never_answers(self) -> None:
        """500 after 64·T1, so that nothing waits for ever; its late answer is for nobody."""
        world = asking("async def route(request, listeners):\n    box.append(Deferred())\n    await box[-1]\n")
        talk = world.alice.invite(URI)
        sent = world.alice.ask("MESSAGE", URI)
        world.wait(33)
        self.assertEqual((talk.times("500 INVITE"), sent.status), (1, 500))
        self.assertIn("refused MESSAGE with 500: the policy script did not answer", world.journal.lines)
        box(world)[0].callback(None)  # type: ignore[attr-defined]
        world.quiet()
        self.assertEqual(world.bob.bytes_in, [])

    def test_a_coroutine_that_answered_in_time(self) -> None:
        """A call that still rings 64·T1 after the script spoke is not refused for that."""
        world = asking("async def route(request, listeners):\n    return None\n")
        talk = world.alice.invite(URI)
        world.bob.says(180)
        world.wait(40)
        self.assertEqual(talk.times("500 INVITE"), 0)
        world.bob.says(200)
        world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)


class Limits(SynchronousTestCase):
    """[call]: no zombies."""

    def test_the_longest_duration(self) -> None:
        """BYE on both sides when it is reached: on the second, also where it is short."""
        for seconds in (7, 100):
            world = World(TWO_SIDES + f"[call]\nmax_duration = {seconds}\n")
            near, far = world.call()
            world.wait(seconds - 0.2)
            self.assertEqual((near.times("BYE"), far.times("BYE")), (0, 0))
            world.wait(0.3)
            self.assertEqual((near.times("BYE"), far.times("BYE")), (1, 1))
            self.assertEqual(world.journal.lines[-1], "ended: the longest duration is reached")
            world.alice.says(200)
            world.bob.says(200)
            world.quiet()

    def test_switched_off(self) -> None:
        """0 switches a limit off."""
        world = World(TWO_SIDES + "[call]\nmax_duration = 0\nring_timeout = 0\nprobe = 0\n")
        talk = world.alice.invite(URI)
        world.bob.says(180)
        world.wait(1000)
        world.bob.says(200)
        world.wait(20000)
        self.assertEqual((talk.times("BYE"), talk.times("OPTIONS")), (0, 0))

    def test_nobody_answers(self) -> None:
        """RFC 3261 16.6, timer C: 408 to the caller, CANCEL to the callee."""
        world = World(TWO_SIDES + "[call]\nring_timeout = 45\n")
        talk = world.alice.invite(URI)
        world.bob.says(180)
        world.wait(44.8)
        world.story.clear()
        world.wait(0.3)
        world.ladder("alice< 408 INVITE, alice> ACK, bob< CANCEL, bob> 200 CANCEL, bob> 487 INVITE, bob< ACK")
        self.assertEqual(world.journal.lines[-1], "ended: nobody answered in time")
        world.bob.open.clear()
        world.quiet()
        self.assertTrue(talk.over)

    def test_a_probe_finds_both(self) -> None:
        """After so much silence OPTIONS in the dialog goes to both; any answer but 408 and 481 means: there."""
        world = World(TWO_SIDES + "[call]\nprobe = 120\n")
        near, far = world.call()
        world.wait(151)
        self.assertEqual((near.times("OPTIONS"), far.times("OPTIONS")), (1, 1))
        world.alice.says(200)
        world.bob.says(405)
        world.wait(60)
        self.assertEqual((near.times("OPTIONS"), near.times("BYE")), (1, 0))
        near.info("1")  # a sign of life
        world.bob.says(200)
        world.wait(100)
        self.assertEqual(near.times("OPTIONS"), 1)
        world.wait(60)
        self.assertEqual(near.times("OPTIONS"), 2)

    def test_a_probe_finds_nobody(self) -> None:
        """481, or silence, from either side: the call ends on the other, and nothing is left of it (no zombies)."""
        for silent in (False, True):
            for gone_first in (True, False):
                world = World(TWO_SIDES + "[call]\nprobe = 30\n")
                near, far = world.call()
                gone, there = (world.alice, world.bob) if gone_first else (world.bob, world.alice)
                gone.mute = silent
                world.wait(61)
                there.says(200)
                if silent:
                    world.wait(33)
                else:
                    gone.says(481)
                    world.settle()
                    gone.says(481)
                there.says(200, to="BYE")
                self.assertIn("ended: a probe found nobody", world.journal.lines[-1])
                world.wait(33)
                world.quiet()

    def test_both_are_gone(self) -> None:
        """Both phones lost their power: the call is gone some time later."""
        world = World(TWO_SIDES + "[call]\nprobe = 30\n")
        world.call()
        world.alice.mute = world.bob.mute = True
        world.wait(61 + 33 + 33)
        world.quiet()


class TheOperator(SynchronousTestCase):
    """Draining and hanging up."""

    def test_drain(self) -> None:
        """New calls are refused with 503 and Retry-After; those that are up go on."""
        world = World()
        near, far = world.call()
        world.hall.draining = True
        talk = world.alice.invite(URI)
        sent = world.alice.ask("MESSAGE", URI)
        world.settle()
        self.assertEqual(talk.last("503 INVITE").headers["Retry-After"], ["5"])
        self.assertEqual(sent.status, 503)
        near.info("1")
        world.bob.says(200)
        near.bye()
        world.bob.says(200)
        world.settle()
        self.assertEqual((near.times("200 INFO"), near.times("200 BYE")), (1, 1))
        world.quiet()

    def test_hang_up(self) -> None:
        """An answered call: BYE on both sides. Once is enough."""
        world = World()
        near, far = world.call()
        call = next(iter(world.hall.book))
        call.hang_up("by hand")
        call.hang_up("by hand, again")
        world.ladder("alice< BYE, bob< BYE")
        world.alice.says(200)
        world.bob.says(407)
        world.settle()
        self.assertEqual(world.journal.lines[-1], "ended: by hand")
        world.quiet()

    def test_hang_up_while_it_rings(self) -> None:
        """A call that rings: 480 to the caller, CANCEL to the callee."""
        world = World()
        talk = world.alice.invite(URI)
        world.bob.says(180)
        world.forget()
        next(iter(world.hall.book)).hang_up("by hand")
        world.settle()
        self.assertEqual((talk.times("480 INVITE"), world.bob.talk.times("CANCEL")), (1, 1))
        world.bob.open.clear()
        world.quiet()

    def test_hang_up_all(self) -> None:
        """Orderly shutdown: every call, in whatever state; a BYE that waits for an ACK does not wait any longer."""
        world = World()
        near, far = world.call()
        ringing = world.alice.invite(URI)
        world.bob.says(180)
        world.settle()
        world.alice.acks = False
        accepted = world.alice.invite(URI)
        world.bob.says(200, to="INVITE")
        world.settle()
        world.hall.hang_up_all("the bridge is stopping")
        world.settle()
        self.assertEqual((near.times("BYE"), far.times("BYE")), (1, 1))
        self.assertEqual(ringing.times("480 INVITE"), 1)
        self.assertEqual(accepted.times("BYE"), 1)
        self.assertEqual({call.phase for call in world.hall.book}, {Phase.ENDED})
        while world.alice.open:
            world.alice.says(200)
        while world.bob.open:
            world.bob.says(200)
        world.quiet()

    def test_the_book(self) -> None:
        """A call is found by its id, or by as much of it as is unique."""
        world = World()
        world.call()
        call = next(iter(world.hall.book))
        self.assertIs(world.hall.book.call(call.id), call)
        self.assertIs(world.hall.book.call(call.id[:4]), call)
        self.assertIs(world.hall.book.call("no such"), None)
        self.assertIs(world.hall.book.call(""), None)
        world.call()
        self.assertEqual(len(world.hall.book), 2)
        self.assertEqual(world.hall.book.legs, 4)

    def test_the_ladder_of_a_call(self) -> None:
        """What a call remembers of itself, for the operator; not more than so much."""
        world = World()
        near, far = world.call()
        call = next(iter(world.hall.book))
        steps = [
            f"{'near' if step.near else 'far'} {'>' if step.outward else '<'} {step.label}" for step in call.history
        ]
        self.assertEqual(
            steps,
            [
                "near < INVITE", "far > INVITE", "far < 180 INVITE", "near > 180 INVITE", "far < 200 INVITE",
                "far > ACK", "near > 200 INVITE", "near < ACK",
            ],
        )  # fmt: skip
        for _ in range(60):
            near.info("1")
            world.bob.says(200)
        world.settle()
        self.assertEqual(len(call.history), 200)

    def test_a_long_label(self) -> None:
        """A method as long as a message leaves as much in the ladder as fits there."""
        world = World()
        near, _ = world.call()
        near.ask("M" * 2000)
        world.settle()
        (call,) = world.hall.book
        self.assertEqual(max(len(step.label) for step in call.history), 64)

    def test_the_products_name(self) -> None:
        """`user_agent` of the configuration: User-Agent in what we ask, Server in what we answer, and nowhere else."""
        world = World('user_agent = "Gate 7"\n' + TWO_SIDES)
        near, far = world.call()
        for message in (far.heard[0], far.last("ACK")):
            self.assertEqual((message.headers["User-Agent"], "Server" in message.headers), (["Gate 7"], False))
        for status in (100, 180, 200):
            answer = near.last(f"{status} INVITE")
            self.assertEqual((answer.headers["Server"], "User-Agent" in answer.headers), (["Gate 7"], False))
        world = World()
        near, far = world.call()
        self.assertNotIn("User-Agent", far.heard[0].headers)
        self.assertNotIn("Server", near.last("200 INVITE").headers)
