"""What a REGISTER asks for (RFC 3261 10): each Contact with its lifetime, its q and the instance that it is of.

Also the two kinds of GRUU (RFC 5627) as they stand on the wire.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from functools import lru_cache
from hashlib import blake2s
from hmac import compare_digest
from ipaddress import ip_address
from typing import NamedTuple

from b2bua.sip.address import Address, parse_address
from b2bua.sip.grammar import LONG, MAX_DIGITS, REMEMBERED, Malformed, Params, is_address, is_number, parse_host
from b2bua.sip.message import Request
from b2bua.sip.uri import Uri, unescape

LONGEST = 2**32 - 1  # seconds (RFC 3261 20.19)
MAX_CONTACT = 1000  # characters of one that is kept
MAX_FEATURES = 1000  # characters of a Contact's other parameters; what is longer is not kept
_Q = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_REG_ID = re.compile(r"[1-9][0-9]{0,9}")
_OUR_PARAMS = frozenset({"expires", "q", "reg-id", "+sip.instance", "pub-gruu", "temp-gruu", "tag"})

TEMPORARY = "tgruu."  # a temporary GRUU's user begins so
_WORD = 39  # characters of base32 that are 24 octets
_UNESCAPED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()[]/:&+$")


class Asked(NamedTuple):
    """One Contact of a REGISTER.

    `contact` is its URI less what a Request-URI must not have; `expires` are seconds, None where the Contact does not
    say or cannot be read; `q` is in thousandths. `instance` has its quotes; `reg_id` is 0 where there is none.
    `features` are the other parameters, as they came.
    """

    uri: Uri
    contact: str
    expires: int | None
    q: int
    instance: str
    reg_id: int
    features: str


def contacts(request: Request, most: int) -> list[Asked] | None:
    """The Contacts of a REGISTER, none where it only asks; None for `*`, which takes all away.

    Malformed for what cannot be kept, and (403) for more than `most` of them.
    """
    values = request.headers.get("Contact")
    if not values:
        return []
    if len(values) > 1 or "," in values[0]:
        values = request.values("Contact")
    if "*" in values:
        if len(values) > 1 or request.headers.get("Expires") != ["0"]:
            raise Malformed("Contact: * with another Contact, or without Expires: 0", "RFC 3261 10.3")
        return None
    if len(values) > most:
        raise Malformed(f"{len(values)} Contacts, of which there may be {most}", "a limit of this server", 403)
    asked = [_asked(value) for value in values]
    if len(asked) > 1 and any(each.reg_id and each.expires != 0 for each in asked):
        raise Malformed("several Contacts, and one has a reg-id", "RFC 5626 6")
    return asked


def _asked(value: str) -> Asked:
    return _remembered(value) if len(value) < LONG else _read(value)


def _read(value: str) -> Asked:
    address = parse_address(value)
    uri, params = address.uri, address.params
    if not uri.is_sip:
        raise Malformed("a Contact that is not a SIP URI", "RFC 3261 10.2.1")
    if maddr := uri.params.get("maddr"):
        parse_host(maddr, "RFC 3261 19.1.1")
    if uri.headers or "method" in uri.params:
        # What the phone would have in the requests to it is not for it to say (RFC 3261 19.1.5).
        kept = {name: value for name, value in uri.params.items() if name != "method"}
        uri = Uri(uri.scheme, uri.user, uri.host, uri.port, kept, "", uri.password)
    instance = params.get("+sip.instance") or ""
    reg_id = params.get("reg-id") or ""
    if reg_id and not _REG_ID.fullmatch(reg_id):
        raise Malformed("a reg-id that is not a number from 1", "RFC 5626 4.2")
    number = int(reg_id) if reg_id and instance else 0
    contact = str(uri)
    if len(contact) + len(instance) > MAX_CONTACT:
        raise Malformed(f"a Contact of more than {MAX_CONTACT} characters", "a limit of this server")
    if not contact.isprintable() or not instance.isprintable():
        raise Malformed("a Contact whose URI or +sip.instance is no text", "RFC 3261 25.1, RFC 5626 4.1")
    return Asked(uri.settled(), contact, _seconds(params), _thousandths(params), instance, number, _features(address))


_remembered = lru_cache(REMEMBERED)(_read)


def _seconds(params: Params) -> int | None:
    """`expires`; what cannot be read is as if it were not there (RFC 3261 10.2.1.1)."""
    text = params.get("expires") or ""
    return min(int(text), LONGEST) if is_number(text) and len(text) <= MAX_DIGITS else None


def _thousandths(params: Params) -> int:
    if "q" not in params:
        return 1000
    text = params["q"] or ""
    if not _Q.fullmatch(text):
        raise Malformed("a q that is not a number from 0 to 1", "RFC 3261 20.10")
    return round(float(text) * 1000)


def preference(q: int) -> str:
    """A Contact's q of so many thousandths, as a parameter; empty for 1, which is meant where none is said."""
    return "" if q == 1000 else f";q={q / 1000:g}"


def _features(address: Address) -> str:
    text = "".join(
        f";{name}" if value is None else f";{name}={value}"
        for name, value in address.params.items()
        if name not in _OUR_PARAMS
    )
    return text if len(text) <= MAX_FEATURES and text.isprintable() else ""


def aor_of(uri: Uri, domain: str) -> str:
    """The address of record that a URI stands for, in the one spelling by which it is kept (RFC 3261 10.3, 5).

    `domain` is the registrar's name for itself; without one the user is all.
    """
    user = unescape(uri.user)
    return f"{user}@{domain}" if domain else user


@lru_cache(REMEMBERED)
def behind_nat(host: str, source: str) -> bool:
    """Whether a Contact's host is one that means nothing here, so that its phone is where its REGISTER came from.

    An address of a private network, or a name; also the source's own address.
    """
    return host == source or not is_address(host) or not ip_address(host).is_global


# GRUUs


def gruu_instance(uri: Uri) -> str | None:
    """The instance that a public GRUU names, None for a URI that is none (RFC 5627 3.1)."""
    name = uri.params.get("gr")
    return unescape(name) if name else None


def instance_name(instance: str) -> str:
    """`urn:uuid:...` of a `+sip.instance`, which has it in quotes and angle brackets."""
    return instance.strip('"').strip("<>")


def public_gruu(user: str, host: str, instance: str) -> str:
    """The address of record of one phone for good; `user` as a URI writes it, `host` with its brackets."""
    octets = instance_name(instance).encode("utf-8", "surrogateescape")
    name = "".join([chr(each) if chr(each) in _UNESCAPED else f"%{each:02X}" for each in octets])
    return f"sip:{user}@{host};gr={name}"


class TemporaryGruus:
    """Addresses of one phone that nobody can tell from another phone's, nor two of them from each other (RFC 5627 3.2).

    Each has the same number of the phone's in it, unreadably, and a seal. `key` is secret and lasts as long as they do.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, number: int, salt: bytes, host: str) -> str:
        """The URI; `number` has 64 bits, and `salt` is 8 octets that never come again."""
        hidden = (number ^ self._mask(salt)).to_bytes(8, "big")
        word = b32encode(salt + hidden + self._seal(salt + hidden)).decode().rstrip("=").lower()
        return f"sip:{TEMPORARY}{word}@{host};gr"

    def number(self, user: str) -> int:
        """The phone's number, 0 where a URI's user is none that was made with this key."""
        word = user[len(TEMPORARY) :]
        if not user.startswith(TEMPORARY) or len(word) != _WORD:
            return 0
        try:
            data = b32decode(word.upper() + "=")
        except ValueError:
            return 0
        if not compare_digest(data[16:], self._seal(data[:16])):
            return 0
        return int.from_bytes(data[8:16], "big") ^ self._mask(data[:8])

    def _mask(self, salt: bytes) -> int:
        return int.from_bytes(blake2s(salt, key=self._key, digest_size=8, person=b"hidden").digest(), "big")

    def _seal(self, data: bytes) -> bytes:
        return blake2s(data, key=self._key, digest_size=8, person=b"seal").digest()
