"""What becomes of a 3xx (S41): followed, rewritten, or passed on, as the route says."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.redirection import CONTACTS, DEPTH, TARGETS
from b2bua.ops.phone import Dialog
from b2bua.sip.message import Request, Response
from tests.world import TLS_TOO, TWO_SIDES, World

TO = 'to = "sip:10.0.0.20;transport=udp"'
BOB = "sip:bob@biloxi.example"


def route(more: str, to: str = '"sip:10.0.0.20;transport=udp"') -> str:
    """A configuration whose route inwards says this too."""
    return TWO_SIDES.replace(TO, f"to = {to}\n{more}")


class Redirected(SynchronousTestCase):
    """Bob's server redirects."""

    def call(self, world: World, status: int, *contacts: str) -> Dialog:
        """Alice calls and bob's server says this."""
        self.world = world
        self.talk = world.alice.invite(BOB)
        world.bob.says(status, headers={"Contact": list(contacts)})
        world.settle()
        return self.talk

    def final(self) -> Response:
        """What the caller got."""
        finals = [each for each in self.talk.heard if isinstance(each, Response) and each.status >= 200]
        self.assertEqual(len(finals), 1)
        return finals[0]


class Rewritten(Redirected):
    """The default: the caller is to come to us again."""

    def test_the_host_is_ours(self) -> None:
        """S41: status, user, q and expires cross; the host is the near listener's, nothing else is left."""
        self.call(
            World(),
            302,
            '"Bob" <sip:bob2@10.9.9.9:5070;transport=tcp;x=10.9.9.9?Subject=x>;q=0.3;expires=60;y=10.9.9.9',
        )
        answer = self.final()
        self.assertEqual(answer.headers["Contact"], ["<sip:bob2@192.0.2.1:5060;transport=udp>;q=0.3;expires=60"])
        self.assertEqual((answer.status, answer.reason), (302, "Moved Temporarily"))
        self.assertNotIn(b"10.9.9.9", bytes(answer))
        self.assertEqual(self.world.journal.lines[-1], "ended: refused with 302")
        self.world.quiet()

    def test_several(self) -> None:
        """Each once, the most wished for first; numbers too; what leads nowhere through us is left out."""
        contacts = (
            "<sip:low@10.9.9.9>;q=0.1",
            "<sip:best@10.9.9.9>",
            "<sip:best@10.8.8.8>;q=0.9",
            "<sip:10.9.9.9>",
            "<sips:safe@10.9.9.9>",
            "<mailto:bob@10.9.9.9>",
            "<tel:+1-555>;q=0.5",
            "<tel:555;phone-context=10.9.9.9>",
            "<sip:odd@10.9.9.9>;q=7;expires=soon",
            "<sip:5;phone-context=10.9.9.9@10.9.9.9>;q=0",
            "nonsense",
        )
        for given in (contacts, (", ".join(contacts[:-1]),)):
            self.call(World(), 300, *given)
            self.assertEqual(
                self.final().headers["Contact"],
                [
                    "<sip:best@192.0.2.1:5060;transport=udp>",
                    "<sip:odd@192.0.2.1:5060;transport=udp>",
                    "<tel:+1-555>;q=0.5",
                    "<sip:low@192.0.2.1:5060;transport=udp>;q=0.1",
                    "<sip:5@192.0.2.1:5060;transport=udp>;q=0",
                ],
            )

    def test_nothing_of_use(self) -> None:
        """480 as ever: no Contact, or none that leads through us."""
        for contacts in ((), ("<sip:10.9.9.9>",), ("*",), ("<mailto:a@b.example>",)):
            self.call(World(), 305, *contacts)
            self.assertEqual((self.final().status, self.final().headers.get("Contact")), (480, None))

    def test_secure(self) -> None:
        """S14: a sips call's Contacts are sips."""
        world = World(TWO_SIDES + TLS_TOO)
        ann, ben = world.phone("ann", "192.0.2.30", "tls"), world.phone("ben", "10.0.0.20", "tls")
        talk = ann.invite("sips:bob@biloxi.example")
        ben.says(302, headers={"Contact": ["<sip:bob2@10.9.9.9>", "<sips:bob3@10.9.9.9>"]})
        world.settle()
        contacts = talk.last("302 INVITE").headers["Contact"]
        self.assertEqual(contacts, ["<sips:bob2@192.0.2.1:5061>", "<sips:bob3@192.0.2.1:5061>"])

    def test_the_caller_comes_again(self) -> None:
        """The Contact that the caller is given works: it reaches us, with the user that was meant."""
        self.call(World(), 302, "<sip:bob2@10.9.9.9>")
        contact = self.final().headers["Contact"][0]
        self.world.alice.invite(contact[1:-1])
        self.world.bob.says(200)
        self.world.settle()
        invite = self.world.bob.talk.heard[0]
        assert isinstance(invite, Request)
        self.assertTrue(invite.uri_text.startswith("sip:bob2@10.0.0.20"))

    def test_other_methods(self) -> None:
        """The same outside dialogs."""
        world = World()
        sent = world.alice.ask("MESSAGE", BOB)
        world.bob.says(301, headers={"Contact": ["<sip:bob2@10.9.9.9>"]})
        world.settle()
        self.assertEqual(sent.status, 301)
        self.assertEqual(sent.responses[-1].headers["Contact"], ["<sip:bob2@192.0.2.1:5060;transport=udp>"])
        world.quiet()

    def test_in_a_dialog(self) -> None:
        """There is nowhere else for a re-INVITE to go: 480."""
        world = World()
        near, _ = world.call()
        near.reinvite()
        world.bob.says(302, headers={"Contact": ["<sip:bob2@10.9.9.9>"]})
        world.settle()
        self.assertEqual(near.times("480 INVITE"), 1)

    def test_among_parallel_targets(self) -> None:
        """S29: a redirection is of a lower class than a refusal; one of no use is a 480 among others."""
        for contact, status in (("<sip:bob2@10.9.9.9>", 302), ("<sip:10.9.9.9>", 486)):
            world = World(route('hunt = "parallel"', '["sip:10.0.0.20", "sip:10.0.0.21"]'))
            one = world.phone("one", "10.0.0.21")
            self.talk = world.alice.invite(BOB)
            one.says(486)
            world.bob.says(302, headers={"Contact": [contact]})
            world.settle()
            self.assertEqual(self.final().status, status)


class Passed(Redirected):
    """`redirect = "pass"`: the operator shows the far side's addresses."""

    def test_as_they_are(self) -> None:
        """S41: whole, the most wished for first; what cannot be read does not cross."""
        contacts = ["<sip:low@10.9.9.9>;q=0.1", '"Bob" <sip:bob@10.9.9.9;transport=tcp>;expires=60', "<sip:"]
        self.call(World(route('redirect = "pass"')), 302, *contacts)
        self.assertEqual((self.final().status, self.final().headers["Contact"]), (302, [contacts[1], contacts[0]]))

    def test_every_3xx(self) -> None:
        """The status is kept, one that nobody registered too."""
        for status in (300, 301, 305, 380, 399):
            self.call(World(route('redirect = "pass"')), status, "<sip:bob@10.9.9.9>")
            self.assertEqual(self.final().status, status)

    def test_none(self) -> None:
        """Without a Contact it leads nowhere: 480."""
        self.call(World(route('redirect = "pass"')), 302)
        self.assertEqual(self.final().status, 480)


class Followed(Redirected):
    """`redirect = "follow"`: we go there ourselves."""

    def setUp(self) -> None:
        self.follow(route('redirect = "follow"'))

    def follow(self, text: str) -> None:
        """A world with phones to be redirected to."""
        self.world = world = World(text)
        self.one, self.two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")

    def redirected(self, *contacts: str) -> Dialog:
        """Alice calls; bob's server redirects."""
        return self.call(self.world, 302, *contacts)

    def lines(self) -> str:
        """The journal."""
        return "\n".join(self.world.journal.lines)

    def test_to_another(self) -> None:
        """S30, S41: a fresh leg; the Contact's user; not its headers; the caller sees only who answers."""
        talk = self.redirected("<sip:bob2@10.0.0.21:5060;x=1;lr;method=BYE?Replaces=a%40b>")
        first, second = self.world.bob.talk.heard[0], self.one.talk.heard[0]
        assert isinstance(second, Request)
        self.assertEqual(second.uri_text, "sip:bob2@10.0.0.21:5060;x=1")
        self.assertNotEqual((first.call_id, first.from_tag), (second.call_id, second.from_tag))
        self.assertNotIn("Replaces", second.headers)
        self.one.says(200)
        self.world.settle()
        self.assertEqual((talk.times("200 INVITE"), talk.times("302 INVITE")), (1, 0))
        self.assertEqual(self.world.bob.talk.times("ACK"), 1)
        talk.bye()
        self.one.says(200, to="BYE")
        self.world.quiet()

    def test_by_q(self) -> None:
        """RFC 3261 8.1.3.4: one after the other by q, whatever the one before says; the last answer counts with all."""
        talk = self.redirected("<sip:bob@10.0.0.21>;q=0.2", "<sip:10.0.0.22>;q=0.8")
        self.assertEqual((len(self.one.dialogs), len(self.two.dialogs)), (0, 1))
        self.two.says(404)
        self.one.says(486)
        self.world.settle()
        self.assertEqual(len(self.one.dialogs), 1)
        self.assertEqual(talk.times("404 INVITE") + talk.times("486 INVITE"), 1)
        self.world.quiet()

    def test_6xx_ends_it(self) -> None:
        """S29: also among the targets of a redirection."""
        self.redirected("<sip:bob@10.0.0.21>", "<sip:bob@10.0.0.22>")
        self.one.says(603)
        self.world.settle()
        self.assertEqual((self.final().status, self.two.dialogs), (603, []))

    def test_in_parallel(self) -> None:
        """S30: all of them at once, beside those that were under way; the first 2xx cancels the others."""
        self.follow(route('redirect = "follow"\nhunt = "parallel"', '["sip:10.0.0.20", "sip:10.0.0.22"]'))
        self.world.phone("three", "10.0.0.23")
        self.redirected("<sip:bob@10.0.0.21>", "<sip:bob@10.0.0.22>", "<sip:bob@10.0.0.23>")
        three = self.world.phones[-1]
        self.assertEqual([len(each.dialogs) for each in (self.one, self.two, three)], [1, 1, 1])
        for phone in (self.one, self.two, three):
            phone.says(180)
        self.two.says(200)
        self.world.settle()
        self.assertEqual([each.talk.times("CANCEL") for each in (self.one, self.two, three)], [1, 0, 1])

    def test_before_the_next_target(self) -> None:
        """What a target redirects to comes before the next of the route, which comes only if `go_on` says so."""
        for said, next_target in ((503, 1), (486, 0)):
            self.follow(route('redirect = "follow"', '["sip:10.0.0.20", "sip:10.0.0.22"]'))
            self.redirected("<sip:bob@10.0.0.21>")
            self.assertEqual(self.two.dialogs, [])
            self.one.says(said)
            self.world.settle()
            self.assertEqual(len(self.two.dialogs), next_target)

    def test_a_chain(self) -> None:
        """Bounded: so many redirections one after the other, then 480."""
        self.redirected("<sip:bob1@10.0.0.21>")
        for depth in range(2, DEPTH + 2):
            self.one.says(302, headers={"Contact": [f"<sip:bob{depth}@10.0.0.21>"]})
        self.world.settle()
        self.assertEqual((len(self.one.dialogs), self.final().status), (DEPTH, 480))
        self.assertIn("redirected too often", self.lines())
        self.world.quiet()

    def test_a_tree(self) -> None:
        """Bounded: so many Contacts of one answer, so many targets in all."""
        contacts = [f"<sip:bob{number}@10.0.0.21>" for number in range(CONTACTS + 5)]
        self.redirected(*contacts)
        for number in range(TARGETS):
            if not any(request.method == "INVITE" for _, request in self.one.open):
                break
            self.one.says(302, headers={"Contact": [f"<sip:{number}.{each}@10.0.0.21>" for each in range(CONTACTS)]})
            self.world.settle()
        self.assertEqual((len(self.one.dialogs), self.final().status), (TARGETS - 1, 480))
        self.world.quiet()

    def test_loops(self) -> None:
        """S41: never where it was tried already, in whatever spelling, and never to ourselves."""
        for contact in (
            "<sip:bob@10.0.0.20>",
            "<sip:10.0.0.20:5060;transport=udp;x=y>",
            "<sip:b%6fb@10.0.0.20;transport=UDP>",
            "<sip:bob@biloxi.example;maddr=10.0.0.20>",
        ):
            self.setUp()
            self.redirected(contact)
            self.assertEqual((self.final().status, len(self.world.bob.dialogs)), (480, 1), contact)
            self.assertIn("a loop, it was tried before", self.lines())
        for contact in (
            "<sip:bob@10.0.0.1>",
            "<sip:bob@192.0.2.1;transport=tcp>",
            "<sip:bob@a.example;maddr=10.0.0.1>",
        ):
            self.setUp()
            self.redirected(contact)
            self.assertEqual((self.final().status, len(self.world.bob.dialogs)), (480, 1), contact)
            self.assertIn("a loop, that is here", self.lines())

    def test_another_user_or_transport_is_no_loop(self) -> None:
        """The same server may be asked for somebody else."""
        talk = self.redirected("<sip:bob2@10.0.0.20>")
        self.assertEqual(len(self.world.bob.dialogs), 2)
        self.world.bob.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)

    def test_what_cannot_be_followed(self) -> None:
        """480: another scheme, another network than the route's zone, nonsense; the reason is in the journal."""
        for contact, why in (
            ("<tel:+1555>", "tel is not a scheme to send to"),
            ("<sip:bob@10.0.0.21;maddr=[>", "redirected to"),
        ):
            self.setUp()
            self.redirected(contact)
            self.assertEqual(self.final().status, 480)
            self.assertIn(why, self.lines())
        self.setUp()
        self.redirected("<sip:bob@[2001:db8::1]>")  # the zone has no IPv6
        self.assertEqual(self.final().status, 503)

    def test_sips(self) -> None:
        """S14: a sips call stays one: what redirects it to sip is asked by TLS."""
        world = self.world = World(route('redirect = "follow"') + TLS_TOO)
        ann, ben = world.phone("ann", "192.0.2.30", "tls"), world.phone("ben", "10.0.0.20", "tls")
        one = world.phone("one", "10.0.0.21", "tls")
        ann.invite("sips:bob@biloxi.example")
        ben.says(302, headers={"Contact": ["<sip:bob@10.0.0.21:5061;transport=udp>"]})
        world.settle()
        invite = one.talk.heard[0]
        assert isinstance(invite, Request)
        self.assertTrue(invite.uri_text.startswith("sips:bob@10.0.0.21"))

    def test_cancel(self) -> None:
        """S26: CANCEL goes to where it was redirected to."""
        talk = self.redirected("<sip:bob@10.0.0.21>", "<sip:bob@10.0.0.22>")
        self.one.says(180)
        self.world.settle()
        talk.cancel()
        self.world.settle()
        self.assertEqual((self.one.talk.times("CANCEL"), self.world.bob.talk.times("CANCEL")), (1, 0))
        self.assertEqual(self.two.dialogs, [])
        self.world.quiet()

    def test_other_methods(self) -> None:
        """The same outside dialogs, one after the other."""
        sent = self.world.alice.ask("MESSAGE", BOB)
        self.world.bob.says(302, headers={"Contact": ["<sip:bob@10.0.0.21>", "<sip:bob@10.0.0.22>"]})
        self.one.says(404)
        self.two.says(200)
        self.world.settle()
        self.assertEqual(sent.status, 200)
        self.world.quiet()

    def test_the_request_uri_as_the_target(self) -> None:
        """A route "request-uri": where it went first counts as tried."""
        self.follow(route('redirect = "follow"', '"request-uri"'))
        self.talk = self.world.alice.invite("sip:bob@10.0.0.21")
        self.one.says(302, headers={"Contact": ["<sip:bob@10.0.0.21>", "<sip:bob@10.0.0.22>"]})
        self.two.says(200)
        self.world.settle()
        self.assertEqual((self.final().status, len(self.one.dialogs)), (200, 1))
