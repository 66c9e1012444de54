"""The stage of the deterministic world: scenarios of `b2bua.ops.selftest` without sockets and without waiting."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from b2bua.ops.selftest.actor import Actor
from b2bua.ops.selftest.play import Outcome, play
from b2bua.ops.selftest.scenario import Scenario
from b2bua.ops.selftest.stage import ZONES, Stage, configuration
from b2bua.sip.listener import Flow, Listener
from tests.party import Party
from tests.world import World

BRIDGE = {"public": ("192.0.2.1", 5060), "private": ("10.0.0.1", 5060)}
PLACES = {"alice": ("192.0.2.20", 5060), "bob": ("10.0.0.20", 5060), "carol": ("10.0.0.21", 5060)}
HOSTS = {
    "public": frozenset({"192.0.2.1", "192.0.2.20"}),
    "private": frozenset({"10.0.0.1", "10.0.0.20", "10.0.0.21"}),
}
WAIT = 20.0  # seconds for what comes at once, or after some retransmissions
PATIENCE = 40.0  # seconds: nothing that SIP does by itself takes longer


class Line(Party):
    """An actor's socket."""

    def __init__(self, stage: WorldStage, world: World, name: str) -> None:
        host, port = PLACES[name]
        listener = next(each for each in world.configuration.listeners if each.zone == ZONES[name])
        super().__init__(world, name, Listener(name, "", "udp", host, port), listener)
        self.stage = stage

    def receive(self, data: bytes, flow: Flow) -> None:
        """To the actor."""
        self.stage.came(self.user, data, flow)


class WorldStage(Stage):
    """The world as a stage."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed, ZONES, HOSTS)
        self.world = world = World(configuration(BRIDGE, PLACES), seed=seed)
        world.phones.clear()
        for name in PLACES:
            line = Line(self, world, name)
            world.phones.append(line)
            self.actors[name] = self._actor(name, line)

    def _actor(self, name: str, line: Line) -> Actor:
        way, world = BRIDGE[ZONES[name]], self.world

        def uri_of(user: str) -> str:
            return f"sip:{user}@{way[0]}"

        return Actor(name, line.at, way, self._sender(name, line), world.tokens, world.wheel.after, uri_of, self.actors)

    def noticed(self) -> None:
        """Whoever waits turns the clock, and looks."""

    def _sender(self, name: str, line: Line) -> Callable[[bytes, Flow], None]:
        return lambda data, flow: self.out(name, data, lambda: line.put(data, flow))

    def now(self) -> float:
        """The world's clock."""
        return self.world.clock.seconds()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """By the phones' wheel."""
        self.world.wheel.after(seconds, action)

    async def wait(self, seconds: float) -> None:
        """Turn the clock."""
        self.world.wait(seconds)

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Turn the clock little by little."""
        until = self.now() + WAIT
        while not condition():
            if self.now() >= until:
                return False
            self.world.wait(0.01)
        return True

    async def rest(self) -> list[str]:
        """64·T1 and a little more; then nothing is left of any call."""
        self.world.wait(PATIENCE)
        wrong = [line for line in self.world.journal.lines if line.startswith("crashed")]
        try:
            self.world.quiet()
        except AssertionError as left:
            wrong.append(str(left))
        return wrong


def perform(scenario: Scenario, stage: WorldStage | None = None) -> tuple[Outcome, WorldStage]:
    """Play a scenario in a world of its own."""
    stage = stage or WorldStage()
    outcomes: list[Outcome] = []
    Deferred.fromCoroutine(play(scenario, stage)).addCallback(outcomes.append)
    return outcomes[0], stage
