"""The ledger: from which addresses each account was tried, and with what success.  Floor: SERVICES.

Law: bounded for each account; an address that has succeeded is not pushed out by those that only tried.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from netstructer.services.accounts.book import Book, Who

__all__ = ["Addresses", "Ledger", "note_try"]

MOST_ADDRESSES = 64
"""Addresses of one account: a phone's of some weeks.  The one that was tried longest ago goes, strangers' first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """One address of an account; times are seconds since 1970."""

    address: str
    attempts: int
    successes: int
    last_attempt: float
    last_success: float | None


class Ledger(Book):
    """What the ledger has."""

    def ledger(self, who: Who) -> tuple[Addresses, ...]:
        """Return from where an account was tried, the latest first.  Raises `UnknownAccount`."""
        with self._store.reading() as db:
            account = self._read(db, who)
            rows = db.execute(
                "SELECT address, attempts, successes, last_attempt, last_success FROM ledger WHERE account = ? "
                "ORDER BY last_attempt DESC, address",
                (account.id,),
            ).fetchall()
        return tuple(
            Addresses(address=row[0], attempts=row[1], successes=row[2], last_attempt=row[3], last_success=row[4])
            for row in rows
        )


def note_try(db: sqlite3.Connection, number: int, address: str, source: str, now: float, *, succeeded: bool) -> None:
    """Write down one try, in the transaction that counts it; `source` is what the address is counted as."""
    if succeeded:
        db.execute("UPDATE accounts SET last_login = ?, last_address = ? WHERE id = ?", (now, address, number))
    if not address:
        return
    db.execute(
        "INSERT INTO ledger VALUES (?, ?, ?, 1, ?, ?, ?) ON CONFLICT (account, address) DO UPDATE SET "
        "attempts = attempts + 1, successes = successes + excluded.successes, last_attempt = excluded.last_attempt, "
        "last_success = coalesce(excluded.last_success, last_success)",
        (number, address, source, int(succeeded), now, now if succeeded else None),
    )
    db.execute(
        "DELETE FROM ledger WHERE account = ? AND address IN (SELECT address FROM ledger WHERE account = ? AND "
        "address <> ? ORDER BY successes > 0 DESC, last_attempt DESC LIMIT -1 OFFSET ?)",
        (number, number, address, MOST_ADDRESSES - 1),
    )
