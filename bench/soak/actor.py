"""What every process of the soak has: orders, a gate at which its workers rest, and what it says of itself."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from bench.soak.census import holdings
from bench.soak.course import PATIENCE_SECONDS, Tally
from netstructer import Limits, backoff, keeper
from netstructer.codec import room

__all__ = ["HOST", "LIMITS", "Actor", "Gate", "Orders", "fill_executor"]

HOST = "127.0.0.1"
SETTLE_SECONDS = 60.0
"""How long what ends by itself may take: links of killed clients are given up after `Orders.resume_seconds`."""
SAME, SAME_SECONDS = 3, 0.4
EXECUTOR_THREADS = 4
PAUSES_IN_A_WAIT = 4
"""A link that waits less than usual for a transport looks as often meanwhile as it would in two minutes."""
LIMITS = Limits(
    ping_seconds=2.0,
    dead_seconds=6.0,
    hello_seconds=2.0,
    open_seconds=3.0,
    spool_memory_bytes=256 << 10,  # so that blobs which nobody reads at once go to the disk
    credit_bytes=1 << 20,
    rekey_seconds=20.0,
    links_per_user=1000,
    exempt_networks=("127.0.0.1/32",),  # strangers come from its neighbours, and gather penalties
)


@dataclass(kw_only=True)
class Orders:
    """What a process is to do."""

    role: str
    keys: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    """Of the two servers, or of the proxies before them: blocking, asyncio."""
    scratch: str = ""
    seed: int = 0
    workers: int = 4
    """Threads, or tasks, that open links, use them and end them."""
    pause_seconds: float = 0.3
    """Mean pause between two uses, so that the machine has time for others."""
    cut_seconds: float = 1.0
    resume_seconds: float = 30.0
    """How long a link waits for a transport, on a machine that is busy; and a server for a client that was killed:
    every rest has to wait for that."""
    deaths: bool = True
    """Whether processes are killed; then every rest waits until a server has given their links up."""
    trace: int = 0
    """Frames that tracemalloc notes of each block; 0 for none."""
    leak: str = ""
    """At the blocking server: what each link leaves behind, `descriptor`, `thread` or `object`.  For the test that the
    soak finds it."""


class Gate:
    """Where workers wait while the process rests."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self.shut = self.over = False

    def enter(self) -> bool:
        """Begin a course; say whether it may begin now."""
        with self._changed:
            if self.shut or self.over:
                return False
            self._inside += 1
            return True

    def leave(self) -> None:
        """End it."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def rest(self) -> None:
        """Let nobody begin, and wait until all are done.  A course is bounded by its waits."""
        with self._changed:
            self.shut = True
            if not self._changed.wait_for(lambda: not self._inside, 2 * PATIENCE_SECONDS):
                raise TimeoutError("a course did not end")

    def go(self) -> None:
        """Let them go on."""
        with self._changed:
            self.shut = False

    def end(self) -> None:
        """Let nobody begin again."""
        with self._changed:
            self.over = True


class Actor:
    """One process: what it does, and what it says of itself."""

    def __init__(self, orders: Orders) -> None:
        self.orders, self.chance = orders, Random(f"{orders.role} {orders.seed}")
        self.tally, self.gate = Tally(), Gate()
        self.scratch = Path(orders.scratch)
        self.limits = replace(LIMITS, resume_seconds=orders.resume_seconds)
        backoff.LONGEST_PAUSE_SECONDS = orders.resume_seconds / PAUSES_IN_A_WAIT

    def start(self) -> Any:
        """Begin; return what the others have to know."""

    def tick(self) -> None:
        """Do what is done in the main thread, several times a second."""

    def rest(self) -> None:
        """Come to rest: what was opened for a while is ended, what stays is idle."""
        self.gate.rest()

    def settled(self) -> bool:
        """Say whether everything that ends by itself has ended, at rest."""
        return True

    def settle(self) -> None:
        """Wait, at rest, for what ends by itself: until there are as many objects as a moment before, thrice."""
        deadline = time.monotonic() + SETTLE_SECONDS
        seen: list[int] = []
        while time.monotonic() < deadline:
            gc.collect()
            seen.append(sum(holdings().values()))
            if self.settled() and len(seen) >= SAME and len(set(seen[-SAME:])) == 1:
                return
            time.sleep(SAME_SECONDS)
        if not self.settled():
            self.tally.fault(f"at rest there are still {self.now()}")

    def go(self) -> None:
        """Go on."""
        self.gate.go()

    def end(self) -> None:
        """End."""
        self.gate.end()

    def now(self) -> dict[str, float]:
        """Return figures of the package's own."""
        figures: dict[str, float] = {"spooled": room._ledger.claimed, **self.tally.counts}
        current = keeper._keeper
        if current is not None:
            figures |= {"timers": len(current._timers), "heap_tickets": len(current._timers._heap)}
            figures |= {"pumps": len(current._pumps), "watched": len(current._watched)}
        return figures

    def pause(self) -> float:
        """Return the seconds to wait before the next course."""
        return self.chance.expovariate(1 / self.orders.pause_seconds)


async def fill_executor() -> None:
    """Give the loop an executor whose threads are all there: it would start them one by one, over many minutes."""
    loop, together = asyncio.get_running_loop(), threading.Barrier(EXECUTOR_THREADS)
    loop.set_default_executor(ThreadPoolExecutor(EXECUTOR_THREADS))
    await asyncio.gather(*(loop.run_in_executor(None, together.wait) for _ in range(EXECUTOR_THREADS)))
