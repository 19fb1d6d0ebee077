"""The turnstile: how fast a crowd of newcomers is taken in.  Floor: COMMONS.  Law: no clock here; time is an argument.

Spec: protocol.md, "Budgets before authentication".  A server that comes back finds a thousand clients at its door, and
accepting is ten times as fast as a handshake.  Who takes in all that come runs out of places for strangers, and closes
honest ones unread.  So where places become short the turnstile shuts, and newcomers wait where they cost nothing: in
the system's queue.

An attack would keep it shut.  So it shuts only while the crowd is one that is served: half of those who hold a place
came a moment ago, half of those who left theirs lately had proved a key, and no source holds many.  Strangers who hold
their places in silence are soon no longer of a moment ago, those who come and go prove nothing, and a few sources that
take all they can get are greedy; then the turnstile stays open, and admission.py decides who gets a place and who makes
way.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice

from netstructer.limits import Limits

__all__ = ["Turnstile"]

MOMENT_SECONDS = 1.0
"""A handshake takes one round trip from here on: a third of this across the world, or in a client that opens thousands
of links itself."""
EVEN_PLACES = 4
"""What one source may hold in a crowd that waits: a few links that one machine, or a small office, opens at once."""
SLACK = 16
"""Places between shutting and opening again, and below where newcomers begin to be dropped."""
WEIGHT = 0.05
"""Of the last one who left, in the share of those who had proved a key: some twenty decide."""


class Turnstile:
    """Who holds a place, in the order in which they came.  Single owner."""

    def __init__(self, limits: Limits) -> None:
        self._most = max(1, limits.half_open_early - SLACK)
        self._least = max(1, self._most - SLACK)
        self._inside: dict[Hashable, float] = {}
        self._proved_share = 1.0
        self._shut = False

    def enter(self, who: Hashable, now: float) -> None:
        """Take in that a newcomer holds a place."""
        self._inside[who] = now

    def leave(self, who: Hashable, *, proved: bool) -> None:
        """Take in that somebody holds a place no longer, because his key is proved or not; he may have had none."""
        if self._inside.pop(who, None) is not None:
            self._proved_share += WEIGHT * (proved - self._proved_share)

    def shut(self, now: float, greed: int) -> bool:
        """Say whether newcomers are to wait outside; `greed` is the most places that one source holds."""
        count = len(self._inside)
        self._shut = count >= (self._least if self._shut else self._most)
        if greed > EVEN_PLACES or self._proved_share < 0.5:
            self._shut = False
        if self._shut:
            middle = next(islice(self._inside.values(), count // 2, None))
            self._shut = now - middle < MOMENT_SECONDS
        return self._shut
