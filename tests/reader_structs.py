"""What a second reader of values makes of structs, application types and blobs, by sections 5 to 7 of docs/values.md.

Law: nothing of netstructer is imported here.  Arrays of numpy and of the standard library stay their checked parts, so
that a reader needs neither their packages nor their machine.
"""

from __future__ import annotations

import ipaddress
import re
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from math import prod
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

DAY, TICK, NONE = 86_400_000_000, timedelta(microseconds=1), type(None)
UNITS = r"(\[([2-9]|[1-9]\d+)?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
DTYPE = re.compile(r"\|[biu]1|\|S[1-9]\d*|[<>]([iu][248]|f[248]|c8|c16|U[1-9]\d*|[mM]8" + UNITS + ")")
WIDTHS = {**dict.fromkeys("bB", (1,)), **dict.fromkeys("hH", (2,)), **dict.fromkeys("iIf", (4,))}
WIDTHS |= {**dict.fromkeys("lL", (4, 8)), **dict.fromkeys("qQd", (8,))}
FACTORIES = (bool, bytes, complex, dict, float, frozenset, int, list, set, str, tuple)
BADLY = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error)
"""What Python's own types raise for parts that they cannot be made of."""


class Refused(Exception):  # it is an outcome
    """The name of the error that the page has for it, and the rule that was broken."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(name, rule)
        self.name, self.rule = name, rule


TAKEN_AWAY: set[str] = set()
"""Rules that are not checked: for a test that shows that some vector misses each of them."""


def expect(true: object, rule: str, name: str = "BadValue") -> None:
    if not true and rule not in TAKEN_AWAY:
        raise Refused(name, rule)


class Shape(NamedTuple):
    """An application type: its tag, names of fields or members, all bits of a flag, whether it has a hash."""

    tag: int
    names: tuple[str, ...] = ()
    bits: int = 0
    hashable: bool = True


@dataclass(frozen=True)
class Applied:
    """A record, a member, or what a custom type is made of."""

    tag: int
    name: str
    parts: tuple[Any, ...]
    shape: Shape

    def __hash__(self) -> int:
        expect(self.shape.hashable, "keys and members have a hash")
        return hash(self.parts if self.tag == 0xFA else (self.name, self.parts))


@dataclass
class Array:
    """An array, as its parts: it has no hash."""

    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Scalar:
    """A numpy scalar, as its parts."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Reference:
    """A blob: its size plus one, and its name; each is different from every other."""

    size: int
    name: str | None


class Struct(NamedTuple):
    type: type
    beside: int
    """Items that it costs beyond its parts."""
    parts: tuple[tuple[type, ...], ...]
    """Which types each part may have; none: any."""
    make: Callable[..., Any]
    apart: Callable[[Any], tuple[Any, ...]]
    worth: Callable[..., int] = lambda *parts: 0
    """Items for what its parts are."""


def array(code: str, width: int, data: bytes) -> Array:
    expect(width in WIDTHS.get(code, ()), "type code and width")
    expect(len(data) % width == 0, "whole items")
    return Array((code, width, data))


def item_bytes(dtype: str, data: bytes) -> int:
    """Return how long an item of a dtype is; check the bytes of those that may not hold all."""
    expect(DTYPE.fullmatch(dtype), "the spelling of a dtype")
    expect(dtype != "|b1" or not data.strip(b"\0\1"), "bools are 0 or 1")
    if dtype[1] == "U":
        order = "little" if dtype[0] == "<" else "big"
        characters = (int.from_bytes(data[at : at + 4], order) for at in range(0, len(data), 4))
        expect(all(found < 0x110000 for found in characters), "characters")
    return int(dtype[2:].partition("[")[0]) * (4 if dtype[1] == "U" else 1)


def ndarray(dtype: str, shape: tuple[int, ...], fortran: bool, data: bytearray) -> Array:
    expect(len(shape) <= 32 and all(type(size) is int and size >= 0 for size in shape), "a shape")
    expect(prod(shape) * item_bytes(dtype, data) == len(data), "the bytes of a shape")
    expect(not fortran or (0 not in shape and sum(size > 1 for size in shape) > 1), "in Fortran order, and not in C's")
    return Array((dtype, shape, fortran, data))


def scalar(dtype: str, data: bytes) -> Scalar:
    expect(item_bytes(dtype, data) == len(data) and dtype[0] != ">", "one item, little-endian")
    expect(dtype[1] not in "SU" or data[-4 if dtype[1] == "U" else -1 :].strip(b"\0"), "a text does not end in NUL")
    return Scalar((dtype, data))


def clock(moment: Any) -> int:
    return ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1_000_000 + moment.microsecond  # type: ignore[no-any-return]


def a_time(ticks: int, fold: int, zone: Any) -> time:
    expect(0 <= ticks < DAY, "a time of day")
    return (datetime.min + ticks * TICK).time().replace(fold=fold, tzinfo=zone)


def a_datetime(ticks: int, fold: int, zone: Any) -> datetime:
    return (datetime.min + (ticks - DAY) * TICK).replace(fold=fold, tzinfo=zone)


def in_zone(offset: timedelta, name: str | None) -> timezone:
    return timezone(offset) if name is None else timezone(offset, name)


def default(name: str | None, items: dict[Any, Any]) -> defaultdict[Any, Any]:
    factories = {factory.__name__: factory for factory in FACTORIES}
    return defaultdict(None if name is None else factories[name], items)


def spelled(kind: type, beside: int, worth: Callable[[str], int] = lambda text: 0, longest: int = 256) -> Struct:
    """Return the struct of what is known by its text."""

    def make(text: str) -> Any:
        expect(len(text) <= longest, "the longest text of an address or a path")
        return kind(text)

    return Struct(kind, beside, ((str,),), make, lambda value: (str(value),), worth)


def parts_of_path(text: str) -> int:
    return text.count("/") + text.count("\\")


def surrogates_worth(data: bytes) -> int:
    """Count each byte `ed`, and a 64th of the bytes by which the text is larger in memory."""
    found = data.decode("utf-8", "surrogatepass")
    width = 4 if max(found, default="") > "\uffff" else 2
    return data.count(0xED) + max(0, len(found) * width - len(data)) // 64


INT, ZONE = (int,), (NONE, timezone, ZoneInfo)
STRUCTS = {
    1: Struct(type(...), 0, (), lambda: ..., lambda value: ()),
    2: Struct(complex, 0, ((float,), (float,)), complex, lambda value: (value.real, value.imag)),
    3: Struct(str, 0, ((bytes,),), lambda data: data.decode("utf-8", "surrogatepass"),
              lambda value: (value.encode("utf-8", "surrogatepass"),), surrogates_worth),
    4: Struct(range, 0, (INT, INT, INT), range, lambda value: (value.start, value.stop, value.step)),
    5: Struct(slice, 0, ((), (), ()), slice, lambda value: (value.start, value.stop, value.step)),
    6: Struct(deque, 11, ((NONE, int), (list,)), lambda most, items: deque(items, most),
              lambda value: (value.maxlen, list(value))),
    7: Struct(OrderedDict, 8, ((dict,),), OrderedDict, lambda value: (dict(value),)),
    8: Struct(Counter, 2, ((dict,),), Counter, lambda value: (dict(value),)),
    9: Struct(defaultdict, 2, ((NONE, str), (dict,)), default,
              lambda value: (value.default_factory and value.default_factory.__name__, dict(value))),
    10: Struct(date, 0, (INT,), date.fromordinal, lambda value: (value.toordinal(),)),
    11: Struct(time, 0, (INT, INT, ZONE), a_time, lambda value: (clock(value), value.fold, value.tzinfo)),
    12: Struct(datetime, 0, (INT, INT, ZONE), a_datetime,
               lambda value: (value.toordinal() * DAY + clock(value), value.fold, value.tzinfo)),
    13: Struct(timedelta, 0, (INT, INT, INT), timedelta, lambda value: (value.days, value.seconds, value.microseconds)),
    14: Struct(timezone, 0, ((timedelta,), (NONE, str)), in_zone,
               lambda value: (*value.__getinitargs__(), None)[:2]),
    15: Struct(ZoneInfo, 0, ((str,),), ZoneInfo, lambda value: (value.key,)),
    16: spelled(Decimal, 1, lambda text: len(text) // 16, sys.maxsize),
    17: Struct(Fraction, 0, (INT, INT), Fraction, lambda value: (value.numerator, value.denominator),
               lambda *parts: prod(part.bit_length() for part in parts) >> 16),
    18: Struct(UUID, 1, ((bytes,),), lambda data: UUID(bytes=data), lambda value: (value.bytes,)),
    **{19 + at: spelled(getattr(ipaddress, kind), beside) for at, (kind, beside) in enumerate([
        ("IPv4Address", 1), ("IPv6Address", 1), ("IPv4Network", 6), ("IPv6Network", 6), ("IPv4Interface", 9),
        ("IPv6Interface", 9)])},
    25: spelled(PurePosixPath, 5, parts_of_path, 65_536),
    26: spelled(PureWindowsPath, 5, parts_of_path, 65_536),
    27: Struct(Array, 1, ((str,), INT, (bytes,)), array, lambda value: value.parts),
    28: Struct(Array, 4, ((str,), (tuple,), (bool,), (bytearray,)), ndarray, lambda value: value.parts),
    29: Struct(Scalar, 1, ((str,), (bytes,)), scalar, lambda value: value.parts),
}  # fmt: skip
CODES = {made.type: code for code, made in STRUCTS.items() if code not in (3, 27)}
