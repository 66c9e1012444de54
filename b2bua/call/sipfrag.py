"""How far a transfer is, as a NOTIFY says it: message/sipfrag with a status line and nothing else (RFC 3420, S38)."""

from __future__ import annotations

import re

from b2bua.sip.sdp import media_type
from b2bua.sip.status import reason_of

LINGER = 180.0  # seconds that a NOTIFY is awaited: as long as a call may ring

_STATUS_LINE = re.compile(rb"SIP/2\.0 ([1-6][0-9][0-9])(?: [^\r\n]*)?(?:\r?\n|\Z)")


def status_line(body: bytes, content_type: str) -> bytes:
    """A sipfrag as the other side may read it: how far it got, in our words; another body as it is."""
    if media_type(content_type) != "message/sipfrag":
        return body
    found = _STATUS_LINE.match(body)
    return fragment(int(found[1])) if found is not None else b""


def fragment(status: int) -> bytes:
    """A sipfrag that tells how far a transfer is (RFC 3515 2.4.5)."""
    return f"SIP/2.0 {status} {reason_of(status)}\r\n".encode()
