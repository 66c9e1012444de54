"""A store that lasts as long as the process: for who does not mind that its phones register again."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred, succeed


class MemoryStore:
    """Keeps nothing at all: what is in use is in memory already, and at the start there is nothing to load."""

    def load(self, kind: str) -> Iterable[tuple[str, bytes]]:
        """Nothing."""
        return ()

    def put(self, kind: str, key: str, value: bytes) -> None:
        """Nothing is kept."""

    def drop(self, kind: str, key: str) -> None:
        """Nothing was kept."""

    def close(self) -> Deferred[None]:
        """At once."""
        return succeed(None)
