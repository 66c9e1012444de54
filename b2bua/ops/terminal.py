"""What the output can show: how wide it is, whether it has colours, and whether its encoding has arrows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

WIDTH = 100  # columns where the output is no terminal
NARROWEST = 60

_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_ARROWS = "│─▶◀┊×"


@dataclass(frozen=True, slots=True)
class Look:
    """How to draw: `width` in columns, `colour` by ANSI sequences (ECMA-48), `unicode` arrows or ASCII ones."""

    width: int = WIDTH
    colour: bool = False
    unicode: bool = False

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Look:
        """What `stream` can show. A terminal has colours unless NO_COLOR is set or it is a dumb one."""
        terminal = stream.isatty()
        colour = terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        width = WIDTH
        if terminal:
            try:
                width = os.get_terminal_size(stream.fileno()).columns or WIDTH
            except OSError:
                pass  # a stream that only plays a terminal
        return cls(max(NARROWEST, width), colour, _has_arrows(stream.encoding))

    def paint(self, text: str, *how: str) -> str:
        """`text` in colour, where there is colour: "bold", "dim", "red", "green", "yellow", "cyan"."""
        if not self.colour or not how or not text.strip():
            return text
        return f"\x1b[{';'.join(_COLOURS[each] for each in how)}m{text}\x1b[0m"


def _has_arrows(encoding: str) -> bool:
    try:
        _ARROWS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
