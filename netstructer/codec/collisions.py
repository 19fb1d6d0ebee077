"""Hash collisions: how many keys of one dict or members of one set may share a hash.  Floor: CODEC.

`str` and `bytes` hash with a secret of the process, but ints, `Decimal`, `UUID`, tuples and frozensets of such do not:
an attacker can make any number of them with one hash, and a set of n such members costs n * n / 2 comparisons (32,768
big ints, 381 KiB of them: 5.8 s).  Counting members "that could collide" would refuse honest data, a dict of a million
`(x, y)` keys among it.  So what is counted is what costs: members that *do* share one hash.  Hashing alone is linear,
and hashes that merely share their low bits cost at most four times the usual (measured), so equal hashes are all that
matters.

Honest data stays far below the limit: `hash(-1) == hash(-2)`, so a grid in d dimensions has groups of 2 ** d.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from netstructer.codec.refusals import OverBudget

__all__ = ["check_collisions"]

_SEEDED = ({str}, {bytes})


def check_collisions(members: Collection[Any], most: int) -> None:
    """Raise `OverBudget` if more than `most` of the members share one hash; `TypeError` if one has none."""
    if len(members) <= most or set(map(type, members)) in _SEEDED:
        return
    hashes = list(map(hash, members))
    if len(set(hashes)) == len(hashes):
        return
    found = max(Counter(hashes).values())
    if found > most:
        raise OverBudget("unseeded_members", "members that share one hash", most, found)
