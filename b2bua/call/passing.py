"""One request outside any dialog (MESSAGE, OPTIONS, PUBLISH, INFO …), carried across, target after target."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from b2bua.call.addresses import Addresses, Attempt, Hop
from b2bua.call.hunt import Hunt, Outcome
from b2bua.dialog.leg import Leg
from b2bua.sip.message import Headers, Request, Response
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall


class Try:
    """The request on its way to one target. Each attempt has a leg of its own, which lives as long as the answer takes.

    There is no CANCEL for it (RFC 4320 4.1): what is given up is only not waited for any more.
    """

    __slots__ = ("hop", "breadth", "_passing", "_far", "_flow", "_addresses")

    def __init__(self, passing: Passing, hop: Hop, breadth: int, send_from: str) -> None:
        self.hop = hop
        self.breadth = breadth
        self._passing = passing
        self._far: Leg | None = None
        self._flow = passing.server.flow
        hall, request = passing.hall, passing.server.request
        # None once it has an answer or is given up.
        self._addresses: Addresses | None = Addresses(hall.wire, hall.journal, request, hop, send_from, self)

    def start(self) -> None:
        """Try the first address."""
        self._next(480, "no next hop")

    def attempt(self, attempt: Attempt) -> None:
        """A new leg and the request for this address."""
        if self._addresses is None:
            return  # not wanted any more
        request, hall = self._passing.server.request, self._passing.hall
        far = hall.far_leg(request, attempt, self._passing.server)
        self._far, self._flow = far, attempt.flow
        granted, body = hall.across(self._passing.near, far, request)
        sent = far.request(request.method, hall.hops_left(request), granted, body)
        hall.wire.send(sent, attempt.flow, self, hall.loop_key(request))

    def exhausted(self, status: int, reason: str) -> None:
        """There is no other address."""
        self._ended(Outcome(status, reason))

    def hopeless(self, status: int, reason: str) -> None:
        """It cannot be sent anywhere."""
        self._ended(Outcome(status, reason), True)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The far side's answer; 503 goes on to the next address (S52)."""
        status = response.status
        if status < 200 or self._addresses is None:
            return
        if status == 503:
            self._passing.hall.wire.failed(self._flow, response)
            self._next(500, "the next hop answered 503")
        else:
            self._ended(Outcome(status, f"answered {status}", self._far, response))

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The target asks who we are."""
        if self._addresses is not None:
            again()
        return self._addresses is not None

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No answer: the next address."""
        if self._addresses is not None:
            self._passing.hall.wire.failed(self._flow)
            self._passing.hall.journal.no_way(self._passing.server.request, f"{self._flow}: {reason}")
            self._next(status, reason)

    def _next(self, status: int, reason: str) -> None:
        """The next address; but nothing is delivered that the sender believes lost."""
        if self._addresses is not None and self._passing.in_time:
            self._addresses.next(status, reason)
        else:
            self._ended(Outcome(status, reason))

    def _ended(self, outcome: Outcome, hopeless: bool = False) -> None:
        if self._addresses is not None:
            self._addresses = None  # which knows us: no circle is left for the garbage collector
            self._passing.ended(self, outcome, hopeless)

    def give_up(self) -> None:
        """The target has had its time."""
        self._addresses = None

    def strike(self) -> None:
        """It has no dialog."""

    def lose(self, status: int) -> None:
        """Never: one target is tried at a time."""


class Passing(Hunt[Try]):
    """A request that makes no dialog. Its targets are tried one after the other, also where calls hunt in parallel."""

    __slots__ = ("_until",)

    def __init__(self, hall: Hall, near: Leg, server: ServerTransaction) -> None:
        super().__init__(hall, near, server)
        self._until = hall.wire.now() + hall.wire.timers.patience  # then the sender has given up (RFC 4320 4.2)

    @property
    def in_time(self) -> bool:
        """Whether the sender still waits."""
        return self.hall.wire.now() < self._until

    def trial(self, hop: Hop, breadth: int) -> Try:
        """The request on its way to a target."""
        assert self.answer is not None, "policy was asked"
        return Try(self, hop, breadth, self.answer.send_from)

    def ended(self, trial: Try, outcome: Outcome, hopeless: bool = False) -> None:
        """A target came to nothing, or has answered; no other is tried for a sender that waits no more."""
        accepted = outcome.response is not None and outcome.status < 300
        if accepted:
            self.leave()
            self.conclude(outcome)
        else:
            super().ended(trial, outcome, hopeless or not self.in_time)

    def conclude(self, outcome: Outcome) -> None:
        """This is the sender's answer."""
        if outcome.response is None:
            self.hall.journal.refused(self.server.request, self.server.flow, outcome.status, outcome.reason)
            self.refuse(outcome.status, outcome.reason)
        else:
            self.hall.wire.respond(self.server, self.crossed(outcome))

    def refuse(self, status: int, why: str, reason: str = "", more: Headers | None = None) -> None:
        """It goes nowhere; `reason` and `more` headers are for the sender to read."""
        self.hall.wire.respond(self.server, self.near.response(self.server.request, status, more, reason=reason))

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """No effect on a request other than INVITE (RFC 3261 9.2)."""
