"""Many spools in one room: memory within the credit, one file for all of them, and who may interrupt whom in it."""

from __future__ import annotations

import errno
import gc
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netstructer.codec import room as rooms
from netstructer.codec import slots
from netstructer.codec.room import JOIN_BYTES
from netstructer.codec.slots import KEPT_SLOTS, SLOT_BYTES
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import SourceFailed, SpoolFull
from netstructer.limits import Limits
from test_fork import in_child

CREDIT = 64 << 10
"""The least that a link can have."""
MIB = 1 << 20
DESCRIPTORS = Path("/proc/self/fd")

needs_proc = pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="open files are counted through /proc")


def crowd(count: int, each_bytes: int, chunk_bytes: int, **limits: Any) -> tuple[SpoolRoom, list[Spool]]:
    """Return spools of one room that were filled by turns; the room's memory was looked at after each chunk."""
    room = SpoolRoom(Limits(**{"credit_bytes": CREDIT, **limits}))
    spools = [Spool(room) for _ in range(count)]
    most = room.limits.credit_bytes + room.limits.credit_bytes // 8
    for at in range(0, each_bytes, chunk_bytes):
        for place, spool in enumerate(spools):
            spool.add(row_of(place, each_bytes)[at : at + chunk_bytes])

            assert room.memory_bytes <= most
    return room, spools


def row_of(place: int, count: int) -> bytes:
    return (place.to_bytes(4, "big") * (count // 4 + 1))[:count]


def lying_in_memory(spools: list[Spool]) -> int:
    """Return the bytes that spools really refer to."""
    return sum(len(piece) for spool in spools for piece in spool._pieces if not isinstance(piece, int))


def slots_of(spool: Spool) -> list[int]:
    """Return the lengths of a spool's slots."""
    return [spool._end(index) - spool._starts[index] for index, at in enumerate(spool._pieces) if isinstance(at, int)]


def crowded(**limits: Any) -> tuple[SpoolRoom, Spool]:
    """Return a room whose credit is used up by a spool, which is returned too."""
    room = SpoolRoom(Limits(**{"credit_bytes": CREDIT, **limits}))
    spool = Spool(room)
    spool.add(bytes(CREDIT))
    return room, spool


def open_files() -> int:
    return len(list(DESCRIPTORS.iterdir()))


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test gives back what it claimed from the process, whatever the links of other tests still have."""
    monkeypatch.setattr(rooms, "_ledger", rooms._Ledger())
    yield
    gc.collect()
    rooms._ledger.settle()

    assert rooms._ledger.claimed == 0


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "each_bytes", "chunk_bytes"),
    [(40, 60_000, 60_000), (40, 70_000, 70_000), (100, 40_000, 9_000), (400, 5_000, 5_000), (3_000, 100, 100)],
)
def test_the_memory_of_many_unread_rows_is_bounded_by_the_credit(count: int, each_bytes: int, chunk_bytes: int) -> None:
    room, spools = crowd(count, each_bytes, chunk_bytes)

    assert lying_in_memory(spools) == room.memory_bytes <= CREDIT + CREDIT // 8
    assert room.memory_bytes + room.disk_bytes == count * each_bytes
    for place, spool in enumerate(spools):
        assert b"".join(spool) == row_of(place, each_bytes)
    assert (room.memory_bytes, room.disk_bytes) == (0, 0)


def test_eight_thousand_unread_rows_of_almost_a_slot_hold_the_credit() -> None:
    room, row = SpoolRoom(Limits()), bytes(60_000)
    spools = [Spool(room) for _ in range(8_000)]
    for spool in spools:
        spool.add(row)

    assert lying_in_memory(spools) == room.memory_bytes <= room.limits.credit_bytes
    assert room.disk_bytes == 8_000 * 60_000 - room.memory_bytes
    for spool in spools:
        spool.close()
    assert (room.memory_bytes, room.disk_bytes) == (0, 0)


def test_a_row_of_small_chunks_in_a_crowd_fills_its_slots() -> None:
    room, full = crowded()
    spool, row = Spool(room), random.Random(1).randbytes(3 * SLOT_BYTES)
    for at in range(0, len(row), 1000):
        spool.add(row[at : at + 1000])

        assert spool._waiting_bytes < JOIN_BYTES
    assert all(first + second > SLOT_BYTES for first, second in zip(slots_of(spool), slots_of(spool)[1:], strict=False))
    assert sum(room.file._used) == len(slots_of(spool)) <= 5
    assert b"".join(spool) == row
    full.close()


def test_what_waited_before_the_crowd_came_is_sealed_with_what_comes() -> None:
    room = SpoolRoom(Limits(credit_bytes=2 * CREDIT, spool_memory_bytes=1))
    spool, other, row = Spool(room), Spool(room), random.Random(2).randbytes(60_000 + 60_000)
    spool.add(row[:60_000])
    other.add(bytes(SLOT_BYTES - 1))
    assert (room.disk_bytes, spool._waiting_bytes) == (0, 60_000)
    spool.add(row[60_000:])

    assert slots_of(spool) == [60_000, 60_000]
    assert b"".join(spool) == row
    other.close()


@pytest.mark.parametrize(
    ("chunks", "lengths", "waiting"),
    [
        ((JOIN_BYTES - 1,), [], JOIN_BYTES - 1),
        ((JOIN_BYTES,), [JOIN_BYTES], 0),
        ((40_000, SLOT_BYTES - 40_000), [SLOT_BYTES], 0),
        ((40_000, SLOT_BYTES - 39_999), [40_000, SLOT_BYTES - 39_999], 0),
        ((3_000, SLOT_BYTES - 3_000), [SLOT_BYTES], 0),
        ((3_000, SLOT_BYTES - 2_999), [3_000, SLOT_BYTES - 2_999], 0),
        ((SLOT_BYTES,), [SLOT_BYTES], 0),
        ((SLOT_BYTES + JOIN_BYTES - 1,), [SLOT_BYTES], JOIN_BYTES - 1),
        ((SLOT_BYTES + JOIN_BYTES,), [SLOT_BYTES, JOIN_BYTES], 0),
        ((60_000, 60_000, 5_000), [60_000, 65_000], 0),
        ((60_000, 60_000, 3_000, 2_000), [60_000, 65_000], 0),
    ],
)
def test_which_slots_a_row_has_in_a_crowd(chunks: tuple[int, ...], lengths: list[int], waiting: int) -> None:
    room = SpoolRoom(Limits(credit_bytes=MIB, spool_memory_bytes=MIB))
    full, spool, row = Spool(room), Spool(room), random.Random(3).randbytes(sum(chunks))
    full.add(bytes(MIB))
    position = 0
    for count in chunks:
        spool.add(row[position : position + count])
        position += count

    assert (slots_of(spool), spool._waiting_bytes) == (lengths, waiting)
    assert sum(room.file._used) == len(lengths)
    assert (room.memory_bytes, room.disk_bytes) == (MIB + waiting, sum(lengths))
    assert b"".join(spool) == row
    full.close()


@pytest.mark.parametrize("beside", [0, 1])
def test_the_more_there_is_the_less_may_wait(beside: int) -> None:
    """Up to the credit less than a slot waits, up to an eighth beyond less than is worth a seal, and then nothing."""
    room = SpoolRoom(Limits(credit_bytes=CREDIT, spool_memory_bytes=1))
    first, second = Spool(room), Spool(room)
    first.add(bytes(30_000))
    second.add(bytes(CREDIT - 30_000 + beside))
    crowd, full = crowded()
    tails = [Spool(crowd) for _ in range(3)]
    for tail, count in zip(tails, (JOIN_BYTES - 1, JOIN_BYTES - 1, 2 + beside), strict=True):
        tail.add(bytes(count))

    assert (first._waiting_bytes, second._waiting_bytes) == (30_000, 0 if beside else CREDIT - 30_000)
    assert [tail._waiting_bytes for tail in tails] == [JOIN_BYTES - 1, JOIN_BYTES - 1, 0 if beside else 2]
    for spool in (first, second, full, *tails):
        spool.close()


def test_a_slot_that_cannot_be_read_back_is_not_added_to() -> None:
    room, full = crowded()
    spool = Spool(room)
    spool.add(bytes(10_000))
    slots._write_at(room.file._descriptors[0], b"x", 5)
    spool.add(b"y" * 10_000)

    assert slots_of(spool) == [10_000, 10_000]
    with pytest.raises(SourceFailed):
        spool.read(0, 1)
    assert spool.read(10_000, 1 << 20) == b"y" * 10_000
    spool.close()
    full.close()


def test_a_slot_that_is_added_to_stays_where_the_disk_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    room, full = crowded()
    spool, row = Spool(room), random.Random(3).randbytes(20_000)
    spool.add(row[:10_000])
    before = room.memory_bytes, room.disk_bytes, sum(room.file._used)
    with monkeypatch.context() as patch:
        patch.setattr(slots, "_write_at", raising(OSError(errno.ENOSPC, "full")))
        with pytest.raises(SpoolFull, match="full"):
            spool.add(row[10_000:])

    assert (room.memory_bytes, room.disk_bytes, sum(room.file._used)) == before
    spool.add(row[10_000:])
    assert slots_of(spool) == [20_000]
    spool.forget(15_000)
    spool.add(b"more" * 2_000)
    assert slots_of(spool) == [28_000]
    assert b"".join(spool) == row[15_000:] + b"more" * 2_000
    full.close()


def test_a_spool_that_was_refused_is_let_go_at_once() -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=1, spool_link_bytes=2 * SLOT_BYTES))
    spool = Spool(room)
    spool.add(bytes(SLOT_BYTES))
    with pytest.raises(SpoolFull):
        spool.add(bytes(2 * SLOT_BYTES))
    gc.disable()
    try:
        del spool
        assert room.disk_bytes == 0
    finally:
        gc.enable()


def raising(error: BaseException) -> Callable[..., Any]:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    return fails


# --- one file for all -------------------------------------------------------------------------------------------------


@needs_proc
def test_many_unread_rows_hold_one_descriptor() -> None:
    gc.collect()
    before = open_files()
    room = SpoolRoom(Limits(spool_memory_bytes=1))
    spools = [Spool(room) for _ in range(1_600)]
    for spool in spools:
        spool.add(bytes(70_000))

    assert open_files() == before + 1
    while len(spools) > 1:
        spools.pop().close()
    assert open_files() == before + 1
    assert b"".join(spools[0]) == bytes(70_000)
    spools.pop()
    del spool
    assert open_files() == before
    assert (room.memory_bytes, room.disk_bytes) == (0, 0)


def test_a_file_that_is_opened_again_has_another_key_and_counts_on() -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=1))
    found = []
    for seed in range(3):
        spool, row = Spool(room), random.Random(seed).randbytes(2 * SLOT_BYTES)
        spool.add(row)
        found.append((room.file._cipher, list(spool._pieces)))
        assert b"".join(spool) == row
        spool.close()
        assert (room.file._cipher, room.file._descriptors, len(room.file._used)) == (None, [], 0)

    assert len({id(cipher) for cipher, _ in found}) == 3
    numbers = [slot for _, pieces in found for slot in pieces]
    assert [slot >> 32 for slot in numbers if isinstance(slot, int)] == list(range(6))


def test_slots_of_two_spools_that_changed_places_are_found() -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=1))
    spools = [Spool(room) for _ in range(2)]
    for spool in spools:
        spool.add(bytes(SLOT_BYTES))
    descriptor = room.file._descriptors[0]
    sealed = [slots._read_at(descriptor, slots._STRIDE, at * slots._STRIDE) for at in range(2)]
    for at in range(2):
        slots._write_at(descriptor, sealed[1 - at], at * slots._STRIDE)

    for spool in spools:
        with pytest.raises(SourceFailed, match="other bytes"):
            spool.read(0, 1)
        spool.close()


def test_the_file_is_not_cut_below_another_spool_nor_below_a_slot_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=1))
    first, second, third = (Spool(room) for _ in range(3))
    first.add(bytes(3 * KEPT_SLOTS * SLOT_BYTES))
    second.add(b"s" * SLOT_BYTES)
    write_at = slots._write_at

    def forgetting(descriptor: int, sealed: bytes, offset: int) -> None:
        first.forget(first.byte_count)
        write_at(descriptor, sealed, offset)

    monkeypatch.setattr(slots, "_write_at", forgetting)
    third.add(b"t" * SLOT_BYTES)

    assert (room.file._used.rfind(1), len(room.file._free)) == (3 * KEPT_SLOTS + 1, 3 * KEPT_SLOTS)
    assert b"".join(third) == b"t" * SLOT_BYTES
    assert b"".join(second) == b"s" * SLOT_BYTES
    for spool in (first, second, third):
        spool.close()


# --- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_a_circle", [False, True])
def test_a_spool_may_be_dropped_while_the_file_is_locked(in_a_circle: bool) -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=1))
    spool, other = Spool(room), Spool(room)
    spool.add(bytes(SLOT_BYTES))
    other.add(bytes(SLOT_BYTES))
    circle: list[Any] = [spool] * in_a_circle
    circle.append(circle)
    with room.file._lock:  # as by this thread, where the collector interrupts it
        del spool, circle
        gc.collect()
        assert sum(room.file._used) == 2
    other.add(bytes(SLOT_BYTES))

    assert sum(room.file._used) == len(room.file._used) == 2
    other.close()
    assert room.file._descriptors == []


@pytest.mark.parametrize("place", ["_reserve", "_shrink", "_look", "_open"])
def test_the_collector_may_drop_the_other_spools_in_the_middle_of_the_file(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=1))
    others = [Spool(room) for _ in range(KEPT_SLOTS + 1)]
    for at in range(len(others) if place != "_open" else 0):
        others[at].add(bytes(SLOT_BYTES))
    spool, row = Spool(room), random.Random(4).randbytes(SLOT_BYTES)
    inner = getattr(slots.SlotFile, place)

    monkeypatch.setattr(slots, "LOOK_BYTES", 1)
    dropped: list[int] = []

    def dropping(self: slots.SlotFile, *arguments: Any) -> Any:
        dropped.append(len(others))
        others.clear()
        return inner(self, *arguments)

    monkeypatch.setattr(slots.SlotFile, place, dropping)
    spool.add(row)
    while others:
        others.pop().close()

    assert max(dropped) > 0
    assert sum(room.file._used) == 1
    assert b"".join(spool) == row
    spool.close()
    assert room.file._descriptors == []


def test_a_room_that_is_garbage_closes_its_file() -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=1))
    circle: list[Any] = [room]
    for _ in range(3):
        circle.append(Spool(room))
        circle[-1].add(bytes(SLOT_BYTES))
    circle.append(circle)
    descriptor = room.file._descriptors[0]
    del room, circle
    gc.collect()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_child_closes_the_file_though_a_thread_of_the_parent_has_it() -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=1))
    spools = [Spool(room) for _ in range(2)]
    for spool in spools:
        spool.add(bytes(SLOT_BYTES))
    descriptor = room.file._descriptors[0]

    def act() -> None:
        while spools:
            spools.pop().close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

    with room.file._lock:
        in_child(act)

    for spool in spools:
        assert b"".join(spool) == bytes(SLOT_BYTES)
        spool.close()


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positioned", [False, True])
def test_threads_share_a_file(monkeypatch: pytest.MonkeyPatch, positioned: bool) -> None:
    monkeypatch.setattr(slots, "_POSITIONED", positioned and slots._POSITIONED)
    room = SpoolRoom(Limits(credit_bytes=CREDIT, spool_memory_bytes=1))
    failed: list[BaseException] = []

    def use(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(12):
                spool, row = Spool(room), chance.randbytes(400_000)
                while spool.byte_count < len(row):
                    count = chance.choice([100, 5_000, 30_000, SLOT_BYTES, 150_000])
                    spool.add(row[spool.byte_count : spool.byte_count + count])
                    position = chance.randrange(spool.byte_count)
                    piece = spool.read(position, chance.choice([10, SLOT_BYTES]))
                    assert piece == row[position : position + len(piece)]
                assert b"".join(spool) == row
                if chance.random() < 0.5:
                    spool.close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert (room.memory_bytes, room.disk_bytes, room.file._descriptors) == (0, 0, [])
