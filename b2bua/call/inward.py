"""A phone's REGISTER on its way to the registrar inside (S54): target after target, as any request without a dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from b2bua.call.addresses import Attempt, Hop
from b2bua.call.hunt import Outcome
from b2bua.call.passages import key_of
from b2bua.call.passing import Passing, Try
from b2bua.call.registrar import Plan
from b2bua.dialog.leg import Leg
from b2bua.sip.message import Headers, Response
from b2bua.sip.registration import Asked
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.mid_registrar import MidRegistrar

# Of the phone's REGISTER they are for us; of the inside's answer they are about its own binding and its own network.
NOT_ACROSS = frozenset({"Expires", "Min-Expires", "Supported", "Require", "Proxy-Require", "Path", "Service-Route"})
_NOBODY = frozenset({408, 500, 502, 503, 504})  # it says nothing of the phone


class Wish(NamedTuple):
    """What a phone asks for, sound and allowed; `asked` is None for all its Contacts to go."""

    transaction: ServerTransaction
    aor: str
    asked: list[Asked] | None
    plans: list[Plan]
    path: tuple[str, ...]


class Aboard(Try):
    """The REGISTER on its way to one target."""

    __slots__ = ("_inward", "_attempt", "_raised")

    def __init__(self, inward: Inward, hop: Hop, breadth: int, send_from: str) -> None:
        super().__init__(inward, hop, breadth, send_from)
        self._inward = inward
        self._attempt: Attempt | None = None
        self._raised = False

    def attempt(self, attempt: Attempt) -> None:
        """A leg in our own name, the same Call-ID each time, and our alias in Contact."""
        if self._addresses is None:
            return  # not wanted any more
        registrar, wish, hall = self._inward.registrar, self._inward.wish, self._inward.hall
        request = wish.transaction.request
        far = hall.far_leg(request, attempt, wish.transaction)
        self._far, self._flow, self._attempt = far, attempt.flow, attempt
        contacts = registrar.dressed(far, wish, registrar.seconds(wish, str(self.hop.uri)))
        granted, body = hall.across(self._inward.near, far, request)
        granted = {name: values for name, values in granted.items() if name not in NOT_ACROSS}
        if contacts:
            granted["Contact"] = contacts
        sent = far.request("REGISTER", hall.hops_left(request), granted, body)
        hall.bare.send(sent, attempt.flow, self, hall.loop_key(request))

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """423 is between the inside and us: once more, for as long as it wants."""
        attempt = self._attempt
        if response.status == 423 and not self._raised and attempt is not None and self._addresses is not None:
            self._raised = True
            if self._inward.registrar.too_brief(str(self.hop.uri), response):
                self.attempt(attempt)
                return
        super().answered(transaction, response)

    def _ended(self, outcome: Outcome, hopeless: bool = False) -> None:
        if outcome.response is not None and outcome.status < 300 and self._addresses is not None:
            self._inward.hop = str(self.hop.uri)
        super()._ended(outcome, hopeless)


class Inward(Passing):
    """A REGISTER that the inside is to answer: only what it accepts makes a binding.

    `keys` are those of its phones, until it has an answer; `hop` is which next hop accepted.
    """

    __slots__ = ("registrar", "wish", "hop", "keys")

    def __init__(self, registrar: MidRegistrar, near: Leg, wish: Wish) -> None:
        super().__init__(registrar.hall, near, wish.transaction)
        self.registrar = registrar
        self.wish = wish
        self.hop = ""
        self.keys = frozenset(key_of(plan.asked) for plan in wish.plans)

    def trial(self, hop: Hop, breadth: int) -> Aboard:
        """The REGISTER on its way to a target."""
        assert self.answer is not None, "policy was asked"
        return Aboard(self, hop, breadth, self.answer.send_from)

    def conclude(self, outcome: Outcome) -> None:
        """This is the phone's answer."""
        try:
            if outcome.response is not None and outcome.status < 300:
                self.registrar.accepted(self, outcome)
            elif outcome.said not in _NOBODY or not self.registrar.tides_over(self.wish):
                super().conclude(outcome)
        except Exception:  # noqa: BLE001 - our own fault must cost one REGISTER, and leave none unanswered
            self.hall.journal.crashed(self.server.request)
            if not self.server.answered:
                self.refuse(500, "a fault of ours")
        self.registrar.over(self)

    def refuse(self, status: int, why: str, reason: str = "", more: Headers | None = None) -> None:
        """It goes nowhere; `reason` and `more` headers are for the phone to read."""
        super().refuse(status, why, reason, more)
        self.registrar.over(self)
