"""What an rtpengine engine remembers of its sessions: on which daemon each is, and under which tags its ends.

rtpengine knows a call by its call-id, an end by its tag, and before the other end's tag is known a fork by the branch.
All forks below one branch were told the same port, with the same keys; so they have one tag there, and whoever of them
answered last is heard and hears.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from b2bua.call.media import Reported, Said
from b2bua.media.daemons import Peer


class Place:
    """A session on one daemon. `made` is when (the clock's seconds), `settled` whether an answer has come there."""

    __slots__ = ("peer", "call", "made", "settled")

    def __init__(self, peer: Peer, call: str, made: float) -> None:
        self.peer = peer
        self.call = call
        self.made = made
        self.settled = False


class Offer:
    """The last offer of an end in a branch: where it is, whether it had ICE, and the branch, where ng needs it."""

    __slots__ = ("place", "ice", "branch")

    def __init__(self, place: Place, ice: bool, branch: str) -> None:
        self.place = place
        self.ice = ice
        self.branch = branch


class Session:
    """One call between two parties, forks and all."""

    __slots__ = ("word", "places", "offers", "tags", "busy", "ending", "_branches", "_speaks", "_moves")

    def __init__(self, word: str) -> None:
        self.word = word
        self.places: list[Place] = []  # the last one is where it is now
        self.offers: dict[tuple[str, str], Offer] = {}  # by the offerer's word and the branch
        self.tags: dict[str, str] = {}  # by the ends' words
        self.busy = 0  # questions without an answer yet
        self.ending: Reported | None = None
        self._branches: dict[str, str] = {}  # the tag of a branch's forks
        self._speaks: dict[str, str] = {}  # whose a tag is: the word that used it last
        self._moves = 0

    @property
    def place(self) -> Place | None:
        """Where it is now."""
        return self.places[-1] if self.places else None

    def move(self, peer: Peer, now: float) -> Place:
        """It goes to a daemon. The call-id is another one each time: what is deleted late is never what came later."""
        call = f"{self.word}-{self._moves}" if self._moves else self.word
        self._moves += 1
        self.places.append(Place(peer, call, now))
        return self.places[-1]

    def settle(self, place: Place) -> None:
        """Both ends have agreed on what is at this place: nothing is anywhere else any more."""
        place.settled = True
        for other in [each for each in self.places if each is not place]:
            if other.made <= place.made:
                self.leave(other)

    def leave(self, place: Place, then: Callable[[], None] = lambda: None) -> None:
        """It is deleted there."""
        self.places.remove(place)
        place.peer.forget(place.call, then)

    def offerer(self, said: Said) -> dict[str, Any]:
        """Whose an offer is, in ng."""
        told = {"from-tag": self._tag(said.source.word)}
        if said.target.word in self.tags:
            return {**told, "to-tag": self.tags[said.target.word]}
        return {**told, "via-branch": said.branch}

    def answerer(self, said: Said, offer: Offer) -> dict[str, Any]:
        """Whose an answer is, in ng, and to which offer."""
        word = said.source.word
        if word not in self.tags:
            self.tags[word] = self._branches.setdefault(said.branch, word)
        told = {"from-tag": self._tag(said.target.word), "to-tag": self._tag(word)}
        return {**told, "via-branch": offer.branch} if offer.branch else told

    def _tag(self, word: str) -> str:
        tag = self.tags.setdefault(word, word)
        self._speaks[tag] = word
        return tag

    def word_of(self, tag: str) -> str:
        """Whose a tag is; empty where it is nobody's."""
        return self._speaks.get(tag, "")
