"""Backups: a store copied while it is in use, and put back.  Floor: SERVICES.  Law: whole, or not there.

By SQLite's online backup.  A copy is one transaction's view of the store, written beside its place, looked through,
brought to the disk and only then given its name.  Putting one back goes the other way: the backup is copied beside the
store, where it is looked through and brought to the version of today, and the copy then replaces all pages of the store
in one transaction, so that a process that dies on the way leaves the store as it was.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from netstructer import private_files
from netstructer.errors import StoreBusy

__all__ = ["copy_into", "replace_by"]

Connection = sqlite3.Connection


def copy_into(place: str, source: Connection, *, check: Callable[[Connection, str], None], wait: float) -> None:
    """Copy what a connection sees into a new file.  Raises `FileExistsError`, `OSError`, and what SQLite raises."""
    if os.path.lexists(place):
        raise FileExistsError(f"{place} is there already, and a backup never overwrites")
    private_files.make_directory(place)
    with _beside(place) as copy:
        with closing(sqlite3.connect(copy, isolation_level=None)) as db:
            _copy(source, db, wait)
            db.execute("PRAGMA journal_mode=DELETE").fetchall()  # one file, which can be read where none can be written
            check(db, place)
        _flush(copy)
        private_files.publish(copy, place)


def replace_by(
    place: str, target: Connection, beside: str, *, prepare: Callable[[Connection], None], wait: float
) -> None:
    """Replace all that is in `target` by the backup at `place`, once `prepare` has seen a copy of it.

    Waits `wait` seconds for those who write.  Raises `FileNotFoundError`, `StoreBusy`, and what SQLite raises.
    """
    os.stat(place)  # SQLite has one text for all that can be wrong with a file
    with _beside(beside) as copy, closing(sqlite3.connect(copy, isolation_level=None)) as db:
        with closing(sqlite3.connect(f"{Path(place).as_uri()}?mode=ro", uri=True)) as source:
            _copy(source, db, wait)
        prepare(db)
        page_bytes = target.execute("PRAGMA page_size").fetchone()[0]
        if db.execute("PRAGMA page_size").fetchone()[0] != page_bytes:
            db.execute("PRAGMA journal_mode=DELETE").fetchall()
            db.execute(f"PRAGMA page_size={page_bytes}")
            db.execute("VACUUM")  # pages of another length cannot go into a file that has a log
        target.execute("PRAGMA synchronous=FULL")
        _copy(db, target, wait)


def _copy(source: Connection, target: Connection, wait: float) -> None:
    """Copy all pages in one transaction; who holds up either end is waited for, which SQLite would do for ever."""
    deadline = time.monotonic() + wait

    def look(status: int, _left: int, _all: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            raise StoreBusy(f"others had the store for {wait:g} seconds")

    source.backup(target, progress=look, sleep=0.05)


@contextmanager
def _beside(place: str) -> Iterator[str]:
    """Give a new, empty file beside a place, which is removed in the end with what SQLite puts beside it."""
    copy = private_files.path_beside(place)
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield copy
    finally:
        for tail in ("", "-journal", "-wal", "-shm"):
            with suppress(OSError):
                os.unlink(copy + tail)


def _flush(place: str) -> None:
    descriptor = os.open(place, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
