"""One request outside any dialog, carried across: MESSAGE, OPTIONS, PUBLISH, INFO, and any other."""

from __future__ import annotations

from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.hall import Hall
from b2bua.sip.message import Request
from tests.world import TWO_SIDES, World

URI = "sip:bob@biloxi.example"


class Passing(SynchronousTestCase):
    """Statefully, with ids of its own on each side."""

    def test_every_method(self) -> None:
        """Request and final answer cross, with their bodies; provisional ones do not (RFC 4320)."""
        for method in ("MESSAGE", "OPTIONS", "PUBLISH", "INFO", "FROB"):
            world = World()
            sent = world.alice.ask(method, URI, None, b"hello", {"Content-Type": ["text/plain"]})
            world.settle()
            world.bob.says(100)
            request = world.bob.says(202, b"dear", {"Content-Type": ["text/plain"]})
            world.ladder(f"alice> {method}, bob< {method}, bob> 100 {method}, bob> 202 {method}, alice< 202 {method}")
            self.assertEqual((request.body, request.uri_text), (b"hello", "sip:bob@10.0.0.20;transport=udp"))
            self.assertEqual(sent.responses[0].body, b"dear")
            self.assertNotEqual(request.call_id, sent.request.call_id)
            self.assertNotIn("Contact", request.headers)
            world.quiet()

    def test_options_for_somebody(self) -> None:
        """OPTIONS with a user, or for another host, is not for us."""
        for uri in ("sip:bob@192.0.2.1", "sip:biloxi.example"):
            world = World()
            world.alice.ask("OPTIONS", uri)
            world.settle()
            self.assertEqual(len(world.bob.open), 1)

    def test_again(self) -> None:
        """The same request again has the same answer again; it crosses once."""
        world = World()
        world.wires.lose("200 MESSAGE", world.alice, times=3)
        sent = world.alice.ask("MESSAGE", URI)
        world.bob.says(200)
        world.wait(5)
        self.assertEqual(len(sent.responses), 1)
        self.assertEqual(world.story.count("bob< MESSAGE"), 1)
        self.assertGreater(world.story.count("alice> MESSAGE"), 3)
        world.quiet()

    def test_from_target_to_target(self) -> None:
        """503, ICMP: the next target; each attempt with ids of its own (S30)."""
        text = TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"', '["sip:10.0.0.21", "sip:10.0.0.22", "sip:10.0.0.20"]')
        world = World(text)
        one, two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")
        two.refusing = True
        sent = world.alice.ask("MESSAGE", URI)
        first = one.says(503)
        second = world.bob.says(200)
        world.settle()
        self.assertEqual(sent.status, 200)
        self.assertNotEqual((first.call_id, first.from_tag), (second.call_id, second.from_tag))
        sent = world.alice.ask("MESSAGE", URI)
        one.says(503)
        world.bob.says(503)
        world.settle()
        self.assertEqual(sent.status, 500)
        self.assertIn("refused MESSAGE with 500: the next hop answered 503", world.journal.lines)
        world.quiet()

    def test_nobody_answers(self) -> None:
        """408 in the end; nothing is left."""
        world = World()
        world.bob.mute = True
        world.alice.ask("MESSAGE", URI)
        world.wait(33)
        self.assertEqual(world.story[-1], "alice< 408 MESSAGE")
        world.quiet()

    def test_nobody_answers_and_there_is_another(self) -> None:
        """64·T1 after it came the sender has given it up: it is not delivered elsewhere any more."""
        world = World(TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"', '["sip:10.0.0.21", "sip:10.0.0.20"]'))
        world.phone("one", "10.0.0.21").mute = True
        world.alice.ask("MESSAGE", URI)
        world.wait(33)
        self.assertEqual(world.bob.bytes_in, [])
        self.assertEqual(world.story[-1], "alice< 408 MESSAGE")
        world.quiet()

    def test_answers_that_go_on(self) -> None:
        """S30: `go_on` counts here too, parallel hunting does not: nothing is delivered twice (RFC 4320)."""
        to = 'to = ["sip:10.0.0.21", "sip:10.0.0.20"]\nhunt = "parallel"\ngo_on = [404]'
        world = World(TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"', to))
        one = world.phone("one", "10.0.0.21")
        sent = world.alice.ask("MESSAGE", URI)
        world.settle()
        self.assertEqual(world.bob.bytes_in, [])
        one.says(404)
        world.bob.says(202)
        world.settle()
        self.assertEqual(sent.status, 202)
        sent = world.alice.ask("MESSAGE", URI)
        one.says(486)
        world.settle()
        self.assertEqual((sent.status, world.bob.open), (486, []))
        sent = world.alice.ask("MESSAGE", URI)
        one.says(603)
        world.settle()
        self.assertEqual(sent.status, 603)
        world.quiet()

    def test_a_target_that_takes_too_long(self) -> None:
        """`target_timeout`: the next one; what the first says later is for nobody."""
        for late in (200, 503, 0):
            to = 'to = ["sip:10.0.0.21", "sip:10.0.0.20"]\ntarget_timeout = 3'
            world = World(TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"', to))
            one = world.phone("one", "10.0.0.21")
            sent = world.alice.ask("MESSAGE", URI)
            world.wait(3)
            if late:
                one.says(late)
            self.assertEqual(sent.status, 0)
            world.bob.says(404)
            world.settle()
            self.assertEqual(sent.status, 404)
            world.quiet()

    def test_too_late_to_look_further(self) -> None:
        """A name that is found after the target had its time: nothing is sent there."""
        to = 'to = ["sip:slow.example:5060", "sip:10.0.0.20"]\ntarget_timeout = 1'
        world = World(TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"', to), dns="slow.example A 10.0.0.21")
        one = world.phone("one", "10.0.0.21")
        world.dns_delay = 1.5
        sent = world.alice.ask("MESSAGE", URI)
        world.wait(1)
        world.bob.says(200)
        world.wait(2)
        self.assertEqual((sent.status, one.bytes_in), (200, []))

    def test_a_fault_of_ours(self) -> None:
        """500, also behind the DNS; the journal has what was raised."""
        for delay in (0.0, 0.1):
            text = TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"', '"sip:pbx.example;transport=udp"')
            world = World(text, dns="pbx.example A 10.0.0.20")
            world.dns_delay = delay
            with patch.object(Hall, "far_leg", side_effect=LookupError("ours")):
                sent = world.alice.ask("MESSAGE", URI)
                world.wait(1)
            self.assertEqual((sent.status, sent.responses[-1].reason), (500, "Server Internal Error"))
            self.assertIn("crashed: ours", world.journal.lines)
            world.quiet()

    def test_what_is_answered(self) -> None:
        """Failures cross, 3xx as 480, a 2xx that cannot be read as 502."""
        world = World()
        for said, heard in ((404, 404), (302, 480), (603, 603)):
            sent = world.alice.ask("MESSAGE", URI)
            world.bob.says(said, headers={"Contact": ["<sip:10.0.0.99>"]})
            world.settle()
            self.assertEqual(sent.status, heard)
            self.assertNotIn("Contact", sent.responses[-1].headers)
        sent = world.alice.ask("OPTIONS", URI)
        world.bob.says(200, b"v=0\r\nnonsense", {"Content-Type": ["application/sdp"]})
        world.settle()
        self.assertEqual(sent.status, 502)

    def test_bodies_of_every_type(self) -> None:
        """A body crosses with what describes it, octet by octet; SDP in it becomes the leg's own (S44)."""
        world = World()
        parts = (
            b"--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\no=- 7 7 IN IP4 192.0.2.20\r\ns=alice\r\nt=0 0\r\n"
            b"\r\n--x\r\nContent-Type: application/isup\r\n\r\n\x00\x01\xff\r\n--x--\r\n"
        )
        headers = {
            "Content-Type": ["multipart/mixed;boundary=x"], "Content-Disposition": ["session;handling=optional"],
            "Content-Language": ["en"], "MIME-Version": ["1.0"], "Content-ID": ["<1@192.0.2.20>"],
        }  # fmt: skip
        world.alice.ask("MESSAGE", URI, None, parts, headers)
        request = world.bob.says(200)
        self.assertIn(b"\x00\x01\xff", request.body)
        self.assertNotIn(b"192.0.2.20", request.body)
        self.assertNotIn("Content-ID", request.headers)
        self.assertRegex(request.headers["Content-Type"][0], "^multipart/mixed;boundary=.{10,}$")
        for name in ("Content-Disposition", "Content-Language", "MIME-Version"):
            self.assertEqual(request.headers[name], headers[name])
        binary = bytes(range(256))
        world.alice.ask("MESSAGE", URI, None, binary, {"Content-Type": ["application/octet-stream"]})
        self.assertEqual(world.bob.says(200).body, binary)

    def test_cancel_of_it(self) -> None:
        """RFC 3261 9.2: no effect on a request other than INVITE."""
        world = World()
        sent = world.alice.ask("MESSAGE", URI)
        world.settle()
        headers = {name: sent.request.headers[name] for name in ("Via", "Max-Forwards", "From", "To", "Call-ID")}
        cancel = Request("CANCEL", sent.request.uri_text, {**headers, "CSeq": [f"{sent.request.cseq[0]} CANCEL"]})
        world.alice.say(bytes(cancel))
        world.bob.says(200)
        world.settle()
        self.assertEqual(sent.status, 200)
