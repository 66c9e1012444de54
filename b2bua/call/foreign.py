"""What a leg must not say of the leg on its other side: ids and hosts, also those of the message that crosses (S42)."""

from __future__ import annotations

from functools import lru_cache

from b2bua.dialog.leg import Leg
from b2bua.policy.guard import is_name, normal
from b2bua.sip.address import parse_addresses
from b2bua.sip.foreign import PIECE, SHORTEST, Foreign, octets
from b2bua.sip.grammar import REMEMBERED, Malformed, is_address
from b2bua.sip.message import Request, Response

_NUMBER = frozenset("+0123456789-.()*#")  # a Contact's user that is a number is who calls, not where


def beware(target: Leg, source: Leg, message: Request | Response, kept: frozenset[str]) -> None:
    """From now on `target` must not say what `source` is called, nor what stood in the Vias of this message of its.

    In `kept` headers its zone sees hosts.
    """
    names = source.names
    if names is None:
        names = source.names = LegNames(source, "From" not in kept)
    foreign = target.foreign
    if foreign.names is not names:
        foreign = target.foreign = Foreign(names, source.listener.zone)
    vias = foreign.vias = message.headers.get("Via", ())  # none: it is one of our own, in place of one that never came
    if isinstance(message, Request) and vias:
        foreign.path = _path(message) if len(vias) > 1 or message.via.host not in source.remote_target.host else ()


class LegNames:
    """What a leg is called, as it stands (`sip.foreign.Names`): for every message the pieces, the rest for few."""

    __slots__ = ("pieces", "_ids", "_hosts")

    def __init__(self, leg: Leg, hides_from: bool) -> None:
        """`hides_from`: the other side must not see the host in the peer's From either."""
        uri, remote, contact, way = leg.remote_target, leg.remote, leg.contact, leg.source or leg.flow
        ours = contact[contact.find(":") + 1 : contact.find("@")]
        user = _user(uri.user, remote) if len(uri.user) >= SHORTEST else ""
        self._ids = leg.call_id, leg.local_tag, leg.remote_tag, ours, user
        hosts = {uri.host, way.host if way is not None else "", _from_host(remote) if hides_from else ""}
        if leg.route_set or "maddr" in uri.params:
            hosts.update(_route(leg))
        self._hosts = [known for host in hosts if (known := searched(host)) is not None]
        ends = " ".join([word[-PIECE:] for word in self._ids if len(word) >= SHORTEST])
        self.pieces = octets(ends).decode("latin-1").split(" ")
        self.pieces += [word[-PIECE:].decode("latin-1") for word, _ in self._hosts]

    @property
    def needles(self) -> dict[bytes, str]:
        """The words, and what each is."""
        kinds = zip(self._ids, ("Call-ID", "tag", "tag", "user", "user"), strict=True)
        return {octets(word): kind for word, kind in kinds if len(word) >= SHORTEST} | dict(self._hosts)


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


def _route(source: Leg) -> list[str]:
    """Where else than at its Contact's host the peer is reached."""
    hosts = [source.remote_target.params.get("maddr") or ""]
    try:
        return hosts + [address.uri.host for address in parse_addresses(source.route_set, "RFC 3261 20.34")]
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
