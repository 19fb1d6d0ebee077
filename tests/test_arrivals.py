"""Arrivals: what the peer may send of each blob, whose room is kept for it, and how each of them ends."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.codec.compression import NONE, ZSTD
from netstructer.errors import (
    CreditExceeded,
    IllegalFrame,
    LinkClosed,
    LinkLost,
    MessageCancelled,
    MessageTooBig,
    NetstructerError,
    SourceFailed,
    SpoolFull,
)
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import GAP_SECONDS, WINDOW_BYTES, Arrival
from netstructer.protocol.bodies import FIRST_GRANT
from netstructer.protocol.states import CancelCode
from pair import Told

KIB, MIB = 1 << 10, 1 << 20
CHUNK = 64 * KIB
LIMITS = Limits(spool_memory_bytes=MIB, spool_link_bytes=64 * MIB, streams=2)
NO_DISK = dataclasses.replace(LIMITS, spool_link_bytes=2)


def begun(told: Told, plain_bytes: int | None = None, *, codec: int = NONE, number: int = 7) -> Arrival:
    arrival = told.arrivals.expect(1, 0)
    told.arrivals.begin(arrival, number, 3, codec, plain_bytes)
    return arrival


def fill(told: Told, arrival: Arrival, most: int = 1 << 40) -> int:
    """Send what was granted, as an eager peer does, up to `most` bytes in all; return how many bytes came."""
    chunk = memoryview(bytes(CHUNK))
    while arrival.error is None and (came := arrival.spool.byte_count) < min(arrival.granted, most):
        told.arrivals.add(arrival, chunk[: min(arrival.granted, most) - came])
    return arrival.spool.byte_count


def test_a_blob_may_begin_with_its_first_grant_and_that_is_not_said() -> None:
    told = Told(LIMITS)
    arrival = begun(told)

    assert (arrival.granted, told.grants) == (FIRST_GRANT, [])
    told.arrivals.review(arrival)
    assert told.grants[0].limit == WINDOW_BYTES  # all of its window may come


def test_a_blob_that_has_not_begun_is_granted_nothing() -> None:
    told = Told(LIMITS)
    arrival = told.arrivals.expect(1, 0)
    told.arrivals.review(arrival)

    assert (arrival.granted, told.grants) == (FIRST_GRANT, [])


def test_a_blob_that_nobody_reads_is_taken_in_as_far_as_the_budget_goes() -> None:
    told = Told(LIMITS)
    arrival = begun(told)
    came = fill(told, arrival)
    room = told.arrivals.room

    assert 62 * MIB <= came <= 65 * MIB
    assert arrival.error is None
    assert came == arrival.granted == told.grants[-1].limit
    assert room.promised_bytes == 0  # all that was promised came
    assert room.disk_bytes + room.promised_bytes <= 64 * MIB
    assert [grant.message for grant in told.grants] == [7] * len(told.grants)
    assert [grant.limit for grant in told.grants] == sorted({grant.limit for grant in told.grants})


def test_a_blob_that_nobody_reads_stops_itself_and_nothing_else() -> None:
    told = Told(LIMITS)
    unread = begun(told)
    fill(told, unread)
    for number in range(20, 40):
        arrival = begun(told, number=number)
        arrival.reading = True
        while arrival.spool.byte_count < 4 * MIB:
            before = arrival.spool.byte_count
            fill(told, arrival, 4 * MIB)
            assert arrival.spool.byte_count > before
            arrival.spool.forget(arrival.spool.byte_count)
            told.arrivals.consumed(arrival, arrival.spool.byte_count)
        told.arrivals.finish(arrival, 4 * MIB)

        assert arrival.error is None
        assert arrival.whole


def test_reading_on_lets_more_come_where_the_budget_was_used_up() -> None:
    told = Told(LIMITS)
    arrival = begun(told)
    came = fill(told, arrival)
    arrival.reading = True
    told.arrivals.consumed(arrival, MIB)
    assert fill(told, arrival) == came  # much of what is here waits for the reader
    arrival.spool.forget(came)
    told.arrivals.consumed(arrival, came)

    assert fill(told, arrival) == came + arrival.window_bytes


def test_a_blob_that_is_read_never_gets_further_ahead_than_its_window() -> None:
    told = Told(LIMITS)
    arrival = begun(told)
    arrival.reading = True
    position = 0
    while position < 8 * MIB:
        came = fill(told, arrival)
        assert position < came <= position + arrival.window_bytes
        position += 40_000
        arrival.spool.forget(position)
        told.arrivals.consumed(arrival, position)

    assert told.arrivals.room.disk_bytes == 0
    steps = [after.limit - before.limit for before, after in zip(told.grants, told.grants[1:], strict=False)]
    assert min(steps) >= FIRST_GRANT // 4  # they are not said for every few bytes


def test_who_begins_to_read_gives_no_more_credit_than_was_given() -> None:
    told = Told(LIMITS)
    arrival = begun(told)
    fill(told, arrival, 3 * MIB)
    said = list(told.grants)
    arrival.reading = True
    told.arrivals.review(arrival)
    told.arrivals.consumed(arrival, 100)
    told.arrivals.consumed(arrival, 50)  # another reader, further behind

    assert (told.grants, arrival.consumed) == (said, 100)


def test_without_a_disk_a_blob_still_has_its_memory() -> None:
    told = Told(NO_DISK)
    arrival = begun(told)

    assert fill(told, arrival) == FIRST_GRANT
    assert arrival.error is None
    assert told.arrivals.cramped(arrival)
    assert not Told(LIMITS).arrivals.cramped(arrival)


@given(st.data())
def test_promises_are_what_is_needed_and_honest_peers_find_room(data: st.DataObject) -> None:
    memory, disk = data.draw(st.sampled_from([100_000, 300_000, MIB])), data.draw(st.integers(4 * MIB, 9 * MIB))
    limits = Limits(spool_memory_bytes=memory, spool_link_bytes=disk, streams=2)
    told = Told(limits)
    live = [begun(told, number=number) for number in (5, 6)]
    for _ in range(data.draw(st.integers(1, 25))):
        arrival = data.draw(st.sampled_from(live))
        step = data.draw(st.sampled_from(["come", "come", "come", "read", "end", "drop"]))
        came = arrival.spool.byte_count
        if step == "come" and not arrival.over:
            told.arrivals.now += data.draw(st.sampled_from([0.0, 0.01]))
            fill(told, arrival, came + data.draw(st.integers(1, 3 * MIB)))
        elif step == "read":
            arrival.reading = True
            position = data.draw(st.integers(arrival.spool.start, came))
            arrival.spool.forget(position)
            told.arrivals.consumed(arrival, position)
        elif step in ("end", "drop") and data.draw(st.integers(0, 5)) == 0:
            if step == "end":
                told.arrivals.finish(arrival, came)
            else:
                arrival.spool.close()
                told.arrivals.refuse(arrival, CancelCode.ABANDONED, LinkClosed("dropped"))
        assert not isinstance(arrival.error, SpoolFull)
        assert told.arrivals.room.promised_bytes == sum(one.promised for one in live)
        for one in live:
            outstanding = 0 if one.over else one.granted - one.spool.byte_count
            assert 0 <= one.promised <= max(0, outstanding)
    for arrival in live:
        told.arrivals.refuse(arrival, CancelCode.ABANDONED, LinkClosed("the end"))
        arrival.spool.close()

    room = told.arrivals.room
    assert (room.promised_bytes, room.memory_bytes, room.disk_bytes) == (0, 0, 0)


# --- the window -------------------------------------------------------------------------------------------------------


def run(told: Told, arrival: Arrival, *, delay: float, slow: bool = False) -> int:
    """Read a blob to and fro: grants take `delay` to be heard, and its chunks to come; return its window then."""
    arrival.reading = True
    for _ in range(40):
        came, granted = fill(told, arrival), arrival.granted
        arrival.spool.forget(came)
        told.arrivals.now += 0.2 if slow else 0.0
        told.arrivals.consumed(arrival, came)
        assert arrival.granted > granted
        told.arrivals.now += delay
    return arrival.window_bytes


@pytest.mark.parametrize("slow", [False, True])
def test_the_window_grows_by_the_delay_of_the_network_and_by_no_reader(slow: bool) -> None:
    for delay, most in ((0.0, WINDOW_BYTES), (GAP_SECONDS / 2, WINDOW_BYTES), (0.05, LIMITS.credit_bytes // 2)):
        told = Told(LIMITS)

        assert run(told, begun(told), delay=delay, slow=slow) == most


def test_the_window_stays_where_the_peer_was_not_waiting_for_credit() -> None:
    told = Told(LIMITS)
    arrival = begun(told)
    for _ in range(20):
        told.arrivals.now += 1.0  # a slow source, with credit all the time
        told.arrivals.add(arrival, memoryview(bytes(1000)))

    assert arrival.window_bytes == WINDOW_BYTES


# --- what is illegal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", [0, 1, CHUNK])
def test_more_than_was_granted_is_a_fault(over: int) -> None:
    told = Told(NO_DISK)
    arrival = begun(told)
    arrival.reading = True
    room = FIRST_GRANT - fill(told, arrival, FIRST_GRANT - 10)
    told.arrivals.add(arrival, memoryview(bytes(room)))
    if over:
        with pytest.raises(CreditExceeded, match=f"{FIRST_GRANT + over} of {FIRST_GRANT}"):
            told.arrivals.add(arrival, memoryview(bytes(over)))

    assert arrival.spool.byte_count == FIRST_GRANT


def test_more_or_fewer_bytes_than_stated_are_a_fault() -> None:
    told = Told(LIMITS)
    arrival = begun(told, 5)
    with pytest.raises(IllegalFrame, match="a blob of 5 bytes has more"):
        told.arrivals.add(arrival, memoryview(b"123456"))
    for plain_bytes, total in ((5, 4), (5, 5), (None, 5)):
        arrival = begun(told, plain_bytes)
        told.arrivals.add(arrival, memoryview(b"1234"))
        with pytest.raises(IllegalFrame, match="ends with a total of"):
            told.arrivals.finish(arrival, total)
        assert not arrival.whole
    arrival = begun(told, 0)
    with pytest.raises(IllegalFrame, match="has more"):
        told.arrivals.add(arrival, memoryview(b"1"))


def test_what_is_compressed_may_be_of_any_length_below_what_it_stands_for() -> None:
    told = Told(LIMITS)
    for plain_bytes in (None, 100_000):
        arrival = begun(told, plain_bytes, codec=ZSTD)
        told.arrivals.add(arrival, memoryview(b"packed"))
        told.arrivals.finish(arrival, 100_000)

        assert (arrival.whole, arrival.plain_bytes) == (True, 100_000)
    assert told.arrivals.plain_bytes == 200_000


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain_bytes", [None, 0])
def test_an_empty_blob_is_whole_at_once(plain_bytes: int | None) -> None:
    told = Told(LIMITS)
    arrival = begun(told, plain_bytes)
    told.arrivals.add(arrival, memoryview(b""))
    assert not arrival.reaches(0)
    told.arrivals.finish(arrival, 0)

    assert (arrival.whole, arrival.over, arrival.reaches(0), arrival.plain_bytes) == (True, True, True, 0)
    assert told.arrivals._live == set()


def test_a_reader_waits_until_there_is_more_or_will_not_be() -> None:
    told = Told(LIMITS)
    arrival = begun(told)
    told.arrivals.add(arrival, memoryview(b"1234"))
    assert [arrival.reaches(position) for position in (0, 3, 4)] == [True, True, False]
    told.arrivals.finish(arrival, 4)

    assert arrival.reaches(4)


CODES = [
    (CancelCode.SOURCE_FAILED, SourceFailed),
    (CancelCode.ABANDONED, MessageCancelled),
    (CancelCode.TOO_BIG, MessageCancelled),
    (99, MessageCancelled),
]


@pytest.mark.parametrize(("code", "error"), CODES)
def test_what_the_sender_gives_up_fails_after_what_came(code: int, error: type[NetstructerError]) -> None:
    told = Told(LIMITS)
    arrival = begun(told)
    fill(told, arrival, 3 * MIB)
    told.arrivals.broken_off(arrival, code)
    told.arrivals.broken_off(arrival, CancelCode.TOO_BIG)

    assert (type(arrival.error), arrival.over, arrival.whole) == (error, True, False)
    assert arrival.spool.byte_count == 3 * MIB
    assert (told.cancels, told.arrivals._live, told.arrivals.room.promised_bytes) == ([], set(), 0)
    late = told.arrivals.expect(1, 0, code)
    assert (type(late.error), told.arrivals._live) == (error, set())


@pytest.mark.parametrize("ends", ["last record", "cancel", "nothing"])
@pytest.mark.parametrize("came", [0, 100])
def test_what_is_refused_is_dropped_until_its_sender_has_heard(ends: str, came: int) -> None:
    told = Told(LIMITS)
    arrival = begun(told)
    told.arrivals.add(arrival, memoryview(bytes(came)))
    for _ in range(2):
        told.arrivals.refuse(arrival, CancelCode.ABANDONED, LinkClosed("not wanted"))
    said = len(told.grants)
    for _ in range(100):
        told.arrivals.add(arrival, memoryview(bytes(CHUNK)))
    assert (arrival.spool.byte_count, len(told.grants)) == (came, said)
    if ends == "last record":
        told.arrivals.finish(arrival, came + 100 * CHUNK)
    elif ends == "cancel":
        told.arrivals.broken_off(arrival, CancelCode.ABANDONED)

    assert told.cancels == [(3, 7, CancelCode.ABANDONED)]
    assert (type(arrival.error), arrival.whole) == (LinkClosed, False)
    assert arrival not in told.arrivals._live
    assert told.arrivals.plain_bytes == 0


def test_what_is_refused_before_it_begins_is_stopped_when_it_does() -> None:
    told = Told(LIMITS)
    arrival = told.arrivals.expect(1, 0)
    told.arrivals.refuse(arrival, CancelCode.ABANDONED, LinkClosed("not wanted"))
    assert told.cancels == []
    told.arrivals.begin(arrival, 9, 5, NONE, 100)

    assert told.cancels == [(5, 9, CancelCode.ABANDONED)]


def test_what_is_whole_is_not_refused() -> None:
    told = Told(LIMITS)
    arrival = begun(told)
    told.arrivals.add(arrival, memoryview(b"1234"))
    told.arrivals.finish(arrival, 4)
    told.arrivals.refuse(arrival, CancelCode.ABANDONED, LinkClosed("not wanted"))
    told.arrivals.broken_off(arrival, CancelCode.ABANDONED)
    told.arrivals.end(LinkLost("cut"))

    assert (arrival.error, arrival.whole, told.cancels) == (None, True, [])


def test_what_is_over_the_limit_is_refused_while_it_comes() -> None:
    told = Told(dataclasses.replace(LIMITS, message_bytes=MIB))
    arrival = begun(told)
    fill(told, arrival, MIB)
    assert arrival.error is None
    told.arrivals.add(arrival, memoryview(b"1"))

    assert told.cancels == [(3, 7, CancelCode.TOO_BIG)]
    assert isinstance(arrival.error, MessageTooBig)
    assert (arrival.error.limit, arrival.error.found) == (MIB, MIB + 1)


def test_what_finds_no_room_is_refused_and_what_came_can_be_read() -> None:
    # Memory is short, and what a blob may send before its first grant has no room promised: it takes many of them.
    told = Told(Limits(credit_bytes=64 * KIB, spool_memory_bytes=64 * KIB, spool_link_bytes=64 * KIB))
    first, second = begun(told, number=5), begun(told, number=6)
    fill(told, first, 2 * CHUNK)
    fill(told, second)

    assert told.cancels == [(3, 6, CancelCode.NO_ROOM)]
    assert (type(second.error), first.error) == (SpoolFull, None)
    assert b"".join(map(bytes, first.spool)) == bytes(2 * CHUNK)


@pytest.mark.parametrize("code", [None, CancelCode.CLOSED])
def test_the_end_is_the_end_of_all_that_has_not_come_and_of_what_is_asked_for_later(code: CancelCode | None) -> None:
    told = Told(LIMITS)
    waiting, coming = told.arrivals.expect(1, 0), begun(told)
    fill(told, coming, 2 * MIB)
    error = LinkClosed("closed")
    told.arrivals.end(error, code)
    told.arrivals.end(error, code)
    late = told.arrivals.expect(3, 0)

    assert [arrival.error for arrival in (waiting, coming, late)] == [error] * 3
    assert told.cancels == ([] if code is None else [(3, 7, code)])
    assert told.arrivals.room.promised_bytes == 0
    if code is not None:
        for number, arrival in ((8, waiting), (9, late)):
            told.arrivals.begin(arrival, number, 5, NONE, None)
        assert told.cancels[1:] == [(5, 8, code), (5, 9, code)]
    assert told.arrivals.expect(4, 0, CancelCode.SOURCE_FAILED).error is not error


def test_a_grant_is_what_its_body_says() -> None:
    told = Told(LIMITS)
    arrival = begun(told, number=1 << 40)
    fill(told, arrival, MIB)

    assert told.grants[-1] == bodies.Grant(1 << 40, arrival.granted)


def test_who_waits_for_a_blob_that_has_not_begun_reads_none_of_the_others() -> None:
    told = Told(LIMITS)
    read, unread = begun(told), begun(told, number=9)
    for arrival in (read, unread):
        told.arrivals.add(arrival, memoryview(bytes(arrival.granted)))
    read.reading = True
    told.arrivals.review(read)
    before = len([grant for grant in told.grants if grant.message == 7])
    told.arrivals.make_way()

    assert not read.reading
    assert len([grant for grant in told.grants if grant.message == 7]) >= before
    assert read.granted >= unread.granted > unread.spool.byte_count
