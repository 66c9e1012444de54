"""One medium between two legs: ports of ours on either side, and what passes between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from b2bua.media.halves import Half, Port
from b2bua.media.latch import Place


class Pair(NamedTuple):
    """Two ports of ours: one for a medium, one for its reports."""

    rtp: Port
    rtcp: Port


class Side:
    """What one leg of the two has of it: our ports towards its peer, and who may speak there."""

    __slots__ = ("pair", "rtp", "rtcp")

    def __init__(self, pair: Pair, is_rtp: bool) -> None:
        self.pair = pair
        self.rtp = Half(pair.rtp, is_rtp)
        self.rtcp = Half(pair.rtcp, is_rtp)

    def announce(self, rtp: Place | None, rtcp: Place | None, signalling: str) -> None:
        """Where the peer wants it."""
        self.rtp.latch.announce(rtp, signalling)
        self.rtcp.latch.announce(rtcp, signalling)

    def close(self) -> None:
        """It is over."""
        self.rtp.close()
        self.rtcp.close()


class Strand:
    """Both sides, each made when it is first needed."""

    __slots__ = ("_sides", "is_rtp")

    def __init__(self, is_rtp: bool) -> None:
        self.is_rtp = is_rtp
        self._sides: dict[str, Side] = {}

    def side(self, leg: str, take: Callable[[], Pair]) -> Side:
        """The side of a leg; `take` gives the ports where it has none yet."""
        found = self._sides.get(leg)
        if found is None:
            found = self._sides[leg] = Side(take(), self.is_rtp)
            for other in self._sides.values():
                if other is not found:
                    _join(found.rtp, other.rtp)
                    _join(found.rtcp, other.rtcp)
        return found

    def close(self) -> None:
        """Its ports are nobody's any more."""
        for side in self._sides.values():
            side.close()
        self._sides.clear()


def _join(one: Half, other: Half) -> None:
    one.other, other.other = other, one
