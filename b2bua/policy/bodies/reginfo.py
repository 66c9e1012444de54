"""application/reginfo+xml (RFC 3680): who is registered, and by what."""

from __future__ import annotations

from b2bua.policy.document import (
    LANGUAGE,
    TEXT,
    URI,
    Shape,
    alias,
    document,
    identity,
    language,
    named,
    number,
    one_of,
    priority,
)

_SPACE = "urn:ietf:params:xml:ns:reginfo"
_KIND = "application/reginfo+xml"

_CONTACT = Shape(
    {
        "id": alias,
        "state": one_of("active terminated"),
        "event": one_of("registered created refreshed shortened expired deactivated probation unregistered rejected"),
        "duration-registered": number,
        "expires": number,
        "retry-after": number,
        "q": priority,
        LANGUAGE: language,
    },  # callid and cseq are those of the REGISTER: another leg's
    named(_SPACE, {"uri": URI, "display-name": TEXT}),
    needs=frozenset({"id", "state", "event"}),
    within=frozenset({f"{{{_SPACE}}}uri"}),
)
_REGISTRATION = Shape(
    {"aor": identity, "id": alias, "state": one_of("init active terminated")},
    named(_SPACE, {"contact": _CONTACT}),
    needs=frozenset({"aor", "id", "state"}),
)
_ROOT = Shape(
    {"version": number, "state": one_of("full partial")},
    named(_SPACE, {"registration": _REGISTRATION}),
    needs=frozenset({"version", "state"}),
)

KINDS = {
    _KIND: document(
        _KIND, f"{{{_SPACE}}}reginfo", _ROOT, "states and names; no Call-ID; the leg's host in URIs (RFC 3680)"
    )
}
