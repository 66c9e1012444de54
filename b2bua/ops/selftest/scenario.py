"""A scenario as values, read from its ladder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PHONES = ("alice", "bob", "carol")

_MESSAGE = re.compile(
    r"(?P<phone>[a-z]+)(?P<device>[0-9]?)\s+(?P<arrow>->|<-)\s+(?P<label>(?:[1-6][0-9]{2} )?[A-Z]+)"
    r"(?P<words>(?: [a-z]+)*)(?: \[(?P<call>\w+)\])?"
)
_WIRE = re.compile(
    r"(?P<verb>lose|double|delay|reorder)(?: (?P<times>[0-9]+ of|every))? (?P<label>(?:[1-6][0-9]{2} )?[A-Z]+)"
    r" (?P<way>to|from) (?P<phone>[a-z]+)(?: by (?P<seconds>[0-9.]+))?"
)
_SHAKE = re.compile(r"wires lose (?P<lose>[0-9]+) %, double (?P<double>[0-9]+) %, delay (?P<delay>[0-9.]+)")
_PAUSE = re.compile(r"after (?P<number>[0-9.]+)(?P<unit>\*T1| s)")
_CALL = re.compile(r"(?P<caller>[a-z]+) calls (?P<callee>[a-z]+)(?: \[(?P<call>\w+)\])?")
_STANDING = re.compile(r"(?P<phone>[a-z]+) answers (?P<method>[A-Z]+) with (?P<status>[2-6][0-9]{2})")
_HEADER = re.compile(r"(?P<name>[A-Za-z][\w-]*)(?:: *(?P<value>.+))?")
_DIRECTIONS = ("", "sendrecv", "sendonly", "recvonly", "inactive")
_EVERY = 10**6


# "alice calls bob": an answered call.
_ANSWERED = """\
{caller} -> INVITE {callee}
{callee} <- INVITE
{callee} -> 180 INVITE
{caller} <- 180 INVITE
{callee} -> 200 INVITE
{caller} <- 200 INVITE
{caller} -> ACK
{callee} <- ACK"""


class ScenarioError(ValueError):
    """A ladder that cannot be read: its file, line, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What is said below a message. `kind` is "header", "without" (a header), "sdp", "no sdp" or "body".

    `value` is the header's value, empty for any; the SDP's direction; the text that the body begins with.
    """

    kind: str
    name: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """`bob2 <- BYE [second]`: a message that a phone, or one device of several behind it, sends or gets in a call."""

    line: int
    text: str
    phone: str
    device: str
    inward: bool
    label: str
    target: str = ""  # who is called, for a request outside any dialog
    call: str = ""
    again: bool = False
    referred: bool = False
    details: tuple[Detail, ...] = ()

    @property
    def method(self) -> str:
        """The request's method, or that of the request that is answered."""
        return self.label.rpartition(" ")[2]

    @property
    def status(self) -> int:
        """0 for a request."""
        return int(self.label[:3]) if " " in self.label else 0


@dataclass(frozen=True, slots=True)
class AnyOrder:
    """Messages that come in any order."""

    line: int
    text: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Wire:
    """What becomes of the next messages of one kind on the way to (`inward`) or from a phone."""

    line: int
    text: str
    verb: str
    label: str
    inward: bool
    phone: str
    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Shake:
    """From here on every wire loses, doubles and delays by chance."""

    line: int
    text: str
    lose: float
    double: float
    delay: float


@dataclass(frozen=True, slots=True)
class Standing:
    """From here on a phone answers a method by itself, if it is asked at all, which the ladder leaves open."""

    line: int
    text: str
    phone: str
    method: str
    status: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Time passes: seconds, of which 0.5 are one T1."""

    line: int
    text: str
    seconds: float


Step = Message | AnyOrder | Wire | Shake | Standing | Pause


@dataclass(frozen=True, slots=True)
class Scenario:
    """One ladder. `title` is its first line; `notes` what else stands before the first step."""

    name: str
    title: str
    notes: str
    slow: bool
    steps: tuple[Step, ...]

    @property
    def phones(self) -> tuple[str, ...]:
        """Who plays."""
        used = {message.phone for message in self.messages()}
        return tuple(name for name in PHONES if name in used)

    @property
    def targets(self) -> tuple[str, ...]:
        """Who is called."""
        called = {message.target for message in self.messages() if message.target}
        return tuple(sorted(called))

    @property
    def wired(self) -> bool:
        """Whether anything is done to the wires: only datagrams can be lost."""
        return any(isinstance(step, Wire | Shake) for step in self.steps)

    def messages(self) -> Iterator[Message]:
        """Every message, in order."""
        for step in self.steps:
            if isinstance(step, Message):
                yield step
            elif isinstance(step, AnyOrder):
                yield from step.messages


def read(path: Path) -> Scenario:
    """The scenario in a file; ScenarioError where it cannot be read."""
    return Reader(path.stem, path.read_text(encoding="utf-8")).scenario()


class Reader:
    """Reads one ladder, line by line."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines = text.splitlines()
        self._number = 0
        self._title: list[str] = []
        self._slow = False
        self._steps: list[Step] = []
        self._block: list[Message] | None = None

    def scenario(self) -> Scenario:
        """All of it."""
        for number, line in enumerate(self._lines, 1):
            self._number = number
            self._line(line)
        self._close_block()
        if not self._title or not self._steps:
            raise self._wrong("a scenario has a title (its first comment) and steps")
        title, notes = self._title[0], "\n".join(self._title[1:])
        return Scenario(self._name, title, notes, self._slow, tuple(self._steps))

    def _wrong(self, why: str) -> ScenarioError:
        return ScenarioError(f"{self._name}.ladder, line {self._number}: {why}")

    def _line(self, line: str) -> None:
        text = line.split("  #")[0].strip()  # a comment on the line stands two blanks apart: URIs may hold a #
        if line.startswith("#"):
            if not self._steps:
                self._title.append(line.lstrip("# ").rstrip())
        elif not text:
            return
        elif line[0] in " \t":
            self._indented(text)
        else:
            self._close_block()
            self._top(text)

    def _top(self, text: str) -> None:
        if text == "slow":
            self._slow = True
        elif text == "in any order":
            self._block = []
        elif found := _CALL.fullmatch(text):
            self._answered(found)
        elif found := _PAUSE.fullmatch(text):
            seconds = float(found["number"]) * (0.5 if found["unit"] == "*T1" else 1.0)
            self._steps.append(Pause(self._number, text, seconds))
        elif found := _WIRE.fullmatch(text):
            self._steps.append(self._wire(text, found))
        elif found := _STANDING.fullmatch(text):
            phone = self._phone(found["phone"])
            self._steps.append(Standing(self._number, text, phone, found["method"], int(found["status"])))
        elif found := _SHAKE.fullmatch(text):
            lose, double, delay = int(found["lose"]) / 100, int(found["double"]) / 100, float(found["delay"])
            self._steps.append(Shake(self._number, text, lose, double, delay))
        else:
            self._steps.append(self._message(text))

    def _answered(self, found: re.Match[str]) -> None:
        call = f" [{found['call']}]" if found["call"] else ""
        for line in _ANSWERED.format(**found.groupdict()).splitlines():
            self._steps.append(self._message(line + call))

    def _wire(self, text: str, found: re.Match[str]) -> Wire:
        times = _EVERY if found["times"] == "every" else int((found["times"] or "1").split()[0])
        seconds = float(found["seconds"] or 0.0)
        if (found["verb"] == "delay") is not bool(seconds):
            raise self._wrong('only a delay, and each delay, says "by" how many seconds')
        inward = found["way"] == "to"
        return Wire(
            self._number, text, found["verb"], found["label"], inward, self._phone(found["phone"]), times, seconds
        )

    def _phone(self, name: str) -> str:
        if name not in PHONES:
            raise self._wrong(f"{name} is no phone; there are: {', '.join(PHONES)}")
        return name

    def _message(self, text: str) -> Message:
        found = _MESSAGE.fullmatch(" ".join(text.split()))
        if found is None:
            raise self._wrong(f'"{text}" is no step')
        words = found["words"].split()
        flags = {word for word in words if word in ("again", "referred")}
        targets = [word for word in words if word not in flags]
        inward = found["arrow"] == "<-"
        if len(targets) > 1 or ((targets or "referred" in flags) and (inward or " " in found["label"])):
            raise self._wrong("only a request that is sent names one whom it calls")
        return Message(
            self._number,
            " ".join(text.split()),
            self._phone(found["phone"]),
            found["device"],
            inward,
            found["label"],
            targets[0] if targets else "",
            found["call"] or "",
            "again" in flags,
            "referred" in flags,
        )

    def _indented(self, text: str) -> None:
        if _MESSAGE.fullmatch(" ".join(text.split())):
            if self._block is None:
                raise self._wrong('an indented step stands below "in any order"')
            message = self._message(text)
            if not message.inward:
                raise self._wrong("only what comes can come in any order")
            self._block.append(message)
            return
        place: list[Message] | list[Step] = self._steps if self._block is None else self._block
        last = place[-1] if place else None
        if not isinstance(last, Message):
            raise self._wrong(f'"{text}" stands below no message')
        place[-1] = _with(last, self._detail(text, last.inward))

    def _detail(self, text: str, inward: bool) -> Detail:
        kind, _, rest = text.partition(" ")
        if text == "no sdp":
            return Detail("no sdp")
        if kind == "no":
            return Detail("without", rest)
        if kind == "sdp":
            if rest not in _DIRECTIONS:
                raise self._wrong(f"{rest} is no direction of media")
            return Detail("sdp", value=rest)
        if kind == "body":
            name, _, value = rest.partition(": ")
            return Detail("body", name, value)
        found = _HEADER.fullmatch(text)
        if found is None or (not inward and not found["value"]):
            raise self._wrong(f'"{text}" is no header')
        return Detail("header", found["name"], found["value"] or "")

    def _close_block(self) -> None:
        if self._block is None:
            return
        if len(self._block) < 2:
            raise self._wrong('"in any order" needs two steps at least')
        self._steps.append(AnyOrder(self._block[0].line, "in any order", tuple(self._block)))
        self._block = None


def _with(message: Message, detail: Detail) -> Message:
    fields = {name: getattr(message, name) for name in Message.__slots__}
    return Message(**{**fields, "details": (*message.details, detail)})


def headers_of(details: Sequence[Detail]) -> dict[str, list[str]]:
    """The headers that a message is sent with besides its own."""
    found: dict[str, list[str]] = {}
    for detail in details:
        if detail.kind == "header":
            found.setdefault(detail.name, []).append(detail.value)
    return found
