"""Where the decoder's bytes come from: whole, or in chunks as they are expanded.  Floor: CODEC.

Law: nothing is allocated because a length was claimed.  Bytes are gathered as they come, a long run of them by a buffer
that grows and is handed over without a copy, so a large `bytes` is in memory once.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

from netstructer.codec.refusals import Malformed, OverBudget, SourceFailed
from netstructer.errors import Misuse

__all__ = ["Source"]

Chunk = bytes | bytearray | memoryview

PIECE_BYTES = 64 * 1024
"""A bytearray or memoryview longer than this is read in pieces of it, not copied whole first."""


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
            return chunk if type(chunk) is bytes else bytes(chunk)

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
        held = bytearray() if mutable else io.BytesIO()
        put = held.extend if isinstance(held, bytearray) else held.write
        put(memoryview(data)[start:])
        short = size - (len(data) - start)
        rest = b""
        while short > 0:
            chunk = self.pull()
            if chunk is None:
                raise Malformed("the value ends too soon")
            put(memoryview(chunk)[:short])
            rest = chunk[short:]
            short -= len(chunk)
        self.dropped += start + size
        return held if isinstance(held, bytearray) else held.getvalue(), rest


def _pieces(view: memoryview) -> Iterator[Chunk]:
    if not view.c_contiguous:
        view = memoryview(view.tobytes())
    view = view.cast("B") if view.nbytes else memoryview(b"")
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]
