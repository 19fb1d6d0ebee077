"""Groups: which links belong together.  Floor: COMMONS.  Law: one lock, and nobody else's code is called inside it.

A group is a name and the links that have joined it.  It is there while it has a member: joining makes it, and the last
one that leaves unmakes it.  A link that has lost its transport stays a member, since what is sent to it waits for it;
one that ends leaves all.
"""

from __future__ import annotations

import threading
from typing import Generic, Protocol, TypeVar

from netstructer.errors import LimitReached, LinkClosed, Misuse

__all__ = ["Grouped", "Groups"]

MOST_GROUPS_OF_LINK = 1024
"""Groups that one link may be in: each costs 200 bytes, and a client may be let choose them by name."""
NAME_CHARACTERS = 128
"""Of a group's name: what a person reads in a list."""


class Grouped(Protocol):
    """What a link shows its groups."""

    @property
    def id(self) -> str: ...
    @property
    def closed(self) -> bool: ...


L = TypeVar("L", bound=Grouped)


class Groups(Generic[L]):
    """The groups of one server.  Thread-safe; every method is one atomic step."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[str, dict[str, L]] = {}
        self._names: dict[str, dict[str, None]] = {}

    def join(self, link: L, group: str) -> bool:
        """Let a link into a group; say whether it was not in there before.

        Raises `Misuse` for a name that is not 1 to 128 printable characters, `LinkClosed` for a link that is closed,
        `LimitReached` beyond 1,024 groups of one link.
        """
        name = _checked(group)
        with self._lock:
            if link.closed:
                raise LinkClosed("a link that is closed joins no group")
            members = self._members.get(name)
            if members is not None and link.id in members:
                return False
            names = self._names.setdefault(link.id, {})
            if len(names) >= MOST_GROUPS_OF_LINK:
                raise LimitReached("a link is in too many groups", limit=MOST_GROUPS_OF_LINK, found=len(names) + 1)
            names[name] = None
            self._members.setdefault(name, {})[link.id] = link
            return True

    def leave(self, link: L, group: str | None = None) -> bool:
        """Take a link out of a group, or out of all; say whether it was in one."""
        with self._lock:
            if group is not None:
                return self._remove(link.id, group)
            names = tuple(self._names.get(link.id, ()))
            for name in names:
                self._remove(link.id, name)
            return bool(names)

    def members(self, group: str) -> tuple[L, ...]:
        """Return who is in a group, the first who joined first; nobody where there is no such group."""
        with self._lock:
            return tuple(self._members.get(group, {}).values())

    def of(self, link: L) -> tuple[str, ...]:
        """Return the groups of a link, in the order in which it joined them."""
        with self._lock:
            return tuple(self._names.get(link.id, ()))

    def names(self) -> tuple[str, ...]:
        """Return all groups, in the order of their names."""
        with self._lock:
            return tuple(sorted(self._members))

    def count(self, group: str) -> int:
        """Return how many are in a group."""
        with self._lock:
            return len(self._members.get(group, ()))

    def __len__(self) -> int:
        with self._lock:
            return len(self._members)

    def __contains__(self, group: object) -> bool:
        with self._lock:
            return group in self._members

    def _remove(self, link_id: str, name: str) -> bool:
        members = self._members.get(name)
        if members is None or members.pop(link_id, None) is None:
            return False
        if not members:
            del self._members[name]
        names = self._names[link_id]
        del names[name]
        if not names:
            del self._names[link_id]
        return True


def _checked(group: object) -> str:
    if not isinstance(group, str) or not 0 < len(group) <= NAME_CHARACTERS or not group.isprintable():
        raise Misuse(f"expected a group's name, of 1 to {NAME_CHARACTERS} printable characters")
    return group
