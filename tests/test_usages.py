"""Several usages of one dialog (RFC 5057): subscriptions inside a call, which may outlive it, and their books."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.usages import AT_ONCE, DURATION, LONGEST, Event, Usages, event_of, expires_of, state_of
from b2bua.dialog.leg import Leg
from b2bua.ops.phone import Dialog
from b2bua.policy.routing import Go
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Listener
from b2bua.sip.message import Headers, Request
from b2bua.sip.tokens import Tokens
from b2bua.sip.uri import parse_uri
from tests.world import World

KPML = "kpml"
URI = parse_uri("sip:bob@10.0.0.20")


def notify(event: str, state: str = "") -> Request:
    """A NOTIFY as far as it matters here."""
    headers: Headers = {"Event": [event]}
    if state:
        headers["Subscription-State"] = [state]
    return Request("NOTIFY", str(URI), headers)


class Books(SynchronousTestCase):
    """`Usages` by itself."""

    def setUp(self) -> None:
        tokens = Tokens(lambda size: bytes(range(size % 256)) if size < 256 else bytes(i % 251 for i in range(size)))
        listener = Listener("private-udp", "private", "udp", "10.0.0.1", 5060)
        self.leg = Leg.to_peer(listener, "<sip:a@b>", "<sip:b@a>", URI, tokens)
        self.other = Leg.to_peer(listener, "<sip:a@b>", "<sip:b@a>", URI, tokens)
        self.usages = Usages()

    def test_by_package_and_id(self) -> None:
        """RFC 6665 8.2.1: octet by octet; each side's own."""
        usages, leg = self.usages, self.leg
        one = usages.subscribe(leg, Event("dialog", "1"), 10.0)
        two = usages.subscribe(leg, Event("dialog"), 20.0)
        self.assertIs(usages.asked(leg, Event("dialog", "1")), one)
        self.assertIs(usages.notified(leg, Event("dialog")), two)
        for event in (Event("Dialog"), Event("dialog", "2")):
            self.assertIsNone(usages.asked(leg, event))
        self.assertIsNone(usages.asked(self.other, Event("dialog")))
        self.assertIs(usages.subscribe(self.leg, Event("dialog"), 30.0), two)
        self.assertEqual((two.until, len(usages)), (30.0, 2))
        usages.expire(10.0)
        self.assertEqual(list(usages), [two])
        usages.over(two)
        usages.over(two)
        usages.over(None)
        self.assertEqual(len(usages), 0)

    def test_of_a_refer(self) -> None:
        """RFC 3515 2.4.6: the id is the REFER's CSeq number on each leg; without one it is the first REFER's."""
        usages, leg = self.usages, self.leg
        one, two = usages.refer(leg, 7, 1001, 50.0), usages.refer(leg, 8, 1002, 50.0)
        self.assertIs(usages.notified(leg, Event("refer", "1002")), two)
        self.assertIs(usages.notified(leg, Event("refer")), one)
        self.assertIs(usages.asked(leg, Event("refer", "8")), two)
        self.assertIsNone(usages.asked(leg, Event("refer", "1002")))
        for value, from_subscriber, crossed in (
            ("refer;id=8", True, "refer;id=1002"),
            ("refer;id=1001", False, "refer;id=7"),
            ("refer;id=99", True, "refer;id=99"),
            ("refer", False, "refer"),
            ("dialog;id=8", True, "dialog;id=8"),
        ):
            granted: Headers = {"Event": [value]}
            usages.rename(leg, from_subscriber, notify(value), granted)
            self.assertEqual(granted["Event"], [crossed])
        granted = {}
        usages.rename(leg, True, notify("refer;id=8"), granted)
        self.assertEqual(granted, {})

    def test_what_a_notify_says(self) -> None:
        """RFC 6665 4.1.3: state and time; a REFER's lasts an hour where it does not say."""
        usages, leg = self.usages, self.leg
        usage = usages.subscribe(leg, Event("presence"), 10.0)
        for state, wanted, until in (
            ("active;expires=60", "active", 160.0),
            ("Pending", "pending", 160.0),
            ("active;expires=4000000000", "active", 100.0 + LONGEST),
            ("active;expires=x", "active", 100.0 + LONGEST),
            ("", "active", 100.0 + LONGEST),
        ):
            self.assertIs(usages.follow(leg, notify("presence", state), 100.0), usage)
            self.assertEqual((usage.state, usage.until), (wanted, until))
        self.assertIsNone(usages.follow(leg, notify("dialog", "active"), 100.0))
        usages.follow(leg, notify("presence", "terminated;reason=giveup"), 100.0)
        self.assertEqual(len(usages), 0)
        usage = usages.refer(leg, 7, 1001, 32.0)
        usages.follow(leg, notify("refer", "active"), 100.0)
        self.assertEqual(usage.until, 100.0 + DURATION)

    def test_not_without_end(self) -> None:
        """Of those that nobody ends the oldest goes."""
        first = self.usages.refer(self.leg, 1, 1, 10.0)
        for number in range(2, AT_ONCE + 2):
            self.usages.refer(self.leg, number, number, 10.0)
        self.assertEqual(len(self.usages), AT_ONCE)
        self.assertNotIn(first, self.usages)

    def test_reading(self) -> None:
        """Event, Subscription-State, Expires."""
        self.assertEqual(event_of(notify(" dialog ; ID=3;sla")), ("dialog", "3"))
        self.assertEqual(event_of(Request("NOTIFY", str(URI), {})), ("", ""))
        self.assertRaises(Malformed, event_of, notify("dialog;id=1;id=2"))
        self.assertEqual(state_of(notify("x", "Terminated;expires=5")), ("terminated", 5.0))
        self.assertEqual(expires_of(Request("SUBSCRIBE", str(URI), {"Expires": ["60"]})), 60.0)
        self.assertIsNone(expires_of(Request("SUBSCRIBE", str(URI), {"Expires": ["+6"]})))


class InsideACall(SynchronousTestCase):
    """SUBSCRIBE in a call's dialog (RFC 5057), from either side."""

    def setUp(self) -> None:
        self.world = World()
        self.near, self.far = self.world.call()

    def subscribed(self, event: str = KPML, seconds: int = 100) -> None:
        """Alice subscribes in the call: digits, say (RFC 4730)."""
        self.near.subscribe(event, seconds)
        self.world.bob.says(200, headers={"Expires": [str(seconds)]})
        self.world.settle()
        self.far.notify(event, f"active;expires={seconds}")
        self.world.alice.says(200)
        self.world.forget()

    def end(self) -> None:
        """The call is over."""
        self.near.bye()
        self.world.bob.says(200)
        self.world.forget()

    def test_a_notify_that_nobody_asked_for(self) -> None:
        """RFC 6665 4.1.3: its 481 is about a subscription; the call goes on."""
        sent = self.near.notify("talk", "active")
        self.world.bob.says(481)
        self.world.settle()
        self.assertEqual((sent.status, self.near.times("BYE"), self.far.times("BYE")), (481, 0, 0))

    def test_either_side_subscribes(self) -> None:
        """It crosses in the dialog, both ways, and NOTIFY back; the call goes on after it."""
        world = self.world
        self.near.subscribe(f"{KPML};id=1", 100)
        world.bob.says(200, headers={"Expires": ["100"]})
        world.ladder("alice> SUBSCRIBE, bob< SUBSCRIBE, bob> 200 SUBSCRIBE, alice< 200 SUBSCRIBE")
        self.far.subscribe(f"{KPML};id=1", 100)
        world.alice.says(200, headers={"Expires": ["100"]})
        world.ladder("bob> SUBSCRIBE, alice< SUBSCRIBE, alice> 200 SUBSCRIBE, bob< 200 SUBSCRIBE")
        (call,) = world.hall.book
        self.assertEqual(len(call.use()), 2)
        self.far.notify(f"{KPML};id=1", "terminated")
        world.alice.says(200)
        world.ladder("bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")
        self.near.notify(f"{KPML};id=1", "terminated")
        world.bob.says(200)
        world.ladder("alice> NOTIFY, bob< NOTIFY, bob> 200 NOTIFY, alice< 200 NOTIFY")
        self.assertEqual(len(call.use()), 0)
        self.near.info("1")
        world.bob.says(200)
        world.ladder("alice> INFO, bob< INFO, bob> 200 INFO, alice< 200 INFO")
        self.end()
        world.quiet()

    def test_it_outlives_the_bye(self) -> None:
        """RFC 5057 4.1: BYE ends the call's usage; NOTIFY and refresh cross, what is the call's gets 481."""
        world = self.world
        self.subscribed()
        self.end()
        world.wait(60)
        self.far.notify(KPML, "active;expires=40")
        world.alice.says(200)
        world.ladder("bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")
        self.near.subscribe(KPML, 100)
        world.bob.says(200, headers={"Expires": ["100"]})
        world.ladder("alice> SUBSCRIBE, bob< SUBSCRIBE, bob> 200 SUBSCRIBE, alice< 200 SUBSCRIBE")
        for method in ("INVITE", "UPDATE", "INFO", "OPTIONS"):
            self.near.ask(method)
            world.settle()
            self.assertEqual(self.near.times(f"481 {method}"), 1, method)
        world.forget()
        self.near.subscribe("presence", 60)
        self.far.notify("presence", "active")
        world.ladder("alice> SUBSCRIBE, bob> NOTIFY, alice< 481 SUBSCRIBE, bob< 481 NOTIFY")
        world.wait(90)
        self.far.notify(KPML, "terminated;reason=timeout")
        world.alice.says(200)
        world.ladder("bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")
        world.quiet()

    def test_nobody_refreshes_it(self) -> None:
        """After its time, and 64·T1, nothing is left of the call either."""
        self.subscribed(seconds=100)
        self.end()
        self.world.wait(64)
        self.assertEqual((len(self.world.hall.book), self.world.hall.book.legs), (1, 2))
        self.world.wait(32 + 36)
        self.world.quiet()

    def test_no_usage_is_left(self) -> None:
        """It ended before the call: the call leaves nothing, as any other."""
        self.subscribed()
        self.far.notify(KPML, "terminated")
        self.world.alice.says(200)
        self.end()
        self.far.notify(KPML, "active")
        self.world.settle()
        self.assertEqual(self.far.times("481 NOTIFY"), 1)
        self.world.quiet()

    def test_481_ends_the_subscription_alone(self) -> None:
        """RFC 5057 5.1: 481 to SUBSCRIBE or NOTIFY is of that usage; the call goes on."""
        world = self.world
        self.subscribed()
        self.far.notify(KPML, "active")
        world.alice.says(481)
        world.forget()
        self.near.subscribe(KPML, 100)
        world.bob.says(481)
        world.ladder("alice> SUBSCRIBE, bob< SUBSCRIBE, bob> 481 SUBSCRIBE, alice< 481 SUBSCRIBE")
        (call,) = world.hall.book
        self.assertEqual((call.ending, len(call.use())), ("", 0))
        self.end()
        world.quiet()

    def test_refused(self) -> None:
        """489 for a package that the far side does not know crosses; an Event that cannot be read gets 400."""
        world = self.world
        self.near.subscribe("frob", 100)
        world.bob.says(489)
        world.ladder("alice> SUBSCRIBE, bob< SUBSCRIBE, bob> 489 SUBSCRIBE, alice< 489 SUBSCRIBE")
        self.near.subscribe("frob;id=1;id=2", 100)
        world.ladder("alice> SUBSCRIBE, alice< 400 SUBSCRIBE")
        self.subscribed()
        self.far.notify(KPML, "active;expires=1;expires=2")
        world.ladder("bob> NOTIFY, bob< 400 NOTIFY")
        self.end()
        self.far.notify(f"{KPML};id=1;id=2", "active")
        world.ladder("bob> NOTIFY, bob< 400 NOTIFY")
        self.far.notify(KPML, "terminated")
        world.alice.says(200)
        world.quiet()


class OfOneDialog(SynchronousTestCase):
    """Event: dialog with call-id and tags (RFC 4235 3.2): on each side the ids of that side (S37)."""

    def setUp(self) -> None:
        self.world = World()
        self.near, self.far = self.world.call()

    def test_inside_the_call(self) -> None:
        """Alice asks Bob, in the call, about the call: he is told his ids; what he echoes comes back as she said it."""
        world, near, far = self.world, self.near, self.far
        event = f'dialog;id=3;call-id="{near.call_id}";to-tag={near.remote_tag};from-tag={near.local_tag}'
        near.subscribe(event, 600)
        world.bob.says(200, headers={"Expires": ["600"]})
        world.settle()
        told = far.last("SUBSCRIBE").headers["Event"][0]
        self.assertEqual(told, f'dialog;call-id="{far.call_id}";to-tag={far.local_tag};from-tag={far.remote_tag};id=3')
        for echoed, crossed in ((told, event), ("dialog;id=3", "dialog;id=3")):
            far.notify(echoed, "active;expires=500")
            world.alice.says(200)
            world.settle()
            self.assertEqual(near.last("NOTIFY").headers["Event"], [crossed])

    def test_when_the_dialog_is_gone(self) -> None:
        """The subscription outlives what it is about: refreshes and NOTIFYs say what they said before."""
        world, near, far = self.world, self.near, self.far
        event = f"dialog;call-id={near.call_id};to-tag={near.local_tag};from-tag={near.remote_tag}"
        watch = world.alice.subscribe("sip:bob@biloxi.example", event, 600)
        world.bob.says(200, headers={"Expires": ["600"]})
        world.settle()
        told = world.bob.talk
        named = f'dialog;call-id="{far.call_id}";to-tag={far.remote_tag};from-tag={far.local_tag}'
        self.assertEqual(told.last("SUBSCRIBE").headers["Event"], [named])
        near.bye()
        world.bob.says(200)
        world.wait(60)
        self.assertEqual(len(world.hall.book), 0)
        watch.subscribe(event, 600)
        world.bob.says(200, headers={"Expires": ["600"]})
        world.settle()
        self.assertEqual(told.last("SUBSCRIBE").headers["Event"], [named])
        told.notify(named, "terminated")
        world.alice.says(200)
        world.settle()
        self.assertEqual(watch.last("NOTIFY").headers["Event"], [event])
        world.quiet()

    def test_of_a_dialog_that_is_not_known(self) -> None:
        """Of elsewhere, of the wrong side, or half a name: 481; the other side hears nothing of it."""
        world, near, far = self.world, self.near, self.far
        world.forget()
        for event in (
            "dialog;call-id=elsewhere;to-tag=a;from-tag=b",
            f"dialog;call-id={near.call_id}",
            f"dialog;call-id={far.call_id};to-tag={far.local_tag};from-tag={far.remote_tag}",
        ):
            near.subscribe(event)
            world.ladder("alice> SUBSCRIBE, alice< 481 SUBSCRIBE")
            world.alice.subscribe("sip:bob@biloxi.example", event)
            world.ladder("alice> SUBSCRIBE, alice< 481 SUBSCRIBE")
        near.bye()
        world.bob.says(200)
        world.quiet()

    def test_of_a_dialog_on_one_side_only(self) -> None:
        """A call between two phones of one zone: nobody on the other side can know of it."""
        world = self.world
        carol = world.phone("carol", "192.0.2.30")
        rules = world.hall._rules
        world.hall._rules = [replace(rule, answer=Go("sip:192.0.2.30;transport=udp")) for rule in rules]
        near, _ = world.call(world.alice, carol, "sip:carol@chicago.example")
        world.hall._rules = rules
        event = f"dialog;call-id={near.call_id};to-tag={near.local_tag};from-tag={near.remote_tag}"
        self.near.subscribe(event)
        world.ladder("alice> SUBSCRIBE, alice< 481 SUBSCRIBE")


class InASubscription(SynchronousTestCase):
    """Two subscriptions in the dialog of one, and a REFER there (RFC 5057 3)."""

    def setUp(self) -> None:
        self.world = world = World()
        self.near = world.alice.subscribe("sip:bob@biloxi.example", "presence", 600)
        world.bob.says(200, headers={"Expires": ["600"]})
        world.settle()
        self.far = world.bob.talk
        self.notified("presence", "active;expires=600")

    def notified(self, event: str, state: str) -> None:
        """Bob tells, and Alice takes it."""
        self.far.notify(event, state)
        self.world.alice.says(200)
        self.world.forget()

    def last_of(self, dialog: Dialog, method: str) -> Request:
        """The last request of this method that a phone got."""
        message = dialog.last(method)
        assert isinstance(message, Request)
        return message

    def test_the_dialog_ends_with_the_last(self) -> None:
        """The first one ends: the other goes on, in the same dialog."""
        world = self.world
        self.near.subscribe("dialog", 600)
        world.bob.says(200, headers={"Expires": ["600"]})
        world.settle()
        self.notified("dialog", "active;expires=600")
        self.notified("presence", "terminated")
        self.far.notify("presence", "active")
        world.settle()
        self.assertEqual((self.far.times("481 NOTIFY"), world.hall.book.legs), (1, 2))
        self.notified("dialog", "terminated")
        self.assertEqual(world.hall.book.legs, 0)
        world.quiet()

    def test_a_refer_in_it(self) -> None:
        """Its NOTIFYs carry the number that each side knows; Refer-Sub: false, or a refusal, and there are none."""
        world = self.world
        where = {"Refer-To": ["<sip:carol@chicago.example>"]}
        for status, more in ((603, None), (202, {"Refer-Sub": ["false"]}), (202, None)):
            refer = self.near.ask("REFER", headers=where)
            world.bob.says(status, headers=more)
            world.settle()
        sent = self.last_of(self.far, "REFER").cseq[0]
        self.far.notify(f"refer;id={sent - 1}", "active;expires=60")
        world.settle()
        self.assertEqual(self.far.times("481 NOTIFY"), 1)
        self.notified(f"refer;id={sent}", "terminated")
        told = self.last_of(self.near, "NOTIFY")
        self.assertEqual(told.headers["Event"], [f"refer;id={refer.request.cseq[0]}"])
        self.notified("presence", "terminated")
        world.quiet()
