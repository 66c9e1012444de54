"""The way of a leg's next request: by the leg's own listener, policy is not asked again (S3).

Why did this BYE go there? `flow_of` where the way is known, `take` where the leg's next hop must be looked up first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from b2bua.call.wire import Wire
from b2bua.dialog.leg import Leg
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener, Target
from b2bua.sip.message import Request
from b2bua.sip.uri import Uri

Go = Callable[[Flow], None]
Lost = Callable[[int, str], None]


def flow_of(leg: Leg) -> Flow | None:
    """The way, where nobody must be asked for it."""
    flow, source = leg.flow, leg.source
    if leg.home is not None and leg.router is None and (newest := leg.home(leg)) is not None:
        return newest
    if flow is not None and (flow.connection is None or flow.connection.alive):
        return flow
    if source is not None and _still_connected(source, leg.next_hop):
        return source
    if flow is not None and flow.fixed:
        flow = leg.flow = None  # no connection of ours leads to a phone behind NAT; its Contact may
    if flow is not None:
        # By a new connection to the same place: a dialog stays with the address that answered (S52).
        flow = leg.flow = Flow(flow.listener, flow.host, flow.port, None, flow.tls_name)
    return flow


def take(wire: Wire, leg: Leg, go: Go, lost: Lost) -> None:
    """Call `go` with the way, or `lost` with a status and a reason where there is none.

    `go` may raise Malformed for a request that cannot be sent: then `lost` is called too.
    """
    flow = flow_of(leg)
    if flow is None:
        _locate(wire, leg, go, lost)
        return
    try:
        go(flow)
    except Malformed as fault:
        lost(fault.status, fault.reason)


def transmit(wire: Wire, leg: Leg, ack: Request) -> None:
    """Send the ACK for a 2xx by the leg's way; it is lost where there is none."""
    flow = flow_of(leg)
    if flow is not None:
        wire.transmit(ack, flow)
    else:
        take(wire, leg, lambda flow: wire.transmit(ack, flow), lambda status, reason: None)


def _locate(wire: Wire, leg: Leg, go: Go, lost: Lost) -> None:
    listener = _listener_for(wire.listeners, leg)

    def found(targets: Sequence[Target]) -> None:
        target = targets[0]
        leg.flow = Flow(listener, target.host, target.port, None, target.tls_name)
        take(wire, leg, go, lost)

    wire.locate(leg.next_hop, listener.name, found, lost)


def _listener_for(listeners: Sequence[Listener], leg: Leg) -> Listener:
    """The leg's listener, or its twin of the transport that the peer's Contact or Route asks for."""
    ours, hop = leg.listener, leg.next_hop
    wanted = "tls" if leg.secure or hop.secure else hop.transport  # S14: never a silent downgrade
    if wanted and wanted != ours.transport:
        for other in listeners:
            if (other.transport, other.zone, other.address) == (wanted, ours.zone, ours.address):
                return other
    return ours


def _still_connected(source: Flow, hop: Uri) -> bool:
    """Whether the peer's own connection leads to its next hop: alive, same host, no other transport asked for."""
    if source.connection is None or not source.connection.alive or hop.host != source.host:
        return False
    transport = source.listener.transport
    return transport == "tls" if hop.secure else hop.transport in ("", transport)
