"""Headers that name a dialog, as they cross from one leg to the other (S37), and whom an INVITE with one is for.

Who decides where an INVITE with Replaces goes? Policy, whether it goes at all: a caller that may not call may not take
over a call either. Where to, the dialog that it names: to the party that is in that dialog, by our leg to it. Policy
would look for the user in the Request-URI, and that may be found elsewhere, or not at all on the caller's own side.
"""

from __future__ import annotations

import re

from b2bua.call.ids import Ids, Named
from b2bua.call.way import flow_of
from b2bua.dialog.leg import OVER, Leg
from b2bua.policy.crossing import refer_to
from b2bua.sip.address import parse_address
from b2bua.sip.dialogid import Reference, parse_reference
from b2bua.sip.grammar import Malformed, split_list
from b2bua.sip.listener import Listener
from b2bua.sip.message import Request
from b2bua.sip.uri import DEFAULT_PORTS, Uri, unescape

TAKING_PART = ("Replaces", "Join")  # an INVITE with one of them is for a party of the dialog that it names

_UNESCAPED = re.compile(r"[^A-Za-z0-9\-_.!~*'()]")


def translated(ids: Ids, source: Leg, target: Leg, request: Request, name: str, value: str) -> str:
    """A value as the target's side calls the same; empty where it calls it nothing. Malformed means the same."""
    zones = source.listener.zone, target.listener.zone
    if name == "Refer-To":
        return _refer_to(ids, zones, target.listener, value)
    if name == "In-Reply-To":
        return ", ".join([found for each in split_list(value) if (found := ids.call_id(*zones, each))])
    reference = parse_reference(value, name)
    if name in TAKING_PART:
        named = ids.resolve(zones[0], reference.dialog) if _begins(request) else None
        if named is None or named.zone != zones[1]:
            return ""
        if named.leg is not None:
            target.follow(named.leg)
        return Reference(named.dialog, reference.early_only).written(name)
    known = ids.known(*zones, reference.dialog)
    return Reference(known).written(name) if known is not None else ""


def _begins(request: Request) -> bool:
    return request.method == "INVITE" and not request.to_tag


def _refer_to(ids: Ids, zones: tuple[str, str], listener: Listener, value: str) -> str:
    """Refer-To: the user at our own place on that side, and what is to be replaced there (RFC 3515, RFC 3891 7.1)."""
    uri = parse_address(value).uri
    replaces = embedded_replaces(uri)
    if replaces is None:
        return refer_to(value, _place(listener, uri.secure))
    named = ids.resolve(zones[0], replaces.dialog)
    user = user_of(named.leg) if named is not None and named.leg is not None else ""
    if user and _is_contact(ids, zones[0], replaces, uri):
        value = f"<{Uri(uri.scheme, user, uri.host, uri.port, uri.params)}>"
    dialog = ids.translate(*zones, *replaces.dialog)
    shown = refer_to(value, _place(listener, uri.secure))
    if dialog is None or not shown or uri.opaque:
        return ""
    return f"{shown[:-1]}?Replaces={_escaped(Reference(dialog, replaces.early_only).written('Replaces'))}>"


def _is_contact(ids: Ids, zone: str, replaces: Reference, uri: Uri) -> bool:
    """Whether a URI is what a leg of ours has as its Contact: a made-up user, whom no policy knows."""
    leg = ids.leg(zone, replaces.dialog)
    return leg is not None and bool(uri.user) and f":{uri.user}@" in leg.contact


def user_of(leg: Leg) -> str:
    """The user of the party at the end of a leg."""
    return parse_address(leg.remote).uri.user


def embedded_replaces(uri: Uri) -> Reference | None:
    """The Replaces within a URI (RFC 3891 7.1); None without one. Malformed for one that cannot be read, or several."""
    found = [value for name, value in _embedded(uri) if name == "replaces"]
    if len(found) > 1:
        raise Malformed("more than one Replaces in a URI", "RFC 3891 3")
    return parse_reference(found[0], "Replaces") if found else None


def _embedded(uri: Uri) -> list[tuple[str, str]]:
    pairs = [each.partition("=") for each in uri.headers.split("&") if each]
    return [(unescape(name).lower(), unescape(value)) for name, _, value in pairs]


def _escaped(text: str) -> str:
    return _UNESCAPED.sub(lambda found: "".join([f"%{octet:02X}" for octet in found.group().encode()]), text)


def _place(listener: Listener, secure: bool) -> str:
    """Where a listener is called, as the end of a URI: its port and transport where they are not the usual ones."""
    transport = "tls" if secure else listener.transport
    _, _, port = listener.sent_by.rpartition(":")
    text = listener.host if port == str(DEFAULT_PORTS[transport]) else listener.sent_by
    return text if secure or transport == "udp" else f"{text};transport={transport}"


# Whom an INVITE is for that takes part in a dialog


def party(ids: Ids, zone: str, request: Request) -> Named:
    """Whom a request from `zone` with Replaces or Join is about.

    Malformed says why it cannot be carried: 400 for what RFC 3891 3 and RFC 3911 4 forbid, 481 for a dialog that is
    not valid in that zone, 603 for one that has ended.
    """
    names = [name for name in TAKING_PART if name in request.headers]
    if len(names) > 1 or request.method != "INVITE":
        raise Malformed(f"{' and '.join(names)} in {request.method}", "RFC 3891 3")
    named = ids.resolve(zone, parse_reference(request.only(names[0]), names[0]).dialog)
    if named is None:
        raise Malformed(f"{names[0]} names no dialog of zone {zone}", "RFC 3891 3", 481)
    if named.leg is not None and named.leg.standing in OVER:
        raise Malformed(f"{names[0]} names a dialog that has ended", "RFC 3891 3", 603)
    return named


def way_to(leg: Leg) -> tuple[Uri, Listener]:
    """The next hop of a new request to the party that a leg leads to, and the listener that it leaves by."""
    flow, hop = flow_of(leg), leg.next_hop
    if flow is None or flow.listener.transport == "tls" or hop.secure:
        return hop, leg.listener  # by name: the certificate must say it
    params: dict[str, str | None] = {"transport": flow.listener.transport}
    return Uri("sip", leg.remote_target.user, flow.host, flow.port, params), flow.listener
