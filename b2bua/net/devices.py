"""The network devices of this machine and their addresses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import netifaces

Devices = dict[str, dict[int, list[str]]]

_FAMILIES = {4: netifaces.AF_INET, 6: netifaces.AF_INET6}


class NoDevice(ValueError):
    """The machine has no such device, or it has no such address; the text says what there is."""


def devices() -> Devices:
    """Each device's addresses by family, `{"eth0": {4: ["192.0.2.1"], 6: []}}`, in the kernel's order.

    IPv6 without brackets and in its one spelling. Link-local addresses are left out: they mean nothing beyond their
    link, so no message may carry them.
    """
    names: list[str] = netifaces.interfaces()
    return {name: {family: list(_addresses(name, family)) for family in _FAMILIES} for name in names}


def address_of(device: str, family: int, index: int, machine: Devices) -> str:
    """A device's address of `family` (4 or 6), the `index`-th counted from 0. Raises NoDevice."""
    if device not in machine:
        raise NoDevice(f"no device of that name; this machine has: {described(machine)}")
    found = machine[device].get(family, [])
    if not found:
        raise NoDevice(f"{device} has no IPv{family} address that can be used; this machine has: {described(machine)}")
    if index >= len(found):
        listed = ", ".join(f"{number} is {address}" for number, address in enumerate(found))
        raise NoDevice(f"{device} has {len(found)} IPv{family} address{'es' * (len(found) > 1)}: {listed}")
    return found[index]


def every_address(family: int, machine: Devices) -> list[tuple[str, str]]:
    """(address, device) for each address of the machine of one family; an address on several devices once."""
    found: dict[str, str] = {}
    for device, addresses in machine.items():
        for address in addresses.get(family, []):
            found.setdefault(address, device)
    return list(found.items())


def described(machine: Devices) -> str:
    """`eth0 (192.0.2.1, 2001:db8::1), lo (127.0.0.1, ::1)`: what the machine has, in the order of the alphabet."""
    lists = {name: [each for family in _FAMILIES for each in has.get(family, [])] for name, has in machine.items()}
    return ", ".join(f"{name} ({', '.join(lists[name]) or 'no address'})" for name in sorted(lists)) or "no device"


def _addresses(device: str, family: int) -> Iterator[str]:
    try:
        entries = netifaces.ifaddresses(device).get(_FAMILIES[family], [])
    except ValueError:  # the device went away a moment ago
        return
    for entry in entries:
        address = ip_address(entry["addr"].partition("%")[0])
        if not (address.version == 6 and address.is_link_local):
            yield str(address)
