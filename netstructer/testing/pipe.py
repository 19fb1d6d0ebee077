"""One direction of one connection: bytes in, bytes and faults out, in order.  Floor: FAÇADES.

Law: no socket and no clock here; it holds a bounded number of bytes.

Faults take their places among the bytes when the bytes come in, so that where one stands does not depend on how reads
and writes fall.  What changes bytes (`Flip`, `Duplicate`) does so then.  What concerns the pace of this direction
(`Stall`, `Throttle`, `Hold`) is minded here when it comes to the front; whatever concerns the connection is given out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum

from netstructer.testing.faults import Duplicate, Fault, Flip, Hold, Stall, Throttle

__all__ = ["Ending", "Pipe"]

_SLICES_PER_SECOND = 50
"""How finely a throttled direction is dealt out."""


class Ending(Enum):
    """How the sending end has ended its direction."""

    FINISHED = "finished"
    BROKEN = "broken"


class Pipe:
    """What one end has sent and the other has not been given yet.  `tell(fault)` is called when a fault takes place."""

    def __init__(
        self, faults: Iterable[Fault], *, buffer_bytes: int, hold_bytes: int, tell: Callable[[Fault], object]
    ) -> None:
        plan = sorted(faults, key=lambda fault: fault.at)
        self._plan = deque(plan)
        self._tail_bytes = max((fault.count for fault in plan if isinstance(fault, Duplicate)), default=0)
        self._tail = b""
        self._tell = tell
        self._flip = 0
        self._queue: deque[bytes | Fault | Ending] = deque()
        self._waiting_bytes = 0
        self._buffer_bytes, self._hold_bytes = buffer_bytes, hold_bytes
        self._sever_at: int | None = None
        self._still_until = -math.inf
        self._rate = math.inf
        self._holding = False
        self._release_at = math.inf
        self._released = False
        self.taken_bytes = 0
        """Bytes that the sending end has given."""
        self.passed_bytes = 0
        """Bytes that the receiving end was given, those of `Duplicate` too."""
        self.discarding = False
        """Whether all that comes is thrown away."""
        self.ended = False
        """Whether the sending end will give no more."""
        self.finished = False
        """Whether the receiving end was told so."""
        self.take(b"")

    # --- in -----------------------------------------------------------------------------------------------------------

    @property
    def room_bytes(self) -> int:
        """How many bytes may be taken in now."""
        if self.ended:
            return 0
        if self.discarding:
            return self._buffer_bytes
        return max(0, (self._hold_bytes if self._holding else self._buffer_bytes) - self._waiting_bytes)

    def take(self, data: bytes) -> None:
        """Take in what the sending end has sent, and give the faults that lie in it their places."""
        if self.discarding:
            return
        while self._plan and self._plan[0].at <= self.taken_bytes + len(data):
            fault = self._plan.popleft()
            before = fault.at - self.taken_bytes
            self._append(data[:before])
            data = data[before:]
            self._place(fault)
        self._append(data if self._sever_at is None else data[: self._sever_at - self.taken_bytes])

    @property
    def severed(self) -> bool:
        """Whether the sending end is to see its transport end, while the other end is told nothing."""
        return self.taken_bytes == self._sever_at

    def end(self, ending: Ending) -> None:
        """Take in that the sending end sends no more; that goes behind what it has sent.

        One that had finished may break as well, where what comes for it is refused.
        """
        if self.ended and self._queue and self._queue[-1] is Ending.FINISHED:
            self._queue[-1] = ending
        elif not (self.ended or self.discarding):
            self._queue.append(ending)
        self.ended = True

    def sever(self) -> None:
        """Take in that the sending end is gone, and that the other end is not to know before `release`."""
        self.ended = True
        if self._released:
            self._queue.append(Ending.FINISHED)

    def strike(self, fault: Fault) -> None:
        """Let a fault take place before all that waits here; a `Flip` changes the next byte that comes in."""
        if isinstance(fault, Flip):
            self._place(fault)
            return
        self._plan_to_sever(fault)
        self._queue.appendleft(fault)

    def discard(self) -> None:
        """Throw away what waits, and all that comes."""
        self.discarding = True
        self._queue.clear()
        self._plan.clear()
        self._waiting_bytes = 0

    # --- out ----------------------------------------------------------------------------------------------------------

    def front(self, now: float) -> bytes | Fault | Ending | None:
        """Return what comes next: bytes, as many as may go now; a fault or an ending, which is taken out; or None."""
        if self._holding and now >= self._release_at:
            self.release()
        while self._queue and not self._holding and now >= self._still_until:
            first = self._queue[0]
            if isinstance(first, bytes):
                if self._rate < math.inf:
                    return first[: max(1, int(self._rate / _SLICES_PER_SECOND))]
                return first
            self._queue.popleft()
            if isinstance(first, Fault):
                self._tell(first)
            if isinstance(first, Stall):
                self._still_until = math.inf if first.seconds is None else now + first.seconds
            elif isinstance(first, Throttle):
                self._rate = first.bytes_per_second
            elif isinstance(first, Hold):
                self._holding = True
                self._release_at = math.inf if first.seconds is None else now + first.seconds
            else:
                return first
        return None

    def sendable(self, now: float) -> bool:
        """Say whether bytes are at the front, and may go now."""
        return bool(self._queue) and type(self._queue[0]) is bytes and not self._holding and now >= self._still_until

    @property
    def done(self) -> bool:
        """Whether nothing is left here, and nothing comes any more."""
        return self.ended and not self._queue

    def passed(self, count: int, now: float) -> None:
        """Take in that the first `count` of the bytes at the front are with the receiving end."""
        first = self._queue.popleft()
        assert isinstance(first, bytes)
        if count < len(first):
            self._queue.appendleft(first[count:])
        self._waiting_bytes -= count
        self.passed_bytes += count
        if self._rate < math.inf:
            self._still_until = now + count / self._rate

    def due(self, now: float) -> float | None:
        """Return when the front may go on by itself, where it waits for time; None where it does not."""
        if self._holding:
            return self._release_at if self._release_at < math.inf else None
        return self._still_until if self._queue and now < self._still_until < math.inf else None

    def release(self) -> int:
        """Let what is held back or stalled go; return how many bytes that is."""
        was_still = self._holding or self._still_until == math.inf
        self._released = self._released or self._holding
        self._holding = False
        if self._still_until == math.inf:
            self._still_until = -math.inf
        if self.severed and was_still:
            self._queue.append(Ending.FINISHED)
        return self._waiting_bytes if was_still else 0

    @property
    def held_bytes(self) -> int:
        """How many bytes are kept back by a `Hold`."""
        return self._waiting_bytes if self._holding else 0

    def _append(self, data: bytes) -> None:
        if not data:
            return
        self.taken_bytes += len(data)
        if self._flip:
            data = bytes([data[0] ^ self._flip]) + data[1:]
            self._flip = 0
        if self._tail_bytes:
            self._tail = (self._tail + data)[-self._tail_bytes :]
        self._queue.append(data)
        self._waiting_bytes += len(data)

    def _place(self, fault: Fault) -> None:
        if isinstance(fault, Flip):
            self._flip ^= 1 << fault.bit
            self._tell(fault)
        elif isinstance(fault, Duplicate):
            self._tell(fault)
            again = self._tail[-fault.count :]
            if again:
                self._queue.append(again)
                self._waiting_bytes += len(again)
        else:
            self._plan_to_sever(fault)
            self._queue.append(fault)

    def _plan_to_sever(self, fault: Fault) -> None:
        if isinstance(fault, Hold) and fault.count is not None:
            self._sever_at = self.taken_bytes + fault.count
