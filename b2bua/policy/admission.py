"""How much is let in: calls at once and new requests a second, by zone and by route; new requests a second by source.

What is counted are sets of calls that are there, not numbers that go up and down. Time is an argument, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil

LATER = 5  # seconds after which a call may find room; of a full second the refused are told when it is over
SOURCES = 4096  # remembered at a time


@dataclass(frozen=True, slots=True)
class Quota:
    """`calls` at once, and `rate` new requests outside dialogs a second; 0 for any number."""

    calls: int = 0
    rate: float = 0.0

    def __bool__(self) -> bool:
        return self.calls > 0 or self.rate > 0


UNLIMITED = Quota()


class Limit:
    """What a quota has let in. `live` are the calls that are there; `refused` counts, for the operator."""

    __slots__ = ("what", "quota", "live", "refused", "_room", "_at")

    def __init__(self, what: str, quota: Quota) -> None:
        self.what = what
        self.quota = quota
        self.live: set[str] = set()
        self.refused = 0
        self._room = self._most  # requests that may come at once
        self._at = 0.0

    @property
    def _most(self) -> float:
        """A second's worth may come at once; where that is less than a request, one."""
        return max(1.0, self.quota.rate)

    def admits(self, now: float, call: bool) -> tuple[str, int]:
        """Why there is no room for a new request (a `call` is an INVITE), and in how many seconds there may be.

        Empty and 0 where there is room: one more has then come.
        """
        quota = self.quota
        if call and quota.calls and len(self.live) >= quota.calls:
            self.refused += 1
            return f"{self.what} has {quota.calls} calls at once already", LATER
        if not quota.rate:
            return "", 0
        room = min(self._most, self._room + (now - self._at) * quota.rate)
        self._at = now
        if room < 1.0:
            self._room = room
            self.refused += 1
            return f"{self.what} had {quota.rate:g} new requests a second already", ceil((1.0 - room) / quota.rate)
        self._room = room - 1.0
        return "", 0


class Admission:
    """The limits of all zones and routes, by name, and which calls are held by which."""

    __slots__ = ("zones", "routes", "_held")

    def __init__(self, zones: Mapping[str, Quota], routes: Mapping[str, Quota]) -> None:
        self.zones = {name: Limit(f"zone {name}", quota) for name, quota in zones.items() if quota}
        self.routes = {name: Limit(f"route {name}", quota) for name, quota in routes.items() if quota}
        self._held: dict[str, list[Limit]] = {}

    def __bool__(self) -> bool:
        return bool(self.zones or self.routes)

    def __iter__(self) -> Iterator[Limit]:
        yield from self.zones.values()
        yield from self.routes.values()

    def enter(self, limit: Limit | None, call_id: str) -> None:
        """A call is there, and counts for a limit until it leaves."""
        if limit is not None:
            limit.live.add(call_id)
            self._held.setdefault(call_id, []).append(limit)

    def leave(self, call_id: str) -> None:
        """A call is over; said twice, it is the same."""
        for limit in self._held.pop(call_id, ()):
            limit.live.discard(call_id)


class Sources:
    """New requests outside dialogs, counted by where they come from, second by second.

    What is remembered is bounded: once so many sources have come in one second, all are counted anew. An IPv6 source
    is its network of 64 bits, in which a host takes any address that it likes (RFC 8981).
    """

    __slots__ = ("rate", "refused", "_second", "_counts")

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.refused = 0
        self._second = 0
        self._counts: dict[str, int] = {}

    def admits(self, host: str, now: float) -> bool:
        """Whether one more may come from this address; it has then come."""
        second = int(now)
        if second != self._second or len(self._counts) >= SOURCES:
            self._second = second
            self._counts = {}
        source = _network(host) if ":" in host else host
        count = self._counts[source] = self._counts.get(source, 0) + 1
        if count <= self.rate:
            return True
        self.refused += 1
        return False

    def worst(self) -> list[tuple[str, int]]:
        """Who is over the rate in this second, and by how much, the worst first."""
        over = [(source, count - self.rate) for source, count in self._counts.items() if count > self.rate]
        return sorted(over, key=lambda each: -each[1])


def _network(host: str) -> str:
    """The first 64 bits of an IPv6 address."""
    address = ip_address(host.partition("%")[0])
    return str(IPv6Address(int(address) >> 64 << 64)) + "/64"
