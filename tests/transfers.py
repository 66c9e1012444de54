"""Four phones for transfers: alice and dave are in "public", bob and carol in "private"; each calls by the bridge."""

from __future__ import annotations

import re

from b2bua.ops.phone import Dialog, Sent
from b2bua.sip.message import Headers, Request
from tests.world import TWO_SIDES, Party, World

PLACES = {"alice": "192.0.2.20", "dave": "192.0.2.30", "bob": "10.0.0.20", "carol": "10.0.0.30"}
OUTSIDE = {"erin": "192.0.2.40", "frank": "10.0.0.40"}  # whose calls do not all pass the bridge

ONE_TRANSPORT = re.sub(r'\[\[listener\]\]\nname = "[a-z]+-tcp"\n(?:[a-z]+ = .*\n)+', "", TWO_SIDES)
SIDES = ONE_TRANSPORT.partition("[[route]]")[0]
HOSTS = {user: f"{user}.{'atlanta' if place.startswith('192') else 'biloxi'}.example" for user, place in PLACES.items()}


def routes(more: str = "") -> str:
    """A route to each of them, from both sides, with `more` lines in each."""
    return SIDES + "".join(
        f'[[route]]\nname = "to {user}"\nuser = "exact:{user}"\nto = "sip:{place};transport=udp"\n'
        f'send_from = "{"public" if place.startswith("192") else "private"}"\n{more}\n'
        for user, place in {**PLACES, **OUTSIDE}.items()
    )


class Four(World):
    """The world with the four of them, and with who calls past the bridge if they are asked for."""

    def __init__(self, more: str = "", configuration: str = "") -> None:
        super().__init__(configuration or routes(more))
        self.carol, self.dave = self.phone("carol", PLACES["carol"]), self.phone("dave", PLACES["dave"])
        for party in self.phones:
            party.address = f"<sip:{party.user}@{HOSTS[party.user]}>"

    def talk(self, caller: Party, callee: Party) -> tuple[Dialog, Dialog]:
        """An answered call: the caller's dialog and the callee's."""
        return self.call(caller, callee, f"sip:{callee.user}@{caller.proxy.address}")


def replaces(dialog: Dialog) -> str:
    """What names a dialog to the peer of who says it: its tag first (RFC 3891 3)."""
    return f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"


def replaced_at(dialog: Dialog) -> str:
    """The same as the phone reads it that has this dialog."""
    return f"{dialog.call_id};to-tag={dialog.local_tag};from-tag={dialog.remote_tag}"


def embedded(dialog: Dialog) -> str:
    """The same within a URI."""
    return "Replaces=" + replaces(dialog).replace("@", "%40").replace(";", "%3B").replace("=", "%3D")


def refer(dialog: Dialog, to: str, headers: Headers | None = None) -> Sent:
    """REFER inside a call; Refer-To is `to`, within angle brackets."""
    party = dialog.phone
    return dialog.ask("REFER", headers={"Refer-To": [f"<{to}>"], "Referred-By": [party.address], **(headers or {})})


def notify(dialog: Dialog, status: str, state: str = "active;expires=60", number: int | None = None) -> Sent:
    """NOTIFY of a transfer, with more in its body than may cross."""
    event = "refer" if number is None else f"refer;id={number}"
    headers = {
        "Event": [event],
        "Subscription-State": [state],
        "Content-Type": ["message/sipfrag;version=2.0"],
    }
    host = dialog.phone.at.address
    body = f"SIP/2.0 {status} at {host}\r\nVia: SIP/2.0/UDP {host}\r\nContact: <sip:{host}>\r\n".encode()
    return dialog.ask("NOTIFY", body, headers)


def asked(dialog: Dialog, method: str) -> Request:
    """The last request of this method that a phone got."""
    message = dialog.last(method)
    assert isinstance(message, Request)
    return message
