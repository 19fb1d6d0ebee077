"""What it costs to compare members of one hash, by section 8 of docs/values.md: a part of the second reader of values.

Law: nothing of netstructer is imported here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from reader_structs import Applied

QUICK = (type(None), bool, int, float, str, bytes, complex, Decimal, type(...), tuple, frozenset)
"""What is compared without code in Python."""
Members = list[Any]


def of_one_hash(members: Iterable[Any]) -> list[Members]:
    """Return the members in groups that share one hash."""
    groups: dict[int, Members] = defaultdict(list)
    for member in members:
        groups[hash(member)].append(member)
    return list(groups.values())


def product(group: Members) -> int:
    """Return how many these are, times the weight of the heaviest."""
    return len(group) * max(map(weight, group))


def weight(member: Any) -> int:
    """Return what it weighs to compare a member with its like."""
    if type(member) is frozenset:
        return max(map(product, of_one_hash(member)), default=1)
    return max(1 if type(member) in QUICK else 4, *map(weight, held_by(member)), 1)


def held_by(member: Any) -> tuple[Any, ...]:
    """Return what a member holds that is compared with it."""
    if type(member) in (tuple, frozenset):
        return tuple(member)
    if type(member) is slice:
        return member.start, member.stop, member.step
    return member.parts if type(member) is Applied and member.tag == 0xFA else ()


def fractions_of_one_hash(members: Iterable[Any]) -> int:
    """Return how many different fractions, of those that these are or hold outside of frozensets, have parts of one
    hash."""
    parts: dict[int, set[tuple[int, int]]] = defaultdict(set)
    left = list(members)
    while left:
        part = left.pop()
        if type(part) is Fraction:
            pair = part.numerator, part.denominator
            parts[hash(pair)].add(pair)
        elif type(part) is not frozenset:
            left += held_by(part)
    return max(map(len, parts.values()), default=0)


def second_product(group: Members) -> int:
    """Return what it weighs, besides, to compare these where a Decimal is among them."""
    inside = list(all_inside(group))
    if not any(type(part) is Decimal for part in inside):
        return 1
    heaviest = max((weight(part) for part in inside if type(part) is frozenset), default=1)
    return len(group) * heaviest * max(conversion((member,)) for member in group)


def all_inside(members: Iterable[Any]) -> Iterator[Any]:
    """Return the members and everything that they hold, at any depth."""
    for member in members:
        yield member
        yield from all_inside(held_by(member))


def conversion(members: Iterable[Any]) -> int:
    """Return the most that it takes to make a Decimal of a number among these, or in them."""
    most, longest, left = 1, 0, list(members)
    while left:
        part = left.pop()
        if type(part) is frozenset:
            most = max(most, conversion(part))
            continue
        if type(part) is Decimal:
            longest = max(longest, len(str(part)))
        most = max(most, number(part))
        left += held_by(part)
    return most if most == 1 else most + longest // 256


def number(part: Any) -> int:
    """Return what it takes to make a Decimal of this, if it is a number."""
    if type(part) is int:
        return part.bit_length() ** 2 // 65_536
    if type(part) is Fraction:
        return 8 + (part.numerator.bit_length() + part.denominator.bit_length()) ** 2 // 65_536
    if type(part) in (float, complex):
        size = abs(part.real)
        return 32 if size >= 2.0**64 or 0 < size < 2.0**-64 else 8
    return 1
