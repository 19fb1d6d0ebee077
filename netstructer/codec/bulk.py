"""Bulk forms: large lists of one kind of item, in and out with no interpreted step per item.  Floor: CODEC.

Spec: docs/values.md, "Lists".  Law: which form a list takes is a function of the list alone (`classify`), so that a
value has one encoding.  The decoder builds bulk forms directly, and asks `classify` of every longer list that came item
by item.

    run      ints of one width, floats, bools (bits), Nones (a count), texts (joined with U+0000)
    holes    a run with Nones in it: a bit for each item, then the items that are there
    table    rows of one shape, turned: one list for each column, and each column takes its own form
    ragged   lists of different lengths: their lengths, then all their items as one list
"""

from __future__ import annotations

import sys
from array import array
from itertools import accumulate, chain, pairwise, repeat
from operator import contains, itemgetter
from types import NoneType
from typing import Any

from netstructer.codec.refusals import Malformed
from netstructer.codec.structs import BY_CLASS
from netstructer.codec.tags import (
    CANONICAL_NAN,
    HOLES,
    INT_CODES,
    RAGGED,
    ROWS_DICT,
    ROWS_LIST,
    ROWS_RECORD,
    ROWS_STRUCT,
    ROWS_TUPLE,
    RUN,
    RUN_BOOLS,
    RUN_FLOATS,
    RUN_NONES,
    RUN_TEXTS,
    TABLE,
    WIDE_ROW,
    length_bytes,
)
from netstructer.codec.types import RECORD_LAYOUT, Types

__all__ = ["classify", "has_bulk_form", "pack_run", "unpack_run"]

_SWAP = sys.byteorder == "big"
_LITTLE_NAN = CANONICAL_NAN[::-1]
_HOLED = (int, float, bool, str)

Form = tuple[int, Any]
"""What `classify` found: a tag, and what packing needs to know."""


def classify(items: list[Any], types: Types) -> Form | None:
    """Return the bulk form that a list of 16 items or more must take, or `None` if it goes item by item."""
    kinds = set(map(type, items))
    if len(kinds) > 1:
        if len(kinds) == 2 and NoneType in kinds:
            kinds.discard(NoneType)
            return (HOLES, None) if kinds.pop() in _HOLED else None
        return None
    kind = kinds.pop()
    if kind is str:
        return _classify_texts(items)
    if kind is int:
        packed = pack_ints(items)
        return None if packed is None else (RUN, packed)
    if kind is float:
        return RUN, RUN_FLOATS
    if kind is dict:
        return _classify_dicts(items)
    if kind is list or kind is tuple:
        return _classify_sequences(items, ROWS_LIST if kind is list else ROWS_TUPLE)
    if kind is bool:
        return RUN, RUN_BOOLS
    if kind is NoneType:
        return RUN, RUN_NONES
    entry = types.of_class(kind)
    if entry is not None and entry.layout == RECORD_LAYOUT and entry.fields:
        return TABLE, (ROWS_RECORD, entry)
    row = BY_CLASS.get(kind)
    if row is not None and row.scalar:
        return TABLE, (ROWS_STRUCT, row)
    return None


def has_bulk_form(items: list[Any], types: Types) -> bool:
    """Return whether a list of 16 items or more has a bulk form, without making one.

    For a decoder: the texts of a list that came one by one, joined, may take four times the memory that they do.
    """
    return _are_run_texts(items) if set(map(type, items)) == {str} else classify(items, types) is not None


def pack_ints(items: list[int]) -> tuple[int, array[int]] | None:
    """Return the kind of a run and the ints packed for it, or `None` if 64 bits do not hold them all.

    Unsigned kinds are tried from the narrowest on: packing stops at the first int that does not fit, which comes
    earlier than the end of a search for the largest.  Only a negative one makes that search worth while.
    """
    for kind in range(4):
        try:
            return kind, array(INT_CODES[kind], items)
        except OverflowError:
            if items[0] < 0:
                break
    low, high = min(items), max(items)
    for kind in range(4, 8):
        if low < 0 and -1 - low < _SIGNED[kind] and high < _SIGNED[kind]:
            return kind, array(INT_CODES[kind], items)
    return None


_SIGNED = {kind: 1 << 8 * array(INT_CODES[kind]).itemsize - 1 for kind in range(4, 8)}


def _is_narrowest(kind: int, raw: bytes, items: list[int]) -> bool:
    """Whether packed ints need their width: of unsigned ones, some upper half is not all zeros."""
    if kind == 0:
        return True
    if kind < 4:
        width = array(INT_CODES[kind]).itemsize
        return any(raw[place::width].strip(b"\0") for place in range(width // 2, width))
    low, high = min(items), max(items)
    return low < 0 and (kind == 4 or not (-1 - low < _SIGNED[kind - 1] and high < _SIGNED[kind - 1]))


def is_set_run(members: list[Any]) -> bool:
    """Return whether the members of a set, 16 or more, go as a run: all ints of 64 bits, or all texts of a run."""
    kinds = set(map(type, members))
    if kinds == {int}:
        return pack_ints(members) is not None
    return kinds == {str} and _are_run_texts(members)


def _are_run_texts(items: list[str]) -> bool:
    """Whether texts make a run: none holds a NUL, and UTF-8 holds all."""
    return not any(map(contains, items, repeat("\0"))) and all(map(_is_utf8, items))


def _classify_texts(items: list[str]) -> Form | None:
    joined = "\0".join(items)
    if joined.count("\0") != len(items) - 1:
        return None
    return (RUN, joined) if _is_utf8(joined) else None


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _classify_dicts(items: list[dict[Any, Any]]) -> Form | None:
    if len(set(map(len, items))) > 1 or not items[0]:
        return None
    keys = tuple(items[0])
    if set(map(type, keys)) != {str} or len(set(map(tuple, items))) > 1:
        return None
    # A row whose keys are equal to these may still have keys that are not exactly str.
    if set(map(type, chain.from_iterable(items))) != {str}:
        return None
    return TABLE, (ROWS_DICT, keys)


def _classify_sequences(items: list[Any], rows: int) -> Form | None:
    lengths = list(map(len, items))
    total = sum(lengths)
    if total > WIDE_ROW * len(items):
        return None
    if lengths[0] and len(set(lengths)) == 1:
        return TABLE, (rows, lengths[0])
    return RAGGED, (rows, lengths, total)


# --- runs -------------------------------------------------------------------------------------------------------------


def pack_run(items: list[Any], detail: Any) -> tuple[bytes, bytes | memoryview]:
    """Return the head and the packed items of a run; `detail` is what `classify` gave with it."""
    count = length_bytes(len(items))
    if type(detail) is str:
        raw = detail.encode()
        return bytes((RUN, RUN_TEXTS)) + count + length_bytes(len(raw)), raw
    if type(detail) is tuple:
        return bytes((RUN, detail[0])) + count, _raw(detail[1])
    head = bytes((RUN, detail)) + count
    if detail == RUN_FLOATS:
        total = sum(items)
        if total != total:  # some nan, or opposite infinities
            items = [item if item == item else _NAN for item in items]
        return head, _raw(array("d", items))
    if detail == RUN_BOOLS:
        return head, pack_bits(items)
    return head, b""


def run_bytes(kind: int, count: int) -> int:
    """Return how many bytes the packed items of a run take (texts state theirs); raises `Malformed` if unknown."""
    if kind < RUN_FLOATS:
        return count * array(INT_CODES[kind]).itemsize
    if kind == RUN_FLOATS:
        return count * 8
    if kind == RUN_BOOLS:
        return (count + 7) // 8
    if kind == RUN_NONES:
        return 0
    raise Malformed(f"run kind {kind} is unknown")


def unpack_run(kind: int, count: int, raw: bytes) -> list[Any]:
    """Make the list of a run; raises `Malformed` if it is not in its one form."""
    if kind == RUN_TEXTS:
        if raw.count(0) != count - 1:
            raise Malformed(f"a run of {count} texts holds another number of them")
        return raw.decode().split("\0")
    if kind < RUN_FLOATS:
        items = list(raw) if kind == 0 else _items(INT_CODES[kind], raw)
        if not _is_narrowest(kind, raw, items):
            raise Malformed("a run of ints is wider than it need be")
        return items
    if kind == RUN_FLOATS:
        floats: list[Any] = _items("d", raw)
        total = sum(floats)
        if total != total and any(
            item != item and raw[8 * place : 8 * place + 8] != _LITTLE_NAN for place, item in enumerate(floats)
        ):
            raise Malformed("a nan is not the one nan")
        return floats
    if kind == RUN_BOOLS:
        return unpack_bits(raw, count)
    return [None] * count


_NAN = float("nan")


def _raw(packed: array[Any]) -> memoryview:
    if _SWAP:
        packed.byteswap()
    return memoryview(packed).cast("B")


def _items(code: str, raw: bytes) -> list[Any]:
    packed = array(code)
    packed.frombytes(raw)
    if _SWAP:
        packed.byteswap()
    return packed.tolist()


# --- bits: eight to a byte, the first item in the lowest bit ----------------------------------------------------------

_DIGITS = bytes((48, 49)) + bytes(254)
_EIGHTS = tuple(tuple(bool(byte >> bit & 1) for bit in range(8)) for byte in range(256))


def pack_bits(items: list[bool]) -> bytes:
    """Pack bools; the number is read from its binary digits, which `int` does in linear time."""
    digits = bytes(items)[::-1].translate(_DIGITS)
    return int(digits, 2).to_bytes((len(items) + 7) // 8, "little")


def unpack_bits(raw: bytes, count: int) -> list[bool]:
    """Unpack `count` bools; raises `Malformed` if a spare bit is set."""
    bits = list(chain.from_iterable(map(_EIGHTS.__getitem__, raw)))
    if any(bits[count:]):
        raise Malformed("a spare bit is set")
    del bits[count:]
    return bits


def fill_holes(present: list[bool], items: list[Any]) -> list[Any]:
    """Put `items` where `present` says, and None elsewhere; raises `Malformed` unless that is the form for such a
    list."""
    if present.count(True) != len(items) or not items or all(present):
        raise Malformed("the items of a list with holes do not fit its bits")
    if len(kinds := set(map(type, items))) != 1 or kinds.pop() not in _HOLED:
        raise Malformed("a list with holes holds items that take no such form")
    rest = iter(items)
    return [next(rest) if there else None for there in present]


# --- rows -------------------------------------------------------------------------------------------------------------


def columns(rows: list[Any], places: Any) -> list[list[Any]]:
    """Return one list for each place (an index or a key) of the rows."""
    return [list(map(itemgetter(place), rows)) for place in places]


def make_rows(kind: int, keys: tuple[str, ...], turned: list[list[Any]]) -> list[Any]:
    """Turn columns of one length into rows: lists, tuples, or dicts with these keys."""
    if kind == ROWS_TUPLE:
        return list(zip(*turned, strict=True))
    if kind == ROWS_LIST:
        return list(map(list, zip(*turned, strict=True)))
    return _dicts(keys, turned)


def _dicts(keys: tuple[str, ...], turned: list[list[Any]]) -> list[dict[str, Any]]:
    """Dicts from columns.  A literal with its keys in variables takes half the time of `dict(zip(...))` a row."""
    match keys:
        case (a,):
            return [{a: v} for v in turned[0]]
        case (a, b):
            return [{a: v, b: w} for v, w in zip(*turned, strict=True)]
        case (a, b, c):
            return [{a: v, b: w, c: x} for v, w, x in zip(*turned, strict=True)]
        case (a, b, c, d):
            return [{a: v, b: w, c: x, d: y} for v, w, x, y in zip(*turned, strict=True)]
        case (a, b, c, d, e):
            return [{a: v, b: w, c: x, d: y, e: z} for v, w, x, y, z in zip(*turned, strict=True)]
        case (a, b, c, d, e, f):
            return [{a: u, b: v, c: w, d: x, e: y, f: z} for u, v, w, x, y, z in zip(*turned, strict=True)]
        case (a, b, c, d, e, f, g):
            return [{a: t, b: u, c: v, d: w, e: x, f: y, g: z} for t, u, v, w, x, y, z in zip(*turned, strict=True)]
        case (a, b, c, d, e, f, g, h):
            return [
                {a: s, b: t, c: u, d: v, e: w, f: x, g: y, h: z} for s, t, u, v, w, x, y, z in zip(*turned, strict=True)
            ]
    return list(map(dict, map(zip, repeat(keys), zip(*turned, strict=True))))


def cut_rows(kind: int, lengths: list[Any], flat: list[Any]) -> list[Any]:
    """Cut one list of items into lists or tuples of these lengths; raises `Malformed` unless that is their form."""
    if set(map(type, lengths)) != {int} or min(lengths) < 0 or sum(lengths) != len(flat):
        raise Malformed("the lengths of ragged rows do not fit their items")
    if len(flat) > WIDE_ROW * len(lengths):
        raise Malformed("ragged rows are too long to be flattened")
    if lengths[0] and len(set(lengths)) == 1:
        raise Malformed("rows of one length are a table")
    rows = [flat[start:stop] for start, stop in pairwise(accumulate(lengths, initial=0))]
    return rows if kind == ROWS_LIST else list(map(tuple, rows))
