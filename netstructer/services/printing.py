"""Printing: text as a line of a file or a terminal may hold it.  Floor: SERVICES.

Law: what comes out is one line, moves no cursor and hides nothing, whoever wrote the text.

A name, an address, the text of an error: much of what is logged and reported was chosen by somebody else.  A newline in
it would begin a line that nobody wrote, an escape sequence would colour, move or clear the reader's terminal, and a
control of direction turns what follows around.  All of these are what Python calls not printable (categories Cc, Cf,
Cs, Co, Cn, Zl, Zp, and Zs but for the space), and are written as Python writes them: `\\n`, `\\x1b`, `\\u202e`.

A backslash stays one backslash, because paths of Windows are to be read: that `\\n` stands for one character or for two
cannot be told from the line.  Where it must be, quotes (`quoted`) and JSON tell (`json_lines`, `format="json"`).
"""

from __future__ import annotations

import datetime

__all__ = ["cut", "moment", "one_line", "quoted"]

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/@_-[]")


def one_line(text: str) -> str:
    """Return `text` with everything escaped that is not printable."""
    if text.isprintable():  # nearly all is
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cut(text: str, most: int) -> str:
    """Return `text`, or where it is longer its first `most - 1` characters and an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def quoted(text: str) -> str:
    """Return `text` as one word: as it is, or in quotes where it could be read as something else."""
    if text and set(text) <= _PLAIN:
        return text
    return '"{}"'.format(one_line(text.replace("\\", "\\\\").replace('"', '\\"')))


def moment(seconds: float, *, places: int = 3) -> str:
    """Return a time of the wall clock in UTC, as in `2026-07-25T09:30:00.125Z`; one that no calendar has, as a number.

    `places` are those of the seconds: 0, 3 or 6.
    """
    try:
        there = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.{places}f}"
    precision = {0: "seconds", 3: "milliseconds", 6: "microseconds"}[places]
    return there.replace(tzinfo=None).isoformat(timespec=precision) + "Z"
