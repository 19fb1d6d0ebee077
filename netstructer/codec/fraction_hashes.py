"""Fractions that are hashed: as keys of a dict or members of a set, or in one.  Floor: CODEC.

From Python 3.12 on the standard library keeps the hashes of the last 16,384 fractions, for the whole process, in a dict
whose keys are their parts: the tuple of numerator and denominator.  The hashes of such tuples are not seeded, so an
attacker can make them collide there, even where the hashes of the fractions do not: 4,096 in one tuple, hashed once,
took 0.5 s, and once that dict is full of them each further one takes 0.6 ms, in whichever value or link it comes.
Other fractions cost what they always did, because only equal hashes are compared.

Two things bound that.  In one collection only so many fractions may differ whose parts share a hash.  And what is kept
is dropped once some 256 of the fractions that were hashed here since share one with another, so that nothing adds up
over collections, values and links.  Honest fractions do not (but for -1 and -2), so theirs stay.

Law: both ends refuse the same, under every version of Python; what is dropped is a matter of time and memory only.
"""

from __future__ import annotations

import fractions
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from operator import ne
from types import EllipsisType, NoneType
from typing import Any, Protocol

from netstructer.codec.refusals import OverBudget
from netstructer.codec.types import RECORD_LAYOUT, Types

__all__ = ["check_fractions"]

_SAMPLED = 8
"""One fraction of so many is counted, beginning with any of them, so that nobody can tell which."""
_ALIKE = 256 // _SAMPLED
"""How many of those may share a hash before all are dropped: a colliding fraction meets half of 256, in 6 us."""
_LONG = (8 * 8 << 20) // _SAMPLED
"""How many bits they may have together: 8 MiB in all, since what is kept outlives its value."""
_COUNTED = 16_384
"""How many of them are known at a time."""
_BATCH = 64
"""How many wait to be counted: for one alone it takes too long."""
_BARREN = frozenset((str, bytes, int, float, bool, NoneType, complex, Decimal, EllipsisType, frozenset))
"""What holds no fraction that is hashed with it; the members of a frozenset were when that was made."""
_ONLY = frozenset((Fraction,))


class _Cache(Protocol):
    """What the standard library keeps the hashes in."""

    cache_clear: Callable[[], None]


class _Ledger:
    """Which fractions were hashed since the hashes were dropped.

    Several threads may write into it at once; what is miscounted then is few.
    """

    def __init__(self, cache: _Cache | None) -> None:
        self._cache = cache
        self._waiting: list[Fraction] = []
        self._batches = 0
        self._begin()

    def _begin(self) -> None:
        self._first: dict[int, tuple[int, int]] = {}  # by their hash, the parts that had it first
        self._alike = 0
        self._bits = 0

    def enter(self, found: Collection[Fraction]) -> None:
        """Count what is about to be hashed."""
        if self._cache is not None:
            self._waiting += found
            if len(self._waiting) >= _BATCH:
                waiting, self._waiting = self._waiting, []
                self._batches += 1
                first = hash(str(self._batches)) % _SAMPLED  # texts hash by a secret of the process
                self._count(waiting[first::_SAMPLED], self._cache)

    def _count(self, sample: list[Fraction], cache: _Cache) -> None:
        pairs = list(map(Fraction.as_integer_ratio, sample))
        self._alike += sum(map(ne, map(self._first.setdefault, map(hash, pairs), pairs), pairs))
        self._bits += sum(map(int.bit_length, chain.from_iterable(pairs)))
        if self._alike > _ALIKE or self._bits > _LONG or len(self._first) > _COUNTED:
            cache.cache_clear()
            self._begin()


_LEDGER = _Ledger(getattr(fractions, "_hash_algorithm", None))
"""A private name of the standard library, whose decorator is public: where there is none, nothing is dropped."""


def check_fractions(members: Collection[Any], most: int, types: Types) -> None:
    """Raise `OverBudget` if more than `most` different fractions, which members are or hold, have parts of one hash."""
    found = members if _ONLY.issuperset(map(type, members)) else _fractions_in(members, types)
    if found:
        if len(found) > most:
            _check_parts(found, most)
        _LEDGER.enter(found)


def _check_parts(found: Collection[Fraction], most: int) -> None:
    if len(found) - len(set(map(hash, map(Fraction.as_integer_ratio, found)))) < most:
        return
    hashes = list(map(hash, map(Fraction.as_integer_ratio, found)))
    counts = Counter(hashes)
    different: dict[int, set[tuple[int, int]]] = {}
    for shared, fraction in zip(hashes, found, strict=True):
        if counts[shared] > most:
            group = different.setdefault(shared, set())
            group.add(fraction.as_integer_ratio())
            if len(group) > most:
                raise OverBudget("unseeded_members", "fractions whose parts share one hash", most, len(group))


def _fractions_in(members: Collection[Any], types: Types) -> list[Fraction]:
    """Return the fractions that are hashed when the members are.

    It goes level by level, so that nothing recurses, and by loops in C; and what holds something is looked into once,
    so that it ends where a record holds itself.
    """
    found: list[Fraction] = []
    level = members
    seen: dict[int, Any] = {}
    while True:
        parts: list[Any] = []
        kinds = set(map(type, level))
        for kind in kinds - _BARREN:
            alike: Collection[Any] = level if len(kinds) == 1 else [part for part in level if type(part) is kind]
            if kind is Fraction:
                found += alike
                continue
            if level is not members:
                fresh = {id(part): part for part in alike if id(part) not in seen}
                seen |= fresh
                alike = fresh.values()
            parts += chain.from_iterable(_held_by(kind, alike, types))
        if not parts:
            return found
        level = parts


def _held_by(kind: type, alike: Collection[Any], types: Types) -> Iterable[Iterable[Any]]:
    """Return what each of these, all of one kind, holds and hashes with itself."""
    if issubclass(kind, tuple):
        return alike
    if kind is slice:
        return [(part.start, part.stop, part.step) for part in alike]
    entry = types.of_class(kind)
    if entry is None or entry.layout != RECORD_LAYOUT:
        return ()
    try:
        return list(map(entry.read, alike))
    except Exception:  # a field that is not set: whoever encodes the record says so
        return ()
