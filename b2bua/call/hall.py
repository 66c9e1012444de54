"""The hall: every new request comes here, and is given to its call or begins another one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from b2bua.call.book import Book
from b2bua.call.call import Call
from b2bua.call.hunt import Attempt
from b2bua.call.limits import Limits
from b2bua.call.passing import Passing
from b2bua.call.setup import Setup
from b2bua.call.wire import Journal, Wire
from b2bua.dialog.leg import Leg
from b2bua.dialog.reply import reply
from b2bua.policy.crossing import METHODS, OPTION_TAGS
from b2bua.policy.hiding import Hiding, anonymous, beyond_us, unsupported
from b2bua.policy.routing import Answer, Go, Reject, Rule, decide
from b2bua.policy.zones import Zone
from b2bua.sip.address import Address
from b2bua.sip.grammar import bracketed
from b2bua.sip.listener import Flow, Listener, Target
from b2bua.sip.message import Headers, Request
from b2bua.sip.uri import Uri
from b2bua.transaction.transaction import ServerTransaction

# A dialog of these is another kind than a call's; they are refused until they can be bridged whole.
_OTHER_DIALOGS = frozenset({"REGISTER", "SUBSCRIBE", "REFER", "NOTIFY", "PRACK"})
_RETRY_AFTER = 5  # seconds, of a refusal that passes

Script = Callable[[Request, Flow, Sequence[Listener]], "Answer | None | Coroutine[Any, Any, Answer | None]"]


class Hall:
    """Calls, and the decisions that begin them."""

    ALLOW = ", ".join(sorted(METHODS))
    IN_DIALOG_REFUSED = frozenset({"REFER", "SUBSCRIBE", "PRACK", "REGISTER"})

    def __init__(
        self,
        wire: Wire,
        journal: Journal,
        zones: Mapping[str, Zone],
        hidings: Mapping[tuple[str, str], Hiding],
        rules: Sequence[Rule],
        script: Script | None,
        limits: Limits,
    ) -> None:
        self.wire = wire
        self.journal = journal
        self.book = Book()
        self.limits = limits
        self.draining = False
        self._zones = zones
        self._hidings = hidings
        self._rules = rules
        self._script = script

    # Requests

    def request(self, transaction: ServerTransaction) -> None:
        """A request that `check_request` passed and that no transaction knew."""
        request = transaction.request
        if request.to.tag:
            self._in_dialog(transaction)
        else:
            self._outside(transaction)

    def ack(self, ack: Request) -> None:
        """An ACK for a 2xx belongs to the INVITE with its CSeq, in its dialog; any other is for nobody."""
        side = self.book.find(ack)
        if side is not None:
            server = side.leg.accepting
            if server is not None and server.request.cseq[0] == ack.cseq[0]:
                side.leg.accepting = None
                self.wire.acknowledge(server, ack)

    def _in_dialog(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        side = self.book.find(request)
        if side is None:
            self.refuse(transaction, 481, "no such dialog")
        elif side.leg.repeats(request):
            side.call.refuse(side, transaction, 500)  # RFC 3261 12.2.2: out of order
        else:
            side.leg.remote_cseq = request.cseq[0]
            side.leg.source = transaction.flow
            side.call.request(side, transaction)

    def _outside(self, transaction: ServerTransaction) -> None:
        request, flow = transaction.request, transaction.flow
        method = request.method
        if self.draining:
            self.refuse(transaction, 503, "no new calls: draining", {"Retry-After": [str(_RETRY_AFTER)]})
        elif method == "OPTIONS" and not request.uri.user and self.is_me(request.uri):
            self._describe(transaction)
        elif method in ("BYE", "UPDATE") or method in _OTHER_DIALOGS:
            status = 481 if method in ("BYE", "UPDATE", "NOTIFY", "PRACK") else 405
            self.refuse(transaction, status, f"{method} outside a dialog", {"Allow": [self.ALLOW]})
        elif lacking := unsupported(request):
            self.refuse(transaction, 420, "a required extension", {"Unsupported": [", ".join(lacking)]})
        elif beyond_us(request):
            self.refuse(transaction, 500, "session privacy, on which the caller insists, needs the media relayed")
        elif self.hops_left(request) < 0:
            self.refuse(transaction, 483, "Max-Forwards is used up")
        elif self._looped(request, flow):
            self.refuse(transaction, 482, "it came back to us as it left")
        else:
            self._begin(transaction)

    def _begin(self, transaction: ServerTransaction) -> None:
        near = Leg.of_request(transaction.request, transaction.flow, self.wire.tokens)
        if transaction.method == "INVITE":
            call = Call(self, near)
            call.setup = Setup(call, near, transaction)
            self.book.open(call)
            call.note(near, False, "INVITE")
        else:
            call = None
        self._decide(transaction, near, call)

    # Policy

    def _decide(self, transaction: ServerTransaction, near: Leg, call: Call | None) -> None:
        """The script first, then the rules."""
        answer: Answer | None = None
        if self._script is not None:

            def failed() -> None:
                self._refuse_new(transaction, near, call, 500, "the policy script failed")

            try:
                asked = self._script(transaction.request, transaction.flow, self.wire.listeners)
            except Exception:  # noqa: BLE001 - the operator's code may raise anything, and only its call is harmed
                self.journal.script_failed(transaction.request)
                failed()
                return
            if inspect.iscoroutine(asked):
                self.wire.run(asked, lambda said: self._decided(transaction, near, call, said), failed)
                return
            answer = asked  # type: ignore[assignment]
        self._decided(transaction, near, call, answer)

    def _decided(self, transaction: ServerTransaction, near: Leg, call: Call | None, answer: Answer | None) -> None:
        request = transaction.request
        if answer is None:
            answer = decide(self._rules, request, transaction.flow)
        if answer is None:
            self._refuse_new(transaction, near, call, 404, "no route")
        elif isinstance(answer, Reject):
            self._refuse_new(
                transaction, near, call, answer.status, answer.reason or f"rule {answer.rule}", answer.reason
            )
        else:
            answer = self._by_route(request, transaction.flow, answer)
            if call is None:
                Passing(self, near, transaction, answer).start()
            elif call.setup is not None:
                call.setup.start(answer)

    def _refuse_new(
        self, transaction: ServerTransaction, near: Leg, call: Call | None, status: int, why: str, reason: str = ""
    ) -> None:
        self.journal.refused(transaction.request, transaction.flow, status, why)
        if call is not None and call.setup is not None:
            call.setup.refuse(status, why, reason)
        elif call is None:
            self.wire.respond(transaction, near.response(transaction.request, status, reason=reason))

    def _by_route(self, request: Request, flow: Flow, answer: Go) -> Go:
        """A preloaded Route that names another listener of ours chooses it, where policy leaves the choice (S1)."""
        if answer.send_from != "auto" or "Route" not in request.headers:
            return answer
        for route in request.addresses("Route"):
            for listener in self.wire.listeners:
                if listener is not flow.listener and route.uri.is_sip and listener.is_me(route.uri):
                    return Go(answer.to, listener.name, answer.rule)
        return answer

    # What its parts ask

    def refuse(self, transaction: ServerTransaction, status: int, why: str, more: Headers | None = None) -> None:
        """Answer a request for which there is no call."""
        self.journal.refused(transaction.request, transaction.flow, status, why)
        self.wire.respond(transaction, reply(transaction.request, status, self.wire.tokens.word(), more=more))

    def hiding(self, source: Leg, target: Leg) -> Hiding:
        """What may cross from one leg to another."""
        return self._hidings[source.listener.zone, target.listener.zone]

    def hiding_of(self, source: Listener, target: Listener) -> Hiding:
        """What may cross between two listeners' zones."""
        return self._hidings[source.zone, target.zone]

    def hops_left(self, request: Request) -> int:
        """Max-Forwards for the other leg (RFC 7332); negative when it is used up."""
        hops = request.headers.get("Max-Forwards")
        return int(hops[0]) - 1 if hops else 69

    def status_across(self, status: int) -> int:
        """The status told to the other side: it cannot use a redirection's addresses; a 503 is not ours (S29)."""
        if status == 503:
            return 500
        return 480 if 300 <= status < 400 else status

    def loop_key(self, request: Request) -> str:
        """What decides where a request goes: the same again is a loop (RFC 3261 16.6.8)."""
        return f"{request.method} {request.uri_text}"

    def _looped(self, request: Request, flow: Flow) -> bool:
        key = self.loop_key(request)
        return any(self.wire.tokens.looped(via.branch, key) for via in request.vias())

    def is_me(self, uri: Uri) -> bool:
        """Whether a URI names one of our listeners (S10)."""
        return uri.is_sip and any(listener.is_me(uri) for listener in self.wire.listeners)

    def far_leg(self, request: Request, attempt: Attempt) -> Leg:
        """A leg towards a target: its From, To and Request-URI show our own host, or what the zone may see."""
        listener = attempt.flow.listener
        keep = self._zones[listener.zone].keep_hosts
        uri = self._request_uri(request, attempt.uri, "Request-URI" in keep)
        local = "Anonymous <sip:anonymous@anonymous.invalid>"
        if not anonymous(request, self._zones[listener.zone]):
            local = _shown(request.from_, "" if "From" in keep else listener.host)
        remote = _shown(request.to, "" if "To" in keep else bracketed(uri.host))
        return Leg.to_peer(listener, local, remote, uri, self.wire.tokens)

    def _request_uri(self, request: Request, hop: Uri, keep: bool) -> Uri:
        """The next hop's URI with the user who is called, or the Request-URI itself where its host may be seen."""
        asked = request.uri
        if keep or hop is asked or not asked.is_sip:
            return Uri(asked.scheme, asked.user, asked.host, asked.port, asked.params, opaque=asked.opaque)
        user = hop.user or asked.user
        params = {name: value for name, value in hop.params.items() if name != "lr"}
        return Uri("sips" if asked.secure else hop.scheme, user, hop.host, hop.port, params)

    def way(self, leg: Leg, go: Callable[[Flow], None], lost: Callable[[int, str], None]) -> None:
        """The way of a leg's next request: by the leg's own listener, policy is not asked again (S3)."""
        flow = leg.flow
        if flow is None or (flow.connection is not None and not flow.connection.alive):
            hop, source = leg.next_hop, leg.source
            if _still_connected(source, hop):
                flow = leg.flow = source
            else:
                listener = self._listener_for(leg.listener, hop)

                def found(targets: Sequence[Target]) -> None:
                    target = targets[0]
                    leg.flow = Flow(listener, target.host, target.port, None, target.tls_name)
                    go(leg.flow)

                self.wire.locate(hop, listener.name, found, lost)
                return
        if flow is not None:
            go(flow)

    def _listener_for(self, listener: Listener, hop: Uri) -> Listener:
        """The leg's listener, or its twin of the transport that the peer's Contact or Route asks for."""
        wanted = "tls" if hop.secure else hop.transport
        if not wanted or wanted == listener.transport:
            return listener
        for other in self.wire.listeners:
            if (other.transport, other.zone, other.address) == (wanted, listener.zone, listener.address):
                return other
        return listener

    def _describe(self, transaction: ServerTransaction) -> None:
        """OPTIONS to ourselves (RFC 3261 11.2)."""
        more = {
            "Allow": [self.ALLOW],
            "Accept": ["application/sdp, */*"],
            "Supported": [", ".join(sorted(OPTION_TAGS))],
        }
        self.wire.respond(transaction, reply(transaction.request, 200, self.wire.tokens.word(), more=more))

    def hang_up_all(self, why: str) -> None:
        """End every call, on both sides of each."""
        for call in self.book:
            call.hang_up(why)


def _still_connected(source: Flow | None, hop: Uri) -> bool:
    """Whether the peer's own connection leads to its next hop: alive, same host, no other transport asked for."""
    if source is None or source.connection is None or not source.connection.alive or hop.host != source.host:
        return False
    return hop.transport in ("", source.listener.transport)


def _shown(address: Address, host: str) -> str:
    """A From or To value without tag; its host replaced by `host`, unless that is empty or there is nothing to hide."""
    uri = address.uri
    if host and uri.is_sip and not uri.host.endswith(".invalid"):
        params = {"user": uri.params["user"]} if "user" in uri.params else {}
        text = f"{uri.scheme}:{uri.user}@{host}" if uri.user else f"{uri.scheme}:{host}"
        text += "".join(f";{name}={value}" for name, value in params.items())
    else:
        text = str(uri)
    return f"{address.display} <{text}>" if address.display else f"<{text}>"
