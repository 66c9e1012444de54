"""The streams there are, by listener and far address, and the making of new ones (S49)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from b2bua.net.certificates import ClientContexts
from b2bua.net.transports.stream import Owner, Stream
from b2bua.sip.listener import Flow, Listener

CONNECT_TIMEOUT = 8.0  # seconds for TCP; well under 64·T1, so that another target can still be tried
MAX_STREAMS = 20000
MAX_STREAMS_OF_ONE = 2000  # from one address

Key = tuple[str, str, int, str]


class Connections:
    """Every stream. Requests go by the one with their listener, address, port and TLS name, made if there is none."""

    def __init__(self, reactor: Any, owner: Owner, contexts: Mapping[str, ClientContexts]) -> None:
        self._reactor = reactor
        self._owner = owner
        self._contexts = contexts  # by the TLS listener's name
        self._by_key: dict[Key, Stream] = {}
        self._all: set[Stream] = set()
        self._from: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def to(self, flow: Flow) -> Stream:
        """The stream for a request that goes this way."""
        key = (flow.listener.name, flow.host, flow.port, flow.tls_name)
        stream = self._by_key.get(key)
        if stream is None or not stream.alive:
            stream = Stream(Flow(flow.listener, flow.host, flow.port, None, flow.tls_name), self._owner, True)
            stream.flow.connection = stream
            self._by_key[key] = stream
            self._all.add(stream)
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
        if len(self._all) >= MAX_STREAMS or self._from[host] >= MAX_STREAMS_OF_ONE:
            return None
        stream = Stream(Flow(listener, host, port), self._owner, False)
        stream.flow.connection = stream
        self._all.add(stream)
        self._from[host] += 1
        return stream

    def alias(self, stream: Stream, port: int) -> None:
        """Requests to a peer go by its own connection: asked for, and its certificate proves who it is (RFC 5923)."""
        for name in stream.names:
            self._by_key.setdefault((stream.flow.listener.name, stream.flow.host, port, name), stream)

    def forget(self, stream: Stream) -> None:
        """A stream is gone."""
        self._all.discard(stream)
        for key in [key for key, known in self._by_key.items() if known is stream]:
            del self._by_key[key]
        if not stream.outbound:
            self._from[stream.flow.host] -= 1
            if not self._from[stream.flow.host]:
                del self._from[stream.flow.host]

    def close(self) -> None:
        """Close them all, once what was written is sent."""
        for stream in list(self._all):
            stream.close()


def over_tls(creator: Any, is_client: bool, factory: Any) -> TLSMemoryBIOFactory:
    """The same protocols over TLS. Each write is a record: whole messages are written, there is nothing to gather."""
    wrapped = TLSMemoryBIOFactory(creator, is_client, factory)
    wrapped.protocol = TLSMemoryBIOProtocol
    return wrapped


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
