"""Where pairs of ports come from, and where they go after their call."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Collection
from typing import Any

from b2bua.media.halves import Port
from b2bua.media.latch import Place
from b2bua.media.ports import NoPorts, Ports
from b2bua.media.reader import Reader
from b2bua.media.strand import Pair

TRIES = 16  # pairs that others may have bound, one after the other
RESERVE = 64  # file descriptors that are left to signalling


class Pool:
    """The ports from `first` to `last`, of each address. `below(n)` is a random number from 0 to n - 1.

    `listeners` are our places for signalling.
    """

    def __init__(
        self, reactor: Any, first: int, last: int, below: Callable[[int], int], listeners: Collection[Place] = ()
    ) -> None:
        self._now = reactor.seconds
        self._range = first, last
        self._below = below
        self.listeners = frozenset(listeners)
        self._reader = Reader(reactor)
        self._ports: dict[str, Ports] = {}  # by address
        self._open: dict[Place, Port] = {}
        self._bound: dict[str, str] = {}  # by the address that peers are told

    @property
    def used(self) -> int:
        """How many pairs are in use."""
        return sum(ports.used for ports in self._ports.values())

    def known_as(self, address: str, bound: str) -> None:
        """Peers may mean us by either."""
        self._bound[bound] = bound
        self._bound.setdefault(address, bound)

    def is_ours(self, place: Place) -> bool:
        """Whether it is one that we give out, or listen at."""
        given = place[0] in self._bound and self._range[0] <= place[1] <= self._range[1]
        return given or place in self.listeners

    def port_at(self, place: Place) -> Port | None:
        """The port that is open there."""
        return self._open.get((self._bound.get(place[0], place[0]), place[1]))

    def take(self, address: str) -> Pair:
        """A pair, bound. NoPorts where none can be had."""
        ports = self._ports.get(address)
        if ports is None:
            ports = self._ports[address] = Ports(*self._range, self._below, self._now)
        for _ in range(TRIES):
            number = ports.take()
            try:
                return self._bind(address, number)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    ports.untouched(number)
                    raise NoPorts(f"no media port can be bound: {error.strerror}")
                ports.give_back(number)
        raise NoPorts("no media ports are left: others have them")

    def give_back(self, address: str, pair: Pair) -> None:
        """Its call is over."""
        pair.close()
        self._ports[address].give_back(pair.rtp.number)

    def untouched(self, address: str, pair: Pair) -> None:
        """It was not used after all: it need not rest."""
        pair.close()
        self._ports[address].untouched(pair.rtp.number)

    def _bind(self, address: str, number: int) -> Pair:
        """Both or none. OSError where that cannot be."""
        rtp = self._port(address, number)
        try:
            return Pair(rtp, self._port(address, number + 1))
        except OSError:
            rtp.close()
            raise

    def _port(self, address: str, number: int) -> Port:
        port = Port(address, number, self._reader, lambda port: self._forget(port))
        self._open[address, number] = port
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit != resource.RLIM_INFINITY and port.fileno() >= limit - RESERVE:
            port.close()
            raise OSError(errno.EMFILE, "too many open files")
        return port

    def _forget(self, port: Port) -> None:
        del self._open[port.address, port.number]
