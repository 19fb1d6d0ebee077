"""Shares: which files of whom others may have.  Floor: SERVICES.

Law: what is not shared is not there for others; a share ends with its file, and never passes to another user of the
same name, because both ends of it are ids.

A share is of one path, a file or a directory with all that is in it, to one user or to everybody.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from netstructer.errors import LimitReached
from netstructer.private_files import Path
from netstructer.services.files.visitors import EVERYBODY, Visitor
from netstructer.services.schema import Step
from netstructer.services.store import Store

__all__ = ["Share", "Shares"]

MOST_SHARES = 1_000
"""Of one user: each costs a look at the disk when somebody lists what is shared with him."""
MOST_OWNERS = 1_000
"""Users whose shares one listing names: what a person reads through is far less."""

_STEPS: tuple[Step, ...] = (
    (
        """CREATE TABLE shares (
            owner TEXT NOT NULL, path TEXT NOT NULL, guest TEXT NOT NULL,
            owner_name TEXT NOT NULL, guest_name TEXT NOT NULL, writable INTEGER NOT NULL, made REAL NOT NULL,
            PRIMARY KEY (owner, path, guest)
        )""",
        "CREATE INDEX shares_by_guest ON shares (guest, owner)",
    ),
)
_ALL_ID = ""
"""The id of everybody, which is nobody's."""


@dataclass(frozen=True, slots=True)
class Share:
    """One share."""

    path: str
    guest: str
    """With whom; `all` for everybody."""
    writable: bool
    made: float
    """Since when: seconds since 1970."""


class Shares:
    """All shares, in a file of their own; `with` closes it.  Thread-safe, as its store is."""

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        self.store = Store(path, _STEPS, name="shared files")
        self._wall = wall

    def add(self, owner: Visitor, path: str, guest: Visitor | None, *, writable: bool) -> None:
        """Share a path with a user, or with everybody (None); one that is there becomes as this one.

        Raises `LimitReached` beyond 1,000 of one owner.
        """
        number, name = (_ALL_ID, EVERYBODY) if guest is None else (guest.id, guest.name)
        with self.store.writing() as db:
            (found,) = db.execute("SELECT count(*) FROM shares WHERE owner = ?", (owner.id,)).fetchone()
            key = (owner.id, path, number)
            there = db.execute("SELECT 1 FROM shares WHERE owner = ? AND path = ? AND guest = ?", key).fetchone()
            if there is None and found >= MOST_SHARES:
                raise LimitReached("there is no room for one more share", limit=MOST_SHARES, found=found + 1)
            db.execute(
                "INSERT INTO shares VALUES (?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (owner, path, guest) DO UPDATE SET writable = excluded.writable",
                (*key, owner.name, name, writable, self._wall()),
            )

    def remove(self, owner: Visitor, path: str, guest: Visitor | None) -> bool:
        """End one share; say whether it was there."""
        key = (owner.id, path, _ALL_ID if guest is None else guest.id)
        with self.store.writing() as db:
            return bool(db.execute("DELETE FROM shares WHERE owner = ? AND path = ? AND guest = ?", key).rowcount)

    def end_below(self, owner: str, path: str) -> int:
        """End all shares of a path and of what is below it: it is no more.  Return how many."""
        with self.store.writing() as db:
            below = _below(db, owner, path)
            db.executemany("DELETE FROM shares WHERE owner = ? AND path = ?", [(owner, each) for each in below])
        return len(below)

    def rename_below(self, owner: str, path: str, new: str) -> int:
        """Let all shares of a path and of what is below it go on under its new name.  Return how many."""
        with self.store.writing() as db:
            below = _below(db, owner, path)
            db.executemany(
                "UPDATE OR REPLACE shares SET path = ? WHERE owner = ? AND path = ?",
                [(new + each[len(path) :], owner, each) for each in below],
            )
        return len(below)

    def of(self, owner: Visitor) -> list[Share]:
        """Return what a user shares, by path."""
        with self.store.reading() as db:
            rows = db.execute(
                "SELECT path, guest_name, writable, made FROM shares WHERE owner = ? ORDER BY path, guest_name",
                (owner.id,),
            )
            return [Share(path, guest, bool(writable), made) for path, guest, writable, made in rows]

    def paths(self, owner: str, guest: Visitor, *, only_all: bool = False) -> dict[str, bool]:
        """Return the paths of a user that are shared with another, and which of them he may change."""
        with self.store.reading() as db:
            rows = db.execute(
                "SELECT path, max(writable) FROM shares WHERE owner = ? AND guest IN (?, ?) "
                "GROUP BY path ORDER BY path",
                (owner, _ALL_ID, _ALL_ID if only_all else guest.id),
            )
            return {path: bool(writable) for path, writable in rows}

    def cover(self, owner: str, guest: Visitor, paths: Iterable[Sequence[str]], *, writing: bool) -> bool:
        """Say whether all of some paths are shared with a user now: each itself, or a directory above it."""
        found = {path for path, writable in self.paths(owner, guest).items() if writable or not writing}
        return all(any("/".join(parts[: count + 1]) in found for count in range(len(parts))) for parts in paths)

    def owners(self, guest: Visitor, *, only_all: bool = False) -> list[tuple[str, str]]:
        """Return who shares with a user, or with everybody: names and ids, by name."""
        with self.store.reading() as db:
            return db.execute(
                "SELECT DISTINCT owner_name, owner FROM shares WHERE guest IN (?, ?) AND owner != ? "
                "ORDER BY owner_name LIMIT ?",
                (_ALL_ID, _ALL_ID if only_all else guest.id, "" if only_all else guest.id, MOST_OWNERS),
            ).fetchall()

    def close(self) -> None:
        """Close the file.  May be called twice."""
        self.store.close()


def _below(db: sqlite3.Connection, owner: str, path: str) -> list[str]:
    rows = db.execute("SELECT DISTINCT path FROM shares WHERE owner = ?", (owner,))
    return [found for (found,) in rows if found == path or found.startswith(f"{path}/")]
