"""What the kernel would do with an address: source address, device and gateway, by rtnetlink (rtnetlink(7)).

A question costs 10 to 20 microseconds, a remembered answer one dictionary look-up. Answers are remembered only while
the kernel tells of every change to links, addresses, routes and rules, and until it tells of one (S4).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from b2bua.policy.interface import KernelRoute

# The kernel tells that a link goes down before it takes the link's IPv4 routes away, and of those it says nothing more
# (dev_change_flags). So nothing is remembered until no news has come for this long.
SETTLE = 0.25  # seconds
CACHE_LIMIT = 4096  # addresses; when there are more, all are forgotten
TIMEOUT = 0.5  # seconds; the kernel answers before send() returns, so it never comes to this
READS = 64  # per turn of the reactor: a flood of news must not stop the calls

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, destination bits, source bits, tos, table, ..., flags
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_NUMBER = struct.Struct("=i")

_NLMSG_ERROR, _RTM_NEWROUTE, _RTM_GETROUTE = 2, 24, 26
_NLM_F_REQUEST = 1
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_VIA = 1, 4, 5, 7, 18

# Links; IPv4 addresses, routes, rules; IPv6 addresses, routes, rules; next hop objects.
_GROUPS = sum(1 << group - 1 for group in (1, 5, 7, 8, 9, 11, 19, 32))

# No route; unreachable; prohibited; blackhole; the device is down; no rule matches.
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.ENETDOWN, errno.ESRCH}

_MAPPED = b"\0" * 10 + b"\xff\xff"  # ::ffff:0:0/96

OnChange = Callable[[], object]

_log = Logger()


class Reactor(Protocol):
    """What is used of Twisted's reactor (IReactorFDSet, IReactorTime)."""

    def addReader(self, reader: Any) -> Any: ...

    def removeReader(self, reader: Any) -> Any: ...

    def callLater(self, delay: float, callable: Callable[..., Any]) -> Any: ...


class KernelRoutes:
    """The kernel's answers. Raises OSError where there is no rtnetlink (other systems than Linux, a strict sandbox).

    Without a reactor nothing is remembered: every look-up asks. `on_change` lists what is called after a change: at
    once, and again when the change has settled; a flood of changes makes no more than a few calls a second.
    """

    def __init__(self, reactor: Reactor | None = None, on_change: OnChange | None = None) -> None:
        self.on_change: list[OnChange] = [on_change] if on_change is not None else []
        self._reactor = reactor
        self._cache: dict[str, KernelRoute | None] = {}
        self._sequence = 0
        self._settling: Any = None
        self._more = False
        self._asking = _netlink()
        self._asking.settimeout(TIMEOUT)
        self._changes: _Changes | None = None
        if reactor is not None:
            try:
                self._changes = _Changes(reactor, self)
            except OSError:
                self._asking.close()
                raise

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._cache)

    def lookup(self, ip: str) -> KernelRoute | None:
        """How the kernel would send to an address; None if it would not, or if it cannot be asked now.

        A link-local address needs its device: "fe80::1%eth0".
        """
        try:
            return self._cache[ip]
        except KeyError:
            pass
        route = None
        try:
            route = self.ask(ip)
        except OSError as error:
            if error.errno not in _NO_ROUTE:
                _log.error("The kernel does not say how to reach {ip}: {error}", ip=ip, error=error)
                return None
        if self._changes is not None and self._settling is None:
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            self._cache[ip] = route
        return route

    def ask(self, ip: str) -> KernelRoute:
        """The kernel's answer of now. Raises OSError with what the kernel says when it has no route."""
        self._sequence = self._sequence % 0xFFFFFFFF + 1
        self._asking.send(_question(ip, self._sequence))
        while True:
            data, (sender, _) = self._asking.recvfrom(65536)
            for kind, sequence, body in _messages(data):
                if sender or sequence != self._sequence:
                    continue  # not the kernel; or the answer to a question that was given up
                if kind == _NLMSG_ERROR:
                    code = -_NUMBER.unpack_from(body)[0]
                    raise OSError(code, os.strerror(code))
                if kind == _RTM_NEWROUTE:
                    return _answer(body)

    def close(self) -> None:
        """Gives both sockets back; look-ups fail from here on. May be called twice."""
        self._cache.clear()
        self._asking.close()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if self._changes is not None:
            self._changes.close()
            self._changes = None

    def changed(self) -> None:
        """Forgets every answer and says so to `on_change`."""
        self._cache.clear()
        if self._settling is None:
            self._settle()
        else:
            self._more = True

    def unheard(self) -> None:
        """The kernel's changes are no longer heard: from here on every look-up asks."""
        self._changes = None
        self._cache.clear()

    def _settle(self) -> None:
        assert self._reactor is not None
        self._more = False
        self._settling = self._reactor.callLater(SETTLE, self._settled)
        self._tell()

    def _settled(self) -> None:
        self._settling = None
        if self._more:
            self._settle()
        else:
            self._tell()

    def _tell(self) -> None:
        for tell in list(self.on_change):
            with _log.failuresHandled("what follows a change of the kernel's routes"):
                tell()


@implementer(IReadDescriptor)
class _Changes:
    """The socket on which the kernel tells of changes. What it says is not read: anything empties everything."""

    def __init__(self, reactor: Reactor, routes: KernelRoutes) -> None:
        self._reactor = reactor
        self._routes = routes
        self._listen()

    def _listen(self) -> None:
        self._socket = _netlink(_GROUPS)
        self._socket.setblocking(False)
        self._reactor.addReader(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "rtnetlink"

    def doRead(self) -> None:
        for _ in range(READS):
            try:
                self._socket.recv(65536)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # that one says: there was more than the socket could hold
                    raise
        self._routes.changed()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has let go: with ConnectionDone where poll(2) showed an error (ENOBUFS) and nothing to read."""
        self._socket.close()
        if reason.check(ConnectionDone):
            try:
                self._listen()
            except OSError:
                _log.failure("The kernel's changes are no longer heard")
            else:
                self._routes.changed()
                return
        self._routes.unheard()

    def close(self) -> None:
        self._reactor.removeReader(self)
        self._socket.close()


def _netlink(groups: int = 0) -> socket.socket:
    """A socket to rtnetlink that hears the news of `groups`."""
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError(errno.EAFNOSUPPORT, "the kernel's routes can be asked for on Linux only")
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        netlink.bind((0, groups))
    except OSError:
        netlink.close()
        raise
    return netlink


def _question(ip: str, sequence: int) -> bytes:
    """RTM_GETROUTE for one address; with a zone id, for the way by that device."""
    host, _, device = ip.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = socket.inet_pton(family, host)
    if family == socket.AF_INET6 and address.startswith(_MAPPED):
        raise OSError(errno.ENETUNREACH, "an IPv4 address written as IPv6 would go by IPv4's routes")
    attributes = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), _RTA_DST) + address
    if device:
        attributes += _ATTRIBUTE.pack(8, _RTA_OIF) + _NUMBER.pack(socket.if_nametoindex(device))
    body = _ROUTE.pack(family, len(address) * 8, 0, 0, 0, 0, 0, 0, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, sequence, 0) + body


def _answer(body: bytes) -> KernelRoute:
    family = body[0]
    found = dict(_attributes(body[_ROUTE.size :]))
    gateway = ""
    if _RTA_GATEWAY in found:
        gateway = socket.inet_ntop(family, found[_RTA_GATEWAY])
    elif _RTA_VIA in found:  # a gateway of the other family: that family (16 bits), then the address
        gateway = socket.inet_ntop(int.from_bytes(found[_RTA_VIA][:2], sys.byteorder), found[_RTA_VIA][2:])
    source = socket.inet_ntop(family, found[_RTA_PREFSRC]) if _RTA_PREFSRC in found else ""
    return KernelRoute(source, socket.if_indextoname(*_NUMBER.unpack(found[_RTA_OIF])), gateway)


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and body of each message in a datagram."""
    start = 0
    while start + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, start)
        if length < _HEADER.size:
            return
        yield kind, sequence, data[start + _HEADER.size : start + length]
        start += length + 3 & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute of a message."""
    start = 0
    while start + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[start + _ATTRIBUTE.size : start + length]
        start += length + 3 & ~3
