"""The manual leaves nothing out: every key, command, option and attribute that there is, and no other."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from b2bua.config import SECTIONS, load
from b2bua.config.authentication import AuthenticationEntry
from b2bua.config.groups import GroupEntry, MemberEntry
from b2bua.config.media import BetweenEntry, DaemonEntry, EngineEntry, MediaEntry
from b2bua.config.reading import Section
from b2bua.config.registrar import RegistrarEntry
from b2bua.config.rest import CallEntry, DnsEntry, LimitsEntry, TimersEntry, TopEntry
from b2bua.config.routes import RouteEntry
from b2bua.config.sockets import CertificateEntry, ListenerEntry, ZoneEntry
from b2bua.config.trunks import CredentialsEntry, RegistrationEntry
from b2bua.config.values import Log, Manhole, Override, TlsOutwards
from b2bua.ops import cli
from b2bua.ops.commands import Commands
from b2bua.policy.rules import KINDS
from b2bua.policy.script import RequestView

PAGES = Path(__file__).resolve().parent.parent / "man"
TABLES: dict[str, type[Section]] = {
    "zone": ZoneEntry,
    "listener": ListenerEntry,
    "registrar": RegistrarEntry,
    "group": GroupEntry,
    "route": RouteEntry,
    "media": MediaEntry,
    "engine": EngineEntry,
    "hiding": Override,
    "timers": TimersEntry,
    "call": CallEntry,
    "limits": LimitsEntry,
    "tls": TlsOutwards,
    "dns": DnsEntry,
    "authentication": AuthenticationEntry,
    "credentials": CredentialsEntry,
    "registration": RegistrationEntry,
    "manhole": Manhole,
    "log": Log,
}


def keys(section: type[Section]) -> set[str]:
    """The keys of one table of the file."""
    return {field.encode_name for field in msgspec.structs.fields(section)}


class TestConfiguration(SynchronousTestCase):
    """b2bua.toml(5)."""

    def setUp(self) -> None:
        """The page, part by part."""
        self.page = (PAGES / "b2bua.toml.5").read_text()
        parts = re.split(r"^\.S[sh] ", self.page, flags=re.M)
        self.parts = {part.split("]")[0].lstrip("["): part for part in parts if part.startswith("[")}
        self.parts[""] = next(part for part in parts if part.startswith("KEYS"))

    def told(self, part: str) -> set[str]:
        """The keys that have an entry in a part of the page."""
        entries = re.findall(r"^\.It ((?:Ic .*)+)$", self.parts[part], re.M)
        return {word for entry in entries for word in re.findall(r"\b[a-z]\w+", entry.replace("Ic", ""))}

    def test_every_table(self) -> None:
        """Each table of the file has its part."""
        self.assertEqual(set(TABLES) | {"networks"} | keys(TopEntry), set(SECTIONS))
        self.assertEqual(set(self.parts) - {""}, set(TABLES) | {"networks"})

    def test_every_key(self) -> None:
        """Each key of each table is there, and none that is not read."""
        for name, section in TABLES.items():
            wanted = keys(section) | (set(KINDS) if name == "route" else set())
            self.assertEqual(self.told(name), wanted, name)
        self.assertEqual(self.told(""), keys(TopEntry))
        for key in keys(CertificateEntry):
            self.assertIn(key, self.parts["listener"])
        for key in keys(MemberEntry):
            self.assertIn(f"Ql {key}", self.parts["group"])
        for key in keys(BetweenEntry):
            self.assertIn(f"{key} = ", self.parts["media"])
        for key in keys(DaemonEntry):
            self.assertIn(f"{key} = ", self.parts["engine"])

    def test_the_example(self) -> None:
        """The page's example is a configuration without mistakes."""
        example = self.page.split(".Bd -literal -offset indent\n")[1].split(".Ed")[0]
        path = Path(self.mktemp())
        path.write_text(example)
        machine = {"eth0": {4: ["192.0.2.1"], 6: []}, "eth1": {4: ["10.0.0.1"], 6: []}}
        self.assertEqual(len(load(str(path), machine).rules), 1)


class TestCommands(SynchronousTestCase):
    """b2bua(8)."""

    def setUp(self) -> None:
        """The page."""
        self.page = (PAGES / "b2bua.8").read_text()

    def test_every_command(self) -> None:
        """Each command with each of its options and arguments."""
        (commands,) = (each for each in cli._parser()._actions if isinstance(each, argparse._SubParsersAction))
        for name, parser in commands.choices.items():
            self.assertIn(f".Cm {name}\n", self.page)
            self.assertRegex(self.page, rf"\n\.It Cm {name}\b")
            for action in parser._actions:
                for option in action.option_strings:
                    if option not in ("-h", "--help"):
                        self.assertRegex(self.page, rf"(?m)Fl {option[1:]}( |$)")

    def test_every_command_of_the_manhole(self) -> None:
        """Each with its arguments."""
        for name in Commands.NAMES:
            method = Commands.__dict__[name]
            arguments = method.__code__.co_varnames[1 : method.__code__.co_argcount]
            found = re.search(rf"^\.It Fn {name}(.*)$", self.page, re.M)
            assert found is not None, name
            self.assertEqual(len(re.findall(r'"[^"]+"', found.group(1))), len(arguments), name)


class TestPolicy(SynchronousTestCase):
    """b2bua-policy(5)."""

    def test_every_attribute(self) -> None:
        """What a request has for a policy."""
        page = (PAGES / "b2bua-policy.5").read_text()
        part = page.split(".Ss The request\n")[1].split(".Ss ")[0]
        told = set(re.findall(r"\b[a-z]\w+", " ".join(re.findall(r"^\.It F[an] (\w+(?: , \w+)*)", part, re.M))))
        told.add("to")
        self.assertEqual(told, {name for name in vars(RequestView) if not name.startswith("_")})
