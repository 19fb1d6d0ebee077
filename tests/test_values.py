"""Values: what goes in comes out the same, one value has one encoding, and all other bytes are `BadValue`."""

from __future__ import annotations

import ast
import pickle
import random
import sys
import tracemalloc
import unicodedata
import warnings
import zoneinfo
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cases import case
from netstructer.codec import bulk, structs
from netstructer.codec.blob import Blob
from netstructer.codec.tags import INT_CODES, RUN, length_bytes
from netstructer.codec.types import Types
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue, Misuse, UnsendableValue
from netstructer.limits import Limits
from strategies import TYPES, Celsius, Colour, Crate, Empty, Message, Order, Pair, Point, same, values

SMALL_MESSAGE = ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)]
MANY = settings(suppress_health_check=list(HealthCheck), derandomize=True)


def joined(value: object, types: Types = TYPES) -> bytes:
    """Encode to one piece, and hold `Encoded` to what it says."""
    encoded = encode(value, types=types)
    data = b"".join(encoded.buffers)

    assert encoded.plain_bytes == len(data)
    return data


def there_and_back(value: object) -> bytes:
    """Hold a value to both laws: it comes back the same, and its bytes come back the same."""
    data = joined(value)
    back = decode(data, types=TYPES)

    assert same(value, back)
    assert joined(back) == data
    return data


# --- there and back ---------------------------------------------------------------------------------------------------


@settings(MANY, max_examples=200)
@given(values())
def test_everything_comes_back_the_same(value: Any) -> None:
    there_and_back(value)


@settings(MANY, max_examples=200)
@given(values(), st.data())
def test_however_the_bytes_are_cut_they_are_the_same_value(value: Any, data: st.DataObject) -> None:
    whole = joined(value)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))

    assert same(value, decode(pieces(whole, cuts), types=TYPES))
    assert same(value, decode((bytes([byte]) for byte in whole), types=TYPES))
    assert same(value, decode(memoryview(whole), types=TYPES))


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(MANY, max_examples=100_000)
@given(values())
def test_everything_comes_back_the_same_a_hundred_thousand_times(value: Any) -> None:
    there_and_back(value)


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """Cut bytes at these places."""
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[start:stop]


def test_the_example_of_the_public_face_is_twenty_four_bytes() -> None:
    encoded = encode(SMALL_MESSAGE)

    assert len(encoded.buffers) == 1
    assert type(encoded.buffers[0]) is bytes
    assert encoded.plain_bytes == 24
    assert same(decode(encoded.buffers[0]), SMALL_MESSAGE)


EDGES = [
    *([0] * count for count in (0, 1, 15, 16, 17)),
    *((1,) * count for count in (0, 1, 15, 16, 17)),
    *(set(range(count)) for count in (0, 1, 15, 16, 17)),
    *(frozenset(map(str, range(count))) for count in (0, 1, 15, 16, 17)),
    *({str(key): key for key in range(count)} for count in (0, 1, 15, 16, 17)),
    *("x" * size for size in (0, 1, 31, 32, 247, 248, 255, 256, 65535, 65536, 70_000)),
    *(b"x" * size for size in (0, 1, 247, 248, 255, 256, 65535, 65536, 70_000)),
    *("\U0001f600" * size for size in (1, 7, 8, 16384, 16385)),
    *(bytearray(size) for size in (0, 1, 248, 65535, 65536)),
    *([top - 1] * 16 for top in (1 << 8, 1 << 16, 1 << 32, 1 << 64)),
    *([top] * 16 for top in (1 << 8, 1 << 16, 1 << 32, 1 << 64)),
    *([-top, top - 1] * 8 for top in (1 << 7, 1 << 15, 1 << 31, 1 << 63)),
    *([-top - 1, 0] * 8 for top in (1 << 7, 1 << 15, 1 << 31, 1 << 63)),
    *([-1, top] * 8 for top in (1 << 7, 1 << 15, 1 << 31, 1 << 63)),
    *([0] * 15 + [-1] for _ in range(1)),
    [float("nan")] * 16,
    [float("inf"), -float("inf")] * 8,
    [True] * 16 + [False],
    [True, False, False] * 5_000,
    [None] * 15 + [1],
    [None] + ["x"] * 16,
    [None, 1.5] * 8,
    [None, (1,)] * 8,
    [None, 1, "x"] * 8,
    ["a\0b"] * 16,
    ["\ud800"] * 16,
    ["\xe9"] * 16,
    [""] * 16,
    [(1, "a")] * 16,
    [[1, "a"]] * 16,
    [{"a": 1, "b": "x"}] * 16,
    *([{f"k{place}": place for place in range(width)}] * 16 for width in range(12)),
    [{"a": 1, "b": 2}, {"b": 2, "a": 1}] * 8,
    [{1: 1}] * 16,
    [{"a": 1}, {"a": 1, "b": 2}] * 8,
    [{"a": 1}, {"b": 1}] * 8,
    [()] * 16,
    [[]] * 16,
    [[1], [1, 2]] * 8,
    [(1,), ()] * 8,
    [(0,) * 64] * 16,
    [(0,) * 65] * 16,
    [[0] * 128, []] * 8,
    [[0] * 129, []] * 8,
    [[[1, 2], [3]], [[4]], []] * 6,
    [Point(1, 2.0)] * 16,
    [Pair(1)] * 16,
    [Crate(1, 2)] * 16,
    [Message(1)] * 16,
    [Order(items=[1])] * 16,
    [Empty()] * 16,
    [Celsius(1)] * 16,
    [Colour.RED] * 16,
    {(x, y) for x in range(-2, 3) for y in range(-2, 3)},
    {(x, y, z, w) for x in range(-3, 1) for y in range(-3, 1) for z in range(-3, 1) for w in range(-3, 1)},
    {float(number) for number in range(20)},
    {float("nan"), 1.0},
    {float("nan"), float("nan")},
    {float("nan"): 1, 2: 2},
    {frozenset({frozenset({frozenset()}), 1}), frozenset(), "x" * 70_000, b"x" * 70_000},
    {1 << 64, 1, 2} | set(range(14)),
    {True, 2, "x"},
    [datetime(2026, 1, 1, 1, 2, 3, number) for number in range(20)],
    [datetime(2026, 1, 1, number, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")) for number in range(20)],
    [date(2026, 1, 1), datetime(2026, 1, 1)] * 8,
    [Decimal(number) / 8 for number in range(20)],
    [Fraction(number, 7) for number in range(20)],
    [complex(number, float("nan")) for number in range(20)],
    [timezone(timedelta(minutes=number), "x") for number in range(20)],
    [...] * 16,
    [slice(1)] * 16,
    [deque([1])] * 16,
    ["\ud800", "x"] * 8,
    OrderedDict.fromkeys(range(20)),
    Counter("abracadabra" * 3),
    defaultdict(list, {"a": [1]}),
    deque(range(30), 50),
    list(range(70_000)),
    [f"name {number}" for number in range(20_000)],
    [number / 7 for number in range(20_000)],
    [{"id": number, "tags": ["a"] * (number % 3), "ok": number % 2 == 0} for number in range(3000)],
    numpy.arange(20_000),
    numpy.array(7),
    numpy.zeros((0, 3)),
    numpy.arange(12).reshape(3, 4).T,
    numpy.arange(12).reshape(3, 4),
    numpy.arange(24).reshape(2, 3, 4)[:, ::2],
    deque([1, 2], 2),
    defaultdict(None, {1: 2}),
]


@pytest.mark.parametrize("quarter", range(4))
def test_edges_come_back_the_same_whole_and_in_pieces(quarter: int) -> None:
    for value in EDGES[quarter::4]:
        with case(value):
            check_edge(value)


def check_edge(value: Any) -> None:
    data = there_and_back(value)

    for size in (999, 65_536):
        assert same(value, decode((data[start : start + size] for start in range(0, len(data), size)), types=TYPES))
    if len(data) < 3000:
        assert same(value, decode((bytes([byte]) for byte in data), types=TYPES))
    assert same(value, decode(bytearray(data), types=TYPES))
    assert same([value], decode(joined([value]), types=TYPES))
    assert same((value,) * 2, decode(joined((value,) * 2), types=TYPES))


@pytest.mark.parametrize("protocol", [4, 5])
def test_pickle_agrees_on_the_library_s_own_structures(protocol: int) -> None:
    structures: list[Any] = [
        {name: sorted(vars(module)) for name, module in sorted(sys.modules.items()) if module is not None},
        [list(range(number)) for number in range(60)],
        [
            (chr(point), unicodedata.name(chr(point), None), unicodedata.numeric(chr(point), None))
            for point in range(3000)
        ],
        {kind.__name__: [base.__name__ for base in kind.__mro__] for kind in ast.AST.__subclasses__()},
        [sys.version_info[:], sys.float_info[:], sys.flags[:], sorted(sys.stdlib_module_names)],
    ]

    for structure in structures:
        pickled = pickle.loads(pickle.dumps(structure, protocol))
        back = decode(joined(structure))

        assert back == pickled
        assert same(back, pickled)


def test_a_memoryview_arrives_as_bytes() -> None:
    strided = memoryview(bytes(range(10)))[::2]
    wide = memoryview(numpy.arange(6, dtype="u2").reshape(2, 3))

    assert decode(joined(memoryview(b"abc"))) == b"abc"
    assert decode(joined(memoryview(b""))) == b""
    assert decode(joined([memoryview(bytes(70_000)), 1])) == [bytes(70_000), 1]
    assert decode(joined(strided)) == bytes([0, 2, 4, 6, 8])
    assert decode(joined(wide)) == numpy.arange(6, dtype="u2").tobytes()


def test_large_bytes_are_handed_out_by_reference() -> None:
    big, table, whole = bytes(1 << 20), numpy.zeros(1 << 17), bytearray(1 << 20)
    encoded = encode(["head", big, table, whole, "x" * 70_000, "tail"])

    assert any(part is big for part in encoded.buffers)
    views = [part for part in encoded.buffers if isinstance(part, memoryview)]
    assert any(numpy.shares_memory(numpy.frombuffer(view, "u1"), table) for view in views)
    assert any(view.obj is whole for view in views)
    assert max(len(part) for part in encoded.buffers if part is not big) <= 1 << 20


def test_a_long_run_is_handed_out_by_reference_but_not_in_a_set() -> None:
    run = list(range(1 << 20, (1 << 20) + 20_000))
    value = [run, {frozenset(run), "x"}, 1]
    encoded = encode(value)

    assert [len(part) for part in encoded.buffers[:2]] == [6, 80_000]
    assert len(encoded.buffers) == 3
    assert same(decode(b"".join(encoded.buffers)), value)
    assert same(decode(pieces(joined(value), [10, 1000, 50_000, 90_000])), value)


def test_the_longest_name_of_a_blob() -> None:
    for name in ("x" * 255, "\xe9" * 255):
        back = decode(joined(Blob(b"abc", name=name)), blobs=[Blob.from_iter(())])

        assert isinstance(back, Blob)
        assert back.name == name
    longer = joined(Blob(b"abc", name="x" * 255)).replace(b"x" * 255, b"x" * 256)
    with pytest.raises(BadValue, match="name is too long"):
        decode(longer[:2] + length_bytes(257) + longer[-256:], blobs=[Blob.from_iter(())])


def test_shared_references_arrive_as_copies() -> None:
    inner = [1]
    back: Any = decode(joined([inner, inner]))

    assert back == [[1], [1]]
    assert back[0] is not back[1]


# --- what does not travel ---------------------------------------------------------------------------------------------


class Text(str):
    """A subclass of a builtin, equal and hashing alike."""


class Mapping(dict[Any, Any]):
    """Another."""


class Zone(tzinfo):
    """A time zone of an application's own."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(0)


class Label(str):
    """A subclass that is registered."""


class Metres(numpy.float64):
    """A subclass of one of numpy's scalars."""


def broken(item: Any) -> Any:
    """Fail, as a `to` may."""
    raise ZeroDivisionError("no")


UNSET = Order.__new__(Order)
LOOP: list[Any] = [1]
LOOP.append({"again": (LOOP,)})
ONCE = Blob.from_iter([b"x"])
RELEASED = memoryview(b"abc")
RELEASED.release()

UNSENDABLE: list[tuple[Any, str, str]] = [
    (object(), "value", "object is not registered"),
    ([1, {"jobs": [1, 2, 3, object()]}], 'value[1]["jobs"][3]', "object is not registered"),
    ({"jobs": [0, 1, 2, Point(1, object())]}, 'value["jobs"][3].y', "object is not registered"),
    ([{"a": 1, "b": object()} for _ in range(20)], 'value[0]["b"]', "object is not registered"),
    ([Point(1, object())] * 20, "value[0].y", "object is not registered"),
    ({1: {2.5: {None: {True: {b"x": object()}}}}}, 'value[1][2.5][None][True][b"x"]', "object is not registered"),
    ({(1, 2): object()}, "value[<tuple>]", "object is not registered"),
    ({'it"s': object()}, "value['it\"s']", "object is not registered"),
    ({"x" * 100: object()}, "value[<str>]", "object is not registered"),
    ({1 << 100: object()}, "value[<int>]", "object is not registered"),
    ({(object(), 1): 2}, "list(value)[0][0]", "object is not registered"),
    ({object: 2}, "list(value)[0]", "type is not registered"),
    ({frozenset({(1, print)})}, "value{<frozenset>}{<tuple>}[1]", "builtin_function_or_method is not registered"),
    (slice(1, object()), "value.stop", "object is not registered"),
    (deque([object()]), "value[0]", "object is not registered"),
    (OrderedDict(a=object()), 'value["a"]', "object is not registered"),
    (Celsius(object()), "value", "object is not registered"),
    (Text("x"), "value", "test_values.Text is not registered"),
    ({Text("x"): 1}, "list(value)[0]", "test_values.Text is not registered"),
    ([{Text("x"): 1}] * 20, "list(value[0])[0]", "test_values.Text is not registered"),
    ([{"x": 1}] * 19 + [{Text("x"): 1}], "list(value[19])[0]", "test_values.Text is not registered"),
    ([Mapping()], "value[0]", "test_values.Mapping is not registered"),
    (Label("x"), "value", "the to= of Label raised ZeroDivisionError"),
    ([Label("x")], "value[0]", "the to= of Label raised ZeroDivisionError"),
    ([UNSET], "value[0]", "the field 'items' of this Order is not set or cannot be read"),
    ([UNSET] * 20, "value[0]", "the field 'items' of this Order is not set or cannot be read"),
    (LOOP, 'value[1]["again"][0]', "the value holds itself, and a cycle does not travel"),
    (datetime(2020, 1, 1, tzinfo=Zone()), "value", "its tzinfo is a Zone"),
    (defaultdict(lambda: 1), "value", "a defaultdict travels only with"),
    (defaultdict(Point), "value", "a defaultdict travels only with"),
    ([ONCE, ONCE], "value[1]", "it is in the value twice"),
    ({Blob(b"x")}, "value{<netstructer.codec.blob.Blob>}", "a Blob cannot be a member of a set"),
    (Blob(b"x", name="\ud800"), "value", "the Blob's name is no text"),
    (numpy.array([object()]), "value", "does not travel"),
    (numpy.zeros(2, [("a", "i4")]), "value", "does not travel"),
    (numpy.zeros(2, "V3"), "value", "does not travel"),
    (numpy.longdouble(1), "value", "does not travel"),
    (numpy.add, "value", "ufunc is not registered"),
    ([Metres(1)], "value[0]", "test_values.Metres is not registered"),
    (numpy.str_("a\0"), "value", "empty or ends in NUL"),
    (numpy.str_(""), "value", "empty or ends in NUL"),
    (numpy.array([0x110000], "<u4").view("<U1"), "value", "a number that is no character"),
    ([Path("x")], "value[0]", "is not registered; a path travels as PurePath(p)"),
    (numpy.ma.masked_array([1]), "value", "is not registered"),
]
FAULTY = Types()
FAULTY.register(Label, to=broken, make=Label)
for known in (Point, Order, Celsius):
    entry = TYPES.of_class(known)
    assert entry is not None
    if known is Celsius:
        FAULTY.register(known, to=entry.read, make=entry.make)
    else:
        FAULTY.register(known)


@pytest.mark.parametrize(("value", "path", "text"), UNSENDABLE, ids=[f"{row[1]} {row[2]}"[:60] for row in UNSENDABLE])
def test_what_does_not_travel_is_named_with_its_path(value: Any, path: str, text: str) -> None:
    with pytest.raises(UnsendableValue) as caught:
        encode(value, types=FAULTY)

    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")
    assert text in str(caught.value)


def test_a_failing_to_is_the_cause() -> None:
    with pytest.raises(UnsendableValue) as caught:
        encode([Label("x")], types=FAULTY)

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_cycle_is_found_wherever_it_is() -> None:
    wide: list[Any] = [[1], [2]]
    wide[1].append(wide)
    table: list[Any] = [[1, 2] for _ in range(20)]
    table[7][1] = table
    mapping: dict[str, Any] = {}
    mapping["me"] = [[mapping]]

    for value in (wide, table, mapping, [mapping], (deque([mapping]),)):
        with pytest.raises(UnsendableValue, match="cycle"):
            encode(value)


def test_a_value_that_cannot_be_read_is_unsendable() -> None:
    with pytest.raises(UnsendableValue, match="changed while it was encoded"):
        encode([RELEASED])


@pytest.mark.parametrize("size", [3, 20])
def test_a_dict_that_changes_meanwhile_travels_as_it_was(size: int) -> None:
    """Of the same length, but with a key at the end that has come by already."""

    def to(item: Any) -> Any:
        changing.pop("b", None)
        changing["a"] = changing.pop("a")
        return item.degrees

    types = Types()
    types.register(Celsius, to=to, make=Celsius)
    changing: dict[str, Any] = {"a": Celsius(1), "b": 1, **{f"c{number}": number for number in range(size - 2)}}
    before = list(changing)

    arrived = decode(b"".join(encode(changing, types=types).buffers), types=types)
    assert isinstance(arrived, dict)
    assert list(arrived) == before
    assert [arrived[name] for name in before[1:]] == [1, *range(size - 2)]


def test_a_fault_that_is_gone_when_it_is_looked_for_is_still_told() -> None:
    calls = []

    def to(item: Any) -> Any:
        calls.append(item)
        return object() if len(calls) == 1 else 1

    types = Types()
    types.register(Celsius, to=to, make=Celsius)
    with pytest.raises(UnsendableValue, match="value: object is not registered"):
        encode([Celsius(1)], types=types)


# --- any bytes at all -------------------------------------------------------------------------------------------------


def check(data: bytes) -> bool:
    """Decode bytes that may be anything, whole and in pieces; return whether they were a value."""
    try:
        value = decode(data, limits=Limits.SMALL, types=TYPES)
    except BadValue:
        with pytest.raises(BadValue):
            decode(pieces(data, [len(data) // 3, len(data) // 2]), limits=Limits.SMALL, types=TYPES)
        return False
    assert joined(value) == data
    assert same(value, decode(pieces(data, [len(data) // 3, len(data) // 2]), limits=Limits.SMALL, types=TYPES))
    return True


def mutants(count: int, seed: int) -> Iterator[bytes]:
    """Take the encodings of the edges apart: change, drop, double and move bytes."""
    chance = random.Random(seed)
    corpus = [data for data in map(joined, EDGES) if len(data) < 400]
    for _ in range(count):
        data = bytearray(chance.choice(corpus))
        for _ in range(chance.choice((1, 1, 2, 5))):
            place = chance.randrange(len(data) + 1)
            match chance.randrange(5):
                case 0:
                    data[place:place] = bytes([chance.choice((chance.randrange(256), 0xFF, 0xF8, 0x90, 0xEF))])
                case 1:
                    del data[place : place + chance.randrange(1, 4)]
                case 2:
                    data[place : place + 1] = bytes([chance.randrange(256)])
                case 3:
                    other = chance.choice(corpus)
                    data[place:place] = other[: chance.randrange(1, 40)]
                case _:
                    data[place:] = chance.choice(corpus)
        yield bytes(data)


def test_mutated_bytes_are_a_value_or_bad() -> None:
    accepted = sum(map(check, mutants(4000, seed=1)))

    assert 100 < accepted < 3500


def test_random_bytes_are_a_value_or_bad() -> None:
    chance = random.Random(2)
    accepted = sum(check(chance.randbytes(chance.randrange(30))) for _ in range(4000))

    assert 10 < accepted < 2000


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_mutants_are_values_or_bad() -> None:
    accepted = sum(map(check, mutants(100_000, seed=3)))

    assert accepted > 2000


SHORT = [value for value in EDGES if len(joined(value)) < 100]


def test_every_prefix_and_every_tail_is_bad() -> None:
    for value in SHORT:
        data = joined(value)
        for size in range(len(data)):
            for source in (data[:size], (bytes([byte]) for byte in data[:size])):
                with case(value, size), pytest.raises(BadValue, match="ends too soon, at byte"):
                    decode(source, types=TYPES)
        for source in (data + b"\0", iter((data, b"", b"\0"))):
            with case(value), pytest.raises(BadValue, match="bytes follow the value"):
                decode(source, types=TYPES)


@pytest.mark.parametrize(
    ("code", "items"),
    [
        ("b", [0, 1, 127]),
        ("h", [0, 1, 200]),
        ("h", [-1, 127, -128]),
        ("i", [-1, 32_767, -32_768]),
        ("q", [-1, (1 << 31) - 1, -(1 << 31)]),
        ("H", [0, 255]),
        ("I", [65_535]),
        ("Q", [(1 << 32) - 1]),
    ],
)
def test_a_run_of_ints_is_as_narrow_as_it_can_be(code: str, items: list[int]) -> None:
    """Signed only if one is negative, and no wider than the largest or the smallest needs."""
    items = items * 16
    raw = array(code, items)
    if sys.byteorder == "big":
        raw.byteswap()

    assert there_and_back(items)[1] != INT_CODES.index(code)
    with pytest.raises(BadValue, match="wider than it need be"):
        decode(bytes((RUN, INT_CODES.index(code), len(items))) + raw.tobytes())


TYPED = [row for row in structs.STRUCTS if row.shapes and None not in row.shapes]


@pytest.mark.parametrize("row", TYPED, ids=lambda row: str(row.code))
def test_a_struct_of_wrong_parts_is_bad_and_called_by_its_type(row: structs.Struct) -> None:
    name = {3: "str", 28: "numpy array", 29: "numpy scalar"}.get(row.code) or getattr(row.cls, "__name__", "")
    for place in range(len(row.shapes)):
        parts = [_SAMPLE[shape[0]] for shape in row.shapes if shape is not None]
        parts[place] = ...

        with pytest.raises(BadValue, match=f"a part of a {name} is a ellipsis"):
            decode(row.head + b"".join(map(joined, parts)))


_SAMPLE: dict[type, object] = {
    int: 1,
    float: 1.0,
    bytes: b"",
    str: "",
    type(None): None,
    list: [],
    dict: {},
    tuple: (),
    bool: False,
    bytearray: bytearray(),
    timedelta: timedelta(0),
}


# --- where the bytes come from ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("a"), IndexError("b"), KeyError("c"), BadValue("d"), KeyboardInterrupt()])
@pytest.mark.parametrize("value", [[1, 2, 3], b"x" * 200_000, {(1, 2)}])
def test_what_the_source_raises_passes_through(value: Any, error: BaseException) -> None:
    data = joined(value)

    def source() -> Iterator[bytes]:
        yield data[:-1]
        raise error

    with pytest.raises(type(error)) as caught:
        decode(source())

    assert caught.value is error


def test_a_fault_is_at_the_same_byte_however_the_bytes_come() -> None:
    data = joined([b"x" * 1000] * 9 + [1])[:-1] + b"\xff\xc8"

    for source in (data, pieces(data, range(10, len(data), 10)), pieces(data, [5000])):
        with pytest.raises(BadValue, match=f"struct code 200 is unknown, at byte {len(data) - 2:,}"):
            decode(source)


@pytest.mark.parametrize("source", ["text", 5, None])
def test_what_is_no_source_is_misuse(source: Any) -> None:
    with pytest.raises(Misuse):
        decode(source)


def test_chunks_that_are_not_bytes_are_misuse() -> None:
    with pytest.raises(Misuse):
        decode(iter(["a"]))  # type: ignore[arg-type]  # that is the point


def test_a_source_that_is_a_strided_view_is_read() -> None:
    data = joined(list(range(20)))
    strided = bytearray(2 * len(data))
    strided[::2] = data

    assert decode(memoryview(strided)[::2]) == list(range(20))
    with pytest.raises(BadValue):
        decode(memoryview(b""))


def test_chunks_may_be_of_any_bytes_like_type() -> None:
    data = joined([1, 2, 300])

    assert decode(iter((data[:1], bytearray(data[1:2]), memoryview(data[2:])))) == [1, 2, 300]


# --- other machines ---------------------------------------------------------------------------------------------------

PACKED: list[Any] = [list(range(1000)), [0.5] * 16, array("H", [1, 2]), array("b", [1]), array("d")]


@pytest.mark.usefixtures("codec_in_python")
def test_a_big_endian_machine_swaps_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    here = [joined(value) for value in PACKED]
    monkeypatch.setattr(sys, "byteorder", "little" if sys.byteorder == "big" else "big")
    monkeypatch.setattr(bulk, "_SWAP", not bulk._SWAP)
    there = [there_and_back(value) for value in PACKED]

    assert [before == after for before, after in zip(here, there, strict=True)] == [False, False, False, True, True]
    assert here[0][-2:] == there[0][:-3:-1]
    assert PACKED[2] == array("H", [1, 2])


def test_a_receiver_without_numpy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = joined([numpy.arange(3)])
    monkeypatch.setitem(sys.modules, "numpy", None)

    with pytest.raises(BadValue, match="pip install numpy"):
        decode(data)


def test_a_sender_without_numpy_does_not_look_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy")

    with pytest.raises(UnsendableValue, match="object is not registered"):
        encode(object())
    assert "numpy" not in sys.modules


def test_numpy_bools_that_are_neither_are_true() -> None:
    odd = numpy.array([0, 1, 2], "u1").view("?")

    assert decode(joined(odd)).tobytes() == b"\0\1\1"  # type: ignore[attr-defined]  # it is an array


def test_an_array_of_text_does_not_travel() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        text = array("u", "abc")

    with pytest.raises(UnsendableValue, match="type code 'u'"):
        encode([text])


def test_numpy_arrays_arrive_writable_and_without_a_copy() -> None:
    back: Any = decode(iter([joined(numpy.zeros(100_000))]))
    back[0] = 1

    assert back.flags.writeable
    assert not back.flags.owndata


def test_zones_are_looked_up_in_the_tzdata_package_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = joined(zoneinfo.ZoneInfo("Europe/Berlin"))
    unknown = joined("Europe/Atlantis")
    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    monkeypatch.setattr(structs.resources, "files", lambda package: tmp_path)
    tmp_path.joinpath("zones").write_text("Europe/Berlin\nUTC\n")

    assert decode(data) is zoneinfo.ZoneInfo("Europe/Berlin")
    with pytest.raises(BadValue, match="time zone"):
        decode(b"\xff\x0f" + unknown)
    tmp_path.joinpath("zones").unlink()
    structs._is_listed.cache_clear()
    with pytest.raises(BadValue, match="time zone"):
        decode(data)
    structs._is_listed.cache_clear()


def test_a_zone_without_a_key_does_not_travel() -> None:
    with open(Path(zoneinfo.TZPATH[0]) / "UTC", "rb") as file:
        nameless = zoneinfo.ZoneInfo.from_file(file)

    with pytest.raises(UnsendableValue, match="by its key"):
        encode({"zone": [datetime(2026, 1, 1, tzinfo=nameless)]})


def test_decimals_are_spelled_the_same_under_any_context() -> None:
    value = Decimal("1E+100")
    with localcontext() as context:
        context.capitals = 0
        context.prec = 3
        context.traps[InvalidOperation] = False
        data = there_and_back([value, Decimal("1.23456789")])
        with pytest.raises(BadValue):
            decode(b"\xff\x10" + joined("x"))

    assert data == joined([value, Decimal("1.23456789")])


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_large_bytes_are_in_memory_once(kind: type[bytes | bytearray]) -> None:
    size = 32 << 20
    data = joined(kind(size))
    chunks = [data[start : start + 65_536] for start in range(0, len(data), 65_536)]
    tracemalloc.start()
    back = decode(iter(chunks))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert type(back) is kind
    assert len(back) == size
    assert peak < 1.2 * size
