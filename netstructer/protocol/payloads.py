"""Payloads: values to messages and back; where encoding and compression meet.  Floor: PROTOCOL.

Law: nothing here changes, so any thread may call it at any time, without a lock.  Spec: protocol.md, "Messages and
streams".

    encode, compose             = encode, compress      out
    read                        = expand, decode        in
    encode_row, compose_row     = encode, compress      out, by way of an outbox
    row                         = expand                in, the value apart
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from netstructer.codec import compression, values
from netstructer.codec.blob import Blob
from netstructer.codec.spool import Spool
from netstructer.codec.types import Types
from netstructer.codec.values import Encoded
from netstructer.errors import BadValue, MessageTooBig, UnsendableValue
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.delivery import MESSAGE_CHARGE
from netstructer.protocol.outgoing import Outgoing, OutgoingBlob, Single, single
from netstructer.protocol.sources import Counted, Room, check_blob_bytes

__all__ = ["Payloads", "Row", "compressed"]

Buffer = bytes | bytearray | memoryview

COPY_BYTES = 4 << 10
SINGLE_BYTES = 64 << 10
MOST_BLOBS = (1 << 16) - 1
"""What a value's first record can state; the peer's credit may pay for fewer."""


class Row(NamedTuple):
    """A durable message: the id of the outbox that it comes from, its row there, and its value's bytes."""

    outbox: bytes
    number: int
    encoded: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Payloads:
    """What both ends of a session allow: its limits, the peer's, the application types, and whether both compress.

    `clock` is what the sources of blobs are watched with, so that slow ones are sent as they come (`Counted`).
    """

    limits: Limits
    peer_limits: Limits
    types: Types
    compressing: bool
    clock: Callable[[], float] | None = None

    def encode(self, value: object) -> Encoded:
        """Return `value` as bytes, checked against everything that the peer would refuse.

        Raises `UnsendableValue`, or `MessageTooBig`.
        """
        encoded = values.encode(value, limits=self.peer_limits, types=self.types)
        if not encoded.blobs:
            return encoded
        most = min(MOST_BLOBS, self.peer_limits.credit_bytes // 2 // MESSAGE_CHARGE - 1)
        if len(encoded.blobs) > most:
            raise UnsendableValue(f"a value takes at most {most} blobs there, this one has {len(encoded.blobs)}")
        check_blob_bytes(sum(blob.size or 0 for blob in encoded.blobs), self.peer_limits.message_bytes)
        return encoded

    def single(self, encoded: Encoded, *, compress: bool = True) -> Single | None:
        """Return the payload of a value that may fit into one record, compressed if that pays; None for any other."""
        if encoded.blobs or encoded.plain_bytes > SINGLE_BYTES:
            return None
        buffers = encoded.buffers
        if encoded.plain_bytes < compression.LEAST_BYTES and len(buffers) == 1:
            return single((compression.NONE, buffers[0], encoded.plain_bytes))
        codec, pieces = compressed(buffers, encoded.plain_bytes, compress=compress and self.compressing)
        return Single(codec, b"".join(pieces), encoded.plain_bytes)

    def compose(
        self, encoded: Encoded, *, compress: bool = True, flags: int = 0, source_seconds: float | None = None
    ) -> Outgoing:
        """Return an encoded value as a message to queue, its bytes compressed as they are pulled.

        `source_seconds` is the longest wait for the next bytes of a blob that is itself arriving on a link.
        """
        compress = compress and self.compressing
        codec, pieces = compressed(encoded.buffers, encoded.plain_bytes, compress=compress)
        outgoing = Outgoing(pieces, codec=codec, plain_bytes=encoded.plain_bytes, flags=flags)
        room = Room(self.peer_limits.message_bytes, sum(blob.size or 0 for blob in encoded.blobs))
        for blob in encoded.blobs:
            unknown = blob.size is None
            chunks = blob.chunks(timeout=source_seconds)
            source = Counted(chunks, room if unknown else None, plain_bytes=blob.size, clock=self.clock)
            outgoing.add_blob(OutgoingBlob(_opening(source, blob.size, compress), plain_bytes=blob.size))
        return outgoing

    def encode_row(self, value: object) -> bytes:
        """Return the bytes of a value that is to wait in an outbox, checked as `encode` does.

        Raises `UnsendableValue` for a value with blobs, and `MessageTooBig`.
        """
        encoded = values.encode(value, limits=self.peer_limits, types=self.types)
        if encoded.blobs:
            raise UnsendableValue(
                "a durable message takes no Blob, whose bytes would not be in the outbox: put bytes into the value "
                "itself, or send the file in a conversation of its own and its name durably"
            )
        self._check_row(encoded.plain_bytes)
        return b"".join(encoded.buffers)

    def compose_row(self, row: Row, *, compress: bool = True, flags: int = 0) -> Outgoing:
        """Return a row of an outbox as a message to queue.  Raises `MessageTooBig` for this peer."""
        self._check_row(len(row.encoded), f"row {row.number} of the outbox")
        parts, plain_bytes = (bodies.row(*row[:2]), row.encoded), bodies.ROW_BYTES + len(row.encoded)
        codec, pieces = compressed(parts, plain_bytes, compress=compress and self.compressing)
        outgoing = Outgoing(pieces, codec=codec, plain_bytes=plain_bytes, flags=flags)
        outgoing.durable = True
        return outgoing

    def _check_row(self, encoded_bytes: int, what: str = "a durable message") -> None:
        if (found := encoded_bytes + bodies.ROW_BYTES) > self.peer_limits.value_bytes:
            text = f"{what} of {found} bytes is over the {self.peer_limits.value_bytes} of the peer"
            raise MessageTooBig(text, limit=self.peer_limits.value_bytes, found=found)

    def row(self, message: Message) -> Row:
        """Return what a durable message says, its value still encoded; it can be asked for again.

        Raises `BadCompression`, and `BadValue` for a row that no outbox has.
        """
        plain = memoryview(b"".join(_expanded(message, _kept(message.chunks))))
        outbox, number = bodies.row_of(plain)
        if not number:
            raise BadValue("a durable message from row 0 of an outbox, which none has")
        return Row(outbox, number, bytes(plain[bodies.ROW_BYTES :]))

    def value(self, row: Row) -> object:
        """Return the value of a durable message.  Raises `BadValue`."""
        return values.decode(row.encoded, limits=self.limits, types=self.types)

    def read(self, message: Message | Whole, blob_of: Callable[[Message, int], Blob]) -> object:
        """Return the value of a message: its bytes expanded, then decoded, within this end's limits.

        `blob_of(message, place)` returns a blob of it, which may still be coming.

        Raises `BadValue`, which is this message's affair alone, or `BadCompression`, which ends the session.
        """
        if isinstance(message, Whole):
            if message.codec != compression.NONE:
                plain = compression.expand_block(message.chunks[0], message.plain_bytes)
                return values.decode(_plain(message) if plain is None else plain, limits=self.limits, types=self.types)
            # A copy of a small chunk costs less than to decode from a view of it.
            chunk = message.chunks[0]
            small = bytes(chunk) if len(chunk) <= COPY_BYTES else chunk
            return values.decode_value(small, self.limits, self.types, ())
        if message.durable:
            try:
                return self.value(self.row(message))
            finally:
                message.chunks.close()
        blobs = _Blobs(message, blob_of) if isinstance(message, Message) and message.blob_count else ()
        try:
            return values.decode(_plain(message), limits=self.limits, types=self.types, blobs=blobs)
        finally:
            message.chunks.close()


class _Blobs(Sequence[Blob]):
    """The blobs of a message, each made when the value refers to it: what a head states costs nothing."""

    def __init__(self, message: Message, blob_of: Callable[[Message, int], Blob]) -> None:
        self._message, self._blob_of = message, blob_of

    def __len__(self) -> int:
        return self._message.blob_count

    def __getitem__(self, place: Any) -> Any:
        return self._blob_of(self._message, place)


def compressed(pieces: Iterable[Buffer], plain_bytes: int | None, *, compress: bool) -> tuple[int, Iterable[Buffer]]:
    """Return a codec byte and the payload under it; `compression.compress`, or nothing where that is off."""
    return compression.compress(pieces, plain_bytes) if compress else (compression.NONE, pieces)


def _opening(
    source: Counted, plain_bytes: int | None, compress: bool
) -> Callable[[], tuple[int, Iterable[Buffer], Counted]]:
    def begin() -> tuple[int, Iterable[Buffer], Counted]:
        return *compressed(source, plain_bytes, compress=compress), source

    return begin


def _plain(message: Message | Whole) -> Iterable[Buffer]:
    return _expanded(message, message.chunks)


def _expanded(message: Message | Whole, chunks: Iterable[Buffer]) -> Iterable[Buffer]:
    if message.codec == compression.NONE:
        return chunks
    return compression.expand(chunks, plain_bytes=message.plain_bytes, stated=message.stated)


def _kept(spool: Spool) -> Iterator[Buffer]:
    """Yield what a spool holds, and leave it there."""
    position = spool.start
    while position < spool.byte_count:
        piece = spool.read(position, spool.byte_count - position)
        yield piece
        position += len(piece)
