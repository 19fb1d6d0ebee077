"""Arrivals: the blobs of values that have come, and the credit of each.  Floor: PROTOCOL.

Law: a blob that nobody reads stops itself, and nothing else.  Spec: protocol.md, "Credit for blobs".

A value is handed to the application as soon as it is whole; its blobs come behind it.  What has come of one lies in a
`Spool`: in memory first, then sealed on disk.  The application reads there in its own thread, without the link's lock.

Credit.  For each blob this end states how many payload bytes the peer may have sent: an absolute figure that only
grows.  It is the greater of two:

    what the application has done with + a window     the reader's own pace; what this allows stays in memory
    what has come                      + a window     as long as nobody reads yet, and the spool's budget has room

The window is small at first, because what is on its way stands before every small message that is sent after it, and
doubles where that is the bottleneck: where, after a grant had gone and all that was granted before had come, the next
bytes took `GAP_SECONDS` more to come.  That is the delay of a network, in which a larger window costs nothing; between
processes of one machine it is a third of that.

So a blob that waits for its reader is taken in up to the budget of the spool, and one that is being read is never
written to disk only because its reader is slower than the network: then the peer waits, and its source with it.

Room.  An honest peer never finds the spools full.  What is granted beyond the first of the two figures is promised: its
room on disk is kept until it comes.  What is within it stays in memory, as a rule; but chunks are not cut to fit, and
where many blobs come at once the memory of all spools has an end, too.  So the last part of the budget is promised to
nobody: a window for each blob that may be under way.
"""

from __future__ import annotations

from collections.abc import Callable

from netstructer.codec.compression import NONE
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import (
    CreditExceeded,
    IllegalFrame,
    LinkClosed,
    MessageCancelled,
    MessageTooBig,
    NetstructerError,
    SourceFailed,
    SpoolFull,
)
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.states import CancelCode

__all__ = ["Arrival", "Arrivals"]

SHARE_BYTES = 1 << 20
"""The most that one blob may hold without a promise of room on disk."""
WINDOW_BYTES = 512 << 10
"""The first window of a blob: a millisecond of sealing."""
GAP_SECONDS = 0.0005
"""A pause of the peer, for want of credit, after which the window doubles."""


class Arrival:
    """One blob of a value: what of its payload is here.  Single owner, but for `spool`, which has a lock of its own.

    `number` and `stream` are 0 until it has begun; `plain_bytes` is what its value or its first record stated, or its
    last one, None while unknown.  `whole` and `error` exclude each other.
    """

    __slots__ = ("asked", "begun", "codec", "consumed", "error", "granted", "held", "number", "parent_number", "place",
                 "plain_bytes", "probe", "promised", "reading", "spool", "stated", "stream", "unwanted", "whole",
                 "window_bytes")  # fmt: skip

    def __init__(self, parent_number: int, place: int, room: SpoolRoom) -> None:
        self.parent_number, self.place = parent_number, place
        self.held = False
        """Whether somebody was given it, to read: its value need not keep it."""
        self.number = self.stream = self.codec = 0
        self.plain_bytes: int | None = None
        self.stated = False
        self.spool = Spool(room)
        self.granted = bodies.FIRST_GRANT
        """Payload bytes that the peer may have sent."""
        self.window_bytes = WINDOW_BYTES
        """How far the peer may be ahead of the reader."""
        self.probe: int | None = None
        """The grant before the last one: what comes beyond it tells whether the peer had to wait."""
        self.asked = 0.0
        """When the last chunk had come and the grant after the probe had gone, whichever was later."""
        self.promised = 0
        """Of these: what room on disk was kept for."""
        self.consumed = 0
        """Payload bytes that the application is done with."""
        self.reading = False
        """Whether somebody has begun to take it out, and waits for no other."""
        self.unwanted = False
        self.begun = self.whole = False
        self.error: NetstructerError | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.whole or self.error is not None

    def reaches(self, position: int) -> bool:
        """Say whether a reader at this position need not wait any longer."""
        return self.spool.byte_count > position or self.over


class Arrivals:
    """The blobs that one direction of a session waits for.  Single owner.

    `grant(body)` and `cancel(stream, number, code)` tell the peer.
    """

    __slots__ = ("_cancel", "_grant", "_limits", "_live", "_over", "now", "plain_bytes", "room")

    def __init__(
        self,
        limits: Limits,
        room: SpoolRoom,
        *,
        grant: Callable[[bytes], None],
        cancel: Callable[[int, int, int], None],
    ) -> None:
        self._limits = limits
        self._grant = grant
        self._cancel = cancel
        self._live: set[Arrival] = set()
        self.now = 0.0
        """The time at which what is taken in has come; on the monotonic clock."""
        self._over: NetstructerError | None = None
        self.room = room
        """What the messages and blobs of this link may hold, in memory and on disk."""
        self.plain_bytes = 0
        """Plain bytes of the blobs that are whole."""

    @property
    def _share_bytes(self) -> int:
        """What one blob may hold without a promise: in memory as a rule, and where many share that, in the reserve."""
        share = self._limits.spool_link_bytes // 2 // self._limits.streams
        return max(bodies.FIRST_GRANT, min(SHARE_BYTES, self._limits.spool_memory_bytes, share))

    @property
    def _reserve_bytes(self) -> int:
        """Room on disk that is promised to nobody: for what was expected to stay in memory, and finds none there."""
        return min(self._limits.streams * self._share_bytes, self._limits.spool_link_bytes // 2)

    def expect(self, parent_number: int, place: int, broken_code: int | None = None) -> Arrival:
        """Return a new blob of a value, not begun yet; `broken_code` is why its sender gave the value up, if so."""
        arrival = Arrival(parent_number, place, self.room)
        if broken_code is not None:
            self.broken_off(arrival, broken_code)
            return arrival
        self._live.add(arrival)
        if self._over is not None:
            self.refuse(arrival, CancelCode.ABANDONED, self._over)
        return arrival

    def begin(self, arrival: Arrival, number: int, stream: int, codec: int, plain_bytes: int | None) -> None:
        """Take in a blob's first record."""
        arrival.number, arrival.stream, arrival.codec = number, stream, codec
        arrival.begun = True
        arrival.stated = plain_bytes is not None
        if plain_bytes is not None:
            arrival.plain_bytes = plain_bytes
        if arrival.unwanted:
            self._fail(arrival, LinkClosed("nobody wanted the blob"))
            self._stop(arrival, CancelCode.ABANDONED if self._over is None else CancelCode.CLOSED)

    def add(self, arrival: Arrival, chunk: memoryview) -> None:
        """Take in a chunk.  Raises `IllegalFrame`, `CreditExceeded` for more than was stated or granted."""
        if arrival.error is not None:
            return
        found = arrival.spool.byte_count + len(chunk)
        if found > arrival.granted:
            raise CreditExceeded(f"the peer sent {found} of {arrival.granted} granted bytes of a blob")
        if arrival.codec == NONE and arrival.stated and found > (arrival.plain_bytes or 0):
            raise IllegalFrame(f"a blob of {arrival.plain_bytes} bytes has more")
        if chunk:
            self._look_for_gap(arrival, found)
            self._settle(arrival, found)
            try:
                arrival.spool.add(chunk)
            except SpoolFull as error:
                self.refuse(arrival, CancelCode.NO_ROOM, error)
                return
        self.check_size(arrival, found)
        self.review(arrival)

    def finish(self, arrival: Arrival, total: int) -> None:
        """Take in a blob's last record.  Raises `IllegalFrame` for a total that is not what came."""
        if arrival.stated and total != arrival.plain_bytes:
            raise IllegalFrame(f"a blob of {arrival.plain_bytes} bytes ends with a total of {total}")
        if arrival.error is None and arrival.codec == NONE and total != arrival.spool.byte_count:
            raise IllegalFrame(f"a blob of {arrival.spool.byte_count} bytes ends with a total of {total}")
        self._live.discard(arrival)  # Not before: it is among what fails with the session.
        if arrival.error is not None:
            return
        arrival.plain_bytes = total
        arrival.whole = True
        self._settle(arrival, total)
        self.plain_bytes += total

    def refuse(self, arrival: Arrival, code: CancelCode, error: NetstructerError) -> None:
        """Want no more of a blob, whose reader gets `error`; what still comes is dropped."""
        if arrival.over:
            return
        self._fail(arrival, error)
        arrival.unwanted = True
        if arrival.begun:
            self._stop(arrival, code)

    def broken_off(self, arrival: Arrival, code: int) -> None:
        """Take in that the sender gave a blob up."""
        if code == CancelCode.SOURCE_FAILED:
            self._fail(arrival, SourceFailed("the blob's source failed at its sender", code=code))
        else:
            self._fail(arrival, MessageCancelled("the blob was given up by its sender", code=code))

    def consumed(self, arrival: Arrival, position: int) -> None:
        """Take in how far the application is done with a blob; grant more if that is due."""
        if position > arrival.consumed:
            arrival.consumed = position
            self._settle(arrival, arrival.spool.byte_count)
            self.review(arrival)

    def review(self, arrival: Arrival) -> None:
        """Grant more of a blob where that is due: when half of the window is used up."""
        window = arrival.window_bytes
        came = arrival.spool.byte_count
        if not arrival.begun or arrival.over or arrival.granted - came > window // 2:
            return
        least = min(window // 4, bodies.FIRST_GRANT // 4)
        limit = kept = self._kept_in_memory(arrival)
        wanted = (arrival.consumed if arrival.reading else came) + window
        if wanted > limit and wanted - arrival.granted >= least:
            further = wanted - max(came, kept) - arrival.promised
            if self.room.promise(further + self._reserve_bytes):
                self.room.keep(self._reserve_bytes)
                arrival.promised += further
                limit = wanted
        if limit - arrival.granted >= least:
            if arrival.probe is None:
                arrival.probe, arrival.asked = arrival.granted, self.now
            arrival.granted = limit
            self._grant(bodies.Grant(arrival.number, limit).pack())

    def say_again(self) -> None:
        """Grant again what was granted: on the transport before it may not have been heard."""
        for arrival in self._live:
            if arrival.begun and arrival.granted > bodies.FIRST_GRANT:
                self._grant(bodies.Grant(arrival.number, arrival.granted).pack())

    def make_way(self) -> None:
        """Take it that nobody reads what was begun to be read: somebody waits for a blob that has not begun, and those
        may hold every stream.
        """
        for arrival in tuple(self._live):
            if arrival.reading:
                arrival.reading = False
                self.review(arrival)

    def cramped(self, arrival: Arrival) -> bool:
        """Say whether there is no room for another window of what has been read and is kept."""
        if not self.room.promise(arrival.window_bytes):
            return True
        self.room.keep(arrival.window_bytes)
        return False

    def end(self, error: NetstructerError, code: CancelCode | None = None) -> None:
        """Fail everything that has not come, and what is asked for later: with a code the peer is told."""
        self._over = error
        for arrival in tuple(self._live):
            if code is None:
                self._fail(arrival, error)
            else:
                self.refuse(arrival, code, error)

    def check_size(self, arrival: Arrival, found: int) -> None:
        """Refuse a blob where it, or what was stated of its value's blobs together, is over `message_bytes`."""
        limit = self._limits.message_bytes
        if found > limit:
            text = f"blobs of {found} bytes together are over the limit of {limit}"
            self.refuse(arrival, CancelCode.TOO_BIG, MessageTooBig(text, limit=limit, found=found))

    def _look_for_gap(self, arrival: Arrival, found: int) -> None:
        """Double the window where the peer had to wait for a grant, and not for itself."""
        if arrival.probe is not None and found > arrival.probe:
            most = max(bodies.FIRST_GRANT, self._limits.credit_bytes // 2)
            if self.now - arrival.asked >= GAP_SECONDS:
                arrival.window_bytes = min(2 * arrival.window_bytes, most)
            arrival.probe = None
        arrival.asked = self.now

    def _fail(self, arrival: Arrival, error: NetstructerError) -> None:
        if arrival.over:
            return
        arrival.error = error  # What came before it can still be read.
        self._live.discard(arrival)
        self._settle(arrival, arrival.spool.byte_count)

    def _stop(self, arrival: Arrival, code: CancelCode) -> None:
        self._cancel(arrival.stream, arrival.number, code)

    def _settle(self, arrival: Arrival, came: int) -> None:
        """Give back what was promised of the disk and is not needed any more: `came` bytes are here, or about to be."""
        needed = 0 if arrival.over else max(0, arrival.granted - max(came, self._kept_in_memory(arrival)))
        if needed < arrival.promised:
            self.room.keep(arrival.promised - needed)
            arrival.promised = needed

    def _kept_in_memory(self, arrival: Arrival) -> int:
        """Return up to where a blob needs no room on disk, as a rule."""
        return arrival.consumed + min(arrival.window_bytes, self._share_bytes)
