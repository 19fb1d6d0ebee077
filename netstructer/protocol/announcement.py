"""An announcement: one value for many links, encoded and compressed once.  Floor: PROTOCOL.

Law: what is shared is never changed.  The payload is made when the first link asks, and every link gets the same one;
sealing is each link's own.
"""

from __future__ import annotations

from netstructer.codec.values import Encoded
from netstructer.limits import Limits
from netstructer.protocol.lanes import Outgoing, Single, check_blob_bytes
from netstructer.protocol.payloads import compressed
from netstructer.protocol.session import Session

__all__ = ["Announcement"]

Buffer = bytes | bytearray | memoryview
Body = tuple[int, list[Buffer], int]
"""Codec, pieces, plain bytes."""


class Announcement:
    """One value on its way to many links.  Single owner: the thread that announces it."""

    def __init__(self, value: object, *, compress: bool) -> None:
        self._value = value
        self._compress = compress
        self._encoded: Encoded | None = None
        self._checked: list[Limits] = []
        self._pieces: list[list[Buffer]] = []
        self._singles: dict[bool, Single | None] = {}
        self._bodies: dict[bool, list[Body]] = {}

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
        if not self._pieces:
            # A blob's source may be one that can be read only once.
            self._pieces = [[_own(piece) for piece in encoded.buffers]]
            self._pieces.extend([_own(piece) for piece in blob.chunks()] for blob in encoded.blobs)
        if compress not in self._bodies:
            self._bodies[compress] = [_body(pieces, compress) for pieces in self._pieces]
        blob_bytes = sum(plain_bytes for _, _, plain_bytes in self._bodies[compress][1:])
        check_blob_bytes(blob_bytes, session.peer_limits.message_bytes)
        value, *blobs = (
            Outgoing(pieces, codec=codec, plain_bytes=plain_bytes)
            for codec, pieces, plain_bytes in self._bodies[compress]
        )
        for blob in blobs:
            value.add_blob(blob)
        return value

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


def _body(pieces: list[Buffer], compress: bool) -> Body:
    plain_bytes = sum(map(len, pieces))
    codec, sealed = compressed(pieces, plain_bytes, compress=compress)
    return codec, list(sealed), plain_bytes
