"""Calls to whoever is registered (S53): each branch by the way by which its phone registered, with no rule for that."""

from __future__ import annotations

from b2bua.ops.phone import Dialog
from b2bua.sip.message import Headers, Request
from tests.test_call_registrar import HOME, REGISTRAR, Registered
from tests.world import TLS_TOO, TWO_SIDES, Party, World

SIX = """
[[listener]]
name = "public-tcp6"
zone = "public"
transport = "tcp"
address = "2001:db8::1"
port = 5060
"""
TO_LOOKUP = 'name = "phones"\nto = "lookup"\nhunt = "{hunt}"\n'
ROUTES = TWO_SIDES[TWO_SIDES.index("[[route]]") :]
SOCKETS = TWO_SIDES[: TWO_SIDES.index("[[route]]")]


def home(hunt: str = "parallel", more: str = "") -> str:
    """A registrar on the public side; whoever calls, on whichever side, calls whoever is registered."""
    return SOCKETS + SIX + TLS_TOO + "[[route]]\n" + TO_LOOKUP.format(hunt=hunt) + REGISTRAR + more


class Phones(Registered):
    """Phones of alice's, and bob on the private side who calls her."""

    configuration = home()

    def registered(
        self, host: str, transport: str = "udp", more: str = "", uri: str = "", headers: Headers | None = None
    ) -> Party:
        """A phone more of alice's; `uri` is what it thinks that it is reached at."""
        phone = self.world.phone(f"phone{len(self.world.phones)}", host, transport)
        contact = f"<{uri or str(phone.contact)[1:-1]}>{more}"
        sent = self.ask(contact, phone=phone, call_id=phone.user, headers=headers)
        self.assertEqual(sent.status, 200, self.world.journal.lines)
        return phone

    def call(self, uri: str = "sip:alice@example.com", headers: Headers | None = None) -> Dialog:
        """Bob calls."""
        talk = self.world.bob.invite(uri, headers=headers)
        self.world.settle()
        return talk

    def asked(self, phone: Party) -> Request:
        """The INVITE that a phone has."""
        found = phone.open[-1][1]
        self.assertEqual(found.method, "INVITE")
        return found

    def end(self, talk: Dialog, phone: Party) -> None:
        """Bob hangs up."""
        talk.bye()
        phone.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 BYE"), 1)
        self.forget()


class TestEverywhere(Phones):
    """One user, phones on every transport."""

    def test_all_ring(self) -> None:
        """UDP over IPv4, TCP over IPv6 and TLS at once: one call rings all, each as it registered; one answers."""
        udp = self.registered("192.0.2.31")
        tcp = self.registered("2001:db8::31", "tcp")
        tls = self.registered("192.0.2.32", "tls")
        before = len(self.world.connecting)
        talk = self.call()
        for phone in (udp, tcp, tls):
            asked = self.asked(phone)
            self.assertEqual(asked.uri_text, str(phone.contact)[1:-1])
            self.assertIn(f"SIP/2.0/{phone.at.transport.upper()} ", asked.headers["Via"][0])
            self.assertEqual(asked.to.uri.host, "example.com")
            phone.says(180)
        self.assertEqual(len(self.world.connecting), before)  # by the phones' own connections
        tcp.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        for phone in (udp, tls):
            self.assertEqual(phone.talk.times("CANCEL"), 1)
        self.end(talk, tcp)

    def test_the_phone_hangs_up(self) -> None:
        """And by its connection."""
        tls = self.registered("192.0.2.32", "tls")
        talk = self.call()
        tls.says(200)
        self.world.settle()
        tls.talk.bye()
        self.world.settle()
        self.assertEqual(talk.times("BYE"), 1)
        self.world.bob.says(200)
        self.forget()

    def test_secure(self) -> None:
        """S14: a sips URI is for phones on TLS only."""
        udp, tls = self.registered("192.0.2.31"), self.registered("192.0.2.32", "tls")
        bob = self.world.phone("bob'", "10.0.0.21", "tls")
        talk = bob.invite("sips:alice@example.com")
        self.world.settle()
        self.assertEqual((len(udp.open), len(tls.open)), (0, 1))
        self.asked(tls)
        talk.cancel()
        self.world.settle()
        self.forget()

    def test_message(self) -> None:
        """What makes no dialog goes to one phone after the other, until one takes it."""
        one, two = self.registered("192.0.2.31"), self.registered("192.0.2.32", "tls")
        sent = self.world.bob.ask("MESSAGE", "sip:alice@example.com")
        two.says(503)
        one.says(200)
        self.world.settle()
        self.assertEqual(sent.status, 200)
        self.forget()

    def test_subscribe(self) -> None:
        """A subscription too."""
        one = self.registered("192.0.2.31", "tls")
        talk = self.world.bob.subscribe("sip:alice@example.com", "presence", 60)
        one.says(202, headers={"Expires": ["60"]})
        self.world.settle()
        self.assertEqual(talk.times("202 SUBSCRIBE"), 1)
        self.world.wait(120)
        self.forget()

    def test_two_users_call_each_other(self) -> None:
        """Both on one side: the hop is the same for both."""
        one = self.registered("192.0.2.31", "tls")
        talk = self.world.alice.invite("sip:alice@192.0.2.1")
        self.world.settle()
        one.says(200)
        self.world.settle()
        self.end(talk, one)


class TestNobody(Phones):
    """Nobody is there."""

    def test_statuses(self) -> None:
        """480 for who is not there, 404 for who is no user here, or names no phone (RFC 5627 6)."""
        for uri, status in (
            ("sip:alice@example.com", 480), ("sip:alice@elsewhere.example", 404), ("sip:example.com", 404),
            ("sip:alice@example.com;gr=urn:uuid:1", 404), ("sip:tgruu.x@example.com;gr", 404),
        ):  # fmt: skip
            talk = self.call(uri)
            self.assertEqual(talk.times(f"{status} INVITE"), 1, uri)
        sent = self.world.bob.ask("MESSAGE", "sip:alice@example.com")
        self.world.settle()
        self.assertEqual(sent.status, 480)
        self.assertIn("ended: nobody is registered as alice@example.com", self.world.journal.lines)
        self.world.quiet()

    def test_a_connection_that_is_gone(self) -> None:
        """Nobody is asked by it."""
        phone = self.registered("192.0.2.31", "tls")
        phone.drop()
        self.assertEqual(self.call().times("480 INVITE"), 1)
        self.forget()


class TestSerial(Phones):
    """One after the other, by q."""

    configuration = home("serial")

    def test_by_q(self) -> None:
        """The one most wished for first, then the one that was heard of last."""
        last = self.registered("192.0.2.31", "udp", ";q=0.1")
        first = self.registered("192.0.2.32", "tls", ";q=0.9")
        second = self.registered("192.0.2.33", "tcp", ";q=0.5")
        talk = self.call()
        self.assertEqual([len(each.open) for each in (first, second, last)], [1, 0, 0])
        first.says(503)
        self.world.settle()
        second.says(503)
        self.world.settle()
        last.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        self.end(talk, last)

    def test_another_flow(self) -> None:
        """RFC 5626 5.3: a phone whose newest flow fails is tried by its other, whatever go_on says."""
        instance = ';+sip.instance="<urn:x>";reg-id={}'
        supported = {"Supported": ["outbound"]}
        one = self.registered("192.0.2.31", "udp", instance.format(1), headers=supported)
        self.world.wait(1)
        two = self.registered("192.0.2.32", "udp", instance.format(2), headers=supported)
        other = self.registered("192.0.2.33", "udp", ";q=0.1")
        for status in (430, 0):
            two.refusing = not status
            talk = self.call()
            if status:
                two.says(status)
            self.world.settle()
            self.assertEqual((len(one.open), len(other.open)), (1, 0))
            one.says(486)
            self.world.settle()
            self.assertEqual(talk.times("486 INVITE"), 1)
        two.refusing = False
        talk = self.call()
        two.says(486)
        self.world.settle()
        self.assertEqual((talk.times("486 INVITE"), len(one.open)), (1, 0))
        self.forget()

    def test_flow_failed_is_not_told(self) -> None:
        """430 concerns nobody but who keeps the flow: the caller hears 480."""
        phone = self.registered("192.0.2.31")
        talk = self.call()
        phone.says(430)
        self.world.settle()
        self.assertEqual(talk.times("480 INVITE"), 1)
        self.forget()


class TestThenVoicemail(Phones):
    """`to` may be a list."""

    configuration = home("serial").replace('to = "lookup"', 'to = ["lookup", "sip:10.0.0.30;transport=udp"]')

    def test_when_nobody_is_there(self) -> None:
        """The next one is called at once."""
        mailbox = self.world.phone("mailbox", "10.0.0.30")
        talk = self.call()
        mailbox.says(200)
        self.world.settle()
        self.end(talk, mailbox)


class TestNat(Phones):
    """Phones behind NAT: what they say of themselves leads nowhere, their source does."""

    def test_udp(self) -> None:
        """INVITE, ACK, re-INVITE and BYE go to the source, long ones too, whatever the Contact says."""
        inside = "sip:phone@192.168.1.7:5999;transport=udp"
        phone = self.registered("192.0.2.31", uri=inside)
        phone.contact = f"<{inside.replace('5999', '6001')}>"
        talk = self.call(headers={"Subject": ["x" * 1400]})
        self.assertEqual(self.asked(phone).uri_text, inside)
        phone.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        self.assertEqual(phone.talk.times("ACK"), 1)
        talk.reinvite()
        phone.says(200)
        self.world.settle()
        self.assertEqual(phone.talk.times("ACK"), 2)
        self.assertEqual(self.world.connecting, [])
        self.end(talk, phone)

    def test_it_calls(self) -> None:
        """A registered phone that calls is answered, and asked, at its source too."""
        phone = self.registered("192.0.2.31", uri="sip:phone@192.168.1.7;transport=udp")
        phone.contact, phone.address = "<sip:phone@192.168.1.7;transport=udp>", "<sip:alice@example.com>"
        callee = self.world.phone("carol", "192.0.2.32", "tls")
        self.ask(callee.contact, phone=callee, user="carol", call_id="carol")
        talk = phone.invite("sip:carol@example.com")
        self.world.settle()
        callee.says(200)
        self.world.settle()
        callee.talk.bye()
        self.world.settle()
        self.assertEqual(phone.open[-1][1].method, "BYE")
        phone.says(200)
        talk.over = True
        self.forget()

    def test_mapping_changes(self) -> None:
        """A NAT that gives it another port: its next request in the call tells where it is now."""
        inside = "sip:phone@192.168.1.7;transport=udp"
        phone = self.registered("192.0.2.31", uri=inside)
        phone.contact = f"<{inside}>"
        talk = self.call()
        phone.says(200)
        self.world.settle()
        moved = phone.also("192.0.2.31", port=7777)
        call = phone.talk
        request = call.request("INFO", call.cseq + 1)
        moved.put(bytes(request), moved.by_proxy())
        call.cseq += 1
        self.world.bob.says(200)
        self.world.settle()
        talk.bye()
        self.world.settle()
        self.assertIn(b"BYE ", moved.bytes_in[-1])
        phone.open.clear()
        self.world.wait(40)
        self.forget()


    def test_another_zone(self) -> None:
        """But a request by a listener of another zone does not: its leg stays where it is."""
        phone = self.registered("192.0.2.31")
        talk = self.call()
        phone.says(200)
        self.world.settle()
        other = phone.also("10.0.0.31")
        other.put(bytes(phone.talk.request("INFO", phone.talk.cseq + 1)), other.by_proxy())
        phone.talk.cseq += 1
        self.world.bob.says(200)
        self.world.settle()
        self.assertIn(b"SIP/2.0 200 ", other.bytes_in[-1])
        talk.bye()
        self.world.settle()
        self.assertIn(b"BYE ", phone.bytes_in[-1])
        phone.says(200)
        self.forget()


class TestPath(Phones):
    """A proxy between the phone and us (RFC 3327)."""

    def test_route(self) -> None:
        """The request goes the REGISTER's way, with the Path as Route and the Contact as Request-URI."""
        uri = "sip:phone@1.2.3.4:5999"
        headers = {"Supported": ["path"], "Path": ["<sip:192.0.2.31;lr>"]}
        proxy = self.registered("192.0.2.31", uri=uri, headers=headers)
        talk = self.call()
        asked = self.asked(proxy)
        self.assertEqual((asked.uri_text, asked.headers["Route"]), (uri, ["<sip:192.0.2.31;lr>"]))
        talk.cancel()
        self.world.settle()
        self.forget()


    def behind(self, path: str, instance: str = "") -> Party:
        """A phone behind a proxy that speaks TCP."""
        headers = {"Supported": ["path, outbound"], "Path": [path]}
        return self.registered("192.0.2.31", "tcp", instance, "sip:phone@1.2.3.4:5999", headers)

    def test_by_its_connection(self) -> None:
        """As long as that lives."""
        proxy = self.behind("<sip:192.0.2.31;transport=tcp;lr>")
        talk = self.call()
        self.assertEqual(self.asked(proxy).headers["Route"], ["<sip:192.0.2.31;transport=tcp;lr>"])
        proxy.says(200)
        self.world.settle()
        self.end(talk, proxy)
        self.assertEqual(self.world.connecting, [])

    def test_it_breaks(self) -> None:
        """Under a call that waits: it goes on by the Path."""
        proxy = self.behind("<sip:192.0.2.31;transport=tcp;lr>")
        talk = self.call()
        proxy.open.clear()
        proxy.drop()
        self.world.settle()
        self.assertEqual(self.world.connecting, ["tcp 192.0.2.31:5060"])
        proxy.says(200)
        self.world.settle()
        self.end(talk, proxy)

    def test_connects_again(self) -> None:
        """RFC 3327 5.3: the connection was the proxy's, not the phone's way; its next one leads to the Path."""
        proxy = self.behind("<sip:192.0.2.31;transport=tcp;lr>")
        proxy.drop()
        self.world.settle()
        self.assertEqual(len(self.bound()), 1)
        talk = self.call()
        self.assertEqual(self.world.connecting, ["tcp 192.0.2.31:5060"])
        self.assertEqual(self.asked(proxy).headers["Route"], ["<sip:192.0.2.31;transport=tcp;lr>"])
        proxy.says(200)
        self.world.settle()
        self.end(talk, proxy)

    def test_promises_nothing(self) -> None:
        """RFC 5626 4.4.1: who keeps the phone's flow is the proxy; ours to it may be silent."""
        proxy = self.behind("<sip:192.0.2.31;transport=tcp;lr;ob>", ';+sip.instance="<urn:uuid:1>";reg-id=1')
        self.assertNotIn(b"Flow-Timer", proxy.bytes_in[-1])
        self.world.wait(200)
        self.assertEqual(len(proxy.pipes), 1)
        self.forget()

    def test_elsewhere(self) -> None:
        """A REGISTER does not choose whom we connect to: only the proxy that it came from."""
        self.world.phone("victim", "192.0.2.66", "tcp")
        for path in ("<sip:192.0.2.66;transport=tcp;lr>", "<sip:192.0.2.1;transport=tcp;lr>"):
            proxy = self.behind(path)
            proxy.drop()
            talk = self.call()
            self.assertEqual((self.world.connecting, talk.times("480 INVITE")), ([], 1))
            self.forget()


class TestGruu(Phones):
    """RFC 5627 6: a GRUU is one phone."""

    def test_one_phone(self) -> None:
        """The public one and the temporary one ring the same phone alone."""
        more = ';+sip.instance="<urn:uuid:1>"'
        one = self.registered("192.0.2.31", "udp", more, headers={"Supported": ["gruu"]})
        two = self.registered("192.0.2.32", "tls", ';+sip.instance="<urn:uuid:2>"', headers={"Supported": ["gruu"]})
        listed = next(value for value in one.bytes_in if b"temp-gruu" in value).decode()
        for uri in ("sip:alice@example.com;gr=urn:uuid:1", listed.partition('temp-gruu="')[2].partition('"')[0]):
            talk = self.call(uri)
            self.assertEqual((len(one.open), len(two.open)), (1, 0), uri)
            one.says(486)
            self.world.settle()
            self.assertEqual(talk.times("486 INVITE"), 1)
        self.forget()


class TestMeanwhile(Phones):
    """What becomes of registrations while a call looks for somebody."""

    configuration = home("serial")
    OUTBOUND: Headers = {"Supported": ["outbound"]}
    LINE = ';+sip.instance="<urn:uuid:1>";reg-id='

    def again(self, params: str, uri: str = "") -> Party:
        """The phone registers, by a connection that is new."""
        return self.registered(f"192.0.2.{40 + len(self.world.phones)}", "tcp", params, uri, self.OUTBOUND)

    def answers(self, talk: Dialog, phone: Party) -> None:
        """It rings, once, and is answered."""
        self.assertEqual([request.method for _, request in phone.open], ["INVITE"])
        phone.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        self.end(talk, phone)

    def moves(self, params: str, later: str, bound: int, uri: str = "") -> None:
        """The phone registers anew while it rings, as so many bindings; then the first connection fails."""
        old = self.again(params, uri)
        talk = self.call()
        self.asked(old)
        new = self.again(later, uri)
        self.assertEqual((len(self.bound()), new.open), (bound, []))
        old.drop()
        self.world.settle()
        self.answers(talk, new)

    def test_another_connection(self) -> None:
        """RFC 5626 5.3: the phone registered anew, then its old flow failed: the new one is tried."""
        for params, uri in ((self.LINE + "1", ""), ("", "sip:alice@10.1.1.1")):
            self.setUp()
            self.moves(params, params, 1, uri)

    def test_another_flow(self) -> None:
        """The same where it is another flow, of which nobody knew as the call began."""
        self.moves(self.LINE + "1", self.LINE + "2", 2)

    def test_each_flow_once(self) -> None:
        """What has failed is not tried again; then it is 480."""
        old = self.again(self.LINE + "1")
        talk = self.call()
        new = self.again(self.LINE + "2")
        old.says(430)
        new.says(430)
        self.world.settle()
        self.assertEqual((talk.times("480 INVITE"), old.open, new.open), (1, [], []))
        self.forget()

    def test_secure(self) -> None:
        """S14: a call to a sips URI is not sent by a flow that is not on TLS when the one that is has failed."""
        plain = self.again(self.LINE + "1")
        secure = self.registered("192.0.2.50", "tls", self.LINE + "2", headers=self.OUTBOUND)
        talk = self.world.phone("bob'", "10.0.0.21", "tls").invite("sips:alice@example.com")
        self.world.settle()
        self.asked(secure)
        secure.drop()
        self.world.settle()
        self.assertEqual((plain.open, talk.times("480 INVITE") + talk.times("430 INVITE")), ([], 1))
        self.forget()

    def two(self, params: str = "", uri: str = "") -> tuple[Dialog, Party, Party]:
        """A phone rings, and another waits for its turn."""
        first = self.registered("192.0.2.31")
        second = self.again(f"{params};q=0.5", uri)
        talk = self.call()
        self.assertEqual((len(first.open), second.open), (1, []))
        return talk, first, second

    def test_unregistered(self) -> None:
        """Whoever has unregistered while it waited does not ring."""
        talk, first, second = self.two()
        self.ask(f"{second.contact};expires=0", phone=second, call_id=second.user)
        first.says(408)
        self.world.settle()
        self.assertEqual((second.open, talk.times("480 INVITE")), ([], 1))
        self.forget()

    def test_expired(self) -> None:
        """Nor does one whose time is over."""
        talk, first, second = self.two()
        self.bound()[1].expires = self.world.clock.seconds()
        first.says(408)
        self.world.settle()
        self.assertEqual((second.open, talk.times("480 INVITE")), ([], 1))
        self.forget()

    def test_waited_elsewhere(self) -> None:
        """One that came back by another connection meanwhile rings there."""
        for params, uri in ((self.LINE + "1", ""), ("", "sip:alice@10.1.1.1")):
            self.setUp()
            talk, first, second = self.two(params, uri)
            second.drop()
            new = self.again(f"{params};q=0.5", uri)
            first.says(408)
            self.world.settle()
            self.assertEqual(second.open, [])
            self.answers(talk, new)


class TestMeanwhileParallel(TestMeanwhile):
    """The same where all ring at once; nobody waits."""

    configuration = home("parallel")

    def two(self, params: str = "", uri: str = "") -> tuple[Dialog, Party, Party]:
        """It waits because Max-Breadth lets one ring at a time (RFC 5393 5.3.3)."""
        first = self.registered("192.0.2.31")
        second = self.again(f"{params};q=0.5", uri)
        talk = self.call(headers={"Max-Breadth": ["1"]})
        self.assertEqual((len(first.open), second.open), (1, []))
        return talk, first, second


class TestForeign(Phones):
    """A Contact elsewhere that the operator allows is called there, by the listener of its REGISTER."""

    configuration = home("parallel", "foreign_contacts = true\n")

    def test_direct(self) -> None:
        """By RFC 3263, from the listener by which it was registered."""
        there = self.world.phone("there", "1.2.3.4")
        self.registered("192.0.2.31", uri="sip:phone@1.2.3.4")
        talk = self.call()
        self.assertEqual(self.asked(there).uri_text, "sip:phone@1.2.3.4")
        there.says(200)
        self.world.settle()
        self.end(talk, there)

    def test_connection(self) -> None:
        """The connection by which it was registered is not its way, and may end."""
        self.world.phone("there", "1.2.3.4")
        self.registered("192.0.2.31", "tcp", uri="sip:phone@1.2.3.4").drop()
        self.world.settle()
        self.assertEqual(len(self.bound()), 1)
        self.forget()


class TestTransfer(Phones):
    """A transfer that we carry out leads to registered phones as well."""

    configuration = home().replace('hunt = "parallel"', 'refer = "local"')

    def test_target(self) -> None:
        """Bob is told to call alice's other phone."""
        one = self.registered("192.0.2.31")
        self.ask(
            "<sip:carol@192.0.2.32;transport=udp>",
            user="carol",
            phone=(carol := self.world.phone("carol", "192.0.2.32")),
        )
        talk = self.call()
        one.says(200)
        self.world.settle()
        one.talk.ask("REFER", headers={"Refer-To": ["<sip:carol@example.com>"]})
        self.world.settle()
        self.assertEqual(carol.open[-1][1].uri_text, "sip:carol@192.0.2.32;transport=udp")
        carol.says(486)
        self.world.settle()
        one.open.clear()
        talk.bye()
        one.says(200)
        self.forget()


class TestWithoutRegistrar(Registered):
    """A script may say "lookup" where there is no registrar."""

    configuration = 'policy = "policy.py"\n' + TWO_SIDES

    def setUp(self) -> None:
        script = "from b2bua.policy.routing import Go\ndef route(request, listeners):\n    return Go('lookup')\n"
        self.world = World(self.configuration, {"policy.py": script})

    def test_not_found(self) -> None:
        """Nobody is there."""
        talk = self.world.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        self.assertEqual(talk.times("404 INVITE"), 1)
        self.world.quiet()


class TestPlain(Registered):
    """With rules and a registrar."""

    configuration = HOME

    def test_register_without_zone(self) -> None:
        """A call by a rule does not heed the registrar."""
        self.ask("<sip:alice@192.0.2.20;transport=udp>")
        near, _ = self.world.call()
        near.bye()
        self.world.bob.says(200)
        self.world.settle()
        self.forget()
