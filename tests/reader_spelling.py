"""The one spelling of a value, by docs/values.md alone: what a second reader of values holds an encoding against.

Law: nothing of netstructer is imported here.  The form of a list depends on its items, the order of a set on their
encodings; the first form that fits is the only one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from reader_structs import CODES, NONE, STRUCTS, Applied, Array, Reference

MANY = 16
"""Items from which on a container has a tag without a count."""
IN_TABLES = {2, 4, *range(10, 27)}
"""Codes of the structs that are rows of tables."""


def length(count: int) -> bytes:
    width = (count.bit_length() + 7) // 8
    return bytes([count]) if count < 248 else bytes([247 + width]) + count.to_bytes(width)


def short(text: str) -> bytes:
    return bytes([len(text.encode())]) + text.encode()


def write(value: Any) -> bytes:
    """Return the one encoding of a value."""
    kind = type(value)
    if kind in WRITERS:
        return WRITERS[kind](value)
    code = 27 if kind is Array and len(value.parts) == 3 else CODES[kind]
    return bytes([0xFF, code]) + b"".join(map(write, STRUCTS[code].apart(value)))


def write_int(value: int) -> bytes:
    width = (value if value >= 0 else ~value).bit_length() // 8 + 1
    if -16 <= value < 128:
        return bytes([value & 0xFF if value >= 0 else value + 0xE0])
    return (bytes([0xDF + width]) if width < 9 else b"\xe8" + length(width)) + value.to_bytes(width, signed=True)


def write_float(value: float) -> bytes:
    return b"\xe9" + (struct.pack(">d", value) if value == value else bytes.fromhex("7ff8000000000000"))


def write_text(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return b"\xff\3" + b"".join(map(write, STRUCTS[3].apart(value)))
    return (bytes([0xA0 + len(data)]) if len(data) < 32 else b"\xed" + length(len(data))) + data


def write_dict(value: dict[Any, Any]) -> bytes:
    if len(value) < MANY:
        return bytes([0x80 + len(value)]) + b"".join(map(write, chain(*value.items())))
    return b"\xf5" + write([*value]) + write([*value.values()])


def write_set(value: Any) -> bytes:
    tag, members = 0xF1 if type(value) is set else 0xF3, list(value)
    if len(members) >= MANY and write(members)[0] == 0xF6 and type(members[0]) in (int, str):
        return bytes([tag + 1]) + write(sorted(members))
    return bytes([tag]) + length(len(members)) + b"".join(sorted(map(write, members)))


def write_tuple(value: tuple[Any, ...]) -> bytes:
    if len(value) < MANY:
        return bytes([0xC0 + len(value)]) + b"".join(map(write, value))
    return b"\xf0" + write([*value])


def write_blob(value: Reference) -> bytes:
    name = b"\0" if value.name is None else length(len(value.name.encode()) + 1) + value.name.encode()
    return b"\xfd" + length(value.size) + name


def write_applied(value: Applied) -> bytes:
    return bytes([value.tag]) + named(value) + b"".join(map(write, value.parts))


def named(value: Applied) -> bytes:
    names = value.shape.names
    fields = bytes([len(names)]) + b"".join(map(short, names)) if value.tag == 0xFA else b""
    return short(value.name) + fields


def write_list(value: list[Any]) -> bytes:
    if len(value) < MANY:
        return bytes([0x90 + len(value)]) + b"".join(map(write, value))
    for form in (run_of, holes_of, rows_of):
        if (found := form(value, {*map(type, value)})) is not None:
            return found
    return b"\xef" + length(len(value)) + b"".join(map(write, value))


def run_of(items: list[Any], kinds: set[type]) -> bytes | None:
    kind, packed = None, b""
    if kinds == {int}:
        least, most = min(items), max(items)
        signed = least < 0
        widths = [at for at in range(4) if -(1 << (8 << at) - 1) <= least and most < 1 << (8 << at) - signed]
        if not widths:
            return None
        kind = widths[0] + 4 * signed
        packed = struct.pack(f"<{len(items)}{'BHIQbhiq'[kind]}", *items)
    elif kinds == {float}:
        kind, packed = 8, b"".join(write_float(item)[:0:-1] for item in items)
    elif kinds == {bool}:
        kind, packed = 9, bits_of(items)
    elif kinds == {NONE}:
        kind = 10
    elif kinds == {str} and all("\0" not in item and write(item)[0] != 0xFF for item in items):
        joined = "\0".join(items).encode()
        kind, packed = 11, length(len(joined)) + joined
    return None if kind is None else bytes([0xF6, kind]) + length(len(items)) + packed


def bits_of(items: list[Any]) -> bytes:
    return sum(1 << at for at, item in enumerate(items) if item).to_bytes((len(items) + 7) // 8, "little")


def holes_of(items: list[Any], kinds: set[type]) -> bytes | None:
    if NONE not in kinds or len(kinds) != 2 or not kinds & {int, float, bool, str}:
        return None
    present = [item is not None for item in items]
    return b"\xf9" + length(len(items)) + bits_of(present) + write([item for item in items if item is not None])


def rows_of(items: list[Any], kinds: set[type]) -> bytes | None:
    """Return a table or ragged rows."""
    kind, first = type(items[0]), items[0]
    if len(kinds) > 1:
        return None
    if kind is dict:
        keys = list(first)
        fits = keys and {*map(type, keys)} == {str} and all(list(item) == keys for item in items)
        shape = b"\2" + length(len(keys)) + b"".join(map(write, keys))
        return table_of(shape, [item.values() for item in items]) if fits else None
    if kind in (list, tuple):
        sizes = [len(item) for item in items]
        form = bytes([kind is tuple])
        if sum(sizes) > 64 * len(items):
            return None
        if len({*sizes}) == 1 and sizes[0]:
            return table_of(form + length(sizes[0]), items)
        return b"\xf8" + form + write(sizes) + write([*chain(*items)])
    if kind is Applied:
        fits = first.tag == 0xFA and first.parts and all((item.tag, item.name) == (0xFA, first.name) for item in items)
        return table_of(b"\3" + named(first), [item.parts for item in items]) if fits else None
    code = CODES.get(kind)
    return table_of(bytes([4, code]), map(STRUCTS[code].apart, items)) if code in IN_TABLES else None


def table_of(shape: bytes, rows: Iterable[Iterable[Any]]) -> bytes:
    return b"\xf7" + shape + b"".join(write([*column]) for column in zip(*rows, strict=True))


WRITERS: dict[type, Callable[[Any], bytes]] = {
    NONE: lambda _: b"\xea",
    bool: lambda value: b"\xec" if value else b"\xeb",
    int: write_int,
    float: write_float,
    str: write_text,
    bytes: lambda value: b"\xee" + length(len(value)) + value,
    bytearray: lambda value: b"\xfe" + length(len(value)) + value,
    list: write_list,
    tuple: write_tuple,
    dict: write_dict,
    set: write_set,
    frozenset: write_set,
    Applied: write_applied,
    Reference: write_blob,
}
