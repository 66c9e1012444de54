"""Nonces: ours, for whom they were given, not too old, each use once, and a bounded memory of that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.nonces import LENGTH, OLD, REPLAYED, ROOM, UNKNOWN, WINDOW, Nonces
from b2bua.sip.tokens import Tokens
from tests.hostile import TEXTS

KEY = b"k" * 32


def entropy(count: int, state: list[int] = [0]) -> bytes:  # noqa: B006 - goes on where it was
    """Octets that never repeat."""
    state[0] += 1
    return b"".join((state[0] * 1000 + at).to_bytes(4, "big")[2:] for at in range(count))[:count]


class TestNonces(SynchronousTestCase):
    """One source of nonces."""

    def setUp(self) -> None:
        self.nonces = Nonces(KEY, Tokens(entropy).word, 300)

    def test_given_and_used(self) -> None:
        """RFC 7616 3.3: a nonce of ours may be used as often as its count goes up."""
        nonce = self.nonces.new(1000.0, "r z h")
        self.assertEqual(len(nonce), LENGTH)
        self.assertEqual(len(self.nonces), 0)  # nothing is remembered of what was only given
        for count in (1, 2, 3, 10):
            self.assertEqual(self.nonces.use(nonce, count, 1000.0, "r z h"), "")
        self.assertEqual(len(self.nonces), 1)

    def test_no_two_are_the_same(self) -> None:
        """Also at the same moment for the same host: two phones behind one NAT."""
        self.assertEqual(len({self.nonces.new(1.0, "x") for _ in range(100)}), 100)

    def test_not_ours(self) -> None:
        """Forged, cut, of another process, or given to another host, zone or realm: not ours."""
        nonce = self.nonces.new(1000.0, "r z h")
        other = Nonces(b"o" * 32, Tokens(entropy).word, 300).new(1000.0, "r z h")
        later = f"{2_000_000:012x}{nonce[12:]}"
        forged = [nonce[:at] + ("0" if nonce[at] != "0" else "1") + nonce[at + 1 :] for at in range(LENGTH)]
        for wrong in (
            *forged,
            "",
            nonce[:-1],
            nonce + "0",
            nonce.upper(),
            f" {nonce}",
            other,
            later,
            "\udcff" * LENGTH,
        ):
            self.assertEqual(self.nonces.use(wrong, 1, 1000.0, "r z h"), UNKNOWN, wrong)
            self.assertFalse(self.nonces.ours(wrong, "r z h"), wrong)
        self.assertTrue(self.nonces.ours(nonce, "r z h"))
        for bound in ("r z i", "r y h", "q z h"):
            self.assertEqual(self.nonces.use(nonce, 1, 1000.0, bound), UNKNOWN)
            self.assertFalse(self.nonces.ours(nonce, bound))
        self.assertEqual(len(self.nonces), 0)

    def test_time(self) -> None:
        """Good for its life, to the end; not after, and not before it was given."""
        nonce = self.nonces.new(1000.0, "b")
        self.assertEqual(self.nonces.use(nonce, 1, 999.9, "b"), OLD)
        self.assertEqual(self.nonces.use(nonce, 1, 1300.0, "b"), "")
        self.assertEqual(self.nonces.use(nonce, 2, 1300.1, "b"), OLD)

    def test_counts(self) -> None:
        """Each count once; those that overtook one another within the window, whatever is before it never."""
        nonce = self.nonces.new(0.0, "b")

        def use(count: int) -> str:
            return self.nonces.use(nonce, count, 0.0, "b")

        self.assertEqual(
            [use(count) for count in (5, 5, 3, 4, 4, 3, 5, 6, 6)], ["", REPLAYED, "", "", *[REPLAYED] * 3, "", REPLAYED]
        )
        self.assertEqual(use(6 + WINDOW), "")
        self.assertEqual([use(5), use(6)], [REPLAYED, REPLAYED])  # before the window, and used
        self.assertEqual([use(7), use(7)], ["", REPLAYED])
        self.assertEqual(use(0xFFFFFFFF), "")
        self.assertEqual([use(count) for count in (0xFFFFFFFF, 6 + WINDOW, 8)], [REPLAYED] * 3)
        self.assertEqual([use(0xFFFFFFFF - WINDOW), use(0xFFFFFFFF - WINDOW)], ["", REPLAYED])
        self.assertEqual(use(0xFFFFFFFF - WINDOW - 1), REPLAYED)

    @given(st.lists(st.integers(1, 200), max_size=60))
    def test_any_order(self, counts: list[int]) -> None:
        """No count is ever taken twice; what is ahead of all others always is."""
        nonces = Nonces(KEY, Tokens(entropy).word, 300)
        nonce = nonces.new(0.0, "b")
        taken: set[int] = set()
        for count in counts:
            said = nonces.use(nonce, count, 0.0, "b")
            if count in taken or (taken and max(taken) - count > WINDOW):
                self.assertEqual(said, REPLAYED)
            else:
                self.assertEqual(said, "")
                taken.add(count)

    def test_bounded(self) -> None:
        """However many are used, only so many are remembered; the forgotten are too old, never new again."""
        nonces = Nonces(KEY, Tokens(entropy).word, 300, 20)
        all_of_them = []
        for at in range(100):
            nonce = nonces.new(float(at), "b")
            self.assertEqual(nonces.use(nonce, 1, float(at), "b"), "")
            all_of_them.append(nonce)
            self.assertLessEqual(len(nonces), 20)
        said = [nonces.use(nonce, 1, 100.0, "b") for nonce in all_of_them]
        self.assertEqual(set(said), {OLD, REPLAYED})
        self.assertEqual(said, sorted(said))  # first the forgotten, then those that are known
        self.assertEqual(ROOM, 100_000)

    def test_what_is_over_goes(self) -> None:
        """After two lives nothing is left of a nonce, as soon as another is used."""
        for at in (0.0, 301.0, 602.0):
            nonce = self.nonces.new(at, "b")
            self.nonces.use(nonce, 1, at, "b")
        self.assertEqual(len(self.nonces), 2)

    @given(TEXTS, TEXTS)
    def test_any_text(self, nonce: str, bound: str) -> None:
        """Whatever it is, it is an answer."""
        self.assertEqual(Nonces(KEY, Tokens(entropy).word, 300).use(nonce, 1, 0.0, bound), UNKNOWN)
