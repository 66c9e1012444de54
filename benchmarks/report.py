"""What was measured, for people (tables with verdicts) and for programs (JSON)."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.interpreter import interpreter
from benchmarks.measure import Delays, Load, Memory, Rest, Settings
from benchmarks.relay import Carried, line
from benchmarks.variants import VARIANTS

OURS, THEIRS = "b2bua", "topos"
LIMIT = 1.0                             # of the CPU per call of topos
ENOUGH = 0.9                            # of the rate asked: with less, SIPp did not test what it should
_MB = 1 << 20


@dataclass(slots=True)
class Findings:
    """All that a run has measured, in the order in which it was."""

    cost: list[Load] = field(default_factory=list)
    highest: list[Load] = field(default_factory=list)
    rest: list[Rest] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    delay: list[Delays] = field(default_factory=list)
    media: list[Load] = field(default_factory=list)         # b2bua, with media anchored nowhere and by who carries it
    relay: list[Carried] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)     # what could not be measured, and why
    broken: list[str] = field(default_factory=list)         # what b2bua did not do at all

    def failures(self) -> list[str]:
        """What does not hold of what must: cost within LIMIT of topos, nothing lost at the highest rate."""
        found = list(self.broken)
        for letter in _letters(self.cost):
            ours, theirs = _costs(self.cost, OURS, letter), _costs(self.cost, THEIRS, letter)
            if ours and theirs and median(ours) > LIMIT * median(theirs):
                found.append(f"{letter}: {median(ours) / median(theirs):.2f} × topos in CPU per call")
        for load in (*self.cost, *self.highest):
            if load.server == OURS and load.lost:
                found.append(f"{load.variant}: {load.lost} of {load.calls} calls lost at {load.rate:g} calls/s"
                             + (" (SIPp itself stalled)" if load.stalls else ""))
            if load.server == OURS and load.reached < ENOUGH * load.rate:
                found.append(f"{load.variant}: {load.reached:.0f} calls/s made instead of {load.rate:g}")
        return found


def tables(findings: Findings, settings: Settings) -> str:
    """Everything that was found, as text."""
    parts = [f"{_machine()}; server on core {settings.server_core}, SIPp on core {settings.phone_core}; calls of "
             f"{settings.standard.hold * 1000:g} ms, 6 messages in and 7 out at the server"]
    for part in (_cost(findings), _highest(findings), _rest(findings), _memory(findings), _delay(findings),
                 _media(findings)):
        if part:
            parts.append(part)
    if findings.relay:
        parts.append(line(findings.relay))
    if findings.unmeasured:
        parts.append("Not measured\n" + "\n".join(f"  {reason}" for reason in findings.unmeasured))
    failures = findings.failures()
    if failures:
        parts.append("FAIL\n" + "\n".join(f"  {failure}" for failure in failures))
    elif any(load.server == OURS for load in (*findings.cost, *findings.highest)):
        parts.append("PASS")
    return "\n\n".join(parts)


def write(findings: Findings, settings: Settings, path: Path) -> None:
    """The same as JSON: a list for each kind of measurement, figures in the units of measure.py."""
    path.write_text(json.dumps({
        "machine": _machine(), "server_core": settings.server_core, "phone_core": settings.phone_core,
        "failures": findings.failures(), **dataclasses.asdict(findings)}, indent=1, ensure_ascii=False) + "\n")


def _cost(findings: Findings) -> str:
    loads = findings.cost
    if not loads:
        return ""
    rows = []
    for letter in _letters(loads):
        ours, theirs = _costs(loads, OURS, letter), _costs(loads, THEIRS, letter)
        ratio = median(ours) / median(theirs) if ours and theirs else 0.0
        mine = [load for load in loads if load.variant == letter]
        rows.append([
            _title(letter), _spread(ours), _spread(theirs), f"{ratio:.2f}" if ratio else "",
            ("pass" if ratio <= LIMIT else "FAIL") if ratio else "",
            *(f"{_worst(mine, OURS, what)} ({_worst(mine, THEIRS, what)})" for what in ("lost", "retransmitted")),
            _disturbed(max(load.foreign for load in mine), max(load.stalls for load in mine))])
    return (f"CPU-ms per call at {loads[0].rate:g} calls/s: median (lowest to highest), all processes of the server, "
            "redis with topos\n"
            + _table(["", "b2bua", "topos + redis", "ratio", f"≤ {LIMIT:.1f}", "lost (topos)",
                      "again % (topos)", "foreign"], rows))


def _highest(findings: Findings) -> str:
    if not findings.highest:
        return ""
    rows = [[_title(load.variant), load.server, f"{load.rate:g}", str(load.calls), str(load.lost),
             f"{load.retransmitted:.2f}", f"{load.cost:.2f}", _disturbed(load.foreign, load.stalls),
             "" if load.server != OURS else "FAIL" if load.lost else "pass"] for load in findings.highest]
    return "One core at a high rate\n" + _table(
        ["", "", "calls/s", "calls", "lost", "again %", "CPU-ms", "foreign", "none lost"], rows)


def _rest(findings: Findings) -> str:
    if not findings.rest:
        return ""
    rows = [[_title(rest.variant), rest.server, f"{rest.idle:.2f}", f"{rest.later:.3f}"] for rest in findings.rest]
    return (f"Beside the calls: CPU-ms a second when idle, CPU-ms per call in the {findings.rest[0].seconds:g} s after "
            "it has ended\n" + _table(["", "", "idle", "later"], rows))


def _memory(findings: Findings) -> str:
    if not findings.memory:
        return ""
    rows = [[_title(one.variant), one.server, f"{one.held} of {one.calls}", f"{one.before / _MB:.0f}",
             f"{one.filled / _MB:.0f}", f"{one.settled / _MB:.0f}", f"{one.per_10000 / _MB:.0f}"]
            for one in findings.memory]
    return "Memory (PSS), MB\n" + _table(
        ["", "", "calls held", "before", "at the last ACK", "settled", "per 10,000"], rows)


def _delay(findings: Findings) -> str:
    if not findings.delay:
        return ""
    rows = [[_title(one.variant), one.server, f"{one.seen} of {one.calls}", f"{one.p50:.2f}", f"{one.p95:.2f}",
             f"{one.p99:.2f}", _disturbed(one.foreign, one.stalls)] for one in findings.delay]
    return (f"Added delay INVITE → 180 at {findings.delay[0].rate:g} calls/s, ms (the callee's own time taken off)\n"
            + _table(["", "", "calls", "p50", "p95", "p99", "foreign"], rows))


def _media(findings: Findings) -> str:
    """A line for each who carries media, and one for the same calls without."""
    lines = []
    for load in findings.media:
        who = "media anchored nowhere" if load.server == OURS else load.server
        parts = " + ".join(f"{name} {cost:.2f}" for name, cost in reversed(load.processor.items()))
        lost = f", {load.lost} of {load.calls} calls lost" if load.lost else ""
        how = f"{_title(load.variant)} at {load.rate:g} calls/s{lost}, foreign {_disturbed(load.foreign, load.stalls)}"
        lines.append(f"CPU per call with {who}: {parts} ms; {how}")
    return "\n".join(lines)


def _letters(loads: Sequence[Load]) -> list[str]:
    return sorted({load.variant for load in loads})


def _title(letter: str) -> str:
    return f"{letter} {VARIANTS[letter].title}"


def _costs(loads: Sequence[Load], server: str, letter: str) -> list[float]:
    return [load.cost for load in loads if load.server == server and load.variant == letter]


def _spread(costs: Sequence[float]) -> str:
    if not costs:
        return "-"
    return f"{median(costs):.2f}" + (f" ({min(costs):.2f}-{max(costs):.2f})" if len(costs) > 1 else "")


def _worst(loads: Sequence[Load], server: str, what: str) -> str:
    values = [load.lost if what == "lost" else load.retransmitted for load in loads if load.server == server]
    if not values:
        return "-"
    return str(max(values)) if what == "lost" else f"{max(values):.2f}"


def _disturbed(foreign: float, stalls: int) -> str:
    return f"{foreign:.0%}" + (f", {stalls} stalls" if stalls else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart: the first two to the left, figures to the right."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    lines = []
    for row in (head, *rows):
        cells = [cell.ljust(width) if at == 0 or not any(ch.isdigit() for ch in rows[0][at]) else cell.rjust(width)
                 for at, (cell, width) in enumerate(zip(row, widths, strict=True))]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def _machine() -> str:
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    path, version = interpreter()
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, b2bua on Python {version} ({path})"
