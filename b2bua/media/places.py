"""Where a description wants its media, and whether we send there.

What a peer says is a claim: nothing is sent to a place that is no single host's, that is the machine's own, or that
the socket cannot reach. Names are not resolved: their media is met where the signalling comes from.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from b2bua.call.media import End
from b2bua.media.latch import Place
from b2bua.sip.grammar import Malformed, ipv6
from b2bua.sip.session import Connection, Media, Session

NOWHERE = {4: "0.0.0.0", 6: "::"}  # the addresses of a hold of old (RFC 3264 8.4)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Not reached from elsewhere (RFC 1918, 6598, 3927, 4193, 4291).
_INSIDE = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8")
] + [ipaddress.ip_network(text) for text in ("fc00::/7", "fe80::/10", "::1/128")]
_NO_HOSTS = [ipaddress.ip_network(text) for text in ("0.0.0.0/8", "240.0.0.0/4", "::ffff:0:0/96")]


class Wanted(NamedTuple):
    """Where a peer wants something; None: nowhere. `reachable`: whether we can send there before it has spoken."""

    place: Place | None
    reachable: bool = True


def read_address(host: str) -> Address | None:
    """An address of one host, in its one spelling; None for a name and for what no single host has."""
    try:
        address = ipaddress.ip_address(ipv6(host) if ":" in host else host)
    except (Malformed, ValueError):
        return None
    no_host = address.is_multicast or address.is_unspecified or any(address in net for net in _NO_HOSTS)
    return None if no_host else address


def is_group(host: str) -> bool:
    """Whether media there is for many: nothing that two legs could have between them."""
    try:
        return ipaddress.ip_address(ipv6(host) if ":" in host else host).is_multicast
    except (Malformed, ValueError):
        return False


def silent(where: Connection | None) -> bool:
    """Whether that is the address of a hold."""
    return where is not None and where.host in NOWHERE.values()


def wanted(session: Session, media: Media, end: End) -> tuple[Wanted, Wanted]:
    """Where a medium and its reports are wanted. Malformed for what cannot be read."""
    where = session.connection_of(media)
    port, other = media.rtcp
    if silent(where):
        return Wanted(None), Wanted(None)
    host = where.host if where is not None else end.signalling
    if media.has(b"rtcp-mux") or silent(other):
        return _wanted(host, media.port, end), _wanted(host, media.port + 1, end)
    return _wanted(host, media.port, end), _wanted(other.host if other is not None else host, port, end)


def _wanted(host: str, port: int, end: End) -> Wanted:
    """RFC 7362 4: a private address that is told from a public one is behind a NAT, and waits for its first packet."""
    is_name = ":" not in host and not host.replace(".", "").isdigit()
    address = read_address(end.signalling if is_name else host)
    if address is None or not 0 < port < 65536 or address.version != end.family:
        return Wanted(None)
    if address.is_loopback and not _loopback(end.bound):
        return Wanted(None)
    peer = read_address(end.signalling)
    behind = _inside(address) and peer is not None and not _inside(peer)
    return Wanted((str(address), port), not behind)


def _inside(address: Address) -> bool:
    return any(address in net for net in _INSIDE)


def _loopback(bound: str) -> bool:
    address = read_address(bound)
    return address is not None and address.is_loopback
