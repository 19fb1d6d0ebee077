"""Delivery: numbers that only rise, credit that only grows, and an acknowledgement when one is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.errors import CreditExceeded, Gap, IllegalFrame
from netstructer.limits import Limits
from netstructer.protocol.bodies import Ack
from netstructer.protocol.delivery import MESSAGE_CHARGE, Inbound, Outbound, charge_of

KIB = 1 << 10
LIMITS = Limits(credit_bytes=64 * KIB, ack_bytes=8 * KIB, ack_seconds=0.05)


def said(inbound: Inbound) -> Ack:
    return Ack.unpack(memoryview(inbound.ack()))


def test_a_charge_counts_bytes_and_messages() -> None:
    assert (charge_of(10, 0), charge_of(10, 3)) == (10, 10 + 3 * MESSAGE_CHARGE)


def test_outbound_numbers_and_credit() -> None:
    outbound = Outbound()
    assert not outbound.allows(1)
    outbound.acknowledge(1, 100, 0)

    assert [outbound.number(60), outbound.number(40)] == [1, 2]
    assert (outbound.allows(0), outbound.allows(1)) == (True, False)
    outbound.acknowledge(3, 101, 2)
    assert outbound.allows(1)


@pytest.mark.parametrize(
    ("expected", "limit", "taken"),
    [(1, 100, 1), (4, 100, 1), (2, 99, 1), (2, 100, 0), (2, 100, 2), (3, 100, 3), (0, 100, 1)],
)
def test_an_acknowledgement_never_goes_back_nor_too_far(expected: int, limit: int, taken: int) -> None:
    outbound = Outbound()
    outbound.acknowledge(1, 100, 0)
    outbound.number(1)
    outbound.number(1)
    outbound.acknowledge(2, 100, 1)
    with pytest.raises(IllegalFrame):
        outbound.acknowledge(expected, limit, taken)

    assert (outbound.acknowledged, outbound.limit, outbound.taken) == (2, 100, 1)


def test_a_number_comes_once() -> None:
    inbound = Inbound(LIMITS)

    assert inbound.admit(1, 10, 0.0)
    assert not inbound.admit(1, 10, 0.0)
    assert not inbound.admit(0, 10, 0.0)
    with pytest.raises(Gap, match="expected delivery number 2, found 3"):
        inbound.admit(3, 10, 0.0)
    assert (inbound.received, inbound.next_number) == (10, 2)


def test_credit_is_a_hard_limit() -> None:
    inbound = Inbound(LIMITS)
    inbound.admit(1, 64 * KIB, 0.0)
    with pytest.raises(CreditExceeded):
        inbound.admit(2, 1, 0.0)
    assert inbound.admit(2, 0, 0.0)  # a cancel is free


def test_an_unread_message_narrows_the_window_and_one_under_way_does_not() -> None:
    inbound = Inbound(LIMITS)
    inbound.admit(1, 40 * KIB, 0.0)
    assert said(inbound).limit == 104 * KIB
    inbound.whole(40 * KIB)
    inbound.admit(2, 10 * KIB, 0.0)
    assert said(inbound).limit == 104 * KIB  # what was given is never taken back
    inbound.take(40 * KIB, 1)

    assert said(inbound) == Ack(3, 114 * KIB, 1)


def test_more_unread_than_the_window_gives_nothing() -> None:
    inbound = Inbound(LIMITS)
    for number in (1, 2, 3):
        inbound.admit(number, 30 * KIB, 0.0)
        inbound.ack()
    inbound.whole(90 * KIB)

    assert inbound.limit == (90 + 64) * KIB
    inbound.take(10 * KIB, 1)
    assert not inbound.urgent  # there are still more unread than the window has


def test_acknowledgements_are_due_by_bytes_by_time_and_at_once() -> None:
    inbound = Inbound(LIMITS)
    assert (inbound.due, inbound.ack_due(1e9)) == (None, False)
    inbound.admit(1, 8 * KIB - 1, 1.0)
    assert (inbound.due, inbound.ack_due(1.04), inbound.ack_due(1.05)) == (1.05, False, True)
    inbound.admit(2, 1, 1.01)
    assert (inbound.due, inbound.ack_due(1.01)) == (1.05, True)
    inbound.ack()
    assert (inbound.due, inbound.ack_due(9.0)) == (None, False)
    inbound.admit(3, 8 * KIB - 1, 9.0)
    assert not inbound.ack_due(9.0)
    inbound.admit(4, 1, 9.0)
    assert inbound.ack_due(9.0)
    inbound.ack()
    inbound.hurry()
    assert inbound.ack_due(9.0)
    inbound.ack()
    inbound.whole(8 * KIB)
    inbound.take(8 * KIB, 2)
    assert not inbound.ack_due(9.0)


def test_taking_much_is_told_at_once() -> None:
    inbound = Inbound(LIMITS)
    for number in (1, 2):
        inbound.admit(number, 8 * KIB, 0.0)
        inbound.whole(8 * KIB)
    inbound.ack()
    assert not inbound.ack_due(0.0)
    inbound.take(8 * KIB, 1)
    assert inbound.ack_due(0.0)
    assert said(inbound) == Ack(3, 72 * KIB, 1)


def test_taken_is_the_furthest() -> None:
    inbound = Inbound(LIMITS)
    for number in range(1, 5):
        inbound.admit(number, 1, 0.0)
        inbound.whole(1)
    inbound.take(1, 3)
    inbound.take(1, 2)

    assert said(inbound).taken == 3


def test_what_is_dropped_is_not_told_as_taken() -> None:
    inbound = Inbound(LIMITS)
    inbound.admit(1, 10 * KIB, 0.0)
    inbound.whole(10 * KIB)
    inbound.take(10 * KIB, 0)

    assert said(inbound) == Ack(2, 74 * KIB, 0)


@given(st.lists(st.tuples(st.integers(1, 20 * KIB), st.booleans()), max_size=60))
def test_a_writer_that_obeys_is_never_refused_and_never_stuck(steps: list[tuple[int, bool]]) -> None:
    """The two halves against each other: what the one allows, the other takes."""
    inbound, outbound, unread = Inbound(LIMITS), Outbound(), []
    outbound.acknowledge(1, inbound.limit, 0)
    for charge, read in steps:
        if not outbound.allows(charge):
            while unread:
                inbound.take(*unread.pop(0))
            assert inbound.ack_due(1e9)
            outbound.acknowledge(*said(inbound))
        assert outbound.allows(charge)
        number = outbound.number(charge)
        assert inbound.admit(number, charge, 0.0)
        inbound.whole(charge)
        unread.append((charge, number))
        if read:
            inbound.take(*unread.pop(0))
        if inbound.ack_due(0.0):
            outbound.acknowledge(*said(inbound))
