"""Flow: two honest ends, any timetable; every blob that is read comes whole, and nothing waits for ever.

An input is the timetable, two bytes a step: who does it and what (send a value, with or without blobs, in a
conversation; read; drop; give up; carry a part of what is on the wire), and how much.  Then both ends read whatever
they have, and everything that nobody gave up must be there: that is what protocol.md, "Credit for blobs", argues.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from fuzz import ciphers
from fuzz.session_target import HEAR, INSTANCE, SPEAK, parameters
from fuzz.splits import draw
from fuzz.targets import memory
from netstructer.codec.blob import Blob
from netstructer.codec.compression import NONE
from netstructer.errors import LinkClosed, NetstructerError
from netstructer.limits import Limits
from netstructer.protocol.arrivals import Arrival
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.events import Ended, MessageArrived
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.outgoing import Outgoing
from netstructer.protocol.session import Session
from netstructer.protocol.states import CancelCode, Role, State

LIMITS = Limits(
    body_bytes=16 << 10, credit_bytes=64 << 10, streams=4, spool_memory_bytes=32 << 10, spool_link_bytes=2 << 20,
    spool_free_bytes=1, spool_directory=memory(),
)  # fmt: skip
SMALL = (0, 1, 100, 1_000, 5_000, 16_384, 20_000, 40_000)
"""Of blobs: none, one record, a few.  A timetable has these; they are what makes it fast."""
LARGE = (0, 1, 5_000, 70_000, 262_143, 262_144, 262_145, 750_000)
"""And around what may be sent before the first GRANT, and what no spool has room for: where the first byte says so, and
one time in eight, since these take ten times as long."""
COUNTS = (1, 2, 1, 3, 1, 2, 1, 6)
"""Of blobs in one value: mostly few, and more than there are streams."""
MARK = 0xFE
"""From this first byte on a timetable may have large blobs; as a step it is a farewell that is not said."""
MOST_STEPS = 24
MOST_BLOB_BYTES = 3 << 20
"""In one timetable, so that the spools run full: they have room for 2 MiB, half of it promised to nobody."""
SEND, SEND_BLOBS, SEND_ASIDE, READ, DROP, GIVE_UP, CARRY, FAREWELL = range(8)


def seeds() -> list[bytes]:
    """Return timetables: one blob that waits for its reader, many, both ways, given up, dropped, under a farewell."""

    def of(*steps: tuple[int, int, int]) -> bytes:
        return b"".join(bytes([end | step << 1, amount]) for end, step, amount in steps)

    unread = [(0, SEND_BLOBS, size) for size in range(8)]
    ways = [(end, SEND_BLOBS, 7) for end in (0, 1)] * 3
    carry = [(end, CARRY, 255) for end in (0, 1)] * 4
    rows = [
        of((0, SEND, 1), *carry),
        of(*unread, *carry, (0, SEND, 9), *carry),
        of(*ways, *carry, (0, SEND_ASIDE, 3), *carry, (1, READ, 0), *carry),
        of(*ways, *carry, (1, DROP, 0), (0, GIVE_UP, 0), *carry, (0, DROP, 1)),
        of(*ways, *carry, (0, FAREWELL, 0), *carry, (1, READ, 0)),
        of((0, SEND_BLOBS, 0x3F), *carry, (1, READ, 3), (0, CARRY, 1), (1, CARRY, 1), (0, SEND_ASIDE, 0x1F), *carry),
    ]
    return [*rows, *_marked(rows[1]), *_marked(rows[2])]


def _marked(row: bytes) -> list[bytes]:
    """Return a timetable that may have large blobs, and the first that has them."""
    marked = [bytes([MARK, mark]) + row for mark in range(1, 256, 4)]
    return [marked[0], next(found for found in marked if _large(found))]


def _large(data: bytes) -> bool:
    return data[:1] >= bytes([MARK]) and draw(data) & 7 == 0


@ciphers.kept()
def one(data: bytes) -> None:
    """Run a timetable, then let both ends read all; see that all came."""
    sizes = LARGE if _large(data) else SMALL
    ends = _End(Role.CLIENT, sizes), _End(Role.SERVER, sizes)
    for end, other in (ends, ends[::-1]):
        end.other = other
    _run(ends)
    blob_bytes = 0
    for at in range(0, min(len(data) - 1, 2 * MOST_STEPS), 2):
        whose, what, amount = data[at] & 1, (data[at] >> 1) % 8, data[at + 1]
        blob_bytes += sizes[amount % 8] * COUNTS[(amount >> 3) % 8] if what in (SEND_BLOBS, SEND_ASIDE) else 0
        if blob_bytes <= MOST_BLOB_BYTES:
            ends[whose].step(what, amount)
    _run(ends)
    for end in ends:
        assert end.error is None, end.error
        end.check()


def _run(ends: tuple[_End, _End]) -> None:
    """Let both ends speak and read until neither has anything to do."""
    busy = True
    while busy:
        for end in ends:
            end.now += 0.1
            end.seal(1 << 20)
        busy = any(end.wire for end in ends)
        for end in ends:
            end.carry(1 << 30)
        for end in ends:
            busy = end.read(1 << 30) or busy


@dataclass
class _End:
    """One end: what it has sent, what has come, and what of it is its application's wish no longer."""

    role: Role
    sizes: tuple[int, ...]
    session: Session = field(init=False)
    other: _End = field(init=False)
    now: float = 0.0
    wire: bytearray = field(default_factory=bytearray)
    sent: list[Outgoing] = field(default_factory=list)
    came: list[Message | Whole] = field(default_factory=list)
    blobs: list[tuple[Arrival, bytearray]] = field(default_factory=list)
    error: NetstructerError | None = None
    disturbed: bool = False
    """Whether it has dropped, given up or said farewell: then not all comes."""

    def __post_init__(self) -> None:
        client = self.role is Role.CLIENT
        agreement = Agreement(
            send_secret=SPEAK if client else HEAR,
            receive_secret=HEAR if client else SPEAK,
            export_secret=bytes(32),
            binding=bytes(32),
            suite=1,
            features=7,
            peer=parameters(LIMITS, INSTANCE if client else bytes(16)),
            key_id=bytes(8),
        )
        self.session = Session(
            self.role, agreement, limits=LIMITS, now=0.0, draw=lambda size: b"d" * size, wall=lambda: 0.0,
            instance=bytes(16) if client else INSTANCE,
        )  # fmt: skip

    def step(self, what: int, amount: int) -> None:
        if what in (SEND, SEND_BLOBS, SEND_ASIDE):
            self.send(what, amount)
        if what == READ:
            self.read(amount << 12)
        if what == DROP and self.blobs:
            arrival, _ = self.blobs[amount % len(self.blobs)]
            self.session.arrivals.refuse(arrival, CancelCode.ABANDONED, LinkClosed("dropped"))
            arrival.spool.close()
            self.disturbed = True
        if what == GIVE_UP and self.sent:
            self.session.abandon(self.sent[amount % len(self.sent)])
            self.disturbed = True
        if what == CARRY:
            self.seal(amount << 11)
            self.carry(amount << 11)
        if what == FAREWELL and amount % 4 == 0:
            self.session.say_farewell()
            self.disturbed = True

    def send(self, what: int, amount: int) -> None:
        count = 0 if what == SEND else COUNTS[(amount >> 3) % 8]
        payloads = self.session.payloads
        blobs = [Blob(_bytes(self.sizes[amount % 8] // (1 + place % 2))) for place in range(count)]
        outgoing = payloads.compose(payloads.encode([amount, _TEXT[: amount * 8], *blobs]), compress=amount % 3 == 0)
        outgoing.conversation = (2 - (self.role is Role.CLIENT)) if what == SEND_ASIDE else 0
        try:
            self.session.queue(outgoing)
        except LinkClosed:
            assert self.disturbed or self.other.disturbed
            return
        self.sent.append(outgoing)

    def seal(self, room_bytes: int) -> None:
        session = self.session
        for root in session.outflow.lanes.roots():
            while root.error is None and (blob := root.hungry()) is not None:
                session.feed(blob, *blob.pull(session.chunk_bytes))
        self.wire += b"".join(session.frames_to_send(room_bytes, self.now))

    def carry(self, count: int) -> None:
        piece = bytes(self.wire[:count])
        del self.wire[:count]
        other = self.other
        for event in other.session.receive_data(piece, self.now):
            if isinstance(event, MessageArrived):
                other.came.append(event.message)
                other.take(event.message)
            if isinstance(event, Ended):
                other.error = event.error

    def take(self, message: Message | Whole) -> None:
        self.session.take(message)
        assert sum(map(len, message.chunks)) or not message.plain_bytes
        for place in range(message.blob_count):
            assert isinstance(message, Message)
            self.blobs.append((self.session.arrival(message, place), bytearray()))

    def read(self, most_bytes: int) -> bool:
        """Read up to so many bytes of every blob; say whether there were any."""
        before = sum(len(got) for _, got in self.blobs)
        for arrival, got in self.blobs:
            spool = arrival.spool
            arrival.reading = True
            while not spool._closed and spool.start < spool.byte_count and len(got) < most_bytes:
                got += spool.read(spool.start, 50_000)
                spool.forget(min(spool.byte_count, len(got)))
            self.session.arrivals.consumed(arrival, len(got))
            self.session.arrivals.review(arrival)
        return sum(len(got) for _, got in self.blobs) > before

    def check(self) -> None:
        """See that all of it is here that was sent, and that nobody has given up."""
        room = self.session.arrivals.room
        assert room.promised_bytes == 0
        assert not any(arrival.whole and arrival.error for arrival, _ in self.blobs)
        for arrival, got in self.blobs:
            if arrival.whole and arrival.codec == NONE and not arrival.spool._closed:
                assert len(got) == arrival.plain_bytes
                assert got == _bytes(len(got))
        if self.disturbed or self.other.disturbed:
            return
        assert self.session.state is State.READY
        assert [root.error for root in self.other.sent if root.error is not None or not root.sealed] == []
        assert len(self.came) == len(self.other.sent)
        assert all(arrival.whole for arrival, _ in self.blobs)
        assert len(self.session.inflow.assembly) == len(self.other.session.outflow.lanes) == 0
        assert room.memory_bytes == room.disk_bytes == 0


_TEXT = "all work and no play " * 100


@cache
def _bytes(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + bytes(range(size % 256))
