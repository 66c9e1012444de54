"""`network = "192.0.2.0/24"` or a list: the address that the request came from."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from b2bua.policy.match import Known, Match
from b2bua.policy.patterns import Complain, listed
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request

Network = IPv4Network | IPv6Network

RIGHT = 'must be a network such as "192.0.2.0/24" or "2001:db8::/32", or a list of networks'
_REMEMBERED = 4096  # addresses; when there are more, all are forgotten


class FromNetwork(Match):
    """The source address, as the socket saw it, is in one of these networks."""

    __slots__ = ("_networks", "_answers")
    key = "network"
    cost = 2

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks
        self._answers: dict[str, bool] = {}  # reading an address costs ten times a look-up

    @classmethod
    def read(cls, value: object, known: Known, complain: Complain) -> Match | None:
        texts = listed(value)
        if texts is None:
            complain("", value, RIGHT)
            return None
        networks = [network for text in texts if (network := read_network(text, complain)) is not None]
        return cls(tuple(networks)) if len(networks) == len(texts) else None

    def __call__(self, request: Request, flow: Flow) -> bool:
        answer = self._answers.get(flow.host)
        if answer is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            answer = self._answers[flow.host] = self._holds(flow.host)
        return answer

    def _holds(self, host: str) -> bool:
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:  # explaining a request that nobody sent
            return False
        return any(address in network for network in self._networks)

    def describe(self) -> str:
        return f"it comes from {' or '.join(map(str, self._networks))}"

    def seen(self, request: Request, flow: Flow) -> str:
        return f"it comes from {flow.host or 'no address'}"

    def may_come_by(self, listener: Listener) -> bool:
        return any(network.version == listener.family for network in self._networks)


def read_network(text: str, complain: Complain) -> Network | None:
    """The network that `text` is; None, after complaining, when it is none or has bits beyond its length."""
    try:
        return ip_network(text)
    except ValueError:
        try:
            complain("", text, f'the network around this address is "{ip_network(text, strict=False)}"')
        except ValueError:
            complain("", text, RIGHT)
        return None


KINDS = (FromNetwork,)
