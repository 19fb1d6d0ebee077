"""Values as they are drawn: every type that travels, nested.  Floor: FAÇADES.

Law: each group says which types are in it, so that a test can ask for some of them.  Only `strategies` imports this.

A list of fourteen equal items takes another form on the wire than a short one, as does a table of equal rows, a run of
small ints, a set of texts: so there are groups that draw just such ones, which chance alone would seldom find.
"""

from __future__ import annotations

import ipaddress
import pathlib
import zoneinfo
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from types import EllipsisType, NoneType
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st

from netstructer.errors import Misuse

__all__ = ["hashable_values", "rows", "values"]

Drawing = st.SearchStrategy[Any]
More = Callable[[Drawing], Sequence[Drawing]] | None


class Group(NamedTuple):
    """A strategy, and the types of what it draws."""

    types: frozenset[type]
    strategy: Drawing


# --- what holds no others ---------------------------------------------------------------------------------------------

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


def _group(strategy: Drawing, *types: type) -> Group:
    return Group(frozenset(types), strategy)


datetimes = st.builds(_placed, st.datetimes(), zones, st.integers(0, 1))
_ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address)
_NETWORKS = (ipaddress.IPv4Network, ipaddress.IPv6Network)
_INTERFACES = (ipaddress.IPv4Interface, ipaddress.IPv6Interface)

KEYS = (
    _group(st.none(), NoneType),
    _group(st.booleans(), bool),
    _group(ints, int),
    _group(floats, float),
    _group(texts, str),
    _group(st.binary(max_size=40), bytes),
    _group(st.binary(min_size=240, max_size=260), bytes),
    _group(st.complex_numbers(), complex),
    _group(st.just(...), EllipsisType),
    _group(st.builds(range, ints, ints, nonzero), range),
    _group(st.dates(), date),
    _group(st.builds(_placed, st.times(), zones, st.integers(0, 1)), time),
    _group(datetimes, datetime),
    _group(st.timedeltas(), timedelta),
    _group(zones, NoneType, timezone, zoneinfo.ZoneInfo),
    _group(st.decimals(), Decimal),
    _group(st.sampled_from(["-0", "0E+7", "NaN123", "1.500", "1E-900", "Infinity", "-NaN"]).map(Decimal), Decimal),
    _group(st.fractions(), Fraction),
    _group(st.builds(Fraction, ints, nonzero), Fraction),
    _group(st.uuids(), UUID),
    _group(st.builds(UUID, int=st.integers(0, (1 << 128) - 1)), UUID),
    _group(st.ip_addresses(), *_ADDRESSES),
    _group(st.sampled_from(["fe80::1%eth0", "::ffff:1.2.3.4"]).map(ipaddress.IPv6Address), ipaddress.IPv6Address),
    _group(st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32"]).map(ipaddress.ip_network), *_NETWORKS),
    _group(st.sampled_from(["10.1.2.3/8", "fe80::1%eth0/64"]).map(ipaddress.ip_interface), *_INTERFACES),
    _group(texts.map(pathlib.PurePosixPath), pathlib.PurePosixPath),
    _group(
        st.sampled_from(["", "c:", "c:\\x", "\\\\host\\share\\a", "a/b"]).map(pathlib.PureWindowsPath),
        pathlib.PureWindowsPath,
    ),
    _group(st.builds(date, st.integers(1, 9999), st.integers(1, 12), st.integers(1, 28)), date),
)
"""What may be a key."""


def _sixteen(items: list[Any]) -> list[Any]:
    """As many as take a bulk form, drawn quickly."""
    return (items * 16)[:16]


RUNS = (
    _group(st.lists(ints, min_size=14, max_size=40), int),
    _group(st.lists(st.integers(-300, 300), min_size=14, max_size=40), int),
    _group(st.lists(st.integers(0, 1 << 33), min_size=14, max_size=40), int),
    _group(st.lists(floats, min_size=14, max_size=30), float),
    _group(st.lists(st.booleans(), min_size=14, max_size=40), bool),
    _group(st.lists(st.text(max_size=6), min_size=14, max_size=30), str),
    _group(st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=14, max_size=40), int, NoneType),
    _group(st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=14, max_size=40), str, NoneType),
    _group(st.integers(14, 40).map(lambda count: [None] * count), NoneType),
    *(
        _group(st.lists(kind, min_size=1, max_size=3).map(_sixteen), *types)
        for kind, *types in (
            (st.dates(), date),
            (datetimes, datetime),
            (st.timedeltas(), timedelta),
            (zones, NoneType, timezone, zoneinfo.ZoneInfo),
            (st.decimals(), Decimal),
            (st.fractions(), Fraction),
            (st.uuids(), UUID),
            (st.ip_addresses(), *_ADDRESSES),
            (st.complex_numbers(), complex),
        )
    ),
)
"""Lists of one type, of a length that takes a bulk form."""

LEAVES = (
    *KEYS,
    _group(st.binary(max_size=20).map(bytearray), bytearray),
    _group(st.builds(array, st.sampled_from("bBhHiIlLqQ"), st.lists(st.integers(0, 127), max_size=20)), array),
    _group(st.builds(array, st.sampled_from("fd"), st.lists(st.floats(width=32, allow_nan=False), max_size=20)), array),
    *(Group(types | {list}, strategy) for types, strategy in RUNS),
    _group(st.sets(st.integers(-50, 500), min_size=14, max_size=40), set, int),
    _group(st.frozensets(st.text(max_size=4), min_size=14, max_size=30), frozenset, str),
    _group(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=14, max_size=20), set, tuple, int),
)
"""What holds no others, and runs."""

CONTAINERS = frozenset({list, tuple, set, frozenset, dict, deque, OrderedDict, Counter, defaultdict, slice})
KNOWN = CONTAINERS.union(*(group.types for group in LEAVES))
"""Every type that `of` may name."""


def _numpy_leaves() -> Iterator[Drawing]:
    """Arrays and scalars of every dtype that travels."""
    import numpy  # Imported late: it is there only where it is wanted.

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

    def build(dtype: str, raw: bytes, turned: bool) -> Any:
        if dtype in ("<U2", ">U1"):
            flat = (
                numpy.frombuffer(bytes(byte & 127 for byte in raw), "u1").astype(dtype[0] + "u4").view(dtype[0] + "U1")
            )
            flat = flat.astype(dtype)
        elif dtype == "|b1":
            flat = numpy.frombuffer(raw, "u1") > 127
        else:
            size = numpy.dtype(dtype).itemsize
            flat = numpy.frombuffer(raw[: len(raw) // size * size], dtype).copy()
        rows = flat[: flat.size // 2 * 2].reshape(2, -1).copy()
        return numpy.asfortranarray(rows) if turned else rows

    yield st.builds(build, dtypes, st.binary(max_size=64), st.booleans())
    yield st.floats(width=32).map(numpy.float32)
    yield st.integers(0, 255).map(numpy.uint8)
    yield st.booleans().map(numpy.bool_)
    others = [numpy.str_("ab"), numpy.bytes_(b"ab"), numpy.datetime64("2020-01-01"), numpy.complex64(1j)]
    yield st.sampled_from(others)


def _has_numpy() -> bool:
    try:
        version("numpy")
    except PackageNotFoundError:
        return False
    return True


# --- what holds others ------------------------------------------------------------------------------------------------


def values(
    of: Iterable[type] | None,
    *,
    max_leaves: int,
    numpy: bool | None,
    leaves: Sequence[Drawing],
    containers: More,
    keys: More,
) -> Drawing:
    """See `strategies.values`."""
    wanted = _wanted(of)
    found = [group.strategy for group in LEAVES if group.types <= wanted]
    found += [strategy.map(tuple) for types, strategy in RUNS if types | {tuple} <= wanted]
    if numpy or (numpy is None and of is None and _has_numpy()):
        found += _numpy_leaves()
    if not (found or leaves):
        raise Misuse("expected a type of values that hold no others, such as int, among those that may occur")
    keyed = [group for group in KEYS if group.types <= wanted]
    hashed = hashable_values(of, keys=keys) if keyed else None

    def around(inner: Drawing) -> Drawing:
        own = [] if containers is None else list(containers(inner))
        return st.one_of(*_containers(inner, hashed, wanted), *own)

    if not wanted & CONTAINERS and containers is None:
        return _named(st.one_of(*found, *leaves))
    return _named(st.recursive(_named(st.one_of(*found, *leaves)), around, max_leaves=max_leaves))


def hashable_values(of: Iterable[type] | None, *, keys: More) -> Drawing:
    """See `strategies.hashable_values`."""
    wanted = _wanted(of)
    found = [group.strategy.map(_with_a_hash) for group in KEYS if group.types <= wanted]
    if not found:
        raise Misuse("expected a type of what may be a key, such as str, among those that may occur")

    def around(inner: Drawing) -> Drawing:
        own = [] if keys is None else list(keys(inner))
        built = [
            *([st.lists(inner, max_size=4).map(tuple)] if tuple in wanted else []),
            *([st.frozensets(inner, max_size=4)] if frozenset in wanted else []),
        ]
        return st.one_of(*built, *own) if built or own else inner

    return _named(st.recursive(_named(st.one_of(*found)), around, max_leaves=6))


def rows(inner: Drawing, shapes: Sequence[Callable[[list[Any]], Any]]) -> Drawing:
    """Return a strategy for lists that are tables or ragged rows, or nearly; a shape makes a row of its items."""

    def build(drawn: list[list[Any]], shape: Callable[[list[Any]], Any], count: int) -> list[Any]:
        return [shape(drawn[place % len(drawn)]) for place in range(count)]

    lists = st.lists(st.lists(inner, max_size=10), min_size=1, max_size=4)
    return st.builds(build, lists, st.sampled_from(list(shapes)), st.integers(14, 20))


def _containers(inner: Drawing, hashed: Drawing | None, wanted: frozenset[type]) -> Iterator[Drawing]:
    lists = st.lists(inner, max_size=6)
    plain: dict[type, Drawing] = {
        list: lists,
        tuple: lists.map(tuple),
        deque: st.builds(lambda items, more: deque(items, None if more > 3 else len(items) + more), lists, _MORE),
        slice: st.builds(slice, inner, inner, inner),
    }
    yield from (strategy for kind, strategy in plain.items() if kind in wanted)
    shapes = {tuple: tuple, list: list, dict: lambda row: dict(zip("abcdefghij", row, strict=False))}
    wanted_shapes: list[Any] = [shape for kind, shape in shapes.items() if kind in wanted]
    if list in wanted and wanted_shapes:
        yield rows(inner, wanted_shapes)
    if hashed is None:
        return
    dicts = st.dictionaries(hashed, inner, max_size=6)
    keyed: dict[type, Drawing] = {
        set: st.sets(hashed, max_size=6),
        frozenset: st.frozensets(hashed, max_size=6),
        dict: dicts,
        OrderedDict: dicts.map(OrderedDict),
        Counter: st.dictionaries(hashed, st.integers(), max_size=4).map(Counter),
        defaultdict: st.builds(defaultdict, st.sampled_from([None, int, list, dict, set, str]), dicts),
    }
    yield from (strategy for kind, strategy in keyed.items() if kind in wanted)
    if {dict, int} <= wanted:
        yield st.dictionaries(st.integers(), inner, min_size=15, max_size=18)


_MORE = st.integers(0, 7)


def _wanted(of: Iterable[type] | None) -> frozenset[type]:
    if of is None:
        return KNOWN
    named: list[Any] = list(of)
    wanted = frozenset(type(item) if item is None or item is ... else item for item in named)
    strange = sorted(getattr(kind, "__name__", repr(kind)) for kind in wanted - KNOWN)
    if strange:
        raise Misuse(f"no values are drawn of {', '.join(strange)}: give strategies for it by leaves= or containers=")
    return wanted


def _with_a_hash(item: Any) -> Any:
    """A signalling nan has none; mapped, not filtered: a filter that gives up spells out its whole strategy."""
    return Decimal(0) if isinstance(item, Decimal) and item.is_snan() else item


def _named(strategy: Drawing) -> Drawing:
    """Return the same under a short name, for when Hypothesis spells a strategy out."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return drawn()
