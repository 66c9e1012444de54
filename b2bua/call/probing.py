"""OPTIONS to the members of groups: who is alive. Each goes the way, and has the headers, of a relayed request (S7)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from b2bua.dialog.leg import HOPS
from b2bua.policy.groups import Groups, Health, Place, asked_rest
from b2bua.policy.interface import NoInterface
from b2bua.sip.listener import Flow, Target
from b2bua.sip.message import Request, Response
from b2bua.transaction.transaction import ClientTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

_GRAIN = 1000  # parts of a second to which a member's own time is chosen


class Probing:
    """Sends every member of a group with `probe` an OPTIONS in these intervals, each member at a time of its own."""

    __slots__ = ("hall", "groups", "running")

    def __init__(self, hall: Hall, groups: Groups) -> None:
        self.hall = hall
        self.groups = groups
        self.running = False

    def start(self) -> None:
        """Ask every member for the first time, spread over the interval of its group."""
        self.running = True
        for health in self.groups.healths:
            if health.group.probe:
                spread = self.hall.wire.tokens.below(max(1, int(health.group.probe * _GRAIN))) / _GRAIN
                self.hall.wire.after(spread, partial(self.ask, health))

    def stop(self) -> None:
        """Ask nobody any more."""
        self.running = False

    def ask(self, health: Health) -> None:
        """Ask one member now, and again when its time comes; the time that its answer takes is not counted."""
        if self.running:
            Probe(self, health).start()

    def again(self, health: Health) -> None:
        """A probe has come to its end."""
        if self.running:
            self.hall.wire.after(health.group.probe, partial(self.ask, health))


class Probe:
    """One look at one member: at its addresses one after the other, until one proves it alive."""

    __slots__ = ("_probing", "_health", "_targets", "_flow")

    def __init__(self, probing: Probing, health: Health) -> None:
        self._probing = probing
        self._health = health
        self._targets: deque[Target] = deque()
        self._flow: Flow  # of the one that is asked

    def start(self) -> None:
        """Find its addresses."""
        health = self._health
        self._probing.hall.wire.locate(health.member.uri, health.group.send_from, self._found, self._lost)

    def _found(self, targets: Sequence[Target]) -> None:
        hall, uri = self._probing.hall, str(self._health.member.uri)
        self._probing.groups.leads(uri, targets, hall.wire.now())
        self._targets.extend(targets)
        self._next()

    def _lost(self, status: int, reason: str) -> None:
        self._probing.groups.lost(self._health, self._probing.hall.wire.now(), reason)
        self._probing.again(self._health)

    def _next(self) -> None:
        """Ask at the next address; the last one's silence is the end."""
        health, wire = self._health, self._probing.hall.wire
        while self._targets:
            target = self._targets.popleft()
            try:
                choice = wire.choose(target, health.group.send_from)
                self._flow = Flow(choice.listener, target.host, target.port, None, target.tls_name)
                self._send(self._flow)
            except NoInterface as refusal:
                place = target.transport, target.host, target.port
                self._probing.groups.fell(health, place, wire.now(), refusal.reason)
                continue
            return
        self._probing.again(health)

    def _send(self, flow: Flow) -> None:
        hall, uri = self._probing.hall, self._health.member.uri
        headers = {"From": [f"<sip:{flow.listener.host}>"], "To": [f"<{uri}>"]}
        leg = hall.leg_to(Request("OPTIONS", str(uri), headers), uri, flow.listener)
        if hall.bearer is not None:
            hall.bearer.leads(uri, flow)
        hall.wire.send(leg.request("OPTIONS", HOPS, {"Accept": ["application/sdp"]}), flow, self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """Whether this answer proves it alive is the group's to say."""
        if response.status < 200:
            return
        health, groups, now = self._health, self._probing.groups, self._probing.hall.wire.now()
        said = f"{response.status} OPTIONS"
        if health.group.proves(response.status):
            groups.answered(health, _place(self._flow), now, said)
            self._probing.again(health)
            return
        if response.status == 503:
            self._probing.hall.wire.failed(self._flow, response)
        groups.fell(health, _place(self._flow), now, said, asked_rest(response))
        self._next()

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """It asks who we are."""
        again()
        return True

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """Nobody is there."""
        self._probing.hall.wire.failed(self._flow)
        self._probing.groups.fell(self._health, _place(self._flow), self._probing.hall.wire.now(), reason)
        self._next()


def _place(flow: Flow) -> Place:
    return flow.listener.transport, flow.host, flow.port
