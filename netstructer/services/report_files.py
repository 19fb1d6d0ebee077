"""Report files: new ones that overwrite nothing, and ones that are added to.  Floor: SERVICES.

Law: what was in a file is there still, whatever fails.

A new file is written beside its place and given its name when it is whole.  What is added to a file goes to its end in
one write, under a lock, so that threads and processes may add to the same one; where it fails, what was there before is
put back.  Files are for their owner alone (0600).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from netstructer.errors import InvalidReport, StoreBusy
from netstructer.private_files import make_directory, path_beside

__all__ = ["add", "write_new"]

HEAD_BYTES = 256 * 1024
"""Of a report that is read to learn its columns: 256 of 64 characters, each written in 12 bytes, and what is around."""
END_BYTES = 16
"""Of a report that are looked at before something is added: more than closes it in any format."""
LOCK_SECONDS = 10.0
"""How long whoever adds to a report waits for others: each holds it for one write."""
_POLL_SECONDS = 0.01
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def write_new(places: Iterator[str], fill: Callable[[BinaryIO], None]) -> str:
    """Write a file and give it the first of these names that nobody has; return that name.

    The names are all in one directory, which is made where it is missing.  Raises `FileExistsError` where all are
    taken, what `fill` raises, and `OSError`; then nothing is left.
    """
    first = next(places)
    make_directory(first)
    beside = path_beside(first)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with open(descriptor, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(descriptor)
        place: str | None = first
        while place is not None:
            if _gave(beside, place):
                return place
            place = next(places, None)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)
    raise FileExistsError(
        f"{first} is there already, and a report never overwrites: name another file, or append to it"
    )


def add(place: str, compose: Callable[[str, bytes], tuple[int, bytes]]) -> None:
    """Change the end of a file, which is made where it is missing.

    `compose` is given how the file begins and its last bytes, and returns how many of those are to be written anew, and
    with what.  Raises `InvalidReport` for what is no file, `StoreBusy` where others hold it, `OSError`, and what
    `compose` raises; the file is then as it was.
    """
    make_directory(place)
    descriptor = os.open(place, _FLAGS, 0o600)
    with open(descriptor, "r+b", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidReport(f"expected a report to add to, and {place} is no file")
        with _locked(descriptor, place):
            length = os.fstat(descriptor).st_size
            start = file.read(HEAD_BYTES).decode("utf-8", "replace")
            file.seek(max(0, length - END_BYTES))
            end = file.read(END_BYTES)
            changed, content = compose(start, end)
            at, before = length - changed, end[len(end) - changed :]
            try:
                _write(file, at, content)
            except BaseException:
                os.ftruncate(descriptor, at)  # which gives back the room for what stood there
                _write(file, at, before)
                raise


def _gave(beside: str, place: str) -> bool:
    """Give a file its name; say whether nobody had it."""
    try:
        if os.name == "nt":
            os.rename(beside, place)  # refuses to overwrite there
        else:
            os.link(beside, place)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links, where a rename would overwrite.  An empty file takes the name first.
        try:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        os.replace(beside, place)
    return True


def _write(file: BinaryIO, at: int, content: bytes) -> None:
    file.seek(at)
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def _locked(descriptor: int, place: str) -> Iterator[None]:
    deadline = time.monotonic() + LOCK_SECONDS
    while not _lock(descriptor):
        if time.monotonic() > deadline:
            raise StoreBusy(f"others had the report {place} for {LOCK_SECONDS:g} seconds")
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        _unlock(descriptor)


if os.name == "nt":  # pragma: no cover - the other system's half
    _FAR = 1 << 40  # a byte that no report has: a lock there keeps nobody from reading

    def _lock(descriptor: int) -> bool:
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

    def _unlock(descriptor: int) -> None:
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:

    def _lock(descriptor: int) -> bool:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)
