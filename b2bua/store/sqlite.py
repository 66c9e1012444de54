"""A store in a file of SQLite: what was put is there after a restart, and after a kill all but the last batch.

What is put waits in memory for a tenth of a second, or until a thousand rows are there; a thread writes it. Whoever
puts never waits for a disk.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import Condition, Thread

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

BATCH = 0.1  # seconds that a row waits for others
ROWS = 1000  # that do not wait
MOST = 500_000  # rows that wait while nothing can be written; further ones are lost
AGAIN = 1.0  # seconds until what could not be written is tried again
LOCKED = 5.0  # seconds to wait for another process that writes

_SCHEMA = "CREATE TABLE IF NOT EXISTS row (kind TEXT, key TEXT, value BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"
_PUT = "INSERT INTO row VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
_DROP = "DELETE FROM row WHERE kind = ? AND key = ?"

_Row = tuple[str, str]  # kind and key
_Batch = dict[_Row, bytes | None]  # None: the row is struck out


class SqliteStore:
    """One file. It is made, for its owner alone, when something is loaded or put."""

    log = Logger(namespace="b2bua")

    def __init__(self, path: str) -> None:
        self.path = path
        self._waiting: _Batch = {}
        self._changed = Condition()  # guards what is above and below
        self._closing = False
        self._writer: Thread | None = None

    def load(self, kind: str) -> Iterable[tuple[str, bytes]]:
        """Every row of a kind. Raises OSError where the file cannot be used."""
        try:
            connection = _opened(self.path)
            try:
                return connection.execute("SELECT key, value FROM row WHERE kind = ?", (kind,)).fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}")

    def put(self, kind: str, key: str, value: bytes) -> None:
        """A row; of several with one key only the last is written."""
        self._enter((kind, key), value)

    def drop(self, kind: str, key: str) -> None:
        """Strike a row out."""
        self._enter((kind, key), None)

    def close(self) -> Deferred[None]:
        """Fires when all is written, or cannot be."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._writer is None:
            return succeed(None)
        return deferToThread(self._writer.join)

    def _enter(self, row: _Row, value: bytes | None) -> None:
        with self._changed:
            number = len(self._waiting)
            if number < MOST or row in self._waiting:
                self._waiting[row] = value
                number = len(self._waiting)
            if number == 1 or number == ROWS:
                self._changed.notify()
        if self._writer is None:
            self._writer = Thread(target=self._write_on, name="store", daemon=True)
            self._writer.start()

    # In the writer's thread

    def _write_on(self) -> None:
        connection: sqlite3.Connection | None = None
        complained = ""
        while (batch := self._next()) is not None:
            try:
                if connection is None:
                    connection = _opened(self.path)
                _write(connection, batch)
                complained = ""
            except sqlite3.Error as error:
                if complained != str(error):
                    complained = str(error)
                    self.log.error("{path} cannot be written: {error}", path=self.path, error=complained)
                if connection is not None:
                    connection.close()
                    connection = None
                self._put_back(batch)
        if connection is not None:
            connection.close()

    def _next(self) -> _Batch | None:
        """What is to be written; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: len(self._waiting) >= ROWS or self._closing, BATCH)
            batch, self._waiting = self._waiting, {}
            return batch or None

    def _put_back(self, batch: _Batch) -> None:
        with self._changed:
            if not self._closing:
                self._waiting = {**batch, **self._waiting}
                self._changed.wait_for(lambda: self._closing, AGAIN)


def _opened(path: str) -> sqlite3.Connection:
    with suppress(OSError):  # it is there, or SQLite says what is wrong
        # Of a file that is there none may be opened and closed: SQLite's locks on it would end.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=LOCKED, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(_SCHEMA)
    return connection


def _write(connection: sqlite3.Connection, batch: Mapping[_Row, bytes | None]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(_DROP, [row for row, value in batch.items() if value is None])
        connection.executemany(_PUT, [(*row, value) for row, value in batch.items() if value is not None])
    except sqlite3.Error:
        connection.rollback()
        raise
    connection.execute("COMMIT")
