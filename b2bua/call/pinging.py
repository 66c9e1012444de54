"""OPTIONS to phones behind a NAT (S54): it keeps their way open, and says who is there no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING

from b2bua.call.bindings import Binding, Bindings
from b2bua.dialog.leg import HOPS
from b2bua.sip.message import Request, Response
from b2bua.sip.uri import DEFAULT_PORTS
from b2bua.transaction.transaction import ClientTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

LOST = 3  # pings one after the other without an answer: then the phone is gone
TICK = 1.0  # seconds; every round is spread over its interval in so many steps


class Pinging:
    """Asks every phone behind a NAT once in `interval` seconds, by the way that its REGISTER came."""

    __slots__ = ("hall", "bindings", "interval", "running", "_round", "_share", "_since", "_lost")

    def __init__(self, hall: Hall, bindings: Bindings, interval: float) -> None:
        self.hall = hall
        self.bindings = bindings
        self.interval = interval
        self.running = False
        self._round: deque[Binding] = deque()
        self._share = 0  # of a round, each tick
        self._since = 0.0  # when the round began
        self._lost: dict[Binding, int] = {}  # pings
        bindings.gone.append(self._gone)

    def start(self) -> None:
        """Ask from now on, where that is wanted at all."""
        if self.interval and not self.running:
            self.running = True
            self._since = self.hall.wire.now()
            self.hall.wire.after(TICK, self._tick)

    def stop(self) -> None:
        """Ask nobody any more."""
        self.running = False

    def _tick(self) -> None:
        if not self.running:
            return
        now = self.hall.wire.now()
        if not self._round and now - self._since >= self.interval:
            self._since = now
            self._round.extend(each for each in self.bindings if needs_pings(each))
            self._share = ceil(len(self._round) * TICK / self.interval)
        for _ in range(min(self._share, len(self._round))):
            binding = self._round.popleft()
            if binding.expires > now:
                Ping(self, binding).start()
        self.hall.wire.after(TICK, self._tick)

    def answered(self, binding: Binding) -> None:
        """It is there."""
        self._lost.pop(binding, None)

    def lost(self, binding: Binding, since: float) -> None:
        """It did not answer a ping that was sent at that time."""
        if binding.heard >= since or binding not in self.bindings.of(binding.aor):
            self._lost.pop(binding, None)  # it registered meanwhile, or is gone
            return
        count = self._lost[binding] = self._lost.get(binding, 0) + 1
        if count >= LOST:
            self.bindings.remove(binding, f"it left {LOST} OPTIONS unanswered")

    def _gone(self, binding: Binding, why: str) -> None:
        self._lost.pop(binding, None)


class Ping:
    """One OPTIONS to one phone."""

    __slots__ = ("_pinging", "_binding", "_sent")

    def __init__(self, pinging: Pinging, binding: Binding) -> None:
        self._pinging = pinging
        self._binding = binding
        self._sent = pinging.hall.wire.now()

    def start(self) -> None:
        """Send it."""
        hall, flow = self._pinging.hall, self._binding.flow
        uri = self._binding.uri
        headers = {"From": [f"<sip:{flow.listener.host}>"], "To": [f"<{uri}>"]}
        leg = hall.leg_to(Request("OPTIONS", str(uri), headers), uri, flow.listener)
        hall.wire.send(leg.request("OPTIONS", HOPS), flow, self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """Any answer proves that the phone is there."""
        self._pinging.answered(self._binding)

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """That is an answer too."""
        return False

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """None came, or its host has no such port."""
        self._pinging.lost(self._binding, self._sent)


def needs_pings(binding: Binding) -> bool:
    """Whether a phone's way leads through a NAT, which forgets it: by UDP, from elsewhere than its Contact says."""
    flow, uri = binding.flow, binding.uri
    if flow.listener.transport != "udp" or binding.direct or binding.path:
        return False
    return (uri.host, uri.port or DEFAULT_PORTS["udp"]) != (flow.host, flow.port)
