"""Pass-through registration (S54): phones outside, a registrar inside, and nothing of one shows to the other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from unittest.mock import patch

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.passages import KIND, Passage
from b2bua.ops.explain import Explanation, Question, explain
from b2bua.ops.phone import Dialog, Sent
from b2bua.sip.message import Headers, Request, Response
from tests import credentials
from tests.registering import Registration, granted
from tests.test_bindings import Rows
from tests.world import TWO_SIDES, Party, World

ACCESS = (
    TWO_SIDES.replace('to = "sip:10.0.0.20;transport=udp"\nsend_from = "private"', 'to = "group:registrars"')
    + """
[registrar]
store = "memory:"
throttle = 600
phone_expires = 60
nat_ping = 30
[[group]]
name = "registrars"
send_from = "private"
members = [
    {uri = "sip:10.0.0.21;transport=udp", priority = 1},
    {uri = "sip:10.0.0.22;transport=udp", priority = 2},
]
"""
).replace(
    "[[route]]",
    """[[route]]
name = "registrations"
zone = "public"
method = "REGISTER"
to = "group:registrars"
[[route]]""",
    1,
)


class Inside:
    """A registrar: what it was asked, and who is registered. `asks` for passwords; `least` is its Min-Expires."""

    def __init__(self, phone: Party) -> None:
        self.phone = phone
        self.requests: list[Request] = []
        self.contacts: dict[str, int] = {}
        self.asks = False
        self.least = 0
        self.most = 3600
        self.headers: Headers = {}
        phone.asked = self.asked

    def asked(self, dialog: Dialog, request: Request) -> None:
        """A REGISTER is answered; what else comes waits for the test."""
        if request.method != "REGISTER":
            self.phone.open.append((dialog, request))
            return
        self.requests.append(request)
        if self.asks and "Authorization" not in request.headers:
            challenge = 'Digest realm="example.com", domain="sip:10.0.0.21", nonce="n1", algorithm=MD5, qop="auth"'
            dialog.respond(request, 401, headers={"WWW-Authenticate": [challenge]})
            return
        for value in request.values("Contact"):
            uri, seconds = _contact(value)
            if 0 < seconds < self.least:
                dialog.respond(request, 423, headers={"Min-Expires": [str(self.least)]})
                return
            self.contacts[uri] = min(seconds, self.most)
            if not seconds:
                del self.contacts[uri]
        bound = [f"<{uri}>;expires={seconds}" for uri, seconds in self.contacts.items()]
        dialog.respond(request, 200, headers={"Contact": bound, **self.headers})

    @property
    def last(self) -> Request:
        """The last REGISTER."""
        return self.requests[-1]


def _contact(value: str) -> tuple[str, int]:
    found = re.fullmatch(r"<([^>]+)>;expires=(\d+)(?:;q=[0-9.]+)?", value)
    assert found is not None, value
    return found[1], int(found[2])


class Access(SynchronousTestCase):
    """A world with two registrars inside."""

    configuration = ACCESS
    store: Rows | None = None

    def setUp(self) -> None:
        self.world = self.made(1000.0)

    def made(self, begin: float, files: Mapping[str, str] | None = None) -> World:
        """A world, with phones."""
        world = World(self.configuration, files, begin=begin, store=self.store)
        self.one, self.two = (Inside(world.phone(name, f"10.0.0.2{at}")) for at, name in ((1, "one"), (2, "two")))
        self.line = Registration(world.alice, world.alice.by_proxy(), password="secret")
        return world

    def register(self, seconds: int = 3600, line: Registration | None = None, contact: str = "") -> Sent:
        """Alice registers."""
        sent = (line or self.line).register(seconds, contact)
        self.world.settle()
        return sent

    def answer(self, sent: Sent) -> Response:
        """Its final response."""
        return next(each for each in sent.responses if each.status >= 200)

    @property
    def passages(self) -> list[Passage]:
        """What the bridge has."""
        assert self.world.hall.inside is not None
        return list(self.world.hall.inside.passages)

    def gone(self) -> None:
        """Everybody's time is over; nothing is left."""
        self.world.wait(61)
        self.world.quiet()
        self.assertEqual(self.passages, [])


class TestRegister(Access):
    """The way in."""

    def test_hidden(self) -> None:
        """The inside sees an alias at our listener, our Call-ID, and nothing of the phone; the phone sees itself."""
        self.one.headers = {
            "Path": ["<sip:10.0.0.9;lr>"],
            "Service-Route": ["<sip:10.0.0.9;lr>"],
            "P-Associated-URI": ["<sip:alice@ims.inside.example>"],
        }
        sent = self.register()
        inside = self.one.last
        text = str(bytes(inside))
        for secret in ("192.0.2.", self.line.dialog.call_id):
            self.assertNotIn(secret, text)
        self.assertRegex(inside.first("Contact"), r"^<sip:[0-9a-f]{20}@10\.0\.0\.1:5060;transport=udp>;expires=1200$")
        self.assertEqual((inside.from_.uri.user, inside.to.uri.user, inside.uri.user), ("alice", "alice", ""))
        response = self.answer(sent)
        self.assertEqual(response.status, 200)
        self.assertNotIn("10.0.0.", str(bytes(response)))
        self.assertNotIn("P-Associated-URI", response.headers)
        self.assertNotIn("Path", response.headers)
        self.assertEqual(response.values("Service-Route"), ["<sip:192.0.2.1:5060;lr>"])
        self.assertEqual(granted(response, "alice"), 60)
        self.assertEqual([line for line in self.world.journal.lines if "leak" in line], [])
        self.gone()

    def test_throttled(self) -> None:
        """The phone refreshes every 60 s, the inside sees one in 10 minutes: same Call-ID, next CSeq, same alias."""
        for _ in range(40):  # 30 minutes
            self.assertEqual(self.answer(self.register()).status, 200)
            self.world.wait(45)
        self.assertEqual(len(self.one.requests), 3)
        self.assertEqual(len({each.call_id for each in self.one.requests}), 1)
        self.assertEqual(len({each.first("Contact") for each in self.one.requests}), 1)
        numbers = [each.cseq[0] for each in self.one.requests]
        self.assertEqual(sorted(set(numbers)), numbers)
        self.gone()

    def test_short_grant(self) -> None:
        """Where the inside grants less than the throttle, it is refreshed in time; the phone gets no more than that."""
        self.one.most = 200
        for _ in range(20):
            self.register()
            self.world.wait(30)
            self.assertTrue(self.one.contacts)
        self.assertEqual(len(self.one.requests), 7)
        self.one.most = 30
        self.world.wait(200)
        self.assertEqual(granted(self.answer(self.register()), "alice"), 30)

    def test_unthrottled(self) -> None:
        """Without a throttle each goes in."""
        self.configuration = ACCESS.replace("throttle = 600", "throttle = 0")
        self.world = self.made(1000.0)
        for _ in range(3):
            self.register()
            self.world.wait(10)
        self.assertEqual(len(self.one.requests), 3)

    def test_from_another_port(self) -> None:
        """Whoever comes by another way is asked for the password by the inside, throttle or not."""
        self.register()
        self.one.asks = True
        other = self.world.alice.also("192.0.2.20", port=40000, user="alice")
        other.contact = self.world.alice.contact
        line = Registration(other, other.by_proxy(), password="secret")
        line.dialog.call_id, line.dialog.cseq = self.line.dialog.call_id, self.line.dialog.cseq + 5
        sent = self.register(line=line)
        self.assertEqual(self.answer(sent).status, 401)
        self.assertEqual(self.answer(self.register()).status, 200)

    def test_challenge_crosses(self) -> None:
        """The inside's challenge reaches the phone, and the phone's answer the inside."""
        self.one.asks = True
        sent = self.register()
        self.assertEqual(self.answer(sent).status, 401)
        said = 'Digest realm="example.com", nonce="n1", algorithm=MD5, qop="auth"'
        self.assertEqual(self.answer(sent).headers["WWW-Authenticate"], [said])
        self.assertEqual(len(self.one.contacts), 0)
        self.assertTrue(self.line.challenged(sent))
        sent = self.register()
        self.assertEqual(self.answer(sent).status, 200)
        self.assertIn('uri="sip:example.com"', self.one.last.first("Authorization"))
        self.assertEqual(len(self.one.contacts), 1)

    def test_unregister(self) -> None:
        """0 seconds reach the inside at once; nothing more is said when the binding goes."""
        self.register()
        sent = self.register(0)
        self.assertEqual(self.answer(sent).status, 200)
        self.assertEqual(self.one.contacts, {})
        self.world.wait(120)
        self.assertEqual(len(self.one.requests), 2)
        self.gone()

    def test_star(self) -> None:
        """All of a phone's Contacts at once: the inside hears of those that went through us, not of others."""
        self.register()
        self.register(contact="<sip:alice@192.0.2.20:5070>")
        self.assertEqual(len(self.one.contacts), 2)
        self.one.contacts["sip:alice@10.0.0.77"] = 60
        sent = self.register(0, contact="*")
        self.assertEqual(self.answer(sent).status, 200)
        self.assertEqual(list(self.one.contacts), ["sip:alice@10.0.0.77"])
        self.gone()

    def test_star_meanwhile(self) -> None:
        """What registers while the inside is asked for all to go stays: nobody there heard of it."""
        self.register()
        held: list[tuple[Dialog, Request]] = []
        self.one.phone.asked = lambda dialog, request: held.append((dialog, request))
        sent = self.register(0, contact="*")
        self.one.phone.asked = self.one.asked
        line = Registration(self.world.alice, self.world.alice.by_proxy())
        self.register(line=line, contact="<sip:alice@192.0.2.20:5070>")
        self.one.asked(*held[0])
        self.world.settle()
        self.assertEqual(len(self.answer(sent).values("Contact")), 1)
        self.assertEqual((len(self.one.contacts), len(self.passages)), (1, 1))
        self.gone()

    def test_fetch(self) -> None:
        """Without a Contact it only asks: the inside may want a password, the answer shows what is ours."""
        self.register()
        self.one.contacts["sip:alice@10.0.0.77"] = 60
        sent = self.line.register(more={"Contact": []})
        self.world.settle()
        self.assertNotIn("Contact", self.one.last.headers)
        self.assertEqual(len(self.answer(sent).values("Contact")), 1)
        self.assertEqual(granted(self.answer(sent), "alice"), 60)

    def test_too_brief(self) -> None:
        """423 is learned, and not for the phone: the next is long enough at once."""
        self.one.least = 1800
        self.assertEqual(self.answer(self.register()).status, 200)
        self.assertEqual([_contact(each.first("Contact"))[1] for each in self.one.requests], [1200, 1800])
        line = Registration(self.world.alice, self.world.alice.by_proxy())
        self.register(line=line, contact="<sip:alice@192.0.2.20:5070>")
        self.assertEqual(_contact(self.one.last.first("Contact"))[1], 1800)

    def test_never_long_enough(self) -> None:
        """A registrar that says 423 again is believed."""
        self.one.least = 5_000_000
        self.assertEqual(self.answer(self.register()).status, 423)
        self.assertEqual(self.passages, [])

    def test_failover(self) -> None:
        """The next registrar is tried where the first does not answer, or is overloaded."""
        self.one.phone.refusing = True
        self.assertEqual(self.answer(self.register()).status, 200)
        self.assertEqual((len(self.one.requests), len(self.two.requests)), (0, 1))

    def test_outage(self) -> None:
        """While no registrar answers phones stay, for as long as the inside has granted; a new one is told to wait."""
        self.one.most = 900
        self.register()
        self.one.phone.refusing = self.two.phone.refusing = True
        for _ in range(18):  # 810 seconds
            self.assertEqual(self.answer(self.register()).status, 200)
            self.world.wait(45)
        self.register()
        self.world.wait(45)
        self.assertGreaterEqual(self.answer(self.register()).status, 500)
        line = Registration(self.world.alice, self.world.alice.by_proxy())
        sent = self.register(line=line, contact="<sip:alice@192.0.2.20:5070>")
        self.assertGreaterEqual(self.answer(sent).status, 500)

    def test_overtaken(self) -> None:
        """RFC 3261 10.3: a REGISTER that comes late changes nothing, here or inside; nor does * (10.2.2)."""
        self.register()
        self.line.dialog.cseq -= 5
        for contact in ("", "*"):
            sent = self.register(0, contact=contact)
            self.assertEqual(self.answer(sent).status, 500)
        self.assertEqual(len(self.one.requests), 1)

    def test_overtaken_inside(self) -> None:
        """The same while the inside was asked: the later one counts."""
        held: list[tuple[Dialog, Request]] = []
        self.one.phone.asked = lambda dialog, request: held.append((dialog, request))
        first, second = self.register(), self.register()
        for dialog, request in reversed(held):
            self.one.asked(dialog, request)
            self.world.settle()
        self.assertEqual((self.answer(second).status, self.answer(first).status), (200, 500))

    def test_room_is_gone(self) -> None:
        """While the inside was asked other phones have taken the room: what the inside has is taken away again."""
        self.configuration = ACCESS.replace("throttle = 600", "throttle = 600\nmax_bindings = 1")
        self.world = self.made(1000.0)
        held: list[tuple[Dialog, Request]] = []
        self.one.phone.asked = lambda dialog, request: held.append((dialog, request))
        first = self.register()
        line = Registration(self.world.alice, self.world.alice.by_proxy())
        second = self.register(line=line, contact="<sip:alice@192.0.2.20:5070>")
        self.one.phone.asked = self.one.asked
        for dialog, request in held:
            self.one.asked(dialog, request)
            self.world.settle()
        self.assertEqual((self.answer(first).status, self.answer(second).status), (200, 403))
        self.assertEqual(list(self.one.contacts), [f"sip:{self.passages[0].alias}@10.0.0.1:5060;transport=udp"])
        self.gone()

    def test_room_of_one_user(self) -> None:
        """What one password is good for: refused before the inside hears of it; all of it counts, of any address."""
        asking = ACCESS.replace('name = "public"\n', 'name = "public"\nauthenticate = ["REGISTER"]\n', 1)
        asking += '[authentication]\nrealm = "r"\nusers = "users"\nalgorithms = ["MD5"]\nidentities = "any"\n'
        self.configuration = asking.replace("throttle = 600", "throttle = 600\nmax_per_user = 1")
        self.world = self.made(1000.0, {"users": credentials.line("alice", "secret", "r", "MD5")})
        self.line.challenged(self.register())
        self.assertEqual(self.answer(self.register()).status, 200)
        self.line.headers = {"To": ["<sip:pbx100@example.com>"]}
        self.assertEqual(self.answer(self.register()).status, 403)
        self.assertEqual((len(self.one.requests), len(self.passages)), (1, 1))
        self.world.wait(62)
        self.assertEqual(self.answer(self.register()).status, 200)
        self.gone()

    def test_fault_of_ours(self) -> None:
        """What goes wrong once the inside has accepted costs one REGISTER: 500, and the inside has nothing left."""
        assert self.world.hall.inside is not None
        with patch.object(self.world.hall.inside.bindings, "add", side_effect=LookupError("ours")):
            self.assertEqual(self.answer(self.register()).status, 500)
        self.assertIn("crashed: ours", self.world.journal.lines)
        self.assertEqual((self.one.contacts, self.passages), ({}, []))
        self.world.quiet()
        self.assertEqual(self.answer(self.register()).status, 200)
        self.gone()

    def test_no_utf8(self) -> None:
        """An octet that is not UTF-8, in what is kept of a phone, leaves no REGISTER without an answer."""
        self.line.headers = {"User-Agent": ["Telefon f\udcfcr alle"]}
        self.assertIn(self.answer(self.register()).status, (200, 500))
        self.world.wait(61)
        self.world.quiet()

    def test_odd_answers(self) -> None:
        """A registrar that says Expires for all, and other Contacts that cannot be read."""
        headers = {"Expires": ["500"], "Contact": ["<sip:a@b", "<tel:1>;expires=x", "<sip:other@h>;expires=9"]}
        self.one.phone.asked = lambda dialog, request: dialog.respond(request, 200, headers=headers)
        self.assertEqual(granted(self.answer(self.register()), "alice"), 60)
        self.assertEqual(round(self.passages[0].until - self.world.switchboard.now()), 500)

    def test_silent_registrar(self) -> None:
        """The end of a phone is told to a registrar that is gone itself: tried, and no more."""
        self.register()
        self.one.phone.mute = True
        self.world.wait(62)
        self.assertEqual(self.passages, [])
        self.world.wait(40)
        self.world.quiet()

    def test_refused(self) -> None:
        """What the inside refuses makes no binding; nor does a Contact that is somebody else's."""
        self.one.phone.asked = lambda dialog, request: dialog.respond(request, 403)
        self.assertEqual(self.answer(self.register()).status, 403)
        self.assertEqual(self.answer(self.register(contact="<sip:alice@198.51.100.7>")).status, 403)
        self.assertEqual(self.passages, [])
        self.world.quiet()

    def test_required(self) -> None:
        """RFC 3261 8.2.2.3: a phone may insist on Path and outbound, which are ours to do, and on nothing else."""
        self.line.params = ';+sip.instance="<urn:uuid:1>";reg-id=1'
        for tags, lacking in (("outbound", []), ("path, Outbound", []), ("gruu, path, frob", ["gruu, frob"])):
            self.line.headers = {"Supported": ["outbound, path, gruu"], "Require": [tags]}
            response = self.answer(self.register())
            self.assertEqual(response.status, 420 if lacking else 200, tags)
            self.assertEqual(response.headers.get("Unsupported", []), lacking)
        self.gone()

    def test_no_gruu(self) -> None:
        """RFC 5627 5.1: the inside does not know names of ours for one phone, so the phone is told none."""
        self.line.headers = {"Supported": ["gruu"]}
        self.line.params = ';+sip.instance="<urn:uuid:1>"'
        self.assertNotIn("gruu", self.answer(self.register()).first("Contact"))
        self.gone()

    def test_hops(self) -> None:
        """RFC 3261 16.3: Max-Forwards counts here too."""
        self.line.headers = {"Max-Forwards": ["0"]}
        self.assertEqual(self.answer(self.register()).status, 483)


class TestAlias(Access):
    """The inside's calls."""

    def call(self, alias: str = "", world: World | None = None) -> Dialog:
        """The inside's registrar calls an alias, or another user at our listener."""
        uri = alias or next(iter(self.one.contacts))
        return self.one.phone.invite(uri)

    def test_found(self) -> None:
        """INVITE to the alias finds the phone, at the Contact that it registered, without any route."""
        self.register()
        near = self.call()
        self.world.settle()
        asked = self.world.alice.talk.heard[0]
        assert isinstance(asked, Request)
        self.assertEqual(asked.uri_text, "sip:alice@192.0.2.20:5060;transport=udp")
        head, _, _ = bytes(asked).partition(b"\r\n\r\n")
        self.assertNotIn(b"10.0.0.", head)
        self.assertEqual(asked.to.uri.user, "alice")
        self.world.alice.says(200)
        self.world.settle()
        self.assertTrue(near.up)
        near.bye()
        self.world.alice.says(200)
        self.gone()

    def test_message_and_notify(self) -> None:
        """What makes no call too, also the NOTIFY of a voice mail that nobody subscribed to."""
        self.register()
        uri = next(iter(self.one.contacts))
        said = {"Event": ["message-summary"], "Subscription-State": ["active"]}
        for method, headers in (("MESSAGE", {}), ("NOTIFY", said), ("OPTIONS", {})):
            sent = self.one.phone.ask(method, uri, headers=headers)
            self.world.alice.says(200, to=method)
            self.world.settle()
            self.assertEqual(sent.status, 200, method)

    def test_only_from_inside(self) -> None:
        """Who knows the alias elsewhere has nothing of it; nor does a user that is none."""
        self.register()
        alias = next(iter(self.one.contacts)).partition(":")[2].partition("@")[0]
        mallory = self.world.phone("mallory", "192.0.2.66")
        talk = mallory.invite(f"sip:{alias}@192.0.2.1")
        self.world.settle()
        self.assertEqual([each for each in self.world.alice.dialogs if each.invitation], [])
        self.assertEqual(len(self.one.phone.open), 1)  # by the rule for calls
        talk.cancel()

    def test_gone(self) -> None:
        """A call to a phone whose time is over is 480, and the inside has been told."""
        self.register()
        uri = next(iter(self.one.contacts))
        self.world.wait(62)
        self.assertEqual(self.one.contacts, {})
        self.assertEqual(len(self.one.requests), 2)
        self.assertEqual(self.one.requests[1].call_id, self.one.requests[0].call_id)
        talk = self.call(uri)
        self.world.settle()
        self.assertEqual(talk.times("404 INVITE") + talk.times("480 INVITE"), 0)  # the route for calls has it
        self.assertEqual(self.passages, [])

    def test_service_route(self) -> None:
        """RFC 3608: the phone's calls go inside by the route that the registrar gave; nobody else's do."""
        self.one.headers = {"Service-Route": ["<sip:10.0.0.21;lr>", "<sip:orig@10.0.0.9;lr>"]}
        self.register()
        self.world.alice.address = "<sip:alice@example.com>"
        self.world.alice.invite("sip:bob@example.com")
        self.world.settle()
        asked = self.one.phone.open[-1][1]
        self.assertEqual(asked.values("Route"), ["<sip:10.0.0.21;lr>", "<sip:orig@10.0.0.9;lr>"])
        other = self.world.phone("carol", "192.0.2.30")
        other.invite("sip:bob@example.com")
        self.world.settle()
        self.assertNotIn("Route", self.one.phone.open[-1][1].headers)


    def test_service_route_of_another(self) -> None:
        """It is the phone's alone: whoever sends from elsewhere and says that she is alice has none of it."""
        self.one.headers = {"Service-Route": ["<sip:orig@10.0.0.9;lr>"]}
        self.register()
        other = self.world.phone("mallory", "192.0.2.66")
        other.address = "<sip:alice@example.com>"
        other.invite("sip:bob@example.com")
        self.world.settle()
        self.assertNotIn("Route", self.one.phone.open[-1][1].headers)
        other.ask("MESSAGE", "sip:bob@example.com")
        self.world.settle()
        self.assertNotIn("Route", self.one.phone.open[-1][1].headers)

    def test_service_route_that_is_none(self) -> None:
        """RFC 3608 5: one that cannot be read, or is no loose router's, is dropped, and the journal says so."""
        self.world.alice.address = "<sip:alice@example.com>"
        broken = "nonsense", "<sip:x\udcfc@10.0.0.9;lr>", '<sip:10.0.0.9;lr>;x=\udcfc', "<sip:10.0.0.9>", "<tel:1;lr>"
        for value in broken:
            self.one.headers = {"Service-Route": ["<sip:10.0.0.21;lr>", value]}
            self.world.journal.lines.clear()
            response = self.answer(self.register(contact=f"<sip:alice@192.0.2.20;x={len(self.one.requests)}>"))
            self.assertEqual((response.status, "Service-Route" in response.headers), (200, False), value)
            self.assertIn("fault of 10.0.0.21 in a 200 response", "\n".join(self.world.journal.lines))
            self.world.alice.invite("sip:bob@example.com")
            self.world.settle()
            self.assertNotIn("Route", self.one.phone.open[-1][1].headers)

    def test_escaped(self) -> None:
        """A user with escaped characters is called in To as it registered."""
        for user in ("al%40ice", "al%3Eice%20x"):
            self.line.dialog.local = self.line.dialog.remote = f"<sip:{user}@example.com>"
            self.register(contact=f"<sip:{user}@192.0.2.20:5060>")
            alias = list(self.one.contacts)[-1]
            self.one.phone.address = f"<{alias}>"  # which says To too, as it calls
            self.call(alias).cancel()
            self.world.settle()
            asked = self.world.alice.talk.heard[0]
            assert isinstance(asked, Request)
            self.assertEqual((asked.uri.user, asked.to.uri.user), (user, user))


class TestLookup(Access):
    """A route from outside to whoever is registered."""

    configuration = ACCESS.replace(
        'name = "inwards"\nzone = "public"\nto = "group:registrars"', 'name = "inwards"\nzone = "public"\nto = "lookup"'
    )

    def test_none_outside(self) -> None:
        """An alias is the inside's name for a phone, and nobody's outside; nor is it at another host."""
        self.assertIn('to = "lookup"', self.configuration)
        self.register()
        alias = next(iter(self.one.contacts)).partition(":")[2].partition("@")[0]
        mallory = self.world.phone("mallory", "192.0.2.66")
        for host, status in (("192.0.2.1", 480), ("nowhere.example", 404)):
            talk = mallory.invite(f"sip:{alias}@{host}", mallory.by_proxy())
            self.world.settle()
            self.assertEqual(talk.times(f"{status} INVITE"), 1)
        self.assertEqual([each for each in self.world.alice.dialogs if each.invitation], [])


class TestFlows(Access):
    """Phones on streams."""

    def setUp(self) -> None:
        super().setUp()
        self.phone = self.world.phone("alice", "192.0.2.40", "tcp")
        self.way = self.phone.by_proxy()
        self.line = Registration(self.phone, self.way, params=';+sip.instance="<urn:uuid:1>";reg-id=1')
        self.line.headers = {"Supported": ["outbound, path"]}

    def test_dead(self) -> None:
        """The connection closes: the binding is out, and the inside is told at once."""
        self.assertEqual(self.answer(self.register()).values("Require"), ["outbound"])
        self.assertEqual(len(self.one.contacts), 1)
        self.phone.drop()
        self.world.settle()
        self.assertEqual(self.one.contacts, {})
        self.assertEqual(self.passages, [])
        self.world.quiet()

    def test_dead_meanwhile(self) -> None:
        """The connection closes while the inside is asked: what the inside then has is taken away again."""
        held: list[tuple[Dialog, Request]] = []
        self.one.phone.asked = lambda dialog, request: held.append((dialog, request))
        self.register()
        self.phone.drop()
        self.world.settle()
        self.one.phone.asked = self.one.asked
        self.one.asked(*held[0])
        self.world.settle()
        self.assertEqual((self.one.contacts, self.passages), ({}, []))
        assert self.world.hall.lookup is not None
        self.assertEqual(len(self.world.hall.lookup.bindings), 0)
        self.world.quiet()

    def crossing(self) -> tuple[Sent, tuple[Dialog, Request]]:
        """The phone registers by a new connection, and the old one closes while the inside is asked."""
        self.register()
        other = self.world.phone("alice", "192.0.2.40", "tcp", port=5070)
        line = Registration(other, other.by_proxy(), params=self.line.params)
        line.headers = self.line.headers
        held: list[tuple[Dialog, Request]] = []
        self.one.phone.asked = lambda dialog, request: held.append((dialog, request))
        sent = self.register(line=line)
        self.one.phone.asked = self.one.asked
        self.phone.drop()
        self.world.settle()
        self.assertEqual((len(self.one.requests), len(held)), (1, 1))  # the end of the old one would undo the new one
        return sent, held[0]

    def test_crossing(self) -> None:
        """A REGISTER crosses the death of the old connection: the inside has the phone, and its calls reach it."""
        sent, asked = self.crossing()
        self.one.asked(*asked)
        self.world.settle()
        self.assertEqual(self.answer(sent).status, 200)
        self.assertEqual(len(self.one.contacts), 1)
        self.one.phone.invite(next(iter(self.one.contacts))).cancel()
        self.world.settle()
        self.assertEqual(len([each for each in self.world.phones[-1].dialogs if each.invitation]), 1)
        self.gone()

    def test_crossing_refused(self) -> None:
        """The same, and the inside wants a password: it is told then that the phone is gone."""
        sent, (dialog, request) = self.crossing()
        self.assertEqual(len(self.one.contacts), 1)
        dialog.respond(request, 403)
        self.world.settle()
        self.assertEqual(self.answer(sent).status, 403)
        self.assertEqual((self.one.contacts, self.passages), ({}, []))
        self.world.quiet()

    def test_fails_at_once(self) -> None:
        """RFC 5626 11.5: a call that waits for an answer on it is 430 at once."""
        self.register()
        talk = self.one.phone.invite(next(iter(self.one.contacts)))
        self.world.settle()
        self.phone.drop()
        self.world.settle()
        self.assertEqual(talk.times("430 INVITE"), 1)

    def test_reconnects(self) -> None:
        """The phone is back by another connection: the same alias; its call's requests reach it there."""
        self.register()
        alias = next(iter(self.one.contacts))
        near = self.one.phone.invite(alias)
        self.world.settle()
        self.phone.says(200)
        self.world.settle()
        self.phone.drop()
        self.world.settle()
        self.way.connection = None
        self.register()
        self.assertEqual(list(self.one.contacts), [alias])
        self.world.forget()
        near.reinvite("sendonly")
        self.phone.says(200)
        self.world.forget()
        near.bye()
        self.phone.says(200)
        self.world.ladder("one> BYE", "alice< BYE", "alice> 200 BYE", "one< 200 BYE")
        self.phone.drop()
        self.world.quiet()


class TestForeign(Access):
    """A Contact elsewhere, over TCP."""

    configuration = ACCESS.replace("throttle = 600", "throttle = 600\nforeign_contacts = true")

    def test_throttled(self) -> None:
        """As long as it registers by the same connection the inside hears of it once; after that, anew."""
        phone = self.world.phone("alice", "192.0.2.40", "tcp")
        line = Registration(phone, phone.by_proxy())
        for _ in range(3):
            self.register(600, line, "<sip:alice@8.8.8.8>")
        self.assertEqual(len(self.one.requests), 1)
        phone.drop()
        self.world.settle()
        self.register(600, line, "<sip:alice@8.8.8.8>")
        self.assertEqual((len(self.one.requests), len(self.one.contacts)), (2, 1))
        self.gone()


class TestTwoFlows(Access):
    """RFC 5626: one phone by two connections is one phone for the inside."""

    def setUp(self) -> None:
        super().setUp()
        params = ';+sip.instance="<urn:uuid:1>";reg-id={}'
        self.lines = []
        for at, transport in ((1, "tcp"), (2, "udp")):
            phone = self.world.phone("alice", "192.0.2.40", transport)
            line = Registration(phone, phone.by_proxy(), params=params.format(at))
            line.headers = {"Supported": ["outbound, path"]}
            self.register(line=line)
            self.lines.append(line)

    def call(self) -> list[int]:
        """How many calls each of its ends gets of one of the inside's, which ends."""
        talk = self.one.phone.invite(next(iter(self.one.contacts)))
        self.world.settle()
        found = [len([each for each in line.phone.dialogs if each.invitation]) for line in self.lines]
        talk.cancel()
        self.world.settle()
        for line in self.lines:
            line.phone.dialogs.clear()
        return found

    def test_one_alias(self) -> None:
        """It rings once: by the flow that was heard of last."""
        self.assertEqual(len(self.one.contacts), 1)
        self.assertEqual(self.call(), [0, 1])

    def test_one_dies(self) -> None:
        """The inside is told only with the last."""
        self.lines[0].phone.drop()  # type: ignore[attr-defined]
        self.world.settle()
        self.assertEqual(len(self.one.contacts), 1)
        self.assertEqual(self.call(), [0, 1])
        self.world.wait(62)
        self.assertEqual(self.one.contacts, {})

    def test_one_leaves(self) -> None:
        """The same where the phone takes one away itself; a registrar that then refuses is in the journal."""
        self.register(0, line=self.lines[1])
        self.assertEqual(len(self.one.contacts), 1)
        self.assertEqual(self.call(), [1, 0])
        self.one.phone.asked = lambda dialog, request: dialog.respond(request, 403)
        self.lines[0].phone.drop()  # type: ignore[attr-defined]
        self.world.settle()
        self.assertIn("still has alice@example.com (403 to our REGISTER)", self.world.journal.lines[-1])


class TestSeen(Access):
    """Where the inside may see the domains."""

    configuration = ACCESS.replace(
        'name = "private"\n', 'name = "private"\nkeep_hosts = ["From", "To", "Request-URI"]\n', 1
    )

    def test_gone(self) -> None:
        """RFC 7616 3.4: the end of a phone is told by the Request-URI that the phone's credentials are for."""
        self.register()
        self.world.wait(62)
        self.assertEqual(self.one.contacts, {})
        self.assertEqual([each.uri_text for each in self.one.requests], ["sip:example.com"] * 2)
        self.assertEqual(len({str(each.to.uri) for each in self.one.requests}), 1)


class TestRestart(Access):
    """What outlives a stop."""

    def setUp(self) -> None:
        self.store = Rows()
        super().setUp()

    def test_goes_on(self) -> None:
        """The throttle, the alias and the Call-ID are as they were, and the inside's calls find the phone at once."""
        self.one.headers = {"Service-Route": ["<sip:10.0.0.21;lr>"]}
        self.register()
        alias, before = next(iter(self.one.contacts)), self.one.last
        line = self.line
        self.world = self.made(1030.0)
        talk = self.one.phone.invite(alias)
        self.world.settle()
        self.world.alice.says(200)
        self.world.settle()
        self.assertTrue(talk.up)
        self.line.dialog.call_id, self.line.dialog.cseq = line.dialog.call_id, line.dialog.cseq
        self.assertEqual(self.answer(self.register()).status, 200)
        self.assertEqual(self.one.requests, [])
        self.world.wait(62)
        self.assertEqual((self.one.last.call_id, self.one.last.cseq[0] > before.cseq[0]), (before.call_id, True))

    def test_phones_that_did_not_come_back(self) -> None:
        """Their time was over while nobody looked: the inside is told."""
        self.register()
        self.world = self.made(1100.0)
        self.world.wait(3)
        self.assertEqual(len(self.one.requests), 1)
        self.assertEqual(_contact(self.one.last.first("Contact"))[1], 0)
        self.assertEqual(self.passages, [])

    def test_comes_back_late(self) -> None:
        """One whose REGISTER is inside just then is not told to be gone."""
        self.register()
        line = self.line
        self.world = self.made(1100.0)
        self.line.dialog.call_id, self.line.dialog.cseq = line.dialog.call_id, line.dialog.cseq
        held: list[tuple[Dialog, Request]] = []
        self.one.phone.asked = lambda dialog, request: held.append((dialog, request))
        sent = self.register()
        self.world.wait(3)
        self.one.asked(*held[0])
        self.world.settle()
        self.assertEqual((self.answer(sent).status, len(held), len(self.one.contacts)), (200, 1, 1))

    def test_older(self) -> None:
        """A row that an older version has written, without a Request-URI, is read too."""
        self.register()
        assert isinstance(self.store, Rows)
        alias, value = next(iter(self.store.load(KIND)))
        self.store.put(KIND, alias, msgspec.msgpack.encode(msgspec.msgpack.decode(value)[:12]))
        self.world = self.made(1100.0)
        self.world.wait(3)
        self.assertEqual(_contact(self.one.last.first("Contact"))[1], 0)
        self.assertEqual(self.one.last.uri_text, "sip:10.0.0.21;transport=udp")

    def test_long_ago(self) -> None:
        """The inside has forgotten it too."""
        self.register()
        self.world = self.made(10_000.0)
        self.world.wait(3)
        self.assertEqual(self.one.requests, [])
        self.assertEqual(self.passages, [])


class TestExplained(Access):
    """`b2bua explain`."""

    def asked(self, configuration: str, zone: str = "public") -> Explanation:
        """What would become of a REGISTER."""
        world = World(configuration)
        question = Question("sip:alice@example.com", "REGISTER", zone)
        found: list[Explanation] = []
        explain(world.configuration, world.switchboard, question).addCallback(found.append)
        return found[0]

    def test_sent_on(self) -> None:
        """By which rule and listener, to whom."""
        explanation = self.asked(ACCESS)
        self.assertEqual([hop.uri.host for hop in explanation.hops], ["10.0.0.21", "10.0.0.22"])
        self.assertTrue(explanation.sent)

    def test_ours(self) -> None:
        """Where no rule says so, the registrar answers."""
        self.assertIn("the registrar answers it", self.asked(ACCESS, "private").why)
