"""Where a request goes: target after target or many at once, and whose answer counts (S29, S30, S41).

Why was this target not tried? `Hunt.ended`. Why did the caller get this answer? `best`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from b2bua.call.addresses import Hop
from b2bua.call.bindings import Binding, Way
from b2bua.call.lookup import registered
from b2bua.call.redirection import Redirections, passed, rewritten
from b2bua.dialog.leg import Leg
from b2bua.policy.routing import LOOKUP, Go
from b2bua.sip.digest import ANSWERS
from b2bua.sip.grammar import is_number
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.status import reason_of
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

AT_ONCE = 16  # targets that are tried at the same time, at most
_MORE_USEFUL = frozenset({401, 407, 415, 420, 484})  # RFC 3261 16.7 6: they tell the caller how to try again
_SILENT = frozenset({408, 487})  # they tell least


class Outcome(NamedTuple):
    """How a target ended. `response` is the far side's, which came on the leg `far`; None where the words are ours.

    `contacts` are those of a redirection, as the caller may see them.
    """

    status: int
    reason: str
    far: Leg | None = None
    response: Response | None = None
    contacts: tuple[str, ...] = ()

    @property
    def said(self) -> int:
        """The status that `go_on` is asked about: whoever cannot be reached is unavailable."""
        if self.response is not None:
            return self.response.status
        return 408 if self.status == 408 else 503


class Entrant(Protocol):
    """A request outside any dialog, while it is decided where it goes."""

    server: ServerTransaction

    @property
    def started(self) -> bool:
        """Whether it is decided."""

    def start(self, answer: Go) -> None:
        """Policy said where to."""

    def refuse(self, status: int, why: str, reason: str = "", more: Headers | None = None) -> None:
        """Policy said no; `reason` and `more` headers are for the caller to read."""


class Trial(Protocol):
    """A request on its way to one target."""

    hop: Hop  # the target
    breadth: int  # its part of Max-Breadth; 0 where the request has none

    def start(self) -> None:
        """Send it to the target's first address."""

    def give_up(self) -> None:
        """It took too long."""

    def strike(self) -> None:
        """It is over, and the hunt goes on without it."""

    def lose(self, status: int) -> None:
        """Another target's final answer with this status counts for all."""


_Trial = TypeVar("_Trial", bound=Trial)


class Hunt(ABC, Generic[_Trial]):
    """A request that looks for an answer, from policy's decision until one is found or none is left.

    In series one target is tried after the other, as long as `go_on` has the status of the last; a redirection's
    targets come next, and each of them is tried whatever the one before said, but for 6xx (RFC 3261 8.1.3.4).
    """

    __slots__ = (
        "hall", "near", "server", "answer", "at_once", "_hops", "under_way", "_outcomes", "_tried", "_breadth",
        "_patience", "_redirections", "_busy",
    )  # fmt: skip

    def __init__(self, hall: Hall, near: Leg, server: ServerTransaction) -> None:
        self.hall = hall
        self.near = near
        self.server = server
        self.answer: Go | None = None  # policy's
        self.at_once = 1  # how many targets may be tried at the same time
        self._hops: list[Hop] = []
        self.under_way: list[_Trial] = []  # none once it has an answer
        self._outcomes: list[Outcome] = []
        self._tried: list[Way] = []  # to phones that are registered
        self._breadth = -1  # what of Max-Breadth is left; negative: no limit
        self._patience = 0.0  # seconds that a target may take
        self._redirections: Redirections | None = None
        self._busy = False
        server.user = self

    @property
    def started(self) -> bool:
        """Whether it is decided where it goes."""
        return self.answer is not None or self.server.answered

    def start(self, answer: Go) -> None:
        """Policy said where to: try the first target, or all."""
        request = self.server.request
        self.answer = answer
        self._patience = answer.options.target_timeout
        if "Max-Breadth" in request.headers:
            self._breadth = _breadth(request)
            if self._breadth == 0:
                self.hall.journal.refused(request, self.server.flow, 440, "Max-Breadth is used up")
                self.refuse(440, "Max-Breadth is used up")
                return
        self._hops.extend(map(Hop, answer.to or (request.uri,)))
        self._go_on()

    @abstractmethod
    def refuse(self, status: int, why: str, reason: str = "", more: Headers | None = None) -> None:
        """It goes nowhere, and the journal knows; `reason` and `more` headers are for the caller to read."""

    @abstractmethod
    def trial(self, hop: Hop, breadth: int) -> _Trial:
        """The request on its way to a target, not yet sent."""

    @abstractmethod
    def conclude(self, outcome: Outcome) -> None:
        """Nobody accepts: this is the caller's answer."""

    # What the caller's transaction tells

    @abstractmethod
    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The caller takes the request back."""

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Never: a 2xx to an INVITE is its branch's, and so is its ACK."""

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """Never, for the same reason."""

    # From target to target

    def _go_on(self) -> None:
        """Try as many of the targets that wait as may be tried at once; if none is left, that is the end."""
        if self._busy:
            return  # called while one of them ends before it has begun: the loop below sees to it
        self._busy = True
        while self._hops and not self.server.answered:
            if self._hops[0].uri.scheme == LOOKUP:
                self._look_up()
                continue
            room = min(len(self._hops), self.at_once - len(self.under_way))
            if self._breadth >= 0:
                room = min(room, self._breadth)  # RFC 5393 5.3.3: the others wait until one of these ends
            if room <= 0:
                break
            binding = self._hops[0].binding
            if binding is not None:
                if self._has_left(binding):
                    continue
                self._tried.append(binding.way)
            part = max(0, self._breadth // room)
            self._breadth -= part
            trial = self.trial(self._hops.pop(0), part)
            self.under_way.append(trial)
            if self._patience:
                self.hall.wire.after(self._patience, partial(self._overdue, trial))
            trial.start()
        self._busy = False
        if not self.under_way and not self.server.answered:
            self.conclude(best(self._outcomes))

    def _look_up(self) -> None:
        """Whoever is registered takes the place of the target that stands for them."""
        found, status, reason = registered(self.hall, self.server.request, self.server.flow)
        self._hops[:1] = found
        if not found:
            self._outcomes.append(Outcome(status, reason))

    def _has_left(self, binding: Binding) -> bool:
        """Whether the first target is a phone that unregistered while it waited: it rings by another flow, or not."""
        lookup = self.hall.lookup
        if lookup is None or lookup.has(binding):
            return False
        del self._hops[0]
        if not self._by_another_flow(binding):
            self._outcomes.append(Outcome(480, "the phone is registered no more"))
        return True

    def _overdue(self, trial: _Trial) -> None:
        """It does not answer in time: the next one. What it says later still counts, until the caller has an answer."""
        if trial in self.under_way:
            trial.give_up()
            self.ended(trial, Outcome(408, "no answer in time"))

    def ended(self, trial: _Trial, outcome: Outcome, hopeless: bool = False) -> None:
        """A target came to nothing. `hopeless`: none of the others would do better."""
        assert self.answer is not None, "policy was asked"
        self.under_way.remove(trial)
        self._breadth += trial.breadth
        if outcome.status >= 600:  # RFC 3261 16.7 5: nobody else is asked
            self._conclude_for_all(outcome)
            return
        again = False
        if outcome.response is not None and 300 <= outcome.status < 400:
            self._redirected(trial, outcome)
        else:
            binding = trial.hop.binding
            again = binding is not None and _unreached(outcome) and self._by_another_flow(binding)
            if not again:
                self._outcomes.append(outcome)
        if hopeless or not (again or self.at_once > 1 or self._goes_on(outcome)):
            self._hops.clear()
        if self._hops or self.under_way:
            trial.strike()
        self._go_on()

    def _goes_on(self, outcome: Outcome) -> bool:
        assert self.answer is not None, "policy was asked"
        return bool(self._hops and self._hops[0].depth) or outcome.said in self.answer.options.go_on

    def _by_another_flow(self, binding: Binding) -> bool:
        """Whether a phone that could not be reached has another way, which is tried next (RFC 5626 5.3)."""
        lookup = self.hall.lookup
        found = lookup.alternates(self.server.request, binding, self._tried) if lookup is not None else []
        self._hops[:0] = found[:1]  # which has the others behind it
        return bool(found)

    def _conclude_for_all(self, outcome: Outcome) -> None:
        others = self.leave()
        self.conclude(outcome)
        for other in others:
            other.lose(outcome.status)

    def leave(self) -> list[_Trial]:
        """It is over: no target is tried any more. Returns what is under way."""
        others, self.under_way = self.under_way, []
        self._hops.clear()
        return others

    # Redirections (S41)

    def _redirected(self, trial: _Trial, outcome: Outcome) -> None:
        """A 3xx: more targets, or an outcome. One that is of no use to anybody is a 480."""
        assert self.answer is not None and outcome.response is not None, "it came in answer"
        what = self.answer.options.redirect
        contacts: list[str] = []
        if what == "follow":
            if self._redirections is None:
                self._redirections = Redirections(self.hall, self.server.request, self.answer)
            fresh = self._redirections.of(outcome.response, trial.hop.depth)
            if fresh:
                self._hops[:0] = [Hop(uri, trial.hop.depth + 1) for uri in fresh]
                return
        elif what == "pass":
            contacts = passed(outcome.response)
        else:
            contacts = rewritten(outcome.response, self.near)
        status = outcome.status if contacts else 480
        self._outcomes.append(outcome._replace(status=status, contacts=tuple(contacts)))

    # The answer

    def crossed(self, outcome: Outcome) -> Response:
        """The far side's answer as the near leg says it: with a redirection's Contacts, with everybody's challenges."""
        response = self._crossed(outcome)
        if outcome.contacts:
            headers = {**response.headers, "Contact": list(outcome.contacts)}
            return Response(outcome.status, reason_of(outcome.status), headers, response.body)
        if outcome.status in (401, 407):
            for other in self._outcomes:
                if other is not outcome and other.status in (401, 407) and other.response is not None:
                    _merge(response, self._crossed(other))
        return response

    def _crossed(self, outcome: Outcome) -> Response:
        assert outcome.far is not None and outcome.response is not None, "it is the far side's"
        return self.hall.crossed(outcome.far, self.near, self.server.request, outcome.response)


def _unreached(outcome: Outcome) -> bool:
    """Whether a phone's flow has failed, as the phone's proxy says or as we have found."""
    return outcome.status == 430 if outcome.response is not None else outcome.status in (430, 480, 503)


def best(outcomes: list[Outcome]) -> Outcome:
    """The one that the caller gets (RFC 3261 16.7 6): of the lowest class, of these the one that tells most."""
    return min(outcomes, key=_rank) if outcomes else Outcome(480, "no next hop")


def _rank(outcome: Outcome) -> tuple[int, int, bool]:
    status = outcome.status
    telling = 0 if status in _MORE_USEFUL else 2 if status in _SILENT else 1
    return status // 100, telling, outcome.response is None


def _merge(response: Response, other: Response) -> None:
    """RFC 3261 16.7 7: the caller needs the challenge of each."""
    for name in ANSWERS:
        known = response.headers.get(name, [])
        more = [value for value in other.headers.get(name, ()) if value not in known]
        if more:
            response.headers[name] = [*known, *more]


def _breadth(request: Request) -> int:
    """Max-Breadth (RFC 5393 5.3.3); negative where it is no number, and does not cross."""
    text = request.first("Max-Breadth")
    return int(text) if is_number(text) and len(text) <= 10 else -1
