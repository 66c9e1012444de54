"""The addresses of one next hop, one after the other (RFC 3263 4.3, S52), each with the listener that reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from b2bua.call.bindings import Binding
from b2bua.call.wire import Journal, Wire
from b2bua.policy.interface import NoInterface
from b2bua.sip.address import parse_address
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Target
from b2bua.sip.message import Request
from b2bua.sip.uri import Uri


class Hop(NamedTuple):
    """A target that waits for its turn, and how many redirections led to it; `binding`: the phone that it is."""

    uri: Uri
    depth: int = 0
    binding: Binding | None = None


class Attempt(NamedTuple):
    """One try: the URI it is for, the way it takes, and why that way; `binding` is the phone that is tried, if any."""

    uri: Uri
    flow: Flow
    why: str
    binding: Binding | None = None


class Sender(Protocol):
    """Who sends a request to one next hop."""

    def attempt(self, attempt: Attempt) -> None:
        """Try this address. May raise Malformed for a request that cannot be sent anywhere."""

    def exhausted(self, status: int, reason: str) -> None:
        """There is no other address; the status and the reason are the last one's."""

    def hopeless(self, status: int, reason: str) -> None:
        """The request cannot be sent anywhere, or a fault of ours stopped it, which is in the journal."""


class Addresses:
    """Goes through a next hop's addresses until one is worth keeping. `next` goes on.

    A phone that is registered has one, which is known: where its REGISTER came from (S53). Where that was a proxy's
    connection, which is gone, the first Path URI leads back to the proxy.
    """

    __slots__ = (
        "_wire", "_journal", "_request", "_uri", "_send_from", "_sender", "_targets", "_located", "_last", "_binding",
    )  # fmt: skip

    def __init__(
        self, wire: Wire, journal: Journal, request: Request, hop: Hop, send_from: str, sender: Sender
    ) -> None:
        binding = self._binding = hop.binding
        uri = hop.uri
        if binding is not None:
            send_from = binding.flow.listener.name
        self._wire = wire
        self._journal = journal
        self._request = request
        self._uri = uri
        self._send_from = send_from
        self._sender = sender
        self._targets: list[Target] = []
        self._located = False
        self._last = 480, "no next hop"

    def next(self, status: int = 480, reason: str = "no next hop") -> None:
        """Try the next address; `status` and `reason` tell how the one before it ended."""
        if status == 503 and self._binding is not None and self._located:
            status, reason = 430, f"the way by which it registered has failed: {reason}"  # RFC 5626 11.5
        self._last = status, reason
        try:
            self._next()
        except Malformed as fault:
            self._sender.hopeless(fault.status, fault.reason)
        except Exception:  # noqa: BLE001 - our own fault must cost one request, and leave none unanswered
            self._journal.crashed(self._request)
            self._sender.hopeless(500, "a fault of ours")

    def _next(self) -> None:
        while self._targets:
            target = self._targets.pop(0)
            try:
                choice = self._wire.choose(target, self._send_from)
            except NoInterface as refusal:
                self._last = refusal.status, refusal.reason
                self._journal.no_way(self._request, refusal.reason)
                continue
            flow = Flow(choice.listener, target.host, target.port, None, target.tls_name)
            self._sender.attempt(Attempt(self._uri, flow, choice.why, self._binding))
            return
        if self._located:
            self._sender.exhausted(*self._last)
        elif self._binding is not None and not self._binding.direct:
            self._located = True
            self._attempt_bound(self._binding)
        else:
            self._located = True
            self._wire.locate(self._secured(self._uri), self._send_from, self._found, self._lost)

    def _attempt_bound(self, binding: Binding) -> None:
        if binding.flow_alive:
            why = f"{binding.aor} is registered by this way"
            self._sender.attempt(Attempt(self._uri, binding.flow.back(), why, binding))
        elif binding.path:  # the connection was its proxy's, which takes another (RFC 3327 5.3)
            proxy = parse_address(binding.path[0]).uri
            self._wire.locate(self._secured(proxy), self._send_from, self._found_proxy, self._lost)
        else:
            self._sender.exhausted(480, "the connection by which it registered is gone")

    def _secured(self, hop: Uri) -> Uri:
        """A request for a sips URI leaves by TLS, whatever the next hop's URI says (S14)."""
        if hop.secure or not self._request.uri.secure:
            return hop
        params = {name: value for name, value in hop.params.items() if name != "transport"}
        return Uri("sips", hop.user, hop.host, hop.port, params)

    def _found(self, targets: Sequence[Target]) -> None:
        self._targets.extend(targets)
        self.next(*self._last)

    def _found_proxy(self, targets: Sequence[Target]) -> None:
        """Only where it registered from: a REGISTER does not choose whom we connect to."""
        assert self._binding is not None, "it is its Path"
        home = self._binding.flow.host
        self._last = 480, "its Path leads elsewhere than to where it registered from"
        self._found([each for each in targets if each.host == home])

    def _lost(self, status: int, reason: str) -> None:
        self._journal.no_way(self._request, reason)
        self.next(status, reason)
