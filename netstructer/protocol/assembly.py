"""Assembly: records of many streams to whole messages.  Floor: PROTOCOL.  Law: nothing is whole before its LAST.

Spec: protocol.md, "Messages and streams".  Chunks are kept as they came, compressed or not; a message that is whole has
its bytes, its codec and its stated plain length, and becomes a value only when the application asks for it.

A value that is over a limit is *refused*: its chunks are counted and dropped from then on, and the sender is asked to
stop. It is forgotten when its last record has come, or the sender's CANCEL, whichever it was that crossed ours on the
way.

What unfinished messages may hold is bounded by their charge, as delivery.py counts it, so that many empty blobs are no
cheaper to hold than they are to send.  What they may expand to is bounded too: a value by `value_bytes`, all its blobs
together by `message_bytes`.
"""

from __future__ import annotations

from netstructer.codec.chunks import Joined
from netstructer.codec.compression import NONE, ZSTD
from netstructer.errors import IllegalFrame
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.delivery import MESSAGE_CHARGE
from netstructer.protocol.states import CancelCode, Flag, Role

__all__ = ["Assembly", "Message", "Whole"]

# Plain integers: an operation on an IntFlag costs a microsecond.
_ALL_FLAGS = int(Flag.FIRST | Flag.LAST | Flag.ACKNOWLEDGE | Flag.TAKEN)
_WANTS = int(Flag.ACKNOWLEDGE | Flag.TAKEN)
_FIRST, _LAST, _BOTH = int(Flag.FIRST), int(Flag.LAST), int(Flag.FIRST | Flag.LAST)


class Message:
    """One message as it came in: chunks, how to read them, and what they count.  Single owner."""

    __slots__ = ("begun_blobs", "blob_bytes", "blob_count", "blobs", "charge", "chunks", "codec", "flags",
                 "last_number", "missing_blobs", "number", "parent", "plain_bytes", "refused", "stated",
                 "stream")  # fmt: skip

    def __init__(self, number: int, stream: int, codec: int, plain_bytes: int | None) -> None:
        self.number, self.stream, self.codec = number, stream, codec
        self.plain_bytes = plain_bytes or 0
        """As declared; for a blob of unknown length, as stated at its end."""
        self.stated = plain_bytes is not None
        self.chunks = Joined()
        self.charge = MESSAGE_CHARGE
        self.last_number = 0
        self.flags = 0
        self.blob_count = self.begun_blobs = self.missing_blobs = self.blob_bytes = 0
        self.blobs: dict[int, Message] = {}
        self.parent: Message | None = None
        self.refused = False

    @property
    def root(self) -> Message:
        """The value that this is, or is a blob of."""
        return self.parent or self

    def total_charge(self) -> int:
        """Return what this value and its blobs count against the credit."""
        return self.charge + sum(blob.charge for blob in self.blobs.values())

    def total_plain_bytes(self) -> int:
        """Return the plain bytes of this value and its blobs."""
        return self.plain_bytes + sum(blob.plain_bytes for blob in self.blobs.values())


class Whole:
    """A message that came in one record, or in a part of one: to those who read messages the same as a `Message`."""

    __slots__ = ("charge", "chunks", "codec", "flags", "last_number", "plain_bytes")
    blob_count = 0
    stated = True

    def __init__(
        self, chunk: memoryview, codec: int, plain_bytes: int, last_number: int, charge: int, flags: int
    ) -> None:
        self.chunks = (chunk,)
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

    `data` returns a value when it and all its blobs are whole.  After each call `refusal` holds the value that is to be
    cancelled, with the reason, or None.
    """

    __slots__ = ("_held", "_limits", "_open", "_parents", "_parity", "codecs", "refusal")

    def __init__(self, role: Role, limits: Limits, *, compressing: bool = True) -> None:
        self._parity = 0 if role is Role.CLIENT else 1
        self._limits = limits
        self.codecs = (NONE, ZSTD) if compressing else (NONE,)
        """What both ends agreed on."""
        self._open: dict[int, Message] = {}
        self._parents: dict[int, Message] = {}
        self._held = 0
        self.refusal: tuple[Message, CancelCode] | None = None

    def __len__(self) -> int:
        return len(self._open) + len(self._parents)

    def begins(self, stream: int) -> bool:
        """Say whether the peer may begin a message on this stream now."""
        return stream & 1 == self._parity and stream not in self._open and stream > 0

    def data(self, flags: int, stream: int, number: int, body: memoryview) -> Message | None:
        """Take in a DATA record, `body` being what follows the delivery number.  Raises `IllegalFrame`."""
        self.refusal = None
        if flags & ~_ALL_FLAGS or (flags & _WANTS and not flags & _LAST):
            raise IllegalFrame("flags that no DATA record has")
        if flags & _FIRST:
            message, body = self._first(stream, number, body, unfinished=not flags & _LAST)
        else:
            found = self._open.get(stream)
            if found is None:
                raise IllegalFrame(f"stream {stream} was not begun")
            message = found
        total = None
        if flags & _LAST:
            total, body = bodies.total_of(body)
        if not body and flags & _BOTH != _BOTH:
            raise IllegalFrame("an empty chunk")
        self._add(message, body)
        return None if total is None else self._last(message, number, flags, total)

    def cancelled(self, stream: int, number: int) -> None:
        """Take in that the sender gave up one of its own values.  Raises `IllegalFrame` for one that it has not
        begun.
        """
        found = [message for message in self._open.values() if message.root.number == number]
        root = self._parents.pop(number, None) or (found[0] if found else None)
        if root is None:
            raise IllegalFrame("the peer cancels a message that it has not begun")
        if root.root.stream != stream:
            raise IllegalFrame(f"a cancel of a message on stream {stream}, which is on stream {root.root.stream}")
        for message in found:
            del self._open[message.stream]
        if not root.refused:
            self._held -= root.total_charge()

    def refuse(self, root: Message, code: CancelCode) -> None:
        """Drop what has come of a value, and count and drop what still comes."""
        self._held -= root.total_charge()
        for message in (root, *root.blobs.values()):
            message.refused = True
            message.chunks = Joined()
        root.blobs.clear()
        self.refusal = (root, code)

    def _first(self, stream: int, number: int, body: memoryview, *, unfinished: bool) -> tuple[Message, memoryview]:
        if not self.begins(stream):
            raise IllegalFrame(f"stream {stream} cannot be begun by the peer now")
        if unfinished and len(self._open) >= self._limits.streams:
            raise IllegalFrame(f"more than {self._limits.streams} unfinished messages")
        header, rest = bodies.First.unpack(body)
        if header.codec not in self.codecs:
            raise IllegalFrame(f"a message in codec {header.codec}, which was not agreed on")
        stated = header.plain_bytes != bodies.UNKNOWN
        message = Message(number, stream, header.codec, header.plain_bytes if stated else None)
        self._held += message.charge
        if header.kind == bodies.VALUE:
            self._check_value(message, header)
        else:
            self._adopt(message, header)
        self._open[stream] = message
        return message, rest

    def _check_value(self, message: Message, header: bodies.First) -> None:
        message.blob_count = message.missing_blobs = header.place
        if header.place and len(self._parents) >= self._limits.streams:
            raise IllegalFrame(f"more than {self._limits.streams} values wait for their blobs")
        if header.plain_bytes > self._limits.value_bytes:
            self.refuse(message, CancelCode.TOO_BIG)

    def _adopt(self, message: Message, header: bodies.First) -> None:
        parent = self._parents.get(header.parent)
        if parent is None or header.place >= parent.blob_count or header.place in parent.blobs:
            raise IllegalFrame("a blob that no value waits for")
        if parent.begun_blobs == parent.blob_count:
            raise IllegalFrame("a value has more blobs than it said")
        parent.begun_blobs += 1
        message.parent, message.refused = parent, parent.refused
        if parent.refused:
            self._held -= message.charge
            return
        parent.blobs[header.place] = message
        if message.stated:
            self._widen(parent, header.plain_bytes)

    def _widen(self, root: Message, plain_bytes: int) -> None:
        """Count what a blob expands to."""
        root.blob_bytes += plain_bytes
        if root.blob_bytes > self._limits.message_bytes:
            self.refuse(root, CancelCode.TOO_BIG)

    def _add(self, message: Message, chunk: memoryview) -> None:
        if message.refused:
            return
        message.charge += len(chunk)
        self._held += len(chunk)
        if chunk:
            message.chunks.add(chunk)
        if message.codec == NONE and message.stated and message.chunks.byte_count > message.plain_bytes:
            raise IllegalFrame(f"a message of {message.plain_bytes} bytes has more")
        if self._held > self._limits.message_bytes + self._limits.credit_bytes:
            self.refuse(message.root, CancelCode.NO_ROOM)

    def _last(self, message: Message, number: int, flags: int, total: int) -> Message | None:
        if message.stated and total != message.plain_bytes:
            raise IllegalFrame(f"a message of {message.plain_bytes} bytes ends with a total of {total}")
        message.plain_bytes = total
        if message.codec == NONE and not message.refused and total != message.chunks.byte_count:
            raise IllegalFrame(f"a message of {message.chunks.byte_count} bytes ends with a total of {total}")
        message.last_number = number
        message.flags = flags
        del self._open[message.stream]
        root = message.root
        if message.parent is not None:
            root.missing_blobs -= 1
            if not message.stated and not root.refused:
                self._widen(root, total)
        elif root.blob_count:
            self._parents[root.number] = root
        if root.missing_blobs:
            return None
        self._parents.pop(root.number, None)
        if root.refused:
            return None
        root.last_number = number
        self._held -= root.total_charge()
        return root
