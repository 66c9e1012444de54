"""One message's body on its way from a leg to the other: what the kinds of bodies ask, answered (S38)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from b2bua.call.shown import masked
from b2bua.dialog.leg import Leg
from b2bua.policy.bodies import carry
from b2bua.policy.body import Exceptions
from b2bua.policy.hiding import OF_THE_BODY, Hiding
from b2bua.sip.grammar import Malformed, bracketed
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.sdp import SDP
from b2bua.sip.uri import DEFAULT_PORTS, parse_uri

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

ONLY_SDP = [SDP]  # the Content-Type of nearly every message with a body
_NUMBER = re.compile(r"tel:\+?[0-9*#()-]+")
_OF_PRESENCE = re.compile(
    r"(pres|im):([A-Za-z0-9\-_.!~*'()&=+$,;/%]+)@([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
)  # RFC 3859, RFC 3860
_SERVICE = re.compile(r"urn:service:[a-z]+(?:\.[a-z]+)*")  # RFC 5031


class Across:
    """The crossing of one message, of which `granted` are the headers."""

    __slots__ = ("names", "_hall", "_hiding", "_source", "_target", "_message", "_granted")

    def __init__(
        self, hall: Hall, hiding: Hiding, source: Leg, target: Leg, message: Request | Response, granted: Headers
    ) -> None:
        self.names: dict[str, str] = {}
        self._hall = hall
        self._hiding = hiding
        self._source = source
        self._target = target
        self._message = message
        self._granted = granted

    def carried(self) -> tuple[Headers, bytes]:
        """The headers that cross, and the body; without one, none of the headers that speak of it are left.

        Malformed for a session description, or a frame of parts, that cannot be read.
        """
        granted, message = self._granted, self._message
        content_type = message.first("Content-Type")
        body, said = carry(message.body, content_type, self, encoded="Content-Encoding" in message.headers)
        if not body:
            return {name: values for name, values in granted.items() if name not in OF_THE_BODY}, body
        if said != content_type and "Content-Type" in granted:
            granted["Content-Type"] = [said]
        return granted, body

    # What the kinds of bodies ask: see `policy.body.Crossing`

    @property
    def exceptions(self) -> Exceptions:
        """What the configuration says for these two zones."""
        return self._hiding.bodies

    def sessions(self, bodies: Sequence[bytes]) -> list[bytes]:
        """The session descriptions as the target leg says them."""
        media = self._hall.media
        if media is not None:
            bodies = [media.said(self._source, self._target, self._message, body) for body in bodies]
        return self._target.sdp.own_all(bodies)

    def dialog(self, call_id: str, local_tag: str, remote_tag: str) -> tuple[str, str, str] | None:
        """The same dialog as the target side knows it, or may name it to us."""
        zones = self._source.listener.zone, self._target.listener.zone
        return self._hall.ids.translate(*zones, call_id, local_tag, remote_tag)

    def uri(self, text: str) -> str:
        """A URI that leads to the target leg's listener."""
        listener = self._target.listener
        usual = listener.sent_by == f"{listener.host}:{DEFAULT_PORTS[listener.transport]}"
        return _shown(text, listener.host if usual else listener.sent_by)

    def identity(self, text: str) -> str:
        """An address as From and To show it: with its own host only where the zone may see that of both."""
        return _shown(text, "" if {"From", "To"} <= self._hiding.target.keep_hosts else self._target.listener.host)

    def alias(self, text: str) -> str:
        """The word that stands for an id."""
        return self._hall.wire.tokens.alias(text)

    def content_id(self, name: str) -> str:
        """What a part is called on the other side."""
        spoken = any(f"cid:{name}" in value for values in self._granted.values() for value in values)
        return name if spoken else f"{self.alias(name)}@{self._target.listener.host}"

    def dropped(self, fault: Malformed) -> None:
        """A body or a part cannot be read, and is left out."""
        fault = Malformed(f"{fault.reason}; it is left out", fault.rule, fault.status)
        self._hall.journal.fault(came_from(self._source), fault, "a body")


def _shown(text: str, host: str) -> str:
    """A URI with another host, or with its own where that is empty; empty itself where none may be shown."""
    try:
        uri = parse_uri(text)
    except Malformed:
        return ""
    if uri.is_sip:
        return masked(uri, host or bracketed(uri.host))
    if uri.scheme == "tel":
        shown = masked(uri, host)
        return shown if _NUMBER.fullmatch(shown) else ""
    if found := _OF_PRESENCE.fullmatch(str(uri)):
        return f"{found[1]}:{found[2]}@{host or found[3]}"
    return str(uri) if _SERVICE.fullmatch(str(uri)) else ""


def came_from(source: Leg) -> Flow:
    """Where a leg's message came from, for the journal."""
    hop = source.next_hop
    return source.source or source.flow or Flow(source.listener, hop.host, hop.port or 0)
