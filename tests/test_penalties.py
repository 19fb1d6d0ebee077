"""Penalties: what is gathered, when it is enforced, and how it passes; time is an argument."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netstructer import penalties
from netstructer.address import Sources
from netstructer.limits import Limits
from netstructer.penalties import Fault, Penalties

SOURCE = "192.0.2.1"
KEY, TIMEOUT, SILENCE, AUTHENTICATED = Fault.KEY, Fault.TIMEOUT, Fault.SILENCE, Fault.AUTHENTICATED


def made(limits: Limits = Limits.DEFAULT) -> Penalties:
    return Penalties(limits, limits.sources())


@pytest.mark.parametrize(
    ("faults", "gathered", "enforced"),
    [
        ([], 0, False),
        ([KEY], 5, False),
        ([KEY] * 2, 10, False),
        ([KEY] * 3, 15, True),
        ([TIMEOUT], 10, False),
        ([TIMEOUT, KEY], 15, True),
        ([SILENCE], 1, False),
        ([SILENCE] * 14, 14, False),
        ([SILENCE] * 15, 15, True),
        ([AUTHENTICATED], 30, True),
        ([AUTHENTICATED] * 20, 600, True),
        ([AUTHENTICATED] * 100, 600, True),
    ],
)
def test_what_faults_add_up_to(faults: list[Fault], gathered: float, enforced: bool) -> None:
    found = made()
    for fault in faults:
        found.punish(SOURCE, fault, 100.0)

    assert found.gathered(SOURCE, 100.0) == gathered
    assert found.turns_away(SOURCE, 100.0) is enforced


@pytest.mark.parametrize(
    ("moments", "at", "gathered", "enforced"),
    [
        ([0, 5, 10], 10, 5, False),  # each has passed before the next
        ([0, 1, 2], 2, 13, False),
        ([0, 1, 2, 3], 3, 17, True),
        ([0, 0, 0], 14.9, 0.1, True),  # once enforced, until it has passed whole
        ([0, 0, 0], 15, 0, False),
        ([0, 0, 0, 15], 15, 5, False),  # and then it begins anew
        ([0, 0, 0, 14], 14, 6, True),
        ([0, 0, 0, 14], 19.9, 0.1, True),
    ],
)
def test_penalties_pass_with_time_alone(moments: list[float], at: float, gathered: float, enforced: bool) -> None:
    found = made()
    for moment in moments:
        found.punish(SOURCE, KEY, float(moment))

    assert found.gathered(SOURCE, at) == pytest.approx(gathered)
    assert found.turns_away(SOURCE, at) is enforced


def test_a_check_once_a_second_goes_on_for_ever_and_twice_a_second_does_not() -> None:
    patient, hasty = made(), made()
    for second in range(1000):
        patient.punish(SOURCE, SILENCE, float(second))
        hasty.punish(SOURCE, SILENCE, second / 2)

        assert not patient.turns_away(SOURCE, float(second))
    assert hasty.turns_away(SOURCE, 499.5)


def test_an_hour_of_faults_is_over_after_the_most_that_there_is() -> None:
    found = made()
    for second in range(3600):
        found.punish(SOURCE, AUTHENTICATED, float(second))

    assert found.turns_away(SOURCE, 3599.0 + 599.9)
    assert not found.turns_away(SOURCE, 3599.0 + 600.0)


def test_a_source_is_what_the_limits_say() -> None:
    found = made(Limits(source_ipv4_bits=24, exempt_networks=("198.51.100.0/24",)))
    found.punish("192.0.2.1", AUTHENTICATED, 0.0)
    found.punish("198.51.100.1", AUTHENTICATED, 0.0)
    found.punish("2001:db8:0:1::1", AUTHENTICATED, 0.0)
    turned_away = ["192.0.2.200", "192.0.3.1", "198.51.100.1", "2001:db8:0:1:ffff::9", "2001:db8:0:2::1", "127.0.0.1"]

    assert [found.turns_away(ip, 1.0) for ip in turned_away] == [True, False, False, True, False, False]
    assert len(found) == 2


def test_only_so_many_sources_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert penalties.MOST_SOURCES == 65_536
    monkeypatch.setattr(penalties, "MOST_SOURCES", 100)
    found = made()
    for place in range(300):
        found.punish("203.0.113.1", SILENCE, 0.0)
        found.punish(f"192.0.{place // 256}.{place % 256}", AUTHENTICATED, 0.0)

    assert len(found) == 100
    assert found.turns_away("203.0.113.1", 0.0)  # again and again
    assert not found.turns_away("192.0.0.0", 0.0)
    assert found.turns_away("192.0.1.43", 0.0)


@given(st.lists(st.tuples(st.sampled_from(Fault), st.floats(0, 100)), max_size=50))
def test_no_order_of_faults_gathers_more_than_there_is(faults: list[tuple[Fault, float]]) -> None:
    found, now, most = made(), 0.0, 0.0
    for fault, seconds in faults:
        now += seconds
        found.punish(SOURCE, fault, now)
        most += getattr(Limits.DEFAULT, fault.value)

        assert 0 < found.gathered(SOURCE, now) <= min(most, Limits.DEFAULT.penalty_most_seconds) + 1e-6


class Sentence(RuleBasedStateMachine):
    """Beside a model that works in whole seconds: a list of the seconds still to serve."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Penalties(Limits.DEFAULT, Sources(()))
        self.now = 1000
        self.to_serve: deque[int] = deque()
        self.enforced = False

    @rule(fault=st.sampled_from(Fault))
    def punish(self, fault: Fault) -> None:
        self.found.punish("127.0.0.1", fault, float(self.now))
        for _ in range(int(getattr(Limits.DEFAULT, fault.value))):
            if len(self.to_serve) < 600:
                self.to_serve.append(1)
        self.enforced = self.enforced or len(self.to_serve) >= 15

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            if self.to_serve:
                self.to_serve.pop()
            self.enforced = self.enforced and bool(self.to_serve)

    @invariant()
    def agrees(self) -> None:
        assert self.found.gathered("127.0.0.1", float(self.now)) == len(self.to_serve)
        assert self.found.turns_away("127.0.0.1", float(self.now)) is self.enforced


TestSentence = Sentence.TestCase
