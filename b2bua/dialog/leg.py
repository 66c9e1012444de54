"""A leg: one side of a call (RFC 3261 12) and the only place where its messages are built (S36, S43).

Where is Contact written? `Leg.contact`, from the leg's listener. From, To, Call-ID, CSeq, Route: here too. What the far
side sent comes in as `granted` headers, already judged by the hiding table.
"""

from __future__ import annotations

from enum import Enum

from b2bua.sip.address import Address
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Headers, Message, Request, Response
from b2bua.sip.sdp import OwnedSdp
from b2bua.sip.status import reason_of
from b2bua.sip.tokens import Tokens
from b2bua.sip.uri import DEFAULT_PORTS, Uri, parse_uri
from b2bua.transaction.transaction import ServerTransaction

_CARRIES_CONTACT = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY"})
_FORMS_DIALOG = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})


class Standing(Enum):
    """RFC 3261 12: how far a dialog has come."""

    TRYING = "trying"  # no tag of the far side yet
    EARLY = "early"
    CONFIRMED = "confirmed"
    ENDED = "ended"


class Leg:
    """One side of a call: ids, CSeq spaces, route set, remote target, listener (S15).

    `local` and `remote` are the From/To values without tags. `flow` is the way to the remote target, None until it is
    known or after the target changed.
    """

    __slots__ = (
        "listener", "flow", "call_id", "local_tag", "remote_tag", "local", "remote", "local_cseq", "remote_cseq",
        "route_set", "remote_target", "secure", "contact", "standing", "sdp", "source", "accepting",
    )  # fmt: skip

    def __init__(self, listener: Listener, call_id: str, local: str, remote: str, tokens: Tokens, secure: bool) -> None:
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
        self.remote_cseq = 0
        self.route_set: list[str] = []
        self.remote_target: Uri | None = None
        self.secure = secure
        self.contact = listener.contact(tokens.word(), secure)
        self.standing = Standing.TRYING
        self.sdp = OwnedSdp(tokens.number(), listener.media_address)

    @classmethod
    def of_request(cls, request: Request, flow: Flow, tokens: Tokens) -> Leg:
        """The leg of a peer that calls us (RFC 3261 12.1.1)."""
        routes = request.headers.get("Record-Route")
        leg = cls(
            flow.listener,
            request.call_id,
            _without_tag(request.to),
            _without_tag(request.from_),
            tokens,
            request.uri_text.startswith("sips:") or bool(routes and routes[0].startswith("<sips:")),
        )
        leg.source = flow
        leg.remote_tag = request.from_.tag
        leg.remote_cseq = request.cseq[0]
        if routes:
            leg.route_set = [str(route) for route in request.addresses("Record-Route")]
        contact = request.contact
        if contact is not None:
            leg.remote_target = contact.uri
        return leg

    @classmethod
    def to_peer(cls, listener: Listener, local: str, remote: str, uri: Uri, tokens: Tokens) -> Leg:
        """The leg towards a peer that we call."""
        leg = cls(listener, tokens.word(), local, remote, tokens, uri.secure)
        leg.remote_target = uri
        return leg

    def fork(self, tokens: Tokens) -> Leg:
        """The same leg for another early dialog, told apart by our tag (S28)."""
        leg = Leg(self.listener, self.call_id, self.local, self.remote, tokens, self.secure)
        leg.flow = self.flow
        leg.source = self.source
        leg.remote_tag = self.remote_tag
        leg.local_cseq = self.local_cseq
        leg.remote_cseq = self.remote_cseq
        leg.route_set = list(self.route_set)
        leg.remote_target = self.remote_target
        return leg

    # What we send

    def request(self, method: str, hops: int, granted: Headers | None = None, body: bytes = b"") -> Request:
        """The next request of ours in this leg's CSeq space, without its Via, which the wire writes."""
        self.local_cseq += 1
        return self._request(method, self.local_cseq, hops, granted, body)

    def ack(self, cseq: int, granted: Headers | None = None, body: bytes = b"") -> Request:
        """The ACK for a 2xx to our INVITE numbered `cseq` (RFC 3261 13.2.2.4)."""
        return self._request("ACK", cseq, 70, granted, body)

    def _request(self, method: str, cseq: int, hops: int, granted: Headers | None, body: bytes) -> Request:
        uri, routes = self._way()
        to = f"{self.remote};tag={self.remote_tag}" if self.remote_tag else self.remote
        headers: Headers = {
            "Via": [],
            "Max-Forwards": [str(hops)],
            "From": [f"{self.local};tag={self.local_tag}"],
            "To": [to],
            "Call-ID": [self.call_id],
            "CSeq": [f"{cseq} {method}"],
        }
        if routes:
            headers["Route"] = routes
        if method in _CARRIES_CONTACT:
            headers["Contact"] = [self.contact]
        if granted:
            headers.update(granted)
        return Request(method, uri, headers, body)

    def _way(self) -> tuple[str, list[str]]:
        """Request-URI and Route (RFC 3261 12.2.1.1), also through a strict router, whose URI goes first (S19)."""
        target = str(self.remote_target)
        if not self.route_set:
            return target, []
        first = self.next_hop
        if first.loose:
            return target, self.route_set
        return str(first), [*self.route_set[1:], f"<{target}>"]

    @property
    def next_hop(self) -> Uri:
        """The URI that our next request is sent to: the first route's, or the remote target."""
        if self.route_set:
            first = self.route_set[0]
            return parse_uri(first[first.index("<") + 1 : first.index(">")])
        assert self.remote_target is not None, "a leg is made with its target"
        return self.remote_target

    def response(
        self, request: Request, status: int, granted: Headers | None = None, body: bytes = b"", reason: str = ""
    ) -> Response:
        """Our response to the peer's request, in this leg's identity (S43)."""
        of = request.headers
        to = of["To"] if request.to.tag or status == 100 else [f"{of['To'][0]};tag={self.local_tag}"]
        headers: Headers = {"Via": of["Via"]}
        if 100 < status < 300:
            if request.method in _FORMS_DIALOG and "Record-Route" in of:
                headers["Record-Route"] = of["Record-Route"]
            if request.method in _CARRIES_CONTACT:
                headers["Contact"] = [self.contact]
        headers["From"] = of["From"]
        headers["To"] = to
        headers["Call-ID"] = of["Call-ID"]
        headers["CSeq"] = of["CSeq"]
        if granted:
            headers.update(granted)
        return Response(status, reason or reason_of(status), headers, body)

    def body_of(self, message: Message) -> bytes:
        """The far side's body as this leg says it: a session description becomes the leg's own (S44)."""
        body = message.body
        if not body:
            return body
        values = message.headers.get("Content-Type")
        return self.sdp.own(body, values[0]) if values else body

    # What we learn

    def formed(self, response: Response) -> None:
        """A response with a tag makes the dialog: tag, route set and target are the peer's (RFC 3261 12.1.2)."""
        self.remote_tag = response.to.tag
        routes = response.headers.get("Record-Route")
        self.route_set = [str(route) for route in reversed(response.addresses("Record-Route"))] if routes else []
        self.retarget(response.contact)
        self.flow = self.flow if self.keeps_flow() else None

    def retarget(self, contact: Address | None) -> None:
        """The peer is to be reached here from now on (S18): only ever from the peer's own Contact."""
        if contact is None or (self.remote_target is not None and str(contact.uri) == str(self.remote_target)):
            return
        self.remote_target = contact.uri
        if not self.route_set:
            self.flow = None

    def keeps_flow(self) -> bool:
        """Whether the flow that reached the peer is also the way to its next hop: the same address and port."""
        hop, flow = self.next_hop, self.flow
        if flow is None or hop.host != flow.host:
            return False
        return (hop.port or DEFAULT_PORTS[self.listener.transport]) == flow.port

    def repeats(self, request: Request) -> bool:
        """Whether a request's CSeq is no higher than what this leg has seen (RFC 3261 12.2.2)."""
        return request.cseq[0] <= self.remote_cseq


def _without_tag(address: Address) -> str:
    return f"{address.display} <{address.uri}>" if address.display else f"<{address.uri}>"
