"""Announcing: one value for many links.  Floor: FAÇADES.  Law: encoded and compressed once, and no link waits for
another.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import NamedTuple

from netstructer.aio.link import Link
from netstructer.aio.weighing import is_heavy
from netstructer.aio.workers import run_apart
from netstructer.errors import MessageTooBig
from netstructer.protocol.announcement import Announcement
from netstructer.protocol.session import Session

__all__ = ["Broadcast", "announce"]


class Broadcast(NamedTuple):
    """What one `broadcast` did: links that have the value queued, and links that could not take it."""

    sent: tuple[Link, ...]
    skipped: tuple[Link, ...]


async def announce(value: object, links: list[Link], *, compress: bool) -> Broadcast:
    """Queue one value on links, and say which of them have it.  Raises `UnsendableValue`, and what a source raises."""
    announcement = Announcement(value, compress=compress)
    await _prepare(announcement, links, heavy=is_heavy(value))
    sent: list[Link] = []
    skipped: list[Link] = []
    for link in links:
        (sent if link._exchange.post(announcement) else skipped).append(link)
    return Broadcast(tuple(sent), tuple(skipped))


async def _prepare(announcement: Announcement, links: list[Link], *, heavy: bool) -> None:
    """Encode and compress for the first link that takes the value: what is long, or has blobs, in a thread."""
    for link in links:
        with contextlib.suppress(MessageTooBig):
            if heavy or announcement.single(link._session) is None:
                await run_apart(partial(_prepare_for, announcement, link._session), name="netstructer-source")
            return


def _prepare_for(announcement: Announcement, session: Session) -> None:
    announcement.prepare(session)
    announcement.outgoing(session)
