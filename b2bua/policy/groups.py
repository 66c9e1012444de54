"""Groups of next hops: who their members are, in which order they are tried, and which of them rest.

A member is tried by its priority, by weighted chance among those of one priority (RFC 2782), and not at all while it
rests, unless an answer names nobody who does not. Time is an argument, in seconds; chance is `random(n)`, a number from
0 to n - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import NamedTuple

from b2bua.policy.crossing import retry_after
from b2bua.policy.routing import AUTO, GROUP, LOOKUP, REGISTERED, Go
from b2bua.policy.weights import weighed
from b2bua.sip.listener import Target
from b2bua.sip.message import Response
from b2bua.sip.uri import Uri

LONGEST_REST = 3600  # seconds; no Retry-After makes a member rest longer
NOBODY = frozenset({408, 503})  # answers to a probe that say: nobody is there, or nobody who can

Place = tuple[str, str, int]  # transport, address, port
_NOWHERE: Place = "", "", 0  # of a member that has no address


@dataclass(frozen=True, slots=True)
class Member:
    """One next hop of a group."""

    uri: Uri
    priority: int = 1
    weight: int = 1

    def describe(self) -> str:
        """`sip:10.0.0.5, priority 1, weight 10`."""
        return f"{self.uri}, priority {self.priority}, weight {self.weight}"


@dataclass(frozen=True, slots=True)
class Group:
    """One [[group]].

    `probe`: seconds between two OPTIONS to a member, 0 for none. `rest`: seconds that a member rests which nobody
    probes. `alive`: the answers to a probe that prove a member alive, None for any but `NOBODY`.
    """

    name: str
    members: tuple[Member, ...]
    probe: float = 30.0
    rest: float = 60.0
    send_from: str = AUTO
    alive: frozenset[int] | None = None

    def describe(self) -> str:
        """`carriers: 2 members, asked every 30 s`."""
        count = len(self.members)
        asked = f"asked every {self.probe:g} s" if self.probe else f"not asked; who fails rests for {self.rest:g} s"
        return f"{self.name}: {count} member{'s' * (count != 1)}, {asked}"

    def proves(self, status: int) -> bool:
        """Whether an answer with this status proves that a member is alive."""
        return status not in NOBODY if self.alive is None else status in self.alive


class State(Enum):
    """What is known of a member."""

    UNKNOWN = "unknown"
    UP = "up"
    RESTING = "resting"


class Health:
    """What is known of one member of a group. `sent` counts what was sent on to it, `last` is its last answer.

    A member with several addresses (RFC 3263) rests when all of them do.
    """

    __slots__ = ("group", "member", "sent", "last", "_rests", "_waits", "_changed", "_heard")

    def __init__(self, group: Group, member: Member) -> None:
        self.group = group
        self.member = member
        self.sent = 0
        self.last = ""
        self._rests: dict[Place, float] = {}  # of each address that is known: until when, 0 where it does not
        self._waits = 0.0  # until then it has asked for rest itself, whatever it says to a probe
        self._changed = 0.0
        self._heard = False

    def until(self, now: float) -> float:
        """Until when it rests, `inf` where only a probe can tell; 0 where it does not rest."""
        until = min(self._rests.values(), default=0.0)
        return until if until > now else 0.0

    def state(self, now: float) -> tuple[State, float]:
        """What is known of it, and since when."""
        until = min(self._rests.values(), default=0.0)
        if until > now:
            return State.RESTING, self._changed
        if until:
            return State.UNKNOWN, until  # it has rested, and nothing was heard of it since
        return State.UP if self._heard else State.UNKNOWN, self._changed

    def leads(self, places: Iterable[Place], now: float) -> None:
        """Its addresses are these now; new ones of a member that rests until it answers a probe rest as well."""
        new = inf if self.until(now) == inf else 0.0
        self._rests = {place: self._rests.get(place, new) for place in places}

    def holds(self, place: Place) -> bool:
        """Whether this is an address of its."""
        return place in self._rests

    def failed(self, place: Place, now: float, why: str, wait: int = 0) -> None:
        """An address failed: by its silence, its transport, or a 503 that asks to `wait` so many seconds, or does not.

        It rests until it answers a probe, and as long as it asks; without probes for as long as it asks, or as the
        group says.
        """
        rested = self.until(now)
        self._waits = now + wait
        self._rests[place] = inf if self.group.probe else now + (wait or self.group.rest)
        self.last = why
        if not rested and self.until(now):
            self._changed, self._heard = now, False

    def answered(self, place: Place, now: float, why: str) -> None:
        """An address answered a probe."""
        before = self.state(now)[0]
        self._rests.pop(_NOWHERE, None)
        self._rests[place] = self._waits if self._waits > now else 0.0
        self.last, self._heard = why, True
        if before is not self.state(now)[0]:
            self._changed = now


class Groups:
    """All groups and what is known of their members. `tell` hears of each that begins to rest, or is up again."""

    __slots__ = ("healths", "tell", "_by_name", "_by_uri", "_random")

    def __init__(self, groups: Iterable[Group], random: Callable[[int], int]) -> None:
        self._by_name = {group.name: [Health(group, member) for member in group.members] for group in groups}
        self.healths = [health for healths in self._by_name.values() for health in healths]
        self._by_uri: dict[str, list[Health]] = {}
        for health in self.healths:
            self._by_uri.setdefault(str(health.member.uri), []).append(health)
        self._random = random
        self.tell: Callable[[Health, bool, str], None] = _nobody

    def __bool__(self) -> bool:
        return bool(self.healths)

    # Where a request goes

    def spelled_out(self, answer: Go, now: float) -> Go:
        """An answer with the members of its groups in place of them, in the order in which to try them.

        Those that rest are left out unless nobody else is named. Where the answer leaves the listener open and all its
        next hops are members who are sent to by the same, it is theirs. LookupError for a group that is not there.
        """
        up: list[Health | Uri] = []
        resting: list[Health | Uri] = []
        for uri in answer.to:
            if uri.scheme != GROUP:
                up.append(uri)
                continue
            healths = self._by_name.get(uri.opaque)
            if healths is None:
                raise LookupError(f"no group has the name {uri.opaque}")
            up += self._in_order([each for each in healths if not each.until(now)])
            resting += self._in_order([each for each in healths if each.until(now)])
        chosen = up or resting
        asked = {AUTO if isinstance(each, Uri) else each.group.send_from for each in chosen if each is not REGISTERED}
        send_from = asked.pop() if len(asked) == 1 and answer.send_from == AUTO else answer.send_from
        return answer.through(tuple(each if isinstance(each, Uri) else each.member.uri for each in chosen), send_from)

    def _in_order(self, healths: Sequence[Health]) -> list[Health]:
        of = {id(health.member): health for health in healths}
        return [of[id(member)] for member in weighed([each.member for each in healths], self._random)]

    def sent(self, uri: Uri) -> None:
        """Something was sent on to this next hop."""
        for health in self._by_uri.get(str(uri), ()):
            health.sent += 1

    # What becomes of it

    def leads(self, uri: str, targets: Iterable[Target], now: float) -> None:
        """A URI has these addresses."""
        for health in self._by_uri.get(uri, ()):
            health.leads([(each.transport, each.host, each.port) for each in targets], now)

    def failed(self, place: Place, now: float, response: Response | None = None) -> None:
        """An address did not answer, could not be reached, or gave this 503: the members that it is of may rest."""
        why = "no answer" if response is None else str(response.status)
        for health in self.healths:
            if health.holds(place):
                self.fell(health, place, now, why, 0 if response is None else asked_rest(response))

    def fell(self, health: Health, place: Place, now: float, why: str, wait: int = 0) -> None:
        """One address of a member failed."""
        before = health.until(now)
        health.failed(place, now, why, wait)
        if not before and health.until(now):
            self.tell(health, False, why)

    def lost(self, health: Health, now: float, why: str) -> None:
        """A member has no address at all."""
        health.leads([_NOWHERE], now)
        self.fell(health, _NOWHERE, now, why)

    def answered(self, health: Health, place: Place, now: float, why: str) -> None:
        """A member answered a probe in a way that proves it alive."""
        before = health.until(now)
        health.answered(place, now, why)
        if before and not health.until(now):
            self.tell(health, True, why)

    def copy(self) -> Groups:
        """The same, of which nobody is told and which changes nothing here: for trying out what would be."""
        copied = Groups([], self._random)
        copied._by_name = self._by_name  # only looked at
        return copied


def _nobody(health: Health, up: bool, why: str) -> None:
    """Hears of it and says nothing."""


def asked_rest(response: Response) -> int:
    """The seconds of a 503's Retry-After (RFC 3261 20.33), within bounds; 0 where it has none."""
    values = response.headers.get("Retry-After")
    seconds = retry_after(values[0], "").partition(";")[0] if values else ""
    return min(int(seconds), LONGEST_REST) if seconds else 0


class Hop(NamedTuple):
    """A next hop that an answer may lead to; `group` is the name of the group that it is of, if it is of one."""

    uri: Uri
    send_from: str
    group: str = ""


def hops(answer: Go, groups: Mapping[str, Group]) -> list[Hop]:
    """Every next hop that an answer may lead to, with the members of its groups, as the configuration lists them."""
    found = []
    for uri in answer.to:
        if uri.scheme == LOOKUP:
            continue  # who that is, and where, is known when a call comes
        if uri.scheme != GROUP:
            found.append(Hop(uri, answer.send_from))
            continue
        group = groups[uri.opaque]
        send_from = group.send_from if answer.send_from == AUTO else answer.send_from
        found += [Hop(member.uri, send_from, group.name) for member in group.members]
    return found
