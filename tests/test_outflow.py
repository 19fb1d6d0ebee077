"""The outflow: control before messages, room and credit kept, and numbers given when a record is sealed."""

from __future__ import annotations

import os

import pytest

from netstructer.codec.blob import Blob
from netstructer.codec.values import encode
from netstructer.errors import LinkClosed, MessageCancelled, SourceFailed
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.outgoing import Batch
from netstructer.protocol.states import CancelCode, Kind, Role
from pair import TINY, Hostile, Pair, feed, opened, send

WINDOW = Limits(credit_bytes=64 << 10, body_bytes=1024)


def test_control_goes_before_messages() -> None:
    hostile = opened(Role.SERVER)
    send(hostile.session, os.urandom(400_000))
    hostile.say(Kind.PING, body=b"12345678")
    kinds = [record.kind for record in hostile.hear()]

    assert kinds == [Kind.PONG, Kind.DATA, Kind.DATA]


@pytest.mark.parametrize("room", [1, 1000, 3000, 10_000])
def test_no_more_is_sealed_than_there_is_room_for(room: int) -> None:
    pair = Pair(limits=WINDOW)
    send(pair.client.session, os.urandom(20_000))
    sizes = []
    while size := pair.seal(pair.client, room):
        sizes.append(size)

    assert all(room <= size < room + 1200 for size in sizes[:-1])
    assert pair.seal(pair.client, 0) == 0


def test_records_stop_at_the_credit_and_go_on_from_there() -> None:
    hostile = Hostile(Role.SERVER, limits=WINDOW)
    hostile.open(limit=10_000)
    hostile.hear()
    send(hostile.session, os.urandom(30_000), compress=False)
    sent = sum(len(record.body) for record in hostile.hear()) + 256
    assert 10_000 - 1024 < sent <= 10_000
    assert hostile.hear() == []
    hostile.say(Kind.ACK, body=bodies.Ack(5, 20_000, 0).pack())
    sent += sum(len(record.body) for record in hostile.hear())
    assert 20_000 - 1024 < sent <= 20_000


def test_a_batch_waits_for_credit() -> None:
    hostile = Hostile(Role.SERVER, limits=WINDOW)
    hostile.open(limit=400)
    hostile.hear()
    batch = Batch()
    for _ in range(2):
        batch.add(encode(1))
    hostile.session.queue(batch)
    assert hostile.hear() == []
    assert not batch.done
    hostile.say(Kind.ACK, body=bodies.Ack(1, 2 * 256 + batch.body_bytes, 0).pack())
    [record] = hostile.hear()

    assert (record.kind, len(record.body), batch.last_number) == (Kind.BATCH, batch.body_bytes, 1)
    assert batch.done
    assert batch.wire_bytes > batch.body_bytes


def test_a_cancel_takes_its_number_before_what_is_sealed_after_it() -> None:
    hostile = opened(Role.SERVER)
    outgoing = send(hostile.session, os.urandom(300_000), compress=False)
    [first, *_] = hostile.hear(1)
    hostile.session.abandon(outgoing)
    send(hostile.session, "next")
    cancel, following = hostile.hear()

    assert [bodies.number_of(memoryview(record.body))[0] for record in (first, cancel, following)] == [1, 2, 3]
    assert (cancel.kind, cancel.stream) == (Kind.CANCEL, first.stream)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceFailed("no code"), CancelCode.SOURCE_FAILED),
        (MessageCancelled("of ours", code=CancelCode.ABANDONED), CancelCode.ABANDONED),
        (MessageCancelled("not of ours", code=99_999), CancelCode.SOURCE_FAILED),
        (MessageCancelled("not a number", code=[]), CancelCode.SOURCE_FAILED),  # type: ignore[arg-type]
        (ZeroDivisionError(), CancelCode.SOURCE_FAILED),
    ],
    ids=str,
)
def test_whatever_code_an_error_has_the_peer_is_told_one_of_ours(error: BaseException, code: CancelCode) -> None:
    hostile = opened(Role.SERVER)
    outgoing = send(hostile.session, os.urandom(300_000), compress=False)
    hostile.hear(1)
    hostile.session.abandon(outgoing, error)
    send(hostile.session, "next")
    cancel, following = hostile.hear()

    assert bodies.Cancel.unpack(cancel.body)[::2] == (2, code)
    assert bodies.number_of(memoryview(following.body))[0] == 3


@pytest.mark.parametrize("code", [*(code for code in CancelCode if code != CancelCode.ABANDONED), 777])
def test_a_cancel_is_answered_with_its_own_code(code: int) -> None:
    """Who reads the other blobs of the value there is told what became of it, and not that this end's source failed."""
    hostile = opened(Role.SERVER)
    send(hostile.session, [Blob(os.urandom(300_000)), Blob(os.urandom(300_000))], compress=False)
    hostile.hear()
    feed(hostile.session, 2)
    [blob, *_] = hostile.hear()
    hostile.say(Kind.CANCEL, 0, blob.stream, bodies.Cancel(1, bodies.number_of(memoryview(blob.body))[0], code).pack())
    answer = next(record for record in hostile.hear() if record.kind == Kind.CANCEL)

    assert bodies.Cancel.unpack(answer.body)[1:] == (1, code)


def test_blobs_of_a_value_are_fed_by_turns() -> None:
    pair = Pair()
    session = pair.client.session
    outgoing = send(session, [Blob.from_iter([b"x"] * 3) for _ in range(3)], compress=False)
    pair.seal(pair.client, 1, feeding=False)
    fed = []
    for _ in range(6):
        blob = outgoing.hungry()
        assert blob is not None
        fed.append(outgoing.blobs.index(blob))
        session.feed(blob, [b"x"], False)

    assert fed == [0, 1, 2, 0, 1, 2]


def test_wire_bytes_are_counted_for_each_message() -> None:
    pair = Pair()
    outgoing = send(pair.client.session, os.urandom(200_000))
    before = len(pair.client.said)
    pair.seal(pair.client)

    assert outgoing.wire_bytes == len(pair.client.said) - before


def test_a_farewell_waits_for_what_is_queued() -> None:
    pair = Pair(limits=WINDOW)
    outgoing = send(pair.client.session, os.urandom(100_000))
    pair.client.session.say_farewell()
    pair.seal(pair.client)
    assert not outgoing.sealed
    with pytest.raises(LinkClosed):
        pair.client.session.queue(Batch())
    pair.pump()

    assert outgoing.sealed
    assert len(pair.server.read()) == 1


def test_chunks_are_as_long_as_the_peer_takes_and_padding_can_say() -> None:
    plain = [(size, None, size) for size in (1024, 65_536, 1 << 20)]
    padded = [(1024, "full", 1024), (65_536, "full", 65_535), (1 << 20, "full", 65_535), (1 << 20, "bucket", 65_535)]
    for body_bytes, padding, longest in plain + padded:
        pair = Pair(limits=Limits(body_bytes=body_bytes), padding=padding)
        assert pair.client.session.outflow.chunk_bytes + bodies.OVERHEAD_BYTES == longest
        send(pair.client.session, os.urandom(3 << 20))
        [value] = pair.exchange()[1]
        assert len(value) == 3 << 20  # type: ignore[arg-type]


def test_a_peer_with_a_small_window_gets_small_records() -> None:
    pair = Pair(limits=Limits(credit_bytes=64 << 10, body_bytes=1 << 20))
    assert pair.client.session.outflow.chunk_bytes == (32 << 10) - bodies.OVERHEAD_BYTES
    send(pair.client.session, os.urandom(1 << 20))

    assert len(pair.exchange()[1]) == 1


def test_all_limits_of_a_small_peer() -> None:
    pair = Pair(limits=TINY)
    for size in (0, 1, 983, 984, 985, 4000):
        send(pair.client.session, os.urandom(size))
    got = pair.exchange()[1]

    assert sorted(len(value) for value in got) == [0, 1, 983, 984, 985, 4000]  # type: ignore[arg-type]
