"""Where the peer of a leg is reached while its Contact cannot say it: behind a NAT, or by a connection of its own.

Why did this BYE go there, and not to the Contact? `Leg.home`. A phone that is registered is reached by its newest flow,
so that its calls survive when it comes back by another connection or by another port of its NAT (RFC 5626). One that is
not, but sends from elsewhere than it says, is reached where its last request came from.
"""

from __future__ import annotations

from b2bua.call.bindings import Binding, Bindings
from b2bua.call.lookup import Lookup
from b2bua.dialog.leg import Leg
from b2bua.sip.grammar import is_address
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request
from b2bua.transaction.transaction import ServerTransaction


class Home:
    """The newest flow of a registered phone: the one with the same `+sip.instance`, or the same Contact.

    `since` is when the leg's own flow was known to be right: only what was registered later is newer.
    """

    __slots__ = ("since", "_bindings", "_aor", "_key", "_instance")

    def __init__(self, bindings: Bindings, binding: Binding, now: float) -> None:
        self.since = now
        self._bindings = bindings
        self._aor = binding.aor
        self._key = binding.key
        self._instance = binding.instance

    def __call__(self, leg: Leg) -> Flow | None:
        """The way to the phone; None where its leg knows better."""
        flow, since, zone = leg.flow, self.since, leg.listener.zone
        if flow is None or (flow.connection is not None and not flow.connection.alive):
            since = -1.0  # any is better than none
        found: Binding | None = None
        for each in self._bindings.of(self._aor):
            same = each.instance == self._instance if self._instance else each.key == self._key
            if same and each.heard > since and each.flow_alive and not each.direct and each.flow.listener.zone == zone:
                found, since = each, each.heard
        return found.flow if found is not None else None


def at_home(near: Leg, transaction: ServerTransaction, known: Lookup | None, now: float) -> None:
    """Find out how the sender of a request that begins a dialog is reached, if not at its Contact."""
    if natted(transaction.request, transaction.flow, near):
        near.home = last_heard
    if known is not None and (binding := known.binding_of(transaction)) is not None:
        near.flow, near.home = transaction.flow.back(), Home(known.bindings, binding, now)


def heard(leg: Leg, source: Flow, now: float) -> None:
    """A leg's peer sent a request, from where it is now. The leg stays in its zone, whatever comes by another's."""
    if source.listener.zone != leg.listener.zone:
        return
    leg.source = source
    if leg.flow is not None and leg.flow.fixed:
        leg.flow = source.back()
        if isinstance(leg.home, Home):
            leg.home.since = now


def last_heard(leg: Leg) -> Flow | None:
    """Where the peer's last request came from, unless that was a connection that is gone."""
    source = leg.source
    return source if source is not None and (source.connection is None or source.connection.alive) else None


def natted(request: Request, flow: Flow, leg: Leg) -> bool:
    """Whether a caller is behind a NAT: it says of itself in Via and in Contact that it is where it is not.

    One that asks for answers at the port it sends from (RFC 3581) takes requests there too. A proxy before it that
    does not stay in the dialog would show as a second Via.
    """
    via = request.via
    if via.host == flow.host or not is_address(via.host) or leg.remote_target.host != via.host:
        return False
    return ("rport" in via.params or flow.listener.force_rport) and len(request.vias()) == 1
