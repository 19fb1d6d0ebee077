"""Hypothesis strategies for everything that travels, the application types they use, and what "the same" means.

`values()` draws nested values of every type of docs/values.md; `same(a, b)` holds two of them equal with equal types
all the way down, in the same order, nan and signed zeros told apart.  `TYPES` is the registry in which the types below
stand.
"""

from __future__ import annotations

import enum
import ipaddress
import pathlib
import struct
import uuid
import zoneinfo
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy
from hypothesis import strategies as st

from netstructer.codec.blob import Blob
from netstructer.codec.types import Types

TYPES = Types()
"""A registry of its own: tests never touch the one that applications share."""


@TYPES.register
@dataclass(frozen=True)
class Point:
    """A plain dataclass that can be a key."""

    x: Any
    y: Any = 0


@TYPES.register
@dataclass(slots=True, kw_only=True)
class Order:
    """Slots, arguments by name only, and a field that the constructor does not take."""

    items: list[Any]
    owner: Any = None
    count: int = field(init=False)

    def __post_init__(self) -> None:
        self.count = -1


@TYPES.register(name="pair")
class Pair(NamedTuple):
    """A NamedTuple under a name that is not its own."""

    first: Any
    second: Any = "none"


@TYPES.register
class Colour(enum.Enum):
    """Members by name, an alias among them."""

    RED = 1
    GREEN = "green"
    CRIMSON = RED


@TYPES.register
class Access(enum.Flag):
    """Members by number, combined ones too."""

    READ = 1
    WRITE = 2


@TYPES.register
class Level(enum.IntEnum):
    """An enum whose members are ints."""

    LOW = 1
    HIGH = 2


@TYPES.register
@attrs.define
class Crate:
    """An attrs class with a private name, and a field that the constructor does not take."""

    _label: Any
    size: Any = 3
    seen: Any = attrs.field(init=False, default=None)


@TYPES.register
class Message(msgspec.Struct):
    """A msgspec class."""

    topic: Any
    body: Any = b""


class Celsius:
    """A class that travels by `to` and `make`."""

    def __init__(self, degrees: Any) -> None:
        self.degrees = degrees


TYPES.register(Celsius, to=lambda item: item.degrees, make=Celsius)


@TYPES.register
@dataclass
class Empty:
    """No fields at all."""


FIELDS: dict[type, tuple[str, ...]] = {
    Point: ("x", "y"),
    Order: ("items", "owner", "count"),
    Crate: ("_label", "size", "seen"),
    Message: ("topic", "body"),
    Celsius: ("degrees",),
    Empty: (),
}

# --- the same ---------------------------------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, with equal types, in the same order, all the way down."""
    return fingerprint(one) == fingerprint(other)


def numbered(items: Sequence[Any]) -> list[str]:
    """Return ids for the tests of these values, the same in every process: no address and no hash is in them."""
    return [f"{at}-{type(item).__name__}" for at, item in enumerate(items)]


def fingerprint(item: Any) -> Any:
    """Return nested tuples of texts and bytes that two values share exactly if they are the same."""
    kind = type(item)
    return (f"{kind.__module__}.{kind.__qualname__}", *_parts(item, kind))


def _parts(item: Any, kind: type) -> list[Any]:
    if kind is float:
        return ["nan"] if item != item else [struct.pack(">d", item)]
    if kind is complex:
        return [fingerprint(item.real), fingerprint(item.imag)]
    if kind in (list, tuple, deque, Pair):
        return [*map(fingerprint, item), getattr(item, "maxlen", None)]
    if kind in (dict, OrderedDict, Counter, defaultdict):
        return [getattr(item, "default_factory", None), *((fingerprint(k), fingerprint(v)) for k, v in item.items())]
    if kind in (set, frozenset):
        return sorted(map(fingerprint, item), key=repr)
    if kind is slice:
        return [fingerprint(part) for part in (item.start, item.stop, item.step)]
    if kind is range:
        return [item.start, item.stop, item.step]
    if kind in FIELDS:
        return [fingerprint(getattr(item, name)) for name in FIELDS[kind]]
    if kind in (time, datetime):
        return [item.replace(tzinfo=None).isoformat(), item.fold, fingerprint(item.tzinfo)]
    if kind is timezone:
        return [repr(item), *item.__getinitargs__()]  # type: ignore[attr-defined]  # the stubs leave it out
    if kind is array:
        return [item.typecode, item.tobytes()]
    if kind is Blob:
        return [item.name, bytes(item)]
    if isinstance(item, numpy.ndarray):
        return [item.dtype.str, item.shape, item.flags.f_contiguous, item.flags.writeable, item.tobytes()]
    if isinstance(item, numpy.generic):
        return [item.dtype.str, item.tobytes()]
    return [repr(item)]


# --- strategies -------------------------------------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=50),
    st.text(st.characters(exclude_categories=()), max_size=20),  # lone surrogates among them
    st.text("ab\0", max_size=300),
    st.sampled_from(["\U0001f600" * 10, "\u20ac", "\xe9" * 40, "x" * 31, "x" * 32, "x" * 247, "x" * 248, "\ud800"]),
)
edges = [
    sign * (1 << bits) + near
    for bits in (0, 4, 7, 8, 15, 16, 31, 32, 55, 63, 64, 200)
    for sign in (1, -1)
    for near in (-1, 0, 1)
]
ints = st.one_of(st.integers(-20, 300), st.sampled_from(edges), st.integers(), st.integers(-(1 << 300), 1 << 300))
nonzero = ints.map(lambda number: number or 1)
floats = st.floats(allow_nan=True)
offsets = st.builds(timedelta, minutes=st.integers(-1439, 1439))
zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.builds(timezone, offsets),
    st.builds(timezone, offsets, texts),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Argentina/Ushuaia"]).map(zoneinfo.ZoneInfo),
)


def _placed(moment: Any, zone: Any, fold: int) -> Any:
    return moment.replace(tzinfo=zone, fold=fold)


plain_scalars = st.one_of(
    st.none(), st.booleans(), ints, floats, texts, st.binary(max_size=40), st.binary(min_size=240, max_size=260)
)
library_scalars = st.one_of(
    st.complex_numbers(),
    st.just(...),
    st.builds(range, ints, ints, nonzero),
    st.dates(),
    st.builds(_placed, st.times(), zones, st.integers(0, 1)),
    st.builds(_placed, st.datetimes(), zones, st.integers(0, 1)),
    st.timedeltas(),
    zones,
    st.decimals(),
    st.builds(Decimal, st.sampled_from(["-0", "0E+7", "NaN123", "1.500", "1E-900", "Infinity", "-NaN"])),
    st.fractions(),
    st.uuids(),
    st.ip_addresses(),
    st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32"]).map(ipaddress.ip_network),
    st.sampled_from(["10.1.2.3/8", "fe80::1%eth0/64"]).map(ipaddress.ip_interface),
    st.sampled_from(["fe80::1%eth0", "::ffff:1.2.3.4"]).map(ipaddress.ip_address),
    texts.map(pathlib.PurePosixPath),
    st.sampled_from(["", "c:", "c:\\x", "\\\\host\\share\\a", "a/b"]).map(pathlib.PureWindowsPath),
    st.sampled_from([*Colour, *Level, Access(0), Access.READ, Access.READ | Access.WRITE]),
)


def _with_a_hash(item: Any) -> Any:
    """A signalling nan has none; mapped, not filtered: a filter that gives up spells out its whole strategy."""
    return Decimal(0) if isinstance(item, Decimal) and item.is_snan() else item


_KEYS = st.one_of(plain_scalars, library_scalars.map(_with_a_hash))


@st.composite
def _keys(draw: st.DrawFn) -> Any:
    """What a key may be, under a short name for when Hypothesis spells a strategy out."""
    return draw(_KEYS)


_HASHABLES = st.recursive(
    _keys(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.frozensets(inner, max_size=4),
        st.tuples(inner, inner).map(lambda parts: Point(*parts)),
        inner.map(Pair),
    ),
    max_leaves=6,
)


@st.composite
def _hashables(draw: st.DrawFn) -> Any:
    """Keys, and tuples, frozensets and records of keys; a short name too."""
    return draw(_HASHABLES)


hashables = _hashables()
dtypes = st.sampled_from(
    [
        "|b1",
        "|i1",
        "|u1",
        "<i2",
        ">i4",
        "<u8",
        "<f2",
        "<f4",
        ">f8",
        "<c8",
        "<c16",
        "<M8[D]",
        ">m8[25us]",
        "|S3",
        "<U2",
        ">U1",
    ]
)


def _numpy_array(dtype: str, raw: bytes, turned: bool) -> Any:
    if dtype in ("<U2", ">U1"):
        flat = numpy.frombuffer(bytes(byte & 127 for byte in raw), "u1").astype(dtype[0] + "u4").view(dtype[0] + "U1")
        flat = flat.astype(dtype)
    elif dtype == "|b1":
        flat = numpy.frombuffer(raw, "u1") > 127
    else:
        size = numpy.dtype(dtype).itemsize
        flat = numpy.frombuffer(raw[: len(raw) // size * size], dtype).copy()
    rows = flat[: flat.size // 2 * 2].reshape(2, -1).copy()
    return numpy.asfortranarray(rows) if turned else rows


arrays = st.one_of(
    st.builds(array, st.sampled_from("bBhHiIlLqQ"), st.lists(st.integers(0, 127), max_size=20)),
    st.builds(array, st.sampled_from("fd"), st.lists(st.floats(width=32, allow_nan=False), max_size=20)),
    st.builds(_numpy_array, dtypes, st.binary(max_size=64), st.booleans()),
    st.floats(width=32).map(numpy.float32),
    st.integers(0, 255).map(numpy.uint8),
    st.booleans().map(numpy.bool_),
    st.sampled_from([numpy.str_("ab"), numpy.bytes_(b"ab"), numpy.datetime64("2020-01-01"), numpy.complex64(1j)]),
)


def _sixteen(items: list[Any]) -> list[Any]:
    """As many as take a bulk form, drawn quickly."""
    return (items * 16)[:16]


runs = st.one_of(
    st.lists(ints, min_size=14, max_size=40),
    st.lists(st.integers(-300, 300), min_size=14, max_size=40),
    st.lists(st.integers(0, 1 << 33), min_size=14, max_size=40),
    st.lists(floats, min_size=14, max_size=30),
    st.lists(st.booleans(), min_size=14, max_size=40),
    st.lists(st.text(max_size=6), min_size=14, max_size=30),
    st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=14, max_size=40),
    st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=14, max_size=40),
    st.integers(14, 40).map(lambda count: [None] * count),
    *(
        st.lists(kind, min_size=1, max_size=3).map(_sixteen)
        for kind in (
            st.dates(),
            st.builds(_placed, st.datetimes(), zones, st.integers(0, 1)),
            st.timedeltas(),
            zones,
            st.decimals(),
            st.fractions(),
            st.uuids(),
            st.ip_addresses(),
            st.complex_numbers(),
        )
    ),
)


def _rows(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists that are tables or ragged rows, or nearly."""
    count = st.integers(14, 20)
    shapes = st.sampled_from(
        [
            lambda row: tuple(row),
            lambda row: list(row),
            lambda row: dict(zip("abcdefghij", row, strict=False)),
            lambda row: Point(row[0], row[-1]) if row else Point(1),
            lambda row: Pair(*row[:2]) if row else Pair(2),
        ]
    )

    def build(rows: list[list[Any]], shape: Any, count: int) -> list[Any]:
        return [shape(rows[place % len(rows)]) for place in range(count)]

    return st.builds(build, st.lists(st.lists(inner, max_size=10), min_size=1, max_size=4), shapes, count)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=6)
    dicts = st.dictionaries(hashables, inner, max_size=6)
    return st.one_of(
        lists,
        lists.map(tuple),
        st.sets(hashables, max_size=6),
        dicts,
        _rows(inner),
        st.dictionaries(st.integers(), inner, min_size=15, max_size=18),
        st.builds(lambda items, more: deque(items, len(items) + more), lists, st.integers(0, 3)),
        lists.map(deque),
        dicts.map(OrderedDict),
        st.dictionaries(hashables, st.integers(), max_size=4).map(Counter),
        st.builds(defaultdict, st.sampled_from([None, int, list, dict, set, str]), dicts),
        st.builds(slice, inner, inner, inner),
        st.tuples(inner, inner).map(lambda parts: Point(*parts)),
        st.tuples(lists, inner).map(lambda parts: Order(items=parts[0], owner=parts[1])),
        st.tuples(inner, inner).map(lambda parts: Pair(*parts)),
        st.tuples(inner, inner).map(lambda parts: Crate(*parts)),
        inner.map(Message),
        inner.map(Celsius),
        st.just(Empty()),
    )


_LEAVES = st.one_of(
    plain_scalars,
    library_scalars,
    st.binary(max_size=20).map(bytearray),
    arrays,
    runs,
    runs.map(tuple),
    st.sets(st.integers(-50, 500), min_size=14, max_size=40),
    st.frozensets(st.text(max_size=4), min_size=14, max_size=30),
    st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=14, max_size=20),
    st.builds(uuid.UUID, int=st.integers(0, (1 << 128) - 1)),
    st.builds(Fraction, ints, nonzero),
    st.builds(date, st.integers(1, 9999), st.integers(1, 12), st.integers(1, 28)),
)


@st.composite
def _leaves(draw: st.DrawFn) -> Any:
    return draw(_LEAVES)


_VALUES = st.recursive(_leaves(), _containers, max_leaves=12)


@st.composite
def values(draw: st.DrawFn) -> Any:
    """Draw a nested value of any type that travels, but a blob."""
    return draw(_VALUES)
