"""Caller and callee, played by SIPp, and what they counted."""

from __future__ import annotations

import csv
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks.packages import program
from benchmarks.processes import Command, Process, refuse_used
from benchmarks.servers import CERTIFICATE, HERE, KEY
from benchmarks.variants import CALLER_PORT, Variant

GRACE = 20                      # seconds given to open calls after the last one has begun
_AT_ONCE = 18000                # calls SIPp may hold open
_LONGEST = 900                  # seconds after which a forgotten callee ends by itself


@dataclass(frozen=True, slots=True)
class Plan:
    """Calls to be made: how many, how many a second, how long each is held (seconds)."""

    rate: float
    calls: int
    hold: float = 0.1

    @property
    def seconds(self) -> float:
        """The longest it may take."""
        return self.calls / self.rate + self.hold + GRACE


@dataclass(frozen=True, slots=True)
class Counts:
    """What one SIPp has counted. `again`: messages that it sent again or received again."""

    created: int = 0
    completed: int = 0
    failed: int = 0
    again: int = 0
    acknowledged: int = 0       # ACKs that it sent, on the caller's side: calls that were set up


class Phone:
    """One SIPp in a folder of its own, perhaps with a TLS front."""

    def __init__(self, folder: Path, core: int, nice: int, commands: list[Command]) -> None:
        self._folder, self._core, self._nice, self._commands = folder, core, nice, commands
        self._ends = ExitStack()
        self._sipp: Process | None = None

    def __enter__(self) -> Phone:
        with ExitStack() as ends:
            for command in self._commands:              # the last one is SIPp
                self._sipp = ends.enter_context(Process(command, self._core, self._nice))
                self._sipp.wait_ready()
            self._ends = ends.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ends.close()

    def wait(self, seconds: float) -> bool:
        """True if it made all its calls in this time."""
        return self._sipp is not None and self._sipp.wait(seconds)

    def leave(self) -> None:
        """Have it write its last counts and end."""
        for _ in range(2):                              # the first asks for an end after the open calls, the second now
            if self._sipp is not None:
                self._sipp.signal(signal.SIGUSR1)
                if self._sipp.wait(1.5):
                    return

    def counts(self) -> Counts:
        """Its counts: the last it has written, at most a second old while it runs."""
        totals = _last_row(self._folder / "totals.csv")
        messages: dict[str, int] = {}
        for path in self._folder.glob("*_counts.csv"):
            messages = _last_row(path)
        return Counts(
            totals.get("TotalCallCreated", 0), totals.get("SuccessfulCall(C)", 0), totals.get("FailedCall(C)", 0),
            sum(number for name, number in messages.items() if name.endswith("_Retrans")),
            sum(number for name, number in messages.items() if name.endswith("_ACK_Sent")))

    def stalls(self) -> int:
        """How often SIPp itself was kept from running for 200 ms or more."""
        return self._errors().count("Overload warning")

    def complaints(self) -> str:
        """The beginning of what SIPp wrote about unexpected messages."""
        return self._errors()[:800]

    def _errors(self) -> str:
        path = self._folder / "errors.log"
        return path.read_text(errors="replace") if path.exists() else ""


def callee(variant: Variant, folder: Path, certificates: Path, core: int, nice: int) -> Phone:
    """The callee of this variant; it answers every call until it is told to leave."""
    refuse_used(variant.phone_sockets())
    folder.mkdir(parents=True)
    commands = []
    if variant.front:
        configuration = folder / "stunnel.conf"
        configuration.write_text(
            f"foreground = yes\npid =\nsyslog = no\ndebug = 3\n[callee]\n"
            f"accept = {variant.front.address}:{variant.front.port}\n"
            f"connect = {variant.callee.address}:{variant.callee.port}\n"
            f"cert = {certificates / CERTIFICATE}\nkey = {certificates / KEY}\n")
        commands.append(Command("stunnel", [program("stunnel4"), str(configuration)], folder, [variant.front]))
    commands.append(Command("callee", [
        *_common("callee.xml", variant.callee.address, variant.callee.port),
        "-t", "u1" if variant.callee.transport == "udp" else "t1", "-timeout", f"{_LONGEST}s",
        "-key", "contact_port", str(variant.contact_port), "-key", "contact_transport", variant.transport],
        folder, [variant.callee], environment={"TERM": "dumb"}))
    return Phone(folder, core, nice, commands)


def caller(variant: Variant, plan: Plan, folder: Path, core: int, nice: int) -> Phone:
    """The caller of this variant; it makes the calls of the plan and ends."""
    folder.mkdir(parents=True)
    command = Command("caller", [
        *_common("caller.xml", variant.caller, CALLER_PORT), "-t", "u1", "-cid_str", "%u-%p",
        "-r", str(plan.rate), "-m", str(plan.calls), "-d", str(round(1000 * plan.hold)), "-timer_resol", "1",
        "-timeout", f"{round(plan.seconds)}s", _uri_host(variant.outside.address, variant.outside.port)],
        folder, environment={"TERM": "dumb"})
    return Phone(folder, core, nice, [command])


def _common(scenario: str, address: str, port: int) -> list[str]:
    return [program("sipp"), "-sf", str(HERE / "scenarios" / scenario),
            "-i", f"[{address}]" if ":" in address else address, "-p", str(port),
            "-l", str(_AT_ONCE), "-buff_size", "4194304", "-nostdin", "-nd", "-fd", "1",
            "-watchdog_interval", "100", "-watchdog_minor_threshold", "200", "-watchdog_minor_maxtriggers", "100000",
            "-trace_stat", "-stf", "totals.csv", "-trace_counts", "-trace_err", "-error_file", "errors.log"]


def _uri_host(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _last_row(path: Path) -> dict[str, int]:
    """The whole numbers of the last complete row, by the names in the first."""
    if not path.exists():
        return {}
    with path.open(newline="", errors="replace") as lines:
        rows = [row for row in csv.reader(lines, delimiter=";") if row]
    if len(rows) < 2:
        return {}
    whole = [row for row in rows[1:] if len(row) >= len(rows[0]) - 1]
    return {name: int(value) for name, value in zip(rows[0], whole[-1] if whole else [], strict=False)
            if value.isdigit()}
