"""S16: words that nobody can guess; S21: the mark by which we know our own requests again."""

from __future__ import annotations

import os
import re
from random import Random

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.grammar import is_token
from b2bua.sip.tokens import BRANCH_LENGTH, MAX_PASSES, LoopKey, Tokens
from tests.hostile import TEXTS


class TestTokens(SynchronousTestCase):
    """S16."""

    def test_words(self) -> None:
        """80 bits of the entropy each, all different, nothing but lower-case letters and digits in them."""
        tokens = Tokens(os.urandom)
        words = [tokens.word() for _ in range(5000)]
        self.assertEqual(len(set(words)), len(words))
        for word in words:
            self.assertTrue(re.fullmatch("[0-9a-z]{16,20}", word))

    def test_every_bit_is_from_the_entropy(self) -> None:
        """No counter, no clock, no host: the same entropy gives the same words, other entropy others."""
        one, same, other = (Tokens(Random(seed).randbytes) for seed in (1, 1, 2))
        first = [one.word() for _ in range(1000)]
        self.assertEqual([same.word() for _ in range(1000)], first)
        self.assertFalse(set(first) & {other.word() for _ in range(1000)})

    def test_octets(self) -> None:
        """As many as are asked for, of the entropy, and other ones each time."""
        tokens = Tokens(Random(1).randbytes)
        keys = [tokens.octets(32) for _ in range(100)]
        self.assertEqual((len(set(keys)), {len(key) for key in keys}), (100, {32}))
        self.assertEqual(len(tokens.octets(8)), 8)

    def test_numbers(self) -> None:
        """RFC 8866 5.2: decimal digits, below 2^63."""
        tokens = Tokens(Random(1).randbytes)
        numbers = [tokens.number() for _ in range(1000)]
        self.assertEqual(len(set(numbers)), 1000)
        for number in numbers:
            self.assertTrue(re.fullmatch("[0-9]{1,19}", number) and int(number) < 2**63)
        self.assertGreater(max(map(int, numbers)), 2**62)

    def test_below(self) -> None:
        """Every number below the limit comes, and no other."""
        tokens = Tokens(Random(1).randbytes)
        self.assertEqual({tokens.below(10) for _ in range(1000)}, set(range(10)))

    def test_aliases(self) -> None:
        """S16, S38: the same word for the same text, which is in no way in it; another bridge has other words."""
        tokens = Tokens(Random(1).randbytes)
        words = [tokens.alias(text) for text in ("call@10.0.0.1", "call@10.0.0.2", "", "\udcff", "a" * 100000)]
        self.assertEqual(len(set(words)), 5)
        for word in words:
            self.assertRegex(word, "^i[0-9a-f]{20}$")
        self.assertEqual(tokens.alias("call@10.0.0.1"), words[0])
        self.assertNotEqual(Tokens(Random(2).randbytes).alias("call@10.0.0.1"), words[0])

    def test_branches(self) -> None:
        """RFC 3261 8.1.1.7: the magic cookie and a token; with and without a mark they look the same."""
        tokens = Tokens(Random(1).randbytes)
        branches = [tokens.branch(LoopKey("INVITE sip:a@b")) for _ in range(500)] + [
            tokens.plain_branch() for _ in range(500)
        ]
        self.assertEqual(len(set(branches)), 1000)
        for branch in branches:
            self.assertTrue(branch.startswith("z9hG4bK") and is_token(branch) and len(branch) == BRANCH_LENGTH)


class TestMark(SynchronousTestCase):
    """S21, RFC 3261 16.6.8: loops are found by a keyed mark in the branch, as Via is hidden."""

    def test_ours(self) -> None:
        """The same request again is a loop; for another Request-URI it is a spiral, which is not one."""
        tokens = Tokens(os.urandom)
        branch = tokens.branch(LoopKey("INVITE sip:a@b"))
        self.assertTrue(tokens.looped(branch, "INVITE sip:a@b"))
        self.assertFalse(tokens.looped(branch, "INVITE sip:c@b"))
        self.assertFalse(tokens.looped(tokens.plain_branch(), "INVITE sip:a@b"))

    def test_of_others(self) -> None:
        """Another bridge's mark, a shortened and a changed one say nothing to us."""
        tokens = Tokens(os.urandom)
        branch = tokens.branch(LoopKey("k"))
        for other in (
            Tokens(os.urandom).branch(LoopKey("k")),
            branch[:-1],
            branch + "0",
            "",
            "z9hG4bK",
            branch[:-9] + "z" + branch[-8:],
        ):
            self.assertFalse(tokens.looped(other, "k"))

    @given(TEXTS, TEXTS)
    def test_any_text(self, branch: str, key: str) -> None:
        """Whatever stands in a Via or a Request-URI."""
        tokens = Tokens(Random(1).randbytes)
        self.assertFalse(tokens.looped(branch.ljust(BRANCH_LENGTH)[:BRANCH_LENGTH], key))
        self.assertTrue(tokens.looped(tokens.branch(LoopKey(key)), key))


class TestSeal(SynchronousTestCase):
    """S21: how often a request has come to us is in the branch, and nobody can change it there."""

    def test_every_number(self) -> None:
        """What we write is what we read; a branch without it says 0."""
        tokens = Tokens(os.urandom)
        for passes in range(1, MAX_PASSES + 1):
            branch = tokens.branch(LoopKey("k", passes))
            self.assertEqual((tokens.passes(branch), len(branch)), (passes, BRANCH_LENGTH))
        self.assertEqual(tokens.passes(tokens.plain_branch()), 0)

    def test_forged(self) -> None:
        """Another bridge's, a changed one, and one branch's seal on another say nothing."""
        tokens = Tokens(os.urandom)
        one, other = tokens.branch(LoopKey("k", 3)), tokens.branch(LoopKey("k", 1))
        for forged in (Tokens(os.urandom).branch(LoopKey("k", 3)), one[:-1], one[:-8] + other[-8:], one[:-8] + "0" * 8):
            self.assertEqual(tokens.passes(forged), 0)

    @given(TEXTS)
    def test_any_text(self, branch: str) -> None:
        """Whatever stands in a Via."""
        tokens = Tokens(Random(1).randbytes)
        self.assertEqual(tokens.passes(branch.ljust(BRANCH_LENGTH)[:BRANCH_LENGTH]), 0)
