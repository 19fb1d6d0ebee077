"""Sources: the bytes of blobs on their way out of a user's hands, counted and watched.  Floor: PROTOCOL.

Law: what a source gave never waits for a source that waits.  Spec: protocol.md, "Messages and streams".

A source is a file, a pipe, a generator: its bytes may come at once, or a line a day.  Records that are full cost least,
so pieces are put together; but a reader wants the line when it was written, not when 64 KiB of lines are.  Whether the
next piece comes at once nobody can know before it has come.  So a *lull*, which marks where not to wait for it, is
handed out after a piece by what is known of those before:

    the piece took LULL_SECONDS or longer         a lull: the next one may take as long
    it came faster and is small                   a lull, for MOST_LULLS pieces in a row and one each LULL_SECONDS
    it came faster and is long                    none: its source is a file, or as fast as one
    with it the blob has the length it stated     none: what follows is the end

What a burst of more than MOST_LULLS pieces has beyond them may thus wait for the next piece, up to a few records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf

from netstructer.errors import MessageTooBig

__all__ = ["Counted", "Room", "check_blob_bytes"]

Buffer = bytes | bytearray | memoryview

LULL_SECONDS = 0.02
"""A source that takes this long for a piece may take as long for the next: what it gave is sent at once."""
SMALL_BYTES = 64 << 10
"""A piece below this may be sent at once although it came fast: nobody knows when the next one comes."""
MOST_LULLS = 32
"""So many small pieces in a row are sent at once, and one more for each `LULL_SECONDS`; the rest are sent together."""


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
    """An iterator of buffers that knows how many bytes have passed; those of unknown length take from a `Room`.

    With a `clock` it hands out lulls: an empty piece after one that is not to wait for the next (chunks.py).  Nobody
    knows how long a source will take for its next piece.  So a lull follows each piece that took long to come, and each
    small one, as long as there have not been too many: what comes fast is cheaper sent together.
    """

    __slots__ = ("_clock", "_heard", "_lull", "_lulls", "_pieces", "_plain_bytes", "_room", "byte_count")

    def __init__(
        self,
        pieces: Iterable[Buffer],
        room: Room | None = None,
        *,
        plain_bytes: int | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._pieces = iter(pieces)
        self._room = room
        self._plain_bytes = plain_bytes
        self._clock = clock
        self._heard = -inf
        self._lulls = 0.0
        self._lull = False
        self.byte_count = 0

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        if self._lull:
            self._lull = False
            return b""
        piece = next(self._pieces)
        self.byte_count += len(piece)
        if self._room is not None:
            self._room.take(len(piece))
        if self._clock is not None and self.byte_count != self._plain_bytes:
            self._lull = self._lull_follows(len(piece), self._clock())
        return piece

    def _lull_follows(self, count: int, now: float) -> bool:
        waited, self._heard = now - self._heard, now
        self._lulls = min(self._lulls + waited / LULL_SECONDS, MOST_LULLS)
        if self._lulls < 1 or (count >= SMALL_BYTES and waited < LULL_SECONDS):
            return False
        self._lulls -= 1
        return True
