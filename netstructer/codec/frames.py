"""A token to the wire and back: a four-byte length, then the token.  Floor: CODEC.  Law: refuse before you wait.

Spec: protocol.md, "Frames".  A frame's length is checked as soon as its four bytes are there: it must be one that a
token can have (of Fernet's 9 more than a multiple of 16: 57 bytes around whole AES blocks), and within what the state
allows.  Only then is the body waited for, so a stranger cannot make this end reserve memory by stating a length.

`FrameReader` owns one buffer that is used again and again: the transport receives straight into `space()`.  Of a long
frame it asks for the rest and for the length of the next one, and no more: so each comes to lie at the buffer's
beginning, which is in the processor's cache, and nothing of the next one has to be moved there.
"""

from __future__ import annotations

from struct import Struct

from netstructer.errors import BadFrame, FrameTooBig

__all__ = ["LENGTH_BYTES", "FrameReader", "joined", "pack"]

Buffer = bytes | bytearray | memoryview

_LENGTH = Struct(">I")
_pack_length, _read_length = _LENGTH.pack, _LENGTH.unpack_from
LENGTH_BYTES = _LENGTH.size
"""What a frame adds to its token."""
LEAST_TOKEN_BYTES = 89
"""57 bytes of Fernet, one block of header, one block of body or padding."""
TOKEN_STEP_BYTES = 16
"""By a whole block the lengths of Fernet tokens are apart."""
SMALL_BUFFER_BYTES = 4 << 10
"""What an idle link keeps."""
READ_AHEAD_BYTES = 256 << 10
"""What a busy link keeps: a few records in one system call."""
ALONE_BYTES = 128 << 10
"""A longer frame is received by itself: the system call is paid by then, and to move what follows it is not."""
JOIN_BYTES = 4 << 10
"""Below this a copy is cheaper than a second buffer in the system call."""


def pack(token: Buffer) -> tuple[Buffer, ...]:
    """Return the buffers that carry `token` on the wire, in order."""
    if len(token) <= JOIN_BYTES:
        return (joined(token),)
    return len(token).to_bytes(LENGTH_BYTES, "big"), token


def joined(token: Buffer) -> bytes:
    """Return the frame of a small token as one buffer."""
    return _pack_length(len(token)) + token


class FrameReader:
    """Bytes in, in any split; tokens out.  Single owner.

    Fill `space()` and say how much with `filled(count)`, or hand over bytes with `feed(data)`; then take tokens with
    `next_token()` until it returns None.  A token is a view into the buffer, good until the next call.

    `least_bytes` is the length of the shortest token, `step_bytes` by how much their lengths are apart.
    """

    __slots__ = ("_buffer", "_end", "_least", "_start", "_step", "_view", "limit_bytes", "more", "received_bytes")

    def __init__(
        self, limit_bytes: int, *, least_bytes: int = LEAST_TOKEN_BYTES, step_bytes: int = TOKEN_STEP_BYTES
    ) -> None:
        self.limit_bytes = limit_bytes
        """Longest token that is legal now."""
        self._least, self._step = least_bytes, step_bytes
        self._buffer = bytearray(SMALL_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self.more = False
        """Whether there are bytes behind the token that was taken last."""
        self.received_bytes = 0
        """All that came in."""

    @property
    def held_bytes(self) -> int:
        """How much of a frame not yet complete is held."""
        return self._end - self._start

    def space(self) -> memoryview:
        """Return where received bytes go: never empty."""
        if self._start == self._end:
            if self._end:
                self._start = self._end = 0
            return self._view
        wanted = self._wanted()
        if self._end == len(self._buffer) or wanted > len(self._buffer) - self._start:
            self._make_room(max(wanted, self.held_bytes + 1))
        if self.held_bytes < wanted > ALONE_BYTES:
            return self._view[self._end : self._start + wanted + LENGTH_BYTES]
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """Take in that `count` bytes were received into `space()`."""
        self._end += count
        self.received_bytes += count

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take in a copy of `data`, of any length."""
        count = len(data)
        if count > len(self._buffer) - self._end:
            self._make_room(self.held_bytes + count)
        end = self._end + count
        self._view[self._end : end] = data
        self._end = end
        self.received_bytes += count

    def next_token(self) -> memoryview | None:
        """Return the next whole token, or None where more bytes are needed.

        Raises `BadFrame` for a length that no token has, `FrameTooBig` for one over the limit.
        """
        start, view = self._start, self._view
        body = start + LENGTH_BYTES
        if body > self._end:
            return None
        (length,) = _read_length(view, start)
        if length > self.limit_bytes:
            raise FrameTooBig(
                f"expected a frame of at most {self.limit_bytes} bytes, found {length}",
                limit=self.limit_bytes,
                found=length,
            )
        beyond = length - self._least
        if beyond < 0 or beyond % self._step:
            raise BadFrame(f"no token has a length of {length} bytes")
        end = body + length
        if end > self._end:
            return None
        self._start = end
        self.more = end < self._end
        return view[body:end]

    def shrink(self) -> None:
        """Give memory back where nothing is held: for a link that has gone idle."""
        if self._start == self._end and len(self._buffer) > SMALL_BUFFER_BYTES:
            self._replace(SMALL_BUFFER_BYTES)

    def _wanted(self) -> int:
        """How long the buffer must be to hold the frame that has begun: never longer than what is legal."""
        if self.held_bytes < LENGTH_BYTES:
            return LENGTH_BYTES
        stated = int.from_bytes(self._view[self._start : self._start + LENGTH_BYTES], "big")
        return LENGTH_BYTES + min(stated, self.limit_bytes)

    def _make_room(self, wanted: int) -> None:
        if wanted <= len(self._buffer):
            self._view[: self.held_bytes] = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, self.held_bytes
        else:
            self._replace(max(wanted + LENGTH_BYTES, READ_AHEAD_BYTES))

    def _replace(self, size: int) -> None:
        fresh = bytearray(size)
        held = self.held_bytes
        fresh[:held] = self._view[self._start : self._end]
        self._buffer, self._view = fresh, memoryview(fresh)
        self._start, self._end = 0, held
