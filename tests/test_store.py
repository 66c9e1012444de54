"""Stores: what was put is there after a restart; after a kill all but the last batch."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

import b2bua
from b2bua.store import open_store, path_of
from b2bua.store import sqlite as sqlite_store
from b2bua.store.memory import MemoryStore
from b2bua.store.sqlite import ROWS, SqliteStore

_KINDS, _KEYS = st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "é z", ""])
_STEPS = st.lists(st.tuples(_KINDS, _KEYS, st.one_of(st.none(), st.binary(max_size=20))), max_size=40)

KILLED = """
import sys, time
from b2bua.store.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
number = 0
while True:
    number += 1
    store.put("n", str(number), b"")
    print(number, flush=True)
    time.sleep(0.0005)
"""


async def _until(happened: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    for _ in range(500):
        if happened():
            return
        await deferLater(reactor, 0.02)
    raise AssertionError("it did not happen in 10 s")


def _files(path: str) -> list[Path]:
    """A store's file, and those that SQLite has beside it."""
    return sorted(Path(path).parent.glob(f"{Path(path).name}*"))


class TestNames(SynchronousTestCase):
    """URLs of stores."""

    def test_urls(self) -> None:
        """memory: and sqlite:///; anything else is a mistake."""
        self.assertIsInstance(open_store("memory:"), MemoryStore)
        self.assertIsInstance(open_store("sqlite:///x"), SqliteStore)
        self.assertEqual((path_of("sqlite:///a/b"), path_of("sqlite:////a/b")), ("a/b", "/a/b"))
        for url in ("", "memory", "sqlite://x", "sqlite:///", "/x"):
            self.assertRaises(ValueError, path_of, url)

    def test_memory(self) -> None:
        """It has nothing to give back."""
        store = open_store("memory:")
        store.put("a", "x", b"1")
        store.drop("a", "x")
        self.assertEqual(list(store.load("a")), [])
        self.successResultOf(store.close())


class TestSqlite(TestCase):
    """The file."""

    def setUp(self) -> None:
        self.path = str(Path(self.mktemp()).absolute())

    async def test_rows_last(self) -> None:
        """Rows of a kind come back, the last value of each; those that were dropped do not."""
        store = SqliteStore(self.path)
        for key, value in (("x", b"1"), ("x", b"2"), ("y", b"3"), ("z", b"4")):
            store.put("a", key, value)
        store.put("b", "x", b"5")
        store.drop("a", "z")
        store.drop("a", "never")
        await store.close()
        again = SqliteStore(self.path)
        self.assertEqual(sorted(again.load("a")), [("x", b"2"), ("y", b"3")])
        self.assertEqual(list(again.load("b")), [("x", b"5")])
        again.drop("a", "x")
        await again.close()
        self.assertEqual(sorted(SqliteStore(self.path).load("a")), [("y", b"3")])

    async def test_private(self) -> None:
        """Other users of the machine do not read what is in it, whatever the umask; a file that is there stays."""
        self.addCleanup(os.umask, os.umask(0o022))
        store = SqliteStore(self.path)
        self.assertEqual(list(store.load("a")), [])
        store.put("a", "x", b"1")
        await _until(lambda: list(SqliteStore(self.path).load("a")))
        modes = {each.name.partition("-")[2]: oct(each.stat().st_mode & 0o777) for each in _files(self.path)}
        await store.close()
        self.assertEqual(modes, {"": "0o600", "wal": "0o600", "shm": "0o600"})
        os.chmod(self.path, 0o640)
        self.assertEqual(list(SqliteStore(self.path).load("a")), [("x", b"1")])
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o640)

    async def test_close_at_once(self) -> None:
        """A store that was only read, or not even that, makes no thread."""
        await SqliteStore(self.path).close()
        store = SqliteStore(self.path)
        self.assertEqual(list(store.load("a")), [])
        await store.close()

    async def test_most(self) -> None:
        """While nothing can be written only so many rows wait; one that waits already may change."""
        self.patch(sqlite_store, "MOST", 2)
        self.patch(sqlite_store, "AGAIN", 0.05)
        store = SqliteStore(str(Path(self.path) / "file"))
        for key, value in (("x", b"1"), ("y", b"1"), ("z", b"1"), ("x", b"2")):
            store.put("a", key, value)
        Path(self.path).mkdir()
        await _until(lambda: dict(SqliteStore(store.path).load("a")) == {"x": b"2", "y": b"1"})
        await store.close()

    async def test_many(self) -> None:
        """More than a batch."""
        store = SqliteStore(self.path)
        for number in range(3 * ROWS):
            store.put("a", str(number), b"")
        await store.close()
        self.assertEqual(len(list(SqliteStore(self.path).load("a"))), 3 * ROWS)

    def hear(self) -> list[str]:
        """What is logged from now on."""
        told: list[str] = []

        def hear(event: LogEvent) -> None:
            told.extend([str(event["log_format"])] if event.get("log_format") else [])

        observer: Any = hear
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return told

    async def test_another_table(self) -> None:
        """A file that has other tables than ours: said once, and the end does not wait for it."""
        self.patch(sqlite_store, "AGAIN", 0.05)
        connection = sqlite3.connect(self.path)
        connection.execute("CREATE TABLE row (kind)")
        connection.close()
        store, told = SqliteStore(self.path), self.hear()
        store.put("a", "x", b"1")
        await _until(lambda: told)
        await deferLater(reactor, 0.4)
        store.put("a", "y", b"1")
        await store.close()
        self.assertEqual(len(told), 1)

    async def test_what_cannot_be_written(self) -> None:
        """It is said once, and tried again until it can be."""
        folder = Path(self.path)
        store = SqliteStore(str(folder / "file"))
        store.put("a", "x", b"1")
        told = self.hear()
        await _until(lambda: any("cannot be written" in text for text in told))
        store.put("a", "x", b"2")
        folder.mkdir()
        await _until(lambda: (folder / "file").exists() and list(SqliteStore(store.path).load("a")))
        await store.close()
        self.assertEqual(list(SqliteStore(store.path).load("a")), [("x", b"2")])

    async def test_not_a_database(self) -> None:
        """A file of another kind is left alone, and the start fails."""
        Path(self.path).write_text("nothing of the kind, but long enough to be looked at as a database " * 20)
        error = self.assertRaises(OSError, SqliteStore(self.path).load, "a")
        self.assertIn(self.path, str(error))

    async def test_property(self) -> None:
        """Whatever is put and dropped: what there was at the close is there when it is opened again."""
        taken: list[list[tuple[str, str, bytes | None]]] = []

        @settings(max_examples=30, deadline=None)
        @given(_STEPS)
        def take(steps: list[tuple[str, str, bytes | None]]) -> None:
            taken.append(steps)

        take()
        model: dict[tuple[str, str], bytes] = {}
        for steps in taken:
            store = SqliteStore(self.path)
            for kind, key, value in steps:
                if value is None:
                    store.drop(kind, key)
                    model.pop((kind, key), None)
                else:
                    store.put(kind, key, value)
                    model[kind, key] = value
            await store.close()
            for kind in ("a", "b"):
                expected = {key: value for (of, key), value in model.items() if of == kind}
                self.assertEqual(dict(SqliteStore(self.path).load(kind)), expected)

    def test_killed(self) -> None:
        """After kill -9 the rows are there in the order in which they were put; only the last batch is missing."""
        environment = {**os.environ, "PYTHONPATH": str(Path(b2bua.__file__).parent.parent)}
        words = [sys.executable, "-c", KILLED, self.path]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        assert child.stdout is not None
        last, enough = 0, sys.maxsize
        for line in child.stdout:
            last = int(line)
            if last % 100 == 0 and enough == sys.maxsize and list(SqliteStore(self.path).load("n")):
                enough = last + 500
            if last > enough:
                break
        os.kill(child.pid, signal.SIGKILL)
        child.stdout.close()
        child.wait()
        kept = sorted(int(key) for key, _ in SqliteStore(self.path).load("n"))
        self.assertEqual(kept, list(range(1, len(kept) + 1)))
        self.assertGreater(len(kept), 0)
        self.assertLess(last - len(kept), 2 * ROWS)
        with sqlite3.connect(self.path) as connection:
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        connection.close()
