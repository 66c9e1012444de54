"""A call as one phone sees it: its dialog, and the requests and responses that it builds (RFC 3261 8, 12, 13)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from b2bua.sip.grammar import is_address
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Message, Request, Response
from b2bua.sip.status import reason_of
from b2bua.sip.uri import DEFAULT_PORTS, Uri, parse_uri

if TYPE_CHECKING:
    from b2bua.ops.phone import Phone

ECHOED = ("Via", "Max-Forwards", "From", "To", "Call-ID", "Route")  # of an INVITE, in its CANCEL and ACK
WITH_CONTACT = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY"})

_MIRRORED = {"sendonly": "recvonly", "recvonly": "sendonly"}  # RFC 3264 6.1
_DIRECTION = re.compile(rb"^a=(sendrecv|sendonly|recvonly|inactive)\r?$", re.M)


def label(message: Message) -> str:
    """What a message is, in two words at most: "INVITE", "200 INVITE"."""
    if isinstance(message, Response):
        return f"{message.status} {message.cseq[1]}"
    assert isinstance(message, Request), "there is no third kind"
    return message.method


def direction_of(body: bytes) -> str:
    """Which way a session description lets media flow (RFC 8866 6.7)."""
    found = _DIRECTION.search(body)
    return found.group(1).decode("ascii") if found else "sendrecv"


class Sent:
    """A request of ours, and what was answered to it."""

    __slots__ = ("request", "flow", "dialog", "responses")

    def __init__(self, request: Request, flow: Flow, dialog: Dialog) -> None:
        self.request = request
        self.flow = flow
        self.dialog = dialog
        self.responses: list[Response] = []

    @property
    def status(self) -> int:
        """The final response's status; 0 until it comes."""
        return next((each.status for each in self.responses if each.status >= 200), 0)

    @property
    def answered(self) -> bool:
        """Whether nothing of it needs sending again: an INVITE rests with its first 1xx (RFC 3261 17.1.1.2)."""
        return bool(self.status or (self.request.method == "INVITE" and self.responses))


class Dialog:
    """A call as one phone sees it (RFC 3261 12), from its INVITE on; or one request outside any call.

    `heard` and `said` are its messages in order. `sent` is the last request of ours, `invitation` the last INVITE of
    the peer's. `up` from 2xx to BYE, `over` after BYE or a refusal.
    """

    def __init__(self, phone: Phone, flow: Flow, call_id: str, remote: str, target: Uri, remote_tag: str = "") -> None:
        self.phone = phone
        self.flow = flow
        self.call_id = call_id
        self.local_tag = phone.tokens.word()
        self.remote_tag = remote_tag
        self.local = phone.address
        self.remote = remote
        self.target = target
        self.routes: list[str] = []
        self.cseq = phone.tokens.below(1000)  # anywhere (RFC 3261 8.1.1.5)
        self.remote_cseq = 0
        self.up = self.over = False
        self.heard: list[Message] = []
        self.said: list[Message] = []
        self.sent: Sent | None = None
        self.invitation: Request | None = None
        self.acked: set[int] = set()  # CSeq numbers of INVITEs whose final response of ours was acknowledged
        self._session = phone.tokens.number()
        self._version = 0

    def times(self, what: str) -> int:
        """How often a message came, by its `label`."""
        return sum(label(message) == what for message in self.heard)

    def last(self, what: str) -> Message:
        """The last message of this `label` that came; LookupError when none did."""
        for message in reversed(self.heard):
            if label(message) == what:
                return message
        raise LookupError(f"no {what}, but {', '.join(map(label, self.heard)) or 'nothing'}")

    # Requests

    def reinvite(self, direction: str = "sendrecv") -> Sent:
        """INVITE inside the call: "sendonly" holds it, "sendrecv" resumes it."""
        return self.ask("INVITE", self.sdp(direction), {"Content-Type": ["application/sdp"]})

    def info(self, digit: str) -> Sent:
        """One DTMF digit."""
        return self.ask("INFO", f"Signal={digit}\r\nDuration=160\r\n".encode(), of_type("application/dtmf-relay"))

    def update(self) -> Sent:
        """UPDATE without an offer (RFC 3311): refreshes our Contact."""
        return self.ask("UPDATE")

    def bye(self) -> Sent:
        """Hang up."""
        self.up, self.over = False, True
        return self.ask("BYE")

    def subscribe(self, event: str, seconds: int = 3600, headers: Headers | None = None) -> Sent:
        """Subscribe, refresh, or with 0 seconds subscribe no longer (RFC 6665 4.1.2)."""
        return self.ask("SUBSCRIBE", b"", {"Event": [event], "Expires": [str(seconds)], **(headers or {})})

    def notify(self, event: str, state: str, body: bytes = b"", headers: Headers | None = None) -> Sent:
        """Tell a subscriber how its subscription stands: "active;expires=60", and what there is to know."""
        return self.ask("NOTIFY", body, {"Event": [event], "Subscription-State": [state], **(headers or {})})

    def beside(self) -> Dialog:
        """Another dialog of what we asked: our tag is the same, the peer's is not known yet."""
        other = type(self)(self.phone, self.flow, self.call_id, self.remote, self.target)
        other.local_tag, other.local, other.cseq = self.local_tag, self.local, self.cseq
        return other

    def ask(self, method: str, body: bytes = b"", headers: Headers | None = None) -> Sent:
        """Any request, in this dialog's CSeq order, by its route set to its target."""
        self.cseq += 1
        return self._start(self.request(method, self.cseq, body, headers), self.way())

    def cancel(self) -> Sent:
        """Take our INVITE back (RFC 3261 9.1); the caller waits for a 1xx before, or tests what happens otherwise."""
        assert self.sent is not None, "there is an INVITE to cancel"
        invite, flow = self.sent.request, self.sent.flow
        headers = {name: list(invite.headers[name]) for name in ECHOED if name in invite.headers}
        headers["CSeq"] = [f"{invite.cseq[0]} CANCEL"]
        sent = self.sent
        cancel = self._start(Request("CANCEL", invite.uri_text, headers), flow)
        self.sent = sent  # the INVITE's own answer is still to come
        return cancel

    def request(self, method: str, cseq: int, body: bytes = b"", headers: Headers | None = None) -> Request:
        """A request as it would be sent, with a new branch; it is not sent."""
        uri, routes = self._uri_and_routes()
        fields: Headers = {
            "Via": [self.phone.at.via_with(self.phone.tokens.plain_branch())],
            "Max-Forwards": ["70"],
            "From": [f"{self.local};tag={self.local_tag}"],
            "To": [f"{self.remote};tag={self.remote_tag}" if self.remote_tag else self.remote],
            "Call-ID": [self.call_id],
            "CSeq": [f"{cseq} {method}"],
        }
        if routes:
            fields["Route"] = routes
        if method in WITH_CONTACT:
            fields["Contact"] = [self.phone.contact]
        return Request(method, uri, {**fields, **self.phone.headers, **(headers or {})}, body)

    def _uri_and_routes(self) -> tuple[str, list[str]]:
        """RFC 3261 12.2.1.1."""
        if not self.routes or self._next_hop().loose:
            return str(self.target), self.routes
        return str(self._next_hop()), [*self.routes[1:], f"<{self.target}>"]

    def _next_hop(self) -> Uri:
        return parse_uri(self.routes[0].partition("<")[2].partition(">")[0]) if self.routes else self.target

    def way(self) -> Flow:
        """The flow that we have, as long as it leads to the next hop; else a new one."""
        hop, flow = self._next_hop(), self.flow
        port = hop.port or DEFAULT_PORTS[self.phone.at.transport]
        if self.remote_tag and is_address(hop.host) and (hop.host, port) != (flow.host, flow.port):
            self.flow = Flow(self.phone.at, hop.host, port, None, hop.host)
        return self.flow

    def _start(self, request: Request, flow: Flow) -> Sent:
        self.sent = Sent(request, flow, self)
        self.phone.start(self.sent)
        return self.sent

    # Responses

    def ring(self, status: int = 180) -> None:
        """A provisional response to the peer's INVITE."""
        assert self.invitation is not None, "there is an INVITE to answer"
        self.respond(self.invitation, status)

    def answer(self, body: bytes | None = None) -> None:
        """200 to the peer's INVITE: with an answer to its offer, or an offer where it had none."""
        assert self.invitation is not None, "there is an INVITE to answer"
        body = self.sdp_for(self.invitation.body) if body is None else body
        self.respond(self.invitation, 200, body, of_type("application/sdp") if body else None)

    def refuse(self, status: int) -> None:
        """A final response of 300 or more to the peer's INVITE."""
        assert self.invitation is not None, "there is an INVITE to refuse"
        self.respond(self.invitation, status)

    def respond(self, request: Request, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        """Answer a request of the peer's."""
        of = request.headers
        fields: Headers = {"Via": of["Via"], "From": of["From"], "To": of["To"]}
        if not request.to.tag and status > 100:
            fields["To"] = [f"{of['To'][0]};tag={self.local_tag}"]
        fields |= {"Call-ID": of["Call-ID"], "CSeq": of["CSeq"]}
        if 100 < status < 300 and request.method in WITH_CONTACT:
            fields["Contact"] = [self.phone.contact]
            if "Record-Route" in of:
                fields["Record-Route"] = of["Record-Route"]
        if request.method == "INVITE" and 200 <= status < 300:
            self.up = True
        elif request.method == "INVITE" and status >= 300 and not self.up:
            self.over = True
        fields |= self.phone.headers if status > 100 else {}
        self.phone.reply(self, request, Response(status, reason_of(status), {**fields, **(headers or {})}, body))

    def sdp(self, direction: str = "sendrecv") -> bytes:
        """The next session description of ours: one audio stream, and digits as events."""
        at, media = self.phone.at, self.phone.media
        self._version += 1
        return (
            "v=0\r\n"
            f"o={self.phone.user} {self._session} {self._version} IN IP{at.family} {at.address}\r\n"
            f"s=a call of {self.phone.user}\r\n"
            f"c=IN IP{6 if ':' in media else 4} {media}\r\n"
            "t=0 0\r\n"
            f"m=audio {self.phone.media_port} RTP/AVP 0 101\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
            f"a={direction}\r\n"
        ).encode("ascii")

    def sdp_for(self, offer: bytes) -> bytes:
        """Our answer to an offer (RFC 3264 6.1); an offer of ours where there is none."""
        offered = direction_of(offer)
        return self.sdp(_MIRRORED.get(offered, offered))

    # What the phone tells it

    def formed(self, response: Response) -> None:
        """A response with a tag to our first INVITE makes the dialog (RFC 3261 12.1.2)."""
        self.remote_tag = response.to.tag
        self.routes = [str(route) for route in reversed(response.addresses("Record-Route"))]
        self.retarget(response)

    def retarget(self, message: Message) -> None:
        """The peer is to be reached at its Contact (RFC 3261 12.2)."""
        contact = message.contact
        if contact is not None:
            self.target = contact.uri


def of_type(name: str) -> Headers:
    """Content-Type for a body."""
    return {"Content-Type": [name]}
