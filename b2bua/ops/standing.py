"""Rows for the manhole: how groups and media engines are, and what the limits have let in."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from b2bua.media.engines import RtpEngine
from b2bua.media.relay import Relay
from b2bua.ops.tables import counted, span
from b2bua.policy.admission import Admission, Sources
from b2bua.policy.groups import Groups, Health

MEMBERS = ("group", "member", "priority", "weight", "state", "for", "last answer", "sent")
LIMITS = ("limit", "calls", "new requests", "refused")
ENGINES = ("engine", "daemon", "weight", "state", "sessions", "to be deleted")
WORST = 20  # sources over their limit that are shown


def member_rows(groups: Groups, now: float) -> list[tuple[object, ...]]:
    """A row of `MEMBERS` for each."""
    return [
        (
            health.group.name,
            health.member.uri,
            health.member.priority,
            health.member.weight,
            *_standing(health, now),
            health.last,
            health.sent,
        )
        for health in groups.healths
    ]


def _standing(health: Health, now: float) -> tuple[str, str]:
    """State of a member, and for how long it has been so."""
    state, since = health.state(now)
    until = health.until(now)
    words = state.value
    if until:
        words += " until it answers" if until == inf else f", {span(until - now)} more"
    return words, span(now - since) if since else ""


def engine_rows(relay: Relay | None, engines: Iterable[RtpEngine]) -> list[tuple[object, ...]]:
    """A row of `ENGINES` for the relay and for each daemon."""
    rows: list[tuple[object, ...]] = []
    if relay is not None:
        rows.append((relay.name, "", "", f"{counted(relay.used, 'pair')} of ports in use", relay.sessions, ""))
    for engine in engines:
        for each in engine.status():
            state = "answers" if each.alive else f"rests: {each.why}"
            rows.append((engine.name, each.daemon, each.daemon.weight, state, each.sessions, each.owed))
    return rows


def limit_rows(admission: Admission | None, sources: Sources | None) -> list[tuple[object, ...]]:
    """A row of `LIMITS` for each limit, and for who is over the one of sources now."""
    rows: list[tuple[object, ...]] = []
    for limit in admission or ():
        quota = limit.quota
        calls = f"{len(limit.live)} of {quota.calls}" if quota.calls else ""
        rows.append((limit.what, calls, f"{quota.rate:g} a second" if quota.rate else "", limit.refused))
    if sources is not None:
        rows.append(("each source", "", f"{sources.rate} a second", sources.refused))
        rows += [(source, "", f"{over} too many now", "") for source, over in sources.worst()[:WORST]]
    return rows
