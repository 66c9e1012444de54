"""A small phone: builds and answers SIP over whatever carries its bytes. For `b2bua demo` and for tests.

    alice = Phone("alice", Listener("alice", "", "udp", "127.0.0.1", 5090), send, tokens, wheel.after)
    talk = alice.invite("sip:bob@127.0.0.1:5060")        # 180 and 200 are taken, the ACK is sent
    talk.reinvite("sendonly"); talk.info("5"); talk.bye()

Bytes go out by `send(data, flow)` and come in by `receive(data, flow)`; `phonelines` has real sockets for it. It
answers by itself unless `asked` is replaced, follows Contact and Record-Route to addresses only (never DNS), and shares
with the bridge what is on the wire (`b2bua.sip`) but nothing of dialogs or transactions: one checks the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from b2bua.ops.phonedialog import ECHOED, WITH_CONTACT, Dialog, Sent, direction_of, label, of_type
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Headers, Message, Request, Response, parse
from b2bua.sip.tokens import Tokens
from b2bua.sip.uri import DEFAULT_PORTS, Uri, parse_uri

__all__ = ["Dialog", "Phone", "Sent", "answer_all", "direction_of", "label"]

SUBSCRIBING = frozenset({"SUBSCRIBE", "REFER"})
FORMS_DIALOG = SUBSCRIBING | {"INVITE"}
T1, T2 = 0.5, 4.0  # seconds (RFC 3261 17.1.1.1)
PATIENCE = 64 * T1

_TAG = re.compile(";tag=[^;]*", re.I)

Send = Callable[[bytes, Flow], None]
After = Callable[[float, Callable[[], None]], None]


class Phone:
    """One phone at one address, for any number of calls.

    `dialogs` are its calls, the newest last; `bytes_in` and `bytes_out` all that passed. `asked(dialog, request)` is
    told of each new request (not ACK, CANCEL) and may be replaced; `noticed()` is called after every message taken in.
    `headers` go on everything that it sends; without `acks` it leaves 2xx without their ACK. It needs entropy
    (`tokens`) and a timer (`after`), as everybody does.
    """

    def __init__(self, user: str, at: Listener, send: Send, tokens: Tokens, after: After) -> None:
        self.user = user
        self.at = at
        self.tokens = tokens
        self.address = f"<sip:{user}@{at.host}>"
        self.contact = at.contact(user)
        self.media, self.media_port = at.address, 40000  # where our SDP wants its media
        self.headers: Headers = {"User-Agent": [f"{user}'s phone"], "Supported": ["replaces, timer"]}
        self.dialogs: list[Dialog] = []
        self.bytes_in: list[bytes] = []
        self.bytes_out: list[bytes] = []
        self.acks = True
        self.asked: Callable[[Dialog, Request], None] = answer_all
        self.noticed: Callable[[], None] = lambda: None
        self._send = send
        self._after = after
        self._sent: dict[tuple[str, str], Sent] = {}
        self._replies: dict[tuple[str, str], tuple[Dialog, Request, Flow, Response | None]] = {}
        self._acks: dict[tuple[str, str, int], tuple[Request, Flow]] = {}  # by Call-ID, tag of the 2xx, CSeq

    # Out

    def invite(
        self, uri: str, flow: Flow | None = None, body: bytes | None = None, headers: Headers | None = None
    ) -> Dialog:
        """Call `uri`, by `flow` (an outbound proxy) or else by its own address; an empty `body` is a late offer."""
        dialog = self._dialog(uri, flow)
        self.dialogs.append(dialog)
        body = dialog.sdp() if body is None else body
        dialog.ask("INVITE", body, {**(of_type("application/sdp") if body else {}), **(headers or {})})
        return dialog

    def subscribe(
        self, uri: str, event: str, seconds: int = 3600, flow: Flow | None = None, headers: Headers | None = None
    ) -> Dialog:
        """Subscribe to what happens at `uri` (RFC 6665 4.1.2); each notifier that answers makes a dialog."""
        dialog = self._dialog(uri, flow)
        self.dialogs.append(dialog)
        dialog.subscribe(event, seconds, headers)
        return dialog

    def refer(self, uri: str, to: str, flow: Flow | None = None, headers: Headers | None = None) -> Dialog:
        """Ask whoever is at `uri` to call `to` (RFC 3515), outside any call."""
        dialog = self._dialog(uri, flow)
        self.dialogs.append(dialog)
        dialog.ask("REFER", headers={"Refer-To": [to], **(headers or {})})
        return dialog

    def ask(
        self, method: str, uri: str, flow: Flow | None = None, body: bytes = b"", headers: Headers | None = None
    ) -> Sent:
        """A request outside any call: OPTIONS, MESSAGE."""
        return self._dialog(uri, flow).ask(method, body, headers)

    def _dialog(self, uri: str, flow: Flow | None) -> Dialog:
        target = parse_uri(uri)
        port = target.port or DEFAULT_PORTS[self.at.transport]
        flow = flow or Flow(self.at, target.host, port, None, target.host)
        remote = f"<{Uri(target.scheme, target.user, target.host)}>"
        return Dialog(self, flow, self.tokens.word(), remote, target)

    def start(self, sent: Sent) -> None:
        """Send a request and, over UDP, send it again until it is answered."""
        method = sent.request.method
        self._sent[sent.request.via.branch, method] = sent
        data = self._out(sent.dialog, sent.request, sent.flow)
        if self.at.transport == "udp":
            self._again(data, sent.flow, lambda: not sent.answered, T1, 1e9 if method == "INVITE" else T2)

    def reply(self, dialog: Dialog, request: Request, response: Response) -> None:
        """Send a response; a final one to INVITE again and again until its ACK comes (RFC 3261 13.3.1.4)."""
        key = request.via.branch, request.method
        flow = self._replies[key][2]
        self._replies[key] = dialog, request, flow, response
        data = self._out(dialog, response, flow)
        number = request.cseq[0]
        if request.method == "INVITE" and response.status >= 200:
            if response.status < 300 or self.at.transport == "udp":
                self._again(data, flow, lambda: number not in dialog.acked, T1, T2)

    def _out(self, dialog: Dialog | None, message: Message, flow: Flow) -> bytes:
        data = bytes(message)
        if dialog is not None:
            dialog.said.append(message)
        self.bytes_out.append(data)
        self._send(data, flow)
        return data

    def _again(self, data: bytes, flow: Flow, wanted: Callable[[], bool], wait: float, most: float) -> None:
        def turn(wait: float, passed: float) -> None:
            if wanted() and passed < PATIENCE:
                self.bytes_out.append(data)
                self._send(data, flow)
                self._after(min(2 * wait, most), partial(turn, min(2 * wait, most), passed + wait))

        self._after(wait, partial(turn, wait, wait))

    # In

    def receive(self, data: bytes, flow: Flow) -> None:
        """One datagram, or one message of a stream."""
        self.bytes_in.append(data)
        message = parse(data, flow.connection is not None)
        if isinstance(message, Response):
            self._response(message)
        elif message.method == "ACK":
            self._ack(message)
        else:
            self._request(message, flow)
        self.noticed()

    def _response(self, response: Response) -> None:
        sent = self._sent.get((response.via.branch, response.cseq[1]))
        if sent is None:
            return
        repeated = bool(sent.status)
        sent.responses.append(response)
        sent.dialog.heard.append(response)
        if sent.request.method == "INVITE":
            self._invited(sent, response, repeated)
        elif sent.request.method in SUBSCRIBING and response.status < 300 and not sent.dialog.remote_tag:
            sent.dialog.formed(response)
        elif sent.request.method == "UPDATE" and response.status < 300:
            sent.dialog.retarget(response)

    def _invited(self, sent: Sent, response: Response, repeated: bool) -> None:
        dialog = sent.dialog
        if 100 < response.status < 300 and not sent.request.to.tag and response.to.tag and not repeated:
            dialog.formed(response)
        if 200 <= response.status < 300:
            if not repeated:
                dialog.up = True
                dialog.retarget(response)
            if self.acks:
                self._acknowledge(sent, response)
        elif response.status >= 300:
            headers = {name: sent.request.headers[name] for name in ECHOED if name in sent.request.headers}
            headers |= {"To": response.headers["To"], "CSeq": [f"{response.cseq[0]} ACK"]}
            dialog.over = dialog.over or not dialog.up
            self._out(dialog, Request("ACK", sent.request.uri_text, headers), sent.flow)

    def _acknowledge(self, sent: Sent, response: Response) -> None:
        """The ACK for a 2xx, the same one each time; it carries our answer where the 2xx carried an offer."""
        dialog, number = sent.dialog, response.cseq[0]
        key = response.call_id, response.to.tag, number
        if key not in self._acks:
            body = dialog.sdp_for(response.body) if response.body and not sent.request.body else b""
            ack = dialog.request("ACK", number, body, of_type("application/sdp") if body else None)
            self._acks[key] = ack, dialog.way()
        ack, flow = self._acks[key]
        self._out(dialog, ack, flow)

    def _request(self, request: Request, flow: Flow) -> None:
        key = request.via.branch, request.method
        if key in self._replies:  # it comes again: so does what we said
            dialog, _, _, said = self._replies[key]
            if said is not None:
                self._out(None, said, flow)
            return
        dialog = self._find(request) or self._notified(request) or self._new(request, flow)
        dialog.heard.append(request)
        self._replies[key] = dialog, request, flow, None
        if request.method == "CANCEL":
            self._cancelled(dialog, request)
        elif request.to.tag and dialog not in self.dialogs:
            dialog.respond(request, 481)
        elif request.cseq[0] <= dialog.remote_cseq:
            dialog.respond(request, 500)
        else:
            dialog.remote_cseq = request.cseq[0]
            if request.method in WITH_CONTACT:
                dialog.retarget(request)
            if request.method == "INVITE":
                dialog.invitation = request
            elif request.method == "BYE":
                dialog.up, dialog.over = False, True
            self.asked(dialog, request)

    def _new(self, request: Request, flow: Flow) -> Dialog:
        contact = request.contact if request.method != "REGISTER" else None  # there it may be several
        target = contact.uri if contact is not None else request.from_.uri
        remote = _TAG.sub("", request.headers["From"][0])
        dialog = Dialog(self, flow, request.call_id, remote, target, request.from_.tag)
        dialog.local = _TAG.sub("", request.headers["To"][0])
        dialog.routes = [str(route) for route in request.addresses("Record-Route")]
        if request.method in FORMS_DIALOG and not request.to.tag:
            self.dialogs.append(dialog)
        return dialog

    def _notified(self, notify: Request) -> Dialog | None:
        """The first NOTIFY of a notifier makes a dialog of what we asked (RFC 6665 4.4.1)."""
        for dialog in self.dialogs:
            if (dialog.call_id, dialog.local_tag, notify.method) == (notify.call_id, notify.to.tag, "NOTIFY"):
                if dialog.remote_tag:
                    dialog = dialog.beside()
                    self.dialogs.append(dialog)
                dialog.remote_tag = notify.from_.tag
                dialog.routes = [str(route) for route in notify.addresses("Record-Route")]
                return dialog
        return None

    def _find(self, request: Request) -> Dialog | None:
        for dialog in reversed(self.dialogs):
            if dialog.call_id == request.call_id and dialog.remote_tag == request.from_.tag:
                if request.to.tag == dialog.local_tag or request.method == "CANCEL":
                    return dialog
        return None

    def _ack(self, ack: Request) -> None:
        dialog = self._find(ack)
        if dialog is not None:
            dialog.heard.append(ack)
            dialog.acked.add(ack.cseq[0])

    def _cancelled(self, dialog: Dialog, cancel: Request) -> None:
        known = self._replies.get((cancel.via.branch, "INVITE"))
        dialog.respond(cancel, 200 if known else 481)
        if known is not None and (known[3] is None or known[3].status < 200):
            dialog.respond(known[1], 487)


def answer_all(dialog: Dialog, request: Request) -> None:
    """What a phone does that nobody told otherwise: it rings, answers, and agrees to everything."""
    if request.method != "INVITE":
        dialog.respond(request, 200)
        return
    if not request.to.tag:
        dialog.ring()
    dialog.answer()
