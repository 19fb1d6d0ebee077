"""Frames: the same tokens in any split, and a length is refused before its body is waited for."""

from __future__ import annotations

import time
import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.codec.frames import (
    ALONE_BYTES,
    JOIN_BYTES,
    LEAST_TOKEN_BYTES,
    LENGTH_BYTES,
    READ_AHEAD_BYTES,
    SMALL_BUFFER_BYTES,
    FrameReader,
    joined,
    pack,
)
from netstructer.codec.tokens import sealed_bytes
from netstructer.errors import BadFrame, FrameTooBig

LIMIT = sealed_bytes(16 + 65_536)
SIZES = (89, 105, 169, 1001, JOIN_BYTES - 7, JOIN_BYTES + 9, 20_009, LIMIT)


def token(size: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(size)


def wire_of(tokens: list[bytes]) -> bytes:
    return b"".join(b"".join(pack(one)) for one in tokens)


def drain(reader: FrameReader) -> list[bytes]:
    found = []
    while (one := reader.next_token()) is not None:
        found.append(bytes(one))
    return found


def receive(reader: FrameReader, data: bytes) -> list[bytes]:
    """Receive as a transport does, into `space()`."""
    found = []
    while data:
        space = reader.space()
        count = min(len(space), len(data))
        assert count > 0
        space[:count] = data[:count]
        reader.filled(count)
        data = data[count:]
        found += drain(reader)
    return found


def test_a_frame_is_its_length_and_its_token() -> None:
    for size in SIZES:
        one = token(size)

        assert b"".join(pack(one)) == size.to_bytes(4, "big") + one == joined(one)
        assert len(pack(one)) == (1 if size <= JOIN_BYTES else 2)


@pytest.mark.parametrize("step", [1, 3, 4, 5, 89, 93, 4096, 70_000, 10**7])
@pytest.mark.parametrize("fed", [True, False])
def test_the_same_tokens_in_every_split(step: int, fed: bool) -> None:
    tokens = [token(size, size) for size in SIZES]
    wire, reader, found = wire_of(tokens), FrameReader(LIMIT), []
    for start in range(0, len(wire), step):
        if fed:
            reader.feed(wire[start : start + step])
            found += drain(reader)
        else:
            found += receive(reader, wire[start : start + step])

    assert found == tokens
    assert reader.held_bytes == 0


@given(st.lists(st.sampled_from(SIZES[:6]), max_size=12), st.integers(0, 1 << 30), st.binary(max_size=60))
def test_random_splits_with_a_tail(sizes: list[int], seed: int, tail: bytes) -> None:
    tokens, draw = [token(size, place) for place, size in enumerate(sizes)], Random(seed)
    rest = b"\0\0\x03\xe9" + tail
    wire, reader, found = wire_of(tokens) + rest, FrameReader(LIMIT), []
    while wire:
        count = draw.choice((1, 2, 50, 100, 1000, 5000))
        piece, wire = wire[:count], wire[count:]
        if draw.random() < 0.5:
            reader.feed(piece)
            if draw.random() < 0.8:
                found += drain(reader)
        else:
            found += drain(reader)
            found += receive(reader, piece)
    found += drain(reader)

    assert found == tokens
    assert reader.held_bytes == len(rest)
    assert reader.next_token() is None


def test_several_tokens_wait_in_the_buffer() -> None:
    reader, tokens = FrameReader(LIMIT), [token(89, place) for place in range(44)]
    wire = wire_of(tokens)
    assert len(wire) == SMALL_BUFFER_BYTES - 4
    reader.feed(wire)
    reader.feed(b"\0\0\0\x59")

    assert len(reader.space()) > 0  # full of whole tokens that nobody took
    assert drain(reader) == tokens
    assert reader.held_bytes == 4


def test_space_is_never_empty() -> None:
    reader = FrameReader(LIMIT)
    for size in (1, 4092, 4096, 4097, 65_000):
        reader.feed(bytes(size))

        assert len(reader.space()) > 0


@pytest.mark.parametrize("length", [0, 1, 15, 16, 73, 88, 90, 104, LIMIT - 1, LIMIT - 8])
def test_no_token_has_that_length(length: int) -> None:
    with pytest.raises(BadFrame, match="no token has"):
        _state(length)


@pytest.mark.parametrize("length", [LIMIT + 1, LIMIT + 16, 1 << 24, (1 << 32) - 1])
def test_a_frame_over_the_limit_is_refused_before_its_body(length: int) -> None:
    tracemalloc.start()
    with pytest.raises(FrameTooBig) as caught:
        _state(length)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (caught.value.limit, caught.value.found) == (LIMIT, length)
    assert peak < 1 << 20


def test_the_limit_may_rise_between_two_frames() -> None:
    reader, tokens = FrameReader(169), [token(169), token(185)]
    reader.feed(wire_of(tokens))
    first = reader.next_token()
    assert first is not None
    with pytest.raises(FrameTooBig):
        reader.next_token()
    reader.limit_bytes = LIMIT

    assert drain(reader) == tokens[1:]


def test_a_stated_length_reserves_no_more_than_the_limit() -> None:
    for stated in (LIMIT + 16, (1 << 32) - 1):
        reader = FrameReader(LIMIT)
        reader.feed(stated.to_bytes(4, "big"))
        reader.space()  # as one would who does not look at what has come

        assert len(reader._buffer) <= READ_AHEAD_BYTES


def test_a_long_frame_is_received_by_itself() -> None:
    """What follows it, but for its length, stays in the transport, and has not to be moved in the buffer."""
    size = sealed_bytes(16 + (256 << 10))
    reader, tokens = FrameReader(size), [token(size, seed) for seed in range(4)]
    wire, ends = wire_of(tokens), []
    found = receive(reader, wire[:1000])
    wire = wire[1000:]
    while wire:
        room = len(reader.space())
        ends.append(reader.held_bytes + room)
        assert found == tokens[: len(found)]
        found += receive(reader, wire[:room])
        wire = wire[room:]

    assert found == tokens
    assert ends == [LENGTH_BYTES + size + LENGTH_BYTES] * 4
    assert len(reader._buffer) == LENGTH_BYTES + size + LENGTH_BYTES


@pytest.mark.parametrize("size", [ALONE_BYTES - 7, ALONE_BYTES + 9])
def test_only_a_long_one(size: int) -> None:
    reader = FrameReader(sealed_bytes(16 + (256 << 10)))
    reader.feed(size.to_bytes(LENGTH_BYTES, "big"))

    assert (len(reader.space()) == size + LENGTH_BYTES) == (size > ALONE_BYTES)


def test_an_idle_reader_gives_its_memory_back() -> None:
    reader, one = FrameReader(LIMIT), token(LIMIT)
    receive(reader, wire_of([one])[:-1])
    reader.shrink()
    assert len(reader._buffer) == READ_AHEAD_BYTES
    assert receive(reader, one[-1:]) == [one]
    reader.shrink()

    assert len(reader._buffer) == SMALL_BUFFER_BYTES
    assert receive(reader, wire_of([one])) == [one]


def test_ten_mebibytes_byte_by_byte_take_linear_time() -> None:
    small, large = _seconds(1), _seconds(4)

    assert large < 12 * small  # 4 if linear, 16 if quadratic


def _seconds(frames: int) -> float:
    reader, wire = FrameReader(LIMIT), wire_of([token(LIMIT)] * frames)
    began = time.thread_time()
    for place in range(len(wire)):
        reader.feed(wire[place : place + 1])
        reader.next_token()
    return time.thread_time() - began


def _state(length: int) -> None:
    for wire in (length.to_bytes(4, "big"), length.to_bytes(4, "big") + bytes(200)):
        whole, slow = FrameReader(LIMIT), FrameReader(LIMIT)
        for place in range(LENGTH_BYTES):
            assert slow.next_token() is None
            slow.feed(wire[place : place + 1])
        try:
            slow.next_token()
        finally:
            whole.feed(wire)
            assert LEAST_TOKEN_BYTES == 89
            whole.next_token()
