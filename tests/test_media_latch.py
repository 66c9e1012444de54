"""The relay's first question: whose packet is this?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from b2bua.media.latch import LATE, Latch, Place
from b2bua.media.ports import REST, NoPorts, Ports

PEER, NAT, STRANGER = ("192.0.2.7", 4000), "203.0.113.9", ("198.51.100.66", 4000)


class TestLatch(SynchronousTestCase):
    """One port."""

    def setUp(self) -> None:
        self.latch = Latch()
        self.latch.announce(PEER, NAT)

    def test_as_announced(self) -> None:
        """From where it said, and from no other port once it has spoken."""
        self.assertEqual(self.latch.target, PEER)
        self.assertTrue(self.latch.takes(PEER))
        self.assertFalse(self.latch.takes((PEER[0], 4002)))
        self.assertTrue(self.latch.takes(PEER))
        self.assertEqual((self.latch.target, self.latch.strangers), (PEER, 1))

    def test_symmetric(self) -> None:
        """RFC 4961: another port of the announced address, once: it is answered there, until it speaks as announced."""
        self.assertTrue(self.latch.takes((PEER[0], 5000)))
        self.assertEqual(self.latch.target, (PEER[0], 5000))
        self.assertFalse(self.latch.takes((PEER[0], 5002)))
        self.assertTrue(self.latch.takes(PEER))
        self.assertEqual(self.latch.target, PEER)
        self.assertFalse(self.latch.takes((PEER[0], 5000)))

    def test_behind_a_nat(self) -> None:
        """RFC 7362: from where its signalling comes from."""
        self.assertTrue(self.latch.takes((NAT, 61000)))
        self.assertEqual(self.latch.target, (NAT, 61000))

    def test_nobody_else(self) -> None:
        """RTP bleed: a stranger's packet never moves the stream, first or later."""
        self.assertFalse(self.latch.takes(STRANGER))
        self.assertEqual(self.latch.target, PEER)
        self.assertTrue(self.latch.takes(PEER))
        self.assertFalse(self.latch.takes(STRANGER))
        self.assertEqual((self.latch.target, self.latch.strangers), (PEER, 2))

    def test_announced_anew(self) -> None:
        """The same again changes nothing; another place does, and nothing holds of the old one."""
        self.latch.takes((NAT, 61000))
        self.latch.announce(PEER, NAT)
        self.assertEqual(self.latch.target, (NAT, 61000))
        self.latch.announce((PEER[0], 6000), NAT)
        self.assertEqual(self.latch.target, (PEER[0], 6000))
        self.latch.announce(None, NAT)
        self.assertIsNone(self.latch.target)
        self.assertFalse(self.latch.takes(PEER))

    def test_late(self) -> None:
        """What is still on its way from where it spoke before does not take the stream back, for a while."""
        old, new = (PEER[0], 5000), (PEER[0], 6000)
        self.latch.takes(old)
        self.latch.announce(new, NAT)
        self.assertFalse(self.latch.takes(old))
        self.assertTrue(self.latch.takes(new))
        self.latch.announce((PEER[0], 7000), NAT)
        self.assertEqual([self.latch.takes(new) for _ in range(LATE + 1)], [False] * LATE + [True])

    def test_back(self) -> None:
        """What it announced before brings back where it was met then."""
        self.latch.takes((NAT, 61000))
        self.latch.announce((PEER[0], 6000), NAT)
        self.latch.announce(PEER, NAT)
        self.assertEqual(self.latch.target, (NAT, 61000))
        self.assertTrue(self.latch.takes((NAT, 61000)))

    def test_held(self) -> None:
        """On hold nothing is sent; it may speak on, and is met again where it was, or where its NAT is now."""
        self.latch.takes((NAT, 61000))
        self.latch.announce(None, NAT)
        self.assertIsNone(self.latch.target)
        self.assertTrue(self.latch.takes((NAT, 61000)))
        self.assertFalse(self.latch.takes((NAT, 61002)))
        self.latch.announce(PEER, NAT)
        self.assertEqual(self.latch.target, (NAT, 61000))
        self.assertTrue(self.latch.takes((NAT, 61002)))
        self.assertEqual(self.latch.target, (NAT, 61002))

    def test_held_at_first(self) -> None:
        """A hold from the beginning: it may speak from where its signalling comes from."""
        latch = Latch()
        latch.announce(None, NAT)
        self.assertFalse(latch.takes(STRANGER))
        self.assertTrue(latch.takes((NAT, 61000)))
        self.assertIsNone(latch.target)

    def test_not_reachable(self) -> None:
        """RFC 7362: nothing is sent to a private address that was told from a public one."""
        latch = Latch()
        latch.announce(("192.168.1.2", 4000), NAT, reachable=False)
        self.assertIsNone(latch.target)
        self.assertTrue(latch.takes((NAT, 61000)))
        self.assertEqual(latch.target, (NAT, 61000))

    def test_to_be_proved(self) -> None:
        """Where nothing may be sent unasked it is sent once a packet has come from there, whatever was sent before."""
        other = (PEER[0], 6000)
        self.latch.announce(PEER, NAT, reachable=False)
        self.assertIsNone(self.latch.target)
        self.latch.announce(PEER, NAT)
        self.assertEqual(self.latch.target, PEER)
        self.latch.announce(other, NAT)
        self.latch.announce(PEER, NAT, reachable=False)
        self.assertIsNone(self.latch.target)
        self.latch.takes(PEER)
        self.latch.announce(PEER, NAT, reachable=False)
        self.assertEqual(self.latch.target, PEER)
        self.latch.announce(other, NAT, reachable=False)
        self.assertIsNone(self.latch.target)
        self.latch.announce(PEER, NAT, reachable=False)
        self.assertEqual(self.latch.target, PEER)

    def test_ourselves(self) -> None:
        """A port of our own speaks only if it was announced, and then nobody else does."""
        latch = Latch(lambda place: place[1] >= 30000)
        latch.announce((NAT, 4000), NAT)
        self.assertFalse(latch.takes((NAT, 30000)))
        latch.announce((NAT, 30002), NAT)
        self.assertEqual([latch.takes((NAT, port)) for port in (5000, 30000, 30002)], [False, False, True])


class Strangers(RuleBasedStateMachine):
    """ES2017-04, ES2025-01: whatever peer and strangers do, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.latch = Latch()
        self.loose: set[Place] = set()  # taken since the last announcement, of what was not announced

    @rule(port=st.integers(1, 3), host=st.sampled_from([PEER[0], "192.168.1.2", None]), reachable=st.booleans())
    def announce(self, host: str | None, port: int, reachable: bool) -> None:
        """The peer says where it is, or that it is on hold."""
        if self.latch.announce((host, port) if host else None, NAT, reachable) and host:
            self.loose = set()

    @rule(source=st.tuples(st.sampled_from([PEER[0], NAT, STRANGER[0]]), st.integers(1, 3)))
    def packet(self, source: Place) -> None:
        """Somebody sends."""
        before = self.latch.target
        taken, announced = self.latch.takes(source), self.latch.announced
        if not taken:
            assert self.latch.target == before, "who is not heard moves nothing"
            return
        assert source[0] in (PEER[0], NAT), "a stranger was heard"
        assert self.latch.target == (source if announced else None)
        if source != announced:
            self.loose.add(source)
        assert len(self.loose) <= 1 or announced is None, "two were heard who are not where the peer said"

    @invariant()
    def never_a_stranger(self) -> None:
        """Nothing is sent to a stranger."""
        assert self.latch.target is None or self.latch.target[0] != STRANGER[0]


TestStrangers = Strangers.TestCase


class TestPorts(SynchronousTestCase):
    """Pairs of ports."""

    def setUp(self) -> None:
        self.now = 0.0

    def ports(self, first: int, last: int) -> Ports:
        """Those from first to last; by chance the last one is always taken."""
        return Ports(first, last, lambda limit: limit - 1, lambda: self.now)

    def test_pairs(self) -> None:
        """RFC 3550 11: even, and the next one is free too."""
        for first, last in ((30000, 30005), (29999, 30006)):
            ports = self.ports(first, last)
            self.assertEqual(sorted(ports.take() for _ in range(3)), [30000, 30002, 30004])
            self.assertRaises(NoPorts, ports.take)

    def test_rest(self) -> None:
        """A late packet of one call is not heard in the next."""
        ports = self.ports(30000, 30001)
        ports.give_back(ports.take())
        self.assertRaises(NoPorts, ports.take)
        self.now = REST
        self.assertEqual((ports.take(), ports.used), (30000, 1))

    @given(st.lists(st.booleans(), max_size=60))
    def test_none_twice(self, steps: list[bool]) -> None:
        """No pair is given to two, and none is lost."""
        ports, used = self.ports(30000, 30015), []
        for take in steps:
            self.now += 10
            if take:
                try:
                    used.append(ports.take())
                except NoPorts:
                    continue
            elif used:
                ports.give_back(used.pop(0))
            self.assertEqual((len(set(used)), ports.used), (len(used), len(used)))
        for port in used:
            ports.give_back(port)
        self.now += REST
        self.assertEqual(len({ports.take() for _ in range(8)}), 8)
