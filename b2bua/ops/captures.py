"""Captures of a network, as tcpdump and Wireshark write them: files in, SIP messages out.

pcap (either byte order, micro- or nanoseconds) and pcapng (several interfaces, each with its own kind of link and its
own clock); Ethernet with VLANs, Linux cooked (v1, v2), raw IP and loopback links; IPv4 and IPv6 with their fragments;
UDP, and TCP put in order. All that is kept while something is incomplete is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

from b2bua.sip.stream import PING, PONG, Framer

FRAGMENTED = 256  # datagrams of which some fragments are missing
AHEAD = 256  # segments of a stream that came before an earlier one
STREAMS = 4096
TLS = (b"\x16\x03", b"\x17\x03")  # how a record of a handshake and one of data begin; nobody can read more

_ETHERNET, _COOKED, _COOKED2 = 1, 113, 276
_LOOPBACK = frozenset({0, 108})  # four octets of address family before the packet
_RAW = frozenset({12, 14, 101, 228, 229})
_IP = frozenset({0x0800, 0x86DD})
_VLAN = frozenset({0x8100, 0x88A8, 0x9100})
_EXTENSIONS = frozenset({0, 43, 60})  # of IPv6: hop-by-hop, routing, destination
_FRAGMENT, _TCP, _UDP = 44, 6, 17

_MAGIC = {  # of pcap: byte order, fractions in a second
    b"\xd4\xc3\xb2\xa1": ("<", 1e6), b"\xa1\xb2\xc3\xd4": (">", 1e6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e9), b"\xa1\xb2\x3c\x4d": (">", 1e9),
}  # fmt: skip
_SECTION = b"\x0a\x0d\x0d\x0a"


class Unreadable(Exception):
    """A file that is no capture, or one that is broken; the text is for the operator."""


class Frame(NamedTuple):
    """What was captured: seconds since 1970, the kind of link, the octets."""

    at: float
    link: int
    data: bytes


class Captured(NamedTuple):
    """One UDP datagram or TCP segment; then one SIP message, or what may be one, that came so.

    Hosts have no brackets. `number` and `flags` are a segment's.
    """

    at: float
    transport: str
    source: tuple[str, int]
    target: tuple[str, int]
    data: bytes
    number: int = 0
    flags: int = 0


def frames(data: bytes) -> Iterator[Frame]:
    """Every frame of a capture. Raises Unreadable; a frame that is cut off by the file's end is not there."""
    if data[:4] == _SECTION:
        yield from _blocks(data)
        return
    if data[:4] not in _MAGIC or len(data) < 24:
        raise Unreadable("neither a pcap nor a pcapng file")
    order, fractions = _MAGIC[data[:4]]
    link = struct.unpack_from(f"{order}I", data, 20)[0] & 0xFFFF
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, length, _ = struct.unpack_from(f"{order}IIII", data, at)
        at += 16
        if at + length <= len(data):
            yield Frame(seconds + fraction / fractions, link, data[at : at + length])
        at += length


def _blocks(data: bytes) -> Iterator[Frame]:
    """The frames of a pcapng file (draft-ietf-opsawg-pcapng)."""
    order, at = "<", 0
    interfaces: list[tuple[int, float, int]] = []  # kind of link, fractions in a second, seconds to add
    while at + 12 <= len(data):
        if data[at : at + 4] == _SECTION:
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, length = struct.unpack_from(f"{order}II", data, at)
        if length < 12 or length % 4:
            raise Unreadable(f"a broken block at octet {at}")
        block = data[at + 8 : at + length - 4]
        at += length
        if kind == 1 and len(block) >= 8:
            interfaces.append(_interface(block, order))
        elif kind == 6 and len(block) >= 20:
            number, high, low, size = struct.unpack_from(f"{order}IIII", block)
            if number < len(interfaces):
                link, fractions, offset = interfaces[number]
                yield Frame((high << 32 | low) / fractions + offset, link, block[20 : 20 + size])
        elif kind == 3 and interfaces and len(block) >= 4:  # a simple packet: no time
            size = struct.unpack_from(f"{order}I", block)[0]
            yield Frame(0.0, interfaces[0][0], block[4 : 4 + size])


def _interface(block: bytes, order: str) -> tuple[int, float, int]:
    link, fractions, offset, at = struct.unpack_from(f"{order}H", block)[0], 1e6, 0, 8
    while at + 4 <= len(block):
        code, length = struct.unpack_from(f"{order}HH", block, at)
        value = block[at + 4 : at + 4 + length]
        if code == 9 and value:  # if_tsresol
            fractions = float((2 if value[0] & 0x80 else 10) ** (value[0] & 0x7F))
        elif code == 14 and len(value) == 8:  # if_tsoffset
            offset = struct.unpack(f"{order}q", value)[0]
        at += 4 + (length + 3) // 4 * 4
    return link, fractions, offset


class Reader:
    """Packets, then messages, out of frames; holds what is incomplete."""

    def __init__(self) -> None:
        self._fragments: dict[tuple[bytes, ...], dict[int, tuple[bytes, bool]]] = {}
        self._streams: dict[tuple[tuple[str, int], tuple[str, int]], _Stream] = {}

    def messages(self, captured: Iterable[Frame]) -> Iterator[Captured]:
        """Every datagram and every message of a stream, in the order in which they were whole."""
        for frame in captured:
            try:
                packet = self.packet(frame)
            except (struct.error, ValueError, IndexError):
                continue  # cut off, or broken
            if packet is None:
                continue
            if packet.transport == "udp":
                yield packet
                continue
            way = packet.source, packet.target
            stream = self._streams.get(way)
            if stream is None:
                if len(self._streams) >= STREAMS:
                    self._streams.pop(next(iter(self._streams)))
                stream = self._streams[way] = _Stream()
            for message in stream.take(packet):
                yield Captured(packet.at, "tcp", packet.source, packet.target, message)

    def packet(self, frame: Frame) -> Captured | None:
        """The datagram or segment that a frame holds or completes; None for anything else."""
        data = _network(frame)
        if not data:
            return None
        if data[0] >> 4 == 4:
            return self._four(frame.at, data)
        return self._six(frame.at, data) if data[0] >> 4 == 6 else None

    def _four(self, at: float, data: bytes) -> Captured | None:
        begin, size = (data[0] & 15) * 4, struct.unpack_from(">H", data, 2)[0]
        payload = data[begin : size or len(data)]  # 0 where the card cuts segments itself
        place = struct.unpack_from(">H", data, 6)[0]
        if place & 0x3FFF:
            key = data[12:16], data[16:20], data[4:6], data[9:10]
            payload = self._whole(key, (place & 0x1FFF) * 8, payload, bool(place & 0x2000))
        return _transport(at, data[9], data[12:16], data[16:20], payload)

    def _six(self, at: float, data: bytes) -> Captured | None:
        size, following = struct.unpack_from(">HB", data, 4)
        payload = data[40 : 40 + size] if size else data[40:]
        while following in _EXTENSIONS or following == _FRAGMENT:
            if following == _FRAGMENT:
                place = struct.unpack_from(">H", payload, 2)[0]
                key = data[8:24], data[24:40], payload[4:8]
                following, payload = payload[0], self._whole(key, place & 0xFFF8, payload[8:], bool(place & 1))
                if not payload:
                    return None
            else:
                following, payload = payload[0], payload[8 + payload[1] * 8 :]
        return _transport(at, following, data[8:24], data[24:40], payload)

    def _whole(self, key: tuple[bytes, ...], place: int, data: bytes, more: bool) -> bytes:
        """A datagram, when its last fragment is here; empty before that."""
        if key not in self._fragments and len(self._fragments) >= FRAGMENTED:
            self._fragments.pop(next(iter(self._fragments)))
        parts = self._fragments.setdefault(key, {})
        parts[place] = data, more
        whole = b""
        while len(whole) in parts:
            piece, more = parts[len(whole)]
            whole += piece
            if not more:
                del self._fragments[key]
                return whole
            if not piece:
                break
        return b""


class _Stream:
    """One direction of a TCP connection, in order."""

    __slots__ = ("_framer", "_next", "_ahead")

    def __init__(self) -> None:
        self._framer = Framer()
        self._next: int | None = None
        self._ahead: dict[int, bytes] = {}

    def take(self, packet: Captured) -> list[bytes]:
        """What is whole with this segment."""
        if packet.flags & 2:  # SYN
            self._framer, self._next, self._ahead = Framer(), (packet.number + 1) & 0xFFFFFFFF, {}
            return []
        if not packet.data:
            return []
        if self._next is None:
            self._next = packet.number
        self._ahead[packet.number] = packet.data
        if len(self._ahead) > AHEAD:  # what is missing was not captured: go on behind it
            since = self._next
            self._framer, self._next = Framer(), min(self._ahead, key=lambda each: (each - since) & 0xFFFFFFFF)
        found = []
        while (data := self._due()) is not None:
            if data.startswith(TLS):
                found.append(data)
                continue
            found += [each for each in self._framer.feed(data) if each not in (PING, PONG)]
            if self._framer.fault is not None:
                self._framer = Framer()  # begun in the middle of a message: the next segment may begin one
        return found

    def _due(self) -> bytes | None:
        """The next octets, of a segment that begins with them or before."""
        assert self._next is not None, "a segment came"
        for number, data in self._ahead.items():
            old = (self._next - number) & 0xFFFFFFFF
            if old < 0x80000000:
                del self._ahead[number]
                if old >= len(data):
                    return b"" if self._ahead else None  # all of it was here before
                self._next = (number + len(data)) & 0xFFFFFFFF
                return data[old:]
        return None


def _network(frame: Frame) -> bytes:
    """The IP packet in a frame; empty where there is none."""
    link, data = frame.link, frame.data
    if link in _RAW:
        return data
    if link in _LOOPBACK:
        return data[4:]
    if link == _COOKED2:
        return data[20:] if struct.unpack_from(">H", data)[0] in _IP else b""
    if link not in (_ETHERNET, _COOKED):
        return b""
    at = 12 if link == _ETHERNET else 14
    kind = struct.unpack_from(">H", data, at)[0]
    while kind in _VLAN:
        at += 4
        kind = struct.unpack_from(">H", data, at)[0]
    return data[at + 2 :] if kind in _IP else b""


def _transport(at: float, protocol: int, source: bytes, target: bytes, data: bytes) -> Captured | None:
    if not data or protocol not in (_TCP, _UDP):
        return None
    ports = struct.unpack_from(">HH", data)
    sender, receiver = (str(ip_address(source)), ports[0]), (str(ip_address(target)), ports[1])
    if protocol == _UDP:
        return Captured(at, "udp", sender, receiver, data[8 : struct.unpack_from(">H", data, 4)[0] or None])
    number, flags = struct.unpack_from(">I4xxB", data, 4)
    return Captured(at, "tcp", sender, receiver, data[(data[12] >> 4) * 4 :], number, flags)
