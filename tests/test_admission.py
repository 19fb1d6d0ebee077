"""Admission: what strangers may cost, as arithmetic; time and chance are arguments."""

from __future__ import annotations

import pytest

from netstructer import admission
from netstructer.admission import Admission
from netstructer.limits import Limits

LIMITS = Limits(
    half_open=20,
    half_open_early=10,
    half_open_per_source=4,
    connects_per_second=2.0,
    connect_burst=3,
    log_seconds=1.0,
)
LOOPBACK = "127.0.0.1"


def ip(place: int) -> str:
    return f"192.0.{place // 256}.{place % 256}"


def filled(count: int, limits: Limits = LIMITS) -> Admission:
    """Return an admission with that many places taken, each by a source of its own."""
    found = Admission(limits)
    for place in range(count):
        assert found.admit(ip(place), 0.0, 1.0)
    assert found.half_open == count
    return found


@pytest.mark.parametrize(
    ("taken", "dropped"), [(0, 0.0), (9, 0.0), (10, 0.30), (11, 0.37), (15, 0.65), (19, 0.93), (20, 1.0)]
)
def test_newcomers_are_dropped_early_and_ever_more(taken: int, dropped: float) -> None:
    chances = [chance for chance in (0.0, dropped - 0.001, dropped + 0.001, 0.999, 1.0) if 0 <= chance <= 1]

    assert [filled(taken).admit("198.51.100.1", 0.0, chance) for chance in chances] == [
        chance > dropped or dropped == 0.0 for chance in chances
    ]


def test_the_share_that_is_dropped_is_the_one_that_is_stated() -> None:
    for taken in range(10, 20):
        dropped = sum(not filled(taken).admit("198.51.100.1", 0.0, chance / 200) for chance in range(200))

        assert dropped == pytest.approx(200 * (0.3 + 0.7 * (taken - 10) / 10), abs=1)


@pytest.mark.parametrize("early", [5, 128])
def test_where_nobody_is_dropped_early_the_end_is_the_same(early: int) -> None:
    found = filled(5, Limits(half_open=5, half_open_early=early))

    assert not found.admit("198.51.100.1", 0.0, 1.0)
    found.leave(ip(0), 0.0, proved=False)
    assert found.admit("198.51.100.1", 0.0, 0.0)


def test_one_source_has_few_places() -> None:
    for sources in (["192.0.2.1"] * 5, [f"2001:db8:0:1::{place}" for place in range(5)]):
        found = Admission(LIMITS)

        assert [found.admit(source, 10.0 * place, 1.0) for place, source in enumerate(sources)] == [True] * 4 + [False]
        assert found.admit("2001:db8:0:2::1", 40.0, 1.0)
        found.leave(sources[0], 50.0, proved=False)
        assert found.admit(sources[1], 50.0, 1.0)


@pytest.mark.parametrize("loopback", [LOOPBACK, "::1", "127.9.9.9"])
def test_loopback_is_exempt_from_what_is_counted_for_a_source(loopback: str) -> None:
    found = Admission(LIMITS)

    assert all(found.admit(loopback, 0.0, 1.0) for _ in range(10))
    assert not found.admit(loopback, 0.0, 0.29)
    for _ in range(10):
        found.leave(loopback, 0.0, proved=False)
    assert found.half_open == 0


def tries(found: Admission, count: int, now: float) -> list[bool]:
    """Let a source try again and again; each place is given back at once, unproved."""
    results = []
    for _ in range(count):
        results.append(found.admit("203.0.113.1", now, 1.0))
        if results[-1]:
            found.leave("203.0.113.1", now, proved=False)
    return results


def test_a_burst_is_counted_only_where_there_is_a_crowd() -> None:
    assert tries(filled(1), 50, 0.0) == [True] * 50
    assert tries(filled(2), 5, 0.0) == [True] * 3 + [False] * 2  # a quarter of ten


def test_tries_come_back_with_time_up_to_the_burst() -> None:
    found = filled(5)
    assert tries(found, 5, 0.0) == [True] * 3 + [False] * 2
    assert tries(found, 2, 0.5) == [True, False]
    assert tries(found, 2, 0.9) == [False, False]
    assert tries(found, 2, 1.0) == [True, False]
    assert tries(found, 9, 1000.0) == [True] * 3 + [False] * 6


def test_a_try_that_proved_a_key_is_given_back() -> None:
    found = filled(5)
    for _ in range(50):
        assert found.admit("203.0.113.1", 0.0, 1.0)
        found.leave("203.0.113.1", 0.0, proved=True)
    assert tries(found, 5, 0.0) == [True] * 3 + [False] * 2  # and no more than the burst


def test_a_refused_try_costs_no_place() -> None:
    found = filled(5)
    tries(found, 10, 0.0)

    assert found.half_open == 5


def test_only_so_many_sources_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission.MOST_SOURCES == 65_536
    monkeypatch.setattr(admission, "MOST_SOURCES", 100)
    found = Admission(Limits(half_open=10_000, half_open_early=9_999))
    for place in range(300):
        found.may_log("192.0.2.77", float(place))
        found.admit(ip(place), float(place), 1.0)

    assert len(found._sources) == 100
    assert "192.0.2.77" in found._sources  # seen again and again
    assert ip(0) not in found._sources
    found.leave(ip(0), 301.0, proved=False)  # forgotten in the meantime
    assert found.half_open == 299
    assert found._sources[ip(0)].half_open == 0


def test_one_line_a_second_for_a_source_and_the_rest_counted() -> None:
    found = Admission(LIMITS)
    lines = [found.may_log("192.0.2.1", now) for now in (0.0, 0.1, 0.2, 0.999, 1.0, 1.5, 9.0, 9.0)]

    assert lines == [0, None, None, None, 3, None, 1, None]
    assert found.may_log("192.0.2.2", 0.0) == 0
    assert found.may_log(LOOPBACK, 0.0) == 0
