"""What is counted of accounts: quotas, which end, and statistics, which do not.  Floor: SERVICES.

Law: a charge is one transaction: two at once never pass a limit that one of them alone would have kept.

A quota is a whole number with a name of the application's: `bytes stored`, which is charged and given back, or
`messages`, of which there are so many in each `seconds`.  Such a window begins with the first charge after the last one
has ended.  A quota that is set for an account goes before the one that all accounts have (`Accounts(quotas=…)`).

Charges of quotas that all have and that have a window, and statistics, are not flushed to the disk one by one
(store.py): they survive a killed process, and may be missing after the power has failed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netstructer.errors import LimitReached, Misuse, QuotaReached
from netstructer.services.accounts.book import Book, Who
from netstructer.services.usernames import check_count_name

__all__ = ["Counts", "Quota", "QuotaUse", "add_statistic"]

MOST_NAMES = 256
"""Quotas, and statistics, of one account: an application's own, never a user's."""
LARGEST = (1 << 63) - 1
"""What SQLite counts to."""


@dataclass(frozen=True, slots=True)
class Quota:
    """At most so many, in all or in each `seconds`.  Raises `Misuse`."""

    most: int
    seconds: float | None = None

    def __post_init__(self) -> None:
        _check_amount(self.most)
        if self.most < 0 or (self.seconds is not None and not 0 < self.seconds < float("inf")):
            raise Misuse("expected a quota of zero or more, in seconds above zero or in all (None)")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaUse:
    """How much of a quota is used."""

    quota: Quota
    used: int
    until: float | None
    """When it begins anew, in seconds since 1970; None where it does not."""

    @property
    def left(self) -> int:
        """How much may still be charged."""
        return max(0, self.quota.most - self.used)


class Counts(Book):
    """Quotas and statistics."""

    _quotas: Mapping[str, Quota]

    def set_quota(self, who: Who, name: str, quota: Quota | int | None, *, by: str = "") -> QuotaUse | None:
        """Give an account a quota of its own, or, with None, the one that all have; what is used stays used.

        Raises `UnknownAccount`, `InvalidName`, and `LimitReached` beyond 256 of one account.
        """
        check_count_name(name, "quota")
        given = Quota(quota) if isinstance(quota, int) else quota
        with self._store.writing() as db:
            account = self._read(db, who)
            row = self._quota_row(db, account.id, name)
            if row is None:
                _refuse_more(db, "quotas", account.id, "quota")
            most, seconds = (None, None) if given is None else (given.most, given.seconds)
            db.execute(
                "INSERT INTO quotas (account, name, most, seconds, began) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (account, name) DO UPDATE SET most = excluded.most, seconds = excluded.seconds",
                (account.id, name, most, seconds, self._wall()),
            )
            use = self._use(name, self._quota_row(db, account.id, name))
        self._tell("quota", account.name, by=by, detail=name)
        return use

    def charge(self, who: Who, name: str, amount: int = 1) -> QuotaUse:
        """Charge a quota, or give back with an amount below zero, which ends at nothing used; return how it stands.

        Raises `QuotaReached` and charges nothing where it would go beyond; `Misuse` for a quota that neither this
        account nor all have; `UnknownAccount`.
        """
        check_count_name(name, "quota")
        _check_amount(amount)
        windowed = name in self._quotas and self._quotas[name].seconds is not None
        with self._store.writing(flush=not windowed) as db:
            account = self._number(db, who)
            row = self._quota_row(db, account, name)
            use = self._use(name, row)
            if use is None:
                raise Misuse(f"there is no quota {name!r}, neither this account's nor everybody's")
            used = max(0, use.used + amount)
            if amount > 0 and used > use.quota.most:
                raise QuotaReached(
                    f"expected at most {use.quota.most} of {name}, of which {use.used} are used, found {amount} more",
                    limit=use.quota.most,
                    found=min(used, LARGEST),
                    quota=name,
                    until=use.until,
                )
            began = use.until - use.quota.seconds if use.until is not None and use.quota.seconds else self._wall()
            db.execute(
                "INSERT INTO quotas (account, name, used, began) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (account, name) DO UPDATE SET used = excluded.used, began = excluded.began",
                (account, name, used, began),
            )
            return QuotaUse(quota=use.quota, used=used, until=use.until)

    def quotas(self, who: Who) -> dict[str, QuotaUse]:
        """Return how all quotas of an account stand, by name.  Raises `UnknownAccount`."""
        with self._store.reading() as db:
            account = self._number(db, who)
            named = {name for (name,) in db.execute("SELECT name FROM quotas WHERE account = ?", (account,))}
            uses = {
                name: self._use(name, self._quota_row(db, account, name)) for name in sorted(named | set(self._quotas))
            }
        return {name: use for name, use in uses.items() if use is not None}

    def _quota_row(self, db: sqlite3.Connection, account: int, name: str) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = db.execute(
            "SELECT most, seconds, used, began FROM quotas WHERE account = ? AND name = ?", (account, name)
        ).fetchone()
        return found

    def _use(self, name: str, row: tuple[Any, ...] | None) -> QuotaUse | None:
        """Return how a quota stands now; None where there is none of that name."""
        now = self._wall()
        most, seconds, used, began = row or (None, None, 0, now)
        quota = self._quotas.get(name) if most is None else Quota(most, seconds)
        if quota is None:
            return None
        if quota.seconds is None:
            return QuotaUse(quota=quota, used=used, until=None)
        if not began <= now < began + quota.seconds:  # over, or the clock was set back
            used, began = 0, now
        return QuotaUse(quota=quota, used=used, until=began + quota.seconds)

    # --- statistics ---------------------------------------------------------------------------------------------------

    def increment(self, who: Who, statistic: str, amount: int = 1) -> int:
        """Add to a statistic of an account, which begins at 0 with its first use; return what it comes to.

        Raises `UnknownAccount`, `InvalidName`, and `LimitReached` beyond 256 of one account, or 2^63.
        """
        return self.increment_all(who, {statistic: amount})[statistic]

    def increment_all(self, who: Who, amounts: Mapping[str, int]) -> dict[str, int]:
        """Add to several statistics of an account at once, all of them or none.  Raises as `increment` does."""
        for statistic, amount in amounts.items():
            check_count_name(statistic, "statistic")
            _check_amount(amount)
        with self._store.writing(flush=False) as db:
            account = self._number(db, who)
            return {name: add_statistic(db, account, name, amount) for name, amount in amounts.items()}

    def statistics(self, who: Who) -> dict[str, int]:
        """Return the statistics of an account, by name.  Raises `UnknownAccount`."""
        with self._store.reading() as db:
            account = self._number(db, who)
            return dict(db.execute("SELECT name, value FROM statistics WHERE account = ? ORDER BY name", (account,)))

    def all_statistics(self) -> dict[str, dict[str, int]]:
        """Return the statistics of all accounts, by the account's name: what `audit` has always shown."""
        with self._store.reading() as db:
            found: dict[str, dict[str, int]] = {
                name: {} for (name,) in db.execute("SELECT name FROM accounts ORDER BY name")
            }
            for account, name, value in db.execute(
                "SELECT a.name, s.name, s.value FROM statistics s JOIN accounts a ON a.id = s.account ORDER BY s.name"
            ):
                found[account][name] = value
        return found


def add_statistic(db: sqlite3.Connection, account: int, name: str, amount: int, *, most: int = MOST_NAMES) -> int:
    """Add to a statistic in its caller's transaction, and return what it comes to."""
    found = db.execute("SELECT value FROM statistics WHERE account = ? AND name = ?", (account, name)).fetchone()
    if found is None:
        _refuse_more(db, "statistics", account, "statistic", most=most)
    value = amount + (0 if found is None else int(found[0]))
    if abs(value) > LARGEST:
        raise LimitReached(f"the statistic {name!r} is counted as far as there are numbers", limit=LARGEST)
    db.execute(
        "INSERT INTO statistics VALUES (?, ?, ?) ON CONFLICT (account, name) DO UPDATE SET value = excluded.value",
        (account, name, value),
    )
    return value


def _refuse_more(db: sqlite3.Connection, table: str, account: int, what: str, *, most: int = MOST_NAMES) -> None:
    found = db.execute(f"SELECT count(*) FROM {table} WHERE account = ?", (account,)).fetchone()[0]
    if found >= most:
        raise LimitReached(f"there is no room for one more {what}", limit=most, found=found + 1)


def _check_amount(amount: int) -> None:
    if not isinstance(amount, int) or isinstance(amount, bool) or abs(amount) > LARGEST:
        raise Misuse("expected a whole number of at most 63 bits")
