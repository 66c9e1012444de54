"""Several devices answer below us (S28): each tag of theirs is a dialog of its own on both sides."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.branch import FORKS
from b2bua.ops.phone import Dialog
from b2bua.sip.message import Request, Response, parse
from tests.world import TWO_SIDES, World

KEPT = ("Via", "From", "To", "Call-ID", "CSeq")


def tags(dialog: Dialog, what: str) -> list[str]:
    """The To tags of the responses of one kind that came."""
    return [each.to_tag for each in dialog.heard if isinstance(each, Response) and f"{each.status} INVITE" == what]


class Forks(SynchronousTestCase):
    """One INVITE, several To tags."""

    def setUp(self) -> None:
        self.world = world = World()
        self.talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        self.first = world.bob.talk
        self.second = world.bob.fork(self.first)
        self.first.ring()
        self.second.ring()
        world.settle()

    def test_the_first_tag(self) -> None:
        """RFC 2543: who rings without a tag and answers with one is one device: one dialog for the caller."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        tag, world.bob.talk.local_tag = world.bob.talk.local_tag, ""
        headers = world.bob.talk.heard[0].headers
        kept = {name: headers[name] for name in KEPT}
        world.bob.say(bytes(Response(180, "Ringing", kept)))
        world.settle()
        world.bob.talk.local_tag = tag
        world.bob.says(200)
        world.settle()
        self.assertEqual(len({*tags(talk, "180 INVITE"), *tags(talk, "200 INVITE")}), 1)
        (call,) = world.hall.book
        self.assertEqual((len(call.pairs), world.hall.book.legs), (1, 2))
        talk.bye()
        world.bob.says(200)
        world.settle()
        self.assertEqual(talk.times("200 BYE"), 1)
        world.quiet()

    def test_two_tags_for_two_tags(self) -> None:
        """S28: two 180 with two tags: the caller sees two, none of them the callee's; each again is the same again."""
        self.first.ring(183)
        self.world.settle()
        ringing = tags(self.talk, "180 INVITE")
        self.assertEqual(len(set(ringing)), 2)
        self.assertEqual(tags(self.talk, "183 INVITE"), ringing[:1])
        self.assertFalse({self.first.local_tag, self.second.local_tag} & set(ringing))

    def test_requests_go_by_tag(self) -> None:
        """S28: UPDATE in either early dialog reaches the device with that tag, and the other way round."""
        world = self.world
        self.assertEqual((self.first.times("UPDATE"), self.second.times("UPDATE")), (0, 0))
        one, other = world.alice.branch(self.talk, 1), world.alice.branch(self.talk, 2)
        other.update()
        world.settle()
        self.assertEqual((self.first.times("UPDATE"), self.second.times("UPDATE")), (0, 1))
        world.bob.says(200, to="UPDATE")
        one.update()
        world.settle()
        self.assertEqual((self.first.times("UPDATE"), self.second.times("UPDATE")), (1, 1))
        world.bob.says(200, to="UPDATE")
        self.second.info("1")
        world.alice.says(200)
        world.settle()
        self.assertEqual(other.times("INFO") + one.times("INFO"), 1)
        self.assertEqual(self.second.times("200 INFO"), 1)

    def test_cseq_begins_anew_in_each(self) -> None:
        """RFC 3261 12.1.1: both early dialogs count on from the INVITE, whatever passed in the other before."""
        world = self.world
        one = world.alice.branch(self.talk, 1)
        one.update()
        world.bob.says(200, to="UPDATE")
        world.bob.fork(self.first).ring()
        world.settle()
        third = world.alice.branch(self.talk, 3)
        third.cseq = self.talk.cseq
        third.update()
        world.settle()
        self.assertEqual((world.bob.talk.times("UPDATE"), third.times("500 UPDATE")), (1, 0))

    def test_bye_without_hops_in_one_of_them(self) -> None:
        """A BYE that may go no further ends its own early dialog all the same, and only that."""
        world = self.world
        one = world.alice.branch(self.talk, 1)
        one.ask("BYE", headers={"Max-Forwards": ["0"]})
        world.settle()
        self.assertEqual((one.times("200 BYE"), self.first.times("BYE"), self.second.times("BYE")), (1, 1, 0))
        world.bob.says(200, to="BYE")
        self.second.answer()
        world.settle()
        self.assertEqual(self.talk.times("200 INVITE"), 1)

    def test_the_second_answers(self) -> None:
        """S28: the 2xx has the tag of that early dialog; the call goes on there, the others are forgotten."""
        world = self.world
        world.alice.acks = False
        self.second.answer()
        world.settle()
        self.assertEqual(tags(self.talk, "200 INVITE"), tags(self.talk, "180 INVITE")[1:])
        self.assertEqual((self.first.times("ACK"), self.second.times("ACK")), (0, 1))
        other, one = world.alice.branch(self.talk, 2), world.alice.branch(self.talk, 1)
        world.alice.put(bytes(other.request("ACK", other.cseq)), other.way())
        world.settle()
        one.update()
        world.settle()
        self.assertEqual(one.times("481 UPDATE"), 1)
        other.bye()
        world.bob.says(200, to="BYE")
        world.settle()
        self.assertEqual(self.second.times("BYE"), 1)
        world.bob.open.clear()
        world.quiet()

    def test_both_answer(self) -> None:
        """S28: the second 2xx gets ACK and BYE by its own tag, and the caller never sees it."""
        world = self.world
        self.first.answer()
        world.settle()
        self.second.answer()
        world.settle()
        self.assertEqual(self.talk.times("200 INVITE"), 1)
        self.assertEqual([self.second.times(each) for each in ("ACK", "BYE")], [1, 1])
        self.assertEqual([self.first.times(each) for each in ("ACK", "BYE")], [1, 0])
        world.bob.says(200, to="BYE")
        bye = self.second.last("BYE")
        assert isinstance(bye, Request)
        self.assertEqual(bye.to_tag, self.second.local_tag)
        world.wait(3)
        self.assertEqual([self.second.times(each) for each in ("ACK", "BYE")], [1, 1])

    def test_one_more_answers_that_never_rang(self) -> None:
        """S28: a 2xx with a tag never seen, after the answer: ACK and BYE, by what it says of itself."""
        world = self.world
        self.second.answer()
        world.settle()
        third = world.bob.fork(self.first)
        third.answer()
        world.settle()
        self.assertEqual([third.times(each) for each in ("ACK", "BYE")], [1, 1])
        world.bob.says(200, to="BYE")
        third.answer()  # its 2xx again
        world.settle()
        self.assertEqual([third.times(each) for each in ("ACK", "BYE")], [2, 1])

    def test_only_a_new_tag_answers(self) -> None:
        """A 2xx with a third tag, and nothing else: it is the call."""
        world = self.world
        third = world.bob.fork(self.first)
        third.answer()
        world.settle()
        self.assertEqual(self.talk.times("200 INVITE"), 1)
        third.bye()
        world.alice.open.clear()
        world.settle()
        self.assertEqual(world.journal.lines[-1], "ended: the callee hung up")

    def test_the_session_of_a_fork(self) -> None:
        """S44: what a fork is told later has the session that its INVITE named, and the next version."""
        world = self.world
        self.second.answer()
        world.settle()
        other = world.alice.branch(self.talk, 2)
        other.reinvite("sendonly")
        world.settle()
        invite, again = self.first.heard[0], self.second.last("INVITE")
        origins = [each.body.split(b"\r\n")[1].split() for each in (invite, again)]
        self.assertEqual(origins[0][1], origins[1][1])
        self.assertEqual([int(each[2]) for each in origins], [1, 2])

    def test_too_many(self) -> None:
        """More early dialogs than any real fork has are not passed on; an answer still is."""
        world = self.world
        for _ in range(FORKS + 5):
            world.bob.fork(self.first).ring()
        world.settle()
        self.assertEqual(len(set(tags(self.talk, "180 INVITE"))), FORKS)
        self.first.ring(181)
        world.settle()
        self.assertEqual(self.talk.times("181 INVITE"), 1)
        world.bob.talk.answer()
        world.settle()
        self.assertEqual(self.talk.times("200 INVITE"), 1)

    def test_all_end_with_one_final(self) -> None:
        """A failure ends every early dialog; nothing of them is left."""
        world = self.world
        world.bob.says(486)
        world.settle()
        self.assertEqual(self.talk.times("486 INVITE"), 1)
        world.quiet()

    def test_cancel_ends_them_all(self) -> None:
        """One CANCEL, one 487; a device that answers all the same is hung up on."""
        world = self.world
        world.wires.lose("CANCEL", world.bob, times=9)
        self.talk.cancel()
        world.settle()
        self.second.answer()
        world.settle()
        self.assertEqual([self.second.times(each) for each in ("ACK", "BYE")], [1, 1])
        self.assertEqual([self.first.times(each) for each in ("ACK", "BYE")], [0, 0])
        world.bob.says(200, to="BYE")
        world.bob.open.clear()
        world.quiet()


class OnlyTheFirst(SynchronousTestCase):
    """`forks = "first"`: one early dialog is all that the caller ever sees (S28)."""

    more = ""

    def setUp(self) -> None:
        text = TWO_SIDES.replace(
            '[[route]]\nname = "inwards"', f'[[route]]\nname = "inwards"\nforks = "first"\n{self.more}'
        )
        self.world = world = World(text)
        self.talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        self.first = world.bob.talk
        self.second = world.bob.fork(self.first)
        self.first.ring()
        self.second.ring()
        world.settle()

    def test_one_tag(self) -> None:
        """S28: two phones ring, the caller hears it twice, with one tag."""
        self.assertEqual((self.talk.times("180 INVITE"), len(set(tags(self.talk, "180 INVITE")))), (2, 1))

    def test_any_of_them_answers(self) -> None:
        """The 2xx has that tag, the call is with who sent it; what the caller sends next goes there."""
        world = self.world
        for number in (1, 2, 3):
            if number > 1:
                self.setUp()
                world = self.world
            third = world.bob.fork(self.first)
            talking = (self.first, self.second, third)[number - 1]
            talking.answer()
            world.settle()
            self.assertEqual(tags(self.talk, "200 INVITE"), tags(self.talk, "180 INVITE")[:1])
            self.talk.info("5")
            world.bob.says(200, to="INFO")
            self.talk.reinvite("sendonly")
            world.bob.says(200)
            world.settle()
            self.assertEqual(
                (talking.times("INFO"), talking.times("INVITE"), talking.times("ACK")), (1, 1 + (number == 1), 2)
            )
            self.assertEqual(world.hall.book.legs, 2)
            talking.bye()
            world.alice.says(200, to="BYE")
            world.settle()
            self.assertEqual((self.talk.times("BYE"), talking.times("200 BYE")), (1, 1))
            world.quiet()

    def test_the_others_find_no_dialog(self) -> None:
        """Once one has answered, what another fork sends is refused."""
        self.second.answer()
        self.world.settle()
        self.first.info("1")
        self.world.settle()
        self.assertEqual((self.first.times("481 INFO"), self.talk.times("INFO")), (1, 0))

    def test_both_answer(self) -> None:
        """S28: ACK and BYE for the second, by its own tag; the call goes on."""
        self.second.answer()
        self.world.settle()
        self.first.answer()
        self.world.settle()
        self.assertEqual((self.talk.times("200 INVITE"), self.first.times("ACK"), self.first.times("BYE")), (1, 1, 1))
        self.assertEqual((self.second.times("ACK"), self.second.times("BYE")), (1, 0))

    def test_requests_go_to_the_first(self) -> None:
        """UPDATE and INFO of the caller reach the first; what a fork asks reaches the caller in its one dialog."""
        self.talk.update()
        self.world.settle()
        self.assertEqual((self.first.times("UPDATE"), self.second.times("UPDATE")), (1, 0))
        self.second.info("1")
        self.first.info("1")
        self.world.settle()
        self.world.alice.says(200)
        self.world.alice.says(200)
        self.world.settle()
        self.assertEqual(
            (self.talk.times("INFO"), self.second.times("200 INFO"), self.first.times("200 INFO")), (2, 1, 1)
        )

    def test_early_media_of_the_first_only(self) -> None:
        """RFC 3261 13.2.1: one dialog has one answer: a 183 of another fork crosses without its session."""
        for fork in (self.second, self.first):
            assert fork.invitation is not None
            fork.respond(fork.invitation, 183, fork.sdp(), {"Content-Type": ["application/sdp"]})
            self.world.settle()
        bodies = [bool(each.body) for each in self.talk.heard if isinstance(each, Response) and each.status == 183]
        self.assertEqual(bodies, [False, True])
        self.second.answer(self.second.sdp().replace(b"40000", b"40002"))
        self.world.settle()
        answers = [each.body.split(b"\r\n")[1].split() for each in self.talk.heard if each.body and b"v=0" in each.body]
        self.assertEqual((answers[0][1], len(answers)), (answers[1][1], 2))  # S44: one session of ours, two versions
        self.assertEqual(int(answers[1][2]), int(answers[0][2]) + 1)

    def test_bye(self) -> None:
        """S33: BYE in the one early dialog takes the INVITE back."""
        self.talk.bye()
        self.world.settle()
        self.assertEqual((self.talk.times("200 BYE"), self.talk.times("487 INVITE")), (1, 1))
        self.assertEqual(self.first.times("CANCEL") + self.second.times("CANCEL"), 1)
        self.world.bob.open.clear()
        self.world.quiet()

    def test_ringing_without_a_tag(self) -> None:
        """RFC 2543: 180 without a tag, 200 with one: the same early dialog."""
        world = World(TWO_SIDES.replace('name = "inwards"', 'name = "inwards"\nforks = "first"'))
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        bob = world.bob.talk
        ringing = Response(180, "Ringing", {n: v for n, v in bob.heard[0].headers.items() if n in KEPT})
        world.bob.put(bytes(ringing), bob.flow)
        world.bob.says(200)
        world.settle()
        self.assertEqual(tags(talk, "180 INVITE"), tags(talk, "200 INVITE"))
        talk.bye()
        world.bob.says(200, to="BYE")
        world.settle()
        self.assertEqual(talk.times("200 BYE"), 1)


class OnlyTheFirstOfSeveralTargets(SynchronousTestCase):
    """`forks = "first"` where we fork ourselves: still one early dialog."""

    def call(self, hunt: str) -> None:
        """Alice calls two targets."""
        to = f'to = ["sip:10.0.0.21", "sip:10.0.0.22"]\nforks = "first"\nhunt = "{hunt}"'
        self.world = world = World(TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"', to))
        self.one, self.two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")
        self.talk = world.alice.invite("sip:bob@biloxi.example")
        self.one.says(180)
        world.settle()

    def one_dialog(self) -> None:
        """What the caller saw had one tag."""
        self.assertEqual(
            len({each.to_tag for each in self.talk.heard if isinstance(each, Response) and each.to_tag}), 1
        )

    def test_in_parallel(self) -> None:
        """The first that rang refuses: the caller's early dialog is with the other one from then on."""
        self.call("parallel")
        self.two.says(180)
        self.world.settle()
        self.talk.update()
        self.world.settle()
        self.assertEqual((self.one.talk.times("UPDATE"), self.two.talk.times("UPDATE")), (1, 0))
        self.one.says(200, to="UPDATE")
        self.one.says(486)
        self.world.settle()
        self.talk.update()
        self.two.says(200, to="UPDATE")
        self.world.settle()
        self.assertEqual((self.two.talk.times("UPDATE"), self.talk.times("200 UPDATE")), (1, 2))
        self.two.says(200)
        self.world.settle()
        self.one_dialog()
        self.talk.bye()
        self.two.says(200, to="BYE")
        self.world.settle()
        self.assertEqual(self.talk.times("200 BYE"), 1)
        self.world.quiet()

    def test_in_series(self) -> None:
        """The next target rings in the same early dialog."""
        self.call("serial")
        self.one.says(503)
        self.two.says(180)
        self.world.settle()
        self.talk.info("1")
        self.two.says(200, to="INFO")
        self.world.settle()
        self.assertEqual((self.two.talk.times("INFO"), self.talk.times("200 INFO")), (1, 1))
        self.two.says(200)
        self.world.settle()
        self.one_dialog()
        self.assertEqual(self.talk.times("200 INVITE"), 1)

    def test_all_refuse(self) -> None:
        """The answer has the tag of the one early dialog."""
        self.call("parallel")
        self.two.says(180)
        self.one.says(486)
        self.two.says(404)
        self.world.settle()
        self.one_dialog()
        self.world.quiet()


class OddTags(SynchronousTestCase):
    """Devices that do not tell themselves apart as RFC 3261 asks."""

    def test_ringing_without_a_tag(self) -> None:
        """A 180 without a tag, then 200 with one: what the caller gets has tags, and the call stands."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        bob = world.bob.talk
        tag, bob.local_tag = bob.local_tag, ""
        ringing = Response(180, "Ringing", {n: v for n, v in bob.heard[0].headers.items() if n in KEPT})
        world.bob.put(bytes(ringing), bob.flow)
        world.settle()
        bob.local_tag = tag
        world.bob.says(200)
        world.settle()
        self.assertTrue(all(each.to_tag for each in talk.heard if isinstance(each, Response) and each.status > 100))
        self.assertEqual(talk.times("180 INVITE"), 1)
        bob.bye()
        world.settle()
        self.assertEqual(talk.times("BYE"), 1)
        world.alice.says(200)
        world.quiet()

    def test_early_bye_where_the_ringing_had_no_tag(self) -> None:
        """The caller knows our tag from the 180, and may hang up in that dialog."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        ringing = Response(180, "Ringing", {n: v for n, v in world.bob.talk.heard[0].headers.items() if n in KEPT})
        world.bob.put(bytes(ringing), world.bob.talk.flow)
        world.settle()
        talk.bye()
        world.settle()
        self.assertEqual((talk.times("200 BYE"), talk.times("487 INVITE")), (1, 1))
        world.bob.open.clear()
        world.quiet()

    def test_an_answer_without_a_tag(self) -> None:
        """RFC 2543 devices sent none (RFC 3261 12.1.2: "the value of the remote tag is null"): a call all the same."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        kept = {n: v for n, v in world.bob.talk.heard[0].headers.items() if n in KEPT}
        world.bob.put(bytes(Response(200, "OK", {**kept, "Contact": [world.bob.contact]})), world.bob.talk.flow)
        world.settle()
        ack = parse(world.bob.bytes_in[-1])
        assert isinstance(ack, Request)
        self.assertEqual((ack.method, ack.headers["To"]), ("ACK", ["<sip:bob@10.0.0.20>"]))
        world.forget()
        talk.bye()
        world.settle()
        self.assertEqual(world.story[:2], ["alice> BYE", "bob< BYE"])
