"""The torture messages of RFC 4475 and RFC 5118, what is expected of each, and how to tell whether a message is sound.

`sound` reads a message the plainest way, without the bridge's own parser: what it passes, others can read too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data" / "torture"

# What cannot be followed on a stream (RFC 3261 18.3), so that the connection ends: the length is missing, doubled,
# negative or too long, or the headers do not end.
ENDS_THE_STREAM = {"baddn", "clerr", "inv2543", "ipv6-in-sdp", "mcl01", "ncl"}
# The body is longer than its length: what is left over begins a message that does not end.
TOO_LONG = {"mult-ip-in-sdp", "ipv4-mapped-ipv6"}
# A datagram ends with the body; on a stream what follows is the next message: an INVITE without Contact.
TWO_ON_A_STREAM = {"dblreq"}

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
_REQUEST_LINE = re.compile(rf"{TOKEN} (?:sips?|tel):[!-;=?-~]+ SIP/2\.0")
_STATUS_LINE = re.compile(r"SIP/2\.0 [1-6][0-9]{2} [^\x00-\x1f\x7f]*")
_HEADER = re.compile(rf"({TOKEN}): ([^\x00-\x1f\x7f]*)")
# What a response repeats of a request may be so.
_HEADER_OF_THEIRS = re.compile(rf"({TOKEN}): ((?:[^\x00-\x08\x0a-\x1f\x7f]|\\[^\r\n])*)")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ADDRESS = re.compile(rf"(?:{_QUOTED} |(?:{TOKEN} )*)<[A-Za-z][A-Za-z0-9+.\-]*:[!-;=?-~]+>(?:;tag=[!-:<-~]+)?")
_VIA = re.compile(rf"SIP/2\.0/(?:UDP|TCP|TLS) [!-:<-~]+:[0-9]+;branch=z9hG4bK{TOKEN};rport")
_ONCE = ("From", "To", "Call-ID", "CSeq", "Content-Length")


@dataclass(frozen=True)
class Torture:
    """One message. `accept` is what may become of it: `fwd`, `drop`, statuses, `4xx`, `4xx-400`."""

    name: str
    data: bytes
    request: bool
    accept: frozenset[str]
    collides: bool
    sha256: str

    def allows(self, status: int) -> bool:
        """Whether this answer is one of those expected."""
        kind = f"{status // 100}xx"
        return str(status) in self.accept or kind in self.accept or (f"{kind}-400" in self.accept and status != 400)

    def made_unique(self, number: int) -> bytes:
        """The message with a branch and a Call-ID that no other has, if another has the same."""
        if not self.collides:
            return self.data
        data = re.sub(rb"(branch=z9hG4bK)", rb"\g<1>%d" % number, self.data, count=1)
        return re.sub(rb"(Call-ID: )", rb"\g<1>%d" % number, data, count=1)


def messages() -> list[Torture]:
    """Every message, in the order of the index."""
    rows = [line.split("\t") for line in (DATA / "index.tsv").read_text().splitlines()]
    names, found = rows[0], []
    named = [dict(zip(names, row, strict=True)) for row in rows[1:]]
    for row in named:
        found.append(
            Torture(
                row["name"],
                (DATA / f"{row['name']}.dat").read_bytes(),
                row["kind"] == "request",
                frozenset(row["accept"].split(",")),
                bool(row["branch_collides_with"]),
                row["sha256"],
            )
        )
    return found


def sound(data: bytes, ours: bool = True) -> dict[str, list[str]]:
    """The headers of a message that anyone can read, or AssertionError. `ours`: all of it was written by the bridge."""
    head, blank, body = data.partition(b"\r\n\r\n")
    assert blank, "no empty line ends the headers"
    text = head.decode("utf-8", "strict" if ours else "surrogateescape")
    start, *lines = text.split("\r\n")
    is_response = start.startswith("SIP/")
    assert (_STATUS_LINE if is_response else _REQUEST_LINE).fullmatch(start), start
    headers: dict[str, list[str]] = {}
    for line in lines:
        found = (_HEADER if ours else _HEADER_OF_THEIRS).fullmatch(line)
        assert found, f"not a header: {line!r}"
        headers.setdefault(found[1], []).append(found[2])
    for name in _ONCE:  # an answer to what is broken has only what could be read
        assert len(headers.get(name, ())) == 1 or (not ours and name not in headers), f"{name}: {headers.get(name)}"
    assert headers["Content-Length"] == [str(len(body))], "Content-Length is wrong"
    if ours and not is_response:
        assert re.fullmatch(r"(?:0|[1-9][0-9]*) " + re.escape(start.split()[0]), headers["CSeq"][0]), headers["CSeq"]
        assert re.fullmatch(r"[!-~]+", headers["Call-ID"][0]), headers["Call-ID"]
        assert len(headers["Via"]) == 1 and _VIA.fullmatch(headers["Via"][0]), headers["Via"]
        assert re.fullmatch(r"[0-9]{1,3}", headers["Max-Forwards"][0]) and len(headers["Max-Forwards"]) == 1
        for name in ("From", "To", *(("Contact",) if "Contact" in headers else ())):
            assert _ADDRESS.fullmatch(headers[name][0]), headers[name]
        assert ";tag=" in headers["From"][0]
    return headers
