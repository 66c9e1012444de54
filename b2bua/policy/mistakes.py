"""What is wrong with what the operator wrote: said with the key, the value and what would be right, all at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN = 80  # characters of a value

NOTHING = object()  # the value of a key that is not there


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake, or one thing to be warned of.

    `key` is where it stands (`listener[2].zone` is in the second `[[listener]]`), `value` what stands there, or
    NOTHING. `line` is 0 where it is not known. `message` says what would be right.
    """

    file: str
    key: str
    value: object
    message: str
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}{'' if self.value is NOTHING else f' = {shown(self.value)}'}: " if self.key else ""
        text = f"{place}: {key}{self.message}"
        # File and key are the operator's words too: nothing in them moves the cursor.
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class ConfigurationError(Exception):
    """The configuration cannot be used; `mistakes` holds every reason, not only the first."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


def shown(value: object) -> str:
    """A value as TOML would write it, or nearly: on one line, all but ASCII escaped, cut when long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def among(names: Iterable[str]) -> str:
    """`there are: private, public`: what could have been meant."""
    listed = ", ".join(sorted(names))
    return f"there are: {listed}" if listed else "there are none"
