"""What would become of a request: by which rule, listener, address and route it would leave, and what would be in it.

Where is the decision? In the hall, as for a real call: see `rehearsal`. Here are the question and its answer in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from b2bua.call.lookup import Lookup
from b2bua.call.wire import Wire
from b2bua.config import Configuration
from b2bua.ops.anchored import of_call
from b2bua.ops.rehearsal import Rehearsal
from b2bua.ops.tables import details
from b2bua.ops.ways import BRANCH, NextHop, Rows, Way, rows
from b2bua.policy.groups import Groups
from b2bua.policy.interface import Kernel
from b2bua.policy.media import MediaSettings
from b2bua.policy.routing import AUTO, Explained, Go, decide
from b2bua.sip.check import check_request
from b2bua.sip.grammar import Malformed, bracketed
from b2bua.sip.headers import canonical
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request, parse
from b2bua.sip.uri import parse_uri

_NOT_ROUTED = ("ACK", "CANCEL")  # they go where their INVITE went
_PORT = 5060  # of the peer that nobody is


class CannotAsk(ValueError):
    """The question makes no sense; the text says what would."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request that nobody sent. `zone` and `listener` say where it comes in, `source` from which address.

    Empty ones are left open: then it comes in on the first listener (of that zone), from no address at all. `headers`
    are lines such as "X-Account: 7"; they stand in place of the ones that it would have had otherwise.
    """

    uri: str
    method: str = "INVITE"
    zone: str = ""
    listener: str = ""
    source: str = ""
    headers: Sequence[str] = ()


@dataclass(slots=True)
class Explanation:
    """What would become of a request. `status` is our own answer to it where it goes nowhere, and `why` the reason.

    `rules` are those that were asked, the last one is the one that fits, if any does; `script` is what the policy
    script said; `send_from` is what the answer of either names. `hops` are the next hops that would be tried, in order.
    `media` is what is configured of media, `route_media` what the answer says of it.
    """

    request: Request
    flow: Flow
    listeners: Sequence[Listener] = ()
    script: str = ""
    rules: list[Explained] = field(default_factory=list)
    hops: list[NextHop] = field(default_factory=list)
    send_from: str = ""
    status: int = 0
    why: str = ""
    kernel: Kernel | None = None
    media: MediaSettings = field(default_factory=MediaSettings)
    route_media: str = ""

    @property
    def sent(self) -> bool:
        """Whether it would be sent on to anybody."""
        return any(hop.best is not None for hop in self.hops)

    def text(self) -> str:
        """All of it, for reading."""
        parts = [self._head()]
        if self.script:
            parts.append(f"Policy script\n{details([('', self.script)])}")
        if self.rules:
            parts.append("Rules\n" + details(map(_rule_line, self.rules), "  "))
        for number, hop in enumerate(self.hops, 1):
            parts.append(self._hop(number, hop))
        if not self.sent:
            reason = f": {self.why}" if self.why else ""
            parts.append(f"It is answered {self.status}{reason}")
        return "\n\n".join(parts)

    def _head(self) -> str:
        listener, source = self.flow.listener, self.flow.host
        origin = f"from {source}" if source else "from no address in particular"
        by = f"{listener.name} ({listener.transport} {bracketed(listener.address)}:{listener.port})"
        asked = f"{self.request.method} {self.request.uri_text}"
        return details([("Request", asked), ("comes in", f"{origin} on {by}, zone {listener.zone}")])

    def _hop(self, number: int, hop: NextHop) -> str:
        sends = "the kernel chooses the interface" if hop.send_from == AUTO else f"send_from {hop.send_from}"
        if hop.registered:
            sends = "as it registered"
        elif hop.send_from != self.send_from:
            sends += ", which its group names" if hop.group else ", which a Route of the request names"
        member = f" of group {hop.group}, by priority and chance" if hop.group else ""
        lines = [f"Next hop {number}: {hop.uri}{member}, {sends}"]
        if hop.lost:
            lines.append(details([("nowhere", hop.lost)], "  "))
        for way in hop.ways:
            lines.append(details([*rows(hop, way, self.listeners, self.kernel), *self._media(way)], "  "))
            lines.append("")
        return "\n".join(lines).rstrip("\n")

    def _media(self, way: Way) -> Rows:
        """Of a call that can be sent."""
        if way.choice is None or self.request.method != "INVITE":
            return []
        return of_call(self.media, self.flow.listener, way.choice.listener, self.route_media)


def explain(
    configuration: Configuration,
    wire: Wire,
    question: Question,
    kernel: Kernel | None = None,
    groups: Groups | None = None,
    lookup: Lookup | None = None,
) -> Deferred[Explanation]:
    """What would become of a request that `question` describes.

    `wire` finds addresses and listeners as for a real call; nothing is sent. `kernel` is asked for routes that the
    choice does not need, only to show them. `groups` is what is known of their members; without it none of them rests.
    `lookup` knows who is registered; without it nobody is.
    Raises CannotAsk; the Deferred fires at once unless a name has to be looked up or the policy script takes its time.
    """
    request, flow, fault = _ask(wire.listeners, question)
    explanation = Explanation(request, flow, tuple(wire.listeners), kernel=kernel, media=configuration.media)
    done: Deferred[Explanation] = Deferred()
    if fault is not None:
        explanation.status, explanation.why = fault.status, f"{fault.reason} ({fault.rule})"
        done.callback(explanation)
    elif request.method in _NOT_ROUTED:
        explanation.why = f"{request.method} is not routed: it goes where its INVITE went"
        done.callback(explanation)
    elif (
        request.method == "REGISTER"
        and configuration.registrar is not None
        and not _sent_on(configuration, request, flow)
    ):
        explanation.why = "REGISTER is not routed: the registrar answers it"
        done.callback(explanation)
    else:
        Rehearsal(configuration, wire, explanation, done, groups, lookup).start()
        if lookup is None and configuration.registrar is not None:
            done.addCallback(_not_known)
    return done


def _sent_on(configuration: Configuration, request: Request, flow: Flow) -> bool:
    """Whether a REGISTER goes to a registrar inside."""
    inwards = [rule for rule in configuration.rules if rule.asks_for("REGISTER")]
    return isinstance(decide(inwards, request, flow), Go)


def _not_known(explanation: Explanation) -> Explanation:
    if explanation.status == 480 and not explanation.hops:
        explanation.why += "; who is, the running bridge knows: ask explain() in its manhole"
    return explanation


def _ask(listeners: Sequence[Listener], question: Question) -> tuple[Request, Flow, Malformed | None]:
    """The request, the way it came, and what would be wrong with it before anybody is asked."""
    listener = _incoming(listeners, question)
    for text in (question.uri, question.method, question.source, *question.headers):
        if not text.isprintable():
            raise CannotAsk("control characters cannot be asked with")
    try:
        parse_uri(question.uri)
    except Malformed as fault:
        raise CannotAsk(f"the Request-URI {question.uri} is wrong: {fault.reason} ({fault.rule})") from None
    host = bracketed(question.source or listener.address)
    lines = {
        "Via": f"{listener.via.partition(' ')[0]} {host}:{_PORT};branch={BRANCH}",
        "Max-Forwards": "70",
        "From": f"<sip:somebody@{host}>;tag=explain",
        "To": f"<{question.uri}>",
        "Call-ID": "explain",
        "CSeq": f"1 {question.method}",
        "Contact": f"<sip:somebody@{host}:{_PORT}>",
    }
    more: list[str] = []
    for header in question.headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise CannotAsk(f'a header is "Name: value", not "{header}"')
        lines.pop(canonical(name.strip()), None)
        more.append(f"{name.strip()}: {value.strip()}")
    head = [f"{question.method} {question.uri} SIP/2.0", *(f"{name}: {value}" for name, value in lines.items()), *more]
    flow = Flow(listener, question.source, _PORT if question.source else 0)
    try:
        request = parse("\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape"))
        if not isinstance(request, Request):
            raise CannotAsk(f"{question.method} {question.uri} is no request")
        check_request(request)
    except Malformed as fault:
        return Request(question.method, question.uri, {}), flow, fault
    return request, flow, None


def _incoming(listeners: Sequence[Listener], question: Question) -> Listener:
    """The listener on which it comes in; a wildcard listener is named with or without its address."""
    names, zones = [each.name for each in listeners], sorted({each.zone for each in listeners})
    if question.zone and question.zone not in zones:
        raise CannotAsk(f"no zone {question.zone}; there are: {', '.join(zones)}")
    named = [each for each in listeners if question.listener in ("", each.name, each.name.partition("@")[0])]
    if not named:
        raise CannotAsk(f"no listener {question.listener}; there are: {', '.join(names)}")
    fitting = [each for each in named if question.zone in ("", each.zone)]
    if not fitting:
        raise CannotAsk(f"the listener {question.listener} is in the zone {named[0].zone}")
    family = (6 if ":" in question.source else 4) if question.source else 0
    return next((each for each in fitting if each.family == family), fitting[0])


def _rule_line(asked: Explained) -> tuple[str, str]:
    """`fits  to bob: the user is "bob", so to sip:192.0.2.1 by private`."""
    if not asked.matched:
        return "does not fit", f"{asked.rule.name}: {asked.why}"
    return "fits", f"{asked.rule.name}: {asked.why}; so: {asked.rule.answer.describe()}"
