"""What an operator is told of registrations: in the manhole, by `explain` and by `check`; and over a restart."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred

from b2bua.ops.check import check
from b2bua.ops.commands import Commands
from b2bua.ops.desk import Desk, Drain
from b2bua.ops.explain import Explanation, Question, explain
from b2bua.ops.trace import Tracer
from b2bua.sip.listener import Flow
from tests.test_call_lookup import Phones, home
from tests.test_service import Started
from tests.world import TWO_SIDES, World


class TestManhole(Phones):
    """The commands."""

    def commands(self, world: World) -> Commands:
        """Somebody at the manhole of a world."""
        border: Any = SimpleNamespace(
            hall=world.hall, switchboard=world.switchboard, configuration=world.configuration, routes=None
        )
        self.said: list[str] = []
        desk = Desk(
            border, Tracer(world.switchboard, world.hall.book, lambda: 1e9), Drain(world.hall, lambda: None), 0.0
        )
        return Commands(desk, self.said.append, self.said.append, lambda: 120, lambda: None, "carol")

    def ran(self, commands: Commands, name: str, *arguments: object) -> str:
        """What a command says."""
        self.said.clear()
        commands.namespace()[name](*arguments)
        return "\n".join(self.said)

    def test_bindings(self) -> None:
        """A row for each; some of them by a text; and they can be taken away."""
        commands = self.commands(self.world)
        self.assertEqual(self.ran(commands, "bindings"), "no bindings")
        self.registered("192.0.2.31", more=";q=0.5")
        self.registered("2001:db8::31", "tcp")
        restored = self.bound()[1]  # as after a restart: its connection is no more
        restored.flow = Flow(restored.flow.listener, restored.flow.host, restored.flow.port)
        text = self.ran(commands, "bindings")
        self.assertRegex(
            text, r"alice@example\.com +sip:phone2@192\.0\.2\.31:5060;transport=udp +public-udp +udp:192.*0\.5"
        )
        self.assertIn("nowhere: it has to connect again", text)
        restored.path = ("<sip:p.example;lr>",)
        self.assertIn("its Path", self.ran(commands, "bindings"))
        self.assertIn("2 bindings", text)
        self.assertIn("1 binding", self.ran(commands, "bindings", "public-udp"))
        self.assertIn("2 bindings, the first 1 of them above", self.ran(commands, "bindings", "", 1))
        said = self.ran(commands, "unregister", "bob@example.com")
        self.assertEqual(said, "nobody is registered as bob@example.com")
        self.assertEqual(
            self.ran(commands, "unregister", "alice@example.com"), "2 bindings of alice@example.com taken away"
        )
        self.assertEqual(self.ran(commands, "bindings"), "no bindings")
        self.assertIn("unregistered from the manhole", self.world.journal.lines[-1])
        self.world.quiet()

    def test_explain(self) -> None:
        """The running bridge knows who is registered."""
        self.registered("192.0.2.31", "tls")
        text = self.ran(self.commands(self.world), "explain", "sip:alice@example.com", "private")
        words = " ".join(text.split())
        for part in ("listener public-tls (zone public)", "as it registered", "the phone registered by it",
                     "Request-URI sip:phone2@192.0.2.31:5061;transport=tls"):  # fmt: skip
            self.assertIn(part, words)
        self.forget()

    def test_without(self) -> None:
        """Where nobody registers."""
        commands = self.commands(World(TWO_SIDES))
        for name, *arguments in (("bindings",), ("unregister", "x")):
            self.assertEqual(self.ran(commands, name, *arguments), "there is no [registrar] in the configuration")

    def test_direct(self) -> None:
        """A Contact of elsewhere."""
        self.world = World(home("serial", "foreign_contacts = true\n"), begin=1000.0)
        self.registered("192.0.2.31", uri="sip:phone@1.2.3.4")
        self.assertIn("its Contact", self.ran(self.commands(self.world), "bindings"))
        self.forget()


class TestOffline(Phones):
    """`b2bua explain` and `b2bua check`, which know of no registration."""

    def explained(self, question: Question) -> str:
        """What is explained."""
        done: Deferred[Explanation] = explain(self.world.configuration, self.world.switchboard, question)
        return self.successResultOf(done).text()

    def test_explain(self) -> None:
        """Where to ask."""
        self.assertIn("ask explain() in its manhole", self.explained(Question("sip:alice@example.com")))
        self.assertIn("the registrar answers it", self.explained(Question("sip:example.com", "REGISTER")))
        self.assertNotIn("manhole", self.explained(Question("sip:alice@elsewhere.example")))

    def test_check(self) -> None:
        """Of a rule it is said how phones are reached."""
        said: list[str] = []
        self.successResultOf(check(self.world.configuration, self.world.switchboard, None, said.append))
        self.assertIn("by the listener and the connection by which each registered", "\n".join(said))


class TestRestart(Started):
    """The bridge in a process of its own."""

    REGISTRAR = '[[route]]\nname = "phones"\nto = "lookup"\n[registrar]\n'

    async def test_restart(self) -> None:
        """Who was registered is called after a restart, and after a kill, without registering again."""
        self.text = self.text.partition("[[route]]")[0]
        bridge = await self.start(self.REGISTRAR)
        to = {"To": ["<sip:bob@127.0.0.1>"], "Contact": [self.bob.contact]}
        flow = Flow(self.bob.at, "127.0.0.1", self.outside)
        sent = self.bob.ask("REGISTER", f"sip:127.0.0.1:{self.outside}", flow, headers=to)
        await self.lines.until(lambda: sent.status == 200, "the registration")
        await bridge.says("registered")
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            talk = await self.call()
            talk.bye()
            await self.lines.until(lambda: talk.over, "the end")  # noqa: B023
            await bridge.end(number)
            bridge = await self.start(self.REGISTRAR)
            await bridge.says("registrations read: 1 in ")
        await self.call()

    async def test_unreadable(self) -> None:
        """A store that is none ends it before a call could be lost."""
        (self.folder / "b2bua.toml").write_text(self.text.partition("[[route]]")[0] + self.REGISTRAR)
        (self.folder / "registrations.sqlite").write_text("nothing of the kind, but as long as one would be " * 40)
        self.assertIn("the registrations cannot be read: ", await self.fails())
