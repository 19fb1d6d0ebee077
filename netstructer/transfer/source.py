"""Files as they are read to be sent, and checked.  Floor: COMMONS.

Spec: files.md, "Changing files" and "Holes".  Law: what was read is one state of the file, or it is said.

A piece is bytes, or a number: so many zeros for which the file has no block.  Nothing is read for a hole, nothing is
sent for it, and the receiver makes one; only the digest takes its time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from netstructer.transfer.places import Directory

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["FileSource", "digest_of", "feed", "pieces_of"]

PIECE_BYTES = 256 * 1024
"""Read at a time: half a millisecond of a fast disk, and hashed and handed on while it is in the cache."""
HOLE_BYTES = 16 * 1024 * 1024
"""Longest hole told at once: hashing it takes 10 ms, so progress and an interrupt come through."""
_ZEROS = bytes(PIECE_BYTES)

Piece = bytes | int


class FileSource:
    """One open file, with the state that it had when it was offered.  Close it when done."""

    def __init__(self, directory: Directory, name: str, size: int, mtime_ns: int | None, inode: int) -> None:
        self._promised = (size, mtime_ns, inode)
        self.handle = directory.open(name, os.O_RDONLY)

    def unchanged(self) -> bool:
        """Say whether the file is what was offered: size, time and inode.

        A change that leaves all three, within one tick of the file system's clock, cannot be seen; the digest is that
        of the bytes that were read, so both ends have the same in any case.
        """
        now = os.fstat(self.handle)
        return (now.st_size, now.st_mtime_ns, now.st_ino) == self._promised

    def has_more(self) -> bool:
        """Say whether there is a byte behind the size that was offered, as in files of `/proc`, which say 0 of any."""
        return bool(_read(self.handle, 1, self._promised[0]))

    def close(self) -> None:
        os.close(self.handle)

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def pieces_of(handle: int, start: int, end: int) -> Iterator[Piece]:
    """Return the bytes of an open file from `start` to `end`, in pieces; fewer if it ends before.

    Holes are found where the file system tells them; a file of one piece is not asked.
    """
    position = start
    data_until = end if end - start <= PIECE_BYTES else start
    while position < end:
        if position >= data_until:
            hole, data_until = _next_data(handle, position, end)
            while hole:
                count = min(hole, HOLE_BYTES)
                yield count
                position, hole = position + count, hole - count
            continue
        piece = _read(handle, min(PIECE_BYTES, data_until - position), position)
        if not piece:
            return
        yield piece
        position += len(piece)


def feed(digest: _Hash, piece: Piece | memoryview) -> int:
    """Give a piece to a digest; return how many bytes it is."""
    if not isinstance(piece, int):
        digest.update(piece)
        return len(piece)
    rest = piece
    while rest >= PIECE_BYTES:
        digest.update(_ZEROS)
        rest -= PIECE_BYTES
    digest.update(memoryview(_ZEROS)[:rest])
    return piece


def digest_of(handle: int, length: int, tell: Callable[[int], object] = lambda count: None) -> _Hash:
    """Return the SHA-256, still open, of the first `length` bytes of a file; of fewer if it is shorter.

    `tell` is called with the length of each piece: a hundred gigabytes take minutes.
    """
    digest = hashlib.sha256()
    for piece in pieces_of(handle, 0, length):
        tell(feed(digest, piece))
    return digest


def _next_data(handle: int, position: int, end: int) -> tuple[int, int]:
    """Return how many bytes of hole are at `position`, and to where there is data after them."""
    if not hasattr(os, "SEEK_DATA"):
        return 0, end
    try:
        data = min(end, os.lseek(handle, position, os.SEEK_DATA))
        until = os.lseek(handle, data, os.SEEK_HOLE) if data < end else end
    except OSError:
        # Behind the last data, or a file system that cannot tell.  A file that has shrunk is no hole: reading ends it.
        data = end if os.fstat(handle).st_size >= end and _can_tell(handle) else position
        until = end
    return data - position, max(data, min(until, end))


def _can_tell(handle: int) -> bool:
    """Say whether the file system tells holes: the end of any file is one."""
    try:
        os.lseek(handle, 0, os.SEEK_HOLE)
    except OSError:
        return False
    return True


if hasattr(os, "pread"):

    def _read(handle: int, count: int, position: int) -> bytes:
        return os.pread(handle, count, position)

else:

    def _read(handle: int, count: int, position: int) -> bytes:
        os.lseek(handle, position, os.SEEK_SET)
        return os.read(handle, count)
