"""The turnstile: a crowd that is served waits outside, one that is not does not stop anybody."""

from __future__ import annotations

import pytest

from netstructer.limits import Limits
from netstructer.turnstile import EVEN_PLACES, MOMENT_SECONDS, SLACK, Turnstile

LIMITS = Limits(half_open=256, half_open_early=128)
MOST = 128 - SLACK


def crowd(count: int, *, now: float = 0.0) -> Turnstile:
    turnstile = Turnstile(LIMITS)
    for number in range(count):
        turnstile.enter(number, now)
    return turnstile


@pytest.mark.parametrize(("count", "shut"), [(0, False), (1, False), (MOST - 1, False), (MOST, True), (MOST + 9, True)])
def test_it_shuts_before_newcomers_would_be_dropped(count: int, shut: bool) -> None:
    assert crowd(count).shut(0.0, 1) is shut


def test_it_opens_again_when_some_places_are_free() -> None:
    turnstile = crowd(MOST)
    found = [turnstile.shut(0.0, 1)]
    for number in range(SLACK + 1):
        turnstile.leave(number, proved=True)
        found.append(turnstile.shut(0.0, 1))
    for number in range(SLACK):
        turnstile.enter(1000 + number, 0.0)
        found.append(turnstile.shut(0.0, 1))

    assert found == [True] * (1 + SLACK) + [False] * (1 + SLACK - 1) + [False]


def test_strangers_who_hold_their_places_in_silence_shut_nobody_out() -> None:
    turnstile = crowd(MOST)

    assert turnstile.shut(MOMENT_SECONDS - 0.001, 1)
    assert not turnstile.shut(MOMENT_SECONDS, 1)


def test_half_of_them_decide() -> None:
    turnstile = crowd(MOST)
    for number in range(MOST - 2):
        turnstile.enter(1000 + number, MOMENT_SECONDS)
    assert not turnstile.shut(MOMENT_SECONDS, 1)
    turnstile.leave(0, proved=True)
    turnstile.leave(1, proved=True)

    assert turnstile.shut(MOMENT_SECONDS, 1)


def test_strangers_who_come_and_go_shut_nobody_out_until_keys_are_proved_again() -> None:
    turnstile = crowd(MOST)
    for number in range(20):
        turnstile.enter(1000 + number, 0.0)
        turnstile.leave(1000 + number, proved=False)
    assert not turnstile.shut(0.0, 1)
    for number in range(20):
        turnstile.enter(1000 + number, 0.0)
        turnstile.leave(1000 + number, proved=True)

    assert turnstile.shut(0.0, 1)


def test_a_greedy_source_shuts_nobody_out() -> None:
    turnstile = crowd(MOST)

    assert turnstile.shut(0.0, EVEN_PLACES)
    assert not turnstile.shut(0.0, EVEN_PLACES + 1)


def test_who_held_no_place_changes_nothing() -> None:
    turnstile = crowd(MOST)
    for number in range(100):
        turnstile.leave(1000 + number, proved=False)

    assert turnstile.shut(0.0, 1)


def test_few_places_are_enough() -> None:
    turnstile = Turnstile(Limits(half_open=2, half_open_early=1))
    assert not turnstile.shut(0.0, 1)
    turnstile.enter("one", 0.0)
    assert turnstile.shut(0.0, 1)
    turnstile.leave("one", proved=True)

    assert not turnstile.shut(0.0, 1)
