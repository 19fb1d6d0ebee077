"""The public strategies with application types of our own among them, and what "the same" means.

`values()` draws nested values of every type of docs/values.md, by `netstructer.testing.values`; `same(a, b)` holds two
of them equal with equal types all the way down, in the same order, nan and signed zeros told apart.  `TYPES` is the
registry in which the types below stand.
"""

from __future__ import annotations

import enum
import struct
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timezone
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy
from hypothesis import strategies as st

from netstructer import testing
from netstructer.codec.blob import Blob
from netstructer.codec.types import Types
from netstructer.testing.drawing import rows

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


def _keyed(inner: st.SearchStrategy[Any]) -> list[st.SearchStrategy[Any]]:
    """Our records and members that can be keys."""
    return [st.tuples(inner, inner).map(lambda parts: Point(*parts)), inner.map(Pair), _MEMBERS]


def _containers(inner: st.SearchStrategy[Any]) -> list[st.SearchStrategy[Any]]:
    """Our records, and tables of them."""
    lists = st.lists(inner, max_size=6)
    shapes = [
        lambda row: Point(row[0], row[-1]) if row else Point(1),
        lambda row: Pair(*row[:2]) if row else Pair(2),
    ]
    return [
        rows(inner, shapes),
        st.tuples(inner, inner).map(lambda parts: Point(*parts)),
        st.tuples(lists, inner).map(lambda parts: Order(items=parts[0], owner=parts[1])),
        st.tuples(inner, inner).map(lambda parts: Pair(*parts)),
        st.tuples(inner, inner).map(lambda parts: Crate(*parts)),
        inner.map(Message),
        inner.map(Celsius),
        st.just(Empty()),
    ]


_MEMBERS = st.sampled_from([*Colour, *Level, Access(0), Access.READ, Access.READ | Access.WRITE])
_VALUES = testing.values(numpy=True, leaves=[_MEMBERS], containers=_containers, keys=_keyed)


def values() -> st.SearchStrategy[Any]:
    """Return a strategy for nested values of any type that travels, ours among them, but a blob."""
    return _VALUES
