"""Seeking: a blob that is still on its way, as a file.  Floor: CODEC.  Law: no short read passes for the end.

The payload in the spool is the truth (reading.py), and a file keeps all that it reads of it.  Uncompressed, it is read
by position.  Compressed, it is expanded as the file reads forward; the first time that the file is sent back (or far
ahead), it makes a second spool, of plain bytes, and fills that from the start as far as it is asked.  The second spool
is a cache: where the room is full it drops what it has, and what is asked for again is expanded again.

Where the room is full the payload itself is not all kept, and what is gone is gone (`BytesGone`).  That harms nobody
who only reads on: a read that breaks off holds what it had gathered, for the next one.

Each file has a position, and a second spool, of its own: many may be open on one blob, each in a thread of its own.
"""

from __future__ import annotations

import errno
import io
import operator
import os
import sys
from typing import Any

from netstructer.codec.reading import PIECE_BYTES, Arriving, Buffer, Chunks, Payload, Spooled
from netstructer.errors import IllegalFrame, SpoolFull

__all__ = ["ArrivingFile"]

NEAR_BYTES = 1 << 20
"""How far ahead a file that expands is sent before it keeps what it passes: 2 ms of expanding."""


class ArrivingFile(io.BufferedIOBase):
    """A blob as a binary file that can be read and sent anywhere, while it arrives.  Single owner, like any file.

    A read waits for all the bytes that it was asked for (`read1` for any); `timeout` is the longest wait for the next
    of them, in seconds.  Seeking waits for nothing, but from the end while the length is unknown.  A call that raises
    leaves the position where it was.  Raises what `Chunks` raises; `SpoolFull` where bytes to go back to have no room.
    """

    def __init__(self, arriving: Arriving, *, timeout: float | None = None, owner: object = None) -> None:
        self._arriving = arriving
        self._timeout = timeout
        self._owner = owner
        self._source: _Stored | _Expanded | None = None
        self._position = 0
        self._held, self._held_at = b"", 0

    def readable(self) -> bool:
        self._check()
        return True

    def seekable(self) -> bool:
        self._check()
        return True

    def tell(self) -> int:
        self._check()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to `offset` bytes from the start, the position or the end, beyond the end too; return where that is."""
        self._check()
        position = operator.index(offset)
        if whence == os.SEEK_CUR:
            position += self._position
        elif whence == os.SEEK_END:
            position += self._size()
        elif whence != os.SEEK_SET:
            raise ValueError(f"expected a whence of 0, 1 or 2, found {whence}")
        if position < 0:
            raise OSError(errno.EINVAL, "a position before the start of the file")
        self._position = position
        return position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; all that are left without `size`."""
        left = _count(size)
        piece = self._piece(self._position, left)
        if len(piece) == left or not piece:
            self._position += len(piece)
            return piece
        found = io.BytesIO()
        try:
            while piece:
                found.write(piece)
                left -= len(piece)
                piece = self._piece(self._position + found.tell(), left)
        except BaseException:
            self._hold(found.getvalue())
            raise
        self._position += found.tell()
        return found.getvalue()

    def read1(self, size: int | None = -1, /) -> bytes:
        """Return 1 to `size` bytes, those that are here; wait if there are none, and return none only at the end."""
        piece = self._piece(self._position, _count(size))
        self._position += len(piece)
        return piece

    def peek(self, size: int = 0, /) -> bytes:
        """Return what `read1` would, and stay."""
        return self._piece(self._position, _count(-1))

    def readinto(self, into: Any, /) -> int:
        """Fill a buffer; return how many bytes that took, fewer than it holds only at the end."""
        view = memoryview(into)
        view = view.cast("B") if view.nbytes else memoryview(b"")
        filled = 0
        try:
            while piece := self._piece(self._position + filled, len(view) - filled):
                view[filled : filled + len(piece)] = piece
                filled += len(piece)
        except BaseException:
            self._hold(bytes(view[:filled]))
            raise
        self._position += filled
        return filled

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return bytes up to and with the next newline, `size` of them at most."""
        begin = self._position - self._held_at
        if size == -1 and begin >= 0 and (end := self._held.find(b"\n", begin) + 1):
            # The line is here, as most are; what follows takes three times as long.
            self._position += end - begin
            return self._held[begin:end]
        left = _count(size)
        found = bytearray()
        try:
            while piece := self._piece(self._position + len(found), left - len(found), line=True):
                found += piece
                if piece.endswith(b"\n"):
                    break
        except BaseException:
            self._hold(bytes(found))
            raise
        self._position += len(found)
        return bytes(found)

    def close(self) -> None:
        """Let go of the file; the blob can be opened again."""
        if self._source is not None:
            self._source.close()
        self._source = self._owner = None
        self._held = b""
        super().close()

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _piece(self, position: int, most: int, *, line: bool = False) -> bytes:
        """Return 1 to `most` bytes from `position` on, not beyond a newline for a `line`; none at the end."""
        self._check()
        if most <= 0:
            return b""
        if not 0 <= position - self._held_at < len(self._held):
            self._held, self._held_at = self._open().at(position)
        begin = position - self._held_at
        newline = self._held.find(b"\n", begin) if line else -1
        end = len(self._held) if newline < 0 else newline + 1
        return self._held[begin : min(end, begin + most)]

    def _hold(self, gathered: bytes) -> None:
        """Keep what a call that breaks off had gathered from the position on."""
        if gathered:
            self._held, self._held_at = gathered, self._position

    def _open(self) -> _Stored | _Expanded:
        if self._source is None:
            payload = Payload(self._arriving, self._timeout, True)
            plain = payload.begin()
            self._source = _Stored(self._arriving, payload) if plain else _Expanded(self._arriving, self._timeout)
        return self._source

    def _size(self) -> int:
        size = self._arriving.size
        if size is None:
            Payload(self._arriving, self._timeout, True).finish()
            size = self._arriving.size
        assert size is not None, "a payload is whole and its length unknown"
        return size


class _Stored:
    """The plain bytes by position, where the payload is not compressed."""

    def __init__(self, arriving: Arriving, payload: Payload) -> None:
        self._arriving = arriving
        self._payload = payload

    def at(self, position: int) -> tuple[bytes, int]:
        """Return bytes that hold the one at `position`, and where they begin; none at the end."""
        piece = self._payload.at(position)
        size, here = self._arriving.size, self._arriving.spool.byte_count
        if not piece and here != size:
            raise IllegalFrame(f"a blob of {size} bytes ended after {here}")
        if size is not None and here > size:
            raise IllegalFrame(f"a blob of {size} bytes has more")
        return bytes(piece), position

    def close(self) -> None:
        """The payload is the blob's, not the file's."""


class _Expanded:
    """The plain bytes by position, where the payload is compressed: forward as it comes, then out of a second spool."""

    def __init__(self, arriving: Arriving, timeout: float | None) -> None:
        self._arriving = arriving
        self._timeout = timeout
        self._pieces = self._from_the_start()
        self._passed = 0
        self._forward_only = True
        self._plain: Spooled | None = None

    def at(self, position: int) -> tuple[bytes, int]:
        """Return bytes that hold the one at `position`, and where they begin; none at the end."""
        if self._forward_only and 0 <= position - self._passed <= NEAR_BYTES:
            return self._forward(position)
        self._forward_only = False
        if self._plain is None or position < self._plain.start:
            self.close()
            self._pieces, self._plain = self._from_the_start(), self._arriving.new_spool()
        while self._plain.byte_count <= position:
            piece = next(self._pieces, None)
            if piece is None:
                return b"", position
            self._add(self._plain, piece)
        return bytes(self._plain.read(position, PIECE_BYTES)), position

    def close(self) -> None:
        """Give the second spool back."""
        if self._plain is not None:
            self._plain.close()
        self._plain = None

    def _from_the_start(self) -> Chunks:
        return Chunks(self._arriving, timeout=self._timeout, keep=True)

    def _forward(self, position: int) -> tuple[bytes, int]:
        for piece in self._pieces:
            start, self._passed = self._passed, self._passed + len(piece)
            if position < self._passed:
                return bytes(piece), start
        return b"", position

    def _add(self, plain: Spooled, piece: Buffer) -> None:
        try:
            plain.add(bytes(piece))
        except SpoolFull:
            plain.forget(plain.byte_count)
            try:
                plain.add(bytes(piece))
            except BaseException:
                # The piece has left the payload: who asks again begins again.
                self.close()
                raise


def _count(size: int | None) -> int:
    """Return how many bytes a caller asked for: all, where it is None or negative."""
    return sys.maxsize if size is None or size < 0 else operator.index(size)
