"""Two phones do anything, legal or not, over bad wires: hypothesis looks for the order of events that breaks it all.

After each run time passes, and then five things hold: no call and no leg is left, no transaction lives after 64·T1 and
five seconds, every 2xx that reached the bridge has its ACK, nothing of one side is in what the other got, and
everything that the bridge said is grammatical. Where test_call_chaos rolls dice, this one comes down to the shortest
run that fails.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.anchoring import Anchors
from b2bua.call.media import unanchored
from b2bua.ops.phone import Dialog
from b2bua.ops.phonedialog import of_type
from b2bua.ops.selftest.stage import Passed
from b2bua.ops.selftest.verdict import problems
from b2bua.policy.media import AUTO, Anchoring
from b2bua.sip.message import Request
from tests.engine import Studio
from tests.world import TWO_SIDES, Packet, Party, World, read

EXAMPLES, STEPS = int(os.environ.get("EXAMPLES", "150")), 30
URI = "sip:bob@biloxi.example"
LIMITS = "[call]\nring_timeout = 60\nmax_duration = 120\nprobe = 0\n"
CONFIGURATION = read(TWO_SIDES + LIMITS, {})
ZONES = {"alice": "public", "bob": "private"}
HOSTS = {"public": frozenset({"192.0.2.1", "192.0.2.20"}), "private": frozenset({"10.0.0.1", "10.0.0.20"})}
MEDIA = "198.51.100.7"  # where nobody is: media does not pass, and its address is no leak (RFC 5737)
RINGING = (100, 180, 183, 199)
REFUSALS = (302, 401, 408, 480, 481, 486, 488, 491, 500, 503, 603)
METHODS = ("INFO", "UPDATE", "OPTIONS", "MESSAGE", "FROB", "NOTIFY")
PAUSES = (0.01, 0.1, 0.3, 0.6, 1.0)  # together less than 64·T1: nothing is given up meanwhile
WIRES = ((0.0, 0.0, 0.0), (0.1, 0.2, 0.1), (0.4, 0.1, 0.3))  # loss, doubling, and delay, which also reorders
LATE, REFUSING = (0.0, 0.0, 0.001, 0.05, 0.7), 0.05  # seconds until an engine answers; how often it does so in vain
RACKS = ("1 1 INVITE", "4294967295 1 INVITE", "1 1 BYE", "x", "1 4294967296 INVITE")
GARBAGE = (
    b"", b"\r\n\r\n", b"\0" * 40, b"INVITE", b"INVITE sip:bob@192.0.2.1 SIP/2.0\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n",
    b"SIP/2.0 999 x\r\nVia: SIP/2.0/UDP x\r\n\r\n", b"BYE sip:x SIP/2.0\r\nCSeq: 1 INVITE\r\nCall-ID: a b\r\n\r\n",
)  # fmt: skip
# What a message that was sent before may become before it is sent once more.
DAMAGE = (
    (rb"tag=[^;\r]*", b"tag=wrong"), (rb"CSeq: [0-9]+", b"CSeq: 99999"), (rb"CSeq: [0-9]+", b"CSeq: 0"),
    (rb"\r\nCall-ID[^\r]*", b""), (rb"branch=[^;\r]*", b"branch=z9hG4bKwrong"), (rb"Contact: [^\r]*", b"Contact: *"),
    (rb"Content-Length: [0-9]+", b"Content-Length: 7"), (rb"\r\n\r\n.*", b"\r\n"), (rb"SIP/2.0 [12]..", b"SIP/2.0 600"),
)  # fmt: skip

phones = st.sampled_from(sorted(ZONES))
picks = st.integers(0, 4)
garbage = st.sampled_from(GARBAGE)


class Model(RuleBasedStateMachine):
    """One run. Each rule is something that a phone may do; what has no meaning at the moment is not done."""

    def __init__(self) -> None:
        super().__init__()
        self.world = world = World(CONFIGURATION)
        self.passed: list[Passed] = []
        self.faults: list[str] = []
        self.wire = WIRES[0]
        self.silent = False
        world.wires.rules.append(self.carry)
        for phone in world.phones:
            phone.media = MEDIA
        globalLogPublisher.addObserver(cast(ILogObserver, self.observe))

    def observe(self, event: Mapping[str, Any]) -> None:
        """An exception of ours, in the log."""
        if "log_failure" in event:
            self.faults.append(event["log_failure"].getTraceback())

    def carry(self, packet: Packet) -> Sequence[float]:
        """What becomes of a packet, which is taken down."""
        loss, double, delay = self.wire
        chance = self.world.chance
        copies = 0 if chance.random() < loss else 2 if chance.random() < double else 1
        if packet.phone is not None:
            user = packet.phone.user
            self.passed.append(Passed(self.world.clock.seconds(), user, packet.inward, packet.data, not copies))
        return [chance.random() * delay for _ in range(copies)]

    def phone(self, name: str) -> Party:
        """One of the two."""
        return self.world.alice if name == "alice" else self.world.bob

    def dialog(self, name: str, pick: int) -> Dialog | None:
        """One of a phone's calls, the newest for 0."""
        dialogs = self.phone(name).dialogs
        return dialogs[-1 - pick % len(dialogs)] if dialogs else None

    def asked(self, name: str, pick: int, invite: bool) -> tuple[Dialog, Request] | None:
        """Something that a phone was asked and has not answered."""
        fitting = [each for each in self.phone(name).open if (each[1].method == "INVITE") is invite]
        return fitting[-1 - pick % len(fitting)] if fitting else None

    def waits(self, invite: bool) -> bool:
        """Whether anybody was asked something."""
        return any((request.method == "INVITE") is invite for each in self.world.phones for _, request in each.open)

    def talks(self) -> bool:
        """Whether anybody is in a call, or was."""
        return any(phone.dialogs for phone in self.world.phones)

    # What may happen

    @initialize(silent=st.booleans(), wire=st.sampled_from(WIRES), up=st.booleans())
    def begin(self, silent: bool, wire: tuple[float, float, float], up: bool) -> None:
        """How good the wires are, whether a call is up, and whether the phones are polite in the end or dead."""
        if up:
            self.world.call()
        self.silent, self.wire = silent, wire

    @invariant()
    def at_once(self) -> None:
        """What is said gets as far as the wires let it before the next thing is done."""
        self.world.wait(0.002)

    @rule(seconds=st.sampled_from(PAUSES))
    def pause(self, seconds: float) -> None:
        """Time passes."""
        self.world.wait(seconds)

    @rule(wire=st.sampled_from(WIRES), name=phones, acks=st.booleans())
    def weather(self, wire: tuple[float, float, float], name: str, acks: bool) -> None:
        """The wires become better or worse; a phone acknowledges 2xx from here on, or does not."""
        self.wire = wire
        self.phone(name).acks = acks

    @rule(name=phones, offer=st.booleans())
    def invite(self, name: str, offer: bool) -> None:
        """A call, with an offer or without."""
        if len(self.phone(name).dialogs) < 4:
            self.phone(name).invite(URI, body=None if offer else b"")
            self.world.wait(0.02)

    @precondition(lambda self: self.waits(True))
    @rule(name=phones, pick=picks, status=st.sampled_from(RINGING), sdp=st.booleans())
    def ring(self, name: str, pick: int, status: int, sdp: bool) -> None:
        """A provisional response, reliable or not at all."""
        if found := self.asked(name, pick, True):
            body = found[0].sdp_for(found[1].body) if sdp and status == 183 else b""
            found[0].respond(found[1], status, body, of_type("application/sdp") if body else None)

    @precondition(lambda self: self.waits(True))
    @rule(name=phones, pick=picks, another=st.booleans())
    def answer(self, name: str, pick: int, another: bool) -> None:
        """200, perhaps by another device."""
        found = self.asked(name, pick, True)
        if found is None:
            return
        dialog, request = found
        if another and not request.to_tag and dialog.invitation is not None:
            dialog = self.phone(name).fork(dialog)
        else:
            self.phone(name).open.remove(found)
        body = dialog.sdp_for(request.body)
        dialog.respond(request, 200, body, of_type("application/sdp"))

    @precondition(lambda self: self.waits(True) or self.waits(False))
    @rule(name=phones, pick=picks, invite=st.booleans(), status=st.sampled_from(REFUSALS))
    def refuse(self, name: str, pick: int, invite: bool, status: int) -> None:
        """Any refusal of anything."""
        if found := self.asked(name, pick, invite):
            self.phone(name).open.remove(found)
            found[0].respond(found[1], status)

    @precondition(lambda self: self.waits(False))
    @rule(name=phones, pick=picks)
    def agree(self, name: str, pick: int) -> None:
        """200 to what is no INVITE."""
        if found := self.asked(name, pick, False):
            self.phone(name).open.remove(found)
            found[0].respond(found[1], 200)

    @precondition(lambda self: self.talks())
    @rule(name=phones)
    def cancel(self, name: str) -> None:
        """Take back whatever was asked last, answered or not."""
        for dialog in self.phone(name).dialogs[-1:]:
            if dialog.sent is not None and dialog.sent.request.method == "INVITE":
                dialog.cancel()

    @precondition(lambda self: self.talks())
    @rule(name=phones, pick=picks)
    def bye(self, name: str, pick: int) -> None:
        """Hang up, whatever state the call is in."""
        if dialog := self.dialog(name, pick):
            dialog.bye()

    @precondition(lambda self: self.talks())
    @rule(name=phones, pick=picks, offer=st.booleans())
    def reinvite(self, name: str, pick: int, offer: bool) -> None:
        """INVITE inside a call that may not be one any more."""
        if dialog := self.dialog(name, pick):
            dialog.reinvite("sendonly") if offer else dialog.ask("INVITE")

    @precondition(lambda self: self.talks())
    @rule(name=phones, pick=picks, method=st.sampled_from(METHODS), lower=st.integers(0, 3), sdp=st.booleans())
    def ask(self, name: str, pick: int, method: str, lower: int, sdp: bool) -> None:
        """Another request inside a call, perhaps with a CSeq that was there before."""
        if dialog := self.dialog(name, pick):
            dialog.cseq = max(0, dialog.cseq - lower)
            body = dialog.sdp() if sdp and method == "UPDATE" else b""
            dialog.ask(method, body, of_type("application/sdp") if body else None)
            dialog.cseq += lower

    @precondition(lambda self: self.talks())
    @rule(name=phones, pick=picks, kind=st.sampled_from(("ack", "rack", "local", "remote")), number=picks)
    def forge(self, name: str, pick: int, kind: str, number: int) -> None:
        """A request that belongs to nothing: an ACK out of order, a PRACK for what nobody said, a tag of nobody's."""
        dialog, phone = self.dialog(name, pick), self.phone(name)
        if dialog is None:
            return
        if kind == "ack":
            phone.put(bytes(dialog.request("ACK", max(0, dialog.cseq + number - 2))), dialog.way())
        elif kind == "rack":
            dialog.ask("PRACK", headers={"RAck": [RACKS[number % len(RACKS)]]})
        else:
            tags = dialog.local_tag, dialog.remote_tag
            dialog.local_tag, dialog.remote_tag = ("wrong", tags[1]) if kind == "local" else (tags[0], "wrong")
            dialog.ask("INFO")
            dialog.local_tag, dialog.remote_tag = tags

    @rule(name=phones, back=st.integers(1, 8), damage=st.none() | st.sampled_from(DAMAGE), other=st.none() | garbage)
    def repeat(self, name: str, back: int, damage: tuple[bytes, bytes] | None, other: bytes | None) -> None:
        """Something that was said before, once more, whole or damaged; or what is no SIP at all."""
        phone = self.phone(name)
        data = (
            other
            if other is not None
            else phone.bytes_out[-min(back, len(phone.bytes_out))]
            if phone.bytes_out
            else b""
        )
        if damage is not None:
            data = re.sub(*damage, data, count=1, flags=re.S)
        phone.put(data, phone.by_proxy())

    # What holds in the end

    def teardown(self) -> None:
        """Everybody is polite, or dead; time passes."""
        globalLogPublisher.removeObserver(cast(ILogObserver, self.observe))
        self.wire = WIRES[0]
        for phone in self.world.phones:
            phone.mute = self.silent
            phone.asked = polite
            for dialog, request in phone.open if not self.silent else ():
                polite(dialog, request)
        self.world.wait(60 + 120 + 2 * 37)  # it rings, is answered, lasts as long as it may, and BYE is lost
        wrong = [*self.faults, *problems(self.meant(), ZONES, HOSTS)]
        wrong += [line for line in self.world.journal.lines if line.startswith("crashed")]
        try:
            self.world.quiet()
        except AssertionError as left:
            wrong.append(str(left))
        wrong += self.also()
        if wrong:
            raise AssertionError("\n".join([*wrong, "", *self.world.story, *self.world.journal.lines]))

    def also(self) -> list[str]:
        """What else is wrong."""
        return []

    def meant(self) -> list[Passed]:
        """What passed, less the 2xx that no phone would have sent so: nobody waits for their ACK."""
        said = {data for phone in self.world.phones for data in phone.bytes_out}
        return [
            each for each in self.passed if not each.data.startswith(b"SIP/2.0 2") or each.inward or each.data in said
        ]


def polite(dialog: Dialog, request: Request) -> None:
    """What a phone says whose user has gone home."""
    dialog.respond(request, 486 if request.method == "INVITE" else 200)


class Slow(Studio):
    """It answers at once, or late, or not with a description; and it asks more of whoever asks it."""

    def _later(self, action: Callable[[], None]) -> None:
        chance = self.world.chance
        self.late = chance.choice(LATE)
        self.fault = unanchored("no room", 503) if chance.random() < REFUSING else None
        super()._later(action)


class Anchored(Model):
    """The same where media is anchored, on an engine that is slow."""

    def __init__(self) -> None:
        super().__init__()
        self.studio = Slow(self.world)
        policy, engines = Anchoring(AUTO, auto=self.studio.name), {self.studio.name: self.studio}
        self.anchors = self.world.hall.media = Anchors(self.world.hall, policy, engines)

    def also(self) -> list[str]:
        """A session that is left, or a description that no engine has made. What is told late is a crash of its own."""
        held = [f"left in the engine: {session}" for session in self.studio.open]
        if len(self.anchors) or self.anchors._by_pair or self.anchors._by_call:
            held.append("an anchor is left")
        if len(self.studio.ended) != len(set(self.studio.ended)):
            held.append("a session was ended twice")
        past = [each for each in self.passed if each.inward and MEDIA.encode() in each.data]
        return held + [f"no engine has made this: {each.data!r}" for each in past]


class AnyOrder(SynchronousTestCase):
    """The property."""

    def holds(self, model: type[Model], examples: int) -> None:
        """Try that many runs."""
        bounded = settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        run_state_machine_as_test(model, settings=bounded)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_it_holds(self) -> None:
        """S23, S27, S33, S42: whatever two phones do, nothing is left, unacknowledged, leaked or ungrammatical."""
        self.holds(Model, EXAMPLES)

    def test_it_holds_where_media_is_anchored(self) -> None:
        """S44: and nothing is left in a slow engine, and nothing said of media passes it by."""
        self.holds(Anchored, EXAMPLES // 3)
