"""One connection through a proxy: two sockets, and a pipe each way.  Floor: FAÇADES.

Law: nothing here waits; whoever owns it says when a socket is ready and what time it is.

*near* is the end that connected to the proxy, *far* is the target.  What ends properly at one side ends properly at the
other, behind its last byte; what breaks there breaks here.  A side that was cut is read, and what comes is thrown away,
until its peer ends it too: a socket that is closed with bytes unread sends a reset, which would destroy what was passed
on before it.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
from collections.abc import Callable, Iterable

from netstructer.testing.faults import Blackhole, Cut, Direction, Fault, HalfClose, Reset
from netstructer.testing.pipe import Ending, Pipe

__all__ = ["RESET_ON_CLOSE", "Connection", "Side"]

LINGER_SECONDS = 5.0
"""How long a side that was cut is read before it is closed whatever comes: a peer that is alive ends it long before."""
_READ_BYTES = 64 << 10
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""For SO_LINGER: what is closed sends a reset."""


class Side:
    """One socket: where its bytes go, and where those for it come from."""

    __slots__ = ("close_at", "connection", "incoming", "mask", "outgoing", "socket")

    def __init__(self, connection: Connection, transport: socket.socket, incoming: Pipe, outgoing: Pipe) -> None:
        self.connection = connection
        self.socket: socket.socket | None = transport
        self.incoming = incoming
        """What this side has sent."""
        self.outgoing = outgoing
        """What this side is to be given."""
        self.mask = 0
        """What the selector watches it for."""
        self.close_at: float | None = None
        """Set once it was cut: what it still sends is thrown away."""


class Connection:
    """Two sides.  `tell(fault)` is called for each fault that takes place."""

    def __init__(
        self,
        number: int,
        near: socket.socket,
        far: socket.socket,
        faults: Iterable[Fault],
        *,
        selector: selectors.BaseSelector,
        buffer_bytes: int,
        hold_bytes: int,
        tell: Callable[[Fault], object],
    ) -> None:
        self.number = number
        planned = list(faults)

        def pipe(direction: Direction) -> Pipe:
            mine = [fault for fault in planned if fault.direction == direction]
            return Pipe(mine, buffer_bytes=buffer_bytes, hold_bytes=hold_bytes, tell=tell)

        self.pipes: dict[Direction, Pipe] = {"out": pipe("out"), "in": pipe("in")}
        self._near = Side(self, near, self.pipes["out"], self.pipes["in"])
        self._far = Side(self, far, self.pipes["in"], self.pipes["out"])
        self._selector = selector
        self._connecting = True
        self.unreachable = False
        """Whether nobody was there at the target."""
        self.due: float | None = None
        """When to `step` even if no socket is ready."""

    @property
    def open(self) -> bool:
        """Whether either socket still is."""
        return self._near.socket is not None or self._far.socket is not None

    @property
    def cut(self) -> bool:
        """Whether it has been ended by a fault, and only waits for its peers to notice."""
        return all(side.socket is None or side.close_at is not None for side in (self._near, self._far))

    def ready(self, side: Side, mask: int, now: float) -> None:
        """Take in that a socket can be read or written."""
        if self._connecting and side is self._far and mask & selectors.EVENT_WRITE:
            self._on_connected()
        elif mask & selectors.EVENT_READ:
            self._read(side)
        self.step(now)

    def step(self, now: float) -> None:
        """Do what can be done without waiting: pass bytes on, let faults happen; then say what to wait for."""
        for side, other in ((self._near, self._far), (self._far, self._near)):
            if side.incoming.severed and side.socket is not None and side.close_at is None:
                side.incoming.sever()
                other.incoming.discard()
                self._cut(side, now)
            if side.close_at is not None and now >= side.close_at:
                self._close(side)
        if not self._connecting:
            for side in (self._far, self._near, self._far):  # what happens at one may be for the other
                self._pass_on(side, now)
        if all(pipe.done for pipe in self.pipes.values()):
            self.abandon()
        for side in (self._near, self._far):
            self._watch(side, now)
        dues = [self._near.close_at, self._far.close_at, *(pipe.due(now) for pipe in self.pipes.values())]
        self.due = min((due for due in dues if due is not None), default=None) if self.open else None

    def strike(self, fault: Fault, now: float) -> None:
        """Let a fault happen now, whatever was planned."""
        self.pipes[fault.direction].strike(fault)
        self.step(now)

    def release(self, now: float) -> int:
        """Let go what is stalled or held back; return how many bytes that is."""
        count = sum(pipe.release() for pipe in self.pipes.values())
        self.step(now)
        return count

    def abandon(self, *, reset: bool = False) -> None:
        """Close both sockets."""
        for side in (self._near, self._far):
            self._close(side, reset=reset)

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _watch(self, side: Side, now: float) -> None:
        if side.socket is None:
            return
        mask = 0
        if self._connecting and side is self._far:
            mask = selectors.EVENT_WRITE
        else:
            if side.close_at is not None or side.incoming.room_bytes:
                mask |= selectors.EVENT_READ
            if not self._connecting and side.close_at is None and side.outgoing.sendable(now):
                mask |= selectors.EVENT_WRITE
        if mask == side.mask:
            return
        if not mask:
            self._selector.unregister(side.socket)
        elif side.mask:
            self._selector.modify(side.socket, mask, side)
        else:
            self._selector.register(side.socket, mask, side)
        side.mask = mask

    def _on_connected(self) -> None:
        assert self._far.socket is not None
        self._connecting = False
        if self._far.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.unreachable = True
            self._break(self._far)

    def _read(self, side: Side) -> None:
        drained = side.close_at is not None
        room = _READ_BYTES if drained else min(_READ_BYTES, side.incoming.room_bytes)
        if side.socket is None or not room:
            return
        try:
            data = side.socket.recv(room)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._break(side)
            return
        if drained:
            if not data:
                self._close(side)
        elif data:
            side.incoming.take(data)
        else:
            side.incoming.end(Ending.FINISHED)

    def _pass_on(self, side: Side, now: float) -> None:
        """Give a side what is there for it, as far as its socket takes it."""
        pipe = side.outgoing
        while side.socket is not None and side.close_at is None:
            item = pipe.front(now)
            if item is None:
                return
            if not isinstance(item, bytes):
                self._happen(item, side, now)
                continue
            try:
                count = side.socket.send(item)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._break(side)
                return
            pipe.passed(count, now)

    def _break(self, side: Side) -> None:
        """Take in that a side is broken: no more comes from it, nothing more can go there."""
        side.outgoing.discard()
        side.incoming.end(Ending.BROKEN)
        self._close(side)
        if side.incoming.finished:  # Its end was passed on already; that nothing can go there any more was not.
            self.abandon(reset=True)

    # --- what happens -------------------------------------------------------------------------------------------------

    def _happen(self, item: Fault | Ending, side: Side, now: float) -> None:
        """Let a fault or an ending take place that has come to the front for a side."""
        if item is Ending.FINISHED or isinstance(item, HalfClose):
            side.outgoing.finished = item is Ending.FINISHED
            side.outgoing.discard()
            self._finish(side)
        elif item is Ending.BROKEN or isinstance(item, Reset):
            self.abandon(reset=True)
        elif isinstance(item, (Cut, Blackhole)):
            for pipe in self.pipes.values():
                pipe.discard()
            if isinstance(item, Cut):
                self._cut(self._near, now)
                self._cut(self._far, now)

    def _finish(self, side: Side) -> None:
        if side.socket is not None:
            with contextlib.suppress(OSError):
                side.socket.shutdown(socket.SHUT_WR)

    def _cut(self, side: Side, now: float) -> None:
        """End a side in order; it is closed when its peer has ended it as well."""
        self._finish(side)
        side.close_at = now + LINGER_SECONDS

    def _close(self, side: Side, *, reset: bool = False) -> None:
        if side.socket is None:
            return
        if side.mask:
            self._selector.unregister(side.socket)
            side.mask = 0
        if reset:
            with contextlib.suppress(OSError):
                side.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        side.socket.close()
        side.socket = None
        side.close_at = None
