"""Assembly: records of many streams to whole messages.  Floor: PROTOCOL.  Law: nothing is whole before its LAST.

Spec: protocol.md, "Messages and streams".  Chunks are kept as they came, compressed or not, in a spool; a value that is
whole has its bytes, its codec and its stated plain length, and becomes a value only when the application asks for it.
Its blobs are arrivals (arrivals.py), which begin after it.

A value that is over a limit, or finds no room, is *refused*: its chunks are counted and dropped from then on, and the
sender is asked to stop. It is forgotten when its last record has come, or the sender's CANCEL, whichever it was that
crossed ours on the way.
"""

from __future__ import annotations

from netstructer.codec.compression import NONE, ZSTD
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import IllegalFrame, LinkClosed, SpoolFull
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import Arrival, Arrivals
from netstructer.protocol.delivery import MESSAGE_CHARGE
from netstructer.protocol.states import CancelCode, Flag, Role

__all__ = ["Assembly", "Message", "Whole"]

# Plain integers: an operation on an IntFlag costs a microsecond.
_ALL_FLAGS = int(Flag.FIRST | Flag.LAST | Flag.ACKNOWLEDGE | Flag.TAKEN)
_WANTS = int(Flag.ACKNOWLEDGE | Flag.TAKEN)
SHORT_BYTES = 4096
_FIRST, _LAST, _BOTH = int(Flag.FIRST), int(Flag.LAST), int(Flag.FIRST | Flag.LAST)


class Message:
    """One value as it came in: chunks, how to read them, and what they count.  Single owner."""

    __slots__ = ("_begun", "arrivals", "blob_count", "broken_code", "charge", "chunks", "codec", "conversation",
                 "durable", "flags", "last_number", "missing_blobs", "number", "plain_bytes", "refused",
                 "stated_blob_bytes", "stream")  # fmt: skip
    stated = True

    def __init__(self, number: int, stream: int, header: bodies.First, room: SpoolRoom) -> None:
        self.number, self.stream, self.codec, self.plain_bytes = number, stream, header.codec, header.plain_bytes
        self.conversation = header.conversation
        """Whose message it is: 0 for the application's."""
        self.durable = header.kind == bodies.DURABLE
        """Whether its plain bytes begin with outbox and row."""
        self.chunks = Spool(room)
        self.charge = MESSAGE_CHARGE * (1 + header.place)
        """What it counts against the credit, until the application has it; its blobs count 256 each."""
        self.last_number = 0
        self.flags = 0
        self.blob_count = self.missing_blobs = header.place
        self.stated_blob_bytes = 0
        self.broken_code: int | None = None
        """Why its sender gave the rest of its blobs up, where it did."""
        self.arrivals: dict[int, Arrival] = {}
        """By their place: the blobs that have begun and nobody holds yet, and those that are held and still come."""
        self._begun = bytearray()
        self.refused = False

    def begin(self, place: int) -> bool:
        """Take note that a blob has begun; False where it had before."""
        if not self._begun:
            self._begun = bytearray(self.blob_count)
        fresh, self._begun[place] = not self._begun[place], 1
        return fresh

    def total_charge(self) -> int:
        """Return what this value counts against the credit."""
        return self.charge

    def total_plain_bytes(self) -> int:
        """Return the plain bytes of this value, without its blobs."""
        return self.plain_bytes

    def condensed(self) -> Whole:
        """Return a value that came in one record and has no blobs as what takes half the memory."""
        chunk = b"".join(self.chunks)
        return Whole(chunk, self.codec, self.plain_bytes, self.last_number, self.charge, self.flags, self.conversation)


class Whole:
    """A message that came in one record, or in a part of one: to those who read messages the same as a `Message`.

    Its chunk is a copy where it is short: a view and what it keeps alive are 400 bytes, and thousands of messages may
    wait.
    """

    __slots__ = ("charge", "chunks", "codec", "conversation", "flags", "last_number", "plain_bytes")
    blob_count = 0
    stated = True
    durable = False

    def __init__(
        self,
        chunk: bytes | memoryview,
        codec: int,
        plain_bytes: int,
        last_number: int,
        charge: int,
        flags: int,
        conversation: int = 0,
    ) -> None:
        self.chunks = (chunk if type(chunk) is bytes or len(chunk) >= SHORT_BYTES else bytes(chunk),)
        self.conversation = conversation
        self.codec, self.plain_bytes = codec, plain_bytes
        self.last_number, self.charge, self.flags = last_number, charge, flags

    def total_charge(self) -> int:
        """Return what this value counts against the credit."""
        return self.charge

    def total_plain_bytes(self) -> int:
        """Return the plain bytes of this value."""
        return self.plain_bytes


class Assembly:
    """The unfinished messages of one direction.  Single owner.

    `data` returns a value when it is whole.  After each call `refusal` holds the value that is to be cancelled, with
    the reason, or None.
    """

    __slots__ = ("_arrivals", "_limits", "_open", "_parents", "_parity", "codecs", "refusal")

    def __init__(self, role: Role, limits: Limits, arrivals: Arrivals, *, compressing: bool = True) -> None:
        self._parity = 0 if role is Role.CLIENT else 1
        self._limits = limits
        self._arrivals = arrivals
        self.codecs = (NONE, ZSTD) if compressing else (NONE,)
        """What both ends agreed on."""
        self._open: dict[int, Message | Arrival] = {}
        self._parents: dict[int, Message] = {}
        self.refusal: tuple[Message, CancelCode] | None = None

    def __len__(self) -> int:
        return len(self._open) + len(self._parents)

    def begins(self, stream: int) -> bool:
        """Say whether the peer may begin a message on this stream now."""
        return stream & 1 == self._parity and stream not in self._open and stream > 0

    def carries_blob(self, stream: int) -> bool:
        """Say whether a blob is under way on this stream."""
        return isinstance(self._open.get(stream), Arrival)

    def data(self, flags: int, stream: int, number: int, body: memoryview) -> Message | None:
        """Take in a DATA record, `body` being what follows the delivery number.  Raises `IllegalFrame`."""
        self.refusal = None
        if flags & ~_ALL_FLAGS or (flags & _WANTS and not flags & _LAST):
            raise IllegalFrame("flags that no DATA record has")
        if flags & _FIRST:
            part, body = self._first(stream, number, body, unfinished=not flags & _LAST)
        else:
            found = self._open.get(stream)
            if found is None:
                raise IllegalFrame(f"stream {stream} was not begun")
            part = found
        total = None
        if flags & _LAST:
            total, body = bodies.total_of(body)
        if not body and flags & _BOTH != _BOTH and not (flags & _LAST and isinstance(part, Arrival)):
            raise IllegalFrame("an empty chunk")
        if isinstance(part, Arrival):
            self._arrivals.add(part, body)
            if total is not None:
                self._last_of_blob(part, total)
            return None
        self._add(part, body)
        return None if total is None else self._last(part, number, flags, total)

    def arrival(self, root: Message, place: int) -> Arrival:
        """Return a blob of a value that is whole, begun or not, to who holds it from here on: to be asked for once."""
        found = root.arrivals.get(place)
        if found is None:
            found = root.arrivals[place] = self._arrivals.expect(root.number, place, root.broken_code)
        found.held = True
        if found.over:
            del root.arrivals[place]
        return found

    def cancelled(self, stream: int, number: int, code: int) -> None:
        """Take in that the sender gave up one of its own values, or blobs.  Raises `IllegalFrame` for one that it has
        not begun.
        """
        begun = next((part for part in self._open.values() if part.number == number), None)
        root = self._parents.get(number)
        found = begun or root
        if found is None:
            raise IllegalFrame("the peer cancels a message that it has not begun")
        if found.stream != stream:
            raise IllegalFrame(f"a cancel of a message on stream {stream}, which is on stream {found.stream}")
        if isinstance(begun, Arrival):
            self._end_of_blob(begun)
            self._arrivals.broken_off(begun, code)
        elif isinstance(begun, Message):
            del self._open[begun.stream]
            begun.chunks.close()
        if root is not None:
            self._parents.pop(number)
            root.broken_code = code
            under_way = [part for part in self._open.values() if isinstance(part, Arrival)]
            for arrival in [part for part in under_way if part.parent_number == number]:
                del self._open[arrival.stream]
                self._arrivals.broken_off(arrival, code)
            for arrival in root.arrivals.values():
                self._arrivals.broken_off(arrival, code)

    def refuse(self, root: Message, code: CancelCode) -> None:
        """Drop what has come of a value, and count and drop what still comes."""
        root.refused = True
        root.chunks.close()
        self.refusal = (root, code)

    def forget(self, root: Message) -> None:
        """Take in that nobody wants a value that is whole: its blobs are to stop, those that have not begun too."""
        root.refused = True
        root.chunks.close()
        for arrival in root.arrivals.values():
            self._arrivals.refuse(arrival, CancelCode.ABANDONED, LinkClosed("nobody took the blob"))
            arrival.spool.close()
        root.arrivals.clear()

    def end(self) -> None:
        """Let go of what is unfinished: nothing more comes."""
        for part in self._open.values():
            if isinstance(part, Message):
                part.chunks.close()
        self._open.clear()
        self._parents.clear()

    def _first(
        self, stream: int, number: int, body: memoryview, *, unfinished: bool
    ) -> tuple[Message | Arrival, memoryview]:
        if not self.begins(stream):
            raise IllegalFrame(f"stream {stream} cannot be begun by the peer now")
        if unfinished and len(self._open) >= self._limits.streams:
            raise IllegalFrame(f"more than {self._limits.streams} unfinished messages")
        header, rest = bodies.First.unpack(body)
        if header.codec not in self.codecs:
            raise IllegalFrame(f"a message in codec {header.codec}, which was not agreed on")
        if header.kind == bodies.BLOB:
            part: Message | Arrival = self._adopt(header, number, stream)
        else:
            part = self._value(header, number, stream)
        self._open[stream] = part
        return part, rest

    def _value(self, header: bodies.First, number: int, stream: int) -> Message:
        message = Message(number, stream, header, self._arrivals.room)
        if header.place and self._with_blobs() >= self._limits.streams:
            raise IllegalFrame(f"more than {self._limits.streams} values wait for their blobs")
        if header.plain_bytes > self._limits.value_bytes:
            self.refuse(message, CancelCode.TOO_BIG)
        return message

    def _with_blobs(self) -> int:
        open_values = [part for part in self._open.values() if isinstance(part, Message) and part.blob_count]
        return len(self._parents) + len(open_values)

    def _adopt(self, header: bodies.First, number: int, stream: int) -> Arrival:
        parent = self._parents.get(header.parent)
        if parent is None or header.place >= parent.blob_count:
            raise IllegalFrame("a blob that no value waits for")
        if not parent.begin(header.place):
            raise IllegalFrame("a blob that no value waits for")
        arrival = parent.arrivals.get(header.place)
        if arrival is None:
            arrival = self._arrivals.expect(parent.number, header.place)
            if not parent.refused:
                parent.arrivals[header.place] = arrival
        stated = header.plain_bytes != bodies.UNKNOWN
        if parent.refused:
            arrival.unwanted = True
        self._arrivals.begin(arrival, number, stream, header.codec, header.plain_bytes if stated else None)
        if stated:
            together = parent.stated_blob_bytes + header.plain_bytes
            self._arrivals.check_size(arrival, together)
            if not arrival.over:  # What is refused as it begins takes nothing from those behind it.
                parent.stated_blob_bytes = together
        return arrival

    def _add(self, message: Message, chunk: memoryview) -> None:
        if message.refused:
            return
        message.charge += len(chunk)
        if chunk:
            try:
                message.chunks.add(chunk)
            except SpoolFull:
                self.refuse(message, CancelCode.NO_ROOM)
                return
        if message.codec == NONE and message.chunks.byte_count > message.plain_bytes:
            raise IllegalFrame(f"a message of {message.plain_bytes} bytes has more")

    def _last(self, message: Message, number: int, flags: int, total: int) -> Message | None:
        if total != message.plain_bytes:
            raise IllegalFrame(f"a message of {message.plain_bytes} bytes ends with a total of {total}")
        if message.codec == NONE and not message.refused and total != message.chunks.byte_count:
            raise IllegalFrame(f"a message of {message.chunks.byte_count} bytes ends with a total of {total}")
        message.last_number = number
        message.flags = flags
        del self._open[message.stream]
        if message.blob_count:
            self._parents[message.number] = message
        return None if message.refused else message

    def _last_of_blob(self, arrival: Arrival, total: int) -> None:
        self._end_of_blob(arrival)
        self._arrivals.finish(arrival, total)

    def _end_of_blob(self, arrival: Arrival) -> None:
        del self._open[arrival.stream]
        root = self._parents[arrival.parent_number]
        root.missing_blobs -= 1
        if arrival.held:
            root.arrivals.pop(arrival.place, None)
        if not root.missing_blobs:
            del self._parents[root.number]
