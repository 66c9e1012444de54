"""Where a request goes next: the targets of an answer, one after the other (S30, S52)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from b2bua.call.wire import Journal, Wire
from b2bua.policy.interface import NoInterface
from b2bua.policy.routing import Go
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Target
from b2bua.sip.message import Request
from b2bua.sip.uri import Uri


class Attempt(NamedTuple):
    """One try: the URI it is for, the way it takes, and why that way."""

    uri: Uri
    flow: Flow
    why: str


class Hunt:
    """Goes through an answer's next hops and each one's addresses until one is worth keeping.

    `attempt` is called with each try, and may raise Malformed for a request that cannot be sent anywhere; `exhausted`
    with the last status and reason when there is no other. `next` goes on. Whatever else is raised is our own fault:
    it is in the journal, and the request is answered all the same.
    """

    __slots__ = (
        "_wire", "_journal", "_request", "_answer", "_attempt", "_exhausted", "_hops", "_targets", "_uri", "_last",
    )  # fmt: skip

    def __init__(
        self,
        wire: Wire,
        journal: Journal,
        request: Request,
        answer: Go,
        attempt: Callable[[Attempt], None],
        exhausted: Callable[[int, str], None],
    ) -> None:
        self._wire = wire
        self._journal = journal
        self._request = request
        self._answer = answer
        self._attempt = attempt
        self._exhausted = exhausted
        self._hops = deque(answer.to or (request.uri,))
        self._targets: deque[Target] = deque()
        self._uri = request.uri
        self._last = 480, "no next hop"

    def next(self, status: int = 480, reason: str = "no next hop") -> None:
        """Try the next address; `status` and `reason` tell how the one before it ended."""
        self._last = status, reason
        try:
            self._next()
        except Malformed as fault:
            self._exhausted(fault.status, fault.reason)
        except Exception:  # noqa: BLE001 - our own fault must cost one request, and leave none unanswered
            self._journal.crashed(self._request)
            self._exhausted(500, "a fault of ours")

    def _next(self) -> None:
        while self._targets:
            target = self._targets.popleft()
            try:
                choice = self._wire.choose(target, self._answer.send_from)
            except NoInterface as refusal:
                self._last = refusal.status, refusal.reason
                self._journal.no_way(self._request, refusal.reason)
                continue
            flow = Flow(choice.listener, target.host, target.port, None, target.tls_name)
            self._attempt(Attempt(self._uri, flow, choice.why))
            return
        if self._hops:
            self._uri = self._hops.popleft()
            self._wire.locate(self._secured(self._uri), self._answer.send_from, self._found, self._lost)
        else:
            self._exhausted(*self._last)

    def _secured(self, hop: Uri) -> Uri:
        """A request for a sips URI leaves by TLS, whatever the next hop's URI says (S14)."""
        if hop.secure or not self._request.uri.secure:
            return hop
        params = {name: value for name, value in hop.params.items() if name != "transport"}
        return Uri("sips", hop.user, hop.host, hop.port, params)

    def _found(self, targets: Sequence[Target]) -> None:
        self._targets.extend(targets)
        self.next(*self._last)

    def _lost(self, status: int, reason: str) -> None:
        self._journal.no_way(self._request, reason)
        self.next(status, reason)
