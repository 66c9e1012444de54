"""SIP over UDP (RFC 3261 18): one socket for each listener."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port
from twisted.python.failure import Failure

from b2bua.sip.listener import Flow, Listener

MAX_DATAGRAM = 65535  # Twisted's default of 8192 would cut without a word
AT_ONCE = 64  # datagrams taken before others have their turn
RECEIVE_BUFFER = 4 << 20  # octets asked of the kernel, which may give less

_RECEIVE_ERRORS = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}  # IP_RECVERR, IPV6_RECVERR

Received = Callable[[bytes, Flow], None]
Unreachable = Callable[[Listener, str, int], None]


class UdpSocket(Port):
    """A listener's socket. It also reads what ICMP says of what was sent, so that a dead next hop is known at once."""

    def __init__(self, listener: Listener, received: Received, unreachable: Unreachable, reactor: Any) -> None:
        super().__init__(listener.port, DatagramProtocol(), listener.address, MAX_DATAGRAM, reactor)
        self._listener = listener
        self._received = received
        self._unreachable = unreachable
        self._closing = False

    def createInternetSocket(self) -> socket.socket:
        made: socket.socket = super().createInternetSocket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        level, option = _RECEIVE_ERRORS[self._listener.family]
        made.setsockopt(level, option, 1)
        return made

    def doRead(self) -> None:
        """What Twisted's does, less what a protocol between would cost each datagram."""
        received, listener, socket = self._received, self._listener, self.socket
        for _ in range(AT_ONCE):
            try:
                data, address = socket.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error, told now
                self._read_errors()
                return
            received(data, Flow(listener, address[0], address[1]))

    def send(self, data: bytes, host: str, port: int) -> str:
        """Send one datagram; returns what went wrong, or an empty string. Never raises.

        Twisted's own `write` checks the address anew each time; it is one already.
        """
        reason = ""
        for _ in range(2):
            try:
                self.socket.sendto(data, (host, port))
                return ""
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.ENOBUFS, errno.EINTR):
                    return ""  # lost, as datagrams are; it will be sent again
                if error.errno not in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
                    return error.strerror or "cannot send"
                # The error may be an earlier datagram's, told now: look whose, and try once more.
                reason = error.strerror or "unreachable"
                if not self._read_errors():
                    return reason
        return reason

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The reactor calls this for an ICMP error too: the socket is as good as before."""
        if reason is not None and not self._closing and self.socket.fileno() >= 0:
            self._read_errors()
            self.startReading()
            return
        super().connectionLost(reason)

    def stopListening(self) -> Any:
        self._closing = True
        return super().stopListening()

    def _read_errors(self) -> int:
        """Take what ICMP said from the socket's error queue; returns how many it was."""
        hosts = set()
        count = 0
        while count < 64:
            try:
                _, _, _, address = self.socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            count += 1
            if address:
                hosts.add((address[0], address[1]))
        self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        for host, port in hosts:
            self._unreachable(self._listener, host, port)
        return count
