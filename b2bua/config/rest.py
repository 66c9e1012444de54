"""The smaller parts of the file: timers, limits, networks, hiding, TLS outwards, name servers, manhole, log, policy."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated

from msgspec import Meta
from msgspec.structs import fields, replace

from b2bua.call.limits import Limits
from b2bua.config.reading import Count, File, Line, Reading, Seconds, Section, Texts
from b2bua.config.sockets import Sockets, check_zones
from b2bua.config.values import Log, Manhole, Override, TlsOutwards
from b2bua.net.certificates import SYSTEM, CertificateError, read_certificates
from b2bua.net.nameservers import nameserver
from b2bua.policy.hiding import Hiding
from b2bua.policy.mistakes import NOTHING, ConfigurationError
from b2bua.policy.rules.network import read_network
from b2bua.policy.script import Script, load_script
from b2bua.policy.zones import Zone
from b2bua.sip.listener import Listener
from b2bua.sip.tokens import MAX_PASSES
from b2bua.transaction.timers import Timers

_TIMERS, _LIMITS = Timers(), Limits()  # the defaults
Interval = Annotated[float, Meta(gt=0, le=3600, description="must be a number of seconds, more than 0")]

_LEAST, _DAY = 90, 86_400  # seconds; RFC 4028 5
SessionInterval = Annotated[int, Meta(ge=0, le=_DAY, description="must be whole seconds, up to a day; 0 for none")]
LeastInterval = Annotated[int, Meta(ge=_LEAST, le=_DAY, description="must be whole seconds, from 90 to a day")]


class TopEntry(Section, frozen=True):
    """The keys that stand in no table."""

    policy: File = ""
    user_agent: Line = ""


class TimersEntry(Section, frozen=True):
    """[timers]."""

    t1: Interval = _TIMERS.t1
    t2: Interval = _TIMERS.t2
    t4: Interval = _TIMERS.t4


class CallEntry(Section, frozen=True):
    """[call]."""

    max_duration: Seconds = _LIMITS.max_duration
    ring_timeout: Seconds = _LIMITS.ring_timeout
    probe: Seconds = _LIMITS.probe
    session_expires: SessionInterval = _LIMITS.session_expires
    min_se: LeastInterval = _LIMITS.min_se


class LimitsEntry(Section, frozen=True):
    """[limits]."""

    source_rate: Count = 0
    subscriptions: Count = _LIMITS.subscriptions
    spirals: Annotated[int, Meta(ge=0, lt=MAX_PASSES, description=f"must be a number from 0 to {MAX_PASSES - 1}")] = (
        _LIMITS.spirals
    )


class DnsEntry(Section, frozen=True):
    """[dns]."""

    servers: Texts = []


@dataclass(frozen=True, slots=True)
class Rest:
    """What depends on nothing else in the file."""

    timers: Timers
    call: Limits
    source_rate: int
    tls: TlsOutwards
    dns: tuple[tuple[str, int], ...]
    log: Log


def read_rest(reading: Reading) -> Rest:
    """[timers], [call], [limits], [tls], [dns] and [log]."""
    call = reading.section(CallEntry, "call").value
    if 0 < call.session_expires < call.min_se:
        right = f"must be 0, for none, or not shorter than min_se, which is {call.min_se}"
        reading.wrong("call.session_expires", call.session_expires, right)
    limits = reading.section(LimitsEntry, "limits").value
    return Rest(
        _timers(reading),
        Limits(
            call.max_duration,
            call.ring_timeout,
            call.probe,
            call.session_expires,
            call.min_se,
            limits.subscriptions,
            limits.spirals,
        ),
        limits.source_rate,
        _tls(reading),
        _dns(reading),
        reading.section(Log, "log").value,
    )


def read_top(reading: Reading) -> TopEntry:
    """The keys that stand in no table."""
    own = {field.name for field in fields(TopEntry)}
    return reading.entry(TopEntry, "", {key: value for key, value in reading.raw.items() if key in own}).value


def _timers(reading: Reading) -> Timers:
    value = reading.section(TimersEntry, "timers").value
    if value.t2 < value.t1:
        reading.wrong("timers.t2", value.t2, f"must not be shorter than t1, which is {value.t1:g}")
    return Timers(value.t1, value.t2, value.t4)


def _tls(reading: Reading) -> TlsOutwards:
    value = reading.section(TlsOutwards, "tls").value
    if value.ca == SYSTEM:
        return value
    path = reading.absolute(value.ca)
    try:
        read_certificates(path)
    except CertificateError as fault:
        reading.wrong("tls.ca", value.ca, f'{fault}; must be "system" or a PEM file of issuers')
    return replace(value, ca=path)


def _dns(reading: Reading) -> tuple[tuple[str, int], ...]:
    servers = []
    for text in reading.section(DnsEntry, "dns").value.servers:
        try:
            servers.append(nameserver(text))
        except ValueError:
            right = 'must be an address, with a port if it is not 53: "192.0.2.1", "[2001:db8::1]:5353"'
            reading.wrong("dns.servers", text, right)
    return tuple(servers)


def read_networks(reading: Reading, sockets: Sockets) -> dict[str, str]:
    """[networks]: destination network -> the listener or zone by which it is reached (S5)."""
    raw = reading.raw.get("networks", {})
    if not isinstance(raw, dict):
        reading.wrong("networks", raw, 'must be a table: [networks] with lines such as "10.0.0.0/8" = "private"')
        return {}
    networks = {}
    for text, name in raw.items():
        key = f'networks."{text}"'
        network = read_network(text, reading.complain(key))
        if not isinstance(name, str):
            reading.wrong(key, name, "must be the name of a listener or a zone")
        elif fault := sockets.fault(name):
            reading.wrong(key, name, fault)
        elif network is not None:
            networks[str(network)] = name
    return networks


def read_hiding(reading: Reading, zones: dict[str, Zone]) -> tuple[Override, ...]:
    """Every [[hiding]]."""
    overrides: dict[tuple[str, str], Override] = {}
    for entry in reading.sections(Override, "hiding"):
        value, key = entry.value, entry.key
        for name, zone in (("from", value.source), ("to", value.target)):
            if name in entry.fine:
                check_zones(reading, f"{key}.{name}", [zone], zones)
        for header in sorted(value.keep):
            _check_header(reading, f"{key}.keep", header, keep=frozenset({header}))
        for header in sorted(value.drop):
            _check_header(reading, f"{key}.drop", header, keep=value.keep & {header}, drop=frozenset({header}))
        for body in sorted(value.keep_bodies):
            _check_body(reading, f"{key}.keep_bodies", body, Override(keep_bodies=frozenset({body})))
        kept = {each.lower() for each in value.keep_bodies}
        for body in sorted(value.drop_bodies):
            twice = frozenset({body} if body.lower() in kept else ())
            _check_body(reading, f"{key}.drop_bodies", body, Override(keep_bodies=twice, drop_bodies=frozenset({body})))
        pair = value.source, value.target
        if {"from", "to"} <= entry.fine and pair in overrides:
            reading.wrong(key, NOTHING, f"another [[hiding]] is from {value.source} to {value.target}: make them one")
        overrides[pair] = value
    return tuple(overrides.values())


def _check_header(
    reading: Reading, key: str, header: str, keep: frozenset[str], drop: frozenset[str] = frozenset()
) -> None:
    anywhere = Zone("")
    try:
        Hiding(anywhere, anywhere, keep, drop)
    except ValueError as fault:
        reading.wrong(key, header, str(fault))


def _check_body(reading: Reading, key: str, body: str, value: Override) -> None:
    try:
        value.bodies()
    except ValueError as fault:
        reading.wrong(key, body, str(fault))


def read_manhole(reading: Reading, listeners: tuple[Listener, ...]) -> Manhole | None:
    """[manhole]; None where there is none."""
    if "manhole" not in reading.raw:
        return None
    entry = reading.section(Manhole, "manhole")
    value = entry.value
    users = reading.path("manhole.users", value.users) if "users" in entry.fine else ""
    try:
        address = ip_address(value.address)
    except ValueError:
        reading.wrong("manhole.address", value.address, 'must be an address: "127.0.0.1", "::1"')
        return None
    if not address.is_loopback and not entry.has("users"):
        message = f"missing: {address} can be reached from outside; make the file with b2bua passwd"
        reading.wrong("manhole.users", NOTHING, message)
    elif value.ssh_port and not entry.has("users"):
        reading.wrong("manhole.users", NOTHING, "missing: SSH asks for a user; make the file with b2bua passwd")
    if value.port and value.port == value.ssh_port:
        reading.wrong("manhole.ssh_port", value.ssh_port, "is the port of telnet too: give each its own")
    taken = {(each.address, each.port): each.name for each in listeners if each.transport != "udp"}
    for name, port in (("port", value.port), ("ssh_port", value.ssh_port)):
        if (str(address), port) in taken:
            reading.wrong(f"manhole.{name}", port, f"the listener {taken[str(address), port]} is there already")
    return replace(value, address=str(address), users=users)


def read_policy(reading: Reading, written: str) -> tuple[str, Script | None]:
    """The path of the script that `policy` names, and the script."""
    if not written:
        return "", None
    path = reading.absolute(written)
    try:
        return path, load_script(path)
    except ConfigurationError as error:
        reading.mistakes += error.mistakes
        return path, None
