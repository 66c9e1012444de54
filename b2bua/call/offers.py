"""Offers and answers (RFC 3264): who has an offer open between two legs, and what becomes of another one (S32)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.sip import sdp
from b2bua.sip.message import Message

if TYPE_CHECKING:
    from b2bua.call.book import Side
    from b2bua.call.call import Call

RETRY_AFTER = 11  # seconds, not included: RFC 3261 14.2 asks for "a randomly chosen value of between 0 and 10 seconds"
THEIRS, OURS = 500, 491  # the answer to an offer while one of the same side, or of the other side, is open


def describes(message: Message) -> bool:
    """Whether it holds an offer or an answer."""
    return bool(message.body) and sdp.describes(message.first("Content-Type"))


def overlap(call: Call, side: Side) -> int:
    """The status that refuses an offer of this side's while another is open (RFC 3261 14.2, RFC 3311 5.2); 0: none is.

    Each leg is an agent of its own: what the other side has offered was offered to this side by us.
    """
    leg, peer = side.leg, side.peer
    if leg.offering:
        return THEIRS
    if peer.offering:
        return OURS
    if call.owed is not None:  # the far side's offer is in the 2xx, its answer will be in the ACK
        return OURS if leg is call.owed.near else THEIRS
    if call.setup is not None:
        near = leg if leg.call_id == call.near.call_id else peer
        sending = call.reliable.get(near)
        return 0 if sending is not None and sending.agreed else THEIRS if leg is near else OURS
    under_way = call.reinvitation
    if under_way is not None:
        sending = call.reliable.get(under_way.near)
        if sending is not None and sending.agreed and sending.cseq == under_way.server.request.cseq[0]:
            return 0
        return THEIRS if leg is under_way.near and not under_way.server.answered else OURS
    return OURS if call.refreshing is not None else 0
