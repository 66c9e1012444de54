"""What is remembered of the DNS's answers, and how aliases are followed (`b2bua.net.names`), by a test's clock."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net import names as module
from b2bua.net.names import Answer, Names, Pointer, Service, is_name, read_hosts, usable
from tests.zone import SilentWire, Zone, dead_wire, message, wire_of


class Remembering(SynchronousTestCase):
    """TTLs, positive and negative."""

    def setUp(self) -> None:
        self.clock = Clock()

    def over(self, zone: Zone, hosts: str = "/nonexistent") -> None:
        """The names of a zone."""
        self.zone = zone
        self.names = Names(zone.wire, self.clock, hosts)

    def ask(self, name: str, kind: int = dns.A) -> Answer:
        """The answer, which must be there at once."""
        return self.successResultOf(self.names.ask(name, kind))

    def test_kept_for_the_ttl(self) -> None:
        """RFC 1034 3.6: an answer is good for its TTL, and asked again after it. Letters' case does not count."""
        self.over(Zone("example.com 30 A 192.0.2.1\nexample.com 30 A 192.0.2.2"))
        self.assertEqual(self.ask("example.com").addresses, ["192.0.2.1", "192.0.2.2"])
        self.clock.advance(29.9)
        self.assertEqual(self.ask("EXAMPLE.com.").addresses, ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(self.zone.asked, ["A example.com"])
        self.clock.advance(0.2)
        self.ask("example.com")
        self.assertEqual(self.zone.asked, ["A example.com"] * 2)

    def test_least_ttl_counts(self) -> None:
        """RFC 2181 5.2: of different TTLs the least; an alias's counts as well."""
        self.over(Zone("a.example 300 CNAME b.example\nb.example 20 A 192.0.2.1\nb.example 10 A 192.0.2.2"))
        self.assertEqual(self.ask("a.example").ttl, 10)
        self.over(Zone("a.example 7 CNAME b.example\nb.example 20 A 192.0.2.1"))
        self.assertEqual(self.ask("a.example").ttl, 7)

    def test_ttl_zero_is_not_kept(self) -> None:
        """RFC 1035 3.2.1: TTL 0 is for the question at hand only."""
        self.over(Zone("example.com 0 A 192.0.2.1"))
        self.assertEqual(self.ask("example.com").addresses, ["192.0.2.1"])
        self.ask("example.com")
        self.assertEqual(len(self.zone.asked), 2)

    def test_absurd_ttl(self) -> None:
        """RFC 2181 8: a TTL with the top bit set is zero. No answer is kept for more than a day."""
        self.over(Zone(f"example.com {2**31} A 192.0.2.1\nexample.org {2**31 - 1} A 192.0.2.1"))
        self.assertEqual(self.ask("example.com").ttl, 0)
        self.assertEqual(self.ask("example.org").ttl, 86400)

    def test_nxdomain_kept_by_soa(self) -> None:
        """RFC 2308 5: the lesser of the SOA's TTL and its minimum field."""
        for ttl, minimum in ((20, 3600), (3600, 20)):
            self.over(Zone(f"example.com {ttl} SOA {minimum}"))
            self.assertEqual(self.ask("no.example.com").failure, "NXDOMAIN")
            self.clock.advance(19)
            self.assertEqual(self.ask("no.example.com").failure, "NXDOMAIN")
            self.assertEqual(len(self.zone.asked), 1)
            self.clock.advance(2)
            self.ask("no.example.com")
            self.assertEqual(len(self.zone.asked), 2)

    def test_negative_answers_kept_for_a_minute_at_most(self) -> None:
        """A new record counts after 60 s, whatever the SOA allows."""
        self.over(Zone("example.com 86400 SOA 86400\nexample.com A 192.0.2.1"))
        answer = self.ask("example.com", dns.NAPTR)
        self.assertEqual((answer.failure, answer.ttl), ("no such record", 60))

    def test_no_soa_no_keeping(self) -> None:
        """RFC 2308 5: "negative responses without SOA records SHOULD NOT be cached"."""
        self.over(Zone("example.com A 192.0.2.1"))
        self.assertEqual(self.ask("no.example.com").ttl, 0)

    def test_failures_kept_briefly(self) -> None:
        """RFC 2308 7.2: silent servers are not asked the same by every call, for 5 s."""
        wire = SilentWire()
        self.names = Names(wire, self.clock)
        self.clock.advance(100)
        self.names = Names(dead_wire, self.clock)
        self.assertEqual(self.ask("example.com"), Answer(failure="timed out", ttl=5))

    def test_bounded(self) -> None:
        """However many names are asked, only so many answers are kept: the oldest goes."""
        self.over(Zone("".join(f"{n}.example A 192.0.2.1\n" for n in range(5))))
        with patch.object(module, "REMEMBERED", 3):
            for n in range(5):
                self.ask(f"{n}.example")
        self.assertEqual([name for name, _ in self.names._remembered], ["2.example", "3.example", "4.example"])


class Asking(SynchronousTestCase):
    """Questions on their way."""

    def setUp(self) -> None:
        self.wire = SilentWire()
        self.names = Names(self.wire, Clock(), "/nonexistent")

    def test_one_question_for_many(self) -> None:
        """The same question is on its way only once; each asker gets the answer, cancelled ones do not."""
        first, second, third = (self.names.ask("example.com", dns.A) for _ in range(3))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.wire.asked, ["A example.com"])
        self.wire.waiting[0].callback(message("example.com A 192.0.2.1"))
        self.assertEqual(self.successResultOf(first).addresses, ["192.0.2.1"])
        self.assertEqual(self.successResultOf(third).addresses, ["192.0.2.1"])
        self.assertEqual((self.names._waiting, self.names._fetching), ({}, {}))

    def test_bounded(self) -> None:
        """Only so many questions, and sockets, at once."""
        with patch.object(module, "AT_ONCE", 2):
            waiting = [self.names.ask(f"{n}.example", dns.A) for n in range(2)]
            answer = self.successResultOf(self.names.ask("2.example", dns.A))
        self.assertEqual(answer.failure, "too many questions at once")
        for each in waiting:
            self.assertNoResult(each)

    def test_stop(self) -> None:
        """On shutdown nothing stays open."""
        asked = self.names.ask("example.com", dns.A)
        self.names.stop()
        self.assertEqual(self.successResultOf(asked), Answer(failure="stopped"))
        self.assertTrue(self.wire.waiting[0].called)

    def test_defect_harms_one_answer(self) -> None:
        """Should reading an answer break, the asker is told, the log has the traceback, and nothing else happens."""
        asked = self.names.ask("example.com", dns.A)
        self.wire.waiting[0].callback(None)
        self.assertEqual(self.successResultOf(asked).failure, "an answer that could not be read")
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


class Reading(SynchronousTestCase):
    """What messages mean."""

    def read(self, reply: dns.Message, name: str = "a.example", kind: int = dns.A) -> Answer:
        """The meaning of one message that answers everything."""
        return self.successResultOf(Names(wire_of(reply), Clock(), "/nonexistent").ask(name, kind))

    def test_aliases_in_one_answer(self) -> None:
        """RFC 1034 3.6.2: a chain of CNAMEs, in any order, leads to the records at its end."""
        reply = message(
            "b.example CNAME C.example\nc.example A 192.0.2.1\na.example CNAME b.example\nx.example A 192.0.2.2"
        )
        self.assertEqual(self.read(reply).addresses, ["192.0.2.1"])

    def test_alias_asked_further(self) -> None:
        """Where the server does not add the alias's target, it is asked for."""
        zone = Zone("a.example CNAME b.example\nb.example CNAME c.example\nc.example SRV 1 1 5060 sip.example")
        answer = self.successResultOf(Names(zone.wire, Clock()).ask("a.example", dns.SRV))
        self.assertEqual(answer.services, [Service(1, 1, 5060, "sip.example")])
        self.assertEqual(zone.asked, ["SRV a.example", "SRV b.example", "SRV c.example"])

    def test_alias_loops_end(self) -> None:
        """A loop of aliases, inside an answer or over many, ends."""
        loop = self.read(message("a.example CNAME b.example\nb.example CNAME a.example"))
        self.assertEqual((loop.records, loop.failure), ((), "no such record"))
        chain = Zone("\n".join(f"a{n}.example CNAME a{n + 1}.example" for n in range(20)))
        answer = self.successResultOf(Names(chain.wire, Clock()).ask("a0.example", dns.A))
        self.assertEqual(answer.failure, "more than 8 aliases")
        self.assertLess(len(chain.asked), 10)

    def test_alias_to_nowhere(self) -> None:
        """An alias of a name that does not exist, or of no name at all."""
        answer = self.read(message("a.example CNAME b.example", rcode=dns.ENAME))
        self.assertEqual(answer.failure, "NXDOMAIN")
        self.assertEqual(self.read(message("a.example CNAME 'x y'")).failure, "an alias that is no domain name")

    def test_bogus_records_skipped(self) -> None:
        """Port 0, targets that are no names, addresses that are no host's: as if they were not there."""
        services = message(
            "a.example SRV 1 1 0 x.example\na.example SRV 1 1 5060 'x y.example'\na.example SRV 1 1 5060 192.0.2.1\n"
            "a.example SRV 1 1 5060 .\na.example SRV 2 1 5060 Good.example"
        )
        self.assertEqual(
            self.read(services, kind=dns.SRV).services, [Service(1, 1, 5060, ""), Service(2, 1, 5060, "good.example")]
        )
        addresses = message("a.example A 0.0.0.0\na.example A 224.0.0.1\na.example A 255.255.255.255")
        self.assertEqual(self.read(addresses).failure, "no such record")
        addresses = message("a.example AAAA ::\na.example AAAA ff02::1\na.example AAAA ::ffff:192.0.2.1")
        self.assertEqual(self.read(addresses, kind=dns.AAAA).failure, "no such record")

    def test_other_names_and_classes_skipped(self) -> None:
        """Only the name that was asked, in class IN, of the type that was asked."""
        reply = message("b.example A 192.0.2.1\na.example TXT x\na.example A 192.0.2.2")
        reply.answers[2].cls = dns.CH
        self.assertEqual(self.read(reply).failure, "no such record")

    def test_naptr(self) -> None:
        """RFC 3403 4.1: flags and service are case-insensitive."""
        reply = message('a.example NAPTR 10 20 s sip+d2u "" _sip._udp.Example.com.')
        expected = Pointer(10, 20, "S", "SIP+D2U", "", "_sip._udp.example.com")
        self.assertEqual(self.read(reply, kind=dns.NAPTR).pointers, [expected])
        reply = message('a.example NAPTR 10 20 s SIP+D2U "" "x y"')
        self.assertEqual(self.read(reply, kind=dns.NAPTR).pointers[0].replacement, "")

    def test_additional_records(self) -> None:
        """What is added is kept with the answer, its TTL counts, and it is no answer to another question."""
        zone = Zone("_sip._udp.example.com SRV 1 1 5060 h.example.com\nh.example.com 60 A 192.0.2.1", generous=True)
        names = Names(zone.wire, Clock())
        answer = self.successResultOf(names.ask("_sip._udp.example.com", dns.SRV))
        self.assertEqual((dict(answer.beside), answer.ttl), ({("h.example.com", dns.A): ("192.0.2.1",)}, 60))
        self.successResultOf(names.ask("h.example.com", dns.A))
        self.assertEqual(zone.asked[-1], "A h.example.com")

    @given(st.binary(max_size=120), st.sampled_from((dns.A, dns.AAAA, dns.SRV, dns.NAPTR)))
    @settings(deadline=None, max_examples=200)
    def test_any_records(self, rest: bytes, kind: int) -> None:
        """Any bytes that Twisted reads as a message are read as an answer."""
        reply = dns.Message()
        try:
            reply.fromStr(b"\0\1\x84\0\0\0\0\2\0\0\0\1\1a\7example\0\0" + bytes((kind,)) + b"\0\1\0\0\0\1" + rest)
        except (EOFError, ValueError):
            return
        self.assertIsInstance(self.read(reply, kind=kind), Answer)


class Hosts(SynchronousTestCase):
    """Names that need no DNS."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.write(
            "192.0.2.9 pbx.example PBX # the old one\n2001:db8::9 pbx\nfe80::1%lo pbx\nnone pbx\n0.0.0.0 ad.example"
        )
        self.wire = SilentWire()
        self.names = Names(self.wire, Clock(), self.path)

    def write(self, text: str) -> None:
        """Write the hosts file."""
        with open(self.path, "w") as file:
            file.write(text)

    def ask(self, name: str, kind: int = dns.A) -> Answer:
        """The answer, which must be there at once."""
        return self.successResultOf(self.names.ask(name, kind))

    def test_hosts_file(self) -> None:
        """hosts(5): its word is the last for A and AAAA, in both families, and a changed file counts at once."""
        self.assertEqual(self.ask("PBX").addresses, ["192.0.2.9"])
        self.assertEqual(self.ask("pbx", dns.AAAA).addresses, ["2001:db8::9"])
        self.assertEqual(self.ask("pbx.example", dns.AAAA).failure, "no such address in the hosts file")
        self.assertEqual(self.ask("ad.example").failure, "no such address in the hosts file")
        self.write("192.0.2.10 pbx")
        self.assertEqual(self.ask("pbx").addresses, ["192.0.2.10"])
        self.assertEqual(self.wire.asked, [])

    def test_services_are_the_dns_s(self) -> None:
        """The hosts file has no SRV records: those are asked for."""
        self.assertNoResult(self.names.ask("pbx", dns.SRV))
        self.assertEqual(self.wire.asked, ["SRV pbx"])

    def test_localhost(self) -> None:
        """RFC 6761 6.3: localhost is this machine, and no DNS is asked about it, not even for services."""
        self.assertEqual(self.ask("localhost").addresses, ["127.0.0.1"])
        self.assertEqual(self.ask("sip.localhost", dns.AAAA).addresses, ["::1"])
        self.assertEqual(self.ask("_sip._udp.localhost", dns.SRV).failure, "no such record")
        self.assertEqual(self.wire.asked, [])

    def test_reading_hosts(self) -> None:
        """Several names on a line, several lines for a name."""
        hosts = read_hosts(["192.0.2.1 a B.", "", "  ", "2001:DB8::0:1 a", "192.0.2.300 a", "192.0.2.2"])
        self.assertEqual(hosts, {"a": ["192.0.2.1", "2001:db8::1"], "b": ["192.0.2.1"]})


class Telling(SynchronousTestCase):
    """Names and addresses that can be used."""

    def test_names(self) -> None:
        """RFC 1035 2.3.4: labels of 63 octets, names of 253; RFC 1123 2.1: the last label is not a number."""
        for good in (
            "a",
            "example.com",
            "_sip._udp.example.com",
            "1.example",
            "xn--bcher-kva.example",
            "a" * 63 + ".b",
        ):
            self.assertTrue(is_name(good), good)
        for bad in (
            "",
            ".",
            "a..b",
            "-a.b",
            "a-.b",
            "192.0.2.1",
            "a.1",
            "a b",
            "a\n",
            "é.b",
            "a" * 64 + ".b",
            "a." * 127 + "b",
        ):
            self.assertFalse(is_name(bad), bad)

    def test_not_asked(self) -> None:
        """What is no name is never put into a question."""
        wire = SilentWire()
        answer = self.successResultOf(Names(wire, Clock()).ask("a..b", dns.A))
        self.assertEqual((answer.failure, wire.asked), ("not a domain name", []))

    def test_usable(self) -> None:
        """One host's address, and no other kind."""
        for good in ("127.0.0.1", "192.0.2.1", "223.255.255.255", "::1", "2001:db8::1", "fe80::1", "ff::1"):
            self.assertTrue(usable(good), good)
        for bad in ("0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:192.0.2.1"):
            self.assertFalse(usable(bad), bad)
