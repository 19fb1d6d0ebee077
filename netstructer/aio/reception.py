"""Reception: where new links wait to be accepted, or are given to their handlers.  Floor: FAÇADES.

Law: nothing that one link or its handler does stops the server.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from netstructer import sockets
from netstructer.aio.waiting import Waiters
from netstructer.errors import LinkClosed, LinkLost, LinkTimeout, Misuse
from netstructer.reception import MOST_ENDED

if TYPE_CHECKING:
    from netstructer.aio.link import Link

__all__ = ["Handler", "Reception"]

logger = logging.getLogger("netstructer")

Handler = Callable[["Link"], Awaitable[object]]


class Reception:
    """The new links of one server.  Without a handler they wait for `accept`.  Single owner: the loop."""

    def __init__(self, handler: Handler | None) -> None:
        self._handler = handler
        self._waiting: deque[Link] = deque()
        self._waiters: Waiters | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._until = 0.0
        """When the server is closed: how long what its links have called may take."""
        self.closed = False
        """Whether the server takes no more links."""

    def open(self) -> None:
        """Begin, in the loop that runs."""
        self._waiters = Waiters(asyncio.get_running_loop())

    @property
    def waiters(self) -> Waiters:
        """Who waits for a link, or for the end.  Raises `Misuse` before `open`."""
        if self._waiters is None:
            raise Misuse("the server is closed" if self.closed else _NOT_STARTED)
        return self._waiters

    def close(self, until: float = 0.0) -> None:
        """Let nobody wait any more; what is under way ends until then."""
        self.closed, self._until = True, max(self._until, until)
        if self._waiters is not None:
            self._waiters.wake()

    async def stay(self) -> None:
        """Return when the server was closed."""
        await self.waiters.until(lambda: self.closed, None)

    async def accept(self, timeout: float | None) -> Link:
        """Return the next new link.  Raises `LinkTimeout`, and `Misuse` once the server is closed."""
        deadline = sockets.deadline_after(timeout)
        while True:
            if not await self.waiters.until(lambda: self.closed or self._waiting, deadline):
                raise LinkTimeout("no new link came in time")
            if self.closed:
                raise Misuse("the server is closed")
            link = self._waiting.popleft()
            if not link.closed or link._exchange.unread:
                return link

    def welcome(self, link: Link) -> None:
        """Take in a new link."""
        if self._handler is not None:
            self._start(self._handler, link)
        else:
            self._waiting.append(link)
            ended = [found for found in self._waiting if found._exchange.ended]
            for forgotten in ended[:-MOST_ENDED]:
                self._waiting.remove(forgotten)
        self.waiters.wake()

    def handle_with(self, handler: Handler) -> None:
        """Give new links to a handler from here on, and those that wait for `accept`."""
        self._handler = handler
        while self._waiting:
            self._start(handler, self._waiting.popleft())

    async def await_handlers(self, deadline: float) -> bool:
        """Wait until no handler runs any more, but for one that waits here; say whether that is so."""
        own = asyncio.current_task()
        return await self.waiters.until(lambda: not self._tasks - {own}, deadline)

    async def cancel_handlers(self) -> None:
        """Cancel the handlers that still run, and wait for their end."""
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _start(self, handler: Handler, link: Link) -> None:
        task = asyncio.get_running_loop().create_task(
            self._handle(handler, link), name=f"netstructer-handler-{link.id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._leave)

    async def _handle(self, handler: Handler, link: Link) -> None:
        try:
            await handler(link)
        except asyncio.CancelledError:
            link.abort()
        except LinkClosed:
            logger.debug("= the handler of link %s ended with it", link.id)
        except LinkLost as error:
            logger.info("= link %s lost in its handler: %s", link.id, type(error).__name__)
        except Exception as error:
            # The text of the error may hold what the peer sent, so the log gets its type and where it was raised.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("the handler of link %s raised %s\n%s", link.id, type(error).__name__, where)
        finally:
            if link._exchange.draining:
                await link._await_answers(self._until)  # The handler ends because the server leaves, and not so they.
            await link.close()

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.waiters.wake()


_NOT_STARTED = "the server is not started: use `async with`, or call `await server.start()`"
