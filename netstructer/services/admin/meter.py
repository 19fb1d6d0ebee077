"""The meter: how much a server moves, and what its process costs.  Floor: SERVICES.  Law: it only reads.

Links count for themselves; what those had moved that have ended is told by the server's observers.  A sample every few
seconds gives a rate over the last minute, the same for everybody who asks.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

__all__ = ["Meter", "Moved", "descriptors"]

SAMPLE_SECONDS = 5.0
"""Between two samples: often enough that a rate moves while somebody looks."""
RATE_SECONDS = 60.0
"""Over how long a rate is taken: a minute has a few of whatever comes in bursts."""


class Moved(NamedTuple):
    """Bytes on the wire since the server started."""

    sent: int
    received: int


class _Sample(NamedTuple):
    at: float
    moved: Moved
    cpu_seconds: float


class Meter:
    """Samples of one server.  Thread-safe."""

    def __init__(self, clock: Callable[[], float], cpu: Callable[[], float] = time.process_time) -> None:
        self._clock, self._cpu = clock, cpu
        self._lock = threading.Lock()
        self._ended = Moved(0, 0)
        self._samples: deque[_Sample] = deque(maxlen=int(RATE_SECONDS / SAMPLE_SECONDS) + 1)

    def ended(self, sent: int, received: int) -> None:
        """Take in what a link had moved that is over."""
        with self._lock:
            self._ended = Moved(self._ended.sent + sent, self._ended.received + received)

    def moved(self, links: Iterable[Any]) -> Moved:
        """Return what was moved in all, the links that are open included."""
        stats = [link.stats for link in links]
        with self._lock:
            return Moved(
                self._ended.sent + sum(found.wire_sent for found in stats),
                self._ended.received + sum(found.wire_received for found in stats),
            )

    def sample(self, links: Iterable[Any]) -> bool:
        """Take a sample, unless the last one is of just now; say whether it was taken."""
        now = self._clock()
        with self._lock:
            if self._samples and now - self._samples[-1].at < SAMPLE_SECONDS:
                return False
        taken = _Sample(now, self.moved(links), self._cpu())
        with self._lock:
            self._samples.append(taken)
        return True

    def rates(self, links: Iterable[Any]) -> dict[str, float]:
        """Return bytes in a second each way, and how much of one processor, over the last minute or since the start."""
        now, moved, cpu_seconds = self._clock(), self.moved(links), self._cpu()
        with self._lock:
            before = self._samples[0] if self._samples else _Sample(now, moved, cpu_seconds)
        passed = now - before.at
        if passed <= 0:
            return {"sent_bytes_per_second": 0.0, "received_bytes_per_second": 0.0, "cpu_percent": 0.0}
        # A link that has ended and of which the observers were not told yet is in neither sum.
        return {
            "sent_bytes_per_second": round(max(0, moved.sent - before.moved.sent) / passed, 1),
            "received_bytes_per_second": round(max(0, moved.received - before.moved.received) / passed, 1),
            "cpu_percent": round(100 * (cpu_seconds - before.cpu_seconds) / passed, 1),
        }


def descriptors() -> int | None:
    """Return how many descriptors this process has open; None where the system does not tell."""
    for place in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(os.listdir(place)) - 1  # the one that looks is there as well
    return None
