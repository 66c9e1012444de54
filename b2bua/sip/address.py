"""name-addr and addr-spec with header parameters (RFC 3261 20.10): From, To, Contact, Route and their like."""

from __future__ import annotations

import re

from b2bua.sip.grammar import (
    Malformed,
    Params,
    format_params,
    is_token,
    parse_params,
    quote,
    split_list,
    split_quoted,
    without_controls,
)
from b2bua.sip.uri import Uri, parse_uri


class Address:
    """A display name (as it stands on the wire, quotes included), a URI and the header's parameters."""

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


_NAME_ADDR = re.compile(
    r"""("(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*+"|[A-Za-z0-9\-.!%*_+`'~]*+)[ \t]*<([^>]*+)>[ \t]*(;.*)?"""
)


def parse_address(text: str, rule: str = "RFC 3261 20.10") -> Address:
    """The one address that `text` is."""
    found = _NAME_ADDR.fullmatch(text)
    if found is not None:  # nearly always; the rest is for what is rare or wrong
        display, spec, params = found.groups()
        return Address(display, parse_uri(spec, rule), parse_params(params, rule) if params else None)
    display, bracketed = _split_display(text.strip(), rule)
    if bracketed[:1] == "<":
        spec, closed, rest = bracketed[1:].partition(">")
        if not closed:
            raise Malformed("an angle bracket that does not close", rule)
        return Address(display, parse_uri(spec, rule), parse_params(rest.strip(), rule))
    # Without brackets every parameter is the header's, and a URI that needs brackets is refused (RFC 3261 20.10).
    spec, semicolon, params = bracketed.partition(";")
    if "?" in spec or "," in spec:
        raise Malformed("a URI with ? or , outside angle brackets", rule)
    return Address("", parse_uri(spec.rstrip(), rule), parse_params(semicolon + params, rule))


def _split_display(text: str, rule: str) -> tuple[str, str]:
    """The display name, ready to be written again, and what follows it."""
    if text[:1] == '"':
        inside, rest = split_quoted(text, rule)
        rest = rest.lstrip()
        if rest[:1] != "<":
            raise Malformed("a display name without an address in angle brackets", rule)
        return f'"{without_controls(inside)}"', rest
    bracket = text.find("<")
    if bracket < 0:
        return "", text
    name = text[:bracket].strip()
    if not all(map(is_token, name.split())):
        if '"' in name:
            raise Malformed("unbalanced quotes in a display name", rule)
        return quote(name), text[bracket:]  # a common slip; whole on the far side once it is quoted
    return name, text[bracket:]


def parse_addresses(values: list[str], rule: str) -> list[Address]:
    """Every address of a header that may be a list (Contact, Route, Record-Route)."""
    return [parse_address(part, rule) for value in values for part in split_list(value)]
