"""The interpreter: plays one scenario on a stage, and says where it went otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from b2bua.ops.phone import direction_of, label
from b2bua.ops.selftest.actor import Actor, CannotSay, Heard
from b2bua.ops.selftest.scenario import AnyOrder, Detail, Message, Pause, Scenario, Standing, Step
from b2bua.ops.selftest.stage import Stage
from b2bua.ops.selftest.verdict import verdict
from b2bua.sip.message import Request, Response

CALM = 0.1  # seconds in which nothing more must come, at the end


class Failed(Exception):
    """A scenario went otherwise than its ladder."""


@dataclass(slots=True)
class Outcome:
    """What became of a scenario: what was wrong, one sentence each; nothing when it went as drawn."""

    scenario: Scenario
    wrong: list[str] = field(default_factory=list)


async def play(scenario: Scenario, stage: Stage) -> Outcome:
    """Play it to its end, whatever happens; then the phones are polite, and what holds for every play is tested."""
    outcome = Outcome(scenario)
    try:
        for step in scenario.steps:
            await _take(step, stage)
        await stage.wait(CALM)
        _nothing_more(stage)
    except Failed as failed:
        outcome.wrong.append(str(failed))
    stage.wires.heal()
    for actor in stage.actors.values():
        actor.be_polite()
    outcome.wrong += await stage.rest()
    outcome.wrong += verdict(stage)
    return outcome


async def _take(step: Step, stage: Stage) -> None:
    if isinstance(step, Pause):
        await stage.wait(step.seconds)
    elif isinstance(step, AnyOrder):
        await _expect(step.messages, stage)
    elif isinstance(step, Standing):
        stage.actors[step.phone].standing[step.method] = step.status
    elif not isinstance(step, Message):
        stage.wires.take(step)
    elif step.inward:
        await _expect([step], stage)
    else:
        try:
            stage.actors[step.phone].say(step)
        except CannotSay as cannot:
            raise Failed(f"line {step.line}, {step.text}: {cannot}") from None


async def _expect(wanted: Sequence[Message], stage: Stage) -> None:
    """Each of these is among what comes next."""
    left = list(wanted)
    while left:
        phones = [stage.actors[name] for name in dict.fromkeys(line.phone for line in left)]
        of = {actor: [line for line in left if line.phone == actor.user] for actor in phones}
        if not await stage.until(partial(_anything, of)):
            raise Failed(f"line {left[0].line}, {left[0].text}: nothing came")
        for actor, lines in of.items():
            heard = _next(actor, lines)
            if heard is None:
                continue
            actor.inbox.remove(heard)
            left.remove(_fitting(actor, heard, lines))
            break


def _anything(of: Mapping[Actor, Sequence[Message]]) -> bool:
    return any(_next(actor, lines) is not None for actor, lines in of.items())


def _next(actor: Actor, lines: Sequence[Message]) -> Heard | None:
    """The next message that a ladder speaks of: not a 100 or a retransmission, unless a line asks for it."""
    labels = {line.label for line in lines}
    repeats = {line.label for line in lines if line.again}
    for heard in actor.inbox:
        name = label(heard.message)
        if heard.again:
            if name in repeats:
                return heard
        elif name in labels or not name.startswith("100 "):
            return heard
    return None


def _fitting(actor: Actor, heard: Heard, lines: Sequence[Message]) -> Message:
    """The line that a message fits, with all that is said below it."""
    name = label(heard.message)
    fitting = [line for line in lines if line.label == name and line.again is heard.again]
    if not fitting:
        raise Failed(f"line {lines[0].line}, {lines[0].text}: {name} came instead")
    line = next((each for each in fitting if actor.bind(each.device, each.call, heard.dialog)), None)
    if line is None:
        raise Failed(f"line {fitting[0].line}, {fitting[0].text}: it came in another dialog")
    for detail in line.details:
        if why := _amiss(actor, heard, detail):
            raise Failed(f"line {line.line}, {line.text}: {why}")
    return line


def _amiss(actor: Actor, heard: Heard, detail: Detail) -> str:
    """What is not as a line below a message says."""
    message = heard.message
    if detail.kind == "header":
        return _header(actor, heard, detail)
    if detail.kind == "without":
        return f"it has a {detail.name}" if detail.name in message.headers else ""
    if detail.kind == "no sdp":
        return "it has a body" if message.body else ""
    typed = "".join(message.headers.get("Content-Type", ())).lower()
    if detail.kind == "body":
        if not typed.startswith(detail.name.lower()):
            return f"its body is {typed or 'missing'}"
        return "" if detail.value.encode() in message.body else f"its body is {message.body!r}"
    if "application/sdp" not in typed:
        return "it has no SDP"
    return "" if detail.value in ("", direction_of(message.body)) else f"its media is {direction_of(message.body)}"


def _header(actor: Actor, heard: Heard, detail: Detail) -> str:
    message: Request | Response = heard.message
    if detail.name not in message.headers:
        return f"it has no {detail.name}"
    if not detail.value:
        return ""
    wanted = actor.fill(detail.value, heard.dialog) if heard.dialog is not None else detail.value
    values = message.values(detail.name)
    whole = {value.strip().lower() for value in [*values, *message.headers[detail.name]]}
    if detail.name == "Replaces" and set(wanted.lower().split(";")) <= set(";".join(whole).split(";")):
        return ""  # its parameters have no order
    if wanted.lower() in whole | {value.partition(";")[0].strip() for value in whole}:
        return ""
    return f"its {detail.name} is {', '.join(message.headers[detail.name])}"


def _nothing_more(stage: Stage) -> None:
    for actor in stage.actors.values():
        heard = _next(actor, ())
        if heard is not None:
            raise Failed(f"at the end: {label(heard.message)} came to {actor.user} besides")
