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
from b2bua.sip.session import parse_session

if TYPE_CHECKING:
    from b2bua.call.call import Call

PARTIES = 40  # of one anchor, at most: the caller, and every fork of one target
REMEMBERED = 2 * PARTIES  # descriptions of one anchor that may be said again

Place = tuple[str, str]  # a leg's Call-ID and its peer's tag: the same party as long as it is the same


class Anchor:
    """The media between two legs, and the forks of each: one session of an engine's.

    Questions are asked one after the other, in the order of the messages.
    """

    __slots__ = (
        "call", "engine", "session", "branch", "near", "far", "over", "_policy", "_words", "_ready", "_queue",
        "_asking", "_offer", "_agreed", "_by_party", "_options",
    )  # fmt: skip

    def __init__(self, policy: Anchoring, call: Call, engine: Engine, near: Leg, far: Leg) -> None:
        word = call.hall.wire.tokens.word
        self.call = call
        self.engine = engine
        self.session, self.branch = word(), word()
        self.near, self.far = near, far
        self.over = False
        self._policy = policy
        self._options = call.options.media_options
        self._words: dict[Place, str] = {}
        self._ready: dict[tuple[Place, bytes], bytes | Malformed] = {}
        self._queue: deque[Callable[[], None]] = deque()
        self._asking = False
        self._offer: Said | None = None  # which has no answer yet
        self._agreed: tuple[Said, Said] | None = None  # the last offer and its answer
        self._by_party: dict[str, tuple[Said, Said]] = {}  # the same of each who answers

    # Asking

    def offered_by(self, leg: Leg) -> bool:
        """Whether a leg's offer has no answer yet."""
        return self._offer is not None and self._offer.source.word == self._words.get(_place(leg))

    def knows(self, source: Place, sdp: bytes) -> bool:
        """Whether it is clear what becomes of a description that was said before."""
        return not self._asking and (source, sdp) in self._ready

    def ask(self, offers: bool, source: Leg, target: Leg, tag: str, sdp: bytes, then: Callable[[], None]) -> None:
        """Ask what `target` is to read of a description of `source`, whose peer's tag is `tag`; then go on."""
        self._queue.append(partial(self._ask, offers, source, target, tag, sdp, then))
        self._next()

    def _next(self) -> None:
        while self._queue and not self._asking:
            self._asking = True
            self._queue.popleft()()

    def _ask(self, offers: bool, source: Leg, target: Leg, tag: str, sdp: bytes, then: Callable[[], None]) -> None:
        place = source.call_id, tag
        if self.over:
            self._answered(place, sdp, then, None, unanchored("the call is over", 500))
            return
        try:
            ends = self._party(source, tag), self._party(target, target.remote_tag)
        except Malformed as fault:
            self._answered(place, sdp, then, None, fault)
            return
        said = Said(self.session, self.branch, *ends, sdp, self._options)
        ask = self.engine.offer if offers else self.engine.answer
        if offers:
            self._offer = said
        ask(said, partial(self._answered, place, sdp, then, said))

    def _answered(
        self, place: Place, sdp: bytes, then: Callable[[], None], said: Said | None, result: bytes | Malformed
    ) -> None:
        if len(self._ready) >= REMEMBERED:
            self._ready.pop(next(iter(self._ready)))
        self._ready[place, sdp] = result
        if said is not None and said is not self._offer and self._offer is not None and isinstance(result, bytes):
            self._agreed, self._offer = (self._offer, said), None
            self._by_party[said.source.word] = self._agreed
        elif said is not None and said is not self._offer and self._agreed is not None and isinstance(result, bytes):
            self._agreed = self._by_party[said.source.word] = self._agreed[0], said  # another fork's
        then()
        self._asking = False
        self._next()

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

    def won(self, far: Leg) -> None:
        """Of several who answered one offer, this is the call: what another said meanwhile does not count any more."""
        agreed = self._by_party.get(self._words.get(_place(far), ""))
        if agreed is not None and self._agreed is not None and agreed is not self._agreed and not self.over:
            self._agreed = agreed
            self._queue.append(partial(self._repeat, self.engine.answer, agreed[1]))
            self._next()

    def refused(self) -> None:
        """An offer was not taken: the session is as it was before (RFC 3261 14.1), and so are the ports."""
        refused, self._offer = self._offer, None
        if refused is None or self._agreed is None or self.over:
            return
        offer, answer = self._agreed
        self._queue.append(partial(self._repeat, self.engine.offer, offer))
        self._queue.append(partial(self._repeat, self.engine.answer, answer))
        self._next()

    def _repeat(self, ask: Callable[[Said, Then], None], said: Said) -> None:
        if self.over:
            self._repeated(b"")
        else:
            ask(said, self._repeated)

    def _repeated(self, result: bytes | Malformed) -> None:
        self._asking = False
        self._next()

    def close(self, then: Reported) -> None:
        """There is nobody left at one end. What was asked before is answered first: the engine is told in order."""
        self.over = True
        self._queue.append(partial(self._close, then))
        self._next()

    def _close(self, then: Reported) -> None:
        self._asking = False
        self.engine.end(self.session, then)

    # What was answered

    def said(self, source: Leg, sdp: bytes) -> bytes:
        """What the other leg says in place of a description. Malformed where there is nothing that it could say."""
        result = self._ready.get((_place(source), sdp))
        if result is None:
            raise unanchored("a description that no engine was asked about", 500)
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


def _place(leg: Leg) -> Place:
    return leg.call_id, leg.remote_tag
