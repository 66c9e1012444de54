"""Call-IDs, tags, branches and Contact users (S16): from a CSPRNG, no host, no counter, no product in them."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2s

from b2bua.sip.via import MAGIC_COOKIE

_WORD = 20  # characters of hexadecimal: 80 bits
_MARK = 10
_POOL = 400  # words made at a time
BRANCH_LENGTH = len(MAGIC_COOKIE) + _WORD + _MARK


class Tokens:
    """A source of unguessable words. `entropy(n)` gives n random octets (`os.urandom`)."""

    __slots__ = ("_entropy", "_pool", "_key")

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._pool: list[str] = []
        self._key = entropy(32)

    def word(self) -> str:
        """A word of 80 random bits, for a Call-ID, a tag or a Contact user."""
        if not self._pool:
            text = self._entropy(_WORD // 2 * _POOL).hex()
            self._pool = [text[at : at + _WORD] for at in range(0, len(text), _WORD)]
        return self._pool.pop()

    def number(self) -> str:
        """A number of up to 63 bits in decimal digits, as SDP's session ids are (RFC 8866 5.2)."""
        return str(int(self.word()[:16], 16) >> 1)

    def below(self, limit: int) -> int:
        """A number from 0 to less than `limit`, as RFC 3261 asks for in Retry-After."""
        return int(self.number()) % limit

    def branch(self, loop_key: str) -> str:
        """A branch that only we can tell from a random one: it carries a mark over what decided the request's way.

        A request that comes back with the same `loop_key` (RFC 3261 16.6.8) is a loop; with another, a spiral.
        """
        word = self.word()
        return f"{MAGIC_COOKIE}{word}{self._mark(word, loop_key)}"

    def plain_branch(self) -> str:
        """A branch of the same look for a request whose way was decided before."""
        return f"{MAGIC_COOKIE}{self.word()}{self.word()[:_MARK]}"

    def looped(self, branch: str, loop_key: str) -> bool:
        """Whether a branch is one we made for this `loop_key`."""
        if len(branch) != BRANCH_LENGTH:
            return False
        word = branch[len(MAGIC_COOKIE) : -_MARK]
        return branch[-_MARK:] == self._mark(word, loop_key)

    def alias(self, text: str) -> str:
        """The word that stands for `text`, always the same one: nothing of the text can be read from it.

        It begins with a letter, so that it may be an id in XML.
        """
        said = text.encode("utf-8", "surrogateescape")
        return "i" + blake2s(said, key=self._key, digest_size=_WORD // 2, person=b"alias").hexdigest()

    def _mark(self, word: str, loop_key: str) -> str:
        said = f"{word} {loop_key}".encode("utf-8", "surrogateescape")
        return blake2s(said, key=self._key, digest_size=_MARK // 2).hexdigest()
