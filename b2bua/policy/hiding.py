"""What may cross the border (S35, S36, S39, S40): headers are granted by the table, never copied and scrubbed.

Why did this header not cross? `Hiding.explain`, or `verdict_of` for the table's row alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial

from b2bua.policy import crossing
from b2bua.policy.body import NO_EXCEPTIONS, Exceptions
from b2bua.policy.crossing import METHODS, OPTION_TAGS, Crossing
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import Malformed, is_token
from b2bua.sip.headers import BY_NAME, TABLE, Verdict, canonical, verdict_of
from b2bua.sip.message import Headers, Request, Response

__all__ = ["METHODS", "NEEDS_MEDIA", "OPTION_TAGS", "Hiding", "anonymous", "beyond_us", "unsupported", "verdict_of"]

# Every header that crosses, but not as it is.
CROSSINGS: dict[str, Crossing] = {
    "Alert-Info": crossing.alerts,
    "Allow": crossing.methods,
    "Date": crossing.date,
    "Event": crossing.event,
    "Expires": crossing.number,
    "Identity": crossing.identity,
    "MIME-Version": crossing.version,
    "Max-Breadth": crossing.number,
    "Min-Expires": crossing.number,
    "Privacy": crossing.privacy,
    "Proxy-Authenticate": crossing.challenge,
    "Proxy-Require": crossing.required,
    "Reason": crossing.reason,
    "Recv-Info": crossing.packages,
    "Refer-Sub": crossing.refer_sub,
    "Refer-To": crossing.refer_to,
    "Referred-By": crossing.masked,
    "Reply-To": crossing.masked,
    "Require": crossing.required,
    "Retry-After": crossing.retry_after,
    "Session-ID": crossing.session_id,
    "Subscription-State": crossing.subscription_state,
    "Supported": crossing.option_tags,
    "Unsupported": crossing.option_tags,
    "WWW-Authenticate": crossing.challenge,
    "Warning": crossing.warning,
}
# What names a dialog crosses only by whoever knows what it is called on the other side; Refer-To does it within a URI.
NAMING = frozenset({"In-Reply-To", "Join", "Refer-To", "Replaces", "Target-Dialog"})
# They speak of the body and go with it.
OF_THE_BODY = frozenset({"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "MIME-Version"})
# Given several times though a comma does not part one value from the next (RFC 3261 7.3.1, RFC 8224 4).
_REPEATED = frozenset({"Authorization", "Identity", "Proxy-Authenticate", "Proxy-Authorization", "WWW-Authenticate"})
# A signature crosses with what it covers or not at all (RFC 8224 4.1).
SIGNED = frozenset({"Identity", "Date"})
# What a wish in Privacy takes away, kept by the configuration or not (RFC 3323 4.1, RFC 3325 9.3, RFC 7044 10.1).
WISHES: dict[str, tuple[str, ...]] = {
    "user": ("Subject", "Organization", "Reply-To", "In-Reply-To", "Call-Info", "Referred-By", "Identity", "Date"),
    "id": ("P-Asserted-Identity",),
    "history": ("History-Info",),
}

# Not for the configuration to give away: what the legs write, and what the bridge can do.
_NEVER_KEPT = frozenset({Verdict.OURS, Verdict.INTERSECT})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Translate = Callable[[str, str], str]  # (name of the header, value) -> what the other side calls the same, or nothing
Action = tuple[str, Crossing | None, bool]  # the name to send, what becomes of a value (None: nothing), more than one


class Hiding:
    """What may cross from one zone to another. Made once for each pair and then only read.

    `keep` names headers that cross as they are whatever the table says, in the spelling that is to be sent; `drop`
    names headers that do not cross; `bodies` says the same of bodies. ValueError for names that are none, or that the
    configuration has no say in.
    """

    __slots__ = ("source", "target", "bodies", "_keep", "_drop", "_with_body", "_without_body", "_naming", "_signs")

    def __init__(
        self,
        source: Zone,
        target: Zone,
        keep: frozenset[str] = frozenset(),
        drop: frozenset[str] = frozenset(),
        bodies: Exceptions = NO_EXCEPTIONS,
    ) -> None:
        self.source = source
        self.target = target
        self.bodies = bodies
        self._keep = {canonical(name): _spelling(name) for name in sorted(keep)}
        self._drop = frozenset(canonical(name) for name in drop)
        for name in self._keep:
            if verdict_of(name).verdict in _NEVER_KEPT:
                raise ValueError(f"{name} cannot be kept: {verdict_of(name).why}")
        for name in self._drop:
            if verdict_of(name).verdict is Verdict.OURS:
                raise ValueError(f"{name} cannot be dropped: each leg writes its own, or none")
            if name in self._keep:
                raise ValueError(f"{name} is both kept and dropped")
        names = [*(row.name for row in TABLE), *(name for name in self._keep if name not in BY_NAME)]
        self._naming = tuple(sorted(NAMING - self._keep.keys() - self._drop))
        granted = [name for name in names if self.explain(name)[0] and (name not in self._naming or name in CROSSINGS)]
        self._with_body: dict[str, Action] = {name: self._action(name) for name in granted}
        self._without_body = {name: what for name, what in self._with_body.items() if name not in OF_THE_BODY}
        self._signs = "Identity" in self._with_body and "Date" not in self._keep

    def _action(self, name: str) -> Action:
        if name in self._keep:
            return self._keep[name], None, True
        return name, CROSSINGS.get(name), BY_NAME[name].many or name in _REPEATED

    def grant(self, message: Request | Response, host: str, translate: Translate | None = None) -> Headers:
        """The headers that may cross, as the leg whose URIs say `host` may send them, in the order in which they came.

        What names a dialog crosses only as `translate` says it.

        Never one that the leg writes itself. A value with a control character, or not in UTF-8, does not cross. Of a
        header that may be given once only the first value crosses, so that nobody further on can read another one.
        """
        actions = self._with_body if message.body else self._without_body
        granted: Headers = {}
        for name, values in message.headers.items():
            if name not in actions:
                continue
            spelling, change, many = actions[name]
            if change is None and len(values) == 1 and values[0].isprintable():
                granted[spelling] = [values[0]]
            elif kept := _crossed(values if many else values[:1], change, host):
                granted[spelling] = kept
        if translate is not None:
            self._translated(message, translate, granted)
        if self._signs and "Date" in granted and "Identity" not in granted:
            del granted["Date"]
        if "Privacy" in message.headers and not self.target.trusted:
            for wish in _wishes(message):
                for name in WISHES.get(wish, ()):
                    granted.pop(name, None)
        return granted

    def _translated(self, message: Request | Response, translate: Translate, granted: Headers) -> None:
        for name in self._naming:
            if name in message.headers:
                kept = _crossed(message.headers[name][:1], partial(_by_name, translate, name), "")
                granted.pop(name, None)
                if kept:
                    granted[name] = kept

    def explain(self, name: str) -> tuple[bool, str]:
        """Whether a header may cross from this source to this target, and why."""
        row = verdict_of(name)
        if row.name in self._drop:
            return False, "the configuration drops it"
        if row.name in self._keep:
            return True, "the configuration keeps it"
        if row.verdict is Verdict.TRUSTED:
            # RFC 3325 5: what an untrusted zone asserts is worth nothing; what a trusted one asserts is not for others.
            for zone in (self.source, self.target):
                if not zone.trusted:
                    return False, f"{row.why}; zone {zone.name} is not trusted"
            return True, f"{row.why}; both zones are trusted"
        if row.name in SIGNED:
            return {"From", "To"} <= self.target.keep_hosts, row.why
        return row.verdict in (Verdict.KEEP, Verdict.MAP) or row.name in CROSSINGS, row.why


def _spelling(name: str) -> str:
    """The name to send for one that the configuration keeps: the table's, or else the operator's."""
    if not is_token(name):
        raise ValueError(f"{name!r} is not a header's name")
    known = canonical(name)
    return known if known in BY_NAME else name


def _crossed(values: list[str], change: Crossing | None, host: str) -> list[str]:
    kept: list[str] = []
    for value in values:
        if not value.isprintable():
            value = value.replace("\t", " ")
            if _CONTROL.search(value):
                continue
        if change is not None:
            try:
                value = change(value, host)
            except Malformed:
                continue
            if not value:
                continue
        kept.append(value)
    return kept


def _by_name(translate: Translate, name: str, value: str, host: str) -> str:
    return translate(name, value)


def _wishes(message: Request | Response) -> set[str]:
    """The values of Privacy (RFC 3323 4.2)."""
    return {wish.strip().lower() for value in message.headers.get("Privacy", ()) for wish in re.split("[;,]", value)}


def anonymous(message: Request | Response, target: Zone) -> bool:
    """Whether From must not say towards `target` who it is: the caller asks for user privacy (RFC 3323 4.2, 5.3).

    A trusted zone is told, together with the wish, which it has to honour further on (RFC 3325 7).
    """
    return "Privacy" in message.headers and not target.trusted and "user" in _wishes(message)


NEEDS_MEDIA = "session privacy, on which the caller insists, needs the media relayed"


def beyond_us(request: Request) -> bool:
    """Whether the caller makes the call depend on session privacy, which needs the media relayed.

    Where it is not, such a request is answered 500 (RFC 3323 5).
    """
    return "Privacy" in request.headers and {"session", "critical"} <= _wishes(request)


def unsupported(request: Request, ours: Collection[str] = ()) -> list[str]:
    """The option tags of Require and Proxy-Require that cannot be bridged, as they came: for a 420's Unsupported (S40).

    `ours` need not be: we do them ourselves. Malformed for what is no option tag. In CANCEL and ACK there is nothing to
    refuse (RFC 3261 8.2.2.3).
    """
    headers = request.headers
    if ("Require" not in headers and "Proxy-Require" not in headers) or request.method in ("ACK", "CANCEL"):
        return []
    tags = [tag for name in ("Require", "Proxy-Require") for tag in request.values(name) if tag]
    if not all(map(is_token, tags)):
        raise Malformed("an option tag that is not a token", "RFC 3261 20.32")
    return [tag for tag in dict.fromkeys(tags) if tag.lower() not in OPTION_TAGS and tag.lower() not in ours]
