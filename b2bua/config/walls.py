"""What the leak guard needs of the configuration: whose each host is, and which headers may name them (S42)."""

from __future__ import annotations

from collections.abc import Iterable

from b2bua.config.routes import ways_out
from b2bua.config.values import Configuration
from b2bua.policy.guard import Wall
from b2bua.policy.routing import Go
from b2bua.sip.headers import TABLE, Verdict


def hosts(configuration: Configuration) -> dict[str, set[str]]:
    """What is called by name or address in each zone: our listeners and the next hops that can only be there."""
    listeners = configuration.listeners
    found: dict[str, set[str]] = {}
    for each in listeners:
        found.setdefault(each.zone, set()).update((each.address, each.host, each.media_address, *each.aliases))
    for rule in configuration.rules:
        if isinstance(rule.answer, Go):
            for uri in rule.answer.to:
                ways = {each.zone for each in ways_out(listeners, rule.answer.send_from, uri)}
                if len(ways) == 1:
                    found[ways.pop()].add(uri.params.get("maddr") or uri.host)
    return found


def walls(configuration: Configuration) -> dict[str, Wall]:
    """The wall around each zone, by its name; none where there is one zone only."""
    known = hosts(configuration)
    if len(known) < 2:
        return {}
    zone_of = {each.name: each.zone for each in configuration.listeners}
    networks = [(network, zone_of.get(name, name)) for network, name in configuration.networks.items()]
    every = set[str]().union(*known.values())
    anchored = {zone: anchored_from(configuration, zone, known) for zone in known}
    return {zone: Wall(zone, own, every - own, networks, anchored[zone]) for zone, own in known.items()}


def anchored_from(configuration: Configuration, zone: str, zones: Iterable[str]) -> list[str]:
    """The zones from which media comes to `zone` by us, whatever a route or a script says.

    Not those with which it has a daemon's address in common: that may be another zone's too.
    """
    here = [each for each in configuration.listeners if each.zone == zone]
    routes = {rule.answer.options.media for rule in configuration.rules if isinstance(rule.answer, Go)} | {""}
    if configuration.script is not None or not configuration.anchors:
        return []
    parts = configuration.media.parts
    found = []
    for other in zones:
        there = [each for each in configuration.listeners if each.zone == other]
        if other != zone and all(parts(near, far, said) for near in there for far in here for said in routes):
            found.append(other)
    return found


def uncovered(configuration: Configuration) -> dict[tuple[str, str], frozenset[str]]:
    """By (source zone, target zone): the headers, in lower case, that may name the source's hosts to the target.

    They cross as they are because the operator says so, or because both zones trust each other.
    """
    kept = {(each.source, each.target): each.keep for each in configuration.hiding}
    found = {}
    for pair, table in configuration.hiding_tables().items():
        trusted = {row.name for row in TABLE if row.verdict is Verdict.TRUSTED and table.explain(row.name)[0]}
        names = trusted | kept.get(pair, frozenset()) | table.target.keep_hosts
        found[pair] = frozenset(name.lower() for name in names)
    return found
