"""Kept: the numbered records that the peer has not acknowledged.  Floor: PROTOCOL.

Law: what took a number is sent under this number, unchanged, until the peer says that it has it.  Spec: protocol.md,
"Delivery" and "Resume".

A session outlives its transports.  What was sealed on one that broke may or may not have arrived; so each numbered
record is kept, as it was before sealing, and on the next transport those that the peer does not have are sealed again,
under its keys.  A record is *sent* when it is sealed on the transport of now.  Those that are not are before any new
message: after a resume, and where records took their numbers while there was no transport.

Memory.  Chunks are kept by reference where nobody can change them.  What is beyond `KEPT_MEMORY_BYTES` goes to a spool
of the link, and where that has no room it stays in memory: `backlog_bytes` bounds all of it.  On a transport that works
about as much is kept as is on its way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import SpoolFull

__all__ = ["Kept"]

Buffer = bytes | bytearray | memoryview

KEPT_MEMORY_BYTES = 8 << 20
"""What is kept in memory before the rest goes to a spool: the credit of a link, so one that is connected spools
nothing."""
RECORD_COST_BYTES = 256
"""What keeping a record costs beside its body."""


Place = bytes | tuple[Buffer, ...] | slice
Numbered = tuple[int, int, int, Place, int, range | int, int]
"""A record that took a delivery number, before sealing: kind, flags, stream; its body, its parts, or its place in the
spool; the sum of charges of the session with it, the messages that end with it, the body's length.

A plain tuple, because one is made for every small value: with names it takes a third of a microsecond more.
"""


class Kept:
    """The unacknowledged records of one direction.  Single owner.  `first` is the number of the oldest of them.

    `resend=False` is for sessions that end with their transport: a record is kept only until it is sent.
    """

    __slots__ = ("_memory_bytes", "_records", "_resend", "_room", "_sent", "_spool", "carried", "first", "held_bytes",
                 "most_bytes", "waiting")  # fmt: skip

    def __init__(self, room: SpoolRoom, most_bytes: int, *, resend: bool) -> None:
        self._room, self.most_bytes, self._resend = room, most_bytes, resend
        self.waiting = 0
        """How many records have a number and are not sent."""
        self._records: deque[Numbered] = deque()
        self._spool: Spool | None = None
        self.first = self._sent = self.carried = 1
        """`carried`: the first number that no transport has carried."""
        self.held_bytes = self._memory_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def has_room(self, body_bytes: int) -> bool:
        """Say whether one more record may be kept; an only one always may."""
        return not self._records or self.held_bytes + body_bytes + RECORD_COST_BYTES <= self.most_bytes

    def add(
        self,
        kind: int,
        flags: int,
        stream: int,
        body: tuple[Buffer, ...],
        charged: int,
        ids: range | int = range(0),
    ) -> None:
        """Keep the record that took the next number, not sent yet; `ids` are the messages that end with it."""
        body_bytes = sum(map(len, body))
        self.held_bytes += body_bytes + RECORD_COST_BYTES
        place: tuple[Buffer, ...] | slice = body
        if self._resend:
            if self._memory_bytes + body_bytes > KEPT_MEMORY_BYTES:
                place = self._spooled(body, body_bytes)
            else:
                for part in body:
                    if type(part) is not bytes:
                        place = tuple(map(_frozen, body))
                        break
        if type(place) is tuple:
            self._memory_bytes += body_bytes
        self._records.append((kind, flags, stream, place, charged, ids, body_bytes))
        self.waiting += 1

    def add_sent(self, kind: int, flags: int, stream: int, body: bytes, charged: int, message: int) -> None:
        """Keep one that has been sealed already, and that ends one message; nothing else may wait."""
        if not self._resend:
            self.first = self._sent = self.carried = self._sent + 1
            return
        body_bytes = len(body)
        memory_bytes = self._memory_bytes + body_bytes
        if memory_bytes > KEPT_MEMORY_BYTES:
            self.add(kind, flags, stream, (body,), charged, message)
            self.sent()
            return
        self._memory_bytes = memory_bytes
        self.held_bytes += body_bytes + RECORD_COST_BYTES
        self._records.append((kind, flags, stream, body, charged, message, body_bytes))
        self._sent = self.carried = self._sent + 1

    def sent(self) -> None:
        """Take in that the first record that was not sent has been sealed."""
        self.waiting -= 1
        self._sent += 1
        if self._sent > self.carried:
            self.carried = self._sent
        if not self._resend:
            self.trim(self._sent)

    def next(self, limit: int) -> tuple[int, int, int, tuple[Buffer, ...]] | None:
        """Return kind, flags, stream and body of the first record that is not sent; None where there is none, or the
        peer's credit, `limit`, does not reach for it.

        Raises `SourceFailed` where the disk does not give it back.
        """
        if not self.waiting:
            return None
        kind, flags, stream, place, charged, _, _ = self._records[-self.waiting]
        return None if charged > limit else (kind, flags, stream, self._read(place))

    def trim(self, expected: int) -> None:
        """Forget the records with numbers below `expected`: the peer has them."""
        records, held, memory = self._records, 0, 0
        count = min(expected - self.first, len(records))
        for _ in range(count):
            _, _, _, place, _, _, body_bytes = records.popleft()
            held += body_bytes
            if type(place) is slice:
                self._forget(place)
            else:
                memory += body_bytes
        if count > 0:
            self.first += count
            self.held_bytes -= held + RECORD_COST_BYTES * count
            self._memory_bytes -= memory
        if not records:
            self.first = max(self.first, expected)
            if self._spool is not None:
                self._spool.close()
                self._spool = None
        self._sent = max(self._sent, self.first)
        self.waiting = len(records) - (self._sent - self.first)

    def rewind(self, expected: int) -> None:
        """Take in that the peer has what is below `expected` and nothing else: the rest is to be sent again."""
        self.trim(expected)
        self._sent, self.waiting = self.first, len(self._records)

    @property
    def next_to_send(self) -> int:
        """The number of the first record that is not sent on this transport."""
        return self._sent

    @property
    def repeating(self) -> bool:
        """Whether the first record that is not sent on this transport was on another one: credit reaches for it."""
        return self._sent < self.carried

    @property
    def next_kind(self) -> int:
        """The kind of the first record that is not sent on this transport; 0 where there is none."""
        return self._records[-self.waiting][0] if self.waiting else 0

    @property
    def expectable(self) -> range:
        """What the peer may say that it expects next: nothing that it has had, nothing that was never on its way."""
        return range(self.first, self.carried + 1)

    def ids(self) -> Iterable[int]:
        """Return the messages that end with what is kept."""
        for _, _, _, _, _, ids, _ in self._records:
            yield from (ids,) if isinstance(ids, int) else ids

    def close(self) -> None:
        """Forget everything."""
        self._records.clear()
        self.first, self.waiting = self._sent, 0
        self.held_bytes = self._memory_bytes = 0
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _forget(self, place: slice) -> None:
        assert self._spool is not None
        self._spool.forget(place.stop)

    def _spooled(self, body: tuple[Buffer, ...], body_bytes: int) -> tuple[Buffer, ...] | slice:
        if self._spool is None:
            self._spool = Spool(self._room)
        start = self._spool.byte_count
        whole = b"".join(body)
        try:
            self._spool.add(whole)
        except SpoolFull:
            return (whole,)
        return slice(start, start + body_bytes)

    def _read(self, place: Place) -> tuple[Buffer, ...]:
        if type(place) is bytes:
            return (place,)
        if type(place) is tuple:
            return place
        assert isinstance(place, slice)
        assert self._spool is not None
        parts: list[Buffer] = []
        position = place.start
        while position < place.stop:
            parts.append(self._spool.read(position, place.stop - position))
            position += len(parts[-1])
        return tuple(parts)


def _frozen(part: Buffer) -> Buffer:
    """Return bytes that nobody else can change: a user may do as he likes with his buffers once `send` has returned."""
    if isinstance(part, bytes) or (isinstance(part, memoryview) and isinstance(part.obj, bytes)):
        return part
    return bytes(part)
