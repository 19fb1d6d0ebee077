"""An announcement: one value for many links, encoded and compressed once.  Floor: PROTOCOL.

Law: what is shared is never changed.  The payload is made when the first link asks, and every link gets the same one;
sealing is each link's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from netstructer.codec.compression import NONE
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.codec.values import Encoded
from netstructer.limits import Limits
from netstructer.protocol.outgoing import Outgoing, OutgoingBlob, Single
from netstructer.protocol.payloads import compressed
from netstructer.protocol.session import Session
from netstructer.protocol.sources import Counted, check_blob_bytes

__all__ = ["Announcement"]

Buffer = bytes | bytearray | memoryview
READ_BYTES = 64 << 10
"""What is read at once of a blob that is kept for many links: one record's worth."""


class _Kept:
    """The bytes of a blob, kept in a spool to be read once for each link."""

    def __init__(self, pieces: Iterable[Buffer], room: SpoolRoom) -> None:
        self._spool = Spool(room)
        for piece in pieces:
            self._spool.add(_own(piece))
        self.byte_count = self._spool.byte_count

    def __iter__(self) -> Iterator[Buffer]:
        position = 0
        while position < self.byte_count:
            piece = self._spool.read(position, READ_BYTES)
            position += len(piece)
            yield piece


Pieces = list[Buffer] | _Kept
Body = tuple[int, Pieces, int]
"""Codec, payload, plain bytes."""


class Announcement:
    """One value on its way to many links.  Single owner: the thread that announces it."""

    def __init__(self, value: object, *, compress: bool) -> None:
        self._value = value
        self._compress = compress
        self._encoded: Encoded | None = None
        self._checked: list[Limits] = []
        self._room: SpoolRoom | None = None
        self._pieces: list[Pieces] = []
        self._singles: dict[bool, Single | None] = {}
        self._bodies: dict[bool, list[Body]] = {}

    def prepare(self, session: Session) -> None:
        """Read the sources of the blobs, as a link with these limits may have them, before any link waits for them.

        Raises what a source raises, `SpoolFull`, and as `single` does.
        """
        encoded = self._encode(session)
        if encoded.blobs:
            self._keep(encoded, session)

    def single(self, session: Session) -> Single | None:
        """Return the payload that may fit into one record of this link; None where it is none.

        Raises `UnsendableValue`, or `MessageTooBig` for what this peer would refuse.
        """
        encoded = self._encode(session)
        compress = self._compress and session.payloads.compressing
        if compress not in self._singles:
            self._singles[compress] = session.payloads.single(encoded, compress=compress)
        return self._singles[compress]

    def outgoing(self, session: Session) -> Outgoing:
        """Return the message for one link.  Raises as `single` does."""
        encoded = self._encode(session)
        compress = self._compress and session.payloads.compressing
        room = self._keep(encoded, session)
        if compress not in self._bodies:
            self._bodies[compress] = [_body(pieces, compress, room) for pieces in self._pieces]
        (codec, payload, plain_bytes), *blobs = self._bodies[compress]
        check_blob_bytes(sum(body[2] for body in blobs), session.peer_limits.message_bytes)
        value = Outgoing(payload, codec=codec, plain_bytes=plain_bytes)
        for body in blobs:
            value.add_blob(OutgoingBlob(_opening(body), plain_bytes=body[2], inline=True))
        return value

    def _keep(self, encoded: Encoded, session: Session) -> SpoolRoom:
        """Read every source once, unless that is done; return the room of what was read."""
        room = self._room = self._room or SpoolRoom(session.limits)
        if not self._pieces:
            # A blob's source may be one that can be read only once, and one that waits.
            kept = [_Kept(Counted(blob.chunks()), room) for blob in encoded.blobs]
            self._pieces = [[_own(piece) for piece in encoded.buffers], *kept]
        return room

    def _encode(self, session: Session) -> Encoded:
        """Encode once; once more only to check against other limits."""
        limits = session.peer_limits
        if self._encoded is None or limits not in self._checked:
            self._encoded = session.payloads.encode(self._value)
            self._checked.append(limits)
        return self._encoded


def _own(piece: Buffer) -> Buffer:
    """Return a piece that nobody can change: an announcement is still being sent when its caller goes on."""
    changeable = isinstance(piece, bytearray) or (isinstance(piece, memoryview) and not isinstance(piece.obj, bytes))
    return bytes(piece) if changeable else piece


def _body(pieces: Pieces, compress: bool, room: SpoolRoom) -> Body:
    if isinstance(pieces, list):
        plain_bytes = sum(map(len, pieces))
        codec, payload = compressed(pieces, plain_bytes, compress=compress)
        return codec, list(payload), plain_bytes
    codec, payload = compressed(pieces, pieces.byte_count, compress=compress)
    return codec, pieces if codec == NONE else _Kept(payload, room), pieces.byte_count


def _opening(body: Body) -> Callable[[], tuple[int, Iterable[Buffer], Counted]]:
    codec, payload, plain_bytes = body

    def begin() -> tuple[int, Iterable[Buffer], Counted]:
        counted = Counted(())
        counted.byte_count = plain_bytes
        return codec, payload, counted

    return begin
