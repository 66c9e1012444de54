"""What the bridge says: one line for a call's start, answer and end, one for a peer's fault; as text or as JSON.

Fields are structured (`twisted.logger`), so that JSON has them apart; control characters never reach the file as such.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any

from twisted.logger import ILogObserver, Logger, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from b2bua.call.bindings import Binding
from b2bua.call.call import Call
from b2bua.ops.heard import heard_by, totals
from b2bua.policy.guard import Finding
from b2bua.policy.media import Daemon
from b2bua.sip.grammar import Malformed, bracketed
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request

LONGEST = 200  # characters of one value that a peer wrote
LEVELS = ("debug", "info", "warn", "error", "critical")

_RANK = {LogLevel.levelWithName(name): rank for rank, name in enumerate(LEVELS)}

# Twisted says these of every socket; the bridge says what it listens on itself.
_CHATTER = ("twisted.internet", "twisted.names", "twisted.protocols.tls", "twisted.conch", "log_legacy")


Fields = dict[str, Any]
Words = Callable[[Fields], str]

_log = Logger(namespace="b2bua")
_OF_A_CALL: Fields = {  # what `Logger.info` would look up anew for each line
    "log_logger": _log,
    "log_level": LogLevel.info,
    "log_namespace": "b2bua",
    "log_source": None,
    "log_format": "{text}",
}


class CallLog:
    """The journal (`call.wire.Journal`) that writes to the log.

    With `later` (a reactor's `callLater`) a call's lines are put into words in bundles, `BUNDLE` seconds after the
    first of them: one by one, between two messages, they cost a tenth of the call. `flush` does it at once.
    """

    BUNDLE = 0.1

    def __init__(self, later: Callable[[float, Callable[[], None]], object] | None = None) -> None:
        self._floods = Floods(time.monotonic)
        self._later = later
        self._waiting: list[tuple[Words, Fields]] = []

    def started(self, call: Call) -> None:
        """The first INVITE left on the far leg."""
        self._tell(_starts, self._fields(call))

    def answered(self, call: Call) -> None:
        """The call is up."""
        fields = self._fields(call)
        fields["rang"] = call.answered_at - call.created
        self._tell(_answers, fields)

    def ended(self, call: Call) -> None:
        """The call is over, or never came to be."""
        fields = self._fields(call)
        fields["why"] = call.ending
        fields["talked"] = call.ended_at - call.answered_at if call.answered_at else 0.0
        fields.update(totals(call.media))
        self._tell(_ends, fields)

    def _tell(self, words: Words, fields: Fields) -> None:
        fields["log_time"] = time.time()
        self._waiting.append((words, fields))
        if self._later is None:
            self.flush()
        elif len(self._waiting) == 1:
            self._later(self.BUNDLE, self.flush)

    def flush(self) -> None:
        """Write the lines that wait."""
        waiting, self._waiting = self._waiting, []
        last = len(waiting) - 1
        for number, (words, fields) in enumerate(waiting):
            fields["text"] = words(fields)
            fields.update(_OF_A_CALL)
            fields["log_more"] = number < last
            globalLogPublisher(fields)

    def _fields(self, call: Call) -> Fields:
        near, far = call.near, call.far
        return {
            "call": call.id,
            "rule": call.rule or "-",
            "caller": near.remote,
            "callee": far.remote if far is not None else "-",
            "listener_in": near.listener.name,
            "listener_out": far.listener.name if far is not None else "-",
            "call_id_in": near.call_id,
            "call_id_out": far.call_id if far is not None else "-",
        }

    def fault(self, flow: Flow, fault: Malformed, what: str, answered: bool = False) -> None:
        """A peer broke a rule; `answered` says that it is told so."""
        if not self._floods.allows(flow.host):
            return
        _log.warn(
            "{what} from {source} at {listener}: {reason} ({rule}){answer}",
            what=_short(what),
            source=_source(flow),
            listener=flow.listener.name,
            reason=fault.reason,
            rule=fault.rule,
            answer=f"; answered {fault.status}" if answered else "",
        )

    def refused(self, request: Request, flow: Flow, status: int, why: str) -> None:
        """A request was refused by us."""
        if not self._floods.allows(flow.host):
            return
        _log.info(
            "{method} {uri} from {source} at {listener} refused with {status}: {why}; Call-ID {call_id_in}",
            method=_short(request.method),
            uri=_short(request.uri_text),
            source=_source(flow),
            listener=flow.listener.name,
            status=status,
            why=why,
            call_id_in=_short(request.call_id),
        )

    def member(self, group: str, uri: str, up: bool, why: str) -> None:
        """A member of a group rests, or is up again."""
        tell = _log.info if up else _log.warn
        text = "is up again" if up else "rests"
        tell(f"next hop {{next_hop}} of group {{group}} {text}: {{why}}", next_hop=uri, group=group, why=why)

    def engine(self, name: str, daemon: Daemon, up: bool, why: str) -> None:
        """A daemon of a media engine answers again, or no more."""
        tell = _log.info if up else _log.warn
        text = "answers: calls go there" if up else "rests: {why}; no call goes there until it answers"
        tell(f"rtpengine {{daemon}} of engine {{engine}} {text}", daemon=str(daemon), engine=name, why=why)

    def binding(self, binding: Binding, what: str) -> None:
        """Somebody is registered, or no more."""
        _log.info(
            "{aor} at {contact} by {listener} from {source}: {what}",
            aor=_short(binding.aor),
            contact=_short(binding.contact),
            listener=binding.flow.listener.name,
            source=_source(binding.flow),
            what=what,
        )

    def no_way(self, request: Request, why: str) -> None:
        """A next hop could not be reached."""
        _log.warn(
            "{method} {uri}: {why}; Call-ID {call_id_in}",
            method=_short(request.method),
            uri=_short(request.uri_text),
            why=why,
            call_id_in=_short(request.call_id),
        )

    def unproved(self, flow: Flow, realm: str, user: str, why: str) -> None:
        """A trunk does not take our credentials; the password is in no line."""
        _log.error(
            "{source} asks for credentials of realm {realm}, and ours, of user {user}, do not do: {why}",
            source=f"{flow.listener.transport}:{bracketed(flow.host)}:{flow.port}",
            realm=_short(realm),
            user=user,
            why=why,
        )

    def registered(self, aor: str, registrar: str, up: bool, why: str) -> None:
        """We are registered with a carrier, or are not any more."""
        tell = _log.info if up else _log.warn
        text = "registered" if up else "not registered"
        tell(f"{{aor}} is {text} at {{registrar}}: {{why}}", aor=aor, registrar=registrar, why=_short(why))

    def leak(self, flow: Flow, message: str, finding: Finding, done: str) -> None:
        """A message to a peer named what is another zone's."""
        if not self._floods.allows(flow.host):
            return
        _log.warn(
            "leak to zone {zone}: {kind} {found} in {header} of {message} to {peer} at {listener}; {done}",
            zone=flow.listener.zone,
            kind=finding.kind,
            found=_short(finding.text),
            header=_short(finding.header),
            message=_short(message),
            peer=_source(flow),
            listener=flow.listener.name,
            done=done,
        )

    def script_failed(self, request: Request) -> None:
        """The operator's policy raised."""
        _log.failure(
            "the policy script failed for {method} {uri}; Call-ID {call_id_in}",
            method=_short(request.method),
            uri=_short(request.uri_text),
            call_id_in=_short(request.call_id),
        )

    def crashed(self, request: Request) -> None:
        """A fault of ours."""
        _log.failure(
            "{method} {uri} could not be served; Call-ID {call_id_in}",
            method=_short(request.method),
            uri=_short(request.uri_text),
            call_id_in=_short(request.call_id),
        )


def _starts(call: Fields) -> str:
    return (
        f"call {call['call']} starts: {call['caller']} by {call['listener_in']} -> {call['callee']} "
        f"by {call['listener_out']}; rule {call['rule']}; {_call_ids(call)}"
    )


def _answers(call: Fields) -> str:
    return f"call {call['call']} answered after {call['rang']:.1f} s; {_call_ids(call)}"


def _ends(call: Fields) -> str:
    media = f" {heard_by(call)};" if "media" in call else ""
    return f"call {call['call']} ended: {call['why']}; talked {call['talked']:.1f} s;{media} {_call_ids(call)}"


def _call_ids(fields: Fields) -> str:
    return f"Call-IDs {fields['call_id_in']} | {fields['call_id_out']}"


class Floods:
    """Keeps one source from filling the log: so many lines a second, then one that says how many more there were."""

    LINES = 20  # a second, of faults and refusals of one source
    SOURCES = 1024  # watched at a time

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = 0
        self._counts: dict[str, int] = {}

    def allows(self, source: str) -> bool:
        """Whether there may be another line about this source."""
        second = int(self._now())
        if second != self._second or len(self._counts) >= self.SOURCES:
            self._second = second
            counts, self._counts = self._counts, {}
            for host, count in counts.items():
                if count > self.LINES:
                    _log.warn("{count} more lines about {source} are left out", count=count - self.LINES, source=host)
        count = self._counts[source] = self._counts.get(source, 0) + 1
        return count <= self.LINES


def _short(text: str) -> str:
    """What a peer wrote, cut where it is too long for a line."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _source(flow: Flow) -> str:
    return f"{flow.listener.transport}:{bracketed(flow.host)}:{flow.port}"


def escaped(text: str) -> str:
    """Text with every control character, and what is not UTF-8, written so that it acts on no terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


@implementer(ILogObserver)
class LogObserver:
    """Writes events to a stream, one line each: `time level text`, or one JSON object."""

    def __init__(self, stream: Callable[[], IO[str]], form: str = "text", level: str = "info") -> None:
        self._stream = stream
        self._as_json = form == "json"
        self._least = _RANK[LogLevel.levelWithName(level)]
        self._second = (0, "")
        self._lines: list[str] = []

    def __call__(self, event: dict[str, Any]) -> None:
        level: Any = event.get("log_level", LogLevel.info)
        if _RANK[level] < self._least:
            return
        if level is LogLevel.info and str(event.get("log_namespace", "")).startswith(_CHATTER):
            return
        self._lines.append(self._json(event, level.name) if self._as_json else self._text(event, level.name))
        if not event.get("log_more"):  # a bundle is written at its end
            lines, self._lines = self._lines, []
            stream = self._stream()
            stream.write("\n".join(lines) + "\n")
            stream.flush()

    def _time(self, event: dict[str, Any]) -> str:
        at = float(event.get("log_time", 0.0))
        second = int(at)
        if second != self._second[0]:  # lines come many in a second
            self._second = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second[1]}.{int((at - second) * 1000):03}Z"

    def _text(self, event: dict[str, Any], level: str) -> str:
        line = f"{self._time(event)} {level:<5} {escaped(_message(event))}"
        return f"{line}\n{_traceback(event)}" if "log_failure" in event else line

    def _json(self, event: dict[str, Any], level: str) -> str:
        fields: dict[str, Any] = {"time": self._time(event), "level": level, "text": escaped(_message(event))}
        for name, value in event.items():
            if name not in fields and not name.startswith("log_") and isinstance(value, (str, int, float)):
                fields[name] = value
        if "log_failure" in event:
            fields["traceback"] = _traceback(event)
        return json.dumps(fields, ensure_ascii=True)


def _message(event: dict[str, Any]) -> str:
    text = event.get("text")
    return text if isinstance(text, str) else formatEvent(event)


def _traceback(event: dict[str, Any]) -> str:
    """Each line escaped: what a peer sent may be quoted in it."""
    return "\n".join(escaped(line) for line in event["log_failure"].getTraceback().splitlines())
