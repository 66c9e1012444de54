"""The wheel: one `callLater` for all that waits, at most a tick late and never early."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import tests.hostile  # noqa: F401 - the settings of the property tests
from b2bua.net.wheel import TICK, Wheel


class Turning(SynchronousTestCase):
    """What is common."""

    def setUp(self) -> None:
        """A wheel, and what it called."""
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.seen: list[tuple[str, float]] = []

    def note(self, what: str) -> None:
        """It was called."""
        self.seen.append((what, round(self.clock.seconds(), 6)))

    def wait(self, seconds: float) -> None:
        """Let time pass; everything happens when it is due."""
        until = self.clock.seconds() + seconds
        while due := [call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() <= until]:
            self.clock.advance(max(0.0, min(due) - self.clock.seconds()))
        self.clock.advance(max(0.0, until - self.clock.seconds()))


class TestOrder(Turning):
    """What is called when."""

    def test_one(self) -> None:
        """Not early, and at most a tick late."""
        self.wheel.after(0.5, self.note, "a")
        self.wait(0.49)
        self.assertEqual(self.seen, [])
        self.wait(0.5)
        ((_, at),) = self.seen
        self.assertTrue(0.5 <= at <= 0.5 + TICK)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_order(self) -> None:
        """By time, and in one tick as they were entered; with any arguments."""
        for what, seconds in (("c", 3.0), ("a", 1.0), ("d", 3.0), ("b", 2.0)):
            self.wheel.after(seconds, self.note, what)
        self.assertEqual(len(self.wheel), 4)
        self.wait(4)
        self.assertEqual([what for what, _ in self.seen], ["a", "b", "c", "d"])
        self.assertEqual(len(self.wheel), 0)

    def test_one_call_at_a_time(self) -> None:
        """However many wait, the reactor has one call, for the earliest."""
        for number in range(1000):
            self.wheel.after(1 + number % 50, self.note, "x")
        self.wheel.after(0.1, self.note, "first")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.wait(0.2)
        self.assertEqual([what for what, _ in self.seen], ["first"])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.wait(60)
        self.assertEqual(len(self.seen), 1001)

    def test_at_once(self) -> None:
        """After no time at all: soon, but not now."""
        self.wheel.after(0.0, self.note, "a")
        self.assertEqual(self.seen, [])
        self.wait(TICK)
        self.assertEqual(len(self.seen), 1)

    def test_entered_while_it_turns(self) -> None:
        """What an entry enters for later does not put off what is due before."""
        self.wheel.after(1.0, lambda: self.wheel.after(3.0, self.note, "late"))
        self.wheel.after(1.5, self.note, "early")
        self.wait(2)
        self.assertEqual([what for what, _ in self.seen], ["early"])
        self.wait(3)
        self.assertEqual([what for what, _ in self.seen], ["early", "late"])

    def test_repeating(self) -> None:
        """An entry that enters itself again."""

        def again() -> None:
            self.note("x")
            self.wheel.after(0.5, again)

        again()
        self.wait(2.2)
        self.assertEqual(len(self.seen), 5)
        self.assertEqual(len(self.wheel), 1)

    def test_late_reactor(self) -> None:
        """A reactor that was busy: everything that is due is called in one turn, in its order."""
        for number in range(10):
            self.wheel.after(number * 0.5, self.note, str(number))
        self.clock.advance(10)
        self.assertEqual([what for what, _ in self.seen], [str(number) for number in range(10)])

    def test_now(self) -> None:
        """The clock's seconds."""
        self.clock.advance(3)
        self.assertEqual(self.wheel.now(), 3)

    @given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 5)), max_size=30), st.floats(0, 1e6))
    def test_any_order(self, waits: list[tuple[float, float]], start: float) -> None:
        """Whatever is entered, before and during turns: nothing early, nothing more than a tick late, nothing lost."""
        self.setUp()
        self.clock.advance(start)
        done: list[float] = []

        def enter(seconds: float, more: float) -> None:
            due = self.clock.seconds() + seconds

            def called() -> None:
                late = self.clock.seconds() - due
                self.assertTrue(-1e-6 <= late <= TICK + 1e-6, late)
                done.append(due)
                if more:
                    enter(more, 0.0)

            self.wheel.after(seconds, called)

        for seconds, more in waits:
            enter(seconds, more)
        self.wait(60)
        self.assertEqual(len(done), len(waits) + sum(1 for _, more in waits if more))
        self.assertEqual((len(self.wheel), self.clock.getDelayedCalls()), (0, []))


class TestFaults(Turning):
    """What goes wrong in one entry stops no other."""

    def test_exception(self) -> None:
        """The others of the same turn are called, and those after it."""

        def fail() -> None:
            raise RuntimeError("a mistake")

        self.wheel.after(1.0, self.note, "a")
        self.wheel.after(1.0, fail)
        self.wheel.after(1.0, self.note, "b")
        self.wheel.after(2.0, self.note, "c")
        self.wait(3)
        self.assertEqual([what for what, _ in self.seen], ["a", "b", "c"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_stop(self) -> None:
        """Nothing is called any more, and the reactor has nothing of it left; it may begin anew."""
        self.wheel.after(1.0, self.note, "a")
        self.wheel.stop()
        self.wheel.stop()
        self.assertEqual((len(self.wheel), self.clock.getDelayedCalls()), (0, []))
        self.wait(2)
        self.wheel.after(1.0, self.note, "b")
        self.wait(2)
        self.assertEqual([what for what, _ in self.seen], ["b"])

    def test_stop_while_it_turns(self) -> None:
        """By one of its own entries."""
        self.wheel.after(1.0, self.wheel.stop)
        self.wheel.after(2.0, self.note, "a")
        self.wait(3)
        self.assertEqual((self.seen, self.clock.getDelayedCalls()), ([], []))


class TestCost(Turning):
    """A hundred thousand entries are no matter."""

    def test_many(self) -> None:
        """They lie in as many buckets as there are ticks, not entries."""
        chance = Random(1)
        for _ in range(100_000):
            self.wheel.after(chance.random() * 32, lambda: None)
        self.assertEqual(len(self.wheel), 100_000)
        self.assertLessEqual(len(self.wheel._buckets), 32 / TICK + 1)
        self.wait(33)
        self.assertEqual(len(self.wheel), 0)
