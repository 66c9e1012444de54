"""[[group]]: next hops that stand for each other, which routes and scripts name as "group:NAME"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from b2bua.config.reading import Entry, Name, Reading, Seconds, Section, Tables, Text
from b2bua.config.routes import read_next_hop, way_out_fault, ways_out
from b2bua.config.sockets import Sockets
from b2bua.policy.groups import Group, Member
from b2bua.policy.routing import AUTO, GROUP

ANY_ANSWER = "any answer"
FASTEST = 1.0  # seconds between two probes, at least: they are to show life, not to take it

Share = Annotated[int, Meta(ge=0, le=65535, description="must be a number from 0 to 65535")]
Statuses = Annotated[
    Literal["any answer"] | list[Annotated[int, Meta(ge=200, le=699)]],
    Meta(description='must be "any answer" or a list of statuses from 200 to 699'),
]


class MemberEntry(Section, frozen=True):
    """One of a group's `members`."""

    required: ClassVar = ("uri",)
    uri: Text = ""
    priority: Share = 1
    weight: Share = 1


class GroupEntry(Section, frozen=True):
    """One [[group]]."""

    required: ClassVar = ("name", "members")
    name: Name = ""
    members: Tables = []
    probe: Seconds = 30.0
    rest: Annotated[float, Meta(ge=1, le=86400, description="must be a number of seconds, from 1 to a day")] = 60.0
    send_from: Text = AUTO
    alive: Statuses = "any answer"


def read_groups(reading: Reading, sockets: Sockets) -> dict[str, Group]:
    """Every [[group]] by name; one with mistakes in it without its members, so that routes may still name it."""
    groups: dict[str, Group] = {}
    for entry in reading.sections(GroupEntry, "group"):
        value, key = entry.value, entry.key
        if value.name in groups:
            reading.wrong(f"{key}.name", value.name, "another group has this name already")
        if 0 < value.probe < FASTEST:
            reading.wrong(f"{key}.probe", value.probe, f"must be 0, for none, or {FASTEST:g} second or more")
        if "alive" in entry.fine and not value.alive:
            reading.wrong(f"{key}.alive", value.alive, "an empty list: no answer would do")
        alive = None if value.alive == ANY_ANSWER else frozenset(map(int, value.alive))
        members = _members(reading, entry, sockets, _known(reading, entry, sockets))
        groups[value.name] = Group(value.name, members, value.probe, value.rest, value.send_from, alive)
    return groups


def _known(reading: Reading, entry: Entry[GroupEntry], sockets: Sockets) -> bool:
    """Whether `send_from` means somebody who can send."""
    send_from = entry.value.send_from
    if send_from == AUTO:
        return True
    if fault := sockets.fault(send_from):
        reading.wrong(f"{entry.key}.send_from", send_from, fault)
        return False
    found = bool(ways_out(sockets.listeners, send_from, None))
    if not found and sockets.whole:
        reading.wrong(f"{entry.key}.send_from", send_from, "no listener is in this zone")
    return found


def _members(reading: Reading, entry: Entry[GroupEntry], sockets: Sockets, known: bool) -> tuple[Member, ...]:
    members: list[Member] = []
    if "members" in entry.fine and not entry.value.members:
        reading.wrong(f"{entry.key}.members", [], "an empty list: a group has at least one member")
    for number, raw in enumerate(entry.value.members, 1):
        each = reading.entry(MemberEntry, f"{entry.key}.members[{number}]", raw)
        if "uri" not in each.fine:
            continue
        key, text = f"{each.key}.uri", each.value.uri
        uri = read_next_hop(reading, key, text)
        if uri is None:
            continue
        if uri.scheme == GROUP:
            reading.wrong(key, text, "a group cannot be in a group: name its members")
        elif any(uri == other.uri for other in members):
            reading.wrong(key, text, "another member of the group has this URI: give that one more weight")
        elif known and (fault := way_out_fault(sockets, entry.value.send_from, uri)):
            reading.wrong(key, text, fault)
        else:
            members.append(Member(uri, each.value.priority, each.value.weight))
    return tuple(members)
