"""[[credentials]], what proves us to trunks, and [[registration]], where we register with a carrier.

No mistake or warning shows a password, nor what stands where one should.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from b2bua.config.reading import Entry, File, Line, Reading, Section, Text, Texts
from b2bua.config.routes import read_next_hop, way_out_fault, ways_out
from b2bua.config.sockets import Sockets, check_zones
from b2bua.policy.accounts import Account, Hop, hop_of
from b2bua.policy.enrolling import Enrolling
from b2bua.policy.groups import Group
from b2bua.policy.mistakes import NOTHING, among
from b2bua.policy.routing import AUTO, GROUP
from b2bua.policy.users import exposed
from b2bua.sip.digest import hashes_of
from b2bua.sip.grammar import Malformed
from b2bua.sip.uri import Uri, parse_uri

MASK = "..."  # stands for what may be a secret
LONGEST = 4096  # octets of a password's file

Lasting = Annotated[int, Meta(ge=30, le=604_800, description="must be whole seconds, from 30 to a week")]
User = Annotated[
    str,
    Meta(pattern=r"\A[A-Za-z0-9\-_.!~*'()&=+$,;?/%]+\Z", description="must be what may stand before the @ of a URI"),
]


class CredentialsEntry(Section, frozen=True):
    """One [[credentials]]."""

    required: ClassVar = ("realm", "user", "to")
    realm: Line = ""
    user: Line = ""
    password: Line = ""
    password_file: File = ""
    to: Annotated[str | list[str], Meta(description='must be a SIP URI, "group:NAME", or a list of them')] = ""
    zones: Texts = []


class RegistrationEntry(Section, frozen=True):
    """One [[registration]]."""

    required: ClassVar = ("aor",)
    aor: Text = ""
    registrar: Text = ""
    contact_user: User = ""
    send_from: Text = AUTO
    expires: Lasting = 3600
    credentials: Line = ""


def read_accounts(reading: Reading, sockets: Sockets, groups: Mapping[str, Group]) -> tuple[Account, ...]:
    """Every [[credentials]] without mistakes."""
    _mask(reading)
    accounts: list[Account] = []
    for entry in reading.sections(CredentialsEntry, "credentials"):
        before = len(reading.mistakes)
        value, key = entry.value, entry.key
        password = _password(reading, entry)
        hops = _hops(reading, entry, groups)
        check_zones(reading, f"{key}.zones", value.zones, sockets.zones)
        for other in accounts:
            if (other.realm, other.user) == (value.realm, value.user) and other.hops & hops:
                reading.wrong(key, NOTHING, "others are for the same realm, user and next hop: which would count?")
        if len(reading.mistakes) == before:
            hashes = hashes_of(value.user, value.realm, password)
            accounts.append(Account(value.realm, value.user, hops, frozenset(value.zones), hashes))
    return tuple(accounts)


def _mask(reading: Reading) -> None:
    """A password under a key that is misspelt, or that is no text, is a mistake like any other, but is not shown."""
    known = {*CredentialsEntry.__struct_fields__} - {"password"}
    raw = reading.raw.get("credentials", [])
    if not isinstance(raw, list) or not all(isinstance(each, dict) for each in raw):
        reading.raw["credentials"] = MASK
        return
    for each in raw:
        for name, value in each.items():
            right = name == "password" and isinstance(value, str) and value.isprintable() and value
            if name not in known and not right:
                each[name] = [MASK] if name == "password" else MASK


def _password(reading: Reading, entry: Entry[CredentialsEntry]) -> str:
    """What proves us; empty, after saying so, where there is nothing."""
    value, key = entry.value, entry.key
    if entry.has("password") and entry.has("password_file"):
        reading.wrong(f"{key}.password_file", value.password_file, "password is given too: keep one of them")
    elif "password" in entry.fine:
        _readable(reading, f"{key}.password", NOTHING, reading.file)
        return value.password
    elif "password_file" in entry.fine:
        return _from_file(reading, f"{key}.password_file", value.password_file)
    elif not entry.has("password") and not entry.has("password_file"):
        reading.wrong(f"{key}.password", NOTHING, "missing: give it, or password_file")
    return ""


def _from_file(reading: Reading, key: str, written: str) -> str:
    before, path = len(reading.mistakes), reading.path(key, written)
    if len(reading.mistakes) > before:
        return ""
    with open(path, "rb") as file:
        octets = file.read(LONGEST)
    try:
        password = octets.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        password = ""
    if not password or not password.isprintable():
        reading.wrong(key, written, f"must be a file with the password as its only line: {path}")
        return ""
    _readable(reading, key, written, path)
    return password


def _readable(reading: Reading, key: str, value: object, path: str) -> None:
    """Whoever can read the file can call at our expense."""
    if os.path.exists(path) and exposed(path):
        reading.warn(key, value, f"other users of this machine can read or change the password: chmod 600 {path}")


def _hops(reading: Reading, entry: Entry[CredentialsEntry], groups: Mapping[str, Group]) -> frozenset[Hop]:
    """The next hops that `to` names."""
    found: set[Hop] = set()
    texts = [entry.value.to] if isinstance(entry.value.to, str) else entry.value.to
    key = f"{entry.key}.to"
    if "to" in entry.fine and not texts:
        reading.wrong(key, [], "an empty list: nobody would be told who we are")
    for text in texts if "to" in entry.fine else ():
        found.update(map(hop_of, _spelled_out(reading, key, text, groups)))
    return frozenset(found)


def _spelled_out(reading: Reading, key: str, text: str, groups: Mapping[str, Group]) -> Iterator[Uri]:
    """A next hop, or the members of a group."""
    uri = read_next_hop(reading, key, text)
    if uri is None:
        return
    if uri.scheme != GROUP:
        yield uri
    elif uri.opaque in groups:
        yield from (member.uri for member in groups[uri.opaque].members)
    else:
        reading.wrong(key, text, f"no [[group]] of that name; {among(groups)}")


def read_registrations(
    reading: Reading, sockets: Sockets, groups: Mapping[str, Group], accounts: tuple[Account, ...]
) -> tuple[Enrolling, ...]:
    """Every [[registration]] without mistakes."""
    found: list[Enrolling] = []
    for entry in reading.sections(RegistrationEntry, "registration"):
        value, key = entry.value, entry.key
        before = len(reading.mistakes)
        aor = _aor(reading, f"{key}.aor", value.aor) if "aor" in entry.fine else None
        if aor is None or ("registrar" not in entry.fine and entry.has("registrar")):
            continue
        registrar = value.registrar or str(Uri(aor.scheme, "", aor.host, aor.port, {}))
        where = f"{key}.registrar" if value.registrar else f"{key}.aor"
        uris = tuple(_spelled_out(reading, where, registrar, groups))
        if len(reading.mistakes) == before:
            _check_way(reading, entry, sockets, uris, groups, registrar)
        _check_account(reading, entry, accounts, uris)
        if any((other.aor, other.registrar) == (aor, registrar) for other in found):
            reading.wrong(key, NOTHING, "another [[registration]] is of this aor there: one Contact is enough")
        if len(reading.mistakes) == before:
            user = value.contact_user or aor.user
            hops = frozenset(map(hop_of, uris))
            found.append(Enrolling(aor, registrar, hops, user, value.send_from, value.expires, value.credentials))
    return tuple(found)


def _aor(reading: Reading, key: str, text: str) -> Uri | None:
    try:
        uri = parse_uri(text)
    except Malformed:
        uri = None
    if uri is None or not uri.is_sip or not uri.user or uri.params or uri.headers or uri.password:
        reading.wrong(key, text, 'must be what the carrier knows us by: "sip:USER@DOMAIN"')
        return None
    return uri


def _check_way(
    reading: Reading,
    entry: Entry[RegistrationEntry],
    sockets: Sockets,
    uris: tuple[Uri, ...],
    groups: Mapping[str, Group],
    registrar: str,
) -> None:
    """Whether `send_from` means somebody who can send to the registrar."""
    send_from, key = entry.value.send_from, f"{entry.key}.send_from"
    if send_from == AUTO and registrar.startswith(f"{GROUP}:"):
        send_from = groups[registrar.partition(":")[2]].send_from
    elif send_from != AUTO and (fault := sockets.fault(send_from)):
        reading.wrong(key, send_from, fault)
        return
    if not ways_out(sockets.listeners, send_from, None):
        if sockets.whole:
            reading.wrong(key, send_from, "no listener is in this zone")
        return
    for uri in uris:
        if fault := way_out_fault(sockets, send_from, uri):
            reading.wrong(f"{entry.key}.registrar", str(uri), fault)


def _check_account(
    reading: Reading, entry: Entry[RegistrationEntry], accounts: tuple[Account, ...], uris: tuple[Uri, ...]
) -> None:
    """Whether the registrar's challenge can be answered."""
    name, key = entry.value.credentials, entry.key
    fitting = [each for each in accounts if any(hop_of(uri) in each.hops for uri in uris)]
    if name and name not in {each.user for each in fitting}:
        message = f"no [[credentials]] has this user and leads to the registrar; {among(each.user for each in fitting)}"
        reading.wrong(f"{key}.credentials", name, message)
    elif not fitting and uris and not reading.mistakes:
        reading.warn(key, NOTHING, "no [[credentials]] leads to the registrar: if it asks who we are, that is the end")
