"""How containers are made once all their children have come.  Floor: CODEC.  The decoder's other half.

Law: whatever the children are, the result is a value, `Malformed` or `OverBudget`.  Constructors of application types
and hashing, which may run an application's own code, are called inside a `try`; nothing else is.
"""

from __future__ import annotations

from typing import Any

from netstructer.codec.bulk import cut_rows, fill_holes, has_bulk_form, is_set_run, make_rows
from netstructer.codec.collisions import ATOMS, Weights, check_collisions
from netstructer.codec.refusals import Malformed, OverBudget, hold_items
from netstructer.codec.structs import FRACTION, make_struct, make_structs
from netstructer.codec.tags import (
    BULK_FROM,
    DICT_COST,
    RECORD_COST,
    ROWS_DICT,
    ROWS_RECORD,
    ROWS_STRUCT,
    SET_RUN,
)
from netstructer.codec.types import MEMBER_LAYOUT, Entry, Types
from netstructer.limits import Limits

__all__ = ["close", "make_set"]

(
    CLOSE_LONG_LIST,
    CLOSE_LONG_TUPLE,
    CLOSE_LONG_DICT,
    CLOSE_SET_RUN,
    CLOSE_HOLES,
    CLOSE_TABLE,
    CLOSE_RAGGED,
    CLOSE_STRUCT,
    CLOSE_RECORD,
    CLOSE_MEMBER,
    CLOSE_CUSTOM,
) = range(11)


def close(
    kind: int, extra: Any, children: list[Any], limits: Limits, types: Types, room: int, weights: Weights
) -> tuple[Any, int]:
    """Return the object and how many items it adds that were not counted when it was opened; `room` is how many may
    be."""
    if kind == CLOSE_STRUCT:
        weights.fractions = weights.fractions or extra is FRACTION
        return make_struct(extra, children, limits, room)
    if kind == CLOSE_TABLE:
        weights.fractions = weights.fractions or extra[1] is FRACTION
        return _table(extra, children, room, limits)
    if kind == CLOSE_RAGGED:
        lengths = _long_list(children[0])
        if type(children[1]) is not list:
            raise Malformed("the items of ragged rows are not in a list")
        return cut_rows(extra, lengths, children[1]), hold_items(len(lengths), room, limits.value_items)
    if kind == CLOSE_LONG_LIST:
        if has_bulk_form(children, types):
            raise Malformed("a list that has a bulk form came item by item")
        return children, 0
    if kind == CLOSE_LONG_DICT:
        keys, values = _long_list(children[0]), _long_list(children[1])
        return _make_dict(keys, values, limits.unseeded_members, types, weights), 0
    if kind == CLOSE_LONG_TUPLE:
        return tuple(_long_list(children[0])), 0
    if kind == CLOSE_HOLES:
        if type(children[0]) is not list:
            raise Malformed("the items of a list with holes are not in a list")
        return fill_holes(extra, children[0]), 0
    if kind == CLOSE_SET_RUN:
        return _set_run(_long_list(children[0]), extra == SET_RUN), 0
    return _object(extra, children), 0


def _long_list(child: Any) -> list[Any]:
    if type(child) is not list or len(child) < BULK_FROM:
        raise Malformed(f"a part that must be a list of {BULK_FROM} items or more is not")
    return child


# --- dicts and sets ---------------------------------------------------------------------------------------------------


def _make_dict(keys: list[Any], values: list[Any], most_alike: int, types: Types, weights: Weights) -> dict[Any, Any]:
    """Make a dict; raises `Malformed` if a key is there twice or has no hash, `OverBudget` if too many share one."""
    try:
        check_collisions(keys, most_alike, types, weights)
        made = dict(zip(keys, values, strict=True))
    except OverBudget:
        raise
    except Exception as error:
        raise Malformed("the keys of a dict cannot be its keys") from error
    if len(made) != len(keys):
        raise Malformed("a key is in a dict twice")
    return made


def make_set(
    members: list[Any], mutable: bool, most_alike: int, types: Types, weights: Weights
) -> set[Any] | frozenset[Any]:
    """Make a set of members that are in order; raises as `make_dict` does, and for what should have been a run."""
    try:
        if len(members) > most_alike or not ATOMS.issuperset(map(type, members)):
            check_collisions(members, most_alike, types, weights)
        made = set(members) if mutable else frozenset(members)
    except OverBudget:
        raise
    except Exception as error:
        raise Malformed("the members of a set cannot be its members") from error
    if len(made) != len(members):
        raise Malformed("a member is in a set twice")
    if len(members) >= BULK_FROM and is_set_run(members):
        raise Malformed("a set that has a bulk form came member by member")
    return made


def _set_run(members: list[Any], mutable: bool) -> set[Any] | frozenset[Any]:
    if not is_set_run(members):
        raise Malformed("a set whose members make no run came as one")
    made = set(members)
    if len(made) != len(members) or members != sorted(members):
        raise Malformed("the members of a set are not in their order")
    return made if mutable else frozenset(made)


# --- rows and objects -------------------------------------------------------------------------------------------------


def _table(extra: tuple[int, Any], children: list[Any], room: int, limits: Limits) -> tuple[list[Any], int]:
    rows, shape = extra
    most = limits.value_items
    keys: tuple[Any, ...] = ()
    if rows == ROWS_DICT:
        keys, children = tuple(children[:shape]), children[shape:]
        if set(map(type, keys)) != {str} or len(set(keys)) != len(keys):
            raise Malformed("the keys of a table are not different texts")
    count = len(_long_list(children[0]))
    if any(type(child) is not list or len(child) != count for child in children):
        raise Malformed("the columns of a table are not of one length")
    if rows == ROWS_RECORD:
        added = hold_items(count * (1 + RECORD_COST), room, most)
        return _records(shape, children), added
    if rows == ROWS_STRUCT:
        added = hold_items(count * (1 + shape.cost), room, most)
        made, further = make_structs(shape, children, limits, room - added)
        return made, added + further
    added = hold_items(count * (1 + DICT_COST) if rows == ROWS_DICT else count, room, most)
    return make_rows(rows, keys, children), added


def _records(entry: Entry, columns: list[list[Any]]) -> list[Any]:
    try:
        made = list(map(entry.make, *columns))
    except Exception as error:
        raise Malformed(f"{entry.name!r} was not made of the fields that came") from error
    if set(map(type, made)) != {entry.cls}:
        raise Malformed(f"what was made for {entry.name!r} is of another type")
    return made


def _object(entry: Entry, children: list[Any]) -> Any:
    """Make one instance of an application type from its fields, its name or number, or what its `to` gave."""
    try:
        if entry.layout == MEMBER_LAYOUT:
            return _member(entry, children[0])
        made = entry.make(*children)
    except Malformed:
        raise
    except Exception as error:
        raise Malformed(f"{entry.name!r} was not made of what came") from error
    if type(made) is not entry.cls:
        raise Malformed(f"what was made for {entry.name!r} is of another type")
    return made


def _member(entry: Entry, child: Any) -> Any:
    if type(child) is not (int if entry.by_number else str):
        raise Malformed(f"a member of {entry.name!r} came as a {type(child).__name__}")
    made = entry.make(child)
    if not isinstance(made, entry.cls) or entry.read(made) != child:
        raise Malformed(f"a member of {entry.name!r} came by a second name")
    return made
