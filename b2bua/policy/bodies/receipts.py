"""What is said of instant messages: message/imdn+xml (RFC 5438), application/im-iscomposing+xml (RFC 3994)."""

from __future__ import annotations

from b2bua.policy.document import MOMENT, NUMBER, Shape, document, holding, identity, named, of_shape, one_of

_IMDN = "urn:ietf:params:xml:ns:imdn"
_COMPOSING = "urn:ietf:params:xml:ns:im-iscomposing"

_outcome = named(
    _IMDN,
    {
        "status": Shape(
            children=named(
                _IMDN,
                dict.fromkeys("delivered failed forbidden error displayed processed stored".split(), Shape()),
            )
        )
    },
)
_RECEIPT = named(
    _IMDN,
    {
        # The name that the sender gave the message; without it the receipt is for nothing.
        "message-id": holding(of_shape("[A-Za-z0-9+=_-]{1,100}")),
        "datetime": MOMENT,
        "recipient-uri": holding(identity),
        "original-recipient-uri": holding(identity),
    }
    | dict.fromkeys(
        ("delivery-notification", "display-notification", "processing-notification"), Shape(children=_outcome)
    ),
)
_STATE = named(
    _COMPOSING,
    {
        "state": holding(one_of("active idle")),
        "lastactive": MOMENT,
        "refresh": NUMBER,
        "contenttype": holding(one_of("text audio video text/plain text/html")),
    },
)

KINDS = {
    kind: document(kind, root, shape, why)
    for kind, root, shape, why in (
        (
            "message/imdn+xml",
            f"{{{_IMDN}}}imdn",
            Shape(children=_RECEIPT, within=frozenset({f"{{{_IMDN}}}message-id"})),
            "receipts, with the leg's host (RFC 5438)",
        ),
        (
            "application/im-iscomposing+xml",
            f"{{{_COMPOSING}}}isComposing",
            Shape(children=_STATE, within=frozenset({f"{{{_COMPOSING}}}state"})),
            "whether somebody writes (RFC 3994)",
        ),
    )
}
