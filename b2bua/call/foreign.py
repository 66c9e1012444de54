"""What a leg must not say of the leg on its other side: ids and hosts, also those of the message that crosses (S42)."""

from __future__ import annotations

from functools import lru_cache

from b2bua.dialog.leg import Leg
from b2bua.policy.guard import SHORTEST, is_name, normal
from b2bua.sip.address import parse_addresses
from b2bua.sip.foreign import PIECE, Foreign
from b2bua.sip.grammar import REMEMBERED, Malformed, is_address
from b2bua.sip.message import Request, Response
from b2bua.sip.via import MAGIC_COOKIE

_BRANCH = f"branch={MAGIC_COOKIE}"
_NUMBER = frozenset("+0123456789-.()*#")  # a Contact's user that is a number is who calls, not where


def foreign_to(target: Leg, source: Leg, message: Request | Response, kept: frozenset[str]) -> Foreign:
    """What `target` must not say once `message` of `source` has crossed; in `kept` headers its zone sees hosts.

    Between two of a call's messages hardly anything changes but the branch.
    """
    names = source.names
    if names is None:
        names = source.names = LegNames(source, "From" not in kept)
    vias = message.headers.get("Via")
    via: tuple[bytes, ...] = ()
    if vias:  # else it is one of our own, in place of one that never came
        first = vias[0]
        at = first.find(_BRANCH)
        if at >= 0:
            word = first[at + len(_BRANCH) :].partition(";")[0]
            if len(word) >= SHORTEST:
                via = (_octets(word),)
        if isinstance(message, Request) and (len(vias) > 1 or message.via.host not in source.remote_target.host):
            via += _path(message)
    # Written out at the next leak only: Uri and Flow are as they are, and put into words there.
    said = target.remote_target, target.source, target.remote_tag, target.call_id, target.route_set, target.said
    return Foreign(names, via, source.listener.zone, said)


class LegNames:
    """What a leg is called, as it stands (`sip.foreign.Names`): for every message the pieces, the rest for few."""

    __slots__ = ("pieces", "_of", "_needles")

    def __init__(self, leg: Leg, hides_from: bool) -> None:
        """`hides_from`: the other side must not see the host in the peer's From either."""
        uri, remote, contact, way = leg.remote_target, leg.remote, leg.contact, leg.source or leg.flow
        call_id, tag = leg.call_id, leg.remote_tag
        user = _user(uri.user, remote) if len(uri.user) >= SHORTEST else ""
        sender = _from_host(remote) if hides_from else ""
        text = (
            f"{call_id[-PIECE:] if len(call_id) >= SHORTEST else ''} {tag[-PIECE:] if len(tag) >= SHORTEST else ''}"
            f" {leg.local_tag[-PIECE:]} {contact[contact.find('@') - PIECE : contact.find('@')]} {user[-PIECE:]}"
            f" {uri.host[-PIECE:]} {way.host[-PIECE:] if way is not None else ''} {sender[-PIECE:]}"
        )
        pieces = text.lower().encode("utf-8", "surrogateescape").split()
        hosts = [uri.host, sender, way.host if way is not None else ""]
        if leg.route_set or "maddr" in uri.params:
            more = _route(leg)
            hosts += more
            pieces += [each[0][-PIECE:] for each in map(searched, more) if each is not None]
        self.pieces = pieces
        self._of = (call_id, leg.local_tag, tag, contact, user, hosts)
        self._needles: dict[bytes, str] | None = None

    @property
    def needles(self) -> dict[bytes, str]:
        """The words, and what each is."""
        if self._needles is None:
            call_id, local_tag, tag, contact, user, hosts = self._of
            ours = contact[contact.find(":") + 1 : contact.find("@")]
            ids = ((call_id, "Call-ID"), (local_tag, "tag"), (tag, "tag"), (ours, "user"), (user, "user"))
            found = {_octets(word): kind for word, kind in ids if len(word) >= SHORTEST}
            found |= dict(each for each in map(searched, hosts) if each is not None)
            self._needles = found
        return self._needles


def _user(user: str, remote: str) -> str:
    """A Contact's user, where it does not just say who calls."""
    return "" if user in remote or _NUMBER.issuperset(user) else user


def _from_host(address: str) -> str:
    """The host in From, as it was kept: `Name <sip:user@host>`."""
    rest = address[address.rfind("@") + 1 :].partition(">")[0].partition(";")[0]
    return rest if rest.startswith("[") else rest.partition(":")[0]


def _octets(word: str) -> bytes:
    return word.lower().encode("utf-8", "surrogateescape")


@lru_cache(REMEMBERED)
def searched(host: str) -> tuple[bytes, str] | None:
    """A host as it is searched for, and what it is; None where it tells nothing."""
    text = host.strip("[]").lower().rstrip(".")
    octets = _octets(text)
    if is_address(text):
        return normal(octets) or octets, "address"
    return (octets, "host") if is_name(text) else None


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
            found.append(_octets(via.branch))
    return tuple(found)
