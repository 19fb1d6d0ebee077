"""Origins: where the bytes of a blob are.  Floor: CODEC.  Law: a source that is short never passes for whole.

    Memory      bytes that are here                 read often
    OfPath      a file, opened when it is read      read often; a file that changes meanwhile is noticed
    Once        an open file or an iterator         read once
    Arrived     a link on which they are coming     a small one read often, a larger one once in order

Each hands its bytes out as chunks, and as a file.  `owner` is the blob; what reads what arrives holds it, because a
blob that nobody holds is given up.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Protocol, cast

from netstructer.codec.reading import KEPT_BYTES, Arriving, Chunks
from netstructer.codec.seeking import ArrivingFile
from netstructer.errors import FileChanged, Misuse
from netstructer.names import shown

__all__ = ["CHUNK_BYTES", "Arrived", "Memory", "OfPath", "Once", "Origin", "Readable", "read_some"]

CHUNK_BYTES = 256 * 1024
"""Largest piece that is handed out of a source: four records, so that one of four chunks is put together of two."""

Chunk = bytes | memoryview


class Readable(Protocol):
    """An open binary file, as far as it is needed here: `read(n)` that returns bytes, empty at the end."""

    def read(self, size: int, /) -> bytes: ...


def read_some(readable: Readable, most: int) -> bytes:
    """Return 1 to `most` bytes, those that are there; wait where there are none, and return none only at the end.

    Raises `Misuse` for what does not read bytes, and for a file that has none now and does not wait for them.
    """
    # A buffered pipe would wait until it has all of it.  No bytes may also mean that a file that does not wait has none
    # at this moment, which only `read` tells from the end.
    found = readable.read1(most) if isinstance(readable, io.BufferedIOBase) else b""
    found = found or readable.read(most)
    if not isinstance(found, (bytes, bytearray, memoryview)):
        raise Misuse(f"read() returned a {type(found).__name__}; open the file in binary mode, and let it wait")
    return bytes(found)


class Origin(Protocol):
    """What a blob asks of the place where its bytes are."""

    @property
    def size(self) -> int | None: ...
    @property
    def reusable(self) -> bool: ...
    def expect(self, size: int | None) -> None: ...
    def chunks(self, owner: object, timeout: float | None, keep: bool | None) -> Iterator[Chunk]: ...
    def open(self, owner: object, timeout: float | None) -> BinaryIO: ...


class Memory:
    """Bytes that are here, not copied."""

    reusable = True

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        if not view.c_contiguous:
            raise Misuse("Blob: expected a contiguous memoryview")
        self._view = view.cast("B") if view.nbytes else memoryview(b"")
        self._data = data if type(data) is bytes else self._view
        self.size = view.nbytes

    def expect(self, size: int | None) -> None:
        """Nothing is expected of what is here."""

    def chunks(self, owner: object, timeout: float | None, keep: bool | None) -> Iterator[Chunk]:
        """Return the bytes, as views of them."""
        return _slices(self._view)

    def open(self, owner: object, timeout: float | None) -> BinaryIO:
        """Return a file over the bytes; only what is not `bytes` is copied."""
        return io.BufferedReader(cast(io.RawIOBase, io.BytesIO(self._data)))


class OfPath:
    """A file on disk, of which only the size is known before it is read."""

    reusable = True

    def __init__(self, where: str, size: int) -> None:
        self._where = where
        self.size = size

    def expect(self, size: int | None) -> None:
        """Nothing is expected of what is here."""

    def chunks(self, owner: object, timeout: float | None, keep: bool | None) -> Iterator[Chunk]:
        """Return what the file holds.  Raises `FileChanged` at the latest at its end."""
        with open(self._where, "rb", buffering=0) as file:
            before = self._status(file)
            passed = 0
            while chunk := file.read(CHUNK_BYTES):
                passed += len(chunk)
                if passed > self.size:
                    break
                yield chunk
            after = os.fstat(file.fileno())
            # The descriptor holds one file; that another was moved to its path meanwhile does not change this one.
            if passed != self.size or after.st_mtime_ns != before.st_mtime_ns:
                raise self._changed("changed while it was read")

    def open(self, owner: object, timeout: float | None) -> BinaryIO:
        """Return the file, held to its size now; what is written to it later, its reader sees."""
        file = open(self._where, "rb")  # noqa: SIM115  # the caller closes it
        try:
            self._status(file)
        except BaseException:
            file.close()
            raise
        return file

    def _status(self, file: io.IOBase | BinaryIO) -> os.stat_result:
        status = os.fstat(file.fileno())
        if status.st_size != self.size:
            raise self._changed(f"holds {status.st_size} bytes, and held {self.size} when the blob was made of it")
        return status

    def _changed(self, how: str) -> FileChanged:
        name = os.path.basename(self._where)
        return FileChanged(f"the file {shown(name)} {how}", name=name)


class Once:
    """What can be read once: an iterable of bytes-like chunks of any length."""

    reusable = False

    def __init__(self, chunks: Iterable[Any], size: int | None) -> None:
        if size is not None and (type(size) is not int or not 0 <= size < 1 << 63):
            raise Misuse("Blob: expected a size of 0 to 2**63 - 1 bytes, or None")
        self._chunks = chunks
        self._opened = False
        self.size = size

    def expect(self, size: int | None) -> None:
        """Nothing is expected of what is here."""

    def chunks(self, owner: object, timeout: float | None, keep: bool | None) -> Iterator[Chunk]:
        """Return the bytes, cut to pieces and held to the size.

        The source counts as read from the first piece on: a send that fails before may be tried on another link.
        """
        self._check()
        return self._read()

    def open(self, owner: object, timeout: float | None) -> BinaryIO:
        """Return a file over the chunks, which cannot be sent back."""
        return io.BufferedReader(_ChunkReader(self.chunks(owner, timeout, None)), CHUNK_BYTES)

    def _read(self) -> Iterator[Chunk]:
        self._check()
        self._opened = True
        yield from _checked(self._chunks, self.size)

    def _check(self) -> None:
        if self._opened:
            raise Misuse("this blob's source can be read once, and has been")


class Arrived:
    """Bytes that are still coming, or have come."""

    def __init__(self, arriving: Arriving) -> None:
        self._arriving = arriving

    @property
    def size(self) -> int | None:
        """As far as it is known now."""
        return self._arriving.size

    @property
    def reusable(self) -> bool:
        """Whether the bytes can be had more than once in order, as far as is known now."""
        size = self._arriving.size
        return size is not None and size <= KEPT_BYTES and not self._arriving.spool.start

    def expect(self, size: int | None) -> None:
        """Take note of the size that the blob's value says it has."""
        self._arriving.expect(size)

    def chunks(self, owner: object, timeout: float | None, keep: bool | None) -> Iterator[Chunk]:
        """Return the bytes, as they come."""
        self._check()
        return Chunks(self._arriving, timeout=timeout, keep=keep, owner=owner)

    def open(self, owner: object, timeout: float | None) -> BinaryIO:
        """Return a file over the bytes, as they come."""
        self._check()
        return cast(BinaryIO, ArrivingFile(self._arriving, timeout=timeout, owner=owner))

    def _check(self) -> None:
        if self._arriving.spool.start:
            raise Misuse(
                "the beginning of this blob is not kept any more: more than 1 MiB is taken out in order once; "
                "open() keeps what it reads, as far as there is room"
            )


class _ChunkReader(io.RawIOBase):
    """A raw file over an iterator of chunks."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _slices(view: memoryview) -> Iterator[Chunk]:
    for start in range(0, len(view), CHUNK_BYTES):
        yield view[start : start + CHUNK_BYTES]


def _checked(chunks: Iterable[Any], size: int | None) -> Iterator[Chunk]:
    """Cut `chunks` to pieces, and hold them to `size`: a short blob must never pass for a whole one."""
    passed = 0
    for chunk in chunks:
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise Misuse(f"Blob.from_iter: expected chunks of bytes, found a {type(chunk).__name__}")
        passed += memoryview(chunk).nbytes
        if size is not None and passed > size:
            raise OSError(f"the blob's source holds more than the {size} bytes that it was said to hold")
        yield from _slices(memoryview(bytes(chunk)))
    if size is not None and passed < size:
        raise OSError(f"the blob's source ended after {passed} of {size} bytes")
