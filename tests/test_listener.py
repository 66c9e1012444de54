"""S9: one listener, and all that is written of it; S10: what is us."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.address import parse_address
from b2bua.sip.listener import Connection, Flow, Listener, Target
from b2bua.sip.uri import parse_uri
from b2bua.sip.via import parse_via

PLAIN = Listener("plain", "public", "udp", "192.0.2.1", 5060)
NAMED = Listener("named", "public", "tls", "10.0.0.1", 5061, "sbc.example.com", 5071, ("Example.com", "192.0.2.77"))
SIX = Listener("six", "private", "tcp", "2001:db8::1", 5080)


class TestIdentity(SynchronousTestCase):
    """S9: Via, Contact and SDP from the advertised address, host, port and transport always the real listener's."""

    def check(self, listener: Listener, family: int, sent_by: str, media: str) -> None:
        """What is derived."""
        self.assertEqual((listener.family, listener.sent_by, listener.media_address), (family, sent_by, media))
        self.assertEqual(listener.host, sent_by.rpartition(":")[0])
        self.assertEqual(listener.via, f"SIP/2.0/{listener.transport.upper()} {sent_by}")

    def test_derived(self) -> None:
        """The bound address unless another is advertised; IPv6 in brackets but in SDP (S12)."""
        self.check(PLAIN, 4, "192.0.2.1:5060", "192.0.2.1")
        self.check(NAMED, 4, "sbc.example.com:5071", "10.0.0.1")  # a name in SDP is nobody's friend
        self.check(SIX, 6, "[2001:db8::1]:5080", "2001:db8::1")
        self.check(Listener("a", "z", "udp", "10.0.0.1", 5060, "198.51.100.1"), 4, "198.51.100.1:5060", "198.51.100.1")
        self.check(Listener("a", "z", "udp", "10.0.0.1", 5060, "", 5070), 4, "10.0.0.1:5070", "10.0.0.1")
        self.check(Listener("a", "z", "udp", "10.0.0.1", 5060, "2001:db8::9"), 4, "[2001:db8::9]:5060", "2001:db8::9")

    def test_contact(self) -> None:
        """S13, S14: transport is always there, also tls; sips where the request that made the dialog was."""
        self.assertEqual(PLAIN.contact("u"), "<sip:u@192.0.2.1:5060;transport=udp>")
        self.assertEqual(NAMED.contact("u"), "<sip:u@sbc.example.com:5071;transport=tls>")
        self.assertEqual(NAMED.contact("u", secure=True), "<sips:u@sbc.example.com:5071>")
        self.assertEqual(SIX.contact("u"), "<sip:u@[2001:db8::1]:5080;transport=tcp>")

    def test_via(self) -> None:
        """S11: rport always; on a stream also the offer to keep it alive (RFC 6223)."""
        via = parse_via(SIX.via_with("z9hG4bKx"))
        self.assertEqual((via.host, via.port), ("2001:db8::1", 5080))
        self.assertEqual(via.params, {"branch": "z9hG4bKx", "rport": None, "keep": None})
        self.assertEqual(parse_via(PLAIN.via_with("z9hG4bKx")).params, {"branch": "z9hG4bKx", "rport": None})

    def test_contacts_lead_to_us(self) -> None:
        """Our own Contact is us, on the listener whose it is and on no other."""
        for listener in (PLAIN, NAMED, SIX):
            for secure in {False, listener.transport == "tls"}:
                uri = parse_address(listener.contact("u", secure)).uri
                self.assertEqual([each.name for each in (PLAIN, NAMED, SIX) if each.is_me(uri)], [listener.name])

    def test_frozen(self) -> None:
        """Nobody changes a listener."""
        value: Any = PLAIN
        with self.assertRaises(FrozenInstanceError):
            value.port = 5061


class TestIsMe(SynchronousTestCase):
    """S10: bound, advertised and alias names, per port and transport."""

    def check(self, listener: Listener, yes: str, no: str) -> None:
        """Which of these URIs, parted by blanks, are this listener, and which are not."""
        for text in yes.split():
            self.assertTrue(listener.is_me(parse_uri(text)), text)
        for text in no.split():
            self.assertFalse(listener.is_me(parse_uri(text)), text)

    def test_plain(self) -> None:
        """Default ports, transports in any case."""
        self.check(
            PLAIN,
            "sip:192.0.2.1 sip:u@192.0.2.1 sip:192.0.2.1:5060 sip:192.0.2.1;transport=UDP "
            "sip:192.0.2.1:5060;transport=udp;lr",
            "sip:192.0.2.2 sip:192.0.2.1:5061 sip:192.0.2.1;transport=tcp sips:192.0.2.1 sip:192.0.2.1;transport=tls",
        )

    def test_named(self) -> None:
        """Every name on every port; a TLS listener's default port is 5061."""
        self.check(
            NAMED,
            "sips:sbc.example.com sips:sbc.example.com:5071 sip:SBC.Example.COM:5071;transport=tls "
            "sips:example.com:5061 sip:10.0.0.1:5061 sip:10.0.0.1;transport=tls sip:EXAMPLE.com:5071 "
            "sips:192.0.2.77 sip:10.0.0.1",
            "sip:sbc.example.com:5060 sips:sbc.example.com:5060 sip:example.com;transport=tcp sip:other.example:5071",
        )

    def test_ipv6(self) -> None:
        """S12: addresses are compared parsed, not as text."""
        self.check(
            SIX,
            "sip:[2001:DB8:0::1]:5080 sip:[2001:db8::0:1]:5080;transport=tcp",
            "sip:[2001:db8::1] sip:[2001:db8::2]:5080",
        )

    def test_other_transports(self) -> None:
        """A transport that no listener has."""
        self.check(PLAIN, "", "sip:192.0.2.1;transport=ws sip:192.0.2.1;transport=sctp")


class TestWays(SynchronousTestCase):
    """The two ends of a message's way."""

    def test_flow(self) -> None:
        """What a log shows of it."""
        flow = Flow(SIX, "2001:db8::2", 40000, None, "a.example")
        self.assertEqual(repr(flow), "tcp [2001:db8::1]:5080 <-> [2001:db8::2]:40000")
        self.assertEqual((flow.listener, flow.connection, flow.tls_name), (SIX, None, "a.example"))

    def test_same(self) -> None:
        """The same way is the same connection; where there is none, the same two ends."""
        one, other = Connection(), Connection()
        plain, stream = Flow(PLAIN, "192.0.2.9", 5060), Flow(SIX, "2001:db8::2", 40000, one)
        for flow, ends, ways in (
            (Flow(PLAIN, "192.0.2.9", 5060), plain, plain),
            (Flow(SIX, "2001:db8::2", 40000, one), stream, stream),
            (Flow(SIX, "2001:db8::2", 40000, other), stream, None),
            (Flow(SIX, "2001:db8::2", 40000), stream, None),
            (Flow(PLAIN, "192.0.2.9", 5062), None, None),
            (Flow(NAMED, "192.0.2.9", 5060), None, None),
        ):
            self.assertEqual([each for each in (plain, stream) if flow.same_end(each)], [ends] if ends else [])
            self.assertEqual([each for each in (plain, stream) if flow.same_way(each)], [ways] if ways else [])

    def test_target(self) -> None:
        """An address, never a name."""
        self.assertEqual((Target("tls", "::1", 5061).family, str(Target("tls", "::1", 5061))), (6, "tls:[::1]:5061"))
        self.assertEqual((Target("udp", "192.0.2.1", 5060).family, Target("udp", "192.0.2.1", 5060).tls_name), (4, ""))

    def test_connection_is_abstract(self) -> None:
        """The transports have the real ones."""
        with self.assertRaises(NotImplementedError):
            Connection().write(b"")
        with self.assertRaises(NotImplementedError):
            _ = Connection().alive
