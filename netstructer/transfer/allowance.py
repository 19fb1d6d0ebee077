"""How much a receiver may take: asked before anything comes, and for each piece of it.  Floor: COMMONS.

Law: no byte is written that was not allowed.  What a sender states is its word; what comes is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from netstructer.transfer.manifest import Entry
from netstructer.transfer.planning import Plan

__all__ = ["Allowance", "bytes_to_come", "things_to_come"]


class Allowance(Protocol):
    """What a receiver is allowed.  What either method raises ends the transfer, and is told to the sender by kind."""

    def begin(self, entries: int, size: int) -> object:
        """So many files, directories and links may be made, and so many bytes written of files whose size is known.

        Nothing is written yet.
        """

    def spend(self, count: int) -> object:
        """So many bytes of a file are to be written now, or left out as zeros."""


def bytes_to_come(entries: Sequence[Entry], planned: Plan) -> int:
    """Return how many bytes of an offer are to be written, as far as their sizes are known: no prefix is."""
    wanted = zip(entries, planned.answer.wants.decode(), strict=True)
    whole = sum(entry.size or 0 for entry, want in wanted if want in "wp")
    return whole - sum(length for length, _ in planned.answer.prefixes.values())


def things_to_come(entries: Sequence[Entry], planned: Plan) -> int:
    """Return how many files, directories and links an offer would make where nothing is; those above them count too."""
    directories: set[str] = set()
    others = 0
    for index, (entry, want) in enumerate(zip(entries, planned.answer.wants.decode(), strict=True)):
        if want == "x" or index in planned.finished:
            continue
        if entry.kind != "directory":
            others += 1
        name = entry.name if entry.kind == "directory" else entry.name.rpartition("/")[0]
        while name and name not in directories:
            directories.add(name)
            name = name.rpartition("/")[0]
    return others + len(directories)
