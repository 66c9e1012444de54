"""How many streams the built-in relay carries on one core: `python -m benchmarks.relay`, about 20 s.

The relay runs in a process of its own, on one core, with so many calls; this process, on another core, is both ends of
them all. Each end sends 172 octets every 20 ms, as G.711 does. The more calls, until 0.1 % of the packets are lost
between the sending socket and the relay, or until its core is full. A stream is one direction; a call has two.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.interpreter import environment, interpreter
from benchmarks.processes import CannotMeasure

ENDS = ("127.0.0.11", 17000), ("127.0.0.12", 17000)
OURS = "127.0.0.1", "127.0.0.2"
FIRST, LAST = 20000, 59999
PACKET = b"\x80\x00" + bytes(170)
APART, SECONDS, STEPS = 0.02, 2.0, 6        # between two packets; of one run; runs at most
SLICES = 20                                 # parts of these 20 ms, each with its share of the packets
LOSS, FULL = 0.001, 0.97                    # of the packets; of the core
MOST = 4500                                 # calls, of four sockets each


@dataclass(frozen=True, slots=True)
class Carried:
    """One run: calls, packets sent to the relay and taken by it, the share of its core that it used."""

    calls: int
    sent: int
    taken: int
    core: float
    late: float                             # by how much the sender was slower than it should have been

    @property
    def streams(self) -> int:
        """One for each direction."""
        return 2 * self.calls

    @property
    def fits(self) -> bool:
        """Whether the relay could carry that."""
        return self.taken >= (1 - LOSS) * self.sent and self.core < FULL

    @property
    def microseconds(self) -> float:
        """Of processor time, for one packet."""
        return 1e6 * self.core * (SECONDS + self.late) / max(self.taken, 1)


def measure(relay_core: int, phone_core: int, steps: int = STEPS) -> list[Carried]:
    """All runs, in their order. CannotMeasure where there is none."""
    found: list[Carried] = []
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {phone_core})
    try:
        calls, good, bad = 200, 0, MOST + 1
        for _ in range(steps):
            run = _run(calls, relay_core)
            found.append(run)
            good, bad = (max(good, calls), bad) if run.fits else (good, min(bad, calls))
            if bad - good < 0.05 * bad:
                break
            guess = round(min(0.95 / max(run.core, 0.01), 4) * calls) if bad > MOST else (good + bad) // 2
            calls = min(max(guess, round(1.1 * good) if bad > MOST else good + 1), bad - 1)
    finally:
        os.sched_setaffinity(0, before)
    return found


def line(runs: list[Carried]) -> str:
    """The best of them, for people."""
    fit = [run for run in runs if run.fits]
    if not fit:
        return "the relay carried no load without loss"
    best = max(fit, key=lambda run: run.calls)
    text = (f"relay: {best.streams} streams on one core ({best.calls} calls of two, 172 octets every 20 ms): "
            f"{best.taken / (SECONDS + best.late):.0f} packets/s, {100 * best.core:.0f} % of the core, "
            f"{100 * (1 - best.taken / best.sent):.2f} % lost, {best.microseconds:.1f} µs each")
    return text + ("; the sender was the limit" if best.late > 0.05 * SECONDS else "")


# -- both ends


def _run(calls: int, core: int) -> Carried:
    command = [interpreter()[0], "-m", "benchmarks.relay", "serve", str(calls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment()},
                          preexec_fn=lambda: os.sched_setaffinity(0, {core})) as server, _ends() as ends:
        try:
            targets = _asked(server)
            _asked(server, b"\n")
            sent, late = _talk(ends, targets)
            told = _asked(server, b"\n")
            return Carried(calls, sent, told["taken"], told["used"] / told["seconds"], late)
        finally:
            server.kill()


def _asked(server: subprocess.Popen[bytes], word: bytes = b"") -> Any:
    assert server.stdin is not None and server.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        server.stdin.write(word)
        server.stdin.flush()
    said = server.stdout.readline()
    if not said:
        raise CannotMeasure("the relay ended")
    return json.loads(said)


@contextlib.contextmanager
def _ends() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in ENDS]
        for end, place in zip(ends, ENDS, strict=True):
            end.setblocking(False)
            try:
                end.bind(place)
            except OSError as error:
                raise CannotMeasure(f"{place[0]}:{place[1]}: {error.strerror}")
        yield ends


def _talk(ends: list[socket.socket], targets: list[list[int]]) -> tuple[int, float]:
    """Everybody speaks for a while; how many packets that was, and how many seconds more it took than it should."""
    work = [(end.sendto, (OURS[at], ports[at])) for ports in targets for at, end in enumerate(ends)]
    slices = [work[at::SLICES] for at in range(SLICES)]
    buffer, sent, ticks = bytearray(2048), 0, 0
    began = due = time.monotonic()
    while ticks < SECONDS / APART * SLICES:
        for send, place in slices[ticks % SLICES]:
            try:
                send(PACKET, place)
                sent += 1
            except BlockingIOError:
                continue
        for end in ends:
            with contextlib.suppress(BlockingIOError):
                for _ in range(64):             # what is not read the kernel drops; the relay's work is done by then
                    end.recv_into(buffer)
        ticks += 1
        due += APART / SLICES
        time.sleep(max(0.0, due - time.monotonic()))
    return sent, max(0.0, time.monotonic() - began - SECONDS)


# -- the relay


def serve(calls: int) -> None:
    """So many calls; says its ports, then at each line that it reads what it has done since the last."""
    from twisted.internet import reactor, stdio
    from twisted.protocols.basic import LineReceiver

    from b2bua.call.media import End, Said
    from b2bua.media.relay import Relay

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clock: Any = reactor
    relay = Relay(clock, FIRST, LAST, lambda limit: 0)
    near, far = (End(place[0], "", ours, ours, place[0]) for place, ours in zip(ENDS, OURS, strict=True))
    ports: list[list[int]] = []
    for call in range(calls):
        told: list[int] = []

        def then(said: Any, told: list[int] = told) -> None:
            told.append(int(said.split(b"m=audio ")[1].split(b" ")[0]))

        for ask, source, target in ((relay.offer, near, far), (relay.answer, far, near)):
            sdp = f"v=0\r\no=- 1 1 IN IP4 {source.word}\r\ns=-\r\nc=IN IP4 {source.word}\r\nt=0 0\r\n" \
                  f"m=audio {ENDS[0][1]} RTP/AVP 0\r\n"
            ask(Said(str(call), "b", source, target, sdp.encode()), then)
        ports.append([told[1], told[0]])

    class Told(LineReceiver):
        """What is asked and answered."""

        delimiter = b"\n"
        before = 0.0, 0.0

        def connectionMade(self) -> None:
            self.sendLine(json.dumps(ports).encode())

        def lineReceived(self, line: bytes) -> None:
            clock.callLater(0.2 if self.before[0] else 0.0, self.say)

        def say(self) -> None:
            """Processor time and packets since it was asked last."""
            now = time.monotonic(), time.process_time()
            seconds, used = now[0] - self.before[0] - 0.2, now[1] - self.before[1]
            self.before = now
            taken = 0
            for call in range(calls):
                def count(report: Any) -> None:
                    nonlocal taken
                    taken += sum(stream.packets for stream in report)
                relay.query(str(call), count)
            self.before = time.monotonic(), time.process_time()
            self.sendLine(json.dumps({"taken": taken, "seconds": seconds, "used": used}).encode())

    stdio.StandardIO(Told())
    clock.run()


def main() -> int:
    """What it can carry, and every run that says so."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("cannot measure: two cores are needed", file=sys.stderr)
        return 2
    try:
        runs = measure(cores[0], cores[1])
    except CannotMeasure as reason:
        print(f"cannot measure: {reason}", file=sys.stderr)
        return 2
    for run in runs:
        print(f"  {run.calls:5} calls: {run.sent} packets sent, {run.sent - run.taken} lost, "
              f"{100 * run.core:.0f} % of the core, {run.microseconds:.1f} µs each, {run.late:.2f} s late")
    print(line(runs))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    else:
        sys.exit(main())
