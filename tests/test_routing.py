"""The ordered rules: what each kind of condition asks, which rule decides, and how that is explained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy import rules as package
from b2bua.policy.match import Known, Match
from b2bua.policy.mistakes import NOTHING, ConfigurationError, Mistake, among, shown
from b2bua.policy.options import Options
from b2bua.policy.patterns import Patterns, read_patterns
from b2bua.policy.routing import Explained, Go, Reject, Rule, decide, explain, next_hop
from b2bua.policy.rules import KINDS
from b2bua.policy.rules.method import Method
from b2bua.policy.rules.network import FromNetwork
from b2bua.policy.rules.uri import dialled
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request, parse
from b2bua.sip.uri import Uri, parse_uri

PUBLIC = Listener("public-udp", "public", "udp", "192.0.2.1", 5060)
PUBLIC6 = Listener("public-udp6", "public", "udp", "2001:db8::1", 5060)
PRIVATE = Listener("private-udp", "private", "udp", "10.0.0.1", 5060)
KNOWN = Known(
    frozenset({"public", "private"}),
    {
        "public-udp": ("public-udp",),
        "private-udp": ("private-udp",),
        "all": ("all@192.0.2.1", "all@10.0.0.1"),
        "broken": (),
    },
)
PUBLIC_FLOW = Flow(PUBLIC, "198.51.100.7", 5062)
PRIVATE_FLOW = Flow(PRIVATE, "10.0.0.7", 5060)

Told = list[tuple[str, object, str]]


def request(uri: str = "sip:bob@example.com", method: str = "INVITE", headers: str = "") -> Request:
    """A request with these headers, each line ending in CRLF."""
    head = f"{method} {uri} SIP/2.0\r\nFrom: <sip:alice@example.com>;tag=1\r\n{headers}\r\n"
    return cast(Request, parse(head.encode("utf-8", "surrogateescape")))


def read(key: str, value: object) -> Match:
    """The condition that a rule's key and value mean."""
    told: Told = []
    match = KINDS[key].read(value, KNOWN, lambda *complaint: told.append(complaint))
    assert match is not None and not told, told
    return match


def refused(key: str, value: object) -> Told:
    """What is said of a value that means no condition."""
    told: Told = []
    assert KINDS[key].read(value, KNOWN, lambda *complaint: told.append(complaint)) is None
    return told


def rule(name: str = "rule", answer: Go | Reject | None = None, **conditions: object) -> Rule:
    """A rule with these conditions."""
    return Rule(name, tuple(read(key, value) for key, value in conditions.items()), answer or Go((), rule=name))


class TestPatterns(SynchronousTestCase):
    """Plain, exact:, prefix: and regex:."""

    def fits(self, value: object, text: str, **how: Any) -> bool:
        """Whether the patterns that `value` means fit a text."""
        patterns = read_patterns(value, lambda *told: self.fail(str(told)), **how)
        assert patterns is not None
        return patterns.fits(text)

    def told(self, value: object) -> Told:
        """What is said of a value that means no patterns."""
        told: Told = []
        self.assertIsNone(read_patterns(value, lambda *complaint: told.append(complaint)))
        return told

    def test_exact(self) -> None:
        """A plain text is the whole text; exact: says the same of a text that begins like another kind."""
        self.assertTrue(self.fits("bob", "bob"))
        for text in ("Bob", "bobby", "", " bob"):
            self.assertFalse(self.fits("bob", text))
        self.assertTrue(self.fits("exact:prefix:x", "prefix:x"))
        self.assertTrue(self.fits("exact:", ""))
        self.assertTrue(self.fits("", ""))
        self.assertTrue(self.fits("a:b", "a:b"))

    def test_prefix(self) -> None:
        """prefix: is the beginning."""
        self.assertTrue(self.fits("prefix:*33", "*33"))
        self.assertTrue(self.fits("prefix:*33", "*3312"))
        self.assertFalse(self.fits("prefix:*33", "+*3312"))
        self.assertFalse(self.fits("prefix:*33", "*3"))

    def test_regex(self) -> None:
        """regex: matches the whole text, not a part of it."""
        self.assertTrue(self.fits("regex:[0-9]{3}", "123"))
        for text in ("1234", "12", "x123", "123\n", ""):
            self.assertFalse(self.fits("regex:[0-9]{3}", text))
        self.assertTrue(self.fits("regex:a|b", "b"))
        self.assertFalse(self.fits("regex:a|b", "ab"))
        self.assertTrue(self.fits("regex:.", "é"))
        self.assertTrue(self.fits("regex:caf.", "caf\udce9"))

    def test_list(self) -> None:
        """Any of a list may fit, of whatever kind."""
        for text in ("bob", "alice", "*33", "12", "99x"):
            self.assertTrue(self.fits(["bob", "alice", "prefix:*3", "regex:[0-9]+", "regex:99x"], text), text)
        self.assertFalse(self.fits(["bob", "alice", "prefix:*3", "regex:[0-9]+"], "carol"))

    def test_case(self) -> None:
        """Folded, nothing of case counts."""
        for value in ("Example.COM", "prefix:eXample", "regex:Ex.*COM"):
            self.assertTrue(self.fits(value, "eXAMPLE.com", fold=True), value)
            self.assertFalse(self.fits(value, "eXAMPLE.com"), value)

    def test_linear(self) -> None:
        """No expression backtracks: thirty letters more are not 2^30 times as long (security.md)."""
        self.assertFalse(self.fits("regex:(a+)+", "a" * 5000 + "b"))
        self.assertFalse(self.fits("regex:(a|a)*c", "a" * 5000))

    @settings(deadline=None, max_examples=200)
    @given(
        st.sampled_from(["[a-c]+", "a|bc", "(a*)(b+)?", "a.c", "", "[^a]*", "a{2,3}"]),
        st.text(alphabet="abc\u00e9\n", max_size=6),
    )
    def test_like_re(self, expression: str, text: str) -> None:
        """The automaton of several expressions says what Python's `fullmatch` says of each."""
        expected = any(re.fullmatch(each, text) for each in (expression, "zz"))
        self.assertEqual(Patterns([], [], [expression, "zz"]).fits(text), expected)

    @settings(deadline=None)
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """No text makes it raise, surrogates included."""
        self.assertTrue(Patterns([], [], ["(?s).*"]).fits(text))
        Patterns(["a"], ["b"], ["c"], fold=True).fits(text)

    def test_describe(self) -> None:
        """In words."""
        patterns = Patterns(["bob", "a\r\nb"], ["*33"], ["[0-9]+"])
        self.assertEqual(patterns.describe(), r'is "bob" or is "a\r\nb" or starts with "*33" or matches "[0-9]+"')

    def test_wrong_types(self) -> None:
        """Neither text nor list of texts."""
        right = 'must be a text or a list of texts, each plain (an exact text), "prefix:..." or "regex:..."'
        wrong: tuple[object, ...] = (5, [], [5], ["a", 5], {}, None, True)
        for value in wrong:
            self.assertEqual(self.told(value), [("", value, right)])

    def test_bad_regex(self) -> None:
        """RE2's own words say what is wrong; each bad one of a list is told."""
        said = "not a regular expression that RE2 knows: "
        self.assertEqual(
            self.told(["regex:a(", "fine", r"regex:(a)\1"]),
            [
                ("", "regex:a(", said + "missing ): a("),
                ("", r"regex:(a)\1", said + r"invalid escape sequence: \1"),
            ],
        )
        self.assertEqual(self.told("regex:"), [("", "regex:", "a regular expression is missing after regex:")])

    def test_empty_prefix(self) -> None:
        """It would fit everything."""
        message = "every text starts with nothing: leave the key out to match all"
        self.assertEqual(self.told("prefix:"), [("", "prefix:", message)])

    def test_misspelt_kind(self) -> None:
        """A word before a colon that is nearly one of the kinds."""
        message = 'did you mean "regex:"? A text that really begins so is written "exact:regexp:[0-9]+"'
        self.assertEqual(self.told("regexp:[0-9]+"), [("", "regexp:[0-9]+", message)])
        self.assertEqual(len(self.told("Prefix:*33")), 1)


class TestKinds(SynchronousTestCase):
    """Each kind of condition."""

    def test_the_kinds(self) -> None:
        """Every module of policy/rules adds its own; none reads another's key."""
        self.assertEqual(set(KINDS), {"method", "user", "domain", "zone", "listener", "network", "header"})
        for key, kind in KINDS.items():
            self.assertEqual(kind.key, key)
        self.assertRaises(ImportError, package.register, KINDS, (Method,))

    def test_the_base(self) -> None:
        """A kind has to say what it asks."""
        bare = Match()
        for undone in (
            lambda: Match.read("x", KNOWN, lambda *told: None),
            lambda: bare(request(), PUBLIC_FLOW),
            bare.describe,
            lambda: bare.seen(request(), PUBLIC_FLOW),
        ):
            self.assertRaises(NotImplementedError, undone)
        self.assertTrue(bare.may_come_by(PUBLIC))

    def test_method(self) -> None:
        """One or several; case counts (RFC 3261 7.1)."""
        self.assertTrue(read("method", "INVITE")(request(), PUBLIC_FLOW))
        self.assertTrue(read("method", ["MESSAGE", "X-1"])(request(method="X-1"), PUBLIC_FLOW))
        self.assertFalse(read("method", "INVITE")(request(method="Invite"), PUBLIC_FLOW))
        match = read("method", ["MESSAGE", "INFO"])
        self.assertEqual(match.describe(), "the method is INFO or MESSAGE")
        self.assertEqual(match.seen(request(), PUBLIC_FLOW), "the method is INVITE")

    def test_method_mistakes(self) -> None:
        """What is no method, and what is one in small letters."""
        right = 'must be a method such as "INVITE", or a list of methods'
        for value in (5, [], "IN VITE", ["INVITE", ""], "prefix:I"):
            self.assertEqual(refused("method", value), [("", value, right)])
        self.assertEqual(
            refused("method", ["invite", "BYE", "Message"]),
            [
                ("", "invite", 'methods are written in capitals: "INVITE"'),
                ("", "Message", 'methods are written in capitals: "MESSAGE"'),
            ],
        )

    def test_user(self) -> None:
        """The user without its escapes (RFC 3261 19.1.4); case counts."""
        match = read("user", "prefix:*33")
        for uri in ("sip:*331@example.com", "sip:%2a33@example.com", "sips:%2A331:secret@example.com"):
            self.assertTrue(match(request(uri), PUBLIC_FLOW), uri)
        for uri in ("sip:%252a33@example.com", "sip:33@example.com", "sip:example.com", "urn:service:sos"):
            self.assertFalse(match(request(uri), PUBLIC_FLOW), uri)
        self.assertFalse(read("user", "Bob")(request(), PUBLIC_FLOW))
        self.assertTrue(read("user", "")(request("sip:example.com"), PUBLIC_FLOW))
        self.assertEqual(match.describe(), 'the user starts with "*33"')
        self.assertEqual(match.seen(request("sip:b%9bb@example.com"), PUBLIC_FLOW), r'the user is "b\u009bb"')
        self.assertEqual(refused("user", 5)[0][1], 5)

    def test_telephone_numbers(self) -> None:
        """Of a tel: URI the number is the user (RFC 3966)."""
        self.assertTrue(read("user", "prefix:+49")(request("tel:+4930123;phone-context=x"), PUBLIC_FLOW))
        self.assertEqual(dialled(parse_uri("tel:110")), "110")
        self.assertFalse(read("domain", "regex:.+")(request("tel:+4930123"), PUBLIC_FLOW))

    def test_domain(self) -> None:
        """The host without regard to case; addresses in any spelling (S12)."""
        self.assertTrue(read("domain", "Example.com")(request("sip:bob@eXample.COM:5070"), PUBLIC_FLOW))
        self.assertTrue(read("domain", "regex:.*\\.example\\.com")(request("sip:bob@SIP.example.com"), PUBLIC_FLOW))
        self.assertFalse(read("domain", "example.com")(request("sip:bob@example.com.example.net"), PUBLIC_FLOW))
        for spelling in ("[2001:DB8::1]", "2001:db8:0:0::1", "2001:db8::1"):
            self.assertTrue(read("domain", spelling)(request("sip:bob@[2001:db8:0::1]"), PUBLIC_FLOW), spelling)
        self.assertFalse(read("domain", "[::")(request(), PUBLIC_FLOW))
        match = read("domain", "example.net")
        self.assertEqual(match.describe(), 'the domain is "example.net"')
        self.assertEqual(match.seen(request(), PUBLIC_FLOW), 'the domain is "example.com"')
        self.assertEqual(refused("domain", "regex:(")[0][1], "regex:(")

    def test_zone(self) -> None:
        """The zone that the request came from."""
        match = read("zone", "public")
        self.assertTrue(match(request(), PUBLIC_FLOW))
        self.assertFalse(match(request(), PRIVATE_FLOW))
        self.assertTrue(read("zone", ["public", "private"])(request(), PRIVATE_FLOW))
        self.assertEqual(match.describe(), "it comes from the zone public")
        self.assertEqual(match.seen(request(), PRIVATE_FLOW), "it comes from the zone private")
        self.assertTrue(match.may_come_by(PUBLIC))
        self.assertFalse(match.may_come_by(PRIVATE))

    def test_zone_mistakes(self) -> None:
        """Names that no zone has, each of them."""
        self.assertEqual(
            refused("zone", ["publik", "private", "dmz"]),
            [
                ("", "publik", "no zone of that name; there are: private, public"),
                ("", "dmz", "no zone of that name; there are: private, public"),
            ],
        )
        for value in (5, [], ["public", 5]):
            self.assertEqual(refused("zone", value), [("", value, "must be the name of a zone, or a list of names")])

    def test_listener(self) -> None:
        """The listener; a name that stands for several means each of them (S8)."""
        match = read("listener", "public-udp")
        self.assertTrue(match(request(), PUBLIC_FLOW))
        self.assertFalse(match(request(), PRIVATE_FLOW))
        several = read("listener", ["all", "private-udp"])
        each = Listener("all@10.0.0.1", "private", "udp", "10.0.0.1", 5060)
        self.assertTrue(several(request(), Flow(each, "10.0.0.7", 5060)))
        self.assertEqual(several.describe(), "it comes in on all@10.0.0.1 or all@192.0.2.1 or private-udp")
        self.assertEqual(several.seen(request(), PUBLIC_FLOW), "it comes in on public-udp")
        self.assertTrue(several.may_come_by(each))
        self.assertFalse(several.may_come_by(PUBLIC))
        self.assertEqual(
            refused("listener", "public"),
            [("", "public", "no listener of that name; there are: all, broken, private-udp, public-udp")],
        )
        self.assertEqual(refused("listener", 5)[0][2], "must be the name of a listener, or a list of names")

    def test_network(self) -> None:
        """The source address as the socket saw it, compared parsed and not as text (S12)."""
        match = read("network", ["198.51.100.0/24", "2001:db8::/32", "192.0.2.7"])
        for host in ("198.51.100.7", "2001:db8::7", "2001:DB8:0::7", "192.0.2.7"):
            self.assertTrue(match(request(), Flow(PUBLIC, host, 5060)), host)
        for host in ("198.51.101.7", "2001:db9::7", "192.0.2.8", "", "somewhere", "fe80::1%eth0"):
            self.assertFalse(match(request(), Flow(PUBLIC, host, 5060)), host)
        self.assertTrue(read("network", "fe80::/10")(request(), Flow(PUBLIC, "fe80::1%eth0", 5060)))
        self.assertEqual(match.describe(), "it comes from 198.51.100.0/24 or 2001:db8::/32 or 192.0.2.7/32")
        self.assertEqual(match.seen(request(), PUBLIC_FLOW), "it comes from 198.51.100.7")
        self.assertEqual(match.seen(request(), Flow(PUBLIC, "", 0)), "it comes from no address")
        v6 = read("network", "2001:db8::/32")
        self.assertTrue(v6.may_come_by(PUBLIC6))
        self.assertFalse(v6.may_come_by(PUBLIC))

    def test_network_memory(self) -> None:
        """What it remembers of addresses is bounded, and right whether remembered or not."""
        match = read("network", "10.0.0.0/16")
        for _ in range(2):
            for number in range(5000):
                host = f"10.{number % 2}.{number // 250}.{number % 250}"
                self.assertEqual(match(request(), Flow(PRIVATE, host, 5060)), number % 2 == 0)
        self.assertLessEqual(len(cast(FromNetwork, match)._answers), 4096)

    def test_network_mistakes(self) -> None:
        """What is no network, and an address where a network is meant."""
        right = 'must be a network such as "192.0.2.0/24" or "2001:db8::/32", or a list of networks'
        for value in (5, [], [5], "example.com", "192.0.2.0/33"):
            self.assertEqual(refused("network", value), [("", value, right)])
        self.assertEqual(
            refused("network", ["192.0.2.1/24", "10.0.0.0/8", "x"]),
            [("", "192.0.2.1/24", 'the network around this address is "192.0.2.0/24"'), ("", "x", right)],
        )

    def test_header(self) -> None:
        """Any value of a header in any spelling of its name."""
        match = read("header", {"X-Account": "regex:[0-9]+"})
        self.assertTrue(match(request(headers="x-account: 12\r\n"), PUBLIC_FLOW))
        self.assertTrue(match(request(headers="X-ACCOUNT: none\r\nX-Account: 12\r\n"), PUBLIC_FLOW))
        self.assertFalse(match(request(headers="X-Account: 12, 13\r\n"), PUBLIC_FLOW))
        self.assertFalse(match(request(), PUBLIC_FLOW))
        self.assertTrue(read("header", {"Subject": "a, b"})(request(headers="s: a, b\r\n"), PUBLIC_FLOW))

    def test_header_lists(self) -> None:
        """A header that may be a list is taken apart at its commas."""
        match = read("header", {"k": "timer"})
        self.assertTrue(match(request(headers="Supported: 100rel, timer\r\n"), PUBLIC_FLOW))
        self.assertFalse(match(request(headers="Supported: 100rel, timers\r\n"), PUBLIC_FLOW))

    def test_headers(self) -> None:
        """Every header that is named must fit."""
        match = read("header", {"X-Account": "prefix:1", "From": "regex:.*alice.*"})
        self.assertTrue(match(request(headers="X-Account: 12\r\n"), PUBLIC_FLOW))
        self.assertFalse(match(request(headers="X-Account: 2\r\n"), PUBLIC_FLOW))
        self.assertEqual(match.describe(), 'X-Account starts with "1" and From matches ".*alice.*"')
        self.assertEqual(
            match.seen(request(headers="X-Account: 2\r\nX-Account: 3\r\n"), PUBLIC_FLOW),
            'X-Account is "2" and "3" and From is "<sip:alice@example.com>;tag=1"',
        )
        self.assertEqual(read("header", {"X-Account": "1"}).seen(request(), PUBLIC_FLOW), "there is no X-Account")

    def test_header_mistakes(self) -> None:
        """Each with the header that it is about."""
        right = 'must be a table of header names and patterns: { "X-Account" = "regex:[0-9]+" }'
        wrong: tuple[object, ...] = ("X-Account", {}, [], 5)
        for value in wrong:
            self.assertEqual(refused("header", value), [("", value, right)])
        self.assertEqual(
            refused("header", {"X Account": "1", "X-A": "regex:(", "X-B": "1", "X-C": "prefix:"}),
            [
                ("X Account", "1", "no header can have this name"),
                ("X-A", "regex:(", "not a regular expression that RE2 knows: missing ): ("),
                ("X-C", "prefix:", "every text starts with nothing: leave the key out to match all"),
            ],
        )


class TestDecide(SynchronousTestCase):
    """The first rule that fits decides (S1)."""

    def test_order(self) -> None:
        """In the order of the file."""
        rules = [
            rule("numbers", user="regex:[0-9]+", zone="public"),
            rule("bob", Reject(403, "No", "bob"), user="bob"),
            rule("rest"),
        ]
        self.assertEqual(decide(rules, request("sip:12@x"), PUBLIC_FLOW), Go((), rule="numbers"))
        self.assertEqual(decide(rules, request("sip:12@x"), PRIVATE_FLOW), Go((), rule="rest"))
        self.assertEqual(decide(rules, request("sip:bob@x"), PUBLIC_FLOW), Reject(403, "No", "bob"))
        self.assertIs(decide(rules, request("sip:bob@x"), PUBLIC_FLOW), rules[1].answer)

    def test_none(self) -> None:
        """No rule is None: 404."""
        self.assertIsNone(decide([], request(), PUBLIC_FLOW))
        self.assertIsNone(decide([rule(user="carol")], request(), PUBLIC_FLOW))

    def test_all_conditions(self) -> None:
        """Every condition of a rule must hold."""
        both = [rule(user="bob", domain="example.com")]
        self.assertIsNotNone(decide(both, request("sip:bob@example.com"), PUBLIC_FLOW))
        self.assertIsNone(decide(both, request("sip:bob@example.net"), PUBLIC_FLOW))
        self.assertIsNone(decide(both, request("sip:carol@example.com"), PUBLIC_FLOW))

    def test_pure(self) -> None:
        """The same question has the same answer, and leaves the request as it was."""
        asked = request(headers="X-Account: 1\r\nSupported: a, b\r\n")
        before = {name: list(values) for name, values in asked.headers.items()}
        rules = [rule(header={"Supported": "c"}), rule(network="198.51.100.0/24", user="prefix:bo")]
        answers = [decide(rules, asked, PUBLIC_FLOW) for _ in range(3)]
        self.assertEqual(answers, [rules[1].answer] * 3)
        self.assertEqual(asked.headers, before)


class TestExplain(SynchronousTestCase):
    """Why a rule fits, and why those before it do not."""

    def test_explained(self) -> None:
        """Each rule that was asked, up to the one that fits."""
        rules = [
            rule("numbers", zone="public", user="regex:[0-9]+"),
            rule("private", zone="private"),
            rule("bob", user="bob", zone="public"),
            rule("rest"),
        ]
        self.assertEqual(
            explain(rules, request(), PUBLIC_FLOW),
            [
                Explained(rules[0], False, 'it asks that the user matches "[0-9]+", but the user is "bob"'),
                Explained(
                    rules[1], False, "it asks that it comes from the zone private, but it comes from the zone public"
                ),
                Explained(rules[2], True, 'the user is "bob" and it comes from the zone public'),
            ],
        )
        self.assertEqual(explain(rules[3:], request(), PUBLIC_FLOW), [Explained(rules[3], True, "it asks for nothing")])
        self.assertEqual(explain([], request(), PUBLIC_FLOW), [])

    def test_like_decide(self) -> None:
        """The last one explained is the one that decides, or none fits."""
        rules = [rule("a", user="a"), rule("b", user="b")]
        for user in "abc":
            asked = request(f"sip:{user}@example.com")
            last = explain(rules, asked, PUBLIC_FLOW)[-1]
            self.assertEqual(last.rule.answer if last.matched else None, decide(rules, asked, PUBLIC_FLOW))

    def test_describe(self) -> None:
        """A rule in words."""
        to = "sip:10.0.0.5;transport=tcp"
        self.assertEqual(
            rule("media", Go(to, "private", "media"), user="prefix:*33", zone="public").describe(),
            f'media: the user starts with "*33" and it comes from the zone public -> to {to} by private',
        )
        self.assertEqual(
            rule("all", Go([to, "sip:10.0.0.6"])).describe(),
            f"all: every request -> to {to}, then sip:10.0.0.6 by the interface that the kernel chooses",
        )
        options = Options("first", "parallel", 20.0, frozenset({486, 404}), "follow", "local")
        self.assertEqual(
            Go([to, "sip:10.0.0.6"], "private", "", options).describe(),
            f"to {to} and sip:10.0.0.6 at once by private; goes on after 404 and 486, 20 s for each target, "
            "only the first fork shown, redirections followed, transfers carried out here",
        )
        other = Options(go_on=frozenset(), redirect="pass", refer="refuse")
        self.assertEqual(other.describe(), "goes on after no refusal, redirections passed on, transfers refused")
        self.assertEqual(rule("uri").describe().partition("-> ")[2].partition(" by")[0], "to the Request-URI")
        self.assertEqual(rule("no", Reject(403, "No")).describe(), "no: every request -> refused with 403 No")
        self.assertEqual(Reject(404).describe(), "refused with 404")

    def test_reach(self) -> None:
        """Where a request that fits may come from."""
        self.assertTrue(rule(user="bob").may_come_by(PUBLIC))
        self.assertFalse(rule(user="bob", zone="private").may_come_by(PUBLIC))


class TestAnswers(SynchronousTestCase):
    """Go and Reject take what a policy's writer gives them, and refuse what cannot be sent."""

    def test_go(self) -> None:
        """Texts, URIs, lists of them, and the Request-URI."""
        uri = parse_uri("sip:10.0.0.5")
        for to in ("sip:10.0.0.5", uri, ["sip:10.0.0.5"], (uri,), iter([uri])):
            self.assertEqual(Go(to).to, (uri,))
        self.assertEqual(Go("request-uri").to, ())
        self.assertEqual(Go().to, ())
        self.assertEqual(Go(()).to, ())
        self.assertEqual(Go(uri, PRIVATE).send_from, "private-udp")
        self.assertEqual(Go(uri), Go(uri, "auto", ""))
        self.assertRaises(AttributeError, setattr, Go(uri), "rule", "x")

    def test_a_copy(self) -> None:
        """What becomes of a Uri afterwards does not change the answer."""
        uri = parse_uri("sip:10.0.0.5")
        answer = Go(uri)
        uri.host = "10.0.0.6"
        self.assertEqual(answer.to[0].host, "10.0.0.5")

    def test_no_next_hop(self) -> None:
        """What cannot be sent to."""
        wrong: Mapping[str, object] = {
            "a URI without a scheme (RFC 3261 19.1.1)": "10.0.0.5",
            "tel:110 is not a sip: or sips: URI": "tel:110",
            "sip:10.0.0.5?Subject=x has headers (?Subject=x), which a next hop cannot have": "sip:10.0.0.5?Subject=x",
            "to is an empty list; to send by the Request-URI say 'request-uri'": [],
        }
        for message, to in wrong.items():
            self.assertEqual(str(self.assertRaises(ValueError, Go, to)), message)
        error = self.assertRaises(TypeError, Go, [5])
        self.assertEqual(str(error), "to is 5, not a SIP URI or a list of them")
        error = self.assertRaises(TypeError, Go, "sip:10.0.0.5", None)
        self.assertEqual(str(error), "send_from is None, not a listener, a zone's name or 'auto'")
        self.assertRaises(TypeError, Go, "sip:10.0.0.5", "")
        error = self.assertRaises(TypeError, Go, "sip:10.0.0.5", options={"hunt": "parallel"})
        self.assertIn("not Options", str(error))

    def test_nothing_smuggled(self) -> None:
        """A Uri made by hand is read again: no line end gets onto the wire."""
        self.assertRaises(ValueError, Go, Uri("sip", "a\r\nX-Evil: 1", "10.0.0.5"))
        self.assertRaises(ValueError, next_hop, "sip:a\r\n@10.0.0.5")
        self.assertRaises(ValueError, Reject, 403, "No\r\nX-Evil: 1")

    def test_reject(self) -> None:
        """A final status that refuses, and one line."""
        self.assertEqual(Reject(699).status, 699)
        for status in (200, 299, 700, "403", True, 403.0):
            error = self.assertRaises(ValueError, Reject, status)
            self.assertEqual(str(error), f"status is {status!r}, not a number from 300 to 699")
        error = self.assertRaises(ValueError, Reject, 403, None)
        self.assertEqual(str(error), "reason is None, not one line of text")


class TestMistakes(SynchronousTestCase):
    """How mistakes are told."""

    def test_text(self) -> None:
        """File, key, value as TOML has it, and what would be right."""
        self.assertEqual(
            str(Mistake("b.toml", "listener[2].zone", "publik", "no zone of that name")),
            'b.toml: listener[2].zone = "publik": no zone of that name',
        )
        self.assertEqual(
            str(Mistake("b.toml", "listener[2].zone", NOTHING, "missing")), "b.toml: listener[2].zone: missing"
        )
        self.assertEqual(str(Mistake("p.py", "", NOTHING, "not Python", 3)), "p.py:3: not Python")
        self.assertEqual(str(Mistake("a\r\n", "\x1b", 1, "c\udc80")), r"a\r\n: \x1b = 1: c\udc80")
        error = ConfigurationError([Mistake("a", "", NOTHING, "b"), Mistake("a", "", NOTHING, "c")])
        self.assertEqual(str(error), "a: b\na: c")
        self.assertEqual(len(error.mistakes), 2)

    def test_values(self) -> None:
        """Values of every type, on one line, cut when long."""
        self.assertEqual(shown(True), "true")
        self.assertEqual(shown(["a", 1]), '["a", 1]')
        self.assertEqual(shown("a\r\n\x1b[1m\x9b\u00e9\udc80"), r'"a\r\n\u001b[1m\u009b\u00e9\udc80"')
        self.assertEqual(len(shown("a" * 500)), 80)
        self.assertTrue(shown("a" * 500).endswith("aaa..."))
        self.assertEqual(shown(Path("x")), '"x"')

    def test_among(self) -> None:
        """What could have been meant."""
        self.assertEqual(among(["public", "private"]), "there are: private, public")
        self.assertEqual(among([]), "there are none")
