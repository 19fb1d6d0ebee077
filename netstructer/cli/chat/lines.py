"""Lines: what comes from a chat -> what is shown.  Floor: ROOF.  Law: one line each, and nobody forges another's.

A text is shown behind the room and the name of who said it, in one line, with everything escaped that steers a
terminal.  A name that could be read as something else, with a colon or brackets in it, stands in quotes.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from netstructer.services.chat import shown
from netstructer.services.notices import Notice

__all__ = ["Line", "line_of", "line_of_notice", "named", "with_time"]

_OF_NAMES = frozenset(" ._-'@+")
"""What names have in them beside letters and digits, and cannot be read as anything else."""


class Line(NamedTuple):
    """A line, and what it is: a message (said, told, past, own), a notice, a warning, or an answer to a command."""

    text: str
    kind: str = "said"


def named(name: str) -> str:
    """Return a name as it stands in a line."""
    plain = all(character.isalnum() or character in _OF_NAMES for character in name)
    return shown(name) if plain and name else '"{}"'.format(shown(name).replace("\\", "\\\\").replace('"', '\\"'))


def line_of(value: dict[str, Any]) -> Line:
    """Return the line for a pushed value, which `read_pushed` has let through."""
    told = {name: named(fact) if name in ("name", "before", "room") else fact for name, fact in value.items()}
    match value["chat"]:
        case "said":
            return Line(f"[{told['room']}] {told['name']}: {shown(value['text'])}")
        case "told":
            return Line(f"{told['name']} to you alone: {shown(value['text'])}", "told")
        case "announced":
            return Line(f"[ ANNOUNCEMENT ] {shown(value['text'])}", "warning")
        case "connected" | "disconnected" as what:
            return Line(f"[ {what.upper()} ] {told['name']}", "notice")
        case "renamed":
            return Line(f"[ RENAMED ] {told['before']} is {told['name']} now", "notice")
        case "joined" | "left" as what:
            return Line(f"[ {what.upper()} ] {told['name']}: {told['room']}", "notice")
        case "kicked":
            return Line(f"[ PUT OUT ] {told['name']}: {told['room']}", "warning")
        case "erased":
            what = f"message {value['n']}" if value["n"] else "all that was said before"
            return Line(f"[ ERASED ] {told['room']}: {what}", "warning")
        case "muted":
            return Line(f"[ MUTED ] a moderator has taken the word from you, {value['seconds']:,.0f} s", "warning")
    return Line("[ NO LONGER MUTED ] you have the word again", "warning")


def line_of_notice(notice: Notice) -> Line:
    """Return the line for what the server, or who administers it, tells its clients."""
    sender = f" {named(notice.sender)}:" if notice.sender else ""
    return Line(f"[ {notice.kind.upper()} ]{sender} {shown(notice.text)}", "warning")


def with_time(value: dict[str, Any], line: Line, now: float) -> Line:
    """Return a line with the time of its value before it, by the clock here; with the day, where that is another."""
    at = value.get("at", now)
    try:
        there, here = time.localtime(at), time.localtime(now)
        moment = time.strftime("%H:%M" if there[:3] == here[:3] else "%Y-%m-%d %H:%M", there)
    except (OverflowError, OSError, ValueError):  # no calendar has that moment: a server may send any number
        moment = "--:--"
    return Line(f"{moment} {line.text}", line.kind)
