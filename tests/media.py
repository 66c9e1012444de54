"""Peers that send and hear media, and a relay between them, for tests."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from b2bua.call.media import End, Report, Said
from b2bua.media.relay import Relay
from b2bua.sip.grammar import Malformed
from b2bua.sip.session import parse_session

clock: Any = reactor
NEAR = End("near", "outside", "127.0.0.1", "127.0.0.1", "127.0.0.11")
ANYBODY = End("far", "inside", "::1", "::1", "::1")  # whoever answers
FAR = ANYBODY._replace(word="far 1")
RTP = b"\x80\x00" + bytes(10)


def rtp(number: int, source: int = 1) -> bytes:
    """A packet with its sequence number."""
    return b"\x80\x00" + number.to_bytes(2, "big") + bytes(4) + source.to_bytes(4, "big") + bytes(160)


def claim_ports(test: TestCase, count: int = 100) -> tuple[int, int]:
    """The first and last of so many ports that no test running beside this one has. 400 at most.

    They lie below what the system gives to whoever asks for any port.
    """
    for first in range(22000, 32000, 400):
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first))  # for TCP, as long as the test runs
        except OSError:
            claim.close()
        else:
            test.addCleanup(claim.close)
            return first, first + count
    raise AssertionError("no range of ports is free")


class Peer:
    """A socket that sends and hears."""

    def __init__(self, test: TestCase, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        test.addCleanup(self.socket.close)
        self.socket.bind((address, 0))
        self.socket.setblocking(False)
        self.address, self.port = self.socket.getsockname()[:2]

    def sdp(self, more: str = "", media: str = "audio {} RTP/AVP 0", address: str = "", port: int = 0) -> bytes:
        """Where it wants to hear."""
        address = address or self.address
        line = f"c=IN IP{6 if ':' in address else 4} {address}"
        text = f"v=0\no=x 1 1 IN IP4 10.9.9.9\ns=x\n{line}\nt=0 0\nm={media.format(port or self.port)}\n{more}"
        return text.replace("\n", "\r\n").encode()

    def send(self, to: tuple[str, int], data: bytes = RTP) -> None:
        """A packet."""
        self.socket.sendto(data, to)

    def heard(self) -> list[tuple[bytes, str, int]]:
        """What has come: octets, and from where."""
        found: list[tuple[bytes, str, int]] = []
        while True:
            try:
                data, source = self.socket.recvfrom(65536)
            except BlockingIOError:
                return found
            found.append((data, source[0], source[1]))


def places(sdp: bytes) -> list[tuple[str, int]]:
    """Where the media of a description go."""
    session = parse_session(sdp)
    found = []
    for media in session.media:
        where = session.connection_of(media)
        assert where is not None
        found.append((where.host, media.port))
    return found


def place(sdp: bytes) -> tuple[str, int]:
    """Where the first medium of a description goes."""
    return places(sdp)[0]


class RelayCase(TestCase):
    """A relay, Alice on IPv4, Bob on IPv6, and one who has no business there."""

    ROOM = 40  # ports

    def setUp(self) -> None:
        self.first, self.last = claim_ports(self, self.ROOM)
        self.relay = Relay(reactor, self.first, self.last, lambda limit: limit - 1)
        self.addCleanup(self.relay.close)
        self.alice, self.bob, self.mallory = Peer(self, "127.0.0.11"), Peer(self, "::1"), Peer(self, "127.0.0.66")

    def told(self, verb: str, source: End, target: End, sdp: bytes, branch: str, session: str) -> bytes | Malformed:
        """What comes of an offer or an answer, at once."""
        heard: list[bytes | Malformed] = []
        ask = self.relay.offer if verb == "offer" else self.relay.answer
        ask(Said(session, branch, source, target, sdp), heard.append)
        self.assertEqual(len(heard), 1)
        return heard[0]

    def offer(self, source: End, target: End, sdp: bytes, branch: str = "b", session: str = "call") -> bytes:
        """An offer that crosses."""
        said = self.told("offer", source, target, sdp, branch, session)
        assert isinstance(said, bytes), said
        return said

    def answer(self, source: End, target: End, sdp: bytes, branch: str = "b", session: str = "call") -> bytes:
        """An answer that crosses."""
        said = self.told("answer", source, target, sdp, branch, session)
        assert isinstance(said, bytes), said
        return said

    def refused(self, verb: str, source: End, target: End, sdp: bytes, branch: str = "b", session: str = "call") -> int:
        """The status of what does not cross."""
        said = self.told(verb, source, target, sdp, branch, session)
        assert isinstance(said, Malformed), said
        return said.status

    def up(self, offer: bytes = b"", answer: bytes = b"") -> tuple[tuple[str, int], tuple[str, int]]:
        """Alice offers, Bob answers; where Alice sends, and where Bob does."""
        there = self.offer(NEAR, ANYBODY, offer or self.alice.sdp())
        here = self.answer(FAR, NEAR, answer or self.bob.sdp())
        return place(here), place(there)

    def end(self, session: str = "call") -> Report | None:
        """The call is over; how it was."""
        heard: list[Report | None] = []
        self.relay.end(session, heard.append)
        return heard[0]

    def report(self, session: str = "call") -> Report:
        """How it is."""
        heard: list[Report | None] = []
        self.relay.query(session, heard.append)
        assert heard[0] is not None
        return heard[0]

    async def pause(self) -> None:
        """Let packets go their way."""
        await deferLater(clock, 0.05, lambda: None)
