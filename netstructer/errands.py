"""Errands: what an exchange does for durable messages, at either end.  Floor: FAÇADES.  Law: nothing without the lock.

Out: rows are queued without waiting (`queue`), one thread works for the link until something has moved (`work`), and it
leaves a session for another (`leave`).
In: a message is looked at where it lies (`first_message`), and taken when what it was sent for is done (`take_first`).
These are methods of `Exchange`, but for `send_off`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from netstructer.errors import LinkClosed, LinkLost, LinkTimeout, Misuse, PeerFault

if TYPE_CHECKING:
    import socket

    from netstructer.exchange import Exchange
    from netstructer.protocol.assembly import Message, Whole
    from netstructer.protocol.events import Event
    from netstructer.protocol.outgoing import Outgoing
    from netstructer.protocol.session import Session

__all__ = ["await_receipt", "first_message", "leave", "leave_first", "queue", "send_off", "take_first", "work"]


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
    """Work for the link until `until()` holds, under the lock; False where the peer takes nothing any more."""
    pump = exchange._pump
    with exchange._lock.in_turn():
        pump.wait(lambda: pump.closing or pump.left_by_peer or until(), None)
        return not (pump.ended or pump.closing or pump.left_by_peer)


def leave(exchange: Exchange, deadline: float) -> None:
    """End the session, in order if that is possible in time; what has come can still be received."""
    pump = exchange._pump
    with exchange._lock.in_turn():
        if not pump.ended:
            exchange.session.say_farewell()
            pump.wait(lambda: False, deadline)
            pump.handle(exchange.session.abort(LinkClosed("the session was left for another")))


def first_message(exchange: Exchange, deadline: float | None) -> Message | Whole:
    """Return the next message, and leave it where it is, waiting for it if need be; raises as `next_message` does.

    Nobody else takes it until `take_first`, or `leave_first`.
    """
    with exchange._lock.in_turn():
        if not exchange._pump.inbox:
            exchange._wait_for_message(deadline)
        exchange.looked_at = exchange._pump.inbox[0]
        return exchange.looked_at


def take_first(exchange: Exchange, message: Message | Whole) -> None:
    """Take the message that `first_message` returned, unless the link was closed meanwhile."""
    with exchange._lock.in_turn():
        inbox = exchange._pump.inbox
        if inbox and inbox[0] is message:
            inbox.popleft()
            exchange.session.take(message)
            exchange.session.forget(message)
            exchange._pump.flush()


def leave_first(exchange: Exchange) -> None:
    """Let others take what is first now."""
    with exchange._lock.in_turn():
        exchange.looked_at = None
        exchange._pump.wake_all()


def await_receipt(exchange: Exchange, deadline: float | None) -> None:
    """Wait, under the lock, until something has become of the message that another thread deals with.

    Raises `LinkTimeout`, and `Misuse` in the thread that deals with it.
    """
    if exchange.dealer == threading.get_ident():
        raise Misuse("this thread deals with the next message: end that transaction first")
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise LinkTimeout("the next message is being dealt with, and was not taken in time")
    exchange._pump.changed.wait(left)


def send_off(transport: socket.socket, session: Session, events: list[Event]) -> None:
    """End a session that nobody wants any more, and tell the server, which would keep it otherwise."""
    session.abort(LinkClosed("the link was closed while its next session was opened"))
    with suppress(OSError):
        transport.sendall(b"".join(session.frames_to_send(1, time.monotonic())))
    transport.close()
