"""Our accounts with trunks, and what proves to a trunk that we are who we say (RFC 3261 22, RFC 7616, S34).

An account is for one realm and the next hops that the operator names, never for whoever else asks. Of a password only
what digest needs is kept, and neither is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from b2bua.sip.digest import (
    ANSWERS,
    SESSION,
    Challenge,
    Credentials,
    algorithm_of,
    expected,
    parse_challenge,
    parse_credentials,
)
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Headers, Response
from b2bua.sip.uri import DEFAULT_PORTS, Uri

CHALLENGES = frozenset({401, 407})
_STRONGEST = ("SHA-512-256", "SHA-256", "MD5")  # RFC 8760 2.4 takes the topmost, unless local policy says otherwise
_QOPS = ("auth", "auth-int")

_NEXT_NONCE = re.compile(r'(?:^|[,\s])nextnonce[ \t]*=[ \t]*"([^"\\\x00-\x1f\x7f]+)"', re.I)

Hop = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Account:
    """One [[credentials]]: who we are in `realm`, to these next hops, and only by listeners in `zones` (all if empty).

    `hashes` is HA1 by algorithm (RFC 7616 3.4.2).
    """

    realm: str
    user: str
    hops: frozenset[Hop]
    zones: frozenset[str] = frozenset()
    hashes: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    def leads(self, uri: Uri, zone: str) -> bool:
        """Whether it is for a next hop, by a listener in `zone`."""
        return hop_of(uri) in self.hops and (not self.zones or zone in self.zones)

    def answers(self, challenge: Challenge) -> bool:
        """Whether the challenge asks for what we have, in a way that we know."""
        algorithm = algorithm_of(challenge.algorithm).removesuffix(SESSION)
        return algorithm in self.hashes and (not challenge.qop or any(each in challenge.qop for each in _QOPS))


def hop_of(uri: Uri) -> Hop:
    """What of a next hop's URI says whose it is: the user in it is the one who is called."""
    transport = "tls" if uri.secure else uri.transport or "udp"
    return (uri.params.get("maddr") or uri.host).lower(), uri.port or DEFAULT_PORTS.get(transport, 5060)


class Asked(NamedTuple):
    """One challenge of a response: the header in which it is to be answered, and what it asks."""

    header: str
    challenge: Challenge


def asked_by(response: Response) -> list[Asked]:
    """The challenges that can be read; another one is nobody's whose credentials we have."""
    found = []
    for name, header in ANSWERS.items():
        for value in response.headers.get(name, ()):
            try:
                challenge = parse_challenge(value)
            except Malformed:
                continue
            if challenge is not None:
                found.append(Asked(header, challenge))
    return found


def strongest(account: Account, asked: Iterable[Asked]) -> Asked | None:
    """The challenge to answer, of several for one realm: the strongest that we can, the first of these."""
    fitting = [each for each in asked if account.answers(each.challenge)]
    return min(fitting, key=lambda each: _STRONGEST.index(_plain(each.challenge)), default=None)


def _plain(challenge: Challenge) -> str:
    return algorithm_of(challenge.algorithm).removesuffix(SESSION)


def next_nonce(info: str) -> str:
    """The nonce that Authentication-Info wants from now on (RFC 7616 3.5); empty where it names none."""
    found = _NEXT_NONCE.search(info)
    return found[1] if found is not None else ""


class Proof:
    """The answer to one challenge, again for each request that may bring it: the nonce's uses are counted."""

    __slots__ = ("account", "header", "challenge", "_algorithm", "_qop", "_cnonce", "_uses")

    def __init__(self, account: Account, asked: Asked, cnonce: str) -> None:
        self.account = account
        self.header, self.challenge = asked
        self._algorithm = algorithm_of(self.challenge.algorithm)
        self._qop = next((each for each in _QOPS if each in self.challenge.qop), "")
        self._cnonce = cnonce
        self._uses = 0

    def credentials(self, method: str, uri: str, body: bytes) -> Credentials:
        """What the next request says."""
        self._uses += 1
        challenge, account, algorithm, qop = self.challenge, self.account, self._algorithm, self._qop
        nc = f"{self._uses:08x}" if qop else ""
        cnonce = self._cnonce if qop or algorithm.endswith(SESSION) else ""
        response = expected(
            algorithm,
            account.hashes[algorithm.removesuffix(SESSION)],
            method,
            uri,
            challenge.nonce,
            nc,
            cnonce,
            qop,
            body,
        )
        # The algorithm as the challenge wrote it: some compare it letter by letter.
        written = challenge.algorithm
        return Credentials(
            account.user, account.realm, challenge.nonce, uri, response, written, cnonce, qop, nc, challenge.opaque
        )


def put(headers: Headers, header: str, credentials: Credentials) -> None:
    """Add credentials, in place of any others for the same realm."""
    headers[header] = [*others(headers.get(header, ()), credentials.realm), str(credentials)]


def others(values: Iterable[str], realm: str) -> list[str]:
    """The credentials among these that are for another realm."""
    return [value for value in values if _realm(value) != realm]


def _realm(value: str) -> str | None:
    try:
        credentials = parse_credentials(value)
    except Malformed:
        return None
    return None if credentials is None else credentials.realm


def without(response: Response, realms: frozenset[str]) -> Response | None:
    """A response less the challenges for these realms, which are ours to answer; None where no other is left."""
    headers, left = dict(response.headers), False
    for name in ANSWERS:
        values = [value for value in headers.pop(name, ()) if _asks_in(value) not in realms]
        if values:
            headers[name], left = values, True
    return Response(response.status, response.reason, headers, response.body) if left else None


def _asks_in(value: str) -> str | None:
    try:
        challenge = parse_challenge(value)
    except Malformed:
        return None
    return None if challenge is None else challenge.realm
