"""Blob: bytes of any size as a value.  Floor: CODEC.  Law: a blob's bytes are never inside the value's bytes.

A blob knows where its bytes are (memory, a file, an open file, an iterator) and hands them out in chunks.  In an
encoded value it leaves only a reference: its size, if known, and its name.  The bytes travel on a stream of their own.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Protocol

from netstructer.errors import Misuse

__all__ = ["Blob"]

CHUNK_BYTES = 64 * 1024
"""Largest piece that `chunks` hands out: one record body at its usual size."""

Chunk = bytes | memoryview


class Readable(Protocol):
    """What `Blob.from_file` needs: `read(n)` that returns bytes, empty at the end."""

    def read(self, size: int, /) -> bytes: ...


class Blob:
    """Bytes of any size, anywhere inside a value: `link.send({"scan": Blob.from_path("scan.tiff")})`.

    `size` is in bytes, or `None` while unknown; `name` is a text of at most 255 characters, or `None`.  Two blobs are
    equal only when they are the same object: comparing contents would mean reading them.
    """

    __slots__ = ("_arriving", "_name", "_opened", "_reusable", "_size", "_source")

    def __init__(self, data: bytes | bytearray | memoryview = b"", *, name: str | None = None) -> None:
        """Hold `data` in memory; it is not copied, so do not change it until the blob has been sent."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise Misuse(
                f"Blob: expected bytes, found a {type(data).__name__}; see Blob.from_path, from_file, from_iter"
            )
        view = memoryview(data)
        if not view.c_contiguous:
            raise Misuse("Blob: expected a contiguous memoryview")
        view = view.cast("B") if view.nbytes else memoryview(b"")
        self._set(lambda: _slices(view), view.nbytes, name, reusable=True)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], *, name: str | None = None) -> Blob:
        """Read the file when the bytes are wanted; size and name are taken now.

        Raises `OSError` now if the file is not there, and while reading if it no longer has the size that it had.
        """
        where = os.fspath(path)
        size = os.stat(where).st_size
        blob = cls.__new__(cls)
        blob._set(
            lambda: _file_chunks(where, size), size, os.path.basename(where) if name is None else name, reusable=True
        )
        return blob

    @classmethod
    def from_file(cls, readable: Readable, *, size: int | None = None, name: str | None = None) -> Blob:
        """Read from an open binary file, once, from where it stands to its end; the file is not closed."""
        if not callable(getattr(readable, "read", None)):
            raise Misuse("Blob.from_file: expected an object with read(size)")
        return cls.from_iter(iter(lambda: _read(readable), b""), size=size, name=name)

    @classmethod
    def from_iter(cls, chunks: Iterable[Any], *, size: int | None = None, name: str | None = None) -> Blob:
        """Take the bytes from an iterable of bytes-like chunks of any length, once."""
        if size is not None and (type(size) is not int or not 0 <= size < 1 << 63):
            raise Misuse("Blob: expected a size of 0 to 2**63 - 1 bytes, or None")
        blob = cls.__new__(cls)
        blob._set(lambda: _checked(chunks, size), size, name, reusable=False)
        return blob

    def _set(
        self, source: Callable[[], Iterator[Chunk]], size: int | None, name: str | None, *, reusable: bool
    ) -> None:
        if name is not None and (type(name) is not str or len(name) > 255):
            raise Misuse("Blob: expected a name of at most 255 characters, or None")
        self._source = source
        self._size = size
        self._name = name
        self._reusable = reusable
        self._opened = False

    @classmethod
    def arriving(cls, arriving):
        from netstructer.codec.reading import Chunks
        blob = cls.__new__(cls)
        blob._set(lambda: Chunks(arriving), arriving.size, None, reusable=True)
        blob._arriving = arriving
        return blob

    def named(self, name: str | None) -> Blob:
        """Give this blob, which has just come, the name it was sent with; returns it."""
        self._name = name
        return self

    @property
    def size(self) -> int | None:
        """Bytes, or `None` while unknown."""
        return self._size

    @property
    def name(self) -> str | None:
        """A label for people, never a path to write to: the sender chose it."""
        return self._name

    @property
    def reusable(self) -> bool:
        """Whether the bytes can be had more than once; not so for an open file or an iterator."""
        return self._reusable

    def chunks(self) -> Iterator[Chunk]:
        """Return the bytes in order, as pieces of 1 to 65,536 bytes.

        Raises `Misuse` when a source that can be read once is read again, and, while reading, whatever the source
        raises; `OSError` when there are more or fewer bytes than `size`.
        """
        if self._opened and not self._reusable:
            raise Misuse("this blob's source can be read once, and has been")
        self._opened = True
        return self._source()

    __iter__ = chunks

    def open(self) -> BinaryIO:
        """Return a readable binary file object over the bytes; close it when done."""
        return io.BufferedReader(_ChunkReader(self.chunks()), CHUNK_BYTES)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bytes to `path`, whole or not at all: beside it first, then moved over it.

        If anything fails, what was at `path` is untouched.
        """
        where = os.fspath(path)
        handle, beside = tempfile.mkstemp(dir=os.path.dirname(where) or ".", prefix=".blob-")
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in self.chunks():
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, where)
        except BaseException:
            os.unlink(beside)
            raise

    def __bytes__(self) -> bytes:
        held = io.BytesIO()
        for chunk in self.chunks():
            held.write(chunk)
        return held.getvalue()

    def __repr__(self) -> str:
        size = "unknown size" if self._size is None else f"{self._size} bytes"
        return f"<Blob {self._name!r}, {size}>" if self._name is not None else f"<Blob, {size}>"


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


def _file_chunks(where: str, size: int) -> Iterator[Chunk]:
    with open(where, "rb") as file:
        yield from _checked(iter(lambda: file.read(CHUNK_BYTES), b""), size)


def _read(readable: Readable) -> bytes:
    chunk = readable.read(CHUNK_BYTES)
    if not isinstance(chunk, (bytes, bytearray, memoryview)):
        raise Misuse(f"Blob.from_file: read() returned a {type(chunk).__name__}; open the file in binary mode")
    return bytes(chunk)


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
