"""Frames and records: whatever bytes come, in whatever split, the same tokens or the same documented error."""

from __future__ import annotations

from netstructer.codec.frames import FrameReader, pack
from netstructer.codec.tokens import Sealer, sealed_bytes
from netstructer.errors import NetstructerError, PeerFault
from netstructer.limits import Limits
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.records import HEADER, HEADER_BYTES, RecordReader, RecordWriter
from netstructer.protocol.states import Kind

SECRET = bytes(range(32))
LIMIT = sealed_bytes(HEADER_BYTES + 4096)


def seeds() -> list[bytes]:
    """Return streams of frames as an honest end seals them, and ones whose record or padding is at an edge."""
    writer = RecordWriter(SECRET, Limits.DEFAULT, 0.0)
    tokens = [writer.write(Kind.PING, 0, 0, b"12345678", seconds=1)]
    tokens += [writer.write(Kind.DATA, 3, 1, bytes(size), seconds=1, pad_bytes=size) for size in (0, 1, 100, 1500)]
    tokens.append(writer.rekey(seconds=1, now=0.0))
    wires = [b"".join(pack(token)) for token in tokens]
    return [b"".join(wires), *wires, b"\0\0\0\x59", b"\xff" * 8, b"\0\0\0\x59" + bytes(89) * 3]


def one(data: bytes) -> None:
    """Read the bytes as frames, whole and in two splits, and as the plaintext of a record under a good seal."""
    whole = _read([data])
    assert _read([data[place : place + 1] for place in range(min(len(data), 2000))] + [data[2000:]]) == whole
    step = 1 + (data[0] if data else 0)
    assert _read([data[place : place + step] for place in range(0, len(data), step)]) == whole

    reader = RecordReader(SECRET, 0.0)
    try:
        record = reader.read(Sealer(Ratchet(SECRET).key).seal(data, 0))
    except PeerFault:
        return
    sequence, kind, flags, pad_bytes, stream = HEADER.unpack_from(data)
    assert (sequence, kind, flags, stream) == (0, record.kind, record.flags, record.stream)
    assert data[HEADER_BYTES:] == bytes(record.body) + bytes(pad_bytes)


def _read(pieces: list[bytes]) -> list[object]:
    reader, records, found = FrameReader(LIMIT), RecordReader(SECRET, 0.0), []
    try:
        for piece in pieces:
            space = reader.space()
            if len(piece) <= len(space):
                space[: len(piece)] = piece
                reader.filled(len(piece))
            else:
                reader.feed(piece)
            while (token := reader.next_token()) is not None:
                found.append(bytes(token))
                record = records.read(token)
                found.append((record.kind, record.flags, record.stream, bytes(record.body)))
                if record.kind == Kind.REKEY:
                    records.rekey(0.0)
    except NetstructerError as error:
        found.append((type(error), str(error)))
    assert len(reader._buffer) <= max(256 << 10, len(b"".join(pieces)))
    return found
