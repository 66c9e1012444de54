"""S21: loops are found, spirals are legal up to a bound, and Max-Forwards ends what nobody else can see."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, parse
from b2bua.sip.tokens import MAX_PASSES, LoopKey
from tests.party import Party
from tests.world import TWO_SIDES, World

ANYWHERE = TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"', 'to = "request-uri"')
LOOPED = "it came back to us as it left"


class Spirals(SynchronousTestCase):
    """A proxy at bob's address sends every INVITE back to us, for somebody else each time (RFC 3261 16.6.8)."""

    def spiral(self, world: World, same: int = 0, forge: bool = False) -> int:
        """How many times it comes to the proxy before we refuse; every `same`th time for whom it was before."""
        world.alice.invite("sip:bob0@10.0.0.20")
        for times in range(1, 40):
            world.settle()
            if len(world.bob.dialogs) < times:
                return times - 1
            request = parse(bytes(world.bob.dialogs[times - 1].heard[0]))
            assert isinstance(request, Request)
            user = 0 if same and times % same == 0 else times
            request.uri_text = f"sip:bob{user}@10.0.0.20"
            if forge:
                request.headers["Via"] = [f"{request.headers['Via'][0][:-20]}{'0' * 8};rport"]
            request.headers["Via"] = [f"SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bK{times}", *request.headers["Via"]]
            world.bob.say(bytes(request))
        raise AssertionError("it never ends")

    def test_the_bound(self) -> None:
        """Five times it may come back; then it is answered 482, and nothing is left of it."""
        world = World(
            ANYWHERE.replace('zone = "private"\nto =', 'zone = "private"\nuser = "prefix:bob"\nto =').replace(
                'to = "sip:192.0.2.20;transport=udp"\nsend_from = "public"', 'to = "request-uri"\nsend_from = "private"'
            )
        )
        self.assertEqual(self.spiral(world), 6)
        self.assertIn("refused INVITE with 482: it came back to us 6 times", world.journal.lines)
        self.assertTrue(any(data.startswith(b"SIP/2.0 482") for data in world.bob.bytes_in))
        world.hall.hang_up_all("the end")
        world.quiet()

    def bounded(self, text: str) -> World:
        """A world in which what comes from the private side goes back there."""
        return World(
            text
            + ANYWHERE.replace(
                'to = "sip:192.0.2.20;transport=udp"\nsend_from = "public"', 'to = "request-uri"\nsend_from = "private"'
            )
        )

    def test_another_bound(self) -> None:
        """The configuration says how often; 0 is never."""
        for bound in (0, 1, MAX_PASSES - 1):
            self.assertEqual(self.spiral(self.bounded(f"[limits]\nspirals = {bound}\n")), bound + 1)

    def test_a_loop_within(self) -> None:
        """Back for whom it was before: the mark of the pass between does not tell, the count goes on, and it ends."""
        self.assertEqual(self.spiral(self.bounded(""), same=2), 6)

    def test_straight_back(self) -> None:
        """For the same Request-URI as last time: 482 at once."""
        world = self.bounded("")
        self.assertEqual(self.spiral(world, same=1), 1)
        self.assertIn(f"refused INVITE with 482: {LOOPED}", world.journal.lines)

    def test_who_takes_our_seal_away(self) -> None:
        """A changed branch is none of ours: it counts as new, and is nobody's to set to another number."""
        world = self.bounded("[limits]\nspirals = 1\n")
        with self.assertRaises(AssertionError):
            self.spiral(world, forge=True)


class TestOurOwn(SynchronousTestCase):
    """A request that nobody sent us, as for a transfer that we carry out."""

    def test_the_first_pass(self) -> None:
        """It has no Via: it begins here."""
        self.assertEqual(World().hall.loop_key(Request("INVITE", "sip:bob@x", {})), LoopKey("INVITE sip:bob@x", 1))


class TestAnotherBridge(SynchronousTestCase):
    """Two bridges that send a call to each other: neither sees its own Via again."""

    def test_max_forwards_ends_it(self) -> None:
        """S21, RFC 7332: each takes one off; at 0 it is 483, which goes back all the way, and nothing is left."""
        here, there = World(seed=1), World(seed=50)
        for world, other in ((here, there), (there, here)):
            self.join(world, world.bob, other, "public-udp")
        here.alice.invite("sip:bob@biloxi.example", headers={"Max-Forwards": ["12"]})
        for _ in range(60):
            here.settle()
            there.settle()
        started = here.journal.lines.count("started by rule inwards") + there.journal.lines.count(
            "started by rule inwards"
        )
        self.assertEqual(started, 12)
        lines = here.journal.lines + there.journal.lines
        self.assertEqual(
            [line for line in lines if line.startswith("refused")], ["refused INVITE with 483: Max-Forwards is used up"]
        )
        self.assertEqual(here.alice.talk.times("483 INVITE"), 1)
        for world in (here, there):
            world.quiet()

    def join(self, world: World, phone: Party, other: World, listener: str) -> None:
        """What one world's bridge sends to this phone reaches a listener of the other's, and is answered from there."""
        into = next(each for each in other.configuration.listeners if each.name == listener)
        back = next(each for each in world.configuration.listeners if each.name == "private-udp")
        peer = other.phone("peer", "192.0.2.99")
        phone.receive = lambda data, flow: other.switchboard.received(data, Flow(into, "192.0.2.99", 5060))  # type: ignore
        peer.receive = lambda data, flow: world.switchboard.received(data, Flow(back, phone.at.address, 5060))  # type: ignore
