"""Exhibits: the real input of the demonstration, all of it on every machine that has Python.  Floor: ROOF."""

from __future__ import annotations

import os
import sys
import sysconfig
import unicodedata
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["THE_LIST", "largest_file", "library_files", "outline", "pieces", "unicode_table"]

THE_LIST: list[Any] = ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)]

PIECE_BYTES = 1 << 20
LIBRARY_BYTES = 24 << 20
"""As much of the standard library as is sent, whole files: enough to watch, little enough for a slow machine."""


def unicode_table() -> dict[str, Any]:
    """Return the Unicode character database of this Python: one row per named character, and the categories as sets.

    A row is (code point, character, name, category, mirrored, numeric value or None); the values are exact fractions.
    """
    rows: list[tuple[int, str, str, str, bool, Fraction | None]] = []
    categories: dict[str, set[int]] = {}
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        name = unicodedata.name(character, "")
        if not name or name.startswith(("CJK ", "HANGUL SYLLABLE ")):
            continue  # named by rule, not by hand: a hundred thousand rows that say nothing new
        category = unicodedata.category(character)
        numeric = unicodedata.numeric(character, None)
        fraction = None if numeric is None else Fraction(numeric).limit_denominator(1000)
        rows.append((point, character, name, category, bool(unicodedata.mirrored(character)), fraction))
        categories.setdefault(category, set()).add(point)
    return {"version": unicodedata.unidata_version, "rows": rows, "categories": categories}


def largest_file() -> Path:
    """Return the largest file that this Python runs from: the interpreter itself, or its shared library."""
    found = [Path(sys.executable).resolve(), Path(getattr(sys, "_base_executable", sys.executable)).resolve()]
    for folder in (sysconfig.get_config_var("LIBDIR"), sys.base_prefix):
        for name in (sysconfig.get_config_var("LDLIBRARY"), f"python{sys.version_info[0]}{sys.version_info[1]}.dll"):
            found += [Path(folder, name).resolve()] if folder and name and Path(folder, name).is_file() else []
    return max(found, key=lambda path: path.stat().st_size)


def pieces(path: Path) -> Iterator[bytes]:
    """Return a file's bytes in order, in pieces of 1 MiB."""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def library_files() -> list[tuple[PurePosixPath, Path]]:
    """Return source files of the standard library, by their path inside it, up to 24 MiB of them."""
    root = Path(os.__file__).resolve().parent
    files: list[tuple[PurePosixPath, Path]] = []
    total = 0
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if inside.parts[0] in ("site-packages", "dist-packages", "test"):
            continue
        total += path.stat().st_size
        if total > LIBRARY_BYTES:
            break
        files.append((PurePosixPath(inside.as_posix()), path))
    return files


def outline(value: object) -> list[tuple[str, str]]:
    """Return (type, literal) of each item of a list, as this end has it."""
    return [(_typed(item), repr(item)) for item in value] if isinstance(value, list) else [(_typed(value), repr(value))]


def _typed(value: object) -> str:
    """Return a type as an annotation would say it: `dict[bytes, str]`, `tuple[bool, bool]`."""
    name = type(value).__name__
    if isinstance(value, dict):
        return f"{name}[{_types(value.keys())}, {_types(value.values())}]"
    if isinstance(value, tuple):
        return f"{name}[{', '.join(_typed(item) for item in value)}]"
    if isinstance(value, (list, set, frozenset)):
        return f"{name}[{_types(value)}]"
    return name


def _types(items: Iterable[object]) -> str:
    return " | ".join(sorted({_typed(item) for item in items})) or "Never"
