"""Leaving: how a server and its links part.  Floor: FAÇADES.  Law: what was begun is finished, for a stated time.

Spec: protocol.md, "Session" (DRAIN, FAREWELL).  First the clients are told, and handlers may answer what has come; then
both ends of each link say farewell after what is queued; what is left after that is cut off.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netstructer.link import Link
    from netstructer.reception import Reception

__all__ = ["close_in_time", "close_links", "drain_links"]

logger = logging.getLogger("netstructer")

CLEAR_SECONDS = 5.0
"""How long `clear` waits for farewells."""


def drain_links(links: tuple[Link, ...], reception: Reception, deadline: float) -> bool:
    """Tell the clients, and wait until the handlers are done with what has come; say whether they are."""
    for link in links:
        link._exchange.drain(max(0.0, deadline - time.monotonic()))
    handled = reception.await_handlers(deadline)
    answered = [link._await_answers(deadline) for link in links]  # each of them, whatever came of the one before
    return all(answered) and handled


def close_links(links: tuple[Link, ...], deadline: float) -> None:
    """Say farewell on all links, and wait for the peers'; a link that has no transport can say none."""
    for link in links:
        link._exchange.begin_close()
    cut = []
    for link in links:
        if link.suspended:
            link.abort()
        link.close(timeout=max(0.0, deadline - time.monotonic()))
        if link._session.error is not None:
            cut.append(link.id)
    if cut:
        logger.info("= %d links were cut off: %s", len(cut), ", ".join(cut[:16]))


def close_in_time(links: tuple[Link, ...]) -> None:
    """Close what `clear` takes out of the registry."""
    close_links(links, time.monotonic() + CLEAR_SECONDS)
