"""Types of the standard library that travel as a few child values.  Floor: CODEC.  Spec: docs/values.md, "Structs".

Each row of `STRUCTS` says: a code, the class, which types its children may have, how to take an object apart and how to
put it together.  Law: the decoder takes apart what it put together and compares, so that every second spelling (an
unreduced fraction, `Decimal("1_0")`, a `timedelta` of 86,401 seconds) is refused without a rule of its own.
"""

from __future__ import annotations

import collections
import ipaddress
import pathlib
import re
import uuid
import zoneinfo
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from types import NoneType
from typing import Any, NamedTuple

from netstructer.codec import arrays
from netstructer.codec.numbers import (
    check_decimal,
    decimal_worth,
    fraction_worth,
    make_decimal,
    make_fraction,
    take_decimal,
)
from netstructer.codec.refusals import Malformed, Unsendable, hold_items
from netstructer.codec.tags import STRUCT
from netstructer.codec.text import widening_of
from netstructer.limits import Limits

__all__ = ["Struct", "struct_of_class", "struct_of_code"]


class Struct(NamedTuple):
    """One row: `take(item)` gives the children of an object, `make(*children)` the object."""

    code: int
    cls: type | None
    shapes: tuple[tuple[type, ...] | None, ...]
    """For each child the types it may have; `None` where any value may stand."""
    take: Callable[[Any], tuple[Any, ...]]
    make: Callable[..., Any]
    cost: int = 0
    """Items of 64 bytes that the object costs beyond one, its children apart."""
    verify: bool = True
    """Whether taking apart what was made proves that it was spelled canonically; if not, `make` checks."""
    check: Callable[[Any, Limits], None] | None = None
    """Raises `OverBudget`; at the sender before the object is taken apart, at the receiver before it is made."""
    worth: Callable[..., int] | None = None
    """Items that the object costs for what its children are, in memory or in the time that making it takes (an item is
    about 100 ns); counted at the receiver before it is made."""

    @property
    def head(self) -> bytes:
        return bytes((STRUCT, self.code))

    def worth_of(self, children: tuple[Any, ...]) -> int:
        return 0 if self.worth is None else self.worth(*children)

    @property
    def scalar(self) -> bool:
        """Whether a list of these can be a table: the parts are single values, never containers of any size."""
        return self.code in _SCALARS


_SCALARS = frozenset((2, 4, *range(10, 27)))
"""Codes of structs whose lists are tables: complex, range, and all of dates, numbers, addresses and paths."""


def struct_of_class(cls: type) -> Struct | None:
    """Return the row of exactly this class, looking at numpy only if the program has imported it."""
    row = BY_CLASS.get(cls)
    if row is None and (kind := arrays.numpy_kind(cls)) is not None:
        row = _NUMPY_ARRAY if kind == "array" else _NUMPY_SCALAR
    return row


def struct_of_code(code: int) -> Struct:
    """Return the row of a code; raises `Malformed` for an unknown one."""
    row = BY_CODE.get(code)
    if row is None:
        raise Malformed(f"struct code {code} is unknown")
    return row


# --- text that UTF-8 cannot hold --------------------------------------------------------------------------------------


def _take_surrogates(text: str) -> tuple[Any, ...]:
    return (text.encode("utf-8", "surrogatepass"),)


def _make_surrogates(raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogatepass")
    raise Malformed("a text without a lone surrogate is spelled as one with")


def _surrogates_worth(raw: bytes) -> int:
    """Count what may begin a surrogate, 200 ns each, and the memory by which the text is wider."""
    wider = widening_of(raw) if len(raw) > _NARROW_BYTES else 0
    return raw.count(0xED) + (wider >> 6)


_NARROW_BYTES = 21
"""What is no longer is wider by less than 64 bytes, at four bytes a character: it need not be looked at."""


# --- collections ------------------------------------------------------------------------------------------------------

_FACTORIES: dict[str, type] = {
    cls.__name__: cls for cls in (bool, bytes, complex, dict, float, frozenset, int, list, set, str, tuple)
}
"""The closed list of what a defaultdict may make: builtins that are called with no argument and do nothing else."""


def _take_defaultdict(item: collections.defaultdict[Any, Any]) -> tuple[Any, ...]:
    factory = item.default_factory
    if factory is not None and _FACTORIES.get(getattr(factory, "__name__", "")) is not factory:
        raise Unsendable(f"a defaultdict travels only with one of {', '.join(_FACTORIES)} or None as its factory")
    return None if factory is None else factory.__name__, dict(item)


def _make_defaultdict(name: str | None, members: dict[Any, Any]) -> collections.defaultdict[Any, Any]:
    if name is not None and name not in _FACTORIES:
        raise Malformed("a defaultdict's factory is not on the list")
    return collections.defaultdict(None if name is None else _FACTORIES[name], members)


def _make_counter(members: dict[Any, Any]) -> collections.Counter[Any]:
    made: collections.Counter[Any] = collections.Counter()
    dict.update(made, members)  # the constructor would add, and call __missing__
    return made


def _make_deque(longest: int | None, members: list[Any]) -> collections.deque[Any]:
    if longest is not None and not len(members) <= longest <= _LONGEST_DEQUE:
        raise Malformed("a deque is longer than its maxlen")
    return collections.deque(members, longest)


_LONGEST_DEQUE = (1 << 63) - 1

# --- time -------------------------------------------------------------------------------------------------------------

_DAY = 86_400_000_000
_ZONES: tuple[type, ...] = (NoneType, timezone, zoneinfo.ZoneInfo)


def _zone(item: datetime | time) -> Any:
    if type(item.tzinfo) not in _ZONES:
        raise Unsendable(
            f"its tzinfo is a {type(item.tzinfo).__name__}; datetime.timezone and zoneinfo.ZoneInfo travel"
        )
    return item.tzinfo


def _take_time(item: time | datetime) -> tuple[Any, ...]:
    past = ((item.hour * 60 + item.minute) * 60 + item.second) * 1_000_000 + item.microsecond
    return past, item.fold, _zone(item)


def _make_time(past: int, fold: int, zone: Any) -> time:
    seconds, micros = divmod(past, 1_000_000)
    return time(seconds // 3600, seconds // 60 % 60, seconds % 60, micros, zone, fold=fold)


def _take_datetime(item: datetime) -> tuple[Any, ...]:
    past, fold, zone = _take_time(item)
    return item.toordinal() * _DAY + past, fold, zone


def _make_datetime(past: int, fold: int, zone: Any) -> datetime:
    days, micros = divmod(past, _DAY)
    return datetime.combine(date.fromordinal(days), _make_time(micros, fold, zone))


def _make_timezone(offset: timedelta, name: str | None) -> timezone:
    return timezone(offset) if name is None else timezone(offset, name)


def _take_timezone(item: timezone) -> tuple[Any, ...]:
    offset, *name = item.__getinitargs__()  # type: ignore[attr-defined]  # what pickle and copy go by
    return offset, name[0] if name else None


def _take_zoneinfo(item: zoneinfo.ZoneInfo) -> tuple[Any, ...]:
    if not _is_zone(item.key):
        raise Unsendable("a ZoneInfo travels by its key, and this one has none that is known here")
    return (item.key,)


def _make_zoneinfo(key: str) -> zoneinfo.ZoneInfo:
    if not _is_zone(key):
        raise Malformed("a time zone is not known at this end; the tzdata package holds all of them")
    return zoneinfo.ZoneInfo(key)


_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,3}")


def _is_zone(key: str | None) -> bool:
    """Whether this machine's database has the zone.

    Asked before `ZoneInfo(key)`, which would look for an unknown key as a package below `tzdata`: no name from the wire
    may become the name of an import.
    """
    return key is not None and _ZONE_KEY.fullmatch(key) is not None and _is_listed(key, zoneinfo.TZPATH)


@lru_cache(maxsize=1024)
def _is_listed(key: str, roots: tuple[str, ...]) -> bool:
    if any(pathlib.Path(root, key).is_file() for root in roots):
        return True
    try:
        listed = resources.files("tzdata").joinpath("zones").read_text("utf-8")
    except (ImportError, OSError):
        return False
    return key in listed.split()


# --- numbers and names ------------------------------------------------------------------------------------------------


_LONGEST_PATH = 1 << 16
_LONGEST_ADDRESS = 256
"""Characters; of an IPv6 address with a zone as well.  Its text is cut up before it is found to be none."""


def _text_row(code: int, cls: type, cost: int, longest: int = _LONGEST_ADDRESS) -> Struct:
    """A class whose text says everything, and which is made from its text: path or address."""

    def take(item: Any) -> tuple[Any, ...]:
        text = str(item)
        if len(text) > longest:
            raise Unsendable(f"a {cls.__name__} of more than {longest:,} characters does not travel")
        return (text,)

    def make(text: str) -> Any:
        if len(text) > longest:
            raise Malformed(f"a {cls.__name__} is longer than {longest:,} characters")
        return cls(text)

    return Struct(code, cls, ((str,),), take, make, cost, worth=_parts_of_path if longest == _LONGEST_PATH else None)


def _parts_of_path(text: str) -> int:
    """Each part of a path is an object."""
    return text.count("/") + text.count("\\")


_TEXT = ((str,),)
_INT = (int,)

_NUMPY_ARRAY = Struct(
    28, None, ((str,), (tuple,), (bool,), (bytearray,)), arrays.take_ndarray, arrays.make_ndarray, 4, verify=False
)
_NUMPY_SCALAR = Struct(
    29, None, ((str,), (bytes,)), arrays.take_numpy_scalar, arrays.make_numpy_scalar, 1, verify=False
)

STRUCTS = (
    Struct(1, type(...), (), lambda item: (), lambda: ...),
    Struct(2, complex, ((float,), (float,)), lambda item: (item.real, item.imag), complex, verify=False),
    Struct(3, None, ((bytes,),), _take_surrogates, _make_surrogates, verify=False, worth=_surrogates_worth),
    Struct(4, range, (_INT, _INT, _INT), lambda item: (item.start, item.stop, item.step), range, verify=False),
    Struct(5, slice, (None, None, None), lambda item: (item.start, item.stop, item.step), slice, verify=False),
    Struct(
        6,
        collections.deque,
        ((NoneType, int), (list,)),
        lambda item: (item.maxlen, list(item)),
        _make_deque,
        11,
        verify=False,
    ),
    Struct(
        7, collections.OrderedDict, ((dict,),), lambda item: (dict(item),), collections.OrderedDict, 8, verify=False
    ),
    Struct(8, collections.Counter, ((dict,),), lambda item: (dict(item),), _make_counter, 2, verify=False),
    Struct(
        9, collections.defaultdict, ((NoneType, str), (dict,)), _take_defaultdict, _make_defaultdict, 2, verify=False
    ),
    Struct(10, date, (_INT,), lambda item: (item.toordinal(),), date.fromordinal, verify=False),
    Struct(11, time, (_INT, _INT, _ZONES), _take_time, _make_time, verify=False),
    Struct(12, datetime, (_INT, _INT, _ZONES), _take_datetime, _make_datetime, verify=False),
    Struct(13, timedelta, (_INT, _INT, _INT), lambda item: (item.days, item.seconds, item.microseconds), timedelta),
    Struct(14, timezone, ((timedelta,), (NoneType, str)), _take_timezone, _make_timezone, verify=False),
    Struct(15, zoneinfo.ZoneInfo, _TEXT, _take_zoneinfo, _make_zoneinfo, verify=False),
    Struct(16, Decimal, _TEXT, take_decimal, make_decimal, 1, check=check_decimal, worth=decimal_worth),
    Struct(
        17,
        Fraction,
        (_INT, _INT),
        lambda item: (item.numerator, item.denominator),
        make_fraction,
        worth=fraction_worth,
    ),
    Struct(18, uuid.UUID, ((bytes,),), lambda item: (item.bytes,), lambda raw: uuid.UUID(bytes=raw), 1, verify=False),
    _text_row(19, ipaddress.IPv4Address, 1),
    _text_row(20, ipaddress.IPv6Address, 1),
    _text_row(21, ipaddress.IPv4Network, 6),
    _text_row(22, ipaddress.IPv6Network, 6),
    _text_row(23, ipaddress.IPv4Interface, 9),
    _text_row(24, ipaddress.IPv6Interface, 9),
    _text_row(25, pathlib.PurePosixPath, 5, _LONGEST_PATH),
    _text_row(26, pathlib.PureWindowsPath, 5, _LONGEST_PATH),
    Struct(27, arrays.array, ((str,), _INT, (bytes,)), arrays.take_array, arrays.make_array, 1, verify=False),
    _NUMPY_ARRAY,
    _NUMPY_SCALAR,
)

SURROGATES = STRUCTS[2]
BY_CODE = {row.code: row for row in STRUCTS}
BY_CLASS: dict[type, Struct] = {row.cls: row for row in STRUCTS if row.cls is not None}
FRACTION = BY_CLASS[Fraction]


def make_struct(row: Struct, children: list[Any], limits: Limits, room: int) -> tuple[Any, int]:
    """Put an object together from what came for it, and say how many items it is worth beside its cost; raises
    `Malformed` or `OverBudget`, and nothing else.
    """
    for child, allowed in zip(children, row.shapes, strict=True):
        if allowed is not None and type(child) not in allowed:
            raise Malformed(f"a part of a {_name(row)} is a {type(child).__name__}")
    worth = hold_items(row.worth_of(tuple(children)), room, limits.value_items)
    try:
        if row.check is not None:
            row.check(tuple(children), limits)
        made = row.make(*children)
        if row.verify:
            again = row.take(made)
            if again != tuple(children) or list(map(type, again)) != list(map(type, children)):
                raise Malformed(f"a {_name(row)} is not spelled in its one way")
    except Unsendable:  # its one spelling is too long
        raise Malformed(f"a {_name(row)} is not spelled in its one way") from None
    except _FAILURES as error:
        raise Malformed(f"the parts make no {_name(row)}") from error
    return made, worth


def make_structs(row: Struct, columns: list[list[Any]], limits: Limits, room: int) -> tuple[list[Any], int]:
    """Put a table of them together from the columns of their parts; raises as `make_struct` does."""
    for column, allowed in zip(columns, row.shapes, strict=True):
        if allowed is None or not set(map(type, column)).issubset(allowed):
            raise Malformed(f"a column of a table of {_name(row)} holds another type")
    worth = 0 if row.worth is None else hold_items(sum(map(row.worth, *columns)), room, limits.value_items)
    try:
        if row.check is not None:
            for parts in zip(*columns, strict=True):
                row.check(parts, limits)
        made = list(map(row.make, *columns))
        if row.verify and list(map(row.take, made)) != list(zip(*columns, strict=True)):
            raise Malformed(f"a {_name(row)} is not spelled in its one way")
    except Unsendable:  # its one spelling is too long
        raise Malformed(f"a {_name(row)} is not spelled in its one way") from None
    except _FAILURES as error:
        raise Malformed(f"the parts make no {_name(row)}") from error
    return made, worth


_FAILURES = (ArithmeticError, ValueError, TypeError, KeyError, OSError)


def _name(row: Struct) -> str:
    return row.cls.__name__ if row.cls is not None else {3: "str", 28: "numpy array", 29: "numpy scalar"}[row.code]
