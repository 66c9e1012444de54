"""application/conference-info+xml (RFC 4575): who is in a conference. Which machine it is on is not said."""

from __future__ import annotations

from b2bua.policy.document import (
    FLAG,
    MOMENT,
    NUMBER,
    TEXT,
    Shape,
    document,
    holding,
    identity,
    named,
    number,
    of_shape,
    one_of,
    uri,
)

_SPACE = "urn:ietf:params:xml:ns:conference-info"
_KIND = "application/conference-info+xml"

_change = one_of("full partial deleted")
_MEDIA_TYPE = holding(one_of("audio video text message application"))
_DIRECTION = holding(one_of("sendrecv sendonly recvonly inactive"))
_PURPOSE = holding(one_of("participation streaming web-page recording event"))
_ROLES = named(
    _SPACE,
    {"entry": holding(one_of("administrator creator moderator participant observer listener attendee speaker"))},
)


def _addresses(purpose: bool) -> Shape:
    """Addresses by which something is reached."""
    within = {"uri": holding(identity), "display-text": TEXT} | ({"purpose": _PURPOSE} if purpose else {})
    return Shape(
        children=named(_SPACE, {"entry": Shape(children=named(_SPACE, within), within=frozenset({f"{{{_SPACE}}}uri"}))})
    )


_HOW = Shape(children=named(_SPACE, {"when": MOMENT, "by": holding(identity)}))
_MEDIUM = Shape(
    {"id": number, "label": number},
    named(
        _SPACE,
        {"display-text": TEXT, "type": _MEDIA_TYPE, "label": NUMBER, "src-id": NUMBER, "status": _DIRECTION},
    ),
)
_ENDPOINT = Shape(
    {"entity": uri, "state": _change},
    named(
        _SPACE,
        {
            "display-text": TEXT,
            "referred": _HOW,
            "status": holding(
                one_of(
                    "pending dialing-out dialing-in alerting on-hold connected muted-via-focus"
                    " disconnecting disconnected"
                )
            ),
            "joining-method": holding(one_of("dialed-in dialed-out focus-owner")),
            "joining-info": _HOW,
            "disconnection-method": holding(one_of("departed booted failed busy")),
            "disconnection-info": _HOW,
            "media": _MEDIUM,
        },  # call-info is a dialog of the other leg
    ),
    needs=frozenset({"entity"}),
)
_USER = Shape(
    {"entity": identity, "state": _change},
    named(
        _SPACE,
        {
            "display-text": TEXT,
            "associated-aors": _addresses(False),
            "roles": Shape(children=_ROLES),
            "languages": holding(of_shape("[A-Za-z]{2,3}(?:[ ,]+[A-Za-z]{2,3}){0,9}")),
            "endpoint": _ENDPOINT,
        },
    ),
    needs=frozenset({"entity"}),
)
_DESCRIPTION = Shape(
    {"state": _change},
    named(
        _SPACE,
        {
            "display-text": TEXT,
            "subject": TEXT,
            "free-text": TEXT,
            "keywords": TEXT,
            "conf-uris": _addresses(True),
            "maximum-user-count": NUMBER,
            "available-media": Shape(children=named(_SPACE, {"entry": _MEDIUM})),
        },
    ),
)
_ROOT = Shape(
    {"entity": identity, "state": _change, "version": number},
    named(
        _SPACE,
        {
            "conference-description": _DESCRIPTION,
            "conference-state": Shape(children=named(_SPACE, {"user-count": NUMBER, "active": FLAG, "locked": FLAG})),
            "users": Shape({"state": _change}, named(_SPACE, {"user": _USER})),
        },  # host-info says where the conference is held; sidebars are conferences of the far side
    ),
    needs=frozenset({"entity"}),
)

KINDS = {
    _KIND: document(
        _KIND,
        f"{{{_SPACE}}}conference-info",
        _ROOT,
        "users and media with the leg's host in URIs; not the machine, not the dialogs (RFC 4575)",
    )
}
