"""Real sockets for phones (`phone.Phone`): UDP, TCP and TLS, over IPv4 and IPv6, on Twisted.

    lines = Lines(reactor, ServerFiles(KeyPair(certificate, key)), ca)      # the files only where TLS is spoken
    alice, bob = lines.phone("alice", "udp", "127.0.0.1"), lines.phone("bob", "tls", "::1")
    talk = alice.invite("sip:bob@127.0.0.1:5060")
    await lines.until(lambda: talk.up, "the answer")
    await lines.close()

What a phone says and does is in `phone`; here are its ports, and waiting for what others do.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from errno import EADDRINUSE
from itertools import chain, cycle
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from b2bua.net.certificates import SYSTEM, ClientContexts, ServerCertificates, ServerFiles
from b2bua.net.connections import Connections
from b2bua.net.transports import tcp, tls
from b2bua.net.transports.stream import Stream
from b2bua.net.transports.udp import UdpSocket
from b2bua.net.wheel import Wheel
from b2bua.ops.phone import Phone, label
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.stream import PING, PONG
from b2bua.sip.tokens import Tokens

PATIENCE = 5.0  # seconds for what takes milliseconds on one machine
_PORTS_FROM, _PORTS_TO = 10240, 20000  # of whom `free_port` tells: below what the system itself gives
_CLOSING = 1.0  # seconds that connections may take to close
_TRIES = 200  # ports that are looked at for a free one
_TOLD = 3  # calls of each phone that a failure tells of

P = TypeVar("P", bound=Phone)


class Waited(Exception):
    """What was waited for did not come to pass; says what did."""


_first = random.randrange(_PORTS_FROM, _PORTS_TO, 2)  # elsewhere than in another process
_ports = cycle(chain(range(_first, _PORTS_TO, 2), range(_PORTS_FROM, _first, 2)))


def free_port(transport: str, address: str) -> int:
    """A port that nobody has at this moment. OSError where the machine has no such address or no such port.

    Not one that the system may give to somebody else's connection meanwhile (Linux gives from 32768 on), and not the
    same one soon again.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for left in reversed(range(_TRIES)):
        port = next(_ports)
        with socket.socket(family, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM) as probe:
            try:
                probe.bind((address, port))
            except OSError as error:
                if not left or error.errno != EADDRINUSE:
                    raise
            else:
                break
    return port


class Lines:
    """The lines of some phones. `files` is the certificate that they show over TLS, `ca` whom they trust."""

    def __init__(self, reactor: Any, files: ServerFiles | None = None, ca: str = SYSTEM) -> None:
        self._reactor = reactor
        self._wheel = Wheel(reactor)
        self.files = files
        self.ca = ca
        self._lines: list[_Line[Any]] = []
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def phone(self, user: str, transport: str, address: str, port: int = 0) -> Phone:
        """A phone that listens at `address`, at any free port unless one is given."""
        return self.made(Phone, user, transport, address, port)

    def made(self, kind: type[P], user: str, transport: str, address: str, port: int = 0) -> P:
        """The same, for a phone of another kind. CannotListenError where it cannot listen there."""
        at = Listener(user, "", transport, address, port or free_port(transport, address))
        line = _Line(kind, at, self._reactor, self._wheel)
        line.open(self.files, self.ca)
        line.phone.noticed = self._notice
        self._lines.append(line)
        return line.phone

    def until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> Deferred[None]:
        """Fires once `condition` holds, which is looked at after each message; Waited when that takes too long."""
        if condition():
            return succeed(None)
        wanted: Deferred[None] = Deferred()
        waiting = condition, wanted
        self._waiting.append(waiting)

        def too_long(result: Failure | None, timeout: float) -> None:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise Waited(f"waited {timeout:g} s for {what}; {self._story()}")

        return wanted.addTimeout(seconds, self._reactor, too_long)

    def _notice(self) -> None:
        for waiting in list(self._waiting):
            condition, wanted = waiting
            if waiting in self._waiting and condition():
                self._waiting.remove(waiting)
                wanted.callback(None)

    def _story(self) -> str:
        """What was heard in the calls that are not over, for whoever waits in vain."""
        return "; ".join(
            f"{line.phone.user} heard {', '.join(map(label, talk.heard)) or 'nothing'}"
            for line in self._lines
            for talk in line.phone.dialogs[-_TOLD:]
            if not talk.over
        )

    async def close(self) -> None:
        """Close every socket and connection; the phones are mute from then on, and nothing more is waited for."""
        self._wheel.stop()
        waiting, self._waiting = self._waiting, []
        for _, wanted in waiting:
            wanted.cancel()
        for line in self._lines:
            await line.close()
        self._lines.clear()


class _Line(Generic[P]):
    """One phone's socket, or its port and connections: their owner (`net.transports.stream.Owner`)."""

    def __init__(self, kind: type[P], at: Listener, reactor: Any, wheel: Wheel) -> None:
        self.phone = kind(at.name, at, self.send, Tokens(os.urandom), wheel.after)
        self._at = at
        self._reactor = reactor
        self._wheel = wheel
        self._port: Any = None
        self._connections: Connections | None = None

    def open(self, files: ServerFiles | None, ca: str) -> None:
        """Listen. CannotListenError where that is not possible."""
        at, reactor = self._at, self._reactor
        if at.transport == "udp":
            self._port = UdpSocket(at, self.received, lambda listener, host, port: None, reactor)
            self._port.startListening()
            return
        contexts = {}
        if at.transport == "tls":
            assert files is not None, "TLS needs a certificate"
            contexts[at.name] = ClientContexts(ca, True, files.default)
        self._connections = Connections(reactor, self, contexts)
        if at.transport == "tls" and files is not None:
            self._port = tls.listen(reactor, at, self._connections, ServerCertificates(files))
        else:
            self._port = tcp.listen(reactor, at, self._connections)

    def send(self, data: bytes, flow: Flow) -> None:
        """Bytes out, by the flow's connection or, where it has none that lives, by a new one."""
        if self._port is None:
            return
        if self._connections is None:
            self._port.send(data, flow.host, flow.port)
            return
        if flow.connection is None or not flow.connection.alive:
            flow.connection = self._connections.to(flow)
        flow.connection.write(data)

    def received(self, data: bytes, flow: Flow) -> None:
        """Bytes in."""
        if data not in (PING, PONG):
            self.phone.receive(data, flow)

    def broken(self, stream: Stream, fault: Malformed) -> None:
        """The stream closes; what was wanted by it will not come."""

    def closed(self, stream: Stream, reason: str) -> None:
        """A connection is gone."""
        if self._connections is not None:
            self._connections.forget(stream)

    def keeps(self, stream: Stream) -> bool:
        """What waits for an answer is of use."""
        return bool(stream.clients)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` later."""
        self._wheel.after(seconds, action)

    async def close(self) -> None:
        """Stop listening, and wait a little for the connections to close."""
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        if self._connections is not None:
            self._connections.close()
            until = self._reactor.seconds() + _CLOSING
            while len(self._connections) and self._reactor.seconds() < until:
                await deferLater(self._reactor, 0.01)
