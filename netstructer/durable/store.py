"""The store: an outbox's SQLite file.  Floor: COMMONS.  Law: one process at a time; what SQLite says gets its own name.

WAL, `synchronous=FULL`: a commit is one write to the log and one flush of it to the disk.  `locking_mode=EXCLUSIVE`:
the first read takes the file, and nobody else gets it until it is closed, so there is no shared index beside it.  The
log is brought into the file by this module alone, and cut to nothing each time: whatever follows its last whole
transaction is therefore what a crash, or a rotten byte, has left there (`torn_bytes`).

A new file is made whole under another name and then linked to its own: nobody ever sees half of one, so an empty file,
or one without its tables, has lost something.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from netstructer import private_files
from netstructer.errors import Misuse, NetstructerError, OutboxDamaged, OutboxFull
from netstructer.sqlite_faults import trouble_of

__all__ = ["Store", "make"]

LOG_BYTES = 4 << 20
"""The log is brought into the file when it is this long: what an opening has to read twice at most."""
_PAGE_HEAD_BYTES, _LOG_HEAD_BYTES = 24, 32
_SCHEMA = (
    "CREATE TABLE netstructer_outbox (one INTEGER PRIMARY KEY CHECK (one = 1), state BLOB NOT NULL)",
    "CREATE TABLE netstructer_rows (n INTEGER PRIMARY KEY, sealed BLOB NOT NULL, tag BLOB NOT NULL)",
)


def make(path: str, state: bytes, suffix: str) -> None:
    """Make a new outbox file, whole or not at all, readable by its owner alone.

    One that is there already, because another process was faster, is left as it is.  Raises `OutboxFull`, `Misuse`.
    """
    directory, name = os.path.split(path)
    beside = os.path.join(directory, f".{name}.{suffix}")
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with _named(path):
            connection = sqlite3.connect(beside, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL").fetchall()
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("BEGIN IMMEDIATE")
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute("INSERT INTO netstructer_outbox VALUES (1, ?)", (state,))
                connection.execute("COMMIT")
            finally:
                connection.close()  # which brings the log into the file
        with suppress(FileExistsError):
            private_files.publish(beside, path)
    except OSError as error:
        if isinstance(error, NetstructerError):
            raise
        raise Misuse(f"the outbox {path} cannot be made: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)


class Store:
    """The open file.  Single owner.

    Raises `Misuse` where another process, or another `Outbox` of this one, has it, or where it cannot be opened;
    `OutboxDamaged` for what is no outbox.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with _named(path):
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=0.0, check_same_thread=False)
        try:
            with self.reading(0):
                self._open()
        except BaseException:
            self._connection.close()
            raise

    def _open(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE").fetchall()
        run("PRAGMA trusted_schema=OFF")
        run("PRAGMA cell_size_check=ON")
        run("PRAGMA wal_autocheckpoint=0").fetchall()
        if run("PRAGMA journal_mode").fetchone() != ("wal",):
            raise OutboxDamaged(f"{self.path} is no outbox, or its first bytes have rotted: its journal is another")
        run("PRAGMA synchronous=FULL")
        run("SELECT count(*) FROM sqlite_master").fetchone()  # which takes the file

    def check(self) -> None:
        """Let SQLite look at every page.  Raises `OutboxDamaged`."""
        with self.reading(0):
            found = self._connection.execute("PRAGMA quick_check(1)").fetchall()
        if found != [("ok",)]:
            raise OutboxDamaged(f"the pages of {self.path} do not fit together")

    def state(self) -> object:
        """Return the blob of the state, or whatever is in its place; None where it is gone."""
        with self.reading(0):
            found = self._connection.execute("SELECT state FROM netstructer_outbox WHERE one = 1").fetchone()
        return None if found is None else found[0]

    def rows(self, after: int) -> Iterator[tuple[int, Any, Any]]:
        """Return number, sealed bytes and tag of the rows beyond `after`, in order, as they are found."""
        row = after
        with self.reading(lambda: row + 1):
            for found in self._connection.execute(
                "SELECT n, sealed, tag FROM netstructer_rows WHERE n > ? ORDER BY n", (after,)
            ):
                row = found[0]
                yield found

    def row(self, number: int) -> tuple[Any, Any] | None:
        """Return sealed bytes and tag of a row, None where it is not there."""
        with self.reading(number):
            found = self._connection.execute("SELECT sealed, tag FROM netstructer_rows WHERE n = ?", (number,))
            return found.fetchone()  # type: ignore[no-any-return]  # sqlite3 knows no types

    def bounds(self) -> tuple[int, int]:
        """Return the first and the last row that are there; 1 and 0 where there is none."""
        with self.reading(0):
            first, last = self._connection.execute("SELECT min(n), max(n) FROM netstructer_rows").fetchone()
        return (1, 0) if last is None else (max(1, int(first)), int(last))

    def sealed_bytes(self, after: int, last: int) -> int:
        """Return how long the rows beyond `after` up to `last` are together."""
        question = "SELECT coalesce(sum(length(sealed)), 0) FROM netstructer_rows WHERE n > ? AND n <= ?"
        with self.reading(last):
            return int(self._connection.execute(question, (after, last)).fetchone()[0])

    def write(self, state: bytes, *, rows: list[tuple[int, bytes, bytes]], trim: int) -> None:
        """Commit new rows, the removal of those up to `trim`, and the state that says so: all of it or nothing.

        Raises `OutboxFull` where the disk takes no more.  Where something else interrupts it, `state` tells.
        """
        run = self._connection.execute
        with self.reading(rows[0][0] if rows else 0):
            if self._connection.in_transaction:  # of a write that was interrupted, and whose undoing was
                run("ROLLBACK")
            try:
                run("BEGIN IMMEDIATE")
                if trim:
                    run("DELETE FROM netstructer_rows WHERE n <= ?", (trim,))
                for row in rows:
                    run("INSERT INTO netstructer_rows VALUES (?, ?, ?)", row)
                run("UPDATE netstructer_outbox SET state = ? WHERE one = 1", (state,))
                run("COMMIT")
            except BaseException:
                self._undo()
                raise
        if self._log_bytes() > LOG_BYTES:
            # It is committed whether the log can be brought in or not; the next commit tries again.
            with suppress(NetstructerError):
                self.settle()

    def _undo(self) -> None:
        """Take back what was begun; what had been written to the log is no part of it any more."""
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        with suppress(NetstructerError):
            self.settle()

    def settle(self) -> None:
        """Bring the log into the file, and cut it to nothing."""
        with self.reading(0):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def torn_bytes(self) -> int:
        """Return how much follows the last whole transaction in the log; to be asked before anything is written."""
        found_bytes = self._log_bytes()
        with self.reading(0):
            _, frames, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            page_bytes = self._connection.execute("PRAGMA page_size").fetchone()[0]
        sound_bytes = _LOG_HEAD_BYTES + frames * (_PAGE_HEAD_BYTES + page_bytes) if frames > 0 else 0
        return max(0, found_bytes - sound_bytes)

    def _log_bytes(self) -> int:
        try:
            return os.stat(self.path + "-wal").st_size
        except FileNotFoundError:
            return 0

    def reading(self, row: Any) -> AbstractContextManager[None]:
        """Give what SQLite raises its name; `row` is the row that was asked for, 0 for none, or returns it."""
        return _named(self.path, row)

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._connection.close()


@contextmanager
def _named(path: str, row: Any = 0) -> Iterator[None]:
    try:
        yield
    except (
        UnicodeDecodeError
    ) as error:  # of what SQLite itself says: it names what it found in a schema that has rotted
        raise OutboxDamaged(f"the outbox {path} cannot be read: its schema has rotted", row=0) from error
    except (sqlite3.Error, sqlite3.Warning) as error:
        trouble = trouble_of(error)
        if trouble == "no room":
            raise OutboxFull(f"the disk takes no more of the outbox {path}: {error}") from error
        if trouble == "in use":
            raise Misuse(f"the outbox {path} is in use: one process, and one link, has it at a time") from error
        if trouble == "closed door":
            raise Misuse(f"the outbox {path} cannot be opened for writing: {error}") from error
        number = row() if callable(row) else row
        where = f" at row {number}" if number else ""
        raise OutboxDamaged(f"the outbox {path} cannot be read{where}: {error}", row=number) from error
