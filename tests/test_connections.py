"""Streams over real sockets: their limits and their ends, by TLS as by TCP (S49)."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from b2bua.net import connections
from b2bua.net.certificates import ServerCertificates, ServerFiles
from b2bua.net.connections import Connections
from b2bua.net.transports import tls
from b2bua.net.transports.stream import USER_TIMEOUT, Stream
from b2bua.net.wheel import Wheel
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener
from tests.handshakes import EXAMPLE, Handshakes

clock: Any = reactor


class Notebook:
    """An owner of streams that writes down how each ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.connections: Connections | None = None
        self.wheel = Wheel(clock)
        self.after = self.wheel.after

    def received(self, data: bytes, flow: Flow) -> None:
        """Of no interest."""

    def broken(self, stream: Stream, fault: Malformed) -> None:
        """Of no interest."""

    def closed(self, stream: Stream, reason: str) -> None:
        """A stream is gone."""
        self.ends.append(reason)
        assert self.connections is not None
        self.connections.forget(stream)

    def keeps(self, stream: Stream) -> bool:
        """Nobody needs one that is silent."""
        return False


class TestTls(Handshakes):
    """A TLS listener of ours and a stream of ours."""

    def setUp(self) -> None:
        """The listener, and the connections both ways."""
        super().setUp()
        self.owner = Notebook()
        self.addCleanup(self.owner.wheel.stop)
        self.certificates = ServerCertificates(ServerFiles(self.pair(EXAMPLE, "server"), ()))
        self.here = Listener("here", "public", "tls", "127.0.0.1", 0)
        contexts = {"here": self.clients()}
        self.streams = self.owner.connections = Connections(clock, self.owner, contexts)
        port = tls.listen(clock, self.here, self.streams, self.certificates)
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        self.addCleanup(self.end)

    async def end(self) -> None:
        """Nothing is left."""
        for stream in list(self.streams._all):
            stream.abort("the test is over")
        await deferLater(clock, 0.02)

    async def until(self, what: Any) -> None:
        """Wait for it."""
        while not what():
            await deferLater(clock, 0.005)

    async def pair_of_streams(self) -> tuple[Stream, Stream]:
        """Ours and the peer's end of one connection, after the handshake."""
        stream = self.streams.to(Flow(self.here, "127.0.0.1", self.port, None, "example.com"))
        await self.until(lambda: stream._since and len(self.streams) == 2)
        (other,) = self.streams._all - {stream}
        await self.until(lambda: other._since)
        return stream, other

    async def test_close(self) -> None:
        """What is closed is soon gone, at both ends."""
        stream, _ = await self.pair_of_streams()
        stream.close()
        await self.until(lambda: len(self.streams) == 0)
        self.assertEqual(len(self.owner.ends), 2)

    async def test_peer_that_does_not_close(self) -> None:
        """A peer that answers no goodbye does not keep the stream."""
        stream, other = await self.pair_of_streams()
        other.transport.transport.pauseProducing()  # its socket is not read any more
        stream.close()
        await deferLater(clock, 0.02)
        self.assertEqual(len(self.streams), 2)
        for _ in range(3):
            stream.passed(15.0)
        self.assertEqual(self.owner.ends, ["the peer does not let it close"])
        await self.until(lambda: not stream.transport.connected)

    async def test_limit(self) -> None:
        """One connection too many is closed at once, and nothing goes wrong."""
        self.patch(connections, "MAX_STREAMS_OF_ONE", 1)
        await self.pair_of_streams()
        with socket.create_connection(("127.0.0.1", self.port)) as peer:
            peer.setblocking(False)
            await deferLater(clock, 0.05)
            self.assertEqual(peer.recv(10), b"")
        self.assertEqual(len(self.streams), 2)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_unacknowledged(self) -> None:
        """TCP gives a peer that vanished 32 s, both ways."""
        for stream in await self.pair_of_streams():
            wire = stream.transport.transport.socket
            self.assertEqual(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), USER_TIMEOUT)

    async def test_given_up_while_connecting(self) -> None:
        """The connection of a stream that was given up does not stay."""
        stream = self.streams.to(Flow(self.here, "127.0.0.1", self.port, None, "example.com"))
        stream.abort("not wanted")
        await self.until(lambda: stream.transport is not None)
        await self.until(lambda: not stream.transport.connected)
        await self.until(lambda: len(self.streams) == 0)
        self.assertEqual(self.flushLoggedErrors(), [])
