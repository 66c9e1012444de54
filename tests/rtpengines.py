"""The real rtpengine, in user space, as a test starts it: on loopback, with ports of its own."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from b2bua.media.ng import Answer, Ng
from b2bua.sip.tokens import Tokens
from tests.children import Child
from tests.media import claim_ports
from tests.programs import need

clock: Any = reactor


def client(test: TestCase, port: int) -> Ng:
    """Who asks the daemon at that port."""
    ng = Ng("127.0.0.1", port, clock, Tokens(os.urandom).word)
    test.addCleanup(ng.close)
    return ng


def ask(ng: Ng, command: str, patience: float = 5.0, **more: object) -> Deferred[Answer | None]:
    """The answer, later. Names are written with _ for -."""
    told: Deferred[Answer | None] = Deferred()
    ng.ask(command, {name.replace("_", "-"): value for name, value in more.items()}, patience, told.callback)
    return told


async def start(test: TestCase, port: int, media: tuple[int, int] | None = None) -> Child:
    """rtpengine at that port: interface "out" has 127.0.0.1 and ::1, "in" 127.0.0.2 and ::1. Returns when it answers.

    It ends with the test; `end()` of what is returned kills it before.
    """
    first, last = media or claim_ports(test)
    child = Child(
        test, need("rtpengine"), "--config-file=none", "--foreground", "--log-stderr", "--log-level=5",
        "--interface=out/127.0.0.1", "--interface=out/::1", "--interface=in/127.0.0.2", "--interface=in/::1",
        f"--listen-ng=127.0.0.1:{port}", "--table=-1", f"--port-min={first}", f"--port-max={last}", "--num-threads=1",
    )  # fmt: skip
    ng = client(test, port)
    for _ in range(200):
        if await ask(ng, "ping") is not None:
            return child
        await deferLater(clock, 0.05, lambda: None)
    raise AssertionError(f"rtpengine did not start: {child.output}")
