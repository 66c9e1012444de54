"""The four ways through a server. The caller's address stands nowhere but in its own Via and Contact."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.processes import Socket


@dataclass(frozen=True, slots=True)
class Variant:
    """One way in and one way out, all on loopback addresses."""

    letter: str
    title: str
    caller: str                                 # the caller's address
    outside: Socket                             # where the server meets the caller
    inside: Socket                              # where the server meets the callee
    transport: str                              # towards the callee, as in a URI: udp, tcp, tls
    callee: Socket = Socket("udp", "127.0.0.12", 5080)      # SIPp
    front: Socket | None = None                 # the TLS front before SIPp, which speaks no TLS in Debian

    @property
    def contact_port(self) -> int:
        """The port in the callee's Contact, which is where the server sends to."""
        return (self.front or self.callee).port

    def server_sockets(self) -> list[Socket]:
        return [self.outside, self.inside]

    def phone_sockets(self) -> list[Socket]:
        return [Socket("udp", self.caller, CALLER_PORT), self.callee, *([self.front] if self.front else [])]


CALLER_PORT = 5070
_OUTSIDE = Socket("udp", "127.0.0.1", 5060)
_TCP_CALLEE = Socket("tcp", "127.0.0.12", 5080)

VARIANTS = {variant.letter: variant for variant in (
    Variant("a", "UDP → UDP", "127.0.0.11", _OUTSIDE, Socket("udp", "127.0.0.2", 5060), "udp"),
    Variant("b", "UDP → TCP", "127.0.0.11", _OUTSIDE, Socket("tcp", "127.0.0.2", 5060), "tcp", _TCP_CALLEE),
    Variant("c", "UDP → TLS", "127.0.0.11", _OUTSIDE, Socket("tcp", "127.0.0.2", 5061), "tls", _TCP_CALLEE,
            Socket("tcp", "127.0.0.12", 5081)),
    Variant("d", "IPv6 UDP → IPv4 UDP", "::1", Socket("udp", "::1", 5060), Socket("udp", "127.0.0.2", 5060), "udp"),
)}
