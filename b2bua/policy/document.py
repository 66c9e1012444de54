"""XML bodies by their shapes: which elements and attributes cross, and what becomes of each text (S38).

A document is written anew from its shape. An element, attribute or namespace that the shape does not name is not there;
comments, processing instructions and text between elements are not either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from b2bua.policy.body import Crossing, Entity, Kind, Said, speaks_of_hosts
from b2bua.sip.grammar import Malformed
from b2bua.sip.xml import XML, Element, read, write

Value = Callable[[str, Crossing], str]  # a text as it crosses; empty when it does not

LANGUAGE = f"{{{XML}}}lang"
# The namespaces of which elements are written beside the document's own, with the prefixes they usually have.
PREFIXES = {
    "urn:ietf:params:xml:ns:copycontrol": "cp",
    "urn:ietf:params:xml:ns:pidf:data-model": "dm",
    "urn:ietf:params:xml:ns:pidf:geopriv10": "gp",
    "urn:ietf:params:xml:ns:pidf:geopriv10:basicPolicy": "gbp",
    "urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr": "ca",
    "urn:ietf:params:xml:ns:geopriv:conf": "con",
    "urn:ietf:params:xml:ns:pidf:person": "pp",
    "urn:ietf:params:xml:ns:pidf:rpid": "rpid",
    "urn:ietf:params:xml:ns:pidf:rpid:rpid-person": "ep",
    "urn:ietf:params:xml:ns:sa-dialog-info": "sa",
    "http://www.opengis.net/gml": "gml",
    "http://www.opengis.net/pidflo/1.0": "gs",
}


class Shape(NamedTuple):
    """What crosses of an element. `needs` names attributes ("" the text), and `within` children, without which it has
    no meaning and stays behind.

    `change` is for what takes more than one value to decide; it has the element as it came and as it will be.
    """

    attributes: Mapping[str, Value] = {}
    children: Mapping[str, Shape] = {}
    text: Value | None = None
    needs: frozenset[str] = frozenset()
    within: frozenset[str] = frozenset()
    change: Callable[[Element, Element, Crossing], None] | None = None


def anew(element: Element, shape: Shape, crossing: Crossing) -> Element | None:
    """An element as it crosses; None where what it needs does not."""
    left = Element(element.name, text=shape.text(element.text.strip(), crossing) if shape.text is not None else "")
    for name, text in element.attributes.items():
        value = shape.attributes.get(name)
        if value is not None and (said := value(text.strip(), crossing)):
            left.attributes[name] = said
    if shape.change is not None:
        shape.change(element, left, crossing)
    if any(not (left.attributes.get(name) if name else left.text) for name in shape.needs):
        return None
    for child in element.children:
        known = shape.children.get(child.name)
        if known is not None and (child_left := anew(child, known, crossing)) is not None:
            left.children.append(child_left)
    return left if shape.within <= {child.name for child in left.children} else None


def document(content_type: str, root: str, shape: Shape, why: str, where: Shape | None = None) -> Kind:
    """The kind of an XML document whose root is `root`; `where` is its shape when the location crosses too."""

    def carry(entity: Entity, crossing: Crossing) -> Said:
        came = read(entity.body)
        if came.name != root:
            raise Malformed(f"a document that is no {content_type}", "its root is another one")
        left = anew(came, where if where is not None and crossing.exceptions.location else shape, crossing)
        if left is None:
            raise Malformed(f"{content_type} without what it has to say", "a needed attribute is missing")
        return write(left, PREFIXES), content_type

    return Kind(carry, why)


def named(space: str, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Children by their full names."""
    return {f"{{{space}}}{name}": shape for name, shape in shapes.items()}


def holding(text: Value, **attributes: Value) -> Shape:
    """An element that has a text, or is not there."""
    return Shape(attributes, text=text, needs=frozenset({""}))


# Values


def uri(text: str, crossing: Crossing) -> str:
    """Where somebody can be reached: the leg's host."""
    return crossing.uri(text)


def identity(text: str, crossing: Crossing) -> str:
    """An address-of-record."""
    return crossing.identity(text)


def alias(text: str, crossing: Crossing) -> str:
    """An id that has a meaning within documents of this kind only."""
    return crossing.alias(text) if text else ""


def content_id(text: str, crossing: Crossing) -> str:
    """The name of another part of the same body."""
    return crossing.names.get(text, "")


def words(text: str, crossing: Crossing) -> str:
    """What somebody reads: a name, a note. Not if it might speak of hosts."""
    text = " ".join(text.split())
    return text if len(text) <= 200 and not speaks_of_hosts(text) else ""


def of_shape(pattern: str) -> Value:
    """A text of one shape."""
    shape = re.compile(pattern, re.A)

    def value(text: str, crossing: Crossing) -> str:
        return text if shape.fullmatch(text) else ""

    return value


def one_of(allowed: str) -> Value:
    """One of these words."""
    known = frozenset(allowed.split())

    def value(text: str, crossing: Crossing) -> str:
        return text if text in known else ""

    return value


number = of_shape("[0-9]{1,10}")
flag = one_of("true false 0 1")
priority = of_shape(r"[01](?:\.[0-9]{0,3})?")
moment = of_shape(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})?")
language = of_shape("[A-Za-z]{2,3}(?:-[A-Za-z]{2,4})?")

TEXT = Shape({LANGUAGE: language}, text=words, needs=frozenset({""}))
NUMBER, FLAG, MOMENT, URI = holding(number), holding(flag), holding(moment), holding(uri)
