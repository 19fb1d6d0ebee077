"""Outboxes: any bytes as the database, its log and its mark are reported, or the rows are all there and unchanged.

An input is a list of damages to a sound outbox.  Each has a byte that says which of the three files and how (bytes
written over what is there, the file cut, the file replaced whole, a mark forged with a right digest, a statement run on
the database), two for the place, one for the length, and so many bytes.  Then either the outbox is opened and read, or
what is left is salvaged, as the input's checksum says: neither knows of the other, and both would take twice as long.
Never is a row skipped in silence, and no error comes that is not of the package's tree.

One thing nobody can find: a mark that was harmed or forged *and* a log that was cut to what that mark says.  It is an
outbox of an earlier moment (docs/durable.md, "What it does not cover"); its rows must be right all the same.

The files lie in a directory in memory, where there is one.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from fuzz.splits import draw
from fuzz.targets import scratch, scratched
from netstructer.durable import Outbox, mark, salvage
from netstructer.errors import InvalidKey, Misuse, OutboxDamaged, OutboxFull
from netstructer.keys import Key
from netstructer.limits import Limits

KEY = Key("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM=")
LIMITS = Limits(outbox_rows=200)
"""Of what is salvaged: so many rows are asked for where a mark claims them."""
SIDES = ("", "-wal", "-mark")
FIRST, LAST = 3, 9
MOST_DAMAGES = 6
OVERWRITE, CUT, REPLACE, FORGE, STATEMENT = range(5)
STATEMENTS = (
    "DELETE FROM netstructer_rows WHERE n = 5",
    "DELETE FROM netstructer_rows WHERE n > 6",
    "DELETE FROM netstructer_outbox",
    "UPDATE netstructer_rows SET n = 50 WHERE n = 9",
    "UPDATE netstructer_rows SET sealed = NULL WHERE n = 4",
    "UPDATE netstructer_rows SET sealed = 'text', tag = 7 WHERE n = 8",
    "UPDATE netstructer_rows SET sealed = zeroblob(0)",
    "UPDATE netstructer_outbox SET state = 'text'",
    "INSERT INTO netstructer_rows VALUES (9223372036854775807, x'00', x'00')",
    *(
        "UPDATE netstructer_outbox SET state = "
        f"CAST(substr(state, 1, {at}) || x'{figure}' || substr(state, {at + 9}) AS BLOB)"
        for at, figure in ((86, "f" * 16), (86, "0" * 15 + "4"), (110, "7" + "f" * 15), (110, "0" * 13 + "3e8"))
    ),
    "DROP TABLE netstructer_rows",
    "CREATE TABLE more (n)",
)
REFUSED = (OutboxDamaged, InvalidKey, Misuse, OutboxFull)


def seeds() -> list[bytes]:
    """Return no damage at all, and each kind of damage to each file."""
    some = [_damage(side, OVERWRITE, at, b"\1\2\3") for side in range(3) for at in (0, 16, 24, 60, 4096, 8192 + 100)]
    cuts = [_damage(side, CUT, at, b"") for side in range(3) for at in (0, 40, 100, 4096, 9000)]
    whole = [_damage(side, REPLACE, 0, text) for side in range(3) for text in (b"", b"SQLite format 3\0", bytes(80))]
    forged = [_damage(2, FORGE, 0, row.to_bytes(8, "big") + bytes(16)) for row in (0, 9, 12, 1 << 62, (1 << 64) - 1)]
    stated = [_damage(0, STATEMENT, place, b"") for place in range(len(STATEMENTS))]
    return [b"", *some, *cuts, *whole, *forged, *stated, some[3] + stated[1]]


def one(data: bytes) -> None:
    """Damage an outbox; open it, or salvage it."""
    place = _place()
    files = _damaged(data, place)
    for side, content in files.items():
        with suppress(FileNotFoundError):
            os.unlink(place + side)
        if content is not None:
            _write(place + side, content)
    if draw(data) & 1:
        _salvage(place)
    else:
        harmed = {side for side, content in _sound() if files[side] != content}
        _open(place, earlier="-mark" in harmed and len(harmed) > 1)


def _open(place: str, *, earlier: bool) -> None:
    try:
        outbox = Outbox(place, KEY)
    except REFUSED:
        return
    try:
        last = outbox.last
        assert last == LAST or (earlier and last < LAST), "rows are gone in silence"
        assert outbox.first in (1, FIRST)
        for row in range(outbox.first, last + 1):
            assert outbox.read(row) == _content(row), "a row is another"
        assert outbox.append(b"next") == last + 1
    except REFUSED:
        pass
    finally:
        outbox.abandon()


def _salvage(place: str) -> None:
    try:
        with scratched():  # the copy that it makes
            found = salvage(place, KEY, limits=LIMITS)
    except (*REFUSED, FileNotFoundError):
        return
    assert sorted([*found.rows, *found.lost]) == list(range(found.first, found.last + 1)), "a row is not accounted for"
    assert all(content == _content(row) for row, content in found.rows.items()), "a row is another"


def _damaged(data: bytes, place: str) -> dict[str, bytes | None]:
    files: dict[str, bytes | None] = dict(_sound())
    for side, how, at, body in _script(data):
        content = files[side] or b""
        if how == OVERWRITE:
            start = at % (len(content) + 1)
            content = content[:start] + body + content[start + len(body) :]
        elif how == CUT:
            content = content[: at % (len(content) + 1)]
        elif how == REPLACE:
            content = body
        elif how == FORGE:
            side = "-mark"
            content = 2 * mark._pack(mark.Noted(int.from_bytes(body[:8], "big"), body[8:24].ljust(16, b"\0")))
        else:
            _run(files, place, STATEMENTS[at % len(STATEMENTS)])
            continue
        files[side] = None if how == CUT and at >= 0xFF00 else content
    return files


def _run(files: dict[str, bytes | None], place: str, statement: str) -> None:
    """Run a statement on the database as it is: what is sound to SQLite, and is not to the chain."""
    for side in SIDES[:2]:
        with suppress(FileNotFoundError):
            os.unlink(place + side)
        if (content := files[side]) is not None:
            _write(place + side, content)
    with suppress(sqlite3.Error, UnicodeDecodeError):  # the schema may be harmed by now
        connection = sqlite3.connect(place, isolation_level=None)
        try:
            connection.execute(statement)
        finally:
            connection.close()
    files[""] = _read(place)
    files["-wal"] = _read(place + "-wal")


def _script(data: bytes) -> Iterator[tuple[str, int, int, bytes]]:
    for _ in range(MOST_DAMAGES):
        if len(data) < 4:
            return
        what, size = data[0], data[3]
        yield SIDES[what % 3], (what // 3) % 5, int.from_bytes(data[1:3], "big"), data[4 : 4 + size]
        data = data[4 + size :]


def _damage(side: int, how: int, at: int, body: bytes) -> bytes:
    return bytes([side + 3 * how]) + at.to_bytes(2, "big") + bytes([len(body)]) + body


def _place() -> str:
    """Return where the outbox is that is damaged."""
    return os.path.join(scratch(), "outbox.db")


@cache
def _sound() -> tuple[tuple[str, bytes], ...]:
    """Return the files of an outbox whose process died: rows 1 to 9 were appended, 1 and 2 are trimmed."""
    with tempfile.TemporaryDirectory() as directory:
        place = os.path.join(directory, "outbox.db")
        outbox = Outbox(place, KEY)
        for row in range(1, LAST):
            outbox.append(_content(row))
        outbox.trim(FIRST - 1)
        outbox._store.settle()
        outbox.append(_content(LAST))
        files = tuple((side, Path(place + side).read_bytes()) for side in SIDES)
        outbox.abandon()
        return files


def _content(row: int) -> bytes:
    return b"%d " % row * (20 if row != 6 else 1500)


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _read(path: str) -> bytes | None:
    with suppress(FileNotFoundError), open(path, "rb") as file:
        return file.read()
    return None
