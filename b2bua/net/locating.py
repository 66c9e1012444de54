"""Locating servers (RFC 3263): at once where a URI has an address in it, by the resolver where it has a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from b2bua.net.resolver import NoTarget, Reach, Resolver, literal
from b2bua.policy.groups import Groups
from b2bua.sip.listener import Flow, Listener, Target
from b2bua.sip.message import Response
from b2bua.sip.uri import Uri

REMEMBERED = 1024  # next hops

Found = Callable[[Sequence[Target]], None]
Lost = Callable[[int, str], None]


class Locating:
    """Finds addresses, and hears which of them failed. `settle` is given each search that takes its time.

    `groups` learns of both what concerns its members.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        resolver: Resolver,
        now: Callable[[], float],
        settle: Callable[[Deferred[Any]], None],
    ) -> None:
        self.resolver = resolver
        self.groups: Groups | None = None
        self._now = now
        self._settle = settle
        self._reach: dict[str, Reach] = {"auto": Reach.of(listeners)}
        for listener in listeners:
            self._reach[listener.zone] = Reach.of(each for each in listeners if each.zone == listener.zone)
        for listener in listeners:
            self._reach[listener.name] = Reach.of([listener])
        self._forced = {listener.name: listener.transport for listener in listeners}
        self._literals: dict[tuple[str, str], tuple[Target, ...]] = {}  # next hops with an address in them

    def locate(self, uri: Uri, send_from: str, found: Found, lost: Lost) -> None:
        """As `call.wire.Wire` says."""
        asked = str(uri), send_from
        if asked in self._literals:
            found(self._literals[asked])
            return
        reach, forced = self._reach[send_from], self._forced.get(send_from, "")
        try:
            targets = literal(uri, reach, forced)
        except NoTarget as none:
            lost(none.status, none.reason)
            return
        if targets is not None:
            if len(self._literals) >= REMEMBERED:
                self._literals.clear()
            self._literals[asked] = targets
            self._found(asked[0], targets, found)
            return

        def failed(failure: Any) -> None:
            failure.trap(NoTarget)
            lost(failure.value.status, failure.value.reason)

        resolved = self.resolver.resolve(uri, reach, forced)
        self._settle(resolved.addCallbacks(lambda targets: self._found(asked[0], targets, found), failed))

    def _found(self, uri: str, targets: Sequence[Target], found: Found) -> None:
        if self.groups is not None:
            self.groups.leads(uri, targets, self._now())
        found(targets)

    def failed(self, flow: Flow, response: Response | None = None) -> None:
        """Let an address rest (S52), and the members of groups that it is of."""
        transport = flow.listener.transport
        self.resolver.failed(Target(transport, flow.host, flow.port, flow.tls_name))
        if self.groups is not None:
            self.groups.failed((transport, flow.host, flow.port), self._now(), response)
