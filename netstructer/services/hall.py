"""The hall: what services do with a server, whichever façade it is of.  Floor: SERVICES.

Law: called from threads, never from a loop.  The methods of a server of asyncio are coroutines: those are run in its
loop and waited for here, which in the loop's own thread would wait for itself.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
import weakref
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from typing import Any

from netstructer.actions import user_of
from netstructer.errors import LinkTimeout, Misuse, NetstructerError

__all__ = ["Hall"]

LOOP_SECONDS = 30.0
"""How long a loop may take to do what a service asks of it: one that is so late serves nobody."""


class Hall:
    """One server, as its services see it.  Thread-safe.

    For a server of asyncio it is made in the loop of that server.
    """

    def __init__(self, server: Any) -> None:
        self._server = weakref.ref(server)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._attending: set[Any] = set()
        if inspect.iscoroutinefunction(server.broadcast):
            try:
                self._loop = asyncio.get_running_loop()
            except RuntimeError as error:
                raise Misuse("the services of a server of netstructer.aio are made in its loop") from error

    @property
    def server(self) -> Any:
        """The server.  Raises `Misuse` when it is gone."""
        server = self._server()
        if server is None:
            raise Misuse("the server of these services is gone")
        return server

    def post(self, value: object, to: Iterable[Any]) -> int:
        """Send one value to some links, encoded once; return how many took it.  No link is waited for."""
        links = tuple(to)
        if not links:
            return 0
        return len(self._done(self.server.broadcast(value, to=links)).sent)

    def publish(self, group: str, value: object, *, exclude: Container[Any] = ()) -> int:
        """Send one value to all members of a group; return how many took it.  No link is waited for."""
        return len(self._done(self.server.publish(group, value, exclude=exclude)).sent)

    def links(self) -> tuple[Any, ...]:
        """Return all links, those without a transport too."""
        registry = self.server.registry
        return (*registry.all(), *registry.suspended())

    def links_of(self, user: str) -> tuple[Any, ...]:
        """Return the links of a user: who has logged in as that, or proved the key of that name."""
        return tuple(link for link in self.links() if user_of(link) == user)

    def disconnect(self, link: Any, *, seconds: float = 2.0) -> None:
        """Let the calls that are under way on a link be answered, say farewell, and cut it off where that takes longer.

        In an action of that link itself it takes all of `seconds`: its own answer is one of those.
        """
        self._done(link._await_answers(time.monotonic() + seconds))
        self._done(link.close(timeout=seconds))

    def call(self, link: Any, action: str, *args: Any, timeout: float, **kwargs: Any) -> Any:
        """Call an action of a client's.  Raises as `Link.call` does."""
        return self._done(link.call(action, *args, timeout=timeout, **kwargs))

    def notify(self, link: Any, action: str, *args: Any, timeout: float, **kwargs: Any) -> None:
        """Call an action of a client's and want no answer.  Raises as `Link.notify` does."""
        self._done(link.notify(action, *args, timeout=timeout, **kwargs))

    def ping(self, link: Any, *, seconds: float = 5.0) -> float:
        """Return the seconds of a round trip.  Raises `LinkTimeout`, and what ended the link."""
        return float(self._done(link.ping(timeout=seconds)))

    def attend(self, link: Any, dialogue: Callable[[Any], object]) -> None:
        """Hold each conversation that the peer opens on a link, until the link ends: `dialogue(channel)`, in a thread.

        One after the other.  Returns at once; what `dialogue` raises ends it.
        """
        if self._loop is None:
            name = f"netstructer-asides-{link.id}"
            threading.Thread(target=_attend, args=(link, dialogue), name=name, daemon=True).start()
            return
        attending = _attend_awaited(link, dialogue)
        try:
            held = asyncio.run_coroutine_threadsafe(attending, self._loop)
            self._attending.add(held)  # a loop holds its tasks weakly
            held.add_done_callback(self._attending.discard)
        except RuntimeError as error:
            attending.close()
            raise Misuse("the loop of the server is closed") from error

    def leave(self, seconds: float) -> None:
        """Close the server: what is under way may take so long."""
        self._done(self.server.close(drain=seconds), seconds + LOOP_SECONDS)

    def _done(self, work: Any, seconds: float | None = None) -> Any:
        if self._loop is None:
            return work
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds or LOOP_SECONDS)
        except TimeoutError as error:
            if isinstance(error, LinkTimeout):
                raise
            raise LinkTimeout("the loop of the server did not do it in time") from error
        except RuntimeError as error:
            work.close()
            raise Misuse("the loop of the server is closed") from error


def _attend(link: Any, dialogue: Callable[[Any], object]) -> None:
    with suppress(NetstructerError):  # the link is over
        while True:
            link._answer_aside(dialogue)


async def _attend_awaited(link: Any, dialogue: Callable[[Any], object]) -> None:
    with suppress(NetstructerError):
        while True:
            await link._answer_aside(dialogue)
