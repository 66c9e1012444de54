"""RFC 3261 table 4, RFC 6026: how long each timer runs."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.transaction.timers import Timer, Timers

# Timer: over UDP, over TCP and TLS; None where it is not started. In units of T1, or the name of another.
TABLE_4: dict[Timer, tuple[float | str | None, float | str | None]] = {
    Timer.A: (1, None),
    Timer.B: (64, 64),
    Timer.D: ("32 s", 0),
    Timer.E: (1, None),
    Timer.F: (64, 64),
    Timer.G: (1, None),
    Timer.H: (64, 64),
    Timer.I: ("T4", 0),
    Timer.J: (64, 0),
    Timer.K: ("T4", 0),
    Timer.L: (64, 64),  # RFC 6026 7.1: whatever the transport
    Timer.M: (64, 64),  # RFC 6026 8.4
    Timer.R: (1, 1),  # RFC 3261 13.3.1.4: a 2xx is repeated over every transport (S23)
    Timer.X: (64, 64),  # RFC 3261 9.1
}


class TestTable(SynchronousTestCase):
    """The first time that each timer is started."""

    def check(self, timers: Timers) -> None:
        """All of them."""
        named = {"32 s": 32.0, "T4": timers.t4}
        for timer in Timer:
            for reliable, expected in zip((False, True), TABLE_4[timer], strict=True):
                seconds = timers.seconds(timer, 0.0, reliable)
                if isinstance(expected, str):
                    self.assertEqual(seconds, named[expected], timer)
                else:
                    self.assertEqual(seconds, None if expected is None else expected * timers.t1, timer)

    def test_default(self) -> None:
        """T1 0.5 s, T2 4 s, T4 5 s."""
        timers = Timers()
        self.assertEqual((timers.t1, timers.t2, timers.t4, timers.patience), (0.5, 4.0, 5.0, 32.0))
        self.check(timers)

    def test_configured(self) -> None:
        """All of them follow the configuration, but D is never shorter than 32 s over UDP (RFC 3261 17.1.1.2)."""
        self.check(Timers(0.1, 1.0, 2.0))
        self.assertEqual(Timers(1.0).seconds(Timer.D, 0.0, False), 64.0)


class TestRepetition(SynchronousTestCase):
    """The timers that double."""

    def series(self, timer: Timer, timers: Timers, count: int) -> list[float | None]:
        """Interval after interval."""
        found: list[float | None] = []
        previous = 0.0
        for _ in range(count):
            seconds = timers.seconds(timer, previous, False)
            found.append(seconds)
            previous = seconds or 0.0
        return found

    def test_a(self) -> None:
        """RFC 3261 17.1.1.2: A doubles without a limit, until B comes first."""
        self.assertEqual(self.series(Timer.A, Timers(), 7), [0.5, 1, 2, 4, 8, 16, None])

    def test_capped(self) -> None:
        """RFC 3261 17.1.2.2, 17.2.1, 13.3.1.4: E, G and R double up to T2."""
        for timer in (Timer.E, Timer.G, Timer.R):
            self.assertEqual(self.series(timer, Timers(), 6), [0.5, 1, 2, 4, 4, 4])
            self.assertEqual(self.series(timer, Timers(0.3, 1.0), 4), [0.3, 0.6, 1.0, 1.0])

    def test_t1_above_t2(self) -> None:
        """A T1 longer than T2 makes no interval longer than T2."""
        self.assertEqual(self.series(Timer.E, Timers(5.0, 4.0), 2), [4.0, 4.0])
