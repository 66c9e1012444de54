"""One operator at a terminal: a line editor with colours, history and completion before a Python prompt."""

from __future__ import annotations

import os
import tokenize
from collections.abc import Callable
from typing import Any

from twisted.conch.insults.insults import ServerProtocol, modes
from twisted.conch.manhole import ColoredManhole, ManholeInterpreter, lastColorizedLine
from twisted.python.failure import Failure

from b2bua.ops.commands import Commands
from b2bua.ops.completion import complete

LONGEST_LINE = 4096
FAR_LEFT = 999  # columns; a terminal stops at its margin
NARROWEST = 60
WIDTH = 100  # columns, until the terminal says
TAB = b"\t"

_NO_TOKENS = (tokenize.TokenError, SyntaxError, IndexError, UnicodeDecodeError)


class Terminal(ServerProtocol):
    """The terminal's end. It is left as it was found: not reset, which would clear the operator's screen."""

    transport: Any

    def loseConnection(self) -> None:
        """Close, once what was written is sent."""
        self.resetModes([modes.IRM])
        self.transport.loseConnection()


class Session(ColoredManhole):
    """One operator's session. `commands` makes the commands, with what they print by; `gone` is told of the end.

    A mistake in what is typed is shown, and harms nobody but the one who typed it.
    """

    ps = (b"b2bua> ", b"  ...> ")

    def __init__(self, commands: Callable[[Session], Commands], greeting: str, gone: Callable[[Session], None]) -> None:
        self.commands = commands(self)
        self.width = WIDTH
        self._greeting = greeting
        self._gone = gone
        self._running = False
        self._over = False
        super().__init__(self.commands.namespace())

    def connectionMade(self) -> None:
        """Greet and prompt."""
        super().connectionMade()
        self.interpreter: Any = _Interpreter(self, self.namespace)
        self.keyHandlers[TAB] = self.handle_TAB

    def connectionLost(self, reason: Failure) -> None:
        """The operator is gone."""
        super().connectionLost(reason)
        self._over = True
        self._gone(self)

    def initializeScreen(self) -> None:
        """The greeting, below what is on the screen already."""
        self.setInsertMode()
        self.terminal.write(f"\n{self._greeting}\n\n")
        self.terminal.write(self.ps[self.pn])

    def terminalSize(self, width: int, height: int) -> None:
        """What is on the screen stays; tables know how much room they have."""
        self.width = max(NARROWEST, width) if width else WIDTH
        self.height = height

    # What the commands print by

    def say(self, text: str) -> None:
        """Print, while a command runs."""
        self.terminal.write(text + "\n")

    def later(self, text: str) -> None:
        """Print at any time: what is being typed is put below it again. Nothing, once the operator is gone."""
        if self._over:
            return
        if self._running:
            self.say(text)
            return
        self.terminal.eraseLine()
        self.terminal.cursorBackward(FAR_LEFT)
        self.say(text)
        self._draw()

    def leave(self) -> None:
        """End the session."""
        self._over = True
        self.handle_QUIT()

    # Typing

    def keystrokeReceived(self, keyID: bytes, modifier: object) -> None:
        """One key; those that mean nothing here are passed over."""
        if keyID in self.keyHandlers:
            self.keyHandlers[keyID]()
        elif keyID in self._printableChars and len(self.lineBuffer) < LONGEST_LINE:
            self.characterReceived(keyID, False)

    def characterReceived(self, ch: bytes, moreCharactersComing: bool) -> None:
        """One character at the cursor, and the line in its new colours."""
        end = self.lineBufferIndex + (self.mode != "insert")
        self.lineBuffer[self.lineBufferIndex : end] = [ch]
        self.lineBufferIndex += 1
        if not moreCharactersComing:
            self.terminal.eraseLine()
            self.terminal.cursorBackward(FAR_LEFT)
            self._draw()

    def _draw(self) -> None:
        """The prompt and what is typed, coloured if it can be read; the cursor where it belongs."""
        typed = b"".join(self.lineBuffer)
        try:
            line = lastColorizedLine(self.getSource()) if typed.strip() else typed
        except _NO_TOKENS:
            line = typed
        indent = typed[: len(typed) - len(typed.lstrip())]
        if not line.startswith(indent):
            line = indent + line
        self.terminal.write(self.ps[self.pn] + line)
        if back := len(self.lineBuffer) - self.lineBufferIndex:
            self.terminal.cursorBackward(back)

    def handle_TAB(self) -> None:
        """Complete what is before the cursor; list what it may be where that is not clear."""
        before = b"".join(self.lineBuffer[: self.lineBufferIndex]).decode("ascii", "replace")
        if self.pn and not before.strip():
            self._insert("    ")
            return
        commands = self.commands
        typed, candidates = complete(before, self.interpreter.locals, commands.call_ids(), commands.OF_A_CALL)
        common = os.path.commonprefix(candidates)
        if len(common) > typed:
            self._insert(common[typed:])
        elif len(candidates) > 1:
            self.terminal.nextLine()
            self.terminal.write("  ".join(candidates) + "\n")
            self._draw()
        else:
            self.terminal.write(b"\a")

    def _insert(self, text: str) -> None:
        for place, character in enumerate(text, 1):
            self.characterReceived(character.encode("ascii", "replace"), place < len(text))

    def lineReceived(self, line: bytes) -> None:
        """Run a line."""
        self._running = True
        try:
            self.pn = int(bool(self.interpreter.push(line)))
        except Exception as error:  # noqa: BLE001 - what Python cannot even read: too deep, too long
            self.interpreter.resetBuffer()
            self.pn = 0
            self.say(f"{type(error).__name__}: {error}")
        finally:
            self._running = False
        if self._over:
            return
        if self._needsNewline():
            self.terminal.nextLine()
        self.terminal.write(self.ps[self.pn])


class _Interpreter(ManholeInterpreter):
    """Python; `exit()` ends the session and not the bridge."""

    def runcode(self, *arguments: Any, **named: Any) -> None:
        try:
            super().runcode(*arguments, **named)
        except SystemExit:
            self.handler.leave()
