"""Real phones register with the bridge and call each other: baresip over UDP, TCP and TLS, IPv4 and IPv6."""

from __future__ import annotations

from signal import SIGINT, SIGKILL, SIGTERM

from b2bua.ops.phonelines import free_port
from b2bua.sip.grammar import bracketed
from tests.children import Child, start_bridge
from tests.test_clients import PUBLIC, Clients, Control

LISTENER = """
[[listener]]
name = "{transport}{family}"
zone = "phones"
transport = "{transport}"
address = "{address}"
port = {port}
"""
CERTIFICATE = """certificate = "test.pem"
key = "test.key"
"""
HOME = """
[[zone]]
name = "phones"
leaks = "refuse"
[tls]
ca = "ca.pem"
[registrar]
[[route]]
name = "phones"
to = "lookup"
hunt = "parallel"
"""
WHERE = {4: (PUBLIC, "127.0.31.{}"), 6: ("::1", "::1")}
PHONES = {
    "alice": ("udp", 4), "bob": ("tcp", 4), "carol": ("tls", 4),
    "dave": ("udp", 6), "erin": ("tcp", 6), "frank": ("tls", 6),
}  # fmt: skip

Phone = tuple[Control, Child]


class TestRegistered(Clients):
    """Everybody registers; nobody is configured."""

    timeout = 240

    async def home(self) -> Child:
        """The bridge, with a listener for each transport and family."""
        text = HOME
        self.ports: dict[tuple[str, int], int] = {}
        for transport, family in PHONES.values():
            address = WHERE[family][0]
            port = self.ports[transport, family] = free_port(transport, address)
            text += LISTENER.format(transport=transport, family=family, address=address, port=port)
            text += CERTIFICATE if transport == "tls" else ""
        return await start_bridge(self, text, self.folder)

    async def phone(self, name: str, number: int) -> Phone:
        """A phone that has registered."""
        transport, family = PHONES[name]
        bridge, address = WHERE[family][0], WHERE[family][1].format(number)
        place = f"{bracketed(bridge)}:{self.ports[transport, family]}"
        account = f"<sip:{name}@{place};transport={transport}>;regint=60;answermode=auto"
        more = f"sip_cafile {self.folder}/ca.pem\nsip_trans_def {transport}"
        control, program = await self.baresip(name, address, free_port("tcp", address), account, more)
        await program.says("SIP/2.0 200 OK")
        return control, program

    async def call(self, caller: Phone, callee: Phone, name: str) -> None:
        """One calls the other, whom it knows by name only, and hangs up.

        Between IPv4 and IPv6 the phone that is called is asked, and says 488: nobody relays their media.
        """
        for control, _ in (caller, callee):
            control.events.clear()
        own = next(each for each, phone in self.phones.items() if phone is caller)
        transport, family = PHONES[own]
        place = f"{bracketed(WHERE[family][0])}:{self.ports[transport, family]}"
        asked = callee[1].output.count("\nINVITE sip:")
        caller[0].tell("dial", f"sip:{name}@{place}")
        if family != PHONES[name][1]:
            await caller[0].event("CALL_CLOSED")
            self.assertEqual(callee[1].output.count("\nINVITE sip:"), asked + 1)
            return
        for control, _ in (caller, callee):
            await control.event("CALL_ESTABLISHED")
        caller[0].tell("hangup")
        for control, _ in (caller, callee):
            await control.event("CALL_CLOSED")

    async def test_every_pair(self) -> None:
        """Calls between every two; phones are killed, and come back at another port."""
        bridge = await self.home()
        self.phones = {name: await self.phone(name, number) for number, name in enumerate(PHONES, 1)}
        for caller in self.phones.values():
            for name, callee in self.phones.items():
                if callee is not caller:
                    await self.call(caller, callee, name)
        for name in ("alice", "bob"):
            await self.phones[name][1].end(SIGKILL)
            self.phones[name] = await self.phone(name, 7)
            await self.call(self.phones["carol"], self.phones[name], name)
        for _, program in self.phones.values():
            await program.end(SIGTERM)
        self.assertEqual(await bridge.end(SIGINT), 0)
        self.assertNotIn("Traceback", bridge.output)
        self.assertNotIn("leak", bridge.output)
