"""Spools: bytes that wait to be read, in memory and then on disk.  Floor: CODEC.  Law: what reaches the disk is sealed.

Spec: docs/protocol.md, "Spools".  A `SpoolRoom` (room.py) is the budget of one link, inside that of the process; a
`Spool` is one row of bytes: added at its end, read anywhere, forgotten from its start; a `SlotFile` (slots.py), one for
all spools of a room, is where they lie on disk.

Where a chunk lies
------------------
A chunk stays in memory, by reference unless it is small, while its spool holds at most `spool_memory_bytes` there and
its room at most `credit_bytes`.  So who reads as fast as bytes come never touches a disk.  A chunk beyond that *waits
for the disk*: it lies in memory still, but its bytes are claimed from the budgets of the disk, so that sealing it
later needs no more room than it has.  When the reader has caught up before it is sealed, what waits is plain memory
again and its claim is given back.

While the memory of the room is within its credit, less than a slot waits: what would pass it is sealed.  Beyond, the
room is *crowded*, and what waits is sealed at once, added to the row's last slot where both fit into one.  Only less
than 4 KiB are not worth that, until such ends of rows hold an eighth of the credit more: then all is sealed.  So the
memory of a room is bounded by its credit, whatever comes, and three slots in a row hold more than 64 KiB together.

Locks, the collector, and forks
-------------------------------
A spool may be used by several threads; its lock is held while it seals and while it reads back, so that slots cannot be
taken away meanwhile.  `close` may also be called by finalisers and signal handlers, that is, in the middle of any other
call, in the same thread.  So it never waits: it leaves a mark, and whoever holds the lock sweeps when they leave.

After `os.fork` the child has a copy of key and counter, and the same file.  If it sealed, one nonce would seal two
slots, and each process would write over the other's.  So in a child the spools of its parent and new ones in its rooms
are refused, and closing one there closes the child's descriptor of their file and nothing else.
"""

from __future__ import annotations

import contextlib
import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from netstructer.codec.room import JOIN_BYTES, SpoolRoom
from netstructer.codec.slots import SLOT_BYTES, Buffer, SlotFile
from netstructer.errors import Misuse, SourceFailed

__all__ = ["Spool", "SpoolRoom"]

_ALL = 1 << 62
TOGETHER = 32
"""Pieces in memory that are taken out in one turn of the locks."""


class Spool:
    """A row of bytes that waits to be read: in memory, then sealed on disk.  Thread-safe; cheap until it is used.

    `byte_count` is what was added in all; what lies before `start` was forgotten.
    """

    __slots__ = (
        *("_closed", "_file", "_head", "_lock", "_memory", "_owner", "_pieces", "_room", "_sealed", "_starts"),
        *("_waiting_bytes", "_waiting_pieces", "byte_count", "start"),
    )

    def __init__(self, room: SpoolRoom) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._closed = False
        self._starts = array("Q")
        self._pieces: list[Buffer | int] = []  # chunks in memory; what is sealed is an int, its slot
        self._head = 0  # what lies before it was forgotten
        self._memory = self._sealed = self._waiting_bytes = self._waiting_pieces = 0
        self._file: SlotFile | None = None  # that of the room, once this spool has come to it
        self._owner = next(room.owners)
        self.byte_count = self.start = 0

    def add(self, chunk: Buffer) -> None:
        """Append a chunk, flat bytes that nobody changes any more.

        Raises `SpoolFull` where budgets or the disk have no room; then the spool is as it was.  A closed spool takes
        and forgets: its reader is gone.
        """
        self._refuse_inherited()
        count = len(chunk)
        try:
            with self._lock:
                if self._closed:
                    self.byte_count = self.start = self.byte_count + count
                elif count:
                    self._add(chunk, count)
        finally:
            self._sweep_if_closed()

    def read(self, position: int, most_bytes: int) -> bytes | memoryview:
        """Return 1 to `most_bytes` bytes from `position` on, as many as lie together; none where nothing is there yet.

        Raises `Misuse` for what was forgotten and for a position beyond `byte_count`, and `SourceFailed` where the disk
        gives back other bytes than it was given, or none.
        """
        self._refuse_inherited()
        try:
            with self._lock:
                self._check_read(position, most_bytes)
                return self._read(position, most_bytes) if position < self.byte_count else b""
        finally:
            self._sweep_if_closed()

    def forget(self, position: int) -> None:
        """Forget what lies before `position`; chunks and slots are given back with the last of their bytes."""
        self._refuse_inherited()
        try:
            with self._lock:
                if position > self.byte_count:
                    raise Misuse(f"Spool.forget: {position}, where {self.byte_count} bytes were added")
                if position > self.start:
                    self._forget(position)
        finally:
            self._sweep_if_closed()

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """Take the bytes out in order: what was handed out is forgotten once more is asked for.  Raises what `read`
        does.

        What lies together in memory is looked up `TOGETHER` pieces at a time: one turn of the locks for all of them.
        """
        position = self.start
        while pieces := self._take(position):
            for index, piece in enumerate(pieces):
                pieces[index] = b""
                yield piece
                position += len(piece)

    def _take(self, position: int) -> list[bytes | memoryview]:
        """Forget what lies before `position`; return what lies from there on: one slot, or some pieces of memory."""
        self._refuse_inherited()
        try:
            with self._lock:
                if position > self.start and not self._closed:
                    self._forget(position)
                self._check_read(position, _ALL)
                if position == self.byte_count:
                    return []
                first = bisect_right(self._starts, position, self._head) - 1
                last = first + 1
                if not isinstance(self._pieces[first], int):
                    most = min(len(self._pieces), first + TOGETHER)
                    while last < most and not isinstance(self._pieces[last], int):
                        last += 1
                return [self._read(max(position, self._starts[index]), _ALL) for index in range(first, last)]
        finally:
            self._sweep_if_closed()

    def close(self) -> None:
        """Forget all and close the file.  May be called twice, from anywhere, and never waits."""
        self._closed = True
        self._sweep_if_closed()

    def __del__(self) -> None:
        self._sweep()

    def _refuse_inherited(self) -> None:
        if self._room.inherited:
            raise Misuse("this spool belongs to the process that this one was forked from")

    def _sweep_if_closed(self) -> None:
        """Sweep, unless somebody is inside: they come here when they leave."""
        if not self._closed:
            return
        if self._room.inherited:  # its lock may be held by a thread that stayed in the parent
            self._sweep()
        elif self._lock.acquire(blocking=False):
            try:
                self._sweep()
            finally:
                self._lock.release()

    # --- for who has the lock, or the spool alone ---------------------------------------------------------------------

    def _sweep(self) -> None:
        if self._memory or self._sealed:
            self._room.drop(self._memory, self._waiting_bytes + self._sealed, self._sealed)
        file, slots = self._file, [piece for piece in self._pieces if isinstance(piece, int)]
        self._memory = self._sealed = self._waiting_bytes = self._waiting_pieces = self._head = 0
        self._file = None
        self._pieces.clear()
        del self._starts[:]
        self.start = self.byte_count
        if file is not None:
            if self._room.inherited:
                file.close()
            else:
                file.leave(self._owner, slots)

    def _add(self, chunk: Buffer, count: int) -> None:
        most_waiting = self._room.place(self._memory, count)
        if most_waiting is None:
            if self._waiting_bytes:  # the reader has caught up
                self._room.give(0, self._waiting_bytes, 0)
                self._waiting_bytes = self._waiting_pieces = 0
            self._append(chunk, count, waits=False)
            return
        if self._waiting_bytes + count > most_waiting:
            try:
                chunk = self._seal(chunk, count, most_waiting)
            except BaseException:
                self._room.give(count, count, 0)
                raise
            count = len(chunk)
        if count:
            self._append(chunk, count, waits=True)

    def _append(self, chunk: Buffer, count: int, waits: bool) -> None:
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, bytes) and len(last) + count <= JOIN_BYTES and waits == (self._waiting_bytes > 0):
            self._pieces[-1] = last + chunk
        else:
            self._starts.append(self.byte_count)
            self._pieces.append(_owned(chunk, count))
            self._waiting_pieces += waits
        self.byte_count += count
        self._memory += count
        self._waiting_bytes += count * waits

    def _seal(self, chunk: Buffer, count: int, most_waiting: int) -> Buffer:
        """Seal what waits, and `chunk` but for `most_waiting` bytes at most; return these.  All of it, or nothing."""
        first = len(self._pieces) - self._waiting_pieces
        start = self.byte_count - self._waiting_bytes
        parts: list[Buffer] = [piece for piece in self._pieces[first:] if not isinstance(piece, int)]
        cuts: list[tuple[int, list[Buffer]]] = []
        old: list[int] = []
        rest: Buffer = b""
        if self._waiting_bytes + count <= SLOT_BYTES:
            last = self._pieces[first - 1] if first else None
            if isinstance(last, int) and self.byte_count + count - self._starts[first - 1] <= SLOT_BYTES:
                with contextlib.suppress(SourceFailed):  # whoever reads it will be told; what comes now is safe
                    parts.insert(0, self._open(last, first - 1, taken=True))
                    old, first = [last], first - 1
            cuts.append((self._starts[first] if old else start, [*parts, chunk]))
        else:
            if parts:
                cuts.append((start, parts))
            view, whole = memoryview(chunk), count - count % SLOT_BYTES
            if count - whole > most_waiting:
                whole = count
            cuts += [(self.byte_count + at, [view[at : at + SLOT_BYTES]]) for at in range(0, whole, SLOT_BYTES)]
            rest = view[whole:] if whole else chunk
        slots = self._write(cuts, old)
        sealed = self._waiting_bytes + count - len(rest)
        del self._pieces[first:], self._starts[first:]
        self._pieces += slots
        self._starts.extend(cut[0] for cut in cuts)
        self._room.give(sealed, 0, -sealed)
        self._sealed += sealed
        self._memory -= self._waiting_bytes
        self.byte_count = start + sealed
        self._waiting_bytes = self._waiting_pieces = 0
        return rest

    def _write(self, cuts: list[tuple[int, list[Buffer]]], old: list[int]) -> list[int]:
        """Write slots, and free the old ones that they replace; or none of both."""
        file = self._file = self._room.file
        slots: list[int] = []
        try:
            for start, parts in cuts:
                slots.append(file.write(parts[0] if len(parts) == 1 else b"".join(parts), self._owner, start))
        except BaseException:
            file.free(slots)
            raise
        file.free(old)
        return slots

    def _check_read(self, position: int, most_bytes: int) -> None:
        if self._closed:
            raise Misuse("Spool.read: the spool is closed")
        if not self.start <= position <= self.byte_count or most_bytes < 1:
            held = f"{self.start} to {self.byte_count} are held"
            raise Misuse(f"Spool.read: {most_bytes} bytes from {position}, where {held}")

    def _read(self, position: int, most_bytes: int) -> bytes | memoryview:
        index = bisect_right(self._starts, position, self._head) - 1
        piece = self._pieces[index]
        begin = position - self._starts[index]
        if isinstance(piece, int):
            piece = self._open(piece, index, begin == 0 and most_bytes >= SLOT_BYTES)
        if isinstance(piece, bytes) and begin == 0 and len(piece) <= most_bytes:
            return piece
        return memoryview(piece)[begin : begin + most_bytes]

    def _open(self, slot: int, index: int, taken: bool) -> bytes:
        """Return what lies in a slot; unless it is `taken` whole, more of it will be read soon."""
        assert self._file is not None
        start = self._starts[index]
        return self._file.read(slot, self._owner, start, self._end(index) - start, keep=not taken)

    def _end(self, index: int) -> int:
        return self._starts[index + 1] if index + 1 < len(self._starts) else self.byte_count

    def _forget(self, position: int) -> None:
        memory = waited = sealed = 0
        slots: list[int] = []
        pieces, head = self._pieces, self._head
        while head < len(pieces) and (end := self._end(head)) <= position:
            piece, count = pieces[head], end - self._starts[head]
            if isinstance(piece, int):
                sealed += count
                slots.append(piece)
            else:
                memory += count
                if len(pieces) - head <= self._waiting_pieces:
                    waited += count
                    self._waiting_pieces -= 1
            pieces[head] = b""
            head += 1
        self.start = position
        self._head = head
        self._memory -= memory
        self._waiting_bytes -= waited
        self._sealed -= sealed
        self._room.give(memory, waited + sealed, sealed)
        if head * 2 >= len(pieces):
            del pieces[:head], self._starts[:head]
            self._head = 0
        if slots:
            assert self._file is not None
            self._file.free(slots)


def _owned(chunk: Buffer, count: int) -> Buffer:
    """Return a chunk that keeps alive no more than twice its bytes: a record may be mostly padding, or mostly head."""
    if count <= JOIN_BYTES or (isinstance(chunk, memoryview) and count * 2 < memoryview(chunk.obj).nbytes):
        return bytes(chunk)
    return chunk
