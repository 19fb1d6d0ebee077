"""A clock that stands until it is told to go on.  Floor: FAÇADES.  Law: no real time ever enters it."""

from __future__ import annotations

from collections.abc import Callable

from netstructer.errors import Misuse

__all__ = ["FakeClock"]


class FakeClock:
    """Monotonic seconds and the time of day, both by hand.

    `clock()` and `clock.monotonic()` give seconds that only ever rise; `clock.wall()` gives seconds since 1970.
    `advance` moves both, `jump` moves the time of day alone, as a user does who sets it, or a daemon after a sleep.

    `wire_pair` and `session_pair` read it, and so does any code that takes its clock as an argument.  Code that asks
    the module `time` is given the clock in its place: it has `time`, `monotonic`, `perf_counter`, their `_ns`, and
    `sleep`, which lets the time pass and returns at once.

        monkeypatch.setattr(my_module, "time", clock)

    `Link` and `Server` read the system's own clock, whatever there is: their sockets and threads live by it.
    """

    def __init__(self, *, monotonic: float = 0.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic, self._wall = monotonic, wall
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    def monotonic(self) -> float:
        """Return seconds since some moment in the past."""
        return self._monotonic

    __call__ = perf_counter = monotonic

    def wall(self) -> float:
        """Return seconds since 1970, as the host believes."""
        return self._wall

    time = wall

    def monotonic_ns(self) -> int:
        """Return nanoseconds since some moment in the past."""
        return round(self._monotonic * 1e9)

    perf_counter_ns = monotonic_ns

    def time_ns(self) -> int:
        """Return nanoseconds since 1970, as the host believes."""
        return round(self._wall * 1e9)

    def advance(self, seconds: float) -> float:
        """Let time pass, and make the calls of `call_at` that fall due, each at its time; return the monotonic time
        then.  Raises `Misuse` for negative seconds.
        """
        if not seconds >= 0:
            raise Misuse("time does not go back; jump() sets the time of day")
        end = self._monotonic + seconds
        while self._calls and min(self._calls)[0] <= end:
            first = min(self._calls)
            self._calls.remove(first)
            self._go_to(max(first[0], self._monotonic))
            first[2]()
        self._go_to(max(end, self._monotonic))
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Let time pass: `advance`, under the name that the module `time` has for it."""
        self.advance(seconds)

    def call_at(self, when: float, call: Callable[[], object]) -> None:
        """Have something called when the monotonic time is there, in the thread that lets it pass."""
        self._count += 1
        self._calls.append((when, self._count, call))

    def jump(self, seconds: float) -> None:
        """Set the time of day forward, or back with negative seconds; the monotonic time stays."""
        self._wall += seconds

    def _go_to(self, moment: float) -> None:
        self._wall += moment - self._monotonic
        self._monotonic = moment

    def __repr__(self) -> str:
        return f"<FakeClock at {self._monotonic:.3f} s, wall {self._wall:.3f} s>"
