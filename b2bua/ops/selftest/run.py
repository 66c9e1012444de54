"""`b2bua selftest`: plays the scenarios, prints a line for each, and the ladder of every one that fails."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from b2bua.config import Configuration
from b2bua.ops.selftest.ground import SHORT, CannotTest, Ground, OwnGround, ground_of
from b2bua.ops.selftest.library import scenarios
from b2bua.ops.selftest.play import play
from b2bua.ops.selftest.report import drawn
from b2bua.ops.selftest.scenario import PHONES, Scenario
from b2bua.ops.selftest.sockets import SocketStage
from b2bua.ops.tables import table
from b2bua.ops.terminal import Look
from b2bua.sip.grammar import bracketed

FEW = 5  # scenarios before a look at what is left


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be played, and around which bridge; `configuration` is None for one of our own."""

    configuration: Configuration | None = None
    only: Sequence[str] = ()
    slow: bool = False
    seed: int = 1
    listener: str = ""
    dialled: Sequence[str] = ()  # "bob=sip:bob@example.com"
    listing: bool = False

    def chosen(self) -> list[Scenario]:
        """The scenarios that are asked for. CannotTest where there are none."""
        if self.configuration is None and (self.listener or self.dialled):
            raise CannotTest("--listener and --dial are for a bridge that runs: they need its CONFIG")
        every = scenarios()
        found = [each for each in every if not self.only or any(word in each.name for word in self.only)]
        if not found:
            raise CannotTest(f"no scenario is called {' or '.join(self.only)}; b2bua selftest --list names them")
        return found


class Run:
    """One run: its counts, and where it is printed."""

    def __init__(self, wish: Wish, reactor: Any, out: TextIO) -> None:
        self.failed = self.passed = self.skipped = 0
        self._wish = wish
        self._reactor = reactor
        self._out = out
        self._look = Look.of(out)
        self._width = 0

    async def all(self) -> None:
        """Every scenario that is asked for. CannotTest where the bridge cannot be tested at all."""
        chosen = self._wish.chosen()
        self._width = max(len(each.name) for each in chosen)
        quick = [each for each in chosen if not each.slow]
        slow = [each for each in chosen if each.slow]
        if self._wish.configuration is not None:
            ground = await ground_of(
                self._reactor, self._wish.configuration, self._uris(self._wish.configuration), self._wish.listener
            )
            await self._around(ground, chosen)
            return
        await self._around(OwnGround(self._reactor), quick)
        if slow and self._wish.slow:
            await self._around(OwnGround(self._reactor, SHORT), slow)
            if quick:
                await self._emptied(quick[:FEW])
        else:
            for scenario in slow:
                self._skip(scenario, "slow: --slow plays it")

    async def _emptied(self, few: Sequence[Scenario]) -> None:
        """A few once more, half a minute of nothing, and then nothing may be left in the bridge."""
        ground = OwnGround(self._reactor)
        try:
            for scenario in few:
                await play(scenario, SocketStage(ground.around, self._wish.seed))
            left = await ground.emptied()
        finally:
            await ground.close()
        self.failed += bool(left)
        self.passed += not left
        what, colour = (f"FAILED: {', '.join(left)}", "red") if left else ("ok", "green")
        print(f"{'nothing is left':{self._width}}  {self._look.paint(what, colour)}", file=self._out, flush=True)

    def _uris(self, configuration: Configuration) -> dict[str, str]:
        """What is dialled for each phone."""
        listener = next(
            (each for each in configuration.listeners if each.name == self._wish.listener), configuration.listeners[0]
        )
        uris = {phone: f"sip:selftest-{phone}@{listener.sent_by}" for phone in PHONES}
        for word in self._wish.dialled:
            phone, _, uri = word.partition("=")
            if phone not in PHONES or not uri:
                raise CannotTest(f'--dial wants one of {", ".join(PHONES)}, "=" and a URI, not "{word}"')
            uris[phone] = uri
        return uris

    async def _around(self, ground: Ground, chosen: Sequence[Scenario]) -> None:
        try:
            for scenario in chosen:
                if scenario.slow and not self._wish.slow:
                    self._skip(scenario, "slow: --slow plays it")
                elif why := ground.missing(scenario):
                    self._skip(scenario, why)
                else:
                    await self._one(ground, scenario)
        finally:
            await ground.close()

    async def _one(self, ground: Ground, scenario: Scenario) -> None:
        stage = SocketStage(ground.around, self._wish.seed)
        outcome = await play(scenario, stage)
        if not outcome.wrong:
            self.passed += 1
            self._line(scenario, "ok", "green")
            return
        if self._wish.configuration is not None and not any(each.inward for each in stage.passed):
            host, port = ground.around.places["alice"].way
            raise CannotTest(
                f"nobody answers at {bracketed(host)}:{port}: does the bridge run, with this configuration?"
            )
        self.failed += 1
        self._line(scenario, "FAILED", "red")
        print(textwrap.indent("\n".join(outcome.wrong), "  "), file=self._out)
        print(f"\n{drawn(stage, self._look)}\n", file=self._out)

    def _skip(self, scenario: Scenario, why: str) -> None:
        self.skipped += 1
        self._line(scenario, f"skipped: {why}", "dim")

    def _line(self, scenario: Scenario, what: str, colour: str) -> None:
        print(f"{scenario.name:{self._width}}  {self._look.paint(what, colour)}", file=self._out, flush=True)

    def summary(self) -> str:
        """The last line."""
        parts = [f"{self.passed} as drawn", f"{self.failed} failed", f"{self.skipped} skipped"]
        return ", ".join(parts)


def say_list(wish: Wish, out: TextIO) -> None:
    """Every scenario with its title, and which are slow."""
    rows = [(each.name, each.title + (" (slow)" if each.slow else "")) for each in wish.chosen()]
    print(table(("scenario", "title"), rows), file=out)


def main(wish: Wish, out: TextIO | None = None) -> int:
    """Play, and print; the exit status."""
    out = out or sys.stdout
    try:
        if wish.listing:
            say_list(wish, out)
            return 0
        return _play(wish, out)
    except CannotTest as cannot:
        print(f"b2bua selftest: {cannot}", file=sys.stderr)
        return 1


def _play(wish: Wish, out: TextIO) -> int:
    from twisted.internet import reactor as installed

    reactor: Any = installed
    failures = [Failure(CannotTest("it was stopped"))]
    run = Run(wish, reactor, out)

    def ended(result: object) -> None:
        failures[:] = [result] if isinstance(result, Failure) else []
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run.all()).addBoth(ended))
    reactor.run()
    for failure in failures:
        failure.raiseException()
    print(f"\n{run.summary()}", file=out)
    return 1 if run.failed or not run.passed else 0
