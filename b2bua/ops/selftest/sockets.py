"""Scenarios over real sockets: the phones' lines stay open from one scenario to the next, the actors are new each time.

Which addresses they have and what is between them is a `ground.Ground`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.task import deferLater

from b2bua.ops.phone import Phone
from b2bua.ops.phonelines import Lines, Waited
from b2bua.ops.selftest.actor import Actor
from b2bua.ops.selftest.stage import Stage
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow
from b2bua.sip.message import parse
from b2bua.sip.tokens import Tokens

WAIT = 20.0  # a ladder's seconds for what comes at once, or after some retransmissions
REST = 4.0  # a ladder's seconds until calls that everybody ends have ended
_GLANCE = 0.02  # seconds between two looks at whether they have


class Carrier(Phone):
    """A line that other phones use: `taken` gets what comes."""

    taken: Callable[[bytes, Flow], None] = staticmethod(lambda data, flow: None)

    def receive(self, data: bytes, flow: Flow) -> None:
        """Pass it on."""
        self.taken(data, flow)

    def put(self, data: bytes, flow: Flow) -> None:
        """Bytes out."""
        self._send(data, flow)


@dataclass(slots=True)
class Place:
    """Where a phone is: on which side, by which line, and what the bridge's address is from there."""

    zone: str
    way: tuple[str, int]
    carrier: Carrier


@dataclass(slots=True)
class Surroundings:
    """What the stages of one run share. `owners` knows whose a late message of an earlier scenario is, by Call-ID.

    `left` says what a scenario has left in the bridge, where one can look into it. `scale` is the bridge's T1 in
    ladders' T1. `uris` is what the phones dial, by phone and by whom it calls.
    """

    reactor: Any
    lines: Lines
    places: Mapping[str, Place]
    hosts: Mapping[str, frozenset[str]]
    uris: Callable[[str, str], str]
    scale: float = 1.0
    left: Callable[[], list[str]] = list
    owners: dict[str, Actor] = field(default_factory=dict)


class SocketStage(Stage):
    """One scenario's stage on these sockets."""

    def __init__(self, around: Surroundings, seed: int) -> None:
        zones = {name: place.zone for name, place in around.places.items()}
        super().__init__(seed, zones, around.hosts)
        self._around = around
        for name, place in around.places.items():
            self.actors[name] = self._actor(name, place)
            place.carrier.taken = self._taker(name)

    def _actor(self, name: str, place: Place) -> Actor:
        around, carrier = self._around, place.carrier

        def send(data: bytes, flow: Flow) -> None:
            around.owners[parse(data).call_id] = actor
            self.out(name, data, lambda: carrier.put(data, flow))

        def uri_of(user: str) -> str:
            return around.uris(name, user)

        actor = Actor(name, carrier.at, place.way, send, Tokens(os.urandom), self.after, uri_of, self.actors)
        return actor

    def _taker(self, name: str) -> Callable[[bytes, Flow], None]:
        def taken(data: bytes, flow: Flow) -> None:
            try:
                owner = self._around.owners.get(parse(data, flow.connection is not None).call_id)
            except Malformed:
                owner = None
            if owner is None or owner in self.actors.values():
                self.came(name, data, flow)
            else:
                owner.receive(data, flow)  # of an earlier scenario: its phone is polite by now

        return taken

    def now(self) -> float:
        """In a ladder's seconds."""
        seconds: float = self._around.reactor.seconds()
        return seconds / self._around.scale

    def after(self, seconds: float, action: Callable[..., None]) -> None:
        """By the reactor."""
        self._around.reactor.callLater(seconds * self._around.scale, action)

    async def wait(self, seconds: float) -> None:
        """Wait."""
        await deferLater(self._around.reactor, seconds * self._around.scale)

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Look after each message."""
        try:
            await self._around.lines.until(condition, "", WAIT * self._around.scale)
        except Waited:
            return False
        return True

    def noticed(self) -> None:
        """Look now."""
        for place in self._around.places.values():
            place.carrier.noticed()

    async def rest(self) -> list[str]:
        """Until everybody has hung up; then no call may be left in a bridge that one can look into."""
        until = self.now() + REST
        while self.now() < until and (self._around.left() or not all(each.calm for each in self.actors.values())):
            await deferLater(self._around.reactor, _GLANCE)
        return self._around.left()
