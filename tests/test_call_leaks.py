"""Hostile values in every header of both directions: nothing of one side is in the other side's octets (S35, S42).

Each phone puts what must not cross into every header that it sends, in one shape after another, while a scenario runs
that has every kind of message. Then the octets that each got are searched for what is the other's: addresses in any
spelling, host names, Call-IDs, tags, branches, Contact users, product names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.news import LINGER
from b2bua.policy.hiding import CROSSINGS
from b2bua.sip.headers import TABLE, Verdict
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request, Response, parse
from tests.world import TWO_SIDES, Party, World

# What crosses as it is, because it is one end's word to the other: free text that an operator may drop (S35).
FREE_TEXT = frozenset(
    """
    Accept Accept-Contact Accept-Encoding Accept-Language Allow-Events Answer-Mode Authentication-Info Authorization
    Content-Disposition Content-Encoding Content-Language Content-Type Info-Package Priority
    Proxy-Authorization Reject-Contact Request-Disposition SIP-ETag SIP-If-Match Subject
    Suppress-If-Match User-to-User
    """.split()
)
# Crosses with its package's own parameters, which may say anything, but not with a dialog's ids (test_hiding); so does
# a challenge, but for its domain.
NEARLY_FREE = frozenset({"Event", "Proxy-Authenticate", "Recv-Info", "WWW-Authenticate"})
# What a phone cannot fill with anything: the request would be refused, or is the message's own frame.
FRAME = frozenset("Call-ID Contact Content-Length CSeq From Max-Forwards Record-Route Route To Via".split())
# Refused in a request that has anything else in them than numbers, or tags that we know: see test_call_refusals; or
# that names a dialog of nobody's: see test_call_replaces.
REFUSED = frozenset({"Expires", "Join", "Min-SE", "Proxy-Require", "Replaces", "Require", "Session-Expires"})

UDP_ONLY = re.sub(r'\[\[listener\]\]\nname = "[a-z]+-tcp"\n(?:[a-z]+ = .*\n)+', "", TWO_SIDES)
SIX = UDP_ONLY.replace("192.0.2.1", "2001:db8:a::1").replace("10.0.0.1", "fd00:b::1")
SIX = SIX.replace("sip:10.0.0.20;", "sip:[fd00:b::20];").replace("sip:192.0.2.20;", "sip:[2001:db8:a::20];")


@dataclass(frozen=True)
class Side:
    """What must not cross from one side."""

    host: str
    address: str
    hidden: str  # another address of that network
    hidden6: str
    product: str

    def words(self) -> list[str]:
        """What is searched for as text."""
        return [self.host, self.product]


NEAR = Side("atlanta.example", "192.0.2.20", "192.0.2.77", "2001:db8:a::77", "AlicePhone")
FAR = Side("biloxi.example", "10.0.0.20", "10.9.9.9", "fd00:b::77", "BobPhone")
NEAR6 = Side("atlanta.example", "2001:db8:a::20", "192.0.2.77", "2001:0DB8:000A:0000:0000:0000:0000:0077", "AlicePhone")
FAR6 = Side("biloxi.example", "fd00:b::20", "10.9.9.9", "FD00:B:0:0:0:0:0:77", "BobPhone")

Shape = Callable[[Side], str]

SHAPES: tuple[Shape, ...] = (
    lambda side: f"{side.host}",
    lambda side: f'"{side.host}" <sip:u@{side.hidden}:5070;x={side.product}.{side.host}>;y={side.hidden}',
    lambda side: f'<sips:x@[{side.hidden6}]>;cause=3;text="{side.hidden}"',
    lambda side: f'SIP;cause=200;text="{side.host} {side.hidden}", X.{side.host};cause=7, Q.850;cause={side.hidden}',
    lambda side: f'399 {side.host}:5060 "at {side.hidden}", 300 [{side.hidden6}] "{side.product}"',
    lambda side: f"30 (at {side.host});duration={side.hidden};x={side.product}",
    lambda side: f"timer, {side.host}, INVITE, {side.hidden}",
    lambda side: f"90;refresher={side.host};x={side.hidden}",
    lambda side: f"dialog;call-id=1@{side.host};from-tag={side.product};to-tag={side.hidden}",
    lambda side: f"<urn:alert:service:normal>;x={side.host}, <urn:alert:source:{side.hidden}>, <http://{side.host}/a>",
    lambda side: f"id;{side.host}",
    lambda side: f"1;{side.host}",
    lambda side: f"<tel:7042;phone-context={side.host}>, <sip:u@{side.host}?Replaces=1%40{side.host}>",
    lambda side: f"a.b.c;info=<https://{side.host}/cert>;alg=ES256;ppt=shaken",
    lambda side: f"1@{side.host};from-tag={side.product};to-tag={side.hidden}",
    lambda side: f"\x85{side.host}\u2028\x9b2J",
)

_FOUR = re.compile(rb"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])")
_SIX = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:[0-9.]{7,15})?")
_WORDS = re.compile(rb"[0-9A-Za-z]{9,}")
_IDS = (rb"tag=([^;,\s>]+)", rb"branch=([^;,\s]+)", rb"Call-ID: ?([^\r]+)", rb"Contact: ?<sips?:([^@>]+)@")


def addresses(data: bytes) -> set[IPv4Address | IPv6Address]:
    """Every address in some octets, in whatever spelling."""
    found: set[IPv4Address | IPv6Address] = set()
    for text in [*_FOUR.findall(data), *_SIX.findall(data)]:
        try:
            found.add(ip_address(text.decode()))
        except ValueError:
            continue
    return found


def ids(messages: list[bytes]) -> set[bytes]:
    """Every tag, branch, Call-ID and Contact user in some messages."""
    return {found for data in messages for pattern in _IDS for found in re.findall(pattern, data, re.I)}


def hostile(side: Side, shape: Shape) -> Headers:
    """Every header of the table, and some that nobody knows, with what must not cross."""
    names = {row.name for row in TABLE} - FREE_TEXT - NEARLY_FREE - FRAME - REFUSED
    headers: Headers = {name: [shape(side)] for name in sorted(names)}
    headers |= {"X-Secret": [shape(side)], "P-Whatever": [shape(side)], "y": [shape(side)], "i2": [shape(side)]}
    headers |= {"User-Agent": [side.product], "Server": [f"{side.product}/9.1 ({side.host})"]}
    return headers


def sdp(side: Side) -> bytes:
    """A description that says everywhere but in c= where it comes from (media is not anchored, S45)."""
    return (
        f"v=0\r\no={side.product} 1 1 IN IP4 {side.hidden}\r\ns={side.host}\r\ni={side.hidden}\r\n"
        f"u=http://{side.host}/\r\ne=a@{side.host}\r\np=+1 {side.product}\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n"
        f"m=audio 40000 RTP/AVP 0\r\ni={side.host}\r\n"
    ).encode()


class Leaks(SynchronousTestCase):
    """The scenario, once for every shape, over IPv4 and over IPv6."""

    def test_every_header_is_thought_of(self) -> None:
        """A row that keeps free text is named here, so that nobody adds one without a thought."""
        kept = {row.name for row in TABLE if row.verdict is Verdict.KEEP and row.name not in CROSSINGS}
        self.assertEqual(kept, FREE_TEXT)

    def test_ipv4(self) -> None:
        """Both directions, every kind of message, every header, every shape."""
        for number, shape in enumerate(SHAPES):
            world = World(UDP_ONLY, seed=number)
            self.run_through(world, world.alice, world.bob, NEAR, FAR, shape)

    def test_ipv6(self) -> None:
        """The same with addresses that can be spelt in many ways."""
        for number, shape in enumerate(SHAPES):
            world = World(SIX, seed=number)
            world.phones.clear()
            alice, bob = world.phone("alice", "2001:db8:a::20"), world.phone("bob", "fd00:b::20")
            self.run_through(world, alice, bob, NEAR6, FAR6, shape)

    def test_the_search_finds_something(self) -> None:
        """It is a search that finds: what is kept for the operator does show."""
        override = '[[hiding]]\nfrom = "public"\nto = "private"\nkeep = ["X-Secret"]\n'
        world = World(UDP_ONLY + override)
        with self.assertRaisesRegex(AssertionError, "atlanta.example"):
            self.run_through(world, world.alice, world.bob, NEAR, FAR, SHAPES[0])

    def run_through(self, world: World, alice: Party, bob: Party, near: Side, far: Side, shape: Shape) -> None:
        """Everything that can be said, then the search."""
        for phone, side in ((alice, near), (bob, far)):
            self.disguise(phone, side, shape)
        self.scenario(world, alice, bob, near, far)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.search(alice, bob, near, far)
        self.search(bob, alice, far, near)
        world.wait(LINGER)
        world.quiet()

    def disguise(self, phone: Party, side: Side, shape: Shape) -> None:
        """From now on the phone says in every message where it is."""
        uri = f"[{side.address}]" if ":" in side.address else side.address
        phone.headers = hostile(side, shape)
        phone.address = f'"Name" <sip:{phone.user}@{side.host};maddr={side.hidden};x={side.host}>'
        phone.contact = f'<sip:{phone.user}@{uri}:5060;x={side.host}>;+sip.instance="{side.hidden}";q=0.5'
        phone.headers["Record-Route"] = [f'"{side.host}" <sip:{uri};lr;x={side.host}>;y={side.hidden}']
        put, receive = phone.put, phone.receive

        def heard(data: bytes, flow: Flow) -> None:  # its own Record-Route leads to itself: it is no proxy
            receive(re.sub(rb"Record-Route: [^\r]*\r\n", b"", data), flow)

        def told(data: bytes, flow: Flow) -> None:
            via = f"Via: SIP/2.0/UDP {side.host};branch=z9hG4bK{side.product};received={side.hidden}\r\n".encode()
            if data.startswith(b"SIP/2.0"):
                data = data.replace(b"\r\n", f" at {side.host} {side.hidden}\r\n".encode(), 1)
            else:
                data = data.replace(b"\r\nMax-Forwards", b"\r\n" + via + b"Max-Forwards", 1)
            put(data, flow)

        phone._send, phone.receive = told, heard  # type: ignore[method-assign]

    def scenario(self, world: World, alice: Party, bob: Party, near: Side, far: Side) -> None:
        """Every kind of message in both directions."""
        typed: Headers = {"Content-Type": ["application/sdp"]}
        uri = "sip:bob@atlanta.example"
        for method in ("MESSAGE", "OPTIONS", "PUBLISH", "FROB"):
            for status in (200, 302, 401, 404, 503, 603):
                alice.ask(method, uri)
                bob.says(status)
        world.settle()
        for status in (301, 407, 486, 500, 503, 600):
            alice.invite(uri, body=sdp(near))
            bob.says(183, sdp(far), typed)
            bob.says(status, sdp(far), typed)
            world.settle()
        cancelled = alice.invite(uri, body=sdp(near))
        bob.says(180)
        world.settle()
        self.cancel(alice, near)
        world.settle()
        bob.open.clear()
        self.assertEqual(cancelled.times("487 INVITE"), 1)
        late = alice.invite(uri, body=b"")
        late.sdp_for = lambda offer: sdp(near)  # type: ignore[method-assign]
        bob.says(200, sdp(far), typed)
        world.settle()
        late.bye()
        bob.says(200)
        talk = alice.invite(uri, body=sdp(near))
        bob.says(180)
        bob.says(200, sdp(far), typed)
        world.settle()
        for dialog, other, ours, theirs in ((talk, bob, near, far), (bob.talk, alice, far, near)):
            for method in ("INFO", "MESSAGE", "OPTIONS", "NOTIFY", "UPDATE", "FROB"):
                for status in (200, 404, 503):
                    dialog.ask(method)
                    other.says(status)
            for status in (200, 488):
                dialog.ask("INVITE", sdp(ours), typed)
                other.says(180)
                other.says(status, sdp(theirs), typed)
                world.settle()
            for wrong in ({"Max-Forwards": ["0"]}, {"Require": [f"x, {ours.host}"]}):
                dialog.ask("INFO", headers=wrong)
            dialog.cseq -= 1
            dialog.ask("INFO")
            dialog.cseq += 1
            for status in (202, 404):
                dialog.ask("REFER")
                world.settle()
                if other.open:  # of some shapes nothing is left that could be referred to
                    other.says(status)
        bob.talk.bye()
        alice.says(200)
        world.settle()
        self.assertEqual(talk.times("BYE"), 1)
        self.subscribe(world, alice, bob)

    def subscribe(self, world: World, alice: Party, bob: Party) -> None:
        """Subscriptions in both directions, what is said in them, and what of them fails."""
        short: Headers = {"Expires": ["60"]}
        for near, far, uri in ((alice, bob, "sip:bob@atlanta.example"), (bob, alice, "sip:alice@biloxi.example")):
            for status in (302, 401, 423, 489, 503):
                near.ask("SUBSCRIBE", uri, near.by_proxy(), headers={"Event": ["dialog"], **short})
                far.says(status)
                near.ask("REFER", uri, near.by_proxy(), headers={"Refer-To": ["<sip:carol@chicago.example>"]})
                far.says(status)
            talk = near.subscribe(uri, "dialog", 60)
            far.says(200, headers=short)
            world.settle()
            for state, status in (("active;expires=60", 200), ("pending", 500)):
                far.talk.notify("dialog", state)
                near.says(status)
            for seconds, status in ((60, 500), (0, 200)):
                talk.subscribe("dialog", seconds)
                far.says(status, headers=short)
                world.settle()
            for dialog in (talk, far.talk):
                dialog.ask("BYE")
            far.talk.notify("dialog", "terminated;reason=giveup")
            near.says(200)
            world.settle()

    def cancel(self, phone: Party, side: Side) -> None:
        """CANCEL with every header too."""
        sent = phone.talk.sent
        assert sent is not None
        of = sent.request.headers
        headers = {name: of[name] for name in ("Via", "Max-Forwards", "From", "To", "Call-ID")}
        headers |= {"CSeq": [f"{sent.request.cseq[0]} CANCEL"], **phone.headers}
        phone._send(bytes(Request("CANCEL", sent.request.uri_text, headers)), phone.by_proxy())

    def search(self, at: Party, of: Party, ours: Side, theirs: Side) -> None:
        """What one phone got has nothing of the other's."""
        secrets = {ip_address(each) for each in (theirs.address, theirs.hidden, theirs.hidden6, of.proxy.address)}
        named = ids([*of.bytes_in, *of.bytes_out]) | {f"z9hG4bK{theirs.product}".encode()}
        self.assertGreater(len(at.bytes_in), 60)
        for data in at.bytes_in:
            message = parse(data)
            what = data.decode("utf-8", "replace")
            self.assertTrue(isinstance(message, (Request, Response)) and message.fault is None, what)
            for word in theirs.words():
                self.assertNotIn(word.lower(), what.lower(), what)
            self.assertEqual(addresses(data) & secrets, set(), what)
            self.assertEqual((ids([data]) | set(_WORDS.findall(data))) & named, set(), what)
