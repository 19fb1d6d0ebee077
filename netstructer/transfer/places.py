"""Directories in which nothing is reached through a symbolic link.  Floor: COMMONS.  Law: no step leads out.

Spec: files.md, "Below one directory".  A path as text is looked up anew in every call, and whoever can write in one of
its directories can put a link there between two calls.  So where the system can (POSIX), a directory is a descriptor,
every name is looked up in one with O_NOFOLLOW, and a path is walked name by name.  Where it cannot (Windows), each
step looks first whether the directory is still where its path says and no reparse point, and a file that was opened is
compared with what was looked at; who can swap a directory of the receiver in between has its rights already.

A `Tree` is a cursor: it holds the descriptors from its top to where it was used last, and no more.  Single owner.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from typing import Any

__all__ = ["Directory", "Tree"]

BY_DESCRIPTOR = {os.open, os.stat, os.mkdir, os.unlink, os.rename, os.link, os.symlink, os.readlink} <= (
    os.supports_dir_fd
) and hasattr(os, "O_NOFOLLOW")
"""Whether this system can look a name up in a descriptor; a test sets it to False to try the other way."""

_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
)
"""No link is followed, and no pipe that was put in a file's place is waited for."""


class Directory:
    """One directory that is held open; names are single components, never looked through if they are links."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def child(self, name: str) -> Directory:
        """Open a directory in this one; `NotADirectoryError` for anything else, a link to one too."""
        if not stat.S_ISDIR(self.status(name).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is no directory", name)
        return Directory(os.open(name, os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=self.handle))

    def status(self, name: str) -> os.stat_result:
        """Return what `name` is, itself; `FileNotFoundError` where there is none."""
        return os.stat(name, dir_fd=self.handle, follow_symlinks=False)

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """Return a descriptor of a regular file; what else is there is refused, as `OSError`."""
        handle = os.open(name, flags | _FLAGS, mode, dir_fd=self.handle)
        return _regular(handle, name)

    def names(self) -> list[str]:
        return os.listdir(self.handle)

    def make(self, name: str, mode: int) -> None:
        os.mkdir(name, mode, dir_fd=self.handle)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self.handle)

    def replace(self, old: str, new: str) -> None:
        """Give `old` the name `new`, in one step; what was there is gone.  A directory is never replaced."""
        os.replace(old, new, src_dir_fd=self.handle, dst_dir_fd=self.handle)

    def add(self, old: str, new: str) -> None:
        """Give `old` the name `new`; `FileExistsError` where there is anything."""
        os.link(old, new, src_dir_fd=self.handle, dst_dir_fd=self.handle, follow_symlinks=False)
        self.remove(old)

    def move(self, old: str, other: Directory, new: str) -> None:
        """Have `old` in another directory, as `new`; `FileExistsError` where there is anything.

        An empty directory that appears there at this moment is replaced.
        """
        if not stat.S_ISDIR(self.status(old).st_mode):
            os.link(old, new, src_dir_fd=self.handle, dst_dir_fd=other.handle, follow_symlinks=False)
            self.remove(old)
            return
        if other.has(new):
            raise FileExistsError(errno.EEXIST, "is there", new)
        os.rename(old, new, src_dir_fd=self.handle, dst_dir_fd=other.handle)

    def has(self, name: str) -> bool:
        """Say whether there is anything of a name."""
        try:
            self.status(name)
        except FileNotFoundError:
            return False
        return True

    def remove_tree(self, name: str) -> None:
        """Remove a directory with all that is in it; a link in it is removed, and never followed."""
        shutil.rmtree(name, dir_fd=self.handle)

    def link(self, target: str, name: str) -> None:
        os.symlink(target, name, dir_fd=self.handle)

    def target(self, name: str) -> str:
        return os.readlink(name, dir_fd=self.handle)

    def finish(self, mode: int | None, mtime_ns: int | None) -> None:
        """Set this directory's own mode and time."""
        if mode is not None:
            os.fchmod(self.handle, mode)
        if mtime_ns is not None:
            os.utime(self.handle, ns=(mtime_ns, mtime_ns))

    def own_status(self) -> os.stat_result:
        return os.fstat(self.handle)

    def finish_file(self, handle: int, name: str, mode: int | None, mtime_ns: int | None) -> None:
        """Set the mode and the time of a file of this directory that is open and called `name`."""
        if mode is not None:
            os.fchmod(handle, mode)
        if mtime_ns is not None:
            os.utime(handle, ns=(mtime_ns, mtime_ns))

    def close(self) -> None:
        os.close(self.handle)


class _NamedDirectory(Directory):
    """A directory where the system cannot look a name up in a descriptor: by its path, which is checked every time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._is = _identity(os.lstat(path))

    def _at(self, name: str) -> str:
        """Return the path of a name here, if this is still the directory that was opened."""
        if os.path.realpath(self.path) != self.path or _identity(os.lstat(self.path)) != self._is:
            raise NotADirectoryError(errno.ENOTDIR, "a directory was moved away, or a link was put in its place", name)
        if name in ("", ".", "..") or os.path.basename(name) != name:
            raise NotADirectoryError(errno.ENOTDIR, "expected one name", name)
        return os.path.join(self.path, name)

    def child(self, name: str) -> Directory:
        path = self._at(name)
        if not stat.S_ISDIR(self.status(name).st_mode) or os.path.realpath(path) != path:
            raise NotADirectoryError(errno.ENOTDIR, "is no directory", name)
        return _NamedDirectory(path)

    def status(self, name: str) -> os.stat_result:
        return os.lstat(self._at(name))

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        path = self._at(name)
        if not flags & os.O_EXCL:
            seen = os.lstat(path)
            if not stat.S_ISREG(seen.st_mode) or os.path.realpath(path) != path:
                raise PermissionError(errno.EACCES, "is no regular file", name)
        handle = _regular(os.open(path, flags | _FLAGS, mode), name)
        if not flags & os.O_EXCL and _identity(os.fstat(handle)) != _identity(seen):
            os.close(handle)
            raise PermissionError(errno.EACCES, "was replaced while it was opened", name)
        return handle

    def names(self) -> list[str]:
        return os.listdir(self.path)

    def make(self, name: str, mode: int) -> None:
        os.mkdir(self._at(name), mode)

    def remove(self, name: str) -> None:
        os.unlink(self._at(name))

    def replace(self, old: str, new: str) -> None:
        os.replace(self._at(old), self._at(new))

    def add(self, old: str, new: str) -> None:
        path = self._at(new)
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "is there", new)
        os.rename(self._at(old), path)  # Windows refuses where there is anything by now

    def move(self, old: str, other: Directory, new: str) -> None:
        if other.has(new) or not isinstance(other, _NamedDirectory):
            raise FileExistsError(errno.EEXIST, "is there", new)
        os.rename(self._at(old), other._at(new))  # Windows refuses where there is anything by now

    def remove_tree(self, name: str) -> None:
        if stat.S_ISLNK(self.status(name).st_mode) or os.path.realpath(self._at(name)) != self._at(name):
            raise NotADirectoryError(errno.ENOTDIR, "is no directory", name)
        shutil.rmtree(self._at(name))

    def link(self, target: str, name: str) -> None:
        os.symlink(target.replace("/", os.sep), self._at(name))

    def target(self, name: str) -> str:
        return os.readlink(self._at(name))

    def finish(self, mode: int | None, mtime_ns: int | None) -> None:
        pass  # Windows opens no directory for this, and what it inherits is what is wanted there

    def own_status(self) -> os.stat_result:
        return os.lstat(self.path)

    def finish_file(self, handle: int, name: str, mode: int | None, mtime_ns: int | None) -> None:
        if mtime_ns is not None:
            os.utime(self._at(name), ns=(mtime_ns, mtime_ns))

    def close(self) -> None:
        pass


class Tree:
    """What is below one directory; `path` itself is this end's own word, and may lead through links.

    `created` says which directories `make` has made, and the mode that each shall have in the end.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(os.fspath(path))
        self.created: dict[tuple[str, ...], int] = {}
        self._names: list[str] = []
        self._held: list[Directory] = []
        self.at(())

    def at(self, parts: Sequence[str]) -> Directory:
        """Return the directory at `parts`; it stays open until the next call.

        `FileNotFoundError` where it is missing, `NotADirectoryError` where a part of the way is none, or a link.
        """
        return self._walk(tuple(parts), make=None)

    def make(self, parts: Sequence[str], mode: int = 0o777) -> Directory:
        """Return the directory at `parts`, made if it is missing: with `mode` less the umask, those above as usual."""
        return self._walk(tuple(parts), make=mode)

    def close(self) -> None:
        while self._held:
            self._held.pop().close()
        self._names.clear()

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _walk(self, parts: tuple[str, ...], make: int | None) -> Directory:
        if not self._held:
            self._held.append(_open_top(self.path))
        common = 0
        while common < min(len(parts), len(self._names)) and parts[common] == self._names[common]:
            common += 1
        while len(self._names) > common:
            self._held.pop().close()
            self._names.pop()
        for depth in range(common, len(parts)):
            self._step(parts, depth, make)
        return self._held[-1]

    def _step(self, parts: tuple[str, ...], depth: int, make: int | None) -> None:
        here, name = self._held[-1], parts[depth]
        made = False
        mode = make if make is not None and depth == len(parts) - 1 else 0o777
        if make is not None:
            try:
                here.make(name, mode | 0o700)  # we must be able to write into it for now
                made = True
            except FileExistsError:
                pass  # it was there, or something is that `child` refuses
        self._held.append(here.child(name))
        self._names.append(name)
        if made:
            allowed = self._held[-1].own_status().st_mode & 0o777
            self.created[parts[: depth + 1]] = allowed & (mode | 0o077)


def _open_top(path: str) -> Directory:
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, "is no directory", path)
    if BY_DESCRIPTOR:
        return Directory(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
    return _NamedDirectory(path)


def _regular(handle: int, name: str) -> int:
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise PermissionError(errno.EACCES, "is no regular file", name)


def _identity(status: Any) -> tuple[int, int]:
    return status.st_dev, status.st_ino
