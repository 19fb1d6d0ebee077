"""Source: a run of bytes out of many chunks, whole, in a type of its own, and in memory once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from netstructer.codec import source as source_module
from netstructer.codec.refusals import Malformed
from netstructer.codec.source import JOIN_BYTES, Source

PATTERN = bytes(range(256)) * 4096


def chunks(size: int, piece_bytes: int) -> Iterator[memoryview]:
    for start in range(0, size, piece_bytes):
        begin = start % len(PATTERN)
        yield memoryview(PATTERN)[begin : begin + min(piece_bytes, size - start)]


@pytest.mark.parametrize("mutable", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100, 1 << 20, JOIN_BYTES, JOIN_BYTES + 1, JOIN_BYTES * 2 - 5])
def test_a_run_comes_whole_and_what_follows_it_is_left(size: int, mutable: bool) -> None:
    pieces = [*chunks(size, 1 << 16), b"behind", b"more"]
    found, rest = Source(pieces, 1 << 30).take(b"..", 2, size, mutable=mutable)

    assert type(found) is (bytearray if mutable else bytes)
    assert found == b"".join(chunks(size, 1 << 16))
    assert rest == b""


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_a_run_may_end_in_the_middle_of_a_chunk(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(source_module, "JOIN_BYTES", most)
    source = Source([b"234", memoryview(b"567rest")], 100)

    assert source.take(b"xx01", 2, 8) == (b"01234567", b"rest")
    assert source.dropped == 10


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_chunks_need_not_be_flat(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(source_module, "JOIN_BYTES", most)
    square = memoryview(PATTERN[:64]).cast("B", (8, 8))
    every_other = memoryview(PATTERN)[:64:2]

    assert Source([square, every_other, b"!"], 1000).take(b"", 0, 97) == (PATTERN[:64] + PATTERN[:64:2] + b"!", b"")


def test_a_run_that_ends_too_soon_is_refused() -> None:
    with pytest.raises(Malformed):
        Source([b"123"], 100).take(b"", 0, 4)


@pytest.mark.parametrize(("size", "most"), [(JOIN_BYTES, 2 * JOIN_BYTES), (8 * JOIN_BYTES, 10 * JOIN_BYTES)])
def test_a_long_run_is_in_memory_once(size: int, most: int) -> None:
    """Each chunk here is a fresh one, as a record is."""
    fresh = (bytes(piece) for piece in chunks(size, 1 << 16))
    tracemalloc.start()
    try:
        found, _ = Source(fresh, 1 << 30).take(b"", 0, size)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(found) == size
    assert peak <= most + (1 << 18)
