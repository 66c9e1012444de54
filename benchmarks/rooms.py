"""How often a second the single steps of a call can be done, without a network: `python -m benchmarks.rooms [NAME...]`.

A step is a function in STEPS: it prepares what it needs and returns what is to be timed. Its name selects it.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable

from b2bua.dialog.leg import Leg
from b2bua.policy.hiding import Hiding
from b2bua.policy.match import Known
from b2bua.policy.routing import Go, Rule, decide
from b2bua.policy.rules.uri import Domain, User
from b2bua.policy.zones import Zone
from b2bua.sip.check import check_request, check_response
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request, Response, parse
from b2bua.sip.tokens import Tokens
from b2bua.sip.uri import parse_uri
from b2bua.transaction.index import Transactions, server_key
from b2bua.transaction.machine import Input
from b2bua.transaction.timers import Timer
from b2bua.transaction.transaction import ServerTransaction

Step = Callable[[], object]

_ROUNDS, _SECONDS = 7, 0.15             # of each step: rounds, and about how long each

INVITE = b"""\
INVITE sip:bob@example.net SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.11:5070;branch=z9hG4bK-6203-1-0\r
Max-Forwards: 70\r
From: "Alice" <sip:alice1@example.com>;tag=c6203n1\r
To: "Bob" <sip:bob@example.net>\r
Call-ID: 1-6203\r
CSeq: 1 INVITE\r
Contact: <sip:alice@127.0.0.11:5070;transport=UDP>\r
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, UPDATE\r
Supported: replaces\r
User-Agent: benchmark caller\r
Content-Type: application/sdp\r
Content-Length: 230\r
\r
v=0\r
o=alice 3735928559 3735928559 IN IP4 203.0.113.10\r
s=-\r
c=IN IP4 203.0.113.10\r
t=0 0\r
m=audio 16000 RTP/AVP 0 8 101\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=sendrecv\r
"""
RINGING = b"""\
SIP/2.0 180 Ringing\r
Via: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKq3vX0aJt5mS8wYc2;rport\r
From: "Alice" <sip:alice1@127.0.0.2>;tag=Zr7TnB2kQw9x\r
To: "Bob" <sip:bob@127.0.0.12>;tag=d6202n1\r
Call-ID: hP4sWc8vLk1yGq6tRj3m\r
CSeq: 1 INVITE\r
Contact: <sip:bob@127.0.0.12:5080;transport=udp>\r
Content-Length: 0\r
\r
"""


OUTSIDE = Listener("outside", "public", "udp", "127.0.0.1", 5060)
INSIDE = Listener("inside", "private", "udp", "127.0.0.2", 5060)
CALLER = Flow(OUTSIDE, "127.0.0.11", 5070)


def invite() -> Request:
    """The INVITE as it came in, checked."""
    request = parse(INVITE)
    assert isinstance(request, Request)
    check_request(request)
    return request


def ringing() -> Response:
    """The 180 as it came back, checked."""
    response = parse(RINGING)
    assert isinstance(response, Response)
    check_response(response)
    return response


def parse_invite() -> Step:
    """Bytes to a request of which nothing is read yet."""
    return lambda: parse(INVITE)


def read_invite() -> Step:
    """Bytes to a request that was checked, and what is needed of it: Request-URI, Via, From, To, CSeq, Contact."""
    def read() -> object:
        request = invite()
        return request.uri, request.via, request.from_, request.to, request.cseq, request.contact
    return read


def read_ringing() -> Step:
    """The same for a response."""
    def read() -> object:
        response = ringing()
        return response.via, response.from_, response.to, response.cseq, response.contact
    return read


def serialise_invite() -> Step:
    """A request to bytes."""
    request = invite()
    return lambda: bytes(request)


def hide_invite() -> Step:
    """The headers of a request that may cross to an untrusted zone."""
    request, hiding = invite(), Hiding(Zone("public"), Zone("private"))
    return lambda: hiding.grant(request, INSIDE.host)


def route_invite() -> Step:
    """The last of three rules fits; the first asks for a regular expression, the second for a domain."""
    def rule(name: str, kind: type[User] | type[Domain], pattern: str) -> Rule:
        match = kind.read(pattern, Known(), lambda key, value, wrong: None)
        assert match is not None
        return Rule(name, (match,), Go("sip:127.0.0.12:5080;transport=udp", INSIDE))

    rules = [rule("numbers", User, "regex:[+]33[0-9]{9}"), rule("elsewhere", Domain, "example.com"),
             rule("here", Domain, "example.net")]
    request = invite()
    return lambda: decide(rules, request, CALLER)


def build_invite() -> Step:
    """Both legs of a call, and the bytes of the far leg's INVITE."""
    request, hiding, tokens = invite(), Hiding(Zone("public"), Zone("private")), Tokens(os.urandom)
    target = parse_uri("sip:bob@127.0.0.12:5080;transport=udp")

    def build() -> object:
        near = Leg.of_request(request, CALLER, tokens)
        far = Leg.to_peer(INSIDE, near.remote, near.local, target, tokens)
        built = far.request("INVITE", 69, hiding.grant(request, INSIDE.host), request.body)
        built.headers["Via"] = [INSIDE.via_with(tokens.branch(request.uri_text))]
        return bytes(built)
    return build


def serve_invite() -> Step:
    """A server transaction from the INVITE to its end: 180, 200, ACK, and the timer that lets go of it."""
    request, transactions = invite(), Transactions()

    def serve() -> None:
        transaction = ServerTransaction(request, server_key(request, "INVITE"), CALLER)
        if transactions.server(request) is None and not transactions.merged(request):
            transactions.add_server(transaction)
        for event in (Input.PROVISIONAL, Input.SUCCESS, Input.ACK, Timer.L):
            transaction.step(event)
        assert transaction.over
        transactions.forget(transaction)
    return serve


STEPS: tuple[Callable[[], Step], ...] = (
    parse_invite, read_invite, read_ringing, serialise_invite, hide_invite, route_invite, build_invite, serve_invite)


def measure(step: Step) -> tuple[float, float]:
    """CPU-seconds of one execution: the median of some rounds, and the best."""
    times = 1
    while (spent := _spent(step, times)) < _SECONDS / 4 and times < 1 << 30:
        times *= 2
    times = max(1, round(times * _SECONDS / max(spent, 1e-9)))
    rounds = [_spent(step, times) / times for _ in range(_ROUNDS)]
    return statistics.median(rounds), min(rounds)


def _spent(step: Step, times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        step()
    return time.process_time() - began


def main(names: list[str]) -> int:
    """Time the named steps, or all."""
    known = {prepare.__name__: prepare for prepare in STEPS}
    unknown = set(names) - set(known)
    if unknown:
        print(f"no such step: {' '.join(sorted(unknown))}; there are {' '.join(known)}", file=sys.stderr)
        return 2
    width = max(map(len, known))
    print(f"{'':{width}}  {'a second':>10}  {'µs':>7}  {'best µs':>7}")
    for name in names or known:
        step = known[name]()
        gc.collect()
        middle, best = measure(step)
        print(f"{name:{width}}  {1 / middle:10,.0f}  {middle * 1e6:7.2f}  {best * 1e6:7.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
