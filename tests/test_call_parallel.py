"""Several targets at once (S29, S30): one of them makes the call, or the best answer of all is the caller's."""

from __future__ import annotations

from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.hunt import AT_ONCE
from b2bua.ops.phone import Dialog
from b2bua.sip.message import Request, Response
from tests.world import TWO_SIDES, Party, World

TO = 'to = "sip:10.0.0.20;transport=udp"'
HOSTS = ("10.0.0.21", "10.0.0.22", "10.0.0.23")


def parallel(*hosts: str, more: str = "") -> str:
    """A configuration whose route tries these hosts at once."""
    hops = ", ".join(f'"sip:{host}"' for host in hosts or HOSTS)
    return TWO_SIDES.replace(TO, f'to = [{hops}]\nhunt = "parallel"\n{more}')


class Three(SynchronousTestCase):
    """Three phones that ring at once; what the tests below share."""

    more = ""

    def setUp(self) -> None:
        self.world = world = World(parallel(more=self.more))
        self.phones = [world.phone(name, host) for name, host in zip(("one", "two", "three"), HOSTS, strict=True)]
        self.one, self.two, self.three = self.phones

    def call(self, **headers: list[str]) -> Dialog:
        """Alice calls."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        talk = self.world.alice.invite("sip:bob@biloxi.example", headers=named)
        self.world.forget()
        return talk

    def ring(self, *phones: Party) -> Dialog:
        """Alice calls, these ring."""
        talk = self.call()
        for phone in phones or self.phones:
            phone.says(180)
        self.world.forget()
        return talk

    def counts(self, what: str) -> list[int]:
        """How many of these each phone got."""
        return [sum(each.times(what) for each in phone.dialogs) for phone in self.phones]

    def ends(self, why: str) -> None:
        """The call is over for this reason, and nothing of it is left."""
        self.assertEqual(self.world.journal.lines[-1], f"ended: {why}")
        self.world.quiet()


class Answered(Three):
    """Somebody accepts."""

    def test_all_at_once(self) -> None:
        """S30: an INVITE each, nothing of one in another: Call-ID, tag, branch, Contact."""
        self.world.alice.invite("sip:bob@biloxi.example")
        self.world.ladder("alice> INVITE, alice< 100 INVITE, one< INVITE, two< INVITE, three< INVITE")
        invites = [phone.talk.heard[0] for phone in self.phones]
        for values in (
            {each.call_id for each in invites},
            {each.from_tag for each in invites},
            {each.via.branch for each in invites},
            {each.headers["Contact"][0] for each in invites},
            {each.body.split(b"\r\n")[1] for each in invites},
        ):
            self.assertEqual(len(values), 3)
        self.assertEqual(self.world.journal.lines, ["started by rule inwards"])

    def test_the_first_2xx(self) -> None:
        """S29, RFC 3326: the losers are cancelled and told why; each ringing phone had a tag of its own (S28)."""
        talk = self.ring()
        self.assertEqual(len({each.to_tag for each in talk.heard if isinstance(each, Response) and each.to_tag}), 3)
        self.two.says(200)
        self.world.ladder(
            "two> 200 INVITE, two< ACK, one< CANCEL, one> 200 CANCEL, one> 487 INVITE",
            "three< CANCEL, three> 200 CANCEL, three> 487 INVITE, alice< 200 INVITE, alice> ACK",
            "one< ACK, three< ACK",
        )
        for phone in (self.one, self.three):
            self.assertEqual(phone.talk.last("CANCEL").headers["Reason"], ["SIP;cause=200"])
        self.world.forget()
        talk.bye()
        self.two.says(200, to="BYE")
        self.world.settle()
        self.assertEqual(talk.times("200 BYE"), 1)
        self.ends("the caller hung up")

    def test_one_that_has_not_answered_at_all(self) -> None:
        """S26: CANCEL for it waits for its first 1xx."""
        talk = self.call()
        self.one.says(100)
        self.two.says(200)
        self.world.forget()
        self.assertEqual(self.counts("CANCEL"), [1, 0, 0])
        self.three.says(180)
        self.world.ladder("three> 180 INVITE, three< CANCEL, three> 200 CANCEL, three> 487 INVITE, three< ACK")
        self.assertEqual(talk.times("180 INVITE"), 0)

    def test_2xx_crosses_the_cancel(self) -> None:
        """S27, S28: two 2xx: the second gets ACK and BYE in its own dialog; the caller sees one."""
        self.patch(self.one, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        talk = self.ring()
        self.two.says(200)
        self.one.says(200)
        self.world.forget()
        self.assertEqual((talk.times("200 INVITE"), self.counts("ACK"), self.counts("BYE")), (1, [1, 1, 1], [1, 0, 0]))
        bye = self.one.talk.last("BYE")
        assert isinstance(bye, Request)
        self.assertEqual((bye.to_tag, bye.call_id), (self.one.talk.local_tag, self.one.talk.call_id))
        self.one.says(200, to="BYE")
        self.world.wait(40)
        self.assertEqual([each.phase.value for each in self.world.hall.book], ["answered"])
        talk.bye()
        self.two.says(200, to="BYE")
        self.ends("the caller hung up")

    def test_2xx_that_never_rang_comes_late(self) -> None:
        """The same of one that said 100 and no more: the dialog is what the 2xx makes it."""
        self.patch(self.three, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        self.call()
        self.three.says(100)
        self.two.says(200)
        self.three.says(200)
        self.world.settle()
        self.assertEqual((self.counts("ACK")[2], self.counts("BYE")[2]), (1, 1))
        self.three.says(200, to="BYE")

    def test_a_late_failure_is_acknowledged(self) -> None:
        """A loser that refuses after the call stands gets its ACK, and changes nothing."""
        for phone in (self.one, self.three):
            self.patch(phone, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        talk = self.ring()
        self.two.says(200)
        self.one.says(486)
        self.three.says(603)
        self.world.settle()
        self.assertEqual((self.counts("ACK"), talk.times("200 INVITE"), talk.times("BYE")), ([1, 1, 1], 1, 0))

    def test_one_refuses_and_another_accepts(self) -> None:
        """S29: a failure waits for what the others say."""
        talk = self.ring(self.two)
        self.one.says(486)
        self.three.says(404)
        self.world.settle()
        self.assertEqual((talk.times("486 INVITE"), talk.times("404 INVITE")), (0, 0))
        self.two.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)

    def test_an_early_dialog_that_is_over(self) -> None:
        """S28: what a phone that refused sends still, or the caller to it, finds no dialog; the others' go on."""
        talk = self.ring()
        self.one.says(486)
        self.world.settle()
        gone, other = self.world.alice.branch(talk, 1), self.world.alice.branch(talk, 2)
        gone.update()
        other.update()
        self.world.settle()
        self.assertEqual((gone.times("481 UPDATE"), self.counts("UPDATE")), (1, [0, 1, 0]))

    def test_an_answer_that_cannot_cross(self) -> None:
        """502; its sender gets ACK and BYE, the others CANCEL (RFC 3261 13.2.2.4)."""
        talk = self.ring()
        self.two.says(200, b"v=0\r\ns=\r\nm", {"Content-Type": ["application/sdp"]})
        self.two.says(200, to="BYE")
        self.world.settle()
        self.assertEqual(
            (talk.times("502 INVITE"), self.counts("CANCEL"), self.counts("BYE")), (1, [1, 0, 1], [0, 1, 0])
        )
        self.ends("the answer of the far side cannot be read")

    def test_late_offer(self) -> None:
        """S24: without an offer of the caller's, the ACK with the answer goes to the one that accepted."""
        talk = self.world.alice.invite("sip:bob@biloxi.example", body=b"")
        self.two.says(200)
        self.world.settle()
        self.assertEqual((talk.times("200 INVITE"), self.counts("ACK")), (1, [0, 1, 0]))
        self.assertIn(b"m=audio", self.two.talk.last("ACK").body)

    def test_no_ack(self) -> None:
        """S23: the caller's ACK never comes: BYE to both."""
        self.world.alice.acks = False
        self.ring()
        self.two.says(200)
        self.world.wait(33)
        self.two.says(200, to="BYE")
        self.world.alice.says(200, to="BYE")
        self.ends("no ACK came for the 2xx")


class Refused(Three):
    """Nobody accepts."""

    def answers(self, *statuses: int) -> Response:
        """What the caller gets when the phones say these, in this order."""
        self.setUp()
        talk = self.call()
        for phone, status in zip(self.phones, statuses, strict=True):
            phone.says(status)
        self.world.settle()
        finals = [each for each in talk.heard if isinstance(each, Response) and each.status >= 200]
        self.assertEqual((len(finals), self.counts("ACK")), (1, [1, 1, 1]))
        self.world.quiet()
        return finals[0]

    def test_the_best(self) -> None:
        """S29, RFC 3261 16.7 6: the lowest class; in 4xx what tells how to try again; 503 is 500."""
        for said, heard in (
            ((486, 500, 404), 486),
            ((500, 404, 503), 404),
            ((503, 503, 503), 500),
            ((503, 504, 503), 504),
            ((486, 404, 407), 407),
            ((480, 484, 486), 484),
            ((408, 487, 480), 480),
            ((404, 302, 486), 404),
            ((420, 415, 486), 420),
        ):
            self.assertEqual(self.answers(*said).status, heard, said)

    def test_6xx(self) -> None:
        """S29, RFC 3261 16.7 5: 6xx ends it at once: the others are cancelled and not waited for."""
        talk = self.ring(self.one, self.three)
        self.two.says(603)
        self.world.ladder(
            "two> 603 INVITE, two< ACK, alice< 603 INVITE, alice> ACK, one< CANCEL, one> 200 CANCEL, one> 487 INVITE",
            "three< CANCEL, three> 200 CANCEL, three> 487 INVITE, one< ACK, three< ACK",
        )
        self.assertEqual(self.one.talk.last("CANCEL").headers["Reason"], ["SIP;cause=603"])
        self.assertEqual(talk.times("603 INVITE"), 1)
        self.ends("refused with 603")

    def test_6xx_and_a_2xx_crosses_the_cancel(self) -> None:
        """S27: the caller has its 603; who accepted gets ACK and BYE."""
        self.patch(self.one, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        talk = self.ring(self.one)
        self.two.says(600)
        self.one.says(200)
        self.one.says(200, to="BYE")
        self.three.says(100)
        self.world.settle()
        self.assertEqual((talk.times("600 INVITE"), talk.times("200 INVITE")), (1, 0))
        self.assertEqual((self.counts("ACK"), self.counts("BYE")), ([1, 1, 1], [1, 0, 0]))
        self.ends("refused with 600")

    def test_challenges_are_merged(self) -> None:
        """S29, RFC 3261 16.7 7: all challenges of 401 and 407 go into the one answer, each once."""
        talk = self.call()
        a, b, c = (f'Digest realm="{name}", nonce="1"' for name in "abc")
        self.one.says(407, headers={"Proxy-Authenticate": [a, b]})
        self.two.says(401, headers={"WWW-Authenticate": [c]})
        self.three.says(407, headers={"Proxy-Authenticate": [b, c]})
        self.world.settle()
        answer = talk.last("407 INVITE")
        self.assertEqual(answer.headers["Proxy-Authenticate"], [a, b, c])
        self.assertEqual(answer.headers["WWW-Authenticate"], [c])
        self.world.quiet()

    def test_one_challenge_among_others(self) -> None:
        """S29: one that is alone is not mixed with what a 486 might say."""
        talk = self.call()
        self.one.says(486, headers={"WWW-Authenticate": ['Digest realm="x"']})
        self.two.says(401, headers={"WWW-Authenticate": ['Digest realm="a"']})
        self.three.says(404)
        self.world.settle()
        self.assertEqual(talk.last("401 INVITE").headers["WWW-Authenticate"], ['Digest realm="a"'])

    def test_silence_on_one(self) -> None:
        """S52: no answer in 64·T1 from one is that one's 408; the others' answers are waited for, and better."""
        self.one.mute = True
        talk = self.ring(self.two)
        self.three.says(486)
        self.world.wait(33)
        self.assertEqual(talk.times("408 INVITE"), 0)
        self.two.says(480)
        self.world.settle()
        self.assertEqual(talk.times("486 INVITE") + talk.times("480 INVITE"), 1)
        self.assertIn("no way: udp 10.0.0.1:5060 <-> 10.0.0.21:5060: no answer", self.world.journal.lines)
        self.world.quiet()

    def test_the_transport_fails_on_one(self) -> None:
        """S52: ICMP on one, the others go on; where all fail it is our own 503."""
        self.one.refusing = self.three.refusing = True
        talk = self.ring(self.two)
        self.assertEqual(talk.times("180 INVITE"), 1)
        self.two.says(200)
        self.world.settle()
        self.assertEqual((talk.times("200 INVITE"), self.counts("CANCEL")), (1, [0, 0, 0]))
        self.setUp()
        for phone in self.phones:
            phone.refusing = True
        talk = self.call()
        self.assertEqual(talk.times("503 INVITE"), 1)
        self.world.quiet()

    def test_no_socket(self) -> None:
        """All fail as they are sent: one answer, once."""
        self.world.sockets["private-udp"].broken = "the network is down"
        talk = self.call()
        self.assertEqual(talk.times("503 INVITE"), 1)
        self.world.quiet()

    def test_a_fault_of_ours(self) -> None:
        """500, once; what would go wrong in the same way is not begun."""
        with patch("b2bua.call.hall.Hall.far_leg", side_effect=LookupError("ours")):
            talk = self.call()
        self.assertEqual(talk.times("500 INVITE"), 1)
        self.assertEqual(self.world.journal.lines, ["crashed: ours", "ended: a fault of ours"])
        self.world.quiet()


class GivenUp(Three):
    """The caller does not wait."""

    def test_cancel(self) -> None:
        """S26: CANCEL to all, with the caller's reason; held where nothing was heard yet."""
        talk = self.ring(self.one, self.two)
        headers = {name: list(talk.heard[0].headers[name]) for name in ("From", "Call-ID", "Via")}
        assert talk.sent is not None
        headers |= {"To": talk.sent.request.headers["To"], "CSeq": ["1 CANCEL"], "Max-Forwards": ["70"]}
        headers["Reason"] = ['Q.850;cause=16;text="at biloxi"']
        self.world.alice.say(bytes(Request("CANCEL", talk.sent.request.uri_text, headers)))
        self.world.settle()
        self.assertEqual((talk.times("487 INVITE"), self.counts("CANCEL")), (1, [1, 1, 0]))
        self.assertEqual(self.two.talk.last("CANCEL").headers["Reason"], ["Q.850;cause=16"])
        self.three.says(100)
        self.world.settle()
        self.assertEqual((self.counts("CANCEL"), self.counts("ACK")), ([1, 1, 1], [1, 1, 1]))
        self.ends("cancelled")

    def test_cancel_and_one_accepts(self) -> None:
        """S27: ACK and BYE to it, 487 for the caller."""
        self.patch(self.two, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        talk = self.ring()
        talk.cancel()
        self.world.settle()
        self.two.says(200)
        self.two.says(200, to="BYE")
        self.world.settle()
        self.assertEqual((talk.times("487 INVITE"), talk.times("200 INVITE"), self.counts("BYE")), (1, 0, [0, 1, 0]))
        self.ends("cancelled")

    def test_cancel_while_names_are_looked_up(self) -> None:
        """One is there, the other's name is being looked up: the one is cancelled, the other hears nothing."""
        self.world = world = World(parallel("10.0.0.21", "pbx.example:5060"), dns="pbx.example A 10.0.0.22")
        self.phones = [world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")]
        world.dns_delay = 1.0
        talk = self.ring(self.phones[0])
        talk.cancel()
        world.wait(3)
        self.assertEqual((talk.times("487 INVITE"), self.counts("CANCEL"), self.phones[1].dialogs), (1, [1, 0], []))
        world.quiet()

    def test_answered_while_a_name_is_looked_up(self) -> None:
        """Nobody is called any more once the call stands."""
        self.world = world = World(parallel("10.0.0.21", "pbx.example:5060"), dns="pbx.example A 10.0.0.22")
        self.phones = [world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")]
        world.dns_delay = 1.0
        self.call()
        self.phones[0].says(200)
        world.wait(3)
        self.assertEqual(self.phones[1].dialogs, [])

    def test_bye_in_two_early_dialogs(self) -> None:
        """S33: BYE in one ends that one; BYE in the last takes the INVITE back."""
        talk = self.ring(self.one, self.two)
        for number in (1, 2):
            self.world.alice.branch(talk, number).bye()
            self.world.settle()
            if number == 1:
                self.one.says(200, to="BYE")
                self.one.says(487, to="INVITE")
                self.world.settle()
        self.assertEqual((self.counts("BYE"), self.counts("CANCEL")), ([1, 0, 0], [0, 1, 0]))
        self.assertEqual(talk.times("487 INVITE"), 1)
        self.three.says(180)
        self.world.settle()
        self.assertEqual(self.counts("CANCEL"), [0, 1, 1])
        self.ends("the caller hung up")

    def test_bye_in_an_early_dialog_crosses_its_2xx(self) -> None:
        """RFC 3261 15: who was hung up has not answered: ACK and BYE, while the others ring on."""
        talk = self.ring()
        self.world.alice.branch(talk, 1).bye()
        self.one.says(200, to="INVITE")
        self.world.forget()
        self.assertEqual((self.counts("ACK"), self.counts("CANCEL")), ([1, 0, 0], [0, 0, 0]))
        self.assertEqual((self.counts("BYE")[0] > 1, talk.times("200 INVITE")), (True, 0))
        one = self.one.talk
        assert one.invitation is not None
        one.respond(one.invitation, 200, one.sdp(), {"Content-Type": ["application/sdp"]})
        for _ in range(2):
            self.one.says(200, to="BYE")
        self.two.says(200)
        self.world.forget()
        self.assertEqual((self.counts("ACK")[:2], talk.times("200 INVITE")), ([2, 1], 1))
        talk.bye()
        self.two.says(200)
        self.three.open.clear()
        self.world.wait(1)
        self.ends("the caller hung up")

    def test_it_rings_too_long(self) -> None:
        """RFC 3261 16.6, timer C: all are cancelled."""
        self.ring()
        self.world.wait(181)
        self.assertEqual(self.counts("CANCEL"), [1, 1, 1])
        self.world.quiet()

    def test_hung_up_by_the_operator(self) -> None:
        """The same by hand."""
        talk = self.ring()
        next(iter(self.world.hall.book)).hang_up("by hand")
        self.world.settle()
        self.assertEqual((talk.times("480 INVITE"), self.counts("CANCEL")), (1, [1, 1, 1]))
        self.ends("by hand")


class InTime(Three):
    """`target_timeout`, in parallel."""

    more = "target_timeout = 10"

    def test_all_are_silent(self) -> None:
        """Each has its time, all have the same: 408, and CANCEL where it may be sent."""
        talk = self.ring(self.one)
        self.world.wait(10)
        self.assertEqual((talk.times("408 INVITE"), self.counts("CANCEL")), (1, [1, 0, 0]))
        self.ends("no answer in time")

    def test_answered_in_time(self) -> None:
        """Nothing happens to a call that stands."""
        talk = self.ring()
        self.two.says(200)
        self.world.wait(15)
        self.assertEqual((talk.times("200 INVITE"), self.counts("BYE")), (1, [0, 0, 0]))


class Breadth(SynchronousTestCase):
    """How many at once: our own bound, and Max-Breadth (RFC 5393)."""

    def breadths(self, breadth: str, targets: int = 3) -> list[str]:
        """What the targets are told that are tried at once."""
        hosts = [f"10.0.0.{20 + number}" for number in range(1, targets + 1)]
        self.world = world = World(parallel(*hosts))
        self.phones = [world.phone(f"b{number}", host) for number, host in enumerate(hosts)]
        headers = {"Max-Breadth": [breadth]} if breadth else {}
        self.talk = world.alice.invite("sip:bob@biloxi.example", headers=headers)
        world.settle()
        return [phone.talk.heard[0].first("Max-Breadth") for phone in self.phones if phone.dialogs]

    def test_shared_out(self) -> None:
        """S21, RFC 5393 5.3.3: the parts make up no more than the whole; without it there is none."""
        self.assertEqual(self.breadths("60"), ["20", "20", "20"])
        self.assertEqual(self.breadths("5"), ["1", "2", "2"])
        self.assertEqual(self.breadths("3"), ["1", "1", "1"])
        self.assertEqual(self.breadths(""), ["", "", ""])
        self.assertEqual(self.breadths("many"), ["", "", ""])

    def test_the_rest_one_after_the_other(self) -> None:
        """Fewer than the targets: who ends makes room for the next, with the same part."""
        self.assertEqual(self.breadths("2"), ["1", "1"])
        self.phones[0].says(486)
        self.world.settle()
        self.assertEqual(self.phones[2].talk.heard[0].first("Max-Breadth"), "1")
        self.phones[1].says(200)
        self.world.settle()
        self.assertEqual((self.talk.times("200 INVITE"), self.phones[2].talk.times("CANCEL")), (1, 0))
        self.phones[2].says(180)
        self.world.settle()
        self.assertEqual(self.phones[2].talk.times("CANCEL"), 1)

    def test_in_series_all_of_it(self) -> None:
        """One target at a time needs not share."""
        world = World()
        world.alice.invite("sip:bob@biloxi.example", headers={"Max-Breadth": ["7"]})
        world.settle()
        self.assertEqual(world.bob.talk.heard[0].headers["Max-Breadth"], ["7"])

    def test_used_up(self) -> None:
        """RFC 5393 5.3.3: 0 is answered 440, whatever the method."""
        self.assertEqual(self.breadths("0"), [])
        self.assertEqual(self.talk.times("440 INVITE"), 1)
        self.assertIn("refused INVITE with 440: Max-Breadth is used up", self.world.journal.lines)
        self.world.quiet()
        world = World()
        sent = world.alice.ask("MESSAGE", "sip:bob@biloxi.example", headers={"Max-Breadth": ["0"]})
        world.settle()
        self.assertEqual((sent.status, world.bob.bytes_in), (440, []))

    def test_our_own_bound(self) -> None:
        """No more than so many at once; the others follow."""
        self.breadths("", AT_ONCE + 2)
        self.assertEqual(sum(bool(phone.dialogs) for phone in self.phones), AT_ONCE)
        for phone in self.phones[:AT_ONCE]:
            phone.says(486)
        self.world.settle()
        self.assertTrue(all(phone.dialogs for phone in self.phones))
        for phone in self.phones[AT_ONCE:]:
            phone.says(404)
        self.world.settle()
        self.assertEqual(self.talk.times("486 INVITE") + self.talk.times("404 INVITE"), 1)
        self.world.quiet()


class Names(SynchronousTestCase):
    """RFC 3263 inside each target."""

    def test_failover_inside_one(self) -> None:
        """S30, S52: the next address of one target, while another rings."""
        zone = """
_sip._udp.proxy.example SRV 10 0 5060 one.proxy.example
_sip._udp.proxy.example SRV 20 0 5060 two.proxy.example
one.proxy.example A 10.0.0.21
two.proxy.example A 10.0.0.22
"""
        world = World(parallel("proxy.example;transport=udp", "10.0.0.23"), dns=zone)
        one, two, three = (world.phone(name, host) for name, host in zip(("one", "two", "three"), HOSTS, strict=True))
        talk = world.alice.invite("sip:bob@biloxi.example")
        three.says(180)
        one.says(180)
        one.says(503)
        world.settle()
        self.assertEqual((len(two.dialogs), len(three.dialogs)), (1, 1))
        two.says(200)
        world.settle()
        self.assertEqual((talk.times("200 INVITE"), three.talk.times("CANCEL"), one.talk.times("CANCEL")), (1, 1, 0))

    def test_a_name_that_is_none(self) -> None:
        """One target leads nowhere: the other is the call."""
        world = World(parallel("nowhere.example", "10.0.0.23"))
        three = world.phone("three", "10.0.0.23")
        talk = world.alice.invite("sip:bob@biloxi.example")
        three.says(200)
        world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
