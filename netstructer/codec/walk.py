"""Where in a value the thing is that does not travel.  Floor: CODEC.

The encoder's loop only finds that something is wrong.  Then, and only then, the value is walked again here, plainly and
in order, to name the place: `value["jobs"][3].owner`.  Law: a walk is linear in the objects of the value, however often
they are shared, and does not recurse.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from typing import Any

from netstructer.codec.arrays import RawBytes
from netstructer.codec.blob import Blob
from netstructer.codec.collisions import check_collisions
from netstructer.codec.refusals import OverBudget, Unsendable
from netstructer.codec.structs import struct_of_class
from netstructer.codec.types import CUSTOM_LAYOUT, RECORD_LAYOUT, Entry, Types
from netstructer.errors import MessageTooBig, UnsendableValue
from netstructer.limits import Limits

__all__ = ["find_fault", "type_name"]

_Step = tuple[str, Any, bool]
"""Where a node is, the node, and whether a set is open around it."""

_LEAVES = frozenset((type(None), bool, float, str, bytes, bytearray, memoryview, RawBytes))
_WHOLE = ("value_items", "value_bytes", "value_depth")
"""Budgets that no node exceeds by itself."""


def find_fault(value: object, error: Unsendable | OverBudget, limits: Limits, types: Types) -> Exception:
    """Return the documented error for what the encoder found, with the path of the first node that is at fault.

    If none is found, because the value changed meanwhile or because only its sum is at fault, the path is `value`.
    """
    finder = _Finder(limits, types)
    fault = finder.find(value, only_cycles=isinstance(error, OverBudget) and error.field in _WHOLE)
    if fault is not None:
        path, error = fault
    else:
        path = "value"
    if isinstance(error, OverBudget):
        where = finder.too_deep if error.field == "value_depth" and finder.too_deep else path
        return MessageTooBig(f"{where}: {error}", path=where, limit=error.limit, found=error.found)
    return UnsendableValue(f"{path}: {error}", path=path)


class _Finder:
    """One walk; `too_deep` is the path of the first container that is too deep, whatever else was found."""

    def __init__(self, limits: Limits, types: Types) -> None:
        self._limits = limits
        self._types = types
        self._blobs: set[int] = set()
        self._kept: list[Any] = []  # what `to` and the like made, so that no id is used twice
        self.too_deep = ""

    def find(self, value: object, *, only_cycles: bool) -> tuple[str, Unsendable | OverBudget] | None:
        levels: list[tuple[Iterator[_Step], int]] = [(iter((("value", value, False),)), 0)]
        around: set[int] = set()
        done: set[int] = set()
        while levels:
            steps, owner = levels[-1]
            for path, item, in_set in steps:
                if type(item) in _LEAVES or (id(item) in done and type(item) is not Blob):
                    continue
                if id(item) in around:
                    return path, Unsendable("the value holds itself, and a cycle does not travel")
                try:
                    children = self._children(path, item, in_set)
                except (Unsendable, OverBudget) as error:
                    if not only_cycles:
                        return path, error
                    continue
                self._kept.append(item)
                around.add(id(item))
                levels.append((children, id(item)))
                if len(levels) - 1 > self._limits.value_depth and not self.too_deep:
                    self.too_deep = path
                break
            else:
                levels.pop()
                around.discard(owner)
                done.add(owner)
        return None

    def _children(self, path: str, item: Any, in_set: bool) -> Iterator[_Step]:
        """Return the children of a node, or raise what is wrong with the node itself."""
        kind = type(item)
        if kind is int:
            if item.bit_length() > self._limits.int_bits:
                raise OverBudget("int_bits", "bits in an int", self._limits.int_bits, item.bit_length())
            return iter(())
        if kind in (list, tuple, deque):
            return ((f"{path}[{place}]", child, in_set) for place, child in enumerate(list(item)))
        if kind in (dict, OrderedDict, Counter, defaultdict):
            check_collisions(item, self._limits.unseeded_members)
            if kind is defaultdict:
                self._take(item)
            return _members(path, dict(item), in_set)
        if kind in (set, frozenset):
            check_collisions(item, self._limits.unseeded_members)
            return ((f"{path}{{{_brief(child)}}}", child, True) for child in list(item))
        if kind is slice:
            return ((f"{path}.{name}", getattr(item, name), in_set) for name in ("start", "stop", "step"))
        if kind is Blob:
            self._check_blob(item, in_set)
            return iter(())
        if struct_of_class(kind) is not None:
            return ((path, child, in_set) for child in self._take(item))
        return self._object(path, item, in_set)

    def _take(self, item: Any) -> tuple[Any, ...]:
        row = struct_of_class(type(item))
        assert row is not None
        if row.check is not None:
            row.check(item, self._limits)
        return row.take(item)

    def _object(self, path: str, item: Any, in_set: bool) -> Iterator[_Step]:
        entry = self._types.of_class(type(item))
        if entry is None:
            raise Unsendable(f"{type_name(type(item))} is not registered")
        if entry.layout == RECORD_LAYOUT:
            return iter([(f"{path}.{name}", _field(entry, item, name), in_set) for name in entry.fields])
        if entry.layout != CUSTOM_LAYOUT:
            return iter(())
        try:
            return iter(((path, entry.read(item), in_set),))
        except Exception as error:
            raise Unsendable(f"the to= of {entry.name} raised {type(error).__name__}") from error

    def _check_blob(self, item: Blob, in_set: bool) -> None:
        if in_set:
            raise Unsendable("a Blob cannot be a member of a set")
        if not item.reusable and id(item) in self._blobs:
            raise Unsendable("this Blob's source can be read once, and it is in the value twice")
        self._blobs.add(id(item))
        blob_name(item)


def _field(entry: Entry, item: Any, name: str) -> Any:
    try:
        return getattr(item, name)
    except Exception as error:
        raise Unsendable(f"the field {name!r} of this {entry.name} is not set or cannot be read") from error


def blob_name(blob: Blob) -> bytes | None:
    """Return the UTF-8 of a blob's name, or `None`; raises `Unsendable` if there is none for it."""
    try:
        return None if blob.name is None else blob.name.encode()
    except UnicodeEncodeError:
        raise Unsendable("the Blob's name is no text that UTF-8 can hold") from None


def type_name(cls: type) -> str:
    """Return how errors call a type: with its module, unless that is builtins."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _members(path: str, item: dict[Any, Any], in_set: bool) -> Iterator[_Step]:
    for place, (key, child) in enumerate(item.items()):
        yield f"list({path})[{place}]", key, in_set
        yield f"{path}[{_brief(key)}]", child, in_set


def _brief(key: Any) -> str:
    """Spell a key in a path; only of types whose repr is short and runs no code of an application's."""
    if type(key) in (str, bytes) and len(key) <= 40:
        return repr(key).replace("'", '"') if '"' not in repr(key) else repr(key)
    if type(key) in (bool, float, type(None)) or (type(key) is int and key.bit_length() <= 64):
        return repr(key)
    return f"<{type_name(type(key))}>"
