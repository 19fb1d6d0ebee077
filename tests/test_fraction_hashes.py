"""Fractions whose parts share a hash: refused in one collection, and forgotten over many (codec/fraction_hashes.py)."""

from __future__ import annotations

import fractions
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest

from netstructer.codec import fraction_hashes
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue, MessageTooBig, UnsendableValue
from netstructer.limits import Limits
from spelled import PRIME, fractions_of_one_hash, listed
from strategies import TYPES, Pair, Point

MANY = replace(Limits.DEFAULT, unseeded_members=65_535)


def written(value: object, limits: Limits = Limits.DEFAULT) -> bytes:
    return b"".join(encode(value, limits=limits, types=TYPES).buffers)


def crowd(count: int) -> list[Fraction]:
    """Return fractions whose parts share a hash, while their own hashes differ."""
    made = decode(listed([b"\xea", *fractions_of_one_hash(count)]))
    assert isinstance(made, list)
    assert len({hash(each.as_integer_ratio()) for each in made[1:]}) == 1 < len(set(map(hash, made[1:])))
    return made[1:]


CROWD = crowd(1200)


def in_many(hold: Callable[[Any], object], found: list[Fraction]) -> list[Any]:
    return [None, *map(hold, found)]


# --- in one collection ------------------------------------------------------------------------------------------------

HELD: dict[str, Callable[[list[Fraction]], object]] = {
    "a set": set,
    "a frozenset": frozenset,
    "a dict": lambda found: dict.fromkeys(found, 0),
    "one key": lambda found: {tuple(found): 0},
    "one key in a set": lambda found: {tuple(found)},
    "a key behind a dict": lambda found: [{tuple(found): 0}, Fraction(1, 2)],
    "tuples in tuples": lambda found: {(number, ("x", each)) for number, each in enumerate(found)},
    "keys and texts": lambda found: {"x": 1, **{(each,): 0 for each in found}},
    "records": lambda found: {Point(each, (0,)) for each in found},
    "named tuples": lambda found: {Pair(each, "x") for each in found},
    "a set and tuples": lambda found: {*found[::2], *((each, 1) for each in found[1::2])},
    "a dict of one key in a key": lambda found: {frozenset({(tuple(found),)}): 0},
}


@pytest.mark.parametrize("hold", HELD.values(), ids=HELD)
def test_only_so_many_in_one_collection_may_differ(hold: Callable[[list[Fraction]], object]) -> None:
    enough = hold(CROWD[:64])
    assert decode(written(enough), types=TYPES) == enough

    crowded = hold(CROWD[:65])
    with pytest.raises(MessageTooBig, match=r"fractions whose parts share one hash.*\(unseeded_members\)") as caught:
        written(crowded)
    assert (caught.value.limit, caught.value.found) == (64, 65)
    with pytest.raises(BadValue, match=r"65 fractions whose parts share one hash.*\(unseeded_members\)"):
        decode(written(crowded, MANY), types=TYPES)


def test_equal_fractions_are_no_crowd() -> None:
    ones = {(*CROWD[:8] * 1000, Fraction(1, 7)): 0, (*[Fraction(-1, 3), Fraction(-2, 3)] * 500,): 1}

    assert decode(written(ones)) == ones


def test_fractions_that_nobody_hashes_may_all_share_one() -> None:
    listed_only = [CROWD, (CROWD, 1), {1: CROWD}]

    assert decode(written(listed_only)) == listed_only


def test_fractions_of_one_hash_count_by_their_comparisons_too() -> None:
    few = {Fraction(1 + 2 * number * PRIME, 2) for number in range(16)}

    assert decode(written(few)) == few
    with pytest.raises(MessageTooBig, match="members that share one hash"):
        written({*few, Fraction(1 + 32 * PRIME, 2)})


@pytest.mark.skipif(sys.version_info < (3, 12), reason="slices have a hash from Python 3.12 on only")
def test_the_parts_of_a_slice_are_looked_at() -> None:
    with pytest.raises(MessageTooBig, match="fractions"):
        written({slice(first, second, 0) for first, second in zip(CROWD[:40], CROWD[40:80], strict=True)})


def test_the_parts_of_a_slice_are_found_under_every_version() -> None:
    parts = [Fraction(1, 2), None, Fraction(1, 3)]

    assert fraction_hashes._fractions_in([slice(*parts)], TYPES) == [parts[0], parts[2]]


@dataclass(eq=False)
class Ring:
    """A record whose hash is its own, so that it may hold itself."""

    to: object


def test_a_record_that_holds_itself_is_looked_into_once() -> None:
    types = type(TYPES)()
    types.register(Ring)
    ring = Ring(None)
    ring.to = (Fraction(1, 3), ring)

    assert fraction_hashes._fractions_in([ring], types) == [Fraction(1, 3)]
    with pytest.raises(UnsendableValue, match="cycle"):
        encode([Fraction(1, 2), {ring}], types=types)
    del ring.to
    with pytest.raises(UnsendableValue, match="not set"):
        encode([Fraction(1, 2), {ring}], types=types)


# --- over many --------------------------------------------------------------------------------------------------------


class Cache:
    """The standard library's, under every version: it counts how often it is dropped."""

    def __init__(self) -> None:
        self.dropped = 0

    def cache_clear(self) -> None:
        self.dropped += 1


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Cache:
    found = Cache()
    monkeypatch.setattr(fraction_hashes, "_LEDGER", fraction_hashes._Ledger(found))
    return found


MANY_TIMES: dict[str, Callable[[Fraction], object]] = {
    "sets": lambda each: {each},
    "keys": lambda each: {each: 0},
    "tuples": lambda each: {(each, 1): 0},
    "records": lambda each: {Point(each, 1)},
}


@pytest.mark.parametrize("hold", MANY_TIMES.values(), ids=MANY_TIMES)
def test_what_shares_a_hash_over_many_collections_is_dropped(hold: Callable[[Fraction], object], cache: Cache) -> None:
    data = written(in_many(hold, CROWD))
    cache.dropped = 0
    decode(data, types=TYPES)

    assert 2 <= cache.dropped <= 8  # about every 264 of 1,200
    before = cache.dropped
    written(in_many(hold, CROWD))
    assert 2 <= cache.dropped - before <= 8


def test_what_shares_a_hash_over_many_values_is_dropped_even_if_none_is_whole(cache: Cache) -> None:
    for each in CROWD:
        with pytest.raises(BadValue):
            decode(written({each: 0}) + b"x")

    assert cache.dropped >= 4  # each was encoded, too


def test_honest_fractions_stay(cache: Cache) -> None:
    value = {Fraction(number, 2 * number + 1): 0 for number in range(1, 5000)}
    for _ in range(3):
        assert decode(written(value)) == value
        assert decode(written(in_many(lambda each: {each}, list(value)))) is not None

    assert cache.dropped == 0


def test_no_more_is_kept_than_may_be(cache: Cache) -> None:
    written({Fraction(number * 3 + 1, 3): 0 for number in range(140_000)})  # of which one in eight is counted
    assert cache.dropped == 1

    long = {Fraction(3**37_000 + 2 * number, 2) for number in range(64)}
    for _ in range(40):
        written(long)
    assert cache.dropped >= 2


def test_where_nothing_is_kept_nothing_is_counted() -> None:
    ledger = fraction_hashes._Ledger(None)
    ledger.enter(CROWD)

    assert ledger._waiting == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="hashes of fractions are kept from Python 3.12 on only")
def test_the_standard_library_keeps_them_where_they_are_looked_for() -> None:
    kept: Any = fractions.__dict__["_hash_algorithm"]
    kept.cache_clear()

    decode(written(in_many(lambda each: {each}, CROWD)))

    assert fraction_hashes._LEDGER._cache is kept
    assert 0 < kept.cache_info().currsize < 700 < len(CROWD)
