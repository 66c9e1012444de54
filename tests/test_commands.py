"""What the manhole's commands print of a world without a network; traces, completion, and the tables of it all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.call import Call
from b2bua.ops import trace
from b2bua.ops.commands import Command, Commands
from b2bua.ops.completion import complete
from b2bua.ops.desk import Desk, Drain
from b2bua.ops.phone import answer_all
from b2bua.ops.tables import beside, counted, details, span, table
from b2bua.ops.trace import Tracer
from b2bua.sip.listener import Flow, Listener
from tests.world import TWO_SIDES, World


class Manned(SynchronousTestCase):
    """A world with somebody at the manhole."""

    whole = False

    def setUp(self) -> None:
        """What the commands print goes into `said`, what comes later into `later`."""
        self.world = World()
        self.said: list[str] = []
        self.later: list[str] = []
        self.left: list[bool] = []
        self.stopped: list[bool] = []
        border: Any = SimpleNamespace(
            hall=self.world.hall,
            switchboard=self.world.switchboard,
            configuration=self.world.configuration,
            routes=None,
        )
        self.tracer = Tracer(border.switchboard, border.hall.book, lambda: 1e9, self.whole)
        self.desk = Desk(border, self.tracer, Drain(border.hall, lambda: self.stopped.append(True)), 0.0)
        self.commands = Commands(
            self.desk, self.said.append, self.later.append, lambda: 120, lambda: self.left.append(True), "carol"
        )
        self.names = self.commands.namespace()

    def run_command(self, name: str, *arguments: Any, **named: Any) -> str:
        """What a command prints; it returns nothing."""
        self.said.clear()
        self.assertIsNone(self.names[name](*arguments, **named))
        return "\n".join(self.said)

    def only_call(self) -> Call:
        """The one call there is."""
        (call,) = self.world.hall.book
        return call


class TestCommands(Manned):
    """The commands."""

    def test_subscriptions(self) -> None:
        """A row for each: one that nobody answered yet, one that is active, one inside a call (RFC 5057)."""
        world = self.world
        self.assertEqual(self.run_command("subscriptions"), "no subscriptions")
        world.alice.subscribe("sip:bob@biloxi.example", "presence", 600)
        world.settle()
        first = self.run_command("subscriptions").splitlines()
        self.assertEqual(first[0].split(), ["id", "event", "subscriber", "notifier", "state", "expires", "age"])
        self.assertRegex(first[2], r"presence +<sip:alice@192\.0\.2\.20> +<sip:bob@10\.0\.0\.20> +- +- +0 s")
        world.bob.says(200, headers={"Expires": ["600"]})
        world.settle()
        world.bob.talk.notify("presence", "active;expires=500")
        world.alice.says(200)
        near, far = world.call()
        far.subscribe("kpml;id=3", 60)
        world.alice.says(200, headers={"Expires": ["60"]})
        world.wait(20)
        shown = self.run_command("subscriptions")
        self.assertRegex(shown, r"presence .* active +7:59 +20 s")
        self.assertRegex(shown, r"kpml;id=3 +<sip:bob@10\.0\.0\.20> +<sip:alice@192\.0\.2\.20> +asked +\d\d s +20 s")
        self.assertIn("2 subscriptions", shown)
        self.assertIn("1 subscription\n", self.run_command("subscriptions", "kpml") + "\n")
        self.assertIn("2 subscriptions, the last 1 of them above", self.run_command("subscriptions", limit=1))
        self.assertRegex(self.run_command("stats"), r"subscriptions +1")

    def test_names(self) -> None:
        """Every command has its name, and says what it does and how it is called."""
        for name in Commands.NAMES:
            command = self.names[name]
            self.assertIsInstance(command, Command)
            self.assertTrue(repr(command).startswith(f"{name}("))
            self.assertIn(name, self.run_command("help"))
        self.assertIs(self.names["border"], self.desk.border)
        self.assertIn("border", self.run_command("help"))
        self.assertIn("Return the number of items", self.run_command("help", len))
        self.assertIn("What is let in", self.run_command("help", "limits"))
        self.assertEqual(self.run_command("help", "limits"), self.run_command("help", self.names["limits"]))
        self.run_command("quit")
        self.assertEqual(self.left, [True])

    def test_a_call_that_rings(self) -> None:
        """What is not there yet is a dash; a fork shows how many early dialogs there are (S28)."""
        self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        call = self.only_call()
        printed = self.run_command("show", call.id)
        self.assertRegex(printed, r"phase  calling\n")
        self.assertRegex(printed, r"dialog +trying +trying")
        self.assertRegex(printed, r"peer's tag +\w+ +-\n")
        self.world.bob.talk.ring()
        self.world.bob.fork(self.world.bob.talk).ring()
        self.world.settle()
        printed = self.run_command("show", call.id)
        self.assertRegex(printed, r"phase  ringing\n")
        self.assertIn("forks  2 early dialogs", printed)
        self.assertRegex(self.run_command("calls", "ringing"), rf"{call.id} +ringing +0 s")

    def test_a_call_without_a_far_side(self) -> None:
        """A call that nobody was asked for yet has one leg."""
        self.world.switchboard.locate = lambda *_: None  # type: ignore[method-assign]  # names that take their time
        self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        call = self.only_call()
        self.assertRegex(
            self.run_command("calls"), rf"{call.id} +calling +0 s .* <sip:bob@biloxi.example> +public-udp +-"
        )
        self.assertRegex(self.run_command("show", call.id), r"our tag +\w+ +-\n")
        self.assertIn("callee", self.run_command("ladder", call.id))

    def test_a_call_that_has_ended(self) -> None:
        """It is there for a while, with the reason."""
        near, _ = self.world.call()
        self.world.bob.asked = answer_all
        self.world.wait(65)
        near.bye()
        self.world.settle()
        printed = self.run_command("show", self.only_call().id)
        self.assertRegex(printed, r"phase  ended: the caller hung up\n")
        self.assertRegex(printed, r"age    1:05, answered 1:05\n")
        self.assertRegex(self.run_command("stats"), r"calls +0 calling, 0 ringing, 0 answered, 1 ended")

    def test_many(self) -> None:
        """A long table is cut, and says so."""
        for _ in range(5):
            self.world.call()
        printed = self.run_command("calls", limit=2)
        self.assertEqual(len(printed.splitlines()), 5)
        self.assertTrue(printed.endswith("5 calls, the last 2 of them above"))
        self.assertIn("transactions, the first 3 of them above", self.run_command("transactions", limit=3))

    def test_ids(self) -> None:
        """An id may be cut short as long as it is one call's."""
        self.world.call()
        call_id = self.only_call().id
        self.assertIn(call_id, self.run_command("show", call_id[:5]))
        self.assertIn("no call has the id", self.run_command("show", "x" * 16))
        self.assertIn("the id of a call is missing", self.run_command("show", ""))

    def test_wrong_kinds(self) -> None:
        """An argument of another kind than it must be is said, and nothing is done."""
        self.assertEqual(self.run_command("show", None), "show(call_id): call_id is a text in quotes, not None")
        self.assertIn("uri is a text in quotes, not 1", self.run_command("explain", 1))
        self.assertIn("headers is a text in quotes, or a list", self.run_command("explain", "sip:b@x", headers=[1]))
        self.assertIn("limit is a whole number, not 'x'", self.run_command("calls", "", "x"))
        self.assertIn("then_stop is True or False, not 'x'", self.run_command("drain", "x"))
        self.assertFalse(self.world.hall.draining)
        self.assertIn("limit is not negative", self.run_command("calls", "", -1))

    def test_wrong_arguments(self) -> None:
        """Too many, too few, or of no such name: said, and nothing is done."""
        self.assertIn("calls([match, limit]): too many", self.run_command("calls", "", 2, 3))
        self.assertIn("unexpected keyword argument 'colour'", self.run_command("calls", colour=1))
        self.assertEqual(self.run_command("show"), "show(call_id): missing a required argument: 'call_id'")

    def test_hostile_names(self) -> None:
        """What a peer calls himself acts on nobody's terminal."""
        self.world.alice.address = '"\x9b2J\u202e" <sip:alice@192.0.2.20>'
        self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        call = self.only_call()
        for printed in (self.run_command("calls"), self.run_command("show", call.id)):
            self.assertIn("\\x9b2J\\u202e", printed)
            self.assertTrue(printed.replace("\n", "").isprintable())

    def test_drain_twice(self) -> None:
        """Two who drain wait for the same end, and the last word counts."""
        self.world.call()
        self.run_command("drain", True)
        self.run_command("drain")
        self.world.hall.hang_up_all("the test is over")
        self.world.wait(3)
        self.assertEqual((self.later, self.stopped), (["drained: no call is left"], []))
        self.run_command("undrain")
        self.run_command("drain", then_stop=True)
        self.run_command("undrain")
        self.world.wait(3)
        self.assertEqual(self.stopped, [])
        self.run_command("drain", then_stop=True)
        self.world.wait(3)
        self.assertEqual(self.stopped, [True])


class Traced(Manned):
    """A call that is traced."""

    def setUp(self) -> None:
        """What the log is told is in `events`."""
        super().setUp()
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def logged(self) -> list[str]:
        """The lines of the trace since the last time."""
        lines = [formatEvent(event) for event in self.events if event["log_namespace"].endswith("Tracer")]
        self.events.clear()
        return lines


class TestTrace(Traced):
    """Every message of some calls."""

    def test_off(self) -> None:
        """While nothing is traced the switchboard has nobody to ask."""
        self.assertIsNone(self.world.switchboard.trace)
        self.world.call()
        self.assertEqual(self.logged(), [])

    def test_log_and_terminal(self) -> None:
        """Each message with time, direction, listener and peer; line by line, and escaped."""
        near, _ = self.world.call()
        self.run_command("trace", self.only_call().id)
        self.world.bob.asked = answer_all
        near.ask("INFO", b"\x1b[2J\r\n\xff", {"Content-Type": ["application/dtmf-relay"]})
        self.world.settle()
        call_id, lines = self.only_call().id, self.logged()
        heads = [line for line in lines if " octets" in line]
        ways = [" ".join(line.split()[1:5]) for line in heads]
        self.assertEqual(ways, [
            f"{call_id}: public-udp <- udp:192.0.2.20:5060,", f"{call_id}: private-udp -> udp:10.0.0.20:5060,",
            f"{call_id}: private-udp <- udp:10.0.0.20:5060,", f"{call_id}: public-udp -> udp:192.0.2.20:5060,",
        ])  # fmt: skip
        self.assertIn(f"trace {call_id}: | CSeq: {near.cseq} INFO", lines)
        self.assertIn(f"trace {call_id}: | \\xff", lines)
        self.assertEqual(len(self.later), 4)
        first = self.later[0].splitlines()
        self.assertRegex(first[0], rf"^01:46:40\.000 {call_id} public-udp <- udp:192\.0\.2\.20:5060, \d+ octets$")
        self.assertIn("  \\x1b[2J", first)

    def test_log_only(self) -> None:
        """here=False leaves the terminal alone; other calls are not traced."""
        near, _ = self.world.call()
        call = self.only_call()
        self.run_command("trace", call.id, here=False)
        other, _ = self.world.call()
        self.assertEqual(self.logged(), [])
        self.world.bob.asked = answer_all
        other.info("5")
        self.world.settle()
        self.assertEqual(self.logged(), [])
        near.info("5")
        self.world.settle()
        self.assertEqual(sum(" octets" in line for line in self.logged()), 4)
        self.assertEqual(self.later, [])

    def test_legs_that_come_later(self) -> None:
        """A far leg made after the trace began is the call's too."""
        self.world.switchboard.locate, real = (lambda *waiting: held.append(waiting)), self.world.switchboard.locate  # type: ignore[method-assign]
        held: list[Any] = []
        self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        self.run_command("trace", self.only_call().id)
        real(*held[0])
        self.world.settle()
        self.assertTrue(any("private-udp -> " in line for line in self.logged()))

    def test_every_leg_of_a_parallel_call(self) -> None:
        """Targets that are tried at once are all the call's, before they ring too."""
        to = 'to = ["sip:10.0.0.21", "sip:10.0.0.20"]\nhunt = "parallel"'
        world = World(TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"', to))
        one = world.phone("one", "10.0.0.21")
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        (call,) = world.hall.book
        traced = trace._call_ids(call)
        for phone in (one, world.bob):
            self.assertIn(phone.talk.call_id.encode(), traced)

    def test_off_again(self) -> None:
        """untrace(id), untrace() and the end of the call switch it off, and then it costs nothing again."""
        near, _ = self.world.call()
        call = self.only_call()
        for how in ((call.id[:6],), ()):
            self.run_command("trace", call.id)
            self.assertIn("no longer traced", self.run_command("untrace", *how))
            self.assertIsNone(self.world.switchboard.trace)
        self.assertIn("no such call is traced", self.run_command("untrace"))
        self.run_command("trace", call.id)
        self.world.bob.asked = answer_all
        near.bye()
        self.world.wait(self.world.configuration.timers.patience + trace.LOOK)
        self.assertIsNone(self.world.switchboard.trace)
        self.world.quiet()

    def test_a_terminal_that_is_gone(self) -> None:
        """A terminal that leaves, or fails, costs no message and no call."""
        near, _ = self.world.call()
        self.world.bob.asked = answer_all
        self.run_command("trace", self.only_call().id)
        self.tracer.leave(self.later.append)
        info = near.info("5")
        self.world.settle()
        self.assertEqual((info.status, self.later), (200, []))

        def fails(text: str) -> None:
            raise OSError("the terminal is gone")

        self.tracer.start(self.only_call(), fails)
        info = near.info("5")
        self.world.settle()
        self.assertEqual(info.status, 200)
        self.assertIsNone(self.world.switchboard.trace)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_noise(self) -> None:
        """What has no Call-ID, or another one, is passed over; compact and folded ones are found."""
        self.world.call()
        call = self.only_call()
        self.tracer.start(call, self.later.append)
        flow = Flow(Listener("x", "", "udp", "192.0.2.1", 5060), "192.0.2.9", 5060)
        key = call.near.call_id.encode()
        for noise in (b"", b"\r\n\r\n", b"INVITE\r\nCall-ID:\r\n\r\n", b"A\r\nSubject: Call-ID: " + key + b"\r\n\r\n",
                      b"A\r\n\r\nCall-ID: " + key, b"A\r\nCall-ID: other\r\n\r\n"):  # fmt: skip
            self.tracer.message(flow, False, noise)
        self.assertEqual(self.later, [])
        for found in (b"A\r\ni:" + key + b"\r\n\r\n", b"A\r\nCALL-ID :\r\n " + key + b" \r\n\r\n"):
            self.tracer.message(flow, False, found)
        self.assertEqual(len(self.later), 2)


class TestTraceInJson(Traced):
    """A log in JSON has each message whole."""

    whole = True

    def test_one_event(self) -> None:
        """One event a message, with the message as it was."""
        near, _ = self.world.call()
        self.world.bob.asked = answer_all
        self.run_command("trace", self.only_call().id, here=False)
        near.info("5")
        self.world.settle()
        events = [event for event in self.events if event["log_namespace"].endswith("Tracer")]
        self.assertEqual([event["outward"] for event in events], [False, True, False, True])
        self.assertTrue(events[0]["sip"].startswith("INFO sip:"))
        self.assertIn("\r\n", events[0]["sip"])


class TestCompletion(SynchronousTestCase):
    """What TAB makes of what is typed."""

    def complete(self, before: str) -> list[str]:
        """The candidates, put in place."""
        commands = {name: Command(name, method, print) for name, method in (("show", _one), ("stats", _none))}
        names: dict[str, object] = {**commands, "border": SimpleNamespace(hall=SimpleNamespace(book=[], _own=1))}
        typed, candidates = complete(before, names, ["abc1", "abd2"], {"show"})
        return [before[: len(before) - typed] + each for each in candidates]

    def test_names(self) -> None:
        """Names of the session; Python's own only where none of those fit."""
        self.assertEqual(self.complete(""), ["border", "show(", "stats()"])
        self.assertEqual(self.complete("s"), ["show(", "stats()"])
        self.assertEqual(self.complete("print(sh"), ["print(show("])
        self.assertEqual(self.complete("isinst"), ["isinstance("])
        self.assertEqual(self.complete("ValueErr"), ["ValueError"])
        self.assertEqual(self.complete("zz"), [])

    def test_ids(self) -> None:
        """Ids of calls where a command takes one, between quotes or before them."""
        self.assertEqual(self.complete("show('abc"), ["show('abc1'"])
        self.assertEqual(self.complete('show( "'), ['show( "abc1"', 'show( "abd2"'])
        self.assertEqual(self.complete("show("), ["show('abc1'", "show('abd2'"])
        self.assertEqual(self.complete("show(call_id='abd"), ["show(call_id='abd2'"])
        self.assertEqual(self.complete("show('x"), [])

    def test_attributes(self) -> None:
        """Attributes of what a dotted name means, without calling anything."""
        self.assertEqual(self.complete("border.h"), ["border.hall"])
        self.assertEqual(self.complete("border.hall."), ["border.hall.book"])
        self.assertEqual(self.complete("border.hall._o"), ["border.hall._own"])
        self.assertEqual(self.complete("border.nothing.x"), [])
        self.assertEqual(self.complete("show(1).x"), [])

    def test_within_a_text(self) -> None:
        """Nothing is completed inside other quotes."""
        self.assertEqual(self.complete("explain('s"), [])
        self.assertEqual(self.complete('print("sho'), [])


class TestTables(SynchronousTestCase):
    """Plain text in columns."""

    def test_table(self) -> None:
        """Columns are as wide as their widest cell, also where characters are wide or combining."""
        text = table(("name", "n"), [("a", 1), ("日本", 22), ("e\u0301e", "")])
        self.assertEqual(text.splitlines(), ["name  n", "----  --", "a     1", "日本  22", "e\u0301e    -"])

    def test_details(self) -> None:
        """What is too long goes on below itself, words and unbroken strings alike."""
        text = details([("a", "short"), ("name", "one two three " * 3), ("x", "y" * 50)], "  ", 40)
        self.assertTrue(all(len(line) <= 40 for line in text.splitlines()))
        self.assertEqual(text.splitlines()[0], "  a     short")
        self.assertEqual(text.replace("\n", "").replace(" ", "").count("onetwothree"), 3)
        self.assertEqual(details([]), "")

    def test_beside(self) -> None:
        """Two things side by side, each in its own column whatever its length."""
        text = beside(("left", "right"), [("one", "a" * 70, "b"), ("two", "", "c c " * 30)], 80)
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()), text)
        self.assertEqual(text.count("a"), 70)
        self.assertRegex(text, r"two +- +c c")

    def test_escapes(self) -> None:
        """Nothing acts on a terminal."""
        for text in (table(("a",), [("\x1b[2J\n",)]), details([("a", "\r\x07")]), beside(("", ""), [("", "\x9b", "")])):
            self.assertTrue(text.replace("\n", "").isprintable())

    def test_numbers(self) -> None:
        """Spans of time and counts in words."""
        spans = [span(each) for each in (0, 59.9, 60, 3599, 3600, 86399, 86400, 180000)]
        self.assertEqual(
            spans, ["0 s", "59 s", "1:00", "59:59", "1:00:00", "23:59:59", "1 day 0:00:00", "2 days 2:00:00"]
        )
        self.assertEqual([counted(n, "call") for n in (0, 1, 2)], ["no calls", "1 call", "2 calls"])


def _one(call_id: str) -> None:
    """One."""


def _none() -> None:
    """None."""
