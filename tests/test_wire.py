"""The wire in memory: what goes in comes out, faults happen at their byte, and time passes only by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.errors import Misuse
from netstructer.testing import (
    Blackhole,
    Cut,
    Duplicate,
    FakeClock,
    Flip,
    HalfClose,
    Hold,
    Reset,
    Stall,
    Throttle,
    Wire,
    WireEnd,
    wire_pair,
)

BODY = bytes(range(100))


def drain(end: WireEnd) -> bytes:
    """Read all that is there now."""
    found = b""
    while data := end.read(7):
        found += data
    return found


@given(pieces=st.lists(st.binary(max_size=40), max_size=8), size=st.integers(1, 9))
def test_what_goes_in_comes_out_in_any_split_and_then_the_end(pieces: list[bytes], size: int) -> None:
    near, far = wire_pair()
    for piece in pieces:
        assert near.write(piece) == len(piece)
    found = b""
    while data := far.read(size):
        found += data
    near.finish()

    assert found == b"".join(pieces)
    assert (far.read(), far.read()) == (b"", b"")
    assert far.write(b"back") == 4
    assert near.read() == b"back"


def test_it_takes_no_more_than_it_has_room_for() -> None:
    near, far = wire_pair(buffer_bytes=10)

    assert (near.room_bytes, near.write(BODY), near.write(b"x"), near.room_bytes) == (10, 10, 0, 0)
    assert far.read(4) == BODY[:4]
    assert (far.waiting_bytes, near.write(BODY[10:])) == (6, 4)
    assert drain(far) == BODY[4:14]


@pytest.mark.parametrize("at", [0, 1, 50, 99, 100])
def test_a_cut_lets_exactly_so_many_bytes_through(at: int) -> None:
    near, far = wire_pair([Cut(at=at)])
    if at:
        near.write(BODY)

    assert drain(far) == BODY[:at]
    assert (near.read(), far.read()) == (b"", b"")
    assert near.wire.counts == {"Cut": 1}
    for end in (near, far):
        with pytest.raises(BrokenPipeError):
            end.write(b"more")


def test_a_reset_loses_what_nobody_has_read() -> None:
    near, far = wire_pair([Reset(at=10)])
    near.write(BODY[:5])
    assert far.read(2) == BODY[:2]
    near.write(BODY[5:])

    for end in (near, far):
        with pytest.raises(ConnectionResetError):
            end.read()
        with pytest.raises(ConnectionResetError):
            end.write(b"more")


def test_bytes_are_changed_and_doubled_where_the_plan_says() -> None:
    near, far = wire_pair([Flip(at=3, bit=7), Duplicate(at=10, count=4), Flip(at=0, direction="in")])
    near.write(BODY[:12])
    far.write(b"\0\0")

    assert drain(far) == bytes([0, 1, 2, 3 ^ 128]) + BODY[4:10] + BODY[6:10] + BODY[10:12]
    assert near.read() == b"\1\0"


def test_a_half_close_ends_one_direction_alone() -> None:
    near, far = wire_pair([HalfClose(at=4)])
    near.write(BODY)
    far.write(b"still")

    assert (drain(far), far.read()) == (BODY[:4], b"")
    assert near.read() == b"still"
    assert near.write(b"thrown away") == 11


def test_a_blackhole_tells_nobody() -> None:
    near, far = wire_pair([Blackhole(at=4)])
    near.write(BODY)
    far.write(b"still")

    assert (drain(far), far.read(), near.read()) == (BODY[:4], None, None)


def test_a_stall_and_a_throttle_pass_by_the_clock() -> None:
    clock = FakeClock()
    near, far = wire_pair([Stall(at=10, seconds=3), Throttle(at=20, bytes_per_second=10)], clock=clock)
    near.write(BODY)
    assert (drain(far), near.wire.due) == (BODY[:10], 3.0)
    clock.advance(2.9)
    assert far.read() is None
    clock.advance(0.1)
    assert drain(far) == BODY[10:21]  # and the first byte of the slow ones
    for _ in range(20):
        clock.advance(0.1)
        assert len(drain(far)) == 1


def test_a_hold_is_half_open_and_late() -> None:
    near, far = wire_pair([Hold(at=10, count=20)])
    near.write(BODY)
    assert (drain(far), near.read()) == (BODY[:10], b"")
    assert near.wire.release() == 20

    assert (drain(far), far.read()) == (BODY[10:30], b"")


def test_faults_happen_by_hand() -> None:
    near, far = wire_pair()
    near.wire.strike(Stall())
    near.write(BODY)
    assert far.read() is None
    assert near.wire.release() == 100
    near.wire.cut()

    assert (drain(far), far.read(), near.read()) == (BODY, b"", b"")
    with pytest.raises(Misuse):
        near.wire.strike(Duplicate())


def test_who_has_closed_is_written_to_no_more() -> None:
    near, far = wire_pair()
    near.write(b"last")
    near.close()
    near.close()

    assert (far.read(), far.read()) == (b"last", b"")
    with pytest.raises(BrokenPipeError):
        far.write(b"answer")
    with pytest.raises(Misuse):
        near.read()


@pytest.mark.parametrize("wrong", [{"buffer_bytes": 0}, {"hold_bytes": 0}])
def test_a_wire_without_room_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(Misuse):
        Wire(**wrong)  # type: ignore[arg-type]
