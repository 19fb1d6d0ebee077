"""Literals: text a person typed -> a value, and a value -> text.  Floor: ROOF.

A value is typed and printed as a Python literal, `['hi', {1, 2}]`: the one notation that every Python user knows
and that keeps tuples, sets and bytes apart.  It is parsed by `ast.literal_eval`, which runs nothing.
"""

from __future__ import annotations

import ast
import json
import math
import warnings
from typing import Any

from netstructer.errors import Misuse

__all__ = ["facts_of", "from_json", "from_literal", "literal", "same", "type_name"]


def from_literal(text: str) -> object:
    """Return the value of a Python literal.  Raises `Misuse`, which says what to write instead."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of odd spellings, as '\\d': the value printed back shows what was understood
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        shown = text if len(text) <= 40 else text[:39] + "…"
        raise Misuse(
            f'{shown!r} is no Python literal: write a text as "\'hello\'" or with --text, a list as "[1, 2.5, None]"'
        ) from None


def literal(value: object) -> str:
    """Return a value as one line of Python; what has no literal (a `Decimal`) as the call that makes it."""
    return repr(value)


def from_json(text: str) -> object:
    """Return the value of a JSON document.  Raises `Misuse`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Misuse(f"this is no JSON: {error}") from None


def facts_of(value: object) -> dict[str, Any]:
    """Return what can be said of a value in JSON: its type, its literal, and itself where JSON loses nothing of it."""
    facts: dict[str, Any] = {"type": type_name(value), "literal": literal(value)}
    if _fits_json(value):
        facts["value"] = value
    return facts


def _fits_json(value: object) -> bool:
    if value is None or type(value) in (bool, int, str):
        return True
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is list:
        return all(map(_fits_json, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_fits_json, value.values()))
    return False


def type_name(value: object) -> str:
    """Return the name of a value's type, as in `list` or `fractions.Fraction`."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def same(one: object, other: object) -> bool:
    """Say whether two values are equal with equal types, all the way down, dicts in the same order.

    `==` alone would not do: `1 == True == 1.0`, and a set holds its members by `==`.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(map(same, one.items(), other.items()))
    if isinstance(one, (set, frozenset)) and isinstance(other, (set, frozenset)):
        return one == other and _typed(one) == _typed(other)
    return one == other


def _typed(members: set[Any] | frozenset[Any]) -> set[tuple[type, Any]]:
    return {(type(member), member) for member in members}
