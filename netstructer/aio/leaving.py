"""Leaving: how a server and its links part.  Floor: FAÇADES.  Law: what was begun is finished, for a stated time.

Spec: protocol.md, "Session" (DRAIN, FAREWELL).  First the clients are told, and handlers may answer what has come; then
both ends of each link say farewell after what is queued; what is left after that is cut off.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from netstructer.leaving import CLEAR_SECONDS

if TYPE_CHECKING:
    from netstructer.aio.link import Link
    from netstructer.aio.reception import Reception

__all__ = ["clear_links", "close_links", "drain_links"]

logger = logging.getLogger("netstructer")


async def drain_links(links: tuple[Link, ...], reception: Reception, deadline: float) -> bool:
    """Tell the clients, and wait until the handlers are done with what has come; say whether they are."""
    for link in links:
        link._exchange.drain(max(0.0, deadline - time.monotonic()))
    handled = await reception.await_handlers(deadline)
    answered = [await link._await_answers(deadline) for link in links]
    return all(answered) and handled


async def close_links(links: tuple[Link, ...], deadline: float) -> None:
    """Say farewell on all links, and wait for the peers'; a link that has no transport can say none."""
    cut, tasks = [], []
    for link in links:
        tasks += link._stop_answers()
        link._exchange.begin_close()
    for link in links:
        if link.suspended:
            link.abort()
        await link.close(timeout=max(0.0, deadline - time.monotonic()))
        if link._session.error is not None:
            cut.append(link.id)
    if cut:
        logger.info("= %d links were cut off: %s", len(cut), ", ".join(cut[:16]))
    if tasks:
        await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))


def clear_links(links: tuple[Link, ...]) -> None:
    """Say farewell on links that were taken out of the registry, and do not wait; what is left is cut off in time."""
    if not links:
        return
    for link in links:
        link._exchange.begin_close()

    def cut_off() -> None:
        for link in links:
            link.abort()

    asyncio.get_running_loop().call_later(CLEAR_SECONDS, cut_off)
