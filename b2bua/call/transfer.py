"""Transfers (RFC 3515, RFC 5589): a REFER inside a call.

By the route's `refer`: "pass" carries it to the other side, as a `relayed.Relayed` whose subscription, which may
outlive the call (RFC 5057), is in the dialog's `usages.Usages`; "local" carries the transfer out ourselves
(`local_transfer`); "refuse" answers 603.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.call.book import Side
from b2bua.call.local_transfer import LocalTransfer
from b2bua.call.relayed import Relayed
from b2bua.sip.message import Headers, Request
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call

_FOR_TRANSFER = frozenset({"REFER", "replaces", "norefersub"})


def refer(call: Call, side: Side, transaction: ServerTransaction) -> None:
    """A peer asks the other one to call somebody."""
    if fault := _fault_of(call, transaction.request):
        call.refuse(side, transaction, fault)
    elif call.options.refer == "local":
        LocalTransfer(call, side, transaction).start()
    else:
        Relayed(call, call.use(), side.leg, side.peer, transaction).start()


def _fault_of(call: Call, request: Request) -> int:
    """The status that a REFER deserves at once; 0 for none."""
    if call.options.refer == "refuse":
        return 603
    if len(request.values("Refer-To")) != 1:
        return 400  # RFC 3515 2.4.2
    if call.options.refer == "local":
        # Before the answer there are no two who could talk; and one transfer at a time is what a call can bear.
        return 0 if call.answered_at and call.transfer is None else 491
    return 0


def not_for_transfer(granted: Headers) -> None:
    """Take away what says that this call could be transferred."""
    for name in ("Allow", "Supported"):
        values = [_less(value) for value in granted.pop(name, ())]
        if any(values):
            granted[name] = [value for value in values if value]


def _less(value: str) -> str:
    return ", ".join([each for each in value.split(", ") if each not in _FOR_TRANSFER])
