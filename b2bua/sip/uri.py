"""URIs (RFC 3261 19.1): `sip:`, `sips:`, and others as they are."""

from __future__ import annotations

import re
from functools import lru_cache

from b2bua.sip.grammar import (
    HOST,
    LONG,
    REMEMBERED,
    Malformed,
    Params,
    bracketed,
    checked_host,
    format_params,
    parse_params,
    parse_port,
)

RULE = "RFC 3261 19.1.1"

# scheme, user, password, host, port, parameters, headers. A raw "#" is no part of the grammar, but phones dial it.
# Possessive throughout: linear whatever comes.
_SIP_URI = re.compile(
    r"(sips?):"
    r"(?:((?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#]|%[0-9A-Fa-f]{2})++)(?::((?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})*+))?@)?"
    rf"({HOST})(?::([0-9]++))?"
    r"((?:;(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$=]|%[0-9A-Fa-f]{2})++)*+)"
    r"(?:\?((?:[A-Za-z0-9\-_.!~*'()\[\]/?:+$=&]|%[0-9A-Fa-f]{2})++))?",
    re.I | re.A,  # with re.I alone [a-z] is also \u212a and \u017f
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_OPAQUE = re.compile(r"[!-;=?-~]+")  # printable, no blank, no angle brackets
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")

DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443}


class Uri:
    """One URI. A SIP URI's parts stay escaped as they came; the host has no brackets.

    Of another scheme only `scheme` and `opaque` are filled.
    """

    __slots__ = ("scheme", "user", "password", "host", "port", "params", "headers", "opaque", "_text")

    def __init__(
        self,
        scheme: str,
        user: str = "",
        host: str = "",
        port: int | None = None,
        params: Params | None = None,
        headers: str = "",
        password: str | None = None,
        opaque: str = "",
    ) -> None:
        self.scheme = scheme
        self.user = user
        self.password = password
        self.host = host
        self.port = port
        self.params: Params = {} if params is None else params
        self.headers = headers
        self.opaque = opaque
        self._text = ""

    @property
    def is_sip(self) -> bool:
        """Whether the scheme is `sip` or `sips`."""
        return not self.opaque

    @property
    def secure(self) -> bool:
        """Whether the URI asks for TLS on every hop (`sips`)."""
        return self.scheme == "sips"

    @property
    def transport(self) -> str:
        """The `transport` parameter in lower case, or an empty string."""
        return (self.params.get("transport") or "").lower()

    @property
    def loose(self) -> bool:
        """Whether a Route with this URI is a loose router's (`lr`)."""
        return "lr" in self.params

    def __str__(self) -> str:
        return self._text or self._written()

    def settled(self) -> Uri:
        """The same, which nobody will change any more: its text is made once."""
        self._text = self._written()
        return self

    def _written(self) -> str:
        if self.opaque:
            return f"{self.scheme}:{self.opaque}"
        text = f"{self.scheme}:"
        if self.user:
            text += f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        text += bracketed(self.host)
        if self.port is not None:
            text += f":{self.port}"
        if self.params:
            text += format_params(self.params)
        return f"{text}?{self.headers}" if self.headers else text

    def __repr__(self) -> str:
        return f"Uri({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        """Equality by RFC 3261 19.1.4: escapes count as the character they stand for, order does not count."""
        if not isinstance(other, Uri):
            return NotImplemented
        if self.scheme != other.scheme or self.opaque != other.opaque:
            return False
        return (
            unescape(self.user) == unescape(other.user)
            and unescape(self.password or "") == unescape(other.password or "")
            and self.host.lower() == other.host.lower()
            and self.port == other.port
            and _same_params(self.params, other.params)
            and sorted(map(unescape, self.headers.split("&"))) == sorted(map(unescape, other.headers.split("&")))
        )

    def __hash__(self) -> int:
        return hash((self.scheme, self.host.lower(), self.port, self.opaque))


def _same_params(ours: Params, theirs: Params) -> bool:
    """RFC 3261 19.1.4: what both have must match; user, ttl, method, maddr and transport count even in one alone."""
    for name in ours.keys() & theirs.keys():
        if unescape(ours[name] or "").lower() != unescape(theirs[name] or "").lower():
            return False
    return not (ours.keys() ^ theirs.keys()) & {"user", "ttl", "method", "maddr", "transport"}


def unescape(text: str) -> str:
    """`%41` as `A`, once: an escaped percent sign stays one. For comparing and matching, never for output."""
    return _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text) if "%" in text else text


def parse_uri(text: str, rule: str = RULE) -> Uri:
    """The URI that `text` is; Malformed when it is none."""
    found = _SIP_URI.fullmatch(text)
    if found is None:
        return _parse_other(text, rule)
    scheme, user, password, host, port, params, headers = found.groups()
    return Uri(
        scheme.lower(),
        user or "",
        checked_host(host, rule),
        parse_port(port, rule) if port else None,
        parse_params(params, rule) if params else None,
        headers or "",
        password,
    )


@lru_cache(REMEMBERED)
def _remembered(text: str, rule: str) -> Uri:
    return parse_uri(text, rule).settled()


def shared_uri(text: str, rule: str = RULE) -> Uri:
    """`parse_uri`, for whoever only looks: others who read the same text have the same object."""
    return _remembered(text, rule) if len(text) < LONG else parse_uri(text, rule)


def _parse_other(text: str, rule: str) -> Uri:
    scheme, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise Malformed("a URI without a scheme", rule)
    scheme = scheme.lower()
    if scheme in ("sip", "sips"):
        raise Malformed("a SIP URI with a character that must be escaped, or without a host", rule)
    if not _OPAQUE.fullmatch(rest):
        raise Malformed("a URI with a character that must be escaped", rule)
    return Uri(scheme, opaque=rest)
