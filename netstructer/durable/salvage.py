"""Salvage: what a damaged outbox still has, and what it has not.  Floor: COMMONS.  Law: it changes nothing, and skips
nothing in silence.

Each row is sealed for itself, with its number, so one that opens is the one that was written, whatever became of those
around it.  What is salvaged is for a person to decide about: the reader's `netstructer_inbox` says which rows it has.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field

from netstructer.codec.values import decode
from netstructer.durable.letter import Letter
from netstructer.durable.mark import Mark
from netstructer.durable.sealing import FileKeys, unwrap
from netstructer.durable.state import State
from netstructer.durable.store import Store
from netstructer.errors import InvalidKey, NetstructerError, OutboxDamaged
from netstructer.keys import Key
from netstructer.limits import Limits

__all__ = ["Salvage", "salvage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvage:
    """What was found: the outbox's id, the bytes of its rows, and the numbers of those that are lost.

    `first` and `last` are the rows that there should be; where that has rotted, those that are there.  Shows no row.
    """

    outbox: bytes
    first: int
    last: int
    rows: dict[int, bytes] = field(default_factory=dict, repr=False)
    lost: list[int] = field(default_factory=list)

    def value(self, row: int, *, limits: Limits = Limits.DEFAULT) -> object:
        """Return the value of a row that was found.

        Raises `BadValue`, for a type that is not registered here, say; `OutboxDamaged` for a row that is no letter.
        """
        return decode(Letter.unpack(self.rows[row]).encoded, limits=limits)


def salvage(path: str | os.PathLike[str], key: Key, *, limits: Limits = Limits.DEFAULT) -> Salvage:
    """Return what can be read of an outbox, from a copy of it; the file stays as it is.

    The outbox must not be open.  `limits` are those that it was written under: no outbox has more than twice their
    `outbox_rows`, those that were taken and have not left included.  Raises `OutboxDamaged` where the part of it is
    damaged without which no row opens, or where it claims more rows than that; `InvalidKey` for another key; `OSError`.
    """
    path = os.fspath(path)
    with tempfile.TemporaryDirectory(prefix="netstructer-") as directory:
        copy = os.path.join(directory, "outbox.db")
        shutil.copyfile(path, copy)
        for beside in ("-wal", "-mark"):
            with suppress(FileNotFoundError):
                shutil.copyfile(path + beside, copy + beside)
        store = Store(copy)
        try:
            return _read(store, copy, key, 2 * limits.outbox_rows)
        finally:
            store.close()


def _read(store: Store, path: str, key: Key, most_rows: int) -> Salvage:
    packed = store.state()
    state = State.unpack(packed)
    keys = None if state is None else _keys(key, state)
    if state is None or keys is None:
        if state is not None and state.key_id != key.key_id:
            raise InvalidKey("the outbox was sealed under another key")
        raise OutboxDamaged("the state of the outbox is lost, and with it the key of its rows")
    first, last = state.trimmed + 1, state.last
    if not isinstance(packed, bytes) or not State.verifies(packed, keys.state):
        first, last = store.bounds()  # its figures may be anything: what is there must do
    last = max(last, _noted(path))
    if last - first >= most_rows:
        raise OutboxDamaged(f"the outbox claims {last - first + 1} rows, and none has more than {most_rows}")
    found = Salvage(outbox=state.outbox, first=first, last=last)
    for row in range(found.first, found.last + 1):
        plain = _plain(store, keys, row)
        if plain is None:
            found.lost.append(row)
        else:
            found.rows[row] = plain
    return found


def _keys(key: Key, state: State) -> FileKeys | None:
    """Return what opens the rows.

    The secret has no name in a frame that raises: a traceback that prints locals must find none.
    """
    secret = unwrap(key, state.outbox, state.wrapped)
    return None if secret is None else FileKeys(state.outbox, secret)


def _noted(path: str) -> int:
    mark = Mark(path + "-mark")
    try:
        noted = None if mark.missing else mark.read()
        return 0 if noted is None else noted.row
    finally:
        mark.close()


def _plain(store: Store, keys: FileKeys, row: int) -> bytes | None:
    try:
        found = store.row(row)
    except NetstructerError:
        return None
    return keys.open(row, found[0]) if found is not None and isinstance(found[0], bytes) else None
