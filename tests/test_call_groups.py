"""Calls to groups of next hops, and the probes that say who of them is alive (S7, S30, S52)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.probing import Probing
from b2bua.ops.phone import Dialog
from b2bua.policy.groups import State
from b2bua.sip.message import Request
from tests.world import TWO_SIDES, Party, World

GROUPS = """
[[group]]
name = "carriers"
probe = {probe}
rest = 60
send_from = "private"
members = [
    {{uri = "sip:10.0.0.21;transport=udp", priority = 1}},
    {{uri = "sip:10.0.0.22;transport=udp", priority = 2}},
]
"""
INWARDS = 'to = "sip:10.0.0.20;transport=udp"\nsend_from = "private"'
TO_GROUP = TWO_SIDES.replace(INWARDS, 'to = "group:carriers"')
UNPROBED = GROUPS.format(probe=0) + TO_GROUP
PROBED = GROUPS.format(probe=30) + TO_GROUP


class Grouped(SynchronousTestCase):
    """A world with two members."""

    configuration = UNPROBED

    def setUp(self) -> None:
        """The phones are the members."""
        self.world = world = World(self.configuration)
        self.one, self.two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")
        self.groups = world.hall.groups

    def call(self) -> Dialog:
        """Alice calls."""
        talk = self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        return talk

    def ends(self, talk: Dialog, phone: Party) -> None:
        """The call stands with this member, and ends."""
        phone.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        talk.bye()
        phone.says(200)
        self.world.settle()

    def states(self) -> list[State]:
        """Of the members, in the order of the configuration."""
        return [health.state(self.world.switchboard.now())[0] for health in self.groups.healths]


class TestCalls(Grouped):
    """S30, S52: who is tried, and who rests."""

    def test_the_first(self) -> None:
        """The one with the lowest priority, by the group's listener, with the user who is called."""
        talk = self.call()
        asked = self.one.talk.heard[0]
        assert isinstance(asked, Request)
        self.assertEqual(asked.uri_text, "sip:bob@10.0.0.21;transport=udp")
        self.assertEqual([health.sent for health in self.groups.healths], [1, 0])
        self.ends(talk, self.one)
        self.world.quiet()

    def test_503(self) -> None:
        """The call goes on with the next; the next call begins there, until the rest is over."""
        talk = self.call()
        self.one.says(503)
        self.world.settle()
        self.assertEqual(self.states(), [State.RESTING, State.UNKNOWN])
        self.ends(talk, self.two)
        self.ends(self.call(), self.two)
        self.assertEqual(len(self.one.dialogs), 1)
        self.world.wait(61)
        self.ends(self.call(), self.one)
        self.assertIn("sip:10.0.0.21;transport=udp of carriers rests: 503", self.world.journal.lines)
        self.assertEqual([health.sent for health in self.groups.healths], [2, 2])
        self.world.quiet()

    def test_retry_after(self) -> None:
        """RFC 3261 21.5.4: it rests for as long as its 503 asks; nothing of that is said to the caller."""
        talk = self.call()
        self.one.says(503, headers={"Retry-After": ["7"]})
        self.ends(talk, self.two)
        self.world.wait(8)
        self.ends(self.call(), self.one)
        self.assertEqual(talk.times("503 INVITE"), 0)
        self.world.quiet()

    def test_silence_and_icmp(self) -> None:
        """No answer in 64·T1, and a transport that cannot deliver."""
        self.one.mute = True
        talk = self.call()
        self.world.wait(33)
        self.assertEqual(self.states()[0], State.RESTING)
        self.two.refusing = True
        self.two.open.clear()
        self.world.wait(61)
        self.assertEqual(self.states(), [State.UNKNOWN, State.UNKNOWN])
        self.one.refusing, self.one.mute = True, False
        refused = self.call()
        self.world.settle()
        self.assertEqual(self.states(), [State.RESTING, State.RESTING])
        self.assertEqual(refused.times("503 INVITE"), 1)
        talk.cancel()
        self.world.quiet()

    def test_all_rest(self) -> None:
        """Where nobody is left who does not rest, they are tried all the same: one may be back."""
        self.one.refusing = self.two.refusing = True
        self.assertEqual(self.call().times("503 INVITE"), 1)
        self.two.refusing = False
        self.assertEqual(self.states(), [State.RESTING, State.RESTING])
        self.ends(self.call(), self.two)
        self.world.quiet()

    def test_another_failure_is_an_answer(self) -> None:
        """Who answers 486 is alive, and is not put to rest."""
        talk = self.call()
        self.one.says(486)
        self.world.settle()
        self.assertEqual((talk.times("486 INVITE"), self.states()[0]), (1, State.UNKNOWN))
        self.world.quiet()

    def test_what_makes_no_dialog(self) -> None:
        """A MESSAGE goes the same way."""
        sent = self.world.alice.ask("MESSAGE", "sip:bob@biloxi.example")
        self.one.says(503, headers={"Retry-After": ["9"]})
        self.two.says(200)
        self.world.settle()
        self.assertEqual((sent.status, self.states()[0]), (200, State.RESTING))
        self.world.wait(10)
        self.assertEqual(self.states()[0], State.UNKNOWN)
        self.world.quiet()


class TestNames(Grouped):
    """A member with a name and two addresses rests when both fail."""

    configuration = UNPROBED.replace("10.0.0.21", "pbx.example")

    def setUp(self) -> None:
        """The phones are the member's two addresses."""
        dns = "_sip._udp.pbx.example SRV 1 0 5060 a.example\n_sip._udp.pbx.example SRV 2 0 5060 b.example\n"
        dns += "a.example A 10.0.0.21\nb.example A 10.0.0.23"
        self.world = world = World(self.configuration, dns=dns)
        self.one, self.two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.23")
        self.groups = world.hall.groups

    def test_failover_inside(self) -> None:
        """S52: the second address of the same member, before another member; it does not rest."""
        self.one.refusing = True
        self.ends(self.call(), self.two)
        self.assertEqual(self.states(), [State.UNKNOWN, State.UNKNOWN])
        self.two.refusing = True
        self.call()
        self.assertEqual(self.states()[0], State.RESTING)
        self.world.wait(33)
        self.world.quiet()


class TestScript(SynchronousTestCase):
    """b2bua-policy(5): a script names groups too."""

    SCRIPT = (
        "from b2bua.policy.routing import Go\n"
        "def route(request, listeners):\n"
        "    return Go(['group:' + request.user, 'sip:10.0.0.20'], 'private')\n"
    )

    def test_groups_of_a_script(self) -> None:
        """Alone or among URIs; one that is not there is an error of the script's, for that call only."""
        world = World('policy = "policy.py"\n' + UNPROBED, {"policy.py": self.SCRIPT})
        one = world.phone("one", "10.0.0.21")
        talk = world.alice.invite("sip:carriers@biloxi.example")
        one.says(200)
        world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        other = world.alice.invite("sip:nobody@biloxi.example")
        world.settle()
        self.assertEqual(other.times("500 INVITE"), 1)
        self.assertIn("refused INVITE with 500: no group has the name nobody", world.journal.lines)
        world.hall.hang_up_all("the end")
        world.quiet()


class Probed(Grouped):
    """Who is alive is asked with OPTIONS."""

    configuration = PROBED

    def setUp(self) -> None:
        """Probing has begun."""
        super().setUp()
        self.probing = Probing(self.world.hall, self.groups)
        self.probing.start()

    def stop(self) -> None:
        """Nobody is asked any more, and nothing is left."""
        self.probing.stop()
        self.world.quiet()

    def answer(self, phone: Party, status: int) -> Request:
        """Wait until a member is asked, and answer."""
        for _ in range(400):
            if phone.open:
                return phone.says(status, to="OPTIONS")
            self.world.wait(0.1)
        raise AssertionError(f"{phone.user} is not asked")

    def keep(self, seconds: int, **statuses: int) -> None:
        """Let time pass; phones answer their OPTIONS with these statuses."""
        for _ in range(seconds * 2):
            for phone in (self.one, self.two):
                if phone.user in statuses and phone.open:
                    phone.says(statuses[phone.user], to="OPTIONS")
            self.world.wait(0.5)


class TestProbes(Probed):
    """When, in whose name, and what becomes of the answer."""

    def test_identity(self) -> None:
        """S7, S9: Via, From and Contact are those of the listener that the selector chose; To is the member."""
        asked = self.answer(self.one, 200)
        headers = asked.headers
        self.assertEqual((asked.method, asked.uri_text), ("OPTIONS", "sip:10.0.0.21;transport=udp"))
        self.assertTrue(headers["Via"][0].startswith("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK"))
        self.assertEqual((asked.from_.uri.host, asked.to.uri.host, asked.to_tag), ("10.0.0.1", "10.0.0.21", ""))
        self.assertEqual(headers["Max-Forwards"], ["70"])
        self.assertNotIn("192.0.2", str(bytes(asked)))
        self.assertEqual([health.sent for health in self.groups.healths], [0, 0])
        self.stop()

    def test_each_at_its_own_time(self) -> None:
        """Every member once in the interval, not all at once; and again, with other ids."""
        times: dict[str, list[float]] = {"one": [], "two": []}
        ids = set()
        for _ in range(1500):
            for phone in (self.one, self.two):
                if phone.open:
                    times[phone.user].append(self.world.clock.seconds())
                    ids.add(phone.says(200).call_id)
            self.world.wait(0.1)
        for asked in times.values():
            self.assertIn(len(asked), (4, 5))
            self.assertLess(asked[0], 30.2)
            for first, second in zip(asked, asked[1:], strict=False):
                self.assertApproximates(second - first, 30, 1)
        self.assertGreater(abs(times["one"][0] - times["two"][0]), 0.2)
        self.assertEqual(len(ids), len(times["one"]) + len(times["two"]))
        self.assertEqual(self.states(), [State.UP, State.UP])
        self.stop()

    def test_dead_and_back(self) -> None:
        """No answer: it rests, however long, and no call goes there; one answer, and it is up."""
        self.one.mute = True
        self.keep(64, two=405)
        self.assertEqual(self.states(), [State.RESTING, State.UP])
        talk = self.call()
        self.ends(talk, self.two)
        self.assertEqual(self.groups.healths[0].last, "no answer")
        self.one.mute = False
        self.keep(100, one=404, two=405)
        self.assertEqual(self.states(), [State.UP, State.UP])
        lines = [line for line in self.world.journal.lines if line.startswith("sip:10.0.0.21")]
        name = "sip:10.0.0.21;transport=udp of carriers"
        self.assertEqual(lines, [f"{name} rests: no answer", f"{name} is up again: 404 OPTIONS"])
        self.stop()

    def test_503(self) -> None:
        """It answers that it cannot: it rests; a Retry-After counts, and a provisional answer says nothing."""
        self.answer(self.one, 100)
        self.one.says(503, headers={"Retry-After": ["100"]})
        self.world.settle()
        self.assertEqual((self.states()[0], self.groups.healths[0].last), (State.RESTING, "503 OPTIONS"))
        self.answer(self.one, 200)
        self.world.settle()
        self.assertEqual((self.states()[0], self.groups.healths[0].last), (State.RESTING, "200 OPTIONS"))
        self.keep(106, one=200)
        self.assertEqual(self.states()[0], State.UP)
        self.stop()

    def test_a_call_that_fails(self) -> None:
        """A member that a call found dead is back with its next answer to a probe, not by time."""
        self.answer(self.one, 200)
        self.world.settle()
        talk = self.call()
        self.one.says(503, to="INVITE")
        self.world.settle()
        self.assertEqual(self.states()[0], State.RESTING)
        self.two.says(200, to="INVITE")
        self.answer(self.one, 200)
        self.world.settle()
        self.assertEqual(self.states()[0], State.UP)
        talk.bye()
        self.two.says(200, to="BYE")
        self.stop()

    def test_never_two_at_once(self) -> None:
        """Who does not answer is asked again only when the last OPTIONS is given up."""
        self.one.mute = True
        sent = 0
        for _ in range(100):
            waiting = [each for each in self.world.switchboard.transactions if each.flow.host == "10.0.0.21"]
            self.assertLessEqual(len(waiting), 1)
            sent += bool(waiting)
            self.two.open.clear()
            self.world.wait(1)
        self.assertGreater(sent, 30)
        self.stop()


class TestWhoIsAlive(Probed):
    """A group says which answers prove a member alive; another one asks nobody."""

    configuration = PROBED.replace("rest = 60", "rest = 60\nalive = [200, 404, 405]") + (
        '[[group]]\nname = "quiet"\nprobe = 0\nmembers = [{uri = "sip:10.0.0.29"}]\n'
    )

    def states(self) -> list[State]:
        """Of the members that are asked."""
        return super().states()[:2]

    def test_another_answer(self) -> None:
        """It is no proof of life; one of those is. Who is not asked is not known."""
        quiet = self.world.phone("quiet", "10.0.0.29")
        self.keep(31, one=480, two=404)
        self.assertEqual((self.states(), self.groups.healths[0].last), ([State.RESTING, State.UP], "480 OPTIONS"))
        self.keep(31, one=200, two=480)
        self.assertEqual(self.states(), [State.UP, State.RESTING])
        self.assertEqual((quiet.bytes_in, self.groups.healths[2].last), ([], ""))
        self.stop()


class TestProbesThatCannotLeave(Grouped):
    """No address, no way out."""

    configuration = PROBED.replace("10.0.0.21", "pbx.example").replace(
        "10.0.0.22;transport=udp", "two.example;transport=udp"
    )

    def test_no_address_and_several(self) -> None:
        """A name without an address rests; of one with two, the second is asked where the first says nothing."""
        self.world = world = World(self.configuration, dns="two.example A 10.0.0.23\ntwo.example A 10.0.0.24")
        self.groups = world.hall.groups
        three, four = world.phone("three", "10.0.0.23"), world.phone("four", "10.0.0.24")
        three.refusing = True
        probing = Probing(world.hall, self.groups)
        probing.start()
        for _ in range(4):
            world.wait(10)
            if four.open:
                four.says(200)
        self.assertEqual(self.states(), [State.RESTING, State.UP])
        self.assertIn("pbx.example", self.groups.healths[0].last)
        three.refusing, four.refusing = False, True
        four.open.clear()
        for _ in range(4):
            world.wait(10)
            if three.open:
                three.says(480)
        self.assertEqual(self.states()[1], State.UP)
        probing.stop()
        world.quiet()

    def test_no_way_out(self) -> None:
        """S5: no listener may send there: it rests, for that reason."""
        text = PROBED.replace('send_from = "private"\nmembers', 'send_from = "auto"\nmembers')
        self.world = world = World(text, kernel=lambda host: None)
        self.groups = world.hall.groups
        probing = Probing(world.hall, self.groups)
        probing.start()
        world.wait(31)
        self.assertEqual(self.states(), [State.RESTING, State.RESTING])
        self.assertIn("the kernel has no route to 10.0.0.21", self.groups.healths[0].last)
        self.assertEqual(world.story, [])
        probing.stop()
        world.quiet()
