"""By which listener a request leaves: `b2bua.policy.interface`, every branch, with a kernel that is a dictionary."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy import interface
from b2bua.policy.interface import AUTO, Choice, Interfaces, KernelRoute, NoInterface, choose
from b2bua.sip.listener import Listener, Target

PUBLIC = Listener("public-udp", "public", "udp", "192.0.2.1", 5060, device="eth0")
PUBLIC_TCP = Listener("public-tcp", "public", "tcp", "192.0.2.1", 5060, device="eth0")
PUBLIC_TLS = Listener("public-tls", "public", "tls", "192.0.2.1", 5061, device="eth0")
PUBLIC_6 = Listener("public-udp6", "public", "udp", "2001:db8::1", 5060, device="eth0")
PRIVATE = Listener("private-udp", "private", "udp", "10.0.0.1", 5060, device="eth1")
PRIVATE_TCP = Listener("private-tcp", "private", "tcp", "10.0.0.1", 5060, device="eth1")
EAST = Listener("east", "private", "udp", "10.1.0.1", 5060, device="eth2")
ALL = (PUBLIC, PUBLIC_TCP, PUBLIC_TLS, PUBLIC_6, PRIVATE, PRIVATE_TCP)

TO_PUBLIC = KernelRoute("192.0.2.1", "eth0", "192.0.2.254")
TO_PRIVATE = KernelRoute("10.0.0.1", "eth1")


class FakeKernel:
    """Answers from a dictionary, the same value each time, and keeps the questions."""

    def __init__(self, routes: Mapping[str, KernelRoute]) -> None:
        self.routes = dict(routes)
        self.asked: list[str] = []

    def __call__(self, ip: str) -> KernelRoute | None:
        self.asked.append(ip)
        return self.routes.get(ip)


class InterfaceTestCase(SynchronousTestCase):
    """Questions to an `Interfaces`, and what is expected of the answers."""

    def choice(
        self,
        target: Target,
        route: KernelRoute | None = None,
        send_from: str = AUTO,
        listeners: tuple[Listener, ...] = ALL,
        networks: Mapping[str, str] | None = None,
    ) -> Choice:
        """What is chosen when the kernel answers `route`."""
        kernel = FakeKernel({target.host: route} if route else {})
        return Interfaces(listeners, networks).choose(target, send_from, kernel)

    def refusal(
        self,
        name: str,
        target: Target,
        route: KernelRoute | None = None,
        send_from: str = AUTO,
        listeners: tuple[Listener, ...] = ALL,
        networks: Mapping[str, str] | None = None,
    ) -> str:
        """The reason of the refusal, which must have this name and be a 503 (S5)."""
        kernel = FakeKernel({target.host: route} if route else {})
        refused = self.assertRaises(NoInterface, Interfaces(listeners, networks).choose, target, send_from, kernel)
        self.assertEqual((refused.name, refused.status, str(refused)), (name, 503, refused.reason))
        return str(refused)


class TestNamed(InterfaceTestCase):
    """S1, S2: what the policy names comes before anything the kernel could say."""

    def test_listener(self) -> None:
        """A listener named sends, and the kernel is not asked."""
        kernel = FakeKernel({"10.0.0.5": TO_PRIVATE})
        made = Interfaces(ALL).choose(Target("udp", "10.0.0.5", 5060), "public-udp", kernel)
        self.assertIs(made.listener, PUBLIC)
        self.assertIsNone(made.route)
        self.assertEqual(made.why, "send_from names the listener public-udp")
        self.assertEqual(kernel.asked, [])

    def test_listener_of_another_transport(self) -> None:
        """A listener of another transport than the target's does not do."""
        reason = self.refusal("wrong-listener", Target("tcp", "10.0.0.5", 5060), TO_PRIVATE, "private-udp")
        self.assertEqual(
            reason,
            "send_from names the listener private-udp, which is UDP over IPv4, "
            "but tcp:10.0.0.5:5060 needs TCP over IPv4",
        )

    def test_listener_of_another_family(self) -> None:
        """A listener of another address family than the target's does not do."""
        reason = self.refusal("wrong-listener", Target("udp", "2001:db8::5", 5060), None, "private-udp")
        self.assertIn("but udp:[2001:db8::5]:5060 needs UDP over IPv6", reason)

    def test_zone_with_one_listener(self) -> None:
        """A zone with one listener that can do it needs no kernel."""
        kernel = FakeKernel({})
        made = Interfaces(ALL).choose(Target("tcp", "198.51.100.7", 5060), "private", kernel)
        self.assertIs(made.listener, PRIVATE_TCP)
        self.assertEqual(made.why, "send_from names the zone private, whose only TCP over IPv4 listener is private-tcp")
        self.assertEqual(kernel.asked, [])

    def test_zone_with_several_listeners(self) -> None:
        """Among several listeners of a zone the kernel decides, and only among them."""
        for route, listener in (
            (KernelRoute("10.1.0.1", "eth2"), EAST),
            (TO_PRIVATE, PRIVATE),
            (KernelRoute("10.1.0.77", "eth2"), EAST),
        ):
            made = self.choice(Target("udp", "10.9.0.5", 5060), route, "private", (*ALL, EAST))
            self.assertIs(made.listener, listener)
            self.assertEqual(made.route, route)
            self.assertTrue(made.why.startswith("send_from names the zone private; the kernel would send to"), made.why)

    def test_zone_and_a_kernel_that_leaves_it(self) -> None:
        """The kernel would leave by another zone's listener: that one is no candidate."""
        reason = self.refusal("not-a-listener", Target("udp", "10.9.0.5", 5060), TO_PUBLIC, "private", (*ALL, EAST))
        self.assertEqual(
            reason,
            "send_from names the zone private; the kernel would send to 10.9.0.5 from 192.0.2.1 by eth0 through "
            "192.0.2.254: no listener's address or device, and [networks] does not name 10.9.0.5; the UDP over IPv4 "
            "private listeners are private-udp (10.0.0.1 port 5060 on eth1), east (10.1.0.1 port 5060 on eth2)",
        )

    def test_zone_and_networks(self) -> None:
        """Where the kernel does not decide within a zone, [networks] does."""
        made = self.choice(Target("udp", "10.9.0.5", 5060), TO_PUBLIC, "private", (*ALL, EAST), {"10.9.0.0/16": "east"})
        self.assertIs(made.listener, EAST)

    def test_zone_without_such_a_listener(self) -> None:
        """A zone that has no listener of the transport and family."""
        reason = self.refusal("no-listener", Target("tls", "10.0.0.5", 5061), TO_PRIVATE, "private")
        self.assertEqual(reason, "the zone private has no TLS over IPv4 listener to reach tls:10.0.0.5:5061")

    def test_unknown_name(self) -> None:
        """A name that nobody has is refused, not taken for "auto"."""
        reason = self.refusal("unknown-send-from", Target("udp", "10.0.0.5", 5060), TO_PRIVATE, "privat")
        self.assertEqual(reason, "send_from names privat, which is neither a listener nor a zone")

    def test_listener_and_zone_of_one_name(self) -> None:
        """Where a listener and a zone share a name, the listener is meant; a zone of the name does not replace it."""
        listeners = (Listener("both", "other", "udp", "10.0.0.1", 5060), Listener("b", "both", "tcp", "10.0.0.2", 5060))
        made = self.choice(Target("udp", "10.0.0.5", 5060), None, "both", listeners)
        self.assertIs(made.listener, listeners[0])
        self.refusal("wrong-listener", Target("tcp", "10.0.0.5", 5060), TO_PRIVATE, "both", listeners)

    def test_auto_is_no_name(self) -> None:
        """A listener or zone called "auto" does not change what "auto" means."""
        listeners = (Listener(AUTO, AUTO, "udp", "10.0.0.1", 5060), PUBLIC)
        made = self.choice(Target("udp", "192.0.2.9", 5060), TO_PUBLIC, AUTO, listeners)
        self.assertIs(made.listener, PUBLIC)


class TestAutomatic(InterfaceTestCase):
    """S4, S5: the kernel's answer, checked against the listeners."""

    def test_source_address(self) -> None:
        """S4: the listener with the kernel's source address, for every transport."""
        for transport, listener in (("udp", PUBLIC), ("tcp", PUBLIC_TCP), ("tls", PUBLIC_TLS)):
            made = self.choice(Target(transport, "198.51.100.7", 5060), TO_PUBLIC)
            self.assertIs(made.listener, listener)
            self.assertIs(made.route, TO_PUBLIC)
            self.assertEqual(
                made.why,
                "the kernel would send to 198.51.100.7 from 192.0.2.1 by eth0 through 192.0.2.254, "
                f"which is the address of {listener.name}",
            )

    def test_addresses_are_compared_parsed(self) -> None:
        """S12: not as text."""
        listener = Listener("six", "public", "udp", "2001:DB8:0::1", 5060)
        made = self.choice(Target("udp", "2001:db8::5", 5060), KernelRoute("2001:db8::1", "eth0"), AUTO, (listener,))
        self.assertIs(made.listener, listener)

    def test_source_before_device(self) -> None:
        """The exact address counts before the device."""
        other = Listener("other", "public", "udp", "192.0.2.2", 5060, device="eth0")
        made = self.choice(Target("udp", "198.51.100.7", 5060), TO_PUBLIC, AUTO, (other, PUBLIC))
        self.assertIs(made.listener, PUBLIC)

    def test_device(self) -> None:
        """An address that is no listener's, but a listener is on the device that the packet would leave by."""
        made = self.choice(Target("udp", "2001:db8:9::5", 5060), KernelRoute("2001:db8::aaaa", "eth0"))
        self.assertIs(made.listener, PUBLIC_6)
        self.assertEqual(
            made.why,
            "the kernel would send to 2001:db8:9::5 from 2001:db8::aaaa by eth0, which is no listener's address, "
            "but on eth0 is public-udp6",
        )

    def test_no_source(self) -> None:
        """A device without an address of its own: the kernel names no source."""
        made = self.choice(Target("udp", "10.0.0.5", 5060), KernelRoute("", "eth1"))
        self.assertIs(made.listener, PRIVATE)
        self.assertIn("from no address at all by eth1", made.why)

    def test_unknown_devices_are_not_alike(self) -> None:
        """A listener whose device is not known is on none."""
        listener = Listener("private-udp", "private", "udp", "10.0.0.1", 5060)
        self.refusal("not-a-listener", Target("udp", "10.0.0.5", 5060), KernelRoute("", ""), AUTO, (listener,))

    def test_never_the_first_listener(self) -> None:
        """S5: an address and a device that are no listener's: 503, even if there is only one listener."""
        target = Target("udp", "203.0.113.5", 5060)
        reason = self.refusal("not-a-listener", target, KernelRoute("172.16.0.9", "eth9"), AUTO, (PUBLIC, PUBLIC_TCP))
        self.assertEqual(
            reason,
            "the kernel would send to 203.0.113.5 from 172.16.0.9 by eth9: no listener's address or device, and "
            "[networks] does not name 203.0.113.5; the UDP over IPv4 listeners are "
            "public-udp (192.0.2.1 port 5060 on eth0)",
        )

    def test_source_of_another_transport(self) -> None:
        """S2: the right address with another transport is no answer: the transport is never changed here."""
        target = Target("tls", "10.0.0.5", 5061)
        reason = self.refusal("not-a-listener", target, TO_PRIVATE)
        self.assertIn("the TLS over IPv4 listeners are public-tls (192.0.2.1 port 5061 on eth0)", reason)

    def test_no_listener(self) -> None:
        """No listener of the transport and family at all: the kernel is not asked."""
        kernel = FakeKernel({})
        refused = self.assertRaises(
            NoInterface, Interfaces(ALL).choose, Target("tcp", "2001:db8::5", 5060), AUTO, kernel
        )
        self.assertEqual(refused.name, "no-listener")
        self.assertEqual(refused.reason, "there is no TCP over IPv6 listener to reach tcp:[2001:db8::5]:5060")
        self.assertEqual(kernel.asked, [])

    def test_no_route(self) -> None:
        """The kernel has no route."""
        reason = self.refusal("no-route", Target("tls", "203.0.113.5", 5061))
        self.assertEqual(
            reason,
            "the kernel has no route to 203.0.113.5, and [networks] does not name 203.0.113.5; "
            "the TLS over IPv4 listeners are public-tls (192.0.2.1 port 5061 on eth0)",
        )

    def test_no_kernel(self) -> None:
        """Where the kernel cannot be asked, [networks] or nobody decides."""
        target = Target("udp", "10.0.0.5", 5060)
        refused = self.assertRaises(NoInterface, Interfaces(ALL).choose, target, AUTO, None)
        self.assertEqual(refused.name, "no-route")
        self.assertTrue(refused.reason.startswith("the kernel cannot be asked, and"), refused.reason)
        made = Interfaces(ALL, {"10.0.0.0/8": "private"}).choose(target, AUTO, None)
        self.assertIs(made.listener, PRIVATE)

    def test_several_on_one_address(self) -> None:
        """Two ports on one address: the kernel cannot say which, so [networks] must."""
        second = Listener("public-5080", "guests", "udp", "192.0.2.1", 5080, device="eth0")
        target, listeners = Target("udp", "198.51.100.7", 5060), (PUBLIC, second)
        reason = self.refusal("several-listeners", target, TO_PUBLIC, AUTO, listeners)
        self.assertIn("which is the address of public-udp and public-5080; [networks] does not decide", reason)
        made = self.choice(target, TO_PUBLIC, AUTO, listeners, {"198.51.100.0/24": "guests"})
        self.assertIs(made.listener, second)
        self.assertTrue(made.why.endswith("; [networks] gives 198.51.100.0/24 to guests: public-5080"), made.why)

    def test_networks_break_a_tie_only_among_the_tied(self) -> None:
        """[networks] comes after the kernel's answer: what it names beside the tied listeners decides nothing."""
        second = Listener("public-5080", "guests", "udp", "192.0.2.1", 5080, device="eth0")
        target, listeners = Target("udp", "198.51.100.7", 5060), (PUBLIC, second, PRIVATE)
        reason = self.refusal("several-listeners", target, TO_PUBLIC, AUTO, listeners, {"0.0.0.0/0": "private"})
        self.assertIn("[networks] gives 0.0.0.0/0 to private, which does not decide", reason)

    def test_several_on_one_device(self) -> None:
        """Two listeners on the outgoing device, neither with the kernel's address."""
        second = Listener("public-2", "public", "udp", "192.0.2.2", 5060, device="eth0")
        target, route = Target("udp", "198.51.100.7", 5060), KernelRoute("192.0.2.77", "eth0")
        self.refusal("several-listeners", target, route, AUTO, (PUBLIC, second))
        made = self.choice(target, route, AUTO, (PUBLIC, second), {"198.51.100.7/32": "public-2"})
        self.assertIs(made.listener, second)


class TestWildcard(InterfaceTestCase):
    """S8: a listener bound to every address of a family sends from whatever address the kernel takes."""

    ANY = Listener("any", "public", "udp", "0.0.0.0", 5060)
    ANY_6 = Listener("any6", "public", "udp", "::", 5060)

    def test_any_address(self) -> None:
        """It owns the kernel's source address."""
        made = self.choice(Target("udp", "10.0.0.5", 5060), TO_PRIVATE, AUTO, (self.ANY, self.ANY_6))
        self.assertIs(made.listener, self.ANY)
        self.assertTrue(made.why.endswith("from 10.0.0.1 by eth1, and bound to every IPv4 address is any"), made.why)
        made = self.choice(Target("udp", "fd00::5", 5060), KernelRoute("fd00::1", "eth1"), AUTO, (self.ANY, self.ANY_6))
        self.assertIs(made.listener, self.ANY_6)

    def test_exact_address_first(self) -> None:
        """A listener bound to the very address comes first."""
        made = self.choice(Target("udp", "10.0.0.5", 5060), TO_PRIVATE, AUTO, (self.ANY, PRIVATE))
        self.assertIs(made.listener, PRIVATE)

    def test_only_on_its_device(self) -> None:
        """Bound to a device, it has the addresses of that one only."""
        listener = Listener("any", "public", "udp", "0.0.0.0", 5060, device="eth0")
        self.refusal("not-a-listener", Target("udp", "10.0.0.5", 5060), TO_PRIVATE, AUTO, (listener,))


class TestLinkLocal(InterfaceTestCase):
    """The same link-local address may stand on several links; only the device tells which is meant."""

    ZERO = Listener("zero", "public", "udp", "fe80::1%eth0", 5060)
    ONE = Listener("one", "private", "udp", "fe80::1", 5060, device="eth1")

    def test_by_device(self) -> None:
        """The listener on the kernel's device, by its zone id or its device."""
        for device, listener in (("eth0", self.ZERO), ("eth1", self.ONE)):
            made = self.choice(
                Target("udp", f"fe80::5%{device}", 5060), KernelRoute("fe80::1", device), AUTO, (self.ZERO, self.ONE)
            )
            self.assertIs(made.listener, listener)

    def test_another_device(self) -> None:
        """On a third device the address is another one."""
        reason = self.refusal(
            "not-a-listener", Target("udp", "fe80::5%eth2", 5060), KernelRoute("fe80::1", "eth2"), AUTO, (self.ZERO,)
        )
        self.assertIn("zero (fe80::1 port 5060 on eth0)", reason)

    def test_unknown_device(self) -> None:
        """A listener whose device is not known is taken by its address."""
        listener = Listener("somewhere", "public", "udp", "fe80::1", 5060)
        made = self.choice(
            Target("udp", "fe80::5", 5060), KernelRoute("fe80::1", "eth2"), AUTO, (listener,), {"fe80::/10": "public"}
        )
        self.assertIs(made.listener, listener)


class TestNetworks(InterfaceTestCase):
    """S5: the operator's mapping of destination networks, when the kernel's answer is no listener's."""

    ELSEWHERE = KernelRoute("172.16.0.9", "eth9")
    TARGET = Target("udp", "10.9.0.5", 5060)

    def test_longest_prefix(self) -> None:
        """The longest prefix counts, in whatever order they are written."""
        networks = {"0.0.0.0/0": "public", "10.9.0.0/16": "private", "10.0.0.0/8": "public", "10.9.0.5/32": "east"}
        made = self.choice(self.TARGET, self.ELSEWHERE, AUTO, (*ALL, EAST), networks)
        self.assertIs(made.listener, EAST)
        del networks["10.9.0.5/32"]
        made = self.choice(self.TARGET, self.ELSEWHERE, AUTO, ALL, networks)
        self.assertIs(made.listener, PRIVATE)
        self.assertEqual(
            made.why,
            "the kernel would send to 10.9.0.5 from 172.16.0.9 by eth9: no listener's address or device, "
            "and [networks] gives 10.9.0.0/16 to private: private-udp",
        )
        self.assertIs(made.route, self.ELSEWHERE)

    def test_without_a_route(self) -> None:
        """It also counts where the kernel has no route: the listener's own address may have one."""
        made = self.choice(self.TARGET, None, AUTO, ALL, {"10.0.0.0/8": "private-udp"})
        self.assertIs(made.listener, PRIVATE)
        self.assertIsNone(made.route)
        self.assertTrue(made.why.startswith("the kernel has no route to 10.9.0.5, and [networks] gives"), made.why)

    def test_ipv6(self) -> None:
        """Networks of one family say nothing about the other."""
        networks = {"0.0.0.0/0": "private", "2001:db8::/32": "public"}
        made = self.choice(Target("udp", "2001:db8:9::5", 5060), None, AUTO, ALL, networks)
        self.assertIs(made.listener, PUBLIC_6)
        self.refusal("no-route", Target("udp", "fd00::5", 5060), None, AUTO, ALL, networks)

    def test_kernel_first(self) -> None:
        """The kernel's answer comes before [networks] when it is a listener's."""
        made = self.choice(self.TARGET, TO_PRIVATE, AUTO, ALL, {"10.0.0.0/8": "public"})
        self.assertIs(made.listener, PRIVATE)

    def test_names_nothing_that_fits(self) -> None:
        """A listener of another transport, or a zone without one that fits: refused, not replaced."""
        for name in ("private-tcp", "carrier"):
            reason = self.refusal("wrong-network", self.TARGET, self.ELSEWHERE, AUTO, ALL, {"10.0.0.0/8": name})
            self.assertIn(f"[networks] gives 10.0.0.0/8 to {name}, where none of them is", reason)

    def test_names_several(self) -> None:
        """A zone with several listeners that fit does not decide."""
        listeners = (*ALL, EAST)
        reason = self.refusal("several-listeners", self.TARGET, None, AUTO, listeners, {"10.0.0.0/8": "private"})
        self.assertIn("[networks] gives 10.0.0.0/8 to private, which does not decide; the UDP over IPv4", reason)

    def test_empty_name(self) -> None:
        """An empty name is no zone's."""
        nowhere = Listener("nowhere", "", "udp", "10.0.0.1", 5060)
        self.refusal("no-route", self.TARGET, None, AUTO, (nowhere,), {"10.0.0.0/8": ""})

    def test_not_a_network(self) -> None:
        """What is no network is refused when the index is made."""
        self.assertRaises(ValueError, Interfaces, ALL, {"10.0.0.1/8": "private"})


class TestWarm(InterfaceTestCase):
    """S4: a choice is remembered as long as the kernel's answer is the same value."""

    TARGET = Target("udp", "10.9.0.5", 5060)

    def test_remembered(self) -> None:
        """The same answer of the kernel gives the same choice, without a new one being made."""
        interfaces, kernel = Interfaces(ALL), FakeKernel({"10.9.0.5": TO_PRIVATE})
        first = interfaces.choose(self.TARGET, AUTO, kernel)
        self.assertIs(interfaces.choose(Target("udp", "10.9.0.5", 5070), AUTO, kernel), first)
        self.assertEqual(kernel.asked, ["10.9.0.5", "10.9.0.5"])

    def test_each_transport_and_zone(self) -> None:
        """What is remembered for one transport or zone is not another's."""
        interfaces, kernel = Interfaces((*ALL, EAST)), FakeKernel({"10.9.0.5": TO_PRIVATE})
        self.assertIs(interfaces.choose(self.TARGET, AUTO, kernel).listener, PRIVATE)
        self.assertIs(interfaces.choose(Target("tcp", "10.9.0.5", 5060), AUTO, kernel).listener, PRIVATE_TCP)
        self.assertTrue(interfaces.choose(self.TARGET, "private", kernel).why.startswith("send_from names the zone"))

    def test_changed(self) -> None:
        """A changed, withdrawn or new route counts at once."""
        interfaces, kernel = Interfaces(ALL), FakeKernel({"10.9.0.5": TO_PRIVATE})
        self.assertIs(interfaces.choose(self.TARGET, AUTO, kernel).listener, PRIVATE)
        kernel.routes["10.9.0.5"] = TO_PUBLIC
        self.assertIs(interfaces.choose(self.TARGET, AUTO, kernel).listener, PUBLIC)
        kernel.routes.clear()
        self.assertRaises(NoInterface, interfaces.choose, self.TARGET, AUTO, kernel)
        self.assertRaises(NoInterface, interfaces.choose, self.TARGET, AUTO, None)
        kernel.routes["10.9.0.5"] = TO_PRIVATE
        self.assertIs(interfaces.choose(self.TARGET, AUTO, kernel).listener, PRIVATE)

    def test_bounded(self) -> None:
        """No more choices are remembered than the limit."""
        self.patch(interface, "MADE_LIMIT", 2)
        hosts = [f"10.9.0.{number}" for number in range(5)]
        interfaces, kernel = Interfaces(ALL), FakeKernel(dict.fromkeys(hosts, TO_PRIVATE))
        for host in hosts:
            self.assertIs(interfaces.choose(Target("udp", host, 5060), AUTO, kernel).listener, PRIVATE)
        self.assertEqual(len(interfaces._made), 1)

    def test_choose(self) -> None:
        """The function is the same for one question."""
        made = choose(self.TARGET, AUTO, ALL, FakeKernel({"10.9.0.5": TO_PRIVATE}))
        self.assertIs(made.listener, PRIVATE)
        made = choose(self.TARGET, AUTO, ALL, None, {"10.0.0.0/8": "public"})
        self.assertIs(made.listener, PUBLIC)
