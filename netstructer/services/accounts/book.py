"""The book: what all parts of the accounts share.  Floor: SERVICES.  Law: one transaction for each change.

Each part (`Members`, `Rights`, `Logins` …) is a class of methods over this one; `Accounts` is all of them together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from netstructer.errors import LastAdmin, Misuse, UnknownAccount
from netstructer.services.accounts.account import Account, AccountEvent
from netstructer.services.roles import ADMIN
from netstructer.services.store import Store
from netstructer.services.usernames import fold_name

__all__ = ["Book", "Who", "check_reason"]

Who = str | Account
"""An account by its name, or as it was read: then by its id, under whatever name."""
REASON_CHARACTERS = 200
"""Of a reason: one line of a list."""

_COLUMNS = """a.id, a.name, a.display, a.status, a.reason, a.until, a.epoch, a.login_epoch, a.phc IS NOT NULL,
    a.must_change, a.created, a.last_login, a.last_address,
    (SELECT group_concat(g.role) FROM grants g WHERE g.account = a.id),
    (SELECT group_concat(o.pattern) FROM own_permissions o WHERE o.account = a.id),
    (SELECT group_concat(p.pattern) FROM grants g JOIN role_permissions p ON p.role = g.role WHERE g.account = a.id)"""


class Book:
    """The store, the clock, and how accounts are read out of it."""

    _store: Store
    _wall: Callable[[], float]
    _listeners: tuple[Callable[[AccountEvent], None], ...]

    def _read(self, db: sqlite3.Connection, who: Who) -> Account:
        """Return an account as it is now.  Raises `UnknownAccount`, `InvalidName`."""
        found = self._find(db, who)
        if found is None:
            raise UnknownAccount("there is no such account")
        return found

    def _find(self, db: sqlite3.Connection, who: Who) -> Account | None:
        if isinstance(who, Account):
            found = self._select(db, "a.id = ?", who.id)
        else:
            found = self._select(db, "a.name = ?", fold_name(who))
        return found[0] if found else None

    def _number(self, db: sqlite3.Connection, who: Who) -> int:
        """Return the id of an account that is there.  Raises `UnknownAccount`, `InvalidName`."""
        if isinstance(who, Account):
            found = db.execute("SELECT id FROM accounts WHERE id = ?", (who.id,)).fetchone()
        else:
            found = db.execute("SELECT id FROM accounts WHERE name = ?", (fold_name(who),)).fetchone()
        if found is None:
            raise UnknownAccount("there is no such account")
        return int(found[0])

    def _select(self, db: sqlite3.Connection, condition: str, *values: Any) -> list[Account]:
        """Return the accounts under a condition, which is one of this package's own, by name."""
        now = self._wall()
        rows = db.execute(f"SELECT {_COLUMNS} FROM accounts a WHERE {condition} ORDER BY a.name", values)
        return [_account_of(row, now) for row in rows]

    def _bump(self, db: sqlite3.Connection, account: Account, *, login: bool = False) -> None:
        """Let open links look again; with `login`, let them prove themselves again."""
        db.execute("UPDATE accounts SET epoch = epoch + 1 WHERE id = ?", (account.id,))
        if login:
            db.execute("UPDATE accounts SET login_epoch = epoch WHERE id = ?", (account.id,))

    def _keep_an_admin(self, db: sqlite3.Connection, loses: Account) -> None:
        """Raise `LastAdmin` where, without an account, no active admin would be left."""
        if loses.is_admin and loses.status == "active":
            others = self._select(db, "a.id IN (SELECT account FROM grants WHERE role = ?)", ADMIN)
            if not any(other.status == "active" for other in others if other.id != loses.id):
                raise LastAdmin("this is the last admin that is active: make another one first")

    def _tell(
        self, action: str, target: str, *, by: str, source: str = "", result: str = "done", detail: str = ""
    ) -> None:
        """Tell whoever keeps an audit; never inside a transaction, which would make others wait for it."""
        if self._listeners:
            event = AccountEvent(action=action, target=target, actor=by, source=source, result=result, detail=detail)
            for listener in self._listeners:
                listener(event)


def check_reason(reason: str) -> str:
    """Return a reason of at most 200 characters, on one line.  Raises `Misuse`."""
    if not isinstance(reason, str) or len(reason) > REASON_CHARACTERS or not reason.isprintable():
        raise Misuse(f"expected a reason of at most {REASON_CHARACTERS} characters, on one line")
    return reason


def _account_of(row: tuple[Any, ...], now: float) -> Account:
    status, reason, until = row[3:6]
    if until is not None and until <= now:
        status, reason, until = "active", "", None
    own = _names(row[14])
    return Account(
        id=row[0],
        name=row[1],
        display=row[2],
        status=status,
        reason=reason,
        until=until,
        epoch=row[6],
        login_epoch=row[7],
        has_password=bool(row[8]),
        must_change=bool(row[9]),
        created=row[10],
        last_login=row[11],
        last_address=row[12],
        roles=_names(row[13]),
        own_permissions=own,
        permissions=own | _names(row[15]),
    )


def _names(joined: str | None) -> frozenset[str]:
    return frozenset(joined.split(",")) if joined else frozenset()
