"""Every message of some calls, as it stands on the wire: to the log, and to an operator's terminal who asks for it.

Switched on for a call from the manhole. While no call is traced the switchboard does not even ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

from twisted.logger import Logger

from b2bua.call.book import Book
from b2bua.call.call import Call
from b2bua.ops.log import escaped
from b2bua.sip.grammar import bracketed
from b2bua.sip.listener import Flow

LOOK = 10.0  # seconds between two looks whether the calls are still there

_CALL_ID = re.compile(rb"^(?:call-id|i)[ \t]*:[ \t\r\n]*([^\r\n]*[^\r\n \t])", re.I | re.M)

Show = Callable[[str], None]


class Traced(Protocol):
    """The switchboard, as far as a trace needs it."""

    trace: Any

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` later."""


class Tracer:
    """Traces the calls that it is told to (`net.switchboard.Trace`); knows them by the Call-IDs of all their legs.

    `clock` gives seconds since 1970. `whole`: one event with the whole message, for a log in JSON; otherwise an event a
    line, for a log that is read.
    """

    log = Logger()

    def __init__(self, board: Traced, book: Book, clock: Callable[[], float], whole: bool = False) -> None:
        self._board = board
        self._book = book
        self._clock = clock
        self._whole = whole
        self._calls: dict[str, tuple[Call, list[Show]]] = {}
        self._ids: dict[bytes, str] = {}
        self._looking = False

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._calls))

    def start(self, call: Call, show: Show | None = None) -> None:
        """Trace a call from now on; `show` is given each message as text, beside the log."""
        shows = self._calls.setdefault(call.id, (call, []))[1]
        if show is not None and show not in shows:
            shows.append(show)
        self._board.trace = self
        if not self._looking:
            self._looking = True
            self._board.after(LOOK, self._look)

    def stop(self, call_id: str) -> bool:
        """Trace a call no longer; whether it was traced."""
        was = self._calls.pop(call_id, None) is not None
        self._ids = {key: known for key, known in self._ids.items() if known != call_id}
        if not self._calls:
            self._board.trace = None
        return was

    def leave(self, show: Show) -> None:
        """A terminal is gone: its traces go on in the log only."""
        for _, shows in self._calls.values():
            if show in shows:
                shows.remove(show)

    def message(self, flow: Flow, outward: bool, data: bytes) -> None:
        """One message. Never raises: a trace must cost no call."""
        try:
            call_id = self._whose(data)
            if call_id:
                self._tell(call_id, flow, outward, data)
        except Exception:  # noqa: BLE001 - a terminal that is gone, a log that is full: the message goes on
            self.log.failure("a message could not be traced; all traces are off")
            self._calls.clear()
            self._ids.clear()
            self._board.trace = None

    def _whose(self, data: bytes) -> str:
        found = _CALL_ID.search(data.partition(b"\r\n\r\n")[0])
        if found is None:
            return ""
        key = found.group(1)
        if key not in self._ids:  # another attempt, another fork: a call's legs come and go
            self._ids = {each: call.id for call, _ in self._calls.values() for each in _call_ids(call)}
        return self._ids.get(key, "")

    def _tell(self, call_id: str, flow: Flow, outward: bool, data: bytes) -> None:
        listener, text = flow.listener, data.decode("utf-8", "backslashreplace")
        arrow = "->" if outward else "<-"
        way = f"{listener.name} {arrow} {listener.transport}:{bracketed(flow.host)}:{flow.port}"
        head = f"{way}, {len(data)} octets"
        lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
        if self._whole:
            self.log.info("trace {call}: {way}", call=call_id, way=way, outward=outward, sip=text)
        else:
            self.log.info("trace {call}: {head}", call=call_id, head=head)
            for line in lines:
                self.log.info("trace {call}: | {line}", call=call_id, line=line)
        if shows := self._calls[call_id][1]:
            now = datetime.fromtimestamp(self._clock(), UTC)
            title = f"{now:%H:%M:%S}.{now.microsecond // 1000:03} {call_id} {head}"
            shown = "\n".join([title, *(f"  {escaped(line)}" for line in lines)])
            for show in list(shows):
                show(shown)

    def _look(self) -> None:
        """Forget the calls that are no more."""
        for call_id in self:
            if self._book.call(call_id) is None:
                self.stop(call_id)
        self._looking = bool(self._calls)
        if self._looking:
            self._board.after(LOOK, self._look)


def _call_ids(call: Call) -> set[bytes]:
    legs = [leg for pair in call.pairs for leg in pair] + [call.near]
    if call.far is not None:
        legs.append(call.far)
    if call.setup is not None:
        legs += call.setup.legs
    return {leg.call_id.encode("utf-8", "surrogateescape") for leg in legs}
