"""What works, but not as one might think: said once, when the configuration is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from b2bua.call.registrar import Terms
from b2bua.config.media import unused
from b2bua.config.reading import Reading
from b2bua.config.routes import ways_out
from b2bua.policy.accounts import Account
from b2bua.policy.authentication import Realm
from b2bua.policy.groups import Group, Hop, hops
from b2bua.policy.media import RELAY, Anchoring, MediaSettings
from b2bua.policy.mistakes import NOTHING
from b2bua.policy.routing import AUTO, REGISTERED, Go, Rule
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import is_address
from b2bua.sip.listener import Listener

_IN_DIALOGS = ("ACK", "BYE", "CANCEL", "PRACK", "UPDATE")
_WHERE = frozenset({"method", "zone", "listener"})  # conditions that leave out nobody who comes by a listener
_BY_US = "media passes us by: the addresses in SDP cross, so hiding is incomplete"
_BY_DEFAULT = '[media] with default = "auto" anchors it'
_NOWHERE = MediaSettings()

Crossing = tuple[Listener, Listener, str]  # by what a call comes and leaves, and what its route says of media


def caution(
    reading: Reading,
    listeners: tuple[Listener, ...],
    groups: Mapping[str, Group],
    rules: tuple[Rule, ...],
    has_script: bool,
    zones: Collection[str] = (),
    media: MediaSettings = _NOWHERE,
) -> None:
    """Add to the warnings what a configuration without mistakes still deserves."""
    if not rules and not has_script:
        reading.warn("route", NOTHING, "there is no [[route]] and no policy: every call will be answered 404")
    looked_up = any(isinstance(rule.answer, Go) and REGISTERED in rule.answer.to for rule in rules)
    inwards = [
        number for number, rule in enumerate(rules, 1) if rule.asks_for("REGISTER") and isinstance(rule.answer, Go)
    ]
    if "registrar" not in reading.raw:
        for number in inwards:
            reading.warn(f"route[{number}]", NOTHING, "REGISTER is answered 405 all the same: there is no [registrar]")
    elif not looked_up and not inwards and not has_script:
        message = 'no [[route]] has to = "lookup": phones register, and nobody is sent to them'
        reading.warn("registrar", NOTHING, message)
    crossings = list[Crossing]()
    if has_script:
        _media_of_a_script(reading, listeners, media.anchoring)
        crossings += [(near, far, "") for near in listeners for far in listeners]
    else:
        unused(reading, media, _said_of_media(rules))
    for number, rule in enumerate(rules, 1):
        key = f"route[{number}]"
        for method in _IN_DIALOGS:
            if rule.asks_for(method):
                message = "goes with its call or subscription: no rule is asked where to"
                reading.warn(f"{key}.method", method, message)
        incoming = [each for each in listeners if rule.may_come_by(each)]
        if not incoming:
            reading.warn(key, NOTHING, "no request can fit: no listener has what its conditions ask for together")
        if isinstance(rule.answer, Go):
            reached = hops(rule.answer, groups)
            _own_sockets(reading, key, reached, listeners)
            asked = {hop.send_from for hop in reached} or {rule.answer.send_from}
            outgoing = may_leave_by(rule.answer, reached, listeners, zones)
            if rule.asks_for("INVITE") or not rule.asks_for("REGISTER"):
                said = rule.answer.options.media
                _media(reading, key, incoming, outgoing, AUTO in asked, media.anchoring, said)
                crossings += [(near, far, said) for near in incoming for far in outgoing]
    _shared_addresses(reading, media, crossings)
    _names_for_media(reading, media, crossings)


def open_registrar(
    reading: Reading,
    zones: Collection[Zone],
    terms: Terms,
    listeners: tuple[Listener, ...],
    rules: tuple[Rule, ...],
) -> None:
    """Say of each zone from which phones register with us, and not with somebody inside, without a password."""
    inwards = [rule for rule in rules if rule.asks_for("REGISTER") and isinstance(rule.answer, Go)]
    whole = [rule for rule in inwards if all(each.key in _WHERE for each in rule.matches)]
    for zone in zones:
        if "REGISTER" in zone.authenticate or (terms.zones and zone.name not in terms.zones):
            continue
        here = [each for each in listeners if each.zone == zone.name]
        if any(not any(rule.may_come_by(each) for rule in whole) for each in here):
            message = (
                f"in zone {zone.name} whoever says that he is alice is registered as alice and gets her calls: "
                'give the zone authenticate = ["REGISTER"], or the registrar zones without it'
            )
            reading.warn("registrar", NOTHING, message)


def same_realm(reading: Reading, realm: Realm, accounts: Iterable[Account]) -> None:
    """Say which of our credentials could answer a challenge of our own, which a next hop can have from us."""
    for number, account in enumerate(accounts, 1):
        if account.realm == realm.name:
            message = "is the realm of [authentication] too: its next hop could have us answer our own challenge"
            reading.warn(f"credentials[{number}].realm", account.realm, message)


def media_caution(
    incoming: Iterable[Listener],
    outgoing: Sequence[Listener],
    may: bool = False,
    anchoring: Anchoring = _NOWHERE.anchoring,
    route: str = "",
) -> str:
    """What is lost between these listeners where media goes past us (S45); empty when nothing is.

    `may` says that it is not certain that a request leaves by one of `outgoing`, `route` what its route says of media.
    """
    pairs = [(near, far) for near in incoming for far in outgoing if not anchoring.engine(near, far, route)]
    crossings = sorted({f"{near.zone} to {far.zone}" for near, far in pairs if near.zone != far.zone})
    mixed = any(near.family != far.family for near, far in pairs)
    found = []
    if crossings:
        found.append(f"from {' and '.join(crossings)}{' (if it is sent so)' if may else ''} {_BY_US}")
    if mixed:
        found.append("between IPv4 and IPv6 there is no audio without a media relay")
    return "; ".join(found)


def media_misfit(
    incoming: Iterable[Listener], outgoing: Sequence[Listener], anchoring: Anchoring, route: str = ""
) -> str:
    """Between which zones the parties cannot understand each other's media, and why; empty where they can."""
    found: dict[str, None] = {}
    for near in incoming:
        for far in outgoing:
            if why := anchoring.misfit(near, far, route):
                sides = (f"{zone} ({anchoring.profiles.get(zone, 'whatever')})" for zone in (near.zone, far.zone))
                found[f"from {' to '.join(sides)} there is no audio: {why}"] = None
    return "; ".join(found)


def _media(
    reading: Reading,
    key: str,
    incoming: Sequence[Listener],
    outgoing: Sequence[Listener],
    may: bool,
    anchoring: Anchoring,
    route: str,
) -> None:
    """Say what a route loses, and how it would not."""
    if text := media_caution(incoming, outgoing, may, anchoring, route):
        how = 'media = "auto" here anchors it' if "media" in reading.raw or route else _BY_DEFAULT
        reading.warn(key, NOTHING, f"{text}; {how}")
    if text := media_misfit(incoming, outgoing, anchoring, route):
        reading.warn(key, NOTHING, f"{text}; an [[engine]] of rtpengines does")


def _media_of_a_script(reading: Reading, listeners: Sequence[Listener], anchoring: Anchoring) -> None:
    """The same for a policy script, which may send from anywhere to anywhere."""
    key, path = "policy", reading.raw["policy"]
    crossing = [(near, far) for near in listeners for far in listeners if near.zone != far.zone]
    lost = [(near, far) for near, far in crossing if not anchoring.engine(near, far)]
    pairs = sorted({" and ".join(sorted((near.zone, far.zone))) for near, far in lost})
    if lost:
        where = f"between {', '.join(pairs)}" if len(lost) < len(crossing) else "to another zone"
        reading.warn(key, path, f"where it sends a call {where}, {_BY_US}; {_BY_DEFAULT}")
    if text := media_misfit(listeners, listeners, anchoring):
        reading.warn(key, path, f"where it sends a call so: {text}; an [[engine]] of rtpengines does")


def _shared_addresses(reading: Reading, media: MediaSettings, crossings: Iterable[Crossing]) -> None:
    """Say which engines tell two zones the same address, as nobody has said which of theirs is on which side.

    Where there are interfaces for some zones only, that has been said of the others.
    """
    shared: dict[str, set[str]] = {}
    for near, far, route in crossings:
        if near.zone != far.zone and not media.parts(near, far, route):
            pair = " and ".join(sorted((near.zone, far.zone)))
            shared.setdefault(media.anchoring.engine(near, far, route), set()).add(pair)
    for number, each in enumerate(media.engines, 1):
        if each.name in shared and not each.interfaces:
            message = (
                f"says nothing: between {', '.join(sorted(shared[each.name]))} both sides are told an address of a "
                "daemon's first interface, and the leak guard leaves addresses of media alone"
            )
            reading.warn(f"engine[{number}].interfaces", NOTHING, message)


def _names_for_media(reading: Reading, media: MediaSettings, crossings: Iterable[Crossing]) -> None:
    """Say which listeners advertise a name where the relay tells an address: that can only be the bound one."""
    relayed = [(near, far) for near, far, route in crossings if media.anchoring.engine(near, far, route) == RELAY]
    told = {each for pair in relayed for each in pair if each.advertise_host and not is_address(each.advertise_host)}
    for number, raw in enumerate(reading.raw.get("listener", ()), 1):
        text = str(raw.get("advertise", ""))
        of_it = {
            each.address
            for each in told
            if text.startswith(each.advertise_host) and (each.zone, each.transport) == (raw["zone"], raw["transport"])
        }
        for address in sorted(of_it):
            message = f"is a name: for media the relay tells the address it is bound to, {address}, and not another one"
            reading.warn(f"listener[{number}].advertise", text, message)


def _said_of_media(rules: Iterable[Rule]) -> list[str]:
    return [rule.answer.options.media for rule in rules if isinstance(rule.answer, Go)]


def may_leave_by(
    answer: Go, reached: list[Hop], listeners: tuple[Listener, ...], zones: Collection[str]
) -> list[Listener]:
    """The listeners by which `reached`, an answer's hops, may be reached.

    `zones` are where phones register; everywhere where there are none.
    """
    ways = [ways_out(listeners, hop.send_from, hop.uri) for hop in reached]
    if REGISTERED in answer.to:
        ways.append([each for each in listeners if not zones or each.zone in zones])
    ways = ways or [ways_out(listeners, answer.send_from, None)]
    return [each for each in listeners if any(each in way for way in ways)]


def _own_sockets(reading: Reading, key: str, reached: list[Hop], listeners: tuple[Listener, ...]) -> None:
    for hop in reached:
        for listener in listeners:
            if listener.is_me(hop.uri):
                reading.warn(
                    f"{key}.to", str(hop.uri), f"is our own listener {listener.name}: the call would come back"
                )
                break
