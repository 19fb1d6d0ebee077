"""Sources: counted exactly, and watched: what came is not kept back by one that waits, and a fast one is not cut up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.codec.compression import NONE, ZSTD, compress, expand
from netstructer.errors import (
    BadCompression,
    ConnectionCut,
    FileChanged,
    LinkClosed,
    LinkTimeout,
    MessageCancelled,
    MessageTooBig,
    Misuse,
    NetstructerError,
    SourceFailed,
    SpoolFull,
)
from netstructer.protocol.outgoing import OutgoingBlob
from netstructer.protocol.sources import LULL_SECONDS, MOST_LULLS, Counted, Room
from netstructer.protocol.states import CancelCode

Script = list[tuple[float, bytes]]
FAST = LULL_SECONDS / 1000
SLOW = LULL_SECONDS * 1.001
"""Just long enough, whatever a float makes of it."""


class Clock:
    """A source that gives its pieces after so many seconds each, and the clock that says so."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.now = 1000.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now

    def __iter__(self) -> Iterator[bytes]:
        for seconds, piece in self.script:
            self.now += seconds
            yield piece


def watched(script: Script, *, plain_bytes: int | None = None) -> list[bytes]:
    clock = Clock(script)
    counted = Counted(clock, plain_bytes=plain_bytes, clock=clock)
    found = [bytes(piece) for piece in counted]

    assert counted.byte_count == sum(len(piece) for _, piece in script)
    assert clock.asked <= len(script)
    assert [piece for piece in found if piece] == [piece for _, piece in script]
    return found


@pytest.mark.parametrize("size", [1, 1 << 18])
@pytest.mark.parametrize("seconds", [SLOW, 3600.0])
def test_every_piece_of_a_slow_source_is_followed_by_a_lull(size: int, seconds: float) -> None:
    piece = bytes(size)

    assert watched([(seconds, piece)] * 100) == [piece, b""] * 100


@pytest.mark.parametrize("size", [1, 1 << 18])
def test_the_first_piece_is_followed_by_one_however_fast(size: int) -> None:
    assert watched([(0.0, bytes(size))]) == [bytes(size), b""]


def test_a_burst_of_small_pieces_is_sent_as_it_comes_up_to_a_number() -> None:
    assert watched([(0.0, b"x")] * 3 * MOST_LULLS) == [b"x", b""] * MOST_LULLS + [b"x"] * 2 * MOST_LULLS


def test_a_burst_after_a_wait_is_sent_as_it_comes_again() -> None:
    burst: Script = [(0.0, b"x")] * 2 * MOST_LULLS
    found = watched([*burst, (MOST_LULLS * SLOW, b"y"), *burst])

    assert found[found.index(b"y") :] == [b"y", b"", *[b"x", b""] * (MOST_LULLS - 1), *[b"x"] * (MOST_LULLS + 1)]


def test_a_steady_source_is_sent_together_as_often_as_a_slow_one() -> None:
    found = watched([(LULL_SECONDS / 10, b"x")] * 1000)[2 * MOST_LULLS :]
    lulls = [place for place, piece in enumerate(found) if not piece]

    assert len(lulls) == pytest.approx(100, abs=MOST_LULLS // 4)
    assert max(later - earlier for earlier, later in pairwise(lulls)) <= 12


def test_the_end_that_was_stated_has_no_lull() -> None:
    assert watched([(1.0, b"ab"), (1.0, b"c")], plain_bytes=3) == [b"ab", b"", b"c"]
    assert watched([(1.0, b"whole")], plain_bytes=5) == [b"whole"]


def test_without_a_clock_nothing_is_slow() -> None:
    assert list(Counted([b"ab", b"c"])) == [b"ab", b"c"]


def test_a_lull_takes_no_room() -> None:
    clock = Clock([(1.0, b"ab"), (1.0, b"c"), (1.0, b"de")])
    counted = Counted(clock, Room(10, used=6), clock=clock)

    assert [next(counted) for _ in range(4)] == [b"ab", b"", b"c", b""]
    with pytest.raises(MessageTooBig):
        next(counted)


# --- with what follows them -------------------------------------------------------------------------------------------


def packed(clock: Clock, *, compressing: bool, plain_bytes: int | None = None) -> OutgoingBlob:
    counted = Counted(clock, plain_bytes=plain_bytes, clock=clock)

    def begin() -> tuple[int, Iterator[bytes], Counted]:
        codec, pieces = compress(counted, plain_bytes) if compressing else (NONE, counted)
        return codec, pieces, counted  # type: ignore[return-value]  # bytes all of them

    return OutgoingBlob(begin, plain_bytes=plain_bytes)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, FAST, SLOW]), st.binary(min_size=1, max_size=50)), max_size=80),
    st.integers(1, 60),
    st.booleans(),
    st.booleans(),
)
def test_whatever_a_source_does_its_bytes_arrive(script: Script, chunk: int, compressing: bool, known: bool) -> None:
    plain = b"".join(piece for _, piece in script)
    blob = packed(Clock(script), compressing=compressing, plain_bytes=len(plain) if known else None)
    chunks: list[bytes] = []
    ended = False
    while not ended:
        more, ended = blob.pull(chunk)
        chunks += map(bytes, more)
    if blob.codec == ZSTD:
        plain_bytes = len(plain) if known else None
        assert b"".join(expand(iter(chunks), plain_bytes=plain_bytes, stated=known)) == plain
    else:
        assert b"".join(chunks) == plain

    assert all(0 < len(piece) <= chunk for piece in chunks)
    assert blob.total_bytes() == len(plain)


@pytest.mark.parametrize("compressing", [True, False])
@pytest.mark.parametrize("size", [1, 30, 5_000, 65_496, 100_000])
@pytest.mark.parametrize("noise", [True, False])
def test_what_a_slow_source_gave_can_be_read_before_it_goes_on(compressing: bool, size: int, noise: bool) -> None:
    pieces = [os.urandom(size) if noise else (b"a line of a log " * (size // 16 + 1))[:size] for _ in range(5)]
    clock = Clock([(1.0, piece) for piece in pieces])
    blob = packed(clock, compressing=compressing)
    chunks: list[bytes] = []
    for number in range(len(pieces)):
        while more := blob.pull(1 << 20)[0]:
            chunks += map(bytes, more)
        assert clock.now == 1000.0 + number + 1  # it was not asked for the next one
        found = b"".join(chunks) if blob.codec == NONE else expanded(chunks)
        assert found == b"".join(pieces[: number + 1])


def expanded(chunks: list[bytes]) -> bytes:
    """Return what can be had of a frame that goes on."""

    def arriving() -> Iterator[bytes]:
        yield from chunks
        raise TimeoutError

    found = b""
    try:
        for part in expand(arriving(), plain_bytes=None, stated=False):
            found += part
    except TimeoutError:
        return found
    raise AssertionError("a frame that goes on has ended")


def test_a_slow_beginning_does_not_keep_a_stream_from_shrinking() -> None:
    line = b"2026-11-20 22:26:09 INFO the quick brown fox jumps over the lazy dog\n"
    slow: Script = [(1.0, line)] * 3
    fast: Script = [(FAST, line * 100)] * 200
    blob = packed(Clock([*slow, *fast]), compressing=True)
    payload, ended = bytearray(), False
    while not ended:
        more, ended = blob.pull(1 << 16)
        payload += b"".join(more)

    assert blob.codec == ZSTD
    assert len(payload) * 50 < blob.total_bytes()
    assert b"".join(expand([payload], plain_bytes=None, stated=False)) == line * 20_003


def test_a_slow_beginning_that_does_not_shrink_is_sent_as_it_is() -> None:
    frames: Script = [(0.04, os.urandom(30_000)) for _ in range(5)]
    blob = packed(Clock(frames), compressing=True)
    blob.pull(1 << 20)

    assert blob.codec == NONE


# --- what it raises ---------------------------------------------------------------------------------------------------


def breaking(error: BaseException) -> Iterator[bytes]:
    yield b"abc"
    raise error


@pytest.mark.parametrize("kind", [ConnectionCut, LinkClosed, LinkTimeout, BadCompression, SpoolFull, MessageTooBig,
                                  MessageCancelled])  # fmt: skip
def test_what_breaks_on_another_link_is_a_source_that_failed(kind: type[NetstructerError]) -> None:
    error = kind("why")
    counted = Counted(breaking(error))
    assert next(counted) == b"abc"
    with pytest.raises(SourceFailed, match=f"{kind.__name__}: why") as caught:
        next(counted)

    assert caught.value.__cause__ is error
    assert caught.value.code == CancelCode.SOURCE_FAILED


@pytest.mark.parametrize(
    "error", [SourceFailed("why"), FileChanged("why"), Misuse("why"), ZeroDivisionError(), KeyboardInterrupt()]
)
def test_what_else_a_source_raises_is_raised_as_it_is(error: BaseException) -> None:
    counted = Counted(breaking(error))
    assert next(counted) == b"abc"
    with pytest.raises(type(error)) as caught:
        next(counted)

    assert caught.value is error
