"""An announcement: one value for many links, encoded and compressed once.  Floor: PROTOCOL.

Law: what is shared is never changed.  The chunks are made when the first link asks, and every link gets the same ones;
sealing is each link's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from netstructer.codec.values import Encoded
from netstructer.limits import Limits
from netstructer.protocol.lanes import Outgoing
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
        self._encoded: dict[Limits, Encoded] = {}
        self._bodies: dict[bool, list[Body]] = {}

    def outgoing(self, session: Session) -> Outgoing:
        """Return the message for one link.  Raises `UnsendableValue`, or `MessageTooBig` for what this peer would
        refuse.
        """
        encoded = self._encoded.get(session.peer_limits)
        if encoded is None:
            encoded = self._encoded[session.peer_limits] = session.payloads.encode(self._value)
        compress = self._compress and session.payloads.compressing
        if compress not in self._bodies:
            plain: list[tuple[Iterable[Buffer], int | None]] = [(encoded.buffers, encoded.plain_bytes)]
            plain.extend((blob.chunks(), blob.size) for blob in encoded.blobs)
            self._bodies[compress] = [_body(pieces, size, compress) for pieces, size in plain]
        value, *blobs = (
            Outgoing(pieces, codec=codec, plain_bytes=plain_bytes)
            for codec, pieces, plain_bytes in self._bodies[compress]
        )
        for blob in blobs:
            value.add_blob(blob)
        return value


def _body(pieces: Iterable[Buffer], size: int | None, compress: bool) -> Body:
    held = list(pieces)
    plain_bytes = sum(map(len, held)) if size is None else size
    codec, sealed = compressed(held, plain_bytes, compress=compress)
    return codec, list(sealed), plain_bytes
