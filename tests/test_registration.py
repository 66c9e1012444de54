"""What a REGISTER says (RFC 3261 10.2), and GRUUs as they stand on the wire (RFC 5627)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request
from b2bua.sip.registration import (
    LONGEST,
    TemporaryGruus,
    aor_of,
    behind_nat,
    contacts,
    gruu_instance,
    instance_name,
    public_gruu,
)
from b2bua.sip.uri import parse_uri


def asked(*values: str, expires: str = "") -> Request:
    """A REGISTER with these Contacts."""
    headers = {"Contact": list(values)} if values else {}
    if expires:
        headers["Expires"] = [expires]
    return Request("REGISTER", "sip:example.com", headers)


class TestContacts(SynchronousTestCase):
    """RFC 3261 10.2.1, 10.3."""

    def fault(self, *values: str, expires: str = "") -> Malformed:
        """What is wrong with them."""
        fault = self.assertRaises(Malformed, contacts, asked(*values, expires=expires), 4)
        assert isinstance(fault, Malformed)
        return fault

    def test_none_and_all(self) -> None:
        """Without a Contact it only asks; with * it takes all away, alone and with Expires: 0 (RFC 3261 10.2.2)."""
        self.assertEqual(contacts(asked(), 4), [])
        self.assertIsNone(contacts(asked("*", expires="0"), 4))
        for values, expires in ((["*"], ""), (["*"], "60"), (["*", "<sip:a@h>"], "0"), (["*, <sip:a@h>"], "0")):
            self.assertEqual(self.fault(*values, expires=expires).status, 400)

    def test_parameters(self) -> None:
        """expires, q, instance and reg-id are read; the others are kept as they came."""
        value = '<sip:a@h;x=y>;expires=60;q=0.35;+sip.instance="<urn:uuid:1>";reg-id=2;audio;methods="INVITE,BYE"'
        (found,) = contacts(asked(value), 4) or []
        self.assertEqual((found.expires, found.q, found.reg_id), (60, 350, 2))
        self.assertEqual((found.contact, found.instance), ("sip:a@h;x=y", '"<urn:uuid:1>"'))
        self.assertEqual(found.features, ';audio;methods="INVITE,BYE"')
        self.assertEqual(instance_name(found.instance), "urn:uuid:1")

    def test_what_is_left_out(self) -> None:
        """RFC 3261 10.2.1.1: an expires that cannot be read is as if it were not there; headers in the URI go."""
        for value, expires in (("x", None), ("-1", None), ("99999999999", LONGEST), ("1" * 21, None), ("٣", None)):
            (found,) = contacts(asked(f"<sip:a@h;method=INVITE?Route=x>;expires={value};q=1;tag=t"), 4) or []
            self.assertEqual((found.expires, found.q, found.contact, found.features), (expires, 1000, "sip:a@h", ""))
        (found,) = contacts(asked(f"<sip:a@h>;reg-id=7;x={'y' * 2000}"), 4) or []
        self.assertEqual((found.reg_id, found.features), (0, ""))

    def test_what_is_refused(self) -> None:
        """A Contact that nothing can be sent to, numbers that are none, too many of them."""
        for value in ("<tel:+1>", "<sip:a@h;maddr=?>", "<sip:a@h;maddr=-x->", "<sip:a@h>;q=2", "<sip:a@h>;q=.5",
                      '<sip:a@h>;+sip.instance="<x>";reg-id=0', "<sip:a@", "<sip:a@h>;q", f"<sip:{'a' * 1000}@h>",
                      f'<sip:a@h>;+sip.instance="{"x" * 1000}"'):  # fmt: skip
            self.assertEqual(self.fault(value).status, 400, value)
        self.assertEqual(self.fault(*[f"<sip:a{number}@h>" for number in range(5)]).status, 403)
        self.assertEqual(len(contacts(asked("<sip:a@h>, <sip:b@h>", "<sip:c@h;maddr=192.0.2.1>"), 4) or []), 3)

    def test_several_and_a_reg_id(self) -> None:
        """RFC 5626 6: one flow, one Contact; but others may be taken away with it."""
        flow = '<sip:a@h>;+sip.instance="<x>";reg-id=1'
        self.assertEqual(self.fault(flow, "<sip:b@h>").status, 400)
        self.assertEqual(len(contacts(asked(f"{flow};expires=0", "<sip:b@h>;expires=0"), 4) or []), 2)

    @given(st.lists(st.text(max_size=60), max_size=3), st.sampled_from(["", "0", "60"]))
    def test_anything(self, values: list[str], expires: str) -> None:
        """Any text is Contacts, or Malformed."""
        try:
            contacts(asked(*values, expires=expires), 4)
        except Malformed:
            pass


class TestAddresses(SynchronousTestCase):
    """Addresses of record, and where a Contact is."""

    def test_aor(self) -> None:
        """RFC 3261 10.3, 5: escapes are undone, parameters and port do not count."""
        self.assertEqual(aor_of(parse_uri("sips:%61lice@Example.com:5061;x=y"), "example.com"), "alice@example.com")
        self.assertEqual(aor_of(parse_uri("sip:alice@192.0.2.1"), ""), "alice")

    def test_nat(self) -> None:
        """Private addresses and names stand for the source; a public address that is not the source is elsewhere."""
        for host in ("10.0.0.5", "192.168.1.2", "fd00::1", "a1b2.invalid", "8.8.8.8"):
            self.assertTrue(behind_nat(host, "8.8.8.8"), host)
        for host in ("8.8.4.4", "2620:fe::fe"):
            self.assertFalse(behind_nat(host, "8.8.8.8"), host)


class TestGruus(SynchronousTestCase):
    """RFC 5627."""

    def test_public(self) -> None:
        """3.1: the address of record with the instance; what comes back names the same."""
        gruu = public_gruu("alice", "example.com", '"<urn:uuid:f81d é>"')
        self.assertEqual(gruu, "sip:alice@example.com;gr=urn:uuid:f81d%20%C3%A9")
        self.assertEqual(gruu_instance(parse_uri("sip:alice@example.com;gr=urn:uuid:f81d%2D1")), "urn:uuid:f81d-1")
        for text in ("sip:alice@example.com", "sip:alice@example.com;gr"):
            self.assertIsNone(gruu_instance(parse_uri(text)))

    @given(st.integers(1, 2**64 - 1), st.binary(min_size=8, max_size=8), st.binary(min_size=32, max_size=32))
    def test_temporary(self, number: int, salt: bytes, key: bytes) -> None:
        """3.2: only who has the key reads it, and it cannot be changed."""
        gruus = TemporaryGruus(key)
        uri = parse_uri(gruus.make(number, salt, "example.com"))
        self.assertEqual(gruus.number(uri.user), number)
        self.assertEqual(TemporaryGruus(bytes(32) if any(key) else b"x" * 32).number(uri.user), 0)
        other = uri.user[:-2] + ("aa" if uri.user[-2:] != "aa" else "bb")
        for wrong in (other, uri.user[:-1], uri.user[:-1] + "1", "alice"):
            self.assertEqual(gruus.number(wrong), 0)
