"""Answering: what the peer of a link has called is run, and told of, in tasks.  Floor: FAÇADES.

Law: each call gets one answer.  The twin of the blocking `answering.py`.

A coroutine function is awaited in the loop, and cancelled where its caller waits no more, or the link is over.  A plain
function, which may wait for a disk or compute for long, runs in a thread of the crew; a plain generator does from its
first step to its last, in one.  So does whatever else may take long before an action runs: who has a permission is
asked there, and arguments are held to their types.

At most `Limits.calls` of one link are under way at once.  Further ones wait unread, and the peer's credit with them.  A
call whose caller has left it is under way as long as its function is: a thread cannot be stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from netstructer.actions import Action, Actions
from netstructer.aio.calling import pack, post, say
from netstructer.aio.pouring import Pouring
from netstructer.aio.receiving import Receiving
from netstructer.answering import ANSWER_SECONDS, LOOK_SECONDS, Served, patient
from netstructer.crew import crew
from netstructer.errors import (
    Busy,
    CallCancelled,
    MessageTooBig,
    NetstructerError,
    UnsendableValue,
)
from netstructer.noting import note
from netstructer.protocol.calls import STREAM_ITEMS, WORD_BYTES, Asked, Word, asked_in, fault, more_in

if TYPE_CHECKING:
    from netstructer.aio.blob import Blob
    from netstructer.aio.exchange import Exchange
    from netstructer.aio.link import Link
    from netstructer.protocol.assembly import Message, Whole

__all__ = ["Answering"]

T = TypeVar("T")


class Answering:
    """The calls of one link's peer.  Single owner: the loop."""

    def __init__(self, link: Link, exchange: Exchange, actions: Actions) -> None:
        self.reference = weakref.ref(link)
        self.exchange = exchange
        self.actions = actions
        self.most = exchange.session.limits.calls
        self.context = contextvars.copy_context()
        """What each call begins with: what one sets is not the next one's, which may be another user's."""
        self._running: dict[int, _Call] = {}
        self._kept: Link | None = None
        """The link, while calls wait: its holder may have heard the farewell behind them, and let go of it."""
        self._stopped = False

    def came(self, number: int) -> None:
        """Take what has come: a call, or what its caller says of one that is under way."""
        call = self._running.get(number)
        if call is not None:
            call.hear()
        else:
            self._begin()

    def _begin(self) -> None:
        calls, link = self.exchange.pump.asides.calls, self._kept or self.reference()
        while calls and len(self._running) < self.most and not self._stopped:
            number = calls.popleft()
            self._running[number] = call = _Call(self, number, link)
            call.begin()
        self._kept = link if calls else None

    def left(self, number: int, *, begin: bool = True) -> None:
        """Take in that a call is over, and begin one that waits."""
        self._running.pop(number, None)
        if begin:
            self._begin()
        self.exchange.pump.waiters.wake()

    def end(self) -> None:
        """Take in that the link is over: nobody waits for a result any more.  Notices are run that the peer gave before
        it left.
        """
        pump = self.exchange.pump
        self._stopped = pump.closing and not pump.left_by_peer
        for call in tuple(self._running.values()):
            if call.is_waited_for or self._stopped:
                call.cancel()

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel all that runs, but for the one that asks for it, and begin no more; return the tasks."""
        self._stopped = True
        others = self._others()
        for call in others:
            call.cancel()
        return [call.task for call in others if call.task is not None]

    async def idle(self, deadline: float) -> bool:
        """Wait until every call that has come is answered, but for one that waits here; say whether that is so."""
        pump = self.exchange.pump
        return await pump.waiters.until(lambda: pump.closing or pump.ended or not self._others(), deadline)

    def _others(self) -> list[_Call]:
        own = asyncio.current_task()
        return [call for call in self._running.values() if call.task is not own]


class _Call(Served):
    """One call under way: a task that runs it."""

    _exchange: Exchange

    def __init__(self, answering: Answering, number: int, link: Link | None) -> None:
        super().__init__(answering.exchange, answering.reference, link)
        self._answering, self._number = answering, number
        self._receiving = Receiving(self._exchange.pump, number)
        # Taken before anything else can happen, such as the end of the link.
        self._message: list[Message | Whole] = [self._receiving.take_at_once()]
        self._room = STREAM_ITEMS
        self._over = self._asked = self._done = False
        self._jobs = 0
        """Threads that work for it."""
        self._blobs: list[Blob] = []
        self._wants_answer = True
        self.task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to answer; nothing of it is done at once, unless the loop begins its tasks so."""
        name, context = f"netstructer-action-{self._number}", self._answering.context.copy()
        task = self._exchange.pump.loop.create_task(self._answer(), name=name, context=context)
        self.task = None if self._done else task

    # --- what an action is told -------------------------------------------------------------------------------------

    @property
    def cancelled(self) -> bool:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self._over = True
        return self._over or self._exchange.pump.ended

    # --- the call ---------------------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        name, ended = "a call that is none", False
        self.task = task = asyncio.current_task()
        assert task is not None
        try:
            asked = asked_in(await self._receiving.value_of(self._message.pop(), self._blob_of))
            if asked is None:
                return
            name, self._asked, self._wants_answer = asked.name, True, asked.wants_answer
            if asked.wants_answer:
                self.kept = None  # Where nobody holds the link any more, nobody waits either.
            if asked.seconds is not None:
                self.deadline = time.monotonic() + asked.seconds
            self.hear()
            if not (self.is_waited_for and self.cancelled):
                await self._run(asked)
        except (GeneratorExit, KeyboardInterrupt):
            ended = True
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and task.cancelling():
                if self._over:
                    return
                ended = True  # It is the loop that ends, and not the call.
                self._tell(error)
                raise
            note(self._exchange.session.id, self.peer.host, name, error)
            self._tell(error)
        finally:
            self._over = self._done = True
            self.kept = None
            self._blobs.clear()
            self._exchange.end_aside(self._number)
            self.task = None
            if not self._jobs:
                self._answering.left(self._number, begin=not ended)

    async def _run(self, asked: Asked) -> None:
        """Run the action and send what comes of it.  Raises what the action raises."""
        table = self._answering.actions
        action = table.find(asked.name)
        if action.awaited or action.streams:
            if action.is_guarded:
                _, run = await self._in_crew(lambda: table.prepare(asked, self))
            else:
                _, run = table.prepare(asked, self)
            found = run()
        else:
            self._give_blobs_to_a_thread()
            found = await self._in_crew(lambda: _call(table.prepare(asked, self)))
        if isinstance(found, AsyncGenerator):
            await self._stream(found)
        elif isinstance(found, Generator):
            self._give_blobs_to_a_thread()
            await self._stream(Pouring(found, self._start))
        else:
            result = await self._within(found) if inspect.isawaitable(found) else found
            await self._say((Word.RESULT.value, result))

    async def _within(self, work: Awaitable[T]) -> T:
        """Await a coroutine for as long as its caller waits."""
        if self.deadline is None:
            return await work
        loop = self._exchange.pump.loop
        try:
            async with asyncio.timeout_at(loop.time() + self.deadline - time.monotonic()) as within:
                return await work
        except TimeoutError:
            if not within.expired():
                raise
            self._over = True
            raise CallCancelled("the caller waits no more") from None

    async def _stream(self, items: AsyncGenerator[Any, None] | Pouring) -> None:
        """Send what a generator yields, as far as the caller takes it."""
        self.deadline = None  # What the caller allows is for each item.
        async with contextlib.aclosing(items):
            await self._say((Word.STREAM.value,))
            async for item in items:
                await self._give(item)
        await self._say((Word.END.value,))

    async def _give(self, item: object) -> None:
        """Send an item when the caller wants it.  Raises `CallCancelled` where it wants no more."""
        if self._wants_answer:
            await self._await_room()
        if self.cancelled:
            raise CallCancelled("the caller waits no more")
        self._room -= 1
        await self._say((Word.ITEM.value, item))

    async def _await_room(self) -> None:
        pump, began = self._exchange.pump, time.monotonic()
        while not await pump.waiters.until(
            lambda: self._room > 0 or self._over or pump.ended, time.monotonic() + LOOK_SECONDS
        ):
            if not patient(began):
                raise CallCancelled("nobody has taken anything of the stream for long")

    # --- what the caller says meanwhile -----------------------------------------------------------------------------

    def hear(self) -> None:
        """Hear what the caller says of its call, once it is known what that is."""
        while self.is_waited_for and not self._over and self._exchange.pump.asides.waiting(self._number):
            try:
                more = more_in(self._receiving.at_once(WORD_BYTES, self._blob_of))
            except NetstructerError:
                more = 0  # What is no word of a call is as good as its end.
            if more == 0:
                self.cancel()
            self._room += more
            self._exchange.pump.waiters.wake()

    @property
    def is_waited_for(self) -> bool:
        """Whether its caller wants an answer, as far as that is known."""
        return self._asked and self._wants_answer

    def cancel(self) -> None:
        """End it: nobody waits for it any more."""
        if self.task is not None:
            self._over = True
            self.task.cancel()

    # --- what is said to it -----------------------------------------------------------------------------------------

    async def _say(self, value: tuple[Any, ...]) -> None:
        """Say one value, where one is wanted; where it cannot be said, that is told in its place."""
        if self._over or not self._wants_answer:
            return
        exchange = self._exchange
        try:
            compress = self.link._compress
            packed = await pack(exchange, value, compress=compress, source_seconds=ANSWER_SECONDS)
        except (UnsendableValue, MessageTooBig) as error:
            note(exchange.session.id, self.peer.host, "what an action returned", error)
            self._tell(error)
            return
        try:
            await say(exchange, self._number, packed, unsent=self._tell, idle_seconds=ANSWER_SECONDS)
        except NetstructerError:
            self._over = True
        except BaseException:
            self._over = True  # What a source raised: whoever reads that blob is told by it.
            raise

    def _tell(self, error: BaseException) -> None:
        """Say why there is no answer, or no more of it, without waiting; nothing, where nobody wants to know."""
        if not self._over and self._wants_answer:
            self._over = True
            post(self._exchange, self._number, fault(error))

    # --- threads ----------------------------------------------------------------------------------------------------

    async def _in_crew(self, job: Callable[[], T]) -> T:
        """Return what `job()` returns, run in a thread of the crew.  Cancelled, it lets the job go on unheard.

        Raises `Busy` where no thread can be had.
        """
        future = self._start(job)
        try:
            return await future
        finally:
            del future  # It holds the error, whose traceback holds this frame.

    def _start(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Have a job done in a thread of the crew.  Raises `Busy`."""
        future: asyncio.Future[T] = self._exchange.pump.loop.create_future()
        context = contextvars.copy_context()
        if not crew().hand(partial(self._work, lambda: context.run(job), future)):
            raise Busy("no thread is left for what is called")
        self._jobs += 1
        return future

    def _work(self, job: Callable[[], T], future: asyncio.Future[T]) -> None:
        """Do a job, in a thread."""
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = job()
        except BaseException as error:
            # A future takes no StopIteration: whoever awaits it would take that for its own end.
            failure = RuntimeError("an action raised StopIteration") if isinstance(error, StopIteration) else error
        with contextlib.suppress(RuntimeError):  # The loop was closed: there is nobody to tell.
            self._exchange.pump.loop.call_soon_threadsafe(self._settle, future, result, failure)
        del failure, future

    def _settle(self, future: asyncio.Future[Any], result: object, failure: BaseException | None) -> None:
        self._jobs -= 1
        if not future.done():
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)
        if self._done and not self._jobs:
            self._answering.left(self._number)

    def _blob_of(self, message: Message, place: int) -> Blob:
        blob: Blob = self.link._blob_of(message, place)
        self._blobs.append(blob)
        return blob

    def _give_blobs_to_a_thread(self) -> None:
        """Make ordinary blobs of those among the arguments: whoever reads them waits, and does not await."""
        for blob in self._blobs:
            blob._leave_loop()


def _call(prepared: tuple[Action, Callable[[], Any]]) -> Any:
    return prepared[1]()
