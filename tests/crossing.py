"""A message on its way from "public" to "private", for the tests of what becomes of its body."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import cast

from b2bua.call.across import Across
from b2bua.call.hall import Hall
from b2bua.dialog.leg import Leg
from b2bua.policy.bodies import carry
from b2bua.policy.body import NO_EXCEPTIONS, Exceptions
from b2bua.policy.hiding import Hiding
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Listener
from b2bua.sip.message import Headers, Request
from b2bua.sip.tokens import Tokens
from b2bua.sip.uri import parse_uri

NEAR = Listener("public-udp", "public", "udp", "192.0.2.1", 5060)
FAR = Listener("private-udp", "private", "udp", "10.0.0.1", 5060)
PUBLIC, PRIVATE = Zone("public"), Zone("private")
KNOWN = ("call-7f3a@pbx.inside.example", "fromtag77", "totag88")  # a dialog of which the other side knows
THEIRS = ("theirs", "here", "there")  # what it calls it


class Told(Across):
    """A crossing that remembers what was left out, and knows one dialog."""

    __slots__ = ("faults",)

    def __init__(
        self,
        exceptions: Exceptions = NO_EXCEPTIONS,
        target: Zone = PRIVATE,
        granted: Headers | None = None,
        listener: Listener = FAR,
    ) -> None:
        tokens = Tokens(Random(1).randbytes)
        hall = cast(Hall, SimpleNamespace(wire=SimpleNamespace(tokens=tokens), media=None))
        near = Leg.to_peer(NEAR, "<sip:a@192.0.2.1>", "<sip:b@192.0.2.1>", parse_uri("sip:b@192.0.2.20"), tokens)
        far = Leg.to_peer(listener, "<sip:a@10.0.0.1>", "<sip:b@10.0.0.1>", parse_uri("sip:b@10.0.0.20"), tokens)
        far.sdp.session_id = "77"
        message = Request("MESSAGE", "sip:b@192.0.2.1", {})
        super().__init__(hall, Hiding(PUBLIC, target, bodies=exceptions), near, far, message, granted or {})
        self.faults: list[Malformed] = []

    def dialog(self, call_id: str, local_tag: str, remote_tag: str) -> tuple[str, str, str] | None:
        """The one that it knows, whole or while it has no second tag."""
        if (call_id, local_tag) != KNOWN[:2] or remote_tag not in ("", KNOWN[2]):
            return None
        return THEIRS[0], THEIRS[1], THEIRS[2] if remote_tag else ""

    def dropped(self, fault: Malformed) -> None:
        """Remember it."""
        self.faults.append(fault)

    def carry(self, body: bytes, content_type: str) -> tuple[bytes, str]:
        """Carry a body across."""
        return carry(body, content_type, self)
