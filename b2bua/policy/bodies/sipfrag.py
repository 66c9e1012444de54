"""message/sipfrag (RFC 3420): how a transfer goes, and nothing of the message by which it goes."""

from __future__ import annotations

import re

from b2bua.policy.body import Crossing, Entity, Kind, Said
from b2bua.sip.grammar import Malformed
from b2bua.sip.status import reason_of

_STATUS = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2})(?:[ \t][^\r\n]*)?(?:\r?\n|\Z)")  # some end it with LF alone


def _sipfrag(entity: Entity, crossing: Crossing) -> Said:
    """The status, with the reason phrase that is registered for it: text may name a host."""
    found = _STATUS.match(entity.body)
    if found is None:
        raise Malformed("a fragment that does not begin with a status line", "RFC 3515 2.4.5")
    status = int(found.group(1))
    return f"SIP/2.0 {status} {reason_of(status)}\r\n".encode("ascii"), "message/sipfrag;version=2.0"


KINDS = {"message/sipfrag": Kind(_sipfrag, "the status line, without the words of the far side (RFC 3420)")}
