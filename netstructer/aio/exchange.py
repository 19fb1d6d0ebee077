"""The exchange: what a link asks for, each a wait with a deadline.  Floor: FAÇADES.  Law: what is cancelled while it
waits has taken nothing.

The twin of the blocking `exchange.py`.  Everything happens in the loop, so there is no lock: what lies between two
awaits is one step.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from netstructer.address import Address
from netstructer.aio.pump import Pump
from netstructer.aio.receiving import Receiving
from netstructer.aio.submission import Submission
from netstructer.errors import LinkClosed, LinkLost, LinkTimeout, MessageTooBig, Misuse, NetstructerError, PeerFault
from netstructer.goals import Sent, sent
from netstructer.keys import Key
from netstructer.protocol.announcement import Announcement
from netstructer.protocol.arrivals import Arrival
from netstructer.protocol.assembly import Message
from netstructer.protocol.outgoing import Batch, Outgoing, Single
from netstructer.protocol.session import Session
from netstructer.protocol.states import CancelCode

__all__ = ["Exchange"]

CALLS_PER_TURN = 64
"""Calls that need not wait and follow each other, after which the loop's other work has its turn: about 1 ms."""


class Exchange:
    """The messages of one session on one transport.  Single owner: the loop."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.pump = Pump(session)
        self.begin, self.board, self.adopt = self.pump.begin, self.pump.board, self.pump.adopt
        self.inbox = Receiving(self.pump)
        """The messages of no conversation."""
        self._calls = 0

    @property
    def ended(self) -> bool:
        """Whether the transport is of no more use."""
        return self.pump.ended

    @property
    def suspended(self) -> bool:
        """Whether there is no transport now."""
        return self.session.suspended

    @property
    def peer(self) -> Address:
        """Where the peer is, or was last."""
        return self.pump.peer

    @property
    def draining(self) -> bool:
        """Whether this end is about to leave."""
        return self.pump.draining

    @property
    def unread(self) -> bool:
        """Whether a message waits to be received."""
        return bool(self.pump.inbox)

    @property
    def open(self) -> bool:
        """Whether values may still be sent: neither end has said farewell, and the session is not lost."""
        return not (self.pump.ended or self.pump.closing or self.pump.left_by_peer)

    async def turn(self) -> None:
        """Let the loop's other work have its turn, now and then: a call that need not wait would never do so.

        Raises `Misuse` in another loop.
        """
        self.check_loop()
        self._calls += 1
        if self._calls >= CALLS_PER_TURN:
            self._calls = 0
            await asyncio.sleep(0)

    def check_loop(self) -> None:
        """Raise `Misuse` in another loop than the link's: what is done there meets what this one does at the time."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is not self.pump.loop:
            raise Misuse("a link belongs to the loop in which it was opened, and this is another, or none")

    # --- out --------------------------------------------------------------------------------------------------------

    def submit_now(self, single: Single, flags: int, conversation: int = 0) -> Sent | None:
        """Seal and write a small value at once; return what was moved.

        None, and nothing done, where it has to be queued: see `Session.seal_now`.  Raises what ended the session.
        """
        if not self.pump.has_room or self.pump.closing:
            return None
        try:
            sealed = self.session.seal_now(single, flags, time.monotonic(), conversation)
            if sealed is None:
                return None
            self.pump.write_now(sealed[0])
        except NetstructerError:
            raise
        except BaseException:
            self.pump.break_off()
            raise
        return sent((single.plain_bytes, len(sealed[0]), self.session.traffic.messages_sent))

    async def submit(
        self,
        outgoing: Outgoing | Batch,
        until: Callable[[], bool],
        *,
        deadline: float | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        """Queue a message and return when `until()` holds.  Raises as `Submission.run` does."""
        await Submission(self.pump, outgoing, until, deadline=deadline, idle_seconds=idle_seconds).run()

    def post(self, announcement: Announcement) -> bool:
        """Queue an announcement and do not wait.

        False where this link is over, would refuse the value, or has too much waiting.  Raises `UnsendableValue`.
        """
        try:
            single = announcement.single(self.session)
            if single is not None and self.submit_now(single, 0) is not None:
                return True
            if self.session.traffic.waiting_bytes > self.session.limits.backlog_bytes:
                return False
            self.session.queue(announcement.outgoing(self.session))
            self.pump.flush()
        except (MessageTooBig, LinkClosed, LinkLost, PeerFault):
            return False
        return True

    async def ping(self, deadline: float | None) -> float:
        """Return the seconds of a round trip.  Raises `LinkTimeout`, what ended the session."""
        self.check_loop()
        self.session.check_open()
        liveness, pump = self.session.liveness, self.pump
        before, turn = liveness.pongs, liveness.next_ping

        def answered() -> bool:
            return liveness.pongs > before or pump.ended

        if deadline is None or turn < deadline:
            await pump.waiters.until(answered, turn)
        self.session.ping(time.monotonic())
        pump.flush()
        if not await pump.waiters.until(answered, deadline):
            raise LinkTimeout("no pong came in time")
        if liveness.rtt_seconds is None or liveness.pongs == before:
            raise pump.over()
        return liveness.rtt_seconds

    # --- blobs that come in -----------------------------------------------------------------------------------------

    def arrival(self, message: Message, place: int) -> Arrival:
        """Return a blob of a message that was taken."""
        return self.session.arrival(message, place)

    def attend(self, arrival: Arrival) -> None:
        """Take in that somebody reads a blob now."""
        if not arrival.begun:
            self.session.arrivals.make_way()
        arrival.reading = True
        self.session.arrivals.now = time.monotonic()
        self.session.arrivals.review(arrival)
        self.pump.flush()

    async def await_blob(self, arrival: Arrival, position: int, deadline: float | None) -> None:
        """Wait until the payload of a blob reaches beyond `position`, or nothing more comes of it.

        Raises `LinkTimeout`.
        """
        self.attend(arrival)
        # Where the link has ended, so has the blob.
        if not await self.pump.waiters.until(lambda: arrival.reaches(position), deadline):
            raise LinkTimeout("no further bytes of the blob came in time")

    def consumed(self, arrival: Arrival, position: int, *, keep: bool) -> None:
        """Take in how far the reader of a blob has come.  What it would keep is forgotten where room is short."""
        arrivals = self.session.arrivals
        arrivals.now = time.monotonic()
        if keep and arrivals.cramped(arrival):
            arrival.spool.forget(position)
        arrivals.consumed(arrival, position)
        if self.session.has_output(time.monotonic()):
            self.pump.flush()

    def refuse(self, arrival: Arrival) -> None:
        """Want no more of a blob."""
        if not (arrival.over or self.pump.ended):
            self.session.arrivals.refuse(arrival, CancelCode.ABANDONED, LinkClosed("nobody wanted the blob"))
            self.pump.flush()

    # --- conversations ----------------------------------------------------------------------------------------------

    def open_aside(self) -> int:
        """Begin a conversation; return its number."""
        self.check_loop()
        self.session.check_open()
        return self.pump.asides.open()

    async def accept_aside(self, deadline: float | None) -> int:
        """Return the number of the next conversation that the peer has opened, waiting for it if need be."""
        self.check_loop()
        pump, opened = self.pump, self.pump.asides.opened

        def come() -> bool:
            return bool(opened) or pump.closing or pump.left_by_peer or pump.ended or pump.draining

        if not await pump.waiters.until(come, deadline):
            raise LinkTimeout("nothing came in time")
        if not opened:
            raise pump.over()
        return opened.popleft()

    def close_aside(self, number: int) -> None:
        """End a conversation."""
        self.end_aside(number)
        self.pump.flush()
        self.pump.waiters.wake()

    def end_aside(self, number: int) -> None:
        """Do so, and send nothing."""
        for message in self.pump.asides.close(number):
            self.session.take(message)
            self.session.forget(message)
        self.pump.waiters.wake_one(number)

    def drop_aside(self, number: int, last_words: list[Outgoing]) -> None:
        """Say the last words of a conversation that nobody holds any more, and end it."""
        if not self.pump.ended:
            try:
                for outgoing in last_words:
                    self.session.queue(outgoing)
            except (LinkClosed, LinkLost, PeerFault):
                pass  # There is nobody to tell.
            self.close_aside(number)

    # --- the end ----------------------------------------------------------------------------------------------------

    async def close(self, deadline: float | None) -> bool:
        """Say farewell after what is queued, and wait until the peer has said it too; False where it did not in
        time.
        """
        self.begin_close()
        return await self.pump.waiters.until(lambda: self.pump.ended, deadline)

    def begin_close(self) -> None:
        """Say farewell after what is queued, and do not wait."""
        pump = self.pump
        if not pump.closing:
            pump.closing = True
            for message in (*pump.inbox, *pump.asides.clear(but_calls=pump.left_by_peer)):
                self.session.inflow.dismiss(message)
            pump.inbox.clear()
            self.session.say_farewell()
        pump.flush()
        pump.waiters.wake()
        pump.waiters.wake_all()

    def abort(self) -> None:
        """End at once, without a word."""
        pump = self.pump
        pump.closing = True
        pump.inbox.clear()
        pump.asides.clear(but_calls=pump.left_by_peer)
        pump.handle(self.session.abort(LinkClosed("the link was aborted here")))

    def drain(self, seconds: float) -> None:
        """Tell the client that this link ends as soon as what is under way is done, in so many seconds at most."""
        self.pump.draining = True
        self.session.drain(seconds)
        self.pump.flush()
        self.pump.waiters.wake()

    def give_key(self, key: Key) -> None:
        """Tell the client which key takes the place of the one that it has.  From any thread: keys are added in any."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the link
            self.pump.loop.call_soon_threadsafe(self._give_key, key)

    def _give_key(self, key: Key) -> None:
        self.session.give_key(key)
        self.pump.flush()

    def fail(self, error: NetstructerError) -> None:
        """End the session with a fault that was found outside it."""
        self.pump.handle(self.session.fail(error))

    async def gone(self, deadline: float | None) -> None:
        """Wait until asyncio has let go of the transport; at the deadline make it do so."""
        pump = self.pump
        if not await pump.waiters.until(lambda: pump.gone, deadline):
            pump.hang_up()
            await pump.waiters.until(lambda: pump.gone, None)
