"""The heads of nodes: lengths, counts, names, and what a rarer container will need to be closed.  Floor: CODEC.

Law: a head is read whole or not at all.  Where bytes are missing, `IndexError` or `Short` says so, and nothing has
changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netstructer.codec.blob import Blob
from netstructer.codec.bulk import run_bytes, unpack_bits
from netstructer.codec.closing import (
    CLOSE_CUSTOM,
    CLOSE_HOLES,
    CLOSE_LONG_DICT,
    CLOSE_LONG_LIST,
    CLOSE_LONG_TUPLE,
    CLOSE_MEMBER,
    CLOSE_RAGGED,
    CLOSE_RECORD,
    CLOSE_SET_RUN,
    CLOSE_STRUCT,
    CLOSE_TABLE,
)
from netstructer.codec.refusals import Malformed, OverBudget, hold_items
from netstructer.codec.structs import struct_of_code
from netstructer.codec.tags import (
    BULK_FROM,
    CUSTOM,
    DICT,
    DICT_COST,
    FROZENSET_RUN,
    HOLES,
    LENGTH_WIDE,
    LIST,
    MEMBER,
    RAGGED,
    RECORD,
    RECORD_COST,
    ROWS_DICT,
    ROWS_LIST,
    ROWS_RECORD,
    ROWS_STRUCT,
    ROWS_TUPLE,
    RUN_TEXTS,
    SET_COST,
    SET_RUN,
    STRUCT,
    TABLE,
    TUPLE,
    WIDE_ROW,
)
from netstructer.codec.types import CUSTOM_LAYOUT, MEMBER_LAYOUT, RECORD_LAYOUT, Entry, Types

__all__ = ["Short", "big_int", "is_weighty", "open_container", "read_blob", "read_length", "run_head"]

from_bytes = int.from_bytes


class Short(Exception):
    """The bytes at hand end before index `need`, which the node at hand reaches to."""

    def __init__(self, need: int) -> None:
        self.need = need


def read_length(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Read a length in its one form; return it and where it ends."""
    first = data[position]
    if first < LENGTH_WIDE:
        return first, position + 1
    width = first - (LENGTH_WIDE - 1)
    stop = position + 1 + width
    if stop > end:
        raise Short(stop)
    length = from_bytes(data[position + 1 : stop], "big")
    if length < LENGTH_WIDE or length >> 8 * (width - 1) == 0:
        raise Malformed("a length is longer than it need be")
    return length, stop


def _long_length(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Read the count of something that is only for 16 items and more."""
    length, stop = read_length(data, position, end)
    if length < BULK_FROM:
        raise Malformed(f"a form for {BULK_FROM} items and more holds {length}")
    return length, stop


def run_head(data: bytes, position: int, end: int, room: int, most: int) -> tuple[int, int, int, int]:
    """Return the kind of a run, its count, how many bytes its items take, and where they start."""
    run = data[position + 1]
    count, start = _long_length(data, position + 2, end)
    hold_items(count, room, most)
    if run == RUN_TEXTS:
        size, start = read_length(data, start, end)
        return run, count, size, start
    return run, count, run_bytes(run, count), start


def big_int(raw: bytes, most_bits: int) -> int:
    """Read an int of more than 8 bytes."""
    number = from_bytes(raw, "big", signed=True)
    if len(raw) <= 8 or (number if number >= 0 else ~number).bit_length() // 8 + 1 != len(raw):
        raise Malformed("an int is longer than it need be")
    if number.bit_length() > most_bits:
        raise OverBudget("int_bits", "bits in an int", most_bits, number.bit_length())
    return number


def read_blob(data: bytes, position: int, end: int, blobs: Sequence[Blob], place: int) -> tuple[Blob, int]:
    """Read a reference to a blob; return that blob, under the name it was sent with, and where the reference ends."""
    size, start = read_length(data, position + 1, end)
    length, start = read_length(data, start, end)
    stop = start + max(0, length - 1)
    if stop > end:
        raise Short(stop)
    name = data[start:stop].decode() if length else None
    if size > 1 << 63 or (name is not None and len(name) > 255):
        raise Malformed("a Blob's size or name is too long")
    if place >= len(blobs):
        raise Malformed(f"the value refers to more blobs than the {len(blobs)} that came with it")
    blob = blobs[place]
    if size and blob.size is not None and blob.size != size - 1:
        raise Malformed(f"a Blob of {size - 1} bytes came with {blob.size}")
    return blob.named(name, size - 1 if size else None), stop


def open_container(
    tag: int, data: bytes, position: int, end: int, types: Types, room: int, most: int
) -> tuple[int, Any, int, int, int]:
    """Read the head of a rarer container.

    Returns what it is, what closing it needs to know, how many children it has, how many items it adds, where it ends.
    `room` is how many of the `most` items there may still be: bits become a list of eight times as many items as bytes,
    so they are counted before they are made.
    """
    start = position + 1
    if tag == LIST:
        count, start = _long_length(data, start, end)
        return CLOSE_LONG_LIST, None, count, count, start
    if tag == DICT:
        return CLOSE_LONG_DICT, None, 2, DICT_COST + 2, start
    if tag == TUPLE:
        return CLOSE_LONG_TUPLE, None, 1, 1, start
    if tag in (SET_RUN, FROZENSET_RUN):
        return CLOSE_SET_RUN, tag, 1, 1 + SET_COST, start
    if tag == STRUCT:
        row = struct_of_code(data[start])
        return CLOSE_STRUCT, row, len(row.shapes), row.cost + len(row.shapes), start + 1
    if tag == TABLE:
        return _open_table(data, start, end, types)
    if tag == RAGGED:
        if data[start] not in (ROWS_LIST, ROWS_TUPLE):
            raise Malformed(f"ragged rows of kind {data[start]} are unknown")
        return CLOSE_RAGGED, data[start], 2, 2, start + 1
    if tag == HOLES:
        count, start = _long_length(data, start, end)
        hold_items(count + 1, room, most)
        stop = start + (count + 7) // 8
        if stop > end:
            raise Short(stop)
        return CLOSE_HOLES, unpack_bits(data[start:stop], count), 1, count + 1, stop
    entry, start = _entry(data, start, end, types)
    if tag == RECORD and entry.layout == RECORD_LAYOUT:
        return CLOSE_RECORD, entry, len(entry.fields), len(entry.fields) + RECORD_COST, start
    if tag == MEMBER and entry.layout == MEMBER_LAYOUT:
        return CLOSE_MEMBER, entry, 1, 1, start
    if tag == CUSTOM and entry.layout == CUSTOM_LAYOUT:
        return CLOSE_CUSTOM, entry, 1, 1 + RECORD_COST, start
    raise Malformed(f"{entry.name!r} is registered in another way at this end")


def is_weighty(tag: int, detail: Any) -> bool:
    """Whether what `open_container` has opened may be a key whose comparison costs more than that of an int, or be in
    one: a list of rows says nothing of itself, its columns do."""
    return tag in _WEIGHTY or (tag == TABLE and detail[0] in (ROWS_RECORD, ROWS_STRUCT))


_WEIGHTY = frozenset((STRUCT, RECORD, MEMBER, CUSTOM, FROZENSET_RUN))


def _open_table(data: bytes, start: int, end: int, types: Types) -> tuple[int, Any, int, int, int]:
    rows = data[start]
    start += 1
    if rows == ROWS_RECORD:
        entry, start = _entry(data, start, end, types)
        width = len(entry.fields)
        if entry.layout != RECORD_LAYOUT or not width:
            raise Malformed(f"{entry.name!r} is registered in another way at this end")
        return CLOSE_TABLE, (rows, entry), width, width, start
    if rows == ROWS_STRUCT:
        row = struct_of_code(data[start])
        if not row.scalar:
            raise Malformed(f"structs of code {row.code} make no table")
        return CLOSE_TABLE, (rows, row), len(row.shapes), len(row.shapes), start + 1
    if rows > ROWS_STRUCT:
        raise Malformed(f"a table of kind {rows} is unknown")
    width, start = read_length(data, start, end)
    if not width or (width > WIDE_ROW and rows != ROWS_DICT):
        raise Malformed(f"a table has {width} columns")
    count = 2 * width if rows == ROWS_DICT else width
    return CLOSE_TABLE, (rows, width), count, count, start


def _entry(data: bytes, start: int, end: int, types: Types) -> tuple[Entry, int]:
    """Read the name of an application type, and of a record the names of its fields, which must be those of its
    class."""
    stop = start + 1 + data[start]
    if stop > end:
        raise Short(stop)
    name = data[start + 1 : stop]
    entry = types.of_name(name)
    if entry is None:
        raise Malformed(f"the type {name.decode()!a} is not registered at this end")
    stop = start + len(entry.head)
    if stop > end:
        raise Short(stop)
    if data[start:stop] != entry.head:
        raise Malformed(f"the fields of {entry.name!r} are not those that it has at this end")
    return entry, stop
