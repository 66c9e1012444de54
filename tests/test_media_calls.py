"""Sound in calls by real sockets, IPv4 over UDP to IPv6 over TCP: what arrives is what was sent, octet by octet.

Each flow by the relay, and by the real rtpengine.
"""

from __future__ import annotations

from b2bua.ops.phone import Dialog
from b2bua.sip.message import Request
from tests.voices import SDP, Voices, sound, voice

NO_NAT = 'media_options = ["asymmetric"]'  # else rtpengine takes whoever sends first for the party


class TestByTheRelay(Voices):
    """The relay, as it comes."""

    keeps = True  # its ports when a party moves; and it tells two apart who speak to one port

    async def carrier(self) -> None:
        """Nothing else is needed."""

    def same(self, found: object, before: object) -> None:
        """Our places are the ones that they were, where that is promised."""
        if self.keeps:
            self.assertEqual(found, before)

    async def test_both_ways(self) -> None:
        """Both hear each other, and after hold and resume they do so again."""
        await self.carrier()
        await self.begin()
        talk, far = await self.talk()
        here, there = sound(talk.last("200 INVITE")), sound(far.last("INVITE"))
        await self.both_heard(here, there)
        for direction in ("sendonly", "sendrecv"):
            read, answer = await self.asks(talk, far, talk.sdp(direction))
            self.assertEqual((sound(answer), sound(read)), (here, there))
            self.assertIn(f"a={direction}".encode(), read.body)
        await self.both_heard(here, there)
        await self.hang_up(talk)
        await self.over()

    async def test_another_port(self) -> None:
        """Whoever says in a re-INVITE that he is elsewhere now speaks and hears from there, and only there."""
        await self.carrier()
        await self.begin("" if self.keeps else NO_NAT)
        talk, far = await self.talk()
        here, there = sound(talk.last("200 INVITE")), sound(far.last("INVITE"))
        await self.both_heard(here, there)
        before, self.hers = self.hers, voice(self, self.alice)
        read, answer = await self.asks(talk, far, talk.sdp())
        self.same((sound(answer), sound(read)), (here, there))
        await self.both_heard(here, there := sound(read))
        self.assertEqual(before.heard(), [])
        await self.silent(before, here, self.his)
        before, self.his = self.his, voice(self, self.bob)
        read, answer = await self.asks(far, talk, far.sdp())
        self.same((sound(read), sound(answer)), (here, there))
        await self.both_heard(sound(read), there := sound(answer))
        self.assertEqual(before.heard(), [])
        await self.silent(before, there, self.hers)
        await self.hang_up(talk)
        await self.over()

    async def test_late_offer(self) -> None:
        """The offer is in the 200, the answer in the ACK (RFC 3261 13.2.1)."""
        await self.carrier()
        await self.begin()
        talk, far = await self.talk(b"")
        self.assertEqual(far.last("INVITE").body, b"")
        await self.both_heard(sound(talk.last("200 INVITE")), sound(far.last("ACK")))
        await self.hang_up(talk)
        await self.over()

    async def test_the_first_of_two_answers(self) -> None:
        """Two devices of bob's ring with sound of their own; then the first one answers, and it is the call."""
        await self.fork(0)

    async def test_the_second_of_two_answers(self) -> None:
        """The same with the other."""
        await self.fork(1)

    async def fork(self, number: int) -> None:
        """Early media of two devices, of which the one with that number answers."""
        await self.carrier()
        await self.begin()
        devices: list[Dialog] = []
        self.bob.asked = lambda dialog, request: self.rings(devices, dialog, request)
        his = [self.his, voice(self, self.bob)]
        self.early_ports = [each.port for each in his]
        talk = self.dial()
        await self.lines.until(lambda: talk.times("183 INVITE") == 2, "both")
        here = [sound(each) for each in talk.heard if each.body]
        there = sound(devices[0].last("INVITE"))
        for one, place in zip(his, here, strict=True):
            await self.heard(one, there, self.hers, *([place] if self.keeps else here))
        assert devices[number].invitation is not None
        devices[number].respond(devices[number].invitation, 200)
        await self.lines.until(lambda: talk.up, "the answer")
        self.his = his[number]
        await self.both_heard(here[number], there)
        self.assertEqual(his[1 - number].heard(), [])
        await self.hang_up(talk)
        await self.over()

    def rings(self, devices: list[Dialog], dialog: Dialog, request: Request) -> None:
        """Two devices answer an INVITE with 183, each where it is."""
        if request.method != "INVITE":
            dialog.respond(request, 200)
            return
        other = Dialog(self.bob, dialog.flow, dialog.call_id, dialog.remote, dialog.target, dialog.remote_tag)
        other.local, other.routes, other.invitation = dialog.local, dialog.routes, dialog.invitation
        other.remote_cseq, other.heard = dialog.remote_cseq, [request]
        self.bob.dialogs.append(other)
        for device, port in zip((dialog, other), self.early_ports, strict=True):
            self.bob.media_port = port
            device.respond(request, 183, device.sdp(), SDP)
            devices.append(device)


class TestByRtpengine(TestByTheRelay):
    """The real rtpengine."""

    keeps = False

    async def carrier(self) -> None:
        """One daemon."""
        await self.daemon()
