"""What a request has looked at of a tree, once for all its patterns.  Floor: COMMONS.  Law: a request has an end.

Spec: files.md, "Patterns".  Ten thousand patterns are one short message, and each may mean a look at every name: so
what was read of a directory is kept, the looks are counted, and nobody looks on for one who has left.
"""

from __future__ import annotations

import stat
from collections.abc import Callable

from netstructer.errors import LimitReached
from netstructer.transfer.manifest import is_partial_name
from netstructer.transfer.places import Tree

__all__ = ["View"]

MOST_LOOKS = 5_000_000
"""Names looked at for one request: some seconds, and five times the entries that a transfer may have."""
LOOKS_BETWEEN = 10_000
"""Looks after which it is asked whether the asker is still there: some hundredths of a second."""
MOST_REMEMBERED = 100_000
"""Names that are kept: 20 MB at most; the directories beyond are read again for each pattern."""


class View:
    """A tree as one request sees it.

    `look` raises where the asker has left; `unreadable` is told the directories that cannot be read, once each.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        look: Callable[[], object] = lambda: None,
        unreadable: Callable[[tuple[str, ...]], object] = lambda parts: None,
    ) -> None:
        self.tree = tree
        self._look = look
        self._unreadable = unreadable
        self._told: set[tuple[str, ...]] = set()
        self._names: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
        self._remembered = self._looks = 0

    def spend(self, count: int) -> None:
        """Count looks; raises `LimitReached` where they are too many, and what `look` raises."""
        before, self._looks = self._looks, self._looks + count
        if self._looks > MOST_LOOKS:
            raise LimitReached(f"more than {MOST_LOOKS} names looked at for one request", limit=MOST_LOOKS)
        if before // LOOKS_BETWEEN != self._looks // LOOKS_BETWEEN:
            self._look()

    def names(self, parts: tuple[str, ...], *, directories: bool = False) -> list[str]:
        """Return what is in a directory, sorted, or only the directories; nothing where it is none or is unreadable."""
        found = self._names.get(parts)
        if found is None:
            found = self._read(parts)
            if self._remembered + len(found[0]) < MOST_REMEMBERED:
                self._remembered += len(found[0]) + 1
                self._names[parts] = found
        self.spend(len(found[0]) + 1)
        return found[1] if directories else found[0]

    def has(self, parts: tuple[str, ...], name: str, *, directory: bool) -> bool:
        """Say whether a directory has a name, which is to be a directory with `directory`."""
        self.spend(1)
        return self._has(parts, name, directory=directory)

    def _has(self, parts: tuple[str, ...], name: str, *, directory: bool) -> bool:
        try:
            status = self.tree.at(parts).status(name)
        except (OSError, ValueError):
            return False
        return not directory or stat.S_ISDIR(status.st_mode)

    def _read(self, parts: tuple[str, ...]) -> tuple[list[str], list[str]]:
        try:
            names = sorted(name for name in self.tree.at(parts).names() if not is_partial_name(name))
        except OSError:
            if parts not in self._told:
                self._told.add(parts)
                self._unreadable(parts)
            return [], []
        return names, [name for name in names if self._has(parts, name, directory=True)]
