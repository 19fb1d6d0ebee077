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

A link outlives its transports (changeover.py).  `pipe` is the one of now, None while there is none; who polled one that
was given up meanwhile finds that it is another one's turn, and reads nothing from it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from netstructer import changeover, sockets
from netstructer.address import Address
from netstructer.errors import LinkClosed, NetstructerError
from netstructer.fairlock import FairLock
from netstructer.keeper import Standing, current_keeper
from netstructer.mate import engage
from netstructer.pipe import Pipe
from netstructer.protocol.asides import Asides
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.events import Draining, Ended, Event, MessageArrived, NewKeyCame, PeerLeft, Resumed, Suspended
from netstructer.protocol.session import Session

if TYPE_CHECKING:
    import socket

__all__ = ["Pump"]

ROUNDS = 4
"""Rounds of `Limits.unsent_bytes` that one link gets from who does not wait for it, before the others have theirs."""


class Pump:
    """One session, on one socket at a time.  Thread-safe."""

    def __init__(
        self, transport: socket.socket, session: Session, told: changeover.Told, dialled: Address | None = None
    ) -> None:
        self.session = session
        self.pipe: Pipe | None = Pipe(transport)
        """The transport of now."""
        self.peer = sockets.peer_address(transport, dialled)
        """Where the peer is, or was last."""
        self.hindrance: BaseException | None = None
        """What came of the last try to find another transport."""
        self.standing = Standing.LOOSE
        self.uses = 0
        """Counts how often the reading turn was left; the keeper tells by it whether somebody is busy here."""
        self.told = told
        self.lock = FairLock()
        self.changed = threading.Condition(self.lock)  # type: ignore[arg-type]  # it needs acquire and release only
        self._sleepers = 0
        self._workers = 0
        """Callers in `wait`: as long as there is one, what is queued is looked after."""
        self._more = False
        """Whether there may be more to seal, and room for it."""
        self.reading = False
        """Whether a caller has the reading turn."""
        self.inbox: deque[Message | Whole] = deque()
        self.asides = Asides(session.role)
        """Conversations, and what has come of them."""
        self.chores: deque[Callable[[], None]] = deque()
        """What the collector left to do, under the lock: whoever works here next does it."""
        self.unsent: deque[bytes | bytearray | memoryview] = deque()
        self.room_bytes = engage(session)
        self.patience_seconds = 0.0
        """How long the last word may wait for room in the socket."""
        self.ended = self.left_by_peer = self.closing = False
        self.draining = False
        """At a server that leaves: what has come can still be taken, and answered; nothing else is waited for."""
        self.dismissed = False
        """At a client whose server leaves: nothing new is begun."""

    @property
    def transport(self) -> socket.socket:
        """The socket of now."""
        assert self.pipe is not None
        return self.pipe.transport

    start, break_off, read_the_rest = changeover.start, changeover.break_off, changeover.read_the_rest
    end, abort, give_up = changeover.end, changeover.abort, changeover.give_up
    leave_at_exit, disown = changeover.leave_at_exit, changeover.disown
    suspend, board, adopt = changeover.suspend, changeover.board, changeover.adopt

    # --- what an exchange asks for, under the lock ------------------------------------------------------------------

    def write_now(self, frame: bytes | bytearray | memoryview) -> None:
        """Write one sealed frame, nothing being unsent; the keeper goes on with what the socket does not take."""
        assert self.pipe is not None
        try:
            sent = self.pipe.transport.send(frame)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.read_the_rest()
            return
        except BaseException:
            self.handle(self.session.end(time.monotonic()))  # as in _write
            raise
        if sent < len(frame):
            self.unsent.append(memoryview(frame)[sent:])
            current_keeper().watch_writes(self)

    def over(self) -> NetstructerError:
        """Return what a caller gets who asks for more than there is."""
        error = self.session.error
        return LinkClosed("the conversation is over") if error is None else error.again()

    def wake(self) -> None:
        """Let everybody who sleeps look again."""
        if self._sleepers:
            self.changed.notify_all()

    # --- what the keeper asks for -----------------------------------------------------------------------------------

    def attend(self, *, read: bool) -> bool:
        """Do what can be done at once: read what is there, send what is due, keep time.

        False where somebody else works here at this moment, and does it instead.
        """
        if not self.lock.plain.acquire(False):
            return False
        try:
            if read and not self.reading:
                self.read(self.pipe)
            self.handle(self.session.tick(time.monotonic()))
            self._flush_some()
            if self.wants_to_write and not (self.ended or self._workers):
                current_keeper().watch_writes(self)  # There is more, and the socket has room, or will have.
        except BaseException:
            # Where a fault of ours is not the link's end, the keeper would come back to it for ever.
            self.break_off()
            raise
        finally:
            self.lock.plain.release()
        return True

    def due(self) -> float | None:
        """Return when there is something to do by the clock."""
        return self.session.deadline()

    def rest(self) -> None:
        """Give memory back: nobody has been here for a while."""
        if self.lock.plain.acquire(False):
            self.session.frames.shrink()
            self.lock.plain.release()

    @property
    def wants_to_write(self) -> bool:
        """Whether to come back when the socket has room."""
        return bool(self.unsent) or self._more

    # --- under the lock ---------------------------------------------------------------------------------------------

    def wait(self, until: Callable[[], bool], deadline: float | None) -> bool:
        """Work until `until()` holds or the session has ended; False at the deadline."""
        self._workers += 1
        try:
            while not until() and not self.ended:
                if self._flush_once():
                    if deadline is not None and time.monotonic() >= deadline:
                        return until()
                    self.lock.yield_to_others()
                elif not until() and not self.ended and not self.step(deadline):
                    return False
            return True
        finally:
            self._workers -= 1
            self._leave_rest()

    def step(self, deadline: float | None) -> bool:
        """Wait for one thing to happen, and deal with it; False at the deadline.  What is to be sent because of it has
        been sent, unless a message came: its taker does that."""
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return False
        pipe = self.pipe
        if self.reading or self.unsent or pipe is None:
            self._sleep(deadline, now)
            return True
        session, ready = self.session, False
        try:
            self.reading = True
            if self.standing is Standing.WATCHED:
                current_keeper().release(self)
            due = session.deadline()
            if due is None or (deadline is not None and deadline < due):
                due = deadline
            ready = self._poll(pipe, pipe.readiness, due, now, read=True, write=False)
            if ready:
                self.read(pipe)
        finally:
            self.reading = False
            self._leave_turn()
        if not ready:
            self.handle(session.tick(time.monotonic()))
        if not self.inbox and session.has_output(time.monotonic()):
            self._flush_once()
            self._leave_rest()
        if self._sleepers:
            self.wake()
        return True

    def _sleep(self, deadline: float | None, now: float) -> None:
        """Wait for room to write, for another thread that has the reading turn, or for another transport."""
        pipe = self.pipe
        if not self.unsent or pipe is None:
            self._sleepers += 1
            try:
                self.changed.wait(None if deadline is None else deadline - now)
            finally:
                self._sleepers -= 1
            return
        due, read = deadline, not self.reading
        try:
            if read:
                self._take_turn()
                # Whoever reads keeps the time, too: a peer that takes nothing may be dead.
                timed = self.session.deadline()
                due = timed if due is None or (timed is not None and timed < due) else due
            readiness = pipe.readiness if read else sockets.Readiness(pipe.transport)
            can_read = self._poll(pipe, readiness, due, now, read=read, write=True)
            if can_read and read:
                self.read(pipe)
        finally:
            if read:
                self.reading = False
                self._leave_turn()
        if read:
            self.handle(self.session.tick(time.monotonic()))
        self._flush_once()
        self.wake()

    def _take_turn(self) -> None:
        self.reading = True
        if self.standing is Standing.WATCHED:
            current_keeper().release(self)

    def _leave_turn(self) -> None:
        self.uses += 1
        if self._sleepers:
            self.wake()
        if self.standing is Standing.ATTENDED and not self.ended:
            current_keeper().loosen(self)

    def _poll(
        self, pipe: Pipe, readiness: sockets.Readiness, until: float | None, now: float, *, read: bool, write: bool
    ) -> bool:
        """Wait for the socket, without the lock; say whether it can be read."""
        seconds = None if until is None else until - now if until > now else 0.0
        plain = self.lock.plain
        pipe.polling += 1
        try:
            plain.release()
            return readiness.wait(read=read, write=write, seconds=seconds)[0]
        finally:
            try:
                if not plain.acquire(False):
                    self.lock.acquire()
            finally:
                pipe.polling -= 1
                if pipe.over:
                    pipe.close_if_unused()

    def read(self, pipe: Pipe | None) -> None:
        if pipe is not self.pipe or pipe is None or self.ended:
            return  # It was given up meanwhile: what it still holds was said on a transport that is over.
        session, frames = self.session, self.session.frames
        try:
            try:
                count = pipe.transport.recv_into(frames.space())
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                count = 0
            now = time.monotonic()
            if count:
                frames.filled(count)
                self.handle(session.receive(now))
            else:
                self.handle(session.end(now))
        except BaseException:
            self.break_off()
            raise

    def handle(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is MessageArrived:
                message = event.message
                if message.conversation or self.closing:
                    self._sort(message)
                else:
                    self.inbox.append(message)
            elif isinstance(event, PeerLeft):
                self.left_by_peer = True
            elif isinstance(event, Suspended):
                self.suspend(event.error)
            elif isinstance(event, Resumed):
                self.told.resumed()
            elif isinstance(event, Draining):
                self.dismissed = True
                self.told.draining(event.seconds)
            elif isinstance(event, NewKeyCame):
                self.told.new_key(event.key)
            elif isinstance(event, Ended):
                self.end(event.error)
        if events and self._sleepers:
            self.wake()

    def _sort(self, message: Message | Whole) -> None:
        if self.closing or not self.asides.put(message):
            self.session.inflow.dismiss(message)
        elif self.asides.calls:
            self.told.called(message.conversation)

    def flush(self) -> None:
        """Seal and write a few rounds, as far as the socket takes it; the keeper goes on with the rest."""
        self._flush_some()
        self._leave_rest()

    def _flush_some(self) -> None:
        while self.chores:
            self.chores.popleft()()
        for _ in range(ROUNDS):
            self._more = self._flush_once()
            if not self._more:
                return
        self._more = self.session.has_output(time.monotonic())

    def _leave_rest(self) -> None:
        """Let the keeper go on where something is left and nobody stays who would."""
        if self.ended or not (self.unsent or self._more or self.session.has_output(time.monotonic())):
            return
        if self._workers:
            self.wake()  # One of them may sleep until a message comes, and knows nothing of what was left.
            return
        self._more = not self.unsent
        current_keeper().watch_writes(self)

    def _flush_once(self) -> bool:
        """Seal and write one round; say whether there may be more and room for it."""
        if self.ended:
            return False
        unsent, pipe = self.unsent, self.pipe
        try:
            if not unsent:
                unsent.extend(changeover.seal(self))
                if not unsent:
                    return False
            if pipe is None:
                return False
            self._write(pipe)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            unsent.clear()
            # What the peer sent before it broke off is still to be read; the end of it says how it ended.
            self.read_the_rest()
            return False
        except BaseException:
            # Interrupted in the writing, it is suspended by now, and goes on; in the sealing it cannot.
            if pipe is self.pipe or not self.session.suspended:
                self.break_off()
            raise
        return True

    def _write(self, pipe: Pipe) -> None:
        try:
            sockets.write(pipe.transport, self.unsent)
        except OSError:
            raise
        except BaseException:
            # Half a frame may have gone, and nobody knows how much: that is the end of this transport, and no more.
            self.handle(self.session.end(time.monotonic()))
            raise

    def wake_all(self) -> None:
        """Let everybody look again, whatever they wait for."""
        self.changed.notify_all()
