"""The session: two ends against each other, both pushed at once, nothing lost and nothing in disorder.

Faults of the wire are in test_session_faults.py, a hostile peer in test_session_hostile.py, a model of it all in
test_session_model.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from netstructer.codec.blob import Blob
from netstructer.errors import (
    BadCompression,
    BadValue,
    Busy,
    ConnectionCut,
    CreditExceeded,
    IllegalFrame,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
    MessageTooBig,
    NetstructerError,
    SessionLost,
    SourceFailed,
    SpoolFull,
    Stalled,
)
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.events import Ended, Event, Opened, PeerLeft, ResumeAsked
from netstructer.protocol.opening import Opening
from netstructer.protocol.outgoing import Batch, Outgoing, OutgoingBlob, Single
from netstructer.protocol.records import Record
from netstructer.protocol.session import Session
from netstructer.protocol.states import CancelCode, Flag, Kind, Role, State
from pair import (
    ALL_FEATURES,
    INSTANCE,
    RESUMABLE,
    TINY,
    End,
    Hostile,
    Pair,
    error_in,
    feed,
    opened,
    read,
    send,
    session_of,
    tokens_of,
)

KIB, MIB = 1 << 10, 1 << 20
HI = ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)]
SMALL_WINDOW = Limits(credit_bytes=64 * KIB, body_bytes=4 * KIB)
ACKNOWLEDGE, TAKEN = int(Flag.ACKNOWLEDGE), int(Flag.TAKEN)


def both(pair: Pair, value: object, **options: bool) -> None:
    for end in pair.ends:
        send(end.session, value, **options)


# --- the opening ------------------------------------------------------------------------------------------------------


def test_the_opening_is_one_record_each_way() -> None:
    pair = Pair(opened=False)
    assert (pair.client.state, pair.server.state) == (State.EXPECT_ACCEPT, State.EXPECT_OPEN)
    assert (pair.seal(pair.client), pair.seal(pair.server)) == (173, 0)
    assert pair.carry(pair.client) == [Opened()]
    pair.seal(pair.server)
    assert pair.carry(pair.server) == [Opened()]

    assert (pair.client.state, pair.server.state) == (State.READY, State.READY)
    assert pair.client.session.id == pair.server.session.id


def test_nothing_is_said_before_the_peer_is_proved() -> None:
    pair = Pair(opened=False)
    both(pair, HI)
    pair.server.session.ping(0.0)
    pair.client.session.ping(0.0)
    assert (pair.seal(pair.client), pair.seal(pair.server)) == (173, 0)

    assert pair.exchange() == ([HI], [HI])


def test_a_wish_to_resume_is_answered_with_unknown() -> None:
    server = Hostile(Role.SERVER)
    resume = bodies.Open(bodies.OPEN_RESUME, b"i" * 16, b"s" * 32, 5, 5, 1 << 20, INSTANCE)
    assert server.say(Kind.OPEN, body=resume.pack()) == [ResumeAsked(session_id=b"i" * 16)]
    assert server.session.state is State.CLAIMED
    assert server.hear() == []
    assert type(error_in(server.session.decline())) is SessionLost
    [answer] = server.hear()
    accept = bodies.Accept.unpack(answer.body)
    assert (answer.kind, accept.status, accept.session_id) == (Kind.ACCEPT, bodies.STATUS_UNKNOWN, b"i" * 16)
    assert server.hear() == []

    client = Hostile(Role.CLIENT)
    events = client.say(Kind.ACCEPT, body=accept.pack())
    assert type(error_in(events)) is SessionLost


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"status": bodies.STATUS_BUSY}, Busy),
        ({"session_id": bytes(16)}, IllegalFrame),
        ({"instance": bytes(16)}, IllegalFrame),
        ({"expected": 2}, IllegalFrame),
        ({"following": 2}, IllegalFrame),
    ],
)
def test_an_accept_must_be_of_this_session(change: dict[str, object], error: type[NetstructerError]) -> None:
    client = Hostile(Role.CLIENT)
    accept = bodies.Accept(bodies.STATUS_NEW, client.session_id, INSTANCE, 1, 1, 1 << 20, 0)
    events = client.say(Kind.ACCEPT, body=accept._replace(**change).pack())  # type: ignore[arg-type]

    assert type(error_in(events)) is error
    assert client.hear() == []


# --- messages ---------------------------------------------------------------------------------------------------------


def test_values_go_both_ways_at_once() -> None:
    pair = Pair()
    for value in (HI, list(range(50_000)), os.urandom(300_000), "", {"a": None}):
        both(pair, value)
        assert pair.exchange() == ([value], [value])
    here, there = pair.client.session.traffic, pair.server.session.traffic
    assert (here.messages_sent, here.messages_received) == (5, 5) == (there.messages_sent, there.messages_received)
    assert here.plain_sent == there.plain_received > 300_000
    assert here.wire_sent == len(pair.client.said) == there.wire_received


def test_small_values_are_sealed_at_once_or_take_their_turn() -> None:
    pair = Pair()
    session = pair.client.session
    values = ["small", ["text"] * 2000, os.urandom(5000), "", os.urandom(65_000)]
    sent = len(pair.client.said)
    for number, value in enumerate(values, 1):
        found = session.seal_now(single_of(session, value), 0, 0.0)
        assert found is not None
        assert found[1] == number
        pair.client.wire += found[0]
        sent += len(found[0])
        assert session.traffic.wire_sent == sent
    assert not session.acknowledged(1)
    send(session, "queued")
    assert session.seal_now(single_of(session, 1), 0, 0.0) is None
    assert pair.exchange()[1] == [*values, "queued"]
    assert session.acknowledged(len(values))
    assert session.traffic.messages_sent == len(values) + 1
    assert session.outflow.outbound.sent == pair.server.session.inflow.inbound.received
    session.say_farewell()
    with pytest.raises(LinkClosed):
        session.seal_now(single_of(session, 1), 0, 0.0)


def test_what_is_sealed_at_once_is_named_while_its_fate_is_unknown() -> None:
    session = Pair(features=RESUMABLE).client.session
    for value in ("one", "two"):
        session.seal_now(single_of(session, value), 0, 0.0)

    assert [*session.outflow.kept.ids()] == [1, 2]


def single_of(session: Session, value: object) -> Single:
    single = session.payloads.single(session.payloads.encode(value))
    assert single is not None
    return single


def test_what_is_too_long_for_one_record_is_queued() -> None:
    session = Pair(limits=SMALL_WINDOW).client.session

    assert session.seal_now(single_of(session, os.urandom(5000)), 0, 0.0) is None
    assert session.seal_now(single_of(session, bytes(5000)), 0, 0.0) is not None
    for size, now in ((session.outflow.chunk_bytes, True), (session.outflow.chunk_bytes + 1, False)):
        single = single_of(session, os.urandom(size - 4))
        assert len(single.chunk) == size
        assert (session.seal_now(single, 0, 0.0) is not None) == now
    for value in (Blob(b"x"), bytes(70_000)):
        assert session.payloads.single(session.payloads.encode(value)) is None


def test_nothing_is_sealed_at_once_before_the_opening_without_credit_or_with_padding() -> None:
    unopened = session_of(Role.CLIENT)
    single = single_of(unopened, "x")
    assert unopened.seal_now(single, 0, 0.0) is None
    assert Pair(padding="bucket").client.session.seal_now(single, 0, 0.0) is None
    hostile = Hostile(Role.SERVER)
    hostile.open(limit=0)
    hostile.hear()
    assert hostile.session.seal_now(single, 0, 0.0) is None


def test_a_batch_is_many_messages_in_one_record() -> None:
    pair = Pair()
    session, batch = pair.client.session, Batch()
    values = [{"row": row} for row in range(500)]
    for value in values:
        encoded = session.payloads.encode(value)
        assert session.fits(batch, encoded)
        batch.add(encoded)
    session.queue(batch)

    assert pair.exchange()[1] == values
    assert batch.sealed
    assert session.traffic.messages_sent == 500
    assert session.taken(batch.last_number)


def test_a_batch_is_abandoned_before_it_is_sealed() -> None:
    pair = Pair()
    session = pair.client.session
    for sealed in (False, True):
        batch = Batch()
        batch.add(session.payloads.encode(sealed))
        session.queue(batch)
        if sealed:
            pair.seal(pair.client)
        session.abandon(batch)
    send(session, "after")

    assert pair.exchange()[1] == [True, "after"]


def test_what_fits_into_a_batch() -> None:
    session = session_of(Role.CLIENT, limits=SMALL_WINDOW)
    batch, row = Batch(), session.payloads.encode("x" * 1000)
    assert not session.fits(batch, session.payloads.encode(Blob(b"x")))
    assert not session.fits(batch, session.payloads.encode("x" * 4097))
    for _ in range(4):
        assert session.fits(batch, row) == (batch.count < 4)
        batch.add(row)
    assert not session.fits(batch, row)  # the record is full

    batch, one = Batch(), session.payloads.encode(1)
    while session.fits(batch, one):
        batch.add(one)
    assert batch.count * 256 <= SMALL_WINDOW.credit_bytes // 2  # the credit of many messages is used up before


def test_the_last_value_that_fits_into_a_batch() -> None:
    session = session_of(Role.CLIENT, limits=Limits(credit_bytes=64 * KIB, body_bytes=32 * KIB))
    encode = session.payloads.encode
    batch, row = Batch(), encode("x" * 256)
    while session.fits(batch, row):
        batch.add(row)

    assert (row.plain_bytes, batch.count) == (260, 63)  # 63 × (260 + 4 + 256), and 8 for the number: half of the credit
    assert [encode("x" * count).plain_bytes for count in (4092, 4093)] == [4096, 4097]
    assert [session.fits(Batch(), encode("x" * count)) for count in (4092, 4093)] == [True, False]


@pytest.mark.parametrize("padding", [None, "bucket", "full"])
def test_messages_say_how_long_they_were_on_the_wire(padding: str | None) -> None:
    pair = Pair(padding=padding)
    session = pair.client.session
    for size in range(17):  # each place in a block of the cipher
        batch = Batch()
        batch.add(session.payloads.encode("x" * size))
        session.queue(batch)
        assert pair.seal(pair.client) == batch.wire_bytes > 0
        outgoing = send(session, "x" * size)
        assert pair.seal(pair.client) == outgoing.wire_bytes > 0
    outgoing = send(session, os.urandom(200_000), compress=False)
    assert pair.seal(pair.client) == outgoing.wire_bytes > 200_000


def test_what_blobs_had_in_all_is_counted_where_they_are_sent() -> None:
    pair = Pair()
    for sizes in ((1000, 500), (30,)):
        send(pair.client.session, [Blob(bytes(size)) for size in sizes])
        pair.exchange()

    assert pair.client.session.outflow.plain_blob_bytes == 1530


def test_a_small_message_overtakes_a_large_one() -> None:
    pair = Pair()
    send(pair.client.session, os.urandom(2 * MIB), compress=False)
    send(pair.client.session, os.urandom(2 * MIB), compress=False)
    pair.seal(pair.client, 200_000)
    send(pair.client.session, "small")
    before = len(pair.client.said)
    while not any(message.plain_bytes < 100 for message in pair.server.inbox):
        pair.seal(pair.client, 1)
        pair.carry(pair.client)

    assert len(pair.client.said) - before <= 3 * 263_400  # at most one record of each other, and its own
    assert pair.server.read() == ["small"]
    assert [len(value) for value in pair.exchange()[1]] == [2 * MIB] * 2  # type: ignore[arg-type]


def test_both_ends_send_more_than_the_window_before_either_reads() -> None:
    pair = Pair(limits=SMALL_WINDOW)
    values = (os.urandom(40 * 64 * KIB), os.urandom(30 * 64 * KIB))
    for end, value in zip(pair.ends, values, strict=True):
        send(end.session, value)
    pair.pump()

    assert pair.client.read() == [values[1]]
    assert pair.server.read() == [values[0]]


def test_a_writer_stops_when_the_reader_does_not_read_and_goes_on_when_it_does() -> None:
    pair = Pair(limits=SMALL_WINDOW)
    values = [os.urandom(3 * KIB) for _ in range(100)]
    made = [send(pair.client.session, value) for value in values]
    pair.pump()
    waiting = len(pair.server.inbox)

    assert 15 <= waiting <= 19  # 64 KiB of window
    assert [one.done for one in made] == sorted((one.done for one in made), reverse=True)
    assert pair.client.session.traffic.waiting_bytes > 200_000
    assert pair.exchange()[1] == values
    assert all(one.done for one in made)


def test_more_messages_than_streams() -> None:
    pair = Pair(limits=TINY)
    values = [bytes([place]) * 1500 for place in range(100)]
    for value in values:
        both(pair, value, compress=False)

    assert pair.exchange() == (values, values)


def test_bytes_are_compressed_where_both_ends_allow_it() -> None:
    plain = {}
    for features in (7, 6):
        for compress in (True, False):
            pair = Pair(features=features)
            send(pair.client.session, ["same"] * 20_000, compress=compress)
            assert pair.exchange()[1] == [["same"] * 20_000]
            plain[features, compress] = len(pair.client.said)

    assert plain[7, True] < plain[6, True] / 20
    assert plain[6, True] == plain[6, False] == plain[7, False]


def test_a_message_that_is_no_value_fails_alone() -> None:
    hostile = opened(Role.SERVER)
    [event] = hostile.data(b"\xff\xff")
    with pytest.raises(BadValue):
        read(hostile.session, event.message)  # type: ignore[union-attr]
    assert hostile.session.state is State.READY


# --- blobs ------------------------------------------------------------------------------------------------------------


def chunks_of(*chunks: bytes) -> Iterator[bytes]:
    yield from chunks


def test_blobs_of_every_kind_arrive() -> None:
    pair = Pair()
    contents = [b"", b"x", os.urandom(200_000), b"zip" * 100_000, b"unknown" * 50_000, b""]
    for end in pair.ends:
        blobs = [Blob(content, name=str(place)) for place, content in enumerate(contents[:4])]
        blobs += [Blob.from_iter(chunks_of(content)) for content in contents[4:]]
        send(end.session, {"blobs": blobs, "twice": blobs[0]})
    for [value] in pair.exchange():
        assert isinstance(value, dict)
        assert [bytes(blob) for blob in value["blobs"]] == contents
        assert bytes(value["twice"]) == b""


def test_many_blobs_in_many_values_share_the_streams() -> None:
    pair = Pair(limits=TINY)
    values = [[Blob(bytes([place, blob]) * 500) for blob in range(5)] for place in range(12)]
    for value in values:
        both(pair, value, compress=False)
    for got in pair.exchange():
        assert [[bytes(blob) for blob in value] for value in got] == [list(map(bytes, value)) for value in values]


class SourceBroke(Exception):
    pass


def nothing_is_left(pair: Pair) -> None:
    """Assert that no stream, no place and no promise is taken at either end."""
    for end in pair.ends:
        session = end.session
        lanes = session.outflow.lanes
        assert (len(session.inflow.assembly), session.arrivals._live) == (0, set())
        assert session.arrivals.room.promised_bytes == 0
        most = session.peer_limits.streams
        assert (len(lanes), lanes._most, lanes._parents, lanes._blobs) == (0, most, most, max(1, most * 3 // 4))
        assert (lanes.waiting_bytes, lanes._begun) == (0, {})


@pytest.mark.parametrize("good_chunks", [0, 1, 2, 30])
@pytest.mark.parametrize("size", [None, 10_000_000])
def test_a_source_that_fails_ends_its_message_alone(good_chunks: int, size: int | None) -> None:
    def source() -> Iterator[bytes]:
        for _ in range(good_chunks):
            yield os.urandom(10_000)
        raise SourceBroke("disk gone")

    pair = Pair()
    outgoing = send(pair.client.session, {"scan": Blob.from_iter(source(), size=size)}, compress=False)
    send(pair.client.session, "after")
    pair.pump()
    found, after = pair.server.read()

    assert after == "after"
    assert isinstance(outgoing.error, SourceBroke)
    assert outgoing.done
    assert isinstance(found, dict)
    with pytest.raises(SourceFailed):
        bytes(found["scan"])
    nothing_is_left(pair)


@pytest.mark.parametrize("chunks", [0, 1, 5])
def test_an_interrupt_in_a_source_leaves_no_half_message(chunks: int) -> None:
    def source() -> Iterator[bytes]:
        for _ in range(chunks):
            yield os.urandom(50_000)  # within the first credit of a blob
        raise KeyboardInterrupt

    pair = Pair()
    outgoing = send(pair.client.session, Blob.from_iter(source()), compress=False)
    raised = 0
    for _ in range(20):
        try:
            pair.seal(pair.client, 1)
        except KeyboardInterrupt as error:  # where a link's sender would get it: outside the lock
            pair.client.session.abandon(outgoing, error)
            raised += 1
        pair.carry(pair.client)
    [blob] = pair.exchange()[1]

    assert raised == 1
    assert isinstance(outgoing.error, KeyboardInterrupt)
    with pytest.raises(SourceFailed):
        bytes(blob)  # type: ignore[call-overload]
    assert pair.server.state is State.READY
    nothing_is_left(pair)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SourceBroke])
def test_what_breaks_off_the_sealing_of_a_value_leaves_no_half_message(error: type[BaseException]) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(100_000)
        raise error

    pair = Pair()
    outgoing = Outgoing(pieces(), codec=0, plain_bytes=200_000)
    pair.client.session.queue(outgoing)
    raised = []
    for _ in range(5):
        try:
            pair.seal(pair.client, 1)
        except BaseException as found:
            raised.append(type(found))
        pair.carry(pair.client)
    pair.pump()

    assert raised == ([error] if error is KeyboardInterrupt else [])
    assert isinstance(outgoing.error, error)
    assert (pair.server.inbox, pair.server.state) == ([], State.READY)
    nothing_is_left(pair)


def test_blobs_that_are_too_big_fail_at_the_sender() -> None:
    session = session_of(Role.CLIENT, limits=TINY)
    for blobs in ([Blob(bytes(8193))], [Blob(bytes(5000)), Blob(bytes(5000))]):
        with pytest.raises(MessageTooBig, match="blobs of") as caught:
            session.payloads.encode(blobs)
        assert caught.value.limit == 8192


def test_blobs_of_unknown_length_that_are_too_big_fail_while_they_are_read() -> None:
    pair = Pair(limits=TINY)
    value = [Blob(bytes(5000)), Blob.from_iter(chunks_of(*[bytes(800)] * 3)), Blob.from_iter(chunks_of(bytes(900)))]
    outgoing = send(pair.client.session, value, compress=False)
    send(pair.client.session, "after")
    pair.pump()
    blobs, after = pair.server.read()

    assert after == "after"
    assert isinstance(outgoing.error, MessageTooBig)
    assert isinstance(blobs, list)
    with pytest.raises(SourceFailed):
        bytes(blobs[2])
    nothing_is_left(pair)


# --- cancelling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("records", range(13))
@pytest.mark.parametrize("held", [True, False])
def test_a_message_is_abandoned_in_every_phase(records: int, held: bool) -> None:
    # `held`: the peer hears of the beginning and the end at once.
    pair = Pair(limits=SMALL_WINDOW)
    large, contents = os.urandom(9 * KIB), [os.urandom(17 * KIB), os.urandom(5 * KIB)]
    outgoing = send(pair.client.session, [large, *map(Blob, contents)], compress=False)
    for _ in range(records):
        pair.seal(pair.client, 1)
        if not held:
            pair.carry(pair.client)
    finished, delivered = outgoing.done, outgoing.sealed
    pair.client.session.abandon(outgoing)
    pair.client.session.abandon(outgoing)
    send(pair.client.session, "after")
    pair.pump()
    [*found, after] = pair.server.read()

    assert after == "after"
    assert (len(found), finished) == (delivered, records >= 10) == (records >= 3, records >= 10)
    assert (outgoing.error is None) == finished
    for value in found:
        assert isinstance(value, list)
        assert value[0] == large
        for blob, content in zip(value[1:], contents, strict=True):
            got, error = taken(blob)
            assert content.startswith(got)
            assert (got == content) == (error is None)
            assert isinstance(error, (MessageCancelled, type(None)))
            assert error is None or not finished
    nothing_is_left(pair)


def taken(blob: Blob) -> tuple[bytes, Exception | None]:
    """Return what has come of a blob, and what its reader gets then; None where that is its end."""
    got = b""
    try:
        for chunk in blob:
            got += chunk
    except Exception as error:
        return got, error
    return got, None


@pytest.mark.parametrize("code", [1, 2, 4, 77])
@pytest.mark.parametrize("blobs", [False, True])
def test_the_peer_wants_no_more_of_a_message(code: int, blobs: bool) -> None:
    errors = {1: MessageTooBig, 2: SpoolFull}
    hostile = opened(Role.SERVER)
    value: object = Blob(bytes(300_000)) if blobs else os.urandom(300_000)
    outgoing = send(hostile.session, value, compress=False)
    records = hostile.hear(100_000)
    hostile.cancel(outgoing.number, code=code, stream=records[0].stream)
    [cancel] = hostile.hear()

    assert type(outgoing.error) is errors.get(code, MessageCancelled)
    assert bodies.Cancel.unpack(cancel.body).message == outgoing.number
    hostile.cancel(outgoing.number, code=code, stream=records[0].stream)
    hostile.cancel(99, code=code, stream=records[0].stream)
    assert hostile.hear() == []
    assert hostile.session.state is State.READY


def test_a_cancel_by_the_peer_names_the_stream() -> None:
    hostile = opened(Role.SERVER)
    outgoing = send(hostile.session, os.urandom(300_000), compress=False)
    hostile.hear(1)
    events = hostile.cancel(outgoing.number, stream=outgoing.stream + 2)

    assert type(error_in(events)) is IllegalFrame


def test_a_message_over_the_peers_limit_is_refused_there_and_named_here() -> None:
    # The sender believes a larger limit than the receiver has: as with a peer that changed its mind.
    pair = Pair()
    pair.server.session.inflow.assembly._limits = TINY
    outgoing = send(pair.client.session, os.urandom(3 * MIB))
    other = send(pair.client.session, "other")

    assert pair.exchange()[1] == ["other"]
    assert isinstance(outgoing.error, MessageTooBig)
    assert other.error is None
    assert len(pair.server.session.inflow.assembly) == 0


@pytest.mark.parametrize("flags", [0, ACKNOWLEDGE, TAKEN])
@pytest.mark.parametrize("blob", [False, True])
def test_a_refusal_of_what_is_sealed_reaches_the_sender_that_waits(flags: int, blob: bool) -> None:
    pair = Pair()
    pair.server.session.inflow.assembly._limits = pair.server.session.arrivals._limits = TINY
    outgoing = send(pair.client.session, [Blob(os.urandom(9000)) if blob else os.urandom(400_000)], flags=flags)
    while pair.seal(pair.client):
        pass
    assert outgoing.done
    pair.pump()

    assert isinstance(outgoing.error, MessageTooBig) == bool(flags)
    assert len(pair.server.inbox) == blob  # the value itself was taken
    if blob:
        [[refused]] = pair.server.read()  # type: ignore[misc]
        with pytest.raises(MessageTooBig):
            bytes(refused)


def test_there_is_no_room_for_all_messages_at_once() -> None:
    limits = Limits(value_bytes=MIB, credit_bytes=64 * KIB, spool_memory_bytes=4 * KIB, spool_link_bytes=2 * MIB)
    pair = Pair(limits=limits)
    made = [send(pair.client.session, os.urandom(900_000)) for _ in range(3)]
    arrived = pair.exchange()[1]

    assert len(arrived) == 2
    assert [type(one.error) for one in made if one.error] == [SpoolFull]
    nothing_is_left(pair)
    assert pair.server.session.arrivals.room.disk_bytes == 0


def test_an_end_that_is_leaving_refuses_without_a_word() -> None:
    hostile = opened(Role.SERVER, limits=TINY)
    hostile.session.say_farewell()
    assert [record.kind for record in hostile.hear()] == [Kind.FAREWELL]
    assert hostile.first(b"a", TINY.value_bytes + 1) == []
    hostile.now = 1.0

    assert [record.kind for record in hostile.hear()] == [Kind.ACK]
    assert hostile.session.state is State.LEAVING


# --- blobs that come behind their value -------------------------------------------------------------------------------


def under_way(*, size: int = 4 * MIB, role: Role = Role.SERVER) -> tuple[Hostile, Outgoing, OutgoingBlob]:
    """Return a hostile peer to whom a blob has begun, as far as its first credit reaches."""
    hostile = opened(role)
    outgoing = send(hostile.session, Blob.from_iter(chunks_of(*[bytes(KIB)] * (size // KIB))), compress=False)
    hear_all(hostile)
    return hostile, outgoing, outgoing.blobs[0]


def hear_all(hostile: Hostile) -> list[Record]:
    found: list[Record] = []
    while feed(hostile.session) or (more := hostile.hear()):
        found += more
    return found


def grant(hostile: Hostile, message: int, limit: int) -> list[Event]:
    return hostile.say(Kind.GRANT, body=bodies.Grant(message, limit).pack())


def test_a_blob_goes_as_far_as_its_credit_and_on_from_there() -> None:
    hostile, outgoing, blob = under_way()
    sent = blob.sent_bytes
    assert bodies.FIRST_GRANT - 64 * KIB < sent <= bodies.FIRST_GRANT
    assert hear_all(hostile) == []
    assert grant(hostile, blob.number, bodies.FIRST_GRANT) == []  # said again, it does nothing
    assert hear_all(hostile) == []
    assert grant(hostile, blob.number, MIB) == []
    assert hear_all(hostile) != []
    assert MIB - 64 * KIB < blob.sent_bytes <= MIB
    assert grant(hostile, blob.number, 4 * MIB) == []
    hear_all(hostile)

    assert outgoing.done
    assert (outgoing.error, blob.sent_bytes, outgoing.blob_bytes) == (None, 4 * MIB, 4 * MIB)
    assert grant(hostile, blob.number, 5 * MIB) == []  # it crossed the last record
    assert grant(hostile, 0, 5 * MIB) == []


@pytest.mark.parametrize("wrong", ["less", "value", "next", "far"])
def test_a_grant_takes_nothing_back_and_is_for_a_blob_that_was_begun(wrong: str) -> None:
    hostile, outgoing, blob = under_way()
    assert grant(hostile, blob.number, MIB) == []
    following = hostile.session.outflow.outbound.next_number
    message, limit = {
        "less": (blob.number, MIB - 1),
        "value": (outgoing.number, MIB),
        "next": (following, MIB),
        "far": (1 << 62, MIB),
    }[wrong]

    assert type(error_in(grant(hostile, message, limit))) is IllegalFrame
    assert isinstance(outgoing.error, IllegalFrame)


CANCELS = [(1, MessageTooBig), (2, SpoolFull), (3, MessageCancelled), (5, LinkClosed), (77, MessageCancelled)]


@pytest.mark.parametrize(("code", "error"), CANCELS)
def test_a_blob_for_which_the_peer_has_no_room_is_its_values_end(code: int, error: type[NetstructerError]) -> None:
    hostile, outgoing, blob = under_way()
    hostile.cancel(blob.number, code=code, stream=blob.stream)
    [cancel] = hear_all(hostile)

    assert type(outgoing.error) is error
    assert (cancel.kind, cancel.stream) == (Kind.CANCEL, outgoing.stream)
    assert bodies.Cancel.unpack(cancel.body).message == outgoing.number
    assert hostile.session.state is State.READY


def test_a_blob_that_nobody_wants_is_no_fault_and_its_value_goes_on() -> None:
    hostile = opened(Role.SERVER)
    value = [Blob.from_iter(chunks_of(bytes(MIB))), Blob(bytes(100)), Blob(bytes(MIB))]
    outgoing = send(hostile.session, value, compress=False, flags=ACKNOWLEDGE)
    hear_all(hostile)
    first, second, third = outgoing.blobs
    assert [blob.sealed for blob in outgoing.blobs] == [False, True, False]
    for _ in range(2):
        for blob in (first, second):  # the second crossed its last record
            hostile.cancel(blob.number, code=4, stream=blob.stream)
    [cancel] = hear_all(hostile)
    assert bodies.Cancel.unpack(cancel.body)[1:] == (first.number, 4)
    assert (outgoing.done, third.sealed) == (False, False)
    grant(hostile, third.number, 2 * MIB)
    hear_all(hostile)

    assert outgoing.done
    assert outgoing.error is None
    hostile.session.feed(first, [b"late"], True)
    assert hear_all(hostile) == []


def test_a_cancel_of_a_blob_names_its_stream() -> None:
    hostile, _, blob = under_way()

    assert type(error_in(hostile.cancel(blob.number, stream=blob.stream + 2))) is IllegalFrame


@pytest.mark.parametrize("sealed", [0, 1, 2, 5])
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("sender", [False, True])
@pytest.mark.parametrize("reader", [False, True])
def test_both_ends_give_a_blob_up_at_once(sealed: int, carried: bool, sender: bool, reader: bool) -> None:
    pair = Pair()
    outgoing = send(pair.client.session, [Blob(bytes(300_000)), Blob(bytes(10))], compress=False)
    pair.seal(pair.client, 1)
    pair.carry(pair.client)
    blobs = pair.server.read()[0]
    for _ in range(sealed):
        pair.seal(pair.client, 1)
        if carried:
            pair.carry(pair.client)
    session = pair.server.session
    root = next(iter(session.inflow.assembly._parents.values()), None)
    if sender:
        pair.client.session.abandon(outgoing)
    if reader and root is not None:
        session.arrivals.refuse(session.arrival(root, 0), CancelCode.ABANDONED, LinkClosed("not wanted"))
    pair.pump()

    assert isinstance(blobs, list)
    got, error = taken(blobs[1])
    assert (got, error) == (bytes(10), None) or (sender and isinstance(error, MessageCancelled))
    got, error = taken(blobs[0])
    assert bytes(300_000).startswith(got)
    assert (error is None) == (len(got) == 300_000)
    assert sender or reader or error is None
    assert (pair.client.state, pair.server.state) == (State.READY, State.READY)
    send(pair.client.session, "after")
    assert pair.exchange()[1] == ["after"]
    nothing_is_left(pair)


@pytest.mark.parametrize("leaving", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("sealed", [0, 1, 2, 4, 9])
@pytest.mark.parametrize("taken_before", [False, True])
def test_farewells_while_blobs_are_under_way(leaving: tuple[int, ...], sealed: int, taken_before: bool) -> None:
    pair = Pair(limits=Limits(spool_link_bytes=64 * KIB))
    made = [send(end.session, ["first", Blob(bytes(3 * MIB)), Blob(b"x")], compress=False) for end in pair.ends]
    for _ in range(sealed):
        for end in pair.ends:
            pair.seal(end, 1)
        for end in pair.ends:
            pair.carry(end)
        if taken_before:
            for end in pair.ends:
                end.read()
    for who in leaving:
        for message in pair.ends[who].inbox:  # as a link that closes does
            pair.ends[who].session.take(message)
            pair.ends[who].session.forget(message)
        pair.ends[who].inbox.clear()
        pair.ends[who].session.say_farewell()
    pair.pump(reading=True)
    for _ in range(40):  # who stays reads on, until the other end has said all it has to say
        for end in pair.ends:
            for arrival in tuple(end.session.arrivals._live):
                arrival.reading = True
                arrival.spool.forget(arrival.spool.byte_count)
                end.session.arrivals.consumed(arrival, arrival.spool.byte_count)
        pair.pump(reading=True)

    ends_well(pair)
    assert all(one.done for one in made)
    for who, one in enumerate(made):
        assert isinstance(one.error, (LinkClosed, type(None)))
        if leaving == (who,):
            assert one.error is None  # it finished first
    for end in pair.ends:
        assert (len(end.session.inflow.assembly), end.session.arrivals._live) == (0, set())


@pytest.mark.parametrize("fed", [False, True])
def test_a_cut_is_the_end_of_every_blob_at_both_ends(fed: bool) -> None:
    pair = Pair(limits=Limits(streams=2, spool_link_bytes=64 * KIB))
    blob = bytes(3 * MIB)
    made = [send(pair.client.session, [Blob(blob), Blob(blob)], compress=False) for _ in range(3)]
    if fed:
        pair.pump()
    else:
        for _ in range(4):
            pair.seal(pair.client, 1, feeding=False)
        pair.carry(pair.client)
    values = pair.server.read()
    for end in pair.ends:
        end.session.end(pair.now)

    assert len(values) >= 1
    for value in values:
        assert isinstance(value, list)
        assert all(isinstance(taken(blob)[1], ConnectionCut) for blob in value)
    for one in made:
        assert isinstance(one.error, ConnectionCut)
        assert one.hungry() is None
    assert len(pair.client.session.outflow.lanes) == 0


def test_small_values_and_batches_overtake_blobs_that_wait_for_their_readers() -> None:
    pair = Pair(limits=Limits(streams=8, spool_link_bytes=64 * KIB))
    made = [send(pair.client.session, Blob(bytes(3 * MIB)), compress=False) for _ in range(7)]
    pair.pump()
    assert [one.done for one in made] == [False] * 7
    session, batch = pair.client.session, Batch()
    batch.add(session.payloads.encode("in a batch"))
    session.queue(batch)
    send(session, os.urandom(200_000))
    now = session.seal_now(single_of(session, "at once"), 0, pair.now)
    assert now is None  # others have their turn
    pair.pump()
    found = session.seal_now(single_of(session, "at once"), 0, pair.now)
    assert found is not None
    pair.client.wire += found[0]
    pair.pump()
    values = pair.server.read()

    assert [value for value in values if isinstance(value, str)] == ["in a batch", "at once"]
    assert [one.done for one in made] == [False] * 7
    assert batch.done


def test_a_blob_that_never_comes_keeps_its_reader_waiting_and_its_sender_from_a_farewell() -> None:
    hostile = opened(Role.SERVER)
    value = b"".join(hostile.session.payloads.encode(Blob(b"never")).buffers)
    [event] = hostile.first(value, len(value), place=1, last=True)
    blob = read(hostile.session, event.message)  # type: ignore[union-attr]
    assert isinstance(blob, Blob)
    with pytest.raises(LinkTimeout):
        bytes(blob)
    assert type(error_in(hostile.farewell())) is IllegalFrame
    with pytest.raises(IllegalFrame):
        bytes(blob)


def test_what_blobs_cost_is_paid_with_their_value_until_the_application_has_it() -> None:
    hostile = opened(Role.SERVER, limits=Limits(credit_bytes=64 * KIB))
    [event] = hostile.first(b"\xc0", 1, place=200, last=True)
    parent, inbound = hostile.number - 1, hostile.session.inflow.inbound
    assert inbound.unread == 201 * 256 + 1
    for place in range(200):
        assert error_in(hostile.first(b"", 0, kind=bodies.BLOB, place=place, parent=parent, last=True)) is None
    assert inbound.unread == 201 * 256 + 1
    assert type(error_in(hostile.first(b"\xc0", 1, place=200, last=True))) is CreditExceeded

    hostile = opened(Role.SERVER, limits=Limits(credit_bytes=64 * KIB))
    for _ in range(50):
        [event] = hostile.first(b"\xc0", 1, place=200, last=True)
        hostile.session.take(event.message)  # type: ignore[union-attr]
        hostile.session.forget(event.message)  # type: ignore[union-attr]
        parent = hostile.number - 1
        for place in range(200):
            assert error_in(hostile.first(b"", 0, kind=bodies.BLOB, place=place, parent=parent, last=True)) is None
        hostile.hear()  # acknowledgements, and with them the credit
    assert hostile.session.inflow.inbound.unread == 0


@pytest.mark.long
def test_as_many_blobs_as_there_can_be_in_one_value() -> None:
    pair = Pair(limits=Limits.BULK)
    outgoing = send(pair.client.session, [Blob(b"%d" % place) for place in range(65_535)])
    pair.seal(pair.client)
    pair.carry(pair.client)
    while not pair.server.inbox:
        pair.seal(pair.client)
        pair.carry(pair.client)
    [value] = pair.server.read()
    pair.pump()

    assert isinstance(value, list)
    assert [bytes(blob) for blob in value] == [b"%d" % place for place in range(65_535)]
    assert outgoing.done
    nothing_is_left(pair)


# --- acknowledgement --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 300_000])
def test_acknowledged_is_not_taken(size: int) -> None:
    pair = Pair()
    session = pair.client.session
    outgoing = send(session, os.urandom(size), flags=TAKEN)
    pair.pump()
    number = outgoing.last_number
    assert (session.acknowledged(number), session.taken(number)) == (True, False)
    [message] = pair.server.inbox
    pair.server.session.take(message)
    assert pair.server.session.inflow.inbound.urgent
    pair.pump()

    assert session.taken(number)


def test_an_acknowledgement_that_is_waited_for_comes_at_once() -> None:
    for flags, at_once in ((0, False), (ACKNOWLEDGE, True), (TAKEN, False)):
        for size in (10, 100_000):
            pair = Pair()
            outgoing = send(pair.client.session, os.urandom(size), flags=flags)
            pair.seal(pair.client)
            pair.carry(pair.client)
            pair.seal(pair.server)
            pair.carry(pair.server)
            assert pair.client.session.acknowledged(outgoing.last_number) == at_once

            pair.now += 0.21
            assert pair.server.session.deadline() is not None
            pair.seal(pair.server)
            pair.carry(pair.server)
            assert pair.client.session.acknowledged(outgoing.last_number)


def test_what_is_dropped_by_a_closing_end_was_not_taken() -> None:
    pair = Pair()
    outgoing = send(pair.client.session, HI, flags=TAKEN)
    pair.seal(pair.client)
    pair.server.session.say_farewell()
    pair.pump()

    assert pair.client.session.acknowledged(outgoing.last_number)
    assert not pair.client.session.taken(outgoing.last_number)
    assert pair.server.inbox == []


@pytest.mark.parametrize("leaving", [False, True])
def test_the_blob_of_a_value_that_nobody_takes_is_to_stop(leaving: bool) -> None:
    pair = Pair()
    outgoing = send(pair.client.session, Blob(os.urandom(2 * MIB)), compress=False)
    room = pair.server.session.arrivals.room
    if leaving:
        pair.server.session.say_farewell()
    pair.seal(pair.client)
    pair.carry(pair.client)
    if not leaving:
        [message] = pair.server.inbox
        assert room.memory_bytes > 0
        pair.server.session.inflow.dismiss(message)
    assert room.memory_bytes == 0
    pair.pump()

    assert outgoing.done
    assert len(pair.client.said) < MIB
    assert isinstance(outgoing.error, LinkClosed if leaving else type(None))
    assert (room.memory_bytes, room.disk_bytes, room.promised_bytes) == (0, 0, 0)


# --- time -------------------------------------------------------------------------------------------------------------


def test_an_idle_link_stays_alive_by_pings() -> None:
    pair = Pair()
    for _ in range(300):
        pair.now += 1.0
        for end in pair.ends:
            assert end.session.tick(pair.now) == []
            pair.seal(end)
        for end in pair.ends:
            pair.carry(end)

    assert (pair.client.state, pair.server.state) == (State.READY, State.READY)
    assert pair.client.session.liveness.pongs + pair.server.session.liveness.pongs >= 300 // 17


def test_a_ping_measures_the_way_there_and_back() -> None:
    pair = Pair()
    client = pair.client.session
    client.ping(pair.now)
    client.ping(pair.now)
    assert pair.seal(pair.client) == 4 + 57 + 32  # one of them
    pair.now += 0.25
    pair.carry(pair.client)
    pair.seal(pair.server)
    pair.carry(pair.server)

    assert client.liveness.rtt_seconds == 0.25


def test_a_silent_peer_is_found_dead_and_told_so() -> None:
    pair = Pair()
    due = pair.client.session.deadline()
    assert due is not None
    pair.now = due
    assert pair.client.session.tick(pair.now) == []
    pair.seal(pair.client)
    pair.client.wire.clear()  # the wire is dead
    pair.now = pair.client.session.deadline() or 0.0
    [ended] = pair.client.session.tick(pair.now)
    assert isinstance(ended, Ended)
    assert isinstance(ended.error, Stalled)
    assert pair.client.session.deadline() is None


def test_an_alert_of_a_stall_is_a_stall_and_is_not_answered() -> None:
    hostile = opened(Role.SERVER)
    events = hostile.say(Kind.ALERT, body=bodies.Alert(3, "Stalled").pack())

    assert type(error_in(events)) is Stalled
    assert hostile.hear() == []


def test_time_before_the_opening_and_after_the_end_does_nothing() -> None:
    session = session_of(Role.CLIENT)
    assert (session.deadline(), session.tick(1e9)) == (None, [])
    session.ping(0.0)
    session.end(0.0)
    assert (session.deadline(), session.tick(1e9)) == (None, [])


# --- rekey ------------------------------------------------------------------------------------------------------------


def test_keys_change_by_count_while_messages_go_on() -> None:
    pair = Pair(limits=TINY)
    values = [bytes([place % 256]) * 700 for place in range(1500)]
    for start in range(0, 1500, 100):
        for value in values[start : start + 100]:
            both(pair, value, compress=False)
        assert pair.exchange() == (values[start : start + 100],) * 2
    writers = [end.session.outflow._writer for end in pair.ends]

    assert [writer.sequence // 1024 for writer in writers] == [writer._start // 1024 for writer in writers]
    assert all(writer._start >= 1024 for writer in writers)


def test_keys_change_by_time() -> None:
    pair = Pair(limits=Limits(rekey_seconds=100.0, ping_seconds=1000.0, dead_seconds=3000.0))
    for _ in range(5):
        pair.now += 101
        both(pair, HI)
        assert pair.exchange() == ([HI], [HI])

    assert all(end.session.outflow._writer._since > 500 for end in pair.ends)


def test_nothing_is_sealed_at_once_when_a_key_is_due() -> None:
    pair = Pair(limits=Limits(rekey_seconds=2.0))
    session = pair.client.session

    assert session.seal_now(single_of(session, 1), 0, pair.now + 3.0) is None


# --- the end ----------------------------------------------------------------------------------------------------------


def ends_well(pair: Pair) -> None:
    for end in pair.ends:
        assert end.state is State.CLOSED
        assert [event for event in end.events if not isinstance(event, PeerLeft)][-1:] == [Ended(error=None)]
        assert end.session.error is None
        with pytest.raises(LinkClosed):
            end.session.check_open()
        assert end.session.end(pair.now) == []
        end.session.fail(Stalled("late"))
        assert end.session.error is None


@pytest.mark.parametrize("who", [0, 1])
def test_one_end_says_farewell_after_what_is_queued(who: int) -> None:
    pair = Pair()
    end, other = pair.ends[who], pair.ends[1 - who]
    send(end.session, "last words")
    send(other.session, os.urandom(200_000))
    pair.seal(other)
    end.session.say_farewell(7, "good night")
    end.session.say_farewell(8, "again")
    with pytest.raises(LinkClosed):
        send(end.session, "too late")
    pair.pump()

    assert other.read() == ["last words"]
    assert other.of(PeerLeft) == [PeerLeft(code=7, text="good night")]
    ends_well(pair)


def test_both_say_farewell_at_once() -> None:
    pair = Pair()
    for end in pair.ends:
        end.session.say_farewell()
        pair.seal(end)
    assert {end.state for end in pair.ends} == {State.LEAVING}
    pair.pump()

    ends_well(pair)


def test_the_peer_may_finish_what_it_has_queued() -> None:
    pair = Pair(limits=SMALL_WINDOW)
    outgoing = send(pair.server.session, os.urandom(500_000))
    pair.seal(pair.server, 10_000)
    pair.client.session.say_farewell()
    pair.pump()

    assert outgoing.sealed
    assert pair.client.inbox == []  # it was said that nobody listens any more
    ends_well(pair)


def test_a_farewell_before_the_opening_comes_after_it() -> None:
    pair = Pair(opened=False)
    pair.client.session.say_farewell()
    pair.pump()

    ends_well(pair)


@pytest.mark.parametrize("role", list(Role))
def test_the_transport_ends_in_every_state(role: Role) -> None:
    start = State.EXPECT_ACCEPT if role is Role.CLIENT else State.EXPECT_OPEN
    for state in (start, State.READY, State.LEAVING):
        hostile = Hostile(role).stand(state)
        assert type(error_in(hostile.session.end(0.0))) is ConnectionCut
        assert hostile.session.state is State.FAILED
        assert hostile.hear() == []  # there is nobody to tell
        with pytest.raises(ConnectionCut):
            hostile.session.queue(Batch())
    for state in (State.LEFT, State.PARTING):
        hostile = Hostile(role).stand(state)
        assert hostile.session.end(0.0) == [Ended(error=None)]
        assert hostile.session.state is State.CLOSED
    for state in (State.CLOSED, State.FAILED):
        hostile = Hostile(role).stand(state)
        assert hostile.session.end(0.0) == []
        assert hostile.session.state is state


@pytest.mark.parametrize("state", [State.LEFT, State.PARTING])
def test_a_transport_that_ends_while_something_is_owed_is_a_cut(state: State) -> None:
    hostile = opened(Role.SERVER)
    send(hostile.session, HI)
    if state is State.PARTING:
        hostile.hear()
    hostile.farewell()
    if state is State.PARTING:
        hostile.hear()
    assert hostile.session.state is state
    assert type(error_in(hostile.session.end(0.0))) is ConnectionCut


def test_what_waits_when_the_session_ends_is_given_the_error() -> None:
    pair = Pair(limits=SMALL_WINDOW)
    made = [send(pair.client.session, os.urandom(100_000)) for _ in range(3)]
    pair.seal(pair.client, 1000)
    [ended] = pair.client.session.end(pair.now)

    assert isinstance(ended, Ended)
    assert [one.error for one in made] == [ended.error] * 3


def test_a_fault_found_outside_is_told_to_the_peer() -> None:
    pair = Pair()
    pair.client.session.fail(BadCompression("broken"))
    pair.pump()
    error = pair.server.session.error

    assert type(error) is LinkLost
    assert "alert 2 'BadCompression'" in str(error)
    assert pair.seal(pair.server) == 0


def test_a_closed_end_still_acknowledges() -> None:
    hostile = opened(Role.SERVER)
    hostile.session.say_farewell()
    hostile.hear()
    hostile.farewell()
    events = hostile.say(Kind.ACK, body=bodies.Ack(2, 8 << 20, 0).pack())
    assert events == [Ended(error=None)]

    assert [record.kind for record in hostile.hear()] == [Kind.ACK]


# --- lengths and clocks on the wire -----------------------------------------------------------------------------------


def lengths(end: End) -> list[int]:
    return [len(token) for token in tokens_of(bytes(end.said))]


def conversation(padding: str | None, **shape: object) -> Pair:
    pair = Pair(padding=padding, **shape)  # type: ignore[arg-type]
    both(pair, HI)
    both(pair, os.urandom(150_000))
    both(pair, Blob(b"blob" * 3000))
    pair.client.session.ping(pair.now)
    pair.exchange()
    pair.client.session.say_farewell()
    pair.exchange()
    ends_well(pair)
    return pair


@pytest.mark.parametrize("body_bytes", [1024, 65_536, 1 << 20])
def test_with_full_padding_all_records_are_alike(body_bytes: int) -> None:
    pair = conversation("full", limits=Limits(body_bytes=body_bytes, rekey_seconds=2.0))
    for end in pair.ends:
        first, *rest = lengths(end)

        assert first == (169 if end is pair.client else 153)  # OPEN and ACCEPT, always the same
        assert len(set(rest)) == 1
        assert len(rest) > 5


def test_with_buckets_lengths_are_those_of_few_classes() -> None:
    pair = conversation("bucket")
    blurred = {length for end in pair.ends for length in lengths(end)[1:]}
    plain = conversation(None)

    assert len(blurred) <= 4
    assert len({length for end in plain.ends for length in lengths(end)[1:]}) > len(blurred)


def test_a_rekey_is_padded_as_all_else() -> None:
    for padding in ("full", "bucket"):
        pair = Pair(padding=padding, limits=Limits(rekey_seconds=2.0, ping_seconds=50.0, dead_seconds=100.0))
        pair.now = 10.0
        pair.client.said.clear()
        send(pair.client.session, 1)
        pair.seal(pair.client)

        assert len(lengths(pair.client)) == 2
        assert len(set(lengths(pair.client))) == (1 if padding == "full" else 2)
        assert pair.exchange()[1] == [1]


def test_the_clock_in_the_clear_is_told_or_hidden() -> None:
    for wall in (0.0, 1_700_000_000.9):
        pair = conversation(None, wall=wall)
        clocks = {int.from_bytes(token[1:9], "big") for end in pair.ends for token in tokens_of(bytes(end.said))}

        assert clocks == {int(wall)}


def test_no_plaintext_is_on_the_wire() -> None:
    pair = Pair()
    send(pair.client.session, "canary canary canary", compress=False)
    pair.exchange()

    assert b"canary" not in pair.client.said


def test_an_idle_link_gives_its_buffers_back() -> None:
    pair = Pair()
    both(pair, os.urandom(200_000))
    pair.exchange()
    for end in pair.ends:
        end.session.frames.shrink()

        assert len(end.session.frames._buffer) == 4096


def test_has_output_says_whether_there_may_be_something() -> None:
    pair = Pair()
    session = pair.client.session
    assert not session.has_output(pair.now)
    send(session, 1)
    assert session.has_output(pair.now)
    pair.exchange()
    assert not session.has_output(pair.now)
    session.ping(pair.now)
    assert session.has_output(pair.now)
    pair.exchange()
    send(pair.server.session, 1)
    pair.seal(pair.server)
    pair.carry(pair.server)
    due = pair.now + Limits.DEFAULT.ack_seconds
    assert [session.has_output(now) for now in (pair.now, due - 0.001, due)] == [False, False, True]


def test_a_full_server_tells_the_client_that_proved_its_key() -> None:
    opening = Opening(INSTANCE)
    asked = bodies.Open(bodies.OPEN_NEW, b"i" * 16, b"s" * 32, 1, 1, 1 << 20, bytes(16))
    answer, refusal = opening.hear(asked, 1 << 20, full=True, seconds=0)
    assert type(refusal) is Busy

    for features in (ALL_FEATURES, RESUMABLE):  # a session that was never there cannot go on
        client = Hostile(Role.CLIENT, features=features)
        assert type(error_in(client.say(Kind.ACCEPT, body=answer))) is Busy
