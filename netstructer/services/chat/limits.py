"""What a chat bounds.  Floor: SERVICES.  Law: each figure has a reason."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netstructer.errors import Misuse

__all__ = ["ChatLimits"]

_WHOLE = {
    "text_characters": (1, 100_000),
    "rooms": (1, 100_000),
    "rooms_of_link": (1, 1000),
    "burst": (1, 100_000),
    "history_messages": (1, 10_000_000),
    "presence_links": (0, 1_000_000),
    "waiting": (1, 10_000),
}
_NUMBERS = {"per_second": (0.01, 100_000.0), "history_days": (0.001, 36_500.0), "mute_seconds": (1.0, 1e9)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """The bounds of one chat.  Raises `Misuse` for a figure that cannot be meant."""

    text_characters: int = 2000
    """Of one message: what fills a screen."""
    rooms: int = 256
    """Rooms with somebody in them, and rooms with a history: as many as a list is read of."""
    rooms_of_link: int = 16
    """Rooms that one link is in: more than anybody follows, and 16 links fill a chat."""
    per_second: float = 10.0
    """What one link may ask for in the long run: nobody types as fast, and a program reads as much aloud."""
    burst: int = 40
    """What it may ask for at once: entering, a few rooms with their histories, and a screen of pasted lines."""
    history_messages: int = 5000
    """Kept of one room: a week of a busy one.  All rooms, full of the longest messages, are 10 GB; of usual ones,
    130 MB."""
    history_days: float = 90.0
    """How long they are kept: for as long as people look back, and not for ever."""
    presence_links: int = 200
    """Links above which nobody is told who comes, goes, joins and leaves: nobody would read it, and a crowd that comes
    together would send its square."""
    waiting: int = 32
    """Calls that wait for one room: each holds a thread of the process, of which there are 256."""
    mute_seconds: float = 600.0
    """How long one is muted where the moderator does not say."""

    def __post_init__(self) -> None:
        for name, (low, high) in _WHOLE.items():
            found = getattr(self, name)
            if type(found) is not int or not low <= found <= high:
                raise Misuse(f"ChatLimits.{name}: expected a whole number from {low:,} to {high:,}")
        for name, (least, most) in _NUMBERS.items():
            number = getattr(self, name)
            if type(number) not in (int, float) or not math.isfinite(number) or not least <= number <= most:
                raise Misuse(f"ChatLimits.{name}: expected a number from {least:g} to {most:g}")
