"""What a receiver has of an offer already, before it takes anything.  Floor: COMMONS.  Law: to look changes nothing.

Spec: files.md, "What is there already".  Size and time say where a look is worth its while; only a digest decides.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field

from netstructer.errors import UnsafeName
from netstructer.names import check_parts
from netstructer.transfer.manifest import Entry, is_partial_name
from netstructer.transfer.outcome import Outcome
from netstructer.transfer.partial import Compare, Partial, partial_name, silently, stem_of
from netstructer.transfer.places import Directory, Tree
from netstructer.transfer.source import digest_of
from netstructer.transfer.wording import REFUSALS, Answer, Offer, kind_of

__all__ = ["Plan", "plan"]

MOST_HELD = 64
"""Partials that one transfer continues: each holds a descriptor and a lock from the answer on.  An interrupted transfer
leaves one, because files come one after the other."""


@dataclass(slots=True)
class Plan:
    """The answer to an offer, and what it stands on."""

    answer: Answer
    partials: dict[int, Partial] = field(default_factory=dict)
    """By index of their entry: open, locked, and their prefix hashed."""
    finished: set[int] = field(default_factory=set)
    """Of whose prefix is a finished file, whole."""
    leftovers: dict[int, list[str]] = field(default_factory=dict)
    """Names of partials of the same target that other offers have left."""

    def close(self) -> None:
        for partial in self.partials.values():
            partial.keep()
        self.partials.clear()

    def outcomes(self, offered: Offer) -> list[Outcome]:
        """Return what would become of each file, as far as this end can know it: prefixes are not checked yet."""
        found = []
        for index, (entry, want) in enumerate(zip(offered.entries, self.answer.wants.decode(), strict=True)):
            length = self.answer.prefixes.get(index, (0, b""))[0]
            outcome = Outcome(name=entry.name, status="sent", kind=entry.kind, size=entry.size)
            if want == "x":
                outcome.status, outcome.reason = "refused", REFUSALS[self.answer.reasons[index]]
            elif want == "p":
                outcome.status = "same" if length == entry.size else "resumed"
            if want in "wp":
                outcome.moved = (entry.size or 0) - length
            if entry.kind != "directory" or want == "x":
                found.append(outcome)
        return found


def plan(
    tree: Tree,
    into: tuple[str, ...],
    offered: Offer,
    *,
    resume: bool,
    overwrite: str,
    dry: bool,
    compare: Compare = silently,
) -> Plan:
    """Look at what is there of an offer, and say what is wanted; the plan is to be closed.

    `compare` is called with the name and length of what is read, and returns what is told of each piece of it.
    A dry one opens no partial for writing, but it hashes: that is what tells what would be sent.
    """
    made = Plan(Answer(wants=bytearray(), dry=dry or offered.dry))
    looks = _Looks(tree, made, resume=resume, overwrite=overwrite, compare=compare)
    try:
        for index, entry in enumerate(offered.entries):
            parts = (*into, *entry.parts)
            try:
                if into:
                    check_parts(parts)  # it may have become too long
                made.answer.wants.append(ord(looks.at(index, entry, parts)))
            except (OSError, UnsafeName) as error:
                made.answer.wants.append(ord("x"))
                made.answer.reasons[index] = kind_of(error)
    except BaseException:
        made.close()
        raise
    return made


class _Looks:
    """Looks at entries one after the other."""

    def __init__(self, tree: Tree, made: Plan, *, resume: bool, overwrite: str, compare: Compare) -> None:
        self._tree = tree
        self._made = made
        self._resume = resume
        self._overwrite = overwrite
        self._compare = compare
        self._partials: dict[tuple[str, ...], dict[str, list[str]]] = {}
        self._missing: tuple[str, ...] | None = None

    def at(self, index: int, entry: Entry, parts: tuple[str, ...]) -> str:
        """Return what is wanted of an entry, a letter of `WANTS` but the refusal, which is raised as `OSError`."""
        directory = self._parent(parts[:-1])
        there = _status(directory, parts[-1]) if directory is not None else None
        if entry.kind == "directory":
            if there is not None and not stat.S_ISDIR(there.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "something is in the way of a directory", entry.name)
            return "-"
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a directory is in the way of a file", entry.name)
        if entry.kind == "link":
            if there is not None and self._overwrite == "refuse" and not _is_link_to(directory, entry):
                raise FileExistsError(errno.EEXIST, "something of that name is there", entry.name)
            return "-"
        if directory is None:
            return "w"
        if there is not None and self._is_same(index, entry, directory, there):
            return "p"
        if there is not None and self._overwrite == "refuse":
            raise FileExistsError(errno.EEXIST, "a file of that name is there", entry.name)
        return self._with_partial(index, entry, directory, parts[:-1])

    def _parent(self, parts: tuple[str, ...]) -> Directory | None:
        """Return the directory of an entry, or None where it is still to be made."""
        if parts == self._missing:
            return None
        try:
            return self._tree.at(parts)
        except FileNotFoundError:
            self._missing = parts
            return None

    def _is_same(self, index: int, entry: Entry, directory: Directory, there: os.stat_result) -> bool:
        """Say whether the finished file may be the offered one, and state its digest."""
        if not self._resume or not stat.S_ISREG(there.st_mode):
            return False
        if (there.st_size, there.st_mtime_ns) != (entry.size, entry.mtime_ns):
            return False
        digest = self._digest(directory, entry.parts[-1], there.st_size, entry)
        if digest is None:
            return False
        self._made.answer.prefixes[index] = (there.st_size, digest)
        self._made.finished.add(index)
        return True

    def _with_partial(self, index: int, entry: Entry, directory: Directory, parent: tuple[str, ...]) -> str:
        if parent not in self._partials:
            found = self._partials[parent] = {}
            for name in filter(is_partial_name, directory.names()):
                found.setdefault(stem_of(name), []).append(name)
        mine = partial_name(entry)
        present = self._partials[parent].get(stem_of(mine))
        if present is None:
            return "w"
        self._made.leftovers[index] = present
        if mine not in present or not self._resume or entry.size is None:
            return "w"
        if self._made.answer.dry:
            length = min(directory.status(mine).st_size, entry.size)
            digest = self._digest(directory, mine, length, entry)
        elif len(self._made.partials) < MOST_HELD:
            partial = self._made.partials[index] = Partial(directory, entry, resume=True, compare=self._compare)
            length, digest = partial.position, partial.digest.digest()
        else:
            return "w"
        if not length or digest is None:
            return "w"
        self._made.answer.prefixes[index] = (length, digest)
        return "p"

    def _digest(self, directory: Directory, name: str, length: int, entry: Entry) -> bytes | None:
        """Return the SHA-256 of the first bytes of a file, or None where it cannot be read."""
        if not length:
            return hashlib.sha256().digest()
        try:
            handle = directory.open(name, os.O_RDONLY)
        except OSError:
            return None
        try:
            return digest_of(handle, length, self._compare(entry.name, length)).digest()
        finally:
            os.close(handle)


def _status(directory: Directory, name: str) -> os.stat_result | None:
    try:
        return directory.status(name)
    except FileNotFoundError:
        return None


def _is_link_to(directory: Directory | None, entry: Entry) -> bool:
    try:
        return directory is not None and directory.target(entry.parts[-1]) == entry.target
    except OSError:
        return False
