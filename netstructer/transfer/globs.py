"""Patterns of a request, and what they are allowed to bring.  Floor: COMMONS.  Law: a pattern names no place above.

Spec: files.md, "Patterns".  A pattern is names with slashes; `*`, `?` and `[…]` stand for parts of one name, `**` for
any directories.  What it finds arrives under its path from the last directory before the first wildcard: `docs/*.md`
brings `a.md`, `docs` brings `docs` and all in it, `docs/**/*.md` brings `en/a.md`.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from netstructer.errors import UnsafeName
from netstructer.names import check_parts, shown
from netstructer.transfer.manifest import is_partial_name
from netstructer.transfer.places import Tree

__all__ = ["Pattern"]

_WILD = frozenset("*?[")


class Pattern:
    """One pattern, as its names; raises `UnsafeName` for what is none.  `""`, `.` and a slash at the end mean `*`."""

    def __init__(self, text: str) -> None:
        names = text.split("/")
        if names[-1] in ("", "."):
            names[-1] = "*"
        try:
            # What remains without the wildcards must be names: `..`, drives and devices are refused here.
            check_parts([name.replace("*", "x").replace("?", "x") for name in names])
        except UnsafeName as error:
            raise UnsafeName(f"{shown(text)} is no pattern: {error}", name=text) from error
        wild = [index for index, name in enumerate(names) if _WILD & set(name)]
        self.text = text
        self.is_wild = bool(wild)
        self.fixed = min(wild[0] if wild else len(names) - 1, len(names) - 1)
        """How many names stand in front of the part under which things arrive."""
        self.names = tuple(names)

    def allows(self, parts: Sequence[str]) -> bool:
        """Say whether something may arrive under `parts` for this pattern: what it finds, or what is in that."""
        wanted = self.names[self.fixed :]
        return any(_matches(wanted, parts[:count]) for count in range(1, len(parts) + 1))

    def find(self, tree: Tree) -> Iterator[tuple[str, ...]]:
        """Return the paths in a tree that match, sorted, those inside of others included; nothing hidden of ours."""
        # Each step is the names so far and how many names of the pattern they have used.
        waiting: list[tuple[tuple[str, ...], int]] = [((), 0)]
        seen = set(waiting)
        while waiting:
            parts, used = waiting.pop()
            if used == len(self.names):
                yield parts
                continue
            steps = [step for step in self._steps(tree, parts, used) if step not in seen]
            seen.update(steps)
            waiting.extend(reversed(steps))

    def _steps(self, tree: Tree, parts: tuple[str, ...], used: int) -> list[tuple[tuple[str, ...], int]]:
        wanted = self.names[used]
        last = used + 1 == len(self.names)
        if wanted == "**":
            below = [((*parts, name), used) for name in _names(tree, parts, directories=True)]
            here = [((*parts, name), used + 1) for name in _names(tree, parts, directories=False)] if last else []
            return ([] if last else [(parts, used + 1)]) + (here if last else below)
        if is_partial_name(wanted):
            return []
        if _has(tree, parts, wanted, directory=not last):
            return [((*parts, wanted), used + 1)]
        if not _WILD & set(wanted):
            return []
        names = _names(tree, parts, directories=not last)
        return [((*parts, name), used + 1) for name in names if fnmatchcase(name, wanted)]


def _matches(wanted: Sequence[str], parts: Sequence[str]) -> bool:
    """Say whether names match names of a pattern, one by one; `**` matches any number of them, at the end one."""
    reached = {0}  # how many names of the pattern may be used up so far
    for part in parts:
        step = set()
        for used in _past_stars(wanted, reached):
            if used < len(wanted):
                if wanted[used] == "**":
                    step.add(used)
                    if used + 1 == len(wanted):
                        step.add(used + 1)
                elif wanted[used] == part or fnmatchcase(part, wanted[used]):
                    step.add(used + 1)
        reached = step
    return len(wanted) in reached


def _past_stars(wanted: Sequence[str], reached: set[int]) -> set[int]:
    found = set()
    for used in reached:
        found.add(used)
        while used + 1 < len(wanted) and wanted[used] == "**":
            used += 1
            found.add(used)
    return found


def _names(tree: Tree, parts: tuple[str, ...], *, directories: bool) -> list[str]:
    """Return what is in a directory, sorted, or only the directories; nothing where it is none or cannot be read."""
    try:
        directory = tree.at(parts)
        names = sorted(name for name in directory.names() if not is_partial_name(name))
    except OSError:
        return []
    return [name for name in names if not directories or _is_directory(tree, parts, name)]


def _has(tree: Tree, parts: tuple[str, ...], name: str, *, directory: bool) -> bool:
    try:
        status = tree.at(parts).status(name)
    except (OSError, ValueError):
        return False
    return not directory or stat.S_ISDIR(status.st_mode)


def _is_directory(tree: Tree, parts: tuple[str, ...], name: str) -> bool:
    return _has(tree, parts, name, directory=True)
