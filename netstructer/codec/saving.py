"""Saving: bytes into a file, whole or not at all.  Floor: CODEC.  Law: nothing partial ever has the file's name.

The bytes go into a file beside it, which has a name of its own; only when they are all there, and on the disk, does
that file take the name.  The name is on the disk too before the call returns, where the system does that on request.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(where: Path, chunks: Callable[[], Iterable[bytes | memoryview]], *, new: bool) -> None:
    """Write what `chunks` returns into the file `where`, in place of one that is there unless it must be `new`.

    Raises `FileExistsError` where it must be and is not, before `chunks` is called if that is known by then; `OSError`;
    and what the chunks raise.  If anything is raised, what was at `where` is untouched.
    """
    if new:
        _check_new(where)
    handle, beside = tempfile.mkstemp(dir=where.parent, prefix=".blob-")
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
        os.unlink(beside)
        raise
    _sync(where.parent)


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
