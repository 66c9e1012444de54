"""The configuration as the rest of the bridge sees it: frozen, checked, every path absolute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from b2bua.call.limits import Limits
from b2bua.call.registrar import Terms
from b2bua.config.reading import File, Flag, Section, Text
from b2bua.net.certificates import SYSTEM, ServerFiles
from b2bua.policy.accounts import Account
from b2bua.policy.authentication import Realm
from b2bua.policy.body import Exceptions
from b2bua.policy.enrolling import Enrolling
from b2bua.policy.groups import Group
from b2bua.policy.hiding import Hiding
from b2bua.policy.media import NONE, MediaSettings
from b2bua.policy.mistakes import Mistake
from b2bua.policy.routing import Go, Rule
from b2bua.policy.script import Script
from b2bua.policy.zones import Zone
from b2bua.sip.listener import Listener
from b2bua.transaction.timers import Timers

PortOrNone = Annotated[int, Meta(ge=0, le=65535, description="must be a port, or 0 for none")]
HeaderNames = Annotated[frozenset[str], Meta(description='must be a list of header names: ["X-Account"]')]
MediaTypes = Annotated[frozenset[str], Meta(description='must be a list of media types: ["application/isup"]')]


class Override(Section, frozen=True, rename={"source": "from", "target": "to"}):
    """One [[hiding]]: from zone `source` to zone `target` these cross, or do not, whatever the table says.

    `keep` and `drop` name headers, `keep_bodies` and `drop_bodies` media types; `keep_location`: where somebody is too.
    """

    required: ClassVar = ("from", "to")
    source: Text = ""
    target: Text = ""
    keep: HeaderNames = frozenset()
    drop: HeaderNames = frozenset()
    keep_bodies: MediaTypes = frozenset()
    drop_bodies: MediaTypes = frozenset()
    keep_location: Flag = False

    def bodies(self) -> Exceptions:
        """What it says of bodies; ValueError for what cannot be."""
        return Exceptions(_lower(self.keep_bodies), _lower(self.drop_bodies), self.keep_location)


def _lower(kinds: frozenset[str]) -> frozenset[str]:
    """Media types do not heed case (RFC 2045 5.1)."""
    return frozenset(kind.lower() for kind in kinds)


class TlsOutwards(Section, frozen=True):
    """[tls], whom we trust when we connect: `ca` is "system" or a file of issuers; without `verify` anybody."""

    ca: File = SYSTEM
    verify: Flag = True


class Manhole(Section, frozen=True):
    """[manhole], where operators come in: telnet on `port`, SSH on `ssh_port`, 0 for neither; `users` may be empty."""

    address: Text = "127.0.0.1"
    port: PortOrNone = 5023
    users: File = ""
    ssh_port: PortOrNone = 0


class Log(Section, frozen=True):
    """[log]: `level` is the least severe that is written."""

    format: Annotated[Literal["text", "json"], Meta(description='must be "text" or "json"')] = "text"
    level: Annotated[
        Literal["debug", "info", "warn", "error", "critical"],
        Meta(description='must be "debug", "info", "warn", "error" or "critical"'),
    ] = "info"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What `load` read. `tls_files` has an entry for the name of each TLS listener.

    `dns` is empty where /etc/resolv.conf says, `user_agent` where nothing is said; `manhole` is None where there is
    none. `source_rate` is how many new requests a second may come from one address, 0 for any number. `policy` is the
    script's path and `script` the script, where there is one. `authentication` is None where nobody is asked for a
    password. `warnings` is what the operator should know.
    """

    path: str
    listeners: tuple[Listener, ...]
    tls_files: Mapping[str, ServerFiles]
    zones: Mapping[str, Zone]
    groups: Mapping[str, Group]
    rules: tuple[Rule, ...]
    registrar: Terms | None
    store: str
    networks: Mapping[str, str]
    hiding: tuple[Override, ...]
    media: MediaSettings
    timers: Timers
    call: Limits
    accounts: tuple[Account, ...]
    registrations: tuple[Enrolling, ...]
    source_rate: int
    tls: TlsOutwards
    dns: tuple[tuple[str, int], ...]
    log: Log
    user_agent: str
    manhole: Manhole | None
    policy: str
    script: Script | None
    authentication: Realm | None
    warnings: tuple[Mistake, ...]

    @property
    def anchors(self) -> bool:
        """Whether somebody may ask for a media engine."""
        routes = [rule.answer.options.media for rule in self.rules if isinstance(rule.answer, Go)]
        return self.media.given or self.script is not None or any(said not in ("", NONE) for said in routes)

    def hiding_tables(self) -> dict[tuple[str, str], Hiding]:
        """What may cross, by (source zone, target zone), for every two zones and each with itself."""
        overrides = {(each.source, each.target): each for each in self.hiding}
        tables = {}
        for source in self.zones.values():
            for target in self.zones.values():
                pair = source.name, target.name
                override = overrides.get(pair, Override())
                tables[pair] = Hiding(source, target, override.keep, override.drop, override.bodies())
        return tables
