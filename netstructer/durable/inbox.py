"""The inbox: how far a reader has come, in the reader's own database.  Floor: COMMONS.

Law: the position is committed by the transaction that commits the effects, or not at all.  Spec: docs/durable.md.

    CREATE TABLE netstructer_inbox (outbox BLOB PRIMARY KEY, row INTEGER NOT NULL)

One line for each outbox that was ever received from: its id, and the last of its rows whose effects are in this
database.  The position is written when the transaction begins and again when it ends: so a block that commits by itself
in the middle commits the position too, and one that rolls back and ends well has taken its message all the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from netstructer.errors import InboxGap, Misuse

__all__ = ["Inbox"]

_TABLE = "CREATE TABLE IF NOT EXISTS netstructer_inbox (outbox BLOB PRIMARY KEY, row INTEGER NOT NULL)"
_NOTE = (
    "INSERT INTO netstructer_inbox (outbox, row) VALUES (?, ?) ON CONFLICT (outbox) DO UPDATE SET row = excluded.row"
)


class Inbox:
    """The positions in one database.  For the thread that may use the connection.

    `database` is an open `sqlite3.Connection` that is in no transaction.  Raises `Misuse` for anything else.
    """

    __slots__ = ("_database",)

    def __init__(self, database: sqlite3.Connection) -> None:
        if not isinstance(database, sqlite3.Connection):
            raise Misuse(f"expected an open sqlite3.Connection, found a {type(database).__name__}")
        self._database = database

    def position(self, outbox: bytes) -> int:
        """Return the last row of an outbox whose effects are in the database; 0 for one that was never heard of."""
        try:
            found = self._found(outbox)
        except sqlite3.OperationalError:  # There is no such table, or it cannot be read now; then neither can this be.
            self._database.execute(_TABLE)
            found = self._found(outbox)
        return 0 if found is None else int(found[0])

    def _found(self, outbox: bytes) -> tuple[int] | None:
        cursor = self._database.cursor()
        cursor.row_factory = None  # that of the connection may make anything of a row
        cursor.execute("SELECT row FROM netstructer_inbox WHERE outbox = ?", (outbox,))
        return cursor.fetchone()  # type: ignore[no-any-return]  # sqlite3 knows no types

    @contextmanager
    def effects(self, outbox: bytes, row: int) -> Iterator[bool]:
        """Commit what the block does together with the position; give whether it is to do anything.

        False for a row whose effects are there.  Whatever the block raises rolls everything back, and passes.  Raises
        `InboxGap` where rows before this one never came here.
        """
        self._begin()
        try:
            position = self.position(outbox)
            fresh = row > position
            if row > position + 1:
                raise InboxGap(
                    f"expected row {position + 1} of the outbox {outbox.hex()}, found row {row}: what is between was "
                    "taken by another reader, without a transaction, or into another database",
                    expected=position + 1,
                    found=row,
                )
            if fresh:
                self._database.execute(_NOTE, (outbox, row))
            yield fresh
            if fresh:
                self._database.execute(_NOTE, (outbox, row))
            self._end("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._end("ROLLBACK")
            raise

    def _begin(self) -> None:
        if self._database.in_transaction and not self._always:
            raise Misuse("the database is in a transaction: commit it, or roll it back, before the next message")
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _end(self, statement: str) -> None:
        if not self._database.in_transaction:
            return
        if self._always:
            (self._database.commit if statement == "COMMIT" else self._database.rollback)()
        else:
            self._database.execute(statement)

    @property
    def _always(self) -> bool:
        """Whether the connection is always in a transaction (`autocommit=False`, from Python 3.12 on)."""
        return getattr(self._database, "autocommit", None) is False
