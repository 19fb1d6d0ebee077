"""Submission: one message from its queueing until what its sender waits for holds.  Floor: FAÇADES.

Law: all or nothing.  A message whose sender is cancelled is taken back: if nothing of it is sealed, nothing ever was;
if a part of it is, the peer is told to forget that part, and its application never sees any; if all of it is, it has
been sent.  (Of a value with blobs, the value and each blob are such a message: who reads a blob that was taken back
gets `MessageCancelled`, never an end.)

The sources of blobs may block, so they are read in a thread of the submission's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from netstructer.aio.pump import Pump
from netstructer.aio.workers import Worker
from netstructer.errors import BacklogFull, LinkTimeout
from netstructer.protocol.outgoing import Batch, Outgoing, OutgoingBlob
from netstructer.submission import pull

__all__ = ["Submission"]

Buffer = bytes | bytearray | memoryview


class Submission:
    """One message on its way out.  Single owner: the loop.

    `until()` says whether what is waited for holds.  `deadline` is a time on the monotonic clock; `idle_seconds` is how
    long not one record of the message may go before that is a `LinkTimeout`, too.
    """

    def __init__(
        self,
        pump: Pump,
        outgoing: Outgoing | Batch,
        until: Callable[[], bool],
        *,
        deadline: float | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        self._pump, self._session = pump, pump.session
        self._outgoing = outgoing
        self._until = until
        self._deadline = deadline
        self._idle_seconds = idle_seconds
        self._moved_bytes = 0
        self._source_error: BaseException | None = None
        self._worker: Worker | None = None

    async def run(self) -> None:
        """Queue the message and return when `until()` holds.

        Raises `LinkTimeout`: what the message had not sent by then is cancelled.  Raises what ended the session, or the
        message, or what a source raised.
        """
        self._session.queue(self._outgoing)
        try:
            self._allow_time()
            self._pump.flush()
            hungry = await self._work()
            while hungry is not None:
                chunks, ended = await self._pull(hungry)
                self._session.feed(hungry, chunks, ended)
                self._pump.flush()
                hungry = await self._work()
        except BaseException:
            self._give_up()
            raise
        finally:
            if self._worker is not None:
                self._worker.close()

    async def _work(self) -> OutgoingBlob | None:
        """Wait until what is waited for holds, or until a blob wants to be fed: return that one."""
        outgoing, until, pump = self._outgoing, self._until, self._pump

        def enough() -> bool:
            return until() or outgoing.error is not None or pump.ended or outgoing.hungry() is not None

        while True:
            await pump.waiters.until(enough, self._deadline)
            if outgoing.error is not None:
                raise outgoing.error
            if until():
                if outgoing.done:
                    outgoing.part_from_blobs()
                return None
            if pump.ended:
                raise pump.over()
            self._check_time()
            if (hungry := outgoing.hungry()) is not None:
                return hungry

    async def _pull(self, blob: OutgoingBlob) -> tuple[list[Buffer], bool]:
        """Read on in a blob's source."""
        if self._worker is None:
            self._worker = Worker("netstructer-source")
        chunk_bytes = self._session.chunk_bytes
        found, error = await self._worker.run(lambda: _attempt(blob, chunk_bytes))
        if error is not None:
            self._source_error = error
            raise error
        return found

    def _check_time(self) -> None:
        """Raise `LinkTimeout` where the time is over; allow more where records have gone since it was allowed."""
        if self._deadline is None:
            return
        if self._idle_seconds is not None and self._outgoing.wire_bytes != self._moved_bytes:
            self._allow_time()
        if time.monotonic() < self._deadline:
            return
        if self._session.backlog_full and not self._outgoing.done:
            kept = self._session.limits.backlog_bytes
            raise BacklogFull(f"there is no transport, and {kept} bytes wait for one already", limit=kept)
        sent = self._outgoing.done
        late = "the message was sent, and what was waited for did not come" if sent else "the message was not sent"
        raise LinkTimeout(f"{late} in time")

    def _allow_time(self) -> None:
        if self._idle_seconds is not None:
            self._moved_bytes = self._outgoing.wire_bytes
            self._deadline = time.monotonic() + self._idle_seconds

    def _give_up(self) -> None:
        if not self._outgoing.done:
            self._session.abandon(self._outgoing, self._source_error)
            self._pump.flush()


def _attempt(blob: OutgoingBlob, chunk_bytes: int) -> tuple[tuple[list[Buffer], bool], BaseException | None]:
    """Read on in a blob's source; return what it gave, or what it raised."""
    try:
        return pull(blob, chunk_bytes), None
    except BaseException as error:
        return ([], False), error
