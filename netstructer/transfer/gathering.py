"""What there is to offer: local paths and trees to entries, and back to open files.  Floor: COMMONS.

Law: nothing is followed out of what was named.  A path that this end's own user names may be a link; inside a tree a
link is a link.  What cannot be offered (by its name, by its kind, by its permissions) is an outcome, and the rest goes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from netstructer.errors import Misuse, UnsafeName
from netstructer.transfer.manifest import Entry, Taken, is_partial_name
from netstructer.transfer.outcome import Outcome
from netstructer.transfer.places import Tree
from netstructer.transfer.source import FileSource

__all__ = ["Gathered", "Path", "Source", "entry_at", "gather", "walk"]


class Readable(Protocol):
    """What a `Source` reads from: `read(n)` that returns bytes, empty at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Source:
    """An open binary file or pipe, read once to its end, and the name under which it is offered."""

    readable: Readable | BinaryIO
    name: str


Path = str | os.PathLike[str] | Source


@dataclass(slots=True)
class Origin:
    """Where the bytes of an entry come from: the name in a tree, and the inode that was seen there."""

    tree: Tree
    parts: tuple[str, ...]
    inode: int


@dataclass(slots=True)
class Gathered:
    """Entries, in the order in which they are offered, each with its origin; and what is left out."""

    entries: list[Entry] = field(default_factory=list)
    origins: list[Origin | Source | None] = field(default_factory=list)
    left: list[Outcome] = field(default_factory=list)
    taken: Taken = field(default_factory=Taken)
    _trees: list[Tree] = field(default_factory=list)
    _by_name: dict[str, int] = field(default_factory=dict)
    _open: Tree | None = None

    def tree(self, path: str) -> Tree:
        """Return the tree at a path; it is closed with this."""
        for tree in self._trees[-1:]:
            if tree.path == os.path.realpath(path):
                return tree
        self._trees.append(Tree(path))
        return self._only(self._trees[-1])

    def take(self, entry: Entry, origin: Origin | Source | None) -> bool:
        """Take an entry, unless its name is not safe; say so."""
        try:
            self.taken.take(entry)
        except UnsafeName as error:
            if self._has_already(entry, origin):
                return False
            if entry.kind == "link" and entry.target is not None and not _name_is_at_fault(entry):
                self.leave(entry.name, "skipped", "link", "a link that points outside of what is sent")
            else:
                self.leave(entry.name, "unsafe", entry.kind, str(error))
            return False
        self.entries.append(entry)
        self.origins.append(origin)
        return True

    def _has_already(self, entry: Entry, origin: Origin | Source | None) -> bool:
        """Say whether this very entry was taken before: two patterns may find one file."""
        for index in range(len(self._by_name), len(self.entries)):
            self._by_name[self.entries[index].name] = index
        index = self._by_name.get(entry.name, -1)
        return index >= 0 and self.entries[index] == entry and self.origins[index] == origin

    def leave(self, name: str, status: Any, kind: Any, reason: str) -> None:
        self.left.append(Outcome(name=name, status=status, kind=kind, reason=reason))

    def open(self, index: int) -> FileSource:
        """Open the file of an entry that is no stream; raises `OSError`."""
        origin, entry = self.origins[index], self.entries[index]
        if not isinstance(origin, Origin) or entry.size is None:
            raise Misuse("expected an entry with a file")
        directory = self._only(origin.tree).at(origin.parts[:-1])
        return FileSource(directory, origin.parts[-1], entry.size, entry.mtime_ns, origin.inode)

    def _only(self, tree: Tree) -> Tree:
        """Hold the descriptors of one tree at a time: many may have been named."""
        if self._open is not None and self._open is not tree:
            self._open.close()
        self._open = tree
        return tree

    def close(self) -> None:
        for tree in self._trees:
            tree.close()

    def __enter__(self) -> Gathered:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def gather(paths: Iterable[Path] | Path) -> Gathered:
    """Return what is at the paths that this end's user has named: each under its own last name, trees whole.

    Raises `OSError` for a path that is not there or cannot be read, and `Misuse` for one without a name of its own, as
    `/` has none; then nothing is held.
    """
    gathered = Gathered()
    try:
        for path in [paths] if isinstance(paths, (str, os.PathLike, Source)) else paths:
            if isinstance(path, Source):
                gathered.take(Entry(name=path.name), path)
            else:
                _gather_path(gathered, os.fspath(path))
        if not gathered.entries and not gathered.left:
            raise Misuse("expected at least one path")
    except BaseException:
        gathered.close()
        raise
    return gathered


def _gather_path(gathered: Gathered, path: str) -> None:
    real = os.path.realpath(path)
    name = os.path.basename(os.path.abspath(path))
    if not name:
        raise Misuse(f"{path!r} has no name of its own to be sent under")
    if os.path.isdir(real):
        tree = gathered.tree(real)
        entry = _entry(name, tree.at(()).own_status())
        if gathered.take(entry, Origin(tree, (), 0)):
            walk(gathered, tree, (), name)
        return
    above, own = os.path.split(real)
    tree = gathered.tree(above)
    entry_at(gathered, tree, (own,), name)


def entry_at(gathered: Gathered, tree: Tree, parts: tuple[str, ...], name: str) -> bool:
    """Take what is at `parts` of a tree as an entry called `name`; say whether it is a directory, to be walked.

    Raises `OSError` where it is not there.
    """
    directory = tree.at(parts[:-1])
    status = directory.status(parts[-1])
    if stat.S_ISDIR(status.st_mode):
        return gathered.take(_entry(name, status), Origin(tree, parts, 0))
    if stat.S_ISREG(status.st_mode):
        gathered.take(_entry(name, status), Origin(tree, parts, status.st_ino))
    elif stat.S_ISLNK(status.st_mode):
        target = directory.target(parts[-1]).replace(os.sep, "/")
        gathered.take(Entry(name=name, kind="link", mtime_ns=status.st_mtime_ns, target=target), None)
    else:
        gathered.leave(name, "skipped", "other", _kind_of_other(status.st_mode))
    return False


def walk(
    gathered: Gathered,
    tree: Tree,
    top: tuple[str, ...],
    name: str,
    spend: Callable[[int], object] = lambda count: None,
) -> None:
    """Take all that is below the directory at `top` of a tree, as entries below `name`.

    The files of a directory come one after the other, then its directories, by name: what is near is read together.
    `spend` is told how many names were looked at, and may raise.
    """
    waiting = [(top, name)]
    while waiting:
        parts, prefix = waiting.pop()
        try:
            names = sorted(tree.at(parts).names())
        except OSError:
            gathered.leave(prefix, "failed", "directory", "the directory cannot be read")
            continue
        spend(len(names) + 1)
        below = []
        for own in names:
            if is_partial_name(own):
                continue
            try:
                if entry_at(gathered, tree, (*parts, own), f"{prefix}/{own}"):
                    below.append(((*parts, own), f"{prefix}/{own}"))
            except OSError:
                gathered.leave(f"{prefix}/{own}", "failed", "other", "it cannot be read")
        waiting.extend(reversed(below))


def _entry(name: str, status: os.stat_result) -> Entry:
    mode = status.st_mode & 0o777 if os.name == "posix" else None
    if stat.S_ISDIR(status.st_mode):
        return Entry(name=name, kind="directory", mtime_ns=status.st_mtime_ns, mode=mode)
    return Entry(name=name, size=status.st_size, mtime_ns=status.st_mtime_ns, mode=mode)


def _name_is_at_fault(entry: Entry) -> bool:
    try:
        Taken().take(Entry(name=entry.name))
    except UnsafeName:
        return True
    return False


def _kind_of_other(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
