"""What is answered here and never crosses: S20, S21, S22, S40, S43, and glare (S32)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog
from b2bua.sip.message import Request, Response, parse
from b2bua.sip.uri import parse_uri
from tests.world import TWO_SIDES, Party, World

URI = "sip:bob@biloxi.example"


class OutsideDialogs(SynchronousTestCase):
    """Requests that no dialog knows."""

    def setUp(self) -> None:
        self.world = World()

    def asked(self, method: str, uri: str = URI, **headers: list[str]) -> Response:
        """What alice is answered."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = self.world.alice.ask(method, uri, headers=given)
        self.world.settle()
        return sent.responses[-1]

    def test_unknown_dialog(self) -> None:
        """S20: 481, whatever the method; an ACK for nobody is nobody's."""
        for method in ("BYE", "INFO", "INVITE", "UPDATE", "FROB"):
            tagged = self.world.alice._dialog(URI, self.world.alice.by_proxy())
            tagged.remote_tag = "unknown"
            sent = tagged.ask(method)
            self.world.settle()
            self.assertEqual(sent.status, 481)
        tagged.remote_tag = "unknown"
        self.world.alice.put(bytes(tagged.request("ACK", 1)), self.world.alice.by_proxy())
        self.world.settle()
        self.assertEqual(self.world.bob.bytes_in, [])
        self.world.quiet()

    def test_methods_that_need_a_dialog(self) -> None:
        """BYE, UPDATE, NOTIFY and PRACK without one: 481."""
        for method in ("BYE", "UPDATE", "NOTIFY", "PRACK"):
            self.assertEqual(self.asked(method).status, 481)

    def test_not_bridged_yet(self) -> None:
        """REGISTER: 405 and Allow."""
        answer = self.asked("REGISTER")
        self.assertEqual(answer.status, 405)
        self.assertNotIn("REGISTER", answer.headers["Allow"][0])
        self.assertEqual(self.world.bob.bytes_in, [])

    def test_options_to_ourselves(self) -> None:
        """RFC 3261 11.2: what we can, with a tag; not carried on."""
        answer = self.asked("OPTIONS", "sip:192.0.2.1:5060")
        self.assertEqual(answer.status, 200)
        self.assertIn("INVITE", answer.headers["Allow"][0])
        self.assertIn("timer", answer.headers["Supported"][0])
        self.assertIn("Accept", answer.headers)
        self.assertTrue(answer.to_tag)
        self.assertEqual(self.world.bob.bytes_in, [])

    def test_required_extensions(self) -> None:
        """RFC 3261 8.2.2.3, S40: 420, naming every one that we do not know."""
        answer = self.asked("INVITE", Require=["timer, frob"], Proxy_Require=["gruu"], Contact=["<sip:a@192.0.2.20>"])
        self.assertEqual((answer.status, answer.headers["Unsupported"]), (420, ["frob, gruu"]))
        self.assertEqual(self.asked("MESSAGE", Require=["a b"]).status, 400)

    def test_session_privacy(self) -> None:
        """RFC 3323 5: what the caller makes a condition, and we cannot do without the media: 500."""
        self.assertEqual(self.asked("INVITE", Privacy=["session;critical"]).status, 500)

    def test_hops(self) -> None:
        """S21: Max-Forwards 0 is 483; one less on the other side, 69 where there was none."""
        self.assertEqual(self.asked("MESSAGE", Max_Forwards=["0"]).status, 483)
        for given, left in (("1", "0"), ("255", "254")):
            self.world.alice.ask("MESSAGE", URI, headers={"Max-Forwards": [given]})
            self.assertEqual(self.world.bob.says(200).headers["Max-Forwards"], [left])
        dialog = self.world.alice._dialog(URI, self.world.alice.by_proxy())
        request = dialog.request("MESSAGE", 1)
        del request.headers["Max-Forwards"]
        self.world.alice.say(bytes(request))
        self.assertEqual(self.world.bob.says(200).headers["Max-Forwards"], ["69"])

    def test_max_breadth_is_copied(self) -> None:
        """S21, RFC 5393: as it came."""
        self.world.alice.ask("MESSAGE", URI, headers={"Max-Breadth": ["60"]})
        self.assertEqual(self.world.bob.says(200).headers["Max-Breadth"], ["60"])

    def test_merged(self) -> None:
        """S21, RFC 3261 8.2.2.2: the same request by another branch: 482; the call is not harmed."""
        talk = self.world.alice.invite(URI)
        self.world.settle()
        assert talk.sent is not None
        again = bytes(talk.sent.request).replace(b"branch=z9hG4bK", b"branch=z9hG4bKother")
        self.world.alice.say(again)
        self.world.settle()
        self.assertTrue(self.world.alice.bytes_in[-1].startswith(b"SIP/2.0 482"))
        self.world.bob.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        self.assertEqual(len(self.world.bob.dialogs), 1)

    def test_what_cannot_be_read(self) -> None:
        """A body that is no SDP: 400 before anything crosses, and nothing of a call is left."""
        talk = self.world.alice.invite(URI, body=b"v=0\r\nnonsense")
        self.world.settle()
        self.assertEqual(talk.times("400 INVITE"), 1)
        self.world.quiet()
        self.assertEqual(self.world.bob.bytes_in, [])
        sent = self.world.alice.ask("MESSAGE", URI, None, b"--", {"Content-Type": ["multipart/mixed"]})
        self.world.settle()
        self.assertEqual(sent.status, 400)

    def test_no_rule_and_a_rule_that_refuses(self) -> None:
        """404 where no rule fits; a rule's own status and words where it says so (S43: with a tag of ours)."""
        world = World(TWO_SIDES[: TWO_SIDES.index("[[route]]")])
        talk = world.alice.invite(URI)
        message = world.alice.ask("MESSAGE", URI)
        world.settle()
        self.assertEqual((talk.times("404 INVITE"), message.status), (1, 404))
        self.assertTrue(message.responses[-1].to_tag)
        refusing = '[[route]]\nname = "closed"\nreject = 603\nreason = "Not today"\n'
        world = World(TWO_SIDES.replace("[[route]]", f"{refusing}[[route]]", 1))
        talk = world.alice.invite(URI)
        message = world.alice.ask("MESSAGE", URI)
        world.settle()
        answer = talk.heard[-1]
        assert isinstance(answer, Response)
        self.assertEqual((answer.status, answer.reason, message.responses[-1].reason), (603, "Not today", "Not today"))
        lines = ["refused INVITE with 603: Not today", "refused MESSAGE with 603: Not today"]
        self.assertEqual(world.journal.lines, lines)
        world.quiet()


class Loops(SynchronousTestCase):
    """S21: our own loops, by a keyed mark in our branches."""

    def test_a_loop(self) -> None:
        """A request that comes back as it left, our Via somewhere below another's: 482. As a spiral it is legal."""
        world = World(TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"', 'to = "request-uri"'))
        world.alice.invite("sip:bob@10.0.0.20")
        world.settle()
        went = world.bob.talk.heard[0]
        assert isinstance(went, Request)
        back = parse(bytes(went))
        assert isinstance(back, Request)
        back.headers["Via"] = ["SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKx", *back.headers["Via"]]
        world.bob.say(bytes(back))
        world.settle()
        self.assertTrue(world.bob.bytes_in[-1].startswith(b"SIP/2.0 482"))
        back.uri_text = "sip:carol@192.0.2.20"
        back.headers["Via"][0] += "2"
        back.headers["CSeq"] = ["7 INVITE"]
        world.bob.say(bytes(back))
        world.settle()
        self.assertEqual([each.heard[0].method for each in world.alice.dialogs[1:]], ["INVITE"])  # type: ignore
        self.assertFalse(world.alice.bytes_in[-1].startswith(b"SIP/2.0 482"))

    def test_another_bridges_mark_is_not_ours(self) -> None:
        """The mark is keyed: nobody else can make one, or make us see a loop where there is none."""
        here, there = World(seed=1), World(seed=99)
        here.alice.invite(URI)
        here.settle()
        there.alice.say(bytes(here.bob.talk.heard[0]).replace(b"bob@10.0.0.20", b"bob@biloxi.example"))
        there.settle()
        self.assertEqual(len(there.bob.dialogs), 1)

    def test_through_us_twice(self) -> None:
        """S15: the same call passes twice: out to a proxy and back in. Four legs, two calls, one way to hang up."""
        world = World(
            TWO_SIDES.replace('zone = "private"\nto =', 'zone = "private"\nuser = "exact:carol"\nto =').replace(
                'to = "sip:10.0.0.20', 'to = "sip:carol@10.0.0.20'
            )
        )
        proxy = world.bob
        talk = world.alice.invite(URI)
        world.settle()
        invite = proxy.talk.heard[0]
        assert isinstance(invite, Request)
        passed = parse(bytes(invite))
        assert isinstance(passed, Request)
        passed.headers["Via"].insert(0, "SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKproxy")
        passed.headers["Record-Route"] = ["<sip:10.0.0.20;lr>"]
        proxy.say(bytes(passed))
        world.settle()
        self.assertEqual(len(world.hall.book), 2)
        back = world.alice.dialogs[-1]
        self.assertNotEqual(back.call_id, talk.call_id)
        self.assertNotEqual(back.call_id, invite.call_id)


class InsideDialogs(SynchronousTestCase):
    """Requests that are out of place in their dialog."""

    def setUp(self) -> None:
        self.world = World()
        self.near, self.far = self.world.call()

    def answer(self, dialog: Dialog, method: str, **more: list[str]) -> Response:
        """What a phone is answered."""
        sent = dialog.ask(method, headers={name.replace("_", "-"): value for name, value in more.items()})
        self.world.settle()
        return sent.responses[-1]

    def test_a_lower_number(self) -> None:
        """S20, RFC 3261 12.2.2: 500 for a CSeq that is no higher, on either side; the far side hears nothing."""
        self.near.info("1")
        self.world.bob.says(200)
        self.world.settle()
        self.near.cseq -= 1
        self.world.story.clear()
        self.assertEqual(self.answer(self.near, "INFO").status, 500)
        self.near.cseq -= 2
        self.assertEqual(self.answer(self.near, "BYE").status, 500)
        self.assertNotIn("bob< BYE", self.world.story)

    def test_the_number_may_be_zero(self) -> None:
        """RFC 3261 8.1.1.5: "less than 2**31", and zero is."""
        self.far.cseq = -1
        self.far.info("1")
        self.world.alice.says(200)
        self.world.settle()
        self.assertEqual(self.far.times("200 INFO"), 1)

    def test_tags_decide(self) -> None:
        """S17: the right Contact token with a wrong tag is no dialog; a wrong token with the right tags is."""
        self.near.target = parse_uri("sip:0000000000000000@192.0.2.1;transport=udp")
        self.near.info("1")
        self.world.bob.says(200)
        self.world.settle()
        self.assertEqual(self.near.times("200 INFO"), 1)
        tag, self.near.local_tag = self.near.local_tag, "guessed"
        answer = self.answer(self.near, "BYE")
        self.assertEqual((answer.status, answer.from_tag), (481, "guessed"))
        self.near.local_tag = tag
        self.near.remote_tag = "guessed"
        self.assertEqual(self.answer(self.near, "BYE").status, 481)
        self.assertEqual(len([call for call in self.world.hall.book if not call.ended_at]), 1)

    def test_one_sides_ids_do_not_work_on_the_other(self) -> None:
        """S43: a 481 to the callee, who used the caller's ids, tells nothing of them."""
        self.far.call_id, self.far.remote_tag = self.near.call_id, self.near.local_tag
        self.assertEqual(self.answer(self.far, "BYE").status, 481)

    def test_hops(self) -> None:
        """S21: 483 inside a dialog too, in that leg's identity (S43)."""
        answer = self.answer(self.near, "INFO", Max_Forwards=["0"])
        self.assertEqual((answer.status, answer.to_tag), (483, self.near.remote_tag))

    def test_what_cannot_be_read(self) -> None:
        """A broken body inside the dialog: 400; nothing crosses, and the next one does."""
        broken = {"Content-Type": ["application/sdp"]}
        update = self.near.ask("UPDATE", b"v=0\r\nnonsense", broken)
        invite = self.near.ask("INVITE", b"v=0\r\nnonsense", broken)
        self.world.settle()
        self.assertEqual((update.status, invite.status), (400, 400))
        self.near.reinvite()
        self.world.bob.says(200)
        self.world.settle()
        self.assertEqual(self.near.times("200 INVITE"), 2)
        self.assertEqual(self.far.times("INVITE"), 2)


class Glare(SynchronousTestCase):
    """S32: two INVITEs at once."""

    def setUp(self) -> None:
        self.world = World()
        self.near, self.far = self.world.call()

    def refused(self, dialog: Dialog, phone: Party, status: int) -> Response:
        """The answer to a re-INVITE that is refused here."""
        sent = dialog.reinvite()
        self.world.settle()
        self.assertEqual(sent.status, status)
        return sent.responses[-1]

    def test_from_both_sides(self) -> None:
        """RFC 3261 14.2: 491 to the one that comes second; the first goes on."""
        self.near.reinvite()
        self.world.settle()
        self.refused(self.far, self.world.bob, 491)
        self.world.bob.says(200)
        self.world.settle()
        self.assertEqual(self.near.times("200 INVITE"), 2)
        self.far.reinvite()
        self.world.alice.says(200)
        self.world.settle()
        self.assertEqual(self.far.times("200 INVITE"), 1)

    def test_from_one_side_twice(self) -> None:
        """RFC 3261 14.2: 500 with a Retry-After of 0 to 10 seconds."""
        self.far.reinvite()
        self.world.settle()
        answer = self.refused(self.far, self.world.bob, 500)
        self.assertLessEqual(int(answer.headers["Retry-After"][0]), 10)

    def test_before_the_answer(self) -> None:
        """An INVITE inside a call that only rings: 500 and Retry-After."""
        world = self.world = World()
        talk = world.alice.invite(URI)
        world.bob.says(180)
        world.settle()
        for dialog, phone in ((talk, world.alice), (world.bob.talk, world.bob)):
            self.assertIn("Retry-After", self.refused(dialog, phone, 500).headers)

    def test_before_the_ack(self) -> None:
        """One that overtakes the ACK of the last, or that comes while an answer is still owed: 491."""
        world = self.world = World()
        world.alice.acks = False
        talk = world.alice.invite(URI, body=b"")
        world.bob.says(200)
        world.settle()
        self.refused(talk, world.alice, 491)
        self.refused(world.bob.talk, world.bob, 491)

    def test_491_and_500_from_the_far_side(self) -> None:
        """They cross, and the call goes on (S18)."""
        for status in (491, 500):
            self.near.reinvite()
            self.world.bob.says(status, headers={"Retry-After": ["4 (at 10.0.0.20)"]})
            self.world.settle()
            self.assertEqual(self.near.times(f"{status} INVITE"), 1)
        self.assertEqual(self.near.last("500 INVITE").headers["Retry-After"], ["4"])
        self.assertEqual(self.far.times("BYE"), 0)

    def test_481_and_408_end_the_call(self) -> None:
        """S32, RFC 3261 12.2.1.2: the far side knows nothing of the call: BYE on both sides."""
        for status in (481, 408):
            self.setUp()
            self.near.reinvite()
            self.world.bob.says(status)
            self.world.settle()
            self.assertEqual((self.near.times(f"{status} INVITE"), self.near.times("BYE")), (1, 1))
            self.assertEqual(self.far.times("BYE"), 1)
            self.assertIn(f"ended: the peer answers {status} to an INVITE", self.world.journal.lines)
            self.world.alice.says(200)
            self.world.bob.says(481)
            self.world.quiet()

    def test_481_to_anything_else(self) -> None:
        """RFC 5057: 481 to INFO means that the dialog is no more."""
        self.near.info("1")
        self.world.bob.says(481)
        self.world.settle()
        self.assertEqual((self.near.times("481 INFO"), self.near.times("BYE"), self.far.times("BYE")), (1, 1, 1))

    def test_no_answer_to_a_reinvite(self) -> None:
        """RFC 3261 14.1: silence ends the call; a transport that cannot deliver does not."""
        self.world.bob.mute = True
        self.near.reinvite()
        self.world.wait(33)
        self.assertEqual((self.near.times("408 INVITE"), self.near.times("BYE")), (1, 1))
        self.setUp()
        self.world.bob.refusing = True
        self.near.reinvite()
        self.world.settle()
        self.assertEqual((self.near.times("503 INVITE"), self.near.times("BYE")), (1, 0))

    def overdue(self) -> None:
        """A re-INVITE that has had 100 and nothing else for as long as a call may ring; probes are answered."""
        self.near.reinvite()
        self.world.bob.says(100)
        for _ in range(22):
            self.world.wait(10)
            for phone in (self.world.alice, self.world.bob):
                if phone.open and phone.open[-1][1].method == "OPTIONS":
                    phone.says(200, to="OPTIONS")
        self.assertEqual((self.near.times("408 INVITE"), self.far.times("CANCEL")), (1, 1))

    def test_a_reinvite_without_end(self) -> None:
        """RFC 3261 14.1: 408 and CANCEL, and the call goes on; what the far side then says to it hurts nobody."""
        self.patch(self.world.bob, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        self.overdue()
        self.world.wait(40)
        self.world.bob.open.clear()
        self.assertEqual((self.near.times("BYE"), self.far.times("BYE")), (0, 0))
        self.near.reinvite()
        self.world.bob.says(200)
        self.world.settle()
        self.assertEqual(self.near.times("200 INVITE"), 2)

    def test_an_overdue_reinvite_accepted_too_late(self) -> None:
        """The two sides do not have the same session any more: ACK, and BYE to both."""
        self.patch(self.world.bob, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        self.overdue()
        self.world.bob.says(200, to="INVITE")
        self.world.settle()
        self.assertEqual((self.near.times("BYE"), self.far.times("BYE"), self.far.times("ACK")), (1, 1, 2))

    def test_hung_up_while_an_overdue_reinvite_is_cancelled(self) -> None:
        """One 408 is answer enough."""
        self.patch(self.world.bob, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        self.overdue()
        self.near.bye()
        self.world.settle()
        self.assertEqual((self.near.times("487 INVITE"), self.far.times("CANCEL")), (0, 1))

    def test_no_answer_to_anything_else(self) -> None:
        """408 for the one request; the call goes on."""
        self.world.bob.mute = True
        self.near.info("1")
        self.world.wait(33)
        self.assertEqual((self.near.times("408 INFO"), self.near.times("BYE")), (1, 0))

    def test_overlapping_updates(self) -> None:
        """RFC 3311 5.2: UPDATE from both sides crosses; each end answers the other's as it sees it."""
        self.near.update()
        self.far.update()
        self.world.alice.says(491)
        self.world.bob.says(491)
        self.world.settle()
        self.assertEqual((self.near.times("491 UPDATE"), self.far.times("491 UPDATE")), (1, 1))
