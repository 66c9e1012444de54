"""RFC 4475 and RFC 5118: every torture message gets what it should, and the bridge carries a call afterwards.

Nothing malformed may come out on the far side: what comes is read by `tests.torture.sound`, which shares nothing with
the bridge's own parser, and by that parser.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog
from b2bua.sip.check import check_request
from b2bua.sip.message import Request, Response, parse
from b2bua.sip.stream import PING, PONG, Framer
from tests.carriage import Packet
from tests.torture import ENDS_THE_STREAM, TOO_LONG, TWO_ON_A_STREAM, Torture, messages, sound
from tests.wires import SDP, Conductor, joined, request, response
from tests.world import World

LATER = 40.0  # seconds: more than 64·T1, when what is cleaned up has been
MESSAGES = messages()
BY_NAME = {each.name: each for each in MESSAGES}


class Frontier:
    """The world of these tests. The far side does with what it is asked as `far` says."""

    def __init__(self, far: str = "silent") -> None:
        self.world = World()
        self.mallory = self.world.phone("mallory", "192.0.2.66")
        self.replies: list[bytes] = []
        self.world.wires.rules.append(self._to_mallory)
        self.world.bob.asked = {"silent": _silent, "refuse": _refuse, "accept": _accept}[far]

    def _to_mallory(self, packet: Packet) -> tuple[()] | None:
        """Answers go to the port of the Via's sent-by, which may be any."""
        if not packet.inward or packet.host != self.mallory.at.address:
            return None
        self.replies.append(packet.data)
        return ()

    def datagram(self, data: bytes) -> list[Response]:
        """Send one over UDP; the answers other than 100, less those to others that are repeated."""
        self.replies.clear()
        self.mallory.say(data)
        self.world.settle()
        return [each for each in self._answers(self.replies) if each.first("Call-ID").encode() in data]

    def stream(self, pieces: Iterable[bytes]) -> tuple[list[Response], Conductor]:
        """Send one over a new connection, in these pieces."""
        world = self.world
        listener = next(each for each in world.configuration.listeners if each.name == "public-tcp")
        stream = world.connections.accept(listener, self.mallory.at.address, 41000)
        assert stream is not None
        conductor = joined(stream, self.mallory.at.address, 41000)
        for piece in pieces:
            stream.dataReceived(piece)
        world.settle()
        return self._answers(Framer().feed(conductor.take())), conductor

    def _answers(self, replies: Iterable[bytes]) -> list[Response]:
        answers = []
        for data in replies:
            if data in (PING, PONG):
                continue
            sound(data, ours=False)
            answer = parse(data, stream=True)
            assert isinstance(answer, Response)
            if answer.status != 100:
                answers.append(answer)
        return answers

    def far(self) -> list[Request]:
        """The requests that came out on the far side since the last time, each of them sound."""
        requests = []
        arrived, self.world.bob.bytes_in[:] = list(self.world.bob.bytes_in), []
        for data in arrived:
            message = parse(data)
            if isinstance(message, Request):
                sound(data)
                check_request(message)
                requests.append(message)
        return requests

    def carry_call(self) -> None:
        """A call: INVITE, 180, 200, ACK, BYE."""
        world = self.world
        asked, world.bob.asked = world.bob.asked, lambda dialog, request: None
        near = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        far = world.bob.talk
        far.ring()
        far.answer()
        world.settle()
        assert near.up and far.up, "no call was carried"
        world.bob.asked = lambda dialog, request: dialog.respond(request, 200)
        near.bye()
        world.settle()
        assert near.over and far.over, "the call did not end"
        world.bob.asked = asked
        world.bob.bytes_in.clear()


def _silent(dialog: Dialog, request: Request) -> None:
    """Nobody answers."""


def _refuse(dialog: Dialog, request: Request) -> None:
    """A failure, and the ACK for it."""
    dialog.respond(request, 486)


def _accept(dialog: Dialog, request: Request) -> None:
    """A success; the ACK for it never comes, as the one who called was no phone."""
    dialog.respond(request, 200)


class Cases(SynchronousTestCase):
    """What is common."""

    def judge(self, case: Torture, answers: list[Response], far: list[Request], more: frozenset[str]) -> None:
        """Whether what became of a message is among what may."""
        accept = case.accept | more
        self.assertLessEqual(len({answer.status for answer in answers}), 1, case.name)
        if not answers and not far:
            self.assertIn("drop", accept, f"{case.name} got nothing")
        if far:
            self.assertIn("fwd", accept, f"{case.name} was bridged")
        elif answers:
            self.assertTrue(case.allows(answers[0].status), f"{case.name} got {answers[0].status}")


class TestData(SynchronousTestCase):
    """The messages are what they were."""

    def test_octets(self) -> None:
        """Each has the SHA-256 that the index says: no line end was changed on the way."""
        self.assertEqual(len(MESSAGES), 65)
        for case in MESSAGES:
            self.assertEqual(hashlib.sha256(case.data).hexdigest(), case.sha256, case.name)


class TestDatagrams(Cases):
    """Over UDP."""

    def one_by_one(self, far: str) -> None:
        """Each message in a world of its own, a call at once and a call 40 s later; in the end nothing is left."""
        for case in MESSAGES:
            frontier = Frontier(far)
            answers = frontier.datagram(case.data)
            if len(case.data) > 1000:
                frontier.world.wait(10.0)  # TCP is tried first and refused (S46)
            self.judge(case, answers, frontier.far(), frozenset())
            frontier.carry_call()
            frontier.world.wait(LATER)
            frontier.far()
            frontier.carry_call()
            frontier.world.wait(200.0)  # as long as a call may ring
            frontier.world.quiet()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_far_side_silent(self) -> None:
        """RFC 4475, RFC 5118: what is expected of each; nobody answers what is bridged."""
        self.one_by_one("silent")

    def test_far_side_refuses(self) -> None:
        """The same when the far side refuses what is bridged."""
        self.one_by_one("refuse")

    def test_far_side_accepts(self) -> None:
        """The same when the far side accepts what is bridged, and no ACK comes."""
        self.one_by_one("accept")

    def test_in_a_row(self) -> None:
        """All of them at once in one world; a call between any two, and 40 s later."""
        frontier = Frontier("refuse")
        for number, case in enumerate(MESSAGES):
            answers = frontier.datagram(case.made_unique(number))
            if len(case.data) > 1000:
                frontier.world.wait(10.0)
            self.judge(case, answers, frontier.far(), frozenset())
            frontier.carry_call()
        frontier.world.wait(LATER)
        frontier.far()
        frontier.carry_call()
        frontier.world.wait(200.0)
        frontier.world.quiet()

    def test_twice(self) -> None:
        """Each of them as its own retransmission: nothing comes out on the far side that did not before."""
        for case in MESSAGES:
            frontier = Frontier("refuse")
            frontier.datagram(case.data)
            before = len(frontier.far())
            frontier.datagram(case.data)
            if len(case.data) <= 1000:
                self.assertEqual([each for each in frontier.far() if each.method != "ACK"], [], case.name)
            self.assertLessEqual(before, 2)  # the request, and the ACK for its refusal
            frontier.carry_call()


class TestStreams(Cases):
    """Over TCP, through the stream protocol."""

    def judged(self, case: Torture, pieces: Iterable[bytes]) -> Frontier:
        """One message on a connection of its own."""
        frontier = Frontier()
        answers, conductor = frontier.stream(pieces)
        if case.name in TWO_ON_A_STREAM:
            self.assertEqual([answer.status for answer in answers], [405, 400])
            self.assertEqual(frontier.far(), [])
            return frontier
        if len(case.data) > 1000:
            frontier.world.wait(10.0)
        more = frozenset({"drop"} if case.name in ENDS_THE_STREAM else ())
        self.judge(case, answers, frontier.far(), more)
        frontier.carry_call()
        frontier.world.wait(LATER)
        # Nothing waits for ever for the rest of a message.
        self.assertEqual(conductor.connected, case.name not in ENDS_THE_STREAM | TOO_LONG)
        frontier.far()
        frontier.carry_call()
        return frontier

    def test_whole(self) -> None:
        """RFC 4475, RFC 5118: each in one piece."""
        for case in MESSAGES:
            self.judged(case, [case.data])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_octet_by_octet(self) -> None:
        """Each in pieces of one octet."""
        for case in MESSAGES:
            self.judged(case, [case.data[at : at + 1] for at in range(len(case.data))])

    def test_all_on_one_connection(self) -> None:
        """All that can be followed on a stream, one after the other without a pause, in pieces of any size."""
        cases = [case for case in MESSAGES if case.name not in ENDS_THE_STREAM | TOO_LONG | TWO_ON_A_STREAM]
        data = b"".join(case.made_unique(number) for number, case in enumerate(cases))
        for size in (7, 100, 1460, len(data)):
            frontier = Frontier()
            answers, conductor = frontier.stream(data[at : at + size] for at in range(0, len(data), size))
            self.assertTrue(conductor.connected)
            self.assertEqual(len(answers), 32)
            frontier.world.wait(10.0)
            self.assertEqual(len({each.call_id for each in frontier.far()}), 18)
            frontier.carry_call()
            frontier.world.wait(LATER)
            frontier.carry_call()


class TestParticulars(SynchronousTestCase):
    """What single messages are about."""

    def bridged(self, name: str) -> tuple[Request, dict[str, list[str]]]:
        """What comes out on the far side, parsed by us and read plainly."""
        frontier = Frontier()
        frontier.datagram(BY_NAME[name].data)
        frontier.world.wait(10.0)
        arrived = frontier.world.bob.bytes_in[0]
        message = parse(arrived)
        assert isinstance(message, Request)
        return message, sound(arrived)

    def answer(self, name: str) -> Response:
        """The one answer."""
        frontier = Frontier()
        answers = frontier.datagram(BY_NAME[name].data)
        self.assertEqual(len(answers), 1)
        self.assertEqual(frontier.far(), [])
        return answers[0]

    def test_wsinv(self) -> None:
        """RFC 4475 3.1.1.1: white space everywhere is read; the To tag makes it a request in a dialog nobody knows."""
        self.assertEqual(self.answer("wsinv").status, 481)

    def test_wsinv_without_to_tag(self) -> None:
        """The same INVITE as a new call: Max-Forwards is one less, its Route and unknown headers do not cross."""
        frontier = Frontier()
        data = re.sub(rb" ;   tag    = 1918181833n", b"", BY_NAME["wsinv"].data)
        frontier.datagram(data)
        (sent,) = frontier.far()
        self.assertEqual(sent.headers["Max-Forwards"], ["67"])
        self.assertEqual(sent.headers.keys() & {"Route", "newfangledheader", "unknownheaderwithunusualvalue"}, set())
        self.assertEqual(sent.from_.display, '"J Rosenberg \\\\\\""')

    def test_intmeth(self) -> None:
        """RFC 4475 3.1.1.2: an unknown method crosses; the control characters quoted in a name do not."""
        sent, headers = self.bridged("intmeth")
        self.assertEqual(sent.method, "!interesting-Method0123456789_*+`.%indeed'~")
        self.assertIn('"BEL: NUL: DEL:"', headers["To"][0])

    def test_esc01(self) -> None:
        """RFC 4475 3.1.1.3: what is escaped stays so."""
        self.assertEqual(self.bridged("esc01")[0].uri.user, "sips%3Auser%40example.com")

    def test_esc02(self) -> None:
        """RFC 4475 3.1.1.5: escapes mean nothing in methods and header names."""
        self.assertEqual(self.bridged("esc02")[0].method, "RE%47IST%45R")

    def test_semiuri(self) -> None:
        """RFC 4475 3.1.1.9: a semicolon before the @ is the user's."""
        uri = self.bridged("semiuri")[0].uri
        self.assertEqual((uri.user, list(uri.params)), ("user;par=u%40example.net", ["transport"]))

    def test_transports(self) -> None:
        """RFC 4475 3.1.1.10: unknown transports in lower Vias are nobody's business."""
        self.bridged("transports")

    def test_mpart01(self) -> None:
        """RFC 4475 3.1.1.11: parts with NULs cross byte for byte, with a boundary of ours between them (S38)."""
        body = BY_NAME["mpart01"].data.partition(b"\r\n\r\n")[2]
        sent, headers = self.bridged("mpart01")
        self.assertEqual(len(body), 553)
        kind, _, boundary = headers["Content-Type"][0].partition(";boundary=")
        self.assertEqual(kind, "multipart/mixed")
        self.assertNotIn(boundary.encode(), body)
        self.assertEqual(sent.body.replace(boundary.encode(), b"7a9cbec02ceef655"), body)

    def test_longreq(self) -> None:
        """RFC 4475 3.1.1.7: nothing is cut."""
        data = BY_NAME["longreq"].data.decode()
        sent, _ = self.bridged("longreq")
        self.assertIn(f"To: {sent.to.display}<sip:", data)
        self.assertIn(f"F: sip:{sent.from_.uri.user}@", data)

    def test_responses_to_nothing(self) -> None:
        """RFC 4475 3.1.1.12, 3.1.1.13, 3.1.2.5, 3.1.2.19, 3.3.10: dropped without a word or a datagram."""
        for name in ("unreason", "noreason", "scalarlg", "bigcode", "bcast"):
            frontier = Frontier()
            self.assertEqual(frontier.datagram(BY_NAME[name].data), [])
            self.assertEqual(frontier.far(), [])

    def test_badinv01(self) -> None:
        """RFC 4475 3.1.2.1: 400, by a Via of which only the sender can be read."""
        answer = self.answer("badinv01")
        self.assertEqual(answer.status, 400)
        self.assertEqual(answer.headers["Via"], ["SIP/2.0/UDP 192.0.2.15;received=192.0.2.66"])

    def test_badvers(self) -> None:
        """RFC 4475 3.1.2.16: 505; the answer is SIP/2.0 and shows the Via as it was."""
        answer = self.answer("badvers")
        self.assertEqual(answer.status, 505)
        self.assertTrue(answer.first("Via").startswith("SIP/7.0/UDP c.example.com;"))

    def test_baddn(self) -> None:
        """RFC 4475 3.1.2.15: closed as it should be, a name without its quotes crosses in quotes."""
        frontier = Frontier()
        frontier.datagram(BY_NAME["baddn"].data + b"\r\n")
        self.assertEqual(frontier.far()[0].from_.display, '"Bell, Alexander"')

    def test_bext01(self) -> None:
        """RFC 4475 3.3.5: 420 names what is not supported."""
        answer = self.answer("bext01")
        self.assertEqual(answer.status, 420)
        unsupported = answer.values("Unsupported")
        self.assertLessEqual({"nothingSupportsThis", "nothingSupportsThisEither"}, set(unsupported))

    def test_dblreq(self) -> None:
        """RFC 4475 3.1.1.8: what follows the body in a datagram is not looked at."""
        self.assertEqual(self.answer("dblreq").status, 405)

    def test_unkscm(self) -> None:
        """RFC 4475 3.3.2, 3.3.3: 416, and nothing is routed by To."""
        self.assertEqual(self.answer("unkscm").status, 416)
        self.assertEqual(self.answer("novelsc").status, 416)

    def test_zeromf(self) -> None:
        """RFC 4475 3.3.11: 483."""
        self.assertEqual(self.answer("zeromf").status, 483)

    def test_received_without_brackets(self) -> None:
        """RFC 5118 4.5 (S12): received is taken with and without brackets and written without."""
        for name, status in (("via-received-param-with-delim", 481), ("via-received-param-no-delim", 408)):
            data = BY_NAME[name].data
            self.assertEqual(parse(data).via.received, "2001:db8::9:255")
            frontier = Frontier()
            frontier.mallory.say(data)
            frontier.world.wait(LATER)
            answer = parse(frontier.replies[-1])
            assert isinstance(answer, Response)
            self.assertEqual((answer.status, answer.via.params["received"]), (status, "192.0.2.66"))

    def test_three_colons(self) -> None:
        """RFC 5118 4.10: the slip of RFC 3261's grammar is read as two colons and never written with three."""
        for name in ("ipv6-bug-abnf-3-colons", "ipv6-correct-abnf-2-colons"):
            sent, _ = self.bridged(name)
            self.assertNotIn(b":::", bytes(sent))


class TestMutations(SynchronousTestCase):
    """Torture messages with something else in them: whatever comes in, what comes out is sound, and calls go on."""

    # Where a message is changed, these come in, among other octets and parts of other messages.
    PIECES = (
        b"sip:", b"<", b">", b'"', b'\\"', b"\\", b";", b",", b":", b"=", b"@", b"?", b"%00", b"[", b"]", b"::1",
        b"99999", b";tag=x",
        b";lr", b";maddr=192.0.2.9", b"\r\n", b"\r\n ", b"\r", b"\n", b"\x00", b"\xff", b"\xc2\xa0", b"\xe2\x84\xaa",
        b"*", b"-1",
        b";received=", b";rport", b"0" * 30, b"9" * 5000, b" ", b"\t", b";transport=tls", b"sips:", b"tel:", b"\x7f",
        b"\\\x07",
        b"Contact: *\r\n", b"Record-Route: <sip:a;lr>\r\n", b"Route: <sip:192.0.2.1;lr>\r\n", b"To: <sip:x@y>\r\n",
        b"l: 0\r\n",
        b"Via: SIP/2.0/UDP x;branch=z9hG4bKx\r\n", b"Refer-To: <sip:a@b?Replaces=x>\r\n", b"Privacy: id;user\r\n",
        b"Require: 100rel\r\n", b"Expires: -1\r\n", b"Max-Forwards: 0\r\n",
    )  # fmt: skip

    def mutated(self, chance: Random, data: bytes) -> bytes:
        """The message with a few changes."""
        octets = bytearray(data)
        for _ in range(chance.randint(1, 6)):
            at, kind = chance.randrange(len(octets) + 1), chance.random()
            if kind < 0.3:
                octets[at:at] = chance.choice(self.PIECES)
            elif kind < 0.5:
                del octets[at : at + chance.choice((1, 1, 2, 5, 30))]
            elif kind < 0.7:
                octets[at : at + 1] = bytes([chance.randrange(256)])
            elif kind < 0.85:
                lines = bytes(octets).split(b"\r\n")
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                octets = bytearray(b"\r\n".join(lines))
            else:
                other = chance.choice(MESSAGES).data
                place = chance.randrange(len(other))
                octets[at:at] = other[place : place + chance.randint(1, 60)]
        return bytes(octets)

    def test_requests(self) -> None:
        """To the bridge, by UDP and by TCP; none of them is our own fault, and nothing of them is left in the end."""
        chance = Random(1)
        sources = [*(case.data for case in MESSAGES), *[bytes(request(body=SDP))] * 20]
        for _ in range(8):
            frontier = Frontier(chance.choice(("silent", "refuse", "accept")))
            for _ in range(60):
                data = self.mutated(chance, chance.choice(sources))
                if chance.random() < 0.5:
                    frontier.datagram(data)
                else:
                    frontier.stream([data])
                frontier.far()
            frontier.carry_call()
            frontier.world.wait(300.0)
            frontier.far()
            frontier.carry_call()
            frontier.world.quiet()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_responses(self) -> None:
        """From the callee to the bridge: what reaches the caller is sound, and so is what goes back."""
        chance = Random(1)
        for _ in range(60):
            frontier = Frontier()
            world = frontier.world
            frontier.datagram(bytes(request(body=SDP, more={"Content-Type": ["application/sdp"]})))
            invite = world.bob.bytes_in[0]
            for _ in range(chance.randint(1, 4)):
                more = {"Contact": ["<sip:bob@10.0.0.20:5060>"], "Content-Type": ["application/sdp"]}
                status = chance.choice((100, 180, 183, 200, 200, 302, 404, 486, 503))
                answer = response(invite, status, chance.choice(("b1", "b2", "")), more, SDP)
                frontier.replies.clear()
                world.bob.say(self.mutated(chance, bytes(answer)))
                world.settle()
                for data in frontier.replies:
                    sound(data, ours=data.startswith(b"SIP/"))
            frontier.far()
            frontier.carry_call()
            world.wait(LATER)
            frontier.far()
            frontier.carry_call()
        self.assertEqual(self.flushLoggedErrors(), [])
