"""`user` and `domain`: the two sides of the Request-URI's at sign."""

from __future__ import annotations

from b2bua.policy.match import Known, Match
from b2bua.policy.mistakes import shown
from b2bua.policy.patterns import Complain, Patterns, read_patterns
from b2bua.sip.grammar import Malformed, parse_host
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request
from b2bua.sip.uri import Uri, unescape


def dialled(uri: Uri) -> str:
    """The user of a URI with its escapes undone (RFC 3261 19.1.4); of a `tel:` URI its number (RFC 3966)."""
    return unescape(uri.user or uri.opaque.partition(";")[0])


def domain(uri: Uri) -> str:
    """The host of a URI in lower case, without brackets."""
    return uri.host.lower()


class User(Match):
    """The user part, case-sensitive (RFC 3261 19.1.4)."""

    __slots__ = ("_patterns", "_fits")
    key = "user"
    cost = 3

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._fits = patterns.fits

    @classmethod
    def read(cls, value: object, known: Known, complain: Complain) -> Match | None:
        patterns = read_patterns(value, complain)
        return None if patterns is None else cls(patterns)

    def __call__(self, request: Request, flow: Flow) -> bool:
        user = request.uri.user
        return self._fits(user if user and "%" not in user else dialled(request.uri))

    def describe(self) -> str:
        return f"the user {self._patterns.describe()}"

    def seen(self, request: Request, flow: Flow) -> str:
        return f"the user is {shown(dialled(request.uri))}"


class Domain(Match):
    """The host part: a name without regard to case, or an address."""

    __slots__ = ("_patterns",)
    key = "domain"
    cost = 3

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns

    @classmethod
    def read(cls, value: object, known: Known, complain: Complain) -> Match | None:
        patterns = read_patterns(value, complain, fold=True, normal=_one_spelling)
        return None if patterns is None else cls(patterns)

    def __call__(self, request: Request, flow: Flow) -> bool:
        return self._patterns.fits(request.uri.host)

    def describe(self) -> str:
        return f"the domain {self._patterns.describe()}"

    def seen(self, request: Request, flow: Flow) -> str:
        return f"the domain is {shown(request.uri.host)}"


def _one_spelling(host: str) -> str:
    """A host as URIs are read: an IPv6 address, in brackets or without, in the one spelling it has."""
    try:
        return parse_host(host if host[:1] == "[" or ":" not in host else f"[{host}]", "RFC 3261 25.1")
    except Malformed:
        return host


KINDS = (User, Domain)
