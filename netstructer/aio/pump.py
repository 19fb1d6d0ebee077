"""The pump: moves bytes between one session and its transport of now.  Floor: FAÇADES.

Law: everything happens in the loop, and nothing here waits.

Records are sealed only while the transport takes them.  Of what waits, one round of `Limits.unsent_bytes` is sealed at
a time, then the loop's other work has its turn.  Reading never stops: what a peer may send is bounded by the credit
that it was given.

Pings are answered, and sent, whether anybody waits in the link or not: the loop does it, as long as nobody blocks it.

A link outlives its transports.  `suspend` gives one up; who waits for a message, for room or for an acknowledgement
goes on waiting.  At a client a redialler finds another one and `board`s it; at a server the door brings one, with the
fresh session on it that heard who is asked for, and the link `adopt`s it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from netstructer.address import Address
from netstructer.aio.pipe import Pipe, peer_of
from netstructer.aio.waiting import Waiters, call_at
from netstructer.errors import ConnectionCut, LinkClosed, NetstructerError, SessionLost, SourceFailed
from netstructer.keys import Key
from netstructer.mate import engage
from netstructer.protocol.asides import CALLS_FROM, Asides
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.events import Draining, Ended, Event, MessageArrived, NewKeyCame, PeerLeft, Resumed, Suspended
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.session import Session

__all__ = ["Pump", "Told"]


class Told(Protocol):
    """Who is told what becomes of a link: never wait in there, and never call the link."""

    def ended(self) -> None: ...
    def suspended(self, error: NetstructerError) -> None: ...
    def resumed(self) -> None: ...
    def draining(self, seconds: float) -> None: ...
    def new_key(self, key: Key) -> None: ...
    def called(self, number: int) -> None: ...


class Pump:
    """One session, on one transport at a time.  Single owner: the loop."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.loop = asyncio.get_running_loop()
        self._told: Told | None = None
        self._untold: list[Callable[[Told], None]] = []
        """What has happened before there was anybody to tell."""
        self.pipe: Pipe | None = None
        """The transport of now."""
        self.peer = Address("", 0)
        """Where the peer is, or was last."""
        self.hindrance: BaseException | None = None
        """What came of the last try to find another transport."""
        self.inbox: deque[Message | Whole] = deque()
        self.asides = Asides(session.role)
        """Conversations, and what has come of them."""
        self.waiters = Waiters(self.loop)
        """Who waits for something to happen here."""
        self.ended = False
        self.closing = False
        self.left_by_peer = False
        self.draining = False
        """Whether this end lets what is under way be done, and then leaves; of the peer, that is only told."""
        self._open_pipes: set[Pipe] = set()
        self._room_bytes = engage(session)
        self._round: asyncio.Handle | None = None
        """The round of sealing that comes next, where there is more to seal than one round's."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def listen(self, told: Told) -> None:
        """Tell `told` what becomes of the link, from its beginning on."""
        self._told = told
        untold, self._untold = self._untold, []
        for tell in untold:
            tell(told)

    def _tell(self, tell: Callable[[Told], None]) -> None:
        if self._told is None:
            self._untold.append(tell)
        else:
            tell(self._told)

    # --- transports -------------------------------------------------------------------------------------------------

    def begin(self, transport: asyncio.Transport, events: list[Event]) -> None:
        """Take over the first transport, take in what had come before, and send what is due."""
        self._take_over(transport)
        self.handle(events)
        self.flush()

    def suspend(self, error: NetstructerError) -> None:
        """Give the transport up; the session waits for another one."""
        self._give_up_pipe()
        self.flush()
        self._tell(lambda told: told.suspended(error))

    def board(self, transport: asyncio.Transport, agreement: Agreement) -> bool:
        """Go on, at a client, on a transport whose handshake is done; False where that is not wanted any more."""
        if self.ended or self.pipe is not None:
            return False
        self.session.rejoin(agreement, time.monotonic())
        self._take_over(transport)
        self.flush()
        self.waiters.wake()
        return True

    def adopt(self, transport: asyncio.Transport, newcomer: Session) -> None:
        """Go on, at a server, on the transport of a session that was claimed.

        Raises `SessionLost`, and nothing is changed, where this is not the session, or not that client's.
        """
        if self.ended:
            raise SessionLost("the session is over")
        events = self.session.adopt(newcomer, time.monotonic())
        self._give_up_pipe()
        self._take_over(transport)
        self.handle(events)
        self.flush()

    @property
    def gone(self) -> bool:
        """Whether asyncio has let go of every transport."""
        return not self._open_pipes

    def let_go(self, pipe: Pipe) -> None:
        """Take in that asyncio has let go of a transport."""
        self._open_pipes.discard(pipe)
        self.waiters.wake()

    def hang_up(self) -> None:
        """Close every transport at once, without what they have not written."""
        for pipe in tuple(self._open_pipes):
            pipe.hang_up()

    def _take_over(self, transport: asyncio.Transport) -> None:
        with contextlib.suppress(OSError):
            self.peer = peer_of(transport)
        self.pipe = Pipe(self, transport)
        self._open_pipes.add(self.pipe)

    def _give_up_pipe(self) -> None:
        self._stop_round()
        if self.pipe is not None:
            # What was sealed for it is kept, and sealed again for the next.
            pipe, self.pipe = self.pipe, None
            pipe.hang_up()

    # --- in ---------------------------------------------------------------------------------------------------------

    def received(self, count: int) -> None:
        """Take in that so many bytes have come into the session's space."""
        session = self.session
        try:
            now = time.monotonic()
            session.frames.filled(count)
            self._take_in(session.receive(now))
        except BaseException:
            self.break_off()
            raise
        if session.has_output(now):
            self.flush()
        else:
            self._keep_time()
        # Not only what comes as an event is waited for: an acknowledgement, the credit of a blob.
        self.waiters.wake()

    def lost(self) -> None:
        """Take in that the transport of now has ended."""
        self.handle(self.session.end(time.monotonic()))

    def handle(self, events: list[Event]) -> None:
        """Take in what has happened, and wake whom it concerns."""
        if events:
            self._take_in(events)
            self.waiters.wake()

    def _take_in(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is MessageArrived:
                message = event.message
                if message.conversation or self.closing:
                    self._sort(message)
                else:
                    self.inbox.append(message)
            elif isinstance(event, PeerLeft):
                self.left_by_peer = True
                self.waiters.wake_all()
            elif isinstance(event, Suspended):
                self.suspend(event.error)
            elif isinstance(event, Resumed):
                self._tell(lambda told: told.resumed())
            elif isinstance(event, Draining):
                self._tell(partial(_tell_draining, event.seconds))
            elif isinstance(event, NewKeyCame):
                self._tell(partial(_tell_new_key, event.key))
            elif isinstance(event, Ended):
                self._end(event.error)

    def _sort(self, message: Message | Whole) -> None:
        number = message.conversation
        if self.closing or not self.asides.put(message):
            self.session.inflow.dismiss(message)
        elif number > CALLS_FROM:
            if self.asides.is_own(number):
                self.waiters.wake_one(number)
            elif self._told is not None:
                self._told.called(number)
            else:
                self._untold.append(lambda told: told.called(number))

    # --- out --------------------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether what is sealed now can be written now."""
        return self.pipe is not None and not self.pipe.paused and self._round is None and not self.ended

    def write_now(self, frame: bytes | bytearray | memoryview) -> None:
        """Write one sealed frame, where there is room."""
        assert self.pipe is not None
        self.pipe.write([frame])

    def flush(self) -> None:
        """Seal and write a round of what is due, as far as the transport takes it; the rest goes in further rounds."""
        if self._round is None:
            self._flush_round()
        self._keep_time()

    def _flush_round(self) -> None:
        self._round = None
        pipe = self.pipe
        if self.ended or (pipe is not None and pipe.paused):
            return
        now = time.monotonic()
        try:
            # Without a transport nothing is sealed, but what waits takes its place in the order, and has been sent.
            frames = self.session.frames_to_send(self._room_bytes, now)
            if frames and pipe is not None:
                pipe.write(frames)
                if not pipe.paused and self.session.has_output(now):
                    self._round = self.loop.call_soon(self._go_on)
        except SourceFailed as error:
            lost = SessionLost("the disk did not give back what was kept to be sent again")
            lost.__cause__ = error
            self.handle(self.session.fail(lost))
        except BaseException:
            self.break_off()
            raise
        self.waiters.wake()

    def _go_on(self) -> None:
        self._flush_round()
        self._keep_time()

    def _stop_round(self) -> None:
        if self._round is not None:
            self._round.cancel()
            self._round = None

    # --- time -------------------------------------------------------------------------------------------------------

    def _keep_time(self) -> None:
        """See to it that the loop calls when something is due by the clock.

        What is due later than it was is found out when the loop calls: most of what comes puts the next ping off.
        """
        due = self.session.deadline()
        if due is None or self.ended or (self._timer is not None and self._timer_at <= due):
            return
        self._stop_timer()
        self._timer_at = due
        self._timer = call_at(self.loop, due, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.session.frames.shrink()
        self.handle(self.session.tick(time.monotonic()))
        self.flush()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- the end ----------------------------------------------------------------------------------------------------

    def over(self) -> NetstructerError:
        """Return what a caller gets who asks for more than there is."""
        error = self.session.error
        return LinkClosed("the conversation is over") if error is None else error.again()

    def break_off(self) -> None:
        """End at once, interrupted in the middle of a record: what is half sealed cannot be gone on with."""
        self.handle(self.session.fail(ConnectionCut("this end was interrupted in the middle of a record")))

    def _end(self, error: NetstructerError | None) -> None:
        """The session has ended: send its last word if the transport takes it, and wake everybody."""
        if self.ended:
            return
        self.ended = True
        self._stop_timer()
        self._stop_round()
        if error is not None and error.__cause__ is None:
            error.__cause__ = self.hindrance
        pipe, self.pipe = self.pipe, None
        if pipe is not None:
            # The last word is a courtesy: a fault in it must not keep the link from ending.
            with contextlib.suppress(Exception):
                if frames := self.session.frames_to_send(self._room_bytes, time.monotonic()):
                    pipe.write(frames)
            pipe.end()
        self.waiters.wake()
        self.waiters.wake_all()
        self._tell(lambda told: told.ended())


def _tell_draining(seconds: float, told: Told) -> None:
    told.draining(seconds)


def _tell_new_key(key: Key, told: Told) -> None:
    told.new_key(key)
