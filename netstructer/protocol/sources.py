"""Sources: the bytes of blobs on their way out of a user's hands, counted and watched.  Floor: PROTOCOL.

Law: what a source gave never waits for a source that waits.  Spec: protocol.md, "Messages and streams".

A source is a file, a pipe, a generator: its bytes may come at once, or a line a day.  Records that are full cost least,
so pieces are put together; but a reader wants the line when it was written, not when 64 KiB of lines are.  Whether the
next piece comes at once nobody can know before it has come.  So a *lull*, which marks where not to wait for it, is
handed out after every piece, as long as there have not been too many: MOST_LULLS in a row, and one more for each
LULL_SECONDS.  So each piece of a source that takes LULL_SECONDS or longer for one is sent as it comes, and so is each
of a burst.  What comes faster for longer is sent in full records, and 50 times a second what there is.  The last pieces
of a burst of more than MOST_LULLS may thus wait for the next piece: a few records at most.

Where a blob has the length that it stated there is no lull: what follows is the end.

A source may itself read from a link: a blob that arrives is sent on.  What ends it there, `LinkLost` among it, says
nothing of the link that it goes out by, so it becomes `SourceFailed` here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf

from netstructer.errors import (
    LimitReached,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
    MessageTooBig,
    PeerFault,
    SourceFailed,
)
from netstructer.protocol.states import CancelCode

__all__ = ["Counted", "Room", "check_blob_bytes"]

Buffer = bytes | bytearray | memoryview

ELSEWHERE = (LinkLost, LinkClosed, LinkTimeout, PeerFault, LimitReached, MessageCancelled)
"""What a source raises that would be taken for a word about the link that its bytes go out by."""
LULL_SECONDS = 0.02
"""How often what a fast source gives is sent without waiting for more; a slower one is sent piece by piece."""
MOST_LULLS = 32
"""So many pieces in a row are sent one by one however fast they come: 2 ms of sealing, once."""


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

    With a `clock`, which is monotonic, it hands out lulls: an empty piece after one that is not to wait for the next
    (chunks.py).

    Raises what the pieces raise; `SourceFailed` for what they raise of `ELSEWHERE`, and `MessageTooBig` of the room.
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
        """When the last piece came."""
        self._lulls = 0.0
        """How many lulls there may be now."""
        self._lull = False
        self.byte_count = 0

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        if self._lull:
            self._lull = False
            return b""
        try:
            piece = next(self._pieces)
        except ELSEWHERE as error:
            if isinstance(error, SourceFailed):
                raise
            text = f"the blob's source failed: {type(error).__name__}: {error}"
            raise SourceFailed(text, code=CancelCode.SOURCE_FAILED) from error
        self.byte_count += len(piece)
        if self._room is not None:
            self._room.take(len(piece))
        if self._clock is not None and self.byte_count != self._plain_bytes:
            self._lull = self._may_lull(self._clock())
        return piece

    def _may_lull(self, now: float) -> bool:
        self._lulls = min(self._lulls + (now - self._heard) / LULL_SECONDS, MOST_LULLS)
        self._heard = now
        if self._lulls < 1:
            return False
        self._lulls -= 1
        return True
