"""Sets whose members are being read: where they are, and whether they are in order.  Floor: CODEC.

Law: members are compared where they are.  A copy of each would copy the innermost member of sets in sets once for each
level: 1 GiB, 256 times.
"""

from __future__ import annotations

__all__ = ["SHORT_BYTES", "Span", "is_before"]

SHORT_BYTES = 4096
"""Two members that are shorter together may be copied: to call `is_before` takes longer."""


class Span:
    """An open set: how many members are to come, and where in the whole value the present one began, and the one before
    it, -1 for none."""

    __slots__ = ("left", "previous", "start", "tag")

    def __init__(self, tag: int, left: int, start: int) -> None:
        self.tag = tag
        self.left = left
        self.start = start
        self.previous = -1

    @property
    def kept(self) -> int:
        """From where on the bytes are still needed."""
        return self.start if self.previous < 0 else self.previous


def is_before(data: bytes, start: int, stop: int, other: int, other_stop: int) -> bool:
    """Return whether `data[start:stop] < data[other:other_stop]`, copying not much more than they have in common."""
    step = 64
    while start < stop and other < other_stop:
        ours, theirs = data[start : min(start + step, stop)], data[other : min(other + step, other_stop)]
        if ours != theirs:
            return ours < theirs
        start += step
        other += step
        step = min(2 * step, _MOST_STEP)
    return start >= stop and other < other_stop


_MOST_STEP = 64 * 1024
