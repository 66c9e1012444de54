"""[registrar]: whom phones register with, for how long, and where that is kept."""

from __future__ import annotations

import os
from typing import Annotated

from msgspec import Meta

from b2bua.call.registrar import Terms
from b2bua.config.reading import Flag, Reading, Section, Text, Texts
from b2bua.config.sockets import Sockets, check_zones
from b2bua.sip.grammar import Malformed, parse_host
from b2bua.store import SQLITE, path_of

_TERMS = Terms()  # the defaults
_YEAR = 31_536_000
DEFAULT_STORE = f"{SQLITE}registrations.sqlite"

Interval = Annotated[int, Meta(ge=1, le=_YEAR, description="must be whole seconds, from 1 to a year")]
Bindings = Annotated[int, Meta(ge=1, le=1000, description="must be a whole number, from 1 to 1000")]
Users = Annotated[int, Meta(ge=1, le=10_000_000, description="must be a whole number, from 1 to 10,000,000")]

Pause = Annotated[float, Meta(ge=0, le=3600, description="must be seconds, up to an hour; 0 for never")]
Throttle = Annotated[int, Meta(ge=0, le=86_400, description="must be whole seconds, up to a day; 0 for none")]


class RegistrarEntry(Section, frozen=True):
    """[registrar]."""

    domains: Texts = []
    zones: Texts = []
    min_expires: Interval = _TERMS.min_expires
    default_expires: Interval = _TERMS.default_expires
    max_expires: Interval = _TERMS.max_expires
    max_bindings: Bindings = _TERMS.max_bindings
    max_users: Users = _TERMS.max_users
    max_per_user: Users = _TERMS.max_per_user
    foreign_contacts: Flag = _TERMS.foreign_contacts
    nat_ping: Pause = _TERMS.nat_ping
    throttle: Throttle = _TERMS.throttle
    phone_expires: Interval = _TERMS.phone_expires
    store: Text = DEFAULT_STORE


def read_registrar(reading: Reading, sockets: Sockets) -> tuple[Terms | None, str]:
    """[registrar], and its store's URL with an absolute path; None and nothing where there is none."""
    if "registrar" not in reading.raw:
        return None, ""
    value = reading.section(RegistrarEntry, "registrar").value
    for domain in value.domains:
        _check_domain(reading, domain)
    check_zones(reading, "registrar.zones", value.zones, sockets.zones)
    if not value.min_expires <= value.max_expires:
        right = f"must not be shorter than min_expires, which is {value.min_expires}"
        reading.wrong("registrar.max_expires", value.max_expires, right)
    elif not value.min_expires <= value.default_expires <= value.max_expires:
        right = f"must be between min_expires and max_expires, {value.min_expires} and {value.max_expires}"
        reading.wrong("registrar.default_expires", value.default_expires, right)
    terms = Terms(
        tuple(value.domains),
        frozenset(value.zones),
        value.min_expires,
        value.default_expires,
        value.max_expires,
        value.max_bindings,
        value.max_users,
        value.max_per_user,
        value.foreign_contacts,
        value.nat_ping,
        value.throttle,
        value.phone_expires,
    )
    return terms, _store(reading, value.store)


def _check_domain(reading: Reading, domain: str) -> None:
    try:
        parse_host(f"[{domain}]" if ":" in domain else domain, "")
    except Malformed:
        reading.wrong("registrar.domains", domain, 'must be a host without a port: "example.com", "192.0.2.1"')


def _store(reading: Reading, url: str) -> str:
    try:
        path = path_of(url)
    except ValueError as fault:
        reading.wrong("registrar.store", url, str(fault))
        return url
    if not path:
        return url
    absolute = reading.absolute(path)
    if why := unusable(absolute):
        reading.wrong("registrar.store", url, why)
    return f"{SQLITE}{absolute}"


def unusable(path: str) -> str:
    """Why a file cannot be written, or made; empty where it can."""
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        return f"{path} is a directory: name a file in it"
    if not os.path.isdir(folder):
        return f"no such directory: {folder}"
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        return f"cannot be written: {path}"
    return ""
