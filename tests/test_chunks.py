"""Chunks: cut anywhere and joined, a payload is what it was, and `cut` takes no more than it needs."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.codec.chunks import Joined, cut

SIZE = 8


@given(st.lists(st.binary(max_size=30, min_size=1)), st.integers(1, 20))
def test_chunks_are_full_but_the_last(pieces: list[bytes], size: int) -> None:
    chunks = [bytes(chunk) for chunk in cut(pieces, size)]
    payload = b"".join(pieces)

    assert chunks == [payload[start : start + size] for start in range(0, len(payload), size)]


@given(st.lists(st.binary(max_size=30)), st.integers(1, 20))
def test_what_came_before_a_lull_is_handed_out_before_it(pieces: list[bytes], size: int) -> None:
    chunks = [bytes(chunk) for chunk in cut(pieces, size)]
    expected: list[bytes] = []
    held = b""
    for piece in [*pieces, None]:
        held += piece or b""
        if not piece:
            expected += [held[start : start + size] for start in range(0, len(held), size)]
            expected += [] if piece is None else [b""]
            held = b""

    assert chunks == expected


def test_a_lull_is_handed_on_before_the_source_is_asked_again() -> None:
    asked = []

    def source() -> Iterator[bytes]:
        for piece in (bytes(3), bytes(2 * SIZE), b"", bytes(1)):
            asked.append(len(piece))
            yield piece

    chunks = cut(source(), SIZE)

    assert [len(next(chunks)) for _ in range(4)] == [SIZE, SIZE, 3, 0]
    assert asked == [3, 2 * SIZE, 0]
    assert [len(chunk) for chunk in chunks] == [1]


@pytest.mark.parametrize("length", [0, 1, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE - 1, 3 * SIZE, 3 * SIZE + 1])
@pytest.mark.parametrize("step", [1, 3, SIZE, 100])
def test_the_edges(length: int, step: int) -> None:
    payload = bytes(range(length))
    pieces = [payload[start : start + step] for start in range(0, length, step)]
    chunks = [bytes(chunk) for chunk in cut(pieces, SIZE)]

    assert chunks == [payload[start : start + SIZE] for start in range(0, length, SIZE)]


def test_a_chunk_within_a_piece_is_a_view() -> None:
    payload = bytes(20)

    assert [memoryview(chunk).obj is payload for chunk in cut([payload], SIZE)] == [True, True, True]


def test_views_of_wider_items_are_cut_by_bytes() -> None:
    numbers = array("q", [1, 2, 3])
    grid = memoryview(bytes(12)).cast("B", (3, 4))

    assert b"".join(cut([memoryview(numbers)], 5)) == numbers.tobytes()
    assert b"".join(cut([grid], 5)) == bytes(12)


def test_cut_is_lazy() -> None:
    pulled = 0

    def source() -> Iterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1
            yield bytes(3)

    chunks = cut(source(), SIZE)
    assert pulled == 0
    next(chunks)

    assert pulled == 3


def test_joined_hands_its_chunks_out_once() -> None:
    joined = Joined()
    for chunk in (b"ab", memoryview(b"c"), bytearray(b"def")):
        joined.add(chunk)

    assert (len(joined), joined.byte_count) == (3, 6)
    assert b"".join(joined) == b"abcdef"
    assert (len(joined), list(joined), joined.byte_count) == (0, [], 6)
