"""The same as `test_call_chaos`, by phones that also know PRACK, offers in UPDATE and session timers."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog
from b2bua.sip.message import Headers, Request, Response
from tests.test_call_chaos import URI, Chaos
from tests.world import Party

SEEDS = 60
SDP: Headers = {"Content-Type": ["application/sdp"]}


class Unrest(Chaos):
    """One run."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.numbers: dict[Dialog, int] = {}
        more: tuple[Callable[[Party], None], ...] = (self.prack, self.prack, self.update)
        self.deeds = (*self.deeds, *more)

    def invite(self, phone: Party) -> None:
        """Call, with what is required or supported changing."""
        die = self.die
        headers: Headers = die.choice(({}, {"Supported": ["100rel, timer"]}, {"Require": ["100rel"]}))
        if die.random() < 0.5:
            interval = die.choice(("90", "200;refresher=uac", "200;refresher=uas", "60", "soon"))
            headers = {**headers, "Session-Expires": [interval]}
        if len(phone.dialogs) < 4:
            phone.invite(URI, body=b"" if die.random() < 0.4 else None, headers=headers)

    def say(self, dialog: Dialog, request: Request, status: int) -> None:
        """An answer: reliable, or with a session timer, now and then; numbers that are wrong too."""
        die = self.die
        if request.method == "INVITE" and 100 < status < 200 and die.random() < 0.6:
            number = self.numbers[dialog] = self.numbers.get(dialog, 0) + die.choice((1, 1, 1, 0, 2))
            body = dialog.sdp() if die.random() < 0.5 else b""
            headers = {"Require": ["100rel"], "RSeq": [str(number)], **(SDP if body else {})}
            dialog.respond(request, status, body, headers)
        elif request.method in ("INVITE", "UPDATE") and 200 <= status < 300 and die.random() < 0.5:
            interval = die.choice(("90;refresher=uac", "90;refresher=uas", "soon"))
            dialog.respond(request, status, dialog.sdp_for(request.body), {**SDP, "Session-Expires": [interval]})
        elif status == 488 and request.method == "INVITE":
            dialog.respond(request, *die.choice(((421, b"", {"Require": ["100rel"]}), (422, b"", {"Min-SE": ["500"]}))))
        else:
            super().say(dialog, request, status)

    def prack(self, phone: Party) -> None:
        """Acknowledge the last reliable response, or none."""
        for dialog in phone.dialogs:
            reliable = [each for each in dialog.heard if isinstance(each, Response) and "RSeq" in each.headers]
            if reliable:
                number = int(reliable[-1].headers["RSeq"][0]) + self.die.choice((0, 0, 0, 1))
                body = dialog.sdp() if self.die.random() < 0.3 else b""
                rack = {"RAck": [f"{number} {reliable[-1].cseq[0]} INVITE"]}
                sent = dialog.sent
                dialog.ask("PRACK", body, {**rack, **(SDP if body else {})})
                dialog.sent = sent  # CANCEL is for the INVITE

    def update(self, phone: Party) -> None:
        """An offer in UPDATE."""
        if phone.dialogs:
            self.die.choice(phone.dialogs).ask("UPDATE", self.die.choice(phone.dialogs).sdp(), SDP)


class AnythingAtAnyMoment(SynchronousTestCase):
    """Random runs."""

    def test_nothing_is_left(self) -> None:
        """S31 to S33: no exception of ours in the log; nothing is left when all is over."""
        for seed in range(SEEDS):
            unrest = Unrest(seed)
            unrest.run()
            self.assertEqual(self.flushLoggedErrors(), [], seed)
            try:
                unrest.world.quiet()
            except AssertionError as left:
                self.fail(f"seed {seed}: {left}")
