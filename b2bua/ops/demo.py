"""`b2bua demo`: one call through the bridge, on loopback addresses and by real sockets, and what became of it.

alice calls bob by UDP over IPv4; the bridge calls him by TLS over IPv6. She puts him on hold, takes him back, dials a
digit and hangs up. Drawn as a ladder, then the INVITE side by side, as it came and as it left.
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from b2bua.config import load
from b2bua.net.certificates import KeyPair, ServerFiles
from b2bua.net.development import CA, CERTIFICATE, KEY, make_development_certificate
from b2bua.ops.ladder import Captured, ladder, steps_of
from b2bua.ops.phone import Dialog, answer_all
from b2bua.ops.phonelines import Lines, Waited, free_port
from b2bua.ops.sidebyside import side_by_side
from b2bua.ops.terminal import Look
from b2bua.service import Border
from b2bua.sip.grammar import bracketed
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request

MOMENT = 0.2  # seconds between what the phones do, so that the ladder shows a call and not a burst
ANSWER = 5.0  # seconds to wait for what takes milliseconds
LONGEST = 20.0  # seconds for everything

CONFIGURATION = """\
[[zone]]
name = "public"

[[zone]]
name = "private"

[[listener]]
name = "public-udp"
zone = "public"
transport = "udp"
address = "127.0.0.1"
port = {near_port}

[[listener]]
name = "private-tls"
zone = "private"
transport = "tls"
address = "{far_address}"
port = {far_port}
certificate = "{certificate}"
key = "{key}"

[tls]
ca = "{ca}"

[[route]]
name = "to bob"
zone = "public"
to = "sip:{far_host}:{bob_port};transport=tls"
send_from = "private"
"""

# What alice's INVITE says besides, to show what becomes of it.
SAYS = {
    "Subject": ["Lunch"],
    "Organization": ["Example Ltd."],
    "P-Preferred-Identity": ["<sip:alice@127.0.0.1>"],
    "X-Account": ["4711"],
}

NEXT = "Next: make run starts the bridge for softphones of your own. README.md says what else there is."


class Demonstration:
    """The bridge, two phones, and everything that passes the bridge while they call (`net.switchboard.Trace`)."""

    def __init__(self, reactor: Any, folder: Path) -> None:
        self.captured: list[Captured] = []
        self.why_ipv4 = ""
        self._reactor = reactor
        make_development_certificate(folder)
        self._lines = Lines(
            reactor, ServerFiles(KeyPair(str(folder / CERTIFICATE), str(folder / KEY))), str(folder / CA)
        )
        far_address = self._far_address()
        self.alice = self._lines.phone("alice", "udp", "127.0.0.1")
        self.bob = self._lines.phone("bob", "tls", far_address)
        file = folder / "demo.toml"
        file.write_text(
            CONFIGURATION.format(
                near_port=free_port("udp", "127.0.0.1"),
                far_address=far_address,
                far_host=bracketed(far_address),
                far_port=free_port("tls", far_address),
                bob_port=self.bob.at.port,
                certificate=CERTIFICATE,
                key=KEY,
                ca=CA,
            )
        )
        self.border = Border(load(str(file)), reactor)
        self.near, self.far = self.border.configuration.listeners
        self.border.switchboard.trace = self

    def _far_address(self) -> str:
        try:
            free_port("tls", "::1")
        except OSError as error:
            self.why_ipv4 = f"This machine has no IPv6 ({error.strerror}): bob is called over IPv4."
            return "127.0.0.2"
        return "::1"

    def message(self, flow: Flow, outward: bool, data: bytes) -> None:
        """One message as it stands on the wire."""
        near = flow.listener.zone == "public"
        self.captured.append(Captured(self.border.switchboard.now(), near, outward, data))

    async def run(self) -> None:
        """The call, from the first INVITE to the end of the bridge. Waited where something does not come."""
        self.border.startService()
        try:
            await self._call()
        finally:
            await self.border.stopService()
            await self._lines.close()

    async def _call(self) -> None:
        self.bob.asked = self._ring_and_answer
        alice = self.alice.invite(f"sip:bob@{self.near.sent_by}", headers=SAYS)
        await self._until(lambda: alice.up, "the answer")
        bob = self.bob.dialogs[0]
        for direction in ("sendonly", "sendrecv"):
            await self._acknowledged(bob)
            alice.reinvite(direction)
            await self._answered(alice)
        await self._acknowledged(bob)
        alice.info("5")
        await self._answered(alice)
        alice.bye()
        await self._answered(alice)

    def _ring_and_answer(self, dialog: Dialog, request: Request) -> None:
        if request.method != "INVITE" or request.to.tag:
            answer_all(dialog, request)
            return
        dialog.ring()
        self._reactor.callLater(MOMENT, dialog.answer)

    async def _acknowledged(self, bob: Dialog) -> None:
        invite = bob.last("INVITE")
        await self._until(lambda: invite.cseq[0] in bob.acked, "the ACK")

    async def _answered(self, dialog: Dialog) -> None:
        sent = dialog.sent
        assert sent is not None, "something was asked"
        await self._until(lambda: bool(sent.status), f"the answer to {sent.request.method}")
        if sent.status != 200:
            raise Waited(f"{sent.request.method} was answered {sent.status}")

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        await self._lines.until(condition, what, ANSWER)
        await deferLater(self._reactor, MOMENT)

    # What there is to show

    def invites(self) -> tuple[bytes, bytes]:
        """The first INVITE, as it came and as it left."""
        came = next(each.data for each in self.captured if each.near and not each.outward)
        left = next(each.data for each in self.captured if not each.near and each.outward)
        return came, left

    def heads(self) -> tuple[tuple[str, ...], ...]:
        """The captions of the ladder's uprights."""
        return (
            ("alice", _socket(self.alice.at)),
            ("bridge", _socket(self.near), _socket(self.far)),
            ("bob", "", _socket(self.bob.at)),
        )

    def show(self, out: TextIO, look: Look) -> None:
        """Print all of it."""
        ways = f"UDP over IPv4 in, TLS over IPv{self.far.family} out"
        print(look.paint(f"A call through the bridge: {ways}.", "bold"), file=out)
        said = f"{self.why_ipv4} The certificates were made for this call, and the bridge checked bob's."
        print(textwrap.fill(said.strip(), look.width) + "\n", file=out)
        print(ladder(steps_of(self.captured), self.heads(), look) + "\n", file=out)
        try:
            came, left = self.invites()
        except StopIteration:
            return
        mark = "×" if look.unicode else "x"
        print(look.paint(f"The INVITE, line by line (~ changed, {mark} hidden):", "bold") + "\n", file=out)
        heads = f"as it came, by {self.near.name}", f"as it left, by {self.far.name}"
        hiding = self.border.configuration.hiding_tables()["public", "private"]
        print(side_by_side(came, left, heads, hiding.explain, look) + "\n", file=out)


def _socket(listener: Listener) -> str:
    return f"{listener.transport.upper()} {listener.sent_by}"


def main(out: TextIO | None = None) -> int:
    """Run the call and print it; the exit status."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    out = out or sys.stdout
    failures = ["it was stopped"]

    def ended(result: object) -> None:
        failures[:] = [result.getErrorMessage()] if isinstance(result, Failure) else []
        reactor.stop()

    with tempfile.TemporaryDirectory(prefix="b2bua-demo-") as folder:
        demonstration = Demonstration(reactor, Path(folder))
        Deferred.fromCoroutine(demonstration.run()).addTimeout(LONGEST, reactor).addBoth(ended)
        reactor.run()
    look = Look.of(out)
    demonstration.show(out, look)
    if failures:
        print(f"b2bua demo: the call did not go through: {failures[0]}", file=sys.stderr)
        return 1
    print(textwrap.fill(NEXT, look.width), file=out)
    return 0
