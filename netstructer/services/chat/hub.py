"""The hub: what all parts of a chat share, and who comes and goes.  Floor: SERVICES.

Law: called from threads; nothing that one link, one seam or one notice does keeps anybody else from talking.

`Speech` and `Moderation` are classes of methods over this one; `Chat` is all of them together.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections.abc import Callable, Container
from typing import Any

from netstructer.actions import user_of
from netstructer.errors import Busy, NameTaken, NetstructerError, NotHere, NotPermitted
from netstructer.services.chat.history import History
from netstructer.services.chat.limits import ChatLimits
from netstructer.services.chat.mutes import Mutes
from netstructer.services.chat.people import Gone, People, Person, Visit
from netstructer.services.chat.pushed import pushed
from netstructer.services.chat.rooms import GROUP_OF_ALL, Rooms
from netstructer.services.chat.texts import Named, name_of_user
from netstructer.services.hall import Hall

__all__ = ["Count", "Hub", "Note"]

logger = logging.getLogger("netstructer")

Note = Callable[[str, str, str, str, str], object]
"""`note(actor, source, action, target, result)`: told of what an audit keeps, as an `Admin` tells it."""
Count = Callable[[str, str], object]
"""`count(user, statistic)`: told of what is counted of each user."""

OK = "ok"
"""What came of it, where it was done."""
GUEST = "guest"
"""What somebody is called who has not said how, with a number behind it."""
GUEST_TRIES = 16
"""Numbers that are tried for a guest, where others come at the same moment and take them."""


class Hub:
    """Who is here, and how they are reached."""

    _hall: Hall
    _groups: Any
    _people: People
    _rooms: Rooms
    _mutes: Mutes
    _history: History | None
    _limits: ChatLimits
    _account_of: Callable[[Any], Any] | None
    _note: Note | None
    _count: Count | None
    _clock: Callable[[], float]
    _wall: Callable[[], float]
    _figures: dict[str, int]
    _figures_lock: threading.Lock

    # --- coming and going -------------------------------------------------------------------------------------------

    def enter(self, link: Any, name: str | None = None) -> str:
        """Let who is on a link in, and return the name that he has here.

        Who is known by an account or a key has that name.  Anybody else names himself, or is called guest.  Raises
        `InvalidName`, `NameTaken`, and `NotPermitted` where the server wants a login and there was none.
        """
        user, own = self._known_as(link)
        wish = None if name is None else name_of_user(name)
        if user is not None:
            known = name_of_user(own)
            if wish is not None and wish.folded != known.folded:
                raise NameTaken("you are known by an account or a key, and have that name here")
            visit = self._enter(link, known, user)
        elif wish is not None:
            self._refuse_names_of_keys(wish)
            visit = self._enter(link, wish, None)
        else:
            visit = self._enter_as_guest(link)
        return visit.person.name.written

    def _known_as(self, link: Any) -> tuple[str | None, str]:
        """Return who is on a link, and how that is written; None for somebody who names himself.

        Raises `NotPermitted` where the server wants a login and there was none, or what it opened is closed by now.
        """
        if self._account_of is None:
            user = user_of(link)
            return user, user or ""
        account = self._account_of(link)
        if account is None:
            raise NotPermitted("log in first: this chat is for accounts")
        return account.name, account.display

    def _refuse_names_of_keys(self, name: Named) -> None:
        """Raise `NameTaken` for the name of a user who has a key: he may come any time."""
        for use in self._hall.server.keys.uses():
            if use.user is not None and _folds_to(use.user, name.folded):
                raise NameTaken("somebody who has a key of his own has that name")

    def _enter_as_guest(self, link: Any) -> Visit:
        for _ in range(GUEST_TRIES):
            try:
                return self._enter(link, name_of_user(self._people.free_name(GUEST)), None)
            except NameTaken:
                if self._people.on(link) is not None:
                    raise
        raise Busy("too many guests come at once")

    def _enter(self, link: Any, name: Named, user: str | None) -> Visit:
        visit, is_first, replaced = self._people.enter(link, name, user, self._wall())
        if replaced is not None:
            self._has_gone(Gone(replaced, True), "its place was taken")
            with contextlib.suppress(NetstructerError):  # It may end at the same moment.
                self._hall.disconnect(replaced.link, seconds=0.0)
        try:
            self._groups.join(link, GROUP_OF_ALL)
        except NetstructerError:
            self._people.leave(link.id)
            raise
        if is_first:
            self._tell_all("connected", exclude=(link,), name=name.written)
        self._noted(name.written, str(link.peer), "chat.enter", "", OK)
        self._counted(visit.person, "connected")
        return visit

    def exit(self, link: Any) -> None:
        """Take a link out of the chat; it stays open.  Nothing, where it has not entered."""
        gone = self._people.leave(link.id)
        if gone is not None:
            self._has_gone(gone, OK)

    def _has_ended(self, link_id: str, error: str) -> None:
        """Take in that a link is over; the server has taken it out of its groups."""
        gone = self._people.leave(link_id)
        if gone is not None:
            self._has_gone(gone, error or OK)

    def _has_gone(self, gone: Gone, result: str) -> None:
        link, person = gone.visit
        for room in self._rooms.of(link):
            self._groups.leave(link, room.group)
        self._groups.leave(link, GROUP_OF_ALL)
        self._rooms.tidy()
        if gone.was_last:
            self._tell_all("disconnected", name=person.name.written)
        self._noted(person.name.written, str(link.peer), "chat.exit", "", result)
        self._counted(person, "disconnected")

    def rename(self, link: Any, name: str) -> str:
        """Give who is on a link another name, and return it.

        Raises `InvalidName`, `NameTaken`, `NotHere`, and `Muted` for somebody who would leave a mute behind.
        """
        visit = self._visit(link)
        new, old = name_of_user(name), visit.person.name
        self._mutes.check(old.folded, self._clock())
        if visit.person.user is None:
            self._refuse_names_of_keys(new)
        self._people.rename(visit, new)
        self._tell_all("renamed", exclude=(link,), before=old.written, name=new.written)
        self._noted(old.written, str(link.peer), "chat.rename", new.written, OK)
        return new.written

    def _visit(self, link: Any) -> Visit:
        """Return who is on a link.  Raises `NotHere` where nobody is, or another than had entered."""
        visit = self._people.on(link)
        if visit is None:
            raise NotHere("enter first")
        try:
            user, _ = self._known_as(link)
        except NotPermitted:
            self.exit(link)
            raise
        if user != visit.person.user:
            self.exit(link)
            raise NotHere("you are known as another than had entered: enter again")
        return visit

    # --- what is told -----------------------------------------------------------------------------------------------

    def _tell_all(self, kind: str, *, exclude: Container[Any] = (), **fields: Any) -> None:
        """Tell everybody who comes, goes or has another name; nobody, where they are a crowd."""
        self._tell_of(GROUP_OF_ALL, kind, exclude=exclude, **fields)

    def _tell_of(self, group: str, kind: str, *, exclude: Container[Any] = (), **fields: Any) -> None:
        if self._groups.count(group) <= self._limits.presence_links:
            self._publish(group, pushed(kind, **fields), exclude=exclude)

    def _publish(self, group: str, value: object, *, exclude: Container[Any] = ()) -> None:
        """Send to a group.  What cannot be sent is no fault of whoever caused it."""
        try:
            self._hall.publish(group, value, exclude=exclude)
        except NetstructerError as error:
            logger.warning("= what a chat has to tell went to nobody: %s", type(error).__name__)

    def _noted(self, actor: str, source: str, action: str, target: str, result: str) -> None:
        if self._note is not None:
            _guarded(self._note, actor, source, action, target, result)

    def _counted(self, person: Person, what: str) -> None:
        with self._figures_lock:
            for figures in (self._figures, person.figures):
                figures[what] = figures.get(what, 0) + 1
        if self._count is not None:
            _guarded(self._count, person.user or person.name.written, f"chat {what}")


def _guarded(seam: Callable[..., object], *facts: str) -> None:
    """Call what an application has hung in.  What it raises is logged, its type and place, and stops nothing."""
    try:
        seam(*facts)
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("what a chat tells an application raised %s\n%s", type(error).__name__, where)


def _folds_to(user: str, folded: str) -> bool:
    try:
        return name_of_user(user).folded == folded
    except NetstructerError:
        return False  # It is no name that somebody could have here.
