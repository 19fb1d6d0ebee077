"""Pouring: a plain generator, run in one thread, and taken item by item in the loop.  Floor: FAÇADES.

Law: it is begun, gone on with and closed in that thread, which what it holds may belong to: a cursor of SQLite, a lock.

The thread is a few items ahead of the loop, so that the two of them need not wake each other for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, NoReturn

__all__ = ["Pouring"]

AHEAD_ITEMS = 16
"""Items that are made before the loop has taken any: what two hand-overs between threads cost is paid for that many."""


class Pouring(AsyncIterator[Any]):
    """The items of a generator.  `start(job)` has a job done in a thread, and returns what comes of it."""

    def __init__(
        self, items: Generator[Any, None, None], start: Callable[[Callable[[], None]], asyncio.Future[None]]
    ) -> None:
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._ready: deque[Any] = deque()
        self._room = threading.Semaphore(AHEAD_ITEMS)
        self._stopped = False
        self._waiter: asyncio.Future[None] | None = None
        self._work: asyncio.Future[None] | None = start(self._run)
        self._work.add_done_callback(self._wake)

    async def __anext__(self) -> Any:
        """Return the next item.  Raises what the generator raised."""
        while not self._ready:
            if self._is_done():
                self._end()
            self._waiter = self._loop.create_future()
            if not (self._ready or self._is_done()):  # It is told of what comes after the line before.
                await self._waiter
            self._waiter = None
        self._room.release()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Take no more: the generator is closed at its next item, and not waited for."""
        self._stopped = True
        self._room.release()

    def _is_done(self) -> bool:
        return self._work is None or self._work.done()

    def _end(self) -> NoReturn:
        error = None if self._work is None else self._work.exception()
        self._work = None
        try:
            raise StopAsyncIteration if error is None else error
        finally:
            del error  # Its traceback holds this frame.

    def _run(self) -> None:
        """Run the generator, in the thread."""
        with contextlib.closing(self._items):
            for item in self._items:
                self._room.acquire()
                if self._stopped:
                    return
                self._ready.append(item)
                if self._waiter is not None:
                    try:
                        self._loop.call_soon_threadsafe(self._wake)
                    except RuntimeError:
                        return  # The loop is closed, and nobody takes anything.

    def _wake(self, _: object = None) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
