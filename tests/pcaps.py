"""Captures made for tests: messages as UDP or TCP, in IPv4 or IPv6, on any link, in a pcap or pcapng file."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import ip_address

ETHERNET, LOOPBACK, RAW, COOKED, COOKED2 = 1, 0, 101, 113, 276
_MAC = b"\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02"

Place = tuple[str, int]


def udp(source: Place, target: Place, data: bytes) -> bytes:
    """The IP packet of a datagram."""
    return ip(17, source[0], target[0], struct.pack(">HHHH", source[1], target[1], len(data) + 8, 0) + data)


def tcp(source: Place, target: Place, number: int, data: bytes = b"", flags: int = 0x18) -> bytes:
    """The IP packet of a segment."""
    head = struct.pack(">HHIIBBHHH", source[1], target[1], number & 0xFFFFFFFF, 0, 0x60, flags, 0, 0, 0) + b"\1\1\1\0"
    return ip(6, source[0], target[0], head + data)


def ip(protocol: int, source: str, target: str, data: bytes, number: int = 7, place: int = 0) -> bytes:
    """An IPv4 or IPv6 packet; `place` is IPv4's flags and fragment offset."""
    ours, theirs = ip_address(source).packed, ip_address(target).packed
    if len(ours) == 16:
        return struct.pack(">IHBB", 6 << 28, len(data), protocol, 64) + ours + theirs + data
    return struct.pack(">BBHHHBBH", 0x45, 0, len(data) + 20, number, place, 64, protocol, 0) + ours + theirs + data


def fragments(packet: bytes, size: int = 400) -> list[bytes]:
    """An IP packet in pieces, the last one first."""
    if packet[0] >> 4 == 4:
        data, pieces = packet[20:], []
        for at in range(0, len(data), size):
            piece, more = data[at : at + size], at + size < len(data)
            head = packet[:2] + struct.pack(">HHH", len(piece) + 20, 9, (more << 13) | at // 8) + packet[8:20]
            pieces.append(head + piece)
        return pieces[::-1]
    data, pieces = packet[40:], []
    for at in range(0, len(data), size):
        piece, more = data[at : at + size], at + size < len(data)
        inner = struct.pack(">BBHI", packet[6], 0, at | more, 77) + piece
        hop = struct.pack(">BB6x", 44, 0)
        pieces.append(packet[:4] + struct.pack(">HB", len(inner) + 8, 0) + packet[7:40] + hop + inner)
    return pieces[::-1]


def framed(packet: bytes, link: int, vlans: int = 0) -> bytes:
    """A packet on a link."""
    kind = struct.pack(">H", 0x0800 if packet[0] >> 4 == 4 else 0x86DD)
    tags = b"\x81\x00\x00\x05" * vlans
    return {
        ETHERNET: _MAC + tags + kind,
        LOOPBACK: b"\x02\0\0\0",
        RAW: b"",
        COOKED: b"\0" * 14 + tags + kind,
        COOKED2: kind + b"\0" * 18,
    }[link] + packet


def pcap(frames: Iterable[bytes], link: int = ETHERNET, order: str = "<", nano: bool = False) -> bytes:
    """A pcap file; the frames come a second after each other from 1,000,000,000 on, and half a second late."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    file = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for number, frame in enumerate(frames):
        half = 500_000_000 if nano else 500_000
        file += struct.pack(f"{order}IIII", 1_000_000_000 + number, half, len(frame), len(frame)) + frame
    return file


def block(kind: int, body: bytes, order: str) -> bytes:
    """One block of a pcapng file."""
    body += b"\0" * (-len(body) % 4)
    size = len(body) + 12
    return struct.pack(f"{order}II", kind, size) + body + struct.pack(f"{order}I", size)


def pcapng(frames: Iterable[tuple[int, bytes]], links: Iterable[int], order: str = "<", nano: bool = False) -> bytes:
    """A pcapng file with an interface for each of `links`; frames as (number of the interface, octets)."""
    file = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    for link in links:
        options = struct.pack(f"{order}HHI", 2, 4, 0)
        if nano:
            options += struct.pack(f"{order}HHB3x", 9, 1, 9) + struct.pack(f"{order}HHq", 14, 8, 1)
        file += block(1, struct.pack(f"{order}HHI", link, 0, 65535) + options + b"\0\0\0\0", order)
    file += block(4, b"names", order)
    for number, (interface, frame) in enumerate(frames):
        ticks = int((1_000_000_000.5 + number - nano) * (1e9 if nano else 1e6))
        size = len(frame)
        head = struct.pack(f"{order}IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, size, size)
        file += block(6, head + frame, order)
    return file
