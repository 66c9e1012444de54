"""application/dialog-info+xml (RFC 4235, RFC 7463): who is in a call. Busy lamps and pick-up live by it."""

from __future__ import annotations

from b2bua.policy.body import Crossing
from b2bua.policy.document import (
    NUMBER,
    Shape,
    alias,
    document,
    flag,
    holding,
    identity,
    named,
    number,
    of_shape,
    one_of,
    uri,
    words,
)
from b2bua.sip.xml import Element

_SPACE = "urn:ietf:params:xml:ns:dialog-info"
_KIND = "application/dialog-info+xml"
_IDS = ("call-id", "local-tag", "remote-tag")

_PARAM = Shape(
    {
        "pname": one_of("+sip.rendering +sip.byeless +sip.automata sip.rendering sip.byeless sip.automata"),
        "pval": one_of("yes no true false unknown"),
    },
    needs=frozenset({"pname", "pval"}),
)
_PARTY = Shape(
    children=named(
        _SPACE,
        {
            "identity": holding(identity, display=words),
            "target": Shape({"uri": uri}, named(_SPACE, {"param": _PARAM}), needs=frozenset({"uri"})),
        },
    )
)


def _ids(came: Element, left: Element, crossing: Crossing) -> None:
    """The ids are those of the same dialog on the other side. Who is told none of them still has the state."""
    call_id, local_tag, remote_tag = (came.attributes.get(name, "") for name in _IDS)
    found = crossing.dialog(call_id, local_tag, remote_tag) if call_id else None
    if found is not None:
        left.attributes.update({name: text for name, text in zip(_IDS, found, strict=True) if text})


_STATE = holding(
    one_of("trying proceeding early confirmed terminated"),
    event=one_of("cancelled rejected replaced local-bye remote-bye error timeout"),
    code=of_shape("[1-6][0-9]{2}"),
)
_DIALOG = Shape(
    {"id": alias, "direction": one_of("initiator recipient")},
    named(
        _SPACE,
        {
            "state": _STATE,
            "duration": NUMBER,
            "replaces": Shape(needs=frozenset({"call-id"}), change=_ids),
            "referred-by": holding(identity, display=words),
            "local": _PARTY,
            "remote": _PARTY,
        },
    )
    | named("urn:ietf:params:xml:ns:sa-dialog-info", {"appearance": NUMBER, "exclusive": holding(flag)}),
    needs=frozenset({"id"}),
    within=frozenset({f"{{{_SPACE}}}state"}),
    change=_ids,
)
_ROOT = Shape(
    {"version": number, "state": one_of("full partial"), "entity": identity},
    named(_SPACE, {"dialog": _DIALOG}),
    needs=frozenset({"version", "state", "entity"}),
)

KINDS = {
    _KIND: document(
        _KIND,
        f"{{{_SPACE}}}dialog-info",
        _ROOT,
        "states and names; ids of dialogs translated or left out; the leg's host in URIs (RFC 4235)",
    )
}
