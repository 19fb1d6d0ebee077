"""The outbox: messages that are kept until the peer's application has taken them.  Floor: COMMONS.

Law: what `append` returned for is on the disk, and comes out of `read` unchanged, in order, or an error names the row.

A row is the plain bytes of one message.  Rows are numbered from 1, without gaps, for as long as the file lives; no
number is used twice.  All of them are verified when the file is opened, and each again when it is read.

    append   seal, chain, commit (file), note (mark)        out
    read     find, chain, open                              in
    trim     forget: with the next commit, since to forget late does no harm
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType

from netstructer.durable import store
from netstructer.durable.chain import matches, next_tag
from netstructer.durable.mark import Mark, Noted
from netstructer.durable.sealing import ID_BYTES, OVERHEAD_BYTES, FileKeys, new_secret, unwrap, wrap
from netstructer.durable.state import State
from netstructer.errors import (
    BacklogFull,
    InvalidKey,
    MessageTooBig,
    Misuse,
    NetstructerError,
    OutboxDamaged,
    OutboxFull,
)
from netstructer.keys import Key, fingerprint_of
from netstructer.limits import Limits

__all__ = ["Outbox"]

Buffer = bytes | bytearray | memoryview

MOST_ROW_BYTES = 512 << 20
"""The longest message: SQLite takes 1,000,000,000 bytes, and a row is in memory three times while it is written."""
ROW_CHARGE_BYTES = 64
"""What a row counts beside its sealed bytes: number, tag and its share of a page."""
_TRIM_ROWS = 256
"""So many rows that are not wanted any more are removed without waiting for the next message."""
_MARK = "-mark"

logger = logging.getLogger("netstructer")


class Outbox:
    """Messages that wait on the disk, sealed.  Thread-safe; one process, and one `Outbox`, has a file at a time.

    `key` is the link's.  A file that is not there is made (0600).  `torn_bytes` is how much of a transaction that was
    never finished was found at the end of the log, and cut: no row that `append` returned for.

    Raises `OutboxDamaged` where a row is missing or is not what it was; `InvalidKey` where the file was made under
    another key (`rewrap`); `Misuse` where somebody else has it; `OutboxFull`.
    """

    def __init__(
        self, path: str, key: Key, *, limits: Limits = Limits.DEFAULT, draw: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.path = path = os.path.abspath(os.fspath(path))
        self._limits, self._draw = limits, draw
        self._lock = threading.Lock()
        self._error: NetstructerError | None = None
        self._undecided: tuple[bytes, State, int] | None = None
        """What is being committed: the state as it is written, as it is kept, and what the rows count with it."""
        self._closed = False
        self._process = os.getpid()
        if not os.path.lexists(path):
            self._make(key)
        elif os.path.getsize(path) == 0:
            raise OutboxDamaged(f"the outbox {path} is an empty file: remove it, where nothing is missed")
        self._store = store.Store(path)
        self._mark: Mark | None = None
        try:
            self._open(key)
        except BaseException:
            self._let_go()
            raise

    def _make(self, key: Key) -> None:
        if os.path.lexists(self.path + _MARK):
            raise OutboxDamaged(
                f"the outbox {self.path} is gone, and what is beside it says that it was in use: put it back, or "
                f"remove {self.path}{_MARK}, where nothing is missed"
            )
        outbox, secret = self._draw(ID_BYTES), new_secret(self._draw)
        state = State(True, outbox, key.key_id, wrap(key, outbox, secret, self._draw))
        store.make(self.path, state.pack(FileKeys(outbox, secret).state), self._draw(8).hex())

    def _open(self, key: Key) -> None:
        self._store.check()
        packed = self._store.state()
        state = State.unpack(packed)
        if state is None or not isinstance(packed, bytes):
            raise OutboxDamaged(f"the state of the outbox {self.path} is not one")
        fits = self._unlock(key, state, packed)
        if fits is None and state.key_id != key.key_id:
            raise InvalidKey(
                f"the outbox {self.path} was sealed under the key {fingerprint_of(state.key_id)}, and this is "
                f"{key.fingerprint}: Outbox.rewrap(path, old, new) changes it"
            )
        if not fits:
            raise OutboxDamaged(f"the state of the outbox {self.path} has rotted")
        self._state = state
        self.id = state.outbox
        """Names this outbox to those who receive from it: 16 bytes of chance."""
        self._taken = state.trimmed
        self._read_tag = Noted(state.trimmed, state.trimmed_tag)
        self.byte_count = 0
        """What the rows that are left count against `Limits.outbox_bytes`."""
        self._verify()
        self.torn_bytes = self._store.torn_bytes()
        if self.torn_bytes:
            logger.warning("= outbox %s: cut %d torn bytes of an unfinished write", self.path, self.torn_bytes)
        self._begin()

    def _unlock(self, key: Key, state: State, packed: bytes) -> bool | None:
        """Take the secret out of a state; return whether the state is what was sealed, None where the key opens none.

        The secret has no name in a frame that raises: a traceback that prints locals must find none.
        """
        secret = unwrap(key, state.outbox, state.wrapped)
        if secret is None:
            return None
        self._keys, self._secret = FileKeys(state.outbox, secret), secret
        return State.verifies(packed, self._keys.state)

    def _verify(self) -> None:
        """Hold every row to the chain, and the chain's end to state and mark."""
        tag, expected = self._state.trimmed_tag, self._state.trimmed + 1
        noted = self._noted()
        if noted is not None and noted.row == self._state.trimmed and noted.tag != tag:
            raise self._damaged(noted.row, "is not the one that was committed")
        for row, sealed, found in self._store.rows(self._state.trimmed):
            if row != expected:
                raise self._damaged(expected, "is missing")
            if not _are_bytes(sealed, found) or not matches(self._keys.chain, tag, row, sealed, found):
                raise self._damaged(row, "is not what was written")
            if noted is not None and noted.row == row and noted.tag != found:
                raise self._damaged(row, "is not the one that was committed")
            tag, expected = found, row + 1
            self.byte_count += len(sealed) + ROW_CHARGE_BYTES
        last = max(self._state.last, 0 if noted is None else noted.row)
        if expected <= last:
            raise self._damaged(expected, f"is missing, and so are all after it up to {last}")
        if expected - 1 != self._state.last or tag != self._state.last_tag:
            raise self._damaged(expected - 1, "is not the last that was committed")

    def _noted(self) -> Noted | None:
        """Return what the mark says; None where there is none, and none is needed."""
        self._mark = Mark(self.path + _MARK)
        if not self._mark.missing:
            noted = self._mark.read()
            if noted is None:
                raise OutboxDamaged(f"{self._mark.path} has rotted, so nobody can say whether rows are missing")
            return noted
        if not self._state.clean:
            raise OutboxDamaged(f"{self._mark.path} is missing: it belongs to {self.path}, which was not closed")
        return None

    def _begin(self) -> None:
        """Say that from now on the file alone does not tell everything."""
        assert self._mark is not None
        noted = Noted(self._state.last, self._state.last_tag)
        if self._mark.missing:
            self._mark.make(noted)
        else:
            self._mark.note(noted)
            self._mark.note(noted)
        self._commit(self._state._replace(clean=False), [])
        self._store.settle()

    # --- rows -------------------------------------------------------------------------------------------------------

    def append(self, plain: Buffer) -> int:
        """Keep one message; return its row, which is on the disk.

        Raises `BacklogFull` where `Limits.outbox_bytes` or `outbox_rows` would be exceeded, `OutboxFull` where the
        disk takes no more, `MessageTooBig`; and then nothing of it is kept.
        """
        return self.append_all((plain,))

    def append_all(self, plains: Iterable[Buffer]) -> int:
        """Keep messages, all of them or none, in one commit; return the row of the last."""
        with self._lock:
            self._check()
            rows: list[tuple[int, bytes, bytes]] = []
            state, new_bytes = self._state, 0
            for plain in plains:
                if (found := memoryview(plain).nbytes) > MOST_ROW_BYTES:
                    text = f"a durable message takes {MOST_ROW_BYTES} bytes, this one has {found}"
                    raise MessageTooBig(text, limit=MOST_ROW_BYTES, found=found)
                new_bytes += found + OVERHEAD_BYTES + ROW_CHARGE_BYTES
                self._check_room(len(rows) + 1, new_bytes)
                row = state.last + 1
                sealed = self._keys.seal(row, plain, self._draw)
                tag = next_tag(self._keys.chain, state.last_tag, row, sealed)
                rows.append((row, sealed, tag))
                state = state._replace(last=row, last_tag=tag)
            if rows:
                self._commit(self._trimmed(state), rows)
            return state.last

    def takes(self, plain: Buffer) -> bool:
        """Say whether there would be room for a message if there were no other."""
        held_bytes = memoryview(plain).nbytes + OVERHEAD_BYTES + ROW_CHARGE_BYTES
        return held_bytes <= self._limits.outbox_bytes and self._limits.outbox_rows > 0

    def read(self, row: int) -> bytes:
        """Return the bytes of a row that is not trimmed.  Raises `OutboxDamaged`, and `Misuse` for any other row."""
        with self._lock:
            self._check()
            if not self._taken < row <= self._state.last:
                raise Misuse(f"row {row} is not among the rows {self._taken + 1} to {self._state.last}")
            before = self._read_tag if self._read_tag.row == row - 1 else self._tag_of(row - 1)
            sealed, tag = self._found(row)
            if not matches(self._keys.chain, before.tag, row, sealed, tag):
                raise self._damaged(row, "is not what was written")
            plain = self._keys.open(row, sealed)
            if plain is None:
                raise self._damaged(row, "does not open")
            self._read_tag = Noted(row, tag)
            return plain

    def trim(self, row: int) -> None:
        """Want no row up to this one any more."""
        with self._lock:
            self._check()
            row = min(row, self._state.last)
            if row <= self._taken:
                return
            self.byte_count -= self._store.sealed_bytes(self._taken, row) + ROW_CHARGE_BYTES * (row - self._taken)
            self._taken = row
            if self._taken - self._state.trimmed >= _TRIM_ROWS:
                with suppress(OutboxFull):  # to take rows away needs room, too: later, then
                    self._commit(self._trimmed(self._state), [])

    def _found(self, row: int) -> tuple[bytes, bytes]:
        found = self._store.row(row)
        if found is None:
            raise self._damaged(row, "is missing")
        if not _are_bytes(*found):
            raise self._damaged(row, "is not what was written")
        return found

    def _tag_of(self, row: int) -> Noted:
        return Noted(row, self._state.trimmed_tag if row == self._state.trimmed else self._found(row)[1])

    def _trimmed(self, state: State) -> State:
        """Return a state whose rows up to what was taken are removed."""
        if self._taken <= state.trimmed:
            return state
        return state._replace(trimmed=self._taken, trimmed_tag=self._tag_of(self._taken).tag)

    def _commit(self, state: State, rows: list[tuple[int, bytes, bytes]]) -> None:
        trim = state.trimmed if state.trimmed > self._state.trimmed else 0
        packed = state.pack(self._keys.state)
        held_bytes = self.byte_count + sum(len(sealed) + ROW_CHARGE_BYTES for _, sealed, _ in rows)
        self._undecided = packed, state, held_bytes
        try:
            self._store.write(packed, rows=rows, trim=trim)
        except OutboxDamaged as error:
            self._error = error
            raise
        except NetstructerError:
            self._undecided = None
            raise
        self._accept(state, held_bytes)

    def _accept(self, state: State, held_bytes: int) -> None:
        """Take in that a state was committed."""
        fresh = state.last > self._state.last
        self._state, self.byte_count = state, held_bytes
        self._undecided = None
        if fresh and self._mark is not None:
            try:
                self._mark.note(Noted(state.last, state.last_tag))
            except OSError as error:  # these rows are kept; what came after them could be lost unseen
                self._error = OutboxDamaged(f"{self._mark.path} cannot be written: {error.strerror}")

    def _decide(self) -> None:
        """Find out what became of a commit that was interrupted: Ctrl-C comes where the disk is waited for."""
        if self._undecided is not None:
            packed, state, held_bytes = self._undecided
            if self._store.state() == packed:
                self._accept(state, held_bytes)
            self._undecided = None

    def _check_room(self, new_rows: int, new_bytes: int) -> None:
        rows, held = self.row_count + new_rows, self.byte_count + new_bytes
        for found, limit, what in (
            (rows, self._limits.outbox_rows, "rows"),
            (held, self._limits.outbox_bytes, "bytes"),
        ):
            if found > limit:
                raise BacklogFull(f"the outbox would have {found} {what}, over {limit}", limit=limit, found=found)

    def _check(self) -> None:
        if self._closed:
            raise Misuse(f"the outbox {self.path} is closed")
        if self._process != os.getpid():
            raise Misuse("an outbox belongs to the process that opened it, and this is a fork of that")
        if self._error is not None:
            raise self._error.again()
        self._decide()

    def _damaged(self, row: int, what: str) -> OutboxDamaged:
        return OutboxDamaged(f"row {row} of the outbox {self.path} {what}", row=row)

    # --- facts ------------------------------------------------------------------------------------------------------

    @property
    def first(self) -> int:
        """The first row that is still wanted; `last + 1` where there is none."""
        return self._taken + 1

    @property
    def last(self) -> int:
        """The row of the last message that was ever kept here; 0 where there was none."""
        return self._state.last

    @property
    def row_count(self) -> int:
        """How many rows are still wanted."""
        return self._state.last - self._taken

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Remove what is not wanted, and let go of the file; what is left waits for the next `Outbox`.  May be called
        twice.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._error is None and self._process == os.getpid():
                    with suppress(OutboxFull):  # as good as a process that died here: the mark stays
                        self._decide()
                        self._commit(self._trimmed(self._state)._replace(clean=True), [])
                        self._store.settle()
                        if self._mark is not None:
                            self._mark.remove()
            finally:
                self._let_go()

    def abandon(self) -> None:
        """Let go of the file as it is."""
        with self._lock:
            self._closed = True
            self._let_go()

    def _let_go(self) -> None:
        if self._mark is not None:
            self._mark.close()
        self._store.close()

    def change_key(self, new: Key) -> None:
        """Seal the file's secret under another key; the rows stay as they are."""
        with self._lock:
            self._check()
            wrapped = wrap(new, self.id, self._secret, self._draw)
            self._commit(self._state._replace(key_id=new.key_id, wrapped=wrapped), [])

    @classmethod
    def rewrap(cls, path: str, old: Key, new: Key) -> None:
        """Change the key of an outbox that nobody has open.  Raises as opening it does."""
        with cls(path, old) as outbox:
            outbox.change_key(new)

    def __enter__(self) -> Outbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "id"):  # a traceback with locals may ask while it does not open
            return "<Outbox that is not open>"
        return f"<Outbox {self.id.hex()} of {self.row_count} rows>"


def _are_bytes(sealed: object, tag: object) -> bool:
    return isinstance(sealed, bytes) and isinstance(tag, bytes)
