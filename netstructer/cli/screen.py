"""The screen: two consoles, and how sizes, times and values are written on them.  Floor: ROOF.

Law: nothing that a peer sent reaches a terminal unescaped, and no text is read as markup.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.highlighter import ReprHighlighter
from rich.pretty import pretty_repr
from rich.text import Text

from netstructer.services.printing import one_line

__all__ = ["notes_off", "prepare", "pretty", "print_json", "rate", "seconds", "size", "stderr", "stdout"]

PRETTY_ITEMS = 12
"""Items of one container that are shown before the rest is counted."""
PRETTY_TEXT = 200
"""Characters of one text that are shown."""
PRETTY_DEPTH = 6
INT_DIGITS = 20_000
"""Python prints ints of up to 4,300 digits; `Limits.int_bits` lets ones of 19,729 digits arrive."""

stdout = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
"""Results.  Nothing else is printed here, so that it can be piped."""
stderr = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)
"""What goes on: notes, progress, errors."""


def prepare() -> None:
    """Make the process's outputs fit for any text, and send the library's warnings to stderr as one line each."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # not so where somebody replaced them, as test runners do
            reconfigure(errors="backslashreplace")
    sys.set_int_max_str_digits(INT_DIGITS)
    logger = logging.getLogger("netstructer")
    logger.addHandler(_Notes())
    logger.propagate = False


@contextmanager
def notes_off() -> Iterator[None]:
    """Show no warnings as notes for as long as this lasts: something else shows them."""
    logger = logging.getLogger("netstructer")
    notes = [handler for handler in logger.handlers if isinstance(handler, _Notes)]
    for handler in notes:
        logger.removeHandler(handler)
    try:
        yield
    finally:
        for handler in notes:
            logger.addHandler(handler)


class _Notes(logging.Handler):
    """Shows log records of the library as notes, first lines only: never a traceback."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        stderr.print(f"note: {one_line(record.getMessage().partition(chr(10))[0].lstrip('=<> '))}", style="yellow")


def print_json(facts: Any, *, to: TextIO | None = None) -> None:
    """Print facts as one line of JSON, and at once: somebody may wait for the line."""
    stream = to or sys.stdout
    stream.write(json.dumps(facts, ensure_ascii=True) + "\n")
    stream.flush()


def pretty(value: object, *, width: int = 100) -> Text:
    """Return a value as Python would write it, long parts shortened and counted, over several lines where needed."""
    text = pretty_repr(value, max_width=width, max_length=PRETTY_ITEMS, max_string=PRETTY_TEXT, max_depth=PRETTY_DEPTH)
    return ReprHighlighter()(Text("\n".join(one_line(line) for line in text.split("\n"))))


def size(count: float) -> str:
    """Return a number of bytes as people read it: `173 B`, `64.2 KiB`, `1.0 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"


def rate(count: float, duration: float) -> str:
    """Return bytes in seconds as `81.3 MiB/s`."""
    return f"{size(count / duration)}/s" if duration > 0 else "–"


def seconds(duration: float) -> str:
    """Return a time as people read it: `57 µs`, `1.2 ms`, `3.4 s`."""
    if duration < 0.001:
        return f"{duration * 1e6:.0f} µs"
    return f"{duration * 1e3:.1f} ms" if duration < 1 else f"{duration:.1f} s"
