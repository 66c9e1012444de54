"""From target to target (S29, S30, S46, S52), and what the far side's answers become on ours."""

from __future__ import annotations

from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.hall import Hall
from b2bua.ops.phone import Dialog
from b2bua.policy.interface import KernelRoute
from b2bua.sip.message import Request, Response
from tests.world import TLS_TOO, TWO_SIDES, Party, World

LIST = TWO_SIDES.replace(
    'to = "sip:10.0.0.20;transport=udp"', 'to = ["sip:10.0.0.21", "sip:10.0.0.22", "sip:10.0.0.23;transport=tcp"]'
)
NAMES = TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"', '"sip:proxy.example;transport=udp"')
ZONE = """
_sip._udp.proxy.example SRV 10 0 5060 one.proxy.example
_sip._udp.proxy.example SRV 20 0 5060 two.proxy.example
one.proxy.example A 10.0.0.21
two.proxy.example A 10.0.0.22
"""


class Hunting(SynchronousTestCase):
    """A list of next hops."""

    def setUp(self) -> None:
        self.world = world = World(LIST)
        self.one, self.two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")
        self.three = world.phone("three", "10.0.0.23", "tcp")

    def call(self) -> Dialog:
        """Alice calls."""
        talk = self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        return talk

    def is_up(self, talk: Dialog, phone: Party) -> None:
        """The call stands with this phone, and ends well."""
        phone.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        talk.bye()
        phone.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 BYE"), 1)
        for each in (self.one, self.two, self.three):
            each.open.clear()
        self.world.quiet()

    def test_503_goes_on(self) -> None:
        """S30, S52: the next target gets an INVITE with another Call-ID, tag, branch and Contact, CSeq from one."""
        talk = self.call()
        self.one.says(503)
        self.world.settle()
        first, second = self.one.talk.heard[0], self.two.talk.heard[0]
        for value in ("call_id", "from_tag"):
            self.assertNotEqual(getattr(first, value), getattr(second, value))
        self.assertNotEqual(first.via.branch, second.via.branch)
        self.assertNotEqual(first.headers["Contact"], second.headers["Contact"])
        self.assertEqual(second.cseq, (1, "INVITE"))
        assert isinstance(second, Request)
        self.assertEqual(second.uri_text, "sip:bob@10.0.0.22")
        self.assertEqual(self.one.talk.times("ACK"), 1)
        self.is_up(talk, self.two)
        self.assertEqual(self.world.journal.lines.count("started by rule inwards"), 1)

    def test_silence_goes_on(self) -> None:
        """No answer in 64·T1: the next one."""
        self.one.mute = True
        talk = self.call()
        self.world.wait(33)
        self.is_up(talk, self.two)
        self.assertIn("no way: udp 10.0.0.1:5060 <-> 10.0.0.21:5060: no answer", self.world.journal.lines)

    def test_icmp_goes_on(self) -> None:
        """An ICMP error is a 503 (RFC 3261 8.1.3.1), at once."""
        self.one.refusing = True
        talk = self.call()
        self.is_up(talk, self.two)

    def test_a_socket_that_cannot_send_goes_on(self) -> None:
        """Neither the first nor the second can be sent to; TCP can."""
        self.world.sockets["private-udp"].broken = "the network is down"
        talk = self.call()
        self.is_up(talk, self.three)

    def test_to_tcp_and_refused(self) -> None:
        """A refused connection is a 503 of the transport: the end of the list, told as our own 503."""
        self.one.refusing = self.two.refusing = self.three.refusing = True
        talk = self.call()
        self.world.settle()
        self.assertEqual(talk.times("503 INVITE"), 1)
        self.assertEqual(self.world.connecting, ["tcp 10.0.0.23:5060"])
        self.world.quiet()

    def test_a_connection_that_is_never_made(self) -> None:
        """A host that does not answer TCP at all."""
        self.one.refusing = self.two.refusing = self.three.mute = True
        talk = self.call()
        self.world.wait(9)
        self.assertEqual(talk.times("503 INVITE"), 1)
        self.world.quiet()

    def test_nobody_answers(self) -> None:
        """The end of the list: 408, as the last one said nothing."""
        for phone in (self.one, self.two):
            phone.mute = True
        self.three.refusing = False
        talk = self.call()
        self.world.wait(65)
        self.assertEqual(talk.times("408 INVITE"), 0)
        self.three.open.clear()
        self.world.wait(33)
        self.assertEqual(talk.times("408 INVITE"), 1)
        self.world.quiet()

    def test_a_fault_of_ours(self) -> None:
        """500, and the call is at its end; the journal has what was raised."""
        with patch.object(Hall, "far_leg", side_effect=LookupError("ours")):
            talk = self.call()
            self.world.settle()
        self.assertEqual(talk.times("500 INVITE"), 1)
        self.assertEqual(self.world.journal.lines, ["crashed: ours", "ended: a fault of ours"])
        self.world.quiet()

    def test_503_from_all(self) -> None:
        """S29: a downstream 503 is not relayed raw."""
        talk = self.call()
        for phone in (self.one, self.two, self.three):
            phone.says(503)
        self.world.settle()
        self.assertEqual((talk.times("503 INVITE"), talk.times("500 INVITE")), (0, 1))
        self.world.quiet()

    def test_another_failure_is_final(self) -> None:
        """RFC 3263 4.3: only 503, silence and the transport mean another server; 404, 486 and 6xx are the answer."""
        for status in (404, 486, 500, 603):
            self.setUp()
            talk = self.call()
            self.one.says(status)
            self.world.settle()
            self.assertEqual(talk.times(f"{status} INVITE"), 1)
            self.assertEqual(self.two.dialogs, [])
            self.world.quiet()

    def test_after_ringing(self) -> None:
        """A target that rang and then says 503: its dialog is over, the next one's has another tag of ours."""
        talk = self.call()
        self.one.says(180)
        self.world.settle()
        ours = talk.remote_tag
        self.one.says(503)
        self.two.says(180)
        self.world.settle()
        self.assertNotEqual(talk.remote_tag, ours)
        self.one.talk.info("1")
        self.world.settle()
        self.assertEqual(self.one.talk.times("481 INFO"), 1)
        self.is_up(talk, self.two)

    def test_cancel_between_two_targets(self) -> None:
        """S26: CANCEL after a failover is the latest attempt's; the first one hears nothing of it."""
        talk = self.call()
        self.one.says(503)
        self.two.says(180)
        self.world.forget()
        talk.cancel()
        self.world.settle()
        self.assertEqual((self.one.talk.times("CANCEL"), self.two.talk.times("CANCEL")), (0, 1))
        self.assertEqual(self.three.dialogs, [])
        self.two.open.clear()
        self.world.quiet()

    def test_cancelled_and_then_503(self) -> None:
        """A given up call does not go on to the next target, whatever the last one says."""
        talk = self.call()
        talk.cancel()
        self.world.settle()
        self.one.says(503)
        self.world.settle()
        self.assertEqual((talk.times("487 INVITE"), self.two.dialogs), (1, []))
        self.world.quiet()


class GoingOn(SynchronousTestCase):
    """`go_on`: after which answers the next target is tried (S29, S30)."""

    def hunt(self, more: str, *statuses: int) -> tuple[World, Dialog, list[Party]]:
        """Alice calls, the first phones say these, one after the other; 0 says nothing."""
        text = TWO_SIDES.replace(
            'to = "sip:10.0.0.20;transport=udp"', f'to = ["sip:10.0.0.21", "sip:10.0.0.22"]\n{more}'
        )
        world = World(text)
        phones = [world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")]
        talk = world.alice.invite("sip:bob@biloxi.example")
        for phone, status in zip(phones, statuses, strict=False):
            world.settle()
            if status:
                phone.says(status)
        world.settle()
        return world, talk, phones

    def test_as_it_is_unless_given(self) -> None:
        """408 and 503 go on, also a 408 that a server says; 404, 480 and 486 do not."""
        for status, goes_on in ((408, True), (503, True), (404, False), (480, False), (486, False), (302, False)):
            _, talk, (_, two) = self.hunt("", status)
            self.assertEqual(bool(two.dialogs), goes_on, status)

    def test_other_statuses(self) -> None:
        """What the operator says, a redirection too; the best of all answers is the caller's."""
        for status in (486, 480, 302, 401):
            world, talk, (one, two) = self.hunt(f"go_on = [{status}]", status, 404)
            self.assertEqual((len(two.dialogs), one.talk.times("ACK"), two.talk.times("ACK")), (1, 1, 1))
            finals = [each for each in talk.heard if isinstance(each, Response) and each.status >= 200]
            self.assertEqual([each.status for each in finals], [480 if status == 302 else status])
            world.quiet()

    def test_without_503_and_408(self) -> None:
        """Left out: who cannot be reached or does not answer ends the hunt."""
        world, talk, (_, two) = self.hunt("go_on = [486]", 503)
        self.assertEqual((talk.times("500 INVITE"), two.dialogs), (1, []))
        world, talk, (one, two) = self.hunt("go_on = [486]")
        one.open.clear()
        world.sockets["private-udp"].broken = "the network is down"
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        self.assertEqual(world.alice.talk.times("503 INVITE"), 1)
        for more, times in (("go_on = [503]", 0), ("go_on = [408]", 1)):
            world = World(LIST.replace('"sip:10.0.0.23;transport=tcp"]', f'"sip:10.0.0.23;transport=tcp"]\n{more}'))
            world.phone("one", "10.0.0.21").mute = True
            two = world.phone("two", "10.0.0.22")
            talk = world.alice.invite("sip:bob@biloxi.example")
            world.wait(33)
            self.assertEqual((len(two.dialogs), talk.times("408 INVITE")), (times, 1 - times))

    def test_6xx_never_goes_on(self) -> None:
        """RFC 3261 16.7 5: whatever is configured."""
        _, talk, (_, two) = self.hunt("go_on = [603]", 603)
        self.assertEqual((talk.times("603 INVITE"), two.dialogs), (1, []))

    def test_challenges_of_both(self) -> None:
        """S29: in series too, where 401 goes on."""
        world, talk, (one, two) = self.hunt("go_on = [401]")
        one.says(401, headers={"WWW-Authenticate": ['Digest realm="a"']})
        two.says(401, headers={"WWW-Authenticate": ['Digest realm="b"']})
        world.settle()
        challenges = talk.last("401 INVITE").headers["WWW-Authenticate"]
        self.assertEqual(sorted(challenges), ['Digest realm="a"', 'Digest realm="b"'])

    def test_a_long_list(self) -> None:
        """Hundreds of targets that all fail at once are gone through, one after the other."""
        hops = ", ".join(f'"sip:10.0.{number // 200}.{number % 200 + 21}"' for number in range(600))
        world = World(TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"', f"[{hops}]"), kernel=lambda host: None)
        world.sockets["private-udp"].broken = "the network is down"
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.wait(15)
        self.assertEqual(talk.times("503 INVITE"), 1)
        hops = ", ".join(f'"sip:nobody{number}.example"' for number in range(600))
        world = World(TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"', f"[{hops}]"))
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        self.assertEqual((talk.times("503 INVITE"), len(world.journal.lines)), (1, 601))


class InTime(SynchronousTestCase):
    """`target_timeout`: how long one target may take (S27, S30)."""

    def setUp(self) -> None:
        self.world = world = World(
            LIST.replace('"sip:10.0.0.23;transport=tcp"]', '"sip:10.0.0.23;transport=tcp"]\ntarget_timeout = 10')
        )
        self.one, self.two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")
        self.three = world.phone("three", "10.0.0.23", "tcp")

    def rings(self) -> Dialog:
        """Alice calls, the first rings for its time; the second is asked."""
        talk = self.world.alice.invite("sip:bob@biloxi.example")
        self.one.says(180)
        self.world.wait(10)
        return talk

    def test_the_next_one(self) -> None:
        """The one is cancelled and acknowledged, the next is called with a leg of its own; its tag is another."""
        talk = self.rings()
        self.world.settle()
        self.assertEqual([self.one.talk.times(each) for each in ("CANCEL", "ACK")], [1, 1])
        self.assertNotIn("Reason", self.one.talk.last("CANCEL").headers)  # it was missed there
        self.two.says(180)
        self.two.says(200)
        self.world.settle()
        tags = {each.to_tag for each in talk.heard if isinstance(each, Response) and each.to_tag}
        self.assertEqual((talk.times("200 INVITE"), len(tags)), (1, 2))
        gone = self.world.alice.branch(talk, 1)
        gone.update()
        self.world.settle()
        self.assertEqual(gone.times("481 UPDATE"), 1)
        talk.bye()
        self.two.says(200, to="BYE")
        self.world.quiet()

    def test_2xx_crosses_the_cancel(self) -> None:
        """S27: it makes the call all the same; the next one, that rings already, is cancelled."""
        self.patch(self.one, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        talk = self.rings()
        self.two.says(180)
        self.one.says(180)  # of no interest any more
        self.one.says(200)
        self.world.settle()
        self.assertEqual((talk.times("200 INVITE"), talk.times("180 INVITE")), (1, 2))
        self.assertEqual((self.one.talk.times("BYE"), self.two.talk.times("CANCEL")), (0, 1))
        self.assertEqual(self.two.talk.last("CANCEL").headers["Reason"], ["SIP;cause=200"])
        talk.bye()
        self.one.says(200, to="BYE")
        self.world.settle()
        self.assertEqual(talk.times("200 BYE"), 1)
        self.world.quiet()

    def test_2xx_crosses_the_cancel_and_another_answered(self) -> None:
        """S28: ACK and BYE."""
        self.patch(self.one, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        talk = self.rings()
        self.two.says(200)
        self.one.says(200)
        self.world.settle()
        self.assertEqual((talk.times("200 INVITE"), self.one.talk.times("ACK"), self.one.talk.times("BYE")), (1, 1, 1))

    def test_it_refuses_after_all(self) -> None:
        """The one that had its time says 486 instead of 487: nothing comes of it."""
        self.patch(self.one, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        talk = self.rings()
        self.one.says(486)
        self.two.says(180)
        self.world.settle()
        self.assertEqual((talk.times("486 INVITE"), talk.times("180 INVITE")), (0, 2))
        self.two.says(404)
        self.world.settle()
        self.assertEqual(talk.times("404 INVITE"), 1)
        self.world.quiet()

    def test_silence(self) -> None:
        """S26: no CANCEL where nothing was heard; the address rests; what comes in the end is told nobody."""
        self.one.mute = True
        talk = self.world.alice.invite("sip:bob@biloxi.example")
        self.world.wait(10)
        self.world.story.clear()
        self.two.says(180)
        self.world.wait(9)
        self.assertEqual(talk.times("180 INVITE"), 1)
        self.world.wait(2)
        self.assertEqual(self.two.talk.times("CANCEL"), 1)
        self.three.says(200)
        self.world.wait(20)
        self.assertEqual((talk.times("200 INVITE"), len(self.three.dialogs)), (1, 1))
        self.assertNotIn("no way", "\n".join(self.world.journal.lines))

    def test_nobody_in_time(self) -> None:
        """408 after the last one's time."""
        talk = self.rings()
        self.two.says(180)
        self.world.wait(10)
        self.three.says(180)
        self.world.wait(10)
        self.assertEqual(talk.times("408 INVITE"), 1)
        self.assertEqual([each.talk.times("CANCEL") for each in (self.one, self.two, self.three)], [1, 1, 1])
        self.world.quiet()

    def test_cancel_after_it(self) -> None:
        """S26: the caller gives up: one CANCEL to each, not a second to the one that had its time."""
        self.patch(self.one, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        talk = self.rings()
        self.two.says(180)
        self.world.settle()
        talk.cancel()
        self.world.settle()
        self.assertEqual((self.one.talk.times("CANCEL"), self.two.talk.times("CANCEL")), (1, 1))
        self.one.says(487)
        self.world.quiet()

    def test_while_its_name_is_looked_up(self) -> None:
        """The time runs from the beginning: a name server that is slow costs its target the call."""
        world = World(
            NAMES.replace(
                '"sip:proxy.example;transport=udp"', '["sip:slow.example:5060", "sip:10.0.0.22"]\ntarget_timeout = 1'
            ),
            dns="slow.example A 10.0.0.21",
        )
        one, two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")
        world.dns_delay = 1.5
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.wait(1.1)
        two.says(200)
        world.wait(3)
        self.assertEqual((talk.times("200 INVITE"), one.dialogs), (1, []))

    def test_the_dead_address_rests(self) -> None:
        """S52: the next call begins with the address that answers."""
        world = World(
            NAMES.replace(
                'transport=udp"\nsend_from = "private"', 'transport=udp"\nsend_from = "private"\ntarget_timeout = 5'
            ),
            dns=ZONE,
        )
        one, two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")
        one.mute = True
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.wait(6)
        self.assertEqual(talk.times("408 INVITE"), 1)
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        self.assertEqual(len(two.dialogs), 1)


class Names(SynchronousTestCase):
    """Next hops with names (RFC 3263)."""

    def setUp(self) -> None:
        self.world = world = World(NAMES, dns=ZONE)
        self.one, self.two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")

    def test_100_before_the_dns(self) -> None:
        """S22: 100 at once, before any name is looked up."""
        world = self.world
        world.dns_delay = 1.0
        world.alice.invite("sip:bob@biloxi.example")
        world.ladder("alice> INVITE, alice< 100 INVITE")
        world.wait(3)
        self.assertEqual(len(self.one.dialogs), 1)

    def test_failover_by_srv_and_rest(self) -> None:
        """S52: the next address on silence, and the dead one comes last while it rests."""
        world = self.world
        self.one.refusing = True
        talk = world.alice.invite("sip:bob@biloxi.example")
        self.two.says(486)
        world.settle()
        self.assertEqual(talk.times("486 INVITE"), 1)
        world.story.clear()
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        self.assertEqual(world.story, ["alice> INVITE", "alice< 100 INVITE", "two< INVITE"])

    def test_the_dialog_stays_with_the_address_that_answered(self) -> None:
        """S52: Contact names the same place as the next hop: BYE goes where the 2xx came from, not where SRV says."""
        world = self.world
        self.one.refusing = True
        self.two.contact = "<sip:two@Proxy.example;transport=udp>"
        talk = world.alice.invite("sip:bob@biloxi.example")
        self.two.says(200)
        world.settle()
        self.one.refusing = False
        world.wait(60)
        world.story.clear()
        talk.bye()
        world.settle()
        self.assertEqual(world.story, ["alice> BYE", "two< BYE"])

    def test_a_contact_with_a_name(self) -> None:
        """A Contact with a name of its own is looked up, once; ACK and what follows wait for it."""
        world = World(TWO_SIDES, dns="pbx.biloxi.example A 10.0.0.22")
        world.dns_delay = 0.3
        world.bob.also("10.0.0.22", user="two")
        world.bob.contact = "<sip:bob@pbx.biloxi.example:5060;transport=udp>"
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(200)
        world.forget()
        world.wait(0.4)
        world.ladder("two< ACK")
        talk.info("1")
        world.ladder("alice> INFO, two< INFO")
        self.assertEqual(world.zone.asked, ["A pbx.biloxi.example"])

    def test_a_contact_with_a_name_that_is_none(self) -> None:
        """Nobody knows the Contact's name: the ACK has no way, requests are answered 503, BYE is 200."""
        world = World(TWO_SIDES)
        world.bob.contact = "<sip:bob@nowhere.example:5060>"
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(200)
        world.settle()
        talk.info("1")
        talk.reinvite()
        world.settle()
        self.assertEqual((talk.times("503 INFO"), talk.times("503 INVITE")), (1, 1))
        talk.bye()
        world.settle()
        self.assertEqual((talk.times("200 BYE"), world.bob.talk.times("ACK")), (1, 0))
        world.wait(33)
        world.quiet()

    def test_hanging_up_where_there_is_no_way(self) -> None:
        """Our own BYE to a name that nobody knows: the call ends all the same."""
        world = World(TWO_SIDES)
        world.bob.contact = "<sip:bob@nowhere.example:5060>"
        world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(200)
        world.settle()
        next(iter(world.hall.book)).hang_up("by hand")
        world.alice.says(200)
        world.wait(33)
        world.quiet()

    def test_no_such_name(self) -> None:
        """The next hop's name does not exist: 503, and what the DNS said is in the journal, not on the wire."""
        world = World(NAMES)
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        answer = talk.last("503 INVITE")
        self.assertNotIn(b"proxy.example", bytes(answer))
        self.assertIn("proxy.example", "".join(world.journal.lines))
        world.quiet()

    def test_cancel_while_the_name_is_looked_up(self) -> None:
        """Given up before there is a target: nothing is sent to anybody."""
        self.world.dns_delay = 1.0
        talk = self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        talk.cancel()
        self.world.wait(5)
        self.assertEqual((talk.times("487 INVITE"), self.one.dialogs), (1, []))
        self.world.quiet()

    def test_cancel_while_the_name_is_looked_up_in_vain(self) -> None:
        """The same where there is nothing to find."""
        world = World(NAMES)
        world.dns_delay = 1.0
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        talk.cancel()
        world.wait(5)
        self.assertEqual((talk.times("487 INVITE"), talk.times("503 INVITE")), (1, 0))
        world.quiet()

    def test_cancel_of_a_reinvite_while_its_way_is_looked_up(self) -> None:
        """A re-INVITE that has not left yet: 487, and it never leaves."""
        world = World(TWO_SIDES, dns="pbx.biloxi.example A 10.0.0.20")
        world.dns_delay = 1.0
        near, far = world.call()
        far.ask("UPDATE", headers={"Contact": ["<sip:bob@pbx.biloxi.example:5060>"]})
        world.alice.says(200)
        world.settle()
        near.reinvite()
        world.settle()
        near.cancel()
        world.wait(3)
        self.assertEqual((near.times("487 INVITE"), far.times("INVITE")), (1, 1))
        near.reinvite()
        world.bob.says(200)
        world.settle()
        self.assertEqual(near.times("200 INVITE"), 2)

    def test_bye_while_a_reinvites_way_is_looked_up(self) -> None:
        """The call ends under a re-INVITE that has not left yet."""
        world = World(TWO_SIDES, dns="pbx.biloxi.example A 10.0.0.20")
        world.dns_delay = 1.0
        near, far = world.call()
        far.ask("UPDATE", headers={"Contact": ["<sip:bob@pbx.biloxi.example:5060>"]})
        world.alice.says(200)
        world.settle()
        near.reinvite()
        world.settle()
        near.bye()
        world.wait(3)
        self.assertEqual((near.times("487 INVITE"), far.times("INVITE"), far.times("BYE")), (1, 1, 1))
        world.bob.says(200)
        world.quiet()


class Interfaces(SynchronousTestCase):
    """No listener for a target: the next one (S5)."""

    def test_no_interface(self) -> None:
        """A target that no listener reaches is passed over with its reason; if it was the last, 503."""
        text = TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"\nsend_from = "private"', "to = [HOPS]")
        for hops, status in (('"sip:172.16.0.1", "sip:10.0.0.20"', 0), ('"sip:172.16.0.1"', 503)):
            world = World(text.replace("HOPS", hops))
            talk = world.alice.invite("sip:bob@biloxi.example")
            world.settle()
            self.assertEqual(talk.times(f"{status} INVITE"), 1 if status else 0)
            self.assertEqual(len(world.bob.dialogs), 0 if status else 1)
            self.assertIn("no way: the kernel has no route to 172.16.0.1", "\n".join(world.journal.lines))

    def test_by_the_kernel(self) -> None:
        """send_from auto: the kernel's source address chooses the listener."""
        asked: list[str] = []

        def kernel(host: str) -> KernelRoute:
            asked.append(host)
            return KernelRoute("10.0.0.1", "lan")

        world = World(TWO_SIDES.replace('send_from = "private"\n', ""), kernel=kernel)
        world.call()
        self.assertEqual(asked, ["10.0.0.20"])

    def test_a_preloaded_route_chooses(self) -> None:
        """S1: a Route that names another listener of ours, where policy leaves the choice open."""
        world = World(TWO_SIDES.replace('send_from = "private"\n', ""), kernel=lambda host: None)
        routes = ["<sip:192.0.2.1:5060;lr>, <sip:10.0.0.1;transport=udp;lr>"]
        world.alice.invite("sip:bob@biloxi.example", headers={"Route": routes})
        world.settle()
        self.assertEqual(len(world.bob.dialogs), 1)
        self.assertNotIn("Route", world.bob.talk.heard[0].headers)
        for route in ("<sip:192.0.2.77;lr>, <sip:10.0.0.1;lr>", "<tel:+1>", "<sip:192.0.2.1;lr>"):
            talk = world.alice.invite("sip:bob@biloxi.example", headers={"Route": [route]})
            world.settle()
            self.assertEqual(talk.times("503 INVITE"), 1)
        world = World(TWO_SIDES)
        world.alice.invite("sip:bob@biloxi.example", headers={"Route": ["<sip:192.0.2.1;transport=tcp;lr>"]})
        world.settle()
        self.assertEqual(len(world.bob.dialogs), 1)  # the rule says by which zone: a Route has no say


class Answers(SynchronousTestCase):
    """What the far side's final answers become (S29, S41)."""

    def refused_with(self, status: int, **headers: list[str]) -> Response:
        """What the caller gets when the callee says this."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(status, headers={name.replace("_", "-"): value for name, value in headers.items()})
        world.settle()
        answer = talk.heard[-1]
        assert isinstance(answer, Response)
        self.assertEqual(world.bob.talk.times("ACK"), 1)
        self.assertEqual(world.journal.lines[-1], f"ended: refused with {status}")
        world.quiet()
        return answer

    def test_challenges_cross(self) -> None:
        """401 and 407 with their challenges, each whole."""
        challenge = ['Digest realm="biloxi.example", nonce="1"', 'Digest realm="other", nonce="2"']
        self.assertEqual(self.refused_with(401, WWW_Authenticate=challenge).headers["WWW-Authenticate"], challenge)
        self.assertEqual(self.refused_with(407, Proxy_Authenticate=challenge).headers["Proxy-Authenticate"], challenge)

    def test_every_other_status_crosses(self) -> None:
        """407, 488, 6xx, and one that nobody registered: the same status, our own words."""
        for status in (400, 404, 486, 487, 488, 491, 499, 500, 504, 580, 600, 603, 699):
            answer = self.refused_with(status)
            self.assertEqual(answer.status, status)
        self.assertEqual(self.refused_with(486).reason, "Busy Here")

    def test_the_second_try_with_credentials(self) -> None:
        """S34: Call-ID and From tag the same, CSeq one higher: another call to us, with the credentials."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(407, headers={"Proxy-Authenticate": ['Digest realm="biloxi.example", nonce="1"']})
        world.settle()
        talk.remote_tag, talk.routes, talk.target = "", [], talk.target
        talk.ask("INVITE", talk.sdp(), {"Content-Type": ["application/sdp"], "Proxy-Authorization": ["Digest a=1"]})
        world.bob.says(200)
        world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        self.assertEqual(world.bob.talk.heard[0].headers["Proxy-Authorization"], ["Digest a=1"])

    def test_a_broken_answer(self) -> None:
        """502: a 2xx whose SDP cannot be read never crosses; its sender gets ACK and BYE (RFC 3261 13.2.2.4)."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(200, b"v=0\r\ns=\r\nm", {"Content-Type": ["application/sdp"]})
        world.bob.says(200, to="BYE")
        world.settle()
        self.assertEqual(talk.times("502 INVITE"), 1)
        self.assertEqual([world.bob.talk.times(each) for each in ("ACK", "BYE")], [1, 1])
        self.assertIn("fault of 10.0.0.20 in a body", "\n".join(world.journal.lines))
        world.quiet()

    def test_a_broken_answer_by_a_name(self) -> None:
        """The same where the Contact's way is not known yet."""
        world = World(TWO_SIDES, dns="pbx.example A 10.0.0.20")
        world.bob.contact = "<sip:bob@pbx.example:5060>"
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(200, b"v=0\r\ns=\r\nm", {"Content-Type": ["application/sdp"]})
        world.settle()
        self.assertEqual(talk.times("502 INVITE"), 1)
        self.assertIn("fault of pbx.example in a body", "\n".join(world.journal.lines))

    def test_a_contact_that_cannot_be_used(self) -> None:
        """502 to the caller; ACK and BYE to where the INVITE went."""
        contacts = (
            ["<sip:bob@10.0.0.20>", "<sip:bob@10.0.0.21>"], ["<sip:"], ["<tel:7042>"], ["<sip:bob@10.0.0.20;maddr=[>"],
        )  # fmt: skip
        for contact in contacts:
            for ringing in (True, False):
                world = World()
                talk = world.alice.invite("sip:bob@biloxi.example")
                if ringing:
                    world.bob.says(180)
                world.bob.says(200, headers={"Contact": contact})
                world.settle()
                self.assertEqual(talk.times("502 INVITE"), 1)
                self.assertEqual((world.bob.talk.times("ACK"), world.bob.talk.times("BYE")), (1, 1))
                world.bob.says(200)
                world.quiet()

    def test_a_contact_that_cannot_be_used_comes_too_late(self) -> None:
        """After CANCEL: ACK and BYE all the same."""
        world = World()
        self.patch(world.bob, "_cancelled", lambda dialog, cancel: dialog.respond(cancel, 200))
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(100)
        world.settle()
        talk.cancel()
        world.settle()
        world.bob.says(200, headers={"Contact": ["<tel:7042>"]})
        world.settle()
        self.assertEqual((world.bob.talk.times("ACK"), world.bob.talk.times("BYE")), (1, 1))

    def test_a_contact_that_cannot_be_used_in_a_reinvite(self) -> None:
        """502, and BYE to both: nobody knows which session there is."""
        world = World()
        near, far = world.call()
        near.reinvite()
        world.bob.says(200, headers={"Contact": ["<tel:7042>"]})
        world.settle()
        self.assertEqual((near.times("502 INVITE"), near.times("BYE"), far.times("BYE")), (1, 1, 1))

    def test_routes_that_cannot_be_used(self) -> None:
        """The same of Record-Route, should it come so far; a provisional response with it is missed."""
        with patch("b2bua.net.switchboard.check_response"):
            world = World()
            talk = world.alice.invite("sip:bob@biloxi.example")
            world.bob.says(180, headers={"Record-Route": ["<"]})
            world.settle()
            self.assertEqual(talk.times("180 INVITE"), 0)
            world.bob.says(200, headers={"Record-Route": ["<"]})
            world.settle()
        self.assertEqual((talk.times("502 INVITE"), world.bob.talk.times("ACK")), (1, 1))

    def test_a_broken_description_in_progress(self) -> None:
        """A 183 with broken SDP crosses as a 183 without any; the call goes on. A broken refusal crosses bare, too."""
        world = World()
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.bob.says(183, b"v=0\r\ns=\r\nm", {"Content-Type": ["application/sdp"]})
        world.settle()
        progress = talk.last("183 INVITE")
        self.assertEqual((progress.body, progress.headers.get("Content-Type")), (b"", None))
        world.bob.says(488, b"v=0\r\ns=\r\nm", {"Content-Type": ["application/sdp"]})
        world.settle()
        self.assertEqual(talk.last("488 INVITE").body, b"")

    def test_a_broken_answer_to_a_reinvite(self) -> None:
        """The two sides have different sessions: the call ends on both."""
        world = World()
        near, far = world.call()
        near.reinvite()
        world.bob.says(200, b"v=0\r\ns=\r\nm", {"Content-Type": ["application/sdp"]})
        world.bob.says(200, to="BYE")
        world.alice.says(200, to="BYE")
        world.settle()
        self.assertEqual(near.times("502 INVITE"), 1)
        self.assertEqual([far.times(each) for each in ("ACK", "BYE")], [2, 1])
        self.assertEqual(world.journal.lines[-1], "ended: the answer of the far side cannot be read")
        world.quiet()

    def test_a_broken_answer_to_something_else(self) -> None:
        """UPDATE: 502, and the call goes on."""
        world = World()
        near, far = world.call()
        near.ask("UPDATE", near.sdp(), {"Content-Type": ["application/sdp"]})
        world.bob.says(200, b"v=0\r\ns=\r\nm", {"Content-Type": ["application/sdp"]})
        world.ladder("alice> UPDATE, bob< UPDATE, bob> 200 UPDATE, alice< 502 UPDATE")
        self.assertEqual(len(world.hall.book), 1)


class LongRequests(SynchronousTestCase):
    """S46: over 1,300 octets by TCP, measured on what is sent."""

    def test_by_tcp(self) -> None:
        """RFC 3261 18.1.1: with a Via that says so; what follows is short and goes by UDP again."""
        world = World()
        both = world.phone("bob-tcp", "10.0.0.20", "tcp")
        talk = world.alice.invite("sip:bob@biloxi.example", headers={"Subject": ["long " * 300]})
        world.settle()
        invite = both.talk.heard[0]
        self.assertTrue(invite.headers["Via"][0].startswith("SIP/2.0/TCP 10.0.0.1:5060;"))
        both.contact = world.bob.contact
        both.says(200)
        world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        world.story.clear()
        talk.bye()
        world.settle()
        self.assertEqual(world.story[:2], ["alice> BYE", "bob< BYE"])

    def test_refused_means_udp_again(self) -> None:
        """RFC 3261 18.1.1: refused over TCP: the same request by UDP, Via changed back."""
        world = World()
        world.phone("bob-tcp", "10.0.0.20", "tcp").refusing = True
        talk = world.alice.invite("sip:bob@biloxi.example", headers={"Subject": ["long " * 300]})
        world.settle()
        invite = world.bob.talk.heard[0]
        self.assertTrue(invite.headers["Via"][0].startswith("SIP/2.0/UDP 10.0.0.1:5060;"))
        world.bob.says(200)
        world.settle()
        talk.bye()
        world.bob.says(200)
        world.quiet()


class Secure(SynchronousTestCase):
    """S14: sips in means TLS out."""

    def test_sips_goes_by_tls(self) -> None:
        """Whatever the rule's next hop says of the transport; Contact and Request-URI are sips on both sides."""
        world = World(TWO_SIDES + TLS_TOO)
        ann, ben = world.phone("ann", "192.0.2.30", "tls"), world.phone("ben", "10.0.0.20", "tls")
        ann.contact, ben.contact = "<sips:ann@192.0.2.30>", "<sips:ben@10.0.0.20>"
        near, far = world.call(ann, ben, "sips:bob@biloxi.example")
        invite, answer = far.heard[0], near.last("200 INVITE")
        assert isinstance(invite, Request)
        self.assertEqual(invite.uri_text, "sips:bob@10.0.0.20")
        self.assertRegex(invite.headers["Contact"][0], r"\A<sips:[a-z0-9]+@10\.0\.0\.1:5061>\Z")
        self.assertRegex(answer.headers["Contact"][0], r"\A<sips:[a-z0-9]+@192\.0\.2\.1:5061>\Z")
        self.assertEqual(world.connecting, ["tls 10.0.0.20:5061"])
        far.bye()
        ann.says(200)
        world.forget()
        self.assertEqual(len(world.connecting), 1)
        world.quiet()

    def test_without_tls_it_is_refused(self) -> None:
        """No TLS listener on that side: 480, nothing goes out."""
        world = World()
        talk = world.alice.invite("sips:bob@biloxi.example")
        world.settle()
        self.assertEqual(talk.times("480 INVITE"), 1)
        self.assertEqual(world.bob.dialogs, [])

    def test_a_listener_that_is_not_tls_is_refused(self) -> None:
        """A forced send socket of another transport: 480 as well."""
        world = World((TWO_SIDES + TLS_TOO).replace('send_from = "private"', 'send_from = "private-udp"'))
        talk = world.alice.invite("sips:bob@biloxi.example")
        world.settle()
        self.assertEqual(talk.times("480 INVITE"), 1)

    def test_a_next_hop_that_is_sips(self) -> None:
        """The rule's next hop is sips: TLS, though the caller did not ask for it."""
        world = World((TWO_SIDES + TLS_TOO).replace("sip:10.0.0.20;transport=udp", "sips:10.0.0.20"))
        ben = world.phone("ben", "10.0.0.20", "tls")
        world.call(world.alice, ben)
        invite = ben.talk.heard[0]
        assert isinstance(invite, Request)
        self.assertEqual(invite.uri_text, "sips:bob@10.0.0.20")

    def test_the_top_record_route_counts_too(self) -> None:
        """RFC 3261 12.1.1: Contact is sips where the top Record-Route is."""
        world = World()
        route = {"Record-Route": ["<sips:192.0.2.9;lr>"]}
        talk = world.alice.invite("sip:bob@biloxi.example", headers=route)
        world.bob.says(200)
        world.settle()
        self.assertTrue(talk.last("200 INVITE").headers["Contact"][0].startswith("<sips:"))

    def test_a_contact_that_is_not_sips(self) -> None:
        """The far side of a secure call names a Contact without sips: no request of that call goes in the clear."""
        world = World(TWO_SIDES + TLS_TOO)
        ann, ben = world.phone("ann", "192.0.2.30", "tls"), world.phone("ben", "10.0.0.20", "tls")
        ben.contact = "<sip:ben@10.0.0.20:5060;transport=udp>"
        near = ann.invite("sips:bob@biloxi.example")
        ben.says(200)
        world.forget()
        near.info("1")
        world.settle()
        self.assertEqual(world.bob.bytes_in, [])
