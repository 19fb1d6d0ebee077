"""Errands: what an exchange does for durable messages, at either end.  Floor: FAÇADES.  Law: nothing without the lock.

Out: rows are queued without waiting (`queue`), one thread works for the link until something has moved (`work`), and it
leaves a session for another (`leave`).
In: a message is looked at where it lies (`first_message`), and taken when what it was sent for is done (`take_first`).
These are methods of `Exchange`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netstructer.errors import LinkClosed, LinkLost, PeerFault

if TYPE_CHECKING:
    from netstructer.exchange import Exchange
    from netstructer.protocol.assembly import Message, Whole
    from netstructer.protocol.outgoing import Outgoing

__all__ = ["first_message", "leave", "queue", "take_first", "work"]


def queue(exchange: Exchange, outgoing: Outgoing) -> bool:
    """Queue a message and do not wait: who works here sends what the socket does not take at once.

    False, and nothing done, where the session is over, or the peer leaves.
    """
    pump = exchange._pump
    with exchange._lock.in_turn():
        if pump.dismissed or pump.left_by_peer:
            return False
        try:
            exchange.session.queue(outgoing)
        except (LinkClosed, LinkLost, PeerFault):
            return False
        pump.flush()
        return True


def work(exchange: Exchange, until: Callable[[], bool]) -> bool:
    """Work for the link until `until()` holds, under the lock; False where nothing more can be sent on it."""
    pump = exchange._pump
    with exchange._lock.in_turn():
        pump.wait(lambda: pump.closing or pump.left_by_peer or pump.dismissed or until(), None)
        return not (pump.ended or pump.closing or pump.left_by_peer or pump.dismissed)


def leave(exchange: Exchange, deadline: float) -> None:
    """End the session, in order if that is possible in time; what has come can still be received."""
    pump = exchange._pump
    with exchange._lock.in_turn():
        if not pump.ended:
            exchange.session.say_farewell()
            pump.wait(lambda: False, deadline)
            pump.handle(exchange.session.abort(LinkClosed("the session was left for another")))


def first_message(exchange: Exchange, deadline: float | None) -> Message | Whole:
    """Return the next message, and leave it where it is, waiting for it if need be; raises as `next_message` does."""
    with exchange._lock.in_turn():
        if not exchange._pump.inbox:
            exchange._wait_for_message(deadline)
        return exchange._pump.inbox[0]


def take_first(exchange: Exchange, message: Message | Whole) -> None:
    """Take the message that `first_message` returned, where it still is the first."""
    with exchange._lock.in_turn():
        inbox = exchange._pump.inbox
        if inbox and inbox[0] is message:
            inbox.popleft()
            exchange.session.take(message)
            exchange.session.forget(message)
            exchange._pump.flush()
