"""Moderation: the word that is taken, the door that is shown, and what is erased.  Floor: SERVICES.

Law: each is noted, whatever came of it.  Who may do it is decided before it comes here: `by` is only a name, and
`source` where that one is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from netstructer.errors import BadArguments, NotHere
from netstructer.services.chat.hub import OK, Hub
from netstructer.services.chat.pushed import pushed
from netstructer.services.chat.rooms import GROUP_OF_ALL
from netstructer.services.chat.texts import check_text, name_of_room, name_of_user
from netstructer.services.printing import cut

__all__ = ["Moderation"]

KICK_SECONDS = 60.0
"""How long a room is closed to somebody who was put out, where nothing is said of it: until tempers have cooled."""
MOST_SECONDS = 366 * 86_400.0
"""Of a mute, or of a door that stays closed: a year; beyond it, it is a ban that is meant."""
TARGET_CHARACTERS = 200
"""Of what is noted of a target: two names."""
MOST_KEPT_OUT = 256
"""Names that one room is closed to at once: those whose time is up sooner make room."""


class Moderation(Hub):
    """What an operator and moderators do."""

    def mute(self, name: str, seconds: float | None = None, *, by: str = "operator", source: str = "") -> None:
        """Take the word from somebody, here or not, for a while; what he reads he goes on reading.

        Raises `InvalidName`, `BadArguments`, `LimitReached`.
        """
        with self._noting(by, source, "chat.mute", name):
            folded = name_of_user(name).folded
            duration = _seconds(self._limits.mute_seconds if seconds is None else seconds)
            self._mutes.add(folded, duration, self._clock())
            self._tell_person(folded, pushed("muted", seconds=duration))

    def unmute(self, name: str, *, by: str = "operator", source: str = "") -> bool:
        """Give somebody the word back; say whether it was taken.  Raises `InvalidName`."""
        with self._noting(by, source, "chat.unmute", name):
            folded = name_of_user(name).folded
            was_muted = self._mutes.remove(folded, self._clock())
            if was_muted:
                self._tell_person(folded, pushed("unmuted"))
            return was_muted

    def kick(
        self, room: str, name: str, seconds: float = KICK_SECONDS, *, by: str = "operator", source: str = ""
    ) -> None:
        """Put somebody out of a room, and let him not in again for a while; 0 lets him in at once.

        Raises `InvalidName`, `BadArguments`, and `NotHere` for somebody who is not in there.
        """
        with self._noting(by, source, "chat.kick", f"{name} from {room}"):
            duration = _seconds(seconds, least=0.0)
            person = self._people.find(name_of_user(name).folded)
            with self._rooms.held(name_of_room(room)) as found:
                links = [link for link in person.links if found in self._rooms.of(link)]
                if not links:
                    raise NotHere("nobody of that name is in that room")
                if duration:
                    until = found.kept_out
                    until[person.name.folded] = self._clock() + duration
                    if len(until) > MOST_KEPT_OUT:
                        del until[min(until, key=until.__getitem__)]
                self._publish(found.group, pushed("kicked", room=found.name.written, name=person.name.written))
                for link in links:
                    self._groups.leave(link, found.group)

    def erase(self, room: str, n: int | None = None, *, by: str = "operator", source: str = "") -> int:
        """Erase one message of a room from the history, or all of them; return how many those were.

        Who is in the room is told, so that programs can take it from their screens.  Raises `InvalidName`,
        `BadArguments`, and what the store raises.
        """
        with self._noting(by, source, "chat.erase", room if n is None else f"{n} of {room}"):
            if n is not None and (type(n) is not int or n < 1):
                raise BadArguments("expected the number of a message, or None for all", name="ValueError")
            named = name_of_room(room)
            count = 0 if self._history is None else self._history.erase(room, n)
            found = next((found for found in self._rooms.all() if found.name.folded == named.folded), None)
            if found is not None:
                self._publish(found.group, pushed("erased", room=found.name.written, n=n or 0))
            return count

    def announce(self, text: str, *, by: str = "operator", source: str = "") -> int:
        """Tell everybody something; return how many links took it.  Raises `InvalidText`."""
        with self._noting(by, source, "chat.announce", ""):
            checked = check_text(text, self._limits.text_characters)
            return self._hall.publish(GROUP_OF_ALL, pushed("announced", at=self._wall(), text=checked))

    def _tell_person(self, folded: str, value: object) -> None:
        try:
            self._hall.post(value, self._people.find(folded).links)
        except NotHere:
            pass  # He will hear it when he says something.

    @contextmanager
    def _noting(self, by: str, source: str, action: str, target: str) -> Iterator[None]:
        """Note what is done in the block, and what came of it."""
        try:
            yield
        except Exception as error:
            self._noted(by, source, action, _cut(target), type(error).__name__)
            raise
        self._noted(by, source, action, _cut(target), OK)


def _cut(target: object) -> str:
    """Return what somebody gave as a target, which may be anything of any length."""
    return cut(str(target), TARGET_CHARACTERS)


def _seconds(seconds: object, *, least: float = 1.0) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        raise BadArguments("expected a number of seconds", name="ValueError")
    if not least <= seconds <= MOST_SECONDS:
        raise BadArguments(f"expected {least:g} to {MOST_SECONDS:,.0f} seconds", name="ValueError")
    return float(seconds)
