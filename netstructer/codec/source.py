"""Where the decoder's bytes come from: whole, or in chunks as they are expanded.  Floor: CODEC.

Law: nothing is allocated because a length was claimed.  Bytes are gathered as they come.  A run of up to `JOIN_BYTES`
is joined once all of it is there: one allocation of its length, and one copy.  A longer one goes into a buffer that
grows and is handed over without a copy, so a large `bytes` is in memory once; but each time it grows, pages are faulted
in (docs/performance.md, "Large values").
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from netstructer.codec.refusals import Malformed, OverBudget, SourceFailed
from netstructer.errors import Misuse

__all__ = ["Source"]

Chunk = bytes | bytearray | memoryview

PIECE_BYTES = 64 * 1024
"""A bytearray or memoryview longer than this is read in pieces of it, not copied whole first."""
JOIN_BYTES = 4 << 20
"""A run of bytes up to this is in memory twice while it is joined."""


class Source:
    """The bytes of one value; `dropped` counts those that were read and are no longer held."""

    __slots__ = ("_chunks", "_limit", "_pulled", "dropped")

    def __init__(self, source: bytearray | memoryview | Iterable[Chunk], limit: int) -> None:
        self._limit = limit
        self._pulled = 0
        self.dropped = 0
        self._chunks: Iterator[Chunk]
        if isinstance(source, (bytearray, memoryview)):
            self._chunks = _pieces(memoryview(source))
        else:
            self._chunks = iter(source)

    def pull(self) -> bytes | None:
        """Return the next chunk that is not empty, or `None` at the end; raises `OverBudget`, and what the source
        does."""
        chunk = self._next()
        return chunk if chunk is None or type(chunk) is bytes else bytes(chunk)

    def _next(self) -> Chunk | None:
        """Do as `pull` does, and do not copy."""
        while True:
            try:
                chunk = next(self._chunks, None)
            except Exception as error:
                raise SourceFailed(error) from error
            if chunk is None:
                return None
            if not isinstance(chunk, (bytes, bytearray, memoryview)):
                raise Misuse(f"decode: expected chunks of bytes, found a {type(chunk).__name__}")
            size = memoryview(chunk).nbytes
            if not size:
                continue
            self._pulled += size
            if self._pulled > self._limit:
                raise OverBudget("value_bytes", "bytes in memory", self._limit, self._pulled)
            return chunk

    def more(self, data: bytes, keep: int, need: int) -> bytes:
        """Return `data` from `keep` on, and behind it what is needed to reach to its index `need`; `Malformed` at the
        end.

        What is kept is copied; so at least as much again is gathered, and the copying stays linear in the whole.
        """
        pieces = [data[keep:]]
        have = len(data) - keep
        wanted = need - keep
        eager = max(wanted, 2 * have if have > PIECE_BYTES else 0)
        while have < eager:
            chunk = self.pull()
            if chunk is None:
                break
            pieces.append(chunk)
            have += len(chunk)
        if have < wanted:
            raise Malformed("the value ends too soon")
        self.dropped += keep
        return pieces[1] if len(pieces) == 2 and not pieces[0] else b"".join(pieces)

    def take(self, data: bytes, start: int, size: int, *, mutable: bool = False) -> tuple[Any, bytes]:
        """Return `size` bytes from `start` of `data` and the chunks behind it, and what is left; `Malformed` at the
        end.

        The bytes are a `bytearray` if `mutable`, else `bytes`.
        """
        if not mutable and size <= JOIN_BYTES:
            pieces: list[Chunk] = []
            rest = self._gather(data, start, size, pieces.append)
            return b"".join(pieces), rest
        held = bytearray() if mutable else io.BytesIO()
        rest = self._gather(data, start, size, held.extend if isinstance(held, bytearray) else held.write)
        return held if isinstance(held, bytearray) else held.getvalue(), rest

    def _gather(self, data: bytes, start: int, size: int, put: Callable[[memoryview], object]) -> bytes:
        """Put `size` bytes from `start` of `data` and the chunks behind it; return what is left of the last one."""
        put(memoryview(data)[start:])
        short = size - (len(data) - start)
        rest = b""
        while short > 0:
            chunk = self._next()
            if chunk is None:
                raise Malformed("the value ends too soon")
            view = _flat(memoryview(chunk))
            put(view[:short])
            if len(view) > short:
                rest = bytes(view[short:])
            short -= len(view)
        self.dropped += start + size
        return rest


def _flat(view: memoryview) -> memoryview:
    """Return single bytes in a row."""
    if not view.c_contiguous:
        view = memoryview(view.tobytes())
    return view.cast("B") if view.nbytes else memoryview(b"")


def _pieces(view: memoryview) -> Iterator[Chunk]:
    view = _flat(view)
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]
