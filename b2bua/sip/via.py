"""Via (RFC 3261 20.42): where the request has been, and where the response goes."""

from __future__ import annotations

import re

from b2bua.sip.grammar import Malformed, Params, bracketed, format_params, parse_host, parse_params, parse_port

RULE = "RFC 3261 20.42"
MAGIC_COOKIE = "z9hG4bK"

_VIA = re.compile(
    r"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*([A-Za-z0-9\-.!%*_+`'~]++)[ \t]+"
    r"(\[[^\]\s]*\]|[^\s;:\[]++)[ \t]*(?::[ \t]*([0-9]++))?[ \t]*(;.*)?",
    re.I,
)


class Via:
    """One Via value: transport in upper case, sent-by host (IPv6 without brackets) and port, parameters."""

    __slots__ = ("transport", "host", "port", "params")

    def __init__(self, transport: str, host: str, port: int | None, params: Params) -> None:
        self.transport = transport
        self.host = host
        self.port = port
        self.params = params

    @property
    def branch(self) -> str:
        """The branch parameter, or an empty string (RFC 2543 sent none)."""
        return self.params.get("branch") or ""

    @property
    def received(self) -> str:
        """Where the request really came from, without brackets (RFC 5118 4.5)."""
        return (self.params.get("received") or "").strip("[]")

    @property
    def sent_by(self) -> str:
        """host:port as the sender wrote it, for matching (RFC 3261 17.2.3); host in lower case."""
        host = bracketed(self.host.lower())
        return host if self.port is None else f"{host}:{self.port}"

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {bracketed(self.host)}{port}{format_params(self.params)}"


def parse_via(text: str) -> Via:
    """The one Via value that `text` is."""
    found = _VIA.fullmatch(text)
    if found is None:
        raise Malformed("not a Via", RULE)
    transport, host, port, params = found.groups()
    number = parse_port(port, RULE) if port else None
    via = Via(transport.upper(), parse_host(host, RULE), number, parse_params(params, RULE) if params else {})
    if "received" in via.params and ":" not in via.received:
        parse_host(via.received, RULE)
    return via
