"""Timers: when to look at whom, for thousands of them that are hardly ever looked at.  Floor: COMMONS.

Law: no clock here, times are arguments; nothing that was discarded is held on to.

A heap of (time, ticket), and what stands behind each ticket in a dict.  Somebody who is to be looked at earlier gets
another ticket, somebody who is discarded loses it, and the old ones stay in the heap, of no meaning, until their time
comes or until there are more of them than others.  Who is to be looked at later keeps the ticket: he is looked at too
early, once, and says then when to come again.  So a time that moves away with every message costs nothing.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

__all__ = ["Timers"]

Timed = TypeVar("Timed")

SPARE_TICKETS = 64
"""So many tickets of no meaning are never worth a clearing."""


class Timers(Generic[Timed]):
    """At most one time for each of those it has.  Single owner."""

    __slots__ = ("_heap", "_holders", "_tickets", "_times")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._times: dict[Timed, tuple[float, int]] = {}
        self._holders: dict[int, Timed] = {}
        self._tickets = count()

    def advance(self, who: Timed, when: float) -> None:
        """Look at `who` at the time `when`, unless that will be done earlier."""
        known = self._times.get(who)
        if known is not None:
            if known[0] <= when:
                return
            del self._holders[known[1]]
        entry = (when, next(self._tickets))
        self._times[who] = entry
        self._holders[entry[1]] = who
        heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._holders) + SPARE_TICKETS:
            self._heap = list(self._times.values())
            heapify(self._heap)

    def discard(self, who: Timed) -> None:
        """Look at `who` no more.  May be done twice."""
        known = self._times.pop(who, None)
        if known is not None:
            del self._holders[known[1]]

    def due(self, now: float) -> list[Timed]:
        """Take out and return those who are to be looked at by now, in order."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            who = self._holders.pop(heappop(self._heap)[1], None)
            if who is not None:
                del self._times[who]
                found.append(who)
        return found

    def next(self) -> float | None:
        """Return when there is somebody to look at; None where there is nobody."""
        while self._heap and self._heap[0][1] not in self._holders:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._times)
