"""Showing: what came of a command, as lines for people, or as JSON.  Floor: SERVICES.

Law: nothing that a client, a user or a log said steers a terminal or begins a line of its own.

Rows are a table, facts are pairs; how a fact is written follows from its name: `sent_bytes` is a size, `rtt_seconds` a
time, `since` a moment.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netstructer.services.printing import cut, moment, one_line

__all__ = ["json_lines", "lines_of"]

CELL_CHARACTERS = 60
"""Of one cell of a table: six of them are a wide terminal.  Facts of one thing are shown whole."""
FACT_CHARACTERS = 4_000
"""Of one fact: some forty lines of a terminal."""
INT_BITS = 4_096
"""Of a whole number that is written out: what a client returns may have more digits than Python writes."""
_MOMENTS = {"at", "since", "until", "started", "created", "last_login", "last_attempt", "last_success", "last_error_at"}
_MOMENTS |= {"made", "changed", "next", "last_used"}
"""Facts that are moments."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def lines_of(found: Any) -> list[str]:
    """Return what people read."""
    if found is None:
        return []
    if isinstance(found, Mapping):
        return _pairs(found)
    if isinstance(found, list | tuple):
        if found and all(isinstance(row, Mapping) for row in found):
            return _table(found)
        return [_text("", value) for value in found] if found else ["none"]
    return [_text("", found)]


def json_lines(found: Any) -> list[str]:
    """Return objects of JSON, one a line: one for each row."""
    rows = found if isinstance(found, list | tuple) else [found]
    return [json.dumps(_plain(row), ensure_ascii=True) for row in rows if row is not None]


def _pairs(facts: Mapping[str, Any]) -> list[str]:
    width = max((len(_label(name)) for name in facts), default=0)
    lines = []
    for name, value in facts.items():
        if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
            lines += [f"{_label(name)}:", *(f"  {line}" for line in _table(value))]
        else:
            lines.append(f"{_label(name):<{width}}  {cut(_text(name, value), FACT_CHARACTERS)}".rstrip())
    return lines


def _table(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    found = list(rows)
    columns = list(dict.fromkeys(name for row in found for name in row))
    heads = [_label(name) for name in columns]
    cells = [[cut(_text(name, row.get(name)), CELL_CHARACTERS) for name in columns] for row in found]
    widths = [max(len(row[place]) for row in [heads, *cells]) for place in range(len(columns))]
    return [_row(row, widths) for row in [heads, *cells]]


def _row(cells: list[str], widths: list[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _label(name: str) -> str:
    """Return the name of a fact, without the unit that its value shows."""
    for unit in ("_bytes_per_second", "_seconds", "_bytes"):
        if name.endswith(unit) and name != unit:
            name = name.removesuffix(unit) + (" rate" if "per_second" in unit else "")
    return one_line(name.replace("_", " "))


def _text(name: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(name, value)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_text("", item) for item in value) or "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{one_line(str(key))}={_text('', item)}" for key, item in value.items()) or "-"
    return one_line(str(value))


def _number(name: str, value: float) -> str:
    if isinstance(value, int) and value.bit_length() > INT_BITS:
        return f"a whole number of {value.bit_length():,} bits"
    if name in _MOMENTS:
        return moment(value, places=0)
    if name.endswith("_bytes_per_second"):
        return f"{_size(value)}/s"
    if name.endswith("_bytes"):
        return _size(value)
    if name == "seconds" or name.endswith("_seconds"):
        return _time(value)
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return str(value)


def _size(count: float) -> str:
    for unit in _UNITS:
        if abs(count) < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3_600)
    clock = f"{hours:02}:{rest // 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


def _plain(value: Any) -> Any:
    """Return what JSON has a word for; the rest as text."""
    if isinstance(value, int) and value.bit_length() > INT_BITS:
        return _number("", value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return list(map(_plain, _ordered(value)))
    return str(value)


def _ordered(values: Iterable[Any]) -> Iterator[Any]:
    return iter(sorted(values, key=repr) if isinstance(values, set | frozenset) else values)
