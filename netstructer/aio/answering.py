"""Answering: what the peer of a link has called is run, and told of, in tasks.  Floor: FAÇADES.

Law: each call gets one answer.  The twin of the blocking `answering.py`.

A coroutine function is awaited in the loop, and cancelled where its caller waits no more.  A plain function, which may
wait for a disk or compute for long, runs in a thread of the crew; so do the steps of a plain generator.

At most `Limits.calls` of one link are under way at once.  Further ones wait unread, and the peer's credit with them.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from netstructer.actions import Actions
from netstructer.aio.calling import say
from netstructer.aio.receiving import Receiving
from netstructer.answering import ANSWER_SECONDS, note
from netstructer.crew import crew
from netstructer.errors import (
    CallCancelled,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
    MessageTooBig,
    NetstructerError,
    PeerFault,
    UnsendableValue,
)
from netstructer.protocol.calls import STREAM_ITEMS, Asked, Word, asked_in, fault, more_in

if TYPE_CHECKING:
    from netstructer.address import Address
    from netstructer.aio.exchange import Exchange
    from netstructer.aio.link import Link

__all__ = ["Answering"]

logger = logging.getLogger("netstructer")

T = TypeVar("T")
_END = object()


class Answering:
    """The calls of one link's peer.  Single owner: the loop."""

    def __init__(self, link: Link, exchange: Exchange, actions: Actions) -> None:
        self.reference = weakref.ref(link)
        self.exchange = exchange
        self.actions = actions
        self.most = exchange.session.limits.calls
        self._running: dict[int, _Call] = {}

    def came(self) -> None:
        """Take what has come: calls, and what callers say of those that are under way."""
        asides = self.exchange.pump.asides
        for number, call in tuple(self._running.items()):
            if asides.waiting(number):
                call.heard.set()
        while asides.calls and len(self._running) < self.most:
            number = asides.calls.popleft()
            if asides.waiting(number):
                self._running[number] = _Call(self, number)

    async def idle(self, deadline: float) -> bool:
        """Wait until every call that has come is answered; say whether that is so."""
        pump = self.exchange.pump
        return await pump.waiters.until(lambda: not self._running or pump.closing, deadline)

    def left(self, number: int) -> None:
        """Take in that a call is over, and begin one that waits."""
        self._running.pop(number, None)
        self.exchange.close_aside(number)
        self.came()


class _Call:
    """One call under way: a task that runs it, and one that hears what its caller says meanwhile."""

    def __init__(self, answering: Answering, number: int) -> None:
        self._answering, self._exchange, self._number = answering, answering.exchange, number
        self._receiving = Receiving(self._exchange.pump, number)
        self._room = STREAM_ITEMS
        self._over = False
        self._deadline: float | None = None
        self.heard = asyncio.Event()
        """Set when the caller has said something."""
        loop = self._exchange.pump.loop
        self._task = loop.create_task(self._answer(), name=f"netstructer-action-{number}")

    # --- what an action is told -------------------------------------------------------------------------------------

    @property
    def link(self) -> Link:
        link = self._answering.reference()
        if link is None:
            raise LinkClosed("nobody holds the link any more")
        return link

    @property
    def peer(self) -> Address:
        return self._exchange.peer

    @property
    def user(self) -> str | None:
        return self.link.account or self.link.user

    @property
    def state(self) -> dict[str, Any]:
        return self.link.state

    @property
    def seconds_left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return self._over or late or self._exchange.pump.ended

    # --- the call ---------------------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        name = "a call that is none"
        listening: asyncio.Task[None] | None = None
        asked: Asked | None = None
        try:
            asked = asked_in(await self._receiving.next(None, None, self.link._blob_of))
            name = asked.name
            if asked.seconds is not None:
                self._deadline = time.monotonic() + asked.seconds
            listening = asyncio.current_task().get_loop().create_task(self._listen())  # type: ignore[union-attr]
            await self._run(asked)
        except asyncio.CancelledError:
            if not self._over:
                raise  # It is the loop that ends, and not the call.
        except (LinkClosed, LinkLost):
            pass  # There is nobody to tell.
        except BaseException as error:
            note(self._exchange.session.id, name, error)
            if asked is None or asked.wants_answer:
                await self._say(fault(error))
            if not isinstance(error, Exception):
                raise
        finally:
            if listening is not None:
                listening.cancel()
            self._answering.left(self._number)

    async def _run(self, asked: Asked) -> None:
        """Run the action and send what comes of it.  Raises what the action raises."""
        action, run = self._answering.actions.prepare(asked, self)
        if action.streams:
            found = run()
            await self._stream(asked, found)
            return
        result = await self._within(run()) if action.awaited else await _in_crew(run)
        if asked.wants_answer:
            await self._say((Word.RESULT.value, result))

    async def _within(self, work: Any) -> Any:
        """Await a coroutine for as long as its caller waits."""
        if self._deadline is None:
            return await work
        try:
            async with asyncio.timeout_at(
                self._exchange.pump.loop.time() + self._deadline - time.monotonic()
            ) as within:
                return await work
        except TimeoutError:
            if not within.expired():
                raise
            self._over = True
            raise CallCancelled("the caller waits no more") from None

    async def _stream(self, asked: Asked, items: Iterator[Any] | AsyncIterator[Any]) -> None:
        """Send what a generator yields, as far as the caller takes it; close it where that wants no more."""
        awaited = isinstance(items, AsyncIterator)
        try:
            self._deadline = None  # What the caller allows is for each item.
            if asked.wants_answer:
                await self._say((Word.STREAM.value,))
            while not self._over:
                item = await (anext(items, _END) if awaited else _in_crew(lambda: next(items, _END)))  # type: ignore[arg-type]
                if item is _END:
                    break
                if asked.wants_answer:
                    await self._await_room()
                    self._room -= 1
                    await self._say((Word.ITEM.value, item))
            if asked.wants_answer:
                await self._say((Word.END.value,))
        finally:
            if awaited:
                await items.aclose()  # type: ignore[union-attr]  # a generator
            else:
                await _in_crew(items.close)  # type: ignore[union-attr]  # a generator

    async def _await_room(self) -> None:
        pump = self._exchange.pump
        found = await pump.waiters.until(
            lambda: self._room > 0 or self._over or pump.ended, time.monotonic() + ANSWER_SECONDS
        )
        if not found:
            self._over = True  # as one that does not take an answer

    async def _listen(self) -> None:
        """Hear what the caller says of its call."""
        while not self._over:
            await self.heard.wait()
            self.heard.clear()
            while self._exchange.pump.asides.waiting(self._number):
                try:
                    more = more_in(await self._receiving.next(None, None, self.link._blob_of))
                except NetstructerError:
                    more = 0
                self._room += more
                self._over = self._over or more == 0
                self._exchange.pump.waiters.wake()
        self._task.cancel()

    async def _say(self, value: tuple[Any, ...]) -> None:
        """Send one value; what cannot be sent is told in its place, and then nothing more is."""
        if self._over:
            return
        compress = self.link._compress
        try:
            try:
                await say(self._exchange, self._number, value, compress=compress, idle_seconds=ANSWER_SECONDS)
            except (UnsendableValue, MessageTooBig) as error:
                note(self._exchange.session.id, "what an action returned", error)
                self._over = True
                instead = fault(error)
                await say(self._exchange, self._number, instead, compress=compress, idle_seconds=ANSWER_SECONDS)
        except (LinkClosed, LinkLost, LinkTimeout, MessageCancelled, PeerFault):
            self._over = True  # There is nobody to tell.


async def _in_crew(job: Callable[[], T]) -> T:
    """Return what `job()` returns, run in a thread of the crew.  Cancelled, it lets the job go on unheard."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # it is a T where there is no error

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = context.run(job)
        except BaseException as error:
            failure = RuntimeError("an action raised StopIteration") if isinstance(error, StopIteration) else error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:
            return  # The loop was closed: there is nobody to tell.

    crew().hand(run)
    return await future
