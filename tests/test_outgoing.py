"""Outgoing: one value, its blobs, a batch: what is sealed of them next, and what their senders are asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from netstructer.codec.values import encode
from netstructer.errors import MessageCancelled, MessageTooBig
from netstructer.protocol import bodies
from netstructer.protocol.outgoing import BLOB_CHUNK_BYTES, FEED_BYTES, Batch, Outgoing, OutgoingBlob
from netstructer.protocol.sources import Counted, Room
from netstructer.protocol.states import CancelCode


def blob_of(*pieces: bytes, plain_bytes: int | None = None, inline: bool = False) -> OutgoingBlob:
    counted = Counted(pieces)
    return OutgoingBlob(lambda: (1, counted, counted), plain_bytes=plain_bytes, inline=inline)


def test_headers_say_what_a_message_is() -> None:
    value, unknown = Outgoing([b"value"], codec=0, plain_bytes=5), blob_of(b"unknown")
    for blob in (blob_of(b"x", plain_bytes=1), unknown):
        value.add_blob(blob)
    value.number = 9
    unknown.pull(9)

    assert bodies.First.unpack(memoryview(value.header()))[0] == bodies.First(bodies.VALUE, 0, 2, 5, 0)
    assert bodies.First.unpack(memoryview(unknown.header()))[0] == bodies.First(bodies.BLOB, 1, 1, bodies.UNKNOWN, 9)


def test_the_bytes_of_an_unknown_length_are_counted() -> None:
    blob = blob_of(b"abc", b"defg", inline=True)
    assert blob.peek(5) == (b"abcde", False)
    assert blob.peek(5) == (b"abcde", False)
    blob.step()

    assert blob.peek(5) == (b"fg", True)
    assert blob.total_bytes() == 7


@pytest.mark.parametrize(("stated", "chunk"), [(6, 10), (8, 10), (8, 3), (6, 3), (0, 10)])
def test_a_blob_that_is_not_as_long_as_it_said_is_given_up(stated: int, chunk: int) -> None:
    blob = blob_of(b"abc", b"defg", plain_bytes=stated)

    def read() -> None:
        ended = False
        while not ended:
            _, ended = blob.pull(chunk)

    with pytest.raises(MessageCancelled, match=f"stated {stated} bytes and gave 7") as caught:
        read()
    assert caught.value.code == CancelCode.SOURCE_FAILED


def test_blobs_of_unknown_length_share_what_the_peer_takes() -> None:
    room = Room(10, used=3)
    first, second = Counted([b"1234"], room), Counted([b"567", b"8"], room)

    assert b"".join(first) == b"1234"
    assert next(second) == b"567"
    with pytest.raises(MessageTooBig, match="blobs of 11 bytes together") as caught:
        next(second)
    assert (caught.value.limit, caught.value.found) == (10, 11)


def test_a_batch_counts_what_is_in_it() -> None:
    made = Batch()
    items = [encode(value) for value in ("one", 2, [3])]
    for item in items:
        made.add(item)
    number, rest = bodies.number_of(memoryview(made.body(5)))

    plain_bytes = sum(item.plain_bytes for item in items)
    assert (made.count, made.total_plain_bytes, made.sealed_bytes) == (3, plain_bytes, plain_bytes)
    assert len(made.body(5)) == made.body_bytes
    assert (number, bodies.batch_items(rest)) == (5, [b"".join(item.buffers) for item in items])


def test_a_blob_is_fed_ahead_as_far_as_its_credit_and_not_too_far() -> None:
    blob = blob_of(*[b"x" * BLOB_CHUNK_BYTES] * 40)
    assert blob.hungry
    for _ in range(FEED_BYTES // BLOB_CHUNK_BYTES):
        chunks, ended = blob.pull(1 << 20)
        assert not ended
        blob.feed(chunks, ended)

    assert not blob.hungry
    for _ in range(2):
        assert blob.ready
        assert blob.peek(1 << 20)[1] is False
        blob.step()
    assert not blob.hungry  # what is ready is what the credit allows
    blob.limit += 3 * BLOB_CHUNK_BYTES
    assert blob.hungry


def test_a_blob_without_credit_is_not_ready_but_is_asked_for_its_next_chunk() -> None:
    blob = blob_of(*[b"x" * BLOB_CHUNK_BYTES] * 5, b"end", inline=False)
    for _ in range(4):
        blob.feed(*blob.pull(1 << 20))
    for _ in range(3):
        blob.step()
    assert (blob.ready, blob.hungry) == (True, False)  # the credit is for one more, and that is ready
    blob.step()
    assert (blob.ready, blob.hungry) == (False, True)
    blob.feed(*blob.pull(1 << 20))
    assert (blob.ready, blob.hungry) == (False, False)  # no credit is left, one chunk is ready
    blob.limit += BLOB_CHUNK_BYTES + 3
    assert (blob.ready, blob.hungry) == (True, True)
    blob.feed(*blob.pull(1 << 20))
    assert blob.peek(1 << 20) == (bytes(b"x" * BLOB_CHUNK_BYTES), False)
    blob.step()
    assert blob.peek(1 << 20) == (b"end", False)
    blob.feed(*blob.pull(1 << 20))

    assert blob.ready
    assert blob.peek(1 << 20) == (b"end", True)
    assert blob.total_bytes() == 5 * BLOB_CHUNK_BYTES + 3


def test_the_end_of_a_blob_may_come_alone_and_needs_no_credit() -> None:
    blob = blob_of(b"x" * BLOB_CHUNK_BYTES)
    blob.limit = BLOB_CHUNK_BYTES
    blob.feed(*blob.pull(1 << 20))
    assert blob.peek(1 << 20) == (b"x" * BLOB_CHUNK_BYTES, False)
    blob.step()
    assert (blob.ready, blob.hungry) == (False, True)
    blob.feed(*blob.pull(1 << 20))

    assert (blob.ready, blob.hungry) == (True, False)
    assert blob.peek(1 << 20) == (b"", True)
    assert blob.total_bytes() == BLOB_CHUNK_BYTES


def test_a_lull_gives_no_chunk_and_is_not_the_end() -> None:
    blob = blob_of(b"ab", b"c", b"", b"", b"d")

    found = [blob.pull(9) for _ in range(5)]

    assert found == [([b"abc"], False), ([], False), ([], False), ([b"d"], False), ([], True)]


def test_an_empty_blob_has_one_empty_chunk() -> None:
    blob = blob_of(plain_bytes=0)
    assert not blob.ready
    assert blob.pull(9) == ([], True)
    blob.feed([], True)

    assert blob.ready
    assert blob.peek(9) == (b"", True)


def test_what_is_fed_to_a_blob_that_is_over_is_dropped() -> None:
    blob = blob_of(b"abc")
    blob.sealed = True
    blob.feed([b"abc"], True)

    assert not blob.hungry
    assert not blob._ready


@pytest.mark.parametrize("room", [0, 1, BLOB_CHUNK_BYTES - 1, BLOB_CHUNK_BYTES])
def test_a_prepared_blob_is_ready_as_far_as_its_credit(room: int) -> None:
    blob = blob_of(*[b"x" * BLOB_CHUNK_BYTES] * 9, inline=True)
    blob.limit = room

    assert blob.ready == (room == BLOB_CHUNK_BYTES)
    assert not blob.hungry


def test_a_blob_that_was_given_up_lets_go_of_its_source_and_ends() -> None:
    closed = []

    def source() -> Iterator[bytes]:
        try:
            yield b"first"
            yield b"second"
        finally:
            closed.append(True)

    made = [Counted(source())]
    blob = OutgoingBlob(lambda: (0, made[0], made.pop()), plain_bytes=None)
    assert blob.pull(5) == ([b"first"], False)
    blob.sealed = True
    blob.release()
    gc.collect()

    assert closed == [True]
    assert blob.pull(5) == ([], True)


def test_a_value_that_is_prepared_is_made_before_it_is_sealed() -> None:
    made: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"val", b"ue"):
            made.append(piece)
            yield piece

    value = Outgoing(pieces(), codec=0, plain_bytes=5)
    assert made == []
    value.prepare()
    assert made == [b"val", b"ue"]

    assert value.peek(100) == (b"value", True)
