"""Reads all media ports at once: one descriptor of the reactor stands for all of them.

A packet's way is as short as Python allows: no object for it, no call of the reactor's for its socket. Of each port
that has something one packet is read at a time, so that no port keeps the others waiting.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from b2bua.media.halves import Port

AT_ONCE = 256  # ports served before it is asked anew which have something
ROUNDS = 4  # how often that is, before the rest of the program has its turn
LARGEST = 65536  # octets: no datagram is longer


@implementer(IReadDescriptor)
class Reader:
    """An epoll descriptor, which exists as long as there are ports."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._ports: dict[int, Port] = {}
        self._epoll: select.epoll | None = None
        self._buffer = bytearray(LARGEST)

    def add(self, port: Port) -> None:
        """Read this port. OSError where the system gives no descriptor."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        self._ports[port.fileno()] = port
        try:
            self._epoll.register(port.fileno(), select.EPOLLIN)
        except OSError:  # the kernel has no memory for it
            self._forget(port)
            raise

    def remove(self, port: Port) -> None:
        """Read it no more; to be called before it is closed."""
        if port.fileno() in self._ports and self._epoll is not None:
            self._epoll.unregister(port.fileno())
            self._forget(port)

    def _forget(self, port: Port) -> None:
        """The descriptor goes with the last one."""
        del self._ports[port.fileno()]
        if not self._ports and self._epoll is not None:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None

    def fileno(self) -> int:
        """For the reactor."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """For the reactor."""
        return "media"

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The reactor gives a descriptor up after an error: this one is still good."""
        if self._epoll is not None:
            self._reactor.addReader(self)

    def doRead(self) -> None:
        """Packets go on, as they come."""
        for _ in range(ROUNDS):
            if self._epoll is None:
                return
            ready = self._epoll.poll(0, AT_ONCE)
            if not ready:
                return
            self._carry(ready)

    def _carry(self, ready: list[tuple[int, int]]) -> None:
        """One packet of each of these."""
        ports, buffer, now = self._ports, self._buffer, self._reactor.seconds()
        view = memoryview(buffer)
        for descriptor, _ in ready:
            port = ports[descriptor]
            try:
                size, address = port.receive(buffer)
            except OSError:  # nothing after all: a checksum was wrong
                continue
            half = port.known.get(address) or size and port.meet(address, buffer[0])
            if not half or not size or not half.passes[buffer[0]]:
                continue
            packet = view[:size]
            half.packets += 1
            half.octets += size
            half.last = now
            if buffer[2] << 8 | buffer[3] != half.following:
                half.jumped(packet)
            else:
                half.following = half.following + 1 & 0xFFFF
            other = half.other
            if other is not None and (target := other.latch.target) is not None:
                try:
                    other.port.send(packet, target)
                except (OSError, OverflowError):  # it is lost, as datagrams are
                    pass
