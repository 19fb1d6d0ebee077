"""What SQLite's errors come to, for every file of SQLite's that is kept here.  Floor: GROUND.

Law: by the code, never by the text.  Four things can be wrong: there is no room, somebody else has the file, it cannot
be opened at all, or it is not what was written, which is everything else.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

__all__ = ["Trouble", "trouble_of"]

Trouble = Literal["no room", "in use", "closed door", "rotten"]

_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_TOOBIG")
_IN_USE = ("SQLITE_BUSY", "SQLITE_LOCKED")
_CLOSED_DOOR = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")


def trouble_of(error: sqlite3.Error | sqlite3.Warning) -> Trouble:
    """Return what an error of SQLite's comes to."""
    name = getattr(error, "sqlite_errorname", "")
    if name in _NO_ROOM:
        return "no room"
    if name.startswith(_IN_USE):
        return "in use"
    return "closed door" if name.startswith(_CLOSED_DOOR) else "rotten"
