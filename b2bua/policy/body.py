"""What is left of a body once it has crossed (S38): one kind for each media type, and multipart bodies part by part.

A kind writes a body anew and puts in only what it knows: it is never a copy that is scrubbed. What nobody has a kind
for crosses as it is, unless the configuration says otherwise; but not a type that is there to carry messages or names
of hosts (`NEVER`, and every message/*).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol

from b2bua.sip.grammar import Malformed, format_params, parse_params
from b2bua.sip.multipart import Multipart, Part, media_type, read
from b2bua.sip.sdp import SDP

_TYPE = re.compile(r"[a-z0-9!#$&^_.+*-]+/[a-z0-9!#$&^_.+*-]+")
# What might be an address, a host or a URI: an at sign, a scheme, numbers with dots, colons as in IPv6, dotted names.
_ADDRESS = re.compile(
    r"@|%40|//|\bsips?:|\btel:|[0-9]\.[0-9]+\.[0-9]|[0-9A-Fa-f]:[0-9A-Fa-f]*:|::|[\w-]\.[A-Za-z]{2}", re.I
)
# Of the headers of a part; all others stay behind (S35).
PART_HEADERS = frozenset(
    """
    content-type content-disposition content-transfer-encoding content-encoding content-language content-length
    """.split()
)

# Types that carry whole messages, or addresses in a form that nothing here translates.
NEVER: dict[str, str] = {
    "application/held+xml": "addresses of a location server (RFC 5985)",
    "application/load-control+xml": "addresses of one network (RFC 7200)",
    "application/pidf-diff+xml": "a change to a document whose ids and addresses were changed (RFC 5262)",
    "application/rs-metadata": "addresses and dialogs of a recorded call (RFC 7865)",
    "application/rs-metadata+xml": "addresses and dialogs of a recorded call (RFC 7865)",
    "application/simple-filter+xml": "addresses of the far side (RFC 4661)",
    "application/trickle-ice-sdpfrag": "candidates of a party, which is met elsewhere (RFC 8840)",
    "application/xcap-diff+xml": "documents on a server of the far side (RFC 5874)",
    "message/*": "a whole message, or where one can be fetched (message/sip, message/external-body)",
}


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What the configuration says of bodies for a pair of zones.

    `keep`: media types that cross as they came, whatever is in them. `drop`: media types that do not cross; one such as
    "application/*" or "*/*" is for those that have no kind here and are not kept. `location`: where somebody is
    (RFC 4119) crosses too. ValueError for what is no media type, and for those in which the leg says its own.
    """

    keep: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    location: bool = False

    def __post_init__(self) -> None:
        for kind in sorted(self.keep | self.drop):
            if not _TYPE.fullmatch(kind):
                raise ValueError(f"{kind!r} is not a media type such as application/isup, in lower case")
            if kind == SDP or kind.startswith("multipart/"):
                raise ValueError(f"{kind} can be neither kept nor dropped: each leg says its own session in it")
        for kind in sorted(self.keep):
            if "*" in kind:
                raise ValueError(f"{kind} cannot be kept: only one type at a time can")
            if kind in self.drop:
                raise ValueError(f"{kind} is both kept and dropped")

    def drops_unknown(self, kind: str) -> bool:
        """Whether a type that has no kind here is dropped."""
        return bool(self.drop) and ("*/*" in self.drop or f"{kind.partition('/')[0]}/*" in self.drop)


NO_EXCEPTIONS = Exceptions()


class Crossing(Protocol):
    """One message on its way to the other side: what a body that names things has to ask."""

    @property
    def exceptions(self) -> Exceptions:
        """What the configuration says for these two zones."""

    @property
    def names(self) -> dict[str, str]:
        """What the Content-IDs of this message's parts are called on the other side."""

    def sessions(self, bodies: Sequence[bytes]) -> list[bytes]:
        """The session descriptions of the message as the target leg says them; Malformed for one that is none."""

    def dialog(self, call_id: str, local_tag: str, remote_tag: str) -> tuple[str, str, str] | None:
        """The same dialog's Call-ID and tags as the target side knows them; None where it knows none.

        The tags are as the sender says them: `local_tag` is that of the device that it speaks of.
        """

    def uri(self, text: str) -> str:
        """A URI as the target side may read it: the host is the leg's. Empty where none may be shown."""

    def identity(self, text: str) -> str:
        """An address-of-record as the target side knows it from From and To."""

    def alias(self, text: str) -> str:
        """The word that stands for an id, always the same for the same id."""

    def content_id(self, name: str) -> str:
        """What a part is called on the other side: its own name where a header that crosses speaks of it."""

    def dropped(self, fault: Malformed) -> None:
        """A body or a part cannot be read, and is left out."""


class Entity(NamedTuple):
    """A body, what it is, and within how many multipart bodies it stands."""

    body: bytes
    content_type: str
    depth: int = 1


Said = tuple[bytes, str]  # a body and its Content-Type
NOTHING: Said = b"", ""


class Kind(NamedTuple):
    """How bodies of some media type cross. `carry` raises Malformed for one that cannot be read; it is left out.

    `reads`: it has to read the body, so that one in an encoding cannot cross.
    """

    carry: Callable[[Entity, Crossing], Said]
    why: str
    reads: bool = True


KINDS: dict[str, Kind] = {}  # by media type


def register(known: dict[str, Kind], kinds: dict[str, Kind]) -> None:
    """Add kinds by their media types. Raises ImportError where there are two of one type."""
    if twice := known.keys() & kinds.keys():
        raise ImportError(f"two kinds for {', '.join(sorted(twice))}")
    known.update(kinds)


def carry(body: bytes, content_type: str, crossing: Crossing, depth: int = 1, encoded: bool = False) -> Said:
    """A body as it crosses, and its Content-Type; (b"", "") where nothing does. `encoded`: it is packed.

    Malformed for a session description or a frame of parts that cannot be read: without them a message means something
    else. A body of another kind that cannot be read is left out, and `crossing.dropped` is told.
    """
    kind = media_type(content_type)
    if kind == SDP or kind.startswith("multipart/"):
        if encoded:
            raise Malformed("an encoded session description", "RFC 3261 7.4.1", 415)
        if kind == SDP:
            return crossing.sessions([body])[0], SDP
        return _multipart(read(body, content_type, depth), crossing, depth, body)
    if kind in crossing.exceptions.keep:
        return body, content_type
    try:
        return _carry(Entity(body, content_type, depth), kind, crossing, encoded)
    except Malformed as fault:
        crossing.dropped(fault)
        return NOTHING


def _carry(entity: Entity, kind: str, crossing: Crossing, encoded: bool) -> Said:
    exceptions = crossing.exceptions
    if kind in exceptions.drop or kind in NEVER:
        return NOTHING
    known = KINDS.get(kind)
    if known is not None:
        if encoded and known.reads:
            raise Malformed("an encoded body that would have to be read", "RFC 3261 7.4.1", 415)
        return known.carry(entity, crossing)
    if not _TYPE.fullmatch(kind):
        raise Malformed("a body of no media type", "RFC 3261 20.15")
    if kind.startswith("message/") or exceptions.drops_unknown(kind):
        return NOTHING
    return entity.body, without_addresses(entity.content_type)


def without_addresses(value: str, but: Collection[str] = ()) -> str:
    """A value such as Content-Type's less those of its parameters that might name a host, and less those in `but`."""
    head, semicolon, rest = value.partition(";")
    params = parse_params(semicolon + rest, "RFC 2045 5.1")
    kept = {name: text for name, text in params.items() if name not in but and _harmless(name, text or "")}
    return value if len(kept) == len(params) else head.strip() + format_params(kept)


def _harmless(name: str, text: str) -> bool:
    if name == "type" and _TYPE.fullmatch(text.strip('"').lower()):  # RFC 2387 3.1
        return True
    return not speaks_of_hosts(name) and not speaks_of_hosts(text)


def speaks_of_hosts(text: str) -> bool:
    """Whether a text might have an address, a host or a URI in it, or a control character."""
    return _ADDRESS.search(text) is not None or not text.isprintable()


# Bodies of several parts


def _multipart(whole: Multipart, crossing: Crossing, depth: int, body: bytes) -> Said:
    _name(whole, crossing)
    described: list[Part] = []
    for each in whole.every():
        each.parts = [part for part in each.parts if part.inner is not None or _part(part, crossing, depth, described)]
        each.content_type = _framed(each.content_type, crossing)
    # All of them at once: one change of the session is one version, however many descriptions it has.
    for part, said in zip(described, crossing.sessions([part.body for part in described]), strict=True):
        part.change(said)
    written, boundary = whole.write(_boundaries(crossing.alias(body.decode("latin-1"))))
    return (written, f"{whole.content_type};boundary={boundary}") if written else NOTHING


def _boundaries(word: str) -> Iterator[str]:
    """Boundaries that are in no part, as nobody knew them when those were written; none is another's beginning."""
    return map(f"{{}}-{word}".format, count(1))


def _name(whole: Multipart, crossing: Crossing) -> None:
    """Take out the headers that do not cross, and give the parts their names on the other side (RFC 2392).

    A part that crosses as it is may speak of another one by its name, which then has to stay.
    """
    untouched = b"\n".join([part.body for part in whole.leaves() if not _read(media_type(part.content_type), crossing)])
    for part in [part for each in whole.every() for part in each.parts]:
        for name in part.names:
            if name == "content-id":
                known = _bare(part.get(name))
                spoken = f"cid:{known}".encode("utf-8", "surrogateescape") in untouched
                crossing.names[known] = known if spoken else crossing.content_id(known)
                part.set(name, f"<{crossing.names[known]}>")
            elif name not in PART_HEADERS:
                part.set(name, "")
            elif name != "content-type":
                part.set(name, without_addresses(part.get(name)))


def _read(kind: str, crossing: Crossing) -> bool:
    """Whether bodies of a type are written anew."""
    return kind == SDP or (kind in KINDS and KINDS[kind].reads and kind not in crossing.exceptions.keep)


def _framed(content_type: str, crossing: Crossing) -> str:
    """The Content-Type of a body of several parts, without a boundary; `start` names a part (RFC 2387 3.2)."""
    head, semicolon, rest = content_type.partition(";")
    start = parse_params(semicolon + rest, "RFC 2387 3.2").get("start") or ""
    name = crossing.names.get(_bare(start.strip('"')))
    return without_addresses(content_type, ("boundary", "start")) + (f';start="<{name}>"' if name else "")


def _bare(content_id: str) -> str:
    return content_id.strip().removeprefix("<").removesuffix(">")


def _part(part: Part, crossing: Crossing, depth: int, described: list[Part]) -> bool:
    """Say a part that has no parts itself as the other side may hear it; False where it stays behind."""
    if media_type(part.content_type) == SDP:
        if part.encoded:
            raise Malformed("an encoded session description", "RFC 3261 7.4.1", 415)
        part.set("content-type", without_addresses(part.content_type))
        described.append(part)
        return True
    body, content_type = carry(part.body, part.content_type, crossing, depth + 1, part.encoded)
    if not content_type:
        return False
    part.change(body)
    if part.get("content-type"):
        part.set("content-type", content_type)
    return True


def _whole(entity: Entity, crossing: Crossing) -> Said:
    return entity.body, without_addresses(entity.content_type)


def whole(why: str) -> Kind:
    """A kind that crosses as it is."""
    return Kind(_whole, f"crosses as it is: {why}", False)
