"""The garbage collector while a large value is decoded: slower, never stopped.  Floor: CODEC.

Decoding makes tens of thousands of containers, none of them garbage.  In a process with a small heap the collector
looks through all of them again for each quarter that they grow by: two to six times what decoding itself takes.  To
stop it (`gc.disable`) is a matter of the whole process, and would undo what another thread wants.  So the number of new
containers after which it looks at the young ones is raised for the while.  Law: whatever comes between (another thread
that decodes, a signal, somebody else who sets that number), the worst that is left is a collector that looks less
often.
"""

from __future__ import annotations

import gc

__all__ = ["LARGE_BYTES", "YOUNG", "hurry", "slow_down"]

YOUNG = 50_000
"""New containers until the collector looks: 3 MiB or more of them, and 5 ms of looking."""
LARGE_BYTES = 64 * 1024
"""Values of this length and more are worth it: 2 ms of decoding, beside 1 µs."""


def slow_down() -> tuple[int, int, int] | None:
    """Have the collector look less often; return what it was told before, or `None` if it was left as it is.

    It is left alone where it is stopped, or is slow already: another thread is at it, or the application wants it so.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < YOUNG:
        return None
    gc.set_threshold(YOUNG, *before[1:])
    return before


def hurry(before: tuple[int, int, int]) -> None:
    """Have it look as often as before, unless somebody else has told it something since."""
    if gc.get_threshold() == (YOUNG, *before[1:]):
        gc.set_threshold(*before)
