"""Two ends of real TLS connections over loopback, both in this process, for the tests of certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from b2bua.net.certificates import ClientContexts, KeyPair, ServerCertificates, ServerFiles
from b2bua.net.identity import peer_names, tls_failure
from tests.pki import Issued, issue, make_ca

CA = make_ca()
STRANGER = make_ca("nobody knows this CA")
EXAMPLE = issue(CA, uris=["sip:example.com"])
OTHER = issue(CA, dns=["other.example"])


@implementer(IHandshakeListener)
class End(Protocol):
    """One end of a connection: tells what happened to it, in order, and answers `ping` with `pong`."""

    transport: Any

    def __init__(self) -> None:
        self.events: list[str] = []
        self.names: tuple[str, ...] = ()
        self.certificate: x509.Certificate | None = None
        self.sni: bytes | None = None
        self.reason: Failure | None = None
        self.answered: Deferred[End] | None = None
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.events.append("made")

    def handshakeCompleted(self) -> None:
        self.events.append("handshake")
        handle = self.transport.getHandle()
        self.names = peer_names(handle)
        self.certificate = handle.get_peer_certificate(as_cryptography=True)
        self.sni = handle.get_servername()

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data.decode())
        if data == b"ping":
            self.transport.write(b"pong")
        elif self.answered is not None:
            answered, self.answered = self.answered, None
            answered.callback(self)

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.events.append("lost")
        self.reason = reason
        if self.answered is not None:
            self.answered.errback(reason)
        self.gone.callback(None)

    def ping(self) -> Deferred[End]:
        """Fires with this end when the other has answered; fails with the reason when the connection is lost."""
        self.answered = Deferred()
        self.transport.write(b"ping")
        return self.answered


class Handshakes(TestCase):
    """A listener and clients, both ends in this process, real sockets on loopback."""

    timeout = 20

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.ends: list[End] = []
        self.served: list[End] = []
        self.connected: list[End] = []
        self.ca = CA.write(self.folder, "ca")[0]
        self.addCleanup(self.hang_up)

    def hang_up(self) -> Deferred[list[None]]:
        """Close what is open, and wait until all of it is gone."""
        for end in self.ends:
            if end.reason is None:
                end.transport.abortConnection()
        return gatherResults([end.gone for end in self.ends])

    def pair(self, issued: Issued, file: str, name: str = "") -> KeyPair:
        """Write a certificate and its key; the paths, for the SNI `name`."""
        return KeyPair(*issued.write(self.folder, file), name)

    def listen(self, default: Issued = EXAMPLE, *named: tuple[str, Issued], **clients: str) -> ServerCertificates:
        """A listener on `self.port`."""
        further = tuple(self.pair(issued, name, name) for name, issued in named)
        certificates = ServerCertificates(ServerFiles(self.pair(default, "server"), further, **clients))
        port = reactor.listenSSL(0, self.factory(self.served), certificates, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        return certificates

    def factory(self, made: list[End]) -> Any:
        """Makes the protocol of one connection."""

        def build() -> End:
            end = End()
            self.ends.append(end)
            made.append(end)
            return end

        factory = Factory.forProtocol(build)
        factory.noisy = False
        return factory

    async def connect(self, creator: Any) -> End:
        """Connect, and wait for an answer; raises what `connectionLost` was given when there is none."""
        address: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        endpoint: Any = wrapClientTLS(creator, address)
        await endpoint.connect(self.factory(self.connected))
        return await self.connected[-1].ping()

    async def refused(self, creator: Any) -> tuple[str, End]:
        """Connect, which must fail: the words for the log, and the client's end."""
        try:
            await self.connect(creator)
        except SSL.Error as error:
            return tls_failure(Failure(error)), self.connected[-1]
        raise self.failureException("the connection was not refused")

    def clients(self, **settings: object) -> ClientContexts:
        """Contexts that trust the test CA."""
        return ClientContexts(**{"ca": self.ca, **settings})  # type: ignore[arg-type]
