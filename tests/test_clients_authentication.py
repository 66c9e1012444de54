"""Real clients with a password: SIPp registers and calls through the real sockets, with MD5 (RFC 3261 22)."""

from __future__ import annotations

import os
from pathlib import Path
from signal import SIGINT

from twisted.trial.unittest import TestCase

from b2bua.ops.passwords import set_sip_password
from b2bua.ops.phonelines import free_port
from tests.children import ROOT, Child, bound, start_bridge
from tests.programs import need

ALICE, BOB, PUBLIC, PRIVATE = "127.0.31.1", "127.0.32.1", "127.0.21.1", "127.0.22.1"
SCENARIO = ROOT / "tests" / "data" / "sipp" / "password.xml"
PASSWORD = "correct horse"

CONFIGURATION = """
[[zone]]
name = "public"
authenticate = ["REGISTER", "calls"]
[[zone]]
name = "private"
leaks = "refuse"
[[listener]]
name = "outside"
zone = "public"
transport = "udp"
address = "{public}"
port = {public_port}
[[listener]]
name = "inside"
zone = "private"
transport = "udp"
address = "{private}"
port = {private_port}
[authentication]
realm = "biloxi.example"
users = "phones"
algorithms = {algorithms}
[[route]]
name = "to bob"
zone = "public"
to = "sip:{bob}:{bob_port}"
send_from = "private"
"""


class TestPasswords(TestCase):
    """A client that others wrote, and its password."""

    timeout = 90

    def setUp(self) -> None:
        self.sipp = need("sipp")
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        set_sip_password(str(self.folder / "phones"), "alice", "biloxi.example", PASSWORD)
        self.bob_port, self.public_port = free_port("udp", BOB), free_port("udp", PUBLIC)

    def start(self, name: str, *words: str) -> Child:
        """SIPp; it gives up by itself."""
        more = ["-nostdin", "-timeout", "30s", "-timeout_error", "-trace_msg", "-message_file", f"{name}.messages"]
        more += ["-trace_err", "-error_file", f"{name}.errors"]
        return Child(self, self.sipp, *words, *more, folder=self.folder)

    async def go(self, algorithms: str, password: str) -> tuple[int, str, str]:
        """alice registers and calls: SIPp's status, what bob got, what the bridge said."""
        bridge = await start_bridge(
            self,
            CONFIGURATION.format(
                public=PUBLIC, public_port=self.public_port, private=PRIVATE, bob=BOB, bob_port=self.bob_port,
                private_port=free_port("udp", PRIVATE), algorithms=algorithms,
            ),
            self.folder,
        )  # fmt: skip
        self.start("bob", "-sn", "uas", "-i", BOB, "-p", str(self.bob_port))
        await bound("udp", self.bob_port)
        alice = self.start(
            "alice", "-sf", str(SCENARIO), "-m", "20", "-r", "20", "-i", ALICE, "-p", str(free_port("udp", ALICE)),
            "-s", "bob", "-au", "alice", "-ap", password, f"{PUBLIC}:{self.public_port}",
        )  # fmt: skip
        status = await alice.ended
        self.assertEqual(await bridge.end(SIGINT), 0)
        self.assertNotIn("Traceback", bridge.output)
        log = self.folder / "bob.messages"
        return status, log.read_text() if os.path.exists(log) else "", bridge.output

    async def test_right(self) -> None:
        """Twenty times registered and called, each with nonces of its own; bob sees none of the credentials."""
        status, heard, _ = await self.go('["MD5"]', PASSWORD)
        self.assertEqual(
            status, 0, (self.folder / "alice.errors").exists() and (self.folder / "alice.errors").read_text()
        )
        self.assertEqual(heard.count("\nINVITE sip:bob@"), 20)
        self.assertNotIn("uthorization", heard)

    async def test_wrong(self) -> None:
        """Another password: asked again, and nothing reaches bob."""
        status, heard, said = await self.go('["MD5"]', "battery staple")
        self.assertNotEqual(status, 0)
        self.assertNotIn("INVITE", heard)
        self.assertIn('no user "alice" with this password', said)
