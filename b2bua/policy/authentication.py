"""Who may come in: what is asked of a request, and whether its credentials prove it (RFC 3261 22, RFC 7616, RFC 8760).

Whoever is unknown costs what a wrong password costs, and gets the same answer. Whether a nonce of ours is old is only
told to somebody who knows the password (RFC 7616 3.3); of one that is not ours nobody's password is asked after.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from hmac import compare_digest
from typing import NamedTuple

from b2bua.policy.mistakes import shown
from b2bua.policy.nonces import REPLAYED, Nonces
from b2bua.policy.rules.uri import dialled
from b2bua.policy.users import LENGTHS, Secret, Users
from b2bua.policy.zones import Zone
from b2bua.sip.digest import ANSWERS, Challenge, Credentials, algorithm_of, expected, parse_credentials
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request
from b2bua.sip.uri import Uri, parse_uri

QOP = "auth"
# We end a REGISTER ourselves; what is carried on is asked for as a proxy asks (RFC 3261 22.2, 22.3).
_ENDED = (401, "WWW-Authenticate", "Authorization")
_CARRIED = (407, "Proxy-Authenticate", "Proxy-Authorization")
# Whoever withholds his name (RFC 3323 4.1.1.3) has proved all the same to us who he is.
_NOBODY = "anonymous.invalid"


@dataclass(frozen=True, slots=True)
class Realm:
    """What [authentication] says: `algorithms` in the order in which they are offered, `nonce_life` in seconds.

    `own`: who has proved to be a user registers and calls as this user only.
    """

    name: str
    users: Users
    algorithms: tuple[str, ...] = ("SHA-256", "MD5")
    nonce_life: float = 300.0
    own: bool = True


class Verdict(NamedTuple):
    """What credentials come to. A `status` of 0 lets the request in; `why`, where there is one, is for the log."""

    status: int = 0
    why: str = ""
    more: Headers | None = None


class Authentication:
    """Asks for credentials in one realm and judges them. It has no clock: `now` is in seconds.

    `domains`, in lower case, are where the realm's users are at home besides a domain of its own name.
    """

    __slots__ = ("realm", "_nonces", "_domains", "_nobody")

    def __init__(self, realm: Realm, nonces: Nonces, domains: Collection[str] = ()) -> None:
        self.realm = realm
        self._nonces = nonces
        self._domains = frozenset({realm.name.lower(), *domains})
        # Compared with where there is no such user, so that it takes as long; whether it fits does not count.
        self._nobody = {algorithm: "0" * length for algorithm, length in LENGTHS.items()}

    def claim(self, request: Request) -> Credentials | None:
        """The credentials that a request has for our realm, None where it has none. Malformed for broken ones.

        Of several the first counts, and only one is ever computed: a client that knows two algorithms chooses one
        (RFC 8760 2.4).
        """
        for value in request.headers.get(_kind(request)[2], ()):
            found = parse_credentials(value)
            if found is not None and found.realm == self.realm.name and self._offered(found):
                _check(found, request)
                return found
        return None

    def _offered(self, found: Credentials) -> bool:
        """Whether they are computed by what we offer; what is not, is as none."""
        return algorithm_of(found.algorithm) in self.realm.algorithms

    def challenge(self, request: Request, flow: Flow, now: float, stale: bool = False, why: str = "") -> Verdict:
        """Ask for credentials: a challenge for each algorithm, the best first (RFC 8760 2.3)."""
        status, name, _ = _kind(request)
        nonce = self._nonces.new(now, self._bound(flow))
        asked = [
            str(Challenge(self.realm.name, nonce, algorithm, (QOP,), None, stale))
            for algorithm in self.realm.algorithms
        ]
        return Verdict(status, why, {name: asked})

    def foreign(self, flow: Flow, claim: Credentials) -> bool:
        """Whether a claim is made with a nonce that we did not give who sends it: it proves nothing, whoever it is.

        To be challenged as stale: a phone that knows the nonce of before our start has no wrong password.
        """
        return not self._nonces.ours(claim.nonce, self._bound(flow))

    def judge(self, request: Request, flow: Flow, claim: Credentials, secret: Secret, now: float) -> Verdict:
        """Whether a claim is proved. `secret` is the HA1 of its user, None where there is no such user."""
        algorithm = algorithm_of(claim.algorithm)
        said = expected(
            algorithm,
            secret or self._nobody[algorithm],
            request.method,
            claim.uri,
            claim.nonce,
            claim.nc,
            claim.cnonce,
            QOP,
        )
        if not compare_digest(said, claim.response) or secret is None:
            why = f"no user {shown(claim.username)} with this password"
            return self.challenge(request, flow, now, why=why)
        if fault := self._nonces.use(claim.nonce, claim.uses, now, self._bound(flow)):
            # The password is right: a new nonce is all it takes. Of a replay the operator should know.
            return self.challenge(request, flow, now, True, fault if fault == REPLAYED else "")
        if self.realm.own and (shows := self._stranger(request, claim.username)):
            return Verdict(403, f"{shown(claim.username)} shows as {shows}")
        return Verdict()

    def _stranger(self, request: Request, user: str) -> str:
        """As whom a request shows, where that is not the user: a REGISTER by To, the others by From.

        A phone may call as alice at its own address, or at its provider's name. Whoever registers is told apart from
        the alice of another domain: what goes inside is believed there (RFC 3261 10.3, 3 and 4).
        """
        if request.method != "REGISTER":
            uri = request.from_.uri
            return "" if _is(uri, user) or uri.host.lower() == _NOBODY else shown(str(uri))
        uri = request.to.uri
        if not _is(uri, user):
            return shown(str(uri))
        if dialled(uri) == user and uri.host.lower() not in self._domains:
            return f"{shown(str(uri))}, which is not of our domains"
        return ""

    def strip(self, headers: Headers) -> None:
        """Take out the credentials for our realm: they are for us alone. What cannot be read does not cross either."""
        for name in ANSWERS.values():
            if name in headers:
                left = [value for value in headers[name] if not self._ours(value)]
                if left:
                    headers[name] = left
                else:
                    del headers[name]

    def _ours(self, value: str) -> bool:
        try:
            found = parse_credentials(value)
        except Malformed:
            return True
        return found is not None and found.realm == self.realm.name

    def _bound(self, flow: Flow) -> str:
        """For whom a nonce is: elsewhere it is of no use to whoever overheard it."""
        return f"{self.realm.name}\n{flow.listener.zone}\n{flow.host}"


def asked_of(zone: Zone, request: Request) -> bool:
    """Whether a zone asks for credentials with this request."""
    return request.method in zone.authenticate or ("calls" in zone.authenticate and request.method != "REGISTER")


def _kind(request: Request) -> tuple[int, str, str]:
    return _ENDED if request.method == "REGISTER" else _CARRIED


def _check(found: Credentials, request: Request) -> None:
    """What is wrong with credentials whoever's they are: Malformed (RFC 7616 3.4)."""
    if found.qop == "auth-int":
        raise Malformed("qop auth-int was not offered, only auth", "RFC 3261 22.4")
    if found.qop != QOP:
        raise Malformed("qop auth is missing from the credentials", "RFC 3261 22.4")
    if not found.uses:
        raise Malformed("nc is zero", "RFC 7616 3.4")
    if not found.username.isprintable():
        raise Malformed("the user name is not readable text in UTF-8", "RFC 7616 4")
    if found.uri != request.uri_text:
        # Phones write ports and parameters as they like, or the proxy alone. Who is called is what must not change.
        meant, asked = dialled(parse_uri(found.uri)), dialled(request.uri)
        if meant and asked and meant != asked:
            raise Malformed("the credentials are for another Request-URI", "RFC 7616 3.4.6")


def _is(uri: Uri, user: str) -> bool:
    """Whether a URI is a user's: `alice`, or `alice@example.com` where user names are written so."""
    name = dialled(uri)
    return bool(name) and user in (name, f"{name}@{uri.host}")
