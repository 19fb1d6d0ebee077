"""Both ends of a real link of asyncio, in one line: the twin of `links`.  Floor: FAÇADES.

Law: nothing is left open behind the block.

    async with aio.link_pair() as (client, server):
        await client.send({1, 2})
        assert await server.recv(timeout=5) == {1, 2}

The rest of the kit has no twin and needs none: a `ChaosProxy` has a thread of its own, a wire and a session pair wait
for nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from netstructer.aio.connecting import connect
from netstructer.aio.link import Link
from netstructer.aio.server import Server
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.testing.faults import Plan
from netstructer.testing.links import PATIENCE_SECONDS
from netstructer.testing.proxy import ChaosProxy

__all__ = ["LinkPair", "link_pair"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPair:
    """Two ends of one link, to be unpacked: `client, server = pair`."""

    client: Link
    server: Link
    """The server's end, not the `Server`."""
    proxy: ChaosProxy | None
    """What is between them, where a plan was given."""

    def __iter__(self) -> Iterator[Link]:
        return iter((self.client, self.server))


@contextlib.asynccontextmanager
async def link_pair(
    plan: Plan | None = None,
    *,
    seed: int = 0,
    key: Key | str | bytes | None = None,
    limits: Limits | None = None,
    server_limits: Limits | None = None,
    **options: Any,
) -> AsyncIterator[LinkPair]:
    """Give both ends of a fresh link over loopback, under a key of its own unless there is one.

    With a `plan`, even an empty one, a `ChaosProxy` is between them.  `options` are those of `aio.connect`; the server
    offers the `cipher` among them.  Both ends are aborted behind the block: what is still under way then is dropped, so
    have what was sent received in it.
    """
    found = Key.generate() if key is None else key
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            Server(key=found, limits=server_limits or limits, cipher=options.get("cipher", "fernet"))
        )
        proxy = None if plan is None else stack.enter_context(ChaosProxy(server.address, plan, seed=seed))
        place = server.address if proxy is None else proxy.address
        opening: dict[str, Any] = {"timeout": PATIENCE_SECONDS, "limits": limits} | options
        client = await connect(place, key=found, **opening)
        stack.push_async_callback(client.abort)
        far = await server.accept(timeout=PATIENCE_SECONDS)
        stack.push_async_callback(far.abort)
        yield LinkPair(client=client, server=far, proxy=proxy)
