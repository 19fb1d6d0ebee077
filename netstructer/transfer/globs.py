"""Patterns of a request, and what they are allowed to bring.  Floor: COMMONS.  Law: a pattern names no place above.

Spec: files.md, "Patterns".  A pattern is names with slashes; `*`, `?` and `[…]` stand for parts of one name, `**` for
any directories.  What it finds arrives under its path from the last directory before the first wildcard: `docs/*.md`
brings `a.md`, `docs` brings `docs` and all in it, `docs/**/*.md` brings `en/a.md`.  A name that begins with a dot is
found by none of them, as in a shell: who asks for `*` does not mean to get a `.bashrc`.  The dot is to be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from netstructer.errors import UnsafeName
from netstructer.names import check_parts, shown
from netstructer.transfer.manifest import is_partial_name
from netstructer.transfer.view import View

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

    def find(self, view: View) -> Iterator[tuple[str, ...]]:
        """Return the paths in a tree that match, sorted, those inside of others included; nothing hidden of ours."""
        # Each step is the names so far and how many names of the pattern they have used.
        waiting: list[tuple[tuple[str, ...], int]] = [((), 0)]
        seen = set(waiting)
        while waiting:
            parts, used = waiting.pop()
            if used == len(self.names):
                yield parts
                continue
            steps = [step for step in self._steps(view, parts, used) if step not in seen]
            seen.update(steps)
            waiting.extend(reversed(steps))

    def _steps(self, view: View, parts: tuple[str, ...], used: int) -> list[tuple[tuple[str, ...], int]]:
        wanted = self.names[used]
        last = used + 1 == len(self.names)
        if wanted == "**":
            below = [((*parts, name), used) for name in view.names(parts, directories=True) if not name.startswith(".")]
            here = [((*parts, name), used + 1) for name in view.names(parts) if last and not name.startswith(".")]
            return ([] if last else [(parts, used + 1)]) + (here if last else below)
        if is_partial_name(wanted):
            return []
        if view.has(parts, wanted, directory=not last):
            return [((*parts, wanted), used + 1)]
        if not _WILD & set(wanted):
            return []
        names = view.names(parts, directories=not last)
        return [((*parts, name), used + 1) for name in names if _fits(name, wanted)]


def _matches(wanted: Sequence[str], parts: Sequence[str]) -> bool:
    """Say whether names match names of a pattern, one by one; `**` matches any number of them, at the end one."""
    reached = {0}  # how many names of the pattern may be used up so far
    for part in parts:
        step = set()
        for used in _past_stars(wanted, reached):
            if used < len(wanted):
                if wanted[used] == "**":
                    if part.startswith("."):
                        continue
                    step.add(used)
                    if used + 1 == len(wanted):
                        step.add(used + 1)
                elif wanted[used] == part or _fits(part, wanted[used]):
                    step.add(used + 1)
        reached = step
    return len(wanted) in reached


def _fits(name: str, wanted: str) -> bool:
    return (wanted.startswith(".") or not name.startswith(".")) and fnmatchcase(name, wanted)


def _past_stars(wanted: Sequence[str], reached: set[int]) -> set[int]:
    found = set()
    for used in reached:
        found.add(used)
        while used + 1 < len(wanted) and wanted[used] == "**":
            used += 1
            found.add(used)
    return found
