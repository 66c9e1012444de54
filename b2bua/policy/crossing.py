"""What is left of one header value once it has crossed: one small function for each header that does not cross whole.

Each takes the value and the host text of the leg that will send it, and returns the value to send: empty when nothing
may cross. Malformed may come out of any of them and means the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from b2bua.sip.address import parse_address
from b2bua.sip.digest import without
from b2bua.sip.grammar import Params, format_params, is_token, parse_params, split_list
from b2bua.sip.uri import Uri

Crossing = Callable[[str, str], str]  # (value, host of the leg) -> value to send

# What the bridge carries from leg to leg.
METHODS = frozenset("INVITE ACK CANCEL BYE OPTIONS UPDATE INFO MESSAGE NOTIFY PRACK PUBLISH REFER SUBSCRIBE".split())

# Option tags that need nothing of the bridge but what it does anyway. Every other one is left out of Supported and
# refused in Require: precondition (nobody here watches its confirmations), histinfo (hosts of another leg), path,
# outbound, gruu, gin and sec-agree (for one hop or a registrar), from-change (From is the leg's own), eventlist,
# multiple-refer, recipient-list-* and trickle-ice (addresses in bodies; without it all candidates are in the SDP, RFC
# 8840 5.1), and what nobody has heard of.
OPTION_TAGS: dict[str, str] = {
    "100rel": "each leg has its own reliable responses (RFC 3262)",
    "answermode": "Answer-Mode crosses (RFC 5373)",
    "ice": "its candidates are in the SDP (RFC 5768)",
    "join": "Join crosses with the other leg's ids (RFC 3911)",
    "norefersub": "Refer-Sub crosses (RFC 4488)",
    "nosub": "a REFER without a subscription needs nothing else (RFC 7614)",
    "privacy": "Privacy is honoured and crosses (RFC 3323)",
    "record-aware": "its marks are in the SDP (RFC 7866)",
    "replaces": "Replaces crosses with the other leg's ids (RFC 3891)",
    "sdp-anat": "its alternatives are in the SDP (RFC 4091)",
    "tdialog": "Target-Dialog crosses with the other leg's ids (RFC 4538)",
    "timer": "each leg has its own session timer (RFC 4028)",
    "uui": "User-to-User crosses (RFC 7433)",
}

# What each leg fulfils by itself: a side that requires it has it, and the other side need not know it.
PER_LEG = frozenset({"100rel", "timer"})

# RFC 3261 20.43 and the registry that it began.
WARNINGS: dict[str, str] = {
    "300": "Incompatible network protocol",
    "301": "Incompatible network address formats",
    "302": "Incompatible transport protocol",
    "303": "Incompatible bandwidth units",
    "304": "Media type not available",
    "305": "Incompatible media format",
    "306": "Attribute not understood",
    "307": "Session description parameter not understood",
    "330": "Multicast not available",
    "331": "Unicast not available",
    "370": "Insufficient bandwidth",
    "380": "SIPS Not Allowed",
    "381": "SIPS Required",
}
_REASONS = {name.lower(): name for name in ("SIP", "Q.850", "Preemption", "STIR", "RELEASE_CAUSE", "FAILURE_CAUSE")}

_ONE_LINE = 512  # characters; longer lists are not worth remembering

# RFC 7462 7: a sound by its name. No digits, dots or at signs: then it is no address and no host.
_ALERT = re.compile(
    r"<(urn:alert:(?:service|source|priority|duration|delay|locale)(?::[a-z][a-z-]*)+)>[ \t]*(?:;.*)?", re.A | re.I
)
_GLOBAL_NUMBER = re.compile(r"\+?[0-9*#()-]+")  # no parameters: phone-context may be a domain (RFC 3966)
_WARNING = re.compile(r"(3[0-9]{2})[ \t]+\S")
_RETRY_AFTER = re.compile(r"([0-9]{1,10})[ \t]*(?:\(.*\)[ \t]*)?(;[^()]*)?")
_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
# RFC 8224 4: the older Identity of RFC 4474 also signed Call-ID, CSeq and Contact, none of which survives a bridge.
_PASSPORT = re.compile(
    r"""[\w-]*\.[\w-]*\.[\w-]+[ \t]*;[ \t]*info[ \t]*=[ \t]*<[^<>"\s]+>[ \t]*(?:;[ \t]*[\w=."-]+[ \t]*)*""", re.A | re.I
)
_SESSION_ID = re.compile(r"[0-9a-f]{32}(?:[ \t]*;[ \t]*remote[ \t]*=[ \t]*[0-9a-f]{32})?", re.A | re.I)
_PRIVACY = re.compile(r"(?:(?:header|session|user|none|critical|id|history)(?:[ \t]*;[ \t]*(?!$)|$))+", re.A | re.I)
_STATES = frozenset({"active", "pending", "terminated"})
_SUBSCRIPTION_REASONS = frozenset(
    "deactivated probation rejected timeout giveup noresource invariant badfilter".split()  # RFC 6665 4.1.3, RFC 4660
)
_CAUSE = re.compile("[0-9]{1,4}")


def of_shape(pattern: re.Pattern[str]) -> Crossing:
    """A crossing for values that are of one shape or not what they should be."""

    def whole(value: str, host: str) -> str:
        return value if pattern.fullmatch(value) else ""

    return whole


date = of_shape(_DATE)
identity = of_shape(_PASSPORT)
number = of_shape(re.compile("[0-9]{1,10}"))
privacy = of_shape(_PRIVACY)
refer_sub = of_shape(re.compile("true|false", re.A | re.I))
session_id = of_shape(_SESSION_ID)
version = of_shape(re.compile(r"[0-9]{1,3}\.[0-9]{1,3}"))


def _listed(known: Callable[[str], str]) -> Crossing:
    """A crossing for lists of which only known elements cross. Peers say the same again and again: it is remembered."""

    def selected(value: str) -> str:
        return ", ".join([found for part in split_list(value) if (found := known(part))])

    remembered = lru_cache(1024)(selected)

    def crossing(value: str, host: str) -> str:
        return remembered(value) if len(value) <= _ONE_LINE else selected(value)

    return crossing


def _option_tag(text: str) -> str:
    tag = text.lower()
    return tag if tag in OPTION_TAGS else ""


methods = _listed(lambda text: text if text in METHODS else "")
option_tags = _listed(_option_tag)
required = _listed(lambda text: "" if text.lower() in PER_LEG else _option_tag(text))


def _package(text: str) -> str:
    """Not that of candidates (RFC 8840 10), whose bodies do not cross."""
    return "" if text.partition(";")[0].strip().lower() == "trickle-ice" else text


packages = _listed(_package)


def _alert(text: str) -> str:
    found = _ALERT.fullmatch(text)
    return f"<{found.group(1)}>" if found else ""


alerts = _listed(_alert)


def _reason(text: str) -> str:
    protocol, _, params = text.partition(";")
    name = _REASONS.get(protocol.strip().lower())
    cause = parse_params(f";{params}", "RFC 3326 2").get("cause") if name else None
    return f"{name};cause={cause}" if cause and _CAUSE.fullmatch(cause) else ""


reason = _listed(_reason)


def warning(value: str, host: str) -> str:
    """Warning: the codes, with our own agent and the registered text (S39)."""
    codes = [found.group(1) for part in split_list(value) if (found := _WARNING.match(part))]
    return ", ".join([f'{code} {host} "{WARNINGS.get(code, "Miscellaneous warning")}"' for code in codes])


def retry_after(value: str, host: str) -> str:
    """Retry-After: seconds and duration. Its comment is free text (RFC 3261 20.33)."""
    found = _RETRY_AFTER.fullmatch(value)
    if found is None:
        return ""
    seconds, params = found.groups()
    duration = parse_params(params, "RFC 3261 20.33").get("duration") if params else None
    return f"{seconds};duration={duration}" if duration and number(duration, "") else seconds


def event(value: str, host: str) -> str:
    """Event: whole, unless it names a dialog, whose ids are another leg's (RFC 4235 3.2) and must be translated."""
    package, semicolon, rest = value.partition(";")
    params = parse_params(semicolon + rest, "RFC 6665 8.4")
    if not is_token(package.strip()) or params.keys() & {"call-id", "from-tag", "to-tag"}:
        return ""
    return package.strip() + format_params(params)


def challenge(value: str, host: str) -> str:
    """A challenge less its domain (RFC 7616 3.3): URIs of the far side, which mean nothing here and are not hashed."""
    return without(value, "domain") if "domain" in value.lower() else value


def subscription_state(value: str, host: str) -> str:
    """Subscription-State: how it stands, for how long, and one of the reasons that there are (RFC 6665 8.2.3)."""
    state, semicolon, rest = value.partition(";")
    state = state.strip().lower()
    if state not in _STATES:
        return ""
    params = parse_params(semicolon + rest, "RFC 6665 8.2.3")
    why = params.get("reason")
    kept: Params = {"reason": why} if why is not None and why.lower() in _SUBSCRIPTION_REASONS else {}
    kept |= {
        name: seconds for name in ("expires", "retry-after") if (seconds := params.get(name)) and number(seconds, "")
    }
    return state + format_params(kept)


def masked(value: str, host: str) -> str:
    """An address with the leg's host for its own: of the rest only scheme and user are left.

    One with embedded headers does not cross at all: without them it would mean something else (RFC 3515 2.1).
    """
    uri = parse_address(value).uri
    return "" if uri.headers else _masked(uri, host)


def refer_to(value: str, host: str) -> str:
    """Refer-To as `masked`, less its embedded headers: what of them names a dialog must be translated."""
    return _masked(parse_address(value).uri, host)


def _masked(uri: Uri, host: str) -> str:
    if uri.scheme == "tel":
        return f"<tel:{uri.opaque}>" if _GLOBAL_NUMBER.fullmatch(uri.opaque) else ""
    if not uri.is_sip or not uri.user:
        return ""
    params = ";user=phone" if uri.params.get("user") == "phone" else ""
    method = uri.params.get("method")  # of the request that a REFER asks for
    if method is not None:
        if method not in METHODS:
            return ""
        params += f";method={method}"
    return f"<{uri.scheme}:{uri.user}@{host}{params}>"
