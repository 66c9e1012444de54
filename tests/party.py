"""A phone of the world: it does nothing unless told, but sends again, acknowledges and takes CANCEL as phones do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.ops.phone import Dialog, Phone, Sent
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Headers, Request, Response
from tests.carriage import Packet, Pipe

if TYPE_CHECKING:
    from tests.world import World


class Party(Phone):
    """A phone of the world. `proxy` is where it sends what begins a dialog: a listener of the bridge.

    `mute`: nothing that it gets reaches it. `refusing`: it has no such port, and says so.
    """

    def __init__(self, world: World, user: str, at: Listener, proxy: Listener) -> None:
        super().__init__(user, at, self.put, world.tokens, world.wheel.after)
        self.world = world
        self.proxy = proxy
        self.mute = self.refusing = False
        self.pipes: list[Pipe] = []
        self.open: list[tuple[Dialog, Request]] = []  # what it was asked and has not answered
        self.asked = lambda dialog, request: self.open.append((dialog, request))

    @property
    def talk(self) -> Dialog:
        """The last call."""
        return self.dialogs[-1]

    def by_proxy(self) -> Flow:
        """The way to the bridge."""
        return Flow(self.at, self.proxy.address, self.proxy.port, None, self.proxy.address)

    def invite(
        self, uri: str, flow: Flow | None = None, body: bytes | None = None, headers: Headers | None = None
    ) -> Dialog:
        """Call `uri` through the bridge."""
        return super().invite(uri, flow or self.by_proxy(), body, headers)

    def subscribe(
        self, uri: str, event: str, seconds: int = 3600, flow: Flow | None = None, headers: Headers | None = None
    ) -> Dialog:
        """Subscribe through the bridge."""
        return super().subscribe(uri, event, seconds, flow or self.by_proxy(), headers)

    def refer(self, uri: str, to: str, flow: Flow | None = None, headers: Headers | None = None) -> Dialog:
        """REFER outside any call, through the bridge."""
        return super().refer(uri, to, flow or self.by_proxy(), headers)

    def ask(
        self, method: str, uri: str, flow: Flow | None = None, body: bytes = b"", headers: Headers | None = None
    ) -> Sent:
        """A request outside any call, through the bridge."""
        return super().ask(method, uri, flow or self.by_proxy(), body, headers)

    def says(self, status: int, body: bytes | None = None, headers: Headers | None = None, to: str = "") -> Request:
        """Answer the last thing that it was asked (by this method) and did not answer; returns what that was.

        A 2xx to INVITE has an answer to its offer unless `body` says otherwise.
        """
        self.world.settle()
        fitting = [each for each in self.open if to in ("", each[1].method)]
        if not fitting:
            raise AssertionError(f"{self.user} was asked nothing")
        dialog, request = fitting[-1]
        if status >= 200:
            self.open.remove(fitting[-1])
        if body is None:
            body = dialog.sdp_for(request.body) if request.method == "INVITE" and 200 <= status < 300 else b""
            headers = {**({"Content-Type": ["application/sdp"]} if body else {}), **(headers or {})}
        dialog.respond(request, status, body, headers)
        return request

    def also(self, host: str, transport: str = "", port: int = 0, user: str = "") -> Party:
        """The same phone at another address, or a proxy before it: it knows its calls there too."""
        other = self.world.phone(user or f"{self.user}'", host, transport or self.at.transport, port)
        other.dialogs, other.open, other._replies = self.dialogs, self.open, self._replies
        return other

    def fork(self, dialog: Dialog) -> Dialog:
        """Another answering device for the same INVITE or SUBSCRIBE: another To tag (RFC 3261 12.1)."""
        other = Dialog(self, dialog.flow, dialog.call_id, dialog.remote, dialog.target, dialog.remote_tag)
        other.local, other.routes, other.invitation = dialog.local, dialog.routes, dialog.invitation
        other.remote_cseq = dialog.remote_cseq
        self.dialogs.append(other)
        return other

    def branch(self, dialog: Dialog, number: int) -> Dialog:
        """Our side of the `number`th early dialog that a call of ours made, by the tags in the order they came."""
        responses = [each for each in dialog.heard if isinstance(each, Response) and each.to_tag]
        tag = list(dict.fromkeys(each.to_tag for each in responses))[number - 1]
        other = Dialog(self, dialog.flow, dialog.call_id, dialog.remote, dialog.target, tag)
        other.local_tag, other.cseq, other.acked = dialog.local_tag, dialog.cseq, dialog.acked
        other.formed(next(each for each in responses if each.to_tag == tag))
        self.dialogs.append(other)
        return other

    def say(self, data: bytes) -> None:
        """Raw bytes to the bridge."""
        self.bytes_out.append(data)
        self.put(data, self.by_proxy())

    def put(self, data: bytes, flow: Flow) -> None:
        """Bytes on the wire."""
        if self.at.transport == "udp":
            self.world.wires.carry(Packet(self, False, data, flow.host, flow.port))
            return
        if flow.connection is None or not flow.connection.alive:
            flow.connection = self.world.connect(self, flow.host, flow.port)
        flow.connection.write(data)

    def drop(self) -> None:
        """Close every connection."""
        for pipe in list(self.pipes):
            pipe.close()
