"""The world that other tests live in, and the example configurations tried in it."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from b2bua.config import load
from tests.world import World

EXAMPLES = Path(__file__).resolve().parent.parent / "etc" / "examples"


class Worlds(SynchronousTestCase):
    """What tests rely on."""

    def test_the_same_seed_is_the_same_run(self) -> None:
        """Octet by octet, also where wires are bad; another seed is another run."""
        runs = []
        for seed in (7, 7, 8):
            world = World(seed=seed)
            world.wires.shake(loss=0.2, double=0.2, delay=0.3)
            world.alice.invite("sip:bob@biloxi.example")
            world.wait(20)
            runs.append((world.story, world.alice.bytes_in, world.bob.bytes_in))
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_another_ladder_is_shown(self) -> None:
        """What was wanted stands beside what passed."""
        world = World()
        world.alice.ask("OPTIONS", "sip:192.0.2.1")
        with self.assertRaisesRegex(AssertionError, r"(?s)alice> OPTIONS +alice> OPTIONS\n +alice< 200 OPTIONS +<-"):
            world.ladder("alice> OPTIONS")

    def test_what_is_left_over_is_found(self) -> None:
        """A call that nobody ends is not quiet."""
        world = World()
        world.call()
        with self.assertRaisesRegex(AssertionError, "call answered, 2 legs, 1 timers"):
            world.quiet()

    def test_bob_was_not_asked(self) -> None:
        """Nobody answers what was not asked."""
        with self.assertRaisesRegex(AssertionError, "bob was asked nothing"):
            World().bob.says(200)


class Examples(SynchronousTestCase):
    """etc/examples, as an operator would try them."""

    def media_servers(self, file: str) -> World:
        """A world with an example's two media servers, and an end-point that calls `*33` and a number."""
        world = World(load(str(EXAMPLES / file), {}))
        self.one = world.phone("one", "127.0.0.21", proxy="private-udp")
        self.two = world.phone("two", "127.0.0.22", proxy="private-udp")
        self.phone = world.phone("phone", "127.0.0.9", proxy="public-udp")
        return world

    def test_media_servers(self) -> None:
        """The case of media-servers.toml: in, out, failover, and what is refused; nobody sees the other side."""
        world = self.media_servers("media-servers.toml")
        talk = self.phone.invite("sip:*3312@example.net")
        self.one.says(503)
        self.two.says(200)
        world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        self.assertNotIn(b"127.0.0.22", b"".join(self.phone.bytes_in).replace(b"c=IN IP4 127.0.0.22", b""))
        self.assertNotIn(b"127.0.0.9", b"".join(self.two.bytes_in).replace(b"c=IN IP4 127.0.0.9", b""))
        self.two.talk.bye()
        self.phone.says(200)
        self.one.invite("sip:phone@127.0.0.9")
        self.phone.says(486)
        refused = self.phone.invite("sip:bob@example.net")
        world.settle()
        self.assertEqual(self.one.talk.times("486 INVITE"), 1)
        self.assertEqual(refused.times("403 INVITE"), 1)
        world.quiet()

    def test_tcp_in_udp_out(self) -> None:
        """The forced send socket: UDP, however the call came in."""
        world = self.media_servers("media-servers.toml")
        phone = world.phone("tcp-phone", "127.0.0.10", "tcp", proxy="public-tcp")
        near, far = world.call(phone, self.one, "sip:*3312@example.net")
        self.assertTrue(far.heard[0].headers["Via"][0].startswith("SIP/2.0/UDP 127.0.0.2:5060"))
        near.bye()
        self.one.says(200)
        world.quiet()

    def test_policy(self) -> None:
        """The same as a script: the media servers take turns."""
        world = self.media_servers("policy.toml")
        for server in (self.one, self.two, self.one):
            before = len(server.dialogs)
            self.phone.invite("sip:*3312@example.net")
            world.settle()
            self.assertEqual(len(server.dialogs), before + 1)
        refused = self.phone.invite("sip:*33@example.net")
        world.settle()
        self.assertEqual(refused.last("484 INVITE").start_line, "SIP/2.0 484 The number is missing")
