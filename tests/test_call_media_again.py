"""Anchored media when something is said again, or too late, or not at all: an engine knows how it is all the same."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.media import unanchored
from b2bua.sip.message import Headers
from tests.engine import SDP, TIMES, Studio, anchored, media
from tests.transfers import Four, embedded, refer
from tests.world import TWO_SIDES, World

URI = "sip:bob@biloxi.example"
TWO = '["sip:10.0.0.20;transport=udp", "{second};transport=udp"]\ngo_on = [486, 503]'
EXCHANGE = ["offer public>private", "answer private>public"]


def sdp(host: str, port: int) -> bytes:
    """The same words each time, as many phones have them."""
    lines = f"v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\nm=audio {port} RTP/AVP 0\n"
    return lines.replace("\n", "\r\n").encode()


ALICES, BOBS = sdp("192.0.2.20", 4000), sdp("10.0.0.20", 5000)


class Again(SynchronousTestCase):
    """The same description, in another exchange."""

    def test_the_same_answer(self) -> None:
        """To another offer it is another answer: the engine hears it."""
        for late in TIMES:
            world = World()
            studio = anchored(world, late)
            talk = world.alice.invite(URI, body=ALICES)
            world.bob.says(200, BOBS, SDP)
            world.settle()
            self.assertEqual(studio.words, EXCHANGE)
            talk.ask("INVITE", sdp("192.0.2.20", 4002), SDP)
            world.bob.says(200, BOBS, SDP)
            world.settle()
            self.assertEqual(studio.words, EXCHANGE)

    def test_the_same_as_an_offer(self) -> None:
        """What was an answer is an offer in the 2xx to an INVITE without one."""
        for late in TIMES:
            world = World()
            studio = anchored(world, late)
            talk = world.alice.invite(URI, body=ALICES)
            world.bob.says(200, BOBS, SDP)
            world.settle()
            _ = studio.words
            for _ in range(2):
                talk.ask("INVITE", b"")
                world.bob.says(200, BOBS, SDP)
                world.settle()
                self.assertEqual(studio.words, ["offer private>public", "answer public>private"])
            self.assertEqual(world.bob.talk.times("ACK"), 3)

    def test_another_fork_too_late(self) -> None:
        """S28: whoever answers second gets ACK and BYE, and no engine hears of it."""
        for late in TIMES:
            world = World()
            studio = anchored(world, late)
            world.alice.invite(URI)
            world.settle()
            first = world.bob.talk
            second = world.bob.fork(first)
            assert first.invitation is not None
            first.respond(first.invitation, 200, first.sdp(), SDP)
            world.settle()
            second.respond(first.invitation, 200, second.sdp(), SDP)
            world.settle()
            self.assertEqual(studio.words, EXCHANGE)
            self.assertEqual((second.times("ACK"), second.times("BYE"), first.times("BYE")), (1, 1, 0))

    def test_cancelled_meanwhile(self) -> None:
        """A re-INVITE taken back while its offer is shown: the engine hears what was agreed before."""
        world = World()
        studio = anchored(world)
        near, far = world.call()
        _ = studio.words
        studio.late = 0.5
        near.reinvite("sendonly")
        world.wait(0.1)
        near.cancel()
        world.wait(3)
        self.assertEqual(studio.words, ["offer public>private", *EXCHANGE])
        self.assertEqual((far.times("INVITE"), near.times("487 INVITE")), (1, 1))

    def test_update_after_the_end(self) -> None:
        """An UPDATE that waited is not sent after the BYE (RFC 3261 15)."""
        world = World()
        studio = anchored(world)
        near, far = world.call()
        studio.late = 0.5
        near.ask("UPDATE", near.sdp("sendonly"), SDP)
        world.wait(0.1)
        far.bye()
        world.alice.says(200, to="BYE")
        world.wait(3)
        self.assertEqual((far.times("UPDATE"), near.times("481 UPDATE")), (0, 1))


class Targets(SynchronousTestCase):
    """A hunt from target to target."""

    def begin(self, second: str) -> tuple[World, Studio]:
        """Bob is the first target."""
        world = World(TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"', TWO.format(second=second), 1))
        return world, anchored(world)

    def test_one_after_the_other(self) -> None:
        """The first one's session has ended when the second rings."""
        world, studio = self.begin("sip:10.0.0.30")
        world.phone("carol", "10.0.0.30")
        world.alice.invite(URI)
        world.bob.says(486)
        world.settle()
        self.assertEqual((len(studio.open), len(studio.ended)), (1, 1))

    def test_no_engine_for_one(self) -> None:
        """The next target is tried: it may need none, or another."""
        world, studio = self.begin("sip:10.0.0.30")
        carol = world.phone("carol", "10.0.0.30")
        refused: list[str] = []
        changed = studio.changed

        def once(said: object) -> bytes:
            if not refused:
                refused.append("once")
                raise unanchored("no media ports are left")
            return changed(said)  # type: ignore[arg-type]

        studio.changed = once  # type: ignore[method-assign]
        world.alice.invite(URI)
        world.settle()
        self.assertEqual((len(world.bob.dialogs), len(carol.dialogs)), (0, 1))


class Faults(SynchronousTestCase):
    """An engine with a fault of ours in it."""

    def test_one_that_raises(self) -> None:
        """Costs what was asked, and nothing else, as does one that never answers: the call goes on, to its record."""
        for late in TIMES:
            world = World()
            studio = anchored(world, late)
            near, far = world.call()
            changed = studio.changed
            studio.changed = lambda said: bytes(1 // 0)  # type: ignore[method-assign]
            near.reinvite("sendonly")
            if late:
                self.assertRaises(ZeroDivisionError, world.settle)
            world.wait(13)
            self.assertEqual(near.times("503 INVITE" if late else "500 INVITE"), 1)
            studio.changed = changed  # type: ignore[method-assign]
            near.reinvite("sendonly")
            world.bob.says(200)
            world.settle()
            self.assertEqual(near.times("200 INVITE"), 2)
            near.bye()
            world.bob.says(200)
            world.settle()
            self.assertEqual((studio.open, world.journal.lines[-1]), ({}, "ended: the caller hung up"))

    def test_attended_transfer_tried_again(self) -> None:
        """What one try left behind is not in the way of the next."""
        world = Four('refer = "local"')
        anchored(world)
        near, far = world.talk(world.alice, world.bob)
        there, _ = world.talk(world.bob, world.carol)
        for tried, status in enumerate((488, 200), 1):
            refer(far, f"sip:carol@10.0.0.30?{embedded(there)}")
            world.settle()
            world.carol.says(200, world.carol.talk.sdp(), SDP)
            world.settle()
            self.assertEqual(near.times("INVITE"), tried)
            world.alice.says(status)
            world.settle()
            while any(request.method == "INVITE" for _, request in world.bob.open):
                world.bob.says(200, to="INVITE")
                world.settle()

    def test_several_descriptions(self) -> None:
        """Of one message only one can be shown: it is refused as what cannot be negotiated."""
        world = World()
        anchored(world)
        part = b"--b\r\nContent-Type: application/sdp\r\n\r\n%b\r\n"
        body = b"".join([part % ALICES, part % sdp("192.0.2.20", 4004), b"--b--\r\n"])
        several: Headers = {"Content-Type": ['multipart/mixed;boundary="b"']}
        talk = world.alice.invite(URI, body=body, headers=several)
        world.settle()
        self.assertEqual((talk.times("488 INVITE"), world.bob.dialogs), (1, []))

    def test_capabilities_where_routes_decide(self) -> None:
        """What is no offer tells no place, whichever route it takes; nor what nobody needs to know."""
        world = World()
        anchored(world)
        sent = world.alice.ask("OPTIONS", URI)
        more = b"a=rtcp:5001 IN IP4 10.0.0.21\r\na=rtcp-xr:x\r\na=X-srv:10.0.0.22\r\na=ssrc:1 cname:u@10.0.0.23\r\n"
        more += b"c=IN IP4 10.0.0.24\r\na=rtpmap:0 PCMU/8000\r\n"
        world.bob.says(200, BOBS + more, SDP)
        world.settle()
        self.assertEqual(media(sent.responses[-1]), ["192.0.2.1:0"])
        self.assertNotIn(b"10.0.0", sent.responses[-1].body)
        self.assertIn(b"a=rtpmap:0 PCMU/8000\r\n", sent.responses[-1].body)
