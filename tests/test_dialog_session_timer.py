"""A leg's session timer by itself (RFC 4028): every cell of the table, what is said, what is agreed, and when."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.dialog.session_timer import (
    TABLE,
    Do,
    Input,
    SessionTimer,
    State,
    add_option,
    expires_of,
    min_se_of,
    too_short,
)
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Headers, Request, Response

FIGURE = """
OFF OURS -> OURS NOTHING
OFF THEIRS -> THEIRS NOTHING
OURS THEIRS -> THEIRS NOTHING
OURS NONE -> OFF NOTHING
OURS DUE -> REFRESHING REFRESH
OURS EXPIRED -> OVER HANG_UP
REFRESHING OURS -> OURS NOTHING
REFRESHING THEIRS -> THEIRS NOTHING
REFRESHING NONE -> OFF NOTHING
REFRESHING EXPIRED -> OVER HANG_UP
REFRESHING REFUSED -> OURS NOTHING
THEIRS OURS -> OURS NOTHING
THEIRS NONE -> OFF NOTHING
THEIRS DUE -> OVER HANG_UP
THEIRS EXPIRED -> OVER HANG_UP
"""


def request(method: str = "INVITE", **headers: str) -> Request:
    """A peer's request."""
    return Request(method, "sip:a@b", {name.replace("_", "-"): [value] for name, value in headers.items()})


def response(**headers: str) -> Response:
    """A peer's 200."""
    return Response(200, "OK", {name.replace("_", "-"): [value] for name, value in headers.items()})


class Table(SynchronousTestCase):
    """`TABLE`."""

    def test_every_cell(self) -> None:
        """RFC 4028 10: each state decides each input, and as the figure says; what it leaves out changes nothing."""
        written: dict[tuple[State, Input], tuple[State, Do]] = {}
        for line in FIGURE.strip().splitlines():
            at, what, _, where, do = line.split()
            written[State[at], Input[what]] = State[where], Do[do]
        for state in State:
            for event in Input:
                wanted = written.pop((state, event), (state, Do.NOTHING))
                self.assertEqual(tuple(TABLE[state][event]), wanted, (state, event))
        self.assertEqual(written, {})


class AsServer(SynchronousTestCase):
    """What our 2xx says (RFC 4028 9)."""

    def said(self, timer: SessionTimer, asked: Request) -> tuple[str, bool]:
        """Session-Expires of our 2xx, and whether it requires the timer."""
        headers: Headers = {}
        timer.answer(asked, headers)
        return headers.get("Session-Expires", [""])[0], "timer" in headers.get("Require", [])

    def test_table_2(self) -> None:
        """RFC 4028 9, table 2: who refreshes, by what the peer supports and asks for."""
        for supported, refresher, wanted, required in (
            ("", "", "uas", False),
            ("", ";refresher=uac", "uas", False),
            ("timer", "", "uac", True),
            ("replaces, Timer", ";refresher=uac", "uac", True),
            ("timer", ";refresher=UAS", "uas", False),
        ):
            asked = request(Supported=supported, Session_Expires=f"1800{refresher}")
            self.assertEqual(self.said(SessionTimer(), asked), (f"1800;refresher={wanted}", required))
        asked = request(Require="timer", Session_Expires="1800")
        self.assertEqual(self.said(SessionTimer(), asked), ("1800;refresher=uac", True))

    def test_how_long(self) -> None:
        """RFC 4028 9: no longer than asked for, no shorter than the request's Min-SE; ours where it asks for none."""
        for wanted, asked, said in (
            (600, {"Session_Expires": "1800"}, "600"),
            (600, {"Session_Expires": "1800", "Min_SE": "900"}, "900"),
            (600, {"Session_Expires": "300"}, "300"),
            (600, {}, "600"),
            (600, {"Min_SE": "900"}, "900"),
            (0, {"Session_Expires": "1800"}, "1800"),
            (0, {}, ""),
        ):
            told, _ = self.said(SessionTimer(wanted), request(Supported="timer", **asked))
            self.assertEqual(told.partition(";")[0], said, asked)
        self.assertEqual(self.said(SessionTimer(600), request()), ("", False))  # it knows of no timer

    def test_again(self) -> None:
        """A refresh that says nothing of it keeps what was agreed; the refresher is named as seen from its sender."""
        timer = SessionTimer()
        asked = request(Supported="timer", Session_Expires="1800;refresher=uas")
        self.said(timer, asked)
        timer.agree(0.0)
        self.assertEqual(self.said(timer, request("UPDATE", Supported="timer")), ("1800;refresher=uas", False))
        self.assertEqual(self.said(timer, request("UPDATE")), ("", False))


class AsClient(SynchronousTestCase):
    """What our requests say, and what is agreed (RFC 4028 7)."""

    def asked(self, timer: SessionTimer) -> tuple[str, str]:
        """Session-Expires and Min-SE of our request."""
        headers: Headers = {"Supported": ["replaces"]}
        timer.ask(headers)
        self.assertEqual(headers["Supported"], ["replaces", "timer"])
        return headers.get("Session-Expires", [""])[0], headers.get("Min-SE", [""])[0]

    def test_ask(self) -> None:
        """RFC 4028 7.1: who refreshes is for the peer to say; 7.4: in a refresh it stays as it is."""
        self.assertEqual(self.asked(SessionTimer(1800)), ("1800", ""))
        self.assertEqual(self.asked(SessionTimer(1800, 2000)), ("2000", "2000"))
        self.assertEqual(self.asked(SessionTimer()), ("", ""))
        for refresher in ("uac", "uas"):
            timer = SessionTimer()
            timer.hear(response(Session_Expires=f"600;refresher={refresher}"))
            timer.agree(0.0)
            self.assertEqual(self.asked(timer), (f"600;refresher={refresher}", ""))

    def test_hear(self) -> None:
        """RFC 4028 7.2: none means none; what is too short to be right counts as the shortest there is."""
        timer = SessionTimer(1800)
        for said, seconds, ours in (
            ("600;refresher=uas", 600, False),
            ("600", 600, True),
            ("5;refresher=uac", 90, True),
        ):
            timer.hear(response(Session_Expires=said))
            self.assertEqual((timer.seconds, timer.ours), (seconds, ours))
        timer.hear(response())
        timer.agree(0.0)
        self.assertFalse(timer.runs)

    def test_422(self) -> None:
        """RFC 4028 7.3: a longer interval than ours is learned; anything else is of no use."""
        timer = SessionTimer(1800)
        self.assertFalse(timer.insists(response()))
        self.assertFalse(timer.insists(response(Min_SE="1800")))
        self.assertTrue(timer.insists(response(Min_SE="2000;x=y")))
        self.assertFalse(timer.insists(response(Min_SE="2000")))
        self.assertEqual(self.asked(timer), ("2000", "2000"))
        self.assertEqual(self.asked(timer.another()), ("2000", "2000"))


class InTime(SynchronousTestCase):
    """When what is due."""

    def agreed(self, seconds: int, ours: bool) -> SessionTimer:
        """At 1000."""
        timer = SessionTimer()
        timer.hear(response(Session_Expires=f"{seconds};refresher={'uac' if ours else 'uas'}"))
        timer.agree(1000.0)
        return timer

    def test_ours(self) -> None:
        """RFC 4028 10: at half the interval; the end is the end."""
        timer = self.agreed(200, True)
        self.assertIs(timer.look(1099.9), Do.NOTHING)
        self.assertIs(timer.look(1100.0), Do.REFRESH)
        self.assertIs(timer.look(1150.0), Do.NOTHING)
        self.assertIs(timer.look(1200.0), Do.HANG_UP)
        self.assertIs(timer.look(1300.0), Do.NOTHING)

    def test_theirs(self) -> None:
        """RFC 4028 10: BYE before the end, by 32 seconds or a third of the interval."""
        for seconds, due in ((90, 60), (1800, 1768)):
            timer = self.agreed(seconds, False)
            self.assertIs(timer.look(1000.0 + due - 0.1), Do.NOTHING)
            self.assertIs(timer.look(1000.0 + due), Do.HANG_UP)

    def test_refused(self) -> None:
        """Again after the wait, or when half of what is left has passed; never after the end."""
        timer = self.agreed(200, True)
        timer.look(1100.0)
        timer.refused(1110.0, 3.0)
        self.assertEqual(timer.due, 1113.0)
        timer.look(1113.0)
        timer.refused(1120.0)
        self.assertEqual(timer.due, 1160.0)
        timer.look(1160.0)
        timer.refused(1199.0)
        self.assertEqual(timer.due, 1200.0)
        theirs = self.agreed(200, False)
        due = theirs.due
        theirs.refused(1001.0, 1.0)
        self.assertEqual(theirs.due, due)


class Values(SynchronousTestCase):
    """Headers, and the session that is kept."""

    def test_expires(self) -> None:
        """RFC 4028 4."""
        self.assertIsNone(expires_of(request()))
        for text, said in (("90", (90, "")), ("90 ; Refresher=UAC;x=y", (90, "uac")), ("1;refresher=me", (1, ""))):
            self.assertEqual(expires_of(request(Session_Expires=text)), said)
        for wrong in ("", "x", "-1", "1 2", "4294967296", "90;refresher=uac;refresher=uas"):
            self.assertRaises(Malformed, expires_of, request(Session_Expires=wrong))

    def test_min_se(self) -> None:
        """RFC 4028 5."""
        self.assertEqual((min_se_of(request()), min_se_of(request(Min_SE="90 ;x"))), (0, 90))
        self.assertRaises(Malformed, min_se_of, request(Min_SE="often"))

    def test_too_short(self) -> None:
        """RFC 4028 9; only of what can refresh a session, and wrong values are found here."""
        self.assertTrue(too_short(request(Session_Expires="89"), 90))
        self.assertFalse(too_short(request(Session_Expires="90"), 90))
        self.assertFalse(too_short(request(Min_SE="90"), 90))
        self.assertFalse(too_short(request("INFO", Session_Expires="x"), 90))
        self.assertRaises(Malformed, too_short, request(Min_SE="x"), 90)

    def test_keep(self) -> None:
        """The last session description, of whatever message."""
        timer = SessionTimer()
        for kind, body in (("application/sdp", b"v=0\r\n"), ("text/plain", b"hi"), ("application/sdp", b"")):
            timer.keep(Response(200, "OK", {"Content-Type": [kind]}, body))
        self.assertEqual(timer.session, b"v=0\r\n")

    def test_options(self) -> None:
        """Each tag once."""
        headers: Headers = {"Supported": ["a, Timer"]}
        add_option(headers, "Supported", "timer")
        add_option(headers, "Supported", "b")
        self.assertEqual(headers["Supported"], ["a, Timer", "b"])
