"""Times as people type them: `7d`, `12h`, `2026-07-25`.  Floor: ROOF."""

from __future__ import annotations

import datetime
import re
import time
from typing import Annotated

import typer

from netstructer.errors import Misuse

__all__ = ["Since", "moment_of"]

Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only what is younger: 30m, 12h or 7d ago, or a date and time as 2026-07-25 or 2026-07-25T09:30.",
        show_default=False,
    ),
]
_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def moment_of(text: str | None) -> float | None:
    """Return seconds since 1970; a date without a zone is of this machine's.  Raises `Misuse`."""
    if text is None:
        return None
    if found := _AGO.fullmatch(text):
        return time.time() - int(found[1]) * _SECONDS[found[2]]
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise Misuse("expected a time as 30m, 12h, 7d, 2026-07-25 or 2026-07-25T09:30") from None
