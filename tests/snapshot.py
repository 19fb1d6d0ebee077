"""Snapshots: a session as it stands after some bytes, to be gone back to as often as one likes.

A fault ends a session, so each fault wants a session of its own, that has heard all before it.  To make one anew for
each costs a millisecond; to set back the few hundred fields of one that is there costs a twentieth of that.  So a
`Snapshot` walks once through all that is netstructer's and can be reached from a thing, and remembers what its fields
and containers hold; `restore` writes that back.  What lies outside (ciphers, locks, functions) is shared: sealers and
openers of Fernet are good for any next token by their own law (codec/tokens.py), those of AES-256-GCM are set back to
the place that they had.

A ledger of spools is the process's, not the session's: it is settled, never set back.

The tests that use snapshots hold them against sessions that were made anew (`test_integrity.py`).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from enum import Enum
from types import MethodType
from typing import Any

from netstructer.codec import room as rooms

__all__ = ["Snapshot"]

OURS = ("netstructer", "pair", "integrity", "__main__")
"""Whose objects are set back: the package's, and the fakes of the tests that have a state."""
_CHANGEABLE = (list, dict, set, deque, bytearray, array)


class Snapshot:
    """What can be reached from `root`, as it is now.  Single owner."""

    def __init__(self, root: object) -> None:
        self._kept: list[object] = []  # so that no id is given twice
        self._fields: list[tuple[object, tuple[tuple[str, Any], ...], tuple[str, ...]]] = []
        self._contents: list[tuple[Callable[[Any], None], Any]] = []
        self._walk(root)

    def restore(self) -> None:
        """Set everything back."""
        rooms._ledger.settle()
        for thing, fields, unset in self._fields:
            for name, value in fields:
                object.__setattr__(thing, name, value)
            for name in unset:
                if hasattr(thing, name):
                    object.__delattr__(thing, name)
        for refill, content in self._contents:
            refill(content)

    def _walk(self, root: object) -> None:
        seen: set[int] = set()
        waiting = [root]
        while waiting:
            thing = waiting.pop()
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            if isinstance(thing, (str, bytes, int, float, type, Enum)) or thing is None:
                continue
            self._kept.append(thing)
            waiting.extend(self._take(thing))

    def _take(self, thing: Any) -> Iterable[object]:
        """Remember one thing; return what it leads to."""
        if isinstance(thing, (tuple, frozenset)):
            return thing
        if isinstance(thing, _CHANGEABLE):
            self._contents.append(_refilled(thing))
            if isinstance(thing, (bytearray, array)):
                return ()
            return [*thing.keys(), *thing.values()] if isinstance(thing, dict) else list(thing)
        if isinstance(thing, MethodType):
            return [thing.__self__]
        if not type(thing).__module__.startswith(OURS) or isinstance(thing, rooms._Ledger) or _is_frozen(thing):
            return ()
        names = _names_of(thing)
        fields = tuple((name, getattr(thing, name)) for name in names if hasattr(thing, name))
        self._fields.append((thing, fields, tuple(name for name in names if not hasattr(thing, name))))
        return [value for _, value in fields]


def _is_frozen(thing: object) -> bool:
    return is_dataclass(thing) and type(thing).__dataclass_params__.frozen  # type: ignore[attr-defined,no-any-return]


def _names_of(thing: object) -> list[str]:
    slots = [name for kind in type(thing).__mro__ for name in _slots_of(kind)]
    return [*slots, *getattr(thing, "__dict__", ())]


def _slots_of(kind: type) -> Iterable[str]:
    found = kind.__dict__.get("__slots__", ())
    names = (found,) if isinstance(found, str) else found
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _refilled(thing: Any) -> tuple[Callable[[Any], None], Any]:
    """Return what fills a container again, and with what."""
    if isinstance(thing, dict):
        return (lambda content: (thing.clear(), thing.update(content))), dict(thing)
    if isinstance(thing, set):
        return (lambda content: (thing.clear(), thing.update(content))), set(thing)
    if isinstance(thing, deque):
        return (lambda content: (thing.clear(), thing.extend(content))), list(thing)

    def refill(content: Any) -> None:
        thing[:] = content

    return refill, thing[:]
