"""Private files: small files that only their owner may read.  Floor: GROUND.  Law: whole or not at all, never in part.

Keys, a server's identity and the servers that a client knows are kept so.  A file is written beside its place under a
name of its own (0600 from its first byte), brought to the disk, and only then given its name: by a hard link where
nothing may be overwritten, by a rename where it may.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

__all__ = [
    "Path",
    "config_directory",
    "locked",
    "make_directory",
    "note",
    "parse_line",
    "path_beside",
    "publish",
    "read",
    "replace",
    "write_new",
]

Path = str | os.PathLike[str]
PIECE_BYTES = 64 * 1024
"""What is read at once of a file that does not say how long it is, as a pipe."""


MOST_CONTAINERS = 16
"""Objects and arrays in one line of such a file: what we write there has one."""
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


def write_new(place: str, content: bytes) -> None:
    """Write a file that was not there, whole or not at all, readable by its owner alone.

    Raises `FileExistsError` rather than overwrite, and `OSError` for the rest that can happen to files.
    """
    beside = path_beside(place)
    try:
        _write(beside, content)
        if os.name == "nt":
            os.rename(beside, place)  # refuses to overwrite there
            return
        try:
            os.link(beside, place)  # refuses to overwrite; rename would not
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: never overwriting is worth more than never half written
            _write(place, content)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)


def path_beside(place: str) -> str:
    """Return a path in the directory of a place that nobody has: where a file is written before it gets its name."""
    directory, name = os.path.split(place)
    return os.path.join(directory, f".{name}.{os.urandom(8).hex()}")


def publish(beside: str, place: str) -> None:
    """Give a file that was written beside its place its name, for good; the other name is its writer's to remove.

    Raises `FileExistsError` rather than overwrite, and `OSError`.
    """
    if os.name == "nt":
        os.rename(beside, place)  # refuses to overwrite there
        return
    try:
        os.link(beside, place)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: its name is free, or was a moment ago
        os.rename(beside, place)
    directory = os.open(os.path.dirname(place) or ".", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def replace(place: str, content: bytes) -> None:
    """Write a file, whole or not at all, readable by its owner alone, in the place of what is there.

    Whoever reads meanwhile reads the old content or the new.  Where the place is a symbolic link, what it leads to is
    replaced.  Raises `OSError`, and then the old content is there still.
    """
    place = os.path.realpath(place)
    beside = path_beside(place)
    try:
        _write(beside, content)
        os.replace(beside, place)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)


def read(place: str, most: int, *, what: str) -> bytes:
    """Return the first `most` bytes of a file.  Raises `OSError`.

    `what` it is begins the warning in the log that names a file which others may read.
    """
    with open(place, "rb") as file:
        about = os.fstat(file.fileno())
        if os.name == "posix" and stat.S_IMODE(about.st_mode) & 0o077:
            note("the %s %s may be read by others: chmod 600 it", what, place)
        # In pieces: to read `most` takes that much memory, however short the file is.  All of it is the first piece.
        return b"".join(_pieces(file, most, about.st_size + PIECE_BYTES))


def parse_line(line: bytes) -> Any:
    """Return what a line of JSON says, its objects as tuples of pairs: a dict would hide a field that is there twice.

    Raises `ValueError` for what is no JSON in UTF-8, and for containers in containers beyond `MOST_CONTAINERS`: the
    reader of the standard library recurses in C, and from Python 3.12 on kills a process whose thread has 256 KiB of
    stack.
    """
    text = line.decode()
    bare = _TEXT.sub("", text)
    if bare.count("[") + bare.count("{") > MOST_CONTAINERS:
        raise ValueError("too many containers")
    return json.loads(text, object_pairs_hook=tuple)


def _pieces(file: BinaryIO, most: int, step: int) -> Iterator[bytes]:
    while most and (piece := file.read(min(most, step))):
        yield piece
        most -= len(piece)


@contextmanager
def locked(place: str) -> Iterator[None]:
    """Hold the lock file beside a file, which waits for whoever holds it, from reading the file to replacing it.

    The lock file stays: to remove it would let two hold two files of that name.  Its directory is made where it is not
    there.  It is let go before it is closed, because a process that another thread forks meanwhile has it open too, and
    would hold it for as long as it lives.  Raises `OSError`.
    """
    make_directory(place)
    descriptor = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor)
        try:
            yield
        finally:
            _unlock(descriptor)
    finally:
        os.close(descriptor)


def make_directory(place: str) -> None:
    """Make the directory that a file goes into, for its owner alone (0700), unless it is there.  Raises `OSError`."""
    os.makedirs(os.path.dirname(place) or os.curdir, mode=0o700, exist_ok=True)


def config_directory(environ: Mapping[str, str]) -> str | None:
    """Return where this user's files of netstructer are, whether it exists or not; None where there is no home."""
    if sys.platform == "win32":
        base = environ.get("APPDATA") or _home(environ, "AppData", "Roaming")
    elif sys.platform == "darwin":
        base = _home(environ, "Library", "Application Support")
    else:
        base = environ.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(base):  # unset, or relative, which the XDG rules say to ignore
            base = _home(environ, ".config")
    return os.path.join(base, "netstructer") if base else None


def note(text: str, *facts: object) -> None:
    """Put a warning into the log of the package."""
    import logging  # Imported late: to import this costs nothing.

    logging.getLogger("netstructer").warning(text, *facts)


def _home(environ: Mapping[str, str], *parts: str) -> str:
    home = environ.get("USERPROFILE" if sys.platform == "win32" else "HOME", "")
    if not home and os.name == "posix":
        import pwd

        with suppress(KeyError):  # a container may run under a number that no user has
            home = pwd.getpwuid(os.getuid()).pw_dir
    return os.path.join(home, *parts) if os.path.isabs(home) else ""


def _write(place: str, content: bytes) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(place)
        raise


if os.name == "nt":  # pragma: no cover - the other system's half

    def _lock(descriptor: int) -> None:
        import msvcrt

        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,unused-ignore]
                return
            except OSError as error:  # it waits ten seconds and then says so
                import errno

                if error.errno != errno.EDEADLK:
                    raise

    def _unlock(descriptor: int) -> None:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:

    def _lock(descriptor: int) -> None:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _unlock(descriptor: int) -> None:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)
