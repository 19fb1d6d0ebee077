"""The log's budget: a line for each source, some for all, and everything else counted and told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer import logbudget
from netstructer.address import Sources
from netstructer.limits import Limits
from netstructer.logbudget import LogBudget

LIMITS = Limits(log_seconds=1.0, log_lines=3)


def test_one_line_a_second_for_a_source_and_the_rest_counted() -> None:
    found = LogBudget(LIMITS)
    lines = [found.may_log("192.0.2.1", now) for now in (0.0, 0.1, 0.2, 0.999, 1.0, 1.5, 9.0, 9.0)]

    assert lines == [0, None, None, None, 3, None, 1, None]
    assert found.may_log("192.0.2.2", 9.0) == 0
    assert found.may_log("127.0.0.1", 9.0) == 0  # exempt from other figures, not from this one
    assert found.may_log("127.0.0.1", 9.0) is None


def test_so_many_lines_for_all_sources_and_the_rest_in_one() -> None:
    found = LogBudget(LIMITS)
    lines = [found.may_log(f"192.0.2.{place}", 5.0 + place / 100) for place in range(50)]

    assert lines == [0] * 3 + [None] * 47
    assert found.summary(5.99) == 0  # not yet
    assert found.owes_summary
    assert found.summary(6.0) == 47
    assert not found.owes_summary
    assert found.summary(6.0) == 0  # told
    assert [found.may_log(f"192.0.2.{place}", 6.0) for place in range(4, 8)] == [0, 0, 0, None]


def test_a_source_is_a_network_where_the_limits_say_so() -> None:
    found = LogBudget(LIMITS, Sources(ipv4_bits=24))

    assert found.may_log("192.0.2.1", 0.0) == 0
    assert found.may_log("192.0.2.2", 0.0) is None


def test_only_so_many_sources_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert logbudget.MOST_SOURCES == 65_536
    monkeypatch.setattr(logbudget, "MOST_SOURCES", 100)
    found = LogBudget(LIMITS)
    for place in range(300):
        found.may_log(f"192.0.{place // 256}.{place % 256}", 0.0)

    assert len(found._lines) == 100


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 0.7)), max_size=80))
def test_whatever_happens_is_written_or_counted_and_never_written_too_often(steps: list[tuple[int, float]]) -> None:
    found, now, told, written = LogBudget(LIMITS), 0.0, 0, []
    for source, seconds in steps:
        now += seconds
        told += found.summary(now)
        kept_back = found.may_log(f"192.0.2.{source}", now)
        if kept_back is not None:
            written.append((now, source))
            told += kept_back + 1
    told += found.summary(now + 1)
    told += sum(lines.kept_back for lines in found._lines.values())

    assert told == len(steps)
    for moment, source in written:
        inside = [of for at, of in written if moment <= at < moment + 1]
        assert inside.count(source) == 1
        assert len(inside) <= 2 * LIMITS.log_lines  # a window of ours may begin inside any other second
