"""The log's budget: how often strangers may write into it.  Floor: COMMONS.  Law: no clock, and no line is written
here.

A log line about a stranger is a line that anybody can make a server write.  Each source has one in
`Limits.log_seconds`, and all of them together `Limits.log_lines`; the others are counted, and the count is told
later: a source's own with its next line, what was kept back of all in one line at the end of such a time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from netstructer.address import Sources
from netstructer.limits import Limits

__all__ = ["LogBudget"]

MOST_SOURCES = 65_536
"""Sources whose lines are counted; the one longest silent is forgotten."""


@dataclass(slots=True)
class _Lines:
    last: float = float("-inf")
    kept_back: int = 0


class LogBudget:
    """Lines of one server about strangers.  Single owner: the thread of its front door."""

    def __init__(self, limits: Limits, sources: Sources | None = None) -> None:
        self._limits = limits
        self._sources = sources or Sources()
        self._lines: OrderedDict[str, _Lines] = OrderedDict()
        self._began = float("-inf")
        self._written = 0
        self._kept_back = 0

    def may_log(self, ip: str, now: float) -> int | None:
        """Say whether a line about `ip` may be written now: None, or how many of its source were kept back before it.

        An exempt source has its budget too: a loop on this machine fills a disk as well as one elsewhere.
        """
        seconds = self._limits.log_seconds
        if now - self._began >= seconds:
            self._began, self._written = now, 0
        name = self._sources.name(ip)
        lines = self._lines.setdefault(name, _Lines())
        self._lines.move_to_end(name)
        while len(self._lines) > MOST_SOURCES:
            self._lines.popitem(last=False)
        if now - lines.last < seconds:
            lines.kept_back += 1
            return None
        if self._written >= self._limits.log_lines:
            # What its own next line will tell is not told twice.
            self._kept_back += 1
            return None
        self._written += 1
        lines.last = now
        kept_back, lines.kept_back = lines.kept_back, 0
        return kept_back

    @property
    def owes_summary(self) -> bool:
        """Whether lines were kept back that no summary has told of."""
        return self._kept_back > 0

    def summary(self, now: float) -> int:
        """Return how many lines were kept back because all sources together had written enough, once they have a new
        budget; 0 where there is nothing to tell.
        """
        if not self._kept_back or now - self._began < self._limits.log_seconds:
            return 0
        told, self._kept_back = self._kept_back, 0
        return told
