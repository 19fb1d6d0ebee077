"""Remote: an administration at the other end of a link.  Floor: ROOF.

Law: a password is read where nobody can read along, travels inside the sealed link, and is kept by nobody.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from netstructer import Link
from netstructer.cli.screen import stderr
from netstructer.credentials import PASSWORD_VARIABLE
from netstructer.errors import (
    LoginFailed,
    Misuse,
    NetstructerError,
    NotPermitted,
    RemoteError,
    UnknownAction,
)
from netstructer.services.admin import TABLE
from netstructer.services.admin.typed import read_secret, read_word
from netstructer.services.admin.verbs import Table, Verb
from netstructer.services.notices import notice_in

__all__ = ["REMOTE_TABLE", "Remote", "plain_error"]

TRIES = 3
"""Passwords that are asked for at a terminal: who mistypes does so twice, and the server closes links after five."""
_LOGIN_ERRORS = {"LoginFailed", "AccountRefused"}


REMOTE_TABLE = Table(verb for verb in TABLE.values() if not verb.here_only)
"""The verbs that a link may call."""


class Remote:
    """One link to a server that is administered.  `seconds` is how long each command may take."""

    def __init__(self, link: Link, seconds: float) -> None:
        self.link, self.seconds = link, seconds
        self.user: str | None = None
        """As whom one has signed in; None without an account."""
        self.leaving = False
        """Whether the link ends because one wants it."""

    def sign_in(self, user: str | None, password_file: str | None) -> None:
        """Sign in as a user; where none is given, as whoever the key says, or whoever says so at the terminal.

        Raises `LoginFailed`, `Misuse` where a password would have to be asked for and nobody is there.
        """
        try:
            card = self._call("accounts.whoami")
        except UnknownAction:
            if user is not None:
                raise Misuse("this server has no accounts: leave --as out, the key says who you are") from None
            return
        if user is None and card is None and sys.stdin.isatty():
            stderr.print("This server has accounts; nothing at all goes on without one.", style="dim")
            user = read_word("user: ") or None
        if user is None:
            self.user = None if card is None else str(card["name"])
            return
        card = self._log_in(user, password_file)
        self.user = str(card["name"])
        if card.get("must_change"):
            self._change_password()

    def ask(self, verb: Verb, values: dict[str, Any]) -> Any:
        """Do a verb there.  Raises what the server says, in words that are not about calls."""
        with self._in_plain_words(verb):
            found = self._call(verb.action, **values)
        return self._each(verb, found) if verb.streams else found

    def _each(self, verb: Verb, items: Iterator[Any]) -> Iterator[Any]:
        with self._in_plain_words(verb):
            yield from items

    @contextmanager
    def _in_plain_words(self, verb: Verb) -> Iterator[None]:
        try:
            yield
        except NotPermitted as error:
            hint = "" if self.user is not None else "; sign in as somebody who has it: --as NAME"
            raise NotPermitted(f"{plain_error(error)}{hint}", permission=verb.action) from None
        except UnknownAction:
            raise UnknownAction("the server has no such command, or is not administered by links") from None
        except RemoteError as error:
            raise type(error)(plain_error(error), name=error.name) from None

    def listen(self, show: Callable[[str], object], ended: Callable[[], object]) -> None:
        """Show notices as they come, in a thread of its own, and call `ended` when the link is over."""

        def run() -> None:
            try:
                for value in self.link:
                    notice = notice_in(value)
                    if notice is not None:
                        show(f"* {notice}")
                said = "the server has said farewell"
            except NetstructerError as error:
                said = f"the link is over: {type(error).__name__}"
            if self.leaving:
                return
            show(f"* {said}")
            ended()

        threading.Thread(target=run, name="netstructer-notices", daemon=True).start()

    def _call(self, action: str, *positional: Any, **named: Any) -> Any:
        return self.link.call(action, *positional, timeout=self.seconds, **named)

    def _log_in(self, user: str, password_file: str | None) -> dict[str, Any]:
        asks = password_file is None and not os.environ.get(PASSWORD_VARIABLE) and sys.stdin.isatty()
        for left in reversed(range(TRIES if asks else 1)):
            try:
                card = self._call("accounts.login", user, read_secret(f"password of {user}: ", file=password_file))
                return dict(card)
            except RemoteError as error:
                if error.name not in _LOGIN_ERRORS:
                    raise
                if not left or error.name == "AccountRefused":
                    raise LoginFailed(plain_error(error)) from None
                stderr.print(plain_error(error), style="yellow")
        raise AssertionError("unreachable")

    def _change_password(self) -> None:
        """Have a password that was made by chance changed, where somebody can type another one."""
        if not sys.stdin.isatty():
            stderr.print("note: this password was made by chance and is to be changed: at a terminal", style="yellow")
            return
        stderr.print("This password was made by chance: choose one of your own.")
        former, new, again = (
            read_secret(f"{which} password: ", variable=None) for which in ("former", "new", "the new one again; new")
        )
        if new != again:
            raise Misuse("the two new passwords are not the same; the former one stays")
        self._call("accounts.change_password", former, new)


def plain_error(error: RemoteError) -> str:
    """Return what a server said of an error, without the words of the call around it."""
    _, _, said = str(error).partition(f" failed at the peer: {error.name}: ")
    return said or str(error)
