"""Bombs that are a frame of zstd: what expansion is thrown (bombs.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import zstandard

from bombs import MIB, Bomb
from netstructer import Limits
from netstructer.codec.compression import BLOCK_BYTES, expand
from netstructer.errors import BadCompression
from spelled import LARGE

__all__ = ["EXPANSIONS", "block", "frame", "shrunk"]

MAGIC = b"\x28\xb5\x2f\xfd"


def unpack(thing: tuple[bytes, int | None, bool], limits: Limits) -> object:
    """The door of every compressed message: expand it, and hold on to nothing."""
    payload, plain_bytes, stated = thing
    pieces = (payload[start : start + 65_536] for start in range(0, len(payload), 65_536))
    return sum(map(len, expand(pieces, plain_bytes=plain_bytes, stated=stated)))


def block(kind: int, size: int, body: bytes, *, last: bool = False) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + body


def frame(*blocks: bytes, size: int | None = None, flags: int = 0x04, window: bytes = b"\x50") -> bytes:
    """Return a frame made by hand; with its content size, where there is one, in 8 bytes and no window."""
    head = bytes((flags,)) + window if size is None else bytes((flags | 0xE0,)) + size.to_bytes(8, "little")
    return MAGIC + head + b"".join(blocks) + bytes(4)


def shrunk(plain_bytes: bytes) -> bytes:
    """Compress as a sender of ours does, and harder."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        19, window_log=20, write_checksum=True, write_content_size=True
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(plain_bytes)


def squeezed(size: int) -> bytes:
    """Compress so many zeros."""
    return shrunk(bytes(size))


def _expansion(
    name: str,
    make: Callable[[], tuple[bytes, int | None, bool]],
    error: type[BaseException] | None = BadCompression,
    **more: Any,
) -> Bomb:
    more.setdefault("most_bytes", lambda limits: 0)
    return Bomb(name, "zstd", unpack, lambda limits: make(), error, **more)


def _expansions() -> Iterable[Bomb]:
    run = block(1, BLOCK_BYTES, b"\0")
    yield _expansion("100 MiB of zeros, stated as 1 MiB", lambda: (squeezed(100 * MIB), MIB, True))
    yield _expansion("a GiB of runs, 32 KB, stated as 1 MiB", lambda: (frame(run * 8192, size=MIB), MIB, True))
    yield _expansion("a GiB of runs, of no stated length", lambda: (frame(run * 8192), 4 * MIB, False))
    for power in (30, 36, 40, 50, 62):
        yield _expansion(
            f"17 bytes that claim 2^{power}",
            lambda power=power: (frame(block(0, 0, b"", last=True), size=1 << power), 1 << power, True),
        )
        yield _expansion(
            f"17 bytes that claim 2^{power} of 1 MiB",
            lambda power=power: (frame(block(0, 0, b"", last=True), size=1 << power), MIB, True),
        )
    yield _expansion("a second frame", lambda: (squeezed(MIB) * 2, MIB, True))
    yield _expansion("15 MiB behind the frame", lambda: (squeezed(MIB) + bytes(LARGE), MIB, True))
    yield _expansion("a frame cut short", lambda: (squeezed(MIB)[:-5], MIB, True))
    yield _expansion("a frame cut in its header", lambda: (squeezed(MIB)[:7], MIB, True))
    yield _expansion("a window of 128 MiB", lambda: (frame(run * 9, window=b"\x88"), 9 * BLOCK_BYTES, False))
    yield _expansion("a window of 3 TiB", lambda: (frame(run * 9, window=b"\xff"), 9 * BLOCK_BYTES, False))
    yield _expansion("a million empty blocks", lambda: (frame(block(0, 0, b"") * 1_000_000), MIB, False))
    yield _expansion(
        "a skippable frame of 4 GiB", lambda: (b"\x50\x2a\x4d\x18\xff\xff\xff\xff" + bytes(MIB), MIB, True)
    )
    yield _expansion("a block of a reserved kind", lambda: (frame(block(3, 100, bytes(100))), MIB, False))
    yield _expansion("a block of 2 MiB", lambda: (frame(block(0, 2 * MIB - 1, bytes(2 * MIB))), 2 * MIB, False))
    yield _expansion("a dictionary", lambda: (MAGIC + b"\x07\x50" + b"\1\2\3\4" + run, MIB, False))
    yield _expansion("no checksum", lambda: (frame(run, flags=0), BLOCK_BYTES, False))
    yield _expansion(
        "a table of huffman codes that lies", lambda: (frame(block(2, 9, b"\xff" * 9, last=True)), MIB, False)
    )


EXPANSIONS = list(_expansions())
