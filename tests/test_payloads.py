"""Payloads: what the peer would refuse fails here, and what has come is read within this end's limits."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriving import Fed
from netstructer.codec import compression
from netstructer.codec.blob import Blob
from netstructer.codec.compression import NONE, ZSTD
from netstructer.codec.spool import SpoolRoom
from netstructer.codec.values import encode
from netstructer.errors import (
    BadCompression,
    BadValue,
    IllegalFrame,
    LinkTimeout,
    MessageTooBig,
    SourceFailed,
    UnsendableValue,
)
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.payloads import Row
from netstructer.protocol.states import Flag, Kind, Role
from pair import BOTH, TINY, Pair, messages_in, opened, read, send, session_of


def test_values_and_blobs_are_held_to_the_peers_limits() -> None:
    encode = session_of(Role.CLIENT, peer_limits=TINY).payloads.encode
    with pytest.raises(MessageTooBig):
        encode("x" * 5000)
    with pytest.raises(MessageTooBig):
        encode([Blob(bytes(8000)), Blob(bytes(193))])
    with pytest.raises(UnsendableValue):
        encode(object())

    assert len(encode([Blob(bytes(8000)), Blob(bytes(192))]).blobs) == 2


@pytest.mark.parametrize(("credit_bytes", "most"), [(8 << 20, 16_383), (64 << 20, 65_535), (64 << 10, 127)])
def test_a_value_has_no_more_blobs_than_its_header_can_count_and_half_the_credit_pays(
    credit_bytes: int, most: int
) -> None:
    encode = session_of(Role.CLIENT, peer_limits=Limits(credit_bytes=credit_bytes)).payloads.encode
    blobs = [Blob(b"")] * (most + 1)
    with pytest.raises(UnsendableValue, match=f"at most {most} blobs there"):
        encode(blobs)

    assert len(encode(blobs[1:]).blobs) == most


@pytest.mark.parametrize(
    ("value", "compress", "codec"),
    [("x" * 500, True, NONE), ("x" * 5000, True, ZSTD), ("x" * 5000, False, NONE), (os.urandom(5000), True, NONE)],
)
def test_what_is_compressed(value: object, compress: bool, codec: int) -> None:
    payloads = session_of(Role.CLIENT).payloads
    encoded = payloads.encode(value)
    single = payloads.single(encoded, compress=compress)

    assert payloads.compose(encoded, compress=compress).codec == codec
    assert single is not None
    assert single.codec == codec
    assert single.outgoing(4).flags == 4
    off = session_of(Role.CLIENT, features=6).payloads
    assert off.compose(off.encode(value)).codec == NONE


def test_blobs_are_compressed_each_for_itself() -> None:
    payloads = session_of(Role.CLIENT).payloads
    outgoing = payloads.compose(payloads.encode([Blob(b"zip" * 500), Blob(os.urandom(5000)), Blob(b"")]))
    for blob in outgoing.blobs:
        blob.pull(65_536)  # what its bytes are is looked at when its turn comes

    assert [blob.codec for blob in outgoing.blobs] == [ZSTD, NONE, NONE]


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary(max_size=3000), st.lists, max_leaves=20))
def test_values_come_back_in_one_record_or_in_many(value: object) -> None:
    for limits in (Limits.DEFAULT, Limits(body_bytes=1024)):
        pair = Pair(limits=limits)
        send(pair.client.session, value)

        assert pair.exchange()[1] == [value]


@pytest.mark.parametrize(("value", "walks"), [("x" * 700, 0), ("x" * 60_000, 0), ("x" * 200_000, 1)])
def test_a_small_compressed_value_is_expanded_in_one_call(
    value: str, walks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[object] = []
    expand = compression.expand
    monkeypatch.setattr(compression, "expand", lambda *frame, **how: walked.append(frame) or expand(*frame, **how))
    pair = Pair()
    send(pair.client.session, value)

    assert pair.exchange()[1] == [value]
    assert len(walked) == walks


@pytest.mark.parametrize("size", [10, 4096, 4097, 60_000])
def test_a_value_does_not_hold_on_to_what_it_came_in(size: int) -> None:
    pair = Pair()
    send(pair.client.session, bytes(size), compress=False)
    [value] = pair.exchange()[1]

    assert type(value) is bytes
    assert value == bytes(size)


def whole(payload: bytes, codec: int, plain_bytes: int) -> Whole:
    return Whole(memoryview(payload), codec, plain_bytes, 1, 0, 0)


def many(payload: bytes, codec: int, plain_bytes: int) -> Message:
    header = bodies.First(bodies.VALUE, codec, 0, plain_bytes, 0)
    message = Message(1, 1, header, SpoolRoom(Limits.DEFAULT))
    for place in range(0, len(payload), 3):
        message.chunks.add(memoryview(payload)[place : place + 3])
    return message


@pytest.mark.parametrize("make", [whole, many])
def test_what_is_no_value_and_what_is_no_frame(make: object) -> None:
    session = session_of(Role.CLIENT)
    for payload in (b"\xff\xff\xff\xff", b"\xc0\xc0", bytes(5000)):
        with pytest.raises(BadValue):
            read(session, make(payload, NONE, len(payload)))  # type: ignore[operator]
        with pytest.raises(BadCompression):
            read(session, make(payload, ZSTD, len(payload)))  # type: ignore[operator]


def test_blobs_that_the_value_does_not_refer_to() -> None:
    for blobs, said in ((0, 1), (2, 1), (1, 2)):
        hostile = opened(Role.SERVER)
        value = b"".join(encode([Blob(b"x")] if blobs == 1 else [Blob(b"x"), Blob(b"x")][:blobs]).buffers)
        events = hostile.first(value, len(value), place=said, last=True)
        for place in range(said):
            events += hostile.first(b"x", 1, kind=bodies.BLOB, place=place, parent=1, last=True)
        [message] = messages_in(events)
        with pytest.raises(BadValue):
            read(hostile.session, message)


def test_a_blob_that_is_itself_arriving_is_waited_for_as_long_as_its_sender_allows() -> None:
    payloads = session_of(Role.CLIENT).payloads
    outgoing = payloads.compose(payloads.encode(Blob._of(Fed(size=10))), source_seconds=0.0)
    with pytest.raises(SourceFailed) as caught:
        outgoing.blobs[0].pull(1000)

    assert isinstance(caught.value.__cause__, LinkTimeout)


# --- durable messages -------------------------------------------------------------------------------------------------

OUTBOX = bytes(range(16))


def durably(pair: Pair, *rows: tuple[int, object], compress: bool = True) -> list[Message]:
    """Send rows of an outbox from the client's end to the server's; return the messages."""
    session = pair.client.session
    for number, value in rows:
        row = Row(OUTBOX, number, session.payloads.encode_row(value))
        session.queue(session.payloads.compose_row(row, compress=compress, flags=int(Flag.TAKEN)))
    pair.pump()
    found = pair.server.inbox
    assert all(isinstance(message, Message) and message.durable for message in found)
    return found


@pytest.mark.parametrize("value", [7, {"text": "x" * 1000}, ["row", list(range(9000))], "y" * 300_000])
@pytest.mark.parametrize("compress", [True, False])
def test_a_durable_message_arrives_with_outbox_and_row(value: object, compress: bool) -> None:
    pair = Pair()
    [message] = durably(pair, (5, value), compress=compress)
    payloads = pair.server.session.payloads
    first, second = payloads.row(message), payloads.row(message)

    assert (first.outbox, first.number) == (OUTBOX, 5)
    assert first == second  # it can be asked for again
    assert payloads.value(first) == value
    assert read(pair.server.session, message) == value


def test_a_durable_message_is_taken_when_it_was_taken_and_holds_back_what_is_behind_it() -> None:
    pair = Pair()
    first, second = durably(pair, (1, "one"), (2, "two"))
    outgoing = send(pair.client.session, "ordinary")
    pair.pump()
    third = pair.server.inbox[-1]
    client, server = pair.client.session, pair.server.session

    for taken, expected in ((third, 0), (first, 1), (second, 3)):
        server.take(taken)
        server.inflow.inbound.hurry()
        pair.pump()
        assert client.outflow.outbound.taken == expected
    assert client.taken(outgoing.last_number)


def test_a_durable_message_that_nobody_took_is_not_said_to_be() -> None:
    pair = Pair()
    [message] = durably(pair, (1, "one"))
    outgoing = send(pair.client.session, "ordinary")
    pair.pump()
    for left in (message, pair.server.inbox[-1]):
        pair.server.session.inflow.dismiss(left)
    pair.server.session.inflow.inbound.hurry()
    pair.pump()

    assert pair.client.session.acknowledged(outgoing.last_number)
    assert pair.client.session.outflow.outbound.taken == 0
    assert pair.server.session.inflow.inbound.unread == 0


def test_a_durable_message_has_no_blobs_and_fits_the_peer() -> None:
    payloads = session_of(Role.CLIENT, peer_limits=TINY).payloads
    with pytest.raises(UnsendableValue, match="no Blob"):
        payloads.encode_row([Blob(b"x")])
    with pytest.raises(UnsendableValue):
        payloads.encode_row(object())
    with pytest.raises(MessageTooBig):
        payloads.encode_row(bytes(TINY.value_bytes - bodies.ROW_BYTES))
    with pytest.raises(MessageTooBig) as caught:
        payloads.compose_row(Row(OUTBOX, 1, bytes(TINY.value_bytes)))

    assert (caught.value.limit, caught.value.found) == (TINY.value_bytes, TINY.value_bytes + 24)
    fits = payloads.encode_row(bytes(TINY.value_bytes - bodies.ROW_BYTES - 4))
    assert payloads.compose_row(Row(OUTBOX, 1, fits)).plain_bytes == TINY.value_bytes


@pytest.mark.parametrize("row", [0, 1])
def test_row_zero_is_none(row: int) -> None:
    peer = opened(Role.SERVER)
    plain = bodies.row(OUTBOX, row) + b"\7"
    head = bodies.First(bodies.DURABLE, 0, 0, len(plain), 0).pack()
    body = bodies.number(peer.next_number()) + head + plain + bodies.total(len(plain))
    [message] = messages_in(peer.say(Kind.DATA, BOTH, peer.stream, body))
    if row:
        assert read(peer.session, message) == 7
    else:
        with pytest.raises(BadValue):
            read(peer.session, message)


@pytest.mark.parametrize(("place", "plain_bytes"), [(1, 25), (0, 24), (0, 0)])
def test_a_durable_head_that_cannot_be_is_refused(place: int, plain_bytes: int) -> None:
    head = bodies.First(bodies.DURABLE, 0, place, plain_bytes, 0).pack()
    with pytest.raises(IllegalFrame):
        bodies.First.unpack(memoryview(head))
