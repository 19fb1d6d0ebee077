"""Values: whatever bytes come, they are a value whose one encoding they are, within its budgets, or `BadValue`.

Where the compiled loops run, three inputs of four are decoded and encoded by those in Python as well, under the usual
budgets or under one that is drawn: the same value, or the same words.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

from fuzz.splits import draw, pieces
from netstructer.codec import decoder, encoder
from netstructer.codec.acceleration import CHOICE
from netstructer.codec.refusals import OverBudget, Unsendable
from netstructer.codec.types import Types
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue
from netstructer.limits import Limits

TYPES = Types()
BUDGETS = (
    Limits.SMALL,
    *(replace(Limits.SMALL, value_items=items) for items in (16, 17, 20, 40, 90)),
    *(replace(Limits.SMALL, value_depth=depth) for depth in (1, 2, 3, 4)),
    *(replace(Limits.SMALL, unseeded_members=members) for members in (1, 2, 5)),
    replace(Limits.SMALL, value_bytes=1024),
    replace(Limits.SMALL, int_bits=64, decimal_digits=32, decimal_exponent=32),
)
"""Under which the two codecs are compared."""


@TYPES.register
@dataclass(frozen=True)
class Point:
    """A record that can be a key."""

    x: Any
    y: Any


@TYPES.register
class Pair(NamedTuple):
    """A record that is a tuple."""

    first: Any
    second: Any


@TYPES.register
class Colour(Enum):
    """Members by name."""

    RED = 1
    GREEN = 2


VALUES: tuple[Any, ...] = (
    ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)],
    [None, 0.5, float("nan"), -(1 << 40), 1 << 80, "\xe9" * 20, "\ud800", b"x" * 300, bytearray(b"y")],
    [{"id": number, "tags": ["a"] * (number % 3), "ok": None} for number in range(20)],
    [(number, str(number), number / 3) for number in range(20)],
    [Point(number, [number]) for number in range(16)],
    {(number, "x"): {number} for number in range(20)},
    [None, "x"] * 10,
    [True, False, True] * 10,
    [-5] * 20 + [300],
    set(range(100, 130)),
    frozenset({frozenset({1, "x"}), (1, 2), Point(1, 2), None}),
    tuple(map(str, range(20))),
    [deque([1], 3), OrderedDict(a=1), Counter("abc"), defaultdict(list), slice(1, None), range(9), 1j, ...],
    [date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC), timedelta(5), Decimal("1.50"), Fraction(1, 3), UUID(int=7)],
    [ip_address("192.0.2.1"), ip_network("2001:db8::/32"), PurePosixPath("/a"), Pair(1, 2), Colour.RED],
)


@cache
def seeds() -> list[bytes]:
    """Return the encodings of values of every kind, and of the parts of those values."""
    parts = [part for value in VALUES for part in (value, *(value if isinstance(value, list) else ()))]
    return [b"".join(encode(part, types=TYPES).buffers) for part in parts]


def one(data: bytes) -> None:
    """Decode the bytes whole and in a split; hold both to the law of the format."""
    whole, fault = _read(data)
    if draw(data) >> 3 & 3 and CHOICE.compiled is not None:
        _compare(CHOICE.compiled, data, whole)
    again, fault_in_pieces = _read(_parts(data))

    assert fault == fault_in_pieces, f"the pieces make a difference: {fault!r}, {fault_in_pieces!r}"
    if fault:
        assert ", at byte " in fault, "an error does not say where"
        return
    for value in (whole, again):
        encoded = encode(value, limits=Limits.SMALL, types=TYPES)
        assert b"".join(encoded.buffers) == data, "a value has a second encoding"


def _parts(data: bytes) -> Any:
    """Return the input as something that is not one piece of bytes: in a split, or in another kind of buffer."""
    how = draw(data) & 7
    if how == 0:
        third = len(data) // 3
        return data[:third], data[third : 2 * third], data[2 * third :]
    if how == 1:
        return bytearray(data)
    if how == 2:
        return [memoryview(bytearray(piece)) for piece in pieces(data)]
    return pieces(data)


def _compare(compiled: Any, data: bytes, value: Any) -> None:
    """Decode and encode in both codecs; `value` is what was decoded before, or `None`."""
    drawn = draw(data) >> 5
    limits = BUDGETS[drawn % len(BUDGETS)] if drawn & 1 << 20 else Limits.SMALL
    for cut in (False, True):
        found = [_decoded(codec.decode_value, _parts(data) if cut else data, limits) for codec in (compiled, decoder)]
        assert found[0] == found[1], f"the compiled decoder and the one in Python differ: {found}"
    found = [_encoded(codec.encode_value, value, limits) for codec in (compiled, encoder)]
    assert found[0] == found[1], f"the compiled encoder and the one in Python differ: {found}"


def _decoded(decode_value: Any, source: Any, limits: Limits) -> Any:
    """Return the text of the fault, or the bytes that the value is in Python."""
    try:
        value = decode_value(source, limits, TYPES, ())
    except BadValue as error:
        return str(error)
    return _encoded(encoder.encode_value, value, limits)


def _encoded(encode_value: Any, value: Any, limits: Limits) -> Any:
    try:
        return list(map(bytes, encode_value(value, limits, TYPES).buffers))
    except (OverBudget, Unsendable) as error:
        return type(error), str(error)


def _read(source: Any) -> tuple[Any, str]:
    """Return the value and no fault, or no value and the text of the fault."""
    try:
        return decode(source, limits=Limits.SMALL, types=TYPES), ""
    except BadValue as error:
        return None, str(error)
