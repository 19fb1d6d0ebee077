"""Blobs on real links: who sends one waits for its source, who reads one waits for its bytes, and nobody else waits."""

from __future__ import annotations

import gc
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import PATIENCE_SECONDS, Task, eventually, linked, open_files
from netstructer import Blob, Limits, Link
from netstructer.errors import (
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
    NetstructerError,
    SourceFailed,
)
from netstructer.protocol.announcement import Announcement

MIB = 1 << 20
PIECE = os.urandom(MIB)
SMALL = Limits(spool_link_bytes=2 * MIB)
"""With these a blob that nobody reads stops its sender soon."""
FAR_TOO_MUCH = 64


class SourceBroke(Exception):
    pass


def pieces(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield PIECE


def gated(gate: threading.Event, first: bytes = b"first", second: bytes = b"second") -> Iterator[bytes]:
    """A source that waits in its middle."""
    yield first
    assert gate.wait(PATIENCE_SECONDS)
    yield second


def taken(blob: Blob) -> tuple[bytes, NetstructerError | None]:
    """Read a blob; return what came of it, and what its reader got then: None where that is its end."""
    got = bytearray()
    try:
        for piece in blob.chunks(timeout=PATIENCE_SECONDS):
            got += piece
    except NetstructerError as error:
        return bytes(got), error
    return bytes(got), None


def recv(link: Link) -> object:
    return link.recv(timeout=PATIENCE_SECONDS)


def blob_from(link: Link) -> Blob:
    blob = link.recv(timeout=PATIENCE_SECONDS)
    assert isinstance(blob, Blob)
    return blob


def still_works(near: Link, far: Link) -> None:
    near.send({"still": Blob(b"here")}, timeout=PATIENCE_SECONDS)
    assert bytes(far.recv(timeout=PATIENCE_SECONDS)["still"]) == b"here"
    far.send("and back")
    assert recv(near) == "and back"


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_value_is_there_before_its_blobs() -> None:
    gate = threading.Event()
    with linked() as (near, far):
        sending = Task(near.send, {"scan": Blob.from_iter(gated(gate), name="a.bin"), "rows": 3})
        value = far.recv(timeout=PATIENCE_SECONDS)
        assert (value["rows"], value["scan"].name, value["scan"].size, sending.running) == (3, "a.bin", None, True)
        gate.set()

        assert bytes(value["scan"]) == b"firstsecond"
        assert value["scan"].size == 11
        assert sending.result().plain_bytes > 11


def test_a_source_that_waits_stops_neither_pings_nor_values_nor_other_blobs() -> None:
    gate = threading.Event()
    with linked() as (near, far):
        sending = Task(near.send, Blob.from_iter(gated(gate)))
        waiting = blob_from(far)
        assert near.ping(timeout=PATIENCE_SECONDS) >= 0
        assert far.ping(timeout=PATIENCE_SECONDS) >= 0
        still_works(near, far)
        still_works(far, near)
        near.send_many(range(5))
        assert [recv(far) for _ in range(5)] == list(range(5))
        assert sending.running
        gate.set()

        assert taken(waiting) == (b"firstsecond", None)
        sending.result()


def test_a_source_may_use_the_link_that_it_is_sent_on() -> None:
    with linked() as (near, far):

        def source() -> Iterator[bytes]:
            for number in range(3):
                near.send(["asking", number], wait="acked", timeout=PATIENCE_SECONDS)
                yield near.recv(timeout=PATIENCE_SECONDS)
            near.send(Blob(b"inner"), timeout=PATIENCE_SECONDS)

        sending = Task(near.send, Blob.from_iter(source()), timeout=PATIENCE_SECONDS)
        outer = blob_from(far)
        for number in range(3):
            assert recv(far) == ["asking", number]
            far.send(b"answer %d" % number)
        inner = blob_from(far)

        assert (bytes(inner), bytes(outer)) == (b"inner", b"answer 0answer 1answer 2")
        sending.result()


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        *((error, error) for error in (SourceBroke, KeyboardInterrupt, SystemExit, SourceFailed)),
        *((error, SourceFailed) for error in (LinkTimeout, LinkClosed)),  # Of another link, of which they say nothing.
    ],
)
@pytest.mark.parametrize("count", [0, 3])
def test_what_a_source_raises_is_raised_to_its_sender_and_named_to_its_reader(
    error: type[BaseException], raised: type[BaseException], count: int
) -> None:
    def source() -> Iterator[bytes]:
        yield from pieces(count)
        raise error("no more")

    with linked() as (near, far):
        sending = Task(near.send, [Blob.from_iter(source()), "beside"], compress=False)
        blob, beside = far.recv(timeout=PATIENCE_SECONDS)
        got, found = taken(blob)

        assert type(sending.error()) is raised
        assert beside == "beside"
        assert type(found) is SourceFailed
        assert (PIECE * count).startswith(got)
        still_works(near, far)


def test_a_file_that_changes_is_never_a_short_file(tmp_path: object) -> None:
    place = os.path.join(str(tmp_path), "log")
    with open(place, "wb") as file:
        file.write(PIECE)
    blob = Blob.from_path(place)
    os.truncate(place, 1000)
    with linked() as (near, far):
        sending = Task(near.send, blob)
        assert type(taken(blob_from(far))[1]) is SourceFailed
        assert isinstance(sending.error(), OSError)
        still_works(near, far)


# --- readers ----------------------------------------------------------------------------------------------------------


def test_a_blob_that_nobody_reads_stops_its_sender_and_nothing_else() -> None:
    with linked(limits=SMALL) as (near, far):
        sending = Task(near.send, Blob.from_iter(pieces(FAR_TOO_MUCH)), compress=False)
        unread = blob_from(far)
        for _ in range(3):
            still_works(near, far)
            still_works(far, near)
        assert sending.running
        assert far.stats.wire_received < 8 * MIB

        assert hashlib.sha256(taken(unread)[0]).digest() == hashlib.sha256(PIECE * FAR_TOO_MUCH).digest()
        sending.result()


def test_values_find_a_way_past_as_many_unread_blobs_as_there_may_be() -> None:
    with linked(limits=Limits(spool_link_bytes=MIB, streams=8)) as (near, far):
        sending = [Task(near.send, Blob(PIECE), compress=False) for _ in range(6)]
        unread = [blob_from(far) for _ in range(6)]
        near.send("small")
        near.send_many(["row"] * 100)
        near.send(bytes(300_000), compress=False)
        assert recv(far) == "small"
        assert [recv(far) for _ in range(100)] == ["row"] * 100
        assert recv(far) == bytes(300_000)

        for blob in unread:
            assert taken(blob) == (PIECE, None)
        for task in sending:
            task.result()


@pytest.mark.parametrize("begun", [False, True])
def test_a_blob_that_nobody_holds_any_more_lets_its_sender_go_on(begun: bool) -> None:
    with linked(limits=SMALL) as (near, far):
        sending = Task(near.send, [Blob.from_iter(pieces(FAR_TOO_MUCH)), Blob(b"other")], compress=False)
        value = far.recv(timeout=PATIENCE_SECONDS)
        if begun:
            reading = iter(value[0])
            assert PIECE.startswith(bytes(next(reading)))
            del reading
        other = value[1]
        del value
        gc.collect()

        sending.result()
        assert bytes(other) == b"other"
        still_works(near, far)
        room = far._session.arrivals.room
        del other
        gc.collect()
        eventually(lambda: (room.memory_bytes, room.disk_bytes, room.promised_bytes) == (0, 0, 0), "an empty room")


def test_what_has_come_of_a_blob_is_given_back_while_another_of_its_value_waits() -> None:
    with linked(limits=SMALL) as (near, far):
        first = PIECE[:200_000]  # within what a blob may send before anybody reads it
        sending = Task(near.send, [Blob(first), Blob.from_iter(pieces(FAR_TOO_MUCH))], compress=False)
        value = far.recv(timeout=PATIENCE_SECONDS)
        spool = value[0]._origin._arriving.spool
        eventually(lambda: spool.byte_count == 200_000, "the first blob")
        assert spool.start == 0
        waiting = value.pop()
        value.clear()
        gc.collect()

        assert spool.start == 200_000
        del waiting
        gc.collect()
        sending.result()


def test_a_reader_that_waits_in_vain_is_told_in_time_and_may_go_on() -> None:
    gate = threading.Event()
    with linked() as (near, far):
        sending = Task(near.send, Blob.from_iter(gated(gate)))
        blob = blob_from(far)
        reading = blob.chunks(timeout=0.05)
        got = bytearray()
        late = 0
        while not got.endswith(b"second"):
            try:
                got += next(reading)
            except LinkTimeout:
                late += 1
                if late == 3:
                    gate.set()

        assert (got, late >= 3) == (b"firstsecond", True)
        assert next(reading, None) is None
        sending.result()


def test_several_readers_of_one_blob_and_of_several() -> None:
    contents = [os.urandom(300_000 + place) for place in range(4)]
    with linked() as (near, far):
        sending = Task(near.send, [Blob.from_iter([content[:9], content[9:]]) for content in contents])
        blobs = far.recv(timeout=PATIENCE_SECONDS)

        def read(blob: Blob) -> bytes:
            with blob.open(timeout=PATIENCE_SECONDS) as file:
                return file.read()

        readers = [Task(read, blob) for blob in blobs for _ in range(3)]
        assert [reader.result() for reader in readers] == [content for content in contents for _ in range(3)]
        sending.result()


def test_what_arrives_on_one_link_is_passed_on_on_another() -> None:
    with linked(limits=SMALL) as (a, b), linked(limits=SMALL) as (c, d):
        first = Task(a.send, Blob.from_iter(pieces(16)), compress=False)
        second = Task(lambda: c.send(blob_from(b), compress=False))
        got, error = taken(blob_from(d))

        assert error is None
        assert got == PIECE * 16
        first.result()
        second.result()


def test_many_threads_send_blobs_both_ways_at_once() -> None:
    def content(number: int) -> bytes:
        return number.to_bytes(4, "big") * (1000 + 9001 * (number % 40))

    with linked(limits=Limits(streams=8)) as (near, far):
        numbers = range(48)
        ends = {near: far, far: near}
        sending = [
            Task(link.send, [number, Blob.from_iter([content(number)]), Blob(content(number + 1))])
            for number in numbers
            for link in ends
        ]

        def read(link: Link) -> tuple[int, bytes, bytes]:
            number, first, second = link.recv(timeout=PATIENCE_SECONDS)
            return number, bytes(first), bytes(second)

        reading = {link: [Task(read, link) for _ in numbers] for link in ends}
        for link in ends:
            found = sorted(task.result() for task in reading[link])
            assert found == [(number, content(number), content(number + 1)) for number in numbers]
        for task in sending:
            task.result()
        for link in ends:
            lanes = link._session.outflow.lanes
            assert (len(lanes), lanes._most, lanes._parents, lanes.waiting_bytes) == (0, 8, 8, 0)


def test_thousands_of_blobs_in_one_value() -> None:
    contents = [b"%d" % number * (number % 7) for number in range(3000)]
    with linked() as (near, far):
        sending = Task(near.send, [Blob(content) for content in contents])

        assert [bytes(blob) for blob in far.recv(timeout=PATIENCE_SECONDS)] == contents
        sending.result()


def test_blobs_count_when_they_are_whole() -> None:
    gate = threading.Event()
    with linked() as (near, far):
        sending = Task(near.send, [Blob(bytes(1000)), Blob.from_iter(gated(gate, bytes(2000)))], compress=False)
        first, second = far.recv(timeout=PATIENCE_SECONDS)
        assert len(bytes(first)) == 1000
        here, there = near.stats, far.stats
        assert (here.messages_sent, there.messages_received) == (1, 1)
        assert 1000 < here.plain_sent == there.plain_received < 2000
        gate.set()
        assert len(bytes(second)) == 2006
        sending.result()

        assert here.plain_sent + 2006 == near.stats.plain_sent == far.stats.plain_received


# --- the ends ---------------------------------------------------------------------------------------------------------


def test_a_send_that_is_late_gives_up_the_rest() -> None:
    with linked(limits=SMALL) as (near, far):
        sending = Task(near.send, Blob.from_iter(pieces(FAR_TOO_MUCH)), timeout=0.3, compress=False)
        blob = blob_from(far)

        assert type(sending.error()) is LinkTimeout
        got, error = taken(blob)
        assert type(error) is MessageCancelled
        assert (PIECE * FAR_TOO_MUCH).startswith(got)
        still_works(near, far)


@pytest.mark.parametrize("reading", [False, True])
def test_a_reader_that_closes_its_link_tells_the_sender(reading: bool) -> None:
    with linked(limits=SMALL) as (near, far):
        sending = Task(near.send, Blob.from_iter(pieces(FAR_TOO_MUCH)), compress=False)
        blob = blob_from(far)
        if reading:
            next(iter(blob))
        far.close(timeout=PATIENCE_SECONDS)

        assert isinstance(sending.error(), LinkClosed)
        assert isinstance(taken(blob)[1], LinkClosed)
        assert near.closed


def test_a_link_is_closed_with_blobs_that_nobody_took() -> None:
    with linked(limits=SMALL) as (near, far):
        sending = [Task(link.send, Blob.from_iter(pieces(FAR_TOO_MUCH)), compress=False) for link in (near, far)]
        for link in (near, far):
            eventually(lambda link=link: link._exchange.unread, "a value")
        closing = [Task(link.close, timeout=PATIENCE_SECONDS) for link in (near, far)]
        for task in closing:
            task.result()
        for task in sending:
            assert isinstance(task.error(), (LinkClosed, type(None)))


def test_a_sender_that_closes_sends_the_rest_first() -> None:
    with linked(limits=SMALL) as (near, far):
        sending = Task(near.send, Blob.from_iter(pieces(16)), compress=False)
        blob = blob_from(far)
        closing = Task(near.close, timeout=PATIENCE_SECONDS)

        assert taken(blob) == (PIECE * 16, None)
        sending.result()
        closing.result()


@pytest.mark.parametrize("who", ["sender", "reader"])
def test_a_cut_is_told_to_both_after_what_came(who: str) -> None:
    with linked(limits=SMALL) as (near, far):
        sending = Task(near.send, Blob.from_iter(pieces(FAR_TOO_MUCH)), compress=False)
        blob = blob_from(far)
        eventually(lambda: blob._origin._arriving.spool.byte_count > 0, "the first bytes")  # type: ignore[attr-defined]
        (near if who == "sender" else far).abort()
        got, error = taken(blob)

        assert isinstance(error, (LinkLost, LinkClosed))
        assert (PIECE * FAR_TOO_MUCH).startswith(got)
        assert isinstance(sending.error(), (LinkLost, LinkClosed))


def test_a_value_that_is_taken_after_a_cut_has_blobs_that_say_so() -> None:
    gate = threading.Event()
    with linked() as (near, far):
        sending = Task(near.send, [Blob.from_iter(gated(gate)) for _ in range(2)])
        eventually(lambda: far._exchange.unread, "the value")
        near.abort()
        eventually(lambda: far.closed, "the cut")
        blobs = recv(far)
        gate.set()

        assert isinstance(blobs, list)
        assert all(isinstance(taken(blob)[1], LinkLost) for blob in blobs)
        assert isinstance(sending.error(), LinkClosed)


def test_values_that_nobody_takes_do_not_stop_a_blob_that_is_read() -> None:
    with linked(limits=Limits(credit_bytes=64 << 10)) as (near, far):
        sending = Task(near.send, {"blob": Blob(PIECE * 3)}, compress=False)
        value = recv(far)
        values = Task(lambda: [near.send(PIECE[:5000], timeout=PATIENCE_SECONDS) for _ in range(40)])
        eventually(lambda: far._session.inflow.inbound.unread > 32 << 10, "unread values")

        assert isinstance(value, dict)
        assert bytes(value["blob"]) == PIECE * 3
        sending.result()
        assert [far.recv(timeout=PATIENCE_SECONDS) for _ in range(40)] == [PIECE[:5000]] * 40
        values.result()


def test_a_blob_that_is_there_does_not_wait_for_one_whose_source_does() -> None:
    gate = threading.Event()
    with linked() as (near, far):
        sending = Task(near.send, {"slow": Blob.from_iter(gated(gate)), "fast": Blob(PIECE)}, compress=False)
        value = recv(far)
        assert isinstance(value, dict)
        got = bytearray()
        for chunk in value["fast"].chunks(timeout=PATIENCE_SECONDS):
            got += chunk
            gate.set()  # once it flows, the other may go on

        assert bytes(got) == PIECE
        assert bytes(value["slow"]).startswith(b"first")
        sending.result()


def test_who_looks_into_every_blob_is_not_stopped_by_the_first_ones() -> None:
    limits = Limits(streams=8, spool_memory_bytes=64 << 10)
    contents = [bytes([number]) * (700 << 10) for number in range(20)]
    with linked(limits=limits) as (near, far):
        sending = Task(near.send, [Blob(content) for content in contents], compress=False)
        value = recv(far)
        assert isinstance(value, list)
        files = [blob.open(timeout=PATIENCE_SECONDS) for blob in value]
        heads = [file.read(16) for file in files]

        assert heads == [content[:16] for content in contents]
        assert [head + file.read() for head, file in zip(heads, files, strict=True)] == contents
        sending.result()
        for file in files:
            file.close()


def test_what_a_receiver_drops_closes_the_files_of_its_sender(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(100)]
    for path in paths:
        path.write_bytes(PIECE)
    before = open_files()
    with linked() as (near, far):
        sending = Task(near.send, [Blob.from_path(path) for path in paths], compress=False)
        most = 0
        value = recv(far)
        del value
        gc.collect()
        while sending.running:
            most = max(most, open_files())
        sending.result()

    assert most - before < 80  # the blobs under way at a time, and the link


def test_a_broadcast_that_waits_for_credit_goes_on_without_waiting_for_the_clock() -> None:
    with linked() as (near, far):
        sent = Task(far._exchange.post, Announcement(bytes(PIECE * 20), compress=False))
        assert near.recv(timeout=PATIENCE_SECONDS) == PIECE * 20
        assert sent.result()
