"""The small pieces of RFC 3261 25.1 from which every header is made.

One reading of each: what could be read in two ways is refused, so that nothing is smuggled across the border.
"""

from __future__ import annotations

import re
import socket

REMEMBERED = 1024  # values of each kind that are kept parsed: neighbours send the same ones again and again
LONG = 200  # characters; what is longer is not kept
MAX_PARAMS = 64  # of one URI or header value; more is an attack, not a call
MAX_DIGITS = 20  # of one number, leading zeros and all

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
# A host as URIs and Via write it; what has this shape still goes through `checked_host`.
HOST = r"\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?"
_HOST = re.compile(HOST)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# What does not close swallows the rest, so that it is looked at once; whoever reads the element finds the fault.
_LIST_PARTS = re.compile(r'"(?:[^"\\]|\\.)*+"?|<[^>]*+|,', re.DOTALL)
_PARAM_PARTS = re.compile(r'"(?:[^"\\]|\\.)*"|[;"]', re.DOTALL)
# A quoted-pair that is harmless, or a character that is not: a control or (surrogateescape) an octet that is not UTF-8.
_QUOTED_PART = re.compile(r"(\\[^\x00-\x1f\x7f\ud800-\udfff])|\\?[\x00-\x1f\x7f\ud800-\udfff]")

Params = dict[str, "str | None"]
BLANKS = " \t"  # all that RFC 3261 calls white space once folds are gone; str.strip() alone takes away much more


class Malformed(ValueError):
    """The peer's fault: what it sent breaks a rule.

    `reason` says what was wrong, `rule` names the sentence that was broken, `status` is the answer it deserves.
    """

    def __init__(self, reason: str, rule: str, status: int = 400) -> None:
        super().__init__(f"{reason} ({rule})")
        self.reason = reason
        self.rule = rule
        self.status = status


def is_token(text: str) -> bool:
    """Whether `text` is a token (RFC 3261 25.1)."""
    return _TOKEN.fullmatch(text) is not None


def is_number(text: str) -> bool:
    """Whether `text` is digits of ASCII and nothing else; `isdigit` alone also takes other scripts'."""
    return text.isascii() and text.isdigit()


def digits(text: str, limit: int, what: str, rule: str) -> int:
    """The number that ASCII digits, and nothing else, spell; at most `limit`.

    `int()` alone would also take `+5`, `1_0`, blanks and other scripts' digits.
    """
    if not (text.isascii() and text.isdigit()):  # is_number, written out: every request's Max-Forwards comes here
        raise Malformed(f"{what} is not a number", rule)
    if len(text) > MAX_DIGITS:  # also because int() raises by itself for very many
        raise Malformed(f"{what} is out of range (at most {limit})", rule)
    number = int(text)
    if number > limit:
        raise Malformed(f"{what} is out of range (at most {limit})", rule)
    return number


def split_list(text: str) -> list[str]:
    """The elements of a comma-separated header value; commas in quotes or angle brackets do not count."""
    if "," not in text:
        return [text.strip(BLANKS)]
    if '"' not in text and "<" not in text:
        return [part.strip(BLANKS) for part in text.split(",")]
    parts, start = [], 0
    for found in _LIST_PARTS.finditer(text):
        if found.group() == ",":
            parts.append(text[start : found.start()].strip(BLANKS))
            start = found.end()
    parts.append(text[start:].strip(BLANKS))
    return parts


def parse_params(text: str, rule: str) -> Params:
    """Parameters written `;name=value;flag`, as a dictionary with lower-case names; None for a flag.

    A parameter given twice is refused: two readers could differ on which one counts.
    """
    if not text:
        return {}
    pieces = text.split(";") if '"' not in text else _split_params(text, rule)
    if len(pieces) > MAX_PARAMS:
        raise Malformed(f"more than {MAX_PARAMS} parameters", rule)
    before, *pieces = pieces
    if before.strip(BLANKS):
        raise Malformed("text before the first parameter", rule)
    params: Params = {}
    for piece in pieces:
        name, equals, value = piece.partition("=")
        name = name.strip(BLANKS).lower()
        if not name:
            raise Malformed("a parameter without a name", rule)
        if name in params:
            raise Malformed("a parameter is given twice", rule)
        params[name] = value.strip(BLANKS) if equals else None
    return params


def _split_params(text: str, rule: str) -> list[str]:
    pieces, start = [], 0
    for found in _PARAM_PARTS.finditer(text):
        mark = found.group()
        if mark == ";":
            pieces.append(text[start : found.start()])
            start = found.end()
        elif mark == '"':
            raise Malformed("a quoted string that does not end", rule)
    pieces.append(text[start:])
    return pieces


def format_params(params: Params) -> str:
    """The parameters as they stand on the wire, each after a semicolon."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params.items()])


def split_quoted(text: str, rule: str) -> tuple[str, str]:
    """A leading quoted string's inside, still escaped, and the text after it."""
    found = _QUOTED.match(text)
    if found is None:
        raise Malformed("a quoted string that does not end", rule)
    return found.group(1), text[found.end() :]


def quote(text: str) -> str:
    """`text` as a quoted string (RFC 3261 25.1)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def without_controls(quoted: str) -> str:
    """The inside of a quoted string less the control characters that quoted-pairs allow in it, and less non-UTF-8."""
    return _QUOTED_PART.sub(r"\1", quoted)


def parse_host(text: str, rule: str) -> str:
    """A host name, an IPv4 address, or an IPv6 address in brackets; returned without brackets.

    Three colons in an IPv6 address are the known slip of RFC 3261's grammar and read as two (RFC 5118 4.10).
    """
    if not _HOST.fullmatch(text):
        raise Malformed("not a host name or address", rule)
    return checked_host(text, rule)


def checked_host(text: str, rule: str) -> str:
    """`parse_host` for a text that has the shape of `HOST` already."""
    if text[0] == "[":
        return ipv6(text[1:-1].replace(":::", "::"), rule)
    if text[-1].isdigit() and text.replace(".", "").isdigit() and not is_ipv4(text):
        raise Malformed("not an IPv4 address", rule)
    return text


def parse_host_port(text: str, rule: str) -> tuple[str, int | None]:
    """`host[:port]` as a host without brackets and a port, None when there is none."""
    if text[:1] == "[":
        host, bracket, rest = text.partition("]")
        host += bracket
        if rest and rest[0] != ":":
            raise Malformed("text after an IPv6 address", rule)
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = text.partition(":")
    return parse_host(host, rule), parse_port(port, rule) if colon else None


def parse_port(text: str, rule: str) -> int:
    """A port that can be sent to: 1 to 65535."""
    if len(text) < 6 and text.isascii() and text.isdigit() and 0 < (port := int(text)) < 65536:
        return port
    port = digits(text, 65535, "port", rule)
    if port == 0:
        raise Malformed("port 0 cannot be sent to", rule)
    return port


def is_ipv4(text: str) -> bool:
    """Whether `text` is an IPv4 address in dotted form."""
    try:
        return bool(socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        return False


def ipv6(text: str, rule: str = "RFC 3261 25.1") -> str:
    """The one spelling of an IPv6 address (RFC 5952); zone ids are refused, they mean nothing on the wire."""
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        raise Malformed("not an IPv6 address", rule) from None


def is_address(host: str) -> bool:
    """Whether a host (IPv6 without brackets) is an address and not a name."""
    return ":" in host or is_ipv4(host)


def bracketed(host: str) -> str:
    """A host as URIs and Via write it: IPv6 in brackets (S12)."""
    return f"[{host}]" if ":" in host else host
