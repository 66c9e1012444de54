"""[[group]], [limits] and the limits of zones and routes: what they become, and each mistake in its exact words."""

from __future__ import annotations

from b2bua.policy.admission import UNLIMITED, Quota
from b2bua.policy.groups import Group, Member
from b2bua.policy.routing import Go
from b2bua.sip.uri import parse_uri
from tests.test_config import BASE, PRIVATE, PUBLIC, ROUTE, ZONES, ConfigCase

GROUP = """
[[group]]
name = "carriers"
members = [
    {uri = "sip:192.0.2.8;transport=udp", priority = 2, weight = 10},
    {uri = "sip:pbx.example"},
]
"""
TO_GROUP = '[[route]]\nto = "group:carriers"\n'


class TestGroups(ConfigCase):
    """[[group]]."""

    def wrong(self, group: str, rest: str = "") -> list[str]:
        """The mistakes of one group, without its key."""
        text = BASE + f'[[group]]\nname = "g"\n{group}\n' + rest
        return [each.removeprefix("group[1].") for each in self.mistakes(text)]

    def test_a_group(self) -> None:
        """Every key, and what it is where it is not given."""
        configuration = self.load(BASE + GROUP + TO_GROUP)
        one, two = Member(parse_uri("sip:192.0.2.8;transport=udp"), 2, 10), Member(parse_uri("sip:pbx.example"), 1, 1)
        self.assertEqual(configuration.groups, {"carriers": Group("carriers", (one, two), 30, 60, "auto", None)})
        self.assertEqual(configuration.rules[0].answer, Go("group:carriers", rule="route[1]"))
        keys = 'probe = 0\nrest = 5\nsend_from = "public"\nalive = [200, 404]\n'
        group = self.load(BASE + GROUP.replace("members", keys + "members", 1).replace("pbx", "a")).groups["carriers"]
        self.assertEqual((group.probe, group.rest, group.send_from, group.alive), (0, 5, "public", {200, 404}))
        self.assertIsNone(self.load(BASE + GROUP + 'alive = "any answer"\n').groups["carriers"].alive)

    def test_in_a_list(self) -> None:
        """Groups and URIs, in their order; a route may be the first to name a group that stands below it."""
        other = GROUP.replace("carriers", "others")
        text = BASE + ROUTE.replace('"sip:10.0.0.5"', '["group:others", "sip:10.0.0.5", "group:carriers"]')
        (rule,) = self.load(text + GROUP + other).rules
        assert isinstance(rule.answer, Go)
        self.assertEqual([str(uri) for uri in rule.answer.to], ["group:others", "sip:10.0.0.5", "group:carriers"])
        self.assertTrue(rule.answer.grouped)

    def test_names(self) -> None:
        """Each its own, and those that routes name are there."""
        self.assertEqual(
            self.mistakes(BASE + GROUP + GROUP), ['group[2].name = "carriers": another group has this name already']
        )
        self.assertEqual(
            self.mistakes(BASE + TO_GROUP.replace("carriers", "x") + GROUP),
            ['route[1].to = "group:x": no [[group]] of that name; there are: carriers'],
        )
        self.assertEqual(
            self.mistakes(BASE + TO_GROUP),
            ['route[1].to = "group:carriers": no [[group]] of that name; there are none'],
        )
        self.assertEqual(
            self.mistakes(BASE + "[[group]]\nmember = []\n"),
            [
                'group[1].member = []: no such key; did you mean "members"?',
                "group[1].name: missing: it must be a name of letters, digits and the signs - _ .",
                "group[1].members: missing: it must be a list of tables: [{...}, {...}]",
            ],
        )

    def test_members(self) -> None:
        """URIs that can be sent to, each once."""
        self.assertEqual(self.wrong("members = []"), ["members = []: an empty list: a group has at least one member"])
        example = 'must be a SIP URI such as "sip:192.0.2.1:5060;transport=tcp"'
        for member, message in (
            ("{}", ".uri: missing: it must be a text"),
            ('{uri = "tel:1"}', f'.uri = "tel:1": tel:1 is not a sip: or sips: URI; {example}'),
            ('{uri = "group:g"}', '.uri = "group:g": a group cannot be in a group: name its members'),
            ('{uri = "sip:a", weight = -1}', ".weight = -1: must be a number from 0 to 65535"),
            ('{uri = "sip:a", priority = 65536}', ".priority = 65536: must be a number from 0 to 65535"),
            ('{uri = "sip:a", prio = 1}', '.prio = 1: no such key; did you mean "priority"?'),
        ):
            self.assertEqual(self.wrong(f"members = [{member}]"), [f"members[1]{message}"])
        self.assertEqual(
            self.wrong('members = [{uri = "sip:a:5060"}, {uri = "sip:A:5060"}]'),
            ['members[2].uri = "sip:A:5060": another member of the group has this URI: give that one more weight'],
        )

    def test_numbers(self) -> None:
        """Times and answers within bounds."""
        members = 'members = [{uri = "sip:a"}]\n'
        for line, message in (
            ("probe = 0.5", "must be 0, for none, or 1 second or more"),
            ("probe = -1", "must be a number of seconds, from 0 to a year"),
            ("rest = 0", "must be a number of seconds, from 1 to a day"),
            ("alive = []", "an empty list: no answer would do"),
            ("alive = [100]", 'must be "any answer" or a list of statuses from 200 to 699'),
            ('alive = "any"', 'must be "any answer" or a list of statuses from 200 to 699'),
        ):
            self.assertEqual(self.wrong(members + line), [f"{line}: {message}"])

    def test_ways_out(self) -> None:
        """S6: some listener that send_from allows can reach every member; said where it is written."""
        members = 'members = [{uri = "sip:10.0.0.5;transport=tcp"}]\n'
        self.assertEqual(
            self.wrong('members = [{uri = "sip:10.0.0.5;transport=tls"}]'),
            ['members[1].uri = "sip:10.0.0.5;transport=tls": no listener can reach it: it asks for TLS over IPv4'],
        )
        self.assertEqual(
            self.wrong(members + 'send_from = "public"'),
            [
                'members[1].uri = "sip:10.0.0.5;transport=tcp": no listener of public can reach it: '
                "it asks for TCP over IPv4"
            ],
        )
        self.assertEqual(
            self.wrong(members + 'send_from = "nowhere"'),
            [
                'send_from = "nowhere": no listener or zone of that name; '
                "there are: private-tcp, public-udp; of zones there are: private, public"
            ],
        )
        empty = ZONES + '[[zone]]\nname = "dmz"\n' + PUBLIC + PRIVATE
        self.assertEqual(
            self.mistakes(empty + f'[[group]]\nname = "g"\nsend_from = "dmz"\n{members}'),
            ['group[1].send_from = "dmz": no listener is in this zone'],
        )
        broken = ZONES + PUBLIC + PRIVATE.replace('"10.0.0.1"', '"10.0.0"')
        said = self.mistakes(broken + f'[[group]]\nname = "g"\nsend_from = "private"\n{members}')
        self.assertEqual([each.partition(" ")[0] for each in said], ["listener[2].address"])

    def test_send_from_of_a_route(self) -> None:
        """The route's own is held against every member; without one all its next hops must have the same."""
        of_group = GROUP.replace("members", 'send_from = "public"\nmembers', 1)
        self.assertEqual(
            self.mistakes(BASE + of_group + TO_GROUP + 'send_from = "private-tcp"'),
            [
                'route[1].send_from = "private-tcp": this listener is TCP over IPv4, '
                'but "sip:192.0.2.8;transport=udp" asks for UDP over IPv4'
            ],
        )
        self.assertEqual(
            self.mistakes(BASE + of_group + ROUTE.replace('"sip:10.0.0.5"', '["group:carriers", "sip:10.0.0.5"]')),
            [
                'route[1].to = ["group:carriers", "sip:10.0.0.5"]: its next hops have different send_from '
                "(auto, public): give the route its own"
            ],
        )

    def test_warnings(self) -> None:
        """A member that is ourselves; media that goes past us (S45), whoever the members are."""
        text = GROUP.replace("192.0.2.8", "192.0.2.1").replace("members", 'send_from = "public"\nmembers', 1)
        said = [str(each) for each in self.load(BASE + text + TO_GROUP).warnings]
        self.assertTrue(any("is our own listener public-udp: the call would come back" in each for each in said), said)
        self.assertTrue(any("from private to public media passes us by" in each for each in said), said)


class TestLimits(ConfigCase):
    """[limits], and calls and rate of zones and routes."""

    def test_defaults(self) -> None:
        """No limit but that of spirals."""
        configuration = self.load(BASE + ROUTE)
        self.assertEqual((configuration.source_rate, configuration.call.spirals), (0, 5))
        self.assertEqual({zone.quota for zone in configuration.zones.values()}, {UNLIMITED})
        self.assertEqual(configuration.rules[0].quota, UNLIMITED)

    def test_given(self) -> None:
        """Where each of them goes."""
        text = BASE.replace('name = "public"', 'name = "public"\ncalls = 100\nrate = 2.5', 1)
        configuration = self.load("[limits]\nsource_rate = 50\nspirals = 0\n" + text + ROUTE + "calls = 7")
        self.assertEqual((configuration.source_rate, configuration.call.spirals), (50, 0))
        self.assertEqual(configuration.zones["public"].quota, Quota(100, 2.5))
        self.assertEqual(configuration.rules[0].quota, Quota(7))

    def test_mistakes(self) -> None:
        """In words; a route that rejects lets nothing in that could be limited."""
        self.assertEqual(
            self.mistakes(BASE + "[limits]\nsource_rate = -1\nspirals = 8\nsource = 1"),
            [
                'limits.source = 1: no such key; did you mean "source_rate"?',
                "limits.source_rate = -1: must be a whole number, 0 for any number",
                "limits.spirals = 8: must be a number from 0 to 7",
            ],
        )
        said = self.mistakes(BASE.replace('name = "public"', 'name = "public"\ncalls = 1.5\nrate = -1', 1))
        self.assertEqual(
            said,
            [
                "zone[1].calls = 1.5: must be a whole number, 0 for any number",
                "zone[1].rate = -1: must be a number a second, 0 for any number",
            ],
        )
        self.assertEqual(
            self.mistakes(BASE + "[[route]]\nreject = 403\ncalls = 5"),
            ["route[1].calls = 5: reject is given too: a route sends on or rejects"],
        )
