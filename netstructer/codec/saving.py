"""Saving: bytes into a file, whole or not at all.  Floor: CODEC.  Law: nothing partial ever has the file's name.

The bytes go into a file beside it, which has a name of its own; only when they are all there, and on the disk, does
that file take the name.  The name is on the disk too before the call returns, where the system does that on request.

Its mode is what `open` would give: for a new file what the umask leaves, for one that is replaced the mode that it had.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["write_whole"]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def write_whole(where: Path, chunks: Callable[[], Iterable[bytes | memoryview]], *, new: bool) -> None:
    """Write what `chunks` returns into the file `where`, in place of one that is there unless it must be `new`.

    Raises `FileExistsError` where it must be and is not, before `chunks` is called if that is known by then; `OSError`;
    and what the chunks raise.  If anything is raised, what was at `where` is untouched.
    """
    if new:
        _check_new(where)
    beside, handle = _make_beside(where)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks():
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if new:
            _move_new(beside, where)
        else:
            os.replace(beside, where)
    except BaseException:
        # Ctrl-C may come when it has its name already.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    _sync(where.parent)


def _make_beside(where: Path) -> tuple[str, int]:
    """Make a file in the directory of `where`; return its path and its handle."""
    beside = str(where.parent / f".blob-{os.urandom(8).hex()}")
    mode = _mode_of(where)
    handle = os.open(beside, _NEW, 0o666 if mode is None else mode)
    if mode is not None:
        # Not every file system has modes; wider than `mode` it is nowhere.
        with contextlib.suppress(OSError):
            os.chmod(beside, mode)
    return beside, handle


def _mode_of(where: Path) -> int | None:
    """Return the permissions of the file that is there, None where there is none."""
    try:
        found = os.lstat(where).st_mode
    except OSError:
        return None
    return found & 0o777 if stat.S_ISREG(found) else None


def _check_new(where: Path) -> None:
    if os.path.lexists(where):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(where))


def _move_new(beside: str, where: Path) -> None:
    """Move a file to a name that nothing has; a link is what refuses a name that has just been taken."""
    try:
        os.link(beside, where)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links.
        _check_new(where)
        os.rename(beside, where)
    else:
        os.unlink(beside)


def _sync(directory: Path) -> None:
    """Have the system write down the new name (Windows cannot be asked to)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
