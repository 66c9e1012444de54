"""Plain text for operators: tables, lists of details, two things side by side.

Whatever came from outside is escaped here, so that nothing a peer sent can act on a terminal.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

from b2bua.ops.log import escaped

GAP = "  "
NARROWEST = 16  # characters of a column that is to be wrapped


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell, under their heads. No line ends with blanks."""
    cells = [[cell(each) for each in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(heads, *cells, strict=True)]
    lines = [heads, ["-" * width for width in widths], *cells]
    return "\n".join(GAP.join(map(_padded, line, widths)).rstrip() for line in lines)


def details(rows: Iterable[tuple[str, object]], indent: str = "", width: int = 0) -> str:
    """A name and what it is, line by line; what is longer than `width` goes on below itself (0: as long as it is)."""
    named = [(name, cell(value)) for name, value in rows]
    longest = max((_width(name) for name, _ in named), default=0)
    lines = []
    for name, value in named:
        pieces = _wrapped(value, width - len(indent) - longest - len(GAP) if width else 0)
        lines.append(f"{indent}{_padded(name, longest)}{GAP}{pieces[0]}".rstrip())
        lines += [f"{indent}{' ' * longest}{GAP}{piece}" for piece in pieces[1:]]
    return "\n".join(lines)


def beside(heads: tuple[str, str], rows: Iterable[tuple[str, object, object]], width: int = 100) -> str:
    """Two things row by row, left and right of each other, in no more than `width` columns where that is possible."""
    named = [(name, cell(left), cell(right)) for name, left, right in rows]
    longest = max((_width(name) for name, _, _ in named), default=0)
    widest = max((_width(each) for each in (*heads, *(cell for row in named for cell in row[1:]))), default=0)
    column = min(widest, max(NARROWEST, (width - longest - 2 * len(GAP)) // 2))
    lines = [f"{' ' * longest}{GAP}{_padded(heads[0], column)}{GAP}{heads[1]}"]
    lines.append(f"{' ' * longest}{GAP}{'-' * column}{GAP}{'-' * column}")
    for name, left, right in named:
        one, other = _wrapped(left, column), _wrapped(right, column)
        for number in range(max(len(one), len(other))):
            label = name if number == 0 else ""
            here = one[number] if number < len(one) else ""
            there = other[number] if number < len(other) else ""
            lines.append(f"{_padded(label, longest)}{GAP}{_padded(here, column)}{GAP}{there}".rstrip())
    return "\n".join(lines)


def cell(value: object) -> str:
    """One value on one line, escaped; a dash for nothing."""
    text = escaped(str(value))
    return text if text else "-"


def span(seconds: float) -> str:
    """A length of time: `12 s`, `3:20`, `1:02:03`, `4 days 1:02:03`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes}:{rest:02}"
    days, hours = divmod(hours, 24)
    clock = f"{hours}:{minutes:02}:{rest:02}"
    return f"{days} day{'s' * (days > 1)} {clock}" if days else clock


def counted(number: int, what: str) -> str:
    """`1 call`, `2 calls`, `no calls`."""
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _wrapped(text: str, width: int) -> list[str]:
    if width <= 0 or _width(text) <= width:
        return [text]
    return textwrap.wrap(text, max(width, NARROWEST), break_on_hyphens=False) or [text]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Columns on a terminal: a wide character takes two, a combining one none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF") for each in text)
