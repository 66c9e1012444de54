"""The registrar (RFC 3261 10.3, RFC 3327, RFC 5626, RFC 5627): what REGISTER does, and what it is refused for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.bindings import Binding
from b2bua.ops.phone import Sent
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Response
from b2bua.sip.uri import parse_uri
from b2bua.transaction.transaction import ServerTransaction
from tests.credentials import line
from tests.registering import Registration
from tests.test_bindings import Rows
from tests.world import TWO_SIDES, Party, World

REGISTRAR = """
[registrar]
domains = ["example.com", "sip.example.com"]
zones = ["public"]
store = "memory:"
"""
HOME = TWO_SIDES.replace('to = "sip:192.0.2.20;transport=udp"\nsend_from = "public"', 'to = "lookup"') + REGISTRAR


class Registered(SynchronousTestCase):
    """A world with a registrar on its public side."""

    configuration = HOME
    files: Mapping[str, str] = {}

    def setUp(self) -> None:
        self.world = World(self.configuration, self.files, begin=1000.0)
        self.alice = self.world.alice
        self.number = 0
        self.flows: dict[Party, Flow] = {}  # a phone's own connections

    def ask(
        self, *contacts: str, phone: Party | None = None, user: str = "alice", uri: str = "sip:example.com",
        headers: Headers | None = None, call_id: str = "phone@home", cseq: int = 0, domain: str = "example.com",
    ) -> Sent:  # fmt: skip
        """REGISTER, and what came back."""
        self.number = cseq or self.number + 1
        more: Headers = {
            "Contact": list(contacts),
            "To": [f"<sip:{user}@{domain}>"],
            "From": [f"<sip:{user}@{domain}>;tag={self.world.tokens.word()}"],
            "Call-ID": [call_id],
            "CSeq": [f"{self.number} REGISTER"],
            **(headers or {}),
        }
        party = phone or self.alice
        given = {name: each for name, each in more.items() if each}
        sent = party.ask("REGISTER", uri, self.flows.setdefault(party, party.by_proxy()), headers=given)
        self.world.settle()
        return sent

    def answer(self, sent: Sent) -> Response:
        """The final response."""
        return sent.responses[-1]

    def contacts(self, sent: Sent) -> list[str]:
        """What the 200 lists."""
        self.assertEqual(sent.status, 200)
        return self.answer(sent).headers.get("Contact", [])

    def bound(self, aor: str = "alice@example.com") -> list[Binding]:
        """Her bindings."""
        assert self.world.hall.registrar is not None
        return list(self.world.hall.registrar.bindings.of(aor))

    def forget(self) -> None:
        """Nobody is registered any more; nothing is left."""
        assert self.world.hall.registrar is not None
        bindings = self.world.hall.registrar.bindings
        for binding in list(bindings):
            bindings.remove(binding, "the end")
        self.world.quiet()


PHONE = "<sip:alice@192.0.2.20;transport=udp>"
OTHER = "<sip:alice@192.0.2.20:5070>"


class TestRules(Registered):
    """RFC 3261 10.3, step by step."""

    def test_register_fetch_and_take_away(self) -> None:
        """A binding is made, told of, refreshed and taken away; the 200 lists what there is."""
        self.assertEqual(self.contacts(self.ask(PHONE)), [f"{PHONE};expires=3600"])
        self.world.wait(100)
        fetched = self.ask()
        self.assertEqual(self.contacts(fetched), [f"{PHONE};expires=3500"])
        self.assertEqual(self.answer(fetched).first("Date"), "Thu, 01 Jan 1970 00:18:20 GMT")
        self.assertEqual(self.contacts(self.ask(f"{PHONE};expires=90;q=0.5")), [f"{PHONE};expires=90;q=0.5"])
        self.assertEqual(self.contacts(self.ask(f"{PHONE};expires=0")), [])
        self.assertEqual(self.contacts(self.ask(f"{PHONE};expires=0")), [])
        line = "alice@example.com at sip:alice@192.0.2.20;transport=udp"
        self.assertEqual(self.world.journal.lines, [f"{line}: registered", f"{line}: unregistered"])
        self.world.quiet()

    def test_several(self) -> None:
        """Contacts in one header or two; each is found by RFC 3261 19.1.4, however it is spelled."""
        self.ask(f"{PHONE}, {OTHER};q=0.3")
        self.assertEqual(len(self.bound()), 2)
        self.ask("<sip:%61lice@192.0.2.20;Transport=UDP>")
        self.assertEqual([each.contact for each in self.bound()][0], "sip:%61lice@192.0.2.20;transport=UDP")
        self.assertEqual(len(self.bound()), 2)
        self.assertEqual(len(self.contacts(self.ask("*", headers={"Expires": ["0"]}))), 0)
        self.world.quiet()

    def test_star(self) -> None:
        """`*` stands alone, with Expires: 0; else nothing changes."""
        self.ask(PHONE)
        for contacts, headers in ((["*"], {}), (["*"], {"Expires": ["5"]}), (["*", PHONE], {"Expires": ["0"]})):
            self.assertEqual(self.ask(*contacts, headers=headers).status, 400)
        self.assertEqual(len(self.bound()), 1)
        self.assertEqual(self.ask("*", headers={"Expires": ["0"]}, cseq=1).status, 500)
        self.assertEqual(len(self.bound()), 1)
        self.forget()

    def test_expiry(self) -> None:
        """The Contact's, else the header's, else ours; too short is 423, too long is shortened."""
        self.assertIn("expires=120", self.contacts(self.ask(PHONE, headers={"Expires": ["120"]}))[0])
        self.assertIn("expires=200", self.contacts(self.ask(f"{PHONE};expires=200", headers={"Expires": ["120"]}))[0])
        self.assertIn("expires=7200", self.contacts(self.ask(f"{PHONE};expires=999999"))[0])
        brief = self.ask(f"{PHONE};expires=59")
        self.assertEqual((brief.status, self.answer(brief).first("Min-Expires")), (423, "60"))
        self.assertIn("expires=7200", self.contacts(self.ask())[0])
        self.ask(f"{PHONE};expires=60")
        self.world.wait(62)
        self.assertEqual(self.bound(), [])
        self.assertIn("alice@example.com at sip:alice@192.0.2.20;transport=udp: expired", self.world.journal.lines)
        self.world.quiet()

    def test_order(self) -> None:
        """A REGISTER that was overtaken fails whole; another Call-ID is a phone that was started anew."""
        self.ask(PHONE, cseq=5)
        self.assertEqual(self.ask(f"{PHONE};expires=0", cseq=5).status, 500)
        self.assertEqual(self.ask(f"{OTHER}, {PHONE}", cseq=4).status, 500)
        self.assertEqual(len(self.bound()), 1)
        self.assertEqual(self.ask(PHONE, cseq=1, call_id="new@home").status, 200)
        self.assertEqual((self.bound()[0].call_id, self.bound()[0].cseq), ("new@home", 1))
        self.forget()

    def test_all_or_nothing(self) -> None:
        """One Contact that cannot be, and none of the others is."""
        for wrong in (f"{OTHER};expires=5", "<tel:+1>", f"{OTHER};q=7", "<sip:alice@1.2.3.4>", "<sips:a@192.0.2.20>",
                      PHONE, "<sip:ALICE@"):  # fmt: skip
            self.assertIn(self.ask(PHONE, wrong).status, (400, 403, 423), wrong)
        self.assertEqual(self.ask(f"{PHONE};expires=0, {OTHER}, {OTHER}").status, 400)
        self.ask(PHONE)
        self.assertEqual(self.ask(PHONE, PHONE).status, 400)
        self.assertEqual(len(self.bound()), 1)
        self.forget()

    def test_whose(self) -> None:
        """The domain must be ours, the user somebody, the zone one of ours; proved users register themselves."""
        self.assertEqual(self.ask(PHONE, uri="sip:elsewhere.example").status, 404)
        self.assertEqual(self.ask(PHONE, domain="elsewhere.example").status, 404)
        for user in ("a%0Ab", "a" * 600):
            self.assertEqual(self.ask(PHONE, user=user).status, 404)
        self.assertEqual(self.ask(PHONE, call_id="x" * 600).status, 400)
        self.assertEqual(self.ask(PHONE, headers={"To": ["<sip:example.com>"]}).status, 404)
        self.assertEqual(self.ask(PHONE, uri="sip:192.0.2.1", domain="192.0.2.1").status, 200)
        self.assertEqual(self.ask(PHONE, uri="sip:SIP.example.com", domain="192.0.2.1").status, 200)
        self.assertEqual(len(self.bound()), 1)
        self.assertEqual(self.ask("<sip:bob@10.0.0.20>", phone=self.world.bob, user="bob").status, 403)
        self.forget()

    def test_required(self) -> None:
        """An extension that we do not know is 420 (RFC 3261 10.3, 2)."""
        sent = self.ask(PHONE, headers={"Require": ["path, x-foo"]})
        self.assertEqual((sent.status, self.answer(sent).first("Unsupported")), (420, "x-foo"))
        self.assertEqual(self.ask(PHONE, headers={"Require": ["a b"]}).status, 400)
        self.assertEqual(self.bound(), [])
        self.world.quiet()

    def test_user_agent_and_features(self) -> None:
        """What a phone says of itself is kept, and listed again."""
        listed = self.contacts(self.ask(f'{PHONE};audio;methods="INVITE, BYE"'))
        self.assertEqual(listed, [f'{PHONE};expires=3600;audio;methods="INVITE, BYE"'])
        self.assertEqual(self.bound()[0].user_agent, "alice's phone")
        self.forget()

    def test_octets_that_are_no_text(self) -> None:
        """Latin-1 in a User-Agent harms nobody; in what tells a phone from others it is 400, all or nothing."""
        rows = self.rows()
        self.assertEqual(self.ask(PHONE, headers={"User-Agent": ["Telefon f\udcfcr alle"]}).status, 200)
        self.assertEqual(self.bound()[0].user_agent, "Telefon f\ufffdr alle")
        self.assertEqual(list(rows), [("binding", f"alice@example.com {PHONE[1:-1]}")])
        outbound: Headers = {"Supported": ["outbound, path"]}
        for contact, headers in (
            (f'{OTHER};+sip.instance="<urn:x:\udcfc>"', {}),
            (f'{OTHER};+sip.instance="<urn:x:\udcfc>";reg-id=1', outbound),
            ("<sip:\udcfc@192.0.2.20:5070>", {}),
            ("<sip:alice@192.0.2.20:5070;x=\udcfc>", {}),
            (OTHER, {**outbound, "Path": ["<sip:192.0.2.31;lr;x=\udcfc>"]}),
        ):
            self.assertEqual(self.ask(PHONE, contact, headers=headers).status, 400, contact)
            self.assertEqual((len(self.bound()), len(rows)), (1, 1), contact)
        self.forget()

    def rows(self) -> dict[tuple[str, str], bytes]:
        """What is saved from now on."""
        assert self.world.hall.registrar is not None
        store = self.world.hall.registrar.bindings.store = Rows()
        return store.rows

    def test_draining(self) -> None:
        """Phones stay registered while no new calls are taken."""
        self.world.hall.draining = True
        self.assertEqual(self.ask(PHONE).status, 200)
        self.forget()

    def test_a_dialog(self) -> None:
        """REGISTER within what is no dialog is none of ours."""
        self.assertEqual(self.ask(PHONE, headers={"To": ["<sip:alice@example.com>;tag=x"]}).status, 481)
        self.world.quiet()


class TestTooLate(Registered):
    """A REGISTER that waited for the users' source, whose connection closed meanwhile."""

    def late(self, *contacts: str, headers: Headers | None = None) -> None:
        """It is judged when its connection is gone."""
        registrar = self.world.hall.registrar
        assert registrar is not None
        held: list[ServerTransaction] = []
        judged = registrar.request
        self.patch(registrar, "request", held.append)
        phone = self.world.phone("late", "192.0.2.31", "tcp")
        self.ask(*contacts, phone=phone, headers=headers)
        phone.drop()
        self.world.settle()
        judged(held[0])

    def test_nobody(self) -> None:
        """Nobody is reached by it: there is no binding, and nothing of the connection is kept."""
        self.late("<sip:late@192.0.2.31;transport=tcp>")
        self.assertEqual(self.bound(), [])
        assert self.world.hall.registrar is not None
        self.assertEqual(self.world.hall.registrar.bindings._by_connection, {})
        self.assertIn("its connection is gone", self.world.journal.lines[-1])
        self.forget()

    def test_by_a_path(self) -> None:
        """Its proxy can be connected to again."""
        self.late("<sip:late@1.2.3.4>", headers={"Supported": ["path"], "Path": ["<sip:192.0.2.31;transport=tcp;lr>"]})
        self.assertEqual([each.flow.connection for each in self.bound()], [None])
        self.forget()


class TestLimits(Registered):
    """Nobody fills the memory."""

    configuration = HOME + "max_bindings = 3\nmax_users = 2\n"

    def test_of_one_user(self) -> None:
        """The fourth Contact is 403; but one may come for one that goes."""
        for number in range(3):
            self.assertEqual(self.ask(f"<sip:alice@192.0.2.20:{6000 + number}>").status, 200)
        full = self.ask("<sip:alice@192.0.2.20:6003>")
        self.assertEqual((full.status, self.answer(full).reason), (403, "Too many Contacts: 3 may be registered"))
        self.assertEqual(self.ask(", ".join([f"<sip:a@192.0.2.20:{port}>" for port in range(6000, 6500)])).status, 403)
        changed = self.ask("<sip:alice@192.0.2.20:6000>;expires=0", "<sip:alice@192.0.2.20:6003>")
        self.assertEqual(len(self.contacts(changed)), 3)
        self.forget()

    def test_of_all(self) -> None:
        """The third user is 503 with Retry-After; those who are there may refresh."""
        for user in ("alice", "bob"):
            self.assertEqual(self.ask(PHONE, user=user, call_id=user).status, 200)
        full = self.ask(PHONE, user="carol", call_id="carol")
        self.assertEqual(full.status, 503)
        self.assertTrue(0 < int(self.answer(full).first("Retry-After")) <= 60)
        self.assertEqual(self.ask(PHONE, user="bob", call_id="bob").status, 200)
        self.assertEqual(self.ask(f"{PHONE};expires=0", user="carol", call_id="carol").status, 200)
        self.forget()

    def test_a_flood(self) -> None:
        """Ten thousand Contacts for one user: clear answers, nothing kept, and the next one is served."""
        self.ask(PHONE)
        statuses = {self.ask(f"<sip:alice@192.0.2.20:{1024 + number}>", user="alice").status for number in range(200)}
        self.assertEqual(statuses, {200, 403})
        self.assertEqual(len(self.bound()), 3)
        self.assertEqual(self.ask(PHONE).status, 200)
        self.forget()


    def test_nobody_proved(self) -> None:
        """Where no password is asked for there is no user to count by."""
        self.configuration = HOME + "max_per_user = 1\n"
        self.setUp()
        statuses = [self.ask(PHONE, user=user, call_id=user).status for user in ("alice", "bob", "carol")]
        self.assertEqual(statuses, [200] * 3)
        self.forget()


class TestOneUser(Registered):
    """Nobody fills the memory with one password, whatever addresses of record it is good for."""

    configuration = (
        HOME.replace('name = "public"\n', 'name = "public"\nauthenticate = ["REGISTER"]\n', 1)
        + 'max_per_user = 3\n[authentication]\nrealm = "example.com"\nusers = "users"\nalgorithms = ["MD5"]\n'
        + 'identities = "any"\n'
    )
    files = {"users": line("alice", "secret", "example.com", "MD5") + line("carol", "secret", "example.com", "MD5")}

    def setUp(self) -> None:
        super().setUp()
        carol = self.world.phone("carol", "192.0.2.20", port=5070)
        self.mine, self.hers = (Registration(each, each.by_proxy(), password="secret") for each in (self.alice, carol))

    def register(self, user: str, seconds: int = 3600, line: Registration | None = None, contact: str = PHONE) -> int:
        """Register somebody's address of record with alice's password, or another's; what it comes to."""
        line = line or self.mine
        for _ in range(2):
            sent = line.register(seconds, contact, {"To": [f"<sip:{user}@example.com>"]})
            self.world.settle()
            if not line.challenged(sent):
                break
        self.last = sent
        return sent.status

    def test_many_addresses(self) -> None:
        """The fourth binding is 403; those that are there are refreshed; whoever else has a password has room."""
        self.assertEqual([self.register(f"pbx{number}") for number in range(4)], [200, 200, 200, 403])
        reason = "Too many Contacts with one password: 3 may be registered (max_per_user)"
        self.assertEqual(self.answer(self.last).reason, reason)
        self.assertEqual([each for each in self.world.journal.lines if reason in each], [
            f"refused REGISTER with 403: {reason}"
        ])  # fmt: skip
        self.assertEqual(self.register("pbx0"), 200)
        self.assertEqual(self.register("pbx3", line=self.hers), 200)
        self.assertEqual(self.register("pbx0", contact=OTHER), 403)
        self.forget()

    def test_room_again(self) -> None:
        """One may come for one that goes, in the same REGISTER too, or once its time is over."""
        for user in ("pbx0", "pbx1", "pbx2"):
            self.assertEqual(self.register(user, 600), 200)
        self.assertEqual(self.register("pbx0", contact=f"{PHONE};expires=0, {OTHER}"), 200)
        self.assertEqual(self.register("pbx3"), 403)
        self.assertEqual(self.register("pbx1", 0), 200)
        self.assertEqual((self.register("pbx3"), self.register("pbx4")), (200, 403))
        self.world.wait(602)
        self.assertEqual((self.register("pbx4"), self.register("pbx5")), (200, 403))
        self.forget()

    def test_taken_over(self) -> None:
        """A binding is whose password it was registered with last; that one needs room for it too."""
        for user in ("pbx0", "pbx1", "pbx2"):
            self.assertEqual(self.register(user), 200)
        self.assertEqual(self.register("pbx0", line=self.hers), 200)
        self.assertEqual([each.user for each in self.bound("pbx0@example.com")], ["carol"])
        self.assertEqual((self.register("pbx3"), self.register("pbx0")), (200, 403))
        self.assertEqual(self.register("pbx0", 0), 200)
        self.forget()


class TestForeign(Registered):
    """A Contact at another public address."""

    def test_refused(self) -> None:
        """Else a REGISTER would have us call whomever it likes."""
        for contact in ("<sip:alice@1.2.3.4>", "<sip:alice@10.0.0.9;maddr=1.2.3.4>", "<sip:alice@[2620:fe::fe]>"):
            self.assertEqual(self.ask(contact).status, 403)
        self.assertEqual(self.ask("<sip:alice@1.2.3.4>;expires=0").status, 200)
        for contact in ("<sip:alice@10.9.8.7:1234>", "<sip:alice@phone.invalid>"):
            self.assertEqual(self.ask(contact).status, 200)
        self.assertEqual({each.direct for each in self.bound()}, {False})
        self.forget()


class TestForeignAllowed(Registered):
    """The same where the operator says so."""

    configuration = HOME + "foreign_contacts = true\n"

    def test_taken(self) -> None:
        """It is called at its Contact; never at ourselves."""
        self.assertEqual(self.ask("<sip:alice@1.2.3.4>").status, 200)
        self.assertTrue(self.bound()[0].direct)
        self.forget()


class TestExtensions(Registered):
    """Path, outbound, GRUU."""

    INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'

    def test_path(self) -> None:
        """RFC 3327: kept and shown again; refused where the phone does not know of it, or it is none."""
        path = ["<sip:p1.example;lr>, <sip:p2.example;lr;ob>"]
        sent = self.ask(PHONE, headers={"Path": path, "Supported": ["path"]})
        self.assertEqual(self.answer(sent).headers["Path"], ["<sip:p1.example;lr>", "<sip:p2.example;lr;ob>"])
        self.assertEqual(self.bound()[0].path, ("<sip:p1.example;lr>", "<sip:p2.example;lr;ob>"))
        sent = self.ask(PHONE, headers={"Path": path, "Supported": ["timer"]})
        self.assertEqual((sent.status, self.answer(sent).first("Unsupported")), (420, "path"))
        for wrong in (
            "<sip:p1.example>",
            "<tel:+1;lr>",
            f"<sip:{'p' * 600}.example;lr>",
            ", ".join(["<sip:p1.example;lr>"] * 9),
        ):
            self.assertEqual(self.ask(PHONE, headers={"Path": [wrong], "Supported": ["path"]}).status, 400)
        self.assertNotIn("Path", self.answer(self.ask(headers={"Path": path, "Supported": ["path"]})).headers)
        self.forget()

    def test_outbound(self) -> None:
        """RFC 5626 6: instance and reg-id are the binding; whoever comes with the same takes its place."""
        supported = {"Supported": ["path, outbound"]}
        first = f"{PHONE};{self.INSTANCE};reg-id=1"
        sent = self.ask(first, headers=supported)
        self.assertEqual(self.answer(sent).first("Require"), "outbound")
        self.assertNotIn("Flow-Timer", self.answer(sent).headers)
        self.assertEqual(self.contacts(sent), [f"{PHONE};expires=3600;{self.INSTANCE};reg-id=1"])
        self.ask(f"{OTHER};{self.INSTANCE};reg-id=1", headers=supported, call_id="restarted")
        self.assertEqual([each.contact for each in self.bound()], ["sip:alice@192.0.2.20:5070"])
        self.ask(f"{OTHER};{self.INSTANCE};reg-id=2", headers=supported, call_id="second")
        self.assertEqual([each.reg_id for each in self.bound()], [1, 2])
        self.assertEqual(self.ask(f"{OTHER};{self.INSTANCE};reg-id=3", PHONE, headers=supported).status, 400)
        self.forget()

    def test_without_outbound(self) -> None:
        """A reg-id of a phone that does not say that it supports them is nothing."""
        sent = self.ask(f"{PHONE};{self.INSTANCE};reg-id=1")
        self.assertNotIn("Require", self.answer(sent).headers)
        self.assertEqual([(each.reg_id, bool(each.instance)) for each in self.bound()], [(0, True)])
        self.ask(f'{PHONE};+sip.instance="<urn:uuid:other>"')
        self.assertEqual([each.instance for each in self.bound()], ['"<urn:uuid:other>"'])
        self.forget()

    def test_first_hop(self) -> None:
        """RFC 5626 6: a proxy in between that keeps no flow is 439."""
        phone, headers = self.alice, {"Supported": ["path, outbound"]}
        via = "SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx"
        for path, status in (([], 439), (["<sip:p.example;lr>"], 439), (["<sip:p.example;lr;ob>"], 200)):
            contact = f"{PHONE};{self.INSTANCE};reg-id=1"
            request = phone._dialog("sip:example.com", phone.by_proxy()).request(
                "REGISTER", 1 + len(phone.bytes_out),
                headers={"Contact": [contact], "To": ["<sip:alice@example.com>"], **headers, "Path": path},
            )  # fmt: skip
            request.headers["Via"].append(via)
            if not path:
                del request.headers["Path"]
            phone.say(bytes(request))
            self.world.settle()
            self.assertIn(f"SIP/2.0 {status} ".encode(), phone.bytes_in[-1])
        self.forget()

    def test_gruu(self) -> None:
        """RFC 5627: one public GRUU for good, temporary ones new each time, which end with the Call-ID."""
        headers = {"Supported": ["gruu"]}
        contact = f"{PHONE};{self.INSTANCE}"
        registrar = self.world.hall.registrar
        assert registrar is not None

        def temporary(sent: Sent) -> str:
            (listed,) = self.contacts(sent)
            self.assertIn(';pub-gruu="sip:alice@example.com;gr=urn:uuid:00000000-', listed)
            return str(re.findall(';temp-gruu="([^"]+)"', listed)[0])

        def means(text: str) -> int:
            uri = parse_uri(text)
            return len(registrar.gruus.named(uri, registrar.aor(uri)) or ())

        first, second = temporary(self.ask(contact, headers=headers)), temporary(self.ask(contact, headers=headers))
        self.assertNotEqual(first, second)
        self.assertEqual((means(first), means(second)), (1, 1))
        third = temporary(self.ask(contact, headers=headers, call_id="restarted"))
        self.assertEqual((means(first), means(third)), (0, 1))
        self.assertNotIn("gruu", self.contacts(self.ask(contact, headers={"Supported": ["path"]}))[0])
        self.assertEqual(means(third), 0)
        fourth = temporary(self.ask(contact, headers=headers, call_id="fourth"))
        self.ask(f"{OTHER};{self.INSTANCE}", headers=headers, call_id="fourth")
        self.assertEqual((means(third), means(fourth)), (0, 2))
        self.forget()


class TestStore(SynchronousTestCase):
    """A restart."""

    def test_restart(self) -> None:
        """Whoever was registered still is, and is told so; who has expired meanwhile is not."""
        rows, world = Rows(), None
        for begin, listed in ((1000.0, 0), (2000.0, 2), (4601.0, 1)):
            world = World(HOME, store=rows, begin=begin)
            found = world.alice.ask("REGISTER", "sip:example.com", headers={"To": ["<sip:alice@example.com>"]})
            world.settle()
            self.assertEqual(len(found.responses[-1].headers.get("Contact", [])), listed)
            if not listed:
                for contact in (PHONE, f"{OTHER};expires=7200"):
                    headers = {"To": ["<sip:alice@example.com>"], "Contact": [contact]}
                    world.alice.ask("REGISTER", "sip:example.com", headers=headers)
                    world.settle()


class TestGruuLasts(SynchronousTestCase):
    """RFC 5627 3.2: a temporary GRUU means its phone for as long as that is registered."""

    def test_restart(self) -> None:
        """Over a restart too: the key is in the store."""
        rows = Rows()
        world = World(HOME, store=rows, begin=1000.0)
        headers = {
            "To": ["<sip:alice@example.com>"],
            "Contact": [f'{PHONE};+sip.instance="<urn:uuid:1>"'],
            "Supported": ["gruu"],
        }
        sent = world.alice.ask("REGISTER", "sip:example.com", headers=headers)
        world.settle()
        gruu = re.findall(';temp-gruu="([^"]+)"', sent.responses[-1].first("Contact"))[0]
        again = World(HOME, store=rows, begin=2000.0, seed=7)
        talk = again.bob.invite(gruu)
        again.settle()
        self.assertEqual(again.alice.open[-1][1].uri_text, PHONE[1:-1])
        talk.cancel()
        again.settle()


class TestModel(SynchronousTestCase):
    """Whatever is asked in whatever order, what is bound is what a table of a few lines says."""

    CONTACTS = (
        "<sip:a@192.0.2.20>",
        "<sip:b@192.0.2.20>",
        "<sip:b@10.1.1.1;x=y>",
        "<sip:c@8.8.8.8>",
        "<sips:d@192.0.2.20>",
    )

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 30, 60, 9000])), min_size=1, max_size=4),
                st.sampled_from(["one", "two"]),
                st.integers(1, 9),
                st.integers(0, 70),
            ),
            max_size=12,
        )
    )
    def test_all_or_nothing(self, steps: list[tuple[list[tuple[int, int]], str, int, int]]) -> None:
        """RFC 3261 10.3: order by Call-ID and CSeq, lifetimes, limits, and no half of a request."""
        world = World(HOME + "max_bindings = 2\n", begin=1000.0)
        assert world.hall.registrar is not None
        model: dict[int, tuple[float, str, int]] = {}
        for asked, call_id, cseq, wait in steps:
            headers: Headers = {
                "To": ["<sip:alice@example.com>"], "Call-ID": [call_id], "CSeq": [f"{cseq} REGISTER"],
                "Contact": [f"{self.CONTACTS[number]};expires={seconds}" for number, seconds in asked],
            }  # fmt: skip
            sent = world.alice.ask("REGISTER", "sip:example.com", headers=headers)
            world.settle()
            now = world.clock.seconds()
            model = {number: bound for number, bound in model.items() if bound[0] > now}
            after = {number: (now + min(seconds, 7200), call_id, cseq) for number, seconds in asked if seconds}
            gone = {number for number, seconds in asked if not seconds}
            wanted = {number: bound for number, bound in {**model, **after}.items() if number not in gone}
            fine = (
                len(asked) <= 2
                and len({number for number, _ in asked}) == len(asked)
                and all(seconds != 30 and (number < 3 or not seconds) for number, seconds in asked)
                and not any(
                    model.get(number, (0, "", 0))[1] == call_id and model[number][2] >= cseq for number, _ in asked
                )
                and (len(wanted) <= 2 or not after.keys() - model.keys())
            )
            self.assertEqual(sent.status == 200, fine, (steps, sent.responses[-1].reason))
            model = wanted if fine else model
            bound = sorted(
                each.contact for each in world.hall.registrar.bindings.of("alice@example.com") if each.expires > now
            )
            self.assertEqual(bound, sorted(self.CONTACTS[number][1:-1] for number in model))
            world.wait(wait)
