"""What a phone does with a challenge: the other side of `b2bua.policy.authentication`, computed by hashlib alone."""

from __future__ import annotations

import hashlib
import re

from b2bua.sip.message import Response

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def digest(algorithm: str, *parts: str) -> str:
    """H(a:b:c)."""
    return hashlib.new(HASHES[algorithm], ":".join(parts).encode()).hexdigest()


def line(user: str, password: str, realm: str, *algorithms: str) -> str:
    """The lines of a users' file."""
    return "".join(f"{user}:{realm}:{each}:{digest(each, user, realm, password)}\n" for each in algorithms)


def challenges(response: Response) -> list[dict[str, str]]:
    """What a 401 or 407 asks for, each by its parameters."""
    values = response.headers.get("WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate", [])
    return [{name: quoted or bare for name, quoted, bare in PARAM.findall(value)} for value in values]


PARAM = re.compile(r'([a-z]+)=(?:"([^"]*)"|([^",]+))')


def credentials(
    challenge: dict[str, str], user: str, password: str, method: str, uri: str, count: int = 1, /, **changed: str
) -> str:
    """The value of Authorization or Proxy-Authorization; `changed` parameters are said otherwise; empty: not at all."""
    algorithm, realm, nonce = challenge["algorithm"], challenge["realm"], challenge["nonce"]
    nc, cnonce, qop = f"{count:08x}", "0a4f113b", "auth"
    secret = digest(algorithm, user, realm, password)
    response = digest(algorithm, secret, nonce, nc, cnonce, qop, digest(algorithm, method, uri))
    said = {
        "username": f'"{user}"', "realm": f'"{realm}"', "nonce": f'"{nonce}"', "uri": f'"{uri}"',
        "response": f'"{response}"', "algorithm": algorithm, "cnonce": f'"{cnonce}"', "qop": qop, "nc": nc,
    } | changed  # fmt: skip
    return "Digest " + ", ".join(f"{name}={value}" for name, value in said.items() if value)
