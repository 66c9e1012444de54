"""INVITEs that we send of our own accord, to carry a transfer out (RFC 3725): on a leg that is up, or on a new one.

Their 2xx may wait for its ACK until the other party has answered the offer in it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from b2bua.call import refresh
from b2bua.call.addresses import Addresses, Attempt, Hop
from b2bua.call.credentials import brought
from b2bua.call.invitation import TRIES
from b2bua.call.lookup import registered
from b2bua.call.way import take, transmit
from b2bua.dialog.leg import HOPS, Leg, Standing
from b2bua.policy.routing import LOOKUP, Go
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.multipart import media_type
from b2bua.sip.tokens import LoopKey
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call

_MEDIA = re.compile(rb"^m=[^\r\n]+", re.M)
_PORT = re.compile(rb"^(m=[^ ]+) [0-9/]+ ")

Grant = Callable[[Leg], Headers]  # Malformed where the target may not be called


class Inviter(Protocol):
    """Who has an INVITE sent, and is told what becomes of it."""

    def ringing(self, invite: OwnInvite, status: int) -> None:
        """A 1xx other than 100."""

    def accepted(self, invite: OwnInvite, response: Response) -> None:
        """The first 2xx, whose ACK is owed: `acknowledge`, or `give_up`."""

    def refused(self, invite: OwnInvite, status: int) -> None:
        """There is no session: the peer's status, or ours."""


class OwnInvite:
    """An INVITE on a leg that is up."""

    __slots__ = (
        "call", "leg", "told", "_client", "_accepted", "_acks", "_over", "_offer", "_granted", "_body", "_tries",
    )  # fmt: skip

    def __init__(self, call: Call, leg: Leg, told: Inviter, granted: Headers | None = None, body: bytes = b"") -> None:
        self.call = call
        self.leg = leg
        self.told = told
        self._client: ClientTransaction | None = None
        self._accepted = False
        self._acks: dict[str, tuple[Leg, Request]] = {}  # by the tag of the 2xx
        self._over = False
        self._offer = b""  # of the 2xx, where ours had none
        self._granted = granted
        self._body = body
        self._tries = 1

    def send(self) -> None:
        """Send it, also once more after a refusal; without a body the 2xx brings the offer."""
        self._over = False
        take(self.call.hall.wire, self.leg, self._go, self._lost)

    def _go(self, flow: Flow) -> None:
        if not self._over:
            self.call.note(self.leg, True, "INVITE")
            request = self.leg.request("INVITE", HOPS, self._granted, self._body)
            self._client = self.call.hall.wire.send(request, flow, self)

    # What the peer says

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """A response to our INVITE."""
        status = response.status
        if status >= 300:
            self.call.note(self.leg, False, f"{status} INVITE")
            if status not in refresh.WITH_MORE or not self._again(transaction, response):
                self._refused(status)
        elif status >= 200:
            self._success(transaction, response)
        elif status > 100 and not self._over:
            self.told.ringing(self, status)

    def _again(self, transaction: ClientTransaction, response: Response) -> bool:
        """Whether the peer has it once more: with the interval, or the extension, that it insists on."""
        if self._over or self._tries == TRIES:
            return False
        try:
            if not refresh.more(self.leg, transaction.request, response):
                return False
        except Malformed as fault:
            self.call.hall.journal.fault(transaction.flow, fault, f"a {response.status} response")
            return False
        self._tries += 1
        self.call.note(self.leg, True, "INVITE")
        again = self.leg.again(transaction.request)
        self._client = self.call.hall.wire.send(again, transaction.flow, self, self._key())
        return True

    def _key(self) -> LoopKey | None:
        """Inside a dialog there are no loops."""
        return None

    def _success(self, transaction: ClientTransaction, response: Response) -> None:
        tag = response.to_tag
        if tag in self._acks:  # the 2xx again: the same ACK again (S23)
            transmit(self.call.hall.wire, *self._acks[tag])
        elif self._over or (self._accepted and tag != self.leg.remote_tag):
            self._unwanted(response)
        elif not self._accepted:
            self.call.note(self.leg, False, f"{response.status} INVITE")
            self._accepted = True
            self._note_offer(response)
            try:
                self._learn(response)
            except Malformed as fault:
                self.leg.remote_tag = tag
                self.call.hall.journal.fault(transaction.flow, fault, f"a {response.status} response")
                self._end()
                self.told.refused(self, 502)
                return
            refresh.accepted(self.call, self.leg, response)
            self.told.accepted(self, response)

    def _note_offer(self, response: Response) -> None:
        if not self._body and media_type(response.first("Content-Type")) == "application/sdp":
            self._offer = response.body

    def _learn(self, response: Response) -> None:
        self.leg.retarget(response.contact)

    def _unwanted(self, response: Response) -> None:
        """It was taken back too late."""
        self._note_offer(response)
        self._end()

    def _refused(self, status: int) -> None:
        if not self._over:
            self._over = True
            self.told.refused(self, status)

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The peer asks who we are."""
        if self._over:
            return False
        self.call.note_again(self.leg, response)
        self._client = again()
        return True

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """Nobody answers."""
        self._lost(status, reason)

    def _lost(self, status: int, reason: str) -> None:
        self._refused(status)

    # What becomes of it

    def acknowledge(self, granted: Headers | None = None, body: bytes = b"") -> None:
        """The session is agreed: ACK, with the answer to the offer of the 2xx."""
        ack = self._acknowledge(self.leg, granted, body)
        if self.leg.timer is not None and self._client is not None:
            self.leg.timer.keep(ack if body else self._client.request)

    def _acknowledge(self, leg: Leg, granted: Headers | None = None, body: bytes = b"") -> Request:
        assert self._client is not None, "a 2xx answers our INVITE"
        granted = brought(self._client.request) | (granted or {})
        ack = leg.ack(self._client.request.cseq[0], granted, body)
        self._acks[leg.remote_tag] = leg, ack
        self.call.note(leg, True, "ACK")
        transmit(self.call.hall.wire, leg, ack)
        return ack

    def give_up(self) -> None:
        """It is not wanted any more: CANCEL, or ACK where it was accepted."""
        if self._over:
            return
        self._over = True
        if self._accepted:
            self._end()
        elif self._client is not None:
            self.call.note(self.leg, True, "CANCEL")
            self.call.hall.wire.cancel(self._client, {})

    def _end(self) -> None:
        """ACK a 2xx for which there is no session: an offer in it is answered, and nothing of it taken (RFC 3264 6)."""
        self._over = True
        if self.leg.remote_tag not in self._acks:
            if self._offer:
                self._acknowledge(self.leg, {"Content-Type": ["application/sdp"]}, self._declined())
            else:
                self._acknowledge(self.leg)

    def _declined(self) -> bytes:
        media = [_PORT.sub(rb"\1 0 ", found) for found in _MEDIA.findall(self._offer)]
        lines = [b"v=0", b"o=- 0 0 IN IP4 0.0.0.0", b"s=-", b"c=IN IP4 0.0.0.0", b"t=0 0", *media, b""]
        return self.leg.sdp.own(b"\r\n".join(lines))


class OwnCall(OwnInvite):
    """The INVITE of a new leg, to where policy says: target after target (S30), without an offer of ours.

    `asked` is what policy is asked about; `shown` is the same as from the party that is to talk; `grant` says what of
    it the target may read, once it is known which listener it leaves by. `leg` is that party's until there is one.
    """

    __slots__ = ("server", "_shown", "_grant", "_answer", "_hops", "_addresses")

    def __init__(
        self, call: Call, leg: Leg, told: Inviter, asked: ServerTransaction, shown: Request, grant: Grant
    ) -> None:
        super().__init__(call, leg, told)
        self.server = asked  # for whoever decides; no peer waits for its answer
        self._shown = shown
        self._grant = grant
        self._answer: Go | None = None  # policy's
        self._hops: deque[Hop] = deque()
        self._addresses: Addresses | None = None  # of the target that is tried

    @property
    def started(self) -> bool:
        """Whether it is decided where it goes."""
        return self._answer is not None or self._over

    def refuse(self, status: int, why: str, reason: str = "", more: Headers | None = None) -> None:
        """Policy said no."""
        super()._refused(status)

    def start(self, answer: Go) -> None:
        """Policy said where to."""
        if self._over:
            return
        self._answer = answer
        for uri in answer.to or (self._shown.uri,):
            if uri.scheme == LOOKUP:
                self._hops.extend(registered(self.call.hall, self._shown, self.server.flow)[0])
            else:
                self._hops.append(Hop(uri))
        self._go_on(480, "no next hop")

    def _go_on(self, status: int, reason: str) -> None:
        """The next target; `status` tells how the one before it ended."""
        assert self._answer is not None, "policy was asked"
        if not self._hops:
            self._addresses = None
            super()._refused(status)
            return
        hall, hop = self.call.hall, self._hops.popleft()
        self._addresses = Addresses(hall.wire, hall.journal, self._shown, hop, self._answer.send_from, self)
        self._addresses.next(status, reason)

    def attempt(self, attempt: Attempt) -> None:
        """A new leg and an INVITE for this address."""
        if self._over:
            return
        hall, shown = self.call.hall, self._shown
        leg = hall.far_leg(shown, attempt, self.server)
        granted = self._grant(leg)
        leg.flow = attempt.flow
        self.leg = leg
        self.call.note(leg, True, "INVITE")
        request = leg.request("INVITE", hall.hops_left(shown), granted)
        self._client = hall.wire.send(request, attempt.flow, self, self._key())

    def _key(self) -> LoopKey | None:
        return self.call.hall.loop_key(self._shown)

    def exhausted(self, status: int, reason: str) -> None:
        """There is no other address."""
        self._go_on(status, reason)

    def hopeless(self, status: int, reason: str) -> None:
        """It cannot be sent anywhere."""
        self._addresses = None
        super()._refused(status)

    def _refused(self, status: int) -> None:
        assert self._answer is not None, "policy was asked"
        if self._addresses is None or self._over:
            super()._refused(status)
        elif status == 503:
            self._next(500, "the next hop answered 503")
        elif status in self._answer.options.go_on:
            self._go_on(status, f"refused with {status}")
        else:
            self._addresses = None
            super()._refused(status)

    def _lost(self, status: int, reason: str) -> None:
        if self._addresses is None:
            super()._refused(status)
        elif not self._over:
            self._next(status, reason)

    def _next(self, status: int, reason: str) -> None:
        hall = self.call.hall
        assert self._addresses is not None and self.leg.flow is not None, "an attempt was made"
        hall.wire.failed(self.leg.flow)
        hall.journal.no_way(self._shown, f"{self.leg.flow}: {reason}")
        self._addresses.next(status, reason)

    def _learn(self, response: Response) -> None:
        self._addresses = None
        self.leg.formed(response)
        self.leg.standing = Standing.CONFIRMED

    def _unwanted(self, response: Response) -> None:
        """A fork that answered second, or anybody after the CANCEL: ACK and BYE (S27, S28)."""
        leg = self.leg
        if leg.remote_tag and leg.remote_tag != response.to_tag:
            assert leg.flow is not None, "an attempt was made"
            leg = leg.fork(leg.remote_target, leg.flow, self.call.hall.wire.tokens)
        try:
            leg.formed(response)
        except Malformed:
            leg.remote_tag = response.to_tag
        leg.standing = Standing.CONFIRMED
        self._acknowledge(leg)
        self.call.send_bye(leg)

    def _end(self) -> None:
        super()._end()
        self.leg.standing = Standing.CONFIRMED
        self.call.send_bye(self.leg)
