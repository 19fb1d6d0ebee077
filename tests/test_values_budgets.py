"""Budgets: each holds at its edge at both ends; the deepest value travels on a small stack."""

from __future__ import annotations

import bisect
import dataclasses
import gc
import re
import sys
import time
import tracemalloc
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any
from uuid import UUID

import pytest

from cases import case
from netstructer.codec import closing, collisions, decoder, encoder
from netstructer.codec.tags import FROZENSET, HOLES, LIST, RUN, RUN_TEXTS, SET, length_bytes
from netstructer.codec.types import Types
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue, MessageTooBig, UnsendableValue
from netstructer.limits import Limits
from small_stack import on_a_small_stack
from strategies import TYPES, Celsius, Pair, Point, numbered, same
from test_values import EDGES as VALUES

QUICK_SECONDS = 0.1 if sys.gettrace() is None else 1.0  # coverage makes every line slower
WIDE_OPEN = Limits.BULK


def joined(value: object) -> bytes:
    """Encode without budgets to speak of."""
    return b"".join(encode(value, limits=WIDE_OPEN, types=TYPES).buffers)


def limited(**figures: int) -> Limits:
    """The widest limits but for these."""
    return dataclasses.replace(WIDE_OPEN, **figures)


# --- each budget at its edge, at both ends ----------------------------------------------------------------------------


def nested(depth: int) -> Any:
    """Lists in lists, `depth` of them with something in them."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def alike(count: int) -> list[int]:
    """Ints of one hash."""
    return [1 + number * ((1 << 61) - 1) for number in range(10, 10 + count)]


EDGES: list[tuple[str, int, Callable[[int], Any]]] = [
    ("value_items", 40, lambda found: [0] * (found - 1)),
    ("value_items", 40, lambda found: [[0] * 8] + [0] * (found - 10)),
    ("value_items", 40, lambda found: tuple([0] * (found - 2))),
    ("value_items", 40, lambda found: set(range(found - 5))),
    ("value_items", 40, lambda found: ["x"] * (found - 1)),
    ("value_items", 40, lambda found: [None] * (found - 1)),
    ("value_items", 40, lambda found: [True] * (found - 1)),
    ("value_items", 40, lambda found: [1.5] * (found - 1)),
    ("value_items", 24, lambda found: [Point(1, 2)] + [0] * (found - 6)),
    ("value_items", 24, lambda found: [Celsius(2)] + [0] * (found - 5)),
    ("value_items", 26, lambda found: [deque()] + [0] * (found - 15)),
    ("value_items", 26, lambda found: [set(), {}] + [0] * (found - 8)),
    ("value_depth", 20, nested),
    ("value_depth", 20, lambda found: {1: nested(found - 1)}),
    ("value_depth", 20, lambda found: [[nested(found - 1)]] * 16),
    ("value_depth", 20, lambda found: (frozenset({(nested(0),)}), nested(found - 1))),
    ("value_depth", 20, lambda found: reduce(lambda inner, _: [inner], range(found - 1), {1})),
    ("value_depth", 20, lambda found: reduce(lambda inner, _: frozenset({inner}), range(found - 1), frozenset({1}))),
    ("int_bits", 100, lambda found: (1 << found) - 1),
    ("int_bits", 100, lambda found: -((1 << found) - 1)),
    ("int_bits", 1000, lambda found: [{"x": 1 << found - 1}]),
    ("decimal_digits", 40, lambda found: Decimal("1" * found)),
    ("decimal_digits", 40, lambda found: [Decimal("-1." + "1" * (found - 1))]),
    ("decimal_digits", 40, lambda found: Decimal("NaN" + "1" * found)),
    ("decimal_exponent", 99, lambda found: Decimal(f"1E+{found}")),
    ("decimal_exponent", 99, lambda found: Decimal(f"1E-{found}")),
    ("unseeded_members", 20, lambda found: set(alike(found))),
    ("unseeded_members", 20, lambda found: frozenset(alike(found)) | {"x"}),
    ("unseeded_members", 20, lambda found: dict.fromkeys(alike(found), 1)),
    ("unseeded_members", 20, lambda found: Counter(alike(found))),
    ("unseeded_members", 20, lambda found: [{(number, "x"): 1 for number in alike(found)}]),
    ("unseeded_members", 4, lambda found: set(alike(found))),
    ("unseeded_members", 4, lambda found: dict.fromkeys(alike(found))),
    ("value_bytes", 2000, lambda found: b"x" * (found - 4)),
    ("value_bytes", 2000, lambda found: "x" * (found - 4)),
    ("value_bytes", 2000, lambda found: bytearray(found - 4)),
    ("value_bytes", 2000, lambda found: ["\u20ac" * 333, "x" * (found - 1008)]),
    ("value_bytes", 2000, lambda found: ["\U0001f600" + "x" * 300, "x" * (found - 1213)]),
    ("value_bytes", 2000, lambda found: ["x" * (found - 1213), "\U0001f600" + "x" * 300]),
    ("value_bytes", 2000, lambda found: ["x" * (found - 133), ["\U0001f600"] * 16]),
    ("value_bytes", 2000, lambda found: ["\U0001f600" + "x" * 200] * 2 + ["x" * (found - 1617)]),
]
UNITS = {
    "value_items": "items",
    "value_depth": "levels",
    "value_bytes": "bytes in memory",
    "int_bits": "bits in an int",
    "decimal_digits": "digits in a Decimal",
    "decimal_exponent": "as the exponent of a Decimal",
    "unseeded_members": "members that share one hash",
}
"""What an error says there is too much of."""


@pytest.mark.parametrize(("field", "limit", "make"), EDGES, ids=[f"{row[0]}-{at}" for at, row in enumerate(EDGES)])
def test_a_budget_holds_at_its_edge_at_both_ends(field: str, limit: int, make: Callable[[int], Any]) -> None:
    limits = limited(**{field: limit})

    for found in (limit - 1, limit):
        value = make(found)
        data = b"".join(encode(value, limits=limits, types=TYPES).buffers)
        assert same(decode(data, limits=limits, types=TYPES), value)
        assert same(decode((bytes([byte]) for byte in data), limits=limits, types=TYPES), value)
    value = make(limit + 1)
    with pytest.raises(MessageTooBig) as caught:
        encode(value, limits=limits, types=TYPES)
    assert caught.value.limit == limit
    assert caught.value.found > limit
    assert caught.value.path.startswith("value")
    told = f"{UNITS[field]}, over the limit of {limit:,} ({field})"
    assert told in str(caught.value)
    for source in (joined(value), (bytes([byte]) for byte in joined(value))):
        with pytest.raises(BadValue, match=re.escape(told)):
            decode(source, limits=limits, types=TYPES)


@pytest.mark.parametrize("head", [(SET,), (FROZENSET,), (LIST,), (RUN, 0), (RUN, RUN_TEXTS), (HOLES,)])
def test_too_many_are_refused_by_their_head_alone(head: tuple[int, ...]) -> None:
    def source() -> Iterator[bytes]:
        yield bytes(head) + length_bytes(1000)
        pytest.fail("asked for what is refused anyway")

    with pytest.raises(BadValue, match=r"over the limit of 100 \(value_items\)"):
        decode(source(), limits=limited(value_items=100))


def test_a_decimal_is_refused_by_the_length_of_its_text_before_it_is_made() -> None:
    data = joined(Decimal("1" * 200))

    for digits, limit in ((200, 40), (200, 167)):
        with pytest.raises(
            BadValue, match=rf"{digits} digits in a Decimal, over the limit of {limit} \(decimal_digits"
        ):
            decode(data, limits=limited(decimal_digits=limit))


# --- what it costs to compare members of one hash ---------------------------------------------------------------------


def slow(count: int) -> list[UUID]:
    """UUIDs of one hash, each compared by Python code."""
    return [UUID(int=number) for number in alike(count)]


def beside(*others: object) -> Callable[[int], list[Any]]:
    """Tuples of one hash, with the same things in each."""
    return lambda count: [(*others, number) for number in alike(count)]


HALF = Decimal("19.99")
COMPARED: list[tuple[int, Callable[[int], list[Any]]]] = [
    (64, alike),
    (64, beside("x", None, 0.5)),
    (64, beside(HALF, HALF)),
    (64, beside(0.5, 1 << 10000)),
    (64, beside(HALF, 1 << 100)),
    (16, slow),
    (16, beside(*slow(1))),
    (16, beside(Point(1, 2))),
    (16, lambda count: [Point(number, (1,)) for number in alike(count)]),
    (16, lambda count: [(Point(1, number),) * 16 for number in alike(count)]),
    (16, lambda count: [(each,) * 16 for each in slow(count)]),
    (8, beside(HALF, 0.5)),
    (8, beside(HALF, 0.5j)),
    (8, beside(HALF, Fraction(1, 3))),
    (8, lambda count: [((HALF,) * 16, 0.5, number) for number in alike(count)]),
    (8, lambda count: [Point((HALF, 0.5), number) for number in alike(count)]),
    (8, lambda count: [frozenset({HALF, 0.5, number}) for number in alike(count)]),
    (2, beside(HALF, 1e-30)),
    (2, lambda count: [(HALF, frozenset(slow(1)), 0.5, frozenset(alike(4)), number) for number in alike(count)]),
    (1, beside(HALF, 1 << 3000)),
    (1, beside(HALF, Fraction(1 << 2000, 3))),
    (1, lambda count: [(frozenset({HALF}), (1 << 3000,), number) for number in alike(count)]),
]
"""How many of one hash there may be at a limit of 64, and members that weigh so much."""


@pytest.mark.parametrize(
    "hold",
    [set, frozenset, dict.fromkeys, lambda found: [(frozenset(found), 1)], lambda found: [..., dict.fromkeys(found)]],
)
def test_both_ends_weigh_members_of_one_hash_alike(hold: Callable[[list[Any]], Any]) -> None:
    for most, make in COMPARED:
        with case(most, make(2)):
            check_weights(most, make, hold)


def check_weights(most: int, make: Callable[[int], list[Any]], hold: Callable[[list[Any]], Any]) -> None:
    limits = limited(unseeded_members=64)
    value = hold(make(most))

    assert same(decode(b"".join(encode(value, limits=limits, types=TYPES).buffers), limits=limits, types=TYPES), value)
    value = hold(make(most + 1))
    with pytest.raises(MessageTooBig, match="unseeded_members"):
        encode(value, limits=limits, types=TYPES)
    data = b"".join(encode(value, limits=limited(unseeded_members=65_535), types=TYPES).buffers)
    with pytest.raises(BadValue, match="unseeded_members"):
        decode(data, limits=limits, types=TYPES)


@pytest.mark.parametrize("limits", [Limits.DEFAULT, Limits.SMALL])
def test_prices_and_ratios_around_minus_one_and_minus_two_are_keys(limits: Limits) -> None:
    """-1 and -2 share a hash, and so does what differs in nothing else."""
    value = {(HALF, 0.125, 1 << 80, x, y): frozenset({HALF, 0.1, x}) for x in range(-4, 4) for y in range(-4, 4)}

    assert decode(b"".join(encode(value, limits=limits).buffers), limits=limits) == value


def test_to_look_for_collisions_takes_no_longer_than_to_read_them() -> None:
    """The law of a budget: what is spent on a refusal is not more than what it spares."""
    long = (0,) * 200_000
    alone = joined([(*long, -1), (*long, -2)])
    together = joined([{(*long, -1), (*long, -2)}])

    def seconds(data: bytes) -> float:
        taken = []
        for _ in range(5):
            start = time.thread_time()
            decode(data, limits=WIDE_OPEN, types=TYPES)
            taken.append(time.thread_time() - start)
        return min(taken)

    assert seconds(together) < 8 * seconds(alone)


@pytest.mark.usefixtures("codec_in_python")
def test_only_keys_that_weigh_more_than_ints_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document of dicts, in a list of any length, has none."""
    looked: list[object] = []
    for module in (decoder, encoder, closing):
        monkeypatch.setattr(module, "check_collisions", lambda members, *more: looked.append(list(members)))
    document = [{"a": 1, place: {"x", place}, (1, 2): None} for place in range(40)]

    assert decode(joined(document)) == document
    assert looked == []
    assert decode(joined([{HALF: 1, 2: 3}])) == [{HALF: 1, 2: 3}]
    assert looked == [[HALF, 2]] * 2


LOWEST = {"value_items": 16, "value_bytes": 1024, "value_depth": 1}


@pytest.mark.parametrize("field", LOWEST)
def test_both_ends_find_the_same_figure(field: str) -> None:
    for value, name in zip(VALUES, numbered(VALUES), strict=True):
        with case(name):
            check_figure(value, field)


def check_figure(value: Any, field: str) -> None:
    data = joined(value)

    def sends(limit: int) -> bool:
        try:
            encode(value, limits=limited(**{field: limit}), types=TYPES)
        except MessageTooBig:
            return False
        return True

    def receives(limit: int) -> bool:
        try:
            decode(data, limits=limited(**{field: limit}), types=TYPES)
        except BadValue:
            return False
        return True

    high = 1000 if field == "value_depth" else 1 << 22
    figure = bisect.bisect_left(range(high), True, lo=LOWEST[field], key=sends)

    assert receives(figure)
    assert figure == LOWEST[field] or not receives(figure - 1)


def test_the_path_of_what_is_too_deep_is_told() -> None:
    with pytest.raises(MessageTooBig) as caught:
        encode({"a": [nested(5)]}, limits=limited(value_depth=4))

    assert caught.value.path == 'value["a"][0][0][0]'


def test_a_very_deep_value_is_refused_quickly_and_in_little_memory() -> None:
    value = nested(100_000)
    started = time.thread_time()
    with pytest.raises(MessageTooBig) as caught:
        encode(value)
    seconds = time.thread_time() - started
    tracemalloc.start()
    with pytest.raises(MessageTooBig):
        encode({"k" * 30: value})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert caught.value.path == "value" + "[0]" * Limits.DEFAULT.value_depth
    assert seconds < QUICK_SECONDS
    assert peak < 4 << 20


def test_a_fault_beside_what_is_deep_is_found() -> None:
    with pytest.raises(UnsendableValue) as caught:
        encode({"a": [[[0] * 20]], "b": object()}, limits=limited(value_depth=3))

    assert caught.value.path == 'value["b"]'


def test_a_to_that_gives_its_own_type_for_ever_is_an_error() -> None:
    class Endless:
        pass

    class Doubling:
        pass

    types = Types()
    types.register(Endless, to=lambda item: Endless(), make=lambda item: Endless())
    types.register(Doubling, to=lambda item: [Doubling()] * 20, make=lambda item: Doubling())

    for value in (Endless(), [Endless()], {"a": [1, Endless()]}, [Doubling()]):
        with pytest.raises(MessageTooBig):
            encode(value, types=types)


def test_small_values_with_many_shared_parts_are_refused_before_they_grow() -> None:
    shapes: list[Callable[[Any], Any]] = [
        lambda inner: [inner, inner],
        lambda inner: [inner] * 16,
        lambda inner: [inner] * 16 + [[]],
        lambda inner: tuple([inner] * 20),
        lambda inner: [{"a": inner, "b": inner}] * 16,
        lambda inner: [Point(inner, inner)] * 16,
        lambda inner: {"a": inner, "b": inner},
    ]
    for shape in shapes:
        value: Any = [0]
        for _ in range(18):
            value = shape(value)
        tracemalloc.start()
        with pytest.raises(MessageTooBig, match="value_items"):
            encode(value, limits=limited(value_items=1 << 15), types=TYPES)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert peak < Limits.SMALL.value_bytes


@pytest.mark.parametrize(
    "rows",
    [[dict.fromkeys(map(str, range(1000)), 0)] * 2000, [(0,) * 64] * 30_000, [[0] * 64, [0] * 63] * 15_000],
    ids=["table of dicts", "table of tuples", "ragged"],
)
def test_rows_that_do_not_fit_are_counted_before_they_are_turned(rows: list[Any]) -> None:
    """Two million items that share their rows: turned, they would be fifteen megabytes."""
    tracemalloc.start()
    with pytest.raises(MessageTooBig, match="value_items"):
        encode(rows, limits=limited(value_items=1 << 15))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2 << 20


# --- honest values (bombs: test_bombs.py) -----------------------------------------------------------------------------


def test_honest_keys_that_are_not_seeded_are_never_too_many() -> None:
    grid = {(x, y, z): 1 for x in range(-8, 8) for y in range(-8, 8) for z in range(-8, 8)}
    halves = {Fraction(number, 2) for number in range(1, 5000, 2)}
    thirds = {Fraction(1, number) for number in range(1, 5000)}
    honest = [
        grid,
        halves,
        thirds,
        {uuid.UUID(int=number) for number in range(5000)},
        {Decimal(number) for number in range(5000)},
    ]

    for value in honest:
        assert same(decode(joined(value), limits=Limits.SMALL), value)


def test_memory_stays_within_what_the_items_stand_for() -> None:
    shapes: list[Callable[[int], Any]] = [
        lambda _: [],
        lambda _: {},
        lambda _: set(),
        lambda _: frozenset([1]),
        lambda _: deque(),
        lambda _: OrderedDict(a=1),
        lambda _: Counter(),
        lambda _: defaultdict(int),
        lambda number: {"a": number},
        lambda number: {number: number},
        lambda number: (number, number),
        lambda number: Point(number, number),
        lambda number: Pair(number, number),
        lambda number: bytearray(b"x"),
        lambda number: uuid.UUID(int=number),
        lambda number: Decimal(number),
        lambda number: Decimal(number) / 7,
        lambda number: f"text {number}",
        lambda number: float(number),
        lambda number: 1000 + number,
        lambda number: slice(number),
        lambda number: range(number, number + 1),
    ]
    for shape in shapes:
        for mixed in (False, True):
            value = [shape(number) for number in range(400)]
            if mixed:
                value.append(None)
                value.append("not of one kind")
            data = joined(value)
            figure = bisect.bisect_left(range(1 << 13), True, lo=16, key=lambda limit: _fits(data, limit))
            del value
            gc.collect()
            tracemalloc.start()
            kept = decode(data, types=TYPES)
            held = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()

            assert held < 1.2 * 64 * figure + len(data), shape(1)
            del kept


def _fits(data: bytes, limit: int) -> bool:
    try:
        decode(data, limits=limited(value_items=limit), types=TYPES)
    except BadValue:
        return False
    return True


# --- a small stack ----------------------------------------------------------------------------------------------------


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "list": lambda inner: [inner],
    "tuple": lambda inner: (inner,),
    "dict": lambda inner: {1: inner},
    "frozenset": lambda inner: frozenset([inner]),
    "slice": lambda inner: slice(inner),
    "dataclass": Point,
    "NamedTuple": Pair,
    "custom": Celsius,
    "deque": lambda inner: deque([inner]),
    "OrderedDict": lambda inner: OrderedDict(a=inner),
    "defaultdict": lambda inner: defaultdict(None, a=inner),
}
HASHABLE = ("tuple", "frozenset", "dataclass", "NamedTuple")
TWO_LEVELS = ("deque", "OrderedDict", "defaultdict")


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_deepest_value_travels_on_a_small_stack(name: str) -> None:
    levels = Limits.DEFAULT.value_depth - 2
    value: Any = 1
    for _ in range(levels // 2 if name in TWO_LEVELS else levels):
        value = WRAPPERS[name](value)
    if name in HASHABLE:
        value = {value: {value}}

    def work() -> bytes:
        data = b"".join(encode(value, types=TYPES).buffers)
        back = decode(data, types=TYPES)
        again = b"".join(encode(back, types=TYPES).buffers)
        del back
        return again

    assert on_a_small_stack(work) == joined(value)


def test_a_cycle_is_refused_on_a_small_stack() -> None:
    loop: Any = []
    loop.append((loop,))

    with pytest.raises(UnsendableValue, match="cycle"):
        on_a_small_stack(lambda: encode(loop))


def test_a_budget_that_is_exceeded_comes_before_what_does_not_travel() -> None:
    with pytest.raises(MessageTooBig) as caught:
        encode([object(), *[0] * 50], limits=limited(value_items=20))

    assert caught.value.path == "value"


def test_wide_texts_in_a_run_count_by_their_memory() -> None:
    data = joined(["\U0001f600" + "x" * 200] * 40)

    assert decode(data, limits=limited(value_bytes=64 << 10)) == decode(data)
    with pytest.raises(BadValue, match="value_bytes"):
        decode(data, limits=limited(value_bytes=16 << 10))


def test_a_group_without_a_decimal_is_no_heavier_for_one_with_one() -> None:
    large = 1 << 2000
    apart = {(large, "a", -1), (large, "a", -2), (Decimal("1.5"), -1), (Decimal("1.5"), -2)}

    assert decode(joined(apart)) == apart
    with pytest.raises(MessageTooBig, match="unseeded_members"):
        encode({(large, Decimal("1.5"), -1), (large, Decimal("1.5"), -2)})


def test_what_is_compared_of_a_slice_are_its_parts() -> None:
    # Slices have a hash from Python 3.12 on only.
    assert tuple(collisions._Weigher(TYPES, {})._parts(slice(1, None, 3))) == (1, None, 3)
