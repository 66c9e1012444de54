"""What an operator can ask and do in the manhole. Every command prints and returns nothing.

Where does a command get its numbers? From the hall, the switchboard and the routes of the running `Border`, which is on
the `Desk` with what else all sessions share.
"""

from __future__ import annotations

import inspect
import resource
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from twisted.logger import Logger

from b2bua.call.call import Call, Phase
from b2bua.call.media import Medium
from b2bua.net.garbage import resident
from b2bua.ops.bound import BINDINGS, NO_REGISTRAR, binding_rows
from b2bua.ops.desk import Desk, Say
from b2bua.ops.enrolled import REGISTRATIONS, registration_rows
from b2bua.ops.explain import CannotAsk, Explanation, Question, explain
from b2bua.ops.ladder import ladder
from b2bua.ops.legs import leg_rows, media_table, peer_of, way_of
from b2bua.ops.log import escaped
from b2bua.ops.standing import ENGINES, LIMITS, MEMBERS, engine_rows, limit_rows, member_rows
from b2bua.ops.subscribed import HEADS, subscription_rows
from b2bua.ops.tables import beside, counted, details, span, table
from b2bua.ops.terminal import NARROWEST, Look
from b2bua.sip.grammar import bracketed
from b2bua.transaction.transaction import ClientTransaction

SHOWN = 100  # rows of a table, unless more are asked for
MANY = 3  # arguments that may be left out: help() does not name so many


# What an argument must be, by its annotation.
_KINDS: Mapping[str, tuple[type, str]] = {
    "str": (str, "a text in quotes"),
    "int": (int, "a whole number"),
    "bool": (bool, "True or False"),
    "Sequence[str]": (Sequence, "a text in quotes, or a list of them"),
}


class NoSuchCall(Exception):
    """A call's id that none has; the text is for the operator."""


class Command:
    """One command as the session has it: what it cannot do is said, not raised; named without brackets, it says how."""

    __slots__ = ("_method", "_say", "called", "bare")

    def __init__(self, name: str, method: Callable[..., None], say: Say) -> None:
        self._method = method
        self._say = say
        self.called = _called(name, method)
        self.bare = not inspect.signature(method).parameters

    def __call__(self, *arguments: Any, **named: Any) -> None:
        if wrong := _wrong(self._method, arguments, named):
            self._say(f"{self.called}: {wrong}")
            return
        try:
            self._method(*arguments, **named)
        except NoSuchCall as error:
            self._say(str(error))

    def __repr__(self) -> str:
        return f"{self.called}: {inspect.getdoc(self._method)}"


class Commands:
    """The commands of one session. `say` prints; `later` prints too, but when no command is running.

    `width` tells how many columns the terminal has. `leave` ends the session.
    """

    NAMES: ClassVar = (
        "calls", "show", "ladder", "trace", "untrace", "hangup", "subscriptions", "transactions", "listeners",
        "groups", "bindings", "registrations", "engines", "limits", "leaks", "explain", "stats", "unregister", "drain",
        "undrain", "help", "quit",
    )  # fmt: skip
    # Whose first argument is a call's id.
    OF_A_CALL: ClassVar = frozenset({"show", "ladder", "trace", "untrace", "hangup"})
    log = Logger()

    def __init__(
        self,
        desk: Desk,
        say: Say,
        later: Say,
        width: Callable[[], int],
        leave: Callable[[], None],
        user: str = "",
    ) -> None:
        self.user = user or "somebody"
        self._desk = desk
        self._border = desk.border
        self._hall = desk.border.hall
        self._board = desk.border.switchboard
        self._tracer = desk.tracer
        self._say = say
        self._later = later
        self._width = width
        self._leave = leave

    def namespace(self) -> dict[str, Any]:
        """What a session finds by name: the commands, and the border for whoever wants to look deeper."""
        commands = {name: Command(name, method, self._say) for name, method in self._methods()}
        return {**commands, "border": self._border}

    def _methods(self) -> list[tuple[str, Callable[..., None]]]:
        methods: Sequence[Callable[..., None]] = (
            self.calls, self.show, self.ladder, self.trace, self.untrace, self.hangup, self.subscriptions,
            self.transactions, self.listeners, self.groups, self.bindings, self.registrations, self.engines,
            self.limits, self.leaks, self.explain, self.stats, self.unregister, self.drain, self.undrain, self.help,
            self.quit,
        )  # fmt: skip
        return list(zip(self.NAMES, methods, strict=True))

    def call_ids(self) -> list[str]:
        """The ids of all calls, for completion."""
        return [call.id for call in self._hall.book]

    # Looking

    def calls(self, match: str = "", limit: int = SHOWN) -> None:
        """The calls there are; with a text, those that have it in id, phase, caller, callee or a listener's name."""
        now = self._board.now()
        rows = []
        for call in self._hall.book:
            row = (
                call.id,
                call.phase.value,
                span(now - call.created),
                call.near.remote,
                call.far.remote if call.far is not None else call.near.local,
                call.near.listener.name,
                call.far.listener.name if call.far is not None else "",
            )
            if match in " ".join(map(str, row)):
                rows.append(row)
        if rows:
            self._say(table(("id", "phase", "age", "from", "to", "in", "out"), rows[-limit:]))
        more = f", the last {limit} of them above" if len(rows) > limit else ""
        self._say(f"{counted(len(rows), 'call')}{more}")

    def show(self, call_id: str) -> None:
        """One call: both legs side by side, its rule, and why it leaves where it does."""
        call = self._call(call_id)
        now = self._board.now()
        answered = span((call.ended_at or now) - call.answered_at) if call.answered_at else ""
        ended = f": {call.ending}" if call.phase is Phase.ENDED else ""
        head = [
            ("call", call.id),
            ("phase", call.phase.value + ended),
            ("age", f"{span(now - call.created)}{f', answered {answered}' if answered else ''}"),
            ("rule", call.rule),
            ("why", call.why),
        ]
        if len(call.pairs) > 1:
            head.append(("forks", f"{len(call.pairs)} early dialogs, the first one below"))
        if call.id in self._tracer:
            head.append(("trace", "on"))
        self._say(details(head, width=self._width()))
        near, far = leg_rows(call.near), leg_rows(call.far)
        rows = [(name, left, right) for (name, left), (_, right) in zip(near, far, strict=True)]
        self._say("\n" + beside(("caller's leg", "callee's leg"), rows, self._width()))
        self._media(call)

    def _media(self, call: Call) -> None:
        """What is known of a call's media, as soon as it is."""

        def tell(media: Sequence[Medium]) -> None:
            if media:
                self._later("\n" + media_table(media))

        if self._hall.media is not None:
            self._hall.media.report(call, tell)

    def ladder(self, call_id: str) -> None:
        """One call's messages in time: caller, bridge, callee."""
        call = self._call(call_id)
        near, far = call.near, call.far
        sent_by = f"{near.listener.sent_by} | {far.listener.sent_by if far is not None else '-'}"
        heads = (("caller", way_of(near)), ("bridge", sent_by), ("callee", way_of(far)))
        self._say(ladder(call.history, heads, Look(max(NARROWEST, self._width()), colour=True)))
        self._media(call)

    def subscriptions(self, match: str = "", limit: int = SHOWN) -> None:
        """The subscriptions there are, also those inside calls; with a text, those that have it in a column."""
        rows = [row for row in subscription_rows(self._hall.book, self._board.now()) if match in " ".join(row)]
        if rows:
            self._say(table(HEADS, rows[-limit:]))
        more = f", the last {limit} of them above" if len(rows) > limit else ""
        self._say(f"{counted(len(rows), 'subscription')}{more}")

    def transactions(self, match: str = "", limit: int = SHOWN) -> None:
        """The transactions there are; with a text, those that have it in a column."""
        rows = []
        for each in self._board.transactions:
            side = "client" if isinstance(each, ClientTransaction) else "server"
            row = (side, each.method, each.state.name.lower(), each.flow.listener.name, peer_of(each.flow),
                   each.request.call_id, each.request.via.branch)  # fmt: skip
            if match in " ".join(row):
                rows.append(row)
        if rows:
            self._say(table(("side", "method", "state", "listener", "peer", "Call-ID", "branch"), rows[:limit]))
        more = f", the first {limit} of them above" if len(rows) > limit else ""
        self._say(f"{counted(len(rows), 'transaction')}{more}")

    def listeners(self) -> None:
        """Our sockets: where each is bound, what it shows of itself, and how many calls use it."""
        used: Counter[str] = Counter()
        for call in self._hall.book:
            used.update(leg.listener.name for leg in (call.near, call.far) if leg is not None)
        rows = [
            (each.name, each.zone, each.transport, f"{bracketed(each.address)}:{each.port}", each.sent_by,
             each.device, used[each.name])
            for each in self._board.listeners
        ]  # fmt: skip
        self._say(table(("name", "zone", "transport", "bound to", "shown as", "device", "calls"), rows))

    def groups(self, match: str = "") -> None:
        """The members of the groups: whether each is up or rests, since when, its last answer, what was sent to it."""
        found = member_rows(self._hall.groups, self._board.now())
        rows = [row for row in found if match in " ".join(map(str, row))]
        if rows:
            self._say(table(MEMBERS, rows))
        self._say(counted(len(rows), "member"))

    def bindings(self, aor: str = "", limit: int = SHOWN) -> None:
        """Who is registered, from where and by which listener; with a text, those that have it in a column."""
        lookup = self._hall.lookup
        if lookup is None:
            self._say(NO_REGISTRAR)
            return
        rows, count = binding_rows(lookup.bindings, self._board.now(), aor, limit)
        if rows:
            self._say(table(BINDINGS, rows))
        more = f", the first {limit} of them above" if count > limit else ""
        self._say(f"{counted(count, 'binding')}{more}")

    def registrations(self, match: str = "") -> None:
        """Where we are registered with carriers: since when, until when, the next try, and the last answer."""
        found = registration_rows(self._hall.enrolments, self._board.now())
        rows = [row for row in found if match in " ".join(map(str, row))]
        if rows:
            self._say(table(REGISTRATIONS, rows))
        self._say(counted(len(rows), "registration"))

    def engines(self) -> None:
        """Who carries media: the relay's ports, the daemons of each engine, and how many sessions each of them has."""
        rows = engine_rows(self._border.relay, self._border.rtpengines)
        self._say(table(ENGINES, rows) if rows else "no media is anchored")

    def limits(self) -> None:
        """What is let in by zone, by route and by source: calls there are, what may be, and how many were refused."""
        rows = limit_rows(self._hall.admission, self._board.sources)
        self._say(table(LIMITS, rows) if rows else "there is no limit")

    def leaks(self) -> None:
        """Where messages named what is another zone's: zone, header, kind, peer, how often; and each zone's mode."""
        guard = self._board.guard
        if guard is None:
            self._say("there is one zone only: nothing can leak from one to another")
            return
        guard.look()
        if guard.counts:
            rows = [(*place, number) for place, number in guard.counts.most_common()]
            self._say(table(("to zone", "header", "what", "peer", "times"), rows))
        modes = ", ".join(f"{zone}: {mode}" for zone, mode in sorted(guard.modes.items()))
        self._say(f"{counted(guard.counts.total(), 'leak')}; what becomes of one, by zone: {modes}")

    def explain(
        self,
        uri: str,
        zone: str = "",
        listener: str = "",
        method: str = "INVITE",
        source: str = "",
        headers: Sequence[str] = (),
    ) -> None:
        """What would become of a request to a URI: rule, listener, route, Via and Contact. Nothing is sent."""
        question = Question(uri, method, zone, listener, source, [headers] if isinstance(headers, str) else headers)
        routes = self._border.routes
        try:
            lookup = routes.lookup if routes else None
            asked = explain(
                self._border.configuration, self._board, question, lookup, self._hall.groups, self._hall.lookup
            )
        except CannotAsk as error:
            self._say(str(error))
            return
        told = self._say
        if not asked.called:
            self._say("looking up names ...")
            told = self._later

        def tell(explanation: Explanation) -> None:
            told(explanation.text())
            if self._hall.draining:
                told("\nThe bridge is draining: until undrain() every new call is answered 503")

        def failed(failure: Any) -> None:
            told(f"it cannot be explained: {failure.getErrorMessage()}")

        asked.addCallback(tell).addErrback(failed)

    def stats(self) -> None:
        """Numbers: calls, subscriptions, transactions, streams, timers, memory, uptime."""
        phases = Counter(call.phase for call in self._hall.book)
        transactions = Counter(isinstance(each, ClientTransaction) for each in self._board.transactions)
        streams = len(self._board.connections) if self._board.connections is not None else 0
        routes = self._border.routes
        usage = resource.getrusage(resource.RUSAGE_SELF)
        rows = [
            ("calls", ", ".join(f"{phases[phase]} {phase.value}" for phase in Phase)),
            ("subscriptions", len(self._hall.book.subscriptions)),
            ("draining", "yes: new calls are answered 503" if self._hall.draining else "no"),
            ("traced calls", len(self._tracer)),
            ("transactions", f"{transactions[True]} client, {transactions[False]} server"),
            ("streams", streams),
            ("dropped responses", f"{self._board.dropped} that answered nothing of ours"),
            ("strange datagrams", f"{self._board.strange} that begin like STUN and are no question"),
            ("timers", len(self._board.wheel)),
            ("remembered routes", len(routes) if routes is not None else "the kernel cannot be asked"),
            ("memory", f"{resident() / 1e6:.1f} MB resident, {usage.ru_maxrss * 1024 / 1e6:.1f} MB at most"),
            ("processor time", f"{usage.ru_utime + usage.ru_stime:.1f} s"),
            ("uptime", span(self._board.now() - self._desk.started)),
        ]
        self._say(details(rows))

    # Doing

    def hangup(self, call_id: str) -> None:
        """End one call: BYE on both sides, or a refusal and CANCEL while it is not answered."""
        call = self._call(call_id)
        if call.phase is Phase.ENDED:
            self._say(f"call {call.id} has ended already: {call.ending}")
            return
        self.log.info("{user} hangs up call {call}", user=self.user, call=call.id)
        call.hang_up("hung up from the manhole")
        self._say(f"call {call.id} is hung up")

    def trace(self, call_id: str = "", here: bool = True) -> None:
        """Every message of one call from now on, to the log and to this terminal (here=False: the log only)."""
        if not call_id:
            self._say("\n".join(f"traced: {each}" for each in self._tracer) or "no call is traced")
            return
        call = self._call(call_id)
        self._tracer.start(call, self._later if here else None)
        self._say(f"call {call.id} is traced until it ends or untrace({call.id!r})")

    def untrace(self, call_id: str = "") -> None:
        """Trace a call no longer; without an id, none at all."""
        stopped = [each for each in self._tracer if each.startswith(call_id) and self._tracer.stop(each)]
        self._say("\n".join(f"no longer traced: {each}" for each in stopped) or "no such call is traced")

    def unregister(self, aor: str) -> None:
        """Take every binding of a user away; phones may register again."""
        lookup = self._hall.lookup
        if lookup is None:
            self._say(NO_REGISTRAR)
            return
        known = list(lookup.bindings.of(aor))
        for binding in known:
            lookup.bindings.remove(binding, "unregistered from the manhole")
        if known:
            self.log.info("{user} unregisters {aor}", user=self.user, aor=aor)
        self._say(
            f"{counted(len(known), 'binding')} of {aor} taken away" if known else f"nobody is registered as {aor}"
        )

    def drain(self, then_stop: bool = False) -> None:
        """Refuse new calls with 503; those that are up go on. With then_stop=True the bridge ends with the last."""
        drain = self._desk.drain
        self.log.info("{user} drains the bridge: no new calls; {left} go on", user=self.user, left=drain.left)
        after = ", then the bridge ends" if then_stop else ""
        self._say(f"draining: no new calls; {counted(drain.left, 'call')} to wait for{after}; undrain() takes it back")
        drain.begin(then_stop, self._later)

    def undrain(self) -> None:
        """Take new calls again."""
        if self._hall.draining:
            self._desk.drain.end()
            self.log.info("{user} lets the bridge take new calls again", user=self.user)
        self._say("new calls are taken")

    def help(self, command: object = None) -> None:
        """This list; help(calls) tells of one command."""
        if isinstance(command, str) and command in self.NAMES:
            command = self.namespace()[command]
        if command is not None:
            about = (
                repr(command) if isinstance(command, Command) else inspect.getdoc(command) or "nothing is known of it"
            )
            self._say("\n".join(map(escaped, about.splitlines())))
            return
        lines = [(_called(name, method, MANY), inspect.getdoc(method)) for name, method in self._methods()]
        self._say(details(lines, width=self._width()))
        self._say("\nIds may be cut short where they are unique; TAB completes names and ids. Ctrl-D ends the session.")
        self._say("This is Python, inside the bridge: border is the running service.")

    def quit(self) -> None:
        """End this session."""
        self._leave()

    def _call(self, call_id: str) -> Call:
        if not call_id:
            raise NoSuchCall("the id of a call is missing; calls() lists them")
        call = self._hall.book.call(call_id)
        if call is None:
            raise NoSuchCall(f"no call has the id {call_id}, or more than one begins so; calls() lists them")
        return call


def _wrong(method: Callable[..., None], arguments: Sequence[Any], named: Mapping[str, Any]) -> str:
    """What is wrong with the arguments: their number, their names, their kinds."""
    signature = inspect.signature(method)
    parameters = signature.parameters
    for name, value in [*zip(parameters, arguments, strict=False), *named.items()]:
        kind, words = _KINDS.get(str(parameters[name].annotation) if name in parameters else "", (object, ""))
        texts = value if isinstance(value, (list, tuple)) else ()
        if not isinstance(value, kind) or not all(isinstance(each, str) for each in texts):
            return f"{name} is {words}, not {value!r}"
        if kind is int and isinstance(value, int) and value < 0:
            return f"{name} is not negative"
    try:
        signature.bind(*arguments, **named)
    except TypeError as wrong:
        return str(wrong)
    return ""


def _called(name: str, method: Callable[..., None], many: int = 99) -> str:
    """`show(call_id)`: how a command is called; what may be left out is in square brackets, dots where it is `many`."""
    parameters = inspect.signature(method).parameters.values()
    needed = [each.name for each in parameters if each.default is each.empty]
    others = [each.name for each in parameters if each.default is not each.empty]
    if len(others) >= many:
        others = ["..."]
    inner = ", ".join(needed) + (f"[{', ' * bool(needed)}{', '.join(others)}]" if others else "")
    return f"{name}({inner})"
