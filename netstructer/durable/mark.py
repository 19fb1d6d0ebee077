"""The mark: the number and the tag of the last row, beside the file.  Floor: COMMONS.

Law: it is written after the commit, never before.

SQLite's log (`-wal`) is verified up to the first byte that is wrong, and what follows is dropped as a transaction that
was never finished: so a log that was cut off, or rotted, or is missing, silently takes committed rows with it.  The
file's own chain cannot tell: what is left is a sound outbox of an hour ago.  Its next rows would get numbers that the
peer has had, and would be dropped there as had.  So each commit is noted a second time, in 80 bytes of their own: two
places, written by turns, each with its digest.

    place = row u64 ‖ tag 16 ‖ SHA-256 of both, the first 16 bytes

A mark is not forced to the disk.  It survives the death of the process; where the machine dies it may be older than the
file, which says nothing, but never younger, unless the file has lost something.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

__all__ = ["Mark", "Noted"]

_BODY_BYTES = 24
_PLACE_BYTES = 40


class Noted(NamedTuple):
    """A row that was committed, and its tag."""

    row: int
    tag: bytes


class Mark:
    """The mark of one outbox.  Single owner.  Raises `OSError`."""

    __slots__ = ("_file", "_turn", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = None if not os.path.lexists(path) else open(path, "r+b", buffering=0)  # noqa: SIM115 closed below
        self._turn = 0

    @property
    def missing(self) -> bool:
        """Whether there is no such file."""
        return self._file is None

    def read(self) -> Noted | None:
        """Return the last row that was noted, None where neither place verifies."""
        assert self._file is not None
        self._file.seek(0)
        content = self._file.read(2 * _PLACE_BYTES)
        found = [noted for at in (0, _PLACE_BYTES) if (noted := _read(content[at : at + _PLACE_BYTES])) is not None]
        return max(found, default=None)

    def make(self, noted: Noted) -> None:
        """Make the file, and see that it is on the disk."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        self._file = open(descriptor, "r+b", buffering=0)  # noqa: SIM115 closed below
        self.note(noted)
        self.note(noted)
        os.fsync(descriptor)

    def note(self, noted: Noted) -> None:
        """Take down a row that is committed."""
        assert self._file is not None
        self._file.seek(_PLACE_BYTES * self._turn)
        self._file.write(_pack(noted))
        self._turn = 1 - self._turn

    def remove(self) -> None:
        """Take the file away: the outbox was closed, and says so itself."""
        self.close()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _pack(noted: Noted) -> bytes:
    body = noted.row.to_bytes(8, "big") + noted.tag
    return body + sha256(body).digest()[: _PLACE_BYTES - _BODY_BYTES]


def _read(place: bytes) -> Noted | None:
    body = place[:_BODY_BYTES]
    if len(place) != _PLACE_BYTES or sha256(body).digest()[: _PLACE_BYTES - _BODY_BYTES] != place[_BODY_BYTES:]:
        return None
    return Noted(int.from_bytes(body[:8], "big"), body[8:])
