"""NAT and flows (S11, RFC 5626): peers are reached where they are, not where they say they are."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.pinging import Pinging
from b2bua.ops.phone import Dialog
from b2bua.sip.listener import Listener
from tests.party import Party
from tests.registering import Registration
from tests.world import TLS_TOO, TWO_SIDES, World


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

    def test_another_zone(self) -> None:
        """A request of hers by a listener of another zone says nothing of where she is in this one."""
        near, far = self.world.call()
        other = self.world.alice.also("10.0.0.31")
        other.put(bytes(near.request("INFO", near.cseq + 1)), other.by_proxy())
        near.cseq += 1
        self.world.bob.says(200)
        self.world.forget()
        far.bye()
        self.world.alice.says(200)
        self.world.ladder("bob> BYE, alice< BYE, alice> 200 BYE, bob< 200 BYE")
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


HOME = (
    TWO_SIDES.replace('to = "sip:192.0.2.20;transport=udp"\nsend_from = "public"', 'to = "lookup"')
    + """
[registrar]
domains = ["example.com"]
store = "memory:"
nat_ping = 30
"""
    + TLS_TOO
)
INSTANCE = ';+sip.instance="<urn:uuid:{}>"'


class Registered(SynchronousTestCase):
    """A world with a registrar of its own; bob, inside, calls alice."""

    def setUp(self) -> None:
        self.world = World(HOME, begin=1000.0)
        assert self.world.hall.registrar is not None
        self.bindings = self.world.hall.registrar.bindings

    def line(self, host: str, transport: str, params: str = "", port: int = 0) -> Registration:
        """A phone of alice's, registered."""
        phone = self.world.phone("alice", host, transport, port)
        line = Registration(phone, phone.by_proxy(), params=params)
        line.headers = {"Supported": ["outbound, path"]}
        self.register(line)
        return line

    def register(self, line: Registration, seconds: int = 3600) -> None:
        """Once more."""
        sent = line.register(seconds)
        self.world.settle()
        self.assertEqual(sent.status, 200)
        self.world.forget()

    def reconnect(self, line: Registration) -> None:
        """The phone's connection is gone, and it registers by another."""
        party(line).drop()
        self.world.settle()
        line.dialog.flow.connection = None
        self.register(line)

    def forget(self) -> None:
        """Nobody is registered any more; nothing is left."""
        for binding in list(self.bindings):
            self.bindings.remove(binding, "the end")
        self.world.quiet()


def party(line: Registration) -> Party:
    """Whose line it is."""
    assert isinstance(line.phone, Party)
    return line.phone


class TestDeadFlow(Registered):
    """RFC 5626: a connection that is gone."""

    def test_bindings_are_out(self) -> None:
        """At once, with a reg-id and without; others stay; the journal says why."""
        one, two = self.line("192.0.2.31", "tcp", INSTANCE.format(1) + ";reg-id=1"), self.line("192.0.2.32", "tls")
        self.line("192.0.2.33", "udp")
        self.assertEqual(len(self.bindings), 3)
        party(one).drop()
        party(two).drop()
        self.world.settle()
        self.assertEqual([each.flow.host for each in self.bindings], ["192.0.2.33"])
        self.assertIn("its connection is gone", "".join(self.world.journal.lines))
        self.forget()

    def answers(self, talk: Dialog, line: Registration) -> None:
        """A phone takes the call, and it is hung up; nothing is left."""
        party(line).says(200)
        self.world.settle()
        self.assertTrue(talk.up)
        talk.bye()
        party(line).says(200)
        self.forget()

    def test_the_hunt_goes_on(self) -> None:
        """RFC 5626 11.5: who waits on it fails at once with 430; the next phone rings, the other's answer counts."""
        one, two = self.line("192.0.2.31", "tcp"), self.line("192.0.2.32", "tls")
        talk = self.world.bob.invite("sip:alice@example.com")
        self.world.settle()
        first = next(line for line in (one, two) if party(line).dialogs)
        other = two if first is one else one
        party(first).says(180)
        before = self.world.clock.seconds()
        party(first).drop()
        self.world.settle()
        self.assertLess(self.world.clock.seconds() - before, 1.0)
        self.answers(talk, other)

    def test_nobody_else(self) -> None:
        """Then 430 is the answer, for calls and for what makes none."""
        line = self.line("192.0.2.31", "tcp")
        talk = self.world.bob.invite("sip:alice@example.com")
        sent = self.world.bob.ask("MESSAGE", "sip:alice@example.com")
        self.world.settle()
        party(line).drop()
        self.world.settle()
        self.assertEqual(talk.times("430 INVITE"), 1)
        self.assertEqual(sent.status, 430)
        self.forget()

    def test_taken_back(self) -> None:
        """A call that was taken back while it rang there ends all the same."""
        line = self.line("192.0.2.31", "tcp")
        talk = self.world.bob.invite("sip:alice@example.com")
        party(line).says(180)
        self.world.settle()
        party(line).mute = True
        talk.cancel()
        self.world.settle()
        party(line).drop()
        self.forget()
        self.assertEqual(talk.times("487 INVITE"), 1)

    def test_another_flow_of_the_same_phone(self) -> None:
        """RFC 5626 5.3: the other of its two connections is tried next, not both at once."""
        params = INSTANCE.format(1) + ";reg-id={}"
        one, two = self.line("192.0.2.31", "tcp", params.format(1)), self.line("192.0.2.31", "tls", params.format(2))
        talk = self.world.bob.invite("sip:alice@example.com")
        self.world.settle()
        self.assertEqual((len(party(one).dialogs), len(party(two).dialogs)), (0, 1))
        party(two).drop()
        self.world.settle()
        self.answers(talk, one)

    def test_icmp(self) -> None:
        """A phone on UDP whose port is closed: 430 too."""
        line = self.line("192.0.2.31", "udp")
        party(line).refusing = True
        talk = self.world.bob.invite("sip:alice@example.com")
        self.world.settle()
        self.assertEqual(talk.times("430 INVITE"), 1)
        self.forget()


class TestReconnect(Registered):
    """A phone that is back by another connection has its calls there."""

    def called(self, line: Registration) -> tuple[Dialog, Dialog]:
        """Bob has called it."""
        near = self.world.bob.invite("sip:alice@example.com")
        party(line).says(200)
        self.world.forget()
        return near, party(line).talk

    def survives(self, line: Registration, near: Dialog) -> None:
        """re-INVITE and BYE reach the phone."""
        sent = near.reinvite("sendonly")
        party(line).says(200, to="INVITE")
        self.world.settle()
        self.assertEqual(sent.status, 200)
        self.world.forget()
        near.bye()
        party(line).says(200)
        self.world.ladder("bob> BYE, alice< BYE, alice> 200 BYE, bob< 200 BYE")
        self.assertEqual(self.world.connecting, [])
        self.forget()

    def test_called(self) -> None:
        """TCP and TLS, with a reg-id and without, by the instance."""
        for transport, params in (("tcp", ";reg-id=1"), ("tls", ""), ("tls", ";reg-id=1")):
            self.setUp()
            line = self.line("192.0.2.31", transport, INSTANCE.format(1) + params)
            near, _ = self.called(line)
            self.reconnect(line)
            self.survives(line, near)

    def test_by_contact(self) -> None:
        """A phone that says no instance is known by its Contact, where that is the same."""
        line = self.line("192.0.2.31", "tcp")
        near, _ = self.called(line)
        self.reconnect(line)
        self.survives(line, near)

    def test_calling(self) -> None:
        """The phone made the call."""
        line = self.line("192.0.2.31", "tls", INSTANCE.format(1))
        phone = party(line)
        phone.address = "<sip:alice@example.com>"
        talk = phone.invite("sip:bob@biloxi.example", line.dialog.flow)
        self.world.bob.says(200)
        self.world.forget()
        self.reconnect(line)
        self.survives(line, self.world.bob.talk)
        self.assertTrue(talk.over)

    def test_another_transport(self) -> None:
        """From TCP to TLS: the same phone, by its instance."""
        line = self.line("192.0.2.31", "tcp", INSTANCE.format(1))
        near, _ = self.called(line)
        party(line).drop()
        self.world.settle()
        moved = party(line).also("192.0.2.31", "tls", user="alice")
        other = Registration(moved, moved.by_proxy(), params=INSTANCE.format(1))
        self.register(other)
        self.survives(other, near)

    def test_another_phone(self) -> None:
        """Another phone of the same user is not asked in its place."""
        line = self.line("192.0.2.31", "tcp", INSTANCE.format(1))
        near, _ = self.called(line)
        party(line).refusing = True
        party(line).drop()
        self.world.settle()
        other = self.line("192.0.2.32", "tcp", INSTANCE.format(2))
        near.reinvite("sendonly")
        self.world.settle()
        self.assertEqual(party(other).open, [])
        near.bye()
        self.forget()

    def test_another_port(self) -> None:
        """UDP: its NAT gives it another port, which its next REGISTER shows."""
        line = self.line("192.0.2.31", "udp", INSTANCE.format(1))
        behind_nat(party(line), "192.168.1.5", 5060)
        self.register(line)
        near, _ = self.called(line)
        moved = party(line).also("192.0.2.31", port=40000, user="alice")
        behind_nat(moved, "192.168.1.5", 5060)
        line.phone = line.dialog.phone = moved
        line.dialog.flow = moved.by_proxy()
        self.register(line)
        self.survives(line, near)


class TestSilent(Registered):
    """A connection by which somebody is registered is not idle."""

    def test_kept(self) -> None:
        """It stays open for as long as the binding lasts."""
        line = self.line("192.0.2.31", "tcp")
        stranger = self.world.phone("stranger", "192.0.2.66", "tcp")
        stranger.ask("OPTIONS", "sip:192.0.2.1")
        self.world.wait(1000)
        self.assertEqual((len(party(line).pipes), len(stranger.pipes)), (1, 0))
        self.register(line, 0)
        self.world.wait(1000)
        self.assertEqual(party(line).pipes, [])
        self.forget()

    def test_promised(self) -> None:
        """RFC 5626 6: who is told of a Flow-Timer and does not let hear of itself is gone; CRLF is enough."""
        line = self.line("192.0.2.31", "tcp", INSTANCE.format(1) + ";reg-id=1")
        for _ in range(5):
            self.world.wait(110)
            party(line).pipes[0].write(b"\r\n\r\n")
        self.assertEqual(len(self.bindings), 1)
        self.world.wait(170)
        self.assertEqual(len(self.bindings), 0)
        self.assertEqual(party(line).pipes, [])
        self.forget()


class TestPings(Registered):
    """OPTIONS to phones behind a NAT."""

    def setUp(self) -> None:
        super().setUp()
        self.pinging = Pinging(self.world.hall, self.bindings, 30.0)
        self.pinging.start()

    def behind(self) -> Registration:
        """A phone behind a NAT."""
        phone = self.world.phone("alice", "192.0.2.31")
        behind_nat(phone, "192.168.1.5", 5060)
        line = Registration(phone, phone.by_proxy())
        self.register(line)
        return line

    def finish(self) -> None:
        """Nobody is asked any more."""
        self.pinging.stop()
        self.forget()

    def test_asked(self) -> None:
        """Once in 30 s, at its source, whatever it answers; those who are where they say are not asked."""
        line, other = self.behind(), self.line("192.0.2.32", "udp")
        stream = self.line("192.0.2.33", "tcp")
        for _ in range(5):
            self.world.wait(31)
            for _, request in party(line).open:
                self.assertEqual(request.method, "OPTIONS")
                self.assertEqual(request.uri_text, "sip:alice@192.168.1.5:5060;transport=udp")
            party(line).says(501)
        self.world.settle()
        self.assertEqual(len(self.bindings), 3)
        self.assertEqual((party(other).open, party(stream).open), ([], []))
        self.finish()

    def test_lost(self) -> None:
        """Three unanswered, and the phone is out; the journal says so."""
        line = self.behind()
        party(line).mute = True
        self.world.wait(90)
        self.assertEqual(len(self.bindings), 1)
        self.world.wait(70)
        self.assertEqual(len(self.bindings), 0)
        self.assertIn("it left 3 OPTIONS unanswered", self.world.journal.lines[-1])
        self.finish()

    def test_back_in_time(self) -> None:
        """An answer, or a REGISTER, and it counts anew."""
        line = self.behind()
        for _ in range(4):
            party(line).mute = True
            self.world.wait(80)
            party(line).mute = False
            party(line).open.clear()
            self.register(line)
        self.assertEqual(len(self.bindings), 1)
        self.finish()

    def test_registers_all_the_time(self) -> None:
        """Whoever ignores OPTIONS but registers is there, however many it leaves unanswered in the end."""
        gone: list[str] = []
        self.bindings.gone.append(lambda binding, why: gone.append(why))
        line = self.behind()
        party(line).asked = lambda dialog, request: None
        for _ in range(60):
            self.world.wait(60)
            self.register(line)
        self.assertEqual(gone, [])
        self.finish()

    def test_many(self) -> None:
        """A round is spread over its time."""
        for number in range(60):
            phone = self.world.phone(f"u{number}", f"192.0.2.{100 + number}")
            behind_nat(phone, "192.168.1.5", 5060)
            phone.contact = f"<sip:u{number}@192.168.1.5>"
            phone.asked = lambda dialog, request: dialog.respond(request, 200)
            self.register(Registration(phone, phone.by_proxy()))
        self.world.wait(self.world.clock.seconds() % 30)
        most = 0
        for _ in range(60):
            self.world.story.clear()
            self.world.wait(1)
            most = max(most, sum(step.endswith("< OPTIONS") for step in self.world.story))
        self.assertEqual(most, 2)
        self.finish()

    def test_off(self) -> None:
        """0: nobody is asked."""
        self.pinging.stop()
        pinging = Pinging(self.world.hall, self.bindings, 0.0)
        pinging.start()
        line = self.behind()
        self.world.wait(100)
        self.assertEqual(party(line).open, [])
        self.finish()
