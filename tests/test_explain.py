"""What `explain` says is what a call then does: rule, listener, route, Via and Contact; or why it goes nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.hall import Hall
from b2bua.ops.explain import CannotAsk, Explanation, Question, explain
from b2bua.policy.interface import KernelRoute
from b2bua.sip.message import Request
from tests.world import TLS_TOO, TWO_SIDES, World

BY_RULES = (
    TWO_SIDES.partition("[[route]]")[0]
    + """
[[route]]
name = "numbers"
zone = "public"
user = "regex:[0-9]+"
to = ["sip:10.0.0.20;transport=tcp", "sip:10.0.0.21"]
[[route]]
name = "accounts"
method = ["INVITE", "MESSAGE"]
header = { "X-Account" = "exact:7" }
to = "sip:pbx.example"
[[route]]
name = "friends"
network = "198.51.100.0/24"
to = "request-uri"
[[route]]
name = "robots"
user = "prefix:robot"
reject = 603
reason = "No robots"
"""
)
SCRIPT = """
from b2bua.policy.routing import Go, Reject
async def later(answer):
    return answer
def route(request, listeners):
    if request.user == "slow":
        return later(Go("sip:10.0.0.9", send_from="private-udp"))
    if request.user == "broken":
        return later(1 / 0)
    if request.user == "late":
        return worse()
    if request.user == "no":
        return Reject(488)
async def worse():
    raise LookupError("no such\\x1b[2J customer")
"""
WITH_SCRIPT = 'policy = "policy.py"\n' + BY_RULES


class Asked(SynchronousTestCase):
    """Asks one world at a time."""

    def ask(
        self,
        question: Question,
        configuration: str = BY_RULES,
        files: Mapping[str, str] | None = None,
        dns: str = "",
        dns_delay: float = 0.0,
        route: KernelRoute | None = None,
    ) -> Explanation:
        """What is explained, and that nothing was sent meanwhile."""
        kernel = (lambda host: route) if route is not None else None
        self.world = World(configuration, files, dns, kernel=kernel)
        self.world.dns_delay = dns_delay
        asked: Deferred[Explanation] = explain(self.world.configuration, self.world.switchboard, question, kernel)
        if dns_delay:
            self.assertNoResult(asked)
            self.world.wait(5)
        explanation = self.successResultOf(asked)
        self.assertEqual(self.world.story, [])
        self.assertEqual(len(self.world.switchboard.transactions), 0)
        self.assertEqual(list(self.world.hall.book), [])
        self.text = explanation.text()
        return explanation

    def says(self, *lines: str) -> None:
        """Each of these is somewhere in the text, whatever the width of its columns."""
        text = " ".join(self.text.split())
        for line in lines:
            self.assertIn(" ".join(line.split()), text, self.text)


class TestRules(Asked):
    """Which rule, and why not the ones before."""

    def test_the_rule_and_those_before_it(self) -> None:
        """Every rule that is asked is there with its reason; the one that fits is the last."""
        self.ask(Question("sip:bob@example.com", headers=["x-account: 7"]))
        self.says(
            'does not fit numbers: it asks that the user matches "[0-9]+", but the user is "bob"',
            'fits accounts: the method is INVITE or MESSAGE and X-Account is "7"; so: to sip:pbx.example',
        )
        self.assertNotIn("friends", self.text)

    def test_none(self) -> None:
        """Where no rule fits it is answered 404."""
        explanation = self.ask(Question("sip:bob@example.com"))
        self.assertEqual((explanation.status, explanation.sent), (404, False))
        self.assertEqual([each.matched for each in explanation.rules], [False] * 4)
        self.says("It is answered 404: no route")

    def test_reject(self) -> None:
        """A rule that rejects says with what."""
        explanation = self.ask(Question("sip:robot1@example.com"))
        self.assertEqual(explanation.status, 603)
        self.says(
            'fits robots: the user starts with "robot"; so: refused with 603 No robots', "answered 603: No robots"
        )

    def test_where_it_comes_in(self) -> None:
        """Zone, listener and source address can be given, and matter."""
        explanation = self.ask(Question("sip:bob@10.0.0.20", source="198.51.100.9"))
        self.says("comes in from 198.51.100.9 on public-udp (udp 192.0.2.1:5060), zone public")
        self.assertEqual(explanation.rules[-1].rule.name, "friends")
        explanation = self.ask(Question("sip:123@10.0.0.20", zone="private"))
        self.says("from no address in particular on private-udp (udp 10.0.0.1:5060), zone private")
        self.assertNotEqual(explanation.rules[-1].rule.name, "numbers")
        self.ask(Question("sip:123@10.0.0.20", listener="private-tcp"))
        self.says("on private-tcp (tcp 10.0.0.1:5060), zone private")

    def test_what_cannot_be_asked(self) -> None:
        """Names that are none, headers without a colon, control characters: said with what there is."""
        for question, text in (
            (Question("sip:bob@example.com", zone="privat"), "no zone privat; there are: private, public"),
            (Question("sip:bob@example.com", listener="udp"), "no listener udp; there are: public-udp, public-tcp"),
            (Question("sip:bob@x", listener="public-udp", zone="private"), "public-udp is in the zone public"),
            (Question("sip:bob@x", headers=["Subject"]), 'a header is "Name: value", not "Subject"'),
            (Question("sip:bob@x", headers=["Subject: a\r\nRoute: b"]), "control characters"),
            (Question("sip:bob@[::1"), "the Request-URI sip:bob@[::1 is wrong: "),
            (Question("sip:bob@example.com:99999"), "the Request-URI sip:bob@example.com:99999 is wrong: "),
        ):
            self.assertIn(text, str(self.assertRaises(CannotAsk, self.ask, question)))


class TestWays(Asked):
    """Targets, listeners, routes, and what would be sent."""

    def test_every_target(self) -> None:
        """Each target of each next hop with transport, listener, source address, Via and Contact, and why (S6)."""
        explanation = self.ask(Question("sip:123@example.com"), route=KernelRoute("10.0.0.1", "eth1", "10.0.0.254"))
        self.assertEqual([str(hop.uri) for hop in explanation.hops], ["sip:10.0.0.20;transport=tcp", "sip:10.0.0.21"])
        first, second = self.text.split("Next hop 2")
        for text, way in ((first, "tcp"), (second, "udp")):
            self.text = text
            self.says(
                f"listener private-{way} (zone private)",
                "the kernel would send to",
                "which is the address of",
                "source address 10.0.0.1",
                "kernel route from 10.0.0.1 by eth1 through 10.0.0.254",
                f"Via SIP/2.0/{way.upper()} 10.0.0.1:5060;branch=z9hG4bK...;rport",
                f"Contact <sip:...@10.0.0.1:5060;transport={way}>",
            )
        self.text = first
        self.says("target tcp:10.0.0.20:5060", "transport TCP: the URI says so")
        self.text = second
        self.says("target udp:10.0.0.21:5060", "UDP: the URI does not say, and then it is UDP (RFC 3263 4.1)")

    def test_it_is_what_the_call_does(self) -> None:
        """The call then has the Via, the Contact and the Request-URI that were explained."""
        way = self.ask(Question("sip:bob@example.com"), TWO_SIDES).hops[0].ways[0]
        assert way.request is not None
        self.world.call()
        sent = self.world.bob.talk.last("INVITE")
        assert isinstance(sent, Request)
        self.assertEqual(sent.via.sent_by, way.request.via.sent_by)
        self.assertEqual(sent.uri_text, way.request.uri_text)
        for name in ("Contact", "From"):
            host = sent.first(name).partition("@")[2].partition(";tag")[0]
            self.assertIn(host, way.request.first(name))

    def test_in_parallel(self) -> None:
        """S30: targets tried at once are told as such; each has its own addresses, whichever name is found first."""
        zone = """
            a.example A 10.0.0.31
            a.example A 10.0.0.32
            b.example A 10.0.0.33
        """
        text = TWO_SIDES.replace(
            'to = "sip:10.0.0.20;transport=udp"', 'to = ["sip:a.example:5060", "sip:b.example:5060"]\nhunt = "parallel"'
        )
        for delay in (0.0, 0.1):
            explanation = self.ask(Question("sip:bob@example.com"), text, dns=zone, dns_delay=delay)
            self.says("so: to sip:a.example:5060 and sip:b.example:5060 at once by private")
            hosts = [sorted(way.target.host for way in hop.ways) for hop in explanation.hops]
            self.assertEqual(hosts, [["10.0.0.31", "10.0.0.32"], ["10.0.0.33"]])

    def test_no_way_out(self) -> None:
        """An address that no listener reaches is answered 503, with the reason for the operator (S5)."""
        explanation = self.ask(
            Question("sip:bob@203.0.113.5", source="198.51.100.9"), route=KernelRoute("203.0.113.1", "eth7")
        )
        self.assertEqual((explanation.status, explanation.sent), (503, False))
        self.says("listener none: answered 503", "by eth7", "the UDP over IPv4 listeners are public-udp (192.0.2.1")
        self.ask(Question("sip:bob@[2001:db8::5]", source="198.51.100.9"))
        self.says("nowhere no udp listener that reaches 2001:db8::5", "It is answered 503")

    def test_names(self) -> None:
        """A name is looked up as for a call: NAPTR, SRV, addresses, each with its way; it may take its time."""
        zone = """
            pbx.example NAPTR 1 1 s SIP+D2T "" _sip._tcp.pbx.example
            _sip._tcp.pbx.example SRV 1 1 5070 a.pbx.example
            _sip._tcp.pbx.example SRV 2 1 5071 b.pbx.example
            a.pbx.example A 10.0.0.31
            b.pbx.example A 10.0.0.32
        """
        question = Question("sip:bob@example.com", headers=["X-Account: 7"])
        for delay in (0.0, 0.1):
            explanation = self.ask(question, dns=zone, dns_delay=delay)
            targets = [str(way.target) for way in explanation.hops[0].ways]
            self.assertEqual(targets, ["tcp:10.0.0.31:5070", "tcp:10.0.0.32:5071"])
            self.says("NAPTR and SRV of pbx.example", "private-tcp (zone private)")
        self.ask(question, dns_delay=0.1)
        self.says("nowhere pbx.example:", "A pbx.example", "It is answered 503")

    def test_sips(self) -> None:
        """A sips URI leaves by TLS or not at all, and has a sips Contact (S14)."""
        self.ask(Question("sips:bob@example.com"), TWO_SIDES)
        self.says("nowhere no tls listener to send with", "It is answered 480: no tls listener to send with")
        self.ask(Question("sips:bob@example.com"), TWO_SIDES + TLS_TOO)
        self.says(
            "TLS: the URI is sips",
            "TLS name 10.0.0.20: the certificate must say it",
            "private-tls (zone private)",
            "Contact <sips:...@10.0.0.1:5061>",
        )

    def test_forced_socket(self) -> None:
        """send_from with a listener's name: the transport is what it speaks, the kernel is not needed."""
        forced = BY_RULES.replace('to = "request-uri"', 'to = "request-uri"\nsend_from = "private-udp"')
        self.ask(Question("sip:bob@10.0.0.20", source="198.51.100.9"), forced, route=KernelRoute("192.0.2.1", "eth0"))
        self.says(
            "send_from private-udp",
            "UDP: what private-udp speaks",
            "why send_from names the listener private-udp",
            "kernel route from 192.0.2.1 by eth0 (not asked for: send_from decides)",
        )

    def test_route_header(self) -> None:
        """A Route that names another listener of ours chooses it (S1)."""
        self.ask(
            Question(
                "sip:bob@10.0.0.20", source="198.51.100.9", headers=["Route: <sip:10.0.0.1:5060;transport=udp;lr>"]
            )
        )
        self.says("send_from private-udp, which a Route of the request names")

    def test_other_methods(self) -> None:
        """Requests outside dialogs are explained as well; a MESSAGE has no Contact."""
        self.ask(Question("sip:bob@example.com", "MESSAGE"), TWO_SIDES)
        self.says("Request MESSAGE sip:bob@example.com", "Contact none: MESSAGE has none")


class TestMedia(Asked):
    """Who carries a call's media, and what each side is told of it."""

    def test_nobody(self) -> None:
        """It passes us by; what is no call has none."""
        self.ask(Question("sip:bob@example.com"), TWO_SIDES)
        self.says("media passes us by: each side is told the other's addresses")
        self.ask(Question("sip:bob@example.com", "MESSAGE"), TWO_SIDES)
        self.assertNotIn("  media", self.text)

    def test_the_relay(self) -> None:
        """The addresses that the listeners show."""
        shown = TWO_SIDES.replace("port = 5060", 'port = 5060\nadvertise = "198.51.100.1"', 1)
        self.ask(Question("sip:bob@example.com"), "[media]\n" + shown)
        self.says("media anchored by relay", "caller is told 198.51.100.1", "callee is told 10.0.0.1")

    def test_an_engine(self) -> None:
        """Its own addresses, and what each side speaks; a route's word counts before [media]'s."""
        engine = '[[engine]]\nname = "rtp"\ninterfaces = {public = "out"}\ndaemons = [{address = "127.0.0.1:2223"}]\n'
        text = engine + TWO_SIDES.replace('name = "private"\n', 'name = "private"\nmedia_profile = "srtp"\n', 1)
        text = text.replace('send_from = "private"\n', 'send_from = "private"\nmedia = "rtp"\n', 1)
        self.ask(Question("sip:bob@example.com"), text)
        self.says(
            "media by rtp",
            "media anchored by rtp",
            "caller is told an IPv4 address of rtp's interface out",
            "callee is told an IPv4 address of rtp's own choice, as srtp",
        )

    def test_script(self) -> None:
        """What it says of media, also of an engine that is not there."""
        for name, said in (
            ("relay", "media anchored by relay caller is told 192.0.2.1 callee is told 10.0.0.1"),
            ("x", "answered 500: no media engine has the name x; there are: auto, none, relay"),
        ):
            script = f"""
from b2bua.policy.options import Options
from b2bua.policy.routing import Go
def route(request, listeners):
    return Go("sip:10.0.0.9", "private-udp", options=Options(media={name!r}))
"""
            self.ask(Question("sip:bob@example.com"), 'policy = "policy.py"\n' + TWO_SIDES, {"policy.py": script})
            self.says(said)


class TestBeforePolicy(Asked):
    """What is decided before any rule is asked."""

    def test_our_own_answer(self) -> None:
        """OPTIONS to ourselves is answered by us (RFC 3261 11.2)."""
        explanation = self.ask(Question("sip:192.0.2.1", "OPTIONS"))
        self.assertEqual((explanation.status, explanation.rules), (200, []))

    def test_refusals(self) -> None:
        """What the hall refuses is explained with its words."""
        for question, status, why in (
            (Question("sip:bob@x", "BYE"), 481, "BYE outside a dialog"),
            (Question("sip:bob@x", headers=["Require: what-ever"]), 420, "a required extension"),
            (Question("sip:bob@x", headers=["Max-Forwards: 0"]), 483, "Max-Forwards is used up"),
            (Question("sip:bob@x", headers=["Require: <"]), 400, "an option tag that is not a token"),
        ):
            explanation = self.ask(question)
            self.assertEqual(explanation.status, status)
            self.assertIn(why, explanation.why)
            self.assertEqual((explanation.rules, explanation.hops), ([], []))

    def test_broken(self) -> None:
        """What breaks a rule of SIP's is answered with that rule."""
        explanation = self.ask(Question("sip:bob@example.com", headers=["Max-Forwards: 256"]))
        self.assertEqual(explanation.status, 400)
        self.says("answered 400:", "RFC 3261")
        self.assertEqual(self.ask(Question("http://example.com/")).status, 416)

    def test_not_routed(self) -> None:
        """ACK and CANCEL go where their INVITE went."""
        for method in ("ACK", "CANCEL"):
            self.ask(Question("sip:bob@example.com", method))
            self.says(f"{method} is not routed: it goes where its INVITE went")


class TestOurFaults(Asked):
    """A fault of ours reaches whoever asked, who would wait for ever otherwise."""

    def test_fault(self) -> None:
        """At once, or after a name was looked up."""
        for delay in (0.0, 0.1):
            world = World(BY_RULES, dns="pbx.example A 10.0.0.31")
            world.dns_delay = delay
            question = Question("sip:bob@example.com", headers=["X-Account: 7"])
            with patch.object(Hall, "far_leg", side_effect=LookupError("ours")):
                asked = explain(world.configuration, world.switchboard, question)
                world.wait(3)
            self.failureResultOf(asked, LookupError)


class TestScript(Asked):
    """The policy script is asked as it would be."""

    def ask_script(self, user: str, headers: Sequence[str] = ()) -> Explanation:
        """With the script above."""
        return self.ask(Question(f"sip:{user}@example.com", headers=headers), WITH_SCRIPT, {"policy.py": SCRIPT})

    def test_answers(self) -> None:
        """What it says is there; the rules only where it says nothing."""
        self.assertEqual(self.ask_script("no").status, 488)
        self.says("policy.py says: refused with 488")
        self.assertEqual(self.ask_script("no").rules, [])
        self.assertEqual(self.ask_script("slow").hops[0].send_from, "private-udp")
        self.says("policy.py says: to sip:10.0.0.9 by private-udp")
        self.ask_script("77")
        self.says("policy.py says nothing: the rules decide", "fits numbers")

    def test_exceptions(self) -> None:
        """One that raises is told with what it raises, escaped: 500 for that request."""
        self.assertEqual(self.ask_script("broken").status, 500)
        self.says("fails: ZeroDivisionError", "It is answered 500: the policy script failed")
        self.assertEqual(self.ask_script("late").status, 500)
        self.says("fails: LookupError: no such\\x1b[2J customer")
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
