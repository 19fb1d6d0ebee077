"""Blob reassembly: values and the blobs behind them, cut and interleaved at will, come together again or are refused.

An input is a script, three bytes a step: what, where, how much.  An honest sender with up to four streams begins values
with blobs, begins their blobs in any order, sends chunks of them, ends them or gives them up; an application takes the
values, reads the blobs or drops them.  Some steps are lies: a chunk on a stream that was not begun, a total that is
wrong, a blob that begins twice.  A model holds what was sent.  What the end has of a blob is always a prefix of that,
all of it once it is whole; a lie is `IllegalFrame`, and where the end does not know yet that it is one, no harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fuzz.targets import memory
from netstructer.codec.spool import SpoolRoom
from netstructer.errors import CreditExceeded, IllegalFrame, LinkClosed
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import Arrival, Arrivals
from netstructer.protocol.assembly import Assembly, Message
from netstructer.protocol.states import CancelCode, Flag, Role

LIMITS = Limits(
    value_bytes=4096, message_bytes=300_000, body_bytes=1024, credit_bytes=64 << 10, streams=4,
    spool_memory_bytes=2048, spool_link_bytes=64 << 10, spool_free_bytes=1,
    spool_directory=memory(),
)  # fmt: skip
SIZES = (1, 2, 7, 100, 1000, 4096, 0, 20_000)
BYTES = bytes(range(251)) * (2 + max(SIZES) // 251)
"""What is sent: it comes again after a prime number of bytes."""
FIRST, LAST = int(Flag.FIRST), int(Flag.LAST)
MOST_STEPS = 80
VALUE, BEGIN, CHUNK, END, CANCEL, READ, DROP, FORGET, LIE = range(9)


def seeds() -> list[bytes]:
    """Return scripts: one blob, four interleaved, given up, dropped, and each lie at the end of an honest start."""
    start = bytes([VALUE, 0, 2, BEGIN, 0, 1, BEGIN, 1, 0])
    chunks = bytes([CHUNK, 0, 3, CHUNK, 1, 4]) * 4
    ends = bytes([END, 0, 0, END, 1, 0, READ, 0, 255, READ, 1, 255])
    honest = start + chunks + ends
    others = [start + chunks + bytes([what, 0, 0, what, 1, 1]) + chunks + ends for what in (CANCEL, READ, DROP, FORGET)]
    lies = [start + chunks + bytes([LIE, lie, 0]) + ends for lie in range(8)]
    full = start + bytes([CHUNK, 0, 7]) * 20 + ends
    return [honest, honest * 2, *others, *lies, full]


def one(data: bytes) -> None:
    """Play the script, and see after each step and at the end that nothing is lost, mixed up or held too long."""
    play = _Play()
    for at in range(0, min(len(data) - 2, 3 * MOST_STEPS), 3):
        try:
            play.step(data[at] % 9, data[at + 1], data[at + 2])
        except (IllegalFrame, CreditExceeded):
            assert play.lied, "an honest sender was refused"
            break
        play.check()
    play.finish()


@dataclass(eq=False)
class _Sent:
    """A blob as its sender has it."""

    parent: int
    place: int
    number: int = 0
    stream: int = 0
    stated: bool = False
    content: bytearray = field(default_factory=bytearray)
    ended: bool = False
    given_up: bool = False
    arrival: Arrival | None = None
    read: bytearray = field(default_factory=bytearray)


class _Play:
    def __init__(self) -> None:
        self.room = SpoolRoom(LIMITS)
        self.granted: dict[int, int] = {}
        self.stopped: set[int] = set()
        self.arrivals = Arrivals(LIMITS, self.room, grant=self._on_grant, cancel=self._on_cancel)
        self.assembly = Assembly(Role.SERVER, LIMITS, self.arrivals)
        self.number, self.stream = 0, 1
        self.messages: dict[int, Message] = {}
        self.waiting: list[_Sent] = []
        self.blobs: list[_Sent] = []
        self.spoiled: list[Arrival] = []
        self.lied = False

    def step(self, what: int, where: int, amount: int) -> None:
        open_blobs = [blob for blob in self.blobs if not (blob.ended or blob.given_up)]
        if what == VALUE:
            self._value(amount % 4)
        elif what == BEGIN and self.waiting and len(open_blobs) < LIMITS.streams:
            self._begin(self.waiting.pop(where % len(self.waiting)), stated=amount & 1 == 0)
        elif what == CHUNK and open_blobs:
            self._chunk(open_blobs[where % len(open_blobs)], SIZES[amount % 8], amount)
        elif what == END and open_blobs:
            self._end(open_blobs[where % len(open_blobs)])
        elif what == CANCEL and open_blobs:
            blob = open_blobs[where % len(open_blobs)]
            blob.given_up = True
            self.assembly.cancelled(blob.stream, blob.number, CancelCode.ABANDONED)
        elif what == READ and self.blobs:
            self._read(self.blobs[where % len(self.blobs)], amount)
        elif what == DROP and self.blobs:
            self._drop(self.blobs[where % len(self.blobs)])
        elif what == FORGET and self.messages:
            number = list(self.messages)[where % len(self.messages)]
            self.assembly.forget(self.messages.pop(number))
            for blob in self.blobs:
                if blob.parent == number and blob.arrival is not None:
                    self._drop(blob)
        elif what == LIE:
            self._lie(where, amount, open_blobs)

    def _say(self, flags: int, stream: int, body: bytes) -> Message | None:
        self.number += 1
        return self.assembly.data(flags, stream, self.number, memoryview(body))

    def _value(self, count: int) -> None:
        if len(self.assembly) >= LIMITS.streams:
            return
        first = bodies.First(bodies.VALUE, 0, count, 5, 0, 0)
        message = self._say(FIRST | LAST, self._fresh(), first.pack() + b"value" + bodies.total(5))
        if message is None:  # blobs that nobody reads have taken all the room that the link has
            assert self.assembly.refusal is not None
            assert self.assembly.refusal[1] is CancelCode.NO_ROOM
            assert self.room._claimed + self.room._promised + 5 > LIMITS.spool_link_bytes
            return
        assert b"".join(bytes(piece) for piece in message.chunks) == b"value"
        self.messages[message.number] = message
        self.waiting += [_Sent(message.number, place) for place in range(count)]

    def _begin(self, blob: _Sent, *, stated: bool) -> None:
        blob.stated, blob.stream = stated, self._fresh()
        size = 1000 if stated else bodies.UNKNOWN
        self._say(FIRST, blob.stream, bodies.First(bodies.BLOB, 0, blob.place, size, blob.parent, 0).pack() + b"<")
        blob.number = self.number
        blob.content += b"<"
        self.blobs.append(blob)
        if blob.parent in self.messages:
            blob.arrival = self.assembly.arrival(self.messages[blob.parent], blob.place)

    def _chunk(self, blob: _Sent, size: int, seed: int) -> None:
        most = self.granted.get(blob.number, bodies.FIRST_GRANT)
        size = min(size, most - len(blob.content), 1000 - len(blob.content) if blob.stated else size)
        if size <= 0 or blob.number in self.stopped:
            return
        chunk = BYTES[seed % 251 : seed % 251 + size]
        self._say(0, blob.stream, chunk)
        blob.content += chunk

    def _end(self, blob: _Sent) -> None:
        rest = b"." * (1000 - len(blob.content)) if blob.stated else b""
        blob.ended = True
        blob.content += rest
        self._say(LAST, blob.stream, rest + bodies.total(len(blob.content)))

    def _read(self, blob: _Sent, amount: int) -> None:
        arrival = blob.arrival
        if arrival is None or arrival.spool._closed:
            return
        arrival.reading = True
        spool = arrival.spool
        while spool.start < spool.byte_count and amount >= 0:
            blob.read += spool.read(spool.start, 1 + amount * 40)
            spool.forget(len(blob.read))
            amount -= 64
        self.arrivals.consumed(arrival, len(blob.read))

    def _drop(self, blob: _Sent) -> None:
        if blob.arrival is not None:
            self.arrivals.refuse(blob.arrival, CancelCode.ABANDONED, LinkClosed("dropped"))
            blob.arrival.spool.close()

    def _lie(self, which: int, amount: int, open_blobs: list[_Sent]) -> None:
        self.lied = True
        blob = open_blobs[amount % len(open_blobs)] if open_blobs else _Sent(1, 0, stream=1)
        parent = blob.parent
        lies: tuple[tuple[int, int, bytes], ...] = (
            (0, 99, b"chunk of nothing"),
            (LAST, blob.stream, bodies.total(len(blob.content) + 1)),
            (FIRST, self._fresh(), bodies.First(bodies.BLOB, 0, blob.place, 9, parent, 0).pack() + b"again"),
            (FIRST, self._fresh(), bodies.First(bodies.BLOB, 0, amount, 9, parent + amount, 0).pack() + b"nobody's"),
            (FIRST, 2, bodies.First(bodies.VALUE, 0, 0, 9, 0, 0).pack() + b"parity"),
            (0, blob.stream, b""),
            (amount, blob.stream, b"flags" + bodies.total(amount)),
            (0, blob.stream, bytes(bodies.FIRST_GRANT + 1)),
        )
        # The end may take some of it for the blob's: nothing more is asked of this one.
        blob.given_up = True
        if blob.arrival is not None:
            self.spoiled.append(blob.arrival)
            blob.arrival = None
        self._say(*lies[which % len(lies)])

    def _fresh(self) -> int:
        self.stream += 2
        return self.stream

    def _on_grant(self, body: bytes) -> None:
        number, limit = int.from_bytes(body[:8], "big"), int.from_bytes(body[8:16], "big")
        assert limit > self.granted.get(number, bodies.FIRST_GRANT), "a grant that takes back"
        self.granted[number] = limit

    def _on_cancel(self, stream: int, number: int, code: int) -> None:
        self.stopped.add(number)

    def check(self) -> None:
        room = self.room
        assert 0 <= room.disk_bytes + room.promised_bytes <= LIMITS.spool_link_bytes
        assert room.memory_bytes <= LIMITS.credit_bytes * 9 // 8 + len(self.assembly) * (4 << 10)
        for blob in self.blobs:
            arrival = blob.arrival
            if arrival is None or arrival.spool._closed:
                continue
            assert arrival.spool.byte_count <= arrival.granted
            if arrival.error is None:
                assert arrival.spool.byte_count == len(blob.content)
                assert arrival.whole == blob.ended

    def finish(self) -> None:
        """Read all that is there, compare, and see that nothing is held once the session is over."""
        for blob in self.blobs:
            for _ in range(len(blob.content) // 1000 + 2):
                self._read(blob, 255)
            assert blob.content.startswith(blob.read), "a blob has other bytes"
            arrival = blob.arrival
            if arrival is not None and arrival.whole and not arrival.spool._closed:
                assert blob.read == blob.content, "a whole blob has not all of its bytes"
        self.arrivals.end(LinkClosed("over"))
        self.assembly.end()
        for message in self.messages.values():
            self.assembly.forget(message)
        for arrival in (*self.spoiled, *(blob.arrival for blob in self.blobs)):
            if arrival is not None:
                arrival.spool.close()
        assert self.room.promised_bytes == 0
