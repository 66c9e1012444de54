"""`method = "INVITE"` or a list of methods: what is asked for (RFC 3261 7.1)."""

from __future__ import annotations

from b2bua.policy.match import Known, Match
from b2bua.policy.patterns import Complain, listed
from b2bua.sip.grammar import is_token
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request

RIGHT = 'must be a method such as "INVITE", or a list of methods'


class Method(Match):
    """The request's method is one of these. Methods are case-sensitive."""

    __slots__ = ("_methods",)
    key = "method"
    cost = 1

    def __init__(self, methods: frozenset[str]) -> None:
        self._methods = methods

    @classmethod
    def read(cls, value: object, known: Known, complain: Complain) -> Match | None:
        methods = listed(value)
        if methods is None or not all(map(is_token, methods)):
            complain("", value, RIGHT)
            return None
        small = [method for method in methods if method != method.upper()]
        for method in small:
            complain("", method, f'methods are written in capitals: "{method.upper()}"')
        return None if small else cls(frozenset(methods))

    def __call__(self, request: Request, flow: Flow) -> bool:
        return request.method in self._methods

    def asks_for(self, method: str) -> bool:
        return method in self._methods

    def describe(self) -> str:
        return f"the method is {' or '.join(sorted(self._methods))}"

    def seen(self, request: Request, flow: Flow) -> str:
        return f"the method is {request.method}"


KINDS = (Method,)
