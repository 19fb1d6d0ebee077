"""Waiting: coroutines that wait for a condition, and those that take turns.  Floor: FAÇADES.

Law: who is cancelled takes nothing with him.  Who waits for a condition is woken when it holds, and looks again: it may
hold no longer, for another one was woken too.  So a cancelled waiter had nothing that could be lost.  A turn is
different, it belongs to whom it was given: who is cancelled at that very moment passes it on.

Deadlines are times of `time.monotonic`.  A loop has a clock of its own, uvloop's stands still while callbacks run, so
what is told to it is always a delay.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial

__all__ = ["Turn", "Waiters", "call_at"]

LEAST_SECONDS = 0.001
"""The shortest delay that a loop is asked for: uvloop counts in milliseconds, and rounds what is less to none."""


def call_at(loop: asyncio.AbstractEventLoop, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
    """Have `callback` called at a time on the monotonic clock, a little later rather than earlier."""
    return loop.call_later(max(LEAST_SECONDS, when - time.monotonic()), callback)


class Waiters:
    """Coroutines of one loop that each wait for something to hold.  Single owner: the loop."""

    __slots__ = ("_loop", "_numbered", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[asyncio.Future[None], Callable[[], object]] = {}
        self._numbered: dict[int, asyncio.Future[None]] = {}

    async def until(self, holds: Callable[[], object], deadline: float | None, number: int = 0) -> bool:
        """Return True as soon as `holds()` does, False where it does not at the deadline.

        Where it holds already, nothing is waited for, and nobody else has a turn.  Of thousands that each wait for
        something of their own, `number` names the one: it is woken by `wake_one` and `wake_all` alone.
        """
        while not holds():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            future = self._loop.create_future()
            if number:
                self._numbered[number] = future
            else:
                self._waiting[future] = holds
            timer = None if deadline is None else call_at(self._loop, deadline, partial(_settle, future))
            try:
                await future
            finally:
                if number:
                    del self._numbered[number]
                else:
                    del self._waiting[future]
                if timer is not None:
                    timer.cancel()
        return True

    def wake_one(self, number: int) -> None:
        """Wake the one that waits under a number."""
        future = self._numbered.get(number)
        if future is not None and not future.done():
            future.set_result(None)

    def wake_all(self) -> None:
        """Let those that wait under a number look again, whatever they wait for."""
        for future in self._numbered.values():
            if not future.done():
                future.set_result(None)

    def wake(self) -> None:
        """Wake those whose condition holds, the longest waiting first."""
        if self._waiting:
            for future, holds in tuple(self._waiting.items()):
                if not future.done() and holds():
                    future.set_result(None)


class Turn:
    """Something that one coroutine has at a time, in the order in which they asked.  Single owner: the loop."""

    __slots__ = ("_loop", "_queue", "taken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[asyncio.Future[bool]] = deque()
        self.taken = False
        """Whether somebody has it."""

    async def take(self, deadline: float | None) -> bool:
        """Have the turn; False where the deadline passes without.  Who has had it calls `leave`."""
        if not self.taken:
            self.taken = True
            return True
        future: asyncio.Future[bool] = self._loop.create_future()
        self._queue.append(future)
        timer = None if deadline is None else call_at(self._loop, deadline, partial(_settle, future, False))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.result():
                self.leave()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def leave(self) -> None:
        """Pass the turn on to who waits longest for it."""
        while self._queue:
            future = self._queue.popleft()
            if not future.done():
                future.set_result(True)
                return
        self.taken = False


def _settle(future: asyncio.Future[None] | asyncio.Future[bool], result: bool | None = None) -> None:
    if not future.done():
        future.set_result(result)  # type: ignore[arg-type]  # each kind gets its own kind of result
