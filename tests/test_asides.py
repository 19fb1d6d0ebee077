"""Asides: which conversation a message is of, which numbers are new, and what is dropped."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.codec.spool import SpoolRoom
from netstructer.errors import LinkClosed
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.asides import CALLS_FROM, MOST_AHEAD, Asides
from netstructer.protocol.assembly import Message
from netstructer.protocol.states import Role

ROOM = SpoolRoom(Limits.DEFAULT)


def message(conversation: int) -> Message:
    return Message(1, 1, bodies.First(bodies.ASIDE, 0, 0, 0, 0, conversation), ROOM)


def numbers(role: Role) -> tuple[list[int], list[int]]:
    """Return the first numbers of this end's conversations, and of the peer's."""
    odd, even = [1, 3, 5, 7, 9], [2, 4, 6, 8, 10]
    return (odd, even) if role is Role.CLIENT else (even, odd)


def taken(asides: Asides, conversations: Iterable[int]) -> list[bool]:
    return [asides.put(message(number)) for number in conversations]


@pytest.mark.parametrize("role", list(Role))
def test_the_client_opens_odd_numbers_and_the_server_even_ones(role: Role) -> None:
    asides = Asides(role)
    mine, _ = numbers(role)

    assert [asides.open() for _ in mine] == mine


@pytest.mark.parametrize("role", list(Role))
def test_calls_have_numbers_of_their_own_and_are_sorted_apart(role: Role) -> None:
    asides = Asides(role)
    mine, theirs = numbers(role)
    assert [asides.open_call() for _ in mine] == [CALLS_FROM + number for number in mine]

    assert taken(asides, [theirs[0], CALLS_FROM + theirs[1], CALLS_FROM + theirs[0]]) == [True] * 3
    assert taken(asides, [CALLS_FROM + mine[0], CALLS_FROM + mine[0]]) == [True] * 2  # two replies to one call
    assert (list(asides.opened), list(asides.calls)) == ([theirs[0]], [CALLS_FROM + theirs[1], CALLS_FROM + theirs[0]])
    asides.close(CALLS_FROM + theirs[0])
    assert taken(asides, [CALLS_FROM, CALLS_FROM + theirs[0]]) == [False] * 2
    asides.clear()
    assert not asides.calls


@pytest.mark.parametrize("role", list(Role))
def test_messages_come_out_by_conversation_in_order(role: Role) -> None:
    asides = Asides(role)
    mine, [theirs, *_] = asides.open(), numbers(role)[1]
    sent = [message(number) for number in (mine, theirs, theirs, mine)]
    assert all(asides.put(one) for one in sent)
    assert list(asides.opened) == [theirs]

    assert [asides.next(number) for number in (theirs, mine, mine, theirs)] == [sent[1], sent[0], sent[3], sent[2]]
    assert not asides.waiting(mine)
    assert not asides.waiting(theirs)
    assert list(asides.opened) == [theirs]  # once, not for each message


@pytest.mark.parametrize("role", list(Role))
def test_what_is_of_no_conversation_is_not_taken(role: Role) -> None:
    asides = Asides(role)
    mine, theirs = numbers(role)

    assert taken(asides, mine) == [False] * 5  # this end has opened none of them
    for number in (asides.open(), theirs[0]):
        assert taken(asides, [number]) == [True]
        assert not asides.over(number)
        assert len(asides.close(number)) == 1
        assert asides.over(number)
        assert not asides.waiting(number)
        assert taken(asides, [number]) == [False]
        assert list(asides.close(number)) == []
    assert list(asides.opened) == theirs[:1]


@pytest.mark.parametrize("role", list(Role))
def test_a_conversation_that_speaks_later_than_the_next_ones_is_no_less_new(role: Role) -> None:
    asides = Asides(role)
    _, theirs = numbers(role)
    backwards = theirs[::-1]

    assert taken(asides, backwards) == [True] * 5
    assert list(asides.opened) == backwards
    for number in theirs:
        asides.close(number)
    assert taken(asides, backwards) == [False] * 5


@given(role=st.sampled_from(list(Role)), steps=st.lists(st.tuples(st.integers(1, 14), st.booleans()), max_size=60))
def test_a_number_is_new_once(role: Role, steps: list[tuple[int, bool]]) -> None:
    asides, parity = Asides(role), role is Role.CLIENT
    used: set[int] = set()
    live: set[int] = set()
    for number, close in steps:
        expected = number % 2 != parity and (number in live or number not in used)
        assert asides.put(message(number)) == expected
        if expected:
            used.add(number)
            live.add(number)
        if close:
            asides.close(number)
            live.discard(number)

    assert set(asides.opened) == used
    floor = next(number for number in range(2 - (role is Role.SERVER), 99, 2) if number not in used) - 2
    assert (asides.numbers._used, asides.numbers.ahead) == (floor, {number for number in used if number > floor})


def test_a_peer_that_passes_numbers_over_costs_little() -> None:
    asides = Asides(Role.SERVER)
    for place in range(3 * MOST_AHEAD):
        number = 4 * place + 3  # 1, 5, 9 ... are never used
        assert taken(asides, [number]) == [True]
        asides.close(number)
        assert len(asides.numbers.ahead) <= MOST_AHEAD
    asides.opened.clear()

    assert taken(asides, [1, 3, 4 * 2 * MOST_AHEAD - 3]) == [False] * 3
    assert taken(asides, [12 * MOST_AHEAD - 3, 12 * MOST_AHEAD + 1]) == [True, True]


def test_clear_returns_all_that_nobody_has_read_and_leaves_what_was_accepted_open() -> None:
    asides = Asides(Role.SERVER)
    mine = asides.open()
    sent = [message(number) for number in (1, mine, 1, 3)]
    assert all(asides.put(one) for one in sent)
    assert asides.opened.popleft() == 1

    assert set(asides.clear()) == set(sent)
    assert (list(asides.opened), asides.clear()) == ([], [])
    assert not any(asides.waiting(number) or asides.over(number) for number in (1, 3, mine))


def test_calls_that_nobody_has_begun_to_answer_may_stay() -> None:
    asides = Asides(Role.SERVER)
    begun, waiting, other = CALLS_FROM + 1, CALLS_FROM + 3, 1
    sent = [message(number) for number in (begun, begun, waiting, waiting, other)]
    assert all(asides.put(one) for one in sent)
    assert asides.calls.popleft() == begun
    assert asides.next(begun) is sent[0]

    assert asides.clear(but_calls=True) == [sent[1], sent[4]]
    assert (list(asides.calls), list(asides.opened)) == ([waiting], [])
    assert [asides.next(waiting), asides.next(waiting)] == sent[2:4]


@pytest.mark.parametrize("role", list(Role))
def test_each_end_knows_which_are_its_own(role: Role) -> None:
    asides = Asides(role)
    mine, theirs = numbers(role)

    assert all(asides.is_own(number) and asides.is_own(CALLS_FROM + number) for number in mine)
    assert not any(asides.is_own(number) or asides.is_own(CALLS_FROM + number) for number in theirs)


def test_an_end_has_so_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.protocol.asides.CALLS_FROM", 5)
    asides = Asides(Role.SERVER)

    assert [asides.open(), asides.open()] == [2, 4]
    with pytest.raises(LinkClosed, match="no more numbers"):
        asides.open()
    monkeypatch.setattr("netstructer.protocol.asides.END_OF_NUMBERS", 8)
    asides = Asides(Role.CLIENT)
    assert asides.open_call() == 6
    with pytest.raises(LinkClosed, match="no more numbers"):
        asides.open_call()


def test_the_next_message_can_be_looked_at_and_stays() -> None:
    asides = Asides(Role.SERVER)
    assert asides.first(1) is None
    found = message(1)
    assert asides.put(found)
    assert asides.first(1) is asides.first(1) is found
    assert asides.next(1) is found
    assert asides.first(1) is None
