"""What must outlive the process, behind one small interface: rows of octets by kind and key.

`open_store("sqlite:///var/lib/b2bua/state.sqlite")` or `open_store("memory:")`. One file here is one kind of store.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

MEMORY = "memory:"
SQLITE = "sqlite:///"  # and a path: absolute with a fourth slash


class Store(Protocol):
    """Rows that last. What is put or dropped may be written a little later, in the order in which it came."""

    def load(self, kind: str) -> Iterable[tuple[str, bytes]]:
        """Every row of a kind, as (key, value). For the start: it may take its time."""

    def put(self, kind: str, key: str, value: bytes) -> None:
        """Write a row, in place of one that has this key. Returns at once."""

    def drop(self, kind: str, key: str) -> None:
        """Strike a row out, if it is there. Returns at once."""

    def close(self) -> Deferred[None]:
        """Write what is not written yet; fires when all is. Nothing may be put any more."""


def path_of(url: str) -> str:
    """The file that a store's URL names, empty where it names none. Raises ValueError for what is no store's URL."""
    if url == MEMORY:
        return ""
    path = url.removeprefix(SQLITE)
    if path == url or not path:
        raise ValueError('must be "memory:" or "sqlite:///" and the path of a file')
    return path


def open_store(url: str) -> Store:
    """The store that a URL names. Raises ValueError; what is wrong with its file is found when it is loaded."""
    path = path_of(url)
    if not path:
        from b2bua.store.memory import MemoryStore

        return MemoryStore()
    from b2bua.store.sqlite import SqliteStore

    return SqliteStore(path)
