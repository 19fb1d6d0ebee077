"""The clock that stands: it goes on when it is told to, and never back."""

from __future__ import annotations

import pytest

from netstructer.errors import Misuse
from netstructer.testing import FakeClock


def test_it_stands_until_it_is_told_to_go_on() -> None:
    clock = FakeClock(monotonic=5.0, wall=100.0)

    assert (clock(), clock.monotonic(), clock.wall()) == (5.0, 5.0, 100.0)
    assert clock.advance(2.5) == 7.5
    assert (clock(), clock.wall()) == (7.5, 102.5)


def test_the_time_of_day_jumps_alone() -> None:
    clock = FakeClock()
    before = clock.wall()
    clock.jump(-3600.0)

    assert (clock(), clock.wall() - before) == (0.0, -3600.0)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_it_never_goes_back(seconds: float) -> None:
    with pytest.raises(Misuse):
        FakeClock().advance(seconds)


def test_it_stands_in_for_the_module_time() -> None:
    clock = FakeClock(monotonic=1.5, wall=100.0)
    clock.sleep(1.0)

    assert (clock.time(), clock.monotonic(), clock.perf_counter()) == (101.0, 2.5, 2.5)
    assert (clock.time_ns(), clock.monotonic_ns(), clock.perf_counter_ns()) == (
        101 * 10**9,
        2_500_000_000,
        2_500_000_000,
    )


def test_calls_are_made_in_order_each_at_its_time() -> None:
    clock = FakeClock()
    found: list[tuple[str, float]] = []
    clock.call_at(3.0, lambda: found.append(("third", clock())))
    clock.call_at(1.0, lambda: found.append(("first", clock())))
    clock.call_at(1.0, lambda: clock.call_at(2.0, lambda: found.append(("second", clock()))))
    clock.call_at(9.0, lambda: found.append(("never", clock())))
    clock.advance(5.0)

    assert found == [("first", 1.0), ("second", 2.0), ("third", 3.0)]
    assert (clock(), clock.wall()) == (5.0, 1_700_000_005.0)
