"""Subscriptions across the bridge (RFC 6665): the dialogs that NOTIFY makes, their refreshes, their ends."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.subscription import FORKS
from b2bua.call.usages import LONGEST
from b2bua.ops.phone import Dialog
from b2bua.policy.routing import Go
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.uri import parse_uri
from tests.world import TWO_SIDES, World

URI = "sip:bob@biloxi.example"
MWI = "message-summary"
SUMMARY = b"Messages-Waiting: yes\r\nVoice-Message: 2/8 (0/2)\r\n"
OF_SUMMARY: Headers = {"Content-Type": ["application/simple-message-summary"]}

DIALOG_INFO = b"""<?xml version="1.0"?>
<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="%d" state="full" entity="sip:bob@biloxi.example">
<dialog id="d1"><state>%s</state></dialog></dialog-info>
"""


def accepted(seconds: int) -> Headers:
    """What a 2xx to SUBSCRIBE says besides."""
    return {"Expires": [str(seconds)]}


def request(dialog: Dialog, method: str) -> Request:
    """The last request of this method that a phone got."""
    message = dialog.last(method)
    assert isinstance(message, Request)
    return message


def response(dialog: Dialog, what: str) -> Response:
    """The last response that a phone got: "200 SUBSCRIBE"."""
    message = dialog.last(what)
    assert isinstance(message, Response)
    return message


class Subscribing(SynchronousTestCase):
    """Alice subscribes to what happens at Bob."""

    def setUp(self) -> None:
        self.world = World()

    def subscribed(self, event: str = MWI, seconds: int = 600) -> tuple[Dialog, Dialog]:
        """A subscription with its first NOTIFY: the subscriber's dialog and the notifier's."""
        world = self.world
        near = world.alice.subscribe(URI, event, seconds)
        world.bob.says(200, headers=accepted(seconds))
        far = world.bob.talk
        world.settle()
        far.notify(event, f"active;expires={seconds}", SUMMARY, OF_SUMMARY)
        world.alice.says(200)
        world.forget()
        return near, far

    def hidden(self) -> None:
        """S35: nothing of one side is in what the other got: addresses, Call-IDs, tags, Contact users, branches."""
        alice, bob = self.world.alice, self.world.bob
        for ours, theirs, network in ((alice, bob, b"10.0.0."), (bob, alice, b"192.0.2.")):
            got = b"".join(ours.bytes_in)
            # What a phone got echoes what it said itself; of the rest it may know nothing.
            words = {word for dialog in theirs.dialogs for word in (dialog.call_id, dialog.local_tag)}
            words |= {each.via.branch for dialog in theirs.dialogs for each in dialog.said}
            self.assertEqual([word for word in sorted(words) if word.encode() in got], [])
            self.assertNotIn(network, got)

    def gone(self) -> None:
        """64·T1 and five seconds after the end nothing is left, and nothing was leaked."""
        self.world.quiet()
        self.assertEqual(self.world.hall.book._expected, {})
        self.hidden()


class Plain(Subscribing):
    """RFC 6665 4.1 as it goes when nothing goes wrong."""

    def test_message_waiting(self) -> None:
        """RFC 3842 3: SUBSCRIBE, 200, NOTIFY, 200; a change; unsubscribe and its last NOTIFY (RFC 6665 4.1.2.3)."""
        world = self.world
        near = world.alice.subscribe(URI, MWI, 600, headers={"Accept": ["application/simple-message-summary"]})
        world.ladder("alice> SUBSCRIBE, bob< SUBSCRIBE")
        far = world.bob.talk
        world.bob.says(200, headers=accepted(300))
        world.ladder("bob> 200 SUBSCRIBE, alice< 200 SUBSCRIBE")
        self.assertEqual(response(near, "200 SUBSCRIBE").headers["Expires"], ["300"])
        far.notify(MWI, "active;expires=300", SUMMARY, OF_SUMMARY)
        world.alice.says(200)
        world.ladder("bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")
        told = request(near, "NOTIFY")
        self.assertEqual((told.body, told.headers["Event"]), (SUMMARY, [MWI]))
        self.assertEqual(told.headers["Subscription-State"], ["active;expires=300"])
        self.assertEqual((told.to_tag, told.from_tag), (near.local_tag, near.remote_tag))
        world.wait(100)
        far.notify(MWI, "active;expires=200", b"Messages-Waiting: no\r\n", OF_SUMMARY)
        world.alice.says(200)
        world.settle()
        near.subscribe(MWI, 0)
        world.bob.says(200, headers=accepted(0))
        world.settle()
        far.notify(MWI, "terminated;reason=timeout")
        world.alice.says(200)
        world.ladder(
            "bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY",
            "alice> SUBSCRIBE, bob< SUBSCRIBE, bob> 200 SUBSCRIBE, alice< 200 SUBSCRIBE",
            "bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY",
        )
        self.gone()

    def test_each_leg_has_ids_of_its_own(self) -> None:
        """S15: Call-ID, tags, CSeq, Contact: nothing in common; the event's name, and its id, are the same."""
        world = self.world
        near = world.alice.subscribe(URI, "presence;id=7", 60, headers={"Allow-Events": ["presence, dialog"]})
        world.bob.says(202, headers=accepted(60))
        world.settle()
        one, other = near.said[0], request(world.bob.talk, "SUBSCRIBE")
        self.assertEqual(other.headers["Event"], ["presence;id=7"])
        self.assertEqual(other.headers["Allow-Events"], ["presence, dialog"])
        self.assertNotEqual(one.call_id, other.call_id)
        self.assertEqual(other.cseq, (1, "SUBSCRIBE"))
        self.assertIn("@10.0.0.1:5060", other.headers["Contact"][0])
        self.assertIn("@192.0.2.1:5060", response(near, "202 SUBSCRIBE").headers["Contact"][0])
        self.hidden()

    def test_presence_in_the_other_direction(self) -> None:
        """RFC 3856: the private side subscribes; pending, then active."""
        world = self.world
        near = world.bob.subscribe("sip:alice@atlanta.example", "presence", 60)
        world.alice.says(202, headers=accepted(60))
        world.settle()
        far = world.alice.talk
        for state in ("pending;expires=60", "active;expires=59"):
            far.notify("presence", state)
            world.bob.says(200)
            world.settle()
        world.ladder(
            "bob> SUBSCRIBE, alice< SUBSCRIBE, alice> 202 SUBSCRIBE, bob< 202 SUBSCRIBE",
            "alice> NOTIFY, bob< NOTIFY, bob> 200 NOTIFY, alice< 200 NOTIFY",
            "alice> NOTIFY, bob< NOTIFY, bob> 200 NOTIFY, alice< 200 NOTIFY",
        )
        near.subscribe("presence", 0)
        world.alice.says(200, headers=accepted(0))
        far.notify("presence", "terminated")
        world.bob.says(200)
        self.gone()

    def test_busy_lamp(self) -> None:
        """RFC 4235 6.1: Carol watches Bob's lamp while Alice calls him: early, confirmed, terminated."""
        world = self.world
        carol = world.phone("carol", "192.0.2.30")
        lamp = carol.subscribe(URI, "dialog", 600, headers={"Accept": ["application/dialog-info+xml"]})
        world.bob.says(200, headers=accepted(600))
        world.settle()
        told = world.bob.talk

        def state(number: int, name: str) -> None:
            body = DIALOG_INFO % (number, name.encode())
            told.notify("dialog", "active;expires=600", body, {"Content-Type": ["application/dialog-info+xml"]})
            carol.says(200)
            world.settle()
            self.assertIn(f">{name}<".encode(), request(lamp, "NOTIFY").body)

        talk = world.alice.invite(URI)
        world.bob.says(180, to="INVITE")
        state(1, "early")
        world.bob.says(200, to="INVITE")
        state(2, "confirmed")
        talk.bye()
        world.bob.says(200, to="BYE")
        state(3, "terminated")
        self.assertEqual((lamp.times("NOTIFY"), told.times("200 NOTIFY")), (3, 3))

    def test_every_package(self) -> None:
        """Whatever the package is called: message-summary, presence, dialog, reg, conference, and one that is new."""
        for event in (MWI, "presence", "dialog;sla", "reg", "conference", "refer", "presence.winfo", "x-new;a=b"):
            self.world = World()
            near, far = self.subscribed(event)
            self.assertEqual(near.times("NOTIFY"), 1)
            far.notify(event, "terminated;reason=noresource")
            self.world.alice.says(200)
            self.gone()

    def test_fetch(self) -> None:
        """RFC 6665 4.4.3: Expires: 0 at once: one NOTIFY, and that is all."""
        world = self.world
        near = world.alice.subscribe(URI, MWI, 0)
        world.bob.says(200, headers=accepted(0))
        world.settle()
        world.bob.talk.notify(MWI, "terminated;reason=timeout", SUMMARY, OF_SUMMARY)
        world.alice.says(200)
        world.settle()
        self.assertEqual(request(near, "NOTIFY").body, SUMMARY)
        world.bob.talk.notify(MWI, "active")
        world.settle()
        self.assertEqual(world.bob.talk.times("481 NOTIFY"), 1)
        self.gone()

    def test_by_the_dialog_anything_may_be_said(self) -> None:
        """MESSAGE in the dialog crosses; what is a call's gets 481 (RFC 5057 4.1), REGISTER 405."""
        world = self.world
        near, far = self.subscribed()
        far.ask("MESSAGE", b"hello", {"Content-Type": ["text/plain"]})
        world.alice.says(200)
        world.ladder("bob> MESSAGE, alice< MESSAGE, alice> 200 MESSAGE, bob< 200 MESSAGE")
        for method, status in (("BYE", 481), ("INVITE", 481), ("UPDATE", 481), ("INFO", 481), ("REGISTER", 405)):
            near.ask(method)
            world.settle()
            self.assertEqual(near.times(f"{status} {method}"), 1)
        near.ask("MESSAGE", headers={"Require": ["frob"]})
        near.ask("MESSAGE", headers={"Max-Forwards": ["0"]})
        world.settle()
        self.assertEqual((near.times("420 MESSAGE"), near.times("483 MESSAGE")), (1, 1))
        self.assertEqual([far.times(each) for each in ("BYE", "INVITE", "UPDATE", "INFO", "MESSAGE")], [0] * 5)

    def test_in_their_order(self) -> None:
        """RFC 3261 12.2.2: a NOTIFY with a lower CSeq gets 500; an ACK is for nobody."""
        world = self.world
        near, far = self.subscribed()
        far.cseq -= 1
        far.notify(MWI, "active")
        world.alice.put(bytes(near.request("ACK", 1)), near.way())
        world.settle()
        self.assertEqual((far.times("500 NOTIFY"), far.times("ACK"), near.times("NOTIFY")), (1, 0, 1))


class Formed(Subscribing):
    """RFC 6665 4.4.1: NOTIFY makes the dialog."""

    def test_notify_before_the_2xx(self) -> None:
        """The NOTIFY overtakes the 2xx: it crosses, and both have the same near tag."""
        world = self.world
        near = world.alice.subscribe(URI, MWI, 600)
        world.settle()
        far = world.bob.talk
        far.notify(MWI, "active;expires=600", SUMMARY, OF_SUMMARY)
        world.alice.says(200)
        world.bob.says(200, headers=accepted(600))
        world.ladder(
            "alice> SUBSCRIBE, bob< SUBSCRIBE",
            "bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY",
            "bob> 200 SUBSCRIBE, alice< 200 SUBSCRIBE",
        )
        self.assertEqual(response(near, "200 SUBSCRIBE").to_tag, request(near, "NOTIFY").from_tag)
        self.assertEqual(world.hall.book.legs, 2)
        near.subscribe(MWI, 0)
        world.bob.says(200, headers=accepted(0))
        far.notify(MWI, "terminated")
        world.alice.says(200)
        self.gone()

    def test_over_before_the_2xx(self) -> None:
        """A NOTIFY that ends it overtakes the 2xx: the 2xx has its tag, and begins nothing."""
        world = self.world
        near = world.alice.subscribe(URI, MWI, 600)
        world.settle()
        world.bob.talk.notify(MWI, "terminated;reason=rejected")
        world.alice.says(200)
        world.bob.says(200, headers=accepted(600))
        world.settle()
        self.assertEqual(response(near, "200 SUBSCRIBE").to_tag, request(near, "NOTIFY").from_tag)
        near.subscribe(MWI)
        world.settle()
        self.assertEqual(near.times("481 SUBSCRIBE"), 1)
        self.gone()

    def test_the_route_set_is_the_notifys(self) -> None:
        """RFC 6665 4.4.1: Record-Route of NOTIFY, in its order; the target is its Contact."""
        world = self.world
        proxy = world.bob.also("10.0.0.40", user="proxy")
        near = world.alice.subscribe(URI, MWI, 600)
        world.bob.says(200, headers=accepted(600) | {"Record-Route": ["<sip:10.0.0.66;lr>"]})
        world.settle()
        route = {"Record-Route": ["<sip:10.0.0.40;lr>"], "Contact": ["<sip:elsewhere@10.0.0.41>"]}
        world.bob.talk.notify(MWI, "active;expires=600", headers=route)
        world.alice.says(200)
        world.forget()
        near.subscribe(MWI, 600)
        world.ladder("alice> SUBSCRIBE, proxy< SUBSCRIBE")
        refresh = request(world.bob.talk, "SUBSCRIBE")
        self.assertEqual(refresh.headers["Route"], ["<sip:10.0.0.40;lr>"])
        self.assertEqual(refresh.uri_text, "sip:elsewhere@10.0.0.41")
        proxy.says(200, headers=accepted(600))

    def test_the_route_set_is_the_2xxs(self) -> None:
        """A proxy of RFC 3265's days records its route in SUBSCRIBE alone: it stays on the path, whatever is first."""
        for notify_first in (False, True):
            world = World()
            proxy = world.bob.also("10.0.0.40", user="proxy")
            near = world.alice.subscribe(URI, MWI, 600)
            world.settle()
            for notify in (notify_first, not notify_first):
                if notify:
                    world.bob.talk.notify(MWI, "active;expires=600")
                    world.alice.says(200)
                else:
                    world.bob.says(200, headers=accepted(600) | {"Record-Route": ["<sip:10.0.0.40;lr>"]})
                world.settle()
            world.forget()
            near.subscribe(MWI, 600)
            world.ladder("alice> SUBSCRIBE, proxy< SUBSCRIBE")
            proxy.says(200, headers=accepted(600))

    def test_a_notify_for_another_event(self) -> None:
        """RFC 6665 4.1.3: a NOTIFY that matches by its ids but not by its Event gets 481, before the 2xx and after."""
        world = self.world
        near = world.alice.subscribe(URI, "dialog;id=1", 600)
        world.settle()
        far = world.bob.talk
        far.notify("dialog;id=2", "active;expires=600")
        world.settle()
        self.assertEqual((far.times("481 NOTIFY"), near.times("NOTIFY")), (1, 0))
        world.bob.says(200, headers=accepted(600))
        far.notify("presence;id=1", "active;expires=600")
        world.settle()
        self.assertEqual((far.times("481 NOTIFY"), near.times("NOTIFY")), (2, 0))
        far.notify("dialog;id=1", "active;expires=600")
        world.settle()
        self.assertEqual(near.times("NOTIFY"), 1)

    def test_a_notify_from_the_wrong_side(self) -> None:
        """The ids of a leg are good only in the zone of the leg."""
        world = self.world
        world.alice.subscribe(URI, MWI, 600)
        world.settle()
        asked = request(world.bob.talk, "SUBSCRIBE")
        forged = Dialog(world.alice, world.alice.by_proxy(), asked.call_id, "<sip:x@192.0.2.1>", asked.uri)
        forged.target = parse_uri("sip:x@192.0.2.1")
        forged.remote_tag = asked.from_tag
        forged.notify(MWI, "active")
        world.settle()
        self.assertEqual(forged.times("481 NOTIFY"), 1)

    def test_a_2xx_without_a_tag(self) -> None:
        """RFC 2543 devices send none: it crosses with a tag of ours, and the NOTIFY makes the dialog."""
        world = self.world
        near = world.alice.subscribe(URI, MWI, 600)
        world.settle()
        far = world.bob.talk
        tag, far.local_tag = far.local_tag, ""
        kept = {name: far.heard[0].headers[name] for name in ("Via", "From", "To", "Call-ID", "CSeq")}
        world.bob.put(bytes(Response(200, "OK", {**kept, **accepted(600)})), far.flow)
        far.local_tag = tag
        world.settle()
        self.assertTrue(response(near, "200 SUBSCRIBE").to_tag)
        far.notify(MWI, "active;expires=600")
        world.alice.says(200)
        world.settle()
        self.assertEqual(response(near, "200 SUBSCRIBE").to_tag, request(near, "NOTIFY").from_tag)


class Forked(Subscribing):
    """A proxy below us forks the SUBSCRIBE: every notifier's tag is a dialog (RFC 6665 4.4.1, 5.4.9; S28)."""

    def test_every_tag_is_a_dialog(self) -> None:
        """Three devices notify, one 2xx: the subscriber has three dialogs, and refreshes, and ends, each of them."""
        world = self.world
        near = world.alice.subscribe(URI, "presence", 600)
        world.settle()
        first = world.bob.talk
        others = [world.bob.fork(first), world.bob.fork(first)]
        world.bob.says(200, headers=accepted(600))
        for far in (first, *others):
            far.notify("presence", "active;expires=600")
            world.alice.says(200)
        world.settle()
        dialogs = [each for each in world.alice.dialogs if each.call_id == near.call_id]
        tags = [each.remote_tag for each in dialogs]
        self.assertEqual((len(set(tags)), world.hall.book.legs), (3, 6))
        self.assertEqual(tags[0], response(near, "200 SUBSCRIBE").to_tag)
        self.assertEqual([far.times("200 NOTIFY") for far in (first, *others)], [1, 1, 1])
        world.forget()
        dialogs[1].subscribe("presence", 600)
        world.bob.says(200, headers=accepted(600))
        world.settle()
        self.assertEqual([far.times("SUBSCRIBE") for far in (first, *others)], [1, 1, 0])
        for far in (others[0], first, others[1]):
            far.notify("presence", "terminated;reason=noresource")
            world.alice.says(200)
        self.gone()

    def test_timer_n(self) -> None:
        """RFC 6665 4.1.2.4: 64·T1 after the SUBSCRIBE no new dialog is made: 481; the ones that are go on."""
        world = self.world
        near, far = self.subscribed()
        world.wait(31)
        late = [world.bob.fork(far), world.bob.fork(far)]
        late[0].notify(MWI, "active;expires=60")
        world.alice.says(200)
        world.wait(2)
        late[1].notify(MWI, "active;expires=60")
        far.notify(MWI, "active;expires=60")
        world.alice.says(200)
        world.settle()
        self.assertEqual([each.times("200 NOTIFY") for each in (far, *late)], [2, 1, 0])
        self.assertEqual(late[1].times("481 NOTIFY"), 1)

    def test_too_many(self) -> None:
        """More than any real fork has: 481."""
        world = self.world
        world.alice.subscribe(URI, MWI, 600)
        world.settle()
        for _ in range(FORKS + 3):
            other = world.bob.fork(world.bob.dialogs[0])
            other.notify(MWI, "active;expires=9")
            world.settle()
        self.assertEqual(world.hall.book.legs, 2 * FORKS)
        self.assertEqual(other.times("481 NOTIFY"), 1)
        world.bob.says(200, headers=accepted(9), to="SUBSCRIBE")
        world.alice.open.clear()
        world.wait(64)
        world.quiet()


class Lasting(Subscribing):
    """How long a subscription lasts."""

    def test_refresh(self) -> None:
        """RFC 6665 4.1.2.2: SUBSCRIBE in the dialog crosses; from its 2xx on it lasts as long as that says."""
        world = self.world
        near, far = self.subscribed(seconds=100)
        world.wait(90)
        near.subscribe(MWI, 200)
        world.bob.says(200, headers=accepted(150))
        world.ladder("alice> SUBSCRIBE, bob< SUBSCRIBE, bob> 200 SUBSCRIBE, alice< 200 SUBSCRIBE")
        self.assertEqual(request(far, "SUBSCRIBE").to_tag, far.local_tag)
        world.wait(145)
        self.assertEqual(world.hall.book.legs, 2)
        far.notify(MWI, "active;expires=5")
        world.alice.says(200)
        world.forget()
        self.gone()

    def test_nobody_refreshes(self) -> None:
        """The notifier is gone, and the subscriber: after the time, and 64·T1 for the last NOTIFY, nothing is left."""
        world = self.world
        near, far = self.subscribed(seconds=100)
        world.wait(130)
        far.notify(MWI, "terminated;reason=timeout")
        world.alice.says(200)
        world.ladder("bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")
        self.gone()
        self.world = world = World()
        near, far = self.subscribed(seconds=100)
        world.wait(100)
        world.quiet()
        world.ladder()
        near.subscribe(MWI, 60)
        far.notify(MWI, "active")
        world.settle()
        self.assertEqual((near.times("481 SUBSCRIBE"), far.times("481 NOTIFY")), (1, 1))

    def test_notify_shortens(self) -> None:
        """RFC 6665 4.1.3: "expires" in Subscription-State is the truth."""
        world = self.world
        near, far = self.subscribed(seconds=3000)
        far.notify(MWI, "active;expires=10")
        world.alice.says(200)
        world.forget()
        world.wait(10)
        world.quiet()

    def test_no_duration_is_said(self) -> None:
        """A 2xx without Expires: what was asked for holds; a NOTIFY without "expires" changes nothing."""
        world = self.world
        near = world.alice.subscribe(URI, MWI, 50)
        world.bob.says(200)
        world.settle()
        world.bob.talk.notify(MWI, "active")
        world.alice.says(200)
        world.wait(49)
        self.assertEqual(world.hall.book.legs, 2)
        world.wait(1)
        world.quiet()
        self.assertNotIn("Expires", response(near, "200 SUBSCRIBE").headers)

    def test_neither_side_says_how_long(self) -> None:
        """RFC 6665 4.1.2.1: the package's own time, which we do not know: an hour. What cannot be read is not said."""
        world = self.world
        world.alice.ask("SUBSCRIBE", URI, headers={"Event": [MWI]})
        world.bob.says(200, headers={"Expires": ["soon"]})
        world.settle()
        world.wait(3590)
        self.assertEqual(world.hall.book.legs, 2)
        world.wait(10)
        world.quiet()

    def test_nobody_is_promised_years(self) -> None:
        """RFC 6665 4.2.1.1: it may be shortened: neither side is told a longer time than the bridge keeps it."""
        world = self.world
        near = world.alice.subscribe(URI, MWI, 4000000000)
        world.settle()
        self.assertEqual(request(world.bob.talk, "SUBSCRIBE").headers["Expires"], [f"{LONGEST:.0f}"])
        world.bob.says(200, headers=accepted(3000000000))
        world.settle()
        self.assertEqual(response(near, "200 SUBSCRIBE").headers["Expires"], [f"{LONGEST:.0f}"])
        near.subscribe(MWI, 3000000000)
        world.settle()
        self.assertEqual(request(world.bob.talk, "SUBSCRIBE").headers["Expires"], [f"{LONGEST:.0f}"])

    def test_unsubscribed_and_no_last_notify(self) -> None:
        """RFC 6665 4.1.2.3: the subscriber waits for it 64·T1, and so do we."""
        world = self.world
        near, far = self.subscribed()
        near.subscribe(MWI, 0)
        world.bob.says(200, headers=accepted(0))
        world.forget()
        self.assertEqual(world.hall.book.legs, 2)
        self.gone()


class Ending(Subscribing):
    """How a subscription ends before its time."""

    def test_the_notifier_ends_it(self) -> None:
        """RFC 6665 4.2.2: terminated with a reason, which crosses; afterwards 481 on both sides."""
        world = self.world
        near, far = self.subscribed()
        far.notify(MWI, "terminated;reason=probation;retry-after=30")
        world.alice.says(200)
        world.forget()
        state = request(near, "NOTIFY").headers["Subscription-State"]
        self.assertEqual(state, ["terminated;reason=probation;retry-after=30"])
        near.subscribe(MWI)
        far.notify(MWI, "active")
        world.ladder("alice> SUBSCRIBE, bob> NOTIFY, alice< 481 SUBSCRIBE, bob< 481 NOTIFY")
        self.gone()

    def test_a_refresh_that_fails(self) -> None:
        """RFC 6665 4.1.2.2: 481 and its like end it; any other failure leaves it as it was."""
        for status, left in ((481, 0), (404, 0), (489, 0), (604, 0), (500, 2), (401, 2), (423, 2)):
            self.world = world = World()
            near, far = self.subscribed(seconds=50)
            near.subscribe(MWI, 60)
            world.bob.says(status)
            world.ladder(f"alice> SUBSCRIBE, bob< SUBSCRIBE, bob> {status} SUBSCRIBE, alice< {status} SUBSCRIBE")
            self.assertEqual(world.hall.book.legs, left, status)
            world.wait(50)
            self.gone()

    def test_a_refresh_that_nobody_answers(self) -> None:
        """408 for the subscriber; the subscription goes on until its time is over."""
        world = self.world
        near, far = self.subscribed(seconds=100)
        world.bob.mute = True
        near.subscribe(MWI, 100)
        world.wait(33)
        self.assertEqual((near.times("408 SUBSCRIBE"), world.hall.book.legs), (1, 2))
        world.wait(67)
        world.quiet()

    def test_a_subscriber_that_knows_it_no_more(self) -> None:
        """RFC 6665 4.2.2: 481 to NOTIFY crosses, and ends it."""
        for status, left in ((481, 0), (405, 0), (500, 2), (401, 2)):
            self.world = world = World()
            near, far = self.subscribed(seconds=50)
            far.notify(MWI, "active;expires=49")
            world.alice.says(status)
            world.ladder(f"bob> NOTIFY, alice< NOTIFY, alice> {status} NOTIFY, bob< {status} NOTIFY")
            self.assertEqual(world.hall.book.legs, left, status)
            world.wait(49)
            self.gone()

    def test_a_subscriber_that_is_gone(self) -> None:
        """RFC 6665 4.2.2: no answer to NOTIFY: the notifier hears 408, and it is over."""
        world = self.world
        near, far = self.subscribed()
        world.alice.mute = True
        far.notify(MWI, "active;expires=500")
        world.wait(33)
        self.assertEqual((far.times("408 NOTIFY"), world.hall.book.legs), (1, 0))
        self.gone()

    def test_the_last_notify_is_refused(self) -> None:
        """Terminated is terminated, whatever the subscriber says to it; but for who it is it may be asked first."""
        for status, left in ((500, 0), (401, 2)):
            self.world = world = World()
            near, far = self.subscribed(seconds=50)
            far.notify(MWI, "terminated;reason=timeout")
            world.alice.says(status)
            world.settle()
            self.assertEqual(world.hall.book.legs, left)

    def test_the_first_notify_is_refused(self) -> None:
        """A subscriber that changed its mind, or whose SUBSCRIBE is over: 481, and no dialog is left."""
        world = self.world
        world.alice.subscribe(URI, MWI, 600)
        world.bob.says(200, headers=accepted(600))
        world.settle()
        world.bob.talk.notify(MWI, "active;expires=600")
        world.alice.says(481)
        world.settle()
        self.assertEqual((world.bob.talk.times("481 NOTIFY"), world.hall.book.legs), (1, 0))
        self.gone()


class Refused(Subscribing):
    """SUBSCRIBEs that come to nothing."""

    def test_the_far_side_refuses(self) -> None:
        """489 with what there is instead, 423 with the shortest time, a challenge: they cross (RFC 6665 7.2, 4.2.1)."""
        cases: tuple[tuple[int, str, str], ...] = (
            (489, "Allow-Events", "presence, dialog"),
            (423, "Min-Expires", "300"),
            (401, "WWW-Authenticate", 'Digest realm="biloxi", nonce="1"'),
            (403, "", ""),
        )
        for status, name, value in cases:
            self.world = world = World()
            near = world.alice.subscribe(URI, "frob", 60)
            world.bob.says(status, headers={name: [value]} if name else None)
            world.ladder(f"alice> SUBSCRIBE, bob< SUBSCRIBE, bob> {status} SUBSCRIBE, alice< {status} SUBSCRIBE")
            if name:
                self.assertEqual(response(near, f"{status} SUBSCRIBE").headers[name], [value])
            world.bob.talk.notify("frob", "active")
            world.settle()
            self.assertEqual(world.bob.talk.times("481 NOTIFY"), 1)
            self.assertEqual(world.hall.book.subscriptions, {})
            self.gone()

    def test_refused_after_a_notify(self) -> None:
        """RFC 6665 4.1.2.1: a failure is a failure: what a NOTIFY had begun is over."""
        world = self.world
        near = world.alice.subscribe(URI, MWI, 60)
        world.settle()
        world.bob.talk.notify(MWI, "pending;expires=60")
        world.alice.says(200)
        world.bob.says(403)
        world.settle()
        self.assertEqual((near.times("403 SUBSCRIBE"), world.hall.book.legs), (1, 0))
        self.gone()

    def test_without_an_event(self) -> None:
        """RFC 6665 8.2.1: there must be one: 489; and one that can be read: 400."""
        world = self.world
        self.assertEqual(self.asked({}), 489)
        self.assertEqual(self.asked({"Event": ["dialog;id=1;id=2"]}), 400)
        self.assertEqual(world.bob.bytes_in, [])
        world.quiet()

    def asked(self, headers: Headers) -> int:
        """What becomes of a SUBSCRIBE."""
        sent = self.world.alice.ask("SUBSCRIBE", URI, headers=headers)
        self.world.settle()
        return sent.status

    def test_nobody_subscribed(self) -> None:
        """RFC 6665 4.1.3: a NOTIFY for nothing gets 481, with a To tag and without."""
        world = self.world
        sent = world.bob.ask("NOTIFY", "sip:alice@192.0.2.20", headers={"Event": [MWI]})
        world.settle()
        self.assertEqual(sent.status, 481)
        self.assertEqual(world.alice.bytes_in, [])
        world.quiet()

    def test_nobody_subscribed_but_a_rule_lets_it_in(self) -> None:
        """Old PBXs tell of messages unasked: a rule that names NOTIFY lets it in, for whom it fits; 481 for others."""
        rule = 'name = "outwards"\nmethod = "NOTIFY"\nuser = "alice"'
        self.world = world = World(TWO_SIDES.replace('name = "outwards"', rule))
        told = [
            world.bob.ask("NOTIFY", f"sip:{user}@192.0.2.20", None, SUMMARY, {"Event": [MWI], **OF_SUMMARY})
            for user in ("alice", "carol")
        ]
        world.settle()
        self.assertEqual(told[1].status, 481)
        world.alice.says(200)
        world.ladder("bob> NOTIFY, bob> NOTIFY, alice< NOTIFY, bob< 481 NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")
        self.assertIn(SUMMARY, world.alice.bytes_in[0])
        world.quiet()

    def test_there_is_only_room_for_so_many(self) -> None:
        """503 with Retry-After; what is there goes on; when one is over there is room again."""
        world = self.world
        world.hall.limits = replace(world.hall.limits, subscriptions=1)
        near, far = self.subscribed()
        sent = world.alice.ask("SUBSCRIBE", URI, headers={"Event": [MWI]})
        world.settle()
        self.assertEqual((sent.status, sent.responses[0].headers["Retry-After"]), (503, ["5"]))
        near.subscribe(MWI, 60)
        world.bob.says(200, headers=accepted(60))
        far.notify(MWI, "terminated")
        world.alice.says(200)
        world.wait(33)
        self.assertEqual(world.hall.book.subscriptions, {})
        self.subscribed()

    def test_policy_refuses(self) -> None:
        """No route, draining: as for a call; every method is under the same rules."""
        world = World(TWO_SIDES.partition("[[route]]")[0])
        sent = world.alice.ask("SUBSCRIBE", URI, headers={"Event": [MWI]})
        world.settle()
        self.assertEqual((sent.status, world.hall.book.subscriptions), (404, {}))
        world.quiet()
        self.world.hall.draining = True
        self.assertEqual(self.asked({"Event": [MWI]}), 503)

    def test_a_script_decides(self) -> None:
        """The operator's script is asked first, as for a call: slowly, or never (500); its answer is taken."""
        script = (
            "from twisted.internet.defer import Deferred\nfrom b2bua.policy.routing import Go\nbox = []\n"
            "async def route(request, listeners):\n    box.append(Deferred())\n    return await box[-1]\n"
        )
        self.world = world = World('policy = "policy.py"\n' + TWO_SIDES, {"policy.py": script})
        made = world.configuration.script
        assert made is not None
        box: list[Deferred[Go]] = made._route.__globals__["box"]
        first = world.alice.subscribe(URI, MWI, 60)
        world.wait(33)
        second = world.alice.subscribe(URI, MWI, 60)
        world.settle()
        for asked in box:
            asked.callback(Go("sip:10.0.0.20;transport=udp", "private"))
        world.bob.says(489)
        world.settle()
        self.assertEqual((first.times("500 SUBSCRIBE"), second.times("489 SUBSCRIBE")), (1, 1))
        self.gone()


class Hunting(Subscribing):
    """Targets, one after the other (S30, S52)."""

    def setUp(self) -> None:
        targets = 'to = ["sip:10.0.0.30;transport=udp", "sip:10.0.0.20;transport=udp"]'
        self.world = World(TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"', targets))
        self.carol = self.world.phone("carol", "10.0.0.30")

    def test_the_next_one(self) -> None:
        """503, and silence: the next target, with ids of its own; the first one's NOTIFY gets 481 then."""
        for dead in (False, True):
            self.setUp()
            world, carol = self.world, self.carol
            carol.refusing = dead
            near = world.alice.subscribe(URI, MWI, 60)
            if not dead:
                carol.says(503)
            world.settle()
            self.assertEqual(request(world.bob.talk, "SUBSCRIBE").cseq[0], 1)
            if not dead:
                carol.talk.notify(MWI, "active")
                world.settle()
                self.assertEqual(carol.talk.times("481 NOTIFY"), 1)
                self.assertNotEqual(carol.talk.call_id, world.bob.talk.call_id)
            world.bob.says(200, headers=accepted(60))
            world.settle()
            self.assertEqual(near.times("200 SUBSCRIBE"), 1)

    def test_a_notify_and_no_2xx(self) -> None:
        """The 2xx is lost for good, the NOTIFY is not: there is a subscription, and nobody else is asked."""
        world, carol = self.world, self.carol
        near = world.alice.subscribe(URI, MWI, 600)
        world.settle()
        carol.talk.notify(MWI, "active;expires=600")
        world.alice.says(200)
        world.wait(40)
        self.assertEqual((near.times("NOTIFY"), world.bob.bytes_in), (1, []))
        carol.talk.notify(MWI, "terminated")
        world.alice.says(200)
        carol.open.clear()
        world.wait(1)
        world.quiet()

    def test_nobody_is_there(self) -> None:
        """The last status tells; nothing is asked of anybody when the subscriber has given up (RFC 4320 4.2)."""
        world = self.world
        self.carol.mute = True
        near = world.alice.subscribe(URI, MWI, 600)
        world.wait(40)
        self.assertEqual((near.times("408 SUBSCRIBE"), world.bob.bytes_in), (1, []))
        world.quiet()
        world.bob.refusing = self.carol.refusing = True
        self.carol.mute = False
        near = world.alice.subscribe(URI, MWI, 600)
        world.settle()
        self.assertEqual(near.times("503 SUBSCRIBE"), 1)
        world.quiet()


class OnBadWires(Subscribing):
    """Messages lost, doubled, late."""

    def test_retransmissions(self) -> None:
        """SUBSCRIBE, NOTIFY and their answers are each lost once: each arrives, and crosses once."""
        world = self.world
        for what in ("SUBSCRIBE", "200 SUBSCRIBE", "NOTIFY", "200 NOTIFY"):
            world.wires.lose(what, times=2)
        near = world.alice.subscribe(URI, MWI, 600)
        world.wait(3)
        world.bob.says(200, headers=accepted(600))
        world.wait(8)
        world.bob.talk.notify(MWI, "terminated", SUMMARY, OF_SUMMARY)
        world.wait(3)
        world.alice.says(200)
        world.wait(10)
        self.assertEqual((world.bob.talk.times("SUBSCRIBE"), near.times("NOTIFY")), (1, 1))
        self.assertEqual(world.bob.talk.times("200 NOTIFY"), 1)
        self.gone()

    def test_shaken(self) -> None:
        """A quarter lost, doubled, and late by up to two seconds, whatever the run: nothing is left, nothing leaks."""
        for seed in range(25):
            self.world = world = World(seed=seed)
            world.wires.shake(0.25, 0.25, 2.0)
            alice, bob = world.alice, world.bob
            alice.asked = lambda dialog, request: dialog.respond(request, 200)
            bob.asked = lambda dialog, request: self.notifier(dialog, request)
            near = alice.subscribe(URI, MWI, 60)
            world.wait(20 + seed)
            near.subscribe(MWI, 0 if seed % 2 else 90)
            world.wait(100)
            self.assertGreaterEqual(near.times("NOTIFY"), 1, seed)
            self.gone()

    def notifier(self, dialog: Dialog, request: Request) -> None:
        """What a notifier does: accept, and tell at once."""
        seconds = int(request.first("Expires") or 0)
        dialog.respond(request, 200, headers=accepted(seconds))
        dialog.notify(MWI, f"active;expires={seconds}" if seconds else "terminated;reason=timeout")


class AtAnyMoment(SynchronousTestCase):
    """Whatever both sides do, on bad wires: no exception of ours, and nothing is left (RFC 6665, RFC 5057)."""

    def test_nothing_is_left(self) -> None:
        """Random runs: subscriptions and REFERs, in calls and outside, refreshed, notified, refused, forgotten."""
        for seed in range(40):
            world, die = World(seed=seed), Random(seed)
            world.wires.shake(0.15, 0.15, 1.0)
            for phone in (world.alice, world.bob):
                phone.asked = partial(self.answer, die)
            for _ in range(40):
                self.step(world, die)
                world.wait(die.random() * 8)
            world.alice.mute = world.bob.mute = False
            for call in world.hall.book:
                call.hang_up("by hand")
            self.assertEqual(self.flushLoggedErrors(), [], seed)
            world.wait(3700)  # an hour for those of which nobody said how long
            self.assertEqual(self.flushLoggedErrors(), [], seed)
            try:
                world.quiet()
            except AssertionError as left:
                self.fail(f"seed {seed}: {left}")
            self.assertNotIn("crashed", "".join(world.journal.lines))

    def answer(self, die: Random, dialog: Dialog, request: Request) -> None:
        """Some answer, soon or never; a notifier may fork, and tell before it answers."""
        if die.random() < 0.1:
            return
        body = dialog.sdp_for(request.body) if request.method == "INVITE" else b""
        more = {"Content-Type": ["application/sdp"]} if body else {}
        if request.method in ("SUBSCRIBE", "REFER"):
            more = accepted(die.choice((0, 20, 60)))
            for device in (dialog, dialog.phone.fork(dialog)) if die.random() < 0.3 else (dialog,):  # type: ignore[attr-defined]
                self.notify(die, device, request)
        status = die.choice((200, 200, 200, 200, 202, 481, 500, 489, 503))
        if die.random() < 0.1 and request.method == "REFER":
            more = {"Refer-Sub": ["false"]}
        dialog.respond(request, status, body if status < 300 else b"", more if status < 300 else None)

    def notify(self, die: Random, dialog: Dialog, request: Request) -> None:
        """Tell what was asked for, or something else."""
        event = request.first("Event") or die.choice(("refer", f"refer;id={request.cseq[0]}"))
        state = die.choice(("active;expires=60", "active;expires=5", "pending", "terminated;reason=giveup", "active"))
        dialog.notify(event if die.random() < 0.9 else "else", state)

    def step(self, world: World, die: Random) -> None:
        """One thing that happens."""
        phone, other = die.sample((world.alice, world.bob), 2)
        uri, event = f"sip:{other.user}@biloxi.example", die.choice(("presence", "dialog;id=1", MWI))
        what = die.choice(("subscribe", "subscribe", "refer", "call", "again", "again", "tell", "tell", "bye", "mute"))
        dialog = die.choice(phone.dialogs) if phone.dialogs else None
        if what == "subscribe":
            phone.subscribe(uri, event, die.choice((0, 30, 60)))
        elif what == "refer":
            phone.refer(uri, "<sip:carol@chicago.example>")
        elif what == "call":
            phone.invite(uri)
        elif what == "mute":
            phone.mute = not phone.mute and die.random() < 0.3
        elif dialog is not None and dialog.remote_tag:
            if what == "again":
                dialog.subscribe(event, die.choice((0, 30, 60)))
            elif what == "tell":
                dialog.notify(event, die.choice(("active;expires=30", "terminated")))
            else:
                dialog.bye()


class Referring(Subscribing):
    """REFER outside any call (RFC 3515): it subscribes without saying so."""

    def test_click_to_dial(self) -> None:
        """REFER, 202, NOTIFY, NOTIFY: they cross; the id that the notifier gives is the subscriber's own CSeq."""
        world = self.world
        near = world.alice.refer(URI, "<sip:carol@chicago.example>")
        world.bob.says(202)
        world.settle()
        far = world.bob.talk
        sent = request(far, "REFER").cseq[0]
        self.assertNotEqual(sent, near.cseq)
        for event, state in (("refer", "active;expires=60"), (f"refer;id={sent}", "terminated;reason=noresource")):
            far.notify(event, state, b"SIP/2.0 200 OK\r\n", {"Content-Type": ["message/sipfrag;version=2.0"]})
            world.alice.says(200)
            world.settle()
        world.ladder(
            "alice> REFER, bob< REFER, bob> 202 REFER, alice< 202 REFER",
            "bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY",
            "bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY",
        )
        self.assertEqual(request(near, "NOTIFY").headers["Event"], [f"refer;id={near.cseq}"])
        self.gone()

    def test_no_subscription(self) -> None:
        """RFC 4488: Refer-Sub: false in the 2xx: nothing will be notified, and nothing is kept for it."""
        world = self.world
        near = world.alice.refer(URI, "<sip:carol@chicago.example>", headers={"Refer-Sub": ["false"]})
        world.settle()
        self.assertEqual(request(world.bob.talk, "REFER").headers["Refer-Sub"], ["false"])
        world.bob.says(200, headers={"Refer-Sub": ["false"]})
        world.settle()
        self.assertEqual(response(near, "200 REFER").headers["Refer-Sub"], ["false"])
        self.assertEqual(world.hall.book.legs, 0)
        self.gone()

    def test_no_notify_comes(self) -> None:
        """RFC 3515 2.4.4: the first NOTIFY says how long: where none comes in 64·T1 there is no subscription."""
        world = self.world
        world.alice.refer(URI, "<sip:carol@chicago.example>")
        world.bob.says(202)
        world.wait(32)
        self.gone()

    def test_a_notify_without_a_time(self) -> None:
        """An hour, as of a SUBSCRIBE that says no more; a refresh crosses with the id that the notifier knows."""
        world = self.world
        near = world.alice.refer(URI, "<sip:carol@chicago.example>")
        world.bob.says(202)
        world.settle()
        far = world.bob.talk
        sent = request(far, "REFER").cseq[0]
        far.notify("refer", "active")
        world.alice.says(200)
        world.wait(3000)
        near.subscribe(f"refer;id={near.cseq}", 60)
        world.bob.says(200, headers=accepted(60))
        world.settle()
        self.assertEqual(request(far, "SUBSCRIBE").headers["Event"], [f"refer;id={sent}"])
        world.wait(60)
        self.gone()

    def test_a_route_that_passes_none(self) -> None:
        """refer = "refuse" and "local": 603; there is no call of ours that a REFER outside one could transfer."""
        for word in ("refuse", "local"):
            world = World(TWO_SIDES.replace('name = "inwards"', f'name = "inwards"\nrefer = "{word}"'))
            sent = world.alice.ask("REFER", URI, headers={"Refer-To": ["<sip:carol@chicago.example>"]})
            world.settle()
            self.assertEqual((sent.status, world.bob.bytes_in), (603, []))
            self.assertIn("refused REFER with 603", world.journal.lines[-1])
            world.quiet()

    def test_refused(self) -> None:
        """The far side's failure crosses, and nothing is left."""
        world = self.world
        near = world.alice.refer(URI, "<sip:carol@chicago.example>")
        world.bob.says(603)
        world.settle()
        self.assertEqual((near.times("603 REFER"), world.hall.book.legs), (1, 0))
        self.gone()

    def test_notify_before_the_2xx(self) -> None:
        """RFC 3515 2.4.4: it overtakes the 2xx, with the number that the REFER has there; another number is 481."""
        world = self.world
        near = world.alice.refer(URI, "<sip:carol@chicago.example>")
        world.settle()
        far = world.bob.talk
        sent = request(far, "REFER").cseq[0]
        for number in (sent + 1, sent):
            far.notify(f"refer;id={number}", "active;expires=60")
            world.settle()
        self.assertEqual((far.times("481 NOTIFY"), near.times("NOTIFY")), (1, 1))
        world.alice.says(200)
        world.bob.says(100, to="REFER")
        world.bob.says(202, to="REFER")
        world.settle()
        self.assertEqual(near.times("202 REFER"), 1)
        self.assertEqual(request(near, "NOTIFY").headers["Event"], [f"refer;id={near.cseq}"])
        world.wait(92)
        self.gone()
