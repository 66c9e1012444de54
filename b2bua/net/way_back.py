"""Where the responses to a request go (RFC 3261 18.2.1, 18.2.2, RFC 3581)."""

from __future__ import annotations

from b2bua.sip.grammar import split_list
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request
from b2bua.sip.uri import DEFAULT_PORTS

PING_EVERY = "120"  # seconds, what we ask of who offers keep-alives on a stream (RFC 6223 4.4)


def way_back(request: Request, flow: Flow) -> Flow:
    """The flow for the responses; writes received, rport and keep into the top Via, which they show again."""
    via, stream = request.via, flow.connection is not None
    params = via.params
    wants_rport = "rport" in params or flow.listener.force_rport
    keeps = stream and "keep" in params
    if wants_rport:
        params["rport"] = str(flow.port)
    if keeps:
        params["keep"] = PING_EVERY
    if wants_rport or via.host != flow.host:
        params["received"] = flow.host
    elif not keeps:
        return flow if stream else _named(request, flow)
    values = request.headers["Via"]
    request.headers["Via"] = [str(via), *split_list(values[0])[1:], *values[1:]]
    return flow if stream or wants_rport else _named(request, flow)


def _named(request: Request, flow: Flow) -> Flow:
    """Without rport: the port that the Via names."""
    return Flow(flow.listener, flow.host, request.via.port or DEFAULT_PORTS["udp"])


def named_by_via(request: Request, flow: Flow) -> Flow:
    """Where a response goes whose connection is gone: a new one to the port that the Via names (RFC 3261 18.2.2).

    Over TLS the certificate must then prove the Via's host.
    """
    via = request.via
    port = via.port or DEFAULT_PORTS[flow.listener.transport]
    return Flow(flow.listener, flow.host, port, None, flow.tls_name or via.host)
