"""A configured local socket as the wire sees it, and the two ends of a message's way.

Where is our Contact written? Here: every Via sent-by and Contact of ours comes from a `Listener` (S9).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from b2bua.sip.grammar import bracketed, is_address
from b2bua.sip.uri import DEFAULT_PORTS, Uri


@dataclass(frozen=True, slots=True)
class Listener:
    """One configured local socket: transport, bound address, port, advertised address, zone.

    `transport` is `udp`, `tcp` or `tls`; `address` has no brackets. An empty `advertise_host` and an
    `advertise_port` of 0 mean: what is bound.
    """

    name: str
    zone: str
    transport: str
    address: str
    port: int
    advertise_host: str = ""
    advertise_port: int = 0
    aliases: tuple[str, ...] = ()
    device: str = ""
    force_rport: bool = False
    family: int = field(init=False)
    host: str = field(init=False)
    sent_by: str = field(init=False)
    via: str = field(init=False)
    media_address: str = field(init=False)
    _contact_end: str = field(init=False, repr=False)
    _names: frozenset[tuple[str, int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fill = object.__setattr__  # a frozen value computes its derived fields once, here
        host = self.advertise_host or self.address
        port = self.advertise_port or self.port
        fill(self, "family", 6 if ":" in self.address else 4)
        fill(self, "host", bracketed(host))
        fill(self, "sent_by", f"{bracketed(host)}:{port}")
        fill(self, "via", f"SIP/2.0/{self.transport.upper()} {self.sent_by}")
        fill(self, "media_address", host if is_address(host) else self.address)
        fill(self, "_contact_end", f"@{self.sent_by};transport={self.transport}>")
        ports = {port, self.port}
        names = {name.lower() for name in (host, self.address, *self.aliases)}
        fill(self, "_names", frozenset((name, number) for name in names for number in ports))

    def contact(self, user: str, secure: bool = False) -> str:
        """The Contact of a leg on this listener; `sips` when the request that made the dialog was (S14)."""
        if secure:
            return f"<sips:{user}@{self.sent_by}>"
        return f"<sip:{user}{self._contact_end}"

    def via_with(self, branch: str) -> str:
        """Our Via on a request; `rport` always, so that answers find their way through a NAT (S11).

        On a stream also `keep`: we would send keep-alives, if the peer says that it answers them (RFC 6223).
        """
        keep = "" if self.transport == "udp" else ";keep"
        return f"{self.via};branch={branch};rport{keep}"

    def is_me(self, uri: Uri) -> bool:
        """Whether a URI names this socket: bound, advertised or alias name, with its port and transport (S10)."""
        transport = "tls" if uri.secure else uri.transport
        if transport and transport != self.transport:
            return False
        port = uri.port or DEFAULT_PORTS.get(transport or self.transport, 5060)
        return (uri.host.lower(), port) in self._names


class Connection:
    """What a stream flow needs of its connection; the transports have the real ones."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Send `data`; never raises. A connection that is gone drops it and says so to its owner."""
        raise NotImplementedError

    @property
    def alive(self) -> bool:
        """Whether anything written can still arrive."""
        raise NotImplementedError

    def expect(self, seconds: float) -> None:
        """The peer has promised to let hear of itself as often as that; else it is gone (RFC 5626 6)."""


class Flow:
    """The way a message took or is to take: our listener, the far address, and a stream's connection if there is one.

    `host` has no brackets; `tls_name` is what the certificate must say where we connect over TLS (S50). `fixed`: it is
    the one way to the peer, whatever its Contact says and however long a message is: that of a registration (S53).
    """

    __slots__ = ("listener", "host", "port", "connection", "tls_name", "fixed")

    def __init__(
        self,
        listener: Listener,
        host: str,
        port: int,
        connection: Connection | None = None,
        tls_name: str = "",
        fixed: bool = False,
    ) -> None:
        self.listener = listener
        self.host = host
        self.port = port
        self.connection = connection
        self.tls_name = tls_name
        self.fixed = fixed

    def back(self) -> Flow:
        """The one way to who sent something by this one: a phone that is registered has no other (S53)."""
        return Flow(self.listener, self.host, self.port, self.connection, "", True)

    def unconnected(self) -> Flow:
        """The same two ends, without a connection between them."""
        return Flow(self.listener, self.host, self.port, None, self.tls_name, self.fixed)

    def same_end(self, other: Flow) -> bool:
        """Whether another leads from the same socket of ours to the same address, by whatever connection."""
        return (self.listener, self.host, self.port) == (other.listener, other.host, other.port)

    def same_way(self, other: Flow) -> bool:
        """Whether another is the same way: the same connection or, where neither has one, the same two ends."""
        if self.connection is not None or other.connection is not None:
            return self.connection is other.connection
        return self.same_end(other)

    def __repr__(self) -> str:
        return f"{self.listener.transport} {self.listener.sent_by} <-> {bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request is to go: an address, never a name. `tls_name` is what the certificate must say (S50)."""

    transport: str
    host: str
    port: int
    tls_name: str = ""

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.host else 4

    def __str__(self) -> str:
        return f"{self.transport}:{bracketed(self.host)}:{self.port}"
