"""application/watcherinfo+xml (RFC 3858): who watches whom."""

from __future__ import annotations

from b2bua.policy.document import LANGUAGE, Shape, alias, document, identity, language, named, number, one_of, words

_SPACE = "urn:ietf:params:xml:ns:watcherinfo"
_KIND = "application/watcherinfo+xml"
_PACKAGES = "presence dialog message-summary reg conference refer winfo kpml presence.winfo dialog.winfo"

_WATCHER = Shape(
    {
        "id": alias,
        "status": one_of("pending active waiting terminated"),
        "event": one_of("subscribe approved deactivated probation rejected timeout giveup noresource"),
        "display-name": words,
        "expiration": number,
        "duration-subscribed": number,
        LANGUAGE: language,
    },
    text=identity,
    needs=frozenset({"id", "status", "event", ""}),
)
_LIST = Shape(
    {"resource": identity, "package": one_of(_PACKAGES)},
    named(_SPACE, {"watcher": _WATCHER}),
    needs=frozenset({"resource", "package"}),
)
_ROOT = Shape(
    {"version": number, "state": one_of("full partial")},
    named(_SPACE, {"watcher-list": _LIST}),
    needs=frozenset({"version", "state"}),
)

KINDS = {_KIND: document(_KIND, f"{{{_SPACE}}}watcherinfo", _ROOT, "watchers with the leg's host (RFC 3858)")}
