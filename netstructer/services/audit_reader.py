"""The reader of an audit: rows, the head, and whether all is as it was written.  Floor: SERVICES.

Law: nothing is written here, and nothing that is read is believed before `verify` has said so.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Self, TextIO

from netstructer.errors import AuditDamaged, MissingKey, Misuse, StoreDamaged
from netstructer.keys import Key
from netstructer.private_files import Path
from netstructer.services.anchors import anchors_of
from netstructer.services.audit_chain import (
    ID_BYTES,
    TAG_BYTES,
    AuditRow,
    Head,
    Verdict,
    check_chain,
    first_tag,
    row_of,
)
from netstructer.services.store import Store

__all__ = ["STEPS", "AuditReader", "clean", "key_path_of", "rows_in"]

STEPS = (
    (
        "CREATE TABLE audit_about (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL, first_tag BLOB NOT NULL)",
        "CREATE TABLE audit_rows (n INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL,"
        " source TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL, result TEXT NOT NULL, tag BLOB NOT NULL)",
    ),
)
"""The ways from each version of the file to the next (schema.py)."""
PAGE_ROWS = 1_000
"""Read at a time: whoever is slow with rows must not keep a moment of the store alive for hours."""
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1
_WANTED = (
    "n > :after AND time >= :since AND time < :until AND (:actor IS NULL OR actor = :actor) AND (:action IS NULL"
    " OR action = :action OR substr(action, 1, length(:action) + 1) = :action || '.')"
)
_TEXTS = ("actor", "source", "action", "target", "result")
_COLUMNS = f"n, time, {', '.join(f'CAST({name} AS BLOB)' for name in _TEXTS)}, tag"
"""Texts as bytes: SQLite's reader stops at bytes that are no UTF-8, and does not say in which row."""


def key_path_of(path: Path) -> str:
    """Return where the key of an audit is, unless somebody says otherwise: beside it."""
    return os.fspath(path) + ".key"


class AuditReader:
    """An audit that is there, to be read while others write to it; `with` closes it.

    The key is needed for `verify` alone: the file beside the audit, `key_file`, or `key`.  Raises `FileNotFoundError`
    where there is no audit, and what opening a `Store` raises.
    """

    def __init__(self, path: Path, *, key: Key | str | bytes | None = None, key_file: Path | None = None) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.key_path = os.path.abspath(os.fspath(key_file or key_path_of(self.path)))
        self._key = key if key is None or isinstance(key, Key) else Key(key)
        self._find()
        self._store = Store(self.path, STEPS, name="audit")

    def head(self) -> Head:
        """Return the number and the tag of the last row.  Raises `AuditDamaged` where there is no such thing."""
        with self._store.reading() as db:
            return self._head_in(db)

    def rows(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        actor: str | None = None,
        action: str | None = None,
        after: int = 0,
    ) -> Iterator[AuditRow]:
        """Return rows in order, as they are asked for; those that come meanwhile too.

        `since` and `until` are seconds since 1970, the later one not included.  An `action` stands for those below it
        too: `"ban"` for `ban.add`.  `after` is the number of the last row that is not wanted.  Nothing is verified.
        Raises `AuditDamaged` at a row that holds what is never written.
        """
        wanted = {
            "since": _FIRST if since is None else _microseconds(since),
            "until": _LAST if until is None else _microseconds(until),
            "actor": None if actor is None else clean(actor),
            "action": None if action is None else clean(action),
        }
        question = f"SELECT {_COLUMNS} FROM audit_rows WHERE {_WANTED} ORDER BY n LIMIT {PAGE_ROWS}"
        while page := self._page(question, {**wanted, "after": after}):
            yield from page
            after = page[-1].n

    def last(self, count: int) -> list[AuditRow]:
        """Return the last `count` rows, in order.  Raises as `rows` does."""
        if count < 0:
            raise Misuse("expected a number of rows")
        question = f"SELECT {_COLUMNS} FROM audit_rows WHERE n > 0 ORDER BY n DESC LIMIT :count"
        return self._page(question, {"count": count})[::-1]

    def export(self, file: TextIO, **wanted: Any) -> int:
        """Write rows as lines of JSON in ASCII, each with its tag in hexadecimal; return how many.

        `wanted` is what `rows` takes.
        """
        count = 0
        for count, row in enumerate(self.rows(**wanted), 1):  # noqa: B007 it is what is returned
            file.write(json.dumps({**row.facts(), "tag": row.tag.hex()}) + "\n")
        return count

    def verify(self, *, anchor: Head | str | Path | None = None) -> Verdict:
        """Look at every row, and say whether all are as they were written.

        Edited, removed, inserted and moved rows are found by the chain.  **That rows are missing at the end is found by
        an anchor alone**: a head that was noted elsewhere, as a `Head` or its text, or a file of them.  Raises
        `MissingKey`, `InvalidKey` and `OSError` where the key cannot be had, `Misuse` for an anchor that is none,
        `StoreBusy`.
        """
        key = self._chain_key()
        anchors = [] if anchor is None else anchors_of(anchor)  # before the rows: a later one is of a later row
        try:
            self._store.check()
            with self._store.reading() as db:
                audit_id, first = self._about_in(db)
                if first_tag(key, audit_id) != first:
                    return _unsound("its key is another, or how it begins was changed")
                if db.execute("SELECT count(*) FROM sqlite_master WHERE type IN ('trigger', 'view')").fetchone()[0]:
                    return _unsound("it has a trigger or a view, which are never made here")
                return check_chain(rows_in(db), key, Head(0, first), anchors)
        except StoreDamaged as error:
            return _unsound(str(error))

    def backup(self, path: Path) -> None:
        """Copy the audit as it is now into a new file (0600), while it is appended to; its key is not in it.

        Raises `FileExistsError` rather than overwrite, `StoreFull`, `StoreDamaged`, and `OSError`.
        """
        self._store.backup(path)

    def close(self) -> None:
        """Let go of the file.  May be called twice."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    def _find(self) -> None:
        os.stat(self.path)  # a store that is not there would be made

    def _page(self, question: str, wanted: dict[str, object]) -> list[AuditRow]:
        with self._store.reading() as db:
            return [row_of(found) for found in db.execute(question, wanted)]

    def _head_in(self, db: sqlite3.Connection) -> Head:
        found = db.execute("SELECT n, tag FROM audit_rows ORDER BY n DESC LIMIT 1").fetchone()
        head = Head(0, self._about_in(db)[1]) if found is None else Head(*found)
        if type(head.tag) is not bytes or len(head.tag) != TAG_BYTES:
            raise AuditDamaged(f"row {head.row} of {self.path} holds what is never written", row=head.row)
        return head

    def _about_in(self, db: sqlite3.Connection) -> tuple[bytes, bytes]:
        found = db.execute("SELECT id, first_tag FROM audit_about WHERE one = 1").fetchone()
        if found is None or [len(part) for part in found if type(part) is bytes] != [ID_BYTES, TAG_BYTES]:
            raise AuditDamaged(f"{self.path} has lost how it begins")
        return found[0], found[1]

    def _chain_key(self) -> bytes:
        if self._key is None:
            try:
                self._key = Key.load(self.key_path)
            except FileNotFoundError:
                raise MissingKey(f"there is no key for the audit {self.path}: expected it in {self.key_path}") from None
        return self._key.derive("audit")


def rows_in(db: sqlite3.Connection, *, after: int | None = None) -> Iterator[Sequence[object]]:
    """Return the rows of a store as it has them, in order, for `check_chain`; without `after`, from below row 1 on."""
    where, bound = ("", ()) if after is None else ("WHERE n > ?", (after,))
    return iter(db.execute(f"SELECT {_COLUMNS} FROM audit_rows {where} ORDER BY n", bound))


def clean(text: str) -> str:
    """Return a text that UTF-8 has bytes for: half a surrogate pair is written as Python writes it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _microseconds(seconds: float) -> int:
    try:
        return max(_FIRST, min(_LAST, int(seconds * 1_000_000)))
    except (OverflowError, ValueError):
        raise Misuse("expected a time in seconds since 1970") from None


def _unsound(fault: str) -> Verdict:
    return Verdict(rows=0, head=Head(0, bytes(TAG_BYTES)), anchors=0, fault=fault)
