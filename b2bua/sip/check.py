"""What a received message must hold before anything is done with it (RFC 3261 8.1.1, 8.2, 16.3, 18.1.2)."""

from __future__ import annotations

from b2bua.sip.grammar import Malformed, digits, parse_host
from b2bua.sip.message import Request, Response

MAX_VIAS = 70
MAX_ROUTES = 70

_DIALOG_FORMING = frozenset({"INVITE", "SUBSCRIBE", "REFER"})
_CONTACT_IS_OURS_TO_USE = frozenset({"INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY"})


def check_request(request: Request) -> None:
    """Raise Malformed, with the status to answer, for the first rule that the request breaks."""
    if request.fault is not None:
        raise request.fault
    _check_common(request)
    number, method = request.cseq
    if method != request.method:
        raise Malformed("the CSeq method is not the request's", "RFC 3261 8.1.1.5")
    if not request.uri.is_sip and request.uri.scheme != "tel":
        raise Malformed(f"a Request-URI of scheme {request.uri.scheme}", "RFC 3261 8.2.2.1", 416)
    if request.uri.headers:
        raise Malformed("headers in the Request-URI", "RFC 3261 19.1.1")
    hops = request.headers.get("Max-Forwards")
    if hops is not None:
        if len(hops) > 1:
            raise Malformed("Max-Forwards is given twice", "RFC 3261 7.3.1")
        digits(hops[0], 255, "Max-Forwards", "RFC 3261 20.22")
    if len(request.addresses("Route")) + len(request.addresses("Record-Route")) > MAX_ROUTES:
        raise Malformed(f"more than {MAX_ROUTES} routes", "a limit of this server")
    if request.method in _CONTACT_IS_OURS_TO_USE:
        _check_contact(request)


def check_response(response: Response) -> None:
    """Raise Malformed for a response that must be thrown away."""
    if response.fault is not None:
        raise response.fault
    _check_common(response)
    if len(response.values("Via")) > 1:
        raise Malformed("a response with another's Via below ours", "RFC 3261 8.1.3.3")
    response.addresses("Record-Route")
    if response.status < 300 and response.cseq[1] in _CONTACT_IS_OURS_TO_USE:
        _check_contact(response)


def _check_common(message: Request | Response) -> None:
    if len(message.headers.get("Via", ())) > MAX_VIAS:
        raise Malformed(f"more than {MAX_VIAS} Vias", "a limit of this server")
    via = message.via
    if via.port is None and not via.host:
        raise Malformed("Via without a sender", "RFC 3261 20.42")
    if not message.from_.uri.scheme or not message.to.uri.scheme:
        raise Malformed("From or To without a URI", "RFC 3261 8.1.1")
    if not message.call_id.isprintable() or " " in message.call_id:
        raise Malformed("Call-ID is not a word", "RFC 3261 20.8")
    _ = message.cseq


def _check_contact(message: Request | Response) -> None:
    """A Contact that a later request would be sent to must be one that can be sent to (RFC 3261 12.1.1)."""
    contact = message.contact
    if contact is None:
        if isinstance(message, Request) and message.method in _DIALOG_FORMING:
            raise Malformed("Contact is missing", "RFC 3261 8.1.1.8")
        return
    if not contact.uri.is_sip:
        raise Malformed("a Contact that is not a SIP URI", "RFC 3261 12.1.1")
    maddr = contact.uri.params.get("maddr")
    if maddr:
        parse_host(maddr, "RFC 3261 19.1.1")
