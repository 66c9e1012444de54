"""[[zone]] and [[listener]]: the sides of the border and our sockets on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from b2bua.config.authentication import Methods, read_methods
from b2bua.config.reading import Count, Entry, File, Flag, Name, Port, Rate, Reading, Section, Tables, Text, Texts
from b2bua.net.certificates import KeyPair, ServerFiles
from b2bua.net.devices import Devices, NoDevice, address_of, described, every_address
from b2bua.policy.admission import Quota
from b2bua.policy.guard import Mode
from b2bua.policy.match import Known
from b2bua.policy.media import Profile
from b2bua.policy.mistakes import NOTHING, among, shown
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import Malformed, parse_host, parse_host_port
from b2bua.sip.listener import Listener
from b2bua.sip.uri import DEFAULT_PORTS

RULE = "the configuration"
RESERVED = frozenset({"auto", "request-uri"})
_FILES = ("certificate", "key")
_TLS_ONLY = (*_FILES, "client_certificate", "client_ca", "certificates")

Hosts = Annotated[
    list[Literal["From", "To", "Request-URI"]], Meta(description='must be a list of "From", "To" and "Request-URI"')
]

Leaks = Annotated[Mode, Meta(description='must be "count", "log", "redact" or "refuse"')]


class ZoneEntry(Section, frozen=True):
    """One [[zone]]."""

    required: ClassVar = ("name",)
    name: Name = ""
    trusted: Flag = False
    keep_hosts: Hosts = []
    calls: Count = 0
    rate: Rate = 0.0
    leaks: Leaks = "log"
    authenticate: Methods = []
    media_profile: Annotated[
        Profile, Meta(description='must be "plain", "srtp" or "webrtc", or empty for what the other side says')
    ] = ""


class ListenerEntry(Section, frozen=True):
    """One [[listener]]."""

    required: ClassVar = ("name", "zone", "transport")
    name: Name = ""
    zone: Text = ""
    transport: Annotated[Literal["udp", "tcp", "tls"], Meta(description='must be "udp", "tcp" or "tls"')] = "udp"
    address: Text = ""
    device: Text = ""
    family: Annotated[Literal[4, 6], Meta(description="must be 4 or 6")] = 4
    index: Annotated[int, Meta(ge=0, description="must be a number: 0 is the device's first address")] = 0
    port: Port = 0
    advertise: Text = ""
    aliases: Texts = []
    force_rport: Flag = False
    certificate: File = ""
    key: File = ""
    client_certificate: Annotated[
        Literal["none", "optional", "required"], Meta(description='must be "none", "optional" or "required"')
    ] = "none"
    client_ca: File = ""
    certificates: Tables = []


class CertificateEntry(Section, frozen=True):
    """One of a listener's `certificates`."""

    required: ClassVar = ("name", "certificate", "key")
    name: Text = ""
    certificate: File = ""
    key: File = ""


@dataclass(slots=True)
class Sockets:
    """The listeners that could be made, and the names that the file gives, also to those that could not.

    `names` maps a configured name to the listeners that it stands for: several for one that is bound to a wildcard
    address (S8), none for one with mistakes in it. `whole` says that every listener of the file could be made.
    """

    zones: frozenset[str]
    listeners: tuple[Listener, ...] = ()
    tls_files: dict[str, ServerFiles] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    whole: bool = True

    @property
    def known(self) -> Known:
        """The names for the rules' conditions."""
        return Known(self.zones, self.names)

    def listener(self, name: str) -> Listener | None:
        """The listener of exactly this name."""
        return next((each for each in self.listeners if each.name == name), None)

    def fault(self, name: str) -> str:
        """What is wrong with a name that is to mean a listener or a zone; empty when it means one."""
        if name in self.zones or self.listener(name) is not None:
            return ""
        stands_for = self.names.get(name)
        if stands_for is None:
            listeners = {each.name for each in self.listeners} | {each for each, of in self.names.items() if not of}
            return f"no listener or zone of that name; {among(listeners)}; of zones {among(self.zones)}"
        if stands_for:
            return f"a wildcard address is a listener for each address: name one of {', '.join(stands_for)}, or a zone"
        return ""


def read_zones(reading: Reading) -> dict[str, Zone]:
    """Every [[zone]] by name."""
    zones: dict[str, Zone] = {}
    for entry in reading.sections(ZoneEntry, "zone"):
        name = entry.value.name
        if _new_name(reading, entry, name, zones, "zone"):
            value = entry.value
            quota = Quota(value.calls, value.rate)
            asks = read_methods(reading, f"{entry.key}.authenticate", value.authenticate)
            hosts = frozenset(value.keep_hosts)
            zones[name] = Zone(name, value.trusted, hosts, quota, value.leaks, asks, value.media_profile)
    return zones


def check_zones(reading: Reading, key: str, names: Iterable[str], zones: Collection[str]) -> None:
    """Say of each name under `key` that is no zone's which ones there are."""
    for name in names:
        if name not in zones:
            reading.wrong(key, name, f"no zone of that name; {among(zones)}")


def read_listeners(reading: Reading, zones: dict[str, Zone], machine: Devices) -> Sockets:
    """Every [[listener]], with one for each address of the machine where a wildcard address is given (S8)."""
    sockets = Sockets(frozenset(zones))
    made: list[tuple[str, Listener]] = []
    for entry in reading.sections(ListenerEntry, "listener"):
        before = len(reading.mistakes)
        if _new_name(reading, entry, entry.value.name, sockets.names, "listener"):
            sockets.names[entry.value.name] = ()
        listeners = _listeners(reading, entry, zones, machine)
        files = _tls_files(reading, entry)
        if len(reading.mistakes) > before:
            sockets.whole = False
            continue
        if entry.value.name in zones:
            message = "a zone has this name too: send_from will mean the listener"
            reading.warn(f"{entry.key}.name", entry.value.name, message)
        sockets.names[entry.value.name] = tuple(each.name for each in listeners)
        made += [(entry.key, each) for each in listeners]
        if files is not None:
            sockets.tls_files |= {each.name: files for each in listeners}
    if "listener" not in reading.raw:
        reading.wrong("listener", NOTHING, "missing: at least one [[listener]] is needed")
    _same_sockets(reading, made)
    sockets.listeners = tuple(listener for _, listener in made)
    return sockets


def _new_name(
    reading: Reading, entry: Entry[ZoneEntry] | Entry[ListenerEntry], name: str, known: Collection[str], what: str
) -> bool:
    """Whether an entry has a name of its own."""
    if name in RESERVED:
        reading.wrong(f"{entry.key}.name", name, "this word has a meaning of its own in rules; choose another name")
        return False
    if name in known:
        reading.wrong(f"{entry.key}.name", name, f"another {what} has this name already")
        return False
    return bool(name)


def _listeners(
    reading: Reading, entry: Entry[ListenerEntry], zones: dict[str, Zone], machine: Devices
) -> list[Listener]:
    value, key = entry.value, entry.key
    if "zone" in entry.fine:
        check_zones(reading, f"{key}.zone", [value.zone], zones)
    host, advertised = _advertised(reading, entry)
    aliases = tuple(filter(None, (_alias(reading, f"{key}.aliases", alias) for alias in value.aliases)))
    return [
        Listener(
            name=name,
            zone=value.zone,
            transport=value.transport,
            address=address,
            port=value.port or DEFAULT_PORTS[value.transport],
            advertise_host=host,
            advertise_port=advertised,
            aliases=aliases,
            device=device,
            force_rport=value.force_rport,
        )
        for name, address, device in _places(reading, entry, machine)
    ]


Place = tuple[str, str, str]  # of one socket: the listener's name, address and device, empty where it is not known


def _places(reading: Reading, entry: Entry[ListenerEntry], machine: Devices) -> list[Place]:
    """The sockets that an entry asks for."""
    value, key = entry.value, entry.key
    for only in ("family", "index"):
        if entry.has(only) and not entry.has("device"):
            reading.wrong(f"{key}.{only}", entry.raw[only], "belongs to device, which is not given")
    if entry.has("address") and entry.has("device"):
        reading.wrong(f"{key}.device", entry.raw["device"], "give address or device, not both")
    elif "device" in entry.fine:
        try:
            return [(value.name, address_of(value.device, value.family, value.index, machine), value.device)]
        except NoDevice as fault:
            reading.wrong(f"{key}.device", value.device, str(fault))
    elif "address" in entry.fine:
        return _at_address(reading, entry, machine)
    elif not entry.has("address") and not entry.has("device"):
        reading.wrong(f"{key}.address", NOTHING, "missing: give an address or a device")
    return []


def _at_address(reading: Reading, entry: Entry[ListenerEntry], machine: Devices) -> list[Place]:
    text, name, key = entry.value.address, entry.value.name, f"{entry.key}.address"
    try:
        address = ip_address(text)
    except ValueError:
        reading.wrong(key, text, 'must be an address without port or brackets: "192.0.2.1" or "2001:db8::1"')
        return []
    if "%" in text or address.version == 6 and address.is_link_local:
        reading.wrong(
            key, text, "a link-local address means nothing beyond its link, and no message may carry it: use another"
        )
        return []
    if address.is_multicast or text == "255.255.255.255":
        reading.wrong(key, text, "must be an address of one machine, not of a group")
        return []
    if address.version == 6 and address.ipv4_mapped:
        reading.wrong(key, text, f'an IPv4 address in disguise: write "{address.ipv4_mapped}"')
        return []
    ours = dict(every_address(address.version, machine))
    if address.is_unspecified:
        if not ours:
            reading.wrong(key, text, f"this machine has no IPv{address.version} address; it has: {described(machine)}")
        return [(f"{name}@{each}", each, device) for each, device in ours.items()]
    if str(address) not in ours and not address.is_loopback:
        listed = f"its IPv{address.version} addresses are: {', '.join(ours) or 'none'}"
        reading.warn(key, text, f"this machine does not have the address now; {listed}")
    return [(name, str(address), ours.get(str(address), ""))]


def _advertised(reading: Reading, entry: Entry[ListenerEntry]) -> tuple[str, int]:
    text = entry.value.advertise
    if not text:
        return "", 0
    try:
        host, port = parse_host_port(text, RULE)
    except Malformed as fault:
        example = '"sbc.example.com", "192.0.2.1:5070" or "[2001:db8::1]:5060"'
        message = f"{fault.reason}; must be a host, with a port if it is another: {example}"
        reading.wrong(f"{entry.key}.advertise", text, message)
        return "", 0
    return host, port or 0


def _alias(reading: Reading, key: str, text: str) -> str:
    try:
        return parse_host(text, RULE).lower()
    except Malformed as fault:
        reading.wrong(key, text, f"{fault.reason}; must be a host without a port, IPv6 in brackets")
        return ""


def _tls_files(reading: Reading, entry: Entry[ListenerEntry]) -> ServerFiles | None:
    """The TLS files of one listener; None where there are none, or, after saying so, where they cannot be used."""
    value, key = entry.value, entry.key
    if "transport" not in entry.fine:
        return None
    if value.transport != "tls":
        for name in _TLS_ONLY:
            if entry.has(name):
                reading.wrong(f"{key}.{name}", entry.raw[name], f"belongs to TLS; this listener is {value.transport}")
        return None
    before = len(reading.mistakes)
    paths: Paths = {}
    for name in _FILES:
        if not entry.has(name):
            reading.wrong(f"{key}.{name}", NOTHING, "missing: a TLS listener needs a certificate and its key")
    default = KeyPair(*(_path(reading, entry, name, paths) for name in _FILES))
    named = []
    for number, raw in enumerate(value.certificates, 1):
        pair = reading.entry(CertificateEntry, f"{key}.certificates[{number}]", raw)
        certificate, private = (_path(reading, pair, name, paths) for name in _FILES)
        named.append(KeyPair(certificate, private, pair.value.name))
    if value.client_certificate != "none" and not entry.has("client_ca"):
        message = f"missing: client_certificate = {shown(value.client_certificate)} needs it"
        reading.wrong(f"{key}.client_ca", NOTHING, message)
    if value.client_certificate == "none" and entry.has("client_ca"):
        reading.wrong(f"{key}.client_ca", value.client_ca, 'needs client_certificate = "optional" or "required"')
    files = ServerFiles(default, tuple(named), value.client_certificate, _path(reading, entry, "client_ca", paths))
    if len(reading.mistakes) == before:
        for fault in files.faults():
            where, written = paths[fault.file]
            reading.wrong(where, written, fault.reason)
    return files


Paths = dict[str, tuple[str, str]]  # an absolute path: the key and the value that gave it


def _path(reading: Reading, entry: Entry[ListenerEntry] | Entry[CertificateEntry], name: str, paths: Paths) -> str:
    """The absolute path of a file that an entry names, if it does; `paths` remembers where."""
    if name not in entry.fine:
        return ""
    written: str = entry.raw[name]
    path = reading.path(f"{entry.key}.{name}", written)
    paths.setdefault(path, (f"{entry.key}.{name}", written))
    return path


def _same_sockets(reading: Reading, made: list[tuple[str, Listener]]) -> None:
    """No two listeners on one socket; TCP and TLS are the same there."""
    seen: dict[tuple[bool, str, int], Listener] = {}
    for key, listener in made:
        socket = listener.transport == "udp", listener.address, listener.port
        other = seen.setdefault(socket, listener)
        if other is not listener:
            reading.wrong(
                f"{key}.port",
                listener.port,
                f"{listener.name} ({listener.transport}) and {other.name} ({other.transport}) are both on "
                f"{listener.address} port {listener.port}",
            )
