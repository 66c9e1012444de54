"""Registration with carriers (RFC 3261 10.2, RFC 3608, RFC 5626 4.5)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.enrolment import Enrolment
from b2bua.ops.desk import Drain
from b2bua.policy.enrolling import State
from b2bua.policy.interface import Choice, NoInterface
from b2bua.sip.listener import Target
from b2bua.sip.message import Headers, Request
from tests.test_call_credentials import REALM, challenge, proofs
from tests.world import TLS_TOO, TWO_SIDES, Party, World

ONE = """
[[registration]]
aor = "sip:4420@carrier.example"
registrar = "sip:192.0.2.30;transport=udp"
send_from = "public"
expires = 600
"""
CREDENTIALS = """
[[credentials]]
realm = "carrier.example"
user = "4420"
password = 'swor"dfish'
to = "sip:192.0.2.30"
"""
TO_CARRIER = TWO_SIDES.replace("sip:192.0.2.20;transport=udp", "sip:192.0.2.30;transport=udp")
GROUP = """
[[group]]
name = "carrier"
probe = 0
send_from = "public"
members = [{uri = "sip:192.0.2.30;transport=udp", priority = 1}, {uri = "sip:192.0.2.31;transport=udp", priority = 2}]
"""


class Registered(SynchronousTestCase):
    """A world in which we have a registration with a carrier."""

    configuration = TO_CARRIER + ONE + CREDENTIALS

    def setUp(self) -> None:
        """We have begun."""
        self.world = World(self.configuration)
        self.carrier = self.world.phone("carrier", "192.0.2.30")
        self.spare = self.world.phone("spare", "192.0.2.31")
        enrolments = self.world.hall.enrolments
        assert enrolments is not None
        self.enrolments = enrolments
        enrolments.start()
        self.world.wait(1)

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])

    @property
    def ours(self) -> Enrolment:
        """The first one."""
        return self.enrolments.all[0]

    def accept(self, seconds: int = 600, phone: Party | None = None, headers: Headers | None = None) -> Request:
        """The carrier takes us."""
        phone = phone or self.carrier
        self.world.settle()
        contact = phone.open[-1][1].first("Contact")
        request = phone.says(200, b"", {"Contact": [f"{contact};expires={seconds}"], **(headers or {})}, to="REGISTER")
        self.world.settle()
        return request

    def waits(self, world: World, why: str) -> None:
        """Another world in which nobody can be asked: it is told why, and nothing is left."""
        assert world.hall.enrolments is not None
        world.hall.enrolments.start()
        world.wait(1)
        (ours,) = world.hall.enrolments.all
        self.assertIs(ours.state, State.WAITING)
        self.assertIn(why, ours.last)
        world.hall.enrolments.stop()
        world.wait(40)
        world.quiet()

    def wait_for(self, phone: Party, most: float = 4000) -> float:
        """Let time pass until a phone is asked; returns how long it took."""
        begun = self.world.clock.seconds()
        while not phone.open:
            self.world.wait(0.5)
            passed = self.world.clock.seconds() - begun
            if passed > most:
                raise AssertionError(f"nothing came in {most} s: {self.world.journal.lines}")
        return self.world.clock.seconds() - begun

    def leave(self, phone: Party | None = None) -> Request:
        """We stop, the carrier lets us go, and nothing is left once every timer has run out."""
        phone = phone or self.carrier
        self.enrolments.stop()
        self.world.settle()
        request = phone.says(200, b"", to="REGISTER")
        self.gone()
        return request

    def gone(self) -> None:
        """Nothing more happens."""
        before = [len(phone.bytes_in) for phone in self.world.phones]
        self.world.wait(4000)
        self.assertIs(self.ours.state, State.IDLE)
        self.assertEqual([len(phone.bytes_in) for phone in self.world.phones], before)
        self.world.quiet()


class TestDraining(Registered):
    """The bridge takes no new calls: carriers are to send none."""

    def test_left_and_taken_up(self) -> None:
        """They are left with the first word, and registered with again when it is taken back."""
        drain = Drain(self.world.hall, lambda: None)
        self.accept()
        for _ in range(2):
            drain.begin(False, lambda line: None)
        self.world.settle()
        request = self.carrier.says(200, b"", to="REGISTER")
        self.assertEqual(request.headers["Expires"], ["0"])
        self.gone()
        drain.end()
        self.world.wait(1)
        self.accept()
        self.assertIs(self.ours.state, State.REGISTERED)
        self.leave()

    def test_before_the_first_word(self) -> None:
        """Draining begins before the first REGISTER of many left: it does not leave then."""
        self.accept()
        self.leave()
        drain = Drain(self.world.hall, lambda: None)
        self.enrolments.start()
        drain.begin(False, lambda line: None)
        self.world.wait(5)
        self.assertEqual(self.carrier.open, [])
        self.assertIs(self.ours.state, State.IDLE)


class TestRegistering(Registered):
    """What is said, and for how long."""

    def test_register(self) -> None:
        """RFC 3261 10.2: the domain, ourselves twice, our Contact; refreshed before the end; taken back at the stop."""
        first = self.accept()
        self.assertEqual((first.method, first.uri_text), ("REGISTER", "sip:carrier.example"))
        self.assertEqual((first.first("To"), first.first("Expires")), ("<sip:4420@carrier.example>", "600"))
        self.assertTrue(first.first("From").startswith("<sip:4420@carrier.example>;tag="))
        self.assertEqual(first.first("Contact"), "<sip:4420@192.0.2.1:5060;transport=udp>")
        self.assertTrue(first.first("Via").startswith("SIP/2.0/UDP 192.0.2.1:5060;branch="))
        self.assertIs(self.ours.state, State.REGISTERED)
        passed = self.wait_for(self.carrier)
        self.assertTrue(449 <= passed <= 541, passed)
        second = self.accept()
        self.assertEqual(
            (second.call_id, second.from_tag, second.cseq[0]), (first.call_id, first.from_tag, first.cseq[0] + 1)
        )
        last = self.leave()
        self.assertEqual((last.call_id, last.first("Expires"), last.cseq[0]), (first.call_id, "0", first.cseq[0] + 2))
        lines = [line for line in self.world.journal.lines if "4420@carrier" in line]
        self.assertEqual(lines, ["sip:4420@carrier.example is registered at sip:192.0.2.30;transport=udp: 200 OK"])

    def test_challenge(self) -> None:
        """Proved once, then at once, with the nonce's uses counted; the password is told nobody."""
        self.carrier.says(401, b"", challenge())
        first = self.accept()
        self.assertEqual(
            [(each.realm, each.uses, each.uri) for each in proofs(first)], [(REALM, 1, "sip:carrier.example")]
        )
        self.wait_for(self.carrier)
        self.assertEqual([each.uses for each in proofs(self.accept())], [2])
        self.assertEqual([each.uses for each in proofs(self.leave())], [3])
        self.assertNotIn("swor", repr(self.world.configuration.accounts) + "\n".join(self.world.journal.lines))

    def test_wrong_password(self) -> None:
        """Tried again later and later, and never twice with the same words."""
        self.carrier.says(401, b"", challenge())
        self.carrier.says(401, b"", challenge(nonce="n2"))
        self.world.settle()
        self.assertIs(self.ours.state, State.WAITING)
        self.assertTrue(any("it does not take them" in line for line in self.world.journal.lines))
        for least, most in ((15, 31), (30, 61), (60, 121)):
            passed = self.wait_for(self.carrier)
            self.assertTrue(least - 1 <= passed <= most, passed)
            self.assertEqual(proofs(self.carrier.says(403)), [])
            self.world.settle()
        self.assertEqual(sum("not registered" in line for line in self.world.journal.lines), 1)
        self.wait_for(self.carrier)
        self.accept()
        self.leave()

    def test_shorter_and_longer(self) -> None:
        """The registrar says how long; a 423 is learned, a silly one is a refusal."""
        self.carrier.says(423, b"", {"Min-Expires": ["1800"]})
        self.assertEqual(self.accept(60).first("Expires"), "1800")
        self.assertLessEqual(self.wait_for(self.carrier), 55)
        for number in range(3):
            self.carrier.says(423, b"", {"Min-Expires": [str(3600 + number)]})
        self.carrier.says(423, b"", {"Min-Expires": ["9000"]})
        self.world.settle()
        self.assertIs(self.ours.state, State.HOLDING)
        self.wait_for(self.carrier)
        self.carrier.says(423)
        self.world.settle()
        self.wait_for(self.carrier)
        self.assertEqual(self.accept().first("Expires"), "3602")
        self.leave()

    def test_retry_after(self) -> None:
        """Not before the registrar wants it."""
        self.carrier.says(500, b"", {"Retry-After": ["300"]})
        self.world.settle()
        self.assertGreater(self.wait_for(self.carrier), 290)
        self.accept()
        self.leave()

    def test_without_our_contact(self) -> None:
        """A 2xx that says we are not registered."""
        self.accept(0)
        self.assertIs(self.ours.state, State.WAITING)
        self.assertIn("without our Contact", self.ours.last)
        self.enrolments.stop()
        self.gone()

    def test_a_1xx(self) -> None:
        """It changes nothing."""
        self.carrier.says(100)
        self.accept()
        self.leave()


class TestLosing(Registered):
    """What happens when the carrier is away."""

    def test_silence(self) -> None:
        """The refresh is tried again while the time lasts; when it has lapsed we are not registered, and go on."""
        self.accept(100)
        self.carrier.mute = True
        self.world.wait(99)
        self.assertIn(self.ours.state, (State.REFRESHING, State.HOLDING))
        self.world.wait(40)
        self.assertIn(self.ours.state, (State.ASKING, State.WAITING))
        self.assertIn(
            "sip:4420@carrier.example is not registered at sip:192.0.2.30;transport=udp: "
            "it has lapsed, and the refresh has no answer",
            self.world.journal.lines,
        )
        self.carrier.mute = False
        self.wait_for(self.carrier)
        self.accept()
        self.assertEqual(self.ours.failures, 0)
        self.leave()

    def test_lapsed_between(self) -> None:
        """The time is over while we wait for the next try."""
        self.accept(60)
        self.wait_for(self.carrier)
        self.carrier.says(403, headers={"Retry-After": ["500"]})
        self.world.settle()
        self.assertIs(self.ours.state, State.HOLDING)
        self.world.wait(30)
        self.assertIs(self.ours.state, State.WAITING)
        self.wait_for(self.carrier)
        self.accept()
        self.leave()

    def test_lapsed_before_the_refresh(self) -> None:
        """A registrar that grants a second: asked every five."""
        self.accept(1)
        self.assertLessEqual(self.wait_for(self.carrier), 2)
        self.accept(600)
        self.leave()

    def test_no_way(self) -> None:
        """No interface leads there, and later one does."""
        for phone in (self.carrier,):
            phone.open.clear()
        self.enrolments.stop()
        self.world.wait(40)
        self.assertIs(self.ours.state, State.IDLE)
        world = World(self.configuration.replace('send_from = "public"\nexpires', "expires"), kernel=lambda host: None)
        self.waits(world, "the kernel has no route to 192.0.2.30")

    def test_no_way_any_more(self) -> None:
        """What is said last is why it goes wrong now, not what was said the time before."""
        self.accept(60)
        self.wait_for(self.carrier)
        self.carrier.says(403)
        self.world.settle()
        self.assertEqual(self.ours.last, "403 Forbidden")

        def no_way(target: Target, send_from: str) -> Choice:
            raise NoInterface("", "the kernel has no route to 192.0.2.30")

        self.patch(self.ours._hall.wire, "choose", no_way)
        self.world.wait(200)
        self.assertIs(self.ours.state, State.WAITING)
        self.assertIn("the kernel has no route", self.ours.last)
        self.enrolments.stop()
        self.gone()

    def test_no_address(self) -> None:
        """A name that leads nowhere."""
        text = self.configuration.replace("sip:192.0.2.30;transport=udp", "sip:reg.example").replace(
            "sip:192.0.2.30", "sip:reg.example"
        )
        world = World(text, dns="other.example A 192.0.2.30")
        self.waits(world, "reg.example")


class TestHopeless(Registered):
    """A registrar of sips: whose name leads to a network without TLS."""

    configuration = (
        TWO_SIDES
        + TLS_TOO
        + ONE.replace("sip:192.0.2.30;transport=udp", "sips:reg.example").replace("sip:4420", "sips:4420")
    )

    def test_secure(self) -> None:
        """S14: over TLS only, and our Contact says so too."""
        self.assertIs(self.ours.state, State.WAITING)
        self.assertIn("reg.example", self.ours.last)
        self.enrolments.stop()
        self.gone()


class TestFaults(Registered):
    """A next hop to which nothing can be sent."""

    def test_hopeless(self) -> None:
        """The next one, or the end of this round."""
        self.enrolments.stop()
        self.carrier.says(403)
        self.world.settle()
        self.ours.start()
        self.ours.hopeless(500, "a fault of ours")
        self.assertEqual((self.ours.state, self.ours.last), (State.WAITING, "a fault of ours"))
        self.carrier.open.clear()
        self.enrolments.stop()
        self.world.wait(40)
        self.gone()


class TestFailover(Registered):
    """The registrar is a group."""

    configuration = GROUP + (TO_CARRIER + ONE + CREDENTIALS).replace(
        'registrar = "sip:192.0.2.30;transport=udp"\nsend_from = "public"', 'registrar = "group:carrier"'
    ).replace('to = "sip:192.0.2.30"', 'to = "group:carrier"')

    def test_the_other(self) -> None:
        """503, silence, and a port that is closed: the next one; the registration stays with who answered."""
        self.carrier.says(503)
        self.spare.says(401, b"", challenge())
        request = self.accept(phone=self.spare)
        self.assertEqual([each.realm for each in proofs(request)], [REALM])
        self.world.wait(61)
        self.wait_for(self.spare)
        self.accept(phone=self.spare)
        self.assertEqual(self.carrier.open, [])
        self.spare.refusing = True
        self.wait_for(self.carrier)
        self.assertIs(self.ours.state, State.REFRESHING)
        self.accept()
        self.leave()

    def test_none(self) -> None:
        """All of them, one after the other, and then a pause."""
        self.carrier.says(503)
        self.spare.says(503)
        self.world.settle()
        self.assertIs(self.ours.state, State.WAITING)
        self.assertIn("503", self.ours.last)
        self.wait_for(self.carrier)
        self.accept()
        self.leave()

    def test_a_refusal_is_an_answer(self) -> None:
        """403 from one: the other is not asked."""
        self.carrier.says(403)
        self.world.settle()
        self.assertEqual((self.ours.state, self.spare.open), (State.WAITING, []))
        self.enrolments.stop()
        self.gone()


class TestStopping(Registered):
    """At the end of the bridge."""

    def test_while_asking(self) -> None:
        """The answer is awaited, and taken back; or there is nothing to take back."""
        self.enrolments.stop()
        self.world.settle()
        self.assertEqual(len(self.carrier.open), 1)
        self.accept()
        self.assertEqual(self.carrier.open[-1][1].first("Expires"), "0")
        self.carrier.says(500)
        self.gone()

    def test_while_refused(self) -> None:
        """Nothing to take back."""
        self.enrolments.stop()
        self.carrier.says(403)
        self.gone()

    def test_while_holding(self) -> None:
        """The refresh failed, but the carrier still has us: taken back where we had registered."""
        self.accept()
        self.wait_for(self.carrier)
        self.carrier.says(500)
        self.world.settle()
        self.assertIs(self.ours.state, State.HOLDING)
        self.assertEqual(self.leave().first("Expires"), "0")

    def test_again(self) -> None:
        """Begun anew while the last answer is still missing."""
        self.enrolments.stop()
        self.enrolments.start()
        self.world.wait(1)
        self.accept()
        self.assertIs(self.ours.state, State.REGISTERED)
        self.leave()


class TestServiceRoute(Registered):
    """RFC 3608."""

    ROUTES = ["<sip:edge.carrier.example;lr>, <sip:core.carrier.example;lr>"]

    def call(self, user: str = "phone") -> Request:
        """Bob calls out; returns what the carrier gets."""
        self.world.bob.address = f"<sip:{user}@10.0.0.20>"
        self.world.bob.invite("sip:+1@biloxi.example")
        request = self.carrier.says(486, to="INVITE")
        self.world.settle()
        return request

    def test_calls(self) -> None:
        """On calls to that carrier, as long as the registration lasts; its dialogs have a route set of their own."""
        self.assertNotIn("Route", self.call().headers)
        self.carrier.open = [each for each in self.carrier.open if each[1].method == "REGISTER"]
        self.accept(headers={"Service-Route": self.ROUTES})
        request = self.call()
        self.assertEqual(
            ", ".join(request.headers["Route"]), "<sip:edge.carrier.example;lr>, <sip:core.carrier.example;lr>"
        )
        self.assertEqual(request.uri_text, "sip:+1@192.0.2.30;transport=udp")
        self.world.bob.invite("sip:+1@biloxi.example")
        self.carrier.says(200, to="INVITE")
        self.world.settle()
        talk = self.world.bob.talk
        talk.bye()
        self.assertNotIn("Route", self.carrier.says(200, to="BYE").headers)
        self.leave()
        self.assertNotIn("Route", self.call().headers)
        self.world.quiet()

    def test_one_that_cannot_be_read(self) -> None:
        """The carrier's fault: without it, then."""
        self.accept(headers={"Service-Route": ["<sip:edge"]})
        self.assertNotIn("Route", self.call().headers)
        self.assertTrue(any("fault of 192.0.2.30" in line for line in self.world.journal.lines))
        self.leave()


class TestSeveral(TestServiceRoute):
    """Two registrations at one carrier: each call has that of its caller, others that of the first."""

    configuration = Registered.configuration + ONE.replace("4420", "4421")

    def test_calls(self) -> None:
        """As said."""
        self.world.settle()
        for _, request in reversed(list(self.carrier.open)):
            user = request.to.uri.user
            self.accept(headers={"Service-Route": [f"<sip:{user}.carrier.example;lr>"]})
        for caller, user in (("4421", "4421"), ("4420", "4420"), ("zoe", "4420")):
            self.assertEqual(self.call(caller).headers["Route"], [f"<sip:{user}.carrier.example;lr>"])
        self.enrolments.stop()
        self.carrier.says(200, to="REGISTER")
        self.carrier.says(200, to="REGISTER")
        self.gone()

    def test_one_that_cannot_be_read(self) -> None:
        """Said once already."""
        self.enrolments.stop()
        for _ in "12":
            self.carrier.says(403)
        self.gone()


class TestAnotherUser(Registered):
    """Who proves it is not who is called."""

    configuration = (
        TO_CARRIER
        + ONE
        + 'credentials = "second"\n'
        + CREDENTIALS.replace("4420", "first")
        + CREDENTIALS.replace("4420", "second")
    )

    def test_name(self) -> None:
        """The one that the registration names, at once and later."""
        self.carrier.says(401, b"", challenge())
        for uses in (1, 2):
            given = proofs(self.accept())
            self.assertEqual([(each.username, each.uses) for each in given], [("second", uses)])
            self.wait_for(self.carrier)
        self.accept()
        self.leave()


class TestWithoutCredentials(Registered):
    """A carrier that knows us by our address; our Contact's user is ours to choose."""

    configuration = TO_CARRIER + ONE + 'contact_user = "trunk"\n'

    def test_incoming(self) -> None:
        """Calls to the Contact come in as any."""
        self.assertEqual(self.accept().first("Contact"), "<sip:trunk@192.0.2.1:5060;transport=udp>")
        self.carrier.invite("sip:trunk@192.0.2.1:5060")
        self.assertEqual(self.world.bob.says(486).uri.user, "trunk")
        self.world.settle()
        self.leave()

    def test_a_challenge(self) -> None:
        """Nothing can be said to it."""
        self.carrier.says(401, b"", challenge())
        self.world.settle()
        self.assertEqual((self.ours.state, self.ours.last), (State.WAITING, "401 Unauthorized"))
        self.enrolments.stop()
        self.gone()


class TestByTcp(Registered):
    """A connection that the carrier closes between two REGISTERs."""

    configuration = Registered.configuration.replace("sip:192.0.2.30;transport=udp", "sip:192.0.2.30;transport=tcp")

    def setUp(self) -> None:
        """It listens on TCP."""
        self.world = World(self.configuration)
        self.carrier = self.world.phone("carrier", "192.0.2.30", "tcp")
        assert self.world.hall.enrolments is not None
        self.enrolments = self.world.hall.enrolments
        self.enrolments.start()
        self.world.wait(1)

    def test_reconnect(self) -> None:
        """The next one by a new connection to the same place, the one after by that."""
        self.accept()
        self.carrier.drop()
        self.wait_for(self.carrier)
        self.accept()
        self.wait_for(self.carrier)
        self.accept()
        self.assertEqual(len(self.world.connecting), 2)
        self.enrolments.stop()
        self.assertEqual(self.accept(0).first("Expires"), "0")
        self.assertIs(self.ours.state, State.IDLE)
