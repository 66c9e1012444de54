"""A call in words, for `show`: each leg, the way by which its peer is reached, and the media."""

from __future__ import annotations

from collections.abc import Iterable

from b2bua.call.media import Medium
from b2bua.dialog.leg import Leg
from b2bua.dialog.session_timer import SessionTimer
from b2bua.net.transports.stream import Stream
from b2bua.ops.tables import table
from b2bua.sip.grammar import bracketed
from b2bua.sip.listener import Flow


def leg_rows(leg: Leg | None) -> list[tuple[str, object]]:
    """One leg for `show`; dashes where there is none yet."""
    if leg is None:
        return [(name, "") for name in _LEG]
    values = (
        leg.listener.name,
        f"{leg.listener.transport} {leg.listener.sent_by}, zone {leg.listener.zone}",
        leg.standing.value,
        leg.call_id,
        leg.local_tag,
        leg.remote_tag,
        leg.local,
        leg.remote,
        leg.local_cseq,
        leg.remote_cseq if leg.remote_cseq >= 0 else "",
        leg.contact,
        leg.remote_target if leg.remote_target is not None else "",
        ", ".join(leg.route_set) or "none",
        way_of(leg),
        _refreshed(leg.timer),
    )
    return list(zip(_LEG, values, strict=True))


_LEG = (
    "listener", "shown as", "dialog", "Call-ID", "our tag", "peer's tag", "we are", "peer is", "our CSeq",
    "peer's CSeq", "our Contact", "peer's target", "route set", "flow",
    "session timer",
)  # fmt: skip


def _refreshed(timer: SessionTimer | None) -> str:
    """What is agreed on (RFC 4028)."""
    if timer is None or not timer.runs:
        return "none"
    return f"{timer.seconds} s, refreshed by {'us' if timer.ours else 'the peer'}"


def way_of(leg: Leg | None) -> str:
    """How a leg's peer is reached."""
    flow = leg and (leg.flow or leg.source)
    return f"{peer_of(flow)}{_stream(flow)}" if flow else ""


def peer_of(flow: Flow) -> str:
    return f"{flow.listener.transport}:{bracketed(flow.host)}:{flow.port}"


def _stream(flow: Flow) -> str:
    """Whose connection a stream flow goes by."""
    if not isinstance(flow.connection, Stream):
        return ""
    made = "our connection" if flow.connection.outbound else "the peer's connection"
    return f" ({made}{'' if flow.connection.alive else ', gone'})"


_MEDIA = ("media", "of", "engine", "ours", "theirs", "packets", "octets", "lost", "last packet")


def media_table(media: Iterable[Medium]) -> str:
    """Every stream: where it is met, where it is, and what came from there."""
    return table(_MEDIA, [_row(each) for each in media])


def _row(medium: Medium) -> tuple[object, ...]:
    stream = medium.stream
    return (
        stream.kind,
        "caller" if medium.callers else "callee",
        medium.engine,
        stream.ours,
        stream.theirs,
        stream.packets,
        stream.octets,
        "" if stream.lost is None else stream.lost,
        "" if stream.idle is None else f"{stream.idle:.0f} s ago",
    )
