"""How containers with a form of their own are opened.  Floor: CODEC.  The encoder's other half.

What is written first, and what the children then are.  Law: nothing is turned or flattened that would not fit the
budget, so that a small value with many shared parts cannot be blown up in memory before its items are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from netstructer.codec.bulk import Form, columns, pack_bits
from netstructer.codec.refusals import Unsendable, hold_items
from netstructer.codec.structs import Struct
from netstructer.codec.tags import (
    CUSTOM,
    DICT_COST,
    HOLES,
    MEMBER,
    RAGGED,
    RECORD,
    RECORD_COST,
    ROWS_DICT,
    ROWS_RECORD,
    ROWS_STRUCT,
    TABLE,
    length_bytes,
)
from netstructer.codec.types import CUSTOM_LAYOUT, RECORD_LAYOUT, Entry
from netstructer.limits import Limits

__all__ = ["open_entry", "open_form"]


def open_form(form: Form, rows: list[Any], room: int, limits: Limits) -> tuple[bytes, Any, int]:
    """Return the head, the children and the added items of holes, a table or ragged rows.

    `room` is how many items the budget has left.
    """
    tag, detail = form
    most = limits.value_items
    if tag == HOLES:
        present = [item is not None for item in rows]
        head = bytes((HOLES,)) + length_bytes(len(rows)) + pack_bits(present)
        return head, ([item for item in rows if item is not None],), 1
    if tag == RAGGED:
        kind, lengths, total = detail
        hold_items(total, room, most)
        return bytes((RAGGED, kind)), (lengths, list(chain.from_iterable(rows))), 2
    kind, places = detail
    if kind == ROWS_RECORD:
        entry: Entry = places
        hold_items(len(entry.fields) * len(rows), room, most)
        head = bytes((TABLE, kind)) + entry.head
        turned = list(map(list, zip(*map(_reader(entry), rows), strict=True)))
        return head, turned, len(turned) + RECORD_COST * len(rows)
    if kind == ROWS_STRUCT:
        row: Struct = places
        hold_items(len(row.shapes) * len(rows), room, most)
        if row.check is not None:
            for item in rows:
                row.check(item, limits)
        turned = list(map(list, zip(*map(row.take, rows), strict=True)))
        worth = 0 if row.worth is None else sum(map(row.worth, *turned))
        return bytes((TABLE, kind, row.code)), turned, len(turned) + row.cost * len(rows) + worth
    if kind == ROWS_DICT:
        hold_items(len(places) * len(rows), room, most)
        head = bytes((TABLE, kind)) + length_bytes(len(places))
        return head, chain(places, columns(rows, places)), 2 * len(places) + DICT_COST * len(rows)
    hold_items(places * len(rows), room, most)
    return bytes((TABLE, kind)) + length_bytes(places), columns(rows, range(places)), places


def open_entry(entry: Entry, item: Any, out: bytearray) -> tuple[Any, int]:
    """Write the head of a registered type; return its children and the items that they and it add."""
    if entry.layout == RECORD_LAYOUT:
        out.append(RECORD)
        out += entry.head
        children = _reader(entry)(item)
        return children, len(children) + RECORD_COST
    out.append(CUSTOM if entry.layout == CUSTOM_LAYOUT else MEMBER)
    out += entry.head
    if entry.layout != CUSTOM_LAYOUT:
        return (entry.read(item),), 1
    try:
        return (entry.read(item),), 1 + RECORD_COST
    except Exception as error:
        raise Unsendable(f"the to= of {entry.name} raised {type(error).__name__}") from error


def _reader(entry: Entry) -> Callable[[Any], tuple[Any, ...]]:
    def read(item: Any) -> tuple[Any, ...]:
        try:
            return entry.read(item)  # type: ignore[no-any-return]  # a record's reader gives a tuple
        except Exception as error:
            raise Unsendable(f"a field of this {entry.name} is not set or cannot be read") from error

    return read
