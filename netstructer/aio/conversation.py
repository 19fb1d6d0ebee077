"""Conversations: values beside the application's own, on the same link.  Floor: FAÇADES.  Law: `recv` never sees them.

The twin of the blocking `conversation.py`, which says what a conversation is.  A `Channel` is one in a thread: file
transfers, which exist once (`transfer/`), read and write files between what they say.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import weakref
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from netstructer.aio.receiving import Receiving
from netstructer.aio.weighing import is_heavy
from netstructer.aio.workers import Worker
from netstructer.conversation import CLOSE_SECONDS
from netstructer.errors import BadValue, LinkClosed, LinkLost, LinkTimeout, MessageCancelled
from netstructer.protocol.states import CancelCode
from netstructer.sockets import deadline_after

if TYPE_CHECKING:
    from netstructer.aio.exchange import Exchange
    from netstructer.codec.blob import Blob
    from netstructer.protocol.assembly import Message
    from netstructer.protocol.outgoing import Outgoing

__all__ = ["Channel", "Conversation", "drop"]

T = TypeVar("T")


class Conversation:
    """One dialogue on a link.  Every method may be called from several tasks at once."""

    def __init__(
        self, exchange: Exchange, number: int, blob_of: Callable[[Message, int], Blob], *, compress: bool, known: bool
    ) -> None:
        self._exchange = exchange
        self._receiving = Receiving(exchange.pump, number)
        self._blob_of = blob_of
        self._compress = compress
        self._closed = self._left_by_peer = False
        self._last_words: list[Outgoing] = []
        """What tells the other end that this one is over, from when it knows of it; made before the collector comes."""
        self._finalizer = weakref.finalize(self, drop, exchange, number, self._last_words)
        self._finalizer.atexit = False
        self.number = number
        """Names it on this link: odd where the client opened it, even where the server did."""
        if known:
            self._become_known()

    async def send(self, value: object, *, timeout: float | None = None) -> None:
        """Send one value; return when it and its blobs have been sealed.

        `timeout` is the longest time, in seconds, in which not one record of it may go.  Raises as `Link.send` does,
        and `MessageCancelled` where the other end wants no more of a blob.  A blob that arrives is waited for as long.
        """
        await self._exchange.turn()
        if self._closed or self._left_by_peer:
            raise LinkClosed("the conversation is over")
        if not self._last_words:
            self._become_known()
        outgoing = await self._composed(value, timeout)
        if self._closed:  # while it was encoded
            raise LinkClosed("the conversation is over")
        await self._submit(outgoing, timeout)

    async def recv(self, *, timeout: float | None = None) -> Any:
        """Return the next value of the other end; its blobs may still be coming.

        Raises `LinkTimeout`, `BadValue`, and `LinkClosed` where the other end has closed the conversation or the link.
        """
        await self._exchange.turn()
        if self._closed or self._left_by_peer:
            raise LinkClosed("the conversation is over")
        match await self._receiving.next(deadline_after(timeout), None, self._blob_of):
            case (value,):
                return value
            case ():
                self._left_by_peer = True
                self._exchange.close_aside(self.number)
                raise LinkClosed("the other end has closed the conversation")
        raise BadValue("expected a value of a conversation, in a tuple of its own")

    def wire_bytes(self) -> int:
        """Return the bytes that the link has moved so far, both ways, as on the wire."""
        traffic = self._exchange.session.traffic
        return traffic.wire_sent + traffic.wire_received

    async def close(self) -> None:
        """Say that this end is done, and forget what has not been read.  May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._finalizer.detach()
        try:
            if self._last_words and not self._left_by_peer:
                await self._submit(self._last_words[0], CLOSE_SECONDS)
        except (LinkClosed, LinkLost, LinkTimeout, MessageCancelled):
            pass  # There is nobody to tell.
        finally:
            self._exchange.close_aside(self.number)

    def _become_known(self) -> None:
        self._last_words.append(self._compose(()))

    async def _submit(self, outgoing: Outgoing, timeout: float | None) -> None:
        await self._exchange.submit(outgoing, lambda: outgoing.done, idle_seconds=timeout)
        if outgoing.skipped_blobs:
            raise MessageCancelled("the other end wants no more of a blob", code=CancelCode.ABANDONED)

    async def _composed(self, value: object, timeout: float | None) -> Outgoing:
        """Return a value as a message: what is much is encoded and compressed in the loop's executor."""
        if not is_heavy(value):
            return self._compose((value,), timeout)

        def compose() -> Outgoing:
            outgoing = self._compose((value,), timeout)
            outgoing.prepare()
            return outgoing

        return await self._exchange.pump.loop.run_in_executor(None, compose)

    def _compose(self, body: tuple[object, ...], timeout: float | None = None) -> Outgoing:
        payloads = self._exchange.session.payloads
        outgoing = payloads.compose(payloads.encode(body), compress=self._compress, source_seconds=timeout)
        outgoing.conversation = self.number
        return outgoing

    async def __aenter__(self) -> Conversation:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Conversation {self.number} of link {self._exchange.session.id}>"


class Channel:
    """A conversation, spoken in a worker's thread, where every call waits.

    Once it was stopped, whatever it waits for ends, and each further call raises `LinkClosed`.
    """

    def __init__(self, aside: Conversation) -> None:
        self._aside = aside
        self._loop = asyncio.get_running_loop()
        self._waiting: concurrent.futures.Future[Any] | None = None
        self._stopped = False

    async def run(self, dialogue: Callable[[Channel], T]) -> T:
        """Return what `dialogue(channel)` returns, in a thread of its own; cancelled, stop it."""
        worker = Worker("netstructer-transfer")
        try:
            return await worker.run(lambda: dialogue(self))
        finally:
            self._stopped = True
            if self._waiting is not None:
                self._waiting.cancel()
            worker.close()

    def send(self, value: object, *, timeout: float | None = None) -> None:
        """Send one value, as `Conversation.send` does."""
        self._wait(self._aside.send(value, timeout=timeout))

    def recv(self, *, timeout: float | None = None) -> Any:
        """Return the next value of the other end, as `Conversation.recv` does."""
        return self._wait(self._aside.recv(timeout=timeout))

    def wire_bytes(self) -> int:
        """Return the bytes that the link has moved so far, both ways, as on the wire."""
        return self._aside.wire_bytes()

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._stopped:
            coroutine.close()
            raise LinkClosed("the transfer was cancelled")
        try:
            self._waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise LinkClosed("the loop of the link is closed") from None
        if self._stopped:
            self._waiting.cancel()
        try:
            found: T = self._waiting.result()
            return found
        except concurrent.futures.CancelledError:
            raise LinkClosed("the transfer was cancelled") from None
        finally:
            self._waiting = None


def drop(exchange: Exchange, number: int, last_words: list[Outgoing]) -> None:
    """End a conversation that nobody holds any more.  Called by the collector, in any thread."""
    with contextlib.suppress(RuntimeError):
        exchange.pump.loop.call_soon_threadsafe(exchange.drop_aside, number, last_words)
