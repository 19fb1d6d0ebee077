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
times.  And a `Decimal` is compared with another number by making a Decimal of that: 4 ms for an int of 50,000 bits.  So
where a Decimal is among the members that share one hash, the numbers beside it count as often as that takes.

To look is not to be a way to keep a reader busy: a tuple of two million ints is looked through by loops in C.

Honest data stays far below the limit: `hash(-1) == hash(-2)`, so a grid in d dimensions has groups of 2 ** d.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from types import EllipsisType, NoneType
from typing import Any, NamedTuple

from netstructer.codec.fraction_hashes import check_fractions
from netstructer.codec.refusals import OverBudget, Unsendable
from netstructer.codec.types import RECORD_LAYOUT, Types

__all__ = ["ATOMS", "Weights", "check_collisions", "look_again"]

_SEEDED = ({str}, {bytes})
ATOMS = frozenset((str, bytes, int, float, bool, NoneType))
"""What is compared in no time, and says nothing of what is inside it."""
_PLAIN = ATOMS | {tuple}
_QUICK = ATOMS | {complex, Decimal, EllipsisType}
_SLOW = 4
"""The weight of a comparison that runs Python code: 150 to 400 ns, beside 40 to 100."""
_FRACTION = 8
"""The weight of a comparison of a Decimal with a short Fraction."""
_FLOAT, _FAR_FLOAT = 8, 32
"""Of one with a float: 0.4 to 0.7 us, and up to 4 us from 2 ** 64 on and below 2 ** -64."""


class _Inside(NamedTuple):
    """What is known of a frozenset; the set itself, so that its identity stays its own."""

    itself: frozenset[Any]
    crowd: int
    """The most that those of its members weigh that share one hash."""
    decimal: bool
    """Whether there is a Decimal anywhere in it."""
    conversion: int
    """The most that it takes to make a Decimal of a number in it."""


class Weights:
    """What is known of one value while its collections are looked at."""

    __slots__ = ("fractions", "inside", "unlooked")

    def __init__(self, *, fractions: bool, later: bool) -> None:
        self.fractions = fractions
        """Whether there is a Fraction in the value: nobody looks for them where none has come."""
        self.unlooked: list[Collection[Any]] | None = [] if later else None
        """The collections in which no Fraction was looked for, where one may still come that is in them."""
        self.inside: dict[int, _Inside] = {}
        """Of the frozensets that were looked into, by their identity."""


def check_collisions(members: Collection[Any], most: int, types: Types, weights: Weights) -> None:
    """Raise `OverBudget` if comparing the members that share one hash would cost more than `most` of them may, or
    hashing fractions in them would; `Unsendable` if one of two or more cannot be hashed.
    """
    if len(members) < 2:
        if weights.fractions:
            check_fractions(members, most, types)
        elif weights.unlooked is not None:
            weights.unlooked.append(members)
        return
    kinds = set(map(type, members))
    if kinds in _SEEDED or (len(members) <= most and kinds <= ATOMS):
        return
    if weights.fractions or Fraction in kinds:
        check_fractions(members, most, types)
    elif weights.unlooked is not None and not kinds <= ATOMS:
        weights.unlooked.append(members)
    hashes = _hashes_of(members)
    if len(set(hashes)) == len(hashes):
        return
    counts = Counter(hashes)
    found = max(counts.values())
    if found <= most and not kinds <= ATOMS:
        shared = [(found, member) for found, member in zip(hashes, members, strict=True) if counts[found] > 1]
        found = _Weigher(types, weights.inside).heaviest(shared, counts)
    if found > most:
        raise OverBudget("unseeded_members", "members that share one hash", most, found)


def look_again(most: int, types: Types, weights: Weights) -> None:
    """Look for fractions in the collections in which that was put off; raises `OverBudget`."""
    if weights.fractions:
        for members in weights.unlooked or ():
            check_fractions(members, most, types)


class _Weigher:
    """How much it costs to compare two members that share a hash, in comparisons of two ints.

    Frozensets are looked into once each, the inner ones first, also where they are shared; and so is everything else
    that one member holds.  So nothing recurses, however deep they are, and it ends where a record holds itself.
    """

    def __init__(self, types: Types, weights: dict[int, _Inside]) -> None:
        self._types = types
        self._weights = weights

    def heaviest(self, shared: list[tuple[int, Any]], counts: Counter[int]) -> int:
        """Return the most that a group of one hash weighs: its number times the heaviest comparison."""
        if _are_plain([member for _, member in shared]):
            return max(counts.values())
        reached = [(found, self._reach((member,))) for found, member in shared]
        self._weigh_inside(chain.from_iterable(parts for _, parts in reached))
        heaviest = 1
        crowds: dict[int, int] = {}
        conversions: dict[int, int] = {}  # of the groups with a Decimal
        for found, parts in reached:
            slow, crowd, decimal = self._weight(parts)
            heaviest = max(heaviest, max(slow, crowd) * counts[found])
            if crowd > crowds.get(found, 1):
                crowds[found] = crowd
            if decimal:
                conversions[found] = 1
        if conversions:
            for found, parts in reached:
                if found in conversions:
                    conversions[found] = max(conversions[found], self._conversion(parts))
            for found, conversion in conversions.items():
                heaviest = max(heaviest, counts[found] * crowds.get(found, 1) * conversion)
        return heaviest

    def _weigh_inside(self, parts: Iterable[Any]) -> None:
        """Weigh all frozensets among these, each after those in it."""
        opened: set[int] = set()
        left = _frozensets_among(parts, opened)
        while left:
            inner = left.pop()
            if id(inner) in opened:
                opened.discard(id(inner))
                self._weights[id(inner)] = self._look_into(inner)
            elif id(inner) not in self._weights:
                self._weights[id(inner)] = _Inside(inner, 1, False, 1)  # what a record in it sees that holds it
                opened.add(id(inner))
                left.append(inner)
                left += _frozensets_among(self._reach(self._parts(inner)), opened)

    def _reach(self, members: Iterable[Any]) -> list[Any]:
        """Return members and what they hold, outside of frozensets and each once; atoms in tuples are left out."""
        left = list(members)
        seen: dict[int, Any] = {}  # the parts themselves, so that their identities stay their own
        while left:
            part = left.pop()
            if id(part) not in seen:
                seen[id(part)] = part
                if type(part) is not frozenset:
                    left += self._parts(part)
        return list(seen.values())

    def _look_into(self, inner: frozenset[Any]) -> _Inside:
        """Weigh a frozenset whose own frozensets are weighed."""
        hashes = _hashes_of(inner)
        counts = Counter(hashes)
        conversion = self._conversion(self._reach((tuple(inner),)))
        if _are_plain(inner):
            return _Inside(inner, max(counts.values(), default=1), False, conversion)
        crowd, decimal = 1, False
        for found, member in zip(hashes, inner, strict=True):
            slow, within, has_decimal = self._weight(self._reach((member,)))
            crowd = max(crowd, max(slow, within) * counts[found])  # its like is in another set
            decimal = decimal or has_decimal
        return _Inside(inner, crowd, decimal, conversion)

    def _weight(self, parts: list[Any]) -> tuple[int, int, bool]:
        """Return the weight of a comparison of a member, of which these are the parts, with its like, by its own and by
        the frozensets in it, and whether a Decimal is in it."""
        slow, crowd, decimal = 1, 1, False
        for part in parts:
            kind = type(part)
            if kind is frozenset:
                inside = self._weights[id(part)]
                crowd, decimal = max(crowd, inside.crowd), decimal or inside.decimal
            elif kind is Decimal:
                decimal = True
            elif kind not in _QUICK and not isinstance(part, tuple):
                slow = _SLOW
        return slow, crowd, decimal

    def _conversion(self, parts: list[Any]) -> int:
        """Return the most that it takes to compare a number among these parts of a member with a Decimal."""
        number, longest = 1, 0
        for part in parts:
            kind = type(part)
            if kind is frozenset:
                number = max(number, self._weights[id(part)].conversion)
            elif kind is Decimal:
                longest = max(longest, len(str(part)))
            else:
                number = max(number, _number(part if isinstance(part, tuple) else (part,)))
        return number if number == 1 else number + (longest >> 8)

    def _parts(self, member: Any) -> Iterable[Any]:
        """Return what is compared when a member is, and is more than an atom."""
        kind = type(member)
        if kind in _QUICK:
            return ()
        if isinstance(member, (tuple, frozenset)):
            return () if ATOMS.issuperset(map(type, member)) else [part for part in member if type(part) not in ATOMS]
        if kind is slice:
            return member.start, member.stop, member.step
        entry = self._types.of_class(kind)
        if entry is None or entry.layout != RECORD_LAYOUT:
            return ()
        try:
            return entry.read(member)  # type: ignore[no-any-return]  # a record's reader gives a tuple
        except Exception:  # a field that is not set: whoever encodes the record says so
            return ()


def _frozensets_among(parts: Iterable[Any], but: set[int]) -> list[frozenset[Any]]:
    return [part for part in parts if isinstance(part, frozenset) and id(part) not in but]


def _hashes_of(members: Collection[Any]) -> list[int]:
    found = list(members)
    try:
        return list(map(hash, found))
    except Exception as error:
        raise Unsendable(f"a key or member cannot be hashed, it raised {type(error).__name__}") from error


def _are_plain(members: Collection[Any]) -> bool:
    """Whether members are atoms and tuples of atoms: all weigh 1."""
    if not _PLAIN.issuperset(map(type, members)):
        return False
    return ATOMS.issuperset(map(type, chain.from_iterable(member for member in members if type(member) is tuple)))


def _number(parts: Iterable[Any]) -> int:
    """Return the most that it takes to compare one of these, where they are numbers, with a Decimal."""
    most = 1
    kinds = set(map(type, parts))
    if int in kinds:
        most = max(most, _bits_weight(max(map(int.bit_length, (part for part in parts if type(part) is int)))))
    for kind in kinds - _NO_NUMBERS:
        if issubclass(kind, (float, complex)):
            sizes = [abs(part.real) for part in parts if type(part) is kind]
            far = any(size >= _FAR or 0 < size < 1 / _FAR for size in sizes)
            most = max(most, _FAR_FLOAT if far else _FLOAT)
        elif kind is Fraction:
            longest = max(
                part.numerator.bit_length() + part.denominator.bit_length() for part in parts if type(part) is kind
            )
            most = max(most, _FRACTION + _bits_weight(longest))
    return most


def _bits_weight(bits: int) -> int:
    """To make a Decimal of an int takes as long as the square of its length: 1.4 us for 1,000 bits."""
    return bits * bits >> 16


_NO_NUMBERS = frozenset((int, str, bytes, bool, NoneType, tuple, frozenset))
_FAR = 2.0**64
