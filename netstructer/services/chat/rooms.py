"""Rooms: made by the first who joins, gone with the last.  Floor: SERVICES.  Law: what happens in a room has an order.

Who is in a room stands in the server's groups, under a name of the chat's own.  What is done in a room is done under
its lock: a message is kept and published before the next has a number, and who joins sees each message once, in what
he is told of the past or as it comes.  So many calls wait for that lock and no more; whoever would be one too many, or
waits for too long, is told that the room is busy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from netstructer.errors import Busy, LimitReached, NotHere
from netstructer.services.chat.texts import Named

__all__ = ["GROUP_OF_ALL", "Room", "Rooms"]

GROUP_OF_ALL = "chat"
"""The group of everybody who has entered."""
_GROUP_OF_ROOM = "chat room "
TURN_SECONDS = 10.0
"""How long a call waits for its turn in a room: each of those before it flushes a disk."""


class Room:
    """One room."""

    __slots__ = ("_held", "_is_known", "_turn", "group", "kept_out", "last", "name")

    def __init__(self, name: Named) -> None:
        self.name = name
        self.last = 0
        """The number of what was said last."""
        self._is_known = False
        self.group = _GROUP_OF_ROOM + name.folded
        self.kept_out: dict[str, float] = {}
        """Who may not join, by the one spelling of their names, and until when by the monotonic clock."""
        self._turn = threading.Lock()
        self._held = 0


class Rooms:
    """The rooms in which somebody is.  Thread-safe.

    `last(folded)` says how a room was written and what its last number was, where it is known from before.
    """

    def __init__(self, groups: Any, *, most: int, waiting: int, last: Callable[[str], tuple[str, int] | None]) -> None:
        self._groups, self._most, self._waiting, self._last = groups, most, waiting, last
        self._lock = threading.Lock()
        self._rooms: dict[str, Room] = {}

    @contextmanager
    def held(self, name: Named, *, make: bool = False) -> Iterator[Room]:
        """Give a room, for whoever holds it alone until the block ends.

        Raises `NotHere` where there is no such room and none is to be made, `LimitReached` where it would be one too
        many, and `Busy` where it is not to be had in time.
        """
        with self._lock:
            room = self._rooms.get(name.folded)
            if room is None:
                if not make:
                    raise NotHere("you are not in that room")
                if len(self._rooms) >= self._most:
                    raise LimitReached(
                        f"expected at most {self._most} rooms, found as many", limit=self._most, found=self._most + 1
                    )
                room = self._rooms[name.folded] = Room(name)
            if room._held >= self._waiting:
                raise Busy("too many want something of that room at once", limit=self._waiting, found=room._held + 1)
            room._held += 1
        try:
            if not room._turn.acquire(timeout=TURN_SECONDS):
                raise Busy("the room is busy")
            try:
                self._recall(room)
                yield room
            finally:
                room._turn.release()
        finally:
            with self._lock:
                room._held -= 1
                self._forget_if_empty(room)

    def _recall(self, room: Room) -> None:
        if room._is_known:
            return
        if (found := self._last(room.name.folded)) is not None:
            room.name, room.last = Named(found[0], room.name.folded), found[1]
        room._is_known = True

    def tidy(self) -> None:
        """Forget rooms that their last links have left by ending."""
        with self._lock:
            for room in tuple(self._rooms.values()):
                self._forget_if_empty(room)

    def _forget_if_empty(self, room: Room) -> None:
        if not room._held and not self._groups.count(room.group):
            self._rooms.pop(room.name.folded, None)

    def of(self, link: Any) -> tuple[Room, ...]:
        """Return the rooms that a link is in, in the order in which it joined them."""
        names = [name.removeprefix(_GROUP_OF_ROOM) for name in self._groups.of(link) if name.startswith(_GROUP_OF_ROOM)]
        with self._lock:
            return tuple(self._rooms[name] for name in names if name in self._rooms)

    def all(self) -> tuple[Room, ...]:
        """Return all rooms, by their names."""
        with self._lock:
            return tuple(room for _, room in sorted(self._rooms.items()))
