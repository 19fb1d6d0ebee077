"""People: who is in a chat, under which name, on which links.  Floor: SERVICES.  Law: a name is one person's at a time.

A person is known by an account or a key, and may be here on several links; or has named himself, and is here on one.
Names are compared by their one spelling (`usernames.py`), so nobody can be here twice in different letters.

Whoever has named himself has nothing to prove that by.  So somebody whose program has died finds his name taken for as
long as the server waits for the old link.  Where that has no transport, and the new one comes from the same host with
the same key, the new one takes its place.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from netstructer.errors import NameTaken, NotHere
from netstructer.services.chat.texts import Named

__all__ = ["Entered", "Gone", "People", "Person", "Visit"]


class Person:
    """Somebody who is here."""

    __slots__ = ("figures", "links", "name", "since", "user")

    def __init__(self, name: Named, user: str | None, since: float) -> None:
        self.name = name
        self.user = user
        """The account, or whose key it is; None for somebody who named himself."""
        self.since = since
        self.links: tuple[Any, ...] = ()
        self.figures: dict[str, int] = {}
        """What was counted of it since it came: `said`, `told`, `joined` …"""


class Visit(NamedTuple):
    """A person on one link."""

    link: Any
    person: Person


class Gone(NamedTuple):
    """A visit that is over, and whether it was the person's last."""

    visit: Visit
    was_last: bool


class Entered(NamedTuple):
    """A visit that begins: whether it is the person's first, and the one whose place it takes."""

    visit: Visit
    is_first: bool
    replaced: Visit | None


class People:
    """Who is here.  Thread-safe; every method is one atomic step."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._visits: dict[str, Visit] = {}
        self._persons: dict[str, Person] = {}

    def enter(self, link: Any, name: Named, user: str | None, now: float) -> Entered:
        """Let somebody in.  Raises `NameTaken`, and `NotHere` for a link that is over."""
        with self._lock:
            if link.closed:  # One that ends from here on is taken out when that is told.
                raise NotHere("the link is closed")
            if link.id in self._visits:
                raise NameTaken("this link has entered before: it may have another name")
            person = self._persons.get(name.folded)
            replaced = None
            if person is not None and (user is None or person.user != user):
                replaced = self._replaceable(person, link, user)
                person = None
            if replaced is not None:
                self._remove(replaced.link.id)
            is_first = person is None
            if person is None:
                person = self._persons[name.folded] = Person(name, user, now)
            person.links = (*person.links, link)
            visit = self._visits[link.id] = Visit(link, person)
            return Entered(visit, is_first, replaced)

    def _replaceable(self, person: Person, link: Any, user: str | None) -> Visit:
        """Return the visit whose place a link takes.  Raises `NameTaken`."""
        if person.user is None and user is None:
            (old,) = person.links
            same = old.peer.host == link.peer.host and old.fingerprint == link.fingerprint
            if old.closed or (old.suspended and same):
                return self._visits[old.id]
        raise NameTaken("somebody has that name")

    def rename(self, visit: Visit, name: Named) -> None:
        """Give somebody another name.  Raises `NameTaken`, `NotHere`."""
        with self._lock:
            person = visit.person
            if self._visits.get(visit.link.id) is not visit:
                raise NotHere("who is not here has no name")
            if person.user is not None:
                raise NameTaken("the name is that of an account or a key, and stays")
            if self._persons.get(name.folded, person) is not person:
                raise NameTaken("somebody has that name")
            del self._persons[person.name.folded]
            person.name = name
            self._persons[name.folded] = person

    def leave(self, link_id: str) -> Gone | None:
        """Take a link out; None where it is not in."""
        with self._lock:
            return self._remove(link_id)

    def _remove(self, link_id: str) -> Gone | None:
        visit = self._visits.pop(link_id, None)
        if visit is None:
            return None
        person = visit.person
        person.links = tuple(link for link in person.links if link.id != link_id)
        if not person.links:
            del self._persons[person.name.folded]
        return Gone(visit, not person.links)

    def on(self, link: Any) -> Visit | None:
        """Return the visit of a link, or None."""
        with self._lock:
            return self._visits.get(link.id)

    def find(self, folded: str) -> Person:
        """Return who has a name, given in its one spelling.  Raises `NotHere`."""
        with self._lock:
            person = self._persons.get(folded)
        if person is None:
            raise NotHere("nobody of that name is here")
        return person

    def free_name(self, word: str) -> str:
        """Return a name that nobody has: the word, and the first number that is free."""
        with self._lock:
            number = 1
            while f"{word}-{number}" in self._persons:
                number += 1
            return f"{word}-{number}"

    def all(self) -> tuple[Person, ...]:
        """Return everybody, by names."""
        with self._lock:
            return tuple(person for _, person in sorted(self._persons.items()))

    def of_links(self, links: tuple[Any, ...]) -> list[str]:
        """Return the names of those who are on some links, each once."""
        with self._lock:
            visits = [self._visits[link.id] for link in links if link.id in self._visits]
        return sorted({visit.person.name.written for visit in visits})

    def __len__(self) -> int:
        with self._lock:
            return len(self._persons)
