"""The exchange: what a link asks for, each a wait with a deadline.  Floor: FAÇADES.  Law: nothing is done without the
lock.

A link's calls end here: queue a message and wait until it is sealed, acknowledged or taken; take the next message;
ping; close. Each of them says what it waits for, and lets the pump work until that holds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from netstructer import dialogues, errands
from netstructer.changeover import Told
from netstructer.errors import (
    BadCompression,
    BadValue,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageTooBig,
    NetstructerError,
    PeerFault,
)
from netstructer.goals import Sent, sent
from netstructer.keeper import current_keeper
from netstructer.protocol.announcement import Announcement
from netstructer.protocol.arrivals import Arrival
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.events import Event
from netstructer.protocol.outgoing import Batch, Outgoing, Single
from netstructer.protocol.session import Session
from netstructer.protocol.states import CancelCode
from netstructer.pump import Pump
from netstructer.submission import Submission

if TYPE_CHECKING:
    import socket

    from netstructer.address import Address
    from netstructer.codec.blob import Blob
    from netstructer.keys import Key

__all__ = ["Exchange"]


class Exchange:
    """The messages of one session.  Thread-safe.  `told` hears what becomes of it.

    `dialled` is where a client has found its peer: one whose transport was reset says no more where it was.
    """

    def __init__(self, transport: socket.socket, session: Session, told: Told, dialled: Address | None = None) -> None:
        self.session = session
        self._pump = Pump(transport, session, told, dialled)
        self.start, self.board, self.adopt = self._pump.start, self._pump.board, self._pump.adopt
        self._lock = self._pump.lock
        self.receipts = threading.Lock()
        """Held by whoever deals with the next message and has not taken it yet."""
        self.looked_at: Message | Whole | None = None
        """That message: nobody else takes it meanwhile."""
        self.dealer: int | None = None
        """The thread that deals with it."""

    queue, work, leave = errands.queue, errands.work, errands.leave
    first_message, take_first = errands.first_message, errands.take_first
    await_receipt, leave_first = errands.await_receipt, errands.leave_first
    open_aside, accept_aside, next_aside = dialogues.open_aside, dialogues.accept_aside, dialogues.next_aside
    close_aside, drop_aside = dialogues.close_aside, dialogues.drop_aside

    def abandon(self) -> None:
        """Let the keeper end what nobody holds any more; takes no lock, so the collector may call it."""
        current_keeper().abandon(self._pump)

    @property
    def ended(self) -> bool:
        """Whether the transport is of no more use."""
        return self._pump.ended

    @property
    def suspended(self) -> bool:
        """Whether there is no transport now."""
        return self.session.suspended

    def await_transport(self, seconds: float, rest: Callable[[], None]) -> bool:
        """Wait so long, or until a transport is there or wanted no more; say whether one is still to be looked for:
        where not, `rest()` is called, in the same step."""
        deadline = time.monotonic() + seconds
        pump = self._pump
        with self._lock.in_turn():
            while pump.pipe is None and not pump.ended:
                left = deadline - time.monotonic()
                if left <= 0:
                    return True
                pump.changed.wait(left)
            rest()
            return False

    def hindered(self, error: BaseException) -> None:
        """Take note of why a try to find another transport has failed: it is the cause, if the session is lost."""
        self._pump.hindrance = error

    def drain(self, seconds: float) -> None:
        """Tell the client that this link ends as soon as what is under way is done, in so many seconds at most."""
        with self._lock.in_turn():
            self._pump.draining = True
            self.session.drain(seconds)
            self.session.ping(time.monotonic())  # The answer wakes who waits in the socket for a next message.
            self._pump.flush()
            self._pump.wake_all()

    def give_key(self, key: Key) -> None:
        """Tell the client which key takes the place of the one that it has."""
        with self._lock.in_turn():
            self.session.give_key(key)
            self._pump.flush()

    @property
    def peer(self) -> Address:
        """Where the peer is, or was last."""
        return self._pump.peer

    @property
    def draining(self) -> bool:
        """Whether this end is about to leave."""
        return self._pump.draining

    @property
    def unread(self) -> bool:
        """Whether a message waits to be received."""
        return bool(self._pump.inbox)

    @property
    def open(self) -> bool:
        """Whether values may still be sent: neither end has said farewell, and the session is not lost."""
        return not (self._pump.ended or self._pump.closing or self._pump.left_by_peer)

    def submit_now(self, single: Single, flags: int, conversation: int = 0) -> Sent | None:
        """Seal and write a small value at once; return what was moved.

        None, and nothing done, where it has to be queued: see `Session.seal_now`.  Raises what ended the session.
        """
        pump, session = self._pump, self.session
        with self._lock.in_turn():
            if pump.unsent or pump.closing or pump.dismissed:
                return None
            try:
                sealed = session.seal_now(single, flags, time.monotonic(), conversation)
                if sealed is None:
                    return None
                frame = sealed[0]
                pump.write_now(frame)
            except NetstructerError:
                raise
            except BaseException:
                if not session.suspended:  # as in Pump._flush_once
                    pump.break_off()
                raise
            return sent((single.plain_bytes, len(frame), session.traffic.messages_sent))

    def submit(
        self,
        outgoing: Outgoing | Batch,
        until: Callable[[], bool],
        *,
        deadline: float | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        """Queue a message and return when `until()` holds.  Raises as `Submission.run` does."""
        Submission(self._pump, outgoing, until, deadline=deadline, idle_seconds=idle_seconds).run()

    def arrival(self, message: Message, place: int) -> Arrival:
        """Return a blob of a message that was taken."""
        with self._lock.in_turn():
            return self.session.arrival(message, place)

    def await_blob(self, arrival: Arrival, position: int, deadline: float | None) -> None:
        """Work until the payload of a blob reaches beyond `position`, or nothing more comes of it.

        Raises `LinkTimeout`.
        """
        with self._lock.in_turn():
            if not arrival.begun:
                self.session.arrivals.make_way()
            arrival.reading = True
            self.session.arrivals.now = time.monotonic()
            self.session.arrivals.review(arrival)
            if not self._pump.wait(lambda: arrival.reaches(position), deadline):
                raise LinkTimeout("no further bytes of the blob came in time")

    def consumed(self, arrival: Arrival, position: int, *, keep: bool) -> None:
        """Take in how far the reader of a blob has come.  What it would keep is forgotten where room is short."""
        with self._lock.in_turn():
            arrivals = self.session.arrivals
            arrivals.now = time.monotonic()
            if keep and arrivals.cramped(arrival):
                arrival.spool.forget(position)
            arrivals.consumed(arrival, position)
            if self.session.has_output(time.monotonic()):
                self._pump.flush()

    def drop(self, arrival: Arrival) -> None:
        """Want no more of a blob.  Takes no lock of the link's, so the collector may call it."""
        arrival.spool.close()
        if not arrival.over:
            error = LinkClosed("nobody wanted the blob")
            dialogues.leave(self, lambda: self.session.arrivals.refuse(arrival, CancelCode.ABANDONED, error))

    def read(self, message: Message | Whole, blob_of: Callable[[Message, int], Blob]) -> object:
        """Return the value of a message that was taken; what is wrong with it ends the session, or this message alone.

        Raises `BadCompression` and `BadValue`.
        """
        try:
            return self.session.payloads.read(message, blob_of)
        except BadCompression as error:
            self.fail(error)
            raise
        except BadValue:
            self.forget(message)
            raise

    def forget(self, message: Message | Whole) -> None:
        """Want none of the blobs of a message that is no value here."""
        with self._lock.in_turn():
            self.session.forget(message)
            self._pump.flush()

    def post(self, announcement: Announcement) -> bool:
        """Queue an announcement and do not wait: the keeper sends what the socket does not take at once.

        False where this link is over, would refuse the value, or has too much waiting.  Raises `UnsendableValue`.
        """
        try:
            single = announcement.single(self.session)
            if single is not None and self.submit_now(single, 0) is not None:
                return True
            outgoing = announcement.outgoing(self.session)
            with self._lock.in_turn():
                if self.session.traffic.waiting_bytes > self.session.limits.backlog_bytes:
                    return False
                self.session.queue(outgoing)
                self._pump.flush()
        except (MessageTooBig, LinkClosed, LinkLost, PeerFault):
            return False
        return True

    def begin(self, events: list[Event]) -> None:
        """Take in what had come before the pump was there; nothing is sent before `start`."""
        with self._lock.in_turn():
            self._pump.handle(events)

    def undelivered(self) -> int:
        """Return how many values there are that the peer may not have."""
        with self._lock.in_turn():
            return len(self.session.outflow.unacknowledged())

    def next_message(self, deadline: float | None, most_bytes: int | None) -> Message | Whole:
        """Take and return the next message, waiting for it if need be.

        Raises `LinkTimeout`, `MessageTooBig` for one over `most_bytes` (which stays where it is), what ended the
        session.
        """
        with self._lock.in_turn():
            inbox = self._pump.inbox
            while not inbox or inbox[0] is self.looked_at:
                if inbox:
                    self.await_receipt(deadline)
                else:
                    self._wait_for_message(deadline)
            message = inbox[0]
            if most_bytes is not None and (found := message.total_plain_bytes()) > most_bytes:
                text = f"the next message has {found} bytes, over the {most_bytes} allowed here"
                raise MessageTooBig(text, limit=most_bytes, found=found)
            inbox.popleft()
            self.session.take(message)
            if self.session.has_output(time.monotonic()):
                self._pump.flush()
            return message

    def _wait_for_message(self, deadline: float | None) -> None:
        pump = self._pump
        while not pump.inbox:
            if pump.ended or pump.closing or pump.left_by_peer or (pump.draining and not self.session.receiving):
                raise pump.over()
            if not pump.step(deadline):
                raise LinkTimeout("no message came in time")

    def fail(self, error: NetstructerError) -> None:
        """End the session with a fault that was found outside it."""
        with self._lock.in_turn():
            self.lose(error)

    def lose(self, error: NetstructerError) -> None:
        """Do as `fail` does, for who is told something and so holds the lock already."""
        self._pump.handle(self.session.fail(error))

    def close(self, deadline: float | None) -> bool:
        """Say farewell after what is queued, and wait until the peer has said it too; False where it did not in
        time.
        """
        with self._lock.in_turn():
            self._begin_close()
            return self._pump.wait(lambda: self._pump.ended, deadline)

    def begin_close(self) -> None:
        """Say farewell after what is queued, and do not wait."""
        with self._lock.in_turn():
            self._begin_close()

    def abort(self, patience_seconds: float = 0.0) -> None:
        """End at once, without a farewell; that this end has gone may wait so long for room in the socket."""
        with self._lock.in_turn():
            self._pump.inbox.clear()
            self._pump.asides.clear(but_calls=self._pump.left_by_peer)
            self._pump.abort(LinkClosed("the link was aborted here"), patience_seconds)

    def ping(self, deadline: float | None) -> float:
        """Return the seconds of a round trip.  Raises `LinkTimeout`, what ended the session."""
        with self._lock.in_turn():
            self.session.check_open()
            liveness = self.session.liveness
            before, turn = liveness.pongs, liveness.next_ping
            if deadline is None or turn < deadline:
                self._pump.wait(lambda: liveness.pongs > before, turn)
            self.session.ping(time.monotonic())
            if not self._pump.wait(lambda: liveness.pongs > before, deadline):
                raise LinkTimeout("no pong came in time")
            if liveness.rtt_seconds is None or liveness.pongs == before:
                raise self._pump.over()
            return liveness.rtt_seconds

    def _begin_close(self) -> None:
        if not self._pump.closing:
            self._pump.closing = True
            for message in (*self._pump.inbox, *self._pump.asides.clear(but_calls=self._pump.left_by_peer)):
                self.session.inflow.dismiss(message)
            self._pump.inbox.clear()
            self.session.say_farewell()
        self._pump.flush()
        self._pump.wake()
