"""Submission: one message from its queueing until what its sender waits for holds.  Floor: FAÇADES.

Law: the sources of its blobs are read in the sender's thread, and never under the link's lock.

The sender works for the link while it waits (pump.py).  Whenever a blob of its message has little left to seal, and
credit for more, it lets go of the lock, reads on in that blob's source, compresses and cuts, and feeds what came of it.
So a source that waits makes nobody wait but its own sender, and one that uses the same link does not wait for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from netstructer.errors import BacklogFull, LinkClosed, LinkTimeout
from netstructer.protocol.asides import CALLS_FROM
from netstructer.protocol.outgoing import FEED_BYTES, Batch, Outgoing, OutgoingBlob
from netstructer.pump import Pump

__all__ = ["Submission", "pull"]

Buffer = bytes | bytearray | memoryview

STAY_SECONDS = 0.02
"""How long a sender stays for room in the socket when all of its message is sealed; then the keeper goes on."""
PATIENCE_SECONDS = 0.02
"""What a slow source gives in this time is sent without waiting for more of it."""


class Submission:
    """One message on its way out.  Single owner.

    `until()` says, under the lock, whether what is waited for holds.  `deadline` is a time on the monotonic clock;
    `idle_seconds` is how long not one record of the message may go before that is a `LinkTimeout`, too.
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

    def run(self) -> None:
        """Queue the message and return when `until()` holds.

        Raises `LinkTimeout`: what the message had not sent by then is cancelled.  Raises what ended the session, or the
        message, or what a source raised.
        """
        lock, queued = self._pump.lock, False
        try:
            with lock.in_turn():
                if self._pump.dismissed and not _belongs_to_a_call(self._outgoing):
                    raise LinkClosed("the server is about to leave, and takes nothing new")
                self._session.queue(self._outgoing)
                queued = True
                self._allow_time()
                hungry = self._work()
            while hungry is not None:
                chunks, ended = self._pull(hungry)
                with lock.in_turn():
                    self._session.feed(hungry, chunks, ended)
                    # Its source may make it wait now: what came goes first.
                    self._pump.flush()
                    hungry = self._work()
        except BaseException:
            # Ctrl-C at any place, too: half a message, or half a blob, must not wait for more for ever.
            if queued:
                with lock.in_turn():
                    self._give_up()
            raise

    def _work(self) -> OutgoingBlob | None:
        """Work until what is waited for holds, or until a blob wants to be fed: return that one."""
        outgoing, until = self._outgoing, self._until
        while True:
            self._pump.wait(
                lambda: until() or outgoing.error is not None or outgoing.hungry() is not None, self._deadline
            )
            if outgoing.error is not None:
                raise outgoing.error
            if until():
                if outgoing.done:
                    outgoing.part_from_blobs()
                self._finish()
                return None
            if self._pump.ended:
                raise self._pump.over()
            self._check_time()
            if (hungry := outgoing.hungry()) is not None:
                return hungry

    def _finish(self) -> None:
        """Do, when all is sealed, what the keeper would have to come for: look for what came, and stay a moment where
        the socket has not taken all.

        The keeper would want the lock, and the interpreter, while the next message is about to be sent.  So a link
        stays loose as long as somebody sends in it.
        """
        pump = self._pump
        if not (pump.reading or pump.ended):
            pump.uses += 1
            pump.read(pump.pipe)
        if pump.unsent:
            until = time.monotonic() + STAY_SECONDS
            pump.wait(lambda: not pump.unsent, until if self._deadline is None else min(self._deadline, until))

    def _pull(self, blob: OutgoingBlob) -> tuple[list[Buffer], bool]:
        try:
            return pull(blob, self._session.chunk_bytes)
        except BaseException as error:
            self._source_error = error
            raise

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


def _belongs_to_a_call(outgoing: Outgoing | Batch) -> bool:
    """Say whether a message is of a call, which was refused when it was opened, if it is to be."""
    return isinstance(outgoing, Outgoing) and outgoing.conversation > CALLS_FROM


def pull(blob: OutgoingBlob, chunk_bytes: int) -> tuple[list[Buffer], bool]:
    """Read on in a blob's source: a few records, or up to a lull, or what comes of a slow one in a moment.

    Return the chunks, and whether the source has ended.  Raises what the source raises.
    """
    chunks: list[Buffer] = []
    pulled_bytes, ended = 0, False
    patience = time.monotonic() + PATIENCE_SECONDS
    blob.slow = False
    while not ended and pulled_bytes < FEED_BYTES:
        more, ended = blob.pull(chunk_bytes)
        chunks.extend(more)
        pulled_bytes += sum(map(len, more))
        blob.slow = time.monotonic() >= patience
        if not more or blob.slow:
            break
    return chunks, ended
