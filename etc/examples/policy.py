"""Media servers on the private network, end-points on the public one: the case of media-servers.toml as a script.

`route` is asked about every request that begins something; what it returns is described in b2bua-policy(5).
It may be an `async def`, and await Deferreds or coroutines. An exception in it refuses that one call with 500.
"""

from collections.abc import Sequence
from itertools import count

from b2bua.policy.routing import Go, Reject
from b2bua.policy.script import RequestView
from b2bua.sip.listener import Listener

MEDIA_SERVERS = ["sip:127.0.0.21:5060;transport=udp", "sip:127.0.0.22:5060;transport=udp"]

_calls = count()


def route(request: RequestView, listeners: Sequence[Listener]) -> Go | Reject | None:
    """Where the request goes: Go, Reject, or None to ask the routes of the configuration."""
    if request.zone == "private":
        # A media server calls: it knows where the end-point is.
        return Go("request-uri", send_from="public")
    if request.user == "*33":
        return Reject(484, "The number is missing")
    if request.user.startswith("*33"):
        # Something that rules cannot do: the media servers take turns at being first.
        first = next(_calls) % len(MEDIA_SERVERS)
        return Go(MEDIA_SERVERS[first:] + MEDIA_SERVERS[:first], send_from="private-udp")
    return None
