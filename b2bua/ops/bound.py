"""Who is registered, as the manhole's table of bindings."""

from __future__ import annotations

from itertools import islice

from b2bua.call.bindings import Binding, Bindings
from b2bua.ops.legs import peer_of
from b2bua.ops.tables import span

BINDINGS = ("user", "Contact", "listener", "reached at", "q", "left", "since", "phone")
NO_REGISTRAR = "there is no [registrar] in the configuration"

Row = tuple[str, ...]


def binding_rows(bindings: Bindings, now: float, match: str, limit: int) -> tuple[list[Row], int]:
    """The first `limit` of the bindings that have a text in them, and how many have it."""
    if not match:
        return [_row(each, now) for each in islice(bindings, limit)], len(bindings)
    rows = [row for each in bindings if match in " ".join(row := _row(each, now))]
    return rows[:limit], len(rows)


def _row(binding: Binding, now: float) -> Row:
    reached = "its Contact" if binding.direct else peer_of(binding.flow)
    if not binding.direct and not binding.flow_alive:
        reached = "its Path" if binding.path else "nowhere: it has to connect again"
    return (
        binding.aor,
        binding.contact,
        binding.flow.listener.name,
        reached,
        f"{binding.q / 1000:g}",
        span(max(0.0, binding.expires - now)),
        span(now - binding.since),
        binding.user_agent,
    )
