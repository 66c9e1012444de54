"""A call as a ladder: caller, bridge and callee as three uprights, each message as an arrow between two of them.

    print(ladder(call.history, ("caller", "bridge", "callee"), Look.of(sys.stdout)))

    0.000   |--------- INVITE --------->|                           |
    0.001   |<------- 100 Trying -------|                           |
    0.001   |                           |--------- INVITE --------->|

The steps are a call's own (`Call.history`), or made of captured messages (`steps_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from b2bua.call.call import Step
from b2bua.ops.log import escaped
from b2bua.ops.phone import direction_of
from b2bua.ops.terminal import Look
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request, Response, parse

MARGIN = 10  # columns of the times
WIDEST = 42  # columns between two uprights, at most


class Captured(NamedTuple):
    """One message as it stood on the wire. `near` is the caller's side, `outward` is from the bridge to a peer."""

    at: float
    near: bool
    outward: bool
    data: bytes


def steps_of(captured: Iterable[Captured]) -> list[Step]:
    """Captured messages as a ladder's steps, with what matters of their bodies."""
    return [Step(each.at, each.near, each.outward, _label(each.data)) for each in captured]


def _label(data: bytes) -> str:
    try:
        message = parse(data)
    except Malformed:
        return "(no SIP)"
    if isinstance(message, Response):
        return f"{message.status} {message.reason}"
    assert isinstance(message, Request), "there is no third kind"
    if message.method == "INVITE" and message.to.tag and message.body:
        direction = direction_of(message.body)
        return f"INVITE ({'resume' if direction == 'sendrecv' else 'hold'})"
    if message.method == "INFO" and (digit := message.body.partition(b"Signal=")[2][:1].decode("ascii", "replace")):
        return f"INFO (digit {digit})"
    return message.method


def ladder(steps: Sequence[Step], heads: Sequence[tuple[str, ...]], look: Look) -> str:
    """The drawing. `heads` is what stands above each of the three uprights, in as many lines as each needs."""
    span = min(WIDEST, (look.width - MARGIN - 3) // 2 - 1)
    lines = _heads(heads, span, look)
    upright = look.paint("│" if look.unicode else "|", "dim")
    gap = " " * span
    start = steps[0].at if steps else 0.0
    for step in steps:
        right = step.near is not step.outward  # from the caller inwards, or outwards to the callee
        arrow = _arrow(step.label, span, right, look)
        between = [arrow, gap] if step.near else [gap, arrow]
        time = look.paint(f"{step.at - start:8.3f}  ", "dim")
        lines.append(time + upright + between[0] + upright + between[1] + upright)
    return "\n".join(line.rstrip() for line in lines)


def _heads(heads: Sequence[tuple[str, ...]], span: int, look: Look) -> list[str]:
    """The three captions, each in the middle above its upright as far as the width allows."""
    lines = []
    for row in range(max(len(head) for head in heads)):
        line = ""
        for column, head in enumerate(heads):
            text = escaped(head[row]) if row < len(head) else ""
            middle = MARGIN + column * (span + 1)
            start = min(middle - len(text) // 2, look.width - len(text))
            line = line.ljust(max(len(line) + bool(line), start)) + text
        lines.append(look.paint(line, "bold") if row == 0 else line)
    return lines


def _arrow(label: str, span: int, right: bool, look: Look) -> str:
    shaft, tip, tail = ("─", "▶", "◀") if look.unicode else ("-", ">", "<")
    text = f" {escaped(label)} "[: span - 4]
    before = (span - len(text)) // 2
    after = span - len(text) - before
    colour = _colour(label)
    left_end = shaft * before if right else tail + shaft * (before - 1)
    right_end = shaft * (after - 1) + tip if right else shaft * after
    return look.paint(left_end, colour) + look.paint(text, colour, "bold") + look.paint(right_end, colour)


def _colour(label: str) -> str:
    if not label[:1].isdigit():
        return "cyan"
    return {"1": "yellow", "2": "green"}.get(label[0], "red")
