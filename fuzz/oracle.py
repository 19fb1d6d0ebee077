"""The judge: gives a target one input, and says whether it kept within time and memory.

What a target asserts is its own affair.  Here is what holds for each: an input takes no longer than a second, the time
in which others had the processor not counted; it does not lift the highest memory that the process ever had by more
than 64 MiB; and a million inputs leave nothing behind.  The highest memory is the kernel's own figure, so what is taken
and given back within an input is seen as well; asking for it costs half a microsecond.  What it does not see, an input
that takes 40 MiB of which the process had 30 to spare, a sample under `tracemalloc` sees: one input in 4096 may hold
32 MiB of Python's memory at a time.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

try:
    import resource
except ImportError:  # a system that does not say: there the samples must do
    resource = None  # type: ignore[assignment]

__all__ = ["HANG_SECONDS", "JUMP_BYTES", "SLOW_SECONDS", "Judge", "TooMuch", "peak_bytes"]

SLOW_SECONDS = 1.0
"""No input may take longer.  A slow one gets a second try, because the machine may have been busy; of that is taken off
how long it waited for a processor, where the system says so."""
HANG_SECONDS = 20.0
"""After this time on one input it is written down and the process is ended."""
JUMP_BYTES = 64 << 20
"""By so much one input may lift the highest memory of the process."""
TRACED_BYTES = 32 << 20
"""So much of Python's memory one input may hold at a time."""
GROWTH_BYTES = 64 << 20
"""By so much the memory of the process may grow from its ten-thousandth input on, whatever their number."""
WARM_UP = 10_000
SAMPLE = 4096


class TooMuch(AssertionError):
    """An input took more time or memory than any may."""


class Judge:
    """Runs one target's inputs.  Single owner."""

    def __init__(self, one: Callable[[bytes], None]) -> None:
        self._one = one
        self.count = 0
        self.worst_seconds = 0.0
        self._peak = peak_bytes()
        self._settled = 0

    def __call__(self, data: bytes) -> None:
        """Run one input.  Raises what the target raises, and `TooMuch`."""
        self.count += 1
        if self.count % SAMPLE == 0:
            self._weigh(data)
            return
        took = self._time(data)
        peak = peak_bytes()
        if peak - self._peak > JUMP_BYTES:
            raise TooMuch(f"took {peak - self._peak >> 20} MiB; the limit is {JUMP_BYTES >> 20} MiB")
        self._peak = max(peak, self._peak)
        if took > self.worst_seconds:
            self.worst_seconds = max(self.worst_seconds, self._unhurried(data, took))

    def weigh(self, data: bytes) -> int:
        """Run one input under `tracemalloc`; return the bytes that it held at most.  Raises what a call does."""
        gc.collect()
        running = tracemalloc.is_tracing()
        if not running:
            tracemalloc.start(1)
        try:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            self._one(data)
            _, most = tracemalloc.get_traced_memory()
        finally:
            if not running:
                tracemalloc.stop()
        if most - before > TRACED_BYTES:
            raise TooMuch(f"held {most - before >> 20} MiB; the limit is {TRACED_BYTES >> 20} MiB")
        return most - before

    def _weigh(self, data: bytes) -> None:
        """Look at what an input holds, and at what all of them have left behind."""
        self.weigh(data)
        self._peak = max(peak_bytes(), self._peak)
        if self.count < WARM_UP:
            return
        self._settled = self._settled or resident_bytes()
        grown = resident_bytes() - self._settled
        if grown > GROWTH_BYTES:
            raise TooMuch(f"{self.count} inputs have left {grown >> 20} MiB; the limit is {GROWTH_BYTES >> 20} MiB")

    def _time(self, data: bytes) -> float:
        began = time.perf_counter()
        self._one(data)
        return time.perf_counter() - began

    def _unhurried(self, data: bytes, took: float) -> float:
        if took > SLOW_SECONDS:
            before = waited_seconds()
            again = self._time(data)
            took = min(took, again - (waited_seconds() - before))
            if took > SLOW_SECONDS:
                raise TooMuch(f"took {took:.1f} s, twice; the limit is {SLOW_SECONDS:.0f} s")
        return took


def peak_bytes() -> int:
    """Return the most memory that this process ever had, 0 where the system does not say."""
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT_BYTES


def waited_seconds() -> float:
    """Return how long this thread could have run and had no processor, 0 where the system does not say."""
    with suppress(OSError, IndexError), open("/proc/thread-self/schedstat", "rb") as file:
        return int(file.read().split()[1]) / 1e9
    return 0.0


def resident_bytes() -> int:
    """Return the memory that this process has now, 0 where the system does not say."""
    with suppress(OSError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * PAGE_BYTES
    return 0


PEAK_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024
PAGE_BYTES = 4096 if resource is None else resource.getpagesize()
