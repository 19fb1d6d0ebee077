"""Talking: what an exchange does for calls, at either end.  Floor: FAÇADES.  Law: nothing without the lock.

A call is a conversation of its own (protocol/calls.py).  The caller packs what it asks for, opens one, says it and
waits for the answer (`pack`, `open_call`, `say`, `next_aside`); the other end takes it (`take_call`), answers, and is
done (`leave_call`).  These are functions of an exchange, as in `dialogues.py`.

A call that was opened before the server began to leave goes on to its end: what belongs to it is no new thing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from netstructer.dialogues import end_aside
from netstructer.errors import Busy, LinkClosed, LinkLost, PeerFault
from netstructer.keeper import current_keeper
from netstructer.protocol.calls import fault
from netstructer.protocol.outgoing import Outgoing, Single

if TYPE_CHECKING:
    from netstructer.answering import Answering
    from netstructer.exchange import Exchange
    from netstructer.link import Link
    from netstructer.protocol.assembly import Message, Whole
    from netstructer.protocol.payloads import Payloads
    from netstructer.protocol.session import Session

__all__ = [
    "await_answers",
    "close_call",
    "composed",
    "is_unsettled",
    "leave_call",
    "let_keeper_watch",
    "news_of",
    "open_call",
    "pack",
    "post",
    "say",
    "say_and_leave",
    "take_call",
    "turn_away",
]


def pack(payloads: Payloads, value: object, *, compress: bool, source_seconds: float | None) -> Single | Outgoing:
    """Return one value of a call as what can be said.  Raises `UnsendableValue` and `MessageTooBig`."""
    encoded = payloads.encode(value)
    single = payloads.single(encoded, compress=compress)
    if single is not None:
        return single
    return payloads.compose(encoded, compress=compress, source_seconds=source_seconds)


def composed(session: Session, number: int, value: object) -> Outgoing:
    """Return a short value of a call as a message to queue."""
    outgoing = session.payloads.compose(session.payloads.encode(value), compress=False)
    outgoing.conversation = number
    return outgoing


def open_call(exchange: Exchange) -> int:
    """Begin a call; return the number of its conversation.  Raises what ended the session."""
    pump = exchange._pump
    with exchange._lock.in_turn():
        exchange.session.check_open()
        if pump.dismissed:
            raise LinkClosed("the server is about to leave, and takes nothing new")
        return pump.asides.open_call()


def say(
    exchange: Exchange,
    number: int,
    packed: Single | Outgoing,
    *,
    unsent: Callable[[BaseException], object],
    deadline: float | None = None,
    idle_seconds: float | None = None,
) -> None:
    """Say one value of a call, and return when it and its blobs are sealed, or not wanted there.

    `deadline` is a time on the monotonic clock, `idle_seconds` the longest time in which not one record of it may go.
    Raises `LinkTimeout`, `MessageCancelled`, what a source raised, and what ended the session.  Where the other end
    hears nothing of the value because of that, `unsent(error)` is called first.
    """
    if not isinstance(packed, Outgoing):
        if exchange.submit_now(packed, 0, number) is not None:
            return
        packed = packed.outgoing()
    outgoing = packed
    outgoing.conversation = number
    try:
        exchange.submit(outgoing, lambda: outgoing.done, deadline=deadline, idle_seconds=idle_seconds)
    except BaseException as error:
        if not outgoing.value_number:
            unsent(error)
        raise


def post(exchange: Exchange, number: int, value: object) -> None:
    """Say a short value and do not wait, where there is somebody to hear it, and not too much that waits already; who
    works here sends what the socket does not take.
    """
    session = exchange.session
    outgoing = composed(session, number, value)
    with exchange._lock.in_turn(), contextlib.suppress(LinkClosed, LinkLost, PeerFault):
        if session.traffic.waiting_bytes <= session.limits.backlog_bytes:
            session.queue(outgoing)
            exchange._pump.flush()


def say_and_leave(exchange: Exchange, number: int, value: object) -> None:
    """Say a last word without waiting, where the call is not over, and end it."""
    outgoing = composed(exchange.session, number, value)
    with exchange._lock.in_turn():
        if not exchange._pump.asides.over(number):
            with contextlib.suppress(LinkClosed, LinkLost, PeerFault):
                exchange.session.queue(outgoing)
            end_aside(exchange, number)
            exchange._pump.flush()


def close_call(exchange: Exchange, number: int) -> None:
    """End a call of which all was said: nobody else waits in it."""
    with exchange._lock.in_turn():
        end_aside(exchange, number)


def take_call(
    exchange: Exchange, answering: Answering, deadline: float | None = None
) -> tuple[int, Message | Whole, Link | None] | None:
    """Take the next call of the peer's, waiting until `deadline` if there is one; None where there is nothing to do.

    With it comes the link, if anybody holds that.  `answering` knows who is under way, and has somebody else come where
    more calls wait.
    """
    pump = exchange._pump
    asides, calls = pump.asides, pump.asides.calls
    with exchange._lock.in_turn():
        if deadline is None:
            answering.handed -= 1
        elif not calls:
            answering.waiting += 1
            try:
                pump.wait(lambda: bool(calls) or pump.closing or pump.left_by_peer or pump.draining, deadline)
            finally:
                answering.waiting -= 1
        link = answering.kept or answering.reference()
        if not calls:
            answering.kept = None
        if not calls or len(answering.running) >= answering.most:
            return None
        number = calls.popleft()
        message = asides.next(number)
        exchange.session.take(message)
        if exchange.session.inflow.inbound.urgent:
            pump.flush()  # The peer may wait for credit, and what is called may take long.
        answering.running[number] = threading.get_ident()
        if calls:
            answering.came()
        else:
            answering.kept = None
        return number, message, link


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


def is_unsettled(exchange: Exchange, number: int) -> bool:
    """Say whether `news_of` has something to tell, or to raise.  Takes no lock: what comes later is told later."""
    pump = exchange._pump
    return pump.asides.waiting(number) or pump.ended or pump.closing or pump.left_by_peer


def let_keeper_watch(exchange: Exchange) -> None:
    """Have somebody read while this thread does something long."""
    if not exchange._pump.reading:
        current_keeper().watch(exchange._pump)


def leave_call(exchange: Exchange, answering: Answering, number: int) -> None:
    """End a call that was answered, or wants no answer."""
    pump = exchange._pump
    with exchange._lock.in_turn():
        answering.running.pop(number, None)
        end_aside(exchange, number)
        if exchange.session.has_output(time.monotonic()):
            pump.flush()
        if pump.asides.calls:
            answering.came()
        if pump.draining:
            pump.wake_all()


def turn_away(exchange: Exchange) -> None:
    """Answer the calls that wait, under the lock: there is nobody to run them."""
    pump, session = exchange._pump, exchange.session
    while pump.asides.calls:
        number = pump.asides.calls.popleft()
        with contextlib.suppress(LinkClosed, LinkLost, PeerFault):
            session.queue(composed(session, number, fault(Busy("no thread is left for what is called"))))
        end_aside(exchange, number)


def await_answers(exchange: Exchange, answering: Answering, deadline: float) -> bool:
    """Wait until every call that has come is answered, but for one that waits here itself; say whether that is so.

    This end is leaving: whoever leaves a call wakes who waits here, which takes no part in the reading.
    """
    pump, own = exchange._pump, threading.get_ident()
    with exchange._lock.in_turn():
        while pump.asides.calls or set(answering.running.values()) - {own}:
            left = deadline - time.monotonic()
            if pump.ended or pump.closing or left <= 0:
                return False
            pump.changed.wait(left)
        return True
