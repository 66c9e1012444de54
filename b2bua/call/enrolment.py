"""We register with carriers (RFC 3261 10.2), so that their calls come to us; when is said in `policy.enrolling`.

The REGISTERs of one registration have one Call-ID and one CSeq space, whatever address they go to. A registration stays
with the address that answered; where that fails, the registrar's others are asked. The Service-Route that a carrier
gives (RFC 3608) is on each call to that carrier, while the registration lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from b2bua.call.addresses import Addresses, Attempt, Hop
from b2bua.dialog.leg import HOPS, Leg
from b2bua.policy.accounts import hop_of
from b2bua.policy.enrolling import TABLE, Do, Enrolling, Input, State, back_off, granted, longer, refresh_in
from b2bua.policy.groups import asked_rest
from b2bua.policy.routing import Go, next_hop
from b2bua.sip.address import Address, parse_address
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.uri import Uri
from b2bua.transaction.transaction import ClientTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

TIMES = 3  # that one registrar may want a longer time, one after the other
A_SECOND = 20  # registrations that begin, so that many do not begin at once
_GRAIN = 1000  # parts of a second
_NOT_NOW = frozenset({408, 500, 502, 503, 504})  # another address may do better


class Enrolment:
    """One registration. `until` is when it lapses, `due` when something is next to do; `last` is the last answer."""

    __slots__ = (
        "enrolling", "state", "since", "until", "due", "last", "failures", "flow", "routes",
        "_hall", "_leg", "_uri", "_flow", "_expires", "_longer", "_hops", "_send_from", "_kept", "_asked", "_addresses",
        "_wait", "_up",
    )  # fmt: skip

    def __init__(self, hall: Hall, enrolling: Enrolling) -> None:
        self.enrolling = enrolling
        self.state = State.IDLE
        self.since = self.until = self.due = 0.0
        self.last = ""
        self.failures = 0
        self.flow: Flow | None = None  # by which we registered
        self._flow: Flow | None = None  # of the last REGISTER
        self.routes: list[Address] = []  # Service-Route
        self._hall = hall
        self._leg: Leg | None = None
        aor = enrolling.aor
        self._uri = Uri(aor.scheme, "", aor.host, aor.port)  # RFC 3261 10.2: the domain, without a user
        self._expires = enrolling.expires
        self._longer = 0
        self._hops: deque[Uri] = deque()
        self._send_from = enrolling.send_from
        self._kept = False  # whether the address that answered last is to be asked first
        self._asked: Flow | None = None  # the same, until the next round
        self._addresses: Addresses | None = None
        self._wait = 0  # seconds that the registrar asked for
        self._up: bool | None = None  # as the journal was told

    def start(self) -> None:
        """Register."""
        self._step(Input.START)

    def stop(self) -> None:
        """Leave."""
        self._step(Input.STOP)

    def _step(self, event: Input) -> None:
        row = TABLE[self.state][event]
        if row.state is not self.state:
            self.state, self.since = row.state, self._hall.wire.now()
        for action in row.actions:
            _ACTIONS[action](self)

    # Where to

    def _ask(self) -> None:
        self._kept, self._asked, self._wait, self._longer = self.flow is not None, self.flow, 0, TIMES
        self._addresses = None
        self.last = ""  # what was said the round before is no reason for this one
        answer = Go((next_hop(self.enrolling.registrar),), self.enrolling.send_from)
        answer = self._hall.groups.spelled_out(answer, self._hall.wire.now())
        self._hops, self._send_from = deque(answer.to), answer.send_from
        self._next()

    def _next(self) -> None:
        """The address that answered last; then each address of each next hop."""
        flow = self.flow
        if self._kept and flow is not None:
            self._kept = False
            connection = flow.connection if flow.connection is not None and flow.connection.alive else None
            self._send(Flow(flow.listener, flow.host, flow.port, connection, flow.tls_name), self._expires)
        elif self._addresses is not None:
            self._addresses.next()
        else:
            self._next_hop()

    def _next_hop(self) -> None:
        if not self._hops:
            self._addresses = None
            self._step(Input.EXHAUSTED)
            return
        hall, uri = self._hall, self._hops.popleft()
        request = Request("REGISTER", str(self._uri), {"Call-ID": [""]})
        self._addresses = Addresses(hall.wire, hall.journal, request, Hop(uri), self._send_from, self)
        self._addresses.next()

    def attempt(self, attempt: Attempt) -> None:
        """An address of the registrar's."""
        if self._asked is not None and attempt.flow.same_end(self._asked) and self._addresses is not None:
            self._addresses.next(503, self.last)  # it was asked first
            return
        if self._hall.bearer is not None:
            self._hall.bearer.leads(attempt.uri, attempt.flow)
        self._send(attempt.flow, self._expires)

    def exhausted(self, status: int, reason: str) -> None:
        """That next hop has no other address."""
        self.last = self.last or reason
        self._addresses = None
        self._next_hop()

    def hopeless(self, status: int, reason: str) -> None:
        """It has none that anything could be sent to."""
        self.last = reason
        self._addresses = None
        self._next_hop()

    # REGISTER

    def _send(self, flow: Flow, expires: int) -> None:
        hall, leg = self._hall, self._leg
        if leg is None:
            aor = f"<{self.enrolling.aor}>"
            leg = self._leg = Leg.to_peer(flow.listener, aor, aor, self._uri, hall.wire.tokens)
        self._flow, leg.listener = flow, flow.listener
        headers = {"Contact": [self._contact(flow)], "Expires": [str(expires)]}
        request = leg.request("REGISTER", HOPS, headers)
        if hall.bearer is not None:
            hall.bearer.send(request, flow, self, name=self.enrolling.name)
        else:
            hall.wire.send(request, flow, self)

    def _contact(self, flow: Flow) -> str:
        return flow.listener.contact(self.enrolling.contact_user, self.enrolling.aor.secure)

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """The registrar asks who we are."""
        again()
        return True

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The registrar's answer."""
        status = response.status
        if status < 200:
            return
        self.last = f"{status} {response.reason}"
        self._wait = max(self._wait, asked_rest(response))
        if status < 300:
            self._accepted(transaction, response)
        elif status == 423 and self._wants_longer(response):
            self._step(Input.BRIEF)
        elif status in _NOT_NOW:
            if status == 503:
                self._hall.wire.failed(transaction.flow, response)
            self._step(Input.FAILED)
        else:
            self._step(Input.REFUSED)

    def _accepted(self, transaction: ClientTransaction, response: Response) -> None:
        self.flow = transaction.flow
        contact = parse_address(self._contact(transaction.flow), "our own Contact").uri
        seconds = granted(response, contact, self._expires)
        if not seconds and self.state is not State.LEAVING:
            self.last += ", but without our Contact"
            self._step(Input.REFUSED)
            return
        self.until = self._hall.wire.now() + seconds
        try:
            self.routes = response.addresses("Service-Route")
        except Malformed as fault:
            self._hall.journal.fault(transaction.flow, fault, f"a {response.status} response")
        self._step(Input.ACCEPTED)

    def _wants_longer(self, response: Response) -> bool:
        seconds = longer(response, self._expires)
        self._longer -= 1
        if seconds and self._longer >= 0:
            self._expires = seconds
            return True
        return False

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """This address does not answer."""
        self.last = reason
        self._hall.wire.failed(transaction.flow)
        self._step(Input.FAILED)

    # What the table says

    def _longer_now(self) -> None:
        assert self._flow is not None, "a 423 came from somewhere"
        self._send(self._flow, self._expires)

    def _keep(self) -> None:
        self.failures = 0
        wire = self._hall.wire
        seconds = self.until - wire.now()
        self._tell(True)
        self._wake(refresh_in(int(seconds), wire.tokens.below), Input.DUE)
        wire.after(seconds, partial(self._lapse, self.until))

    def _back_off(self) -> None:
        self.failures += 1
        self._wake(back_off(self.failures, self._wait, self._hall.wire.tokens.below), Input.DUE)

    def _lose(self) -> None:
        self.until, self.routes, self.flow = 0.0, [], None
        self._tell(False)

    def _leave(self) -> None:
        assert self.flow is not None, "we registered somewhere"
        self.routes = []
        self._send(self.flow, 0)

    def _tell(self, up: bool) -> None:
        if up is not self._up:
            self._up = up
            self._hall.journal.registered(str(self.enrolling.aor), self.enrolling.registrar, up, self.last)

    # Time

    def _wake(self, seconds: float, event: Input) -> None:
        self.due = self._hall.wire.now() + seconds
        self._hall.wire.after(seconds, partial(self._turn, self.due, event))

    def _turn(self, due: float, event: Input) -> None:
        """Only the last one made counts."""
        if due == self.due:
            self._step(event)

    def _lapse(self, until: float) -> None:
        if until == self.until:
            if self.state is State.REFRESHING:
                self.last = "it has lapsed, and the refresh has no answer"
            self._step(Input.LAPSED)


_ACTIONS: dict[Do, Callable[[Enrolment], None]] = {
    Do.ASK: Enrolment._ask,
    Do.NEXT: Enrolment._next,
    Do.LONGER: Enrolment._longer_now,
    Do.KEEP: Enrolment._keep,
    Do.BACK_OFF: Enrolment._back_off,
    Do.LOSE: Enrolment._lose,
    Do.LEAVE: Enrolment._leave,
}


class Enrolments:
    """All registrations of ours."""

    __slots__ = ("all", "_wire", "_wanted")

    def __init__(self, hall: Hall, enrollings: Sequence[Enrolling]) -> None:
        self.all = [Enrolment(hall, each) for each in enrollings]
        self._wire = hall.wire
        self._wanted = False

    def start(self) -> None:
        """Register with every carrier, one after the other by chance."""
        self._wanted = True
        spread = max(1, len(self.all) * _GRAIN // A_SECOND)
        for each in self.all:
            self._wire.after(self._wire.tokens.below(spread) / _GRAIN, partial(self._begin, each))

    def _begin(self, enrolment: Enrolment) -> None:
        if self._wanted:  # still
            enrolment.start()

    def stop(self) -> None:
        """Leave all of them."""
        self._wanted = False
        for each in self.all:
            each.stop()

    def preload(self, leg: Leg, hop: Uri) -> None:
        """Give a leg to a carrier the carrier's Service-Route: the caller's registration's, else the first one's."""
        fitting = [each for each in self.all if each.routes and hop_of(hop) in each.enrolling.hops]
        if fitting:
            user = parse_address(leg.local, "our own From").uri.user
            leg.preload(next((each for each in fitting if each.enrolling.aor.user == user), fitting[0]).routes)
