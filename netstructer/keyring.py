"""The key ring: the keys that a server accepts, while it runs.  Floor: GROUND.  Law: what ended opens no link.

One key for all, or keys of users; a user may have several, as while one takes the place of another:

    server.keys.add(new, user="ann")            ann's links learn the new key, and use it when they next connect
    server.keys.retire(old, after=7 * 86400)    the old one opens links for a week more
    server.keys.uses()                          who still uses which: the links open, and when it last opened one

An end is a moment of the wall clock, the only clock that two machines and a calendar share; it comes in by the door
(`wall`).  A clock that jumps ends keys early or late, and nothing else.  A key that is retired at once is *revoked*: no
clock brings it back, and a link that it opened is told no other key, because it may be a thief's.

What is looked up is decided under one lock; nobody else's code is called inside it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from netstructer.errors import InvalidKey, Misuse
from netstructer.keys import NO_KEY_ID, Key, KeyText, fingerprint_of, key_from

__all__ = ["KeyRing", "KeyUse", "Moment"]

TIDY_KEYS = 64
"""With fewer keys than this nobody looks which have ended: so many cost nothing."""

Moment = datetime | float
"""A `datetime` with a time zone, or seconds since 1970."""
Wall = Callable[[], float]
Added = Callable[[Key, str | None], object]


class KeyUse(NamedTuple):
    """How one key of a ring is used."""

    fingerprint: str
    user: str | None
    until: float | None
    """When it ends, or has ended: seconds since 1970; None where no end is set."""
    last_used: float | None
    """When it last opened a link, in seconds since 1970; None where it never did since the server started."""
    open_links: int
    """Links that were opened with it and are open."""


@dataclass(slots=True)
class _Entry:
    key: Key
    user: str | None
    until: float | None = None
    last_used: float | None = None
    open_links: int = 0
    announced: bool = True
    revoked: bool = False

    def accepted(self, now: float) -> bool:
        return not self.revoked and (self.until is None or now < self.until)


_NOBODYS = _Entry(Key.generate(), None)
"""What is looked at in the place of a key that is not here, for as long as one that is.  It opens nothing."""


class KeyRing:
    """The keys that a server accepts, found by key id.  Thread-safe.

    `keys` is one key, or a mapping of user names to keys.  `wall` is the clock by which keys end; without one none can.
    Raises `InvalidKey` for a key that is none (naming the user, not the key) or that is here already, and `Misuse` for
    a ring without keys or a user without a name.
    """

    __slots__ = ("_added", "_entries", "_links", "_lock", "_of_user", "_tidy_at", "_wall")

    def __init__(self, keys: KeyText | Mapping[str, KeyText], *, wall: Wall | None = None) -> None:
        named: Mapping[Any, KeyText] = keys if isinstance(keys, Mapping) else {None: keys}
        if not named:
            raise Misuse("expected at least one key")
        self._lock = threading.Lock()
        self._wall = wall
        self._added: list[Added] = []
        self._links: dict[str, _Entry] = {}
        self._entries: dict[bytes, _Entry] = {}
        self._of_user: dict[str | None, dict[bytes, _Entry]] = {}
        self._tidy_at = TIDY_KEYS
        for user, text in named.items():
            if isinstance(keys, Mapping) and not isinstance(user, str):
                raise Misuse("expected a mapping of user names to keys")
            self.add(text, user=user)

    def add(self, key: KeyText, *, user: str | None = None, until: Moment | None = None, announce: bool = True) -> None:
        """Accept one more key, from now on; until a moment, where one is given.

        The links that are open with an older key of the same user learn it, and use it from their next connection on:
        keep it where the server finds it when it starts again.  With `announce=False` they do not, as where a user has
        a key for each of several machines.  Raises `InvalidKey` for a key that is none or is here already, and `Misuse`
        for a user without a name or an end that is no moment.
        """
        if user is not None and (not isinstance(user, str) or not user):
            raise Misuse("expected a user's name as text, or None")
        found = key if isinstance(key, Key) else key_from(f"the key of {user!r}" if user else "the key", key)
        entry = _Entry(found, user, self._moment(until), announced=announce)
        now = self._now()
        with self._lock:
            there = self._entries.get(found.key_id)
            if there is not None and there.accepted(now):
                raise InvalidKey(f"{_name_of(user)} has the same key as {_name_of(there.user)}")
            if there is not None:  # a key that ended, back again
                self._forget(there)
                there.user, there.until, there.announced, there.revoked = user, entry.until, announce, False
                entry = there
            self._tidy(now)
            self._entries[found.key_id] = self._of_user.setdefault(user, {})[found.key_id] = entry
            added = tuple(self._added)
        for tell in added:
            tell(found, user)

    def retire(
        self,
        key: KeyText | None = None,
        *,
        user: str | None = None,
        after: float | None = None,
        until: Moment | None = None,
    ) -> int:
        """End a key, given itself or by its fingerprint, or all keys of a user; return how many keys that are.

        They end in `after` seconds, or at a moment, or with neither at once, and then no clock that is set back lets
        them open links again.  A key that ends sooner already keeps its end.  Links that are open stay open: `uses`
        counts them, `server.pop(user=...)` finds them; those of a key that was ended at once learn no new one.  Raises
        `Misuse` where there is no such key, or none that has not ended.
        """
        if (key is None) == (user is None) or (after is not None and until is not None):
            raise Misuse("expected a key or user=, and at most one of after= and until=")
        if after is not None and not 0 <= after < math.inf:
            raise Misuse("expected after= as a number of seconds, 0 or more")
        if after:
            until = self._moment(self._now() + after)
        now = self._now()
        end = now if until is None else self._moment(until)
        assert end is not None
        key_id = None if key is None else _key_id_of(key)
        with self._lock:
            of_user = self._of_user.get(user, {}).values()
            named = of_user if key_id is None else filter(None, [self._entries.get(key_id)])
            found = [entry for entry in named if entry.accepted(now)]
            for entry in found:
                entry.until = end if entry.until is None else min(entry.until, end)
                entry.revoked = until is None or end <= now
        if not found:
            raise Misuse("there is no such key in the ring" if user is None else f"{user!r} has no key in the ring")
        return len(found)

    def lookup(self, key_id: bytes) -> tuple[Key, str | None] | None:
        """Return the key of that id and its user's name; `None` for one that is not here or has ended.

        Eight zeros name the only key of a ring of one.  A key that is here and one that is not take as long to find.
        """
        now = self._now()
        with self._lock:
            if key_id == NO_KEY_ID:
                accepted = tuple(islice((entry for entry in self._entries.values() if entry.accepted(now)), 2))
                found = accepted[0] if len(accepted) == 1 else _NOBODYS
            else:
                found = self._entries.get(key_id, _NOBODYS)
            may_enter, who = found.accepted(now), (found.key, found.user)
            return who if may_enter and found is not _NOBODYS else None

    def newest(self, user: str | None) -> Key | None:
        """Return the key of a user that was added (and announced) last and has not ended."""
        now = self._now()
        with self._lock:
            for entry in reversed(self._of_user.get(user, {}).values()):
                if entry.announced and entry.accepted(now):
                    return entry.key
        return None

    def uses(self) -> tuple[KeyUse, ...]:
        """Return how each key is used, in the order in which they were added.

        A key that has ended is there as long as links that it opened are open.
        """
        now = self._now()
        with self._lock:
            return tuple(
                KeyUse(entry.key.fingerprint, entry.user, entry.until, entry.last_used, entry.open_links)
                for entry in self._entries.values()
                if entry.accepted(now) or entry.open_links
            )

    # --- for the server ---------------------------------------------------------------------------------------------

    def is_revoked(self, key: KeyText) -> bool:
        """Say whether a key, given itself or by its fingerprint, was ended at once, or is not here any more."""
        with self._lock:
            entry = self._entries.get(_key_id_of(key))
            return entry is None or entry.revoked

    def opened(self, link_id: str, key_id: bytes) -> None:
        """Note that a key has opened a link, or a new transport of one that another key opened before."""
        now = None if self._wall is None else self._wall()
        with self._lock:
            self._let_go(link_id)
            entry = self._entries.get(key_id)
            if entry is not None:
                self._links[link_id] = entry
                entry.open_links += 1
                entry.last_used = now

    def closed(self, link_id: str) -> None:
        """Note that a link is over.  May be said twice."""
        with self._lock:
            self._let_go(link_id)

    def _let_go(self, link_id: str) -> None:
        entry = self._links.pop(link_id, None)
        if entry is not None:
            entry.open_links -= 1

    def subscribe(self, tell: Added) -> None:
        """Call `tell(key, user)` for each key that is added from now on, in the thread that adds it."""
        with self._lock:
            self._added.append(tell)

    def set_clock(self, wall: Wall) -> None:
        """Give the ring the clock by which keys end, where it has none."""
        with self._lock:
            self._wall = self._wall or wall

    def renew(self) -> None:
        """Be usable in a forked child, whatever thread held the lock in the parent."""
        self._lock = threading.Lock()

    def _tidy(self, now: float) -> None:
        """Forget the keys that have ended, when there are twice as many keys as there were after the last time."""
        if len(self._entries) < self._tidy_at:
            return
        for entry in tuple(self._entries.values()):
            if not (entry.accepted(now) or entry.open_links):
                self._forget(entry)
        self._tidy_at = max(TIDY_KEYS, 2 * len(self._entries))

    def _forget(self, entry: _Entry) -> None:
        of_user = self._of_user[entry.user]
        del self._entries[entry.key.key_id], of_user[entry.key.key_id]
        if not of_user:
            del self._of_user[entry.user]

    def _now(self) -> float:
        return -math.inf if self._wall is None else self._wall()

    def _moment(self, until: Moment | None) -> float | None:
        """Return seconds since 1970."""
        if until is None:
            return None
        if self._wall is None:
            raise Misuse("a ring without a clock ends no keys: expected KeyRing(..., wall=time.time)")
        if isinstance(until, datetime):
            if until.tzinfo is None:
                raise Misuse("expected a moment with a time zone, as in datetime.now(timezone.utc) + timedelta(days=7)")
            return until.timestamp()
        if isinstance(until, bool) or not isinstance(until, (int, float)) or not math.isfinite(until):
            raise Misuse("expected a datetime with a time zone, or seconds since 1970")
        return float(until)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[tuple[Key, str | None]]:
        now = self._now()
        with self._lock:
            accepted = [(entry.key, entry.user) for entry in self._entries.values() if entry.accepted(now)]
        return iter(accepted)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, Key) and self.lookup(key.key_id) is not None

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self)}>"


def _name_of(user: str | None) -> str:
    return "everybody" if user is None else repr(user)


def _key_id_of(key: KeyText) -> bytes:
    """Return the id of a key that is given itself, as its text, or by its fingerprint."""
    if isinstance(key, str) and len(key) == len(fingerprint_of(NO_KEY_ID)):
        try:
            return bytes.fromhex(key.replace("-", ""))
        except ValueError:
            raise Misuse("expected a key, or its fingerprint as in '5489-e58b-b48f-e1f8'") from None
    return (key if isinstance(key, Key) else key_from("the key to retire", key)).key_id
