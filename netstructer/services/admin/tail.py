"""The tail of a file of lines, whatever is in it.  Floor: SERVICES.  Law: bounded, and nothing steers a terminal."""

from __future__ import annotations

import os

from netstructer.services.printing import cut, one_line

__all__ = ["tail"]

TAIL_BYTES = 1 << 20
"""What is read of a log at most, from its end: a thousand lines of a kilobyte."""
LINE_CHARACTERS = 2_000
"""Of one line that is shown: what stands in one that is longer is looked up in the file itself."""
_TAB = "\t"


def tail(path: str, lines: int) -> list[str]:
    """Return the last lines of a file, the last one last, each fit for a terminal.  Raises `OSError`."""
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        start = max(0, length - TAIL_BYTES)
        file.seek(start)
        content = file.read(TAIL_BYTES)
    found = content.split(b"\n")
    if start:
        found = found[1:]  # that one begins before what was read
    if found and not found[-1]:
        found.pop()
    return [_shown(line.decode("utf-8", "backslashreplace")) for line in found[-lines:]]


def _shown(line: str) -> str:
    """Return a line; its fields stand between tabs, which are no harm."""
    return cut("  ".join(one_line(field) for field in line.rstrip("\r").split(_TAB)), LINE_CHARACTERS)
