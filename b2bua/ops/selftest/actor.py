"""The phone that plays a part: it says what its line says, sends again what is not answered, and does nothing else.

It answers nothing by itself, neither CANCEL with 487 nor a 2xx with ACK, until the play is over and it is `polite`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

from b2bua.ops.phone import After, Dialog, Phone, Send, Sent, label
from b2bua.ops.phonedialog import of_type
from b2bua.ops.selftest.scenario import Detail, Message, headers_of
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Headers, Request, Response, parse
from b2bua.sip.tokens import Tokens

MEDIA = "198.51.100.7"  # where nobody is: media does not pass, and its address is no leak (RFC 5737)

_PLACE = re.compile(r"\{(\w+%?)(?: (\w+))?\}")


class Heard(NamedTuple):
    """A message that came. `again`: the same octets had come before."""

    dialog: Dialog | None
    message: Request | Response
    again: bool


class CannotSay(Exception):
    """A line that makes no sense at this point, and why."""


class Actor(Phone):
    """One phone, or several devices behind one address. `way` is the bridge's address, `uri_of` whom it can call."""

    def __init__(
        self, user: str, at: Listener, way: tuple[str, int], send: Send, tokens: Tokens, after: After,
        uri_of: Callable[[str], str], everybody: Mapping[str, Actor],
    ) -> None:  # fmt: skip
        super().__init__(user, at, send, tokens, after)
        self.acks = False
        self.asked = lambda dialog, request: None
        self.media = MEDIA
        self.headers = {"User-Agent": [f"{user}'s phone"]}
        self.inbox: list[Heard] = []
        self.broken: list[str] = []  # octets that are no SIP, and why
        self.polite = False
        self.standing: dict[str, int] = {}  # what it answers by itself, by method
        self.accepted: dict[Dialog, Response] = {}  # the 2xx that our INVITE got
        self._way = way
        self._uri_of = uri_of
        self._everybody = everybody
        self._named: dict[tuple[str, str], Dialog] = {}  # by device and call
        self._first: dict[Dialog, Dialog] = {}  # of a later early dialog: whose INVITE made it
        self._invites: dict[Dialog, Sent] = {}
        self._racks: dict[Dialog, str] = {}  # what acknowledges the last reliable response (RFC 3262 7.2)
        self._early: dict[tuple[str, str], Dialog] = {}  # by Call-ID and the peer's tag
        self._seen: set[bytes] = set()
        self._last: dict[tuple[Dialog, str], tuple[bytes, Flow]] = {}  # what was said, to say it again

    # Names

    def bind(self, device: str, call: str, dialog: Dialog | None) -> bool:
        """Whether a message's dialog is the one that a line names; a name that is new is given to a new dialog."""
        known = self._named.get((device, call))
        if known is None and dialog is not None and dialog not in self._named.values():
            self._named[device, call] = known = dialog
        return known is dialog

    def named(self, device: str, call: str) -> Dialog:
        """The dialog that a line names; another device has one of its own, for the same INVITE."""
        known = self._named.get((device, call))
        if known is None and device and ("", call) in self._named:
            known = self._named[device, call] = self._another(self._named["", call])
        if known is None:
            raise CannotSay(f"{self.user} has no such call" + (f" [{call}]" if call else ""))
        return known

    def _another(self, dialog: Dialog) -> Dialog:
        """Another device that was called by the same INVITE: a tag of its own (RFC 3261 12.1)."""
        other = Dialog(self, dialog.flow, dialog.call_id, dialog.remote, dialog.target, dialog.remote_tag)
        other.local, other.routes, other.invitation = dialog.local, dialog.routes, dialog.invitation
        other.remote_cseq = dialog.remote_cseq
        other.heard += [each for each in dialog.heard if isinstance(each, Request)][:1]
        self.dialogs.append(other)
        return other

    # What a line says

    def say(self, line: Message) -> None:
        """Send what a line says. CannotSay where that makes no sense."""
        if line.again:
            self._repeat(line)
        elif line.status:
            self._answer(self.named(line.device, line.call), line)
        elif line.target or line.referred:
            self._begin(line)
        else:
            self._ask(self.named(line.device, line.call), line)

    def _begin(self, line: Message) -> None:
        """A request outside any dialog."""
        headers: Headers = {}
        uri = self._uri_of(line.target) if line.target else ""
        if line.referred:
            uri, headers = self._referred()
        dialog = self._dialog(uri, Flow(self.at, *self._way, None, self._way[0]))
        self.dialogs.append(dialog)
        self._named[line.device, line.call] = dialog
        body, typed = self._body(dialog, line.details, line.method == "INVITE", b"")
        sent = dialog.ask(line.method, body, {**headers, **typed, **self._headers(dialog, line)})
        if line.method == "INVITE":
            self._invites[dialog] = sent
        self._remember(dialog, line)

    def _referred(self) -> tuple[str, Headers]:
        """Whom the last REFER sends us to, and the headers that its Refer-To asks for (RFC 3515 2.1, RFC 3891)."""
        requests = [each for dialog in self.dialogs for each in dialog.heard if label(each) == "REFER"]
        if not requests:
            raise CannotSay(f"{self.user} was referred to nobody")
        uri = requests[-1].addresses("Refer-To")[0].uri
        text, _, query = str(uri).partition("?")
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        return text, {name: [unquote(value)] for name, _, value in pairs}

    def _ask(self, dialog: Dialog, line: Message) -> None:
        """A request inside a dialog, or the CANCEL or ACK of an INVITE of ours."""
        first = self._first.get(dialog, dialog)
        if line.method == "CANCEL":
            kept, first.sent = first.sent, self._invites[first]
            first.cancel()
            first.sent = kept
        elif line.method == "ACK":
            self._ack_now(dialog, line)
        else:
            headers = self._headers(dialog, line)
            if line.method == "PRACK" and "RAck" not in headers:
                headers["RAck"] = [self._rack(dialog)]
            body, typed = self._body(dialog, line.details, line.method == "INVITE", b"")
            sent = dialog.ask(line.method, body, {**typed, **headers})
            if line.method == "INVITE":
                self._invites[dialog] = sent
            elif line.method == "BYE":
                dialog.up, dialog.over = False, True
        self._remember(dialog, line)

    def _rack(self, dialog: Dialog) -> str:
        if dialog not in self._racks:
            raise CannotSay(f"{self.user} has no reliable response")
        return self._racks[dialog]

    def _ack_now(self, dialog: Dialog, line: Message) -> None:
        response = self.accepted.get(dialog)
        if response is None:
            if not any(label(each) == "ACK" for each in self._first.get(dialog, dialog).said):
                raise CannotSay(f"{self.user} has nothing to acknowledge")
            return  # a refusal has its ACK from the transaction (RFC 3261 17.1.1.3)
        number = response.cseq[0]
        offered = b"" if self._invites[self._first.get(dialog, dialog)].request.body else response.body
        body, typed = self._body(dialog, line.details, bool(offered), offered)
        ack = dialog.request("ACK", number, body, {**typed, **self._headers(dialog, line)})
        self._acks[response.call_id, response.to_tag, number] = ack, dialog.way()
        self._out(dialog, ack, dialog.way())

    def _answer(self, dialog: Dialog, line: Message) -> None:
        try:
            request = dialog.last(line.method)
        except LookupError:
            raise CannotSay(f"{self.user} was not asked {line.method}") from None
        assert isinstance(request, Request), "a label without a status is a request's"
        agrees = 200 <= line.status < 300 and (line.method == "INVITE" or bool(request.body and _is_sdp(request)))
        body, typed = self._body(dialog, line.details, agrees, request.body if _is_sdp(request) else b"")
        headers = self._headers(dialog, line)
        if "RSeq" in headers:
            self._racks[dialog] = f"{headers['RSeq'][0]} {request.cseq[0]} INVITE"
        dialog.respond(request, line.status, body, {**typed, **headers})
        self._remember(dialog, line)

    def _repeat(self, line: Message) -> None:
        """The same octets once more."""
        dialog = self.named(line.device, line.call)
        if (dialog, line.label) not in self._last:
            raise CannotSay(f"{self.user} has not said {line.label} before")
        data, flow = self._last[dialog, line.label]
        self.bytes_out.append(data)
        self._send(data, flow)

    def _remember(self, dialog: Dialog, line: Message) -> None:
        flow = self._replies[self._key(dialog, line.method)][2] if line.status else dialog.flow
        self._last[dialog, line.label] = self.bytes_out[-1], flow

    def _key(self, dialog: Dialog, method: str) -> tuple[str, str]:
        return dialog.last(method).via.branch, method

    # What is said below it

    def _body(self, dialog: Dialog, details: Sequence[Detail], wanted: bool, offer: bytes) -> tuple[bytes, Headers]:
        for detail in details:
            if detail.kind == "no sdp":
                return b"", {}
            if detail.kind == "body":
                return self.fill(detail.value, dialog).encode() + b"\r\n", of_type(detail.name)
            if detail.kind == "sdp" and detail.value:
                return dialog.sdp(detail.value), of_type("application/sdp")
            wanted = wanted or detail.kind == "sdp"
        if not wanted:
            return b"", {}
        return (dialog.sdp_for(offer) if offer else dialog.sdp()), of_type("application/sdp")

    def _headers(self, dialog: Dialog, line: Message) -> Headers:
        return {
            name: [self.fill(value, dialog, True) for value in values]
            for name, values in headers_of(line.details).items()
        }

    def fill(self, text: str, dialog: Dialog, sending: bool = False) -> str:
        """A value with what stands for what nobody knows before: {bob}, {at bob}, {callid 2}, {replaces 2}, {rack}.

        {replaces} names our call in the peer's eyes where we send it, and in ours where it is to come (RFC 3891 3):
        to-tag is the tag of whoever gets it.
        """

        def place(found: re.Match[str]) -> str:
            word, call = found.group(1), found.group(2)
            kind = word.rstrip("%")
            if kind == "at":
                if call not in self._everybody:
                    raise CannotSay(f"{call} is not there")
                at = self._everybody[call].at
                return f"sip:{call}@{at.sent_by};transport={at.transport}"
            other = self.named("", call) if call else dialog
            if kind == "replaces":
                to, from_ = (other.remote_tag, other.local_tag) if sending else (other.local_tag, other.remote_tag)
                text = f"{other.call_id};to-tag={to};from-tag={from_}"
            elif kind == "callid":
                text = other.call_id
            elif kind == "rack":
                text = self._rack(dialog)
            else:
                text = self._uri_of(kind)
            return quote(text, safe="") if word.endswith("%") else text

        return _PLACE.sub(place, text)

    # What comes

    def receive(self, data: bytes, flow: Flow) -> None:
        """One message."""
        again = data in self._seen
        self._seen.add(data)
        try:
            message = parse(data, flow.connection is not None)
        except Malformed as fault:
            self.broken.append(f"{fault.reason}: {data!r}")
            return
        super().receive(data, flow)
        dialog = self._dialog_of(message)
        if isinstance(message, Request) and message.method in self.standing and dialog is not None:
            if not again:
                dialog.respond(message, self.standing[message.method])
            return
        self.inbox.append(Heard(dialog, message, again))
        if self.polite and isinstance(message, Request) and not again:
            self.answer_politely(dialog, message)

    def _dialog_of(self, message: Request | Response) -> Dialog | None:
        if isinstance(message, Response):
            sent = self._sent.get((message.via.branch, message.cseq[1]))
            if sent is None:
                return None
            return (
                self._early.get((message.call_id, message.to_tag), sent.dialog) if message.status < 300 else sent.dialog
            )
        known = self._replies.get((message.via.branch, message.method))
        return known[0] if known is not None else self._find(message)

    def _response(self, response: Response) -> None:
        super()._response(response)
        sent = self._sent.get((response.via.branch, response.cseq[1]))
        if sent is not None and sent.request.method == "SUBSCRIBE" and 200 <= response.status < 300:
            if not sent.dialog.remote_tag:
                sent.dialog.formed(response)

    def _invited(self, sent: Sent, response: Response, repeated: bool) -> None:
        tag = response.to_tag
        if response.status >= 300 or not 100 < response.status or not tag:
            super()._invited(sent, response, repeated)
            return
        dialog = sent.dialog if sent.request.to_tag else self._early_dialog(sent.dialog, response)
        if "RSeq" in response.headers and response.status < 200:
            self._racks[dialog] = f"{response.first('RSeq')} {response.cseq[0]} INVITE"
        if response.status < 200:
            return
        dialog.up = True
        dialog.retarget(response)
        self.accepted[dialog] = response
        if (response.call_id, tag, response.cseq[0]) in self._acks or self.polite:
            self._acknowledge(sent if dialog is sent.dialog else Sent(sent.request, sent.flow, dialog), response)

    def _early_dialog(self, first: Dialog, response: Response) -> Dialog:
        """The early dialog of a response's tag; a tag not seen before makes another one (RFC 3261 12.1.2)."""
        key = response.call_id, response.to_tag
        if key in self._early:
            return self._early[key]
        dialog = first
        if first.remote_tag:
            dialog = Dialog(self, first.flow, first.call_id, first.remote, first.target)
            dialog.local_tag, dialog.cseq = first.local_tag, first.cseq
            self._first[dialog] = first
            self.dialogs.append(dialog)
        dialog.formed(response)
        self._early[key] = dialog
        return dialog

    def _new(self, request: Request, flow: Flow) -> Dialog:
        dialog = super()._new(request, flow)
        if not request.to_tag and dialog not in self.dialogs:
            self.dialogs.append(dialog)
        return dialog

    def _find(self, request: Request) -> Dialog | None:
        known = super()._find(request)
        if known is not None:
            return known
        for dialog in self.dialogs:  # a NOTIFY may come before the answer to SUBSCRIBE (RFC 6665 4.4.1)
            if (dialog.call_id, dialog.local_tag, dialog.remote_tag) == (request.call_id, request.to_tag, ""):
                dialog.remote_tag = request.from_tag
                return dialog
        return None

    def _cancelled(self, dialog: Dialog, cancel: Request) -> None:
        """The ladder answers."""

    # After the play

    def be_polite(self) -> None:
        """The play is over: answer what is open, end what is up."""
        self.polite = True
        for dialog, request, _, said in list(self._replies.values()):
            if said is None or (said.status < 200 and request.method == "INVITE"):
                self.answer_politely(dialog, request)
        for dialog, response in list(self.accepted.items()):
            if (response.call_id, response.to_tag, response.cseq[0]) not in self._acks:
                first = self._invites[self._first.get(dialog, dialog)]
                self._acknowledge(Sent(first.request, first.flow, dialog), response)
        for dialog, sent in list(self._invites.items()):
            if not sent.status and not dialog.over:
                kept, dialog.sent = dialog.sent, sent
                dialog.cancel()
                dialog.sent = kept
        for dialog in list(self.dialogs):
            if dialog.up and not dialog.over:
                dialog.bye()

    @property
    def calm(self) -> bool:
        """Whether everything that it asked is answered."""
        return all(sent.status for sent in self._sent.values())

    def answer_politely(self, dialog: Dialog | None, request: Request) -> None:
        """What a phone says whose user has gone home."""
        if dialog is None or request.method == "ACK":
            return
        known = self._replies.get((request.via.branch, request.method))
        if known is None or (known[3] is not None and known[3].status >= 200):
            return
        if request.method == "CANCEL":
            dialog.respond(request, 200)
            invite = self._replies.get((request.via.branch, "INVITE"))
            if invite is not None and (invite[3] is None or invite[3].status < 200):
                invite[0].respond(invite[1], 487)
        elif request.method == "INVITE":
            dialog.respond(request, 488 if request.to_tag else 480)
        elif request.method == "SUBSCRIBE":
            dialog.respond(request, 200, headers={"Expires": ["0"]})
        else:
            dialog.respond(request, 200)


def direction(details: Sequence[Detail]) -> str | None:
    """The direction of the SDP that a line speaks of: empty for any, None for a line that speaks of none."""
    return next((detail.value for detail in details if detail.kind == "sdp"), None)


def _is_sdp(request: Request) -> bool:
    return bool(request.body) and "application/sdp" in "".join(request.headers.get("Content-Type", ())).lower()
