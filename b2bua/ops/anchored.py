"""Who carries media, in words: between two legs for `explain`, of a whole configuration for `check`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from b2bua.config import Configuration
from b2bua.config.cautions import may_leave_by
from b2bua.ops.tables import details, table
from b2bua.ops.ways import Rows
from b2bua.policy.groups import hops
from b2bua.policy.media import AUTO, RELAY, EngineSettings, MediaSettings
from b2bua.policy.routing import Go, Rule
from b2bua.sip.listener import Listener

BY_US = "passes us by"


def of_call(media: MediaSettings, near: Listener, far: Listener, route: str) -> Rows:
    """Whether a call's media is anchored, by whom, and what each side is told; `route` is what its route says."""
    try:
        media.anchoring.check(route)
    except LookupError as error:
        return [("media", f"answered 500: {error}")]
    name = media.anchoring.engine(near, far, route)
    if not name:
        return [("media", f"{BY_US}: each side is told the other's addresses")]
    return [
        ("media", f"anchored by {name}"),
        ("caller is told", _told(media, name, near)),
        ("callee is told", _told(media, name, far)),
    ]


def _told(media: MediaSettings, name: str, listener: Listener) -> str:
    """The address, and the profile, by which one side meets its media."""
    profile = media.anchoring.profiles.get(listener.zone, "")
    as_what = f", as {profile}" if profile else ""
    if name == RELAY:
        return f"{listener.media_address}{as_what}"
    engine = next((each for each in media.engines if each.name == name), EngineSettings(name))
    interface = engine.interfaces.get(listener.zone)
    which = f"of {name}'s interface {interface}" if interface else f"of {name}'s own choice"
    return f"an IPv{listener.family} address {which}{as_what}"


def of_configuration(configuration: Configuration) -> str:
    """Each pair of zones with whoever carries media between them, also by which routes else, and the engines."""
    media, listeners = configuration.media, configuration.listeners
    pairs, routes = list(_pairs(configuration)), _by_routes(configuration)
    used = _said(media, configuration.rules)
    carried = table(
        ("between", "carried by"),
        [
            (f"{one} and {other}", "; ".join([name or f"nobody: it {BY_US}", *_else(routes, one, other, name)]))
            for (one, other), name in pairs
        ],
    )
    parts = [f"Media\n{carried}"]
    if RELAY in used:
        first, last = media.ports
        addresses = " and ".join(dict.fromkeys(each.address for each in listeners))
        rows: Rows = [("ports", f"UDP {first} to {last} on {addresses}")]
        parts.append(f"Relay\n{details([*rows, *_silence(media)], '  ')}")
    for engine in media.engines:
        parts.append(f"Engine {engine.name}\n{details([*_engine(engine), *_silence(media)], '  ')}")
    return "\n\n".join(parts) + "\n"


def _pairs(configuration: Configuration) -> Iterator[tuple[tuple[str, str], str]]:
    """Two zones, and who carries media between their listeners where no route says otherwise."""
    zones: dict[str, list[Listener]] = {}
    for each in configuration.listeners:
        zones.setdefault(each.zone, []).append(each)
    names = list(zones)
    for number, one in enumerate(names):
        for other in names[number:]:
            yield (one, other), _between(configuration.media, zones[one], zones[other])


def _by_routes(configuration: Configuration) -> dict[tuple[str, str], dict[str, list[str]]]:
    """Two zones, and by the engine that routes say there, or "nobody", the routes' names."""
    phones = configuration.registrar.zones if configuration.registrar else ()
    listeners, anchoring = configuration.listeners, configuration.media.anchoring
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for rule in configuration.rules:
        if not isinstance(rule.answer, Go) or not (said := rule.answer.options.media):
            continue
        leaving = may_leave_by(rule.answer, hops(rule.answer, configuration.groups), listeners, phones)
        for near in [each for each in listeners if rule.may_come_by(each)]:
            for far in leaving:
                for pair in {(near.zone, far.zone), (far.zone, near.zone)}:
                    names = found.setdefault(pair, {}).setdefault(anchoring.engine(near, far, said) or "nobody", [])
                    if rule.name not in names:
                        names.append(rule.name)
    return found


def _else(routes: Mapping[tuple[str, str], Mapping[str, list[str]]], one: str, other: str, usual: str) -> list[str]:
    """What routes say of two zones, where it is not as usual: `by route in: relay`."""
    return [
        f"by route{'s' if len(names) > 1 else ''} {', '.join(names)}: {engine}"
        for engine, names in routes.get((one, other), {}).items()
        if engine != (usual or "nobody")
    ]


def _between(media: MediaSettings, ones: Sequence[Listener], others: Sequence[Listener]) -> str:
    """`relay`, `relay, between IPv4 and IPv6 only`; empty for nobody."""
    found = {media.anchoring.engine(one, other) for one in ones for other in others}
    name = max(found, default="")
    return f"{name}, between IPv4 and IPv6 only" if name and "" in found else name


def _said(media: MediaSettings, rules: Iterable[Rule]) -> set[str]:
    """The engines that routes and [media] name."""
    said = {rule.answer.options.media for rule in rules if isinstance(rule.answer, Go)}
    said |= {media.anchoring.default, *media.anchoring.between.values()}
    return {media.anchoring.auto if each == AUTO else each for each in said}


def _engine(engine: EngineSettings) -> Rows:
    daemons = ", ".join(f"{each} (weight {each.weight})" for each in engine.daemons)
    interfaces = ", ".join(f"{zone}: {name}" for zone, name in engine.interfaces.items())
    return [
        ("daemons", daemons),
        ("interfaces", interfaces or "as the daemons choose"),
        ("questions", f"answered within {engine.patience:g} s; asked whether they are alive every {engine.ping:g} s"),
    ]


def _silence(media: MediaSettings) -> Rows:
    return [("silence", f"ends a call after {media.silence:g} s")] if media.silence else []
