"""Admission as values: calls at once from live sets, new requests a second, and floods by source."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy import admission
from b2bua.policy.admission import LATER, UNLIMITED, Admission, Limit, Quota, Sources


class TestLimit(SynchronousTestCase):
    """One limit."""

    def test_calls(self) -> None:
        """So many calls at once; what is no call has nothing to do with it. A call that leaves makes room."""
        held = Admission({"public": Quota(calls=2)}, {})
        limit = held.zones["public"]
        for call in ("a", "b"):
            self.assertEqual(limit.admits(0, True), ("", 0))
            held.enter(limit, call)
        self.assertEqual(limit.admits(0, True), ("zone public has 2 calls at once already", LATER))
        self.assertEqual(limit.admits(0, False), ("", 0))
        held.leave("a")
        held.leave("a")
        self.assertEqual((limit.admits(0, True), limit.refused, limit.live), (("", 0), 1, {"b"}))

    def test_rate(self) -> None:
        """A second's worth may come at once, then one each time there is room again; refusals use none of it."""
        limit = Limit("route r", Quota(rate=4))
        self.assertEqual([limit.admits(100, True)[1] for _ in range(6)], [0, 0, 0, 0, 1, 1])
        self.assertEqual(limit.admits(100.1, False), ("route r had 4 new requests a second already", 1))
        self.assertEqual([limit.admits(100.25, True)[0] for _ in range(2)][0], "")
        self.assertEqual([limit.admits(1000, True)[1] for _ in range(5)], [0, 0, 0, 0, 1])

    def test_slow_rate(self) -> None:
        """Less than one a second: one at a time; Retry-After says when the next may come."""
        limit = Limit("route r", Quota(rate=0.1))
        self.assertEqual([limit.admits(0, True)[1] for _ in range(2)], [0, 10])
        self.assertEqual([limit.admits(9.5, True)[1], limit.admits(10.5, True)[1]], [1, 0])

    @given(st.lists(st.floats(0, 3), max_size=80), st.sampled_from([0.5, 1, 3, 10]))
    def test_never_more(self, gaps: list[float], rate: float) -> None:
        """However they come: in no time are more let in than a second's worth and the rate times that time."""
        limit, now, times = Limit("x", Quota(rate=rate)), 50.0, list[float]()
        for gap in gaps:
            now += gap
            if not limit.admits(now, True)[0]:
                times.append(now)
        for first, start in enumerate(times):
            for last in range(first, len(times)):
                self.assertLessEqual(last - first + 1, max(1, rate) + rate * (times[last] - start) + 1e-6)


class TestAdmission(SynchronousTestCase):
    """All limits."""

    def test_only_what_is_limited(self) -> None:
        """Nothing is kept for what has no limit; without any there is nothing to ask."""
        held = Admission({"a": Quota(1), "b": UNLIMITED}, {"r": Quota(rate=1), "s": Quota()})
        self.assertEqual([limit.what for limit in held], ["zone a", "route r"])
        self.assertTrue(held)
        self.assertFalse(Admission({"b": UNLIMITED}, {}))

    def test_held_by_several(self) -> None:
        """A call is in its zone's set and its route's, and leaves both; nothing is kept of it."""
        held = Admission({"a": Quota(1)}, {"r": Quota(1)})
        held.enter(held.zones["a"], "call")
        held.enter(held.routes["r"], "call")
        held.enter(None, "other")
        self.assertEqual([limit.live for limit in held], [{"call"}, {"call"}])
        for call in ("call", "other", "unknown"):
            held.leave(call)
        self.assertEqual(([limit.live for limit in held], held._held), ([set(), set()], {}))


class TestSources(SynchronousTestCase):
    """Floods: security.md's per-source limits."""

    def test_rate(self) -> None:
        """So many in each second from one address; others are not harmed."""
        sources = Sources(2)
        self.assertEqual([sources.admits("192.0.2.1", 7.5) for _ in range(3)], [True, True, False])
        self.assertTrue(sources.admits("192.0.2.2", 7.5))
        self.assertEqual((sources.refused, sources.worst()), (1, [("192.0.2.1", 1)]))
        self.assertTrue(sources.admits("192.0.2.1", 8.0))
        self.assertEqual(sources.worst(), [])

    def test_ipv6(self) -> None:
        """A network of 64 bits is one source: whoever has one has all of its addresses."""
        sources = Sources(1)
        self.assertTrue(sources.admits("2001:db8::1", 1))
        self.assertFalse(sources.admits("2001:db8:0:0:ffff::1%eth0", 1))
        self.assertTrue(sources.admits("2001:db8:0:1::1", 1))
        self.assertEqual(sources.worst(), [("2001:db8::/64", 1)])

    def test_bounded(self) -> None:
        """However many come, no more than so many are remembered."""
        self.patch(admission, "SOURCES", 10)
        sources = Sources(1)
        for number in range(1000):
            self.assertTrue(sources.admits(f"192.0.2.{number}", 1))
            self.assertLessEqual(len(sources._counts), 10)
