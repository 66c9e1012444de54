"""Via (RFC 3261 20.42): where the request has been, and where the response goes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from b2bua.sip.grammar import (
    HOST,
    LONG,
    REMEMBERED,
    Malformed,
    Params,
    bracketed,
    checked_host,
    format_params,
    parse_host,
    parse_params,
    parse_port,
    split_list,
)

RULE = "RFC 3261 20.42"
MAGIC_COOKIE = "z9hG4bK"

_SENDER = re.compile(
    r"SIP[ \t]*+/[ \t]*+([0-9]++\.[0-9]++)[ \t]*+/[ \t]*+([A-Za-z0-9\-.!%*_+`'~]++)[ \t]++"
    rf"({HOST})[ \t]*+(?::[ \t]*+([0-9]++)[ \t]*+)?",
    re.I | re.A,
)
_PLAIN_PARAM = re.compile(r"[ \t]*([A-Za-z0-9\-.!%*_+`'~]++)[ \t]*(?:=[ \t]*([!#-+\--:<-~]++)[ \t]*)?")


_BRANCH = re.compile(r"[^,\"]*?;branch=([A-Za-z0-9\-.!%*_+`'~]++)(?=[;,]|$)")
_KEEP = re.compile(r";keep=([0-9]{1,6})(?=[;,]|$)")


class Sender(NamedTuple):
    """Who sent a request, as the Via says it: what stands before its parameters."""

    version: str
    transport: str
    host: str
    port: int | None
    sent_by: str


class Via:
    """One Via value: transport in upper case, sent-by host (IPv6 without brackets) and port, parameters.

    `version` is SIP's as the sender wrote it: a response to a version that we do not know shows it unchanged.
    `sent_by` is host:port as the sender wrote it, for matching (RFC 3261 17.2.3); host in lower case.
    """

    __slots__ = ("version", "transport", "host", "port", "sent_by", "params")

    def __init__(self, sender: Sender, params: Params) -> None:
        self.version, self.transport, self.host, self.port, self.sent_by = sender
        self.params = params

    @property
    def branch(self) -> str:
        """The branch parameter, or an empty string (RFC 2543 sent none)."""
        return self.params.get("branch") or ""

    @property
    def received(self) -> str:
        """Where the request really came from, without brackets (RFC 5118 4.5)."""
        return (self.params.get("received") or "").strip("[]")

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/{self.version}/{self.transport} {bracketed(self.host)}{port}{format_params(self.params)}"


def branch_of(text: str) -> str:
    """The branch of a Via that we wrote, without reading the rest where that is not needed."""
    found = _BRANCH.match(text)
    return found[1] if found is not None else parse_via(split_list(text)[0]).branch


def keep_of(text: str) -> int:
    """How often, in seconds, who answered wants a keep-alive (RFC 6223 4.4); 0 where nothing is said of it."""
    found = _KEEP.search(text)
    return int(found[1]) if found is not None else 0


def parse_via(text: str) -> Via:
    """The one Via value that `text` is."""
    if "\n" in text:
        raise Malformed("not a Via", RULE)
    before, semicolon, after = text.partition(";")
    sender = _shared_sender(before) if len(before) < LONG else _sender(before)
    params = parse_params(semicolon + after, RULE) if semicolon else {}
    via = Via(sender, params)
    if "received" in params and ":" not in via.received:
        parse_host(via.received, RULE)
    return via


def mended_via(text: str) -> Via:
    """What can be read of a Via: the way back for an answer to a request that is broken.

    Parameters that cannot be read are left out. Malformed where not even the sender can be.
    """
    before, _, params = text.partition("\n")[0].partition(";")
    found = _SENDER.match(before)
    if found is None:
        raise Malformed("not a Via", RULE)
    held: Params = {}
    for piece in params.split(";") if len(found[0]) == len(before) else ():
        if plain := _PLAIN_PARAM.fullmatch(piece):
            held.setdefault(plain[1].lower(), plain[2])
    return Via(_sender(found[0]), held)


def _sender(text: str) -> Sender:
    found = _SENDER.fullmatch(text)
    if found is None:
        raise Malformed("not a Via", RULE)
    version, transport, written, port = found.groups()
    host = checked_host(written, RULE)
    number = parse_port(port, RULE) if port else None
    name = bracketed(host.lower())
    return Sender(version, transport.upper(), host, number, name if number is None else f"{name}:{number}")


_shared_sender = lru_cache(REMEMBERED)(_sender)  # a neighbour's is the same in every request
