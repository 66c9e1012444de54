"""Transfers that cross the bridge (RFC 3515, RFC 5589; S37): who is told to call whom, and how it went."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.news import LINGER
from b2bua.call.usages import AT_ONCE, DURATION, LONGEST
from b2bua.sip.message import Request, Response
from tests.test_call_leaks import addresses, ids
from tests.transfers import HOSTS, Four, asked, embedded, notify, refer, replaced_at, replaces, routes
from tests.world import Party


def hidden(case: SynchronousTestCase, world: Four) -> None:
    """Nothing of one zone has come to the other: no address, host name, Call-ID, tag, branch or Contact."""
    sides = {True: ([], []), False: ([], [])}  # type: dict[bool, tuple[list[bytes], list[Party]]]
    for phone in world.phones:
        side = sides[phone.at.address.startswith("192")]
        side[0].extend([*phone.bytes_in, *phone.bytes_out])
        side[1].append(phone)
    for public in (True, False):
        of_others, others = sides[not public]
        secret = ids(of_others)
        for phone in sides[public][1]:
            for data in phone.bytes_in:
                text = data.decode().lower()
                case.assertEqual(ids([data]) & secret, set(), text)
                for other in others:
                    case.assertNotIn(HOSTS.get(other.user, "nowhere"), text)
                    where = {str(each) for each in addresses(data.partition(b"\r\n\r\n")[0])}
                    case.assertNotIn(other.at.address, where, text)
                    case.assertNotIn(other.proxy.address, where, text)


class Each(SynchronousTestCase):
    """What all of them share."""

    def each_way(self) -> Iterator[tuple[Four, Party, Party, Party]]:
        """(world, referrer, who is referred, target): referrer on either side, target on either."""
        for names in (
            ("alice", "bob", "carol"),
            ("alice", "bob", "dave"),
            ("bob", "alice", "dave"),
            ("bob", "alice", "carol"),
        ):
            world = Four()
            parties = {phone.user: phone for phone in world.phones}
            yield world, *(parties[name] for name in names)  # type: ignore[misc]
            hidden(self, world)
            self.assertEqual(self.flushLoggedErrors(), [])
            world.quiet()


class Blind(Each):
    """RFC 5589 6.1: the transferee is told to call, and does it through us."""

    def test_blind(self) -> None:
        """S37: REFER, its NOTIFYs, the new call and the end of the old one, in every direction."""
        for world, a, b, c in self.each_way():
            to_b, to_a = world.talk(a, b)
            sent = refer(to_b, f"sip:{c.user}@{HOSTS[c.user]}:5070;transport=tcp?Subject=x&X-Secret=10.0.0.9")
            b.says(202)
            world.ladder(f"{a.user}> REFER, {b.user}< REFER, {b.user}> 202 REFER, {a.user}< 202 REFER")
            request = asked(to_a, "REFER")
            self.assertEqual(request.headers["Refer-To"], [f"<sip:{c.user}@{b.proxy.address}>"])
            self.assertEqual(request.headers["Referred-By"], [f"<sip:{a.user}@{b.proxy.address}>"])
            notify(to_a, "100 Trying", number=request.cseq[0])
            a.says(200)
            world.ladder(f"{b.user}> NOTIFY, {a.user}< NOTIFY, {a.user}> 200 NOTIFY, {b.user}< 200 NOTIFY")
            told = asked(to_b, "NOTIFY")
            self.assertEqual(told.headers["Event"], [f"refer;id={sent.request.cseq[0]}"])
            self.assertEqual(told.headers["Subscription-State"], ["active;expires=60"])
            self.assertEqual(told.body, b"SIP/2.0 100 Trying\r\n")
            new, its = world.talk(b, c)
            notify(to_a, "200 OK", "terminated;reason=noresource", request.cseq[0])
            a.says(200)
            world.forget()
            self.assertEqual(asked(to_b, "NOTIFY").body, b"SIP/2.0 200 OK\r\n")
            to_b.bye()
            b.says(200)
            world.ladder(f"{a.user}> BYE, {b.user}< BYE, {b.user}> 200 BYE, {a.user}< 200 BYE")
            new.bye()
            c.says(200)
            world.ladder(f"{b.user}> BYE, {c.user}< BYE, {c.user}> 200 BYE, {b.user}< 200 BYE")

    def test_the_callee_refers(self) -> None:
        """Who was called transfers the caller: the same, on the other leg."""
        world = Four()
        near, far = world.talk(world.alice, world.bob)
        refer(far, "sip:carol@biloxi.example")
        world.alice.says(202)
        world.forget()
        self.assertEqual(asked(near, "REFER").headers["Refer-To"], ["<sip:carol@192.0.2.1>"])
        hidden(self, world)

    def test_notify_after_bye(self) -> None:
        """RFC 5057 2: the subscription outlives the call; once it has ended, 481."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        refer(to_b, "sip:carol@biloxi.example")
        world.bob.says(202)
        notify(to_a, "100 Trying", "active;expires=300")
        world.alice.says(200)
        world.settle()
        to_b.bye()
        world.bob.says(200)
        world.forget()
        world.wait(100)  # longer than a call's legs stay otherwise
        notify(to_a, "180 Ringing")
        world.alice.says(200)
        world.ladder("bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")
        self.assertEqual(asked(to_b, "NOTIFY").headers["Event"], ["refer"])
        to_a.info("5")
        world.ladder("bob> INFO, bob< 481 INFO")
        notify(to_a, "200 OK", "terminated;reason=noresource")
        world.alice.says(200)
        world.ladder("bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")
        notify(to_a, "200 OK", "terminated;reason=noresource")
        world.ladder("bob> NOTIFY, bob< 481 NOTIFY")
        world.wait(LINGER)
        world.quiet()

    def test_nobody_notifies(self) -> None:
        """The legs of a call stay for its NOTIFYs, but not for ever, whatever these promise."""
        for state, life in (("active;expires=999999", LONGEST), ("active;expires=x", DURATION), ("pending", DURATION)):
            world = Four()
            to_b, to_a = world.talk(world.alice, world.bob)
            refer(to_b, "sip:carol@biloxi.example")
            world.bob.says(202)
            notify(to_a, "100 Trying", state)
            world.alice.says(200)
            world.settle()
            to_b.bye()
            world.bob.says(200)
            world.wait(life - 10)
            self.assertEqual(world.hall.book.legs, 2, state)
            world.wait(60)
            world.quiet()
            notify(to_a, "100 Trying", state)
            world.settle()
            self.assertEqual(to_a.times("481 NOTIFY"), 1)

    def test_two_at_once(self) -> None:
        """RFC 3515 2.4.6: each NOTIFY says by `id` of which REFER it tells; an unknown one is 481."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        sent, got = [], []
        for user in ("carol", "dave"):
            sent.append(refer(to_b, f"sip:{user}@biloxi.example").request.cseq[0])
            got.append(world.bob.says(202).cseq[0])
        world.settle()
        for here, there in ((0, 0), (1, 1), (0, 0)):
            notify(to_a, "100 Trying", number=got[there])
            world.alice.says(200)
            world.settle()
            self.assertEqual(asked(to_b, "NOTIFY").headers["Event"], [f"refer;id={sent[here]}"])
        world.forget()
        for number in (got[0] + 500, -7):
            notify(to_a, "100 Trying", number=number)
            world.ladder("bob> NOTIFY, bob< 481 NOTIFY")
        to_a.ask("NOTIFY", headers={"Event": ["telephone-event"]})
        world.alice.says(200)
        world.ladder("bob> NOTIFY, alice< NOTIFY, alice> 200 NOTIFY, bob< 200 NOTIFY")

    def test_no_subscription(self) -> None:
        """RFC 4488: Refer-Sub: false crosses both ways, and then there is nothing to notify of."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        asking = {"Refer-Sub": ["false"], "Supported": ["norefersub"]}
        refer(to_b, "sip:carol@biloxi.example", asking)
        world.bob.says(200, headers={"Refer-Sub": ["false"]})
        world.settle()
        request = asked(to_a, "REFER")
        self.assertEqual((request.headers["Refer-Sub"], request.headers["Supported"]), (["false"], ["norefersub"]))
        answer = to_b.last("200 REFER")
        self.assertEqual(answer.headers["Refer-Sub"], ["false"])
        world.forget()
        notify(to_a, "100 Trying")
        world.ladder("bob> NOTIFY, bob< 481 NOTIFY")

    def test_refused_by_the_other_side(self) -> None:
        """603 crosses; nothing is left of it, and the call goes on."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        refer(to_b, "sip:carol@biloxi.example")
        world.bob.says(603)
        world.ladder("alice> REFER, bob< REFER, bob> 603 REFER, alice< 603 REFER")
        notify(to_a, "100 Trying")
        world.ladder("bob> NOTIFY, bob< 481 NOTIFY")
        to_b.info("5")
        world.bob.says(200)
        world.ladder("alice> INFO, bob< INFO, bob> 200 INFO, alice< 200 INFO")

    def test_nobody_takes_it(self) -> None:
        """No answer to a REFER: 408, and nothing is left of it."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        world.bob.mute = True
        refer(to_b, "sip:carol@biloxi.example")
        world.wait(33)
        self.assertEqual(to_b.times("408 REFER"), 1)
        world.bob.mute = False
        world.forget()
        notify(to_a, "100 Trying")
        world.ladder("bob> NOTIFY, bob< 481 NOTIFY")

    def test_a_notify_that_nobody_wants(self) -> None:
        """RFC 5057 5.1: 481 to a NOTIFY ends the subscription, not the call."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        refer(to_b, "sip:carol@biloxi.example")
        world.bob.says(202)
        notify(to_a, "100 Trying")
        world.alice.says(481)
        world.forget()
        notify(to_a, "180 Ringing")
        world.ladder("bob> NOTIFY, bob< 481 NOTIFY")
        to_b.info("5")
        world.bob.says(200)
        world.ladder("alice> INFO, bob< INFO, bob> 200 INFO, alice< 200 INFO")

    def test_what_cannot_be_said(self) -> None:
        """RFC 3515 2.4.2: one Refer-To, or 400; one that would show a host, and nothing else, is 603."""
        world = Four()
        to_b, _ = world.talk(world.alice, world.bob)
        for values, status in (
            ([], 400), (["<sip:carol@a>", "<sip:dave@a>"], 400), (["<sip:carol@a>, <sip:dave@a>"], 400),
            (["<sip:a.example>"], 603), (["<http://a.example/>"], 603), (["<sip:carol@a"], 603),
            (["<sip:carol@a?Replaces=1>"], 603),
            (["<sip:carol@a?Replaces=1%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=1%3Bto-tag%3D1%3Bfrom-tag%3D2>"], 603),
            (["<tel:+1234?Replaces=1>"], 603),
        ):  # fmt: skip
            to_b.ask("REFER", headers={"Refer-To": values} if values else None)
            world.ladder(f"alice> REFER, alice< {status} REFER")

    def test_too_many(self) -> None:
        """A call remembers so many transfers under way and no more: of the first nothing is heard any longer."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        for _ in range(AT_ONCE + 1):
            refer(to_b, "sip:carol@biloxi.example")
            world.bob.says(202)
        world.settle()
        numbers = [each.cseq[0] for each in to_a.heard if isinstance(each, Request) and each.method == "REFER"]
        first, last = numbers[0], numbers[-1]
        self.assertEqual(to_b.times("202 REFER"), AT_ONCE + 1)
        for number, status in ((first, "481 NOTIFY"), (last, "NOTIFY")):
            world.forget()
            notify(to_a, "100 Trying", number=number)
            world.settle()
            self.assertEqual(to_a.times("481 NOTIFY"), 1)
            self.assertEqual(to_b.times("NOTIFY"), int(number == last), status)

    def test_another_port(self) -> None:
        """The transferee is to call the listener of ours that it knows, by its port and transport."""
        text = routes().replace('address = "10.0.0.1"\nport = 5060', 'address = "10.0.0.1"\nport = 5070')
        world = Four(configuration=text)
        to_b, to_a = world.talk(world.alice, world.bob)
        refer(to_b, "sip:+123@biloxi.example;user=phone;method=INVITE")
        world.bob.says(202)
        world.settle()
        self.assertEqual(
            asked(to_a, "REFER").headers["Refer-To"], ["<sip:+123@10.0.0.1:5070;user=phone;method=INVITE>"]
        )


class Attended(Each):
    """RFC 5589 7.3: the referrer has called the target, whose call is then replaced (RFC 3891)."""

    def test_attended(self) -> None:
        """S37: two calls on the bridge, in every direction: each side reads its own ids, and the right two talk."""
        for world, a, b, c in self.each_way():
            to_b, to_a = world.talk(a, b)
            to_c, c_to_a = world.talk(a, c)
            refer(to_b, f"sip:{c.user}@{HOSTS[c.user]}?{embedded(to_c)}&Require=replaces")
            b.says(202)
            world.forget()
            refer_to = asked(to_a, "REFER").headers["Refer-To"][0]
            uri, _, value = refer_to[1:-1].partition("?Replaces=")
            self.assertEqual(uri, f"sip:{c.user}@{b.proxy.address}")
            said = value.replace("%3B", ";").replace("%3D", "=")
            same_side = b.proxy is c.proxy
            self.assertEqual(said == replaced_at(c_to_a), same_side)  # the target's own ids, or a handle
            new = b.invite(uri, headers={"Replaces": [said], "Require": ["replaces"]})
            world.ladder(f"{b.user}> INVITE, {b.user}< 100 INVITE, {c.user}< INVITE")
            invite = c.open[-1][1]
            self.assertEqual(invite.headers["Replaces"], [replaced_at(c_to_a)])
            self.assertEqual(invite.headers["Require"], ["replaces"])
            self.assertEqual(invite.uri_text, str(c_to_a.phone.contact)[1:-1])
            c.says(200)
            world.forget()
            self.assertTrue(new.up)
            c_to_a.bye()
            a.says(200)
            world.ladder(f"{c.user}> BYE, {a.user}< BYE, {a.user}> 200 BYE, {c.user}< 200 BYE")
            self.assertTrue(to_c.over)
            notify(to_a, "200 OK", "terminated;reason=noresource")
            a.says(200)
            to_b.bye()
            b.says(200)
            world.forget()
            self.assertEqual(len([each for each in world.hall.book if each.phase.value == "answered"]), 1)
            new.bye()
            c.says(200)
            world.settle()

    def test_by_the_contact(self) -> None:
        """A target named by its Contact, as phones do: ours means nothing to anybody else; the user does."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        to_c, _ = world.talk(world.alice, world.carol)
        refer(to_b, f"{to_c.target}?{embedded(to_c)}")
        world.bob.says(202)
        world.settle()
        refer_to = asked(to_a, "REFER").headers["Refer-To"][0]
        self.assertEqual(refer_to.partition("?")[0], "<sip:carol@10.0.0.1")

    def test_early_only(self) -> None:
        """RFC 3891 4: the flag crosses."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        to_c, _ = world.talk(world.alice, world.carol)
        refer(to_b, f"sip:carol@a.example?{embedded(to_c)}%3Bearly-only")
        world.bob.says(202)
        world.settle()
        self.assertIn("%3Bearly-only>", asked(to_a, "REFER").headers["Refer-To"][0])

    def test_one_call_outside(self) -> None:
        """S37: alice has called erin past the bridge: bob gets a handle, and erin her own ids back."""
        for a, b, e, place in (("alice", "bob", "erin", "192.0.2.40"), ("bob", "alice", "frank", "10.0.0.40")):
            world = Four()
            phones = {phone.user: phone for phone in world.phones}
            referrer, other, outside = phones[a], phones[b], world.phone(e, place)
            to_b, to_a = world.talk(referrer, other)
            secret = "77@pbx.inside.example;to-tag=theirs77;from-tag=mine77"
            escaped = secret.replace("@", "%40").replace(";", "%3B").replace("=", "%3D")
            refer(to_b, f"sip:{e}@{place}?Replaces={escaped}")
            other.says(202)
            world.settle()
            refer_to = asked(to_a, "REFER").headers["Refer-To"][0]
            for word in ("77", "inside"):
                self.assertNotIn(f"{word}%", refer_to)
            uri, _, value = refer_to[1:-1].partition("?Replaces=")
            other.invite(uri, headers={"Replaces": [value.replace("%3B", ";").replace("%3D", "=")]})
            outside.says(200)
            world.settle()
            invite = outside.talk.invitation
            assert invite is not None
            self.assertEqual(invite.headers["Replaces"], [secret])
            hidden(self, world)

    def test_the_outside_party_takes_over(self) -> None:
        """The other way round: erin, whom alice called past the bridge, is told to take alice's place with bob."""
        world = Four()
        to_b, to_a = world.talk(world.alice, world.bob)
        erin = world.phone("erin", "192.0.2.40")
        erin.invite("sip:bob@192.0.2.1", headers={"Replaces": [replaces(to_b)]})
        world.settle()
        self.assertEqual(world.bob.open[-1][1].headers["Replaces"], [replaced_at(to_a)])
        world.bob.says(200)
        to_a.bye()
        world.alice.says(200)
        world.settle()
        self.assertTrue(to_b.over)
        hidden(self, world)


class Refused(SynchronousTestCase):
    """`refer = "refuse"`."""

    def test_refused(self) -> None:
        """603; and neither side is told that the other could be transferred."""
        world = Four('refer = "refuse"')
        able = {"Allow": ["INVITE, ACK, BYE, REFER"], "Supported": ["replaces, timer"]}
        near = world.alice.invite("sip:bob@192.0.2.1", headers=able)
        world.bob.says(180, headers=able)
        world.bob.says(200, headers={**able, "Supported": ["replaces"]})
        world.settle()
        far = world.bob.talk
        for message in (far.heard[0], near.last("180 INVITE"), near.last("200 INVITE")):
            self.assertEqual(message.headers["Allow"], ["INVITE, ACK, BYE"])
        self.assertEqual(far.heard[0].headers["Supported"], ["timer"])
        self.assertNotIn("Supported", near.last("200 INVITE").headers)
        world.forget()
        refer(near, "sip:carol@a")
        world.ladder("alice> REFER, alice< 603 REFER")
        refer(far, "sip:carol@a")
        world.ladder("bob> REFER, bob< 603 REFER")
        near.ask("REGISTER")
        world.settle()
        answer = near.last("405 REGISTER")
        assert isinstance(answer, Response)
        self.assertNotIn("REFER", answer.headers["Allow"][0])

    def test_forks_too(self) -> None:
        """S28: every early dialog of such a call is as silent about it."""
        world = Four('refer = "refuse"')
        near = world.alice.invite("sip:bob@192.0.2.1")
        world.settle()
        able = {"Allow": ["INVITE, REFER"]}
        first = world.bob.talk
        second = world.bob.fork(first)
        for dialog in (first, second):
            assert dialog.invitation is not None
            dialog.respond(dialog.invitation, 180, headers=able)
        world.settle()
        ringing = [each for each in near.heard if isinstance(each, Response) and each.status == 180]
        self.assertEqual([each.headers["Allow"] for each in ringing], [["INVITE"], ["INVITE"]])
