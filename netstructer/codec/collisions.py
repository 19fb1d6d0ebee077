"""Hash collisions: how many keys of one dict or members of one set may share a hash.  Floor: CODEC.

`str` and `bytes` hash with a secret of the process, but ints, `Decimal`, `UUID`, tuples and frozensets of such do not:
an attacker can make any number of them with one hash, and a set of n such members costs n * n / 2 comparisons (32,768
big ints, 381 KiB of them: 5.8 s).  Counting members "that could collide" would refuse honest data, a dict of a million
`(x, y)` keys among it.  So what is counted is what costs: members that *do* share one hash.  Hashing alone is linear,
and hashes that merely share their low bits cost at most four times the usual (measured), so equal hashes are all that
matters.

A comparison has a weight, too.  Two frozensets are compared by looking each member of one up in the other, and if 64
of those share a hash, that is 64 * 32 comparisons: sets of colliding sets multiply, and two levels of 64, 50 KB, took
0.13 s, three would take minutes.  So the members that share one hash count as many times over as the members of the
frozensets inside them do (`_Weigher`).  What is compared by Python code (`UUID`, `Fraction`, records) counts four
times.  And a `Decimal` is compared with another number by making a Decimal of that: 4 ms for an int of 50,000 bits.
A Decimal and a number that is not small may share no hash at all.

Honest data stays far below the limit: `hash(-1) == hash(-2)`, so a grid in d dimensions has groups of 2 ** d.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from decimal import Decimal
from fractions import Fraction
from types import EllipsisType, NoneType
from typing import Any

from netstructer.codec.refusals import OverBudget
from netstructer.codec.types import RECORD_LAYOUT, Types

__all__ = ["ATOMS", "Weights", "check_collisions"]

_SEEDED = ({str}, {bytes})
ATOMS = frozenset((str, bytes, int, float, bool, NoneType))
"""What is compared in no time, and says nothing of what is inside it."""
_QUICK = ATOMS | {complex, Decimal, EllipsisType}
_SLOW = 4
"""The weight of a comparison that runs Python code: 150 to 400 ns, beside 40."""
_SMALL_BITS = 64
"""A number that fits them becomes a Decimal in 150 ns."""

_DECIMAL, _LARGE = 1, 2
"""What is in a member: a Decimal; a number that takes long to become one."""

Weights = dict[int, tuple[Any, int, int]]
"""Of the frozensets of one value, by their identity: themselves, so that the identity stays theirs; weight; numbers."""


def check_collisions(members: Collection[Any], most: int, types: Types, weights: Weights) -> None:
    """Raise `OverBudget` if comparing the members that share one hash would cost more than `most` of them may;
    `TypeError` if one has no hash.
    """
    if len(members) < 2:
        return
    kinds = set(map(type, members))
    if kinds in _SEEDED or (len(members) <= most and kinds <= ATOMS):
        return
    hashes = list(map(hash, members))
    if len(set(hashes)) == len(hashes):
        return
    counts = Counter(hashes)
    found = max(counts.values())
    if found <= most and not kinds <= ATOMS:
        found, numbers = _Weigher(types, weights).crowding(members, hashes, counts)
        if numbers == _DECIMAL | _LARGE:
            raise OverBudget("unseeded_members", "members that are a Decimal and a large number of one hash", 1, 2)
    if found > most:
        raise OverBudget("unseeded_members", "members that share one hash", most, found)


class _Weigher:
    """How much it costs to compare two members that share a hash, in comparisons of two ints.

    Frozensets are looked into once each.  They are found before they are weighed, the outer ones first, and weighed in
    the opposite order: so nothing recurses, however deep they are.
    """

    def __init__(self, types: Types, weights: Weights) -> None:
        self._types = types
        self._weights = weights

    def crowding(self, members: Collection[Any], hashes: list[int], counts: Counter[int]) -> tuple[int, int]:
        """Return the most that a group of one hash weighs, and which numbers meet in one, if both kinds do."""
        shared = [(found, member) for found, member in zip(hashes, members, strict=True) if counts[found] > 1]
        self._weigh_inside(member for _, member in shared)
        return self._heaviest(shared, counts)

    def _heaviest(self, shared: Iterable[tuple[int, Any]], counts: Counter[int]) -> tuple[int, int]:
        heaviest = 1
        met: dict[int, int] = {}
        for found, member in shared:
            weight, numbers = self._weight(member)
            heaviest = max(heaviest, weight * counts[found])
            met[found] = met.get(found, 0) | numbers
        both = _DECIMAL | _LARGE
        return heaviest, both if both in met.values() else 0

    def _weigh_inside(self, members: Iterable[Any]) -> None:
        """Weigh all frozensets in the members."""
        found: list[frozenset[Any]] = []
        left = list(members)
        while left:
            member = left.pop()
            if isinstance(member, frozenset):
                if id(member) in self._weights:
                    continue
                self._weights[id(member)] = (member, 1, 0)
                found.append(member)
            left.extend(self._parts(member))
        for inner in reversed(found):
            hashes = list(map(hash, inner))
            counts = Counter(hashes)
            crowd, _ = self._heaviest(zip(hashes, inner, strict=True), counts)
            numbers = 0
            for member in inner:
                numbers |= self._weight(member)[1]
            self._weights[id(inner)] = (inner, crowd, numbers)

    def _weight(self, member: Any) -> tuple[int, int]:
        """Return the weight of a comparison of this member with its like, and which numbers are in it."""
        weight, numbers = 1, 0
        left = [member]
        while left:
            part = left.pop()
            kind = type(part)
            if kind is frozenset:
                _, inside, within = self._weights.get(id(part), (part, 1, 0))
                weight, numbers = max(weight, inside), numbers | within
                continue
            if kind not in _QUICK and not isinstance(part, tuple):
                weight = max(weight, _SLOW)
            numbers |= _numbers(part)
            left.extend(self._parts(part))
        return weight, numbers

    def _parts(self, member: Any) -> Iterable[Any]:
        """Return what is compared when a member is."""
        kind = type(member)
        if kind in _QUICK:
            return ()
        if isinstance(member, (tuple, frozenset)):
            return member
        if kind is slice:
            return member.start, member.stop, member.step
        entry = self._types.of_class(kind)
        return () if entry is None or entry.layout != RECORD_LAYOUT else entry.read(member)


def _numbers(part: Any) -> int:
    kind = type(part)
    if kind is Decimal:
        return _DECIMAL
    if kind is int:
        return _LARGE if part.bit_length() > _SMALL_BITS else 0
    if kind is float:
        return 0 if part.is_integer() and abs(part) < 1 << 53 else _LARGE
    if kind is complex:
        return _numbers(part.real)
    if kind is Fraction:
        return _LARGE if max(part.numerator.bit_length(), part.denominator.bit_length()) > _SMALL_BITS else 0
    return 0
