"""Lanes: the messages that are on their way out, taking turns.  Floor: PROTOCOL.

Law: one record each, in rotation.  Spec: protocol.md, "Messages and streams".

A message that has begun holds a stream number until its last record is sealed; numbers are used again.  A small message
that is queued behind a large one thus waits for one record of it, not for all of it.  A message's chunks are pulled
from their source one record at a time, when the transport has room: this is where "out is lazy" happens.

A value with blobs is one `Outgoing` with its blobs as further ones: they begin when the value's last record is sealed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netstructer.codec.chunks import cut
from netstructer.codec.values import Encoded
from netstructer.errors import MessageCancelled, MessageTooBig
from netstructer.protocol import bodies
from netstructer.protocol.states import CancelCode, Role

__all__ = ["Batch", "Counted", "Lanes", "Outgoing", "Room", "Single", "check_blob_bytes"]

Buffer = bytes | bytearray | memoryview

WAITING_BYTES = 256
"""What a queued message costs beside its bytes."""


def check_blob_bytes(found: int, limit: int) -> None:
    """Raise `MessageTooBig` for blobs of one value that together are more than the peer takes."""
    if found > limit:
        text = f"blobs of {found} bytes together are over the peer's limit of {limit}"
        raise MessageTooBig(text, limit=limit, found=found)


class Room:
    """How many bytes the blobs of one value have, as far as it is known, and may have."""

    __slots__ = ("_limit", "_used")

    def __init__(self, limit: int, used: int) -> None:
        self._limit, self._used = limit, used

    def take(self, count: int) -> None:
        """Count further bytes.  Raises `MessageTooBig`."""
        self._used += count
        check_blob_bytes(self._used, self._limit)


class Counted:
    """An iterator of buffers that knows how many bytes have passed; those of unknown length take from a `Room`."""

    __slots__ = ("_pieces", "_room", "byte_count")

    def __init__(self, pieces: Iterable[Buffer], room: Room | None = None) -> None:
        self._pieces = iter(pieces)
        self._room = room
        self.byte_count = 0

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        piece = next(self._pieces)
        self.byte_count += len(piece)
        if self._room is not None:
            self._room.take(len(piece))
        return piece


class Single(NamedTuple):
    """The payload of a value that may fit into one record."""

    codec: int
    chunk: Buffer
    plain_bytes: int

    def outgoing(self, flags: int = 0) -> Outgoing:
        """Return it as a message to queue."""
        return Outgoing((self.chunk,), codec=self.codec, plain_bytes=self.plain_bytes, flags=flags)


class Outgoing:
    """One message (or one blob of it) on its way out: what the façade waits on.  Single owner.

    `sealed` once its last record is, `error` once it was given up, `done` when nothing of it waits any more, its blobs
    included.  `wire_bytes` counts the frames of it and its blobs.
    """

    __slots__ = ("_chunks", "_current", "_following", "_pieces", "_source", "blobs", "codec", "error", "flags", "index",
                 "last_number", "number", "parent", "plain_bytes", "sealed", "stream", "unsealed_blobs",
                 "wire_bytes")  # fmt: skip

    def __init__(
        self,
        pieces: Iterable[Buffer],
        *,
        codec: int,
        plain_bytes: int | None,
        source: Counted | None = None,
        flags: int = 0,
    ) -> None:
        self._pieces = pieces
        self._chunks: Iterator[Buffer] | None = None
        self._source = source
        self._current: Buffer = b""
        self._following: Buffer | None = None
        self.codec, self.plain_bytes, self.flags = codec, plain_bytes, flags
        self.blobs: list[Outgoing] = []
        self.unsealed_blobs = 0
        self.parent: Outgoing | None = None
        self.index = 0
        self.number = self.last_number = self.stream = self.wire_bytes = 0
        self.sealed = False
        self.error: BaseException | None = None

    @property
    def count(self) -> int:
        """How many messages this is."""
        return 1

    def add_blob(self, blob: Outgoing) -> None:
        """Take in the next blob of this value; before it is queued."""
        blob.parent, blob.index = self, len(self.blobs)
        self.blobs.append(blob)
        self.unsealed_blobs += 1

    @property
    def root(self) -> Outgoing:
        """The value that this is, or belongs to."""
        return self.parent or self

    @property
    def done(self) -> bool:
        return self.error is not None or (self.sealed and not self.unsealed_blobs)

    @property
    def total_plain_bytes(self) -> int:
        """Plain bytes of it and its blobs, as far as they are known."""
        return (self.plain_bytes or 0) + sum(blob.plain_bytes or 0 for blob in self.blobs)

    def header(self) -> bytes:
        """Return what its first record begins with, after the delivery number."""
        declared = bodies.UNKNOWN if self.plain_bytes is None else self.plain_bytes
        if self.parent is None:
            return bodies.First(bodies.VALUE, self.codec, len(self.blobs), declared, 0).pack()
        return bodies.First(bodies.BLOB, self.codec, self.index, declared, self.parent.number).pack()

    def peek(self, chunk_bytes: int) -> tuple[Buffer, bool]:
        """Return the chunk that is next, and whether it is the last.  Raises whatever the source of the bytes
        raises.
        """
        if self._chunks is None:
            self._chunks = cut(self._pieces, chunk_bytes)
            self._pieces = ()
            self._current = next(self._chunks)
            self._look_ahead(self._chunks)
        return self._current, self._following is None

    def step(self) -> None:
        """Go on to the chunk after the one that was peeked at.  Raises whatever the source of the bytes raises."""
        assert self._chunks is not None
        assert self._following is not None
        self._current = self._following
        self._look_ahead(self._chunks)

    def total_bytes(self) -> int:
        """Return the plain bytes in all; known once the last chunk has been seen."""
        if self.plain_bytes is not None:
            return self.plain_bytes
        assert self._source is not None
        return self._source.byte_count

    def release(self) -> None:
        """Let go of the bytes."""
        self._pieces, self._chunks, self._current, self._following = (), None, b"", None

    def _look_ahead(self, chunks: Iterator[Buffer]) -> None:
        self._following = next(chunks, None)
        if self._following is None and self._source is not None and self.plain_bytes is not None:
            found = self._source.byte_count
            if found != self.plain_bytes:
                raise MessageCancelled(
                    f"a blob stated {self.plain_bytes} bytes and gave {found}", code=CancelCode.SOURCE_FAILED
                )


class Batch:
    """Several whole small messages that share one record: each at most a few KiB, none compressed, none with blobs."""

    __slots__ = ("_parts", "body_bytes", "count", "error", "last_number", "sealed", "wire_bytes")

    def __init__(self) -> None:
        self._parts: list[Buffer] = []
        self.count = 0
        self.body_bytes = bodies.NUMBER_BYTES
        self.last_number = self.wire_bytes = 0
        self.sealed = False
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.sealed or self.error is not None

    @property
    def total_plain_bytes(self) -> int:
        """Plain bytes of the messages."""
        return self.body_bytes - bodies.NUMBER_BYTES - 4 * self.count

    def add(self, encoded: Encoded) -> None:
        """Take in one encoded value."""
        self._parts.append(encoded.plain_bytes.to_bytes(4, "big"))
        self._parts.extend(encoded.buffers)
        self.count += 1
        self.body_bytes += 4 + encoded.plain_bytes

    def body(self, number: int) -> bytes:
        """Return the body of the one record."""
        return bodies.batch(number, self._parts)


class Lanes:
    """The messages on their way out.  Single owner.

    `most` is how many unfinished messages the peer takes, and how many values whose blobs are not yet whole.
    """

    __slots__ = ("_begun", "_free", "_most", "_next_stream", "_parents", "_waiting", "turns", "waiting_bytes")

    def __init__(self, role: Role, most: int) -> None:
        self.turns: deque[Outgoing | Batch] = deque()
        """Those that have begun or may, the next one first; empty only where nothing waits at all."""
        self._waiting: deque[Outgoing | Batch] = deque()
        self._free: list[int] = []
        self._next_stream = 1 if role is Role.CLIENT else 2
        self._most = self._parents = most
        self._begun: dict[int, Outgoing] = {}
        self.waiting_bytes = 0
        """Plain bytes of what is not wholly sealed, and 256 for each message (what waiting costs beside its bytes)."""

    def __len__(self) -> int:
        return len(self.turns) + len(self._waiting)

    def add(self, outgoing: Outgoing | Batch) -> None:
        """Queue a message: it gets a stream (a batch needs none), or waits for one."""
        if isinstance(outgoing, Batch) or outgoing.parent is None:
            self.waiting_bytes += _weight(outgoing)
        if self._may_begin(outgoing):
            self._begin(outgoing)
        else:
            self._waiting.append(outgoing)

    @property
    def spare_stream(self) -> int:
        """A stream for a message of one record, which ends it at once."""
        return self._free[-1] if self._free else self._next_stream

    def begun(self, outgoing: Outgoing, number: int) -> None:
        """Take in the delivery number of a message's first record: its name from here on."""
        outgoing.number = number
        if outgoing.parent is None:
            self._begun[number] = outgoing

    def front(self) -> Outgoing | Batch | None:
        """Return the message whose turn it is."""
        return self.turns[0] if self.turns else None

    def sealed(self, last: bool) -> None:
        """Take in that a record of the front was sealed, the last one of it or not: the next one has its turn."""
        outgoing = self.turns.popleft()
        if not last:
            self.turns.append(outgoing)
            return
        outgoing.sealed = True
        if isinstance(outgoing, Batch):
            self.waiting_bytes -= _weight(outgoing)
            return
        outgoing.release()
        if outgoing.parent is not None:
            outgoing.parent.unsealed_blobs -= 1
            self._parents += outgoing.parent.unsealed_blobs == 0
        self._end(outgoing)
        for blob in outgoing.blobs:
            self.add(blob)
        if outgoing.root.done:
            self._finish(outgoing.root)

    def drop(self, root: Outgoing) -> bool:
        """Forget what is left of a value; say whether the peer knows of it and waits for the rest."""
        if root.done:
            return False
        known = root.number != 0
        self._finish(root)
        self._parents += bool(root.blobs) and root.stream != 0
        self._waiting = deque(found for found in self._waiting if isinstance(found, Batch) or found.root is not root)
        for outgoing in [found for found in self.turns if not isinstance(found, Batch) and found.root is root]:
            self.turns.remove(outgoing)
            outgoing.release()
            self._end(outgoing)
        return known

    def withdraw(self, batch: Batch) -> None:
        """Forget a batch that is not sealed: the peer has seen nothing of it."""
        for queued in (self.turns, self._waiting):
            if batch in queued:
                queued.remove(batch)
                self.waiting_bytes -= _weight(batch)

    def find(self, number: int) -> Outgoing | None:
        """Return the unfinished value whose first record has that delivery number."""
        return self._begun.get(number)

    def roots(self) -> list[Outgoing]:
        """Return the unfinished values, each once."""
        unfinished = [found for found in self._queued() if not isinstance(found, Batch)]
        return list({id(found.root): found.root for found in unfinished}.values())

    def clear(self, error: BaseException) -> None:
        """Give up everything."""
        for found in (*self._queued(), *self.roots()):
            found.error = found.error or error
        self.turns.clear()
        self._waiting.clear()
        self._begun.clear()
        self.waiting_bytes = 0

    def _finish(self, root: Outgoing) -> None:
        self._begun.pop(root.number, None)
        self.waiting_bytes -= _weight(root)

    def _queued(self) -> list[Outgoing | Batch]:
        return [*self.turns, *self._waiting]

    def _may_begin(self, outgoing: Outgoing | Batch) -> bool:
        if isinstance(outgoing, Batch):
            # It needs no stream, but may not overtake the small messages that wait for one.
            return self._most > 0 or not self._waiting
        return self._most > 0 and (not outgoing.blobs or self._parents > 0)

    def _begin(self, outgoing: Outgoing | Batch) -> None:
        if isinstance(outgoing, Batch):
            self.turns.append(outgoing)
            return
        self._most -= 1
        self._parents -= bool(outgoing.blobs)
        if self._free:
            outgoing.stream = self._free.pop()
        else:
            outgoing.stream = self._next_stream
            self._next_stream += 2
        self.turns.append(outgoing)

    def _end(self, outgoing: Outgoing) -> None:
        self._most += 1
        self._free.append(outgoing.stream)
        if self._waiting:
            self._begin_waiting()

    def _begin_waiting(self) -> None:
        """Begin what may, in order: batches up to the next message that goes on waiting for a stream."""
        still: deque[Outgoing | Batch] = deque()
        while self._waiting:
            outgoing = self._waiting.popleft()
            if self._may_begin(outgoing):
                self._begin(outgoing)
            else:
                still.append(outgoing)
                if self._most == 0:
                    break
        self._waiting.extendleft(reversed(still))


def _weight(outgoing: Outgoing | Batch) -> int:
    return outgoing.total_plain_bytes + WAITING_BYTES * outgoing.count
