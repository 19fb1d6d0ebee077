"""Calling: what a link asks of its peer by name, awaited.  Floor: FAÇADES.

Law: a call that is not waited for any more is cancelled, and its number never heard of again.  The twin of the blocking
`calling.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from netstructer import talking
from netstructer.aio.conversation import drop
from netstructer.aio.receiving import Receiving
from netstructer.aio.weighing import is_heavy
from netstructer.calling import Streaming
from netstructer.errors import BadValue, LinkClosed, LinkLost, LinkTimeout, NetstructerError, PeerFault
from netstructer.protocol.calls import Word, answer_in, ask, raise_fault
from netstructer.protocol.outgoing import Outgoing
from netstructer.sockets import deadline_after

if TYPE_CHECKING:
    from netstructer.aio.blob import Blob
    from netstructer.aio.exchange import Exchange
    from netstructer.protocol.assembly import Message
    from netstructer.protocol.outgoing import Single

__all__ = ["Stream", "call", "notify", "pack", "post", "say"]


async def pack(exchange: Exchange, value: object, *, compress: bool, source_seconds: float | None) -> Single | Outgoing:
    """Return one value of a call as what can be said: what is much is encoded and compressed in the loop's executor.

    Raises `UnsendableValue` and `MessageTooBig`.
    """
    await exchange.turn()
    payloads = exchange.session.payloads
    if not is_heavy(value):
        return talking.pack(payloads, value, compress=compress, source_seconds=source_seconds)

    def pack_ahead() -> Single | Outgoing:
        packed = talking.pack(payloads, value, compress=compress, source_seconds=source_seconds)
        if isinstance(packed, Outgoing):
            packed.prepare()
        return packed

    return await exchange.pump.loop.run_in_executor(None, pack_ahead)


async def say(
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
        await exchange.submit(outgoing, lambda: outgoing.done, deadline=deadline, idle_seconds=idle_seconds)
    except BaseException as error:
        if not outgoing.value_number:
            unsent(error)
        raise


def post(exchange: Exchange, number: int, value: object) -> None:
    """Say a short value and do not wait, where there is somebody to hear it, and not too much that waits already."""
    session = exchange.session
    with contextlib.suppress(LinkClosed, LinkLost, PeerFault):
        if session.traffic.waiting_bytes <= session.limits.backlog_bytes:
            session.queue(talking.composed(session, number, value))
            exchange.pump.flush()


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
    packed = await pack(exchange, question, compress=compress, source_seconds=timeout)
    number = _open_call(exchange)
    receiving = Receiving(exchange.pump, number)
    try:
        await say(exchange, number, packed, unsent=lambda _: exchange.end_aside(number), deadline=deadline)
        answer = answer_in(await receiving.next(deadline, None, blob_of))
        if answer.word is Word.STREAM:
            return Stream(exchange, receiving, number, name, blob_of, timeout)
        if answer.word not in (Word.RESULT, Word.FAULT):
            raise BadValue("expected the first answer to a call, found a later one")
    except BaseException as error:
        _cancel(exchange, number)
        if isinstance(error, LinkTimeout):
            raise LinkTimeout(f"no answer to {name!r} came in time", action=name) from error
        raise
    exchange.end_aside(number)
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
    deadline = deadline_after(timeout)
    question = ask(name, positional, named, None, wants_answer=False)
    packed = await pack(exchange, question, compress=compress, source_seconds=timeout)
    number = _open_call(exchange)
    try:
        await say(exchange, number, packed, unsent=lambda _: None, deadline=deadline)
    finally:
        exchange.end_aside(number)


def _open_call(exchange: Exchange) -> int:
    exchange.session.check_open()
    return exchange.pump.asides.open_call()


def _cancel(exchange: Exchange, number: int) -> None:
    if not exchange.pump.asides.over(number):
        post(exchange, number, (Word.CANCEL.value,))
        exchange.end_aside(number)


class Stream(Streaming, AsyncIterator[Any]):
    """What a streaming action yields, item by item, as it comes.

    The peer is a few items ahead of who takes them, and no more.  `close`, the end of an `async with` block, and the
    collector tell it to stop.  One task at a time.
    """

    _exchange: Exchange

    def __init__(
        self,
        exchange: Exchange,
        receiving: Receiving,
        number: int,
        name: str,
        blob_of: Callable[[Message, int], Blob],
        timeout: float | None,
    ) -> None:
        super().__init__(exchange, number, name, timeout, partial(drop, exchange))
        self._receiving, self._blob_of = receiving, blob_of

    async def __anext__(self) -> Any:
        """Return the next item.  Raises `LinkTimeout` where it took longer than the call's `timeout`, and what the
        action raised there.
        """
        if self._over:
            raise StopAsyncIteration
        try:
            await self._exchange.turn()
            answer = answer_in(await self._receiving.next(deadline_after(self._timeout), None, self._blob_of))
            if self._is_item(answer, self._receiving.charge):
                return answer.value
        except NetstructerError as error:
            self.close()
            if isinstance(error, LinkTimeout):
                raise self._late() from error
            raise
        self._finish(answer)
        raise StopAsyncIteration

    def _post(self, value: object) -> None:
        post(self._exchange, self._number, value)

    def _leave(self) -> None:
        self._exchange.end_aside(self._number)

    def _cancel(self) -> None:
        _cancel(self._exchange, self._number)

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
