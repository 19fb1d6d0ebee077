"""How much a receiver may take: asked before anything comes, and for each piece of it.  Floor: COMMONS.

Law: no byte is written that was not allowed.  What a sender states is its word; what comes is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from netstructer.transfer.manifest import Entry
from netstructer.transfer.planning import Plan

__all__ = ["Allowance", "bytes_to_come"]


class Allowance(Protocol):
    """What a receiver is allowed.  What either method raises ends the transfer, and is told to the sender by kind."""

    def begin(self, entries: int, size: int) -> object:
        """So many entries are to be taken, and so many bytes of files whose size is known; nothing is written yet."""

    def spend(self, count: int) -> object:
        """So many bytes of a file are to be written now, or left out as zeros."""


def bytes_to_come(entries: Sequence[Entry], planned: Plan) -> int:
    """Return how many bytes of an offer are to be written, as far as their sizes are known: no prefix is."""
    wanted = zip(entries, planned.answer.wants.decode(), strict=True)
    whole = sum(entry.size or 0 for entry, want in wanted if want in "wp")
    return whole - sum(length for length, _ in planned.answer.prefixes.values())
