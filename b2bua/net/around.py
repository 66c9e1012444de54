"""Who is around the switchboard: what it asks of the hall, of a socket, and of whoever watches."""

from __future__ import annotations

from typing import Protocol

from b2bua.sip.listener import Connection, Flow
from b2bua.sip.message import Request
from b2bua.transaction.transaction import ServerTransaction


class Guests(Protocol):
    """Who takes the requests that no transaction knows: the hall."""

    def request(self, transaction: ServerTransaction) -> None:
        """A new request."""

    def ack(self, ack: Request) -> None:
        """An ACK for a 2xx."""

    def closed(self, connection: Connection) -> None:
        """A connection is gone, or could not be made."""

    def keeps(self, connection: Connection) -> bool:
        """Whether somebody is to be reached by a connection, though nothing is said on it."""


class Datagrams(Protocol):
    """A UDP listener's socket."""

    def send(self, data: bytes, host: str, port: int) -> str:
        """Send; what went wrong, or an empty string."""


class Trace(Protocol):
    """Who wants to see every message of some calls."""

    def message(self, flow: Flow, outward: bool, data: bytes) -> None:
        """One message as it stands on the wire."""
