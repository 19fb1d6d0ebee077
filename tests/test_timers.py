"""Timers: who is due is found in order, whoever moves is found once, and nothing that left is held on to."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given
from hypothesis import strategies as st

from netstructer.timers import SPARE_TICKETS, Timers


class Holder:
    """Somebody with an identity."""


def test_who_is_due_comes_in_order_and_once() -> None:
    timers: Timers[str] = Timers()
    for who, when in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("late", 9.0)):
        timers.advance(who, when)

    assert timers.next() == 1.0
    assert timers.due(3.0) == ["a", "b", "c"]
    assert timers.due(3.0) == []
    assert timers.next() == 9.0
    assert len(timers) == 1


def test_an_earlier_time_counts_and_a_later_one_does_not() -> None:
    timers: Timers[str] = Timers()
    timers.advance("a", 5.0)
    timers.advance("a", 7.0)
    assert timers.next() == 5.0
    timers.advance("a", 2.0)

    assert timers.next() == 2.0
    assert timers.due(10.0) == ["a"]
    assert timers.next() is None


def test_who_was_discarded_is_not_found_and_not_held() -> None:
    timers: Timers[Holder] = Timers()
    holder = Holder()
    seen = weakref.ref(holder)
    timers.advance(holder, 5.0)
    timers.advance(holder, 4.0)
    timers.discard(holder)
    timers.discard(holder)
    del holder
    gc.collect()

    assert seen() is None
    assert timers.next() is None
    assert timers.due(10.0) == []


def test_tickets_of_no_meaning_are_cleared_away() -> None:
    timers: Timers[int] = Timers()
    for when in range(100_000, 0, -1):
        timers.advance(when % 10, float(when))

    assert len(timers) == 10
    assert len(timers._heap) <= 2 * 10 + SPARE_TICKETS + 1
    assert timers.due(100_000.0) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


@given(st.lists(st.tuples(st.sampled_from(["advance", "discard", "due"]), st.integers(0, 5), st.integers(0, 30))))
def test_they_are_what_a_dict_that_is_searched_would_be(acts: list[tuple[str, int, int]]) -> None:
    timers: Timers[int] = Timers()
    model: dict[int, int] = {}
    for act, who, when in acts:
        if act == "advance":
            timers.advance(who, when)
            model[who] = min(when, model.get(who, when))
        elif act == "discard":
            timers.discard(who)
            model.pop(who, None)
        else:
            expected = sorted((due, holder) for holder, due in model.items() if due <= when)
            found = timers.due(when)
            assert sorted(found) == sorted(holder for _, holder in expected)
            assert [model[holder] for holder in found] == [due for due, _ in expected]
            for holder in found:
                del model[holder]

        assert timers.next() == min(model.values(), default=None)
        assert len(timers) == len(model)
