"""Schemas: what a store's file must hold, and how it comes from one version to the next.  Floor: SERVICES.

Law: a file is of one name and one version, or it is refused.  The name stands in a table of one row, the version in
`user_version`.  `steps` are the ways from each version to the next, so the number of steps is the version of today.
A step that was released is never changed: files have taken it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress

from netstructer import private_files
from netstructer.errors import Misuse, NetstructerError, StoreDamaged, StoreTooNew

__all__ = ["Schema", "Step"]

Step = Sequence[str] | Callable[[sqlite3.Connection], None]
"""The way from one version of a schema to the next: statements, or a function that runs some."""
_NAME = "CREATE TABLE netstructer_store (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL)"


class Schema:
    """What is kept in a store, in a word, and the steps to how it is kept today."""

    __slots__ = ("name", "steps")

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        self.steps = tuple(steps)

    @property
    def version(self) -> int:
        """The version of today."""
        return len(self.steps)

    def make(self, path: str) -> None:
        """Make a new file, whole or not at all; one that another process was faster to make is left as it is.

        Its directory is made where it is missing.  Raises `Misuse` where no file can be made, and what SQLite raises.
        """
        beside = private_files.path_beside(path)
        try:
            private_files.make_directory(path)
            os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(beside, isolation_level=None)) as db:  # closing brings the log into the file
                db.execute("PRAGMA journal_mode=WAL").fetchall()
                db.execute("PRAGMA synchronous=FULL")
                db.execute("BEGIN IMMEDIATE")
                db.execute(_NAME)
                db.execute("INSERT INTO netstructer_store VALUES (1, ?)", (self.name,))
                self._take_steps(db, 0)
                db.execute("COMMIT")
            with suppress(FileExistsError):
                private_files.publish(beside, path)
        except OSError as error:
            if isinstance(error, NetstructerError):
                raise
            raise Misuse(f"the store of {self.name} at {path} cannot be made: {error.strerror}") from error
        finally:
            with suppress(OSError):
                os.unlink(beside)

    def bring_up(self, db: sqlite3.Connection, path: str, *, mend: Callable[[sqlite3.Connection], None] | None) -> None:
        """Take the steps that a file has not taken, and what `mend` does, in one transaction.

        Raises `StoreDamaged` for the store of something else, `StoreTooNew`, and what SQLite raises.
        """
        if self.version_in(db, path) == self.version and mend is None:
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            self._take_steps(db, self.version_in(db, path))  # another process may have taken them meanwhile
            if mend is not None:
                mend(db)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
            raise

    def _take_steps(self, db: sqlite3.Connection, version: int) -> None:
        for step in self.steps[version:]:
            if callable(step):
                step(db)
            else:
                for statement in step:
                    db.execute(statement)
        if not db.in_transaction:
            raise Misuse(f"a step of the schema of {self.name} has ended the transaction")
        db.execute(f"PRAGMA user_version={self.version}")

    def version_in(self, db: sqlite3.Connection, path: str) -> int:
        """Return the version of a file, once it is known to be a store of this name and not too new."""
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'netstructer_store'").fetchone() is None:
            raise StoreDamaged(f"{path} is no store of netstructer's, or has lost what was in it")
        if db.execute("SELECT name FROM netstructer_store WHERE one = 1").fetchone() != (self.name,):
            raise StoreDamaged(f"expected the store of {self.name} in {path}, found that of something else")
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        self.refuse_newer(version, path)
        return version

    def refuse_newer(self, version: int, path: str) -> None:
        """Raise `StoreTooNew` for a version that this netstructer does not know."""
        if version > self.version:
            raise StoreTooNew(
                f"{path} is of version {version}, and this netstructer knows version {self.version}: update it",
                found=version,
                known=self.version,
            )

    def check(self, db: sqlite3.Connection, path: str) -> None:
        """Let SQLite look at every page and every reference.  Raises `StoreDamaged`."""
        if db.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise StoreDamaged(f"the pages of {path} do not fit together")
        if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise StoreDamaged(f"rows of {path} refer to others that are not there")
