"""The kernel's routes by rtnetlink: `b2bua.net.kernel`, on loopback and with news that the test makes itself."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet import epollreactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from b2bua.net import kernel
from b2bua.net.kernel import SETTLE, KernelRoutes
from b2bua.policy.interface import KernelRoute

LOOPBACK = KernelRoute("127.0.0.1", "lo")


class FakeReactor(Clock):
    """A clock that also keeps who wants to read."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class FakeSocket:
    """A netlink socket whose datagrams the test has written; an OSError among them is raised."""

    def __init__(self, *datagrams: bytes | OSError, sender: int = 0) -> None:
        self.datagrams = list(datagrams)
        self.sender = sender
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        datagram = self.datagrams.pop(0) if self.datagrams else BlockingIOError()
        if isinstance(datagram, OSError):
            raise datagram
        return datagram

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        data = self.recv(size)
        return data, (self.sender if data[:1] != b"!" else 4711, 0)

    def close(self) -> None:
        self.closed = True


def message(kind: int, sequence: int, body: bytes) -> bytes:
    """One netlink message."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


def route(family: int, attributes: Iterable[tuple[int, bytes]]) -> bytes:
    """The body of an RTM_NEWROUTE."""
    text = b""
    for kind, value in attributes:
        text += struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
    return struct.pack("=BBBBBBBBI", family, 32, 0, 0, 254, 0, 0, 1, 0) + text


BY_LOOPBACK = route(socket.AF_INET, [(4, struct.pack("=i", 1)), (7, bytes([127, 0, 0, 1]))])


class KernelTestCase(SynchronousTestCase):
    """Has the kernel's routes, given back when the test ends."""

    def routes(self, reactor: FakeReactor | None = None, on_change: Callable[[], object] | None = None) -> KernelRoutes:
        try:
            routes = KernelRoutes(reactor, on_change)
        except OSError as error:
            raise SkipTest(f"SKIPPED: rtnetlink is not to be had here: {error}")
        self.addCleanup(routes.close)
        return routes

    def answered_by(self, *datagrams: bytes | OSError) -> tuple[KernelRoutes, FakeSocket]:
        """Routes that are answered by these datagrams instead of the kernel."""
        routes, fake = self.routes(), FakeSocket(*datagrams)
        routes._asking.close()
        self.patch(routes, "_asking", fake)
        return routes, fake


class TestLookup(KernelTestCase):
    """S4: what the kernel answers, for real."""

    def test_loopback(self) -> None:
        """The kernel names its source address and device."""
        self.assertEqual(self.routes().lookup("127.0.0.1"), LOOPBACK)
        self.assertEqual(self.routes().lookup("127.5.6.7"), LOOPBACK)

    def test_loopback_of_ipv6(self) -> None:
        """The same for IPv6."""
        if not Path("/proc/net/if_inet6").is_file() or "lo" not in Path("/proc/net/if_inet6").read_text():
            raise SkipTest("SKIPPED: no IPv6 on the loopback device")
        self.assertEqual(self.routes().lookup("::1"), KernelRoute("::1", "lo"))
        self.assertEqual(self.routes().lookup("::1%lo"), KernelRoute("::1", "lo"))

    def test_nothing_there(self) -> None:
        """An address within no network (240/4 is reserved) but with a route or without: never an exception."""
        answer = self.routes().lookup("240.0.0.1")
        self.assertTrue(answer is None or isinstance(answer, KernelRoute))

    def test_mapped_address(self) -> None:
        """An IPv4 address in the form of IPv6 has no route: its packets would not go by IPv6's routes."""
        routes = self.routes(FakeReactor())
        self.assertIsNone(routes.lookup("::ffff:127.0.0.1"))
        self.assertEqual(len(routes), 1)

    def test_no_address(self) -> None:
        """What is no address has no route, is logged and not remembered."""
        routes = self.routes(FakeReactor())
        self.assertIsNone(routes.lookup("sip.example.com"))
        self.assertIsNone(routes.lookup("fe80::1%nosuchdevice"))
        self.assertEqual(len(routes), 0)

    def test_without_rtnetlink(self) -> None:
        """Another system than Linux: an OSError that says so."""
        self.patch(kernel, "socket", object())
        error = self.assertRaises(OSError, KernelRoutes)
        self.assertIn("Linux only", str(error))

    def test_sequence(self) -> None:
        """Each question has its own number, never 0, which the kernel's own messages have."""
        routes = self.routes()
        routes.lookup("127.0.0.1")
        self.assertEqual(routes._sequence, 1)
        routes._sequence = 0xFFFFFFFF
        self.assertEqual(routes.lookup("127.0.0.1"), LOOPBACK)
        self.assertEqual(routes._sequence, 1)


class TestAnswers(KernelTestCase):
    """What is read of an answer, and which answers are not read."""

    def test_another_question(self) -> None:
        """Answers to earlier questions, of other senders and of other types are skipped."""
        late = route(socket.AF_INET, [(4, struct.pack("=i", 1)), (7, bytes([10, 0, 0, 1]))])
        routes, fake = self.answered_by(
            message(24, 77, late),
            b"!" + message(24, 1, late)[1:],  # 4711 sent this one
            message(3, 1, b"") + message(24, 0, late) + message(24, 1, BY_LOOPBACK),
        )
        self.assertEqual(routes.lookup("127.0.0.1"), LOOPBACK)
        self.assertEqual(fake.datagrams, [])

    def test_damaged(self) -> None:
        """Lengths that cannot be do not make a loop."""
        short = struct.pack("=IHHII", 3, 24, 0, 1, 0)
        broken = message(24, 1, BY_LOOPBACK + struct.pack("=HH", 1, 5))
        routes, _ = self.answered_by(short, broken)
        self.assertEqual(routes.lookup("127.0.0.1"), LOOPBACK)

    def test_gateways(self) -> None:
        """A gateway of the same family, and one of the other (RFC 5549)."""
        device, gateway = (4, struct.pack("=i", 1)), (5, bytes([10, 0, 0, 254]))
        via = (18, struct.pack("=H", socket.AF_INET6) + socket.inet_pton(socket.AF_INET6, "fe80::1"))
        routes, _ = self.answered_by(
            message(24, 1, route(socket.AF_INET, [device, gateway])),
            message(24, 2, route(socket.AF_INET, [device, via])),
        )
        self.assertEqual(routes.lookup("10.9.0.5"), KernelRoute("", "lo", "10.0.0.254"))
        self.assertEqual(routes.lookup("10.9.0.5"), KernelRoute("", "lo", "fe80::1"))

    def test_refused(self) -> None:
        """`ask` says what the kernel said; `lookup` says None."""
        refused = struct.pack("=i", -errno.EACCES)
        routes, _ = self.answered_by(message(2, 1, refused), message(2, 2, refused))
        error = self.assertRaises(OSError, routes.ask, "10.9.0.5")
        self.assertEqual((error.errno, error.strerror), (errno.EACCES, os.strerror(errno.EACCES)))
        self.assertIsNone(routes.lookup("10.9.0.5"))

    def test_no_answer(self) -> None:
        """A kernel that does not answer in time: None now, and the question is asked again the next time."""
        routes, _ = self.answered_by(TimeoutError("timed out"), message(24, 1, b""), message(24, 2, BY_LOOPBACK))
        self.assertIsNone(routes.lookup("127.0.0.1"))
        self.assertEqual(routes.lookup("127.0.0.1"), LOOPBACK)


class TestCache(KernelTestCase):
    """S4: answers are remembered until the kernel tells of a change."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.changes = 0
        self.kernel = self.routes(self.reactor, self.count)

    def count(self) -> None:
        self.changes += 1

    def news(self, *datagrams: bytes | OSError) -> None:
        """The kernel tells of something."""
        changes = self.kernel._changes
        assert changes is not None
        real, fake = changes._socket, FakeSocket(*datagrams)
        self.patch(changes, "_socket", fake)
        self.reactor.readers[0].doRead()
        self.patch(changes, "_socket", real)

    def test_remembered(self) -> None:
        """The second look-up gives the same value."""
        first = self.kernel.lookup("127.0.0.1")
        self.assertIs(self.kernel.lookup("127.0.0.1"), first)
        self.assertEqual(self.kernel._sequence, 1)
        self.assertEqual(len(self.kernel), 1)

    def test_without_a_reactor(self) -> None:
        """Without news nothing is remembered: the command line always gets the answer of now."""
        routes = self.routes()
        first = routes.lookup("127.0.0.1")
        self.assertIsNot(routes.lookup("127.0.0.1"), first)
        self.assertEqual(len(routes), 0)
        routes.close()

    def test_reader(self) -> None:
        """The reactor gets a descriptor of its own kind."""
        (reader,) = self.reactor.readers
        verifyObject(IReadDescriptor, reader)
        self.assertEqual(reader.logPrefix(), "rtnetlink")
        self.assertGreater(reader.fileno(), 2)

    def test_emptied(self) -> None:
        """Any news empties it and says so; nothing is remembered until no news has come for a while."""
        self.kernel.lookup("127.0.0.1")
        self.news(b"news", b"more news")
        self.assertEqual((len(self.kernel), self.changes), (0, 1))
        self.assertEqual(self.kernel.lookup("127.0.0.1"), LOOPBACK)
        self.assertEqual(len(self.kernel), 0)
        self.reactor.advance(SETTLE)
        self.assertEqual(self.changes, 2)
        self.kernel.lookup("127.0.0.1")
        self.assertEqual(len(self.kernel), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_flood(self) -> None:
        """News that does not end: a call of `on_change` in each period, and one when it has ended."""
        for _ in range(10):
            self.news(b"news")
            self.news(b"news")
            self.reactor.advance(SETTLE / 2)
        self.assertEqual(self.changes, 6)  # at once, and at the end of each of five periods
        self.reactor.advance(SETTLE)
        self.assertEqual(self.changes, 7)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_flood_in_one_turn(self) -> None:
        """A turn of the reactor reads so much and no more."""
        changes = self.kernel._changes
        assert changes is not None
        real, fake = changes._socket, FakeSocket(*[b"news"] * (kernel.READS + 5))
        self.patch(changes, "_socket", fake)
        self.reactor.readers[0].doRead()
        self.assertEqual(len(fake.datagrams), 5)
        self.patch(changes, "_socket", real)

    def test_overrun(self) -> None:
        """ENOBUFS: news was lost, so everything may have changed."""
        self.kernel.lookup("127.0.0.1")
        self.news(OSError(errno.ENOBUFS, "No buffer space available"), b"news")
        self.assertEqual((len(self.kernel), self.changes), (0, 1))

    def test_overrun_with_nothing_to_read(self) -> None:
        """The reactor takes an error on the socket for its end: it is opened anew, and everything may have changed."""
        self.kernel.lookup("127.0.0.1")
        reader = self.reactor.readers.pop()
        before = reader._socket
        reader.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(before.fileno(), -1)
        self.assertEqual((len(self.kernel), self.changes), (0, 1))
        self.assertEqual(self.reactor.readers, [reader])
        self.reactor.advance(SETTLE)
        self.kernel.lookup("127.0.0.1")
        self.assertEqual(len(self.kernel), 1)

    def test_unheard(self) -> None:
        """When no more news can be heard, nothing is remembered any more."""
        self.kernel.lookup("127.0.0.1")
        self.assertRaises(OSError, self.news, OSError(errno.EBADF, "Bad file descriptor"))
        self.reactor.readers.pop().connectionLost(Failure(OSError(errno.EBADF, "Bad file descriptor")))
        self.assertEqual(self.kernel.lookup("127.0.0.1"), LOOPBACK)
        self.assertEqual(len(self.kernel), 0)

    def test_cannot_be_opened_anew(self) -> None:
        """The same when the socket cannot be opened again."""
        self.kernel.lookup("127.0.0.1")
        reader = self.reactor.readers.pop()

        def fails(groups: int = 0) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(kernel, "_netlink", fails)
        reader.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.kernel.lookup("127.0.0.1"), LOOPBACK)
        self.assertEqual(len(self.kernel), 0)

    def test_reactor_stops(self) -> None:
        """A reactor that stops lets go of every reader: nothing is opened again."""
        self.reactor.readers.pop().connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.reactor.readers, [])
        self.kernel.close()

    def test_bounded(self) -> None:
        """No more addresses are remembered than the limit."""
        self.patch(kernel, "CACHE_LIMIT", 3)
        for number in range(1, 6):
            self.kernel.lookup(f"127.0.0.{number}")
        self.assertEqual(len(self.kernel), 2)

    def test_one_listener_of_changes_fails(self) -> None:
        """An exception in one of those that are told is logged; the others are told all the same."""
        told: list[str] = []

        def fails() -> None:
            raise LookupError("no such hop")

        self.kernel.on_change[:] = [fails, lambda: told.append("told")]
        self.news(b"news")
        self.assertEqual(told, ["told"])
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_close(self) -> None:
        """Nothing is left in the reactor; twice does no harm."""
        self.news(b"news")
        self.kernel.close()
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), ([], []))
        self.kernel.close()
        self.assertIsNone(self.kernel.lookup("127.0.0.1"))

    def test_news_cannot_be_heard(self) -> None:
        """Without news there is no look-up with a reactor: both sockets or none."""
        opened: list[socket.socket] = []
        real = kernel._netlink

        def second_fails(groups: int = 0) -> socket.socket:
            if groups:
                raise OSError(errno.EPERM, "Operation not permitted")
            opened.append(real(groups))
            return opened[0]

        self.patch(kernel, "_netlink", second_fails)
        self.assertRaises(OSError, KernelRoutes, self.reactor)
        self.assertEqual(opened[0].fileno(), -1)

    def test_bind_fails(self) -> None:
        """A socket that cannot be bound is closed again."""
        opened: list[socket.socket] = []

        class Refused(socket.socket):
            def bind(self, address: Any) -> None:
                opened.append(self)
                raise OSError(errno.EPERM, "Operation not permitted")

        self.patch(socket, "socket", Refused)
        self.assertRaises(OSError, kernel._netlink)
        self.assertEqual(opened[0].fileno(), -1)


class TestRealReactor(KernelTestCase):
    """The epoll reactor takes the descriptor and lets go of it."""

    def test_added_and_removed(self) -> None:
        """It is in the reactor while the routes are open."""
        reactor = epollreactor.EPollReactor()
        routes = KernelRoutes(reactor)
        self.assertIn(routes._changes, reactor.getReaders())
        routes.close()
        self.assertNotIn(routes._changes, reactor.getReaders())
        for reader in reactor.removeAll():
            reader.connectionLost(Failure(ConnectionLost()))
        for internal in list(reactor._internalReaders):
            internal.connectionLost(Failure(ConnectionLost()))
        reactor._poller.close()
