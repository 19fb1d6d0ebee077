"""Anchors: heads of an audit that are noted somewhere else.  Floor: SERVICES.  Law: an anchor never holds up an audit.

    2026-07-25T09:30:00Z 1200:5f0c…

Where the end of an audit was cut off, or all of it was put back, only somebody who saw a later row can tell.  An anchor
file is lines of a time and a head, added to and never changed; it is worth as much as the place where it is: another
machine, a disk that is written once, a mailbox.  What is called for each anchor (`Anchor`) may send it there.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from netstructer import private_files
from netstructer.errors import Misuse
from netstructer.services.audit_chain import Head
from netstructer.services.printing import moment

__all__ = ["Anchor", "anchor_file", "anchors_of"]

Anchor = Callable[[Head], object]
"""What is told of a head; it should be quick, because rows wait for it."""
MOST_ANCHORS = 1_000_000
"""Of one file: those of 100 million rows, 200 MB in memory."""
LINE_BYTES = 256
"""Of one anchor: a time, a number and a tag have 110."""


def anchor_file(path: private_files.Path, wall: Callable[[], float]) -> Anchor:
    """Return what adds each head to a file, for its owner alone (0600), and sees that it is on the disk."""
    place = os.path.abspath(os.fspath(path))

    def note(head: Head) -> None:
        descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            os.write(descriptor, f"{moment(wall(), places=0)} {head}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    return note


def anchors_of(given: Head | str | private_files.Path) -> list[Head]:
    """Return the anchors that are given: one as a `Head` or as text, or all in a file.

    Raises `Misuse` for a file with another kind of line in it, `OSError`.
    """
    if isinstance(given, Head):
        return [given]
    if isinstance(given, str) and not os.path.lexists(given):
        try:
            return [Head.parse(given)]
        except Misuse:
            if ":" in given:
                raise
    place = os.fspath(given)
    found: list[Head] = []
    with open(place, "rb") as file:  # or a pipe, of which nobody knows how long it is
        while line := file.readline(LINE_BYTES):
            found.append(_parse(line, place, len(found) + 1))
            if len(found) > MOST_ANCHORS:
                raise Misuse(f"{place} has more than {MOST_ANCHORS} anchors")
    return found


def _parse(line: bytes, place: str, number: int) -> Head:
    try:
        return Head.parse(line.split()[-1].decode("ascii", "replace"))
    except (Misuse, IndexError):
        raise Misuse(f"{place}, line {number}: expected a time and a head as ROW:TAG") from None
