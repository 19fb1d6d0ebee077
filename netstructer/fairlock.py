"""A lock that knows whether others want it.  Floor: FAÇADES.  Law: whoever works for long lets others in between.

Python's own lock lets a thread that releases and acquires in a loop starve the rest: the one that waits is woken, and
finds the lock taken again.  A bulk sender asks `yield_to_others` between two rounds instead.
"""

from __future__ import annotations

import threading
import time
from collections import deque

__all__ = ["FairLock"]

YIELD_SECONDS = 20e-6
"""What a bulk sender leaves to others who want the lock, between two rounds of 256 KiB."""


class FairLock:
    """A lock that knows whether others want it.  Python's own lets a thread that releases and acquires in a loop starve
    them.
    """

    __slots__ = ("_lock", "_wanting")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanting: deque[None] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, as `threading.Lock.acquire` does."""
        if self._lock.acquire(False):
            return True
        if not blocking:
            return False
        self._wanting.append(None)
        try:
            return self._lock.acquire(True, timeout)
        finally:
            self._wanting.pop()

    def release(self) -> None:
        self._lock.release()

    def yield_to_others(self) -> None:
        """Let go for a moment where others wait; hold it again on return."""
        if self._wanting:
            self._lock.release()
            time.sleep(YIELD_SECONDS)
            self._lock.acquire()

    def __enter__(self) -> None:
        if not self._lock.acquire(False):
            self.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
