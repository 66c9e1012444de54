"""Bodies that tell of no host and no dialog: they cross as they are."""

from __future__ import annotations

from b2bua.policy.body import Kind, whole

KINDS: dict[str, Kind] = {
    "application/dtmf": whole("digits"),
    "application/dtmf-relay": whole("digits"),
    "application/isup": whole("the telephone network's own signalling (RFC 3204)"),
    "application/media_control+xml": whole("a wish for a whole picture (RFC 5168)"),
    "application/qsig": whole("the telephone network's own signalling (RFC 3204)"),
    "text/plain": whole("one end's words to the other"),
}
