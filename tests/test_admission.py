"""Admission: what strangers may cost, as arithmetic; time and chance are arguments."""

from __future__ import annotations

import pytest

from netstructer import admission
from netstructer.address import Sources
from netstructer.admission import Admission, Verdict
from netstructer.limits import Limits

LIMITS = Limits(
    half_open=20,
    half_open_early=10,
    half_open_per_source=4,
    connects_per_second=2.0,
    connect_burst=3,
)
LOOPBACK = "127.0.0.1"


def ip(place: int) -> str:
    return f"192.0.{place // 256}.{place % 256}"


def enters(found: Admission, source: str, now: float = 0.0, chance: float = 1.0) -> bool:
    """Say whether a newcomer gets a place at nobody's cost."""
    return found.admit(source, now, chance) is Verdict.ENTER


def filled(count: int, limits: Limits = LIMITS) -> Admission:
    """Return an admission with that many places taken, each by a source of its own."""
    found = Admission(limits)
    for place in range(count):
        assert enters(found, ip(place))
    assert found.half_open == count
    return found


@pytest.mark.parametrize(
    ("taken", "dropped"), [(0, 0.0), (9, 0.0), (10, 0.30), (11, 0.37), (15, 0.65), (19, 0.93), (20, 1.0)]
)
def test_newcomers_are_dropped_early_and_ever_more(taken: int, dropped: float) -> None:
    chances = [chance for chance in (0.0, dropped - 0.001, dropped + 0.001, 0.999, 1.0) if 0 <= chance <= 1]

    assert [enters(filled(taken), "198.51.100.1", 0.0, chance) for chance in chances] == [
        chance > dropped or dropped == 0.0 for chance in chances
    ]


def test_the_share_that_is_dropped_is_the_one_that_is_stated() -> None:
    for taken in range(10, 20):
        dropped = sum(not enters(filled(taken), "198.51.100.1", 0.0, chance / 200) for chance in range(200))

        assert dropped == pytest.approx(200 * (0.3 + 0.7 * (taken - 10) / 10), abs=1)


@pytest.mark.parametrize("early", [5, 128])
def test_where_nobody_is_dropped_early_the_end_is_the_same(early: int) -> None:
    found = filled(5, Limits(half_open=5, half_open_early=early))

    assert found.admit("198.51.100.1", 0.0, 1.0) is Verdict.UNREAD
    found.leave(ip(0), 0.0, proved=False)
    assert enters(found, "198.51.100.1", 0.0, 0.0)


def test_one_source_has_few_places() -> None:
    for sources in (["192.0.2.1"] * 5, [f"2001:db8:0:1::{place}" for place in range(5)]):
        found = Admission(LIMITS)

        assert [enters(found, source, 10.0 * place) for place, source in enumerate(sources)] == [True] * 4 + [False]
        assert enters(found, "2001:db8:0:2::1", 40.0)
        found.leave(sources[0], 50.0, proved=False)
        assert enters(found, sources[1], 50.0)


@pytest.mark.parametrize("loopback", [LOOPBACK, "::1", "127.9.9.9"])
def test_loopback_is_exempt_from_what_is_counted_for_a_source(loopback: str) -> None:
    found = Admission(LIMITS)

    assert all(enters(found, loopback) for _ in range(10))
    assert not enters(found, loopback, 0.0, 0.29)
    for _ in range(10):
        found.leave(loopback, 0.0, proved=False)
    assert found.half_open == 0


def test_what_is_one_source_and_what_is_exempt_can_be_said() -> None:
    found = Admission(LIMITS, Sources(("192.0.2.0/24",), ipv4_bits=24))

    assert all(enters(found, f"192.0.2.{place}") for place in range(8))
    assert [enters(found, f"198.51.100.{place}", 10.0 * place) for place in range(5)] == [True] * 4 + [False]
    assert found.half_open == 12


def tries(found: Admission, count: int, now: float) -> list[bool]:
    """Let a source try again and again; each place is given back at once, unproved."""
    results = []
    for _ in range(count):
        results.append(enters(found, "203.0.113.1", now))
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
        assert enters(found, "203.0.113.1")
        found.leave("203.0.113.1", 0.0, proved=True)
    assert tries(found, 5, 0.0) == [True] * 3 + [False] * 2  # and no more than the burst


def test_a_refused_try_costs_no_place() -> None:
    found = filled(5)
    tries(found, 10, 0.0)

    assert found.half_open == 5


def test_only_so_many_sources_are_remembered_and_a_place_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission.MOST_SOURCES == 65_536
    monkeypatch.setattr(admission, "MOST_SOURCES", 100)
    found = Admission(Limits(half_open=10_000, half_open_early=9_999))
    for place in range(300):
        assert enters(found, "192.0.2.77", float(place))
        found.leave("192.0.2.77", float(place), proved=True)
        assert enters(found, ip(place), float(place))

    assert len(found._tries) == 100
    assert "192.0.2.77" in found._tries  # seen again and again
    assert ip(0) not in found._tries
    for place in range(300):
        found.leave(ip(place), 301.0, proved=False)
    assert found.half_open == 0
    assert found._held == {}


# --- who makes way ----------------------------------------------------------------------------------------------------


def greedy(sources: dict[str, int]) -> Admission:
    """Return an admission where each source holds so many places."""
    found = Admission(Limits(half_open=20, half_open_early=10, half_open_per_source=20, connect_burst=100))
    for source, places in sources.items():
        for _ in range(places):
            assert found.admit(source, 0.0, 1.0) is Verdict.ENTER
    return found


@pytest.mark.parametrize(("places", "chance"), [(10, 0.0), (19, 0.92), (20, 1.0)])
def test_the_greediest_source_makes_way_for_one_that_holds_no_place(places: int, chance: float) -> None:
    found = greedy({"192.0.2.1": places - 2, "192.0.2.2": 2})

    assert found.greediest == "192.0.2.1"
    assert found.admit("198.51.100.1", 0.0, chance) is Verdict.INSTEAD
    found.leave("192.0.2.1", 0.0, proved=False)
    assert found.half_open == places
    assert found.admit("198.51.100.1", 0.0, chance) is Verdict.UNREAD  # it holds one now
    assert found.admit("127.0.0.1", 0.0, chance) is Verdict.INSTEAD  # exempt: it never holds one
    assert found.half_open == places + 1


def test_nobody_makes_way_where_every_source_holds_one_place() -> None:
    found = filled(20, Limits(half_open=20, half_open_early=19))

    assert found.greediest is None
    assert found.admit("198.51.100.1", 0.0, 1.0) is Verdict.UNREAD
    assert found.half_open == 20


def test_a_place_is_left_by_those_that_hold_one() -> None:
    with pytest.raises(KeyError):
        Admission(LIMITS).leave("192.0.2.1", 0.0, proved=False)
