"""[authentication]: who may register and call, in the zones whose `authenticate` says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from b2bua.config.reading import Entry, File, Reading, Section, Text
from b2bua.policy.authentication import Realm
from b2bua.policy.mistakes import NOTHING, ConfigurationError
from b2bua.policy.script import Script
from b2bua.policy.users import WORD, DatabaseUsers, FileUsers, ScriptUsers, Users, UsersFailed
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import is_token

CALLS = "calls"
# In a dialog, or about another request: these are never asked for credentials (RFC 3261 22.1).
NEVER = frozenset({"ACK", "CANCEL", "BYE", "PRACK", "UPDATE"})

Methods = Annotated[list[str], Meta(description='must be a list of methods: ["REGISTER", "calls"]')]
Algorithms = Annotated[
    tuple[Literal["SHA-512-256", "SHA-256", "MD5"], ...],
    Meta(min_length=1, description='must be a list of "SHA-512-256", "SHA-256" and "MD5", the best first'),
]
Life = Annotated[float, Meta(ge=10, le=86_400, description="must be a number of seconds, from 10 to a day")]


class AuthenticationEntry(Section, frozen=True):
    """[authentication]."""

    required: ClassVar = ("realm",)
    realm: Text = ""
    users: File = ""
    database: File = ""
    query: Text = ""
    algorithms: Algorithms = ("SHA-256", "MD5")
    nonce_life: Life = 300.0
    identities: Annotated[Literal["own", "any"], Meta(description='must be "own" or "any"')] = "own"


def read_methods(reading: Reading, key: str, methods: list[str]) -> frozenset[str]:
    """A zone's `authenticate`."""
    for method in methods:
        if method in NEVER:
            reading.wrong(key, method, "is never asked for credentials: what began the dialog or the call was")
        elif method != CALLS and (not is_token(method) or method != method.upper()):
            reading.wrong(key, method, f'must be a method in capital letters, or "{CALLS}" for all but REGISTER')
    return frozenset(methods)


def read_authentication(reading: Reading, zones: Mapping[str, Zone], script: Script | None) -> Realm | None:
    """[authentication]; None where there is none."""
    asking = [zone.name for zone in zones.values() if zone.authenticate]
    if "authentication" not in reading.raw:
        if asking:
            right = f"missing: zone {asking[0]} asks for credentials, and [authentication] says whose"
            reading.wrong("authentication", NOTHING, right)
        return None
    entry = reading.section(AuthenticationEntry, "authentication")
    value = entry.value
    if "realm" in entry.fine and not WORD.fullmatch(value.realm):
        reading.wrong("authentication.realm", value.realm, "must be a name without quotation marks and colons")
    if len(set(value.algorithms)) < len(value.algorithms):
        reading.wrong("authentication.algorithms", list(value.algorithms), "names one twice")
    users = _users(reading, entry, script)
    if users is None:
        return None
    realm = Realm(value.realm, users, value.algorithms, value.nonce_life, value.identities == "own")
    if not asking:
        reading.warn("authentication", NOTHING, "no zone asks for credentials: give one authenticate")
    if isinstance(users, FileUsers) and "realm" in entry.fine:
        _caution(reading, users, realm, value.users)
    return realm


def _users(reading: Reading, entry: Entry[AuthenticationEntry], script: Script | None) -> Users | None:
    """Where the users are; None where that is wrong."""
    value = entry.value
    if entry.has("query") != entry.has("database"):
        there, lacking = ("query", "database") if entry.has("query") else ("database", "query")
        reading.wrong(f"authentication.{lacking}", NOTHING, f"missing: {there} is given, and they belong together")
        return None
    if entry.has("users") and entry.has("database"):
        reading.wrong("authentication.database", entry.raw["database"], "give users or database, not both")
        return None
    if entry.has("users"):
        return _from_file(reading, value.users) if "users" in entry.fine else None
    if entry.has("database"):
        return _from_database(reading, value) if {"database", "query"} <= entry.fine else None
    if script is not None and script.ha1 is not None:
        return ScriptUsers(script.ha1)
    message = "missing: make the file with b2bua passwd --sip, or give database and query, or a policy with ha1"
    reading.wrong("authentication.users", NOTHING, message)
    return None


def _from_file(reading: Reading, written: str) -> FileUsers | None:
    try:
        return FileUsers(reading.absolute(written))
    except ConfigurationError as error:
        reading.mistakes += error.mistakes
        return None


def _from_database(reading: Reading, value: AuthenticationEntry) -> DatabaseUsers | None:
    path = reading.path("authentication.database", value.database)
    try:
        return DatabaseUsers(path, value.query)
    except UsersFailed as fault:
        reading.wrong("authentication.query", value.query, f"cannot be asked: {fault}")
        return None


def _caution(reading: Reading, users: FileUsers, realm: Realm, written: str) -> None:
    """What an operator should know of a file that can be used."""
    key = "authentication.users"
    if users.lone(realm.name):
        reading.warn(key, written, f"there is nobody of the realm {realm.name} in it")
    if lacking := users.without(realm.name, realm.algorithms):
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        what = f"{lacking[0]}{more} cannot log in with every algorithm that is offered: b2bua passwd --sip writes them"
        reading.warn(key, written, what)
    if users.exposed:
        reading.warn(key, written, "other users of this machine can read or change it: its mode should be 600")
