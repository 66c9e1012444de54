"""STUN Binding requests on the SIP port (RFC 5626 4.4.2, RFC 8489): a phone behind a NAT keeps its way to us open.

The answer says from where the request came; a phone that hears another address than before knows that its NAT has
forgotten it, and registers anew. There is no authentication (RFC 5626 8), and nothing is remembered of anybody.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterator, Mapping
from socket import AF_INET, AF_INET6, inet_pton

from b2bua.net.around import Datagrams
from b2bua.sip.listener import Flow

BEYOND = 2  # the first octet of a STUN message is less, that of a SIP message never

_HEADER = 20  # octets: type, length, cookie, transaction
_COOKIE = b"\x21\x12\xa4\x42"
_REQUEST = b"\x00\x01"
_SUCCESS = b"\x01\x01"
_ERROR = b"\x01\x11"
_XOR_MAPPED_ADDRESS = 0x0020
_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
_FINGERPRINT = 0x8028
_FINGERPRINT_XOR = 0x5354554E
_OPTIONAL = 0x8000  # from here on attributes need not be understood (RFC 8489 14)
# Understood, as far as there is nothing to do: USERNAME, MESSAGE-INTEGRITY, REALM, NONCE, and their later sisters.
_IGNORED = frozenset({0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E})
_MOST_UNKNOWN = 8  # attributes that an error names: the answer is never much longer than the question


def served(data: bytes, flow: Flow, sockets: Mapping[str, Datagrams]) -> bool:
    """Answer a datagram by the socket that it came to; whether it was a question."""
    said, socket = answer(data, flow.host, flow.port), sockets.get(flow.listener.name)
    if said is None or socket is None:
        return False
    socket.send(said, flow.host, flow.port)
    return True


def answer(data: bytes, host: str, port: int) -> bytes | None:
    """The answer to a datagram from an address; None where it is no sound Binding request, and gets none."""
    if len(data) < _HEADER or data[:2] != _REQUEST or data[4:8] != _COOKIE:
        return None
    if int.from_bytes(data[2:4], "big") != len(data) - _HEADER:
        return None
    unknown: list[int] = []
    try:
        for kind, at, value in _attributes(data):
            if kind == _FINGERPRINT:
                # RFC 8489 14.7: it is the last; with a wrong one this is not STUN.
                if at + 8 != len(data) or value != fingerprint(data[:at]):
                    return None
            elif kind < _OPTIONAL and kind not in _IGNORED:
                unknown.append(kind)
    except ValueError:
        return None
    if unknown:
        return _message(_ERROR, data, _refusal(unknown[:_MOST_UNKNOWN]))
    return _message(_SUCCESS, data, _attribute(_XOR_MAPPED_ADDRESS, _xored(host, port, data[4:_HEADER])))


def fingerprint(before: bytes) -> bytes:
    """The value of FINGERPRINT after what stands before it (RFC 8489 14.7); the length counts it already."""
    return (crc32(before) ^ _FINGERPRINT_XOR).to_bytes(4, "big")


def _attributes(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, place and value of each attribute; ValueError for one that does not end where the message does."""
    at = _HEADER
    while at < len(data):
        kind, length = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 4 + length + -length % 4  # RFC 8489 14: padded to four octets
        if end > len(data):
            raise ValueError("an attribute beyond the end")
        yield kind, at, data[at + 4 : at + 4 + length]
        at = end


def _message(kind: bytes, request: bytes, attributes: bytes) -> bytes:
    return kind + len(attributes).to_bytes(2, "big") + request[4:_HEADER] + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def _xored(host: str, port: int, key: bytes) -> bytes:
    """RFC 8489 14.2: family, port and address, so that no NAT on the way takes the address for its own to change."""
    family, kind = (b"\x00\x02", AF_INET6) if ":" in host else (b"\x00\x01", AF_INET)
    plain = port.to_bytes(2, "big"), inet_pton(kind, host.partition("%")[0])
    return family + b"".join([bytes(a ^ b for a, b in zip(each, key, strict=False)) for each in plain])


def _refusal(unknown: list[int]) -> bytes:
    """420 (RFC 8489 6.3.1): attributes that must be understood, and are not."""
    said = _attribute(_ERROR_CODE, b"\x00\x00\x04\x14Unknown Attribute")
    return said + _attribute(_UNKNOWN_ATTRIBUTES, b"".join([kind.to_bytes(2, "big") for kind in unknown]))
