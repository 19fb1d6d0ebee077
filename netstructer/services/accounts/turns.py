"""Turns: tries at one name, or from one source, side by side.  Floor: SERVICES.

Law: what would not be free one after the other is not free side by side.  A try is counted when it has failed, and it
takes 18 ms to find that out; without turns, a thousand at once would all find no failure yet.  So at each count only as
many are under way as there are free tries left, and the others wait until one has ended, and then look again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from netstructer.errors import Busy
from netstructer.services.accounts.throttling import Count

__all__ = ["Turns"]

WAITING = 256
"""Who may wait for others at the same name or source, each a thread: a room of people behind one address."""
WAIT_SECONDS = 10.0
"""How long anybody waits: as long as somebody at a keyboard."""


class Turns:
    """Who is trying now, in this process.  Thread-safe."""

    def __init__(
        self,
        *,
        waiting: int = WAITING,
        wait_seconds: float = WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waiting_most, self._wait_seconds, self._clock = waiting, wait_seconds, clock
        self._changed = threading.Condition()
        self._under_way: Counter[bytes] = Counter()
        self._ended = 0
        self._waiting = 0

    @contextmanager
    def taken(self, look: Callable[[], Sequence[Count]]) -> Iterator[Sequence[Count]]:
        """Give what `look` returns, once there is a turn at each of its counts, or where one of them has to wait.

        `look` is asked again whenever a try has ended since it was asked.  Raises what it raises, and `Busy`.
        """
        counts = self._take(look)
        if any(not count.tries for count in counts):
            yield counts
            return
        try:
            yield counts
        finally:
            with self._changed:
                self._under_way.subtract(count.key for count in counts)
                for count in counts:
                    if not self._under_way[count.key]:
                        del self._under_way[count.key]
                self._ended += 1
                self._changed.notify_all()

    def _take(self, look: Callable[[], Sequence[Count]]) -> Sequence[Count]:
        deadline = self._clock() + self._wait_seconds
        while True:
            ended = self._ended
            counts = look()
            if any(not count.tries for count in counts):
                return counts
            with self._changed:
                if ended != self._ended:
                    continue  # what was looked at may have changed
                if all(self._under_way[count.key] < count.tries for count in counts):
                    self._under_way.update(count.key for count in counts)
                    return counts
                self._wait(deadline)

    def _wait(self, deadline: float) -> None:
        left = deadline - self._clock()
        if self._waiting >= self._waiting_most or left <= 0:
            raise Busy(
                "too many logins at once under one name, or from one source: try again",
                limit=self._waiting_most,
                found=self._waiting + 1,
            )
        self._waiting += 1
        try:
            self._changed.wait(left)
        finally:
            self._waiting -= 1
