"""A hostile peer that holds the keys: what it breaks is refused, and what it makes this end hold is bounded."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Sequence

import pytest

from fuzz import expand_target, frame_target, session_target, wire_target
from fuzz.blind import fuzz
from fuzz.targets import Target
from netstructer.codec.blob import Blob
from netstructer.codec.compression import ZSTD, compress
from netstructer.codec.values import encode
from netstructer.errors import (
    BadCompression,
    BadSeal,
    BadValue,
    CreditExceeded,
    FrameTooBig,
    Gap,
    IllegalFrame,
    LinkLost,
    NetstructerError,
    OutOfOrder,
    RekeyOverdue,
)
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.events import Event, PeerLeft
from netstructer.protocol.states import CancelCode, Kind, Role, State
from pair import TINY, Hostile, Pair, data_body, error_in, messages_in, opened, read, send
from small_stack import on_a_small_stack

MIB = 1 << 20
VALUE = b"".join(encode("value").buffers)


def refused(hostile: Hostile, events: Sequence[Event], error: type[NetstructerError]) -> None:
    """The session has failed with that error, keeps it, and told the peer about it in one ALERT."""
    session = hostile.session
    assert type(error_in(events)) is error
    assert session.state is State.FAILED
    assert session.error is error_in(events)
    said = hostile.hear()
    if issubclass(error, BadSeal):
        assert said == []
    else:
        [alert] = said
        assert alert.kind == Kind.ALERT
        assert bodies.Alert.unpack(alert.body).text == error.__name__
    assert session.receive_data(hostile.seal(Kind.PING, body=bytes(8)), 0.0) == []
    assert hostile.hear() == []


# --- delivery ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 2, 3, (1 << 64) - 1])
def test_numbers_out_of_turn(number: int) -> None:
    for kind, stream, body in (
        (Kind.DATA, 1, data_body(number, VALUE)),
        (Kind.BATCH, 0, bodies.batch(number, [b"\0\0\0\1", b"\xc0"])),
        (Kind.CANCEL, 2, bodies.Cancel(number, 1, 1).pack()),
    ):
        hostile = opened(Role.SERVER)
        events = hostile.say(kind, 3 if kind is Kind.DATA else 0, stream, body)
        if number:
            refused(hostile, events, Gap)
        else:  # had before: dropped without a word
            assert events == []
            assert hostile.session.state is State.READY


@pytest.mark.parametrize(("number", "error"), [(0, IllegalFrame), (2, Gap)])
def test_a_farewell_out_of_turn_is_no_farewell(number: int, error: type[NetstructerError]) -> None:
    hostile = opened(Role.SERVER)
    events = hostile.say(Kind.FAREWELL, body=bodies.Farewell(number, 0, "").pack())

    assert not any(isinstance(event, PeerLeft) for event in events)
    refused(hostile, events, error)


def test_what_was_had_before_is_dropped_and_what_follows_is_taken() -> None:
    hostile = opened(Role.SERVER)
    assert len(messages_in(hostile.data(VALUE))) == 1
    hostile.number = 1
    for _ in range(3):
        assert hostile.data(VALUE) == []
        hostile.number = 1
    batch = [b"\0\0\0\1", b"\xc0"]
    assert hostile.say(Kind.BATCH, body=bodies.batch(1, batch)) == []
    assert hostile.cancel(1) == []
    assert len(messages_in(hostile.data(VALUE))) == 1
    assert hostile.session.inflow.inbound.unread == 2 * (256 + len(data_body(1, VALUE)))


def test_more_than_the_credit() -> None:
    hostile = opened(Role.SERVER, limits=TINY)
    taken = 0
    while not error_in(events := hostile.data(b"v" * 900)):
        assert len(messages_in(events)) == 1
        taken += 1
    assert taken == TINY.credit_bytes // (900 + 32 + 256)
    refused(hostile, events, CreditExceeded)


def test_credit_that_is_given_back_may_be_used() -> None:
    hostile = opened(Role.SERVER, limits=TINY)
    for _ in range(500):
        [message] = messages_in(hostile.data(b"v" * 900))
        hostile.session.take(message)
        hostile.hear()
    assert hostile.session.state is State.READY


@pytest.mark.parametrize("ack", [(0, 9 << 20, 0), (3, 9 << 20, 0), (1, 8 << 19, 0), (1, 9 << 20, 1), (2, 9 << 20, 2)])
def test_acknowledgements_that_cannot_be(ack: tuple[int, int, int]) -> None:
    hostile = opened(Role.SERVER)
    send(hostile.session, 1)
    hostile.hear()
    refused(hostile, hostile.say(Kind.ACK, body=bodies.Ack(*ack).pack()), IllegalFrame)


# --- records ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_the_opening_comes_first_and_once(role: Role) -> None:
    hostile = Hostile(role)
    events = hostile.say(Kind.PING, body=bytes(8))
    assert type(error_in(events)) is IllegalFrame
    assert [record.kind for record in hostile.hear()] == []  # strangers are told nothing
    twice = opened(role)
    refused(twice, twice.open(), IllegalFrame)


def test_a_server_takes_nothing_longer_than_an_open_first() -> None:
    for size, error in ((92, IllegalFrame), (95, IllegalFrame), (96, FrameTooBig), (5000, FrameTooBig)):
        assert type(error_in(Hostile(Role.SERVER).say(Kind.OPEN, body=bytes(size)))) is error


def test_a_record_over_the_stated_limit() -> None:
    for size, legal in ((65_536, True), (65_536 + 15, True), (65_536 + 16, False)):
        hostile = opened(Role.SERVER, limits=Limits(body_bytes=65_536))
        head = bodies.number(1) + bodies.First(1, 0, 0, MIB, 0).pack()
        events = hostile.say(Kind.DATA, 1, 1, head + bytes(size - len(head)))
        if legal:
            assert events == []
        else:
            refused(hostile, events, FrameTooBig)


def test_sequence_and_seal() -> None:
    for sequence in (0, 2, 1 << 40):
        hostile = opened(Role.SERVER)
        hostile.sequence = sequence
        refused(hostile, hostile.data(VALUE), OutOfOrder)
    hostile = opened(Role.SERVER)
    frame = bytearray(hostile.seal(Kind.PING, body=bytes(8)))
    frame[-1] ^= 1
    refused(hostile, hostile.session.receive_data(frame, 0.0), BadSeal)


def test_padding_is_taken_off_and_must_be_zero() -> None:
    hostile = opened(Role.SERVER)
    assert hostile.say(Kind.PING, body=b"12345678" + bytes(1000), pad=1000) == []
    assert hostile.hear()[0].body == b"12345678"
    refused(hostile, hostile.say(Kind.PING, body=b"12345678\0\1", pad=2), IllegalFrame)


def test_rekey_for_sport_and_rekey_in_time() -> None:
    hostile = opened(Role.SERVER)
    hostile.rekey()
    for _ in range(3):
        hostile.now += 1.0
        assert hostile.rekey() == []
    assert len(messages_in(hostile.data(VALUE))) == 1
    refused(hostile, hostile.rekey(), RekeyOverdue)
    hostile = opened(Role.SERVER)
    refused(hostile, hostile.say(Kind.REKEY, body=b"x"), IllegalFrame)


def test_a_key_that_is_kept_too_long() -> None:
    hostile = opened(Role.SERVER)
    hostile.sequence = hostile.session.inflow._reader.sequence = (1 << 20) - 1
    refused(hostile, hostile.data(VALUE), RekeyOverdue)


def test_pings_without_end_and_pongs_without_ping() -> None:
    hostile = opened(Role.SERVER)
    for _ in range(10):
        assert hostile.say(Kind.PING, body=bytes(8)) == []
    assert [record.kind for record in hostile.hear()] == [Kind.PONG] * 10
    refused(hostile, hostile.say(Kind.PING, body=bytes(8)), IllegalFrame)
    hostile = opened(Role.SERVER)
    hostile.session.ping(0.0)
    hostile.hear()
    refused(hostile, hostile.say(Kind.PONG, body=bytes(8)), IllegalFrame)


@pytest.mark.parametrize("code", [0, 1, 2, 65_535])
def test_an_alert_ends_it_and_is_not_answered(code: int) -> None:
    for role in Role:
        hostile = opened(role)
        events = hostile.say(Kind.ALERT, body=bodies.Alert(code, "text").pack())
        assert type(error_in(events)) is LinkLost
        assert hostile.hear() == []


def test_a_client_hears_an_alert_before_the_accept() -> None:
    hostile = Hostile(Role.CLIENT)

    assert type(error_in(hostile.say(Kind.ALERT, body=bodies.Alert(1, "x").pack()))) is LinkLost


# --- messages ---------------------------------------------------------------------------------------------------------


def test_a_cancel_needs_a_stream_and_something_to_cancel() -> None:
    hostile = opened(Role.SERVER)
    refused(hostile, hostile.cancel(1, stream=0), IllegalFrame)
    hostile = opened(Role.SERVER)
    refused(hostile, hostile.cancel(1), IllegalFrame)


def test_a_farewell_in_the_middle_of_a_message() -> None:
    hostile = opened(Role.SERVER)
    hostile.first(b"half", 99)
    refused(hostile, hostile.farewell(), IllegalFrame)


def test_a_value_in_a_batch_over_the_limit() -> None:
    limits = Limits(value_bytes=1024, body_bytes=4096)
    for size, legal in ((1024, True), (1025, False)):
        hostile = opened(Role.SERVER, limits=limits)
        body = bodies.batch(1, [b"\0\0\0\1", b"\xc0", size.to_bytes(4, "big"), bytes(size)])
        events = hostile.say(Kind.BATCH, body=body)
        if legal:
            assert len(messages_in(events)) == 2
        else:
            assert messages_in(events) == []
            refused(hostile, events, IllegalFrame)


def test_blobs_that_expand_over_the_limit_are_refused_before_they_are_expanded() -> None:
    limits = Limits(message_bytes=MIB, credit_bytes=64 << 10)
    hostile = opened(Role.SERVER, limits=limits)
    value = b"".join(encode([Blob(b"")] * 3).buffers)
    hostile.first(value, len(value), place=3, last=True)
    parent = hostile.number - 1
    size = 500 << 10
    payload = b"".join(compress([bytes(size)], size)[1])
    tracemalloc.start()
    events = []
    for place in range(3):
        events += hostile.first(
            payload,
            size,
            kind=bodies.BLOB,
            codec=ZSTD,
            place=place,
            parent=parent,
            last=True,
            total=size,
        )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert events == []
    assert peak < 256 << 10
    [cancel] = [record for record in hostile.hear() if record.kind == Kind.CANCEL]
    assert bodies.Cancel.unpack(cancel.body)[1:] == (parent + 3, CancelCode.TOO_BIG)
    assert len(messages_in(hostile.data(VALUE))) == 1


def test_a_blob_of_unknown_length_expands_as_far_as_its_reader_goes() -> None:
    hostile = opened(Role.SERVER)
    value = b"".join(encode(Blob.from_iter([])).buffers)
    [message] = messages_in(hostile.first(value, len(value), place=1, last=True))
    plain = 100 * MIB
    payload = b"".join(compress([bytes(MIB)] * 100, None)[1])
    parent = hostile.number - 1
    tracemalloc.start()
    hostile.first(payload, bodies.UNKNOWN, kind=bodies.BLOB, codec=ZSTD, parent=parent, last=True, total=plain)
    blob = read(hostile.session, message)
    assert isinstance(blob, Blob)
    found = sum(map(len, blob))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found == plain
    assert peak < 2 * MIB


def test_bombs_as_values_cost_nothing_until_they_are_read_and_little_then() -> None:
    plain = bytes(100 * MIB)
    payload = b"".join(compress([plain], len(plain))[1])
    del plain
    hostile = opened(Role.SERVER)
    events = hostile.first(payload, MIB, codec=ZSTD, last=True)
    [message] = messages_in(events)
    tracemalloc.start()
    with pytest.raises(BadCompression):
        read(hostile.session, message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2 * MIB


def test_many_small_messages_that_nobody_reads_are_bounded_by_the_credit() -> None:
    limits = Limits(credit_bytes=MIB)
    hostile = opened(Role.SERVER, limits=limits)
    held = []
    tracemalloc.start()
    items = [b"\0\0\0\1", b"\xc0"] * 800
    while error_in(events := hostile.say(Kind.BATCH, body=bodies.batch(hostile.next_number(), items))) is None:
        held += messages_in(events)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(held) > 3000
    assert peak < 4 * limits.credit_bytes


def test_depth_and_width_are_the_decoders_business() -> None:
    hostile = opened(Role.SERVER)
    for payload in (os.urandom(3000), b"\xff" * 60_000, VALUE + b"\0", VALUE[:-1]):
        [message] = messages_in(hostile.data(payload))
        began = time.thread_time()
        with pytest.raises(BadValue):
            read(hostile.session, message)
        assert time.thread_time() - began < 1.0
    assert hostile.session.state is State.READY


# --- anything ---------------------------------------------------------------------------------------------------------

TARGETS = {"frame": frame_target, "expand": expand_target, "session": session_target, "wire": wire_target}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_arbitrary_and_mutated_input(name: str) -> None:
    # `fuzz` runs its target on a thread with a stack of 256 KiB.
    _fuzz(name, {"frame": 2000, "expand": 2000, "session": 1200, "wire": 300}[name], seed=11)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_hundred_thousand_inputs(name: str) -> None:
    _fuzz(name, 100_000, seed=12)


def _fuzz(name: str, runs: int, *, seed: int) -> None:
    module = TARGETS[name]
    run = fuzz(Target(name=name, corpus=tuple(module.seeds()), one=module.one), seed=seed, runs=runs)

    assert run.fault is None, run.fault.text
    assert run.count == runs


def test_a_conversation_on_a_small_stack() -> None:
    def converse() -> list[int]:
        pair = Pair()
        deep: object = "bottom"
        for _ in range(250):
            deep = [deep]
        for end in pair.ends:
            send(end.session, deep)
            send(end.session, {"table": [{"row": row} for row in range(2000)]})
        return [len(values) for values in pair.exchange()]

    assert on_a_small_stack(converse) == [2, 2]
