"""Where in a value the thing is that does not travel.  Floor: CODEC.

The encoder's loop only finds that something is wrong.  Then, and only then, the value is walked again here, plainly and
in order, to name the place: `value["jobs"][3].owner`.  Law: a walk is linear in the objects of the value, however often
they are shared, does not recurse, and goes no deeper and no farther than the limits let a value be; so it ends, even if
a `to` makes new things for ever.  Each open level keeps only its own step of the path, which is spelled once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from netstructer.codec.arrays import RawBytes
from netstructer.codec.blob import Blob
from netstructer.codec.collisions import Weights, check_collisions
from netstructer.codec.refusals import OverBudget, Unsendable
from netstructer.codec.structs import struct_of_class
from netstructer.codec.types import CUSTOM_LAYOUT, RECORD_LAYOUT, Entry, Types
from netstructer.errors import MessageTooBig, UnsendableValue
from netstructer.limits import Limits

__all__ = ["find_fault", "type_name"]

_Link = tuple[str, str]
"""What stands before and behind the path of the parent in the path of a node."""

_Step = tuple[_Link, Any, bool]
"""How a node is reached from its parent, the node, and whether a set is open around it."""

_LEAVES = frozenset((type(None), bool, float, str, bytes, bytearray, memoryview, RawBytes))
_WHOLE = ("value_items", "value_bytes", "value_depth")
"""Budgets that no node exceeds by itself."""
_SAME: _Link = ("", "")


def find_fault(value: object, error: Unsendable | OverBudget, limits: Limits, types: Types) -> Exception:
    """Return the documented error for what the encoder found, with the path of the first node that is at fault.

    If none is found, because the value changed meanwhile or because only its sum is at fault, the path is `value`.
    """
    over = error.field if isinstance(error, OverBudget) else ""
    path, found = _Finder(limits, types).find(value, only_cycles=over in _WHOLE, stop_deep=over == "value_depth")
    error = found or error
    if isinstance(error, OverBudget):
        return MessageTooBig(f"{path}: {error}", path=path, limit=error.limit, found=error.found)
    return UnsendableValue(f"{path}: {error}", path=path)


class _Finder:
    """One walk."""

    def __init__(self, limits: Limits, types: Types) -> None:
        self._limits = limits
        self._types = types
        self._blobs: set[int] = set()
        self._kept: list[Any] = []  # what `to` and the like made, so that no id is used twice

    def find(self, value: object, *, only_cycles: bool, stop_deep: bool) -> tuple[str, Unsendable | OverBudget | None]:
        """Return the path of the first fault and the fault, or that of the first container that is too deep and `None`.

        What a container holds that is too deep is not looked at; unless `stop_deep`, the walk goes on beside it.
        """
        root: _Link = ("", "value")
        levels: list[tuple[Iterator[_Step], int]] = [(iter(((root, value, False),)), 0)]
        links: list[_Link] = []  # the path of the node whose children are being walked
        around: set[int] = set()
        done: set[int] = set()
        left = self._limits.value_items
        while levels:
            steps, owner = levels[-1]
            for link, item, in_set in steps:
                left -= 1
                if left < 0:
                    return "value", None
                if len(links) > self._limits.value_depth:
                    if stop_deep:
                        return _spell(links), None
                    levels[-1] = (iter(()), owner)
                    break
                if type(item) in _LEAVES or (id(item) in done and not isinstance(item, Blob)):
                    continue
                if id(item) in around:
                    return _spell([*links, link]), Unsendable("the value holds itself, and a cycle does not travel")
                try:
                    children = self._children(item, in_set)
                except (Unsendable, OverBudget) as error:
                    if not only_cycles:
                        return _spell([*links, link]), error.with_traceback(None)  # which holds this frame
                    continue
                self._kept.append(item)
                around.add(id(item))
                levels.append((children, id(item)))
                links.append(link)
                break
            else:
                levels.pop()
                if links:
                    links.pop()
                around.discard(owner)
                done.add(owner)
        return "value", None

    def _children(self, item: Any, in_set: bool) -> Iterator[_Step]:
        """Return the children of a node, or raise what is wrong with the node itself."""
        kind = type(item)
        if kind is int:
            if item.bit_length() > self._limits.int_bits:
                raise OverBudget("int_bits", "bits in an int", self._limits.int_bits, item.bit_length())
            return iter(())
        if kind in (list, tuple, deque):
            return ((("", f"[{place}]"), child, in_set) for place, child in enumerate(list(item)))
        if kind in (dict, OrderedDict, Counter, defaultdict):
            check_collisions(item, self._limits.unseeded_members, self._types, Weights(fractions=True, later=False))
            if kind is defaultdict:
                self._take(item)
            return _members(dict(item), in_set)
        if kind in (set, frozenset):
            check_collisions(item, self._limits.unseeded_members, self._types, Weights(fractions=True, later=False))
            return ((("", f"{{{_brief(child)}}}"), child, True) for child in list(item))
        if kind is slice:
            return ((("", f".{name}"), getattr(item, name), in_set) for name in ("start", "stop", "step"))
        if issubclass(kind, Blob):
            self._check_blob(item, in_set)
            return iter(())
        if struct_of_class(kind) is not None:
            return ((_SAME, child, in_set) for child in self._take(item))
        return self._object(item, in_set)

    def _take(self, item: Any) -> tuple[Any, ...]:
        row = struct_of_class(type(item))
        assert row is not None
        if row.check is not None:
            row.check(item, self._limits)
        return row.take(item)

    def _object(self, item: Any, in_set: bool) -> Iterator[_Step]:
        entry = self._types.of_class(type(item))
        if entry is None:
            hint = "; a path travels as PurePath(p)" if isinstance(item, PurePath) else ""
            raise Unsendable(f"{type_name(type(item))} is not registered{hint}")
        if entry.layout == RECORD_LAYOUT:
            return iter([(("", f".{name}"), _field(entry, item, name), in_set) for name in entry.fields])
        if entry.layout != CUSTOM_LAYOUT:
            return iter(())
        try:
            return iter(((_SAME, entry.read(item), in_set),))
        except Exception as error:
            raise Unsendable(f"the to= of {entry.name} raised {type(error).__name__}") from error

    def _check_blob(self, item: Blob, in_set: bool) -> None:
        if in_set:
            raise Unsendable("a Blob cannot be a member of a set")
        if not item.reusable and id(item) in self._blobs:
            raise Unsendable("this Blob's source can be read once, and it is in the value twice")
        self._blobs.add(id(item))
        blob_name(item)


def _spell(links: list[_Link]) -> str:
    return "".join(before for before, _ in reversed(links)) + "".join(behind for _, behind in links)


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


def _members(item: dict[Any, Any], in_set: bool) -> Iterator[_Step]:
    for place, (key, child) in enumerate(item.items()):
        yield ("list(", f")[{place}]"), key, in_set
        yield ("", f"[{_brief(key)}]"), child, in_set


def _brief(key: Any) -> str:
    """Spell a key in a path; only of types whose repr is short and runs no code of an application's."""
    if type(key) in (str, bytes) and len(key) <= 40:
        return repr(key).replace("'", '"') if '"' not in repr(key) else repr(key)
    if type(key) in (bool, float, type(None)) or (type(key) is int and key.bit_length() <= 64):
        return repr(key)
    return f"<{type_name(type(key))}>"
