"""The first INVITE of a call: the targets that it is sent to, and the one answer that makes the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.call.addresses import Hop
from b2bua.call.branch import Branch
from b2bua.call.hunt import AT_ONCE, Hunt, Outcome
from b2bua.dialog.leg import Leg
from b2bua.policy.routing import Go
from b2bua.sip.message import Headers, Request
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call


class Setup(Hunt[Branch]):
    """Sets a call up: a `Branch` for each target, in series or in parallel (S30), and one answer for the caller."""

    __slots__ = ("call",)

    def __init__(self, call: Call, near: Leg, server: ServerTransaction) -> None:
        super().__init__(call.hall, near, server)
        self.call: Call = call

    def start(self, answer: Go) -> None:
        """Policy said where to."""
        self.call.rule, self.call.options = answer.rule, answer.options
        self.near.barred = answer.options.refer == "refuse"
        if answer.options.hunt == "parallel":
            self.at_once = AT_ONCE
        super().start(answer)

    def trial(self, hop: Hop, breadth: int) -> Branch:
        """Our INVITE to a target."""
        assert self.answer is not None, "policy was asked"
        return Branch(self, hop, breadth, self.answer.send_from)

    @property
    def legs(self) -> list[Leg]:
        """The far legs that are under way."""
        return [branch.far for branch in self.under_way if branch.far is not None]

    # How it ends

    def won(self, branch: Branch) -> None:
        """The first 2xx: every other branch is cancelled, and told that the call was answered elsewhere (RFC 3326)."""
        for other in self.leave():
            if other is not branch:
                other.lose(200)

    def lost(self, branch: Branch, why: str) -> None:
        """Somebody accepted, but with an answer that cannot cross; the caller has been told."""
        self.won(branch)
        self.call.end(why)

    def conclude(self, outcome: Outcome) -> None:
        """Nobody accepts."""
        if outcome.response is None:
            self._refuse(outcome.status)
            self.call.end(outcome.reason)
            return
        crossed = self.crossed(outcome)
        self.call.note(self.near, True, f"{crossed.status} INVITE")
        self.hall.wire.respond(self.server, crossed)
        self.call.end(outcome.reason)

    def refuse(self, status: int, why: str, reason: str = "", more: Headers | None = None) -> None:
        """Policy said no, and the journal knows; `reason` and `more` headers are for the caller to read."""
        self._refuse(status, reason, more)
        self.call.end(why, told=True)

    def _refuse(self, status: int, reason: str = "", more: Headers | None = None) -> None:
        self.call.note(self.near, True, f"{status} INVITE")
        self.hall.wire.respond(self.server, self.near.response(self.server.request, status, more, reason=reason))

    def abandon(self, status: int, why: str, cancel: Request | None = None) -> None:
        """Given up by the caller or by us: a final response to the near side, CANCEL to the far sides."""
        branches = self.leave()
        self._refuse(status)
        self.call.end(why)
        for branch in branches:
            branch.cancel_far(cancel)

    def unanswered_too_long(self) -> None:
        """It rang for as long as the configuration allows (RFC 3261 16.6, timer C)."""
        self.abandon(408, "nobody answered in time")

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """487 at once; a far side that answers all the same gets ACK and BYE (S27)."""
        if not self.server.answered:  # else it has no effect (RFC 3261 9.2)
            self.call.note(self.near, False, "CANCEL")
            self.abandon(487, "cancelled", cancel)
