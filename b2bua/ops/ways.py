"""The ways to a next hop: its addresses, and for each the listener that would be used and why, or why there is none.

Shared by `explain`, `check` and the watch over the configured next hops, so that all three say what a call would find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from b2bua.call.wire import Wire
from b2bua.policy.groups import Group, hops
from b2bua.policy.interface import Choice, Kernel, NoInterface
from b2bua.policy.routing import Go, Rule
from b2bua.sip.grammar import is_address
from b2bua.sip.listener import Listener, Target
from b2bua.sip.message import Request
from b2bua.sip.uri import Uri
from b2bua.sip.via import MAGIC_COOKIE

BRANCH = f"{MAGIC_COOKIE}..."  # stands for one that is new each time
TOKEN = "..."  # likewise

Rows = list[tuple[str, object]]


@dataclass(slots=True)
class Way:
    """One address of a next hop. `choice` is None where no listener may send there; `refusal` then says why.

    `request` is what would be sent, where that is known.
    """

    target: Target
    choice: Choice | None
    refusal: str = ""
    request: Request | None = None


@dataclass(slots=True)
class NextHop:
    """Where requests are sent. `rule` and `group` are whose next hop it is, `lost` why it has no address at all.

    `registered`: it is a phone, reached as it registered.
    """

    uri: Uri
    send_from: str
    rule: str = ""
    group: str = ""
    ways: list[Way] = field(default_factory=list)
    lost: str = ""
    registered: bool = False

    @property
    def whose(self) -> str:
        """`rule pbx`, `group carriers`, `group carriers in rule pbx`: what names it."""
        return " in ".join([f"group {self.group}"] * bool(self.group) + [f"rule {self.rule}"] * bool(self.rule))

    @property
    def best(self) -> Way | None:
        """The first way that can be taken."""
        return next((way for way in self.ways if way.choice is not None), None)

    @property
    def fault(self) -> str:
        """Why nothing can be sent there; empty when something can."""
        return "" if self.best is not None else "; ".join([way.refusal for way in self.ways] or [self.lost])


def look(wire: Wire, target: Target, send_from: str) -> Way:
    """The way to one address."""
    try:
        return Way(target, wire.choose(target, send_from))
    except NoInterface as none:
        return Way(target, None, none.reason)


def follow(wire: Wire, hop: NextHop, done: Callable[[NextHop], None]) -> None:
    """Find every way to a next hop, and then call `done` with it: at once, where no name has to be looked up."""

    def found(targets: Sequence[Target]) -> None:
        hop.ways = [look(wire, target, hop.send_from) for target in targets]
        done(hop)

    def lost(status: int, reason: str) -> None:
        hop.lost = reason
        done(hop)

    wire.locate(hop.uri, hop.send_from, found, lost)


def configured(rules: Iterable[Rule], groups: Mapping[str, Group]) -> list[NextHop]:
    """Every next hop that rules and groups name, in their order; those that a Request-URI names are not known before.

    A group's members stand there once for the group, and for a rule where that sends to them by another listener.
    """
    found = []
    for rule in rules:
        for hop in hops(rule.answer, groups) if isinstance(rule.answer, Go) else ():
            if not hop.group or hop.send_from != groups[hop.group].send_from:
                found.append(NextHop(hop.uri, hop.send_from, rule.name, hop.group))
    for group in groups.values():
        found += [NextHop(member.uri, group.send_from, "", group.name) for member in group.members]
    return found


def rows(hop: NextHop, way: Way, listeners: Sequence[Listener], kernel: Kernel | None = None) -> Rows:
    """What is to be told of one way, for `tables.details`."""
    target, choice = way.target, way.choice
    found: Rows = [("target", target)]
    if target.tls_name:
        found.append(("TLS name", f"{target.tls_name}: the certificate must say it"))
    found.append(("transport", f"{target.transport.upper()}: {transport_why(hop, target, listeners)}"))
    if choice is None:
        return [*found, ("listener", "none: answered 503"), ("why", way.refusal)]
    listener = choice.listener
    found += [
        ("listener", f"{listener.name} (zone {listener.zone})"),
        ("why", choice.why),
        ("source address", listener.address),
        ("kernel route", _route(choice, target, kernel)),
    ]
    if way.request is None:
        contact = listener.contact(TOKEN, hop.uri.secure)
        return [*found, ("Via", listener.via_with(BRANCH)), ("Contact", contact)]
    found.append(("Request-URI", way.request.uri_text))
    contact = _anonymous(way.request.first("Contact")) or f"none: {way.request.method} has none"
    return [*found, ("Via", way.request.first("Via")), ("Contact", contact)]


def transport_why(hop: NextHop, target: Target, listeners: Sequence[Listener]) -> str:
    """Why a target has the transport that it has (S2, RFC 3263 4.1)."""
    uri = hop.uri
    if hop.registered:
        return "the phone registered by it"
    if any(listener.name == hop.send_from for listener in listeners):
        return f"what {hop.send_from} speaks"
    if uri.secure:
        return "the URI is sips"
    if uri.transport:
        return "the URI says so"
    if is_address(uri.params.get("maddr") or uri.host) or uri.port is not None:
        if target.transport == "udp":
            return "the URI does not say, and then it is UDP (RFC 3263 4.1)"
        return "the URI does not say, and there is no UDP listener"
    return f"NAPTR and SRV of {uri.host}, or UDP without them (RFC 3263 4)"


def _route(choice: Choice, target: Target, kernel: Kernel | None) -> str:
    """The kernel's route; where the choice did not need it, asked for all the same, to be seen."""
    if choice.route is not None:
        return str(choice.route)
    if kernel is None:
        return "not asked for"
    route = kernel(target.host)
    return f"{route or 'none'} (not asked for: send_from decides)"


def _anonymous(contact: str) -> str:
    """A Contact of ours without the part that is new each time."""
    scheme, at, host = contact.partition("@")
    return f"{scheme.partition(':')[0]}:{TOKEN}{at}{host}" if at else contact
