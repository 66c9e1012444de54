"""A TCP transport whose writes reach the socket at once: by Twisted's own each waits for two turns of the reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection


def direct(transport: Any) -> Any:
    """The same transport, with direct writes where it is one of TCP."""
    return Direct(transport) if isinstance(transport, Connection) else transport


class Direct:
    """Twisted's transport in all but `write`.

    As soon as the socket does not take all that it is given, the transport has the writing for good.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._direct = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send `data`; what the socket does not take goes when it can."""
        if self._direct and self._transport.connected:
            try:
                taken = self._transport.getHandle().send(data)
            except OSError:
                taken = 0
            if taken == len(data):
                return
            self._direct = False
            data = data[taken:]
        self._transport.write(data)
