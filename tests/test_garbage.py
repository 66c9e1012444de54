"""When circles are looked for: not while anybody waits, unless memory has grown."""

from __future__ import annotations

import gc
import weakref
from unittest import TestCase

from twisted.internet.task import Clock

from b2bua.net import garbage
from b2bua.net.garbage import EVERY, GROWTH, Garbage, resident


class Circle:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.itself = self


class TestGarbage(TestCase):
    """A bridge that is idle or not, with as much memory as the test says."""

    def setUp(self) -> None:
        """It runs."""
        self.clock = Clock()
        self.idle = False
        self.memory = 100 << 20
        self.patch_worth(0)
        self.garbage = Garbage(self.clock, lambda: self.idle, lambda: self.memory)
        self.garbage.startService()
        self.addCleanup(self.end)

    def patch_worth(self, objects: int) -> None:
        """How many new objects are worth a look."""
        self.addCleanup(setattr, garbage, "WORTH_IT", garbage.WORTH_IT)
        garbage.WORTH_IT = objects

    def end(self) -> None:
        """Python's own collector is on again, whatever happens."""
        if self.garbage.running:
            self.garbage.stopService()
        gc.enable()

    def circle(self) -> weakref.ref[Circle]:
        """One that nobody holds."""
        return weakref.ref(Circle())

    def test_python_looks_no_more(self) -> None:
        """From start to stop the collector is ours alone."""
        self.assertFalse(gc.isenabled())
        self.garbage.stopService()
        self.assertTrue(gc.isenabled())
        self.assertEqual(gc.get_freeze_count(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_while_calls_wait(self) -> None:
        """Calls are not held up for the sake of a circle."""
        circle = self.circle()
        self.clock.pump([EVERY] * 10)
        self.assertIsNotNone(circle())

    def test_when_idle(self) -> None:
        """When nobody waits, circles go."""
        circle = self.circle()
        self.idle = True
        self.clock.advance(EVERY)
        self.assertIsNone(circle())

    def test_again_and_again(self) -> None:
        """It goes on looking; and what it saw before, it does not see again."""
        self.idle = True
        self.clock.pump([EVERY] * 3)
        circle = self.circle()
        self.clock.advance(EVERY)
        self.assertIsNone(circle())

    def test_not_for_little(self) -> None:
        """An idle bridge in which nothing happened does not walk through what it has."""
        self.patch_worth(10_000_000)
        circle = self.circle()
        self.idle = True
        self.clock.advance(EVERY)
        self.assertIsNotNone(circle())

    def test_when_memory_has_grown(self) -> None:
        """Circles may be why: also those that became circles after they were thought to stay."""
        old = Circle()
        circle = weakref.ref(old)
        self.idle = True
        self.clock.advance(EVERY)
        del old
        self.idle = False
        self.memory = 2 * self.memory + GROWTH
        self.clock.advance(EVERY)
        self.assertIsNotNone(circle())
        self.memory += 1
        self.clock.advance(EVERY)
        self.assertIsNone(circle())

    def test_it_stays_large(self) -> None:
        """Memory that is needed is no reason to look again each time."""
        self.memory = 2 * self.memory + GROWTH + 1
        self.clock.advance(EVERY)
        circle = self.circle()
        self.clock.pump([EVERY] * 5)
        self.assertIsNotNone(circle())


class TestResident(TestCase):
    """How much memory there is in use."""

    def test_it_grows(self) -> None:
        """With what is put into it."""
        before = resident()
        much = bytes(64 << 20)
        much = bytearray(much)
        self.assertGreater(resident(), before + (32 << 20))
        del much
