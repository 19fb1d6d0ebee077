"""Speech: rooms that one joins and leaves, and what is said there.  Floor: SERVICES.

Law: kept, then published, then acknowledged; in the order of the numbers.
"""

from __future__ import annotations

from typing import Any

from netstructer.errors import ChatRefused, LimitReached, NotHere
from netstructer.services.chat.history import Said
from netstructer.services.chat.hub import Hub
from netstructer.services.chat.people import Person
from netstructer.services.chat.pushed import pushed
from netstructer.services.chat.rooms import Room
from netstructer.services.chat.texts import check_text, name_of_room, name_of_user

__all__ = ["Speech"]


class Speech(Hub):
    """What people do in a chat.  Each method takes the link on which somebody asks for it."""

    def join(self, link: Any, room: str, *, recent: int = 0) -> dict[str, Any]:
        """Let who is on a link into a room, which is made where it is not there, and say what he finds.

        That is the name of the room, who is in it, the number of what was said last, and the last `recent` messages.
        Each message after that number is pushed.  Raises `InvalidName`, `NotHere`, `LimitReached` for a room too many,
        `ChatRefused` for somebody who was put out of that room, and `Busy`.
        """
        person = self._visit(link).person
        with self._rooms.held(name_of_room(room), make=True) as found:
            self._check_let_in(found, person)
            others = self._others_in(found, person, link)
            if self._groups.join(link, found.group):
                self._check_count(link, found)
                if not others:
                    self._tell_of(found.group, "joined", exclude=(link,), room=found.name.written, name=_name(person))
            facts = {
                "room": found.name.written,
                "members": self._people.of_links(self._groups.members(found.group)),
                "last": found.last,
                "recent": self._past(found, before=None, after=0, count=recent) if recent else [],
            }
        self._counted(person, "joined")
        return facts

    def _check_let_in(self, room: Room, person: Person) -> None:
        until = room.kept_out.get(person.name.folded)
        if until is not None and until > self._clock():
            raise ChatRefused(f"a moderator has put you out, for {until - self._clock():,.0f} seconds more")

    def _check_count(self, link: Any, room: Room) -> None:
        """Take a link out again that is in too many rooms; its calls may run at once, so they are counted after."""
        count = len(self._rooms.of(link))
        if count > self._limits.rooms_of_link:
            self._groups.leave(link, room.group)
            raise LimitReached(
                f"expected at most {self._limits.rooms_of_link} rooms of one link",
                limit=self._limits.rooms_of_link,
                found=count,
            )

    def _others_in(self, room: Room, person: Person, link: Any) -> bool:
        """Say whether somebody is in a room on another link than this."""
        return any(room in self._rooms.of(other) for other in person.links if other.id != link.id)

    def leave(self, link: Any, room: str) -> str:
        """Take a link out of a room, and return how that is written.  Raises `NotHere`."""
        person = self._visit(link).person
        with self._rooms.held(name_of_room(room)) as found:
            if not self._groups.leave(link, found.group):
                raise NotHere("you are not in that room")
            if not self._others_in(found, person, link):
                self._tell_of(found.group, "left", room=found.name.written, name=_name(person))
            return found.name.written

    def say(self, link: Any, room: str, text: str) -> int:
        """Say something in a room, and return its number there: it is kept, and on its way to everybody else in it.

        Raises `InvalidText`, `NotHere`, `Muted`, `Busy`, and what keeping it raises; then it was not said.
        """
        visit = self._visit(link)
        person = visit.person
        checked = check_text(text, self._limits.text_characters)
        self._mutes.check(person.name.folded, self._clock())
        with self._rooms.held(name_of_room(room)) as found:
            if found not in self._rooms.of(link):
                raise NotHere("you are not in that room")
            message = self._keep(found, person, checked)
            found.last = message.n
            self._publish(found.group, _value_of(message), exclude=(link,))
        self._counted(person, "said")
        return message.n

    def _keep(self, room: Room, person: Person, text: str) -> Said:
        name = _name(person)
        if self._history is not None:
            return self._history.add(room.name, room.last, name, person.user, text)
        return Said(room.name.written, room.last + 1, self._wall(), name, person.user, text)

    def tell(self, link: Any, name: str, text: str) -> str:
        """Say something to one person alone, and return how that is written: it is on its way there, and kept nowhere.

        Raises `InvalidText`, `NotHere`, `Muted`.
        """
        person = self._visit(link).person
        checked = check_text(text, self._limits.text_characters)
        self._mutes.check(person.name.folded, self._clock())
        other = self._people.find(name_of_user(name).folded)
        value = pushed("told", at=self._wall(), name=_name(person), text=checked)
        if not self._hall.post(value, other.links):
            raise NotHere("nobody took it: the link is over, or has too much waiting")
        self._counted(person, "told")
        return _name(other)

    def past(
        self, link: Any, room: str, *, before: int | None = None, after: int = 0, count: int = 50
    ) -> list[dict[str, Any]]:
        """Return messages of a room that one is in, as they were pushed: see `History.read`.  Raises `NotHere`."""
        self._visit(link)
        folded = name_of_room(room).folded
        found = next((found for found in self._rooms.of(link) if found.name.folded == folded), None)
        if found is None:
            raise NotHere("you are not in that room")
        return self._past(found, before=before, after=after, count=count)

    def _past(self, room: Room, *, before: int | None, after: int, count: int) -> list[dict[str, Any]]:
        if self._history is None:
            return []
        return [
            _value_of(message)
            for message in self._history.read(room.name.folded, before=before, after=after, count=count)
        ]

    def room_names(self) -> list[tuple[str, int]]:
        """Return all rooms, those with a history and nobody in them too, and how many links are in each."""
        kept = {} if self._history is None else {name.folded: (name.written, 0) for name in self._history.names()}
        live = {room.name.folded: (room.name.written, self._groups.count(room.group)) for room in self._rooms.all()}
        return [room for _, room in sorted((kept | live).items())]

    def names(self, room: str | None = None) -> list[str]:
        """Return who is here, or in a room; nobody, where there is no such room."""
        if room is None:
            return [person.name.written for person in self._people.all()]
        folded = name_of_room(room).folded
        group = next((found.group for found in self._rooms.all() if found.name.folded == folded), "")
        return self._people.of_links(self._groups.members(group)) if group else []


def _name(person: Person) -> str:
    return person.name.written


def _value_of(message: Said) -> dict[str, Any]:
    return pushed("said", room=message.room, n=message.n, at=message.at, name=message.name, text=message.text)
