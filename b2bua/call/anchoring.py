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
from b2bua.call.media import Engine, Medium, Report, Reported
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

Go = Callable[[], None]  # may raise Malformed for what cannot cross: then Lost is called
Lost = Callable[[int, str], None]  # with a status and a reason


class Anchors:
    """Every call's media, where some is anchored. `policy` says whose, `engines` are by name."""

    def __init__(self, hall: Hall, policy: Anchoring, engines: Mapping[str, Engine], silence: float = 0.0) -> None:
        self.policy = policy
        self.engines = engines
        self.silence = silence  # seconds without a packet after which a call ends; 0: it does not
        self._hall = hall
        self._by_pair: dict[tuple[str, str], Anchor] = {}  # by both legs' Call-IDs, in either order
        self._by_call: dict[str, list[Anchor]] = {}

    def __len__(self) -> int:
        """How many sessions there are."""
        return sum(not anchor.over for anchors in self._by_call.values() for anchor in anchors)

    def between(self, source: Leg, target: Leg) -> Anchor | None:
        """The anchor of two legs."""
        return self._by_pair.get((source.call_id, target.call_id))

    def of(self, call: Call) -> list[Anchor]:
        """The anchors of a call that hold something."""
        return [anchor for anchor in self._by_call.get(call.id, ()) if not anchor.over]

    def open(self, call: Call, near: Leg, far: Leg) -> Anchor | None:
        """The anchor between two legs of a call, of which `far` is called; None where none is wanted."""
        known = self.between(near, far)
        if known is not None:
            return known
        name = self.policy.engine(near.listener, far.listener, call.options.media)
        if not name:
            return None
        anchor = Anchor(self.policy, call, self.engines[name], near, far)
        self._by_pair[near.call_id, far.call_id] = self._by_pair[far.call_id, near.call_id] = anchor
        self._by_call.setdefault(call.id, []).append(anchor)
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

    def ear(self, user: ClientUser, source: Leg, target: Leg) -> ClientUser:
        """Who is to hear the answers to a request to `source`, where descriptions in them are for `target`."""
        anchor = self.between(source, target)
        return user if anchor is None else Ear(anchor, user, source, target)

    def said(self, source: Leg, target: Leg, message: Request | Response, sdp: bytes) -> bytes:
        """A description as it is before the target leg makes it its own.

        Malformed where it cannot cross. Where it is no offer and no answer, it tells what somebody can do, but not
        where he is.
        """
        anchor, status = self.between(source, target), message.status if isinstance(message, Response) else 200
        if status < 300 and message.cseq[1] in _OFFERING:
            return sdp if anchor is None else anchor.said(source, sdp)
        if anchor is not None or self.policy.engine(source.listener, target.listener):
            return hushed(sdp, target.listener.media_address)
        return sdp

    # The end

    def only(self, call: Call, near: Leg, far: Leg) -> None:
        """These two are the call from now on: what was anchored for others ends."""
        stays = self.between(near, far)
        if stays is not None:
            stays.won(far)
        for anchor in self.of(call):
            if anchor is not stays:
                self.close(anchor)

    def close(self, anchor: Anchor | None, then: Reported = lambda report: None) -> None:
        """There is nobody left at one end. What comes late all the same still does not cross as it is."""
        if anchor is not None and not anchor.over:
            anchor.close(then)

    def forget(self, call: Call) -> None:
        """Nothing comes late for a call any more."""
        for anchor in self._by_call.pop(call.id, ()):
            near, far = anchor.near.call_id, anchor.far.call_id
            del self._by_pair[near, far], self._by_pair[far, near]

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

    __slots__ = ("_anchor", "_user", "_source", "_target", "_waiting", "_asking")

    def __init__(self, anchor: Anchor, user: ClientUser, source: Leg, target: Leg) -> None:
        self._anchor = anchor
        self._user = user
        self._source = source
        self._target = target
        self._waiting: deque[Callable[[], None]] = deque()
        self._asking = False

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """A response."""
        if self._asking:
            self._waiting.append(partial(self.answered, transaction, response))
            return
        offered = bool(_description(transaction.request))
        sdp = _description(response) if 100 < response.status < 300 else b""
        place = self._source.call_id, response.to_tag
        if offered and response.status >= 300 and response.status not in WITH_MORE:
            self._anchor.refused()
        if not sdp or self._anchor.knows(place, sdp):
            self._user.answered(transaction, response)
            return
        self._asking = True
        go_on = partial(self._go_on, transaction, response)
        self._anchor.ask(not offered, self._source, self._target, response.to_tag, sdp, go_on)

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
