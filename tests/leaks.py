"""What a process holds before and after something was done many times, and what a link leaves to the collector."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bench.soak.census import heap_bytes, holdings
from loopback import PATIENCE_SECONDS

WARM = 6
"""Times that something is done before it is counted: pools, caches, late imports."""


SPARE_BLOCKS = 400
"""What counting leaves by itself, and what the log of a test keeps: up to 300, after hundreds of other tests.  A link
that is left has more than a hundred, each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a process holds."""

    descriptors: int
    threads: int
    objects: Counter[str]
    blocks: int
    heap: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        descriptors = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        return cls(
            descriptors=descriptors,
            threads=threading.active_count(),
            objects=holdings(),
            blocks=sys.getallocatedblocks(),
            heap=heap_bytes(),
        )

    def grown(self, before: Held, times: int) -> list[str]:
        """Return what has grown by about one for each of so many times, or by more."""
        bound = max(2, times // 5)
        found = {"descriptors": (self.descriptors - before.descriptors, bound)}
        found["threads"] = (self.threads - before.threads, bound)
        for name, count in self.objects.items():
            found[name] = (count - before.objects[name], bound)
        found["blocks of memory"] = (self.blocks - before.blocks, times + SPARE_BLOCKS)
        found["bytes of the heap"] = (self.heap - before.heap, times * 512 + (64 << 10))
        return [f"{by} {name}" for name, (by, most) in found.items() if by > most]


def grown_by(action: Callable[[], object], times: int) -> list[str]:
    """Do something many times; return what grew with it.  What only ends a little later is waited for."""
    for _ in range(WARM):
        action()
    before = Held.now()
    for _ in range(times):
        action()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := Held.now().grown(before, times)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def left_to_the_collector(action: Callable[[], object], settled: Callable[[], object]) -> list[str]:
    """Do something without the collector; return the objects of ours that only it would find, by their classes.

    `settled()` says when the threads that have a part in it are done.
    """
    action()
    gc.collect()
    flags = gc.get_debug()
    gc.disable()
    try:
        action()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not settled() and time.monotonic() < deadline:
            time.sleep(0.005)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        gc.enable()
    ours = (kind for kind in kinds if kind.startswith("netstructer.") and not kind.startswith("netstructer.testing."))
    return sorted(f"{kinds[kind]} {kind}" for kind in ours)
