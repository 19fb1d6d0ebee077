"""A gate: so many at once, a few that wait, and no more.  Floor: SERVICES.  Law: whoever waits has a deadline.

What it stands before costs memory or a processor whole (Argon2id), so more at once than there are processors would be
slower for all.  Who finds the queue full is told `Busy` at once: a server that is flooded with logins says so in
microseconds, and its memory is bounded by the places.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from netstructer.errors import Busy, Misuse

__all__ = ["Gate"]

WAITING = 32
"""Who may wait: at 18 ms each, on two processors, the last of them waits 0.3 s."""
WAIT_SECONDS = 10.0
"""How long anybody waits: as long as somebody at a keyboard."""


class Gate:
    """`with gate:` is entered by `places` threads at once, first come, first served.

    Raises `Busy` where `waiting` others wait already, or after `wait_seconds`.
    """

    def __init__(
        self,
        *,
        places: int,
        waiting: int = WAITING,
        wait_seconds: float = WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if places < 1 or waiting < 0:
            raise Misuse(f"expected a gate of one place at least, found {places} places and {waiting} who may wait")
        self.places, self.waiting, self.wait_seconds = places, waiting, wait_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._inside = 0
        self._queue: list[object] = []

    def __enter__(self) -> None:
        with self._changed:
            if self._inside < self.places and not self._queue:
                self._inside += 1
                return
            if len(self._queue) >= self.waiting:
                raise Busy(
                    f"{self._inside} passwords are looked at and {len(self._queue)} wait: try again",
                    limit=self.waiting,
                    found=len(self._queue) + 1,
                )
            turn = object()
            self._queue.append(turn)
            try:
                self._wait_for(turn)
                self._inside += 1
            finally:
                self._queue.remove(turn)
                self._changed.notify_all()

    def _wait_for(self, turn: object) -> None:
        deadline = self._clock() + self.wait_seconds
        while self._inside >= self.places or self._queue[0] is not turn:
            left = deadline - self._clock()
            if left <= 0:
                raise Busy(
                    f"waited {self.wait_seconds:g} seconds for a password to be looked at: try again",
                    limit=self.waiting,
                    found=len(self._queue),
                )
            self._changed.wait(left)

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()
