"""Phones that do anything at any moment, over bad wires: nothing raises, and in the end nothing is left (security.md).

Each seed is another run and the same run each time: a failure names its seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog
from b2bua.sip.message import Request
from tests.world import TWO_SIDES, Party, World

SEEDS = 60
URI = "sip:bob@biloxi.example"
LIMITS = "[call]\nring_timeout = 60\nmax_duration = 300\nprobe = 60\n"
LIST = '["sip:10.0.0.21", "sip:pbx.example:5060", "sip:10.0.0.20"]'
STATUSES = (100, 180, 183, 200, 200, 200, 302, 401, 408, 481, 486, 488, 491, 500, 503, 603)
PAUSES = (0.0, 0.01, 0.05, 0.5, 2.0, 5.0)


class Chaos:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.die = die = random.Random(seed)
        several = seed % 3 == 0
        text = TWO_SIDES.replace('"sip:10.0.0.20;transport=udp"', LIST) if several else TWO_SIDES
        self.world = world = World(text + LIMITS, seed=seed, dns="pbx.example A 10.0.0.22")
        self.phones = [world.alice, world.bob]
        if several:
            world.dns_delay = die.choice((0.0, 0.3))
            self.phones += [world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")]
        world.wires.shake(die.choice((0.0, 0.1, 0.3)), die.choice((0.0, 0.2)), die.choice((0.0, 0.1, 0.6)))
        for phone in self.phones:
            phone.acks = die.random() < 0.9
            if die.random() < 0.1:
                phone.contact = "<sip:x@pbx.example:5060>"
            if seed % 2:
                phone.asked = self.by_itself
        self.deeds: tuple[Callable[[Party], None], ...] = (
            self.invite, self.answer, self.answer, self.answer, self.cancel, self.bye, self.reinvite, self.ask,
            self.message, self.fail, self.move, self.operate,
        )  # fmt: skip

    def run(self) -> None:
        """Do things, then let everybody be polite, or dead, and wait."""
        die, world = self.die, self.world
        for _ in range(die.randrange(5, 60)):
            die.choice(self.deeds)(die.choice(self.phones))
            world.wait(die.choice(PAUSES))
        for phone in self.phones:
            phone.mute = die.random() < 0.5
            phone.asked = lambda dialog, request: dialog.respond(request, 486 if request.method == "INVITE" else 200)
        world.wait(300 + 60 + 2 * 37)  # the longest call, a probe, BYE

    def by_itself(self, dialog: Dialog, request: Request) -> None:
        """A phone that mostly answers, some time later."""
        die = self.die
        status = 200 if die.random() < 0.9 else die.choice((401, 408, 481, 491, 500, 503))
        if request.method == "INVITE" and die.random() < 0.5:
            dialog.ring()
        if die.random() < 0.9:
            self.world.wheel.after(die.choice((0.0, 0.1, 0.4, 1.0)), lambda: self.say(dialog, request, status))

    def say(self, dialog: Dialog, request: Request, status: int) -> None:
        """An answer; with SDP where it belongs, which is broken now and then."""
        if request.method == "INVITE" and 180 < status < 300:
            body = dialog.sdp_for(request.body) if self.die.random() < 0.95 else b"v=0\r\nbroken"
            dialog.respond(request, status, body, {"Content-Type": ["application/sdp"]})
        else:
            dialog.respond(request, status)

    # What a phone may do

    def invite(self, phone: Party) -> None:
        """Call, sometimes without an offer."""
        if len(phone.dialogs) < 4:
            phone.invite(URI, body=b"" if self.die.random() < 0.4 else None)

    def answer(self, phone: Party) -> None:
        """Anything, to anything that it was asked, sometimes by another device."""
        if phone.open:
            dialog, request = self.die.choice(phone.open)
            status = self.die.choice(STATUSES)
            if status >= 200:
                phone.open.remove((dialog, request))
            if request.method == "INVITE" and status < 300 and not dialog.up and self.die.random() < 0.15:
                if dialog.invitation is not None:
                    dialog = phone.fork(dialog)
            self.say(dialog, request, status)

    def cancel(self, phone: Party) -> None:
        """Take back what is not answered."""
        for dialog in phone.dialogs:
            if dialog.sent is not None and dialog.sent.request.method == "INVITE" and not dialog.sent.status:
                dialog.cancel()

    def bye(self, phone: Party) -> None:
        """Hang up, whatever state the call is in."""
        if phone.dialogs:
            self.die.choice(phone.dialogs).ask("BYE")

    def reinvite(self, phone: Party) -> None:
        """INVITE again, sometimes without an offer."""
        if phone.dialogs:
            dialog = self.die.choice(phone.dialogs)
            dialog.ask("INVITE") if self.die.random() < 0.3 else dialog.reinvite()

    def ask(self, phone: Party) -> None:
        """Something else in a call."""
        if phone.dialogs:
            self.die.choice(phone.dialogs).ask(self.die.choice(("INFO", "UPDATE", "OPTIONS", "MESSAGE", "FROB")))

    def message(self, phone: Party) -> None:
        """Something outside any call."""
        phone.ask("MESSAGE", URI)

    def fail(self, phone: Party) -> None:
        """Lose the line, or the port; or get it back."""
        phone.mute, phone.refusing = self.die.random() < 0.1, self.die.random() < 0.1

    def move(self, phone: Party) -> None:
        """Another Contact, told by UPDATE."""
        if phone.dialogs:
            phone.contact = f"<sip:{phone.user}@{phone.at.address}:{self.die.choice((5060, 5060, 6060))}>"
            self.die.choice(phone.dialogs).update()

    def operate(self, phone: Party) -> None:
        """The operator hangs up one call, or all."""
        if self.die.random() < 0.2:
            calls = list(self.world.hall.book)
            for call in calls[:1] if self.die.random() < 0.8 else calls:
                call.hang_up("by hand")


class AnythingAtAnyMoment(SynchronousTestCase):
    """Random runs."""

    def test_nothing_is_left(self) -> None:
        """No exception of ours in the log; no transaction, call, leg or timer when all is over."""
        for seed in range(SEEDS):
            chaos = Chaos(seed)
            chaos.run()
            self.assertEqual(self.flushLoggedErrors(), [], seed)
            try:
                chaos.world.quiet()
            except AssertionError as left:
                self.fail(f"seed {seed}: {left}")
