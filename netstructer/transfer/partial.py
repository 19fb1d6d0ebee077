"""A file that has not fully arrived.  Floor: COMMONS.  Law: it never has the final name, and is never trusted.

Spec: files.md, "Partials".  Its name says for which target and for which offer (size and time) it is, so that the same
offer finds it again after any end, a killed process included, and any other offer finds that it is of no use.  Who
writes one holds a lock on it: of two transfers of the same file to the same place, the second is refused, because each
would write what the other checks.  The system lets go of the lock with the process.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from netstructer.names import fold
from netstructer.transfer.manifest import Entry
from netstructer.transfer.places import Directory
from netstructer.transfer.source import PIECE_BYTES, digest_of, feed

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Compare", "Partial", "make_link", "partial_name", "silently", "stem_of", "sweep"]

MOST_KEPT_NAMES = 999
"""Names tried for a file that shall stand beside one of its name."""
_ZEROS = bytes(PIECE_BYTES)


Compare = Callable[[str, int], Callable[[int], object]]
"""Called with a name and how many bytes are to be read and compared; returns what is told the length of each piece."""


def silently(name: str, total: int) -> Callable[[int], object]:
    """Tell nobody."""
    return lambda count: None


class Partial:
    """What has arrived of one file so far, open for more; `position` is where the next byte goes.

    Whoever has one calls `finish`, `drop` or `keep`, and may call `keep` after each of them.
    """

    def __init__(self, directory: Directory, entry: Entry, *, resume: bool, compare: Compare | None = None) -> None:
        """Open the partial of an entry in its final directory; its bytes count as a prefix, or are dropped.

        Raises `BlockingIOError` where another transfer writes it, and `OSError` as the disk does.
        """
        self.name = partial_name(entry)
        self.mode: int | None = None
        self.handle = _claim(directory, self.name, 0o666 if entry.mode is None else entry.mode)
        try:
            self._settle_mode(entry)
            most = entry.size if resume and entry.size is not None else 0
            found = os.fstat(self.handle).st_size
            self.position = min(found, most)
            if found > self.position:
                os.ftruncate(self.handle, self.position)
            self.digest: _Hash = digest_of(self.handle, self.position, (compare or silently)(entry.name, self.position))
        except BaseException:
            os.close(self.handle)
            raise

    def restart(self) -> None:
        """Drop the prefix: the sender's file begins otherwise."""
        os.ftruncate(self.handle, 0)
        self.position, self.digest = 0, hashlib.sha256()

    def add(self, piece: memoryview | int) -> int:
        """Write a piece, or leave a hole; return how many bytes it is.  Zeros leave a hole too."""
        count = feed(self.digest, piece)
        if not isinstance(piece, int) and not _is_zeros(piece):
            _write(self.handle, piece, self.position)
        self.position += count
        return count

    def finish(self, directory: Directory, entry: Entry, overwrite: str) -> str:
        """Give the file its size, mode, time and final name, in `directory`; return that name.

        `FileExistsError` where one is there and may not be replaced; the partial stays open then, for `drop`.
        """
        os.ftruncate(self.handle, self.position)
        self._check_place(directory)
        with contextlib.suppress(OverflowError):  # a time that this system cannot express
            directory.finish_file(self.handle, self.name, self.mode, entry.mtime_ns)
        if sys.platform == "win32":
            self._close()  # it renames no open file
        name = _settle(directory, self.name, entry.parts[-1], overwrite)
        self._close()
        return name

    def drop(self, directory: Directory) -> None:
        """Remove it."""
        with contextlib.suppress(OSError):
            self._check_place(directory)
            if sys.platform == "win32":
                self._close()
            directory.remove(self.name)
        self._close()

    def keep(self) -> None:
        """Close it, for the same offer to be continued."""
        if self.handle >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self.handle, self.position)  # zeros at the end were left out
            self._close()

    def _close(self) -> None:
        if self.handle >= 0:
            handle, self.handle = self.handle, -1
            os.close(handle)

    def _check_place(self, directory: Directory) -> None:
        """Raise `FileNotFoundError` unless this is the file that `directory` has under our name."""
        seen, held = directory.status(self.name), os.fstat(self.handle)
        if (seen.st_dev, seen.st_ino) != (held.st_dev, held.st_ino):
            raise FileNotFoundError(errno.ENOENT, "another file was put in the place of what has arrived", self.name)

    def _settle_mode(self, entry: Entry) -> None:
        """Find out what mode the file shall have: what was offered, less what the umask took when this was made.

        Only a new file tells the umask of a process with threads; that is why the mode is in the partial's name.
        """
        if entry.mode is not None and hasattr(os, "fchmod"):
            found = stat.S_IMODE(os.fstat(self.handle).st_mode)
            self.mode = found & entry.mode
            if found != self.mode | 0o600:
                os.fchmod(self.handle, self.mode | 0o600)


def partial_name(entry: Entry) -> str:
    """Return what the partial of an entry is called: for its target, and for this offer of it."""
    target = _hash(fold(entry.parts[-1]))
    return f".netstructer-{target}-{_hash(f'{entry.size} {entry.mtime_ns} {entry.mode}')}.part"


def stem_of(partial: str) -> str:
    """Return what the names of all partials of one target begin with."""
    return partial[: -len("0123456789abcdef.part")]


def make_link(directory: Directory, entry: Entry, overwrite: str) -> None:
    """Make a symbolic link under a hidden name, and give it its own: what is there is replaced in one step.

    The link that is there already is left; `FileExistsError` where another thing may not be replaced.
    """
    name, target = entry.parts[-1], entry.target or ""
    with contextlib.suppress(OSError):
        if directory.target(name) == target:
            return
    beside = partial_name(entry)
    with contextlib.suppress(FileNotFoundError):
        directory.remove(beside)
    directory.link(target, beside)
    try:
        _settle(directory, beside, name, overwrite)
    except OSError:
        directory.remove(beside)
        raise


def sweep(directory: Directory, entry: Entry, present: Iterable[str]) -> None:
    """Remove the partials of other offers of the same target, unless somebody is writing them."""
    mine = partial_name(entry)
    for name in present:
        if stem_of(name) == stem_of(mine) and name != mine:
            with contextlib.suppress(OSError):
                handle = directory.open(name, os.O_RDWR)
                try:
                    _lock(handle)
                    if sys.platform != "win32":
                        directory.remove(name)
                finally:
                    os.close(handle)
                if sys.platform == "win32":
                    directory.remove(name)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _claim(directory: Directory, name: str, mode: int) -> int:
    """Return a locked descriptor of the partial called `name`: the one that is there, if it is ours, or a new one."""
    for _ in range(8):
        try:
            handle = directory.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode | 0o600)
        except FileExistsError:
            handle = _open_ours(directory, name)
            if handle < 0:
                continue
        try:
            _lock(handle)
            seen, held = directory.status(name), os.fstat(handle)
        except FileNotFoundError:
            os.close(handle)  # whoever had it has just finished
            continue
        except BaseException:
            os.close(handle)
            raise
        if (seen.st_dev, seen.st_ino) == (held.st_dev, held.st_ino):
            return handle
        os.close(handle)
    raise BlockingIOError(errno.EAGAIN, "another transfer is writing that file", name)


def _open_ours(directory: Directory, name: str) -> int:
    """Return a descriptor of a partial of ours; what else has its name is removed, and -1 returned."""
    try:
        status = directory.status(name)
        ours = status.st_nlink == 1 and (not hasattr(os, "geteuid") or status.st_uid == os.geteuid())
        if ours:
            return directory.open(name, os.O_RDWR)
    except FileNotFoundError:
        return -1
    except OSError:
        pass  # a link, or of somebody else
    directory.remove(name)
    return -1


def _settle(directory: Directory, partial: str, name: str, overwrite: str) -> str:
    """Give the partial its final name, or the one that the policy chooses; return it."""
    if overwrite == "replace":
        directory.replace(partial, name)
        return name
    for final in names_beside(name) if overwrite == "keep" else [name]:
        with contextlib.suppress(FileExistsError):
            directory.add(partial, final)
            return final
    raise FileExistsError(errno.EEXIST, "it is there", name)


def names_beside(name: str) -> Iterable[str]:
    """Return names for a file that shall not replace one: `scan.tiff`, `scan (2).tiff`, `scan (3).tiff`, …"""
    yield name
    stem, dot, suffix = name.rpartition(".")
    stem, suffix = (stem, dot + suffix) if stem.strip(".") else (name, "")
    for number in range(2, MOST_KEPT_NAMES + 1):
        room = 255 - len(f" ({number}){suffix}".encode())
        yield f"{stem.encode()[:room].decode(errors='ignore')} ({number}){suffix}"


def _is_zeros(view: memoryview) -> bool:
    """Say whether a whole piece is zeros; short ones are written: a hole is no smaller than a block."""
    return len(view) >= 4096 and not view[0] and not view[-1] and bytes(view) == _ZEROS[: len(view)]


if hasattr(os, "pwrite"):

    def _write(handle: int, view: memoryview, position: int) -> None:
        while view:
            count = os.pwrite(handle, view, position)
            view, position = view[count:], position + count

else:

    def _write(handle: int, view: memoryview, position: int) -> None:
        os.lseek(handle, position, os.SEEK_SET)
        while view:
            view = view[os.write(handle, view) :]


if sys.platform == "win32":

    def _lock(handle: int) -> None:
        os.lseek(handle, (1 << 62), os.SEEK_SET)  # behind every byte: a lock there keeps nobody from reading
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(errno.EAGAIN, "another transfer is writing that file") from error

else:

    def _lock(handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # a file system without locks: two transfers of one file end with DigestMismatch at worst
