"""Anchored media: what one leg says of its session is shown to an engine, which says what the other leg reads.

A description waits where its message comes in: a request's in `through`, a response's in an `Ear`. When the engine has
answered, the message goes on as any other, and `Hall.across` finds what is to be said in its place (`Anchors.said`).
What no engine was asked about does not cross.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from b2bua.call.anchor import Anchor
from b2bua.call.media import Engine, Medium, Report, Reported, unanchored
from b2bua.call.refresh import WITH_MORE
from b2bua.dialog.leg import Leg
from b2bua.policy.media import Anchoring
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.sdp import description
from b2bua.sip.session import hushed
from b2bua.transaction.transaction import ClientTransaction, ClientUser

if TYPE_CHECKING:
    from b2bua.call.call import Call
    from b2bua.call.hall import Hall

_OFFERING = frozenset({"INVITE", "ACK", "PRACK", "UPDATE"})  # where a description is an offer or an answer (RFC 6337)

Pair = tuple[str, str]  # the Call-IDs of two legs
Go = Callable[[], None]  # may raise Malformed for what cannot cross: then Lost is called
Lost = Callable[[int, str], None]  # with a status and a reason


class Anchors:
    """Every call's media, where some is anchored. `policy` says whose, `engines` are by name."""

    def __init__(self, hall: Hall, policy: Anchoring, engines: Mapping[str, Engine], silence: float = 0.0) -> None:
        self.policy = policy
        self.engines = engines
        self.silence = silence  # seconds without a packet after which a call ends; 0: it does not
        self._hall = hall
        self._by_pair: dict[Pair, Anchor | None] = {}  # in either order; None: their media passes us by
        self._by_call: dict[str, list[Pair]] = {}

    def __len__(self) -> int:
        """How many sessions there are."""
        return sum(anchor is not None and not anchor.over for anchor in self._by_pair.values()) // 2

    def between(self, source: Leg, target: Leg) -> Anchor | None:
        """The anchor of two legs."""
        return self._by_pair.get((source.call_id, target.call_id))

    def of(self, call: Call) -> list[Anchor]:
        """The anchors of a call that hold something."""
        anchors = [self._by_pair[pair] for pair in self._by_call.get(call.id, ())]
        return [anchor for anchor in anchors if anchor is not None and not anchor.over]

    def open(self, call: Call, near: Leg, far: Leg, request: Request) -> Anchor | None:
        """The anchor between two legs of a call, of which `far` is called; None where none is wanted.

        `request` is what is served by this.
        """
        known = self.between(near, far)
        if known is not None and not known.over:
            return known
        name = self.policy.engine(near.listener, far.listener, call.options.media)
        anchor = Anchor(self.policy, call, self.engines[name], near, far, request) if name else None
        pairs = self._by_call.setdefault(call.id, [])
        for pair in ((near.call_id, far.call_id), (far.call_id, near.call_id)):
            if pair not in self._by_pair and pair[::-1] not in self._by_pair:
                pairs.append(pair)
            self._by_pair[pair] = anchor
        return anchor

    # On the way in

    def through(self, source: Leg, target: Leg, request: Request, go: Go, lost: Lost) -> None:
        """Go on with a request once an engine has seen its description; at once where there is none to be seen."""
        anchor = self.between(source, target)
        if anchor is None:
            self._go_on(request, go, lost)
        elif request.method == "PRACK":  # it may bring the answer to an offer in a response, or an offer (RFC 3262 5)
            self.show(not anchor.offered_by(target), source, target, request, request, go, lost)
        else:
            self.show(request.method != "ACK", source, target, request, request, go, lost)

    def show(
        self, offers: bool, source: Leg, target: Leg, message: Message, request: Request, go: Go, lost: Lost
    ) -> None:
        """The same for any message; `request` is what is served by this."""
        anchor, sdp = self.between(source, target), _description(message)
        go_on = partial(self._go_on, request, go, lost)
        if anchor is None or not sdp:
            go_on()
        else:
            anchor.ask(offers, source, target, source.remote_tag, sdp, go_on)

    def _go_on(self, request: Request, go: Go, lost: Lost) -> None:
        try:
            go()
        except Malformed as fault:
            lost(fault.status, fault.reason)
        except Exception:  # noqa: BLE001 - our own fault must cost one request, and leave none unanswered
            self._hall.journal.crashed(request)
            lost(500, "a fault of ours")

    def refused(self, source: Leg, target: Leg) -> None:
        """A request with an offer of `source` came to nothing before it was sent on."""
        anchor = self.between(source, target)
        if anchor is not None and anchor.offered_by(source):
            anchor.refused()

    def ear(self, user: ClientUser, source: Leg, target: Leg) -> ClientUser:
        """Who is to hear the answers to a request to `source`, where descriptions in them are for `target`."""
        anchor = self.between(source, target)
        return user if anchor is None else Ear(anchor, user, source, target)

    def said(self, source: Leg, target: Leg, message: Request | Response, sdp: bytes) -> bytes:
        """A description as it is before the target leg makes it its own.

        Malformed where it cannot cross. Where it is no offer and no answer, it tells what somebody can do, but not
        where he is.
        """
        pair = source.call_id, target.call_id
        status = message.status if isinstance(message, Response) else 200
        if status >= 300 or message.cseq[1] not in _OFFERING:
            passes = source.listener.zone == target.listener.zone and self._by_pair.get(pair) is None
            return sdp if passes else hushed(sdp, target.listener.media_address)
        if pair not in self._by_pair:
            raise unanchored("a description between legs of which nobody has decided", 500)
        anchor = self._by_pair[pair]
        return sdp if anchor is None else anchor.said(source, sdp)

    # The end

    def only(self, call: Call, near: Leg, far: Leg) -> None:
        """These two are the call from now on: what was anchored for others ends."""
        stays = self.between(near, far)
        for anchor in self.of(call):
            if anchor is stays:
                anchor.won(far)
            else:
                self.close(anchor)

    def close(self, anchor: Anchor | None, then: Reported = lambda report: None) -> None:
        """There is nobody left at one end. What comes late all the same still does not cross as it is."""
        if anchor is not None and not anchor.over:
            anchor.close(then)

    def forget(self, call: Call) -> None:
        """Nothing comes late for a call any more."""
        for one, other in self._by_call.pop(call.id, ()):
            del self._by_pair[one, other], self._by_pair[other, one]

    def end(self, call: Call, then: Callable[[], None]) -> None:
        """A call is over; then its record has what is known of its media."""

        def known(media: list[Medium]) -> None:
            call.media = media
            then()

        self._gather(call, self.close, known)

    def report(self, call: Call, then: Callable[[Sequence[Medium]], None]) -> None:
        """What is known of a call's media: now, or how it was when it ended."""

        def ask(anchor: Anchor, heard: Reported) -> None:
            anchor.engine.query(anchor.session, heard)

        self._gather(call, ask, lambda media: then(media or call.media))

    def _gather(
        self, call: Call, ask: Callable[[Anchor, Reported], None], then: Callable[[list[Medium]], None]
    ) -> None:
        """Ask about each of a call's anchors; `then` has it all, in their order."""
        anchors, found = self.of(call), list[list[Medium]]()
        found += [[] for _ in anchors]
        left = len(anchors)

        def heard(at: int, report: Report | None) -> None:
            nonlocal left
            anchor = anchors[at]
            for stream in report or ():
                callers = anchor.called(stream.word) == call.near.call_id
                found[at].append(Medium(anchor.engine.name, callers, stream))
            left -= 1
            if not left:
                then([medium for each in found for medium in each])

        if not anchors:
            then([])
        for at, anchor in enumerate(anchors):
            ask(anchor, partial(heard, at))

    def look(self, call: Call) -> None:
        """End a call in which nobody has been heard for too long."""
        for anchor in self.of(call):
            if not anchor.quiet:
                anchor.engine.query(anchor.session, partial(self._heard, call))

    def _heard(self, call: Call, report: Report | None) -> None:
        idle = [stream.idle for stream in report or () if stream.idle is not None]
        if idle and min(idle) >= self.silence:
            call.hang_up(f"no media for {min(idle):.0f} s")


def through(hall: Hall, source: Leg, target: Leg, request: Request, go: Go, lost: Lost) -> None:
    """`Anchors.through`, or at once where nothing is anchored."""
    if hall.media is not None:
        hall.media.through(source, target, request, go, lost)
        return
    try:
        go()
    except Malformed as fault:
        lost(fault.status, fault.reason)


class Ear:
    """Hears the answers to one request: those with a description wait for the engine, then so does what follows."""

    __slots__ = ("_anchor", "_user", "_source", "_target", "_waiting", "_asking", "_shown")

    def __init__(self, anchor: Anchor, user: ClientUser, source: Leg, target: Leg) -> None:
        self._anchor = anchor
        self._user = user
        self._source = source
        self._target = target
        self._waiting: deque[Callable[[], None]] = deque()
        self._asking = False
        self._shown: set[tuple[str, bytes]] = set()  # who has said what: the same again means the same

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """A response."""
        if self._asking:
            self._waiting.append(partial(self.answered, transaction, response))
            return
        anchor, tag = self._anchor, response.to_tag
        offered = bool(_description(transaction.request))
        sdp = _description(response) if 100 < response.status < 300 else b""
        place = self._source.call_id, tag
        if offered and response.status >= 300 and response.status not in WITH_MORE:
            anchor.refused()
        if not sdp or anchor.lost(place) or (tag, sdp) in self._shown and anchor.remembers(place, sdp):
            self._user.answered(transaction, response)
            return
        self._asking = True
        self._shown.add((tag, sdp))
        anchor.ask(not offered, self._source, self._target, tag, sdp, partial(self._go_on, transaction, response))

    def _go_on(self, transaction: ClientTransaction, response: Response) -> None:
        self._asking = False
        try:
            self._user.answered(transaction, response)
            while self._waiting and not self._asking:
                self._waiting.popleft()()
        except Exception:  # noqa: BLE001 - our own fault must cost one response, never the engine's other answers
            self._anchor.call.hall.journal.crashed(transaction.request)

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No response will come."""
        if self._asking:
            self._waiting.append(partial(self.unanswered, transaction, status, reason))
            return
        if _description(transaction.request):
            self._anchor.refused()
        self._user.unanswered(transaction, status, reason)

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """We are asked who we are."""
        return self._user.challenged(response, again)


def _description(message: Message) -> bytes:
    """The session description in a message; empty also where its parts cannot be read, which is found out later."""
    try:
        return description(message.body, message.first("Content-Type"))
    except Malformed:
        return b""
