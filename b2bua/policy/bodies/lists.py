"""Lists of addresses: application/resource-lists+xml (RFC 4826, RFC 5364) and application/rlmi+xml (RFC 4662)."""

from __future__ import annotations

from b2bua.policy.document import (
    TEXT,
    Shape,
    alias,
    content_id,
    document,
    flag,
    holding,
    identity,
    named,
    number,
    one_of,
    words,
)

_LISTS = "urn:ietf:params:xml:ns:resource-lists"
_COPY = "urn:ietf:params:xml:ns:copycontrol"
_RLMI = "urn:ietf:params:xml:ns:rlmi"

_ENTRY = Shape(
    {"uri": identity, f"{{{_COPY}}}copyControl": one_of("to cc bcc"), f"{{{_COPY}}}anonymize": flag},
    named(_LISTS, {"display-name": TEXT}),
    needs=frozenset({"uri"}),
)
# Within each other; entry-ref and external lead to documents on a server of the far side.
_within: dict[str, Shape] = named(_LISTS, {"display-name": TEXT, "entry": _ENTRY})
_LIST = Shape({"name": words}, _within)
_within[f"{{{_LISTS}}}list"] = _LIST

_INSTANCE = Shape(
    {
        "id": alias,
        "state": one_of("active pending terminated"),
        "reason": one_of("deactivated probation rejected timeout giveup noresource"),
        "cid": content_id,
    },
    needs=frozenset({"id", "state"}),
)
_NAME = named(_RLMI, {"name": holding(words)})
_RESOURCE = Shape({"uri": identity}, _NAME | named(_RLMI, {"instance": _INSTANCE}), needs=frozenset({"uri"}))
_STATE = Shape(
    {"uri": identity, "version": number, "fullState": flag, "cid": content_id},
    _NAME | named(_RLMI, {"resource": _RESOURCE}),
    needs=frozenset({"uri", "version", "fullState"}),
)

KINDS = {
    kind: document(kind, root, shape, why)
    for kind, root, shape, why in (
        (
            "application/resource-lists+xml",
            f"{{{_LISTS}}}resource-lists",
            Shape(children=named(_LISTS, {"list": _LIST})),
            "addresses with the leg's host (RFC 4826)",
        ),
        (
            "application/rlmi+xml",
            f"{{{_RLMI}}}list",
            _STATE,
            "addresses with the leg's host, and the parts they name (RFC 4662)",
        ),
    )
}
