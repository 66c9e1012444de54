"""`b2bua leaks`: which messages of a capture tell one zone what is another's (S42).

The configuration says which of our addresses belongs to which zone. What is foreign is learnt from the capture itself:
what a zone's messages are called and where its peers are, unless a peer of the zone that hears it has said it too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from b2bua.call.foreign import searched
from b2bua.config import Configuration
from b2bua.config.walls import uncovered, walls
from b2bua.ops.captures import TLS, Captured, Reader, Unreadable, frames
from b2bua.ops.tables import counted, table
from b2bua.policy.guard import Finding
from b2bua.sip.foreign import SHORTEST, Foreign, Known
from b2bua.sip.grammar import Malformed, bracketed
from b2bua.sip.listener import Listener
from b2bua.sip.message import Request, Response, parse

CLEAN, LEAKS, CANNOT = 0, 1, 2
_HEADS = ("time", "from", "to", "message", "header", "what", "found")

Say = Callable[[str], None]


class Passed(NamedTuple):
    """One message between us and a peer."""

    captured: Captured
    listener: Listener
    outward: bool
    message: Request | Response


@dataclass(slots=True)
class Learnt:
    """What the messages of one zone tell of it."""

    ids: dict[str, str] = field(default_factory=dict)
    hosts: dict[bytes, str] = field(default_factory=dict)
    said: bytearray = field(default_factory=bytearray)  # by its peers


def leaks(capture: str, configuration: Configuration, say: Say, as_json: bool = False) -> int:
    """Say what leaks in the file `capture`; returns the exit status."""
    around = walls(configuration)
    if not around:
        say("the configuration has one zone only: nothing can leak from one to another")
        return CLEAN
    try:
        captured = list(Reader().messages(frames(Path(capture).read_bytes())))
    except OSError as error:
        say(f"{capture}: cannot be read: {error.strerror}")
        return CANNOT
    except Unreadable as error:
        say(f"{capture}: {error}")
        return CANNOT
    passed, sealed = _passed(captured, configuration.listeners)
    learnt = _learn(passed, around)
    exempt = uncovered(configuration)
    rows, guilty = [], 0
    for zone, wall in around.items():
        own, others = learnt[zone], [what for name, what in learnt.items() if name != zone]
        free = frozenset[str]().union(*(exempt[name, zone] for name in learnt if name != zone))
        ids = {word: kind for what in others for word, kind in what.ids.items() if word not in own.ids}
        hosts = {word: kind for what in others for word, kind in what.hosts.items() if word not in own.hosts}
        foreign, said = Foreign(Known(hosts), ""), bytes(own.said)
        for each in passed:
            if each.outward and each.listener.zone == zone:
                found = wall.findings(each.captured.data, foreign, ids.__contains__, free, said)
                guilty += bool(found)
                rows += [_row(each, finding, ids) for finding in found]
    rows.sort()
    if as_json:
        for row in rows:
            say(json.dumps(dict(zip(_HEADS, row, strict=True))))
    else:
        _report(rows, guilty, passed, sealed, say)
    return LEAKS if rows else CLEAN


def _passed(captured: Iterable[Captured], listeners: Iterable[Listener]) -> tuple[list[Passed], int]:
    """The messages that came to us or left us, and how many pieces of TLS there were, which nobody can read."""
    passed, sealed = [], 0
    places: dict[tuple[str, str, int], Listener] = {}
    streams: dict[str, Listener] = {}  # a connection that we make has a port of its own
    for listener in listeners:
        transport = "udp" if listener.transport == "udp" else "tcp"
        places[transport, listener.address, listener.port] = listener
        if transport == "tcp":
            streams.setdefault(listener.address, listener)
    for each in captured:
        for (host, port), outward in ((each.source, True), (each.target, False)):
            listener_there = places.get((each.transport, host, port))
            if listener_there is None and each.transport == "tcp":
                listener_there = streams.get(host)
            if listener_there is None:
                continue
            if each.data.startswith(TLS):
                sealed += 1
                continue
            try:
                message = parse(each.data, each.transport == "tcp")
            except Malformed:
                continue
            passed.append(Passed(each, listener_there, outward, message))
    return passed, sealed


def _learn(passed: Iterable[Passed], zones: Iterable[str]) -> dict[str, Learnt]:
    learnt = {zone: Learnt() for zone in zones}
    for each in passed:
        what, message = learnt[each.listener.zone], each.message
        hosts: list[str] = []
        try:
            vias = message.vias()
            contacts = message.addresses("Contact") if "*" not in message.headers.get("Contact", ()) else []
            ids = [(message.call_id, "Call-ID"), (message.from_tag, "tag"), (message.to_tag, "tag")]
            ids += [(via.branch, "branch") for via in vias]
            if each.outward:
                ids += [(contact.uri.user, "user") for contact in contacts]
            else:
                routes = message.addresses("Record-Route")
                hosts = [address.uri.host for address in (*contacts, *routes)] + [each.captured.source[0]]
                if isinstance(message, Request):
                    hosts += [host for via in vias for host in (via.host, via.received)]
                    hosts.append(message.from_.uri.host)
        except (Malformed, KeyError):
            continue  # what cannot be read teaches nothing
        what.ids |= {word.lower(): kind for word, kind in ids if len(word) >= SHORTEST}
        if not each.outward:
            what.hosts |= dict(found for found in map(searched, hosts) if found is not None)
            what.said += each.captured.data.lower()
    return learnt


Row = tuple[str, str, str, str, str, str, str]


def _row(each: Passed, finding: Finding, ids: dict[str, str]) -> Row:
    captured, message = each.captured, each.message
    what = message.method if isinstance(message, Request) else f"{message.status} {message.cseq[1]}"
    time = datetime.fromtimestamp(captured.at, UTC)  # zero where the capture has no times
    kind = ids.get(finding.text.lower(), finding.kind) if finding.kind not in ("address", "host") else finding.kind
    ways = [f"{captured.transport}:{bracketed(host)}:{port}" for host, port in (captured.source, captured.target)]
    return f"{time:%Y-%m-%d %H:%M:%S.%f}", ways[0], ways[1], what, finding.header, kind, finding.text


def _report(rows: list[Row], guilty: int, passed: list[Passed], sealed: int, say: Say) -> None:
    if rows:
        say(table(_HEADS, rows))
        say("")
    zones = Counter(each.listener.zone for each in passed if each.outward)
    said = ", ".join(f"{number} to {zone}" for zone, number in sorted(zones.items())) or "none to any zone"
    say(f"{counted(len(passed), 'message')} of ours read, {said}: {counted(len(rows), 'leak')} in {guilty} of them")
    if sealed:
        say(f"{counted(sealed, 'message')} over TLS cannot be read")
