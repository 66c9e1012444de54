"""Whether a request goes in circles (RFC 3261 16.3, RFC 5393): our own branches in its Vias tell.

A spiral, which comes back with another Request-URI, is legal. Whoever hides our Via takes this knowledge away; then
Max-Forwards ends it.
"""

from __future__ import annotations

from b2bua.sip.message import Request
from b2bua.sip.tokens import BRANCH_LENGTH, LoopKey, Tokens


def loop_key(tokens: Tokens, request: Request) -> LoopKey:
    """What decides where a request goes, and which pass this is."""
    return LoopKey(_way(request), _passed(tokens, _branches(request)) + 1)


def circle(tokens: Tokens, request: Request, most: int) -> str:
    """Why a request goes in circles; empty where it does not. It may come back to us `most` times."""
    branches = _branches(request)
    if not branches:
        return ""
    way = _way(request)
    if any(tokens.looped(branch, way) for branch in branches):
        return "it came back to us as it left"
    passed = _passed(tokens, branches)
    return f"it came back to us {passed} times" if passed > most else ""


def _passed(tokens: Tokens, branches: list[str]) -> int:
    """How many times it has come to us before, as far as our own Vias in it tell."""
    return max([tokens.passes(branch) for branch in branches], default=0)


def _branches(request: Request) -> list[str]:
    """The branches in a request that may be our own; none of one that we made ourselves, which has no Via."""
    vias = request.vias() if "Via" in request.headers else ()
    return [via.branch for via in vias if len(via.branch) == BRANCH_LENGTH]


def _way(request: Request) -> str:
    return f"{request.method} {request.uri_text}"
