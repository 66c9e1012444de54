"""Where a URI leads: RFC 3263 with RFC 2782's weights, both address families (RFC 7984), and rest for the dead (S52).

`literal` answers for a URI that holds an address, at once and without the DNS. `Resolver.resolve` answers for names.
The transport is chosen here, before the listener (S2); `sips` means TLS or nothing (S14); what a certificate must say
is the URI's own domain, whatever NAPTR and SRV records lead to (S50).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.names import dns
from twisted.python.failure import Failure

from b2bua.net.names import KINDS, Answer, Beside, Clock, Names, Pointer, usable
from b2bua.policy.weights import weighed
from b2bua.sip.grammar import Malformed, ipv6, is_address, is_token
from b2bua.sip.listener import Listener, Target
from b2bua.sip.uri import DEFAULT_PORTS, Uri

# In the order in which a `sip` URI's transports are tried when the domain has no order of its own.
SERVICES = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
POINTERS = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
ADDRESSES = {4: dns.A, 6: dns.AAAA}

QUESTIONS = 24  # at most for one URI
WAYS = 4  # of the transports that NAPTR records offer, at most
HOSTS = 8  # of which addresses are asked, at most
TARGETS = 16  # at most
RESTING = 1024  # targets that rest at a time, at most


class NoTarget(Exception):
    """A URI leads nowhere. `reason` names each question that failed and why; `status` is the answer for the caller."""

    def __init__(self, reason: str, status: int = 503) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Reach:
    """What can be sent with: (transport, family) of our listeners, families in their order in the configuration."""

    __slots__ = ("_families",)

    def __init__(self, pairs: Iterable[tuple[str, int]]) -> None:
        self._families: dict[str, tuple[int, ...]] = {}
        for transport, family in dict.fromkeys(pairs):
            self._families[transport] = (*self._families.get(transport, ()), family)

    @classmethod
    def of(cls, listeners: Iterable[Listener]) -> Reach:
        """What these listeners can send with."""
        return cls((each.transport, each.family) for each in listeners)

    def families(self, transport: str) -> tuple[int, ...]:
        """The address families (4, 6) there are for a transport, the preferred one first."""
        return self._families.get(transport, ())

    def __contains__(self, transport: str) -> bool:
        return transport in self._families


def literal(uri: Uri, reach: Reach, transport: str = "") -> tuple[Target, ...] | None:
    """The one target of a URI with an address in it; None for a name. `transport` is a forced one, or empty.

    Raises NoTarget where nothing can be sent there: no listener, no such transport, not one host's address.
    """
    host = _next(uri)
    if not is_address(host):
        return None
    if not usable(host):
        raise NoTarget(f"{host} is not the address of a host")
    transport = _transport(uri, reach, transport) or _default(reach)
    if (6 if ":" in host else 4) not in reach.families(transport):
        raise NoTarget(f"no {transport} listener that reaches {host}")
    return (Target(transport, host, uri.port or DEFAULT_PORTS[transport], _tls_name(uri, transport)),)


def _next(uri: Uri) -> str:
    """RFC 3263 4: TARGET, the maddr parameter if there is one and the host if not; without brackets."""
    if not uri.is_sip:
        raise NoTarget(f"{uri.scheme} is not a scheme to send to", 416)
    host = uri.params.get("maddr") or uri.host
    if ":" not in host:
        return host
    try:
        return ipv6(host.removeprefix("[").removesuffix("]"))
    except Malformed:
        raise NoTarget(f"{host} is not an IPv6 address")


def _tls_name(uri: Uri, transport: str) -> str:
    """S50: the domain of the URI itself; RFC 6066 3 has no dot at its end."""
    return uri.host.lower().removesuffix(".") if transport == "tls" else ""


def _transport(uri: Uri, reach: Reach, forced: str) -> str:
    """RFC 3263 4.1: the transport that was asked for, or an empty string where it is open."""
    transport = forced or uri.transport
    if uri.secure:
        # RFC 3261 26.2.2: over TCP a sips URI means TLS. A forced transport is taken at its word, and refused (S14).
        if transport not in ("", "tls") and (forced or transport != "tcp"):
            raise NoTarget(f"a sips URI cannot go by {transport}", 480)
        transport = "tls"
    if transport and transport not in SERVICES:
        raise NoTarget(f"transport {transport} is unknown")
    if transport and transport not in reach:
        raise NoTarget(f"no {transport} listener to send with", 480 if uri.secure else 503)
    return transport


def _default(reach: Reach) -> str:
    """RFC 3263 4.1: UDP for a sip URI. Without a UDP listener TCP, which RFC 3261 18 asks of everyone as well."""
    for transport in ("udp", "tcp"):
        if transport in reach:
            return transport
    raise NoTarget("no udp or tcp listener to send with")


def _pointers(pointers: Sequence[Pointer], uri: Uri, reach: Reach, domain: str) -> list[Pointer]:
    """The NAPTR records to follow, best first; none where the domain has none that are SIP's (RFC 3263 4.1)."""
    sip = [
        each
        for each in pointers
        if each.service.startswith(("SIP+", "SIPS+")) and each.flags == "S" and not each.regexp and each.replacement
    ]
    ours = [each for each in sip if POINTERS.get(each.service, "") in reach]
    if uri.secure:
        ours = [each for each in ours if each.service.startswith("SIPS+")]
    elif sip and not ours:
        services = ", ".join(sorted({each.service for each in sip if is_token(each.service)}))
        raise NoTarget(f"{domain} offers only {services}, for which there is no listener")
    # RFC 3403 4.1: once a record fits, those of a higher order do not count. It keeps a domain that puts TLS first
    # from being called in the clear because TLS failed.
    lowest = min((each.order for each in ours), default=0)
    return sorted((each for each in ours if each.order == lowest), key=lambda each: each.preference)[:WAYS]


@dataclass(frozen=True, slots=True)
class _Way:
    """A transport and the name of its SRV records; `chosen` by the URI or by the domain, or one of ours on trial."""

    transport: str
    name: str
    chosen: bool
    beside: Beside = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Host:
    """A host that offers the service, and what the server added about it."""

    transport: str
    name: str
    port: int
    beside: Beside = field(default_factory=dict)


class _Search:
    """The questions asked for one URI: how many are left, which are open, what went wrong."""

    __slots__ = ("_names", "_left", "_open", "_failures")

    def __init__(self, names: Names) -> None:
        self._names = names
        self._left = QUESTIONS
        self._open: list[str] = []
        self._failures: list[str] = []

    def ask(self, name: str, kind: int, beside: Beside | None = None) -> Deferred[Answer]:
        """What was sent beside another answer, or else the answer to a question of our own."""
        given = beside.get((name, kind)) if beside else None
        if given:
            return succeed(Answer(given, beside or {}))
        question = f"{KINDS[kind]} {name}"
        if not self._left:
            self._failures.append(f"not asked: {question}")
            return succeed(Answer())
        self._left -= 1
        self._open.append(question)
        return self._names.ask(name, kind).addCallback(self._note, question)

    def _note(self, answer: Answer, question: str) -> Answer:
        self._open.remove(question)
        if not answer.records:
            self._failures.append(f"{question}: {answer.failure}")
        return answer

    @property
    def story(self) -> str:
        """Every question that came to nothing, and why."""
        failures = [*self._failures, *(f"{question}: no answer in time" for question in self._open)]
        return "; ".join(dict.fromkeys(failures)) or "no address"


class Resolver:
    """Finds the targets of URIs with names, and remembers which targets are dead.

    `rest` is how long a failed target rests, `timeout` how long one URI may take, both in seconds. `random(n)` is a
    number from 0 to n - 1.
    """

    def __init__(
        self,
        names: Names,
        clock: Clock,
        random: Callable[[int], int] = secrets.randbelow,
        rest: float = 30.0,
        timeout: float = 5.0,
    ) -> None:
        self._names = names
        self._clock = clock
        self._random = random
        self._rest = rest
        self._timeout = timeout
        self._resting: dict[tuple[str, str, int], float] = {}

    def failed(self, target: Target) -> None:
        """Let a target rest that answered 503, did not answer or could not be reached (S52, RFC 3263 4.3)."""
        key = (target.transport, target.host, target.port)
        self._resting.pop(key, None)
        if len(self._resting) >= RESTING:
            del self._resting[next(iter(self._resting))]
        self._resting[key] = self._clock.seconds() + self._rest

    def resting(self, target: Target) -> bool:
        """Whether a target failed so lately that others go first."""
        key = (target.transport, target.host, target.port)
        until = self._resting.get(key)
        if until is None:
            return False
        if until <= self._clock.seconds():
            del self._resting[key]
            return False
        return True

    def resolve(self, uri: Uri, reach: Reach, transport: str = "") -> Deferred[tuple[Target, ...]]:
        """The targets of a URI in the order in which to try them, resting ones last; at least one, or NoTarget.

        `transport` is a forced one, or empty. Cancelling the Deferred ends the search.
        """
        search = _Search(self._names)

        def too_late(_: object, seconds: float) -> Failure:
            return Failure(NoTarget(f"{uri.host}: no address within {seconds:g} s: {search.story}"))

        found = Deferred.fromCoroutine(self._resolve(uri, reach, transport, search))
        return found.addTimeout(self._timeout, cast(IReactorTime, self._clock), too_late)

    async def _resolve(self, uri: Uri, reach: Reach, forced: str, search: _Search) -> tuple[Target, ...]:
        found = literal(uri, reach, forced)
        if found is not None:
            return found
        domain = _next(uri).lower().removesuffix(".")
        if uri.port is not None:
            # RFC 3263 4.2: with a port there is nothing left for SRV to tell.
            hosts = [_Host(_transport(uri, reach, forced) or _default(reach), domain, uri.port)]
        else:
            hosts = await self._hosts(search, uri, reach, forced, domain)
        targets = await self._targets(search, uri, reach, hosts)
        if not targets:
            raise NoTarget(f"{domain}: {search.story}")
        return tuple(sorted(targets, key=self.resting))

    async def _hosts(self, search: _Search, uri: Uri, reach: Reach, forced: str, domain: str) -> list[_Host]:
        """RFC 3263 4.2 without a port: the hosts of the SRV records; where there are none, the domain itself."""
        ways = await self._ways(search, uri, reach, forced, domain)
        asked = [search.ask(way.name, dns.SRV, way.beside) for way in ways]
        hosts, refused = [], False
        for way, answer in zip(ways, [await each for each in asked], strict=True):
            for service in weighed(answer.services, self._random):
                refused = refused or not service.target
                if service.target:
                    hosts.append(_Host(way.transport, service.target, service.port, answer.beside))
        if hosts:
            return hosts
        if refused:  # RFC 2782: "A Target of "." means that the service is decidedly not available at this domain."
            raise NoTarget(f"{domain} says by its SRV record that it has no such service")
        transport = ways[0].transport if ways and ways[0].chosen else _default(reach)
        return [_Host(transport, domain, DEFAULT_PORTS[transport])]

    async def _ways(self, search: _Search, uri: Uri, reach: Reach, forced: str, domain: str) -> list[_Way]:
        """RFC 3263 4.1: the transports to try and the name that holds each one's SRV records."""
        transport = _transport(uri, reach, forced)
        if not forced and not uri.transport:
            answer = await search.ask(domain, dns.NAPTR)
            pointers = _pointers(answer.pointers, uri, reach, domain)
            if pointers:
                return [_Way(POINTERS[each.service], each.replacement, True, answer.beside) for each in pointers]
        if transport:
            return [_Way(transport, SERVICES[transport] + domain, True)]
        # RFC 3263 4.2: TLS, by "_sips", is open to a sip URI as well. It is tried last.
        return [_Way(each, prefix + domain, False) for each, prefix in SERVICES.items() if each in reach]

    async def _targets(self, search: _Search, uri: Uri, reach: Reach, hosts: Sequence[_Host]) -> list[Target]:
        """The addresses of the hosts, each host's in the order of our families (RFC 7984)."""
        asked = [
            (host, search.ask(host.name, ADDRESSES[family], host.beside))
            for host in hosts[:HOSTS]
            for family in reach.families(host.transport)
        ]
        targets: dict[Target, None] = {}
        for host, each in asked:
            addresses = (await each).addresses
            # A name server hands out its addresses in turn; remembered ones would always be in the same order.
            first = self._random(len(addresses)) if len(addresses) > 1 else 0
            for address in addresses[first:] + addresses[:first]:
                targets[Target(host.transport, address, host.port, _tls_name(uri, host.transport))] = None
        return list(targets)[:TARGETS]
