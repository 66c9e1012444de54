"""A real carrier: kamailio lets nobody register or call without credentials, and calls us where we registered."""

from __future__ import annotations

from pathlib import Path
from signal import SIGINT, SIGTERM

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from b2bua.ops.phonelines import Lines, free_port
from b2bua.sip.listener import Flow
from tests.children import Child, bound, start_bridge
from tests.programs import need

CARRIER, INSIDE = "127.0.0.1", "127.0.0.2"
BRIDGE = """
[[zone]]
name = "carrier"
leaks = "refuse"
[[zone]]
name = "inside"
leaks = "refuse"
[[listener]]
name = "carrier"
zone = "carrier"
transport = "udp"
address = "127.0.0.1"
port = {bridge}
[[listener]]
name = "inside"
zone = "inside"
transport = "udp"
address = "127.0.0.2"
port = {inside}
[[credentials]]
realm = "carrier.example"
user = "4420"
password = "swordfish"
to = "sip:127.0.0.1:{kamailio}"
[[registration]]
aor = "sip:4420@carrier.example"
registrar = "sip:127.0.0.1:{kamailio};transport=udp"
send_from = "carrier"
[[route]]
zone = "inside"
to = "sip:127.0.0.1:{kamailio};transport=udp"
send_from = "carrier"
[[route]]
zone = "carrier"
user = "4420"
to = "sip:127.0.0.2:{pbx};transport=udp"
send_from = "inside"
"""
KAMAILIO = """#!KAMAILIO
debug=1
log_stderror=yes
fork=no
disable_tcp=yes
listen=udp:127.0.0.1:{kamailio}
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "nonce_expire", 60)
request_route {{
    if (is_method("ACK")) {{
        if (loose_route() || t_check_trans()) t_relay();
        exit;
    }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("carrier.example", "swordfish", "0")) {{
            www_challenge("carrier.example", "1");
            exit;
        }}
        xlog("L_ERR", "registered $tu $ct\\n");
        save("location");
        exit;
    }}
    if ($sp == {bridge} && is_method("INVITE|BYE|INFO")) {{
        if (!pv_proxy_authenticate("carrier.example", "swordfish", "0")) {{
            xlog("L_ERR", "challenged $rm\\n");
            proxy_challenge("carrier.example", "1");
            exit;
        }}
        xlog("L_ERR", "proved $rm\\n");
        consume_credentials();
    }}
    if (has_totag()) {{
        loose_route();
        t_relay();
        exit;
    }}
    record_route();
    if ($sp == {bridge}) {{
        $du = "sip:127.0.0.1:{phone}";
    }} else if (!lookup("location")) {{
        sl_send_reply("404", "Not Found");
        exit;
    }}
    t_relay();
}}
"""


class TestKamailio(TestCase):
    """Register, call out, be called, hang up, and leave."""

    timeout = 90

    async def carried(self, algorithm: str) -> None:
        """All of it, with one algorithm."""
        kamailio, folder = need("kamailio"), Path(self.mktemp()).absolute()
        folder.mkdir()
        lines = Lines(reactor)
        try:
            pbx, phone = lines.phone("pbx", "udp", INSIDE), lines.phone("phone", "udp", CARRIER)
            ports = {
                "bridge": free_port("udp", CARRIER),
                "inside": free_port("udp", INSIDE),
                "kamailio": free_port("udp", CARRIER),
                "pbx": pbx.at.port,
                "phone": phone.at.port,
            }
            (folder / "kamailio.cfg").write_text(KAMAILIO.format(algorithm=algorithm, **ports))
            carrier = Child(self, kamailio, "-f", str(folder / "kamailio.cfg"), "-Y", str(folder), folder=folder)
            await bound("udp", ports["kamailio"])
            bridge = await start_bridge(self, BRIDGE.format(**ports), folder)
            await bridge.says("sip:4420@carrier.example is registered")
            self.assertIn(f"<sip:4420@127.0.0.1:{ports['bridge']};transport=udp>", carrier.output)

            out = pbx.invite(f"sip:+331234@{INSIDE}:{ports['inside']}")
            await lines.until(lambda: out.up, "the answer")
            await carrier.says("challenged INVITE")
            await carrier.says("proved INVITE")
            out.info("5")
            await lines.until(lambda: out.sent is not None and out.sent.status == 200, "the answer to INFO")
            out.bye()
            await lines.until(lambda: out.sent is not None and out.sent.status == 200, "the answer to BYE")
            self.assertEqual(out.times("407 INVITE") + out.times("401 INVITE"), 0)
            await carrier.says("proved BYE")
            self.assertNotIn("challenged BYE", carrier.output)

            way = Flow(phone.at, CARRIER, ports["kamailio"], None, CARRIER)
            back = phone.invite("sip:4420@carrier.example", way)
            await lines.until(lambda: back.up, "the answer to the carrier's call")
            pbx.dialogs[-1].bye()
            await lines.until(lambda: back.over, "the BYE")

            before = carrier.output.count("registered")
            self.assertEqual(await bridge.end(SIGINT), 0)
            await carrier.says("registered", before + 1)
            gone = phone.invite("sip:4420@carrier.example", way)
            await lines.until(lambda: gone.times("404 INVITE") > 0, "404")
            self.assertNotIn("Traceback", bridge.output)
            self.assertNotIn("swordfish", bridge.output)
            await carrier.end(SIGTERM)
        finally:
            await lines.close()

    async def test_sha_256(self) -> None:
        """RFC 8760."""
        await self.carried("SHA-256")

    async def test_md5(self) -> None:
        """What everybody has."""
        await self.carried("MD5")
