"""Blob: bytes of any size as a value.  Floor: CODEC.  Law: a blob's bytes are never inside the value's bytes.

A blob knows where its bytes are (origins.py) and hands them out in chunks, or as a file.  In an encoded value it leaves
only a reference: its size, if known, and its name.  The bytes travel on a stream of their own.

A blob that arrives is read while it does; who does not read stops its sender, not the memory.  A small one is kept, so
it can be read again; of a larger one, what was taken out in order is forgotten.  When nobody holds the blob, nor an
iterator or a file over it, the rest is given up.
"""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from netstructer.codec.origins import CHUNK_BYTES, Arrived, Chunk, Memory, OfPath, Once, Origin, Readable, read_some
from netstructer.codec.reading import Arriving
from netstructer.codec.saving import write_whole
from netstructer.errors import Misuse
from netstructer.names import check_name

__all__ = ["Blob"]


class Blob:
    """Bytes of any size, anywhere inside a value: `link.send({"scan": Blob.from_path("scan.tiff")})`.

    `size` is in bytes, or `None` while unknown; `name` is a text of at most 255 characters, or `None`.  Two blobs are
    equal only when they are the same object: comparing contents would mean reading them.

    Reading a blob that arrives waits for its bytes: `timeout` is the longest wait for the next of them, in seconds,
    after which `LinkTimeout` is raised, and reading may go on.  It raises what ended the blob, such as `SourceFailed`,
    where that is not its end.  For bytes that are here, `timeout` and `keep` have no effect.
    """

    __slots__ = ("__weakref__", "_name", "_origin")

    def __init__(self, data: bytes | bytearray | memoryview = b"", *, name: str | None = None) -> None:
        """Hold `data` in memory; it is not copied, so do not change it until the blob has been sent."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise Misuse(
                f"Blob: expected bytes, found a {type(data).__name__}; see Blob.from_path, from_file, from_iter"
            )
        self._set(Memory(data), name)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], *, name: str | None = None) -> Blob:
        """Read the file when the bytes are wanted; size and name are taken now.

        Raises `OSError` now if the file is not there, and `FileChanged` while reading if it no longer has the size that
        it had, or changes meanwhile.
        """
        where = os.fspath(path)
        size = os.stat(where).st_size
        return cls._from(OfPath(where, size), os.path.basename(where) if name is None else name)

    @classmethod
    def from_file(cls, readable: Readable, *, size: int | None = None, name: str | None = None) -> Blob:
        """Read from an open binary file, once, from where it stands to its end; the file is not closed.

        Of a pipe that waits, what it gives is sent as it comes (`from_iter`).
        """
        if not callable(getattr(readable, "read", None)):
            raise Misuse("Blob.from_file: expected an object with read(size)")
        return cls.from_iter(iter(lambda: read_some(readable, CHUNK_BYTES), b""), size=size, name=name)

    @classmethod
    def from_iter(cls, chunks: Iterable[Any], *, size: int | None = None, name: str | None = None) -> Blob:
        """Take the bytes from an iterable of bytes-like chunks of any length, once.

        One that waits between its chunks is sent as it goes: a chunk reaches the peer before the next one is there.
        What comes fast is sent together, and then the last of more than 32 chunks may wait for the next one.
        """
        return cls._from(Once(chunks, size), name)

    @classmethod
    def _of(cls, arriving: Arriving, *, name: str | None = None) -> Blob:
        """Read from a link; when the blob ends, `arriving` is given up."""
        blob = cls._from(Arrived(arriving), name)
        weakref.finalize(blob, arriving.give_up).atexit = False
        return blob

    @classmethod
    def _from(cls, origin: Origin, name: str | None) -> Blob:
        blob = cls.__new__(cls)
        blob._set(origin, name)
        return blob

    def _set(self, origin: Origin, name: str | None) -> None:
        if name is not None and (type(name) is not str or len(name) > 255):
            raise Misuse("Blob: expected a name of at most 255 characters, or None")
        self._origin = origin
        self._name = name

    def named(self, name: str | None, size: int | None = None) -> Blob:
        """Give this blob, which has just come, the name and the size that its value says it has; returns it."""
        self._name = name
        self._origin.expect(size)
        return self

    @property
    def size(self) -> int | None:
        """Bytes, or `None` while unknown."""
        return self._origin.size

    @property
    def name(self) -> str | None:
        """A label for people, never a path to write to: the sender chose it."""
        return self._name

    @property
    def reusable(self) -> bool:
        """Whether the bytes can be taken out in order more than once.

        Not so for an open file, an iterator, and what arrives and is larger than 1 MiB or of unknown size: `open` that.
        """
        return self._origin.reusable

    def chunks(self, *, timeout: float | None = None, keep: bool | None = None) -> Iterator[Chunk]:
        """Return the bytes in order, as pieces of 1 to 262,144 bytes.

        Of what arrives, the first MiB of its payload is kept until more than that was taken out; `keep` says to keep
        all of it, in the spool's room, or nothing.

        Raises `Misuse` when a source that can be read once is read again, and, while reading, whatever the source
        raises; `OSError` when there are more or fewer bytes than `size`.
        """
        return self._origin.chunks(self, timeout, keep)

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks()

    def open(self, *, timeout: float | None = None) -> BinaryIO:
        """Return a readable binary file object over the bytes; close it when done.

        It can be sent back and ahead, except over an open file or an iterator.  Over what arrives, each `open` has a
        position of its own, what it reads is kept, and a read that raises leaves the position where it was.
        """
        return self._origin.open(self, timeout)

    def save(self, path: str | os.PathLike[str], *, timeout: float | None = None) -> Path:
        """Write the bytes to `path`, whole or not at all: beside it first, then moved there; return where they are.

        A file that is there is replaced, and its mode kept; if anything fails, it is untouched.  Where `path` is a
        directory, a *new* file is made in it under the blob's name: raises `Misuse` without one, `UnsafeName` for one
        that is not taken from a peer (names.py), `FileExistsError` where there is one, because the sender chose it.
        """
        where, new = self._destination(path)
        write_whole(where, lambda: self.chunks(timeout=timeout), new=new)
        return where

    def _destination(self, path: str | os.PathLike[str]) -> tuple[Path, bool]:
        """Return the file that `path` stands for, and whether it must be a new one."""
        where = Path(path)
        if not where.is_dir():
            return where, False
        if self._name is None:
            raise Misuse("Blob.save: this blob has no name; give the path of a file, not of a directory")
        return where / check_name(self._name), True

    def __bytes__(self) -> bytes:
        held = io.BytesIO()
        for chunk in self.chunks(keep=True):
            held.write(chunk)
        return held.getvalue()

    def __reduce_ex__(self, protocol: Any) -> Any:
        if isinstance(self._origin, Arrived):
            raise Misuse("a blob that arrives cannot be copied or pickled: it is given up when this object goes away")
        return super().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        size = "unknown size" if self.size is None else f"{self.size} bytes"
        return f"<Blob {self._name!r}, {size}>" if self._name is not None else f"<Blob, {size}>"
