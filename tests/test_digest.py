"""Digest: the grammar and the arithmetic (RFC 3261 22, RFC 7616, RFC 8760)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.digest import (
    ALGORITHMS,
    Challenge,
    Credentials,
    algorithm_of,
    expected,
    ha1,
    parse_challenge,
    parse_credentials,
)
from b2bua.sip.grammar import Malformed
from tests.hostile import LONG, TOKENS, repeating, steps

# RFC 7616 3.9.1
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
MUFASA = (
    f'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm={{}}, nonce="{NONCE}", '
    f'nc=00000001, cnonce="{CNONCE}", qop=auth, response="{{}}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
ANSWERS = {
    "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}

# What may stand in a quoted string once it is unquoted.
SAYABLE = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(at) for at in (*range(9), *range(10, 32), 127)]),
    max_size=30,
)


class TestArithmetic(SynchronousTestCase):
    """What the RFCs compute."""

    def test_rfc7616(self) -> None:
        """RFC 7616 3.9.1: MD5 and SHA-256, from the header as it stands there."""
        for algorithm, answer in ANSWERS.items():
            read = parse_credentials(MUFASA.format(algorithm, answer))
            assert read is not None
            secret = ha1(algorithm, read.username, read.realm, "Circle of Life")
            said = expected(algorithm, secret, "GET", read.uri, read.nonce, read.nc, read.cnonce, read.qop, b"ignored")
            self.assertEqual(said, answer)
            self.assertEqual(read.uses, 1)

    def test_rfc7616_sha512_256(self) -> None:
        """RFC 7616 3.9.2: SHA-512-256 over UTF-8, with the response that erratum 4897 gives."""
        nonce = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK"
        cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
        secret = ha1("SHA-512-256", "J\u00e4s\u00f8n Doe", "api@example.org", "Secret, or not?")
        said = expected("SHA-512-256", secret, "GET", "/doe.json", nonce, "00000001", cnonce, "auth")
        self.assertEqual(said, "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5")

    def test_rfc2617(self) -> None:
        """RFC 2617 3.5, and without qop."""
        secret = ha1("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life")
        nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
        said = expected("MD5", secret, "GET", "/dir/index.html", nonce, "00000001", "0a4f113b", "auth")
        self.assertEqual(said, "6629fae49393a05397450978507c4ef1")
        said = expected("MD5", secret, "GET", "/dir/index.html", nonce, "", "", "")
        self.assertEqual(said, "670fd8c2df070c60b045671b8b24ff02")

    def test_integrity_and_session(self) -> None:
        """auth-int covers the body; -sess mixes nonce and cnonce into HA1 (RFC 7616 3.4.2, 3.4.3)."""
        secret = ha1("MD5", "u", "r", "p")
        self.assertEqual(secret, ha1("MD5-sess", "u", "r", "p"))
        one, other = (
            expected("MD5", secret, "INVITE", "sip:x", "n", "00000001", "c", "auth-int", b) for b in (b"", b"x")
        )
        self.assertNotEqual(one, other)
        again = ha1("MD5", secret, "n", "c")  # the same shape: H(HA1:nonce:cnonce)
        self.assertEqual(
            expected("MD5-sess", secret, "INVITE", "sip:x", "n", "00000001", "c", "auth"),
            expected("MD5", again, "INVITE", "sip:x", "n", "00000001", "c", "auth"),
        )

    def test_names(self) -> None:
        """Names of algorithms do not heed case; what we do not know has none (RFC 8760 2.1)."""
        for plain in ALGORITHMS:
            self.assertEqual(algorithm_of(plain.lower()), plain)
            self.assertEqual(algorithm_of(plain.upper() + "-SESS"), plain + "-sess")
        for unknown in ("", "AKAv1-MD5", "SHA-1", "-sess", "md5 "):
            self.assertEqual(algorithm_of(unknown), "")


class TestChallenge(SynchronousTestCase):
    """WWW-Authenticate and Proxy-Authenticate."""

    def test_read(self) -> None:
        """RFC 3261 20.27: every parameter; what is not told of is passed over."""
        text = (
            'Digest realm="atlanta.example.com", domain="sip:ss1.carrier.example.com", qop="auth,auth-int", '
            'nonce="f84f1cec41e6cbe5aea9c8e88d359", opaque="", stale=FALSE, algorithm=MD5'
        )
        read = parse_challenge(text)
        self.assertEqual(
            read,
            Challenge("atlanta.example.com", "f84f1cec41e6cbe5aea9c8e88d359", "MD5", ("auth", "auth-int"), "", False),
        )
        self.assertEqual(
            parse_challenge('digest\trealm = "r" , nonce="n",stale="TRUE"'), Challenge("r", "n", stale=True)
        )
        self.assertEqual(
            parse_challenge('Digest realm="r", nonce="n", qop="auth , ,X"'), Challenge("r", "n", "MD5", ("auth", "x"))
        )

    def test_other_schemes(self) -> None:
        """Another scheme is nobody's fault."""
        for text in ("Basic", 'Basic realm="x"', "NTLM abc==", "Bearer x"):
            self.assertIsNone(parse_challenge(text))
            self.assertIsNone(parse_credentials(text))

    def test_written(self) -> None:
        """As RFC 8760 2.4 and RFC 3261 25.1 write it: qop quoted, stale and algorithm not."""
        self.assertEqual(
            str(Challenge('a"b\\', "n", "SHA-256", ("auth",), "o", True)),
            'Digest realm="a\\"b\\\\", nonce="n", opaque="o", stale=true, algorithm=SHA-256, qop="auth"',
        )
        self.assertEqual(str(Challenge("r", "n")), 'Digest realm="r", nonce="n", algorithm=MD5')

    @given(SAYABLE, SAYABLE, TOKENS, st.none() | SAYABLE, st.booleans())
    def test_there_and_back(self, realm: str, nonce: str, algorithm: str, opaque: str | None, stale: bool) -> None:
        """What is written is read as the same."""
        one = Challenge(realm, nonce, algorithm, ("auth", "auth-int"), opaque, stale)
        self.assertEqual(parse_challenge(str(one)), one)


class TestCredentials(SynchronousTestCase):
    """Authorization and Proxy-Authorization."""

    def test_read(self) -> None:
        """RFC 3261 22.4; a quoted string where a token belongs and quoted-pairs are read too."""
        read = parse_credentials(
            'DIGEST username="b\\o\\"b",realm="biloxi.com", nonce="n", uri="sip:b", qop="AUTH", nc=0000000A, '
            'cnonce="0a4f113b", response="6629FAE49393A05397450978507C4EF1", opaque="", algorithm="md5", auts="x"'
        )
        assert read is not None
        self.assertEqual(read.username, 'bo"b')
        self.assertEqual((read.qop, read.nc, read.uses, read.algorithm), ("auth", "0000000A", 10, "md5"))
        self.assertEqual((read.response, read.opaque), ("6629fae49393a05397450978507c4ef1", ""))
        old = parse_credentials('Digest username="u", realm="r", nonce="n", uri="u", response="00"')
        assert old is not None
        self.assertEqual((old.qop, old.uses, old.opaque, old.algorithm), ("", 0, None, "MD5"))

    def test_refused(self) -> None:
        """What is missing, doubled, ambiguous or does not end is refused, with the rule (RFC 7616 3.4)."""
        whole = {name: f'{name}="1"' for name in ("username", "realm", "nonce", "uri", "response")}
        parse_credentials("Digest " + ",".join(whole.values()))
        broken = ["Digest " + ",".join(part for name, part in whole.items() if name != left) for left in whole]
        fine = "Digest " + ", ".join(whole.values())
        broken += [
            "", "=", '"', "Digest", "Digest ", "Digest,", fine + ",", fine + ", ,x=y", fine + " x=y", fine + ', x="',
            fine + ', x="\\"', fine + ', Realm="2"', fine + ", x", fine + ", x=", fine + ', x="\x01"',
            fine + ', x="\\\n"',
            fine + ", nc=1", fine + ", nc=000000001", fine + ", nc=0000000g", fine + ", nc=\u0661\u0661111111",
            fine + ", qop=auth", fine + ", qop=auth, nc=00000001", fine + ', qop=auth, nc=00000001, cnonce=""',
            fine + ', qop=auth, cnonce="x"', fine.replace('response="1"', 'response="x"'),
            fine.replace('response="1"', 'response=""'), fine + "".join(f", x{n}=1" for n in range(60)),
            fine.replace('uri="1"', "uri=sip:bob@biloxi.com"), fine + ', x="a"b', fine + "\n",
        ]  # fmt: skip
        for text in broken:
            with self.assertRaises(Malformed) as caught:
                parse_credentials(text)
            self.assertEqual(caught.exception.status, 400, text)

    @given(SAYABLE, SAYABLE, SAYABLE, st.sampled_from(["", "auth", "auth-int"]), st.none() | SAYABLE)
    def test_there_and_back(self, user: str, realm: str, uri: str, qop: str, opaque: str | None) -> None:
        """What is written is read as the same."""
        one = Credentials(user, realm, "n", uri, "0a", "SHA-256", "c", qop, "0000000b" if qop else "", opaque)
        self.assertEqual(parse_credentials(str(one)), one)
        self.assertEqual(
            parse_credentials(str(one._replace(cnonce="", qop="", nc=""))), one._replace(cnonce="", qop="", nc="")
        )


class TestAnything(SynchronousTestCase):
    """Whatever is sent."""

    @given(
        st.sampled_from(["", "Digest ", 'Digest realm="', 'Digest username="u", realm="r", nonce="n", uri="u", ']), LONG
    )
    def test_any_text(self, before: str, text: str) -> None:
        """Any text is a value, another scheme, or Malformed with a status."""
        for read in (parse_challenge, parse_credentials):
            try:
                read(before + text)
            except Malformed as fault:
                self.assertEqual(fault.status, 400)

    def test_time(self) -> None:
        """Reading takes linear time."""

        def read(text: str) -> None:
            try:
                parse_credentials(text)
            except Malformed:
                pass

        for before, text in (
            ("Digest ", "a"), ("Digest ", " "), ("Digest a", " "), ("Digest a=", '"'), ('Digest a="', "\\"),
            ("Digest ", "a=b,"), ('Digest a="', '\\"'), ("Digest ", ","), ("Digest", "\t"),
        ):  # fmt: skip
            steps(self, repeating(read, before, text, ""))
