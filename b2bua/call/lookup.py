"""Who is called: the phones that are registered as a user (S53), by the way by which each registered.

Why did a call go to this phone, or to none? `Lookup.targets`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from b2bua.call.addresses import Hop
from b2bua.call.bindings import Binding, Bindings, Way
from b2bua.call.gruus import Gruus
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request
from b2bua.sip.registration import aor_of
from b2bua.sip.uri import Uri
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall


def names_of_ours(listeners: Sequence[Listener], domains: Sequence[str]) -> frozenset[str]:
    """The hosts that mean us, in lower case: what our listeners are called, and these domains."""
    own = {name for each in listeners for name in (each.advertise_host, each.address, *each.aliases)}
    return frozenset(name.lower() for name in {*domains, *own} if name)


class Lookup:
    """The bindings, and the names by which they are asked for.

    `domains` are what the registrar is called besides our listeners' own names and addresses, of which no port counts
    here. They all mean the same users; the first one is `name`, what it calls itself.
    """

    def __init__(self, hall: Hall, bindings: Bindings, domains: Sequence[str]) -> None:
        self.hall = hall
        self.bindings = bindings
        self.gruus = Gruus(bindings, hall.wire.tokens)
        self.name = domains[0] if domains else ""
        self._names = names_of_ours(hall.wire.listeners, domains)

    def is_ours(self, uri: Uri) -> bool:
        """Whether a URI's host is the registrar: one of its domains, or a listener of ours."""
        return uri.host.lower() in self._names

    def aor(self, uri: Uri) -> str:
        """The address of record that a URI of ours stands for."""
        return aor_of(uri, self.name)

    def binding_of(self, transaction: ServerTransaction) -> Binding | None:
        """The phone of its From's user that sent a request, by the way by which it is registered; None for others."""
        source, uri = transaction.flow, transaction.request.from_.uri
        for binding in self.bindings.of(self.aor(uri)) if self.is_ours(uri) else ():
            if binding.flow.same_way(source):
                return None if binding.direct else binding
        return None

    def targets(self, request: Request) -> tuple[list[Hop], int, str]:
        """Who is registered as the user of the Request-URI, the most wished for first.

        None of them: 404 for who is no user of ours, 480 for who is not there (RFC 3261 21.4.5, 21.4.18). A sips URI
        leads to phones on TLS only (S14), a GRUU to one phone (RFC 5627 6).
        """
        uri, now = request.uri, self.hall.wire.now()
        if not self.is_ours(uri) or not uri.user:
            return [], 404, f"{uri} is no user of the registrar"
        aor = self.aor(uri)
        found = self.bindings.lookup(aor, now)
        named = self.gruus.named(uri, aor)
        if named is not None:
            if not named:
                return [], 404, f"{uri} names no phone"
            found = [each for each in self.bindings.lookup(named[0].aor, now) if each.instance == named[0].instance]
        found = _allowed(request, found)
        if not found:
            return [], 480, f"nobody is registered as {aor}"
        return [Hop(each.uri, 0, each) for each in found], 0, ""

    def has(self, binding: Binding) -> bool:
        """Whether a phone that was found is still registered so."""
        return self.bindings.has(binding, self.hall.wire.now())

    def alternates(self, request: Request, binding: Binding, tried: Collection[Way]) -> list[Hop]:
        """The other ways to a phone by which a request may go, once these have failed."""
        found = _allowed(request, self.bindings.alternates(binding, tried, self.hall.wire.now()))
        return [Hop(each.uri, 0, each) for each in found]


def _allowed(request: Request, found: list[Binding]) -> list[Binding]:
    """Of phones those that a request may go to: for a sips URI they are on TLS (S14)."""
    return [each for each in found if each.flow.listener.transport == "tls"] if request.uri.secure else found


def registered(hall: Hall, request: Request, source: Flow) -> tuple[list[Hop], int, str]:
    """`Lookup.targets`, also where there is no registrar; an alias leads whoever may know it to its phone."""
    if hall.inside is not None and (passage := hall.inside.called(request, source)) is not None:
        return hall.inside.phones(passage)
    return hall.lookup.targets(request) if hall.lookup is not None else ([], 404, "there is no registrar")
