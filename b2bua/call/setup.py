"""The first INVITE of a call: target after target, early dialogs, and the one answer that makes the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.call.hunt import Attempt, Hunt
from b2bua.call.invitation import Invitation
from b2bua.dialog.leg import Leg, Standing
from b2bua.policy.routing import Go
from b2bua.sip.message import Request, Response
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call


class Setup(Invitation):
    """Sets a call up. Each attempt has a far leg of its own: Call-ID, tag, branch, listener (S30)."""

    __slots__ = ("_hunt", "_far", "_flow", "_first", "_started", "_given_up", "_attempts")

    def __init__(self, call: Call, near: Leg, server: ServerTransaction) -> None:
        super().__init__(call, near, server)
        self._hunt: Hunt | None = None
        self._far: Leg | None = None
        self._flow = server.flow
        self._first = True  # no tag of this attempt's far side is known yet
        self._started = False
        self._given_up = False
        self._attempts: dict[ClientTransaction, Leg] = {}

    def start(self, answer: Go) -> None:
        """Policy said where to: try the first target."""
        if self._given_up:
            return
        hall = self.call.hall
        self.call.rule = answer.rule
        self._hunt = Hunt(hall.wire, hall.journal, self.server.request, answer, self._attempt, self._exhausted)
        self._hunt.next()

    def _attempt(self, attempt: Attempt) -> None:
        if self._given_up:
            return
        request, hall, call = self.server.request, self.call.hall, self.call
        far = hall.far_leg(request, attempt)
        self._drop_attempt()
        self._far, self._flow, self._first = far, attempt.flow, True
        call.far, call.why = far, attempt.why
        call.pairs = [(self.near, far)]
        granted = hall.hiding(self.near, far).grant(request, far.listener.host)
        body = far.body_of(request)
        sent = far.request("INVITE", hall.hops_left(request), granted, body)
        if not self._started:
            self._started = True
            hall.journal.started(call)
        call.note(far, True, "INVITE")
        self.client = hall.wire.send(sent, attempt.flow, self, hall.loop_key(request))
        self._attempts[self.client] = far

    def _drop_attempt(self) -> None:
        for near, far in self.call.pairs:
            self.call.hall.book.part(near)
            self.call.hall.book.part(far)

    # The far side's answers

    def pair(self, response: Response) -> tuple[Leg, Leg]:
        """The early dialog of the response's To tag; a tag not seen before is a fork's, with a tag of ours for it."""
        call = self.call
        if not self._first:
            for near, far in call.pairs:
                if far.remote_tag == response.to.tag:
                    if response.status >= 200:
                        far.formed(response)  # RFC 3261 13.2.2.4: the 2xx settles the route set
                    return near, far
        assert self._far is not None, "a response comes to an attempt"
        near, far = self.near, self._far
        if not self._first:
            near, far = near.fork(call.hall.wire.tokens), self._fork(far)
            call.pairs.append((near, far))
        self._first = False
        far.flow = self._flow
        far.formed(response)
        near.standing = far.standing = Standing.EARLY
        call.hall.book.pair(call, near, far)
        return near, far

    def _fork(self, far: Leg) -> Leg:
        """The far leg of another tag: the fork is below us, so what we said of ourselves is the same (S28)."""
        fork = far.fork(self.call.hall.wire.tokens)
        fork.local_tag, fork.contact = far.local_tag, far.contact
        return fork

    def leg_of(self, transaction: ClientTransaction, response: Response) -> Leg:
        """The leg of an attempt given up, or of a fork that answered second."""
        far = self._attempts[transaction]
        if far.remote_tag != response.to.tag:
            far = self._fork(far) if far.remote_tag else far
            far.flow = transaction.flow
            far.formed(response)
        return far

    def provisional(self, response: Response) -> None:
        """Ringing, progress: into the early dialog that it names, if it names one."""
        self.call.ringing()
        near, far = self.pair(response) if response.to.tag else (self.near, self._far)
        assert far is not None, "a response comes to an attempt"
        self.call.note(far, False, f"{response.status} INVITE")
        self.relay(near, far, response)

    def up(self, near: Leg, far: Leg) -> None:
        """The call is answered."""
        self.near = near
        self.call.answered(near, far)

    def failure(self, status: int, response: Response) -> None:
        """503 goes on to the next target (S52); any other failure is the caller's answer (S29)."""
        assert self._far is not None and self._hunt is not None, "a response comes to an attempt"
        self.call.note(self._far, False, f"{status} INVITE")
        if self._given_up:
            return
        if status == 503:
            self.call.hall.wire.failed(self._flow)
            self._hunt.next(500, "the next hop answered 503")
            return
        self._given_up = True
        self.relay(self.near, self._far, response)
        self.call.end(f"refused with {status}")

    def no_answer(self, status: int, reason: str) -> None:
        """No answer, or no way there: the next target."""
        if self._given_up or self._hunt is None:
            return
        self.call.hall.wire.failed(self._flow)
        self.call.hall.journal.no_way(self.server.request, f"{self._flow}: {reason}")
        self._hunt.next(status, reason)

    def _exhausted(self, status: int, reason: str) -> None:
        if not self._given_up:
            self.refuse(status, reason)

    def refuse(self, status: int, why: str, reason: str = "") -> None:
        """There is no target for this call; `reason` is for the caller to read."""
        self._given_up = True
        self.respond(self.near, self.near.response(self.server.request, status, reason=reason))
        self.call.end(why)

    def unanswered_too_long(self) -> None:
        """It rang for as long as the configuration allows (RFC 3261 16.6, timer C)."""
        self.abandon(408, "nobody answered in time")

    def abandon(self, status: int, why: str, cancel: Request | None = None) -> None:
        """Given up by the caller or by us."""
        self._given_up = True
        super().abandon(status, why, cancel)
        self.call.end(why)
