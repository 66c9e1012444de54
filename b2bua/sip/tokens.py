"""Call-IDs, tags, branches and Contact users (S16): from a CSPRNG, no host, no counter, no product in them."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2s
from typing import NamedTuple

from b2bua.sip.via import MAGIC_COOKIE

_WORD = 20  # characters of hexadecimal: 80 bits
_MARK = 10
_SEAL = 8
_POOL = 400  # words made at a time
BRANCH_LENGTH = len(MAGIC_COOKIE) + _WORD + _MARK + _SEAL
MAX_PASSES = 64 // _SEAL  # seals in one hash


class LoopKey(NamedTuple):
    """What decided a request's way (RFC 3261 16.6.8), and how many times it had come to us when we sent it on."""

    way: str
    passes: int = 1


class Tokens:
    """A source of unguessable words. `entropy(n)` gives n random octets (`os.urandom`)."""

    __slots__ = ("_entropy", "_pool", "_next", "_key")

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._pool = ""
        self._next = 0  # where in the pool
        self._key = entropy(32)

    def word(self) -> str:
        """A word of 80 random bits, for a Call-ID, a tag or a Contact user."""
        at = self._next
        if at == len(self._pool):
            self._pool, at = self._entropy(_WORD // 2 * _POOL).hex(), 0
        self._next = at + _WORD
        return self._pool[at : self._next]

    def octets(self, count: int) -> bytes:
        """So many random octets, for a key or a salt."""
        return self._entropy(count)

    def number(self) -> str:
        """A number of up to 63 bits in decimal digits, as SDP's session ids are (RFC 8866 5.2)."""
        return str(int(self.word()[:16], 16) >> 1)

    def below(self, limit: int) -> int:
        """A number from 0 to less than `limit`, as RFC 3261 asks for in Retry-After."""
        return int(self.number()) % limit

    def branch(self, key: LoopKey) -> str:
        """A branch that only we can tell from a random one: it carries a mark over what decided the request's way.

        A request that comes back with the same `way` is a loop; with another, a spiral. How often it has passed is in
        the branch too, sealed: nobody else can read or change it.
        """
        word = self.word()
        return f"{MAGIC_COOKIE}{word}{self._mark(word, key.way)}{self._seals(word)[_SEAL * (key.passes - 1) :][:_SEAL]}"

    def plain_branch(self) -> str:
        """A branch of the same look for a request whose way was decided before."""
        return f"{MAGIC_COOKIE}{self.word()}{self.word()[: _MARK + _SEAL]}"

    def looped(self, branch: str, way: str) -> bool:
        """Whether a branch is one we made for a request that went this `way`."""
        if len(branch) != BRANCH_LENGTH:
            return False
        return branch[-_MARK - _SEAL : -_SEAL] == self._mark(_word_of(branch), way)

    def passes(self, branch: str) -> int:
        """How many times a request had come to us when we gave it this branch; 0 where the branch is none of ours."""
        if len(branch) != BRANCH_LENGTH:
            return 0
        at = self._seals(_word_of(branch)).find(branch[-_SEAL:])
        return at // _SEAL + 1 if at >= 0 and at % _SEAL == 0 else 0

    def alias(self, text: str) -> str:
        """The word that stands for `text`, always the same one: nothing of the text can be read from it.

        It begins with a letter, so that it may be an id in XML.
        """
        said = text.encode("utf-8", "surrogateescape")
        return "i" + blake2s(said, key=self._key, digest_size=_WORD // 2, person=b"alias").hexdigest()

    def _mark(self, word: str, way: str) -> str:
        said = f"{word} {way}".encode("utf-8", "surrogateescape")
        return blake2s(said, key=self._key, digest_size=_MARK // 2).hexdigest()

    def _seals(self, word: str) -> str:
        """What a branch with this word ends in after one pass, after two, and so on, one after the other."""
        return blake2s(word.encode("utf-8", "surrogateescape"), key=self._key).hexdigest()


def _word_of(branch: str) -> str:
    return branch[len(MAGIC_COOKIE) : -_MARK - _SEAL]
