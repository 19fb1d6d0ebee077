"""Calling: what a link asks of its peer by name, awaited.  Floor: FAÇADES.

Law: a call that is not waited for any more is cancelled, and its number never heard of again.  The twin of the blocking
`calling.py`.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from netstructer.aio.conversation import drop
from netstructer.aio.receiving import Receiving
from netstructer.aio.weighing import is_heavy
from netstructer.errors import (
    BadValue,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
    NetstructerError,
    PeerFault,
)
from netstructer.protocol.calls import STREAM_ITEMS, Word, answer_in, ask, raise_fault
from netstructer.protocol.states import CancelCode
from netstructer.sockets import deadline_after
from netstructer.talking import composed

if TYPE_CHECKING:
    from netstructer.aio.blob import Blob
    from netstructer.aio.exchange import Exchange
    from netstructer.protocol.assembly import Message
    from netstructer.protocol.outgoing import Outgoing, Single

__all__ = ["Stream", "call", "notify", "say"]


async def say(exchange: Exchange, number: int, value: object, *, compress: bool, idle_seconds: float | None) -> None:
    """Send one value of a call, and return when it and its blobs are sealed.

    `idle_seconds` is the longest time in which not one record of it may go.  Raises `UnsendableValue`, `MessageTooBig`,
    `LinkTimeout`, `MessageCancelled` where the other end wants no more of a blob, and what ended the session.
    """
    payloads = exchange.session.payloads

    def pack(*, ahead: bool) -> Single | Outgoing:
        encoded = payloads.encode(value)
        single = payloads.single(encoded, compress=compress)
        if single is not None:
            return single
        outgoing = payloads.compose(encoded, compress=compress, source_seconds=idle_seconds)
        if ahead:
            outgoing.prepare()
        return outgoing

    await exchange.turn()
    if is_heavy(value):
        packed = await exchange.pump.loop.run_in_executor(None, lambda: pack(ahead=True))
    else:
        packed = pack(ahead=False)
    if isinstance(packed, tuple):
        if exchange.submit_now(packed, 0, number) is not None:
            return
        packed = packed.outgoing()
    outgoing = packed
    outgoing.conversation = number
    await exchange.submit(outgoing, lambda: outgoing.done, idle_seconds=idle_seconds)
    if outgoing.skipped_blobs:
        raise MessageCancelled("the other end wants no more of a blob", code=CancelCode.ABANDONED)


async def call(
    exchange: Exchange,
    blob_of: Callable[[Message, int], Blob],
    name: str,
    positional: tuple[Any, ...],
    named: dict[str, Any],
    *,
    timeout: float | None,
    compress: bool,
) -> Any:
    """Ask for an action and return its result, or a `Stream`.  Raises as `Link.call` says."""
    deadline = deadline_after(timeout)
    question = ask(name, positional, named, timeout, wants_answer=True)
    number = _open_call(exchange)
    receiving = Receiving(exchange.pump, number)
    try:
        await say(exchange, number, question, compress=compress, idle_seconds=timeout)
        answer = answer_in(await receiving.next(deadline, None, blob_of))
        if answer.word is Word.STREAM:
            return Stream(exchange, receiving, number, name, blob_of, timeout)
        if answer.word not in (Word.RESULT, Word.FAULT):
            raise BadValue("expected the first answer to a call, found a later one")
    except BaseException as error:
        _cancel(exchange, number)
        if isinstance(error, LinkTimeout):
            raise LinkTimeout(f"no answer to {name!r} came in time") from error
        raise
    exchange.close_aside(number)
    if answer.word is Word.FAULT:
        raise_fault(name, answer)
    return answer.value


async def notify(
    exchange: Exchange,
    name: str,
    positional: tuple[Any, ...],
    named: dict[str, Any],
    *,
    timeout: float | None,
    compress: bool,
) -> None:
    """Ask for an action and want no answer."""
    question = ask(name, positional, named, None, wants_answer=False)
    number = _open_call(exchange)
    try:
        await say(exchange, number, question, compress=compress, idle_seconds=timeout)
    finally:
        exchange.close_aside(number)


def _open_call(exchange: Exchange) -> int:
    exchange.check_loop()
    exchange.session.check_open()
    return exchange.pump.asides.open_call()


def _cancel(exchange: Exchange, number: int) -> None:
    if not exchange.pump.asides.over(number):
        _post(exchange, number, (Word.CANCEL.value,))
        exchange.close_aside(number)


def _post(exchange: Exchange, number: int, value: object) -> None:
    """Queue a value of a call and do not wait, where there is still somebody to hear it."""
    try:
        exchange.session.queue(composed(exchange.session, number, value))
        exchange.pump.flush()
    except (LinkClosed, LinkLost, PeerFault):
        pass  # There is nobody to tell.


class Stream(AsyncIterator[Any]):
    """What a streaming action yields, item by item, as it comes.

    The peer is a few items ahead of who takes them, and no more.  `close`, the end of an `async with` block, and the
    collector tell it to stop.  One task at a time.
    """

    def __init__(
        self,
        exchange: Exchange,
        receiving: Receiving,
        number: int,
        name: str,
        blob_of: Callable[[Message, int], Blob],
        timeout: float | None,
    ) -> None:
        self._exchange, self._receiving, self._number, self._name = exchange, receiving, number, name
        self._blob_of = blob_of
        self._timeout = timeout
        self._taken = 0
        self._over = False
        self._finalizer = weakref.finalize(
            self, drop, exchange, number, [composed(exchange.session, number, (Word.CANCEL.value,))]
        )
        self._finalizer.atexit = False

    async def __anext__(self) -> Any:
        """Return the next item.  Raises `LinkTimeout` where it took longer than the call's `timeout`, and what the
        action raised there."""
        if self._over:
            raise StopAsyncIteration
        exchange = self._exchange
        try:
            answer = answer_in(await self._receiving.next(deadline_after(self._timeout), None, self._blob_of))
            if answer.word is Word.ITEM:
                self._taken += 1
                if self._taken == STREAM_ITEMS // 2:
                    _post(exchange, self._number, (Word.MORE.value, self._taken))
                    self._taken = 0
                return answer.value
            if answer.word not in (Word.END, Word.FAULT):
                raise BadValue("expected an item of a stream, or its end")
        except NetstructerError:
            self.close()
            raise
        self._over = True
        self._finalizer.detach()
        exchange.close_aside(self._number)
        if answer.word is Word.FAULT:
            raise_fault(self._name, answer)
        raise StopAsyncIteration

    def close(self) -> None:
        """Want no more of it: the action is told so.  May be called twice."""
        if not self._over:
            self._over = True
            self._finalizer.detach()
            _cancel(self._exchange, self._number)

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a stream cannot be copied or pickled")

    def __repr__(self) -> str:
        return f"<Stream of {self._name!r} on link {self._exchange.session.id}{' over' if self._over else ''}>"
