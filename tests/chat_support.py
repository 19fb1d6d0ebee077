"""Chats for tests: one on a server of either façade, and clients that say what they are called."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from loopback import KEY, PATIENCE_SECONDS, Task
from netstructer import Limits, Link, Server, aio
from netstructer.errors import LinkTimeout
from netstructer.services.chat import Chat, read_pushed

FACADES = ("threads", "asyncio")


@contextmanager
def chatting(
    facade: str = "threads",
    *,
    key: Any = KEY,
    server_limits: Limits | None = None,
    make: Callable[[Any], Chat] | None = None,
    **options: Any,
) -> Iterator[Chat]:
    """Give a chat on a server; `make(server)` makes it, where options are not enough.  `place_of` says where it is."""
    made = make or (lambda server: Chat(server, **options))
    if facade == "threads":
        with Server(key=key, limits=server_limits) as server, made(server) as chat:
            yield chat
            server.close()
        return
    begun, done, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with aio.Server(key=key, limits=server_limits) as server:
            found.append(made(server))
            begun.set()
            await asyncio.to_thread(done.wait)
        await asyncio.to_thread(found[0].close)

    task = Task(asyncio.run, serve())
    try:
        while not begun.wait(0.05):
            assert task.running, task.error()
        yield found[0]
    finally:
        done.set()
        task.result()


def place_of(chat: Chat) -> Any:
    """Return where the server of a chat listens."""
    return chat._hall.server.address


class Guest:
    """A client: what it calls, and what was pushed to it."""

    def __init__(self, chat: Any, name: str | None = None, room: str | None = "lobby", *, key: Any = KEY) -> None:
        self.link = Link(place_of(chat), key=key)
        self.name = ""
        if name is not None:
            self.name = self.call("enter", name)
        if name is not None and room is not None:
            self.call("join", room)

    def call(self, action: str, *args: Any, **kwargs: Any) -> Any:
        return self.link.call(f"chat.{action}", *args, timeout=PATIENCE_SECONDS, **kwargs)

    def heard(self, kind: str) -> dict[str, Any]:
        """Return the next that was pushed of a kind; what comes before it is dropped."""
        while True:
            value = read_pushed(self.link.recv(timeout=PATIENCE_SECONDS))
            assert value is not None
            if value["chat"] == kind:
                return value

    def rest(self) -> list[str]:
        """Return the kinds of all that was pushed before now, and drop it.

        An answer comes behind what was pushed before it, so nothing is on its way after one.
        """
        self.call("about")
        kinds = []
        try:
            while True:
                kinds.append(self.link.recv(timeout=0.0)["chat"])
        except LinkTimeout:
            return kinds

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()


@contextmanager
def guests(chat: Any, *names: str, room: str | None = "lobby") -> Iterator[list[Guest]]:
    """Give clients that have entered, and joined a room."""
    with ExitStack() as stack:
        yield [stack.enter_context(Guest(chat, name, room)) for name in names]
