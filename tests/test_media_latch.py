"""The relay's first question: whose packet is this?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.media.latch import Latch, Place
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
        """RFC 4961: another port of the announced address, once: it is answered there."""
        self.assertTrue(self.latch.takes((PEER[0], 5000)))
        self.assertEqual(self.latch.target, (PEER[0], 5000))
        self.assertFalse(self.latch.takes(PEER))

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
        """What is still on its way from where it spoke before does not take the stream back."""
        old, new = (PEER[0], 5000), (PEER[0], 6000)
        self.latch.takes(old)
        self.latch.announce(new, NAT)
        self.assertFalse(self.latch.takes(old))
        self.assertTrue(self.latch.takes(new))
        self.latch.announce(old, NAT)
        self.assertTrue(self.latch.takes(old))

    def test_resumed(self) -> None:
        """After a hold it speaks again from where it spoke."""
        self.latch.takes((NAT, 61000))
        self.latch.announce(None, NAT)
        self.latch.announce(PEER, NAT)
        self.assertTrue(self.latch.takes((NAT, 61000)))

    @given(st.lists(st.tuples(st.sampled_from([PEER[0], NAT, STRANGER[0]]), st.integers(1, 5)), max_size=20))
    def test_one_source(self, packets: list[Place]) -> None:
        """ES2017-04: whatever comes, all that is taken comes from one place, which the peer stands for."""
        latch = Latch()
        latch.announce(PEER, NAT)
        taken = {source for source in packets if latch.takes(source)}
        self.assertLessEqual(len(taken), 1)
        self.assertFalse({host for host, _ in taken} - {PEER[0], NAT})


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
