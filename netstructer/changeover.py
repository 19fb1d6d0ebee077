"""Changeover: a link goes from one transport to the next, and lets go of the last.  Floor: FAÇADES.

Law: of two transports of one link only the newer is read.  Spec: protocol.md, "Resume".

All of this happens under the link's lock.  `suspend` gives the pipe up; whoever waits for a message, for room or for an
acknowledgement goes on waiting, now for another transport.  At a client a redialler finds one and `board`s it; at a
server the door brings one, with the fresh session on it that heard who is asked for, and the link `adopt`s it, whether
the old transport was found dead by then or not.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Protocol

from netstructer import sockets
from netstructer.errors import ConnectionCut, LinkClosed, NetstructerError, SessionLost, SourceFailed
from netstructer.keeper import current_keeper
from netstructer.pipe import Pipe

if TYPE_CHECKING:
    from netstructer.keys import Key
    from netstructer.protocol.handshake import Agreement
    from netstructer.protocol.session import Session
    from netstructer.pump import Pump

__all__ = [
    "Told",
    "abort",
    "adopt",
    "board",
    "break_off",
    "disown",
    "end",
    "give_up",
    "leave_at_exit",
    "read_the_rest",
    "seal",
    "start",
    "suspend",
]


_DISCARD_BYTES = 64 << 10


class Told(Protocol):
    """Who is told what becomes of a link, under its lock: never wait in there, and never call the link."""

    def ended(self) -> None: ...
    def suspended(self, error: NetstructerError) -> None: ...
    def resumed(self) -> None: ...
    def draining(self, seconds: float) -> None: ...
    def new_key(self, key: Key) -> None: ...
    def called(self, number: int) -> None: ...


def start(pump: Pump) -> None:
    """Send what is due on the first transport, and let the keeper look after the rest."""
    with pump.lock.in_turn():
        if pump.pipe is not None and not pump.ended:
            current_keeper().add(pump)
            pump.flush()


def suspend(pump: Pump, error: NetstructerError) -> None:
    """Give the transport up; the session waits for another one."""
    _give_up_pipe(pump)
    current_keeper().park(pump)
    pump.wake_all()
    pump.told.suspended(error)


def board(pump: Pump, transport: socket.socket, agreement: Agreement) -> bool:
    """Go on, at a client, on a transport whose handshake is done; False where that is not wanted any more."""
    with pump.lock.in_turn():
        if pump.ended or pump.pipe is not None:
            return False
        peer = sockets.peer_address(transport)
        pump.session.rejoin(agreement, time.monotonic())
        pump.pipe, pump.peer = Pipe(transport), peer
        current_keeper().add(pump)
        pump.flush()
        pump.wake_all()
        return True


def adopt(pump: Pump, transport: socket.socket, newcomer: Session) -> None:
    """Go on, at a server, on the transport of a session that was claimed.

    Raises `SessionLost`, and nothing is changed, where this is not the session, or not that client's.
    """
    with pump.lock.in_turn():
        if pump.ended:
            raise SessionLost("the session is over")
        peer = sockets.peer_address(transport)
        events = pump.session.adopt(newcomer, time.monotonic())
        _give_up_pipe(pump)
        current_keeper().forget(pump)
        pump.pipe, pump.peer = Pipe(transport), peer
        current_keeper().add(pump)
        pump.handle(events)
        pump.flush()
        pump.wake_all()


def seal(pump: Pump) -> list[bytes | bytearray | memoryview]:
    """Seal one round.  Where the disk does not give back what was kept, that is the end of the session: its error is an
    `OSError`, and must not be taken for one of the transport, for the next one would not heal it.
    """
    try:
        return pump.session.frames_to_send(pump.room_bytes, time.monotonic())
    except SourceFailed as error:
        lost = SessionLost("the disk did not give back what was kept to be sent again")
        lost.__cause__ = error
        pump.handle(pump.session.fail(lost))
        return []


def break_off(pump: Pump) -> None:
    """End at once, interrupted in the middle of a record: what is half sealed or read cannot be gone on with."""
    pump.unsent.clear()
    pump.handle(pump.session.fail(ConnectionCut("this end was interrupted in the middle of a record")))


def read_the_rest(pump: Pump) -> None:
    """Read what the peer said before it broke off, unless somebody else does; then the transport is over."""
    pipe = pump.pipe
    while pipe is not None and pipe is pump.pipe and not (pump.ended or pump.reading):
        before = pump.session.traffic.wire_received
        pump.read(pipe)
        if pipe is pump.pipe and not pump.ended and pump.session.traffic.wire_received == before:
            pump.handle(pump.session.end(time.monotonic()))


def end(pump: Pump, error: NetstructerError | None) -> None:
    """The session has ended: send its last word if the socket takes it, and wake everybody."""
    if pump.ended:
        return
    pipe = pump.pipe
    # The last word is a courtesy: a fault in it must not keep the link from ending.
    try:
        with contextlib.suppress(Exception):
            pump.unsent.extend(pump.session.frames_to_send(pump.room_bytes, time.monotonic()))
            if pipe is not None:
                _write_last(pump, pipe)
    finally:  # Nor must Ctrl-C.
        pump.ended = True
        pump.unsent.clear()
        if error is not None and error.__cause__ is None:
            error.__cause__ = pump.hindrance
        current_keeper().forget(pump)
        if pipe is not None:
            pipe.end()
        pump.wake_all()
        pump.told.ended()


def _write_last(pump: Pump, pipe: Pipe) -> None:
    """Write what is sealed and the last word behind it, without which the peer would wait for this end's return.

    As long as whoever ends the link allows, a socket that is full is waited for, and then the peer's end: a socket that
    is closed while something of the peer lies unread there is reset, and takes back what it had not yet sent.
    """
    until = time.monotonic() + pump.patience_seconds
    readiness = sockets.Readiness(pipe.transport)
    heard = bool(pump.patience_seconds)
    while pump.unsent:
        try:
            sockets.write(pipe.transport, pump.unsent)
        except (BlockingIOError, InterruptedError):
            left = until - time.monotonic()
            if left <= 0:
                return
            readiness.wait(read=False, write=True, seconds=left)
    if heard:
        pipe.transport.shutdown(socket.SHUT_WR)
    while heard and (left := until - time.monotonic()) > 0:
        if readiness.wait(read=True, write=False, seconds=left)[0]:
            heard = bool(pipe.transport.recv(_DISCARD_BYTES))


def abort(pump: Pump, error: NetstructerError, patience_seconds: float = 0.0) -> None:
    """End at once, at the application's wish; its last word may wait so long for room in the socket."""
    pump.closing = True
    pump.patience_seconds = patience_seconds
    pump.handle(pump.session.abort(error))
    if not pump.ended:
        end(pump, pump.session.error)  # The session was over, and Ctrl-C came before that was dealt with.


def give_up(pump: Pump) -> None:
    """End at once: nobody holds the link any more."""
    with pump.lock.in_turn():
        abort(pump, LinkClosed("the link was dropped without being closed"))


def leave_at_exit(pump: Pump, patience_seconds: float) -> None:
    """End at once, where nobody works here at this moment: the process ends, and the peer need not wait for it."""
    if pump.lock.plain.acquire(False):
        try:
            abort(pump, LinkClosed("the process ended"), patience_seconds)
        finally:
            pump.lock.plain.release()


def disown(pump: Pump) -> None:
    """Let go of the socket without a word: this is a forked child, and the link is the parent's."""
    pump.lock.renew()
    pump.changed = threading.Condition(pump.lock)  # type: ignore[arg-type]  # it needs acquire and release only
    pump.ended = pump.closing = True
    pump.inbox.clear()
    pump.unsent.clear()
    pump.session.fail(LinkClosed("the link belongs to the process that forked this one"))
    if pump.pipe is not None:
        pump.pipe.transport.close()


def _give_up_pipe(pump: Pump) -> None:
    pipe = pump.pipe
    pump.unsent.clear()  # What was sealed for it is kept, and sealed again for the next.
    if pipe is not None:
        current_keeper().forget(pump)
        pump.pipe = None
        pipe.end()
