"""What the tests of the administration share: a server with everything that can be administered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from accounts_support import CHEAP
from loopback import KEY, PATIENCE_SECONDS
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
