"""A clock that stands until it is told to go on.  Floor: FAÇADES.  Law: no real time ever enters it."""

from __future__ import annotations

from netstructer.errors import Misuse

__all__ = ["FakeClock"]


class FakeClock:
    """Monotonic seconds and the time of day, both by hand.

    `clock()` and `clock.monotonic()` give seconds that only ever rise; `clock.wall()` gives seconds since 1970.
    `advance` moves both, `jump` moves the time of day alone, as a user does who sets it, or a daemon after a sleep.
    """

    def __init__(self, *, monotonic: float = 0.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic, self._wall = monotonic, wall

    def monotonic(self) -> float:
        """Return seconds since some moment in the past."""
        return self._monotonic

    __call__ = monotonic

    def wall(self) -> float:
        """Return seconds since 1970, as the host believes."""
        return self._wall

    def advance(self, seconds: float) -> float:
        """Let time pass; return the monotonic time then.  Raises `Misuse` for negative seconds."""
        if not seconds >= 0:
            raise Misuse("time does not go back; jump() sets the time of day")
        self._monotonic += seconds
        self._wall += seconds
        return self._monotonic

    def jump(self, seconds: float) -> None:
        """Set the time of day forward, or back with negative seconds; the monotonic time stays."""
        self._wall += seconds

    def __repr__(self) -> str:
        return f"<FakeClock at {self._monotonic:.3f} s, wall {self._wall:.3f} s>"
