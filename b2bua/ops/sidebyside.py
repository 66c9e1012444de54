"""One message side by side, as it came and as it left, with what was hidden marked and the reason below it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from itertools import zip_longest

from b2bua.ops.log import escaped
from b2bua.ops.terminal import Look
from b2bua.sip.headers import canonical

Explain = Callable[[str], tuple[bool, str]]  # Hiding.explain

# What the hiding table has no rows for.
_FIRST_LINE = "the next hop's URI, which the rule named; nobody behind us needs what was dialled"
_SDP = {
    "o": "the origin: user name, ids and address are the leg's own",
    "s": "the caller's words for the session",
    "i": "words about the session",
    "u": "a page about the session shows where it is served",
    "e": "an e-mail address of the far side",
    "p": "a telephone number of the far side",
}
_UNTOUCHED = "crosses as it is: media goes from end to end, not through the bridge"
_ONLY_FAR = frozenset("iuep")  # lines that never cross


class Pair:
    """One line and what became of it, and why."""

    __slots__ = ("came", "left", "why")

    def __init__(self, came: str, left: str, why: str = "") -> None:
        self.came = came
        self.left = left
        self.why = why

    @property
    def mark(self) -> str:
        """A blank for the same, "~" changed, "x" hidden, "+" new."""
        if self.came == self.left:
            return " "
        if not self.left:
            return "x"
        return "~" if self.came else "+"


def compare(came: bytes, left: bytes, explain: Explain) -> list[Pair]:
    """The lines of two messages side by side, in the order in which they came."""
    head_in, body_in = _split(came)
    head_out, body_out = _split(left)
    pairs = [Pair(head_in[0], head_out[0], _FIRST_LINE)]
    ours = _by_name(head_out[1:])
    for name, lines in _by_name(head_in[1:]).items():
        crossed, why = explain(name)
        for line, sent in zip_longest(lines, ours.pop(name, []), fillvalue=""):
            reason = f"not all of it crosses: {why}" if crossed and line and sent else why
            pairs.append(Pair(line, sent, "" if line == sent else reason))
    pairs += [Pair("", line, explain(name)[1]) for name, lines in ours.items() for line in lines]
    if body_in or body_out:
        pairs.append(Pair("", ""))
        pairs += _bodies(body_in, body_out)
    return pairs


def _split(data: bytes) -> tuple[list[str], list[str]]:
    head, _, body = data.partition(b"\r\n\r\n")
    texts = (part.decode("utf-8", "replace") for part in (head, body))
    header_lines, body_lines = (text.replace("\r\n ", " ").split("\r\n") for text in texts)
    return header_lines, [line for line in body_lines if line]


def _by_name(lines: list[str]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for line in lines:
        named.setdefault(canonical(line.partition(":")[0]), []).append(line)
    return named


def _bodies(came: list[str], left: list[str]) -> list[Pair]:
    """Lines of SDP: what never crosses has no partner, all else keeps its order (S44)."""
    pairs, rest = [], list(left)
    for line in came:
        hidden = line[:1] in _ONLY_FAR and line not in rest
        sent = "" if hidden or not rest else rest.pop(0)
        why = _UNTOUCHED if line == sent and line.startswith("c=") else _SDP.get(line[:1], "")
        pairs.append(Pair(line, sent, why if line != sent or why is _UNTOUCHED else ""))
    return pairs + [Pair("", line) for line in rest]


def side_by_side(came: bytes, left: bytes, heads: tuple[str, str], explain: Explain, look: Look) -> str:
    """The drawing. `heads` says what the two columns are; `explain` is `Hiding.explain` of that direction."""
    width = (look.width - 5) // 2
    upright = look.paint("│" if look.unicode else "|", "dim")
    lines = [look.paint(heads[0].ljust(width), "bold") + f"   {upright} " + look.paint(heads[1], "bold")]
    for pair in compare(came, left, explain):
        mark = {"x": "×"}.get(pair.mark, pair.mark) if look.unicode else pair.mark
        colour = {"x": ("red",), "~": ("yellow",), "+": ("green",)}.get(pair.mark, ())
        left_lines, right_lines = _wrapped(pair.came, width), _wrapped(pair.left, width)
        for row, (one, other) in enumerate(zip_longest(left_lines, right_lines, fillvalue="")):
            sign = look.paint(mark if row == 0 else " ", *colour, "bold") if colour else " "
            lines.append(f"{look.paint(one.ljust(width), *colour)} {sign} {upright} {look.paint(other, *colour)}")
        if pair.why:
            for line in textwrap.wrap(pair.why, width - 4):
                lines.append(f"{look.paint('    ' + line.ljust(width - 4), 'dim')}   {upright}")
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(text: str, width: int) -> list[str]:
    """The line in pieces of at most `width`, the further ones indented; after a blank, comma or semicolon if it may."""
    rest, pieces, indent = escaped(text), [], ""
    while len(rest) > width - len(indent):
        room = width - len(indent)
        at = max(rest.rfind(mark, room // 2, room) for mark in " ;,") + 1 or room
        pieces.append(indent + rest[:at].rstrip())
        rest, indent = rest[at:], "  "
    return [*pieces, indent + rest]
