"""Bombs: small inputs that ask for much, through which door they come in, and what taking them costs.

A bomb is thrown on a thread of 256 KiB of stack.  Its time is the processor time of that thread, the best of up to ten
tries until one is short enough: where other processes share a core and its caches, the same work takes up to twice that
time.  Its growth is what Python objects take at their most (`tracemalloc`).  What is
outside of Python's objects is measured in a process of its own: `python tests/bombs.py rss`.

`python tests/bombs.py [SMALL] [DEFAULT] [-v]` prints the table of docs/testing.md.
"""

from __future__ import annotations

import dataclasses
import gc
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

from netstructer import Limits
from small_stack import on_a_small_stack

MIB = 1 << 20
SLACK_BYTES = 2 * MIB
SECONDS = 0.1 if sys.gettrace() is None else 2.0  # coverage makes every line slower

Door = Callable[[Any, Limits], object]


@dataclasses.dataclass(frozen=True)
class Bomb:
    """`make(limits)` gives what `door` is given; `error` is what it raises, None where it is taken.

    `by_size` are those that a budget of bytes or items stops: where it is larger, it admits them, or as much more work
    as it says.  So they are thrown under `Limits.SMALL` alone.  `most_bytes(limits)` is the limit that growth is held
    to, without the slack: for a value what docs/values.md says that one takes in memory.
    """

    name: str
    kind: str
    door: Door
    make: Callable[[Limits], Any]
    error: type[BaseException] | None
    by_size: bool = False
    most_bytes: Callable[[Limits], int] = lambda limits: limits.value_bytes + 64 * limits.value_items
    seconds: float = SECONDS
    slow_to_trace: bool = False
    """Whether tracing memory takes seconds; the suite leaves that to `make long`."""
    fresh: bool = False
    """Whether what is made can be thrown once only."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What throwing a bomb came to."""

    seconds: float
    growth_bytes: int
    error: BaseException | None


def measure(bomb: Bomb, limits: Limits, *, tracing: bool = True, tries: int = 10, best_of_all: bool = False) -> Cost:
    """Throw a bomb up to so many times, until it takes as little as it may, and once more for its growth."""
    best, error = 1e9, None
    thing = None if bomb.fresh else bomb.make(limits)
    for _ in range(tries):
        figure, error = _throw(bomb, bomb.make(limits) if bomb.fresh else thing, limits)
        best = min(best, figure)
        if best < bomb.seconds and not best_of_all:
            break
    return Cost(best, growth_of(bomb, limits) if tracing else 0, error)


def growth_of(bomb: Bomb, limits: Limits) -> int:
    """Throw a bomb once more, and return what Python's objects took at their most."""
    thing = bomb.make(limits)
    gc.collect()
    return int(_throw(bomb, thing, limits, traced=True)[0])


def _throw(bomb: Bomb, thing: Any, limits: Limits, *, traced: bool = False) -> tuple[float, BaseException | None]:
    """Throw once; return processor seconds, or bytes where memory is traced, and what was raised."""

    def run() -> tuple[float, BaseException | None]:
        error: BaseException | None = None
        kept: object = None
        started = time.thread_time()
        try:
            kept = bomb.door(thing, limits)
        except Exception as raised:
            error = raised.with_traceback(None)
        figure = tracemalloc.get_traced_memory()[1] if traced else time.thread_time() - started
        del kept
        return figure, error

    if traced:
        tracemalloc.start()
    try:
        return on_a_small_stack(run)
    finally:
        tracemalloc.stop()


# --- what is outside of Python's objects ------------------------------------------------------------------------------


def resident_growth(bombs: Iterable[Bomb], limits: Limits) -> dict[str, int]:
    """Return by how much this process grew at most while each bomb was thrown: Linux only, in a process of its own."""
    found = {}
    for bomb in bombs:
        thing = bomb.make(limits)
        gc.collect()
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew
        before = _status("VmHWM")
        try:
            bomb.door(thing, limits)
        except Exception:  # what it raises is asked elsewhere
            pass
        found[bomb.name] = _status("VmHWM") - before
    return found


def _status(field: str) -> int:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Print the worst of each kind under both limits as a table."""
    from test_bombs import BOMBS, OUTSIDE

    if sys.argv[1:] == ["rss"]:
        for name, growth in resident_growth(OUTSIDE, Limits.SMALL).items():
            print(f"{growth} {name}")
        return
    worst: dict[tuple[str, str], list[Any]] = {}
    profiles = {"SMALL": Limits.SMALL, "DEFAULT": Limits.DEFAULT}
    profiles = {name: profiles[name] for name in profiles if name in sys.argv} or profiles
    for profile, limits in profiles.items():
        for bomb in BOMBS:
            if bomb.by_size and limits is not Limits.SMALL:
                continue
            cost = measure(bomb, limits, tries=3, best_of_all=True)
            row = worst.setdefault((bomb.kind, profile), [0, 0.0, "", 0, ""])
            row[0] += 1
            row[1:3] = max([row[1], row[2]], [cost.seconds, bomb.name])
            row[3:5] = max([row[3], row[4]], [cost.growth_bytes, bomb.name])
            if "-v" in sys.argv:
                print(f"{profile:8}{bomb.kind:12}{cost.seconds * 1e3:9.1f} ms {cost.growth_bytes / MIB:8.2f} MiB  "
                      f"{bomb.name}: {type(cost.error).__name__}", flush=True)  # fmt: skip
    print("| kind | limits | bombs | worst time | of | worst growth | of |\n|---|---|---|---|---|---|---|")
    for (kind, profile), (count, seconds, slow, growth, large) in sorted(worst.items()):
        print(f"| {kind} | {profile} | {count} | {seconds * 1e3:.0f} ms | {slow} | {growth / MIB:.1f} MiB | {large} |")
    print(f"peak of the whole process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/")[0])
    main()
