"""A small DNS for tests: zones written as in a zone file, a real authoritative server, and a wire without one."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.names import dns, error
from twisted.names.authority import FileAuthority
from twisted.names.server import DNSServerFactory

from b2bua.net.nameservers import NoAnswer


def _name(text: str) -> bytes:
    return text.removesuffix(".").encode()


# One line for each type: how its words become a record.
RECORDS: dict[str, Callable[..., Any]] = {
    "A": lambda ttl, address: dns.Record_A(address, ttl),
    "AAAA": lambda ttl, address: dns.Record_AAAA(address, ttl),
    "CNAME": lambda ttl, name: dns.Record_CNAME(_name(name), ttl),
    "TXT": lambda ttl, text: dns.Record_TXT(text.encode(), ttl=ttl),
    "SOA": lambda ttl, minimum: dns.Record_SOA(b"ns", b"admin", 1, 2, 3, 4, int(minimum), ttl),
    "SRV": lambda ttl, priority, weight, port, target: dns.Record_SRV(priority, weight, port, _name(target), ttl),
    "NAPTR": lambda ttl, order, preference, flags, service, regexp, replacement: dns.Record_NAPTR(
        order, preference, flags.encode(), service.encode(), regexp.encode(), _name(replacement), ttl
    ),
}


class Zone(FileAuthority):
    """Records written `name [ttl] TYPE words`, the TTL 300 unless given; `asked` lists the questions that came.

    `generous`: adds the records that an answer points to, as RFC 2782 and RFC 3403 urge.
    """

    def __init__(self, text: str, generous: bool = False) -> None:
        self.asked: list[str] = []
        self.generous = generous
        super().__init__(text)

    def loadFile(self, filename: str) -> None:
        """Read the zone; `filename` is its text."""
        self.records: dict[bytes, list[Any]] = {}
        self.soa = (b"", dns.Record_SOA(b"ns", b"admin", 1, 2, 3, 4, 0, 0))
        for line in filename.splitlines():
            words = shlex.split(line)
            if words:
                ttl = int(words.pop(1)) if words[1].isdigit() else 300
                owner, kind, *rest = words
                record = RECORDS[kind](ttl, *rest)
                if kind == "SOA":
                    self.soa = (_name(owner), record)
                self.records.setdefault(_name(owner).lower(), []).append(record)

    def _lookup(self, name: bytes, cls: int, type: int, timeout: object = None) -> Deferred[Any]:
        self.asked.append(f"{dns.QUERY_TYPES.get(type, type)} {name.decode()}")
        return super()._lookup(name, cls, type, timeout)

    def _additionalRecords(self, answer: Any, authority: Any, ttl: int) -> Any:
        if not self.generous:
            yield from super()._additionalRecords(answer, authority, ttl)
            return
        pointed = [each.payload for each in answer if each.type in (dns.SRV, dns.NAPTR)]
        for name in [each.target.name if each.TYPE == dns.SRV else each.replacement.name for each in pointed]:
            for record in self.records.get(name.lower(), ()):
                header = dns.RRHeader(name, record.TYPE, dns.IN, record.ttl, record, auth=True)
                yield header
                yield from self._additionalRecords([header], [], ttl)

    def wire(self, name: str, kind: int) -> Deferred[dns.Message]:
        """The answer as `Nameservers.ask` would give it; NXDOMAIN comes with the SOA, as it should."""
        message = dns.Message(answer=1)
        found = self._lookup(name.encode(), dns.IN, kind)
        found.addCallbacks(self._fill, self._refuse, callbackArgs=(message,), errbackArgs=(message,))
        return found

    def _fill(self, sections: Any, message: dns.Message) -> dns.Message:
        message.answers, message.authority, message.additional = map(list, sections)
        return message

    def _refuse(self, failure: Any, message: dns.Message) -> dns.Message:
        failure.trap(error.DomainError, error.AuthoritativeDomainError)
        message.rCode = dns.ENAME
        name, soa = self.soa
        if name:
            message.authority = [dns.RRHeader(name, dns.SOA, dns.IN, soa.ttl, soa)]
        return message


class SilentWire:
    """A wire whose answers the test gives itself, or never."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.waiting: list[Deferred[dns.Message]] = []

    def __call__(self, name: str, kind: int) -> Deferred[dns.Message]:
        self.asked.append(f"{dns.QUERY_TYPES[kind]} {name}")
        self.waiting.append(Deferred())
        return self.waiting[-1]


def dead_wire(name: str, kind: int) -> Deferred[dns.Message]:
    """A wire at whose end nobody answers."""
    return fail(NoAnswer("timed out"))


def message(text: str, rcode: int = dns.OK) -> dns.Message:
    """A message that answers with every record of a zone text."""
    reply = dns.Message(answer=1, rCode=rcode)
    for name, records in Zone(text).records.items():
        reply.answers += [dns.RRHeader(name, each.TYPE, dns.IN, each.ttl, each) for each in records]
    return reply


def wire_of(reply: dns.Message) -> Callable[[str, int], Deferred[dns.Message]]:
    """A wire that has one answer to everything."""
    return lambda name, kind: succeed(reply)


class Server:
    """An authoritative server of `zone` on a loopback address, over UDP and TCP on one port.

    `factory` may be a DNSServerFactory of the test's own. `server` is what `Nameservers` takes.
    """

    def __init__(self, reactor: Any, zone: Zone, host: str = "127.0.0.1", factory: Any = DNSServerFactory) -> None:
        serving = factory([zone])
        serving.noisy = False
        for attempt in range(20):
            datagrams = dns.DNSDatagramProtocol(serving, reactor)
            datagrams.noisy = False
            udp = reactor.listenUDP(0, datagrams, interface=host, maxPacketSize=65535)
            try:
                tcp = reactor.listenTCP(udp.getHost().port, serving, interface=host)
            except CannotListenError:
                udp.stopListening()
                if attempt == 19:
                    raise
            else:
                break
        self._ports = [udp, tcp]
        self.server = (host, udp.getHost().port)

    def stop(self) -> Deferred[Any]:
        """Close both sockets."""
        return gatherResults([maybeDeferred(port.stopListening) for port in self._ports])
