"""The pump: moves bytes between one session and one socket.  Floor: FAÇADES.  Law: whoever waits, works.

No link owns a thread.  A call that has to wait (for a message, for room, for an acknowledgement) does the link's work
while it waits: it takes the *reading turn*, sleeps until the socket can be read, feeds the session, and leaves the turn
when it has what it came for.  So a round trip costs no hand-over between threads: the thread that called `send` sealed
and wrote the frame, the thread that called `recv` read and opened it.  What was measured is in docs/decisions.md,
"Threads".

Between calls somebody has to answer pings and take in acknowledgements: the keeper, one thread for all links of a
process (`keeper.py`).  To move a link to the keeper and back for every call would cost two system calls, so a link
whose reader has just left is only *loose*: the keeper comes by every 50 ms and takes over what has stayed loose.

    LOOSE     nobody watches; the keeper will look in at its next round
    WATCHED   the keeper's selector watches the socket
    ATTENDED  a caller has been waiting in here for a whole round; the keeper only keeps time

One lock guards session, turns and inbox.  It is never held while waiting for a socket, and never while a value is
encoded, compressed for the first time, expanded or decoded.  What is not sealed yet is sealed by whoever finds the
socket writable.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from netstructer import sockets
from netstructer.codec.values import Encoded
from netstructer.errors import LinkClosed, LinkLost, LinkTimeout, MessageTooBig, NetstructerError, PeerFault
from netstructer.keeper import Standing, current_keeper
from netstructer.protocol.announcement import Announcement
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.events import Ended, Event, MessageArrived, PeerLeft
from netstructer.protocol.lanes import Batch, Outgoing
from netstructer.protocol.session import Session

__all__ = ["Pump"]

YIELD_SECONDS = 20e-6
"""What a bulk sender leaves to others who want the lock, between two rounds of 256 KiB."""


class FairLock:
    """A lock that knows whether others want it.  Python's own lets a thread that releases and acquires in a loop starve
    them.
    """

    __slots__ = ("_lock", "_wanting")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanting: deque[None] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.acquire(False):
            return True
        if not blocking:
            return False
        self._wanting.append(None)
        try:
            return self._lock.acquire(True, timeout)
        finally:
            self._wanting.pop()

    def release(self) -> None:
        self._lock.release()

    def yield_to_others(self) -> None:
        """Let go for a moment where others wait; hold it again on return."""
        if self._wanting:
            self._lock.release()
            time.sleep(YIELD_SECONDS)
            self._lock.acquire()

    def __enter__(self) -> None:
        if not self._lock.acquire(False):
            self.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Pump:
    """One session on one socket.  Thread-safe."""

    def __init__(self, transport: socket.socket, session: Session, on_end: Callable[[], None]) -> None:
        self.session = session
        self._frames = session.frames
        self.transport = transport
        self.standing = Standing.LOOSE
        self.uses = 0
        """Counts how often the reading turn was left; the keeper tells by it whether somebody is busy here."""
        self._on_end = on_end
        self._lock = FairLock()
        self._changed = threading.Condition(self._lock)  # type: ignore[arg-type]  # it needs acquire and release only
        self._sleepers = 0
        self._reading = False
        self._polling = 0
        self._readiness = sockets.Readiness(transport)
        self._inbox: deque[Message | Whole] = deque()
        self._unsent: deque[bytes | memoryview] = deque()
        self._room_bytes = session.limits.unsent_bytes
        self._ended = False
        self._left_by_peer = False
        self._closing = False
        current_keeper().add(self)

    # --- what a link asks for ---------------------------------------------------------------------------------------

    def submit_now(self, encoded: Encoded, flags: int) -> tuple[int, int] | None:
        """Seal and write a small value at once; return its frame's bytes and its delivery number.

        None, and nothing done, where it has to be queued: see `Session.seal_now`.  Raises what ended the session.
        """
        with self._lock:
            if self._unsent or self._closing:
                return None
            sealed = self.session.seal_now(encoded, flags, time.monotonic())
            if sealed is None:
                return None
            frame, number = sealed
            try:
                sent = self.transport.send(frame)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self._read_the_rest()
                return len(frame), number
            if sent < len(frame):
                self._unsent.append(memoryview(frame)[sent:])
                current_keeper().watch_writes(self)
            return len(frame), number

    def submit(self, outgoing: Outgoing | Batch, deadline: float | None, until: Callable[[], bool]) -> None:
        """Queue a message and return when `until()` holds; `until` is asked under the lock.

        Raises `LinkTimeout` at the deadline: what the message had not sent by then is cancelled.  Raises what ended the
        session, or the message.
        """
        with self._lock:
            self.session.queue(outgoing)
            try:
                self._flush()
                if until():
                    return
                in_time = self._wait(lambda: until() or outgoing.error is not None, deadline)
            except BaseException:
                self._give_up(outgoing)
                raise
            if outgoing.error is not None:
                raise outgoing.error
            if not in_time:
                self._give_up(outgoing)
                raise LinkTimeout("the message could not be sent in time")
            if not until():
                raise self._over()

    def _give_up(self, outgoing: Outgoing | Batch) -> None:
        if isinstance(outgoing, Outgoing) and not outgoing.done:
            self.session.abandon(outgoing)
            self._flush()

    def post(self, announcement: Announcement) -> bool:
        """Queue an announcement and do not wait: the keeper sends what the socket does not take at once.

        False where this link is over, would refuse the value, or has too much waiting.  Raises `UnsendableValue`.
        """
        try:
            outgoing = announcement.outgoing(self.session)
            with self._lock:
                if self.session.waiting_bytes > self.session.limits.backlog_bytes:
                    return False
                self.session.queue(outgoing)
                self._flush()
        except (MessageTooBig, LinkClosed, LinkLost, PeerFault):
            return False
        return True

    def begin(self, events: list[Event]) -> None:
        """Take in what had come before the pump was there, and send what is due."""
        with self._lock:
            self._handle(events)
            self._flush()

    def next_message(self, deadline: float | None, most_bytes: int | None) -> Message | Whole:
        """Take and return the next message, waiting for it if need be.

        Raises `LinkTimeout`, `MessageTooBig` for one over `most_bytes` (which stays where it is), what ended the
        session.
        """
        with self._lock:
            inbox = self._inbox
            while not inbox:
                if self._ended:
                    raise self._over()
                if not self._step(deadline):
                    raise LinkTimeout("no message came in time")
            message = inbox[0]
            if most_bytes is not None and message.plain_bytes > most_bytes:
                raise MessageTooBig(
                    f"the next message has {message.plain_bytes} bytes, over the {most_bytes} allowed here",
                    limit=most_bytes,
                    found=message.plain_bytes,
                )
            inbox.popleft()
            self.session.take(message)
            if self.session.has_output(time.monotonic()):
                self._flush()
            return message

    def fail(self, error: NetstructerError) -> None:
        """End the session with a fault that was found outside it."""
        with self._lock:
            self._handle(self.session.fail(error))

    def close(self, deadline: float | None) -> bool:
        """Say farewell after what is queued, and wait until the peer has said it too; False where it did not in
        time.
        """
        with self._lock:
            self._begin_close()
            return self._wait(lambda: self._ended, deadline)

    def begin_close(self) -> None:
        """Say farewell after what is queued, and do not wait."""
        with self._lock:
            self._begin_close()

    def abort(self) -> None:
        """End at once, without a word."""
        with self._lock:
            self._closing = True
            self._inbox.clear()
            self._handle(self.session.fail(LinkClosed("the link was aborted here")))

    def ping(self, deadline: float | None) -> float:
        """Return the seconds of a round trip.  Raises `LinkTimeout`, what ended the session."""
        with self._lock:
            self.session.check_open()
            before = self.session.pongs
            self.session.ping(time.monotonic())
            if not self._wait(lambda: self.session.pongs > before, deadline):
                raise LinkTimeout("no pong came in time")
            if self.session.rtt_seconds is None or self.session.pongs == before:
                raise self._over()
            return self.session.rtt_seconds

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def open(self) -> bool:
        """Whether values may still be sent: neither end has said farewell, and nothing broke."""
        return not (self._ended or self._closing or self._left_by_peer)

    # --- what the keeper asks for -----------------------------------------------------------------------------------

    def attend(self, *, read: bool) -> bool:
        """Do what can be done at once: read what is there, send what is due, keep time.

        False where somebody else works here at this moment, and does it instead.
        """
        if not self._lock.acquire(False):
            return False
        try:
            if read and not self._reading and not self._ended:
                self._read()
            self._handle(self.session.tick(time.monotonic()))
            self._flush()
        finally:
            self._lock.release()
        return True

    def rest(self) -> None:
        """Give memory back: nobody has been here for a while."""
        if self._lock.acquire(False):
            self.session.shrink()
            self._lock.release()

    @property
    def reading(self) -> bool:
        """Whether a caller has the reading turn."""
        return self._reading

    @property
    def wants_to_write(self) -> bool:
        return bool(self._unsent)

    def disown(self) -> None:
        """Let go of the socket without a word: this is a forked child, and the link is the parent's."""
        self._lock = FairLock()
        self._changed = threading.Condition(self._lock)  # type: ignore[arg-type]  # as above
        self._ended = True
        self.session.fail(LinkClosed("the link belongs to the process that forked this one"))
        self.transport.close()

    # --- under the lock ---------------------------------------------------------------------------------------------

    def _wait(self, until: Callable[[], bool], deadline: float | None) -> bool:
        """Work until `until()` holds or the session has ended; False at the deadline."""
        while not until() and not self._ended:
            if self._flush_once():
                self._lock.yield_to_others()
            elif not until() and not self._ended and not self._step(deadline):
                return False
        if self._unsent and not self._ended:
            current_keeper().watch_writes(self)
        return True

    def _step(self, deadline: float | None) -> bool:
        """Wait for one thing to happen, and deal with it; False at the deadline."""
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return False
        if self._reading or self._unsent:
            self._sleep(deadline, now)
        else:
            self._read_next(deadline, now)
        return True

    def _read_next(self, deadline: float | None, now: float) -> None:
        """Take the reading turn, wait until the socket can be read or something is due, and deal with it."""
        self._take_turn()
        due = self.session.deadline()
        if due is None or (deadline is not None and deadline < due):
            due = deadline
        ready = False
        try:
            ready = self._poll(self._readiness, due, now, read=True, write=False)
            if ready and not self._ended:
                self._read()
        finally:
            self._leave_turn()
        if not ready:
            self._handle(self.session.tick(time.monotonic()))
        if self.session.has_output(now):
            self._flush_once()
        if self._sleepers:
            self._changed.notify_all()

    def _sleep(self, deadline: float | None, now: float) -> None:
        """Wait for room to write, or for another thread that has the reading turn."""
        if not self._unsent:
            self._sleepers += 1
            try:
                self._changed.wait(None if deadline is None else deadline - now)
            finally:
                self._sleepers -= 1
            return
        read = not self._reading
        if read:
            self._take_turn()
        readiness = self._readiness if read else sockets.Readiness(self.transport)
        try:
            can_read = self._poll(readiness, deadline, now, read=read, write=True)
            if can_read and read and not self._ended:
                self._read()
        finally:
            if read:
                self._leave_turn()
        self._flush_once()
        if self._sleepers:
            self._changed.notify_all()

    def _take_turn(self) -> None:
        self._reading = True
        if self.standing is Standing.WATCHED:
            current_keeper().release(self)

    def _leave_turn(self) -> None:
        self._reading = False
        self.uses += 1
        if self.standing is Standing.ATTENDED and not self._ended:
            current_keeper().loosen(self)

    def _poll(self, readiness: sockets.Readiness, until: float | None, now: float, *, read: bool, write: bool) -> bool:
        """Wait for the socket, without the lock; say whether it can be read."""
        seconds = None if until is None else until - now if until > now else 0.0
        self._polling += 1
        self._lock.release()
        try:
            return readiness.wait(read=read, write=write, seconds=seconds)[0]
        finally:
            self._lock.acquire()
            self._polling -= 1
            if self._ended:
                self._close_socket_if_unused()

    def _read(self) -> None:
        session, frames = self.session, self._frames
        try:
            count = self.transport.recv_into(frames.space())
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        now = time.monotonic()
        if count:
            frames.filled(count)
            self._handle(session.receive(now))
        else:
            self._handle(session.end(now))

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is MessageArrived:
                if self._closing:
                    self.session.take(event.message)
                else:
                    self._inbox.append(event.message)
            elif isinstance(event, PeerLeft):
                self._left_by_peer = True
            elif isinstance(event, Ended):
                self._end()
        if events and self._sleepers:
            self._changed.notify_all()

    def _flush(self) -> None:
        """Seal and write until there is nothing more, or the socket is full: then the keeper goes on."""
        while self._flush_once():
            self._lock.yield_to_others()
        if self._unsent and not self._ended:
            current_keeper().watch_writes(self)

    def _flush_once(self) -> bool:
        """Seal and write one round; say whether there may be more and room for it."""
        if self._ended:
            return False
        unsent = self._unsent
        if not unsent:
            unsent.extend(self.session.frames_to_send(self._room_bytes, time.monotonic()))
            if not unsent:
                return False
        try:
            sockets.write(self.transport, unsent)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            unsent.clear()
            # What the peer sent before it broke off is still to be read; the end of it says how it ended.
            self._read_the_rest()
            return False
        return True

    def _read_the_rest(self) -> None:
        while not self._ended and not self._reading:
            before = self.session.wire_received
            self._read()
            if not self._ended and self.session.wire_received == before:
                self._handle(self.session.end(time.monotonic()))

    def _begin_close(self) -> None:
        if not self._closing:
            self._closing = True
            while self._inbox:
                self.session.take(self._inbox.popleft())
            self.session.say_farewell()
        self._flush()
        if self._sleepers:
            self._changed.notify_all()

    def _end(self) -> None:
        """The session has ended: send its last word if the socket takes it, and wake everybody."""
        if self._ended:
            return
        with contextlib.suppress(OSError):
            self._unsent.extend(self.session.frames_to_send(self._room_bytes, time.monotonic()))
            while self._unsent:
                sockets.write(self.transport, self._unsent)
        self._ended = True
        self._unsent.clear()
        current_keeper().forget(self)
        with contextlib.suppress(OSError):
            self.transport.shutdown(socket.SHUT_RDWR)
        self._close_socket_if_unused()
        self._changed.notify_all()
        self._on_end()

    def _close_socket_if_unused(self) -> None:
        """Close the descriptor only when nobody polls it: its number could be another file's by then."""
        if self._ended and not self._polling:
            self.transport.close()

    def _over(self) -> NetstructerError:
        return self.session.error or LinkClosed("the conversation is over")
