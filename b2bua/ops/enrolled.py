"""Rows for the manhole: where we are registered, until when, and what the carrier said last. No secrets."""

from __future__ import annotations

from b2bua.call.enrolment import Enrolment, Enrolments
from b2bua.ops.tables import span
from b2bua.policy.enrolling import State
from b2bua.sip.grammar import bracketed

REGISTRATIONS = ("aor", "registrar", "state", "for", "by", "at", "lapses in", "next", "last answer", "Service-Route")
_WAITS = frozenset({State.REGISTERED, State.HOLDING, State.WAITING})


def registration_rows(enrolments: Enrolments | None, now: float) -> list[tuple[object, ...]]:
    """A row of `REGISTRATIONS` for each."""
    return [_row(each, now) for each in (enrolments.all if enrolments is not None else ())]


def _row(each: Enrolment, now: float) -> tuple[object, ...]:
    flow = each.flow
    return (
        each.enrolling.aor,
        each.enrolling.registrar,
        each.state.value,
        span(now - each.since) if each.since else "",
        flow.listener.name if flow is not None else "",
        f"{bracketed(flow.host)}:{flow.port}" if flow is not None else "",
        span(each.until - now) if each.until > now else "",
        span(max(0.0, each.due - now)) if each.state in _WAITS else "",
        each.last,
        ", ".join(str(route.uri) for route in each.routes),
    )
