"""Cells: what may stand in a report, and rows of it under columns.  Floor: SERVICES.

Law: facts for people, no payloads.

A report is read by somebody else, later, elsewhere.  So only what has one plain reading goes into it: text, numbers,
times, addresses, and lists of them.  Bytes, mappings and objects are refused by name of their column: what an object
would say of itself may be anything, a secret included.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import chain
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID

from netstructer.address import Address
from netstructer.errors import InvalidReport
from netstructer.services.printing import cut, one_line

__all__ = ["Cell", "Report", "Row", "Table", "plain", "shown", "table_of"]

Row = Mapping[str, object]
Cell = None | bool | int | float | str | list[Any]
"""What a value of a row comes to: what JSON has words for."""

MOST_COLUMNS = 256
"""Of one report: what a spreadsheet shows in letters of one or two."""
COLUMN_CHARACTERS = 64
INT_BITS = 4_096
"""Of one number: longer ones are keys, not facts, and Python writes none of more than 14,000 bits."""

_AS_TEXT = (Decimal, Fraction, UUID, IPv4Address, IPv6Address, IPv4Network, IPv6Network, PurePath, Address)
_LISTS = (list, tuple, set, frozenset)


@dataclass(frozen=True, slots=True)
class Report:
    """Rows that are ready to be written, with the columns that they have even where there are none of them."""

    kind: str
    columns: tuple[str, ...]
    rows: Iterable[Row]


class Table(NamedTuple):
    """Columns, and rows that have a cell for each."""

    columns: tuple[str, ...]
    rows: Iterator[list[Cell]]


def table_of(rows: Row | Iterable[Row], columns: Sequence[str] | None = None) -> Table:
    """Return a mapping, or some, as a table.

    The columns are the keys of all rows, in the order in which they are met, and a row without one of them has None
    there; all rows are looked at for that.  With `columns` rows are taken as they come, and may have no other keys.
    Raises `InvalidReport`, for a row when that row is asked for.
    """
    given: Iterable[Row] = [rows] if isinstance(rows, Mapping) else rows
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidReport(f"expected a mapping or a list of them, found a {type(given).__name__}")
    if columns is None:
        given = [_checked(row) for row in given]
        columns = list(dict.fromkeys(chain.from_iterable(given)))
    names = tuple(_name(column) for column in columns)
    if len(set(names)) != len(names) or not 1 <= len(names) <= MOST_COLUMNS:
        raise InvalidReport(f"expected 1 to {MOST_COLUMNS} columns, each once, found {len(names)}")
    return Table(names, (_cells(_checked(row), names) for row in given))


def plain(value: object) -> Cell:
    """Return what a value comes to in a report.  Raises `InvalidReport`."""
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int) and value.bit_length() <= INT_BITS:
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, _LISTS):
        found = [plain(part) for part in value]
        return sorted(found, key=str) if isinstance(value, set | frozenset) else found
    raise InvalidReport(f"expected text, a number, a time, an address or a list of such, found {_kind(value)}")


def _cells(row: Row, columns: tuple[str, ...]) -> list[Cell]:
    others = [name for name in row if name not in columns]
    if others:
        raise InvalidReport(f"expected the columns {shown(columns)}, found another: {shown(others[:1])}")
    return [_cell(name, row.get(name)) for name in columns]


def _cell(name: str, value: object) -> Cell:
    try:
        return plain(value)
    except InvalidReport as error:
        raise InvalidReport(f"column {shown([name])}: {error}") from None
    except RecursionError:
        raise InvalidReport(f"column {shown([name])}: lists in lists without end") from None


def _checked(row: object) -> Row:
    if not isinstance(row, Mapping):
        raise InvalidReport(f"expected a mapping for each row, found a {type(row).__name__}")
    return row


def _name(column: object) -> str:
    fits = isinstance(column, str) and 1 <= len(column) <= COLUMN_CHARACTERS
    if not isinstance(column, str) or not fits or not column.isprintable() or column != column.strip():
        raise InvalidReport(f"expected names of columns of 1 to {COLUMN_CHARACTERS} printable characters")
    return column


def _kind(value: object) -> str:
    return f"an int of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


def shown(columns: Iterable[object]) -> str:
    """Return names as an error may print them."""
    return ", ".join(one_line(cut(str(name), COLUMN_CHARACTERS)) for name in columns)
