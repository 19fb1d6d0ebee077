"""A wire: a transport in memory, with the faults of a network and a clock by hand.  Floor: FAÇADES.

Law: no socket, thread or real clock; the same calls have the same effects, every time.

    near, far = wire_pair([Cut(at=300)])
    near.write(hello)                   # how many bytes it took; 0 where it has no room
    far.read(1)                         # one byte; None where nothing is there now, b"" at the end

It is for code that does no I/O itself (a parser, a state machine, a session): the test stands where the sockets would
be, and gives such code its bytes one by one, late, changed or cut off.  The faults are those of `ChaosProxy`, at the
same bytes, for the same seed: *near* is the end that would have connected, `"out"` is what it writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from netstructer.errors import Misuse
from netstructer.testing.clock import FakeClock
from netstructer.testing.faults import Blackhole, Cut, Direction, Duplicate, Fault, HalfClose, Reset
from netstructer.testing.pipe import Ending, Pipe

__all__ = ["Wire", "WireEnd", "wire_pair"]


def wire_pair(
    faults: Iterable[Fault] = (),
    *,
    clock: FakeClock | None = None,
    buffer_bytes: int = 64 << 10,
    hold_bytes: int = 1 << 20,
) -> tuple[WireEnd, WireEnd]:
    """Return both ends of a fresh wire: near, far.  `near.wire` is what is between them.

    `clock` is the clock by which stalls and throttles pass; without one the wire has its own, `near.wire.clock`.
    `buffer_bytes` are what one direction holds before its writer has to wait, `hold_bytes` what it does while a `Hold`
    keeps it back.
    """
    wire = Wire(faults, clock=clock, buffer_bytes=buffer_bytes, hold_bytes=hold_bytes)
    return wire.near, wire.far


class Wire:
    """What is between two ends: bytes under way, and what happens to them.  Single owner."""

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        clock: FakeClock | None = None,
        buffer_bytes: int = 64 << 10,
        hold_bytes: int = 1 << 20,
    ) -> None:
        if buffer_bytes < 1 or hold_bytes < 1:
            raise Misuse("expected buffer_bytes and hold_bytes of at least 1")
        planned = list(faults)
        self.clock = FakeClock() if clock is None else clock
        self.happened: list[Fault] = []
        """The faults that have taken place, in order."""

        def pipe(direction: Direction) -> Pipe:
            mine = [fault for fault in planned if fault.direction == direction]
            return Pipe(mine, buffer_bytes=buffer_bytes, hold_bytes=hold_bytes, tell=self.happened.append)

        self._pipes: dict[Direction, Pipe] = {"out": pipe("out"), "in": pipe("in")}
        self.near = WireEnd(self, "near", self._pipes["in"], self._pipes["out"])
        """The end that connected."""
        self.far = WireEnd(self, "far", self._pipes["out"], self._pipes["in"])
        """The end that was connected to."""
        self.step()

    @property
    def counts(self) -> dict[str, int]:
        """How many of each fault have taken place, by its name."""
        return dict(Counter(type(fault).__name__ for fault in self.happened))

    @property
    def due(self) -> float | None:
        """When something goes on by itself, by the clock; None where nothing waits for time."""
        dues = [pipe.due(self.clock()) for pipe in self._pipes.values()]
        return min((due for due in dues if due is not None), default=None)

    def strike(self, fault: Fault) -> None:
        """Let a fault happen now, before all that is under way in its direction; its `at` counts for nothing.

        Raises `Misuse` for a `Duplicate`, which has to be planned.
        """
        if isinstance(fault, Duplicate):
            raise Misuse("a Duplicate has to be planned")
        self._pipes[fault.direction].strike(fault)
        self.step()

    def cut(self) -> None:
        """End both directions: what was passed on can still be read, and not a byte more."""
        self.strike(Cut())

    def reset(self) -> None:
        """Break both directions: what nobody has read is lost."""
        self.strike(Reset())

    def release(self) -> int:
        """Let go what is stalled or held back; return how many bytes that is."""
        count = sum(pipe.release() for pipe in self._pipes.values())
        self.step()
        return count

    def step(self) -> None:
        """Pass on what may go by now.  Every read and write does so first."""
        now = self.clock()
        for end, other in ((self.near, self.far), (self.far, self.near), (self.near, self.far)):
            pipe = end._outgoing
            if pipe.severed and not end._broken:
                pipe.sever()
                end._incoming.discard()
                end._break()
            while (item := pipe.front(now)) is not None:
                if isinstance(item, bytes):
                    other._inbox += item
                    pipe.passed(len(item), now)
                else:
                    self._happen(item, other)

    def _happen(self, item: Fault | Ending, receiver: WireEnd) -> None:
        """Let a fault or an ending take place that has come to its receiver."""
        if item is Ending.FINISHED or isinstance(item, HalfClose):
            receiver._incoming.discard()
            receiver._over = True
        elif item is Ending.BROKEN or isinstance(item, (Reset, Cut, Blackhole)):
            for pipe in self._pipes.values():
                pipe.discard()
            if not isinstance(item, Blackhole):
                for end in (self.near, self.far):
                    end._break(reset=not isinstance(item, Cut))

    def __repr__(self) -> str:
        return f"<Wire at {self.clock():.3f} s, {len(self.happened)} faults so far>"


class WireEnd:
    """One end of a wire: write, read, end.  It never waits."""

    def __init__(self, wire: Wire, name: str, incoming: Pipe, outgoing: Pipe) -> None:
        self.wire = wire
        self.name = name
        self._incoming, self._outgoing = incoming, outgoing
        self._inbox = bytearray()
        self._over = False
        """Whether no more comes than is in the inbox."""
        self._broken = self._was_reset = self._closed = False

    @property
    def room_bytes(self) -> int:
        """How many bytes `write` would take now."""
        other = self.wire.far if self is self.wire.near else self.wire.near
        return 0 if self._broken else max(0, self._outgoing.room_bytes - len(other._inbox))

    @property
    def waiting_bytes(self) -> int:
        """How many bytes can be read now."""
        return len(self._inbox)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take as much of `data` as there is room for; return how many bytes.

        Raises `BrokenPipeError` once this end has finished or the other has closed, and the wire is cut;
        `ConnectionResetError` after a reset.
        """
        self.wire.step()
        self._check()
        if self._broken or self._outgoing.ended:
            raise BrokenPipeError("the wire takes no more from this end")
        taken = bytes(memoryview(data)[: self.room_bytes])
        self._outgoing.take(taken)
        self.wire.step()
        return len(taken)

    def read(self, most_bytes: int = 64 << 10) -> bytes | None:
        """Return up to `most_bytes` of what has come; None where nothing is there now, `b""` at the end.

        Raises `ConnectionResetError` after a reset, `Misuse` where this end is closed.
        """
        self.wire.step()
        self._check()
        found = bytes(self._inbox[:most_bytes])
        del self._inbox[:most_bytes]
        return found if found or self._over else None

    def finish(self) -> None:
        """Send no more, and go on reading: the other end finds the end behind what was written."""
        self._outgoing.end(Ending.FINISHED)
        self.wire.step()

    def close(self) -> None:
        """Send no more, and throw away what comes.  May be called twice."""
        self._closed = True
        self._inbox.clear()
        if not self._broken:
            self.finish()
            self._incoming.discard()
            self._incoming.end(Ending.FINISHED)

    def reset(self) -> None:
        """Break the wire off, with a reset that the other end sees."""
        self.wire.reset()

    def _check(self) -> None:
        if self._closed:
            raise Misuse("this end of the wire is closed")
        if self._was_reset:
            raise ConnectionResetError("the wire was reset")

    def _break(self, *, reset: bool = False) -> None:
        self._broken = self._over = True
        if reset:
            self._was_reset = True
            self._inbox.clear()

    def __repr__(self) -> str:
        return f"<WireEnd {self.name}, {len(self._inbox)} bytes to read>"
