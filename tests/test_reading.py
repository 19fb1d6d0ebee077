"""Reading in order: whatever comes, in whatever pieces, all of it or an error, and an error is never the end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from itertools import product

import pytest

from arriving import ALL_WAYS, Fed, content, cut, fed, packed
from cases import case
from netstructer.codec.compression import NONE, ZSTD
from netstructer.codec.reading import KEPT_BYTES, PIECE_BYTES, Chunks
from netstructer.codec.spool import Spool
from netstructer.errors import (
    BadCompression,
    BytesGone,
    IllegalFrame,
    LinkLost,
    LinkTimeout,
    MessageTooBig,
    Misuse,
    NetstructerError,
    SourceFailed,
)

SMALL = content(600)


def taken(chunks: Iterator[bytes | memoryview]) -> tuple[bytes, NetstructerError | None]:
    """Return what a reader gets, and the error that ends it."""
    found = b""
    try:
        for chunk in chunks:
            found += chunk
    except NetstructerError as error:
        return found, error
    return found, None


@pytest.mark.parametrize(("codec", "stated"), ALL_WAYS)
def test_the_bytes_are_the_same_in_any_pieces(codec: int, stated: bool) -> None:
    for piece_bytes, size in product((1, 7, 1000, PIECE_BYTES), (0, 1, 600, 4_000)):
        plain = content(size)

        with case(piece_bytes, size):
            assert b"".join(Chunks(fed(plain, codec, stated, piece_bytes))) == plain
            assert b"".join(Chunks(fed(plain, codec, stated, piece_bytes, credit=piece_bytes))) == plain
            assert b"".join(Chunks(fed(plain, codec, stated, piece_bytes), keep=False)) == plain
            assert b"".join(Chunks(fed(plain, codec, stated, piece_bytes), keep=True)) == plain


@pytest.mark.parametrize(("codec", "stated"), ALL_WAYS)
@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 500_000])
def test_chunks_are_pieces(codec: int, stated: bool, size: int) -> None:
    plain = content(size)
    chunks = list(Chunks(fed(plain, codec, stated, 1_000_000)))

    assert b"".join(chunks) == plain
    assert {1 <= len(chunk) <= 2 * PIECE_BYTES for chunk in chunks} == {True}


def test_what_was_taken_is_forgotten_beyond_the_first_mebibyte() -> None:
    plain = os.urandom(KEPT_BYTES + 3 * PIECE_BYTES)
    for keep, before, after in ((None, 0, KEPT_BYTES + PIECE_BYTES), (True, 0, 0), (False, KEPT_BYTES, KEPT_BYTES + 1)):
        arriving = fed(plain, NONE, True, PIECE_BYTES)
        chunks = Chunks(arriving, keep=keep)
        for _ in range(KEPT_BYTES // PIECE_BYTES):
            next(chunks)
        assert arriving.spool.start == before
        next(chunks)
        assert arriving.spool.start >= after
        assert arriving.told == KEPT_BYTES + PIECE_BYTES
        assert len(b"".join(chunks)) == 2 * PIECE_BYTES


def test_a_kept_payload_is_read_by_many() -> None:
    for codec, stated in ALL_WAYS:
        arriving = fed(SMALL, codec, stated, 100)
        one, other = Chunks(arriving), Chunks(arriving)
        first = next(one)

        assert b"".join(other) == SMALL
        assert bytes(first) + b"".join(one) == SMALL


def test_what_is_gone_is_said() -> None:
    plain = os.urandom(2 * KEPT_BYTES)
    arriving = fed(plain, NONE, True, PIECE_BYTES)
    slow = Chunks(arriving)
    next(slow)
    list(Chunks(arriving))

    for _ in range(2):
        with pytest.raises(BytesGone, match="byte 65536 is not kept any more; from 2097152 on"):
            next(slow)


def test_what_a_spool_refuses_for_another_reason_comes_through() -> None:
    class Inherited(Spool):
        def read(self, position: int, most_bytes: int) -> bytes:
            raise Misuse("another process's")

    arriving = fed(SMALL, NONE, True)
    arriving.spool = Inherited(arriving.room)

    with pytest.raises(Misuse, match="another process's"):
        next(Chunks(arriving))


@pytest.mark.parametrize(("codec", "stated"), ALL_WAYS)
@pytest.mark.parametrize("error", [SourceFailed("the disk broke"), LinkLost("cut")])
def test_a_failure_at_every_position_is_told_and_never_the_end(codec: int, stated: bool, error: BaseException) -> None:
    payload = packed(SMALL, codec, stated)
    for end in range(len(payload) + 1):
        arriving = Fed([*cut(payload[:end], 16), error, error, error], size=len(SMALL), codec=codec, stated=stated)
        chunks = Chunks(arriving)
        for _ in range(2):
            found, found_error = taken(chunks)
            assert found_error is error
            assert SMALL.startswith(found)


@pytest.mark.parametrize(("codec", "stated"), ALL_WAYS)
def test_after_a_timeout_at_every_position_reading_goes_on(codec: int, stated: bool) -> None:
    late = LinkTimeout("nothing came")
    script = [step for byte in packed(SMALL, codec, stated) for step in (late, bytes([byte]))]
    chunks = Chunks(Fed([*script, late], size=len(SMALL), codec=codec, stated=stated))
    whole, timeouts = b"", 0
    while True:
        found, error = taken(chunks)
        whole += found
        if error is None:
            break
        timeouts += 1

    assert whole == SMALL
    assert timeouts == len(script) // 2 + 1


def test_a_timeout_is_what_was_asked_for() -> None:
    arriving = Fed(size=5)
    arriving.feed(b"ab")
    chunks = Chunks(arriving, timeout=0.001)

    assert next(chunks) == b"ab"
    for _ in range(2):
        with pytest.raises(LinkTimeout):
            next(chunks)
    arriving.feed(b"cde")
    arriving.finish()
    assert list(chunks) == [b"cde"]


@pytest.mark.parametrize(
    ("codec", "stated", "spoil", "error"),
    [
        (NONE, True, lambda payload: payload[:-1], IllegalFrame),
        (NONE, True, lambda payload: payload + b"x", IllegalFrame),
        (NONE, False, lambda payload: payload[:-1], IllegalFrame),
        (NONE, False, lambda payload: payload + b"x", IllegalFrame),
        (ZSTD, True, lambda payload: payload[:-1], BadCompression),
        (ZSTD, True, lambda payload: payload + b"x", BadCompression),
        (ZSTD, False, lambda payload: payload + payload, BadCompression),
        (ZSTD, False, lambda _: b"", BadCompression),
        (ZSTD, True, lambda _: packed(SMALL[:-1], ZSTD, True), BadCompression),
        (ZSTD, True, lambda _: packed(SMALL, ZSTD, False), BadCompression),
        (ZSTD, False, lambda _: packed(SMALL[:-1], ZSTD, False), BadCompression),
        (ZSTD, False, lambda _: packed(SMALL + b"x", ZSTD, False), BadCompression),
        (ZSTD, False, lambda _: packed(SMALL, ZSTD, True), BadCompression),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 1000])
def test_other_bytes_than_were_stated_are_never_whole(
    codec: int, stated: bool, spoil: Callable[[bytes], bytes], error: type[Exception], piece_bytes: int
) -> None:
    payload = spoil(packed(SMALL, codec, stated))
    chunks = Chunks(Fed(cut(payload, piece_bytes), size=len(SMALL), codec=codec, stated=stated))
    for _ in range(2):
        found, found_error = taken(chunks)
        assert type(found_error) is error
        assert not stated or SMALL.startswith(found)


@pytest.mark.parametrize(("codec", "stated"), ALL_WAYS)
def test_a_frame_cut_anywhere_is_never_whole(codec: int, stated: bool) -> None:
    payload = packed(SMALL, codec, stated)
    for end in range(len(payload)):
        found, error = taken(Chunks(Fed(cut(payload[:end], 10), size=len(SMALL), codec=codec, stated=stated)))

        assert isinstance(error, (IllegalFrame, BadCompression))
        assert SMALL.startswith(found)


@pytest.mark.parametrize(("codec", "stated"), ALL_WAYS)
def test_bytes_come_one_by_one_from_another_thread(codec: int, stated: bool) -> None:
    arriving = Fed(size=len(SMALL), codec=codec, stated=stated)

    def feed() -> None:
        for byte in packed(SMALL, codec, stated):
            arriving.feed(bytes([byte]))
        arriving.finish()

    feeder = threading.Thread(target=feed)
    feeder.start()
    found = b"".join(Chunks(arriving, timeout=30))
    feeder.join()

    assert found == SMALL


@pytest.mark.parametrize("codec", [NONE, ZSTD])
def test_what_expands_without_end_is_stopped(codec: int) -> None:
    arriving = fed(bytes(3 << 20), codec, False)
    arriving.most_bytes = 1 << 20
    chunks = Chunks(arriving)

    with pytest.raises(MessageTooBig, match="more than 1048576 bytes") as caught:
        sum(map(len, chunks))
    assert 1 << 20 < caught.value.found <= (1 << 20) + (128 << 10)
