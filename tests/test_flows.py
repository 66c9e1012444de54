"""NAT and flows (S11, RFC 5626): peers are reached where they are, not where they say they are."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.listener import Listener
from tests.party import Party
from tests.world import World


def behind_nat(phone: Party, inside: str, outside: int = 0) -> None:
    """The phone has an address of its own behind its NAT, and says so; packets come from where it is in the world."""
    at = phone.at
    phone.at = Listener(at.name, at.zone, at.transport, at.address, at.port, inside, outside)
    phone.contact = phone.at.contact(phone.user)


class TestBehindNat(SynchronousTestCase):
    """S11: a caller that is not registered."""

    def setUp(self) -> None:
        """Alice says that she is at 192.168.1.5."""
        self.world = World()
        behind_nat(self.world.alice, "192.168.1.5", 5060)

    def test_in_dialog(self) -> None:
        """Requests to her go where hers come from, and the ports that her NAT chooses."""
        near, far = self.world.call()
        far.bye()
        self.world.alice.says(200)
        self.world.ladder("bob> BYE, alice< BYE, alice> 200 BYE, bob< 200 BYE")
        self.assertTrue(near.over)
        self.world.quiet()

    def test_another_port(self) -> None:
        """Her NAT gives her another port while she talks: her next request shows it."""
        near, far = self.world.call()
        other = self.world.alice.also("192.0.2.20", port=40000)
        behind_nat(other, "192.168.1.5", 5060)
        near.phone = other
        near.reinvite("sendonly")
        self.world.settle()
        self.world.bob.says(200)
        self.world.forget()
        far.bye()
        other.says(200)
        self.world.ladder("bob> BYE, alice'< BYE, alice'> 200 BYE, bob< 200 BYE")
        self.world.quiet()

    def test_subscription(self) -> None:
        """NOTIFY goes there too."""
        talk = self.world.alice.subscribe("sip:bob@biloxi.example", "presence")
        self.world.settle()
        self.world.bob.says(200, headers={"Expires": ["600"]})
        self.world.forget()
        self.world.bob.talk.notify("presence", "active;expires=600")
        self.world.alice.says(200)
        self.world.ladder("bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")
        self.assertTrue(talk.up or talk.heard)


class TestNotBehindNat(SynchronousTestCase):
    """What looks alike."""

    def reaches(self, alice: Party, contact: str, world: World, headers: dict[str, list[str]] | None = None) -> bool:
        """Whether a BYE to a caller with this Contact arrives where the call came from."""
        alice.contact = contact
        alice.invite("sip:bob@biloxi.example", headers=headers)
        world.settle()
        far = world.bob.talk
        world.bob.says(200)
        world.forget()
        far.bye()
        world.settle()
        arrived = "alice< BYE" in world.story
        world.forget()
        return arrived

    def test_contact_elsewhere(self) -> None:
        """A Contact that is not where the Via is: whoever says so knows (RFC 3261 12.1.1)."""
        world = World()
        behind_nat(world.alice, "192.168.1.5", 5060)
        world.phone("desk", "192.0.2.30")
        self.assertFalse(self.reaches(world.alice, "<sip:alice@192.0.2.30>", world))

    def test_without_rport(self) -> None:
        """Who does not ask for answers at its port may not listen there."""
        world = World()
        behind_nat(world.alice, "192.0.2.30", 5060)
        world.phone("desk", "192.0.2.30")
        via = ["SIP/2.0/UDP 192.0.2.30;branch=z9hG4bKplain"]
        self.assertFalse(self.reaches(world.alice, world.alice.contact, world, {"Via": via}))

    def test_by_its_proxy(self) -> None:
        """A proxy before it shows as a second Via; it does not want what comes later."""
        world = World()
        behind_nat(world.alice, "192.0.2.30", 5060)
        world.phone("desk", "192.0.2.30")
        via = ["SIP/2.0/UDP 192.0.2.30;branch=z9hG4bKproxy;rport", "SIP/2.0/UDP 192.0.2.31;branch=z9hG4bKphone"]
        self.assertFalse(self.reaches(world.alice, world.alice.contact, world, {"Via": via}))
