"""Where URIs lead (RFC 3263, RFC 2782, RFC 7984; S2, S14, S50, S52), by a real authoritative DNS server on loopback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from b2bua.net import resolver as module
from b2bua.net.names import Names, Service
from b2bua.net.nameservers import Nameservers
from b2bua.net.resolver import NoTarget, Reach, Resolver, literal
from b2bua.policy.weights import weighed
from b2bua.sip.listener import Listener, Target
from b2bua.sip.uri import Uri, parse_uri
from tests.zone import Server, SilentWire, Zone, dead_wire

ALL = Reach((transport, family) for transport in ("udp", "tcp", "tls") for family in (4, 6))
IPV4 = Reach((transport, 4) for transport in ("udp", "tcp", "tls"))
PLAIN = Reach([("udp", 4), ("tcp", 4)])
UDP = Reach([("udp", 4)])


def first(n: int) -> int:
    """A die that always shows its lowest face."""
    return 0


def shown(targets: Sequence[Target]) -> list[str]:
    """Targets as text, with the name that a certificate must show."""
    return [f"{each} {each.tls_name}".strip() for each in targets]


class Literals(SynchronousTestCase):
    """URIs with an address: no DNS, no waiting."""

    def assertTarget(self, uri: str, expected: str, reach: Reach = ALL, transport: str = "") -> None:
        """The URI leads to one target, for `literal` and for `resolve` alike."""
        found = literal(parse_uri(uri), reach, transport)
        assert found is not None
        self.assertEqual(shown(found), [expected])
        wire = SilentWire()
        resolver = Resolver(Names(wire, Clock()), Clock())
        self.assertEqual(self.successResultOf(resolver.resolve(parse_uri(uri), reach, transport)), found)
        self.assertEqual(wire.asked, [])

    def refused(self, uri: str | Uri, reach: Reach = ALL, transport: str = "") -> NoTarget:
        """The error that a URI meets, by `literal` or by `resolve`."""
        parsed = parse_uri(uri) if isinstance(uri, str) else uri
        resolver = Resolver(Names(dead_wire, Clock()), Clock())
        return self.failureResultOf(resolver.resolve(parsed, reach, transport), NoTarget).value

    def test_names_are_not_literals(self) -> None:
        """A name is none, not even one that looks like a number."""
        for uri in ("sip:example.com", "sips:localhost:5061", "sip:1.2.3.4.example.com"):
            self.assertIsNone(literal(parse_uri(uri), ALL))

    def test_default_transport(self) -> None:
        """RFC 3263 4.1: "the client SHOULD use UDP for a SIP URI, and TCP for a SIPS URI", by TLS."""
        self.assertTarget("sip:192.0.2.1", "udp:192.0.2.1:5060")
        self.assertTarget("sips:192.0.2.1", "tls:192.0.2.1:5061 192.0.2.1")
        self.assertTarget("sip:192.0.2.1:5080", "udp:192.0.2.1:5080")
        self.assertTarget("sips:bob@[2001:db8::1]:5071", "tls:[2001:db8::1]:5071 2001:db8::1")

    def test_transport_parameter(self) -> None:
        """RFC 3263 4.1: a transport parameter decides. S13: `transport=tls` is understood. Case does not count."""
        self.assertTarget("sip:192.0.2.1;transport=TCP", "tcp:192.0.2.1:5060")
        self.assertTarget("sip:192.0.2.1;transport=tls", "tls:192.0.2.1:5061 192.0.2.1")
        self.assertTarget("sip:192.0.2.1:5060;transport=tls", "tls:192.0.2.1:5060 192.0.2.1")

    def test_ipv6(self) -> None:
        """S12: brackets in the URI, none in the target, one spelling."""
        self.assertTarget("sip:[2001:DB8:0::1]", "udp:[2001:db8::1]:5060")
        self.assertTarget("sip:example.com;maddr=[2001:DB8:0::1]", "udp:[2001:db8::1]:5060")
        self.assertTarget("sip:example.com;maddr=2001:db8::1", "udp:[2001:db8::1]:5060")

    def test_maddr(self) -> None:
        """RFC 3263 4: TARGET is the maddr parameter where there is one; S50: the identity is still the URI's host."""
        self.assertTarget("sip:example.com;maddr=192.0.2.7", "udp:192.0.2.7:5060")
        self.assertTarget("sips:Example.com.;maddr=192.0.2.7", "tls:192.0.2.7:5061 example.com")

    def test_forced_transport(self) -> None:
        """S2: a forced transport goes before the URI's parameter, and brings its own port."""
        self.assertTarget("sip:192.0.2.1;transport=udp", "tls:192.0.2.1:5061 192.0.2.1", transport="tls")
        self.assertTarget("sip:192.0.2.1;transport=tls", "udp:192.0.2.1:5060", transport="udp")

    def test_sips_is_tls_or_nothing(self) -> None:
        """S14, RFC 3261 26.2.2: `sips` never goes by anything but TLS; over TCP, in a URI, means just that."""
        self.assertTarget("sips:192.0.2.1;transport=tcp", "tls:192.0.2.1:5061 192.0.2.1")
        self.assertTarget("sips:192.0.2.1;transport=tls", "tls:192.0.2.1:5061 192.0.2.1")
        for uri in ("sips:192.0.2.1", "sips:example.com", "sips:example.com:5060"):
            for transport in ("udp", "tcp"):
                error = self.refused(uri, transport=transport)
                self.assertEqual((error.reason, error.status), (f"a sips URI cannot go by {transport}", 480))
            error = self.refused(uri, PLAIN)
            self.assertEqual((error.reason, error.status), ("no tls listener to send with", 480))
        self.assertEqual(self.refused("sips:192.0.2.1;transport=udp").reason, "a sips URI cannot go by udp")

    def test_without_a_listener(self) -> None:
        """A transport or family that no listener has is refused by name; without UDP a sip URI goes by TCP."""
        self.assertTarget("sip:192.0.2.1", "tcp:192.0.2.1:5060", Reach([("tcp", 4), ("tls", 4)]))
        self.assertEqual(
            self.refused("sip:192.0.2.1", Reach([("tls", 4)])).reason, "no udp or tcp listener to send with"
        )
        self.assertEqual(self.refused("sip:192.0.2.1;transport=tls", UDP).reason, "no tls listener to send with")
        self.assertEqual(self.refused("sip:[2001:db8::1]", UDP).reason, "no udp listener that reaches 2001:db8::1")
        mixed = Reach([("udp", 4), ("tcp", 6)])
        self.assertTarget("sip:[2001:db8::1];transport=tcp", "tcp:[2001:db8::1]:5060", mixed)
        self.assertEqual(self.refused("sip:[2001:db8::1]", mixed).reason, "no udp listener that reaches 2001:db8::1")

    def test_refused_uris(self) -> None:
        """What leads to no single host: other schemes (416), unknown transports, odd addresses."""
        error = self.refused("tel:+15551234")
        self.assertEqual((error.reason, error.status), ("tel is not a scheme to send to", 416))
        self.assertEqual(self.refused("sip:192.0.2.1;transport=sctp").reason, "transport sctp is unknown")
        for host in ("0.0.0.0", "224.0.1.75", "255.255.255.255", "[::]", "[ff02::1]", "[::ffff:192.0.2.1]"):
            self.assertIn("is not the address of a host", self.refused(f"sip:{host}").reason)
        self.assertIn("is not an IPv6 address", self.refused("sip:a.example;maddr=[1:2]").reason)

    def test_reach_of_listeners(self) -> None:
        """The families of each transport in the order of the configuration."""
        listeners = [
            Listener("a", "public", "udp", "2001:db8::1", 5060),
            Listener("b", "public", "udp", "192.0.2.1", 5060),
            Listener("c", "public", "tcp", "192.0.2.1", 5060),
            Listener("d", "private", "udp", "2001:db8::2", 5060),
        ]
        reach = Reach.of(listeners)
        self.assertEqual([reach.families(each) for each in ("udp", "tcp", "tls")], [(6, 4), (4,), ()])
        self.assertEqual([each in reach for each in ("udp", "tcp", "tls")], [True, True, False])


class Weights(SynchronousTestCase):
    """RFC 2782's order of SRV records."""

    def test_priority_first(self) -> None:
        """RFC 2782: "the target host with the lowest-numbered priority it can reach" comes first."""
        services = [Service(20, 9, 1, "c"), Service(10, 0, 1, "a"), Service(20, 1, 1, "d"), Service(15, 5, 1, "b")]
        self.assertEqual([each.target for each in weighed(services, first)], ["a", "b", "c", "d"])

    def test_running_sum(self) -> None:
        """RFC 2782: the first record whose running sum is not less than the number drawn, from 0 to the sum."""
        services = [Service(1, 10, 1, "a"), Service(1, 0, 1, "zero"), Service(1, 30, 1, "b")]
        for drawn, expected in ((0, "zero"), (1, "a"), (10, "a"), (11, "b"), (40, "b")):
            limits: list[int] = []

            def die(n: int, drawn: int = drawn, limits: list[int] = limits) -> int:
                limits.append(n)
                return drawn if len(limits) == 1 else 0

            ordered = [each.target for each in weighed(services, die)]
            self.assertEqual((ordered[0], sorted(ordered), limits[0]), (expected, ["a", "b", "zero"], 41))

    def test_distribution(self) -> None:
        """RFC 2782: over many draws each host is first in proportion to its weight, weight 0 hardly ever."""
        services = [Service(1, 60, 1, "a"), Service(1, 30, 1, "b"), Service(1, 10, 1, "c"), Service(1, 0, 1, "zero")]
        die = Random(2782).randrange
        counts = Counter(weighed(services, die)[0].target for _ in range(10100))
        for target, expected in (("a", 6000), ("b", 3000), ("c", 1000), ("zero", 100)):
            self.assertLess(abs(counts[target] - expected), expected * 0.1 + 30)

    def test_second_choice(self) -> None:
        """RFC 2782: the rest are drawn the same way, so when "a" is gone "b" takes three quarters of its load."""
        services = [Service(1, 60, 1, "a"), Service(1, 30, 1, "b"), Service(1, 10, 1, "c")]
        die = Random(2782).randrange
        orders = [weighed(services, die) for _ in range(10000)]
        seconds = Counter(each[1].target for each in orders if each[0].target == "a")
        self.assertLess(abs(seconds["b"] / (seconds["b"] + seconds["c"]) - 0.75), 0.03)


class Finding(TestCase):
    """Names, by a real name server."""

    def serve(self, text: str, generous: bool = False) -> None:
        """Answer from a zone."""
        self.zone = Zone(text, generous)
        server = Server(reactor, self.zone)
        self.addCleanup(server.stop)
        nameservers = Nameservers(reactor, [server.server], patience=(1.0, 2.0))
        self.names = Names(nameservers.ask, reactor, "/nonexistent")
        self.resolver = Resolver(self.names, reactor, first)

    async def find(self, uri: str, reach: Reach = IPV4, transport: str = "") -> list[str]:
        """The targets of a URI, as text."""
        return shown(await self.resolver.resolve(parse_uri(uri), reach, transport))

    async def refused(self, uri: str, reach: Reach = IPV4, transport: str = "") -> NoTarget:
        """Why a URI has no target."""
        try:
            found = await self.find(uri, reach, transport)
        except NoTarget as error:
            return error
        self.fail(f"{uri} leads to {found}")

    RFC_3263 = """
        example.com NAPTR 50 50 s SIPS+D2T "" _sips._tcp.example.com.
        example.com NAPTR 90 50 s SIP+D2T "" _sip._tcp.example.com.
        example.com NAPTR 100 50 s SIP+D2U "" _sip._udp.example.com.
        _sips._tcp.example.com SRV 0 1 5061 server1.example.com.
        _sips._tcp.example.com SRV 1 2 5061 server2.example.com.
        _sip._tcp.example.com SRV 0 1 5060 server1.example.com.
        _sip._tcp.example.com SRV 1 2 5060 server2.example.com.
        _sip._udp.example.com SRV 0 1 5060 server1.example.com.
        server1.example.com A 192.0.2.1
        server2.example.com A 192.0.2.2
        example.com A 192.0.2.80
    """

    async def test_naptr_example(self) -> None:
        """RFC 3263 4.1's own example: a client with TCP and UDP uses TCP, server1 before server2."""
        self.serve(self.RFC_3263)
        self.assertEqual(await self.find("sip:user@Example.com", PLAIN), ["tcp:192.0.2.1:5060", "tcp:192.0.2.2:5060"])
        self.assertEqual(self.zone.asked[:2], ["NAPTR example.com", "SRV _sip._tcp.example.com"])

    async def test_naptr_keeps_sips_for_sip(self) -> None:
        """RFC 3263 4.1: a SIP URI's "SIPS" records are retained where the client has TLS. S50: the domain's name."""
        self.serve(self.RFC_3263)
        expected = ["tls:192.0.2.1:5061 example.com", "tls:192.0.2.2:5061 example.com"]
        self.assertEqual(await self.find("sip:example.com."), expected)

    async def test_naptr_of_another_order_does_not_count(self) -> None:
        """RFC 3403 4.1: once a record fits, higher orders do not count: TLS that fails does not become TCP."""
        self.serve(self.RFC_3263)
        self.assertEqual({each[:3] for each in await self.find("sip:example.com")}, {"tls"})

    async def test_naptr_preference(self) -> None:
        """RFC 3403 4.1: of one order, all in the order of preference."""
        self.serve(
            """
            example.com NAPTR 10 20 s SIP+D2U "" _sip._udp.example.com
            example.com NAPTR 10 10 S sip+d2t "" _sip._tcp.example.net
            _sip._udp.example.com SRV 1 1 5070 a.example.com
            _sip._tcp.example.net SRV 1 1 5080 a.example.com
            a.example.com A 192.0.2.1
            """
        )
        self.assertEqual(await self.find("sip:example.com"), ["tcp:192.0.2.1:5080", "udp:192.0.2.1:5070"])

    async def test_naptr_of_other_services_and_kinds_skipped(self) -> None:
        """RFC 3263 4.1: only "D2X" services of ours, with the flag "s", an empty regexp and a replacement."""
        self.serve(
            """
            example.com NAPTR 1 1 s AAA+D2S "" _diameter._sctp.example.com
            example.com NAPTR 2 1 s SIP+D2S "" _sip._sctp.example.com
            example.com NAPTR 3 1 u SIP+D2U "!^.*$!sip:x@example.net!" .
            example.com NAPTR 4 1 s SIP+D2U "!x!y!" _sip._udp.example.com
            example.com NAPTR 5 1 a SIP+D2U "" a.example.com
            example.com NAPTR 6 1 s SIP+D2U "" .
            example.com NAPTR 7 1 s SIP+D2T "" _sip._tcp.example.com
            _sip._tcp.example.com SRV 1 1 5060 a.example.com
            a.example.com A 192.0.2.1
            """
        )
        self.assertEqual(await self.find("sip:example.com"), ["tcp:192.0.2.1:5060"])

    async def test_naptr_offers_nothing_of_ours(self) -> None:
        """A domain that offers SIP, but by no transport of ours, is not called by a guess."""
        self.serve(self.RFC_3263)
        error = await self.refused("sip:example.com", Reach([]))
        expected = "example.com offers only SIP+D2T, SIP+D2U, SIPS+D2T, for which there is no listener"
        self.assertEqual((error.reason, error.status), (expected, 503))

    async def test_naptr_of_other_protocols_only(self) -> None:
        """RFC 3263 4.1: where no NAPTR record is SIP's, it is as if there were none."""
        self.serve('example.com NAPTR 1 1 s AAA+D2S "" _diameter._sctp.example.com\nexample.com A 192.0.2.1')
        self.assertEqual(await self.find("sip:example.com"), ["udp:192.0.2.1:5060"])

    async def test_naptr_without_srv(self) -> None:
        """RFC 3263 4.2: no SRV records, so the domain's addresses, by the transport that NAPTR chose."""
        self.serve('example.com NAPTR 1 1 s SIP+D2T "" _sip._tcp.example.com\nexample.com A 192.0.2.1')
        self.assertEqual(await self.find("sip:example.com"), ["tcp:192.0.2.1:5060"])

    async def test_sips(self) -> None:
        """RFC 3263 4.1: for a SIPS URI only "SIPS" services count, however the domain orders them (S14)."""
        self.serve(
            """
            example.com NAPTR 10 1 s SIP+D2U "" _sip._udp.example.com
            example.com NAPTR 20 1 s SIPS+D2T "" _sips._tcp.example.net
            _sip._udp.example.com SRV 1 1 5060 a.example.com
            _sips._tcp.example.net SRV 1 1 5081 a.example.com
            a.example.com A 192.0.2.1
            """
        )
        self.assertEqual(await self.find("sips:example.com"), ["tls:192.0.2.1:5081 example.com"])

    async def test_sips_without_its_naptr(self) -> None:
        """S14: without "SIPS+D2T" the SRV records of _sips._tcp, and without those the address, by TLS; never _sip."""
        self.serve(
            """
            a.example NAPTR 10 1 s SIP+D2U "" _sip._udp.a.example
            _sip._udp.a.example SRV 1 1 5060 h.example
            _sips._tcp.a.example SRV 1 1 5071 h.example
            b.example NAPTR 10 1 s SIP+D2T "" _sip._tcp.b.example
            _sip._tcp.b.example SRV 1 1 5060 h.example
            b.example A 192.0.2.2
            h.example A 192.0.2.1
            """
        )
        self.assertEqual(await self.find("sips:a.example"), ["tls:192.0.2.1:5071 a.example"])
        self.assertEqual(await self.find("sips:b.example"), ["tls:192.0.2.2:5061 b.example"])
        self.assertEqual([each for each in self.zone.asked if "_sip._" in each], [])

    async def test_srv_without_naptr(self) -> None:
        """RFC 3263 4.1, 4.2: no NAPTR, so SRV for every transport of ours: UDP, TCP, and TLS by _sips last."""
        self.serve(
            """
            _sips._tcp.example.com SRV 1 1 5061 a.example.com
            _sip._tcp.example.com SRV 1 1 5062 a.example.com
            _sip._udp.example.com SRV 1 1 5063 a.example.com
            a.example.com A 192.0.2.1
            """
        )
        expected = ["udp:192.0.2.1:5063", "tcp:192.0.2.1:5062", "tls:192.0.2.1:5061 example.com"]
        self.assertEqual(await self.find("sip:example.com"), expected)
        self.zone.asked.clear()
        self.assertEqual(await self.find("sip:example.com", Reach([("tls", 4)])), expected[2:])
        self.assertEqual([each for each in self.zone.asked if "NAPTR" not in each], [])

    async def test_only_our_transports_are_asked_for(self) -> None:
        """RFC 3263 4.1: SRV queries "for those transport protocols it supports"."""
        self.serve(
            "_sip._tcp.example.com SRV 1 1 5062 a.example.com\na.example.com A 192.0.2.1\nexample.com A 192.0.2.2"
        )
        self.assertEqual(await self.find("sip:example.com", UDP), ["udp:192.0.2.2:5060"])
        self.assertEqual(self.zone.asked, ["NAPTR example.com", "SRV _sip._udp.example.com", "A example.com"])

    async def test_transport_parameter(self) -> None:
        """RFC 3263 4.1, 4.2: a transport parameter means no NAPTR, and SRV for that transport alone; TLS asks _sips."""
        self.serve(self.RFC_3263)
        self.assertEqual(await self.find("sip:example.com;transport=udp"), ["udp:192.0.2.1:5060"])
        await self.find("sip:example.com;transport=tls")
        await self.find("sip:example.com", transport="tcp")
        await self.find("sips:example.com;transport=tcp")
        services = [each for each in self.zone.asked if not each.startswith("A ")]
        self.assertEqual(services, [f"SRV {each}.example.com" for each in ("_sip._udp", "_sips._tcp", "_sip._tcp")])

    async def test_port(self) -> None:
        """RFC 3263 4.1, 4.2: a port means no NAPTR and no SRV; UDP for sip, TLS for sips, or what the URI says."""
        self.serve(self.RFC_3263)
        self.assertEqual(await self.find("sip:example.com:5080"), ["udp:192.0.2.80:5080"])
        self.assertEqual(await self.find("sip:example.com:5080;transport=tcp"), ["tcp:192.0.2.80:5080"])
        self.assertEqual(await self.find("sips:example.com:5080"), ["tls:192.0.2.80:5080 example.com"])
        self.assertEqual(await self.find("sip:other.example:5080;maddr=example.com"), ["udp:192.0.2.80:5080"])
        self.assertEqual(self.zone.asked, ["A example.com"])

    async def test_addresses_alone(self) -> None:
        """RFC 3263 4.2: neither NAPTR nor SRV: the domain's addresses, UDP, and the default port."""
        self.serve("example.com A 192.0.2.1\nexample.com A 192.0.2.2")
        self.assertEqual(await self.find("sip:example.com"), ["udp:192.0.2.1:5060", "udp:192.0.2.2:5060"])
        self.assertEqual(
            await self.find("sip:example.com;transport=tls"),
            ["tls:192.0.2.1:5061 example.com", "tls:192.0.2.2:5061 example.com"],
        )

    async def test_addresses_in_turn(self) -> None:
        """The addresses of one name share the load although they are remembered in one order."""
        self.serve("example.com A 192.0.2.1\nexample.com A 192.0.2.2\nexample.com A 192.0.2.3")
        self.resolver._random = lambda n: n - 1
        found = await self.find("sip:example.com:5060")
        self.assertEqual(found, [f"udp:192.0.2.{n}:5060" for n in (3, 1, 2)])

    async def test_both_families(self) -> None:
        """RFC 7984: A and AAAA for each host, in the order of our listeners, and only families that we have."""
        self.serve(
            """
            _sip._udp.example.com SRV 1 1 5060 a.example.com
            _sip._udp.example.com SRV 2 1 5060 b.example.com
            a.example.com A 192.0.2.1
            a.example.com AAAA 2001:db8::1
            b.example.com A 192.0.2.2
            b.example.com AAAA 2001:db8::2
            """
        )
        four = ["udp:192.0.2.1:5060", "udp:192.0.2.2:5060"]
        six = ["udp:[2001:db8::1]:5060", "udp:[2001:db8::2]:5060"]
        uri = "sip:example.com;transport=udp"
        self.assertEqual(await self.find(uri, UDP), four)
        self.assertNotIn("AAAA a.example.com", self.zone.asked)
        self.assertEqual(await self.find(uri, Reach([("udp", 6), ("tcp", 4)])), six)
        self.assertEqual(await self.find(uri, ALL), [four[0], six[0], four[1], six[1]])
        self.assertEqual(await self.find(uri, Reach([("udp", 6), ("udp", 4)])), [six[0], four[0], six[1], four[1]])

    async def test_refused_service(self) -> None:
        """RFC 2782: the target "." means that there is no such service; nothing else is tried for that transport."""
        self.serve(
            """
            a.example A 192.0.2.1
            _sip._udp.a.example SRV 0 0 0 .
            _sip._tcp.a.example SRV 1 1 5060 a.example
            b.example A 192.0.2.1
            _sip._udp.b.example SRV 0 0 0 .
            """
        )
        self.assertEqual(await self.find("sip:a.example"), ["tcp:192.0.2.1:5060"])
        for uri in ("sip:a.example;transport=udp", "sip:b.example"):
            error = await self.refused(uri)
            self.assertIn("says by its SRV record that it has no such service", error.reason)

    async def test_bogus_srv_skipped(self) -> None:
        """A record with port 0, a target without addresses or one that is no name costs nothing but itself."""
        self.serve(
            """
            _sip._udp.example.com SRV 1 1 0 a.example.com
            _sip._udp.example.com SRV 2 1 5060 192.0.2.9
            _sip._udp.example.com SRV 3 1 5060 none.example.com
            _sip._udp.example.com SRV 4 1 5060 a.example.com
            a.example.com A 192.0.2.1
            """
        )
        self.assertEqual(await self.find("sip:example.com;transport=udp"), ["udp:192.0.2.1:5060"])

    async def test_aliases(self) -> None:
        """RFC 1034 3.6.2: CNAMEs of the domain and of its hosts; S50: the identity stays the domain of the URI."""
        self.serve(
            """
            _sips._tcp.example.com CNAME _sips._tcp.provider.example
            _sips._tcp.provider.example SRV 1 1 5061 a.provider.example
            a.provider.example CNAME b.provider.example
            b.provider.example A 192.0.2.1
            """
        )
        self.assertEqual(await self.find("sips:example.com"), ["tls:192.0.2.1:5061 example.com"])

    async def test_additional_records(self) -> None:
        """RFC 2782, RFC 3263 4.1: what comes in the additional section is not asked for again."""
        self.serve(self.RFC_3263, generous=True)
        self.assertEqual(await self.find("sip:example.com", PLAIN), ["tcp:192.0.2.1:5060", "tcp:192.0.2.2:5060"])
        self.assertEqual(self.zone.asked, ["NAPTR example.com"])

    async def test_additional_records_of_one_family(self) -> None:
        """RFC 7984: that only A records were added does not mean that there are no others."""
        self.serve("_sip._udp.example.com SRV 1 1 5060 a.example.com\na.example.com A 192.0.2.1", generous=True)
        await self.find("sip:example.com;transport=udp", ALL)
        self.assertEqual(self.zone.asked, ["SRV _sip._udp.example.com", "AAAA a.example.com"])

    async def test_remembered(self) -> None:
        """The second call to a domain asks nothing."""
        self.serve(self.RFC_3263)
        await self.find("sip:example.com")
        self.zone.asked.clear()
        await self.find("sip:other@EXAMPLE.com")
        self.assertEqual(self.zone.asked, [])

    async def test_bounded(self) -> None:
        """Questions and targets have limits, however large a zone is."""
        many = "\n".join(f"_sip._udp.example.com SRV 1 1 {n} h{n}.example.com" for n in range(1, 100))
        hosts = "\n".join(f"h{n}.example.com A 192.0.2.{m}" for n in range(1, 100) for m in range(1, 8))
        self.serve(f"{many}\n{hosts}")
        self.assertEqual(len(await self.find("sip:example.com;transport=udp")), 16)
        self.assertEqual(len(self.zone.asked), 9)

    async def test_questions_bounded(self) -> None:
        """One URI is worth only so many questions."""
        self.serve(self.RFC_3263)
        with patch.object(module, "QUESTIONS", 1):
            error = await self.refused("sip:example.com")
        self.assertEqual(
            (error.reason, self.zone.asked),
            ("example.com: not asked: SRV _sips._tcp.example.com; not asked: A example.com", ["NAPTR example.com"]),
        )

    async def test_reason(self) -> None:
        """The error names each question that failed, and why."""
        self.serve("example.com A 192.0.2.1\n_sip._udp.example.net SRV 1 1 5060 none.example")
        error = await self.refused("sip:example.org", PLAIN)
        expected = (
            "example.org: NAPTR example.org: NXDOMAIN; SRV _sip._udp.example.org: NXDOMAIN; "
            "SRV _sip._tcp.example.org: NXDOMAIN; A example.org: NXDOMAIN"
        )
        self.assertEqual((error.reason, error.status), (expected, 503))
        error = await self.refused("sip:example.net;transport=udp", UDP)
        self.assertEqual(error.reason, "example.net: A none.example: NXDOMAIN")
        error = await self.refused("sip:example.com:5060", Reach([("udp", 6)]))
        self.assertEqual(error.reason, "example.com: AAAA example.com: no such record")
        error = await self.refused("sip:a..b:5060")
        self.assertEqual(error.reason, "a..b: A a..b: not a domain name")


class Waiting(SynchronousTestCase):
    """Time: answers that do not come, and targets at rest."""

    def setUp(self) -> None:
        self.clock = Clock()

    def resolver(self, wire: Any, **settings: float) -> Resolver:
        """A resolver by the test's clock."""
        return Resolver(Names(wire, self.clock, "/nonexistent"), self.clock, first, **settings)

    def test_timeout(self) -> None:
        """One URI takes 5 s at most, and the reason names the question that was not answered."""
        found = self.resolver(SilentWire()).resolve(parse_uri("sip:example.com"), ALL)
        self.clock.advance(4.9)
        self.assertNoResult(found)
        self.clock.advance(0.2)
        expected = "example.com: no address within 5 s: NAPTR example.com: no answer in time"
        self.assertEqual(self.failureResultOf(found, NoTarget).value.reason, expected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_dead_servers(self) -> None:
        """Name servers that do not answer are the reason, for every question."""
        found = self.resolver(dead_wire).resolve(parse_uri("sip:example.com"), UDP)
        expected = (
            "example.com: NAPTR example.com: timed out; SRV _sip._udp.example.com: timed out; A example.com: timed out"
        )
        self.assertEqual(self.failureResultOf(found, NoTarget).value.reason, expected)

    def test_servers_that_do_not_know_naptr(self) -> None:
        """A question that fails does not end the search: a server deaf to NAPTR and SRV still gives addresses."""
        zone = Zone("example.com A 192.0.2.1")

        def deaf(name: str, kind: int) -> Deferred[Any]:
            return zone.wire(name, kind) if kind == 1 else dead_wire(name, kind)

        found = self.resolver(deaf).resolve(parse_uri("sip:example.com"), UDP)
        self.assertEqual(shown(self.successResultOf(found)), ["udp:192.0.2.1:5060"])

    def test_cancelled(self) -> None:
        """A search that nobody waits for any more ends, and leaves no timer."""
        found = self.resolver(SilentWire()).resolve(parse_uri("sip:example.com"), ALL)
        found.cancel()
        failure: Failure = self.failureResultOf(found)
        self.assertTrue(failure.check(CancelledError))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_dead_targets_rest(self) -> None:
        """S52, RFC 3263 4.3: a target that failed goes last for its time of rest, and stays in the list."""
        zone = Zone("example.com A 192.0.2.1\nexample.com A 192.0.2.2")
        resolver = self.resolver(zone.wire, rest=30)

        def found() -> list[str]:
            return [
                each.host for each in self.successResultOf(resolver.resolve(parse_uri("sip:example.com:5060"), UDP))
            ]

        self.assertEqual(found(), ["192.0.2.1", "192.0.2.2"])
        resolver.failed(Target("udp", "192.0.2.1", 5060))
        self.assertEqual(found(), ["192.0.2.2", "192.0.2.1"])
        self.clock.advance(20)
        resolver.failed(Target("udp", "192.0.2.2", 5060))
        self.assertEqual(found(), ["192.0.2.1", "192.0.2.2"])
        self.clock.advance(10)
        self.assertEqual(found(), ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(list(resolver._resting), [("udp", "192.0.2.2", 5060)])
        self.clock.advance(20)
        self.assertFalse(resolver.resting(Target("udp", "192.0.2.2", 5060)))

    def test_rest_is_for_one_transport_and_port(self) -> None:
        """S52: that UDP is dead says nothing of TCP; under which name a target was found does not matter."""
        resolver = self.resolver(dead_wire)
        resolver.failed(Target("tls", "192.0.2.1", 5061, "example.com"))
        self.assertTrue(resolver.resting(Target("tls", "192.0.2.1", 5061, "example.net")))
        for target in (Target("tcp", "192.0.2.1", 5061), Target("tls", "192.0.2.1", 5062), Target("tls", "::1", 5061)):
            self.assertFalse(resolver.resting(target))

    def test_rest_starts_anew(self) -> None:
        """S52: a target that fails again rests from then on."""
        resolver, target = self.resolver(dead_wire, rest=30), Target("udp", "192.0.2.1", 5060)
        resolver.failed(target)
        self.clock.advance(20)
        resolver.failed(target)
        self.clock.advance(20)
        self.assertTrue(resolver.resting(target))

    def test_rest_is_bounded(self) -> None:
        """Only so many targets rest at a time: the one that failed first rises early."""
        resolver = self.resolver(dead_wire)
        for port in range(1, 1030):
            resolver.failed(Target("udp", "192.0.2.1", port))
        self.assertEqual(len(resolver._resting), 1024)
        self.assertFalse(resolver.resting(Target("udp", "192.0.2.1", 5)))
        self.assertTrue(resolver.resting(Target("udp", "192.0.2.1", 6)))
