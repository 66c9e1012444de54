"""The media between two legs of a call: what an engine is asked about it, and what it has answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from b2bua.call.media import End, Engine, Reported, Said, Then, unanchored
from b2bua.dialog.leg import Leg
from b2bua.policy.media import Anchoring
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request
from b2bua.sip.session import parse_session

if TYPE_CHECKING:
    from b2bua.call.call import Call

PARTIES = 40  # of one anchor, at most: the caller, and every fork of one target
LONGEST = 12.0  # seconds: an engine answers before that; else the fault is ours
REMEMBERED = 16  # descriptions of one anchor that may be said again

Place = tuple[str, str]  # a leg's Call-ID and its peer's tag: the same party as long as it is the same


class Anchor:
    """The media between two legs, and the forks of each: one session of an engine's.

    Questions are asked one after the other, in the order of the messages. `request` is whose carrying it began with.
    """

    __slots__ = (
        "call", "engine", "session", "branch", "near", "far", "over", "_request", "_policy", "_words", "_ready",
        "_queue", "_asking", "_offer", "_agreed", "_by_party", "_winner", "_options",
    )  # fmt: skip

    def __init__(self, policy: Anchoring, call: Call, engine: Engine, near: Leg, far: Leg, request: Request) -> None:
        word = call.hall.wire.tokens.word
        self.call = call
        self.engine = engine
        self.session, self.branch = word(), word()
        self.near, self.far = near, far
        self.over = False
        self._request = request
        self._policy = policy
        self._options = call.options.media_options
        self._words: dict[Place, str] = {}
        self._ready: dict[tuple[Place, bytes], bytes | Malformed] = {}
        self._queue: deque[Callable[[], None]] = deque()
        self._asking: object = None  # the question that waits for its answer
        self._offer: Said | None = None  # which has no answer yet
        self._agreed: tuple[Said, Said] | None = None  # the last offer and its answer
        self._by_party: dict[str, tuple[Said, Said]] = {}  # the same of each who answers
        self._winner: Place | None = None  # of several who answer, whose call it is

    # Asking

    def offered_by(self, leg: Leg) -> bool:
        """Whether a leg's offer has no answer yet."""
        return self._offer is not None and self._offer.source.word == self._words.get(place_of(leg))

    def remembers(self, place: Place, sdp: bytes) -> bool:
        """Whether it is known what becomes of a description of a party's."""
        return (place, sdp) in self._ready

    def lost(self, place: Place) -> bool:
        """Whether another fork's answer made the call: what this one says is for nobody."""
        return self._winner is not None and place[0] == self._winner[0] and place != self._winner

    def ask(self, offers: bool, source: Leg, target: Leg, tag: str, sdp: bytes, then: Callable[[], None]) -> None:
        """Ask what `target` is to read of a description of `source`, whose peer's tag is `tag`; then go on."""
        self._put(partial(self._ask, offers, source, target, tag, sdp, then))

    def _put(self, question: Callable[[], None]) -> None:
        self._queue.append(question)
        self._next()

    def _next(self) -> None:
        while self._queue and self._asking is None:
            self._asking = question = self._queue.popleft()
            try:
                question()
            except Exception:  # noqa: BLE001 - an engine's fault must not hold up the rest of the call
                self.call.hall.journal.crashed(self._request)
                self._asking = None

    def _ask(self, offers: bool, source: Leg, target: Leg, tag: str, sdp: bytes, then: Callable[[], None]) -> None:
        question, place = self._asking, (source.call_id, tag)
        said: Said | None = None

        def answered(result: bytes | Malformed) -> None:
            if self._asking is question:
                self._note(place, sdp, said, result)
                self._go_on(then)

        try:
            if self.over:
                raise unanchored("the call is over", 500)
            ends = self._party(source, tag), self._party(target, target.remote_tag)
            said = Said(self.session, self.branch, *ends, sdp, self._options)
            if offers:
                self._offer = said
            self._tell(offers, said, answered)
        except Malformed as fault:
            answered(fault)
        except Exception:  # noqa: BLE001 - whoever waits for this must hear of it
            self.call.hall.journal.crashed(self._request)
            answered(unanchored("a fault of ours", 500))

    def _tell(self, offers: bool, said: Said, then: Then) -> None:
        question = self._asking
        (self.engine.offer if offers else self.engine.answer)(said, then)
        if self._asking is question:
            self.call.hall.wire.after(LONGEST, partial(then, unanchored("the media engine does not answer")))

    def _go_on(self, then: Callable[[], None]) -> None:
        """What waited for an answer goes on, and after it the next question."""
        try:
            then()
        finally:
            self._asking = None
            self._next()

    def _note(self, place: Place, sdp: bytes, said: Said | None, result: bytes | Malformed) -> None:
        """Remember an answer of the engine's."""
        self._ready.pop((place, sdp), None)
        if len(self._ready) >= REMEMBERED:
            self._ready.pop(next(iter(self._ready)))
        self._ready[place, sdp] = result
        if said is None:
            return
        if isinstance(result, Malformed):
            self._offer = None if said is self._offer else self._offer
        elif said is not self._offer and (offer := self._offer or (self._agreed and self._agreed[0])):
            self._agreed = self._by_party[said.source.word] = offer, said
            self._offer = None

    def _party(self, leg: Leg, tag: str) -> End:
        listener, way = leg.listener, leg.source or leg.flow
        place = leg.call_id, tag
        word = self._words.get(place)
        if word is None:
            if len(self._words) >= PARTIES:
                raise unanchored("too many forks with media of their own")
            word = self._words[place] = self.call.hall.wire.tokens.word()
        profile = self._policy.profiles.get(listener.zone, "")
        return End(
            word, listener.zone, listener.media_address, listener.address, way.host if way is not None else "", profile
        )

    def called(self, word: str) -> str:
        """The Call-ID of the leg to a party; empty for a word that stands for none."""
        return next((place[0] for place, known in self._words.items() if known == word), "")

    # What becomes of what was said

    def won(self, far: Leg) -> None:
        """Of several who answered one offer, this is the call: what another said meanwhile does not count any more."""
        self._winner = place_of(far)
        agreed = self._by_party.get(self._words.get(self._winner, ""))
        if agreed is not None and agreed is not self._agreed:
            self._agreed = agreed
            self._put(partial(self._repeat, False, agreed[1]))

    def refused(self) -> None:
        """An offer was not taken: the session is as it was before (RFC 3261 14.1), and so are the ports."""
        refused, self._offer = self._offer, None
        if refused is not None and self._agreed is not None:
            offer, answer = self._agreed
            self._put(partial(self._repeat, True, offer))
            self._put(partial(self._repeat, False, answer))

    def _repeat(self, offers: bool, said: Said) -> None:
        question = self._asking

        def repeated(result: bytes | Malformed) -> None:
            if self._asking is question:
                self._go_on(lambda: None)

        if self.over:
            repeated(b"")
        else:
            self._tell(offers, said, repeated)

    def close(self, then: Reported) -> None:
        """There is nobody left at one end. What was asked before is answered first: the engine is told in order."""
        self.over = True
        self._put(partial(self._close, then))

    def _close(self, then: Reported) -> None:
        self._asking = None
        try:
            self.engine.end(self.session, then)
        except Exception:  # noqa: BLE001 - the call is over all the same
            self.call.hall.journal.crashed(self._request)
            then(None)

    def said(self, source: Leg, sdp: bytes) -> bytes:
        """What the other leg says in place of a description. Malformed where there is nothing that it could say."""
        result = self._ready.get((place_of(source), sdp))
        if result is None:
            raise unanchored("a description that no engine was asked about", 488)
        if isinstance(result, Malformed):
            raise result
        return result

    @property
    def quiet(self) -> bool:
        """Whether nothing needs to be heard: nothing is agreed on yet, or somebody holds."""
        if self._agreed is None:
            return True
        for said in self._agreed:
            session = parse_session(said.sdp)
            if any(session.held(media) for media in session.media if not media.refused):
                return True
        return False


def place_of(leg: Leg) -> Place:
    """Which party a leg leads to."""
    return leg.call_id, leg.remote_tag
