"""Occupancy: who holds the places of a server's links.  Floor: COMMONS.  Law: one lock; nobody else's code inside it.

Spec: protocol.md, "Budgets before authentication".  A server has places for so many links in all, a source for so many
of them, and a user, where keys have users.  A link holds its place from when its key is proved until it has ended,
whether the registry knows it or not.
"""

from __future__ import annotations

import threading

from netstructer.address import Sources
from netstructer.limits import Limits

__all__ = ["Occupancy"]


class Occupancy:
    """The places of one server's links, by the link's id.  Thread-safe."""

    def __init__(self, limits: Limits, most: int, sources: Sources | None = None) -> None:
        self._limits = limits
        self.most = most
        """How many places there are in all."""
        self._sources = sources or Sources()
        self._lock = threading.Lock()
        self._holders: dict[str, tuple[str | None, str | None]] = {}
        self._by_source: dict[str, int] = {}
        self._by_user: dict[str, int] = {}

    def enter(self, link_id: str, ip: str, user: str | None) -> None:
        """Give a link its place; one that has a place already moves, as a session does that goes on elsewhere."""
        source = None if self._sources.exempts(ip) else self._sources.name(ip)
        with self._lock:
            self._give_up(link_id)
            self._holders[link_id] = source, user
            if source is not None:
                self._by_source[source] = self._by_source.get(source, 0) + 1
            if user is not None:
                self._by_user[user] = self._by_user.get(user, 0) + 1

    def leave(self, link_id: str) -> None:
        """Take a link's place back; it may have none."""
        with self._lock:
            self._give_up(link_id)

    def full(self, ip: str, user: str | None = None, *, without: str | None = None) -> bool:
        """Say whether there is no place for one more link from `ip`, or of `user` where that is known.

        `without` says it as if the link of that id had left: letting a link go helps only where its own place was the
        one that is short, and who has used up the places of one source costs nobody else a session.
        """
        source = None if self._sources.exempts(ip) else self._sources.name(ip)
        with self._lock:
            spared = self._holders.get(without) if without is not None else None
            spared_source, spared_user = spared or (None, None)
            return (
                len(self._holders) - (spared is not None) >= self.most
                or (
                    source is not None
                    and self._by_source.get(source, 0) - (spared_source == source) >= self._limits.links_per_source
                )
                or (
                    user is not None
                    and self._by_user.get(user, 0) - (spared_user == user) >= self._limits.links_per_user
                )
            )

    def __len__(self) -> int:
        with self._lock:
            return len(self._holders)

    def _give_up(self, link_id: str) -> None:
        source, user = self._holders.pop(link_id, (None, None))
        for counts, name in ((self._by_source, source), (self._by_user, user)):
            if name is not None:
                counts[name] -= 1
                if not counts[name]:
                    del counts[name]
