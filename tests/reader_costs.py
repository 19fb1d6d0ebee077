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


def meet(group: Members) -> bool:
    """Whether these hold both a Decimal and a number that is large beside it."""
    found = {mark for member in group for mark in marks(member)}
    return len(found) == 2


def marks(member: Any) -> Iterator[str]:
    if type(member) is Decimal:
        yield "Decimal"
    elif is_large(member):
        yield "large"
    for part in held_by(member):
        yield from marks(part)


def is_large(member: Any) -> bool:
    """Whether it is a number, and neither an int of 64 bits nor a float that is a whole number below 2^53."""
    if type(member) is complex:
        return is_large(member.real)
    if type(member) is float:
        return not (member.is_integer() and abs(member) < 1 << 53)
    if type(member) in (int, Fraction):
        return max(abs(member.numerator), member.denominator) >= 1 << 64
    return False
