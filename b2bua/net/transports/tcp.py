"""SIP over TCP: a listening port."""

from __future__ import annotations

from typing import Any

from b2bua.net.connections import Connections, Inbound
from b2bua.sip.listener import Listener

BACKLOG = 1024


def listen(reactor: Any, listener: Listener, connections: Connections) -> Any:
    """Listen; returns Twisted's port. Raises CannotListenError."""
    return reactor.listenTCP(listener.port, Inbound(listener, connections), BACKLOG, listener.address)
