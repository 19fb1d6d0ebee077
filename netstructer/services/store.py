"""The store: one SQLite file that a service keeps its rows in.  Floor: SERVICES.  Law: a transaction, or nothing.

Made for several threads of several processes at once: the command line changes what a server works with.

*What lasts.*  WAL, `synchronous=FULL`: what `writing` has committed is on the disk when the block ends.
`writing(flush=False)` leaves the flush to the system: such a commit survives the process, killed or not, and may be
missing after the power has failed, with others that were not flushed.  It is for what is counted, never for rights.

*Who waits.*  One connection writes, and a lock hands it from thread to thread, because SQLite lets one write at a time
anyway, and a thread that waits for a lock wakes sooner than one that asks the file again and again.  Up to four more
connections read, each its own snapshot, and never wait for who writes.  A connection for each thread instead would
cost descriptors and a cache of pages for each of a server's thousands of threads, and would have to be closed by a
thread that is gone.  Who waits longer than `busy_seconds` is told `StoreBusy`.

*What it is.*  The file says what is kept in it and by which version (schema.py); steps that are missing are taken when
it is opened.  A new file is made whole under another name and then linked to its own, so an empty file has lost
something.  It is for its owner alone (0600), and so are the two files that SQLite keeps beside it.

A store does not survive a fork: SQLite's locks are the parent's.  Open it anew in the child.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path as _Path

from netstructer import private_files
from netstructer.errors import Misuse, StoreBusy, StoreDamaged, StoreFull
from netstructer.private_files import Path
from netstructer.services.backups import copy_into, replace_by
from netstructer.services.schema import Schema, Step
from netstructer.sqlite_faults import trouble_of

__all__ = ["Store"]

BUSY_SECONDS = 5.0
"""How long anybody waits for others: hundreds of commits on a slow disk."""
READERS = 4
"""Connections that only read, in a process: more than its processors gain nothing, and each has a cache of 2 MB."""
LOG_BYTES = 4 << 20
"""What is left of the log (-wal) on the disk once it has been brought into the file: a burst made it longer."""


class Store:
    """An open store; `with` closes it.  Thread-safe, and safe beside other processes.

    `name` is what is kept in it, in a word: a file that keeps something else is refused.  `steps` are the ways from
    each version of its schema to the next: each some statements, or a function that is given the connection.  The file
    and its directory (0700) are made where they are missing.

    Raises `StoreDamaged` for what is no such store, `StoreTooNew`, `StoreFull`, `StoreBusy`, and `Misuse` for a place
    where no file can be opened, or where processes cannot share memory.
    """

    def __init__(self, path: Path, steps: Sequence[Step], *, name: str, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.name = name
        self.busy_seconds = busy_seconds
        self._schema = Schema(name, steps)
        self._turn = threading.Lock()
        self._writing_thread = 0
        self._places = threading.BoundedSemaphore(READERS)
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._process = os.getpid()
        with self._named():
            if not os.path.exists(self.path):
                self._schema.make(self.path)
            self._writer = self._connect()
            try:
                self._open()
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def writing(self, *, flush: bool = True) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction, which is committed when the block ends, or undone if it raises.

        Raises `StoreBusy`, `StoreFull`, `StoreTooNew` and `StoreDamaged`; nothing was changed then.  A thread may not
        begin a second one inside.  `sqlite3.IntegrityError`, and what SQLite raises for calls that cannot be right,
        pass as they are.
        """
        with self._turn_to_write(), self._named():
            run = self._writer.execute
            run(f"PRAGMA synchronous={'FULL' if flush else 'NORMAL'}")
            run("BEGIN IMMEDIATE")
            try:
                self._refuse_newer(self._writer)
                yield self._writer
                if not self._writer.in_transaction:
                    raise Misuse("the transaction was ended inside its block")
                run("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if self._writer.in_transaction:
                        run("ROLLBACK")
                raise

    @contextmanager
    def _turn_to_write(self) -> Iterator[None]:
        self._check_usable()
        if self._writing_thread == threading.get_ident():
            raise Misuse(
                f"a transaction inside a transaction of the store of {self.name}: this thread is writing already"
            )
        if not self._turn.acquire(timeout=self.busy_seconds):
            raise StoreBusy(f"others of this process wrote to {self.path} for {self.busy_seconds:g} seconds")
        try:
            self._check_usable()
            self._writing_thread = threading.get_ident()
            yield
        finally:
            self._writing_thread = 0
            self._turn.release()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one moment of the store, whatever is written meanwhile, and can change nothing.

        Raises `StoreBusy` where four others of this process read and none of them ends, `StoreTooNew`, and
        `StoreDamaged`.
        """
        self._check_usable()
        if not self._places.acquire(timeout=self.busy_seconds):
            raise StoreBusy(f"others of this process read {self.path} for {self.busy_seconds:g} seconds")
        try:
            self._check_usable()
            with self._named():
                connection = self._take()
                sound = True
                try:
                    connection.execute("BEGIN")
                    self._refuse_newer(connection)
                    yield connection
                except sqlite3.Error:
                    sound = False
                    raise
                finally:
                    self._give_back(connection, sound=sound)
        finally:
            self._places.release()

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            return connection

    def _give_back(self, connection: sqlite3.Connection, *, sound: bool) -> None:
        """Keep a connection for the next, unless SQLite found something wrong: it may be what is wrong."""
        if sound:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")  # it has changed nothing, and a COMMIT could fail
        if not sound or connection.in_transaction or self._closed:
            connection.close()
            return
        self._idle.append(connection)
        if self._closed:  # since that look: it is closed here, or there
            self._close_idle()

    def _refuse_newer(self, db: sqlite3.Connection) -> None:
        """A later netstructer may have opened the file, and brought it to its version, while this one had it open."""
        self._schema.refuse_newer(int(db.execute("PRAGMA user_version").fetchone()[0]), self.path)

    def check(self) -> None:
        """Let SQLite look at every page and every reference.  Raises `StoreDamaged`."""
        with self.reading() as db:
            self._schema.check(db, self.path)

    def backup(self, path: Path) -> None:
        """Copy the store as it is now into a new file, for its owner alone (0600), while others go on working.

        The copy is whole, or is not there.  Raises `FileExistsError` rather than overwrite, `StoreFull`,
        `StoreDamaged`, and `OSError`.
        """
        with self.reading() as db:
            copy_into(os.path.abspath(os.fspath(path)), db, check=self._schema.check, wait=self.busy_seconds)

    def restore(self, path: Path, *, mend: Callable[[sqlite3.Connection], None] | None = None) -> None:
        """Put a backup in the place of all that is in the store, in one transaction; others see the old or the new.

        The backup is only read.  It is copied beside the store, looked through, brought to the version of today and
        given to `mend` before anything of the store is touched.  Raises `FileNotFoundError`, and what opening and
        writing a store raise.
        """
        place = os.path.abspath(os.fspath(path))

        def prepare(db: sqlite3.Connection) -> None:
            self._schema.check(db, place)
            self._schema.bring_up(db, place, mend=mend)

        with self._turn_to_write(), self._named(path=f"{self.path}, or the backup {place},"):
            replace_by(place, self._writer, self.path, prepare=prepare, wait=self.busy_seconds)

    def close(self) -> None:
        """Close it, once nobody writes; who reads ends by itself.  May be called twice.

        Raises `StoreBusy` where others of this process write and none of them ends.
        """
        if self._closed or self._process != os.getpid():  # to close a parent's files would take its locks away
            return
        if self._writing_thread == threading.get_ident():
            raise Misuse(f"the store of {self.name} cannot be closed inside a transaction")
        if not self._turn.acquire(timeout=self.busy_seconds):
            raise StoreBusy(f"others of this process wrote to {self.path} for {self.busy_seconds:g} seconds")
        try:
            self._closed = True
            self._close_idle()
            with suppress(sqlite3.Error):
                self._writer.close()
        finally:
            self._turn.release()

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store of {self.name} at {self.path}{', closed' if self._closed else ''}>"

    def _check_usable(self) -> None:
        if self._closed:
            raise Misuse(f"the store of {self.name} is closed")
        if self._process != os.getpid():
            raise Misuse(f"the store of {self.name} was opened by a parent process: open it anew after a fork")

    def _connect(self) -> sqlite3.Connection:
        where = _Path(self.path).as_uri() + "?mode=rw"  # a file that is gone is not made again, empty
        connection = sqlite3.connect(
            where, uri=True, isolation_level=None, timeout=self.busy_seconds, check_same_thread=False
        )
        try:
            for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "foreign_keys=ON", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _open(self) -> None:
        if os.name == "posix" and stat.S_IMODE(os.stat(self.path).st_mode) & 0o077:
            private_files.note("the store of %s %s may be read by others: chmod 600 it", self.name, self.path)
        self._schema.version_in(self._writer, self.path)
        if self._writer.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
            raise Misuse(f"{self.path} lies where processes cannot share memory, as on a network's disk")
        self._schema.bring_up(self._writer, self.path, mend=None)

    @contextmanager
    def _named(self, path: str | None = None) -> Iterator[None]:
        """Give what SQLite raises its name."""
        place = path or self.path
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError):
            raise  # the caller's own
        except UnicodeDecodeError as error:  # of what SQLite says: it names what it found in a schema that has rotted
            raise StoreDamaged(f"{place} cannot be read: its schema has rotted") from error
        except (sqlite3.Error, sqlite3.Warning) as error:
            trouble = trouble_of(error)
            if trouble == "no room":
                raise StoreFull(f"the disk takes no more of {place}: {error}") from error
            if trouble == "in use":
                raise StoreBusy(f"another process had {place} for {self.busy_seconds:g} seconds") from error
            if trouble == "closed door":
                raise Misuse(f"{place} cannot be opened for reading and writing: {error}") from error
            raise StoreDamaged(f"{place} cannot be read: {error}") from error
