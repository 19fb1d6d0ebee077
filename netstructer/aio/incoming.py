"""Incoming: the bytes of one blob that is coming in.  Floor: FAÇADES.  Law: nobody waits for a blob in the loop.

What `codec/reading.py` reads from, in two manners.  In a worker's thread `wait` waits, as in the blocking façade.  In
the loop it must not: it raises `NotYet` where it would, and all that reads is made so that a call which raised can be
made again.  So a coroutine reads on, and where that is not possible yet it awaits `arrive` and tries once more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from netstructer.aio.exchange import Exchange
from netstructer.codec.spool import Spool
from netstructer.errors import BadValue, LinkClosed, Misuse
from netstructer.incoming import STEP_BYTES
from netstructer.protocol.assembly import Message
from netstructer.sockets import deadline_after

__all__ = ["Incoming", "NotYet", "call_loop"]

T = TypeVar("T")


class NotYet(Misuse):
    """The bytes have not come yet, and the loop cannot wait for them: `await` them, or read in a thread."""

    def __init__(self, incoming: Incoming, position: int) -> None:
        super().__init__("the bytes of this blob are still coming: use `async for`, `await blob.read()` or a thread")
        self.incoming, self.position = incoming, position


class Incoming:
    """One blob on its way in.  Thread-safe.  `owner` is what must not go away before it: its link."""

    __slots__ = ("_arrival", "_exchange", "_expected_bytes", "_loop", "_owner")

    def __init__(self, exchange: Exchange, message: Message, place: int, owner: object) -> None:
        self._exchange = exchange
        self._loop = exchange.pump.loop
        self._arrival = exchange.arrival(message, place)
        self._owner = owner
        self._expected_bytes: int | None = None

    @property
    def codec(self) -> int:
        """The payload's codec; known once `wait` has returned."""
        return self._arrival.codec

    @property
    def size(self) -> int | None:
        """Plain bytes, None while unknown."""
        found = self._arrival.plain_bytes
        return self._expected_bytes if found is None else found

    @property
    def most_bytes(self) -> int:
        """The most plain bytes that this end takes."""
        return self._exchange.session.limits.message_bytes

    @property
    def stated(self) -> bool:
        """Whether the peer stated the plain bytes at the beginning; known once `wait` has returned."""
        return self._arrival.stated

    def expect(self, size: int | None) -> None:
        """Take note of the plain bytes that the blob's value says it has."""
        self._expected_bytes = size

    @property
    def spool(self) -> Spool:
        """The payload, as far as it is here."""
        return self._arrival.spool

    def wait(self, position: int, timeout: float | None) -> bool:
        """Return whether the spool holds bytes beyond `position`; False where the payload is whole and has none.

        In a thread, wait until one of the two is so.  In the loop raise `NotYet` while neither is.  Raises
        `LinkTimeout`; `BadValue` for a blob that is not of the size that its value said; and what ended the blob, or
        the link, once everything that came before it was read.
        """
        arrival = self._arrival
        if not (arrival.reading and arrival.reaches(position)):
            if not self._in_loop():
                call_loop(self._loop, self._exchange.await_blob(arrival, position, deadline_after(timeout)))
            elif arrival.reaches(position):
                self._exchange.attend(arrival)
            else:
                raise NotYet(self, position)
        if self._expected_bytes is not None and arrival.begun and arrival.plain_bytes != self._expected_bytes:
            raise BadValue(f"a Blob of {self._expected_bytes} bytes came with {arrival.plain_bytes}")
        if arrival.spool.byte_count > position:
            return True
        if arrival.error is not None:
            raise arrival.error.again()
        return False

    async def arrive(self, position: int, timeout: float | None) -> None:
        """Wait until `wait` for this position need not.  Raises `LinkTimeout`."""
        await self._exchange.await_blob(self._arrival, position, deadline_after(timeout))

    def consumed(self, position: int, *, keep: bool) -> None:
        """Say how far a reader has come; what lies before is forgotten, unless it is to be kept, as far as room is."""
        arrival = self._arrival
        if not keep:
            arrival.spool.forget(position)
        if not arrival.over and position - arrival.consumed >= STEP_BYTES:
            if self._in_loop():
                self._exchange.consumed(arrival, position, keep=keep)
            else:
                self._leave(lambda: self._exchange.consumed(arrival, position, keep=keep))

    def new_spool(self) -> Spool:
        """Return an empty spool in the link's room, for plain bytes."""
        return Spool(self._exchange.session.arrivals.room)

    def give_up(self) -> None:
        """Want no more of it.  May be called by the collector."""
        self._arrival.spool.close()
        if not self._arrival.over:
            self._leave(lambda: self._exchange.refuse(self._arrival))

    def _leave(self, chore: Any) -> None:
        """Leave something to the loop; where that is closed, so is the link."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(chore)

    def _in_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


def call_loop(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine of the loop returns, or raise what it raises; called in another thread, which waits.

    Raises `LinkClosed` where the loop is closed.
    """
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise LinkClosed("the loop of the link is closed") from None
    return future.result()
