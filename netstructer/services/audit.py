"""The audit: who did what, in rows that can be added and never changed unseen.  Floor: SERVICES.

Law: a row is on the disk when `append` returns, or `append` has said that it is not.  Spec: docs/audit.md, "The file".

    audit = Audit("/var/lib/shop/audit.db", anchor="/mnt/elsewhere/anchors")
    audit.append("ban.add", actor="ada", source="10.0.0.7", target="bob", result="ok")

Rows are chained under a key (audit_chain.py) that lies beside the file (`audit.db.key`, 0600) unless it is given.
Whoever can read the key can write the chain anew: then only anchors tell, and those only where they are out of reach.

*Many at once.*  Each commit is a flush of the disk.  Threads that come while one is under way wait, and one of them
writes for all: their rows are one transaction, and each `append` returns when it is committed.  Other processes may
append to the same file; the chain goes on from the last row that is there.

*What is noticed while it runs.*  Before each commit the last row that this process has seen is looked for, and what
others have written behind it is verified; at the opening, the last row.  Where that has gone or is another, appending
is refused (`AuditDamaged`), because a chain that goes on behind a hole would look sound from there.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from netstructer import private_files
from netstructer.errors import AuditDamaged, InvalidKey, LinkTimeout, Misuse, NetstructerError, StoreBusy
from netstructer.keys import Key
from netstructer.private_files import Path
from netstructer.services.anchors import Anchor, anchor_file
from netstructer.services.audit_chain import ID_BYTES, AuditRow, Head, Texts, check_chain, first_tag, next_tag
from netstructer.services.audit_reader import AuditReader, clean, rows_in
from netstructer.services.printing import cut

if TYPE_CHECKING:
    from netstructer.services.accounts.account import AccountEvent

__all__ = ["OK", "Audit"]

logger = logging.getLogger("netstructer")

OK = "ok"
"""The result of what went well; anything else is what went wrong."""
ACTION_CHARACTERS = 64
WHO_CHARACTERS = 256
"""Of an actor and of a source: a user's name, an address."""
WHAT_CHARACTERS = 1_024
"""Of a target and of a result: a path, a sentence.  What is longer ends in an ellipsis."""
MOST_TOGETHER = 256
"""Rows in one commit: what waits for one flush is 700,000 characters at most."""
ANCHOR_ROWS = 100
"""Between two anchors: what whoever cuts the end can hide, against one write elsewhere."""
APPEND_SECONDS = 10.0
"""How long `append` waits: twice what a store waits for others."""
_INTERRUPTED = LinkTimeout("the thread that wrote the row was interrupted; the row may be there")
_ACTION = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*")


class Audit(AuditReader):
    """An audit to append to and to read; `with` closes it.  Thread-safe, and safe beside other processes.

    The file is made where it is missing, and so is its key: in `key_file`, or beside the audit, unless `key` is given.
    `anchor` is a path, to which the head is added every `anchor_every` rows and at the end, or what is called with it.

    Raises `MissingKey` where the key of an audit with rows is gone, `InvalidKey` where it is another, `AuditDamaged`
    where the last row is not what was written, and what opening a `Store` raises.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: Key | str | bytes | None = None,
        key_file: Path | None = None,
        anchor: Path | Anchor | None = None,
        anchor_every: int = ANCHOR_ROWS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if anchor_every < 1:
            raise Misuse("expected anchor_every to be at least 1 row")
        self._wall = wall
        self._anchor = anchor if anchor is None or callable(anchor) else anchor_file(anchor, wall)
        self._anchor_every = anchor_every
        self._anchor_turn = threading.Lock()
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._writing = self._closed = False
        self._process = os.getpid()
        super().__init__(path, key=key, key_file=key_file)
        try:
            self._file = os.stat(self.path)
            self._seen = self._begin()
            self._anchored = 0
            self._export(at_once=True)
        except BaseException:
            self._store.close()
            raise
        logger.info("= audit %s at row %d, head %s", self.path, self._seen.row, self._seen)

    def append(
        self,
        action: str,
        *,
        actor: str = "",
        source: str = "",
        target: str = "",
        result: str = OK,
        timeout: float = APPEND_SECONDS,
    ) -> AuditRow:
        """Add a row and return it, once it is on the disk.

        `action` is one of the application's own words, as in `ban.add`; who did it (`actor`), from where (`source`), to
        whom or what (`target`) and what came of it (`result`) are text for people, whoever wrote it; what is longer
        than 256 characters (who, from where) or 1,024 is cut.

        Raises `StoreFull`, `StoreBusy`, `AuditDamaged`: the row was not written.  `LinkTimeout` says that the disk has
        not answered in time, and the row may come yet.  `Misuse` for an action that is none, and after `close`.
        """
        if not isinstance(action, str) or len(action) > ACTION_CHARACTERS or not _ACTION.fullmatch(action):
            raise Misuse(f"expected an action of at most {ACTION_CHARACTERS} characters, as in 'ban.add'")
        who = (_text(actor, WHO_CHARACTERS), _text(source, WHO_CHARACTERS))
        waiting = _Waiting((*who, action, _text(target, WHAT_CHARACTERS), _text(result, WHAT_CHARACTERS)))
        deadline = time.monotonic() + timeout
        if self._process != os.getpid():  # a lock that another thread of the parent held is held here for good
            raise Misuse(f"the audit {self.path} was opened by a parent process: open it anew after a fork")
        with self._changed:
            if self._closed:
                raise Misuse(f"the audit {self.path} is closed")
            self._queue.append(waiting)
        batch: list[_Waiting] = []
        try:
            while self._turn(waiting, deadline, batch):
                self._write(batch)
                self._export()
        finally:
            if batch:  # Ctrl-C came between two steps
                self._end(batch, [], _INTERRUPTED)
        return waiting.outcome()

    def note(self, actor: str, source: str, action: str, target: str, result: str) -> AuditRow:
        """Add a row as `Admin(note=…)` tells it.  Raises as `append` does."""
        return self.append(action, actor=actor, source=source, target=target, result=result)

    def note_account(self, event: AccountEvent) -> AuditRow:
        """Add what `Accounts(on_event=…)` tells: a login as `login`, the rest as `account.` and what was done.

        Raises as `append` does, and then whoever did it is told so, though it is done.
        """
        is_login = event.action.startswith("login")
        action = "login" if is_login else f"account.{event.action.replace(' ', '-')}"
        target, result = event.target, event.result
        if result == "done":
            target, result = ": ".join(filter(None, (target, event.detail))), OK
        elif event.detail:
            result = f"{result}, {event.detail}"
        return self.note(event.actor, event.source, action, target, result)

    def close(self) -> None:
        """Let go of the file, once the rows that wait are written, and tell the anchor.  May be called twice."""
        if self._process != os.getpid():
            super().close()
            return
        with self._changed:
            was_closed, self._closed = self._closed, True
            self._changed.wait_for(lambda: not self._writing and not self._queue, APPEND_SECONDS)
        if not was_closed:
            self._export(at_once=True)  # what is left of the last `anchor_every` rows
        super().close()

    def _find(self) -> None:
        """An audit that is not there is made."""

    def _begin(self) -> Head:
        """See that key and file belong together, and that the last row is sound; return its head."""
        with self._store.reading() as db:
            is_new = db.execute("SELECT 1 FROM audit_about UNION ALL SELECT 1 FROM audit_rows").fetchone() is None
        if is_new:
            self._make_key()
            self._chain = self._chain_key()
            with self._store.writing() as db:
                audit_id = os.urandom(ID_BYTES)  # one that another process has made in this moment stays
                about = (1, audit_id, first_tag(self._chain, audit_id))
                db.execute("INSERT OR IGNORE INTO audit_about VALUES (?, ?, ?)", about)
        self._chain = self._chain_key()
        with self._store.reading() as db:
            audit_id, first = self._about_in(db)
            if first_tag(self._chain, audit_id) != first:
                raise InvalidKey(f"the key is not that of the audit {self.path}, or how that begins was changed")
            n = self._head_in(db).row
            before = db.execute("SELECT n, tag FROM audit_rows WHERE n = ?", (n - 1,)).fetchone()
            return self._check_behind(db, Head(0, first) if n <= 1 or before is None else Head(*before))

    def _make_key(self) -> None:
        if self._key is None:
            private_files.make_directory(self.key_path)
            with suppress(FileExistsError):
                Key.generate().save(self.key_path)

    def _turn(self, waiting: _Waiting, deadline: float, batch: list[_Waiting]) -> bool:
        """Put rows into `batch` that are this thread's to write; say whether there are any, or its own has ended."""
        with self._changed:
            while not waiting.ended:
                if not self._writing:
                    batch += [self._queue.popleft() for _ in range(min(len(self._queue), MOST_TOGETHER))]
                    self._writing = True
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    if waiting in self._queue:
                        self._queue.remove(waiting)
                        raise StoreBusy(f"others wrote to {self.path} for too long; the row was not written")
                    raise LinkTimeout(f"{self.path} was not written to in time; the row may come yet")
                self._changed.wait(left)
            return False

    def _write(self, batch: list[_Waiting]) -> None:
        rows: list[AuditRow] = []
        failure: Exception = _INTERRUPTED
        try:
            rows = self._commit([waiting.texts for waiting in batch])
        except Exception as error:
            failure = error
        finally:
            self._end(batch, rows, failure)

    def _end(self, batch: list[_Waiting], rows: list[AuditRow], failure: Exception) -> None:
        """Tell those who wait what became of their rows, and let the next thread write."""
        with self._changed:
            for number, waiting in enumerate(batch):
                waiting.end(rows[number] if rows else failure)
            batch.clear()
            self._writing = False
            self._changed.notify_all()

    def _commit(self, batch: list[Texts]) -> list[AuditRow]:
        self._check_place()
        rows: list[AuditRow] = []
        with self._store.writing() as db:
            head = self._check_behind(db, self._seen)
            for texts in batch:
                now, n = int(self._wall() * 1_000_000), head.row + 1
                rows.append(AuditRow(n, now, *texts, next_tag(self._chain, head.tag, n, now, texts)))
                head = rows[-1].head
            values = [(row.n, row.microseconds, *texts, row.tag) for row, texts in zip(rows, batch, strict=True)]
            db.executemany("INSERT INTO audit_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        self._seen = head
        return rows

    def _check_behind(self, db: sqlite3.Connection, seen: Head) -> Head:
        """See that a row is there still, and that what others have written behind it is sound; return the last head."""
        first = self._about_in(db)[1]
        found = db.execute("SELECT tag FROM audit_rows WHERE n = ?", (seen.row,)).fetchone() if seen.row else (first,)
        if found != (seen.tag,):
            raise AuditDamaged(f"row {seen.row} of {self.path} has gone or was changed since it was seen", row=seen.row)
        verdict = check_chain(rows_in(db, after=seen.row), self._chain, seen)
        if not verdict.sound:
            raise AuditDamaged(f"row {verdict.row} of {self.path} {verdict.fault}", row=verdict.row)
        return verdict.head

    def _check_place(self) -> None:
        """What is written to a file that has lost its name is gone when it is closed."""
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self.path), self._file):
                return
        raise AuditDamaged(f"{self.path} is not the file any more that was opened: it was removed, or replaced")

    def _export(self, *, at_once: bool = False) -> None:
        """Tell the anchor of the last row, if it is time.  It holds up only the thread that tells it."""
        if self._anchor is None or not self._anchor_turn.acquire(timeout=APPEND_SECONDS if at_once else 0):
            return
        try:
            head, every = self._seen, self._anchor_every
            if head.row // every > self._anchored // every or (at_once and head.row > self._anchored):
                self._anchored = head.row  # where it fails the next time is as far away: a full disk stays full
                self._anchor(head)
        except Exception as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            logger.error("= the anchor of the audit %s took no head: %s", self.path, reason)
        finally:
            self._anchor_turn.release()


class _Waiting:
    """A row that is to be written, until it is."""

    __slots__ = ("_found", "texts")

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self._found: AuditRow | Exception | None = None

    @property
    def ended(self) -> bool:
        return self._found is not None

    def end(self, found: AuditRow | Exception) -> None:
        self._found = found

    def outcome(self) -> AuditRow:
        """Return the row, or raise what kept it from being written, which others are told too."""
        if isinstance(self._found, AuditRow):
            return self._found
        assert self._found is not None
        raise self._found.again() if isinstance(self._found, NetstructerError) else self._found


def _text(text: str, most: int) -> str:
    if not isinstance(text, str):
        raise Misuse(f"expected text in each field of the audit, found a {type(text).__name__}")
    return clean(cut(text, most))
