"""SIP over a stream (RFC 3261 18.3, RFC 5626 4.4.1): the one protocol of TCP and TLS, inbound and outbound."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from b2bua.net.identity import peer_names, tls_failure
from b2bua.net.transports.direct import direct
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Connection, Flow
from b2bua.sip.stream import PING, PONG, Framer

if TYPE_CHECKING:
    from b2bua.transaction.transaction import ClientTransaction

CONNECT_TIMEOUT = 8.0  # seconds for TCP, and again for TLS; well under 64·T1: another target can still be tried
MAX_QUEUE = 1 << 20  # octets that a peer may leave unread
MAX_KEEP = 3600  # seconds between two pings
PONG_TIME = 10.0  # seconds; a ping without its pong by then is a failed flow (RFC 5626 4.4.1)
WHOLE_MESSAGE = 32.0  # seconds from a message's first octet to its last; also for a goodbye
FIRST_MESSAGE = 60.0  # seconds that a peer has for it on a connection that it made
IDLE = 900.0  # seconds without a message and without a write
SILENCE = 60  # seconds of silence after which TCP asks whether the peer is there, and as often as a NAT wants
USER_TIMEOUT = 32000  # milliseconds that what was sent may stay unacknowledged by TCP (RFC 5482)


class Owner(Interface):
    """Who is told what happens on a stream."""

    def received(self, data: bytes, flow: Flow) -> None:
        """A whole message."""

    def broken(self, stream: Stream, fault: Malformed) -> None:
        """What came cannot be followed any more; the stream is closing."""

    def closed(self, stream: Stream, reason: str) -> None:
        """The stream is gone, or never came to be."""

    def keeps(self, stream: Stream) -> bool:
        """Whether a stream on which nothing is said is of use all the same."""

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` later."""


@implementer(IHandshakeListener, IPushProducer)
class Stream(Protocol, Connection):
    """One connection. Until it stands, what is written waits; what a peer does not read is bounded."""

    transport: Any  # Twisted's; None until the connection stands

    def __init__(self, flow: Flow, owner: Owner, outbound: bool) -> None:
        self.flow = flow
        self.outbound = outbound
        self.clients: set[ClientTransaction] = set()  # requests of ours on it that wait for an answer
        self.names: tuple[str, ...] = ()  # what a verified client certificate says the peer is
        self.opened = False
        self._owner = owner
        self._framer = Framer()
        self._waiting: list[bytes] = []
        self._unread = 0
        self._choked = False
        self._closing = False
        self._gone = False
        self._age = 0.0  # seconds since it came, or began to close, as `passed` counts them
        self._idle = 0.0
        self._silent = 0.0  # seconds without an octet of the peer's
        self._promised = 0.0  # so many there will not be; 0 where the peer has promised nothing
        self._met = outbound  # a whole message came, or the peer is one of our choice
        self._since = 0  # counts messages, to tell whether one is still the same
        self._watched = -1  # which of them has a deadline
        self._keep = 0  # seconds between two pings; 0 where the peer did not say that it answers them
        self._unanswered = False  # a ping

    @property
    def alive(self) -> bool:
        return not (self._gone or self._closing)

    def write(self, data: bytes) -> None:
        if self._gone:
            return
        self._idle = 0.0
        if not self.opened or self._choked:
            self._unread += len(data)
            if self._unread > MAX_QUEUE:
                self.abort("the peer does not read what we send")
                return
        if not self.opened:
            self._waiting.append(data)
        else:
            self.transport.write(data)

    def connectionMade(self) -> None:
        transport = self.transport
        if self._gone:  # given up while it was being made
            transport.abortConnection()
            return
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        _limit_silence(transport)
        transport.registerProducer(self, True)
        self.opened = True
        self._unread = 0
        self.transport = direct(transport)
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.write(data)
        if self.flow.listener.transport == "tls":
            self._owner.after(CONNECT_TIMEOUT if self.outbound else WHOLE_MESSAGE, self._handshake_deadline)

    def handshakeCompleted(self) -> None:
        """TLS stands; a client that showed a certificate has proved it (RFC 5922)."""
        self._since += 1
        if not self.outbound:
            self.names = peer_names(self.transport.getHandle())

    def _handshake_deadline(self) -> None:
        if self._since == 0:
            self.abort("no TLS handshake in time")

    def dataReceived(self, data: bytes) -> None:
        framer = self._framer
        self._silent = 0.0
        if framer.fault is not None:
            return  # said once; it is closing
        pieces = framer.feed(data)
        for piece in pieces:
            self._since += 1
            if piece == PING:
                self.write(PONG)
            elif piece == PONG:
                if self._unanswered:
                    self._unanswered = False
                    framer.pong_taken()
            elif not self._gone:
                self._idle = 0.0
                self._met = True
                self._owner.received(piece, self.flow)
        if framer.fault is not None:
            self._owner.broken(self, framer.fault)
            self.close()
        elif framer.partial and self._watched != self._since:
            self._watch()

    def _watch(self) -> None:
        self._watched = seen = self._since

        def look() -> None:
            if self._since == seen and self._framer.partial:
                self.abort("a message that does not end")

        self._owner.after(WHOLE_MESSAGE, look)

    def keep_alive(self, seconds: int) -> None:
        """The peer answers keep-alives, and wants one every so many seconds (RFC 6223 4.1): pings from now on."""
        begun, self._keep = bool(self._keep), min(max(seconds, 1), MAX_KEEP)
        if self.outbound and not begun:
            self._owner.after(0.8 * self._keep, self._ping)  # RFC 5626 4.4: up to a fifth sooner

    def expect(self, seconds: float) -> None:
        """The peer has promised to let hear of itself as often as that; else it is gone (RFC 5626 6)."""
        self._promised = seconds

    def _ping(self) -> None:
        if not self._gone:
            self._unanswered = True
            self.write(PING)
            self._owner.after(PONG_TIME, self._missed)
            self._owner.after(max(0.8 * self._keep, PONG_TIME), self._ping)

    def _missed(self) -> None:
        if self._unanswered:
            self.abort("no pong to our ping")

    def close(self) -> None:
        """Close once what was written is sent."""
        if not self.alive:
            return
        self._closing = True
        self._age = 0.0
        if self.transport is not None:
            self.transport.unregisterProducer()  # TLS waits for that, and would never say goodbye
            self.transport.loseConnection()
        else:
            self._lost("closed by us")

    def passed(self, seconds: float) -> None:
        """So much time has passed: a stream of no use ends, and one that should have closed is gone."""
        self._age += seconds
        self._idle += seconds
        self._silent += seconds
        if self._closing:
            if self._age > WHOLE_MESSAGE:
                self.abort("the peer does not let it close")
        elif 0 < self._promised < self._silent:
            self.abort("no keep-alive in time")
        elif (self._idle > IDLE and not self._owner.keeps(self)) or (self._age > FIRST_MESSAGE and not self._met):
            self.close()

    def abort(self, why: str) -> None:
        """Close at once."""
        self._lost(why)
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost(tls_failure(reason))

    def failed(self, reason: str) -> None:
        """The connection could not be made."""
        self._lost(reason)

    def _lost(self, reason: str) -> None:
        if not self._gone:
            self._gone = True
            self._waiting.clear()
            self._owner.closed(self, reason)

    # The transport's word on whether the peer reads (IPushProducer)

    def pauseProducing(self) -> None:
        self._choked = True

    def resumeProducing(self) -> None:
        self._choked = False
        self._unread = 0

    def stopProducing(self) -> None:
        self._choked = True


def _limit_silence(transport: Any) -> None:
    """A peer that vanished is noticed when what was sent is not acknowledged, not after TCP's quarter of an hour.

    So is one that is asked nothing, such as a phone that waits for calls: TCP asks it, not after two hours.
    """
    wire = getattr(transport, "socket", None)  # TCP's, also under TLS
    if wire is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
