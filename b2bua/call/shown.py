"""What a far leg shows of a call in From, To and Request-URI: the users, with hosts that the zone may see."""

from __future__ import annotations

from b2bua.policy.hiding import anonymous
from b2bua.policy.zones import Zone
from b2bua.sip.address import Address
from b2bua.sip.grammar import bracketed
from b2bua.sip.listener import Listener
from b2bua.sip.message import Request
from b2bua.sip.uri import Uri

ANONYMOUS = "Anonymous <sip:anonymous@anonymous.invalid>"  # RFC 3323 4.1.1.3
_NOBODYS = "anonymous.invalid"


def request_uri(request: Request, hop: Uri, zone: Zone) -> Uri:
    """The next hop's URI with the user who is called, or the Request-URI itself where its host may be seen."""
    asked = request.uri
    if hop is asked or "Request-URI" in zone.keep_hosts:
        return Uri(asked.scheme, asked.user, asked.host, asked.port, asked.params, opaque=asked.opaque)
    secure = asked.secure or hop.secure
    gone = {"lr", "method", "transport"} if secure else {"lr", "method"}
    params = {name: value for name, value in hop.params.items() if name not in gone}
    user = hop.user or user_of(asked)
    if asked.scheme == "tel":
        params["user"] = "phone"  # RFC 3261 19.1.6
    return Uri("sips" if secure else "sip", user, hop.host, hop.port, params)


def caller(request: Request, listener: Listener, zone: Zone) -> str:
    """From, without a tag."""
    if anonymous(request, zone):
        return ANONYMOUS
    return _shown(request.from_, "" if "From" in zone.keep_hosts else listener.host)


def callee(request: Request, uri: Uri, zone: Zone) -> str:
    """To, without a tag; `uri` is the Request-URI, whose host is the callee's own."""
    return _shown(request.to, "" if "To" in zone.keep_hosts else bracketed(uri.host))


def masked(uri: Uri, host: str) -> str:
    """A SIP or tel URI with `host` for its own; of the rest the user is left."""
    if uri.host.lower() == _NOBODYS:
        return f"{uri.scheme}:{uri.user}@{_NOBODYS}"
    if uri.scheme == "tel":
        return f"tel:{_number(uri)}"
    user = user_of(uri)
    text = f"{'sips' if uri.secure else 'sip'}:{user}{'@' if user else ''}{host}"
    return f"{text};user=phone" if uri.params.get("user") == "phone" else text


def _shown(address: Address, host: str) -> str:
    """An address with `host` for its own; with its own where that is empty."""
    uri = address.uri
    if host or uri.host.lower() == _NOBODYS:
        text = masked(uri, host)
    else:
        text = str(Uri(uri.scheme, uri.user, uri.host, uri.port, uri.params, opaque=uri.opaque))
    display = address.display
    if not display.isprintable():
        display = "".join([each if each.isprintable() else " " for each in display])
    return f"{display} <{text}>" if display else f"<{text}>"


def _number(uri: Uri) -> str:
    """The number of a tel URI; its parameters may name a domain (RFC 3966 5.1.5)."""
    return uri.opaque.partition(";")[0]


def user_of(uri: Uri) -> str:
    """The user, less what of it names another network: phone-context and its like (RFC 3966, RFC 4904, RFC 4694)."""
    if uri.scheme == "tel":
        return _number(uri)
    if "-context=" not in uri.user.lower():
        return uri.user
    name, *params = uri.user.split(";")
    return ";".join([name, *(each for each in params if not each.partition("=")[0].lower().endswith("-context"))])
