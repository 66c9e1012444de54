"""Digest authentication: the challenge, the credentials, and the arithmetic of both (RFC 3261 22, RFC 7616, RFC 8760).

One reading of each parameter: what is given twice, is not quoted as it must be or does not end, is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from b2bua.sip.grammar import BLANKS, MAX_PARAMS, Malformed, quote

RULE = "RFC 3261 25.1, credentials and challenge"
SESSION = "-sess"  # ends the name of an algorithm whose HA1 holds nonce and cnonce too (RFC 7616 3.4.2)

# The header that asks, and the one that answers it (RFC 3261 22.2, 22.3).
ANSWERS = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}
# What RFC 8760 registers, by the names it gives them, and what hashlib calls them.
ALGORITHMS = {"SHA-256": "sha256", "SHA-512-256": "sha512_256", "MD5": "md5"}
_NAMES = {name.lower(): name for plain in ALGORITHMS for name in (plain, plain + SESSION)}

_TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]++"
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]++|\Z)")
_PARAM = re.compile(rf'[ \t]*+({_TOKEN})[ \t]*+=[ \t]*+("(?:[^"\\]|\\.)*+"|{_TOKEN})[ \t]*+(,|\Z)', re.DOTALL)
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_COUNT = re.compile(r"[0-9A-Fa-f]{8}")
_HEX = re.compile(r"[0-9A-Fa-f]+")

# Values that are written as tokens; every other one is a quoted string.
_BARE_IN_CHALLENGE = frozenset({"stale", "algorithm"})
_BARE_IN_CREDENTIALS = frozenset({"algorithm", "qop", "nc"})


class Challenge(NamedTuple):
    """What WWW-Authenticate or Proxy-Authenticate asks for (RFC 3261 20.44).

    `algorithm` is as it was written, MD5 where nothing was; `qop` in lower case; None: no opaque was given.
    """

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False

    def __str__(self) -> str:
        params = {"realm": self.realm, "nonce": self.nonce}
        if self.opaque is not None:
            params["opaque"] = self.opaque
        if self.stale:
            params["stale"] = "true"
        params["algorithm"] = self.algorithm
        if self.qop:
            params["qop"] = ",".join(self.qop)
        return _written(params, _BARE_IN_CHALLENGE)


class Credentials(NamedTuple):
    """What Authorization or Proxy-Authorization says (RFC 3261 20.7). Not given: an empty text; opaque: None.

    `nc` are the eight digits as they stand on the wire, for they are hashed so; `qop` is in lower case.
    """

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"
    cnonce: str = ""
    qop: str = ""
    nc: str = ""
    opaque: str | None = None

    @property
    def uses(self) -> int:
        """How often the nonce has been used, this time too; 0 where nothing is said."""
        return int(self.nc, 16) if self.nc else 0

    def __str__(self) -> str:
        params = {"username": self.username, "realm": self.realm, "nonce": self.nonce, "uri": self.uri}
        params |= {"response": self.response, "algorithm": self.algorithm}
        if self.qop:
            params |= {"cnonce": self.cnonce, "qop": self.qop, "nc": self.nc}
        elif self.cnonce:
            params["cnonce"] = self.cnonce  # -sess needs it, qop or not
        if self.opaque is not None:
            params["opaque"] = self.opaque
        return _written(params, _BARE_IN_CREDENTIALS)


def parse_challenge(text: str) -> Challenge | None:
    """The one challenge that a header's value is (RFC 3261 7.3.1: never a list); None for another scheme."""
    params = _parse(text)
    if params is None:
        return None
    qop = params.get("qop", "")
    return Challenge(
        _needed(params, "realm"),
        _needed(params, "nonce"),
        params.get("algorithm", "MD5"),
        tuple(found for word in qop.split(",") if (found := word.strip(BLANKS).lower())),
        params.get("opaque"),
        params.get("stale", "").lower() == "true",
    )


def parse_credentials(text: str) -> Credentials | None:
    """The one set of credentials that a header's value is; None for another scheme than Digest."""
    params = _parse(text)
    if params is None:
        return None
    nc, response = params.get("nc", ""), _needed(params, "response")
    if "nc" in params and not _COUNT.fullmatch(nc):
        raise Malformed("nc is not eight hexadecimal digits", "RFC 7616 3.4")
    if not _HEX.fullmatch(response):
        raise Malformed("response is not hexadecimal", "RFC 7616 3.4.1")
    qop, cnonce = params.get("qop", "").lower(), params.get("cnonce", "")
    if qop and not (nc and cnonce):
        raise Malformed("qop without nc or without cnonce", "RFC 7616 3.4")
    return Credentials(
        _needed(params, "username"),
        _needed(params, "realm"),
        _needed(params, "nonce"),
        _needed(params, "uri"),
        response.lower(),
        params.get("algorithm", "MD5"),
        cnonce,
        qop,
        nc,
        params.get("opaque"),
    )


def without(text: str, name: str) -> str:
    """A challenge or credentials less one parameter. The others are not unquoted: they are hashed as they stand.

    Another scheme than Digest is left as it is.
    """
    start = _scheme(text)
    if start is None:
        return text
    left = [f"{each[1]}={each[2]}" for each in _params(text, start) if each[1].lower() != name]
    return f"{text[:start].rstrip(BLANKS)} {', '.join(left)}"


def algorithm_of(text: str) -> str:
    """The name of an algorithm as the RFCs write it; an empty text for one that we do not know."""
    return _NAMES.get(text.lower(), "")


def ha1(algorithm: str, user: str, realm: str, password: str) -> str:
    """What stands for a password in one realm (RFC 7616 3.4.2), the same for an algorithm and its -sess."""
    return _hash(algorithm, f"{user}:{realm}:{password}")


def hashes_of(user: str, realm: str, password: str) -> dict[str, str]:
    """What is kept of a password: its HA1 for each algorithm."""
    return {algorithm: ha1(algorithm, user, realm, password) for algorithm in ALGORITHMS}


def expected(
    algorithm: str, ha1: str, method: str, uri: str, nonce: str, nc: str, cnonce: str, qop: str, body: bytes = b""
) -> str:
    """The response that whoever has the password gives (RFC 7616 3.4.1): lower-case hexadecimal digits.

    `algorithm` is one that `algorithm_of` gives, `qop` "auth", "auth-int" or empty, as RFC 2069 had it; the body
    counts only with "auth-int".
    """
    if algorithm.endswith(SESSION):
        ha1 = _hash(algorithm, f"{ha1}:{nonce}:{cnonce}")
    ha2 = f"{method}:{uri}:{_digest(algorithm, body)}" if qop == "auth-int" else f"{method}:{uri}"
    between = f"{nonce}:{nc}:{cnonce}:{qop}" if qop else nonce
    return _hash(algorithm, f"{ha1}:{between}:{_hash(algorithm, ha2)}")


def _hash(algorithm: str, text: str) -> str:
    return _digest(algorithm, text.encode("utf-8", "surrogateescape"))


def _digest(algorithm: str, octets: bytes) -> str:
    name = ALGORITHMS[algorithm.removesuffix(SESSION)]
    return hashlib.new(name, octets, usedforsecurity=False).hexdigest()


def _parse(text: str) -> dict[str, str] | None:
    """The parameters after `Digest`, unquoted, by lower-case name."""
    start = _scheme(text)
    if start is None:
        return None
    params: dict[str, str] = {}
    for found in _params(text, start):
        name, value = found[1].lower(), found[2]
        if name in params:
            raise Malformed(f"{name[:20]} is given twice", RULE)
        if len(params) == MAX_PARAMS:
            raise Malformed(f"more than {MAX_PARAMS} parameters", RULE)
        params[name] = _unquoted(value) if value[0] == '"' else value
    return params


def _scheme(text: str) -> int | None:
    """Where the parameters after `Digest` begin; None for another scheme."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise Malformed("no scheme of authentication", RULE)
    return scheme.end() if scheme[1].lower() == "digest" else None


def _params(text: str, at: int) -> Iterator[re.Match[str]]:
    """Each parameter from `at` on: its name, its value as it stands, and the comma after it."""
    more = ","
    while more:
        found = _PARAM.match(text, at)
        if found is None:
            raise Malformed("not a list of name=value, or a quoted string that does not end", RULE)
        yield found
        more, at = found[3], found.end()


def _unquoted(text: str) -> str:
    """What a quoted string says. Controls would be legal there behind a backslash; nobody means well with them."""
    inside = text[1:-1]
    if _CONTROL.search(inside):
        raise Malformed("a control character in a quoted string", RULE)
    return _PAIR.sub(r"\1", inside) if "\\" in inside else inside


def _needed(params: dict[str, str], name: str) -> str:
    value = params.get(name)
    if value is None:
        raise Malformed(f"{name} is missing", RULE)
    return value


def _written(params: dict[str, str], bare: frozenset[str]) -> str:
    return "Digest " + ", ".join(
        f"{name}={value}" if name in bare else f"{name}={quote(value)}" for name, value in params.items()
    )
