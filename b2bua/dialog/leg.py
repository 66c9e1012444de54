"""A leg: one side of a call (RFC 3261 12) and the only place where its messages are built (S36, S43).

Where is Contact written? `Leg.contact`, from the leg's listener. From, To, Call-ID, CSeq, Route: here too. What the far
side sent comes in as `granted` headers, already judged by the hiding table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from enum import Enum

from b2bua.dialog.reliable import Order
from b2bua.dialog.session_timer import REFRESHES, SessionTimer, add_option
from b2bua.sip.address import Address, parse_address
from b2bua.sip.foreign import NOTHING, Names
from b2bua.sip.grammar import Malformed, parse_host
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.sdp import OwnedSdp
from b2bua.sip.status import reason_of
from b2bua.sip.tokens import Tokens
from b2bua.sip.uri import DEFAULT_PORTS, Uri
from b2bua.transaction.transaction import ServerTransaction

_CARRIES_CONTACT = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY"})
_FORMS_DIALOG = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})


HOPS = 70  # Max-Forwards of what we send of our own accord (RFC 3261 8.1.1.6)


class Standing(Enum):
    """RFC 3261 12: how far a dialog has come."""

    TRYING = "trying"  # no tag of the far side yet
    EARLY = "early"
    CONFIRMED = "confirmed"
    ENDING = "ending"  # our BYE waits for the ACK to our 2xx (RFC 3261 15)
    ENDED = "ended"


OVER = frozenset({Standing.ENDING, Standing.ENDED})


class Leg:
    """One side of a call: ids, CSeq spaces, route set, remote target, listener (S15).

    `local` and `remote` are the From/To values without tags. `router` is the first URI of the route set, None without
    one. `flow` is the way to the next hop, None until it is known or after that changed. `order` and `timer` are there
    once the peer's reliable responses (RFC 3262) or a session timer (RFC 4028) are; `options` are tags of our own that
    its first INVITE says in Supported. `offering`: the peer's offer, in UPDATE or PRACK, has no answer yet; `updating`:
    its UPDATE has none. `home`, where there is one, knows better than the Contact how the peer is reached by now.
    """

    __slots__ = (
        "listener", "flow", "call_id", "local_tag", "remote_tag", "local", "remote", "local_cseq", "remote_cseq",
        "route_set", "router", "remote_target", "secure", "contact", "standing", "sdp", "source", "accepting",
        "order", "timer", "options", "offering", "updating", "barred", "foreign", "names", "named", "home",
    )  # fmt: skip

    def __init__(
        self, listener: Listener, call_id: str, local: str, remote: str, target: Uri, tokens: Tokens, secure: bool
    ) -> None:
        self.listener = listener
        self.flow: Flow | None = None
        self.source: Flow | None = None  # where the peer's last request came from
        self.accepting: ServerTransaction | None = None  # the peer's INVITE whose 2xx waits for its ACK
        self.call_id = call_id
        self.local_tag = tokens.word()
        self.remote_tag = ""
        self.local = local
        self.remote = remote
        self.local_cseq = 0
        self.remote_cseq = -1  # 0 is a number that a peer may begin with (RFC 3261 8.1.1.5)
        self.route_set: list[str] = []
        self.router: Uri | None = None
        self.remote_target = target
        self.secure = secure
        self.contact = listener.contact(tokens.word(), secure)
        self.standing = Standing.TRYING
        self.foreign = NOTHING  # what our messages must not say: set by whatever crosses to this leg
        self.names: Names | None = None  # what messages to the other side must not say of this one, once it is asked
        self.named: tuple[str, ...] = ()  # whom the peer named as it called us
        self.sdp = OwnedSdp(tokens.number(), listener.media_address)
        self.order: Order | None = None
        self.timer: SessionTimer | None = None
        self.options: tuple[str, ...] = ()
        self.offering = self.updating = False
        self.home: Callable[[Leg], Flow | None] | None = None
        self.barred = False  # nobody may transfer this call (RFC 3515), nor is told that one could

    @classmethod
    def of_request(cls, request: Request, flow: Flow, tokens: Tokens) -> Leg:
        """The leg of a peer that calls us (RFC 3261 12.1.1)."""
        routes = request.addresses("Record-Route")
        # What makes no dialog may have any number of Contacts (RFC 3261 20.10), and none is for us to use.
        contact = request.contact if request.method in _CARRIES_CONTACT else None
        target = request.from_.uri if contact is None else _as_request_uri(contact.uri)  # no Contact: no dialog either
        secure = request.uri.secure or bool(routes and routes[0].uri.secure)
        local, remote = _without_tag(request.to), _without_tag(request.from_)
        leg = cls(flow.listener, request.call_id, local, remote, target, tokens, secure)
        leg.source = flow
        leg.named = (request.uri_text, *request.headers["From"], *request.headers["To"])
        leg.remote_tag = request.from_tag
        leg.remote_cseq = request.cseq[0]
        leg._route(routes)
        return leg

    @classmethod
    def to_peer(cls, listener: Listener, local: str, remote: str, uri: Uri, tokens: Tokens) -> Leg:
        """The leg towards a peer that we call."""
        return cls(listener, tokens.word(), local, remote, uri, tokens, uri.secure)

    def fork(self, uri: Uri, flow: Flow, tokens: Tokens) -> Leg:
        """The leg of another answering device below us (S28): what we said to `uri` by `flow` was said to it too."""
        leg = Leg(self.listener, self.call_id, self.local, self.remote, uri, tokens, self.secure)
        leg.flow = flow
        leg.local_tag = self.local_tag
        leg.local_cseq = self.local_cseq
        leg.contact = self.contact
        leg.barred = self.barred
        leg.home = self.home
        leg.foreign = self.foreign
        leg.sdp = copy(self.sdp)
        leg.options = self.options
        if self.timer is not None:
            leg.timer = self.timer.another()
        return leg

    # What we send

    def request(self, method: str, hops: int, granted: Headers | None = None, body: bytes = b"") -> Request:
        """The next request of ours in this leg's CSeq space, without its Via, which the wire writes."""
        self.local_cseq += 1
        return self._request(method, self.local_cseq, hops, granted, body)

    def again(self, request: Request) -> Request:
        """A request of ours that was refused, once more under the next number, as this leg says it by now."""
        self.local_cseq += 1
        headers = {**request.headers, "CSeq": [f"{self.local_cseq} {request.method}"]}
        self._extend(request.method, headers, self.options)
        again = Request(request.method, request.uri_text, headers, request.body)
        again.speaker = self
        return again

    def ack(self, cseq: int, granted: Headers | None = None, body: bytes = b"") -> Request:
        """The ACK for a 2xx to our INVITE numbered `cseq` (RFC 3261 13.2.2.4)."""
        return self._request("ACK", cseq, HOPS, granted, body)

    def _request(self, method: str, cseq: int, hops: int, granted: Headers | None, body: bytes) -> Request:
        uri = str(self.remote_target)
        routes = self.route_set
        if self.router is not None and not self.router.loose:
            # RFC 3261 12.2.1.1: a strict router takes its own URI first, and ours last (S19).
            uri, routes = str(_as_request_uri(self.router)), [*routes[1:], f"<{uri}>"]
        headers: Headers = {
            "Via": [],
            "Max-Forwards": [str(hops)],
            "From": [f"{self.local};tag={self.local_tag}"],
            "To": [f"{self.remote};tag={self.remote_tag}" if self.remote_tag else self.remote],
            "Call-ID": [self.call_id],
            "CSeq": [f"{cseq} {method}"],
        }
        if routes:
            headers["Route"] = routes
        if method in _CARRIES_CONTACT:
            headers["Contact"] = [self.contact]
        if granted:
            headers.update(granted)
        if self.timer is not None or self.options:
            self._extend(method, headers, () if self.remote_tag else self.options)
        request = Request(method, uri, headers, body)
        request.speaker = self
        return request

    def _extend(self, method: str, headers: Headers, options: tuple[str, ...]) -> None:
        """What a request says of the extensions that are each leg's own affair."""
        if self.timer is not None and method in REFRESHES:
            self.timer.ask(headers)
        if method == "INVITE":
            for option in options:
                add_option(headers, "Supported", option)

    def response(
        self, request: Request, status: int, granted: Headers | None = None, body: bytes = b"", reason: str = ""
    ) -> Response:
        """Our response to the peer's request, in this leg's identity (S43)."""
        of = request.headers
        headers: Headers = {"Via": of["Via"]}
        if status < 300:
            if request.method in _FORMS_DIALOG and "Record-Route" in of:
                headers["Record-Route"] = of["Record-Route"]
            if request.method in _CARRIES_CONTACT:
                headers["Contact"] = [self.contact]
        headers["From"] = of["From"]
        headers["To"] = of["To"] if request.to_tag else [f"{of['To'][0]};tag={self.local_tag}"]
        headers["Call-ID"] = of["Call-ID"]
        headers["CSeq"] = of["CSeq"]
        if granted:
            headers.update(granted)
        if self.timer is not None and 200 <= status < 300 and request.method in REFRESHES:
            self.timer.answer(request, headers)
        response = Response(status, reason or reason_of(status), headers, body)
        response.speaker = self
        return response

    @property
    def said(self) -> tuple[object, ...]:
        """What is no secret to the peer (`sip.foreign.Speaker`)."""
        return self.remote_target, self.source, self.remote_tag, self.call_id, self.route_set, self.named

    # Where it goes

    def bind(self, flow: Flow, path: Sequence[str]) -> None:
        """The peer is to be reached as it registered: by this way, through these proxies (RFC 3327)."""
        self.flow = flow
        if path:
            self._route([parse_address(each) for each in path])

    @property
    def next_hop(self) -> Uri:
        """The URI that our next request is sent to: the first route's, or the remote target."""
        return self.remote_target if self.router is None else self.router

    def _route(self, routes: list[Address]) -> None:
        self.route_set = [str(route) for route in routes]
        self.router = routes[0].uri if routes else None

    def preload(self, routes: list[Address]) -> None:
        """What begins a dialog takes this route (RFC 3608 5.3), until the peer's Record-Route says another."""
        self._route(routes)

    def follow(self, other: Leg) -> None:
        """Go to the party that another leg leads to, by its route set, for a dialog of our own with it."""
        self.remote_target, self.route_set, self.router = other.remote_target, other.route_set, other.router

    def formed(self, response: Response) -> None:
        """A response with a tag makes the dialog: tag, route set and target are the peer's (RFC 3261 12.1.2).

        Malformed, and nothing has changed, where its Contact or Record-Route cannot be used.
        """
        before = self.next_hop
        routes, contact = response.addresses("Record-Route"), response.contact
        target = self.remote_target if contact is None else _target(contact)
        if target is not self.remote_target or self.remote_tag != response.to_tag:
            self.names = None
        self.remote_tag, self.remote_target = response.to_tag, target
        if routes or self.router is not None:
            routes.reverse()
            self._route(routes)
        self._keep_flow(before)

    def formed_by(self, notify: Request) -> None:
        """A NOTIFY makes the dialog (RFC 6665 4.4.1). Where it has no route set, what the 2xx brought stays.

        Malformed, and nothing has changed, where its Contact or Record-Route cannot be used.
        """
        before = self.next_hop
        routes, contact = notify.addresses("Record-Route"), notify.contact
        target = self.remote_target if contact is None else _target(contact)
        self.remote_tag, self.remote_target = notify.from_tag, target
        if routes:
            self._route(routes)
        self._keep_flow(before)

    def retarget(self, contact: Address | None) -> None:
        """The peer is to be reached here from now on (S18): only ever from the peer's own Contact."""
        if contact is not None:
            before = self.next_hop
            self.names = None
            self.remote_target = _target(contact)
            self._keep_flow(before)

    def _keep_flow(self, before: Uri) -> None:
        """The way stays as it is while it leads to the next hop, also to one with a name (S52)."""
        flow, hop = self.flow, self.next_hop
        if flow is not None and not flow.fixed and not leads(flow, hop) and _place(hop) != _place(before):
            self.flow = None

    def repeats(self, request: Request) -> bool:
        """Whether a request's CSeq is no higher than what this leg has seen (RFC 3261 12.2.2)."""
        return request.cseq[0] <= self.remote_cseq


def leads(flow: Flow, hop: Uri) -> bool:
    """Whether a way that we took ends at the address and port that a URI names."""
    transport = flow.listener.transport
    if (hop.params.get("maddr") or hop.host) != flow.host or (hop.port or DEFAULT_PORTS[transport]) != flow.port:
        return False
    return transport == "tls" if hop.secure else hop.transport in ("", transport)


def _place(uri: Uri) -> tuple[str, int | None, str, bool]:
    """What of a URI decides where it leads (RFC 3263 4)."""
    return (uri.params.get("maddr") or uri.host).lower(), uri.port, uri.transport, uri.secure


def _target(contact: Address) -> Uri:
    """What of a Contact a request can be sent to; Malformed where none can."""
    uri = contact.uri
    if not uri.is_sip:
        raise Malformed("a Contact that is not a SIP URI", "RFC 3261 12.1.1")
    if maddr := uri.params.get("maddr"):
        parse_host(maddr, "RFC 3261 19.1.1")
    return _as_request_uri(uri)


def _as_request_uri(uri: Uri) -> Uri:
    """A URI without what a Request-URI must not have (RFC 3261 19.1.1)."""
    if not uri.headers and "method" not in uri.params:
        return uri
    params = {name: value for name, value in uri.params.items() if name != "method"}
    return Uri(uri.scheme, uri.user, uri.host, uri.port, params, "", uri.password)


def _without_tag(address: Address) -> str:
    return f"{address.display} <{address.uri}>" if address.display else f"<{address.uri}>"
