"""Pace: how much one link may ask for in a second.  Floor: SERVICES.  Law: who is too fast is told so, and waits alone.

A bucket that holds `burst` and is filled with `per_second`: a burst is served at once, and what goes on beyond it is
refused, with the time after which the next is served.  What was refused costs nothing.
"""

from __future__ import annotations

import threading

from netstructer.errors import TooFast

__all__ = ["Pace"]


class Pace:
    """The bucket of one link.  Thread-safe: a link has many calls under way."""

    __slots__ = ("_at", "_burst", "_held", "_lock", "_per_second")

    def __init__(self, per_second: float, burst: int, now: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._held, self._at = float(burst), now
        self._lock = threading.Lock()

    def take(self, now: float) -> None:
        """Take one.  Raises `TooFast` where there is none."""
        with self._lock:
            self._held = min(self._burst, self._held + max(0.0, now - self._at) * self._per_second)
            self._at = max(self._at, now)
            if self._held < 1.0:
                seconds = (1.0 - self._held) / self._per_second
                raise TooFast(
                    f"expected at most {self._per_second:g} a second, after {self._burst} at once: "
                    f"go on in {seconds:.1f} seconds",
                    limit=self._burst,
                    found=self._burst + 1,
                    seconds=seconds,
                )
            self._held -= 1.0
