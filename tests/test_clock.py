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
