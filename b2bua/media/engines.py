"""An engine beside us: rtpengine, one daemon or several that share the sessions by weight.

A session stays on its daemon. When that does not answer, the next offer of the session moves it, as an offer and its
answer settle both sides anew (RFC 3264 8); an answer can only go where its offer is. Whatever is asked, an answer or
a refusal comes within `patience`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from b2bua.call.media import THE_ENGINE, Reported, Said, Then, unanchored
from b2bua.media import counted, engine_words
from b2bua.media.daemons import Peer, Tell, choose
from b2bua.media.engine_sessions import Offer, Place, Session
from b2bua.media.engine_words import Described
from b2bua.media.ng import Answer, Ng
from b2bua.policy.media import Daemon
from b2bua.sip.grammar import Malformed

# What rtpengine says when it is the description that it does not want.
_REFUSED = ("Failed to parse SDP", "Incomplete SDP specification", "Error rewriting SDP")
_SOON = 0.001  # seconds; less is no time to ask in


class Words(Protocol):
    """Where words and numbers nobody can guess come from: `Tokens`."""

    def word(self) -> str:
        """A new word."""

    def below(self, limit: int) -> int:
        """A number from 0 to less than `limit`."""


class Status(NamedTuple):
    """How one daemon stands: `why` it is not alive, how many sessions are on it, how many it has yet to delete."""

    daemon: Daemon
    alive: bool
    why: str
    sessions: int
    owed: int


class RtpEngine:
    """An `Engine` (`b2bua.call.media`). `interfaces` has the name of rtpengine's interface for a zone.

    Where a zone has none, both sides are on rtpengine's first interface. `patience` is seconds for one question, with
    all that is tried; `ping` seconds between two pings. `tell` hears when a daemon answers no more, or again.
    """

    def __init__(
        self,
        name: str,
        daemons: Sequence[Daemon],
        reactor: Any,
        tokens: Words,
        interfaces: Mapping[str, str],
        patience: float = 1.0,
        ping: float = 5.0,
        tell: Tell = lambda daemon, up, why: None,
    ) -> None:
        self.name = name
        self.patience = patience
        self.interfaces = interfaces
        self.below = tokens.below
        self._reactor = reactor
        self._sessions: dict[str, Session] = {}
        self._secret = tokens.word().encode("ascii")
        self.peers = [
            Peer(daemon, Ng(daemon.host, daemon.port, reactor, tokens.word), reactor, patience, ping, tell)
            for daemon in daemons
        ]

    def start(self) -> None:
        """See which daemons answer, from now on."""
        for peer in self.peers:
            peer.start()

    def stop(self) -> None:
        """Nothing is asked any more. What the daemons carry they carry on."""
        for peer in self.peers:
            peer.stop()

    @property
    def sessions(self) -> int:
        """How many there are."""
        return len(self._sessions)

    def status(self) -> list[Status]:
        """Each daemon."""
        places = [place for session in self._sessions.values() for place in session.places]
        return [
            Status(peer.daemon, peer.alive, peer.why, sum(place.peer is peer for place in places), len(peer.owed))
            for peer in self.peers
        ]

    def now(self) -> float:
        """The clock's seconds."""
        return float(self._reactor.seconds())

    # An engine

    def offer(self, said: Said, then: Then) -> None:
        """An offer goes to the session's daemon, or to another where that does not answer."""
        ready = self._read(said, then)
        if ready is not None:
            session = self._sessions.setdefault(said.session, Session(said.session))
            Offering(self, session, said, ready, then).ask()

    def answer(self, said: Said, then: Then) -> None:
        """An answer goes where its offer is."""
        ready = self._read(said, then)
        if ready is None:
            return
        session = self._sessions.get(said.session)
        offer = session.offers.get((said.target.word, said.branch)) if session is not None else None
        if session is None or offer is None:
            then(unanchored("an answer to no offer"))
            return
        place = offer.place

        def told(answer: Answer | None) -> None:
            result = read_answer(answer, said)
            if isinstance(result, bytes):
                session.settle(place)
            then(result)
            self.free(session)

        keys = engine_words.answered(said, ready, self.interfaces, offer.ice)
        session.busy += 1
        place.peer.ask(
            "answer", {"call-id": place.call, **session.answerer(said, offer), **keys}, self.patience, told
        )

    def end(self, session: str, then: Reported) -> None:
        """The session is deleted, on every daemon where it was; on a dead one, once that is back.

        `then` is told after at most three times `patience`: what is still asked of it, its numbers, its deletion.
        """
        found = self._sessions.pop(session, None)
        if found is None:  # of before we were started again, perhaps: whoever has it deletes it
            for peer in self.peers:
                peer.forget(session)
            then(None)
        else:
            found.ending = then
            if not found.busy:  # else what is still asked would make it again
                self._finish(found)

    def query(self, session: str, then: Reported) -> None:
        """How it is now."""
        found = self._sessions.get(session)
        if found is None:
            then(None)
        else:
            self._count(found, then)

    def listed(self, then: Callable[[Mapping[Daemon, Sequence[str] | None]], None]) -> None:
        """The call-ids that each daemon has, up to 1000; None for one that does not answer."""
        found: dict[Daemon, Sequence[str] | None] = {}
        daemons = {peer.daemon for peer in self.peers}

        def told(daemon: Daemon, answer: Answer | None) -> None:
            found[daemon] = None if answer is None else answer.get("calls", [])
            daemons.discard(daemon)
            if not daemons:
                then(found)

        for peer in {peer.daemon: peer for peer in self.peers}.values():
            peer.ask("list", {"limit": 1000}, self.patience, partial(told, peer.daemon))

    # Sessions

    def _read(self, said: Said, then: Then) -> Described | None:
        """What a description says; None where `then` has been told already, as there is nothing to ask."""
        try:
            ready = engine_words.described(said, self._secret)
        except Malformed as fault:
            then(fault)
            return None
        if ready.session.media:
            return ready
        then(engine_words.settled(ready.session, said.target))
        return None

    def free(self, session: Session) -> None:
        """One question less is under way."""
        session.busy -= 1
        if not session.busy and session.ending is not None:
            self._finish(session)
        elif not session.busy and not session.places and self._sessions.get(session.word) is session:
            del self._sessions[session.word]  # it came nowhere

    def _finish(self, session: Session) -> None:
        place, then = session.place, session.ending
        assert then is not None, "it is over"
        for other in session.places[:-1]:
            session.leave(other)
        if place is None:
            then(None)
        elif not place.peer.alive:
            session.leave(place)
            then(None)
        else:  # "delete" itself only tells the statistics of the tag it is given
            self._count(session, lambda report: session.leave(place, lambda: then(report)))

    def _count(self, session: Session, then: Reported) -> None:
        place = session.place
        if place is None:
            then(None)
            return

        def told(answer: Answer | None) -> None:
            good = answer is not None and answer.get("result") == "ok"
            then(counted.streams(answer, session.word_of, self.now() - place.made) if good and answer else None)

        place.peer.ask("query", {"call-id": place.call}, self.patience, told)


class Offering:
    """One offer on its way, from daemon to daemon until one takes it or the time is over."""

    def __init__(self, engine: RtpEngine, session: Session, said: Said, ready: Described, then: Then) -> None:
        self._engine = engine
        self._session = session
        self._said = said
        self._then = then
        self._keys = engine_words.offered(said, ready, engine.interfaces)
        self._ice = ready.ice
        self._until = engine.now() + engine.patience
        self._tried: set[Peer] = set()
        self._fault: Malformed = unanchored("no rtpengine is alive")
        session.busy += 1

    def ask(self) -> None:
        """Ask the next daemon."""
        left = self._until - self._engine.now()
        place = self._place() if left > _SOON else None
        if place is None:
            self._end(self._fault)
            return
        self._tried.add(place.peer)
        others = choose(self._engine.peers, self._tried, self._engine.below) is not None
        offer = Offer(place, self._ice, "")
        keys = {"call-id": place.call, **self._session.offerer(self._said), **self._keys}
        offer.branch = keys.get("via-branch", "")
        place.peer.ask("offer", keys, left / 2 if others else left, lambda answer: self._told(offer, answer))

    def _place(self) -> Place | None:
        """Where the session is, if that lives; else on another daemon."""
        session = self._session
        if session.place is not None and session.place.peer.alive and session.place.peer not in self._tried:
            return session.place
        peer = choose(self._engine.peers, self._tried, self._engine.below)
        return None if peer is None else session.move(peer, self._engine.now())

    def _told(self, offer: Offer, answer: Answer | None) -> None:
        result = read_answer(answer, self._said)
        if isinstance(result, bytes):
            self._session.offers[self._said.source.word, self._said.branch] = offer
        elif result.status == 503 and (answer is None or not offer.place.settled):
            # It has no room, or is gone. What is settled there stays there while it lives.
            self._fault = result
            self.ask()
            return
        self._end(result)

    def _end(self, result: bytes | Malformed) -> None:
        self._then(result)
        self._engine.free(self._session)


def read_answer(answer: Answer | None, said: Said) -> bytes | Malformed:
    """What rtpengine made of a description, or why it did not: 488 where it is the description's fault, else 503."""
    if answer is None:
        return unanchored("rtpengine does not answer")
    text = answer.get("sdp")
    if answer.get("result") == "ok" and isinstance(text, str):
        try:
            return engine_words.crossed(text, said)
        except Malformed as fault:
            return Malformed(fault.reason, THE_ENGINE, 503)
    why = str(answer.get("error-reason") or answer.get("message") or answer.get("result"))
    return unanchored(f"rtpengine: {why}", 488 if why.startswith(_REFUSED) else 503)
