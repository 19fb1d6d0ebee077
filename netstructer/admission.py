"""Admission: what strangers may cost a server.  Floor: COMMONS.  Law: no socket here; time and chance are arguments.

Spec: protocol.md, "Budgets before authentication"; the numbers and their reasons are in limits.py.  A *stranger* is a
transport that has not yet proved a key.  Each holds a place until it has, or until it is closed.  A source is one IPv4
address or one IPv6 /64.  Loopback is exempt from what is counted for each source: it is this machine itself, and one
program that opens a hundred links at once there is ordinary.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from netstructer.address import is_loopback, source_of
from netstructer.limits import Limits

__all__ = ["Admission"]

MOST_SOURCES = 65_536
"""Sources that are remembered; the one longest unseen is forgotten."""


@dataclass(slots=True)
class _Source:
    allowance: float
    counted: float
    half_open: int = 0
    logged: float = float("-inf")
    unlogged: int = 0


class Admission:
    """Budgets of one server.  Single owner: the thread of its front door."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self.half_open = 0

    def admit(self, ip: str, now: float, chance: float) -> bool:
        """Say whether a new transport from `ip` gets a place; `chance` is a random number from 0 to 1.

        Refused: at `half_open` places taken all, from `half_open_early` on some at random, ever more; a source with too
        many places; and, while a quarter of `half_open_early` is taken, one with too many tries (as WireGuard counts
        tries only under load: an office behind one address that opens its links at nine o'clock is no attack).
        """
        limits = self._limits
        over = self.half_open - limits.half_open_early
        if self.half_open >= limits.half_open:
            return False
        if over >= 0 and chance < 0.3 + 0.7 * over / (limits.half_open - limits.half_open_early):
            return False
        if not is_loopback(ip):
            source = self._source(ip, now)
            crowded = self.half_open >= limits.half_open_early // 4
            if source.half_open >= limits.half_open_per_source or (crowded and source.allowance < 1):
                return False
            source.allowance = max(0.0, source.allowance - 1)
            source.half_open += 1
        self.half_open += 1
        return True

    def leave(self, ip: str, now: float, *, proved: bool) -> None:
        """Give a place back; one that proved a key has its try back too."""
        self.half_open -= 1
        if not is_loopback(ip):
            source = self._source(ip, now)
            source.half_open = max(0, source.half_open - 1)
            if proved:
                source.allowance = min(self._limits.connect_burst, source.allowance + 1)

    def may_log(self, ip: str, now: float) -> int | None:
        """Say whether a line about `ip` may be logged now: None, or how many were kept back since the last one."""
        source = self._source(ip, now)
        if now - source.logged < self._limits.log_seconds:
            source.unlogged += 1
            return None
        source.logged = now
        kept, source.unlogged = source.unlogged, 0
        return kept

    def _source(self, ip: str, now: float) -> _Source:
        name = source_of(ip)
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source(allowance=self._limits.connect_burst, counted=now)
            while len(self._sources) > MOST_SOURCES:
                self._sources.popitem(last=False)
        self._sources.move_to_end(name)
        gained = (now - source.counted) * self._limits.connects_per_second
        source.allowance = min(self._limits.connect_burst, source.allowance + gained)
        source.counted = now
        return source
