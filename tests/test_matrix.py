"""Any way in, any way out: all 36 of {UDP, TCP, TLS} x {IPv4, IPv6}, each way with calls of real programs.

One bridge, as its operator starts it, with a listener for each way on each side. By UDP and TCP SIPp calls and is
called; it speaks no TLS here, so by TLS the project's own phones do. Every call is put on hold and taken back from both
sides; one is hung up by the caller, one by the callee. All of them are up at the same time.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.trial.unittest import TestCase

from b2bua.net.certificates import KeyPair, ServerFiles
from b2bua.ops.phone import Dialog, Phone, Sent, answer_all, label
from b2bua.ops.phonelines import Lines, free_port
from b2bua.sip.grammar import bracketed
from b2bua.sip.message import Message, Request, parse
from tests.children import Child, bound, start_bridge
from tests.pki import issue, make_ca
from tests.programs import need

WAYS = ("udp4", "udp6", "tcp4", "tcp6", "tls4", "tls6")
ENDERS = ("caller", "callee")  # who hangs up
SCENARIOS = Path(__file__).parent / "data" / "sipp"
PATIENCE = 30.0

# There is only one IPv6 loopback address: ports tell the sides apart there.
ADDRESSES = {
    "public": {"4": "127.0.1.1", "6": "::1"},
    "private": {"4": "127.0.2.1", "6": "::1"},
    "caller": {"4": "127.0.11.1", "6": "::1"},
    "callee": {"4": "127.0.12.1", "6": "::1"},
}

ORIGIN = {"near": "192.0.2.32", "far": "192.0.2.43"}  # in the o= of SIPp's SDP
MEDIA = {"near": "192.0.2.33", "far": "192.0.2.44"}  # in c=, which crosses
OTHER = {"near": "far", "far": "near"}
# How often, without what is sent again.
HEARD = {
    "near": {"100 INVITE": 3, "180 INVITE": 1, "200 INVITE": 3, "INVITE": 2, "ACK": 2},
    "far": {"INVITE": 3, "ACK": 3, "200 INVITE": 2},
}

Cell = tuple[str, str, str]  # way in, way out, who hangs up
Heard = defaultdict[Cell, list[tuple[Message, bytes]]]
_SIPP_MESSAGE = re.compile(r"^-{20,} [^\n]*\n(?:UDP|TCP) message received [^\n]*:\n\n(.*?)(?=^-{20,} |\Z)", re.M | re.S)


class Place:
    """One end of one way: an address and a port of its own."""

    def __init__(self, whose: str, way: str) -> None:
        self.transport = way[:3]
        self.host = ADDRESSES[whose][way[3]]
        self.port = free_port(self.transport, self.host)
        self.name = f"{whose}-{way}"
        self.authority = f"{bracketed(self.host)}:{self.port}"

    def listener(self) -> str:
        """The [[listener]] of the bridge that is here."""
        files = '\ncertificate = "test.pem"\nkey = "test.key"' if self.transport == "tls" else ""
        return (
            f'[[listener]]\nname = "{self.name}"\nzone = "{self.name.partition("-")[0]}"\n'
            f'transport = "{self.transport}"\naddress = "{self.host}"\nport = {self.port}{files}\n'
        )


class TestMatrix(TestCase):
    """All ways in and out."""

    timeout = 120

    def setUp(self) -> None:
        self.sipp = need("sipp")
        self.folder = Path(self.mktemp()).absolute()
        ca = make_ca()
        addresses = {address for each in ADDRESSES.values() for address in each.values()}
        certificate, key = issue(ca, ips=sorted(addresses)).write(self.folder)
        issuer, _ = ca.write(self.folder, "ca")
        self.lines = Lines(reactor, ServerFiles(KeyPair(certificate, key)), issuer)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.lines.close()))
        self.public = {way: Place("public", way) for way in WAYS}
        self.private = {way: Place("private", way) for way in WAYS}
        self.phones: list[tuple[str, Phone]] = []
        self.heard: dict[str, dict[Cell, list[tuple[Message, bytes]]]] = {
            "near": defaultdict(list),
            "far": defaultdict(list),
        }

    async def test_every_way(self) -> None:
        """INVITE-180-200-ACK, re-INVITE from each side, BYE from each side, by all 36 ways; nothing leaks."""
        callees = {(way, ender): Place("callee", way) for way in WAYS for ender in ENDERS}
        bridge = await start_bridge(self, self.configuration(callees), self.folder)
        programs: list[tuple[str, Child]] = []
        talks: list[Deferred[None]] = []
        for (way, ender), place in callees.items():
            if place.transport == "tls":
                talks.append(self.answering(way, ender, place))
            else:
                programs.append(self.start_callee(way, ender, place))
        for place in callees.values():
            await bound(place.transport, place.port)
        for way in WAYS:
            for ender in ENDERS:
                if way.startswith("tls"):
                    talks += self.calling(way, ender)
                else:
                    programs.append(self.start_caller(way, ender))
        talks += [Deferred.fromCoroutine(self.succeeded(name, program)) for name, program in programs]
        ends: list[tuple[bool, Any]] = await DeferredList(talks, consumeErrors=True)
        failures = "\n".join(failure.getErrorMessage() for fine, failure in ends if not fine)
        self.assertFalse(failures, f"\n{failures}\n{bridge.output}")
        for side, phone in self.phones:
            for data in phone.bytes_in:
                self.take(side, data)
        faults = [fault for way in WAYS for out in WAYS for ender in ENDERS for fault in self.faults((way, out, ender))]
        self.assertEqual(faults, [])
        self.assertEqual(await bridge.end(SIGINT), 0, bridge.output)
        self.assertNotIn("Traceback", bridge.output)

    def configuration(self, callees: dict[tuple[str, str], Place]) -> str:
        """Twelve listeners, and a route for each callee; of each way the zone has only one listener."""
        parts = ['[[zone]]\nname = "public"\n', '[[zone]]\nname = "private"\n', '[tls]\nca = "ca.pem"\n']
        parts += [place.listener() for side in (self.public, self.private) for place in side.values()]
        parts += [
            f'[[route]]\nname = "{way} {ender}"\nzone = "public"\nuser = "exact:to-{way}-{ender}"\n'
            f'to = "sip:{place.authority};transport={place.transport}"\nsend_from = "private"\n'
            for (way, ender), place in callees.items()
        ]
        return "\n".join(parts)

    # SIPp

    def start_caller(self, way: str, ender: str) -> tuple[str, Child]:
        """SIPp calls everybody who lets `ender` hang up."""
        users = self.folder / f"users-{way}-{ender}.csv"
        users.write_text("SEQUENTIAL\n" + "".join(f"to-{out}-{ender};\n" for out in WAYS))
        more = ["-inf", str(users), "-key", "user", f"from-{way}", self.public[way].authority]
        if ender == "callee":
            more = ["-set", "waits", "yes", *more]
        return self.start_sipp("caller", f"caller-{way}-{ender}", Place("caller", way), *more)

    def start_callee(self, way: str, ender: str, place: Place) -> tuple[str, Child]:
        """SIPp is called from all ways."""
        more = ["-set", "ends", "yes"] if ender == "callee" else []
        return self.start_sipp("callee", f"callee-{way}-{ender}", place, *more)

    def start_sipp(self, scenario: str, name: str, place: Place, *more: str) -> tuple[str, Child]:
        """SIPp, for as many calls as there are ways; it gives up by itself."""
        words = ["-sf", str(SCENARIOS / f"{scenario}.xml"), "-m", str(len(WAYS)), "-r", "20", "-nostdin"]
        words += ["-i", place.host, "-p", str(place.port), "-t", {"udp": "u1", "tcp": "t1"}[place.transport]]
        words += ["-timeout", f"{PATIENCE:.0f}s", "-timeout_error", "-trace_msg", "-message_file", f"{name}.messages"]
        words += ["-trace_err", "-error_file", f"{name}.errors"]
        return name, Child(self, self.sipp, *words, *more, folder=self.folder)

    async def succeeded(self, name: str, program: Child) -> None:
        """SIPp did all its calls to the end; what it heard is read from its log."""
        status = await program.ended
        errors = self.folder / f"{name}.errors"
        if status != 0:
            self.fail(f"{name}: status {status}\n{errors.read_text()[:4000] if errors.exists() else ''}")
        log = (self.folder / f"{name}.messages").read_text()
        for found in _SIPP_MESSAGE.finditer(log):
            text = found.group(1).replace("\n", "\r\n").strip("\r\n") + "\r\n\r\n"
            self.take("near" if name.startswith("caller") else "far", text.encode())

    # Phones

    def phone(self, side: str, user: str, place: Place) -> Phone:
        """A phone on the "near" or the "far" side."""
        phone = self.lines.phone(user, place.transport, place.host, place.port)
        phone.media = MEDIA[side]
        phone.headers["User-Agent"] = [f"{side} program"]
        self.phones.append((side, phone))
        return phone

    def calling(self, way: str, ender: str) -> list[Deferred[None]]:
        """A phone calls everybody who lets `ender` hang up."""
        phone = self.phone("near", f"from-{way}", Place("caller", way))
        return [Deferred.fromCoroutine(self.call(phone, way, out, ender)) for out in WAYS]

    async def call(self, phone: Phone, way: str, out: str, ender: str) -> None:
        """What SIPp does in caller.xml."""
        talk = phone.invite(f"sip:to-{out}-{ender}@{self.public[way].authority};transport={phone.at.transport}")
        await self.until(talk, lambda: talk.up, "the answer")
        await self.succeeds(talk.reinvite("sendonly"))
        await self.succeeds(talk.ask("INVITE"))
        await self.until(talk, lambda: len(talk.acked) == 2, "being resumed")
        if ender == "caller":
            await self.succeeds(talk.bye())
        await self.until(talk, lambda: talk.over, "BYE")

    def answering(self, way: str, ender: str, place: Place) -> Deferred[None]:
        """A phone is called from all ways; fires when the last call is over."""
        phone = self.phone("far", f"to-{way}-{ender}", place)
        talks: list[Deferred[None]] = []
        done: Deferred[None] = Deferred()

        def asked(talk: Dialog, request: Request) -> None:
            answer_all(talk, request)
            if request.method == "INVITE" and not request.to.tag:
                talks.append(Deferred.fromCoroutine(self.answer(talk, ender)))
                if len(talks) == len(WAYS):
                    gatherResults(talks, consumeErrors=True).addCallback(lambda _: None).chainDeferred(done)

        phone.asked = asked
        return done

    async def answer(self, talk: Dialog, ender: str) -> None:
        """What SIPp does in callee.xml."""
        await self.until(talk, lambda: len(talk.acked) == 3, "being resumed")
        await self.succeeds(talk.reinvite("sendonly"))
        await self.succeeds(talk.ask("INVITE"))
        if ender == "callee":
            await self.succeeds(talk.bye())
        await self.until(talk, lambda: talk.over, "BYE")

    async def succeeds(self, sent: Sent) -> None:
        """The answer to a request, which must be 200."""
        await self.until(sent.dialog, lambda: bool(sent.status), f"the answer to {sent.request.method}")
        self.assertEqual(sent.status, 200, f"{sent.dialog.remote}: {sent.request.method}")

    def until(self, talk: Dialog, condition: Callable[[], bool], what: str) -> Deferred[None]:
        """Waits for what must come."""
        return self.lines.until(condition, f"{what} of {talk.local} with {talk.remote}", PATIENCE)

    # What was heard

    def take(self, side: str, data: bytes) -> None:
        """A message that the one or the other side received."""
        message = parse(data)
        users = message.from_.uri.user, message.to.uri.user
        caller, callee = users if users[0].startswith("from-") else reversed(users)
        way, (out, ender) = caller.removeprefix("from-"), callee.removeprefix("to-").split("-")
        self.heard[side][way, out, ender].append((message, data))

    def faults(self, cell: Cell) -> Iterator[str]:
        """What is wrong with one call: something that did not come, or something of the other side that did."""
        ends, ended = ("near", "far") if cell[2] == "caller" else ("far", "near")
        last = {ends: {"200 BYE": 1}, ended: {"BYE": 1}}
        for side, wanted in HEARD.items():
            messages = self.heard[side][cell]
            labels = Counter(each for each, _ in {(label(message), message.via.branch) for message, _ in messages})
            for what, times in (wanted | last[side]).items():
                if labels[what] != times:
                    yield f"{cell}: the {side} side heard {what} {labels[what]} times, not {times}"
            bytes_in = b"".join(data for _, data in messages).decode()
            for secret in self.secrets(OTHER[side], cell):
                if secret in bytes_in:
                    yield f"{cell}: the {side} side heard {secret!r} of the other"

    def secrets(self, side: str, cell: Cell) -> set[str]:
        """What the other side must not see of this one: addresses, words, Call-IDs, tags, branches."""
        way, ours, theirs = (cell[0], self.public, "caller") if side == "near" else (cell[1], self.private, "callee")
        secrets = {f"{side} program", f"{side} words", ORIGIN[side], ours[way].authority}
        if way[3] == "4":
            secrets |= {ADDRESSES[theirs]["4"], ours[way].host}
        for message, _ in self.heard[side][cell]:
            via, contact = message.via, message.contact
            secrets |= {message.call_id, message.from_.tag, message.to.tag, via.branch}
            if contact is not None:
                secrets |= {contact.uri.user, f"{bracketed(contact.uri.host)}:{contact.uri.port}"}
            if isinstance(message, Request):
                secrets.add(f"{bracketed(message.uri.host)}:{message.uri.port}")
        return secrets - {""}
