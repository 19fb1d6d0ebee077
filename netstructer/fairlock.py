"""A lock that knows whether others want it.  Floor: FAÇADES.  Law: whoever works for long lets others in between.

Python's own lock lets a thread that releases and acquires in a loop starve the rest: the one that waits is woken, and
finds the lock taken again.  A bulk sender asks `yield_to_others` between two rounds instead.

    with fair.in_turn():
        ...

It is Python's own lock that the `with` takes, not this object.  Between a lock's own taking and the block there is no
moment at which Ctrl-C could come; in an `__enter__` written in Python there are several, and a lock that was taken and
then forgotten there hangs the `close` that follows.
"""

from __future__ import annotations

import threading
import time

__all__ = ["FairLock"]

YIELD_SECONDS = 20e-6
"""What a bulk sender leaves to others who want the lock, between two rounds of 256 KiB."""


class FairLock:
    """A lock, and the line of those who want it."""

    __slots__ = ("_again", "_wanting", "plain")

    def __init__(self) -> None:
        self._wanting: list[None] = []
        """As many as there are in the line: whose append and pop no other thread comes between."""
        self._again = False
        """Whether somebody had his turn, and is about to take the lock."""
        self.renew()

    def renew(self) -> None:
        """Begin anew, free: in a forked child, where whoever held it is not."""
        self.plain = threading.Lock()
        """Python's own lock."""
        self._wanting.clear()

    def in_turn(self) -> threading.Lock:
        """Wait in line where the lock is held, and return it, to be taken by `with`."""
        plain = self.plain
        if plain.locked():
            self._wanting.append(None)
            try:
                with plain:
                    pass
            finally:
                self._again = True
                self._wanting.pop()
        return plain

    def acquire(self, blocking: bool = True) -> bool:
        """Take the lock again after it was let go, waiting in line; for those who hold it by `with` further out."""
        if self.plain.acquire(False):
            return True
        if not blocking:
            return False
        self._wanting.append(None)
        try:
            return self.plain.acquire()
        finally:
            self._wanting.pop()

    def release(self) -> None:
        """Let the lock go, inside the `with` that took it."""
        self.plain.release()

    def yield_to_others(self) -> None:
        """Let go for a moment where others wait; hold it again on return."""
        if self._wanting or self._again:
            self._again = False
            try:
                self.plain.release()
                time.sleep(YIELD_SECONDS)
            finally:
                self.plain.acquire()
