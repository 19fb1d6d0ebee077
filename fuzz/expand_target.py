"""Expansion: any bytes as a zstd frame give what was declared or are refused; any bytes compress and come back.

Each input is expanded under one of several declared lengths, whole and in a split: the same plain bytes, or the same
refusal; and what goes the short way goes the long one too.  One input in 4 is compressed as well.
"""

from __future__ import annotations

from functools import cache

from fuzz.splits import draw, pieces
from netstructer.codec.compression import BLOCK_BYTES, NONE, compress, expand, expand_block
from netstructer.errors import BadCompression

DECLARED = (0, 1, 600, 200_000, 1 << 30, 1 << 62, None, None)
"""None: the length that the frame turned out to have, so that it is taken if it is sound."""
MOST_PLAIN_BYTES = 300_000
"""How far a frame is followed, within what was declared: how much that may be is the caller's business."""


@cache
def seeds() -> list[bytes]:
    """Return frames that state their length and frames that do not, of one block and of several, and a bomb."""
    plains = [b"text " * 120, bytes(150_000), bytes(range(256)) * 8]
    made = [b"".join(compress([plain], size)[1]) for plain in plains for size in (len(plain), None)]
    blocks = b"".join((BLOCK_BYTES << 3 | 2 | (place == 99)).to_bytes(3, "little") + b"\0" for place in range(100))
    return [*made, b"\x28\xb5\x2f\xfd\x04\x50" + blocks + bytes(4), plains[0], b""]


def one(data: bytes) -> None:
    """Expand the bytes as a frame, whole and in a split; compress them, and expand that."""
    chance = draw(data)
    declared, stated = DECLARED[chance & 7], bool(chance & 8)
    if declared is None:
        produced, _, _ = _expand([data], None, stated=False)
        declared = sum(map(len, produced))
    whole, fault, cut = _expand([data], declared, stated)
    split, fault_in_pieces, cut_in_pieces = _expand(pieces(data), declared, stated)
    assert fault == fault_in_pieces, f"the split makes a difference: {fault!r}, {fault_in_pieces!r}"
    assert cut == cut_in_pieces
    assert cut or b"".join(whole) == b"".join(split), "the split makes a difference"
    assert fault or cut or sum(map(len, whole)) == declared
    short = expand_block(data, declared) if stated else None
    assert short is None or (not fault and short == b"".join(whole)), "the short way makes a difference"
    if chance & 0x30 == 0:
        _there_and_back(pieces(data), len(data) if chance & 0x40 else None)


def _there_and_back(parts: list[bytes], size: int | None) -> None:
    data = b"".join(parts)
    codec, packed = compress(parts, size)
    payload = list(packed)
    plain = payload if codec == NONE else expand(payload, plain_bytes=len(data), stated=size is not None)
    assert b"".join(plain) == data


def _expand(parts: list[bytes], declared: int | None, stated: bool) -> tuple[list[bytes], str, bool]:
    """Return what was produced, the refusal, and whether more would have come than is of interest."""
    found, produced = list[bytes](), 0
    try:
        for plain in expand(parts, plain_bytes=declared, stated=stated):
            produced += len(plain)
            assert len(plain) <= BLOCK_BYTES
            assert declared is None or produced <= declared
            found.append(plain)
            if produced > MOST_PLAIN_BYTES:
                return found, "", True
    except BadCompression as error:
        return found, str(error) or "refused", False
    return found, "", False
