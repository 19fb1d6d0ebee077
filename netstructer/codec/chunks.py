"""A payload to chunks and back.  Floor: CODEC.  Law: what a chunk holds never waits for a source that waits.

Spec: protocol.md, "Messages and streams".  A chunk is what one record carries of a payload.  `cut` is lazy: it takes
from its source only what the next chunk needs, so a slow socket slows the compressor, and the compressor the file.

A *lull* is an empty piece: what came before it is to be sent without waiting for more.  Whoever hands pieces on hands
lulls on, after everything that came before them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

__all__ = ["Joined", "cut"]

Buffer = bytes | bytearray | memoryview


def cut(pieces: Iterable[Buffer], chunk_bytes: int) -> Iterator[Buffer]:
    """Return `pieces` as chunks of exactly `chunk_bytes`, shorter ones at the end and before a lull.

    A chunk that lies within one piece is a view of it, not a copy.  Only a lull comes out empty.
    """
    parts: list[Buffer] = []
    held = 0
    for piece in pieces:
        view = memoryview(piece)
        if view.itemsize != 1 or view.ndim != 1:
            view = view.cast("B")
        start = 0
        while len(view) - start >= chunk_bytes - held:
            end = start + chunk_bytes - held
            yield b"".join((*parts, view[start:end])) if parts else view[start:end]
            parts.clear()
            start, held = end, 0
        if start < len(view):
            parts.append(view[start:])
            held += len(view) - start
        elif not len(view):
            if parts:
                yield parts[0] if len(parts) == 1 else b"".join(parts)
                parts.clear()
                held = 0
            yield b""
    if parts:
        yield parts[0] if len(parts) == 1 else b"".join(parts)


class Joined:
    """The chunks of one payload, in order, as they came; single owner.

    Iterating takes the chunks out, so that what has been read is no longer held.
    """

    __slots__ = ("_chunks", "byte_count")

    def __init__(self) -> None:
        self._chunks: deque[Buffer] = deque()
        self.byte_count = 0

    def add(self, chunk: Buffer) -> None:
        self._chunks.append(chunk)
        self.byte_count += len(chunk)

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[Buffer]:
        chunks = self._chunks
        while chunks:
            yield chunks.popleft()
