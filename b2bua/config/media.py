"""[media] and [[engine]]: who carries the media of calls, and how."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, ClassVar

from msgspec import Meta, field

from b2bua.config.reading import Entry, Name, Reading, Seconds, Section, Table, Tables, Text
from b2bua.config.sockets import Sockets, check_zones
from b2bua.policy.media import (
    AUTO,
    NONE,
    RELAY,
    RESERVED,
    Anchoring,
    Daemon,
    EngineSettings,
    MediaSettings,
    misfit,
)
from b2bua.policy.mistakes import NOTHING, among
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import Malformed, is_address, parse_host_port

FEWEST = 4  # ports: RTP and RTCP on either side of one call
_DEFAULTS = MediaSettings()
_ENGINE = EngineSettings("")

Ports = Annotated[
    list[Annotated[int, Meta(ge=1024, le=65535)]],
    Meta(
        min_length=2,
        max_length=2,
        description="must be the first and the last UDP port, from 1024 to 65535: [30000, 39999]",
    ),
]
Zones = Annotated[
    list[str], Meta(min_length=2, max_length=2, description='must be a list of two zones: ["public", "private"]')
]
Share = Annotated[int, Meta(ge=1, le=65535, description="must be a number from 1 to 65535")]
Patience = Annotated[float, Meta(ge=0.1, le=10, description="must be seconds, from 0.1 to 10")]
Ping = Annotated[float, Meta(ge=1, le=3600, description="must be seconds, from 1 to an hour")]


class MediaEntry(Section, frozen=True):
    """[media]."""

    default: Text = AUTO
    between: Tables = []
    auto: Text = RELAY
    ports: Ports = field(default_factory=lambda: list(_DEFAULTS.ports))
    silence: Seconds = _DEFAULTS.silence


class BetweenEntry(Section, frozen=True):
    """One of [media]'s `between`."""

    required: ClassVar = ("zones", "media")
    zones: Zones = []
    media: Text = ""


class EngineEntry(Section, frozen=True):
    """One [[engine]]."""

    required: ClassVar = ("name", "daemons")
    name: Name = ""
    daemons: Tables = []
    interfaces: Annotated[Table, Meta(description='must be a table of zones: {public = "outside"}')] = {}
    patience: Patience = _ENGINE.patience
    ping: Ping = _ENGINE.ping


class DaemonEntry(Section, frozen=True):
    """One of an engine's `daemons`."""

    required: ClassVar = ("address",)
    address: Text = ""
    weight: Share = 1


def media_fault(name: str, engines: Iterable[str], words: Collection[str] = (NONE, AUTO, RELAY)) -> str:
    """What is wrong with a name that is to mean one of `words` or an engine; empty when it does."""
    known = [*words, *engines]
    if name in known:
        return ""
    meant = get_close_matches(name, known, 1, 0.6)
    hint = f'did you mean "{meant[0]}"?' if meant else among(known)
    return f"no [[engine]] of that name; {hint}"


def read_engines(reading: Reading, zones: Collection[str]) -> dict[str, EngineSettings]:
    """Every [[engine]] by name; one with mistakes in it too, so that routes may still name it."""
    engines: dict[str, EngineSettings] = {}
    for entry in reading.sections(EngineEntry, "engine"):
        value, key = entry.value, entry.key
        if value.name in RESERVED:
            reading.wrong(f"{key}.name", value.name, "this word has a meaning of its own; choose another name")
        elif value.name in engines:
            reading.wrong(f"{key}.name", value.name, "another engine has this name already")
        daemons, interfaces = _daemons(reading, entry), _interfaces(reading, entry, zones)
        if value.name and value.name not in RESERVED:
            engines[value.name] = EngineSettings(value.name, daemons, interfaces, value.patience, value.ping)
    return engines


def _interfaces(reading: Reading, entry: Entry[EngineEntry], zones: Collection[str]) -> dict[str, str]:
    key = f"{entry.key}.interfaces"
    check_zones(reading, key, entry.value.interfaces, zones)
    interfaces = {}
    for zone, name in entry.value.interfaces.items():
        if isinstance(name, str) and name and name.isprintable() and " " not in name:
            interfaces[zone] = name
        else:
            reading.wrong(f"{key}.{zone}", name, "must be a daemon's own name for an address, one word")
    if interfaces and (left := sorted(set(zones) - interfaces.keys())):
        message = "calls from or to there are on a daemon's first interface, on both sides"
        reading.warn(key, NOTHING, f"says nothing of {' and '.join(left)}: {message}")
    return interfaces


def _daemons(reading: Reading, entry: Entry[EngineEntry]) -> tuple[Daemon, ...]:
    daemons: dict[tuple[str, int], Daemon] = {}
    if "daemons" in entry.fine and not entry.value.daemons:
        reading.wrong(f"{entry.key}.daemons", [], "an empty list: an engine has at least one daemon")
    for number, raw in enumerate(entry.value.daemons, 1):
        each = reading.entry(DaemonEntry, f"{entry.key}.daemons[{number}]", raw)
        if "address" not in each.fine:
            continue
        key, text = f"{each.key}.address", each.value.address
        place = _place(text)
        if place is None:
            right = 'must be an address and the port of its ng protocol: "127.0.0.1:2223", "[::1]:2223"'
            reading.wrong(key, text, right)
        elif place in daemons:
            reading.wrong(key, text, "another daemon of the engine has this address: give that one more weight")
        else:
            daemons[place] = Daemon(*place, each.value.weight)
    return tuple(daemons.values())


def _place(text: str) -> tuple[str, int] | None:
    """An address, not a name, and a port; None where it is not that."""
    try:
        host, port = parse_host_port(text, "")
    except Malformed:
        return None
    host = host.strip("[]")
    return (host, port) if port and is_address(host) else None


def read_media(
    reading: Reading, zones: Mapping[str, Zone], sockets: Sockets, engines: Mapping[str, EngineSettings]
) -> MediaSettings:
    """[media]: what routes that say nothing do, and what the relay may take."""
    entry = reading.section(MediaEntry, "media")
    value = entry.value
    given = "media" in reading.raw
    for name, said, words in (("default", value.default, (NONE, AUTO, RELAY)), ("auto", value.auto, (RELAY,))):
        if fault := media_fault(said, engines, words):
            reading.wrong(f"media.{name}", said, fault)
    profiles = {zone.name: zone.media_profile for zone in zones.values() if zone.media_profile}
    between = _between(reading, value, zones, engines)
    default = value.default if given else NONE
    anchoring = Anchoring(default, between, value.auto, profiles, frozenset(engines))
    first, last = value.ports
    if given:
        _check_ports(reading, first, last, sockets)
    return MediaSettings(anchoring, (first, last), value.silence, tuple(engines.values()), given or bool(engines))


def _between(
    reading: Reading, value: MediaEntry, zones: Mapping[str, Zone], engines: Collection[str]
) -> dict[frozenset[str], str]:
    """What is said for pairs of zones."""
    pairs: dict[frozenset[str], str] = {}
    for number, raw in enumerate(value.between, 1):
        each = reading.entry(BetweenEntry, f"media.between[{number}]", raw)
        said = each.value.media
        if "media" in each.fine and (fault := media_fault(said, engines)):
            reading.wrong(f"{each.key}.media", said, fault)
        if "zones" not in each.fine:
            continue
        one, other = each.value.zones
        check_zones(reading, f"{each.key}.zones", dict.fromkeys((one, other)), zones)
        pair = frozenset((one, other))
        if pair in pairs:
            reading.wrong(f"{each.key}.zones", [one, other], "what is between these zones has been said already")
            continue
        pairs[pair] = said
        means = value.auto if said == AUTO and one != other else said
        spoken = [(zone, zones[zone].media_profile) for zone in (one, other) if zone in zones]
        if means == RELAY and len(spoken) == 2 and (why := misfit(RELAY, spoken[0][1], spoken[1][1])):
            profiles = ", ".join(f"{zone}: {profile}" for zone, profile in spoken if profile)
            reading.wrong(f"{each.key}.media", said, f"{why} ({profiles}); name an [[engine]] of rtpengines")
    return pairs


def _check_ports(reading: Reading, first: int, last: int, sockets: Sockets) -> None:
    """Enough ports, none of which is a listener's own."""
    if last - first < FEWEST - 1:
        reading.wrong("media.ports", [first, last], f"must be at least {FEWEST} ports, the first before the last")
        return
    for each in sockets.listeners:
        if each.transport == "udp" and first <= each.port <= last:
            message = f"the listener {each.name} is on UDP port {each.port} of {each.address}: leave it out"
            reading.wrong("media.ports", [first, last], message)


def unused(reading: Reading, media: MediaSettings, routes: Iterable[str]) -> None:
    """Warn of engines that nobody names. `routes` are the words of the routes."""
    anchoring = media.anchoring
    said = {anchoring.default, *anchoring.between.values(), *routes}
    if AUTO in said:
        said.add(anchoring.auto)
    for number, each in enumerate(media.engines, 1):
        if each.name not in said:
            message = "is named by no route and no pair of zones: nobody's media goes there"
            reading.warn(f"engine[{number}].name", each.name, message)
    if media.anchoring.auto != RELAY and AUTO not in said:
        reading.warn("media.auto", anchoring.auto, 'has no effect: nobody says "auto"')
