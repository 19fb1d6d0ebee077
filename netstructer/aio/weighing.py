"""Weighing: whether a value is too much to be encoded in the loop.  Floor: FAÇADES.  Law: a look, not a walk.

What encoding costs shows only when it is done.  So a value is looked at as far as a few hundred of its items: one that
has more, or as much text and bytes as take long to compress, is heavy.  A light one that is taken for heavy loses a
tenth of a millisecond; a heavy one that is taken for light (objects of one's own that hold much) stops the loop once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["is_heavy"]

HEAVY_ITEMS = 512
"""Items from which a value is encoded apart: 0.05 ms and more, twice what the way there and back costs."""
HEAVY_BYTES = 64 << 10
"""Bytes and text of which a value has so many are compressed apart: 0.2 ms and more."""


def is_heavy(value: object) -> bool:
    """Say whether a value is likely to take the loop longer than a millisecond to encode and compress."""
    kind = type(value)
    if kind is int or kind is bool or kind is float or value is None:
        return False
    left, weight = HEAVY_ITEMS, 0
    level: list[Any] = [value]
    while level:
        item = level.pop()
        left -= 1
        if isinstance(item, (str, bytes, bytearray)):
            weight += len(item)
        elif isinstance(item, memoryview):
            weight += item.nbytes
        elif isinstance(item, Mapping):
            if 2 * len(item) >= left:
                return True
            level.extend(item.keys())
            level.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            if len(item) >= left:
                return True
            level.extend(item)
        elif isinstance(weighed := getattr(item, "nbytes", 0), int):
            weight += weighed
        if left <= 0 or weight >= HEAVY_BYTES:
            return True
    return False
