"""What the tests of the administration share: a server with everything that can be administered."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from accounts_support import CHEAP
from loopback import KEY, PATIENCE_SECONDS, ROOT
from netstructer import Link, Server
from netstructer.services.accounts import Accounts
from netstructer.services.admin import Admin
from netstructer.services.hall import Hall
from netstructer.services.logs import log_to
from netstructer.services.signin import SignIn
from netstructer.services.store import Store

WORD = "correct horse battery"
STEPS = (("CREATE TABLE goods (name TEXT)",),)


class Clock:
    """A clock of both kinds that is moved by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class House:
    """A server, its accounts and its administration; `noted` is what an audit would have."""

    def __init__(self, stack: ExitStack, directory: Path, **options: Any) -> None:
        enter = stack.enter_context
        self.directory = directory
        self.noted: list[tuple[str, str, str, str, str]] = []
        self.left: list[tuple[str, float]] = []
        self.accounts = enter(Accounts(directory / "kept" / "accounts.db", passwords=CHEAP))
        for name, roles in (("anna", ("admin", "client")), ("bert", ("client",)), ("cleo", ("client",))):
            self.accounts.create(name, WORD, roles=roles)
        self.logs = enter(log_to(directory / "logs", level="info"))
        self.store = enter(Store(directory / "shop.db", STEPS, name="shop"))
        self.server = enter(Server(key=KEY))
        self.signin = SignIn(Hall(self.server), self.accounts)
        given: dict[str, Any] = {
            "accounts": self.accounts,
            "logs": self.logs,
            "stores": {"shop": self.store},
            "backups": directory / "backups",
            "note": lambda *row: self.noted.append(row),
            "leave": lambda how, seconds: self.left.append((how, seconds)),
            "supervised": True,
        }
        self.admin = enter(Admin(self.server, **given | options))
        self._stack = stack

    def link(self, user: str | None = None) -> Link:
        """Return a client's link, on which a user has signed in; it has an action of its own."""
        link = self._stack.enter_context(Link(self.server.address, key=KEY))
        link.on("double")(lambda number: 2 * number)
        if user is not None:
            link.call("accounts.login", user, WORD, timeout=PATIENCE_SECONDS)
        return link


@contextmanager
def house(directory: Path, **options: Any) -> Iterator[House]:
    """Give a house whose links are cut at the end."""
    with ExitStack() as stack:
        yield House(stack, directory, **options)


def call(link: Link, verb: str, /, *positional: Any, **named: Any) -> Any:
    """Call a verb over a link; what it streams comes as a list."""
    found = link.call(f"admin.{verb}", *positional, timeout=PATIENCE_SECONDS, **named)
    if hasattr(found, "__next__"):
        return list(found)
    return found


class Terminal:
    """A program in a terminal of its own, what it shows, and what is typed."""

    def __init__(self, command: list[str], **environment: str) -> None:
        import pty

        self.master, slave = pty.openpty()
        places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": places, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **environment},
        )
        os.close(slave)
        self.shown = self.all = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, pattern: str) -> None:
        """Wait until something is shown behind what was expected before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := re.search(pattern, self.shown)) is None:
            assert time.monotonic() < deadline, f"{pattern!r} was not shown; shown was {self.shown!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    said = os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:  # the other end is closed
                    break
                self.shown, self.all = self.shown + said, self.all + said
        found = re.search(pattern, self.shown)
        assert found is not None, f"{pattern!r} was not shown; shown was {self.shown!r}"
        self.shown = self.shown[found.end() :]


@contextmanager
def terminal(screen: Terminal) -> Iterator[Terminal]:
    """Give a terminal, and end its program."""
    try:
        yield screen
    finally:
        if screen.process.poll() is None:
            screen.process.kill()
        screen.process.wait()
        os.close(screen.master)
