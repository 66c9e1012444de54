"""Where a request outside a dialog goes: the operator's rules in order, the first that fits decides.

Which rule fits, and why did the others not? `explain`. What does a rule or a policy script answer? `Go` or `Reject`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from b2bua.policy.admission import UNLIMITED, Quota
from b2bua.policy.match import Match
from b2bua.policy.options import DEFAULT, Options
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request
from b2bua.sip.uri import Uri, parse_uri

AUTO = "auto"
REQUEST_URI = "request-uri"
GROUP = "group"  # the scheme of what stands for the members of a [[group]]
LOOKUP = "lookup"  # what stands for whoever is registered as the user who is called
REGISTERED = Uri(LOOKUP, opaque=LOOKUP).settled()

Destination = str | Uri | Iterable[str | Uri]


@dataclass(frozen=True, slots=True, init=False)
class Go:
    """Send the request on.

    `to` is the next hop: a SIP URI, or several that are tried in turn; as text or as `Uri`. `"request-uri"`, which is
    also what `()` means, sends it where its own Request-URI says. `"group:NAME"`, alone or in a list, stands for the
    members of a [[group]] of the configuration; `grouped` tells whether one is among them. `"lookup"`, alone or in a
    list, stands for the phones that are registered as the user of the Request-URI, each of which is reached as it
    registered. `send_from` is a listener (its name, or itself), a zone's name, or "auto": as the kernel would. `rule`
    names what decided, `options` how the call is carried.

    Raises ValueError (Malformed, where it is no URI) and TypeError for what cannot be sent to.
    """

    to: tuple[Uri, ...] = ()
    send_from: str = AUTO
    rule: str = ""
    options: Options = DEFAULT
    grouped: bool = field(default=False, init=False, compare=False, repr=False)

    def __init__(
        self,
        to: Destination = (),
        send_from: str | Listener = AUTO,
        rule: str = "",
        options: Options = DEFAULT,
    ) -> None:
        fill = object.__setattr__  # frozen, but friendly to whoever writes a policy
        fill(self, "to", _destination(to))
        name = send_from.name if isinstance(send_from, Listener) else send_from
        if not isinstance(name, str) or not name:
            raise TypeError(f"send_from is {name!r}, not a listener, a zone's name or {AUTO!r}")
        fill(self, "send_from", name)
        if not isinstance(options, Options):
            raise TypeError(f"options is {options!r}, not Options")
        fill(self, "rule", rule)
        fill(self, "options", options)
        fill(self, "grouped", any(uri.scheme == GROUP for uri in self.to))

    def through(self, to: tuple[Uri, ...], send_from: str) -> Go:
        """The same by these next hops, which are not looked at again."""
        fill = object.__setattr__
        answer = object.__new__(Go)
        fill(answer, "to", to)
        fill(answer, "send_from", send_from)
        fill(answer, "rule", self.rule)
        fill(answer, "options", self.options)
        fill(answer, "grouped", False)
        return answer

    def describe(self) -> str:
        """`to sip:10.0.0.5;transport=tcp by private`."""
        parallel = self.options.hunt == "parallel" and (len(self.to) > 1 or REGISTERED in self.to)
        named = ["whoever is registered" if uri.scheme == LOOKUP else str(uri) for uri in self.to]
        where = (" and " if parallel else ", then ").join(named) or "the Request-URI"
        at_once = " at once" if parallel else ""
        if self.to == (REGISTERED,):
            return f"to {where}{at_once}, each as it registered"
        if self.grouped and self.send_from == AUTO:
            return f"to {where}{at_once} as the group says"
        by = "the interface that the kernel chooses" if self.send_from == AUTO else self.send_from
        return f"to {where}{at_once} by {by}"


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the request with `status` (300 to 699), and `reason` as its words; empty: the usual ones.

    Raises ValueError for another status and for control characters in the reason.
    """

    status: int
    reason: str = ""
    rule: str = ""

    def __post_init__(self) -> None:
        if type(self.status) is not int or not 300 <= self.status <= 699:
            raise ValueError(f"status is {self.status!r}, not a number from 300 to 699")
        if not isinstance(self.reason, str) or not self.reason.isprintable():
            raise ValueError(f"reason is {self.reason!r}, not one line of text")

    def describe(self) -> str:
        """`refused with 403 No such account`."""
        return f"refused with {self.status} {self.reason}".rstrip()


Answer = Go | Reject


@dataclass(frozen=True, slots=True)
class Rule:
    """One [[route]]: when all of `matches` hold, `answer` is what becomes of the request. None at all always hold.

    `quota` is how much of that may be.
    """

    name: str
    matches: tuple[Match, ...]
    answer: Answer
    quota: Quota = UNLIMITED

    def may_come_by(self, listener: Listener) -> bool:
        """Whether a request that fits can come in on this listener at all."""
        return all(match.may_come_by(listener) for match in self.matches)

    def asks_for(self, method: str) -> bool:
        """Whether it is written for this method, by its name."""
        return any(match.asks_for(method) for match in self.matches)

    def describe(self) -> str:
        """`media servers: the user starts with "*33" -> to sip:10.0.0.5 by private`."""
        wanted = " and ".join(match.describe() for match in self.matches) or "every request"
        return f"{self.name}: {wanted} -> {self.answer.describe()}"


class Explained(NamedTuple):
    """One rule that was asked: whether it fits, and why (or why not), for the operator."""

    rule: Rule
    matched: bool
    why: str


def decide(rules: Sequence[Rule], request: Request, flow: Flow) -> Answer | None:
    """What the first rule that fits says; None when none does, which is answered 404."""
    for rule in rules:
        for match in rule.matches:
            if not match(request, flow):
                break
        else:
            return rule.answer
    return None


def explain(rules: Sequence[Rule], request: Request, flow: Flow) -> list[Explained]:
    """Every rule that `decide` asks, in order, with its reason; the last one is the one that fits, if any does."""
    asked = []
    for rule in rules:
        reason = next((_why_not(match, request, flow) for match in rule.matches if not match(request, flow)), "")
        if reason:
            asked.append(Explained(rule, False, reason))
            continue
        held = " and ".join(match.describe() for match in rule.matches)
        asked.append(Explained(rule, True, held or "it asks for nothing"))
        break
    return asked


def _why_not(match: Match, request: Request, flow: Flow) -> str:
    return f"it asks that {match.describe()}, but {match.seen(request, flow)}"


def _destination(to: Destination) -> tuple[Uri, ...]:
    if to == () or to == REQUEST_URI:
        return ()
    uris = tuple(map(next_hop, (to,) if isinstance(to, (str, Uri)) else to))
    if not uris:
        raise ValueError(f"to is an empty list; to send by the Request-URI say {REQUEST_URI!r}")
    return uris


def next_hop(to: str | Uri) -> Uri:
    """A URI that can be sent to, a group's, or `REGISTERED`.

    Raises ValueError (Malformed, where it is no URI) and TypeError.
    """
    if not isinstance(to, (str, Uri)):
        raise TypeError(f"to is {to!r}, not a SIP URI or a list of them")
    if str(to) in (LOOKUP, str(REGISTERED)):
        return REGISTERED
    uri = parse_uri(str(to))  # a Uri too: a script may have put anything into one
    if uri.scheme == GROUP:
        return uri.settled()
    if not uri.is_sip:
        raise ValueError(f"{uri} is not a sip: or sips: URI")
    if uri.headers:
        raise ValueError(f"{uri} has headers (?{uri.headers}), which a next hop cannot have")
    return uri.settled()
