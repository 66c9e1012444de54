"""The streams there are, by listener and far address, and the making of new ones (S49)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from b2bua.net.certificates import ClientContexts
from b2bua.net.transports.direct import direct
from b2bua.net.transports.stream import CONNECT_TIMEOUT, Owner, Stream
from b2bua.sip.listener import Flow, Listener

MAX_STREAMS = 20000  # that peers made, and as many of ours
MAX_STREAMS_OF_ONE = 2000  # from one address, and to one
SWEEP = 15.0  # seconds from one look at what is idle to the next

Key = tuple[str, str, int, str]


class Connections:
    """Every stream. Requests go by the one with their listener, address, port and TLS name, made if there is none."""

    def __init__(self, reactor: Any, owner: Owner, contexts: Mapping[str, ClientContexts]) -> None:
        self._reactor = reactor
        self._owner = owner
        self._contexts = contexts  # by the TLS listener's name
        self._by_key: dict[Key, Stream] = {}
        self._all: set[Stream] = set()
        self._count: Counter[tuple[bool, str]] = Counter()  # by who made them and host; all of them under ""
        self._sweeping: Any = None  # the next sweep, while there are streams

    def __len__(self) -> int:
        return len(self._all)

    def to(self, flow: Flow) -> Stream:
        """The stream for a request that goes this way; where there are too many, one that fails in a later turn."""
        key = (flow.listener.name, flow.host, flow.port, flow.tls_name)
        stream = self._by_key.get(key)
        if stream is None or not stream.alive:
            stream = Stream(Flow(flow.listener, flow.host, flow.port, None, flow.tls_name), self._owner, True)
            stream.flow.connection = stream
            if self._full(True, flow.host):
                self._owner.after(0.0, partial(stream.failed, "too many connections"))
                return stream
            self._by_key[key] = stream
            self._add(stream)
            self._connect(stream)
        return stream

    def _connect(self, stream: Stream) -> None:
        flow = stream.flow
        factory: Any = _Outbound(stream)
        if flow.listener.transport == "tls":
            creator: Any = self._contexts[flow.listener.name].creator(flow.tls_name)
            factory = over_tls(creator, True, factory)
        source = (flow.listener.address, 0)
        self._reactor.connectTCP(flow.host, flow.port, factory, timeout=CONNECT_TIMEOUT, bindAddress=source)

    def accept(self, listener: Listener, host: str, port: int) -> Stream | None:
        """A stream for a connection that a peer made; None where there are too many."""
        if self._full(False, host):
            return None
        stream = Stream(Flow(listener, host, port), self._owner, False)
        stream.flow.connection = stream
        self._add(stream)
        return stream

    def _full(self, outbound: bool, host: str) -> bool:
        return self._count[outbound, ""] >= MAX_STREAMS or self._count[outbound, host] >= MAX_STREAMS_OF_ONE

    def _add(self, stream: Stream) -> None:
        self._all.add(stream)
        for host in ("", stream.flow.host):
            self._count[stream.outbound, host] += 1
        if self._sweeping is None:
            self._sweeping = self._reactor.callLater(SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = self._reactor.callLater(SWEEP, self._sweep)
        for stream in list(self._all):
            stream.passed(SWEEP)

    def alias(self, stream: Stream, port: int) -> None:
        """Requests to a peer go by its own connection: asked for, and its certificate proves who it is (RFC 5923)."""
        for name in stream.names:
            self._by_key.setdefault((stream.flow.listener.name, stream.flow.host, port, name), stream)

    def forget(self, stream: Stream) -> None:
        """A stream is gone."""
        if stream not in self._all:
            return
        self._all.remove(stream)
        for key in [key for key, known in self._by_key.items() if known is stream]:
            del self._by_key[key]
        for host in ("", stream.flow.host):
            self._count[stream.outbound, host] -= 1
            if not self._count[stream.outbound, host]:
                del self._count[stream.outbound, host]
        if not self._all:
            self._rest()

    def _rest(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def close(self) -> None:
        """Close them all, once what was written is sent: the end."""
        self._rest()
        for stream in list(self._all):
            stream.close()


def over_tls(creator: Any, is_client: bool, factory: Any) -> TLSMemoryBIOFactory:
    """The same protocols over TLS. Each write is a record: whole messages are written, there is nothing to gather."""
    return _OverTls(creator, is_client, factory)


class _OverTls(TLSMemoryBIOFactory):
    """Refuses the connections that the factory inside refuses; Twisted's would wrap the None it gets."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else _Records(self, inner)


class _Records(TLSMemoryBIOProtocol):
    """TLS whose records reach the socket at once."""

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(direct(transport))


class _Outbound(ClientFactory):
    """Makes the one protocol of a connection of ours."""

    noisy = False

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._stream

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        error: Any = reason.value
        known = isinstance(error, ConnectError) and isinstance(error.osError, int)
        words = os.strerror(error.osError) if known else str(error)
        self._stream.failed(str(words))


class Inbound(Factory):
    """Makes the protocols of a listener's connections."""

    noisy = False

    def __init__(self, listener: Listener, connections: Connections) -> None:
        self._listener = listener
        self._connections = connections

    def buildProtocol(self, addr: Any) -> Protocol | None:
        return self._connections.accept(self._listener, addr.host, addr.port)
