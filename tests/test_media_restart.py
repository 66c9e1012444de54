"""rtpengine is killed and started again during calls, with two daemons: who is heard, and what is left in the end."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from b2bua.ops.phone import Dialog
from tests.voices import SDP, Voices, sound

clock: Any = reactor
ANSWERS, RESTS = "answers: calls go there", "rests: it does not answer; no call goes there until it answers"
UP, DOWN = (0, ANSWERS), (0, RESTS)


class TestRestart(Voices):
    """The first daemon is given the first call, as it has all the weight."""

    async def two(self) -> tuple[Dialog, Dialog]:
        """Two daemons, the bridge, and a call on the first of them."""
        await self.daemon()
        await self.daemon()
        await self.begin(weights=(65535, 1))
        talk, far = await self.talk()
        await self.hear(talk, far)
        self.assertEqual([bool(each) for each in await self.left()], [True, False])
        return talk, far

    async def hear(self, talk: Dialog, far: Dialog) -> None:
        """They hear each other by what the first INVITE and its answer told."""
        await self.both_heard(sound(talk.last("200 INVITE")), sound(far.last("INVITE")))

    def logged(self, *wanted: tuple[int, str]) -> None:
        """The log has one line for each change of a daemon, given by its number, and no other line of daemons."""
        told = [f"rtpengine 127.0.0.1:{self.ports[at]} of engine rtp {what}" for at, what in wanted]
        lines = [line for line in self.bridge.output.splitlines() if " of engine " in line]
        found = [line[line.index("rtpengine ") :] for line in lines]
        self.assertEqual((sorted(found[:2]), found[2:]), (sorted(told[:2]), told[2:]))

    async def back(self, times: int) -> None:
        """The first daemon is started again; that some daemon answers has been told so often then."""
        self.daemons[0] = await self.started(0)
        await self.bridge.says(" of engine rtp answers", times)

    async def test_killed(self) -> None:
        """New calls go to the other; a re-INVITE moves an old one there; restarted, and after the last BYE: nothing."""
        talk, far = await self.two()
        before = sound(talk.last("200 INVITE")), sound(far.last("INVITE"))
        await self.daemons[0].end()
        new, new_far = await self.talk()
        await self.hear(new, new_far)
        read, answer = await self.asks(talk, far, talk.sdp())
        here, there = sound(answer), sound(read)
        self.assertTrue(here != before[0] and there != before[1])  # an offer and its answer tell both sides
        await self.both_heard(here, there)
        await self.back(3)
        await self.both_heard(here, there)
        third, third_far = await self.talk()
        await self.hear(third, third_far)
        for each in (talk, new, third):
            await self.hang_up(each)
        await self.deleted()
        self.logged(UP, (1, ANSWERS), DOWN, UP)
        await self.over()

    async def test_killed_and_the_callee_asks(self) -> None:
        """The same re-INVITE from the other side, by a party that hangs up before the daemon is back."""
        talk, far = await self.two()
        await self.daemons[0].end()
        read, answer = await self.asks(far, talk, far.sdp())
        await self.both_heard(sound(read), sound(answer))
        await self.hang_up(far)
        await self.back(3)
        await self.deleted()
        self.logged(UP, (1, ANSWERS), DOWN, UP)
        await self.over()

    async def test_restarted_unseen(self) -> None:
        """One that comes back before anybody asks it anything has forgotten its calls; a re-INVITE brings sound."""
        talk, far = await self.two()
        await self.daemons[0].end()
        self.daemons[0] = await self.started(0)
        read, answer = await self.asks(talk, far, talk.sdp())
        await self.both_heard(sound(answer), sound(read))
        await self.hang_up(talk)
        await self.deleted()
        await self.over()

    async def test_killed_while_it_rings(self) -> None:
        """An answer cannot go where its offer was: that call fails, on both sides, and the next one is heard."""
        await self.two()
        asked = self.bob.asked
        self.bob.asked = lambda dialog, request: dialog.ring()
        failing = self.dial()
        await self.lines.until(lambda: failing.times("180 INVITE") == 1, "the ring")
        await self.daemons[0].end()
        self.bob.asked = asked
        self.bob.dialogs[-1].answer()
        await self.lines.until(lambda: failing.over and self.bob.dialogs[-1].over, "the end")
        self.assertEqual(failing.times("502 INVITE"), 1, failing.heard)
        new, far = await self.talk()
        await self.hear(new, far)
        for each in (self.alice.dialogs[0], new):
            await self.hang_up(each)
        await self.back(3)
        await self.deleted()
        await self.over()

    async def test_both_are_killed(self) -> None:
        """A call without sound is still a call, and ends as one; a new one is refused; then one daemon is back."""
        talk, far = await self.two()
        for each in self.daemons:
            await each.end()
        refused = self.dial()
        await self.lines.until(lambda: refused.over, "the refusal")
        self.assertEqual((refused.times("503 INVITE"), len(self.bob.dialogs)), (1, 1))
        sent = talk.ask("INVITE", talk.sdp(), SDP)
        await self.lines.until(lambda: bool(sent.status), "the answer")
        self.assertEqual((sent.status, far.times("INVITE"), talk.over), (503, 1, False))
        await self.hang_up(talk)
        self.assertEqual(far.times("BYE"), 1)
        await self.back(3)
        new, new_far = await self.talk()
        await self.hear(new, new_far)
        await self.hang_up(new)
        self.daemons[1] = await self.started(1)
        await self.deleted()
        self.logged(UP, (1, ANSWERS), DOWN, (1, RESTS), UP)
        await self.over()

    async def deleted(self) -> None:
        """Both daemons are empty, at the latest with the next ping."""
        for _ in range(50):
            if not any(await self.left()):
                return
            await deferLater(clock, 0.1, lambda: None)
        self.assertEqual(await self.left(), [[], []])
