"""The built-in relay: media goes by ports of ours, so that neither side sees where the other's comes from.

`offer` and `answer` change a session description; what it announces decides who may speak (`media.latch`). Only UDP
passes: another medium is refused by port 0 (RFC 3264 6). ICE is not spoken, so its lines do not cross.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from b2bua.media.halves import Port
from b2bua.media.latch import Place
from b2bua.media.ports import NoPorts, Ports
from b2bua.media.strand import Pair, Side, Strand
from b2bua.sip.grammar import is_address
from b2bua.sip.session import Connection, Media, parse_session

TRIES = 16  # pairs that others may have bound, one after the other

_ICE = b"candidate remote-candidates end-of-candidates ice-ufrag ice-pwd ice-options ice-lite ice-mismatch ice-pacing"
_ELSEWHERE = (*_ICE.split(), b"rtcp", b"rtcp-xr", b"zoned", b"alt", b"path", b"source-filter")
_NOWHERE = {4: "0.0.0.0", 6: "::"}


class At(NamedTuple):
    """A leg as the relay knows it: a word of ours, the address that its peer sees, and where that speaks from."""

    leg: str
    address: str
    signalling: str


class Relay:
    """Every call's ports. `below` gives random numbers."""

    def __init__(self, reactor: Any, first: int, last: int, below: Callable[[int], int]) -> None:
        self._reactor = reactor
        self._range = first, last
        self._below = below
        self._ports: dict[str, Ports] = {}  # by address
        self._calls: dict[str, dict[frozenset[str], list[Strand]]] = {}
        self._offered: dict[tuple[str, str, int], Pair] = {}  # by call, leg and medium: what several forks share

    @property
    def used(self) -> int:
        """How many pairs of ports are in use."""
        return sum(ports.used for ports in self._ports.values())

    def crossed(self, call: str, source: At, target: At, sdp: bytes) -> bytes:
        """A description of one leg's, offer or answer, as the other leg says it.

        Malformed for what cannot be read, NoPorts where there are none left; then nothing has changed but what ends
        with the call.
        """
        session = parse_session(sdp)
        strands = self._calls.setdefault(call, {}).setdefault(frozenset((source.leg, target.leg)), [])
        for number, media in enumerate(session.media):
            if number == len(strands):
                strands.append(Strand(media.rtp))
            where = session.connection_of(media)
            if media.refused or not media.datagrams:
                media.at(0)
                media.put(b"c", _connection(target.address, False))
            else:
                here = self._side(call, strands[number], source, number)
                there = self._side(call, strands[number], target, number)
                here.announce(*_places(media, where, source.signalling), source.signalling)
                self._rewrite(media, there, target.address, where)
            media.silence(_ELSEWHERE)
        if session.first(b"c"):
            session.put(b"c", _connection(target.address, False))
        session.silence(_ELSEWHERE)
        return bytes(session)

    def end(self, call: str) -> None:
        """The call is over: its ports are free again after a rest."""
        for strands in self._calls.pop(call, {}).values():
            for strand in strands:
                strand.close()
        self._offered = {key: pair for key, pair in self._offered.items() if key[0] != call}

    def _side(self, call: str, strand: Strand, at: At, number: int) -> Side:
        """The side of a leg; one leg has one pair of ports for a medium, whoever is on the other side."""

        def take() -> Pair:
            key = call, at.leg, number
            pair = self._offered.get(key)
            if pair is None:
                pair = self._offered[key] = self._pair(at.address)
            return pair

        return strand.side(at.leg, take)

    def _pair(self, address: str) -> Pair:
        ports = self._ports.get(address)
        if ports is None:
            ports = self._ports[address] = Ports(*self._range, self._below, self._reactor.seconds)
        for _ in range(TRIES):
            number = ports.take()
            try:
                rtp = Port(address, number, self._reactor, lambda port: ports.give_back(port.number))
            except OSError:
                ports.skip(number)
                continue
            try:
                return Pair(rtp, Port(address, number + 1, self._reactor, lambda port: None))
            except OSError:
                rtp.close()
        raise NoPorts

    def _rewrite(self, media: Media, there: Side, address: str, where: Connection | None) -> None:
        held = where is not None and where.host in _NOWHERE.values()
        media.at(there.pair.rtp.number)
        media.put(b"c", _connection(address, held))


def _connection(address: str, held: bool) -> bytes:
    family = 6 if ":" in address else 4
    return bytes(Connection(family, _NOWHERE[family] if held else address))


def _places(media: Media, where: Connection | None, signalling: str) -> tuple[Place | None, Place | None]:
    """Where a medium and its reports are wanted. A name in place of an address: where the signalling comes from."""
    if where is None or where.host in _NOWHERE.values():
        return None, None
    port, other = media.rtcp
    host = where.host if is_address(where.host) else signalling
    reports = other.host if other is not None and is_address(other.host) else host
    if reports in _NOWHERE.values() or media.has(b"rtcp-mux"):
        return (host, media.port), (host, media.port + 1)
    return (host, media.port), (reports, port)
