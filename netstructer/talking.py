"""Talking: what an exchange does for calls, at either end.  Floor: FAÇADES.  Law: nothing without the lock.

A call is a conversation of its own (protocol/calls.py).  The caller opens one, says what it asks for and waits for the
answer (`open_call`, `say`, `next_aside`); the other end takes it (`take_call`), answers, and is done (`leave_call`).
These are functions of an exchange, as in `errands.py`.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from netstructer.errors import LinkClosed, LinkLost, MessageCancelled, PeerFault
from netstructer.keeper import current_keeper
from netstructer.protocol.states import CancelCode

if TYPE_CHECKING:
    from netstructer.answering import Answering
    from netstructer.exchange import Exchange
    from netstructer.protocol.assembly import Message, Whole
    from netstructer.protocol.outgoing import Outgoing
    from netstructer.protocol.session import Session

__all__ = [
    "await_answers",
    "composed",
    "leave_call",
    "let_keeper_watch",
    "news_of",
    "open_call",
    "say",
    "say_and_leave",
    "take_call",
]


def open_call(exchange: Exchange) -> int:
    """Begin a call; return the number of its conversation.  Raises what ended the session."""
    with exchange._lock.in_turn():
        exchange.session.check_open()
        return exchange._pump.asides.open_call()


def composed(session: Session, number: int, value: object) -> Outgoing:
    """Return a short value of a call as a message to queue."""
    outgoing = session.payloads.compose(session.payloads.encode(value), compress=False)
    outgoing.conversation = number
    return outgoing


def say(exchange: Exchange, number: int, value: object, *, compress: bool, idle_seconds: float | None) -> None:
    """Send one value of a call, and return when it and its blobs are sealed.

    `idle_seconds` is the longest time in which not one record of it may go.  Raises `UnsendableValue`, `MessageTooBig`,
    `LinkTimeout`, `MessageCancelled` where the other end wants no more of a blob, and what ended the session.
    """
    payloads = exchange.session.payloads
    encoded = payloads.encode(value)
    single = payloads.single(encoded, compress=compress)
    if single is None:
        outgoing = payloads.compose(encoded, compress=compress, source_seconds=idle_seconds)
    else:
        if exchange.submit_now(single, 0, number) is not None:
            return
        outgoing = single.outgoing()
    outgoing.conversation = number
    exchange.submit(outgoing, lambda: outgoing.done, idle_seconds=idle_seconds)
    if outgoing.skipped_blobs:
        raise MessageCancelled("the other end wants no more of a blob", code=CancelCode.ABANDONED)


def say_and_leave(exchange: Exchange, number: int, value: object) -> None:
    """Say a last word without waiting, where there is still somebody to hear it, and end the conversation."""
    with exchange._lock.in_turn():
        if not exchange._pump.asides.over(number):
            with contextlib.suppress(LinkClosed, LinkLost, PeerFault):
                exchange.session.queue(composed(exchange.session, number, value))
            exchange._end_aside(number)
            exchange._pump.flush()
            exchange._pump.wake()


def take_call(
    exchange: Exchange, answering: Answering, deadline: float | None = None
) -> tuple[int, Message | Whole] | None:
    """Take the next call of the peer's, waiting until `deadline` if there is one; None where there is nothing to do.

    `answering` counts who is under way, and has somebody else come where more calls wait.
    """
    pump = exchange._pump
    calls, asides = pump.asides.calls, pump.asides
    with exchange._lock.in_turn():
        if deadline is None:
            answering.handed -= 1
        elif not calls:
            answering.waiting += 1
            try:
                pump.wait(lambda: bool(calls) or pump.closing or pump.left_by_peer or pump.draining, deadline)
            finally:
                answering.waiting -= 1
        while calls and not pump.closing and answering.running < answering.most:
            number = calls.popleft()
            if not asides.waiting(number):
                continue  # It was cancelled before anybody came.
            message = asides.next(number)
            exchange.session.take(message)
            answering.running += 1
            if calls:
                answering.came()
            return number, message
        return None


def news_of(exchange: Exchange, number: int, deadline: float | None) -> Message | Whole | None:
    """Return what the caller has said of a call that is under way, waiting until `deadline` if there is one; None
    where it has said nothing.

    Raises `LinkClosed` where the link or the call is over.
    """
    pump, asides = exchange._pump, exchange._pump.asides
    with exchange._lock.in_turn():
        if deadline is not None:
            pump.wait(
                lambda: asides.waiting(number) or asides.over(number) or pump.closing or pump.left_by_peer, deadline
            )
        if not asides.waiting(number):
            if pump.ended or pump.closing or pump.left_by_peer or asides.over(number):
                raise LinkClosed("the call is over")
            return None
        message = asides.next(number)
        exchange.session.take(message)
        return message


def let_keeper_watch(exchange: Exchange) -> None:
    """Have somebody read while this thread does something long."""
    if not exchange._pump.reading:
        current_keeper().watch(exchange._pump)


def leave_call(exchange: Exchange, answering: Answering, number: int) -> None:
    """End a call that was answered, or wants no answer."""
    with exchange._lock.in_turn():
        answering.running -= 1
        exchange._end_aside(number)
        if exchange.session.has_output(time.monotonic()):
            exchange._pump.flush()
        if exchange._pump.asides.calls:
            answering.came()
        exchange._pump.wake()


def await_answers(exchange: Exchange, answering: Answering, deadline: float) -> bool:
    """Wait until every call that has come is answered; say whether that is so."""
    pump = exchange._pump
    with exchange._lock.in_turn():
        return pump.wait(lambda: not (answering.running or pump.asides.calls) or pump.closing, deadline)
