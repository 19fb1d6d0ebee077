"""What a sender weighs may be no tree: parts shared, records that hold themselves, fields that are not set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from netstructer.codec.types import Types
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue, MessageTooBig, UnsendableValue
from netstructer.limits import Limits
from test_values_budgets import alike

TYPES = Types()


@TYPES.register
@dataclass(eq=False)
class Alike:
    """A record that may hold itself; all of them share one hash."""

    held: Any

    def __hash__(self) -> int:
        return 7


@TYPES.register
@dataclass(unsafe_hash=True)
class Mutable:
    """A record whose hash is that of its field, which may change."""

    held: Any


def refused(value: object) -> UnsendableValue:
    with pytest.raises(UnsendableValue) as caught:
        encode(value, types=TYPES)
    return caught.value


HOLDS: dict[str, Callable[[Alike], object]] = {
    "itself": lambda record: record,
    "a tuple of itself": lambda record: (1, (record, 0.5)),
    "a frozenset of itself": lambda record: frozenset({record, 1}),
    "a slice of itself": lambda record: slice(record, Decimal(1), record),
    "frozensets of itself": lambda record: frozenset({frozenset({record}), frozenset({(record, Decimal(2))})}),
}


@pytest.mark.parametrize("hold", HOLDS.values(), ids=HOLDS)
def test_records_that_hold_themselves_are_weighed_and_then_refused(hold: Callable[[Alike], object]) -> None:
    one, other = Alike(None), Alike(None)
    one.held, other.held = hold(one), hold(other)

    for value in ({one, other}, {one: 0, other: 1}, [{frozenset({one, other}), 1}]):
        assert "the value holds itself, and a cycle does not travel" in str(refused(value))


def test_records_that_hold_each_other_are_refused() -> None:
    one, other = Alike(None), Alike(None)
    one.held, other.held = (other, one), (one, frozenset({one, other}))

    assert "holds itself" in str(refused({one, other}))


def test_what_is_shared_over_and_over_is_weighed_once() -> None:
    """Sixty levels of two are 2 ** 60 paths to one object."""
    held: Any = Alike(1)
    for _ in range(60):
        held = Alike((held, held))
    with pytest.raises(MessageTooBig, match="value_items"):
        encode({held, Alike(2)}, limits=replace(Limits.DEFAULT, value_items=1 << 12), types=TYPES)


def test_a_field_that_is_not_set_is_told_by_its_path() -> None:
    one = Alike(1)
    value = ["x", {one, Alike(2)}]
    del one.held

    error = refused(value)
    assert error.path.startswith("value[1]{<")
    assert error.path.endswith("Alike>}")
    assert "the field 'held' of this Alike is not set" in str(error)


@pytest.mark.parametrize("hold", [set, dict.fromkeys, lambda found: {frozenset(found), frozenset(found[:1])}])
@pytest.mark.parametrize("broken", ["not set", "a list"])
def test_what_had_a_hash_and_has_none_is_refused_by_its_place(hold: Callable[[Any], object], broken: str) -> None:
    one = Mutable(1)
    value = {"a": hold([one, Mutable(2)])}
    if broken == "not set":
        del one.held
    else:
        one.held = []

    error = refused(value)
    assert error.path.startswith('value["a"]')
    assert "cannot be hashed" in str(error) or "not set" in str(error)


def test_a_frozenset_in_the_weighing_whose_members_have_no_hash_any_more_is_refused() -> None:
    one = Mutable(1)
    value = {(frozenset({one, 0.5}), number) for number in alike(2)}
    one.held = []

    error = refused(value)
    assert (error.path, "it raised TypeError" in str(error)) == ("value", True)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_frozensets_that_are_shared_weigh_as_much_as_their_copies(order: tuple[int, ...]) -> None:
    """The receiver has copies only, so a sender that weighs less sends what is refused."""
    inner = frozenset(alike(4))
    middle = frozenset((inner, number) for number in alike(3))
    parts = inner, middle, 0.5
    value = {(*(parts[place] for place in order), number) for number in alike(2)}
    enough, little = (replace(Limits.DEFAULT, unseeded_members=most) for most in (24, 23))

    data = b"".join(encode(value, limits=enough).buffers)
    assert decode(data, limits=enough) == value
    with pytest.raises(BadValue, match="unseeded_members"):
        decode(data, limits=little)
    with pytest.raises(MessageTooBig, match="unseeded_members"):
        encode(value, limits=little)
