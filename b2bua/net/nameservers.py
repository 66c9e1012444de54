"""One question to the name servers: over UDP and, when the answer was cut short, over TCP (RFC 1035, RFC 7766).

Every question has a connected socket and a random id of its own, and only an answer that repeats the question
counts (RFC 5452). The server that answered last is asked first.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.error import CannotListenError, ConnectError
from twisted.internet.protocol import DatagramProtocol, connectionDone
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from b2bua.sip.grammar import is_number

PATIENCE = (0.4, 1.1)  # seconds for each server's answer, first and second round; all servers together get the sum

_RCODES = {
    dns.EFORMAT: "not understood by the server",
    dns.ESERVER: "server failure",
    dns.ENOTIMP: "not implemented by the server",
    dns.EREFUSED: "refused by the server",
}

T = TypeVar("T")
Address = tuple[str, int]


class NoAnswer(Exception):
    """No name server gave an answer that could be used; the text says why."""


class WatchedFile(Generic[T]):
    """What a small file says, read again when it has changed; `read` gets its lines, none when it cannot be read."""

    def __init__(self, path: str, read: Callable[[Iterable[str]], T]) -> None:
        self._path = path
        self._read = read
        self._seen: tuple[int, int, int] | None = None
        self._value = read(())

    @property
    def value(self) -> T:
        """The file's present meaning."""
        try:
            now = os.stat(self._path)
            seen = (now.st_mtime_ns, now.st_size, now.st_ino)
            if seen != self._seen:
                with open(self._path, encoding="latin-1") as lines:
                    self._value = self._read(line.partition("#")[0] for line in lines)
                self._seen = seen
        except OSError:
            self._value, self._seen = self._read(()), None
        return self._value


def nameserver(text: str) -> Address:
    """A name server written `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:53`; else ValueError."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            raise ValueError(f"{text!r} is not an address with a port")
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if port and not (is_number(port) and len(port) < 6 and 0 < int(port) < 65536):
        raise ValueError(f"{port!r} is not a port")
    return str(ip_address(host)), int(port or dns.PORT)


def read_resolv_conf(lines: Iterable[str]) -> list[Address]:
    """resolv.conf(5): its name servers, three at most; this machine where it names none."""
    servers = []
    for words in map(str.split, lines):
        if len(words) > 1 and words[0] == "nameserver":
            try:
                servers.append((str(ip_address(words[1])), dns.PORT))
            except ValueError:
                continue
    return servers[:3] or [("127.0.0.1", dns.PORT)]


class Nameservers:
    """The servers to ask: those given, as `nameserver` returns them, or those of resolv.conf.

    `reactor` provides IReactorUDP, IReactorTCP and IReactorTime; `random(n)` is a number from 0 to n - 1.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[Address] = (),
        resolv_conf: str = "/etc/resolv.conf",
        patience: Sequence[float] = PATIENCE,
        random: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._reactor = reactor
        self._given = list(servers)
        self._file = WatchedFile(resolv_conf, read_resolv_conf)
        self._patience = patience
        self._random = random
        self._good: Address | None = None

    def ask(self, name: str, kind: int) -> Deferred[dns.Message]:
        """The first server's answer that says yes or NXDOMAIN; NoAnswer when none does in the time for it."""
        servers = self._servers()
        whom = ", ".join(f"{host} port {port}" for host, port in servers)

        def too_late(_: object, seconds: float) -> Failure:
            return Failure(NoAnswer(f"timed out ({whom})"))

        asked = Deferred.fromCoroutine(self._ask(servers, whom, name, kind))
        return asked.addTimeout(sum(self._patience), self._reactor, too_late)

    def _servers(self) -> list[Address]:
        servers = self._given or self._file.value
        return sorted(servers, key=lambda each: each != self._good)

    async def _ask(self, servers: list[Address], whom: str, name: str, kind: int) -> dns.Message:
        reason = ""
        for patience in self._patience:
            for server in servers:
                question = dns.Message(self._random(65536), recDes=1)
                question.addQuery(name.encode("ascii"), kind)
                try:
                    message = await self._by_udp(server, question, patience)
                    if message.trunc:
                        message = await self._by_tcp(server, question, patience)
                except NoAnswer as error:
                    reason = str(error)
                    continue
                if message.rCode in (dns.OK, dns.ENAME):
                    self._good = server
                    return message
                reason = _RCODES.get(message.rCode, f"answered with code {message.rCode}")
        raise NoAnswer(f"{reason} ({whom})")

    async def _by_udp(self, server: Address, question: dns.Message, patience: float) -> dns.Message:
        datagram = _Datagram(question)
        any_address = "::" if ":" in server[0] else "0.0.0.0"
        try:
            port = self._reactor.listenUDP(0, datagram, interface=any_address, maxPacketSize=65535)
        except CannotListenError as error:
            raise NoAnswer(f"no socket for the question: {error.socketError}")
        try:
            port.connect(*server)
            port.write(question.toStr())
            return await datagram.answer().addTimeout(patience, self._reactor)
        except OSError as error:
            raise NoAnswer(f"not sent: {error.strerror}")
        except TimeoutError:
            raise NoAnswer("timed out")
        finally:
            port.stopListening()

    async def _by_tcp(self, server: Address, question: dns.Message, patience: float) -> dns.Message:
        stream = _Stream(question)
        endpoint = (TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint)(self._reactor, *server)
        try:
            await connectProtocol(endpoint, stream).addTimeout(patience, self._reactor)
            return await stream.answer().addTimeout(patience, self._reactor)
        except ConnectError as error:
            raise NoAnswer(f"no connection for a long answer: {error}")
        except TimeoutError:
            raise NoAnswer("timed out over TCP")
        finally:
            if stream.transport is not None:
                stream.transport.abortConnection()


class _Exchange:
    """What both ways have in common: the question, and the one answer that is awaited."""

    def __init__(self, question: dns.Message) -> None:
        self.question = question
        self._awaited: Deferred[dns.Message] | None = None

    def answer(self) -> Deferred[dns.Message]:
        """The answer, or NoAnswer."""
        self._awaited = Deferred()
        return self._awaited

    def received(self, data: bytes) -> None:
        """Take `data` if it is a response with our id and our question (RFC 5452 9.1); drop anything else."""
        message = dns.Message()
        try:
            message.fromStr(data)
        except (EOFError, ValueError):
            return
        if message.answer and message.id == self.question.id and message.queries == self.question.queries:
            if self._awaited is not None and not self._awaited.called:
                self._awaited.callback(message)

    def lost(self, reason: str) -> None:
        """No answer can come any more."""
        if self._awaited is not None and not self._awaited.called:
            self._awaited.errback(Failure(NoAnswer(reason)))


class _Datagram(_Exchange, DatagramProtocol):
    noisy = False

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        self.received(datagram)

    def connectionRefused(self) -> None:
        self.lost("nothing listens there")

    def stopProtocol(self) -> None:
        # Some of Twisted's reactors, epoll's among them, close a connected socket on an ICMP error and say no more.
        self.lost("nothing listens there")


class _Stream(_Exchange, Int16StringReceiver):
    def connectionMade(self) -> None:
        self.sendString(self.question.toStr())  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        self.received(string)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost("connection closed before the answer")
