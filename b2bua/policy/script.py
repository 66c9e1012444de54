"""The operator's policy in Python: a file with `def route(request, listeners)`, which may be a coroutine function.

It may also have `def ha1(user, realm, algorithm)`, which says whose password is what (`policy.users`).

It sees the request through `RequestView`, and returns `Go`, `Reject`, or None to go on to the rules. What it raises is
not caught here: the call that asked is answered 500, and nothing else is harmed.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from b2bua.policy.mistakes import NOTHING, ConfigurationError, Mistake
from b2bua.policy.routing import Answer, Go, Reject
from b2bua.policy.rules.uri import dialled, domain
from b2bua.sip.address import Address, parse_address
from b2bua.sip.headers import canonical
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request
from b2bua.sip.uri import Uri, parse_uri

FUNCTION = "route"
USERS = "ha1"

Ha1 = Callable[[str, str, str], "str | None | Awaitable[str | None]"]


class RequestView:
    """A request as a policy sees it. Read-only: what it gives is a copy or cannot be changed."""

    __slots__ = ("_request", "_flow", "_proved")

    def __init__(self, request: Request, flow: Flow, proved: str = "") -> None:
        self._request = request
        self._flow = flow
        self._proved = proved

    @property
    def method(self) -> str:
        """`INVITE`, `MESSAGE`, ..."""
        return self._request.method

    @property
    def uri(self) -> Uri:
        """The Request-URI; `str()` gives its text. Its parts are escaped as they came."""
        return parse_uri(self._request.uri_text)

    @property
    def user(self) -> str:
        """The Request-URI's user with escapes undone, for comparing; to write it into a URI take `uri.user`."""
        return dialled(self._request.uri)

    @property
    def domain(self) -> str:
        """The Request-URI's host in lower case; IPv6 without brackets."""
        return domain(self._request.uri)

    @property
    def from_(self) -> Address:
        """From: `.uri`, `.display`, `.params`."""
        return parse_address(str(self._request.from_))

    @property
    def to(self) -> Address:
        """To: `.uri`, `.display`, `.params`."""
        return parse_address(str(self._request.to))

    def header(self, name: str) -> tuple[str, ...]:
        """Every value of a header as it came, in any spelling of its name; empty where there is none."""
        return tuple(self._request.headers.get(canonical(name), ()))

    @property
    def source(self) -> tuple[str, int]:
        """The address and port that the request came from, as the socket saw them."""
        return self._flow.host, self._flow.port

    @property
    def listener(self) -> Listener:
        """The listener on which it came in."""
        return self._flow.listener

    @property
    def zone(self) -> str:
        """The zone of that listener."""
        return self._flow.listener.zone

    @property
    def proved(self) -> str:
        """The user whose password the sender knows; empty where its zone asks for none."""
        return self._proved

    def __repr__(self) -> str:
        return f"<{self.method} {self._request.uri_text} from {self._flow.host}>"


class Script:
    """A loaded policy; calling it asks it."""

    __slots__ = ("path", "name", "ha1", "_route")

    def __init__(
        self, path: str, route: Callable[[RequestView, Sequence[Listener]], object], ha1: Ha1 | None = None
    ) -> None:
        self.path = path
        self.name = Path(path).name
        self.ha1 = ha1
        self._route = route

    def __call__(
        self, request: Request, flow: Flow, listeners: Sequence[Listener], proved: str = ""
    ) -> Answer | None | Coroutine[Any, Any, Answer | None]:
        """What the policy says of a request by the user `proved`; a coroutine for that where the policy is one.

        Raises whatever the policy raises, and TypeError where it returns what is no answer.
        """
        said = self._route(RequestView(request, flow, proved), tuple(listeners))
        return self._later(said) if inspect.isawaitable(said) else self._checked(said)

    async def _later(self, said: Awaitable[object]) -> Answer | None:
        return self._checked(await said)

    def _checked(self, said: object) -> Answer | None:
        if isinstance(said, (Go, Reject)):
            return said if said.rule else replace(said, rule=self.name)
        if said is not None:
            raise TypeError(f"{self.name}: {FUNCTION} returned {said!r}, not Go, Reject or None")
        return None


class _Fresh(SourceFileLoader):
    """Reads the source, never a compiled copy: what runs is what the file says, and nothing is written beside it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_script(path: str) -> Script:
    """The policy in the file `path`. Raises ConfigurationError with the file, the line and what would be right."""
    module = _run(path)
    route: Any = module.__dict__.get(FUNCTION)
    ha1: Any = module.__dict__.get(USERS)
    _takes(path, FUNCTION, route, "a policy defines {}(request, listeners)", 2)
    if ha1 is not None:
        _takes(path, USERS, ha1, "a policy that knows users defines {}(user, realm, algorithm)", 3)
    return Script(path, route, ha1)


def _takes(path: str, name: str, function: Any, text: str, count: int) -> None:
    """Raise ConfigurationError where a function is none, or cannot be called with so many arguments."""
    wanted = text.format(name)
    if not callable(function):
        raise _mistake(path, f"{name} is {'missing' if function is None else 'no function'}: {wanted}")
    try:
        inspect.signature(function).bind(*[None] * count)
    except (TypeError, ValueError) as error:
        line = function.__code__.co_firstlineno if inspect.isfunction(function) else 0
        number = {2: "two", 3: "three"}[count]
        raise _mistake(path, f"{name} cannot be called with {number} arguments ({error}): {wanted}", line)


def _run(path: str) -> ModuleType:
    try:
        Path(path).read_bytes()
    except FileNotFoundError:
        raise _mistake(path, "no such file")
    except OSError as error:
        raise _mistake(path, f"cannot be read: {error.strerror}")
    loader = _Fresh(f"b2bua_policy_{Path(path).stem}", path)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None  # there is a loader
    module = module_from_spec(spec)
    sys.modules[loader.name] = module  # dataclasses look their own module up
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[loader.name]
        raise _mistake(path, _said(error), _line(path, error)) from error
    return module


def _said(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"not Python: {error.msg}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _line(path: str, error: BaseException) -> int:
    """The line of the policy itself where it went wrong; 0 where it did not get as far as a line."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or 0
    steps = traceback.walk_tb(error.__traceback__)
    return next((line for frame, line in reversed(list(steps)) if frame.f_code.co_filename == path), 0)


def _mistake(path: str, message: str, line: int = 0) -> ConfigurationError:
    return ConfigurationError([Mistake(path, "", NOTHING, message, line)])
