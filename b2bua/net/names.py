"""What the DNS says of a name, remembered for as long as it said.

`Names` asks no question twice at a time, follows aliases, reads the hosts file and keeps answers for their TTL, the
negative ones too (RFC 1034, RFC 2308). An `Answer` never fails: why it has no records stands in it. Names count as
complete: no search list is applied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Protocol, cast

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.names import dns
from twisted.python.failure import Failure

from b2bua.net.nameservers import NoAnswer, WatchedFile
from b2bua.sip.grammar import is_address

KINDS = {dns.A: "A", dns.AAAA: "AAAA", dns.SRV: "SRV", dns.NAPTR: "NAPTR"}
LOCALHOST = {dns.A: ("127.0.0.1",), dns.AAAA: ("::1",)}

REMEMBERED = 4096  # answers; the oldest goes first
AT_ONCE = 256  # questions on their way, each with a socket of its own
ALIASES = 8  # CNAMEs in a row
MAX_TTL = 86400  # seconds; longer would outlive every change of plan
MAX_NEGATIVE_TTL = 60  # seconds, whatever the SOA allows
FAILURE_TTL = 5  # seconds a dead or failing server is not asked the same again (RFC 2308 7)

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?=[A-Za-z]){_LABEL}")
_log = Logger()


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record (RFC 2782). `target` is empty where the record has ".": there is no such service."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """One NAPTR record (RFC 3403); flags and service in upper case, `replacement` empty where it is no name."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


Record = str | Service | Pointer  # an address is its text
Beside = Mapping[tuple[str, int], tuple[Record, ...]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The records asked for, or why there are none; `beside` is what the server added, good for this answer only."""

    records: tuple[Record, ...] = ()
    beside: Beside = field(default_factory=dict)
    failure: str = ""
    ttl: int = 0

    @property
    def addresses(self) -> list[str]:
        """The addresses of an answer to A or AAAA."""
        return [each for each in self.records if isinstance(each, str)]

    @property
    def services(self) -> list[Service]:
        """The records of an answer to SRV."""
        return [each for each in self.records if isinstance(each, Service)]

    @property
    def pointers(self) -> list[Pointer]:
        """The records of an answer to NAPTR."""
        return [each for each in self.records if isinstance(each, Pointer)]


def is_name(text: str) -> bool:
    """Whether `text` can be asked for: RFC 1035 2.3.4's lengths, and a last label that begins with a letter."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


def usable(address: str) -> bool:
    """Whether a request may go to `address`: one host's, not the unspecified one, a multicast or a mapped one."""
    if ":" in address:
        first = address.partition(":")[0]
        multicast = len(first) == 4 and first.startswith("ff")
        return address != "::" and not multicast and not address.startswith("::ffff:")
    return 0 < int(address.partition(".")[0]) < 224


def read_hosts(lines: Iterable[str]) -> dict[str, list[str]]:
    """hosts(5): the addresses of each name, in the order of the file."""
    hosts: dict[str, list[str]] = {}
    for address, *names in filter(None, map(str.split, lines)):
        if is_address(address) and "%" not in address:
            for name in names:
                hosts.setdefault(name.lower().removesuffix("."), []).append(str(ip_address(address)))
    return hosts


class Clock(Protocol):
    """What is used of IReactorTime."""

    def seconds(self) -> float: ...

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Any: ...


class Names:
    """Asks each question once and remembers the answer for its TTL.

    `wire(name, kind)` puts a question to the name servers: a Deferred of the message, or NoAnswer.
    """

    def __init__(
        self, wire: Callable[[str, int], Deferred[dns.Message]], clock: Clock, hosts: str = "/etc/hosts"
    ) -> None:
        self._wire = wire
        self._clock = clock
        self._hosts = WatchedFile(hosts, read_hosts)
        self._remembered: dict[tuple[str, int], tuple[float, Answer]] = {}
        self._waiting: dict[tuple[str, int], list[Deferred[Answer]]] = {}
        self._fetching: dict[tuple[str, int], Deferred[Answer]] = {}

    def ask(self, name: str, kind: int) -> Deferred[Answer]:
        """The records of type `kind` (`dns.A`, …) that `name` has. Cancelling it leaves others' waiting alone."""
        name = name.lower().removesuffix(".")
        known = self._known(name, kind)
        if known is not None:
            return succeed(known)
        key = (name, kind)
        mine: Deferred[Answer] = Deferred()
        if key in self._waiting:
            self._waiting[key].append(mine)
        elif len(self._waiting) >= AT_ONCE:
            return succeed(Answer(failure="too many questions at once"))
        else:
            self._waiting[key] = [mine]
            fetch = self._fetching[key] = Deferred.fromCoroutine(self._fetch(name, kind))
            fetch.addErrback(self._broken).addCallback(self._settle, key)
        return mine

    def stop(self) -> None:
        """End every question that is on its way, at once and without records."""
        for fetch in list(self._fetching.values()):
            fetch.cancel()

    def _known(self, name: str, kind: int) -> Answer | None:
        if not is_name(name):
            return Answer(failure="not a domain name")
        if kind in LOCALHOST:
            # As getaddrinfo does it: the hosts file's word about a name is the last, in both families.
            listed = self._hosts.value.get(name)
            if listed is not None:
                fitting = tuple(each for each in listed if (":" in each) == (kind == dns.AAAA) and usable(each))
                return Answer(fitting) if fitting else Answer(failure="no such address in the hosts file")
        if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 6.3: never a matter for the DNS
            return Answer(LOCALHOST[kind]) if kind in LOCALHOST else Answer(failure="no such record")
        until, answer = self._remembered.get((name, kind), (0.0, None))
        return answer if until > self._clock.seconds() else None

    def _broken(self, failure: Failure) -> Answer:
        if failure.check(CancelledError):
            return Answer(failure="stopped")
        _log.failure("a DNS answer could not be read", failure)
        return Answer(failure="an answer that could not be read", ttl=FAILURE_TTL)

    def _settle(self, answer: Answer, key: tuple[str, int]) -> Answer:
        self._fetching.pop(key, None)
        self._remembered.pop(key, None)
        if answer.ttl > 0:
            if len(self._remembered) >= REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[key] = (self._clock.seconds() + answer.ttl, answer)
        for each in self._waiting.pop(key):
            each.callback(answer)
        return answer

    async def _fetch(self, name: str, kind: int) -> Answer:
        ttl = MAX_TTL
        for _ in range(ALIASES):
            try:
                message = await self._wire(name, kind)
            except NoAnswer as error:
                return Answer(failure=str(error), ttl=FAILURE_TTL)
            end, records, least = _follow(message, name, kind)
            ttl = min(ttl, least)
            if records:
                beside, least = _additional(message)
                return Answer(records, beside, ttl=min(ttl, least))
            if end == name or message.rCode == dns.ENAME:
                failure = "NXDOMAIN" if message.rCode == dns.ENAME else "no such record"
                return Answer(failure=failure, ttl=min(ttl, _negative_ttl(message)))
            if not is_name(end):
                return Answer(failure="an alias that is no domain name", ttl=min(ttl, FAILURE_TTL))
            name = end  # the server left the alias to us
        return Answer(failure=f"more than {ALIASES} aliases", ttl=FAILURE_TTL)


def _text(name: dns.Name | None) -> str:
    return name.name.decode("latin-1").lower() if name is not None else ""


def _follow(message: dns.Message, name: str, kind: int) -> tuple[str, tuple[Record, ...], int]:
    """Where the aliases in `message` lead from `name`, the records there, the least TTL on the way (RFC 1034 3.6.2)."""
    ttl = MAX_TTL
    for _ in range(ALIASES):
        here = [each for each in message.answers if each.cls == dns.IN and _text(each.name) == name]
        fitting = [each for each in here if each.type == kind]
        if fitting:
            records = tuple(record for each in fitting if (record := _record(each.payload)) is not None)
            return name, records, min(ttl, *(_ttl(each.ttl) for each in fitting), MAX_TTL)
        alias = next((each for each in here if isinstance(each.payload, dns.Record_CNAME)), None)
        if alias is None:
            break
        ttl = min(ttl, _ttl(alias.ttl))
        name = _text(cast(dns.Record_CNAME, alias.payload).name)
    return name, (), ttl


def _record(payload: object) -> Record | None:
    """The record's value; None for one that nobody can send to."""
    if isinstance(payload, (dns.Record_A, dns.Record_AAAA)):
        address = str(ip_address(cast(bytes, payload.address)))
        return address if usable(address) else None
    if isinstance(payload, dns.Record_SRV):
        target = _text(payload.target)
        if target and (not is_name(target) or not payload.port):
            return None
        return Service(payload.priority, payload.weight, payload.port, target)
    if isinstance(payload, dns.Record_NAPTR):
        flags, service, regexp = (
            each.string.decode("latin-1") for each in (payload.flags, payload.service, payload.regexp)
        )
        replacement = _text(payload.replacement)
        if not is_name(replacement):
            replacement = ""
        return Pointer(payload.order, payload.preference, flags.upper(), service.upper(), regexp, replacement)
    return None


def _additional(message: dns.Message) -> tuple[Beside, int]:
    """What the server added, and its least TTL.

    Used for the answer it came with and nowhere else: a domain's server may send its own callers astray, not others'.
    """
    beside: dict[tuple[str, int], tuple[Record, ...]] = {}
    ttl = MAX_TTL
    for each in message.additional[:64]:
        record = _record(each.payload) if each.cls == dns.IN and each.type in KINDS else None
        if record is not None:
            key = (_text(each.name), each.type)
            beside[key] = (*beside.get(key, ()), record)
            ttl = min(ttl, _ttl(each.ttl))
    return beside, ttl


def _ttl(seconds: int) -> int:
    """RFC 2181 8: a TTL with its top bit set is zero."""
    return min(seconds, MAX_TTL) if seconds < 1 << 31 else 0


def _negative_ttl(message: dns.Message) -> int:
    """RFC 2308 5: the lesser of the SOA's TTL and its minimum; without an SOA the answer is not kept."""
    for each in message.authority:
        if isinstance(each.payload, dns.Record_SOA):
            return min(_ttl(each.ttl), _ttl(each.payload.minimum), MAX_NEGATIVE_TTL)
    return 0
