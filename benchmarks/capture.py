"""What passed over the loopback device and when: the INVITEs and the 180s on both sides of a server.

SIPp's own clock is too coarse for delays of a millisecond, so they are read from the packets, with the kernel's time
of each. Reading all packets of a device needs root. `python -m benchmarks.capture FILE SECONDS PORT...` writes them.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from benchmarks.processes import Command
from benchmarks.variants import Variant

_RECORD = struct.Struct("=qI")                  # nanoseconds, octets that follow
_TIMESTAMP = 35                                 # SO_TIMESTAMPNS of linux/socket.h, not in Python's socket module
_BUFFER = 33                                    # SO_RCVBUFFORCE
_EVERYTHING = 0x0003                            # ETH_P_ALL
_MESSAGE = re.compile(rb"(?:^|\r\n)(INVITE sip|SIP/2\.0 180)")
_CALL = re.compile(rb"\r\n(?:From|f)[ \t]*:[^\r\n]*?alice([0-9]+)", re.IGNORECASE)      # scenarios/caller.xml


@dataclass(frozen=True, slots=True)
class Delay:
    """One call, in seconds: the server's INVITE in to 180 out, and how much of that was spent at the callee."""

    total: float
    callee: float

    @property
    def added(self) -> float:
        return self.total - self.callee


def possible() -> bool:
    """Whether we may read packets."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING)).close()
    except PermissionError:
        return False
    return True


def recorder(variant: Variant, seconds: float, folder: Path) -> Command:
    """The program that writes what passes the outer sockets of this variant into `folder`/packets."""
    file = folder / "packets"
    ports = [str(port) for port in sorted({variant.outside.port, variant.callee.port})]
    return Command("capture", [sys.executable, "-m", "benchmarks.capture", str(file), str(round(seconds)), *ports],
                   folder, ready=[file], working_directory=Path(__file__).resolve().parent.parent)


def delays(folder: Path, variant: Variant) -> list[Delay]:
    """Each call that was seen whole. The callee's part is read at SIPp itself: with TLS its front is not in it."""
    outside = (variant.outside.address, variant.outside.port)
    callee = (variant.callee.address, variant.callee.port)
    seen: dict[str, dict[bytes, float]] = {"in": {}, "out": {}, "rings": {}, "rung": {}}
    for moment, source, destination, payload in _packets(folder / "packets"):
        for found in _MESSAGE.finditer(payload):        # a TCP segment may hold several messages
            call = _CALL.search(payload, found.end())
            if found[1].startswith(b"INVITE"):
                side = "in" if destination == outside else "out" if destination == callee else ""
            else:
                side = "rings" if source == callee else "rung" if source == outside else ""
            if call and side:
                seen[side].setdefault(call[1], moment)
    whole = set(seen["in"]).intersection(*seen.values())
    return [Delay(seen["rung"][call] - seen["in"][call], seen["rings"][call] - seen["out"][call]) for call in whole]


def _packets(path: Path) -> Iterator[tuple[float, tuple[str, int], tuple[str, int], bytes]]:
    """Time, source, destination and payload of each."""
    data = path.read_bytes()
    at = 0
    while at + _RECORD.size <= len(data):
        moment, size = _RECORD.unpack_from(data, at)
        packet = data[at + _RECORD.size:at + _RECORD.size + size]
        at += _RECORD.size + size
        parts = _dissect(packet)
        if parts:
            protocol, start, source, destination = parts
            from_port, to_port = struct.unpack_from("!HH", packet, start)
            payload = packet[start + (8 if protocol == socket.IPPROTO_UDP else (packet[start + 12] >> 4) * 4):]
            yield moment / 1e9, (source, from_port), (destination, to_port), payload


def _dissect(packet: bytes) -> tuple[int, int, str, str] | None:
    """Protocol, offset of its header, source and destination address; None for anything but UDP and TCP."""
    if len(packet) < 40:
        return None
    if packet[0] >> 4 == 4:
        protocol, start = packet[9], (packet[0] & 15) * 4
        source, destination = socket.inet_ntop(socket.AF_INET, packet[12:16]), socket.inet_ntoa(packet[16:20])
    else:
        protocol, start = packet[6], 40
        source = socket.inet_ntop(socket.AF_INET6, packet[8:24])
        destination = socket.inet_ntop(socket.AF_INET6, packet[24:40])
    if protocol not in (socket.IPPROTO_UDP, socket.IPPROTO_TCP) or len(packet) < start + 20:
        return None
    return protocol, start, source, destination


def _record(path: Path, seconds: float, ports: set[int]) -> None:
    """Write the packets from and to these ports that hold an INVITE or a 180, until told to end or time is up."""
    ended = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
    wire.bind(("lo", 0))
    wire.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
    wire.setsockopt(socket.SOL_SOCKET, _BUFFER, 32 << 20)
    wire.settimeout(0.2)
    stop = time.monotonic() + seconds
    with wire, path.open("wb") as file:
        while not ended and time.monotonic() < stop:
            try:
                packet, notes, _flags, origin = wire.recvmsg(65536, 64)
            except TimeoutError:
                continue
            if origin[2] == socket.PACKET_OUTGOING:             # loopback shows each packet twice
                continue
            parts = _dissect(packet)
            if not parts or ports.isdisjoint(struct.unpack_from("!HH", packet, parts[1])):
                continue
            if b"INVITE sip" in packet or b"SIP/2.0 180" in packet:
                moment = next((value for _level, kind, value in notes if kind == _TIMESTAMP), None)
                if moment:
                    whole, rest = struct.unpack("=qq", moment)
                    file.write(_RECORD.pack(whole * 1_000_000_000 + rest, len(packet)) + packet)


if __name__ == "__main__":
    os.umask(0o077)
    _record(Path(sys.argv[1]), float(sys.argv[2]), {int(port) for port in sys.argv[3:]})
