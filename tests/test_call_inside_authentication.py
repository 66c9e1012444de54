"""Pass-through registration where the border asks for passwords too: what proves a phone to us is for us alone."""

from __future__ import annotations

from tests.credentials import challenges, credentials, line
from tests.registering import Registration
from tests.test_call_inside import ACCESS, Access, Inside
from tests.world import World

REALM, PASSWORD, HOME = "border.example", "correct horse", "sip:example.com"
ASKING = (
    ACCESS.replace('name = "public"\n', 'name = "public"\nauthenticate = ["REGISTER"]\n', 1).replace(
        "[registrar]\n", '[registrar]\ndomains = ["example.com"]\n'
    )
    + f'\n[authentication]\nrealm = "{REALM}"\nusers = "users"\n'
)


class Asking(Access):
    """Two registrars inside, behind a zone that asks for passwords."""

    configuration = ASKING

    def made(self, begin: float) -> World:
        """A world, with phones."""
        users = line("alice", PASSWORD, REALM, "SHA-256", "MD5")
        world = World(self.configuration, {"users": users}, begin=begin)
        self.one, self.two = (Inside(world.phone(name, f"10.0.0.2{at}")) for at, name in ((1, "one"), (2, "two")))
        self.line = Registration(world.alice, world.alice.by_proxy())
        return world

    def prove(self, *more: str, line: Registration | None = None) -> int:
        """Alice registers with the password for us, and with what more she says; what it comes to."""
        line = line or self.line
        line.headers = {}
        asked = challenges(self.answer(self.register(line=line)))[0]
        proof = credentials(asked, "alice", PASSWORD, "REGISTER", f"sip:{line.domain}")
        line.headers = {"Authorization": [proof, *more]}
        return self.answer(self.register(line=line)).status


class TestBothAsk(Asking):
    """A realm on each side of us."""

    def test_ours_stay_here(self) -> None:
        """No REGISTER inside has what was for us: neither the phone's own nor ours when the phone is gone."""
        inside = 'Digest username="alice", realm="example.com", nonce="n1", uri="sip:example.com", response="0a"'
        self.one.asks = True
        self.assertEqual(self.prove(), 401)  # the inside's
        self.assertEqual(self.prove(inside), 200)
        self.gone()
        self.assertIn(";expires=0", self.one.last.first("Contact"))
        self.assertEqual(self.one.last.headers["Authorization"], [inside])
        for request in self.one.requests:
            self.assertNotIn(REALM, str(request.headers))


class TestDomains(Asking):
    """Several domains inside, and one realm of ours."""

    configuration = ASKING.replace(
        'name = "private"\n', 'name = "private"\nkeep_hosts = ["From", "To", "Request-URI"]\n', 1
    )

    def test_of_another_domain(self) -> None:
        """Who is alice here is not alice everywhere: the inside, which takes our word for it, hears nothing."""
        stranger = Registration(self.world.alice, self.world.alice.by_proxy(), domain="tenant.example")
        self.assertEqual(self.prove(line=stranger), 403)
        self.assertEqual((self.one.requests, self.passages), ([], []))
        self.assertEqual(self.prove(), 200)
        self.assertEqual(self.one.last.to.uri.host, "example.com")
