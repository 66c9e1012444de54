"""What is printed of a scenario: a line in the table, and the ladder of what passed where it failed."""

from __future__ import annotations

from b2bua.call.call import Step
from b2bua.ops.ladder import ladder
from b2bua.ops.phone import direction_of
from b2bua.ops.selftest.stage import Passed, Stage
from b2bua.ops.terminal import Look
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request, Response, parse


def drawn(stage: Stage, look: Look) -> str:
    """What passed, as a ladder: alice, the bridge, and who is on the other side of it."""
    far = [name for name in stage.actors if name != "alice" and any(each.phone == name for each in stage.passed)]
    steps = [_step(each, len(far) > 1) for each in stage.passed]
    return ladder(steps, (("alice",), ("bridge",), (" and ".join(far),)), look)


def _step(passed: Passed, named: bool) -> Step:
    near = passed.phone == "alice"
    label = _label(passed.data)
    if named and not near:
        label += f" ({passed.phone})"
    if passed.lost:
        label += ", lost"
    return Step(passed.at, near, passed.inward, label)


def _label(data: bytes) -> str:
    try:
        message = parse(data)
    except Malformed:
        return "(no SIP)"
    if isinstance(message, Response):
        return f"{message.status} {message.cseq[1]}"
    assert isinstance(message, Request), "there is no third kind"
    direction = direction_of(message.body)
    return message.method if direction == "sendrecv" else f"{message.method} ({direction})"
