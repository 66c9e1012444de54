"""The operator's policy in Python: what it sees, what it may answer, and how its mistakes are told."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.mistakes import ConfigurationError
from b2bua.policy.routing import Answer, Go, Reject
from b2bua.policy.script import RequestView, Script, load_script
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request, parse
from b2bua.sip.uri import parse_uri

PUBLIC = Listener("public-udp", "public", "udp", "192.0.2.1", 5060)
PRIVATE = Listener("private-udp", "private", "udp", "10.0.0.1", 5060)
FLOW = Flow(PUBLIC, "198.51.100.7", 5062)
INVITE = cast(
    Request,
    parse(
        b"INVITE sip:%2a33b@Media.Example;user=phone SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK1\r\n"
        b'From: "Alice" <sip:alice@example.com>;tag=a\r\n'
        b"To: <sip:%2a33b@media.example>\r\n"
        b"Call-ID: 1\r\n"
        b"CSeq: 1 INVITE\r\n"
        b"s: hello\r\n"
        b"x-account: 1\r\n"
        b"X-Account: 2\r\n"
        b"\r\n"
    ),
)


class ScriptCase(SynchronousTestCase):
    """Writes a policy and loads it."""

    def write(self, text: str) -> str:
        """The path of a policy with this text."""
        path = Path(self.mktemp())
        path.mkdir()
        (path / "policy.py").write_text(text)
        return str(path / "policy.py")

    def load(self, body: str, before: str = "") -> Script:
        """A policy whose route does this."""
        head = "from b2bua.policy.routing import Go, Reject\n" + before
        return load_script(self.write(f"{head}\ndef route(request, listeners):\n    {body}\n"))

    def ask(self, body: str, before: str = "") -> Answer | None:
        """What that policy answers."""
        said = self.load(body, before)(INVITE, FLOW, [PUBLIC, PRIVATE])
        assert not inspect.iscoroutine(said)
        return cast("Answer | None", said)


class TestView(SynchronousTestCase):
    """What a policy sees of a request."""

    def setUp(self) -> None:
        """One view."""
        self.view = RequestView(INVITE, FLOW)

    def test_what_it_shows(self) -> None:
        """Everything that rules can ask for, and From and To."""
        view = self.view
        self.assertEqual(view.method, "INVITE")
        self.assertEqual(str(view.uri), "sip:%2a33b@Media.Example;user=phone")
        self.assertEqual(view.user, "*33b")
        self.assertEqual(view.domain, "media.example")
        self.assertEqual(view.from_.uri.user, "alice")
        self.assertEqual(view.from_.display, '"Alice"')
        self.assertEqual(view.to.uri.host, "media.example")
        self.assertEqual(view.header("Subject"), ("hello",))
        self.assertEqual(view.header("X-ACCOUNT"), ("1", "2"))
        self.assertEqual(view.header("X-Other"), ())
        self.assertEqual(view.source, ("198.51.100.7", 5062))
        self.assertIs(view.listener, PUBLIC)
        self.assertEqual(view.zone, "public")
        self.assertEqual(view.proved, "")
        self.assertEqual(RequestView(INVITE, FLOW, "alice").proved, "alice")
        self.assertEqual(repr(view), "<INVITE sip:%2a33b@Media.Example;user=phone from 198.51.100.7>")

    def test_read_only(self) -> None:
        """What a policy does with what it gets never reaches the request."""
        view = self.view
        for name in ("method", "uri", "user", "listener", "zone", "from_"):
            self.assertRaises(AttributeError, setattr, view, name, None)
        self.assertRaises(AttributeError, setattr, view, "anything", None)
        view.uri.host = view.from_.uri.host = view.to.uri.host = "elsewhere.example"
        view.from_.params["tag"] = "b"
        self.assertEqual(INVITE.uri.host, "Media.Example")
        self.assertEqual(str(INVITE.from_), '"Alice" <sip:alice@example.com>;tag=a')
        self.assertEqual(INVITE.to.uri.host, "media.example")


class TestAnswers(ScriptCase):
    """What a policy may return."""

    def test_none(self) -> None:
        """None goes on to the rules."""
        self.assertIsNone(self.ask("return None"))
        self.assertIsNone(self.ask("pass"))

    def test_go(self) -> None:
        """A URI as text, several, a Uri, the Request-URI; the answer says which policy it came from."""
        one = parse_uri("sip:10.0.0.5;transport=tcp")
        other = parse_uri("sip:10.0.0.6")
        for body, expected in (
            ('return Go("sip:10.0.0.5;transport=tcp")', Go((one,), "auto", "policy.py")),
            ('return Go(to="sip:10.0.0.6", send_from="private")', Go((other,), "private", "policy.py")),
            ('return Go(["sip:10.0.0.5;transport=tcp", "sip:10.0.0.6"])', Go((one, other), "auto", "policy.py")),
            ('return Go("request-uri", send_from=listeners[1])', Go((), "private-udp", "policy.py")),
            ("return Go(send_from='private')", Go((), "private", "policy.py")),
            (
                'uri = request.uri; uri.host = "10.0.0.5"; return Go(uri, rule="mine")',
                Go((parse_uri("sip:%2a33b@10.0.0.5;user=phone"),), "auto", "mine"),
            ),
        ):
            self.assertEqual(self.ask(body), expected, body)

    def test_reject(self) -> None:
        """A status, and words for it."""
        self.assertEqual(self.ask("return Reject(403)"), Reject(403, "", "policy.py"))
        self.assertEqual(self.ask("return Reject(484, 'More digits')"), Reject(484, "More digits", "policy.py"))

    def test_wrong_type(self) -> None:
        """Anything else is an error like an exception."""
        for value in ('"sip:10.0.0.5"', "True", "Go", "('sip:10.0.0.5',)"):
            error = self.assertRaises(TypeError, self.ask, f"return {value}")
            self.assertTrue(str(error).startswith("policy.py: route returned "), str(error))
        error = self.assertRaises(TypeError, self.ask, "return 1")
        self.assertEqual(str(error), "policy.py: route returned 1, not Go, Reject or None")

    def test_exceptions_pass(self) -> None:
        """What a policy raises is its caller's: the call is answered 500."""
        self.assertRaises(ZeroDivisionError, self.ask, "1 / 0")
        self.assertRaises(ValueError, self.ask, 'return Go("10.0.0.5")')

    def test_listeners(self) -> None:
        """The listeners come as a tuple."""
        self.assertEqual(
            self.ask("return Reject(400 + len(listeners)) if type(listeners) is tuple else None"),
            Reject(402, "", "policy.py"),
        )


class TestCoroutines(ScriptCase):
    """A policy that has to wait for its answer."""

    def later(self, text: str) -> Deferred[Answer | None]:
        """The answer of a policy with this text."""
        said = load_script(self.write("from b2bua.policy.routing import Go, Reject\n" + text))(INVITE, FLOW, [PUBLIC])
        assert inspect.iscoroutine(said)
        return Deferred.fromCoroutine(said)

    def test_async_def(self) -> None:
        """A coroutine function."""
        answer = self.later("async def route(request, listeners):\n    return Reject(403)\n")
        self.assertEqual(self.successResultOf(answer), Reject(403, "", "policy.py"))

    def test_awaits_a_deferred(self) -> None:
        """It may await Deferreds, which fire whenever they do."""
        answer = self.later(
            "from twisted.internet.defer import Deferred\n"
            "waiting = []\n"
            "async def route(request, listeners):\n"
            "    waiting.append(Deferred())\n"
            "    return Reject(await waiting[0])\n"
        )
        self.assertNoResult(answer)
        waiting: list[Deferred[int]] = sys.modules["b2bua_policy_policy"].waiting
        waiting[0].callback(486)
        self.assertEqual(self.successResultOf(answer), Reject(486, "", "policy.py"))

    def test_returns_a_deferred(self) -> None:
        """A plain function may return a Deferred."""
        answer = self.later(
            "from twisted.internet.defer import succeed\ndef route(request, listeners):\n    return succeed(None)\n"
        )
        self.assertIsNone(self.successResultOf(answer))

    def test_failures(self) -> None:
        """What it raises, and a wrong answer, fail the Deferred."""
        self.failureResultOf(self.later("async def route(request, listeners):\n    1 / 0\n"), ZeroDivisionError)
        self.failureResultOf(self.later("async def route(request, listeners):\n    return 1\n"), TypeError)


class TestLoading(ScriptCase):
    """A file that is no policy says why, with its line."""

    def refusal(self, text: str) -> str:
        """What is said of a policy with this text, less its path."""
        path = self.write(text)
        error = self.assertRaises(ConfigurationError, load_script, path)
        (mistake,) = error.mistakes
        self.assertEqual(mistake.file, path)
        self.assertTrue(str(mistake).startswith(path))
        return str(mistake)[len(path) :]

    WANTED = "a policy defines route(request, listeners)"

    def test_good(self) -> None:
        """It is loaded with its path and name; nothing is written beside it."""
        path = self.write("def route(request, listeners, verbose=False):\n    pass\n")
        script = load_script(path)
        self.assertEqual((script.path, script.name), (path, "policy.py"))
        self.assertEqual([each.name for each in Path(path).parent.iterdir()], ["policy.py"])

    def test_loaded_anew(self) -> None:
        """What is loaded is what the file says now, even when it is as long and as old as before."""
        path = Path(self.write("from b2bua.policy.routing import Reject\ndef route(a, b):\n    return Reject(403)\n"))
        self.assertEqual(load_script(str(path))(INVITE, FLOW, []), Reject(403, "", "policy.py"))
        path.write_text(path.read_text().replace("403", "404"))
        self.assertEqual(load_script(str(path))(INVITE, FLOW, []), Reject(404, "", "policy.py"))

    def test_any_callable(self) -> None:
        """`route` may be an object that can be called, and a module may use dataclasses."""
        path = self.write(
            "from __future__ import annotations\n"
            "from dataclasses import dataclass\n"
            "from typing import ClassVar\n"
            "@dataclass\n"
            "class Router:\n"
            "    count: ClassVar[int] = 0\n"
            "    def __call__(self, request, listeners):\n"
            "        pass\n"
            "route = Router()\n"
        )
        self.assertIsNone(load_script(path)(INVITE, FLOW, []))

    def test_users(self) -> None:
        """`ha1` is there or not, and takes three arguments."""
        route = "def route(request, listeners):\n    pass\n"
        self.assertIsNone(load_script(self.write(route)).ha1)
        ha1 = load_script(self.write(f"{route}def ha1(user, realm, algorithm):\n    return user + realm\n")).ha1
        assert ha1 is not None
        self.assertEqual(ha1("a", "b", "MD5"), "ab")
        wanted = "a policy that knows users defines ha1(user, realm, algorithm)"
        self.assertEqual(self.refusal(f"{route}ha1 = 5\n"), f": ha1 is no function: {wanted}")
        said = f":3: ha1 cannot be called with three arguments (too many positional arguments): {wanted}"
        self.assertEqual(self.refusal(f"{route}def ha1(user):\n    pass\n"), said)

    def test_no_file(self) -> None:
        """A file that is not there, or is no file."""
        missing = self.mktemp()
        error = self.assertRaises(ConfigurationError, load_script, missing)
        self.assertEqual(str(error), f"{missing}: no such file")
        folder = str(Path(self.write("")).parent)
        error = self.assertRaises(ConfigurationError, load_script, folder)
        self.assertEqual(str(error), f"{folder}: cannot be read: Is a directory")

    def test_syntax(self) -> None:
        """What is not Python, by its line."""
        self.assertEqual(self.refusal("\n\ndef route(:\n"), ":3: not Python: invalid syntax")
        self.assertIn("null bytes", self.refusal("a = 1\0"))

    def test_syntax_elsewhere(self) -> None:
        """A module that the policy imports may be the one that is not Python: the line is the policy's."""
        self.assertEqual(self.refusal("\nfrom ast import parse\nparse('(')\n"), ":3: not Python: '(' was never closed")

    def test_exceptions(self) -> None:
        """An exception while it is loaded, by the last line of the policy that took part in it."""
        self.assertEqual(self.refusal("a = 1\nb = 1 / 0\n"), ":2: ZeroDivisionError: division by zero")
        self.assertEqual(self.refusal("def f():\n    raise RuntimeError\n\nf()\n"), ":2: RuntimeError")
        self.assertEqual(
            self.refusal("import nothing_of_that_name\n"),
            ":1: ModuleNotFoundError: No module named 'nothing_of_that_name'",
        )
        self.assertEqual(self.refusal("import sys\nsys.exit(3)\n"), ":2: SystemExit: 3")
        self.assertNotIn("b2bua_policy_policy", sys.modules)

    def test_no_route(self) -> None:
        """Without `route`, or with something else of that name, or with other parameters."""
        self.assertEqual(self.refusal("def rout(request, listeners): pass\n"), f": route is missing: {self.WANTED}")
        self.assertEqual(self.refusal("route = 5\n"), f": route is no function: {self.WANTED}")
        self.assertEqual(
            self.refusal("\ndef route(request): pass\n"),
            f":2: route cannot be called with two arguments (too many positional arguments): {self.WANTED}",
        )
        self.assertEqual(
            self.refusal("class Router:\n    def __call__(self, a, b, c): pass\nroute = Router()\n"),
            f": route cannot be called with two arguments (missing a required argument: 'c'): {self.WANTED}",
        )


class TestExample(SynchronousTestCase):
    """The policy that comes with the bridge."""

    def ask(self, uri: str, listener: Listener) -> Any:
        """What it says of an INVITE."""
        path = Path(__file__).resolve().parent.parent / "etc" / "examples" / "policy.py"
        request = Request("INVITE", uri, {})
        return load_script(str(path))(request, Flow(listener, "127.0.0.1", 5090), [PUBLIC, PRIVATE])

    def test_it(self) -> None:
        """End-points reach media servers by *33, media servers reach end-points, and nobody reaches anything else."""
        servers = parse_uri("sip:127.0.0.21:5060;transport=udp"), parse_uri("sip:127.0.0.22:5060;transport=udp")
        self.assertEqual(self.ask("sip:*3312@example.com", PUBLIC), Go(servers, "private-udp", "policy.py"))
        self.assertEqual(self.ask("sip:%2A3312@example.com", PUBLIC), Go(servers, "private-udp", "policy.py"))
        self.assertEqual(self.ask("sip:bob@192.0.2.9", PRIVATE), Go((), "public", "policy.py"))
        self.assertEqual(self.ask("sip:*33@example.com", PUBLIC), Reject(484, "The number is missing", "policy.py"))
        self.assertIsNone(self.ask("sip:bob@192.0.2.9", PUBLIC))

    def test_turns(self) -> None:
        """The media servers take turns at being tried first."""
        path = Path(__file__).resolve().parent.parent / "etc" / "examples" / "policy.py"
        script = load_script(str(path))
        request = Request("INVITE", "sip:*3312@example.com", {})
        first = [cast(Go, script(request, FLOW, [])).to[0].host for _ in range(3)]
        self.assertEqual(first, ["127.0.0.21", "127.0.0.22", "127.0.0.21"])
