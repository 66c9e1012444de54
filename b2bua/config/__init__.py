"""The configuration file: TOML in, one frozen value out, or every mistake in it at once.

    configuration = load("etc/b2bua.toml")

The format is in b2bua.toml(5). One file here reads one part: `sockets` the listeners, `groups` the
groups of next hops, `registrar` who may register, `authentication` who may come in, `routes` the rules, `media` who
carries media, `trunks` what we are to carriers, `rest` what is smaller; `reading` knows nothing of SIP; `cautions`
warns of what works but not as one might think.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from b2bua.config.authentication import read_authentication
from b2bua.config.cautions import caution, open_registrar, same_realm
from b2bua.config.groups import read_groups
from b2bua.config.media import read_engines, read_media
from b2bua.config.reading import Reading
from b2bua.config.registrar import read_registrar
from b2bua.config.rest import read_hiding, read_manhole, read_networks, read_policy, read_rest, read_top
from b2bua.config.routes import read_routes
from b2bua.config.sockets import read_listeners, read_zones
from b2bua.config.trunks import read_accounts, read_registrations
from b2bua.config.values import Configuration, Log, Manhole, Override, TlsOutwards
from b2bua.net.devices import Devices, devices
from b2bua.policy.mistakes import NOTHING, ConfigurationError, Mistake

__all__ = [
    "Configuration",
    "ConfigurationError",
    "Log",
    "Manhole",
    "Mistake",
    "Override",
    "TlsOutwards",
    "load",
]

SECTIONS = frozenset(
    (
        "policy user_agent timers call limits zone listener tls registrar group route credentials registration "
        "networks media engine hiding dns manhole log authentication"
    ).split()
)


def load(path: str, machine: Devices | None = None) -> Configuration:
    """The configuration in the file `path`; paths in it are relative to it.

    `machine` is what this machine has for devices, when it is not to be asked. Raises ConfigurationError with every
    mistake; what is allowed but doubtful is in the value's `warnings`.
    """
    reading = Reading(path, _parse(path))
    reading.unknown_keys(reading.raw, "", SECTIONS)
    zones = read_zones(reading)
    sockets = read_listeners(reading, zones, devices() if machine is None else machine)
    registrar, store = read_registrar(reading, sockets)
    groups = read_groups(reading, sockets)
    engines = read_engines(reading, zones)
    media = read_media(reading, zones, sockets, engines)
    rules = read_routes(reading, sockets, groups, engines)
    accounts = read_accounts(reading, sockets, groups)
    registrations = read_registrations(reading, sockets, groups, accounts)
    networks = read_networks(reading, sockets)
    hiding = read_hiding(reading, zones)
    rest = read_rest(reading)
    top = read_top(reading)
    manhole = read_manhole(reading, sockets.listeners)
    policy, script = read_policy(reading, top.policy)
    authentication = read_authentication(reading, zones, script)
    if reading.mistakes:
        raise ConfigurationError(reading.mistakes)
    phones = registrar.zones if registrar else ()
    caution(reading, sockets.listeners, groups, rules, script is not None, phones, media)
    if registrar is not None:
        open_registrar(reading, zones.values(), registrar, sockets.listeners, rules)
    if authentication is not None:
        same_realm(reading, authentication, accounts)
    return Configuration(
        path=path,
        listeners=sockets.listeners,
        tls_files=sockets.tls_files,
        zones=zones,
        groups=groups,
        rules=rules,
        registrar=registrar,
        store=store,
        networks=networks,
        hiding=hiding,
        media=media,
        timers=rest.timers,
        call=rest.call,
        accounts=accounts,
        registrations=registrations,
        source_rate=rest.source_rate,
        tls=rest.tls,
        dns=rest.dns,
        log=rest.log,
        user_agent=top.user_agent,
        manhole=manhole,
        policy=policy,
        script=script,
        authentication=authentication,
        warnings=tuple(reading.warnings),
    )


def _parse(path: str) -> dict[str, object]:
    try:
        return tomllib.loads(Path(path).read_bytes().decode("utf-8"))
    except FileNotFoundError:
        message = "no such file"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at octet {error.start}"
    except tomllib.TOMLDecodeError as error:
        message = f"not TOML: {error}"
    raise ConfigurationError([Mistake(path, "", NOTHING, message)])
