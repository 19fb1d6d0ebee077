"""The bytes of an offer's files as one stream, and back.  Floor: COMMONS.  Law: the end of each file is said, not met.

Spec: files.md, "The body".  One stream for all of them: twenty thousand small files cost one message, and compress
together.  For each file:

    start u64 ‖ pieces ‖ end u32 = 0 ‖ state u8 ‖ if whole: SHA-256 of the whole file, 32 bytes
    piece = length u32 ‖ bytes                     length from 1 to 262,144
          | ffffffff ‖ length u64                  so many zeros, from 1 to 16,777,216
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from netstructer.errors import BadValue
from netstructer.transfer.source import HOLE_BYTES, PIECE_BYTES

__all__ = [
    "CHANGED",
    "FAILED",
    "LOOK_BYTES",
    "MOST_HOLE_BYTES",
    "WHOLE",
    "BodyReader",
    "end_of_file",
    "joined",
    "piece_of",
    "start_of_file",
]

WHOLE, CHANGED, FAILED = 0, 1, 2
"""How a file ended: all of it is there, it changed while it was read, it could not be read."""

JOIN_BYTES = 64 * 1024
"""Shorter buffers are gathered up to this: what the street would copy together in any case."""
MOST_HOLE_BYTES = 256 * 1024**3
"""Holes of one body, together: twelve bytes on the wire cost their receiver 10 ms of hashing, so a megabyte of them
would be a quarter of an hour.  What a file has beyond that goes as bytes, which compress."""
LOOK_BYTES = 1024**3
"""So many bytes of holes are taken between two looks at whether anybody is still there: a second of hashing."""
_START = struct.Struct(">Q")
_LENGTH = struct.Struct(">I")
_HOLE = struct.Struct(">IQ")
_HOLE_MARK = 0xFFFFFFFF
_DIGEST_BYTES = 32

Buffer = bytes | memoryview


def start_of_file(offset: int) -> bytes:
    """Return what stands before a file's pieces: at which of its bytes they begin."""
    return _START.pack(offset)


def piece_of(piece: bytes | int) -> tuple[Buffer, ...]:
    """Return the buffers of a piece: bytes, or so many zeros."""
    if isinstance(piece, int):
        return (_HOLE.pack(_HOLE_MARK, piece),)
    return _LENGTH.pack(len(piece)), piece


def end_of_file(state: int, digest: bytes = b"") -> bytes:
    """Return what stands behind them; the digest only where the file is whole."""
    return _LENGTH.pack(0) + bytes([state]) + digest


def joined(buffers: Iterable[Buffer]) -> Iterator[Buffer]:
    """Return the same bytes in fewer buffers; long ones are handed on as they are.

    An empty buffer marks where what came before it is not to wait for more.
    """
    held: list[Buffer] = []
    held_bytes = 0
    for buffer in buffers:
        if 0 < len(buffer) < JOIN_BYTES:
            held.append(buffer)
            held_bytes += len(buffer)
            if held_bytes < JOIN_BYTES:
                continue
        if held:
            yield b"".join(held)
            held.clear()
            held_bytes = 0
        if len(buffer) >= JOIN_BYTES:
            yield buffer
    if held:
        yield b"".join(held)


class BodyReader:
    """The other way: starts, pieces and ends, strictly.  `close()` gives up what has not been read.  Single owner.

    `look` is called now and then while holes are taken, which need no bytes, and raises where nobody is there any more.
    """

    def __init__(self, chunks: Iterable[Any], look: Callable[[], object] = lambda: None) -> None:
        self._chunks = iter(chunks)
        self._look = look
        self._holes = 0
        self._rest = memoryview(b"")
        self.state = WHOLE
        self.digest = b""

    def start(self) -> int:
        """Return at which offset the next file begins."""
        offset: int = _START.unpack(self._exactly(_START.size))[0]
        return offset

    def pieces(self) -> Iterator[memoryview | int]:
        """Return the pieces of the file that has started, as views, or lengths of holes; then `state` and `digest`.

        A view holds until the next one is asked for.
        """
        while length := _LENGTH.unpack(self._exactly(_LENGTH.size))[0]:
            if length == _HOLE_MARK:
                hole: int = struct.unpack(">Q", self._exactly(8))[0]
                if not 1 <= hole <= HOLE_BYTES:
                    raise BadValue(f"a hole of {hole} bytes, more than {HOLE_BYTES} or none")
                self._count_hole(hole)
                yield hole
                continue
            if length > PIECE_BYTES:
                raise BadValue(f"a piece of {length} bytes, more than {PIECE_BYTES}")
            while length:
                view = self._some(length)
                length -= len(view)
                yield view
        self.state = self._exactly(1)[0]
        if self.state > FAILED:
            raise BadValue("a file that ended in no known way")
        self.digest = self._exactly(_DIGEST_BYTES) if self.state == WHOLE else b""

    def finish(self) -> None:
        """Raise `BadValue` unless this is the end."""
        if len(self._rest) or next(self._chunks, None) is not None:
            raise BadValue("more bytes than the files have")

    def close(self) -> None:
        """Let go of the chunks: a blob that nobody holds is given up, and its sender told."""
        self._chunks, self._rest = iter(()), memoryview(b"")

    def _count_hole(self, hole: int) -> None:
        before, self._holes = self._holes, self._holes + hole
        if self._holes > MOST_HOLE_BYTES:
            raise BadValue(f"more than {MOST_HOLE_BYTES} bytes of holes")
        if before // LOOK_BYTES != self._holes // LOOK_BYTES:
            self._look()

    def _some(self, most: int) -> memoryview:
        while not len(self._rest):
            chunk = next(self._chunks, None)
            if chunk is None:
                raise BadValue("the body ended before its files")
            self._rest = memoryview(chunk)
        view, self._rest = self._rest[:most], self._rest[most:]
        return view

    def _exactly(self, count: int) -> bytes:
        view = self._some(count)
        if len(view) == count:
            return bytes(view)
        parts = [bytes(view)]
        while (missing := count - sum(map(len, parts))) > 0:
            parts.append(bytes(self._some(missing)))
        return b"".join(parts)
