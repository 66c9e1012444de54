"""name-addr and addr-spec with header parameters (RFC 3261 20.10): From, To, Contact, Route and their like."""

from __future__ import annotations

import re
from functools import lru_cache

from b2bua.sip.grammar import (
    BLANKS,
    LONG,
    REMEMBERED,
    Malformed,
    Params,
    format_params,
    parse_params,
    quote,
    split_list,
    split_quoted,
    without_controls,
)
from b2bua.sip.uri import Uri, parse_uri


class Address:
    """A display name (as on the wire, quotes included), a URI and the header's parameters."""

    __slots__ = ("display", "uri", "params")

    def __init__(self, display: str, uri: Uri, params: Params | None = None) -> None:
        self.display = display
        self.uri = uri
        self.params: Params = {} if params is None else params

    @property
    def tag(self) -> str:
        """The `tag` parameter, or an empty string."""
        return self.params.get("tag") or ""

    def __str__(self) -> str:
        name = f"{self.display} " if self.display else ""
        return f"{name}<{self.uri}>{format_params(self.params)}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


_TOKENS = re.compile(r"[A-Za-z0-9\-.!%*_+`'~ \t]*+")
_TAG = re.compile(r"[!#-+\--;=?-~]*+")  # not only tokens: tags in base64 have been seen
_NAME_ADDR = re.compile(
    r"""("(?:[^"\\\x00-\x1f\x7f\ud800-\udfff]|\\[^\x00-\x1f\x7f\ud800-\udfff])*+"|[A-Za-z0-9\-.!%*_+`'~]*+)"""
    r"[ \t]*<([^>]*+)>[ \t]*(;.*)?"
)


def parse_address(text: str, rule: str = "RFC 3261 20.10") -> Address:
    """The one address that `text` is."""
    found = _NAME_ADDR.fullmatch(text)
    if found is not None:  # nearly always; the rest is for what is rare or wrong
        display, spec, params = found.groups()
        return _address(display, spec, params, rule)
    display, bracketed = _split_display(text.strip(BLANKS), rule)
    if bracketed[:1] == "<":
        spec, closed, rest = bracketed[1:].partition(">")
        if not closed:
            raise Malformed("an angle bracket that does not close", rule)
        return _address(display, spec, rest.strip(BLANKS), rule)
    # Without brackets every parameter is the header's, and a URI that needs brackets is refused (RFC 3261 20.10).
    spec, semicolon, params = bracketed.partition(";")
    if "?" in spec or "," in spec:
        raise Malformed("a URI with ? or , outside angle brackets", rule)
    return _address("", spec.rstrip(BLANKS), semicolon + params, rule)


def _address(display: str, spec: str, params: str | None, rule: str) -> Address:
    address = Address(display, parse_uri(spec, rule), parse_params(params, rule) if params else None)
    if not _TAG.fullmatch(address.tag):
        raise Malformed("a tag that is not a word", rule)
    return address


@lru_cache(REMEMBERED)
def _remembered(text: str, rule: str) -> Address:
    address = parse_address(text, rule)
    address.uri.settled()
    return address


def shared_address(text: str, rule: str) -> Address:
    """`parse_address`, for whoever only looks: others who read the same text have the same object."""
    return _remembered(text, rule) if len(text) < LONG else parse_address(text, rule)


def _split_display(text: str, rule: str) -> tuple[str, str]:
    """The display name, ready to be written again, and what follows it."""
    if text[:1] == '"':
        inside, rest = split_quoted(text, rule)
        rest = rest.lstrip(BLANKS)
        if rest[:1] != "<":
            raise Malformed("a display name without an address in angle brackets", rule)
        return f'"{without_controls(inside)}"', rest
    bracket = text.find("<")
    if bracket < 0:
        return "", text
    name = text[:bracket].strip(BLANKS)
    if not _TOKENS.fullmatch(name):
        if '"' in name:
            raise Malformed("unbalanced quotes in a display name", rule)
        # A common slip; whole on the far side once it is quoted.
        return f'"{without_controls(quote(name)[1:-1])}"', text[bracket:]
    return name, text[bracket:]


# Nearly every From and To of a dialog: no quotes or brackets but one pair of each, and the tag the first parameter.
_TAGGED = re.compile(r"""(?:"[^"\\]*+"|[^"<>]*+)[ \t]*<[^<>"]*+>;tag=([A-Za-z0-9\-.!%*_+`'~]++)""")


_tagged = lru_cache(REMEMBERED)(_TAGGED.fullmatch)  # each message of a dialog says the same two


def tag_of(text: str, rule: str) -> str:
    """The tag of a From or To value, or an empty string, without reading the rest where that is not needed."""
    found = _tagged(text) if len(text) < LONG else _TAGGED.fullmatch(text)
    # Whoever asks for the tag of a To without one reads the whole of it next.
    return found[1] if found is not None else shared_address(text, rule).tag


def parse_addresses(values: list[str], rule: str) -> list[Address]:
    """Every address of a header that may be a list (Contact, Route, Record-Route)."""
    return [parse_address(part, rule) for value in values for part in split_list(value)]
