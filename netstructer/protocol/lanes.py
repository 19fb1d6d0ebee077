"""Lanes: the messages that are on their way out, taking turns.  Floor: PROTOCOL.

Law: one record each, in rotation.  Spec: protocol.md, "Messages and streams".

A message that has begun holds a stream number until its last record is sealed; numbers are used again.  A small message
that is queued behind a large one thus waits for one record of it, not for all of it.  A message's chunks are pulled
from their source one record at a time, when the transport has room: this is where "out is lazy" happens.

A value with blobs is one `Outgoing` with its blobs as further ones: they begin when the value's last record is sealed.
A blob that is not ready is *parked* until it is, and has no turn meanwhile; and of the streams that the peer allows
blobs hold three quarters at most, so that values always find one.
"""

from __future__ import annotations

from collections import deque

from netstructer.protocol.outgoing import Batch, Outgoing, OutgoingBlob
from netstructer.protocol.states import Role

__all__ = ["Lanes"]

Part = Outgoing | OutgoingBlob

WAITING_BYTES = 256
"""What a queued message costs beside its bytes."""


class Lanes:
    """The messages on their way out.  Single owner.

    `most` is how many unfinished messages the peer takes, and how many values whose blobs are not yet whole.
    """

    __slots__ = ("_begun", "_blobs", "_free", "_most", "_next_stream", "_parents", "_parked", "_streams",
                 "_waiting", "_waiting_blobs", "turns", "waiting_bytes")  # fmt: skip

    def __init__(self, role: Role, most: int) -> None:
        self.turns: deque[Part | Batch] = deque()
        """Those that have begun or may, the next one first; empty only where nothing waits, or all of it is parked."""
        self._waiting: deque[Outgoing | Batch] = deque()
        self._waiting_blobs: deque[OutgoingBlob] = deque()
        self._parked: set[OutgoingBlob] = set()
        self._free: list[int] = []
        self._next_stream = 1 if role is Role.CLIENT else 2
        self._most = self._parents = self._streams = most
        self._blobs = max(1, most * 3 // 4)
        self._begun: dict[int, Part] = {}
        self.waiting_bytes = 0
        """Plain bytes of what is not wholly sealed, and 256 for each message (what waiting costs beside its bytes)."""

    def __len__(self) -> int:
        return len(self.turns) + len(self._parked) + len(self._waiting) + len(self._waiting_blobs)

    def add(self, outgoing: Part | Batch) -> None:
        """Queue a message: it gets a stream (a batch needs none), or waits for one."""
        if not isinstance(outgoing, OutgoingBlob):
            self.waiting_bytes += _weight(outgoing)
        if self._may_begin(outgoing):
            self._begin(outgoing)
        elif isinstance(outgoing, OutgoingBlob):
            self._waiting_blobs.append(outgoing)
        else:
            self._waiting.append(outgoing)

    @property
    def blobs_under_way(self) -> bool:
        """Whether a value has begun, and not all its blobs have ended."""
        return self._parents < self._streams

    @property
    def spare_stream(self) -> int:
        """A stream for a message of one record, which ends it at once."""
        return self._free[-1] if self._free else self._next_stream

    def begun(self, outgoing: Part, number: int) -> None:
        """Take in the delivery number of a message's first record: its name from here on."""
        outgoing.number = number
        self._begun[number] = outgoing

    def front(self) -> Part | Batch | None:
        """Return the message whose turn it is; park the blobs before it that are not ready."""
        turns = self.turns
        while turns:
            outgoing = turns[0]
            if outgoing.ready:
                return outgoing
            assert isinstance(outgoing, OutgoingBlob)
            self._parked.add(outgoing)
            turns.popleft()
        return None

    def front_blob(self) -> OutgoingBlob | None:
        """Give the first blob that is ready its turn before all values; return it, None where there is none."""
        for outgoing in self.turns:
            if isinstance(outgoing, OutgoingBlob) and outgoing.ready:
                self.turns.remove(outgoing)
                self.turns.appendleft(outgoing)
                return outgoing
        return None

    def awaken(self, blob: OutgoingBlob) -> None:
        """Give a parked blob its turn again, if it is ready now."""
        if blob in self._parked and blob.ready:
            self._parked.remove(blob)
            self.turns.append(blob)

    def sealed(self, last: bool) -> None:
        """Take in that a record of the front was sealed, the last one of it or not: the next one has its turn."""
        outgoing = self.turns.popleft()
        if not last:
            self.turns.append(outgoing)
            return
        outgoing.sealed = True
        if isinstance(outgoing, Batch):
            self.waiting_bytes -= _weight(outgoing)
            return
        if isinstance(outgoing, OutgoingBlob):
            self._end_blob(outgoing)
        else:
            self._end(outgoing)
            for blob in outgoing.blobs:
                self.add(blob)
        outgoing.release()
        if outgoing.root.done:
            self._finish(outgoing.root)

    def skip(self, blob: OutgoingBlob) -> None:
        """Forget what is left of one blob that has begun; the rest of its value goes on."""
        self._unqueue(blob)
        blob.sealed = True
        blob.parent.skipped_blobs += 1
        self._end_blob(blob)
        blob.release()
        if blob.root.done:
            self._finish(blob.root)

    def drop(self, root: Outgoing) -> bool:
        """Forget what is left of a value; say whether the peer knows of it and waits for the rest."""
        if root.done:
            return False
        known = root.number != 0
        self._finish(root)
        self._parents += bool(root.blobs) and root.stream != 0
        self._waiting = deque(found for found in self._waiting if found is not root)
        self._waiting_blobs = deque(blob for blob in self._waiting_blobs if blob.parent is not root)
        if not root.sealed and root in self.turns:
            self._unqueue(root)
            self._end(root)
        for blob in tuple(root.under_way):
            self._unqueue(blob)
            blob.sealed = True
            self._end(blob)
        root.release()
        for blob in root.blobs:
            blob.release()
        self._begin_waiting()
        return known

    def withdraw(self, batch: Batch) -> None:
        """Forget a batch that is not sealed: the peer has seen nothing of it."""
        for queued in (self.turns, self._waiting):
            if batch in queued:
                queued.remove(batch)
                self.waiting_bytes -= _weight(batch)

    def find(self, number: int) -> Part | None:
        """Return the unfinished value, or unfinished blob, whose first record has that delivery number."""
        return self._begun.get(number)

    def roots(self) -> list[Outgoing]:
        """Return the unfinished values, each once."""
        unfinished = [found for found in self.queued() if not isinstance(found, Batch)]
        return list({id(found.root): found.root for found in unfinished}.values())

    def clear(self, error: BaseException) -> None:
        """Give up everything."""
        roots = self.roots()
        for found in self.queued():
            if isinstance(found, OutgoingBlob):
                found.sealed = True
                found.release()
            else:
                found.error = found.error or error
        for root in roots:
            root.error = root.error or error
        self.turns.clear()
        self._waiting.clear()
        self._waiting_blobs.clear()
        self._parked.clear()
        self._begun.clear()
        self.waiting_bytes = 0

    def _finish(self, root: Outgoing) -> None:
        self._begun.pop(root.number, None)
        self.waiting_bytes -= _weight(root)

    def queued(self) -> list[Part | Batch]:
        """Return what is not wholly sealed."""
        return [*self.turns, *self._parked, *self._waiting_blobs, *self._waiting]

    def _unqueue(self, part: Part) -> None:
        if isinstance(part, OutgoingBlob) and part in self._parked:
            self._parked.remove(part)
        else:
            self.turns.remove(part)

    def _may_begin(self, outgoing: Part | Batch) -> bool:
        if isinstance(outgoing, Batch):
            # It needs no stream, but may not overtake the small messages that wait for one.
            return self._most > 0 or not self._waiting
        if isinstance(outgoing, OutgoingBlob):
            return self._most > 0 and self._blobs > 0
        return self._most > 0 and (not outgoing.blobs or self._parents > 0)

    def _begin(self, outgoing: Part | Batch) -> None:
        if isinstance(outgoing, Batch):
            self.turns.append(outgoing)
            return
        self._most -= 1
        if isinstance(outgoing, OutgoingBlob):
            self._blobs -= 1
            outgoing.parent.under_way.append(outgoing)
        else:
            self._parents -= bool(outgoing.blobs)
        if self._free:
            outgoing.stream = self._free.pop()
        else:
            outgoing.stream = self._next_stream
            self._next_stream += 2
        self.turns.append(outgoing)

    def _end_blob(self, blob: OutgoingBlob) -> None:
        blob.parent.unsealed_blobs -= 1
        self._parents += blob.parent.unsealed_blobs == 0
        self._end(blob)

    def _end(self, outgoing: Part) -> None:
        self._most += 1
        self._free.append(outgoing.stream)
        if isinstance(outgoing, OutgoingBlob):
            self._blobs += 1
            self._begun.pop(outgoing.number, None)
            outgoing.parent.under_way.remove(outgoing)
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        """Begin what may: blobs, which leave a quarter of the streams to values; then values, and batches up to the
        next value that goes on waiting for a stream.
        """
        while self._waiting_blobs and self._may_begin(self._waiting_blobs[0]):
            self._begin(self._waiting_blobs.popleft())
        still: deque[Outgoing | Batch] = deque()
        while self._waiting:
            outgoing = self._waiting.popleft()
            if self._may_begin(outgoing):
                self._begin(outgoing)
            else:
                still.append(outgoing)
                if self._most == 0:
                    break
        self._waiting.extendleft(reversed(still))


def _weight(outgoing: Outgoing | Batch) -> int:
    return outgoing.total_plain_bytes + WAITING_BYTES * outgoing.count
