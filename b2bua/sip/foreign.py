"""What a message must not say, as its leg knows: words of the other side, for the leak guard (S42)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from b2bua.sip.via import MAGIC_COOKIE

PIECE = 12  # characters; of a word at first only its end is searched for, in text, which is twice as fast
SHORTEST = 6  # characters of an id; shorter ones stand in messages by chance

_BRANCH = f"branch={MAGIC_COOKIE}"


class Names(Protocol):
    """What one side of a call is called, for the other side not to say it.

    `pieces` are the ends of the words, in lower case, each octet a character. `needles` are the words, and what each
    is: "Call-ID", "tag", "branch", "user", "host" or "address"; addresses are in their one spelling.
    """

    @property
    def pieces(self) -> Sequence[str]:
        """What is looked for first."""

    @property
    def needles(self) -> Mapping[bytes, str]:
        """What is meant."""

    @property
    def addresses(self) -> Collection[bytes]:
        """Those of the needles that are addresses."""


class Known:
    """Names that are known from the start."""

    __slots__ = ("needles", "pieces", "addresses")

    def __init__(self, needles: Mapping[bytes, str]) -> None:
        self.needles = needles
        self.pieces = [word[-PIECE:].decode("latin-1") for word in needles]
        self.addresses = [word for word, kind in needles.items() if kind == "address"]


class Foreign:
    """What a leg must not say. One for each two legs: only `vias` and `path` change with what crosses.

    `names` are those of the leg on the other side, in zone `source`. `vias` are the Vias of what crossed last, as they
    came; `path` is where that had been before, as they tell.
    """

    __slots__ = ("names", "source", "vias", "path")

    def __init__(self, names: Names, source: str, vias: Sequence[str] = (), path: tuple[bytes, ...] = ()) -> None:
        self.names = names
        self.source = source
        self.vias = vias
        self.path = path

    @property
    def via(self) -> tuple[bytes, ...]:
        """The top Via's branch and the path."""
        return *branch(self.vias), *self.path


class Speaker(Protocol):
    """Who says a message: a leg."""

    foreign: Foreign

    @property
    def said(self) -> tuple[object, ...]:
        """What the peer has said to it or is called itself, which is no secret to it: values whose text counts."""


def branch(vias: Sequence[str]) -> tuple[bytes, ...]:
    """The top Via's branch, where it is worth a search: what follows the cookie, or all of it where that is short."""
    first = vias[0] if vias else ""
    at = first.find(_BRANCH)
    word = first[at + len(_BRANCH) :].partition(";")[0] if at >= 0 else ""
    if len(word) < SHORTEST:
        return ()
    return (octets(word if len(word) >= PIECE else MAGIC_COOKIE + word),)


def octets(word: str) -> bytes:
    """A word as it is searched for."""
    return word.lower().encode("utf-8", "surrogateescape")


NOTHING = Foreign(Known({}), "")
