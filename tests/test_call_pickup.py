"""Call pickup through the bridge (RFC 5359 2.9): a lamp is watched, and the call that rings there is taken over.

Carol watches Bob's lamp (RFC 4235), and sees the dialog that rings by the ids that it has on her own side (S37, S38).
With them she calls Alice, who gives her the call that Bob has not answered (RFC 3891).
"""

from __future__ import annotations

import re
from importlib.util import find_spec

from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.crossing import OPTION_TAGS
from b2bua.sip.message import Request
from tests.world import World

URI = "sip:bob@biloxi.example"
DIALOG_INFO = """<?xml version="1.0"?>
<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" entity="sip:bob@10.0.0.20">
<dialog id="d1" call-id="{}" local-tag="{}" remote-tag="{}" direction="recipient"><state>early</state>
<local><identity>sip:bob@10.0.0.20</identity><target uri="sip:bob@10.0.0.20:5060"/></local>
</dialog></dialog-info>
"""


class Pickup(SynchronousTestCase):
    """RFC 5359 2.9, the bridge between the watcher and the lamp."""

    if "replaces" not in OPTION_TAGS or find_spec("b2bua.policy.bodies") is None:
        skip = "dialogs' names do not cross yet"

    def setUp(self) -> None:
        """Alice calls Bob, whose phone rings; Carol, on Alice's side, watches his lamp."""
        self.world = world = World()
        self.carol = world.phone("carol", "192.0.2.30")
        self.lamp = self.carol.subscribe(URI, "dialog", 600, headers={"Accept": ["application/dialog-info+xml"]})
        world.bob.says(200, headers={"Expires": ["600"]})
        world.settle()
        self.told = world.bob.talk
        self.near = world.alice.invite(URI)
        world.bob.says(180)
        world.settle()
        self.far = world.bob.talk
        body = DIALOG_INFO.format(self.far.call_id, self.far.local_tag, self.far.remote_tag).encode()
        self.told.notify("dialog", "active;expires=600", body, {"Content-Type": ["application/dialog-info+xml"]})
        self.carol.says(200)
        world.forget()

    def seen(self) -> tuple[str, str, str]:
        """Call-ID, local and remote tag of the dialog as Carol sees it."""
        notify = self.lamp.last("NOTIFY")
        found = dict(re.findall(rb"(call-id|local-tag|remote-tag)=['\"]([^'\"]+)['\"]", notify.body))
        return found[b"call-id"].decode(), found[b"local-tag"].decode(), found[b"remote-tag"].decode()

    def test_the_lamp_shows_the_callers_dialog(self) -> None:
        """S37, S38: on Carol's side the dialog that rings is Alice's with the bridge; nothing of Bob's side shows."""
        self.assertEqual(self.seen(), (self.near.call_id, self.near.remote_tag, self.near.local_tag))
        self.assertNotIn(b"10.0.0.", b"".join(self.carol.bytes_in))

    def test_the_call_is_picked_up(self) -> None:
        """INVITE with Replaces reaches Alice by her own ids; she takes it, and Bob rings no more."""
        world, carol = self.world, self.carol
        call_id, local, remote = self.seen()
        replaces = {"Replaces": [f"{call_id};to-tag={remote};from-tag={local};early-only"]}
        taken = carol.invite("sip:alice@atlanta.example", headers=replaces)
        world.settle()
        offered = world.alice.talk.last("INVITE")
        assert isinstance(offered, Request)
        names = f"{self.near.call_id};to-tag={self.near.local_tag};from-tag={self.near.remote_tag};early-only"
        self.assertEqual(offered.headers["Replaces"], [names])
        world.alice.says(200)
        world.settle()
        self.assertEqual((taken.times("200 INVITE"), world.alice.talk.times("ACK")), (1, 1))
        self.near.cancel()
        world.settle()
        self.assertEqual(self.far.times("CANCEL"), 1)
        self.assertEqual(self.near.times("487 INVITE"), 1)
        world.bob.open.clear()
        taken.bye()
        world.alice.says(200, to="BYE")
        self.told.notify("dialog", "terminated;reason=noresource")
        carol.says(200)
        world.settle()
        world.quiet()
