"""Awaitables: what a link hands out to be awaited.  Floor: FAÇADES.  Law: who does not await it misses nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Generator
from typing import TYPE_CHECKING, Any

from netstructer.errors import LinkClosed

if TYPE_CHECKING:
    from netstructer.aio.exchange import Exchange
    from netstructer.aio.link import Link

__all__ = ["Gone", "Values"]


class Values(AsyncIterator[Any]):
    """The values that a link receives, until the peer closes it."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def __anext__(self) -> Any:
        try:
            return await self._link.recv()
        except LinkClosed:
            raise StopAsyncIteration from None


class Gone(Awaitable[None]):
    """Awaits the end of a link's transport; need not be awaited."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __await__(self) -> Generator[Any, None, None]:
        yield from self._exchange.gone(time.monotonic()).__await__()
