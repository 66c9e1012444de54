"""What a leg must not say of the leg on its other side: ids and hosts, also those of the message that crosses (S42)."""

from __future__ import annotations

from functools import lru_cache

from b2bua.dialog.leg import Leg
from b2bua.policy.guard import is_name, normal
from b2bua.sip.address import parse_addresses
from b2bua.sip.foreign import PIECE, SHORTEST, Foreign, octets
from b2bua.sip.grammar import REMEMBERED, Malformed, is_address
from b2bua.sip.message import Request, Response
from b2bua.sip.uri import Uri

_NUMBER = frozenset("+0123456789-.()*#")  # a Contact's user that is a number is who calls, not where


def beware(target: Leg, source: Leg, message: Request | Response, kept: frozenset[str]) -> None:
    """From now on `target` must not say what `source` is called, nor what stood in the Vias of this message of its.

    In `kept` headers its zone sees hosts.
    """
    foreign = target.foreign
    if foreign.names is not source.names:
        if source.names is None:
            source.names = LegNames(source, "From" not in kept)
        foreign = target.foreign = Foreign(source.names, source.listener.zone)
    vias = foreign.vias = message.headers.get("Via", ())  # none: it is one of our own, in place of one that never came
    if vias and type(message) is Request and (len(vias) > 1 or source.remote_target.host not in vias[0]):
        foreign.path = _path(message)


class LegNames:
    """What a leg is called, as it stands (`sip.foreign.Names`); put into words when it is first looked for."""

    __slots__ = ("_target", "_remote", "_contact", "_way", "_routes", "_ids", "_hides_from", "_pieces", "_hosts")

    def __init__(self, leg: Leg, hides_from: bool) -> None:
        """`hides_from`: the other side must not see the host in the peer's From either."""
        self._target = leg.remote_target
        self._remote = leg.remote
        self._contact = leg.contact
        self._way = leg.source or leg.flow
        self._routes = leg.route_set
        self._ids: tuple[str, ...] = leg.call_id, leg.local_tag, leg.remote_tag
        self._hides_from = hides_from
        self._pieces: list[str] | None = None
        self._hosts: list[tuple[bytes, str]] = []

    @property
    def pieces(self) -> list[str]:
        """What is looked for first."""
        if self._pieces is None:
            self._pieces = self._spelled_out()
        return self._pieces

    def _spelled_out(self) -> list[str]:
        uri, contact, way = self._target, self._contact, self._way
        user = _user(uri.user, self._remote) if len(uri.user) >= SHORTEST else ""
        self._ids += contact[contact.find(":") + 1 : contact.find("@")], user
        hosts = {uri.host, way.host if way is not None else "", _from_host(self._remote) if self._hides_from else ""}
        if self._routes or "maddr" in uri.params:
            hosts.update(_route(self._routes, uri))
        self._hosts = [known for host in hosts if (known := searched(host)) is not None]
        ends = " ".join([word[-PIECE:] for word in self._ids if len(word) >= SHORTEST])
        pieces = octets(ends).decode("latin-1").split(" ")
        return pieces + [word[-PIECE:].decode("latin-1") for word, _ in self._hosts]

    @property
    def needles(self) -> dict[bytes, str]:
        """The words, and what each is."""
        _ = self.pieces
        kinds = zip(self._ids, ("Call-ID", "tag", "tag", "user", "user"), strict=True)
        return {octets(word): kind for word, kind in kinds if len(word) >= SHORTEST} | dict(self._hosts)

    @property
    def addresses(self) -> list[bytes]:
        """Those of the needles that are addresses."""
        _ = self.pieces
        return [word for word, kind in self._hosts if kind == "address"]


def _user(user: str, remote: str) -> str:
    """A Contact's user, where it does not just say who calls."""
    return "" if user in remote or _NUMBER.issuperset(user) else user


def _from_host(address: str) -> str:
    """The host in From, as it was kept: `Name <sip:user@host>`."""
    rest = address[address.rfind("@") + 1 :].partition(">")[0].partition(";")[0]
    return rest if rest.startswith("[") else rest.partition(":")[0]


@lru_cache(REMEMBERED)
def searched(host: str) -> tuple[bytes, str] | None:
    """A host as it is searched for, and what it is; None where it tells nothing."""
    text = host.strip("[]").lower().rstrip(".")
    word = octets(text)
    if is_address(text):
        return normal(word) or word, "address"
    return (word, "host") if is_name(text) else None


def _route(routes: list[str], target: Uri) -> list[str]:
    """Where else than at its Contact's host the peer is reached."""
    hosts = [target.params.get("maddr") or ""]
    try:
        return hosts + [address.uri.host for address in parse_addresses(routes, "RFC 3261 20.34")]
    except Malformed:
        return hosts


def _path(message: Request) -> tuple[bytes, ...]:
    """Where a request was before it came to us, as its Vias tell."""
    found = []
    for via in message.vias():
        for host in (via.host, via.received):
            if (each := searched(host)) is not None:
                found.append(each[0])
        if len(via.branch) >= SHORTEST:
            found.append(octets(via.branch))
    return tuple(found)
