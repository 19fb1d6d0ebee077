"""Frames: whatever bytes come, in whatever split, the same tokens or the same documented error.

An input is what comes from the wire.  Tokens that are whole are read as records under the key, and one input in 4 is
the plaintext of a record under a good seal.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from fuzz.splits import draw, pieces
from netstructer.codec.frames import FrameReader, pack
from netstructer.codec.tokens import Sealer, sealed_bytes
from netstructer.errors import BadFrame, FrameTooBig, NetstructerError, PeerFault
from netstructer.limits import Limits
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.records import HEADER, HEADER_BYTES, RecordReader, RecordWriter
from netstructer.protocol.states import Kind

SECRET = bytes(range(1, 33))
LEAST, LIMIT = sealed_bytes(HEADER_BYTES + 1), sealed_bytes(HEADER_BYTES + 4096)
HELD_BYTES = 256 << 10
"""What a reader may hold beside what it was given in one piece."""
SEALER = Sealer(Ratchet(SECRET).key)


@cache
def seeds() -> list[bytes]:
    """Return streams of frames as an honest end seals them, and ones whose record or padding is at an edge."""
    writer = RecordWriter(SECRET, Limits.DEFAULT, 0.0)
    writer._sealer._draw = bytes  # the same tokens in each process: one that makes them may not be the one that reads
    tokens = [writer.write(Kind.PING, 0, 0, b"12345678", seconds=1)]
    tokens += [writer.write(Kind.DATA, 3, 1, bytes(size), seconds=1, pad_bytes=size) for size in (0, 1, 100, 1500)]
    tokens.append(writer.rekey(seconds=1, now=0.0))
    wires = [b"".join(pack(token)) for token in tokens]
    return [b"".join(wires), *wires, b"\0\0\0\x59", b"\xff" * 8, b"\0\0\0\x59" + bytes(89) * 3]


def one(data: bytes) -> None:
    """Read the bytes as frames, whole and in a split; the tokens as records; or as the plaintext of a record."""
    tokens, fault = _frames((data,))
    assert all(LEAST <= len(token) <= LIMIT and len(token) % 16 == 9 for token in tokens), "no token has that length"
    assert _frames(pieces(data)) == (tokens, fault), "the split makes a difference"
    if tokens:
        _records(tokens)
    if draw(data) & 3 == 0:
        _plaintext(data)


def _frames(parts: Iterable[bytes]) -> tuple[list[bytes], tuple[type, str] | None]:
    reader, found, longest = FrameReader(LIMIT), list[bytes](), 0
    try:
        for part in parts:
            longest = max(longest, len(part))
            space = reader.space()
            if len(part) <= len(space):
                space[: len(part)] = part
                reader.filled(len(part))
            else:
                reader.feed(part)
            while (token := reader.next_token()) is not None:
                found.append(bytes(token))
    except (BadFrame, FrameTooBig) as error:
        return found, (type(error), str(error))
    assert len(reader._buffer) <= max(HELD_BYTES, longest + LIMIT)
    return found, None


def _records(tokens: list[bytes]) -> None:
    records = RecordReader(SECRET, 0.0)
    try:
        for token in tokens:
            if records.read(token).kind == Kind.REKEY:
                records.rekey(0.0)
    except NetstructerError:
        return
    honest = seeds()[0]
    assert all(token in honest for token in tokens), "a forged record was taken"


def _plaintext(data: bytes) -> None:
    try:
        record = RecordReader(SECRET, 0.0).read(SEALER.seal(data, 0))
    except PeerFault:
        return
    sequence, kind, flags, pad_bytes, stream = HEADER.unpack_from(data)
    assert (sequence, kind, flags, stream) == (0, record.kind, record.flags, record.stream)
    assert data[HEADER_BYTES:] == bytes(record.body) + bytes(pad_bytes)
