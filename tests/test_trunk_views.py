"""What operators see of trunks: the manhole and the log, and never a password."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from b2bua.ops.check import check
from b2bua.ops.commands import Commands
from b2bua.ops.desk import Desk, Drain
from b2bua.ops.log import CallLog
from b2bua.ops.trace import Tracer
from b2bua.sip.listener import Flow
from tests import test_call_enrolment
from tests.test_call_credentials import challenge
from tests.test_call_enrolment import Registered
from tests.world import World


class TestManhole(Registered):
    """`registrations()`."""

    def asked(self, world: World | None = None, match: str = "") -> str:
        """What it says, whatever the width of its columns."""
        said: list[str] = []
        world = world or self.world
        border: Any = SimpleNamespace(hall=world.hall, switchboard=world.switchboard, routes=None)
        tracer = Tracer(border.switchboard, border.hall.book, lambda: 1e9, False)
        desk = Desk(border, tracer, Drain(border.hall, lambda: None), 0.0)
        commands = Commands(desk, said.append, said.append, lambda: 200, lambda: None)
        commands.registrations(match)
        return " ".join("\n".join(said).split())

    def test_registrations(self) -> None:
        """Each stage of one."""
        self.assertIn("sip:4420@carrier.example sip:192.0.2.30;transport=udp registering", self.asked())
        self.carrier.says(401, b"", challenge())
        self.accept(headers={"Service-Route": ["<sip:edge.carrier.example;lr>"]})
        said = self.asked()
        for words in (
            "registered",
            "public-udp",
            "192.0.2.30:5060",
            "200 OK",
            "sip:edge.carrier.example;lr",
            "1 registration",
        ):
            self.assertIn(words, said)
        self.assertNotIn("swor", said)
        self.assertEqual(self.asked(match="nobody"), "no registrations")
        self.leave()
        self.assertIn("not registered", self.asked())
        self.assertEqual(self.asked(World()), "no registrations")

    def test_failed(self) -> None:
        """Until when it waits."""
        self.carrier.says(403)
        self.world.settle()
        self.assertRegex(self.asked(), r"failed .* (1|2)\d s 403 Forbidden")
        self.enrolments.stop()
        self.gone()


class TestCheck(Registered):
    """S6: the registrar is a next hop as any other."""

    def checked(self, world: World) -> str:
        """What `b2bua check` says."""
        said: list[str] = []
        self.successResultOf(check(world.configuration, world.switchboard, None, said.append))
        return " ".join("\n".join(said).split())

    def test_check(self) -> None:
        """By which listener it leaves; or that there is no way, at start and later."""
        said = self.checked(self.world)
        self.assertIn("Registration of sip:4420@carrier.example sip:192.0.2.30;transport=udp target", said)
        self.assertIn("listener public-udp (zone public)", said)
        self.accept()
        self.leave()
        world = World(self.configuration.replace('send_from = "public"\nexpires', "expires"), kernel=lambda host: None)
        said = self.checked(world)
        self.assertIn("registration sip:4420@carrier.example: sip:192.0.2.30;transport=udp has no way out now", said)

    def test_groups(self) -> None:
        """A registrar that is a group stands there already."""
        world = World(test_call_enrolment.TestFailover.configuration)
        self.assertNotIn("Registration of", self.checked(world))
        self.accept()
        self.leave()


class TestLog(Registered):
    """The journal's lines."""

    def test_lines(self) -> None:
        """Registered, not registered, credentials that are not taken."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        log = CallLog()
        log.registered("sip:a@b", "group:c", True, "200 OK")
        log.registered("sip:a@b", "group:c", False, "503 no")
        listener = self.world.switchboard.listeners[0]
        log.unproved(Flow(listener, "2001:db8::9", 5060), "r", "u", "it does not take them")
        self.assertEqual(
            [(event["log_level"].name, formatEvent(event)) for event in events],
            [
                ("info", "sip:a@b is registered at group:c: 200 OK"),
                ("warn", "sip:a@b is not registered at group:c: 503 no"),
                (
                    "error",
                    "udp:[2001:db8::9]:5060 asks for credentials of realm r, and ours, of user u, do not do: "
                    "it does not take them",
                ),
            ],
        )
        self.accept()
        self.leave()
