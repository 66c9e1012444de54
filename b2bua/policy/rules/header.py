"""`header = { "X-Account" = "regex:[0-9]+" }`: what the request's headers say; every one that is named must fit."""

from __future__ import annotations

from b2bua.policy.match import Known, Match
from b2bua.policy.mistakes import shown
from b2bua.policy.patterns import Complain, Patterns, read_patterns
from b2bua.sip.grammar import is_token
from b2bua.sip.headers import BY_NAME, canonical
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request

RIGHT = 'must be a table of header names and patterns: { "X-Account" = "regex:[0-9]+" }'


class Header(Match):
    """Of each of these headers some value fits. A header that may be a list is taken apart at its commas."""

    __slots__ = ("_wanted",)
    key = "header"
    cost = 4

    def __init__(self, wanted: dict[str, Patterns]) -> None:
        self._wanted = tuple((name, canonical(name), patterns) for name, patterns in wanted.items())

    @classmethod
    def read(cls, value: object, known: Known, complain: Complain) -> Match | None:
        if not isinstance(value, dict) or not value:
            complain("", value, RIGHT)
            return None
        wanted: dict[str, Patterns] = {}
        for name, pattern in value.items():
            if not is_token(name):
                complain(name, pattern, "no header can have this name")
            elif (patterns := read_patterns(pattern, _within(name, complain))) is not None:
                wanted[name] = patterns
        return cls(wanted) if len(wanted) == len(value) else None

    def __call__(self, request: Request, flow: Flow) -> bool:
        for _, name, patterns in self._wanted:
            for value in _values(request, name):
                if patterns.fits(value):
                    break
            else:
                return False
        return True

    def describe(self) -> str:
        return " and ".join(f"{written} {patterns.describe()}" for written, _, patterns in self._wanted)

    def seen(self, request: Request, flow: Flow) -> str:
        return " and ".join(
            f"{written} is {' and '.join(map(shown, values))}" if values else f"there is no {written}"
            for written, name, _ in self._wanted
            for values in (_values(request, name),)
        )


def _within(name: str, complain: Complain) -> Complain:
    return lambda _, value, message: complain(name, value, message)


def _values(request: Request, name: str) -> list[str]:
    values = request.headers.get(name)
    if not values:
        return []
    row = BY_NAME.get(name)
    return values if row is None or not row.many else request.values(name)


KINDS = (Header,)
