"""SIP over TLS: a listening port whose certificates may change under it (S51)."""

from __future__ import annotations

from typing import Any

from b2bua.net.certificates import ServerCertificates
from b2bua.net.connections import Connections, Inbound, over_tls
from b2bua.net.transports.tcp import BACKLOG
from b2bua.sip.listener import Listener


def listen(reactor: Any, listener: Listener, connections: Connections, certificates: ServerCertificates) -> Any:
    """Listen; returns Twisted's port. Raises CannotListenError."""
    factory = over_tls(certificates, False, Inbound(listener, connections))
    return reactor.listenTCP(listener.port, factory, BACKLOG, listener.address)
