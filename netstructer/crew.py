"""The crew: threads that do what a link's peer asks for.  Floor: FAÇADES.  Law: a job is done once, by whoever is free.

One crew for all links of a process.  A thread is started when a job waits and nobody is free, up to `MOST_HANDS`; one
that has had nothing to do for `IDLE_SECONDS` ends.  They are daemons: a process that ends does not wait for a job that
does not.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable

__all__ = ["Crew", "crew"]

logger = logging.getLogger("netstructer")

MOST_HANDS = 256
"""Threads of a process that run actions: eight links with as many calls under way as each may have, and 8 MiB of stack
each, of which the system gives what is used."""
IDLE_SECONDS = 10.0
"""How long a thread waits for a job before it ends."""


class Crew:
    """A pool of threads.  Thread-safe; `hand` waits for nothing."""

    def __init__(self, most: int = MOST_HANDS, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self.most = most
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition(threading.Lock())
        self._jobs: deque[Callable[[], object]] = deque()
        self._free = 0
        self._hands = 0
        self._short = False
        """Whether the last thread that was wanted could not be had."""
        self.left = False
        """Whether this is a forked child, and the crew the parent's."""

    @property
    def scarce(self) -> bool:
        """Whether more than half of the threads that there may be are there: then nobody should wait inside a job."""
        return self._hands > self.most // 2

    def hand(self, job: Callable[[], object]) -> bool:
        """Have a job done, by whoever is free next where no further thread can be had; False where there is none at
        all, and nothing is done.
        """
        with self._changed:
            self._jobs.append(job)
            if self._free >= len(self._jobs):
                self._changed.notify()
                return True
            if self._hands >= self.most:
                return True
            self._hands += 1
        try:
            threading.Thread(target=self._work, name="netstructer-action", daemon=True).start()
        except RuntimeError:
            return self._without_a_thread(job)
        self._short = False
        return True

    def _without_a_thread(self, job: Callable[[], object]) -> bool:
        if not self._short:
            self._short = True  # What peers call is told once, until there are threads again.
            logger.error("no thread is left for what a peer has called")
        with self._changed:
            self._hands -= 1
            if self._hands == 0 and job in self._jobs:
                self._jobs.remove(job)
                return False
        return True

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except BaseException as error:
                # A fault of ours: jobs answer for what they run.
                where = "".join(traceback.format_tb(error.__traceback__))
                logger.error("a job of the crew failed: %s\n%s", type(error).__name__, where)
            if self.left:
                return
            del job  # Nor is what it belongs to kept while nothing is to be done.

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._free += 1
            found = self._changed.wait_for(lambda: self._jobs, self._idle_seconds)
            self._free -= 1
            if not found:
                self._hands -= 1
                return None
            return self._jobs.popleft()


_crew = Crew()


def crew() -> Crew:
    """Return the crew of this process."""
    return _crew


def _after_fork() -> None:
    global _crew
    _crew.left = (
        True  # The threads are the parent's, but for one that may have forked; whoever held the lock is not here.
    )
    _crew = Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
