"""A media engine for the world: it gives out addresses and ports as an engine does, and carries nothing.

It answers at once, or `late` seconds after it was asked, or not before it is told to: a call must stand all of that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from b2bua.call.anchoring import Anchors
from b2bua.call.media import Report, Reported, Said, Then
from b2bua.policy.media import AUTO, Anchoring
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Headers, Message
from b2bua.sip.session import Connection, parse_session
from tests.world import World

SDP: Headers = {"Content-Type": ["application/sdp"]}
TIMES = (0.0, 0.02)  # seconds that an engine takes: it answers at once, or later


def media(message: Message | None) -> list[str]:
    """Where a description wants its media: `10.0.0.1:30000`."""
    assert message is not None
    lines = message.body.decode().split("\r\n")
    address = next(line for line in lines if line.startswith("c=")).split()[-1]
    return [f"{address}:{line.split()[1]}" for line in lines if line.startswith("m=")]


class Studio:
    """Remembers what it was told. `faults` are its answers in place of a description, to an "offer" or an "answer"."""

    name = "studio"

    def __init__(self, world: World, late: float = 0.0) -> None:
        self.world = world
        self.late = late
        self.faults: dict[str, Malformed] = {}
        self.told: list[tuple[str, Said]] = []
        self.open: dict[str, list[tuple[str, Said]]] = {}  # by session, what was told of it
        self.ended: list[str] = []
        self.report: Report | None = None
        self._ports: dict[tuple[str, str, int], int] = {}

    def offer(self, said: Said, then: Then) -> None:
        """An offer."""
        self._told("offer", said, then)

    def answer(self, said: Said, then: Then) -> None:
        """An answer."""
        self._told("answer", said, then)

    def end(self, session: str, then: Reported) -> None:
        """The end."""
        self.ended.append(session)
        self.open.pop(session, None)
        self._later(partial(then, self.report))

    def query(self, session: str, then: Reported) -> None:
        """How it is."""
        self._later(partial(then, self.report))

    def _told(self, what: str, said: Said, then: Then) -> None:
        if said.session in self.ended:
            raise AssertionError("a session that is over")
        self.told.append((what, said))
        self.open.setdefault(said.session, []).append((what, said))
        self._later(lambda: then(self._answer(what, said)))

    def _answer(self, what: str, said: Said) -> bytes | Malformed:
        try:
            return self.faults.get(what) or self.changed(said)
        except Malformed as fault:
            return fault

    def _later(self, action: Callable[[], None]) -> None:
        if self.late:
            self.world.clock.callLater(self.late, action)
        else:
            action()

    def changed(self, said: Said) -> bytes:
        """The description for the other side."""
        session = parse_session(said.sdp)
        address = said.target.address
        for section in (session, *session.media):
            if section.first(b"c"):
                held = section.connection is not None and section.connection.host == "0.0.0.0"
                section.put(b"c", bytes(Connection(6 if ":" in address else 4, "0.0.0.0" if held else address)))
        for number, media in enumerate(session.media):
            if media.port:
                media.at(self._ports.setdefault((said.session, said.target.zone, number), 30000 + 2 * len(self._ports)))
        return bytes(session)

    # What a test asks

    @property
    def words(self) -> list[str]:
        """`offer public>private` and the like, in order, since the last time."""
        told, self.told = self.told, []
        return [f"{what} {said.source.zone}>{said.target.zone}" for what, said in told]


def anchored(world: World, late: float = 0.0, policy: Anchoring | None = None, silence: float = 0.0) -> Studio:
    """Anchor the media of a world's calls from now on."""
    studio = Studio(world, late)
    world.hall.media = Anchors(world.hall, policy or Anchoring(AUTO, auto=studio.name), {studio.name: studio}, silence)
    return studio
