"""What the machine has for devices, and how a listener's address is found among them (netifaces)."""

from __future__ import annotations

from ipaddress import ip_address

import netifaces
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.devices import Devices, NoDevice, address_of, described, devices, every_address

MACHINE: Devices = {
    "lo": {4: ["127.0.0.1"], 6: ["::1"]},
    "eth0": {4: ["192.0.2.1", "192.0.2.2"], 6: ["2001:db8::1"]},
    "eth1": {4: [], 6: []},
    "tun0": {4: ["192.0.2.2"], 6: []},
}
HAS = "eth0 (192.0.2.1, 192.0.2.2, 2001:db8::1), eth1 (no address), lo (127.0.0.1, ::1), tun0 (192.0.2.2)"


class TestThisMachine(SynchronousTestCase):
    """The real devices."""

    def test_loopback(self) -> None:
        """Every machine has a loopback device."""
        self.assertIn("127.0.0.1", [address for of in devices().values() for address in of[4]])

    def test_spelling(self) -> None:
        """Addresses have the one spelling that messages use, no brackets and no zone ids; none is link-local (S12)."""
        for of in devices().values():
            for family, addresses in of.items():
                for address in addresses:
                    self.assertEqual(str(ip_address(address)), address)
                    self.assertEqual(ip_address(address).version, family)
                    self.assertFalse(family == 6 and ip_address(address).is_link_local)


class TestDevices(SynchronousTestCase):
    """Devices as netifaces tells of them."""

    def test_link_local_left_out(self) -> None:
        """Link-local addresses and zone ids never come out."""
        told = {
            netifaces.AF_INET: [{"addr": "192.0.2.1"}, {"addr": "169.254.0.1"}],
            netifaces.AF_INET6: [{"addr": "fe80::1%eth0"}, {"addr": "2001:DB8:0::1%eth0"}],
        }
        self.patch(netifaces, "interfaces", lambda: ["eth0"])
        self.patch(netifaces, "ifaddresses", lambda device: told)
        self.assertEqual(devices(), {"eth0": {4: ["192.0.2.1", "169.254.0.1"], 6: ["2001:db8::1"]}})

    def test_a_device_that_goes(self) -> None:
        """A device that is unplugged while we look has no addresses."""

        def gone(device: str) -> None:
            raise ValueError("You must specify a valid interface name.")

        self.patch(netifaces, "interfaces", lambda: ["usb0"])
        self.patch(netifaces, "ifaddresses", gone)
        self.assertEqual(devices(), {"usb0": {4: [], 6: []}})


class TestAddressOf(SynchronousTestCase):
    """A device name, a family and an index mean one address."""

    def refusal(self, device: str, family: int, index: int = 0) -> str:
        """What is said where they mean none."""
        return str(self.assertRaises(NoDevice, address_of, device, family, index, MACHINE))

    def test_found(self) -> None:
        """The n-th address of the family, counted from 0."""
        self.assertEqual(address_of("eth0", 4, 0, MACHINE), "192.0.2.1")
        self.assertEqual(address_of("eth0", 4, 1, MACHINE), "192.0.2.2")
        self.assertEqual(address_of("eth0", 6, 0, MACHINE), "2001:db8::1")

    def test_no_such_device(self) -> None:
        """The machine's devices are listed."""
        self.assertEqual(self.refusal("eth9", 4), f"no device of that name; this machine has: {HAS}")

    def test_no_such_family(self) -> None:
        """What the devices have is listed."""
        self.assertEqual(self.refusal("tun0", 6), f"tun0 has no IPv6 address that can be used; this machine has: {HAS}")

    def test_no_such_index(self) -> None:
        """The device's addresses are listed with their numbers."""
        self.assertEqual(self.refusal("eth0", 4, 2), "eth0 has 2 IPv4 addresses: 0 is 192.0.2.1, 1 is 192.0.2.2")
        self.assertEqual(self.refusal("lo", 6, 1), "lo has 1 IPv6 address: 0 is ::1")

    def test_every_address(self) -> None:
        """All addresses of a family with their devices; one that stands on two devices once (S8)."""
        self.assertEqual(every_address(4, MACHINE), [("127.0.0.1", "lo"), ("192.0.2.1", "eth0"), ("192.0.2.2", "eth0")])
        self.assertEqual(every_address(6, MACHINE), [("::1", "lo"), ("2001:db8::1", "eth0")])

    def test_described(self) -> None:
        """A machine without devices is said to have none."""
        self.assertEqual(described(MACHINE), HAS)
        self.assertEqual(described({}), "no device")
