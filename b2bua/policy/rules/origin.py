"""`zone` and `listener`: by which side, and by which socket, the request came in."""

from __future__ import annotations

from collections.abc import Mapping

from b2bua.policy.match import Known, Match
from b2bua.policy.mistakes import among
from b2bua.policy.patterns import Complain, listed
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request


class FromZone(Match):
    """The zone of the listener on which the request came in."""

    __slots__ = ("_zones",)
    key = "zone"
    cost = 0

    def __init__(self, zones: frozenset[str]) -> None:
        self._zones = zones

    @classmethod
    def read(cls, value: object, known: Known, complain: Complain) -> Match | None:
        names = _names(value, {zone: (zone,) for zone in known.zones}, "zone", complain)
        return None if names is None else cls(names)

    def __call__(self, request: Request, flow: Flow) -> bool:
        return flow.listener.zone in self._zones

    def describe(self) -> str:
        return f"it comes from the zone {' or '.join(sorted(self._zones))}"

    def seen(self, request: Request, flow: Flow) -> str:
        return f"it comes from the zone {flow.listener.zone}"

    def may_come_by(self, listener: Listener) -> bool:
        return listener.zone in self._zones


class FromListener(Match):
    """The listener on which the request came in."""

    __slots__ = ("_listeners",)
    key = "listener"
    cost = 0

    def __init__(self, listeners: frozenset[str]) -> None:
        self._listeners = listeners

    @classmethod
    def read(cls, value: object, known: Known, complain: Complain) -> Match | None:
        names = _names(value, known.listeners, "listener", complain)
        return None if names is None else cls(names)

    def __call__(self, request: Request, flow: Flow) -> bool:
        return flow.listener.name in self._listeners

    def describe(self) -> str:
        return f"it comes in on {' or '.join(sorted(self._listeners))}"

    def seen(self, request: Request, flow: Flow) -> str:
        return f"it comes in on {flow.listener.name}"

    def may_come_by(self, listener: Listener) -> bool:
        return listener.name in self._listeners


def _names(value: object, known: Mapping[str, tuple[str, ...]], what: str, complain: Complain) -> frozenset[str] | None:
    names = listed(value)
    if names is None:
        complain("", value, f"must be the name of a {what}, or a list of names")
        return None
    unknown = [name for name in names if name not in known]
    for name in unknown:
        complain("", name, f"no {what} of that name; {among(known)}")
    return None if unknown else frozenset(each for name in names for each in known[name])


KINDS = (FromZone, FromListener)
