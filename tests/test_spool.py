"""Spools, held against a plain bytearray: where chunks lie, budgets, faults of the disk, the collector, forks."""

from __future__ import annotations

import errno
import gc
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from netstructer.codec import room as rooms
from netstructer.codec import slots
from netstructer.codec.room import JOIN_BYTES
from netstructer.codec.slots import KEPT_SLOTS, LOOK_BYTES, OPENED_SLOTS, SLOT_BYTES
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import Misuse, SourceFailed, SpoolFull
from netstructer.limits import Limits
from test_fork import in_child

KIB = 1 << 10
CREDIT = 64 * KIB
"""The least that a link can have: more than one slot, so the room's own law is met too."""


def pattern(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


def small_room(**limits: Any) -> SpoolRoom:
    """Return a room whose spools go to disk from the first byte on, unless told otherwise."""
    return SpoolRoom(Limits(**{"spool_memory_bytes": 1, **limits}))


def filled(room: SpoolRoom, count: int, seed: int = 0) -> tuple[Spool, bytes]:
    spool, row = Spool(room), pattern(count * SLOT_BYTES, seed)
    spool.add(row)
    return spool, row


def held(room: SpoolRoom) -> tuple[int, int, int]:
    return room.memory_bytes, room.disk_bytes, room.promised_bytes


def descriptor_of(spool: Spool) -> int:
    assert spool._file is not None
    return spool._file._descriptors[0]


def whole(spool: Spool) -> bytes:
    """Read a spool without forgetting anything."""
    found, position = bytearray(), spool.start
    while piece := spool.read(position, 1 << 40):
        found += piece
        position += len(piece)
    return bytes(found)


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test gives back what it claimed from the process, whatever the links of other tests still have."""
    monkeypatch.setattr(rooms, "_ledger", rooms._Ledger())
    yield

    assert claimed_now() == 0


def claimed_now() -> int:
    """Return what this process claims of the disk, once all that is garbage is collected."""
    rooms._ledger.settle()
    if rooms._ledger.claimed:
        gc.collect()
        rooms._ledger.settle()
    return rooms._ledger.claimed


# --- where a chunk lies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [10_000, SLOT_BYTES, 3 * SLOT_BYTES])
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_a_spool_holds_its_share_in_memory_and_the_rest_on_disk(limit: int, beside: int) -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=limit))
    spool = Spool(room)
    spool.add(bytes(limit + beside - 1))
    spool.add(b"x")
    spool.add(bytes(SLOT_BYTES))

    assert whole(spool) == bytes(limit + beside - 1) + b"x" + bytes(SLOT_BYTES)
    assert spool.byte_count == room.memory_bytes + room.disk_bytes
    assert room.disk_bytes >= SLOT_BYTES
    assert room.memory_bytes <= limit + SLOT_BYTES
    spool.close()


@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_the_memory_of_a_room_is_its_credit(beside: int) -> None:
    room = SpoolRoom(Limits(credit_bytes=2 * CREDIT))
    spools = [Spool(room) for _ in range(4)]
    for spool in spools[:3]:
        spool.add(bytes(CREDIT // 2))
    spools[3].add(bytes(CREDIT // 2 + beside))

    assert spools[3]._waiting_bytes == 0
    assert room.disk_bytes == (CREDIT // 2 + 1 if beside == 1 else 0)
    spools[3].add(bytes(SLOT_BYTES))
    assert room.disk_bytes == SLOT_BYTES + (CREDIT // 2 + 1 if beside == 1 else 0)
    for spool in spools:
        spool.close()
    assert held(room) == (0, 0, 0)


def test_who_keeps_up_never_touches_the_disk(tmp_path: Path) -> None:
    room = SpoolRoom(Limits(spool_directory=str(tmp_path / "there is none")))
    spool, row = Spool(room), pattern(SLOT_BYTES)
    for _ in range(100):
        spool.add(row)
        spool.add(row)

        assert list(spool) == [row, row]
    assert room.memory_bytes == 0
    assert spool._file is None


@pytest.mark.parametrize("first", [1, 5000, SLOT_BYTES - 1, SLOT_BYTES, SLOT_BYTES + 1, 2 * SLOT_BYTES])
@pytest.mark.parametrize("then", [0, 1, 5000, SLOT_BYTES - 1, SLOT_BYTES, SLOT_BYTES + 1, 3 * SLOT_BYTES + 7])
def test_chunks_of_any_length_come_out_as_they_went_in(first: int, then: int) -> None:
    room, row = small_room(), pattern(first + then + first)
    spool = Spool(room)
    for begin, end in ((0, first), (first, first + then), (first + then, len(row))):
        spool.add(row[begin:end])

    assert spool.byte_count == len(row)
    assert spool._waiting_bytes < SLOT_BYTES
    for most_bytes in (1000, SLOT_BYTES, 1 << 40):
        for position in {*range(0, len(row), 9973), first - 1, first, first + then, len(row) - 1}:
            piece = spool.read(position, most_bytes)
            assert 0 < len(piece) <= most_bytes
            assert piece == row[position : position + len(piece)]
    assert b"".join(spool) == row
    assert held(room) == (0, 0, 0)


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, lambda chunk: memoryview(bytearray(chunk))])
@pytest.mark.parametrize("count", [1, JOIN_BYTES, JOIN_BYTES + 1, SLOT_BYTES, 2 * SLOT_BYTES])
@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_every_form_of_bytes_is_taken(form: Callable[[bytes], Any], count: int, memory: int) -> None:
    spool, row = Spool(small_room(spool_memory_bytes=memory)), pattern(count)
    spool.add(form(row))
    spool.add(form(row))
    found = list(spool)

    assert b"".join(found) == row + row
    assert {type(piece) for piece in found} <= {bytes, memoryview}


def test_a_large_chunk_stays_in_memory_by_reference() -> None:
    spool, row = Spool(SpoolRoom(Limits())), pattern(SLOT_BYTES)
    spool.add(row)

    assert spool.read(0, SLOT_BYTES) is row
    assert spool.read(1, 5) == row[1:6]


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_small_chunks_that_lie_together_become_one_piece(form: Callable[[bytes], Any]) -> None:
    spool, row = Spool(SpoolRoom(Limits())), pattern(3 * JOIN_BYTES)
    for at in range(len(row)):
        spool.add(form(row[at : at + 1]))

    assert [len(piece) for piece in spool._pieces if not isinstance(piece, int)] == [JOIN_BYTES] * 3
    assert b"".join(spool) == row


def test_small_chunks_join_only_what_lies_as_they_do() -> None:
    room = SpoolRoom(Limits(spool_memory_bytes=100))
    spool = Spool(room)
    spool.add(bytes(100))
    spool.add(b"waits")
    spool.add(b"too")

    assert (len(spool._pieces), spool._waiting_pieces, spool._waiting_bytes) == (2, 1, 8)
    spool.forget(100)
    spool.add(b" no more")
    assert (len(spool._pieces), spool._waiting_pieces, spool._waiting_bytes) == (1, 0, 0)
    assert b"".join(spool) == b"waitstoo no more"


@pytest.mark.parametrize(("share", "copied"), [(2, False), (3, True)])
def test_a_small_part_of_something_large_does_not_keep_it(share: int, copied: bool) -> None:
    spool, record = Spool(SpoolRoom(Limits())), bytes(SLOT_BYTES)
    spool.add(memoryview(record)[: SLOT_BYTES // share])
    (piece,) = spool._pieces

    assert isinstance(piece, bytes if copied else memoryview)


@pytest.mark.parametrize(("whole_bytes", "copied"), [(20_000, False), (20_001, True), (29_999, True)])
def test_a_part_keeps_no_more_alive_than_twice_its_bytes(whole_bytes: int, copied: bool) -> None:
    spool = Spool(SpoolRoom(Limits()))
    large = bytes(whole_bytes)
    spool.add(memoryview(large)[:10_000])

    assert (spool._pieces[0] == large[:10_000], type(spool._pieces[0]) is bytes) == (True, copied)
    spool.close()


@pytest.mark.parametrize("limits", [{}, {"spool_memory_bytes": 1}, {"spool_memory_bytes": 1, "credit_bytes": CREDIT}])
def test_chunks_that_are_forgotten_together_are_given_back_together(limits: dict[str, int]) -> None:
    """In memory, waiting for the disk, and sealed: at once, and all but the last byte of them."""
    room = SpoolRoom(Limits(**limits))
    for rest in (0, 1):
        spool = Spool(room)
        for _ in range(6):
            spool.add(bytes(20_000))
        spool.forget(120_000 - rest)

        assert room.memory_bytes + room.disk_bytes == spool._memory + spool._sealed <= rest * 60_000
        assert claimed_now() == spool._waiting_bytes + spool._sealed
        spool.forget(120_000)
        assert (held(room), claimed_now(), spool._waiting_bytes, spool._waiting_pieces) == ((0, 0, 0), 0, 0, 0)


def test_what_waits_for_the_disk_is_plain_memory_once_the_reader_has_caught_up() -> None:
    room = small_room(spool_memory_bytes=10_000)
    spool = Spool(room)
    spool.add(bytes(10_000))
    spool.add(bytes(10_000))

    assert (room._claimed, room.disk_bytes, room.memory_bytes) == (10_000, 0, 20_000)
    spool.forget(19_999)
    assert (room._claimed, room.disk_bytes, room.memory_bytes) == (10_000, 0, 10_000)
    spool.forget(20_000)
    assert (room._claimed, room.disk_bytes, room.memory_bytes) == (0, 0, 0)
    spool.add(bytes(6_000))
    spool.add(bytes(6_000))
    spool.forget(26_000)
    spool.add(bytes(1_000))
    assert (room._claimed, spool._waiting_pieces, room.memory_bytes, room.disk_bytes) == (0, 0, 7_000, 0)
    spool.close()


# --- reading and forgetting -------------------------------------------------------------------------------------------


def test_an_empty_spool_reads_as_nothing() -> None:
    spool = Spool(small_room())
    spool.add(b"")

    assert (spool.byte_count, spool.start, spool.read(0, 1), list(spool)) == (0, 0, b"", [])


def test_what_is_not_there_is_a_misuse() -> None:
    spool = Spool(small_room())
    spool.add(b"0123456789")
    spool.forget(4)
    for position, most_bytes in ((-1, 1), (3, 1), (11, 1), (5, 0), (5, -1)):
        with pytest.raises(Misuse, match="read"):
            spool.read(position, most_bytes)
    with pytest.raises(Misuse, match="forget"):
        spool.forget(11)
    spool.forget(2)

    assert (spool.start, spool.read(4, 3), spool.read(10, 1)) == (4, b"456", b"")


def test_a_slot_that_is_read_in_part_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    room = small_room()
    spool, row = filled(room, 2)
    opened: list[int] = []
    read_at = slots._read_at

    def counting(descriptor: int, count: int, offset: int) -> bytes:
        opened.append(offset // slots._STRIDE)
        return read_at(descriptor, count, offset)

    monkeypatch.setattr(slots, "_read_at", counting)
    parts = [bytes(spool.read(position, 1000)) for position in range(0, 64_000, 1000)]

    assert b"".join(parts) == row[:64_000]
    assert opened == [0]
    assert spool.read(SLOT_BYTES, SLOT_BYTES) == row[SLOT_BYTES:]
    spool.read(0, 1)
    assert opened == [0, 1]
    spool.forget(SLOT_BYTES)
    assert room.file._opened == {}
    spool.close()


def test_no_more_slots_are_kept_open_than_are_counted() -> None:
    room = small_room()
    spools = [filled(room, 1, seed) for seed in range(3 * OPENED_SLOTS)]
    for position in range(0, SLOT_BYTES, 10_000):
        for spool, row in spools:
            assert spool.read(position, 5) == row[position : position + 5]

            assert len(room.file._opened) <= OPENED_SLOTS
    assert len(room.file._opened) == OPENED_SLOTS
    for spool, _ in spools:
        spool.close()
    assert room.file._opened == {}


def test_taking_out_forgets_each_piece_once_the_next_is_asked_for() -> None:
    room = small_room()
    spool, row = filled(room, 3)
    taker = iter(spool)

    assert next(taker) == row[:SLOT_BYTES]
    assert (spool.start, room.disk_bytes) == (0, 3 * SLOT_BYTES)
    assert next(taker) == row[SLOT_BYTES : 2 * SLOT_BYTES]
    assert (spool.start, room.disk_bytes) == (SLOT_BYTES, 2 * SLOT_BYTES)
    spool.add(b"more")
    assert b"".join(taker) == row[2 * SLOT_BYTES :] + b"more"
    assert held(room) == (0, 0, 0)
    assert list(spool) == []


def test_a_steady_row_keeps_its_file_as_it_is() -> None:
    spool, _ = filled(small_room(), 8)
    taker = iter(spool)
    for at in range(200):
        spool.add(pattern(SLOT_BYTES, at))
        next(taker)

    # One more than is held: what was taken last is forgotten when the next is asked for.
    assert os.fstat(descriptor_of(spool)).st_size <= 10 * slots._STRIDE
    assert next(taker) == pattern(SLOT_BYTES, 192)
    spool.close()


def test_a_file_that_is_mostly_free_is_cut() -> None:
    spool, row = filled(small_room(), 4 * KEPT_SLOTS)
    descriptor = descriptor_of(spool)
    spool.forget(3 * KEPT_SLOTS * SLOT_BYTES)

    assert os.fstat(descriptor).st_size == 4 * KEPT_SLOTS * slots._STRIDE  # what is held lies at its end
    for _ in range(2):
        spool.add(row[: KEPT_SLOTS * SLOT_BYTES])
        spool.forget(spool.byte_count - KEPT_SLOTS * SLOT_BYTES)
    assert os.fstat(descriptor).st_size == 2 * KEPT_SLOTS * slots._STRIDE  # and now at its start
    assert whole(spool) == row[: KEPT_SLOTS * SLOT_BYTES]
    spool.add(row)
    assert os.fstat(descriptor).st_size == 5 * KEPT_SLOTS * slots._STRIDE
    for position in range(spool.start, spool.byte_count + 1, SLOT_BYTES):
        spool.forget(position)
    assert os.fstat(descriptor).st_size == 0  # nothing is held
    spool.add(row)
    assert b"".join(spool) == row


@pytest.mark.parametrize("count", range(KEPT_SLOTS - 1, KEPT_SLOTS + 8))
def test_a_file_of_which_nothing_is_held_is_empty_unless_it_is_small(count: int) -> None:
    spool, _ = filled(small_room(), count)
    for position in range(SLOT_BYTES, spool.byte_count + 1, SLOT_BYTES):
        spool.forget(position)

    assert os.fstat(descriptor_of(spool)).st_size == (count * slots._STRIDE if count <= KEPT_SLOTS else 0)
    spool.close()


@pytest.mark.parametrize("used", [1, KEPT_SLOTS - 1, KEPT_SLOTS, KEPT_SLOTS + 1, 2 * KEPT_SLOTS])
def test_a_file_is_cut_where_half_of_it_goes(used: int) -> None:
    file = slots.SlotFile(Limits())
    written = [file.write(bytes(SLOT_BYTES), 7, at) for at in range(2 * KEPT_SLOTS)]
    file.free(written[: used - 1] + written[used:])
    expected = used if used <= KEPT_SLOTS else 2 * KEPT_SLOTS
    assert os.fstat(file._descriptors[0]).st_size == expected * slots._STRIDE
    assert file.read(written[used - 1], 7, used - 1, SLOT_BYTES) == bytes(SLOT_BYTES)
    file.leave(7, written[used - 1 : used])
    assert file._descriptors == []


def test_a_chunk_that_was_forgotten_is_let_go_at_once() -> None:
    spool, chunks = Spool(SpoolRoom(Limits())), [bytearray(2 * JOIN_BYTES) for _ in range(5)]
    for chunk in chunks:
        spool.add(memoryview(chunk))
    spool.forget(2 * JOIN_BYTES)

    chunks[0].append(0)
    with pytest.raises(BufferError):  # a chunk that is held cannot change its length
        chunks[1].append(0)


def test_a_file_that_cannot_be_cut_stays_and_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    spool, row = filled(small_room(), 2 * KEPT_SLOTS)
    monkeypatch.setattr(os, "ftruncate", raising(OSError(errno.EIO, "no")))
    spool.forget(spool.byte_count)
    spool.add(row)

    assert os.fstat(descriptor_of(spool)).st_size == 2 * KEPT_SLOTS * slots._STRIDE
    assert b"".join(spool) == row


# --- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["link", "process"])
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_a_budget_is_kept_to_the_byte(whose: str, beside: int) -> None:
    room = small_room(**{f"spool_{whose}_bytes": 2 * SLOT_BYTES})
    first, row = filled(room, 1)
    second = Spool(room)
    chunk = bytes(SLOT_BYTES + beside)
    if beside < 1:
        second.add(chunk)
    else:
        with pytest.raises(SpoolFull, match=f"spools of this {whose} hold {SLOT_BYTES}") as caught:
            second.add(chunk)
        assert (caught.value.limit, caught.value.found) == (2 * SLOT_BYTES, 2 * SLOT_BYTES + 1)
        assert second.byte_count == 0
        second.add(bytes(SLOT_BYTES))

    assert whole(first) == row
    first.forget(SLOT_BYTES)
    second.add(b"room again")
    first.close()
    second.close()
    assert held(room) == (0, 0, 0)


def test_links_share_the_budget_of_the_process() -> None:
    here, there = (small_room(spool_process_bytes=3 * SLOT_BYTES) for _ in range(2))
    first, _ = filled(here, 2)

    assert not there.promise(SLOT_BYTES + 1)
    assert there.promise(SLOT_BYTES)
    with pytest.raises(SpoolFull, match="this process"):
        first.add(b"xy")
    there.keep(SLOT_BYTES)
    first.add(b"xy")
    first.close()


def test_what_was_promised_fits_when_it_comes() -> None:
    room = small_room(spool_link_bytes=4 * SLOT_BYTES)
    spool, other = Spool(room), Spool(room)
    assert room.promise(3 * SLOT_BYTES)
    assert not room.promise(SLOT_BYTES + 1)
    other.add(bytes(SLOT_BYTES))
    with pytest.raises(SpoolFull):
        other.add(b"xy")

    for _ in range(300):
        room.keep(SLOT_BYTES // 100)
        spool.add(bytes(SLOT_BYTES // 100))
    assert (spool.byte_count, room.promised_bytes) == (
        300 * (SLOT_BYTES // 100),
        3 * SLOT_BYTES - 300 * (SLOT_BYTES // 100),
    )
    room.keep(room.promised_bytes)
    spool.close()
    other.close()
    assert held(room) == (0, 0, 0)


def test_no_more_is_kept_than_was_promised() -> None:
    room = small_room()
    assert room.promise(10)
    for wrong in (-1, 11):
        with pytest.raises(Misuse, match="promised"):
            room.keep(wrong)
    room.keep(4)

    assert room.promised_bytes == 6
    assert room.promise(0)
    room.keep(6)


def test_a_room_that_is_gone_has_promised_nothing() -> None:
    room = small_room()
    room.promise(1000)
    assert rooms._ledger.claimed == 1000
    del room
    gc.collect()
    rooms._ledger.settle()

    assert rooms._ledger.claimed == 0


# --- faults of the disk -----------------------------------------------------------------------------------------------


def raising(error: BaseException) -> Callable[..., Any]:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    return fails


def filling(most_bytes: int, error: int) -> Callable[[int, Any, int], int]:
    """Return a `pwrite` that takes so many bytes in pieces, and then fails."""
    pwrite, left = os.pwrite, [most_bytes]

    def write(descriptor: int, plain: Any, offset: int) -> int:
        if not left[0]:
            raise OSError(error, os.strerror(error))
        written = pwrite(descriptor, plain[: min(left[0], 20_000)], offset)
        left[0] -= written
        return written

    return write


@pytest.mark.skipif(not hasattr(os, "pwrite"), reason="the fake stands in for pwrite")
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("most_bytes", [0, 1, SLOT_BYTES, SLOT_BYTES + 17, 3 * SLOT_BYTES])
def test_a_disk_that_is_full_loses_nothing(monkeypatch: pytest.MonkeyPatch, error: int, most_bytes: int) -> None:
    room = small_room()
    spool, row = filled(room, 2)
    spool.add(b"waiting")
    before = held(room), room._claimed
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", filling(most_bytes, error))
        for _ in range(3):
            with pytest.raises(SpoolFull, match="disk") as caught:
                spool.add(bytes(4 * SLOT_BYTES))
            assert isinstance(caught.value.__cause__, OSError)
            assert whole(spool) == row + b"waiting"
            assert (held(room), room._claimed) == before

    spool.add(row)
    assert whole(spool) == row + b"waiting" + row
    assert os.fstat(descriptor_of(spool)).st_size <= 6 * slots._STRIDE
    spool.close()
    assert held(room) == (0, 0, 0)


def test_an_interrupted_write_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    room = small_room()
    spool, row = filled(room, 1)
    with monkeypatch.context() as patch:
        patch.setattr(slots, "_write_at", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            spool.add(row)

    assert held(room) == (0, SLOT_BYTES, 0)
    spool.add(row)
    assert b"".join(spool) == row + row


def test_a_directory_that_is_not_there_is_a_full_spool(tmp_path: Path) -> None:
    room = small_room(spool_directory=str(tmp_path / "there is none"))
    spool = Spool(room)
    spool.add(b"waiting")
    with pytest.raises(SpoolFull, match="no file") as caught:
        spool.add(bytes(SLOT_BYTES))

    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert whole(spool) == b"waiting"
    (tmp_path / "there is none").mkdir()
    spool.add(bytes(SLOT_BYTES))
    assert list((tmp_path / "there is none").iterdir()) == []
    spool.close()


def test_a_disk_is_left_its_free_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looks: list[str] = []
    free = [1000]

    def usage(path: str) -> Any:
        looks.append(path)
        return type("Usage", (), {"free": free[0]})

    monkeypatch.setattr(slots.shutil, "disk_usage", usage)
    spool = Spool(small_room(spool_free_bytes=1000, spool_directory=str(tmp_path)))
    for _ in range(LOOK_BYTES // SLOT_BYTES):
        spool.add(bytes(SLOT_BYTES))
    assert looks == [str(tmp_path)]
    free[0] = 999
    for _ in range(2):
        with pytest.raises(SpoolFull, match="999 bytes free") as caught:
            spool.add(bytes(SLOT_BYTES))

    assert (caught.value.limit, caught.value.found, len(looks)) == (1000, 999, 3)
    free[0] = 1000
    spool.add(bytes(SLOT_BYTES))
    assert spool.byte_count == LOOK_BYTES + SLOT_BYTES
    spool.close()


def test_a_flipped_bit_is_found() -> None:
    for at in (0, 1, SLOT_BYTES - 1, SLOT_BYTES, slots._STRIDE - 1):
        spool, _ = filled(small_room(), 1)
        descriptor = descriptor_of(spool)
        was = slots._read_at(descriptor, 1, at)
        slots._write_at(descriptor, bytes([was[0] ^ 1]), at)
        with pytest.raises(SourceFailed, match="other bytes"):
            spool.read(0, 1)
        slots._write_at(descriptor, was, at)

        assert spool.read(0, 1) != b""
        spool.close()


def test_slots_that_changed_places_are_found() -> None:
    spool, _ = filled(small_room(), 2)
    other, _ = filled(small_room(), 1, seed=1)
    descriptor = descriptor_of(spool)
    sealed = [slots._read_at(descriptor, slots._STRIDE, at * slots._STRIDE) for at in range(2)]
    slots._write_at(descriptor, sealed[1], 0)
    slots._write_at(descriptor, sealed[0], slots._STRIDE)
    for position in (0, SLOT_BYTES):
        with pytest.raises(SourceFailed):
            spool.read(position, 1)
    slots._write_at(descriptor_of(other), sealed[0], 0)

    with pytest.raises(SourceFailed):
        other.read(0, 1)
    spool.close()
    other.close()


def test_a_slot_as_it_was_before_is_found() -> None:
    spool, row = filled(small_room(), 1)
    descriptor = descriptor_of(spool)
    before = slots._read_at(descriptor, slots._STRIDE, 0)
    spool.forget(SLOT_BYTES)
    spool.add(row)
    slots._write_at(descriptor, before, 0)

    with pytest.raises(SourceFailed):
        spool.read(SLOT_BYTES, 1)
    spool.close()


def test_a_slot_is_sealed_for_its_owner_and_position() -> None:
    file = slots.SlotFile(Limits())
    slot = file.write(b"here", 7, 100)

    assert file.read(slot, 7, 100, 4) == b"here"
    for owner, position in ((7, 101), (8, 100)):
        with pytest.raises(SourceFailed):
            file.read(slot, owner, position, 4)
    file.leave(7, [slot])


@pytest.mark.parametrize("left", [0, 15, 16, 17, SLOT_BYTES, slots._STRIDE - 1])
def test_a_file_that_was_cut_is_found(left: int) -> None:
    spool, _ = filled(small_room(), 1)
    os.ftruncate(descriptor_of(spool), left)

    with pytest.raises(SourceFailed, match="other bytes"):
        spool.read(0, 1)
    spool.close()


def test_a_disk_that_cannot_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    spool, row = filled(small_room(), 1)
    with monkeypatch.context() as patch:
        patch.setattr(slots, "_read_at", raising(OSError(errno.EIO, "input/output error")))
        with pytest.raises(SourceFailed, match="input/output error"):
            spool.read(0, 1)

    assert b"".join(spool) == row


def test_no_nonce_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    spool, row = filled(small_room(), 4)
    file, nonces = spool._file, []
    assert file is not None
    cipher = file._cipher

    class Noting:
        def encrypt(self, nonce: bytes, *rest: Any) -> bytes:
            nonces.append(nonce)
            return cipher.encrypt(nonce, *rest)

        def decrypt(self, *arguments: Any) -> bytes:
            return cipher.decrypt(*arguments)

    file._cipher = Noting()  # type: ignore[assignment]  # a fake with the same face
    for at in range(100):
        with monkeypatch.context() as patch:
            if at % 3 == 0:
                patch.setattr(slots, "_write_at", raising(OSError(errno.ENOSPC, "full")))
                with pytest.raises(SpoolFull):
                    spool.add(row)
                continue
        spool.add(row)
        spool.forget(spool.byte_count - len(row))

    assert whole(spool) == row
    assert len(nonces) > 250
    assert len(set(nonces)) == len(nonces)
    spool.close()


@pytest.mark.parametrize("positioned", [False, True])
def test_a_system_without_positioned_writes_serves_too(monkeypatch: pytest.MonkeyPatch, positioned: bool) -> None:
    monkeypatch.setattr(slots, "_POSITIONED", positioned and slots._POSITIONED)
    spool, row = filled(small_room(), 3)
    spool.add(b"more")

    assert spool.read(SLOT_BYTES, 9) == row[SLOT_BYTES : SLOT_BYTES + 9]
    assert b"".join(spool) == row + b"more"


# --- the end ----------------------------------------------------------------------------------------------------------


def test_close_gives_all_back_and_may_be_called_twice() -> None:
    room = small_room()
    spool, _ = filled(room, 2)
    spool.add(b"waiting")
    descriptor = descriptor_of(spool)
    for _ in range(2):
        spool.close()

        assert held(room) == (0, 0, 0)
        assert room._claimed == 0
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_a_closed_spool_takes_and_forgets() -> None:
    room = small_room()
    spool = Spool(room)
    spool.add(b"before")
    spool.close()
    for _ in range(3):
        spool.add(bytes(SLOT_BYTES))

    assert spool.byte_count == spool.start == 6 + 3 * SLOT_BYTES
    assert held(room) == (0, 0, 0)
    for use in (lambda: spool.read(spool.start, 1), lambda: list(spool)):
        with pytest.raises(Misuse, match="closed"):
            use()
    spool.forget(3)


def test_who_takes_out_of_a_spool_that_is_closed_is_told() -> None:
    spool, row = filled(small_room(), 2)
    taker = iter(spool)
    assert next(taker) == row[:SLOT_BYTES]
    spool.close()

    with pytest.raises(Misuse, match="closed"):
        next(taker)


@pytest.mark.parametrize("act", ["add", "read", "forget"])
def test_a_finaliser_may_close_in_the_middle_of_anything(monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    room = small_room()
    spool, row = filled(room, 2)
    descriptor = descriptor_of(spool)
    place = {"add": "_add", "read": "_read", "forget": "_forget"}[act]
    inner = getattr(Spool, place)

    def closing(self: Spool, *arguments: Any) -> Any:
        self.close()  # as the collector may, at any allocation
        assert os.fstat(descriptor).st_size > 0
        return inner(self, *arguments)

    monkeypatch.setattr(Spool, place, closing)
    {"add": lambda: spool.add(row), "read": lambda: spool.read(0, 5), "forget": lambda: spool.forget(1)}[act]()

    assert held(room) == (0, 0, 0)
    assert spool.start == spool.byte_count
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize("in_a_circle", [False, True])
def test_a_spool_that_is_dropped_gives_all_back(in_a_circle: bool) -> None:
    room = small_room()
    spool, _ = filled(room, 2)
    spool.add(b"waiting")
    descriptor = descriptor_of(spool)
    if in_a_circle:
        circle: list[Any] = [spool]
        circle.append(circle)
        del circle
    del spool
    gc.collect()

    assert held(room) == (0, 0, 0)
    assert room._claimed == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_spool_may_be_dropped_while_the_ledger_is_locked() -> None:
    room = small_room()
    spool, _ = filled(room, 1)
    with rooms._ledger.lock:  # as by this thread, where the collector interrupts it
        del spool
        gc.collect()
        unused = Spool(room)
        unused.close()

    assert held(room) == (0, 0, 0)


def test_spools_are_cheap_until_they_are_used() -> None:
    room = small_room()
    many = [Spool(room) for _ in range(1000)]

    assert {spool._file for spool in many} == {None}
    assert held(room) == (0, 0, 0)


def test_an_inherited_spool_is_refused_in_a_child_and_goes_on_in_the_parent() -> None:
    room = small_room()
    spool, row = filled(room, 2)
    descriptor = descriptor_of(spool)
    lone, _ = filled(room, 1)
    lone_descriptor = descriptor_of(lone)
    assert room.promise(10)

    def act() -> None:
        nonlocal lone
        for use in (
            lambda: spool.add(b"x"),
            lambda: spool.read(0, 1),
            lambda: spool.forget(1),
            lambda: list(spool),
            lambda: Spool(room).add(b"x"),
        ):
            with pytest.raises(Misuse, match="forked"):
                use()
        spool.close()
        spool.close()
        del lone
        for number in (descriptor, lone_descriptor):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)
        assert rooms._ledger.claimed == 0
        fresh = small_room()
        own, other_row = filled(fresh, 1, seed=2)
        assert b"".join(own) == other_row
        assert held(fresh) == (0, 0, 0)
        assert room.memory_bytes == 0

    with spool._lock, rooms._ledger.lock:  # held by a thread of the parent: no child waits for it
        in_child(act)
    room.keep(10)
    lone.close()

    assert b"".join(spool) == row
    assert held(room) == (0, 0, 0)


def test_what_a_child_sees_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "_ledger", rooms._ledger)
    room = small_room()
    spool, _ = filled(room, 1)
    descriptor = descriptor_of(spool)
    with rooms._ledger.lock, spool._lock:
        rooms._after_fork()
        with pytest.raises(Misuse, match="forked"):
            spool.add(b"x")
        spool.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    assert room.inherited
    assert not small_room().inherited
    assert rooms._ledger.claimed == 0
    assert held(room) == (0, 0, 0)


# --- threads ----------------------------------------------------------------------------------------------------------


def test_one_thread_adds_while_another_takes_out() -> None:
    room = small_room(spool_memory_bytes=100_000, credit_bytes=CREDIT)
    spools = [Spool(room) for _ in range(2)]
    rows = [pattern(3 << 20, seed) for seed in range(2)]
    found = [bytearray(), bytearray()]
    failed: list[BaseException] = []

    def guarded(act: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except BaseException as error:
                failed.append(error)

        return threading.Thread(target=run)

    def add(at: int) -> None:
        position, lengths = 0, random.Random(at)
        while position < len(rows[at]):
            end = position + lengths.choice([1, 100, 5000, 40_000, SLOT_BYTES, 150_000])
            spools[at].add(rows[at][position:end])
            position = end

    def take(at: int) -> None:
        while len(found[at]) < len(rows[at]) and not failed:
            for piece in spools[at]:
                found[at] += piece

    threads = [guarded(lambda act=act, at=at: act(at)) for act in (add, take) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert [bytes(row) for row in found] == rows
    assert held(room) == (0, 0, 0)


def test_a_spool_may_be_closed_while_others_use_it() -> None:
    for seed in range(20):
        room = small_room()
        spool = Spool(room)
        begun = threading.Event()

        def add(spool: Spool = spool, begun: threading.Event = begun) -> None:
            for at in range(40):
                spool.add(bytes(SLOT_BYTES // 2))
                if at == 10:
                    begun.set()

        adder = threading.Thread(target=add)
        adder.start()
        begun.wait(5)
        if seed % 2:
            spool.read(0, 100)
        spool.close()
        adder.join()

        assert held(room) == (0, 0, 0)
        assert spool.byte_count == spool.start == 40 * (SLOT_BYTES // 2)
        assert spool._file is None


# --- against a model --------------------------------------------------------------------------------------------------


LINK_BYTES, OTHER_BYTES, PROCESS_BYTES = 500_000, 300_000, 600_000
WHICH = st.integers(0, 3)


class Rows(RuleBasedStateMachine):
    """Four spools in two rooms of one process, each beside a bytearray that says what it holds.

    Their disk may be full for a while, and give back other bytes than it was given.
    """

    lengths = st.one_of(st.integers(0, 5000), st.sampled_from([SLOT_BYTES - 1, SLOT_BYTES, SLOT_BYTES + 1, 200_000]))

    def __init__(self) -> None:
        super().__init__()
        shape = {"spool_memory_bytes": 70_000, "credit_bytes": 100_000, "spool_process_bytes": PROCESS_BYTES}
        self.rooms = [small_room(spool_link_bytes=count, **shape) for count in (LINK_BYTES, OTHER_BYTES)]
        self.spools = [Spool(self.rooms[which // 2]) for which in range(4)]
        self.rows = [bytearray() for _ in range(4)]
        self.seed = 0
        self.disk_bytes: int | None = None
        """How much the disk still takes, while it is full."""
        self.rotten: set[tuple[int, int]] = set()
        """Room and number of the slots that the disk has changed."""
        self.failed_reads = self.refusals = 0
        self._write_at = slots._write_at
        slots._write_at = self._write

    def _write(self, descriptor: int, sealed: bytes, offset: int) -> None:
        if self.disk_bytes is not None:
            count, self.disk_bytes = min(len(sealed), self.disk_bytes), max(0, self.disk_bytes - len(sealed))
            if count < len(sealed):
                self._write_at(descriptor, sealed[:count], offset)
                raise OSError(errno.ENOSPC, "no space left")
        self._write_at(descriptor, sealed, offset)
        room = next(number for number, room in enumerate(self.rooms) if descriptor in room.file._descriptors)
        self.rotten.discard((room, offset // slots._STRIDE))

    @rule(which=WHICH, count=lengths)
    def add(self, which: int, count: int) -> None:
        self.seed += 1
        chunk, room = pattern(count, self.seed), self.rooms[which // 2]
        claimed = room._claimed + room.promised_bytes, rooms._ledger.claimed
        try:
            self.spools[which].add(chunk)
        except SpoolFull:
            over = claimed[0] + count > room.limits.spool_link_bytes or claimed[1] + count > PROCESS_BYTES
            assert over or self.disk_bytes is not None
            self.refusals += 1
            return
        self.rows[which] += chunk

    @rule(which=WHICH, count=st.integers(1, 80_000))
    def add_what_was_promised(self, which: int, count: int) -> None:
        """What was promised is there when it comes, however full the budgets are: only a disk may have no room."""
        room = self.rooms[which // 2]
        if self.disk_bytes is None and room.promised_bytes >= count:
            room.keep(count)
            self.seed += 1
            chunk = pattern(count, self.seed)
            self.spools[which].add(chunk)
            self.rows[which] += chunk

    @rule(which=WHICH, share=st.floats(0, 1), most_bytes=st.integers(1, 200_000))
    def read(self, which: int, share: float, most_bytes: int) -> None:
        spool, row = self.spools[which], self.rows[which]
        position = spool.start + int(share * (len(row) - spool.start))
        piece = self._read(which, lambda: spool.read(position, most_bytes))
        if piece is not None:
            assert piece == row[position : position + len(piece)]
            assert (1 if position < len(row) else 0) <= len(piece) <= most_bytes

    def _read(self, which: int, act: Callable[[], Any]) -> Any:
        """Return what is read, or None where the disk does not give it back; then it has changed something there."""
        try:
            return act()
        except SourceFailed:
            assert {which // 2} <= {room for room, _ in self.rotten}
            self.failed_reads += 1
            return None

    @rule(which=WHICH, share=st.floats(0, 1))
    def forget(self, which: int, share: float) -> None:
        spool, row = self.spools[which], self.rows[which]
        spool.forget(spool.start + int(share * (len(row) - spool.start)))

    @rule(which=WHICH, pieces=st.integers(1, 9))
    def take(self, which: int, pieces: int) -> None:
        spool, row, position = self.spools[which], self.rows[which], self.spools[which].start
        taking = iter(spool)
        for _ in range(pieces):
            piece = self._read(which, lambda: next(taking, None))
            if piece is None:
                break
            assert piece == row[position : position + len(piece)]
            position += len(piece)

    @rule(which=WHICH, in_full=st.booleans())
    def begin_anew(self, which: int, in_full: bool) -> None:
        if in_full:
            found = self._read(which, lambda: whole(self.spools[which]))
            assert found is None or found == self.rows[which][self.spools[which].start :]
            self.spools[which].close()
        self.spools[which], self.rows[which] = Spool(self.rooms[which // 2]), bytearray()

    @rule(which=WHICH, count=lengths)
    def close_and_add(self, which: int, count: int) -> None:
        """A closed spool takes and forgets; its slots are there for others."""
        spool, before = self.spools[which], self.spools[which].byte_count
        spool.close()
        spool.add(bytes(count))
        assert spool.byte_count == spool.start == before + count
        with pytest.raises(Misuse):
            spool.read(spool.start, 1)
        self.spools[which], self.rows[which] = Spool(self.rooms[which // 2]), bytearray()

    @precondition(lambda self: self.disk_bytes is None)
    @rule(count=st.sampled_from([0, 1, SLOT_BYTES, 3 * SLOT_BYTES]))
    def the_disk_fills(self, count: int) -> None:
        self.disk_bytes = count

    @precondition(lambda self: self.disk_bytes is not None)
    @rule()
    def the_disk_has_room_again(self) -> None:
        self.disk_bytes = None

    @rule(which=WHICH, pick=st.integers(0, 99), place=st.integers(0, SLOT_BYTES + 15), bit=st.integers(0, 7))
    def the_disk_rots(self, which: int, pick: int, place: int, bit: int) -> None:
        spool = self.spools[which]
        indexes = [index for index, piece in enumerate(spool._pieces) if isinstance(piece, int)]
        if not indexes:
            return
        index = indexes[pick % len(indexes)]
        number = spool._pieces[index] & slots._NUMBER
        place %= spool._end(index) - spool._starts[index] + slots._TAG
        descriptor, offset = descriptor_of(spool), number * slots._STRIDE + place
        byte = slots._read_at(descriptor, 1, offset)[0]
        self._write_at(descriptor, bytes([byte ^ 1 << bit]), offset)
        self.rotten.add((which // 2, number))

    @rule(room=st.sampled_from([0, 1]), count=st.integers(0, PROCESS_BYTES))
    def promise(self, room: int, count: int) -> None:
        found = self.rooms[room]
        free = min(
            found.limits.spool_link_bytes - found._claimed - found.promised_bytes,
            PROCESS_BYTES - rooms._ledger.claimed,
        )
        assert found.promise(count) == (count <= free)

    @rule(room=st.sampled_from([0, 1]), share=st.sampled_from([0.3, 1.0]))
    def keep(self, room: int, share: float) -> None:
        found = self.rooms[room]
        found.keep(int(share * found.promised_bytes))

    @invariant()
    def what_is_held_adds_up(self) -> None:
        assert [spool.byte_count for spool in self.spools] == [len(row) for row in self.rows]
        for number, room in enumerate(self.rooms):
            spools = self.spools[2 * number : 2 * number + 2]
            on_disk = sum(spool._sealed for spool in spools)
            waiting = sum(spool._waiting_bytes for spool in spools)
            assert held(room)[:2] == (sum(spool._memory for spool in spools), on_disk)
            assert room._claimed == on_disk + waiting <= room.limits.spool_link_bytes
            assert room.memory_bytes <= 100_000 + 100_000 // 8
            in_use = [piece & slots._NUMBER for spool in spools for piece in spool._pieces if isinstance(piece, int)]
            assert [place for place, used in enumerate(room.file._used) if used] == sorted(in_use)
        claimed = sum(room._claimed + room.promised_bytes for room in self.rooms)
        assert rooms._ledger.claimed == claimed <= PROCESS_BYTES
        for spool in self.spools:
            pieces = spool._pieces[spool._head :]
            assert spool._waiting_bytes < SLOT_BYTES
            assert spool._memory - spool._waiting_bytes <= 70_000
            assert spool._memory == sum(len(piece) for piece in pieces if not isinstance(piece, int))
            assert spool._memory + spool._sealed >= spool.byte_count - spool.start

    def teardown(self) -> None:
        slots._write_at = self._write_at
        for spool in self.spools:
            spool.close()
        for room in self.rooms:
            room.keep(room.promised_bytes)
            assert held(room) == (0, 0, 0)
            assert room._claimed == 0


ROWS = settings(max_examples=60, stateful_step_count=30)
TestRows = Rows.TestCase
TestRows.settings = ROWS


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_rows() -> None:
    run_state_machine_as_test(Rows, settings=settings(ROWS, max_examples=2000, stateful_step_count=100))


def _believe_the_disk(self: slots.SlotFile, slot: int, owner: int, position: int, count: int, **_: Any) -> bytes:
    """Return what lies in a slot without a look at its tag."""
    counter, number = slot >> slots._COUNTER_AT, slot & slots._NUMBER
    sealed = slots._read_at(self._descriptors[0], count, number * slots._STRIDE)
    assert self._cipher is not None
    stream = self._cipher.encrypt(counter.to_bytes(12, "big"), bytes(count), None)[:count]
    return (int.from_bytes(sealed, "big") ^ int.from_bytes(stream, "big")).to_bytes(count, "big")


def _forget_a_byte_more(self: Spool, position: int) -> None:
    _forget(self, min(position + 1, self.byte_count))


def _give_too_much(self: SpoolRoom, memory_bytes: int, claimed_bytes: int, sealed_bytes: int) -> None:
    _drop(self, memory_bytes, claimed_bytes + (sealed_bytes > 0), sealed_bytes)


def _always_promise(self: SpoolRoom, count: int) -> None:
    return


_forget, _drop = Spool._forget, SpoolRoom.drop


@pytest.mark.parametrize(
    ("where", "name", "worse"),
    [
        (slots.SlotFile, "read", _believe_the_disk),
        (Spool, "_forget", _forget_a_byte_more),
        (SpoolRoom, "drop", _give_too_much),
        (SpoolRoom, "_check", _always_promise),
    ],
)
def test_a_spool_that_is_worse_is_found(where: type, name: str, worse: object) -> None:
    """The sabotage twins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "_ledger", rooms._Ledger())  # what it holds in the end is wrong
        patch.setattr(slots, "_write_at", slots._write_at)
        patch.setattr(where, name, worse)
        with pytest.raises((AssertionError, Misuse)):
            use_by_chance(range(20))


def test_what_is_not_worse_is_not_found() -> None:
    use_by_chance(range(3))


def use_by_chance(seeds: Iterable[int]) -> None:
    """Do with spools what the machine does, by seeds."""
    for seed in seeds:
        chance, rows = Random(seed), Rows()
        for _ in range(60):
            _use(rows, chance, chance.randrange(4))
            rows.what_is_held_adds_up()
        rows.teardown()


def _use(rows: Rows, chance: Random, which: int) -> None:
    acts: list[Callable[[], None]] = [
        *[lambda: rows.add(which, chance.choice((0, 100, 4000, SLOT_BYTES - 1, SLOT_BYTES, 200_000)))] * 4,
        *[lambda: rows.read(which, chance.random(), chance.randrange(1, 200_000))] * 3,
        lambda: rows.take(which, 3),
        lambda: rows.forget(which, chance.random()),
        lambda: rows.the_disk_rots(which, chance.randrange(100), chance.randrange(SLOT_BYTES), 3),
        lambda: rows.promise(which // 2, chance.randrange(200_000)),
        lambda: rows.keep(which // 2, 0.3),
        lambda: rows.begin_anew(which, True),
    ]
    chance.choice(acts)()


def test_a_spool_is_free_of_circles() -> None:
    spool, _ = filled(small_room(), 1)
    descriptor = descriptor_of(spool)
    gc.disable()
    try:
        del spool
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    finally:
        gc.enable()
