"""Reading: a blob that is still on its way, in order.  Floor: CODEC.  Law: no short read passes for the end.

Spec: protocol.md, "Messages and streams".  What comes of a blob is its *payload* (compressed or not), which lies in a
spool; whoever reads it says how far they are, and so lets the peer send more.  There are two ways to read:

    Chunks          in order and once.  What was read is forgotten beyond the first MiB, so any length takes no room.
    ArrivingFile    anywhere and often (seeking.py).  What was read is kept, on the disk where it is much.

An error is never the end.  The end is told only when the payload is whole and has the length that its sender stated.
After a `LinkTimeout` everything is where it was, and can be asked again; that is why nothing here is a generator, which
an error would end, and why a position moves only when a call has succeeded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from netstructer.codec.compression import NONE, expand
from netstructer.errors import BadCompression, BytesGone, IllegalFrame, MessageTooBig, Misuse, PeerFault

__all__ = ["KEPT_BYTES", "PIECE_BYTES", "Arriving", "Chunks", "Payload", "Spooled"]

KEPT_BYTES = 1 << 20
"""Payload that is kept when it is read in order: what a spool holds in memory, so a small blob can be read again."""
PIECE_BYTES = 64 * 1024
"""Taken out of a spool at a time: one of its slots."""

Buffer = bytes | memoryview


class Spooled(Protocol):
    """What is used of a spool: bytes added at its end, read by position, forgotten from its start.  Thread-safe.

    `byte_count` is what was ever added; what lies before `start` was forgotten, and reading it raises `Misuse`.
    """

    start: int
    byte_count: int

    def add(self, chunk: bytes, /) -> None: ...
    def read(self, position: int, most_bytes: int, /) -> bytes | memoryview: ...
    def forget(self, position: int, /) -> None: ...
    def close(self) -> None: ...


class Arriving(Protocol):
    """The payload of a blob on its way in: what of it is here, and what is to be done for more.  Thread-safe.

    `codec` and `stated` are known once the blob has begun: `wait(0)` first.  `stated` says whether the blob's first
    record stated its length.  `size` is its plain bytes, None while unknown; it is known once the payload is whole.
    """

    @property
    def codec(self) -> int: ...
    @property
    def stated(self) -> bool: ...
    @property
    def size(self) -> int | None: ...
    @property
    def spool(self) -> Spooled: ...

    @property
    def most_bytes(self) -> int:
        """The most plain bytes that may come; what is compressed, and of unknown length, could expand without end."""
        ...

    def wait(self, position: int, timeout: float | None) -> bool:
        """Wait until the spool holds bytes beyond `position`, or the payload is whole, and say whether it does.

        Raises `LinkTimeout` when nothing has come for `timeout` seconds, and what ended the blob: `SourceFailed`,
        `SpoolFull`, `LinkLost` ...  Bytes that are there come before the error.
        """
        ...

    def consumed(self, position: int, *, keep: bool) -> None:
        """Take note that a reader is past `position`, so that the peer may send more.  Not `keep`: forget it."""
        ...

    def expect(self, size: int | None) -> None:
        """Take note of the plain bytes that the blob's value says it has; one of another length fails its reader."""
        ...

    def new_spool(self) -> Spooled:
        """Return an empty spool in the same room, for plain bytes."""
        ...

    def give_up(self) -> None:
        """Take note that nobody wants the rest.  Called by the collector: in any thread, in the middle of anything."""
        ...


class Chunks(Iterator[Buffer]):
    """The plain bytes of a blob in order, as pieces of 1 byte to 128 KiB.  Single owner.

    `timeout` is the longest wait for the next bytes, in seconds.  `keep` says whether the payload is kept for others to
    read: None, as far as its first MiB.  `owner` is held, so that nothing gives the blob up meanwhile.

    Raises what `Arriving.wait` raises; `BytesGone`; `BadCompression` or `IllegalFrame` where the bytes are not what the
    peer stated.
    """

    def __init__(
        self, arriving: Arriving, *, timeout: float | None = None, keep: bool | None = None, owner: object = None
    ) -> None:
        self._arriving = arriving
        self._payload = Payload(arriving, timeout, keep)
        self._pieces: Iterator[Buffer] | None = None
        self._passed = 0
        self._owner = owner

    def __next__(self) -> Buffer:
        if self._pieces is None:
            self._pieces = self._begin()
        piece = next(self._pieces, None)
        size = self._arriving.size
        if piece is None:
            if self._passed != size:
                raise self._wrong_length(f"a blob of {size} bytes ended after {self._passed}")
            raise StopIteration
        self._passed += len(piece)
        if size is not None and self._passed > size:
            raise self._wrong_length(f"a blob of {size} bytes has more")
        most = self._arriving.most_bytes
        if self._passed > most:
            raise MessageTooBig(f"a blob has more than {most} bytes", limit=most, found=self._passed)
        return piece

    def _wrong_length(self, text: str) -> PeerFault:
        """Return the error: of a frame that gives other than the total, or of a payload that is no more than it is."""
        return IllegalFrame(text) if self._arriving.codec == NONE else BadCompression(text)

    def _begin(self) -> Iterator[Buffer]:
        if self._payload.begin():
            return self._payload
        arriving = self._arriving
        return expand(self._payload, plain_bytes=arriving.size if arriving.stated else None, stated=arriving.stated)


class Payload(Iterator[Buffer]):
    """One reader's walk over a payload: in order as an iterator, by position with `at`."""

    def __init__(self, arriving: Arriving, timeout: float | None, keep: bool | None) -> None:
        self._arriving = arriving
        self._timeout = timeout
        self._keep = keep
        self._next = self._told = 0

    def begin(self) -> bool:
        """Wait until the blob has begun; return whether its payload is its plain bytes, not compressed."""
        self._arriving.wait(0, self._timeout)
        return self._arriving.codec == NONE

    def __next__(self) -> Buffer:
        piece = self.at(self._next)
        if not piece:
            raise StopIteration
        self._next += len(piece)
        return piece

    def at(self, position: int) -> Buffer:
        """Return bytes from `position` on, or none where the payload is whole and ends before."""
        spool = self._arriving.spool
        while (here := spool.byte_count) <= position:
            # Who is sent far ahead must let the peer send what lies between.
            self._tell(here)
            if not self._arriving.wait(here, self._timeout):
                return b""
        try:
            piece = spool.read(position, PIECE_BYTES)
        except Misuse:
            if position >= spool.start:
                raise
            raise BytesGone(f"byte {position} is not kept any more; from {spool.start} on they are") from None
        self._tell(position + len(piece))
        return piece

    def finish(self) -> None:
        """Wait until the payload is whole."""
        self._tell(here := self._arriving.spool.byte_count)
        while self._arriving.wait(here, self._timeout):
            self._tell(here := self._arriving.spool.byte_count)

    def _tell(self, position: int) -> None:
        if position > self._told:
            keep = position <= KEPT_BYTES if self._keep is None else self._keep
            self._arriving.consumed(position, keep=keep)
            self._told = position
