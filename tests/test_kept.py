"""Kept: what took a number is sent under it, unchanged, until the peer has it: in memory, in a spool, up to a bound."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstructer.codec.spool import SpoolRoom
from netstructer.limits import Limits
from netstructer.protocol.kept import KEPT_MEMORY_BYTES, RECORD_COST_BYTES, Kept
from netstructer.protocol.states import Kind

MIB = 1 << 20
ALL = 1 << 62
DATA = int(Kind.DATA)


def new(most_bytes: int = 64 * MIB, *, resend: bool = True, **limits: object) -> Kept:
    return Kept(SpoolRoom(Limits(**limits)), most_bytes, resend=resend)  # type: ignore[arg-type]


def add(kept: Kept, *bodies: bytes, charged: int = 0) -> None:
    for body in bodies:
        kept.add(DATA, 3, 1, (body,), charged)


def send_all(kept: Kept, limit: int = ALL) -> list[bytes]:
    """Send what may be sent; return the bodies."""
    found = []
    while (record := kept.next(limit)) is not None:
        found.append(b"".join(record[3]))
        kept.sent()
    return found


# --- one record after the other ---------------------------------------------------------------------------------------


def test_a_record_is_sent_in_its_turn_and_kept_until_the_peer_has_it() -> None:
    kept = new()
    assert (len(kept), kept.waiting, kept.next(ALL), kept.next_kind) == (0, 0, None, 0)
    kept.add(Kind.CANCEL, 0, 4, (b"first",), 0)
    add(kept, b"second")
    assert (kept.waiting, kept.next_kind, kept.expectable) == (2, Kind.CANCEL, range(1, 2))
    assert kept.next(0) == (Kind.CANCEL, 0, 4, (b"first",))
    kept.sent()
    assert (kept.next_to_send, kept.waiting, kept.next(0)) == (2, 1, (DATA, 3, 1, (b"second",)))
    kept.sent()
    assert (len(kept), kept.waiting, kept.next(ALL), kept.expectable) == (2, 0, None, range(1, 4))
    kept.trim(2)
    assert (len(kept), kept.first, kept.expectable) == (1, 2, range(2, 4))
    kept.trim(3)
    assert (len(kept), kept.first, kept.held_bytes) == (0, 3, 0)


def test_on_the_next_transport_what_the_peer_does_not_have_is_sent_again() -> None:
    kept = new()
    add(kept, b"1", b"2", b"3", b"4", b"5")
    for _ in range(3):
        kept.sent()
    kept.rewind(2)
    assert (kept.first, kept.next_to_send, kept.carried) == (2, 2, 4)
    assert send_all(kept) == [b"2", b"3", b"4", b"5"]
    kept.rewind(4)
    assert (kept.expectable, send_all(kept)) == (range(4, 7), [b"4", b"5"])
    kept.rewind(6)
    assert (send_all(kept), len(kept), kept.first) == ([], 0, 6)


def test_a_peer_may_have_more_than_was_sent_again_so_far() -> None:
    """A transport on which little was said follows one on which much was: that much may have come all the same."""
    kept = new()
    add(kept, *(bytes([number]) for number in range(10)))
    send_all(kept)
    kept.rewind(3)
    kept.sent()
    assert (kept.next_to_send, kept.carried, kept.expectable) == (4, 11, range(3, 12))
    kept.rewind(9)

    assert (kept.next_to_send, send_all(kept)) == (9, [b"\x08", b"\x09"])


def test_what_is_acknowledged_ahead_of_its_turn_is_not_sent_again() -> None:
    kept = new()
    add(kept, b"1", b"2", b"3")
    send_all(kept)
    kept.rewind(1)
    kept.trim(3)

    assert send_all(kept) == [b"3"]


def test_a_record_waits_for_the_credit_of_all_up_to_it() -> None:
    kept = new()
    add(kept, b"a", charged=100)
    add(kept, b"b", charged=250)
    kept.add(Kind.CANCEL, 0, 2, (b"c",), 250)
    assert kept.next(99) is None
    assert kept.waiting
    assert send_all(kept, 100) == [b"a"]
    assert (kept.next(249), kept.next_kind) == (None, DATA)
    assert send_all(kept, 250) == [b"b", b"c"]


def test_ids_are_those_of_what_is_kept() -> None:
    kept = new()
    for number in range(1, 4):
        kept.add(DATA, 1, 1, (b"part",), 0)
        kept.add(DATA, 2, 1, (b"end",), 0, range(number, number + 1))
    kept.add(Kind.BATCH, 0, 0, (b"batch",), 0, range(4, 7))
    assert list(kept.ids()) == [1, 2, 3, 4, 5, 6]
    send_all(kept)
    kept.trim(3)
    assert list(kept.ids()) == [2, 3, 4, 5, 6]
    kept.trim(8)
    assert list(kept.ids()) == []


def test_without_resending_a_record_is_kept_until_it_is_sent() -> None:
    kept = new(resend=False)
    body = bytearray(b"not copied")
    kept.add(DATA, 3, 1, (body,), 0)
    found = kept.next(ALL)
    assert found is not None
    assert found[3][0] is body
    kept.sent()

    assert (len(kept), kept.first, kept.held_bytes, kept.expectable) == (0, 2, 0, range(2, 3))


def test_one_that_was_sealed_at_once_is_kept_as_the_others_are() -> None:
    for resend in (True, False):
        kept = new(resend=resend)
        kept.add_sent(DATA, 3, 1, b"first", 5, 1)
        assert (kept.next_to_send, kept.carried, kept.waiting, len(kept)) == (2, 2, 0, int(resend))
        assert list(kept.ids()) == [1][: int(resend)]
    kept = new()
    kept.add_sent(DATA, 3, 1, b"first", 5, 1)
    add(kept, b"second")
    kept.rewind(1)
    assert send_all(kept) == [b"first", b"second"]
    kept.add_sent(DATA, 3, 1, b"third", 5, 3)
    assert (kept.carried, kept.held_bytes) == (4, 16 + 3 * RECORD_COST_BYTES)
    kept.trim(3)
    assert (list(kept.ids()), kept.held_bytes) == ([3], 5 + RECORD_COST_BYTES)
    kept = new(spool_memory_bytes=1 << 16)
    add(kept, bytes(KEPT_MEMORY_BYTES))
    kept.sent()
    kept.add_sent(DATA, 3, 1, b"spooled", 5, 2)
    assert (kept._memory_bytes, kept.waiting, kept.carried) == (KEPT_MEMORY_BYTES, 0, 3)
    kept.rewind(2)
    assert send_all(kept) == [b"spooled"]


# --- memory -----------------------------------------------------------------------------------------------------------


def test_what_somebody_could_change_is_copied_and_what_nobody_can_is_not() -> None:
    kept, mine = new(), bytearray(b"mine")
    fixed = b"fixed"
    view = memoryview(fixed)[1:]
    kept.add(DATA, 3, 1, (fixed, view, mine, memoryview(mine)[1:]), 0)
    mine[:] = b"!!!!"
    found = kept.next(ALL)

    assert found is not None
    assert found[3][0] is fixed
    assert found[3][1] is view
    assert b"".join(found[3]) == b"fixedixedmineine"


def test_the_bound_counts_bodies_and_records_and_an_only_one_always_fits() -> None:
    kept = new(1000)
    assert kept.has_room(5000)
    add(kept, bytes(100))
    assert kept.held_bytes == 100 + RECORD_COST_BYTES
    room = 1000 - 2 * RECORD_COST_BYTES - 100
    assert (kept.has_room(room), kept.has_room(room + 1)) == (True, False)
    kept.sent()
    kept.trim(2)
    assert kept.has_room(5000)


def test_beyond_its_memory_it_spools_and_gives_all_back_in_order() -> None:
    kept = new(spool_memory_bytes=1 << 16)
    bodies = [bytes([number]) * MIB for number in range(14)]
    for body in bodies:
        kept.add(DATA, 0, 1, (body[: MIB // 2], memoryview(body)[MIB // 2 :]), 0)
    room = kept._room
    assert kept._memory_bytes == KEPT_MEMORY_BYTES
    assert kept.held_bytes == 14 * (MIB + RECORD_COST_BYTES)
    assert room.disk_bytes + room.memory_bytes == 6 * MIB
    assert room.disk_bytes > 5 * MIB
    assert send_all(kept) == bodies
    kept.rewind(4)
    assert kept._memory_bytes == 5 * MIB
    add(kept, b"in memory again")
    assert send_all(kept) == [*bodies[3:], b"in memory again"]
    kept.trim(12)
    assert room.disk_bytes + room.memory_bytes <= 4 * MIB  # a slot that is read in part is still there
    kept.trim(16)
    assert (len(kept), kept.held_bytes, kept._memory_bytes, kept._spool) == (0, 0, 0, None)
    assert (room.disk_bytes, room.memory_bytes) == (0, 0)


def test_what_was_sealed_at_once_is_the_same_beyond_its_memory() -> None:
    kept = new(spool_memory_bytes=1 << 16)
    add(kept, bytes(KEPT_MEMORY_BYTES))
    kept.sent()
    kept.add_sent(DATA, 7, 5, b"beyond", 9, 2)
    kept.rewind(2)
    record = kept.next(ALL)

    assert record is not None
    assert (record[:3], b"".join(record[3])) == ((DATA, 7, 5), b"beyond")
    assert (kept.next(8), [*kept.ids()]) == (None, [2])


def test_a_spool_that_is_full_leaves_records_in_memory() -> None:
    kept = new(spool_memory_bytes=1 << 16, spool_link_bytes=2 * MIB, credit_bytes=1 << 16)
    bodies = [bytes([number]) * MIB for number in range(14)]
    mine = bytearray(bodies[13])
    add(kept, *bodies[:13], mine)  # type: ignore[arg-type]
    mine[:] = b"changed"
    assert kept._memory_bytes > KEPT_MEMORY_BYTES + 3 * MIB
    assert kept._room.disk_bytes <= 2 * MIB

    assert send_all(kept) == bodies
    kept.trim(15)
    assert (kept.held_bytes, kept._memory_bytes, kept._room.disk_bytes) == (0, 0, 0)


def test_closing_lets_go_of_everything(tmp_path: Path) -> None:
    for size in (100, MIB):
        kept = new(spool_memory_bytes=1 << 16, spool_directory=str(tmp_path))
        add(kept, *[bytes(size)] * 12)
        kept.sent()
        kept.close()
        assert (len(kept), kept.held_bytes, kept.waiting, kept.next(ALL)) == (0, 0, 0, None)
        assert (kept.first, kept.next_to_send) == (2, 2)
        assert (kept._room.disk_bytes, kept._room.memory_bytes) == (0, 0)
        kept.close()


# --- anything ---------------------------------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 3000)),
    st.tuples(st.just("send"), st.integers(1, 5)),
    st.tuples(st.just("trim"), st.integers(0, 5)),
    st.tuples(st.just("resume"), st.integers(0, 5)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_the_peer_gets_every_record_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    """Against a list: what is sent is what was added under the number that is next, whatever was cut in between."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("netstructer.protocol.kept.KEPT_MEMORY_BYTES", 4096)
        kept = new(spool_memory_bytes=1024)
        added: list[bytes] = []
        came = told = 0  # how many the peer has, and how many it has acknowledged
        for step, count in steps:
            if step == "add":
                added.append(len(added).to_bytes(2, "big") + bytes(count))
                add(kept, added[-1], charged=len(added))
            if step == "send":
                for _ in range(count):
                    found = kept.next(ALL)
                    if found is None:
                        break
                    assert b"".join(found[3]) == added[kept.next_to_send - 1]
                    came = max(came, kept.next_to_send)
                    kept.sent()
            if step == "trim":
                told = min(came, told + count)
                kept.trim(told + 1)
            if step == "resume":
                # Of what was sent the last few may not have come.
                came = max(told, came - count)
                told = came
                kept.rewind(told + 1)
            assert kept.first == told + 1
            assert kept.held_bytes == sum(len(body) + RECORD_COST_BYTES for body in added[told:])
            assert kept.expectable.start == told + 1
            assert came + 1 in kept.expectable
        kept.close()
        assert kept._room.disk_bytes + kept._room.memory_bytes == 0
