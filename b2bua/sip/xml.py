"""XML as bodies have it: elements, attributes and text; read within bounds, and written anew.

Comments, processing instructions and text between elements are not kept. Entities and document types are refused, not
expanded: who has no use for them cannot be harmed by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from b2bua.sip.grammar import Malformed

MAX_OCTETS = 128 * 1024
MAX_ELEMENTS = 4096
MAX_DEPTH = 24  # of elements within each other

XML = "http://www.w3.org/XML/1998/namespace"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\r\n'
_LIMIT = "a limit of this server"


class Element:
    """One element. Names are `{namespace}name`, as are those of attributes that have a namespace."""

    __slots__ = ("name", "attributes", "children", "text")

    def __init__(self, name: str, attributes: dict[str, str] | None = None, text: str = "") -> None:
        self.name = name
        self.attributes: dict[str, str] = {} if attributes is None else attributes
        self.children: list[Element] = []
        self.text = text


class _Tree:
    """What the parser tells, put together."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        element = Element(name, dict(attributes))
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise Malformed("a document of too many elements, or too deep", _LIMIT)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, name: str) -> None:
        """An element ends."""
        self._open.pop()

    def data(self, text: str) -> None:
        """Text of the innermost element."""
        self._open[-1].text += text

    def close(self) -> Element:
        """The root; a document that was parsed has one."""
        assert self.root is not None, "the parser finds that there is none"
        return self.root


def read(body: bytes) -> Element:
    """The root of a document. Malformed for what is no XML, has a document type, or is too much."""
    if len(body) > MAX_OCTETS:
        raise Malformed(f"a document of more than {MAX_OCTETS} octets", _LIMIT)
    tree = _Tree()
    parser: Any = DefusedXMLParser(target=tree, forbid_dtd=True)
    try:
        parser.feed(body)
        root: Element = parser.close()
    except Malformed:
        raise
    except DefusedXmlException:
        raise Malformed("a document with a document type or entities", "XML 1.0 2.8, 4.2") from None
    except (ParseError, ValueError, LookupError):
        raise Malformed("a document that is not XML", "XML 1.0 2.1") from None
    return root


def write(root: Element, prefixes: Mapping[str, str]) -> bytes:
    """The document. `prefixes` has one for each namespace that is not the root's own."""
    own = root.name[1:].partition("}")[0]
    spoken = {space for space in _spaces(root) if space not in (own, XML)}
    names = {"xmlns": own} | {f"xmlns:{prefixes[space]}": space for space in sorted(spoken)}
    known = {own: "", XML: "xml:"} | {space: f"{prefixes[space]}:" for space in spoken}
    pieces: list[str] = []
    _write(root, known, names, pieces)
    return _DECLARATION + "".join(pieces).encode("utf-8") + b"\r\n"


def _spaces(element: Element) -> set[str]:
    """The namespaces of a name or an attribute anywhere below."""
    found = {name[1:].partition("}")[0] for name in (element.name, *element.attributes) if name[:1] == "{"}
    return found.union(*map(_spaces, element.children))


def _write(element: Element, known: Mapping[str, str], more: Mapping[str, str], pieces: list[str]) -> None:
    name = _named(element.name, known)
    said = {**more, **{_named(each, known): value for each, value in element.attributes.items()}}
    pieces.append(f"<{name}" + "".join(f" {each}={quoteattr(value)}" for each, value in said.items()))
    if not element.children and not element.text:
        pieces.append("/>")
        return
    pieces.append(">" + escape(element.text, {"\r": "&#13;"}))
    for child in element.children:
        _write(child, known, {}, pieces)
    pieces.append(f"</{name}>")


def _named(name: str, known: Mapping[str, str]) -> str:
    if name[:1] != "{":
        return name
    space, _, local = name[1:].partition("}")
    return known[space] + local
