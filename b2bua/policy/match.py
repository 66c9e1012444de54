"""One condition of a rule. The kinds are in b2bua/policy/rules, each module some; this is what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from b2bua.policy.patterns import Complain
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request


@dataclass(frozen=True, slots=True)
class Known:
    """The names that a condition may use.

    `listeners` maps each configured name to the names of the sockets it stands for: several when it is bound to a
    wildcard address.
    """

    zones: frozenset[str] = frozenset()
    listeners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Match:
    """A condition: calling it with a request and its flow asks whether it holds.

    It never raises for what `check` let in, and has neither state nor effects that could be seen from outside.
    """

    __slots__ = ()

    key: ClassVar[str]  # in [[route]]
    cost: ClassVar[int]  # the cheap ones of a rule are asked first

    @classmethod
    def read(cls, value: object, known: Known, complain: Complain) -> Match | None:
        """The condition that `value` after `key` means; None, after complaining, when it means none."""
        raise NotImplementedError

    def __call__(self, request: Request, flow: Flow) -> bool:
        raise NotImplementedError

    def describe(self) -> str:
        """What it asks for: `the user starts with "*33"`."""
        raise NotImplementedError

    def seen(self, request: Request, flow: Flow) -> str:
        """What the request has there instead: `the user is "bob"`."""
        raise NotImplementedError

    def asks_for(self, method: str) -> bool:
        """Whether it asks for this method by its name."""
        return False

    def may_come_by(self, listener: Listener) -> bool:
        """Whether a request that fits can come in on this listener at all."""
        return True
