"""The house's own rules, read from the source: who may import whom, docstrings, lengths, samples, man pages."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from b2bua.config import ConfigurationError, load
from b2bua.net.development import make_development_certificate
from tests.programs import need

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "b2bua"

# What each room may import besides itself. Imports go down only.
CALL = {"sip", "transaction", "dialog", "policy"}
NET = CALL | {"call", "store"}
EVERY_ROOM = NET | {"net", "media", "ops", "config", "service"}
MAY_IMPORT: dict[str, set[str]] = {
    "sip": set(),
    "transaction": {"sip"},
    "dialog": {"sip", "transaction"},
    "policy": {"sip"},
    "call": CALL | {"store"},
    "net": NET,
    "media": NET | {"net"},
    "store": {"sip"},
    # The configuration asks net for certificates and devices; net is told its part of it in net's own values.
    "config": NET | {"net", "media"},
    "ops": EVERY_ROOM,
    "service": EVERY_ROOM,
}
# Values and decisions: neither Twisted nor a clock, a die or a socket of their own; they are given as arguments.
# What of socket is only arithmetic with addresses is allowed.
PURE = {"sip", "transaction", "dialog", "policy", "call"}
NOT_IN_PURE = {"twisted", "zope", "time", "random", "secrets", "socket", "select", "threading", "asyncio", "netifaces"}
ARITHMETIC = {"AF_INET", "AF_INET6", "inet_ntop", "inet_pton"}
LONGEST = 500  # lines


def sources() -> list[Path]:
    """Every Python file of the package."""
    return sorted(HOUSE.rglob("*.py"))


def room(path: Path) -> str:
    """The room in which a file stands: "sip" for b2bua/sip/uri.py, "config" for b2bua/config.py."""
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def where(path: Path, line: int, text: str) -> str:
    """One offence, as compilers print it."""
    return f"{path.relative_to(ROOT)}:{line}: {text}"


def only_for_types(node: ast.AST) -> bool:
    """Whether this is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def only_arithmetic(tree: ast.AST, outermost: str, inner: str) -> bool:
    """Whether a file takes of the socket module only what computes: by ``from socket import`` or by attribute."""
    if outermost != "socket":
        return False
    used = {inner} if inner else attributes(tree, "socket")
    return used <= ARITHMETIC


def attributes(tree: ast.AST, name: str) -> set[str]:
    """What is taken of a module by ``name.attribute``."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


def imports(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, full name) of each thing that a file imports, wherever in the file; relative names made absolute."""
    package = ("b2bua", *path.relative_to(HOUSE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else [])))
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a file is imported: not those within functions or for types only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or only_for_types(child):
            continue
        yield child
        yield from at_import(child)


class TestImports(SynchronousTestCase):
    """Imports go down only."""

    def offences(self, path: Path, tree: ast.AST) -> Iterator[str]:
        """What a file imports and may not."""
        here = room(path)
        for line, name in imports(path, tree):
            outermost, _, inner = name.partition(".")
            there = inner.partition(".")[0]
            if outermost == "b2bua" and there in EVERY_ROOM and there != here and there not in MAY_IMPORT[here]:
                yield where(path, line, f"{here} may not import {name}: imports go down only")
            if here in PURE and outermost in NOT_IN_PURE and not only_arithmetic(tree, outermost, inner):
                yield where(path, line, f"{here} may not import {name}: it is given as an argument")

    def test_imports_go_down_only(self) -> None:
        """Each file imports only from the rooms below its own (b2bua/__init__.py has the picture)."""
        found: list[str] = []
        for path in sources():
            if path.parent == HOUSE and path.name == "__init__.py":
                continue
            self.assertIn(room(path), MAY_IMPORT, f"{path.relative_to(ROOT)}: a room that the table does not know")
            found += self.offences(path, ast.parse(path.read_text()))
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_the_map_imports_nothing(self) -> None:
        """``import b2bua`` costs nothing and pulls in no room."""
        path = HOUSE / "__init__.py"
        found = [name for _, name in imports(path, ast.parse(path.read_text())) if name.startswith("b2bua")]
        self.assertEqual(found, [])

    def test_the_test_finds_offences(self) -> None:
        """An import upwards is found in each of its spellings."""
        path = HOUSE / "sip" / "example.py"
        for line in (
            "import b2bua.net",
            "import b2bua.net.wheel as wheel",
            "from b2bua import net",
            "from b2bua.net import wheel",
            "from ..net import wheel",
            "from .. import net",
            "def late() -> None:\n    from b2bua.net.wheel import Wheel",
            "from twisted.internet import defer",
            "import time",
        ):
            self.assertEqual(len(list(self.offences(path, ast.parse(line)))), 1, line)
        for line in ("from b2bua.sip.uri import Uri", "from .uri import Uri", "from . import uri", "import re"):
            self.assertEqual(list(self.offences(path, ast.parse(line))), [], line)

    def test_no_reactor_at_import(self) -> None:
        """No file below service and ops imports the global reactor when imported itself, which would install one."""
        found = [
            where(path, node.lineno, "imports the global reactor")
            for path in sources()
            if room(path) not in {"service", "ops"}
            for node in at_import(ast.parse(path.read_text()))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            and any(alias.name.rpartition(".")[2] == "reactor" for alias in node.names)
        ]
        self.assertFalse(found, "\n" + "\n".join(found))


class TestFiles(SynchronousTestCase):
    """What every file of the package has."""

    def test_docstrings(self) -> None:
        """Every file says what it is for."""
        trees = {path: ast.parse(path.read_text()) for path in sources()}
        found = [where(path, 1, "no docstring") for path, tree in trees.items() if not ast.get_docstring(tree)]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_every_room_is_a_package(self) -> None:
        """Every directory with a file in it has an __init__.py: else the tools that walk packages pass it by."""
        rooms = {path.parent for path in sources()}
        self.assertEqual([str(path) for path in sorted(rooms) if not (path / "__init__.py").exists()], [])

    def test_lengths(self) -> None:
        """Every file can be read in one sitting."""
        lengths = {path: len(path.read_text().splitlines()) for path in sources()}
        found = [where(path, lines, f"over {LONGEST} lines") for path, lines in lengths.items() if lines > LONGEST]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_no_blind_except_and_no_composed_names(self) -> None:
        """No bare ``except:``, and no attribute is looked up by a name that the peer could choose."""
        found: list[str] = []
        for path in sources():
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ExceptHandler) and node.type is None:
                    found.append(where(path, node.lineno, "bare except"))
                elif (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id == "getattr"
                    and isinstance(node.args[1], (ast.BinOp, ast.JoinedStr))
                ):
                    found.append(where(path, node.lineno, "getattr with a composed name"))
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_the_rooms_are_on_the_map(self) -> None:
        """The docstring of b2bua/__init__.py names every room there is."""
        text = ast.get_docstring(ast.parse((HOUSE / "__init__.py").read_text())) or ""
        rooms = {room(path) for path in sources()} - {"__init__"}
        self.assertEqual([name for name in sorted(rooms) if name not in text], [])

    def test_twisted_stays_twisteds(self) -> None:
        """A package file in twisted/ or twisted/plugins/ would hide Twisted itself."""
        self.assertEqual([str(path) for path in (ROOT / "twisted").rglob("__init__.py")], [])


class TestSamples(SynchronousTestCase):
    """The configurations that come with the bridge."""

    def test_they_load(self) -> None:
        """Every sample configuration loads without a mistake, on a machine with two cards and a certificate."""
        etc = Path(self.mktemp()) / "etc"
        shutil.copytree(ROOT / "etc", etc, ignore=shutil.ignore_patterns("tls"))
        make_development_certificate(etc / "tls")
        machine = {
            "lo": {4: ["127.0.0.1"], 6: ["::1"]},
            "eth0": {4: ["192.0.2.1"], 6: ["2001:db8::1"]},
            "eth1": {4: ["10.0.0.1"], 6: ["fd00::1"]},
        }
        samples = sorted(etc.rglob("*.toml"))
        self.assertIn(etc / "b2bua.toml", samples)
        self.assertIn(etc / "examples" / "media-servers.toml", samples)
        for sample in samples:
            try:
                load(str(sample), machine)
            except ConfigurationError as error:
                self.fail(f"{sample.relative_to(etc)}:\n" + "\n".join(str(mistake) for mistake in error.mistakes))


class TestManPages(SynchronousTestCase):
    """The manual."""

    def test_they_are_there_and_well_formed(self) -> None:
        """mandoc finds nothing to warn of in any page."""
        mandoc = need("mandoc")
        pages = sorted(str(page) for page in (ROOT / "man").glob("*.[1-9]"))
        for page in ("b2bua.8", "b2bua.toml.5", "b2bua-policy.5", "b2bua-hiding.5"):
            self.assertIn(str(ROOT / "man" / page), pages)
        lint = subprocess.run([mandoc, "-Tlint", "-Wwarning", *pages], capture_output=True, text=True, check=False)
        self.assertEqual(lint.stdout + lint.stderr, "")
        self.assertEqual(lint.returncode, 0)
