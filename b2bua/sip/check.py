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
    _check_identity(request)
    if request.body and "Content-Type" not in request.headers:
        raise Malformed("a body without Content-Type", "RFC 3261 20.15")
    if request.cseq[1] != request.method:
        raise Malformed("the CSeq method is not the request's", "RFC 3261 8.1.1.5")
    uri = request.uri
    if not uri.is_sip and uri.scheme != "tel":
        raise Malformed(f"a Request-URI of scheme {uri.scheme}", "RFC 3261 8.2.2.1", 416)
    if uri.headers:
        raise Malformed("headers in the Request-URI", "RFC 3261 19.1.1")
    hops = request.headers.get("Max-Forwards")
    if hops is not None:
        if len(hops) > 1:
            raise Malformed("Max-Forwards is given twice", "RFC 3261 7.3.1")
        digits(hops[0], 255, "Max-Forwards", "RFC 3261 20.22")
    if "Expires" in request.headers:
        digits(request.first("Expires"), 2**32 - 1, "Expires", "RFC 3261 20.19")
    if "Route" in request.headers or "Record-Route" in request.headers:
        if len(request.addresses("Route")) + len(request.addresses("Record-Route")) > MAX_ROUTES:
            raise Malformed(f"more than {MAX_ROUTES} routes", "a limit of this server")
    if request.method in _CONTACT_IS_OURS_TO_USE:
        _check_contact(request)


def check_response(response: Response) -> None:
    """Raise Malformed for a response that must be thrown away."""
    if response.fault is not None:
        raise response.fault
    vias = response.headers.get("Via")
    if not vias:
        raise Malformed("Via is missing", "RFC 3261 8.1.1")
    # Of From, To and Via a response needs what says whose it is: the rest is what we wrote ourselves.
    _ = response.branch, response.cseq, response.to_tag
    if len(vias) > 1 or ("," in vias[0] and len(response.values("Via")) > 1):
        raise Malformed("a response with another's Via below ours", "RFC 3261 8.1.3.3")
    if "Record-Route" in response.headers:
        response.addresses("Record-Route")
    if response.body and "Content-Type" not in response.headers:
        response.body = b""  # of what kind it is nobody can tell (RFC 3261 20.15); the rest counts
    # The 2xx of an INVITE needs its ACK whatever is in it: the call looks at its Contact.
    if response.status < 200 or (response.status < 300 and response.cseq[1] != "INVITE"):
        if response.cseq[1] in _CONTACT_IS_OURS_TO_USE:
            _check_contact(response)


def _check_identity(request: Request) -> None:
    vias = request.headers.get("Via", ())
    if len(vias) + sum(value.count(",") for value in vias) > MAX_VIAS:
        raise Malformed(f"more than {MAX_VIAS} Vias", "a limit of this server")
    _ = request.via, request.cseq
    call_id = request.call_id
    if not call_id.isprintable() or " " in call_id:
        raise Malformed("Call-ID is not a word", "RFC 3261 20.8")
    # In a dialog the tags are all that is needed of From and To: their URIs are the dialog's already.
    if not request.to_tag or not request.from_tag:
        _ = request.from_, request.to


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
