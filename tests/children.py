"""Programs that a test starts and talks with: the bridge as its operator starts it, and real SIP clients.

    bridge = await start_bridge(self, configuration)         # TOML text; returns when it listens
    sipp = Child(self, need("sipp"), "-sn", "uac", ...)
    status = await sipp.ended

A child ends with the test that started it, at the latest; nobody else's processes are touched.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 30.0  # seconds for a program to do what it is waited for

clock: Any = reactor


class Child(ProcessProtocol):
    """A running program. `output` is all that it printed, on both streams; `ended` fires with its status."""

    transport: Any

    def __init__(
        self, test: TestCase, *command: str, environment: Mapping[str, str] | None = None, folder: str | Path = ROOT
    ) -> None:
        self.output = ""
        self.ended: Deferred[int] = Deferred()
        self._command = command
        self._waiting: list[tuple[Callable[[str], bool], Deferred[None]]] = []
        self._running = True
        environment = {**os.environ, **(environment or {})}
        clock.spawnProcess(self, command[0], command, environment, str(folder))
        test.addCleanup(self.end)

    def type(self, text: str) -> None:
        """Write to its standard input."""
        self.transport.write(text.encode())

    def until(self, condition: Callable[[str], bool], what: str, seconds: float = PATIENCE) -> Deferred[None]:
        """Fires once `condition` holds of the output; fails with the output when that takes too long."""
        if condition(self.output):
            return succeed(None)
        wanted: Deferred[None] = Deferred()
        waiting = condition, wanted
        self._waiting.append(waiting)

        def too_long(result: object, timeout: float) -> None:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise AssertionError(f"{self._command[0]}: no {what} in {timeout:g} s. It printed:\n{self.output}")

        return wanted.addTimeout(seconds, clock, too_long)

    def says(self, text: str, times: int = 1, seconds: float = PATIENCE) -> Deferred[None]:
        """Fires once it has printed `text` so often."""
        return self.until(lambda output: output.count(text) >= times, repr(text), seconds)

    def end(self, number: int = signal.SIGKILL) -> Deferred[int]:
        """Send it a signal; fires when it is gone."""
        if self._running:
            try:
                self.transport.signalProcess(number)
            except ProcessExitedAlready:
                pass
        gone: Deferred[int] = Deferred()

        def tell(status: int) -> int:
            gone.callback(status)
            return status

        self.ended.addCallback(tell)
        return gone

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.output += data.decode("utf-8", "replace")
        for waiting in list(self._waiting):
            condition, wanted = waiting
            if condition(self.output):
                self._waiting.remove(waiting)
                wanted.callback(None)

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        self._running = False
        waiting, self._waiting = self._waiting, []
        for _, wanted in waiting:
            wanted.errback(AssertionError(f"{self._command[0]} ended ({value}). It printed:\n{self.output}"))
        self.ended.callback(value.exitCode if value.exitCode is not None else -value.signal)


def _bound(kind: str, port: int, state: str) -> bool:
    """Whether a socket of this machine has this port and is in this state (proc(5), /proc/net/tcp)."""
    sockets = [line.split() for six in ("", "6") for line in Path(f"/proc/net/{kind}{six}").read_text().splitlines()]
    return any(words[1].endswith(f":{port:04X}") and words[3] == state for words in sockets)


async def bound(transport: str, port: int, seconds: float = PATIENCE) -> None:
    """Returns once somebody on this machine listens at this port ("udp", "tcp", "tls")."""
    kind, state = ("udp", "07") if transport == "udp" else ("tcp", "0A")
    until = clock.seconds() + seconds
    while not _bound(kind, port, state):
        if clock.seconds() > until:
            raise AssertionError(f"nobody listens on {kind} port {port}")
        await deferLater(clock, 0.02)


def twistd(config: Path) -> list[str]:
    """The command that runs the bridge as its operator does."""
    program = "import sys; from twisted.scripts.twistd import run; sys.exit(run())"
    return [sys.executable, "-c", program, "-n", "--pidfile=", "b2bua", str(config)]


async def start_bridge(
    test: TestCase, configuration: str, folder: str | Path | None = None, within: Sequence[str] = ()
) -> Child:
    """The bridge with this configuration, listening. Its file goes into `folder`; `within` as `Namespace.command()`."""
    folder = Path(folder or test.mktemp()).absolute()
    folder.mkdir(exist_ok=True, parents=True)
    config = folder / "b2bua.toml"
    config.write_text(configuration)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    bridge = Child(test, *within, *twistd(config), environment={"PYTHONPATH": path}, folder=folder)
    await bridge.says("listening: ", configuration.count("[[listener]]"))
    return bridge
