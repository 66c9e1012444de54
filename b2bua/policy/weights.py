"""The order in which to try equals: by priority, and by weighted chance among those of one priority (RFC 2782)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar


class Weighed(Protocol):
    """What has a priority, the lowest first, and a weight: its share of the chance among those of its priority."""

    @property
    def priority(self) -> int:
        """0 to 65535."""

    @property
    def weight(self) -> int:
        """0 to 65535."""


W = TypeVar("W", bound=Weighed)


def weighed(given: Iterable[W], random: Callable[[int], int]) -> list[W]:
    """SRV records, or what is like them, in the order in which to try them. `random(n)` is a number from 0 to n - 1."""
    found, ordered = list(given), list[W]()
    for priority in sorted({each.priority for each in found}):
        # "those with weight 0 are placed at the beginning of the list", so that they have a small chance at all.
        left = sorted((each for each in found if each.priority == priority), key=lambda each: each.weight > 0)
        while left:
            chosen, place = random(sum(each.weight for each in left) + 1), 0
            while chosen > left[place].weight:
                chosen -= left[place].weight
                place += 1
            ordered.append(left.pop(place))
    return ordered
