"""Outgoing: what is on its way out, a message each, or a blob of one.  Floor: PROTOCOL.

Law: what a blob's source does is never waited for by anybody but its sender.  Spec: protocol.md, "Messages and
streams".

A value's chunks are made as they are sealed: its bytes are in memory, and encoding is over.  A blob's bytes are a
user's affair: a file, a generator that waits.  So whoever sends a blob *pulls* its next chunks in his own thread
(`pull`, without the link's lock) and then *feeds* them (`feed`, with it); sealing takes what was fed.  A blob that has
nothing to seal, or no credit of its own (protocol.md, "Credit for blobs"), is not ready, and the lanes pass it over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from netstructer.codec.chunks import cut
from netstructer.codec.values import Encoded
from netstructer.errors import MessageCancelled
from netstructer.protocol import bodies
from netstructer.protocol.sources import Counted
from netstructer.protocol.states import CancelCode, Flag

__all__ = ["FEED_BYTES", "Batch", "Outgoing", "OutgoingBlob", "Single", "single", "wanted_flags"]

Buffer = bytes | bytearray | memoryview

_ACKNOWLEDGE = int(Flag.ACKNOWLEDGE)
FEED_BYTES = 256 << 10
"""Chunks of a blob that are pulled ahead of their sealing: a few records, so that the socket never waits for a file."""
BLOB_CHUNK_BYTES = 64 << 10
"""Longest chunk of a blob: a quarter of the credit that it begins with, so that there is always room for the next."""


class Single(NamedTuple):
    """The payload of a value that may fit into one record."""

    codec: int
    chunk: Buffer
    plain_bytes: int

    def outgoing(self, flags: int = 0) -> Outgoing:
        """Return it as a message to queue."""
        return Outgoing((self.chunk,), codec=self.codec, plain_bytes=self.plain_bytes, flags=flags)


single: Callable[[tuple[int, Buffer, int]], Single] = partial(tuple.__new__, Single)
"""Makes one of all three, without the call in Python that a named tuple's own way is."""


class Outgoing:
    """One value on its way out, with its blobs: what the façade waits on.  Single owner.

    `sealed` once its last record is, `error` once it was given up, `done` when nothing of it waits any more, its blobs
    included.  `wire_bytes` counts the frames of it and its blobs, `last_number` is the number of the last record of
    all of them so far.
    """

    __slots__ = ("_chunks", "_current", "_following", "_pieces", "blob_bytes", "blobs", "codec", "conversation",
                 "durable", "error", "flags", "ids", "last_number", "number", "plain_bytes", "sealed", "skipped_blobs",
                 "stream", "under_way", "unsealed_blobs", "value_number", "wire_bytes")  # fmt: skip
    parent = None
    ready = True
    count = 1
    """How many messages this is."""

    def __init__(self, pieces: Iterable[Buffer], *, codec: int, plain_bytes: int, flags: int = 0) -> None:
        self._pieces = pieces
        self._chunks: Iterator[Buffer] | None = None
        self._current: Buffer = b""
        self._following: Buffer | None = None
        self.codec, self.plain_bytes, self.flags = codec, plain_bytes, flags
        self.blobs: list[OutgoingBlob] = []
        self.under_way: list[OutgoingBlob] = []
        """Blobs that have a stream now: those that want to be fed are among them."""
        self.ids = range(0)
        """The one number that names it among all messages of this end; none before it is queued."""
        self.conversation = 0
        """The conversation that it belongs to, 0 for none."""
        self.durable = False
        """Whether its plain bytes begin with outbox and row."""
        self.blob_bytes = 0
        """Plain bytes of the blobs that are wholly sealed."""
        self.unsealed_blobs = self.skipped_blobs = 0
        self.number = self.last_number = self.value_number = self.stream = self.wire_bytes = 0
        self.sealed = False
        self.error: BaseException | None = None

    def add_blob(self, blob: OutgoingBlob) -> None:
        """Take in the next blob of this value; before it is queued."""
        blob.parent, blob.index = self, len(self.blobs)
        self.blobs.append(blob)
        self.unsealed_blobs += 1

    @property
    def root(self) -> Outgoing:
        """The value that this is."""
        return self

    @property
    def done(self) -> bool:
        return self.error is not None or (self.sealed and not self.unsealed_blobs)

    @property
    def total_plain_bytes(self) -> int:
        """Plain bytes of it and its blobs, as far as they are known beforehand."""
        return self.plain_bytes + sum(blob.plain_bytes or 0 for blob in self.blobs)

    @property
    def sealed_bytes(self) -> int:
        """Plain bytes of it and of the blobs that are wholly sealed."""
        return self.plain_bytes + self.blob_bytes

    def prepare(self) -> None:
        """Compress the value now, and not while it is sealed; before it is queued."""
        self._pieces = list(self._pieces)

    def hungry(self) -> OutgoingBlob | None:
        """Return a blob that wants to be fed, None where there is none.

        Those whose sources do not wait come first, and each in its turn: one thread reads them all.
        """
        hungry = [blob for blob in self.under_way if blob.hungry]
        return next((blob for blob in hungry if not blob.slow), hungry[0] if hungry else None)

    def turn_after(self, blob: OutgoingBlob) -> None:
        """Take note that a blob was fed: the others have their turn first."""
        if blob in self.under_way:
            self.under_way.remove(blob)
            self.under_way.append(blob)

    def header(self) -> bytes:
        """Return what its first record begins with, after the delivery number."""
        kind = bodies.ASIDE if self.conversation else bodies.DURABLE if self.durable else bodies.VALUE
        return bodies.First(kind, self.codec, len(self.blobs), self.plain_bytes, 0, self.conversation).pack()

    def peek(self, chunk_bytes: int) -> tuple[Buffer, bool]:
        """Return the chunk that is next, and whether it is the last."""
        if self._chunks is None:
            self._chunks = cut(filter(len, self._pieces), chunk_bytes)
            self._pieces = ()
            self._current = next(self._chunks, b"")
            self._following = next(self._chunks, None)
        return self._current, self._following is None

    def step(self) -> None:
        """Go on to the chunk after the one that was peeked at."""
        assert self._chunks is not None
        assert self._following is not None
        self._current = self._following
        self._following = next(self._chunks, None)

    def total_bytes(self) -> int:
        """Return the plain bytes in all."""
        return self.plain_bytes

    def release(self) -> None:
        """Let go of the bytes."""
        self._pieces, self._chunks, self._current, self._following = (), None, b"", None

    def part_from_blobs(self) -> None:
        """Forget the blobs, once all is done: each knows its value, and only the collector would find them."""
        self.blobs.clear()
        self.under_way.clear()


class OutgoingBlob:
    """One blob of a value on its way out.  `pull` is for its sender's thread alone; all else has a single owner.

    `begin` returns codec, payload and the counter of the plain bytes behind it, and is called when the blob's turn has
    come, so that a value of a thousand files does not open them all at once.  `inline`: its source never waits (it was
    prepared for many links), and is pulled when it is sealed.
    """

    __slots__ = (
        "_begin",
        "_chunks",
        "_ended",
        "_inline",
        "_ready",
        "_ready_bytes",
        "_source",
        "codec",
        "index",
        "last_number",
        "limit",
        "number",
        "parent",
        "plain_bytes",
        "sealed",
        "sent_bytes",
        "slow",
        "stream",
    )  # fmt: skip
    count = 1
    parent: Outgoing

    def __init__(
        self,
        begin: Callable[[], tuple[int, Iterable[Buffer], Counted]],
        *,
        plain_bytes: int | None,
        inline: bool = False,
    ) -> None:
        self._begin: Callable[[], tuple[int, Iterable[Buffer], Counted]] | None = begin
        self._inline = inline
        self._source: Counted | None = None
        self._chunks: Iterator[Buffer] | None = None
        self._ready: deque[Buffer] = deque()
        self._ready_bytes = 0
        self._ended = False
        self.codec, self.plain_bytes = 0, plain_bytes
        self.index = self.number = self.last_number = self.stream = 0
        self.sent_bytes, self.limit = 0, bodies.FIRST_GRANT
        """Payload bytes that were sealed, and that the peer has allowed."""
        self.sealed = False
        self.slow = False
        """Whether its source was last seen to wait."""

    @property
    def root(self) -> Outgoing:
        """The value that this is a blob of."""
        return self.parent

    @property
    def hungry(self) -> bool:
        """Whether more chunks are wanted: few are ready, and there is credit for more."""
        if self._ended or self.sealed or self._inline:
            return False
        return not self._ready or self._ready_bytes < min(FEED_BYTES, self.limit - self.sent_bytes)

    def pull(self, chunk_bytes: int) -> tuple[list[Buffer], bool]:
        """Return the next chunk, none at a lull, and whether the source has ended.

        Raises whatever the source of the bytes raises.
        """
        begin, source, chunks = self._begin, self._source, self._chunks
        if begin is None:
            return [], True  # It was given up meanwhile, and its source let go of.
        if source is None or chunks is None:
            self.codec, pieces, source = begin()
            chunks = cut(pieces, min(chunk_bytes, BLOB_CHUNK_BYTES))
            self._source, self._chunks = source, chunks
        for chunk in chunks:
            return [chunk] if len(chunk) else [], False
        found = source.byte_count
        if self.plain_bytes is not None and found != self.plain_bytes:
            text = f"a blob stated {self.plain_bytes} bytes and gave {found}"
            raise MessageCancelled(text, code=CancelCode.SOURCE_FAILED)
        return [], True

    def feed(self, chunks: list[Buffer], ended: bool) -> None:
        """Take in what was pulled; nothing, where the blob is over already."""
        if self.sealed:
            return
        self._ready.extend(chunks)
        self._ready_bytes += sum(map(len, chunks))
        self._ended = self._ended or ended

    @property
    def ready(self) -> bool:
        """Whether a record of it can be sealed now.  No chunk waits to be known as the last: the end may come alone."""
        if self._inline and self.limit - self.sent_bytes >= BLOB_CHUNK_BYTES:
            return True
        if not self._ready:
            return self._ended
        return self.sent_bytes + len(self._ready[0]) <= self.limit

    def header(self) -> bytes:
        """Return what its first record begins with, after the delivery number."""
        declared = bodies.UNKNOWN if self.plain_bytes is None else self.plain_bytes
        return bodies.First(bodies.BLOB, self.codec, self.index, declared, self.parent.number).pack()

    def peek(self, chunk_bytes: int) -> tuple[Buffer, bool]:
        """Return the chunk that is next, empty where only the end is left, and whether it is the last.

        An inline source may raise.
        """
        while self._inline and len(self._ready) < 2 and not self._ended:
            self.feed(*self.pull(chunk_bytes))
        return self._ready[0] if self._ready else b"", self._ended and len(self._ready) <= 1

    def step(self) -> None:
        """Go on to the chunk after the one that was peeked at."""
        self._take()

    def _take(self) -> None:
        chunk = self._ready.popleft()
        self._ready_bytes -= len(chunk)
        self.sent_bytes += len(chunk)

    def total_bytes(self) -> int:
        """Return the plain bytes in all; known once the source has ended."""
        assert self._source is not None
        return self._source.byte_count

    def release(self) -> None:
        """Let go of the bytes, and of their source: a file that nobody reads on is closed."""
        self._ready.clear()
        self._ready_bytes = 0
        self._begin = self._source = self._chunks = None


class Batch:
    """Several whole small messages that share one record: each at most a few KiB, none compressed, none with blobs."""

    __slots__ = ("_parts", "body_bytes", "count", "error", "ids", "last_number", "sealed", "wire_bytes")
    ready = True

    def __init__(self) -> None:
        self._parts: list[Buffer] = []
        self.count = 0
        self.ids = range(0)
        self.body_bytes = bodies.NUMBER_BYTES
        self.last_number = self.wire_bytes = 0
        self.sealed = False
        self.error: BaseException | None = None

    @property
    def total_plain_bytes(self) -> int:
        """The same: there are no blobs in it."""
        return self.plain_bytes

    @property
    def sealed_bytes(self) -> int:
        """The same."""
        return self.plain_bytes

    @property
    def done(self) -> bool:
        return self.sealed or self.error is not None

    @property
    def plain_bytes(self) -> int:
        """Plain bytes of the messages."""
        return self.body_bytes - bodies.NUMBER_BYTES - 4 * self.count

    def hungry(self) -> None:
        """Return None: there are no blobs in it."""

    def part_from_blobs(self) -> None:
        """The same."""

    def add(self, encoded: Encoded) -> None:
        """Take in one encoded value."""
        plain_bytes = encoded.plain_bytes
        self._parts += (plain_bytes.to_bytes(4, "big"), *encoded.buffers)
        self.count += 1
        self.body_bytes += 4 + plain_bytes

    def body(self, number: int) -> bytes:
        """Return the body of the one record."""
        return bodies.batch(number, self._parts)


def wanted_flags(message: Outgoing | OutgoingBlob) -> int:
    """Return the flags that ask for the peer's word; the end of a blob asks for an acknowledgement at once."""
    if isinstance(message, Outgoing):
        return message.flags
    return _ACKNOWLEDGE if message.root.flags else 0
