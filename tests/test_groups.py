"""Groups of next hops as values: the order in which members are tried, and how each begins to rest and is back."""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.groups import LONGEST_REST, Group, Groups, Health, Hop, Member, State, asked_rest, hops
from b2bua.policy.routing import Go
from b2bua.sip.listener import Target
from b2bua.sip.message import Response
from b2bua.sip.uri import Uri, parse_uri

ONE, TWO, THREE = (("udp", f"10.0.0.2{number}", 5060) for number in (1, 2, 3))


def member(host: str, priority: int = 1, weight: int = 1) -> Member:
    """A next hop at a host."""
    return Member(parse_uri(f"sip:{host}").settled(), priority, weight)


def no_chance(_: int) -> int:
    """Always the first."""
    return 0


class TestOrder(SynchronousTestCase):
    """RFC 2782: by priority, then by weighted chance."""

    def order(self, groups: Groups, *to: str, now: float = 0.0) -> list[str]:
        """The hosts that an answer names, in order."""
        return [uri.host for uri in groups.spelled_out(Go(list(to)), now).to]

    def test_priority_first(self) -> None:
        """The lowest priority is tried first, whatever the weights."""
        group = Group("g", (member("c", 3, 100), member("a", 1, 0), member("b", 2, 50)))
        for seed in range(20):
            self.assertEqual(self.order(Groups([group], Random(seed).randrange), "group:g"), ["a", "b", "c"])

    def test_weights(self) -> None:
        """Members of one priority are first in the proportion of their weights; each of them is there once."""
        group = Group("g", (member("a", 1, 10), member("b", 1, 30), member("c", 1, 60)))
        groups = Groups([group], Random(1).randrange)
        orders = [self.order(groups, "group:g") for _ in range(10000)]
        first = Counter(order[0] for order in orders)
        for host, share in (("a", 1000), ("b", 3000), ("c", 6000)):
            self.assertApproximates(first[host], share, 250)
        self.assertTrue(all(sorted(order) == ["a", "b", "c"] for order in orders))

    def test_mixed_with_uris(self) -> None:
        """A group stands where it is named in the list; a URI as it is, several groups one after the other."""
        one, other = Group("g", (member("a"), member("b", 2))), Group("h", (member("d"),))
        groups = Groups([one, other], no_chance)
        self.assertEqual(self.order(groups, "sip:x", "group:g", "sip:y", "group:h"), ["x", "a", "b", "y", "d"])

    def test_who_rests(self) -> None:
        """Who rests is left out, unless nobody else is named: then they are tried all the same."""
        groups = Groups([Group("g", (member("a"), member("b", 2)))], no_chance)
        one, two = groups.healths
        groups.fell(one, ONE, 10, "no answer")
        self.assertEqual(self.order(groups, "group:g", now=11), ["b"])
        groups.fell(two, TWO, 11, "no answer")
        self.assertEqual(self.order(groups, "group:g", now=12), ["a", "b"])
        self.assertEqual(self.order(groups, "group:g", "sip:x", now=12), ["x"])

    def test_send_from(self) -> None:
        """The group's own, where the answer leaves it open and everybody in it has the same."""
        groups = Groups(
            [Group("g", (member("a"), member("b")), send_from="private"), Group("h", (member("c"),))], no_chance
        )
        for to, given_, expected in (
            ("group:g", "auto", "private"),
            ("group:g", "public", "public"),
            (["group:g", "group:h"], "auto", "auto"),
            (["group:g", "sip:x"], "auto", "auto"),
            ("group:h", "auto", "auto"),
        ):
            self.assertEqual(groups.spelled_out(Go(to, given_), 0).send_from, expected)

    def test_what_else_the_answer_says(self) -> None:
        """Rule and options stay; the answer names no group any more."""
        answer = Go("group:g", rule="r")
        said = Groups([Group("g", (member("a"),))], no_chance).spelled_out(answer, 0)
        self.assertEqual((said.rule, said.options, said.grouped), ("r", answer.options, False))
        self.assertTrue(answer.grouped)

    def test_no_such_group(self) -> None:
        """Said with its name."""
        error = self.assertRaises(LookupError, Groups([], no_chance).spelled_out, Go("group:x"), 0)
        self.assertEqual(str(error), "no group has the name x")

    @given(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 65535), st.booleans()), min_size=1, max_size=8),
        st.integers(0, 2**32),
    )
    def test_anybody_once(self, members: list[tuple[int, int, bool]], seed: int) -> None:
        """Whatever the priorities, weights and rests: nobody twice, in order of priority, and somebody always."""
        group = Group("g", tuple(member(f"h{at}", each[0], each[1]) for at, each in enumerate(members)))
        groups = Groups([group], Random(seed).randrange)
        for at, health in enumerate(groups.healths):
            if members[at][2]:
                groups.fell(health, ("udp", f"h{at}", 5060), 0, "no answer")
        order = [int(host[1:]) for host in self.order(groups, "group:g", now=1)]
        up = [at for at, each in enumerate(members) if not each[2]]
        self.assertEqual(sorted(order), up or list(range(len(members))))
        priorities = [members[at][0] for at in order]
        self.assertEqual(priorities, sorted(priorities))


class TestHealth(SynchronousTestCase):
    """Begins to rest, and is back."""

    def setUp(self) -> None:
        """A member that is probed, and one that is not."""
        probed, other = Group("p", (member("a"),), 30, 60), Group("n", (member("b"),), 0, 60)
        self.groups = Groups([probed, other], no_chance)
        self.probed, self.other = self.groups.healths
        self.told: list[tuple[str, bool, str]] = []
        self.groups.tell = lambda health, up, why: self.told.append((health.group.name, up, why))

    def is_(self, health: Health, now: float, state: State, since: float, until: float = 0.0) -> None:
        """What is known of a member."""
        self.assertEqual((*health.state(now), health.until(now)), (state, since, until))

    def test_without_probes(self) -> None:
        """It rests for as long as the group says; what it is then is not known."""
        self.is_(self.other, 5, State.UNKNOWN, 0)
        self.groups.leads("sip:b", [Target(*TWO)], 9)
        self.groups.failed(TWO, 10)
        self.is_(self.other, 69, State.RESTING, 10, 70)
        self.is_(self.other, 70, State.UNKNOWN, 70)
        self.assertEqual((self.told, self.other.last), ([("n", False, "no answer")], "no answer"))

    def test_with_probes(self) -> None:
        """It rests until it answers."""
        self.groups.answered(self.probed, ONE, 5, "200 OPTIONS")
        self.is_(self.probed, 6, State.UP, 5)
        self.groups.failed(ONE, 10)
        self.groups.fell(self.probed, ONE, 40, "no answer")
        self.is_(self.probed, 1e9, State.RESTING, 10, inf)
        self.groups.answered(self.probed, ONE, 70, "200 OPTIONS")
        self.groups.answered(self.probed, ONE, 100, "200 OPTIONS")
        self.is_(self.probed, 101, State.UP, 70)
        self.assertEqual(self.told, [("p", False, "no answer"), ("p", True, "200 OPTIONS")])

    def test_retry_after(self) -> None:
        """A 503 may ask for another rest, within bounds; a probe that is answered meanwhile does not end it."""

        def busy(*values: str) -> Response:
            return Response(503, "", {"Retry-After": list(values)} if values else {})

        for response, seconds in (
            (busy("7;duration=3 (soon)"), 0),
            (busy("7 (soon);duration=3"), 7),
            (busy("99999999"), LONGEST_REST),
            (busy("never"), 0),
            (busy("0"), 0),
            (busy(), 0),
        ):
            self.assertEqual(asked_rest(response), seconds)
        self.groups.leads("sip:b", [Target(*TWO)], 0)
        self.groups.failed(TWO, 10, busy("7"))
        self.is_(self.other, 11, State.RESTING, 10, 17)
        self.groups.leads("sip:a", [Target(*ONE)], 0)
        self.groups.failed(ONE, 10, busy("100"))
        self.groups.answered(self.probed, ONE, 30, "200 OPTIONS")
        self.is_(self.probed, 31, State.RESTING, 10, 110)
        self.groups.answered(self.probed, ONE, 120, "200 OPTIONS")
        self.is_(self.probed, 121, State.UP, 120)

    def test_several_addresses(self) -> None:
        """RFC 3263: one that fails is not the member; all of them are. Another member's address is not its."""
        self.groups.leads("sip:b", [Target(*TWO), Target(*THREE)], 0)
        self.groups.failed(TWO, 10)
        self.groups.failed(ONE, 10)
        self.assertEqual(self.other.until(11), 0)
        self.groups.failed(THREE, 20)
        self.is_(self.other, 21, State.RESTING, 20, 70)
        self.assertEqual(self.told, [("n", False, "no answer")])

    def test_other_addresses(self) -> None:
        """The name has other addresses: what is gone counts no more; who is to answer a probe first, still is."""
        self.groups.leads("sip:b", [Target(*TWO)], 0)
        self.groups.failed(TWO, 10)
        self.groups.leads("sip:b", [Target(*THREE)], 11)
        self.assertEqual(self.other.until(12), 0)
        self.groups.lost(self.probed, 10, "no such name")
        self.is_(self.probed, 11, State.RESTING, 10, inf)
        self.groups.leads("sip:a", [Target(*ONE)], 40)
        self.is_(self.probed, 41, State.RESTING, 10, inf)
        self.groups.answered(self.probed, ONE, 41, "200 OPTIONS")
        self.is_(self.probed, 42, State.UP, 41)
        self.groups.lost(self.probed, 50, "no such name")
        self.groups.answered(self.probed, ONE, 60, "200 OPTIONS")
        self.is_(self.probed, 61, State.UP, 60)

    def test_sent(self) -> None:
        """What is sent on to a member is counted, in every group that it is in; a URI of nobody's is not."""
        shared = Groups([Group("g", (member("a"),)), Group("h", (member("a"),))], no_chance)
        shared.sent(parse_uri("sip:a"))
        shared.sent(Uri("sip", "", "b"))
        self.assertEqual([health.sent for health in shared.healths], [1, 1])

    def test_a_copy(self) -> None:
        """It knows what is known, and changes nothing."""
        self.groups.fell(self.probed, ONE, 10, "no answer")
        copied = self.groups.copy()
        self.assertEqual([uri.host for uri in copied.spelled_out(Go(["group:p", "group:n"]), 11).to], ["b"])
        copied.failed(TWO, 11)
        copied.sent(parse_uri("sip:b"))
        self.assertEqual((self.other.until(12), self.other.sent), (0, 0))
        self.assertEqual((bool(self.groups), bool(copied)), (True, False))

    def test_nobody_is_told(self) -> None:
        """Unless somebody asks to be."""
        groups = Groups([Group("g", (member("a"),))], no_chance)
        groups.fell(groups.healths[0], ONE, 1, "no answer")
        self.assertEqual(groups.healths[0].until(2), inf)


class TestValues(SynchronousTestCase):
    """What a group says of itself."""

    def test_alive(self) -> None:
        """Any answer but 408 and 503, unless the group says which."""
        every, few = Group("g", ()), Group("g", (), alive=frozenset({200, 503}))
        statuses = (200, 404, 405, 408, 481, 500, 503, 600)
        self.assertEqual([each for each in statuses if not every.proves(each)], [408, 503])
        self.assertEqual([each for each in statuses if few.proves(each)], [200, 503])

    def test_words(self) -> None:
        """For check and the manual."""
        one = member("a", 2, 10)
        self.assertEqual(one.describe(), "sip:a, priority 2, weight 10")
        self.assertEqual(Group("g", (one,)).describe(), "g: 1 member, asked every 30 s")
        text = "g: 2 members, not asked; who fails rests for 60 s"
        self.assertEqual(Group("g", (one, one), probe=0).describe(), text)

    def test_hops(self) -> None:
        """Every next hop of an answer, with what it is sent from and its group."""
        group = Group("g", (member("a"), member("b")), send_from="private")
        a, b = (each.uri for each in group.members)
        found = hops(Go(["sip:x", "group:g"]), {"g": group})
        self.assertEqual(found, [Hop(parse_uri("sip:x"), "auto"), Hop(a, "private", "g"), Hop(b, "private", "g")])
        self.assertEqual(hops(Go("group:g", "public"), {"g": group})[0].send_from, "public")
        self.assertEqual(hops(Go(), {}), [])
