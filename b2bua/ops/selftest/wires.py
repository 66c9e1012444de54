"""What becomes of a message between a phone and the bridge: lost, doubled, late, overtaken; the same on every stage."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from b2bua.ops.phone import label
from b2bua.ops.selftest.scenario import Shake, Wire
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import parse

OVERTAKEN = 2.0  # seconds, of which 0.5 are one T1, that a message waits to be overtaken before it goes all the same
_MOMENT = 0.02  # seconds by which who is overtaken comes later

Deliver = Callable[[], None]


class Clock(Protocol):
    """Time on a stage."""

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` later."""


class _Rule:
    __slots__ = ("wire", "left")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.left = wire.times


class Wires:
    """The wires of all phones. `chance` has a seed: a run can be had again."""

    def __init__(self, clock: Clock, chance: Random) -> None:
        self._clock = clock
        self._chance = chance
        self._rules: list[_Rule] = []
        self._shake: Shake | None = None
        self._held: list[tuple[str, bool, Deliver]] = []

    def heal(self) -> None:
        """From now on everything arrives."""
        self._rules.clear()
        self._shake = None

    def take(self, step: Wire | Shake) -> None:
        """One more rule."""
        if isinstance(step, Shake):
            self._shake = step
        else:
            self._rules.append(_Rule(step))

    def carry(self, phone: str, inward: bool, data: bytes, deliver: Deliver) -> bool:
        """Take a message along; False when it is lost."""
        rule = self._rule(phone, inward, data)
        held, self._held = self._held, []
        for other in held:
            if other[:2] == (phone, inward):
                self._clock.after(_MOMENT, other[2])
            else:
                self._held.append(other)
        if rule is None:
            return self._by_chance(deliver)
        if rule.verb == "lose":
            return False
        if rule.verb == "reorder":
            self._hold(phone, inward, deliver)
        elif rule.verb == "delay":
            self._clock.after(rule.seconds, deliver)
        else:
            deliver()
            self._clock.after(_MOMENT, deliver)
        return True

    def _rule(self, phone: str, inward: bool, data: bytes) -> Wire | None:
        if not self._rules:
            return None
        what = label_of(data)
        for rule in self._rules:
            wire = rule.wire
            if rule.left and (wire.phone, wire.inward, wire.label) == (phone, inward, what):
                rule.left -= 1
                return wire
        return None

    def _by_chance(self, deliver: Deliver) -> bool:
        shake, chance = self._shake, self._chance
        if shake is None:
            deliver()
            return True
        if chance.random() < shake.lose:
            return False
        for _ in range(2 if chance.random() < shake.double else 1):
            self._clock.after(chance.random() * shake.delay, deliver)
        return True

    def _hold(self, phone: str, inward: bool, deliver: Deliver) -> None:
        entry = phone, inward, deliver

        def give_up() -> None:
            if entry in self._held:
                self._held.remove(entry)
                deliver()

        self._held.append(entry)
        self._clock.after(OVERTAKEN, give_up)


def label_of(data: bytes) -> str:
    """What a message is, as ladders call it; "?" where that cannot be read."""
    try:
        return label(parse(data))
    except Malformed:
        return "?"
