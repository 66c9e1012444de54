"""[[route]]: the rules. What they match on is read by the kinds in b2bua/policy/rules, what they do is read here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Annotated

from msgspec import Meta, field

from b2bua.config.media import media_fault
from b2bua.config.reading import Count, Entry, Line, Rate, Reading, Seconds, Section, Text
from b2bua.config.sockets import Sockets
from b2bua.media.engine_options import wrong
from b2bua.policy.admission import Quota
from b2bua.policy.groups import Group, hops
from b2bua.policy.media import NONE, RELAY
from b2bua.policy.mistakes import NOTHING, among, shown
from b2bua.policy.options import DEFAULT, Forks, Hunting, Options, Redirect, Refer
from b2bua.policy.routing import AUTO, GROUP, LOOKUP, REGISTERED, REQUEST_URI, Answer, Go, Reject, Rule, next_hop
from b2bua.policy.rules import KINDS
from b2bua.sip.grammar import is_address
from b2bua.sip.listener import Listener
from b2bua.sip.uri import Uri

_WHERE_TO = 'must be a SIP URI, "group:NAME", "lookup", a list of them, or "request-uri"'
TRANSPORTS = ("udp", "tcp", "tls")

Status = Annotated[int, Meta(ge=300, le=699)]


class RouteEntry(Section, frozen=True):
    """What a [[route]] does. Beside these it has the keys of KINDS."""

    name: Line = ""
    to: Annotated[str | list[str], Meta(description=_WHERE_TO)] = ""
    send_from: Text = AUTO
    reject: Annotated[int, Meta(ge=300, le=699, description="must be a status from 300 to 699")] = 403
    reason: Text = ""
    forks: Annotated[Forks, Meta(description='must be "transparent" or "first"')] = DEFAULT.forks
    hunt: Annotated[Hunting, Meta(description='must be "serial" or "parallel"')] = DEFAULT.hunt
    target_timeout: Seconds = DEFAULT.target_timeout
    go_on: Annotated[list[Status], Meta(description="must be a list of statuses from 300 to 699")] = field(
        default_factory=lambda: sorted(DEFAULT.go_on)
    )
    redirect: Annotated[Redirect, Meta(description='must be "follow", "rewrite" or "pass"')] = DEFAULT.redirect
    refer: Annotated[Refer, Meta(description='must be "pass", "local" or "refuse"')] = DEFAULT.refer
    media: Text = ""
    media_options: Annotated[
        list[Annotated[str, Meta(pattern=r"\A[!-~]+\Z")]],
        Meta(description="must be a list of words without blanks, as the engine knows them"),
    ] = []
    calls: Count = 0
    rate: Rate = 0.0

    def options(self) -> Options:
        """How a call that this route sends on is carried."""
        return Options(
            self.forks,
            self.hunt,
            self.target_timeout,
            frozenset(self.go_on),
            self.redirect,
            self.refer,
            self.media,
            tuple(self.media_options),
        )


# What a route says of calls that it sends on, and of none that it rejects.
_SENDING = tuple("to send_from forks hunt target_timeout go_on redirect refer media media_options calls rate".split())


def read_routes(
    reading: Reading, sockets: Sockets, groups: Mapping[str, Group], engines: Collection[str] = ()
) -> tuple[Rule, ...]:
    """Every [[route]] without mistakes, in order."""
    rules: list[Rule] = []
    names: dict[str, str] = {}
    catcher: Entry[RouteEntry] | None = None
    for entry in reading.sections(RouteEntry, "route", KINDS):
        name = entry.value.name or entry.key
        if names.setdefault(name, entry.key) != entry.key:
            reading.wrong(f"{entry.key}.name", name, "another route has this name already")
        if catcher is not None:
            reading.warn(entry.key, NOTHING, f"is never reached: {catcher.key} has no condition, every request fits it")
        if catcher is None and not any(entry.has(key) for key in KINDS):
            catcher = entry
        before = len(reading.mistakes)
        matches = [
            kind.read(entry.raw[key], sockets.known, reading.complain(f"{entry.key}.{key}"))
            for key, kind in KINDS.items()
            if entry.has(key)
        ]
        answer = _answer(reading, entry, name, sockets, groups)
        _check_media(reading, entry, engines)
        if answer is not None and len(reading.mistakes) == before:
            cheap_first = sorted((match for match in matches if match is not None), key=lambda match: match.cost)
            rules.append(Rule(name, tuple(cheap_first), answer, Quota(entry.value.calls, entry.value.rate)))
    return tuple(rules)


def _answer(
    reading: Reading, entry: Entry[RouteEntry], name: str, sockets: Sockets, groups: Mapping[str, Group]
) -> Answer | None:
    """What an entry does with a request that fits; None, after saying so, when that is not clear."""
    value, key = entry.value, entry.key
    if entry.has("reject"):
        for other in _SENDING:
            if entry.has(other):
                reading.wrong(f"{key}.{other}", entry.raw[other], "reject is given too: a route sends on or rejects")
        try:
            return Reject(value.reject, value.reason, name)
        except ValueError:
            reading.wrong(f"{key}.reason", value.reason, "must be one line of text")
            return None
    if entry.has("reason"):
        reading.wrong(f"{key}.reason", entry.raw["reason"], "belongs to reject, which is not given")
    if not entry.has("to"):
        reading.wrong(f"{key}.to", NOTHING, 'missing: say where to ("sip:...", a list, or "request-uri"), or reject')
    uris = _next_hops(reading, f"{key}.to", value.to, groups) if "to" in entry.fine else None
    known = "send_from" in entry.fine or not entry.has("send_from")
    if known and value.send_from != AUTO and (fault := sockets.fault(value.send_from)):
        reading.wrong(f"{key}.send_from", value.send_from, fault)
        known = False
    if uris is None or not known:
        return None
    if not ways_out(sockets.listeners, value.send_from, None):
        if sockets.whole:
            reading.wrong(f"{key}.send_from", value.send_from, "no listener is in this zone")
        return None
    answer = Go(tuple(uris), value.send_from, name, value.options())
    reached = hops(answer, groups)
    if len(asked := {hop.send_from for hop in reached}) > 1:
        message = f"its next hops have different send_from ({', '.join(sorted(asked))}): give the route its own"
        reading.wrong(f"{key}.to", value.to, message)
    for hop in reached:
        # A group's members have been held against its own send_from, if the route gives none.
        if not hop.group or value.send_from != AUTO:
            _way_out(reading, entry, hop.uri, sockets)
    looks_up = REGISTERED in answer.to
    if looks_up and not reached and value.send_from != AUTO:
        reading.warn(f"{key}.send_from", value.send_from, "has no effect: each phone is reached as it registered")
    _say_what_is_in_vain(reading, entry, len(reached) + 2 * looks_up)
    return answer


def _check_media(reading: Reading, entry: Entry[RouteEntry], engines: Collection[str]) -> None:
    """What a route says of media is known, and can be of use."""
    value, key = entry.value, entry.key
    if "media" in entry.fine and (fault := media_fault(value.media, engines)):
        reading.wrong(f"{key}.media", value.media, fault)
    elif value.media_options and (value.media in (NONE, RELAY) or not engines):
        message = "has no effect: only an [[engine]] reads it, and none is asked here"
        reading.warn(f"{key}.media_options", value.media_options, message)
    for each in value.media_options:
        if why := wrong(each):
            reading.wrong(f"{key}.media_options", each, why)
    methods = entry.raw.get("method", "INVITE")
    if "INVITE" not in (methods if isinstance(methods, list) else [methods]):
        for name in ("media", "media_options"):
            if entry.has(name):
                reading.warn(f"{key}.{name}", entry.raw[name], "has no effect: only calls have media")


def _say_what_is_in_vain(reading: Reading, entry: Entry[RouteEntry], targets: int) -> None:
    """Choices that have no effect on how a call is carried."""
    value, key = entry.value, entry.key
    if targets < 2 and value.redirect != "follow":
        in_vain = "has no effect: the route has one target only"
        if value.hunt == "parallel":
            reading.warn(f"{key}.hunt", value.hunt, in_vain)
        if "go_on" in entry.fine:
            reading.warn(f"{key}.go_on", entry.raw["go_on"], in_vain)
    elif any(status >= 600 for status in value.go_on):
        message = "a 6xx ends the search, whatever is said here (RFC 3261 16.7)"
        reading.warn(f"{key}.go_on", entry.raw["go_on"], message)


def _next_hops(reading: Reading, key: str, to: str | list[str], groups: Mapping[str, Group]) -> list[Uri] | None:
    """The URIs of `to`, none for the Request-URI; None, after saying so, when one is wrong."""
    if to == REQUEST_URI:
        return []
    texts = to if isinstance(to, list) else [to]
    if not texts:
        reading.wrong(key, to, f"an empty list; {_WHERE_TO}")
    uris = [uri for text in texts if (uri := read_next_hop(reading, key, text)) is not None]
    for uri in uris:
        if uri.scheme == GROUP and uri.opaque not in groups:
            reading.wrong(key, str(uri), f"no [[group]] of that name; {among(filter(None, groups))}")
            return None
        if uri.scheme == LOOKUP and "registrar" not in reading.raw:
            reading.wrong(key, LOOKUP, "nobody registers here: there is no [registrar]")
            return None
    return uris if uris and len(uris) == len(texts) else None


def read_next_hop(reading: Reading, key: str, text: str) -> Uri | None:
    """The URI of a next hop, or a group's; None, after saying so, when it is none that can be sent to."""
    try:
        uri = next_hop(text)
    except ValueError as fault:
        reading.wrong(key, text, f"{fault}; {_right(text)}")
        return None
    if uri.transport not in ("", *TRANSPORTS):
        reading.wrong(key, text, f"transport={uri.transport} is none that a listener can have: udp, tcp or tls")
        return None
    if uri.secure and uri.transport == "udp":
        reading.wrong(key, text, "sips: asks for TLS and transport=udp for UDP: leave one out")
        return None
    return uri


def _right(text: str) -> str:
    """What was probably meant by what is no SIP URI."""
    if text == REQUEST_URI:
        return f'"{REQUEST_URI}" stands alone, not in a list'
    scheme, colon, rest = text.partition(":")
    if scheme == GROUP:
        return f'must be "{GROUP}:" and the name of a [[group]]'
    if get_close_matches(text, [LOOKUP], 1, 0.7):
        return f'did you mean "{LOOKUP}"?'
    known = (GROUP, "sip", "sips")
    if scheme not in known and rest and (meant := get_close_matches(scheme, known, 1, 0.7)):
        return f'did you mean "{meant[0]}:{rest}"?'
    if not (colon and scheme.isalnum()):  # else it is another scheme, and meant so
        try:
            return f'did you mean "{next_hop(f"sip:{text}")}"?'
        except ValueError:
            pass
    return 'must be a SIP URI such as "sip:192.0.2.1:5060;transport=tcp"'


def wanted_transport(uri: Uri) -> str:
    """The transport that a URI insists on; empty when it leaves the choice."""
    return "tls" if uri.secure else uri.transport


def ways_out(listeners: tuple[Listener, ...], send_from: str, uri: Uri | None) -> list[Listener]:
    """The listeners by which a request to `uri` may leave, as far as the configuration alone tells."""
    named = [each for each in listeners if each.name == send_from]
    candidates = named or [each for each in listeners if send_from in (AUTO, each.zone)]
    if uri is None:
        return candidates
    transport, family = wanted_transport(uri), _family(uri)
    return [each for each in candidates if transport in ("", each.transport) and family in (0, each.family)]


def _family(uri: Uri) -> int:
    """4 or 6 where the host is an address, 0 where it is a name."""
    return (6 if ":" in uri.host else 4) if is_address(uri.host) else 0


def way_out_fault(sockets: Sockets, send_from: str, uri: Uri) -> str:
    """Why no listener that `send_from` allows can speak what a URI asks for; empty where one can."""
    if ways_out(sockets.listeners, send_from, uri) or (sockets.listener(send_from) is None and not sockets.whole):
        return ""
    whose = "" if send_from == AUTO else f" of {send_from}"
    return f"no listener{whose} can reach it: it asks for {_needed(uri)}"


def _way_out(reading: Reading, entry: Entry[RouteEntry], uri: Uri, sockets: Sockets) -> None:
    """Some listener that `send_from` allows can speak what the URI asks for."""
    send_from = entry.value.send_from
    if ways_out(sockets.listeners, send_from, uri):
        return
    listener = sockets.listener(send_from)
    if listener is None and not sockets.whole:
        return  # the one that is missing may be one with a mistake in it
    needed = _needed(uri)
    if listener is not None:
        kind = f"{listener.transport.upper()} over IPv{listener.family}"
        message = f"this listener is {kind}, but {shown(str(uri))} asks for {needed}"
        reading.wrong(f"{entry.key}.send_from", send_from, message)
    elif send_from == AUTO:
        reading.wrong(f"{entry.key}.to", str(uri), f"no listener can reach it: it asks for {needed}")
    else:
        message = f"no listener of this zone can reach {shown(str(uri))}: it asks for {needed}"
        reading.wrong(f"{entry.key}.send_from", send_from, message)


def _needed(uri: Uri) -> str:
    transport, family = wanted_transport(uri).upper(), _family(uri)
    network = f"IPv{family}" if family else ""
    reason = " (sips)" if uri.secure else ""
    return " over ".join(filter(None, (transport + reason, network)))
