"""The registrar (RFC 3261 10.3, RFC 3327, RFC 5626, RFC 5627): what REGISTER does, and what it is refused for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.bindings import Binding
from b2bua.ops.phone import Sent
from b2bua.sip.message import Headers, Response
from tests.test_bindings import Rows
from tests.world import TLS_TOO, TWO_SIDES, Party, World

REGISTRAR = """
[registrar]
domains = ["example.com", "sip.example.com"]
zones = ["public"]
store = "memory:"
"""
HOME = TWO_SIDES.replace('to = "sip:192.0.2.20;transport=udp"\nsend_from = "public"', 'to = "lookup"') + REGISTRAR


class Registered(SynchronousTestCase):
    """A world with a registrar on its public side."""

    configuration = HOME

    def setUp(self) -> None:
        self.world = World(self.configuration, begin=1000.0)
        self.alice = self.world.alice
        self.number = 0

    def ask(
        self, *contacts: str, phone: Party | None = None, user: str = "alice", uri: str = "sip:example.com",
        headers: Headers | None = None, call_id: str = "phone@home", cseq: int = 0, domain: str = "example.com",
    ) -> Sent:  # fmt: skip
        """REGISTER, and what came back."""
        self.number = cseq or self.number + 1
        more: Headers = {
            "Contact": list(contacts),
            "To": [f"<sip:{user}@{domain}>"],
            "From": [f"<sip:{user}@{domain}>;tag=x{self.number}"],
            "Call-ID": [call_id],
            "CSeq": [f"{self.number} REGISTER"],
            **(headers or {}),
        }
        sent = (phone or self.alice).ask("REGISTER", uri, headers={name: each for name, each in more.items() if each})
        self.world.settle()
        return sent

    def answer(self, sent: Sent) -> Response:
        """The response."""
        assert sent.response is not None
        return sent.response

    def bound(self, aor: str = "alice@example.com") -> list[Binding]:
        """Her bindings."""
        assert self.world.hall.registrar is not None
        return list(self.world.hall.registrar.bindings.of(aor))

    def forget(self) -> None:
        """Nobody is registered any more; nothing is left."""
        assert self.world.hall.registrar is not None
        bindings = self.world.hall.registrar.bindings
        for binding in list(bindings):
            bindings.remove(binding, "the end")
        self.world.quiet()
