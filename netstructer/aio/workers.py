"""Workers: threads for what blocks, so that the loop does not.  Floor: FAÇADES.  Law: no link has a thread, and no wait
is queued behind another one.

What only computes (encoding, decoding, compressing) goes to the loop's executor, which has a few threads and always
comes to an end.  What may wait, for a disk, for a generator, for a peer, would fill these and then wait for itself: a
file that is sent needs the same executor as the file that is received at the other end.  So it has a thread of its own,
for as long as it works.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Worker", "run_apart"]

T = TypeVar("T")
Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Worker:
    """One thread that does one job after the other; it is started with the first one.

    `close` when there are no more: it ends after the job that it is at.  A job whose caller was cancelled goes on, for
    a thread cannot be stopped, and nobody hears what became of it.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._started = False

    async def run(self, job: Callable[[], T]) -> T:
        """Return what `job()` returns, or raise what it raises."""
        future: asyncio.Future[T] = self._loop.create_future()
        context = contextvars.copy_context()
        self._jobs.put((lambda: context.run(job), future))
        if not self._started:
            self._started = True
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return await future

    def close(self) -> None:
        """Let the thread end, if there is one."""
        if self._started:
            self._jobs.put(None)

    def _work(self) -> None:
        while (found := self._jobs.get()) is not None:
            job, future = found
            try:
                outcome: Callable[[], None] = _settling(future, job())
            except BaseException as error:
                outcome = _failing(future, error)
            try:
                self._loop.call_soon_threadsafe(outcome)
            except RuntimeError:
                return  # The loop was closed: there is nobody to tell.
            del found, job, future, outcome


async def run_apart(job: Callable[[], T], *, name: str = "netstructer-worker") -> T:
    """Return what `job()` returns, run in a thread of its own."""
    worker = Worker(name)
    try:
        return await worker.run(job)
    finally:
        worker.close()


def _settling(future: asyncio.Future[Any], result: Any) -> Callable[[], None]:
    def settle() -> None:
        if not future.done():
            future.set_result(result)

    return settle


def _failing(future: asyncio.Future[Any], error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        if not future.done():
            future.set_exception(error)

    return fail
