"""Dialogues: what an exchange does for conversations, calls among them.  Floor: FAÇADES.

Law: nothing without the lock.

These are methods of `Exchange`, as in `errands.py`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from netstructer.errors import LinkClosed, LinkLost, LinkTimeout, PeerFault
from netstructer.keeper import current_keeper

if TYPE_CHECKING:
    from netstructer.exchange import Exchange
    from netstructer.protocol.assembly import Message, Whole
    from netstructer.protocol.outgoing import Outgoing

__all__ = ["accept_aside", "close_aside", "drop_aside", "end_aside", "leave", "next_aside", "open_aside"]


def open_aside(exchange: Exchange) -> int:
    """Begin a conversation; return its number."""
    with exchange._lock.in_turn():
        exchange.session.check_open()
        return exchange._pump.asides.open()


def accept_aside(exchange: Exchange, deadline: float | None) -> int:
    """Return the number of the next conversation that the peer has opened, waiting for it if need be."""
    pump, opened = exchange._pump, exchange._pump.asides.opened
    with exchange._lock.in_turn():
        _wait_for(exchange, lambda: opened or pump.draining, deadline)
        if not opened:
            raise pump.over()
        return opened.popleft()


def next_aside(exchange: Exchange, number: int, deadline: float | None) -> Message | Whole:
    """Take and return the next message of a conversation, waiting for it if need be."""
    asides = exchange._pump.asides
    with exchange._lock.in_turn():
        _wait_for(exchange, lambda: asides.waiting(number) or asides.over(number), deadline)
        if asides.over(number):
            raise LinkClosed("the conversation is over")
        message = asides.next(number)
        exchange.session.take(message)
        if exchange.session.has_output(time.monotonic()):
            exchange._pump.flush()
        return message


def close_aside(exchange: Exchange, number: int) -> None:
    """End a conversation."""
    with exchange._lock.in_turn():
        end_aside(exchange, number)
        exchange._pump.flush()
        exchange._pump.wake()


def end_aside(exchange: Exchange, number: int) -> None:
    """Do what `close_aside` does, under the lock, and send nothing."""
    for message in exchange._pump.asides.close(number):
        exchange.session.take(message)
        exchange.session.forget(message)


def drop_aside(exchange: Exchange, number: int, last_words: list[Outgoing]) -> None:
    """Say the last words of a conversation that nobody holds any more, and end it.  Takes no lock of the link's, so the
    collector may call it.
    """

    def end() -> None:
        with contextlib.suppress(LinkClosed, LinkLost, PeerFault):
            for outgoing in last_words:
                exchange.session.queue(outgoing)
        end_aside(exchange, number)

    leave(exchange, end)


def leave(exchange: Exchange, chore: Callable[[], None]) -> None:
    """Have something done under the lock, by whoever works here next."""
    if not exchange._pump.ended:
        exchange._pump.chores.append(chore)
        current_keeper().nudge(exchange._pump)


def _wait_for(exchange: Exchange, came: Callable[[], object], deadline: float | None) -> None:
    pump = exchange._pump
    while not came():
        if pump.ended or pump.closing or pump.left_by_peer:
            raise pump.over()
        if not pump.step(deadline):
            raise LinkTimeout("nothing came in time")
