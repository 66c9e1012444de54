"""Requests and responses (RFC 3261 7): bytes split once, values parsed when asked for and kept.

A message keeps its headers as `{canonical name: [raw values]}` in the order in which they came. Reading never fails
after `check`: what is broken is found there, once, with the rule that it breaks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn

from b2bua.sip.address import Address, parse_addresses, shared_address, tag_of
from b2bua.sip.foreign import Speaker
from b2bua.sip.grammar import BLANKS, LONG, REMEMBERED, Malformed, digits, is_token, split_list
from b2bua.sip.headers import CANONICAL, canonical
from b2bua.sip.uri import Uri, shared_uri
from b2bua.sip.via import Via, branch_of, mended_via, parse_via

MAX_HEADERS = 256
MAX_CSEQ = 2**31 - 1  # RFC 3261 8.1.1.5

_CONTROLS = bytes(set(range(32)) - set(b"\t")) + b"\x7f"
_FOLD = re.compile(r"(?<![ \t])(?:[ \t]*+\r\n[ \t]++)++")  # possessive, and never begun within blanks: linear
_BARE_CONTROL = re.compile(r"(?<!\\)[\x00-\x08\x0b-\x1f\x7f]")
_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.I | re.A)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?", re.I | re.A)
_CSEQ = re.compile(r"([0-9]++)[ \t]++([A-Za-z0-9\-.!%*_+`'~]++)")


Headers = dict[str, list[str]]


class Message:
    """What requests and responses share. A value is read when it is first asked for; that may raise Malformed."""

    __slots__ = (
        "headers", "body", "fault", "speaker",
        "_via", "_call_id", "_cseq", "_from_tag", "_to_tag", "_from", "_to", "_contact",
    )  # fmt: skip

    def __init__(self, headers: Headers, body: bytes = b"", fault: Malformed | None = None) -> None:
        self.headers = headers
        self.body = body
        self.fault = fault
        self.speaker: Speaker | None = None  # the leg that builds it, which knows what must not be in it
        self._via: Via | None = None
        self._call_id: str | None = None
        self._cseq: tuple[int, str] | None = None
        self._from_tag: str | None = None
        self._to_tag: str | None = None
        self._from: Address | None = None
        self._to: Address | None = None
        self._contact: Address | None = None

    @property
    def start_line(self) -> str:
        """The first line, without its end."""
        raise NotImplementedError

    def first(self, name: str) -> str:
        """The first raw value of a header, or an empty string."""
        values = self.headers.get(name)
        return values[0] if values else ""

    def values(self, name: str) -> list[str]:
        """Every element of a header that may be a list."""
        values = self.headers.get(name)
        return [part for value in values for part in split_list(value)] if values else []

    def tokens(self, name: str) -> list[str]:
        """The elements in lower case, without parameters: option tags, methods, languages."""
        return [value.partition(";")[0].strip(BLANKS).lower() for value in self.values(name) if value]

    @property
    def via(self) -> Via:
        """The top Via."""
        if self._via is None:
            values = self.headers.get("Via")
            if not values or not values[0]:
                raise Malformed("Via is missing", "RFC 3261 8.1.1")
            self._via = parse_via(split_list(values[0])[0])
        return self._via

    def vias(self) -> list[Via]:
        """Every Via, the top one first."""
        others = self.values("Via")[1:] if len(self.headers["Via"]) > 1 or "," in self.headers["Via"][0] else []
        return [self.via, *(parse_via(value) for value in others)]

    def mend_vias(self) -> bool:
        """Leave of Via what can be read, so that an answer finds its way; False when not even the top one can be."""
        vias: list[Via] = []
        for value in self.values("Via"):
            try:
                vias.append(mended_via(value))
            except Malformed:
                if not vias:
                    return False
        if vias:
            self._via = vias[0]
        self.headers["Via"] = [str(via) for via in vias]
        return bool(vias)

    @property
    def from_(self) -> Address:
        """From."""
        if self._from is None:
            self._from = shared_address(self.only("From"), "RFC 3261 20.20")
        return self._from

    @property
    def from_tag(self) -> str:
        """From's tag, or an empty string."""
        if self._from_tag is None:
            self._from_tag = tag_of(self.only("From"), "RFC 3261 20.20")
        return self._from_tag

    @property
    def to(self) -> Address:
        """To."""
        if self._to is None:
            self._to = shared_address(self.only("To"), "RFC 3261 20.39")
        return self._to

    @property
    def to_tag(self) -> str:
        """To's tag, or an empty string."""
        if self._to_tag is None:
            self._to_tag = tag_of(self.only("To"), "RFC 3261 20.39")
        return self._to_tag

    @property
    def call_id(self) -> str:
        """Call-ID, compared octet by octet."""
        if self._call_id is None:
            self._call_id = self.only("Call-ID")
        return self._call_id

    @property
    def cseq(self) -> tuple[int, str]:
        """CSeq as number and method."""
        if self._cseq is None:
            text = self.only("CSeq")
            self._cseq = _shared_cseq(text) if len(text) < LONG else parse_cseq(text)
        return self._cseq

    @property
    def contact(self) -> Address | None:
        """The one Contact, or None; Malformed when there are several or it is `*`."""
        if self._contact is None and (values := self.headers.get("Contact")):
            contacts = values if len(values) == 1 and "," not in values[0] else self.values("Contact")
            if len(contacts) > 1:
                raise Malformed("more than one Contact", "RFC 3261 8.1.1.8")
            self._contact = shared_address(contacts[0], "RFC 3261 20.10")
        return self._contact

    def addresses(self, name: str) -> list[Address]:
        """Every address of Route, Record-Route, Contact or a header like them."""
        values = self.headers.get(name)
        return parse_addresses(values, f"the grammar of {name}") if values else []

    def only(self, name: str) -> str:
        """The one value of a header that must be there, once."""
        try:
            (value,) = self.headers[name]
        except (KeyError, ValueError):
            value = ""
        return value or self._none(name)

    def _none(self, name: str) -> NoReturn:
        """Why there is not one value."""
        times = len(self.headers.get(name, ()))
        if times > 1:
            raise Malformed(f"{name} is given {times} times", "RFC 3261 7.3.1")
        raise Malformed(f"{name} is missing", "RFC 3261 8.1.1")

    def __bytes__(self) -> bytes:
        lines = [f"{name}: {value}" for name, values in self.headers.items() for value in values]
        head = "\r\n".join([self.start_line, *lines, f"Content-Length: {len(self.body)}\r\n\r\n"])
        return head.encode("utf-8", "surrogateescape") + self.body


class Request(Message):
    """A request. `uri_text` is the Request-URI as it stands on the wire."""

    __slots__ = ("method", "uri_text", "version", "_uri")

    def __init__(
        self,
        method: str,
        uri_text: str,
        headers: Headers,
        body: bytes = b"",
        fault: Malformed | None = None,
        version: str = "SIP/2.0",
    ) -> None:
        Message.__init__(self, headers, body, fault)
        self.method = method
        self.uri_text = uri_text
        self.version = version
        self._uri: Uri | None = None

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri_text} SIP/2.0"

    @property
    def uri(self) -> Uri:
        """The Request-URI."""
        if self._uri is None:
            self._uri = shared_uri(self.uri_text)
        return self._uri

    def __repr__(self) -> str:
        return f"<{self.method} {self.uri_text}>"


class Response(Message):
    """A response."""

    __slots__ = ("status", "reason", "_branch")

    def __init__(
        self, status: int, reason: str, headers: Headers, body: bytes = b"", fault: Malformed | None = None
    ) -> None:
        Message.__init__(self, headers, body, fault)
        self.status = status
        self.reason = reason
        self._branch: str | None = None

    @property
    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    @property
    def branch(self) -> str:
        """The branch of the top Via: which of our requests this answers."""
        if self._branch is None:
            self._branch = branch_of(self.first("Via"))
        return self._branch

    def __repr__(self) -> str:
        return f"<{self.status} {self.reason}>"


def parse_cseq(text: str) -> tuple[int, str]:
    """CSeq as number and method (RFC 3261 20.16)."""
    found = _CSEQ.fullmatch(text)
    if found is None:
        raise Malformed("CSeq is not a number and a method", "RFC 3261 20.16")
    return digits(found[1], MAX_CSEQ, "CSeq", "RFC 3261 8.1.1.5"), found[2]


_shared_cseq = lru_cache(REMEMBERED)(parse_cseq)  # most are `1 INVITE` and `2 BYE`
_is_method = lru_cache(REMEMBERED)(is_token)


def parse(data: bytes, stream: bool = False) -> Request | Response:
    """The message in one datagram, or in one frame of a stream.

    Malformed is raised only where no answer is possible; what deserves an answer is kept as `fault` for `check`.
    """
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        head = head[:-2] if head.endswith(b"\r\n") else head
    text = head.decode("utf-8", "surrogateescape")
    fault = None if blank else Malformed("no empty line ends the headers", "RFC 3261 7")
    lines = text.split("\r\n")
    if len(head) - len(head.translate(None, _CONTROLS)) != 2 * (len(lines) - 1):  # more than the lines' ends
        fault = fault or _look_at(head, text)
    if "\r\n " in text or "\r\n\t" in text:
        lines = _FOLD.sub(" ", text).split("\r\n")
    headers: Headers = {}
    if len(lines) > MAX_HEADERS:
        fault = fault or Malformed(f"more than {MAX_HEADERS} headers", "a limit of this server")
        del lines[MAX_HEADERS:]
    start = lines.pop(0)
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            fault = fault or Malformed("a header line without a colon", "RFC 3261 7.3.1")
            continue
        try:
            name = CANONICAL[name]
        except KeyError:
            name = canonical(name)
        if name in headers:
            headers[name].append(value.strip(BLANKS))
        else:
            headers[name] = [value.strip(BLANKS)]  # no other blanks: what they are depends on the reader
    body, length_fault = _body(headers, body, stream)
    fault = fault or length_fault
    if start[:4].upper() == "SIP/" and (found := _STATUS_LINE.fullmatch(start)):
        return Response(int(found.group(1)), found.group(2) or "", headers, body, fault)
    return _request(start, headers, body, fault)


def _look_at(head: bytes, text: str) -> Malformed | None:
    """Octets that two readers would take for different things; a control character in a quoted-pair is none."""
    newlines = head.count(b"\r\n")
    if head.count(b"\n") != newlines or head.count(b"\r") != newlines:
        return Malformed("a bare CR or LF in the headers", "RFC 3261 7")
    if _BARE_CONTROL.search(text.replace("\r\n", "")):
        return Malformed("a control character outside a quoted-pair", "RFC 3261 25.1")
    return None


def _body(headers: Headers, body: bytes, stream: bool) -> tuple[bytes, Malformed | None]:
    """The body that Content-Length measures out (RFC 3261 18.3), which is then no header any more: we write our own."""
    values = headers.pop("Content-Length", None)
    if values == [str(len(body))]:  # nearly always
        return body, None
    if values is None:
        return body, Malformed("Content-Length is missing on a stream", "RFC 3261 18.3") if stream else None
    if len(values) > 1:
        return b"", Malformed("Content-Length is given twice", "RFC 3261 7.3.1")
    try:
        length = digits(values[0], 2**31, "Content-Length", "RFC 3261 20.14")
    except Malformed as fault:
        return b"", fault
    if length > len(body):
        return b"", Malformed("the body is shorter than Content-Length", "RFC 3261 18.3")
    return body[:length], None


def _request(start: str, headers: Headers, body: bytes, fault: Malformed | None) -> Request:
    words = start.split(" ")
    if len(words) == 3 and words[2] == "SIP/2.0" and words[1] and len(words[0]) < LONG and _is_method(words[0]):
        return Request(words[0], words[1], headers, body, fault)
    if not words[0] or not is_token(words[0]) or not headers:
        raise Malformed("neither a request nor a response", "RFC 3261 7")
    version = words[-1]
    if len(words) != 3 or not _VERSION.fullmatch(version):
        fault = Malformed("the start line is not METHOD URI SIP/2.0", "RFC 3261 7.1")
    elif version.upper() != "SIP/2.0":
        fault = Malformed("a version of SIP other than 2.0", "RFC 3261 21.5.6", 505)
    return Request(words[0], " ".join(words[1:-1]), headers, body, fault, version)
