"""Typed: lines from whoever sits at a terminal, or from a pipe.  Floor: SERVICES.

Law: what was typed is remembered in memory, for as long as the process lives, and nowhere else.

At a terminal prompt_toolkit reads (extra `terminal`): it completes, remembers, and keeps the line that is being typed
below what is printed meanwhile.  Without it `input` does, with the system's line editing where there is one.  What
comes through a pipe is read line by line.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Protocol, TextIO

from netstructer.credentials import PASSWORD_VARIABLE
from netstructer.errors import Misuse

__all__ = ["Lines", "has_terminal", "lines_from", "read_secret", "read_word"]

SECRET_BYTES = 4_096
"""Of a file with a password: a password, and a newline."""
LINE_CHARACTERS = 100_000
"""Of one line that comes through a pipe: what a command takes."""

Complete = Callable[[str], list[str]]
"""Returns the words that may stand where a text ends."""


class Lines(Protocol):
    """Where lines come from."""

    is_terminal: bool
    """Whether somebody sits there."""

    def next(self, prompt: str) -> str | None:
        """Return the next line; None at the end.  Raises `KeyboardInterrupt`."""

    def printing(self) -> AbstractContextManager[Any]:
        """Let what is printed inside stand above the line that is being typed."""

    def stop(self) -> None:
        """Let whoever waits for a line have none, from another thread, where that can be."""


def lines_from(stdin: TextIO, complete: Complete) -> Lines:
    """Return what reads lines in the best way that there is."""
    if not has_terminal(stdin):
        return _Piped(stdin)
    if os.environ.get("TERM") != "dumb":
        try:
            return _Prompted(complete)
        except ImportError:
            pass
    return _Plain(complete)


def has_terminal(stream: TextIO | None) -> bool:
    """Say whether somebody sits at the other end."""
    return stream is not None and stream is sys.stdin and stream.isatty() and sys.stdout.isatty()


def read_secret(prompt: str, *, file: str | None = None, variable: str | None = PASSWORD_VARIABLE) -> str:
    """Return a password: from a file, a variable, or whoever sits at the terminal, who does not see it.

    Raises `Misuse` where there is none of these, and `OSError` for the file.
    """
    if file is not None:
        with open(file, "rb") as opened:
            content = opened.read(SECRET_BYTES + 1)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = ""
        secret = text.removesuffix("\n").removesuffix("\r")
        if not secret or len(content) > SECRET_BYTES or "\n" in secret:
            raise Misuse("expected a file of one line, which is the password")
        return secret
    if variable is not None and os.environ.get(variable):
        return os.environ[variable]
    if not sys.stdin.isatty():
        raise Misuse(f"there is no terminal to ask for a password: --password-file, or {PASSWORD_VARIABLE}")
    return getpass.getpass(prompt)


def read_word(prompt: str) -> str:
    """Return what somebody types at the terminal; nothing at the end of the input."""
    try:
        return input(prompt).strip()
    except EOFError:
        return ""


class _Piped:
    """A pipe or a file: no prompt, nothing remembered."""

    is_terminal = False

    def __init__(self, stdin: TextIO) -> None:
        self._stdin = stdin

    def next(self, prompt: str) -> str | None:
        line = self._stdin.readline(LINE_CHARACTERS + 1)
        return line.rstrip("\r\n") if line else None

    def printing(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def stop(self) -> None:
        pass  # a read of a pipe cannot be called back


class _Plain:
    """A terminal without prompt_toolkit."""

    is_terminal = True

    def __init__(self, complete: Complete) -> None:
        try:
            import readline  # Imported late, and for what it does to `input`: Windows has none.
        except ImportError:
            return
        found: list[str] = []

        def candidate(text: str, state: int) -> str | None:
            if state == 0:
                found[:] = complete(readline.get_line_buffer()[: readline.get_endidx()])
            return f"{found[state]} " if state < len(found) else None

        readline.set_completer(candidate)
        readline.set_completer_delims(" ")
        readline.parse_and_bind("tab: complete")

    def next(self, prompt: str) -> str | None:
        try:
            return input(prompt)
        except EOFError:
            return None

    def printing(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def stop(self) -> None:
        pass  # nor can `input`


class _Prompted:
    """A terminal with prompt_toolkit.  Raises `ImportError` where that is missing."""

    is_terminal = True

    def __init__(self, complete: Complete) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import Completer, Completion
        from prompt_toolkit.document import Document
        from prompt_toolkit.history import InMemoryHistory

        class Words(Completer):
            def get_completions(self, document: Document, complete_event: Any) -> Iterator[Completion]:
                begun = document.get_word_before_cursor(WORD=True)
                for word in complete(document.text_before_cursor):
                    yield Completion(word, start_position=-len(begun))

        self._session: PromptSession[str] = PromptSession(
            history=InMemoryHistory(), completer=Words(), complete_while_typing=False
        )

    def next(self, prompt: str) -> str | None:
        try:
            return self._session.prompt(prompt)
        except EOFError:
            return None

    def stop(self) -> None:
        app = self._session.app
        loop = app.loop
        if loop is not None and app.is_running:
            with suppress(Exception):  # it has ended in this moment
                loop.call_soon_threadsafe(lambda: app.exit(exception=EOFError) if app.is_running else None)

    def printing(self) -> AbstractContextManager[Any]:
        from prompt_toolkit.patch_stdout import patch_stdout

        return patch_stdout(raw=True)
