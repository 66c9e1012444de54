"""The measurements: processor time, the highest rate, memory and delay of one server in one variant.

Each one starts a fresh server, warms it up, makes a bounded number of calls in a bounded time and ends what it has
started. What others did on the server's core meanwhile is noted: a run that they disturbed is made again, a few times.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import capture
from benchmarks.processes import CannotMeasure, Process, core_seconds
from benchmarks.servers import Running, Server
from benchmarks.sipp import Phone, Plan, callee, caller
from benchmarks.variants import Variant

AFTER = 0.5                         # seconds after the last call that still count


@dataclass(frozen=True, slots=True)
class Settings:
    """How much of everything."""

    folder: Path                    # for all that the programs write
    server_core: int = 0
    phone_core: int = 1
    nice: int = 0
    foreign: float = 0.10           # share of the server's core that others may use
    again: int = 2                  # a run that they disturbed is made again at most this often
    warm: Plan = Plan(rate=200, calls=200, hold=0.05)
    standard: Plan = Plan(rate=300, calls=2400)
    highest: Plan = Plan(rate=700, calls=7000)
    held: Plan = Plan(rate=400, calls=10000, hold=600)
    settle: float = 36.0            # seconds after the load: the longest timer of a transaction is 64*T1 = 32 s
    delay: Plan = Plan(rate=200, calls=2000)
    media: Plan = Plan(rate=100, calls=800)
    say: Callable[[str], None] = print
    numbers: Iterator[int] = field(default_factory=itertools.count)       # of the folders


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """One run of a plan: what came of the calls, and what they cost."""

    server: str
    variant: str
    rate: float
    calls: int
    lost: int                       # not completed on both ends
    again: int                      # messages that SIPp sent again or received again
    hold: float                     # seconds each was held
    seconds: float
    processor: dict[str, float]     # CPU-milliseconds per completed call, by program
    foreign: float                  # share of the server's core that others used
    stalls: int                     # how often SIPp itself did not run for 200 ms or more
    complaints: str = ""

    @property
    def cost(self) -> float:
        """CPU-milliseconds per completed call, all programs of the server."""
        return sum(self.processor.values())

    @property
    def reached(self) -> float:
        """Calls a second that SIPp really made."""
        return self.calls / (self.seconds - self.hold)

    @property
    def retransmitted(self) -> float:
        """Percent of calls."""
        return 100 * self.again / self.calls


@dataclass(frozen=True, slots=True)
class Rest:
    """What a server does when there is no call: CPU-milliseconds a second before any, and per call that has ended."""

    server: str
    variant: str
    idle: float
    later: float                    # CPU-milliseconds per call in `seconds` after the load, idling not counted
    seconds: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes (PSS) of all programs of a server, for so many calls held."""

    server: str
    variant: str
    calls: int
    held: int                       # calls that were set up
    before: int
    filled: int                     # just after the last ACK
    settled: int                    # when the transactions of the set-up are gone

    @property
    def per_10000(self) -> float:
        return (self.settled - self.before) * 10000 / max(self.held, 1)


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds that the server adds between INVITE and 180, over `calls` calls."""

    server: str
    variant: str
    rate: float
    calls: int
    seen: int
    p50: float
    p95: float
    p99: float
    foreign: float
    stalls: int


def cost(server: Server, variant: Variant, settings: Settings) -> Load:
    """CPU time per call at the standard rate."""
    return _undisturbed(settings, lambda: _fresh(server, variant, settings, settings.standard))


def anchored(server: Server, variant: Variant, settings: Settings) -> Load:
    """CPU time per call where media may be anchored."""
    return _undisturbed(settings, lambda: _fresh(server, variant, settings, settings.media))


def highest(server: Server, variant: Variant, settings: Settings) -> Load:
    """Whether the highest rate asked is carried with nothing lost. A clean run is a clean run, whatever others did."""
    return _undisturbed(settings, lambda: _fresh(server, variant, settings, settings.highest),
                        enough=lambda load: load.lost == 0 and load.retransmitted < 1)


def rest(server: Server, variant: Variant, settings: Settings) -> Rest:
    """What is spent without calls, and after them: timers that run out, dialogs and transactions that are let go."""
    with _start(server, variant, settings) as running:
        idle = _spent(running, 3.0) / 3.0
        load = _load(running, settings.standard, settings)
        later = _spent(running, settings.settle) - idle * settings.settle
    return Rest(server.name, variant.letter, 1000 * idle, 1000 * later / max(load.calls - load.lost, 1),
                settings.settle)


def memory(server: Server, variant: Variant, settings: Settings) -> Memory:
    """Hold many calls at once. Caller and callee are ended with their calls open."""
    plan, core, nice = settings.held, settings.phone_core, settings.nice
    with _start(server, variant, settings) as running:
        _warm(running, settings)
        before = sum(running.memory().values())
        with (callee(variant, running.folder / "callee", running.folder, core, nice),
              caller(variant, plan, running.folder / "caller", core, nice) as phone):
            phone.wait(plan.calls / plan.rate + 1)
            end = time.monotonic() + 30
            while phone.counts().acknowledged < plan.calls and time.monotonic() < end:
                time.sleep(0.5)
            filled = sum(running.memory().values())
            time.sleep(settings.settle)
            settled = sum(running.memory().values())
            running.check()
            held = phone.counts()
    return Memory(server.name, variant.letter, plan.calls, held.acknowledged - held.failed, before, filled, settled)


def delay(server: Server, variant: Variant, settings: Settings) -> Delays:
    """From a capture of the loopback device."""
    if not capture.possible():
        raise CannotMeasure("reading packets needs root")

    plan = settings.delay
    found: dict[Load, list[float]] = {}

    def once() -> Load:
        with _start(server, variant, settings) as running:
            _warm(running, settings)
            command = capture.recorder(variant, plan.seconds + 10, running.folder)
            with Process(command, settings.phone_core, settings.nice) as recorder:
                recorder.wait_ready()
                load = _load(running, plan, settings)
        found[load] = sorted(1000 * one.added for one in capture.delays(running.folder, variant))
        return load

    load = _undisturbed(settings, once)
    added = found[load]
    if len(added) < 100:
        raise CannotMeasure(f"only {len(added)} of {load.calls} calls were seen whole")
    p50, p95, p99 = (added[math.ceil(share * len(added)) - 1] for share in (0.50, 0.95, 0.99))
    return Delays(server.name, variant.letter, plan.rate, load.calls, len(added), p50, p95, p99, load.foreign,
                  load.stalls)


def _undisturbed(settings: Settings, run: Callable[[], Load], enough: Callable[[Load], bool] = lambda _: False) -> Load:
    """Repeat a run while others disturb it; if they always do, the one they disturbed least."""
    loads = []
    for _ in range(1 + settings.again):
        load = run()
        loads.append(load)
        if enough(load) or (load.foreign <= settings.foreign and not load.stalls):
            return load
        settings.say(f"    disturbed: others used {load.foreign:.0%} of the server's core"
                     + (f", SIPp stalled {load.stalls} times" if load.stalls else ""))
    return min(loads, key=lambda load: (load.stalls, load.foreign))


def _fresh(server: Server, variant: Variant, settings: Settings, plan: Plan) -> Load:
    with _start(server, variant, settings) as running:
        _warm(running, settings)
        return _load(running, plan, settings)


def _start(server: Server, variant: Variant, settings: Settings) -> Running:
    folder = settings.folder / f"{next(settings.numbers)}-{server.name}-{variant.letter}"
    return Running(server, variant, folder, settings.server_core, settings.nice)


def _spent(running: Running, seconds: float) -> float:
    """CPU-seconds that the server uses in this time, left to itself."""
    before = sum(running.processor().values())
    time.sleep(seconds)
    return sum(running.processor().values()) - before


def _warm(running: Running, settings: Settings) -> None:
    _load(running, settings.warm, settings, "warm-up", after=0.0)


def _load(running: Running, plan: Plan, settings: Settings, name: str = "run", after: float = AFTER) -> Load:
    variant, core, nice = running.variant, settings.phone_core, settings.nice
    folder = running.folder / name
    with callee(variant, folder / "callee", running.folder, core, nice) as called:
        before, busy, began = running.processor(), core_seconds(settings.server_core), time.monotonic()
        with caller(variant, plan, folder / "caller", core, nice) as calling:
            calling.wait(plan.seconds + 3)
            seconds = time.monotonic() - began
            time.sleep(after)
            used = {name: total - before[name] for name, total in running.processor().items()}
            busy = core_seconds(settings.server_core) - busy
            calling.leave()
        called.leave()
    running.check()
    return _result(running, plan, seconds, used, busy, (calling, called))


def _result(running: Running, plan: Plan, seconds: float, used: dict[str, float], busy: float,
            phones: tuple[Phone, Phone]) -> Load:
    counts = [phone.counts() for phone in phones]
    completed = min(count.completed for count in counts)
    if not completed:
        raise CannotMeasure(f"{running.server.name} in variant {running.variant.letter} completed no call"
                            f"\n{''.join(phone.complaints() for phone in phones)}")
    return Load(running.server.name, running.variant.letter, plan.rate, plan.calls, plan.calls - completed,
                sum(count.again for count in counts), plan.hold, seconds,
                {name: 1000 * spent / completed for name, spent in used.items()},
                max(0.0, busy - sum(used.values())) / (seconds + AFTER),
                sum(phone.stalls() for phone in phones),
                "".join(phone.complaints() for phone in phones))
