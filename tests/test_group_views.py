"""What operators see of groups and limits: check, explain, the watch over next hops, the manhole, the log."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.check import check
from b2bua.ops.commands import Commands
from b2bua.ops.desk import Desk, Drain
from b2bua.ops.explain import Question, explain
from b2bua.ops.log import CallLog
from b2bua.ops.next_hops import NextHopWatch
from b2bua.ops.phone import answer_all
from b2bua.ops.trace import Tracer
from b2bua.policy.interface import KernelRoute
from tests.world import TWO_SIDES, World

TEXT = (
    """
[[group]]
name = "carriers"
send_from = "private"
members = [
    {uri = "sip:10.0.0.21;transport=udp", priority = 1, weight = 10},
    {uri = "sip:10.0.0.22;transport=tcp", priority = 2},
]
[[group]]
name = "spare"
probe = 0
members = [{uri = "sip:10.0.0.23"}]
"""
    + TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"\nsend_from = "private"', '"group:carriers"')
    + """
[[route]]
name = "forced"
user = "forced"
to = "group:spare"
send_from = "private"
"""
)


class Viewed(SynchronousTestCase):
    """A world with groups."""

    def setUp(self) -> None:
        """Both members are there."""
        self.world = World(TEXT)
        self.configuration = self.world.configuration
        self.one = self.world.phone("one", "10.0.0.21")
        self.text = ""

    def says(self, *lines: str) -> None:
        """Each of these is somewhere in the text, whatever the width of its columns."""
        text = " ".join(self.text.split())
        for line in lines:
            self.assertIn(" ".join(line.split()), text, self.text)


class TestCheck(Viewed):
    """`b2bua check`."""

    def test_members(self) -> None:
        """S6: every member with the listener that it would get; once more where a route has another send_from."""
        said: list[str] = []
        done: Deferred[None] = check(self.world.configuration, self.world.switchboard, None, said.append)
        self.successResultOf(done)
        self.text = "\n".join(said)
        self.says(
            "Rule inwards: it comes from the zone public -> to group:carriers as the group says Rule",
            'Rule forced: the user is "forced" -> to group:spare by private sip:10.0.0.23 of group spare target udp:',
            "Group carriers: 2 members, asked every 30 s sip:10.0.0.21;transport=udp, priority 1, weight 10",
            "sip:10.0.0.22;transport=tcp, priority 2, weight 1 target tcp:10.0.0.22:5060",
            "Group spare: 1 member, not asked; who fails rests for 60 s sip:10.0.0.23, priority 1, weight 1",
        )
        self.assertEqual(self.text.count("listener   "), 5)

    def test_no_way_out(self) -> None:
        """A member that no listener can reach now is warned of, with its group."""
        world = World(TEXT, kernel=lambda host: None)
        said: list[str] = []
        self.successResultOf(check(world.configuration, world.switchboard, None, said.append))
        self.text = "\n".join(said)
        self.says("group spare: sip:10.0.0.23 has no way out now: the kernel has no route")


class TestExplain(Viewed):
    """`b2bua explain`, and explain() in the manhole."""

    def explain(self, uri: str = "sip:bob@biloxi.example") -> None:
        """What is said of a call."""
        asked = explain(
            self.configuration, self.world.switchboard, Question(uri, zone="public"), None, self.world.hall.groups
        )
        self.text = self.successResultOf(asked).text()

    def test_order(self) -> None:
        """The members in the order of trying; nothing is counted, nobody put to rest."""
        self.explain()
        self.says(
            "so: to group:carriers as the group says",
            "Next hop 1: sip:10.0.0.21;transport=udp of group carriers, by priority and chance, "
            "send_from private, which its group names",
            "Next hop 2: sip:10.0.0.22;transport=tcp of group carriers",
        )
        self.assertEqual([each.sent for each in self.world.hall.groups.healths], [0, 0, 0])
        self.assertEqual([each.until(0) for each in self.world.hall.groups.healths], [0, 0, 0])

    def test_who_rests(self) -> None:
        """As the bridge knows it now; without what it knows, everybody."""
        health = self.world.hall.groups.healths[0]
        self.world.hall.groups.fell(health, ("udp", "10.0.0.21", 5060), 0, "no answer")
        self.explain()
        self.says("Next hop 1: sip:10.0.0.22;transport=tcp of group carriers")
        self.assertNotIn("10.0.0.21", self.text)
        asked = explain(self.configuration, self.world.switchboard, Question("sip:bob@biloxi.example", zone="public"))
        self.assertIn("10.0.0.21", self.successResultOf(asked).text())


class TestWatch(Viewed):
    """The watch over next hops."""

    def test_lost(self) -> None:
        """S6: a member that loses its way out is told of with its group."""
        events: list[LogEvent] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        routes: dict[str, KernelRoute] = {}
        world = World(TEXT, kernel=routes.get)
        watch = NextHopWatch(world.switchboard, world.configuration.rules, world.configuration.groups)
        watch.look()
        routes["10.0.0.23"] = KernelRoute("10.0.0.1", "private")
        watch.look()
        said = [formatEvent(event) for event in events if event.get("log_namespace", "").startswith("b2bua.ops")]
        self.assertEqual(len(said), 2, said)
        self.assertTrue(said[0].startswith("next hop sip:10.0.0.23 of group spare has no way out: "))
        self.assertTrue(said[1].startswith("next hop sip:10.0.0.23 of group spare has a way out again, by private-udp"))


class TestLog(SynchronousTestCase):
    """The log."""

    def test_members(self) -> None:
        """One line when a member begins to rest, one when it is up again; fields apart for JSON."""
        events: list[LogEvent] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        CallLog().member("carriers", "sip:10.0.0.21", False, "no answer")
        CallLog().member("carriers", "sip:10.0.0.21", True, "200 OPTIONS")
        self.assertEqual(
            [(event["log_level"].name, formatEvent(event)) for event in events],
            [
                ("warn", "next hop sip:10.0.0.21 of group carriers rests: no answer"),
                ("info", "next hop sip:10.0.0.21 of group carriers is up again: 200 OPTIONS"),
            ],
        )
        self.assertEqual((events[0]["group"], events[0]["next_hop"]), ("carriers", "sip:10.0.0.21"))


class TestManhole(Viewed):
    """groups() and limits()."""

    def run_command(self, name: str, *arguments: str) -> None:
        """What a command prints."""
        said: list[str] = []
        border: Any = SimpleNamespace(
            hall=self.world.hall, switchboard=self.world.switchboard, configuration=self.configuration, routes=None
        )
        tracer = Tracer(border.switchboard, border.hall.book, lambda: 1e9, False)
        desk = Desk(border, tracer, Drain(border.hall, lambda: None), 0.0)
        commands = Commands(desk, said.append, said.append, lambda: 120, lambda: None, "carol")
        commands.namespace()[name](*arguments)
        self.text = "\n".join(said)

    def test_groups(self) -> None:
        """Every member with its state, for how long, what it said last, and how many calls it got."""
        groups, now = self.world.hall.groups, self.world.switchboard.now
        one, two, three = groups.healths
        self.run_command("groups")
        self.says(
            "carriers sip:10.0.0.21;transport=udp 1 10 unknown - - 0", "spare sip:10.0.0.23 1 1 unknown", "3 members"
        )
        self.world.wait(10)
        groups.answered(one, ("udp", "10.0.0.21", 5060), now(), "200 OPTIONS")
        groups.fell(two, ("tcp", "10.0.0.22", 5060), now(), "no answer")
        groups.fell(three, ("udp", "10.0.0.23", 5060), now(), "503", 45)
        self.world.wait(5)
        talk = self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        self.run_command("groups")
        self.says(
            "sip:10.0.0.21;transport=udp 1 10 up 5 s 200 OPTIONS 1",
            "sip:10.0.0.22;transport=tcp 2 1 resting until it answers 5 s no answer 0",
            "sip:10.0.0.23 1 1 resting, 39 s more 5 s 503 0",
        )
        self.run_command("groups", "spare")
        self.says("1 member")
        self.assertNotIn("carriers", self.text)
        self.run_command("explain", "sip:bob@biloxi.example", "public")
        self.assertNotIn("10.0.0.22", self.text)
        talk.cancel()

    def test_none(self) -> None:
        """Where there are none."""
        self.world = World()
        self.run_command("groups")
        self.assertEqual(self.text, "no members")
        self.run_command("limits")
        self.assertEqual(self.text, "there is no limit")

    def test_limits(self) -> None:
        """Calls there are of those that may be, and how many were refused."""
        text = TWO_SIDES.replace('name = "public"\n', 'name = "public"\ncalls = 1\nrate = 100\n', 1)
        text = text.replace('name = "inwards"\n', 'name = "inwards"\nrate = 2.5\n', 1)
        self.world = World("[limits]\nsource_rate = 2\n" + text)
        self.world.bob.asked = answer_all
        for _ in range(4):
            self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        self.run_command("limits")
        self.says(
            "zone public 1 of 1 100 a second 1",
            "route inwards - 2.5 a second 0",
            "each source - 2 a second 2",
            "192.0.2.20 - 2 too many now",
        )
