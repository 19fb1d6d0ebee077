"""Blob, awaited: bytes of any size as a value, read and saved without blocking the loop.  Floor: FAÇADES.

Law: it is a `netstructer.Blob` in all that it is sent as; only how its bytes are waited for differs.

What arrives on a link is read in the loop, a piece at a time, 64 KiB of payload each (0.1 ms to 0.3 ms of expanding).
What lies in a file or comes from a generator is read in a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from netstructer.aio.incoming import Incoming, NotYet, call_loop
from netstructer.aio.workers import Worker, run_apart
from netstructer.codec.blob import Blob as PlainBlob
from netstructer.codec.origins import Chunk
from netstructer.codec.saving import write_whole

__all__ = ["Blob", "BlobChunks", "BlobFile"]

TURN_BYTES = 256 << 10
"""Bytes that are here and are handed out before the loop's other work has its turn."""

T = TypeVar("T")


class Blob(PlainBlob):
    """Bytes of any size, anywhere inside a value: `await link.send({"scan": aio.Blob.from_path("scan.tiff")})`.

    Made and sent as `netstructer.Blob`, which an asyncio link sends as well; `from_iter` takes asynchronous iterables,
    too.  What an asyncio link receives is one of these:

        async for chunk in blob: ...        await blob.read()        await blob.save("scan.tiff")

    The bytes that arrive belong to one coroutine at a time.  In a thread of your own it is an ordinary `Blob`, whose
    `chunks()` and `bytes()` wait there.
    """

    __slots__ = ()

    @classmethod
    def from_iter(
        cls, chunks: Iterable[Any] | AsyncIterable[Any], *, size: int | None = None, name: str | None = None
    ) -> Blob:
        """Take the bytes from an iterable of bytes-like chunks of any length, once.

        One that is not asynchronous is pulled in a thread; an asynchronous one in the loop that runs now.
        """
        source: Iterable[Any] = _Pulled(chunks) if isinstance(chunks, AsyncIterable) else chunks
        blob = super().from_iter(source, size=size, name=name)
        assert isinstance(blob, Blob)
        return blob

    @classmethod
    def _of(cls, arriving: Incoming, *, name: str | None = None) -> Blob:  # type: ignore[override]  # of a loop's link
        """Read from a link; when the blob ends, `arriving` is given up."""
        blob = super()._of(arriving, name=name)
        assert isinstance(blob, Blob)
        return blob

    def chunks(self, *, timeout: float | None = None, keep: bool | None = None) -> BlobChunks:
        """Return the bytes in order, as pieces of 1 to 262,144 bytes, for `async for`."""
        return BlobChunks(super().chunks(timeout=timeout, keep=keep), timeout, apart=not self._arrives)

    def __aiter__(self) -> BlobChunks:
        return self.chunks()

    async def read(self, *, timeout: float | None = None) -> bytes:
        """Return all the bytes, in memory: the twin of `bytes(blob)`."""
        found = [bytes(chunk) async for chunk in self.chunks(timeout=timeout, keep=True)]
        return await run_apart(lambda: b"".join(found)) if len(found) > 64 else b"".join(found)

    def open(self, *, timeout: float | None = None) -> BlobFile:  # type: ignore[override]  # a file that is awaited
        """Return a readable binary file over the bytes, whose calls are awaited; close it when done."""
        return BlobFile(lambda: PlainBlob.open(self, timeout=timeout))

    async def save(self, path: str | os.PathLike[str], *, timeout: float | None = None) -> Path:  # type: ignore[override]
        """Write the bytes to `path`, whole or not at all: beside it first, then moved there; return where they are."""
        where, new = self._destination(path)
        stopped = False

        def chunks() -> Iterator[Chunk]:
            for chunk in PlainBlob.chunks(self, timeout=timeout):
                if stopped:
                    raise InterruptedError("the save was cancelled")
                yield chunk

        try:
            await run_apart(lambda: write_whole(where, chunks, new=new), name="netstructer-save")
        finally:
            stopped = True
        return where

    def _leave_loop(self) -> None:
        """Become an ordinary blob: whoever is going to read it does so in a thread, and waits there."""
        self.__class__ = PlainBlob  # type: ignore[assignment]  # of the same layout

    @property
    def _arrives(self) -> bool:
        return isinstance(getattr(self._origin, "_arriving", None), Incoming)


class BlobChunks(Iterator[Chunk], AsyncIterator[Chunk]):
    """The bytes of a blob in order: with `async for` in a loop, with `for` in a thread.  Single owner."""

    def __init__(self, pieces: Iterator[Chunk], timeout: float | None, *, apart: bool) -> None:
        self._pieces = pieces
        self._timeout = timeout
        self._apart = apart
        self._passed_bytes = 0

    def __next__(self) -> Chunk:
        return next(self._pieces)

    async def __anext__(self) -> Chunk:
        if self._apart:
            piece = await run_apart(self._next)
        else:
            piece = await self._arrived()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def _arrived(self) -> Chunk | None:
        if self._passed_bytes >= TURN_BYTES:
            self._passed_bytes = 0
            await asyncio.sleep(0)
        while True:
            try:
                piece = self._next()
            except NotYet as missing:
                await missing.incoming.arrive(missing.position, self._timeout)
                self._passed_bytes = 0
            else:
                self._passed_bytes += 0 if piece is None else len(piece)
                return piece

    def _next(self) -> Chunk | None:
        return next(self._pieces, None)


class BlobFile:
    """A blob as a binary file that can be read and sent anywhere, while it arrives.  Single owner, like any file.

    Its calls mean what those of the file that `netstructer.Blob.open` returns mean, and are made in a thread, one for
    each open file.  `async with` closes.
    """

    def __init__(self, opening: Callable[[], BinaryIO]) -> None:
        self._opening: Callable[[], BinaryIO] | None = opening
        self._file: BinaryIO | None = None
        self._worker = Worker("netstructer-blob-file")

    async def read(self, size: int = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; all that are left without `size`."""
        return await self._run(lambda file: file.read(size))

    async def readline(self, size: int = -1, /) -> bytes:
        """Return bytes up to and with the next newline, `size` of them at most."""
        return await self._run(lambda file: file.readline(size))

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to `offset` bytes from the start, the position or the end; return where that is."""
        return await self._run(lambda file: file.seek(offset, whence))

    async def tell(self) -> int:
        """Return the position."""
        return await self._run(lambda file: file.tell())

    async def close(self) -> None:
        """Let go of the file; the blob can be opened again.  May be called twice."""
        if self._opening is None:
            return
        self._opening = None
        try:
            if self._file is not None:
                await self._worker.run(self._file.close)
        finally:
            self._worker.close()

    async def __aenter__(self) -> BlobFile:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> BlobFile:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    async def _run(self, call: Callable[[BinaryIO], T]) -> T:
        opening = self._opening
        if opening is None:
            raise ValueError("I/O operation on closed file")

        def run() -> T:
            if self._file is None:
                self._file = opening()
            return call(self._file)

        return await self._worker.run(run)


class _Pulled(Iterator[Any]):
    """An asynchronous iterable, pulled from a thread."""

    def __init__(self, chunks: AsyncIterable[Any]) -> None:
        self._chunks = chunks.__aiter__()
        self._loop = asyncio.get_running_loop()

    def __next__(self) -> Any:
        found = call_loop(self._loop, self._pull())
        if found is None:
            raise StopIteration
        return found[0]

    async def _pull(self) -> tuple[Any] | None:
        try:
            return (await self._chunks.__anext__(),)
        except StopAsyncIteration:
            return None
