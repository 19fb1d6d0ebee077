"""What accounts may do: roles, permissions of their own, and whether an open link still may.  Floor: SERVICES.

Law: what is granted counts at the next look.  A link keeps the `Account` that it logged in as, and has it looked at by
`recheck` before each action: where nothing has changed that is one row by its number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from netstructer.errors import AccountRefused, LimitReached
from netstructer.services.accounts.account import Account
from netstructer.services.accounts.book import Who
from netstructer.services.accounts.members import Members
from netstructer.services.roles import ADMIN, MOST_PATTERNS, Roles, check_pattern, check_role

__all__ = ["Rights", "refuse_unless_active"]

MOST_ROLES = 256
"""Roles of one store: each is a thing that people tell apart."""


class Rights(Members):
    """Roles and permissions."""

    def roles(self) -> Roles:
        """Return the roles that are there, and what each grants."""
        with self._store.reading() as db:
            return _roles_in(db)

    def define_role(self, name: str, permissions: Iterable[str], *, by: str = "") -> Roles:
        """Make a role, or let one that is there grant something else; return all.

        Nothing changes, and nobody has to look again, where it grants that already.  Raises `InvalidName`, also for an
        `admin` that does not grant everything, and `LimitReached` beyond 256 roles.
        """
        patterns = Roles().having(name, permissions)[name]
        with self._store.writing() as db:
            roles = _roles_in(db)
            if roles.get(name) == patterns:
                return roles
            if name not in roles and len(roles) >= MOST_ROLES:
                raise LimitReached("there is no room for one more role", limit=MOST_ROLES, found=len(roles) + 1)
            db.execute("INSERT INTO roles VALUES (?) ON CONFLICT DO NOTHING", (name,))
            db.execute("DELETE FROM role_permissions WHERE role = ?", (name,))
            db.executemany("INSERT INTO role_permissions VALUES (?, ?)", [(name, each) for each in sorted(patterns)])
            _bump_all_with(db, name)
            roles = _roles_in(db)
        self._tell("define role", "", by=by, detail=name)
        return roles

    def remove_role(self, name: str, *, by: str = "") -> Roles:
        """Take a role away, from all who have it too; return those that are left.

        Raises `UnknownAccount` for one that is not there, and `InvalidName` for one that always is.
        """
        with self._store.writing() as db:
            left = _roles_in(db).without(name)
            _bump_all_with(db, name)
            db.execute("DELETE FROM grants WHERE role = ?", (name,))
            db.execute("DELETE FROM roles WHERE name = ?", (name,))
        self._tell("remove role", "", by=by, detail=name)
        return left

    def grant(self, who: Who, role: str, *, by: str = "") -> Account:
        """Give an account a role.  Raises `UnknownAccount` for either that is not there."""
        with self._store.writing() as db:
            before = self._read(db, who)
            if self._grant(db, before.id, check_role(role)):
                self._bump(db, before)
            after = self._read(db, before)
        self._tell("grant", after.name, by=by, detail=role)
        return after

    def revoke(self, who: Who, role: str, *, by: str = "") -> Account:
        """Take a role from an account.  Raises `UnknownAccount`, and `LastAdmin` for `admin` of the last one."""
        with self._store.writing() as db:
            before = self._read(db, who)
            if check_role(role) == ADMIN:
                self._keep_an_admin(db, before)
            if db.execute("DELETE FROM grants WHERE account = ? AND role = ?", (before.id, role)).rowcount:
                self._bump(db, before)
            after = self._read(db, before)
        self._tell("revoke", after.name, by=by, detail=role)
        return after

    def promote(self, who: Who, *, by: str = "") -> Account:
        """Make an admin of an account.  Raises `UnknownAccount`."""
        return self.grant(who, ADMIN, by=by)

    def demote(self, who: Who, *, by: str = "") -> Account:
        """Make no admin of an account, which keeps its other roles.  Raises `UnknownAccount`, `LastAdmin`."""
        return self.revoke(who, ADMIN, by=by)

    def allow(self, who: Who, permission: str, *, by: str = "") -> Account:
        """Grant one account a permission, or all behind a `.*`, beside its roles.

        Raises `UnknownAccount`, `InvalidName`, and `LimitReached` beyond 256 of its own.
        """
        with self._store.writing() as db:
            before = self._read(db, who)
            found = len(before.own_permissions | {check_pattern(permission)})
            if found > MOST_PATTERNS:
                raise LimitReached("there is no room for one more permission", limit=MOST_PATTERNS, found=found)
            if permission not in before.own_permissions:
                db.execute("INSERT INTO own_permissions VALUES (?, ?)", (before.id, permission))
                self._bump(db, before)
            after = self._read(db, before)
        self._tell("allow", after.name, by=by, detail=permission)
        return after

    def disallow(self, who: Who, permission: str, *, by: str = "") -> Account:
        """Take back what `allow` has granted, exactly that; what its roles grant stays.  Raises `UnknownAccount`."""
        with self._store.writing() as db:
            before = self._read(db, who)
            statement = "DELETE FROM own_permissions WHERE account = ? AND pattern = ?"
            if db.execute(statement, (before.id, check_pattern(permission))).rowcount:
                self._bump(db, before)
            after = self._read(db, before)
        self._tell("disallow", after.name, by=by, detail=permission)
        return after

    def recheck(self, account: Account) -> Account:
        """Return the account as it is now: the same object where nothing has changed since it was read.

        Raises `AccountRefused` where it is removed, not active, or where its password was changed since: whoever holds
        it then is to log in again, or to leave.
        """
        with self._store.reading() as db:
            found = db.execute("SELECT epoch FROM accounts WHERE id = ?", (account.id,)).fetchone()
            is_unchanged = found == (account.epoch,) and account.status == "active"
            now = account if is_unchanged else self._find(db, account)
        if now is None:
            raise AccountRefused("this account was removed", status="removed")
        if account.epoch < now.login_epoch:
            raise AccountRefused("the password of this account was changed: log in again", status="password changed")
        refuse_unless_active(now)
        return now


def refuse_unless_active(account: Account) -> None:
    """Raise `AccountRefused` unless an account is active: what it is and until when, and never why."""
    if account.status != "active":
        what = {"waiting": "waits for approval", "rejected": "was not approved"}.get(
            account.status, f"is {account.status}"
        )
        raise AccountRefused(f"this account {what}", status=account.status, until=account.until)


def _roles_in(db: sqlite3.Connection) -> Roles:
    found: dict[str, set[str]] = {name: set() for (name,) in db.execute("SELECT name FROM roles")}
    for name, pattern in db.execute("SELECT role, pattern FROM role_permissions"):
        found[name].add(pattern)
    return Roles(found)


def _bump_all_with(db: sqlite3.Connection, role: str) -> None:
    db.execute("UPDATE accounts SET epoch = epoch + 1 WHERE id IN (SELECT account FROM grants WHERE role = ?)", (role,))
