"""What carries messages in the world: datagrams and connections, with rules for what is lost, doubled and late."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.error import ConnectionDone, ConnectionRefusedError, TimeoutError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.python.failure import Failure
from zope.interface import implementer

from b2bua.net.transports.stream import Stream
from b2bua.sip.listener import Connection, Flow, Listener
from b2bua.sip.stream import PING, PONG, Framer

if TYPE_CHECKING:
    from tests.party import Party
    from tests.world import World

CONNECT_TIMEOUT = 8.0

_START = re.compile(rb"SIP/2\.0 ([0-9]{3})|([!-~]+) ", re.I)
_CSEQ = re.compile(rb"\nCSeq[ \t]*:[ \t]*[0-9]+[ \t]+([!-~]+)", re.I)


class Packet(NamedTuple):
    """Something on a wire. `inward` is towards the phone; `host` and `port` are where it goes."""

    phone: Party | None
    inward: bool
    data: bytes
    host: str
    port: int
    pipe: Pipe | None = None
    listener: Listener | None = None

    @property
    def label(self) -> str:
        """What it is: "INVITE", "180 INVITE"; "?" where that cannot be read."""
        found, cseq = _START.match(self.data), _CSEQ.search(self.data)
        if found is None:
            return "?"
        status, method = found.groups()
        return f"{status.decode()} {cseq[1].decode() if cseq else '?'}" if status else str(method, "ascii")


Rule = Callable[[Packet], "Sequence[float] | None"]


class Wires:
    """What becomes of a packet: a rule returns the delay of each copy that arrives, or None to leave it to the next."""

    def __init__(self, world: World) -> None:
        self.rules: list[Rule] = []
        self._world = world

    def carry(self, packet: Packet) -> None:
        """Take a packet along."""
        world = self._world
        if packet.phone is not None and not packet.inward:
            world.note(packet, ">")
        copies: Sequence[float] = next((said for rule in self.rules if (said := rule(packet)) is not None), (0.0,))
        if not copies:
            world.note(packet, "|")
        for delay in copies:
            world.clock.callLater(delay, world.deliver, packet)

    def on(
        self, what: str, copies: Sequence[float], phone: Party | None = None, inward: bool | None = None, times: int = 1
    ) -> None:
        """The next `times` packets of this label, of (inward: to) this phone, arrive so: () is lost, (0, 0) doubled."""
        left = [times]

        def rule(packet: Packet) -> Sequence[float] | None:
            fits = packet.label == what and (phone is None or packet.phone is phone)
            if not fits or not left[0] or (inward is not None and packet.inward is not inward):
                return None
            left[0] -= 1
            return copies

        self.rules.append(rule)

    def lose(self, what: str, phone: Party | None = None, inward: bool | None = None, times: int = 1) -> None:
        """The next packets of this label are lost."""
        self.on(what, (), phone, inward, times)

    def shake(self, loss: float = 0.0, double: float = 0.0, delay: float = 0.0) -> None:
        """Every datagram may be lost, doubled, and late by up to `delay` seconds, which reorders them too."""
        chance = self._world.chance

        def rule(packet: Packet) -> Sequence[float] | None:
            if packet.pipe is not None:
                return None
            if chance.random() < loss:
                return ()
            copies = 2 if chance.random() < double else 1
            return [chance.random() * delay for _ in range(copies)]

        self.rules.append(rule)


class Socket:
    """A UDP listener's socket (`net.switchboard.Datagrams`)."""

    def __init__(self, world: World, listener: Listener) -> None:
        self.broken = ""  # what `send` says went wrong
        self._world = world
        self._listener = listener

    def send(self, data: bytes, host: str, port: int) -> str:
        """Put a datagram on the wire."""
        if not self.broken:
            phone = self._world.at("udp", host, port)
            self._world.wires.carry(Packet(phone, True, data, host, port, None, self._listener))
        return self.broken


class Pipe(Connection):
    """A connection between a phone and the bridge: the phone's end, and the bridge's transport."""

    __slots__ = ("world", "phone", "stream", "flow", "_framer", "_open")

    def __init__(self, world: World, phone: Party, stream: Stream, host: str, port: int) -> None:
        self.world = world
        self.phone = phone
        self.stream = stream
        self.flow = Flow(phone.at, host, port, self, host)
        self._framer = Framer()
        self._open = True
        phone.pipes.append(self)

    @property
    def alive(self) -> bool:
        return self._open

    def close(self) -> None:
        """Both ends close."""
        if self._open:
            self._open = False
            self.phone.pipes.remove(self)
            self.stream.connectionLost(Failure(ConnectionDone()))

    def write(self, data: bytes) -> None:
        """The phone's octets, as they are."""
        self.world.wires.carry(Packet(self.phone, False, data, self.flow.host, self.flow.port, self))

    def to_phone(self, data: bytes) -> None:
        """The bridge's octets, message by message."""
        for piece in self._framer.feed(data):
            self.world.wires.carry(Packet(self.phone, True, piece, self.flow.host, self.flow.port, self))

    def arrive(self, packet: Packet) -> None:
        """Octets reach their end of the pipe."""
        if not self._open:
            return
        if not packet.inward:
            self.stream.dataReceived(packet.data)
        elif packet.data not in (PING, PONG) and not self.phone.mute:
            self.phone.receive(packet.data, self.flow)


class Transport:
    """The bridge's end of a pipe, as Twisted's transports are."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def write(self, data: bytes) -> None:
        self._pipe.to_phone(data)

    def loseConnection(self) -> None:
        self._pipe.world.clock.callLater(0, self._pipe.close)

    abortConnection = loseConnection

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to do."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing to do."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Phones read everything at once."""

    def unregisterProducer(self) -> None:
        """Nor does it close any later."""


@implementer(IOpenSSLClientConnectionCreator)
class _NoTls:
    """Stands for TLS: pipes carry what would be inside."""

    def __init__(self, name: str) -> None:
        self.name = name

    def clientConnectionForTLS(self, protocol: object) -> Any:
        """Never asked."""
        raise AssertionError("there is no TLS in this world")


class Contexts(dict[str, Any]):
    """TLS outwards, for `Connections`: the same for every listener."""

    def __missing__(self, listener: str) -> Contexts:
        return self

    def creator(self, name: str) -> _NoTls:
        """Whom the certificate would have to name."""
        return _NoTls(name)


class Reactor:
    """What `Connections` needs of a reactor."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.seconds = world.clock.seconds
        self.callLater = world.clock.callLater

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float, bindAddress: tuple[str, int]) -> None:
        """Connect to a phone, or be refused."""
        transport = "tls" if hasattr(factory, "wrappedFactory") else "tcp"
        inner = getattr(factory, "wrappedFactory", factory)
        self._world.connecting.append(f"{transport} {host}:{port}")
        phone = self._world.at(transport, host, port)
        after = self._world.clock.callLater
        if phone is None or phone.mute:
            after(CONNECT_TIMEOUT, inner.clientConnectionFailed, None, Failure(TimeoutError()))
        elif phone.refusing:
            after(0, inner.clientConnectionFailed, None, Failure(ConnectionRefusedError()))
        else:
            after(0, self._made, inner, phone, *bindAddress)

    def _made(self, factory: Any, phone: Party, host: str, port: int) -> None:
        stream = factory.buildProtocol(None)
        self._world.join(phone, stream, host, port or 50000)
