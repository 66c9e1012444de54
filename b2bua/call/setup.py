"""The first INVITE of a call: target after target, early dialogs, and the one answer that makes the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.call.hunt import Attempt, Hunt
from b2bua.call.invitation import Invitation
from b2bua.dialog.leg import Leg, Standing
from b2bua.policy.routing import Go
from b2bua.sip.message import Request, Response
from b2bua.sip.uri import Uri
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call

FORKS = 32  # early dialogs of one attempt, at most


class Setup(Invitation):
    """Sets a call up. Each attempt has a far leg of its own: Call-ID, tag, branch, listener (S30)."""

    __slots__ = ("_hunt", "_uri", "_flow", "_pairs")

    def __init__(self, call: Call, near: Leg, server: ServerTransaction) -> None:
        super().__init__(call, near, server)
        self._hunt: Hunt | None = None  # from policy's answer until the call is answered or given up
        self._uri: Uri = server.request.uri
        self._flow = server.flow
        self._pairs: list[tuple[Leg, Leg]] = []  # the attempt's early dialogs, one for each tag of the far side

    @property
    def started(self) -> bool:
        """Whether it is decided where it goes."""
        return self._hunt is not None or self.server.answered

    def start(self, answer: Go) -> None:
        """Policy said where to: try the first target."""
        hall = self.call.hall
        self.call.rule = answer.rule
        self.call.options = answer.options
        self.near.barred = answer.options.refer == "refuse"
        self._hunt = Hunt(hall.wire, hall.journal, self.server.request, answer, self._attempt, self._exhausted)
        self._hunt.next()

    def _attempt(self, attempt: Attempt) -> None:
        if self._hunt is None:
            return
        request, hall, call = self.server.request, self.call.hall, self.call
        far = hall.far_leg(request, attempt)
        granted, body = hall.across(self.near, far, request)
        hall.book.part(self._pairs)
        self.far, self._uri, self._flow = far, far.remote_target, attempt.flow
        self._pairs = call.pairs = []
        first, call.far, call.why = call.far is None, far, attempt.why
        if first:
            hall.journal.started(call)
        call.note(far, True, "INVITE")
        sent = far.request("INVITE", hall.hops_left(request), granted, body)
        self.client = hall.wire.send(sent, attempt.flow, self, hall.loop_key(request))

    # The far side's answers

    def pair(self, response: Response) -> tuple[Leg, Leg]:
        """The early dialog of the response's To tag; a tag not seen before is a fork's, with a tag of ours for it."""
        tag, tokens = response.to_tag, self.call.hall.wire.tokens
        for near, far in self._pairs:
            if far.remote_tag == tag:
                if response.status >= 200:
                    far.formed(response)  # RFC 3261 13.2.2.4: the 2xx settles the route set
                return near, far
        for near, far in self._pairs:
            if not far.remote_tag:  # RFC 2543: what rang without a tag has one now
                self.call.hall.book.part([(near, far)])
                far.formed(response)
                self.call.hall.book.pair(self.call, near, far)
                return near, far
        far, near = self._new(response), self.near
        if near.standing is not Standing.TRYING:  # our tag means another dialog already
            near = Leg.of_request(self.server.request, self.server.flow, tokens)
        near.standing = far.standing = Standing.EARLY
        self._pairs.append((near, far))
        self.call.hall.book.pair(self.call, near, far)
        return near, far

    def _new(self, response: Response) -> Leg:
        """The far leg for a tag that was not seen before."""
        far = self.far
        assert far is not None, "a response comes to an attempt"
        if self._pairs:
            far = far.fork(self._uri, self._flow, self.call.hall.wire.tokens)
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
        if len(self._pairs) == FORKS and all(far.remote_tag != response.to_tag for _, far in self._pairs):
            return
        near, far = self.pair(response)
        self.call.ringing()
        self.call.note(far, False, f"{response.status} INVITE")
        self.relay(near, far, response)

    def up(self, near: Leg, far: Leg) -> None:
        """The call is answered."""
        self._hunt = None  # which knows us: no circle is left for the garbage collector
        self.call.answered(near, far)

    def down(self, why: str) -> None:
        """There is no call."""
        self._hunt = None
        self.call.end(why)

    def failure(self, status: int, response: Response) -> None:
        """503 goes on to the next target (S52); any other failure is the caller's answer (S29)."""
        assert self.far is not None, "a response comes to an attempt"
        self.call.note(self.far, False, f"{status} INVITE")
        if self._hunt is None:
            return  # given up
        if status == 503:
            self.call.hall.wire.failed(self._flow)
            self._hunt.next(500, "the next hop answered 503")
            return
        self._hunt = None
        self.relay(self.near, self.far, response)
        self.call.end(f"refused with {status}")

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No answer, or no way there: the next target."""
        if self._hunt is not None:
            self.call.hall.wire.failed(self._flow)
            self.call.hall.journal.no_way(self.server.request, f"{self._flow}: {reason}")
            self._hunt.next(status, reason)

    def _exhausted(self, status: int, reason: str) -> None:
        if self._hunt is not None:
            self._refuse(status)
            self.call.end(reason)

    # The end of it

    def refuse(self, status: int, why: str, reason: str = "") -> None:
        """Policy said no, and the journal knows; `reason` is for the caller to read."""
        self._refuse(status, reason)
        self.call.end(why, told=True)

    def _refuse(self, status: int, reason: str = "") -> None:
        self._hunt = None
        self.respond(self.near, self.near.response(self.server.request, status, reason=reason))

    def take_back(self, cancel: Request) -> None:
        """487 at once; a far side that answers all the same gets ACK and BYE (S27)."""
        self.abandon(487, "cancelled", cancel)

    def abandon(self, status: int, why: str, cancel: Request | None = None) -> None:
        """Given up by the caller or by us: a final response to the near side, CANCEL to the far side."""
        self._refuse(status)
        self.call.end(why)
        self.cancel_far(cancel)

    def unanswered_too_long(self) -> None:
        """It rang for as long as the configuration allows (RFC 3261 16.6, timer C)."""
        self.abandon(408, "nobody answered in time")
