"""The two façades in one manner: blocking ends as they are, awaited ones driven from the test's thread.

A `House` makes links and servers of one kind.  What an asyncio house gives out is a `Driven`: the same names, each call
made in the house's loop, which runs in a thread, and waited for.  So a scenario is written once, and runs against every
pairing.  When an asyncio house closes, its loop must hold no task, and nobody may have complained to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from loopback import KEY, PATIENCE_SECONDS
from netstructer import Blob, Link, Server, aio

try:
    import uvloop
except ImportError:
    uvloop = None

PAIRINGS = [
    ("blocking", "blocking"),
    ("blocking", "asyncio"),
    ("asyncio", "blocking"),
    ("asyncio", "asyncio"),
    *([("uvloop", "uvloop")] if uvloop is not None else []),
]
"""Client and server."""


class BlockingHouse:
    """Makes blocking links and servers."""

    def __enter__(self) -> BlockingHouse:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing runs here."""

    def connect(self, address: Any, **options: Any) -> Any:
        return Link(address, **{"key": KEY, **options})

    def server(self, **options: Any) -> Any:
        return Server(**{"key": KEY, **options})

    def read(self, blob: Any) -> bytes:
        return bytes(blob)

    def save(self, blob: Any, path: Any) -> Any:
        return blob.save(path)

    def pieces(self, blob: Any, **options: Any) -> Iterator[bytes]:
        return (bytes(piece) for piece in blob.chunks(**options))

    def handle(self, server: Any, chat: Callable[[Any], object]) -> None:
        """Have `chat(link)` called for each new link of a server."""
        server.handler(chat)


class AsyncioHouse:
    """Makes asyncio links and servers, in a loop of its own in a thread of its own."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        self.loop = factory()
        self.complaints: list[str] = []
        self.loop.set_exception_handler(lambda loop, context: self.complaints.append(repr(context)))
        self._thread = threading.Thread(target=self._run, name="test-loop", daemon=True)

    def __enter__(self) -> AsyncioHouse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self.call(self._settle)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        gc.collect()
        if error is None:
            assert left == []
            assert self.complaints == []

    async def _settle(self) -> list[str]:
        """Let what is about to end do so; return what tasks are left."""
        for _ in range(100):
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if not others:
                break
            await asyncio.sleep(0.01)
        left = [repr(task) for task in others]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return left

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what `function` returns, called in the loop and awaited if that is to be."""

        async def run() -> Any:
            found = function(*args, **kwargs)
            return await found if inspect.isawaitable(found) else found

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE_SECONDS * 3)

    def connect(self, address: Any, **options: Any) -> Any:
        return Driven(self, self.call(aio.connect, address, **{"key": KEY, **options}))

    def server(self, **options: Any) -> Any:
        return Driven(self, self.call(aio.Server, **{"key": KEY, **options}))

    def read(self, blob: aio.Blob) -> bytes:
        return self.call(blob.read)

    def save(self, blob: aio.Blob, path: Any) -> Any:
        return self.call(blob.save, path)

    def pieces(self, blob: aio.Blob, **options: Any) -> Iterator[bytes]:
        chunks = self.call(blob.chunks, **options)
        while True:
            try:
                yield bytes(self.call(chunks.__anext__))
            except StopAsyncIteration:
                return

    def handle(self, server: Driven, chat: Callable[[Any], object]) -> None:
        """Have `chat(link)` called for each new link of a server, in a thread, for it waits for the loop."""

        async def awaited(link: aio.Link) -> None:
            await asyncio.to_thread(chat, Driven(self, link))

        self.call(server.target.handler, awaited)


class Driven:
    """An object of a loop, used from a thread."""

    def __init__(self, house: AsyncioHouse, target: Any) -> None:
        self.house, self.target = house, target

    def __getattr__(self, name: str) -> Any:
        found = self.house.call(getattr, self.target, name)
        if not callable(found):
            return self._shown(found)
        return lambda *args, **kwargs: self._shown(self.house.call(found, *_bare(args), **_bare(kwargs)))

    def __enter__(self) -> Any:
        return self._shown(self.house.call(self.target.__aenter__))

    def __exit__(self, *problem: Any) -> None:
        self.house.call(self.target.__aexit__, *problem)

    def __iter__(self) -> Iterator[Any]:
        if not hasattr(self.target, "__aiter__"):
            yield from map(self._shown, self.house.call(tuple, self.target))
            return
        values = self.house.call(self.target.__aiter__)
        while True:
            try:
                yield self._shown(self.house.call(values.__anext__))
            except StopAsyncIteration:
                return

    def __next__(self) -> Any:
        try:
            return self._shown(self.house.call(self.target.__anext__))
        except StopAsyncIteration:
            raise StopIteration from None

    def __len__(self) -> int:
        return self.house.call(len, self.target)

    def __contains__(self, item: Any) -> bool:
        return self.house.call(self.target.__contains__, _bare(item))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Driven) and other.target is self.target

    def __hash__(self) -> int:
        return hash(self.target)

    def __repr__(self) -> str:
        return repr(self.target)

    def _shown(self, found: Any) -> Any:
        if isinstance(found, (aio.Link, aio.Server, aio.Conversation, aio.Stream)):
            return Driven(self.house, found)
        if type(found) is aio.Broadcast:
            return aio.Broadcast(*(tuple(map(self._shown, links)) for links in found))
        if type(found) is tuple and any(isinstance(item, aio.Link) for item in found):
            return tuple(map(self._shown, found))
        return found


def _bare(given: Any) -> Any:
    """Return arguments as the loop knows them."""
    if isinstance(given, Driven):
        return given.target
    if type(given) in (tuple, list, set):
        return type(given)(map(_bare, given))
    if type(given) is dict:
        return {name: _bare(item) for name, item in given.items()}
    return given


@contextlib.contextmanager
def house_of(kind: str) -> Iterator[Any]:
    """Give a house of one kind."""
    if kind == "blocking":
        yield BlockingHouse()
    else:
        with AsyncioHouse(uvloop.new_event_loop if kind == "uvloop" else asyncio.new_event_loop) as house:
            yield house


class Ends:
    """Both ends of a link: `near`, the client's, and `far`, the server's, each with its house."""

    def __init__(self, near_house: Any, far_house: Any, server: Any, near: Any, far: Any) -> None:
        self.near_house, self.far_house = near_house, far_house
        self.server, self.near, self.far = server, near, far

    def both_ways(self) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Give each direction: who sends, who receives, and the house of each."""
        yield self.near, self.far, self.near_house, self.far_house
        yield self.far, self.near, self.far_house, self.near_house


@contextlib.contextmanager
def paired(
    client: str, server: str, *, server_options: dict[str, Any] | None = None, through: Any = None, **options: Any
) -> Iterator[Ends]:
    """Give both ends of a link of one pairing; `through(address)` may stand a relay in between."""
    with contextlib.ExitStack() as stack:
        near_house = stack.enter_context(house_of(client))
        far_house = stack.enter_context(house_of(server))
        listening = stack.enter_context(far_house.server(**(server_options or {})))
        address = listening.address
        if through is not None:
            address = stack.enter_context(through(address)).address
        near = stack.enter_context(near_house.connect(address, **options))
        far = stack.enter_context(listening.accept(timeout=PATIENCE_SECONDS))
        yield Ends(near_house, far_house, listening, near, far)
        for end in (near, far):
            end.abort()


def blob_of(data: bytes, *, name: str | None = None) -> Blob:
    """Return a blob whose bytes come from an iterator, of a length that nobody states."""
    return Blob.from_iter((data[start : start + 50_000] for start in range(0, len(data), 50_000)), name=name)
