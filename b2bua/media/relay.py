"""The built-in relay: media goes by ports of ours, so that neither side sees where the other's comes from.

Which ports belong to whom? An offer between two parties who have not agreed yet binds a pair for each medium towards
who is to answer. Who that is, is not known before the answer: these pairs are the branch's, and everybody who answers
below it is met at them, told apart by where each announced to be. An answer is to the offer between its own two words
where there is one, else, where the two have not agreed yet, to the last offer of its branch. Towards the offerer each
who answers has a pair of its own; that of the first is bound with the offer, so that a call fails early if it must.
Once two parties have agreed, their later offers and answers, from either end, keep the ports of a medium for as long
as it is there.

What an offer says is done when it is answered (`latch` decides then who may speak): one that is refused has changed
nothing, and the last offer and answer said once more change nothing either. An answer that is said once more without
an offer counts as it is then: some say another one in their 200 than in their 183.

The relay carries UDP, one pair for each medium. It makes no SRTP, speaks no ICE, no DTLS and no bundle, and changes
no codec (`description`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from typing import Any

from b2bua.call.media import End, Reported, Said, Stream, Then, unanchored
from b2bua.media.description import LARGEST, carried, check_profile, crossed
from b2bua.media.latch import Place
from b2bua.media.places import Wanted, wanted
from b2bua.media.pool import Pool
from b2bua.media.ports import NoPorts
from b2bua.media.strand import Medium, Pair, Strand
from b2bua.sip.grammar import Malformed
from b2bua.sip.session import Media, Session, parse_session

MAX_CARRIED = 8  # media of one description: each takes two pairs of ports, before anybody has answered

Key = tuple[str | frozenset[str], str, int]  # a branch or two parties, a party, the number of the medium
Words = frozenset[str]


class Offer:
    """Who made an offer, and what it said; None for a medium that cannot pass."""

    __slots__ = ("branch", "source", "media")

    def __init__(self, branch: str, source: End, media: Sequence[Medium | None]) -> None:
        self.branch = branch
        self.source = source
        self.media = media


class Talk:
    """What is held for one session."""

    __slots__ = ("pairs", "open", "agreed", "offered")

    def __init__(self) -> None:
        self.pairs: dict[Key, tuple[str, Pair]] = {}  # with the address that they are bound at
        self.open: dict[str, Offer] = {}  # by branch: what those may answer who have not yet
        self.agreed: dict[Words, dict[int, Strand]] = {}  # by the two parties
        self.offered: dict[Words, Offer] = {}  # by the two parties: what waits for an answer


class Relay:
    """Every session's ports, from `first_port` to `last_port`. `below(n)` is a random number from 0 to n - 1.

    `listeners` are addresses and ports of ours for signalling: no media is sent there.
    """

    name = "relay"

    def __init__(
        self,
        reactor: Any,
        first_port: int,
        last_port: int,
        below: Callable[[int], int],
        listeners: Collection[Place] = (),
    ) -> None:
        self._now = reactor.seconds
        self._pool = Pool(reactor, first_port, last_port, below, listeners)
        self._secret = bytes(below(256) for _ in range(16))
        self._talks: dict[str, Talk] = {}

    @property
    def used(self) -> int:
        """How many pairs of ports are in use."""
        return self._pool.used

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self._talks)

    def offer(self, said: Said, then: Then) -> None:
        """See `Engine`."""
        then(self._tried(self._offer, said))

    def answer(self, said: Said, then: Then) -> None:
        """See `Engine`."""
        then(self._tried(self._answer, said))

    def end(self, session: str, then: Reported) -> None:
        """See `Engine`. Its ports are used again after a rest."""
        talk = self._talks.pop(session, None)
        report = None if talk is None else self._report(talk)
        if talk is not None:
            for strands in talk.agreed.values():
                for strand in strands.values():
                    strand.close()
            self._release(talk, list(talk.pairs))
        then(report)

    def query(self, session: str, then: Reported) -> None:
        """See `Engine`."""
        talk = self._talks.get(session)
        then(None if talk is None else self._report(talk))

    def close(self) -> None:
        """All sessions are over."""
        for session in list(self._talks):
            self.end(session, lambda report: None)

    def _report(self, talk: Talk) -> list[Stream]:
        now = self._now()
        return [
            stream for strands in talk.agreed.values() for strand in strands.values() for stream in strand.streams(now)
        ]

    def _tried(self, crossing: Callable[[Talk, Said, Session], bytes], said: Said) -> bytes | Malformed:
        """What comes of it. Nothing is held for a session whose first offer failed."""
        talk = self._talks.get(said.session) or Talk()
        before = set(talk.pairs)
        for end in (said.source, said.target):
            self._pool.known_as(end.address, end.bound)
        try:
            if len(said.sdp) > LARGEST:
                raise unanchored(f"a session description of more than {LARGEST} octets", 488)
            session = parse_session(said.sdp)
            _read(session)
            check_profile(session, said.source, said.target)
            sdp = crossing(talk, said, session)
        except Malformed as fault:
            return fault
        except NoPorts as reason:
            for key in talk.pairs.keys() - before:  # nobody was told of them
                self._pool.untouched(*talk.pairs.pop(key))
            return unanchored(str(reason), 503)
        self._talks[said.session] = talk
        return sdp

    def _offer(self, talk: Talk, said: Said, session: Session) -> bytes:
        source, target, words = said.source, said.target, frozenset((said.source.word, said.target.word))
        media = _media(session, source, self._pool.listeners)
        agreed = talk.agreed.get(words)
        ports: list[int | None] = []
        for number, medium in enumerate(media):
            if medium is None:
                ports.append(None)
            elif agreed is not None and number in agreed:
                ports.append(agreed[number].port(target.word))
            elif agreed is not None:
                ports.append(self._pair(talk, (words, target.word, number), target).rtp.number)
                self._pair(talk, (words, source.word, number), source)
            else:
                ports.append(self._pair(talk, (said.branch, source.word, number), target).rtp.number)
                self._pair(talk, ("", source.word, number), source)  # for the first who answers
        talk.offered[words] = offer = Offer(said.branch, source, media)
        if agreed is None:
            talk.open[said.branch] = offer
        return crossed(session, target, ports, self._secret)

    def _answer(self, talk: Talk, said: Said, session: Session) -> bytes:
        source, target, words = said.source, said.target, frozenset((said.source.word, said.target.word))
        media = _media(session, source, self._pool.listeners)
        offer = _answered(talk, said, words)
        if offer is not None:
            self._take_places(talk, said, offer, media)
        elif words not in talk.agreed:
            raise unanchored("an answer to an offer that the relay does not know", 503)
        strands = talk.agreed.setdefault(words, {})
        ports: list[int | None] = []
        for number, medium in enumerate(media):
            offered = offer.media[number] if offer is not None and number < len(offer.media) else None
            if offer is not None and medium and offered and number not in strands:
                strands[number] = self._strand(talk, said, offer, number)
            if medium is None or number not in strands or offer is not None and offered is None:
                ports.append(None)
            else:
                ports.append(strands[number].port(target.word))
                self._agree(strands[number], source, medium, target, offered)
        if offer is not None:
            talk.offered.pop(words, None)
        if words not in talk.offered:  # what has been offered meanwhile has ports that somebody was told of
            self._drop(talk, words, [number for number, port in enumerate(ports) if port is not None])
        return crossed(session, target, ports, self._secret)

    def _agree(self, strand: Strand, source: End, medium: Medium, target: End, offered: Medium | None) -> None:
        """Offer and answer are done; without an offer the answer was said once more, or another way."""
        strand.announce(source, medium)
        if offered is not None:
            strand.announce(target, offered)
            strand.expect(source.word, medium.rtp and medium.speaks and offered.hears, self._now())
            strand.expect(target.word, medium.rtp and offered.speaks and medium.hears, self._now())

    def _take_places(self, talk: Talk, said: Said, offer: Offer, media: Sequence[Medium | None]) -> None:
        """Ports towards the offerer for media that are new between the two: all that are needed, or NoPorts.

        Those towards the other are there since the offer.
        """
        target, words = said.target, frozenset((said.source.word, said.target.word))
        strands = talk.agreed.get(words, {})
        for number, (one, other) in enumerate(zip(offer.media, media, strict=False)):
            key = words, target.word, number
            if one and other and number not in strands and key not in talk.pairs:
                spare = talk.pairs.pop(("", offer.source.word, number), None)
                if spare is not None:
                    talk.pairs[key] = spare
                self._pair(talk, key, target)

    def _strand(self, talk: Talk, said: Said, offer: Offer, number: int) -> Strand:
        """A medium that is new between these two; their ports are there."""
        source, target, words = said.source, said.target, frozenset((said.source.word, said.target.word))
        here = talk.pairs.get((words, source.word, number)) or talk.pairs[offer.branch, offer.source.word, number]
        there = talk.pairs[words, target.word, number]
        return Strand({source: here[1], target: there[1]}, self._pool.is_ours, self._pool.port_at, self._now())

    def _drop(self, talk: Talk, words: Words, kept: Container[int]) -> None:
        """Only these media are between the two from now on; what a branch shares stays."""
        strands = talk.agreed[words]
        for number in [number for number in strands if number not in kept]:
            strands.pop(number).close()
        self._release(talk, [key for key in talk.pairs if key[0] == words and key[2] not in kept])

    def _pair(self, talk: Talk, key: Key, end: End) -> Pair:
        """The pair that is known by this key. NoPorts where it is a new one, and none can be had."""
        held = talk.pairs.get(key)
        if held is None:
            held = talk.pairs[key] = end.bound, self._pool.take(end.bound)
        return held[1]

    def _release(self, talk: Talk, keys: list[Key]) -> None:
        for key in keys:
            held = talk.pairs.pop(key, None)
            if held is not None:
                self._pool.give_back(*held)


def _answered(talk: Talk, said: Said, words: Words) -> Offer | None:
    """The offer that this answers; None where it says an answer once more, or answers nothing.

    Who has agreed already is not answering what was offered to others below the same branch.
    """
    offer = talk.offered.get(words)
    if offer is None and words not in talk.agreed:
        offer = talk.open.get(said.branch)
    return offer if offer is not None and offer.source.word == said.target.word else None


def _read(session: Session) -> None:
    """Malformed for a line that cannot be read, also where nobody needs it: nothing has changed yet."""
    for section in (session, *session.media):
        _ = section.connection


def _media(session: Session, source: End, listeners: Collection[Place]) -> list[Medium | None]:
    """What is said of each medium. Malformed for what cannot be read, and where too many would be carried."""
    media = [_medium(session, each, source, listeners) for each in session.media]
    if sum(each is not None for each in media) > MAX_CARRIED:
        raise unanchored(f"the relay carries {MAX_CARRIED} media of a session description, not more", 488)
    return media


def _medium(session: Session, media: Media, source: End, listeners: Collection[Place]) -> Medium | None:
    """What is said of a medium; None where it cannot pass. Malformed for what cannot be read."""
    if not carried(session, media):
        return None
    kind = media.kind.decode("ascii")
    rtp, reports = (Wanted(None) if each.place in listeners else each for each in wanted(session, media, source))
    return Medium(kind, media.rtp, b"TLS/" in media.protocol.upper(), session.direction_of(media), rtp, reports)
