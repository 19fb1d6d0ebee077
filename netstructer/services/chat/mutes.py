"""Mutes: from whom a moderator has taken the word, and until when.  Floor: SERVICES.

Law: a mute is of a name, and stays when its link goes.  Somebody who has named himself can come back under another
name: what keeps him out is a ban of the server's.
"""

from __future__ import annotations

import threading

from netstructer.errors import LimitReached, Muted

__all__ = ["Mutes"]

MOST_MUTES = 4096
"""Names that are muted at once: four for each of a thousand links."""


class Mutes:
    """Who is muted, by the one spelling of names and the monotonic clock.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def add(self, folded: str, seconds: float, now: float) -> None:
        """Mute a name; one that is muted already is from now on for this long.  Raises `LimitReached`."""
        with self._lock:
            if folded not in self._until and len(self._until) >= MOST_MUTES:
                self._until = {name: until for name, until in self._until.items() if until > now}
                if len(self._until) >= MOST_MUTES:
                    raise LimitReached(
                        f"expected at most {MOST_MUTES} names that are muted, found as many",
                        limit=MOST_MUTES,
                        found=MOST_MUTES + 1,
                    )
            self._until[folded] = now + seconds

    def remove(self, folded: str, now: float) -> bool:
        """Give a name its word back; say whether it was muted."""
        with self._lock:
            return self._until.pop(folded, now) > now

    def check(self, folded: str, now: float) -> None:
        """Raise `Muted` for a name that is."""
        with self._lock:
            seconds = self._until.get(folded, now) - now
        if seconds > 0:
            raise Muted(f"a moderator has taken the word from you, for {seconds:,.0f} seconds more", seconds=seconds)

    def seconds_left(self, folded: str, now: float) -> float:
        """Return for how long a name is muted, 0 where it is not."""
        with self._lock:
            return max(0.0, self._until.get(folded, now) - now)
