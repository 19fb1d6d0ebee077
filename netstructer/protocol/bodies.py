"""Bodies: the layouts inside records, one pair of functions for each kind.  Floor: PROTOCOL.

Law: one encoding each; a spare bit, a byte too many or too few is `IllegalFrame`.  Spec: protocol.md, "Kinds and
bodies". All integers are big-endian.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

from netstructer.errors import IllegalFrame

__all__ = [
    "ASIDE",
    "BLOB",
    "CANCEL_BYTES",
    "DURABLE",
    "FIRST_GRANT",
    "OPEN_BYTES",
    "OPEN_NEW",
    "OPEN_RESUME",
    "OVERHEAD_BYTES",
    "PING_BYTES",
    "STATUS_BUSY",
    "STATUS_NEW",
    "STATUS_RESUMED",
    "STATUS_UNKNOWN",
    "UNKNOWN",
    "VALUE",
    "Accept",
    "Ack",
    "Alert",
    "Cancel",
    "Drain",
    "Farewell",
    "First",
    "Grant",
    "Open",
    "batch",
    "batch_items",
    "expect_length",
    "kind_of",
    "number",
    "number_of",
    "row",
    "row_of",
    "single",
    "single_of",
    "total",
    "total_of",
]

Buffer = bytes | bytearray | memoryview

_OPEN = Struct(">B3s16s32sQQQ16s")
_ACCEPT = Struct(">B3s16s16sQQQI")
_ACK = Struct(">QQQ")
_ALERT = Struct(">H")
_CANCEL = Struct(">QQH")
_DRAIN = Struct(">I")
_FAREWELL = Struct(">QH")
_GRANT = Struct(">QQ")
_NUMBER = Struct(">Q")
_FIRST = Struct(">BBHIQ")
_PARENT = Struct(">Q")
_TOTAL = Struct(">Q")
_SINGLE = Struct(">QBBHIQ")
_SINGLE_BYTES = _SINGLE.size
_pack_single, _read_single = _SINGLE.pack, _SINGLE.unpack_from
_pack_total, _read_total = _TOTAL.pack, _TOTAL.unpack_from

OPEN_BYTES = _OPEN.size
CANCEL_BYTES = _CANCEL.size
GRANT_BYTES = _GRANT.size
PING_BYTES = 8
NUMBER_BYTES = _NUMBER.size
TOTAL_BYTES = _TOTAL.size
SINGLE_OVERHEAD_BYTES = _SINGLE.size + TOTAL_BYTES
"""What such a body holds beside its chunk."""
OVERHEAD_BYTES = NUMBER_BYTES + _FIRST.size + _PARENT.size + TOTAL_BYTES
"""What a DATA body may hold beside its chunk."""
TEXT_BYTES = 200

OPEN_NEW, OPEN_RESUME = 1, 2
STATUS_NEW, STATUS_RESUMED, STATUS_UNKNOWN, STATUS_BUSY = 0, 1, 2, 3
BLOB, VALUE, ASIDE, DURABLE = 0, 1, 2, 3
UNKNOWN = (1 << 64) - 1
"""A blob's plain bytes where they are not known at its beginning."""
FIRST_GRANT = 256 << 10
"""Payload bytes of a blob that may be sent before the first GRANT for it: four records, and two of the longest blocks
of zstd, which a reader needs whole."""
_NOTHING = bytes(3)
_KINDS = (BLOB, VALUE, ASIDE, DURABLE)
_ROW = Struct(">16sQ")
ROW_BYTES = _ROW.size
"""What the plain bytes of a durable message begin with, before its value."""


class Open(NamedTuple):
    """The client's first record: its session, and where each direction of it stands.

    `secret` is in mode 2 a proof of it.  Shows none.
    """

    mode: int
    session_id: bytes
    secret: bytes
    expected: int
    following: int
    limit: int
    instance: bytes

    def pack(self) -> bytes:
        return _OPEN.pack(self[0], _NOTHING, *self[1:])

    @classmethod
    def unpack(cls, body: memoryview) -> Open:
        """Return what a body says.  Raises `IllegalFrame`."""
        expect_length(body, _OPEN.size)
        mode, zero, *rest = _OPEN.unpack(body)
        if zero != _NOTHING or mode not in (OPEN_NEW, OPEN_RESUME):
            raise IllegalFrame("an open in an unknown mode, or with spare bits set")
        found = cls(mode, *rest)
        if mode == OPEN_NEW and (found.expected, found.following, found.instance) != (1, 1, bytes(16)):
            raise IllegalFrame("a new session must begin at its beginning")
        return found

    def __repr__(self) -> str:
        return f"<Open in mode {self.mode} of {self.session_id.hex()}>"


class Accept(NamedTuple):
    """The server's first record: the answer to OPEN.  `session_id` is with status 1 a proof of the secret."""

    status: int
    session_id: bytes
    instance: bytes
    expected: int
    following: int
    limit: int
    seconds: int

    def pack(self) -> bytes:
        return _ACCEPT.pack(self[0], _NOTHING, *self[1:])

    @classmethod
    def unpack(cls, body: memoryview) -> Accept:
        """Return what a body says.  Raises `IllegalFrame`."""
        expect_length(body, _ACCEPT.size)
        status, zero, *rest = _ACCEPT.unpack(body)
        if zero != _NOTHING or status not in (STATUS_NEW, STATUS_RESUMED, STATUS_UNKNOWN, STATUS_BUSY):
            raise IllegalFrame("an accept with an unknown status, or with spare bits set")
        return cls(status, *rest)


class Ack(NamedTuple):
    """Next delivery number expected, credit limit, number up to which the application has taken messages."""

    expected: int
    limit: int
    taken: int

    def pack(self) -> bytes:
        return _ACK.pack(*self)

    @classmethod
    def unpack(cls, body: memoryview) -> Ack:
        """Return what a body says.  Raises `IllegalFrame`."""
        expect_length(body, _ACK.size)
        return cls(*_ACK.unpack(body))


class Grant(NamedTuple):
    """How many payload bytes of one blob may have been sent; `message` is the number of the blob's first record."""

    message: int
    limit: int

    def pack(self) -> bytes:
        return _GRANT.pack(*self)

    @classmethod
    def unpack(cls, body: memoryview) -> Grant:
        """Return what a body says.  Raises `IllegalFrame`."""
        expect_length(body, _GRANT.size)
        return cls(*_GRANT.unpack(body))


class Drain(NamedTuple):
    """The server will say farewell; for so long it finishes what is under way."""

    milliseconds: int

    def pack(self) -> bytes:
        return _DRAIN.pack(*self)

    @classmethod
    def unpack(cls, body: memoryview) -> Drain:
        """Return what a body says.  Raises `IllegalFrame`."""
        expect_length(body, _DRAIN.size)
        return cls(*_DRAIN.unpack(body))


class Alert(NamedTuple):
    """Why the sender gives the transport up."""

    code: int
    text: str

    def pack(self) -> bytes:
        return _ALERT.pack(self.code) + _clipped(self.text)

    @classmethod
    def unpack(cls, body: memoryview) -> Alert:
        """Return what a body says.  Raises `IllegalFrame`."""
        return cls(*_with_text(_ALERT, body))


class Cancel(NamedTuple):
    """A value is given up: by its sender, or at the receiver's wish.  `message` is the number of its first record."""

    number: int
    message: int
    code: int

    def pack(self) -> bytes:
        return _CANCEL.pack(*self)

    @classmethod
    def unpack(cls, body: memoryview) -> Cancel:
        """Return what a body says.  Raises `IllegalFrame`."""
        expect_length(body, _CANCEL.size)
        return cls(*_CANCEL.unpack(body))


class Farewell(NamedTuple):
    """The last reliable record of its direction."""

    number: int
    code: int
    text: str

    def pack(self) -> bytes:
        return _FAREWELL.pack(self.number, self.code) + _clipped(self.text)

    @classmethod
    def unpack(cls, body: memoryview) -> Farewell:
        """Return what a body says.  Raises `IllegalFrame`."""
        return cls(*_with_text(_FAREWELL, body))


class First(NamedTuple):
    """What follows the delivery number in the first record of a message.

    `place` is how many blobs a value has, or which of them a blob is; `parent` is the number of a blob's value, 0 for a
    value; `conversation` is that of an aside, 0 for all else.
    """

    kind: int
    codec: int
    place: int
    plain_bytes: int
    parent: int
    conversation: int = 0

    def pack(self) -> bytes:
        head = _FIRST.pack(self.kind, self.codec, self.place, self.conversation, self.plain_bytes)
        return head + _PARENT.pack(self.parent) if self.kind == BLOB else head

    @classmethod
    def unpack(cls, body: memoryview) -> tuple[First, memoryview]:
        """Return the header, and the rest of the body."""
        if len(body) < _FIRST.size:
            raise IllegalFrame("a first record without its header")
        kind, codec, place, conversation, plain_bytes = _FIRST.unpack_from(body)
        body = body[_FIRST.size :]
        if kind not in _KINDS or bool(conversation) != (kind == ASIDE) or (kind != BLOB and plain_bytes == UNKNOWN):
            raise IllegalFrame("a first record of an unknown kind, of no stated length, or with spare bits set")
        if kind == DURABLE and (place or plain_bytes <= ROW_BYTES):
            raise IllegalFrame("a durable message with blobs, or shorter than one is")
        if kind != BLOB:
            return cls(kind, codec, place, plain_bytes, 0, conversation), body
        if len(body) < _PARENT.size:
            raise IllegalFrame("a blob without its parent")
        return cls(kind, codec, place, plain_bytes, _PARENT.unpack_from(body)[0]), body[_PARENT.size :]


def row(outbox: bytes, number: int) -> bytes:
    """Return what the plain bytes of a durable message begin with: the outbox's id, and its row there."""
    return _ROW.pack(outbox, number)


def row_of(plain: Buffer) -> tuple[bytes, int]:
    """Return outbox and row of the plain bytes of a durable message, which are long enough."""
    return _ROW.unpack_from(plain)


def single(delivery_number: int, codec: int, chunk: Buffer, plain_bytes: int, conversation: int = 0) -> bytes:
    """Return the body of a value without blobs that has one record: `number`, `First`, chunk and `total` in one
    step."""
    head = _pack_single(delivery_number, ASIDE if conversation else VALUE, codec, 0, conversation, plain_bytes)
    return b"".join((head, chunk, _pack_total(plain_bytes)))


def single_of(body: memoryview) -> tuple[int, int, int, int, memoryview] | None:
    """Return delivery number, codec, conversation, plain bytes and chunk of such a body; None for any other, right or
    wrong.
    """
    end = len(body) - TOTAL_BYTES
    if end <= _SINGLE_BYTES:
        return None
    delivery_number, kind, codec, place, conversation, plain_bytes = _read_single(body)
    if kind != (ASIDE if conversation else VALUE) or place or plain_bytes != _read_total(body, end)[0]:
        return None
    return delivery_number, codec, conversation, plain_bytes, body[_SINGLE_BYTES:end]


def kind_of(body: memoryview) -> tuple[int, int]:
    """Return kind and place of the first record of a message, for what it counts; zeros where it has no whole head."""
    if len(body) < _NUMBER.size + _FIRST.size:
        return VALUE, 0
    kind, _, place, _, _ = _FIRST.unpack_from(body, _NUMBER.size)
    return kind, place


def number(delivery_number: int) -> bytes:
    """Return what begins the body of DATA and BATCH."""
    return _NUMBER.pack(delivery_number)


def number_of(body: memoryview) -> tuple[int, memoryview]:
    """Return the delivery number of a DATA or BATCH body, and the rest of it."""
    if len(body) < _NUMBER.size:
        raise IllegalFrame("a reliable record without its delivery number")
    return _NUMBER.unpack_from(body)[0], body[_NUMBER.size :]


def total(plain_bytes: int) -> bytes:
    """Return what ends the body of a last record."""
    return _TOTAL.pack(plain_bytes)


def total_of(body: memoryview) -> tuple[int, memoryview]:
    """Return the plain bytes that a last record states, and the chunk before it."""
    if len(body) < _TOTAL.size:
        raise IllegalFrame("a last record without its total")
    end = len(body) - _TOTAL.size
    return _TOTAL.unpack_from(body, end)[0], body[:end]


def batch(delivery_number: int, parts: list[Buffer]) -> bytes:
    """Return the body of a BATCH: its number, then the parts, which are lengths and values by turns."""
    return b"".join((_NUMBER.pack(delivery_number), *parts))


def batch_items(rest: memoryview) -> list[bytes]:
    """Return the values of a BATCH body, its delivery number taken off."""
    items = []
    data = bytes(rest)  # Parts of bytes are copies that keep nothing else alive, and cost half of what views do.
    start, end = 0, len(data)
    while start < end:
        begin = start + 4
        length = int.from_bytes(data[start:begin], "big")
        start = begin + length
        if not length or start > end:
            raise IllegalFrame("a batch whose lengths do not add up")
        items.append(data[begin:start])
    if not items:
        raise IllegalFrame("an empty batch")
    return items


def expect_length(body: memoryview, length: int) -> None:
    """Raise `IllegalFrame` for a body of another length."""
    if len(body) != length:
        raise IllegalFrame(f"expected a body of {length} bytes, found {len(body)}")


def _with_text(layout: Struct, body: memoryview) -> tuple[Any, ...]:
    if not layout.size <= len(body) <= layout.size + TEXT_BYTES:
        raise IllegalFrame(f"expected a body of {layout.size} bytes and a text of at most {TEXT_BYTES}")
    try:
        return *layout.unpack_from(body), str(body[layout.size :], "utf-8")
    except UnicodeDecodeError:
        raise IllegalFrame("a text that is not UTF-8") from None


def _clipped(text: str) -> bytes:
    """Return a text in UTF-8, cut at a whole character where it is longer than a record takes."""
    return text.encode("utf-8", "replace")[:TEXT_BYTES].decode("utf-8", "ignore").encode()
