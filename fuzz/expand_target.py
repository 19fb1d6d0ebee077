"""Expansion: any bytes as a zstd frame give what was declared or are refused; any bytes compress and come back."""

from __future__ import annotations

from netstructer.codec.compression import BLOCK_BYTES, NONE, compress, expand
from netstructer.errors import BadCompression

DECLARED = (0, 1, 600, 200_000, 1 << 30, 1 << 62)


def seeds() -> list[bytes]:
    """Return frames that state their length and frames that do not, of one block and of several, and a bomb."""
    plains = [b"text " * 120, bytes(200_000), bytes(range(256)) * 800]
    made = [b"".join(compress([plain], size)[1]) for plain in plains for size in (len(plain), None)]
    blocks = b"".join((BLOCK_BYTES << 3 | 2 | (place == 99)).to_bytes(3, "little") + b"\0" for place in range(100))
    return [*made, b"\x28\xb5\x2f\xfd\x04\x50" + blocks + bytes(4), plains[0], b""]


def one(data: bytes) -> None:
    """Expand the bytes as a frame, under several declared lengths; compress them, and expand that."""
    step = 1 + len(data) // 7
    pieces = [data[place : place + step] for place in range(0, len(data), step)]
    for stated in (True, False):
        for declared in DECLARED:
            _expand(pieces, declared, stated)

    for size in (len(data), None):
        codec, packed = compress(pieces, size)
        payload = list(packed)
        plain = payload if codec == NONE else expand(payload, plain_bytes=len(data), stated=size is not None)
        assert b"".join(plain) == data


def _expand(pieces: list[bytes], declared: int, stated: bool) -> None:
    produced = 0
    try:
        for plain in expand(pieces, plain_bytes=declared, stated=stated):
            produced += len(plain)
            assert len(plain) <= BLOCK_BYTES
            assert produced <= declared
            if produced > 8 << 20:
                return  # within what was declared: how much that may be is the caller's business
    except BadCompression:
        return
    assert produced == declared
