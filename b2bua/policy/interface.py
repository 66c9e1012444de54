"""By which listener a request outside a dialog leaves, and why (S1, S2, S4, S5).

The transport is chosen before, with the target (S2). Then, in this order: the listener that `send_from` names; the
zone that it names; for "auto", what the kernel would do with the target's address, checked against the listeners. The
kernel is asked through an argument, so nothing here touches a socket. There is no last resort: a request that would
leave by the wrong network is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from b2bua.sip.listener import Listener, Target

AUTO = "auto"
MADE_LIMIT = 4096  # remembered choices; when there are more, all are forgotten

IPAddress = IPv4Address | IPv6Address
Group = tuple[Listener, ...]


@dataclass(frozen=True, slots=True)
class KernelRoute:
    """How the kernel would send to an address: source address, outgoing device, gateway ("" when on the link).

    `source` is "" where the device has no address of that family.
    """

    source: str
    device: str
    gateway: str = ""

    def __str__(self) -> str:
        origin = f"from {self.source}" if self.source else "from no address at all"
        return f"{origin} by {self.device}" + (f" through {self.gateway}" if self.gateway else "")


Kernel = Callable[[str], KernelRoute | None]


@dataclass(frozen=True, slots=True)
class Choice:
    """The listener that a request leaves by. `why` is a sentence for the operator; `route` is None when not needed."""

    listener: Listener
    why: str
    route: KernelRoute | None = None


class NoInterface(Exception):
    """No listener may send this; the request is answered 503 (S5).

    `name` is one of a few fixed words, for counting. `reason` is for the operator and names addresses of every zone: it
    goes to the log and never on the wire. The names:

    - `unknown-send-from`: it is neither a listener nor a zone
    - `wrong-listener`: the listener that it names has another transport or address family
    - `no-listener`: no listener (of that zone) has the target's transport and address family
    - `no-route`: the kernel has no route, or cannot be asked, and [networks] does not say either
    - `not-a-listener`: the kernel's source address and device are no listener's, and [networks] does not say either
    - `several-listeners`: more than one fits, and neither the kernel nor [networks] says which
    - `wrong-network`: what [networks] names has no listener that fits
    """

    status = 503

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason


def choose(
    target: Target,
    send_from: str,
    listeners: Iterable[Listener],
    kernel: Kernel | None,
    networks: Mapping[str, str] | None = None,
) -> Choice:
    """`Interfaces.choose` for one question; whoever asks more than once keeps an `Interfaces`."""
    return Interfaces(listeners, networks).choose(target, send_from, kernel)


class Interfaces:
    """The listeners and the operator's [networks], indexed so that a warm choice is a few dictionary look-ups (S4).

    `networks` maps destination networks ("10.0.0.0/8") to the name of a listener or a zone; the longest prefix counts.
    Raises ValueError for a network that is none.
    """

    __slots__ = ("listeners", "_at", "_by_name", "_fixed", "_groups", "_made", "_networks")

    def __init__(self, listeners: Iterable[Listener], networks: Mapping[str, str] | None = None) -> None:
        self.listeners = tuple(listeners)
        self._by_name = {listener.name: listener for listener in self.listeners}
        parsed = [(ip_network(text), name) for text, name in (networks or {}).items()]
        self._networks: list[tuple[IPv4Network | IPv6Network, str]] = sorted(
            parsed, key=lambda entry: entry[0].prefixlen, reverse=True
        )
        # Keys begin with "auto" or a zone, then the transport.
        self._groups: dict[tuple[str, str, int], Group] = {}
        self._at: dict[tuple[str, str, IPAddress], Group] = {}
        for listener in self.listeners:
            address = _parsed(listener.address)
            for scope in {AUTO, listener.zone}:
                group, at = (scope, listener.transport, listener.family), (scope, listener.transport, address)
                self._groups[group] = (*self._groups.get(group, ()), listener)
                self._at[at] = (*self._at.get(at, ()), listener)
        self._fixed = self._settle_names()
        self._made: dict[tuple[str, str, str], Choice] = {}

    def _settle_names(self) -> dict[tuple[str, str, int], Choice]:
        """The choices that need no kernel: a listener by its name, and a zone with one listener that can do it."""
        fixed = {}
        for (scope, transport, family), group in self._groups.items():
            if scope not in self._by_name and scope != AUTO and len(group) == 1:
                only = f"whose only {_kind(transport, family)} listener is {group[0].name}"
                fixed[scope, transport, family] = Choice(group[0], f"send_from names the zone {scope}, {only}")
        for listener in self.listeners:
            if listener.name != AUTO:
                why = f"send_from names the listener {listener.name}"
                fixed[listener.name, listener.transport, listener.family] = Choice(listener, why)
        return fixed

    def choose(self, target: Target, send_from: str, kernel: Kernel | None) -> Choice:
        """The listener by which a request to `target` leaves.

        `send_from` is "auto", a listener's name or a zone's. `kernel` answers for an address, None where it cannot be
        asked. Raises NoInterface.
        """
        key = (send_from, target.transport, target.family)
        fixed = self._fixed.get(key)
        if fixed is not None:
            return fixed
        if key not in self._groups or send_from in self._by_name and send_from != AUTO:
            raise self._cannot_name(target, send_from)
        route = kernel(target.host) if kernel is not None else None
        if route is None:
            said = f"the kernel has no route to {target.host}" if kernel is not None else "the kernel cannot be asked"
            return self._map(target, send_from, None, _within(send_from) + said, "no-route")
        # The very same route means that nothing has changed since: the kernel's cache keeps its values until then.
        remembered = (send_from, target.transport, target.host)
        made = self._made.get(remembered)
        if made is not None and made.route is route:
            return made
        if len(self._made) >= MADE_LIMIT:
            self._made.clear()
        choice = self._made[remembered] = self._judge(target, send_from, route)
        return choice

    def _cannot_name(self, target: Target, send_from: str) -> NoInterface:
        kind = _kind(target.transport, target.family)
        named = self._by_name.get(send_from)
        if send_from == AUTO:
            return NoInterface("no-listener", f"there is no {kind} listener to reach {target}")
        if named is not None:
            return NoInterface(
                "wrong-listener",
                f"send_from names the listener {send_from}, which is {_kind(named.transport, named.family)}, "
                f"but {target} needs {kind}",
            )
        if any(listener.zone == send_from for listener in self.listeners):
            return NoInterface("no-listener", f"the zone {send_from} has no {kind} listener to reach {target}")
        return NoInterface("unknown-send-from", f"send_from names {send_from}, which is neither a listener nor a zone")

    def _judge(self, target: Target, send_from: str, route: KernelRoute) -> Choice:
        """What the kernel said, checked against the listeners: source address, then device, then [networks] (S5)."""
        said = f"{_within(send_from)}the kernel would send to {target.host} {route}"
        group = self._groups[send_from, target.transport, target.family]
        for found, how in (
            (self._with_source(target, send_from, route), "which is the address of"),
            (self._with_any_address(target, send_from, route), f"and bound to every IPv{target.family} address is"),
            (_on(group, route.device), f"which is no listener's address, but on {route.device} is"),
        ):
            if found:
                return self._only(found, target, route, f"{said}, {how} {_names(found)}")
        return self._map(target, send_from, route, f"{said}: no listener's address or device", "not-a-listener")

    def _with_source(self, target: Target, send_from: str, route: KernelRoute) -> Group:
        if not route.source:
            return ()
        source = _parsed(route.source)
        found = self._at.get((send_from, target.transport, source), ())
        # The same link-local address may stand on several links.
        return tuple(each for each in found if _device(each) in ("", route.device)) if source.is_link_local else found

    def _with_any_address(self, target: Target, send_from: str, route: KernelRoute) -> Group:
        every = self._at.get((send_from, target.transport, _parsed("::" if target.family == 6 else "0.0.0.0")), ())
        return tuple(each for each in every if each.device in ("", route.device))

    def _only(self, fitting: Group, target: Target, route: KernelRoute, said: str) -> Choice:
        """The listener that fits the kernel's answer; where several do, only [networks] may say which."""
        if len(fitting) == 1:
            return Choice(fitting[0], said, route)
        network, name = self._network(target)
        found = self._named(name, fitting)
        if len(found) == 1:
            return Choice(found[0], f"{said}; [networks] gives {network} to {name}: {found[0].name}", route)
        raise NoInterface("several-listeners", f"{said}; {_undecided(network, name)}")

    def _map(self, target: Target, send_from: str, route: KernelRoute | None, said: str, otherwise: str) -> Choice:
        """The kernel's answer fits no listener: the operator's [networks] says, or nobody."""
        group = self._groups[send_from, target.transport, target.family]
        network, name = self._network(target)
        found = self._named(name, group)
        if len(found) == 1:
            return Choice(found[0], f"{said}, and [networks] gives {network} to {name}: {found[0].name}", route)
        kind = _kind(target.transport, target.family) + ("" if send_from == AUTO else f" {send_from}")
        there_are = f"the {kind} listeners are {', '.join(_described(listener) for listener in group)}"
        if not name:
            raise NoInterface(otherwise, f"{said}, and [networks] does not name {target.host}; {there_are}")
        if not found:
            reason = f"{said}, and [networks] gives {network} to {name}, where none of them is; {there_are}"
            raise NoInterface("wrong-network", reason)
        raise NoInterface("several-listeners", f"{said}, {_undecided(network, name)}; {there_are}")

    def _network(self, target: Target) -> tuple[str, str]:
        """The longest network of [networks] around the target, and whom it is given to; "" and "" if there is none."""
        address = _parsed(target.host)
        for network, name in self._networks:
            if address in network:
                return str(network), name
        return "", ""

    def _named(self, name: str, group: Group) -> Group:
        """Those of `group` that a listener's or zone's name means; "" means none."""
        if not name:
            return ()
        if name in self._by_name:
            return tuple(listener for listener in group if listener.name == name)
        return tuple(listener for listener in group if listener.zone == name)


def _on(group: Group, device: str) -> Group:
    return tuple(listener for listener in group if _device(listener) == device != "")


def _device(listener: Listener) -> str:
    """The device that a listener is known to be on: a link-local address may carry it as its zone id."""
    return listener.device or listener.address.partition("%")[2]


def _parsed(address: str) -> IPAddress:
    """An address as a value, without its zone id: addresses are never compared as text (S12)."""
    return ip_address(address.partition("%")[0])


def _kind(transport: str, family: int) -> str:
    return f"{transport.upper()} over IPv{family}"


def _within(send_from: str) -> str:
    return "" if send_from == AUTO else f"send_from names the zone {send_from}; "


def _names(group: Sequence[Listener]) -> str:
    return " and ".join(listener.name for listener in group)


def _described(listener: Listener) -> str:
    device = _device(listener)
    address = listener.address.partition("%")[0]
    return f"{listener.name} ({address} port {listener.port}" + (f" on {device})" if device else ")")


def _undecided(network: str, name: str) -> str:
    return f"[networks] gives {network} to {name}, which does not decide" if name else "[networks] does not decide"
