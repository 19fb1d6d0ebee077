"""Admission: what strangers may cost a server.  Floor: COMMONS.  Law: no socket here; time and chance are arguments.

Spec: protocol.md, "Budgets before authentication"; the numbers and their reasons are in limits.py.  A *stranger* is a
transport that has not yet proved a key.  Each holds a place until it has, or until it is closed.  A source is what
`address.Sources` says; those that it exempts have places of the whole, and are not counted by source.

Places are few, so whoever takes many keeps others out.  OpenSSH's answer is to drop newcomers at random from half of
the places on; then eight sources of sixteen places each cost everybody else every third try.  Here a newcomer whose
source holds no place yet is let in first, and the oldest stranger of the source that holds most makes way: an honest
handshake takes two round trips, so the oldest of a crowd is the least honest guess.  Chance decides where every source
holds one place only, and nobody is greedier than the newcomer.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from netstructer.address import Sources
from netstructer.limits import Limits

__all__ = ["Admission", "Verdict"]

MOST_SOURCES = 65_536
"""Sources whose tries are remembered; the one longest unseen is forgotten."""


class Verdict(Enum):
    """What becomes of a new transport."""

    ENTER = "it has a place"
    INSTEAD = "it has a place, and the oldest stranger of the greediest source must go"
    UNREAD = "it is closed unread"


@dataclass(slots=True)
class _Tries:
    left: float
    counted: float


class Admission:
    """Places of one server.  Single owner: the thread of its front door."""

    def __init__(self, limits: Limits, sources: Sources | None = None) -> None:
        self._limits = limits
        self._sources = sources or Sources()
        self._tries: OrderedDict[str, _Tries] = OrderedDict()
        self._held: dict[str, int] = {}
        self.half_open = 0
        """Places that are taken."""

    @property
    def crowded(self) -> bool:
        """Whether places are short enough for tries to be enforced, and for nobody unwelcome to be heard out."""
        return self.half_open >= self._limits.half_open_early // 4

    def admit(self, ip: str, now: float, chance: float) -> Verdict:
        """Say whether a new transport from `ip` gets a place, and take it; `chance` is a random number from 0 to 1.

        Unread: from a source with too many places, and, while a quarter of `half_open_early` is taken, from one with
        too many tries (as WireGuard counts tries only under load: an office behind one address that opens its links at
        nine o'clock is no attack).  At `half_open` places all newcomers, and from `half_open_early` on some at random,
        ever more, are unread too, unless a greedier source makes way for them.  After INSTEAD, dismiss the oldest of
        `greediest`.
        """
        counted = not self._sources.exempts(ip)
        source = self._sources.name(ip)
        if counted:
            if self._held.get(source, 0) >= self._limits.half_open_per_source:
                return Verdict.UNREAD
            if self.crowded and self._tries_of(source, now).left < 1:
                return Verdict.UNREAD
        verdict = Verdict.ENTER
        if self._crowds_out(chance):
            if self._held.get(source, 0) or not self.greediest:
                return Verdict.UNREAD
            verdict = Verdict.INSTEAD
        if counted:
            tries = self._tries_of(source, now)
            tries.left = max(0.0, tries.left - 1)
            self._held[source] = self._held.get(source, 0) + 1
        self.half_open += 1
        return verdict

    def leave(self, ip: str, now: float, *, proved: bool) -> None:
        """Give a place back; one that proved a key has its try back too."""
        self.half_open -= 1
        if self._sources.exempts(ip):
            return
        source = self._sources.name(ip)
        self._held[source] -= 1
        if not self._held[source]:
            del self._held[source]
        if proved:
            tries = self._tries_of(source, now)
            tries.left = min(self._limits.connect_burst, tries.left + 1)

    @property
    def greed(self) -> int:
        """The most places that one source holds; those that are exempt are not counted."""
        return max(self._held.values(), default=0)

    @property
    def greediest(self) -> str | None:
        """The source that holds most places, more than one; None where there is none."""
        source = max(self._held, key=self._held.__getitem__, default=None)
        return source if source is not None and self._held[source] > 1 else None

    def _crowds_out(self, chance: float) -> bool:
        limits = self._limits
        over = self.half_open - limits.half_open_early
        if self.half_open >= limits.half_open:
            return True
        return over >= 0 and chance < 0.3 + 0.7 * over / (limits.half_open - limits.half_open_early)

    def _tries_of(self, source: str, now: float) -> _Tries:
        tries = self._tries.get(source)
        if tries is None:
            tries = self._tries[source] = _Tries(left=self._limits.connect_burst, counted=now)
            while len(self._tries) > MOST_SOURCES:
                self._tries.popitem(last=False)
        self._tries.move_to_end(source)
        gained = (now - tries.counted) * self._limits.connects_per_second
        tries.left = min(self._limits.connect_burst, tries.left + gained)
        tries.counted = now
        return tries
