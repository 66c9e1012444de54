"""The leak guard at its post, in each mode: what leaves, what the near side hears, and that nothing hangs (S42).

The Subject is a caller's own words and crosses as it is: what a phone writes there is the leak.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.leak_guard import BUNDLE, COUNTED, OTHERS, LeakGuard
from b2bua.net.wheel import Wheel
from b2bua.policy.guard import Mode, Wall
from b2bua.sip.foreign import NOTHING, Foreign, Known
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Headers, Request, Response, parse
from tests.world import TWO_SIDES, Journal, Party, World

URI = "sip:bob@biloxi.example"
ALICES: Headers = {"Subject": ["call me at 192.0.2.20"]}
BOBS: Headers = {"Subject": ["I am at 10.0.0.20"]}
OWN_SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"


def world(mode: str) -> World:
    """Both zones in one mode."""
    return World(TWO_SIDES.replace('leaks = "refuse"', f'leaks = "{mode}"'))


def last(phone: Party) -> Request | Response:
    """What a phone got last."""
    return parse(phone.bytes_in[-1])


class Guard(SynchronousTestCase):
    """What is common."""

    def lines(self, world: World) -> list[str]:
        """What the journal says of leaks."""
        return [line for line in world.journal.lines if line.startswith("leak")]

    def counted(self, world: World) -> dict[tuple[str, str, str, str], int]:
        """The guard's numbers."""
        assert world.switchboard.guard is not None
        return dict(world.switchboard.guard.counts)


class Modes(Guard):
    """S42: count, log, redact, refuse."""

    def test_count(self) -> None:
        """It goes as it is, and only the number tells."""
        here = world("count")
        here.alice.invite(URI, headers=ALICES)
        here.settle()
        self.assertEqual(last(here.bob).headers["Subject"], ALICES["Subject"])
        self.assertEqual(self.counted(here), {("private", "Subject", "address", "10.0.0.20"): 1})
        self.assertEqual(self.lines(here), [])

    def test_log(self) -> None:
        """It goes as it is, and one line says so; that is so where nothing is configured."""
        for here in (world("log"), World(TWO_SIDES.replace('leaks = "refuse"\n', ""))):
            here.alice.invite(URI, headers=ALICES)
            here.settle()
            self.assertEqual(last(here.bob).headers["Subject"], ALICES["Subject"])
            self.assertEqual(self.lines(here), ["leak to 10.0.0.20: address in Subject of INVITE: sent as it is"])

    def test_redact(self) -> None:
        """It goes without it, also when it goes again."""
        here = world("redact")
        here.bob.mute = True
        here.alice.invite(URI, headers={"Subject": ["192.0.2.20 or 192.0.2.1"]})
        here.wait(0.7)
        here.bob.mute = False
        here.wait(1.0)
        self.assertEqual(last(here.bob).headers["Subject"], ["10.0.0.1 or 10.0.0.1"])
        self.assertEqual(self.counted(here), {("private", "Subject", "address", "10.0.0.20"): 2})
        self.assertEqual(
            self.lines(here), ["leak to 10.0.0.20: address in Subject of INVITE: sent without it (and 1 more in it)"]
        )
        here.bob.says(486, headers=BOBS)
        here.settle()
        self.assertEqual(last(here.alice).headers["Subject"], ["I am at 192.0.2.1"])
        here.quiet()

    def test_refuse_a_request(self) -> None:
        """It does not go, and who sent it gets a 500 that says nothing."""
        here = World()
        here.alice.invite(URI, headers=ALICES)
        here.ladder("alice> INVITE, alice< 100 INVITE, alice< 500 INVITE, alice> ACK")
        self.assertEqual(self.lines(here), ["leak to 10.0.0.20: address in Subject of INVITE: not sent"])
        here.alice.ask("MESSAGE", URI, headers=ALICES)
        here.ladder("alice> MESSAGE, alice< 500 MESSAGE")
        here.quiet()

    def test_refuse_an_answer(self) -> None:
        """A 500 of ours in its place; a call whose answer cannot cross ends on the far side too."""
        here = World()
        here.alice.invite(URI)
        here.bob.says(486, headers=BOBS)
        here.settle()
        self.assertEqual(last(here.alice).start_line, "SIP/2.0 500 Server Internal Error")
        here.forget()
        here.alice.invite(URI)
        here.forget()
        here.bob.says(200, headers=BOBS)
        here.settle()
        self.assertNotIn(b"10.0.0.20", b"".join(here.alice.bytes_in))
        self.assertIn("bob< BYE", here.story)
        self.assertIn("alice< 500 INVITE", here.story)
        self.assertNotIn("alice< 200 INVITE", here.story)
        here.bob.says(200)
        here.quiet()

    def test_refuse_ringing(self) -> None:
        """A provisional response may be missed: the call goes on without it."""
        here = World()
        here.alice.invite(URI)
        here.bob.says(180, headers=BOBS)
        here.bob.says(200)
        here.ladder(
            "alice> INVITE, alice< 100 INVITE, bob< INVITE, bob> 180 INVITE, bob> 200 INVITE",
            "bob< ACK, alice< 200 INVITE, alice> ACK",
        )


class InACall(Guard):
    """Where a call is up."""

    def test_requests(self) -> None:
        """A request is refused, and the call stays."""
        here = World()
        near, far = here.call()
        for method in ("INFO", "INVITE"):
            near.ask(method, headers=ALICES)
            here.ladder(f"alice> {method}{', alice< 100 INVITE' if method == 'INVITE' else ''}, alice< 500 {method}"
                        f"{', alice> ACK' if method == 'INVITE' else ''}")  # fmt: skip
            far.ask(method, headers=BOBS)
            here.ladder(f"bob> {method}{', bob< 100 INVITE' if method == 'INVITE' else ''}, bob< 500 {method}"
                        f"{', bob> ACK' if method == 'INVITE' else ''}")  # fmt: skip
        self.assertEqual([call.phase.value for call in here.hall.book], ["answered"])

    def test_what_is_never_refused(self) -> None:
        """BYE and its answer cross without what leaks: a call that cannot be ended is worse."""
        here = World()
        near, _ = here.call()
        near.ask("BYE", headers=ALICES)
        here.bob.says(200, headers=BOBS)
        here.ladder("alice> BYE, bob< BYE, bob> 200 BYE, alice< 200 BYE")
        self.assertEqual(last(here.bob).headers["Subject"], ["call me at 10.0.0.1"])
        self.assertEqual(last(here.alice).headers["Subject"], ["I am at 192.0.2.1"])
        here.quiet()

    def test_the_answer_in_an_ack(self) -> None:
        """An ACK goes too, its body redacted and its length right."""
        here = World()
        late = here.alice.invite(URI, body=b"")
        late.sdp_for = lambda offer: f"{OWN_SDP}a=x-at:192.0.2.20\r\n".encode()  # type: ignore[method-assign]
        here.bob.says(200)
        here.settle()
        ack = last(here.bob)
        self.assertEqual(ack.start_line.split()[0], "ACK")
        self.assertIn(b"c=IN IP4 192.0.2.20\r\n", ack.body)  # media goes past us (S45)
        self.assertTrue(ack.body.endswith(b"a=x-at:10.0.0.1\r\n"), ack.body)
        self.assertIsNone(ack.fault)

    def test_ids(self) -> None:
        """The other leg's Call-ID, both its tags, its Contact's users and the branch: none gets across."""
        here = world("count")
        near, far = here.call()
        sent = parse(here.alice.bytes_out[0])
        assert isinstance(sent, Request) and sent.contact is not None
        theirs = parse(here.bob.bytes_in[0])
        for word, kind in (
            (near.call_id, "Call-ID"),
            (near.local_tag, "tag"),
            (near.remote_tag, "tag"),
            (parse(here.alice.bytes_in[-1]).first("Contact").partition(":")[2].partition("@")[0], "user"),
            ("atlanta.example", ""),
        ):
            assert here.switchboard.guard is not None
            here.switchboard.guard.counts.clear()
            near.ask("INFO", headers={"Subject": [f"it is {word}"]})
            here.bob.says(200)
            here.settle()
            wanted = {("private", "Subject", kind, "10.0.0.20"): 1} if kind else {}
            self.assertEqual(self.counted(here), wanted, word)
        far.ask("INFO", headers={"Subject": [theirs.call_id]})
        here.settle()
        self.assertEqual(self.counted(here), {("public", "Subject", "Call-ID", "192.0.2.20"): 1})

    def test_the_branch_and_the_path(self) -> None:
        """What stood in the Vias that a request came with."""
        here = world("count")
        put = here.alice.put

        def told(data: bytes, flow: Flow) -> None:
            more = b"Via: SIP/2.0/UDP edge.atlanta.example;branch=z9hG4bKedge1;received=198.51.100.9\r\n"
            put(data.replace(b"\r\nMax-Forwards", b"\r\n" + more + b"Max-Forwards", 1), flow)

        here.alice._send = told
        for text, kind in (("edge.atlanta.example", "host"), ("z9hG4bKedge1", "branch"), ("198.51.100.9", "address")):
            here.alice.ask("MESSAGE", URI, headers={"Subject": [f"by {text}"]})
            here.bob.says(200)
            self.assertEqual(self.counted(here).pop(("private", "Subject", kind, "10.0.0.20")), 1, text)

    def test_a_peers_route_and_maddr(self) -> None:
        """The proxies that a peer named, where its Contact really is, and its user there."""
        here = world("count")
        here.alice.contact = "<sip:alices-desk-7@192.0.2.20;maddr=192.0.2.99>"
        here.alice.headers["Record-Route"] = ["<sip:192.0.2.20;lr>, <sip:edge.atlanta.example;lr>"]
        here.alice.address = "<sip:alice@atlanta.example>"
        for text, kind in (
            ("edge.atlanta.example", "host"),
            ("alices-desk-7", "user"),
            ("192.0.2.99", "address"),
            ("home.atlanta.example", "host"),
        ):
            here.alice.ask("INVITE", URI, headers={"Subject": [f"by {text}"]})
            here.bob.says(486)
            here.settle()
            self.assertEqual(self.counted(here).pop(("private", "Subject", kind, "10.0.0.20")), 1, text)
            here.switchboard.guard.counts.clear()  # type: ignore[union-attr]


class Innocent(Guard):
    """What the guard leaves alone."""

    def test_one_zone(self) -> None:
        """There is nothing to guard."""
        one = TWO_SIDES.replace('zone = "private"', 'zone = "public"').replace('send_from = "private"', "")
        here = World(
            one.replace('[[zone]]\nname = "private"\nleaks = "refuse"\n', "").replace('"outwards"\nzone', '"o"\nzone')
        )
        self.assertIsNone(here.switchboard.guard)

    def test_kept_by_the_operator(self) -> None:
        """A header that [[hiding]] keeps crosses as it is, whatever it says."""
        kept = '[[hiding]]\nfrom = "public"\nto = "private"\nkeep = ["X-Account"]\n'
        here = World(TWO_SIDES + kept)
        here.alice.invite(URI, headers={"X-Account": ["at 192.0.2.20"]})
        here.settle()
        self.assertEqual(last(here.bob).headers["x-account"], ["at 192.0.2.20"])
        self.assertEqual(self.counted(here), {})

    def test_hosts_that_are_shown(self) -> None:
        """Where keep_hosts says so, From shows where the caller is."""
        shown = TWO_SIDES.replace('name = "private"\n', 'name = "private"\nkeep_hosts = ["From", "To"]\n', 1)
        here = World(shown)
        here.call(uri="sip:bob@192.0.2.1")
        self.assertEqual(self.counted(here), {})
        self.assertIn(b"From: <sip:alice@192.0.2.20>", here.bob.bytes_in[0])

    def test_what_the_peer_said_itself(self) -> None:
        """Who dials an address of the other zone hears it again in every answer."""
        here = World()
        near, _ = here.call(uri="sip:bob@10.0.0.20")
        near.bye()
        here.bob.says(200)
        here.settle()
        self.assertEqual(self.counted(here), {})


class Says:
    """A leg whose peer has said nothing yet."""

    said: tuple[object, ...] = ()

    def __init__(self, foreign: Foreign) -> None:
        self.foreign = foreign


class Counting(SynchronousTestCase):
    """The numbers."""

    def test_they_are_bounded(self) -> None:
        """A thousand places are counted apart, what comes then under one name."""
        at = Listener("outside", "public", "udp", "192.0.2.1", 5060)
        wall = Wall("public", ["192.0.2.1"], ["10.0.0.1"])
        guard = LeakGuard({"public": wall}, {"public": "count"}, {}, lambda zone, word: False, Journal())
        for number in range(COUNTED + 2):
            request = Request("BYE", "sip:a@b", {"Subject": ["10.0.0.1"], "Max-Forwards": ["70"]})
            request.speaker = Says(Foreign(Known({}), "private"))
            data = bytes(request)
            self.assertEqual(guard.request(request, data, Flow(at, f"192.0.2.{number}", 5060)), data)
        self.assertEqual(len(guard.counts), COUNTED + 1)
        self.assertEqual(guard.counts["public", OTHERS, "address", OTHERS], 2)

    def test_a_look_that_waits(self) -> None:
        """Where the message goes as it is, many are looked at together; by the Vias that had crossed when it went."""
        at = Listener("outside", "public", "udp", "192.0.2.1", 5060)
        inside = Listener("inside", "private", "udp", "10.0.0.1", 5060)
        walls = {"public": Wall("public", ["192.0.2.1"], ["10.0.0.1"]), "private": Wall("private", ["10.0.0.1"], [])}
        journal, clock = Journal(), Clock()
        modes: dict[str, Mode] = {"public": "log", "private": "refuse"}
        guard = LeakGuard(walls, modes, {}, lambda zone, word: False, journal)
        guard.later = Wheel(clock).after
        foreign = Foreign(Known({b"secret-word": "tag"}), "private", ["SIP/2.0/UDP x.y;branch=z9hG4bKfirst-of-them"])
        via = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours"
        for number, subject in enumerate(("nothing", "z9hG4bKfirst-of-them", "secret-word")):
            request = Request("INFO", "sip:a@b", {"Via": [via], "Subject": [subject]})
            request.speaker = Says(foreign)
            data = bytes(request)
            self.assertEqual(guard.request(request, data, Flow(at, "192.0.2.9", 5060)), data)
            if number:
                answer = Response(200, "OK", {"Via": [via], "Subject": [subject]})
                answer.speaker = Says(foreign)
                self.assertEqual(guard.response(request, answer, Flow(at, "192.0.2.9", 5060)), (200, bytes(answer)))
        foreign.vias = ["SIP/2.0/UDP x.y;branch=z9hG4bKsecond-of-them"]
        refused = Request("INFO", "sip:a@b", {"Via": [via], "Subject": ["secret-word"]})
        refused.speaker = Says(foreign)
        self.assertEqual(guard.request(refused, bytes(refused), Flow(inside, "10.0.0.9", 5060)), b"")
        self.assertEqual(guard.counts.total(), 1)
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        clock.advance(2 * BUNDLE)
        self.assertEqual(guard.counts["public", "Subject", "branch", "192.0.2.9"], 1)
        self.assertEqual(guard.counts["public", "Subject", "tag", "192.0.2.9"], 1)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_tag_that_is_the_leak(self) -> None:
        """The 500 in place of a response does not say it either."""
        at = Listener("outside", "public", "udp", "192.0.2.1", 5060)
        wall = Wall("public", ["192.0.2.1"], ["10.0.0.1"])
        guard = LeakGuard({"public": wall}, {"public": "refuse"}, {}, lambda zone, word: False, Journal())
        of: Headers = {"Via": ["SIP/2.0/UDP x.y"], "From": ["<sip:a@b>;tag=a"], "To": ["<sip:b@c>"]}
        of |= {"Call-ID": ["one"], "CSeq": ["1 INFO"]}
        answer = Response(200, "OK", {**of, "To": ["<sip:b@c>;tag=theirs-and-secret"]})
        answer.speaker = Says(Foreign(Known({b"theirs-and-secret": "tag"}), "private"))
        status, data = guard.response(Request("INFO", "sip:b@c", of), answer, Flow(at, "192.0.2.9", 5060))
        self.assertEqual(status, 500)
        self.assertIn(b"To: <sip:b@c>;tag=xxxxxxxxxxxxxxxxx\r\n", data)
        plain = Response(200, "OK", of)
        plain.speaker = Says(NOTHING)
        self.assertEqual(guard.response(Request("INFO", "sip:b@c", of), plain, Flow(at, "x", 1)), (200, bytes(plain)))
