"""Responses that belong to no dialog of ours (RFC 3261 8.2.6), also to requests that are broken."""

from __future__ import annotations

import re

from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.status import reason_of
from b2bua.sip.via import parse_via

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_ECHOED = ("Via", "From", "To", "Call-ID", "CSeq")


def reply(request: Request, status: int, tag: str = "", reason: str = "", more: Headers | None = None) -> Response:
    """A response to a request that `check_request` passed. `tag` goes on To unless there is one (not for 100)."""
    of = request.headers
    to = of["To"]
    if tag and not request.to_tag:
        to = [f"{to[0]};tag={tag}"]
    headers = {"Via": of["Via"], "From": of["From"], "To": to, "Call-ID": of["Call-ID"], "CSeq": of["CSeq"]}
    if more:
        headers.update(more)
    return Response(status, reason or reason_of(status), headers)


def reply_to_broken(request: Request, fault: Malformed, tag: str) -> Response | None:
    """A response made only of headers that parse; None when not even the top Via tells where to send it."""
    headers: Headers = {}
    for name in _ECHOED:
        values = request.headers.get(name)
        if values and _sound(request, name):
            headers[name] = values if name == "Via" else values[:1]
    if "Via" not in headers:
        return None
    if "To" in headers and not request.to_tag:
        headers["To"] = [f"{headers['To'][0]};tag={tag}"]
    # The reason phrase says which rule was broken: the peer's own log is where its fault is looked for.
    return Response(fault.status, f"{reason_of(fault.status)} - {fault.reason}", headers)


def _sound(request: Request, name: str) -> bool:
    if any(_CONTROL.search(value) for value in request.headers[name]):
        return False
    try:
        if name == "Via":
            for value in request.values("Via"):
                parse_via(value)
        elif name == "From":
            _ = request.from_
        elif name == "To":
            _ = request.to
        elif name == "CSeq":
            _ = request.cseq
        else:
            return request.call_id.isprintable()
    except Malformed:
        return False
    return True
