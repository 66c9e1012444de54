"""`python -m benchmarks`: see `--help`, and benchmarks/README.md."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import measure, relay, report
from benchmarks.packages import KAMAILIO, PHONES, RTPENGINE, missing
from benchmarks.processes import CannotMeasure, refuse_used
from benchmarks.report import Findings
from benchmarks.servers import B2BUA, ENGINED, RELAYED, TOPOS, Server
from benchmarks.sipp import Plan
from benchmarks.variants import VARIANTS, Variant

MEDIA_RATE = 100            # calls/s: b2bua and rtpengine are on one core
KINDS = ("cpu", "max", "memory", "delay", "media", "relay")


def main() -> int:
    """0: what must hold holds. 1: it does not. 2: nothing could be measured."""
    options = _options()
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    absent = missing(PHONES)
    if absent:
        print(f"cannot measure: not installed: {' '.join(absent)}", file=sys.stderr)
        return 2
    servers = _servers(options)
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-"))
    findings = Findings()
    try:
        settings = _settings(options, folder)
        os.sched_setaffinity(0, {settings.phone_core})          # our own reading of /proc is not to disturb the server
        _measure(findings, settings, options, servers)
        if "relay" in options.only:
            steps = 3 if options.quick else relay.STEPS
            findings.relay += relay.measure(settings.server_core, settings.phone_core, steps)
        print(flush=True)
        print(report.tables(findings, settings))
        if options.json:
            report.write(findings, settings, options.json)
    except CannotMeasure as reason:
        print(f"cannot measure: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        if options.keep:
            print(f"logs in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if findings.failures() else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What a call costs b2bua, beside Kamailio topos + redis.")
    parser.add_argument("--quick", action="store_true", help="about a minute: CPU in all variants, the rest in one")
    parser.add_argument("--variants", default="abcd", help="of a UDP to UDP, b to TCP, c to TLS, d IPv6 to IPv4")
    parser.add_argument("--only", default=",".join(KINDS), help="some of " + ",".join(KINDS))
    parser.add_argument("--rate", type=float, default=300, help="calls/s for cpu (300)")
    parser.add_argument("--max-rate", type=float, default=700, help="calls/s for max (700)")
    parser.add_argument("--seconds", type=float, help="length of a cpu or max run (8, with --quick 2)")
    parser.add_argument("--rounds", type=int, help="cpu runs of each server, in turn (3, with --quick 1)")
    parser.add_argument("--calls", type=int, default=10000, help="calls held for memory (10000)")
    parser.add_argument("--no-kamailio", action="store_true", help="b2bua alone")
    parser.add_argument("--no-b2bua", action="store_true", help="Kamailio alone")
    parser.add_argument("--foreign", type=float, default=0.10,
                        help="share of the server's core that others may use before a run is made again (0.10)")
    parser.add_argument("--nice", type=int, default=0,
                        help="priority of all programs; below 0 (root) on a busy machine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--keep", action="store_true", help="keep the logs of the programs")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if not set(options.only) <= set(KINDS) or not set(options.variants) <= set(VARIANTS) or not options.variants:
        parser.error(f"--only takes {','.join(KINDS)}; --variants takes letters of {''.join(VARIANTS)}")
    if options.no_kamailio and options.no_b2bua:
        parser.error("nothing is left to measure")
    options.seconds = options.seconds or (2 if options.quick else 8)
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def _settings(options: argparse.Namespace, folder: Path) -> measure.Settings:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise CannotMeasure("two cores are needed, one for the server and one for SIPp")
    settings = measure.Settings(
        folder, cores[0], cores[1], nice=options.nice, foreign=options.foreign,
        standard=Plan(options.rate, round(options.rate * options.seconds)),
        highest=Plan(options.max_rate, round(options.max_rate * options.seconds)),
        held=Plan(400, options.calls, hold=600),
        media=Plan(MEDIA_RATE, round(MEDIA_RATE * options.seconds)))
    if options.quick:
        settings = dataclasses.replace(settings, warm=Plan(200, 100, hold=0.05), delay=Plan(200, 400), again=0)
    return settings


def _servers(options: argparse.Namespace) -> list[Server]:
    servers = [] if options.no_b2bua else [B2BUA]
    if not options.no_kamailio:
        absent = missing(KAMAILIO)
        if absent:
            print(f"SKIPPED: Kamailio topos + redis, not installed: {' '.join(absent)}")
        else:
            servers.append(TOPOS)
    return servers


def _anchoring(options: argparse.Namespace) -> list[Server]:
    """b2bua without media, and before whoever can carry it."""
    if options.no_b2bua or "media" not in options.only:
        return []
    absent = missing(RTPENGINE)
    if absent:
        print(f"SKIPPED: CPU per call with rtpengine, not installed: {' '.join(absent)}")
    return [B2BUA, RELAYED] if absent else [B2BUA, ENGINED, RELAYED]


def _measure(findings: Findings, settings: measure.Settings, options: argparse.Namespace,
             servers: list[Server]) -> None:
    """All that was asked for, in an order in which the servers take turns: both meet the same machine."""
    variants = [VARIANTS[letter] for letter in sorted(set(options.variants))]
    refuse_used({socket for variant in variants for socket in (*variant.server_sockets(), *variant.phone_sockets())})
    jobs = _jobs(findings, options, servers, variants)
    failed: set[tuple[str, str, str]] = set()
    began = time.monotonic()
    for at, job in enumerate(jobs, 1):
        title = (job.kind, job.variant.letter, job.server.name)
        if title in failed:
            continue
        print(f"{at:3} of {len(jobs)}, {time.monotonic() - began:3.0f} s: {' '.join(title)}", flush=True)
        try:
            job.figures.append(job.run(job.server, job.variant, settings))
        except CannotMeasure as reason:
            print(f"    {reason}", flush=True)
            failed.add(title)
            ours = job.server is B2BUA and job.kind in ("cpu", "max")
            lines = str(reason).splitlines()
            (findings.broken if ours else findings.unmeasured).append(
                f"{' '.join(title)}: {' ... '.join(dict.fromkeys((lines[0], lines[-1])))}")


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One measurement of one server in one variant, and the list where its figure belongs."""

    kind: str
    run: Callable[[Server, Variant, measure.Settings], object]
    figures: list[object]
    server: Server
    variant: Variant


def _jobs(findings: Findings, options: argparse.Namespace, servers: list[Server],
          variants: list[Variant]) -> list[Job]:
    """Held calls, idling and media do not depend on the way through: they are measured in the first variant only."""
    first, some = variants[:1], variants[:1] if options.quick else variants
    wanted: list[tuple[str, str, Callable[..., object], list[Any], list[Variant], list[Server]]] = [
        *[("cpu", "cpu", measure.cost, findings.cost, variants, servers)] * options.rounds,
        ("max", "max", measure.highest, findings.highest, some, servers[:1] if options.quick else servers),
        ("delay", "delay", measure.delay, findings.delay, some, servers),
        ("media", "media", measure.anchored, findings.media, first, _anchoring(options)),
    ]
    if not options.quick:
        wanted += [("cpu", "rest", measure.rest, findings.rest, first, servers),
                   ("memory", "memory", measure.memory, findings.memory, first, servers)]
    return [Job(kind, run, figures, server, variant) for asked, kind, run, figures, ways, chosen in wanted
            if asked in options.only for variant in ways for server in chosen]


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(143)                                               # by way of every `with` and `finally`


if __name__ == "__main__":
    sys.exit(main())
