"""The desk: what a client may call.  Floor: SERVICES.  Docs: docs/chat.md, "Actions".

Law: each call takes one from the bucket of its link, before anything else is looked at; and each right is asked for at
each call, so what was taken away is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netstructer.actions import Context
from netstructer.errors import BadArguments, NetstructerError
from netstructer.services.chat.moderation import KICK_SECONDS
from netstructer.services.chat.pace import Pace

if TYPE_CHECKING:
    from netstructer.services.chat.chat import Chat

__all__ = ["MODERATE", "SAY", "Desk"]

SAY = "chat.say"
"""The permission to say and tell something."""
MODERATE = "chat.moderate"
"""The permission to mute, to put out of a room, and to erase."""
MOST_MESSAGES = 200
"""Messages that one call of the history gives: 400,000 characters at the most."""
_PACE = "netstructer chat pace"


class Desk:
    """The actions of one chat; each public method is one, as `chat.` and its name."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def about(self, context: Context) -> dict[str, Any]:
        """Say what this chat is like: for a client, before it enters."""
        self._pace(context)
        chat, link = self._chat, context.link
        limits = chat.limits
        return {
            "login": chat.wants_login,
            "known_as": chat.known_name(link),
            "entered": chat.name_on(link),
            "room": chat.room,
            "greeting": chat.greeting,
            "history": chat.history is not None,
            "text_characters": limits.text_characters,
            "per_second": float(limits.per_second),
            "burst": limits.burst,
        }

    def enter(self, context: Context, name: str | None = None) -> str:
        """Enter, and return the name that one has: see `Chat.enter`."""
        self._pace(context)
        return self._chat.enter(context.link, name)

    def exit(self, context: Context) -> None:
        """Leave the chat; the link stays."""
        self._pace(context)
        self._chat.exit(context.link)

    def name(self, context: Context, name: str) -> str:
        """Take another name, and return it."""
        self._pace(context)
        return self._chat.rename(context.link, name)

    def rooms(self, context: Context) -> list[dict[str, Any]]:
        """Return all rooms, and how many are in each."""
        self._entered(context)
        return [{"room": name, "members": count} for name, count in self._chat.room_names()]

    def who(self, context: Context, room: str | None = None) -> list[str]:
        """Return the names of everybody, or of who is in a room."""
        self._entered(context)
        return self._chat.names(room)

    def join(self, context: Context, room: str | None = None, recent: int = 0) -> dict[str, Any]:
        """Join a room, the one of everybody where none is named: see `Chat.join`."""
        self._pace(context)
        count = _whole(recent, "recent", 0, MOST_MESSAGES)
        return self._chat.join(context.link, self._chat.room if room is None else room, recent=count)

    def leave(self, context: Context, room: str) -> str:
        """Leave a room, and return its name."""
        self._pace(context)
        return self._chat.leave(context.link, room)

    def say(self, context: Context, room: str, text: str) -> int:
        """Say something in a room, and return its number there."""
        self._pace(context)
        self._require(context, SAY)
        return self._chat.say(context.link, room, text)

    def tell(self, context: Context, name: str, text: str) -> str:
        """Say something to one person alone, and return whom."""
        self._pace(context)
        self._require(context, SAY)
        return self._chat.tell(context.link, name, text)

    def history(
        self, context: Context, room: str, count: int = 50, before: int | None = None, after: int = 0
    ) -> list[dict[str, Any]]:
        """Return messages of a room that one is in: the last ones, those before a number, or the next after one."""
        self._pace(context)
        return self._chat.past(
            context.link,
            room,
            count=_whole(count, "count", 1, MOST_MESSAGES),
            before=None if before is None else _whole(before, "before", 1, 1 << 62),
            after=_whole(after, "after", 0, 1 << 62),
        )

    def mute(self, context: Context, name: str, seconds: float | None = None) -> None:
        """Take the word from somebody."""
        self._chat.mute(name, seconds, **self._moderator(context, "chat.mute", name))

    def unmute(self, context: Context, name: str) -> bool:
        """Give somebody the word back, and say whether it was taken."""
        return self._chat.unmute(name, **self._moderator(context, "chat.unmute", name))

    def kick(self, context: Context, room: str, name: str, seconds: float = KICK_SECONDS) -> None:
        """Put somebody out of a room."""
        self._chat.kick(room, name, seconds, **self._moderator(context, "chat.kick", name))

    def erase(self, context: Context, room: str, n: int | None = None) -> int:
        """Erase one message of a room, or all of them, and return how many those were."""
        return self._chat.erase(room, n, **self._moderator(context, "chat.erase", room))

    # --- who asks ---------------------------------------------------------------------------------------------------

    def _pace(self, context: Context) -> None:
        limits, now = self._chat.limits, self._chat.now()
        pace: Pace = context.state.setdefault(_PACE, Pace(limits.per_second, limits.burst, now))
        pace.take(now)

    def _entered(self, context: Context) -> str:
        self._pace(context)
        return self._chat.expect_entered(context.link)

    def _require(self, context: Context, permission: str) -> None:
        if permission not in self._chat.open_permissions:
            context.require(permission)

    def _moderator(self, context: Context, action: str, target: object) -> dict[str, str]:
        """Return who a moderator is, and where; what somebody else would have done is noted."""
        name = self._entered(context)
        try:
            self._require(context, MODERATE)
        except NetstructerError as error:
            self._chat.note_refusal(name, str(context.peer), action, target, error)
            raise
        return {"by": name, "source": str(context.peer)}


def _whole(number: object, name: str, low: int, high: int) -> int:
    if type(number) is not int or not low <= number <= high:
        raise BadArguments(f"expected {name} as a whole number from {low} to {high:,}", name="ValueError")
    return number
