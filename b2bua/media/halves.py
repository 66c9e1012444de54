"""Ports of ours, and what comes in at each: to whom it goes on, and how much of it there was."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from b2bua.media.latch import Latch, Place

AT_ONCE = 32  # datagrams taken before others have their turn
LARGEST = 2048  # octets; RTP does not come in fragments
BUFFER = 256 << 10  # octets asked of the kernel


class Half:
    """One peer at one port: what it sends goes on to `other`'s peer. Times are the clock's seconds."""

    __slots__ = ("port", "latch", "other", "packets", "octets", "last", "rtp")

    def __init__(self, port: Port, rtp: bool) -> None:
        self.port = port
        self.latch = Latch()
        self.other: Half | None = None
        self.rtp = rtp  # whether only RTP and RTCP, which begin with their version, may pass
        self.packets = 0
        self.octets = 0
        self.last = 0.0
        port.halves.append(self)

    def close(self) -> None:
        """This peer is there no more; the port goes with the last one."""
        if self in self.port.halves:
            self.port.halves.remove(self)
            if self.other is not None:
                self.other.other = None
                self.other = None
            if not self.port.halves:
                self.port.close()


@implementer(IReadDescriptor)
class Port:
    """A UDP socket for media. Several peers may share one: forks of one offer."""

    def __init__(self, address: str, number: int, reactor: Any, closed: Callable[[Port], None]) -> None:
        """OSError where the port is somebody else's."""
        self.address = address
        self.number = number
        self.halves: list[Half] = []
        self._reactor = reactor
        self._closed = closed
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self._socket.bind((address, number))
        except OSError:
            self._socket.close()
            raise
        reactor.addReader(self)

    def fileno(self) -> int:
        """For the reactor."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """For the reactor."""
        return "media"

    def doRead(self) -> None:
        """Packets go on, as they come."""
        receive, halves, now = self._socket.recvfrom, self.halves, self._reactor.seconds()
        for _ in range(AT_ONCE):
            try:
                data, address = receive(LARGEST)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of something sent: the peer may not listen yet
                continue
            source: Place = address[0], address[1]
            for half in halves:
                if half.latch.takes(source):
                    self._carry(half, data, now)
                    break

    def _carry(self, half: Half, data: bytes, now: float) -> None:
        if half.rtp and (not data or data[0] >> 6 != 2):  # RFC 3550 5.1; STUN and the like are not for the other side
            return
        half.packets += 1
        half.octets += len(data)
        half.last = now
        other = half.other
        if other is not None and (target := other.latch.target) is not None:
            other.port.send(data, target)

    def send(self, data: bytes, target: Place) -> None:
        """Send one packet; lost where it cannot be."""
        try:
            self._socket.sendto(data, target)
        except (OSError, ValueError):
            pass

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The reactor gives a socket up after an error, which is only a peer's: it is as good as before."""
        if self._socket.fileno() >= 0:
            self._reactor.addReader(self)

    def close(self) -> None:
        """Nobody is left at it."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()
            self._closed(self)
