"""Our INVITE on its way to one target: its addresses, its early dialogs, and its answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from b2bua.call import prack
from b2bua.call.addresses import Addresses, Attempt, Hop
from b2bua.call.hunt import Outcome
from b2bua.call.invitation import Invitation
from b2bua.dialog.leg import Leg, Standing
from b2bua.policy.hiding import NEEDS_MEDIA, beyond_us
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request, Response
from b2bua.transaction.machine import State
from b2bua.transaction.transaction import ClientTransaction

if TYPE_CHECKING:
    from b2bua.call.setup import Setup

FORKS = 32  # early dialogs of one call, at most


class Branch(Invitation):
    """One target's INVITE. Each attempt has a far leg of its own: Call-ID, tag, branch, listener (S30).

    With `forks = "first"` all far legs of the call have one near leg, and what the caller sends in its early dialog
    goes to the first of them (S28); else each has a near leg of its own.
    """

    __slots__ = ("hop", "breadth", "_setup", "_addresses", "_flow", "_pairs", "_given_up")

    def __init__(self, setup: Setup, hop: Hop, breadth: int, send_from: str) -> None:
        call, server = setup.call, setup.server
        super().__init__(call, setup.near, server)
        self.hop = hop
        self.breadth = breadth
        self._setup = setup
        wire, journal = call.hall.wire, call.hall.journal
        # None once it has an answer or is given up: it knows us, and no circle is left for the garbage collector.
        self._addresses: Addresses | None = Addresses(wire, journal, server.request, hop, send_from, self)
        self._flow = server.flow
        self._pairs: list[tuple[Leg, Leg]] = []  # the attempt's early dialogs, one for each tag of the far side
        self._given_up = False

    def start(self) -> None:
        """Try the first address."""
        assert self._addresses is not None, "it begins"
        self._addresses.next()

    # From address to address

    def attempt(self, attempt: Attempt) -> None:
        """A new leg and an INVITE for this address."""
        if self._addresses is None:
            return  # not wanted any more
        request, hall = self.server.request, self.call.hall
        self.client = None
        far = hall.far_leg(request, attempt, self.server)
        if hall.media is None:
            self._invite(attempt, far)
            return
        far.flow = attempt.flow
        self._close_media()
        if hall.media.open(self.call, self.near, far, request) is None and beyond_us(request):
            raise Malformed(NEEDS_MEDIA, "RFC 3323 5", 500)
        hall.media.through(self.near, far, request, partial(self._invite, attempt, far), self._unanchored)

    def _unanchored(self, status: int, reason: str) -> None:
        """What the caller says of its session cannot be shown to this target; another may need no engine for it."""
        if status < 500:
            self.hopeless(status, reason)
        else:
            self.exhausted(status, reason)

    def _close_media(self) -> None:
        """The attempt's media is nobody's any more."""
        media = self.call.hall.media
        if media is not None and self.far is not None:
            media.close(media.between(self.near, self.far))

    def _invite(self, attempt: Attempt, far: Leg) -> None:
        request, hall, call = self.server.request, self.call.hall, self.call
        if self._addresses is None:
            return  # not wanted any more
        granted, body = hall.across(self.near, far, request)
        if self.breadth:
            granted["Max-Breadth"] = [str(self.breadth)]  # RFC 5393 5.3.3
        if self._pairs:
            self.strike()
        self.far, self._flow = far, attempt.flow
        first, call.far, call.why = call.far is None, far, attempt.why
        if first:
            hall.journal.started(call)
        call.note(far, True, "INVITE")
        sent = far.request("INVITE", hall.hops_left(request), granted, body)
        self.client = hall.wire.send(sent, attempt.flow, self.ear(far), hall.loop_key(request))

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The far side asks who we are: whoever rang before that rings no more."""
        if not super().challenged(response, again):
            return False
        if self._pairs:
            self.strike()
        return True

    def wanted(self) -> bool:
        """Whether an answer of the far side still counts."""
        return self._addresses is not None and not self._given_up

    def exhausted(self, status: int, reason: str) -> None:
        """There is no other address."""
        self._ended(Outcome(status, reason))

    def hopeless(self, status: int, reason: str) -> None:
        """It cannot be sent anywhere."""
        self._ended(Outcome(status, reason), True)

    def _ended(self, outcome: Outcome, hopeless: bool = False) -> None:
        if self._addresses is not None:
            self._addresses = None
            self._close_media()
            self._setup.ended(self, outcome, hopeless)

    # The far side's answers

    def pair(self, response: Response) -> tuple[Leg, Leg]:
        """The early dialog of the response's To tag; a tag not seen before is a fork's."""
        tag, book = response.to_tag, self.call.hall.book
        for near, far in self._pairs:
            if far.remote_tag == tag:
                if response.status >= 200:
                    far.formed(response)  # RFC 3261 13.2.2.4: the 2xx settles the route set
                return near, far
        for near, far in self._pairs:
            if not far.remote_tag:  # RFC 2543: what rang without a tag has one now
                book.part([(near, far)])
                far.formed(response)
                book.join(self.call, near, far)
                return near, far
        far, near = self._new(response), self.near
        if near.standing is not Standing.TRYING and self.call.options.forks != "first":
            # Our tag means another dialog already.
            near = self.call.hall.near_leg(self.server)
        near.standing = far.standing = Standing.EARLY
        self._pairs.append((near, far))
        self.call.pairs.append((near, far))
        book.join(self.call, near, far)
        return near, far

    def _new(self, response: Response) -> Leg:
        """The far leg for a tag that was not seen before."""
        far = self.far
        assert far is not None and self.client is not None, "a response comes to an attempt"
        if self._pairs:
            far = far.fork(self.client.request.uri, self._flow, self.call.hall.wire.tokens)
        far.flow = self._flow
        far.formed(response)
        return far

    def late(self, response: Response) -> Leg:
        """A fork that answered second, or anybody after the end."""
        far = next((far for _, far in self._pairs if far.remote_tag == response.to_tag), None)
        if far is None:
            far = self._new(response)
        else:
            far.formed(response)
        far.standing = Standing.CONFIRMED
        return far

    def provisional(self, response: Response) -> None:
        """Ringing, progress: into the early dialog that it names."""
        call = self.call
        if self._given_up:
            return
        if len(call.pairs) == FORKS and all(far.remote_tag != response.to_tag for _, far in self._pairs):
            return
        near, far = self.pair(response)
        call.ringing()
        call.note(far, False, f"{response.status} INVITE")
        if response.body and call.options.forks == "first" and call.pairs[0][1] is not far:
            # One dialog has one answer (RFC 3261 13.2.1): what another fork says of its session waits for its 2xx.
            self.keep_answer(response)
            response = Response(response.status, response.reason, response.headers)
        self.relay(near, far, response)

    def succeeded(self, response: Response) -> None:
        """A 2xx; it is too late in an early dialog that the caller has hung up, while another one rings."""
        tag = response.to_tag
        hung_up = any(far.remote_tag == tag and near.standing is Standing.ENDED for near, far in self._pairs)
        if hung_up and tag not in self._acks and not self.server.answered:
            self._too_late(response)
            self._ended(Outcome(487, "the caller hung up"))
        else:
            super().succeeded(response)

    def up(self, near: Leg, far: Leg) -> None:
        """The call is answered."""
        self._addresses = None
        self.server.user = self  # whose the ACK is
        self.call.answered(near, far)
        self._setup.won(self)

    def down(self, why: str) -> None:
        """There is no call."""
        self._addresses = None
        self._setup.lost(self, why)

    def failure(self, status: int, response: Response) -> None:
        """503 goes on to the next address (S52); any other failure is the target's answer."""
        assert self.far is not None, "a response comes to an attempt"
        self.call.note(self.far, False, f"{status} INVITE")
        if self._given_up:
            self._forget()
        elif self._addresses is None:
            return  # not wanted any more
        elif status == 503:
            self.call.hall.wire.failed(self._flow, response)
            self._addresses.next(500, "the next hop answered 503")
        else:
            self._ended(Outcome(status, f"refused with {status}", self.far, response))

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No answer, or no way there: the next address."""
        if self._given_up:
            self._forget()
        elif self._addresses is not None:
            self.call.hall.wire.failed(self._flow)
            self.call.hall.journal.no_way(self.server.request, f"{self._flow}: {reason}")
            self._addresses.next(status, reason)

    # The end of it

    def strike(self) -> None:
        """Its early dialogs are over, while the call goes on."""
        if self._given_up:
            return  # a 2xx may still come
        call, book = self.call, self.call.hall.book
        pairs, self._pairs = self._pairs, []
        book.part(pairs)
        call.pairs = [pair for pair in call.pairs if pair not in pairs]
        if call.pairs:
            book.join(call, *call.pairs[0])  # where they had one near leg, it is the next fork's
        if call.reliable:
            prack.strike(call, pairs)

    def _forget(self) -> None:
        """It was given up, and now it has ended."""
        self._given_up = False
        self._close_media()
        if not self.server.answered:
            self.strike()

    def give_up(self) -> None:
        """The target has had its time: CANCEL. A 2xx that crosses it still makes the call, if no other did."""
        client = self.client
        if client is not None and client.state is State.CALLING:
            self.call.hall.wire.failed(self._flow)  # not so much as a 100
        self._given_up = client is not None
        self.cancel_far()

    def lose(self, status: int) -> None:
        """Another answered, or one refused for all: nothing was missed there (RFC 3326)."""
        self._addresses = None
        if self.client is not None and self.far is not None:
            self.call.note(self.far, True, "CANCEL")
            self.call.hall.wire.cancel(self.client, {"Reason": [f"SIP;cause={status}"]})

    def cancel_far(self, cancel: Request | None = None) -> None:
        """The caller takes it back, or we do."""
        self._addresses = None
        super().cancel_far(cancel)

    def take_back(self, cancel: Request) -> None:
        """Never: until somebody has answered, CANCEL is for the setup."""
