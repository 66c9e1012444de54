"""What a message must not say, as its leg knows: words of the other side, for the leak guard (S42)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

PIECE = 6  # octets; of a word at first only its end is searched for, which takes a fourth of the time


class Names(Protocol):
    """What one side of a call is called, for the other side not to say it.

    `pieces` are the ends of the words, in lower case. `needles` are the words, and what each is: "Call-ID", "tag",
    "branch", "user", "host" or "address"; addresses are in their one spelling.
    """

    @property
    def pieces(self) -> Sequence[bytes]:
        """What is looked for first."""

    @property
    def needles(self) -> Mapping[bytes, str]:
        """What is meant."""


class Known:
    """Names that are known from the start."""

    __slots__ = ("needles", "pieces")

    def __init__(self, needles: Mapping[bytes, str]) -> None:
        self.needles = needles
        self.pieces = [word[-PIECE:] for word in needles]


class Foreign:
    """What a leg must not say after something crossed to it.

    `names` are those of the leg that it crossed from, in zone `source`; `via` is what stood in the message's Vias.
    `said` is what the leg's own peer has said or is called itself, which is no secret to it: values whose text counts.
    """

    __slots__ = ("names", "via", "source", "said")

    def __init__(self, names: Names, via: tuple[bytes, ...], source: str, said: tuple[object, ...]) -> None:
        self.names = names
        self.via = via
        self.source = source
        self.said = said


NOTHING = Foreign(Known({}), (), "", ())
