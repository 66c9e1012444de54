"""Real phones register with the bridge and call each other: baresip over UDP, TCP and TLS, IPv4 and IPv6."""

from __future__ import annotations

from signal import SIGINT, SIGKILL, SIGTERM

from b2bua.ops.passwords import set_sip_password
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
PASSWORDS = """
[authentication]
realm = "home.example"
users = "phones.users"
algorithms = ["MD5"]
"""
ASKED = 'leaks = "refuse"\nauthenticate = ["REGISTER", "calls"]'
WHERE = {4: (PUBLIC, "127.0.31.{}"), 6: ("::1", "::1")}
PHONES = {
    "alice": ("udp", 4), "bob": ("tcp", 4), "carol": ("tls", 4),
    "dave": ("udp", 6), "erin": ("tcp", 6), "frank": ("tls", 6),
}  # fmt: skip

Phone = tuple[Control, Child]


class TestRegistered(Clients):
    """Everybody registers; nobody is configured."""

    timeout = 240

    async def home(self, password: str = "") -> Child:
        """The bridge, with a listener for each transport and family; where there is a password, it is everybody's."""
        text = HOME
        if password:
            text = HOME.replace('leaks = "refuse"', ASKED) + PASSWORDS
            for name in PHONES:
                set_sip_password(str(self.folder / "phones.users"), name, "home.example", password)
        self.ports: dict[tuple[str, int], int] = {}
        for transport, family in PHONES.values():
            address = WHERE[family][0]
            port = self.ports[transport, family] = free_port(transport, address)
            text += LISTENER.format(transport=transport, family=family, address=address, port=port)
            text += CERTIFICATE if transport == "tls" else ""
        return await start_bridge(self, text, self.folder)

    async def phone(self, name: str, number: int, password: str = "", said: str = "SIP/2.0 200 OK") -> Phone:
        """A phone that has registered, or got another answer."""
        transport, family = PHONES[name]
        bridge, address = WHERE[family][0], WHERE[family][1].format(number)
        place = f"{bracketed(bridge)}:{self.ports[transport, family]}"
        account = f"<sip:{name}@{place};transport={transport}>;regint=60;answermode=auto"
        account += f";auth_user={name};auth_pass={password}" if password else ""
        more = f"sip_cafile {self.folder}/ca.pem\nsip_trans_def {transport}"
        control, program = await self.baresip(name, address, free_port("tcp", address), account, more)
        await program.says(said)
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

    async def test_with_passwords(self) -> None:
        """RFC 3261 22: each proves who it is, as it registers and as it calls; one that cannot is not let in."""
        bridge = await self.home("opensesame")
        self.phones = {name: await self.phone(name, number, "opensesame") for number, name in enumerate(PHONES, 1)}
        for caller, callee in (("alice", "bob"), ("bob", "carol"), ("carol", "alice")):
            await self.call(self.phones[caller], self.phones[callee], callee)
        for caller, callee in (("dave", "erin"), ("erin", "frank"), ("frank", "dave")):
            await self.call(self.phones[caller], self.phones[callee], callee)
        for name in ("bob", "frank"):
            await self.phones[name][1].end(SIGTERM)
            _, stranger = await self.phone(name, 8, "closesesame", "401 Unauthorized ()")
            self.assertNotIn("SIP/2.0 200 OK", stranger.output)
            self.assertIn(f'no user "{name}" with this password', bridge.output)
        self.assertEqual(await bridge.end(SIGINT), 0)
        for secret in ("Traceback", "leak", "opensesame", "closesesame"):
            self.assertNotIn(secret, bridge.output)
