"""Who has an account: made, listed, changed, removed.  Floor: SERVICES.  Law: once there is an admin, one stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from netstructer.errors import AccountExists, LimitReached, Misuse, UnknownAccount
from netstructer.services.accounts.account import STATUSES, Account, Status
from netstructer.services.accounts.book import Book, Who, check_reason
from netstructer.services.accounts.throttling import Throttle
from netstructer.services.password_policy import PasswordPolicy, random_code
from netstructer.services.passwords import HiddenPassword, Passwords
from netstructer.services.roles import ADMIN, CLIENT, check_role
from netstructer.services.usernames import fold_name, written_name

__all__ = ["Members"]

MOST_ACCOUNTS = 100_000
"""Accounts of one store: listed in a second or two; who has more has a database of his own."""


class Members(Book):
    """Accounts, as whoever administers them sees them.  `by` is who does it, for the audit."""

    _passwords: Passwords
    _policy: PasswordPolicy
    _draw: Callable[[int], bytes]
    _throttle: Throttle
    most_accounts: int

    def create(
        self,
        name: str,
        password: str | None,
        *,
        roles: Iterable[str] = (CLIENT,),
        status: Status = "active",
        by: str = "",
    ) -> Account:
        """Make an account; without a password it opens by a key alone.

        Raises `InvalidName`, `PasswordRefused`, `AccountExists`, `UnknownAccount` for a role that is not there,
        `LimitReached` beyond `most_accounts`, `Busy`, and what the store raises.
        """
        hidden = None if password is None else HiddenPassword.of(password)
        del password
        folded = fold_name(name)
        if status not in STATUSES:
            raise Misuse(f"expected one of the statuses {', '.join(STATUSES)}")
        wanted = _check_roles(roles)
        phc = None if hidden is None else self._hash(folded, hidden)
        with self._store.writing() as db:
            made = self._insert(db, name, phc, roles=wanted, status=status)
        self._tell("create", folded, by=by, detail=" ".join(sorted(wanted)))
        return made

    def first_admin(self, name: str, password: str, *, by: str = "") -> Account:
        """Make an admin where there is none, as with the first start of a server: raises `Misuse` ever after.

        For whoever has the file; nothing of it belongs on a link.  Raises what `create` raises.
        """
        hidden = HiddenPassword.of(password)
        del password
        folded = fold_name(name)
        with self._store.reading() as db:
            _refuse_second_admin(db)
        phc = self._hash(folded, hidden)
        with self._store.writing() as db:
            _refuse_second_admin(db)
            made = self._insert(db, name, phc, roles=frozenset({ADMIN, CLIENT}), status="active")
        self._tell("first admin", folded, by=by)
        return made

    def _hash(self, folded: str, password: HiddenPassword) -> str:
        self._policy.require(folded, password)
        return self._passwords.hash(password)

    def _insert(
        self, db: sqlite3.Connection, name: str, phc: str | None, *, roles: frozenset[str], status: Status
    ) -> Account:
        folded = fold_name(name)
        if db.execute("SELECT 1 FROM accounts WHERE name = ?", (folded,)).fetchone():
            raise AccountExists("there is an account of that name, or one that is spelled alike")
        found = db.execute("SELECT count(*) FROM accounts").fetchone()[0]
        if found >= self.most_accounts:
            raise LimitReached("there is no room for one more account", limit=self.most_accounts, found=found + 1)
        number = 0
        while not number or db.execute("SELECT 1 FROM accounts WHERE id = ?", (number,)).fetchone():
            number = int.from_bytes(self._draw(8), "big") >> 1
        db.execute(
            "INSERT INTO accounts (id, name, display, phc, status, created) VALUES (?, ?, ?, ?, ?, ?)",
            (number, folded, written_name(name), phc, status, self._wall()),
        )
        for role in roles:
            self._grant(db, number, role)
        self._throttle.forget_name(db, folded)
        return self._read(db, name)

    def _grant(self, db: sqlite3.Connection, number: int, role: str) -> bool:
        """Give a role; say whether the account had it not.  Raises `UnknownAccount` for a role that is not there."""
        if db.execute("SELECT 1 FROM roles WHERE name = ?", (role,)).fetchone() is None:
            raise UnknownAccount(f"there is no role {role}")
        done = db.execute("INSERT INTO grants VALUES (?, ?) ON CONFLICT DO NOTHING", (number, role))
        return bool(done.rowcount)

    def get(self, who: Who) -> Account:
        """Return an account as it is now.  Raises `UnknownAccount`, `InvalidName`."""
        with self._store.reading() as db:
            return self._read(db, who)

    def __contains__(self, who: object) -> bool:
        if not isinstance(who, str | Account):
            return False
        with self._store.reading() as db:
            return self._find(db, who) is not None

    def __len__(self) -> int:
        with self._store.reading() as db:
            return int(db.execute("SELECT count(*) FROM accounts").fetchone()[0])

    def list(self, *, status: Status | None = None, role: str | None = None) -> tuple[Account, ...]:
        """Return all accounts, or those of one status, or that have a role, by name."""
        if status is not None and status not in STATUSES:
            raise Misuse(f"expected one of the statuses {', '.join(STATUSES)}")
        with self._store.reading() as db:
            if role is None:
                found = self._select(db, "1")
            else:
                found = self._select(db, "a.id IN (SELECT account FROM grants WHERE role = ?)", check_role(role))
        return tuple(account for account in found if status in (None, account.status))

    def latest_login(self) -> Account | None:
        """Return the account that logged in last; None where nobody ever did."""
        with self._store.reading() as db:
            latest = "a.id = (SELECT id FROM accounts WHERE last_login IS NOT NULL ORDER BY last_login DESC LIMIT 1)"
            found = self._select(db, latest)
        return found[0] if found else None

    def remove(self, who: Who, *, by: str = "") -> Account:
        """Remove an account with all that belongs to it, and return it as it was.

        Raises `UnknownAccount`, and `LastAdmin` for the last admin that is active.
        """
        with self._store.writing() as db:
            gone = self._read(db, who)
            self._keep_an_admin(db, gone)
            db.execute("DELETE FROM accounts WHERE id = ?", (gone.id,))
        self._tell("remove", gone.name, by=by)
        return gone

    def set_status(
        self, who: Who, status: Status, *, reason: str = "", seconds: float | None = None, by: str = ""
    ) -> Account:
        """Give an account another status, which its open links find when they look again.

        `reason`, of at most 200 characters, is for whoever administers.  `seconds` is after how long an account that is
        blocked or banned is active again; without, somebody has to say so.  Raises `UnknownAccount`, `LastAdmin`, and
        `Misuse`.
        """
        if status not in STATUSES:
            raise Misuse(f"expected one of the statuses {', '.join(STATUSES)}")
        if seconds is not None and (status not in ("blocked", "banned") or not 0 < seconds < float("inf")):
            raise Misuse("expected seconds above zero, with a status of blocked or banned")
        check_reason(reason)
        with self._store.writing() as db:
            before = self._read(db, who)
            if status != "active":
                self._keep_an_admin(db, before)
            db.execute(
                "UPDATE accounts SET status = ?, reason = ?, until = ? WHERE id = ?",
                (status, reason, None if seconds is None else self._wall() + seconds, before.id),
            )
            self._bump(db, before)
            after = self._read(db, before)
        self._tell("status", after.name, by=by, detail=status)
        return after

    def set_password(self, who: Who, password: str, *, must_change: bool = False, by: str = "") -> Account:
        """Give an account another password; whoever logged in with the former one has to log in again.

        Raises `UnknownAccount`, `PasswordRefused`, `Busy`.  Users who know theirs use `change_password`.
        """
        hidden = HiddenPassword.of(password)
        del password
        account = self.get(who)
        phc = self._hash(account.name, hidden)
        return self._set_phc(account, phc, must_change=must_change, action="set password", by=by)

    def reset_password(self, who: Who, *, by: str = "") -> str:
        """Give an account a password made by chance, and return it, this once: it is to be changed at the next login.

        Raises `UnknownAccount`, `Busy`.
        """
        account = self.get(who)
        password = random_code(draw=self._draw)
        self._set_phc(account, self._passwords.hash(password), must_change=True, action="reset password", by=by)
        return password

    def _set_phc(
        self,
        account: Account,
        phc: str | None,
        *,
        must_change: bool,
        action: str,
        by: str,
        unless: Callable[[Account], None] = lambda now: None,
    ) -> Account:
        """Keep another password, unless `unless` raises when it sees the account as it is then."""
        with self._store.writing() as db:
            before = self._read(db, account)
            unless(before)
            db.execute("UPDATE accounts SET phc = ?, must_change = ? WHERE id = ?", (phc, must_change, before.id))
            self._bump(db, before, login=True)
            after = self._read(db, before)
        self._tell(action, after.name, by=by)
        return after


def _check_roles(roles: Iterable[str]) -> frozenset[str]:
    if isinstance(roles, str):
        raise Misuse("expected several roles, found one text")
    return frozenset(check_role(role) for role in roles)


def _refuse_second_admin(db: sqlite3.Connection) -> None:
    if db.execute("SELECT 1 FROM grants WHERE role = ?", (ADMIN,)).fetchone():
        raise Misuse("there is an admin already: who is one makes others")
