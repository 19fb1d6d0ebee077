"""The history of a chat: what was said in which room.  Floor: SERVICES.  Law: what was acknowledged is in the file.

A message is committed, and brought to the disk, before its sender hears that it was said and before anybody else sees
it.  The messages of a room are numbered 1, 2, 3 …; which was the last is kept beside them.  They go by number and by
age, and a room goes with its last message: then its numbers begin anew, unless somebody is in it.

What is erased is overwritten in the file's pages (`secure_delete`), and is gone from the log beside it (`-wal`) once
that was brought into the file, at the latest when the history is closed.  Backups keep what they had.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

from netstructer.errors import LimitReached, Misuse
from netstructer.private_files import Path
from netstructer.services.cells import Report
from netstructer.services.chat.limits import ChatLimits
from netstructer.services.chat.texts import Named, name_of_room
from netstructer.services.printing import moment
from netstructer.services.ready import CHAT
from netstructer.services.store import Store

__all__ = ["History", "HistoryReader", "KeptRoom", "Said"]

TIDY_SECONDS = 3600.0
"""How often messages are looked for that are too old: a fraction of the day by which their age is told."""
ROWS = 500
"""Rows of a report that are read at once: another connection may not be kept from the log's end for long."""
_DAY_SECONDS = 86_400.0

_STEPS = (
    (
        "CREATE TABLE rooms (folded TEXT PRIMARY KEY, name TEXT NOT NULL, last INTEGER NOT NULL)",
        "CREATE TABLE messages (room TEXT NOT NULL REFERENCES rooms (folded), n INTEGER NOT NULL, at REAL NOT NULL,"
        " name TEXT NOT NULL, user TEXT, text TEXT NOT NULL, PRIMARY KEY (room, n))",
        "CREATE INDEX messages_at ON messages (at)",
    ),
)
_COLUMNS = "rooms.name, n, at, messages.name, user, text FROM messages JOIN rooms ON rooms.folded = room"


class Said(NamedTuple):
    """One message: in which room, its number there, when (seconds since 1970), by whom, and what."""

    room: str
    n: int
    at: float
    name: str
    """As whoever said it was called then."""
    user: str | None
    """The account, or whose key it was; None for somebody who named himself."""
    text: str


class KeptRoom(NamedTuple):
    """A room that has a history."""

    name: str
    messages: int
    last_at: float


class HistoryReader:
    """What was said, in one file, which another process may be writing; `with` closes it.  Thread-safe.

    Raises what opening a `Store` raises.
    """

    kinds: tuple[str, ...] = ("chat",)
    """The reports that it has: a `ReportSource`."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path, _STEPS, name="chat")
        """The file: its backups, and its check."""

    def last(self, room: str) -> tuple[str, int] | None:
        """Return how a room, given by its folded name, is written, and its last number; None where it is unknown."""
        with self.store.reading() as db:
            found = db.execute("SELECT name, last FROM rooms WHERE folded = ?", (room,)).fetchone()
        return None if found is None else (str(found[0]), int(found[1]))

    def read(self, room: str, *, before: int | None = None, after: int = 0, count: int = 50) -> list[Said]:
        """Return messages of a room, given by its folded name, in order: the last `count` of those that are meant.

        Those after a number are the first `count` after it, where nothing is said of `before`.
        """
        wanted = "room = ? AND n > ? AND at >= ?"
        given: list[Any] = [room, after, self._oldest()]
        if before is not None:
            wanted += " AND n < ?"
            given.append(before)
        order = "ASC" if after and before is None else "DESC"
        with self.store.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} WHERE {wanted} ORDER BY n {order} LIMIT ?", (*given, count)
            ).fetchall()
        return [Said(*row) for row in (rows if order == "ASC" else rows[::-1])]

    def names(self) -> list[Named]:
        """Return the names of the rooms that have a history."""
        with self.store.reading() as db:
            return [Named(*row) for row in db.execute("SELECT name, folded FROM rooms ORDER BY folded")]

    def rooms(self) -> list[KeptRoom]:
        """Return the rooms that have a history, by their names."""
        with self.store.reading() as db:
            rows = db.execute(
                "SELECT rooms.name, count(*), max(at) FROM messages JOIN rooms ON rooms.folded = room"
                " WHERE at >= ? GROUP BY room ORDER BY room",
                (self._oldest(),),
            ).fetchall()
        return [KeptRoom(*row) for row in rows]

    def rows(self, room: str | None = None, *, since: float | None = None) -> Iterator[dict[str, Any]]:
        """Give what a report of the chat has a row for: `timestamp`, `client`, `message`, `room`, `number`.

        In order of rooms and numbers; of one room, where one is named.  What is said meanwhile may be among them.
        """
        folded = None if room is None else name_of_room(room).folded
        oldest = max(self._oldest(), since or 0.0)
        place = ("" if folded is None else folded, 0)
        while True:
            with self.store.reading() as db:
                rows = db.execute(
                    f"SELECT room, {_COLUMNS} WHERE (room, n) > (?, ?) AND at >= ? AND (? IS NULL OR room = ?)"
                    " ORDER BY room, n LIMIT ?",
                    (*place, oldest, folded, folded, ROWS),
                ).fetchall()
            for _, name, n, at, client, _, text in rows:
                yield {"timestamp": at, "client": client, "message": text, "room": name, "number": n}
            if len(rows) < ROWS:
                return
            place = (rows[-1][0], rows[-1][2])

    def report(self, kind: str, *, since: float | None = None) -> Report:
        """Return the report `chat`: a row for each message.  Raises `Misuse` for a kind that there is not."""
        if kind not in self.kinds:
            raise Misuse(f"expected a report of a chat: {', '.join(self.kinds)}")
        lines = ({**row, "timestamp": moment(row["timestamp"])} for row in self.rows(since=since))
        return Report(kind, (*CHAT, "room", "number"), lines)

    def _oldest(self) -> float:
        """Return since when messages are shown."""
        return 0.0

    def close(self) -> None:
        """Close the file.  May be called twice."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> Any:
        raise Misuse("a history cannot be copied or pickled: open the file again")


class History(HistoryReader):
    """A history that is written, and kept within its limits.  Thread-safe, and safe beside other processes.

    What is older than it may be goes when it is opened.  Raises what opening a `Store` raises.
    """

    def __init__(self, path: Path, limits: ChatLimits | None = None, *, wall: Callable[[], float] = time.time) -> None:
        self._limits, self._wall = limits or ChatLimits(), wall
        super().__init__(path)
        self._tidied = 0.0
        self.tidy()

    def add(self, room: Named, after: int, name: str, user: str | None, text: str) -> Said:
        """Keep what is said, and return it with its number, which is above `after`.

        Raises `LimitReached` where no further room may have a history, and what a `Store` raises: then it is not kept.
        """
        at = self._wall()
        with self.store.writing() as db:
            found = db.execute("SELECT last FROM rooms WHERE folded = ?", (room.folded,)).fetchone()
            if found is None:
                self._make(db, room)
            n = max(after, 0 if found is None else int(found[0])) + 1
            db.execute("UPDATE rooms SET last = ? WHERE folded = ?", (n, room.folded))
            db.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", (room.folded, n, at, name, user, text))
            self._wipe(db, "room = ? AND n <= ?", (room.folded, n - self._limits.history_messages))
        if at - self._tidied >= TIDY_SECONDS:
            self.tidy()
        return Said(room.written, n, at, name, user, text)

    def _make(self, db: sqlite3.Connection, room: Named) -> None:
        count = int(db.execute("SELECT count(*) FROM rooms").fetchone()[0])
        if count >= self._limits.rooms:
            raise LimitReached(
                f"expected at most {self._limits.rooms} rooms with a history, found as many",
                limit=self._limits.rooms,
                found=count,
            )
        db.execute("INSERT INTO rooms VALUES (?, ?, 0)", (room.folded, room.written))

    def erase(self, room: str, n: int | None = None) -> int:
        """Erase one message of a room, given by its name, or all of them; return how many those were."""
        folded = name_of_room(room).folded
        wanted, given = ("room = ?", (folded,)) if n is None else ("room = ? AND n = ?", (folded, n))
        with self.store.writing() as db:
            return self._wipe(db, wanted, given)

    def tidy(self) -> int:
        """Erase what is older than it may be, and forget rooms of which nothing is left; return how many messages."""
        self._tidied = self._wall()
        with self.store.writing() as db:
            count = self._wipe(db, "at < ?", (self._oldest(),))
            db.execute("DELETE FROM rooms WHERE NOT EXISTS (SELECT 1 FROM messages WHERE room = folded)")
        return count

    def _oldest(self) -> float:
        return self._wall() - self._limits.history_days * _DAY_SECONDS

    def _wipe(self, db: sqlite3.Connection, wanted: str, given: tuple[Any, ...]) -> int:
        db.execute("PRAGMA secure_delete=ON").fetchall()
        return db.execute(f"DELETE FROM messages WHERE {wanted}", given).rowcount
