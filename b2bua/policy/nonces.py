"""Nonces that need no memory until somebody proves a password with them (RFC 7616 3.3, 5.4).

A nonce says when it was made and carries a seal, over that and over for whom it is, that only we can make: a flood of
requests without credentials leaves nothing behind. What is remembered is how often a nonce was used by somebody who
knew the password, and of that only so much: what is forgotten counts as too old, never as new.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2s
from hmac import compare_digest

ROOM = 100_000  # nonces in use that are remembered at a time
WINDOW = 64  # uses that may overtake one another: requests sent at once, or over UDP

_TIME = 12  # characters of hexadecimal: milliseconds
_MARK = _TIME + 12
_SEAL = 15  # octets
LENGTH = _MARK + 2 * _SEAL

UNKNOWN = "a nonce that we did not give it"
OLD = "a nonce that is too old"
REPLAYED = "a nonce used as often already: a replay"

_Uses = tuple[int, int]  # the highest count, and one bit for each count below it: the lowest for the next lower


class Nonces:
    """Gives nonces and knows its own again. `life` is in seconds, as is `now`; `word()` gives random hexadecimals.

    `bound` is for whom a nonce is: with another one it is not ours.
    """

    __slots__ = ("life", "_key", "_word", "_room", "_young", "_old", "_turned", "_forgotten")

    def __init__(self, key: bytes, word: Callable[[], str], life: float, room: int = ROOM) -> None:
        self.life = life
        self._key = key
        self._word = word
        self._room = room // 2
        # Two generations: the older is thrown away whole. What was in it was given before the younger began.
        self._young: dict[str, _Uses] = {}
        self._old: dict[str, _Uses] = {}
        self._turned = self._forgotten = -1  # milliseconds

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def new(self, now: float, bound: str) -> str:
        """A nonce."""
        mark = f"{_milliseconds(now):0{_TIME}x}{self._word()[: _MARK - _TIME]}"
        return mark + self._seal(mark, bound)

    def ours(self, nonce: str, bound: str) -> bool:
        """Whether a nonce is one that we gave, however long ago. It costs one hash, and no user's password."""
        mark = nonce[:_MARK]
        right = (mark + self._seal(mark, bound)).encode("utf-8", "surrogateescape")
        return compare_digest(nonce.encode("utf-8", "surrogateescape"), right)

    def use(self, nonce: str, count: int, now: float, bound: str) -> str:
        """Why a nonce may not be used for the `count`th time; empty, and remembered, where it may.

        To be asked only once the password is proved: whoever does not know it leaves no trace.
        """
        if not self.ours(nonce, bound):
            return UNKNOWN
        mark, at = nonce[:_MARK], _milliseconds(now)
        given = int(mark[:_TIME], 16)
        if not given <= at <= given + self.life * 1000:  # from the future, where somebody has put the clock back
            return OLD
        for known in (self._young, self._old):
            if mark in known:
                uses = _used(known[mark], count)
                if uses is None:
                    return REPLAYED
                known[mark] = uses
                return ""
        if given <= self._forgotten:
            return OLD
        if len(self._young) >= self._room or at - self._turned > self.life * 1000:
            self._old, self._young = self._young, {}
            self._forgotten, self._turned = self._turned, at
        self._young[mark] = count, 0
        return ""

    def _seal(self, mark: str, bound: str) -> str:
        said = f"{mark} {bound}".encode("utf-8", "surrogateescape")
        return blake2s(said, key=self._key, digest_size=_SEAL, person=b"nonce").hexdigest()


def _used(uses: _Uses, count: int) -> _Uses | None:
    """The uses with one more; None where it is none, or so far back that nobody knows."""
    highest, below = uses
    ahead = count - highest
    if ahead > WINDOW:
        return count, 0
    if ahead > 0:
        return count, (below << ahead | 1 << ahead - 1) & (1 << WINDOW) - 1
    bit = 1 << -ahead - 1 if ahead else 0
    if not bit or -ahead > WINDOW or below & bit:
        return None
    return highest, below | bit


def _milliseconds(now: float) -> int:
    return int(now * 1000)
