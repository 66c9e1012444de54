"""A redirection (RFC 3261 21.3, S41): where its Contacts lead to, and what of them the caller may see."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from b2bua.call.shown import user_of
from b2bua.dialog.leg import Leg
from b2bua.policy.routing import Go
from b2bua.sip.address import Address, parse_address
from b2bua.sip.grammar import Malformed, parse_host
from b2bua.sip.message import Request, Response
from b2bua.sip.uri import DEFAULT_PORTS, Uri, unescape

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

DEPTH = 5  # redirections one after the other, at most
TARGETS = 64  # of one request, at most
CONTACTS = 16  # of one response that are looked at

_Q = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_SECONDS = re.compile("[0-9]{1,10}")
_GLOBAL_NUMBER = re.compile(r"\+[0-9()-]+")  # shows no network (RFC 3966 5.1.4)
_NOT_FOR_REQUESTS = frozenset({"lr", "method"})

_Place = tuple[str, str, int, str]


class Redirections:
    """The targets that redirections gave one request. None is tried twice, none is ourselves."""

    __slots__ = ("_hall", "_request", "_tried")

    def __init__(self, hall: Hall, request: Request, answer: Go) -> None:
        self._hall = hall
        self._request = request
        self._tried = {self._place(uri) for uri in answer.to or (request.uri,)}

    def of(self, response: Response, depth: int) -> list[Uri]:
        """The new targets of a 3xx, the most wished for first; `depth`: how many redirections came before it."""
        found: list[Uri] = []
        for address in contacts(response):
            uri = address.uri
            if fault := self._fault(uri, depth):
                self._hall.journal.no_way(self._request, f"redirected to {uri}: {fault}")
                continue
            self._tried.add(self._place(uri))
            params = {name: value for name, value in uri.params.items() if name not in _NOT_FOR_REQUESTS}
            # Without ?headers: what a redirecting server wants in our request is not for it to say (RFC 3261 19.1.5).
            found.append(Uri(uri.scheme, uri.user, uri.host, uri.port, params))
        return found

    def _fault(self, uri: Uri, depth: int) -> str:
        """Why a Contact is not tried; empty where it is."""
        if not uri.is_sip:
            return f"{uri.scheme} is not a scheme to send to"
        maddr = uri.params.get("maddr")
        try:
            if maddr:
                parse_host(maddr, "RFC 3261 19.1.1")
        except Malformed as fault:
            return fault.reason
        place = Uri(uri.scheme, "", maddr, uri.port, uri.params) if maddr else uri
        if self._hall.is_me(uri) or self._hall.is_me(place):
            return "a loop, that is here"
        if self._place(uri) in self._tried:
            return "a loop, it was tried before"
        if depth >= DEPTH or len(self._tried) >= TARGETS:
            return "redirected too often"
        return ""

    def _place(self, uri: Uri) -> _Place:
        """Who would be asked where."""
        transport = "tls" if uri.secure or self._request.uri.secure else uri.transport or "udp"
        host = (uri.params.get("maddr") or uri.host).lower()
        user = uri.user or user_of(self._request.uri)
        return unescape(user), host, uri.port or DEFAULT_PORTS.get(transport, 0), transport


def contacts(response: Response) -> list[Address]:
    """The Contacts that can be read, the most wished for first (RFC 3261 20.10: q)."""
    found: list[Address] = []
    for value in response.values("Contact")[:CONTACTS]:
        try:
            found.append(parse_address(value))
        except Malformed:
            continue  # the others may lead somewhere
    return sorted(found, key=_wish, reverse=True)


def _wish(address: Address) -> float:
    q = address.params.get("q")
    return float(q) if q and _Q.fullmatch(q) else 1.0


def rewritten(response: Response, near: Leg) -> list[str]:
    """The Contacts with our own host, so that the caller comes to us again: user, q and expires are left of each."""
    listener, shown = near.listener, dict[str, str]()
    for address in contacts(response):
        uri = address.uri
        if uri.scheme == "tel" and _GLOBAL_NUMBER.fullmatch(uri.opaque):
            contact = f"<{uri}>"
        elif uri.is_sip and uri.user and (listener.transport == "tls" or not uri.secure):  # S14
            contact = listener.contact(user_of(uri), near.secure or uri.secure)
        else:
            continue
        shown.setdefault(contact, contact + _kept(address))
    return list(shown.values())


def _kept(address: Address) -> str:
    q, expires = address.params.get("q"), address.params.get("expires")
    text = f";q={q}" if q and _Q.fullmatch(q) else ""
    return f"{text};expires={expires}" if expires and _SECONDS.fullmatch(expires) else text


def passed(response: Response) -> list[str]:
    """The Contacts as they are."""
    return [str(address) for address in contacts(response)]
