"""Ports of ours, and the peers at each: whose packet goes on to whom, and how much of it there was."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

from b2bua.media.latch import Latch, Place

BUFFER = 256 << 10  # octets asked of the kernel
MANY = 16  # changes of its synchronization source after which nobody can tell what was lost

ANYTHING = bytes([1]) * 256
# What goes on of RTP's neighbours, by the first octet (RFC 7983 7): RTP and RTCP, DTLS, ZRTP; not STUN and TURN.
RTP = bytes(1 if 16 <= first < 64 or 128 <= first < 192 else 0 for first in range(256))
DTLS = bytes(1 if 20 <= first < 64 else 0 for first in range(256))


class Watch(Protocol):
    """Reads what comes in at ports."""

    def add(self, port: Port) -> None:
        """From now on."""

    def remove(self, port: Port) -> None:
        """No more."""


class Half:
    """One peer at one port: what it sends goes on to `other`'s peer. Times are the clock's seconds."""

    __slots__ = ("port", "latch", "other", "passes", "packets", "octets", "last", "lost", "following", "_ssrc", "mixed")

    def __init__(self, port: Port, latch: Latch, now: float) -> None:
        self.port = port
        self.latch = latch
        self.other: Half | None = None
        self.passes = ANYTHING  # by the first octet of a packet: whether it may go on
        self.packets = 0
        self.octets = 0
        self.last = now
        self.lost = 0  # estimated from RTP's sequence numbers
        self.following = -1  # the sequence number that is due
        self.mixed = 0  # how often the synchronization source was another one
        self._ssrc = b""
        port.halves.append(self)

    def announce(self, where: Place | None, signalling: str, reachable: bool) -> None:
        """Where the peer wants it."""
        if self.latch.announce(where, signalling, reachable):
            self.port.forget(self)

    def jumped(self, packet: memoryview) -> None:
        """A packet that is not the one that was due (RFC 3550 A.1): lost ones before it, a late one, or another source.

        Reports on the same port (RFC 5761 4) have no sequence number.
        """
        if self.passes is not RTP or len(packet) < 12 or packet[0] < 128 or 192 <= packet[1] < 224:
            return
        number = packet[2] << 8 | packet[3]
        ssrc = bytes(packet[8:12])
        gap = (number - self.following) & 0xFFFF
        if ssrc != self._ssrc:
            self.mixed += 1
            self._ssrc = ssrc
        elif gap >= 0xFF00:
            self.lost = max(self.lost - 1, 0)  # late, not lost
            return
        elif gap < 3000:
            self.lost += gap
        self.following = (number + 1) & 0xFFFF

    def close(self) -> None:
        """This peer is there no more."""
        if self in self.port.halves:
            self.port.halves.remove(self)
            self.port.forget(self)
        if self.other is not None:
            self.other.other = None
            self.other = None


class Port:
    """A UDP socket for media. Several peers may share one: forks of one offer."""

    __slots__ = ("address", "number", "halves", "known", "receive", "send", "_socket", "_watch", "_closed")

    def __init__(self, address: str, number: int, watch: Watch, closed: Callable[[Port], None]) -> None:
        """OSError where the port is somebody else's, or the system has no more sockets."""
        self.address = address
        self.number = number
        self.halves: list[Half] = []
        self.known: dict[Any, Half] = {}  # by the address as the socket says it, of those who have spoken
        self._watch = watch
        self._closed = closed
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self._socket.bind((address, number))
            self.receive = self._socket.recvfrom_into
            self.send = self._socket.sendto
            watch.add(self)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Of its socket; -1 once that is closed."""
        return self._socket.fileno()

    def meet(self, address: Any, first: int) -> Half | None:
        """Whose packet this is, of a source that has not spoken yet; None: a stranger's.

        Who announced exactly this place comes before who may have meant it.
        """
        source: Place = address[0], address[1]
        may = [half for half in self.halves if half.passes[first]]
        for half in sorted(may, key=lambda half: half.latch.announced != source):
            if half.latch.takes(source):
                self.forget(half)
                self.known[address] = half
                return half
        return None

    def forget(self, half: Half) -> None:
        """What this peer announced has changed, or it has gone."""
        self.known = {address: each for address, each in self.known.items() if each is not half}

    def close(self) -> None:
        """Nobody is left at it."""
        if self._socket.fileno() >= 0:
            self._watch.remove(self)
            self._socket.close()
            self._closed(self)
