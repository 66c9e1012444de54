"""One medium between two parties: ports of ours on either side, and what passes between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from b2bua.call.media import End, Stream
from b2bua.media.halves import ANYTHING, DTLS, MANY, RTP, Half, Port
from b2bua.media.latch import Latch, Place
from b2bua.media.places import Wanted
from b2bua.sip.grammar import bracketed

MAX_HOPS = 16  # ports of ours that a packet may go through on its way out: calls that come back to us


class Medium(NamedTuple):
    """What one description says of one medium, and of where it comes from."""

    kind: str
    rtp: bool
    dtls: bool
    direction: bytes
    media: Wanted
    reports: Wanted

    @property
    def speaks(self) -> bool:
        """Whether who says it will send something."""
        return self.direction in (b"sendrecv", b"sendonly")

    @property
    def hears(self) -> bool:
        """Whether who says it wants to be sent something."""
        return self.direction in (b"sendrecv", b"recvonly") and self.media.place is not None


class Pair(NamedTuple):
    """Two ports of ours: one for a medium, one for its reports."""

    rtp: Port
    rtcp: Port

    def close(self) -> None:
        """They are nobody's any more."""
        self.rtp.close()
        self.rtcp.close()


class Side:
    """What one party of the two has of it: our ports towards it, who may speak there, and whether it should."""

    __slots__ = ("address", "rtp", "rtcp", "expected")

    def __init__(self, end: End, pair: Pair, ours: Callable[[Place], bool], now: float) -> None:
        self.address = end.address
        self.rtp = Half(pair.rtp, Latch(ours), now)
        self.rtcp = Half(pair.rtcp, Latch(ours), now)
        self.expected = False  # whether silence means something

    def stream(self, word: str, kind: str, now: float) -> Stream:
        """How it is."""
        rtp, target = self.rtp, self.rtp.latch.target
        lost = None if rtp.passes is not RTP or rtp.mixed > MANY else rtp.lost
        idle = now - max(rtp.last, self.rtcp.last) if self.expected else None
        ours, theirs = _said((self.address, rtp.port.number)), _said(target) if target else ""
        return Stream(word, kind, ours, theirs, rtp.packets, rtp.octets, lost, idle)

    def close(self) -> None:
        """It is over."""
        self.rtp.close()
        self.rtcp.close()


class Strand:
    """Both sides. `port_at` finds the open port at a place of ours."""

    __slots__ = ("kind", "_sides", "_port_at")

    def __init__(self, ends: dict[End, Pair], ours: Callable[[Place], bool],
                 port_at: Callable[[Place], Port | None], now: float) -> None:  # fmt: skip
        self.kind = ""
        self._port_at = port_at
        self._sides = {end.word: Side(end, pair, ours, now) for end, pair in ends.items()}
        one, other = self._sides.values()
        one.rtp.other, other.rtp.other = other.rtp, one.rtp
        one.rtcp.other, other.rtcp.other = other.rtcp, one.rtcp

    def port(self, word: str) -> int:
        """The port of ours that this party is told."""
        return self._sides[word].rtp.port.number

    def announce(self, end: End, medium: Medium) -> None:
        """What a party said of it.

        Media that may be any octets may be a SIP message too, and our address may be one that others trust: it is sent
        only to who has spoken from there, and no description can aim it at anybody else. No message looks like RTP,
        or like DTLS, in which one end waits for the other.
        """
        side = self._sides[end.word]
        passes = RTP if medium.rtp else DTLS if medium.dtls else ANYTHING
        self.kind = medium.kind
        for half, (place, reachable) in ((side.rtp, medium.media), (side.rtcp, medium.reports)):
            half.passes, unasked = passes, reachable and passes is not ANYTHING
            half.announce(None if place and self._comes_back(half, place) else place, end.signalling, unasked)

    def expect(self, word: str, spoken: bool, now: float) -> None:
        """Whether this party is to be heard from now on."""
        side = self._sides[word]
        if spoken and not side.expected:
            side.rtp.last = now
        side.expected = spoken

    def _comes_back(self, half: Half, place: Place) -> bool:
        """Whether what is sent there comes to where it is sent from: a ring of our own ports.

        A call may come back to us and be anchored twice; in a ring one packet would go on for ever.
        """
        seen: set[Place] = set()
        places = [place]
        while places:
            port = self._port_at(place := places.pop())
            if port is None or place in seen:
                continue
            seen.add(place)
            if port is half.port or half.other is not None and port is half.other.port or len(seen) > MAX_HOPS:
                return True
            onward = [each.other.latch.target for each in port.halves if each.other is not None]
            places += [target for target in onward if target is not None]
        return False

    def streams(self, now: float) -> Iterator[Stream]:
        """How each side is."""
        return (side.stream(word, self.kind, now) for word, side in self._sides.items())

    def close(self) -> None:
        """Nobody speaks on it any more; its ports are to be closed by who has them."""
        for side in self._sides.values():
            side.close()


def _said(place: Place) -> str:
    return f"{bracketed(place[0])}:{place[1]}"
