"""What one end says on a session, and which rule it breaks: a part of the second reader, made from docs/protocol.md.

Law: nothing of netstructer is imported here, so that what it shares with the package is the specification alone.  Each
record is held against all that both ends have said before.  One that breaks a rule is `Refused`, under the name that
the page has for it, and changes nothing.  Everything happens at one moment; nothing is answered.  What is the choice of
who hears (room, readers, applications) is known by what that end says.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack
from typing import Any

from reader_parts import (
    AFTER_FAREWELL,
    ASIDE,
    BLOB,
    CHARGE,
    DURABLE,
    FIRST,
    LAST,
    LENGTHS,
    MOST_FLAGS,
    MOST_PINGS,
    Durable,
    Kind,
    Limits,
    Message,
    Part,
    Stated,
    heard_alert,
    heard_key,
    legal,
    text_of,
    unsigned,
)
from reader_records import UNKNOWN
from reader_structs import expect
from reader_values import Budget, read_value


class Direction:
    """What one end says.  `limits` are those of who hears it, `other` is what that one says."""

    other: Direction

    def __init__(self, first: int, limits: Limits) -> None:
        self.first, self.parity, self.limits = first, first % 2, limits
        self.compression, self.begun = True, False
        self.stated, self.next_number, self.charged = Stated(), 1, 0
        self.again = 1
        """The number of the next numbered record: below `next_number` it was said before, on another transport."""
        self.said: dict[int, tuple[int, int, int, bytes]] = {}
        self.record = (0, 0, 0, b"")
        self.parts: dict[int, Part] = {}
        self.open: dict[int, Part] = {}
        self.waiting: dict[int, Part] = {}
        """Values not all of whose blobs have ended."""
        self.messages: list[Message] = []
        self.dropped: list[Message] = []
        """Of conversations that who hears them could only have opened himself."""
        self.conversations: set[int] = set()
        self.cancelled: list[tuple[int, int]] = []
        self.farewell: tuple[int, str] | None = None
        self.kinds: list[int] = []
        self.pings: list[bytes] = []
        self.pinged = 0

    def begin(self) -> None:
        """Take in that another transport begins."""
        self.begun, self.pings, self.pinged = False, [], 0

    def take(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        legal(kind in LENGTHS and kind not in (Kind.OPEN, Kind.ACCEPT), "a kind that is legal here")
        if self.again < self.next_number and kind >= Kind.DATA and unsigned(body[:8]) == self.again:
            legal(self.said[self.again] == (kind, flags, stream, body), "what is said again is what was said")
            self.again += 1
            return
        legal(self.farewell is None or kind in AFTER_FAREWELL, "after FAREWELL only what keeps a transport going")
        legal(self.first == Kind.ACCEPT or kind not in (Kind.DRAIN, Kind.NEW_KEY), "a server drains, and gives keys")
        legal(kind == Kind.DATA or not flags, "only DATA has flags")
        legal(kind in (Kind.DATA, Kind.CANCEL) or not stream, "only DATA and CANCEL have a stream")
        legal(LENGTHS[kind][0] <= len(body) <= LENGTHS[kind][1], "the length of a body")
        self.record = (kind, flags, stream, body)
        if kind == Kind.DATA:
            self._data(flags, stream, body)
        elif kind == Kind.CANCEL:
            self._cancel(stream, body)
        else:
            HEARD[kind](self, body)
        self.kinds.append(kind)

    def _count(self, charge: int = 0) -> None:
        """Take in that the next numbered record has come."""
        self.said[self.next_number] = self.record
        self.next_number += 1
        self.again = self.next_number
        self.charged += charge

    def _ping(self, body: bytes) -> None:
        legal(self.pinged < MOST_PINGS, "not more than ten PING at one moment")
        self.pinged += 1
        self.pings.append(body)

    def _pong(self, body: bytes) -> None:
        legal(body in self.other.pings, "PONG answers a PING")
        self.other.pings.remove(body)

    def _ack(self, body: bytes) -> None:
        said, before = Stated(*unpack(">QQQ", body)), self.stated
        legal(all(old <= new for old, new in zip(before, said, strict=True)), "an ACK goes on")
        legal(said.taken < said.expected <= self.other.next_number, "what is acknowledged was sent")
        self.stated = said

    def _grant(self, body: bytes) -> None:
        number, limit = unpack(">QQ", body)
        legal(number < self.other.next_number, "a GRANT is for what was sent")
        part = self.other.parts.get(number)
        if part and (not part.over or number in self.other.waiting):
            legal(part.parent, "there is no GRANT for values")
            legal(limit >= part.granted, "a GRANT takes nothing back")
            part.granted = limit

    def _farewell(self, body: bytes) -> None:
        text = text_of(body[10:])
        legal(not self.open and not self.waiting, "no message is unfinished")
        legal(self._is_next(body, 0), "nothing numbered was after a FAREWELL")
        self.farewell = unsigned(body[8:10]), text
        self._count()

    def _is_next(self, body: bytes, charge: int) -> bool:
        """Whether a numbered record is the next; False where it was had before."""
        number = unsigned(body[:8])
        if number < self.again:
            return False
        expect(number == self.next_number, "delivery numbers have no gaps", "Gap")
        expect(self.charged + charge <= self.other.stated.limit, "the credit reaches", "CreditExceeded")
        return True

    def _batch(self, body: bytes) -> None:
        rest, items = body[8:], []
        legal(rest, "a BATCH is not empty")
        while rest:
            size = unsigned(rest[:4])
            legal(0 < size <= len(rest) - 4, "the lengths of a BATCH add up")
            items.append(rest[4 : 4 + size])
            rest = rest[4 + size :]
        charge = len(body) + CHARGE * len(items)
        if self._is_next(body, charge):
            legal(max(map(len, items)) <= self.limits.value_bytes, "the sender of a BATCH knows the limit")
            self._count(charge)
            for item in items:  # one by one: those before a value that is none are delivered
                self.messages.append(Message(item, self._value(item, 0), None))

    def _value(self, encoded: bytes, blobs: int) -> Any:
        return read_value(encoded, blobs, Budget(value_bytes=self.limits.value_bytes))

    def _data(self, flags: int, stream: int, body: bytes) -> None:
        first, last = flags & FIRST, flags & LAST
        part = self.open.get(stream)
        of_blob = body[8:9] == bytes([BLOB]) if first else part and part.parent
        blobs = unsigned(body[10:12]) if len(body) >= 24 else 0  # of a head that is not whole nothing is charged
        charge = 0 if of_blob else len(body) + (CHARGE * (1 + blobs) if first else 0)
        if not self._is_next(body, charge):
            return
        legal(flags <= MOST_FLAGS and (last or flags <= FIRST), "the flags of DATA")
        chunk = body[8:]
        if first:
            part, chunk = self._begins(stream, chunk, whole=bool(last))
        legal(part, "a message is under way on the stream")
        assert part is not None
        legal(not last or len(chunk) >= 8, "LAST has a total")
        chunk, total = (chunk[:-8], unsigned(chunk[-8:])) if last else (chunk, part.plain_bytes)
        legal(chunk or (last and (first or part.parent)), "a chunk is not empty")
        came, plain = len(part.payload) + len(chunk), part.plain_bytes
        refused = part.refused
        if not refused:
            expect(not part.parent or came <= part.granted, "what is sent of a blob was granted", "CreditExceeded")
            legal(part.codec or came <= plain, "not more than was stated")
            refused = bool(part.parent) and came > self.limits.message_bytes
        if last:
            legal(plain in (UNKNOWN, total), "the total is what was stated")
            legal(part.codec or refused or came == total, "the total is what came")
        self._begun(part)
        self._count(charge)
        self._commit(part, chunk, total, refused=refused, last=bool(last))

    def _begins(self, stream: int, rest: bytes, *, whole: bool) -> tuple[Part, bytes]:
        """Check the head of a message; return it, and the chunk behind its head."""
        legal(stream and stream % 2 == self.parity and stream not in self.open, "a free stream of the sender's")
        legal(len(rest) >= 16, "a whole head")
        kind, codec, place, conversation, plain = unpack(">BBHIQ", rest[:16])
        legal(whole or len(self.open) < self.limits.streams, "not more messages than stated")
        legal(kind <= DURABLE and (kind == ASIDE) == (conversation != 0), "the kind of a message, and its conversation")
        legal(kind == BLOB or plain != UNKNOWN, "the length of a value is known")
        legal(kind != DURABLE or (place == 0 and plain > 24), "a durable message has a row, a value, and no blobs")
        legal(codec == 0 or (codec == 1 and self.compression), "the codec")
        part = Part(self.next_number, stream, kind, codec, place, conversation, plain, stated=plain != UNKNOWN)
        if kind != BLOB:
            legal(not place or len(self.waiting) < self.limits.streams, "not more values with blobs than stated")
            part.refused = plain > self.limits.value_bytes
            return part, rest[16:]
        legal(len(rest) >= 24, "a whole head")
        parent = part.parent = self.waiting.get(unsigned(rest[16:24]))
        legal(parent and parent.whole, "the value of a blob has ended, and waits for blobs")
        assert parent is not None
        legal(place < parent.place and place not in parent.blobs, "the value waits for this blob")
        others = sum(blob.plain_bytes for blob in parent.blobs.values() if blob.counts)
        part.refused = parent.refused or (part.stated and plain + others > self.limits.message_bytes)
        part.counts = part.stated and not part.refused
        return part, rest[24:]

    def _begun(self, part: Part) -> None:
        """Take a message in that begins with this record, if one does."""
        if part.number < self.next_number:
            return
        self.parts[part.number] = self.open[part.stream] = part
        self.conversations |= {part.conversation} - {0}
        if part.parent:
            part.parent.blobs[part.place] = part
        elif part.place:
            self.waiting[part.number] = part

    def _commit(self, part: Part, chunk: bytes, total: int, *, refused: bool, last: bool) -> None:
        """Take a chunk in, and what becomes whole with it."""
        part.refused, part.plain_bytes = refused, total
        part.payload += b"" if refused else chunk
        if last:
            part.whole = True
            self._end(part)
            if not refused and not part.parent:
                self._deliver(part)

    def _deliver(self, part: Part) -> None:
        encoded, durable = part.plain(), part.kind == DURABLE
        expect(not durable or unsigned(encoded[16:24]), "the rows of an outbox begin with 1")
        value = self._value(encoded[24 * durable :], part.place)
        if durable:
            value = Durable(encoded[:16], unsigned(encoded[16:24]), value)
        theirs = part.conversation and part.conversation % 2 != self.parity
        part.refused = bool(theirs and part.conversation not in self.other.conversations)
        (self.dropped if part.refused else self.messages).append(Message(encoded[24 * durable :], value, part))

    def _end(self, part: Part) -> None:
        part.over = self.open.pop(part.stream) is part
        root = part.parent or part
        if root.whole and len(root.blobs) == root.place and all(blob.over for blob in root.blobs.values()):
            self.waiting.pop(root.number, None)

    def _cancel(self, stream: int, body: bytes) -> None:
        legal(stream, "a CANCEL has a stream")
        if not self._is_next(body, 0):
            return
        message, code = unpack(">QH", body[8:])
        own = stream % 2 == self.parity
        speaker = self if own else self.other
        part = speaker.parts.get(message)
        under_way = part and (not part.over or message in speaker.waiting)
        legal(under_way or not own, "what its sender gives up is under way")
        legal(not under_way or (part and part.stream == stream), "it began on that stream")
        self._count()
        if part and under_way and own:
            self.cancelled.append((message, code))
            self._give_up(part)
        elif part and under_way:
            part.refuse()

    def _give_up(self, part: Part) -> None:
        if part.parent:
            return self._end(part)
        self.waiting.pop(part.number, None)
        for one in (part, *part.blobs.values()):
            if not one.over:
                self._end(one)
        return None


HEARD: dict[int, Callable[[Direction, bytes], None]] = {
    Kind.PING: Direction._ping,
    Kind.PONG: Direction._pong,
    Kind.ACK: Direction._ack,
    Kind.GRANT: Direction._grant,
    Kind.ALERT: heard_alert,
    Kind.NEW_KEY: heard_key,
    Kind.FAREWELL: Direction._farewell,
    Kind.BATCH: Direction._batch,
    **dict.fromkeys((Kind.REKEY, Kind.DRAIN), lambda direction, body: None),
}
