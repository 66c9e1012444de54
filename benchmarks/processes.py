"""Programs under measurement: start one on a core, read what it has cost, end it by pid.

Linux only: everything is read from /proc.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class CannotMeasure(Exception):
    """A figure cannot be had here and now; the text says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to start: its arguments, and the sockets it has bound (or the file it has made) once it is ready."""

    name: str
    arguments: Sequence[str]
    folder: Path                                        # where its output goes (name.log)
    ready: Sequence[Socket | Path] = ()
    working_directory: Path | None = None               # None: `folder`
    environment: Mapping[str, str] | None = None
    patience: float = 15.0                              # seconds it may take to become ready


@dataclass(frozen=True, slots=True)
class Socket:
    """A local socket: "udp" or "tcp", address without brackets, port."""

    transport: str
    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.transport} {host}:{self.port}"


class Process:
    """A started program with all that it started itself: its descendants, and its session."""

    def __init__(self, command: Command, core: int, nice: int = 0) -> None:
        self.command = command
        self.log = command.folder / f"{command.name}.log"

        def place() -> None:                            # in the child, before it becomes the program
            os.sched_setaffinity(0, {core})
            if nice:
                os.setpriority(os.PRIO_PROCESS, 0, nice)

        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                list(command.arguments), cwd=command.working_directory or command.folder,
                env={**os.environ, **(command.environment or {})},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, preexec_fn=place)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    @property
    def pid(self) -> int:
        return self._child.pid

    def pids(self) -> list[int]:
        """All processes of this program now, itself included."""
        parents, sessions = _family()
        found = {pid for pid, session in sessions.items() if session == self.pid}
        found.add(self.pid)
        size = 0
        while size != len(found):                       # ends: `found` only grows, within `parents`
            size = len(found)
            found.update(pid for pid, parent in parents.items() if parent in found)
        return sorted(found)

    def wait_ready(self) -> None:
        """Return when every socket is bound and every file is there; CannotMeasure if that does not happen in time."""
        end = time.monotonic() + self.command.patience
        while time.monotonic() < end:
            if not self.running:
                raise CannotMeasure(f"{self.command.name} ended at once, {self.last_words()}")
            if all(item.exists() if isinstance(item, Path) else is_bound(item) for item in self.command.ready):
                return
            time.sleep(0.05)
        raise CannotMeasure(f"{self.command.name} was not ready in {self.command.patience:g} s, {self.last_words()}")

    def wait(self, seconds: float) -> bool:
        """True if the program ended within this many seconds."""
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            self._child.send_signal(number)

    def stop(self, grace: float = 3.0) -> None:
        """Ask it to end, then end what is left of its session, each by its pid."""
        pids = self.pids()
        self.signal(signal.SIGTERM)
        self.wait(grace)
        end = time.monotonic() + 1.0
        while time.monotonic() < end and any((_PROC / str(pid)).exists() for pid in pids if pid != self.pid):
            time.sleep(0.02)
        _, sessions = _family()
        for pid in pids:
            if sessions.get(pid) == self.pid:           # a pid may have gone to somebody else meanwhile
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.wait(2.0)

    def last_words(self) -> str:
        """The end of its output, for a message."""
        text = self.log.read_text(errors="replace").strip()[-800:] if self.log.exists() else ""
        return f"it said:\n{text}" if text else f"without a word in {self.log}"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, group, session, ..."""
    text = (_PROC / str(pid) / "stat").read_text()
    return text[text.rindex(")") + 2:].split()


def _family() -> tuple[dict[int, int], dict[int, int]]:
    """Parent and session of every process that is not a zombie."""
    parents: dict[int, int] = {}
    sessions: dict[int, int] = {}
    for name in os.listdir(_PROC):
        if name.isdigit():
            with contextlib.suppress(OSError):
                fields = _stat(int(name))
                if fields[0] != "Z":
                    parents[int(name)], sessions[int(name)] = int(fields[1]), int(fields[3])
    return parents, sessions


def processor_seconds(pids: Iterable[int]) -> float:
    """Processor time used so far by all threads of these processes: the scheduler's own clock, in nanoseconds."""
    total = 0
    for pid in pids:
        for thread in (_PROC / str(pid) / "task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(thread.read_text().split()[0])
    return total / 1e9


def memory_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: pages shared by several processes are counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += 1024 * int(line.split()[1])
    return total


def core_seconds(core: int) -> float:
    """Time this core has been busy, by the kernel's ticks: coarse."""
    for line in (_PROC / "stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _wait, irq, softirq = (int(field) for field in line.split()[1:8])
            return (user + nice + system + irq + softirq) / _TICK
    raise CannotMeasure(f"there is no core {core}")


def is_bound(socket: Socket) -> bool:
    """Whether somebody listens on this address, or on all addresses, with this port."""
    return bool(_holders([socket]))


def refuse_used(sockets: Iterable[Socket]) -> None:
    """CannotMeasure if one of them is taken: somebody else's server would answer in place of ours."""
    used = _holders(sockets)
    if used:
        raise CannotMeasure("ports in use, nothing started: "
                            + ", ".join(f"{socket} ({_owner(inode)})" for socket, inode in used.items()))


def _holders(sockets: Iterable[Socket]) -> dict[Socket, str]:
    """The sockets that are bound, with the inode of each."""
    wanted = list(sockets)
    tables = {(transport, family): _table(transport, family)
              for transport in {socket.transport for socket in wanted} for family in ("", "6")}
    used: dict[Socket, str] = {}
    for socket in wanted:
        own = ipaddress.ip_address(socket.address)
        for family in ("", "6"):
            for address, port, inode in tables[socket.transport, family]:
                # "::" may take IPv4 too, 0.0.0.0 takes no IPv6
                taken = address == own or (address.is_unspecified and address.version >= own.version)
                if taken and port == socket.port:
                    used[socket] = inode
    return used


def _table(transport: str, family: str) -> list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int, str]]:
    """Address, port and inode of each bound (UDP) or listening (TCP) socket of /proc/net."""
    rows = []
    path = _PROC / "net" / f"{transport}{family}"
    for line in path.read_text().splitlines()[1:] if path.exists() else ():
        fields = line.split()
        if transport == "tcp" and fields[3] != "0A":    # LISTEN
            continue
        text, port = fields[1].split(":")
        words = (int(text[at:at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8))
        rows.append((ipaddress.ip_address(b"".join(words)), int(port, 16), fields[9]))
    return rows


def _owner(inode: str) -> str:
    """Name and pid of the process with this socket, as far as we may see."""
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                if os.readlink(descriptor) == f"socket:[{inode}]":
                    return f"{(folder / 'comm').read_text().strip()}, pid {folder.name}"
    return "owner not visible"
