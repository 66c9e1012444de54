"""Which transaction a message belongs to (RFC 3261 17.1.3, 17.2.3)."""

from __future__ import annotations

from collections.abc import Iterator

from b2bua.sip.message import Request, Response
from b2bua.sip.via import MAGIC_COOKIE
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction

Key = tuple[str, ...]


def client_key(branch: str, method: str) -> Key:
    """Of a request that we send."""
    return branch, method


def server_key(request: Request, method: str) -> Key:
    """Of a request that comes in; `method` is the one to look for: an ACK's and a CANCEL's INVITE.

    Without the magic cookie an RFC 2543 client sent it, and more of the request must be the same.
    """
    via = request.via
    branch = via.branch
    if branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE):
        return branch, via.sent_by, method
    number, _ = request.cseq
    return branch, via.sent_by, method, request.call_id, str(number), request.from_tag, request.uri_text


class Transactions:
    """All that are alive."""

    __slots__ = ("_clients", "_waiting", "_servers", "_cancellable", "_merging")

    def __init__(self) -> None:
        self._clients: dict[Key, ClientTransaction] = {}
        self._waiting: dict[tuple[str, int], set[ClientTransaction]] = {}  # by where the answer is to come from
        self._servers: dict[Key, ServerTransaction] = {}
        self._cancellable: dict[Key, ServerTransaction] = {}  # INVITEs, for a CANCEL whose sent-by changed
        self._merging: dict[Key, ServerTransaction] = {}  # requests outside dialogs

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def __iter__(self) -> Iterator[ClientTransaction | ServerTransaction]:
        yield from list(self._clients.values())
        yield from list(self._servers.values())

    def client(self, response: Response) -> ClientTransaction | None:
        """The transaction that a response answers."""
        return self._clients.get((response.branch, response.cseq[1]))

    def waiting_for(self, host: str, port: int) -> list[ClientTransaction]:
        """Those that wait for an answer from an address."""
        return list(self._waiting.get((host, port), ()))

    def server(self, request: Request) -> ServerTransaction | None:
        """The transaction that a request repeats, or that an ACK for a failure ends."""
        method = "INVITE" if request.method == "ACK" else request.method
        return self._servers.get(server_key(request, method))

    def to_cancel(self, cancel: Request, source: str) -> ServerTransaction | None:
        """The INVITE that a CANCEL is for; a sent-by that a NAT changed does not matter when all else agrees (S26)."""
        found = self._servers.get(server_key(cancel, "INVITE"))
        if found is None:
            found = self._cancellable.get(_cancel_key(cancel))
            if found is not None and found.flow.host != source:
                return None
        return found

    def merged(self, request: Request) -> bool:
        """Whether the same request came already by another way (RFC 3261 8.2.2.2)."""
        return not request.to_tag and _merge_key(request) in self._merging

    def add_client(self, transaction: ClientTransaction) -> None:
        """Keep a transaction of ours."""
        self._clients[transaction.key] = transaction
        flow = transaction.flow
        waiting = self._waiting.get((flow.host, flow.port))
        if waiting is None:
            self._waiting[flow.host, flow.port] = {transaction}
        else:
            waiting.add(transaction)

    def add_server(self, transaction: ServerTransaction) -> None:
        """Keep a peer's transaction."""
        request = transaction.request
        self._servers[transaction.key] = transaction
        if request.method == "INVITE":
            self._cancellable[_cancel_key(request)] = transaction
        if not request.to_tag:
            self._merging[_merge_key(request)] = transaction

    def forget(self, transaction: ClientTransaction | ServerTransaction) -> None:
        """Drop a transaction that is over."""
        if isinstance(transaction, ClientTransaction):
            self._clients.pop(transaction.key, None)
            place = transaction.flow.host, transaction.flow.port
            waiting = self._waiting.get(place)
            if waiting is not None:
                waiting.discard(transaction)
                if not waiting:
                    del self._waiting[place]
            return
        request = transaction.request
        self._servers.pop(transaction.key, None)
        if request.method == "INVITE":
            _strike(self._cancellable, _cancel_key(request), transaction)
        if not request.to_tag:
            _strike(self._merging, _merge_key(request), transaction)


def _strike(index: dict[Key, ServerTransaction], key: Key, transaction: ServerTransaction) -> None:
    if index.get(key) is transaction:  # else it is another's by now
        del index[key]


def _cancel_key(request: Request) -> Key:
    return request.via.branch, request.call_id, str(request.cseq[0])


def _merge_key(request: Request) -> Key:
    return request.call_id, request.from_tag, str(request.cseq[0]), request.method
